"""Attacks of minutes, in short: the front page comes throughout, the log stays short, memory comes back.

PHOTOS_ATTACK_SECONDS=180 makes each as long as people are patient, and then holds the front page to 2 s.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drawing import draw
from processes import Server, eventually

pytestmark = pytest.mark.whole

SECONDS = int(os.environ.get("PHOTOS_ATTACK_SECONDS", "6"))
IS_LONG = "PHOTOS_ATTACK_SECONDS" in os.environ
SLOWEST = 2.0 if IS_LONG else 10.0  # seconds; a machine that runs all tests is a slow one
LOG_BYTES = 1_000_000
GROWTH = 15 << 10  # kB that the server may keep of it all
STRANGERS = 40
TARGETS = (
    "/",
    "/album/Many/",
    "/api/album/Many",
    "/photo/Many/0.jpg",
    "/feed.atom",
    "/healthz",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server over an album of photos, one of several megabytes; all were looked at."""
    library = tmp_path / "Album"
    for number in range(30):
        draw(library / "Many" / f"{number}.jpg", colour=f"#0000{number:02x}")
    with (library / "Many" / "0.jpg").open("ab") as file:
        file.write(bytes(4_000_000))
    with Server(library) as server:
        for target in TARGETS:
            server.get(target)
        eventually(lambda: b"/29.jpg" in server.get("/album/Many/")[2])
        yield server


def memory_of(process: subprocess.Popen[bytes]) -> int:
    """Return the memory of a process alone, kB."""
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return int(re.findall(r"Pss:\s+(\d+) kB", rollup)[0])


def is_there(server: Server) -> bool:
    """Say whether the front page comes; a browser tries again, too, where a connection breaks."""
    with contextlib.suppress(OSError):
        return server.get("/")[0] == 200
    return False


@contextlib.contextmanager
def holding_out(server: Server) -> Iterator[Callable[[], bool]]:
    """Look at the front page until the attack is over; look at log and memory then.

    Yields a function that says whether the attack goes on.
    """
    for _ in range(20):
        server.get("/")
    before, log = memory_of(server.process), len(server.output)
    ends, slowest = time.monotonic() + SECONDS, 0.0
    yield lambda: time.monotonic() < ends
    while time.monotonic() < ends:
        started = time.monotonic()
        eventually(lambda: is_there(server))
        slowest = max(slowest, time.monotonic() - started)
        time.sleep(0.1)
    assert slowest < SLOWEST
    assert len(server.output) - log < LOG_BYTES
    eventually(lambda: memory_of(server.process) < before + GROWTH, seconds=60)


class Stranger(threading.Thread):
    """Opens, trickles, pipelines, reads little and aborts, at random."""

    def __init__(self, port: int, seed: int, goes_on: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._port, self._random, self._goes_on = port, random.Random(seed), goes_on

    def run(self) -> None:
        while self._goes_on():
            with contextlib.suppress(OSError):
                self._visit()

    def _visit(self) -> None:
        chance = self._random.random
        with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
            target = self._random.choice(TARGETS)
            request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            request *= self._random.choice((1, 1, 2, 50))
            if chance() < 0.2:
                request = self._random.randbytes(self._random.randrange(1, 30_000))
            while request and chance() < 0.98 and self._goes_on():
                length = self._random.choice((1, 7, len(request)))
                connection.sendall(request[:length])
                request = request[length:]
                time.sleep(0.1 * chance())
            while chance() < 0.9 and connection.recv(
                self._random.choice((1, 4096, 1 << 20))
            ):
                pass
            if chance() < 0.5:  # the next close is a reset
                connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, bytes([1] + [0] * 7)
                )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory")
def test_strangers_who_do_anything_at_random_stop_nobody(server: Server) -> None:
    with holding_out(server) as goes_on:
        strangers = [Stranger(server.port, seed, goes_on) for seed in range(STRANGERS)]
        for stranger in strangers:
            stranger.start()
    for stranger in strangers:
        stranger.join(10)


SLOW = {
    "heads": ("-H", "-c", "300", "-r", "100", "-i", "1"),
    "bodies": ("-B", "-c", "300", "-r", "100", "-i", "1", "-s", "60000"),
    "readers": (
        "-X",
        "-k",
        "3",
        "-c",
        "300",
        "-r",
        "100",
        "-w",
        "10",
        "-y",
        "20",
        "-n",
        "1",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory")
@pytest.mark.parametrize("kind", SLOW)
def test_slow_visitors_stop_nobody(kind: str, server: Server) -> None:
    program = shutil.which("slowhttptest")
    if not program and not os.environ.get("CI"):
        pytest.skip("slowhttptest is not installed")
    path = {"heads": "/", "bodies": "/login", "readers": "/photo/Many/0.jpg"}[kind]
    assert program
    command = [program, *SLOW[kind], "-l", str(SECONDS), "-u", f"{server.address}{path}"]
    with contextlib.ExitStack() as ends, holding_out(server):
        attack = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ends.callback(attack.wait, 10)
        ends.callback(attack.terminate)
