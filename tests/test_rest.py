"""Rest: what the background pass does, and leaves alone, while nothing changes."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from looking import Open, made, place_at
from visiting import Client

import photos
import renditions


@pytest.fixture
def upkeep(open_library: Open, monkeypatch: pytest.MonkeyPatch) -> photos.Upkeep:
    """The upkeep of a library that was read and rendered, and changed long ago."""
    for name in ("SETTLE_SECONDS", "CALM_SECONDS", "LISTING_SECONDS"):
        monkeypatch.setattr(photos, name, 0.0)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    upkeep._tend()
    assert len(made(opened)) == 12
    assert upkeep._is_at_rest()
    return upkeep


def infos(upkeep: photos.Upkeep, *address: str) -> photos.Info | None:
    file = place_at(upkeep._library, *address).file
    return file and upkeep._library.index.get(file.identity)


@pytest.mark.whole
def test_a_library_at_rest_costs_one_stat_a_folder(
    upkeep: photos.Upkeep, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(*_: Any, **__: Any) -> None:
        raise AssertionError("something was listed or opened")

    asked: list[str] = []
    stat = os.stat
    with monkeypatch.context() as patch:
        for name in ("scandir", "listdir", "open", "utime", "unlink"):
            patch.setattr(os, name, touch)
        patch.setattr("builtins.open", touch)
        patch.setattr(os, "stat", lambda path, **more: asked.append(path) or stat(path))
        assert upkeep._is_at_rest()
    below = [os.fspath(path) for path in (library, *library.rglob("*")) if path.is_dir()]
    cache = upkeep._library.cache / renditions.RENDITIONS_FOLDER
    assert sorted(map(os.fspath, asked)) == sorted([*below, os.fspath(cache)])


def add(library: Path) -> None:
    draw(library / "Trip" / "new.jpg")


def remove(library: Path) -> None:
    (library / "Trip" / "Beach" / "sand.png").unlink()


def rename(library: Path) -> None:
    (library / "Trip").rename(library / "Trip.private")


def add_album(library: Path) -> None:
    (library / "Trip" / "Beach" / "Empty").mkdir()


def lose_cache(library: Path) -> None:
    shutil.rmtree(library.parent / "state" / "cache" / renditions.RENDITIONS_FOLDER)


@pytest.mark.whole
@pytest.mark.parametrize("change", [add, remove, rename, add_album, lose_cache])
def test_whatever_changes_a_folder_ends_the_rest(
    change: Callable[[Path], None],
    upkeep: photos.Upkeep,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photos, "BATCH", 2)
    change(library)
    assert not upkeep._is_at_rest()
    assert not upkeep._tend()
    assert not list(upkeep.unrendered(0))
    if change is remove:  # renditions go when their photo was gone twice
        assert not upkeep._is_at_rest()
        upkeep._tend()
    assert len(made(upkeep._library)) == {add: 14, remove: 10}.get(change, 12)
    assert upkeep._is_at_rest()


@pytest.mark.whole
def test_what_a_visitor_finds_in_an_album_is_rendered(
    upkeep: photos.Upkeep, library: Path
) -> None:
    draw(library / "one.jpg", (90, 50)).replace(library.parent / "new.jpg")
    upkeep._tend()
    assert upkeep._is_at_rest()
    content = (library.parent / "new.jpg").read_bytes()
    (library / "Trip" / "one.jpg").write_bytes(content)
    assert upkeep._is_at_rest()
    place = place_at(upkeep._library, "Trip")
    upkeep._library.album(place, photos.VISITOR, patience=20)
    assert not upkeep._is_at_rest()
    upkeep._tend()
    info = infos(upkeep, "Trip", "one.jpg")
    assert info and info.width == 90 and info.colour


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["content", "ctime alone"])
def test_a_file_that_was_changed_in_place_is_noticed_within_a_day(
    kind: str, upkeep: photos.Upkeep, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = library / "Trip" / "one.jpg"
    before = path.stat()
    content = draw(library.parent / "new.jpg", (90, 50)).read_bytes()
    path.write_bytes(content)
    if kind == "ctime alone":
        path.write_bytes(content.ljust(before.st_size, b"\0")[: before.st_size])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert upkeep._is_at_rest()
    later = time.monotonic() + photos.DAY_SECONDS + 1
    monkeypatch.setattr(photos.time, "monotonic", lambda: later)
    for _ in range(2):  # the second time, its former renditions go
        assert not upkeep._is_at_rest()
        upkeep._tend()
    info = infos(upkeep, "Trip", "one.jpg")
    assert info and info.width == 90
    assert upkeep._is_at_rest()


@pytest.mark.whole
def test_a_copy_that_stalls_is_looked_at_until_it_has_been_calm_for_long(
    upkeep: photos.Upkeep, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "CALM_SECONDS", 600.0)
    whole = draw(library.parent / "new.jpg").read_bytes()
    path = library / "Trip" / "new.jpg"
    path.write_bytes(whole[: len(whole) // 2])
    upkeep._tend()
    assert not upkeep._is_at_rest()
    path.write_bytes(whole)
    assert not upkeep._tend()
    info = infos(upkeep, "Trip", "new.jpg")
    assert info and (info.width, info.problem) == (60, "")
    for folder, _, names in os.walk(library):
        for name in names:
            os.utime(os.path.join(folder, name), (1e9, 1e9))
    assert not upkeep._tend()
    assert upkeep._tend()
    assert not upkeep._is_at_rest(), "ctime tells of a change, too"


@pytest.mark.whole
def test_what_could_not_be_done_keeps_a_library_from_resting(
    upkeep: photos.Upkeep, library: Path
) -> None:
    folder = upkeep._library.cache / renditions.RENDITIONS_FOLDER
    shutil.rmtree(folder)
    folder.write_text("in the way")
    for _ in range(3):
        upkeep._tend()
        assert not upkeep._is_at_rest()
    folder.unlink()
    upkeep._tend()
    assert len(made(upkeep._library)) == 12
    assert upkeep._is_at_rest()


@pytest.mark.whole
def test_checksums_are_noted_once(
    upkeep: photos.Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "checksums", lambda *_: pytest.fail("read again"))
    upkeep._tend()
    later = time.monotonic() + photos.DAY_SECONDS + 1
    monkeypatch.setattr(photos.time, "monotonic", lambda: later)
    upkeep._tend()


# Pauses


class Visits:
    """Stands for the event that a visit sets; notes how long it is waited for."""

    def __init__(self, upkeep: photos.Upkeep, visits: list[bool]) -> None:
        self.upkeep, self.visits = upkeep, visits
        self.pauses: list[float] = []

    def is_set(self) -> bool:
        return self.visits[len(self.pauses)]

    def set(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds + photos.PASS_SECONDS)
        if len(self.pauses) == len(self.visits):
            self.upkeep._closed.set()


@pytest.mark.whole
def test_pauses_grow_while_nobody_comes_and_nothing_changes(
    upkeep: photos.Upkeep, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep._is_wanted, "wait", lambda _: None)
    visits = Visits(upkeep, [False] * 7 + [True] + [False] * 4)
    monkeypatch.setattr(upkeep, "_was_visited", visits)
    is_at_rest = upkeep._is_at_rest

    def look() -> bool:
        if len(visits.pauses) == 10:
            draw(library / "Trip" / "new.jpg")
        return is_at_rest()

    monkeypatch.setattr(upkeep, "_is_at_rest", look)
    upkeep.run()
    growing = [60, 120, 240, 480, 600, 600, 600]
    assert visits.pauses == [*growing, 30, 60, 120, 30, 60]
    assert len(made(upkeep._library)) == 14


@pytest.mark.whole
def test_a_visit_wakes_the_background_pass_and_nothing_else_does(
    site: photos.Site, visitor: Client
) -> None:
    visited = site._upkeep._was_visited
    for path in (
        "/healthz",
        "/login",
        "/nothing",
        "/album/Secret/",
        "/manifest.webmanifest",
    ):
        visitor.get(path)
        assert not visited.is_set(), path
    for path in ("/", "/album/Trip/", "/thumbnail/Trip/one.jpg", "/api/album"):
        assert visitor.get(path).status == 200
        assert visited.is_set(), path
        visited.clear()


@pytest.mark.whole
def test_a_visit_ends_a_long_pause(
    upkeep: photos.Upkeep, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "PASS_SECONDS", 0.0)
    passes: list[photos.Upkeep] = []

    def rest() -> bool:
        passes.append(upkeep)
        assert len(passes) < 3
        if len(passes) == 2:
            upkeep.close()
        upkeep.wake()
        return True

    monkeypatch.setattr(upkeep, "_is_at_rest", rest)
    upkeep.run()
    assert len(passes) == 2


# While there are changes


def looked_at(upkeep: photos.Upkeep, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have each folder noted of which all files are looked at, by its name."""
    names: list[str] = []
    look = photos.Folders.look

    def note(folders: photos.Folders, parts: photos.Parts) -> photos.Folder:
        names.append("/".join(parts))
        return look(folders, parts)

    monkeypatch.setattr(photos.Folders, "look", note)
    return names


