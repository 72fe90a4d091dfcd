"""Access: who may open what, what else a visitor is told, and whose forms count."""

from __future__ import annotations

import dataclasses
import html
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from drawing import draw
from gallery import FOLDERS, KNOWN, NAMES, VISITORS, Gallery
from visiting import OWN, PASSWORD, Answer, Client, Page, crawl, everything

import photos

pytestmark = pytest.mark.usefixtures("patient")


# The matrix

# Album, photo, whether a visitor may open them, whether they exist. Album "": it is public.
PLACES = {
    "public": ("Trip", "Trip/one.jpg", True, True),
    "hidden": ("Drafts", "Drafts/draft.jpg", True, True),
    "private": ("Quartz", "Quartz/zebra.jpg", False, True),
    "nested below private": ("Quartz/Deep", "Quartz/Deep/okapi.jpg", False, True),
    "private in public": ("Trip/Inner", "Trip/Inner/cover.jpg", False, True),
    "hidden by its full name": ("Drafts.hidden", "Drafts.hidden/draft.jpg", True, True),
    "private by its full name": ("Quartz.private", "Quartz.private/zebra.jpg", False, True),
    "nested below a full name": (
        "Quartz.private/Deep",
        "Quartz.private/Deep/okapi.jpg",
        False,
        True,
    ),
    "private in public by its full name": (
        "Trip/Inner.private",
        "Trip/Inner.private/cover.jpg",
        False,
        True,
    ),
    "link to a private album": ("Shortcut", "Shortcut/zebra.jpg", False, True),
    "nested below such a link": ("Shortcut/Deep", "Shortcut/Deep/okapi.jpg", False, True),
    "link to a private photo": ("", "Trip/linked.jpg", False, True),
    "nonexistent": ("Nowhere", "Trip/nothing.jpg", True, False),
    "nonexistent under private": ("Quartz/No", "Quartz/no.jpg", False, False),
    "nonexistent under a full name": (
        "Quartz.private/No",
        "Quartz.private/no.jpg",
        False,
        False,
    ),
    "nonexistent private": ("Nope.PRIVATE", "Trip/Nope.Private/no.jpg", False, False),
    "private by dots": ("Quartz/../Trip", "Quartz/../Trip/one.jpg", False, False),
}

# Method, rule: what everybody gets, what a user gets instead.
FIXED = {
    ("GET", "/"): (200, 200),
    ("GET", "/api/album"): (200, 200),
    ("GET", "/feed.atom"): (200, 200),
    ("GET", "/login"): (200, 303),
    ("POST", "/login"): (303, 303),
    ("POST", "/logout"): (303, 303),
    ("POST", "/unlock"): (404, 404),
    ("GET", "/static/<name>"): (200, 200),
    ("GET", "/manifest.webmanifest"): (200, 200),
    ("GET", "/healthz"): (200, 200),
    ("GET", "/search"): (200, 200),
    ("GET", "/timeline/"): (200, 200),
    ("GET", "/timeline/<year>/"): (404, 200),
    ("GET", "/timeline/<year>/<month>/"): (404, 200),
}

# Of the dates, those on which only private photos were taken.
VARIABLES = {"<name>": "style.css", "<year>": "1987", "<month>": "11"}

# The owner's own pages have tests of their own.
# Those for owners and for adding have tests of their own.
LIMITED = (photos.Access.OWNER, *photos.ADDING)
OPEN_ROUTES = [route for route in photos.ROUTES if route.access not in LIMITED]

WITH_PATH = [route for route in OPEN_ROUTES if "<path" in route.rule]

WITHOUT_PATH = [route for route in OPEN_ROUTES if "<path" not in route.rule]

# Handler: which addresses it has.
ADDRESSES = {
    "show_place": ("{album}/", "{photo}"),
    "send_album": ("{album}", "{album}/"),
    "show_zip": ("{album}",),
    **dict.fromkeys(
        ("send_thumbnail", "send_preview", "send_photo", "send_download", "send_live"),
        ("{photo}",),
    ),
}

