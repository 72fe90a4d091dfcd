"""Watching films: their boxes in the viewer and on their pages, and films that a browser cannot show."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES, needed, set_up
from processes import Server, eventually
from test_viewer import Viewer, frames, wait_for_facts

pytestmark = pytest.mark.whole

FAULTS = SAMPLES.parent / "faults"
SHAPES = ("1080x1920", "1920x1080", "3840x2160", "160x120")
WINDOWS = ((1280, 800), (1920, 1080), (390, 844), (844, 390))
OpenWindow = Callable[..., Any]


def make_film(path: Path, size: str, *options: str, seconds: float = 1) -> Path:
    """Make a film of a test picture, which every browser plays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = ("-f", "lavfi", "-i", f"testsrc=d={seconds}:r=5:s={size}")
    plain = ("-pix_fmt", "yuv420p")
    command = (needed("ffmpeg"), "-v", "error", *source, *options, *plain, path)
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of albums with one film each."""
    needed("ffprobe")
    root = tmp_path_factory.mktemp("films") / "Album"
    for shape in SHAPES:
        make_film(root / shape / "film.mp4", shape, "-preset", "ultrafast")
    squeezed = ("-vf", "setsar=4/3")
    make_film(root / "squeezed" / "film.mp4", "300x400", *squeezed)
    with_sound = ("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac")
    make_film(root / "xvid" / "film.mp4", "320x240", *with_sound, "-c:v", "mpeg4")
    sound = root / "sound" / "film.mp4"
    sound.parent.mkdir()
    only_sound = (needed("ffmpeg"), "-v", "error", *with_sound, sound)
    subprocess.run(only_sound, check=True)
    make_film(root / "avi" / "film.avi", "320x240")
    if FAULTS.is_dir():
        shutil.copytree(FAULTS / "f02-sound-without-picture", root / "silent")
    with Server(set_up(root)) as server:
        wait_for_facts(server, *SHAPES, "squeezed", "xvid", "avi")
        yield server


BOX = """selector => {
    const box = document.querySelector(selector).getBoundingClientRect();
    return [box.left, box.top, box.width, box.height].map(Math.round);
}"""
FILM = "dialog.viewer .slide:not([inert]) .film"


def watch(page: Any, album: str, name: str = "film.mp4") -> Viewer:
    """Open an album and click a film in it."""
    page.goto(f"/album/{album}/")
    page.locator(f".grid a[href$='/{name}']").click()
    viewer = Viewer(page)
    viewer.shows(name)
    return viewer


def fitting_box(shape: str, window: tuple[int, int]) -> list[int]:
    """Return left, top, width and height of the largest box of a shape in the middle of a window."""
    width, height = map(int, shape.split("x"))
    scale = min(window[0] / width, window[1] / height)
    wide, high = width * scale, height * scale
    return [
        round((window[0] - wide) / 2),
        round((window[1] - high) / 2),
        round(wide),
        round(high),
    ]


def is_close(box: list[int], right: list[int]) -> bool:
    return all(abs(one - other) <= 1 for one, other in zip(box, right, strict=True))


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_film_has_the_largest_box_of_its_shape_before_and_after_it_is_played_and_turned(
    shape: str, window: tuple[int, int], films: Server, open_window: OpenWindow
) -> None:
    page = open_window(
        films.address, viewport=dict(zip(("width", "height"), window, strict=True))
    )
    held: list[Any] = []  # nothing is answered before the first look
    page.route("**/photo/**", lambda route: held.append(route))
    watch(page, shape)
    right = fitting_box(shape, window)
    assert is_close(page.evaluate(BOX, FILM), right)
    assert is_close(page.evaluate(BOX, f"{FILM} video"), right)
    for route in held:
        route.continue_()
    page.unroute("**/photo/**")
    page.locator(f"{FILM} video").evaluate(
        "async video => { video.muted = video.loop = true; await video.play(); }"
    )
    assert page.evaluate(f"document.querySelector('{FILM} video').videoWidth") > 0
    assert is_close(page.evaluate(BOX, f"{FILM} video"), right)
    page.set_viewport_size({"width": window[1], "height": window[0]})
    turned = fitting_box(shape, window[::-1])
    eventually(lambda: is_close(page.evaluate(BOX, f"{FILM} video"), turned))


def test_a_film_of_oblong_pixels_has_the_box_of_its_picture(
    films: Server, open_window: OpenWindow
) -> None:
    page = open_window(films.address, viewport={"width": 1000, "height": 600})
    watch(page, "squeezed")
    assert is_close(page.evaluate(BOX, f"{FILM} video"), [200, 0, 600, 600])


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_page_of_a_film_keeps_its_box_inside_the_window(
    shape: str, window: tuple[int, int], films: Server, open_window: OpenWindow
) -> None:
    size = dict(zip(("width", "height"), window, strict=True))
    page = open_window(films.address, viewport=size, java_script_enabled=False)
    page.goto(f"/album/{shape}/film.mp4")
    box = page.locator(".stage video").bounding_box()
    width, height = map(int, shape.split("x"))
    assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.01)
    assert box["width"] <= window[0] + 1 and box["height"] <= window[1]
    # 8rem are left for what stands above and below; the shape is known to a 48th.
    scale = min(window[0] / width, (window[1] - 128) / height)
    assert box["width"] == pytest.approx(width * scale, rel=0.03)


def test_the_caption_of_a_film_is_not_over_its_controls(
    films: Server, open_window: OpenWindow
) -> None:
    page = open_window(films.address)
    watch(page, "1920x1080")
    caption = page.locator("dialog.viewer .caption")
    caption.evaluate("caption => caption.textContent = 'Sunset at the pier'")
    box = caption.bounding_box()
    tools = page.locator("dialog.viewer .tools button").first.bounding_box()
    assert tools["y"] + tools["height"] <= box["y"] < 100


# What a browser cannot show


REFUSAL = "Your browser cannot play this video: download it."


def refuses(page: Any, album: str, name: str) -> None:
    """Check that the viewer and the page say that the film cannot be played, and offer it."""
    viewer = watch(page, album, name)
    words = viewer.dialog.locator(".slide:not([inert]) [data-refusal]")
    words.get_by_text(REFUSAL).wait_for()
    assert viewer.dialog.locator(".slide:not([inert]) video").count() == 0
    link = words.get_by_role("link", name="Download")
    assert link.is_visible()
    assert link.get_attribute("href") == f"/download/{album}/{name}"
    picture = page.locator(f"{FILM} img")
    eventually(lambda: picture.evaluate("image => image.naturalWidth > 0"))
    stage = page.locator(".stage")
    page.goto(f"/album/{album}/{name}")
    viewer.shows(name)
    eventually(lambda: stage.locator("video").count() == 0)
    assert not stage.locator("[data-refusal]").evaluate("words => words.hidden")


def test_a_film_whose_sound_alone_plays_is_offered(
    films: Server, open_window: OpenWindow
) -> None:
    refuses(open_window(films.address), "xvid", "film.mp4")


@pytest.mark.skipif(not FAULTS.is_dir(), reason="no faults")
@pytest.mark.parametrize(
    "name", ["IMG_1.MOV", "IMG_2_noaudio.MOV", "MVI_3.mov", "xvid.mp4"]
)
def test_other_films_that_this_browser_cannot_show_are_offered(
    name: str, films: Server, open_window: OpenWindow
) -> None:
    refuses(open_window(films.address), "silent", name)


def test_a_film_that_no_browser_plays_is_offered_with_its_poster(
    films: Server, open_window: OpenWindow
) -> None:
    page = open_window(films.address)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    refuses(page, "avi", "film.avi")
    assert not [address for address in asked if "/photo/" in address]


def test_a_film_without_picture_keeps_its_player(
    films: Server, open_window: OpenWindow
) -> None:
    page = open_window(films.address)
    viewer = watch(page, "sound")
    page.locator(f"{FILM} video").evaluate(
        "async video => { video.muted = true; await video.play(); }"
    )
    frames(page, 3)
    assert viewer.dialog.locator("video").is_visible()
    assert viewer.dialog.locator("[data-refusal]").count() == 0
    left, top, width, height = page.evaluate(BOX, FILM)
    assert (width, height) == (640, 160) and left > 0 and top > 0
