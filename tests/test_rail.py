"""The timeline in a browser: the rail of months, and the viewer that goes on from month to month."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browsing import Finger
from conftest import PHONE, set_up
from drawing import draw, exif
from processes import Server, eventually

pytestmark = pytest.mark.whole

MONTHS = [(year, month) for year in range(2019, 2023) for month in (1, 4, 8, 12)]


@pytest.fixture
def server(tmp_path: Path, serve: Callable[[Path], Server]) -> Server:
    """A site of four years, with three photos in each of four months."""
    album = tmp_path / "Album" / "Years"
    for year, month in MONTHS:
        for day in range(1, 4):
            name = f"{year}-{month:02}-{day}.jpg"
            draw(
                album / name, (300, 200), exif=exif(f"{year}:{month:02}:{day:02} 12:00:00")
            )
    server = serve(set_up(tmp_path / "Album"))
    eventually(lambda: b'"width": 0' not in server.get("/api/album/Years")[2])
    return server


@pytest.fixture
def page(server: Server, open_window: Callable[..., Any]) -> Any:
    """A window of a phone."""
    return open_window(server.address, **PHONE)


def middle(page: Any, year: int, month: int) -> tuple[float, float]:
    """Return where the bar of a month is on screen."""
    box = page.locator(f".rail a[href='/timeline/{year}/{month:02}/']").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_finger_on_the_rail_sees_the_month_and_goes_there_by_letting_go(
    page: Any,
) -> None:
    page.goto("/timeline/2022/")
    finger = Finger(page)
    finger.drag(middle(page, 2022, 1), middle(page, 2021, 1), middle(page, 2019, 8))
    name = page.locator(".rail output")
    eventually(lambda: name.inner_text() == "August 2019")
    assert page.evaluate("location.pathname") == "/timeline/2022/"
    finger.lift()
    page.wait_for_url("**/timeline/2019/08/")
    assert page.locator("h1").inner_text() == "August 2019"
    assert name.inner_text() == "August 2019"


def test_a_finger_that_begins_on_the_rail_still_scrolls_the_page(page: Any) -> None:
    page.goto("/timeline/")
    page.set_viewport_size({"width": 390, "height": 400})
    x, y = middle(page, 2020, 8)
    finger = Finger(page)
    finger.drag((x, y), *((x, y - distance) for distance in range(10, 200, 10)))
    finger.lift()
    eventually(lambda: page.evaluate("scrollY") > 50)
    assert page.evaluate("location.pathname") == "/timeline/"
    assert page.locator(".rail output").inner_text() == ""


def test_all_months_fit_on_the_rail_and_the_keyboard_goes_along_it(page: Any) -> None:
    page.goto("/timeline/2021/04/")
    assert page.evaluate("document.querySelector('.rail').scrollWidth") <= 390
    stops = page.locator(".rail a:not([tabindex='-1'])")
    assert stops.count() == 1
    stops.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.ariaLabel") == "August 2021"
    page.keyboard.press("Enter")
    page.wait_for_url("**/timeline/2021/08/")


def test_the_viewer_goes_on_from_month_to_month_and_the_page_stays_short(page: Any) -> None:
    page.goto("/timeline/2021/04/")
    count = page.locator("[data-grid] li").count()
    assert count == 3
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(500)
    assert page.locator("[data-grid] li").count() == count
    page.locator(".grid a").last.click()
    for name in ("2021-08-1", "2021-08-2", "2021-08-3", "2021-12-1"):
        page.keyboard.press("ArrowRight")
        eventually(
            lambda name=name: page.evaluate("location.pathname").endswith(f"{name}.jpg")
        )


def test_the_months_can_be_reached_without_scripts(
    server: Server, open_window: Callable[..., Any]
) -> None:
    page = open_window(server.address, java_script_enabled=False)
    page.goto("/timeline/2019/")
    page.locator(".rail a").last.click()
    page.wait_for_url("**/timeline/2022/12/")


def test_a_press_beside_the_bars_leads_to_the_nearest_month_after_the_keyboard(
    server: Server, open_window: Callable[..., Any]
) -> None:
    page = open_window(server.address)
    page.goto("/timeline/2022/")
    page.locator(".rail a:not([tabindex='-1'])").focus()
    x, _ = middle(page, 2020, 4)
    name = page.locator(".rail output").bounding_box()
    page.mouse.move(x, name["y"] + name["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/timeline/2020/04/")


LABELS = """() => [...document.querySelectorAll(".rail [data-year]")].map(bar => {
    const {left} = bar.getBoundingClientRect();
    return [left, left + parseFloat(getComputedStyle(bar, "::after").width)];
})"""


def test_years_below_the_rail_do_not_lie_on_each_other_in_large_text(
    tmp_path: Path, serve: Callable[[Path], Server], open_window: Callable[..., Any]
) -> None:
    for year in range(2010, 2020):
        block = exif(f"{year}:05:06 10:00:00")
        draw(tmp_path / "Album" / "Years" / f"{year}.jpg", (90, 60), exif=block)
    server = serve(set_up(tmp_path / "Album"))
    eventually(lambda: b'"width": 0' not in server.get("/api/album/Years")[2])
    page = open_window(server.address, **PHONE)
    page.goto("/timeline/")
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    labels = page.evaluate(LABELS)
    assert len(labels) > 5
    for (_, right), (left, _) in pairwise(labels):
        assert 0 < right <= left
