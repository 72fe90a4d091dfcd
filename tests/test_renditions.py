"""Renditions: what a file is, when it was taken, what its metadata tell, and how it is shown.

The slow part is `TestRealFiles`, every file of the manifest; `-k "not RealFiles"` leaves it out.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy
import pytest
from conftest import SAMPLES, manifest, needed
from drawing import draw, exif
from looking import USER, place_at
from making import STORED
from PIL import (
    Image,
    ImageChops,
    ImageCms,
    ImageFile,
    ImageStat,
    PngImagePlugin,
    UnidentifiedImageError,
)
from PIL.TiffImagePlugin import IFDRational
from visiting import Client

import photos
import renditions
from renditions import Purpose

HAS_FFMPEG = bool(shutil.which("ffmpeg") and shutil.which("ffprobe"))


@dataclasses.dataclass
class Developed:
    """What came of a file: its Info, and the renditions that were made."""

    info: renditions.Info
    files: dict[str, Path]

    def __getitem__(self, name: str) -> Image.Image:
        with Image.open(self.files[name]) as image:
            return image.convert("RGB")

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        return {name: self[name].size for name in self.files}


def developed(cache: Path, info: renditions.Info) -> Developed:
    paths = (cache / renditions.RENDITIONS_FOLDER).glob(f"??/{info.key}-*.webp")
    return Developed(info, {path.stem.partition("-")[2]: path for path in sorted(paths)})


@pytest.fixture
def develop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Developed]:
    """Develops a file in this process, with Pillow set up as workers do."""
    Image.init()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)

    def develop_it(path: Path, purpose: Purpose = Purpose.ALL) -> Developed:
        cache = tmp_path / f"cache {purpose}"
        return developed(cache, renditions.develop(os.fspath(path), purpose, cache))

    return develop_it


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[photos.Worker]:
    """A worker process, so that no other test finds pillow_heif loaded."""
    worker = photos.Worker(tmp_path / "cache")
    yield worker
    worker.end()


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute difference of two pictures, shrunk to 16 x 16; 255 is the most."""
    small = [
        each.convert("RGB").resize((16, 16), Image.Resampling.BOX) for each in (one, other)
    ]
    return sum(ImageStat.Stat(ImageChops.difference(*small)).mean) / 3


def is_near(colour: str, wanted: str, most: int = 6) -> bool:
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(wanted[1:]), strict=True)
    return all(abs(one - other) <= most for one, other in pairs)


# Formats


@pytest.mark.whole
@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "mov"),
        (b"\0\0\0\x18ftypqt  \0\0\0\0qt  ", "mov"),
        (b"\0\0\0\x18ftypM4V \0\0\0\0M4V ", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\0\0\x10\0moov\0\0\0lmvhd", "mov"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "avif"),
        (b"\0\0\0\x18ftypavis\0\0\0\0avismsf1", "avif"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "webm"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska", ""),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A ", ""),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", ""),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", ""),
        (b"", ""),
    ],
)
def test_the_first_bytes_tell_the_container(head: bytes, container: str) -> None:
    assert renditions.container_of(head) == container


@pytest.mark.parametrize("name", ["same", "photo.jpg", "photo.png", "no suffix"])
@pytest.mark.parametrize(
    ("suffix", "media_type", "browser_shows"),
    [
        ("jpg", "image/jpeg", True),
        ("png", "image/png", True),
        ("webp", "image/webp", True),
        ("gif", "image/gif", True),
        ("avif", "image/avif", True),
        ("bmp", "image/bmp", True),
        ("tif", "image/tiff", False),
    ],
)
def test_a_file_is_what_its_content_says(
    suffix: str,
    media_type: str,
    browser_shows: bool,
    name: str,
    tmp_path: Path,
    develop: Any,
) -> None:
    path = draw(tmp_path / f"drawn.{suffix}", size=(60, 40))
    path = path if name == "same" else path.rename(tmp_path / name)
    done = develop(path)
    info = done.info
    assert (info.kind, info.media_type, info.width, info.height) == (
        "photo",
        media_type,
        60,
        40,
    )
    assert info.browser_shows == browser_shows
    assert not info.problem
    with Image.open(path) as original:
        assert difference(done["preview"], original) < 6


@pytest.mark.parametrize(
    ("suffix", "kind"), [("gif", "GIF"), ("webp", "WEBP"), ("png", "PNG")]
)
def test_an_animation_is_known_as_one(
    suffix: str, kind: str, tmp_path: Path, develop: Any
) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(
        tmp_path / f"a.{suffix}",
        kind,
        save_all=True,
        append_images=frames[1:],
        lossless=True,
    )
    done = develop(tmp_path / f"a.{suffix}")
    assert done.info.animated
    assert is_near(done.info.colour, "#ff0000"), "the first frame stands for it"


def test_a_photo_with_a_second_picture_inside_is_no_animation(
    tmp_path: Path, develop: Any
) -> None:
    first, second = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "gain map.jpg", "MPO", save_all=True, append_images=[second])
    info = develop(tmp_path / "gain map.jpg").info
    assert (info.media_type, info.animated) == ("image/jpeg", False)
    assert is_near(info.colour, "#fe0000")


def test_the_key_changes_with_the_content_and_not_with_the_name(
    tmp_path: Path, develop: Any
) -> None:
    path = draw(tmp_path / "one.jpg")
    key = develop(path).info.key
    path = path.rename(tmp_path / "two.jpg")
    assert develop(path).info.key == key
    at, content = path.stat().st_mtime_ns, path.read_bytes()
    for changed, mtime in ((content[:-9] + b"x" + content[-8:], at), (content, at + 1)):
        path.write_bytes(changed)
        os.utime(path, ns=(at, mtime))
        assert develop(path).info.key != key
    assert re.fullmatch("[0-9a-f]{24}", key)


@pytest.mark.parametrize("suffix", ["bmp", "tif", "png"])
def test_two_scans_that_differ_in_the_middle_alone_have_keys_of_their_own(
    suffix: str, tmp_path: Path, develop: Any
) -> None:
    keys = set()
    for number in range(2):
        image = Image.new("RGB", (400, 400), "white")
        image.paste((255 * number, 0, 255 - 255 * number), (190, 190, 210, 210))
        path = tmp_path / f"{number}.{suffix}"
        image.save(path, **({"compress_level": 0} if suffix == "png" else {}))
        os.utime(path, (10**9, 10**9))
        keys.add(develop(path, Purpose.FACTS).info.key)
    assert len(keys) == 2


def test_of_a_large_file_that_is_no_photo_only_head_and_tail_are_read(
    tmp_path: Path, develop: Any
) -> None:
    keys = set()
    for number in range(2):
        path = tmp_path / f"{number}.iso"
        path.write_bytes(b"x" * 200_000 + bytes([number]) + b"x" * 200_000)
        os.utime(path, (10**9, 10**9))
        keys.add(develop(path, Purpose.FACTS).info.key)
    assert len(keys) == 1
    raw = path.rename(tmp_path / "photo.nef")
    info = develop(raw, Purpose.FACTS).info
    assert (info.kind, info.key) == (renditions.RAW, "")


