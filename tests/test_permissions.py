"""Permissions: what names say of an album, who may open and find it, and what is odd about a name."""

from __future__ import annotations

import datetime as dt
import os
from unicodedata import normalize

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import photos
from photos import Circumstances, Keywords, Principal, Rule, Visibility, parse_name

PUBLIC, HIDDEN, PRIVATE = Visibility
TODAY = dt.date(2026, 11, 28)
NOW = Circumstances(TODAY, frozenset({"anna", "ben", "ışıl"}))
VISITOR, ANNA, BEN = photos.VISITOR, Principal("anna"), Principal("ben")
OWNER = Principal("me", is_owner=True)
EVERYBODY = (VISITOR, ANNA, BEN, OWNER)
# Each name with who may open it, and who finds it.
ALL, USERS, OWNER_ONLY = EVERYBODY, (ANNA, BEN, OWNER), (OWNER,)


def openers(name: str, now: Circumstances = NOW) -> tuple[Principal, ...]:
    rule = parse_name(name).keywords.rule(now)
    return tuple(who for who in EVERYBODY if photos.may_open(who, rule))


def finders(name: str, now: Circumstances = NOW) -> tuple[Principal, ...]:
    rule = parse_name(name).keywords.rule(now)
    return tuple(who for who in EVERYBODY if photos.may_find(who, rule))


