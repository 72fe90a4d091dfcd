"""What is ready is answered by the server's loop itself; all that may take long, by threads."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from processes import eventually, request
from test_server import serving
from visiting import PASSWORD, Client, invite

import photos

pytestmark = pytest.mark.whole

Answered = list[tuple[str, bool]]


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Answered:
    """The path of each request that was answered, and whether the loop did it."""
    answered: Answered = []
    service = photos.Channel.service

    def note(channel: photos.Channel) -> None:
        path = channel.requests[0].path
        service(channel)
        answered.append((path, photos.in_loop.get()))

    monkeypatch.setattr(photos.Channel, "service", note)
    return answered


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state folder of a library with an album that rests since long."""
    for number in range(3):
        draw(tmp_path / "Album" / f"{number}.jpg", size=(64, 48))
    draw(tmp_path / "Other" / "one.jpg", size=(64, 48))
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        os.utime(path, (1e9, 1e9 + 0.5))
    return tmp_path / photos.STATE_FOLDER


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no answer count as slow: machines that run tests may be."""
    monkeypatch.setattr(photos, "QUICK_SECONDS", 60.0)
    monkeypatch.setattr(photos, "PACE_SECONDS", 60.0)


def ask(port: int, path: str, times: int = 1) -> tuple[int, dict[str, str], bytes]:
    return [request(port, path) for _ in range(times)][-1]


def is_by_loop(answered: Answered, path: str) -> Callable[[], bool]:
    """Return what says whether the last answer for a path was one of the loop."""
    return lambda: [by_loop for asked, by_loop in answered if asked == path][-1:] == [True]


THUMBNAIL, ORIGINAL = "/thumbnail/Album/0.jpg", "/photo/Album/0.jpg"


@pytest.mark.usefixtures("unhurried")
def test_what_a_thread_answered_is_answered_by_the_loop_the_next_time(
    state: Path, answered: Answered
) -> None:
    with serving(state) as port:
        for path in ("/healthz", "/album/Album/", THUMBNAIL, ORIGINAL, "/"):
            assert ask(port, path)[0] == 200
            eventually(lambda path=path: answered[-1:] == [(path, False)])

            def is_next_by_loop(path: str = path) -> bool:
                return ask(port, path)[0] == 200 and is_by_loop(answered, path)()

            # A folder that was just listed may be listed once more.
            eventually(is_next_by_loop)


@pytest.mark.usefixtures("unhurried")
def test_the_loop_sends_a_long_original_byte_for_byte(
    state: Path, answered: Answered
) -> None:
    path = state.parent / "Other" / "long.jpg"
    draw(path, size=(64, 48))
    with path.open("ab") as file:
        file.writelines(bytes([number]) * 1_000_003 for number in range(1, 6))
    os.utime(path, (1e9, 1e9 + 0.5))
    with serving(state) as port:

        def is_whole_by_loop() -> bool:
            is_whole = ask(port, "/photo/Other/long.jpg")[2] == path.read_bytes()
            return is_whole and is_by_loop(answered, "/photo/Other/long.jpg")()

        eventually(is_whole_by_loop)


@pytest.mark.usefixtures("unhurried")
def test_what_has_to_be_made_first_is_left_to_a_thread_and_answered_once(
    state: Path, answered: Answered
) -> None:
    with serving(state) as port:
        eventually(lambda: ask(port, THUMBNAIL, 2) and is_by_loop(answered, THUMBNAIL)())
        browser = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for path in ("/thumbnail/Album/1.jpg", THUMBNAIL, "/thumbnail/Album/2.jpg"):
            browser.request("GET", path)
            answer = browser.getresponse()
            assert answer.status == 200
            assert answer.read(4) == b"RIFF"
            answer.read()
        browser.close()
        eventually(lambda: answered[-1][0] == "/thumbnail/Album/2.jpg")
        assert not is_by_loop(answered, "/thumbnail/Album/1.jpg")()
        assert not is_by_loop(answered, "/thumbnail/Album/2.jpg")()


@pytest.mark.usefixtures("unhurried")
def test_while_a_picture_is_made_the_loop_answers_others(
    state: Path, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()
    submit = photos.Renderer.submit

    def wait_first(*arguments: object) -> object:
        may_go_on.wait(20)
        return submit(*arguments)  # type: ignore[arg-type]

    with serving(state) as port:
        eventually(lambda: ask(port, THUMBNAIL, 2) and is_by_loop(answered, THUMBNAIL)())
        monkeypatch.setattr(photos.Renderer, "submit", wait_first)
        missing = threading.Thread(target=ask, args=(port, "/thumbnail/Album/1.jpg"))
        missing.start()
        for _ in range(3):
            since = time.monotonic()
            assert ask(port, "/healthz")[0] == 200
            assert ask(port, THUMBNAIL)[0] == 200
            assert time.monotonic() - since < 15
        assert missing.is_alive()
        may_go_on.set()
        missing.join(30)
        assert not missing.is_alive()


@pytest.mark.usefixtures("unhurried")
def test_a_rename_counts_for_the_loop_at_the_next_request(
    state: Path, answered: Answered
) -> None:
    album = state.parent / "Album"
    with serving(state) as port:
        for path in ("/album/Album/", THUMBNAIL, ORIGINAL, "/"):
            eventually(
                lambda path=path: ask(port, path, 2) and is_by_loop(answered, path)()
            )
        album.rename(state.parent / "Album.private")
        assert ask(port, THUMBNAIL)[0] == ask(port, ORIGINAL)[0] == 404
        assert ask(port, "/album/Album/")[0] == 404
        assert b"Album" not in ask(port, "/")[2]
        (state.parent / "Album.private").rename(album)
        assert ask(port, THUMBNAIL)[0] == 200


HEAD = b"GET %b HTTP/1.1\r\nHost: localhost\r\n"
EXCHANGES = {
    "a body": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "no bytes of a body": HEAD + b"Content-Length: 0\r\n\r\n",
    "a body in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "a body that waits for 100": HEAD
    + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    "100 without a body": HEAD + b"Expect: 100-continue\r\n\r\n",
    "a second request behind it": HEAD
    + b"\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an empty line before it": b"\r\n" + HEAD + b"\r\n",
    "HEAD": HEAD.replace(b"GET", b"HEAD") + b"\r\n",
    "HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"\r\n",
    "HTTP/1.0 that stays": HEAD.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n\r\n",
    "the end of the connection": HEAD + b"Connection: close\r\n\r\n",
    "a condition": HEAD + b"If-None-Match: *\r\n\r\n",
    "a range": HEAD + b"Range: bytes=0-9\r\n\r\n",
    "a range that is not there": HEAD + b"Range: bytes=99999999-\r\n\r\n",
    "ranges": HEAD + b"Range: bytes=0-1,4-5\r\n\r\n",
    "another host": HEAD.replace(b"localhost", b"evil.example") + b"\r\n",
    "a long query": HEAD.replace(b"%b", b"%b?" + b"a=1&" * 3000) + b"\r\n",
}


def exchange(port: int, sent: bytes) -> list[object]:
    """Send bytes; return the answer, and the next on the same connection if it stays, dates left out."""
    answers: list[object] = []
    requests = [sent, HEAD % b"/healthz" + b"Connection: close\r\n\r\n"]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for request_sent in requests:
            connection.sendall(request_sent)
            method = "HEAD" if request_sent.startswith(b"HEAD") else "GET"
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            headers = [pair for pair in answer.getheaders() if pair[0] != "Date"]
            answers += [answer.version, answer.status, headers, answer.read()]
            if answer.will_close:
                break
        answers.append(connection.recv(1))
    return answers


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("path", [b"/", THUMBNAIL.encode(), ORIGINAL.encode()])
def test_the_loop_frames_its_answers_as_a_thread_does(
    state: Path, answered: Answered, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    with serving(state, public_address="https://photos.example") as port:
        eventually(
            lambda: ask(port, path.decode(), 2) and is_by_loop(answered, path.decode())()
        )
        by_loop = {name: exchange(port, sent % path) for name, sent in EXCHANGES.items()}
        assert [answer for answer in answered if answer == (path.decode(), True)]
        monkeypatch.setattr(photos.Pace, "is_quick", lambda *_: False)
        by_thread = {name: exchange(port, sent % path) for name, sent in EXCHANGES.items()}
    assert by_loop == by_thread
    assert by_loop["a second request behind it"][-1] == b""


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RecursionError(),
        BrokenPipeError(errno.EPIPE, "gone"),
        OSError(errno.EMFILE, "too many open files"),
        ValueError("a bug"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "a bug"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("place", ["send_health", "__call__"])
def test_an_error_in_the_loop_costs_one_answer(
    state: Path,
    answered: Answered,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    place: str,
) -> None:
    def fail(*_: object) -> photos.Response:
        raise error

    with monkeypatch.context() as patch:
        if place == "send_health":
            patch.setattr(photos.Site, place, fail)
        with serving(state) as port:
            eventually(
                lambda: ask(port, THUMBNAIL, 2) and is_by_loop(answered, THUMBNAIL)()
            )
            if place == "__call__":
                patch.setattr(photos.Site, place, fail)
            monkeypatch.setattr(photos.Pace, "is_quick", lambda *_: True)
            failing = "/healthz" if place == "send_health" else THUMBNAIL
            for _ in range(3):
                with contextlib.suppress(http.client.BadStatusLine, ConnectionError):
                    assert ask(port, failing)[0] == 500
            patch.undo()
            if place == "__call__":
                assert ask(port, THUMBNAIL)[0] == 200
            assert ask(port, "/static/style.css")[0] == 200


LONG_BYTES = 12_000_000  # more than the network takes before anybody reads


def ask_for_long(port: int) -> socket.socket:
    """Ask for an original that is sent as it is read; return the connection."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(b"GET /photo/Other/long.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


