"""One answer: every rule × every principal × every route, and what a rename or a day changes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from drawing import draw, exif
from looking import read
from visiting import OWN, PASSWORD, Answer, Client, Page, crawl, is_page

import photos
import renditions

TODAY = dt.date(2026, 11, 28)
# The letters of the table below.
WHO = {"v": "visitor", "a": "anna", "b": "ben", "o": "olga"}  # olga is the owner


@dataclasses.dataclass(frozen=True)
class Case:
    """A folder or file of the library, and who may open and find it: letters of WHO."""

    path: str
    address: str
    opens: str
    finds: str  # from the front page on
    photo: str = ""  # the name of the photo in it; '': the path is a photo

    @property
    def photo_address(self) -> str:
        return f"{self.address}/{self.photo}" if self.photo else self.address

    def may_open(self, who: str) -> bool:
        return who in {WHO[letter] for letter in self.opens}

    def may_find(self, who: str) -> bool:
        return who in {WHO[letter] for letter in self.finds}


# Written by hand, from section 4 of the design: nothing here is computed by the program.
CASES = [
    Case("Open", "Open", "vabo", "vabo", "m01.jpg"),
    Case("Unlisted.hidden", "Unlisted", "vabo", "abo", "m02.jpg"),
    Case("Family.private", "Family", "abo", "abo", "m03.jpg"),
    Case("Hers.private+anna", "Hers", "ao", "ao", "m04.jpg"),
    Case("Both.private+anna+Ben", "Both", "abo", "abo", "m05.jpg"),
    Case("Stranger.private+zoe", "Stranger", "o", "o", "m06.jpg"),
    Case("Half.private+anna+zoe", "Half", "o", "o", "m07.jpg"),
    Case("Inbox.inbox", "Inbox", "abo", "abo", "m08.jpg"),
    Case("Soon.hidden-until-2030-01-01", "Soon", "vabo", "abo", "m09.jpg"),
    Case("Today.hidden-until-2026-11-28", "Today", "vabo", "abo", "m10.jpg"),
    Case("Past.hidden-until-2026-11-27", "Past", "abo", "abo", "m11.jpg"),
    Case("Faces.private copy", "Faces", "o", "o", "m12.jpg"),
    Case("Wide．private", "Wide", "abo", "abo", "m13.jpg"),
    Case("Bad.hidden-until-31.12.2030", "Bad", "o", "o", "m14.jpg"),
    # Combined along the path.
    Case("Unlisted.hidden/Inner", "Unlisted/Inner", "vabo", "abo", "m15.jpg"),
    Case("Unlisted.hidden/Core.private", "Unlisted/Core", "abo", "abo", "m16.jpg"),
    Case("Hers.private+anna/Deep", "Hers/Deep", "ao", "ao", "m17.jpg"),
    Case("Hers.private+anna/His.private+ben", "Hers/His", "o", "o", "m18.jpg"),
    Case("Hers.private+anna/Most.hidden", "Hers/Most", "ao", "ao", "m19.jpg"),
    Case("Both.private+anna+Ben/One.private+ben", "Both/One", "bo", "bo", "m20.jpg"),
    Case("Past.hidden-until-2026-11-27/Now.hidden", "Past/Now", "abo", "abo", "m21.jpg"),
    Case("Faces.private copy/In.hidden", "Faces/In", "o", "o", "m22.jpg"),
    Case("Open/Shell.private/Core", "Open/Shell/Core", "abo", "abo", "m23.jpg"),
    # Files keep the rule, and have their whole names in addresses.
    Case("Open/f0.jpg", "Open/f0.jpg", "vabo", "vabo"),
    Case("Open/f1.jpg.private", "Open/f1.jpg.private", "abo", "abo"),
    Case("Open/f2.jpg.hidden", "Open/f2.jpg.hidden", "vabo", "abo"),
    Case("Open/f3.jpg.private+anna", "Open/f3.jpg.private+anna", "ao", "ao"),
    Case("Open/f4.jpg.private copy", "Open/f4.jpg.private copy", "o", "o"),
    Case("Unlisted.hidden/f5.jpg.private", "Unlisted/f5.jpg.private", "abo", "abo"),
    Case("Hers.private+anna/f6.jpg.private+ben", "Hers/f6.jpg.private+ben", "o", "o"),
    # Links: the real path counts as well.
    Case("Links/Shortcut", "Links/Shortcut", "ao", "ao", "m04.jpg"),
    Case("Links/link.jpg", "Links/link.jpg", "ao", "ao"),
    Case("Links/Hall", "Links/Hall", "vabo", "abo", "m02.jpg"),
]
LINKS = {
    "Links/Shortcut": "../Hers.private+anna",
    "Links/link.jpg": "../Hers.private+anna/m04.jpg",
    "Links/Hall": "../Unlisted.hidden",
}
# What is below a link is listed there as well.
BELOW_LINKS = [
    Case("Links/Shortcut/Deep", "Links/Shortcut/Deep", "ao", "ao", "m17.jpg"),
    Case("Links/Shortcut/His.private+ben", "Links/Shortcut/His", "o", "o", "m18.jpg"),
    Case("Links/Shortcut/Most.hidden", "Links/Shortcut/Most", "ao", "ao", "m19.jpg"),
    Case(
        "Links/Shortcut/f6.jpg.private+ben", "Links/Shortcut/f6.jpg.private+ben", "o", "o"
    ),
    Case("Links/Hall/Inner", "Links/Hall/Inner", "vabo", "abo", "m15.jpg"),
    Case("Links/Hall/Core.private", "Links/Hall/Core", "abo", "abo", "m16.jpg"),
    Case("Links/Hall/f5.jpg.private", "Links/Hall/f5.jpg.private", "abo", "abo"),
]
EVERYTHING = [*CASES, *BELOW_LINKS]


def taken(case: Case) -> dt.date:
    """Return the day of a case's photo, another one for each name."""
    name = case.photo_address.rpartition("/")[2].replace("link", "m04")
    first = {"m": dt.date(2023, 1, 1), "f": dt.date(2024, 1, 1)}[name[0]]
    return first + dt.timedelta(days=int(name[1:].partition(".")[0]))


