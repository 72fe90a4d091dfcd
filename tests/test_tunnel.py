"""Section "Tunnel": people outside reach the site, through programs that behave like the real ones."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from outside import HOST, OTHER, StandIn, is_running
from processes import eventually, request

import photos

OWN_ADDRESS = "https://photos.example.org"


class Opened(photos.Tunnel):
    """A tunnel that keeps which addresses it told, and how long it meant to rest."""

    def __init__(self, state: Path, token: str = "", **settings: str) -> None:
        self.told: list[str] = []
        config = photos.Config(**{"tunnel": "cloudflare", **settings})
        super().__init__(state, config, self.told.append, token)
        self.start()

    def wait_for(self, *hosts: str) -> None:
        """Wait until it has told these addresses."""
        eventually(lambda: self.told == [f"https://{host}" for host in hosts])


@pytest.fixture
def opened(
    standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Opened]]:
    """Open tunnels that rest a hundredth as long, and are closed after the test."""
    monkeypatch.setattr(photos, "SHORTEST_REST", 0.01)
    monkeypatch.setattr(photos, "LONGEST_REST", 0.6)
    monkeypatch.setattr(photos, "LOOKING_SECONDS", 0.05)
    tunnels = []

    def open_it(**options: str) -> Opened:
        (tmp_path / "cache").mkdir(exist_ok=True)
        tunnels.append(Opened(tmp_path, **options))
        return tunnels[-1]

    yield open_it
    for tunnel in tunnels:
        tunnel.close()


Opening = Callable[..., Opened]


def test_the_address_is_told_and_the_program_ends_with_us(
    opened: Opening, standin: StandIn, tmp_path: Path
) -> None:
    tunnel = opened()
    tunnel.wait_for(HOST)
    (start,) = standin.starts()
    words = start["arguments"]
    assert words[words.index("--url") + 1] == "http://127.0.0.1:8080"
    for flag in ("--no-autoupdate", "--metrics", "--grace-period", "--config"):
        assert flag in words
    tunnel.close()
    assert not is_running(start["pid"])
    assert photos.TunnelNote.read(tmp_path) == (f"https://{HOST}", False, 0, "")


def test_the_rules_of_another_tunnel_are_not_ours(
    opened: Opening, standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    monkeypatch.setenv("TUNNEL_TOKEN", "of another tunnel")
    rules = tmp_path / ".cloudflared" / "config.yml"
    rules.parent.mkdir()
    rules.write_text("tunnel: other\ningress:\n  - service: http_status:404\n")
    opened(port="9").wait_for(HOST)
    assert standin.starts()[0]["token"] == ""
    # No rule answers 404: the request goes on to port 9, where nobody is.
    with pytest.raises(OSError, match="without response"):
        request(standin.edge, "/")


@pytest.mark.whole
def test_a_tunnel_that_ends_is_opened_again_and_a_new_address_is_told_loudly(
    opened: Opening, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    standin.say(hosts=f"{HOST}\n{HOST}\n{OTHER}\n")
    tunnel = opened()
    tunnel.wait_for(HOST)
    os.kill(standin.starts()[0]["pid"], signal.SIGKILL)
    eventually(lambda: "open again" in caplog.text)
    assert tunnel.told == [f"https://{HOST}"] and "ADDRESS" not in caplog.text
    os.kill(standin.starts()[1]["pid"], signal.SIGKILL)
    tunnel.wait_for(HOST, OTHER)
    assert f"THE ADDRESS HAS CHANGED. Links with the old one are dead: https://{HOST}" in (
        caplog.text
    )


def test_an_address_that_is_another_one_than_at_the_last_start_is_told_loudly(
    opened: Opening, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos.TunnelNote(f"https://{OTHER}").write(tmp_path)
    opened().wait_for(HOST)
    assert f"are dead: https://{OTHER}" in caplog.text


@pytest.mark.whole
def test_where_udp_is_blocked_the_tunnel_takes_http2(
    opened: Opening, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    standin.say(udp_is_blocked="")
    opened().wait_for(HOST)
    assert "No tunnel: this network seems to let no UDP through" in caplog.text
    protocols = [start["arguments"].count("http2") for start in standin.starts()]
    assert protocols == [0, 1]
    assert not is_running(standin.starts()[0]["pid"])


@pytest.mark.whole
@pytest.mark.parametrize(
    "line",
    [
        'Error unmarshaling QuickTunnel response: <html> status_code="429 Too Many Requests"',
        'Error unmarshaling QuickTunnel response: error code: 1015 status_code="403 Forbidden"',
    ],
)
def test_who_asked_too_often_is_told_when_the_next_try_is(
    opened: Opening, standin: StandIn, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    standin.say(refuse=line)
    tunnel = opened()
    words = "No tunnel: Cloudflare gives out no more addresses for now. Next try in 0.6 s."
    eventually(lambda: words in caplog.text)
    (standin.folder / "refuse").unlink()
    tunnel.wait_for(HOST)
    assert caplog.text.count("Next try") == 1


def test_a_tunnel_that_has_ended_is_open_no_more(
    opened: Opening, standin: StandIn, tmp_path: Path
) -> None:
    opened().wait_for(HOST)
    assert photos.TunnelNote.read(tmp_path).is_open
    standin.say(refuse="error code: 1015")
    os.kill(standin.starts()[0]["pid"], signal.SIGKILL)
    standin.wait_for_starts(2)
    assert not photos.TunnelNote.read(tmp_path).is_open


@pytest.mark.whole
def test_the_rests_double_and_the_reason_is_the_programs_own(
    opened: Opening, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    standin.say(refuse="no such host api.trycloudflare.com at port 1015 or 429")
    opened()
    standin.wait_for_starts(8)
    rests = [record.args[1] for record in caplog.records]
    assert rests[:8] == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.6, 0.6][: len(rests)]
    assert "No tunnel: no such host api.trycloudflare.com" in caplog.text


def test_the_owners_own_tunnel_gets_its_token_by_the_environment(
    opened: Opening, standin: StandIn
) -> None:
    tunnel = opened(token="very-secret", public_address=OWN_ADDRESS)
    tunnel.wait_for("photos.example.org")
    (start,) = standin.starts()
    assert start["token"] == "very-secret"
    assert "very-secret" not in str(start["arguments"])
    assert start["arguments"][-3:] == ["--url", "http://127.0.0.1:8080", "run"]


@pytest.mark.whole
def test_tailscale_tells_its_address(opened: Opening, standin: StandIn) -> None:
    standin.say(hosts="attic.tail1234.ts.net")
    tunnel = opened(tunnel="tailscale")
    tunnel.wait_for("attic.tail1234.ts.net")
    (start,) = standin.starts()
    assert start["arguments"] == ["funnel", "8080"]
    tunnel.close()
    assert not is_running(start["pid"])


def test_what_tailscale_asks_for_is_told(
    opened: Opening, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    standin.say(
        refuse="Funnel is not enabled.\nTo enable, visit:\n\n  https://login.example/f"
    )
    opened(tunnel="tailscale")
    words = "Funnel is not enabled. To enable, visit: https://login.example/f. Next try in"
    eventually(lambda: words in caplog.text)


def test_the_address_of_a_funnel_is_that_which_leads_to_our_port() -> None:
    ours, other = "a.example.ts.net:443", "b.example.ts.net:443"
    web = {
        ours: {"Handlers": {"/": {"Proxy": "http://127.0.0.1:8080"}}},
        other: {"Handlers": {"/": {"Proxy": "http://127.0.0.1:3000"}}},
    }
    status = {"Web": web, "AllowFunnel": {ours: True, other: True}}
    assert photos.funnel_address(status, 8080) == "https://a.example.ts.net"
    assert photos.funnel_address({"Foreground": {"x": status}}, 8080)
    assert photos.funnel_address(status, 8081) == ""
    closed = {"Web": web, "AllowFunnel": {ours: False}}
    assert photos.funnel_address(closed, 8080) == ""


WITH_A_TUNNEL = """import pathlib, sys, time, photos
photos.LOOKING_SECONDS = 0.05
if sys.argv[2] == "keeps":
    photos.END_WITH_PARENT = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