def rest_of(connection: socket.socket) -> int:
    """Return how many bytes come of a long original: nearly all, or those until the server closes."""
    count = 0
    with contextlib.suppress(ConnectionError):
        while count <= LONG_BYTES - 1000 and (block := connection.recv(1 << 20)):
            count += len(block)
    return count


@pytest.fixture
def long(state: Path) -> Path:
    """An album with an original that takes a while to send."""
    path = state.parent / "Other" / "long.jpg"
    draw(path, size=(64, 48))
    with path.open("ab") as file:
        file.truncate(LONG_BYTES)
    for changed in (path, path.parent, state.parent):
        os.utime(changed, (1e9, 1e9 + 0.5))
    return path


def test_while_an_original_is_sent_the_loop_lists_no_folder(
    state: Path, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "RIGHTS_SECONDS", 0.0)
    read_folder, may_go_on = photos.Folders._read_folder, threading.Event()
    is_listing = threading.Event()

    def wait_first(*arguments: Any) -> photos.Folder:
        is_listing.set()
        may_go_on.wait(20)
        return read_folder(*arguments)

    with serving(state) as port, ask_for_long(port) as connection:
        monkeypatch.setattr(photos.Folders, "_read_folder", wait_first)
        draw(long.with_name("new.jpg"))
        reader = threading.Thread(target=rest_of, args=(connection,))
        reader.start()
        assert is_listing.wait(20)
        since = time.monotonic()
        assert ask(port, "/healthz")[0] == 200
        assert time.monotonic() - since < 10
        may_go_on.set()
        reader.join(30)
    with serving(state) as port:
        assert ask(port, "/photo/Other/long.jpg")[2] == long.read_bytes()