def furnish(root: Path) -> None:
    for case in CASES:
        if case.path in LINKS:
            continue
        path = root / case.path / case.photo if case.photo else root / case.path
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(
            path,
            format="JPEG",
            colour=f"#{CASES.index(case) * 7:02x}6699",
            exif=exif(f"{taken(case):%Y:%m:%d} 12:00:00"),
        )
    (root / "Links").mkdir()
    for name, target in LINKS.items():
        (root / name).symlink_to(target)


@dataclasses.dataclass
class Scene:
    """A site, its library and its users, and a clock."""

    root: Path
    state: Path
    app: photos.Site
    users: photos.UserStore
    today: list[dt.date]

    def client(self, who: str) -> Client:
        client = Client(self.app)
        if who != "visitor":
            assert client.log_in(who).status == 303
        return client


def open_scene(root: Path, state: Path, owner: str = "olga") -> Scene:
    """Register users and open a site over a library, all its files read; '': without any owner."""
    photos.make_state_folder(state)
    users = photos.UserStore(state)
    for name in ("anna", "ben", "olga"):
        users.register(name, PASSWORD.encode(), owner=name == owner)
    today = [TODAY]
    config = photos.Config(library=os.fspath(root), title="Ours")
    photos.write_config(state, config)
    app = photos.create_app(state, background=False, today=lambda: today[0])
    read(app._library, renditions.Purpose.ALL)
    return Scene(root, state, app, users, today)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    monkeypatch.setattr(photos, "READ_PATIENCE", 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library of all cases, which tests only read or copy."""
    folder = tmp_path_factory.mktemp("answers")
    furnish(folder / "Album")
    return folder


@pytest.fixture(scope="module")
def scene(folder: Path) -> Iterator[Scene]:
    """The library of all cases, which tests only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
        scene = open_scene(folder / "Album", folder / "state")
        yield scene
        scene.app.close()


@pytest.fixture(scope="module")
def clients(scene: Scene) -> dict[str, Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
        return {who: scene.client(who) for who in WHO.values()}


@pytest.fixture
def own_scene(folder: Path, tmp_path: Path) -> Iterator[Scene]:
    """A library of all cases of one's own, to change."""
    shutil.copytree(folder / "Album", tmp_path / "Album", symlinks=True)
    scene = open_scene(tmp_path / "Album", tmp_path / "state")
    yield scene
    scene.app.close()


# The matrix

PAGE_ROUTES, PHOTO_ROUTES, ALBUM_ROUTES = (
    ("/album/",),
    ("/thumbnail/", "/preview/", "/photo/", "/download/"),
    ("/api/album/", "/zip/"),
)
REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("GET", {}),
    ("HEAD", {}),
    ("GET", {"Range": "bytes=0-9"}),
    ("GET", {"If_None_Match": "*"}),
]


def prefixes() -> dict[str, photos.Access]:
    """Return the start of each route that is for a place below the library."""
    return {
        route.rule.partition("<")[0]: route.access
        for route in photos.ROUTES
        if route.access in (photos.Access.PAGE, photos.Access.MEDIA)
        and "<path" in route.rule
    }


def test_the_matrix_knows_every_route_with_a_place() -> None:
    films = {"/live/"}  # none of the photos has one
    assert set(prefixes()) == {*PAGE_ROUTES, *PHOTO_ROUTES, *ALBUM_ROUTES, *films}
    rest = {
        route.rule
        for route in photos.ROUTES
        if route.access in (photos.Access.PAGE, photos.Access.MEDIA)
        and "<path" not in route.rule
    }
    timeline = {
        route.rule for route in photos.ROUTES if route.rule.startswith("/timeline/")
    }
    assert rest == {
        "/",
        "/api/album",
        "/feed.atom",
        "/search",
        *timeline,
    }  # of the library itself


def same_shape(address: str) -> str:
    """Return an address of the same length whose last name nothing has."""
    end = "/" * address.endswith("/")
    parent, slash, name = address.removesuffix("/").rpartition("/")
    stem, dot, rest = name.partition(".")
    return f"{parent}{slash}{'Q' * len(stem)}{dot}{rest}{end}"


def seen(answer: Answer, address: str) -> tuple[int, dict[str, str], bytes]:
    """Return all of an answer but the address that it may echo in its form."""
    body = answer.body.replace(quote(address).encode(), b"ADDRESS")
    headers = dict(answer.headers)
    if body != answer.body and "content-length" in headers:
        assert headers.pop("content-length") == str(len(answer.body))
    return answer.status, headers, body


def ask(client: Client, address: str, method: str, headers: dict[str, str]) -> Answer:
    return client.request(method, quote(address), **headers)


def addresses(case: Case) -> Iterator[tuple[str, bool]]:
    """Yield the addresses of a case on each route, and whether there is something for its openers."""
    full = case.path
    for prefix in prefixes():
        if case.photo:
            is_for_albums = prefix in (*PAGE_ROUTES, *ALBUM_ROUTES)
            yield f"{prefix}{case.address}/", is_for_albums
            yield f"{prefix}{case.address}", is_for_albums
            yield f"{prefix}{full}/", is_for_albums
        is_for_photos = prefix in (*PAGE_ROUTES, *PHOTO_ROUTES)
        yield f"{prefix}{case.photo_address}", is_for_photos
        if case.photo and full != case.address:
            yield f"{prefix}{full}/{case.photo}", is_for_photos


@pytest.mark.whole
@pytest.mark.parametrize("who", WHO.values())
@pytest.mark.parametrize("case", EVERYTHING, ids=lambda case: case.path)
def test_every_route_opens_for_those_who_may_and_is_unknown_to_the_others(
    case: Case, who: str, clients: dict[str, Client]
) -> None:
    client = clients[who]
    for address, has_something in addresses(case):
        answers = [ask(client, address, *request) for request in REQUESTS]
        if has_something and case.may_open(who):
            assert {answer.status for answer in answers} <= {200, 206, 303, 304}, address
            continue
        get, head, *others = answers
        assert get.status == 404, address
        assert (head.status, head.headers, head.body) == (404, get.headers, b"")
        assert others == [get, get]
        if not case.may_open(who):
            unknown = same_shape(address)
            assert seen(get, address) == seen(client.get(quote(unknown)), unknown)


@pytest.mark.parametrize("who", WHO.values())
def test_every_way_to_write_an_address_leads_to_one_page(
    who: str, clients: dict[str, Client]
) -> None:
    for case in EVERYTHING:
        if not case.photo or not case.may_open(who):
            continue
        for album in {case.address, case.path}:
            for end in ("", "/"):
                answers = crawl_redirects(clients[who], quote(f"/album/{album}{end}"))
                assert answers[-1] == quote(f"/album/{case.address}/")


def crawl_redirects(client: Client, address: str) -> list[str]:
    """Follow an address to a page; return the addresses on the way."""
    way = [address]
    while (answer := client.get(way[-1])).status == 303:
        way.append(answer.headers["location"])
        assert len(way) < 3
    assert answer.status == 200 and is_page(answer)
    return way


@pytest.mark.parametrize("who", WHO.values())
def test_a_range_and_an_etag_of_a_photo_are_for_those_who_may_open_it(
    who: str, clients: dict[str, Client]
) -> None:
    for case in EVERYTHING:
        address = quote(f"/photo/{case.photo_address}")
        etag = clients["olga"].get(address).headers["etag"]
        part = clients[who].get(address, Range="bytes=0-9")
        unchanged = clients[who].get(address, If_None_Match=etag)
        if case.may_open(who):
            assert (part.status, len(part.body), unchanged.status) == (206, 10, 304)
        else:
            assert (part.status, unchanged.status) == (404, 404)
            assert "etag" not in {**part.headers, **unchanged.headers}


@pytest.mark.parametrize(
    "address", ["/album/{}/", "/album/{}", "/photo/{}", "/api/album/{}"]
)
def test_private_unknown_and_misspelt_are_one_answer(
    address: str, clients: dict[str, Client]
) -> None:
    names = (
        "Family",
        "Family.private",
        "family",
        "Familie",
        "Family.private copy",
        "Famıly",
    )
    answers = []
    for name in names:
        target = address.format(name)
        answers.append(seen(clients["visitor"].get(quote(target)), target))
    assert all(answer == answers[0] for answer in answers)


def test_a_user_who_opens_an_unknown_address_gets_no_form(
    clients: dict[str, Client],
) -> None:
    for address in ("/album/Hers/", "/album/Nothing/"):
        assert Page(clients["ben"].get(address).text).fields == {}
        assert "password" in Page(clients["visitor"].get(address).text).fields


# Log-in from the form


def log_in_from(page: Answer, client: Client, who: str) -> Answer:
    """Fill in the form of a 404 page and send it."""
    found = Page(page.text)
    form = {**found.fields, "user": who, "password": PASSWORD}
    [action] = found.actions
    return client.request("POST", action, urlencode(form).encode(), **OWN)


@pytest.mark.parametrize("case", EVERYTHING, ids=lambda case: case.path)
def test_after_log_in_from_the_404_the_visitor_lands_at_the_place(
    case: Case, scene: Scene
) -> None:
    if case.may_open("visitor"):
        return
    for address in (f"/album/{case.address}/" if case.photo else "", case.photo_address):
        if not address:
            continue
        target = quote(address if address.startswith("/") else f"/album/{address}")
        client = Client(scene.app)
        refused = client.get(f"{target}?page=1")
        assert refused.status == 404
        answer = log_in_from(refused, client, "olga")
        assert (answer.status, answer.headers["location"]) == (303, f"{target}?page=1")
        assert client.get(answer.headers["location"]).status == 200


def test_after_log_in_a_user_who_may_not_open_it_gets_the_plain_404(scene: Scene) -> None:
    client = Client(scene.app)
    answer = log_in_from(client.get("/album/Hers/"), client, "ben")
    assert answer.headers["location"] == "/album/Hers/"
    hers = client.get("/album/Hers/")
    assert seen(hers, "/album/Hers/") == seen(client.get("/album/Qqqq/"), "/album/Qqqq/")


# What is listed

COUNT = re.compile(r"(\d+) photo")


def albums_found(client: Client, address: str = "/api/album") -> Iterator[dict[str, Any]]:
    """Yield all albums as JSON that somebody finds from the front on."""
    album = json.loads(client.get(address).body)
    yield album
    for child in album["albums"]:
        yield from albums_found(client, child["api"])


def expected_photos(who: str) -> dict[str, Case]:
    """Return the addresses of all photos that somebody finds, by the table."""
    return {quote(f"/album/{c.photo_address}"): c for c in EVERYTHING if c.may_find(who)}


@pytest.mark.parametrize("who", WHO.values())
def test_json_lists_exactly_what_may_be_found(who: str, clients: dict[str, Client]) -> None:
    expected = expected_photos(who)
    for album in albums_found(clients[who]):
        below = {
            a: c for a, c in expected.items() if a.startswith(album["url"].rstrip("/"))
        }
        if album["url"] == "/":
            below = expected
        dates = sorted(taken(case) for case in below.values())
        assert (album["photos"], album["videos"]) == (len(below), 0)
        assert [album["first"][:10], album["last"][:10]] == [
            date.isoformat() for date in (dates[0], dates[-1])
        ]
        cover = album["cover"].partition("?")[0].replace("/thumbnail/", "/album/")
        assert cover in below
        assert clients[who].get(album["cover"]).status == 200
        own = {a for a in below if a.rpartition("/")[0] == album["url"].rstrip("/")}
        assert {item["url"] for item in album["items"]} == own
        for child in album["albums"]:
            [again] = [
                each
                for each in albums_found(clients[who], child["api"])
                if each["url"] == child["url"]
            ]
            for name in ("photos", "first", "last", "cover", "title"):
                assert child[name] == again[name]


@pytest.mark.whole
@pytest.mark.parametrize("who", WHO.values())
def test_pages_lead_exactly_to_what_may_be_found(who: str, scene: Scene) -> None:
    client = scene.client(who)
    answers = crawl(client, "/")
    assert {answer.status for answer in answers.values()} <= {200, 303}
    items = {
        link
        for answer in answers.values()
        if is_page(answer)
        for link in Page(answer.text).items
    }
    assert items == expected_photos(who).keys()
    for answer in answers.values():
        if is_page(answer) and 'class="heading" data-seen' in answer.text:
            facts = unescape(answer.text.partition('<p class="facts">')[2])
            address = re.search(r'data-seen="([^"]+)"', answer.text)
            assert address
            below = [
                each
                for each in expected_photos(who)
                if each.startswith(address[1].rstrip("/"))
            ]
            count = COUNT.match(facts)
            assert count and int(count[1]) == len(below)


def finds_in(client: Client, start: str, allowed: set[str]) -> set[str]:
    """Return the photos on a page and those that it leads to below it; no others are covers there."""
    answers = crawl_below(client, start)
    pages = [Page(answer.text) for answer in answers]
    items = {item for page in pages for item in page.items}
    pictures = {
        link.partition("?")[0].replace("/thumbnail/", "/album/")
        for page in pages
        for link in page.images
        if "/thumbnail/" in link
    }
    assert pictures <= allowed
    return items


def crawl_below(client: Client, start: str) -> list[Answer]:
    """Return a page and all those that it leads to below its own address."""
    answers: dict[str, Answer] = {}
    waiting = [start]
    while waiting:
        address = waiting.pop()
        if address in answers:
            continue
        answer = answers[address] = client.get(address)
        assert answer.status == 200, address
        waiting += [link for link in Page(answer.text).links if link.startswith(start)]
    return list(answers.values())


# Of all photos; of some of them; and by what nobody says to strangers.
SEARCHES = ("m", "f", "2023", "2024", "private", "hidden", "core", "m03", "anna", "jpg")


@pytest.mark.parametrize("who", WHO.values())
def test_timeline_and_search_hold_what_the_albums_hold_and_nothing_else(
    who: str, clients: dict[str, Client]
) -> None:
    expected = set(expected_photos(who))
    assert finds_in(clients[who], "/timeline/", expected) == expected
    hits = [finds_in(clients[who], f"/search?q={query}", expected) for query in SEARCHES]
    assert set().union(*hits) == expected


@pytest.mark.parametrize(
    "terms", [{}, {"may_add": True}, {"password": "scrypt$1$1$1$aa$bb"}], ids=str
)
@pytest.mark.parametrize(
    "path", ["", *(c.path for c in CASES if c.photo and c.path not in LINKS)]
)
def test_a_guest_finds_by_timeline_and_search_what_the_share_holds(
    path: str, terms: dict[str, Any], scene: Scene
) -> None:
    folders = photos.Folders(scene.root, scene.state)
    place = folders.locate(tuple(filter(None, path.split("/"))), photos.OWNER_PRINCIPAL)
    assert place
    store = photos.ShareStore(scene.state)
    guests = photos.Guests(store, scene.users, folders)
    share = guests.make(place, label=f"{path} {terms}", until=None, **terms)
    prefix, client = f"/s/{store.token(share)}", Client(scene.app)
    if "password" in terms:
        for address in (
            "/timeline/",
            "/timeline/2023/01/",
            "/search?q=m",
            "/search?page=9",
        ):
            assert client.get(f"{prefix}{address}").status == 401
        return
    albums = albums_found(client, f"{prefix}/api/album")
    expected = {item["url"] for album in albums for item in album["items"]}
    assert finds_in(client, f"{prefix}/timeline/", expected) == expected
    hits = [finds_in(client, f"{prefix}/search?q={query}", expected) for query in SEARCHES]
    assert set().union(*hits) == expected


@pytest.mark.parametrize("who", WHO.values())
def test_previous_and_next_are_what_may_be_found(
    who: str, clients: dict[str, Client]
) -> None:
    links = []
    for case in EVERYTHING:
        if case.may_open(who):
            text = clients[who].get(quote(f"/album/{case.photo_address}")).text
            links += re.findall(r'rel="(?:prev|next)" href="([^"]+)"', text)
    assert links
    allowed = {
        quote(f"/album/{case.photo_address}")
        for case in EVERYTHING
        if case.may_open(who) and (case.may_find(who) or case.photo)
    }
    assert set(links) <= allowed


def test_the_feed_has_what_visitors_find_whoever_asks(clients: dict[str, Client]) -> None:
    feeds = {who: client.get("/feed.atom") for who, client in clients.items()}
    assert len({feed.body for feed in feeds.values()}) == 1
    links = set(
        re.findall(
            r'<link rel="alternate" type="text/html" href="([^"]+)"', feeds["ben"].text
        )
    )
    assert links == {"/", *expected_photos("visitor")}


# Before and after a change


def reach(scene: Scene, who: str, client: Client | None = None) -> set[str]:
    """Return what somebody can open now, of all albums and photos, by every route at once."""
    client = client or scene.client(who)
    opened = set()
    for case in EVERYTHING:
        page = quote(f"/album/{case.photo_address}")
        photo = quote(f"/photo/{case.photo_address}")
        statuses = {client.get(address).status for address in (page, photo)}
        if case.photo:
            statuses.add(client.get(quote(f"/api/album/{case.address}")).status)
        assert statuses in ({200}, {404}), case.path
        if statuses == {200}:
            opened.add(case.path)
    return opened


def found(scene: Scene, who: str, client: Client | None = None) -> set[str]:
    """Return the addresses of all photos that somebody finds now."""
    client = client or scene.client(who)
    return {item["url"] for album in albums_found(client) for item in album["items"]}


def expected_reach(who: str) -> set[str]:
    return {case.path for case in EVERYTHING if case.may_open(who)}


RENAMES = [
    ("Open", "Open.private"),
    ("Open", "Open.hidden"),
    ("Open.private", "Open"),
    ("Open.private", "Open.hidden"),
    ("Open.hidden", "Open"),
    ("Open.hidden", "Open.private"),
    ("Open.private", "Open.private copy"),
    ("Open.private+anna", "Open.private+ben"),
]
AFTER = {  # who opens and who finds the photo in it
    "Open": ("vabo", "vabo"),
    "Open.hidden": ("vabo", "abo"),
    "Open.private": ("abo", "abo"),
    "Open.private copy": ("o", "o"),
    "Open.private+anna": ("ao", "ao"),
    "Open.private+ben": ("bo", "bo"),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A library of one album and a loose photo; tests rename the album."""
    root = tmp_path_factory.mktemp("small") / "Album"
    draw(root / "Open" / "m01.jpg", exif=exif("2024:01:01 12:00:00"))
    draw(root / "Open" / "Core" / "m02.jpg", colour="#882244")
    draw(root / "loose.jpg", exif=exif("2020:01:01 12:00:00"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
        scene = open_scene(root, root.parent / "state")
        yield scene
        scene.app.close()


def answers_in(scene: Scene, clients: dict[str, Client]) -> Iterator[tuple[str, str, bool]]:
    """Yield who, what and whether it was there, for each principal and each way to an album."""
    for who, client in clients.items():
        addresses = {
            "/album/Open/": "opens",
            "/album/Open/m01.jpg": "opens",
            "/album/Open/Core/m02.jpg": "opens",
            "/api/album/Open": "opens",
            "/photo/Open/m01.jpg": "opens",
            "/thumbnail/Open/m01.jpg": "opens",
        }
        for address in addresses:
            answer = client.get(address)
            assert answer.status in (200, 404)
            yield who, "opens", answer.status == 200
        front = client.get("/").text
        yield who, "finds", 'href="/album/Open/"' in front
        album = json.loads(client.get("/api/album").body)
        yield who, "finds", len(album["albums"]) == 1
        yield who, "finds", album["photos"] == 3
        yield who, "finds", album["last"][:4] != "2020"
        yield "visitor", "finds", "/album/Open/m01.jpg" in client.get("/feed.atom").text


@pytest.mark.parametrize(("before", "after"), RENAMES)
def test_a_rename_takes_effect_at_the_next_request(
    before: str, after: str, small: Scene
) -> None:
    [present] = [path for path in small.root.iterdir() if path.is_dir()]
    present.rename(small.root / before)
    clients = {who: small.client(who) for who in WHO.values()}
    for name in (before, after, before):
        [present] = [path for path in small.root.iterdir() if path.is_dir()]
        present.rename(small.root / name)
        opens, finds = AFTER[name]
        expected = {
            "opens": {WHO[letter] for letter in opens},
            "finds": {WHO[letter] for letter in finds},
        }
        for who, what, was_there in answers_in(small, clients):
            assert was_there == (who in expected[what]), (name, who, what)


def test_an_etag_of_before_a_rename_opens_nothing_after_it(small: Scene) -> None:
    [present] = [path for path in small.root.iterdir() if path.is_dir()]
    present = present.rename(small.root / "Open")
    client = small.client("visitor")
    etags = {
        address: client.get(address).headers["etag"]
        for address in ("/album/Open/", "/photo/Open/m01.jpg", "/api/album/Open", "/")
    }
    for address, etag in etags.items():
        assert client.get(address, If_None_Match=etag).status == 304
    present.rename(small.root / "Open.private")
    statuses = [client.get(address, If_None_Match=e).status for address, e in etags.items()]
    assert statuses == [404, 404, 404, 200]


@pytest.mark.whole
def test_hidden_ends_with_its_day_on_all_ways_without_a_change_on_disk(
    own_scene: Scene,
) -> None:
    page = own_scene.client("visitor")
    before = reach(own_scene, "visitor", page)
    assert before == expected_reach("visitor")
    etag = page.get("/album/Today/").headers["etag"]
    own_scene.today[0] = TODAY + dt.timedelta(days=1)
    assert before - reach(own_scene, "visitor", page) == {"Today.hidden-until-2026-11-28"}
    assert page.get("/album/Today/", If_None_Match=etag).status == 404
    assert reach(own_scene, "ben") == expected_reach("ben")
    own_scene.today[0] = dt.date(2030, 1, 2)
    after = reach(own_scene, "visitor", page)
    assert before - after == {
        "Today.hidden-until-2026-11-28",
        "Soon.hidden-until-2030-01-01",
    }
    own_scene.today[0] = TODAY
    assert reach(own_scene, "visitor", page) == before


@pytest.mark.whole
def test_what_names_a_removed_user_is_the_owners_alone(own_scene: Scene) -> None:
    ben, anna = own_scene.client("ben"), own_scene.client("anna")
    hers = reach(own_scene, "anna", anna)
    own_scene.users.remove("ben")
    assert reach(own_scene, "ben", ben) == expected_reach("visitor")
    lost = {case.path for case in EVERYTHING if "ben" in case.path.lower()}
    assert reach(own_scene, "anna", anna) == hers - lost
    assert reach(own_scene, "olga") == expected_reach("olga")
    assert found(own_scene, "olga") == expected_photos("olga").keys()
    assert "Both.private+anna" in own_scene.client("olga").get("/").text
    own_scene.users.register("ben", PASSWORD.encode())
    assert reach(own_scene, "ben", ben) == expected_reach(
        "visitor"
    )  # the session of before
    assert reach(own_scene, "ben") == expected_reach("ben")
    assert reach(own_scene, "anna", anna) == hers


@pytest.mark.whole
def test_a_new_owner_sees_everything_at_the_next_request(own_scene: Scene) -> None:
    ben, olga = own_scene.client("ben"), own_scene.client("olga")
    assert found(own_scene, "ben", ben) == expected_photos("ben").keys()
    own_scene.users.make_owner("ben")
    assert reach(own_scene, "ben", ben) == expected_reach("olga")
    assert found(own_scene, "ben", ben) == expected_photos("olga").keys()
    own_scene.users.remove("olga")
    assert reach(own_scene, "olga", olga) == expected_reach("visitor")
    assert reach(own_scene, "anna") == expected_reach("anna")


@pytest.mark.whole
def test_without_any_owner_every_user_is_one(folder: Path, tmp_path: Path) -> None:
    scene = open_scene(folder / "Album", tmp_path / "state", owner="")
    path = tmp_path / "state" / "users.json"
    content = json.loads(path.read_bytes())
    for user in content["users"].values():
        del user["role"]  # as versions of before wrote it
    path.write_text(json.dumps(content))
    for who in ("anna", "ben"):
        assert reach(scene, who) == expected_reach("olga")
        assert found(scene, who) == expected_photos("olga").keys()
    assert reach(scene, "visitor") == expected_reach("visitor")
    assert found(scene, "visitor") == expected_photos("visitor").keys()
    scene.users.make_owner("anna")
    assert reach(scene, "ben") == expected_reach("ben")
    scene.app.close()


# A library that is not for everybody


@pytest.mark.parametrize(
    ("name", "opens"),
    [
        ("Album.private", "abo"),
        ("Album.private+ben", "bo"),
        ("Album.private copy", "o"),
        ("Album.hidden", "vabo"),
    ],
)
def test_the_name_of_the_library_itself_counts(
    name: str, opens: str, tmp_path: Path, make: Callable[..., Scene]
) -> None:
    draw(tmp_path / name / "Trip" / "one.jpg")
    scene = make(tmp_path / name, tmp_path / "state")
    for letter, who in WHO.items():
        client = scene.client(who)
        expected = 200 if letter in opens else 404
        for address in (
            "/",
            "/feed.atom",
            "/api/album",
            "/album/Trip/",
            "/photo/Trip/one.jpg",
        ):
            for method, headers in REQUESTS:
                status = client.request(method, address, **headers).status
                assert status in ((200, 206, 304) if expected == 200 else (404,)), address
        if expected == 404:
            nothing = seen(client.get("/album/Qqqq/"), "/album/Qqqq/")
            assert seen(client.get("/album/Trip/"), "/album/Trip/") == nothing
            if who == "visitor":
                answer = log_in_from(client.get("/"), client, "olga")
                assert answer.headers["location"] == "/"


@pytest.fixture
def make() -> Iterator[Callable[..., Scene]]:
    """Opens scenes and closes them after the test."""
    scenes: list[Scene] = []

    def make(root: Path, state: Path) -> Scene:
        scenes.append(open_scene(root, state))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.app.close()
