"""Measure the CPU time that the server's own code takes for pages and media, without any network.

    python bench/pages.py LIBRARY [ADDRESS]

LIBRARY was indexed before; ADDRESS is an album's page, by default that of the first album. Beside the
album's page, new and unchanged, stand a thumbnail, the front page and a Bottle application that
says hello. The figures are medians of several rounds, ms of CPU a request.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from wsgiref.util import FileWrapper, setup_testing_defaults

sys.path.insert(0, str(Path(__file__).parent.parent))

import json

import bottle

import photos

ROUNDS, REQUESTS = 7, 100


def get(app: Any, address: str, **headers: str) -> tuple[dict[str, str], bytes]:
    """Send one request; return headers and body."""
    path, _, query = address.partition("?")
    environ: dict[str, Any] = {
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "HTTP_ACCEPT_ENCODING": "gzip",
        "wsgi.file_wrapper": FileWrapper,
        **headers,
    }
    setup_testing_defaults(environ)
    answers: list[dict[str, str]] = []
    blocks = app(
        environ,
        lambda status, pairs, exc=None: answers.append(
            {name.lower(): value for name, value in pairs}
        ),
    )
    body = b"".join(blocks)
    if hasattr(blocks, "close"):
        blocks.close()
    return answers[-1], body


def cost(ask: Callable[[], object]) -> float:
    """Return the CPU time of a request, ms: the median of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(REQUESTS):
            ask()
        rounds.append((time.process_time() - started) / REQUESTS * 1000)
    return statistics.median(rounds)


def forget_pages(app: photos.Site) -> None:
    app._kept = photos.kept_pages()
    app._library._surveys.clear()


def main() -> None:
    state = Path(sys.argv[1]) / photos.STATE_FOLDER
    app = photos.create_app(state, config=photos.Config(), background=False)
    front = json.loads(get(app, "/api/album", HTTP_ACCEPT_ENCODING="")[1])
    address = sys.argv[2] if len(sys.argv) > 2 else front["albums"][0]["url"]
    album = json.loads(get(app, f"/api{address.rstrip('/')}", HTTP_ACCEPT_ENCODING="")[1])
    thumbnail = album["items"][0]["thumbnails"]["320"]
    for _ in range(20):  # until all is read
        etag = get(app, address)[0]["etag"]
        time.sleep(0.1)
    hello = bottle.Bottle()
    hello.route("/", callback=lambda: "hello")

    def new_page() -> None:
        forget_pages(app)
        get(app, address)

    figures = {
        "Bottle's hello": cost(lambda: get(hello, "/")),
        f"album of {len(album['items'])}, made anew": cost(new_page),
        "the same, unchanged": cost(lambda: get(app, address)),
        "the same, 304": cost(lambda: get(app, address, HTTP_IF_NONE_MATCH=etag)),
        "front page, unchanged": cost(lambda: get(app, "/")),
        "thumbnail": cost(lambda: get(app, thumbnail)),
    }
    app.close()
    floor = figures["Bottle's hello"]
    for name, figure in figures.items():
        print(f"{name:30} {figure:7.3f} ms  ({figure / floor:5.1f} x hello)")


if __name__ == "__main__":
    main()
