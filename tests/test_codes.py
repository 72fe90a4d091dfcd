"""A link as a QR code on a terminal and a page, read back as a phone does; and the addresses beside it."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PHONE, log_in, set_up
from drawing import draw
from PIL import Image
from processes import Terminal, free_port
from scanning import code_lines, read_back, screenshot

import photos

HOME_NETWORK = "192.168.1.20"


@pytest.mark.parametrize(("ink", "paper"), [(255, 0), (0, 255), (180, 90)])
@pytest.mark.parametrize("path", ["", "s/" + "aB3_-" * 4 + "xy/", "album/%E6%97%A5/" * 12])
def test_a_code_is_read_on_dark_and_light_terminals(
    ink: int, paper: int, path: str, tmp_path: Path
) -> None:
    link = f"https://photos.example.org/{path}"
    lines = list(photos.qr_lines(link))
    assert read_back(screenshot(lines, ink, paper), tmp_path) == link


def test_a_code_for_an_address_fits_a_small_terminal() -> None:
    lines = list(photos.qr_lines("https://some-long-words-here-now.trycloudflare.com/"))
    assert len(lines) <= 21
    assert len(re.sub(r"\033\[[\d;]*m", "", lines[0])) <= 80


@pytest.mark.parametrize(
    ("encoding", "is_screen", "term", "columns", "is_drawn"),
    [
        ("utf-8", True, "xterm-256color", 80, True),
        ("UTF8", True, "", 33, True),
        ("utf-8", True, "xterm", 32, False),
        ("utf-8", False, "xterm", 80, False),
        ("utf-8", True, "dumb", 80, False),
        ("ascii", True, "xterm", 80, False),
        ("iso8859-1", True, "xterm", 80, False),
    ],
)
def test_codes_are_drawn_where_they_can_be_seen(
    encoding: str,
    is_screen: bool,
    term: str,
    columns: int,
    is_drawn: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr(out, "isatty", lambda: is_screen, raising=False)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(columns))
    photos.show_qr_code("https://example.org/")
    assert (b"48;5;231" in out.buffer.getvalue()) == is_drawn


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine named attic in a home network."""
    monkeypatch.setattr(photos, "network_host", lambda family=None: HOME_NETWORK)
    monkeypatch.setattr("socket.gethostname", lambda: "attic.lan")
    monkeypatch.setattr(photos, "LOOK_UP_SECONDS", 30.0)


def answer_names(number: str, seconds: float = 0) -> object:
    def look_up(name: str, port: None) -> list[tuple[object, ...]]:
        time.sleep(seconds)
        if not number:
            raise OSError(-2, "Name or service not known")
        assert name == "attic.local"
        return [(2, 1, 6, "", ("127.0.1.1", 0)), (2, 1, 6, "", (number, 0))]

    return look_up


@pytest.mark.parametrize(
    ("number", "seconds", "name"),
    [
        (HOME_NETWORK, 0, "attic.local"),
        ("", 0, ""),
        ("203.0.113.80", 0, ""),  # a provider that answers every name
        (HOME_NETWORK, 1, ""),
    ],
)
@pytest.mark.usefixtures("home")
def test_the_name_of_the_home_network_is_told_where_it_leads_here(
    number: str, seconds: float, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", answer_names(number, seconds))
    if seconds:
        monkeypatch.setattr(photos, "LOOK_UP_SECONDS", 0.2)
    assert photos.local_name() == name


@pytest.mark.parametrize(
    ("settings", "shown", "code"),
    [
        ({}, ["http://127.0.0.1:8080/"], ""),
        (
            {"host": "0.0.0.0"},
            [
                "http://127.0.0.1:8080/",
                "http://attic.local:8080/",
                f"http://{HOME_NETWORK}:8080/",
            ],
            f"http://{HOME_NETWORK}:8080/",
        ),
        (
            {"public_address": "https://example.org/pics"},
            ["http://127.0.0.1:8080/pics/", "https://example.org/pics/"],
            "https://example.org/pics/",
        ),
    ],
)
@pytest.mark.usefixtures("home")
def test_the_code_is_for_others_and_the_addresses_are_plain_text(
    settings: dict[str, str],
    shown: list[str],
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes: list[str] = []
    monkeypatch.setattr("socket.getaddrinfo", answer_names(HOME_NETWORK))
    monkeypatch.setattr(photos, "show_qr_code", codes.append)
    photos.show_addresses(photos.Config(**settings))
    assert capsys.readouterr().out == "\n  ".join(["Open:", *shown]) + "\n"
    assert "".join(codes) == code


@pytest.mark.whole
def test_who_serves_at_a_terminal_sees_the_code(tmp_path: Path) -> None:
    library = tmp_path / "Album"
    draw(library / "Trip" / "a.jpg")
    set_up(library)
    address = "https://photos.example.org"
    flags = ("--port", str(free_port()), "--public-address", address)
    with Terminal(*flags, folder=library) as terminal:
        terminal.expect("Ctrl-C stops it.")
        lines = code_lines(terminal.screen)
        assert read_back(screenshot(lines, 200, 20), tmp_path) == f"{address}/"


@pytest.mark.whole
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_code_of_a_link_for_guests_is_read_from_a_page(
    scheme: str, serve: Callable, open_window: Callable[..., Any], tmp_path: Path
) -> None:
    library = tmp_path / "Album"
    draw(library / "Trip" / "a.jpg")
    server = serve(set_up(library))
    server.command("share", "Trip", "--for", "Grandma")
    page = open_window(server.address, **PHONE, color_scheme=scheme)
    page.goto("/login")
    log_in(page)
    page.wait_for_url(f"{server.address}/")
    page.goto("/shares")
    page.get_by_role("link", name="Show").click()
    picture = Image.open(io.BytesIO(page.locator(".code").screenshot()))
    link = page.locator(".link a").inner_text()
    assert link.startswith(f"{server.address}/s/") and read_back(picture, tmp_path) == link
