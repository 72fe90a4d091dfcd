"""HTTP: headers, caching, conditions, ranges, encodings, odd requests, the prefix of a proxy."""

from __future__ import annotations

import gzip
import json
import re
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from wsgiref.util import FileWrapper

import pytest
from drawing import draw, exif
from gallery import BROKEN, Gallery
from processes import eventually
from visiting import OWN, Answer, Client, Page, crawl, everything, is_page

import photos

pytestmark = pytest.mark.usefixtures("patient")


# Security headers

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

ANSWERS: list[tuple[int, str, str, dict[str, str]]] = [
    (200, "GET", "/", {}),
    (200, "HEAD", "/album/Trip/one.jpg", {}),
    (200, "GET", "/api/album", {}),
    (200, "GET", "/static/style.css", {}),
    (200, "GET", "/healthz", {}),
    (200, "GET", "/photo/Trip/one.jpg", {}),
    (200, "GET", "/thumbnail/Trip/one.jpg", {}),
    (206, "GET", "/photo/Trip/one.jpg", {"Range": "bytes=0-1"}),
    (303, "GET", "/album/Trip", {}),
    (303, "GET", "/album/Drafts.hidden/", {}),
    (304, "GET", "/photo/Trip/one.jpg", {"If_None_Match": "*"}),
    (304, "GET", "/", {"If_None_Match": "*"}),
    (400, "GET", "/thumbnail/Trip/one.jpg?w=1", {}),
    (401, "POST", "/login", OWN),
    (403, "POST", "/login", {"Sec_Fetch_Site": "cross-site"}),
    (404, "GET", "/album/Quartz/", {}),
    (404, "GET", "/photo/Quartz/zebra.jpg", {}),
    (404, "GET", "/album/Nowhere/", {}),
    (404, "GET", "/no/such/route", {}),
    (404, "GET", f"/thumbnail/{quote(BROKEN)}", {}),
    (405, "POST", "/", OWN),
    (405, "GET", "/logout", {}),
    (416, "GET", "/photo/Trip/one.jpg", {"Range": "bytes=999999999-"}),
]


@pytest.mark.whole
@pytest.mark.parametrize(
    ("status", "method", "address", "headers"),
    ANSWERS,
    ids=[f"{row[0]} {row[1]} {row[2]}" for row in ANSWERS],
)
def test_every_answer_has_the_security_headers(
    gallery: Gallery, status: int, method: str, address: str, headers: dict[str, str]
) -> None:
    answer = gallery.client().request(method, address, **headers)
    assert answer.status == status
    check_security(answer)
    if status >= 400 or status == 303:
        assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (status == 401)  # RFC 9110, 15.5.2
    if address.startswith(("/photo/Trip", "/thumbnail/Trip")) and status < 400:
        assert re.search(
            r"default-src 'none'.*; sandbox", answer.headers["content-security-policy"]
        )


