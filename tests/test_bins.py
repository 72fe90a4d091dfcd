"""Bins and snapshots that are no albums, and album.txt as any editor writes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from drawing import draw, exif
from looking import Open, names

import photos

FAULTS = Path(__file__).resolve().parent.parent.parent / "shared" / "faults"
OWNER = photos.Principal("olga", is_owner=True)
# Of Synology, QNAP, Windows, macOS, Android, Samba, Nextcloud and file systems.
BINS = [
    *("#recycle", "#snapshot", "@eaDir", "@Recycle", "@Recently-Snapshot", "eaDir_tmp"),
    *("$RECYCLE.BIN", "RECYCLER", "RECYCLED", "System Volume Information", "FOUND.000"),
    *("__MACOSX", ".Trashes", ".Trash-1000", "Network Trash Folder", "Temporary Items"),
    *("lost+found", "LOST.DIR", "~snapshot", ".snapshot", ".zfs", "files_trashbin"),
    *(
        "Photos Library.photoslibrary",
        "Old.aplibrary",
        "Catalog Previews.lrdata",
        ".thumbnails",
    ),
    *("My Lightroom.lrlibrary", "Trip.imovielibrary", "Studio.cocatalog", "Cut.fcpbundle"),
    *("Backups.backupdb", "FileHistory", "_gsdata_", "[Originals]", "Recently Deleted"),
    "THMBNL",
]


def faults(name: str) -> Path:
    """Return a folder of files that were found to go wrong; without it the test is skipped."""
    path = FAULTS / name
    if not path.is_dir():
        pytest.skip(f"no such files at {path}")
    return path


def look(
    library: photos.Library, *address: str, who: photos.Principal = OWNER
) -> photos.Album:
    """Return an album as somebody finds it, by default the owner."""
    place = library.folders.locate(address, who)
    assert place is not None
    return library.album(place, who)


def swap(name: str) -> str:
    return name.swapcase()


@pytest.mark.parametrize("case", [str, str.lower, str.upper, swap])
@pytest.mark.parametrize("depth", [(), ("Trip",), ("Trip", "2024", "Day 1")])
def test_bins_and_snapshots_are_no_albums_at_any_depth(
    case: Callable[[str], str], depth: tuple[str, ...], tmp_path: Path, quiet: Open
) -> None:
    source = faults("f04-nas-bins")
    folder = tmp_path.joinpath("Bins", *depth)
    folder.mkdir(parents=True)
    bins = [path for path in source.iterdir() if path.is_dir()]
    assert len(bins) >= 15
    for path in bins:
        shutil.copytree(path, folder / case(path.name))
    shutil.copy(source / "IMG_1.jpg", folder)
    library = quiet(tmp_path / "Bins")
    album = look(library)
    assert (album.photos, album.videos) == (1, 0)
    album = look(library, *depth)
    assert names(album) == ["IMG_1.jpg"]
    assert album.albums == ()
    assert not any("DELETED" in path for path in walked_files(library))
    for path in bins:
        below = next(path.rglob("DELETED.jpg")).relative_to(source).parts
        for name in (path.name, case(path.name)):
            assert library.folders.locate((*depth, name), OWNER) is None
            assert library.folders.locate((*depth, name, *below[1:]), OWNER) is None


def walked_files(library: photos.Library) -> list[str]:
    return [name for _, folder in library.folders.walk() for name in folder.files]


@pytest.mark.parametrize("name", BINS)
def test_a_bin_is_ignored_in_any_case_of_letters(name: str) -> None:
    for form in (name, name.lower(), name.upper(), name.swapcase(), name.title()):
        assert photos.is_ignored(form), form


@pytest.mark.parametrize(
    "name",
    [
        *("Recycling 2024", "Snapshots", "#1 summer", "$5 trip", "lost and found", "FOUND"),
        *(
            "found.0001",
            "photoslibrary",
            "My photoslibrary trip",
            "Trip.library",
            "Originals",
            "Trash",
            "~me",
            "_private",
        ),
    ],
)
def test_a_name_that_only_reminds_of_a_bin_is_an_album(name: str) -> None:
    assert not photos.is_ignored(name)


def test_a_link_into_a_bin_is_not_followed(tmp_path: Path, quiet: Open) -> None:
    root = tmp_path / "Bins"
    draw(root / "#snapshot" / "Monday" / "Faces" / "zebra.jpg")
    draw(root / "Trip" / "one.jpg")
    (root / "Monday").symlink_to("#snapshot/Monday")
    (root / "Faces").symlink_to("#snapshot/Monday/Faces")
    (root / "Trip" / "two.jpg").symlink_to("../#snapshot/Monday/Faces/zebra.jpg")
    library = quiet(root)
    assert look(library).photos == 1
    for address in (("Monday",), ("Faces",), ("Faces", "zebra.jpg"), ("Trip", "two.jpg")):
        assert library.folders.locate(address, OWNER) is None


def test_a_snapshot_shows_nothing_of_what_is_private_now(
    tmp_path: Path, quiet: Open
) -> None:
    root = tmp_path / "Bins"
    draw(root / "Faces" / "zebra.jpg")
    shutil.copytree(root / "Faces", root / "#snapshot" / "Monday" / "Faces")
    (root / "Faces").rename(root / "Faces.private")
    library = quiet(root)
    assert look(library, who=photos.VISITOR).photos == 0
    front = library.folders.locate((), photos.VISITOR)
    assert front and list(library.unlisted(front, photos.VISITOR)) == []
    assert look(library).photos == 1


@pytest.mark.parametrize("mark", [".nomedia", ".noimage"])
def test_an_album_that_other_galleries_are_not_to_show_is_not_shown(
    mark: str, tmp_path: Path, quiet: Open
) -> None:
    root = tmp_path / "Phone"
    draw(root / "WhatsApp" / "one.jpg")
    draw(root / "WhatsApp" / "Sent" / "two.jpg")
    draw(root / "WhatsApp" / "Sent" / "More" / "three.jpg")
    library = quiet(root)
    assert look(library).photos == 3
    (root / "WhatsApp" / "Sent" / mark).write_bytes(b"")
    assert look(library).photos == 1
    for address in (("WhatsApp", "Sent", "two.jpg"), ("WhatsApp", "Sent", "More")):
        assert library.folders.locate(address, OWNER) is None
    skipped = photos.Upkeep(library).skipped()
    assert skipped[photos.Skipped.SET_ASIDE] == [mark]
    (root / "WhatsApp" / "Sent" / mark).unlink()
    assert look(library).photos == 3


def test_a_library_is_shown_whatever_galleries_are_told_of_it(
    tmp_path: Path, quiet: Open
) -> None:
    draw(tmp_path / "Phone" / "one.jpg")
    (tmp_path / "Phone" / ".nomedia").write_bytes(b"")
    assert look(quiet(tmp_path / "Phone")).photos == 1


# album.txt


@pytest.mark.parametrize(
    ("encoding", "is_guessed"),
    [("utf8bom", False), ("utf16", False), ("utf16be", False), ("cp1252", True)],
)
def test_album_txt_keeps_its_letters_in_the_encodings_of_windows(
    encoding: str, is_guessed: bool, tmp_path: Path, quiet: Open
) -> None:
    shutil.copytree(faults("f19-album-txt") / encoding, tmp_path / "Mine" / "Ferien")
    library = quiet(tmp_path / "Mine")
    album = look(library, "Ferien")
    assert album.title == "Ferien in Österreich"
    assert album.description == "Schöne Tage."
    assert [item.caption for item in album.items] == ["Über den Gipfeln"]
    problems = photos.Upkeep(library).problems()
    assert [path for path, _ in problems] == ["Ferien/album.txt"] * is_guessed


@pytest.mark.parametrize("encoding", ["gbk", "sjis"])
def test_what_was_guessed_wrongly_is_named_by_check(
    encoding: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "Mine"
    shutil.copytree(faults("f19-album-txt") / encoding, root / "Trip")
    folders = ["--library", os.fspath(root)]
    assert photos.main([*folders, "init"]) == 0
    capsys.readouterr()
    assert photos.main([*folders, "check"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "album.txt" in line]
    assert "Trip/album.txt" in line and "cp1252" in line and "UTF-8" in line


def test_a_title_without_any_letter_beyond_ascii_is_not_guessed(
    tmp_path: Path, quiet: Open
) -> None:
    draw(tmp_path / "Mine" / "Trip" / "one.jpg")
    text = tmp_path / "Mine" / "Trip" / "album.txt"
    for content in (b"Holiday\n", "夏天\n".encode(), b"", b"\xef\xbb\xbf", b"\xff\xfe"):
        text.write_bytes(content)
        os.utime(text.parent)
        assert photos.Upkeep(quiet(tmp_path / "Mine")).problems() == []


@pytest.mark.parametrize(
    "line", ["sort: name", "Sort: Name", "sort:name", " sort :  NAME "]
)
def test_sort_name_orders_photos_by_their_names(
    line: str, tmp_path: Path, quiet: Open
) -> None:
    root = tmp_path / "Mine"
    for name, year in (("IMG_10", 2020), ("IMG_2", 2022), ("IMG_1", 2024)):
        draw(root / "Trip" / f"{name}.jpg", exif=exif(f"{year}:01:01 12:00:00"))
    by_date = ["IMG_10.jpg", "IMG_2.jpg", "IMG_1.jpg"]
    assert names(look(quiet(root), "Trip")) == by_date
    for content in (f"Our trip\n{line}\nWords.\n", f"{line}\nOur trip\n"):
        (root / "Trip" / "album.txt").write_text(content)
        album = look(quiet(root), "Trip")
        assert names(album) == by_date[::-1]
        assert (str(album.first)[:4], str(album.last)[:4]) == ("2020", "2024")
        assert "sort" not in f"{album.title} {album.description}".lower()
    (root / "Trip" / "album.txt").write_text("Our trip\nsort: date\n")
    assert names(look(quiet(root), "Trip")) == by_date


def test_cover_names_the_photo_that_stands_for_the_album(
    tmp_path: Path, quiet: Open
) -> None:
    root = tmp_path / "Mine"
    for name in ("cover", "one", "two"):
        draw(root / "Trip" / f"{name}.jpg")
    draw(root / "Trip" / "faces.jpg.private", format="JPEG")

    def cover(who: photos.Principal = photos.VISITOR) -> str:
        library = quiet(root)
        [trip] = look(library, who=who).albums
        assert trip.cover is not None
        assert look(library, "Trip", who=who).cover == trip.cover
        return trip.cover.file.name

    text = root / "Trip" / "album.txt"
    assert cover() == "cover.jpg"
    text.write_text("Our trip\ncover: two.jpg\n")
    assert cover() == "two.jpg"
    for value in ("three.jpg", "", "../../etc/passwd", "Trip"):
        text.write_text(f"Our trip\ncover: {value}\n")
        assert cover() == "cover.jpg"
    # Only who may find it gets it.
    text.write_text("Our trip\ncover: faces.jpg.private\n")
    assert (cover(), cover(OWNER)) == ("cover.jpg", "faces.jpg.private")


def test_a_photo_whose_name_is_a_word_of_album_txt_keeps_its_caption(
    tmp_path: Path, quiet: Open
) -> None:
    root = tmp_path / "Mine"
    draw(root / "Trip" / "one.jpg")
    (root / "Trip" / "album.txt").write_text(
        "Our trip\none.jpg: cover: me\nsort: by hand\n"
    )
    album = look(quiet(root), "Trip")
    assert [item.caption for item in album.items] == ["cover: me"]
    assert album.description == "sort: by hand"
