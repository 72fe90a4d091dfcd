"""How pages look on real screens: sizes, places and what moves, measured in a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import Finger, eventually_told, rests
from conftest import DESKTOP, PHONE, log_in, set_up
from drawing import draw, exif
from processes import Server, eventually

import photos

pytestmark = pytest.mark.whole

OpenWindow = Callable[..., Any]
Serve = Callable[[Path], Server]
USUAL = (300, 200)


def make_album(album: Path, *sizes: tuple[int, int], a_day: int = 100) -> None:
    """Draw photos of given sizes, so many a day."""
    for number, size in enumerate(sizes):
        day, minute = divmod(number, a_day)
        block = exif(f"2024:05:{day + 1:02} 18:{minute % 60:02}:00")
        colour = f"#{number % 256:02x}{number // 256:02x}99"
        draw(album / f"{number:03}.jpg", size, colour, exif=block)


@pytest.fixture
def open_site(tmp_path: Path, serve: Serve, open_window: OpenWindow) -> Callable[..., Any]:
    """Serves the library that a test drew, and opens a window of it when all its files were read."""

    servers: list[Server] = []

    def open_it(**options: Any) -> Any:
        if not servers:
            servers.append(serve(set_up(tmp_path / "Album")))
        (server,) = servers
        root = tmp_path / "Album"
        for path in {path.parent.relative_to(root) for path in root.glob("*/**/*.jpg")}:
            address = f"/api/album/{path}".removesuffix("/.")
            eventually(lambda address=address: b'"width": 0' not in server.get(address)[2])
        return open_window(server.address, **options)

    return open_it


# A glow lasts for a second and a half: on a busy machine it may be over before anybody looks.
RECORD_GLOWS = """window.glows = [];
const {animate} = Element.prototype;
Element.prototype.animate = function (...how) {
    if (this.matches(".grid a")) glows.push(this.pathname);
    return animate.apply(this, how);
};"""


def test_after_leafing_the_photo_is_a_third_from_the_top_and_glows(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Long", *[USUAL] * 60)
    page = open_site(**PHONE)
    page.add_init_script(RECORD_GLOWS)
    page.goto("/album/Long/")
    page.locator(".grid a").first.click()
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    for number in range(1, 41):
        page.keyboard.press("ArrowRight")
        at = f"/album/Long/{number:03}.jpg"
        eventually(lambda at=at: page.evaluate("location.pathname") == at)
    page.go_back()
    page.wait_for_function("() => !document.querySelector('dialog.viewer').open")
    link = page.locator(".grid a[href$='040.jpg']")
    eventually(lambda: page.evaluate("glows") == ["/album/Long/040.jpg"])
    top, high = link.evaluate("link => [link.getBoundingClientRect().top, innerHeight]")
    assert top == pytest.approx(high / 3, abs=2)
    eventually(lambda: not link.evaluate("link => link.getAnimations().length"))


def test_escape_closes_the_details_first(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Trip", USUAL)
    page = open_site()
    page.goto("/album/Trip/")
    page.locator(".grid a").click()
    page.keyboard.press("i")
    page.locator(".panel .when").wait_for()
    page.keyboard.press("Escape")
    page.locator(".panel").wait_for(state="hidden")
    assert page.evaluate("document.querySelector('dialog.viewer').open")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('dialog.viewer').open")


def test_one_tap_plays_a_film(
    tmp_path: Path, open_site: Callable[..., Any], samples: Path, ffmpeg: str
) -> None:
    (tmp_path / "Album" / "Film").mkdir(parents=True)
    shutil.copy(samples / "video" / "tiny.mp4", tmp_path / "Album" / "Film" / "a.mp4")
    page = open_site(**PHONE)
    page.goto("/album/Film/")
    page.locator(".grid a").tap()
    film = page.locator("dialog.viewer video")
    eventually(lambda: film.count() and film.evaluate("film => film.currentTime > 0"))


@pytest.mark.parametrize("caption", ["", "A caption"])
def test_the_mark_of_a_live_photo_lies_over_no_other_words(
    tmp_path: Path, open_site: Callable[..., Any], samples: Path, ffmpeg: str, caption: str
) -> None:
    album = tmp_path / "Album" / "Live"
    draw(album / "a.jpg", (800, 600), exif=exif("2017:10:29 21:20:50", "+00:00"))
    shutil.copy(samples / "video" / "tiny.mp4", album / "a.mp4")
    (album / "album.txt").write_text(f"Live\n\na.jpg: {caption}\n", "utf-8")
    page = open_site(**PHONE)
    page.goto("/album/Live/a.jpg")
    mark = page.locator(".slide .mark")
    mark.wait_for()
    place = page.locator(".tools").bounding_box()
    box = mark.bounding_box()
    assert place and box
    assert box["y"] + 20 >= place["y"] + place["height"] - 24  # below the buttons
    assert box["x"] < DESKTOP["viewport"]["width"] / 2 and box["y"] < 200
    if caption:
        words = page.locator(".viewer .caption").bounding_box()
        assert words and words["y"] > box["y"] + box["height"]
    edge = mark.evaluate("mark => getComputedStyle(mark).borderTopWidth")
    assert edge == "1px"


WRITTEN = """(() => {
    window.changes = [];
    const look = list => changes.push(...list.map(each => each.target.outerHTML ?? each.target.data));
    addEventListener("DOMContentLoaded", () => {
        for (const time of document.querySelectorAll("time"))
            new MutationObserver(look).observe(time, {childList: true, characterData: true, subtree: true});
    });
})()"""


@pytest.mark.parametrize("locale", ["en-GB", "de-DE", "zh-TW", "es-ES"])
def test_dates_do_not_change_while_one_looks(
    tmp_path: Path, open_site: Callable[..., Any], locale: str
) -> None:
    make_album(tmp_path / "Album" / "Trip", USUAL)
    page = open_site(locale=locale)
    page.add_init_script(WRITTEN)
    for path in ("/", "/album/Trip/"):
        page.goto(path, wait_until="networkidle")
        assert page.locator("time").count() >= 1
        assert page.evaluate("changes") == [], path


@pytest.mark.parametrize(
    ("locale", "day"), [("en-GB", r"\d+ \w+ \d{4}"), ("en-US", r"\w+ \d+, \d{4}")]
)
def test_days_are_in_the_order_of_the_visitors_country(
    tmp_path: Path, open_site: Callable[..., Any], locale: str, day: str
) -> None:
    make_album(tmp_path / "Album" / "Trip", USUAL)
    page = open_site(locale=locale)
    photos.main(["--library", str(tmp_path / "Album"), "share", "Trip", "--for", "Tom"])
    page.goto("/login")
    log_in(page)
    for path in ("/", "/album/Trip/", "/shares"):
        page.goto(path, wait_until="networkidle")
        days = page.locator("time").all_inner_texts()
        assert days and all(re.fullmatch(day, shown) for shown in days), (path, days)


def test_the_links_to_many_years_stay_on_one_line(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    for year in range(2010, 2024):
        block = exif(f"{year}:05:06 10:00:00")
        draw(tmp_path / "Album" / f"Trip-{year}" / "a.jpg", exif=block)
    page = open_site(**PHONE)
    page.goto("/")
    heights = page.locator(".years a").evaluate_all(
        "links => links.map(a => a.offsetHeight)"
    )
    assert heights == [44] * 14
    assert page.evaluate("document.scrollingElement.scrollWidth") == 390


@pytest.mark.parametrize("locale", ["en-GB", "en-US"])
def test_a_range_of_years_or_months_has_one_order_everywhere(
    tmp_path: Path, open_site: Callable[..., Any], locale: str
) -> None:
    for album, days in (
        ("Years", ("2018:01:02", "2025:03:04")),
        ("Months", ("2018:01:02", "2018:03:04")),
    ):
        for number, day in enumerate(days):
            draw(tmp_path / "Album" / album / f"{number}.jpg", exif=exif(f"{day} 10:00:00"))
    page = open_site(locale=locale)
    for album, shown in (("Years", "2018 – 2025"), ("Months", "January – March 2018")):
        page.goto(f"/album/{album}/", wait_until="networkidle")
        assert page.locator("time").first.inner_text() == shown


def test_large_text_cuts_no_dates(tmp_path: Path, open_site: Callable[..., Any]) -> None:
    for number, name in enumerate("abc"):
        make_album(tmp_path / "Album" / name, *[USUAL] * (number + 1), a_day=1)
    make_album(tmp_path / "Album" / "d", *[USUAL] * 3, a_day=1)
    page = open_site(**PHONE, locale="es-ES")
    page.goto("/")
    page.evaluate("""() => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(":root { font-size: 200% }");
        document.adoptedStyleSheets.push(sheet);
    }""")
    cut = """() => [...document.querySelectorAll(".card .facts, .card time")]
        .filter(each => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).overflow !== "visible")
        .map(each => each.outerHTML)"""
    assert page.evaluate(cut) == []


# Generous

# How many columns a grid has, and by how much its pictures are wider than `sizes` tells.
MEASURE = """grid => {
    grid ??= document.querySelector(".columns > *");
    const ruler = document.body.appendChild(document.createElement("div"));
    const told = image => {
        const choices = image.sizes.split(", ").map(each => /^(?:(\\([^)]*\\)) ?)?(.+)$/.exec(each));
        ruler.style.width = choices.find(([, condition]) => !condition || matchMedia(condition).matches)[2];
        return ruler.getBoundingClientRect().width;
    };
    const wider = [...grid.querySelectorAll("img")].map(image => image.getBoundingClientRect().width / told(image));
    ruler.remove();
    return [getComputedStyle(grid).gridTemplateColumns.split(" ").length, Math.max(...wider), Math.min(...wider)];
}"""
SCREENS = {390: 0, 600: 1, 820: 2, 1280: 4, 1440: 4, 1920: 5, 2100: 6}
FEW = {1: "1111111", 2: "1222222", 3: "1223333", 4: "2224444", 5: "2333333", 6: "2333333"}
FEW |= {9: "2333333", 11: "2334444", 12: "2334444", 13: "2334456"}


@pytest.fixture
def counted(tmp_path: Path, open_site: Callable[..., Any]) -> Any:
    """A window of albums named by how many photos and albums they have."""
    for count in FEW:
        make_album(tmp_path / "Album" / f"p{count}", *[USUAL] * count)
        for nth in range(count):
            make_album(tmp_path / "Album" / f"a{count}" / f"{nth:02}", USUAL)
    return open_site()


def test_the_number_of_columns_follows_that_of_photos_and_albums_and_the_browser_knows(
    counted: Any,
) -> None:
    page = counted
    for count, columns in FEW.items():
        for kind in "pa":
            page.goto(f"/album/{kind}{count}/")
            for nth, width in enumerate(SCREENS):
                page.set_viewport_size({"width": width, "height": 900})
                shown, most, least = page.evaluate(MEASURE)
                expected = int(columns[nth])
                if kind == "p" and count == 13:
                    expected = {1280: 5, 1440: 5, 1920: 6, 2100: 7}.get(width, expected)
                if kind == "a" and count == 13:
                    expected = {1280: 4, 1440: 4}.get(width, expected)
                if (kind, count) != ("p", 1):
                    assert shown == expected, (kind, count, width)
                # A cover of 3 : 2 is wider than its place of 4 : 3 by an eighth.
                fewest = 0.9 if kind == "p" else 0.9 / 1.125
                assert fewest < least <= most < 1.03, (kind, count, width)


FEW_OF_A_DAY = {8: "2334444", 5: "2335555", 13: "2335567", 2: "2334444", 10: "2335555"}


def test_few_photos_of_one_day_fill_the_row_of_a_wide_screen_and_the_browser_knows(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    album = tmp_path / "Album" / "Trip"
    for day, count in enumerate(FEW_OF_A_DAY, 1):
        for number in range(count):
            block = exif(f"2024:05:{day:02} 18:{number:02}:00")
            draw(album / f"{day}-{number:02}.jpg", USUAL, exif=block)
    page = open_site()
    page.goto("/album/Trip/")
    lists = page.locator("ol.grid")
    for nth, width in enumerate(SCREENS):
        page.set_viewport_size({"width": width, "height": 900})
        for at, (count, columns) in enumerate(FEW_OF_A_DAY.items()):
            shown, most, least = lists.nth(at).evaluate(MEASURE)
            assert shown == int(columns[nth]), (count, width)
            assert 0.9 < least <= most < 1.03, (count, width)


def test_on_paper_no_heading_stands_alone_and_no_picture_is_half_there(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Trip", *[USUAL] * 13, a_day=5)
    page = open_site()
    page.goto("/album/Trip/")
    picture, heading = page.locator(".grid img").first, page.locator("h2").first
    picture.evaluate("image => image.animate({opacity: [0, 0]}, 1e6)")
    look = "element => [getComputedStyle(element).opacity, getComputedStyle(element).breakAfter]"
    assert picture.evaluate(look)[0] == "0"
    page.emulate_media(media="print")
    assert picture.evaluate(look)[0] == "1"
    assert heading.evaluate(look)[1] == "avoid"


TILES = """() => [...document.querySelectorAll(".grid li")].map(each => each.getBoundingClientRect())
    .map(({left, top, width, height}) => [left, top, width, height])"""


def test_wide_photos_take_two_columns_and_panoramas_the_row(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    sizes = [USUAL] * 13
    sizes[3], sizes[6] = (900, 380), (1500, 300)
    make_album(tmp_path / "Album" / "Mixed", *sizes)
    page = open_site()
    for width, columns in ((390, 2), (820, 3), (1280, 5), (1920, 6)):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("/album/Mixed/")
        tiles = page.evaluate(TILES)
        column = tiles[0][2]
        assert tiles[3][2] == pytest.approx(2 * column, abs=1)
        assert tiles[6][2] == pytest.approx(columns * column, abs=1)
        for at, (wide, high) in ((0, USUAL), (3, sizes[3]), (6, sizes[6])):
            if at != 6 or width > 390:  # there it is higher than its shape
                assert tiles[at][3] == pytest.approx(tiles[at][2] * high / wide, rel=0.06)
        assert [tile[1] for tile in tiles] == sorted(tile[1] for tile in tiles)
        real, told = page.locator(".grid .p img").evaluate(
            "image => [image.getBoundingClientRect().width, image.sizes]"
        )
        assert photos.tile_sizes("photos", 9) == told and real > 0.9 * (width - 80)


@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_no_panorama_is_a_strip_on_a_phone(
    tmp_path: Path, open_site: Callable[..., Any], count: int
) -> None:
    make_album(tmp_path / "Album" / "Wide", *[(1200, 240), (1600, 100)][:count])
    if count > 2:
        make_album(tmp_path / "Album" / "Wide", *[(1500, 300)] * count)
    page = open_site(**PHONE)
    page.goto("/album/Wide/")
    heights = page.locator(".grid a").evaluate_all(
        "all => all.map(link => link.getBoundingClientRect().height)"
    )
    assert len(heights) == count and min(heights) >= 120


def test_a_photo_alone_is_seen_whole(tmp_path: Path, open_site: Callable[..., Any]) -> None:
    for name, size in (
        ("wide", (1500, 300)),
        ("usual", (1500, 1000)),
        ("tall", (300, 900)),
    ):
        make_album(tmp_path / "Album" / name, size)
    page = open_site()
    for name in ("wide", "usual", "tall"):
        page.goto(f"/album/{name}/")
        for width, height in ((390, 844), (1280, 800), (1920, 1080)):
            page.set_viewport_size({"width": width, "height": height})
            (_, _, wide, high), *_ = page.evaluate(TILES)
            assert high <= 0.86 * height
            assert wide >= width - 50 or high >= 0.84 * height


# Where one is


def test_pages_that_are_added_go_on_below_the_same_heading(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Days", *[(12, 8)] * 230, a_day=60)
    page = open_site()
    page.goto("/album/Days/?page=2")
    page.wait_for_load_state("networkidle")
    page.goto("/album/Days/")
    links = page.locator(".grid a")
    while links.count() < 230:
        count = links.count()
        page.evaluate("scrollTo(0, document.scrollingElement.scrollHeight)")
        eventually(lambda before=count: links.count() > before)
    parts = page.locator("[data-grid] > *").evaluate_all(
        "all => all.map(each => each.matches('h2') ? each.innerText : each.children.length)"
    )
    assert parts[1::2] == [60, 60, 60, 50] and len(set(parts[::2])) == 4
    assert links.evaluate_all("all => all.map(link => link.pathname.slice(-7))") == [
        f"{number:03}.jpg" for number in range(230)
    ]


def test_pages_that_come_before_go_on_below_the_same_heading(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Days", *[(12, 8)] * 230, a_day=60)
    page = open_site()
    page.goto("/album/Days/?page=3")
    page.locator(".grid a").first.click()
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    links = page.locator(".grid a")
    eventually(lambda: links.count() >= 130)
    parts = page.locator("[data-grid] > *").evaluate_all(
        "all => all.map(each => each.matches('h2') ? each.innerText : each.children.length)"
    )
    assert parts[1::2] == [20, 60, 50]
    assert links.evaluate_all("all => all.map(link => link.pathname.slice(-7))") == [
        f"{number:03}.jpg" for number in range(100, 230)
    ]


def test_while_one_scrolls_a_pill_says_where_one_is_and_the_bar_steps_back(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Days", *[USUAL] * 90, a_day=30)
    page = open_site(**PHONE, locale="en-GB")
    page.goto("/album/Days/")
    bar, pill = page.locator(".bar"), page.locator(".place-now")
    assert bar.locator(".home").inner_text().split() == ["‹", "All", "albums"]
    assert page.locator(".trail").count() == 0
    page.mouse.wheel(0, 3000)
    eventually(lambda: "shown" in pill.get_attribute("class"))
    eventually(lambda: bar.evaluate("bar => bar.getBoundingClientRect().bottom") <= 0)
    assert pill.inner_text().startswith("2 May 2024 · ")
    assert pill.inner_text().endswith(" of 90")
    eventually(lambda: "shown" not in pill.get_attribute("class"))
    page.mouse.wheel(0, -300)
    eventually(lambda: bar.evaluate("bar => bar.getBoundingClientRect().top") == 0)
    above = bar.locator(".above")
    eventually(lambda: above.evaluate("title => getComputedStyle(title).opacity") == "1")
    assert above.inner_text() == "Days"
    page.evaluate("scrollTo(0, 0)")
    eventually(lambda: above.evaluate("title => getComputedStyle(title).opacity") == "0")


# In the viewer

FRAME = """() => [...document.querySelectorAll(".slide:not([inert]) .frame")].map(frame => {
    const {left, top, width, height} = frame.getBoundingClientRect();
    return [left, top, width, height, width / frame.offsetWidth];
})[0]"""


@pytest.mark.parametrize(
    ("size", "steps"),
    [((2400, 1600), ["full", "pixels"]), ((3000, 600), ["full"]), ((1200, 1600), [2.5])],
    ids=["3 : 2", "5 : 1", "3 : 4"],
)
def test_a_double_tap_fills_the_screen_then_shows_all_pixels_then_the_whole(
    tmp_path: Path, open_site: Callable[..., Any], size: tuple[int, int], steps: list[Any]
) -> None:
    make_album(tmp_path / "Album" / "Trip", size)
    page = open_site(**PHONE)
    page.goto("/album/Trip/000.jpg")
    page.locator(".slide .over.there").wait_for()
    high, finger = PHONE["viewport"]["height"], Finger(page)
    for step in steps:
        finger.tap(195, 420, times=2)
        wanted = {"full": lambda box: box[3] == pytest.approx(high, abs=1)}
        wanted["pixels"] = lambda box: box[4] == pytest.approx(size[0] / 390, abs=0.01)
        is_so = wanted.get(step, lambda box, step=step: abs(box[4] - step) < 0.01)
        eventually(lambda is_so=is_so: is_so(page.evaluate(FRAME)))
        left, _, width, *_ = page.evaluate(FRAME)
        assert left <= 0 and left + width >= 390
    finger.tap(195, 420, times=2)
    eventually(lambda: page.evaluate(FRAME)[4] == 1)


def test_a_turned_phone_keeps_the_photo_and_the_middle_of_what_is_seen(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Trip", *[(2400, 1600)] * 3)
    page = open_site(**PHONE)
    page.goto("/album/Trip/001.jpg")
    page.locator(".slide:not([inert]) .over.there").wait_for()
    Finger(page).tap(330, 420, times=2)
    eventually(lambda: page.evaluate(FRAME)[4] > 3)
    rests(page)

    def middle() -> float:
        left, _, width, *_ = page.evaluate(FRAME)
        return (page.evaluate("innerWidth") / 2 - left) / width

    before = middle()
    assert before > 0.6
    page.set_viewport_size({"width": 844, "height": 390})
    eventually(lambda: page.evaluate("innerWidth") == 844)
    eventually(lambda: abs(middle() - before) < 0.03)
    rests(page)
    assert middle() == pytest.approx(before, abs=0.03)
    assert page.evaluate("location.pathname") == "/album/Trip/001.jpg"


def test_a_panel_below_the_picture_is_pulled_down(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Trip", USUAL)
    page = open_site(**PHONE)
    page.goto("/album/Trip/000.jpg")
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    page.keyboard.press("i")
    page.locator(".panel .when").wait_for()
    box = page.locator(".panel").bounding_box()
    assert box
    protocol = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y} for x, y in points]
        protocol.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    for way, is_open in ((30, True), (120, False)):
        touch("touchStart", (195, box["y"] + 20))
        for step in range(1, 7):
            touch("touchMove", (195, box["y"] + 20 + way * step / 6))
        touch("touchEnd")
        eventually(lambda is_open=is_open: page.locator(".panel").is_visible() == is_open)
    assert page.evaluate("document.querySelector('dialog.viewer').open")


def test_covers_are_sharp_on_every_screen(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    for name in ("a", "b", "c"):
        make_album(tmp_path / "Album" / "All" / name, (2400, 1600))
    make_album(tmp_path / "Album" / "All" / "d", (3000, 1000))
    make_album(tmp_path / "Album" / "One" / "a", (2400, 1600))
    for options in (PHONE, DESKTOP, {"viewport": {"width": 1920, "height": 1080}}):
        page = open_site(**options)
        for path in ("/", "/album/All/", "/album/One/"):
            page.goto(path)
            page.wait_for_load_state("networkidle")
            # `naturalWidth` is in CSS pixels as `sizes` tells: what was fetched counts.
            fetched = page.locator(".cover img").evaluate_all(
                """images => Promise.all(images.map(async image => {
                    const file = await createImageBitmap(await (await fetch(image.currentSrc)).blob());
                    const {width, height} = image.getBoundingClientRect();
                    return Math.min(file.width / width, file.height / height) / devicePixelRatio;
                }))"""
            )
            assert fetched and min(fetched) >= 0.99, (path, options)


# Alive at once

SHIFTS = """(() => {
    window.shifts = [];
    new PerformanceObserver(list => shifts.push(...list.getEntries().map(each => each.value)))
        .observe({type: "layout-shift", buffered: true});
})()"""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_shifts_while_soft_pictures_are_replaced(
    tmp_path: Path, open_site: Callable[..., Any], motion: str
) -> None:
    make_album(
        tmp_path / "Album" / "Many", *[USUAL, (200, 300), (900, 380), (1500, 300)] * 8
    )
    page = open_site(**PHONE, reduced_motion=motion)
    page.goto("/album/Many/")
    page.wait_for_load_state("networkidle")  # now all have colours
    # Another window: this one has pictures in memory, which it asks nobody for.
    page = open_site(**PHONE, reduced_motion=motion)
    page.add_init_script(SHIFTS)
    held: list[Any] = []
    let_go: list[bool] = []
    page.route(
        "**/thumbnail/**", lambda route: route.continue_() if let_go else held.append(route)
    )
    page.goto("/album/Many/", wait_until="domcontentloaded")
    eventually_told(page, lambda: len(held) >= 4)
    tile = page.locator(".grid a").first
    assert tile.locator("svg image").count() == 1
    before = page.evaluate(TILES)
    let_go.append(True)
    for route in held:
        route.continue_()
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 900)")
    eventually(
        lambda: page.locator(".grid img").nth(12).evaluate("image => image.complete")
    )
    page.evaluate("scrollTo(0, 0)")
    assert page.evaluate(TILES) == before
    assert sum(page.evaluate("shifts")) == 0


IN_SIGHT = """[...document.querySelectorAll(".grid li")].filter(item => {
    const {top, bottom} = item.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
}).map(item => item.querySelector("img").src.match(/\\d+(?=\\.jpg)/)[0])"""


@pytest.mark.parametrize("to", ["1e6", "2500"])
def test_after_a_jump_the_pictures_in_sight_are_asked_for_first(
    tmp_path: Path, open_site: Callable[..., Any], to: str
) -> None:
    make_album(tmp_path / "Album" / "Many", *[USUAL] * 90)
    page = open_site(**PHONE)
    asked: list[str] = []

    def keep(route: Any) -> None:
        asked.append(Path(route.request.url.partition("?")[0]).stem)
        # and no answer: the line is slow

    page.route("**/thumbnail/**", keep)
    page.goto("/album/Many/", wait_until="domcontentloaded")
    page.wait_for_function("document.querySelector('.place-now')")  # the scripts have run

    def asks_for_no_more() -> bool:
        before = len(asked)
        page.wait_for_timeout(500)
        return len(asked) == before >= 8

    eventually(asks_for_no_more)
    before = len(asked)
    page.evaluate(f"scrollTo({{top: {to}, behavior: 'instant'}})")
    in_sight = page.evaluate(IN_SIGHT)
    assert len(in_sight) >= 6
    eventually_told(page, lambda: set(in_sight) <= set(asked))
    assert set(asked[before:][: len(in_sight)]) == set(in_sight)


def test_who_leafs_quickly_sees_no_empty_frame(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Many", *[USUAL] * 24)
    page = open_site(**PHONE)
    page.goto("/album/Many/")
    page.wait_for_load_state("networkidle")
    page.route("**/preview/**", lambda route: None)  # a line that brings nothing now
    page.locator(".grid a").first.click()
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    empty = """() => {
        const slide = document.querySelector(".slide:not([inert])");
        const around = [slide, slide.nextElementSibling, slide.nextElementSibling?.nextElementSibling];
        return around.filter(each => each && !each.querySelector(".frame img")).length;
    }"""
    for number in range(1, 21):
        page.keyboard.press("ArrowRight")
        eventually(
            lambda number=number: page.evaluate("location.pathname").endswith(
                f"/{number:03}.jpg"
            )
        )
        assert page.evaluate(empty) == 0, number


def test_who_leafs_beyond_what_the_line_brought_sees_the_colours_of_each_photo(
    tmp_path: Path, open_site: Callable[..., Any]
) -> None:
    make_album(tmp_path / "Album" / "Many", *[USUAL] * 8)
    page = open_site(**PHONE)
    for kind in ("thumbnail", "preview"):
        page.route(f"**/{kind}/**", lambda route: None)  # a line that brings nothing now

    def all_have_colours() -> bool:
        page.goto("/album/Many/", wait_until="commit")
        page.locator(".grid li:nth-child(8)").wait_for()
        return page.locator(".grid a:has(svg)").count() == 8

    eventually(all_have_colours)
    colours = page.locator(".grid svg image").evaluate_all(
        "all => all.map(each => each.href.baseVal)"
    )
    assert len(colours) == 8
    page.locator(".grid a").first.click()
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    for number, colour in enumerate(colours):
        eventually(
            lambda number=number: page.evaluate("location.pathname").endswith(
                f"/{number:03}.jpg"
            )
        )
        seen = page.locator(".slide:not([inert]) .frame").evaluate(
            """frame => {
                const [image, box] = [frame.querySelector("svg image"), frame.getBoundingClientRect()];
                const {width, height} = image.getBoundingClientRect();
                return [image.href.baseVal, width === box.width, height === box.height];
            }"""
        )
        assert seen == [colour, True, True], number
        page.keyboard.press("ArrowRight")
