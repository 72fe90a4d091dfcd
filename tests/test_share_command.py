"""share, shares, unshare and check: links for guests on the command line."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from drawing import draw
from visiting import PASSWORD, Client

import photos

Command = Callable[..., tuple[int, str, str]]
LINK = re.compile(r"https://photos\.example\.org(/s/[\w-]{22}/)")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw(tmp_path / "Album" / "Trip.private" / "one.jpg")
    draw(tmp_path / "Album" / "Trip.private" / "Sub.hidden" / "two.jpg")
    draw(tmp_path / "Album" / "Open" / "three.jpg")
    return tmp_path / "Album"


@pytest.fixture
def command(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})

    def run_it(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        capsys.readouterr()
        status = photos.main(["--library", os.fspath(root), *words])
        return (status, *capsys.readouterr())

    assert run_it("init", "--public-address", "https://photos.example.org")[0] == 0
    return run_it


def test_share_prints_a_link_that_opens_the_album(command: Command, root: Path) -> None:
    status, out, err = command("share", "Trip", "--for", "Grandma")
    assert (status, err) == (0, "")
    assert "Grandma: opens Trip.private, which is private otherwise" in out
    until = dt.date.today() + dt.timedelta(days=365)
    assert f"until {until}" in out and "not used yet" in out
    link = LINK.search(out)
    assert link
    app = photos.create_app(root / ".photos", background=False)
    assert Client(app).get(link[1], Host="photos.example.org").status == 200
    assert command("shares")[1] == out
    assert command("unshare", "grandma")[:2] == (0, "Ended the link for Grandma to Trip.\n")
    assert Client(app).get(link[1], Host="photos.example.org").status == 404
    app.close()
    status, out, err = command("shares")
    assert (status, out) == (0, "")
    assert err.startswith("There are no links for guests.") and " share " in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--days", "3"), "until {in_three_days}"),
        (("--forever",), "without an end"),
        (("--password-stdin",), "with a password"),
        (("--add",), "may add photos"),
    ],
)
def test_share_takes_how_long_and_a_password(
    command: Command, words: tuple[str, ...], told: str
) -> None:
    in_three_days = dt.date.today() + dt.timedelta(days=3)
    status, out, _ = command("share", "Trip", "--for", "Aunt May", *words)
    assert status == 0 and told.format(in_three_days=in_three_days) in out
    assert PASSWORD not in out


def test_a_link_to_an_inbox_in_which_its_guests_would_see_nothing_says_so(
    command: Command, root: Path
) -> None:
    (root / "Party.inbox").mkdir()
    hint = "shows nothing, as its guests may not add"
    assert hint in command("share", "Party", "--for", "Grandma")[1]
    assert hint not in command("share", "Party", "--for", "Ben", "--add")[1]
    assert command("shares")[1].count(hint) == 1
    assert hint not in command("share", "Trip", "--for", "Grandma")[1]


def test_a_link_that_opens_at_home_alone_says_so(command: Command) -> None:
    hint = "This address opens at home alone"
    assert hint not in command("share", "Trip", "--for", "Grandma")[1]
    assert command("init", "--public-address", "")[0] == 0
    assert hint in command("share", "Trip", "--for", "Ben")[1]


@pytest.mark.parametrize(
    "name", ["Trip", "Trip.private", "Trip/", "./Trip", "Trip/Sub", "."]
)
def test_an_album_is_named_by_address_or_by_path(
    command: Command, root: Path, name: str
) -> None:
    assert command("share", name, "--for", "Grandma")[0] == 0
    assert command("share", os.fspath(root / "Open"), "--for", "Grandma")[0] == 0


def test_an_album_is_named_by_a_path_from_another_folder(
    command: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    assert "opens Trip.private" in command("share", "Album/Trip.private/", "--for", "a")[1]
    (root.parent / "Link").symlink_to(root)
    path = os.fspath(root.parent / "Link" / "Trip.private")
    assert "opens Trip.private" in command("share", path, "--for", "b")[1]


def test_a_path_goes_from_the_album_that_one_is_in(
    command: Command, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "Trip.private" / "Open").mkdir()
    monkeypatch.chdir(root / "Trip.private")
    assert "opens Trip.private," in command("share", ".", "--for", "a")[1]
    assert "opens Trip.private/Open," in command("share", "Open/", "--for", "b")[1]
    assert "opens Trip.private," in command("share", "Trip", "--for", "c")[1]
    assert "opens the whole library," in command("share", "..", "--for", "d")[1]


@pytest.mark.parametrize(
    ("text", "album"),
    [
        ("trip", "Trip.private"),
        ("Tripp/", "Trip.private"),
        ("Sub", "Trip.private/Sub.hidden"),
        ("trip/sup", "Trip.private/Sub.hidden"),
    ],
)
def test_who_mistypes_an_album_reads_which_one_there_is(
    command: Command, text: str, album: str
) -> None:
    status, _, err = command("share", text, "--for", "Grandma")
    assert status == 1
    assert err.endswith(f"There is one called {album}.\n")


@pytest.mark.parametrize(
    "words",
    [
        ("share", "", "--for", "Grandma"),
        ("share", "Nowhere", "--for", "Grandma"),
        ("share", "..", "--for", "Grandma"),
        ("share", "Open/three.jpg", "--for", "Grandma"),
        ("share", "Trip", "--for", " "),
        ("share", "Trip", "--for", "x" * 101),
        ("share", "Trip", "--for", "a", "--days", "0"),
        ("share", "Trip", "--for", "a", "--days", "ever"),
        ("share", "Trip", "--for", "a", "--password"),
        ("unshare", "Nobody"),
        ("check", "--as", "Nobody here"),
    ],
    ids=" ".join,
)
def test_a_mistake_gets_one_line_and_changes_nothing(
    command: Command, root: Path, words: tuple[str, ...]
) -> None:
    status, out, err = command(*words)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert not (root / ".photos" / "shares.json").exists()


def test_the_same_link_is_not_made_twice(command: Command) -> None:
    assert command("share", "Trip", "--for", "Grandma")[0] == 0
    status, _, err = command("share", "Trip", "--for", "grandma")
    assert status == 1 and err.rstrip().endswith(" shares")
    assert command("share", "Open", "--for", "Grandma")[0] == 0
    assert command("unshare", "Grandma")[1].count("Ended") == 2


def test_check_lists_what_each_share_opens(command: Command, root: Path) -> None:
    command("share", "Trip", "--for", "Grandma")
    command("share", "Open", "--for", "Uncle")
    (root / "Open").rename(root.parent / "away")
    out = command("check")[1]
    assert "Grandma: opens Trip.private, which is private otherwise" in out
    assert "Uncle: opens nothing, since its album is gone" in out
    assert f"{root / '.photos' / 'shares.json'}: only you can read it." in out


def test_check_shows_the_tree_of_a_share(command: Command, root: Path) -> None:
    command("share", "Trip", "--for", "Grandma")
    status, out, _ = command("check", "--as", "GRANDMA")
    assert status == 0
    assert re.match(r"Trip: 1 photo, 0 videos  /s/[\w-]{22}/\n", out)
    assert re.search(r"Trip\.private/Sub\.hidden  /s/[\w-]{22}/album/Sub/\n", out)
    assert "Open" not in out
    (root / "Trip.private").rename(root.parent / "away")
    assert "since its album is gone" in command("check", "--as", "Grandma")[1]


def test_a_damaged_file_is_named_and_left_alone(command: Command, root: Path) -> None:
    file = root / ".photos" / "shares.json"
    file.write_text('{"version": 1, "shares": []}')
    assert "No link for guests opens" in command("check")[1]
    for words in (("shares",), ("unshare", "x"), ("share", "Trip", "--for", "Grandma")):
        status, _, err = command(*words)
        assert status == 1 and "shares.json is damaged" in err
    assert json.loads(file.read_text())["shares"] == []


def test_removing_an_owner_ends_the_links_that_this_owner_made(
    command: Command, root: Path
) -> None:
    for name in ("olga", "otto"):
        assert command("register", name, "--owner", "--password-stdin")[0] == 0
    command("share", "Trip", "--for", "Grandma")
    file = root / ".photos" / "shares.json"
    content = json.loads(file.read_text())
    next(iter(content["shares"].values()))["creator"] = "otto"
    file.write_text(json.dumps(content))
    ended = "Removed otto.\nEnded the link for Grandma to Trip.\n"
    assert command("remove", "otto")[:2] == (0, ended)
    assert command("shares")[1] == ""


def test_a_terminal_shows_the_code(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "may_draw", lambda: True)
    assert "\N{FULL BLOCK}" in command("share", "Trip", "--for", "Grandma")[1]
    assert "\N{FULL BLOCK}" not in command("shares")[1]
