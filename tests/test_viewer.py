"""Looking at photos: the viewer, the grid and what a home screen shows, in a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from browsing import Finger, eventually_told, follow, rests
from conftest import DESKTOP, PHONE, PICTURES, SAMPLES, log_in, needed, set_up
from drawing import draw, exif
from playwright.sync_api import Error
from processes import Server, eventually
from visiting import PASSWORD

import photos

pytestmark = pytest.mark.whole

OpenWindow = Callable[..., Any]
Serve = Callable[[Path], Server]
LONG = 230
HUGE = 2000
TRIP = ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "f.jpg")
REAL = {  # in the order of their dates
    "Real": (
        "dates/newyear_sydney.jpg",
        "cameras/canon_r5.jpg",
        "gps/south_east.jpg",
        "heic/iphone11pro_small.heic",
        "phones/iphone6s_gps.jpg",
    ),
    "Moving": ("animated/iss.gif", "animated/iss.webp"),
}
ARABIC = "رحلة إلى البحر"


def make_trip(album: Path, names: tuple[str, ...] = TRIP) -> None:
    """Draw photos larger than their previews; the third is upright."""
    for day, name in enumerate(names, 1):
        block = exif(
            f"2024:05:{day:02} 18:30:00", "+09:00", tag010f="Canon", tag0110="Canon EOS R5"
        )
        size = (1600, 2400) if name == "c.jpg" else (2400, 1600)
        draw(album / name, size, f"#{day * 24:02x}6699", exif=block)


def wait_for_facts(server: Server, *albums: str) -> None:
    """Wait until the files of albums have been read; their pages wait for that only so long."""
    for album in albums:
        eventually(
            lambda path=f"/api/album/{album}": (
                not re.search(rb'"width": ?0\b', server.get(path)[2])
            )
        )


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of albums that no test changes."""
    root = tmp_path_factory.mktemp("gallery") / "Album"
    make_trip(root / "Trip")
    (root / "Trip" / "album.txt").write_text(
        "Trip\nTwo weeks.\nb.jpg: Sunset at the pier\n", "utf-8"
    )
    make_trip(root / "Family.private", TRIP[:1])
    make_trip(root / "Drafts.hidden", TRIP[:1])
    make_trip(root / ARABIC / "شاطئ", TRIP[:2])
    tiny = draw(root / "Long" / "001.jpg", (90, 60))
    (root / "Huge").mkdir()
    for number in range(2, LONG + 1):
        os.link(tiny, root / "Long" / f"{number:03}.jpg")
    for number in range(1, HUGE + 1):
        os.link(tiny, root / "Huge" / f"{number:04}.jpg")
    for album, names in REAL.items() if SAMPLES.is_dir() else ():
        (root / album).mkdir()
        for name in names:
            shutil.copy2(SAMPLES / name, root / album)
    if SAMPLES.is_dir():
        video = SAMPLES / "video" / "tiny.mp4"
        make_trip(root / "Film", TRIP[:3])
        block = exif("2017:10:29 21:20:50", "+00:00")  # half a minute after the film
        draw(root / "Film" / "a.jpg", (2400, 1600), "#186699", exif=block)
        shutil.copy2(video, root / "Film" / "a.mp4")  # a.jpg is a live photo
        shutil.copy2(video, root / "Film" / "film.mp4")
        os.utime(root / "Film" / "film.mp4", (1, 1))  # it goes first
    with Server(set_up(root)) as server:
        wait_for_facts(server, "Trip", *((*REAL, "Film") if SAMPLES.is_dir() else ()))
        yield server


@pytest.fixture
def trip(tmp_path: Path) -> Path:
    """A library with an album of two photos, to be changed."""
    make_trip(tmp_path / "Album" / "Trip", TRIP[:2])
    return set_up(tmp_path / "Album")


# What the tests see and do


IS_ALIGNED = """area => [...area.children].some(slide =>
    Math.abs(slide.getBoundingClientRect().left - area.getBoundingClientRect().left) < 1)"""


