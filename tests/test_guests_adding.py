"""Guests who may add: where, what they see of it, how much, and that they can take it back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import functools
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from drawing import draw
from visiting import OWN, PASSWORD, Answer, Client, Page, invite

import photos

pytestmark = pytest.mark.usefixtures("patient")

MEGABYTE = 1 << 20
Link = Callable[..., str]


@pytest.fixture
def inbox(library: Path) -> Path:
    folder = library / "Party.inbox"
    draw(folder / "first.jpg", colour="#101010")
    draw(folder / "Sub" / "below.jpg", colour="#202020")
    return folder


@pytest.fixture
def store(site: photos.Site, library: Path) -> photos.ShareStore:
    return photos.ShareStore(library / ".photos")


@pytest.fixture
def link(site: photos.Site, library: Path) -> Link:
    """Makes a share of an album, to which its guest may add; returns its prefix."""
    return functools.partial(invite, library / ".photos", may_add=True)


def picture(colour: str, folder: Path) -> bytes:
    return draw(folder / "drawn" / f"{colour}.jpg", colour=colour).read_bytes()


def put(
    client: Client, address: str, name: str, content: bytes, size: int = 0, offset: int = 0
) -> Answer:
    query = {
        "name": name,
        "size": size or len(content),
        "modified": 1_600_000_000_000,
        "offset": offset,
    }
    return client.request("PUT", f"{address}?{urlencode(query)}", content, **OWN)


def send_form(client: Client, address: str, name: str, content: bytes) -> Answer:
    """Send a photo as a browser without JavaScript does."""
    head = f'--b\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--b--\r\n"
    form = "multipart/form-data; boundary=b"
    return client.request("POST", address, body, type=form, **OWN)


def names(client: Client, address: str) -> set[str]:
    return {item["name"] for item in json.loads(client.get(address).text)["items"]}


def take_back(client: Client, prefix: str, name: str) -> Answer:
    return client.request("POST", f"{prefix}/add/{quote(name)}", **OWN)


WITHOUT = {
    "nobody": {},
    "may not add": {"may_add": False},
    "expired": {"until": dt.date(2020, 1, 1)},
    "locked": {"password": "scrypt$1$1$1$aa$bb"},
}
REQUESTS = [("GET", "/add/"), ("POST", "/add/"), ("PUT", "/add/"), ("HEAD", "/add/")]


@pytest.mark.parametrize("case", WITHOUT)
@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_who_may_not_add_gets_what_nobody_gets(
    visitor: Client,
    link: Link,
    case: str,
    method: str,
    path: str,
    store: photos.ShareStore,
    library: Path,
) -> None:
    prefix = link("Trip", **WITHOUT[case])
    if case == "nobody":
        store.end(store.all()[0].id)
    before = set((library / "Trip").rglob("*"))
    query = urlencode({"name": "a.jpg", "size": 5, "modified": 0, "offset": 0})
    answer = visitor.request(method, f"{prefix}{path}?{query}", b"12345", **OWN)
    assert answer.status == (401 if case == "locked" else 404)
    assert set((library / "Trip").rglob("*")) == before
    assert not list((library / ".photos").glob("incoming/*"))


@pytest.mark.parametrize(
    "address", ["Secret", "Drafts", "../Secret", "..", "Nothing", "one.jpg", "Faces"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_guest_adds_to_nothing_outside_the_share(
    visitor: Client, link: Link, address: str, method: str, library: Path
) -> None:
    draw(library / "Trip" / "Faces.private" / "a.jpg")
    prefix = link("Trip")
    query = urlencode({"name": "a.jpg", "size": 5, "modified": 0, "offset": 0})
    url = f"{prefix}/add/{address}?{query}"
    assert visitor.request(method, url, b"12345", **OWN).status == 404


@pytest.mark.whole
def test_a_guest_adds_to_a_shared_album_and_to_what_is_in_it(
    visitor: Client, link: Link, library: Path, tmp_path: Path
) -> None:
    prefix = link("Trip")
    assert f"{prefix}/add/" in Page(visitor.get(f"{prefix}/").text).links
    assert f"{prefix}/add/Beach" in Page(visitor.get(f"{prefix}/album/Beach/").text).links
    assert visitor.get(f"{prefix}/add/").status == 200
    red = picture("red", tmp_path)
    assert put(visitor, f"{prefix}/add/", "red.jpg", red).status == 200
    assert (library / "Trip" / "red.jpg").read_bytes() == red
    blue = picture("blue", tmp_path)
    assert put(visitor, f"{prefix}/add/Beach", "blue.jpg", blue).status == 200
    assert (library / "Trip" / "Beach" / "blue.jpg").read_bytes() == blue
    assert names(visitor, f"{prefix}/api/album") > {"red.jpg"}


PART = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n%s\r\nx\r\n--b--\r\n'
MULTIPART = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("body", "form_type"),
    [
        (b"", MULTIPART),
        (b"", "multipart/form-data"),
        (b"photo=x", "application/x-www-form-urlencoded"),
        (PART % b"", f"{MULTIPART}; charset=nonsense"),
        (PART % b"", f"{MULTIPART}; charset=punycode"),
        (PART % b"X: \xff\r\n", MULTIPART),
        (PART % b"Content-Length: x\r\n", MULTIPART),
        (PART % b"Content-Length: 9\r\n" * 2, MULTIPART),
        (PART.replace(b' filename="a.jpg"', b"") % b"", MULTIPART),
        (
            PART.replace(b' filename="a.jpg"', b"")
            % b"Content-Type: text/plain; charset=nonsense\r\n",
            MULTIPART,
        ),
        (PART.replace(b' filename="a.jpg"', b"") % (b"\r\n" + 200_000 * b"x"), MULTIPART),
    ],
)
def test_a_form_that_no_page_sends_is_refused(
    visitor: Client, link: Link, library: Path, body: bytes, form_type: str
) -> None:
    before = sorted((library / "Trip").iterdir())
    address = f"{link('Trip')}/add/"
    answer = visitor.request("POST", address, body, type=form_type, **OWN)
    assert 400 <= answer.status < 500
    assert sorted((library / "Trip").iterdir()) == before


@pytest.mark.whole
def test_a_share_that_may_not_add_has_no_such_link(visitor: Client, link: Link) -> None:
    prefix = link("Trip", may_add=False)
    assert not [
        address
        for address in Page(visitor.get(f"{prefix}/").text).links
        if "/add/" in address
    ]


@pytest.mark.whole
def test_in_an_inbox_guests_see_what_their_own_share_added_alone(
    visitor: Client, link: Link, inbox: Path, tmp_path: Path
) -> None:
    mine, theirs = link("Party"), link("Party", "Aunt May")
    empty = visitor.get(f"{mine}/")
    assert empty.status == 200 and "first" not in empty.text and "Sub" not in empty.text
    put(visitor, f"{mine}/add/", "red.jpg", picture("red", tmp_path))
    put(visitor, f"{theirs}/add/", "blue.jpg", picture("blue", tmp_path))
    assert names(visitor, f"{mine}/api/album") == {"red.jpg"}
    assert names(visitor, f"{theirs}/api/album") == {"blue.jpg"}
    for kind in ("album", "photo", "thumbnail", "preview", "download"):
        assert visitor.get(f"{mine}/{kind}/red.jpg").status == 200
        for other in ("blue.jpg", "first.jpg", "Sub/below.jpg", "Sub/"):
            assert visitor.get(f"{mine}/{kind}/{other}").status == 404, (kind, other)
    feed = visitor.get(f"{mine}/feed.atom").text
    assert "red" in feed and "blue" not in feed and "first" not in feed


@pytest.mark.whole
def test_what_was_added_to_an_inbox_is_told_to_nobody_else(
    visitor: Client, link: Link, inbox: Path, tmp_path: Path
) -> None:
    mine, theirs = link("Party"), link("Party", "Aunt May")
    red = picture("red", tmp_path)
    put(visitor, f"{mine}/add/", "private name.jpg", red)
    answer = put(visitor, f"{theirs}/add/", "my name.jpg", red)
    assert json.loads(answer.text) == {"name": "my name.jpg", "new": False}
    page = send_form(visitor, f"{theirs}/add/", "my name.jpg", red).text
    assert "my name.jpg" in page and "private name" not in page
    assert names(visitor, f"{theirs}/api/album") == set()


@pytest.mark.whole
def test_who_adds_what_is_there_already_does_not_learn_its_name(
    visitor: Client, link: Link, library: Path, tmp_path: Path
) -> None:
    prefix = link("Trip")
    red = picture("red", tmp_path)
    (library / "Trip" / os.fsdecode(b"\xff\xfeGrandpa.jpg")).write_bytes(red)
    answer = put(visitor, f"{prefix}/add/", "mine.jpg", red)
    assert json.loads(answer.text) == {"name": "mine.jpg", "new": False}
    answer = send_form(visitor, f"{prefix}/add/", "mine.jpg", red)
    assert answer.status == 200
    assert "mine.jpg" in answer.text and "Grandpa" not in answer.text


@pytest.mark.parametrize("name", ["Grandpa.private.jpg", "Grandpa.hidden.jpg", "link.jpg"])
def test_who_adds_a_photo_is_not_told_that_a_private_one_is_the_same(
    visitor: Client, link: Link, library: Path, tmp_path: Path, name: str
) -> None:
    prefix = link("Trip")
    red = picture("red", tmp_path)
    private = library / "Trip" / name
    if name == "link.jpg":
        private.symlink_to("../Diary.private/red.jpg")
        private = library / "Diary.private" / "red.jpg"
        private.parent.mkdir(exist_ok=True)
    private.write_bytes(red)
    answer = put(visitor, f"{prefix}/add/", "mine.jpg", red)
    assert json.loads(answer.text) == {"name": "mine.jpg", "new": True}
    assert "mine.jpg" in names(visitor, f"{prefix}/api/album")


def test_an_inbox_below_a_shared_album_is_not_in_the_share(
    visitor: Client, link: Link, library: Path
) -> None:
    draw(library / "Trip" / "Guests.inbox" / "a.jpg")
    prefix = link("Trip")
    for path in ("album/Guests/", "add/Guests", "album/Guests/a.jpg"):
        assert visitor.get(f"{prefix}/{path}").status == 404


@pytest.mark.whole
def test_in_an_inbox_a_film_is_no_part_of_another_guests_photo(
    visitor: Client, link: Link, inbox: Path, samples: Path, tmp_path: Path
) -> None:
    mine, theirs = link("Party"), link("Party", "Aunt May")
    film = (samples / "video/tiny.mp4").read_bytes()
    put(visitor, f"{theirs}/add/", "IMG_1.jpg", picture("red", tmp_path))
    assert put(visitor, f"{mine}/add/", "IMG_1.mp4", film).status == 200
    assert names(visitor, f"{mine}/api/album") == {"IMG_1.mp4"}
    assert f"{mine}/add/IMG_1.mp4" in Page(visitor.get(f"{mine}/add/").text).actions
    assert visitor.get(f"{theirs}/live/IMG_1.jpg").status == 404


@pytest.mark.whole
def test_an_album_in_an_inbox_hides_what_others_added_as_well(
    visitor: Client, link: Link, inbox: Path, tmp_path: Path
) -> None:
    prefix = link("Party/Sub")
    assert names(visitor, f"{prefix}/api/album") == set()
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    assert names(visitor, f"{prefix}/api/album") == {"red.jpg"}


@pytest.mark.whole
def test_what_the_owner_writes_over_is_the_guests_no_more(
    visitor: Client, link: Link, inbox: Path, tmp_path: Path
) -> None:
    prefix = link("Party")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    assert visitor.get(f"{prefix}/photo/red.jpg").status == 200
    (inbox / "red.jpg").write_bytes(picture("green", tmp_path))
    assert visitor.get(f"{prefix}/photo/red.jpg").status == 404
    assert take_back(visitor, prefix, "red.jpg").status == 404
    assert (inbox / "red.jpg").exists()


@pytest.mark.whole
def test_guests_find_what_they_added_when_the_album_has_another_name(
    visitor: Client, link: Link, inbox: Path, tmp_path: Path
) -> None:
    prefix = link("Party")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    inbox.rename(inbox.with_name("Feast.inbox"))
    assert names(visitor, f"{prefix}/api/album") == {"red.jpg"}
    (inbox.with_name("Feast.inbox") / "red.jpg").rename(
        inbox.with_name("Feast.inbox") / "better.jpg"
    )
    assert names(visitor, f"{prefix}/api/album") == {"better.jpg"}


@pytest.mark.whole
@pytest.mark.parametrize("album", ["Party", "Trip"])
def test_a_guest_takes_back_what_the_share_added(
    visitor: Client, link: Link, inbox: Path, library: Path, tmp_path: Path, album: str
) -> None:
    prefix = link(album)
    folder = inbox if album == "Party" else library / "Trip"
    red = picture("red", tmp_path)
    put(visitor, f"{prefix}/add/", "red.jpg", red)
    page = Page(visitor.get(f"{prefix}/add/").text)
    assert f"{prefix}/add/red.jpg" in page.actions
    assert "\\" not in page.text
    photo = Page(visitor.get(f"{prefix}/album/red.jpg").text)
    assert f"{prefix}/add/red.jpg" in photo.actions
    answer = take_back(visitor, prefix, "red.jpg")
    assert (answer.status, answer.headers["location"]) == (303, f"{prefix}/add/")
    assert not (folder / "red.jpg").exists()
    assert not list(folder.glob(".*"))
    (kept,) = (library / ".photos" / photos.WITHDRAWN).iterdir()
    assert kept.read_bytes() == red and kept.name.endswith(" red.jpg")
    assert "red.jpg" not in names(visitor, f"{prefix}/api/album")
    for kind in ("album", "photo", "thumbnail", "preview", "download"):
        assert visitor.get(f"{prefix}/{kind}/red.jpg").status == 404
    assert "red.jpg" not in visitor.get(f"{prefix}/add/").text
    assert take_back(visitor, prefix, "red.jpg").status == 404


@pytest.mark.whole
def test_nobody_takes_back_what_others_added(
    visitor: Client, link: Link, library: Path, tmp_path: Path
) -> None:
    mine, theirs = link("Trip"), link("Trip", "Aunt May")
    put(visitor, f"{mine}/add/", "red.jpg", picture("red", tmp_path))
    before = (library / "Trip" / "one.jpg").read_bytes()
    assert take_back(visitor, theirs, "red.jpg").status == 404
    assert take_back(visitor, mine, "one.jpg").status == 404
    assert take_back(visitor, "", "Trip/red.jpg").status == 404
    assert take_back(visitor, mine, "").status == 415  # a form for adding, without a photo
    cross = visitor.request("POST", f"{mine}/add/red.jpg", Sec_Fetch_Site="cross-site")
    assert cross.status == 403
    assert visitor.get(f"{mine}/add/red.jpg").status in (404, 405)
    assert (library / "Trip" / "red.jpg").exists()
    assert (library / "Trip" / "one.jpg").read_bytes() == before
    page = Page(visitor.get(f"{theirs}/album/red.jpg").text)
    assert not [action for action in page.actions if action.endswith(".jpg")]


@pytest.mark.whole
def test_a_file_that_takes_the_place_of_an_added_one_is_put_back(
    visitor: Client,
    link: Link,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = link("Trip")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    owners = picture("green", tmp_path)
    rename = os.rename

    def replace_first(source: str, target: str) -> None:
        (library / "Trip" / "red.jpg").unlink()
        (library / "Trip" / "red.jpg").write_bytes(owners)
        rename(source, target)

    with monkeypatch.context() as racing:
        racing.setattr(os, "rename", replace_first)
        assert take_back(visitor, prefix, "red.jpg").status == 404
    assert (library / "Trip" / "red.jpg").read_bytes() == owners
    assert not list((library / "Trip").glob(".*"))


def test_what_a_program_wrote_over_and_gave_its_old_time_is_the_guests_no_more(
    visitor: Client, link: Link, library: Path, tmp_path: Path
) -> None:
    first, second = (
        picture(colour, tmp_path).ljust(9000, b"\0") for colour in ("red", "green")
    )
    prefix = link("Trip")
    put(visitor, f"{prefix}/add/", "red.jpg", first)
    file = library / "Trip" / "red.jpg"
    before = file.stat()
    file.write_bytes(second)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert photos.identity_text(file.stat()) == photos.identity_text(before)
    assert take_back(visitor, prefix, "red.jpg").status == 404
    assert file.read_bytes() == second


@pytest.mark.whole
@pytest.mark.parametrize("call", ["os.mkdir", "os.rename", "shutil.move"])
def test_what_the_bin_does_not_take_stays_in_its_album(
    visitor: Client,
    link: Link,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    prefix = link("Trip")
    red = picture("red", tmp_path)
    put(visitor, f"{prefix}/add/", "red.jpg", red)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as broken:
        broken.setattr(call, refuse)
        assert take_back(visitor, prefix, "red.jpg").status == 503
    assert (library / "Trip" / "red.jpg").read_bytes() == red
    assert not list((library / "Trip").glob(".*"))
    assert take_back(visitor, prefix, "red.jpg").status == 303


def test_a_photo_is_taken_back_though_its_owner_gave_it_the_longest_name(
    visitor: Client, link: Link, library: Path, tmp_path: Path
) -> None:
    prefix = link("Trip")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    longest = f"{'x' * 251}.jpg"
    (library / "Trip" / "red.jpg").rename(library / "Trip" / longest)
    assert take_back(visitor, prefix, longest).status == 303
    assert not (library / "Trip" / longest).exists()


def test_what_the_owner_took_out_of_the_bin_is_the_guests_no_more(
    visitor: Client, link: Link, library: Path, tmp_path: Path
) -> None:
    prefix = link("Trip")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    assert take_back(visitor, prefix, "red.jpg").status == 303
    (kept,) = (library / ".photos" / photos.WITHDRAWN).iterdir()
    kept.rename(library / "Trip" / "red.jpg")
    assert f"{prefix}/add/red.jpg" not in visitor.get(f"{prefix}/add/").text
    assert take_back(visitor, prefix, "red.jpg").status == 404
    assert (library / "Trip" / "red.jpg").exists()


@pytest.mark.whole
def test_what_lies_long_in_the_bin_is_deleted(
    visitor: Client, link: Link, library: Path, tmp_path: Path
) -> None:
    prefix = link("Trip")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    take_back(visitor, prefix, "red.jpg")
    (kept,) = (library / ".photos" / photos.WITHDRAWN).iterdir()
    visitor.get(f"{prefix}/add/")
    assert kept.exists()
    kept.rename(kept.with_name(f"2020-01-01{kept.name[10:]}"))
    visitor.get(f"{prefix}/add/")
    assert not list(kept.parent.iterdir())


def record(library: Path) -> dict[str, Any]:
    path = library / ".photos" / "added.json"
    assert path.stat().st_mode & 0o777 == 0o600
    return dict(json.loads(path.read_text())["added"])


@pytest.mark.whole
def test_it_is_noted_who_added_what_and_when(
    visitor: Client, link: Link, store: photos.ShareStore, library: Path, tmp_path: Path
) -> None:
    prefix = link("Trip")
    draw(library / "Trip" / "red.jpg", colour="#123456")
    red = picture("red", tmp_path)
    put(visitor, f"{prefix}/add/", "red.jpg", red)
    ((identity, entry),) = record(library).items()
    assert identity == photos.identity_on_disk(os.fspath(library / "Trip" / "red (2).jpg"))
    assert entry["who"] == f"share {store.all()[0].id}"
    assert (entry["name"], entry["size"]) == ("red (2).jpg", len(red))
    assert dt.datetime.fromisoformat(entry["when"]).tzinfo is not None


@pytest.mark.whole
@pytest.mark.parametrize(
    "text", ["{", '{"version": 1}', '{"version": 1, "added": {"x": 1}}']
)
def test_where_the_record_is_damaged_nobody_gets_more(
    visitor: Client, link: Link, inbox: Path, library: Path, tmp_path: Path, text: str
) -> None:
    prefix = link("Party")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    (library / ".photos" / "added.json").write_text(text)
    assert names(visitor, f"{prefix}/api/album") == set()
    assert visitor.get(f"{prefix}/photo/red.jpg").status == 404
    assert take_back(visitor, prefix, "red.jpg").status == 404
    answer = put(visitor, f"{prefix}/add/", "b.jpg", picture("blue", tmp_path))
    assert answer.status == 503
    assert not (inbox / "b.jpg").exists()
    assert (library / ".photos" / "added.json").read_text() == text


@pytest.fixture
def limited(site: photos.Site) -> photos.Incoming:
    site._incoming._most_files = 2
    site._incoming._most_bytes = 10**9
    return site._incoming


@pytest.mark.whole
def test_a_share_takes_so_many_files_and_says_so(
    visitor: Client, link: Link, limited: Any, library: Path, tmp_path: Path
) -> None:
    prefix = link("Trip")
    blue = picture("blue", tmp_path)
    for colour in ("red", "green"):
        answer = put(visitor, f"{prefix}/add/", f"{colour}.jpg", picture(colour, tmp_path))
        assert answer.status == 200
    assert put(visitor, f"{prefix}/add/", "blue.jpg", blue).status == 403
    assert not (library / "Trip" / "blue.jpg").exists()
    page = visitor.get(f"{prefix}/add/").text
    assert "500 files and 5 GB" in page
    take_back(visitor, prefix, "red.jpg")  # what is in the bin counts
    assert put(visitor, f"{prefix}/add/", "blue.jpg", blue).status == 403
    assert put(visitor, f"{link('Trip', 'May')}/add/", "blue.jpg", blue).status == 200


def test_a_share_takes_so_many_bytes_those_of_half_files_too(
    visitor: Client, link: Link, limited: Any
) -> None:
    prefix = link("Trip")
    limited._most_files, limited._most_bytes = 500, 3 * MEGABYTE
    half = bytes(MEGABYTE)
    assert put(visitor, f"{prefix}/add/", "a.jpg", half, 2 * MEGABYTE).status == 200
    assert put(visitor, f"{prefix}/add/", "b.jpg", half, 5 * MEGABYTE).status == 403
    assert put(visitor, f"{prefix}/add/", "c.jpg", half, 2 * MEGABYTE).status == 200
    assert put(visitor, f"{prefix}/add/", "d.jpg", half, 2 * MEGABYTE).status == 403


def test_a_file_for_which_there_was_no_name_counts_for_nothing(
    visitor: Client,
    link: Link,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photos, "NAMES_TRIED", 2)
    red = picture("red", tmp_path)
    prefix = link("Trip")
    assert put(visitor, f"{prefix}/add/", "red.jpg", red).status == 503
    assert record(library) == {}
    assert not list((library / "Trip").glob(".*"))


def test_asking_where_to_go_on_leaves_no_file(
    visitor: Client, link: Link, library: Path
) -> None:
    prefix = link("Trip")
    for number in range(20):
        answer = put(visitor, f"{prefix}/add/", f"{number}.jpg", b"", 100)
        assert json.loads(answer.text) == {"offset": 0}
    assert not list((library / ".photos").glob("incoming/*"))


def test_a_first_piece_that_is_refused_leaves_no_file(
    visitor: Client, link: Link, limited: Any, library: Path
) -> None:
    prefix = link("Trip")
    limited._most_bytes = MEGABYTE
    refused = {403: (2 * MEGABYTE, 0), 409: (100, 50), 413: (3, 0)}
    for status, (size, offset) in refused.items():
        answer = put(visitor, f"{prefix}/add/", f"{status}.jpg", b"12345", size, offset)
        assert answer.status == status
    assert not list((library / ".photos").glob("incoming/*"))
    half = put(visitor, f"{prefix}/add/", "half.jpg", b"12345", 100)
    assert json.loads(half.text) == {"offset": 5}
    assert put(visitor, f"{prefix}/add/", "half.jpg", b"1", 100, 50).status == 409
    assert len(list((library / ".photos").glob("incoming/*"))) == 1


def test_a_share_that_ended_takes_no_further_piece(
    visitor: Client, link: Link, store: photos.ShareStore, library: Path
) -> None:
    prefix = link("Trip")
    piece = bytes(MEGABYTE)
    assert put(visitor, f"{prefix}/add/", "a.jpg", piece, 3 * MEGABYTE).status == 200
    store.end(store.all()[0].id)
    answer = put(visitor, f"{prefix}/add/", "a.jpg", piece, 3 * MEGABYTE, MEGABYTE)
    assert answer.status == 404
    assert not (library / "Trip" / "a.jpg").exists()


@pytest.mark.whole
def test_a_password_is_asked_before_adding_and_taking_back(
    visitor: Client, site: photos.Site, link: Link, tmp_path: Path
) -> None:
    hashed = photos.hash_password(photos.parse_password(PASSWORD))
    prefix = link("Trip", password=hashed)
    red = picture("red", tmp_path)
    assert visitor.get(f"{prefix}/add/").status == 401
    assert put(visitor, f"{prefix}/add/", "red.jpg", red).status == 401
    form = urlencode({"password": PASSWORD, "next": f"{prefix}/add/"}).encode()
    answer = visitor.request("POST", f"{prefix}/unlock", form, **OWN)
    assert answer.headers["location"] == f"{prefix}/add/"
    assert put(visitor, f"{prefix}/add/", "red.jpg", red).status == 200
    assert take_back(Client(site), prefix, "red.jpg").status == 401
    assert take_back(visitor, prefix, "red.jpg").status == 303


@pytest.mark.whole
def test_a_disk_without_links_never_shows_half_of_a_file(
    visitor: Client,
    link: Link,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = link("Trip")
    seen: list[tuple[str, int]] = []
    sync = photos._sync

    def look(path: str) -> None:
        if os.path.isfile(path):
            shown = (library / "Trip").glob("red*")
            seen.extend((p.name, p.stat().st_size) for p in shown)
        sync(path)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    def never_empty(path: Any, flags: int, *more: Any, **named: Any) -> int:
        is_placeholder = flags & os.O_EXCL and str(path).endswith("red.jpg")
        assert not is_placeholder, "half of a file"
        return opened(path, flags, *more, **named)

    opened = os.open
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "open", never_empty)
    monkeypatch.setattr(photos, "_sync", look)
    red = picture("red", tmp_path)
    assert put(visitor, f"{prefix}/add/", "red.jpg", red).status == 200
    assert seen == []
    assert (library / "Trip" / "red.jpg").read_bytes() == red
    assert names(visitor, f"{prefix}/api/album") > {"red.jpg"}
    assert (
        take_back(visitor, prefix, "red.jpg").status == 303
    )  # known by the copy's identity


def test_on_a_disk_with_a_coarse_clock_a_guest_takes_back_what_she_added(
    visitor: Client,
    link: Link,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def copy_as_exfat(source: str, target: str) -> None:
        shutil.copyfile(source, target)
        os.utime(target, (0, 2 * int(os.stat(source).st_mtime / 2)))

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copy2", copy_as_exfat)
    prefix = link("Trip")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    assert take_back(visitor, prefix, "red.jpg").status == 303
    assert not (library / "Trip" / "red.jpg").exists()


def test_a_second_try_after_a_crash_leaves_the_photo_to_its_guest(
    visitor: Client,
    link: Link,
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unlink = os.unlink

    def crash_first(path: str) -> None:
        if photos.INCOMING in os.fspath(path):
            raise OSError(errno.EIO, "the machine has no power")
        unlink(path)

    prefix = link("Party")
    red = picture("red", tmp_path)
    with monkeypatch.context() as crash:
        crash.setattr(os, "unlink", crash_first)
        put(visitor, f"{prefix}/add/", "red.jpg", red)
    put(visitor, f"{prefix}/add/", "red.jpg", b"", len(red))
    assert names(visitor, f"{prefix}/api/album") == {"red.jpg"}
    assert take_back(visitor, prefix, "red.jpg").status == 303


def number_anew(path: Path) -> None:
    """Give a file another inode and nothing else, as exFAT does at each mount."""
    before = path.stat()
    os.replace(shutil.copy2(path, path.with_name(".copy")), path)
    assert path.stat().st_ino != before.st_ino
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.fixture
def following(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are listed again at each request."""
    monkeypatch.setattr(photos, "LISTING_SECONDS", -1.0)


