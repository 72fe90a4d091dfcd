"""Ways by which somebody might learn of, or open, what that person may not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from looking import read
from visiting import PASSWORD, Client, crawl

import photos
import renditions


@pytest.fixture
def make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., photos.Site]]:
    """Opens a site over a library with its state anywhere, all files read and rendered."""
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    monkeypatch.setattr(photos, "READ_PATIENCE", 30)
    sites = []

    def make(root: Path, state: Path, **settings: bool) -> photos.Site:
        photos.make_state_folder(state)
        users = photos.UserStore(state)
        if not users.names():
            for name in ("olga", "anna", "ben"):
                users.register(name, PASSWORD.encode(), owner=name == "olga")
        config = photos.Config(library=os.fspath(root), **settings)
        site = photos.create_app(state, config=config, background=False)
        read(site._library, renditions.Purpose.ALL)
        sites.append(site)
        return site

    yield make
    for site in sites:
        site.close()


def finds_only(client: Client, photo_count: int) -> None:
    """Say that nobody gets more by following all links, or by looking for what the cache has."""
    answers = crawl(client, "/", "/api/album")
    assert {answer.status for answer in answers.values()} <= {200, 303}
    assert sum("/photo/" in address for address in answers) <= photo_count
    assert not any("cache" in address or "renditions" in address for address in answers)


@pytest.mark.parametrize("who", ["visitor", "olga"])
@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("Direct", "Inner/state"),
        ("Cache", "Inner/state/cache"),
        ("Pictures", "Inner/state/cache/renditions"),
        ("Around", "Inner"),
        ("Trip/Around", "../Inner"),
    ],
)
def test_no_link_leads_into_a_state_folder_in_the_library(
    link: str, target: str, who: str, tmp_path: Path, make: Callable[..., photos.Site]
) -> None:
    root = tmp_path / "Mine"
    draw(root / "Faces.private" / "zebra.jpg")
    draw(root / "Trip" / "one.jpg", colour="#884422")
    (root / "Inner").mkdir()
    (root / link).symlink_to(target)
    site = make(root, root / "Inner" / "state")
    assert list((root / "Inner" / "state").rglob("*.webp"))
    client = Client(site)
    if who != "visitor":
        client.log_in(who)
    finds_only(client, 2)
    for path in ("/state", "/state/cache", "/cache", "/cache/renditions", "/renditions"):
        assert client.get(f"/album/{link}{path}/").status == 404
    assert b".webp" not in client.get(f"/album/{link}/").body


def test_no_link_out_of_the_library_leads_to_the_state_folder(
    tmp_path: Path, make: Callable[..., photos.Site]
) -> None:
    root, elsewhere = tmp_path / "Mine", tmp_path / "elsewhere"
    draw(root / "Faces.private" / "zebra.jpg")
    draw(elsewhere / "More" / "one.jpg", colour="#884422")
    (root / "Out").symlink_to(elsewhere)
    site = make(root, elsewhere / "state", follow_symlinks=True)
    assert list((elsewhere / "state").rglob("*.webp"))
    client = Client(site)
    finds_only(client, 1)
    assert b"webp" not in client.get("/album/Out/").body
    assert b'"photos": 1,' in client.get("/api/album").body


@pytest.mark.parametrize("state", ["", ".."])
def test_a_state_folder_that_holds_the_library_shows_nothing_of_itself(
    state: str, tmp_path: Path, make: Callable[..., photos.Site]
) -> None:
    root = tmp_path / "Mine"
    draw(root / "Faces.private" / "zebra.jpg")
    draw(root / "Trip" / "one.jpg", colour="#884422")
    state_folder = Path(os.path.normpath(root / state))
    (root / "Up").symlink_to(state_folder / "cache")
    client = Client(make(root, state_folder, follow_symlinks=True))
    assert list((state_folder / "cache").rglob("*.webp"))
    finds_only(client, 1)
    assert client.get("/album/Trip/one.jpg").status == 200
    for name in ("cache", "Up", "Up/renditions", "secret.key", "users.json"):
        assert client.get(f"/album/{name}/").status == 404
        assert client.get(f"/photo/{name}").status == 404


def steps(do: Callable[[], object]) -> list[str]:
    """Return the program's own functions that are called, sorted."""
    called: list[str] = []

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename == photos.__file__:
            called.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        do()
    finally:
        sys.setprofile(None)
    return sorted(called)


@pytest.mark.parametrize("who", [photos.VISITOR, photos.Principal("ben")])
def test_what_is_not_there_takes_the_same_steps_as_what_may_not_be_opened(
    who: photos.Principal, tmp_path: Path, make: Callable[..., photos.Site]
) -> None:
    root = tmp_path / "Mine"
    draw(root / "Faces.private+anna" / "Deep" / "zebra.jpg")
    draw(root / "Trip" / "one.jpg.private+anna", format="JPEG", colour="#884422")
    draw(root / "Trip" / "Inner.private copy" / "two.jpg", colour="#224488")
    folders = make(root, tmp_path / "state")._library.folders
    for path in (root, *root.rglob("*")):
        os.utime(path, (0, 0))  # so that no listing is doubted
    groups = [
        [("Faces",), ("Fakes",), ("faces",), ("Trip2",)],
        [("Faces.private+anna",), ("Fakes.private+anna",), ("Faces.private+annb",)],
        [("Faces", "Deep"), ("Faces", "Deeper"), ("Fakes", "Deep", "zebra.jpg")],
        [("Trip", "Inner"), ("Trip", "Outer"), ("Trip", "Inner", "two.jpg")],
        [("Trip", "one.jpg.private+anna"), ("Trip", "two.jpg.private+anna")],
    ]
    for group in groups:
        for address in group:
            assert folders.locate(address, who) is None
        taken = [steps(lambda a=address: folders.locate(a, who)) for address in group]
        for address, each in zip(group, taken, strict=True):
            assert each == taken[0], address
