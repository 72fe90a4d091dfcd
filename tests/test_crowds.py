"""Folders with many files, and many visitors: nobody waits for what another one looks at."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from drawing import draw
from looking import look, place_at, read
from processes import eventually

import photos
import renditions


def open_folders(root: Path) -> photos.Folders:
    draw(root / "Long" / "one.jpg")
    draw(root / "Short" / "two.jpg")
    return photos.Folders(root, root / photos.STATE_FOLDER)


@pytest.mark.whole
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


def test_what_is_learned_of_one_photo_derives_its_own_album_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("One/a.jpg", "Two/b.jpg", "Three/c.jpg"):
        draw(tmp_path / name)
    library = photos.Library(tmp_path, tmp_path / photos.STATE_FOLDER / "cache", workers=0)
    try:
        read(library)
        assert look(library).photos == 3
        derived: list[photos.Parts] = []
        derive = library._derive

        def note(place: photos.Place, principal: photos.Principal) -> photos.Album:
            derived.append(place.parts)
            return derive(place, principal)

        monkeypatch.setattr(library, "_derive", note)
        file = place_at(library, "Two", "b.jpg").file
        assert file
        for width in (7, 8):
            library.index.put(file.identity, renditions.Info(kind="photo", width=width))
            assert look(library).photos == 3
            [item] = look(library, "Two").items
            assert item.facts.width == width
        assert derived == [("Two",)] * 2
        monkeypatch.setattr(library.index, "_last_changed", deque(maxlen=0))
        library.index.put(file.identity, renditions.Info(kind="photo", width=9))
        assert [item.facts.width for item in look(library, "Two").items] == [9]
    finally:
        library.close()
