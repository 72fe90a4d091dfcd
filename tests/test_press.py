"""A finger that rests on a photo: the small sheet that opens, and what leads elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browsing import Finger
from conftest import PHONE, log_in, set_up
from drawing import draw, exif
from processes import Server, eventually

pytestmark = pytest.mark.whole

RESTS = 900  # ms, well over the half second of a long press
IS_OPEN = "name => document.querySelector(`dialog.${name}`).open"
RECORD_SHARES = """window.shares = [];
navigator.share = data => { shares.push(data); return Promise.resolve(); };"""
# Android says by this event that a finger rests; Chromium without a screen does not.
REST = """picture => picture.dispatchEvent(
    new PointerEvent("contextmenu", {pointerType: "touch", bubbles: true, cancelable: true}))"""
MENUS = """window.menus = [];
addEventListener("contextmenu", event => menus.push(event.defaultPrevented));"""


@pytest.fixture
def server(tmp_path: Path, serve: Callable[[Path], Server]) -> Server:
    for album in ("Trip", "Family.private"):
        for day in range(1, 10):
            block = exif(f"2024:05:{day:02} 18:30:00")
            draw(
                tmp_path / "Album" / album / f"{day}.jpg", (900, 600), "#186699", exif=block
            )
    (tmp_path / "Album" / "Trip" / "album.txt").write_text(
        "Trip\n\n2.jpg: Sunset\n5.jpg: البحر\n", "utf-8"
    )
    server = serve(set_up(tmp_path / "Album"))
    eventually(lambda: b'"width": 0' not in server.get("/api/album/Trip")[2])
    return server


class Phone:
    """A phone with an album on its screen."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.finger = Finger(page)
        self.sheet = page.locator("dialog.press")

    def middle(self, selector: str) -> tuple[float, float]:
        box = self.page.locator(selector).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(self, selector: str) -> tuple[float, float]:
        """Lay the finger on something and leave it there."""
        self.finger.drag(place := self.middle(selector))
        return place

    def press(self, name: str) -> None:
        """Let the finger rest on a tile until the sheet opens, and lift it."""
        self.touch(f".grid a[href$='/{name}']")
        self.sheet.wait_for()
        self.finger.lift()

    def entry(self, name: str) -> Any:
        return self.sheet.get_by_text(name, exact=True)

    def is_open(self, name: str) -> bool:
        return bool(self.page.evaluate(IS_OPEN, name))

    def opens_nothing(self) -> None:
        self.page.wait_for_timeout(RESTS)
        assert not self.is_open("press")


@pytest.fixture
def open_phone(server: Server, open_window: Callable[..., Any]) -> Callable[..., Phone]:
    def open_it(path: str = "/album/Trip/", script: str = "", **options: Any) -> Phone:
        page = open_window(server.address, **{**PHONE, **options})
        page.add_init_script(script)
        page.goto(path)
        page.wait_for_load_state("networkidle")
        return Phone(page)

    return open_it


def test_a_long_press_opens_the_sheet_and_not_the_viewer(
    open_phone: Callable[..., Phone],
) -> None:
    phone = open_phone()
    page = phone.page
    tile = page.locator(".grid a[href$='/2.jpg']")
    phone.touch(".grid a[href$='/2.jpg']")
    shade = tile.locator("img").evaluate("image => getComputedStyle(image).filter")
    assert shade == "brightness(0.8)"
    phone.sheet.wait_for()
    phone.finger.lift()
    page.wait_for_timeout(300)
    assert phone.is_open("press") and not phone.is_open("viewer")
    assert urlsplit(page.url).path == "/album/Trip/"
    assert page.get_by_role("dialog", name="Sunset").count() == 1
    entries = phone.sheet.locator("button, a")
    assert entries.all_inner_texts() == ["Open", "Share", "Download"]
    assert entries.evaluate_all("all => all.every(each => each.offsetHeight >= 44)")
    shade = tile.locator("img").evaluate("image => getComputedStyle(image).filter")
    assert shade == "none"
    page.keyboard.press("Escape")
    phone.sheet.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.href").endswith("/2.jpg")


def test_a_name_in_another_script_begins_where_the_entries_begin(
    open_phone: Callable[..., Phone],
) -> None:
    phone = open_phone()
    phone.press("5.jpg")
    name = phone.sheet.get_by_text("البحر")
    assert name.evaluate("name => getComputedStyle(name).direction") == "rtl"
    words = """element => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return range.getBoundingClientRect().left;
    }"""
    assert name.evaluate(words) == phone.entry("Open").evaluate(words) > 0


