"""Upkeep: the background pass, pruning, problems, and that originals stay as they are."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from conftest import StartPython
from drawing import draw
from looking import Open, made, place_at, read, rendition, tree
from processes import eventually

import photos
import renditions

# The background pass


@pytest.mark.whole
def test_the_background_pass_reads_and_renders_all_there_is_and_what_comes(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(photos, "PASS_SECONDS", 0.02)
    monkeypatch.setattr(photos, "PRUNING_PAUSE", 0.0)
    (library / "Trip" / "text.jpg").write_text("this is no photo")
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    background = threading.Thread(target=upkeep.run)
    background.start()
    eventually(lambda: len(made(opened)) == 12)
    assert upkeep.problems() == [
        ("Trip/text.jpg", "its content is not a picture, or damaged from the start")
    ]
    draw(library / "Secret.private" / "New" / "more.jpg")
    eventually(lambda: len(made(opened)) == 14)
    (library / "loose.jpg").unlink()
    eventually(lambda: len(made(opened)) == 12)
    upkeep.close()
    opened.close()
    background.join(20)
    assert not background.is_alive()
    assert list(upkeep.unrendered(0)) == []


@pytest.mark.whole
def test_the_background_pass_makes_all_thumbnails_before_the_first_preview(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SETTLE_SECONDS", 0.0), ("PASS_SECONDS", 0.02), ("BATCH", 1)):
        monkeypatch.setattr(photos, name, value)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    purposes: list[str] = []
    ask = photos.Worker._ask

    def note(worker: photos.Worker, path: str, purpose: Any) -> Any:
        purposes.append(purpose)
        return ask(worker, path, purpose)

    monkeypatch.setattr(photos.Worker, "_ask", note)
    background = threading.Thread(target=upkeep.run)
    background.start()
    eventually(lambda: len(made(opened)) == 12)
    upkeep.close()
    opened.close()
    background.join(20)
    rendering = [purpose for purpose in purposes if purpose != renditions.Purpose.FACTS]
    assert rendering == [renditions.Purpose.THUMBNAILS] * 6 + [renditions.Purpose.ALL] * 6


def test_the_background_pass_looks_for_work_only_where_a_file_has_changed(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep = photos.Upkeep(open_library(workers=0))
    looks: list[int] = []
    monkeypatch.setattr(upkeep, "_work", lambda: bool(looks.append(1)))
    monkeypatch.setattr(upkeep, "note_checksums", lambda seconds: False)
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    photo = library / "loose.jpg"
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 600.0)
    upkeep._tend()
    upkeep._tend()
    assert len(looks) == 2, "a file may still be copied that was just written"
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    upkeep._tend()
    assert upkeep._tend()
    assert len(looks) == 3
    photo.write_bytes(photo.read_bytes() + b"more")
    assert not upkeep._tend()
    assert len(looks) == 4


def test_the_background_pass_lets_a_visitor_who_has_just_come_go_first(
    quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep = photos.Upkeep(quiet())
    monkeypatch.setattr(upkeep, "_work", lambda: False)
    monkeypatch.setattr(photos, "VISIT_SECONDS", 60.0)
    # Else the checksums of what settled meanwhile would be noted, with pauses of their own.
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 600.0)
    pauses: list[float] = []
    monkeypatch.setattr(upkeep._closed, "wait", pauses.append)
    upkeep._tend()
    assert pauses == []
    upkeep.wake()
    upkeep._tend()
    assert set(pauses) == {60.0}


def test_after_a_start_the_cache_is_pruned_only_where_files_have_gone(
    library: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep = photos.Upkeep(quiet())
    prunings: list[int] = []
    monkeypatch.setattr(upkeep, "_work", lambda: False)
    monkeypatch.setattr(upkeep, "prune", lambda: prunings.append(1))
    upkeep._tend()
    upkeep._tend()
    assert prunings == []
    (library / "loose.jpg").unlink()
    upkeep._tend()
    assert prunings == [1]


def test_files_that_were_taken_before_somebody_was_said_to_wait_are_not_waited_for(
    quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the pass looks at all folders over and over, since it never comes to an end."""
    upkeep = photos.Upkeep(quiet())
    say = upkeep._is_wanted.set
    file = place_at(upkeep._library, "loose.jpg").file
    assert file
    with monkeypatch.context() as patch:
        patch.setattr(upkeep._is_wanted, "set", lambda: (upkeep.note_wanted(), say()))
        upkeep.want([file])
    assert upkeep._is_wanted.is_set()
    upkeep.note_wanted()
    assert not upkeep._is_wanted.is_set()
    upkeep.close()
    upkeep.note_wanted()
    assert upkeep._is_wanted.is_set()