# Dates


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo", "UTC"])
def test_a_time_that_the_system_has_no_local_time_for_is_utc(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        first, now = -62_135_596_800.0, 1_700_000_000.0
        assert (
            renditions.local_time(first).timestamp() == first
        )  # in America that was still the year 0
        assert renditions.local_time(now).timestamp() == now
        assert (
            renditions.local_time(now).utcoffset()
            == dt.datetime.fromtimestamp(now).astimezone().utcoffset()
        )
    finally:
        monkeypatch.undo()
        time.tzset()


GPS_TIME = {7: (13.0, 15.0, 2.0), 29: "2018:12:31"}


@pytest.mark.parametrize(
    ("tags", "gps", "xmp", "taken"),
    [
        ({0x9003: "2024:05:06 07:08:09"}, {}, b"", "2024-05-06T07:08:09"),
        (
            {0x9003: "2024:05:06 07:08:09", 0x9011: "+05:45"},
            {},
            b"",
            "2024-05-06T07:08:09+05:45",
        ),
        (
            {0x9003: "2024:05:06 07:08:09", 0x9011: "-03:00\0"},
            {},
            b"",
            "2024-05-06T07:08:09-03:00",
        ),
        (
            {0x9003: "2024:05:06 07:08:09", 0x9010: "+02:00"},
            {},
            b"",
            "2024-05-06T07:08:09+02:00",
        ),
        ({0x9003: "2024:05:06 07:08:09", 0x9011: "Paris"}, {}, b"", "2024-05-06T07:08:09"),
        ({0x9003: "2024:05:06 07:08:09.25Z"}, {}, b"", "2024-05-06T07:08:09.250000+00:00"),
        ({0x9003: "2024-05-06T07:08:09"}, {}, b"", "2024-05-06T07:08:09"),
        ({0x9003: "1601:06:06 16:39:33"}, {}, b"", "1601-06-06T16:39:33"),
        (
            {0x9003: "2024:05:06 07:08:09", 0x9004: "2001:01:01 01:01:01"},
            {},
            b"",
            "2024-05-06T07:08:09",
        ),
        (
            {0x9003: "0000:00:00 00:00:00", 0x9004: "2006:01:22 10:32:42"},
            {},
            b"",
            "2006-01-22T10:32:42",
        ),
        (
            {0x9004: "2006:01:22 10:32:42", 0x9011: "+01:00"},
            {},
            b"",
            "2006-01-22T10:32:42+01:00",
        ),
        ({0x9003: "    :  :     :  :  "}, {}, b"", None),
        ({0x9003: "2024:13:40 25:61:61"}, {}, b"", None),
        ({0x9003: 20240506}, {}, b"", None),
        ({0x9003: "2019:01:01 00:15:00"}, GPS_TIME, b"", "2019-01-01T00:15:00+11:00"),
        ({0x9003: "2018:12:31 19:01:00"}, GPS_TIME, b"", "2018-12-31T19:01:00+05:45"),
        (
            {0x9003: "2019:01:01 00:15:00", 0x9011: "+10:00"},
            GPS_TIME,
            b"",
            "2019-01-01T00:15:00+10:00",
        ),
        ({0x9003: "2019:01:01 00:22:00"}, GPS_TIME, b"", "2019-01-01T00:22:00"),
        ({0x9003: "2019:01:03 00:15:00"}, GPS_TIME, b"", "2019-01-03T00:15:00"),
        ({0x9003: "2019:01:01 00:15:00"}, {7: None, 29: "x"}, b"", "2019-01-01T00:15:00"),
        ({}, GPS_TIME, b"", None),
        (
            {},
            {},
            b'<x xmp:CreateDate="2021-03-04T05:06:07+02:00"/>',
            "2021-03-04T05:06:07+02:00",
        ),
        (
            {},
            {},
            b"<photoshop:DateCreated>2021-03-04T05:06:07.5</photoshop:DateCreated>",
            "2021-03-04T05:06:07.500000",
        ),
        ({}, {}, b'<x xmp:ModifyDate="2021-03-04T05:06:07"/>', None),
        ({}, {}, b'<x xmp:CreateDate="in the \xff year of"/>', None),
        (
            {0x9003: "2024:05:06 07:08:09"},
            {},
            b'<x xmp:CreateDate="2021-03-04T05:06:07"/>',
            "2024-05-06T07:08:09",
        ),
    ],
)
def test_the_date_is_the_local_time_that_the_metadata_tell(
    tags: Mapping[int, Any], gps: Mapping[int, Any], xmp: bytes, taken: str | None
) -> None:
    date = renditions.date_taken(tags, gps, xmp)
    assert (date and date.isoformat()) == taken


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("IMG_20240107_110258.jpg", "2024-01-07T11:02:58"),
        ("PXL_20231006_063000139.jpg", "2023-10-06T06:30:00.139000"),
        ("20240107110258.jpg", "2024-01-07T11:02:58"),
        ("2024-01-07 11.02.58.png", "2024-01-07T11:02:58"),
        ("Screenshot_2024-01-07-11-02-58-123_com.app.png", "2024-01-07T11:02:58.123000"),
        ("WhatsApp Image 2024-01-07 at 11.02.58.jpeg", "2024-01-07T11:02:58"),
        ("signal-2024-01-07-110258_002.jpeg", "2024-01-07T11:02:58"),
        ("IMG-20240107-WA0012.jpg", "2024-01-07T00:00:00"),
        ("1999_12_31 party.jpg", "1999-12-31T00:00:00"),
        ("20240230.jpg", None),
        ("20241307_110258.jpg", None),
        ("DSC01234.jpg", None),
        ("1704621778123.jpg", None),
        ("120240107.jpg", None),
        ("2024010799991234.jpg", None),
        ("18991231.jpg", None),
        ("2024-01_07.jpg", None),
    ],
)
def test_a_file_name_may_tell_the_date(name: str, date: str | None) -> None:
    found = renditions.date_in_name(name)
    assert (found and found.isoformat()) == date


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_dates_are_read_from_every_format_that_has_exif(
    suffix: str, tmp_path: Path, develop: Any
) -> None:
    path = draw(tmp_path / f"a.{suffix}", exif=exif("2024:04:14 02:20:31", "+05:45"))
    assert develop(path).info.taken == "2024-04-14T02:20:31+05:45"


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif"])
def test_dates_are_read_from_xmp_where_there_is_no_exif(
    suffix: str, tmp_path: Path, develop: Any
) -> None:
    path = draw(
        tmp_path / f"a.{suffix}", xmp=b'<x xmp:CreateDate="2021-03-04T05:06:07+02:00"/>'
    )
    assert develop(path).info.taken == "2021-03-04T05:06:07+02:00"


def test_dates_are_read_from_the_xmp_of_a_gif(tmp_path: Path, develop: Any) -> None:
    path = draw(tmp_path / "a.gif")
    gif = path.read_bytes()
    at = gif.index(b",", 13)  # the picture, behind the colours
    xmp = b'<x xmp:CreateDate="2021-03-04T05:06:07+02:00"/>'
    end = bytes([1, *range(255, -1, -1), 0])
    path.write_bytes(gif[:at] + b"!\xff\x0bXMP DataXMP" + xmp + end + gif[at:])
    assert develop(path).info.taken == "2021-03-04T05:06:07+02:00"


# Metadata

UNKNOWN = IFDRational(0, 0)


def gps_block(tags: Mapping[int, Any]) -> bytes:
    block = Image.Exif()
    block.get_ifd(0x8825).update(tags)
    return block.tobytes()


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        ({1: "N", 2: (51.0, 30.0, 36.0), 3: "E", 4: (10.0, 0.0, 0.0)}, (51.51, 10.0)),
        ({1: "S", 2: (51.0, 30.0, 36.0), 3: "W", 4: (10.0, 0.0, 0.0)}, (-51.51, -10.0)),
        ({1: "N", 2: (51.0, 30.0, 36.0), 3: "E", 4: (0.0, 0.0, 0.0)}, (51.51, 0.0)),
        ({1: "N", 2: (51.0, 30.0, 36.0)}, (None, None)),
        ({3: "E", 4: (10.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (51.0, 30.0, 36.0), 3: "E", 4: (400.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (91.0, 0.0, 0.0), 3: "E", 4: (10.0, 0.0, 0.0)}, (None, None)),
        ({1: "South", 2: (51.0, 30.0, 36.0), 3: "w", 4: (10.0, 0.0, 0.0)}, (-51.51, -10.0)),
        # what is less than the last part that has a fraction is 0/0, or left out
        (
            {1: "N", 2: (51.0, 30.6, UNKNOWN), 3: "E", 4: (10.0, 0.0, UNKNOWN)},
            (51.51, 10.0),
        ),
        (
            {1: "N", 2: (51.51, UNKNOWN, UNKNOWN), 3: "E", 4: (10.0, UNKNOWN, UNKNOWN)},
            (51.51, 10.0),
        ),
        ({1: "N", 2: (51.0, 30.6), 3: "E", 4: (10.0, 0.0)}, (51.51, 10.0)),
        ({1: "N", 2: 51.51, 3: "E", 4: 10.0}, (51.51, 10.0)),
        ({1: "N", 2: (UNKNOWN, 30.0, 36.0), 3: "E", 4: (10.0, 0.0, 0.0)}, (None, None)),
        ({5: b"\0", 29: "2024:01:01"}, (None, None)),
    ],
)
def test_a_place_is_told_whole_or_not_at_all(
    tags: Mapping[int, Any],
    place: tuple[float | None, float | None],
    tmp_path: Path,
    develop: Any,
) -> None:
    info = develop(draw(tmp_path / "a.jpg", exif=gps_block(tags))).info
    assert (info.latitude, info.longitude) == pytest.approx(place)


@pytest.mark.parametrize(
    ("tag", "value", "degrees"),
    [
        (renditions.LATITUDE, (-91.0, 0.0, 0.0), None),
        (renditions.LATITUDE, (-90.0, 0.0, 0.0), -90.0),
        (renditions.LONGITUDE, (-181.0, 0.0, 0.0), None),
        (renditions.LONGITUDE, (-91.0, 0.0, 0.0), -91.0),
    ],
)
def test_no_place_lies_beyond_a_pole_or_twice_round_the_earth(
    tag: int, value: tuple[float, ...], degrees: float | None
) -> None:
    """Some programs write signed numbers, which Pillow cannot write there."""
    assert renditions._degrees({tag: value}, tag) == degrees


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('exif:GPSLatitude="51,30.6N" exif:GPSLongitude="10,0.0E"', (51.51, 10.0)),
        ('exif:GPSLatitude="51,30,36S" exif:GPSLongitude="10,0,0W"', (-51.51, -10.0)),
        ('exif:GPSLatitude="51,30.6N"', (None, None)),
    ],
)
def test_the_place_is_read_from_xmp_where_exif_tells_none(
    text: str, place: tuple[float | None, float | None], tmp_path: Path, develop: Any
) -> None:
    xmp = f"<rdf:Description {text}/>".encode()
    info = develop(draw(tmp_path / "a.webp", xmp=xmp)).info
    assert (info.latitude, info.longitude) == pytest.approx(place)
    assert info.place and not info.place_kept
    both = draw(
        tmp_path / "b.webp",
        xmp=xmp,
        exif=gps_block({1: "N", 2: (1, 0, 0), 3: "E", 4: (2, 0, 0)}),
    )
    assert develop(both).info.latitude == 1


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("Google", "Pixel 7", "Google Pixel 7"),
        ("", "Pixel 7", "Pixel 7"),
        ("Google", "", "Google"),
        ("A\n\x07B  ", " C\tD", "A B C D"),
        ("x" * 5000, "", "x" * 100),
        (b"Kam\xc3\xa9ra \xe6\x97\xa5", "", "Kaméra 日"),
        (b"Kam\xe9ra", "", "Kaméra"),
        ("SONY\0\0\x01junk", "DSC-F1\0\0", "SONY DSC-F1"),
    ],
)
def test_the_camera_is_named_once_and_in_one_line(
    make: str | bytes, model: str, camera: str, tmp_path: Path, develop: Any
) -> None:
    path = draw(tmp_path / "a.jpg", exif=exif(tag010F=make, tag0110=model))
    assert develop(path).info.camera == camera


