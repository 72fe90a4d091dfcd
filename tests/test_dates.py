"""Dates: what is certain in EXIF, XMP and names is used, what is not is never made up."""

from __future__ import annotations

import datetime as dt
import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES
from drawing import draw
from PIL import Image

import photos
import renditions

FAULTS = SAMPLES.parent / "faults"


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
    name = text.replace(":", "-") + ".jpg"
    assert renditions.date_in_name(name) is None


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
    info = facts(tmp_path / "a.jpg", {0x9003: NOON, 0x0132: "2025:01:01 10:00:00"}, {})
    assert (info.taken, info.written) == ("2024-05-06T12:00:00", "2025-01-01T10:00:00")


def test_a_date_that_makes_no_sense_is_not_taken_from_the_index() -> None:
    with pytest.raises(ValueError, match="month"):
        renditions.info_from({"written": "2024-99-01T00:00:00"})


@pytest.mark.parametrize(
    ("details", "name", "date"),
    [
        ({0x9003: NOON}, "20240107_110258.jpg", "2024-05-06 12:00:00"),
        ({0x9004: NOON}, "20240107_110258.jpg", "2024-05-06 12:00:00"),
        ({}, "20240107_110258.jpg", "2024-01-07 11:02:58"),
        ({0x9003: "1970:01:01 00:00:00"}, "20240107_110258.jpg", "2024-01-07 11:02:58"),
        ({}, "IMG_0001.jpg", "2025-01-01 10:00:00"),
        ({}, "IMG_20000101_000000.jpg", "2025-01-01 10:00:00"),
        # a day alone, and a lesser date of the same day that tells the time
        ({}, "IMG-20250101-WA0012.jpg", "2025-01-01 10:00:00"),
        ({}, "IMG-20250102-WA0012.jpg", "2025-01-02"),
        ({0x9003: "2024:01:07"}, "20240107_110258.jpg", "2024-01-07 11:02:58"),
    ],
)
def test_the_name_goes_before_the_date_that_editors_write(
    details: Mapping[int, Any], name: str, date: str, tmp_path: Path
) -> None:
    info = facts(tmp_path / name, {0x0132: "2025:01:01 10:00:00"}, details)
    assert text_of(item(info, name).taken) == date


def test_the_date_of_editors_has_an_offset_and_a_fraction_of_its_own(
    tmp_path: Path,
) -> None:
    details = {0x9010: "+02:00", 0x9290: "25", 0x9291: "75"}
    info = facts(tmp_path / "a.jpg", {0x0132: "2025:01:01 10:00:00"}, details)
    assert info.written == "2025-01-01T10:00:00.250000+02:00"


def test_the_time_of_the_file_is_the_last_resort(tmp_path: Path) -> None:
    info = facts(tmp_path / "a.jpg", {0x0132: "2000:01:01 00:00:00"}, {})
    assert info.written == ""
    assert item(info, "2024-01.jpg").taken.timestamp() == 86400


# Names

