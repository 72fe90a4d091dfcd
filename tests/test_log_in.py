"""Logging in and out: the form, where it leads, the cookie, how a session ends, too many attempts."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes, urlencode
from wsgiref.util import setup_testing_defaults

import pytest
from gallery import NAMES, Gallery
from visiting import OWN, PASSWORD, Answer, Client, Page

import photos

pytestmark = pytest.mark.usefixtures("patient")


# The form


@pytest.mark.whole
@pytest.mark.parametrize("spelling", ["anna", "Anna", " ANNA "])
def test_a_login_opens_private_albums(visitor: Client, spelling: str) -> None:
    assert visitor.get("/photo/Secret/faces.jpg").status == 404
    answer = visitor.log_in(user=spelling)
    assert (answer.status, answer.headers["location"], answer.body) == (303, "/", b"")
    assert visitor.get("/photo/Secret/faces.jpg").status == 200
    assert ">anna<" in visitor.get("/").text


def test_a_wrong_name_and_a_wrong_password_look_the_same(visitor: Client) -> None:
    wrong_password = visitor.log_in(password="not this one")
    wrong_name = visitor.log_in(user="otto")
    assert (wrong_password.status, wrong_password.headers) == (
        wrong_name.status,
        wrong_name.headers,
    )
    assert wrong_password.status == 401
    assert wrong_password.text == wrong_name.text.replace("otto", "anna")
    assert "The user name or the password is wrong." in wrong_name.text
    assert not visitor.cookies and "set-cookie" not in wrong_password.headers


@pytest.mark.parametrize(
    "user", ['"><script>alert(1)</script>', "' autofocus onfocus='x", "a" * 500]
)
def test_a_wrong_name_is_shown_again_as_text(visitor: Client, user: str) -> None:
    page = Page(visitor.log_in(user=user, target="/album/Trip/").text)
    assert page.fields["user"] == user[:64]
    assert page.fields["next"] == "/album/Trip/"
    assert "onfocus" not in page.attributes


def test_a_user_who_registers_while_the_server_runs_may_log_in(
    library: Path, visitor: Client
) -> None:
    assert visitor.log_in(user="otto").status == 401
    photos.UserStore(library / ".photos").register("otto", photos.parse_password(PASSWORD))
    assert visitor.log_in(user="otto").status == 303


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


# Where it leads


@pytest.mark.parametrize("prefix", ["", "/photos"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/album/Trip/",
        "/album/a%20b%2Fc/1.jpg?v=1&size=full",
        "/album/%F0%9F%8F%96",
        "/album/..jpg",
    ],
)
def test_after_login_a_visitor_goes_on_to_a_path_of_this_site(
    prefix: str, path: str
) -> None:
    assert photos.safe_next(f"{prefix}{path}", prefix) == f"{prefix}{path}"


HOSTILE = [
    "",
    "album/Trip/",
    "//evil.example",
    "///evil.example",
    "/..//evil.example",
    "\n//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "\u00a0//evil.example",
    "https://evil.example/",
    "https:evil.example",
    "https:/evil.example",
    "HTTPS://photos.example.org.evil.example/",
    "javascript:alert(1)",
    "data:text/html,x",
    "@evil.example",
    ".evil.example",
    "/album\r\nSet-Cookie: photos=x",
    "/album\0",
    "/album/\x7f",
    '/album"onload="x',
    "/album/<script>",
    "/album/\u2028",
    "/ålbum",
    "/" + "a" * 5000,
]


@pytest.mark.parametrize("prefix", ["", "/photos"])
@pytest.mark.parametrize("target", HOSTILE, ids=ascii)
def test_any_other_place_to_go_on_to_becomes_the_front_page(
    target: str, prefix: str
) -> None:
    assert photos.safe_next(target, prefix) == f"{prefix}/"


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/album/",
        "/photos",
        "/photos.evil.example/",
        "/photos-admin/",
        "//photos/",
        "/photos/../admin/",
        "/photos/album/../../admin/",
        "/photos/%2e%2e/admin/",
        "/photos/.%2E/admin/",
        "/photos/..",
    ],
)
def test_below_a_prefix_nobody_is_sent_to_a_neighbour_on_the_same_host(target: str) -> None:
    assert photos.safe_next(target, "/photos") == "/photos/"


@pytest.mark.whole
@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/album/Secret/?page=2", "/album/Secret/?page=2"),
        ("//evil.example/", "/"),
        ("/a\r\nSet-Cookie: photos=x", "/"),
    ],
    ids=repr,
)
def test_neither_form_nor_address_leads_away_from_this_site(
    gallery: Gallery, target: str, wanted: str
) -> None:
    query = urlencode({"next": target})
    assert gallery.client().log_in(target=target).headers["location"] == wanted
    assert gallery.client("user").get(f"/login?{query}").headers["location"] == wanted
    assert Page(gallery.client().get(f"/login?{query}").text).fields["next"] == wanted


@pytest.mark.parametrize("name", [b"plain.jpg", *NAMES, b"\xff.jpg"], ids=repr)
@pytest.mark.parametrize("prefix", ["", "/our%20photos"])
def test_after_login_a_visitor_is_where_the_link_led(
    gallery: Gallery, name: bytes, prefix: str
) -> None:
    client = gallery.client(SCRIPT_NAME=unquote(prefix))
    address = f"/album/Quartz/{quote(name, safe='')}"
    answer = client.get(f"{address}?a=1&b=%26")
    assert answer.status == 404
    form = Page(answer.text)
    assert form.actions == [f"{prefix}/login"]
    answer = client.log_in(target=form.fields["next"])
    assert unquote_to_bytes(answer.headers["location"]) == unquote_to_bytes(
        f"{prefix}{address}?a=1&b=%26"
    )


def test_logging_in_and_out_stays_below_the_prefix(gallery: Gallery) -> None:
    client = gallery.client(SCRIPT_NAME="/photos")
    assert (
        client.log_in(target="/photos/album/Trip/").headers["location"]
        == "/photos/album/Trip/"
    )
    for elsewhere in ("/", "/photosx/", "//photos/", "/photos"):
        assert client.log_in(target=elsewhere).headers["location"] == "/photos/"
    assert client.get("/photo/Quartz/zebra.jpg").status == 200
    assert client.request("POST", "/logout", **OWN).headers["location"] == "/photos/"


# Sessions


@pytest.mark.whole
@pytest.mark.parametrize(
    ("settings", "environ", "secure"),
    [
        ({}, {}, False),
        ({}, {"wsgi.url_scheme": "https"}, True),
        (
            {"public_address": "https://photos.example.org"},
            {"HTTP_HOST": "photos.example.org"},
            True,
        ),
        (
            {"public_address": "https://photos.example.org"},
            {"HTTP_HOST": "192.168.1.2:8080"},
            False,
        ),
        (
            {"public_address": "http://photos.example.org"},
            {"HTTP_HOST": "photos.example.org"},
            False,
        ),
    ],
)
def test_the_cookie_is_secure_where_the_connection_is(
    make_site: Callable[..., photos.Site],
    settings: dict[str, str],
    environ: dict[str, str],
    secure: bool,
) -> None:
    app = make_site(**settings)
    client = Client(app, **environ)
    cookie, *attributes = client.log_in().headers["set-cookie"].split("; ")
    wanted = {"path=/", "httponly", "samesite=lax", "max-age=2592000"} | (
        {"secure"} if secure else set()
    )
    assert {attribute.lower() for attribute in attributes} == wanted
    name, _, token = cookie.partition("=")
    assert name.startswith("__Host-photos-" if secure else "photos-")
    assert client.get("/photo/Secret/faces.jpg").status == 200
    other = Client(app, **environ)
    wrong = name.removeprefix("__Host-") if secure else f"__Host-{name}"
    other.cookies = {wrong: token, "photos" if secure else "__Host-photos": token}
    assert other.get("/photo/Secret/faces.jpg").status == 404


@pytest.mark.whole
@pytest.mark.parametrize("prefixes", [("", ""), ("/ours", "/theirs")])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_sessions_of_two_sites_on_one_host_do_not_end_each_other(
    scheme: str, prefixes: tuple[str, str], library: Path, site: photos.Site, tmp_path: Path
) -> None:
    other_library = shutil.copytree(
        library, tmp_path / "Other", ignore=shutil.ignore_patterns("secret.key*")
    )
    other = photos.create_app(other_library / ".photos", background=False)
    environ = {"wsgi.url_scheme": scheme, "HTTPS": "on"}
    one, two = (
        Client(app, SCRIPT_NAME=prefix, **environ)
        for app, prefix in zip((site, other), prefixes, strict=True)
    )
    two.cookies = one.cookies  # a browser sends a host's cookies to all its ports
    secret = "/photo/Secret/faces.jpg"
    for client, prefix in zip((one, two), prefixes, strict=True):
        assert client.log_in(target=f"{prefix}/").status == 303
    assert len(one.cookies) == 2
    assert [client.get(secret).status for client in (one, two)] == [200, 200]
    one.request("POST", "/logout", **OWN)
    assert [client.get(secret).status for client in (one, two)] == [404, 200]
    other.close()


@pytest.mark.whole
def test_a_session_goes_on_with_a_new_token_once_its_own_is_a_day_old(
    library: Path, site: photos.Site
) -> None:
    state, real_time = library / ".photos", time.time
    tokens, epoch = (
        photos.Tokens(photos.read_secret(state)),
        photos.UserStore(state).epoch("anna") or "",
    )
    name = f"photos-{tokens.site}"
    for age, is_renewed in (
        (0, False),
        (23 * 3600, False),
        (25 * 3600, True),
        (29 * 86400, True),
    ):
        client = Client(site)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda age=age: real_time() - age)
            old = client.cookies[name] = tokens.issue("anna", epoch)
        assert "set-cookie" not in client.get("/photo/Secret/faces.jpg").headers
        assert ("set-cookie" in client.get("/album/Secret/").headers) == is_renewed
        if is_renewed:
            before, after = tokens.read(old), tokens.read(client.cookies[name])
            assert before and after and before.jti == after.jti and not after.is_old
            client.request("POST", "/logout", **OWN)
            client.cookies[name] = old
            assert client.get("/photo/Secret/faces.jpg").status == 404


@pytest.mark.whole
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
        for cookies, status in ((copy, 404), (other.cookies, 200)):
            client = Client(app)
            client.cookies = dict(cookies)
            assert client.get("/photo/Secret/faces.jpg").status == status


def test_a_log_out_is_remembered_for_longer_than_the_token_of_a_clock_that_is_ahead(
    library: Path, site: photos.Site, user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_time = time.time
    lasts_until = real_time() + photos.SESSION_SECONDS
    monkeypatch.setattr(time, "time", lambda: real_time() - 86400 / 2)
    user.request("POST", "/logout", **OWN)
    users = json.loads((library / ".photos" / "users.json").read_text())["users"]
    (remembered,) = users["anna"]["revoked"].values()
    assert remembered >= lasts_until


def test_logging_out_without_a_session_is_no_error(visitor: Client) -> None:
    assert visitor.request("POST", "/logout", **OWN).status == 303


def test_who_logs_out_is_logged_out_also_where_nothing_can_be_written(
    user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(photos, "write_atomically", full)
    assert user.request("POST", "/logout", Sec_Fetch_Site="same-origin").status == 303
    assert not user.cookies
    assert user.get("/album/Secret/").status == 404


@pytest.mark.whole
@pytest.mark.parametrize("change", ["passwd", "remove", "remove and register"])
def test_a_new_password_or_a_removal_ends_all_sessions_at_once(
    library: Path, user: Client, change: str
) -> None:
    assert user.get("/photo/Secret/faces.jpg").status == 200
    users = photos.UserStore(library / ".photos")
    if change == "passwd":
        users.set_password("anna", photos.parse_password("another passphrase"))
    else:
        users.remove("anna")
    if change == "remove and register":
        users.register("anna", photos.parse_password(PASSWORD))
    assert user.get("/photo/Secret/faces.jpg").status == 404
    assert "Secret" not in user.get("/").text
    assert user.log_in().status == (303 if change == "remove and register" else 401)


# Attempts that are refused


@pytest.mark.whole
def test_too_many_failures_block_an_account_for_a_while(
    site: photos.Site, visitor: Client, user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(site, "_limits", photos.LoginLimits(lambda: now[0]))
    statuses = [visitor.log_in(password="not this one").status for _ in range(5)]
    blocked = visitor.log_in()
    assert (statuses, blocked.status, blocked.headers["retry-after"]) == (
        [401] * 5,
        429,
        "1",
    )
    assert "Try again in 1 s" in blocked.text and "set-cookie" not in blocked.headers
    assert blocked.headers["cache-control"] == "no-store"
    assert user.get("/photo/Secret/faces.jpg").status == 200
    assert visitor.log_in(user="otto").status == 401
    now[0] += 1.1
    assert visitor.log_in(password="not this one").status == 401
    assert visitor.log_in().headers["retry-after"] == "2"
    now[0] += 2.1
    assert visitor.log_in().status == 303
    assert visitor.log_in(password="not this one").status == 401


def test_an_account_stays_blocked_whatever_other_names_are_tried(
    site: photos.Site, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LIMITS_KEPT", 20)
    monkeypatch.setattr(photos.UserStore, "verify", lambda *_: None)
    monkeypatch.setattr(site._limits, "_clock", lambda: 1000.0)
    statuses = [visitor.log_in().status for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert {visitor.log_in(user=f"user{number}").status for number in range(60)} == {401}
    assert visitor.log_in().status == 429


@pytest.mark.parametrize(
    ("settings", "status"), [({}, 401), ({"trusted_proxy": "127.0.0.1"}, 429)]
)
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
        assert client.get("/photo/Secret/faces.jpg").status == 404
        assert client.get("/album/Secret/").status == 404
    answer = visitor.log_in()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "set-cookie" not in answer.headers
    assert "not possible at the moment" in answer.text and "users.json" not in answer.text
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{path} is damaged")
    path.write_bytes(whole)
    assert user.get("/photo/Secret/faces.jpg").status == 200
    assert visitor.log_in().status == 303


def no_memory(password: bytes, **options: Any) -> bytes:
    """Fail as hashlib does where OpenSSL cannot have the 32 MB that it asks for."""
    raise ValueError("[digital envelope routines] malloc failure")


@pytest.mark.whole
def test_where_memory_is_short_a_log_in_is_refused_for_a_moment_and_does_not_count(
    make_site: Callable[..., photos.Site],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client(make_site(trusted_proxy="127.0.0.1"), REMOTE_ADDR="203.0.113.9")
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "scrypt", no_memory)
        answers = [
            client.log_in(password="not this one")
            for _ in range(photos.ADDRESS_FAILURES + 1)
        ]
    assert {(answer.status, answer.headers["retry-after"]) for answer in answers} == {
        (503, "1")
    }
    assert "not possible at the moment" in answers[0].text
    assert not client.cookies
    assert caplog.records == []  # users.json is not damaged
    assert client.log_in(password="not this one").status == 401
    assert client.log_in().status == 303


# A proxy that changes what the browser said


@pytest.mark.parametrize(
    ("host", "origin", "header", "setting"),
    [
        ("127.0.0.1:8080", "http://photos.example", "Host", "public_address"),
        ("127.0.0.1:8080", "http://photos.example:81", "Host", "public_address"),
        ("photos.example", "https://photos.example", "X-Forwarded-Proto", "trusted_proxy"),
    ],
)
def test_a_log_in_that_a_proxy_made_look_like_another_sites_is_explained_once(
    host: str,
    origin: str,
    header: str,
    setting: str,
    site: photos.Site,
    make_site: Callable[..., photos.Site],
    caplog: pytest.LogCaptureFixture,
) -> None:
    form = urlencode({"user": "anna", "password": PASSWORD}).encode()
    visitor = Client(site, HTTP_HOST=host)
    for _ in range(3):
        assert visitor.request("POST", "/login", form, Origin=origin).status == 403
    [record] = caplog.records
    message = record.getMessage()
    for word in (f"Origin {origin!r}", f"header {header}", f"'http://{host}'", setting):
        assert word in message
    caplog.clear()
    mended = Client(make_site(public_address=origin), HTTP_HOST=host)
    assert mended.request("POST", "/login", form, Origin=origin).status == 303
    assert caplog.records == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
    ],
)
def test_what_does_come_from_another_site_is_not_explained(
    headers: dict[str, str], visitor: Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert visitor.request("POST", "/login", b"user=anna", **headers).status == 403
    assert caplog.records == []


def test_the_log_does_not_grow_with_the_origins_that_somebody_makes_up(
    visitor: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        origin = f"http://{number}.example/\x1b[31m" + "x" * 1000
        assert visitor.request("POST", "/login", b"user=anna", Origin=origin).status == 403
    assert 1 <= len(caplog.records) < 30
    assert "\x1b" not in caplog.text and len(caplog.text) < 20_000
