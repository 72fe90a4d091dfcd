"""Measure whether the time of an answer tells that a private album exists.

    python bench/one_answer.py [REQUESTS]

A visitor asks for a private album, for an unknown one and for a misspelt one under the same parent,
in turn, as a page and as a thumbnail; warm, and cold: with the parent listed again each time. Prints
the medians in microseconds, and their ratio to the private album's.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import photos

ALBUMS = {"private": "Silly faces", "unknown": "Quiet days", "misspelt": "Silly facse"}
PAGES = {"page": "/album/Trip/{}/", "thumbnail": "/thumbnail/Trip/{}/one.jpg"}


def make_library(root: Path) -> Path:
    """Make a parent with twenty albums, one of them private."""
    names = ["Silly faces.private", *(f"Day {number}" for number in range(19))]
    for name in names:
        (root / "Trip" / name).mkdir(parents=True)
        Image.new("RGB", (60, 40)).save(root / "Trip" / name / "one.jpg")
    return root / "Trip"


def ask(app: photos.Site, path: str) -> float:
    """Return the seconds that a request takes, which must be answered with 404."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
    }
    setup_testing_defaults(environ)
    statuses: list[str] = []
    start = time.perf_counter()
    b"".join(app(environ, lambda status, headers, exc_info=None: statuses.append(status)))
    seconds = time.perf_counter() - start
    assert statuses == ["404 Not Found"], statuses
    return seconds


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "Album"
        parent = make_library(root)
        app = photos.create_app(root / ".photos", background=False)
        time.sleep(photos.SETTLE_SECONDS)
        for how in ("warm", "cold"):
            for kind, pattern in PAGES.items():
                spent: dict[str, list[float]] = {what: [] for what in ALBUMS}
                for number in range(requests):
                    # Each goes first as often as the others.
                    order = list(ALBUMS)[number % 3 :] + list(ALBUMS)[: number % 3]
                    for nth, what in enumerate(order):
                        if how == "cold":
                            moment = 3 * number + nth + 1
                            os.utime(parent, ns=(moment, moment))
                        spent[what].append(ask(app, pattern.format(ALBUMS[what])))
                medians = {what: statistics.median(times) for what, times in spent.items()}
                for what, median in medians.items():
                    ratio = median / medians["private"]
                    print(f"{how} {kind:10} {what:9} {median * 1e6:7.0f} µs  {ratio:.3f}")
        app.close()


if __name__ == "__main__":
    main()