@pytest.mark.usefixtures("following")
def test_a_guest_keeps_what_she_added_when_the_disk_numbers_its_files_anew(
    visitor: Client, link: Link, inbox: Path, tmp_path: Path
) -> None:
    mine, theirs = link("Party"), link("Party", "Aunt May")
    for name in ("red.jpg", "blue.jpg"):
        put(visitor, f"{mine}/add/", name, picture(name[:-4], tmp_path))
    put(visitor, f"{theirs}/add/", "green.jpg", picture("green", tmp_path))
    for path in inbox.glob("*.jpg"):
        number_anew(path)
    assert names(visitor, f"{mine}/api/album") == {"red.jpg", "blue.jpg"}
    assert names(visitor, f"{theirs}/api/album") == {"green.jpg"}
    assert visitor.get(f"{mine}/photo/green.jpg").status == 404
    assert visitor.get(f"{mine}/photo/red.jpg").status == 200
    assert take_back(visitor, mine, "red.jpg").status == 303
    number_anew(inbox / "blue.jpg")
    assert names(visitor, f"{mine}/api/album") == {"blue.jpg"}


@pytest.mark.usefixtures("following")
@pytest.mark.parametrize("change", ["content", "time", "name"])
def test_another_file_in_place_of_an_added_one_is_the_guests_no_more(
    visitor: Client, link: Link, inbox: Path, tmp_path: Path, change: str
) -> None:
    prefix = link("Party")
    red = picture("red", tmp_path)
    put(visitor, f"{prefix}/add/", "red.jpg", red)
    path = inbox / "red.jpg"
    written = path.stat().st_mtime_ns
    number_anew(path)
    if change == "content":
        path.write_bytes(red[:-1] + b"?")
    os.utime(path, ns=(written, written + (change == "time")))
    name = "other.jpg" if change == "name" else "red.jpg"
    path.rename(inbox / name)
    assert names(visitor, f"{prefix}/api/album") == set()
    assert visitor.get(f"{prefix}/photo/{name}").status == 404
    assert take_back(visitor, prefix, name).status == 404


