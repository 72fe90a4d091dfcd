"""Folders with many files, and many visitors: nobody waits for what another one looks at."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from drawing import draw
from processes import eventually

import photos


def open_folders(root: Path) -> photos.Folders:
    draw(root / "Long" / "one.jpg")
    draw(root / "Short" / "two.jpg")
    return photos.Folders(root, root / photos.STATE_FOLDER)


def test_a_folder_that_takes_long_to_list_keeps_nobody_from_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = open_folders(tmp_path)
    is_listing, may_go_on = threading.Event(), threading.Event()
    listed: list[photos.Parts] = []
    read_folder = folders._read_folder

    def slow(parts: photos.Parts, path: str) -> photos.Folder:
        listed.append(parts)
        if parts == ("Long",):
            is_listing.set()
            assert may_go_on.wait(20)
        return read_folder(parts, path)

    monkeypatch.setattr(folders, "_read_folder", slow)
    with ThreadPoolExecutor(4) as threads:
        long = [threads.submit(folders.listing, ("Long",)) for _ in range(3)]
        try:
            assert is_listing.wait(20)
            eventually(lambda: sum(future.running() for future in long) == 3)
            short = threads.submit(folders.listing, ("Short",))
            assert list(short.result(20).files) == ["two.jpg"]
        finally:
            may_go_on.set()
        assert [list(future.result(20).files) for future in long] == [["one.jpg"]] * 3
    assert listed.count(("Long",)) < 3, "those who wait take what was listed meanwhile"