tunnel = photos.Tunnel(
    pathlib.Path(sys.argv[1]), photos.Config(tunnel="cloudflare"), lambda address: print(address, flush=True), ""
)
tunnel.start()
time.sleep(60)"""


def kill_one_that_opened(
    standin: StandIn, state: Path, start_python: Callable, how: str
) -> int:
    """Kill a process whose tunnel was open; return the id of the tunnel's program."""
    (state / "cache").mkdir()
    process = start_python(WITH_A_TUNNEL, state, how)
    assert process.stdout.readline() == f"https://{HOST}\n"
    process.kill()
    process.wait()
    return standin.starts()[0]["pid"]


@pytest.mark.whole
@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such signal")
def test_a_process_that_was_killed_leaves_no_tunnel(
    standin: StandIn, tmp_path: Path, start_python: Callable
) -> None:
    left = kill_one_that_opened(standin, tmp_path, start_python, "ends")
    eventually(lambda: not is_running(left))


@pytest.mark.whole
def test_what_a_killed_process_left_ends_at_the_next_start(
    standin: StandIn, tmp_path: Path, start_python: Callable
) -> None:
    left = kill_one_that_opened(standin, tmp_path, start_python, "keeps")
    assert is_running(left)
    photos.end_left_tunnel(tmp_path)
    eventually(lambda: not is_running(left))
    assert photos.TunnelNote.read(tmp_path) == (f"https://{HOST}", False, 0, "")


@pytest.mark.whole
def test_a_tunnel_stays_open_where_nobody_reads_its_address(
    opened: Opening, standin: StandIn
) -> None:
    tunnel = opened()
    tunnel.wait_for(HOST)

    def fail(address: str) -> None:
        tunnel.told.append(address)
        raise BrokenPipeError

    tunnel._tell = fail
    standin.say(hosts=f"{OTHER}\n{HOST}\n")
    os.kill(standin.starts()[0]["pid"], signal.SIGKILL)
    tunnel.wait_for(HOST, OTHER)
    os.kill(standin.wait_for_starts(2)["pid"], signal.SIGKILL)
    tunnel.wait_for(HOST, OTHER, HOST)
