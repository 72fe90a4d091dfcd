"""An album with more child albums than a page shows, in a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from browsing import follow
from conftest import set_up
from drawing import draw
from processes import Server, eventually

pytestmark = pytest.mark.whole

ALBUMS, PHOTOS = (
    203,
    130,
)  # 3 albums and 100 photos on the third page, 30 photos on the fourth


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a library with many albums and many photos, which no test changes."""
    root = tmp_path_factory.mktemp("many") / "Album"
    tiny = draw(root / "000.jpg", (90, 60))
    for number in range(1, PHOTOS):
        os.link(tiny, root / f"{number:03}.jpg")
    for number in range(ALBUMS):
        (root / f"Album {number:03}").mkdir()
        os.link(tiny, root / f"Album {number:03}" / "a.jpg")
    with Server(set_up(root)) as server:
        eventually(lambda: server.get("/")[2].count(b'class="card"') == 100)
        yield server


def grow(page: Any) -> None:
    """Scroll to the end until all pages are there."""
    end = "() => scrollTo(0, document.scrollingElement.scrollHeight)"

    def has_grown() -> bool:
        page.evaluate(end)
        return page.locator(".pages a[rel=next]").count() == 0

    eventually(has_grown)


def place(page: Any) -> str:
    return page.locator("dialog.viewer .place").text_content() or ""


def test_albums_are_appended_and_then_photos(gallery: Server, open_window: Any) -> None:
    page = open_window(gallery.address)
    page.goto("/")
    assert page.locator(".card").count() == 100
    assert page.locator(".grid a").count() == 0
    grow(page)
    eventually(lambda: page.locator(".grid a").count() == PHOTOS)
    titles = page.locator(".card .title").all_inner_texts()
    assert len(set(titles)) == ALBUMS
    times = page.locator(".albums time").evaluate_all(
        "all => all.map(time => time.textContent)"
    )
    assert (
        len(set(times)) == 1
    )  # those that were appended are in the visitor's language, too
    assert page.locator(".albums time:not([dir=auto])").count() == 0
    page.locator(".grid a[href$='/129.jpg']").click()
    eventually(lambda: place(page) == f"130 / {PHOTOS}")
    page.go_back()
    eventually(lambda: not page.locator("dialog.viewer").evaluate("dialog => dialog.open"))


def test_the_viewer_stops_at_the_first_photo(gallery: Server, open_window: Any) -> None:
    page = open_window(gallery.address)
    asked: list[str] = []
    page.goto("/?page=4")
    page.on("request", lambda request: asked.append(request.url.partition("?")[2]))
    page.locator(".grid a").first.click()
    eventually(lambda: place(page) == f"101 / {PHOTOS}")
    eventually(lambda: page.locator(".slides > div").count() == PHOTOS)
    page.keyboard.press("Home")
    eventually(lambda: place(page) == f"1 / {PHOTOS}")
    page.keyboard.press("Escape")
    eventually(lambda: page.locator(".grid a").count() == PHOTOS)
    assert "page=3" in asked and "page=2" not in asked


def test_a_slideshow_begins_with_the_first_photo(gallery: Server, open_window: Any) -> None:
    page = open_window(gallery.address)
    page.goto("/?slideshow")
    eventually(lambda: place(page) == f"1 / {PHOTOS}")


def test_pages_of_albums_are_links_without_javascript(
    gallery: Server, open_window: Any
) -> None:
    page = open_window(gallery.address, java_script_enabled=False)
    page.goto("/")
    following = page.get_by_role("link", name="Next page")
    count = lambda: (page.locator(".card").count(), page.locator(".grid a").count())  # noqa: E731
    seen = [count()]
    middle = page.locator(".pages span").bounding_box()
    assert following.bounding_box()["x"] > middle["x"] + middle["width"]
    while following.count():
        follow(page, following)
        seen.append(count())
    assert seen == [(100, 0), (100, 0), (3, 100), (0, 30)]
