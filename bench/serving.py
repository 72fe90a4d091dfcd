"""Measure servers under load: pages, thumbnails and originals, beside a peer and the floors."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import libraries
import machine
from effort import Run
from machine import HEADERS, Server, free_port, get, get_plain, running
from report import AFTER

CONNECTIONS, MEDIA_CONNECTIONS, MOST_CONNECTIONS = 16, 4, 64
LONGEST_LOAD = 60  # for an answer that takes longer than a round, s

HELLO_SCRIPT = (
    "import bottle, sys, waitress; app = bottle.Bottle(); "
    "app.route('/', callback=lambda: 'hello'); "
    "waitress.serve(app, host='127.0.0.1', port=int(sys.argv[1]))"
)
NGINX_CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{port}; root {folder}/ready; }}
}}
"""
WRK_SCRIPT = """
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  print("figures", summary.requests, summary.duration, summary.bytes,
        latency:percentile(50), latency:percentile(99), failed)
end
"""


class Load(NamedTuple):
    """What a server did in one round, and what that took."""

    requests: int
    seconds: float
    bytes: int
    p50: float  # s
    p99: float  # s
    cpu: float  # s


def put_load(
    server: Server, path: str, connections: int, seconds: int, headers: Mapping[str, str]
) -> Load:
    """Ask for one path over and over, from a number of connections."""
    options = [word for pair in headers.items() for word in ("-H", ": ".join(pair))]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name]
        before = machine.cpu_seconds(server.pid)
        output = subprocess.check_output(
            [*command, *options, server.address + path], text=True
        )
        cpu = machine.cpu_seconds(server.pid) - before
    figures = re.search(r"^figures\s+(.*)", output, re.M)
    if not figures:
        raise RuntimeError(output)
    requests, microseconds, size, p50, p99, failed = map(float, figures[1].split())
    if not requests and seconds < LONGEST_LOAD:
        return put_load(server, path, connections, 4 * seconds, headers)
    if failed or not requests:
        print(f"{failed:.0f} of {requests:.0f} requests of {path} failed", file=sys.stderr)
    return Load(
        max(1, int(requests)), microseconds / 1e6, int(size), p50 / 1e6, p99 / 1e6, cpu
    )


class Site(NamedTuple):
    """A running server, and where on it each thing is that is asked for."""

    server: Server
    paths: dict[str, str]


ALBUM, FRONT, THUMBNAIL, ORIGINAL = (
    "album page of 50",
    "front page of 6 albums",
    "thumbnail",
    "original",
)
UNCHANGED = "album page, unchanged (304)"
HELLO, NGINX, COPYPARTY = "Bottle's hello", "nginx, ready files", "copyparty"
PAGES = (ALBUM, UNCHANGED, FRONT, THUMBNAIL)


def album_facts(server: Server, title: str) -> dict[str, Any]:
    """Return what the JSON of an album says; '' is the first that the front page names."""
    front = json.loads(get_plain(f"{server.address}/api/album"))
    address = next(
        album["url"] for album in front["albums"] if title in ("", album["title"])
    )
    facts: dict[str, Any] = json.loads(
        get_plain(f"{server.address}/api{address.rstrip('/')}")
    )
    return {**facts, "url": address}


def smallest_thumbnail(item: Mapping[str, Any]) -> str:
    thumbnails: dict[str, str] = item["thumbnails"]
    return thumbnails[min(thumbnails, key=int)]


def our_site(server: Server) -> Site:
    album, trip = album_facts(server, "Album 0"), album_facts(server, "Trip 0")
    paths = {
        ALBUM: album["url"],
        UNCHANGED: album["url"],
        FRONT: "/",
        THUMBNAIL: smallest_thumbnail(album["items"][0]),
        ORIGINAL: trip["items"][0]["original"],
    }
    return Site(server, paths)


def start_nginx(run: Run, stack: contextlib.ExitStack, ours: Site) -> Site:
    """Let nginx send what our server sent, from files."""
    ready = run.folder / "ready"
    ready.mkdir()
    port = free_port()
    paths = {}
    for nth, (case, path) in enumerate(ours.paths.items()):
        (ready / str(nth)).write_bytes(get(ours.server.address + path).body)
        paths[case] = f"/{nth}"
    config = run.folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(folder=run.folder, port=port))
    command = ["nginx", "-p", str(run.folder), "-c", str(config)]
    return Site(stack.enter_context(running(command, port, "/0")), paths)


