"""Stand-ins for cloudflared and tailscale, for tests without a network.

They take the arguments of those programs, print what those print, and tell address and readiness where
those do: cloudflared's at its metrics server, Tailscale's as the answer to `tailscale funnel status`.
What visitors send to the port in the file `edge` of the folder STANDIN is passed on as Cloudflare and
Tailscale pass it on. Further files there say what befalls a program: `hosts` (one address a line, used
up start by start), `refuse` (a line that it ends with), `udp_is_blocked`, `is_slow`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

FOLDER = Path(os.environ.get("STANDIN", ""))
ARGUMENTS = sys.argv[1:]
PIPE_LINES = 3000  # more than a pipe holds
HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding")


def option(name: str) -> str:
    """Return what follows an option."""
    return ARGUMENTS[ARGUMENTS.index(name) + 1] if name in ARGUMENTS else ""


def say(level: str, text: str) -> None:
    """Print a line of the log, and wait until there is room for it."""
    print(f"2026-08-01T12:00:00Z {level} {text}", file=sys.stderr, flush=True)


def note_start() -> None:
    """Note how this program was started."""
    token = os.environ.get("TUNNEL_TOKEN", "")
    start = {"arguments": ARGUMENTS, "pid": os.getpid(), "token": token}
    with (FOLDER / "starts").open("a") as starts:
        starts.write(json.dumps(start) + "\n")


def take_host() -> str:
    """Return the address of this start."""
    path = FOLDER / "hosts"
    host, _, others = path.read_text().partition("\n")
    path.write_text(others or host)
    return host


class Doors(ThreadingHTTPServer):
    request_queue_size = 100  # a page asks for many pictures at once


def listen(handler: type[BaseHTTPRequestHandler], port: int = 0) -> int:
    """Serve on this machine in a thread; return the port."""
    server = Doors(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class Quiet(BaseHTTPRequestHandler):
    """A handler that logs nothing of its own."""

    def log_message(self, *_: object) -> None:
        pass


class Metrics(Quiet):
    """The metrics server of cloudflared."""

    host, is_ready = "", False

    def do_GET(self) -> None:
        status, answer = 404, {}
        if self.path == "/quicktunnel":
            status, answer = 200, {"hostname": self.host}
        elif self.path == "/ready":
            status = 200 if self.is_ready else 503
            answer = {"status": status, "readyConnections": int(self.is_ready)}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())


class Edge(Quiet):
    """What visitors reach: passes a request on as the provider and its program do."""

    origin, is_cloudflare, has_foreign_rules = "", True, False  # no origin: no rules at all

    def do_GET(self) -> None:
        self.pass_on()

    def do_POST(self) -> None:
        self.pass_on()

    def pass_on(self) -> None:
        if self.has_foreign_rules:  # those of another tunnel know no such hostname
            self.send_error(404)
            return
        if not self.origin:
            self.send_error(503)
            return
        say("INF", f"{self.command} {self.path}")
        origin = urlsplit(self.origin)
        length = int(self.headers.get("Content-Length", 0))
        connection = http.client.HTTPConnection(origin.hostname or "", origin.port)
        with contextlib.closing(connection):
            body = self.rfile.read(length)
            connection.request(self.command, self.path, body, self.passed_headers())
            answer = connection.getresponse()
            content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name not in HOP_BY_HOP:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def passed_headers(self) -> dict[str, str]:
        """Return a request's headers; X-Test-Visitor is who sent it."""
        headers = dict(self.headers.items())
        visitor = headers.pop("X-Test-Visitor", "203.0.113.9")
        before = headers.pop("X-Forwarded-For", "")
        headers |= {"X-Forwarded-For": visitor, "X-Forwarded-Proto": "https"}
        if self.is_cloudflare:  # adds to what the visitor sent, Tailscale does not
            if before:
                headers["X-Forwarded-For"] = f"{before},{visitor}"
            headers["CF-Connecting-IP"] = visitor
        return headers


def open_edge(origin: str) -> None:
    """Let visitors in."""
    Edge.origin = origin
    (FOLDER / "edge").write_text(str(listen(Edge)))


def stay() -> None:
    """Run until somebody ends this."""
    while True:
        time.sleep(1)


def run_cloudflared() -> None:
    """What `cloudflared tunnel` does."""
    note_start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    say("INF", "Requesting new quick Tunnel on trycloudflare.com...")
    refuse = FOLDER / "refuse"
    if refuse.exists():
        say("ERR", refuse.read_text())
        print("failed to unmarshal quick Tunnel: invalid character", file=sys.stderr)
        sys.exit(1)
    rules = Path(option("--config") or Path.home() / ".cloudflared" / "config.yml")
    Edge.has_foreign_rules = rules.exists() and rules.read_bytes() != b""
    Metrics.host = take_host()
    host, _, port = option("--metrics").partition(":")
    assert host == "127.0.0.1"
    listen(Metrics, int(port))
    if (FOLDER / "udp_is_blocked").exists() and option("--protocol") != "http2":
        reason = "failed to dial to edge with quic: timeout: no recent network activity"
        say("WRN", f'Failed to dial a quic connection error="{reason}" connIndex=0')
        stay()
    if (FOLDER / "is_slow").exists():
        stay()
    for number in range(PIPE_LINES):  # goes on only where somebody reads
        say("INF", f"Registered tunnel connection {number} protocol=quic")
    open_edge(option("--url"))
    Metrics.is_ready = True
    stay()


def run_tailscale() -> None:
    """What `tailscale funnel PORT` and `tailscale funnel status --json` do."""
    status = FOLDER / "status.json"
    if ARGUMENTS == ["funnel", "status", "--json"]:
        print(status.read_text() if status.exists() else "{}")
        return
    note_start()
    _, port = ARGUMENTS
    refuse = FOLDER / "refuse"
    if refuse.exists():
        print(refuse.read_text())
        sys.exit(1)
    name, origin = f"{take_host()}:443", f"http://127.0.0.1:{port}"
    Edge.is_cloudflare = False
    open_edge(origin)
    web = {name: {"Handlers": {"/": {"Proxy": origin}}}}
    part = {"Web": web, "AllowFunnel": {name: True}}
    status.write_text(json.dumps({"Foreground": {"session": part}}))
    stay()
