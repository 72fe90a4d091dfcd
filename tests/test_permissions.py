"""Who may do what: pure functions, from the tables of the design."""

from __future__ import annotations

import pytest

import photos
from photos import Visibility

SITE = "https://photos.example.org"


@pytest.mark.parametrize(
    ("visibility", "visitor", "user"),
    [(Visibility.PUBLIC, True, True), (Visibility.HIDDEN, True, True), (Visibility.PRIVATE, False, True)],
)
def test_only_private_places_need_a_login(visibility: Visibility, visitor: bool, user: bool) -> None:
    assert photos.may_open(visibility, None) is visitor
    assert photos.may_open(visibility, "anna") is user


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


@pytest.mark.parametrize("prefix", ["", "/photos"])
@pytest.mark.parametrize(
    "path", ["/", "/album/Trip/", "/album/a%20b%2Fc/1.jpg?v=1&size=full", "/album/..jpg"]
)
def test_after_login_a_visitor_goes_on_to_a_path_of_this_site(prefix: str, path: str) -> None:
    assert photos.safe_next(f"{prefix}{path}", prefix) == f"{prefix}{path}"


HOSTILE = [
    "",
    "album/Trip/",
    "//evil.example",
    "///evil.example",
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
def test_any_other_place_to_go_on_to_becomes_the_front_page(target: str, prefix: str) -> None:
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


@pytest.mark.parametrize(
    ("visibility", "versioned", "header"),
    [
        (Visibility.PUBLIC, True, "public, max-age=31536000, s-maxage=300, immutable"),
        (Visibility.PUBLIC, False, "public, no-cache"),
        (Visibility.HIDDEN, True, "private, max-age=31536000, immutable"),
        (Visibility.HIDDEN, False, "private, no-cache"),
        (Visibility.PRIVATE, True, "private, max-age=31536000, immutable"),
        (Visibility.PRIVATE, False, "private, no-cache"),
    ],
)
def test_only_what_everybody_finds_is_kept_by_shared_caches(
    visibility: Visibility, versioned: bool, header: str
) -> None:
    assert photos.cache_control(visibility, versioned=versioned) == header
