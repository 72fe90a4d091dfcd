"""Links for guests: shares.json, tokens, and how a share finds its album again."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from drawing import draw

import photos

TODAY = dt.date(2026, 11, 29)


class Scene:
    """A library, its users and its shares, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root, root / ".photos"
        for number in range(3):
            draw(root / "Trip.private" / f"{number}.jpg")
            draw(root / "Other.private" / f"{number}.jpg", colour="red")
        (self.state / "cache").mkdir(parents=True)
        self.today = TODAY
        self.users = photos.UserStore(self.state)
        self.users.register("olga", b"correct horse", owner=True)
        self.users.register("otto", b"correct horse", owner=True)
        self.folders = photos.Folders(root, self.state, circumstances=self.now)
        self.store = photos.ShareStore(self.state)
        self.guests = photos.Guests(self.store, self.users, self.folders)

    def now(self) -> photos.Circumstances:
        return photos.Circumstances(self.today, self.users.registered())

    def share(self, album: str = "Trip", **terms: Any) -> photos.Share:
        place = self.folders.locate(tuple(filter(None, [album])), photos.OWNER_PRINCIPAL)
        assert place
        terms = {"label": "Grandma", "until": None, **terms}
        return self.guests.make(place, **terms)

    def album(self) -> str | None:
        """Return the path of the one share's album as a guest finds it."""
        (share,) = self.store.all()
        guest = self.guests.principal(share)
        return guest and "/".join(guest.root)

    @property
    def file(self) -> Path:
        return self.state / "shares.json"


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(photos, "SEARCH_SECONDS", 0.0)
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    return Scene(tmp_path / "Album")


def test_a_token_is_22_characters_that_are_stored_nowhere(scene: Scene) -> None:
    share = scene.share()
    token = scene.store.token(share)
    assert re.fullmatch(r"[\w-]{22}", token, re.ASCII)
    assert token == photos.ShareStore(scene.state).token(share)
    assert scene.guests.share_at(token) == share
    texts = [path.read_bytes() for path in scene.state.glob("*.*")]
    assert not any(token.encode() in text for text in texts)


def test_tokens_hang_on_the_secret_and_on_the_share(scene: Scene, tmp_path: Path) -> None:
    shares = [scene.share(), scene.share("Other")]
    stores = [scene.store, photos.ShareStore(tmp_path)]
    tokens = {store.token(share) for share in shares for store in stores}
    assert len(tokens) == 4


def test_the_file_is_text_for_its_owner_alone(scene: Scene) -> None:
    scene.share()
    content = json.loads(scene.file.read_text(encoding="utf-8"))
    (entry,) = content["shares"].values()
    assert content["version"] == 1
    assert (entry["label"], entry["album"], entry["since"]) == (
        "Grandma",
        "Trip",
        "2026-11-29",
    )
    assert stat.S_IMODE(scene.file.stat().st_mode) == 0o600


def test_another_process_sees_a_share_and_its_end_at_once(scene: Scene) -> None:
    other = photos.ShareStore(scene.state)
    assert other.all() == []
    share = scene.share()
    assert other.all() == [share]
    other.end(share.id)
    assert scene.store.all() == []
    with pytest.raises(photos.NoSuchShare):
        scene.store.end(share.id)


def test_one_link_to_an_album_for_the_same_people_is_enough(scene: Scene) -> None:
    scene.share()
    scene.share("Other")
    with pytest.raises(photos.ShareExists):
        scene.share(label="GRANDMA")
    assert len(scene.store.labelled("grandma")) == 2


@pytest.mark.parametrize(("day", "lives"), [(9, True), (10, True), (11, False)])
def test_a_share_lasts_to_the_end_of_its_last_day(
    scene: Scene, day: int, lives: bool
) -> None:
    share = scene.share(until=dt.date(2027, 1, 10))
    scene.today = dt.date(2027, 1, day)
    assert (scene.guests.share_at(scene.store.token(share)) is not None) is lives