def test_the_exposure_is_read_and_nonsense_in_it_is_not(
    tmp_path: Path, develop: Any
) -> None:
    block = Image.Exif()
    block.get_ifd(0x8769).update(
        {0x829A: 1 / 125, 0x829D: 2.8, 0x8827: 400, 0x920A: 24.0, 0xA434: "Lens"}
    )
    info = develop(draw(tmp_path / "a.jpg", exif=block.tobytes())).info
    assert (info.exposure_time, info.f_number) == pytest.approx((0.008, 2.8), rel=0.01)
    assert (info.iso, info.focal_length, info.lens) == (400, 24.0, "Lens")
    block.get_ifd(0x8769).update({0x829A: float("nan"), 0x829D: -2.8, 0x8827: 0})
    info = develop(draw(tmp_path / "b.jpg", exif=block.tobytes())).info
    assert (info.exposure_time, info.f_number, info.iso) == (0, 0, 0)
    assert (
        json.loads(json.dumps(dataclasses.asdict(info), allow_nan=False))["focal_length"]
        == 24.0
    )


def test_an_exposure_too_short_to_be_true_is_none() -> None:
    assert renditions._number(5e-324) == 0
    assert photos.exposure_text(renditions.Info(exposure_time=0.008)) == "1/125 s"


def xmp_packet(**texts: str) -> bytes:
    """Return an XMP packet with texts of Dublin Core as they stand in it."""
    told = "".join(f"<dc:{name}>{text}</dc:{name}>" for name, text in texts.items())
    return f"<x:xmpmeta><rdf:RDF><rdf:Description>{told}</rdf:Description></rdf:RDF></x:xmpmeta>".encode()


def alternatives(**texts: str) -> str:
    """Return a text in several languages."""
    found = (
        f'<rdf:li xml:lang="{name.replace("_", "-")}">{text}</rdf:li>'
        for name, text in texts.items()
    )
    return f"\n <rdf:Alt>\n  {' '.join(found)}\n </rdf:Alt>\n"


def iptc_block(texts: dict[int, bytes], charset: bytes = b"") -> bytes:
    """Return an IPTC block of application records, after a coded character set."""
    records = [(1, 90, charset)] * bool(charset) + [
        (2, number, text) for number, text in texts.items()
    ]
    return b"".join(
        struct.pack(">BBBH", 28, *pair, len(text)) + text for *pair, text in records
    )


def with_iptc(path: Path, block: bytes) -> Path:
    """Put an IPTC block into a JPEG, the way that Photoshop does (APP13)."""
    resource_block = (
        b"8BIM\x04\x04\0\0"
        + struct.pack(">I", len(block))
        + block
        + b"\0" * (len(block) % 2)
    )
    segment = b"Photoshop 3.0\0" + resource_block
    content = path.read_bytes()
    path.write_bytes(
        content[:2]
        + b"\xff\xed"
        + struct.pack(">H", len(segment) + 2)
        + segment
        + content[2:]
    )
    return path


@pytest.mark.parametrize(
    ("xmp", "caption"),
    [
        (xmp_packet(description=alternatives(x_default="At sea")), "At sea"),
        (
            xmp_packet(description=alternatives(de_DE="Auf See", x_default="At sea")),
            "At sea",
        ),
        (xmp_packet(description=alternatives(de_DE="Auf See", fr="En mer")), "Auf See"),
        (xmp_packet(description=alternatives(x_default=" ", fr="En mer")), "En mer"),
        (xmp_packet(description="At sea"), "At sea"),
        (xmp_packet(title="A title", description="At sea"), "At sea"),
        (xmp_packet(title="A title", description=alternatives(x_default="")), "A title"),
        (b"<dc:description/><dc:subject><rdf:li>tag</rdf:li></dc:subject>", ""),
        (b"<dc:description><rdf:li>never ends</rdf:li>", ""),
        (
            xmp_packet(title="&lt;b&gt; &amp;amp; &#x5199;&#30495; &quot;"),
            '<b> &amp; 写真 "',
        ),
        (xmp_packet(title="a\n\t b\0\x07c\u202ed&#0;&#xd800;"), "a b c d\ufffd\ufffd"),
        (
            xmp_packet(title="می\u200cخواهم 👨\u200d👩\u200d👧"),
            "می\u200cخواهم 👨\u200d👩\u200d👧",
        ),
        (xmp_packet(title="x" * 5000), "x" * 1000),
        (b"<dc:title>caf\xe9 \x93au lait\x94</dc:title>", "café “au lait”"),
        (
            b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><dc:title>&e;</dc:title>',
            "&e;",
        ),
        (b"<dc:title>" * 6000, ""),
        (b"", ""),
    ],
)
def test_a_caption_is_read_from_xmp(
    xmp: bytes, caption: str, tmp_path: Path, develop: Any
) -> None:
    done = develop(draw(tmp_path / "a.jpg", xmp=xmp))
    assert (done.info.caption, done.info.problem) == (caption, "")


@pytest.mark.parametrize(
    ("block", "caption"),
    [
        (iptc_block({120: b"At sea", 5: b"A title"}), "At sea"),
        (iptc_block({5: b"A title"}), "A title"),
        (iptc_block({120: b" \0 ", 5: b"A title"}), "A title"),
        (iptc_block({120: "Café".encode()}), "Café"),
        (iptc_block({120: b"Caf\xe9"}), "Café"),
        (iptc_block({120: "Café".encode()}, b"\x1b%G"), "Café"),
        (iptc_block({120: "au café".encode()[:-1]}, b"\x1b%G"), "au caf"),
        (iptc_block({120: b"one"}) + iptc_block({120: b"two"}), "one"),
        (iptc_block({120: b""}), ""),
        (iptc_block({120: b"At sea"})[:-2], "At s"),
        (b"\x1c\x02\x78\xff\xff" + b"\xff" * 9, ""),
        (b"\xff" * 50, ""),
    ],
)
def test_a_caption_is_read_from_iptc(
    block: bytes, caption: str, tmp_path: Path, develop: Any
) -> None:
    done = develop(with_iptc(draw(tmp_path / "a.jpg"), block))
    assert (done.info.caption, done.info.problem) == (caption, "")
    if caption:
        assert (
            develop(draw(tmp_path / "a.tif", tiffinfo={33723: block})).info.caption
            == caption
        )


@pytest.mark.parametrize(
    ("iptc", "date", "taken"),
    [
        ({55: b"20240506", 60: b"070809+0200"}, "", "2024-05-06T07:08:09+02:00"),
        ({55: b"20240506"}, "", "2024-05-06T00:00:00"),
        ({55: b"20240506"}, "2021:03:04 05:06:07", "2021-03-04T05:06:07"),
        ({55: b"00000000", 60: b"000000"}, "", ""),
        ({60: b"070809+0200"}, "", ""),
        ({55: b"\xff"}, "", ""),
    ],
)
def test_the_date_is_that_of_iptc_where_nothing_else_tells_one(
    iptc: dict[int, bytes], date: str, taken: str, tmp_path: Path, develop: Any
) -> None:
    path = draw(tmp_path / "a.jpg", exif=exif(date))
    assert develop(with_iptc(path, iptc_block(iptc))).info.taken == taken


@pytest.mark.parametrize(
    ("xmp", "iptc", "caption"),
    [
        ({"title": "a", "description": "b"}, {5: b"c", 120: b"d"}, "b"),
        ({"title": "a"}, {5: b"c", 120: b"d"}, "d"),
        ({"title": "a"}, {5: b"c"}, "a"),
    ],
)
def test_a_description_goes_before_a_title_and_xmp_before_iptc(
    xmp: dict[str, str], iptc: dict[int, bytes], caption: str, tmp_path: Path, develop: Any
) -> None:
    path = draw(
        tmp_path / "a.jpg",
        xmp=xmp_packet(**xmp),
        exif=exif(tag010E="OLYMPUS DIGITAL CAMERA"),
    )
    assert develop(with_iptc(path, iptc_block(iptc))).info.caption == caption
    assert not develop(draw(path, exif=exif(tag010E="OLYMPUS DIGITAL CAMERA"))).info.caption


# Keywords


