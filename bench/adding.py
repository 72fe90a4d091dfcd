"""Measure how fast pages answer while guests add photos, and how fast these are added.

    python bench/adding.py [SENDERS] [PHOTOS]

So many senders, 8 by default, each add so many photos of some megabytes, 10 by default, with a link,
piece after piece as the page does; meanwhile the front page of 50 albums is asked for over and over.
Prints the page's median and 99th percentile, idle and then, and the megabytes a second.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import machine
from machine import HERE
from PIL import Image

ALBUMS = 50
PIXELS = (3000, 2000)
PIECE = 1 << 20
IDLE_SECONDS = 3.0
FLOOR = 0.100  # s, which the 99th percentile of the page must stay below
OWN = {"Sec-Fetch-Site": "same-origin"}


def draw_noise(path: Path, size: tuple[int, int]) -> None:
    """Draw a JPEG of noise, which takes as many bytes as a busy photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = random.Random(1).randbytes(size[0] * size[1] * 3)
    Image.frombytes("RGB", size, noise).save(path, quality=60)


def make_library(root: Path) -> None:
    """Make albums with a photo each, and one to which guests may add."""
    names = [f"Album {number}" for number in range(ALBUMS)] + ["Party.inbox"]
    for name in names:
        draw_noise(root / name / "first.jpg", (600, 400))


def run(root: Path, *arguments: str) -> str:
    """Run a command on the library; return what it prints."""
    command = [sys.executable, str(HERE / "photos.py"), "--library", str(root), *arguments]
    return subprocess.check_output(command, text=True, stdin=subprocess.DEVNULL)


def send(port: int, path: str, photo: Path, sender: int, count: int) -> None:
    """Add photos one after the other, no two of which are alike."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(count):
        # As with real photos, no two have the same size: these are compared byte for byte.
        content = photo.read_bytes() + bytes(1 + sender * count + number)
        query = {"name": f"{sender}-{number}.jpg", "size": len(content), "modified": 0}
        offset = 0
        while offset < len(content):
            address = f"{path}?{urlencode({**query, 'offset': offset})}"
            connection.request("PUT", address, content[offset : offset + PIECE], OWN)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status}: {text!r}")
            offset = json.loads(text).get("offset", len(content))


def time_pages(port: int, is_over: Callable[[], bool]) -> list[float]:
    """Ask for the front page until something is over; return the seconds of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    seconds = []
    while not is_over():
        start = time.perf_counter()
        connection.request("GET", "/", headers=machine.HEADERS)
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - start)
        if answer.status != 200:
            raise RuntimeError(f"The front page answered {answer.status}.")
        time.sleep(0.01)
    return seconds


def tell(name: str, seconds: list[float]) -> float:
    """Print the median and the 99th percentile; return the latter."""
    last = statistics.quantiles(seconds, n=100)[-1]
    median = statistics.median(seconds)
    print(
        f"front page, {name}: median {1000 * median:.1f} ms, 99 % {1000 * last:.1f} ms, {len(seconds)} answers"
    )
    return last


def measure(port: int, path: str, photo: Path, senders: int, count: int) -> None:
    """Print what the page takes while nothing is added, and while photos are."""
    end = time.monotonic() + IDLE_SECONDS
    tell("idle", time_pages(port, lambda: time.monotonic() > end))
    processes = [
        multiprocessing.Process(target=send, args=(port, path, photo, sender, count))
        for sender in range(senders)
    ]
    start = time.perf_counter()
    for process in processes:
        process.start()
    seconds = time_pages(port, lambda: not any(p.is_alive() for p in processes))
    took = time.perf_counter() - start
    if any(process.exitcode for process in processes):
        sys.exit("A photo was not added.")
    last = tell(f"{senders} adding", seconds)
    megabytes = senders * count * os.path.getsize(photo) / 1e6
    print(f"added: {megabytes:.0f} MB in {took:.1f} s, {megabytes / took:.1f} MB/s")
    print(f"floor of {1000 * FLOOR:.0f} ms: {'held' if last < FLOOR else 'MISSED'}")


def main() -> None:
    senders, count = map(int, [*sys.argv[1:3], *("8", "10")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        root, photo = Path(name) / "Album", Path(name) / "photo.jpg"
        make_library(root)
        draw_noise(photo, PIXELS)
        port = machine.free_port()
        command = [
            *(sys.executable, str(HERE / "photos.py"), "--library", str(root)),
            *("serve", "--port", str(port)),
        ]
        with machine.running(command, port) as server:
            words = run(root, "share", "Party", "--for", "Guests", "--add").split()
            (link,) = [word for word in words if "/s/" in word]
            machine.wait_until_quiet(server.pid)
            measure(port, f"{urlsplit(link).path}add/", photo, senders, count)


if __name__ == "__main__":
    main()