def test_a_tap_beside_the_sheet_closes_it_and_does_nothing_else(
    open_phone: Callable[..., Phone],
) -> None:
    phone = open_phone()
    phone.press("3.jpg")
    phone.page.touchscreen.tap(*phone.middle(".grid a[href$='/1.jpg']"))
    phone.sheet.wait_for(state="hidden")
    phone.page.wait_for_timeout(300)
    assert not phone.is_open("viewer")
    phone.page.locator(".grid a[href$='/5.jpg']").tap()  # and the next tap is a tap again
    eventually(lambda: phone.is_open("viewer"))


@pytest.mark.parametrize("is_guest", [False, True], ids=["visitor", "guest"])
def test_each_entry_does_what_it_says(
    server: Server, open_phone: Callable[..., Phone], is_guest: bool
) -> None:
    album = "Family" if is_guest else "Trip"
    path = f"/album/{album}/"
    if is_guest:
        printed = server.command("share", album, "--for", "Grandma")
        (link,) = [word for word in printed.split() if "/s/" in word]
        path = urlsplit(link).path
    phone = open_phone(path, RECORD_SHARES, accept_downloads=True)
    phone.press("3.jpg")
    with phone.page.expect_download() as download:
        phone.entry("Download").tap()
    (original,) = server.library.glob(f"{album}*/3.jpg")
    assert Path(download.value.path()).read_bytes() == original.read_bytes()
    phone.sheet.wait_for(state="hidden")

    if not is_guest:
        phone.press("2.jpg")
        phone.entry("Share").tap()
        shared = {"title": "Sunset", "url": f"{server.address}/album/Trip/2.jpg"}
        eventually(lambda: phone.page.evaluate("shares") == [shared])
        phone.sheet.wait_for(state="hidden")

    phone.press("4.jpg")
    phone.entry("Open").tap()
    eventually(lambda: phone.is_open("viewer") and phone.page.url.endswith("/4.jpg"))
    assert not phone.is_open("press")
    assert phone.page.evaluate("document.activeElement.closest('.viewer') !== null")
    assert urlsplit(phone.page.url).path.startswith(path.removesuffix(f"{album}/"))
    phone.page.go_back()
    eventually(lambda: not phone.is_open("viewer"))


@pytest.mark.parametrize(
    "script", ["", "Object.defineProperty(navigator, 'clipboard', {})"]
)
def test_the_link_is_copied_where_the_phone_cannot_share(
    server: Server, open_phone: Callable[..., Phone], script: str
) -> None:
    script = f"""delete Navigator.prototype.share; {script};
        document.addEventListener("copy", () => {{ window.copied = String(getSelection()); }});
        const write = navigator.clipboard?.writeText.bind(navigator.clipboard);
        if (write) navigator.clipboard.writeText = text => {{ window.copied = text; return write(text); }};"""
    phone = open_phone(script=script, permissions=["clipboard-read", "clipboard-write"])
    phone.press("2.jpg")
    phone.entry("Share").tap()
    phone.sheet.get_by_text("The link is copied.").wait_for()
    assert phone.page.evaluate("copied") == f"{server.address}/album/Trip/2.jpg"
    phone.page.keyboard.press("Escape")
    phone.press("3.jpg")
    assert phone.sheet.get_by_text("The link is copied.").count() == 0


def test_a_private_photo_has_no_link_to_share(open_phone: Callable[..., Phone]) -> None:
    phone = open_phone("/login")
    log_in(phone.page)
    phone.page.wait_for_url("**/")
    phone.page.goto("/album/Family/")
    phone.page.wait_for_load_state("networkidle")
    phone.press("3.jpg")
    shown = phone.sheet.locator("button:visible, a:visible")
    assert shown.all_inner_texts() == ["Open", "Download"]


def test_a_scroll_is_no_long_press(open_phone: Callable[..., Phone]) -> None:
    phone = open_phone()
    x, y = phone.middle(".grid a[href$='/3.jpg']")
    phone.finger.drag((x, y), *((x, y - way) for way in range(10, 200, 10)))
    phone.opens_nothing()
    phone.finger.lift()
    assert phone.page.evaluate("scrollY") > 0
    assert phone.page.locator(".held").count() == 0
    assert not phone.is_open("viewer")


def test_a_way_of_more_than_ten_pixels_is_no_long_press(
    open_phone: Callable[..., Phone],
) -> None:
    phone = open_phone()
    x, y = phone.middle(".grid a[href$='/3.jpg']")
    phone.finger.drag((x, y), (x + 11, y))
    phone.opens_nothing()
    phone.finger.lift()


def test_two_fingers_are_no_long_press(open_phone: Callable[..., Phone]) -> None:
    phone = open_phone()
    x, y = phone.touch(".grid a[href$='/3.jpg']")
    phone.finger.add((x, y), (x, y + 200))
    phone.opens_nothing()
    phone.finger.lift()


