"""Originals are read whole again, and those are named whose bytes changed without being written."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from looking import Open
from processes import eventually

import photos


def alter(path: Path, at: int, by: int = 1) -> None:
    """Change a byte of a file behind its back: inode, size and mtime stay as they are."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([(byte + by) % 256]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def read_new(library: photos.Library) -> photos.Upkeep:
    """Read what is new or changed, as the background pass does; return the pass."""
    upkeep = photos.Upkeep(library)
    while unread := upkeep.unread(0):
        list(library.run(unread, photos.Purpose.FACTS))
    return upkeep


def read_whole(library: photos.Library) -> None:
    """Do what the background pass does of all files, now."""
    read_new(library)
    for _, file in photos.files_of(library):
        if info := library.index.get(file.identity):
            photos.note_checksum(library, file, info)


@pytest.fixture
def noisy(library: Path) -> Path:
    """A photo whose middle is in no key: larger than what is read of its head and tail."""
    path = library / "Trip" / "noisy.jpg"
    draw(path)
    with path.open("ab") as file:
        file.write(os.urandom(3 << 20))
    return path


@pytest.fixture
def opened(
    noisy: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> photos.Library:
    """A library that was read whole once."""
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(photos, "LISTING_SECONDS", -1.0)
    opened = open_library()
    read_whole(opened)
    return opened


@pytest.mark.whole
@pytest.mark.parametrize("at", [1_800_000, 2, -2])
def test_a_file_whose_bytes_change_behind_its_back_is_damaged_until_they_are_back(
    opened: photos.Library, noisy: Path, at: int
) -> None:
    assert photos.damaged_paths(opened) == []
    place = at % noisy.stat().st_size
    alter(noisy, place)
    read_whole(opened)
    assert photos.damaged_paths(opened) == ["Trip/noisy.jpg"]
    read_whole(opened)  # a second time says the same
    assert photos.damaged_paths(opened) == ["Trip/noisy.jpg"]
    alter(noisy, place, by=255)
    read_whole(opened)
    assert photos.damaged_paths(opened) == []


@pytest.mark.whole
def test_what_is_restored_leaves_the_list_at_the_next_pass(
    opened: photos.Library, noisy: Path
) -> None:
    alter(noisy, 1_800_000)
    read_whole(opened)
    alter(noisy, 1_800_000, by=255)
    read_new(opened).note_checksums()
    assert photos.damaged_paths(opened) == []


@pytest.mark.whole
def test_a_file_that_is_written_or_replaced_is_a_new_one(
    opened: photos.Library, noisy: Path
) -> None:
    alter(noisy, 1_800_000)
    read_whole(opened)
    os.utime(noisy)
    read_whole(opened)
    assert photos.damaged_paths(opened) == []
    content = noisy.read_bytes()
    noisy.unlink()
    noisy.write_bytes(content[::-1])
    read_whole(opened)
    assert photos.damaged_paths(opened) == []
    with noisy.open("ab") as file:
        file.write(b"more")
    read_whole(opened)
    assert photos.damaged_paths(opened) == []


@pytest.mark.whole
def test_a_damaged_file_is_named_where_it_is_after_its_folder_was_renamed(
    opened: photos.Library, noisy: Path
) -> None:
    alter(noisy, 1_800_000)
    read_whole(opened)
    noisy.parent.rename(noisy.parent.with_name("Other"))
    read_whole(opened)
    assert photos.damaged_paths(opened) == ["Other/noisy.jpg"]


@pytest.mark.whole
def test_a_damaged_file_keeps_its_place_in_the_album_and_goes_on_being_known(
    opened: photos.Library, noisy: Path, open_library: Open
) -> None:
    alter(noisy, 1_800_000)
    read_whole(opened)
    again = open_library()
    assert photos.damaged_paths(again) == ["Trip/noisy.jpg"]
    place = again.folders.locate(("Trip",), photos.VISITOR)
    assert place
    names = [item.title for item in again.album(place, photos.VISITOR).items]
    assert "noisy.jpg" in names


@pytest.mark.whole
def test_two_processes_over_one_cache_tell_each_other(
    opened: photos.Library, noisy: Path, open_library: Open
) -> None:
    other = open_library()
    assert photos.damaged_paths(other) == []
    alter(noisy, 1_800_000)
    read_whole(opened)
    assert photos.damaged_paths(other) == ["Trip/noisy.jpg"]
    alter(noisy, 1_800_000, by=255)
    read_whole(other)
    assert photos.damaged_paths(opened) == []


@pytest.mark.whole
def test_what_the_disk_cannot_read_any_more_is_damaged(
    opened: photos.Library, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str, patches: object) -> tuple[int, int]:
        raise OSError(errno.EIO if path == os.fspath(noisy) else errno.EACCES, "", path)

    monkeypatch.setattr(photos, "checksums", fail)
    read_whole(opened)
    assert photos.damaged_paths(opened) == ["Trip/noisy.jpg"]


@pytest.mark.whole
@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": "b"}', '{"a": null}', "1", "é"])
def test_a_list_that_makes_no_sense_is_no_list(
    opened: photos.Library, noisy: Path, content: str
) -> None:
    (opened.cache / "damaged.json").write_text(content)
    assert photos.damaged_paths(opened) == []
    alter(noisy, 1_800_000)
    read_whole(opened)
    assert photos.damaged_paths(opened) == ["Trip/noisy.jpg"]


# The round


def never() -> bool:
    return False


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "ROUND_PACE", 1e12)