def test_an_original_is_sent_on_after_a_look_at_a_changed_folder(
    state: Path, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "RIGHTS_SECONDS", 0.0)
    with serving(state) as port, ask_for_long(port) as connection:
        draw(long.with_name("new.jpg"))
        assert rest_of(connection) > LONG_BYTES - 1000


def test_an_original_is_sent_no_further_when_its_album_becomes_private(
    state: Path, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "RIGHTS_SECONDS", 0.0)
    with serving(state) as port, ask_for_long(port) as connection:
        long.parent.rename(state.parent / "Other.private")
        assert rest_of(connection) < LONG_BYTES - 1000
        assert ask(port, "/healthz")[0] == 200


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("change", ["removed", "logged out", "new password", "share ended"])
def test_what_ends_a_visit_counts_for_the_loop_at_the_next_request(
    state: Path, answered: Answered, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    (state.parent / "Other").rename(state.parent / "Other.private")
    os.utime(state.parent, (1e9, 1e9 + 0.5))
    photos.make_state_folder(state)
    users, shares = photos.UserStore(state), photos.ShareStore(state)
    for name in ("mira", "anna"):
        users.register(name, PASSWORD.encode(), owner=name == "mira")
    tokens = photos.Tokens(photos.read_secret(state))
    own = f"photos-{tokens.site}={tokens.issue('anna', users.epoch('anna') or '', 'id')}"
    prefix = invite(state, "Other") if change == "share ended" else ""
    album = "" if prefix else "Other/"
    paths = [f"{prefix}{path}{album}" for path in ("/thumbnail/", "/photo/", "/")]
    paths = [f"{path}one.jpg" for path in paths[:2]] + [f"{prefix}/"]
    changes: dict[str, Callable[[], None]] = {
        "removed": lambda: users.remove("anna"),
        "logged out": lambda: users.revoke("anna", "id", int(time.time()) + 1000),
        "new password": lambda: users.set_password("anna", b"another password"),
        "share ended": lambda: shares.end(shares.all()[0].id),
    }
    with serving(state) as port:

        def get(path: str) -> tuple[int, dict[str, str], bytes]:
            return request(port, path, Cookie="" if prefix else own)

        for path in paths:
            eventually(lambda path=path: get(path) and is_by_loop(answered, path)())
            assert get(path)[0] == 200
        before = get(paths[-1])
        assert b"one.jpg" in before[2] if prefix else b"/album/Other/" in before[2]
        changes[change]()
        assert [get(path)[0] for path in paths[:2]] == [404, 404]
        after = get(paths[-1])
        assert after[0] == 404 if prefix else b"/album/Other/" not in after[2]


@contextlib.contextmanager
def in_the_loop() -> Iterator[None]:
    before = photos.in_loop.set(True)
    try:
        yield
    finally:
        photos.in_loop.reset(before)


@pytest.fixture
def client(state: Path) -> Iterator[Client]:
    app = photos.create_app(state, config=photos.Config(), background=False)
    yield Client(app)
    app.close()


QUICK_RULES = {
    "/",
    "/album/",
    "/thumbnail/",
    "/preview/",
    "/photo/",
    "/download/",
    "/static/",
    "/healthz",
}


def test_only_what_is_named_may_be_answered_by_the_loop(client: Client) -> None:
    for route in photos.ROUTES:
        start = route.rule.partition("<")[0]
        assert route.is_quick == (start in QUICK_RULES), route.rule
        if route.is_quick:
            continue
        path = "/timeline/2020/05/" if "month" in route.rule else f"{start}x"
        path = path if "<" in route.rule else route.rule
        path = path.replace("/timeline/x", "/timeline/2020/").replace(
            "/shares/x", "/shares/x/end"
        )
        with in_the_loop(), pytest.raises(photos.NeedsThread):
            client.request(route.method, path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/album/Album/",
        "/album/Album/0.jpg",
        "/album/Nowhere/",
        "/nowhere",
        "/thumbnail/Album/0.jpg",
        "/preview/Album/0.jpg",
        "/preview/Album/0.jpg?size=full",
        "/photo/Album/0.jpg",
        "/download/Album/0.jpg",
    ],
)
def test_the_loop_makes_nothing(client: Client, path: str) -> None:
    client.request("GET", "/healthz")
    with in_the_loop(), pytest.raises(photos.NeedsThread):
        client.request("GET", path)
    # And what was given up in the middle keeps nothing locked.
    assert client.request("GET", path).status in (200, 404)
    assert client.request("GET", path).status in (200, 404)