NAMES = {
    "2024-01-07": """
        IMG-20240107-WA0012.jpg
        STK-20240107-WA0001.webp
        WP_20240107_001.jpg
        Scan_20240107 (2).jpg
        20240107001.jpg
        20240107_999999.jpg
        20240107_1102.jpg
        2024 01 07 Trip.jpg
        2024-1-7.jpg
        2024-01-07①.jpg
        2024-01-07-2024-01-09.jpg
        2024-01-07 - 01-14 Trip.jpg
        2024-01-07_9-12.jpg
        2024-01-07 Run 10.55 km.jpg
        Scan 07.01.2024.jpg
        7.1.2024 Wanderung.jpg
        Adobe Scan 07 Jan 2024 (1).jpg
        Adobe Scan Jan 7, 2024.jpg
        7 January 2024.jpg
        2024年1月7日.jpg
        2024년 1월 7일.jpg
        20231345 2024-01-07.jpg
    """,
    "2024-01-07 11:02:00": """
        2024-01-07_11-02.png
        2024-01-07_11-02_1.png
        2024_01_07_11_02_IMG_1234.JPG
        Photo on 2024-01-07 at 11.02 AM #2.jpg
        202401071102.jpg
        20240107T1102.jpg
    """,
    "2024-01-07 11:02:58": """
        20240107_110258(0).jpg
        20240107_110258_HDR.jpg
        IMG_20240107_110258HDR.jpg
        IMG_20240107_110258_1.jpg
        MVIMG_20240107_110258.jpg
        DJI_20240107110258_0001_D.JPG
        WP_20240107_11_02_58_Pro.jpg
        WIN_20240107_11_02_58_Pro.jpg
        微信图片_20240107110258.jpg
        00000012-PHOTO-2024-01-07-11-02-58.jpg
        WhatsApp Image 2024-01-07 at 11.02.58_1a2b3c4d.jpg
        Imagem do WhatsApp de 2024-01-07 à(s) 11.02.58_0a1b2c3d.jpg
        photo_2024-01-07_11-02-58 (2).jpg
        photo_5@07-01-2024_11-02-58.jpg
        signal-2024-01-07-11-02-58.jpg
        KakaoTalk_Photo_2024-01-07-11-02-58 001.jpeg
        Screenshot 2024-01-07 110258.png
        Screenshot from 2024-01-07 11-02-58.png
        Screenshot_20240107-110258_Chrome.jpg
        Screenshot_2024-01-07-11-02-58-12_40deb401b9ffe8e1df2f1cc5ba480b12.jpg
        2024-01-07-110258_1920x1080_scrot.png
        20240107_11h02m58s_grim.png
        Bildschirmfoto 2024-01-07 um 11.02.58.png
        スクリーンショット 2024-01-07 11.02.58.png
        Zrzut ekranu 2024-01-7 o 11.02.58.png
        Näyttökuva 2024-1-7 kello 11.02.58.png
        ภาพถ่ายหน้าจอ 2567-01-07 เวลา 11.02.58.png
        ２０２４－０１－０７ 11.02.58.jpg
        2024-01-07 11.02.58-1.jpg
        Photo 2024-01-07, 11 02 58 AM.jpg
        2024-01-07 11.02.58 Amsterdam.jpg
        2024. 1. 7. 11.02.58.jpg
        2024_0107_110258_001.JPG
        2024_0107_110258.MP4
    """,
    "2024-01-07 13:02:58": """
        Screenshot 2024-01-07 at 1.02.58 PM.png
        Screenshot 2024-01-07 010258 PM.png
        Screenshot 2024-01-07 at 1.02.58\u202fPM (2).png
        Screenshot 2024-01-07 at 1.02.58\u00a0PM.png
        WhatsApp Image 2024-01-07 at 1.02.58 PM (1).jpeg
        Captura de pantalla 2024-01-07 a la(s) 1.02.58 p.m..png
        Captura de Pantalla 2024-01-07 a la(s) 1.02.58\u202fp.\u00a0m..png
        截屏2024-01-07 下午1.02.58.png
        스크린샷 2024-01-07 오후 1.02.58.png
        لقطة شاشة ٢٠٢٤-٠١-٠٧ في ١.٠٢.٥٨ م.png
        Gambar Skrin 2024-01-07 pada 1.02.58 PTG.png
        Знімок екрана 2024-01-07 о 1.02.58 пп.png
    """,
    "2024-01-07 11:02:58.123000": """
        00001IMG_00001_BURST20240107110258123_COVER.jpg
        PXL_20240107_110258123.NIGHT.jpg
        KakaoTalk_20240107_110258123_01.jpg
        viber_image_2024-01-07_11-02-58-123.jpg
        20240107T110258.123.jpg
    """,
    "2024-01-07 11:02:58+00:00": """
        2024-01-07T11_02_58Z.jpg
        20240107T110258Z.jpg
        2024-01-07 11.02.58 UTC.jpg
    """,
    "2024-01-07 11:02:58+01:00": "2024-01-07T11:02:58+0100.jpg",
    "2023-10-26 13:34:33": "ScreenRecording_10-26-2023 13-34-33_1.mov",
    "2020-06-21 18:33:15": "photo_1@21-06-2020_18-33-15.jpg",
    "2024-05-05": "05-05-2024.jpg",
    "2024-01-07 00:02:58": """
        Screen Shot 2024-01-07 at 12.02.58 AM.png
        IMG_20240107_240258.jpg
    """,
    "2024-01-07 12:02:58": "Screen Shot 2024-01-07 at 12.02.58 PM.png",
    "2016-12-31 23:59:59": "20161231_235960.jpg",
    "2000-01-01": "2000-01-01 New year.jpg",
    "none": """
        2024-01.jpg
        2024-01 Trip.jpg
        IMG_2024.jpg
        CamScanner 01-07-2024 11.02.jpg
        Lightroom 2024.1.2.jpg
        Photo 07-01-2024 11 02 58.jpg
        10.0.7.1.2024.jpg
        Market 5 2024.jpg
        1234567820240107.jpg
        550e8400-e29b-41d4-a716-446655440000.jpg
        Snapchat-1704621778.jpg
        24-01-07.jpg
        2024_0107.jpg
        2024_0107_1102.jpg
    """,
}


@pytest.mark.parametrize(
    ("name", "date"),
    [
        (line.strip(), date)
        for date, lines in NAMES.items()
        for line in lines.strip().split("\n")
    ],
)
def test_programs_and_people_write_dates_in_names(name: str, date: str) -> None:
    for form in ("NFC", "NFD"):  # macOS takes letters and their marks apart
        assert text_of(renditions.date_in_name(unicodedata.normalize(form, name))) == date


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("mmexport1704621778123.jpg", 1704621778.123),
        ("FB_IMG_1704621778123.jpg", 1704621778.123),
        ("RPReplay_Final1704621778.MP4", 1704621778.0),
    ],
)
def test_some_names_hold_a_moment(name: str, moment: float) -> None:
    date = renditions.date_in_name(name)
    assert date and date.tzinfo
    assert date.timestamp() == pytest.approx(moment)


def test_the_twelve_hour_clocks_of_screenshots_are_read() -> None:
    names = sorted(path.name for path in (FAULTS / "f11-ampm").iterdir())
    times = [
        text_of(renditions.date_in_name(name)).removeprefix("2024-01-07 ") for name in names
    ]
    assert times == ["13:15:00", "10:30:00", "23:02:58", "09:02:58"]
