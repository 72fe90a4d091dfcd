"""A live photo is a photo and a film of one moment; what only looks like one is two items."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from drawing import draw, exif
from looking import Open, look, names, read
from PIL import Image
from test_bins import faults
from visiting import Client, Page

import photos
import renditions

TAKEN = "2024:08:15 10:00:00"
CREATED = "2024-08-15T08:00:03"
ID, OTHER_ID = (
    "9B539AB8-A668-4FA6-9207-EB653A5E7E3C",
    "00000000-A668-4FA6-9207-EB653A5E7E3C",
)
EPOCH_1904 = 2_082_844_800  # seconds before that of Unix


def atom(kind: bytes, *content: bytes) -> bytes:
    joined = b"".join(content)
    return struct.pack(">I4s", 8 + len(joined), kind) + joined


def film(seconds: float = 3, created: str = CREATED, content_id: str = "") -> bytes:
    """Return the beginning of a film: what tells its length, its date and its identifier."""
    moment = 0
    if created:
        moment = int(dt.datetime.fromisoformat(f"{created}+00:00").timestamp()) + EPOCH_1904
    header = struct.pack(">4xIIII80x", moment, moment, 600, round(600 * seconds))
    meta = b""
    if content_id:
        keys = atom(b"mdta", renditions.CONTENT_ID.encode())
        data = atom(b"data", struct.pack(">II", 1, 0), content_id.encode())
        meta = atom(
            b"meta",
            atom(b"hdlr", bytes(24)),
            atom(b"keys", struct.pack(">II", 0, 1), keys),
            atom(b"ilst", atom(struct.pack(">I", 1), data)),
        )
    start = atom(b"ftyp", b"qt  ", bytes(4), b"qt  ")
    return start + atom(b"mdat", bytes(99)) + atom(b"moov", atom(b"mvhd", header), meta)


def apple_exif(date: str = TAKEN, content_id: str = ID, offset: str = "") -> bytes:
    """Return an EXIF block with Apple's maker note."""
    entry = struct.pack(">HHII", 0x0011, 2, len(content_id) + 1, 14 + 2 + 12 + 4)
    note = b"Apple iOS\0\0\1MM" + struct.pack(">H", 1) + entry + bytes(4)
    block = Image.Exif()
    details = block.get_ifd(0x8769)
    details[0x9003] = date
    if offset:
        details[0x9011] = offset
    if content_id:
        details[0x927C] = note + content_id.encode() + b"\0"
    return block.tobytes()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have no ffmpeg."""
    monkeypatch.setattr(renditions.shutil, "which", lambda name: None)


def put(folder: Path, photo: str, video: str, content: bytes, block: bytes = b"") -> None:
    """Put a photo and a film into a folder."""
    draw(folder / "drawn.jpg", exif=block or exif(TAKEN)).rename(folder / photo)
    (folder / video).write_bytes(content)


PAIRS = [
    ("IMG_1.HEIC", "IMG_1.MOV"),
    ("IMG_1.jpg", "img_1.mov"),
    ("IMG_1.HEIC", "IMG_1_HEVC.MOV"),
    ("IMG_1.HEIC", "IMG_1.HEIC.MOV"),
    ("IMG_E1.HEIC", "IMG_E1.MOV"),
    ("IMG_E1.HEIC", "IMG_1.MOV"),
    ("IMG_1.JPG", "IMG_1.MP4"),
    ("IMG_1(1).HEIC", "IMG_1(1).MP4"),
    ("IMG_1(1).HEIC", "IMG_1.HEIC(1).MP4"),
    ("IMG_1-edited.jpg", "IMG_1.mp4"),
    ("IMG_1-bewerkt.jpg", "IMG_1.mp4"),
    ("IMG_1-ha editado.jpg", "IMG_1.mp4"),
    ("IMG_1-bearbeitet(1).jpg", "IMG_1(1).mp4"),
    ("PXL_1.MP.jpg", "PXL_1.MP"),
    ("PXL_1.MP.jpg", "PXL_1.MP.mp4"),
    ("PXL_1.jpg", "PXL_1.MP"),
    ("PXL_1.MP~2.jpg", "PXL_1.MP~2"),
    ("PXL_1.RAW-01.MP.COVER.jpg", "PXL_1.mp4"),
    ("20240815_100000.jpg", "20240815_100000.mp4"),
    ("IMG_1.private.HEIC", "IMG_1.private.MOV"),
    ("IMG_1.HEIC.private", "IMG_1.private.MOV"),
    ("IMG_1.private.HEIC", "IMG_1.MOV"),
]
STRANGERS = [
    ("IMG_1.HEIC", "IMG_2.MOV"),
    ("IMG_1.HEIC", "IMG_1.private.MOV"),
    ("IMG_1(1).HEIC", "IMG_1(2).MP4"),
    ("IMG_1.HEIC", "IMG_1(1).MP4"),
    ("IMG_1.jpg", "IMG_1.webm"),
    ("IMG_1_HEVC.HEIC", "IMG_1.MOV"),
    ("PXL_1.MP.jpg", "PXL_1.MP~2"),
    ("IMG-20240815-WA0001.jpg", "IMG.mp4"),
    ("cake-anna.jpg", "cake.mp4"),
]


@pytest.mark.whole
@pytest.mark.parametrize(("photo", "video"), PAIRS)
@pytest.mark.parametrize("is_read", [False, True])
def test_a_photo_and_its_film_are_one_item(
    photo: str, video: str, is_read: bool, library: Path, open_library: Open, alone: None
) -> None:
    put(library / "New", photo, video, film())
    opened = open_library(workers=0)
    if is_read:
        read(opened)
    album = look(opened, "New", user=True)
    assert names(album) == [photo]
    assert album.items[0].film and album.items[0].film.name == video
    assert (album.photos, album.videos) == (1, 0)


@pytest.mark.parametrize(("photo", "video"), STRANGERS)
def test_a_film_of_another_name_is_an_item(
    photo: str, video: str, library: Path, quiet: Open, alone: None
) -> None:
    put(library / "New", photo, video, film())
    album = look(quiet(), "New", user=True)
    assert sorted(names(album)) == sorted([photo, video])
    assert [item.film for item in album.items] == [None, None]


def test_a_film_belongs_to_the_photo_rather_than_to_what_was_made_of_it(
    library: Path, quiet: Open, alone: None
) -> None:
    for photo in ("IMG_1-edited.jpg", "IMG_1.jpg", "IMG_E2.HEIC", "IMG_2.HEIC"):
        put(library / "New", photo, "IMG_1.mp4", film())
        (library / "New" / "IMG_2.MOV").write_bytes(film())
    album = look(quiet(), "New")
    films = {item.file.name: item.film and item.film.name for item in album.items}
    assert films == {
        "IMG_1-edited.jpg": None,
        "IMG_1.jpg": "IMG_1.mp4",
        "IMG_E2.HEIC": None,
        "IMG_2.HEIC": "IMG_2.MOV",
    }


@pytest.mark.parametrize(
    ("content", "block", "pair"),
    [
        (film(5.5), exif(TAKEN), True),
        (film(20), exif(TAKEN), False),
        (film(7), exif(TAKEN), False),
        (film(0), exif(TAKEN), False),
        (film(3, "2019-01-01T08:00:00"), exif(TAKEN), False),
        (film(3, "2024-08-14T08:00:00"), exif(TAKEN), False),
        (film(3, "2024-08-15T08:05:00"), exif(TAKEN), False),
        (film(3, "2024-08-15T13:45:02"), exif(TAKEN, "-03:45"), True),
        (film(3, "2024-08-15T08:00:00"), exif(TAKEN, "+01:00"), False),
        (film(3, ""), exif(TAKEN), True),
        (film(3), b"", True),
        # Apple's identifier says more than length and date.
        (film(20, "2019-01-01T08:00:00", ID), apple_exif(), True),
        (film(3, "2019-01-01T08:00:00", ID), apple_exif(), True),
        (film(3, CREATED, ID), apple_exif(content_id=OTHER_ID), False),
        (film(3, CREATED, ID), apple_exif(content_id=""), True),
        (film(20, CREATED, ID), apple_exif(content_id=""), False),
        (b"no film", exif(TAKEN), False),
    ],
)
def test_a_pair_is_short_and_of_one_moment_or_of_one_identifier(
    content: bytes, block: bytes, pair: bool, library: Path, quiet: Open, alone: None
) -> None:
    folder = library / "New"
    put(folder, "IMG_1.JPG", "IMG_1.MOV", content, block)
    if not block:
        draw(folder / "drawn.jpg").rename(folder / "IMG_1.JPG")
    library_read = quiet()
    album = look(library_read, "New")
    assert sorted(names(album)) == (["IMG_1.JPG"] if pair else ["IMG_1.JPG", "IMG_1.MOV"])
    assert [bool(item.film) for item in album.items if item.kind == "photo"] == [pair]
    place = library_read.folders.locate(("New", "IMG_1.JPG"), photos.VISITOR)
    assert place is not None
    item = library_read.item(place)
    assert item and bool(item.film) == pair
    around = library_read.album_around(place, photos.VISITOR)
    assert around and len(around.items) == (1 if pair else 2)


def test_a_film_may_belong_to_the_second_photo_of_its_name(
    library: Path, quiet: Open, alone: None
) -> None:
    put(
        library / "New",
        "IMG_1.HEIC",
        "IMG_1.MOV",
        film(3, content_id=ID),
        apple_exif(content_id=OTHER_ID),
    )
    put(library / "New", "IMG_1.JPG", "IMG_1.MOV", film(3, content_id=ID), apple_exif())
    album = look(quiet(), "New")
    films = {item.file.name: item.film and item.film.name for item in album.items}
    assert films == {"IMG_1.HEIC": None, "IMG_1.JPG": "IMG_1.MOV"}


def test_what_is_no_photo_has_no_film(library: Path, quiet: Open, alone: None) -> None:
    (library / "New").mkdir()
    for name in ("IMG_1.JPG", "IMG_1.MOV"):
        (library / "New" / name).write_bytes(film())
    assert len(names(look(quiet(), "New"))) == 2


# What a hostile film tells


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_half_a_film_tells_what_it_holds_and_raises_nothing(
    cut: int, tmp_path: Path
) -> None:
    (tmp_path / "a.mov").write_bytes(film(content_id=ID)[:cut])
    duration, tags = renditions.read_film_header(os.fspath(tmp_path / "a.mov"))
    assert duration in (0, 3)
    assert len(tags) < 3


@pytest.mark.whole
@pytest.mark.parametrize(
    "content",
    [
        atom(b"free") * 100_000,
        struct.pack(">I4s", 0, b"moov") * 1000,
        struct.pack(">I4sQ", 1, b"moov", 1 << 63),
        struct.pack(">I4sQ", 1, b"moov", 0),
        atom(b"moov", *[atom(b"meta", bytes(8))] * 1000),
        atom(b"moov", atom(b"mvhd", b"\xff" * 40)),
        atom(b"moov", atom(b"mvhd", b"\1" + b"\xff" * 40)),
        atom(b"moov", atom(b"mvhd", b"\1")),
        atom(b"moov", atom(b"meta", atom(b"hdlr"), atom(b"keys"), atom(b"ilst"))),
        atom(
            b"moov",
            atom(
                b"meta", atom(b"keys", bytes(8)), atom(b"ilst", atom(b"\xff\xff\xff\xff"))
            ),
        ),
    ],
)
def test_a_film_that_makes_no_sense_costs_itself(
    content: bytes, tmp_path: Path, alone: None
) -> None:
    path = tmp_path / "a.mov"
    path.write_bytes(atom(b"ftyp", b"qt  ", bytes(4)) + content)
    info = renditions.develop(os.fspath(path), renditions.Purpose.FACTS, tmp_path)
    assert info.kind == "video"
    assert info.duration == 0


@pytest.mark.parametrize("cut", range(0, 80, 3))
def test_half_a_maker_note_tells_nothing_and_raises_nothing(
    cut: int, tmp_path: Path
) -> None:
    entry = struct.pack(">HHII", 0x0011, 2, 37, 32)
    note = b"Apple iOS\0\0\1MM" + struct.pack(">H", 60000) + entry
    block = Image.Exif()
    block.get_ifd(0x8769)[0x927C] = note[:cut]
    path = draw(tmp_path / "a.jpg", exif=block.tobytes())
    info = renditions.develop(os.fspath(path), renditions.Purpose.FACTS, tmp_path)
    assert (info.problem, info.content_id) == ("", "")


# With real files


def test_films_of_another_length_or_day_are_items(
    ffmpeg: str, tmp_path: Path, quiet: Open
) -> None:
    shutil.copytree(faults("f14-live-mismatch"), tmp_path / "Mine" / "New")
    album = look(quiet(tmp_path / "Mine"), "New")
    assert (album.photos, album.videos) == (2, 2)
    assert [item.film for item in album.items] == [None] * 4


@pytest.mark.parametrize("has_ffmpeg", [True, False])
def test_a_real_live_photo_is_one_item(
    has_ffmpeg: bool,
    samples: Path,
    tmp_path: Path,
    quiet: Open,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue("ffmpeg" if has_ffmpeg else "alone")
    shutil.copytree(samples / "live", tmp_path / "Mine" / "New")
    album = look(quiet(tmp_path / "Mine"), "New")
    films = {item.file.name: item.film for item in album.items}
    assert films["IMG_7943.HEIC"] is not None
    assert "IMG_7943_HEVC.MOV" not in films


@pytest.mark.whole
def test_all_pages_agree_on_what_is_a_pair(
    ffmpeg: str, library: Path, visitor: Client, patient: None
) -> None:
    for name, seconds in (("one.mp4", 1), ("two.mp4", 20)):
        source = ["-f", "lavfi", "-i", f"testsrc=duration={seconds}:size=64x48:rate=5"]
        command = [ffmpeg, "-v", "error", *source, "-pix_fmt", "yuv420p"]
        subprocess.run([*command, os.fspath(library / "Trip" / name)], check=True)
    items = {i["name"]: i for i in json.loads(visitor.get("/api/album/Trip").body)["items"]}
    assert items.keys() == {"one.jpg", "two.jpg", "two.mp4"}
    assert "live" in items["one.jpg"] and "live" not in items["two.jpg"]
    grid = Page(visitor.get("/album/Trip/").text).items
    assert grid == [items[name]["url"] for name in items]
    assert items["one.jpg"]["live"] in visitor.get("/album/Trip/one.jpg").text
    assert "two.mp4" in visitor.get("/album/Trip/two.jpg").text  # the item beside
