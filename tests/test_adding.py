"""Adding photos: in pieces, resumed, checked, and laid into an album without ever replacing anything."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sys
import time
import types
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from drawing import draw
from visiting import OWN, PASSWORD, Answer, Client, Page

import photos
import renditions

pytestmark = pytest.mark.usefixtures("patient")

MEGABYTE = 1 << 20
MODIFIED = 1_600_000_000_000  # ms, as browsers tell it


@pytest.fixture
def inbox(library: Path) -> Path:
    """The folder of an album to which users may add."""
    folder = library / "Party.inbox"
    draw(folder / "first.jpg", colour="#101010")
    return folder


@pytest.fixture
def ben(site: photos.Site, library: Path) -> Client:
    """A user who is not the owner."""
    store = photos.UserStore(library / ".photos")
    store.register("ben", PASSWORD.encode())
    store.make_owner("anna")
    client = Client(site)
    assert client.log_in("ben").status == 303
    return client


@pytest.fixture
def picture(tmp_path: Path) -> bytes:
    """A photo of more than two pieces."""
    return draw(tmp_path / "drawn.jpg").read_bytes() + bytes(2 * MEGABYTE)


def put(
    client: Client,
    name: str,
    content: bytes,
    offset: int = 0,
    piece: bytes | None = None,
    **more: Any,
) -> Answer:
    query = {
        "name": name,
        "size": len(content),
        "modified": MODIFIED,
        "offset": offset,
        **more,
    }
    if piece is None:
        piece = content[offset : offset + MEGABYTE]
    return client.request("PUT", f"/add/Party?{urlencode(query)}", piece, **OWN)


def add(client: Client, name: str, content: bytes) -> dict[str, Any]:
    """Add a file as the page does: ask where to go on, then send piece after piece."""
    state = json.loads(put(client, name, content, piece=b"").text)
    while "offset" in state:
        answer = put(client, name, content, state["offset"])
        assert answer.status == 200, answer.text
        state = json.loads(answer.text)
    return dict(state)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.whole
def test_a_photo_is_added_in_pieces(ben: Client, inbox: Path, picture: bytes) -> None:
    assert add(ben, "IMG_1.jpg", picture) == {"name": "IMG_1.jpg", "new": True}
    added = inbox / "IMG_1.jpg"
    assert added.read_bytes() == picture
    assert round(added.stat().st_mtime, 3) == MODIFIED / 1000
    assert added.stat().st_nlink == 1
    assert added.stat().st_mode & 0o777 == inbox.stat().st_mode & 0o666
    assert "IMG_1.jpg" in ben.get("/album/Party/").text
    assert not list((inbox.parent / ".photos" / photos.INCOMING).iterdir())


@pytest.mark.whole
def test_an_interrupted_upload_goes_on_where_it_ended(
    ben: Client, inbox: Path, picture: bytes
) -> None:
    put(ben, "IMG_1.jpg", picture)
    state = json.loads(put(ben, "IMG_1.jpg", picture, piece=b"").text)
    assert state == {"offset": MEGABYTE}
    assert names_in(inbox) == {"first.jpg"}  # nothing that is half of something
    assert add(ben, "IMG_1.jpg", picture)["new"]
    assert (inbox / "IMG_1.jpg").read_bytes() == picture


@pytest.mark.whole
@pytest.mark.parametrize("offset", [0, 5, MEGABYTE - 1, MEGABYTE + 1, 3 * MEGABYTE])
def test_a_piece_that_does_not_fit_changes_nothing(
    ben: Client, inbox: Path, picture: bytes, offset: int
) -> None:
    put(ben, "IMG_1.jpg", picture)
    assert put(ben, "IMG_1.jpg", picture, offset, b"x" * 10).status == 409
    assert add(ben, "IMG_1.jpg", picture)["new"]
    assert (inbox / "IMG_1.jpg").read_bytes() == picture


@pytest.mark.whole
def test_the_same_photo_is_there_once(ben: Client, inbox: Path, picture: bytes) -> None:
    add(ben, "IMG_1.jpg", picture)
    assert add(ben, "IMG_1.jpg", picture) == {"name": "IMG_1.jpg", "new": False}
    other = add(ben, "another name.jpg", picture)
    assert other == {"name": "another name.jpg", "new": False}
    assert names_in(inbox) == {"first.jpg", "IMG_1.jpg"}


def test_what_its_sender_added_before_is_known_by_its_first_piece(
    ben: Client, site: photos.Site, inbox: Path, tmp_path: Path, picture: bytes
) -> None:
    drawn = draw(tmp_path / "b.jpg", colour="red").read_bytes()
    other = drawn.ljust(len(picture), b"\0")
    begun = picture[:-1] + b"x"
    add(ben, "IMG_1.jpg", picture)
    again = json.loads(put(ben, "IMG_1.jpg", picture, piece=picture[:9000]).text)
    assert again == {"name": "IMG_1.jpg", "new": False}
    # Another beginning, time, size or sender is another file for all that the piece tells.
    elsewhere = Client(site)
    elsewhere.log_in("anna")
    for client, content, more in (
        (ben, other, {}),
        (ben, begun, {"modified": MODIFIED + 1}),
        (ben, picture + b"x", {}),
        (elsewhere, picture, {}),
    ):
        answer = put(client, "IMG_1.jpg", content, piece=content[:9000], **more)
        assert json.loads(answer.text) == {"offset": 9000}
    (inbox / "IMG_1.jpg").unlink()
    answer = put(ben, "IMG_2.jpg", picture, piece=picture[:9000])
    assert json.loads(answer.text) == {"offset": 9000}


def test_nobody_adds_a_file_with_the_key_of_another(
    ben: Client, inbox: Path, library: Path, picture: bytes
) -> None:
    # Pictures are kept by it: hers would be there at once, or be shown for the other file.
    theirs = library / "Diary.private" / "theirs.jpg"
    theirs.parent.mkdir()
    theirs.write_bytes(picture)
    os.utime(theirs, (MODIFIED / 1000, MODIFIED / 1000))
    add(ben, "IMG_2.jpg", picture)
    add(ben, "IMG_1.jpg", picture + b"x")
    keys = set()
    for path in (theirs, inbox / "IMG_1.jpg", inbox / "IMG_2.jpg"):
        with path.open("rb") as file:
            keys.add(renditions.read_head(file)[1])
    assert len(keys) == 3
    items = json.loads(ben.get("/api/album/Party").text)["items"]
    # Of one millisecond, they stand by their names.
    assert [item["name"] for item in items][:2] == ["IMG_1.jpg", "IMG_2.jpg"]


@pytest.mark.whole
def test_other_bytes_of_the_same_name_size_and_time_are_added(
    ben: Client, inbox: Path, tmp_path: Path
) -> None:
    drawn = [
        draw(tmp_path / f"{colour}.jpg", colour=colour).read_bytes()
        for colour in ("red", "blue")
    ]
    first, second = (content.ljust(5000, b"\0") for content in drawn)
    for content, is_new in ((first, True), (first, False), (second, True), (second, False)):
        assert add(ben, "IMG_1.jpg", content)["new"] is is_new
    assert (inbox / "IMG_1.jpg").read_bytes() == first
    assert (inbox / "IMG_1 (2).jpg").read_bytes() == second


@pytest.mark.whole
def test_another_photo_of_the_same_name_replaces_nothing(
    ben: Client, inbox: Path, picture: bytes, tmp_path: Path
) -> None:
    others = [
        draw(tmp_path / "b.jpg", colour=colour).read_bytes() for colour in ("red", "blue")
    ]
    names = [add(ben, "IMG_1.jpg", content)["name"] for content in (picture, *others)]
    assert names == ["IMG_1.jpg", "IMG_1 (2).jpg", "IMG_1 (3).jpg"]
    assert (inbox / "IMG_1.jpg").read_bytes() == picture
    page = ben.get("/album/Party/").text
    assert all(quote(name) in page for name in names)


@pytest.mark.whole
@pytest.mark.parametrize(
    "error", [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL]
)
def test_a_disk_without_links_gets_a_copy(
    ben: Client, inbox: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(error, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    draw(inbox / "IMG_1.jpg", colour="#aabbcc")
    before = (inbox / "IMG_1.jpg").read_bytes()
    assert add(ben, "IMG_1.jpg", picture)["name"] == "IMG_1 (2).jpg"
    assert (inbox / "IMG_1.jpg").read_bytes() == before
    assert (inbox / "IMG_1 (2).jpg").read_bytes() == picture
    assert names_in(inbox) == {"first.jpg", "IMG_1.jpg", "IMG_1 (2).jpg"}


def test_a_disk_without_locks_takes_what_is_added(
    ben: Client, inbox: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert add(ben, "IMG_1.jpg", picture) == {"name": "IMG_1.jpg", "new": True}
    assert (inbox / "IMG_1.jpg").read_bytes() == picture


@pytest.mark.whole
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("virus.exe", b"MZ" + bytes(500)),
        ("page.html", b"<script>alert(1)</script>"),
        ("picture.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("album.txt", b"Our title\ncover: first.jpg\n"),
        ("broken.jpg", b"\xff\xd8\xff\xe0 and nothing more"),
        ("named.jpg", b"no picture at all"),
    ],
)
def test_what_is_no_photo_is_refused_and_gone(
    ben: Client, inbox: Path, name: str, content: bytes
) -> None:
    assert put(ben, name, content).status == 422
    assert names_in(inbox) == {"first.jpg"}
    assert not list((inbox.parent / ".photos" / photos.INCOMING).iterdir())


NAMES = {
    "../../outside.jpg": "_.._outside.jpg",
    "/etc/passwd.jpg": "_etc_passwd.jpg",
    ".hidden.jpg": "hidden.jpg",
    "@eaDir.jpg": "eaDir.jpg",
    "x.private.jpg": "x_private.jpg",
    "x.hidden-until-2030-01-01.jpg": "x_hidden_until_2030_01_01.jpg",
    "x.jpg.private": None,
    "cover.jpg": "photo cover.jpg",
    "no suffix": "no suffix.jpg",
    "CON.jpg": "_CON.jpg",
    "a:b?.jpg": "a_b_.jpg",
    "x.jpg~": None,
    "x.jpg.part": None,
    "שלום.jpg": "שלום.jpg",
    "照片.jpg": "照片.jpg",
    "": None,
    "x" * 400 + ".jpg": None,
}


@pytest.mark.whole
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_made_one_that_is_shown_and_nothing_else(
    name: str, ben: Client, inbox: Path, library: Path, tmp_path: Path
) -> None:
    content = draw(tmp_path / "drawn.jpg").read_bytes()
    added = add(ben, name, content)["name"]
    assert NAMES[name] in (None, added)
    assert (inbox / added).read_bytes() == content
    assert names_in(inbox) == {"first.jpg", added}
    items = json.loads(ben.get("/api/album/Party").text)["items"]
    assert {item["name"] for item in items} == {"first.jpg", added}
    assert not (library / "outside.jpg").exists()


@pytest.mark.whole
@pytest.mark.parametrize("format", ["TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("name", ["album.txt", "open me.hta", "photos.pyz", "x.private"])
def test_whatever_a_file_is_called_its_suffix_is_a_photos(
    name: str, format: str, ben: Client, inbox: Path, tmp_path: Path
) -> None:
    content = draw(tmp_path / "drawn", format=format).read_bytes()
    added = add(ben, name, content)["name"]
    assert names_in(inbox) == {"first.jpg", added}
    assert os.path.splitext(added)[1] in renditions.PHOTO_SUFFIXES
    items = json.loads(ben.get("/api/album/Party").text)["items"]
    assert {item["name"] for item in items} == {"first.jpg", added}


@pytest.mark.parametrize("container", renditions.CONTAINERS)
def test_a_film_of_any_kind_gets_the_suffix_of_a_film(container: str) -> None:
    media_type = renditions.CONTAINERS[container].media_type
    for name in ("album.txt", "run.bat", "page.html", "film"):
        added = photos.name_to_add(name, media_type)
        assert renditions.expected_kind(added) == renditions.VIDEO


@pytest.mark.parametrize("name", ["icon.png", "Icon.PNG", "cover.png"])
def test_no_file_is_added_by_a_name_that_is_the_owners(name: str) -> None:
    assert photos.name_to_add(name, "image/png") == f"photo {name}"


@pytest.mark.whole
@pytest.mark.parametrize("address", ["Trip", "Trip/Beach", "Drafts", "Secret", "", "Party"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_nobody_adds_where_the_owner_did_not_allow_it(
    visitor: Client, ben: Client, inbox: Path, address: str, method: str
) -> None:
    clients = (
        {"visitor": visitor} if address == "Party" else {"visitor": visitor, "user": ben}
    )
    query = urlencode({"name": "a.jpg", "size": 5, "modified": 0, "offset": 0})
    for client in clients.values():
        answer = client.request(method, f"/add/{address}?{query}", b"", **OWN)
        nothing = client.request(method, f"/add/Nothing?{query}", b"", **OWN)
        assert answer.status == nothing.status == 404
        assert answer.headers.keys() == nothing.headers.keys()


def test_another_site_cannot_have_a_browser_add(ben: Client, inbox: Path) -> None:
    query = urlencode({"name": "a.jpg", "size": 5, "modified": 0, "offset": 0})
    answer = ben.request(
        "PUT", f"/add/Party?{query}", b"12345", Sec_Fetch_Site="cross-site"
    )
    assert answer.status == 403


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"size": "x"},
        {"size": "-1", "offset": 0, "modified": 0},
        {"size": "9" * 40, "offset": 0, "modified": 0},
        {"size": 5, "offset": "٣", "modified": 0},
    ],
)
def test_a_request_without_sense_is_told_so(
    ben: Client, inbox: Path, query: dict[str, Any]
) -> None:
    answer = ben.request("PUT", f"/add/Party?{urlencode(query)}", b"12345", **OWN)
    assert answer.status == 400
    assert (
        ben.request("PUT", "/add/Party?size=0&offset=0&modified=0", b"", **OWN).status
        == 422
    )


def test_a_piece_is_a_megabyte_at_most_and_a_file_as_long_as_told(
    ben: Client, inbox: Path, picture: bytes
) -> None:
    assert put(ben, "a.jpg", picture, 0, bytes(MEGABYTE + 1)).status == 413
    assert put(ben, "a.jpg", b"12345", 0, b"123456").status == 413
    assert names_in(inbox) == {"first.jpg"}


def test_the_disk_keeps_room(
    ben: Client, inbox: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = shutil.disk_usage(inbox)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: disk._replace(free=photos.FREE_BYTES)
    )
    assert put(ben, "a.jpg", picture).status == 507
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(total=100 << 40))
    assert put(ben, "a.jpg", picture).status == 507
    assert names_in(inbox) == {"first.jpg"}


def test_a_full_disk_keeps_the_last_good_piece(
    ben: Client, inbox: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ben, "a.jpg", picture)
    with monkeypatch.context() as full:
        write = os.write

        def refuse(file: int, content: bytes) -> int:
            if len(content) < MEGABYTE:
                raise OSError(errno.ENOSPC, "full")
            return write(file, content[: MEGABYTE // 2])

        full.setattr(os, "write", refuse)
        assert put(ben, "a.jpg", picture, MEGABYTE).status == 507
    assert json.loads(put(ben, "a.jpg", picture, piece=b"").text) == {"offset": MEGABYTE}
    assert add(ben, "a.jpg", picture)["new"]
    assert (inbox / "a.jpg").read_bytes() == picture


@pytest.mark.whole
@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize(
    "call", ["os.mkdir", "os.write", "os.fsync", "os.link", "tempfile.mkstemp"]
)
def test_a_disk_that_takes_nothing_is_told_of_and_loses_nothing(
    ben: Client,
    inbox: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    number: int,
) -> None:
    small = draw(tmp_path / "small.jpg", colour="#202020").read_bytes()
    is_full = number == errno.ENOSPC

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "the path")

    with monkeypatch.context() as broken:
        broken.setattr(call, refuse)
        status = put(ben, "a.jpg", small).status
    is_state = call == "tempfile.mkstemp"
    assert status == (507 if is_full and not is_state else 503)
    if status == 503:
        told = f"cannot be written: {os.strerror(number)}. Until then nothing new is kept"
        assert told in caplog.text
    assert names_in(inbox) == {"first.jpg"}
    assert add(ben, "a.jpg", small) == {"name": "a.jpg", "new": True}
    assert names_in(inbox) == {"first.jpg", "a.jpg"}


def test_what_nobody_goes_on_with_is_swept_after_a_week(
    ben: Client, inbox: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = inbox.parent / ".photos" / photos.INCOMING
    put(ben, "old.jpg", picture)
    (old,) = folder.iterdir()
    time.sleep(0.05)
    put(ben, "new.jpg", picture)
    (new,) = set(folder.iterdir()) - {old}
    os.utime(new, (1, 1))  # the phone's date, which is set before the file is in its album
    a_week_later = old.stat().st_ctime + photos.LEFT_SECONDS + 0.01
    monkeypatch.setattr(time, "time", lambda: a_week_later)
    ben.get("/add/Party")
    assert list(folder.iterdir()) == [new]


@pytest.mark.parametrize(("told", "is_kept"), [(3_000_000_000, True), (10**11, False)])
def test_the_date_that_a_phone_tells_is_kept_also_where_our_clock_is_behind(
    told: int, is_kept: bool, ben: Client, inbox: Path, picture: bytes
) -> None:
    small = picture[: -2 * MEGABYTE]
    answer = put(ben, "a.jpg", small, modified=told * 1000)
    assert json.loads(answer.text) == {"name": "a.jpg", "new": True}
    assert (int((inbox / "a.jpg").stat().st_mtime) == told) == is_kept


@pytest.mark.parametrize("behind", [60, 7200])
def test_a_disk_whose_clock_is_ahead_of_ours_keeps_what_somebody_goes_on_with(
    behind: int, ben: Client, inbox: Path, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put(ben, "a.jpg", picture).status == 200
    real_time = time.time
    monkeypatch.setattr(time, "time", lambda: real_time() - behind)
    assert ben.get("/add/Party").status == 200  # which sweeps
    assert put(ben, "a.jpg", picture, MEGABYTE).status == 200


def send_form(client: Client, name: str, content: bytes) -> Answer:
    head = f'--b\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n'
    body = head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + content + b"\r\n--b--\r\n"
    return client.request(
        "POST", "/add/Party", body, type="multipart/form-data; boundary=b", **OWN
    )


@pytest.mark.whole
def test_without_javascript_a_form_adds_one_small_photo(
    ben: Client, inbox: Path, tmp_path: Path
) -> None:
    page = Page(ben.get("/add/Party").text)
    assert "/add/Party" in page.actions
    content = draw(tmp_path / "drawn.jpg").read_bytes()
    answer = send_form(ben, "IMG_1.jpg", content)
    assert answer.status == 200 and "IMG_1.jpg" in answer.text
    assert (inbox / "IMG_1.jpg").read_bytes() == content
    assert send_form(ben, "a.jpg", b"no picture").status == 422
    assert send_form(ben, "a.jpg", content + bytes(MEGABYTE)).status == 413
    assert names_in(inbox) == {"first.jpg", "IMG_1.jpg"}


@pytest.mark.whole
def test_users_find_the_page_where_they_may_add(
    ben: Client, visitor: Client, inbox: Path
) -> None:
    assert "/add/Party" in Page(ben.get("/album/Party/").text).links
    assert "/add/Trip" not in Page(ben.get("/album/Trip/").text).links
    assert "/add/Trip" not in Page(visitor.get("/album/Trip/").text).links
    assert ben.get("/add/Party.inbox").headers["location"] == "/add/Party"


def test_a_process_that_is_just_started_keeps_no_upload_locked(tmp_path: Path) -> None:
    """Between fork and exec, it has all files of the server, and their locks."""
    lock = photos.try_lock(tmp_path / "upload")
    assert lock is not None
    of_process = os.dup(lock)
    try:
        assert photos.try_lock(tmp_path / "upload") is None
        photos.release_lock(lock)
        again = photos.try_lock(tmp_path / "upload")
        assert again is not None
        photos.release_lock(again)
    finally:
        os.close(of_process)


def test_on_windows_an_upload_keeps_its_bytes_and_can_be_read_while_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks keep others from reading the byte, and its files are texts unless told otherwise."""
    flags: list[int] = []
    locked: list[int] = []
    really_open = os.open

    def note_flags(path: Any, flag: int, mode: int) -> int:
        flags.append(flag)
        return really_open(path, flag, mode)

    def note_place(file: int, mode: int, count: int) -> None:
        locked.append(os.lseek(file, 0, os.SEEK_CUR))

    windows = types.SimpleNamespace(LK_NBLCK=2, locking=note_place)
    monkeypatch.setattr(photos, "msvcrt", windows, raising=False)
    monkeypatch.setattr(photos, "AS_BYTES", os.O_CLOEXEC)
    monkeypatch.setattr(os, "open", note_flags)
    monkeypatch.setattr(sys, "platform", "win32")
    lock = photos.try_lock(tmp_path / "upload")
    assert lock is not None
    photos.release_lock(lock)
    assert flags[0] & os.O_CLOEXEC
    assert locked[0] > 100 * 10**9, "no film is as long"
