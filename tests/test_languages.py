"""Languages: the one that a browser asks for, and every text of an answer in it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from drawing import draw
from gallery import BROKEN, Gallery
from visiting import OWN, Client

import photos

pytestmark = pytest.mark.usefixtures("patient")


# Which one

TEXTS = photos.read_texts(Path(photos.__file__).with_name("templates") / "texts.tsv")

LANGUAGES = list({texts.language: texts for texts in TEXTS.values()}.values())

ASKED = {
    "en": [
        *(
            "",
            "en-GB,en;q=0.9",
            "nl, pt-BR",
            "*",
            "nl, *;q=0.5",
            "de;q=0.1, *",
            "*;q=0",
            "en;q=0",
        ),
        *(
            "de;q=0, de-AT",
            "zh;q=0, zh-CN",
            "de;q=0.",
            "de;q=2",
            "de;q=-1",
            "de;q=",
            "de;level=1",
            "de q=1",
        ),
        *("\xff", ";q=1", "-", "de-", "deutschland", "d", "x," * 5000 + "de"),
    ],
    "zh-Hant": [
        *(
            "zh-TW",
            "zh-HK",
            "zh-MO",
            "zh-Hant",
            "zh-Hant-HK",
            "zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7",
        ),
        *("en;q=0, *", "zh;q=0, zh-HK"),
    ],
    "zh-Hans": ["zh", "zh-CN", "zh-SG", "zh-hans-cn"],
    "ms": ["ms-MY", "en;q=0.9, ms"],
    "de": [
        *(
            "de",
            "DE-at",
            "de-AT, fr",
            "de;q=1.000",
            ",, de,",
            "*;q=0.5, de",
            "*;q=0, de;q=0.1",
        ),
        *("de-AT;q=0, de", "de," * 5000, "de-" * 5000, "de" + " " * 5000),
    ],
    "fr": ["fr-CA,fr;q=0.9,en;q=0.8", "fr, es", "en;q=0, fr;q=0.1"],
    "es": ["es-419", "fr;q=0.3, es;q=0.7", "es;q=0.5,fr;q=0.5"],
    "ja": ["ja-JP", "nl, ja;q=0.1", "fr\t;\tq=0.001 , JA;Q=0.002", "de;q=2, ja;q=0.1"],
}


@pytest.mark.parametrize(
    ("header", "language"),
    [(header, language) for language, headers in ASKED.items() for header in headers],
    ids=lambda value: repr(value)[:40],
)
def test_the_language_is_the_best_of_those_that_a_browser_asks_for(
    header: str, language: str
) -> None:
    assert photos.choose_language(header, TEXTS).language == language


@pytest.mark.whole
def test_a_page_that_is_known_in_one_language_is_another_one_in_another(
    gallery: Gallery,
) -> None:
    client = gallery.client()
    for address in ("/", "/album/Trip/", "/album/Trip/one.jpg"):
        known = client.get(address, Accept_Language="de")
        etag = known.headers["etag"]
        again = client.get(address, Accept_Language="de-CH", If_None_Match=etag)
        assert (again.status, again.headers["vary"]) == (304, known.headers["vary"])
        assert client.get(address, Accept_Language="fr", If_None_Match=etag).status == 200


@pytest.mark.parametrize(
    "address",
    [
        *(
            "/api/album",
            "/api/album/Trip",
            "/api/album/Quartz.private",
            "/feed.atom",
            "/static/style.css",
        ),
        *(
            "/thumbnail/Trip/one.jpg",
            "/photo/Trip/one.jpg",
            "/photo/Quartz.private/zebra.jpg",
        ),
        *("/photo/Trip/nothing.jpg", f"/thumbnail/{quote(BROKEN)}", "/healthz"),
    ],
)
def test_what_is_no_page_is_the_same_in_every_language(
    gallery: Gallery, address: str
) -> None:
    answers = [
        gallery.client().get(address, Accept_Language=tags)
        for tags in ("", "ja", "de, *;q=0")
    ]
    assert answers[0] == answers[1] == answers[2]
    assert "Language" not in answers[0].headers.get("vary", "")


# Every text


def english_left(page: str, texts: photos.Texts) -> list[str]:
    """Return the English texts in a page that are others in its language."""
    texts_and_patterns = [
        (english, re.sub(r"\\{\w+\\}", r"\\d+", re.escape(english)))
        for key, english in TEXTS["en"].texts.items()
        if texts.texts[key] != english and not key.startswith("date_")
    ]
    # The order of a date is no word; its month and its day are.
    for key in ("months", "weekdays"):
        names = set(TEXTS["en"].texts[key].split("|")) - set(texts.texts[key].split("|"))
        texts_and_patterns += [(name, name) for name in names]
    return [
        text
        for text, pattern in texts_and_patterns
        if re.search(rf"(?<!\w){pattern}(?!\w)", page)
    ]


@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
@pytest.mark.parametrize(
    ("kind", "address", "keys"),
    [
        ("visitor", "/login", ["skip", "log_in", "user_name", "password", "login_hint"]),
        ("visitor", "/", ["skip", "log_in"]),
        ("user", "/", ["log_out", "hidden", "private"]),
        ("visitor", "/album/Trip/", ["all_albums"]),
        ("visitor", "/album/Trip/Beach/", ["all_albums", "trail"]),
        (
            "visitor",
            "/album/Trip/one.jpg",
            ["next_photo", "download", "file", "dimensions", "size"],
        ),
        ("user", "/album/Trip/one.jpg", ["location"]),
        ("visitor", f"/album/{quote(BROKEN)}", ["not_shown"]),
        ("visitor", "/nothing", ["no_page", "error_404", "to_front"]),
        ("visitor", "/album/Trip/nothing.jpg", ["no_page", "error_404", "to_front"]),
    ],
)
def test_a_page_is_in_the_language_of_the_visitor(
    gallery: Gallery, texts: photos.Texts, kind: str, address: str, keys: list[str]
) -> None:
    answer = gallery.client(kind).get(
        address, Accept_Language=f"{texts.language}-x-test, en;q=0.5"
    )
    assert f'<html lang="{texts.language}"' in answer.text
    assert answer.headers["vary"] == "Cookie, Accept-Encoding, Accept-Language"
    assert not [key for key in keys if texts.text(key) not in answer.text]
    assert not english_left(answer.text, texts)


@pytest.mark.whole
@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
def test_an_empty_library_and_a_count_are_told_in_the_language_of_the_visitor(
    tmp_path: Path, texts: photos.Texts
) -> None:
    root = tmp_path / "Album"
    (root / "Empty").mkdir(parents=True)
    app = photos.create_app(root / ".photos", background=False)
    empty = [
        Client(app).get(path, Accept_Language=texts.language).text
        for path in ("/", "/album/Empty/")
    ]
    counts = []
    for name in ("one.jpg", "two.jpg"):
        draw(root / name)
        counts.append(Client(app).get("/", Accept_Language=texts.language).text)
    app.close()
    for page, key in zip(empty, ("empty_library", "empty_album"), strict=True):
        assert texts.text(key) in page
        assert not english_left(page, texts)
    assert texts.text("empty_visitor") in empty[0]
    for page, (key, count) in zip(
        counts, (("photos_one", 1), ("photos_many", 2)), strict=True
    ):
        assert texts.text(key, count=count) in page
        assert not english_left(page, texts)


@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
@pytest.mark.parametrize(
    ("method", "address", "body", "headers", "environ", "status", "key"),
    [
        ("POST", "/login", b"", {}, {}, 403, "error_403"),
        ("POST", "/logout", b"", {"Sec_Fetch_Site": "cross-site"}, {}, 403, "error_403"),
        (
            "POST",
            "/login",
            b"",
            OWN,
            {"CONTENT_TYPE": "multipart/form-data"},
            415,
            "error_400",
        ),
        ("POST", "/login", b"x" * 200_000, OWN, {}, 413, "error_413"),
        ("POST", "/album/Trip/", b"", OWN, {}, 405, "error_400"),
        ("GET", "/static/nothing.css", b"", {}, {}, 404, "error_404"),
        ("GET", "/?page=9", b"", {}, {}, 404, "error_404"),
    ],
)
def test_an_error_is_told_in_the_language_of_the_visitor(
    gallery: Gallery,
    texts: photos.Texts,
    method: str,
    address: str,
    body: bytes,
    headers: dict[str, str],
    environ: dict[str, str],
    status: int,
    key: str,
) -> None:
    client = gallery.client(**environ)
    answer = client.request(
        method, address, body, **headers, Accept_Language=texts.language
    )
    assert answer.status == status
    assert answer.headers["vary"] == "Cookie, Accept-Encoding, Accept-Language"
    assert (
        texts.text(key) in answer.text
        and f"<h1>{texts.text('no_page')}</h1>" in answer.text
    )
    assert not english_left(answer.text, texts)


@pytest.mark.whole
@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
def test_why_a_login_failed_is_told_in_the_language_of_the_visitor(
    site: photos.Site, library: Path, texts: photos.Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(site, HTTP_ACCEPT_LANGUAGE=texts.language)

    def busy(*_: object) -> None:
        raise photos.Busy

    with monkeypatch.context() as patch:
        patch.setattr(photos.UserStore, "verify", busy)
        answers = [client.log_in()]
    answers += [client.log_in(password="not this one") for _ in range(6)]
    (library / ".photos" / "users.json").write_text("{")
    answers += [client.log_in(user="otto")]
    assert [answer.status for answer in answers] == [503, *[401] * 5, 429, 503]
    for answer in answers:
        assert texts.text(f"error_{answer.status}", seconds=1) in answer.text
        assert not english_left(answer.text, texts)


def test_what_is_remembered_of_languages_has_a_bound(gallery: Gallery) -> None:
    visitor = gallery.client()
    for number in range(photos.LANGUAGES_KEPT + 50):
        header = f"de-x{number}, {'x,' * number}fr"
        assert 'lang="de"' in visitor.get("/login", Accept_Language=header).text
    remembered = gallery.app._texts_for.cache_info()
    assert remembered.currsize <= photos.LANGUAGES_KEPT
