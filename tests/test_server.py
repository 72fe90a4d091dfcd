"""The server: nobody stops it by keeping connections, and what makes no sense gets a clear answer."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import http.client
import os
import resource
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from processes import PROGRAM, eventually, free_port, request
from waitress import wasyncore

import photos

pytestmark = pytest.mark.whole


class Attacker:
    """A connection that sends raw bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send(self, text: str) -> Attacker:
        self.socket.sendall(text.replace("\n", "\r\n").encode("latin-1"))
        return self

    def read(self) -> bytes:
        """Return all that comes until the server closes."""
        blocks = []
        with contextlib.suppress(ConnectionError):
            while block := self.socket.recv(65536):
                blocks.append(block)
        return b"".join(blocks)

    def is_closed(self) -> bool:
        """Whether the server has closed the connection, without waiting."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True


@contextlib.contextmanager
def serving(state: Path, **settings: Any) -> Iterator[int]:
    """Serve a library from a thread of this process; return the port."""
    config = photos.Config(port=free_port(), **settings)
    app = photos.create_app(state, config=config, background=False)
    server = photos.make_server(app, config)
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            wasyncore.poll2(0.1, server.map)
        for channel in list(server.map.values()):
            channel.handle_close()
        wasyncore.close_all(server.map)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield config.port
    finally:
        app.close()
        server.task_dispatcher.shutdown()
        ended.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state folder of a library with one photo of several megabytes."""
    draw(tmp_path / "Album" / "one.jpg", size=(64, 48))
    with (tmp_path / "Album" / "one.jpg").open("ab") as file:
        file.write(bytes(8_000_000))
    return tmp_path / photos.STATE_FOLDER