@pytest.mark.whole
def test_the_first_round_begins_a_month_after_the_start(
    opened: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not photos.Watch(opened).is_due()
    assert not photos.Watch(opened).is_due()  # also after a restart
    now = photos.time.time()
    monkeypatch.setattr(photos.time, "time", lambda: now + 29 * 86400)
    assert not photos.Watch(opened).is_due()
    monkeypatch.setattr(photos.time, "time", lambda: now + 31 * 86400)
    watch = photos.Watch(opened)
    assert watch.is_due()
    watch.read_on(60, never)
    assert not watch.is_due()
    assert not photos.Watch(opened).is_due()


@pytest.mark.whole
@pytest.mark.usefixtures("fast")
def test_a_round_finds_what_is_damaged(opened: photos.Library, noisy: Path) -> None:
    alter(noisy, 1_800_000)
    photos.Watch(opened).read_on(60, never)
    assert photos.damaged_paths(opened) == ["Trip/noisy.jpg"]
    alter(noisy, 1_800_000, by=255)
    photos.Watch(opened).read_on(60, never)
    assert photos.damaged_paths(opened) == []


def count_blocks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return a list that each block that is read is added to, as path and place."""
    blocks: list[tuple[str, int]] = []
    read = photos.add_to_checksum

    def note(crc: int, path: str, start: int) -> tuple[int, int]:
        blocks.append((path, start))
        return read(crc, path, start)

    monkeypatch.setattr(photos, "add_to_checksum", note)
    return blocks


def stop_after(blocks: list[Any], count: int) -> Callable[[], bool]:
    return lambda: len(blocks) >= count


@pytest.mark.whole
@pytest.mark.usefixtures("fast")
def test_a_round_that_is_interrupted_goes_on_where_it_was(
    opened: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = count_blocks(monkeypatch)
    photos.Watch(opened).read_on(60, never)
    expected = list(whole)
    assert len(expected) > 10
    for count in range(1, len(expected)):
        whole.clear()
        watch = photos.Watch(opened)
        watch.read_on(60, stop_after(whole, count))
        assert watch.is_due()
        watch.read_on(60, never)
        assert whole == expected
        assert not watch.is_due()


@pytest.mark.usefixtures("fast")
def test_a_round_goes_on_after_a_restart_with_the_file_it_was_at(
    opened: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = count_blocks(monkeypatch)
    photos.Watch(opened).read_on(60, never)
    order = list(dict.fromkeys(path for path, _ in blocks))
    third = [path for path, _ in blocks].index(order[2])
    blocks.clear()
    photos.Watch(opened).read_on(60, stop_after(blocks, third))
    blocks.clear()
    watch = photos.Watch(opened)
    assert watch.is_due()
    watch.read_on(60, never)
    assert list(dict.fromkeys(path for path, _ in blocks)) == order[2:]


@pytest.mark.whole
@pytest.mark.parametrize("content", ["", "[]", "{}", "[1]", '["a", 1]', "[[", "é"])
def test_a_place_that_makes_no_sense_begins_a_new_month(
    opened: photos.Library, content: str
) -> None:
    (opened.cache / "watch.json").write_text(content)
    assert not photos.Watch(opened).is_due()


@pytest.mark.whole
def test_a_round_reads_no_faster_than_its_pace(
    opened: photos.Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = count_blocks(monkeypatch)
    slept: list[float] = []
    monkeypatch.setattr(photos.time, "sleep", slept.append)
    photos.Watch(opened).read_on(60, never)
    assert len(slept) >= len(blocks)
    assert min(slept) == pytest.approx(photos.CHECKSUM_BYTES / photos.ROUND_PACE)


@pytest.mark.whole
@pytest.mark.usefixtures("fast")
def test_a_file_that_goes_or_changes_meanwhile_is_no_damage(
    opened: photos.Library, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = photos.add_to_checksum

    def change(crc: int, path: str, start: int) -> tuple[int, int]:
        if path == os.fspath(noisy) and start:
            with noisy.open("r+b") as file:
                file.write(b"\xff\xd8else")
        elif start == 0 and noisy.name != os.path.basename(path):
            Path(path).unlink()
        return read(crc, path, start)

    monkeypatch.setattr(photos, "add_to_checksum", change)
    photos.Watch(opened).read_on(60, never)
    assert opened.damaged.sums() == {}


@pytest.mark.whole
@pytest.mark.usefixtures("fast")
def test_the_background_pass_watches_while_nobody_visits(
    opened: photos.Library, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "PASS_SECONDS", 0.02)
    monkeypatch.setattr(photos, "ROUND_SECONDS", -1.0)
    monkeypatch.setattr(
        photos.Library, "run", lambda *_: iter(())
    )  # the round alone finds it
    monkeypatch.setattr(photos.Upkeep, "unrendered", lambda *_: iter(()))
    upkeep = photos.Upkeep(opened)
    background = threading.Thread(target=upkeep.run)
    background.start()
    try:
        eventually(lambda: (opened.cache / "watch.json").exists())
        alter(noisy, 1_800_000)
        eventually(lambda: photos.damaged_paths(opened) == ["Trip/noisy.jpg"])
    finally:
        upkeep.close()
        background.join(20)


@pytest.mark.whole
def test_a_visitor_interrupts_the_round(opened: photos.Library) -> None:
    upkeep = photos.Upkeep(opened)
    assert not upkeep._is_asked()
    upkeep.wake()
    assert upkeep._is_asked()


def test_reading_leaves_the_time_of_the_last_access_as_it_is(noisy: Path) -> None:
    os.utime(noisy, ns=(0, noisy.stat().st_mtime_ns))
    photos.add_to_checksum(0, os.fspath(noisy), 0)
    photos.checksums(os.fspath(noisy), ())
    assert noisy.stat().st_atime_ns == 0


# The commands


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    library: Path,
    noisy: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs a command in a library all of whose files were read; returns status, output, errors."""
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0)
    monkeypatch.chdir(library)

    def run_it(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return photos.main(arguments), *capsys.readouterr()

    for line in ("init", "index", "check --deep"):
        status, _, error = run_it(*line.split())
        assert (status, error) == (0, "")
    return run_it


@pytest.mark.whole
def test_check_deep_reads_all_now_names_what_is_damaged_and_fails(
    command: Command, noisy: Path
) -> None:
    status, out, _ = command("check")
    assert status == 0 and "damaged" not in out
    alter(noisy, 1_800_000)
    status, out, error = command("check", "--deep")
    assert status == 1
    assert "  Trip/noisy.jpg\n" in out and "from a backup" in out
    assert error == "photos: Damaged originals: 1. They are named above.\n"
    status, out, _ = command("check")
    assert status == 0 and "  Trip/noisy.jpg\n" in out
    os.utime(noisy)  # the owner takes it as it is
    assert "damaged" not in command("check")[1]
    assert command("check", "--deep")[0] == 0


def test_the_bar_ends_once_though_the_last_files_are_small(
    command: Command, noisy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    sizes = [path.stat().st_size for path in noisy.parent.iterdir()]
    assert sum(sizes) > 1 << 20 and len(sizes) > 1
    _, _, error = command("check", "--deep")
    assert error.count("\n") == 1 and error.endswith("left  \n")


@pytest.mark.whole
def test_check_deep_is_content_once_the_file_is_restored(
    command: Command, noisy: Path
) -> None:
    alter(noisy, 1_800_000)
    assert command("check", "--deep")[0] == 1
    alter(noisy, 1_800_000, by=255)
    status, out, _ = command("check", "--deep")
    assert status == 0 and "damaged" not in out