@pytest.mark.usefixtures("following")
def test_what_was_taken_back_and_lies_there_again_is_not_followed(
    visitor: Client, link: Link, inbox: Path, library: Path, tmp_path: Path
) -> None:
    prefix = link("Party")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))
    assert take_back(visitor, prefix, "red.jpg").status == 303
    (kept,) = (library / ".photos" / photos.WITHDRAWN).iterdir()
    kept.rename(inbox / "red.jpg")
    number_anew(inbox / "red.jpg")
    assert names(visitor, f"{prefix}/api/album") == set()


@pytest.mark.usefixtures("following")
def test_on_a_state_folder_that_cannot_be_written_a_guest_keeps_the_other_rights(
    visitor: Client,
    link: Link,
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    prefix = link("Party")
    for name in ("red.jpg", "blue.jpg"):
        put(visitor, f"{prefix}/add/", name, picture(name[:-4], tmp_path))
    number_anew(inbox / "red.jpg")
    with monkeypatch.context() as broken:
        broken.setattr(photos, "write_state", refuse)
        assert names(visitor, f"{prefix}/api/album") == {"blue.jpg"}
    assert names(visitor, f"{prefix}/api/album") == {"red.jpg", "blue.jpg"}


def test_copies_that_a_crash_left_in_an_album_are_swept_after_a_week(
    site: photos.Site, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = library / "Trip" / ".incoming-abcd1234"
    others = [library / "Trip" / name for name in (".incoming-of mine", ".incoming-x.jpg")]
    for path in (left, *others):
        path.write_bytes(b"half")
    upkeep = site._upkeep
    upkeep.prune()
    written = left.stat().st_ctime
    monkeypatch.setattr(time, "time", lambda: written - 60)  # the disk's clock is ahead
    upkeep.prune()
    assert left.exists()
    monkeypatch.setattr(time, "time", lambda: written + photos.LEFT_SECONDS)
    site._library.folders._listings.clear()
    upkeep.prune()
    assert [path.exists() for path in (left, *others)] == [False, True, True]


def test_the_oldest_records_go_first_but_never_those_that_rights_depend_on(
    store: photos.ShareStore, link: Link, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "ADDED_KEPT", 3)
    link("Trip")
    added = photos.AddedStore(store)
    guest = f"share {store.all()[0].id}"
    added.note("1", guest, "a.jpg", 1, "k")
    for identity in ("2", "3", "4", "5"):
        added.note(identity, "user ben", "b.jpg", 1, "k")
    assert record(library).keys() >= {"1", "5"} and len(record(library)) == 3
    added.note("6", guest, "a.jpg", 1, "k")
    added.note("7", guest, "a.jpg", 1, "k")
    with pytest.raises(photos.ShareFull):
        added.note("8", guest, "a.jpg", 1, "k")
    assert added.identities(guest) == {"1", "6", "7"}


def test_the_scope_of_an_inbox_is_that_of_one_share() -> None:
    guest = photos.Principal(share="s1", root=("a",), only_adds=True)
    other = dataclasses.replace(guest, share="s2")
    assert guest.scope != other.scope


def test_what_a_guest_added_to_an_album_derives_it_for_no_other_guest_again(
    visitor: Client, link: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = link("Trip"), link("Trip", "Aunt May", may_add=False)
    put(visitor, f"{mine}/add/", "red.jpg", picture("red", tmp_path))
    found = [names(visitor, f"{prefix}/api/album") for prefix in (mine, theirs)]
    assert found[0] == found[1] and "red.jpg" in found[0]
    derive = photos.Library._derive
    derived = []

    def derive_it(library: photos.Library, *arguments: Any) -> photos.Album:
        derived.append(arguments)
        return derive(library, *arguments)

    monkeypatch.setattr(photos.Library, "_derive", derive_it)
    for prefix in (mine, theirs, mine):
        assert "red.jpg" in names(visitor, f"{prefix}/api/album")
    assert derived == []


@pytest.mark.whole
def test_a_zip_holds_what_a_guest_sees(
    visitor: Client, site: photos.Site, link: Link, inbox: Path, tmp_path: Path
) -> None:
    prefix = link("Party")
    put(visitor, f"{prefix}/add/", "red.jpg", picture("red", tmp_path))

    def files() -> int:
        share = site._guests.share_at(prefix.removeprefix("/s/"))
        guest = share and site._guests.principal(share)
        place = guest and site._library.folders.locate((), guest)
        assert guest and place
        album = site._library.album(place, guest)
        contents = photos.contents_of(album, "", site._library.index.get, hides_places=True)
        return len(contents.members) + len(contents.unread)

    assert files() == 1
    take_back(visitor, prefix, "red.jpg")
    assert files() == 0