def check_security(answer: Answer) -> None:
    headers = answer.headers
    assert (
        headers["content-security-policy"] == CSP
        or "sandbox" in headers["content-security-policy"]
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert (
        headers["cross-origin-opener-policy"]
        == headers["cross-origin-resource-policy"]
        == "same-origin"
    )
    assert "server" not in headers
    if is_page(answer):
        assert headers["content-security-policy"] == CSP


def test_a_form_that_is_too_large_is_refused(gallery: Gallery) -> None:
    answer = gallery.client().request("POST", "/login", b"user=" + b"a" * 200_000, **OWN)
    assert (answer.status, answer.headers["cache-control"]) == (413, "no-store")
    check_security(answer)


def test_a_bug_shows_a_plain_page_without_its_reason(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(size: float) -> str:
        raise RuntimeError("zebra crossing")

    monkeypatch.setattr(photos, "size_text", break_down)
    answer = gallery.client().get("/album/Trip/one.jpg")
    assert (answer.status, answer.headers["cache-control"]) == (500, "no-store")
    assert "Something went wrong here" in answer.text
    assert not re.search("zebra|Traceback|RuntimeError", everything(answer))
    check_security(answer)


def test_the_host_that_a_request_names_is_never_echoed(gallery: Gallery) -> None:
    paths = (
        "/",
        "/album/Trip",
        "/album/Drafts.hidden/",
        "/album/Quartz/",
        "/login",
        "/nothing",
        "/api/album",
        "/feed.atom",
    )
    for address in paths:
        assert "evil" not in everything(gallery.client().get(address, Host="evil.example"))


# Caching

IMMUTABLE = "max-age=31536000, immutable"

CACHED = [
    ("visitor", "/", "private, no-cache", True),
    ("user", "/", "private, no-cache", True),
    ("visitor", "/album/Trip/one.jpg", "private, no-cache", True),
    ("visitor", "/album/Drafts/", "private, no-cache", True),
    ("visitor", "/api/album/Trip", "private, no-cache", True),
    ("user", "/album/Quartz/", "no-store", False),
    ("user", "/album/Quartz/zebra.jpg", "no-store", False),
    ("user", "/api/album/Quartz", "no-store", False),
    ("visitor", "/login", "no-store", False),
    ("visitor", "/healthz", "no-store", False),
    ("visitor", "/feed.atom", "private, no-cache", True),
    ("visitor", "/photo/Trip/two.jpg", "public, no-cache", True),
    ("visitor", "/download/Trip/two.jpg", "public, no-cache", True),
    ("visitor", "/photo/Trip/one.jpg", "private, no-cache", True),  # it tells a place
    ("visitor", "/photo/Drafts/draft.jpg", "private, no-cache", True),
    ("user", "/photo/Quartz/zebra.jpg", "private, no-cache", True),
    ("visitor", "/thumbnail/Trip/one.jpg", "public, no-cache", True),
    ("visitor", "/thumbnail/Trip/one.jpg?v=wrong", "public, no-cache", True),
    ("user", "/preview/Quartz/zebra.jpg?v=wrong", "private, no-cache", True),
    ("visitor", "/static/style.css?v=wrong", "private, no-cache", True),
]


@pytest.mark.parametrize(
    ("kind", "address", "wanted", "has_etag"),
    CACHED,
    ids=[f"{r[0]} {r[1]}" for r in CACHED],
)
def test_caches_are_told_what_they_may_keep(
    gallery: Gallery, kind: str, address: str, wanted: str, has_etag: bool
) -> None:
    answer = gallery.client(kind).get(address)
    assert answer.status == 200
    assert answer.headers["cache-control"] == wanted
    assert ("etag" in answer.headers) == has_etag
    assert re.fullmatch(r'"[^"]+"', answer.headers.get("etag", '"-"'))
    if "html" in answer.headers["content-type"]:
        assert answer.headers["vary"] == "Cookie, Accept-Encoding, Accept-Language"


@pytest.mark.parametrize(
    ("kind", "path", "wanted"),
    [
        ("visitor", "Trip/one.jpg", "public, max-age=31536000, s-maxage=300, immutable"),
        ("visitor", "Drafts/draft.jpg", f"private, {IMMUTABLE}"),
        ("user", "Quartz/zebra.jpg", f"private, {IMMUTABLE}"),
        ("user", "Quartz/Deep/okapi.jpg", f"private, {IMMUTABLE}"),
        ("user", "Trip/linked.jpg", f"private, {IMMUTABLE}"),
    ],
)
def test_a_rendition_is_kept_for_as_long_as_its_version(
    gallery: Gallery, kind: str, path: str, wanted: str
) -> None:
    item = gallery.item(path, kind)
    for address in (*item["thumbnails"].values(), item["preview"]):
        answer = gallery.client(kind).get(address)
        assert (answer.status, answer.headers["cache-control"]) == (200, wanted)
        assert answer.headers["content-type"] == "image/webp"


def test_static_files_are_kept_for_as_long_as_their_version(gallery: Gallery) -> None:
    found = {
        link
        for link in Page(gallery.client().get("/album/Trip/one.jpg").text).links
        if "/static/" in link
    }
    assert len(found) >= 4
    for address in found:
        answer = gallery.client().get(address)
        assert (answer.status, answer.headers["cache-control"]) == (
            200,
            f"public, {IMMUTABLE}",
        )


@pytest.mark.parametrize(
    ("visibility", "versioned", "header"),
    [
        (
            photos.Visibility.PUBLIC,
            True,
            "public, max-age=31536000, s-maxage=300, immutable",
        ),
        (photos.Visibility.PUBLIC, False, "public, no-cache"),
        (photos.Visibility.HIDDEN, True, "private, max-age=31536000, immutable"),
        (photos.Visibility.HIDDEN, False, "private, no-cache"),
        (photos.Visibility.PRIVATE, True, "private, max-age=31536000, immutable"),
        (photos.Visibility.PRIVATE, False, "private, no-cache"),
    ],
)
def test_only_what_everybody_finds_is_kept_by_shared_caches(
    visibility: photos.Visibility, versioned: bool, header: str
) -> None:
    assert photos.cache_control(visibility, versioned=versioned) == header


# Conditions

ORIGINAL = "/photo/Trip/two.jpg"

PAST, FUTURE = formatdate(1e9, usegmt=True), formatdate(4e9, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": "{etag}"}, 304),
        ({"If_None_Match": "W/{etag}"}, 304),
        ({"If_None_Match": '"other", {etag}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"other"'}, 200),
        ({"If_None_Match": '"other"', "If_Modified_Since": FUTURE}, 200),
        ({"If_None_Match": "{etag}", "If_Modified_Since": PAST}, 304),
        ({"If_Modified_Since": "{modified}"}, 304),
        ({"If_Modified_Since": FUTURE}, 304),
        ({"If_Modified_Since": PAST}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_None_Match": "{etag}", "Range": "bytes=0-1"}, 304),
        ({"If_None_Match": "{etag}", "Range": "bytes=999999999-"}, 304),
    ],
    ids=str,
)
@pytest.mark.parametrize("address", [ORIGINAL, "/thumbnail/Trip/two.jpg"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_media_that_a_visitor_has_already_are_not_sent_again(
    gallery: Gallery, method: str, address: str, headers: dict[str, str], status: int
) -> None:
    client = gallery.client()
    first = client.request(method, address)
    known = {"etag": first.headers["etag"], "modified": first.headers["last-modified"]}
    headers = {name: value.format(**known) for name, value in headers.items()}
    answer = client.request(method, address, **headers)
    assert answer.status == status
    assert answer.body == (b"" if status == 304 else first.body)
    assert answer.headers["etag"] == first.headers["etag"]
    assert answer.headers["cache-control"] == first.headers["cache-control"]


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/album/Trip/",
        "/album/Trip/one.jpg",
        "/api/album",
        "/feed.atom",
        "/static/style.css",
    ],
)
def test_a_page_that_did_not_change_is_not_sent_again(
    gallery: Gallery, address: str
) -> None:
    client = gallery.client()
    first = client.get(address)
    again = client.get(address, If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    for name in ("etag", "cache-control", "vary"):
        assert again.headers[name] == first.headers[name]
    assert client.get(address, If_None_Match='"other"').body == first.body


def test_a_page_that_a_visitor_knows_is_another_one_for_a_user(gallery: Gallery) -> None:
    for address in ("/", "/api/album", "/album/Trip/one.jpg"):
        known = gallery.client().get(address).headers["etag"]
        assert gallery.client("user").get(address, If_None_Match=known).status == 200


def test_the_page_of_a_private_album_is_never_answered_with_304(gallery: Gallery) -> None:
    assert gallery.client("user").get("/album/Quartz/", If_None_Match="*").status == 200


@pytest.mark.whole
def test_a_file_that_was_written_anew_is_sent_anew(library: Path, visitor: Client) -> None:
    path = library / "Trip" / "one.jpg"
    before = visitor.get("/photo/Trip/one.jpg")
    version = json.loads(visitor.get("/api/album/Trip").body)["items"][0]["preview"]
    draw(path, colour="red", exif=exif("2024:05:06 07:08:09"))
    after = visitor.get("/photo/Trip/one.jpg", If_None_Match=before.headers["etag"])
    assert (after.status, after.body) == (200, path.read_bytes())
    shown = lambda: json.loads(visitor.get("/api/album/Trip").body)["items"][0]["preview"]  # noqa: E731
    eventually(lambda: shown() != version)


# Ranges


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=100-", 100, None),
        ("bytes=0-", 0, None),
        ("bytes=-7", -7, None),
        ("bytes=-999999999", 0, None),
        ("bytes=100-999999999", 100, None),
    ],
)
@pytest.mark.parametrize("wrapper", [None, FileWrapper], ids=["iterated", "file_wrapper"])
def test_a_range_of_an_original_is_sent_alone(
    gallery: Gallery, asked: str, start: int, end: int | None, wrapper: Any
) -> None:
    content = (gallery.root / "Trip" / "two.jpg").read_bytes()
    client = gallery.client(**({"wsgi.file_wrapper": wrapper} if wrapper else {}))
    answer = client.get(ORIGINAL, Range=asked)
    wanted = content[start:end]
    assert answer.status == 206
    assert (answer.headers["content-length"], answer.headers["accept-ranges"]) == (
        str(len(wanted)),
        "bytes",
    )
    at = content.index(wanted) if start else 0
    assert (
        answer.headers["content-range"]
        == f"bytes {at}-{at + len(wanted) - 1}/{len(content)}"
    )
    assert (
        answer.body[: len(wanted)] == wanted
    )  # a server's wrapper stops at Content-Length (PEP 3333)
    assert wrapper or len(answer.body) == len(wanted)


def test_a_part_too_large_for_a_file_wrapper_is_sent_in_blocks(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (gallery.root / "Trip" / "two.jpg").read_bytes()
    monkeypatch.setattr(photos, "WRAPPED_BYTES", 100)
    for headers, wanted in (({}, content), ({"Range": "bytes=7-"}, content[7:])):
        answer = gallery.client(**{"wsgi.file_wrapper": pytest.fail}).get(
            ORIGINAL, **headers
        )
        assert (answer.body, answer.headers["content-length"]) == (wanted, str(len(wanted)))


@pytest.mark.parametrize(
    "asked", ["bytes=999999999-", "bytes=999999999-9999999999", "bytes=-0"]
)
def test_a_range_outside_the_file_is_refused(gallery: Gallery, asked: str) -> None:
    size = (gallery.root / "Trip" / "two.jpg").stat().st_size
    answer = gallery.client().get(ORIGINAL, Range=asked)
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")
    assert len(answer.body) < 100


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=5-2",
        "bytes=a-b",
        "bytes=-",
        "bytes=",
        "items=0-5",
        "bytes=0-1,3-4",
        "0-5",
        "bytes=--5",
    ],
)
def test_a_range_that_makes_no_sense_or_is_multiple_is_ignored(
    gallery: Gallery, asked: str
) -> None:
    answer = gallery.client().get(ORIGINAL, Range=asked)
    assert (answer.status, answer.body) == (
        200,
        (gallery.root / "Trip" / "two.jpg").read_bytes(),
    )
    assert "content-range" not in answer.headers


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{etag}", 206),
        ("{modified}", 206),
        ('"other"', 200),
        ("W/{etag}", 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 200),
        ("nonsense", 200),
    ],
)
def test_a_range_is_sent_only_if_the_file_is_the_one_that_was_meant(
    gallery: Gallery, condition: str, status: int
) -> None:
    headers = gallery.client().get(ORIGINAL).headers
    condition = condition.format(etag=headers["etag"], modified=headers["last-modified"])
    answer = gallery.client().get(ORIGINAL, Range="bytes=1-2", If_Range=condition)
    assert answer.status == status
    assert len(answer.body) == (2 if status == 206 else int(headers["content-length"]))


