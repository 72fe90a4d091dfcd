"""The search: albums and photos by words and dates, of all that somebody finds."""

from __future__ import annotations

import dataclasses
import datetime as dt
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import needed
from drawing import draw, exif
from looking import look, read
from visiting import Client, Page, invite

import photos

Search = Callable[..., Page]


def take(path: Path, date: str = "2019:08:05", **save: Any) -> Path:
    """Draw a photo that was taken at noon of a day, or at another time: 2024:05:06, 2024:05:06 07:08:09."""
    time = date if " " in date else f"{date} 12:00:00"
    return draw(path, exif=exif(time, **save))


@pytest.fixture
def search(site: photos.Site, visitor: Client) -> Search:
    """Returns what a visitor or somebody else finds, after all photos were read."""

    def page(query: str, client: Client = visitor, more: str = "") -> Page:
        read(site._library)
        answer = client.get(f"/search?q={quote(query, safe='')}{more}")
        assert answer.status == 200, query
        return Page(answer.text)

    return page


def test_words_of_names_are_found(library: Path, search: Search) -> None:
    take(library / "Sea" / "Café at night.jpg")
    for query in ("cafe", "CAFÉ", "night cafe", "afé", "sea cafe", " cafe  "):
        assert search(query).items == ["/album/Sea/Caf%C3%A9%20at%20night.jpg"], query
    assert search("cafe mountain").items == []


def test_titles_descriptions_captions_cameras_and_lenses_are_found(
    library: Path, search: Search
) -> None:
    take(library / "Sea" / "a.jpg", tag010F="Canon", tag0110="Canon EOS R6")
    take(library / "Sea" / "b.jpg")
    text = "Côte d’Azur\nWith Ben and Zoë\nb.jpg: A glass of Rosé\n"
    (library / "Sea" / "album.txt").write_text(text, "utf-8")
    a, b, album = "/album/Sea/a.jpg", "/album/Sea/b.jpg", "/album/Sea/"
    assert search("eos r6").items == [a]
    assert search("ROSE").items == [b]
    assert search("ben canon").items == [a]
    for query in ("cote d'azur", "zoe", "azur ben"):
        page = search(query)
        assert page.items == [], query
        assert album in page.links
        assert "1 result" in page.text


@pytest.mark.whole
def test_keywords_are_found(library: Path, search: Search) -> None:
    path = take(library / "Sea" / "a.jpg")
    tags = ["-XMP-dc:Subject=Sunset", "-XMP-dc:Subject=家族", "-IPTC:Keywords=Dune"]
    command = [needed("exiftool"), "-q", "-q", "-overwrite_original", *tags, str(path)]
    subprocess.run(command, check=True)
    for query in ("sunset", "家族", "dune sunset"):
        assert search(query).items == ["/album/Sea/a.jpg"], query


def test_titles_of_albums_above_are_words_of_a_photo(library: Path, search: Search) -> None:
    take(library / "Italy" / "Rome" / "fountain.jpg")
    assert search("italy fountain").items == ["/album/Italy/Rome/fountain.jpg"]
    page = search("italy")
    assert "/album/Italy/" in page.links
    assert "/album/Italy/Rome/" not in page.links


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("夏の京都旅行", "京都"),
        ("رحلة إلى القاهرة", "القاهرة"),
        ("Ｆｕｌｌ　ｍｏｏｎ", "full moon"),
    ],
)
def test_names_of_all_scripts_are_found_by_a_part(
    name: str, query: str, library: Path, search: Search
) -> None:
    take(library / name / "a.jpg")
    take(library / "Other" / f"{name}.jpg")
    page = search(query)
    assert page.items == [f"/album/Other/{quote(name)}.jpg"]
    assert f"/album/{quote(name)}/" in page.links


@pytest.mark.parametrize(
    "query", ["2019", "august 2019", "5. August", "2019年8月", "agosto"]
)
def test_photos_are_found_by_their_date(query: str, library: Path, search: Search) -> None:
    take(library / "Sea" / "a.jpg")
    take(library / "Sea" / "b.jpg", "2018:07:06")
    assert search(query).items == ["/album/Sea/a.jpg"]
    assert search(f"sea {query}").items == ["/album/Sea/a.jpg"]
    assert search(f"trip {query}").items == []


