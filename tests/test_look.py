"""How pages look on real screens: sizes, places and what moves, measured in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DESKTOP, PHONE, set_up
from drawing import draw, exif
from processes import Server, eventually

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


def test_after_leafing_the_photo_is_a_third_from_the_top_and_glows(
    tmp_path: Path, serve: Serve, open_window: OpenWindow
) -> None:
    make_album(tmp_path / "Album" / "Long", *[USUAL] * 60)
    page = open_window(serve(set_up(tmp_path / "Album")).address, **PHONE)
    page.goto("/album/Long/")
    page.locator(".grid a").first.click()
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    eventually(lambda: page.url.endswith("/040.jpg"))
    page.go_back()
    page.wait_for_function("() => !document.querySelector('dialog.viewer').open")
    link = page.locator(".grid a[href$='040.jpg']")
    eventually(lambda: link.evaluate("link => link.getAnimations().length"))
    top, high = link.evaluate("link => [link.getBoundingClientRect().top, innerHeight]")
    assert top == pytest.approx(high / 3, abs=2)
    eventually(lambda: not link.evaluate("link => link.getAnimations().length"))


def test_escape_closes_the_details_first(
    tmp_path: Path, serve: Serve, open_window: OpenWindow
) -> None:
    make_album(tmp_path / "Album" / "Trip", USUAL)
    page = open_window(serve(set_up(tmp_path / "Album")).address)
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
    tmp_path: Path, serve: Serve, open_window: OpenWindow, samples: Path, ffmpeg: str
) -> None:
    (tmp_path / "Album" / "Film").mkdir(parents=True)
    shutil.copy(samples / "video" / "tiny.mp4", tmp_path / "Album" / "Film" / "a.mp4")
    page = open_window(serve(set_up(tmp_path / "Album")).address, **PHONE)
    page.goto("/album/Film/")
    page.locator(".grid a").tap()
    film = page.locator("dialog.viewer video")
    eventually(lambda: film.count() and film.evaluate("film => film.currentTime > 0"))


@pytest.mark.parametrize("caption", ["", "A caption"])
def test_the_mark_of_a_live_photo_lies_over_no_other_words(
    tmp_path: Path,
    serve: Serve,
    open_window: OpenWindow,
    samples: Path,
    ffmpeg: str,
    caption: str,
) -> None:
    album = tmp_path / "Album" / "Live"
    draw(album / "a.jpg", (800, 600), exif=exif("2017:10:29 21:20:50", "+00:00"))
    shutil.copy(samples / "video" / "tiny.mp4", album / "a.mp4")
    (album / "album.txt").write_text(f"Live\n\na.jpg: {caption}\n", "utf-8")
    page = open_window(serve(set_up(tmp_path / "Album")).address, **PHONE)
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
    tmp_path: Path, serve: Serve, open_window: OpenWindow, locale: str
) -> None:
    make_album(tmp_path / "Album" / "Trip", USUAL)
    page = open_window(serve(set_up(tmp_path / "Album")).address, locale=locale)
    page.add_init_script(WRITTEN)
    for path in ("/", "/album/Trip/"):
        page.goto(path, wait_until="networkidle")
        assert page.locator("time").count() >= 1
        assert page.evaluate("changes") == [], path


def test_large_text_cuts_no_dates(
    tmp_path: Path, serve: Serve, open_window: OpenWindow
) -> None:
    for number, name in enumerate("abc"):
        make_album(tmp_path / "Album" / name, *[USUAL] * (number + 1), a_day=1)
    make_album(tmp_path / "Album" / "d", *[USUAL] * 3, a_day=1)
    page = open_window(serve(set_up(tmp_path / "Album")).address, **PHONE, locale="es-ES")
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
