"""Web: the route table crossed with visitors and visibilities, pages, media, login, links."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from email.utils import formatdate
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes, urlencode
from wsgiref.util import FileWrapper, setup_testing_defaults
from xml.etree import ElementTree

import pytest
from drawing import draw, exif
from gallery import BROKEN, FOLDERS, NAMES, VISITORS, Gallery
from PIL import Image
from visiting import OWN, PASSWORD, Answer, Client, Page, crawl, everything, is_page

import photos

pytestmark = pytest.mark.usefixtures("patient")

IMMUTABLE = "max-age=31536000, immutable"

TEXTS = photos.read_texts(Path(photos.__file__).with_name("templates") / "texts.tsv")
LANGUAGES = list({texts.language: texts for texts in TEXTS.values()}.values())

# What must never reach a visitor: names, texts, years and sizes of the private albums of the gallery.
PRIVATE_WORDS = re.compile(
    r"quartz|zebra|okapi|inner|xylophone|kumquat|123457|123 kB|(?<![0-9a-f])(?:1987|2031)(?![0-9a-f])",
    re.IGNORECASE,
)


# The matrix

# Album, photo, whether a visitor may open them, whether they exist. Album "": it is public.
PLACES = {
    "public": ("Trip", "Trip/one.jpg", True, True),
    "hidden": ("Drafts.hidden", "Drafts.hidden/draft.jpg", True, True),
    "private": ("Quartz.private", "Quartz.private/zebra.jpg", False, True),
    "nested below private": ("Quartz.private/Deep", "Quartz.private/Deep/okapi.jpg", False, True),
    "private in public": ("Trip/Inner.private", "Trip/Inner.private/cover.jpg", False, True),
    "link to a private album": ("Shortcut", "Shortcut/zebra.jpg", False, True),
    "nested below such a link": ("Shortcut/Deep", "Shortcut/Deep/okapi.jpg", False, True),
    "link to a private photo": ("", "Trip/linked.jpg", False, True),
    "nonexistent": ("Nowhere", "Trip/nothing.jpg", True, False),
    "nonexistent under private": ("Quartz.private/No", "Quartz.private/no.jpg", False, False),
    "nonexistent private": ("Nope.PRIVATE", "Trip/Nope.Private/no.jpg", False, False),
    "private by dots": ("Quartz.private/../Trip", "Quartz.private/../Trip/one.jpg", False, False),
}
# Method, rule: what everybody gets, what a user gets instead.
FIXED = {
    ("GET", "/"): (200, 200),
    ("GET", "/api/album"): (200, 200),
    ("GET", "/feed.atom"): (200, 200),
    ("GET", "/login"): (200, 303),
    ("POST", "/login"): (303, 303),
    ("POST", "/logout"): (303, 303),
    ("GET", "/static/<name>"): (200, 200),
    ("GET", "/manifest.webmanifest"): (200, 200),
    ("GET", "/healthz"): (200, 200),
}
WITH_PATH = [route for route in photos.ROUTES if "<path" in route.rule]
WITHOUT_PATH = [route for route in photos.ROUTES if "<path" not in route.rule]


# Handler: which addresses it has.
ADDRESSES = {
    "show_place": ("{album}/", "{photo}"),
    "send_album": ("{album}", "{album}/"),
    **dict.fromkeys(("send_thumbnail", "send_preview", "send_photo", "send_download"), ("{photo}",)),
}
MATRIX = [
    pytest.param(
        route, pattern.format(album=album, photo=photo), is_open, exists, id=f"{route.handler} {place}"
    )
    for route in WITH_PATH
    for place, (album, photo, is_open, exists) in PLACES.items()
    for pattern in ADDRESSES[route.handler]
    if album or "album" not in pattern
]


@pytest.mark.parametrize("kind", VISITORS)
@pytest.mark.parametrize(("route", "path", "is_open", "exists"), MATRIX)
def test_who_may_open_what(
    gallery: Gallery, route: photos.Route, path: str, is_open: bool, exists: bool, kind: str
) -> None:
    address = route.rule.partition("<")[0] + path
    answer = gallery.client(kind).get(address)
    if is_open or kind == "user":
        assert answer.status == (200 if exists else 404)
        return
    if address.startswith("/album/"):
        assert answer.status == 303
        assert answer.headers["location"] == "/login?" + urlencode({"next": address})
    else:
        assert answer.status == 401
    assert "etag" not in answer.headers
    assert not PRIVATE_WORDS.search(everything(answer).replace(address, ""))


@pytest.mark.parametrize("kind", VISITORS)
@pytest.mark.parametrize("route", WITHOUT_PATH, ids=lambda route: f"{route.method} {route.rule}")
def test_what_everybody_may_open(gallery: Gallery, route: photos.Route, kind: str) -> None:
    address = route.rule.replace("<name>", "style.css")
    form = urlencode({"user": "anna", "password": PASSWORD}).encode() if route.rule == "/login" else b""
    client = gallery.client(kind)
    answer = client.request(route.method, address, form if route.method == "POST" else b"", **OWN)
    assert answer.status == FIXED[route.method, route.rule][kind == "user"]


@pytest.mark.parametrize("kind", VISITORS)
def test_a_library_that_is_private_itself_shows_visitors_nothing(
    gallery: Gallery, tmp_path: Path, kind: str
) -> None:
    root = tmp_path / "Quartz.private"
    shutil.copytree(gallery.root, root, symlinks=True, ignore=shutil.ignore_patterns("cache", "Names"))
    app = photos.create_app(root / ".photos", background=False)
    client = dataclasses.replace(gallery, app=app).client(kind)
    paths = ("/", "/api/album", "/album/Trip/", "/photo/Trip/one.jpg", "/feed.atom")
    statuses = [client.get(path).status for path in paths]
    app.close()
    assert statuses == ([200] * 5 if kind == "user" else [303, 401, 303, 401, 401])


def test_a_route_without_an_access_rule_fails_at_the_start(
    site: photos.Site, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = photos.Route("GET", "/new", "send_health", None)  # type: ignore[arg-type]
    monkeypatch.setattr(photos, "ROUTES", (*photos.ROUTES, row))
    with pytest.raises(TypeError, match="/new has no access rule"):
        photos.create_app(library / ".photos", background=False)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
@pytest.mark.parametrize("headers", [{}, {"If_None_Match": "*"}, {"Range": "bytes=0-1"}], ids=str)
def test_a_path_under_a_private_name_answers_the_same_whether_it_exists_or_not(
    site: photos.Site, library: Path, visitor: Client, method: str, headers: dict[str, str]
) -> None:
    paths = (
        "Ghost.private",
        "Ghost.private/",
        "Ghost.private/Sub/",
        "Ghost.private/x.jpg",
        "Ghost.private/x.jpg/",
    )
    starts = [route.rule.partition("<")[0] for route in WITH_PATH]
    addresses = [
        f"{start}{path}{query}" for start in starts for path in paths for query in ("", "?v=1&page=9")
    ]
    before = [visitor.request(method, address, **headers, **OWN) for address in addresses]
    draw(library / "Ghost.private" / "x.jpg")
    draw(library / "Ghost.private" / "Sub" / "y.jpg")
    assert [visitor.request(method, address, **headers, **OWN) for address in addresses] == before
    assert Client(site).log_in(target="/album/Ghost.private/x.jpg").status == 303


# What visitors see


def test_nothing_of_private_albums_reaches_a_visitor(gallery: Gallery) -> None:
    def check(address: str, answer: Answer) -> None:
        is_script = answer.headers["content-type"].startswith("text/javascript")  # the same on every site
        assert is_script or not PRIVATE_WORDS.findall(everything(answer)), address

    places = ("/api/album", "/album/Quartz.private/", "/album/Quartz.private/zebra.jpg")
    known = " ".join(gallery.client("user").get(place).text for place in places)
    assert len({word.lower() for word in PRIVATE_WORDS.findall(known)}) >= 7
    starts = ("/", "/api/album", "/api/album/Trip", "/feed.atom", "/nothing")
    answers = crawl(gallery.client(), *starts, each=check)
    assert sum(answer.status == 200 for answer in answers.values()) > 150


def test_counts_covers_and_dates_are_of_what_somebody_may_see(gallery: Gallery) -> None:
    seen, known = gallery.json(""), gallery.json("", "user")
    photos_of = {album["title"]: album["photos"] for album in seen["albums"]}
    assert photos_of == {"Trip": 5, "Names": len(NAMES) + 1, "Folders": len(FOLDERS)}
    assert seen["photos"] == 1 + sum(photos_of.values())
    assert known["photos"] > seen["photos"]
    assert (seen["first"] > "2019", known["first"][:4]) == (True, "1987")
    trip, whole_trip = (gallery.json("Trip", kind) for kind in ("visitor", "user"))
    assert (trip["photos"], whole_trip["photos"]) == (5, 7)
    assert whole_trip["last"].startswith("2031") and not trip["last"].startswith("2031")
    assert [item["name"] for item in trip["items"]] == ["equator.jpg", "one.jpg", "two.jpg"]
    page = Page(gallery.client().get("/").text)
    assert f"{seen['photos']} photos" in page.text


def test_the_cover_of_an_album_is_never_of_a_private_one_below(gallery: Gallery, tmp_path: Path) -> None:
    root = tmp_path / "Album"
    draw(root / "Mixed" / "Inner.private" / "cover.jpg")
    draw(root / "Mixed" / "Open" / "sand.jpg")
    draw(root / "Only" / "Inner.private" / "cover.jpg")
    app = photos.create_app(root / ".photos", background=False)
    text = Client(app).get("/").text
    shown = json.loads(Client(app).get("/api/album").body)["albums"]
    app.close()
    assert [(album["title"], album["photos"]) for album in shown] == [("Mixed", 1)]
    assert "/Open/sand.jpg" in shown[0]["cover"]
    assert "Inner" not in text


def test_a_hidden_album_is_listed_for_users_only_and_opens_for_who_has_the_link(gallery: Gallery) -> None:
    link = "/album/Drafts.hidden/"
    assert link not in Page(gallery.client().get("/").text).links
    assert link in Page(gallery.client("user").get("/").text).links
    answer = gallery.client().get(link)
    assert (answer.status, answer.headers["x-robots-tag"]) == (200, "noindex")
    assert Page(answer.text).items == [f"{link}draft.jpg"]
    assert gallery.client().get("/thumbnail/Drafts.hidden/draft.jpg").headers["x-robots-tag"] == "noindex"
    assert "x-robots-tag" not in gallery.client().get("/album/Trip/").headers


def test_a_user_sees_badges_of_visibility(gallery: Gallery) -> None:
    page = Page(gallery.client("user").get("/").text)
    assert {"Hidden", "Private", "Drafts", "Xylophone"} <= {text.strip() for text in page.texts}


@pytest.mark.parametrize(
    ("kind", "path"), [("visitor", ""), ("visitor", "Trip"), ("user", ""), ("user", "Trip")]
)
def test_json_tells_what_the_page_shows(gallery: Gallery, kind: str, path: str) -> None:
    facts = gallery.json(path, kind)
    page = Page(gallery.client(kind).get(facts["url"]).text)
    assert page.items == [item["url"] for item in facts["items"]]
    cards = [link for link in page.links if link in {album["url"] for album in facts["albums"]}]
    assert list(dict.fromkeys(cards)) == [album["url"] for album in facts["albums"]]
    shown = [item for item in facts["items"] if "thumbnails" in item]
    assert {url for item in shown for url in item["thumbnails"].values()} <= set(page.images)
    assert {album["cover"] for album in facts["albums"]} <= {*page.images, None}
    assert f"{facts['photos']} photos" in page.text
    for item in facts["items"]:
        photo = Page(gallery.client(kind).get(item["url"]).text)
        assert item["name"] in photo.text
        assert item["download"] in photo.links
        assert f"{item['width']} × {item['height']}" in photo.text


@pytest.mark.parametrize("name", ["one.jpg", "equator.jpg"])
def test_where_a_photo_was_taken_is_told_to_users_only(gallery: Gallery, name: str) -> None:
    latitude, longitude = {"one.jpg": (48.25, 16.5), "equator.jpg": (0, 9)}[name]
    pages = {kind: gallery.client(kind).get(f"/album/Trip/{name}").text for kind in ("user", "visitor")}
    where = f"{latitude:.5f}, {longitude:.5f}"
    assert where in pages["user"] and where not in pages["visitor"]
    assert not {"latitude", "longitude"} & gallery.item(f"Trip/{name}").keys()
    told = gallery.item(f"Trip/{name}", "user")
    assert (told.get("latitude"), told.get("longitude")) == (latitude, longitude)


# Renaming


def test_renaming_an_album_to_private_hides_it_at_the_next_request(
    library: Path, visitor: Client, user: Client
) -> None:
    item = json.loads(visitor.get("/api/album/Trip").body)["items"][0]
    media = [*item["thumbnails"].values(), item["preview"], item["original"], item["download"]]
    etags = {address: visitor.get(address).headers["etag"] for address in [*media, item["url"]]}
    (library / "Trip").rename(library / "Trip.private")
    assert "Trip" not in visitor.get("/").text + visitor.get("/api/album").text
    for address, etag in etags.items():
        assert visitor.get(address, If_None_Match=etag).status == 404
        moved = address.replace("/Trip/", "/Trip.private/")
        status = 303 if address == item["url"] else 401
        assert visitor.get(moved, If_None_Match=etag).status == status
    assert "/album/Trip.private/" in Page(user.get("/").text).links


def test_renaming_an_album_to_hidden_leaves_the_link_and_takes_it_from_the_list(
    library: Path, visitor: Client
) -> None:
    before = visitor.get("/")
    (library / "Trip").rename(library / "Trip.HIDDEN")
    after = visitor.get("/", If_None_Match=before.headers["etag"])
    assert after.status == 200 and "Trip" not in after.text
    assert visitor.get("/album/Trip.HIDDEN/").status == 200


def test_renaming_an_album_makes_no_rendition_again(library: Path, visitor: Client) -> None:
    item = json.loads(visitor.get("/api/album/Trip").body)["items"][0]
    address = item["thumbnails"]["320"]
    first = visitor.get(address)
    (library / "Trip").rename(library / "Journey")
    again = visitor.get(address.replace("/Trip/", "/Journey/"))
    assert again == first  # Last-Modified and ETag tell when the rendition was made
    assert again.headers["cache-control"].endswith("immutable")


def counts(client: Client) -> dict[str, int]:
    """Return the albums of the front page with their numbers of photos."""
    return {album["title"]: album["photos"] for album in json.loads(client.get("/api/album").body)["albums"]}


@pytest.mark.parametrize("link", ["Trip/alias.jpg", "Trip/alias"])
def test_a_link_into_an_album_that_becomes_private_is_closed_at_the_next_request(
    library: Path, visitor: Client, link: str
) -> None:
    draw(library / "Outer" / "x.jpg")
    photo = link if link.endswith(".jpg") else f"{link}/x.jpg"
    before = counts(visitor)
    (library / link).symlink_to("../Outer/x.jpg" if photo == link else "../Outer")
    now = time.time()
    os.utime(library / "Trip", (now - 60, now - 60))
    assert visitor.get(f"/photo/{photo}").status == 200
    assert "alias" in visitor.get("/album/Trip/").text
    (library / "Outer").rename(library / "Outer.private")
    (library / "Outer").symlink_to("Outer.private")
    assert visitor.get(f"/photo/{photo}").status == 401
    assert visitor.get(f"/thumbnail/{photo}").status == 401
    assert counts(visitor) == {title: count for title, count in before.items() if title != "Outer"}
    assert "alias" not in visitor.get("/album/Trip/").text


def test_a_link_into_a_private_album_does_not_tell_which_names_exist(library: Path, visitor: Client) -> None:
    draw(library / "Closed.private" / "x.jpg")
    (library / "Trip" / "door").symlink_to("../Closed.private")
    for kind in ("photo", "thumbnail", "download", "api/album"):
        for name in ("x.jpg", "y.jpg", "y/z.jpg", "%00"):
            assert visitor.get(f"/{kind}/Trip/door/{name}").status == 401, (kind, name)
    for name in ("x.jpg", "y.jpg"):
        answer = visitor.get(f"/album/Trip/door/{name}")
        assert answer.status == 303 and answer.headers["location"].startswith("/login?")
    assert visitor.get("/photo/Trip/none.jpg").status == 404


def test_a_changed_title_is_shown_at_the_next_request(library: Path, visitor: Client) -> None:
    state = library / ".photos"
    assert "Our photos" in visitor.get("/").text
    photos.write_config(state, photos.Config(title="The <Smiths> & co"))
    assert "The <Smiths> & co" in Page(visitor.get("/").text).text
    (state / "config.json").write_text('{"version": 1, "title": ')
    assert "The <Smiths> & co" in Page(visitor.get("/").text).text


def test_two_sites_in_one_process_know_nothing_of_each_other(visitor: Client, tmp_path: Path) -> None:
    draw(tmp_path / "Other" / "Solo" / "solo.jpg")
    other = photos.create_app(
        tmp_path / "state",
        config=photos.Config(library=str(tmp_path / "Other"), title="Two"),
        background=False,
    )
    pages = visitor.get("/").text, Client(other).get("/").text
    other.close()
    assert ["Trip" in page for page in pages] == [True, False]
    assert ["Solo" in page for page in pages] == [False, True]
    assert ["Two" in page for page in pages] == [False, True]


# Headers

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
    (303, "GET", "/album/Quartz.private/", {}),
    (304, "GET", "/photo/Trip/one.jpg", {"If_None_Match": "*"}),
    (304, "GET", "/", {"If_None_Match": "*"}),
    (400, "GET", "/thumbnail/Trip/one.jpg?w=1", {}),
    (401, "GET", "/photo/Quartz.private/zebra.jpg", {}),
    (401, "POST", "/login", OWN),
    (403, "POST", "/login", {"Sec_Fetch_Site": "cross-site"}),
    (404, "GET", "/album/Nowhere/", {}),
    (404, "GET", "/no/such/route", {}),
    (404, "GET", f"/thumbnail/{quote(BROKEN)}", {}),
    (405, "POST", "/", OWN),
    (405, "GET", "/logout", {}),
    (416, "GET", "/photo/Trip/one.jpg", {"Range": "bytes=999999999-"}),
]


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
        assert re.search(r"default-src 'none'.*; sandbox", answer.headers["content-security-policy"])


def check_security(answer: Answer) -> None:
    headers = answer.headers
    assert headers["content-security-policy"] == CSP or "sandbox" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
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


CACHED = [
    ("visitor", "/", "private, no-cache", True),
    ("user", "/", "private, no-cache", True),
    ("visitor", "/album/Trip/one.jpg", "private, no-cache", True),
    ("visitor", "/album/Drafts.hidden/", "private, no-cache", True),
    ("visitor", "/api/album/Trip", "private, no-cache", True),
    ("user", "/album/Quartz.private/", "no-store", False),
    ("user", "/album/Quartz.private/zebra.jpg", "no-store", False),
    ("user", "/api/album/Quartz.private", "no-store", False),
    ("visitor", "/login", "no-store", False),
    ("visitor", "/healthz", "no-store", False),
    ("visitor", "/feed.atom", "private, no-cache", True),
    ("visitor", "/photo/Trip/one.jpg", "public, no-cache", True),
    ("visitor", "/download/Trip/one.jpg", "public, no-cache", True),
    ("visitor", "/photo/Drafts.hidden/draft.jpg", "private, no-cache", True),
    ("user", "/photo/Quartz.private/zebra.jpg", "private, no-cache", True),
    ("visitor", "/thumbnail/Trip/one.jpg", "public, no-cache", True),
    ("visitor", "/thumbnail/Trip/one.jpg?v=wrong", "public, no-cache", True),
    ("user", "/preview/Quartz.private/zebra.jpg?v=wrong", "private, no-cache", True),
    ("visitor", "/static/style.css?v=wrong", "private, no-cache", True),
]


@pytest.mark.parametrize(
    ("kind", "address", "wanted", "has_etag"), CACHED, ids=[f"{r[0]} {r[1]}" for r in CACHED]
)
def test_what_caches_are_told(gallery: Gallery, kind: str, address: str, wanted: str, has_etag: bool) -> None:
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
        ("visitor", "Drafts.hidden/draft.jpg", f"private, {IMMUTABLE}"),
        ("user", "Quartz.private/zebra.jpg", f"private, {IMMUTABLE}"),
        ("user", "Quartz.private/Deep/okapi.jpg", f"private, {IMMUTABLE}"),
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
        link for link in Page(gallery.client().get("/album/Trip/one.jpg").text).links if "/static/" in link
    }
    assert len(found) >= 4
    for address in found:
        answer = gallery.client().get(address)
        assert (answer.status, answer.headers["cache-control"]) == (200, f"public, {IMMUTABLE}")


@pytest.mark.parametrize(
    "address", ["/", "/album/Trip/", "/album/Trip/one.jpg", "/api/album", "/feed.atom", "/static/style.css"]
)
def test_a_page_that_did_not_change_is_not_sent_again(gallery: Gallery, address: str) -> None:
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
    assert gallery.client("user").get("/album/Quartz.private/", If_None_Match="*").status == 200


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
def test_texts_are_compressed_for_who_takes_that(gallery: Gallery, accepted: str, zipped: bool) -> None:
    client = gallery.client()
    for address in ("/album/Trip/", "/api/album", "/feed.atom", "/static/style.css"):
        plain, answer = client.get(address), client.get(address, Accept_Encoding=accepted)
        assert ("content-encoding" in answer.headers) == zipped
        assert (gzip.decompress(answer.body) if zipped else answer.body) == plain.body
        assert (answer.headers["etag"] == plain.headers["etag"]) != zipped
        assert "Accept-Encoding" in answer.headers["vary"]
        etag = answer.headers["etag"]
        assert client.get(address, Accept_Encoding=accepted, If_None_Match=etag).status == 304


def test_photos_are_not_compressed(gallery: Gallery) -> None:
    for address in ("/photo/Trip/two.jpg", "/thumbnail/Trip/two.jpg"):
        assert "content-encoding" not in gallery.client().get(address, Accept_Encoding="gzip").headers


def test_the_host_that_a_request_names_is_never_echoed(gallery: Gallery) -> None:
    paths = ("/", "/album/Trip", "/album/Quartz.private/", "/login", "/nothing", "/api/album", "/feed.atom")
    for address in paths:
        assert "evil" not in everything(gallery.client().get(address, Host="evil.example"))


# Media

ORIGINAL = "/photo/Trip/one.jpg"


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
def test_a_range_of_an_original(
    gallery: Gallery, asked: str, start: int, end: int | None, wrapper: Any
) -> None:
    content = (gallery.root / "Trip" / "one.jpg").read_bytes()
    client = gallery.client(**({"wsgi.file_wrapper": wrapper} if wrapper else {}))
    answer = client.get(ORIGINAL, Range=asked)
    wanted = content[start:end]
    assert answer.status == 206
    assert (answer.headers["content-length"], answer.headers["accept-ranges"]) == (str(len(wanted)), "bytes")
    at = content.index(wanted) if start else 0
    assert answer.headers["content-range"] == f"bytes {at}-{at + len(wanted) - 1}/{len(content)}"
    assert answer.body[: len(wanted)] == wanted  # a server's wrapper stops at Content-Length (PEP 3333)
    assert wrapper or len(answer.body) == len(wanted)


def test_a_part_too_large_for_a_file_wrapper_is_sent_in_blocks(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (gallery.root / "Trip" / "one.jpg").read_bytes()
    monkeypatch.setattr(photos, "WRAPPED_BYTES", 100)
    for headers, wanted in (({}, content), ({"Range": "bytes=7-"}, content[7:])):
        answer = gallery.client(**{"wsgi.file_wrapper": pytest.fail}).get(ORIGINAL, **headers)
        assert (answer.body, answer.headers["content-length"]) == (wanted, str(len(wanted)))


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=999999999-9999999999", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(gallery: Gallery, asked: str) -> None:
    size = (gallery.root / "Trip" / "one.jpg").stat().st_size
    answer = gallery.client().get(ORIGINAL, Range=asked)
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")
    assert len(answer.body) < 100


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=a-b", "bytes=-", "bytes=", "items=0-5", "bytes=0-1,3-4", "0-5", "bytes=--5"]
)
def test_a_range_that_makes_no_sense_or_is_multiple_is_ignored(gallery: Gallery, asked: str) -> None:
    answer = gallery.client().get(ORIGINAL, Range=asked)
    assert (answer.status, answer.body) == (200, (gallery.root / "Trip" / "one.jpg").read_bytes())
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
def test_conditions_of_media(
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


def test_a_file_that_was_written_anew_is_sent_anew(library: Path, visitor: Client) -> None:
    path = library / "Trip" / "one.jpg"
    before = visitor.get(ORIGINAL)
    version = json.loads(visitor.get("/api/album/Trip").body)["items"][0]["preview"]
    draw(path, colour="red", exif=exif("2024:05:06 07:08:09"))
    after = visitor.get(ORIGINAL, If_None_Match=before.headers["etag"])
    assert (after.status, after.body) == (200, path.read_bytes())
    assert json.loads(visitor.get("/api/album/Trip").body)["items"][0]["preview"] != version


@pytest.mark.parametrize(
    "address", ["/", ORIGINAL, "/thumbnail/Trip/one.jpg", "/api/album", "/nothing", "/healthz"]
)
def test_head_answers_like_get_without_a_body(gallery: Gallery, address: str) -> None:
    head, get = (gallery.client().request(method, address) for method in ("HEAD", "GET"))
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


def test_a_range_is_for_get_alone(gallery: Gallery) -> None:
    size = (gallery.root / "Trip" / "one.jpg").stat().st_size
    answer = gallery.client().request("HEAD", ORIGINAL, Range="bytes=0-1")  # RFC 9110, 14.2
    assert (answer.status, answer.headers["content-length"]) == (200, str(size))


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("Trip/one.jpg", "image/jpeg"),
        ("Trip/Beach/sand.png", "image/png"),
        (BROKEN, "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("kind", ["photo", "download"])
def test_an_original_is_sent_as_what_its_content_is(
    gallery: Gallery, kind: str, path: str, media_type: str
) -> None:
    answer = gallery.client().get(f"/{kind}/{quote(path)}")
    assert answer.headers["content-type"] == media_type
    assert answer.body == (gallery.root / path).read_bytes()
    assert ("content-disposition" in answer.headers) == (kind == "download")


def test_a_file_without_a_picture_has_a_placeholder_and_the_rest_of_its_album_is_there(
    gallery: Gallery,
) -> None:
    client = gallery.client()
    answer = client.get(f"/thumbnail/{quote(BROKEN)}")
    assert (answer.status, answer.headers["content-type"]) == (404, "image/svg+xml")
    assert b"<svg" in answer.body
    for address in ("/album/Trip/Beach/", f"/album/{quote(BROKEN)}"):
        page = client.get(address)
        assert page.status == 200 and "This file cannot be shown" in page.text
        assert "<b>broken.jpg" in Page(page.text).texts
    assert len(Page(client.get("/album/Trip/Beach/").text).items) == 2


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg to make a video")
def test_a_video_and_a_live_photo_are_played_from_the_original(library: Path, visitor: Client) -> None:
    command = "ffmpeg -v error -f lavfi -i testsrc=duration=0.2:size=64x48 -pix_fmt yuv420p"
    subprocess.run([*command.split(), library / "Trip" / "clip.mp4"], check=True)
    shutil.copy(library / "Trip" / "clip.mp4", library / "Trip" / "ONE.MOV")
    items = {item["name"]: item for item in json.loads(visitor.get("/api/album/Trip").body)["items"]}
    assert items.keys() == {"one.jpg", "two.jpg", "clip.mp4"}
    clip, live = items["clip.mp4"], items["one.jpg"]["live"]
    answer = visitor.get(clip["url"])
    page = Page(answer.text)
    assert answer.status == 200 and "video" in page.tags
    assert {clip["thumbnails"]["640"], clip["original"]} <= set(page.links)
    assert live in Page(visitor.get(items["one.jpg"]["url"]).text).links
    for address, media_type in ((clip["original"], "video/mp4"), (live, "video/mp4")):
        answer = visitor.get(address, Range="bytes=4-7")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (206, b"ftyp", media_type)
    assert visitor.get(clip["thumbnails"]["640"]).headers["content-type"] == "image/webp"


# Names


def test_every_name_is_opened_by_its_own_links(gallery: Gallery) -> None:
    items = gallery.json("Names")["items"]
    folder = os.fsencode(gallery.root / "Names") + b"/"
    assert len(items) == len(NAMES) + 1
    sent = {}
    for item in items:
        name = unquote_to_bytes(item["original"].partition("?")[0]).rpartition(b"/Names/")[2]
        sent[name] = gallery.client().get(item["original"]).body
        assert item["name"] == name.decode("utf-8", "replace")
        answers = [gallery.client().get(item[key]) for key in ("url", "preview", "download")]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert answers[2].body == sent[name]
    assert sent == {name: Path(os.fsdecode(folder + name)).read_bytes() for name in [*NAMES, b"last.jpg"]}


@pytest.mark.parametrize("kind", ["visitor", "user"])
def test_every_link_of_albums_with_odd_names_works_and_all_names_are_escaped(
    gallery: Gallery, kind: str
) -> None:
    shown = set()

    def check(address: str, answer: Answer) -> None:
        assert answer.status == 200, address
        if is_page(answer):
            page = Page(answer.text)
            assert not {"b", "i", "style", "iframe"} & page.tags, address
            assert not {name for name in page.attributes if name.startswith("on") or name == "style"}, address
            assert page.text.count("<photos>") >= 2
            shown.update(page.texts)

    answers = crawl(gallery.client(kind), "/album/Names/", "/album/Folders/", each=check)
    assert all(any(name.decode("utf-8", "replace") in text for text in shown) for name in (*NAMES, *FOLDERS))
    for folder in FOLDERS:
        assert answers[f"/album/Folders/{quote(folder, safe='')}/in.jpg"].status == 200


@pytest.mark.parametrize("name", FOLDERS, ids=repr)
def test_an_album_without_its_slash_leads_to_the_one_with_it(gallery: Gallery, name: bytes) -> None:
    address = f"/album/Folders/{quote(name, safe='')}"
    answer = gallery.client().get(address)
    assert (answer.status, answer.headers["location"]) == (303, f"{address}/")


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_download_keeps_its_name(gallery: Gallery, name: bytes) -> None:
    answer = gallery.client().get(f"/download/Names/{quote(name, safe='')}")
    given = answer.headers["content-disposition"]
    match = re.fullmatch(
        r"attachment; filename=\"([^\"\\%]*)\"; filename\*=UTF-8''([\w.%~-]+)", given, re.ASCII
    )
    assert match and given.isascii() and given.isprintable()
    assert unquote(match[2]) == name.decode("utf-8", "replace")
    assert match[1].endswith(name[-4:].decode())


# Paging


@pytest.fixture
def paged(library: Path, visitor: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A visitor to an album of five photos on three pages, with one child album."""
    monkeypatch.setattr(photos, "PAGE_ITEMS", 2)
    for number in range(5):
        draw(library / "Many" / f"{number}.jpg", exif=exif(f"2024:01:0{number + 1} 00:00:00"))
    draw(library / "Many" / "Child" / "child.jpg")
    return visitor