def test_a_cache_that_was_pruned_once_more_is_left_alone_afterwards(
    library: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    upkeep = photos.Upkeep(quiet())
    orphans = iter([{"a.webp"}, {"b.webp"}])
    prunings: list[set[str]] = []

    def prune() -> None:
        upkeep._orphans = next(orphans, set())
        prunings.append(upkeep._orphans)

    monkeypatch.setattr(upkeep, "_work", lambda: False)
    monkeypatch.setattr(upkeep, "prune", prune)
    for name in ("SETTLE_SECONDS", "CALM_SECONDS"):
        monkeypatch.setattr(photos, name, 0.0)
    upkeep._tend()
    (library / "loose.jpg").unlink()
    for _ in range(6):
        upkeep._tend()
    assert prunings == [{"a.webp"}, {"b.webp"}, set()]


def test_the_background_pass_has_few_files_in_the_hands_of_workers_at_once(
    open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "IN_HAND", 2)
    opened = open_library(workers=0)
    futures: list[Future[renditions.Info]] = []

    def submit(*_: Any) -> Future[renditions.Info]:
        futures.append(Future())
        if len(futures) == 3:
            futures[0].set_result(renditions.Info())
        return futures[-1]

    monkeypatch.setattr(opened._renderer, "submit", submit)
    files = photos.Upkeep(opened).unread(0)
    done = opened.run(files, renditions.Purpose.FACTS)
    assert next(done) is files[0]
    assert len(futures) == 3 < len(files)


def test_many_names_know_which_they_hold() -> None:
    names = [f"{number:x}" for number in range(0, 4000, 2)]
    many = photos.ManyNames(names)
    assert len(many) == len(names)
    held = [number for number in range(4000) if f"{number:x}" in many]
    assert held == list(range(0, 4000, 2))
    assert "any" not in photos.ManyNames([])


@pytest.mark.whole
def test_the_background_pass_tries_again_what_took_too_long(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SETTLE_SECONDS", 0.0), ("BATCH", 1)):
        monkeypatch.setattr(photos, name, value)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    ask, slow = photos.Worker._ask, "one.jpg"

    def ask_in_vain(worker: photos.Worker, path: str, purpose: Any) -> Any:
        if not path.endswith(slow) or purpose is renditions.Purpose.FACTS:
            return ask(worker, path, purpose)
        worker._was_late = True
        return None

    monkeypatch.setattr(photos.Worker, "_ask", ask_in_vain)

    def work_until(count: int) -> None:
        eventually(lambda: (upkeep._work(), len(made(opened)))[1] == count)

    work_until(10)  # the others are made
    late = ("Trip/one.jpg", photos.TOO_LATE)
    assert upkeep.problems() == [late]
    assert list(upkeep.unrendered(0)) == []
    monkeypatch.setattr(photos.Worker, "_ask", ask)
    monkeypatch.setattr(photos.time, "monotonic", lambda now=time.monotonic: now() + 11)
    work_until(12)
    assert upkeep.problems() == []


@pytest.mark.whole
def test_the_background_pass_goes_on_after_an_error_of_the_disk(
    library: Path,
    open_library: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(photos, "PASS_SECONDS", 0.02)
    monkeypatch.setattr(photos, "FEW_FILES", 0)  # so that renditions are listed
    listdir, errors = os.listdir, [OSError(errno.EIO, "Input/output error")]

    def fail_once(path: Path) -> list[str]:
        if errors and photos.RENDITIONS_FOLDER in Path(path).parts:
            raise errors.pop()
        return listdir(path)

    monkeypatch.setattr(os, "listdir", fail_once)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    background = threading.Thread(target=upkeep.run)
    background.start()
    eventually(lambda: caplog.messages)
    draw(library / "Trip" / "more.jpg")
    eventually(lambda: len(list(library.parent.rglob("*.webp"))) == 14)
    upkeep.close()
    background.join(20)
    assert not background.is_alive()
    assert caplog.messages == [
        "the background pass failed and will be tried again: [Errno 5] Input/output error"
    ]


def test_the_background_pass_leaves_what_is_still_being_copied(
    library: Path, quiet: Open
) -> None:
    opened = quiet()
    upkeep = photos.Upkeep(opened)
    draw(library / "Trip" / "new.jpg")
    assert upkeep.unread(60) == []
    assert [file.name for file in upkeep.unread(0)] == ["new.jpg"]
    assert list(upkeep.unrendered(60)) == []
    assert len(list(upkeep.unrendered(0))) == 6


def test_a_file_with_a_time_to_come_is_read_and_rendered_all_the_same(
    library: Path, open_library: Open
) -> None:
    later = time.time() + 10**7
    os.utime(library / "loose.jpg", (later, later))
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    waiting = [
        file for file in upkeep.unread(photos.SETTLE_SECONDS) if file.name == "loose.jpg"
    ]
    assert waiting
    list(opened.run(waiting, renditions.Purpose.FACTS))
    assert "loose.jpg" in [file.name for file in upkeep.unrendered(photos.SETTLE_SECONDS)]


@pytest.mark.whole
def test_a_sound_without_a_picture_is_tried_once(
    ffmpeg: str, library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    sound = ["-f", "lavfi", "-i", "sine=duration=0.2", library / "Trip" / "sound.mp4"]
    subprocess.run([ffmpeg, "-v", "error", *sound], check=True)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    list(opened.run(upkeep.unread(0), renditions.Purpose.FACTS))
    assert "sound.mp4" in [file.name for file in upkeep.unrendered(0)]
    list(opened.run(upkeep.unrendered(0), renditions.Purpose.ALL))
    assert list(upkeep.unrendered(0)) == []
    item = opened.item(place_at(opened, "Trip", "sound.mp4"))
    assert item and not item.has_picture


# Pruning


@pytest.mark.whole
def test_renditions_of_removed_photos_go_at_the_second_look(
    library: Path, open_library: Open
) -> None:
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    upkeep = photos.Upkeep(opened)
    assert len(made(opened)) == 12
    left = next((opened.cache / renditions.RENDITIONS_FOLDER).glob("??/*"))
    half = left.with_name(f"{left.name}.999")  # by a worker that was killed while it wrote
    half.touch()
    os.utime(half, (0, 0))
    shutil.rmtree(library / "Trip")
    assert len(made(opened)) == 13
    upkeep.prune()
    assert len(made(opened)) == 12
    upkeep.prune()
    assert len(made(opened)) == 6
    assert len(opened.index._path.read_text().splitlines()) == 3


def dead_pid() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize("when", ["at start", "while it runs"])
def test_what_killed_processes_left_half_written_is_swept_up(
    when: str, library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    state = opened.cache.parent
    rendition = next((opened.cache / renditions.RENDITIONS_FOLDER).glob("??/*"))
    old = time.time() - 60
    stays, goes = [], []
    for pid, ending in ((dead_pid(), goes), (os.getpid(), stays)):
        ending.append(rendition.with_name(f"{rendition.name}.{pid}"))
        ending.append(state / f".users.json-{pid}-ab_d1234")
        ending.append(opened.cache / f".index-0123.jsonl-{pid}-abcd1234")
    stays += [state / ".users.json-notes", state / "users.json", rendition.with_name("a.1")]
    for path in (*stays, *goes):
        path.touch()
        os.utime(path, (old, old))
    just_now = state / f".users.json-{dead_pid()}-zzzzzzzz"
    just_now.touch()  # a server on another machine may be writing it
    upkeep = photos.Upkeep(opened)
    if when == "at start":
        upkeep.close()
        upkeep.run()
    else:
        upkeep.prune()
    assert [path for path in (*stays, just_now) if not path.exists()] == []
    assert [path for path in goes if path.exists()] == []


KILLED_WRITER = """
import os, pathlib, photos, signal, sys
photos.os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
photos.write_state(pathlib.Path(sys.argv[1]), {})
"""


@pytest.mark.whole
def test_a_state_file_whose_writer_was_killed_leaves_nothing_for_long(
    library: Path,
    open_library: Open,
    start_python: StartPython,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = open_library(workers=0)
    state = opened.cache.parent
    start_python(KILLED_WRITER, state / "users.json").wait()
    [left] = state.glob(".users.json*")
    monkeypatch.setattr(photos, "TEMPORARY_SECONDS", 0.0)
    photos.Upkeep(opened).prune()
    assert not left.exists()


def test_one_file_that_the_disk_cannot_tell_of_does_not_keep_the_rest_from_being_tidied(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    upkeep = photos.Upkeep(opened)
    before = len(made(opened))
    (library / "Trip" / "one.jpg").unlink()
    told = photos.file_of

    def file_of(name: str, *facts: Any) -> photos.File:
        if name == "loose.jpg":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return told(name, *facts)

    monkeypatch.setattr(photos, "file_of", file_of)
    upkeep.prune()
    upkeep.prune()
    assert len(made(opened)) == before - 4


def test_a_photo_that_was_away_for_one_look_keeps_its_renditions(
    library: Path, open_library: Open
) -> None:
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    upkeep = photos.Upkeep(opened)
    for _ in range(2):
        (library / "Trip").rename(library.parent / "aside")
        upkeep.prune()
        (library.parent / "aside").rename(library / "Trip")
        read(opened)
        upkeep.prune()
    assert len(made(opened)) == 12


def test_a_library_that_seems_empty_loses_no_rendition(
    library: Path, open_library: Open
) -> None:
    opened = read(open_library(workers=0), renditions.Purpose.ALL)
    upkeep = photos.Upkeep(opened)
    library.rename(library.with_name("away"))
    library.mkdir()
    for _ in range(3):
        upkeep.prune()
    assert len(made(opened)) == 12
    library.rmdir()
    library.with_name("away").rename(library)
    assert upkeep.unread(0) == []


# Problems


def test_problems_are_told_in_natural_order(library: Path, quiet: Open) -> None:
    for name in (
        *(f"{number}.jpg" for number in range(1, 13)),
        os.fsdecode(b"\xff.jpg"),
        "notes.md",
    ):
        (library / name).write_text("this is no photo")
    draw(library / "a.tif").rename(library / "a.dng")
    found = photos.Upkeep(quiet()).problems()
    assert [path for path, _ in found][:12] == [f"{number}.jpg" for number in range(1, 13)]
    assert [path for path, _ in found][12:] == ["a.dng", "\ufffd.jpg"]
    assert dict(found)["a.dng"] == "RAW: export it as JPEG to show it"


# Promises


def test_originals_are_never_written_moved_or_deleted(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    (library / "Trip" / "album.txt").write_text("Our trip")
    (library / "Trip" / "text.jpg").write_text("this is no photo")
    (library / "Trip" / "cut.jpg").write_bytes((library / "loose.jpg").read_bytes()[:700])
    (library / "Trip" / "link.jpg").symlink_to("../Secret.private/faces.jpg")
    before = tree(library)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    list(opened.run(upkeep.unread(0), renditions.Purpose.FACTS))
    list(opened.run(upkeep.unrendered(0), renditions.Purpose.ALL))
    for parts, folder in opened.walk():
        for name in folder.files:
            item = opened.item(place_at(opened, *parts, name, user=True))
            if item and item.has_picture:
                assert rendition(opened, item, "full").exists()
    upkeep.prune()
    upkeep.prune()
    opened.close()
    assert tree(library) == before


# How far it is


def test_the_bar_reaches_its_end_where_files_are_hard_links_of_one(
    library: Path, open_library: Open
) -> None:
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        os.link(library / "loose.jpg", library / name)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    for purpose in (renditions.Purpose.FACTS, renditions.Purpose.ALL):
        files = upkeep.unread(0) or list(upkeep.unrendered(0))
        assert len(files) == 9
        done = list(opened.run(files, purpose))
        assert sorted(file.path for file in done) == sorted(file.path for file in files)
    assert not list(upkeep.unrendered(0))


@pytest.mark.whole
def test_an_error_of_the_disk_that_lasts_is_told_once(
    library: Path,
    open_library: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(photos, "PASS_SECONDS", 0.02)
    passes = []

    def fail(upkeep: photos.Upkeep) -> None:
        passes.append(upkeep)
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(photos.Upkeep, "prune", fail)
    upkeep = photos.Upkeep(open_library(workers=0))
    monkeypatch.setattr(photos.Upkeep, "_work", lambda upkeep: False)
    background = threading.Thread(target=upkeep.run)
    background.start()
    eventually(lambda: len(passes) > 3)
    upkeep.close()
    background.join(20)
    assert caplog.text.count("Read-only file system") == 1
