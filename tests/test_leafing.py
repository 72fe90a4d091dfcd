"""Leafing in a real browser while the viewer, or the next page of an album, is still on its way."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browsing import eventually_told, rests
from conftest import set_up
from drawing import draw
from processes import Server, eventually

pytestmark = pytest.mark.whole

LONG = 230
RIGHT = "new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true, cancelable: true})"
PRESS = f"document.activeElement.dispatchEvent({RIGHT});"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one album of three pages."""
    album = tmp_path_factory.mktemp("leafing") / "Album" / "Long"
    tiny = draw(album / "001.jpg", (90, 60))
    for number in range(2, LONG + 1):
        os.link(tiny, album / f"{number:03}.jpg")
    with Server(set_up(album.parent)) as server:
        eventually(lambda: b'"width": 0' not in server.get("/api/album/Long")[2])
        yield server


def rests_at(page: Any, number: int) -> None:
    """Wait until a photo is on screen; fail where another one comes after it."""

    def place() -> str:
        return page.locator(".viewer .place").text_content()

    eventually(lambda: place() == f"{number} / {LONG}")
    page.wait_for_load_state("networkidle")
    rests(page)
    assert place() == f"{number} / {LONG}"
    assert page.evaluate("location.pathname") == f"/album/Long/{number:03}.jpg"


def test_a_key_that_is_pressed_while_the_viewer_opens_counts_once(
    server: Server, open_window: Callable[..., Any]
) -> None:
    page = open_window(server.address)
    for presses in (1, 2):
        page.goto("/album/Long/")
        click = "document.querySelector(\".grid a[href$='/005.jpg']\").click();"
        page.evaluate(f"() => {{ {click} {PRESS * presses} }}")
        rests_at(page, 5 + presses)


def test_a_key_that_is_pressed_on_the_page_of_a_photo_waits_for_its_album(
    server: Server, open_window: Callable[..., Any]
) -> None:
    page = open_window(server.address)
    held: list[Any] = []
    page.route(re.compile(r"/album/Long/$"), lambda route: held.append(route))
    page.goto("/album/Long/005.jpg")
    eventually_told(page, lambda: held)
    page.keyboard.press("ArrowRight")
    held[0].continue_()
    rests_at(page, 6)
    page.keyboard.press("ArrowRight")
    rests_at(page, 7)


@pytest.mark.parametrize(
    ("first", "key", "pages", "last"),
    [("099", "ArrowRight", "2", 102), ("202", "ArrowLeft", "2", 199)],
)
def test_keys_at_the_end_of_a_page_wait_for_the_page_that_is_on_its_way(
    server: Server,
    open_window: Callable[..., Any],
    first: str,
    key: str,
    pages: str,
    last: int,
) -> None:
    page = open_window(server.address)
    held: list[Any] = []
    page.route(
        re.compile(rf"/album/Long/\?page={pages}$"), lambda route: held.append(route)
    )
    page.goto(f"/album/Long/{first}.jpg")
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    eventually_told(page, lambda: held)
    for _ in range(3):
        page.keyboard.press(key)
    held[0].continue_()
    rests_at(page, last)


def test_keys_that_wait_for_a_page_end_with_the_network_or_the_viewer(
    server: Server, open_window: Callable[..., Any]
) -> None:
    page = open_window(server.address)
    held: list[Any] = []
    page.route(re.compile(r"/album/Long/\?page=2$"), lambda route: held.append(route))
    page.goto("/album/Long/")
    page.locator(".grid a[href$='/099.jpg']").click()
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    eventually_told(page, lambda: held)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('dialog.viewer').open")
    page.locator(".grid a[href$='/005.jpg']").click()
    rests_opened(page)
    held[0].continue_()
    rests_at(page, 5)


def rests_opened(page: Any) -> None:
    """Wait until the viewer is open and nothing moves."""
    page.wait_for_function("() => document.querySelector('dialog.viewer').open")
    rests(page)


def test_a_page_that_comes_between_two_presses_takes_none_of_them(
    server: Server, open_window: Callable[..., Any]
) -> None:
    page = open_window(server.address)
    page.add_init_script("""
        const {fetch} = window;
        window.fetch = async (...asked) => {
            const answer = await fetch(...asked);
            await new Promise(go => window.go = go);
            return answer;
        };""")
    page.goto("/album/Long/")
    page.locator(".grid a[href$='/098.jpg']").click()
    rests_opened(page)
    page.wait_for_function("() => window.go")
    page.evaluate(f"""async () => {{
        const area = document.querySelector(".slides");
        {PRESS}
        go();
        while (area.childElementCount === 100) await new Promise(done => setTimeout(done));
        {PRESS}
    }}""")
    rests_at(page, 100)


@pytest.mark.parametrize(
    ("opened", "key", "left", "number"),
    [
        ("150", "ArrowRight", "151", 2),
        ("199", "ArrowRight", "201", 3),
        ("102", "ArrowLeft", "099", 1),
    ],
)
def test_from_the_page_of_a_photo_the_way_out_leads_to_that_photo_in_its_album(
    server: Server,
    open_window: Callable[..., Any],
    opened: str,
    key: str,
    left: str,
    number: int,
) -> None:
    page = open_window(server.address)
    page.goto(f"/album/Long/{opened}.jpg")
    rests_opened(page)
    for name in range(int(opened), int(left), 1 if key == "ArrowRight" else -1):
        page.keyboard.press(key)
        rests_at(page, name + (1 if key == "ArrowRight" else -1))
    page.keyboard.press("Escape")
    query = f"?page={number}" if number > 1 else ""
    page.wait_for_url(f"**/album/Long/{query}")
    there = page.locator(f".grid a[href$='/{left}.jpg']")
    eventually(lambda: there.evaluate("link => link === document.activeElement"))
    box = there.bounding_box()
    assert 0 <= box["y"] < box["y"] + box["height"] <= 900