def test_a_finger_may_tremble(open_phone: Callable[..., Phone]) -> None:
    phone = open_phone()
    x, y = phone.middle(".grid a[href$='/3.jpg']")
    phone.finger.drag((x, y), (x + 3, y + 3), (x - 3, y))
    phone.sheet.wait_for()
    phone.finger.lift()
    assert not phone.is_open("viewer")


@pytest.mark.parametrize("path", ["/album/Trip/", "/album/Trip/2.jpg"])
def test_the_menus_of_mice_and_keys_are_the_browsers_own(
    open_phone: Callable[..., Phone], path: str
) -> None:
    phone = open_phone(path, MENUS)
    page = phone.page
    place = phone.middle(
        ".grid a >> nth=1" if path.endswith("/") else ".slide:not([inert]) .frame"
    )
    page.mouse.click(*place, button="right")
    eventually(lambda: page.evaluate("menus.length"))
    page.mouse.move(*place)
    page.mouse.down()
    phone.opens_nothing()
    page.mouse.move(0, 0)
    page.mouse.up()
    page.locator(".slides, .grid a").first.evaluate(
        "element => element.dispatchEvent(new PointerEvent('contextmenu', {bubbles: true, cancelable: true}))"
    )
    assert page.evaluate("menus") == [False, False]
    assert not phone.is_open("press")


def test_a_menu_that_comes_before_the_half_second_is_the_sheet(
    open_phone: Callable[..., Phone],
) -> None:
    phone = open_phone(script=MENUS)
    phone.touch(".grid a[href$='/3.jpg']")
    phone.page.locator(".grid a[href$='/3.jpg'] img").evaluate(REST)
    assert phone.is_open("press")
    phone.page.evaluate(f"({REST})(document.querySelector('dialog.press a'))")  # below it
    assert phone.page.evaluate("menus") == [True, True]
    phone.finger.lift()
    assert phone.is_open("press")


def test_in_the_viewer_the_sheet_offers_the_original_and_the_keys_rest(
    server: Server, open_phone: Callable[..., Phone]
) -> None:
    phone = open_phone("/album/Trip/2.jpg", MENUS, accept_downloads=True)
    picture = ".slide:not([inert]) .over.there"
    phone.page.locator(picture).wait_for()
    x, y = phone.touch(picture)
    phone.page.locator(picture).evaluate(REST)
    assert phone.is_open("press") and phone.page.evaluate("menus") == [True]
    phone.finger.move(*((x, y + way) for way in range(20, 240, 20)))
    phone.finger.lift()  # this would have pulled the viewer down
    phone.page.keyboard.press("ArrowRight")
    phone.page.wait_for_timeout(400)
    assert phone.is_open("press") and phone.is_open("viewer")
    assert phone.page.url.endswith("/2.jpg")
    shown = phone.sheet.locator("button:visible, a:visible")
    assert shown.all_inner_texts() == ["Share", "Download"]
    with phone.page.expect_download() as download:
        phone.entry("Download").tap()
    original = server.library / "Trip" / "2.jpg"
    assert Path(download.value.path()).read_bytes() == original.read_bytes()
    assert phone.is_open("viewer")


def test_a_finger_on_a_live_photo_plays_it_and_opens_no_sheet(
    server: Server, open_phone: Callable[..., Phone], samples: Path, ffmpeg: str
) -> None:
    live = server.library / "Live"
    draw(live / "a.jpg", (800, 600), exif=exif("2017:10:29 21:20:50", "+00:00"))
    shutil.copy(samples / "video" / "tiny.mp4", live / "a.mp4")
    phone = open_phone("/album/Live/", MENUS)
    phone.page.goto("/album/Live/a.jpg")
    picture = phone.page.locator(".slide:not([inert]) .over.there")
    picture.wait_for()
    phone.touch(".slide:not([inert]) .frame")
    phone.page.locator(".slide video").wait_for()
    phone.page.locator(".slide video").evaluate(REST)
    assert phone.page.evaluate("menus") == [True] and not phone.is_open("press")
    phone.finger.lift()
    phone.page.mouse.click(*phone.middle(".slide:not([inert]) .frame"), button="right")
    eventually(lambda: phone.page.evaluate("menus") == [True, False])


@pytest.mark.parametrize(("motion", "count"), [("no-preference", 1), ("reduce", 0)])
def test_the_sheet_rises_unless_motion_is_reduced(
    open_phone: Callable[..., Phone], motion: str, count: int
) -> None:
    script = """window.count = 0; const animate = Element.prototype.animate;
        Element.prototype.animate = function (...all) {
            if (this.matches("dialog")) count += 1;
            return animate.apply(this, all);
        };"""
    phone = open_phone(script=script, reduced_motion=motion)
    phone.press("3.jpg")
    assert phone.page.evaluate("count") == count