def test_an_album_is_spread_over_pages(paged: Client) -> None:
    pages, address = [], "/album/Many/"
    while address:
        pages.append(Page(paged.get(address).text))
        following = f"/album/Many/?page={len(pages) + 1}"
        address = following if following in pages[-1].links else ""
    assert [[link[-5] for link in page.items] for page in pages] == [["0", "1"], ["2", "3"], ["4"]]
    assert ["/album/Many/Child/" in page.links for page in pages] == [True, False, False]
    assert [f"Page {n} of 3" in page.text for n, page in enumerate(pages, 1)] == [True] * 3
    assert "/album/Many/?page=2" in pages[2].links and "/album/Many/" in pages[1].links


def test_a_photo_leads_to_its_neighbours_and_back_to_its_page(paged: Client) -> None:
    page = Page(paged.get("/album/Many/2.jpg").text)
    assert {"/album/Many/1.jpg", "/album/Many/3.jpg", "/album/Many/?page=2"} <= set(page.links)
    assert "3 of 5" in page.text
    assert "/album/Many/4.jpg" not in page.links
    for end, neighbour in ((0, 1), (4, 3)):
        links = Page(paged.get(f"/album/Many/{end}.jpg").text).links
        turns = {f"/album/Many/{number}.jpg" for number in range(5) if number != end}
        assert turns & set(links) == {f"/album/Many/{neighbour}.jpg"}


