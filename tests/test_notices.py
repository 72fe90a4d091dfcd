"""The owner's front page says what waits, and what to do; nobody else's does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from drawing import draw
from visiting import PASSWORD, Client

import photos


def notices(client: Client, address: str = "/") -> list[str]:
    """Return the lines of the box that a page has for the owner."""
    _, _, rest = client.get(address).text.partition('<details class="notice flags"')
    return rest.partition("</details>")[0].split("<li>")[1:]


def make_damage(site: photos.Site, library: Path, patch: pytest.MonkeyPatch) -> None:
    file = next(file for path, file in photos.files_of(site._library) if "one.jpg" in path)
    site._library.damaged.note(file.identity, 1)


def make_full(site: photos.Site, library: Path, patch: pytest.MonkeyPatch) -> None:
    site._library.is_full = True


def make_upgrade(site: photos.Site, library: Path, patch: pytest.MonkeyPatch) -> None:
    program = library / "photos.pyz"
    program.write_text("another one")
    patch.setattr("sys.argv", [os.fspath(program)])


def make_flag(site: photos.Site, library: Path, patch: pytest.MonkeyPatch) -> None:
    draw(library / "Faces.private copy" / "face.jpg")


def make_inbox(site: photos.Site, library: Path, patch: pytest.MonkeyPatch) -> None:
    draw(library / "Party.inbox" / "cake.jpg")


def make_problem(site: photos.Site, library: Path, patch: pytest.MonkeyPatch) -> None:
    (library / "Trip" / "letter.jpg").write_text("Dear photo,")
    patch.setattr(photos, "SETTLE_SECONDS", -1.0)
    patch.setattr(photos, "LISTING_SECONDS", -1.0)
    site._upkeep._tend()


Make = Callable[[photos.Site, Path, pytest.MonkeyPatch], None]
KINDS: dict[Make, str] = {
    make_damage: "“Trip/one.jpg” is damaged",
    make_full: "Make room on the disk",
    make_upgrade: "Restart the server",
    make_flag: "Rename it to “Faces copy.private”",
    make_inbox: "Files in “Party.inbox”: 1. Move",
    make_problem: "cannot be shown, or not whole: 1. The command “check”",
}


@pytest.mark.whole
@pytest.mark.parametrize("make", KINDS)
def test_the_owners_front_page_alone_says_what_waits(
    make: Make,
    site: photos.Site,
    library: Path,
    user: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = photos.UserStore(library / ".photos")
    users.register("olga", PASSWORD.encode())
    users.make_owner("olga")
    owner, visitor = Client(site), Client(site)
    assert owner.log_in("olga").status == 303
    assert notices(owner) == []
    make(site, library, monkeypatch)
    [line] = notices(owner)
    assert KINDS[make] in line
    assert notices(owner, "/album/Trip/") == []
    for client in (visitor, user):
        text = client.get("/").text
        assert "To look at:" not in text and KINDS[make] not in text


@pytest.mark.whole
def test_a_notice_goes_when_there_is_nothing_to_do_any_more(
    site: photos.Site, library: Path, user: Client
) -> None:
    photos.UserStore(library / ".photos").make_owner("anna")
    file = next(file for path, file in photos.files_of(site._library) if "one.jpg" in path)
    site._library.damaged.note(file.identity, 1)
    site._library.is_full = True
    assert len(notices(user)) == 2
    site._library.damaged.judge(file.identity, 2, 1)
    site._library.is_full = False
    assert notices(user) == []
