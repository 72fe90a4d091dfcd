"""Measure how fast an album leaves as a ZIP, beside its files one by one.

    python bench/album.py [GIGABYTES]

Linux, with curl and ffmpeg. The album holds films of 1 GB that take no room on the disk. Both take
turns, three times; printed are MB/s, CPU seconds a GB, the ratio, and the server's highest memory.
"""

from __future__ import annotations

import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import machine

GIGABYTE = 1 << 30
PORT = 8991
SITE = f"http://127.0.0.1:{PORT}"


def make_film(path: Path) -> None:
    """Make a film of one second, followed by a box of nothing."""
    source = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=10", "-t", "1"]
    subprocess.run(["ffmpeg", "-loglevel", "error", *source, path], check=True)
    with path.open("ab") as film:
        film.write(struct.pack(">I4sQ", 1, b"free", GIGABYTE - path.stat().st_size))
        film.truncate(GIGABYTE)


def ask(path: str) -> str:
    """Return a page, '' where there is none yet."""
    try:
        with urllib.request.urlopen(SITE + path) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.URLError:
        return ""


def wait_for_zip() -> str:
    """Return the ZIP's address as soon as there is one."""
    while True:
        if match := re.search(r'/zip/Films\?v=[^"&]*', ask("/zip/Films")):
            return match[0]
        time.sleep(1)


def fetch(path: str, pid: int) -> tuple[float, float]:
    """Return MB/s, and CPU seconds of the server a GB."""
    before = machine.cpu_seconds(pid)
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{size_download} %{time_total}"]
    output = subprocess.check_output([*command, SITE + path])
    size, seconds = map(float, output.split())
    return size / seconds / 1e6, (machine.cpu_seconds(pid) - before) / size * 1e9


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        films = [Path(folder, "Album", "Films", f"{number}.mp4") for number in range(count)]
        films[0].parent.mkdir(parents=True)
        for film in films:
            make_film(film)
        library, state = Path(folder, "Album"), Path(folder, "state")
        program = machine.photos_command(machine.HERE, library, state)
        serve = [*program, "serve", "--port", str(PORT)]
        server = subprocess.Popen(
            serve, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            compare(wait_for_zip(), films, server.pid)
        finally:
            server.terminate()
            server.wait()


def compare(address: str, films: list[Path], pid: int) -> None:
    ratios = []
    for _ in range(3):
        speed, cpu = fetch(address, pid)
        originals = [fetch(f"/photo/Films/{film.name}", pid) for film in films]
        plain, plain_cpu = map(statistics.median, zip(*originals, strict=True))
        ratios.append(speed / plain)
        print(
            f"ZIP {speed:5.0f} MB/s {cpu:.2f} s a GB; file {plain:5.0f} MB/s {plain_cpu:.2f} s a GB"
        )
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    memory = int(peak[1]) / 1024 if peak else 0
    print(f"ZIP ÷ file {statistics.median(ratios):.2f}; highest memory {memory:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