def start_hello(stack: contextlib.ExitStack) -> Site:
    port = free_port()
    command = [sys.executable, "-c", HELLO_SCRIPT, str(port)]
    return Site(stack.enter_context(running(command, port)), dict.fromkeys(PAGES, "/"))


def serving_copyparty(
    run: Run, library: Path, history: str
) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    volume = ["-v", f"{library}::r", "--hist", str(run.folder / history)]
    return running([run.copyparty, "-q", "-i", "127.0.0.1", "-p", str(port), *volume], port)


def copyparty_paths(library: Path) -> dict[str, str]:
    album, trip = library / "Album 0", library / "Trip 0"
    photo = min(album.iterdir()).relative_to(library)
    original = min(trip.iterdir()).relative_to(library)
    return {
        ALBUM: "/Album%200/",
        FRONT: "/",
        THUMBNAIL: f"/{quote(str(photo))}?th=w",
        ORIGINAL: f"/{quote(str(original))}",
    }


def start_all(run: Run, stack: contextlib.ExitStack) -> dict[str, Site]:
    """Start all servers over one small library, all of it rendered."""
    library = run.folder / "small"
    libraries.make_small_library(library, (50, 5, 5, 5, 5))
    libraries.make_camera_library(library, run.photos[-1:], 1, 1)
    sites = {}
    for version, checkout, state in run.states("small"):
        machine.run_command(machine.photos_command(checkout, library, state, "index"))
        server = stack.enter_context(machine.serving(checkout, library, state))
        machine.wait_until_quiet(server.pid)
        sites[version] = our_site(server)
    sites[HELLO] = start_hello(stack)
    if machine.needed("nginx"):
        sites[NGINX] = start_nginx(run, stack, sites[AFTER])
    if run.copyparty:
        server = stack.enter_context(serving_copyparty(run, library, "history"))
        sites[COPYPARTY] = Site(server, copyparty_paths(library))
    return sites


def in_turn(
    run: Run, sites: Mapping[str, Site], case: str, connections: int
) -> Iterator[tuple[str, Load]]:
    """Put load on all sites that have a thing, round by round; each goes first as often."""
    columns = [column for column in sites if case in sites[column].paths]
    for number in range(run.effort.rounds):
        start = number % len(columns)
        for column in columns[start:] + columns[:start]:
            server, paths = sites[column]
            path, headers = paths[case], dict(HEADERS)
            if case == UNCHANGED:
                headers["If-None-Match"] = get(server.address + path).etag
            yield column, put_load(server, path, connections, run.effort.seconds, headers)


def measure_requests(run: Run, sites: Mapping[str, Site]) -> None:
    table = run.new_table(f"Requests, {CONNECTIONS} connections", HELLO)
    for case in PAGES:
        for column, load in in_turn(run, sites, case, CONNECTIONS):
            table.note(f"{case}: CPU ms a request", column, load.cpu / load.requests * 1000)
            table.note(f"{case}: requests/s", column, load.requests / load.seconds)
            table.note(f"{case}: p50, ms", column, load.p50 * 1000)
            table.note(f"{case}: p99, ms", column, load.p99 * 1000)


def measure_originals(run: Run, sites: Mapping[str, Site]) -> None:
    table = run.new_table(f"Originals, {MEDIA_CONNECTIONS} connections", NGINX)
    for column, load in in_turn(run, sites, ORIGINAL, MEDIA_CONNECTIONS):
        table.note("CPU s a GB", column, load.cpu / load.bytes * 1e9)
        table.note("MB/s", column, load.bytes / load.seconds / 1e6)


def measure_memory(run: Run, sites: Mapping[str, Site]) -> None:
    """Note the memory of the servers, which have not been asked for much yet, and after load."""
    table = run.new_table("Memory, MB")
    for column, (server, _) in sites.items():
        table.note("after the start", column, machine.memory(server.pid))
    for case in (ALBUM, THUMBNAIL):
        for server, paths in sites.values():
            put_load(server, paths[case], MOST_CONNECTIONS, run.effort.seconds, HEADERS)
    row = f"after pages and thumbnails for {MOST_CONNECTIONS} connections"
    for column, (server, _) in sites.items():
        table.note(row, column, machine.memory(server.pid))
