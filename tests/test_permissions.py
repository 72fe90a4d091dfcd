"""Permissions: what names say of an album, and who may open it."""

from __future__ import annotations

import os

import pytest

import photos

PUBLIC, HIDDEN, PRIVATE = photos.Visibility


@pytest.mark.parametrize(
    ("path", "visibility"),
    [
        ((), PUBLIC),
        (("Trip",), PUBLIC),
        (("Trip.hidden",), HIDDEN),
        (("Trip.PRIVATE",), PRIVATE),
        (("Trip.Hidden", "Beach"), HIDDEN),
        (("Trip.private", "Beach"), PRIVATE),
        (("Trip", "Beach.private", "Day"), PRIVATE),
        (("Trip.hidden", "Beach.private"), PRIVATE),
        (("Trip.private", "Beach.hidden"), PRIVATE),
        (("Trip.private.hidden",), PRIVATE),
        (("Trip.hidden.private",), PRIVATE),
        (("Trip.private ",), PRIVATE),
        (("Trip.private\n",), PRIVATE),
        (("Trip", "Tatil.PR\u0130VATE"), PRIVATE),  # as a Turkish keyboard types it
        (("Trip", "Tatil.pr\u0131vate"), PRIVATE),
        ((".private",), PRIVATE),
        (("private",), PUBLIC),
        (("Trip.privately",), PUBLIC),
        (("Trip.private life",), PUBLIC),
        (("Trip-private",), PUBLIC),
    ],
)
def test_the_strictest_suffix_along_a_path_decides(
    path: tuple[str, ...], visibility: photos.Visibility
) -> None:
    assert photos.visibility_of(path) == visibility


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Thailand 2024", "Thailand 2024"),
        ("Silly faces.private", "Silly faces"),
        ("Drafts.HIDDEN", "Drafts"),
        ("Both.private.hidden", "Both"),
        ("Spaces.private ", "Spaces"),
        ("Tatil.PR\u0130VATE", "Tatil"),
        ("Tatil.pr\u0131vate", "Tatil"),
        ("Dr. No", "Dr. No"),
        (".private", ".private"),
        (os.fsdecode(b"caf\xe9.hidden"), "caf�"),
    ],
)
def test_a_title_is_the_folder_name_without_its_suffix(name: str, title: str) -> None:
    assert photos.title_of(name) == title


@pytest.mark.parametrize(
    ("visibility", "visitor", "user"),
    [(PUBLIC, True, True), (HIDDEN, True, True), (PRIVATE, False, True)],
)
def test_only_private_places_need_a_login(
    visibility: photos.Visibility, visitor: bool, user: bool
) -> None:
    assert photos.may_open(photos.VISITOR, visibility) is visitor
    assert photos.may_open(photos.Principal("anna"), visibility) is user


@pytest.mark.parametrize(
    ("visibility", "visitor", "user"),
    [(PUBLIC, True, True), (HIDDEN, False, True), (PRIVATE, False, True)],
)
def test_visitors_find_public_places_alone(
    visibility: photos.Visibility, visitor: bool, user: bool
) -> None:
    assert photos.may_find(photos.VISITOR, visibility) is visitor
    assert photos.may_find(photos.Principal("anna"), visibility) is user
