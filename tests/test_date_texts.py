"""Dates as words, in the visitor's language, from the server on."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from drawing import draw, exif
from looking import Open
from visiting import Client

import photos

TEXTS = photos.read_texts(Path(photos.__file__).with_name("templates") / "texts.tsv")
LANGUAGES = sorted({texts.language for texts in TEXTS.values()})
MAY, JULY = dt.datetime(2024, 5, 3, 18, 30), dt.datetime(2024, 7, 9)


@pytest.mark.parametrize(
    ("language", "day", "month", "months", "full"),
    [
        ("en", "3 May 2024", "May 2024", "May – July 2024", "Friday, 3 May 2024"),
        ("de", "3. Mai 2024", "Mai 2024", "Mai – Juli 2024", "Freitag, 3. Mai 2024"),
        ("zh-tw", "2024年5月3日", "2024年5月", "2024年5月 – 7月", "2024年5月3日 星期五"),
        ("ja", "2024年5月3日", "2024年5月", "2024年5月～7月", "2024年5月3日金曜日"),
        ("fr", "3 mai 2024", "mai 2024", "mai – juillet 2024", "vendredi 3 mai 2024"),
    ],
)
def test_a_date_is_written_as_short_as_it_can_be(
    language: str, day: str, month: str, months: str, full: str
) -> None:
    texts = TEXTS[language]
    assert texts.dates(MAY, MAY.replace(hour=20)) == day
    assert texts.dates(MAY, MAY.replace(day=4)) == month
    assert texts.dates(MAY, JULY) == months
    assert texts.dates(MAY, JULY.replace(year=2026)) == "2024 – 2026"
    assert texts.date("date_full", MAY) == full


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_twelve_months_and_seven_days(language: str) -> None:
    texts = TEXTS[language.lower()].texts
    assert len(set(texts["months"].split("|"))) == 12
    assert len(set(texts["weekdays"].split("|"))) == 7


@pytest.mark.whole
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_shows_a_date_as_programs_write_it(visitor: Client, language: str) -> None:
    for path in ("/album/Trip/", "/album/Trip/one.jpg"):
        page = visitor.get(path, Accept_Language=language).text
        shown = re.sub(r' (datetime|data-\w+|href|src|srcset)="[^"]*"', "", page)
        assert re.search("2024", shown) and not re.search(r"\d{4}-\d\d", shown), path


@pytest.mark.whole
def test_the_time_zone_is_told_where_it_is_not_that_of_the_photos_around(
    library: Path, open_library: Open, visitor: Client, patient: None
) -> None:
    for name, offset in (("a", "+02:00"), ("b", "+02:00"), ("c", "+09:00")):
        block = exif("2024:05:06 07:08:09", offset)
        draw(library / "Far" / f"{name}.jpg", colour=f"#{ord(name):02x}6699", exif=block)
    assert "UTC" not in visitor.get("/album/Far/a.jpg").text
    assert "UTC+09:00" in visitor.get("/album/Far/c.jpg").text