@pytest.fixture
def times_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the times of folders believed that changed a moment ago."""
    monkeypatch.setattr(photos, "TICK", 0.0)


@pytest.fixture
def busy(
    times_believed: None,
    upkeep: photos.Upkeep,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> photos.Upkeep:
    """That upkeep, in a library of which one album has changed within the last minutes."""
    monkeypatch.setattr(photos, "CALM_SECONDS", 3600.0)
    # What changed before the test counts as calm.
    assert upkeep._last_look
    for parts, seen in upkeep._last_look.folders.items():
        upkeep._tidy[parts] = replace(seen, latest=1e9)
    draw(library / "Trip" / "new.jpg")
    return upkeep


@pytest.mark.whole
def test_a_pass_after_a_change_looks_at_the_files_of_that_album_alone(
    busy: photos.Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = looked_at(busy, monkeypatch)
    assert not busy._is_at_rest()
    monkeypatch.setattr(busy, "prune", lambda: pytest.fail("it has just been pruned"))
    assert not busy._tend()
    assert set(names) == {"Trip"}
    assert len(made(busy._library)) == 14
    assert list(busy.unrendered(0)) == []
    monkeypatch.setattr(photos.Library, "run", lambda *_: pytest.fail("nothing is new"))
    for _ in range(2):  # a copy may stall
        names.clear()
        assert not busy._is_at_rest()
        busy._tend()
        assert names == ["Trip"]
    assert busy.problem_count == len(busy.problems())


@pytest.mark.whole
@pytest.mark.parametrize("large", [2000, -1])
def test_while_an_album_changes_no_change_of_another_one_is_missed(
    large: int, busy: photos.Upkeep, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LARGE_FOLDER", large)
    busy._tend()
    # Written in place, and read for a visitor.
    content = draw(library.parent / "other.jpg", (90, 50)).read_bytes()
    (library / "Trip" / "Beach" / "sand.png").write_bytes(content)
    place = place_at(busy._library, "Trip", "Beach", "sand.png")
    assert busy._library.item(place)
    draw(library / "Secret.private" / "more.jpg", (80, 40))
    (library / "New").mkdir()
    draw(library / "New" / "first.jpg", (70, 30))
    busy._tend()
    for address in (("Trip", "Beach", "sand.png"), ("New", "first.jpg")):
        info = infos(busy, *address)
        assert info and info.colour, address
    assert list(busy.unrendered(0)) == []


@pytest.mark.whole
def test_while_an_album_changes_all_files_are_looked_at_once_a_day(
    busy: photos.Upkeep, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy._tend()
    names = looked_at(busy, monkeypatch)
    later = time.monotonic() + photos.DAY_SECONDS + 1
    monkeypatch.setattr(photos.time, "monotonic", lambda: later)
    busy._tend()
    below = [path for path in library.rglob("*") if path.is_dir()]
    assert len(set(names)) == len(below) + 1


# After a start


@pytest.mark.whole
def test_a_first_pass_with_nothing_to_do_reads_the_facts_of_each_file_twice_at_most(
    upkeep: photos.Upkeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = upkeep._library
    read: list[int | str] = []
    read_line = library.index._read
    monkeypatch.setattr(
        library.index, "_read", lambda line: read.append(line) or read_line(line)
    )
    after_a_start = photos.Upkeep(library)
    monkeypatch.setattr(after_a_start, "prune", lambda: None)
    after_a_start._tend()
    counts = Counter(read)
    assert len(counts) == library.index.count
    assert max(counts.values()) <= 2
