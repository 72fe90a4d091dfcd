"""Addresses: links that last, full names and former ones, twins, and names that hurt."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from drawing import draw, exif
from hypothesis import example, given, settings
from hypothesis import strategies as st
from looking import read
from visiting import OWN, PASSWORD, Answer, Client, Page

import photos
import renditions
from photos import Circumstances, Keywords, Name, Principal, Visibility

TODAY = dt.date(2026, 11, 28)
USERS = ("anna", "ben", "olga")  # olga is the owner


@dataclasses.dataclass
class Scene:
    """A library to fill, and a site over it."""

    root: Path
    app: photos.Site

    def client(self, who: str = "visitor") -> Client:
        client = Client(self.app)
        if who != "visitor":
            assert client.log_in(who).status == 303
        return client


@pytest.fixture
def make_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Scene]]:
    """Opens a site over albums with a photo each, by their paths; closes it after the test."""
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    monkeypatch.setattr(photos, "READ_PATIENCE", 30)
    made = []

    def make(*albums: str) -> Scene:
        root = tmp_path / "Album"
        for at, album in enumerate(albums):
            day = f"2024:01:{at + 1:02} 12:00:00"
            draw(root / album / f"in{at}.jpg", exif=exif(day))
        state = tmp_path / "state"
        photos.make_state_folder(state)
        users = photos.UserStore(state)
        for name in USERS:
            users.register(name, PASSWORD.encode(), owner=name == "olga")
        config = photos.Config(library=os.fspath(root), title="Ours")
        app = photos.create_app(state, config=config, background=False, today=lambda: TODAY)
        read(app._library, renditions.Purpose.ALL)
        made.append(app)
        return Scene(root, app)

    yield make
    for app in made:
        app.close()


def follow(client: Client, address: str) -> tuple[str, Answer]:
    """Follow an address to where it leads; return that and the answer there."""
    for _ in range(3):
        answer = client.get(address)
        if answer.status != 303:
            return address, answer
        address = answer.headers["location"]
    raise AssertionError(f"{address} leads nowhere")


def photos_of(client: Client, address: str) -> list[str]:
    """Return the names of the photos on an album's page."""
    _, answer = follow(client, address)
    assert answer.status == 200, address
    return [unquote(link).rpartition("/")[2] for link in Page(answer.text).items]


# Links that last


