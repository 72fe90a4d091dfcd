"""Below a share's address: what a guest gets, what a stranger gets, and that nothing leads out."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import jwt
import pytest
from drawing import draw
from test_takeaways import blocks_of
from visiting import OWN, Answer, Client, Page, everything, invite

import photos

pytestmark = pytest.mark.usefixtures("patient")

MakeShare = Callable[..., str]
SECRET = "open sesame now"
NEVER_WAS = "/s/AAAAAAAAAAAAAAAAAAAAAA"
KINDS = ("photo", "download", "thumbnail", "preview")


@pytest.fixture
def share(site: photos.Site, library: Path) -> MakeShare:
    """Makes a share of an album; returns its prefix."""
    inner = library / "Secret.private"
    draw(inner / "Sub" / "deep.jpg")
    draw(inner / "Drafts.hidden" / "sketch.jpg")
    draw(inner / "Quartz.private" / "zebra.jpg")

    def make(album: str = "Secret", password: str = "", **terms: Any) -> str:
        if password:
            terms["password"] = photos.hash_password(photos.parse_password(password))
        return invite(library / ".photos", album, **terms)

    return make


def unlock(client: Client, prefix: str, password: str = SECRET, **fields: str) -> Answer:
    form = urlencode({"password": password, **fields}).encode()
    return client.request("POST", f"{prefix}/unlock", form, **OWN)


def end_all(library: Path) -> None:
    store = photos.ShareStore(library / ".photos")
    for share in store.all():
        store.end(share.id)


@pytest.mark.whole
def test_a_guest_sees_the_album_as_if_it_were_the_library(
    share: MakeShare, visitor: Client
) -> None:
    prefix = share()
    page = Page(visitor.get(f"{prefix}/").text)
    assert page.items == [f"{prefix}/album/faces.jpg"]
    assert f"{prefix}/album/Sub/" in page.links
    assert "Secret" in page.text
    facts = json.loads(visitor.get(f"{prefix}/api/album").body)
    assert [album["title"] for album in facts["albums"]] == ["Sub"]
    assert facts["photos"] == 2
    for kind in KINDS:
        assert visitor.get(f"{prefix}/{kind}/faces.jpg").status == 200
    assert visitor.get(f"{prefix}/album/Drafts/").status == 200
    assert visitor.get(f"{prefix}/album/Quartz/").status == 404
    assert visitor.get("/album/Secret/").status == 404


@pytest.mark.whole
@pytest.mark.parametrize("album", ["Secret", "Trip", "Drafts", ""])
def test_nothing_leads_out_of_a_share(
    share: MakeShare, visitor: Client, album: str
) -> None:
    prefix = share(album)

    def check(address: str, answer: Answer) -> None:
        text = answer.text if b"\0" not in answer.body[:2000] else ""
        assert "Quartz" not in text and "zebra" not in text
        if answer.headers["content-type"].startswith("text/html"):
            page = Page(text)
            assert all(action.startswith(f"{prefix}/") for action in page.actions)
        if "manifest" in address:
            facts = json.loads(answer.body)
            assert facts["start_url"] == facts["scope"] == f"{prefix}/"
        if address.endswith("feed.atom"):
            assert set(re.findall(r'href="(/[^"]{4})', text)) == {f"{prefix}/"[:5]}
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex"
        if "/static/" not in address:
            assert "public" not in answer.headers.get("cache-control", "")

    starts = [f"{prefix}{path}" for path in ("/", "/api/album", "/feed.atom", "/nothing")]
    starts = [urljoin("/", start) for start in starts]
    answers = {}
    todo = list(starts)
    while todo:
        address = todo.pop().partition("#")[0]
        if address in answers:
            continue
        assert address.startswith(f"{prefix}/"), address
        answer = answers[address] = visitor.get(address)
        check(address, answer)
        todo += [answer.headers["location"]] if "location" in answer.headers else []
        if answer.headers["content-type"].startswith("text/html"):
            todo += [urljoin(address, link) for link in Page(answer.text).links]
        if answer.headers["content-type"] == "application/json":
            todo += re.findall(r'"(/[^"]*)"', answer.text)
    assert {answer.status for answer in answers.values()} == {200, 404}
    assert sum(answer.status == 404 for answer in answers.values()) == 1
    assert len(answers) > 15


@pytest.mark.whole
def test_who_is_logged_in_sees_what_the_guest_sees(
    share: MakeShare, visitor: Client, user: Client
) -> None:
    prefix = share()
    for path in ("/", "/album/faces.jpg", "/api/album", "/album/Quartz/", "/login"):
        assert everything(user.get(prefix + path)) == everything(visitor.get(prefix + path))
    assert "anna" not in user.get(f"{prefix}/").text
    assert user.request("POST", f"{prefix}/logout", **OWN).status == 404
    assert user.get("/album/Secret/").status == 200


@pytest.mark.whole
def test_the_place_of_a_photo_stays_at_home_for_guests(
    share: MakeShare, library: Path, visitor: Client, user: Client
) -> None:
    from drawing import place_block

    draw(library / "Secret.private" / "where.jpg", exif=place_block(48.25, 16.5))
    prefix = share()
    sent = visitor.get(f"{prefix}/photo/where.jpg").body
    assert sent != user.get("/photo/Secret/where.jpg").body
    assert user.get(f"{prefix}/photo/where.jpg").body == sent
    assert "latitude" not in visitor.get(f"{prefix}/api/album").text


@pytest.mark.whole
def test_pages_are_not_stored_and_pictures_are_kept_by_the_guest_alone(
    share: MakeShare, visitor: Client
) -> None:
    for album in ("Trip", "Secret"):
        prefix = share(album)
        item = json.loads(visitor.get(f"{prefix}/api/album").body)["items"][0]
        assert visitor.get(f"{prefix}/").headers["cache-control"] == "no-store"
        assert visitor.get(f"{prefix}/api/album").headers["cache-control"] == "no-store"
        for address in (item["preview"], item["original"]):
            caching = visitor.get(address).headers["cache-control"]
            assert caching.startswith("private,")


@pytest.mark.whole
def test_kept_pages_of_one_principal_never_reach_another(
    share: MakeShare, visitor: Client, user: Client
) -> None:
    prefixes = [share(), share(label="Uncle"), share("")]
    for _ in range(2):
        for prefix in prefixes:
            links = Page(visitor.get(f"{prefix}/").text).links
            assert {link[:24] for link in links if link.startswith("/s/")} == {prefix[:24]}
        assert "/s/" not in visitor.get("/").text + user.get("/album/Secret/").text
    assert "Secret" not in visitor.get(f"{prefixes[2]}/").text


# Dead


@pytest.mark.parametrize("end", ["ended", "expired", "owner gone", "album gone", "damaged"])
def test_a_dead_share_is_as_if_it_had_never_been(
    share: MakeShare, library: Path, visitor: Client, user: Client, end: str
) -> None:
    terms: dict[str, Any] = {}
    if end == "expired":
        terms["until"] = dt.date.today() - dt.timedelta(days=1)
    if end == "owner gone":
        terms["creator"] = "otto"
    prefix = share(password=SECRET, **terms)
    if end == "ended":
        end_all(library)
    if end == "album gone":
        (library / "Secret.private").rename(library.parent / "away")
    if end == "damaged":
        (library / ".photos" / "shares.json").write_text("{")
    paths = ("", "/", "/album/faces.jpg", "/photo/faces.jpg", "/api/album", "/feed.atom")
    paths += ("/login", "/static/style.css", "/manifest.webmanifest", "/none", "/healthz")
    for client in (visitor, user):
        for path in paths:
            for method in ("GET", "HEAD"):
                dead = client.request(method, prefix + path)
                never = client.request(method, NEVER_WAS + path)
                assert dead == never
                assert dead.status == 404
        assert unlock(client, prefix) == unlock(client, NEVER_WAS)
    text = visitor.get(f"{prefix}/").text
    assert "It may have ended: ask whoever gave it to you." in text
    page = Page(text)
    assert not page.actions and not [link for link in page.links if "login" in link]


def test_an_album_that_is_gone_from_a_share_does_not_mean_that_the_link_ended(
    share: MakeShare, visitor: Client
) -> None:
    answer = visitor.get(f"{share()}/album/Elsewhere/")
    assert answer.status == 404
    assert "may have been renamed" in answer.text and "ended" not in answer.text


@pytest.mark.parametrize(
    "path", ["/s", "/s/", "/s//", "/s/../", "/s/%00/", "/s/x/y", "/s/%C3%A9/", "/s/%FF/"]
)
def test_rubbish_is_no_share(share: MakeShare, visitor: Client, path: str) -> None:
    share()
    assert visitor.get(path).status == 404


def test_a_share_in_a_share_is_not_there(share: MakeShare, visitor: Client) -> None:
    prefix = share()
    assert visitor.get(f"{prefix}{prefix}/").status == 404


@pytest.mark.whole
def test_a_download_ends_with_its_share(
    share: MakeShare, site: photos.Site, library: Path
) -> None:
    film = library / "Secret.private" / "faces.jpg"
    film.write_bytes(film.read_bytes() + bytes(1_000_000))
    prefix = share()
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": f"{prefix}/photo/faces.jpg",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.file_wrapper": lambda file, *_: file,
    }
    body: Any = site(environ, lambda *_: None)
    assert len(body.read(1000)) == 1000
    end_all(library)
    with pytest.raises(OSError, match="ended"):
        body.read(1000)
    body.close()


# Password


@pytest.mark.whole
def test_everything_below_a_share_asks_for_its_password(
    share: MakeShare, visitor: Client
) -> None:
    prefix = share(password=SECRET)
    open_prefix = share(label="Uncle")
    etags = {}
    for kind in KINDS:
        answer = visitor.get(f"{open_prefix}/{kind}/faces.jpg")
        etags[kind] = answer.headers["etag"]
    for path in ("/", "/album/faces.jpg", "/album/Nothing/", "/api/album", "/feed.atom"):
        for method in ("GET", "HEAD"):
            answer = visitor.request(method, prefix + path)
            assert answer.status == 401
            assert answer.headers["cache-control"] == "no-store"
            assert "faces" not in answer.text.replace("album/faces.jpg", "")
            assert "Secret" not in answer.text
    for kind, etag in etags.items():
        for headers in ({}, {"If_None_Match": etag}, {"Range": "bytes=0-9"}):
            assert visitor.get(f"{prefix}/{kind}/faces.jpg", **headers).status == 401
    form = Page(visitor.get(f"{prefix}/album/faces.jpg?x=1").text)
    assert form.actions == [f"{prefix}/unlock"]
    assert form.fields["next"] == f"{prefix}/album/faces.jpg?x=1"


@pytest.mark.whole
def test_the_password_opens_a_share_in_this_browser_for_30_days(
    share: MakeShare, visitor: Client, site: photos.Site
) -> None:
    prefix = share(password=SECRET)
    answer = unlock(visitor, prefix, next=f"{prefix}/album/faces.jpg")
    assert (answer.status, answer.headers["location"]) == (303, f"{prefix}/album/faces.jpg")
    cookie = answer.headers["set-cookie"]
    assert f"Path={prefix};" in f"{cookie};" and "HttpOnly" in cookie
    assert f"Max-Age={30 * 86400}" in cookie and "SameSite=lax" in cookie
    for path in ("/", "/photo/faces.jpg", "/api/album"):
        assert visitor.get(prefix + path).status == 200
    assert Client(site).get(f"{prefix}/").status == 401


@pytest.mark.parametrize(
    "target", ["/", "/album/Secret/", "//evil.example/", "https://e.example/"]
)
def test_the_unlock_form_leads_nowhere_else(
    share: MakeShare, visitor: Client, target: str
) -> None:
    prefix = share(password=SECRET)
    assert unlock(visitor, prefix, next=target).headers["location"] == f"{prefix}/"


def test_a_wrong_password_is_counted_as_those_of_users_are(
    share: MakeShare, visitor: Client
) -> None:
    prefix = share(password=SECRET)
    statuses = [unlock(visitor, prefix, "wrong password").status for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert unlock(visitor, prefix).status == 429
    assert visitor.get(f"{prefix}/").status == 401
    assert visitor.log_in().status == 303


def test_the_unlock_form_counts_only_from_the_share_itself(
    share: MakeShare, visitor: Client
) -> None:
    prefix = share(password=SECRET)
    form = urlencode({"password": SECRET}).encode()
    headers = {"Sec_Fetch_Site": "cross-site"}
    assert visitor.request("POST", f"{prefix}/unlock", form, **headers).status == 403
    assert visitor.request("POST", "/unlock", form, **OWN).status == 404


def test_a_token_of_one_purpose_never_does_for_another(
    share: MakeShare, visitor: Client, user: Client, library: Path
) -> None:
    prefix, other = share(password=SECRET), share("Trip", password=SECRET)
    assert unlock(visitor, prefix).status == 303
    (name,) = visitor.cookies
    unlocked = visitor.cookies[name]
    session = next(iter(user.cookies.values()))
    session_name = next(iter(user.cookies))
    # Another share, a session, a share without its own key, and expired.
    assert visitor.get(f"{other}/").status == 401
    secret = photos.read_secret(library / ".photos")
    claims = jwt.decode(unlocked, options={"verify_signature": False})
    claims_of_session = {**claims, "aud": photos.AUDIENCE}
    key = photos.hmac.digest(secret, b"photos unlock", "sha256")
    expired = {**claims, "exp": int(time.time()) - 5}
    changed = {**claims, "epoch": "0"}
    for forged in (
        session,
        "",
        unlocked[:-3],
        jwt.encode(claims, bytes(32), "HS256"),
        jwt.encode(claims_of_session, key, "HS256"),
        jwt.encode(expired, key, "HS256"),
        jwt.encode(changed, key, "HS256"),
        prefix.removeprefix("/s/"),
    ):
        visitor.cookies[name] = forged
        assert visitor.get(f"{prefix}/").status == 401, forged
    stranger = user
    stranger.cookies = {session_name: unlocked}
    assert stranger.get("/album/Secret/").status == 404
    stranger.cookies = {session_name: prefix.removeprefix("/s/")}
    assert stranger.get("/album/Secret/").status == 404


def test_a_password_is_taken_from_a_page_without_a_referrer_on_a_home_network(
    share: MakeShare, visitor: Client
) -> None:
    prefix = share(password=SECRET)
    form = urlencode({"password": SECRET}).encode()
    foreign = {"Origin": "https://evil.example"}
    assert visitor.request("POST", f"{prefix}/unlock", form, **foreign).status == 403
    assert visitor.request("POST", f"{prefix}/unlock", form, Origin="null").status == 303
    assert visitor.request("POST", "/login", form, Origin="null").status == 403


# The matrix

# Address below the share: whether a guest opens it, and whether it is an album.
PLACES = {
    "": (True, True),
    "Sub": (True, True),
    "Sub/deep.jpg": (True, False),
    "faces.jpg": (True, False),
    "Drafts": (True, True),
    "Drafts/sketch.jpg": (True, False),
    "Quartz": (False, True),
    "Quartz/zebra.jpg": (False, False),
    "Quartz.private/zebra.jpg": (False, False),
    "Nothing": (False, True),
    "Nothing/x.jpg": (False, False),
    "../Trip": (False, True),
    "../Trip/one.jpg": (False, False),
    "Trip": (False, True),
    "Trip/one.jpg": (False, False),
    "loose.jpg": (False, False),
}
GUESTS = ("open", "unlocked", "locked", "ended", "expired", "dead by its album", "never")
ALBUM_ROUTES, ITEM_ROUTES = (
    ("/album/", "/api/album/", "/zip/"),
    ("/album/", *(f"/{kind}/" for kind in KINDS)),
)


def test_the_matrix_of_guests_knows_every_route_with_a_place() -> None:
    starts = {
        route.rule.partition("<")[0]
        for route in photos.ROUTES
        if route.access in (photos.Access.PAGE, photos.Access.MEDIA)
        and "<path" in route.rule
    }
    films = {"/live/"}  # none of the photos has one
    assert starts == {*ALBUM_ROUTES, *ITEM_ROUTES, *films}


@pytest.mark.whole
@pytest.mark.parametrize("kind", GUESTS)
def test_each_guest_opens_what_the_share_opens_and_nothing_else(
    share: MakeShare, library: Path, visitor: Client, user: Client, kind: str
) -> None:
    password = SECRET if kind in ("unlocked", "locked") else ""
    yesterday = dt.date.today() - dt.timedelta(days=1)
    prefix = share(password=password, until=yesterday if kind == "expired" else None)
    for client in (visitor, user):
        if kind == "unlocked":
            assert unlock(client, prefix).status == 303
    if kind == "ended":
        end_all(library)
    if kind == "never":
        prefix = NEVER_WAS
    if kind == "dead by its album":
        (library / "Secret.private").rename(library.parent / "away")
    opens = kind in ("open", "unlocked")
    for place, (is_open, is_album) in PLACES.items():
        for start in ALBUM_ROUTES if is_album else ITEM_ROUTES:
            slash = "/" if is_album and start == "/album/" and place else ""
            for method, headers in (
                ("GET", {}),
                ("HEAD", {}),
                ("GET", {"If_None_Match": "*"}),
                ("GET", {"Range": "bytes=0-9"}),
            ):
                for client in (visitor, user):
                    address = f"{prefix}{start}{place}{slash}"
                    status = client.request(method, address, **headers).status
                    expected = (200, 206, 303, 304) if opens and is_open else (404,)
                    if kind == "locked":
                        expected = (401,)
                    assert status in expected, (method, address, headers)


@pytest.mark.whole
def test_an_address_of_the_library_leads_to_its_place_below_a_share(
    share: MakeShare, visitor: Client
) -> None:
    prefix = share("Trip/Beach")
    answer = visitor.get(f"{prefix}/album/Trip/Beach/sand.png")
    assert answer.headers["location"] == f"{prefix}/album/sand.png"
    assert visitor.get(f"{prefix}/photo/Trip/Beach/sand.png").status == 200
    assert visitor.get(f"{prefix}/album/Trip/one.jpg").status == 404
    assert visitor.get(f"{prefix}/album/Trip/").status == 404


def test_a_guest_cannot_guess_how_private_albums_above_are_called(
    share: MakeShare, visitor: Client
) -> None:
    prefix = share("Secret/Sub")
    for path in ("photo/Secret/Sub/deep.jpg", "album/Secret/Sub/", "album/Guess/Sub/"):
        assert visitor.get(f"{prefix}/{path}").status == 404


@pytest.mark.whole
def test_a_private_library_has_guests_and_a_login(
    tmp_path: Path, site: photos.Site
) -> None:
    root = tmp_path / "All.private"
    draw(root / "Trip" / "a.jpg")
    state = root / ".photos"
    photos.make_state_folder(state)
    users = photos.UserStore(state)
    users.register("olga", photos.parse_password(SECRET), owner=True)
    prefix = invite(state, "", password=photos.hash_password(b"open sesame"))
    app = photos.create_app(state, background=False)
    client = Client(app)
    assert unlock(client, prefix, "open sesame").status == 303
    statuses = [
        client.get(path).status
        for path in (f"{prefix}/", f"{prefix}/photo/Trip/a.jpg", "/")
    ]
    assert statuses == [200, 200, 404]
    assert client.log_in("olga", SECRET).status == 303
    app.close()


# Robots


@pytest.mark.whole
def test_a_robot_that_opens_a_link_changes_nothing(
    share: MakeShare, visitor: Client, library: Path
) -> None:
    prefix = share()
    file = library / ".photos" / "shares.json"
    before = file.read_bytes()
    for path in ("/", "/album/faces.jpg", "/api/album", "/photo/faces.jpg", "/feed.atom"):
        for method in ("GET", "HEAD"):
            visitor.request(method, prefix + path, User_Agent="facebookexternalhit/1.1")
    assert file.read_bytes() == before
    visitor.get(f"{prefix}/thumbnail/faces.jpg", Sec_Fetch_Site="same-origin")
    (share_now,) = photos.ShareStore(library / ".photos").all()
    assert share_now.used == dt.date.today()


PREVIEW = re.compile(r"<(?:meta|title)[^>]*>[^<]*")


@pytest.mark.whole
@pytest.mark.parametrize("path", ["/", "/album/Sub/"])
def test_a_chat_previews_the_title_of_the_site_alone_of_what_is_private(
    share: MakeShare, make_site: Callable[..., photos.Site], library: Path, path: str
) -> None:
    (library / "Secret.private" / "album.txt").write_text("Our wedding\nIn the castle")
    prefixes = [share(), share(label="Uncle", password=SECRET)]
    client = Client(make_site(public_address="https://photos.example.org"))
    for prefix in prefixes:
        text = client.get(prefix + path, Host="photos.example.org").text
        told = " ".join(re.findall(r"<meta[^>]*>", text))
        assert 'og:title" content="Photos"' in told or 'content="Our photos"' in told
        assert not re.search("og:image|og:url|wedding|castle|Sub|Secret", told)


@pytest.mark.whole
def test_a_chat_previews_the_cover_of_a_public_share(
    share: MakeShare, make_site: Callable[..., photos.Site]
) -> None:
    prefix = share("Trip")
    client = Client(make_site(public_address="https://photos.example.org"))
    text = client.get(f"{prefix}/", Host="photos.example.org").text
    picture = re.search(r'og:image" content="https://photos\.example\.org([^"]*)"', text)
    assert picture and picture[1].startswith(f"{prefix}/thumbnail/")


# Renaming


@pytest.mark.whole
def test_a_share_keeps_its_address_when_its_album_is_renamed(
    share: MakeShare, library: Path, visitor: Client
) -> None:
    prefix = share()
    item = f"{prefix}/album/faces.jpg"
    assert visitor.get(item).status == 200
    for name in ("Secret", "Secret.hidden", "Other.private", "Trip/Deep.private+zoe"):
        here = next(library.rglob("faces.jpg")).parent
        here.rename(library / name)
        assert visitor.get(item).status == 200
    assert "Trip" not in visitor.get(f"{prefix}/album/Sub/").text


@pytest.mark.whole
def test_below_a_proxy_the_prefix_of_a_share_comes_behind_its_own(
    share: MakeShare, site: photos.Site
) -> None:
    prefix = share()
    client = Client(site, SCRIPT_NAME="/photos")
    links = Page(client.get(f"{prefix}/").text).links
    assert links and all(link.startswith(f"/photos{prefix}/") for link in links)


def take_home(site: photos.Site, visitor: Client, prefix: str) -> tuple[str, Answer]:
    """Open the page of the share's download, wait, download it; return link and answer."""
    assert f"{prefix}/zip/" in Page(visitor.get(f"{prefix}/").text).links
    visitor.get(f"{prefix}/zip/")
    site._upkeep.note_wanted()
    links = Page(visitor.get(f"{prefix}/zip/").text).links
    (link,) = [link for link in links if "?v=" in link and "/zip/" in link]
    return link, visitor.get(link)


@pytest.mark.whole
def test_a_guest_takes_the_album_home_without_what_is_not_there_for_guests(
    site: photos.Site, share: MakeShare, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "RIGHTS_SECONDS", 0)
    monkeypatch.setattr(photos, "BLOCK_BYTES", 500)
    _, answer = take_home(site, visitor, share())
    with zipfile.ZipFile(io.BytesIO(answer.body)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == ["Secret/faces.jpg", "Secret/Sub/deep.jpg"]


@pytest.mark.whole
def test_a_zip_ends_with_its_share(
    site: photos.Site,
    share: MakeShare,
    visitor: Client,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photos, "RIGHTS_SECONDS", 0)
    monkeypatch.setattr(photos, "BLOCK_BYTES", 500)
    link, whole = take_home(site, visitor, share())
    blocks = blocks_of(site, visitor, link)
    sent = next(blocks)
    end_all(library)
    with pytest.raises((OSError, photos.NotFound)):
        for block in blocks:
            sent += block
    assert len(sent) < len(whole.body)