def test_a_range_is_for_get_alone(gallery: Gallery) -> None:
    size = (gallery.root / "Trip" / "two.jpg").stat().st_size
    answer = gallery.client().request("HEAD", ORIGINAL, Range="bytes=0-1")  # RFC 9110, 14.2
    assert (answer.status, answer.headers["content-length"]) == (200, str(size))


# Encodings


@pytest.mark.parametrize(
    ("accepted", "zipped"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5, br", True),
        ("", False),
        ("br", False),
        ("identity, gzip;q=0", False),
    ],
)
def test_texts_are_compressed_for_who_takes_that(
    gallery: Gallery, accepted: str, zipped: bool
) -> None:
    client = gallery.client()
    for address in ("/album/Trip/", "/api/album", "/feed.atom", "/static/style.css"):
        plain, answer = client.get(address), client.get(address, Accept_Encoding=accepted)
        assert ("content-encoding" in answer.headers) == zipped
        assert (gzip.decompress(answer.body) if zipped else answer.body) == plain.body
        assert (answer.headers["etag"] == plain.headers["etag"]) != zipped
        assert "Accept-Encoding" in answer.headers["vary"]
        etag = answer.headers["etag"]
        assert (
            client.get(address, Accept_Encoding=accepted, If_None_Match=etag).status == 304
        )


