"""The log: what strangers send does not fill it, and what the owner has to know is in it."""

from __future__ import annotations

import io
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import waitress
from conftest import Clock, set_up
from processes import Server
from visiting import Client

import photos


@pytest.fixture
def lines(clock: Clock) -> Iterator[io.StringIO]:
    """What is written to the log as `main` sets it up."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(photos.LogBudget(clock))
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def write(text: str) -> None:
    photos.log.error("Exception while serving %s" % text)  # noqa: UP031


def test_lines_of_one_kind_are_written_once_a_minute_with_a_count(
    clock: Clock, lines: io.StringIO
) -> None:
    for number in range(1000):
        write(f"/{number}")
    clock.now += 59
    write("/late")
    clock.now += 2
    write("/next")
    write("/held back")
    clock.now += 61
    write("/last")
    assert lines.getvalue().splitlines() == [
        "Exception while serving /0",
        "Exception while serving /next (1000 more of this kind since the last)",
        "Exception while serving /last (1 more of this kind since the last)",
    ]


def test_other_kinds_are_written_meanwhile(lines: io.StringIO) -> None:
    for number in range(10):
        write(f"/{number}")
    photos.log.warning("%s", "the disk is full")
    logging.getLogger("waitress").warning("%d threads", 5)
    assert len(lines.getvalue().splitlines()) == 3


def test_of_each_damaged_state_file_the_log_tells_within_the_same_minute(
    user: Client, visitor: Client, library: Path, lines: io.StringIO
) -> None:
    paths = {user: "/", visitor: f"/s/{22 * 'a'}/"}
    for client, name in ((user, "users.json"), (visitor, "shares.json")):
        (library / ".photos" / name).write_text("[")
        for _ in range(3):
            client.get(paths[client])
    told = lines.getvalue()
    assert told.count("users.json is damaged") == told.count("shares.json is damaged") == 1


def test_the_log_says_of_the_links_that_are_damaged_what_is_so(
    user: Client, library: Path, lines: io.StringIO
) -> None:
    photos.UserStore(library / ".photos").make_owner("anna")
    (library / ".photos" / "shares.json").write_text("[")
    assert user.get("/shares").status == 503
    assert "shares.json is damaged" in lines.getvalue()
    assert "Until then what needs it is refused." in lines.getvalue()


@pytest.mark.whole
def test_three_minutes_of_an_attack_that_finds_a_fault_leave_a_short_log(
    site: photos.Site, clock: Clock, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos.Library, "album", lambda *_, **__: 1 / 0)
    visitor = Client(site)
    for _ in range(900):
        clock.now += 0.2
        path = "".join(random.choices("abcdefgh", k=200))
        assert visitor.get(f"/?{path}").status == 500
    log = lines.getvalue()
    assert log.count("ZeroDivisionError") == 3
    assert "more of this kind" in log
    assert len(log) < 20_000


@pytest.mark.parametrize("path", ["/", "/nothing", "/login", "/static/../x", "/%ff"])
def test_an_ordinary_request_leaves_no_line(
    path: str, visitor: Client, caplog: pytest.LogCaptureFixture
) -> None:
    visitor.get(path)
    visitor.request("POST", path, b"user=anna&password=wrong")
    assert caplog.records == []


@pytest.mark.parametrize(
    "head",
    [b"GET http://[::1/ HTTP/1.1", b"\x00\xff", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b"],
)
def test_a_request_that_makes_no_sense_has_a_path_for_the_log(head: bytes) -> None:
    # waitress names the path where somebody leaves before the refusal is sent.
    adjustments = waitress.adjustments.Adjustments()
    adjustments.is_behind_cloudflare = False
    parser = photos.Parser(adjustments)
    parser.received(head + b"\r\n\r\n")
    assert parser.error and isinstance(parser.path, str)


def test_all_settings_that_are_none_are_named(tmp_path: Path, lines: io.StringIO) -> None:
    (tmp_path / "config.json").write_text('{"version": 1, "titel": "x", "prot": 1}')
    photos.read_config(tmp_path)
    line = 'config.json: "prot" is not a setting, "titel" is not a setting\n'
    assert lines.getvalue() == line


FAULTY = """
import sys
sys.path.insert(0, {home!r})
import photos
photos.Library.album = lambda *_, **__: 1 / 0
sys.exit(photos.main(script="photos.py"))
"""


@pytest.mark.whole
def test_the_server_keeps_to_the_budget(library: Path, tmp_path: Path) -> None:
    set_up(library)
    program = tmp_path / "faulty.py"
    program.write_text(FAULTY.format(home=str(Path(photos.__file__).resolve().parent)))
    server = Server(library, program=program)
    with pytest.raises(AssertionError, match="ZeroDivisionError"), server:
        for number in range(50):
            assert server.get(f"/?{number}")[0] == 500
    assert server.output.count("ZeroDivisionError") == 1
    assert len(server.output) < 10_000