def test_a_share_dies_with_the_owner_who_made_it(scene: Scene) -> None:
    token = scene.store.token(scene.share(creator="otto"))
    assert scene.guests.share_at(token)
    users = json.loads((scene.state / "users.json").read_text())
    users["users"]["otto"]["role"] = "user"
    (scene.state / "users.json").write_text(json.dumps(users))
    assert scene.guests.share_at(token) is None
    scene.users.make_owner("otto")
    assert scene.guests.share_at(token)
    scene.users.remove("otto")
    assert scene.guests.share_at(token) is None


def test_a_share_of_a_user_is_dead_while_users_json_is_damaged(scene: Scene) -> None:
    token = scene.store.token(scene.share(creator="otto"))
    (scene.state / "users.json").write_text("{")
    assert scene.guests.share_at(token) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"until": "soon"},
        {"until": 5},
        {"since": None},
        {"password": None},
        {"album": ["Trip"]},
        {"inode": "1"},
        {"marks": "x"},
        {"label": None},
        {"may_add": "no"},
    ],
    ids=str,
)
def test_a_damaged_file_opens_nothing_and_is_left_as_it_is(
    scene: Scene, damage: dict[str, Any]
) -> None:
    share = scene.share()
    content = json.loads(scene.file.read_text())
    content["shares"][share.id] |= damage
    scene.file.write_text(json.dumps(content))
    before = scene.file.read_bytes()
    with pytest.raises(photos.StateError, match=r"shares\.json is damaged"):
        scene.guests.share_at(scene.store.token(share))
    with pytest.raises(photos.StateError):
        scene.share("Other")
    assert scene.file.read_bytes() == before


# Versions of before wrote no path.
@pytest.mark.parametrize("name", sorted({*photos.SHARE_TYPES} - {"path"}))
def test_an_entry_without_one_of_its_values_is_damaged(scene: Scene, name: str) -> None:
    share = scene.share()
    content = json.loads(scene.file.read_text())
    del content["shares"][share.id][name]
    scene.file.write_text(json.dumps(content))
    with pytest.raises(photos.StateError):
        scene.store.all()


# Where the album is now


@pytest.mark.parametrize(
    "after",
    ["Trip", "Trip.hidden", "Voyage.private", "Deep.private/Far/Trip", "Trip.inbox"],
)
def test_a_share_keeps_an_album_that_is_renamed_or_moved(scene: Scene, after: str) -> None:
    scene.share()
    (scene.root / after).parent.mkdir(parents=True, exist_ok=True)
    (scene.root / "Trip.private").rename(scene.root / after)
    assert scene.album() == after
    title = "/".join(photos.parse_name(name).title for name in after.split("/"))
    assert scene.store.all()[0].album == title


def test_a_folder_that_is_copied_back_is_found_by_its_address(scene: Scene) -> None:
    share = scene.share()
    shutil.move(scene.root / "Trip.private", scene.root.parent / "away")
    assert scene.album() is None
    shutil.copytree(scene.root.parent / "away", scene.root / "Trip")
    assert scene.album() == "Trip"
    assert scene.store.all()[0].inode not in (share.inode, 0)


def test_a_share_follows_its_folder_and_not_a_new_one_of_its_name(scene: Scene) -> None:
    scene.share()
    (scene.root / "Trip.private").rename(scene.root / "Trip 2024.private")
    draw(scene.root / "Trip.private" / "secret.jpg")
    assert scene.album() == "Trip 2024.private"


def test_a_twin_that_takes_the_address_is_not_shared(scene: Scene) -> None:
    scene.share()
    draw(scene.root / "Trip" / "new.jpg")
    assert scene.album() == "Trip.private"