MATRIX = [
    pytest.param(
        route,
        pattern.format(album=album, photo=photo),
        is_open,
        exists,
        id=f"{route.handler} {place}",
    )
    for route in WITH_PATH
    for place, (album, photo, is_open, exists) in PLACES.items()
    for pattern in ADDRESSES[route.handler]
    if album or "album" not in pattern
]

FULL_NAME = re.compile(r"\.(?:private|hidden)(?=/|$)")

# What must never reach a visitor: names, texts, years and sizes of the private albums of the gallery.
PRIVATE_WORDS = re.compile(
    r"quartz|zebra|okapi|inner|xylophone|kumquat|123457|123 kB|(?<![0-9a-f])(?:1987|2031)(?![0-9a-f])",
    re.IGNORECASE,
)


@pytest.mark.whole
@pytest.mark.parametrize("kind", VISITORS)
@pytest.mark.parametrize(("route", "path", "is_open", "exists"), MATRIX)
def test_private_places_open_to_users_alone(
    gallery: Gallery, route: photos.Route, path: str, is_open: bool, exists: bool, kind: str
) -> None:
    address = route.rule.partition("<")[0] + path
    client = gallery.client(kind)
    answer = client.get(address)
    may_be = route.handler != "send_live"  # none of these photos has one
    if exists and may_be and (is_open or kind in KNOWN):
        if route.access is photos.Access.PAGE and FULL_NAME.search(address):
            assert answer.status == 303
            assert answer.headers["location"] == FULL_NAME.sub("", address)
            answer = client.get(answer.headers["location"])
        assert answer.status == 200
        return
    assert answer.status == 404
    assert "etag" not in answer.headers
    is_asked = route.access is photos.Access.PAGE and kind not in KNOWN
    form = Page(answer.text).fields
    assert form.get("next") == (photos.safe_next(address, "") if is_asked else None)
    if is_open or kind in KNOWN:
        return
    assert not PRIVATE_WORDS.search(everything(answer).replace(address, ""))


@pytest.mark.parametrize("kind", VISITORS)
@pytest.mark.parametrize(
    "route", WITHOUT_PATH, ids=lambda route: f"{route.method} {route.rule}"
)
def test_an_address_without_a_path_is_open_to_everybody(
    gallery: Gallery, route: photos.Route, kind: str
) -> None:
    address = route.rule
    for variable, name in VARIABLES.items():
        address = address.replace(variable, name)
    form = (
        urlencode({"user": "anna", "password": PASSWORD}).encode()
        if route.rule == "/login"
        else b""
    )
    client = gallery.client(kind)
    answer = client.request(
        route.method, address, form if route.method == "POST" else b"", **OWN
    )
    assert answer.status == FIXED[route.method, route.rule][kind in KNOWN]


@pytest.mark.whole
@pytest.mark.parametrize("kind", VISITORS)
def test_a_library_that_is_private_itself_shows_visitors_nothing(
    gallery: Gallery, tmp_path: Path, kind: str
) -> None:
    root = tmp_path / "Quartz.private"
    shutil.copytree(
        gallery.root, root, symlinks=True, ignore=shutil.ignore_patterns("cache", "Names")
    )
    app = photos.create_app(root / ".photos", background=False)
    client = dataclasses.replace(gallery, app=app).client(kind)
    paths = ("/", "/api/album", "/album/Trip/", "/photo/Trip/one.jpg", "/feed.atom")
    statuses = [client.get(path).status for path in paths]
    app.close()
    assert statuses == [200 if kind in KNOWN else 404] * 5


