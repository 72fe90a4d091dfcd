"""The first evening: from a copied file in an empty folder to a phone somewhere else."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import processes
import pytest
from conftest import PHONE, log_in, needed, sees_all_pictures
from outside import HOST, Internet, StandIn
from processes import Terminal, free_port
from scanning import code_lines, read_back, screenshot
from visiting import PASSWORD

import photos

ALBUMS = ("phones", "dates", "orientation", "heic", "gps")


@pytest.fixture
def internet(standin: StandIn, tmp_path: Path) -> Iterator[Internet]:
    with Internet(standin, tmp_path, needed("openssl")) as internet:
        yield internet
        internet.shutdown()


@pytest.fixture
def pictures(samples: Path, tmp_path: Path) -> Path:
    """The folder of a family's pictures, somewhere on the machine."""
    for album in ALBUMS:
        shutil.copytree(samples / album, tmp_path / "Pictures" / album)
    shutil.copytree(samples / "pano", tmp_path / "Pictures" / "Silly faces.private")
    return tmp_path / "Pictures"


@pytest.mark.whole
def test_six_answers_lie_between_a_copied_file_and_a_phone_outside(
    photos_pyz: Path,
    pictures: Path,
    internet: Internet,
    open_window: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", os.fspath(home))
    monkeypatch.setenv("PHOTOS_CACHE_DIR", os.fspath(home / ".cache"))
    monkeypatch.setattr(processes, "PROGRAM", (sys.executable, "photos.pyz"))
    record = [(time.monotonic(), "start")]

    def note(step: str) -> None:
        record.append((time.monotonic(), step))

    shutil.copy(photos_pyz, home / "photos.pyz")
    with Terminal("--port", str(free_port()), folder=home) as terminal:
        terminal.expect("Which folder holds your albums?")
        note("cp photos.pyz, python3 photos.pyz: the first question")
        terminal.type(os.fspath(pictures))
        terminal.answer(
            ("What should the site be called?", "Our photos"),
            ("Shall people outside your home reach it?", "yes"),
            ("Your user name?", "Anna"),
            ("Password: ", PASSWORD),
            ("The same again: ", PASSWORD),
        )
        found = terminal.expect("Open it to everybody who has the address?")
        assert "Strangers will find 5 albums with " in found
        terminal.type("yes")
        note("the last answer")
        terminal.expect(f"  https://{HOST}/\n")
        note("the public address is on the terminal")
        terminal.expect("\n".join(photos.qr_lines(f"https://{HOST}/")))
        lines = code_lines(terminal.screen)
        link = read_back(screenshot(lines, 220, 30), tmp_path)
        assert link == f"https://{HOST}/"
        phone = open_window(link, **PHONE, **internet.for_browsers)
        phone.goto(link)
        assert sees_all_pictures(phone) >= len(ALBUMS)
        note("a phone that scanned it sees the covers")
        phone.get_by_text("orientation").click()
        phone.wait_for_url("**/album/orientation/")
        assert sees_all_pictures(phone) > 3
        note("and an album")
        phone.goto("/login")
        log_in(phone)
        phone.get_by_text("Silly faces").wait_for()
        assert sees_all_pictures(phone) > len(ALBUMS)
        note("the owner logs in on it")
        (cookie,) = phone.context.cookies()
        assert cookie["name"].startswith("__Host-") and cookie["secure"]
        phone.close()
        terminal.press(b"\x03")
        assert terminal.end() == 0
        assert terminal.screen.count("? ") <= 6
    for (since, _), (until, step) in itertools.pairwise(record):
        print(f"{until - since:6.2f} s  {step}")
    print(f"{record[-1][0] - record[0][0]:6.2f} s  all of it")
