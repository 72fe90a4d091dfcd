"""The folder that says what befalls the stand-ins for cloudflared and tailscale, and what they did."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from processes import eventually

import photos

HOST, OTHER = "quiet-lake.trycloudflare.com", "new-hill.trycloudflare.com"
SCRIPT = """#!{python}
import sys
sys.path.insert(0, {tests!r})
import cloudflared
cloudflared.run_{program}()
"""


class StandIn:
    """Both programs in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._alone: list[subprocess.Popen[bytes]] = []
        for program in ("cloudflared", "tailscale"):
            tests = os.path.dirname(os.path.abspath(__file__))
            text = SCRIPT.format(python=sys.executable, tests=tests, program=program)
            (folder / program).write_text(text)
            (folder / program).chmod(0o755)
        self.say(hosts=HOST)

    def say(self, **files: str) -> None:
        """Write what befalls the programs."""
        for name, content in files.items():
            (self.folder / name).write_text(content)

    def starts(self) -> list[dict]:
        """Return how the programs were started, time after time."""
        path = self.folder / "starts"
        if not path.exists():
            return []
        return list(map(json.loads, path.read_text().splitlines(keepends=False)))

    def wait_for_starts(self, count: int) -> dict:
        """Wait until a program was started so many times; return how the last time."""
        return eventually(lambda: self.starts()[count - 1 :])[0]

    def start_alone(self) -> int:
        """Start a program that no server ends; return its id."""
        command = [os.fspath(self.folder / "tailscale"), "funnel", "9"]
        process = subprocess.Popen(command, start_new_session=True)
        self._alone.append(process)
        return process.pid

    @property
    def edge(self) -> int:
        """The port where visitors come in."""
        return int((self.folder / "edge").read_text())

    def end_all(self) -> None:
        """End what still runs of the programs."""
        for process in self._alone:
            process.kill()
            process.wait()
        for start in self.starts():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{start['pid']}/cmdline").read_bytes()
                if os.fsencode(self.folder) in command:
                    os.kill(start["pid"], signal.SIGKILL)


class Internet(socketserver.ThreadingTCPServer):
    """What lies between a phone and the stand-in: a proxy for browsers (CONNECT), which ends the TLS.

    It has a certificate of its own, made in a folder with openssl.
    """

    daemon_threads = True
    request_queue_size = 100  # a page asks for many pictures at once

    def __init__(self, standin: StandIn, folder: Path, openssl: str) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.standin = standin
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        files = ["-keyout", key, "-out", certificate, "-subj", "/CN=stand-in"]
        command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files]
        subprocess.run(command, check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def for_browsers(self) -> dict[str, Any]:
        """The options of a browser's window that goes through here."""
        proxy = {"server": f"http://127.0.0.1:{self.server_address[1]}"}
        return {"proxy": proxy, "ignore_https_errors": True}


class Connection(socketserver.BaseRequestHandler):
    """A connection of a browser, for one request: the stand-in closes it after its answer."""

    server: Internet

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            assert self.request.recv(65536).startswith(b"CONNECT ")
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            edge_address = ("127.0.0.1", self.server.standin.edge)
            with (
                self.server.tls.wrap_socket(self.request, server_side=True) as browser,
                socket.create_connection(edge_address) as edge,
            ):
                edge.sendall(read_request(browser))
                while block := edge.recv(65536):
                    browser.sendall(block)


def read_request(source: socket.socket) -> bytes:
    """Return a request with its body."""
    content = b""
    while b"\r\n\r\n" not in content:
        if not (block := source.recv(65536)):
            raise ConnectionError
        content += block
    head, _, body = content.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += source.recv(65536)
    return head + b"\r\n\r\n" + body


def is_running(pid: int) -> bool:
    return photos.birth_of(pid) != ""
