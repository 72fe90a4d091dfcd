"""The index: what is known of each file, kept over restarts and damage."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import photos
import renditions

KNOWN = renditions.Info(
    key="k", kind="photo", width=3, taken="2024-05-06T07:08:09", latitude=-0.5
)


def test_the_index_is_there_again_after_a_restart(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    before = index.changes
    index.put("one", renditions.Info(key="old"))
    index.put("one", KNOWN)
    index.put(
        "moment",
        renditions.Info(problem="it crashes the decoder", retry=renditions.AT_START),
    )
    assert index.changes > before
    assert index.get("moment")
    index = photos.Index(tmp_path)
    assert (index.get("one"), index.get("moment"), index.get("other")) == (
        KNOWN,
        None,
        None,
    )


@pytest.mark.parametrize(
    "damage",
    [
        b'["torn", {"key": "kk',
        b'["torn", {"ke\n',
        b"\0\0\0\0\0\0\0\0",
        b"\xff\xfe\xfd\n",
        b"[]\n7\n[[], 5]\n",
    ],
)
def test_a_damaged_index_costs_the_damaged_lines_alone(
    damage: bytes, tmp_path: Path
) -> None:
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    with open(index._path, "ab") as file:
        file.write(damage)
    index = photos.Index(tmp_path)
    assert index.get("one") == KNOWN
    index.put("two", KNOWN)
    index = photos.Index(tmp_path)
    assert index.get("one") == index.get("two") == KNOWN
    assert index.get("torn") is None


def test_an_index_whose_beginning_is_damaged_keeps_the_rest(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    index.put("two", KNOWN)
    index._path.write_bytes(b"\0\0\0" + index._path.read_bytes()[4:])
    index = photos.Index(tmp_path)
    assert (index.get("one"), index.get("two")) == (None, KNOWN)


@pytest.mark.parametrize(
    "damage", ['{"taken": "2024-99-01T00:00:00"}', '{"width": "9"}', '{"kind": 7}']
)
def test_a_senseless_line_of_the_index_is_dropped(damage: str, tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    index.put("one", KNOWN)
    with open(index._path, "a") as file:
        file.write(f'\n["two", {damage}]')
    index = photos.Index(tmp_path)
    assert (index.get("one"), index.get("two")) == (KNOWN, None)


def test_each_version_keeps_an_index_of_its_own_until_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = photos.Index(tmp_path)
    mine.put("one", KNOWN)
    monkeypatch.setattr(photos.PIL, "__version__", "99.0")
    other = photos.Index(tmp_path)
    assert other.get("one") is None
    other.put("two", KNOWN)
    mine.put("three", KNOWN)  # as a server that still runs during an upgrade
    assert photos.Index(tmp_path).get("three") is None
    monkeypatch.undo()
    again = photos.Index(tmp_path)
    assert again.get("one") and again.get("three") and not again.get("two")
    for path in (other._path, mine._path):
        os.utime(path, (time.time() - photos.INDEX_SECONDS - 60,) * 2)
    photos.Index(tmp_path)  # which is a use of it
    assert [*tmp_path.glob("index*")] == [mine._path]
    monkeypatch.setattr(photos.PIL, "__version__", "99.0")
    photos.Index(tmp_path)
    assert [*tmp_path.glob("index*")] == [mine._path]


def test_what_was_read_before_there_were_captions_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = photos.Index(tmp_path)
    fields = {
        name: field
        for name, field in renditions.Info.__dataclass_fields__.items()
        if name != "caption"
    }
    monkeypatch.setattr(renditions.Info, "__dataclass_fields__", fields)
    assert photos.Index(tmp_path)._path != now._path


def test_what_was_read_without_ffmpeg_is_read_again_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", os.fspath(tools))
    index = photos.Index(tmp_path)
    index.put("video", KNOWN)
    index = photos.Index(tmp_path)
    assert index.get("video")
    (tools / "ffmpeg").touch(mode=0o755)
    assert photos.Index(tmp_path).get("video") is None


def test_the_index_forgets_files_that_are_gone(tmp_path: Path) -> None:
    index = photos.Index(tmp_path)
    for name in ("stays", "goes"):
        index.put(name, KNOWN)
    index.put("moment", renditions.Info(problem="late", retry=renditions.AT_START))
    index.keep({"stays", "moment"})
    assert (index.get("stays"), index.get("goes")) == (KNOWN, None)
    index.put("comes", KNOWN)
    index = photos.Index(tmp_path)
    assert [bool(index.get(name)) for name in ("stays", "goes", "comes", "moment")] == [
        True,
        False,
        True,
        False,
    ]


def test_an_index_that_cannot_be_written_is_kept_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = photos.Index(tmp_path)
    index._path.mkdir()
    index.put("one", KNOWN)
    index.put("two", KNOWN)
    index.keep({"one"})
    assert (index.get("one"), index.get("two")) == (KNOWN, None)
    assert caplog.text.count("cannot be written") == 1