@pytest.mark.parametrize("renamed", ["Trip", "Trip.private", "Trip.hidden"])
def test_a_private_twin_is_not_shared_when_the_shared_album_is_gone(
    scene: Scene, renamed: str
) -> None:
    scene.share()
    (scene.root / "Trip.private").rename(scene.root / renamed)
    assert scene.album() == renamed  # and its path is noted
    draw(scene.root / "Trip.private+olga" / "secret.jpg")
    assert scene.album() == renamed
    shutil.move(scene.root / renamed, scene.root.parent / "away")
    assert scene.album() is None
    shutil.copytree(scene.root.parent / "away", scene.root / renamed)
    assert scene.album() == renamed


def test_nothing_is_noted_of_an_album_that_is_moved_while_it_is_looked_at(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = scene.share()
    marks = scene.guests._marks

    def move_and_mark(parts: photos.Parts) -> Iterator[str]:
        yield from marks(parts)
        (scene.root / "Trip.private").rename(scene.root / "Trip.private+olga")

    with monkeypatch.context() as patch:
        patch.setattr(scene.guests, "_marks", move_and_mark)
        scene.guests.note_use(share)
    assert scene.store.all() == [share]
    assert scene.album() == "Trip.private+olga"


def test_a_share_of_an_older_version_keeps_its_album_and_learns_its_path(
    scene: Scene,
) -> None:
    share = scene.share()
    content = json.loads(scene.file.read_text())
    del content["shares"][share.id]["path"]
    scene.file.write_text(json.dumps(content))
    shutil.move(scene.root / "Trip.private", scene.root.parent / "away")
    shutil.copytree(scene.root.parent / "away", scene.root / "Trip.private")
    assert scene.album() == "Trip.private"
    assert scene.store.all()[0].path == "Trip.private"


def test_a_share_of_an_older_version_learns_its_path_while_its_album_is_there(
    scene: Scene,
) -> None:
    """Over plain HTTP no browser says that it goes on from a page, so that no use is noted."""
    (scene.root / "Trip.private").rename(scene.root / "Trip")
    share = scene.share()
    content = json.loads(scene.file.read_text())
    del content["shares"][share.id]["path"]
    scene.file.write_text(json.dumps(content))
    assert scene.album() == "Trip"
    draw(scene.root / "Trip.private" / "secret.jpg")
    shutil.move(scene.root / "Trip", scene.root.parent / "away")
    assert scene.album() is None


def give_number_of(scene: Scene, path: str) -> None:
    """Let the one share know its album by the number that another folder has by now."""
    (share,) = scene.store.all()
    status = os.stat(scene.root / path)
    scene.store.update(replace(share, inode=status.st_ino, device=status.st_dev))


@pytest.mark.parametrize("other", ["Other.private", "Trip.private+olga", "Trip"])
def test_another_folder_with_the_number_of_one_deleted_is_not_shared(
    scene: Scene, other: str
) -> None:
    (scene.root / "Trip.private").rename(scene.root / "Trip.hidden")
    scene.share()
    shutil.rmtree(scene.root / "Trip.hidden")
    draw(scene.root / other / "secret.jpg")
    give_number_of(scene, other)
    # What anybody may see is as good as the album that was put back.
    assert scene.album() == ("Trip" if other == "Trip" else None)


@pytest.mark.parametrize("name", ["", "A", "A/0.jpg", "A/Deep/0.jpg"])
def test_a_folder_that_got_the_number_of_a_shared_one_is_not_shared(
    scene: Scene, name: str
) -> None:
    """As on a disk with exFAT that was taken out and put back: all folders get new numbers."""
    for album in ("Trips", "Diary.private"):
        path = scene.root / album / name
        if name.endswith(".jpg"):
            draw(path)
        else:
            path.mkdir(parents=True)
    diary = scene.root / "Diary.private"
    for path in (*diary.iterdir(), diary):
        os.utime(path, (1, 1))
    scene.share("Trips")
    give_number_of(scene, "Diary.private")
    (share,) = scene.store.all()
    numbers = [f"{path.stat().st_ino:x}" for path in diary.iterdir()]
    scene.store.update(replace(share, marks=(*share.marks, *numbers)))
    assert scene.album() == "Trips"
    assert scene.store.all()[0].inode == (scene.root / "Trips").stat().st_ino
    assert scene.album() == "Trips"


def test_copies_in_a_folder_that_got_the_number_do_not_make_it_the_shared_one(
    scene: Scene,
) -> None:
    """Copies have the size and the time of the first, and by chance the new number, too."""
    first = draw(scene.root / "Trips" / "0.jpg")
    copy = scene.root / "Diary.private" / "0.jpg"
    copy.parent.mkdir()
    shutil.copy2(first, copy)
    scene.share("Trips")
    give_number_of(scene, "Diary.private")
    (share,) = scene.store.all()
    scene.store.update(replace(share, marks=(photos.identity_on_disk(os.fspath(copy)),)))
    assert scene.album() == "Trips"
    assert scene.store.all()[0].inode == first.parent.stat().st_ino
    first.parent.rename(scene.root / "Journeys")
    assert scene.album() == "Journeys"


def test_an_empty_album_that_is_renamed_is_still_shared(scene: Scene) -> None:
    (scene.root / "Partty.inbox").mkdir()
    scene.share("Partty")
    (scene.root / "Partty.inbox").rename(scene.root / "Party.inbox")
    assert scene.album() == "Party.inbox"


def test_an_album_that_was_filled_after_it_was_shared_may_be_renamed(scene: Scene) -> None:
    album = scene.root / "Party.inbox"
    album.mkdir()
    scene.share("Party")
    draw(album / "0.jpg")
    assert scene.album() == "Party.inbox"
    album.rename(scene.root / "Feast.private")
    assert scene.album() == "Feast.private"


def test_a_share_of_albums_alone_follows_their_folder(scene: Scene) -> None:
    draw(scene.root / "Trips" / "A" / "0.jpg")
    scene.share("Trips")
    (scene.root / "Trips").rename(scene.root / "Journeys.private")
    draw(scene.root / "Trips" / "A" / "0.jpg")
    assert scene.album() == "Journeys.private"


def test_a_share_of_the_library_opens_all_of_it(scene: Scene) -> None:
    scene.share("")
    assert scene.album() == ""


def test_a_share_of_an_inbox_only_adds(scene: Scene) -> None:
    draw(scene.root / "Party.inbox" / "x.jpg")
    guest = scene.guests.principal(scene.share("Party"))
    assert guest and guest.only_adds and guest.share


def test_the_day_of_use_is_noted_once_a_day(scene: Scene) -> None:
    share = scene.share()
    scene.guests.note_use(share)
    [noted] = scene.store.all()
    assert noted.used == TODAY
    before = scene.file.stat().st_ino
    scene.guests.note_use(noted)
    assert scene.file.stat().st_ino == before
    scene.store.end(share.id)
    scene.guests.note_use(share)
    assert scene.store.all() == []


def test_a_photo_that_is_called_as_a_shared_album_was_is_not_shared(scene: Scene) -> None:
    scene.share()
    shutil.rmtree(scene.root / "Trip.private")
    (scene.root / "Other.private" / "0.jpg").rename(scene.root / "Trip")
    place = scene.folders.locate(("Trip",), photos.OWNER_PRINCIPAL)
    assert place and place.file
    assert scene.album() is None


# Crashes

KILLS = 200


@pytest.mark.whole
@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # of threads of others
def test_a_crash_leaves_the_old_or_the_new_file(scene: Scene) -> None:
    """A process makes and ends links until it is killed, at a random moment, again and again."""
    kept = scene.share(label="kept")
    random = Random(12)
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            try:
                for number in range(1000):
                    scene.store.end(scene.share("Other", label=f"link {number}").id)
            finally:
                os._exit(0)
        time.sleep(random.uniform(0, 0.012))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shares = photos.ShareStore(scene.state).all()
        assert kept in shares and len(shares) <= 2 + KILLS
        for share in shares:
            if share != kept:
                scene.store.end(share.id)
    assert photos.ShareStore(scene.state).all() == [kept]
    assert len(list((scene.root / "Other.private").iterdir())) == 3