def test_photos_are_not_compressed(gallery: Gallery) -> None:
    for address in ("/photo/Trip/two.jpg", "/thumbnail/Trip/two.jpg"):
        assert (
            "content-encoding"
            not in gallery.client().get(address, Accept_Encoding="gzip").headers
        )


# Methods


@pytest.mark.parametrize(
    "address",
    ["/", ORIGINAL, "/thumbnail/Trip/one.jpg", "/api/album", "/nothing", "/healthz"],
)
def test_head_answers_like_get_without_a_body(gallery: Gallery, address: str) -> None:
    head, get = (gallery.client().request(method, address) for method in ("HEAD", "GET"))
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


POSTED = {route.rule for route in photos.ROUTES if route.method == "POST"}


@pytest.mark.whole
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "POST"])
@pytest.mark.parametrize(
    "route",
    [r for r in photos.ROUTES if r.method == "GET" and r.rule not in POSTED],
    ids=str,
)
def test_other_methods_are_refused(
    gallery: Gallery, route: photos.Route, method: str
) -> None:
    address = re.sub("<path.*", "Quartz/zebra.jpg", route.rule)
    address = re.sub("<[a-z]+>", "2024", address)
    answer = gallery.client().request(method, address, **OWN)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


# Odd requests


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/nothing", 404),
        ("/album/Trip%00/", 404),
        ("/album/%00", 404),
        ("/photo/Trip/one.jpg%00", 404),
        ("/album/../", 404),
        ("/album/Trip/../Trip/", 404),
        ("/photo/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/photo//etc/passwd", 404),
        ("/photo/.photos/users.json", 404),
        ("/photo/.photos/secret.key", 404),
        ("/album/.photos/", 404),
        ("/album//Trip/", 404),
        ("/album/Trip//", 404),
        ("/album/Trip/one.jpg/", 404),
        ("/photo/Trip/one.jpg/", 404),
        ("/photo/Trip/", 404),
        ("/photo/", 404),
        ("/thumbnail/Trip/Beach/", 404),
        ("/api/album/Trip/one.jpg", 404),
        ("/album/Trip/album.txt", 404),
        ("/album/" + "x" * 100_000, 404),
        ("/album/" + "x/" * 5_000, 404),
        ("/album/Trip/" + "%F0%9F%8F%96" * 1_000, 404),
        ("/photo/Trip/ONE.JPG", 404),
        ("/static/nothing.css", 404),
        ("/static/texts.tsv", 404),
        ("/static/album.html", 404),
        ("/static/..%2fphotos.py", 404),
        ("/thumbnail/Trip/one.jpg?w=0", 400),
        ("/thumbnail/Trip/one.jpg?w=321", 400),
        ("/thumbnail/Trip/one.jpg?w=x", 400),
        ("/thumbnail/Trip/one.jpg?w=%FF", 400),
        ("/preview/Trip/one.jpg?size=full", 404),
        ("/%0d%0aX-Evil:%20yes", 404),
        ("/%FF", 404),
        ("/logi%FFn", 404),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_odd_address_has_a_clear_answer(
    gallery: Gallery, address: str, status: int
) -> None:
    answer = gallery.client("user").get(address)
    assert answer.status == status
    assert "x-evil" not in answer.headers
    told = "nothing at this address|is one of|what browsers show|no such album|^Not Found$"
    assert re.search(told, answer.text)


