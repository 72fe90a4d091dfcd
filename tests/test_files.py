"""State files: whole after every crash, one writer at a time, for the owner alone."""

from __future__ import annotations

import contextlib
import json
import os
import random
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import StartPython, run_together

import photos

SIZE = 300_000

WRITE_ON_AND_ON = """
import itertools, pathlib, sys, photos
path = pathlib.Path(sys.argv[1])
for number in itertools.count():
    photos.write_atomically(path, bytes([number % 256]) * int(sys.argv[2]))
    if not number:
        print(flush=True)
"""

COUNT_UP = """
import pathlib, sys, threading, photos
path = pathlib.Path(sys.argv[1])

def count_up():
    for _ in range(10):
        with photos.locked(path):
            number = int(path.read_text())
            go_on.wait(0.001)
            path.write_text(str(number + 1))

go_on = threading.Event()
threads = [threading.Thread(target=count_up) for _ in range(2)]
print(flush=True)
input()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

HOLD_LOCK = """
import pathlib, sys, photos
with photos.locked(pathlib.Path(sys.argv[1])):
    print(flush=True)
    input()
"""

PRINT_SECRET = """
import pathlib, sys, photos
print(flush=True)
input()
print(photos.read_secret(pathlib.Path(sys.argv[1])).hex())
"""

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such modes, limits and signals"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_whole(path: Path) -> bool:
    content = path.read_bytes()
    return len(content) == SIZE and len(set(content)) == 1


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond half of SIZE, as if the disk were full."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"IMG_1.jpg", "IMG_1.jpg"),
        ("Été 😀.jpg".encode(), "Été 😀.jpg"),
        (b"caf\xe9.jpg", "caf\N{REPLACEMENT CHARACTER}.jpg"),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
        (b"a\x1b[2Jb\nc\x7f", "a\ufffd[2Jb\ufffdc\ufffd"),
        ("a\x9b2Jb é".encode(), "a\ufffd2Jb é"),
    ],
)
def test_every_file_name_can_be_shown(name: bytes, text: str) -> None:
    assert photos.display(os.fsdecode(name)) == text


@pytest.mark.whole
def test_a_files_identity_differs_once_it_is_written_or_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    seen = [photos.identity_of(path)]
    for content, written in ((b"one", 1), (b"two", 2), (b"longer", 2)):
        path.write_bytes(content)
        os.utime(path, ns=(written, written))
        seen.append(photos.identity_of(path))
    other.write_bytes(b"length")
    os.utime(other, ns=(2, 2))
    os.replace(other, path)
    assert seen[0] is None
    assert len({*seen, photos.identity_of(path)}) == 5
    assert photos.identity_of(path) == photos.identity_of(path)


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"long " * 1000, b"", b"short"):
        photos.write_atomically(path, content)
        assert path.read_bytes() == content
        assert os.listdir(tmp_path) == ["file"]


@posix
def test_a_written_file_is_for_the_owner_alone_whatever_it_was_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.touch(0o644)
    before = os.umask(0)
    try:
        photos.write_atomically(path, b"new")
        with photos.locked(path):
            pass
    finally:
        os.umask(before)
    assert mode(path) == mode(tmp_path / "file.lock") == 0o600


@posix
def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Any] = []
    fsync, replace = os.fsync, os.replace

    def fsync_seen(handle: int) -> None:
        found = os.fstat(handle)
        steps.append(
            "folder" if os.path.samestat(found, tmp_path.stat()) else found.st_size
        )
        fsync(handle)

    def replace_seen(source: str, target: Path) -> None:
        steps.append(Path(source).parent)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync_seen)
    monkeypatch.setattr(os, "replace", replace_seen)
    photos.write_atomically(tmp_path / "file", b"short")
    assert steps == [len(b"short"), tmp_path, "folder"]


@posix
def test_a_write_to_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        photos.write_atomically(path, b"x" * SIZE)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_that_is_interrupted_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        photos.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_that_cannot_take_its_name_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError, match="file"):
        photos.write_atomically(path, b"new")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.whole
@posix
def test_a_killed_writer_leaves_a_whole_file_and_readers_never_see_half_of_one(
    tmp_path: Path, start_python: StartPython
) -> None:
    path = tmp_path / "file"
    for _ in range(8):
        writer = start_python(WRITE_ON_AND_ON, path, str(SIZE))
        assert writer.stdout is not None
        writer.stdout.readline()
        until = time.monotonic() + random.uniform(0.01, 0.06)
        while time.monotonic() < until:
            assert is_whole(path)
        writer.kill()
        writer.wait()
        assert is_whole(path)


@pytest.mark.whole
def test_one_at_a_time_holds_a_lock_across_threads_and_processes(
    tmp_path: Path, start_python: StartPython
) -> None:
    path = tmp_path / "file"
    path.write_text("0")
    run_together([start_python(COUNT_UP, path) for _ in range(3)])
    assert path.read_text() == "60"


@pytest.mark.whole
@posix
def test_a_lock_ends_with_its_holder_however_that_ends(
    tmp_path: Path, start_python: StartPython
) -> None:
    path = tmp_path / "file"
    with contextlib.suppress(ZeroDivisionError), photos.locked(path):
        raise ZeroDivisionError
    holder = start_python(HOLD_LOCK, path)
    assert holder.stdout is not None
    holder.stdout.readline()
    entered = threading.Event()

    def enter() -> None:
        with photos.locked(path):
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    assert not entered.wait(0.05)
    holder.kill()
    assert entered.wait(30)


def test_state_is_sorted_indented_text_with_a_version(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    photos.write_state(path, {"b": {"é": 1}, "a": [], "version": 99})
    assert path.read_text(encoding="utf-8") == (
        '{\n  "a": [],\n  "b": {\n    "é": 1\n  },\n  "version": 1\n}\n'
    )
    assert photos.read_state(path) == {"a": [], "b": {"é": 1}, "version": 1}


def test_state_that_does_not_exist_is_told_from_damaged_state(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert photos.read_state(path) is None
    path.touch()
    with pytest.raises(photos.StateError, match=r"state\.json is damaged"):
        photos.read_state(path)


@pytest.mark.parametrize("kept", range(0, 60, 7))
def test_state_that_was_cut_anywhere_is_damaged(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "state.json"
    photos.write_state(path, {"users": {"anna": {"epoch": "0123456789abcdef"}}})
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    assert len(whole) > 60
    with pytest.raises(photos.StateError, match=r"state\.json is damaged"):
        photos.read_state(path)


NESTED = r"damaged \(too many brackets within brackets\)\. Repair it"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[" * 200_000, NESTED),
        (b'{"a":' * 200_000, NESTED),
        (b"\xff", "damaged"),
        (b"[]", "damaged"),
    ],
)
def test_state_that_makes_no_sense_is_damaged(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(photos.StateError, match=rf"state\.json is {problem}"):
        photos.read_state(path)


@pytest.mark.parametrize("version", [None, "1", 1.0, [1], {}])
def test_state_whose_version_is_no_whole_number_is_damaged(
    tmp_path: Path, version: Any
) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"version": version}))
    with pytest.raises(photos.StateError, match=r'damaged.*"version"'):
        photos.read_state(path)


def test_state_of_a_newer_version_is_not_damaged_but_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"version": photos.STATE_VERSION + 1}))
    with pytest.raises(photos.StateError, match="newer version") as refusal:
        photos.read_state(path)
    assert "damaged" not in str(refusal.value)


@posix
def test_the_state_folder_is_for_the_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "new" / ".photos"
    photos.make_state_folder(state)
    assert mode(state) == 0o700
    state.chmod(0o755)
    photos.make_state_folder(state)
    assert mode(state) == 0o700
    assert (state / "cache").is_dir()


def test_a_state_folder_that_the_owner_made_elsewhere_keeps_its_mode(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    photos.make_state_folder(tmp_path)
    assert mode(tmp_path) == 0o755
    assert mode(tmp_path / "cache") == 0o700


def test_where_no_state_folder_can_be_made_another_one_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(photos.StateError, match="--state"):
        photos.make_state_folder(tmp_path / "file" / ".photos")


@posix
def test_the_secret_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    secret = photos.read_secret(tmp_path)
    assert len(secret) == 32
    assert photos.read_secret(tmp_path) == secret == (tmp_path / "secret.key").read_bytes()
    assert mode(tmp_path / "secret.key") == 0o600


def test_every_state_folder_has_a_secret_of_its_own(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    assert photos.read_secret(tmp_path / "a") != photos.read_secret(tmp_path / "b")


@pytest.mark.whole
def test_processes_that_start_together_agree_on_the_secret(
    tmp_path: Path, start_python: StartPython
) -> None:
    told = run_together([start_python(PRINT_SECRET, tmp_path) for _ in range(4)])
    assert set(told) == {f"{(tmp_path / 'secret.key').read_bytes().hex()}\n"}


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_that_was_cut_is_refused_and_left_as_it_is(
    tmp_path: Path, size: int
) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(b"x" * size)
    with pytest.raises(
        photos.StateError,
        match=r"secret\.key is damaged.*copy back.*log in again.*new links",
    ):
        photos.read_secret(tmp_path)
    assert path.stat().st_size == size


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"
)
def test_under_sudo_files_and_their_locks_belong_to_the_owner_of_the_folder(
    tmp_path: Path,
) -> None:
    os.chown(tmp_path, 12345, 12345)
    path = tmp_path / "users.json"
    with photos.locked(path):
        photos.write_state(path, {"users": {}})
    assert {each.name: each.stat().st_uid for each in tmp_path.iterdir()} == {
        "users.json": 12345,
        "users.json.lock": 12345,
    }
