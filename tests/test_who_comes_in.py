"""Whose address a request has, and whether it came by HTTPS: only a tunnel's program may say so."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from processes import free_port
from waitress import wasyncore

import photos

pytestmark = pytest.mark.whole

VISITOR, FORGED = "203.0.113.5", "198.51.100.7"
HOME, PROGRAM = (
    "127.0.0.2",
    "127.0.0.1",
)  # another device stands at an address of this machine
EDGE = {"X-Forwarded-Proto": "https", "X-Forwarded-For": f"{FORGED}, {VISITOR}"}


def tell_who(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
    """Answer with who asks, and how."""
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]]).encode()]


@contextlib.contextmanager
def serving(tunnel: str) -> Iterator[int]:
    """Serve as `serve --tunnel` does, from a thread; return the port."""
    config = photos.Config(
        port=free_port(), host="0.0.0.0", tunnel=tunnel, trusted_proxy="127.0.0.1"
    )
    server = photos.make_server(tell_who, config)
    has_ended = threading.Event()

    def run() -> None:
        while not has_ended.is_set():
            wasyncore.poll2(0.05, server.map)
        wasyncore.close_all(server.map)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield config.port
    has_ended.set()
    thread.join(10)
    server.task_dispatcher.shutdown()


def ask(port: int, source: str, headers: dict[str, str]) -> list[str]:
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=30, source_address=(source, 0)
    )
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={**headers, "Connection": "close"})
        return json.loads(connection.getresponse().read())


@pytest.mark.parametrize(
    ("tunnel", "source", "headers", "expected"),
    [
        ("cloudflare", PROGRAM, {**EDGE, "CF-Connecting-IP": VISITOR}, [VISITOR, "https"]),
        (
            "cloudflare",
            PROGRAM,
            {**EDGE, "cf-connecting-ip": "2001:db8::5"},
            ["2001:db8::5", "https"],
        ),
        # Nothing but Cloudflare's own header is believed; who lacks it comes from this machine.
        ("cloudflare", PROGRAM, EDGE, [PROGRAM, "https"]),
        ("cloudflare", PROGRAM, {}, [PROGRAM, "http"]),
        ("cloudflare", HOME, {**EDGE, "CF-Connecting-IP": FORGED}, [HOME, "http"]),
        ("cloudflare", HOME, {"CF_Connecting_IP": FORGED}, [HOME, "http"]),
        ("tailscale", PROGRAM, EDGE, [VISITOR, "https"]),
        ("tailscale", PROGRAM, {**EDGE, "CF-Connecting-IP": FORGED}, [VISITOR, "https"]),
        ("tailscale", HOME, {**EDGE, "CF-Connecting-IP": FORGED}, [HOME, "http"]),
        ("", PROGRAM, {**EDGE, "CF-Connecting-IP": FORGED}, [VISITOR, "https"]),
    ],
)
def test_only_the_program_of_the_tunnel_says_who_comes_in(
    tunnel: str, source: str, headers: dict[str, str], expected: list[str]
) -> None:
    with serving(tunnel) as port:
        assert ask(port, source, headers) == expected
