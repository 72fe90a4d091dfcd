"""What is kept of folders from one start to the next: it never says more, or other, than they do."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import gc
import itertools
import os
import random
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import photos
import renditions

OWNER = photos.Principal("olga", is_owner=True)
ANNA, ZOE = photos.Principal("anna"), photos.Principal("zoe")
EVERYBODY = (photos.VISITOR, ANNA, ZOE, OWNER)
OLD = 1_400_000_000  # when the first folder was written
STEMS = ("one", "two", "IMG_10", "IMG_9", "a b", "größe", "cover")
ENDINGS = (
    *(".jpg", ".jpg", ".heic", ".mov", ".dng", ".txt", ".xmp", ".jpg.private"),
    *(".hidden.jpg", ".jpg.private+anna", "\udcff.jpg", "(1).jpg"),
)
ALBUMS = ("Trip", "Beach", "Zoo")
KEYWORDS = (
    *("", "", "", ".private", ".hidden", ".private+anna", ".private+zoe", ".inbox"),
    *(".hidden-until-2026-11-28", ".private copy"),
)
TEXTS = ("A title\nWords", "\nsort: name", "Title\ncover: one.jpg\none.jpg: The first", "")


class World:
    """A library on disk, and the day and users that its servers are told."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.today = dt.date(2026, 11, 28)
        self.times = itertools.count(OLD, 1000)
        self.opened: list[photos.Library] = []

    def circumstances(self) -> photos.Circumstances:
        return photos.Circumstances(self.today, frozenset({"anna", "zoe"}))

    def open(self, cache: Path | None = None) -> photos.Library:
        """Start a server without workers."""
        cache = cache or self.root.parent / "state" / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        library = photos.Library(
            self.root, cache, workers=0, circumstances=self.circumstances
        )
        self.opened.append(library)
        return library

    def write(self, path: Path) -> Path:
        """Write a file with other content, at another moment, than any before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        number = self.random.randrange(10**6)
        path.write_bytes(b"x" * (1 + number % 5000))
        moment = OLD - number * 100
        os.utime(path, (moment, moment))
        return path

    def settle(self) -> None:
        """Let all folders have changed long ago, each at another moment."""
        for path in [self.root, *sorted(self.root.rglob("*"))]:
            if path.is_dir() and path.stat().st_mtime > OLD + 10**8:
                moment = next(self.times)
                os.utime(path, (moment, moment))

    def folders(self) -> list[Path]:
        paths = [self.root, *sorted(self.root.rglob("*"))]
        return [path for path in paths if path.is_dir()]

    def files(self) -> list[Path]:
        return [
            path
            for folder in self.folders()
            for path in sorted(folder.iterdir())
            if path.is_file() and not path.is_symlink() and path.name != "album.txt"
        ]

    def change(self) -> None:
        """Change something at random."""
        choose = self.random.choice
        folder, files = choose(self.folders()), self.files()
        name = choose(STEMS) + choose(ENDINGS)
        album = choose(ALBUMS) + choose(KEYWORDS)
        changes: list[Callable[[], Any]] = [
            lambda: self.write(folder / name),
            lambda: self.write(folder / album / name),
            lambda: self.write(choose(files)),
            lambda: choose(files).unlink(),
            lambda: choose(files).chmod(choose((0o600, 0o644))),
            lambda: choose(files).rename(folder / name),
            lambda: choose(files).rename(choose(files)),
            lambda: (folder / "album.txt").write_text(choose(TEXTS)),
            lambda: (folder / "link.jpg").symlink_to(choose(files)),
            lambda: (folder / "Link").symlink_to(choose(self.folders())),
        ]
        if folder != self.root:
            changes += 3 * [lambda: folder.rename(folder.with_name(album))]
            changes += [lambda: shutil.rmtree(folder)]
        try:
            choose(changes)()
        except (
            OSError,
            IndexError,
        ):  # such as a name that is there, or no file that is left
            pass
        self.settle()


def facts_of(file: photos.File) -> renditions.Info:
    """Return facts that a worker might tell of a file, the same ones each time."""
    kind = photos.expected_kind(file.plain_name)
    minute = file.size % 60
    taken = f"2024-0{1 + file.size % 9}-01T10:{minute:02}:00"
    zone = ("", "+02:00", "-05:00")[file.size % 3]
    return renditions.Info(
        key=f"{file.size:024x}",
        kind=kind,
        taken=taken + zone if file.size % 4 else "",
        duration=2.0 if kind == renditions.VIDEO else 0.0,
        added=float(OLD + file.size % 997),
        changed=file.changed,
        caption="A caption" if file.size % 5 == 0 else "",
        problem="" if file.size % 7 else "odd",
        colour="#123456",
    )


def learn(library: photos.Library) -> None:
    """Have a library know all its files, as a background pass does."""
    for file in photos.Upkeep(library).unread(0):
        library.index.put(file.identity, facts_of(file))


def summarise(library: photos.Library) -> None:
    library.summarise(library.walk())


def told(album: photos.Album) -> dict[str, Any]:
    """Return all that an album says, with its items and the albums below."""
    children = [told(child) for child in album.albums]
    cover = album.cover and (album.cover.address, album.cover.file, album.cover.info)
    own: dict[str, Any] = {"list_items": [*album.items], "albums": children, "cover": cover}
    own["is_as_kept"] = None  # nobody is told
    return {**vars(album), **own}


def all_told(library: photos.Library, principal: photos.Principal) -> list[Any]:
    """Return all that somebody finds: albums, items, what was added last, flags."""
    root = library.folders.locate((), principal)
    assert root is not None
    front = library.album(root, principal)
    pages = []
    waiting = [front]
    while waiting:
        album = waiting.pop()
        waiting += album.albums
        place = library.folders.locate(album.address, principal)
        assert place is not None, album.address
        own = library.album(place, principal)
        pages.append((told(own), photos.names_of(own.items)))
    recent = [item.added for item in library.recent_items(root, principal)]
    return [told(front), pages, recent, library.flags()]


def openable(library: photos.Library, principal: photos.Principal, root: Path) -> set[str]:
    """Return the files on disk that somebody may open by their full names."""
    paths = [path.relative_to(root) for path in root.rglob("*")]
    return {str(path) for path in paths if library.folders.locate(path.parts, principal)}


def without_summaries(world: World, library: photos.Library) -> photos.Library:
    """Return a server that knows the same facts, and has no summaries."""
    shutil.rmtree(world.root.parent / "other", ignore_errors=True)
    fresh = world.open(world.root.parent / "other" / "cache")
    for folder in (*library.folders.walk(), *fresh.folders.walk()):
        for file in folder[1].files.values():
            info = library.index.get(file.identity)
            if info and fresh.index.get(file.identity) is None:
                fresh.index.put(file.identity, info)
    return fresh


def kept(library: photos.Library) -> list[photos.Parts]:
    """Return the folders that are as their summaries tell."""
    listings = library.folders._listings.items()
    return [parts for parts, listing in listings if listing.folder.is_kept]


def summaries(library: photos.Library) -> dict[Path, bytes]:
    """Return the files of the summaries with what they hold."""
    return {path: path.read_bytes() for path in library.cache.glob("summary-*")}


def look(library: photos.Library, *address: str, who: Any = photos.VISITOR) -> photos.Album:
    """Return the album that somebody finds at an address."""
    place = library.folders.locate(address, who)
    assert place is not None
    return library.album(place, who)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the times of folders believed at once: each change here comes with another one."""
    monkeypatch.setattr(photos, "TICK", 0.0)
    monkeypatch.setattr(photos, "WHOLE_SECOND_TICK", 0.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "library")
    for name in ("Trip/one.jpg", "Trip/two.jpg", "Trip/Beach/IMG_9.heic", "Zoo/one.jpg"):
        world.write(world.root / name)
    world.settle()
    yield world
    for library in world.opened:
        library.close()


