"""Session tokens: only what this site signed, whole, unexpired and for this purpose, is believed."""

from __future__ import annotations

import base64
import dataclasses
import hmac
import json
import time
from typing import Any

import jwt
import pytest

import photos

SECRET = b"s" * 32
KEY = hmac.digest(SECRET, b"photos session", "sha256")
DAY = 86400


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a good token with some changed; None leaves one out."""
    now = int(time.time())
    good = {
        "sub": "anna",
        "epoch": "e1",
        "jti": "j1",
        "aud": "photos session",
        "iat": now,
        "exp": now + 60,
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def signed(key: bytes = KEY, algorithm: str = "HS256", **changed: Any) -> str:
    return jwt.encode(claims(**changed), key, algorithm=algorithm)


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def read(token: str) -> photos.Session | None:
    return photos.Tokens(SECRET).read(token)


def test_an_issued_token_tells_user_and_epoch() -> None:
    before = int(time.time())
    session = read(photos.Tokens(SECRET).issue("anna", "e1"))
    assert session is not None
    assert (session.user, session.epoch) == ("anna", "e1")
    assert before <= session.issued <= time.time()


def test_an_issued_token_holds_for_30_days_and_tells_nothing_else() -> None:
    token = photos.Tokens(SECRET).issue("anna", "e1")
    found = jwt.decode(token, KEY, algorithms=["HS256"], audience="photos session")
    assert found.keys() == {"exp", "iat", "sub", "aud", "jti", "epoch"}
    assert found["exp"] - found["iat"] == 30 * DAY
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_each_login_is_a_session_of_its_own() -> None:
    tokens = photos.Tokens(SECRET)
    first, second = (tokens.read(tokens.issue("anna", "e1")) for _ in range(2))
    assert first and second and first.jti != second.jti
    assert len(first.jti) >= 20


def test_a_renewed_token_is_of_the_same_session() -> None:
    old = read(signed(iat=int(time.time()) - 2 * DAY))
    assert old is not None and old.is_old
    renewed = read(photos.Tokens(SECRET).issue(old.user, old.epoch, old.jti))
    assert renewed is not None and not renewed.is_old
    assert renewed == dataclasses.replace(old, issued=renewed.issued)


@pytest.mark.parametrize(
    ("age", "old"), [(0, False), (DAY - 60, False), (DAY + 60, True), (29 * DAY, True)]
)
def test_a_token_is_renewed_when_it_is_a_day_old(age: int, old: bool) -> None:
    assert photos.Session("anna", "e1", "j1", int(time.time()) - age).is_old is old


def test_the_token_of_the_longest_name_is_short_enough() -> None:
    name = photos.parse_user("😀" * 64)
    token = photos.Tokens(SECRET).issue(name, "e" * 16)
    session = read(token)
    assert session is not None and session.user == name


def test_a_token_signed_with_the_derived_key_is_believed() -> None:
    assert read(signed()) == photos.Session("anna", "e1", "j1", claims()["iat"])


def test_the_key_is_not_the_secret_itself() -> None:
    assert read(signed(key=SECRET)) is None


def test_a_token_of_another_secret_is_refused() -> None:
    assert read(photos.Tokens(b"t" * 32).issue("anna", "e1")) is None


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "aud", "jti", "epoch"])
def test_a_token_without_one_of_its_claims_is_refused(name: str) -> None:
    assert read(signed(**{name: None})) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1},
        {"exp": "soon"},
        {"iat": 2**40},
        {"iat": "today"},
        {"aud": "photos link"},
        {"aud": []},
        {"sub": 5},
        {"sub": ["anna"]},
        {"jti": 5},
        {"nbf": 2**40},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(changed: dict[str, Any]) -> None:
    assert read(signed(**changed)) is None


@pytest.mark.parametrize("ahead", [120, DAY // 2])
def test_a_token_is_believed_also_where_the_clock_is_behind(ahead: int) -> None:
    issued = int(time.time()) + ahead
    session = read(signed(iat=issued, exp=issued + 60))
    assert session and session.issued == issued and not session.is_old


def test_a_token_that_expired_this_second_is_refused() -> None:
    assert read(signed(exp=int(time.time()))) is None


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
@pytest.mark.filterwarnings("ignore:The HMAC key")
def test_a_token_of_another_algorithm_is_refused(algorithm: str) -> None:
    assert read(signed(algorithm=algorithm)) is None


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "", None, "RS256", "ES256", ["HS256"], 5]
)
def test_a_token_that_is_not_signed_is_refused(algorithm: Any) -> None:
    unsigned = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims())}."
    assert read(unsigned) is None
    assert read(unsigned + signed().rpartition(".")[2]) is None


def test_a_changed_token_is_refused() -> None:
    header, payload, signature = signed().split(".")
    assert read(f"{header}.{payload}.{signature}") is not None
    assert read(f"{header}.{part(claims(sub='eve'))}.{signature}") is None
    assert read(f"{header}.{payload}.{signature[:-4]}") is None
    assert read(f"{header}.{payload}.") is None
    assert read(f"{header}.{payload}") is None


def test_a_token_of_more_than_4_kilobytes_is_refused() -> None:
    assert read(signed(more="x" * 2500)) is not None
    assert len(signed(more="x" * 3000)) > 4096
    assert read(signed(more="x" * 3000)) is None


@pytest.mark.parametrize(
    "rubbish",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        "\udcff.a.b",
        "\0",
        "W10.e30.AAAA",
        "bnVsbA.e30.AAAA",
        "_w.e30.A",
    ],
    ids=ascii,
)
def test_rubbish_is_no_session(rubbish: str) -> None:
    assert read(rubbish) is None


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_deeply_nested_header_is_no_session(opening: str) -> None:
    header = base64.urlsafe_b64encode((opening * 3000)[:3000].encode()).decode().rstrip("=")
    assert read(f"{header}.e30.AAAA") is None