def bag(*keywords: str) -> str:
    """Return keywords as XMP has them."""
    entries = "".join(f"<rdf:li>{keyword}</rdf:li>" for keyword in keywords)
    return f"\n <rdf:Bag>{entries}</rdf:Bag>\n"


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp", "avif"])
def test_keywords_are_read_as_exiftool_writes_them(
    suffix: str, tmp_path: Path, develop: Any
) -> None:
    path = draw(tmp_path / f"a.{suffix}")
    tags = [f"-XMP-dc:Subject={word}" for word in ("beach", "Müller & Söhne", "京都")]
    has_iptc = suffix in ("jpg", "tif")
    if has_iptc:
        tags += [f"-IPTC:Keywords={word}" for word in ("beach", "été", "sunset")]
    command = [needed("exiftool"), "-q", "-q", "-overwrite_original", *tags, str(path)]
    subprocess.run(command, check=True)
    words = ("beach", "Müller & Söhne", "京都") + ("été", "sunset") * has_iptc
    assert develop(path, Purpose.FACTS).info.keywords == words


@pytest.mark.parametrize(
    ("xmp", "keywords"),
    [
        (
            xmp_packet(subject=bag("a &amp; b", " a\n\tc ", "", "\0\u202e")),
            ("a & b", "a c"),
        ),
        (xmp_packet(subject=bag("x" * 5000)), ("x" * 64,)),
        (xmp_packet(subject=bag("a", "a", "b")), ("a", "b")),
        (xmp_packet(subject=bag(*map(str, range(2500)))), tuple(map(str, range(64)))),
        (xmp_packet(subject="alone"), ("alone",)),
        (xmp_packet(title="no keyword"), ()),
        (b"<dc:subject>" * 5000, ()),
        (b"<dc:subject><rdf:li>never ends", ()),
        (b"<dc:subject><rdf:li>caf\xe9</rdf:li></dc:subject>", ("café",)),
    ],
    ids=range(9),
)
def test_keywords_of_xmp_are_bounded(
    xmp: bytes, keywords: tuple[str, ...], tmp_path: Path, develop: Any
) -> None:
    info = develop(draw(tmp_path / "a.jpg", xmp=xmp), Purpose.FACTS).info
    assert (info.keywords, info.problem) == (keywords, "")


@pytest.mark.parametrize(
    ("block", "keywords"),
    [
        (iptc_block({25: b"one"}) + iptc_block({25: b"two"}), ("one", "two")),
        (iptc_block({25: b"caf\xe9"}), ("café",)),
        (iptc_block({25: "été".encode()}, b"\x1b%G"), ("été",)),
        (
            b"".join(iptc_block({25: b"%d" % n}) for n in range(900)),
            tuple(map(str, range(64))),
        ),
        (iptc_block({25: b"\0\r\n"}), ()),
        (iptc_block({25: b"whole"})[:-2], ("who",)),
        (b"\x1c\x02\x19\xff\xff" + b"\xff" * 9, ()),
    ],
    ids=range(7),
)
def test_keywords_of_iptc_are_bounded(
    block: bytes, keywords: tuple[str, ...], tmp_path: Path, develop: Any
) -> None:
    path = with_iptc(draw(tmp_path / "a.jpg"), block)
    info = develop(path, Purpose.FACTS).info
    assert (info.keywords, info.problem) == (keywords, "")


def test_keywords_come_back_from_json_as_they_were() -> None:
    info = renditions.Info(key="k", keywords=("a", "京都"))
    fields = json.loads(json.dumps(dataclasses.asdict(info)))
    assert renditions.info_from(fields).keywords == ("a", "京都")


