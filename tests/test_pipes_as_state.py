"""Pipes as state: what is no regular file is refused or passed over, and nobody waits for it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import run

import photos

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """End a test that waits for the other end of a pipe."""

    def fail(*_: object) -> None:
        raise AssertionError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("config.json", lambda state: photos.read_state(state / "config.json")),
        ("secret.key", photos.read_secret),
        ("tunnel.token", photos.read_tunnel_token),
    ],
)
@pytest.mark.parametrize("is_linked", [False, True])
def test_a_pipe_in_the_place_of_a_state_file_is_an_error_that_names_it(
    tmp_path: Path, name: str, read: Callable[[Path], object], is_linked: bool
) -> None:
    path = tmp_path / name
    pipe = tmp_path / "pipe" if is_linked else path
    os.mkfifo(pipe, 0o600)
    if is_linked:
        path.symlink_to(pipe)
    with pytest.raises(
        photos.StateError, match=f"{name} cannot be read: .* no regular file"
    ):
        read(tmp_path)


def test_a_device_or_a_folder_is_no_state_file_either(tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to("/dev/zero")
    (tmp_path / "users.json").mkdir()
    for name in ("config.json", "users.json"):
        with pytest.raises(photos.StateError, match="cannot be read"):
            photos.read_state(tmp_path / name)


def test_an_album_text_that_is_a_pipe_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "album.txt")
    text = photos.read_album_text(os.fspath(tmp_path / "album.txt"), [])
    assert text == photos.AlbumText()


def test_an_index_that_is_a_pipe_is_neither_read_nor_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / photos._index_name())
    index = photos.Index(tmp_path)
    index.put("1", photos.Info(kind=photos.PHOTO))
    assert index.get("1") == photos.Info(kind=photos.PHOTO)
    assert "cannot be written" in index.problem


@pytest.mark.whole
@pytest.mark.parametrize("name", ["config.json", "users.json"])
def test_a_command_ends_with_one_line_where_its_state_is_a_pipe(
    tmp_path: Path, name: str
) -> None:
    state = tmp_path / ".photos"
    state.mkdir(0o700)
    os.mkfifo(state / name, 0o600)
    ended = run("--library", tmp_path, "users")
    assert ended.returncode != 0
    assert f"{name} cannot be read" in ended.stderr
    assert ended.stderr.count("\n") == 1