class Viewer:
    """The viewer on a page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.dialog = page.locator("dialog.viewer")

    def button(self, name: str) -> Any:
        return self.dialog.locator(f"[data-do={name}]")

    @property
    def is_open(self) -> bool:
        return bool(self.dialog.count()) and self.dialog.evaluate("dialog => dialog.open")

    @property
    def place(self) -> str:
        return self.dialog.locator(".place").text_content() or ""

    @property
    def path(self) -> str:
        """The path of the address; `page.url` is not told the news between two questions."""
        with contextlib.suppress(Error):  # on the way to another page
            return self.page.evaluate("location.pathname")
        return ""

    @property
    def name(self) -> str:
        """Which photo the address names."""
        return self.path.rpartition("/")[2]

    def shows(self, name: str, place: str = "") -> None:
        """Wait until it is open, shows an item alone and has that in the address."""

        def is_so() -> bool:
            return (
                self.name == name
                and self.is_open
                and place in ("", self.place)
                and self.evaluate(IS_ALIGNED)
            )

        try:
            eventually(is_so)
        except AssertionError:
            where = self.evaluate("area => [area.scrollLeft, area.clientWidth]")
            pytest.fail(
                f"asked for {name} {place}, open: {self.is_open}, {self.name} {self.place} {where}"
            )

    def is_closed(self, path: str) -> None:
        eventually(lambda: self.path == path and not self.is_open)

    def evaluate(self, script: str, *arguments: Any) -> Any:
        return self.dialog.locator(".slides").evaluate(script, *arguments)

    @property
    def box(self) -> dict[str, float]:
        """Where the picture on screen is."""
        return self.evaluate(
            """area => {
                const slide = area.children[Math.round(area.scrollLeft / area.clientWidth)];
                const {left, top, width, height} = slide?.querySelector(".frame").getBoundingClientRect() ?? {};
                return {left, top, width, height};
            }"""
        )

    @property
    def scale(self) -> float:
        return self.evaluate(
            """area => {
                const slide = area.children[Math.round(area.scrollLeft / area.clientWidth)];
                const frame = slide?.querySelector(".frame");
                return frame ? frame.getBoundingClientRect().width / frame.offsetWidth : 0;
            }"""
        )

    def zooms_to(self, scale: float) -> None:
        eventually(lambda: abs(self.scale - scale) < 0.01)

    def has_preview(self) -> None:
        """Wait until the preview lies over the thumbnail."""
        self.page.wait_for_function(
            """() => {
                const area = document.querySelector("dialog.viewer .slides");
                const slide = area.children[Math.round(area.scrollLeft / area.clientWidth)];
                return slide?.querySelector("img.over.there")?.naturalWidth > 0;
            }"""
        )


def view(page: Any, album: str, name: str) -> Viewer:
    """Open an album and click a photo in it."""
    page.goto(f"/album/{quote(album)}/")
    page.locator(f".grid a[href$='/{name}']").click()
    viewer = Viewer(page)
    viewer.shows(name)
    viewer.has_preview()
    rests(page)
    return viewer


class Fingers(Finger):
    """Touches a page as a hand does."""

    @contextlib.contextmanager
    def press(self, x: float, y: float) -> Iterator[None]:
        self._send("touchStart", (x, y))
        yield
        self._send("touchEnd")

    def swipe(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        steps: int = 10,
        pause: float = 0.012,
        hold: float = 0,
    ) -> None:
        self._send("touchStart", start)
        for step in range(1, steps + 1):
            self._send("touchMove", _between(start, end, step / steps))
            time.sleep(pause)
        for nudge in range(10 if hold else 0):
            self._send("touchMove", (end[0] + nudge % 2, end[1]))
            time.sleep(hold / 10)
        self._send("touchEnd")

    def pinch(
        self, *ways: tuple[tuple[float, float], tuple[float, float]], steps: int = 8
    ) -> None:
        self._send("touchStart", ways[0][0])
        self._send("touchStart", *(start for start, _ in ways))
        for step in range(1, steps + 1):
            self._send("touchMove", *(_between(*way, step / steps) for way in ways))
            time.sleep(0.012)
        self._send("touchEnd", ways[0][1])
        self._send("touchEnd")


def _between(
    start: tuple[float, float], end: tuple[float, float], part: float
) -> tuple[float, float]:
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def requested(page: Any, kind: str) -> list[str]:
    """The paths that the page asks for from now on, of a kind such as `/preview/`."""
    found: list[str] = []
    page.on(
        "request",
        lambda each: (
            found.append(each.url) if urlsplit(each.url).path.startswith(kind) else 0
        ),
    )
    return found


def frames(page: Any, count: int = 2) -> None:
    """Wait until the browser has drawn a few times more."""
    for _ in range(count):
        page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )


# Opening and closing


COUNT_TRANSITIONS = """window.transitions = 0;
const original = document.startViewTransition;
document.startViewTransition = function (...given) { transitions += 1; return original.apply(this, given); };"""


def test_a_photo_opens_over_the_album_and_history_opens_and_closes_it(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.goto("/album/Trip/")
    page.evaluate("window.same = true")
    link = page.locator(".grid a[href$='/c.jpg']")
    permalink, title = link.evaluate("link => link.href"), page.title()
    link.click()
    viewer = Viewer(page)
    viewer.shows("c.jpg", "3 / 6")
    assert page.url == permalink and page.title() == "c.jpg · Our photos"
    assert page.evaluate("document.activeElement.closest('dialog.viewer') !== null")

    page.go_back()
    viewer.is_closed("/album/Trip/")
    assert page.title() == title
    eventually(lambda: page.evaluate("document.activeElement.href") == permalink)
    page.go_forward()
    viewer.shows("c.jpg", "3 / 6")
    assert page.evaluate("same")  # it was one document all the time

    page.reload()
    viewer.shows("c.jpg", "3 / 6")
    viewer.has_preview()
    shared = open_window(gallery.address)
    shared.goto(permalink)
    Viewer(shared).shows("c.jpg", "3 / 6")
    Viewer(shared).has_preview()
    assert "c.jpg" in shared.locator("main .details").text_content()
    page.go_back()
    viewer.is_closed("/album/Trip/")


def test_the_thumbnail_is_on_screen_at_once_and_the_preview_is_laid_over_it(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    held: list[Any] = []
    may_pass: list[bool] = []
    page.route(
        "**/preview/**", lambda route: route.continue_() if may_pass else held.append(route)
    )
    page.goto("/album/Trip/")
    page.locator(".grid a[href$='/b.jpg'] img").evaluate("image => image.decode()")
    page.locator(".grid a[href$='/b.jpg']").click()
    viewer = Viewer(page)
    viewer.shows("b.jpg")
    pictures = viewer.dialog.locator(".slide:not([inert]) .frame").locator("img")
    assert pictures.evaluate_all(
        "all => all.map(image => image.complete && image.naturalWidth > 0)"
    ) == [True, False]
    box = viewer.box
    assert (round(box["width"]), round(box["height"])) == (
        1350,
        900,
    )  # as large as its preview will be
    eventually_told(page, lambda: held)
    may_pass.append(True)
    for route in held:
        route.continue_()
    viewer.has_preview()
    assert viewer.box == box


def test_a_photo_of_which_nothing_is_known_yet_is_as_large_as_its_preview(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    album = gallery.get("/album/Trip/")[2].decode()
    unread = re.sub(r'width="\d+" height="\d+" alt', 'width="3" height="2" alt', album)
    assert unread != album
    page.route(
        "**/album/Trip/", lambda route: route.fulfill(body=unread, content_type="text/html")
    )
    viewer = view(page, "Trip", "b.jpg")
    eventually(lambda: viewer.box["width"] == 1350 and viewer.box["height"] == 900)
    page.keyboard.press("ArrowRight")
    viewer.shows("c.jpg")
    viewer.has_preview()
    eventually(lambda: viewer.box["width"] == 600 and viewer.box["height"] == 900)


@pytest.mark.parametrize("way", ["Escape", "button"])
def test_escape_and_the_close_button_lead_to_the_album(
    gallery: Server, open_window: OpenWindow, way: str
) -> None:
    def close() -> None:
        page.keyboard.press("Escape") if way == "Escape" else viewer.button("close").click()

    page = open_window(gallery.address)
    viewer = view(page, "Trip", "b.jpg")
    page.keyboard.press("ArrowRight")
    viewer.shows("c.jpg")
    close()
    viewer.is_closed("/album/Trip/")
    # Focus is where the eyes are: on the photo that was seen last.
    eventually(
        lambda: page.evaluate("document.activeElement.href ?? ''").endswith("/c.jpg")
    )
    page.go_forward()
    viewer.shows("c.jpg")
    close()
    viewer.is_closed("/album/Trip/")

    page.goto("/album/Trip/d.jpg")  # the page of a photo, by a link from elsewhere
    viewer.shows("d.jpg", "4 / 6")
    close()
    viewer.is_closed("/album/Trip/")


def test_two_presses_of_close_lead_no_further_than_to_the_album(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.goto("/")
    viewer = view(page, "Trip", "b.jpg")
    viewer.button("close").evaluate("button => { button.click(); button.click(); }")
    viewer.is_closed("/album/Trip/")
    frames(page, 10)
    viewer.is_closed("/album/Trip/")
    view(page, "Trip", "c.jpg")


def test_a_double_click_on_a_thumbnail_opens_it_once(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, reduced_motion="reduce")
    page.goto("/album/Trip/")
    page.locator(".grid a[href$='/b.jpg']").dblclick()
    viewer = Viewer(page)
    viewer.shows("b.jpg")
    frames(page, 10)
    viewer.zooms_to(1)
    page.go_back()
    viewer.is_closed("/album/Trip/")


def test_an_address_may_be_spelled_in_other_ways(
    trip: Path, serve: Serve, open_window: OpenWindow
) -> None:
    (trip / "Trip" / "a.jpg").rename(trip / "Trip" / "it's (1) & more!.jpg")
    page = open_window(serve(trip).address)
    page.goto("/album/Trip/it's%20(1)%20&%20more!.jpg")
    viewer = Viewer(page)
    eventually(lambda: viewer.is_open)
    assert viewer.place in ("1 / 2", "2 / 2")


def test_clicks_with_keys_open_a_tab_as_on_any_link(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.goto("/album/Trip/")
    link = page.locator(".grid a[href$='/b.jpg']")
    for options in (
        {"modifiers": ["Control"]},
        {"modifiers": ["Shift"]},
        {"button": "middle"},
    ):
        with page.context.expect_page() as opened:
            link.click(**options)
        Viewer(opened.value).shows("b.jpg")
        opened.value.close()
        assert not Viewer(page).is_open and urlsplit(page.url).path == "/album/Trip/"


@pytest.mark.parametrize(("motion", "count"), [("no-preference", 1), ("reduce", 0)])
def test_pictures_grow_out_of_the_grid_unless_motion_is_reduced(
    gallery: Server, open_window: OpenWindow, motion: str, count: int
) -> None:
    page = open_window(gallery.address, reduced_motion=motion)
    page.add_init_script(COUNT_TRANSITIONS)
    viewer = view(page, "Trip", "b.jpg")
    assert page.evaluate("transitions") == count
    page.keyboard.press("ArrowRight")
    viewer.shows("c.jpg")
    page.keyboard.press("Escape")
    viewer.is_closed("/album/Trip/")
    assert page.evaluate("transitions") == count * 2
    eventually(
        lambda: page.evaluate(
            "[...document.images].every(i => !i.style.viewTransitionName)"
        )
    )


def test_neighbours_are_there_before_they_are_wanted_and_nothing_else(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    previews = requested(page, "/preview/")
    viewer = view(page, "Trip", "c.jpg")
    names = lambda: sorted(urlsplit(url).path.rpartition("/")[2] for url in previews)  # noqa: E731
    eventually(lambda: len(previews) >= 3)
    page.wait_for_load_state("networkidle")
    assert names() == ["b.jpg", "c.jpg", "d.jpg"]
    page.keyboard.press("ArrowRight")
    viewer.shows("d.jpg")
    eventually(lambda: names() == ["b.jpg", "c.jpg", "d.jpg", "e.jpg"])


@pytest.mark.parametrize("path", ["/", "/album/Trip/", "/album/Trip/b.jpg"])
@pytest.mark.parametrize("late", [False, True], ids=["", "the script comes late"])
def test_a_picture_that_is_not_ready_is_asked_for_again(
    gallery: Server, open_window: OpenWindow, path: str, late: bool
) -> None:
    page = open_window(gallery.address)
    asked: list[str] = []
    scripts: list[Any] = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        if asked.count(route.request.url) > 1:
            route.continue_()
        else:  # as good as 503, which the console would complain of
            route.fulfill(body="", content_type="image/jpeg")

    page.route(re.compile("/(thumbnail|preview)/"), answer)
    page.route(
        "**/page.js*", lambda route: scripts.append(route) if late else route.continue_()
    )
    page.goto(path, wait_until="commit")
    if late:
        eventually(
            lambda: page.evaluate(
                "[...document.images].some(each => each.complete && !each.naturalWidth)"
            )
        )
        # The first picture may fail before the script is asked for.
        eventually_told(page, lambda: scripts)
        scripts[0].continue_()
    eventually(
        lambda: (
            page.evaluate(PICTURES) and all(width for _, width in page.evaluate(PICTURES))
        )
    )
    assert len(asked) > len(set(asked)) > 0


# Fingers


def test_swipes_leaf_close_and_open_details(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, **PHONE)
    viewer = view(page, "Trip", "b.jpg")
    fingers = Fingers(page)
    fingers.swipe((330, 400), (60, 410))
    viewer.shows("c.jpg", "3 / 6")
    fingers.swipe((60, 400), (330, 410))
    viewer.shows("b.jpg", "2 / 6")
    fingers.swipe(
        (350, 400), (20, 400), steps=3, pause=0.008
    )  # fast: one photo all the same
    viewer.shows("c.jpg", "3 / 6")
    fingers.swipe(
        (200, 400), (150, 400), hold=0.2
    )  # not far, without haste: thought better of it
    frames(page, 10)
    viewer.shows("c.jpg", "3 / 6")

    fingers.swipe((200, 600), (205, 350))
    viewer.dialog.locator(".panel h1").wait_for()
    assert "c.jpg" in viewer.dialog.locator(".panel dl").inner_text()
    page.keyboard.press(
        "i"
    )  # Chromium takes a tap soon after a swipe for one that stops it
    viewer.dialog.locator(".panel").wait_for(state="hidden")
    fingers.swipe((200, 300), (200, 340), steps=20, pause=0.02, hold=0.2)
    eventually(lambda: viewer.scale == 1)
    assert viewer.is_open
    fingers.swipe((200, 300), (205, 560))
    viewer.is_closed("/album/Trip/")


def test_two_taps_and_two_fingers_zoom_and_one_finger_pans(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, **PHONE)
    viewer = view(page, "Trip", "c.jpg")
    fingers, whole = Fingers(page), viewer.box

    def part(x: float, y: float) -> tuple[float, float]:
        box = viewer.box
        return (x - box["left"]) / box["width"], (y - box["top"]) / box["height"]

    before = part(130, 420)
    fingers.tap(130, 420, times=2)
    viewer.zooms_to(2.5)
    assert part(130, 420) == pytest.approx(before, abs=0.02)

    left = viewer.box["left"]
    fingers.swipe((200, 400), (150, 400))
    eventually(lambda: viewer.box["left"] == pytest.approx(left - 50, abs=6))
    for _ in range(3):
        fingers.swipe((350, 400), (20, 400), steps=4)
    frames(page, 5)
    box = viewer.box
    assert box["left"] + box["width"] == pytest.approx(390, abs=1)  # not beyond its edge
    viewer.shows("c.jpg", "3 / 6")
    fingers.tap(200, 420, times=2)
    viewer.zooms_to(1600 / 390)  # all pixels
    fingers.tap(200, 420, times=2)
    viewer.zooms_to(1)
    eventually(lambda: viewer.box == pytest.approx(whole, abs=1))

    before = part(200, 410)
    fingers.pinch(((180, 400), (100, 360)), ((220, 420), (300, 460)))
    eventually(lambda: 1.5 < viewer.scale <= 5)
    assert part(200, 410) == pytest.approx(before, abs=0.03)
    fingers.pinch(((100, 360), (190, 400)), ((300, 460), (210, 420)))
    viewer.zooms_to(1)
    fingers.pinch(((120, 360), (190, 400)), ((280, 460), (210, 420)))  # smaller than whole
    viewer.zooms_to(1)
    eventually(lambda: viewer.box == pytest.approx(whole, abs=1))
    viewer.shows("c.jpg", "3 / 6")
    fingers.swipe((330, 400), (60, 410))  # and swipes leaf again
    viewer.shows("d.jpg", "4 / 6")


def test_a_tap_hides_and_shows_the_controls(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, **PHONE)
    viewer = view(page, "Trip", "b.jpg")
    fingers = Fingers(page)

    def shown() -> str:
        tools = viewer.dialog.locator(".tools")
        return tools.evaluate("tools => getComputedStyle(tools).opacity")

    assert (
        shown() == "1"
        and viewer.dialog.locator(".caption").inner_text() == "Sunset at the pier"
    )
    fingers.tap(200, 420)
    eventually(lambda: shown() == "0")
    fingers.tap(200, 420)
    eventually(lambda: shown() == "1")


def test_a_long_press_is_no_tap(gallery: Server, open_window: OpenWindow) -> None:
    page = open_window(gallery.address, **PHONE)
    viewer = view(page, "Trip", "b.jpg")
    fingers = Fingers(page)
    with fingers.press(200, 420):
        page.wait_for_timeout(600)
    page.wait_for_timeout(400)  # a tap waits for a second one for 300
    assert "bare" not in viewer.dialog.get_attribute("class")


def test_controls_that_are_hidden_do_not_react(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, **PHONE)
    viewer = view(page, "Trip", "b.jpg")
    box = viewer.button("details").bounding_box()
    fingers = Fingers(page)
    fingers.tap(200, 420)
    eventually(lambda: "bare" in viewer.dialog.get_attribute("class"))
    fingers.tap(box["x"] + 20, box["y"] + 20)
    eventually(lambda: "bare" not in viewer.dialog.get_attribute("class"))
    assert viewer.dialog.locator(".panel").is_hidden()


# Mouse


def test_wheel_drag_and_double_click_zoom(gallery: Server, open_window: OpenWindow) -> None:
    page = open_window(gallery.address)
    viewer = view(page, "Trip", "b.jpg")
    mouse, whole = page.mouse, viewer.box

    def below(x: float, y: float) -> tuple[float, float]:
        box = viewer.box
        return (x - box["left"]) / box["width"], (y - box["top"]) / box["height"]

    before = below(600, 300)
    mouse.move(600, 300)
    mouse.wheel(0, -300)
    eventually(lambda: viewer.scale > 1.5)
    assert below(600, 300) == pytest.approx(before, abs=0.01)
    before = viewer.box
    mouse.down()
    mouse.move(650, 320, steps=4)
    mouse.up()
    assert viewer.box["left"] == pytest.approx(before["left"] + 50, abs=1)
    assert viewer.box["top"] == pytest.approx(before["top"] + 20, abs=1)
    mouse.wheel(0, 3000)
    viewer.zooms_to(1)
    eventually(lambda: viewer.box == pytest.approx(whole, abs=1))

    before = below(700, 500)
    mouse.dblclick(700, 500)
    viewer.zooms_to(2.5)
    assert below(700, 500) == pytest.approx(before, abs=0.01)
    mouse.dblclick(700, 500)
    viewer.zooms_to(1)
    viewer.shows("b.jpg")


def test_a_click_beside_the_picture_closes(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    viewer = view(page, "Trip", "c.jpg")
    page.mouse.click(720, 450)
    frames(page, 5)
    viewer.shows("c.jpg")
    page.mouse.click(200, 450)
    viewer.is_closed("/album/Trip/")


def test_zooming_beyond_the_preview_fetches_the_original_once(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    originals = requested(page, "/photo/")
    viewer = view(page, "Trip", "b.jpg")
    page.keyboard.press("+")
    viewer.zooms_to(1.5)
    page.wait_for_load_state("networkidle")
    assert originals == []  # 2,025 pixels of a preview that has 1,920: not worth it
    for _ in range(3):
        page.keyboard.press("+")
    viewer.zooms_to(3)
    sharp = page.locator("dialog.viewer img.there[src*='/photo/']")
    eventually(
        lambda: sharp.count() == 1 and sharp.evaluate("image => image.naturalWidth") == 2400
    )
    page.keyboard.press("-")
    page.keyboard.press("+")
    page.keyboard.press("0")
    viewer.zooms_to(1)
    page.keyboard.press("+")
    viewer.zooms_to(1.5)
    page.wait_for_load_state("networkidle")
    assert [urlsplit(url).path for url in originals] == ["/photo/Trip/b.jpg"]


def test_zooming_into_heic_fetches_its_full_size_rendition(
    gallery: Server, open_window: OpenWindow, samples: Path
) -> None:
    page = open_window(gallery.address)
    originals, previews = requested(page, "/photo/"), requested(page, "/preview/")
    viewer = view(page, "Real", "iphone11pro_small.heic")
    assert not any("size=full" in url for url in previews)
    for _ in range(5):
        page.keyboard.press("+")
    eventually(lambda: viewer.scale > 2)
    sharp = page.locator("dialog.viewer img.there[src*='size=full']")
    eventually(lambda: sharp.count() == 1)
    assert sum("size=full" in url for url in previews) == 1
    assert originals == []


# Keys


def test_keys_do_everything(gallery: Server, open_window: OpenWindow) -> None:
    page = open_window(gallery.address)
    viewer, press = view(page, "Trip", "b.jpg"), page.keyboard.press
    for key, name in (
        ("ArrowRight", "c.jpg"),
        ("ArrowLeft", "b.jpg"),
        ("End", "f.jpg"),
        ("ArrowRight", "f.jpg"),
        ("Home", "a.jpg"),
        ("ArrowLeft", "a.jpg"),
    ):
        press(key)
        viewer.shows(name)
    press("ArrowRight")
    press("ArrowRight")  # two presses, however fast, turn two photos
    viewer.shows("c.jpg", "3 / 6")
    for key, scale in (("+", 1.5), ("=", 2.25), ("-", 1.5), ("0", 1), ("-", 1)):
        press(key)
        viewer.zooms_to(scale)
    press("i")
    viewer.dialog.locator(".panel h1").wait_for()
    press("i")
    viewer.dialog.locator(".panel").wait_for(state="hidden")
    with page.expect_download() as download:
        press("d")
    assert download.value.suggested_filename == "c.jpg"
    original = gallery.library / "Trip" / "c.jpg"
    assert Path(download.value.path()).read_bytes() == original.read_bytes()

    press("?")
    keys = page.locator("dialog.help")
    keys.wait_for()
    listed = set(keys.locator("kbd").all_inner_texts())
    assert {"←", "→", "Home", "End", "f", "i", "d", "+", "0", "Esc"} <= listed
    press("ArrowRight")  # is for the list
    press("Escape")
    keys.wait_for(state="hidden")
    viewer.shows("c.jpg", "3 / 6")
    press("ArrowRight")
    viewer.shows("d.jpg")
    press("f")
    frames(page)
    press("f")
    frames(page)
    viewer.shows("d.jpg")


def test_a_key_that_is_held_shows_one_picture_after_the_other(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    viewer = view(page, "Long", "001.jpg")
    press = "dialog => dialog.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))"
    for number in range(2, 32):
        viewer.dialog.evaluate(press)
        assert int(viewer.place.split()[0]) >= number - 1  # one may still be gliding in
    viewer.shows("031.jpg", f"31 / {LONG}")
    viewer.has_preview()


def test_keys_with_a_modifier_are_the_browsers(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    viewer = view(page, "Trip", "b.jpg")
    for modifier in ("Control", "Alt", "Meta"):
        for key in ("i", "d", "End", "0", "f", " "):
            if (modifier, key) != ("Alt", "d"):
                page.keyboard.press(f"{modifier}+{'Space' if key == ' ' else key}")
    frames(page)
    viewer.shows("b.jpg", "2 / 6")
    assert viewer.scale == 1 and viewer.dialog.locator(".panel").is_hidden()
    assert viewer.button("slideshow").get_attribute("aria-pressed") == "false"


def test_focus_stays_in_the_viewer_and_keys_go_on_working(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    viewer = view(page, "Trip", "b.jpg")
    page.keyboard.press("i")
    viewer.dialog.locator(".panel h1").wait_for()
    where = """() => {
        const at = document.activeElement;
        const inside = at.closest("dialog.viewer");
        return inside ? at.dataset.do ?? at.className : at === document.body ? "browser" : at.outerHTML;
    }"""
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(where))
    assert not any("<" in each for each in seen), seen
    wanted = {"close", "slideshow", "download", "details", "help", "previous", "next"}
    assert wanted <= set(seen) and seen.count("close") > 1
    viewer.button("details").focus()
    page.keyboard.press("Enter")
    viewer.dialog.locator(".panel").wait_for(state="hidden")
    page.keyboard.press("ArrowRight")  # a button that has the focus leaves other keys alone
    viewer.shows("c.jpg")
    viewer.button("next").focus()
    page.keyboard.press("Space")
    viewer.shows("d.jpg")
    viewer.button("next").click()
    viewer.shows("e.jpg")
    viewer.button("next").click()
    viewer.shows("f.jpg")  # where that button is no more, and the keys go on
    page.keyboard.press("ArrowLeft")
    viewer.shows("e.jpg")


# Albums of many pages


def test_the_viewer_goes_on_over_the_pages_of_a_long_album(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    viewer = view(page, "Long", "098.jpg")
    for number in range(99, 104):
        page.keyboard.press("ArrowRight")
        viewer.shows(f"{number:03}.jpg", f"{number} / {LONG}")

    page.goto("/album/Long/202.jpg")
    viewer.shows("202.jpg", f"202 / {LONG}")
    for number in range(201, 197, -1):
        page.keyboard.press("ArrowLeft")
        viewer.shows(f"{number:03}.jpg", f"{number} / {LONG}")
    page.reload()
    viewer.shows("198.jpg", f"198 / {LONG}")
    page.keyboard.press("End")
    eventually(lambda: viewer.place in (f"200 / {LONG}", f"{LONG} / {LONG}"))
    page.keyboard.press("Escape")
    viewer.is_closed("/album/Long/")


def test_a_page_that_comes_before_moves_nothing(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    held: list[Any] = []
    page.route(re.compile(r"/album/Long/\?page=2$"), lambda route: held.append(route))
    page.goto("/album/Long/?page=3")
    page.locator(".grid a").first.click()
    viewer = Viewer(page)
    viewer.shows("201.jpg", f"201 / {LONG}")
    eventually(lambda: frames(page) or held)
    page.keyboard.press("ArrowRight")
    held[0].continue_()
    viewer.shows("202.jpg", f"202 / {LONG}")
    page.keyboard.press("ArrowRight")
    viewer.shows("203.jpg", f"203 / {LONG}")
    eventually(lambda: viewer.evaluate("area => area.childElementCount") >= 130)
    viewer.shows("203.jpg", f"203 / {LONG}")


def test_after_closing_the_photo_that_was_left_is_on_screen(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    viewer = view(page, "Long", "003.jpg")
    page.keyboard.press("End")
    eventually(lambda: viewer.name != "003.jpg")
    page.keyboard.press("Escape")
    viewer.is_closed("/album/Long/")
    shown = """() => {
        const box = document.activeElement.getBoundingClientRect();
        return document.activeElement.matches(".grid a") && box.top > -1 && box.bottom < innerHeight + 1;
    }"""
    eventually(lambda: page.evaluate(shown))
    frames(page, 5)
    assert page.evaluate(shown) and page.evaluate("scrollY") > 1000


def test_the_grid_grows_and_comes_back_as_it_was_left(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.goto("/album/Long/")
    links = page.locator(".grid a")
    assert links.count() == 100
    page.evaluate("scrollTo(0, document.scrollingElement.scrollHeight)")
    eventually(lambda: links.count() >= 200)
    page.evaluate("scrollTo(0, document.scrollingElement.scrollHeight)")
    eventually(lambda: links.count() == LONG)
    assert page.locator(".pages a[rel=next]").count() == 0
    hrefs = links.evaluate_all("all => all.map(link => link.pathname)")
    assert hrefs == [f"/album/Long/{number:03}.jpg" for number in range(1, LONG + 1)]

    viewer = Viewer(page)
    page.locator(".grid a[href$='/215.jpg']").click()
    viewer.shows("215.jpg", f"215 / {LONG}")
    page.go_back()
    viewer.is_closed("/album/Long/")
    page.locator(".grid a[href$='/190.jpg']").scroll_into_view_if_needed()
    frames(page)
    top = page.evaluate("scrollY")
    assert top > 1000
    page.locator(".home").evaluate("home => home.click()")
    page.wait_for_url(f"{gallery.address}/")
    page.go_back()
    eventually(lambda: links.count() >= 190 and abs(page.evaluate("scrollY") - top) < 2)


def test_the_place_in_a_long_album_survives_a_reload_of_the_viewer(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.goto("/album/Long/")
    links = page.locator(".grid a")
    page.evaluate("scrollTo(0, document.scrollingElement.scrollHeight)")
    eventually(lambda: links.count() >= 200)
    page.locator(".grid a[href$='/150.jpg']").click()
    Viewer(page).shows("150.jpg")
    page.reload()
    Viewer(page).shows("150.jpg")
    page.keyboard.press("Escape")
    Viewer(page).is_closed("/album/Long/")
    eventually(lambda: links.count() >= 200 and page.evaluate("scrollY") > 1000)


def test_pages_of_a_long_album_are_links_without_javascript(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, java_script_enabled=False)
    page.goto("/album/Long/")
    for number in (2, 3):
        follow(page, page.get_by_role("link", name="Next page"))
        assert (
            page.locator(".grid a")
            .first.get_attribute("href")
            .endswith(f"/{number - 1}01.jpg")
        )
    assert page.get_by_role("link", name="Next page").count() == 0
    assert page.get_by_role("link", name="Previous page").count() == 1


ON_SCREEN = """() => {
    const { x, y, width, height } = document.querySelector(".slides").getBoundingClientRect();
    const slide = document.elementFromPoint(x + width / 2, y + height / 2).closest(".slide");
    return decodeURI(slide.link.pathname).split("/").pop();
}"""
ROWS = """() => [...document.querySelectorAll(".grid")]
    .map(list => getComputedStyle(list).gridTemplateRows.split(" ").length)"""


def restyle(page: Any, rules: str) -> None:
    """Add rules to all pages to come. The policy lets no style in, but sheets that are built."""
    page.add_init_script(f"""addEventListener("DOMContentLoaded", () => {{
        const sheet = new CSSStyleSheet();
        sheet.replaceSync({json.dumps(rules)});
        document.adoptedStyleSheets.push(sheet);
    }})""")


def test_an_album_of_two_thousand_photos_opens_and_scrolls(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, **PHONE)
    restyle(
        page, ".viewer { width: 389.57px }"
    )  # such as that of 1080 pixels at a ratio of 2.625
    page.goto("/album/Huge/")
    links = page.locator(".grid a")
    while links.count() < HUGE:
        count = links.count()
        page.evaluate("scrollTo(0, document.scrollingElement.scrollHeight)")
        eventually(lambda before=count: links.count() > before)
    rows = page.evaluate(ROWS)
    assert len(rows) > 1 and max(rows) < 10_000  # Firefox has no more
    names = [f"{number:04}.jpg" for number in range(1, HUGE + 1)]
    assert (
        links.evaluate_all("all => all.map(link => link.pathname.split('/').pop())")
        == names
    )
    name = f"{HUGE - 3}.jpg"
    page.locator(f".grid a[href$='/{name}']").click()
    viewer = Viewer(page)
    viewer.shows(name, f"{HUGE - 3} / {HUGE}")
    page.keyboard.press("End")
    viewer.shows(f"{HUGE}.jpg", f"{HUGE} / {HUGE}")
    assert page.evaluate(ON_SCREEN) == f"{HUGE}.jpg"
    page.keyboard.press("ArrowLeft")
    viewer.shows(f"{HUGE - 1}.jpg", f"{HUGE - 1} / {HUGE}")
    eventually(lambda: page.evaluate(ON_SCREEN) == f"{HUGE - 1}.jpg")
    page.keyboard.press("Home")
    viewer.shows("0001.jpg", f"1 / {HUGE}")
    filled = viewer.evaluate(
        "area => [...area.children].filter(slide => slide.firstChild).length"
    )
    assert filled <= 5


# What moves


def test_videos_play_in_place_and_stop_when_they_are_left(
    gallery: Server, open_window: OpenWindow, samples: Path, ffmpeg: str
) -> None:
    page = open_window(gallery.address)
    page.goto("/album/Film/")
    page.locator(".grid a[href$='/film.mp4']").click()
    viewer = Viewer(page)
    viewer.shows("film.mp4", "1 / 4")
    video = viewer.dialog.locator("video")
    assert video.evaluate("video => [video.controls, Boolean(video.poster)]") == [True] * 2
    video.evaluate("video => { video.muted = video.loop = true; }")
    eventually(lambda: video.evaluate("video => video.currentTime > 0"))
    page.evaluate("window.film = document.querySelector('dialog.viewer video')")
    page.keyboard.press("ArrowRight")
    viewer.shows("a.jpg", "2 / 4")
    assert page.evaluate("film.paused")
    page.keyboard.press("ArrowLeft")
    viewer.shows("film.mp4", "1 / 4")
    page.evaluate("film = document.querySelector('dialog.viewer video')")
    page.evaluate("film.loop = film.muted = true; film.play()")
    viewer.button("close").click()
    viewer.is_closed("/album/Film/")
    assert page.evaluate("film.paused")


def test_a_live_photo_plays_on_hover_and_on_press(
    gallery: Server, open_window: OpenWindow, samples: Path
) -> None:
    plays = """() => {
        const video = document.querySelector("dialog.viewer .frame video");
        return Boolean(video) && video.readyState > 1 && !video.paused;
    }"""
    page = open_window(gallery.address)
    viewer = view(page, "Film", "a.jpg")
    assert not page.evaluate(plays)
    live = viewer.dialog.locator("button.live")
    live.hover()
    eventually(lambda: page.evaluate(plays))
    page.mouse.move(700, 300)
    eventually(lambda: not page.evaluate(plays))
    live.focus()
    page.keyboard.press("Enter")
    eventually(lambda: page.evaluate(plays))
    viewer.shows("a.jpg")

    phone = open_window(gallery.address, **PHONE)
    view(phone, "Film", "a.jpg")
    with Fingers(phone).press(200, 420):
        eventually(lambda: phone.evaluate(plays))
    eventually(lambda: not phone.evaluate(plays))
    Viewer(phone).shows("a.jpg")


def test_two_fingers_on_a_live_photo_zoom_and_play_nothing(
    gallery: Server, open_window: OpenWindow, samples: Path
) -> None:
    page = open_window(gallery.address, **PHONE)
    page.add_init_script("""window.played = 0;
        addEventListener("play", () => played++, true)""")
    viewer = view(page, "Film", "a.jpg")
    page.clock.install()
    fingers = Fingers(page)
    for _ in range(2):
        fingers.pinch(((180, 420), (90, 420)), ((210, 420), (300, 420)))
    page.clock.run_for(1_000)  # longer than a press takes to begin
    assert page.evaluate("played") == 0
    assert viewer.dialog.locator(".frame video").count() == 0


def test_a_video_plays_alone_at_its_own_address(
    gallery: Server, open_window: OpenWindow, samples: Path
) -> None:
    page = open_window(gallery.address)
    page.goto("/photo/Film/film.mp4")
    eventually(lambda: page.evaluate("document.querySelector('video').readyState") >= 2)


def test_a_video_that_the_network_lost_is_not_said_to_be_unplayable(
    gallery: Server, chromium: Any, samples: Path
) -> None:
    page = chromium.new_page(base_url=gallery.address)  # its console may complain
    lost: list[str] = []
    page.route(
        "**/photo/Film/film.mp4*",
        lambda route: (lost.append(route.request.method), route.abort()),
    )
    page.goto("/album/Film/")
    page.locator(".grid a[href$='/film.mp4']").click()
    viewer = Viewer(page)
    viewer.shows("film.mp4")
    eventually(
        lambda: page.evaluate(
            "document.querySelector('.slide:not([inert]) video').error !== null"
        )
    )
    eventually(
        lambda: frames(page) or "HEAD" in lost
    )  # the page asks whether the network is to blame
    frames(page, 5)
    assert viewer.dialog.locator(".slide:not([inert]) video").is_visible()
    assert viewer.dialog.get_by_text("cannot play").count() == 0
    page.close()


def test_a_video_that_the_browser_cannot_play_says_so(
    gallery: Server, open_window: OpenWindow, samples: Path
) -> None:
    page = open_window(gallery.address)
    page.route(
        "**/photo/Film/film.mp4*",
        lambda route: route.fulfill(body="?", content_type="video/mp4"),
    )
    page.goto("/album/Film/")
    page.locator(".grid a[href$='/film.mp4']").click()
    viewer = Viewer(page)
    viewer.shows("film.mp4")
    viewer.dialog.get_by_text(
        "Your browser cannot play this video: download it."
    ).wait_for()
    assert viewer.button("download").is_visible()


def test_animated_pictures_move(
    gallery: Server, open_window: OpenWindow, samples: Path
) -> None:
    page = open_window(gallery.address)
    for name in ("iss.gif", "iss.webp"):
        viewer = view(page, "Moving", name)
        image = viewer.dialog.locator(f"img.there[src*='/photo/Moving/{name}']")
        image.wait_for()
        first = image.screenshot()
        eventually(lambda before=first, shown=image: shown.screenshot() != before)


# Slideshow

RECORD_LOCKS = """window.locks = [];
const ask = navigator.wakeLock.request;
navigator.wakeLock.request = function (...given) { locks.push(given[0]); return ask.apply(this, given); };"""


def goes_on(page: Any, is_so: Callable[[], bool]) -> None:
    """Let the page's clock run fast until a slideshow came to a photo."""

    def is_there() -> bool:
        if is_so():
            return True
        page.clock.fast_forward(
            1_000
        )  # the pace counts from when the one before was on screen
        return False

    eventually(is_there)


