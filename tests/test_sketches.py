"""Sketches: the few colours that stand for a photo from its embedded thumbnail on."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import struct
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from looking import Open, read
from making import encode, quarters
from PIL import Image, ImageOps
from visiting import Client

import photos
import renditions
from renditions import Purpose

SIZE = (60, 40)


def with_thumbnail(thumbnail: bytes, orientation: int = 1, length: int = -1) -> bytes:
    """Return an EXIF block that holds a thumbnail, as cameras write it."""
    if length < 0:
        length = len(thumbnail)
    first = struct.pack("<H HHII I", 1, 0x0112, 3, 1, orientation, 26)
    second = struct.pack("<H HHII HHII I", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, length, 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + first + second + thumbnail


def make(path: Path, image: Image.Image, exif: bytes) -> Path:
    """Save a photo as a camera does, whose pixels lie as its sensor saw them."""
    image.save(path, exif=exif, quality=95)
    return path


def sketch(path: Path, purpose: Purpose) -> str:
    return renditions.develop(os.fspath(path), purpose, path.parent / "cache").sketch


def differs(one: str, other: str) -> int:
    """Return by how much two sketches differ where they differ most; 15 is the most."""
    pairs = zip(one, other, strict=True)
    return max(abs(int(a, 16) - int(b, 16)) for a, b in pairs)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_sketch_of_the_embedded_thumbnail_is_that_of_the_photo(
    tmp_path: Path, orientation: int
) -> None:
    photo = quarters(size=SIZE)
    thumbnail = encode(photo.resize((160, 106)), "JPEG")
    path = make(tmp_path / "a.jpg", photo, with_thumbnail(thumbnail, orientation))
    early = sketch(path, Purpose.FACTS)
    assert len(early) == 18
    assert differs(early, sketch(path, Purpose.THUMBNAILS)) <= 1


@pytest.mark.parametrize("size", [(90, 30), (60, 90)])
def test_black_bars_of_a_thumbnail_are_no_part_of_the_sketch(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    photo = Image.new("RGB", size, "#ffcc99")
    thumbnail = encode(ImageOps.pad(photo, (160, 120), color="black"), "JPEG")
    path = make(tmp_path / "a.jpg", photo, with_thumbnail(thumbnail))
    assert differs(sketch(path, Purpose.FACTS), "fc9" * 6) <= 1


@pytest.mark.parametrize("size", [(160, 120), (320, 213), (1000, 40), (12, 9)])
@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"progressive": True}], ids=str
)
def test_a_thumbnail_has_the_same_colours_when_pillow_opens_it(
    tmp_path: Path,
    size: tuple[int, int],
    options: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thumbnail = encode(quarters(size=size), "JPEG", **options)
    path = make(tmp_path / "a.jpg", quarters(size=SIZE), with_thumbnail(thumbnail))
    colours = sketch(path, Purpose.FACTS)
    monkeypatch.setattr(renditions, "read_header", lambda jpeg: None)
    assert colours and sketch(path, Purpose.FACTS) == colours


@pytest.mark.parametrize(
    ("thumbnail", "length"),
    [
        (b"", 0),
        (b"no picture", -1),
        (b"no picture", 2**32 - 1),
        (encode(quarters(), "PNG"), -1),
        (encode(quarters(), "JPEG")[:200], -1),
        (encode(Image.new("RGB", (1025, 8)), "JPEG"), -1),
    ],
)
def test_a_bad_thumbnail_costs_the_sketch_alone(
    tmp_path: Path, thumbnail: bytes, length: int
) -> None:
    exif = with_thumbnail(thumbnail, 6, length)
    path = make(tmp_path / "a.jpg", quarters(size=SIZE), exif)
    info = renditions.develop(os.fspath(path), Purpose.FACTS, tmp_path)
    assert (info.sketch, info.tone, info.problem) == ("", "", "")
    assert (info.width, info.height) == (40, 60)


def test_a_copy_has_the_colours_of_the_thumbnail_that_was_made_of_the_first_one(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "a.jpg", quarters(size=SIZE), b"")
    cache = tmp_path / "cache"
    made = renditions.develop(os.fspath(path), Purpose.ALL, cache)
    copy = shutil.copy2(path, tmp_path / "b.jpg")
    # Nobody asks for renditions of the copy, which are there already.
    info = renditions.develop(os.fspath(copy), Purpose.FACTS, cache)
    assert (info.key, bool(info.colour)) == (made.key, True)
    assert differs(info.sketch, made.sketch) <= 1


def test_the_tone_is_the_mean_of_the_sketch_until_the_picture_is_there() -> None:
    info = renditions.Info(sketch="f00f00f00000000000")
    assert info.tone == "#7f0000"
    assert renditions.Info(sketch="fff" * 6).tone == "#ffffff"
    assert renditions.Info(sketch="fff" * 6, colour="#123456").tone == "#123456"
    assert renditions.Info().tone == ""


@pytest.mark.parametrize("sketch", ["ff", "f" * 17, "F" * 18, "g" * 18, "f" * 19, 5])
def test_a_sketch_that_makes_no_sense_is_not_read(sketch: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        renditions.info_from({"sketch": sketch})


def soft_contents(page: str) -> list[str]:
    """Return the pictures that stand in a page itself, in base64."""
    return re.findall('<image [^>]*href="data:image/bmp;base64,([^"]+)"', page)


def soft_pictures(page: str) -> list[Image.Image]:
    contents = soft_contents(page)
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in contents]


def test_a_photo_that_is_only_read_shows_its_colours(
    library: Path, open_library: Open, site: photos.Site, visitor: Client
) -> None:
    photo = quarters(size=SIZE)
    exif = with_thumbnail(encode(photo, "JPEG"))
    path = make(library / "Trip" / "tinted.jpg", photo, exif)
    read(site._library)
    (shown,) = soft_pictures(visitor.get("/album/Trip/").text)
    assert differs(renditions.sketch_of(shown), sketch(path, Purpose.FACTS)) == 0


def test_the_first_page_after_a_restart_has_colours_without_a_file_read(
    library: Path,
    site: photos.Site,
    make_site: Callable[..., photos.Site],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exif = with_thumbnail(encode(quarters(), "JPEG"))
    make(library / "Trip" / "tinted.jpg", quarters(size=SIZE), exif)
    read(site._library)
    page = Client(site).get("/album/Trip/").text
    monkeypatch.setattr(photos.Library, "_submit", lambda *_: Future())
    monkeypatch.setattr(photos, "READ_PATIENCE", 0)
    assert len(soft_pictures(page)) == 1
    assert soft_contents(Client(make_site()).get("/album/Trip/").text) == soft_contents(
        page
    )


@pytest.mark.parametrize("colours", ["000fff888f000f000f", "123456789abcdef012"])
def test_a_soft_picture_has_the_colours_of_its_sketch_in_their_places(colours: str) -> None:
    (shown,) = soft_pictures(f'<image href="{photos.soft_picture(colours)}"/>')
    assert (shown.format, shown.size) == ("BMP", (3, 2))
    assert renditions.sketch_of(shown) == colours


@pytest.mark.whole
def test_a_preview_made_after_the_thumbnails_is_the_same_and_leaves_them(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "a.jpg", quarters(size=(2400, 1600)), b"")
    once = renditions.develop(os.fspath(path), Purpose.ALL, tmp_path / "once")
    first = renditions.develop(os.fspath(path), Purpose.THUMBNAILS, tmp_path / "twice")
    thumbnail = renditions.rendition_path(tmp_path / "twice", first.key, "320")
    before = thumbnail.stat()
    second = renditions.develop(os.fspath(path), Purpose.ALL, tmp_path / "twice")
    assert thumbnail.stat() == before
    assert max(differs(info.sketch, once.sketch) for info in (first, second)) <= 1
    previews = [
        renditions.rendition_path(tmp_path / folder, once.key, "preview").read_bytes()
        for folder in ("once", "twice")
    ]
    assert previews[0] == previews[1]