def test_today_is_that_of_the_server(library: Path, site: photos.Site) -> None:
    take(library / "Sea" / "a.jpg")
    state = library / ".photos"
    app = photos.create_app(state, background=False, today=lambda: dt.date(2019, 8, 6))
    try:
        read(app._library)
        client = Client(app)
        for query in ("yesterday", "gestern", "%E6%98%A8%E6%97%A5"):
            page = Page(client.get(f"/search?q={query}").text)
            assert page.items == ["/album/Sea/a.jpg"], query
        assert Page(client.get("/search?q=today").text).items == []
    finally:
        app.close()


def test_the_newest_stand_first_and_albums_before_them(
    library: Path, search: Search
) -> None:
    take(library / "Old dune" / "dune 1.jpg", "2011:01:01")
    take(library / "New dune" / "dune 2.jpg", "2022:01:01 10:00:00")
    take(library / "New dune" / "dune 3.jpg", "2022:01:01 11:00:00")
    take(library / "Else" / "dune 4.jpg", "2022:01:01 10:30:00")
    page = search("dune")
    names = [name.rpartition("/")[2] for name in page.items]
    assert names == ["dune%203.jpg", "dune%204.jpg", "dune%202.jpg", "dune%201.jpg"]
    new, old = (page.links.index(f"/album/{name}%20dune/") for name in ("New", "Old"))
    assert new < old < page.links.index(page.items[0])


@pytest.mark.whole
def test_a_hundred_stand_on_a_page(library: Path, search: Search, visitor: Client) -> None:
    first = take(library / "Many" / "x 000.jpg").read_bytes()
    for number in range(1, 120):
        copied = library / "Many" / f"x {number:03}.jpg"
        copied.write_bytes(first + str(number).encode())
    one = search("x many")
    assert len(one.items) == 100
    assert "/search?q=x+many&page=2" in one.links
    two = search("x many", more="&page=2")
    assert len(two.items) == 20
    assert "/search?q=x+many" in two.links
    assert not set(one.items) & set(two.items)
    for number in ("3", "0", "x", "9" * 4000):
        assert visitor.get(f"/search?q=x+many&page={number}").status == 404


@pytest.mark.parametrize(("count", "layout"), [(1, "n2"), (20, "cards")])
@pytest.mark.parametrize("address", ["/album/Heap/", "/search?q=box"])
def test_the_more_photos_follow_the_smaller_is_an_album_above_them(
    library: Path, search: Search, visitor: Client, count: int, layout: str, address: str
) -> None:
    for number in range(count):
        draw(library / "Heap" / f"{number}.jpg", colour=f"#{number:02}99aa")
        draw(library / "Heap" / "Box" / f"box {number}.jpg", colour=f"#{number:02}aa99")
    assert len(search("box").items) == count
    page = visitor.get(address).text
    above, _, _ = page.partition("data-grid")
    assert f'<div class="columns {layout}"' in above


# Who finds what


def test_nothing_private_is_found_counted_or_told_apart_from_nothing(
    library: Path, search: Search, user: Client
) -> None:
    take(library / "Quartz.private" / "zebra.jpg", "1987:05:06")
    for query in ("quartz", "zebra", "1987", "quartz zebra 1987"):
        there = search(query)
        assert there.items == []
        assert "0 result" not in there.text
        never = search("x" * len(query))
        assert there.text.replace(query, "") == never.text.replace("x" * len(query), "")
        assert search(query, user).items or search(query, user).links != never.links
    assert search("zebra", user).items == ["/album/Quartz/zebra.jpg"]


def test_a_rename_counts_at_the_next_search(
    library: Path, search: Search, user: Client
) -> None:
    take(library / "Sea" / "dune.jpg")
    assert search("dune").items
    (library / "Sea").rename(library / "Sea.private")
    assert search("dune").items == []
    assert search("dune", user).items == ["/album/Sea/dune.jpg"]
    (library / "Sea.private").rename(library / "Sea.hidden")
    assert search("dune").items == []
    (library / "Sea.hidden" / "dune.jpg").rename(library / "Sea.hidden" / "hill.jpg")
    (library / "Sea.hidden").rename(library / "Sea")
    assert search("dune").items == []
    assert search("hill").items == ["/album/Sea/hill.jpg"]