@pytest.mark.parametrize("name", [".hidden" * 2000 + "x", ".private" * 2000, "x" * 20_000])
def test_an_endless_path_is_refused_before_it_is_read(visitor: Client, name: str) -> None:
    assert visitor.get(f"/album/{name}").status == 404


@pytest.mark.parametrize(
    "foreign",
    ["prefs={%22a%22:1}", 'prefs={"a":1}', "x[1]=2", "a,b=c", "=", ";;", "é=ü", "a b=c"],
)
def test_cookies_of_other_sites_on_the_same_host_do_no_harm(
    gallery: Gallery, foreign: str
) -> None:
    # Browsers send cookies to all ports of a host: those of a NAS's own pages, say.
    own = f"photos-{gallery.tokens.site}={gallery.token('user')}"
    for cookie in (f"{foreign}; {own}", f"{own}; {foreign}"):
        assert gallery.client().get("/photo/Quartz/zebra.jpg", Cookie=cookie).status == 200
    assert gallery.client().get("/", Cookie=foreign).status == 200


ODD_HEADERS = (
    *(
        "If_None_Match",
        "If_Modified_Since",
        "If_Range",
        "Range",
        "Accept_Encoding",
        "Accept_Language",
    ),
    *("Host", "Origin", "Sec_Fetch_Site", "Cookie", "Referer", "User_Agent"),
)


