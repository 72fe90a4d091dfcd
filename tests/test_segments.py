"""What stands before a JPEG's pixels: our own reader tells the same as Pillow, whatever there is."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from drawing import exif
from making import encode, icc_profile, quarters, segment, with_segments, xmp_packet

import renditions
from renditions import Info, Purpose

EXIF = segment(0xE1, exif())
XMP = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(6))
FRAME = segment(0xC0, b"\x08\0\x10\0\x20\x03\x01\x22\0\x02\x11\x01\x03\x11\x01")


def icc(number: int = 1, count: int = 1) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes((number, count)) + icc_profile())


def jpeg(mode: str = "RGB", *segments: bytes, **save: object) -> bytes:
    return with_segments(encode(quarters(mode), "JPEG", **save), *segments)


def before(marker: int, content: bytes) -> bytes:
    """Return a JPEG with something before its first segment of a kind."""
    plain = jpeg("RGB", EXIF)
    at = plain.index(bytes((0xFF, marker)))
    return plain[:at] + content + plain[at:]


SEVERAL = encode(
    quarters(), "MPO", save_all=True, append_images=[quarters()], comment=b"plain pixels"
)
PLAIN = {
    "as cameras write it": jpeg("RGB", EXIF, XMP, icc()),
    "grey": jpeg("L", EXIF),
    "progressive": jpeg("RGB", EXIF, progressive=True),
    "with a comment": jpeg("RGB", segment(0xFE, b"of a scanner"), EXIF),
    "with what others write": jpeg("RGB", segment(0xE4, b"anything"), EXIF),
    "with Adobe's mark": jpeg("RGB", segment(0xEE, b"Adobe\0\x64" + bytes(5)), EXIF),
    "an index that makes no sense": jpeg("RGB", segment(0xE2, b"MPF\0 M")),
    "several pictures": SEVERAL,
    "with the map of an iPhone": SEVERAL.replace(b"plain pixels", b"HDRGainMap//"),
    "marked for its brightness": jpeg("RGB", segment(0xE2, renditions.GAIN_MAP_MARK)),
}
ODD = {
    "four colours": jpeg("CMYK", EXIF),
    "EXIF twice": jpeg("RGB", EXIF, EXIF),
    "XMP twice": jpeg("RGB", XMP, XMP),
    "a profile twice": jpeg("RGB", icc(), icc()),
    "half a profile": jpeg("RGB", icc(1, 2)),
    "a profile in two parts": jpeg("RGB", icc(1, 2), icc(2, 2)),
    "a short profile": jpeg("RGB", segment(0xE2, b"ICC_PROFILE\0")),
    "a short mark": jpeg("RGB", segment(0xEE, b"Adobe")),
    "a short header": jpeg("RGB", segment(0xE0, b"JFIF")),
    "captions": jpeg("RGB", segment(0xED, b"Photoshop 3.0\0" + bytes(8))),
    "a half table": jpeg("RGB", segment(0xDB, bytes(9))),
    "a table of 16 bits": jpeg("RGB", segment(0xDB, b"\x10" + bytes(128))),
    "filled up": before(0xDB, b"\xff\xff"),
    "junk": before(0xDB, b"junk"),
    "a marker alone": before(0xDB, b"\xff\xd0"),
    "an unknown marker": before(0xDB, b"\xff\x02\0\x02"),
    "a length of nothing": before(0xDB, b"\xff\xe3\0\0"),
    "a length of one": before(0xDB, b"\xff\xe3\0\x01"),
    "two frames": before(0xC0, FRAME),
    "a frame without width": jpeg("RGB", FRAME.replace(b"\0\x20", b"\0\0")),
    "a frame of 12 bits": jpeg("RGB", FRAME.replace(b"\x08", b"\x0c", 1)),
    "a frame cut short": jpeg("RGB", segment(0xC0, b"\x08\0\x10\0")),
    "EXIF behind the frame": before(0xC4, EXIF),
    "a profile behind the frame": before(0xC4, icc()),
    "no pixels": jpeg()[:300],
    "no scan": jpeg()[: jpeg().index(b"\xff\xda") + 6],
    "nothing": b"\xff\xd8\xff",
    "another start": b"\0\0" + jpeg()[2:],
    "more than is read at once": jpeg("RGB", *[segment(0xE4, bytes(60000))] * 2, EXIF),
}


def facts(path: Path) -> Info:
    with warnings.catch_warnings(action="ignore"):  # as in a worker
        return renditions.develop(os.fspath(path), Purpose.FACTS, path.parent / "cache")


@pytest.mark.parametrize("content", [*PLAIN.values(), *ODD.values()], ids=[*PLAIN, *ODD])
def test_a_jpeg_tells_what_it_tells_pillow(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    told = facts(path)
    monkeypatch.setattr(renditions, "read_header", lambda jpeg: None)
    assert told == facts(path)


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_a_plain_jpeg_is_read_without_pillow(content: bytes) -> None:
    header = renditions.read_header(content)
    assert header and header.size == quarters().size


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_an_odd_jpeg_is_left_to_pillow(content: bytes) -> None:
    assert renditions.read_header(content[: renditions.HEAD_BYTES]) is None


@pytest.mark.parametrize("name", ["several pictures", "with the map of an iPhone"])
def test_a_second_picture_may_be_the_map_of_what_is_brighter(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(PLAIN[name])
    assert facts(path).hdr == (name == "with the map of an iPhone")