def test_a_guest_finds_what_is_in_the_share(
    library: Path, search: Search, visitor: Client
) -> None:
    take(library / "Wedding.private" / "Party" / "dance.jpg")
    take(library / "Wedding.private" / "Party" / "dance.private.jpg")
    take(library / "Wedding.private" / "Quartz.hidden" / "dance.jpg")
    take(library / "Other" / "dance.jpg")
    search("dance")
    prefix = invite(library / ".photos", "Wedding")
    assert f"{prefix}/search" in Page(visitor.get(f"{prefix}/").text).actions
    answer = visitor.get(f"{prefix}/search?q=dance")
    page = Page(answer.text)
    assert page.items == [f"{prefix}/album/Party/dance.jpg"]
    assert answer.headers["cache-control"] == "no-store"
    assert all(link.startswith((prefix, "/static/")) for link in page.links), page.links
    assert Page(visitor.get(f"{prefix}/search?q=wedding").text).items == []
    assert visitor.get("/s/AAAAAAAAAAAAAAAAAAAAAA/search?q=dance").status == 404


# The page


@pytest.mark.whole
def test_the_field_says_what_was_searched(search: Search, visitor: Client) -> None:
    front = Page(visitor.get("/").text)
    assert "/search" in front.actions
    page = search("\"><b>x</b> 'é'")
    assert page.fields["q"] == "\"><b>x</b> 'é'"
    assert "b" not in page.tags


def test_a_search_without_results_says_what_can_be_looked_for(search: Search) -> None:
    page = search("dragon")
    assert "Nothing was found for “dragon”." in page.text
    assert "August 2019" in page.text
    page = search(" ")
    assert "Nothing" not in page.text
    assert "August 2019" in page.text
    assert page.items == []


def test_an_empty_library_has_no_field_to_search(tmp_path: Path) -> None:
    state = tmp_path / "Empty" / ".photos"
    photos.make_state_folder(state)
    app = photos.create_app(state, background=False)
    try:
        assert "/search" not in Page(Client(app).get("/").text).actions
    finally:
        app.close()


def test_results_are_kept_by_browsers_of_strangers_alone_and_listed_nowhere(
    search: Search, visitor: Client, user: Client
) -> None:
    search("trip")
    answer = visitor.get("/search?q=trip")
    assert answer.headers["x-robots-tag"] == "noindex"
    assert answer.headers["cache-control"] == "private, no-cache"
    etag = answer.headers["etag"]
    assert visitor.get("/search?q=trip", If_None_Match=etag).status == 304
    assert user.get("/search?q=trip").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "query",
    [
        *(
            "%00",
            "%ff%fe",
            "%",
            "%zz",
            "%ED%A0%80",
            "\\",
            "%0d%0aSet-Cookie:x",
            "q=q",
            "&&&;;",
        ),
        *(
            "+".join(map(str, range(100))),
            "%EF%B7%BA" * 900,
            "a" * 8000,
            "%F0%9F%87%A6" * 600,
        ),
        *("%CC%81" * 2000, "0" * 5000, "{{1+1}}", "{query}", "%E2%80%AE"),
    ],
)
def test_no_search_hurts(query: str, search: Search, visitor: Client) -> None:
    search("trip")
    answer = visitor.get(f"/search?q={query}")
    assert answer.status == 200
    assert len(answer.body) < 40_000
    assert "set-cookie" not in answer.headers


def test_words_that_are_kept_are_bounded(
    library: Path, search: Search, site: photos.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "WORDS_BYTES", 100)
    for number in range(5):
        take(library / f"Album {number}" / ("dune" * 10 + ".jpg"))
    for _ in range(2):
        assert len(search("dune").items) == 5
        kept = site._finder._words.values()
        assert sum(len(words.lines) for words in kept) <= 100


def test_dates_and_words_are_read_ahead_in_one_look_at_the_items(
    library: Path, site: photos.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PAGE_PAUSE", "READING_PAUSE"):
        monkeypatch.setattr(photos, name, 0.0)
    take(library / "Sea" / "a.jpg")
    read(site._library)
    album = look(site._library, "Sea")
    looks: list[int] = []

    def list_items() -> Sequence[photos.Item]:
        looks.append(1)
        return album.items

    finder = photos.Finder()
    finder._reading_lock.acquire()  # as `knows_days` does, for the thread
    finder._read_ahead([dataclasses.replace(album, list_items=list_items)])
    assert len(looks) == 1
    same = dataclasses.replace(album, list_items=list_items)
    assert len(finder.words(same).days) == len(finder.calendar(same).days) == 1
    assert len(looks) == 1, "both are known"