@pytest.mark.parametrize("name", ODD_HEADERS)
@pytest.mark.parametrize(
    "value", ["\xff", "", ",;=", "x" * 8000], ids=["not UTF-8", "empty", "signs", "long"]
)
def test_an_odd_header_breaks_nothing(gallery: Gallery, name: str, value: str) -> None:
    headers: dict[str, str] = (
        {"Range": "bytes=0-1", name: value} if name == "If_Range" else {name: value}
    )
    for address in ("/album/Trip/", "/photo/Trip/one.jpg", "/static/style.css"):
        assert gallery.client().get(address, **headers).status == 200
    answer = gallery.client().request("POST", "/logout", **{**OWN, **headers})
    assert answer.status == (403 if name == "Sec_Fetch_Site" else 303)


# Origins

SITE = "https://photos.example.org"


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "", "Origin": SITE}, False),
        ({"Sec-Fetch-Site": "Same-Origin "}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": SITE}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, True),
        ({"Origin": SITE}, True),
        ({"Origin": "http://192.0.2.7:8080"}, True),
        ({"Origin": "http://photos.example.org"}, False),
        ({"Origin": f"{SITE}:8443"}, False),
        ({"Origin": f"{SITE}.evil.example"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Referer": f"{SITE}/login"}, False),
        ({}, False),
    ],
)
def test_a_form_counts_only_when_the_browser_says_it_is_of_this_site(
    headers: dict[str, str], same: bool
) -> None:
    assert photos.is_same_origin(headers, ["http://192.0.2.7:8080", SITE, ""]) is same


# Below a prefix


@pytest.mark.whole
@pytest.mark.parametrize(
    ("prefix", "kind"), [("/photos", "user"), ("/our%20photos/2", "visitor")]
)
def test_every_address_honours_the_prefix_of_a_proxy(
    gallery: Gallery, prefix: str, kind: str
) -> None:
    client = gallery.client(kind, SCRIPT_NAME=unquote(prefix))
    seen = set()

    def check(address: str, answer: Answer) -> None:
        seen.add(answer.status)
        if is_page(answer):
            page = Page(answer.text)
            assert all(
                link.startswith(f"{prefix}/") for link in page.links + page.actions
            ), address

    starts = (
        "/album/Trip",
        "/album/Trip/Beach/",
        "/api/album/Trip",
        "/album/Quartz",
        "/album/Drafts.hidden/",
        "/nothing",
    )
    crawl(client, *(prefix + start for start in starts), prefix=prefix, each=check)
    assert seen == {200, 303, 404}


def test_the_prefix_alone_is_the_front_page(gallery: Gallery) -> None:
    client = gallery.client(SCRIPT_NAME="/photos")
    assert client.get("").body == client.get("/").body