def test_json_has_all_items_at_once(paged: Client) -> None:
    assert len(json.loads(paged.get("/api/album/Many").body)["items"]) == 5


def test_a_page_that_is_not_there(paged: Client) -> None:
    for page in ("0", "-1", "4", "abc", "1.5", "", "%D9%A1", "1e1", "9" * 20, "9" * 5000, "%00", "%FF"):
        answer = paged.get(f"/album/Many/?page={page}")
        assert answer.status == 404 and "nothing at this address" in answer.text, page


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
def test_an_odd_address_has_a_clear_answer(gallery: Gallery, address: str, status: int) -> None:
    answer = gallery.client("user").get(address)
    assert answer.status == status
    assert "x-evil" not in answer.headers
    told = "nothing at this address|is one of|what browsers show|no such album|^Not Found$"
    assert re.search(told, answer.text)


def post(app: photos.Site, body: bytes, content_type: str) -> Answer:
    """Send a login form of any content type."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/login",
        "QUERY_STRING": "",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_SEC_FETCH_SITE": "same-origin",
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    return Client(app)._send(environ)


FORM = "application/x-www-form-urlencoded"
PART = b'--x\r\nContent-Disposition: form-data; name="user"\r\n\r\n%b\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", FORM),
        (b"user", FORM),
        (b"user=\xff\xfe&password=\xff\xff\xff\xff\xff\xff\xff\xff", FORM),
        (b"user=%FF&password=%FF%FF%FF%FF%FF%FF%FF%FF&next=%FF", FORM),
        (b"user=%ED%A0%80&password=%ED%A0%80%ED%A0%80%ED%A0%80", FORM),
        (b"user=%00&password=%00%00%00%00%00%00%00%00", FORM),
        (b"user=" + b"a" * 60_000, FORM),
        (b"password=" + b"a" * 60_000, FORM),
        (b"&" * 60_000, FORM),
        (b'{"user": "anna"}', "application/json"),
        (b"", "multipart/form-data"),
        (b"garbage", "multipart/form-data; boundary=x"),
        (PART % b"anna", "multipart/form-data; boundary=x"),
        (PART % b"\xff", "multipart/form-data; boundary=x"),
        (PART % b"anna", "multipart/form-data; boundary=x; charset=nonsense"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_odd_form_is_refused(site: photos.Site, body: bytes, content_type: str) -> None:
    answer = post(site, body, content_type)
    assert 400 <= answer.status < 500
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "POST"])
@pytest.mark.parametrize(
    "route", [r for r in photos.ROUTES if r.method == "GET" and r.rule != "/login"], ids=str
)
def test_other_methods_are_refused(gallery: Gallery, route: photos.Route, method: str) -> None:
    address = re.sub("<path.*", "Quartz.private/zebra.jpg", route.rule).replace("<name>", "style.css")
    answer = gallery.client().request(method, address, **OWN)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "foreign", ["prefs={%22a%22:1}", 'prefs={"a":1}', "x[1]=2", "a,b=c", "=", ";;", "é=ü", "a b=c"]
)
def test_cookies_of_other_sites_on_the_same_host_do_no_harm(gallery: Gallery, foreign: str) -> None:
    # Browsers send cookies to all ports of a host: those of a NAS's own pages, say.
    token = gallery.token("user")
    for cookie in (f"{foreign}; photos={token}", f"photos={token}; {foreign}"):
        assert gallery.client().get("/photo/Quartz.private/zebra.jpg", Cookie=cookie).status == 200
    assert gallery.client().get("/", Cookie=foreign).status == 200


ODD_HEADERS = (
    *("If_None_Match", "If_Modified_Since", "If_Range", "Range", "Accept_Encoding", "Accept_Language"),
    *("Host", "Origin", "Sec_Fetch_Site", "Cookie", "Referer", "User_Agent"),
)


@pytest.mark.parametrize("name", ODD_HEADERS)
@pytest.mark.parametrize(
    "value", ["\xff", "", ",;=", "x" * 8000], ids=["not UTF-8", "empty", "signs", "long"]
)
def test_an_odd_header_breaks_nothing(gallery: Gallery, name: str, value: str) -> None:
    headers: dict[str, str] = {"Range": "bytes=0-1", name: value} if name == "If_Range" else {name: value}
    for address in ("/album/Trip/", "/photo/Trip/one.jpg", "/static/style.css"):
        assert gallery.client().get(address, **headers).status == 200
    answer = gallery.client().request("POST", "/logout", **{**OWN, **headers})
    assert answer.status == (403 if name == "Sec_Fetch_Site" else 303)


# Login


def test_a_wrong_name_and_a_wrong_password_look_the_same(visitor: Client) -> None:
    wrong_password = visitor.log_in(password="not this one")
    wrong_name = visitor.log_in(user="otto")
    assert (wrong_password.status, wrong_password.headers) == (wrong_name.status, wrong_name.headers)
    assert wrong_password.status == 401
    assert wrong_password.text == wrong_name.text.replace("otto", "anna")
    assert "The user name or the password is wrong." in wrong_name.text
    assert not visitor.cookies and "set-cookie" not in wrong_password.headers


@pytest.mark.parametrize("user", ['"><script>alert(1)</script>', "' autofocus onfocus='x", "a" * 500])
def test_a_wrong_name_is_shown_again_as_text(visitor: Client, user: str) -> None:
    page = Page(visitor.log_in(user=user, target="/album/Trip/").text)
    assert page.fields["user"] == user[:64]
    assert page.fields["next"] == "/album/Trip/"
    assert "onfocus" not in page.attributes


@pytest.mark.parametrize("spelling", ["anna", "Anna", " ANNA "])
def test_a_login_opens_private_albums(visitor: Client, spelling: str) -> None:
    assert visitor.get("/photo/Secret.private/faces.jpg").status == 401
    answer = visitor.log_in(user=spelling)
    assert (answer.status, answer.headers["location"], answer.body) == (303, "/", b"")
    assert visitor.get("/photo/Secret.private/faces.jpg").status == 200
    assert ">anna<" in visitor.get("/").text


NEXT = [
    ("/album/Secret.private/?page=2", "/album/Secret.private/?page=2"),
    ("/album/a%20b/%F0%9F%8F%96", "/album/a%20b/%F0%9F%8F%96"),
    ("", "/"),
    ("album/Trip/", "/"),
    ("https://evil.example/", "/"),
    ("//evil.example/", "/"),
    ("///evil.example/", "/"),
    ("/\\evil.example/", "/"),
    ("\\\\evil.example/", "/"),
    ("/\t/evil.example/", "/"),
    ("/..//evil.example/", "/"),
    ("\n//evil.example/", "/"),
    (" //evil.example/", "/"),
    ("javascript:alert(1)", "/"),
    ("/a\r\nSet-Cookie: photos=x", "/"),
    ("/é", "/"),
    ("/" + "a" * 5000, "/"),
]


@pytest.mark.parametrize(("target", "wanted"), NEXT, ids=[repr(row[0])[:30] for row in NEXT])
def test_next_is_a_path_of_this_site_or_dropped(gallery: Gallery, target: str, wanted: str) -> None:
    query = urlencode({"next": target})
    assert gallery.client().log_in(target=target).headers["location"] == wanted
    assert gallery.client("user").get(f"/login?{query}").headers["location"] == wanted
    assert Page(gallery.client().get(f"/login?{query}").text).fields["next"] == wanted


@pytest.mark.parametrize("name", [b"plain.jpg", *NAMES, b"\xff.jpg"], ids=repr)
@pytest.mark.parametrize("prefix", ["", "/our%20photos"])
def test_after_login_a_visitor_is_where_the_link_led(gallery: Gallery, name: bytes, prefix: str) -> None:
    client = gallery.client(SCRIPT_NAME=unquote(prefix))
    address = f"/album/Quartz.private/{quote(name, safe='')}"
    location = client.get(f"{address}?a=1&b=%26").headers["location"]
    assert location.startswith(f"{prefix}/login?next=")
    form = Page(client.get(location.removeprefix(prefix)).text)
    assert form.actions == [f"{prefix}/login"]
    answer = client.log_in(target=form.fields["next"])
    assert unquote_to_bytes(answer.headers["location"]) == unquote_to_bytes(f"{prefix}{address}?a=1&b=%26")


ORIGINS = [
    ({"Sec_Fetch_Site": "same-origin"}, True),
    ({"Sec_Fetch_Site": "none"}, True),
    ({"Sec_Fetch_Site": "cross-site"}, False),
    ({"Sec_Fetch_Site": "same-site"}, False),
    ({"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1"}, False),
    ({"Sec_Fetch_Site": ""}, False),
    ({"Origin": "http://127.0.0.1"}, True),
    ({"Origin": "https://127.0.0.1"}, False),
    ({"Origin": "http://127.0.0.1:81"}, False),
    ({"Origin": "http://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Referer": "http://127.0.0.1/login"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("headers", "is_own"), ORIGINS, ids=[str(row[0]) for row in ORIGINS])
def test_a_form_of_another_site_is_refused(gallery: Gallery, headers: dict[str, str], is_own: bool) -> None:
    form = urlencode({"user": "anna", "password": PASSWORD}).encode()
    answer = gallery.client().request("POST", "/login", form, **headers)
    assert answer.status == (303 if is_own else 403)
    assert ("set-cookie" in answer.headers) == is_own
    client = gallery.client("user")
    assert client.request("POST", "/logout", **headers).status == (303 if is_own else 403)
    assert client.get("/photo/Quartz.private/zebra.jpg").status == (401 if is_own else 200)


def test_a_form_may_come_from_the_public_address(make_site: Callable[..., photos.Site]) -> None:
    client = Client(make_site(public_address="https://photos.example.org/our"))
    form = urlencode({"user": "anna", "password": PASSWORD}).encode()
    for origin, status in {"https://photos.example.org": 303, "http://photos.example.org": 403}.items():
        assert client.request("POST", "/login", form, Origin=origin).status == status


@pytest.mark.parametrize(
    ("settings", "environ", "secure"),
    [
        ({}, {}, False),
        ({}, {"wsgi.url_scheme": "https"}, True),
        ({"public_address": "https://photos.example.org"}, {"HTTP_HOST": "photos.example.org"}, True),
        ({"public_address": "https://photos.example.org"}, {"HTTP_HOST": "192.168.1.2:8080"}, False),
        ({"public_address": "http://photos.example.org"}, {"HTTP_HOST": "photos.example.org"}, False),
    ],
)
def test_the_cookie_is_secure_where_the_connection_is(
    make_site: Callable[..., photos.Site], settings: dict[str, str], environ: dict[str, str], secure: bool
) -> None:
    app = make_site(**settings)
    client = Client(app, **environ)
    cookie, *attributes = client.log_in().headers["set-cookie"].split("; ")
    wanted = {"path=/", "httponly", "samesite=lax", "max-age=2592000"} | ({"secure"} if secure else set())
    assert {attribute.lower() for attribute in attributes} == wanted
    assert cookie.partition("=")[0] == ("__Host-photos" if secure else "photos")
    assert client.get("/photo/Secret.private/faces.jpg").status == 200
    other = Client(app, **environ)
    other.cookies = {"photos" if secure else "__Host-photos": cookie.partition("=")[2]}
    assert other.get("/photo/Secret.private/faces.jpg").status == 401


def test_logging_out_ends_all_copies_of_a_session_and_outlives_a_restart(
    site: photos.Site, user: Client, make_site: Callable[..., photos.Site]
) -> None:
    other = Client(site)
    other.log_in()
    copy = dict(user.cookies)
    answer = user.request("POST", "/logout", **OWN)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    assert answer.headers["clear-site-data"] == '"cache"'
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert not user.cookies
    for app in (site, make_site()):
        for cookies, status in ((copy, 401), (other.cookies, 200)):
            client = Client(app)
            client.cookies = dict(cookies)
            assert client.get("/photo/Secret.private/faces.jpg").status == status


def test_logging_out_without_a_session_is_no_error(visitor: Client) -> None:
    assert visitor.request("POST", "/logout", **OWN).status == 303


@pytest.mark.parametrize("change", ["passwd", "remove", "remove and register"])
def test_a_new_password_or_a_removal_ends_all_sessions_at_once(
    library: Path, user: Client, change: str
) -> None:
    assert user.get("/photo/Secret.private/faces.jpg").status == 200
    users = photos.UserStore(library / ".photos")
    if change == "passwd":
        users.set_password("anna", photos.parse_password("another passphrase"))
    else:
        users.remove("anna")
    if change == "remove and register":
        users.register("anna", photos.parse_password(PASSWORD))
    assert user.get("/photo/Secret.private/faces.jpg").status == 401
    assert "Secret" not in user.get("/").text
    assert user.log_in().status == (303 if change == "remove and register" else 401)


def test_a_user_who_registers_while_the_server_runs_may_log_in(library: Path, visitor: Client) -> None:
    assert visitor.log_in(user="otto").status == 401
    photos.UserStore(library / ".photos").register("otto", photos.parse_password(PASSWORD))
    assert visitor.log_in(user="otto").status == 303


def test_too_many_failures_block_an_account_for_a_while(
    site: photos.Site, visitor: Client, user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(site, "_limits", photos.LoginLimits(lambda: now[0]))
    statuses = [visitor.log_in(password="not this one").status for _ in range(5)]
    blocked = visitor.log_in()
    assert (statuses, blocked.status, blocked.headers["retry-after"]) == ([401] * 5, 429, "1")
    assert "Try again in 1 s" in blocked.text and "set-cookie" not in blocked.headers
    assert blocked.headers["cache-control"] == "no-store"
    assert user.get("/photo/Secret.private/faces.jpg").status == 200
    assert visitor.log_in(user="otto").status == 401
    now[0] += 1.1
    assert visitor.log_in(password="not this one").status == 401
    assert visitor.log_in().headers["retry-after"] == "2"
    now[0] += 2.1
    assert visitor.log_in().status == 303
    assert visitor.log_in(password="not this one").status == 401


@pytest.mark.parametrize(("settings", "status"), [({}, 401), ({"trusted_proxy": "127.0.0.1"}, 429)])
def test_failures_are_counted_by_address_only_where_a_proxy_tells_it(
    make_site: Callable[..., photos.Site], settings: dict[str, str], status: int
) -> None:
    app = make_site(**settings)
    client = Client(app, REMOTE_ADDR="203.0.113.9")
    assert {client.log_in(user=f"user{n}").status for n in range(20)} == {401}
    assert client.log_in(user="user20").status == status
    assert Client(app, REMOTE_ADDR="203.0.113.10").log_in().status == 303


def test_a_damaged_users_file_closes_the_login_and_nothing_else(
    library: Path, visitor: Client, user: Client, caplog: pytest.LogCaptureFixture
) -> None:
    path = library / ".photos" / "users.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    for client in (visitor, user):
        assert client.get("/album/Trip/").status == 200
        assert client.get("/photo/Trip/one.jpg").status == 200
        assert client.get("/photo/Secret.private/faces.jpg").status == 401
    answer = visitor.log_in()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "set-cookie" not in answer.headers
    assert "not possible at the moment" in answer.text and "users.json" not in answer.text
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    path.write_bytes(whole)
    assert user.get("/photo/Secret.private/faces.jpg").status == 200
    assert visitor.log_in().status == 303


def test_a_token_is_renewed_when_it_is_a_day_old(library: Path, site: photos.Site) -> None:
    state, real_time = library / ".photos", time.time
    tokens, epoch = photos.Tokens(photos.read_secret(state)), photos.UserStore(state).epoch("anna") or ""
    for age, is_renewed in ((0, False), (23 * 3600, False), (25 * 3600, True), (29 * 86400, True)):
        client = Client(site)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda age=age: real_time() - age)
            old = client.cookies["photos"] = tokens.issue("anna", epoch)
        assert "set-cookie" not in client.get("/photo/Secret.private/faces.jpg").headers
        assert ("set-cookie" in client.get("/album/Secret.private/").headers) == is_renewed
        if is_renewed:
            before, after = tokens.read(old), tokens.read(client.cookies["photos"])
            assert before and after and before.jti == after.jti and not after.is_old
            client.request("POST", "/logout", **OWN)
            client.cookies["photos"] = old
            assert client.get("/photo/Secret.private/faces.jpg").status == 401


# Languages


ASKED = {
    "en": [
        *("", "en-GB,en;q=0.9", "nl, pt-BR", "*", "nl, *;q=0.5", "de;q=0.1, *", "*;q=0", "en;q=0"),
        *("de;q=0, de-AT", "zh;q=0, zh-CN", "de;q=0.", "de;q=2", "de;q=-1", "de;q=", "de;level=1", "de q=1"),
        *("\xff", ";q=1", "-", "de-", "deutschland", "d", "x," * 5000 + "de"),
    ],
    "zh-Hant": [
        *("zh-TW", "zh-HK", "zh-MO", "zh-Hant", "zh-Hant-HK", "zh-TW,zh;q=0.9,en-US;q=0.8,en;q=0.7"),
        *("en;q=0, *", "zh;q=0, zh-HK"),
    ],
    "zh-Hans": ["zh", "zh-CN", "zh-SG", "zh-hans-cn"],
    "ms": ["ms-MY", "en;q=0.9, ms"],
    "de": [
        *("de", "DE-at", "de-AT, fr", "de;q=1.000", ",, de,", "*;q=0.5, de", "*;q=0, de;q=0.1"),
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
def test_the_language_is_the_best_of_those_that_a_browser_asks_for(header: str, language: str) -> None:
    assert photos.choose_language(header, TEXTS).language == language


def english_left(page: str, texts: photos.Texts) -> list[str]:
    """Return the English texts in a page that are others in its language."""
    texts_and_patterns = [
        (english, re.sub(r"\\{\w+\\}", r"\\d+", re.escape(english)))
        for key, english in TEXTS["en"].texts.items()
        if texts.texts[key] != english
    ]
    return [text for text, pattern in texts_and_patterns if re.search(rf"(?<!\w){pattern}(?!\w)", page)]


@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
@pytest.mark.parametrize(
    ("kind", "address", "keys"),
    [
        ("visitor", "/login", ["skip", "log_in", "user_name", "password", "login_hint"]),
        ("visitor", "/", ["skip", "log_in"]),
        ("user", "/", ["log_out", "hidden", "private"]),
        ("visitor", "/album/Trip/", ["trail"]),
        ("visitor", "/album/Trip/one.jpg", ["next_photo", "download", "file", "dimensions", "size"]),
        ("user", "/album/Trip/one.jpg", ["location"]),
        ("visitor", f"/album/{quote(BROKEN)}", ["not_shown"]),
        ("visitor", "/nothing", ["no_page", "error_404", "to_front"]),
        ("visitor", "/album/Trip/nothing.jpg", ["no_page", "error_404", "to_front"]),
    ],
)
def test_a_page_is_in_the_language_of_the_visitor(
    gallery: Gallery, texts: photos.Texts, kind: str, address: str, keys: list[str]
) -> None:
    answer = gallery.client(kind).get(address, Accept_Language=f"{texts.language}-x-test, en;q=0.5")
    assert f'<html lang="{texts.language}"' in answer.text
    assert answer.headers["vary"] == "Cookie, Accept-Encoding, Accept-Language"
    assert not [key for key in keys if texts.text(key) not in answer.text]
    assert not english_left(answer.text, texts)
    assert not re.search("January|February|April|August|September|October|November", answer.text)


@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
def test_an_empty_library_and_a_count_are_told_in_the_language_of_the_visitor(
    tmp_path: Path, texts: photos.Texts
) -> None:
    root = tmp_path / "Album"
    (root / "Empty").mkdir(parents=True)
    app = photos.create_app(root / ".photos", background=False)
    empty = [Client(app).get(path, Accept_Language=texts.language).text for path in ("/", "/album/Empty/")]
    counts = []
    for name in ("one.jpg", "two.jpg"):
        draw(root / name)
        counts.append(Client(app).get("/", Accept_Language=texts.language).text)
    app.close()
    for page, key in zip(empty, ("empty_library", "empty_album"), strict=True):
        assert texts.text(key) in page
        assert not english_left(page, texts)
    assert texts.text("empty_visitor") in empty[0]
    for page, (key, count) in zip(counts, (("photos_one", 1), ("photos_many", 2)), strict=True):
        assert texts.text(key, count=count) in page
        assert not english_left(page, texts)


@pytest.mark.parametrize("texts", LANGUAGES, ids=lambda texts: texts.language)
@pytest.mark.parametrize(
    ("method", "address", "body", "headers", "environ", "status", "key"),
    [
        ("POST", "/login", b"", {}, {}, 403, "error_403"),
        ("POST", "/logout", b"", {"Sec_Fetch_Site": "cross-site"}, {}, 403, "error_403"),
        ("POST", "/login", b"", OWN, {"CONTENT_TYPE": "multipart/form-data"}, 415, "error_400"),
        ("POST", "/login", b"x" * 200_000, OWN, {}, 413, "error_400"),
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
    answer = client.request(method, address, body, **headers, Accept_Language=texts.language)
    assert answer.status == status
    assert answer.headers["vary"] == "Cookie, Accept-Encoding, Accept-Language"
    assert texts.text(key) in answer.text and f"<h1>{texts.text('no_page')}</h1>" in answer.text
    assert not english_left(answer.text, texts)


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


def test_a_page_that_is_known_in_one_language_is_another_one_in_another(gallery: Gallery) -> None:
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
        *("/api/album", "/api/album/Trip", "/api/album/Quartz.private", "/feed.atom", "/static/style.css"),
        *("/thumbnail/Trip/one.jpg", "/photo/Trip/one.jpg", "/photo/Quartz.private/zebra.jpg"),
        *("/photo/Trip/nothing.jpg", f"/thumbnail/{quote(BROKEN)}", "/healthz"),
    ],
)
def test_what_is_no_page_is_the_same_in_every_language(gallery: Gallery, address: str) -> None:
    answers = [gallery.client().get(address, Accept_Language=tags) for tags in ("", "ja", "de, *;q=0")]
    assert answers[0] == answers[1] == answers[2]
    assert "Language" not in answers[0].headers.get("vary", "")


# Below a prefix


@pytest.mark.parametrize(("prefix", "kind"), [("/photos", "user"), ("/our%20photos/2", "visitor")])
def test_every_address_honours_the_prefix_of_a_proxy(gallery: Gallery, prefix: str, kind: str) -> None:
    client = gallery.client(kind, SCRIPT_NAME=unquote(prefix))
    seen = set()

    def check(address: str, answer: Answer) -> None:
        seen.add(answer.status)
        if is_page(answer):
            page = Page(answer.text)
            assert all(link.startswith(f"{prefix}/") for link in page.links + page.actions), address

    starts = ("/album/Trip", "/album/Trip/Beach/", "/api/album/Trip", "/album/Quartz.private", "/nothing")
    crawl(client, *(prefix + start for start in starts), prefix=prefix, each=check)
    assert seen == {200, 303, 404}


def test_the_prefix_alone_is_the_front_page(gallery: Gallery) -> None:
    client = gallery.client(SCRIPT_NAME="/photos")
    assert client.get("").body == client.get("/").body


def test_logging_in_and_out_stays_below_the_prefix(gallery: Gallery) -> None:
    client = gallery.client(SCRIPT_NAME="/photos")
    assert client.log_in(target="/photos/album/Trip/").headers["location"] == "/photos/album/Trip/"
    for elsewhere in ("/", "/photosx/", "//photos/", "/photos"):
        assert client.log_in(target=elsewhere).headers["location"] == "/photos/"
    assert client.get("/photo/Quartz.private/zebra.jpg").status == 200
    assert client.request("POST", "/logout", **OWN).headers["location"] == "/photos/"


# The feed

ATOM = "{http://www.w3.org/2005/Atom}"


@dataclasses.dataclass
class Feed:
    """An Atom feed as a reader sees it."""

    root: ElementTree.Element

    @property
    def entries(self) -> list[ElementTree.Element]:
        return self.root.findall(f"{ATOM}entry")

    def texts(self, name: str) -> list[str]:
        """Return a text of each entry."""
        return [entry.findtext(f"{ATOM}{name}", "") for entry in self.entries]

    def link(self, rel: str) -> str:
        return next(
            link.attrib["href"] for link in self.root.findall(f"{ATOM}link") if link.attrib["rel"] == rel
        )

    @property
    def pages(self) -> list[str]:
        return [link.attrib["href"] for entry in self.entries for link in entry.findall(f"{ATOM}link")]


def feed(client: Client) -> Feed:
    answer = client.get("/feed.atom")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/atom+xml; charset=utf-8")
    return Feed(ElementTree.fromstring(answer.body))


def read_all(client: Client, path: str = "", prefix: str = "") -> None:
    """Have all files that a visitor finds read: an album waits for its own alone."""
    for album in json.loads(client.get(f"/api/album{path}").body)["albums"]:
        read_all(client, album["api"].removeprefix(f"{prefix}/api/album"), prefix)


def test_the_feed_has_what_a_visitor_finds_whoever_asks(gallery: Gallery) -> None:
    answers = {kind: gallery.client(kind).get("/feed.atom").body for kind in VISITORS}
    assert len(set(answers.values())) == 1
    found = feed(gallery.client())
    albums = {unquote(page).split("/")[2] for page in found.pages}
    assert albums == {"loose.jpg", "Trip", "Names", "Folders"}
    assert len(found.entries) == gallery.json("")["photos"] == len(NAMES) + len(FOLDERS) + 7
    assert len(set(found.texts("id"))) == len(found.entries)
    assert {gallery.client().get(page).status for page in found.pages} == {200}


def test_the_feed_is_as_rfc_4287_wants_it(library: Path, visitor: Client) -> None:
    (library / "Trip" / "album.txt").write_text("Trip\none.jpg: Fish & <chips> ]]> \x07")
    read_all(visitor)
    found = feed(visitor)
    titles = [found.root.findtext(f"{ATOM}{path}") for path in ("title", f"author/{ATOM}name")]
    assert titles == ["Our photos"] * 2
    assert (found.link("self"), found.link("alternate")) == ("/feed.atom", "/")
    moments = found.texts("updated")
    assert found.root.findtext(f"{ATOM}updated") == moments[0] == max(moments)
    assert moments == found.texts("published") == sorted(moments, reverse=True)
    ids = [found.root.findtext(f"{ATOM}id", ""), *found.texts("id")]
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", each) for each in ids)
    at = found.pages.index("/album/Trip/one.jpg")
    seconds = int((library / "Trip" / "one.jpg").stat().st_ctime)
    assert moments[at] == time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))
    assert found.texts("title")[at] == "Fish & <chips> ]]> \ufffd"
    assert sorted(found.texts("title"))[1:] == ["loose.jpg", "sand.png", "two.jpg"]
    page = Page(found.texts("content")[at])
    assert visitor.get(page.images[0]).headers["content-type"] == "image/webp"
    assert page.texts.count("Fish & <chips> ]]> \ufffd") == 2
    assert "chips" not in page.tags


def test_a_photo_keeps_its_id_in_the_feed_until_its_content_changes(library: Path, visitor: Client) -> None:
    read_all(visitor)
    before = dict(zip(feed(visitor).pages, feed(visitor).texts("id"), strict=True))
    (library / "Trip" / "album.txt").write_text("Journey\none.jpg: The first day")
    draw(library / "Trip" / "two.jpg", colour="red")
    read_all(visitor)
    after = dict(zip(feed(visitor).pages, feed(visitor).texts("id"), strict=True))
    assert {page for page in before if before[page] != after[page]} == {"/album/Trip/two.jpg"}


@pytest.mark.parametrize("name", ["Trip.private", "Trip.hidden"])
def test_an_album_leaves_the_feed_when_it_is_renamed(name: str, library: Path, visitor: Client) -> None:
    read_all(visitor)
    before = visitor.get("/feed.atom")
    (library / "Trip").rename(library / name)
    after = visitor.get("/feed.atom", If_None_Match=before.headers["etag"])
    assert "Trip" in before.text
    assert (after.status, "Trip" in after.text, feed(visitor).pages) == (200, False, ["/album/loose.jpg"])


def test_the_feed_of_an_empty_library_is_empty(visitor: Client, library: Path) -> None:
    (library / "loose.jpg").unlink()
    (library / "Trip").rename(library / "Trip.private")
    assert feed(visitor).entries == []


@pytest.mark.parametrize("prefix", ["", "/our"])
def test_the_feed_is_complete_with_a_public_address_and_stays_below_the_prefix_without(
    prefix: str, make_site: Callable[..., photos.Site], gallery: Gallery
) -> None:
    public = f"https://photos.example.org{prefix}"
    client = Client(make_site(public_address=public), SCRIPT_NAME=prefix)
    read_all(client, prefix=prefix)
    for start, found in ((public, feed(client)), (prefix, feed(gallery.client(SCRIPT_NAME=prefix)))):
        images = [image for content in found.texts("content") for image in Page(content).images]
        addresses = [found.link("self"), found.link("alternate"), *found.pages, *images]
        assert len(addresses) > 7 and all(each.startswith(f"{start}/") for each in addresses)


# Real photos


@pytest.mark.whole
def test_a_visitor_who_follows_every_link_of_real_photos_meets_no_error(
    samples: Path, tmp_path: Path
) -> None:
    app = photos.create_app(tmp_path / "state", config=photos.Config(library=str(samples)), background=False)
    images: set[str] = set()
    wrong: dict[str, Any] = {}

    def check(address: str, answer: Answer) -> None:
        if is_page(answer):
            images.update(Page(answer.text).images)
            if answer.status != 200:
                wrong[address] = answer.status
        elif address in images:
            sent = answer.status, answer.headers["content-type"]
            if sent != (404, "image/svg+xml") and not (sent[0] == 200 and sent[1].startswith("image/")):
                wrong[address] = sent
        elif answer.status != 200:
            wrong[address] = answer.status, answer.text[:100]

    answers = crawl(Client(app), "/", "/api/album", each=check)
    app.close()
    assert not wrong
    assert len(images) > 300
    assert sum(address.startswith("/photo/") for address in answers) > 120


def test_a_private_path_is_not_even_looked_at_for_a_visitor(
    site: photos.Site, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[photos.Parts] = []
    find = photos.Library.find
    monkeypatch.setattr(
        photos.Library, "find", lambda library, parts: seen.append(parts) or find(library, parts)
    )
    assert visitor.get("/album/Secret.private/").status == 303
    assert visitor.get("/photo/Secret.private/faces.jpg").status == 401
    assert not seen
    assert visitor.get("/album/Trip/").status == 200
    assert seen


@pytest.mark.parametrize("name", [".hidden" * 2000 + "x", ".private" * 2000, "x" * 20_000])
def test_an_endless_path_is_refused_before_it_is_read(visitor: Client, name: str) -> None:
    assert visitor.get(f"/album/{name}").status == 404


def test_who_logs_out_is_logged_out_also_where_nothing_can_be_written(
    user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(photos, "write_atomically", full)
    assert user.request("POST", "/logout", Sec_Fetch_Site="same-origin").status == 303
    assert not user.cookies
    assert user.get("/album/Secret.private/").status == 303


def test_a_sound_without_picture_has_a_player(site: photos.Site, visitor: Client, library: Path) -> None:
    sound = ["-f", "lavfi", "-i", "sine=duration=0.2", os.fspath(library / "Trip" / "sound.mp4")]
    subprocess.run(["ffmpeg", "-v", "error", *sound], check=True)
    assert "<video" in visitor.get("/album/Trip/sound.mp4").text
    assert visitor.get("/thumbnail/Trip/sound.mp4").status == 404
    page = visitor.get("/album/Trip/sound.mp4").text
    assert "<video" in page
    assert "poster=" not in page
    assert visitor.get("/photo/Trip/sound.mp4").headers["content-type"] == "video/mp4"


# Scripts, styles and what browsers ask beside pages


def sent(suffixes: tuple[str, ...]) -> dict[str, str]:
    folder = Path(photos.__file__).with_name("templates")
    _, statics = photos.read_statics(folder)
    return {name: body.decode() for name, body in statics.items() if name.endswith(suffixes)}


def test_all_scripts_and_styles_together_are_small() -> None:
    assert 10_000 < sum(len(text) for text in sent((".js", ".css")).values()) < 40_000


def test_scripts_import_each_other_by_the_version_of_this_release(visitor: Client) -> None:
    page = visitor.get("/").text
    (version,) = set(re.findall(r"/static/[\w.-]+\?v=(\w+)", page))
    imports = [name for text in sent((".js",)).values() for name in re.findall(r'from "([^"]+)"', text)]
    assert len(imports) >= 5
    for name in imports:
        assert name.endswith(f".js?v={version}")
        answer = visitor.get(f"/static/{name.removeprefix('./')}")
        assert answer.status == 200 and "immutable" in answer.headers["cache-control"]


def test_one_changed_script_is_a_new_version_of_all(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(Path(photos.__file__).with_name("templates"), tmp_path / "templates"))
    version, before = photos.read_statics(folder)
    (folder / "zoom.js").write_text("export class Zoom {}")
    new_version, after = photos.read_statics(folder)
    assert before.keys() == after.keys()
    assert version != new_version
    assert after["viewer.js"] != before["viewer.js"]


def test_comments_and_indentation_are_not_sent_and_nothing_else_is_left_out() -> None:
    source = b"""/* Two
   lines */