@pytest.mark.whole
@pytest.mark.parametrize(
    ("name", "title", "opens", "finds"),
    [
        ("Trip", "Trip", ALL, ALL),
        ("Trip.hidden", "Trip", ALL, USERS),
        ("Trip.private", "Trip", USERS, USERS),
        ("Trip.inbox", "Trip", USERS, USERS),
        ("Trip.PRIVATE", "Trip", USERS, USERS),
        ("Trip.private ", "Trip", USERS, USERS),
        ("Trip.private\n", "Trip", USERS, USERS),
        (".private", ".private", USERS, USERS),
        (os.fsdecode(b"caf\xe9.hidden"), os.fsdecode(b"caf\xe9"), ALL, USERS),
        ("Trip .private", "Trip", USERS, USERS),
        ("Trip..private", "Trip", USERS, USERS),
        ("Trip.PRİVATE", "Trip", USERS, USERS),  # a Turkish keyboard
        ("Trip.prıvate", "Trip", USERS, USERS),
        ("Trip.HİDDEN", "Trip", ALL, USERS),
        ("Trip．private", "Trip", USERS, USERS),  # full width
        ("Trip．ｐｒｉｖａｔｅ", "Trip", USERS, USERS),
        ("Trip。private", "Trip", USERS, USERS),  # ideographic
        ("Trip｡private", "Trip", USERS, USERS),
        ("Trip﹒private", "Trip", USERS, USERS),
        ("Trip․private", "Trip", USERS, USERS),  # one dot leader
        ("Trip…private", "Trip", USERS, USERS),
        ("Trip.private\u200b", "Trip", USERS, USERS),  # zero width
        ("Trip.\u200eprivate", "Trip", USERS, USERS),
        ("Trip.pri\u00advate", "Trip", USERS, USERS),  # soft hyphen
        ("Trip.private.hidden", "Trip", USERS, USERS),
        ("Trip.hidden.private", "Trip", USERS, USERS),
        ("Trip.private+anna", "Trip", (ANNA, OWNER), (ANNA, OWNER)),
        ("Trip.private+ANNA", "Trip", (ANNA, OWNER), (ANNA, OWNER)),
        ("Trip.private＋anna", "Trip", (ANNA, OWNER), (ANNA, OWNER)),
        ("Trip.private+anna+ben", "Trip", USERS, USERS),
        ("Trip.private+anna.hidden", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.hidden.private+anna", "Trip", (ANNA, OWNER), (ANNA, OWNER)),
        ("Trip.private+zoe", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.private+anna+zoe", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.private+", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.private life", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.private anna", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.private+anna copy", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.hidden+anna", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.inbox+anna", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.hidden-until-2026-11-28", "Trip", ALL, USERS),
        ("Trip.hidden-until-2026-11-27", "Trip", USERS, USERS),
        ("Trip.hidden-until-2026-12-31", "Trip", ALL, USERS),
        ("Trip.hidden-until-２０２６-12-31", "Trip", ALL, USERS),
        ("Trip.hidden-until-2026-13-01", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.hidden-until-31.12.2026", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.hidden-until-2026-12-311", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.hidden until 2026-12-31", "Trip", OWNER_ONLY, OWNER_ONLY),
        ("Trip.private-until-2026-12-31", "Trip", OWNER_ONLY, OWNER_ONLY),
        # Copies, as Finder, Explorer, sync clients and editors name them.
        ("Silly faces.private copy", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private copy 2", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private - Copy", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private - Copy (2)", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private – Kopie", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private(1)", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private (1)", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private（1）", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private 2", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private2", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private_old", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private.bak", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private.zip", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private (conflicted copy)", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.privateのコピー", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private副本", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.private\udcff", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        ("Silly faces.hidden copy", "Silly faces", OWNER_ONLY, OWNER_ONLY),
        (
            "Trip\u2488private",
            "Trip\u2488private",
            OWNER_ONLY,
            OWNER_ONLY,
        ),  # the one sign of "1."
        ("Copy of Silly faces.private", "Copy of Silly faces", USERS, USERS),
        # Other words.
        ("Trip.privateer", "Trip.privateer", ALL, ALL),
        ("Trip.privately", "Trip.privately", ALL, ALL),
        ("Trip-private", "Trip-private", ALL, ALL),
        ("Dr. No", "Dr. No", ALL, ALL),
        ("Trip.hiddenness", "Trip.hiddenness", ALL, ALL),
        ("Trip.inboxes", "Trip.inboxes", ALL, ALL),
        ("private", "private", ALL, ALL),
        ("Trip private", "Trip private", ALL, ALL),
        ("Trip (private)", "Trip (private)", ALL, ALL),
        ("Trip.privat", "Trip.privat", ALL, ALL),
        ("2024.07.12", "2024.07.12", ALL, ALL),
        (" Trip ", "Trip", ALL, ALL),
    ],
)
def test_a_name_says_who_may_open_and_find_it(
    name: str, title: str, opens: tuple[Principal, ...], finds: tuple[Principal, ...]
) -> None:
    assert parse_name(name).title == title
    assert openers(name) == opens
    assert finders(name) == finds


def test_a_user_is_named_as_users_are_compared() -> None:
    stored = photos.parse_user("IŞIL")
    now = Circumstances(TODAY, frozenset({stored}))
    rule = parse_name("Trip.private+IŞIL").keywords.rule(now)
    assert photos.may_open(Principal(stored), rule)


def test_a_user_who_is_removed_is_a_stranger_in_names() -> None:
    name = "Trip.private+anna+ben"
    assert ANNA in openers(name)
    without_ben = Circumstances(TODAY, frozenset({"anna"}))
    assert openers(name, without_ben) == (OWNER,)
    assert photos.flag_of(name, without_ben) == photos.Flag(
        "no_such_user", "ben", "Trip.private+anna"
    )


def test_hidden_ends_with_the_day_that_the_name_tells() -> None:
    name = "Trip.hidden-until-2026-12-31"
    for day, is_open in ((dt.date(2026, 12, 31), True), (dt.date(2027, 1, 1), False)):
        now = Circumstances(day, NOW.users)
        assert (VISITOR in openers(name, now)) == is_open
        assert ANNA in openers(name, now)


def combined(*names: str) -> Rule:
    return photos.keywords_of(names).rule(NOW)


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        ((), Rule()),
        (("A", "B"), Rule()),
        (("A.Hidden", "B"), Rule(HIDDEN)),
        (("A.private", "B"), Rule(PRIVATE)),
        (("A.hidden", "B.private"), Rule(PRIVATE)),
        (("A", "B.private", "C"), Rule(PRIVATE)),
        (("A.private+anna+ben", "B.private+anna"), Rule(PRIVATE, frozenset({"anna"}))),
        (("A.private+anna", "B.private+ben"), Rule(PRIVATE, frozenset())),
        (("A.private+anna", "B.private"), Rule(PRIVATE, frozenset({"anna"}))),
        (("A.private+anna+zoe", "B.private+anna"), photos.OWNER_ONLY),
        (("A.private copy", "B.private+anna"), photos.OWNER_ONLY),
        (
            ("A.hidden-until-2020-01-01", "B.private+anna"),
            Rule(PRIVATE, frozenset({"anna"})),
        ),
        (("A.hidden-until-2020-01-01", "B.hidden-until-2030-01-01"), Rule(PRIVATE)),
    ],
)
def test_along_a_path_the_strictest_wins(names: tuple[str, ...], rule: Rule) -> None:
    assert combined(*names) == rule
    assert combined(*reversed(names)) == rule


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("Trip (private)", "Trip.private"),
        ("private Trip", "Trip.private"),
        ("Trip_private", "Trip.private"),
        ("Trip.privat", "Trip.private"),
        ("Trip.pirvate", "Trip.private"),
        ("Trip.privte", "Trip.private"),
        ("Trip.privatebackup", "Trip.private"),
        ("Trip. private", "Trip.private"),
        ("Trip.hiden", "Trip.hidden"),
        ("Trip (hidden)", "Trip.hidden"),
        ("Reise (privat)", "Reise.private"),
        ("Reise versteckt", "Reise.hidden"),
        ("Voyage (privé)", "Voyage.private"),
        ("Voyage masqué", "Voyage.hidden"),
        ("Viaje privado", "Viaje.private"),
        ("Viaje oculto", "Viaje.hidden"),
        ("Percutian peribadi", "Percutian.private"),
        ("Percutian (tersembunyi)", "Percutian.hidden"),
        ("旅行（私人）", "旅行.private"),
        ("旅行 隱藏", "旅行.hidden"),
        ("旅行 私密", "旅行.private"),
        ("旅行 隐藏", "旅行.hidden"),
        ("旅行（非公開）", "旅行.private"),
        ("旅行 非表示", "旅行.hidden"),
        ("private", "private.private"),
        ("Bin", "Bin.private"),
        ("ゴミ箱", "ゴミ箱.private"),
        ("Silly faces.private copy", "Silly faces copy.private"),
        ("Silly faces.private (1)", "Silly faces 1.private"),
        ("Silly faces.hidden - Copy", "Silly faces copy.hidden"),
        ("Party.hidden-until-31.12.2026", "Party.hidden-until-2026-12-31"),
        ("Grandma.private+zoe+anna", "Grandma.private+anna"),
        ("Grandma.private+zoe", "Grandma.private+NAME"),
        ("Trip.hidden.private copy", "Trip copy.hidden.private"),
        ("Trip.private+anna copy", "Trip copy.private+anna"),
        ("Trip.private-until-2026-12-31", "Trip until 2026 12 31.private"),
        ("Trip.hidden.private+anna+zoe", "Trip.private+anna"),
        # never for all users, or for all who have the link, what was meant for some
        ("Trip.private +anna", "Trip.private+anna"),
        ("Trip.private+ Anna", "Trip.private+anna"),
        ("Trip.private+anna, ben", "Trip.private+anna+ben"),
        ("Trip.private+anna & ben (1)", "Trip 1.private+anna+ben"),
        ("Trip.private+anna,", "Trip.private+anna"),
        ("Trip.private-anna", "Trip.private+anna"),
        ("Trip.private +zoe", "Trip zoe.private+NAME"),
        ("Trip.hidden+anna", "Trip.private+anna"),
        ("Trip.private.hidden+anna", "Trip.private+anna"),
        ("Trip.inbox+anna", "Trip.inbox.private+anna"),
        ("Trip.inbox.private+zoe", "Trip.inbox.private+NAME"),
        ("Trip.privat+anna+ben", "Trip.private+anna+ben"),
        ("Trip.privat +anna", "Trip.private+anna"),
        ("Trip (private) +Anna, ben", "Trip.private+anna+ben"),
        ("Trip.privat+zoe", "Trip zoe.private+NAME"),
        ("Anna+Ben (private)", "Anna+Ben.private"),
        ("Party.hidden until 2026-12-31", "Party.hidden-until-2026-12-31"),
    ],
)
def test_an_odd_name_is_flagged_with_a_better_one(name: str, better: str) -> None:
    flag = photos.flag_of(name, NOW)
    assert flag is not None
    assert flag.better_name == better
    assert parse_name(better).rest == ""