@pytest.mark.whole
def test_a_link_survives_every_change_of_visibility(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene("Wedding.hidden/Party")
    links = {"/album/Wedding/Party/", "/album/Wedding/Party/in0.jpg", "/album/Wedding/"}
    links_of_before = {
        "/album/Wedding.hidden/Party/",
        "/album/Wedding.hidden/Party/in0.jpg",
        "/album/Wedding.hidden",
    }
    folder = scene.root / "Wedding.hidden"
    for name in (
        "Wedding",
        "Wedding.hidden",
        "Wedding.hidden-until-2026-11-28",
        "Wedding.inbox",
    ):
        folder = folder.rename(scene.root / name)
        client = scene.client("anna" if name == "Wedding.inbox" else "visitor")
        for link in links:
            assert client.get(link).status == 200, (name, link)
        for link in links_of_before:
            end, answer = follow(client, link)
            assert answer.status == 200 and end in links, (name, link)
        for kind in ("photo", "thumbnail", "preview", "download"):
            for start in ("Wedding", "Wedding.hidden", name):
                answer = client.get(f"/{kind}/{start}/Party/in0.jpg")
                assert answer.status == 200
        assert client.get("/api/album/Wedding.hidden/Party").status == 200
    folder.rename(scene.root / "Wedding.private")
    for link in links | links_of_before:
        client = scene.client()
        page = client.get(link)
        assert page.status == 404
        form = Page(page.text)
        assert form.fields["next"] == link
        answer = client.log_in("anna", target=form.fields["next"])
        end, answer = follow(client, answer.headers["location"])
        assert answer.status == 200 and end in links
        assert follow(client, link)[0] in links


def test_full_and_former_names_lead_on_with_the_query(
    make_scene: Callable[..., Scene],
) -> None:
    client = make_scene("Trip.hidden").client()
    for name in ("Trip.hidden", "Trip.private", "Trip.private copy", "Trip.inbox", " Trip"):
        address = quote(f"/album/{name}/")
        answer = client.get(f"{address}?page=1&x=%2F%26")
        assert answer.headers["location"] == "/album/Trip/?page=1&x=%2F%26"
        answer = client.get(quote(f"/album/{name}/in0.jpg") + "?a=b")
        assert answer.headers["location"] == "/album/Trip/in0.jpg?a=b"
        assert client.request("HEAD", address).headers["location"] == "/album/Trip/"
    for name in ("trip", "Trip.hiddenx", "TRIP.hidden", "Trip/hidden", "Trip.hidden/x"):
        assert client.get(quote(f"/album/{name}/")).status == 404


def test_what_a_page_links_to_are_titles_alone(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("Wedding.hidden/Party.private+anna/Cake.inbox")
    client = scene.client("anna")
    for address in (
        "/",
        "/album/Wedding/",
        "/album/Wedding/Party/",
        "/album/Wedding/Party/Cake/",
    ):
        answer = client.get(address)
        assert answer.status == 200
        links = Page(answer.text).links
        attributes = re.findall(r'(?:data-[a-z]+|content)="(/[^"]*)"', answer.text)
        for link in [*links, *attributes]:
            for keyword in (".hidden", ".private", ".inbox"):
                assert keyword not in unquote(link)


# Twins


@pytest.mark.whole
def test_of_twins_the_least_strict_that_one_may_open_has_the_title(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene(  # in0 … in4
        "Trip.private+anna", "Trip.private", "Trip.hidden", "Trip.private copy", "Trip"
    )
    public = scene.root / "Trip"
    everything = {
        "visitor": {"Trip": "in4.jpg", "Trip.hidden": "in2.jpg"},
        "ben": {"Trip": "in4.jpg", "Trip.hidden": "in2.jpg", "Trip.private": "in1.jpg"},
    }
    everything["anna"] = everything["ben"] | {"Trip.private+anna": "in0.jpg"}
    everything["olga"] = everything["anna"] | {"Trip.private copy": "in3.jpg"}
    for who, expected in everything.items():
        client = scene.client(who)
        for name, photo in expected.items():
            assert photos_of(client, quote(f"/album/{name}/")) == [photo]
    os.rename(public, scene.root.parent / "gone")
    for who, photo in {"visitor": "in2.jpg", "ben": "in2.jpg", "olga": "in2.jpg"}.items():
        assert photos_of(scene.client(who), "/album/Trip/") == [photo]
    os.rename(scene.root / "Trip.hidden", scene.root.parent / "gone too")
    for who, photo in {"ben": "in1.jpg", "anna": "in1.jpg", "olga": "in1.jpg"}.items():
        assert photos_of(scene.client(who), "/album/Trip/") == [photo]
    os.rename(scene.root / "Trip.private", scene.root.parent / "gone as well")
    assert scene.client("ben").get("/album/Trip/").status == 404
    assert photos_of(scene.client("anna"), "/album/Trip/") == ["in0.jpg"]


@pytest.mark.whole
def test_a_title_that_is_a_files_name_is_the_files(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene("a.jpg.hidden", "b.jpg")
    draw(scene.root / "a.jpg", exif=exif("2024:06:01 12:00:00"))
    for who in ("visitor", "anna", "olga"):
        client = scene.client(who)
        assert "in0.jpg" not in client.get("/album/a.jpg").text
        assert client.get("/photo/a.jpg").headers["content-type"] == "image/jpeg"
        assert photos_of(client, "/album/a.jpg.hidden/") == ["in0.jpg"]
        assert photos_of(client, "/album/b.jpg/") == ["in1.jpg"]
    links = Page(scene.client("anna").get("/").text).links
    assert {"/album/a.jpg", "/album/a.jpg.hidden/"} <= set(links)


@pytest.mark.whole
def test_an_album_never_stands_before_a_file_of_its_own_name(
    make_scene: Callable[..., Scene],
) -> None:
    # The file's name could be a former name of the album.
    scene = make_scene("a.jpg")
    draw(scene.root / "a.jpg.private", format="JPEG")
    draw(scene.root / " a.jpg")
    user = scene.client("anna")
    for name in ("a.jpg.private", " a.jpg"):
        assert user.get(quote(f"/photo/{name}")).status == 200
        assert user.get(quote(f"/album/{name}")).status == 200
    # Who may not open the file gets the same answer as without it.
    visitor = scene.client()
    before = visitor.get("/album/a.jpg.private")
    (scene.root / "a.jpg.private").unlink()
    assert visitor.get("/album/a.jpg.private") == before


def test_a_file_that_one_may_not_open_takes_no_title(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene("Secret.private", "a.jpg.hidden")
    visitor, user = scene.client(), scene.client("anna")
    assert visitor.get("/album/a.jpg/").status == 200
    (scene.root / "a.jpg").symlink_to("Secret.private/in0.jpg")
    assert photos_of(visitor, "/album/a.jpg/") == ["in1.jpg"]
    assert visitor.get("/album/a.jpg/").status == 200
    assert photos_of(user, "/album/a.jpg.hidden/") == ["in1.jpg"]
    assert user.get("/album/a.jpg").status == 200
    assert user.get("/photo/a.jpg").status == 200


# Names that hurt

ODD_NAMES = [
    *(" Trip", "Trip ", "Trip", "  ", "trip", "TRIP"),
    *(unicodedata.normalize("NFC", "Café"), unicodedata.normalize("NFD", "Café")),
    *("caf\udce9", "caf\ufffd", "50% off", "%2e%2e", "a+b&c=d;e#f?g", "back\\slash"),
    *(" ..", " .", "..\N{NO-BREAK SPACE}", " .. .private", "…", "．．", "<b>&\"'"),
    *("new\nline", "tab\t", "日本 🗻", "\u202egpj", ".．private", "．private", " .hidden"),
    *("Deep.hidden", "Deep .hidden", " Deep.private", "Deep．hidden", "DEEP.HIDDEN"),
]


@pytest.mark.whole
def test_names_that_differ_only_in_form_stay_apart(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene(*ODD_NAMES)
    kept = [name for name in ODD_NAMES if not photos.is_ignored(name)]
    for who in ("visitor", "anna", "olga"):
        client = scene.client(who)
        listed = json.loads(client.get("/api/album").body)["albums"]
        addresses = [album["url"] for album in listed]
        assert len(set(addresses)) == len(addresses)
        expected = {name for name in kept if who != "visitor" or not has_keyword(name)}
        leads_to = []
        for album in listed:
            address = album["url"]
            assert not {".", ".."} & set(unquote(address).split("/")), address
            answer = client.get(address)
            assert answer.status == 200, address
            [link] = Page(answer.text).items
            assert link.startswith(address)
            assert client.get(link).status == 200
            leads_to.append(link.rpartition("/")[2])
            again = json.loads(client.get(album["api"]).body)
            assert again["url"] == address
        numbers = {f"in{ODD_NAMES.index(name)}.jpg" for name in expected}
        assert sorted(leads_to) == sorted(numbers)


def has_keyword(name: str) -> bool:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return ".private" in folded or ".hidden" in folded


@pytest.mark.parametrize(
    "path",
    [
        *("..", ".", "../Album", "%2e%2e", "Trip/..", "Trip/../Trip", "Trip//", "/Trip"),
        *("Trip%2F", "Trip%00", "Trip%2Fin0.jpg", "Trip\\in0.jpg", "Trip;x", "%C3", "%ff"),
        *("Trip/./", "~", "Trip:", "Trip::$DATA", "Trip. ", "TRIP", "trip.HIDDEN"),
        *(".photos", "../state/users.json", "Trip/in0.jpg/", "Trip/in0.jpg/x"),
        *("a/" * 1000, "x" * 5000, "x" * 300),
    ],
)
def test_an_address_that_nothing_has_is_404(
    path: str, make_scene: Callable[..., Scene]
) -> None:
    scene = make_scene("Trip.private")
    for kind in ("album", "photo", "api/album"):
        answer = scene.client().get(f"/{kind}/{quote(path, safe='%/~;:.')}")
        assert answer.status == 404
    status = scene.client("anna").get(f"/album/{quote(path, safe='%/~;:.')}").status
    assert status == (200 if path in ("Trip%2F", "Trip%2Fin0.jpg") else 404)


# Feed and history


def test_the_feed_keeps_its_ids_when_visibility_changes(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene("Trip", "Other.hidden")
    client = scene.client()

    def ids() -> list[str]:
        text = client.get("/feed.atom").text
        return re.findall("<id>(urn:[^<]*)</id>", text)[1:]

    [before] = ids()
    (scene.root / "Trip").rename(scene.root / "Trip.private")
    assert ids() == []
    (scene.root / "Trip.private").rename(scene.root / "Trip.hidden")
    assert ids() == []
    (scene.root / "Trip.hidden").rename(scene.root / "Trip")
    (scene.root / "Other.hidden").rename(scene.root / "Trip.private")  # a twin
    assert ids() == [before]


def test_new_marks_and_history_are_kept_by_the_address(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene("Trip")
    client = scene.client("anna")

    def keys() -> tuple[str, ...]:
        card = re.search(r'data-album="([^"]+)"', client.get("/").text)
        seen = re.search(r'data-seen="([^"]+)"', client.get("/album/Trip/").text)
        text = client.get("/album/Trip/in0.jpg").text
        stage = re.search(r'data-here="([^"]+)" data-album="([^"]+)"', text)
        assert card and seen and stage
        return card[1], seen[1], *stage.groups()

    before = keys()
    (scene.root / "Trip").rename(scene.root / "Trip.hidden")
    assert keys() == before
    (scene.root / "Trip.hidden").rename(scene.root / "Trip.private+anna")
    assert keys() == before


def test_open_graph_names_the_title_path(
    make_scene: Callable[..., Scene], tmp_path: Path
) -> None:
    scene = make_scene("Trip.hidden")
    config = photos.Config(library=os.fspath(scene.root), public_address="https://x.test")
    app = photos.create_app(tmp_path / "state", config=config, background=False)
    text = Client(app).get("/album/Trip/").text
    assert 'property="og:url" content="https://x.test/album/Trip/"' in text
    assert 'property="og:image" content="https://x.test/thumbnail/Trip/in0.jpg' in text
    app.close()


# Random siblings


class FakeFolders(photos.Folders):
    """Folders that are not on disk: a library of one level."""

    def __init__(
        self, albums: Mapping[str, Name], files: Mapping[str, photos.File]
    ) -> None:
        now = Circumstances(TODAY, frozenset(USERS))
        super().__init__(
            Path("/nowhere/Album"), Path("/nowhere/state"), circumstances=lambda: now
        )
        self._folder = photos.Folder(None, files, albums)

    def listing(self, parts: tuple[str, ...], *, fresh: bool = False) -> photos.Folder:
        return photos.Folder(None, {}, {}) if parts else self._folder


VISITOR, ANNA, BEN = photos.VISITOR, Principal("anna"), Principal("ben")
EVERYBODY = (VISITOR, ANNA, BEN, Principal("olga", is_owner=True))
TITLES = st.sampled_from(
    ["A", "a", "A ", " A", "A.jpg", "..", ".. ", " .", "…", "é", "e\u0301", "\udce9", "%41"]
) | st.text(st.sampled_from("A .é/%\\\u00a0．…".replace("/", "")), min_size=1, max_size=4)
ENDINGS = st.sampled_from(
    [
        *(
            "",
            "",
            "",
            " ",
            ".private",
            ".hidden",
            ".inbox",
            ".private+anna",
            ".private+zoe",
        ),
        *(".private copy", "．private", ".hidden-until-2026-11-27", ".PRIVATE", " .hidden"),
        *(
            ".hidden.private",
            ".hidden-until-2030-01-01",
            "..hidden",
            "。private",
            ".private ",
        ),
    ]
)
TARGETS = st.sampled_from(  # what the target of a link may say; most are no links
    [
        *(Keywords(), Keywords(), Keywords(), Keywords(Visibility.HIDDEN)),
        Keywords(Visibility.PRIVATE),
        Keywords(Visibility.PRIVATE, frozenset({"anna"}), frozenset({"anna"})),
    ]
)


def named(name: str, target: Keywords) -> Name:
    parsed = photos.parse_name(name)
    return parsed._replace(keywords=photos.strictest((parsed.keywords, target)))


def is_on_disk(name: str) -> bool:
    return not photos.is_ignored(name)


NAMES = st.builds(str.__add__, TITLES, ENDINGS).filter(is_on_disk)
ALBUMS = st.dictionaries(NAMES, TARGETS, max_size=8)


@st.composite
def siblings(draw_one: st.DrawFn) -> tuple[dict[str, Name], dict[str, photos.File]]:
    """Return the albums and files of one folder."""
    albums = draw_one(ALBUMS)
    names = draw_one(st.dictionaries(NAMES, TARGETS, max_size=3))
    files = {
        name: photos.File(
            name, f"/nowhere/Album/{name}", "", 1, 0, 0, named(name, target).keywords
        )
        for name, target in names.items()
        if name not in albums
    }
    return {name: named(name, target) for name, target in albums.items()}, files


def parts_of(link: str) -> tuple[str, ...]:
    """Read an address as the server does, after a browser may have changed it."""
    path = unquote_to_bytes(link).decode("latin-1")
    assert not {".", ".."} & set(path.split("/")), "browsers leave such parts out"
    return photos.address_of(path.removeprefix("/album/"))


def addresses(folders: photos.Folders, principal: Principal) -> dict[str, str]:
    """Return the links to all albums and files that somebody may open, by their real names."""
    now, links = folders.circumstances(), photos.Links("", "")
    root = folders.root_place(now)
    found = {}
    for name in root.folder.albums:
        place = folders.album_place(root, name, principal)
        if photos.may_open(principal, place.rule):
            found[name] = links.album(place.address)
    for name, file in root.folder.files.items():
        if photos.may_open(principal, file.keywords.rule(now)):
            found[name] = links.file_page((name,))
    return found


@pytest.mark.whole
@settings(max_examples=120, deadline=None)
@given(siblings())
@example(({" A": photos.parse_name(" A"), "A": photos.parse_name("A")}, {}))
@example(({" ..": photos.parse_name(" ..")}, {}))
@example(
    (
        {
            "A": named("A", Keywords(Visibility.PRIVATE)),
            "A.hidden": photos.parse_name("A.hidden"),
        },
        {},
    )
)
def test_each_address_leads_to_its_album_and_to_no_other(
    things: tuple[dict[str, Name], dict[str, photos.File]],
) -> None:
    folders = FakeFolders(*things)
    for principal in EVERYBODY:
        links = addresses(folders, principal)
        assert len(set(links.values())) == len(links)
        for name, link in links.items():
            place = folders.locate(parts_of(link), principal)
            assert place is not None, (name, link)
            assert place.parts == (name,)
            assert place.address == parts_of(link)
        for name in (*things[0], *things[1]):
            place = folders.locate((name,), principal)
            if name in links:
                assert place is not None, "each full name leads somewhere"
            elif place is not None:  # a former name of another one
                assert place.parts[0] in links


@pytest.mark.whole
@settings(max_examples=120, deadline=None)
@given(siblings(), siblings())
def test_what_somebody_may_not_open_changes_no_address_and_no_answer(
    things: tuple[dict[str, Name], dict[str, photos.File]],
    more: tuple[dict[str, Name], dict[str, photos.File]],
) -> None:
    albums, files = things
    names = {*albums, *files}
    now = Circumstances(TODAY, frozenset(USERS))
    for principal in EVERYBODY:
        closed_albums = {
            name: album
            for name, album in more[0].items()
            if name not in names
            and not photos.may_open(principal, album.keywords.rule(now))
        }
        closed_files = {
            name: file
            for name, file in more[1].items()
            if name not in {*names, *closed_albums}
            and not photos.may_open(principal, file.keywords.rule(now))
        }
        before = FakeFolders(albums, files)
        after = FakeFolders({**albums, **closed_albums}, {**files, **closed_files})
        assert addresses(before, principal) == addresses(after, principal)
        titles = {album.title for album in {**albums, **closed_albums}.values()}
        for asked in {*names, *closed_albums, *closed_files, *titles}:
            was, is_ = (each.locate((asked,), principal) for each in (before, after))
            assert (was and was.parts) == (is_ and is_.parts)


# Two principals at once


@pytest.mark.whole
def test_principals_at_once_never_see_each_others_albums(
    make_scene: Callable[..., Scene],
) -> None:
    scene = make_scene(
        "Trip",
        "Trip.hidden",
        "Hers.private+anna/Deep",
        "Ours.private",
        "Faces.private copy",
    )
    draw(scene.root / "Trip" / "f.jpg.private+ben", format="JPEG")
    read(scene.app._library, renditions.Purpose.ALL)
    addresses = ("/api/album", "/api/album/Trip", "/api/album/Hers", "/album/Trip/", "/")
    clients = {who: scene.client(who) for who in ("visitor", "anna", "ben", "olga")}
    alone = {
        (who, address): clients[who].get(address)
        for who in clients
        for address in addresses
    }
    bodies = {who: alone[who, "/api/album"].body for who in clients}
    assert len(set(bodies.values())) == 4

    def ask(who: str) -> None:
        client = Client(scene.app)
        client.cookies = dict(clients[who].cookies)
        for _ in range(12):
            for address in addresses:
                assert client.get(address) == alone[who, address], (who, address)

    def touch() -> None:
        for at in range(40):  # so that albums are derived again
            folder = scene.root / "Trip"
            os.utime(folder, ns=(at, at))
            scene.app._library._derived.clear()

    with ThreadPoolExecutor(9) as pool:
        tasks = [pool.submit(ask, who) for who in [*clients, *clients]]
        tasks.append(pool.submit(touch))
        for task in tasks:
            task.result()


def test_a_form_leads_only_to_this_site(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("Trip.private")
    for path in (
        "//evil.test/",
        "/album//evil.test",
        "/album/%2F%2Fevil.test",
        "/album/..//x",
    ):
        page = Page(scene.client().get(path).text)
        if "next" in page.fields:
            assert not page.fields["next"].startswith("//")
            client = scene.client()
            form = f"user=anna&password={quote(PASSWORD)}&next={quote(page.fields['next'])}"
            answer = client.request("POST", "/login", form.encode(), **OWN)
            assert re.match(r"/(?!/)", answer.headers["location"])
