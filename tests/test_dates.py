"""Dates: what is certain in EXIF, XMP and names is used, what is not is never made up."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from PIL import Image

import photos
import renditions


def text_of(date: dt.datetime | None) -> str:
    """Return a date as short as it goes: without midnight, and seconds that are 0."""
    text = date.isoformat(" ") if date else "none"
    return text.removesuffix(" 00:00:00")


# Texts of EXIF and XMP


@pytest.mark.parametrize(
    ("text", "date"),
    [
        # missing, blank and senseless parts
        ("2024:05:06 07:08", "2024-05-06 07:08:00"),
        ("2024:05:06 07:08:  ", "2024-05-06 07:08:00"),
        ("2024:05:06 07:  :  ", "2024-05-06 07:00:00"),
        ("2024:05:06 07", "2024-05-06 07:00:00"),
        ("2024:05:06   :  :  ", "2024-05-06"),
        ("2024:05:06 --:--:--", "2024-05-06"),
        ("2024:05:06", "2024-05-06"),
        ("2024:05:06 07:08:75", "2024-05-06 07:08:00"),
        ("2024:05:06 07:75:09", "2024-05-06 07:00:00"),
        ("2024:05:06 25:61:61", "2024-05-06"),
        # unpadded, or padded with spaces
        ("2024:5:6 7:8:9", "2024-05-06 07:08:09"),
        ("2024: 5: 6  7: 8: 9", "2024-05-06 07:08:09"),
        ("  2024:05:06 07:08:09", "2024-05-06 07:08:09"),
        ("2024:05:06\x0007:08:09\0\0", "2024-05-06 07:08:09"),
        # other signs, or none
        ("2024/05/06 07.08.09", "2024-05-06 07:08:09"),
        ("2024.05.06 07-08-09", "2024-05-06 07:08:09"),
        ("2024-05-06-07-08-09", "2024-05-06 07:08:09"),
        ("2024:05:06:07:08:09", "2024-05-06 07:08:09"),
        ("2024:05-06, 07:08.09", "2024-05-06 07:08:09"),
        ("2024 05 06 07:08:09", "2024-05-06 07:08:09"),
        ("20240506 070809", "2024-05-06 07:08:09"),
        ("20240506070809", "2024-05-06 07:08:09"),
        ("20240506T070809.25Z", "2024-05-06 07:08:09.250000+00:00"),
        ("2024:05:06 07:08:09 Europe/Berlin", "2024-05-06 07:08:09"),
        # fractions and offsets
        ("2024-05-06T07:08:09,5+02:00", "2024-05-06 07:08:09.500000+02:00"),
        ("2024-05-06T07:08:09.123456789", "2024-05-06 07:08:09.123456"),
        ("2024-05-06T07:08-04:00", "2024-05-06 07:08:00-04:00"),
        ("2024-05-06T07:08:09 +5:30", "2024-05-06 07:08:09+05:30"),
        ("2024-05-06T07:08:09 UTC", "2024-05-06 07:08:09+00:00"),
        ("2024-05-06T07:08:09+99:00", "2024-05-06 07:08:09"),
        ("2024-05-06-04:00", "2024-05-06"),
        # clocks of their own
        ("2016:12:31 23:59:60", "2016-12-31 23:59:59"),
        ("2015:08:22 24:08:19", "2015-08-22 00:08:19"),
        # no day is certain
        ("2024:05:   07:08:09", "none"),
        ("2024:12  10:20:30", "none"),
        ("2024-05 07:08:09", "none"),
        ("2024 05 07:08", "none"),
        ("2024:05", "none"),
        ("2024", "none"),
        ("2024:05:00 00:00:00", "none"),
        ("2023:02:29 10:00:00", "none"),
        ("24:05:06 07:08:09", "none"),
    ],
)
def test_one_odd_part_costs_no_other(text: str, date: str) -> None:
    assert text_of(renditions.parse_date(text)) == date


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024:05:06 7:08:09 AM", "2024-05-06 07:08:09"),
        ("2024:05:06 7:08:09 PM", "2024-05-06 19:08:09"),
        ("2024:05:06 07:08:09pm", "2024-05-06 19:08:09"),
        ("2024:05:06 12:08:09 AM", "2024-05-06 00:08:09"),
        ("2024:05:06 12:08:09 PM", "2024-05-06 12:08:09"),
        ("2024:05:06 13:08:09 PM", "2024-05-06 13:08:09"),
        ("2024:05:06 7:08:09\u202fp.m.", "2024-05-06 19:08:09"),
        ("2024:05:06 7:08:09 p.\xa0m.", "2024-05-06 19:08:09"),
        ("2024:05:06 下午7:08:09", "2024-05-06 19:08:09"),
        ("2024:05:06 오후 7:08:09", "2024-05-06 19:08:09"),
        ("2024년 5월 6일 오후 7시 8분", "2024-05-06 19:08:00"),
        ("2024年5月6日 7時8分9秒", "2024-05-06 07:08:09"),
        ("２０２４：０５：０６ ０７：０８：０９", "2024-05-06 07:08:09"),
        ("٢٠٢٤:٠٥:٠٦ ٠٧:٠٨:٠٩ م", "2024-05-06 19:08:09"),
        ("\u200f٢٠٢٤‏/٥‏/٦ ٧:٠٨:٠٩ ص", "2024-05-06 07:08:09"),
        ("2567:05:06 07:08:09", "2024-05-06 07:08:09"),
    ],
)
def test_clocks_of_all_countries_are_read(text: str, date: str) -> None:
    assert text_of(renditions.parse_date(text)) == date


@pytest.mark.parametrize(
    "text",
    [
        "0000:00:00 00:00:00",
        "0001:01:01 00:00:00",
        "1601:01:01 00:00:00",
        "1904:01:01 00:00:00",
        "1904:01:01 01:00:00",
        "1970:01:01 00:00:00",
        "1970:01:01 00:00:00Z",
        "1970:01:01 05:30:00",
        "1969:12:31 19:00:00",
        "1980:01:01 00:03:12",
        "1980-01-01",
        "2000:01:01 00:00:00",
        "2000:01:01 00:00",
    ],
)
def test_a_clock_at_its_zero_is_no_date(text: str) -> None:
    assert renditions.parse_date(text) is None


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("1601:06:06 16:39:33", "1601-06-06 16:39:33"),
        ("1970:01:01 00:00:07", "1970-01-01 00:00:07"),
        ("1999:12:31 23:59:59", "1999-12-31 23:59:59"),
        ("2000:01:01 00:00:01", "2000-01-01 00:00:01"),
        ("2000-01-01", "2000-01-01"),
        ("1980:01:02 00:00:00", "1980-01-02"),
    ],
)
def test_what_only_looks_like_a_zero_is_a_date(text: str, date: str) -> None:
    assert text_of(renditions.parse_date(text)) == date


# Metadata

NOON = "2024:05:06 12:00:00"


@pytest.mark.parametrize(
    ("tags", "xmp", "date"),
    [
        ({0x9003: NOON, 0x9291: "25"}, "", "2024-05-06 12:00:00.250000"),
        ({0x9003: NOON, 0x9291: "  "}, "", "2024-05-06 12:00:00"),
        ({0x9003: NOON, 0x9291: "012   \0"}, "", "2024-05-06 12:00:00.012000"),
        ({0x9003: NOON, 0x9291: b"7\0"}, "", "2024-05-06 12:00:00.700000"),
        ({0x9003: NOON, 0x9291: 7}, "", "2024-05-06 12:00:00"),
        ({0x9003: NOON, 0x9292: "25", 0x9290: "5"}, "", "2024-05-06 12:00:00"),
        ({0x9003: NOON + ".75", 0x9291: "25"}, "", "2024-05-06 12:00:00.750000"),
        ({0x9003: "2024:05:06 12:00", 0x9291: "25"}, "", "2024-05-06 12:00:00"),
        ({0x9004: NOON, 0x9292: "25"}, "", "2024-05-06 12:00:00.250000"),
        ({0x9003: NOON.encode() + b"\0"}, "", "2024-05-06 12:00:00"),
        (
            {0x9003: NOON, 0x9011: "   :  ", 0x9010: "+02:00"},
            "",
            "2024-05-06 12:00:00+02:00",
        ),
        ({0x9003: NOON, 0x9011: "+0200"}, "", "2024-05-06 12:00:00+02:00"),
        ({0x9003: "2000:01:01 00:00:00", 0x9004: NOON}, "", "2024-05-06 12:00:00"),
        ({0x0132: NOON}, "", "none"),
        # a day alone gets the clock of a lesser date of the same day, of no other
        ({0x9003: "2024:05:06", 0x9004: NOON}, "", "2024-05-06 12:00:00"),
        ({0x9003: "2024:05:07", 0x9004: NOON}, "", "2024-05-07"),
        ({}, "exif:DateTimeOriginal='2024-05-06T12:00:00.5'", "2024-05-06 12:00:00.500000"),
        (
            {},
            'exif:DateTimeDigitized = "2024-05-06T12:00:00&#43;02:00"',
            "2024-05-06 12:00:00+02:00",
        ),
        (
            {},
            "<xap:CreateDate> 2024-05-06T12:00Z </xap:CreateDate>",
            "2024-05-06 12:00:00+00:00",
        ),
        ({}, 'photoshop:DateCreated="2024-5-6"', "2024-05-06"),
        ({}, 'photoshop:DateCreated="2024-05"', "none"),
        (
            {},
            'xmp:CreateDate="2024-06-07T01:01" photoshop:DateCreated="2024-05-06T12:00"',
            "2024-05-06 12:00:00",
        ),
        (
            {0x9003: "1970:01:01 00:00:00"},
            'xmp:CreateDate="2024-05-06T12:00"',
            "2024-05-06 12:00:00",
        ),
    ],
)
def test_metadata_tell_fraction_and_offset(
    tags: Mapping[int, Any], xmp: str, date: str
) -> None:
    assert text_of(renditions.date_taken(tags, {}, xmp.encode())) == date


def test_gps_gives_a_day_alone_no_offset() -> None:
    gps = {7: (10.0, 0.0, 0.0), 29: "2024-05-06"}
    assert text_of(renditions.date_taken({0x9003: "2024:05:06"}, gps, b"")) == "2024-05-06"
    zoned = renditions.date_taken({0x9003: NOON, 0x9291: "5"}, gps, b"")
    assert text_of(zoned) == "2024-05-06 12:00:00.500000+02:00"


def facts(
    path: Path, first: Mapping[int, Any], details: Mapping[int, Any]
) -> renditions.Info:
    """Return the facts of a photo with these tags in the two directories of its EXIF."""
    block = Image.Exif()
    block.update(first)
    block.get_ifd(0x8769).update(details)
    draw(path, exif=block.tobytes())
    return renditions.develop(os.fspath(path), renditions.Purpose.FACTS, path.parent)


def item(info: renditions.Info, name: str) -> photos.Item:
    file = photos.File(name, name, name, 1, 86400.0, 86400.0)
    return photos.Item((name,), file, info)


def test_fractions_order_the_photos_of_a_burst(tmp_path: Path) -> None:
    burst = [
        item(facts(tmp_path / name, {}, {0x9003: NOON, 0x9291: fraction}), name)
        for name, fraction in (("a.jpg", "75"), ("b.jpg", "500"), ("c.jpg", "081"))
    ]
    burst.sort(key=lambda each: photos.instant(each.taken))
    assert [each.title for each in burst] == ["c.jpg", "b.jpg", "a.jpg"]
    assert burst[0].facts.taken == "2024-05-06T12:00:00.081000"


def test_dates_in_the_first_directory_are_read(tmp_path: Path) -> None:
    info = facts(tmp_path / "a.jpg", {0x9003: NOON}, {})
    assert info.taken == "2024-05-06T12:00:00"