Connect = Callable[[int], Attacker]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect to a port; all connections end with the test."""
    attackers: list[Attacker] = []

    def connect(port: int) -> Attacker:
        attackers.append(Attacker(port))
        return attackers[-1]

    yield connect
    for attacker in attackers:
        attacker.socket.close()


HEALTH = "GET /healthz HTTP/1.1\nHost: localhost\nConnection: close\n\n"
ORIGINAL = "GET /photo/Album/one.jpg HTTP/1.1\nHost: localhost\nConnection: close\n\n"


def test_who_asks_for_two_originals_and_reads_nothing_stops_nobody(
    state: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "PEER_CONNECTIONS", 1000)
    threads = photos.ANSWER_THREADS + photos.WAITING_THREADS
    with serving(state) as port:
        _ = [connect(port).send(2 * ORIGINAL) for _ in range(threads + 20)]
        time.sleep(1)
        assert request(port, "/healthz")[0] == 200


def test_of_several_requests_at_once_the_first_is_answered_and_the_connection_closed(
    state: Path, connect: Connect
) -> None:
    ask = "GET /healthz HTTP/1.1\nHost: localhost\n\n"
    with serving(state) as port:
        answer = connect(port).send(3 * ask).read()
        assert answer.count(b"HTTP/1.1 200 OK") == 1
        assert b"Connection: close" in answer
        browser = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(3):  # one after the other on one connection
            browser.request("GET", "/healthz")
            connection = browser.sock
            assert browser.getresponse().read() == b"ok\n"
            assert browser.sock is connection
        browser.close()


def test_the_connection_stays_open_after_an_answer_without_a_body(
    state: Path, connect: Connect
) -> None:
    with serving(state) as port:
        etag = request(port, "/static/style.css")[1]["etag"]
        browser = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(3):
            browser.request("GET", "/static/style.css", headers={"If-None-Match": etag})
            connection = browser.sock
            answer = browser.getresponse()
            assert (answer.status, answer.read()) == (304, b"")
            assert browser.sock is connection
        browser.close()
        head = f"GET /static/style.css HTTP/1.1\nHost: a\nIf-None-Match: {etag}\n"
        answer = connect(port).send(f"{head}Connection: close\n\n").read()
        assert answer.startswith(b"HTTP/1.1 304")
        head = head.replace("HTTP/1.1", "HTTP/1.0")
        assert b" 304 " in connect(port).send(f"{head}\n").read()


def test_one_address_has_so_many_connections_and_then_loses_its_oldest(
    state: Path, connect: Connect
) -> None:
    with serving(state) as port:
        attackers = [connect(port) for _ in range(photos.PEER_CONNECTIONS)]
        attackers[0].send("GET /healthz HT")
        time.sleep(0.2)
        assert request(port, "/healthz")[0] == 200
        eventually(attackers[0].is_closed)
        assert not any(each.is_closed() for each in attackers[1:10])


def test_a_full_server_drops_who_has_not_finished_asking(
    state: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "PEER_CONNECTIONS", 1000)
    monkeypatch.setattr(photos, "CONNECTIONS", 30)
    monkeypatch.setattr(photos, "MOMENT", 60.0)  # the reader reads on within it
    with serving(state) as port:
        reader = connect(port).send(ORIGINAL)
        assert reader.socket.recv(100).startswith(b"HTTP/1.1 200")
        attackers = [connect(port).send("GET / HTTP/1.1\nX: ") for _ in range(60)]
        assert request(port, "/healthz")[0] == 200
        eventually(lambda: sum(each.is_closed() for each in attackers) >= 31)
        assert len(reader.read()) > 7_000_000  # who is being answered is left alone


def unread(attacker: Attacker) -> bytes:
    """Return how many bytes came that were not read yet, as the system writes it."""
    return fcntl.ioctl(attacker.socket, termios.FIONREAD, bytes(4))


def no_more_comes(attackers: list[Attacker]) -> bool:
    """Say whether the system has taken all of the answers that it takes unread."""
    before = [*map(unread, attackers)]
    time.sleep(1)
    return before == [*map(unread, attackers)]


def test_a_full_server_drops_who_reads_nothing_before_who_has_only_just_come(
    state: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "PEER_CONNECTIONS", 20)
    monkeypatch.setattr(photos, "MOMENT", 20.0)
    now, passed = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: now() + passed[0])
    with serving(state) as port:
        readers = [connect(port).send(ORIGINAL) for _ in range(20)]
        assert all(each.socket.recv(100).startswith(b"HTTP/1.1 200") for each in readers)
        eventually(lambda: no_more_comes(readers))
        passed[0] = photos.MOMENT + 0.5
        newcomers = [connect(port) for _ in range(5)]
        eventually(lambda: sum(each.is_closed() for each in newcomers) == 0)
        for newcomer in newcomers:
            newcomer.socket.setblocking(True)
            assert newcomer.send(HEALTH).read().startswith(b"HTTP/1.1 200")


def test_who_no_longer_reads_is_dropped(
    state: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "IDLE_CONNECTION_SECONDS", 0.3)
    monkeypatch.setattr(photos, "MAINTENANCE_SECONDS", 0.1)
    with serving(state) as port:
        attacker = connect(port).send(ORIGINAL)
        time.sleep(2)
        assert len(attacker.read()) < 8_000_000


def test_who_asks_for_nothing_is_dropped_also_after_the_clock_was_set_back(
    state: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "IDLE_CONNECTION_SECONDS", 0.3)
    monkeypatch.setattr(photos, "MAINTENANCE_SECONDS", 0.1)
    real_time = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real_time() + 3600)
        with serving(state) as port:
            assert connect(port).send(HEALTH).read().startswith(b"HTTP/1.1 200")
            patch.undo()
            assert connect(port).read() == b""  # and does not wait for ever


@pytest.mark.parametrize(
    "beginning",
    ["GET / HTTP/1.1\nX: ", "POST /login HTTP/1.1\nHost: a\nContent-Length: 60000\n\na=b"],
    ids=["head", "body"],
)
def test_who_sends_a_byte_now_and_then_is_dropped(
    state: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch, beginning: str
) -> None:
    monkeypatch.setattr(photos, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(photos, "MAINTENANCE_SECONDS", 0.1)
    with serving(state) as port:
        started = time.monotonic()
        attacker = connect(port).send(beginning)
        while not attacker.is_closed():
            assert time.monotonic() - started < 10
            with contextlib.suppress(OSError):
                attacker.socket.send(b"a")
            time.sleep(0.1)
        assert time.monotonic() - started > 0.5


NO_HOSTS = (
    "a/b",
    "a b",
    "anna@a",
    "a?b",
    "a#b",
    "a\\b",
    '"a"',
    "[::1",
    "::1",
    "a:b",
    "a:1:2",
    "\xff",
    "a\x7f",
)
NO_HEADERS = ("X: a\0b", "X : a", "X\xff: a", ": a", "nonsense", "X: a\x01")
NO_REQUESTS = (
    "get / HTTP/1.1",
    "G@T / HTTP/1.1",
    "GET / HTTP/1.11",
    "GET / HTTX/1.1",
    "GET /a b HTTP/1.1",
    "GET /\xe4/ HTTP/1.1",
    "GET http://[zz]/ HTTP/1.1",
    "GET http://a/b@c:d/ HTTP/1.1 HTTP/1.1",
)
NO_LENGTHS = (
    "Content-Length: 3\nContent-Length: 3",
    *(f"Content-Length: {text}" for text in ("3, 3", "+3", "-1", "1_0", "0x3", "", "\xb3")),
    f"Content-Length: {5000 * '9'}",
)
NO_CODINGS = (
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\nTransfer-Encoding: Chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding:\n chunked",
    "Transfer-Encoding:",
    "transfer-encoding: \nContent-Length: 3",
)
CHUNKED = "POST /login HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n"


@pytest.mark.parametrize(
    "head",
    [
        "POST /login HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n",
        "POST /login HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nContent-Length: 3\n\n0\n\n",
        "POST /login HTTP/1.0\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n",
        "POST /login HTTP/1.0\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n0\n\n",
        "POST /login HTTP/2.0\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n",
        *(f"POST /login HTTP/1.1\nHost: a\n{lines}\n\n0\n\n" for lines in NO_CODINGS),
        "GET / HTTP/1.1\nHost: a\nHost: b\n\n",
        "GET / HTTP/1.1\nHost: a, b\n\n",
        "GET / HTTP/1.1\nHost\n\n",
        "GET / HTTP/1.1\n\n",
        *(f"GET / HTTP/1.1\nHost: {name}\n\n" for name in NO_HOSTS),
        *(f"GET / HTTP/1.1\nHost: a\n{line}\n\n" for line in NO_HEADERS),
        *(f"{line}\nHost: a\n\n" for line in NO_REQUESTS),
        *(f"POST /login HTTP/1.1\nHost: a\n{line}\n\nabc" for line in NO_LENGTHS),
        *(f"{CHUNKED}{chunk}\nabc\n0\n\n" for chunk in ("zz", "-3", "0x3", "3 ;")),
        "GET http://[::1/ HTTP/1.1\nHost: a\n\n",
        "GET http://[/ HTTP/1.1\nHost: a\n\n",
        "nonsense\n\n",
    ],
)
def test_what_a_proxy_may_read_differently_is_refused(
    state: Path, connect: Connect, head: str
) -> None:
    with serving(state) as port:
        answer = connect(port).send(head).read()
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), answer
        assert answer.count(b"HTTP/1.") == 1
        for name, value in photos.SECURITY_HEADERS.items():
            assert f"\r\n{name}: {value}\r\n".encode() in answer


def test_the_name_in_an_absolute_address_counts_and_no_other(
    state: Path, connect: Connect
) -> None:
    with serving(state, public_address="https://photos.example.org") as port:
        for target, host, status in (
            ("http://photos.example.org/healthz", "photos.example.org", 200),
            ("http://photos.example.org/healthz", "evil.example.org", 200),
            ("http://evil.example.org/healthz", "photos.example.org", 421),
            ("/healthz", "evil.example.org", 421),
        ):
            head = f"GET {target} HTTP/1.1\nHost: {host}\nConnection: close\n\n"
            assert f" {status} ".encode() in connect(port).send(head).read()[:20]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /healthz HTTP/1.1\n", 200),
        ("POST /login HTTP/1.1\nContent-Length: 0\n", 403),
        ("POST /login HTTP/1.1\nContent-Length: 99999999\n", 413),
        ("POST /login HTTP/1.1\nContent-Length: many\n", 400),
    ],
)
def test_nobody_is_told_to_go_on_who_has_nothing_to_send_or_too_much(
    state: Path, connect: Connect, head: str, status: int
) -> None:
    with serving(state) as port:
        rest = "Host: localhost\nConnection: close\nExpect: 100-continue\n\n"
        answer = connect(port).send(head + rest).read()
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_who_asks_whether_to_go_on_is_told_so(state: Path, connect: Connect) -> None:
    with serving(state) as port:
        head = (
            "POST /login HTTP/1.1\nHost: localhost\nConnection: close\nContent-Length: 3\n"
        )
        attacker = connect(port).send(f"{head}Expect: 100-continue\n\n")
        assert attacker.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert attacker.send("abc").read().startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("size", [100_000, 40_000])
def test_a_head_or_body_that_is_too_long_is_refused(
    state: Path, connect: Connect, size: int
) -> None:
    with serving(state) as port:
        head = f"GET / HTTP/1.1\nHost: a\nX: {size * 'a'}\n\n"
        assert b" 431 " in connect(port).send(head).read().split(b"\r\n")[0]
        body = "POST /login HTTP/1.1\nHost: a\nContent-Length: 1000000\n\n"
        assert b" 413 " in connect(port).send(body).read().split(b"\r\n")[0]


def test_without_descriptors_the_log_stays_short_and_the_site_comes_back(
    state: Path, connect: Connect
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    port = free_port()
    log = state.parent.parent / "limited.log"
    command = [*PROGRAM, "--library", state.parent, "serve", "--port", str(port)]
    with log.open("wb") as output:
        server: Any = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=limit,
        )
    try:
        is_there = lambda: request(port, "/healthz")[0] == 200  # noqa: E731

        def answers() -> bool:
            with contextlib.suppress(OSError):
                return is_there()
            return False

        eventually(answers)
        attackers = [connect(port) for _ in range(100)]
        eventually(lambda: "No connection can be accepted" in log.read_text())
        time.sleep(3)
        for attacker in attackers:
            attacker.socket.close()
        eventually(answers)
        assert log.read_text().count("No connection can be accepted") == 1
        assert len(log.read_text()) < 2000
    finally:
        server.terminate()
        server.wait(10)


def answering_threads(*others: threading.Thread) -> int:
    """Count the threads of servers, but for others: those of an earlier test may be about to end."""
    threads = set(threading.enumerate()).difference(others)
    return sum(thread.name.startswith("waitress") for thread in threads)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While this event is not set, /healthz gives no answer; a thread waits for it."""
    gate = threading.Event()
    gate.set()
    send = photos.Site.send_health

    def wait_and_send(site: photos.Site, visit: photos.Visit) -> photos.Response:
        photos.leave_to_thread()
        gate.wait(20)
        return send(site, visit)

    monkeypatch.setattr(photos.Site, "send_health", wait_and_send)
    yield gate
    gate.set()