def calls_in_loop(client: Client, path: str) -> int:
    """Return how many calls of functions an answer takes the loop, once it is ready."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    def is_ready() -> bool:
        client.request("GET", path)
        with contextlib.suppress(photos.NeedsThread), in_the_loop():
            return client.request("GET", path).status == 200
        return False

    eventually(is_ready)
    sys.setprofile(count)
    with in_the_loop():
        client.request("GET", path)
    sys.setprofile(None)
    return calls


def test_what_the_loop_does_grows_with_no_album(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "READ_PATIENCE", 30)
    content = (state.parent / "Other" / "one.jpg").read_bytes()
    large = state.parent / "Large"
    large.mkdir()
    for number in range(400):
        (large / f"{number}.jpg").write_bytes(content)
    app = photos.create_app(state, config=photos.Config(), background=False)
    with contextlib.closing(app):
        client = Client(app)
        for kind in ("/album/{}/", "/thumbnail/{}/0.jpg", "/photo/{}/0.jpg"):
            small = calls_in_loop(client, kind.format("Album"))
            assert 50 < calls_in_loop(client, kind.format("Large")) < small + 50, kind


def test_the_loop_lists_no_folder_that_has_changed(client: Client, state: Path) -> None:
    def is_ready() -> bool:
        client.request("GET", "/album/Album/")
        with in_the_loop():
            return client.request("GET", "/album/Album/").status == 200

    def is_ready_now() -> bool:
        with contextlib.suppress(photos.NeedsThread):
            return is_ready()
        return False

    eventually(is_ready_now)
    draw(state.parent / "Album" / "new.jpg", size=(64, 48))
    with in_the_loop(), pytest.raises(photos.NeedsThread):
        client.request("GET", "/album/Album/")
    assert b"new.jpg" in client.request("GET", "/album/Album/").body


def test_the_loop_pairs_no_files_of_a_folder() -> None:
    folder = photos.Folder(None, {}, {})
    with in_the_loop(), pytest.raises(photos.NeedsThread):
        folder.shot("IMG_1.jpg")
    assert folder.shot("IMG_1.jpg") == photos.NO_SHOT
    with in_the_loop():
        assert folder.shot("IMG_1.jpg") == photos.NO_SHOT


def test_the_loop_sorts_no_names_of_a_folder() -> None:
    names = {f"Day {number}": photos.parse_name(f"Day {number}") for number in range(3)}
    folder = photos.Folder(None, {}, names)
    with in_the_loop(), pytest.raises(photos.NeedsThread):
        folder.albums_at("Day 1")
    assert folder.albums_at("Day 1") == ["Day 1"]
    with in_the_loop():
        assert folder.albums_at("Day 1") == ["Day 1"]


def test_the_loop_lists_no_items_of_an_album_that_left_the_memory(
    client: Client, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "ALBUMS_LISTED", 1)

    def is_ready() -> bool:
        client.request("GET", "/album/Album/")
        with contextlib.suppress(photos.NeedsThread), in_the_loop():
            return client.request("GET", "/album/Album/").status == 200
        return False

    eventually(is_ready)
    client.request("GET", "/album/Other/")
    for _ in range(2):
        with in_the_loop(), pytest.raises(photos.NeedsThread):
            client.request("GET", "/album/Album/")
    eventually(is_ready)


class Asked:
    """A request, as far as its pace depends on it."""

    error = None

    def __init__(self, path: str, command: str = "GET", query: str = "") -> None:
        self.path, self.command, self.query = path, command, query


def test_a_slow_answer_is_given_by_a_thread_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(photos.time, "monotonic", lambda: now[0])
    pace = photos.Pace()
    asked, beside = Asked("/thumbnail/A/1.jpg"), Asked("/thumbnail/A/2.jpg")
    assert not pace.is_quick(asked)
    pace.note(asked, photos.QUICK_SECONDS / 2)
    assert pace.is_quick(beside)
    assert not pace.is_quick(Asked("/thumbnail/B/1.jpg"))
    assert not pace.is_quick(Asked("/thumbnail/A/1.jpg", "POST"))
    assert pace.is_quick(Asked("/thumbnail/A/1.jpg", query="w=320&v=01234567"))
    assert not pace.is_quick(Asked("/thumbnail/A/1.jpg", query="a&" * 8000))
    pace.note(beside, photos.QUICK_SECONDS * 2)
    assert not pace.is_quick(asked)
    pace.note(asked, 0)
    now[0] += photos.PACE_SECONDS + 1  # the disk may sleep by now
    assert not pace.is_quick(asked)


def test_a_quick_answer_says_nothing_of_an_album_whose_path_it_shares() -> None:
    pace = photos.Pace()
    for quick, long in (("/healthz", "/"), ("/album/A/1.jpg", "/album/A/")):
        pace.note(Asked(quick), 0)
        assert pace.is_quick(Asked(quick))
        assert not pace.is_quick(Asked(long))
    pace.note(Asked("/album/B/"), 0)
    assert pace.is_quick(Asked("/album/B/"))


def test_who_asks_for_ever_new_paths_fills_no_memory() -> None:
    pace = photos.Pace()
    for number in range(3 * photos.PACES_KEPT):
        pace.note(Asked(f"/album/{number}{'x' * photos.HEADER_BYTES}/"), 0)
    assert len(pace._quick_until) <= photos.PACES_KEPT
    assert sum(map(sys.getsizeof, pace._quick_until)) < 100 * photos.PACES_KEPT