@pytest.mark.parametrize(
    "name",
    [
        *("Trip", "Trip.private", "Trip.hidden", "Trip.inbox", "Trip.private+anna"),
        *(
            "Trip.hidden-until-2026-12-31",
            "Hiddensee 2024",
            "Musée du masque",
            "Deprivation",
        ),
        *("St. Moritz", "2024.08", "Trip.jpg", "Dr. Frieda"),
    ],
)
def test_a_plain_name_is_not_flagged(name: str) -> None:
    assert photos.flag_of(name, NOW) is None


# As the system tells them: bytes that are not UTF-8 are lone surrogates.
CHARACTERS = st.characters(exclude_categories=("Cs",)) | st.sampled_from("\udc80\udcff")
NAMES = st.text(CHARACTERS, min_size=1, max_size=40)
KEYWORDS = st.sampled_from(
    [".private", ".hidden", ".inbox", "．private", ".PRİVATE", "。hidden"]
)


@settings(max_examples=150, deadline=None)
@given(NAMES)
@example("\udcff.private")
@example("…")
def test_parsing_never_raises_and_keeps_a_title(name: str) -> None:
    parsed = parse_name(name)
    assert parsed.title
    photos.flag_of(name, NOW)
    parsed.keywords.rule(NOW)


def is_no_more_visible(name: str, than: str) -> bool:
    return set(openers(name)) <= set(openers(than)) and set(finders(name)) <= set(
        finders(than)
    )


