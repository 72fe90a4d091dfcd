"""`index` and `check` tell the truth: what is not shown, and what could not be written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import HOME, set_up
from drawing import draw
from looking import Open, made
from PIL import Image
from processes import eventually

import photos
import renditions

Run = Callable[..., subprocess.CompletedProcess[str]]
NO_PICTURE = "its content is not a picture, or damaged from the start"


def run(library: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command on a library in a process of its own."""
    command = [sys.executable, HOME / "photos.py", "--library", library, *arguments]
    options = {
        "capture_output": True,
        "text": True,
        "timeout": 60,
        "check": False,
        **options,
    }
    return subprocess.run(command, **options)


def checked(library: photos.Library, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    photos.print_problems(photos.Upkeep(library), "photos index")
    return capsys.readouterr().out


# What is not shown


def test_everything_on_disk_that_is_not_shown_is_named_or_counted(
    library: Path,
    quiet: Open,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photos, "DEPTH", 3)
    trip = library / "Trip"
    for name in ("broken.jpg", "broken.jpg.private", "broken.private.png", "a.dng"):
        (trip / name).write_text("no picture")
    for name in ("a.xmp", "b.txt", "c.json", "letter.pdf", "film.srt", "x.jpg~", "._x.jpg"):
        (trip / name).write_text("no picture")
    for name in ("@eaDir", "#recycle", ".hidden"):
        draw(trip / name / "a.jpg")
    draw(trip / "3" / "4" / "5" / "a.jpg")
    (trip / "out").symlink_to("/tmp")
    (trip / "nowhere.jpg").symlink_to("nowhere")
    os.mkfifo(trip / "pipe.jpg")
    assert checked(quiet(), capsys).splitlines() == [
        "These files cannot be shown, or not whole:",
        "  Trip/a.dng: RAW: export it as JPEG to show it",
        f"  Trip/broken.jpg: {NO_PICTURE}",
        f"  Trip/broken.jpg.private: {NO_PICTURE}",
        f"  Trip/broken.private.png: {NO_PICTURE}",
        "2 copies and half files of other programs are not shown.",
        "3 texts, sidecars and system files are not shown.",
        "3 hidden and system entries are not shown.",
        "2 links that are not followed are not shown.",
        "1 album too deep in others is not shown.",
        "3 files of other kinds (.jpg, .pdf, .srt) are not shown.",
    ]


def test_nothing_is_said_of_a_library_that_is_shown_whole(
    library: Path, quiet: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    (library / ".photos").mkdir()
    assert checked(quiet(), capsys) == ""


# What could not be written


def block_renditions(library: Path) -> Path:
    """Let no rendition be written, whoever asks: a file is where their folder would be."""
    path = library / ".photos" / "cache" / renditions.RENDITIONS_FOLDER
    path.write_text("in the way")
    return path


def block_index(library: Path) -> Path:
    """Let the index not be written."""
    path = photos.Index(library / ".photos" / "cache")._path
    path.mkdir()
    return path


@pytest.mark.whole
@pytest.mark.parametrize("block", [block_renditions, block_index])
def test_index_says_what_it_could_not_write_and_fails(
    block: Callable[[Path], Path], library: Path
) -> None:
    blocked = block(set_up(library))
    done = run(library, "index")
    assert done.returncode == 1
    assert "All done" not in done.stdout
    [line] = done.stderr.splitlines()
    cache = library / ".photos" / "cache"
    assert line.startswith(f"photos: {cache} cannot be written: ")
    assert blocked.exists()


@pytest.mark.whole
def test_index_says_that_the_disk_is_full(library: Path) -> None:
    set_up(library)
    Image.effect_noise((900, 900), 90).save(library / "Trip" / "noise.jpg")

    def allow_small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = run(library, "index", preexec_fn=allow_small_files)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "cannot be written: File too large. " in line
    assert "All done" not in done.stdout
    done = run(library, "index")
    assert (done.returncode, done.stderr) == (0, "")
    assert "All done: 7 photos, 0 videos." in done.stdout


def test_a_photo_is_not_to_blame_for_a_full_disk(library: Path, open_library: Open) -> None:
    opened = open_library()
    (opened.cache / renditions.RENDITIONS_FOLDER).write_text("in the way")
    upkeep = photos.Upkeep(opened)
    for purpose in (renditions.Purpose.FACTS, renditions.Purpose.ALL):
        list(opened.run(upkeep.unread(0) or list(upkeep.unrendered(0)), purpose))
    assert upkeep.problems() == []
    (opened.cache / renditions.RENDITIONS_FOLDER).unlink()
    list(opened.run(list(upkeep.unrendered(0)), renditions.Purpose.ALL))
    assert list(upkeep.unrendered(0)) == []


@pytest.mark.whole
def test_a_full_disk_is_told_once_and_tried_with_one_photo_at_a_time(
    library: Path,
    open_library: Open,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(photos, "PASS_SECONDS", 0.05)
    submitted: list[str] = []
    submit = photos.Renderer.submit

    def submit_it(
        renderer: photos.Renderer, identity: str, path: str, purpose: Any, *rest: Any
    ) -> Any:
        if purpose is renditions.Purpose.THUMBNAILS:
            submitted.append(path)
        return submit(renderer, identity, path, purpose, *rest)

    monkeypatch.setattr(photos.Renderer, "submit", submit_it)
    opened = open_library()
    folder = opened.cache / renditions.RENDITIONS_FOLDER
    folder.write_text("in the way")
    upkeep = photos.Upkeep(opened)
    background = threading.Thread(target=upkeep.run)
    background.start()
    eventually(lambda: len(submitted) >= 9)
    assert len(set(submitted[:6])) == 6
    assert set(submitted[6:]) == {submitted[0]}
    assert caplog.text.count("cannot be written") == 1
    folder.unlink()
    eventually(lambda: len(made(opened)) == 12)
    upkeep.close()
    opened.close()
    background.join(20)
    assert caplog.text.count("cannot be written") == 1


def test_an_index_that_is_read_only_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.Index(tmp_path).put("one", renditions.Info(key="one"))

    def utime(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", utime)
    assert photos.Index(tmp_path).get("one")