:root {
  --a: url(//x); /* kept */
}
// gone
  // gone
let a; // gone
let b = "x // y"; // it's kept
"""
    left = b"""\
:root {
--a: url(//x); /* kept */
}
let a;
let b = "x // y"; // it's kept
"""
    assert photos._UNSENT.sub(b"", source) == left


def test_the_manifest_names_the_site_and_icons_that_load(visitor: Client) -> None:
    answer = visitor.get("/manifest.webmanifest")
    assert answer.headers["content-type"] == "application/manifest+json"
    facts = json.loads(answer.text)
    assert (facts["name"], facts["start_url"], facts["display"]) == ("Our photos", "/", "standalone")
    for icon in facts["icons"]:
        body = visitor.get(icon["src"]).body
        if icon["sizes"] != "any":
            assert "x".join(map(str, Image.open(io.BytesIO(body)).size)) == icon["sizes"]
    assert {icon["sizes"] for icon in facts["icons"]} >= {"any", "192x192", "512x512"}
    assert 'rel="manifest" href="/manifest.webmanifest"' in visitor.get("/").text


def test_a_link_in_a_chat_shows_the_cover_but_nothing_of_a_private_album(library: Path, user: Client) -> None:
    state = library / ".photos"
    photos.write_config(state, photos.Config(title="Our photos", public_address="https://p.example/x"))
    app = photos.create_app(state, background=False)
    try:
        public = Client(app, wsgi_url_scheme="https", HTTP_HOST="p.example", SCRIPT_NAME="/x")
        for path in ("/album/Trip/", "/album/Drafts.hidden/", "/album/Trip/one.jpg"):
            tags = dict(
                re.findall(r'<meta (?:property|name)="(\w+:\w+)" content="([^"]*)">', public.get(path).text)
            )
            assert tags["og:url"] == f"https://p.example/x{path}"
            assert tags["og:image"].startswith("https://p.example/x/thumbnail/")
            assert tags["twitter:card"] == "summary_large_image"
            assert tags["og:title"] in ("Trip", "Drafts", "one.jpg") and tags["og:site_name"] == "Our photos"
            image = unescape(tags["og:image"]).removeprefix("https://p.example/x")
            assert public.get(image).headers["content-type"] == "image/webp"
        login = public.get(public.get("/album/Secret.private/").headers["location"].removeprefix("/x")).text
        assert re.findall(r'property="og:(\w+)" content="([^"]*)"', login) == [
            ("site_name", "Our photos"),
            ("title", "Our photos"),
        ]
    finally:
        app.close()
    secret = user.get("/album/Secret.private/").text
    assert "Secret" in secret and 'og:title" content="Our photos"' in secret and "og:image" not in secret
    assert "og:image" not in user.get("/album/Trip/").text  # without a public address there is none to give
