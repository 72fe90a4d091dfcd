"""What a search means: folded words, and dates as people say them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from drawing import draw, exif
from looking import Open, look, read

import photos

TEXTS = photos.read_texts(Path(photos.__file__).with_name("templates") / "texts.tsv")
TODAY = dt.date(2026, 3, 1)
NAMES = photos.date_names(tuple(texts.names_of_dates for texts in TEXTS.values()), TODAY)


def fits(query: str, text: str = "", date: dt.date | None = None) -> bool:
    """Say whether each part of a search is in a text, or means a date."""
    folded = photos.fold(text)
    terms = photos.parse_query(query, NAMES)
    return all(
        term.text in folded or (date and term.date and term.date.holds(date))
        for term in terms
    )


def test_a_name_of_a_month_means_one_month_in_all_languages() -> None:
    for texts in TEXTS.values():
        for month, name in enumerate(texts.names_of_dates[0].split("|"), 1):
            if not name.isdecimal():
                assert NAMES[photos.fold(name)] == photos.SaidDate(month=month), name


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("MÜNCHEN", "Reise nach munchen"),
        ("strasse", "Straße"),
        ("İstanbul", "istanbul"),
        ("ｆｕｌｌ", "full moon"),
        ("京都", "夏の京都旅行"),
        ("hik", "Long hikes"),
        ("anna beach", "Beach with Anna"),
        ("2019", "Thailand 2019"),
        ("april", "April's birthday"),
        ("", "anything"),
    ],
)
def test_words_are_found_in_any_case_without_marks_and_in_any_order(
    query: str, text: str
) -> None:
    assert fits(query, text)


def test_every_word_must_be_found() -> None:
    assert not fits("anna mountain", "Beach with Anna")


DATES = """2019|2019-08|2019-08-05|2019/8/5|2019.08|5.8.2019|05.08.2019|2019年|2019年8月|8月|8月5日|5日|八月
2019年8月5日|２０１９|August 2019|2019 august|août|août 2019|Ogos|agosto 2019|agosto de 2019|5 August 2019|5. August
August 5|August 5, 2019|5th of August|am 5. August 2019|im August|in 2019|5 de agosto|el 5 de agosto de 2019
le 5 août 2019|5 Ogos 2019|5 AOUT 2019|of August"""


@pytest.mark.parametrize("query", DATES.replace("\n", "|").split("|"))
def test_a_date_means_its_days_and_no_others(query: str) -> None:
    assert fits(query, date=dt.date(2019, 8, 5))
    assert not fits(query, date=dt.date(2021, 9, 6))
    assert not fits(query, date=None)


@pytest.mark.parametrize(
    "query", ["5 August", "August 5", "5 de agosto", "5. August", "August 5th", "8月5日"]
)
def test_a_day_beside_a_month_means_that_day_alone(query: str) -> None:
    assert fits(query, date=dt.date(2019, 8, 5))
    assert not fits(query, date=dt.date(2019, 8, 15))
    assert not fits(query, date=dt.date(2019, 9, 5))


@pytest.mark.parametrize("language", sorted(TEXTS))
def test_today_and_yesterday_are_those_of_the_server(language: str) -> None:
    today, yesterday = TEXTS[language].names_of_dates[1].split("|")
    assert fits(today.upper(), date=TODAY)
    assert not fits(today, date=TODAY.replace(year=2025))
    assert fits(yesterday, date=dt.date(2026, 2, 28))
    assert not fits(yesterday, date=TODAY)


def test_an_apostrophe_may_be_one_of_a_typewriter() -> None:
    assert fits("aujourd'hui", date=TODAY)
    assert fits("l'été", "L’été à la mer")


def test_a_date_is_also_a_word() -> None:
    for query in ("2019", "de 2019", "14 de abril", "august", "today"):
        assert fits(query, f"Trip of {query}")


@pytest.mark.whole
@pytest.mark.parametrize(
    "query",
    [
        *("2019-13", "2019-08-32", "13月", "年", "月", "0000", "0000-99-99", "۲۰۱۹"),
        *("32 August", "0 August", "August 32", "5 5 anna", "5 de", "de", "of the"),
    ],
)
def test_what_is_no_date_is_a_word(query: str) -> None:
    assert not fits(query, date=dt.date(2019, 8, 5))
    assert fits(query, text=query.lower())


@pytest.mark.parametrize("query", ["", "   ", "\u0301", "\n\t"])
def test_a_search_without_letters_has_no_parts(query: str) -> None:
    assert photos.parse_query(query, NAMES) == []


def test_a_long_search_is_cut() -> None:
    terms = photos.parse_query(" ".join(map(str, range(100_000, 900_000))), NAMES)
    assert len(terms) == photos.QUERY_TERMS
    assert len(photos.parse_query("x" * 100_000, NAMES)[0].text) == photos.QUERY_LETTERS


@pytest.mark.parametrize(
    "letter", ["\ufdfa", "\u0390", "ß", "\U0001f1e6", "\0", "%", "\udcff"]
)
def test_letters_that_become_many_stay_bounded(letter: str) -> None:
    terms = photos.parse_query(letter * 100_000, NAMES)
    assert sum(len(term.text) for term in terms) <= 20 * photos.QUERY_LETTERS


# What is found


def found(album: photos.Album, query: str) -> tuple[list[str], list[str]]:
    """Return the titles of the albums and the names of the items that a search finds."""
    results = photos.Finder(photos_rows()).search(album, query, TODAY)
    titles = [part.title for part in results.albums]
    items = results.items(slice(0, 100))
    assert results.total == len(items)
    return titles, [item.title for item in items]


def photos_rows() -> list[tuple[str, str]]:
    return [texts.names_of_dates for texts in TEXTS.values()]


def test_an_album_is_found_by_its_title_and_its_photos_by_what_they_add(
    library: Path, quiet: Open
) -> None:
    draw(library / "Dune walk" / "cat.jpg", exif=exif("2019:08:05 12:00:00"))
    draw(library / "Dune walk" / "dog.jpg", exif=exif("2018:08:05 12:00:00"))
    album = look(quiet())
    assert found(album, "dune") == (["Dune walk"], [])
    assert found(album, "walk dune") == (["Dune walk"], [])
    assert found(album, "dune cat") == ([], ["cat.jpg"])
    assert found(album, "dune 2018") == ([], ["dog.jpg"])
    assert found(album, "dune .jpg") == ([], ["cat.jpg", "dog.jpg"])
    assert found(album, "") == ([], [])


def test_only_what_a_principal_finds_is_searched(library: Path, quiet: Open) -> None:
    draw(library / "Quartz.private" / "dune.jpg")
    draw(library / "Open" / "dune.private.jpg")
    draw(library / "Loft.hidden" / "dune.jpg")
    album_library = quiet()
    assert found(look(album_library), "dune") == ([], [])
    assert found(look(album_library), "quartz") == ([], [])
    assert len(found(look(album_library, user=True), "dune")[1]) == 3
    assert found(look(album_library, user=True), "quartz") == (["Quartz"], [])


def test_some_of_many_items_are_taken_the_newest_first(library: Path, quiet: Open) -> None:
    for number in range(9):
        date = f"2019:08:{number + 1:02} 12:00:00"
        draw(library / f"Album {number % 3}" / f"dune {number}.jpg", exif=exif(date))
    results = photos.Finder().search(look(quiet()), "dune", TODAY)
    names = [item.title[5] for item in results.items(slice(2, 5))]
    assert names == ["6", "5", "4"]
    assert results.items(slice(9, 20)) == []


def test_the_words_of_a_folder_are_read_once_for_all_who_find_it(
    library: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tick in ("TICK", "WHOLE_SECOND_TICK"):
        monkeypatch.setattr(
            photos, tick, -60
        )  # folders that have just changed have summaries
    album_library = quiet()
    album_library.summarise(album_library.walk())
    finder = photos.Finder()
    album = look(album_library, "Trip")
    album_library.index._understand.cache_clear()
    words = finder.words(album)
    # Nothing of what was gone through stays in memory.
    assert album_library.index._understand.cache_info().currsize == 0
    assert b"one.jpg" in words.lines
    assert finder.words(look(album_library, "Trip", user=True)) is words
    draw(library / "Trip" / "dune.jpg")
    read(album_library)
    album_library.summarise(album_library.walk())
    for is_user in (False, True):
        album = look(album_library, "Trip", user=is_user)
        assert b"dune.jpg" in finder.words(album).lines
