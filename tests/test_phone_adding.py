"""A guest's phone at a party: it opens the link, takes the album home and adds forty photos."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browsing import eventually_told
from conftest import PHONE
from drawing import draw
from processes import Server

import photos

pytestmark = pytest.mark.whole

PHOTOS = 40
ARCHIVE = "main a[href*='?v=']"
HIDE = """is_hidden => {
    Object.defineProperty(document, "hidden", { value: is_hidden, configurable: true });
    const state = is_hidden ? "hidden" : "visible";
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture
def server(tmp_path: Path, serve: Callable[[Path], Server]) -> Server:
    for number in range(3):
        draw(tmp_path / "Album" / "Party.inbox" / f"{number}.jpg", size=(600, 400))
        draw(tmp_path / "Album" / "Wedding.private" / f"{number}.jpg", size=(600, 400))
    photos.make_state_folder(tmp_path / "Album" / ".photos")
    return serve(tmp_path / "Album")


@pytest.fixture
def camera(tmp_path: Path) -> list[Path]:
    """Forty photos on a phone, no two alike; some take two pieces."""
    paths = []
    for number in range(PHOTOS):
        colour = f"#{number * 5 + 20:02x}8040"
        path = draw(tmp_path / "camera" / f"IMG_{number}.jpg", (90, 60), colour)
        if number % 10 == 3:
            with path.open("ab") as file:
                file.write(os.urandom(1_200_000))
        paths.append(path)
    return paths


def invite(server: Server, album: str) -> str:
    """Make a link to an album, to which its guest may add; return its path."""
    printed = server.command("share", album, "--for", "Grandma", "--add")
    (link,) = [word for word in printed.split() if "/s/" in word]
    return urlsplit(link).path


def contents(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in folder.iterdir())


def choose(guest: Any, paths: list[Path]) -> None:
    with guest.expect_file_chooser() as chooser:
        guest.get_by_text("Choose photos and films").tap()
    chooser.value.set_files([os.fspath(path) for path in paths])


def count_ended(guest: Any) -> int:
    return int(guest.locator("[data-uploads] .good, [data-uploads] .bad").count())


def wait_for(guest: Any, count: int) -> None:
    """Wait until so many files are done with."""
    script = "count => document.querySelectorAll('[data-uploads] :is(.good, .bad)').length >= count"
    guest.wait_for_function(script, arg=count, timeout=120_000)


def test_a_phone_takes_the_album_home(
    server: Server, open_window: Callable[..., Any]
) -> None:
    guest = open_window(server.address, accept_downloads=True, **PHONE)
    guest.goto(invite(server, "Wedding"))
    guest.get_by_role("link", name="Download album").tap()
    guest.locator(ARCHIVE).wait_for()  # once its files are read
    with guest.expect_download() as download:
        guest.locator(ARCHIVE).tap()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        members = sorted(archive.read(name) for name in archive.namelist())
    assert members == contents(server.library / "Wedding.private")


def test_a_phone_says_why_an_album_that_has_changed_is_not_downloaded(
    server: Server, open_window: Callable[..., Any]
) -> None:
    prefix = invite(server, "Wedding")
    guest = open_window(server.address, closed=(f"{prefix}zip/",), **PHONE)
    guest.goto(f"{prefix}zip/")
    guest.locator(ARCHIVE).wait_for()
    draw(server.library / "Wedding.private" / "just added.jpg", size=(600, 400))
    guest.locator(ARCHIVE).tap()
    guest.get_by_text("The album has changed since.").wait_for()


@pytest.mark.parametrize("album", ["Party", "Wedding"])
def test_a_phone_adds_forty_photos_though_the_network_is_cut_and_the_page_hidden(
    server: Server, open_window: Callable[..., Any], camera: list[Path], album: str
) -> None:
    (folder,) = server.library.glob(f"{album}.*")
    before = contents(folder)
    prefix = invite(server, album)
    guest = open_window(server.address, closed=(f"{prefix}add/",), **PHONE)
    guest.goto(prefix)
    guest.get_by_role("link", name="Add photos").tap()
    choose(guest, camera)
    wait_for(guest, 4)
    guest.evaluate(HIDE, True)
    for _ in range(2):
        guest.context.set_offline(True)
        guest.get_by_text("No connection; trying again").wait_for()
        reached = count_ended(guest)
        assert reached < PHOTOS
        guest.context.set_offline(False)
        wait_for(guest, min(reached + 3, PHOTOS))
    guest.evaluate(HIDE, False)
    wait_for(guest, PHOTOS)
    guest.get_by_text(f"{PHOTOS} of {PHOTOS} files added").wait_for()
    assert guest.get_by_text("Added", exact=True).count() >= PHOTOS - 2
    after = contents(folder)
    assert after == sorted([*before, *(path.read_bytes() for path in camera)])

    choose(guest, camera)
    wait_for(guest, 2 * PHOTOS)
    assert guest.get_by_text("Already here", exact=True).count() >= PHOTOS
    assert contents(folder) == after
    assert not list((server.state / photos.INCOMING).iterdir())


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"edited")])
def test_a_photo_that_the_phone_lost_since_does_not_hold_up_the_others(
    server: Server,
    open_window: Callable[..., Any],
    camera: list[Path],
    lose: Callable[[Path], Any],
) -> None:
    prefix = invite(server, "Party")
    guest = open_window(server.address, closed=(f"{prefix}add/",), **PHONE)
    guest.goto(f"{prefix}add/")
    held: list[Any] = []
    guest.route("**/add/?*", lambda route: held.append(route))
    choose(guest, camera[:3])
    eventually_told(guest, lambda: held)
    lose(camera[1])
    guest.unroute("**/add/?*")  # lets it go
    wait_for(guest, 3)
    guest.get_by_text("2 of 3 files added").wait_for()
    assert guest.locator(".bad").inner_text().startswith("IMG_1.jpg")
    guest.get_by_text("This file has changed or is gone. Choose it again.").wait_for()


