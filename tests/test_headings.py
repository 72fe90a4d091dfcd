"""Headings of days, months and years, which pages have from the server."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from drawing import draw, exif
from looking import Open
from visiting import Client

import photos

pytestmark = pytest.mark.usefixtures("patient")


def fill(album: Path, dates: list[str], name: str = "{:03}") -> None:
    """Draw a photo for each date."""
    for number, date in enumerate(dates):
        colour = f"#{number % 256:02x}{number // 256:02x}33"
        path = album / f"{name.format(number)}.jpg"
        draw(
            path,
            (12, 8),
            colour,
            exif=exif(f"{date.replace('-', ':')} 10:{number % 60:02}:00"),
        )


def headings(page: str) -> list[str]:
    return [re.sub("<[^>]+>", "", text) for text in re.findall("<h2.*?</h2>", page)]


def names_below(page: str) -> list[int]:
    """Return how many photos stand below each heading."""
    return [part.count("<li ") for part in page.split("<h2")[1:]]


@pytest.mark.whole
@pytest.mark.parametrize(
    ("dates", "told"),
    [
        (["2024-05-03"] * 8, []),
        (["2024-05-03"] * 4 + ["2024-05-04"] * 4, ["3 May 2024", "4 May 2024"]),
        (["2024-05-03"] * 5 + ["2024-05-04"] * 2, []),
        (["2024-05-03"] * 9 + ["2024-06-05"] * 4, ["May 2024", "June 2024"]),
        (["2024-05-03"] * 2 + ["2024-08-05"] * 2, []),
    ],
    ids=["one day", "two days", "few a day", "months", "a few of long ago"],
)
def test_days_and_months_have_headings_where_there_are_many_photos(
    library: Path, open_library: Open, visitor: Client, dates: list[str], told: list[str]
) -> None:
    fill(library / "Dated", dates)
    page = visitor.get("/album/Dated/").text
    assert headings(page) == told
    if told:
        assert sum(names_below(page)) == len(dates)
        assert names_below(page)[0] == dates.count(dates[0])


@pytest.mark.whole
def test_photos_by_name_have_no_headings(library: Path, visitor: Client) -> None:
    fill(library / "Named", [*["2024-05-09"] * 8, *["2024-05-03"] * 8])
    (library / "Named" / "album.txt").write_text("Named\nsort: name\n", "utf-8")
    assert headings(visitor.get("/album/Named/").text) == []


@pytest.mark.whole
def test_a_photo_of_another_zone_opens_no_second_day(
    library: Path, visitor: Client
) -> None:
    album = library / "Far"
    for number, (date, offset) in enumerate(
        [
            *[("2024:05:03 10:00:00", "+02:00")] * 4,
            *[("2024:05:04 06:00:00", "+02:00")] * 3,
            ("2024:05:03 22:30:00", "-07:00"),  # half an hour later
            *[("2024:05:04 20:00:00", "+02:00")] * 2,
        ]
    ):
        draw(
            album / f"{number}.jpg", (12, 8), f"#{number:02x}6699", exif=exif(date, offset)
        )
    page = visitor.get("/album/Far/").text
    assert headings(page) == ["3 May 2024", "4 May 2024"]
    assert names_below(page) == [4, 6]


@pytest.mark.whole
@pytest.mark.parametrize(("count", "has_years"), [(12, False), (13, True)])
def test_many_albums_of_more_years_than_one_stand_below_years(
    library: Path, open_library: Open, visitor: Client, count: int, has_years: bool
) -> None:
    for number in range(count):
        fill(library / "All" / f"{number:02}", [f"{2010 + number // 6}-03-04"])
    for number in range(count):
        visitor.get(f"/album/All/{number:02}/")
    page = visitor.get("/album/All/").text
    expected = ["2012", "2011", "2010"] if has_years else []
    assert headings(page) == expected
    assert re.findall(r'href="#y(\d+)"', page) == expected
    assert re.findall(r'<h2 id="y(\d+)"', page) == expected


@pytest.mark.whole
def test_sections_keep_the_order(quiet: Open, library: Path) -> None:
    fill(library / "Dated", ["2024-05-03"] * 4 + ["2024-05-04"] * 5)
    opened = quiet()
    place = opened.folders.locate(("Dated",), photos.VISITOR)
    assert place
    album = opened.album(place, photos.VISITOR)
    sections = photos.photo_sections(album, album.items)
    assert [item for section in sections for item, _ in section.members] == [*album.items]
