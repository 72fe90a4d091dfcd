"""Measure a drop of many JPEGs into a running server: first page, first thumbnails, memory.

    python bench/drop.py FOLDER_OF_JPEGS [COUNT]

Prints the seconds until the album's page first answers, until its first and twelfth thumbnail, the
slowest of the pages asked for meanwhile, the seconds until all renditions are made, and the largest
sum of memory (proportional set size) of the server and its workers.
"""

import itertools
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from html import unescape
from pathlib import Path

from machine import HERE, Server, get, get_plain, memory, serving


def main() -> None:
    source, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    photos = sorted(
        path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")
    )
    dropped = list(itertools.islice(itertools.cycle(photos), count))
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder)
        with serving(HERE, library, library / ".photos", "/healthz") as server:
            measure(server, library, dropped)


def measure(server: Server, library: Path, photos: list[Path]) -> None:
    pid, site = server
    print(f"idle server: {memory(pid):.0f} MB")
    drop = library / "incoming"
    drop.mkdir()
    for number, path in enumerate(photos):
        shutil.copyfile(path, drop / f"{number:05} {path.name}")
    drop.rename(library / "Drop")
    start = time.monotonic()
    page = get_plain(f"{site}/album/Drop/")
    print(
        f"first view of the album with {len(photos)} photos: {time.monotonic() - start:.2f} s"
    )
    thumbnails = [
        site + unescape(path)
        for path in re.findall(r'<img src="([^"]*/thumbnail/[^"]*)"', page)
    ]
    peak, slowest, done = [0.0], [0.0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            begun = time.monotonic()
            get(f"{site}/")
            slowest[0] = max(slowest[0], time.monotonic() - begun)
            peak[0] = max(peak[0], memory(pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    arrivals: list[float] = []

    def fetch(address: str) -> None:
        get(address)
        arrivals.append(time.monotonic() - start)

    threads = [threading.Thread(target=fetch, args=(address,)) for address in thumbnails]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arrivals.sort()
    print(
        f"thumbnails after {arrivals[0]:.2f} s, 12 after {arrivals[11]:.2f} s, {len(arrivals)} after {arrivals[-1]:.2f} s"
    )
    made = library / ".photos" / "cache"
    while sum(1 for _ in made.rglob("*-preview.webp")) < len(
        {os.path.getsize(p) for p in photos}
    ):
        if time.monotonic() - start > 600:
            break
        time.sleep(1)
    print(f"all renditions after {time.monotonic() - start:.0f} s")
    done.set()
    watcher.join()
    print(
        f"slowest front page meanwhile {slowest[0] * 1000:.0f} ms, most memory {peak[0]:.0f} MB"
    )


if __name__ == "__main__":
    main()