def test_the_hint_of_an_inbox_stands_below_its_heading(
    server: Server, open_window: Callable[..., Any]
) -> None:
    guest = open_window(server.address, **PHONE)
    guest.goto(invite(server, "Party"))
    heading = guest.get_by_role("heading", name="Party").bounding_box()
    hint = guest.get_by_text("You see here what was added with your link").bounding_box()
    assert hint["x"] == heading["x"] > 0


def test_what_takes_a_photo_back_stands_below_its_date(
    server: Server, open_window: Callable[..., Any], camera: list[Path]
) -> None:
    guest = open_window(server.address, **PHONE)
    prefix = invite(server, "Party")
    guest.goto(f"{prefix}add/")
    choose(guest, camera[:1])
    wait_for(guest, 1)
    guest.goto(f"{prefix}album/IMG_0.jpg")
    guest.locator("[data-do=details]").tap()
    button = guest.locator(".panel").get_by_role("button", name="Take back")
    button.wait_for()
    date = guest.locator(".panel time").bounding_box()
    assert button.bounding_box()["x"] == date["x"] > 0


@pytest.mark.parametrize("has_scripts", [True, False])
def test_there_is_one_button_to_choose_photos_with(
    server: Server, open_window: Callable[..., Any], has_scripts: bool
) -> None:
    prefix = invite(server, "Party")
    closed = (f"{prefix}add/",)
    guest = open_window(
        server.address, closed=closed, java_script_enabled=has_scripts, **PHONE
    )
    guest.goto(f"{prefix}add/", wait_until="networkidle")
    field = guest.get_by_label("Choose photos and films")
    assert field.bounding_box()["width"] > 100 or has_scripts
    label = guest.locator("label[for=photo]").bounding_box()
    assert (label["height"] >= 44) == has_scripts
