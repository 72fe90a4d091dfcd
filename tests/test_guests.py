"""Guests: a share's album is their library, whatever stands in its own name and above."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from drawing import draw

import photos

FILES = (
    "Far.private/Trip.private/a.jpg",
    "Far.private/Trip.private/Sub/b.jpg",
    "Far.private/Trip.private/Drafts.hidden/c.jpg",
    "Far.private/Trip.private/Faces.private/d.jpg",
    "Far.private/Trip.private/e.private.jpg",
    "Far.private/Trip.private/Party.inbox/f.jpg",
    "Far.private/Sibling/g.jpg",
    "Open/h.jpg",
)
GUEST = photos.Principal(share="s1", root=("Far.private", "Trip.private"))


@pytest.fixture
def folders(tmp_path: Path) -> photos.Folders:
    for file in FILES:
        draw(tmp_path / "Album" / file)
    now = photos.Circumstances(dt.date(2026, 11, 29))
    root = tmp_path / "Album"
    return photos.Folders(root, root / ".photos", circumstances=lambda: now)


def opens(
    folders: photos.Folders, *addresses: str, guest: photos.Principal = GUEST
) -> list[bool]:
    parts = [tuple(filter(None, address.split("/"))) for address in addresses]
    return [folders.locate(each, guest) is not None for each in parts]


@pytest.mark.whole
def test_a_guest_opens_the_shared_album_whatever_its_own_name_and_those_above_say(
    folders: photos.Folders,
) -> None:
    assert opens(folders, "", "a.jpg", "Sub", "Sub/b.jpg") == [True] * 4
    place = folders.locate(("Sub",), GUEST)
    assert place and place.rule == photos.Rule()
    assert place.address == ("Sub",)


def test_a_guest_opens_hidden_albums_below_by_their_address(
    folders: photos.Folders,
) -> None:
    assert opens(folders, "Drafts", "Drafts/c.jpg", "Drafts.hidden") == [True] * 3


def test_private_below_a_share_is_not_there(folders: photos.Folders) -> None:
    private = (
        "Faces",
        "Faces/d.jpg",
        "Faces.private",
        "e.private.jpg",
        "Party",
        "Party/f.jpg",
    )
    assert opens(folders, *private) == [False] * len(private)


def test_nothing_outside_a_share_is_there(folders: photos.Folders) -> None:
    outside = (
        "Open",
        "Open/h.jpg",
        "Far/Sibling",
        "..",
        "../Sibling",
        "Sibling",
        "Far.private",
    )
    assert opens(folders, *outside) == [False] * len(outside)


def test_a_link_below_a_share_into_something_private_is_not_there(
    folders: photos.Folders, tmp_path: Path
) -> None:
    trip = tmp_path / "Album" / "Far.private" / "Trip.private"
    (trip / "door").symlink_to("../Sibling")
    (trip / "inner").symlink_to("Faces.private")
    (trip / "out").symlink_to(tmp_path)
    assert (
        opens(folders, "door", "door/g.jpg", "inner", "inner/d.jpg", "out") == [False] * 5
    )


def test_a_guest_of_an_inbox_opens_it_and_sees_nothing_that_others_added(
    folders: photos.Folders,
) -> None:
    root = ("Far.private", "Trip.private", "Party.inbox")
    guest = photos.Principal(share="s1", root=root, only_adds=True)
    assert opens(folders, "", "f.jpg", guest=guest) == [True, False]
    assert not photos.may_find(guest, photos.Rule())


def test_a_share_of_a_library_that_is_private_itself_opens(tmp_path: Path) -> None:
    root = tmp_path / "All.private"
    draw(root / "Trip" / "a.jpg")
    draw(root / "More.private" / "b.jpg")
    folders = photos.Folders(root, root / ".photos")
    guest = photos.Principal(share="s1")
    assert opens(folders, "", "Trip/a.jpg", "More/b.jpg", guest=guest) == [
        True,
        True,
        False,
    ]


def test_who_finds_something_else_has_another_scope() -> None:
    guests = [
        photos.Principal(share="s1", root=("a",)),
        photos.Principal(share="s1", root=("a", "b")),
        photos.Principal(share="s1", root=("a",), only_adds=True),
        photos.Principal(share="s1"),
        photos.Principal("s1"),
        photos.VISITOR,
    ]
    assert len({guest.scope for guest in guests}) == len(guests)
    twin = photos.Principal(share="s2", root=("a",))
    assert twin.scope == guests[0].scope  # thousands of photos are kept once