def test_a_route_without_an_access_rule_fails_at_the_start(
    site: photos.Site, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = photos.Route("GET", "/new", "send_health", None)  # type: ignore[arg-type]
    monkeypatch.setattr(photos, "ROUTES", (*photos.ROUTES, row))
    with pytest.raises(TypeError, match="/new has no access rule"):
        photos.create_app(library / ".photos", background=False)


# Whether something exists


@pytest.mark.whole
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
@pytest.mark.parametrize(
    "headers", [{}, {"If_None_Match": "*"}, {"Range": "bytes=0-1"}], ids=str
)
def test_a_path_under_a_private_name_answers_the_same_whether_it_exists_or_not(
    site: photos.Site, library: Path, visitor: Client, method: str, headers: dict[str, str]
) -> None:
    below = ("", "/", "/Sub", "/Sub/", "/x.jpg", "/x.jpg/", "/Sub/y.jpg")
    paths = [f"{album}{path}" for album in ("Ghost", "Ghost.private") for path in below]
    starts = [route.rule.partition("<")[0] for route in WITH_PATH]
    addresses = [
        f"{start}{path}{query}"
        for start in starts
        for path in paths
        for query in ("", "?v=1&page=9")
    ]
    before = [visitor.request(method, address, **headers, **OWN) for address in addresses]
    draw(library / "Ghost.private" / "x.jpg")
    draw(library / "Ghost.private" / "Sub" / "y.jpg")
    assert [
        visitor.request(method, address, **headers, **OWN) for address in addresses
    ] == before
    assert Client(site).log_in(target="/album/Ghost/x.jpg").status == 303


def test_a_link_into_a_private_album_does_not_tell_which_names_exist(
    library: Path, visitor: Client
) -> None:
    draw(library / "Closed.private" / "x.jpg")
    (library / "Trip" / "door").symlink_to("../Closed.private")
    places = ("door/x.jpg", "door/y.jpg", "door/y/z.jpg", "door/%00", "none.jpg")
    for kind in ("photo", "thumbnail", "download", "api/album"):
        answers = [visitor.get(f"/{kind}/Trip/{place}") for place in places]
        assert answers == [answers[0]] * len(places)
        assert answers[0].status == 404
    for place in ("door/x.jpg", "door/y.jpg", "none.jpg"):
        answer = visitor.get(f"/album/Trip/{place}")
        assert answer.status == 404
        assert Page(answer.text).fields["next"] == f"/album/Trip/{place}"


@pytest.mark.whole
def test_a_private_album_is_not_even_listed_for_a_visitor(
    site: photos.Site, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[photos.Parts] = []
    listing = photos.Folders.listing

    def watched(folders: photos.Folders, parts: photos.Parts, **options: bool) -> Any:
        seen.append(parts)
        return listing(folders, parts, **options)

    monkeypatch.setattr(photos.Folders, "listing", watched)
    for album in ("Secret", "Secret.private"):
        assert visitor.get(f"/album/{album}/").status == 404
        assert visitor.get(f"/photo/{album}/faces.jpg").status == 404
    assert set(seen) == {()}
    assert visitor.get("/album/Trip/").status == 200
    assert ("Trip",) in seen


# What visitors see


@pytest.mark.whole
def test_nothing_of_private_albums_reaches_a_visitor(gallery: Gallery) -> None:
    def check(address: str, answer: Answer) -> None:
        is_script = answer.headers["content-type"].startswith(
            "text/javascript"
        )  # the same on every site
        assert is_script or not PRIVATE_WORDS.findall(everything(answer)), address

    places = ("/api/album", "/album/Quartz/", "/album/Quartz/zebra.jpg")
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


def test_the_cover_of_an_album_is_never_of_a_private_one_below(
    gallery: Gallery, tmp_path: Path
) -> None:
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


def test_a_hidden_album_is_listed_for_users_only_and_opens_for_who_has_the_link(
    gallery: Gallery,
) -> None:
    link = "/album/Drafts/"
    assert link not in Page(gallery.client().get("/").text).links
    assert link in Page(gallery.client("user").get("/").text).links
    answer = gallery.client().get(link)
    assert (answer.status, answer.headers["x-robots-tag"]) == (200, "noindex")
    assert Page(answer.text).items == [f"{link}draft.jpg"]
    assert (
        gallery.client().get("/thumbnail/Drafts/draft.jpg").headers["x-robots-tag"]
        == "noindex"
    )
    assert "x-robots-tag" not in gallery.client().get("/album/Trip/").headers


def test_a_user_sees_badges_of_visibility(gallery: Gallery) -> None:
    page = Page(gallery.client("user").get("/").text)
    assert {"Hidden", "Private", "Drafts", "Xylophone"} <= {
        text.strip() for text in page.texts
    }


@pytest.mark.parametrize("name", ["one.jpg", "equator.jpg"])
def test_where_a_photo_was_taken_is_told_to_users_only(gallery: Gallery, name: str) -> None:
    latitude, longitude = {"one.jpg": (48.25, 16.5), "equator.jpg": (0, 9)}[name]
    pages = {
        kind: gallery.client(kind).get(f"/album/Trip/{name}").text
        for kind in ("user", "visitor")
    }
    where = f"{latitude:.5f}, {longitude:.5f}"
    assert where in pages["user"] and where not in pages["visitor"]
    assert not {"latitude", "longitude"} & gallery.item(f"Trip/{name}").keys()
    told = gallery.item(f"Trip/{name}", "user")
    assert (told.get("latitude"), told.get("longitude")) == (latitude, longitude)


ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"


@pytest.mark.parametrize(
    ("browser", "start"),
    [
        (ANDROID, "geo:48.25000,16.50000?q=48.25000,16.50000"),
        (
            IPHONE,
            "https://www.openstreetmap.org/?mlat=48.25000&mlon=16.50000#map=14/48.25000/16.50000",
        ),
        (
            "",
            "https://www.openstreetmap.org/?mlat=48.25000&mlon=16.50000#map=14/48.25000/16.50000",
        ),
    ],
)
def test_a_link_to_the_place_opens_a_map_that_the_system_has(
    gallery: Gallery, browser: str, start: str
) -> None:
    page = gallery.client("user").get("/album/Trip/one.jpg", User_Agent=browser)
    assert f'href="{html.escape(start)}"' in page.text
    for kind in ("visitor", "user"):
        nowhere = "/album/Trip/two.jpg" if kind == "user" else "/album/Trip/one.jpg"
        text = gallery.client(kind).get(nowhere, User_Agent=browser).text
        assert "geo:" not in text and "openstreetmap" not in text


@pytest.mark.whole
def test_two_sites_in_one_process_know_nothing_of_each_other(
    visitor: Client, tmp_path: Path
) -> None:
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


# Renaming


@pytest.mark.whole
def test_renaming_an_album_to_private_hides_it_at_the_next_request(
    library: Path, visitor: Client, user: Client
) -> None:
    item = json.loads(visitor.get("/api/album/Trip").body)["items"][0]
    media = [
        *item["thumbnails"].values(),
        item["preview"],
        item["original"],
        item["download"],
    ]
    etags = {
        address: visitor.get(address).headers["etag"] for address in [*media, item["url"]]
    }
    (library / "Trip").rename(library / "Trip.private")
    assert "Trip" not in visitor.get("/").text + visitor.get("/api/album").text
    for address, etag in etags.items():
        moved = address.replace("/Trip/", "/Trip.private/")
        for each in (address, moved):
            assert visitor.get(each, If_None_Match=etag).status == 404
        assert user.get(address).status == 200
    assert "/album/Trip/" in Page(user.get("/").text).links


@pytest.mark.whole
def test_renaming_an_album_to_hidden_leaves_the_link_and_takes_it_from_the_list(
    library: Path, visitor: Client
) -> None:
    before = visitor.get("/")
    (library / "Trip").rename(library / "Trip.HIDDEN")
    after = visitor.get("/", If_None_Match=before.headers["etag"])
    assert after.status == 200 and "Trip" not in after.text
    assert visitor.get("/album/Trip/").status == 200
    assert visitor.get("/album/Trip.HIDDEN/").headers["location"] == "/album/Trip/"


def counts(client: Client) -> dict[str, int]:
    """Return the albums of the front page with their numbers of photos."""
    return {
        album["title"]: album["photos"]
        for album in json.loads(client.get("/api/album").body)["albums"]
    }


@pytest.mark.whole
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
    assert visitor.get(f"/photo/{photo}").status == 404
    assert visitor.get(f"/thumbnail/{photo}").status == 404
    assert counts(visitor) == {
        title: count for title, count in before.items() if title != "Outer"
    }
    assert "alias" not in visitor.get("/album/Trip/").text


# Forms of other sites


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({"Sec_Fetch_Site": "same-origin"}, True),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1"}, False),
        ({"Origin": "http://127.0.0.1"}, True),
        ({"Origin": "https://127.0.0.1"}, False),
        ({"Origin": "http://127.0.0.1:81"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_a_form_of_another_site_is_refused(
    gallery: Gallery, headers: dict[str, str], is_own: bool
) -> None:
    form = urlencode({"user": "anna", "password": PASSWORD}).encode()
    answer = gallery.client().request("POST", "/login", form, **headers)
    assert answer.status == (303 if is_own else 403)
    assert ("set-cookie" in answer.headers) == is_own
    client = gallery.client("user")
    assert client.request("POST", "/logout", **headers).status == (303 if is_own else 403)
    assert client.get("/photo/Quartz/zebra.jpg").status == (404 if is_own else 200)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_tell_by_a_download_that_a_private_file_is_there(
    gallery: Gallery, site: str
) -> None:
    """Where a download begins, the window that was opened for it stays that of the other site."""
    client = gallery.client("user")
    for kind in ("download", "photo", "thumbnail", "preview", "api/album"):
        answers = [
            client.get(f"/{kind}/Quartz/{name}", Sec_Fetch_Site=site)
            for name in ("zebra.jpg", "nothing.jpg")
        ]
        assert answers[0] == answers[1] and answers[0].status == 404
    assert client.get("/download/Trip/two.jpg", Sec_Fetch_Site=site).status == 200
    assert client.get("/album/Quartz/zebra.jpg", Sec_Fetch_Site=site).status == 200
    assert client.get("/download/Quartz/zebra.jpg", Sec_Fetch_Site="none").status == 200


def test_a_form_may_come_from_the_public_address(
    make_site: Callable[..., photos.Site],
) -> None:
    client = Client(make_site(public_address="https://photos.example.org/our"))
    form = urlencode({"user": "anna", "password": PASSWORD}).encode()
    for origin, status in {
        "https://photos.example.org": 303,
        "http://photos.example.org": 403,
    }.items():
        assert client.request("POST", "/login", form, Origin=origin).status == status


@pytest.mark.whole
@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("photos.example.org", True),
        ("Photos.Example.org:443", True),
        ("photos.example.org.", True),
        ("localhost:8080", True),
        ("nas.local", True),
        ("nas:8080", True),
        ("192.168.1.7:8080", True),
        ("[fe80::1]:8080", True),
        ("", True),
        ("evil.example", False),
        ("photos.example.org.evil.example", False),
        ("evil.example:80", False),
        ("local.evil.example", False),
        ("1.2.3.4.evil.example", False),
    ],
)
@pytest.mark.parametrize(
    "path", ["/", "/album/Quartz/", "/api/album", "/login", "/healthz"]
)
def test_a_site_with_a_public_address_answers_to_its_own_names_alone(
    make_site: Callable[..., photos.Site], host: str, is_own: bool, path: str
) -> None:
    with_address = Client(make_site(public_address="https://photos.example.org/our"))
    answer = with_address.get(path, Host=host)
    assert (answer.status != 421) == is_own
    assert is_own or b"Quartz" not in answer.body
    if path == "/" and not is_own:
        assert "Open the site by its public address" in answer.text


def test_the_page_for_a_name_that_is_not_ours_has_its_styles_and_leads_nowhere(
    make_site: Callable[..., photos.Site],
) -> None:
    client = Client(make_site(public_address="https://photos.example.org"))
    page = client.get("/", Host="evil.example")
    styles = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text)
    assert len(styles) == 2
    for style in styles:
        assert client.get(style, Host="evil.example").status == 200
    assert page.status == 421
    assert "<a " not in page.text
    assert "<form" not in page.text


@pytest.mark.whole
def test_a_site_without_a_public_address_answers_to_every_name(
    make_site: Callable[..., photos.Site],
) -> None:
    assert Client(make_site()).get("/", Host="any.example").status == 200