def test_a_slideshow_goes_on_at_the_chosen_pace_until_it_is_stopped(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.add_init_script(RECORD_LOCKS)
    page.clock.install()
    viewer = view(page, "Trip", "b.jpg")
    interval, pressed = viewer.dialog.locator("[data-interval]"), viewer.button("slideshow")
    plays = lambda: pressed.get_attribute("aria-pressed") == "true"  # noqa: E731
    assert interval.is_hidden()
    page.keyboard.press("Space")
    assert plays()
    eventually(lambda: page.evaluate("locks") == ["screen"])
    interval.select_option("60")
    page.clock.fast_forward(50_000)
    viewer.shows("b.jpg")
    interval.select_option("3")
    goes_on(page, lambda: viewer.place == "3 / 6")
    goes_on(page, lambda: viewer.place == "4 / 6")
    viewer.shows("d.jpg", "4 / 6")
    rests(page)
    page.locator("dialog.viewer .slides").focus()
    page.keyboard.press("Space")
    assert not plays()
    page.clock.fast_forward(60_000)
    viewer.shows("d.jpg", "4 / 6")

    pressed.click()
    assert plays()
    page.keyboard.press("Escape")
    eventually(lambda: not plays())
    viewer.shows("d.jpg", "4 / 6")
    page.keyboard.press("Escape")
    viewer.is_closed("/album/Trip/")
    page.reload()
    page.locator(".grid a").first.click()
    viewer.shows("a.jpg")
    assert interval.input_value() == "3"


def test_a_slideshow_begins_again_after_the_last_photo(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.clock.install()
    viewer = view(page, "Trip", "f.jpg")
    page.keyboard.press("Space")
    goes_on(page, lambda: viewer.place == "1 / 6")
    viewer.shows("a.jpg", "1 / 6")
    viewer.has_preview()
    rests(page)
    page.keyboard.press("Space")
    viewer.button("close").click()
    viewer.is_closed("/album/Trip/")
    page.locator(".grid a[href$='/c.jpg']").click()
    viewer.shows("c.jpg", "3 / 6")
    viewer.has_preview()


def test_an_old_tablet_shows_an_album_for_ever(
    trip: Path, serve: Serve, open_window: OpenWindow
) -> None:
    server = serve(trip)
    page = open_window(server.address)
    page.add_init_script(RECORD_LOCKS)
    page.clock.install()
    page.goto("/album/Trip/?slideshow")
    viewer, address = Viewer(page), page.url

    def on_screen(name: str, place: str) -> None:
        shown = """area => area.children[Math.round(area.scrollLeft / area.clientWidth)]
            ?.querySelector("img.over.there")?.src ?? ''"""
        goes_on(
            page,
            lambda: f"/Trip/{name}?" in viewer.evaluate(shown) and viewer.place == place,
        )
        assert page.url == address

    on_screen("a.jpg", "1 / 2")
    assert viewer.is_open and page.evaluate("locks") == ["screen"]
    on_screen("b.jpg", "2 / 2")
    draw(trip / "Trip" / "c.jpg", exif=exif("2024:06:01 10:00:00"))
    on_screen("a.jpg", "1 / 3")
    on_screen("b.jpg", "2 / 3")
    on_screen("c.jpg", "3 / 3")

    page.keyboard.press("Escape")  # it stops, nobody having touched the page before
    eventually(lambda: viewer.button("slideshow").get_attribute("aria-pressed") == "false")
    assert viewer.is_open
    page.keyboard.press("Escape")
    eventually(lambda: not viewer.is_open)


def test_after_a_photo_frame_addresses_follow_the_photos_again(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.goto("/album/Trip/?slideshow")
    viewer = Viewer(page)
    eventually(lambda: viewer.is_open)
    viewer.has_preview()
    page.keyboard.press("Space")
    viewer.button("close").click()
    eventually(lambda: not viewer.is_open)
    rests(page)
    page.locator(".grid a[href$='/a.jpg']").click()
    viewer.shows("a.jpg")
    rests(page)
    page.keyboard.press("ArrowRight")
    viewer.shows("b.jpg")


def test_opening_while_the_last_transition_runs_is_no_error(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    view(page, "Trip", "b.jpg")
    page.evaluate("""async () => {
        for (let times = 0; times < 4; times++) {
            document.querySelector("dialog [data-do=close]").click();
            await new Promise(requestAnimationFrame);
            document.querySelector(".grid a").click();
            await new Promise(requestAnimationFrame);
        }
    }""")
    rests(page)


# Details


@pytest.mark.parametrize(
    ("locale", "date"),
    [
        ("en-GB", r"Friday, 3 May 2024 · 18:30"),
        ("en-US", r"Friday, May 3, 2024 at 6:30.PM"),
        ("de-DE", r"Freitag, 3\. Mai 2024 · 18:30"),
        ("it-IT", r"venerdì 3 maggio 2024 (alle ore |alle |ore )?18:30"),
        ("ja-JP", r"2024年5月3日金曜日 · 18:30"),
    ],
)
def test_dates_are_in_the_visitors_language_and_of_the_photos_zone(
    gallery: Server, open_window: OpenWindow, locale: str, date: str
) -> None:
    page = open_window(gallery.address, locale=locale, timezone_id="America/New_York")
    viewer = view(page, "Trip", "c.jpg")
    page.keyboard.press("i")
    shown = viewer.dialog.locator(".panel time")
    shown.wait_for()
    assert re.fullmatch(date, shown.inner_text()), shown.inner_text()
    assert "Canon EOS R5" in viewer.dialog.locator(".panel dl").inner_text()


def test_details_follow_the_photo_and_tell_where_it_was_to_users_alone(
    gallery: Server, open_window: OpenWindow, samples: Path
) -> None:
    page = open_window(gallery.address)
    for is_user in (False, True):
        if is_user:
            page.goto("/login")
            log_in(page)
            page.wait_for_url(f"{gallery.address}/")
        viewer = view(page, "Real", "south_east.jpg")
        page.keyboard.press("i")
        panel = viewer.dialog.locator(".panel")
        panel.get_by_text("south_east.jpg").wait_for()  # once
        terms = panel.locator("dt").all_inner_texts()
        assert {"File", "Dimensions", "Size"} <= set(terms)
        assert ("Location" in terms) is is_user
        assert panel.locator("a.place").count() == is_user
        page.keyboard.press("ArrowRight")
        panel.get_by_text("south_east.jpg").first.wait_for(state="detached")
        assert panel.locator("h1").count() == 1


def test_details_offer_the_raw_file_of_a_photo(
    tmp_path: Path, serve: Serve, open_window: OpenWindow
) -> None:
    make_trip(tmp_path / "Album" / "Trip", TRIP[:2])
    (tmp_path / "Album" / "Trip" / "A.NEF").write_bytes(b"MM\0*" + bytes(99))
    server = serve(set_up(tmp_path / "Album"))
    wait_for_facts(server, "Trip")
    page = open_window(server.address)
    viewer = view(page, "Trip", "a.jpg")
    page.keyboard.press("i")
    link = viewer.dialog.locator(".panel").get_by_text("A.NEF")
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "A.NEF"
    page.keyboard.press("ArrowRight")
    link.wait_for(state="detached")


def test_details_of_another_photo_are_never_shown(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.route(
        "**/album/Trip/c.jpg",
        lambda route: route.fulfill(body="<p>Log in", content_type="text/html"),
    )
    viewer = view(page, "Trip", "b.jpg")
    page.keyboard.press("i")
    panel = viewer.dialog.locator(".panel")
    eventually(lambda: "b.jpg" in (panel.text_content() or ""))
    page.keyboard.press("ArrowRight")
    viewer.shows("c.jpg")
    eventually(lambda: panel.text_content() == "")
    page.keyboard.press("ArrowRight")
    eventually(lambda: "d.jpg" in (panel.text_content() or ""))
    page.unroute("**/album/Trip/c.jpg")
    page.keyboard.press("ArrowLeft")
    eventually(lambda: "c.jpg" in (panel.text_content() or ""))


def test_captions_are_shown(gallery: Server, open_window: OpenWindow) -> None:
    page = open_window(gallery.address)
    viewer = view(page, "Trip", "b.jpg")
    caption = viewer.dialog.locator(".caption")
    assert caption.inner_text() == "Sunset at the pier"
    assert page.title() == "Sunset at the pier · Our photos"
    page.keyboard.press("i")
    viewer.dialog.locator(".panel h1").wait_for()
    assert viewer.dialog.locator(".panel h1").inner_text() == "Sunset at the pier"
    page.keyboard.press("ArrowRight")
    viewer.shows("c.jpg")
    assert caption.text_content() == ""


def test_captions_come_from_the_file_too(
    trip: Path, serve: Serve, open_window: OpenWindow
) -> None:
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>'
        '<rdf:li xml:lang="x-default">Gran &amp; the sea</rdf:li></rdf:Alt></dc:description>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    draw(trip / "Trip" / "x.jpg", xmp=xmp.encode(), exif=exif("2025:01:01 10:00:00"))
    server = serve(trip)
    wait_for_facts(server, "Trip")
    page = open_window(server.address)
    viewer = view(page, "Trip", "x.jpg")
    assert viewer.dialog.locator(".caption").inner_text() == "Gran & the sea"
    assert (
        page.locator(".grid a[href$='/x.jpg'] img").get_attribute("alt") == "Gran & the sea"
    )


# Sharing

RECORD_SHARES = """window.shares = [];
navigator.share = data => { shares.push(data); return Promise.resolve(); };"""


def test_sharing_copies_the_address_where_the_system_cannot_share(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, permissions=["clipboard-read", "clipboard-write"])
    page.add_init_script("delete Navigator.prototype.share")
    viewer = view(page, "Trip", "b.jpg")
    viewer.dialog.locator("[data-share]").click()
    viewer.dialog.get_by_text("The link is copied.").wait_for()
    assert (
        page.evaluate("navigator.clipboard.readText()")
        == f"{gallery.address}/album/Trip/b.jpg"
    )
    page.keyboard.press("Escape")
    viewer.is_closed("/album/Trip/")
    page.locator(".tasks [data-share]").click()
    page.locator(".tasks").get_by_text("The link is copied.").wait_for()
    assert (
        page.evaluate("navigator.clipboard.readText()") == f"{gallery.address}/album/Trip/"
    )


def test_sharing_opens_the_systems_own_sheet(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.add_init_script(RECORD_SHARES)
    viewer = view(page, "Trip", "b.jpg")
    viewer.dialog.locator("[data-share]").click()
    shared = {
        "title": "Sunset at the pier · Our photos",
        "url": f"{gallery.address}/album/Trip/b.jpg",
    }
    eventually(lambda: page.evaluate("shares") == [shared])
    assert viewer.dialog.get_by_text("The link is copied.").count() == 0


# What is new


def test_what_was_added_since_the_last_visit_is_marked(
    trip: Path, serve: Serve, open_window: OpenWindow
) -> None:
    server = serve(trip)
    page = open_window(server.address)
    marked = """all => all.filter(link => link.checkVisibility() && link.querySelector('.fresh').checkVisibility())
        .map(link => link.pathname)"""

    def new(page: Any, selector: str = ".grid a") -> list[str]:
        return page.locator(selector).evaluate_all(marked)

    page.goto("/")
    assert "new" not in (page.locator(".card").get_attribute("class") or "").split()
    page.goto("/album/Trip/")
    assert new(page) == []
    page.reload()
    assert new(page) == []
    page.close()

    now = int(time.time())
    eventually(lambda: int(time.time()) > now)  # the marks know seconds
    draw(trip / "Trip" / "z.jpg", exif=exif("2025:01:01 10:00:00"))
    page = page.context.new_page()
    for _ in range(2):  # it stays marked as long as the visit lasts
        page.goto("/album/Trip/")
        assert new(page) == ["/album/Trip/z.jpg"]
    page.locator(".grid a[href$='/z.jpg']").click()
    Viewer(page).shows("z.jpg")
    page.go_back()
    assert new(page) == ["/album/Trip/z.jpg"]
    page.close()

    page = page.context.new_page()
    page.goto("/album/Trip/")
    assert new(page) == []


# For home screens


def test_the_site_can_be_installed(gallery: Server, open_window: OpenWindow) -> None:
    page = open_window(gallery.address)
    page.goto("/")
    href = lambda rel: page.locator(f"link[rel='{rel}']").get_attribute("href")  # noqa: E731
    status, headers, body = gallery.get(href("manifest"))
    assert (status, headers["content-type"]) == (200, "application/manifest+json")
    manifest = json.loads(body)
    images = [icon["src"] for icon in manifest["icons"]]
    for address in (*images, href("icon"), href("apple-touch-icon")):
        width = page.evaluate(
            "async src => { const image = Object.assign(new Image(), {src}); await image.decode(); return image.width; }",
            address,
        )
        named = re.search(r"-(\d+)\.png", address)
        assert width == int(named[1]) if named else width > 0
    colours = page.locator("meta[name=theme-color]")
    assert (
        len(colours.evaluate_all("all => all.map(each => [each.media, each.content])")) == 2
    )
    assert gallery.get(href("alternate"))[1]["content-type"].startswith(
        "application/atom+xml"
    )
    protocol = page.context.new_cdp_session(page)
    assert protocol.send("Page.getAppManifest")["errors"] == []


# Every screen

WIDER = """() => [...document.querySelectorAll("body *")]
    .filter(each => each.checkVisibility() && !each.closest(".slides, .said, .skip"))
    .filter(each => getComputedStyle(each).position !== "absolute" || each.closest(".viewer"))
    .map(each => [each.getBoundingClientRect(), each])
    .filter(([box]) => box.width && (box.right > innerWidth + 1 || box.left < -1))
    .map(([, each]) => each.outerHTML.slice(0, 100))"""


@pytest.mark.parametrize("text", [16, 32], ids=["320 px", "text at 200 %"])
def test_nothing_is_wider_than_a_small_screen(
    gallery: Server, open_window: OpenWindow, text: int
) -> None:
    page = open_window(
        gallery.address, viewport={"width": 320 if text == 16 else 390, "height": 700}
    )
    if text == 32:
        restyle(
            page, ":root { font-size: 200% }"
        )  # what "rem" and "em" start from, as a visitor sets it
    for path in ("/", "/album/Trip/", f"/album/{quote(ARABIC)}/", "/login"):
        page.goto(path)
        assert (
            page.evaluate("getComputedStyle(document.documentElement).fontSize")
            == f"{text}px"
        )
        assert page.evaluate(WIDER) == [], path
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), path
    viewer = view(page, "Trip", "b.jpg")
    assert page.evaluate(WIDER) == []
    page.keyboard.press("i")
    viewer.dialog.locator(".panel h1").wait_for()
    assert page.evaluate(WIDER) == []
    page.keyboard.press("?")
    page.locator("dialog.help").wait_for()
    assert page.evaluate(WIDER) == []
    right_to_left = view(page, f"{ARABIC}/شاطئ", "a.jpg")
    page.keyboard.press("ArrowRight")
    right_to_left.shows("b.jpg", "2 / 2")


# How wide the photos of the grid are, what their `sizes` comes to, and how many columns there are.
GRID = """() => {
    const image = document.querySelector(".grid img");
    const choices = image.sizes.split(", ").map(each => /^(?:(\\([^)]*\\)) )?(.+)$/.exec(each));
    const [, , length] = choices.find(([, condition]) => !condition || matchMedia(condition).matches);
    const ruler = document.body.appendChild(document.createElement("div"));
    ruler.style.width = length;
    const told = ruler.getBoundingClientRect().width;
    ruler.remove();
    const columns = getComputedStyle(image.closest(".grid")).gridTemplateColumns.split(" ").length;
    return [image.getBoundingClientRect().width, told, columns];
}"""
COLUMNS = {320: 2, 578: 3, 700: 3, 898: 4, 1278: 5, 1638: 6, 2038: 7, 2560: 7}


def test_the_browser_is_told_how_wide_the_photos_of_the_grid_are(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address)
    page.goto("/album/Long/")
    for (below, fewer), (width, columns) in pairwise(COLUMNS.items()):
        for screen, count in ((below, fewer), (width - 1, fewer), (width, columns)):
            page.set_viewport_size({"width": screen, "height": 800})
            real, told, shown = page.evaluate(GRID)
            assert shown == count, screen
            assert told == pytest.approx(real, rel=0.02), screen


SMALL = """() => [...document.querySelectorAll("a, button, select, input")]
    .filter(each => each.checkVisibility() && !each.closest(".skip, [inert]"))
    .filter(each => each.getBoundingClientRect().height < 44).map(each => each.outerHTML)"""


def test_all_that_can_be_tapped_is_as_high_as_a_finger_is_wide(
    gallery: Server, open_window: OpenWindow
) -> None:
    page = open_window(gallery.address, **PHONE)
    for path in ("/", "/album/Trip/", "/album/Trip/b.jpg", "/album/Long/?page=2", "/login"):
        page.goto(path)
        assert page.evaluate(SMALL) == [], path
    viewer = view(page, "Film", "a.jpg")
    viewer.button("slideshow").tap()
    viewer.dialog.locator("select").wait_for()
    assert page.evaluate(SMALL) == []


# Takes a page away from its end, element by element: so it looked while it came over a slow line.
MOVED = """() => {
    const hasText = each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const placed = () => [...document.querySelectorAll("body *")]
        .filter(each => each.checkVisibility() && (each.matches("img, svg, input") || hasText(each)))
        .map(each => [each, each.getBoundingClientRect()]);
    const moved = [];
    document.querySelectorAll("dialog").forEach(dialog => dialog.remove());
    for (const last of [...document.querySelectorAll("body *")].reverse()) {
        const before = placed();
        last.remove();
        for (const [each, box] of before.filter(([each]) => each.isConnected)) {
            const { x, y, width } = each.getBoundingClientRect();
            if (width && Math.hypot(x - box.x, y - box.y) >= 1) moved.push([each.outerHTML, last.outerHTML]);
        }
    }
    return moved;
}"""


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize(
    "title", ["Photos", "Photos of the whole family from 1957 until today, and more"]
)
def test_nothing_moves_when_the_rest_of_a_page_arrives(
    tmp_path: Path,
    serve: Serve,
    open_window: OpenWindow,
    title: str,
    screen: dict[str, Any],
) -> None:
    library = tmp_path / "Album"
    make_trip(library / "Trip", TRIP[:2])
    make_trip(library, TRIP[:1])
    tiny = draw(library / "Long" / "001.jpg", (90, 60))
    for number in range(2, LONG + 1):
        os.link(tiny, library / "Long" / f"{number:03}.jpg")
    set_up(library)
    user = "grandmother.anna-maria.from.the.house.by.the.seaside"
    photos.write_config(library / photos.STATE_FOLDER, photos.Config(title=title))
    photos.UserStore(library / photos.STATE_FOLDER).register(user, PASSWORD.encode())
    page = open_window(serve(library).address, **screen)
    paths = (
        "/",
        "/album/Trip/",
        "/album/Trip/a.jpg",
        *(f"/album/Long/?page={n}" for n in (1, 2, 3)),
        "/login",
    )
    for path in paths:
        page.goto(path)
        assert page.evaluate(MOVED) == [], path
    page.goto("/login")
    log_in(page, name=user)
    for path in paths[:2]:
        page.goto(path)
        assert page.get_by_role("button", name="Log out").is_visible()
        assert page.evaluate(WIDER) == [], path
        assert page.evaluate(MOVED) == [], path


# Everybody

# One exact version: the rules that a newer one adds shall fail in the commit that takes it.
AXE = "axe-core@4.14.1"


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which finds what some people cannot use; without npm, tests of it are skipped."""
    folder = tmp_path_factory.mktemp("axe")
    command = [
        needed("npm"),
        "install",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--prefix",
        folder,
        AXE,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=folder
    )
    if done.returncode:
        pytest.skip(f"npm cannot get axe-core: {done.stderr.strip()[-300:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


RUN_AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .map(({id, nodes}) => [id, nodes.map(node => [node.target.join(" "), node.failureSummary])])"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(
    gallery: Server,
    open_window: OpenWindow,
    chromium: Any,
    axe: str,
    tmp_path: Path,
    serve: Serve,
    scheme: str,
    screen: dict[str, Any],
) -> None:
    found: dict[str, Any] = {}

    def check(what: str) -> None:
        rests(page)
        page.evaluate(axe)
        if violations := page.evaluate(RUN_AXE):
            found[what] = violations

    (tmp_path / "Empty").mkdir()
    nowhere = serve(set_up(tmp_path / "Empty"))
    # Not `open_window`: a page that does not exist answers 404 on purpose.
    context = chromium.new_context(color_scheme=scheme, reduced_motion="reduce", **screen)
    with contextlib.closing(context):
        page = context.new_page()
        for what, address in (
            ("front page", f"{gallery.address}/"),
            ("album", f"{gallery.address}/album/Trip/"),
            ("right to left", f"{gallery.address}/album/{quote(ARABIC)}/"),
            ("timeline", f"{gallery.address}/timeline/"),
            ("year", f"{gallery.address}/timeline/2024/"),
            ("month", f"{gallery.address}/timeline/2024/05/"),
            ("search", f"{gallery.address}/search?q=trip+jpg"),
            ("search without results", f"{gallery.address}/search?q=dragon"),
            ("error", f"{gallery.address}/nothing"),
            ("private album", f"{gallery.address}/album/Family/"),
            ("empty library", f"{nowhere.address}/"),
            ("login", f"{gallery.address}/login"),
        ):
            page.goto(address)
            check(what)
        log_in(page)
        page.wait_for_url(f"{gallery.address}/")
        check("front page of a user")
        for what, address in (
            ("links for guests", "shares"),
            ("form for a link", "share/Trip/"),
        ):
            page.goto(f"{gallery.address}/{address}")
            page.get_by_role("heading", level=1).wait_for()
            check(what)
        page.goto(f"{gallery.address}/album/Trip/")
        box = page.locator(".grid a").first.bounding_box()
        with Fingers(page).press(box["x"] + 40, box["y"] + 40):
            page.locator("dialog.press").wait_for()
        check("sheet of a tile")
        page.goto(f"{gallery.address}/album/Trip/b.jpg")
        viewer = Viewer(page)
        viewer.shows("b.jpg")
        viewer.has_preview()
        check("viewer")
        page.keyboard.press("i")
        viewer.dialog.locator(".panel h1").wait_for()
        check("details")
        page.keyboard.press("?")
        page.locator("dialog.help").wait_for()
        check("list of keys")
        page.evaluate(
            "document.querySelectorAll('dialog').forEach(dialog => dialog.close())"
        )
        check("photo page")
    assert found == {}


# High dynamic range

BRIGHT = """(() => {
    const ask = window.matchMedia.bind(window);
    window.matchMedia = query => query.includes("dynamic-range") ? {matches: true} : ask(query);
})()"""
SAVING = "Object.defineProperty(navigator, 'connection', {value: {saveData: true}})"


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of photos of high dynamic range, and an ordinary one."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no real photos at {SAMPLES}")
    root = tmp_path_factory.mktemp("bright") / "Album"
    draw(root / "Bright" / "plain.jpg", (900, 600))
    for name in (
        "hdr/apple_gainmap.jpg",
        "hdr/seine_gainmap.avif",
        "avif/10bit_p3_20mp.avif",
    ):
        shutil.copy2(SAMPLES / name, root / "Bright")
    with Server(set_up(root)) as server:
        wait_for_facts(server, "Bright")
        yield server


@pytest.mark.parametrize(
    "name", ["apple_gainmap.jpg", "seine_gainmap.avif", "10bit_p3_20mp.avif"]
)
def test_a_bright_photo_is_shown_in_its_whole_range_in_the_same_box(
    name: str, bright: Server, open_window: OpenWindow
) -> None:
    page = open_window(bright.address)
    page.add_init_script(BRIGHT)
    originals = requested(page, "/photo/")
    view(page, "Bright", name)
    frame = page.locator("dialog.viewer .slide:not([inert]) .frame")
    before = frame.bounding_box()
    page.wait_for_selector(f"dialog.viewer img.there[src*='/photo/Bright/{name}']")
    eventually(lambda: frame.locator("img").count() == 1)
    assert frame.bounding_box() == before
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.wait_for_load_state("networkidle")
    assert [urlsplit(url).path for url in originals] == [f"/photo/Bright/{name}"]
    assert frame.locator("img").get_attribute("src").startswith("/photo/")


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("", "apple_gainmap.jpg"),
        (BRIGHT, "plain.jpg"),
        (BRIGHT + ";" + SAVING, "apple_gainmap.jpg"),
    ],
    ids=["no such screen", "no such photo", "a visitor who saves data"],
)
def test_otherwise_the_preview_stays(
    script: str, name: str, bright: Server, open_window: OpenWindow
) -> None:
    page = open_window(bright.address)
    page.add_init_script(script)
    originals = requested(page, "/photo/")
    view(page, "Bright", name)
    page.wait_for_timeout(1000)
    page.wait_for_load_state("networkidle")
    assert originals == []


def test_who_leafs_on_fetches_no_original(bright: Server, open_window: OpenWindow) -> None:
    page = open_window(bright.address)
    page.add_init_script(BRIGHT)
    originals = requested(page, "/photo/")
    view(page, "Bright", "plain.jpg")
    # By the page's own clock: on a busy machine a key that comes from outside may be late.
    page.evaluate("""async () => {
        for (const key of ["Home", "ArrowRight", "ArrowRight", "ArrowRight", "Home"]) {
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            await new Promise((resolve) => setTimeout(resolve, 50));
        }
        document.querySelector("dialog.viewer [data-do=close]").click();
    }""")
    page.wait_for_timeout(1000)
    assert originals == []
    assert not Viewer(page).is_open


def test_programs_learn_which_photos_are_bright(bright: Server) -> None:
    items = json.loads(bright.get("/api/album/Bright")[2])["items"]
    assert {item["name"]: item.get("hdr") for item in items} == {
        "apple_gainmap.jpg": True,
        "seine_gainmap.avif": True,
        "10bit_p3_20mp.avif": True,
        "plain.jpg": None,
    }