@pytest.mark.parametrize("keywords", ["text", [1], [None], [["a"]], {"a": 1}, 7, None])
def test_keywords_that_are_no_texts_make_no_sense(keywords: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        renditions.info_from({"keywords": keywords})


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_captions_are_read_from_every_format_that_has_xmp(
    suffix: str, tmp_path: Path, develop: Any
) -> None:
    packet, chunk = xmp_packet(description="写真"), PngImagePlugin.PngInfo()
    chunk.add_itxt("XML:com.adobe.xmp", packet.decode())
    special = {"png": {"pnginfo": chunk}, "tif": {"tiffinfo": {700: packet}}}
    path = draw(tmp_path / f"a.{suffix}", **special.get(suffix, {"xmp": packet}))
    assert develop(path).info.caption == "写真"


def test_the_caption_of_a_heic_photo_is_read(tmp_path: Path, worker: photos.Worker) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    heif.from_pillow(quarters()).save(path, xmp=xmp_packet(description="写真"))
    assert worker.develop(os.fspath(path), Purpose.FACTS).caption == "写真"


@pytest.mark.parametrize(
    ("path", "caption"),
    [
        ("cameras/canon_6400x.jpg", "Mongol Els"),
        ("colour/cmyk_o6.jpg", "Myleen Hollero / Wikimedia Foundation / Cc-by-sa-3.0"),
        ("dates/year_1601.jpg", "Bambi Caption"),
        ("names/test image öüóőúéáű-.,.jpg", "Test caption"),
        ("sidecar/IMG_5910.jpg", "Squirrel at berkely"),
        ("phones/pixel7pro.jpg", ""),
    ],
)
def test_captions_of_real_photos_are_read(
    path: str, caption: str, samples: Path, develop: Any
) -> None:
    assert develop(samples / path, Purpose.FACTS).info.caption == caption


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # workers ignore it
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_bad_metadata_costs_itself_and_not_the_picture(
    suffix: str, tmp_path: Path, develop: Any
) -> None:
    block = b"Exif\0\0II*\0\xff\xff\xff\xff" + os.urandom(50)
    path = draw(tmp_path / f"a.{suffix}", (400, 300), exif=block)
    done = develop(path)
    assert not done.info.problem
    assert set(done.files) == {"320", "640", "preview"}


# Pixels


def quarters() -> Image.Image:
    image = Image.new("RGB", (96, 64), "white")
    image.paste("red", (0, 0, 48, 32))
    image.paste("lime", (48, 0, 96, 32))
    image.paste("blue", (0, 32, 48, 64))
    return image


TURNS = {1: None, **STORED}


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_photo_of_any_orientation_is_shown_upright(
    orientation: int, suffix: str, tmp_path: Path, develop: Any
) -> None:
    turn = TURNS[orientation]
    stored = quarters() if turn is None else quarters().transpose(turn)
    path = tmp_path / f"a.{suffix}"
    stored.save(path, exif=exif(tag0112=orientation), quality=90)
    unrendered = develop(path, Purpose.FACTS).info
    done = develop(path)
    assert (
        (done.info.width, done.info.height)
        == (unrendered.width, unrendered.height)
        == (96, 64)
    )
    assert difference(done["preview"], quarters()) < 8
    assert difference(done["320"], quarters()) < 8


@pytest.mark.parametrize(
    "box", [b"irot", b"free"], ids=["turned by its box", "turned by its tag alone"]
)
def test_a_heic_photo_is_turned_once(
    box: bytes, tmp_path: Path, worker: photos.Worker
) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    stored = quarters().transpose(STORED[6])
    heif.from_pillow(stored).save(
        path, exif=exif("2024:05:06 07:08:09", tag0112=6), quality=90
    )
    content = path.read_bytes()
    assert content.count(b"irot") == 1
    path.write_bytes(content.replace(b"irot", box))
    assert not worker.develop(os.fspath(path), Purpose.FULL).problem
    info = worker.develop(os.fspath(path), Purpose.ALL)
    done = developed(tmp_path / "cache", info)
    assert (info.media_type, info.problem, info.browser_shows) == ("image/heif", "", False)
    assert (info.width, info.height, info.taken) == (96, 64, "2024-05-06T07:08:09")
    assert difference(done["preview"], quarters()) < 8
    assert done[renditions.FULL].size == (96, 64)


SIZE = (60, 40)


def palette(transparent: bool) -> Image.Image:
    image = Image.new("P", SIZE, 1)
    image.putpalette(bytes((0, 0, 255, 255, 0, 0)))
    if transparent:
        image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    ("name", "image", "colour"),
    [
        ("cmyk.jpg", Image.new("CMYK", SIZE, (0, 255, 255, 0)), "#ff0000"),
        ("cmyk.tif", Image.new("CMYK", SIZE, (0, 255, 255, 0)), "#ff0000"),
        ("grey.jpg", Image.new("L", SIZE, 99), "#636363"),
        ("one bit.png", Image.new("1", SIZE, 1), "#ffffff"),
        ("16 bits.png", Image.new("I;16", SIZE, 0x8000), "#808080"),
        ("16 dark bits.png", Image.new("I;16", SIZE, 0x0A00), "#0a0a0a"),
        ("16 bits.tif", Image.new("I;16", SIZE, 0x8000), "#808080"),
        ("16 bits, big-endian.tif", Image.new("I;16B", SIZE, 0x8000), "#808080"),
        ("32 bits.tif", Image.new("I", SIZE, 0x8000), "#808080"),
        ("palette.png", palette(transparent=False), "#ff0000"),
        ("transparent palette.png", palette(transparent=True), "#ffffff"),
        ("transparent palette.gif", palette(transparent=True), "#ffffff"),
        ("half transparent.png", Image.new("RGBA", SIZE, (255, 0, 0, 128)), "#ff7f7f"),
        ("half transparent.webp", Image.new("RGBA", SIZE, (255, 0, 0, 128)), "#ff7f7f"),
        ("half transparent.avif", Image.new("RGBA", SIZE, (255, 0, 0, 128)), "#ff7f7f"),
        ("half transparent.tif", Image.new("RGBA", SIZE, (255, 0, 0, 128)), "#ff7f7f"),
        ("half transparent grey.png", Image.new("LA", SIZE, (0, 128)), "#7f7f7f"),
        ("black but transparent.png", Image.new("RGBA", SIZE, (0, 0, 0, 0)), "#ffffff"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_of_pixel_comes_out_right_and_what_is_transparent_on_white(
    name: str, image: Image.Image, colour: str, tmp_path: Path, develop: Any
) -> None:
    image.save(tmp_path / name)
    info = develop(tmp_path / name).info
    assert not info.problem
    assert is_near(info.colour, colour), info.colour


def test_floating_point_grey_is_not_clipped(tmp_path: Path, develop: Any) -> None:
    image = Image.new("F", SIZE, 0.25)
    image.paste(0.75, (0, 0, 30, 40))
    image.save(tmp_path / "a.tif")
    assert is_near(develop(tmp_path / "a.tif").info.colour, "#7f7f7f")


def profile(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def test_the_embedded_profile_decides_about_colours(tmp_path: Path, develop: Any) -> None:
    swapped = (
        profile("sRGB")
        .replace(b"rXYZ", b"....")
        .replace(b"bXYZ", b"rXYZ")
        .replace(b"....", b"bXYZ")
    )
    Image.new("RGB", SIZE, "red").save(tmp_path / "a.png", icc_profile=swapped)
    assert is_near(develop(tmp_path / "a.png").info.colour, "#0000ff")


@pytest.mark.parametrize(
    ("image", "icc"),
    [
        (Image.new("RGB", SIZE, "red"), profile("LAB")),
        (Image.new("RGB", SIZE, "red"), b"no profile at all"),
        (Image.new("RGB", SIZE, "red"), profile("sRGB")[:200]),
        (Image.new("CMYK", SIZE, (0, 255, 255, 0)), profile("sRGB")),
    ],
    ids=["of another colour space", "junk", "cut", "RGB for CMYK"],
)
def test_a_wrong_profile_is_passed_over(
    image: Image.Image, icc: bytes, tmp_path: Path, develop: Any
) -> None:
    image.save(tmp_path / "a.jpg", icc_profile=icc)
    info = develop(tmp_path / "a.jpg").info
    assert not info.problem
    assert is_near(info.colour, "#ff0000")


@pytest.mark.parametrize(
    "save",
    [{"lossless": False}, {"lossless": True}, {"lossless": False, "exif": exif()}],
    ids=["VP8", "VP8L", "VP8X"],
)
def test_a_huge_webp_is_known_before_it_is_opened(
    save: dict[str, Any], tmp_path: Path, develop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = draw(tmp_path / "a.webp", size=(123, 45), **save)
    assert renditions.huge_webp(path.read_bytes()) is None
    monkeypatch.setattr(renditions, "WEBP_PIXELS", 5000)
    assert renditions.huge_webp(path.read_bytes()) == (123, 45)
    monkeypatch.setenv("PATH", "")
    assert (
        develop(path).info.problem
        == "too large: 123 x 45 pixels; with ffmpeg it could be shown"
    )


@pytest.mark.whole
def test_a_huge_webp_is_shown_by_ffmpeg(
    ffmpeg: str, tmp_path: Path, develop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renditions, "WEBP_PIXELS", 5000)
    path = draw(tmp_path / "a.webp", size=(2400, 1200))
    done = develop(path)
    assert (done.info.width, done.info.height, done.info.problem) == (2400, 1200, "")
    assert done["preview"].size == (1920, 960)
    with Image.open(path) as original:
        assert difference(done["preview"], original) < 6


# Videos


@pytest.fixture(scope="session")
def video(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A red MP4 of two seconds."""
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    source = ("-f", "lavfi", "-i", "color=c=red:s=64x48:d=2:r=5")
    made = ("-metadata", "creation_time=2021-02-24T12:48:02Z")
    subprocess.run(
        (ffmpeg, "-v", "error", *source, *made, "-c:v", "mpeg4", path), check=True
    )
    return path


@pytest.mark.whole
@pytest.mark.parametrize("name", ["a.mp4", "a.jpg"])
def test_a_video_has_a_size_a_date_and_a_poster(
    name: str, video: Path, tmp_path: Path, develop: Any
) -> None:
    done = develop(Path(shutil.copy(video, tmp_path / name)), Purpose.THUMBNAILS)
    info = done.info
    assert (info.kind, info.media_type, info.problem) == ("video", "video/mp4", "")
    assert (info.width, info.height) == (64, 48)
    assert dt.datetime.fromisoformat(info.taken) == dt.datetime(
        2021, 2, 24, 12, 48, 2, tzinfo=dt.UTC
    )
    assert info.duration == pytest.approx(2, abs=0.3)
    assert done.sizes == {"320": (64, 48)}
    assert is_near(info.colour, "#fe0000")


def test_without_ffmpeg_a_video_is_listed_without_a_poster(
    video: Path, develop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    done = develop(video, Purpose.THUMBNAILS)
    assert (done.info.kind, done.info.problem, done.files) == ("video", "", {})


@pytest.mark.whole
def test_a_cut_video_is_reported_or_listed_without_a_poster(
    video: Path, tmp_path: Path, develop: Any
) -> None:
    for size in (40, 400):
        (tmp_path / "a.mp4").write_bytes(video.read_bytes()[:size])
        done = develop(tmp_path / "a.mp4", Purpose.THUMBNAILS)
        assert (done.info.kind, done.info.has_picture, done.files) == ("video", False, {})
        assert bool(done.info.problem) == (size == 40), "the longer one may still play"


# Renditions


@pytest.mark.whole
@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((4000, 3000), {"320": (320, 240), "640": (640, 480), "preview": (2000, 1500)}),
        ((2880, 1440), {"320": (320, 160), "640": (640, 320), "preview": (1920, 960)}),
        ((4031, 302), {"320": (320, 24), "640": (640, 48), "preview": (2015, 151)}),
        ((8064, 400), {"320": (320, 16), "640": (640, 32), "preview": (2016, 100)}),
        ((2047, 200), {"320": (320, 32), "640": (640, 63), "preview": (2047, 200)}),
        ((2049, 200), {"320": (320, 31), "640": (640, 62), "preview": (1920, 187)}),
        ((1000, 3000), {"320": (320, 960), "640": (640, 1920), "preview": (640, 1920)}),
        ((400, 4000), {"320": (96, 960), "640": (192, 1920), "preview": (200, 2000)}),
        ((2500, 100), {"320": (320, 13), "640": (640, 26), "preview": (1920, 77)}),
        ((500, 400), {"320": (320, 256), "640": (500, 400), "preview": (500, 400)}),
        ((300, 200), {"320": (300, 200), "preview": (300, 200)}),
        ((1, 1), {"320": (1, 1), "preview": (1, 1)}),
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_renditions_are_as_large_as_they_are_shown_and_never_larger_than_the_photo(
    size: tuple[int, int],
    sizes: dict[str, tuple[int, int]],
    suffix: str,
    tmp_path: Path,
    develop: Any,
) -> None:
    path = draw(tmp_path / f"a.{suffix}", size=size)
    unrendered = develop(path, Purpose.FACTS)
    assert unrendered.files == {}
    assert set(renditions.rendition_names(unrendered.info)) == set(sizes)
    done = develop(path)
    assert done.sizes == sizes
    assert photos.preview_size(done.info) == sizes["preview"]
    without_preview = develop(path, Purpose.THUMBNAILS)
    thumbnails = {name: shape for name, shape in sizes.items() if name.isdigit()}
    assert without_preview.sizes == thumbnails
    assert (without_preview.info.width, without_preview.info.height) == size


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_preview_of_a_phone_is_in_the_photos_own_pixels(
    suffix: str, tmp_path: Path, develop: Any
) -> None:
    """Lines of two pixels, which any resampling but by a half would mix with their neighbours."""
    path = tmp_path / f"a.{suffix}"
    pattern = Image.new("L", (4000, 64))
    for left in range(0, 4000, 4):
        pattern.paste(255, (left, 0, left + 2, 64))
    pattern.save(path, quality=95)
    levels = sorted(develop(path)["preview"].convert("L").tobytes())
    darker, brighter = levels[len(levels) * 4 // 10], levels[len(levels) * 6 // 10]
    assert brighter - darker > 200, (darker, brighter)


def test_the_full_size_rendition_has_all_pixels(tmp_path: Path, develop: Any) -> None:
    path = draw(tmp_path / "a.tif", size=(2500, 100))
    assert develop(path, Purpose.FULL).sizes == {"full": (2500, 100)}


@pytest.mark.parametrize(
    ("info", "names"),
    [
        (renditions.Info(kind="photo", width=4000), ("320", "640", "preview")),
        (renditions.Info(kind="photo", width=320), ("320", "preview")),
        (renditions.Info(kind="photo"), ("320", "640", "preview")),
        (renditions.Info(kind="video", width=1920), ("320", "640")),
        (renditions.Info(kind="raw"), ()),
        (renditions.Info(), ()),
    ],
)
def test_a_photo_has_a_preview_and_a_video_a_poster(
    info: renditions.Info, names: tuple[str, ...]
) -> None:
    assert renditions.rendition_names(info) == names
    thumbnails = tuple(name for name in names if name.isdigit())
    assert renditions.rendition_names(info, Purpose.THUMBNAILS) == thumbnails
    assert renditions.rendition_names(info, Purpose.FACTS) == ()


@pytest.mark.whole
def test_the_large_thumbnail_takes_few_bytes_for_its_pixels(
    tmp_path: Path, develop: Any
) -> None:
    path = tmp_path / "a.png"
    noise = [Image.effect_noise((160, 120), 60) for _ in "RGB"]
    Image.merge("RGB", noise).resize((1600, 1200)).save(path)
    made = develop(path)
    pixels, bytes_of = {}, {}
    for name, file in made.files.items():
        pixels[name] = made[name].width * made[name].height
        bytes_of[name] = file.stat().st_size
    # Screens that show it have two or three pixels for each of CSS.
    assert bytes_of["640"] / pixels["640"] < 0.6 * bytes_of["320"] / pixels["320"]
    assert bytes_of["320"] < bytes_of["640"] < bytes_of["preview"]


def test_only_what_is_missing_is_made(tmp_path: Path, develop: Any) -> None:
    path = draw(tmp_path / "a.jpg", (700, 500))
    whole = develop(path)
    written = {name: file.stat().st_mtime_ns for name, file in whole.files.items()}
    assert develop(path).info.key == whole.info.key
    whole.files["320"].unlink()
    whole.files["preview"].write_bytes(b"")  # what a power cut leaves
    again = develop(path)
    assert again.sizes == {"320": (320, 229), "640": (640, 457), "preview": (700, 500)}
    assert again.files["640"].stat().st_mtime_ns == written["640"]
    assert again.info == whole.info


@pytest.mark.parametrize("purpose", [each for each in Purpose if each is not Purpose.KEY])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "avif", "tif"])
def test_a_photo_is_opened_once_for_its_facts_and_its_renditions(
    suffix: str,
    purpose: Purpose,
    tmp_path: Path,
    develop: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = draw(tmp_path / f"a.{suffix}", (400, 300))
    open_image, opened = Image.open, []

    def open_and_count(*arguments: Any, **options: Any) -> Image.Image:
        opened.append(arguments)
        return open_image(*arguments, **options)

    monkeypatch.setattr(Image, "open", open_and_count)
    info = renditions.develop(os.fspath(path), purpose, tmp_path / "cache")
    assert (info.width, info.problem) == (400, "")
    # The segments of a JPEG tell its facts.
    times = 0 if (suffix, purpose) == ("jpg", Purpose.FACTS) else 1
    assert [file.name for [file] in opened] == [os.fspath(path)] * times


def test_a_deleted_cache_is_made_again_but_no_folder_above_it(tmp_path: Path) -> None:
    path = os.fspath(draw(tmp_path / "a.jpg"))
    state = tmp_path / "disk" / ".photos"
    # The disk was pulled out: some come back to an empty folder alone, or under another name.
    away = renditions.develop(path, Purpose.ALL, state / "cache")
    assert away.unwritten != ""
    assert not state.parent.exists()
    state.mkdir(parents=True)
    back = renditions.develop(path, Purpose.ALL, state / "cache")
    assert back.unwritten == ""
    assert renditions.rendition_path(state / "cache", back.key, "320").exists()


def test_a_photo_is_not_opened_for_its_key(
    tmp_path: Path, develop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = draw(tmp_path / "a.jpg")
    key = develop(path).info.key
    monkeypatch.setattr(Image, "open", None)
    info = renditions.develop(os.fspath(path), Purpose.KEY, tmp_path / "cache")
    assert (info.key, info.problem, info.colour) == (key, "", "")


def webp_chunks(path: Path) -> set[bytes]:
    content, at, found = path.read_bytes(), 12, set()
    while at < len(content):
        found.add(content[at : at + 4])
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return found


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "png"])
def test_renditions_carry_no_metadata(suffix: str, tmp_path: Path, develop: Any) -> None:
    block = Image.Exif()
    block.get_ifd(0x8825).update(
        {1: "N", 2: (51.0, 30.0, 36.0), 3: "E", 4: (10.0, 0.0, 0.0)}
    )
    block[0x010F] = "a camera"
    extra = {"xmp": b"<x/>"} if suffix != "png" else {}
    extra |= {"exif": block.tobytes(), "icc_profile": profile("sRGB")}
    path = draw(tmp_path / f"a.{suffix}", (400, 300), **extra)
    done, full = develop(path), develop(path, Purpose.FULL)
    assert done.info.latitude and full.info.latitude
    files = [*done.files.values(), *full.files.values()]
    assert len(files) == 4
    assert all(webp_chunks(file) == {b"VP8 "} for file in files)


def test_the_colour_of_a_photo_is_its_mean(tmp_path: Path, develop: Any) -> None:
    image = Image.new("RGB", (600, 400), "red")
    image.paste("blue", (0, 0, 300, 400))
    image.save(tmp_path / "a.png")
    assert is_near(develop(tmp_path / "a.png").info.colour, "#7f007f")


def test_what_an_error_says_is_one_line() -> None:
    assert renditions.on_one_line(OSError("Extent:\n  in iloc \n")) == "Extent: in iloc"
    assert renditions.on_one_line(ValueError()) == "ValueError"


def test_a_cut_photo_is_shown_as_far_as_it_goes(tmp_path: Path, develop: Any) -> None:
    noise = Image.effect_noise((400, 300), 90)
    noise.save(tmp_path / "cut.jpg")
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    done = develop(tmp_path / "cut.jpg")
    assert done.info.problem.startswith("damaged, shown as far as it goes: ")
    assert done.info.partial
    assert done.info.has_picture
    upper = (0, 0, 400, 120)
    assert difference(done["preview"].crop(upper), noise.crop(upper)) < 10
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# Worker


@pytest.mark.parametrize(
    ("name", "content", "kind", "problem"),
    [
        (
            "text.jpg",
            b"this is no pictur",
            "photo",
            "its content is not a picture, or damaged from the start",
        ),
        ("empty.png", b"", "photo", "the file is empty"),
        ("cut.jpg", b"\xff\xd8\xff\xe1\x40\0Exif", "photo", "its end is missing"),
        ("cut.webp", b"RIFF\x40\0\0\0WEBPVP8 ", "photo", "its end is missing"),
        (
            "playlist.mp4",
            b"#EXTM3U\nfile:///etc/passwd\n",
            "video",
            "its content is not a picture",
        ),
        ("notes.txt", b"this is no pictur", "", "its content is not a picture"),
        (
            "eps.jpg",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "photo",
            "not a picture",
        ),
        ("bad.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "photo", "not a picture"),
        (
            "bomb.png",
            b"",
            "photo",
            "too large: 65536 x 65536 pixels, at most 100 million; export it smaller",
        ),
    ],
)
def test_what_is_no_picture_is_reported_and_not_raised(
    name: str, content: bytes, kind: str, problem: str, tmp_path: Path, develop: Any
) -> None:
    if name == "bad.heic":
        pytest.importorskip("pillow_heif")
    if name == "bomb.png":
        content = draw(tmp_path / name).read_bytes()
        header = b"IHDR" + struct.pack(">II", 65536, 65536) + content[24:29]
        content = (
            content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]
        )
    (tmp_path / name).write_bytes(content)
    done = develop(tmp_path / name)
    assert problem in done.info.problem
    assert (done.info.kind, done.info.has_picture, done.files) == (kind, False, {})
    assert done.info.retry == renditions.NEVER
    assert done.info.key


@pytest.mark.parametrize(
    ("name", "plugin", "problem"),
    [("a.avif", "AVIF", "AVIF needs Pillow 11.3"), ("a.heic", "HEIF", "HEIC needs")],
)
def test_what_this_pillow_cannot_decode_keeps_its_type_and_says_what_is_needed(
    name: str,
    plugin: str,
    problem: str,
    tmp_path: Path,
    develop: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brand = plugin.lower().replace("heif", "heic").encode()
    (tmp_path / name).write_bytes(
        b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(200)
    )
    if plugin == "HEIF":
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        monkeypatch.delitem(Image.OPEN, plugin, raising=False)
    else:
        monkeypatch.setattr(renditions.features, "check", {}.get)
    info = develop(tmp_path / name).info
    assert (info.kind, info.media_type) == ("photo", f"image/{plugin.lower()}")
    assert info.problem.startswith(problem)


def test_a_raw_file_is_not_taken_for_its_small_preview(
    tmp_path: Path, develop: Any
) -> None:
    done = develop(draw(tmp_path / "a.tif").rename(tmp_path / "a.dng"))
    assert done.info.kind == renditions.RAW
    assert done.info.problem == "RAW: export it as JPEG to show it"
    assert not done.files
    assert renditions.rendition_names(done.info) == ()


@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (ValueError("too large"), renditions.NEVER),
        (SyntaxError("not a PNG file"), renditions.NEVER),
        (UnidentifiedImageError("cannot identify"), renditions.NEVER),
        (OSError("image file is truncated"), renditions.NEVER),
        (KeyError(), renditions.NEVER),
        (MemoryError(), renditions.AT_START),
        (PermissionError(errno.EACCES, "Permission denied"), renditions.AT_START),
        (FileNotFoundError(errno.ENOENT, "No such file"), renditions.AT_ONCE),
        (OSError(errno.EIO, "Input/output error"), renditions.AT_ONCE),
        (OSError(errno.EMFILE, "Too many open files"), renditions.AT_ONCE),
    ],
    ids=repr,
)
def test_what_is_wrong_with_the_machine_is_tried_again_and_what_is_wrong_with_a_file_is_not(
    error: Exception,
    retry: str,
    tmp_path: Path,
    develop: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(path: str) -> NoReturn:
        raise error

    path = draw(tmp_path / "a.jpg")
    monkeypatch.setattr(renditions, "read_head", fail)
    info = develop(path).info
    assert (info.kind, info.retry, info.has_picture) == ("photo", retry, False)
    assert info.problem


@pytest.mark.parametrize("name", ["decode", "_save"])
@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (ValueError("broken data stream"), renditions.NEVER),
        (MemoryError(), renditions.AT_START),
        (OSError(errno.ENOSPC, "No space left on device"), renditions.AT_ONCE),
    ],
    ids=repr,
)
def test_a_photo_whose_pixels_fail_keeps_the_facts_that_were_read(
    error: Exception,
    retry: str,
    name: str,
    tmp_path: Path,
    develop: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> NoReturn:
        raise error

    path = draw(tmp_path / "a.jpg", exif=exif("2024:05:06 07:08:09", tag010F="Maker"))
    facts = develop(path, Purpose.FACTS).info
    assert (facts.width, facts.taken, facts.camera) == (60, "2024-05-06T07:08:09", "Maker")
    monkeypatch.setattr(renditions, name, fail)
    done = develop(path)
    assert done.info == dataclasses.replace(facts, problem=done.info.problem, retry=retry)
    assert (bool(done.info.problem), done.info.has_picture, done.files) == (True, False, {})


@pytest.mark.whole
def test_a_huge_webp_and_a_video_whose_pixels_fail_keep_the_facts_that_were_read(
    video: Path, tmp_path: Path, develop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(renditions, "WEBP_PIXELS", 5000)
    monkeypatch.setattr(renditions, "ffmpeg_frame", fail)
    for path, width in ((draw(tmp_path / "a.webp", (123, 45)), 123), (video, 64)):
        facts, failed = develop(path, Purpose.FACTS).info, develop(path).info
        assert (failed.width, failed.retry) == (width, renditions.AT_START)
        assert failed == dataclasses.replace(
            facts, problem=failed.problem, retry=failed.retry
        )


def test_a_file_that_cannot_be_opened_at_the_moment_is_not_given_up_for_good(
    tmp_path: Path, develop: Any
) -> None:
    info = develop(tmp_path / "gone.jpg").info
    assert info.kind == "photo"
    assert info.problem
    assert info.retry == renditions.AT_ONCE


# Real files


BY_GPS_TIME = "the offset follows from the GPS time, which exiftool leaves alone"


CREATION_DATE = (
    "QuickTime's own creationdate tag has the local time, and goes before the time in UTC"
)


# What is answered on purpose otherwise than the manifest says, and why.
ON_PURPOSE: dict[str, tuple[dict[str, Any], str]] = {
    "phones/nexus5x_gps.jpg": ({"offset": "+02:00"}, BY_GPS_TIME),
    "dates/big_ben_gps_utc_no_offset.jpg": ({"offset": "+01:00"}, BY_GPS_TIME),
    "dates/newyear_sydney.jpg": ({"offset": "+11:00"}, BY_GPS_TIME),
    "gps/zero_coordinate.jpg": ({"offset": "+01:00"}, BY_GPS_TIME),
    "heic/iphone7.heic": ({"offset": "-05:00"}, BY_GPS_TIME),
    "pano/iphone7_pano_p3.jpg": ({"offset": "-07:00"}, BY_GPS_TIME),
    "dates/offset_-04.jpg": (
        {"offset": ""},
        "only IPTC tells the offset; EXIF tells the date",
    ),
    "gps/gps_as_string.jpg": (
        {"place": (52.843, 11.183)},
        "its degrees are decimal commas: 52° 50' 34.01\"",
    ),
    "animated/star.avifs": (
        {"taken": ""},
        "only its container has a date; those of photos are not read",
    ),
    "animated/frames.heif": (
        {"taken": ""},
        "only its container has a date; those of photos are not read",
    ),
    "heic/size_mismatch_iphone8.heic": (
        {"size": "100x74", "shown": {"part"}},
        "100x74 is what it signals; Pillow reports that 100x76 are coded",
    ),
    "live/IMG_7943_HEVC.MOV": (
        {"taken": "2026-03-23T15:57:19", "offset": "+01:00"},
        CREATION_DATE,
    ),
    "video/iphone14pro_rot90_dolby.MOV": (
        {"taken": "2023-05-09T12:41:46", "offset": "+01:00"},
        CREATION_DATE,
    ),
}


SHOWN = {
    "yes": {"whole"},
    "degraded": {"whole", "part"},
    "no": {"nothing"},
    "limit": {"whole", "nothing"},
    "video": {"whole"},
}


@dataclasses.dataclass
class RealFiles:
    """The real files after all of them were read and rendered."""

    library: photos.Library
    cache: Path
    client: Client
    files: dict[str, tuple[photos.File, renditions.Info]]  # by path: all that are listed
    items: dict[str, photos.Item]
    meanwhile: list[int]  # status of answers while the huge files were rendered
    peaks: list[int]  # of the workers' memory, bytes

    def made(self, path: str) -> Developed:
        return developed(self.cache, self.files[path][1])

    def thumbnail(self, path: str) -> Image.Image:
        return self.made(path)["320"]

    def listed(self, album: str) -> dict[str, dict[str, Any]]:
        """Return an album's items by name, as the site lists them."""
        answer = self.client.get(f"/api/album/{album}")
        assert answer.status == 200
        return {item["name"]: item for item in json.loads(answer.body)["items"]}


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealFiles]:
    """Reads and renders all real files with two workers, the huge ones first."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no real photos at {SAMPLES}")
    state = tmp_path_factory.mktemp("state")
    photos.make_state_folder(state)
    library = photos.Library(SAMPLES, state / "cache", workers=2)
    client = Client(photos.Site(state, photos.Config(), library, photos.UserStore(state)))
    upkeep = photos.Upkeep(library)
    list(library.run(upkeep.unread(0), Purpose.FACTS))
    todo = sorted(upkeep.unrendered(0), key=lambda file: "/huge/" not in file.path)
    huge = {(file.identity, Purpose.ALL) for file in todo if "/huge/" in file.path}
    rendering = threading.Thread(target=lambda: list(library.run(todo, Purpose.ALL)))
    rendering.start()
    meanwhile = [
        client.get(address).status for address in ("/", "/album/dates/", "/album/huge/")
    ]
    if not huge <= library._renderer._jobs.keys():
        meanwhile.clear()  # they were done before
    rendering.join()
    processes = [worker._process for worker in library._renderer._workers]
    statuses = [Path(f"/proc/{process.pid}/status") for process in processes if process]
    peaks = [
        int(re.findall(r"VmHWM:\s+(\d+) kB", s.read_text())[0]) << 10
        for s in statuses
        if s.exists()
    ]
    files, items = {}, {}
    for parts, folder in library.walk():
        album = library.album(place_at(library, *parts, user=True), USER)
        files |= {
            "/".join((*parts, f.name)): (f, library.index.get(f.identity))
            for f in folder.files.values()
        }
        items |= {"/".join(item.address): item for item in album.items}
    yield RealFiles(library, state / "cache", client, files, items, meanwhile, peaks)
    library.close()


def wanted(row: dict[str, str]) -> dict[str, Any]:
    """Return what the manifest says of a file."""
    is_video = row["should_decode"] == "video"
    match = re.fullmatch(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)(\S*)", row["date_taken"])
    taken = "{}-{}-{}T{}".format(*match.groups()) if match and match[1] != "0000" else ""
    offset = (row["tz_offset"] or match[5]) if match and taken else ""
    if is_video and taken and offset in ("", "Z"):
        offset = "+00:00"
    # The manifest leaves the hemisphere out; positions of videos are not read.
    place = (
        tuple(round(abs(float(n)), 3) for n in row["gps"].split(","))
        if row["gps"]
        else None
    )
    return {
        "size": row["display_wxh"],
        "taken": taken,
        "offset": offset,
        "place": None if is_video else place,
        "shown": SHOWN[row["should_decode"]],
    }


def found(info: renditions.Info) -> dict[str, Any]:
    """Return the same of what was read."""
    place = (info.latitude, info.longitude) if info.latitude is not None else None
    return {
        "size": f"{info.width}x{info.height}",
        "taken": info.taken[:19],
        "offset": re.sub(r"^\.\d+", "", info.taken[19:]),  # the manifest has no fractions
        "place": place and tuple(round(abs(degrees or 0), 3) for degrees in place),
        "shown": "whole" if not info.problem else "part" if info.partial else "nothing",
    }


def is_listed(row: dict[str, str]) -> bool:
    return row["should_decode"] not in ("raw", "sidecar") and not row["file"].rpartition(
        "/"
    )[2].startswith(".")


PICTURES = [pytest.param(row, id=row["file"]) for row in manifest() if is_listed(row)]


OTHERS = [pytest.param(row, id=row["file"]) for row in manifest() if not is_listed(row)]


@pytest.mark.whole
class TestRealFiles:
    @pytest.mark.parametrize("row", PICTURES)
    def test_a_real_file_is_what_the_manifest_says(
        self, row: dict[str, str], real: RealFiles
    ) -> None:
        info = real.files[row["file"]][1]
        facts, right = found(info), wanted(row)
        changes, _ = ON_PURPOSE.get(row["file"], ({}, ""))
        assert all(right[name] != value for name, value in changes.items()), (
            "no exception is needed"
        )
        right |= changes
        assert facts.pop("shown") in right.pop("shown"), info.problem
        assert info.kind == ("video" if row["should_decode"] == "video" else "photo")
        if info.has_picture:
            assert facts == right
            self.check_renditions(real.made(row["file"]), info)
        else:
            assert real.made(row["file"]).files == {}

    def check_renditions(self, made: Developed, info: renditions.Info) -> None:
        assert set(made.files) == set(renditions.rendition_names(info))
        for width, height in made.sizes.values():
            # Upright and not distorted, to a pixel.
            assert abs(width * info.height - height * info.width) <= max(
                info.width, info.height
            )

    @pytest.mark.parametrize("row", OTHERS)
    def test_what_is_no_photo_is_no_item(
        self, row: dict[str, str], real: RealFiles
    ) -> None:
        assert row["file"] not in real.items
        assert row["file"] not in real.files
        problems = dict(photos.Upkeep(real.library).problems())
        is_raw = row["should_decode"] == "raw"
        assert problems.get(row["file"], "").startswith("RAW: ") == is_raw

    def test_every_exception_is_about_a_real_file(self, real: RealFiles) -> None:
        assert set(ON_PURPOSE) <= set(real.files)

    @pytest.mark.parametrize("number", range(2, 9))
    @pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
    def test_1_every_orientation_looks_like_the_first(
        self, shape: str, number: int, real: RealFiles
    ) -> None:
        first, other = (real.thumbnail(f"orientation/{shape}_{n}.jpg") for n in (1, number))
        assert difference(first, other) < 20

    def test_2_boxes_turn_heic_and_avif_once(self, real: RealFiles) -> None:
        info = real.files["heic/iphonexs_irot.heic"][1]
        assert (info.width, info.height) == (3024, 4032)
        assert real.made("heic/iphonexs_irot.heic")["preview"].size == (1512, 2016)
        kimono = real.thumbnail("orientation/avif_kimono.avif")
        for name in ("irot90", "imir"):
            assert (
                difference(real.thumbnail(f"orientation/avif_kimono_{name}.avif"), kimono)
                < 8
            )

    def test_3_profiles_are_applied(self, real: RealFiles) -> None:
        gbr = real.made("colour/gbr_profile.jpg")["preview"]
        corner = gbr.crop((0, 0, gbr.width // 4, gbr.height // 8))
        assert ImageStat.Stat(corner).mean == pytest.approx((109, 179, 254), abs=8)
        grey = real.made("colour/gray_dot_gain.jpg")["preview"]
        assert ImageStat.Stat(grey).mean == pytest.approx((100, 100, 100), abs=5)
        vivid, stripped = (
            ImageStat.Stat(real.thumbnail(f"colour/{name}.jpg").convert("HSV")).mean[1]
            for name in ("adobe_rgb", "adobe_rgb_stripped")
        )
        assert vivid > stripped + 10

    @pytest.mark.parametrize(
        "name", ["png16_gray.png", "tiff16.tif", "png16_rgb.png", "png16_rgba.png"]
    )
    def test_4_sixteen_bits_keep_their_brightness(self, name: str, real: RealFiles) -> None:
        with Image.open(SAMPLES / "colour" / name) as original:
            if original.mode == "RGBA":
                white = Image.new("RGBA", original.size, "white")
                original = Image.alpha_composite(white, original).convert("RGB")
            scale = 257 if original.mode == "I;16" else 1
            brightness = numpy.asarray(original).mean() / scale
        shown = numpy.asarray(real.made(f"colour/{name}")["preview"]).mean()
        assert shown == pytest.approx(brightness, abs=3)

    def test_5_bad_metadata_cost_no_picture(self, real: RealFiles) -> None:
        with Image.open(SAMPLES / "broken" / "png_exif_chunk_bad.png") as original:
            assert difference(real.thumbnail("broken/png_exif_chunk_bad.png"), original) < 8

    def test_6_what_cannot_be_shown_stays_listed_and_nothing_fails(
        self, real: RealFiles
    ) -> None:
        rows = [row for row in manifest() if row["file"].startswith("broken/")]
        listed = real.listed("broken")
        assert set(listed) == {row["file"].removeprefix("broken/") for row in rows}
        page = real.client.get("/album/broken/")
        assert page.status == 200
        reported = dict(photos.Upkeep(real.library).problems())
        for row in rows:
            item = listed[row["file"].removeprefix("broken/")]
            assert item["url"] in page.text
            assert real.client.get(item["url"]).status == 200
            assert real.client.get(item["original"]).status == 200
            thumbnail = real.client.get(item["url"].replace("/album/", "/thumbnail/", 1))
            if row["should_decode"] == "no":
                assert (thumbnail.status, thumbnail.headers["content-type"]) == (
                    404,
                    "image/svg+xml",
                )
                assert row["file"] in reported
            else:
                assert (thumbnail.status, thumbnail.headers["content-type"]) == (
                    200,
                    "image/webp",
                )

    def test_7_huge_files_are_refused_or_shown_while_others_are_answered(
        self, real: RealFiles
    ) -> None:
        problems = {
            path: info.problem for path, (_, info) in real.files.items() if "huge/" in path
        }
        assert problems == {
            "huge/jpeg_280mp.jpg": "",
            "huge/jpeg_100mp.jpg": "",
            "huge/webp_144mp.webp": "" if HAS_FFMPEG else problems["huge/webp_144mp.webp"],
            "huge/png_65536x65536.png": "too large: 65536 x 65536 pixels, at most 100 million; export it smaller",
            "huge/png_16384x16384_1bit.png": "too large: 16384 x 16384 pixels, at most 100 million; export it smaller",
            "huge/png_text_bomb.png": "Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK",
        }
        assert real.meanwhile == [200, 200, 200]
        assert len(real.peaks) == 2 * (sys.platform == "linux")
        assert max(real.peaks, default=0) < 1 << 30

    def test_8_local_times_are_kept_and_nonsense_is_none(self, real: RealFiles) -> None:
        items = {path.removeprefix("dates/"): item for path, item in real.items.items()}
        kathmandu = items["UTC-20240413-203531-Kathmandu.jpg"].taken
        assert kathmandu.isoformat() == "2024-04-14T02:20:31+05:45"
        assert items["newyear_sydney.jpg"].taken.year == 2019
        for name in ("zero_date.jpg", "blank_date.jpg", "gps_date_only.jpg"):
            item = items[name]
            assert item.info and item.info.taken == ""
            assert item.taken.timestamp() == pytest.approx(item.file.mtime, abs=1)

    def test_8_photos_of_one_moment_sort_by_it_whatever_their_offset(
        self, real: RealFiles
    ) -> None:
        names = [
            path.removeprefix("dates/") for path in real.items if path.startswith("dates/")
        ]
        at = [
            names.index(f"UTC-20240413-{name}.jpg")
            for name in ("203430-Auckland", "203530-Montevideo")
        ]
        assert at == sorted(at)
        assert names.index("UTC-20240413-203531-Kathmandu.jpg") == at[1] + 1

    def test_9_places_are_known_where_there_is_one_and_no_rendition_tells_them(
        self, real: RealFiles
    ) -> None:
        located = {
            path: info.latitude is not None for path, (_, info) in real.files.items()
        }
        assert not located["phones/motorola_empty_gps.jpg"]
        assert not located["gps/null_coordinates.jpg"]
        assert located["gps/zero_coordinate.jpg"]
        made = list((real.cache / renditions.RENDITIONS_FOLDER).glob("??/*.webp"))
        assert len(made) > 300
        assert {chunk for path in made for chunk in webp_chunks(path)} == {b"VP8 "}

    def test_10_every_name_answers_through_its_own_link(self, real: RealFiles) -> None:
        names = {path.name for path in (SAMPLES / "names").iterdir()} - {".hidden.jpg"}
        listed = real.listed("names")
        assert set(listed) == names
        page = real.client.get("/album/names/").text
        for item in listed.values():
            assert item["url"] in page
            for address in (
                item["url"],
                item["preview"],
                item["original"],
                *item["thumbnails"].values(),
            ):
                assert real.client.get(address).status == 200, address
        assert len({item["url"] for item in listed.values()}) == len(names)

    def test_10_content_decides_and_a_live_photo_is_one_item(self, real: RealFiles) -> None:
        named = {
            path.removeprefix("wrongext/"): info.media_type
            for path, (_, info) in real.files.items()
        }
        assert named["heic_named.jpg"] == "image/heif"
        assert named["jpeg_named.png"] == named["noextension"] == "image/jpeg"
        assert "live/IMG_7943_HEVC.MOV" not in real.items
        live = real.listed("live")["IMG_7943.HEIC"]["live"]
        assert live.startswith("/live/live/IMG_7943.HEIC")
        assert real.client.get(live, Range="bytes=0-9").status == 206
        assert not [path for path in real.items if path.endswith((".xmp", ".json"))]