def test_threads_are_started_for_those_who_wait_and_end_with_the_rush(
    state: Path, connect: Connect, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "PEER_CONNECTIONS", 1000)
    monkeypatch.setattr(photos, "WAITING_THREADS", 24)
    monkeypatch.setattr(photos, "MAINTENANCE_SECONDS", 0.1)
    before = threading.enumerate()
    with serving(state) as port:
        for _ in range(10):
            assert request(port, "/feed.atom")[0] == 200
        # One that has answered may not rest yet when the next request comes.
        assert answering_threads(*before) <= 4
        gate.clear()
        waiting = [connect(port).send(HEALTH) for _ in range(photos.ANSWER_THREADS + 34)]
        most = photos.ANSWER_THREADS + photos.WAITING_THREADS
        eventually(lambda: answering_threads(*before) == most)
        time.sleep(0.2)
        assert answering_threads(*before) == most
        gate.set()
        assert all(b" 200 OK" in each.read() for each in waiting)
        eventually(lambda: answering_threads(*before) <= photos.ANSWER_THREADS)
        assert request(port, "/healthz")[0] == 200


def test_a_machine_without_a_thread_left_answers_with_those_that_there_are(
    state: Path, connect: Connect, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(state) as port:
        assert request(port, "/healthz")[0] == 200
        with monkeypatch.context() as patch:

            def refuse(thread: threading.Thread) -> None:
                raise RuntimeError("can't start new thread")

            patch.setattr(threading.Thread, "start", refuse)
            waiting = [connect(port).send(HEALTH) for _ in range(50)]
            assert all(b" 200 OK" in each.read() for each in waiting)
        gate.clear()
        waiting = [connect(port).send(HEALTH) for _ in range(50)]
        eventually(lambda: answering_threads() >= 50)
        gate.set()
        assert all(b" 200 OK" in each.read() for each in waiting)


# Originals


@pytest.mark.parametrize(
    ("line", "beginning", "end"),
    [
        ("GET /healthz", b"200 OK", b"ok\n"),
        ("HEAD /healthz", b"200 OK", b""),
        ("GET /", b"200 OK", b"</html>\n"),
        ("GET /timeline/1999/", b"404 Not Found", b"</html>\n"),
        ("GET /photo/none.jpg", b"404 Not Found", b"Not Found\n"),
        ("GET /logout", b"405 Method Not Allowed", b"</html>\n"),
    ],
)
def test_a_small_answer_leaves_with_its_head_at_once(
    state: Path,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    beginning: bytes,
    end: bytes,
) -> None:
    sent: list[bytes] = []
    send = photos.Channel.send

    def note(channel: photos.Channel, data: Any, do_close: bool = True) -> int:
        sent.append(bytes(data))
        return send(channel, data, do_close)

    monkeypatch.setattr(photos.Channel, "send", note)
    with serving(state) as port:
        for number in range(1, 3):
            answer = connect(port).send(f"{line} HTTP/1.1\nHost: localhost\n\n")
            first = answer.socket.recv(1_000_000)
            assert first.startswith(b"HTTP/1.1 " + beginning)
            assert first.rstrip(b"\n").endswith(end.rstrip(b"\n"))
            assert len(sent) == number


@pytest.fixture
def film(state: Path) -> Path:
    """A photo of many megabytes, each of them different, beside the other."""
    path = state.parent / "Album" / "long.jpg"
    draw(path, size=(64, 48))
    with path.open("ab") as file:
        file.writelines(bytes([number]) * 1_000_003 for number in range(48))
    return path


WHOLE = ORIGINAL.replace("one.jpg", "long.jpg")


def count_sendfile(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many bytes the system sends at each call."""
    sent: list[int] = []
    sendfile = os.sendfile

    def note(*arguments: Any) -> int:
        sent.append(sendfile(*arguments))
        return sent[-1]

    monkeypatch.setattr(os, "sendfile", note)
    return sent


def refuse(*_: object) -> int:
    raise OSError(errno.EINVAL, "not on this file system")


@pytest.mark.parametrize("way", ["uncopied", "refused", "not there"])
@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("", slice(None)),
        ("bytes=0-", slice(None)),
        ("bytes=3-9", slice(3, 10)),
        ("bytes=1000-30000000", slice(1000, 30_000_001)),
        ("bytes=-2000000", slice(-2_000_000, None)),
    ],
)
def test_an_original_arrives_byte_for_byte(
    film: Path,
    state: Path,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    asked: str,
    part: slice,
) -> None:
    sent = count_sendfile(monkeypatch)
    if way == "refused":
        monkeypatch.setattr(os, "sendfile", refuse)
    if way == "not there":
        monkeypatch.delattr(os, "sendfile")
    wanted = film.read_bytes()[part]
    ask = WHOLE.replace("\n\n", f"\nRange: {asked}\n\n") if asked else WHOLE
    with serving(state) as port:
        head, _, body = connect(port).send(ask).read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 206" if asked else b"HTTP/1.1 200")
    assert body == wanted
    is_long = len(wanted) > 2 * photos.BLOCK_BYTES
    assert (sum(sent) > len(wanted) / 2) == (way == "uncopied" and is_long)


@pytest.mark.parametrize("way", ["uncopied", "refused"])
@pytest.mark.parametrize("change", ["write", "write and put the time back", "cut", "empty"])
def test_a_file_that_changes_while_it_is_sent_ends_the_connection(
    film: Path,
    state: Path,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    change: str,
) -> None:
    if way == "refused":
        monkeypatch.setattr(os, "sendfile", refuse)
    status = film.stat()
    with serving(state) as port:
        reader = connect(port).send(WHOLE)
        assert reader.socket.recv(100).startswith(b"HTTP/1.1 200")
        with film.open("r+b") as file:
            file.seek(-100_000, os.SEEK_END)
            file.write(b"other")
        if change == "write and put the time back":
            os.utime(film, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif change != "write":
            os.truncate(film, {"cut": 20_000_000, "empty": 0}[change])
        assert len(reader.read()) < status.st_size
        assert request(port, "/healthz")[0] == 200


def test_a_file_is_open_only_while_it_is_sent(
    film: Path, state: Path, connect: Connect
) -> None:
    def is_open() -> bool:
        links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        with contextlib.suppress(OSError):
            return any(link.is_symlink() and link.readlink() == film for link in links)
        return True

    with serving(state) as port:
        reader = connect(port).send(WHOLE)
        reader.socket.recv(100)
        eventually(is_open)
        reader.read()
        eventually(lambda: not is_open())
        reader = connect(port).send(WHOLE.replace("GET", "HEAD"))
        assert reader.read().startswith(b"HTTP/1.1 200")
        eventually(lambda: not is_open())
        reader = connect(port).send(WHOLE)
        reader.socket.recv(100)
        reader.socket.close()  # who goes leaves nothing open
        eventually(lambda: not is_open())


def temporary_files() -> list[str]:
    """Return the files without a name that this process has open."""
    targets = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            targets.append(os.readlink(f"/proc/self/fd/{name}"))
    return [target for target in targets if target.endswith("(deleted)")]


@pytest.mark.parametrize("bytes_read", [0, 1], ids=["nothing", "a byte now and then"])
def test_who_takes_too_little_of_what_a_thread_sends_is_dropped(
    film: Path,
    state: Path,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    bytes_read: int,
) -> None:
    monkeypatch.setattr(photos, "WRAPPED_BYTES", 0)  # sent in blocks, as a ZIP is
    monkeypatch.setattr(photos, "SLOWEST_BLOCK_SECONDS", 0.3)
    monkeypatch.setattr(photos, "MAINTENANCE_SECONDS", 0.1)
    ended = threading.Event()
    close = photos.FilePart.close
    monkeypatch.setattr(photos.FilePart, "close", lambda part: (close(part), ended.set()))
    with serving(state) as port:
        attacker = connect(port).send(WHOLE)
        deadline = time.monotonic() + 15
        while not ended.is_set() and time.monotonic() < deadline:
            attacker.socket.recv(bytes_read)
            time.sleep(0.05)
        assert ended.is_set()
        assert len(attacker.read()) < film.stat().st_size


def test_what_waits_for_a_slow_reader_is_not_written_to_disk(
    film: Path, state: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "WRAPPED_BYTES", 0)
    before = temporary_files()
    with serving(state) as port:
        reader = connect(port).send(WHOLE)
        time.sleep(1)
        assert temporary_files() == before
        _, _, body = reader.read().partition(b"\r\n\r\n")
    assert body == film.read_bytes()


def test_a_visitor_is_watching_until_the_connection_ends(
    state: Path, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Callable[[], bool]] = []
    may_go_on = threading.Event()

    def wait(library: photos.Library, item: photos.Item, name: str, look: Any) -> Any:
        looks.append(look)
        assert may_go_on.wait(20)
        raise photos.NoPicture

    monkeypatch.setattr(photos.Library, "rendition", wait)
    with serving(state) as port:
        try:
            stays, leaves = connect(port), connect(port)
            for number, visitor in enumerate((stays, leaves), 1):
                visitor.send(ORIGINAL.replace("/photo/", "/thumbnail/"))
                eventually(lambda number=number: len(looks) == number)
            assert [look() for look in looks] == [True, True]
            leaves.socket.close()
            eventually(lambda: not looks[1]())
            assert looks[0]()
            stays.send(ORIGINAL)  # who asks for more already is still there
            assert looks[0]()
        finally:
            may_go_on.set()
