"""Copies and half files that other programs leave beside photos: no items, and counted by `check`."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from drawing import draw
from looking import Open, is_there, look, names

import photos

LEFTOVERS = [
    *("IMG_1.JPG_original", "IMG_1.jpg_exiftool_tmp", "x.jpg~", "x.jpg.~1~", "x.jpg.bak"),
    *("x.bak", "x.jpg.BAK", "x.jpg.bak2", "x.jpg.orig", "x.jpg.old", "x.jpg.sav"),
    *(
        "#x.jpg#",
        ".x.jpg.swp",
        "x.jpg.swp",
        "x.jpg.kate-swp",
        ".nfs000000000003b2c700000001",
    ),
    *(".fuse_hidden0000000100000002", "._x.jpg", "~syncthing~x.jpg.tmp", "~$x.jpg"),
    *(".syncthing.x.jpg.tmp", ".x.jpg.A1b2C3", "x.jpg.crdownload", "x.jpg.part"),
    *("Unconfirmed 12345.crdownload", "x.jpg.partial", "x.jpg.filepart", "x.jpg.!qB"),
    *("x.jpg.!ut", "x.jpg.opdownload", "x.jpg.download", "x.jpg.aria2", "x.jpg.tmp"),
    *("x.jpg.temp", ".unison.x.jpg.1a2b.unison.tmp", ".owncloudsync.log", ".~x.jpg"),
    *(
        "x.jpg.~1234",
        ".pending-1700000000-x.jpg",
        ".trashed-1700000000-x.jpg",
        "x.jpg.!sync",
    ),
    *("x.jpg.bts", "x.jpg.fdmdownload", "x.jpg.sb-8d5a1b2c-AbCdEf", ".x.jpg.icloud"),
    *(
        ".goutputstream-ABC123",
        "x.digikamtempfile.jpg",
        "x.jpg.bak.private",
        "x.private.jpg~",
    ),
    *(".smbdeleteAAA2b4f", "~x1234.tmp", "x.jpg.1a2b3c4d.partial", ".in.x.jpg."),
    *("x.jpg.1a2b.ffs_tmp",),
]
PHOTOS = [
    *("download.jpg", "temp.png", "bak.jpg", "part.jpg", "IMG (copy).jpg", "x - Copy.jpg"),
    *("x.bak.jpg", "old.jpg", "x.old.jpg", "my original.jpg", "x_original.jpg", "~x.jpg"),
    *("#1 summer.jpg", "x~y.jpg", "x.tmp.png", "nfs0001.jpg", "x (1).jpg", "swp.jpg"),
    *(
        "conflict.jpg",
        "a conflicted copy.jpg",
        "x (conflict zone).jpg",
        "x.jpg",
        "sync-conflict.jpg",
        "IMG_1_original",
        "part",
    ),
    *("x.jpg.1", "Unconfirmed.jpg", "trashed-1234-x.jpg", "pending.jpg", "icloud.jpg"),
]
CONFLICTS = [
    ("x.jpg", "x.sync-conflict-20240101-120000-ABCDEFG.jpg"),
    ("x.jpg", "x.sync-conflict-20240101-120000.jpg"),
    ("X.JPG", "x_conflict-20240101-120000.jpg"),
    ("x.jpg", "x (conflicted copy 2024-01-01).jpg"),
    ("x.jpg", "x (Anna's conflicted copy 2024-01-01 120000).jpg"),
    ("x.jpg", "x (Anna's conflicted copy 2024-01-01) (1).jpg"),
    ("x.jpg", "x (SFConflict anna@example.org 2024-01-01-12-00-00).jpg"),
    ("x.jpg", "x_NAS_Jan-01-120000-2024_Conflict.jpg"),
    ("x.jpg", "x.Conflict.jpg"),
    ("x.jpg", "x (In Konflikt stehende Kopie von Anna 2024-01-01).jpg"),
    ("x.jpg", "x (Copie en conflit de Anna 2024-01-01).jpg"),
    ("x.jpg", "x (Anna の競合コピー 2024-01-01).jpg"),
    ("x.jpg", "x (Copia in conflitto di Anna 2024-01-01).jpg"),
    ("x.jpg", "x (Cópia em conflito de Anna 2024-01-01).jpg"),
    ("x.jpg", "x (Anna 的冲突副本 2024-01-01).jpg"),
    ("x.jpg", "x (Case Conflict 1).jpg"),
    ("Café.jpg", unicodedata.normalize("NFD", "Café (conflicted copy 2024-01-01).jpg")),
    ("a (1).jpg", "a (1).sync-conflict-20240101-120000-ABCDEFG.jpg"),
]


def fill(folder: Path, *names: str) -> None:
    """Put the same picture into a folder, by some names."""
    for name in names:
        draw(folder / "drawn.jpg").rename(folder / name)


@pytest.mark.parametrize("name", LEFTOVERS)
def test_a_copy_or_half_file_is_no_item_whatever_it_holds(
    name: str, library: Path, quiet: Open
) -> None:
    fill(library / "New", "IMG_1.jpg", name)
    opened = quiet()
    album = look(opened, "New", user=True)
    assert names(album) == ["IMG_1.jpg"]
    assert not is_there(opened, "New", name, user=True)
    assert len(photos.Upkeep(opened).skipped()[photos.Skipped.COPY]) == 1


@pytest.mark.parametrize("name", LEFTOVERS)
def test_a_copy_is_known_in_any_case_of_letters(name: str) -> None:
    if "private" not in name:
        for form in (name, name.lower(), name.upper(), name.swapcase()):
            assert photos.is_leftover(form), form


def test_a_name_that_only_reminds_of_a_copy_is_an_item(library: Path, quiet: Open) -> None:
    fill(library / "New", *PHOTOS)
    opened = quiet()
    assert set(names(look(opened, "New"))) == set(PHOTOS)
    assert not photos.Upkeep(opened).skipped()[photos.Skipped.COPY]


def test_an_album_may_be_called_like_a_copy(library: Path, quiet: Open) -> None:
    for name in ("Trip.old", "Trip.part", "IMG_1.JPG_original", "Trip.bak", "#Trip#"):
        fill(library / name, "a.jpg")
        assert names(look(quiet(), name)) == ["a.jpg"]


@pytest.mark.parametrize(("original", "copy"), CONFLICTS)
def test_the_copy_of_a_sync_program_is_an_item_where_it_is_all_that_is_left(
    original: str, copy: str, library: Path, quiet: Open
) -> None:
    fill(library / "New", original, copy)
    opened = quiet()
    assert names(look(opened, "New")) == [original]
    assert len(photos.Upkeep(opened).skipped()[photos.Skipped.COPY]) == 1
    (library / "New" / original).unlink()
    assert names(look(opened, "New")) == [copy]


def test_check_counts_copies(
    library: Path, quiet: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(library / "New", "IMG_1.jpg", *LEFTOVERS[:17])
    photos.print_problems(photos.Upkeep(quiet()), "photos index")
    expected = "17 copies and half files of other programs are not shown."
    assert expected in capsys.readouterr().out


def test_what_a_camera_makes_of_its_films_for_its_own_screen_is_no_item(
    library: Path, quiet: Open
) -> None:
    fill(library / "New", "DJI_1.jpg", "DJI_1.SCR", "GX1.THM", "DJI_1.LRF", "GL1.LRV")
    opened = quiet()
    assert names(look(opened, "New")) == ["DJI_1.jpg"]
    assert len(photos.Upkeep(opened).skipped()[photos.Skipped.SIDECAR]) == 4


def test_check_counts_texts_and_sidecars_but_not_our_own(
    library: Path, quiet: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("album.txt", "photos.pyz", "loose.jpg.xmp", "notes.TXT", "Thumbs.db"):
        (library / name).write_text("Our trip")
    photos.print_problems(photos.Upkeep(quiet()), "photos index")
    assert capsys.readouterr().out == "3 texts, sidecars and system files are not shown.\n"
