"""Links in the library: where one leads is looked up at each request, also where none was before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from drawing import draw
from visiting import Client

import photos

pytestmark = pytest.mark.usefixtures("patient")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "Trip",
        "Trip/one.jpg",
        "Trip/none/deeper",
        "Trip/one.jpg/below",
        "door",
        "door/faces.jpg",
        "door/../Trip",
        "Trip/../loose.jpg",
        "Trip//one.jpg",
        "Trip/",
        "Trip/chain/faces.jpg",
        "Trip/nowhere/x",
        "Trip/round/x",
    ],
)
@pytest.mark.parametrize("start", ["library", "link", "relative", "/"])
def test_a_real_path_is_what_the_system_says(
    library: Path, monkeypatch: pytest.MonkeyPatch, path: str, start: str
) -> None:
    (library / "door").symlink_to("Secret.private")
    (library / "Trip" / "chain").symlink_to("../door")
    (library / "Trip" / "nowhere").symlink_to("gone")
    (library / "Trip" / "round").symlink_to("round")
    (library.parent / "link").symlink_to(library)
    monkeypatch.chdir(library)
    starts = {
        "library": f"{library}/",
        "link": f"{library.parent}/link/",
        "relative": "",
        "/": "/",
    }
    whole = starts[start] + path
    assert photos.real_path(whole) == os.path.realpath(whole)


def test_what_only_begins_like_a_folder_is_not_within_it() -> None:
    assert photos.is_within("/a/b", "/a/b")
    assert photos.is_within("/a/b/c", "/a/b")
    assert photos.is_within("/a", "/")
    assert not photos.is_within("/a/bc", "/a/b")
    assert not photos.is_within("/a", "/a/b")


def move_and_link(path: Path, target: Path) -> None:
    """Move a file or folder elsewhere and put a link in its place, with no new time anywhere."""
    target.parent.mkdir(exist_ok=True)
    folders = [path.parent, target.parent]
    times = [folder.stat() for folder in folders]
    path.rename(target)
    path.symlink_to(target)
    for folder, status in zip(folders, times, strict=True):
        os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))


def make_private(root: Path) -> None:
    move_and_link(root / "Trip", root / "Secret.private" / "Trip")


def make_ignored(root: Path) -> None:
    move_and_link(root / "Trip", root / "@eaDir" / "Trip")


def make_state(root: Path) -> None:
    move_and_link(root / "Trip", root / ".photos" / "Trip")


def move_away(root: Path) -> None:
    move_and_link(root / "Trip", root.parent / "elsewhere" / "Trip")


def move_the_file(root: Path) -> None:
    path = root / "Trip" / "one.jpg"
    move_and_link(path, root / "Secret.private" / "one.jpg")


def move_the_library(root: Path) -> None:
    move_and_link(root, root.with_name("Shelf.private"))


def move_what_is_above(root: Path) -> None:
    move_and_link(root.parent, root.parent.with_name("Shelf.private"))


ADDRESSES = ("/photo/Trip/one.jpg", "/thumbnail/Trip/one.jpg", "/download/Trip/one.jpg")


@pytest.mark.whole
@pytest.mark.parametrize(
    "change",
    [
        make_private,
        make_ignored,
        make_state,
        move_away,
        move_the_file,
        move_the_library,
        move_what_is_above,
    ],
)
def test_a_folder_that_becomes_a_link_is_closed_at_the_next_request_and_open_when_it_is_back(
    library: Path, visitor: Client, change: Callable[[Path], None]
) -> None:
    os.utime(library, (1e9, 1e9))
    os.utime(library / "Trip", (1e9, 1e9))
    answers = [visitor.get(address) for address in ADDRESSES]
    assert [answer.status for answer in answers] == [200, 200, 200]
    above = (library / "Trip" / "one.jpg", *(library / "Trip" / "one.jpg").parents)
    change(library)
    for address, answer in zip(ADDRESSES, answers, strict=True):
        etag = answer.headers["etag"]
        assert visitor.get(address).status == 404
        assert visitor.get(address, If_None_Match=etag).status == 404
        assert visitor.get(address, Range="bytes=0-9").status == 404
    link = next(path for path in above if path.is_symlink())
    target = link.readlink()
    link.unlink()
    target.rename(link)
    assert [visitor.get(address).status for address in ADDRESSES] == [200, 200, 200]


@pytest.mark.whole
def test_a_link_that_comes_and_goes_and_leads_elsewhere_is_followed_as_it_is_now(
    library: Path, visitor: Client
) -> None:
    link = library / "door"
    draw(library / "Trip" / "faces.jpg", colour="#00ff00")
    draw(library / "Trip" / "Beach" / "faces.jpg", colour="#0000ff")
    addresses = ("/photo/door/faces.jpg", "/thumbnail/door/faces.jpg")

    def statuses() -> list[int]:
        return [visitor.get(address).status for address in addresses]

    for _ in range(2):
        for target, status in (("Trip", 200), ("Secret.private", 404), ("Trip/Beach", 200)):
            link.symlink_to(target)
            assert statuses() == [status, status]
            link.unlink()
            assert statuses() == [404, 404]
    link.mkdir()
    draw(link / "faces.jpg")
    assert statuses() == [200, 200]