@pytest.fixture
def summarised(world: World) -> photos.Library:
    """A server that has read all of that library, and kept summaries."""
    library = world.open()
    learn(library)
    summarise(library)
    assert len(kept(library)) == len(summaries(library)) == 4
    return library


@pytest.fixture(params=[2000, -1], ids=["small", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Above how many files a folder is large; -1: each is."""
    monkeypatch.setattr(photos, "LARGE_FOLDER", request.param)
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    return request.param


@pytest.fixture(params=["album.txt", "Album.TXT"])
def words(world: World, request: pytest.FixtureRequest) -> Path:
    """The file with the words of an album, which phones write with a capital."""
    return world.root / "Trip" / request.param


@pytest.fixture
def worded(world: World, size: int, words: Path) -> photos.Library:
    """The same server, where one of the albums has words of its own."""
    words.write_text("Before")
    world.settle()
    library = world.open()
    learn(library)
    summarise(library)
    return library


def same_as_anew(world: World, library: photos.Library) -> None:
    """Compare all that everybody finds and may open with what a server without summaries says."""
    fresh = without_summaries(world, library)
    for principal in EVERYBODY:
        assert all_told(library, principal) == all_told(fresh, principal), principal
        assert openable(library, principal, world.root) == openable(
            fresh, principal, world.root
        )


def test_after_a_restart_nothing_is_listed_again_and_everything_is_as_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.open()
    learn(first)
    before = {who: all_told(first, who) for who in EVERYBODY}
    summarise(first)
    assert {who: all_told(first, who) for who in EVERYBODY} == before
    again = world.open()
    monkeypatch.setattr(photos, "LARGE_FOLDER", -1)
    listed = []
    monkeypatch.setattr(
        photos.Folders, "_list_again", lambda folders, parts: listed.append(parts)
    )
    assert {who: all_told(again, who) for who in EVERYBODY} == before
    assert listed == []
    assert len(kept(again)) == 4


@pytest.mark.whole
@pytest.mark.parametrize("seed", range(3))
def test_whatever_changes_while_servers_come_and_go_is_found_as_if_nothing_were_kept(
    world: World, seed: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "ALBUMS_LISTED", 2)
    world.random.seed(seed)
    library = world.open()
    recalled = 0
    for _ in range(12):
        for _ in range(world.random.randrange(4)):
            world.change()
        if world.random.random() < 0.5:  # killed, or stopped
            library = world.open()
        if world.random.random() < 0.3:
            for principal in EVERYBODY:  # with what was never read
                all_told(library, principal)
        if world.random.random() < 0.2:
            world.today += dt.timedelta(days=1)
        library.walk()  # what was written in place is found by the background pass
        if world.random.random() < 0.7:
            learn(library)
        if size < 0 or world.random.random() < 0.7:
            summarise(library)
        recalled += len(kept(library))
        same_as_anew(world, library)
    assert recalled


# Who may see what


def test_an_album_renamed_to_private_is_hidden_at_the_next_request(
    world: World, summarised: photos.Library, size: int
) -> None:
    for library in (summarised, world.open()):
        assert [album.title for album in look(library).albums] == ["Trip", "Zoo"]
    os.rename(world.root / "Zoo", world.root / "Zoo.private")
    for library in (*world.opened, world.open()):
        assert [album.title for album in look(library).albums] == ["Trip"]
        assert library.folders.locate(("Zoo", "one.jpg"), photos.VISITOR) is None
        assert look(library).photos == 3


def test_an_album_renamed_inside_another_is_hidden_at_the_next_request(
    world: World, summarised: photos.Library, size: int
) -> None:
    assert look(summarised).photos == 4
    os.rename(world.root / "Trip" / "Beach", world.root / "Trip" / "Beach.hidden")
    for library in (*world.opened, world.open()):
        assert look(library, "Trip").albums == ()
        assert look(library).photos == 3


def test_a_photo_renamed_to_private_is_hidden_at_the_next_request(
    world: World, summarised: photos.Library, size: int
) -> None:
    assert look(summarised, "Trip").photos == 3
    os.rename(world.root / "Trip" / "one.jpg", world.root / "Trip" / "one.jpg.private")
    for library in (*world.opened, world.open()):
        assert photos.names_of(look(library, "Trip").items) == ["two.jpg"]
        assert library.folders.locate(("Trip", "one.jpg.private"), photos.VISITOR) is None


def test_what_was_hidden_until_a_day_is_private_after_it(world: World, size: int) -> None:
    world.write(world.root / "Party.hidden-until-2026-11-28" / "one.jpg")
    world.settle()
    first = world.open()
    learn(first)
    summarise(first)
    library = world.open()
    assert library.folders.locate(("Party",), photos.VISITOR)
    world.today += dt.timedelta(days=1)
    for server in world.opened:
        assert server.folders.locate(("Party",), photos.VISITOR) is None
        assert server.folders.locate(("Party", "one.jpg"), photos.VISITOR) is None


def test_the_words_of_an_album_count_at_its_next_page_although_no_folder_tells_of_them(
    world: World, worded: photos.Library, words: Path
) -> None:
    again = world.open()
    assert look(again, "Trip").title == look(worded, "Trip").title == "Before"
    assert ("Trip",) in kept(worded) and ("Trip",) in kept(again)
    words.write_text("Afterwards")
    for library in (*world.opened, world.open()):
        assert look(library, "Trip").title == "Afterwards"


def test_a_guest_who_only_adds_finds_nothing_of_others(
    world: World, summarised: photos.Library, size: int
) -> None:
    status = (world.root / "Trip" / "one.jpg").stat()
    own = frozenset({photos.identity_text(status)})
    guest = photos.Principal(share="s", root=("Trip",), only_adds=True, added=own)
    assert photos.names_of(look(world.open(), who=guest).items) == ["one.jpg"]
    stranger = photos.Principal(share="t", root=("Trip",), only_adds=True)
    assert [*look(world.open(), who=stranger).items] == []


# What is not as a server wrote it


def changes_of(content: bytes) -> Iterator[bytes]:
    """Yield what a crash, a bad disk or somebody may make of a summary."""
    yield b""
    yield from (content[:length] for length in range(1, len(content), 97))
    yield content[:-1]
    for at in range(0, len(content), 41):
        yield content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    yield content.replace(b"one.jpg", b"two.jpg")
    yield content + b" "
    yield content[:32] + b"[" * 100_000
    yield content[:32] + b"{}"
    yield bytes(32) + content[32:]
    yield os.urandom(5000)


def test_a_summary_that_is_cut_short_damaged_or_changed_counts_as_none(
    world: World, summarised: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LARGE_FOLDER", -1)
    before = told(look(summarised, "Trip"))
    inode = (world.root / "Trip").stat().st_ino
    path = summarised.cache / f"summary-{inode:x}"
    sealed = path.read_bytes()
    library = world.open()
    assert library.summaries.recall(("Trip",))
    count = 0
    for content in changes_of(sealed):
        path.write_bytes(content)
        assert library.summaries.recall(("Trip",)) is None, content
        count += 1
    assert count > 20
    again = world.open()
    assert told(look(again, "Trip")) == before
    assert ("Trip",) not in kept(again)


def test_a_summary_of_another_folder_or_of_another_server_counts_as_none(
    world: World, summarised: photos.Library, tmp_path: Path
) -> None:
    paths = sorted(summaries(summarised))
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, [*contents[1:], contents[0]], strict=True):
        path.write_bytes(content)
    library = world.open()
    assert look(library).photos == 4
    assert kept(library) == []
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    look(library := world.open())
    assert len(kept(library)) == 4
    (library.cache.parent / "secret.key").write_bytes(bytes(32))
    look(library := world.open())
    assert kept(library) == []


def test_a_summary_does_not_make_a_link_an_album(
    world: World, summarised: photos.Library, tmp_path: Path
) -> None:
    trip, elsewhere = world.root / "Trip", tmp_path / "elsewhere"
    folder = summarised.summaries.recall(("Trip",))
    assert folder is not None
    shutil.move(trip / "Beach", elsewhere)
    (trip / "Beach").symlink_to(elsewhere)
    stamp, changed = photos.identity_of(trip), photos.changed_ns(str(trip))
    assert stamp is not None
    summarised.summaries.keep(("Trip",), stamp, changed, folder.summary)
    assert world.open().summaries.recall(("Trip",)) is None


def test_a_summary_from_before_a_change_never_comes_back(
    world: World, summarised: photos.Library
) -> None:
    trip = world.root / "Trip"
    before, stamp = summaries(summarised), trip.stat()
    (trip / "one.jpg").rename(trip / "one.jpg.private")
    os.utime(trip, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as rsync sets it back
    for path, content in before.items():
        path.write_bytes(content)
    library = world.open()
    assert photos.names_of(look(library, "Trip").items) == ["two.jpg"]


def hide_and_set_back(folder: Path) -> None:
    """Rename a photo to private, and set the time of its folder back, as rsync does."""
    stamp = folder.stat()
    (folder / "one.jpg").rename(folder / "one.jpg.private")
    os.utime(folder, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_a_change_after_a_listing_and_before_its_summary_is_not_missed(
    world: World,
) -> None:
    library = world.open()
    learn(library)
    folders = library.walk()
    hide_and_set_back(world.root / "Trip")
    library.summarise(folders)
    for server in (library, world.open()):
        trip = look(server, "Trip")
        assert (photos.names_of(trip.items), trip.photos) == (["two.jpg"], 2)


def test_a_running_server_sees_new_names_in_a_folder_whose_time_was_set_back(
    world: World, summarised: photos.Library
) -> None:
    look(summarised, "Trip")
    hide_and_set_back(world.root / "Trip")
    for _ in range(2):
        trip = look(summarised, "Trip")
        assert (photos.names_of(trip.items), trip.photos) == (["two.jpg"], 2)
        summarise(summarised)


def test_an_album_with_words_of_its_own_has_a_summary_too(
    world: World, worded: photos.Library, words: Path
) -> None:
    assert ("Trip",) in kept(worded)
    library = world.open()
    assert look(library, "Trip").title == "Before"
    assert ("Trip",) in kept(library)
    words.write_text("Afterwards")
    look(library := world.open(), "Trip")
    assert ("Trip",) not in kept(library)


def test_a_link_in_the_place_of_an_album_is_seen_whatever_the_time_of_the_folder(
    world: World, summarised: photos.Library
) -> None:
    trip = world.root / "Trip"
    world.write(world.root / "Faces.private" / "zebra.jpg")
    look(summarised, "Trip")
    stamp = trip.stat()
    shutil.rmtree(trip / "Beach")
    (trip / "Beach").symlink_to("../Faces.private")
    os.utime(trip, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    for library in (summarised, world.open()):
        assert library.folders.locate(("Trip", "Beach"), photos.VISITOR) is None
        assert (
            library.folders.locate(("Trip", "Beach", "zebra.jpg"), photos.VISITOR) is None
        )


def test_a_summary_is_none_once_other_facts_are_known(
    world: World, summarised: photos.Library
) -> None:
    path = world.root / "Zoo" / "one.jpg"
    identity = photos.identity_text(path.stat())
    info = summarised.index.get(identity)
    assert info is not None
    later = dataclasses.replace(info, taken="2031-01-01T00:00:00", crc=5)
    summarised.index.put(identity, later)
    for library in (summarised, world.open()):
        assert look(library).last == dt.datetime(2031, 1, 1)


def test_a_checksum_that_is_noted_leaves_all_albums_and_their_summaries_as_they_are(
    world: World, summarised: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = look(summarised)
    told_before = all_told(summarised, OWNER)
    for path in world.files():
        identity = photos.identity_text(path.stat())
        info = summarised.index.get(identity)
        assert info is not None
        # As the facts stood in an order of their own.
        summarised.index.put(identity, dataclasses.replace(info, crc=7))
    library = world.open()
    again = look(library)
    assert len(kept(library)) == 4
    monkeypatch.setattr(library, "_items", lambda *_, **__: pytest.fail("listed again"))
    monkeypatch.setattr(summarised, "_items", lambda *_, **__: pytest.fail("listed again"))
    assert look(summarised) is before
    assert (again.photos, again.last) == (before.photos, before.last)
    monkeypatch.undo()
    crcs = {item.facts.crc for item in look(library, "Zoo").items}
    assert crcs == {7} and len(told_before) == len(all_told(library, OWNER))


@pytest.mark.parametrize("name", ["one.jpg.private", "link.jpg", "gone.jpg", "Beach"])
def test_even_a_summary_that_lies_shows_nothing_but_plain_files_of_its_folder(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LARGE_FOLDER", -1)
    trip = world.root / "Trip"
    world.write(trip / "one.jpg.private")
    (trip / "link.jpg").symlink_to(trip / "one.jpg.private")
    world.settle()
    first = world.open()
    learn(first)
    summarise(first)
    kept_zoo = first.summaries.recall(("Zoo",))
    assert kept_zoo is not None
    lie = kept_zoo.summary._replace(items=name, cover=name, photos=99)
    stamp, changed = photos.identity_of(trip), photos.changed_ns(str(trip))
    assert stamp is not None
    first.summaries.keep(("Trip",), stamp, changed, lie)
    library = world.open()
    album = look(library, "Trip")
    assert ("Trip",) in kept(library)
    shown = [*album.items, album.cover]
    assert [(item.file.path, item.file.identity, item.info) for item in shown] == 2 * [
        ("", "", None)
    ]
    place = library.folders.locate(("Trip", name), photos.VISITOR)
    assert place is None or place.file is None or library.item(place) is None
    summarise(library)  # as the background pass does
    assert look(library, "Trip").photos == 3


# Crashes, disks and other servers


@pytest.mark.parametrize("length", [0, 1, 32, 33, 200])
def test_a_server_killed_while_it_writes_a_summary_leaves_none(
    world: World, summarised: photos.Library, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in summaries(summarised):
        path.unlink()

    def write_a_part(path: Path, content: bytes) -> int:
        with open(path, "wb") as file:
            file.write(content[:length])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_a_part)
        killed = world.open()
        with pytest.raises(KeyboardInterrupt):
            summarise(killed)
    library = world.open()
    assert [len(content) for content in summaries(library).values()] == [length]
    assert look(library).photos == 4
    assert kept(library) == []
    summarise(library)
    assert len(kept(library)) == 4
    look(library := world.open())
    assert len(kept(library)) == 4


@pytest.mark.parametrize("cause", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_where_the_cache_cannot_be_written_pages_are_right_and_files_leave_the_memory(
    world: World, cause: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes) -> int:
        raise OSError(cause, os.strerror(cause))

    monkeypatch.setattr(Path, "write_bytes", fail)
    library = world.open()
    learn(library)
    before = {who: all_told(library, who) for who in EVERYBODY}
    summarise(library)
    assert summaries(library) == {}
    assert len(kept(library)) == 4
    assert {who: all_told(library, who) for who in EVERYBODY} == before
    same_as_anew(world, library)


def test_a_cache_that_is_deleted_costs_nothing_but_time(
    world: World, summarised: photos.Library
) -> None:
    before = {who: all_told(summarised, who) for who in EVERYBODY}
    shutil.rmtree(summarised.cache)
    assert {who: all_told(summarised, who) for who in EVERYBODY} == before
    summarise(summarised)
    summarised.summaries.prune([])
    same_as_anew(world, summarised)
    library = world.open()
    assert look(library).photos == 4
    assert kept(library) == []


def test_two_servers_over_one_state_folder_keep_the_same(
    world: World, summarised: photos.Library, size: int
) -> None:
    other = world.open()
    same_as_anew(world, other)
    before = summaries(summarised)
    summarise(other)
    assert summaries(summarised) == before
    world.write(world.root / "Zoo" / "two.jpg")
    world.settle()
    learn(other)
    summarise(other)
    assert set(summaries(summarised)) == set(before)
    learn(summarised)
    for library in (summarised, other, world.open()):
        summarise(library)
        same_as_anew(world, library)
        assert look(library).photos == 5
        assert len(kept(library)) == 4
        stamps = [folder.stamp for _, folder in library.walk()]
        library.summaries.prune(stamps)
        assert set(summaries(library)) == set(before)


def test_summaries_of_folders_that_are_gone_are_deleted(
    world: World, summarised: photos.Library
) -> None:
    shutil.rmtree(world.root / "Zoo")
    photos.Upkeep(summarised).prune()
    assert len(summaries(summarised)) == 3


# What is in memory


@pytest.mark.whole
def test_the_files_that_a_summary_tells_of_leave_the_memory(world: World) -> None:
    library = world.open()
    learn(library)
    look(library)
    folders = [weakref.ref(folder) for _, folder in library.walk()]
    summarise(library)
    gc.collect()
    assert [folder() for folder in folders] == 4 * [None]


def test_a_page_of_a_large_album_looks_at_its_own_photos_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        world.write(world.root / "Zoo" / f"IMG_{number}.jpg")
    world.settle()
    first = world.open()
    learn(first)
    summarise(first)
    monkeypatch.setattr(photos, "LARGE_FOLDER", 100)
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    library = world.open()
    looked_at = []

    def note(name: str, folder: str) -> photos.File:
        looked_at.append(name)
        return file_now(name, folder)

    file_now = photos.file_now
    monkeypatch.setattr(photos, "file_now", note)
    for _ in range(2):
        album = look(library, "Zoo")
        assert len(album.items) == 201
        assert len(album.items[:20]) == 20
    photographed = [name for name in looked_at if name != "album.txt"]
    assert len(photographed) == 2 * 20 + 1  # with the cover


def test_a_photo_of_a_large_album_that_was_written_over_is_read_for_the_page_that_shows_it(
    world: World, summarised: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LARGE_FOLDER", -1)
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    library = world.open()
    path = world.root / "Zoo" / "one.jpg"
    path.write_bytes(b"other")
    items = look(library, "Zoo").items[:1]
    assert items[0].info is None
    read = []
    monkeypatch.setattr(library, "_submit", lambda file, *rest: read.append(file.identity))
    library.expect(items)
    assert read == [photos.identity_text(path.stat())]


def test_a_large_album_whose_facts_were_lost_shows_them_as_soon_as_they_are_read_again(
    world: World, summarised: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LARGE_FOLDER", -1)
    before = look(summarised, "Zoo")
    infos = {item.file.identity: item.info for item in before.items if item.info}
    for path in summarised.cache.glob("index*"):
        path.unlink()
    library = world.open()
    assert look(library, "Zoo").last != before.last
    assert look(library).last_added != look(summarised).last_added
    for identity, info in infos.items():
        library.index.put(identity, info)
    assert infos
    assert told(look(library, "Zoo")) == told(before)
    assert [album for album in look(library).albums if album.last == before.last]


# What is looked at again


def test_after_a_change_only_the_albums_on_its_way_are_put_together_again(
    world: World, summarised: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(summarised)
    asked: list[photos.Parts] = []
    own_album = summarised._own_album

    def note(place: photos.Place, *more: Any) -> photos.Album:
        asked.append(place.parts)
        return own_album(place, *more)

    monkeypatch.setattr(summarised, "_own_album", note)
    before = look(summarised)
    assert asked == []
    world.write(world.root / "Trip" / "Beach" / "new.jpg")
    world.settle()
    after = look(summarised)
    assert asked == [(), ("Trip",), ("Trip", "Beach")]
    assert after.photos == before.photos + 1
    zoo = [
        [child for child in album.albums if child.title == "Zoo"]
        for album in (before, after)
    ]
    assert zoo[0] == zoo[1] and zoo[0][0] is zoo[1][0]


def in_a_hurry(library: photos.Library, seconds: float = -1) -> photos.Album:
    """Return what a visitor finds on a front page that has so long to look."""
    place = library.folders.locate((), photos.VISITOR)
    assert place is not None
    return library.album(place, photos.VISITOR, looking=seconds)


def titles(album: photos.Album) -> list[str]:
    return [child.title for child in album.albums]


def test_an_album_that_takes_too_long_to_look_at_is_left_out_until_the_next_look(
    world: World, summarised: photos.Library
) -> None:
    library = without_summaries(world, summarised)
    (library := world.open(library.cache)).folders.recall = lambda parts: None
    assert titles(in_a_hurry(library)) == []
    look(library, "Zoo")  # what was looked at once is left out no more
    assert titles(in_a_hurry(library)) == ["Zoo"]
    assert [titles(in_a_hurry(library, 60)) for _ in range(2)] == 2 * [["Trip", "Zoo"]]
    assert in_a_hurry(library) is in_a_hurry(library)


def test_a_front_page_in_a_hurry_shows_what_was_true_when_the_summaries_were_kept(
    world: World, summarised: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.root / "Zoo" / "one.jpg"
    identity = photos.identity_text(path.stat())
    info = summarised.index.get(identity)
    assert info is not None
    later = dataclasses.replace(info, taken="2031-01-01T00:00:00")
    summarised.index.put(identity, later)
    former = look(summarised).last
    library = world.open()
    with monkeypatch.context() as patch:
        patch.setattr(library, "_items", lambda *_, **__: pytest.fail("files were listed"))
        album = in_a_hurry(library)
        assert set(titles(album)) == {"Trip", "Zoo"} and album.photos == 4
        assert album.last != former
    assert look(library).last == former == dt.datetime(2031, 1, 1)
    assert in_a_hurry(library) is look(library)


@pytest.mark.parametrize("name", ["Zoo.private", "Zoo.hidden", "Zoo.private+anna"])
def test_a_front_page_in_a_hurry_shows_nothing_that_is_private_by_now(
    world: World, summarised: photos.Library, name: str
) -> None:
    os.rename(world.root / "Zoo", world.root / name)
    os.rename(world.root / "Trip" / "one.jpg", world.root / "Trip" / "one.jpg.private")
    library = world.open()
    for seconds in (-1, 60):
        album = in_a_hurry(library, seconds)
        assert "Zoo" not in titles(album) and album.photos <= 2
    assert titles(in_a_hurry(library)) == ["Trip"]
