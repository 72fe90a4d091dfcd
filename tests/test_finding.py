"""What a search means: folded words, and dates as people say them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import photos

TEXTS = photos.read_texts(Path(photos.__file__).with_name("templates") / "texts.tsv")
TODAY = dt.date(2026, 3, 1)
NAMES = photos.date_names((texts.names_of_dates for texts in TEXTS.values()), TODAY)


def fits(query: str, text: str = "", date: dt.date | None = None) -> bool:
    """Say whether each part of a search is in a text, or means a date."""
    folded = photos.fold(text)
    terms = photos.parse_query(query, NAMES)
    return all(
        term.text in folded or (date and term.span and term.span.holds(date))
        for term in terms
    )


def test_a_name_of_a_month_means_one_month_in_all_languages() -> None:
    for texts in TEXTS.values():
        for month, name in enumerate(texts.names_of_dates[0].split("|"), 1):
            if not name.isdecimal():
                assert NAMES[photos.fold(name)] == photos.Span(month=month), name


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
