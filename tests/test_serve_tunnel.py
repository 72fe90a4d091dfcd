"""serve --tunnel: people outside come in through a stand-in for the tunnel's program."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from conftest import set_up
from drawing import draw
from outside import HOST, OTHER, StandIn, is_running
from processes import Server, Terminal, eventually, free_port, request, run
from visiting import PASSWORD

import photos

ORIGIN = {"Host": HOST, "Origin": f"https://{HOST}"}
FLAGS = ("--tunnel", "--yes")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    library = tmp_path / "library"
    draw(library / "Trip" / "a.jpg")
    draw(library / "Trip" / "Day 2" / "b.jpg")
    draw(library / "Secret.private" / "b.jpg")
    draw(library / "Ours.private+anna" / "b.jpg")
    return set_up(library)


def wait_until_open(server: Server, host: str = HOST) -> None:
    eventually(lambda: f"  https://{host}/\n" in server.output)


@pytest.fixture
def server(standin: StandIn, album: Path) -> Iterator[Server]:
    with Server(album, *FLAGS) as server:
        wait_until_open(server)
        yield server


def log_in(port: int, user: str, password: str, **headers: str) -> tuple[int, str]:
    """Return status and cookie."""
    form = urlencode({"user": user, "password": password})
    status, answer, _ = request(port, "/login", "POST", form, **headers)
    return status, answer.get("set-cookie", "")


@pytest.mark.whole
def test_visitors_outside_get_a_site_with_https(server: Server, standin: StandIn) -> None:
    status, _, body = request(standin.edge, "/album/Trip/", Host=HOST)
    assert status == 200 and f"https://{HOST}/".encode() in body  # the preview in chats
    assert request(standin.edge, "/album/Secret/", Host=HOST)[0] == 404
    feed = request(standin.edge, "/feed.atom", Host=HOST)[2].decode()
    assert set(re.findall(r'href="(\w+://[^/]+)', feed)) == {f"https://{HOST}"}
    status, cookie = log_in(standin.edge, "anna", PASSWORD, **ORIGIN)
    assert status == 303 and cookie.startswith("__Host-") and "Secure" in cookie
    named = {"Cookie": cookie.partition(";")[0], "Host": HOST}
    assert request(standin.edge, "/album/Secret/", **named)[0] == 200
    assert f"https://{HOST}/s/" in server.command("share", "Trip", "--for", "Grandma")
    assert f"People outside reach it at https://{HOST}/\n" in server.command("check")
    server.end(signal.SIGTERM)
    assert HOST not in server.command("check") + server.command("shares")


@pytest.mark.whole
def test_the_site_answers_to_its_names_and_to_no_other(
    server: Server, standin: StandIn
) -> None:
    home = f"127.0.0.1:{server.port}"
    for host in (HOST, home, f"192.168.1.20:{server.port}", f"attic.local:{server.port}"):
        assert server.get("/", Host=host)[0] == 200
    assert server.get("/", Host=OTHER)[0] == 421
    assert request(standin.edge, "/", Host=OTHER)[0] == 421
    # At home the site has no HTTPS: a cookie that needs it would be lost.
    status, cookie = log_in(
        server.port, "anna", PASSWORD, Host=home, Origin=f"http://{home}"
    )
    assert status == 303 and cookie.startswith("photos") and "Secure" not in cookie


@pytest.mark.whole
@pytest.mark.usefixtures("server")
def test_who_guesses_outside_is_told_apart_by_what_cloudflare_says(
    standin: StandIn,
) -> None:
    status = 0
    for number in range(21):
        named = {"X_Test_Visitor": "203.0.113.5", "X_Forwarded_For": f"198.51.100.{number}"}
        guess = f"user{number}", "not the right one"
        status, _ = log_in(standin.edge, *guess, **ORIGIN, **named)
    assert status == 429
    other = {**ORIGIN, "X_Test_Visitor": "203.0.113.6"}
    assert log_in(standin.edge, "anna", PASSWORD, **other)[0] == 303


@pytest.mark.whole
def test_another_address_is_the_sites_own_from_then_on(
    standin: StandIn, album: Path
) -> None:
    standin.say(hosts=f"{HOST}\n{OTHER}\n")
    with Server(album, *FLAGS) as server:
        wait_until_open(server)
        os.kill(standin.starts()[0]["pid"], signal.SIGKILL)
        wait_until_open(server, OTHER)
        assert (
            f"THE ADDRESS HAS CHANGED. Links with the old one are dead: https://{HOST}"
            in (server.output)
        )
        assert request(standin.edge, "/", Host=OTHER)[0] == 200
        assert request(standin.edge, "/", Host=HOST)[0] == 421
        assert f"https://{OTHER}/s/" in server.command("share", "Trip", "--for", "Ben")


@pytest.mark.whole
def test_tailscale_lets_people_in(standin: StandIn, album: Path) -> None:
    standin.say(hosts="attic.tail1234.ts.net")
    with Server(album, "--tunnel", "tailscale", "--yes") as server:
        wait_until_open(server, "attic.tail1234.ts.net")
        named = {"Host": "attic.tail1234.ts.net", "Origin": "https://attic.tail1234.ts.net"}
        assert log_in(standin.edge, "anna", PASSWORD, **named)[1].startswith("__Host-")


@pytest.mark.whole
def test_the_owners_own_tunnel_has_the_owners_address(
    standin: StandIn, album: Path
) -> None:
    token = album / ".photos" / "tunnel.token"
    token.write_text("very-secret\n")
    token.chmod(0o644)
    flags = ("--library", album, "serve", *FLAGS)
    address = "https://photos.example.org"
    refused = run(*flags, "--public-address", address)
    assert refused.returncode == 1 and f"chmod 600 {token}" in refused.stderr
    assert "tunnel.token" in run("--library", album, "check").stdout
    token.chmod(0o600)
    assert "--public-address" in run(*flags).stderr
    with Server(album, *FLAGS, "--public-address", address) as server:
        eventually(lambda: f"can open it:\n  {address}/\n" in server.output)
        assert request(standin.edge, "/", Host="photos.example.org")[0] == 200
    (start,) = standin.starts()
    assert start["token"] == "very-secret"
    assert "very-secret" not in str(start["arguments"]) + server.output


@pytest.mark.whole
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_tunnel_ends_with_the_server(
    number: signal.Signals, standin: StandIn, album: Path
) -> None:
    with Server(album, *FLAGS) as server:
        wait_until_open(server)
        assert server.end(number)[0] == 0
    assert not is_running(standin.starts()[0]["pid"])


@pytest.mark.whole
def test_what_a_killed_server_left_ends_at_the_next_start(
    standin: StandIn, album: Path
) -> None:
    with Server(album) as server:
        left = standin.start_alone()
        photos.TunnelNote(f"https://{HOST}", True, left, photos.birth_of(left)).write(
            server.state
        )
        with Server(album):  # beside one that serves, and whose tunnel that is
            assert is_running(left)
            server.end(signal.SIGKILL)
    with Server(album):
        eventually(lambda: not is_running(left))


@pytest.mark.whole
def test_nothing_is_opened_without_a_yes(standin: StandIn, album: Path) -> None:
    done = run("--library", album, "serve", "--tunnel")
    assert done.returncode == 1 and "--yes" in done.stderr
    assert "Strangers will find 2 albums with 2 photos.\n" in done.stdout
    assert "flagged" not in done.stdout
    assert standin.starts() == []


@pytest.mark.whole
def test_flagged_folders_are_named_before_it_opens(standin: StandIn, album: Path) -> None:
    draw(album / "Beach (private)" / "c.jpg")
    (album / "Odd.private-ish").mkdir()
    done = run("--library", album, "serve", "--tunnel")
    assert "Strangers will find 3 albums with 3 photos.\n" in done.stdout
    assert "2 folders are flagged: Beach (private), Odd.private-ish\n" in done.stdout


@pytest.mark.whole
@pytest.mark.usefixtures("standin")
def test_a_private_library_is_nothing_for_strangers(album: Path) -> None:
    private = album.rename(album.with_name("Ours.private"))
    done = run("--library", private, "serve", "--tunnel")
    assert done.stdout.startswith("Strangers will find nothing")


@pytest.mark.whole
@pytest.mark.parametrize("answer", ["n", "", "yes", "Y"])
def test_a_terminal_asks_before_it_opens(
    answer: str, standin: StandIn, album: Path
) -> None:
    flags = ("serve", "--port", str(free_port()), "--tunnel")
    with Terminal(*flags, folder=album) as terminal:
        terminal.answer(("Open it to everybody who has the address? [no] ", answer))
        if answer in ("yes", "Y"):
            terminal.expect(f"https://{HOST}/\n")
            terminal.expect("48;5;231")
            terminal.press(b"\x03")
        status = terminal.end()
    assert (status, len(standin.starts())) == ((0, 1) if answer in ("yes", "Y") else (1, 0))


@pytest.mark.whole
def test_a_missing_program_is_told_before_anything_is_asked(
    album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.fspath(album))
    for kind, program in photos.TUNNEL_PROGRAMS.items():
        done = run("--library", album, "serve", "--tunnel", kind)
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith(f"photos: The program {program} is missing here.")
        assert done.stderr.count("\n") == 1


@pytest.mark.whole
def test_a_tunnel_that_is_still_opening_ends_with_the_server(
    standin: StandIn, album: Path
) -> None:
    standin.say(is_slow="")
    with Server(album, *FLAGS) as server:
        pid = standin.wait_for_starts(1)["pid"]
        assert server.end(signal.SIGINT)[0] == 0
    assert not is_running(pid) and len(standin.starts()) == 1