@settings(max_examples=150, deadline=None)
@given(NAMES, KEYWORDS, NAMES)
@example("Trip", ".private", " copy")
@example("Trip", ".private", "のコピー")
@example("Trip", ".hidden", "-until-2030-01-01")
@example("Trip", ".private", "+anna+ben")
def test_what_stands_behind_a_keyword_never_makes_it_more_visible(
    title: str, keyword: str, behind: str
) -> None:
    name = title + keyword + behind
    makes_another_word = photos._KEYWORD.match(photos._folded(keyword + behind)) is None
    if not makes_another_word:
        assert is_no_more_visible(name, title + keyword)


@settings(max_examples=150, deadline=None)
@given(NAMES)
def test_a_name_without_a_keyword_is_public(name: str) -> None:
    folded = photos._folded(name)
    if not any(
        word in folded.replace("\u0307", "").replace("ı", "i")
        for word in ("private", "hidden", "inbox")
    ):
        assert parse_name(name).keywords == Keywords()
        assert openers(name) == EVERYBODY


@pytest.mark.parametrize("name", ["Chợ.privateị", "Chợ.privateị.hidden", "Chợ.inboxḱ"])
def test_a_name_means_the_same_however_its_accents_are_written(name: str) -> None:
    """macOS writes letter and accent apart: folded one by one, the letter ended the keyword."""
    apart = parse_name(normalize("NFD", name))
    assert apart.keywords == parse_name(normalize("NFC", name)).keywords
    assert apart.keywords.visibility == Visibility.PRIVATE
    assert normalize("NFC", apart.title) == "Chợ"


def test_a_keyword_is_seen_though_marks_stand_between_a_letter_and_its_accent() -> None:
    name = parse_name("Trip.privatex\u0345\u0307.hidden")
    assert (name.title, name.keywords.visibility) == ("Trip", Visibility.PRIVATE)


@pytest.mark.parametrize("text", ["。", ".", "é.", ".a", ".\u200b"])
def test_a_name_of_many_dots_is_folded_a_few_times(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers may ask for a name as long as they like, and to fold one takes long."""
    folded: list[str] = []
    fold = photos._folded

    def note_and_fold(text: str) -> str:
        folded.append(text)
        return fold(text)

    monkeypatch.setattr(photos, "_folded", note_and_fold)
    for end in ("x.private", "privatex.private"):
        name = text * (230 // len(text)) + end
        assert parse_name(name).keywords == parse_name("x.private").keywords
        folded.clear()
        parse_name(name)
        assert sum(map(len, folded)) < 5 * len(name)
