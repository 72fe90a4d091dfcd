"""Measure large libraries: reading them, starting over them, their pages, and what they cost at rest."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import libraries
import machine
from effort import Run
from machine import HEADERS, Server, get
from report import Table
from serving import put_load

VISITS = " while the front page is asked for"
SAMPLES = 20  # photos whose renditions are made; a file can have 65,000 names (ext4)
SETTLED_SECONDS = 3.0  # until a file that was just written is read
READING_SECONDS = 150.0  # the longest that reading is waited for
SEEN_SECONDS = 1.2  # after which a server notices a changed folder
PASS_SECONDS = 5.0  # work after so long a pause is another pass
OLD = 1_400_000_000  # a folder's time, in the past: the program then believes it at once


class Large(NamedTuple):
    """The figures of a large library, and its servers, by version."""

    table: Table
    servers: dict[str, Server]


class Reading(NamedTuple):
    """How many photos' facts were read, and what that took."""

    photos: int
    seconds: float
    cpu: float


def open_index(state: Path) -> io.FileIO:
    """Wait for the file that facts are written to, a line for each photo, and open it."""
    while True:
        for path in (state / "cache").glob("index*"):
            return path.open("rb", buffering=0)
        time.sleep(0.02)


def read_photos(server: Server, state: Path, photos: int, *, is_visited: bool) -> Reading:
    """Wait until the facts of so many photos are read, or for as long as may be."""
    started, cpu = time.monotonic(), machine.cpu_seconds(server.pid)
    lines = 0
    with open_index(state) as index:
        while lines < photos and time.monotonic() - started < READING_SECONDS:
            if is_visited:
                get(server.address)
            else:
                time.sleep(0.1)
            lines += index.readall().count(b'\n["')
    cpu = machine.cpu_seconds(server.pid) - cpu
    return Reading(max(lines, 1), time.monotonic() - started, cpu)


def keys_in(state: Path) -> set[str]:
    """Return the keys that an index names, by which renditions are found."""
    text = b"".join(path.read_bytes() for path in (state / "cache").glob("index*"))
    keys = re.findall(rb"(?<![0-9a-f])[0-9a-f]{24}(?![0-9a-f])", text)
    return {key.decode() for key in keys}


def made_renditions(state: Path) -> dict[str, list[Path]]:
    """Return the renditions that were made, by key."""
    made: dict[str, list[Path]] = {}
    for path in (state / "cache").glob("renditions*/??/*-*.*"):
        made.setdefault(path.name.partition("-")[0], []).append(path)
    return made


def make_samples(checkout: Path, library: Path, state: Path) -> list[list[Path]]:
    """Return all renditions of a few photos, which a checkout makes in a library of their own."""
    few = state.with_name(f"{state.name}-few")
    few.mkdir()
    for photo in itertools.islice(library.glob("*/*.jpg"), SAMPLES):
        shutil.copy2(photo, few)
    own_state = few / ".photos"
    machine.run_command(machine.photos_command(checkout, few, own_state, "index"))
    return list(made_renditions(own_state).values())


def give_renditions(state: Path, samples: list[list[Path]]) -> None:
    """Let all photos have renditions, links to those of a few: to make them would take minutes."""
    for key, paths in zip(keys_in(state), itertools.cycle(samples), strict=False):
        for path in paths:
            folder = state / "cache" / path.parent.parent.name / key[:2]
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.link(path, folder / f"{key}-{path.name.partition('-')[2]}")


def note_reading(
    run: Run, library: Path, table: Table, name: str, visits: str = ""
) -> None:
    """Note how fast a server reads the facts of new photos."""
    row = f"new photos read{visits}"
    photos = sum(1 for _ in library.glob("*/*.jpg"))
    for version, checkout, state in run.states(name):
        with machine.serving(checkout, library, state, "/healthz") as server:
            reading = read_photos(server, state, photos, is_visited=bool(visits))
        give_renditions(state, make_samples(checkout, library, state))
        table.note(f"{row}, photos/s", version, reading.photos / reading.seconds)
        cost = reading.cpu / reading.photos * 1000
        table.note(f"{row}, CPU ms a photo", version, cost)


def note_settling(run: Run, library: Path, table: Table) -> None:
    """Note what a server does by itself until it knows all of new photos, as of checksums and words."""
    row = "until all is known of new photos"
    for version, checkout, state in run.states(library.name):
        started = time.monotonic()
        with machine.serving(checkout, library, state, "/healthz") as server:
            machine.wait_until_quiet(server.pid)
            table.note(f"{row}, s", version, time.monotonic() - started)
            table.note(f"{row}, CPU s", version, machine.cpu_seconds(server.pid))


def start_over(
    run: Run, library: Path, table: Table, servers: contextlib.ExitStack
) -> dict[str, Server]:
    """Start servers over a library that was read; leave the last of each version running."""
    last = {}
    for _ in range(run.effort.starts):
        servers.close()  # those of the round before
        for version, checkout, state in run.states(library.name):
            started = time.monotonic()
            server = servers.enter_context(machine.serving(checkout, library, state))
            row = "first front page after the start"
            table.note(f"{row}, s", version, time.monotonic() - started)
            table.note(f"{row}, CPU s", version, machine.cpu_seconds(server.pid))
            memory = machine.memory(server.pid)
            table.note("memory after the first front page, MB", version, memory)
            last[version] = server
    return last


def cold_cpu(server: Server, path: str, album: Path, moment: int) -> float:
    """Return the CPU seconds of a page after an album changed."""
    os.utime(album, (OLD + moment, OLD + moment))
    time.sleep(SEEN_SECONDS)
    before = machine.fine_cpu_seconds(server.pid)
    get(server.address + path)
    return machine.fine_cpu_seconds(server.pid) - before


def note_pages(
    run: Run, library: Path, table: Table, servers: Mapping[str, Server]
) -> None:
    """Note what pages cost in a library of that size, unchanged and after a change."""
    album = min(path for path in library.iterdir() if path.name != ".photos")
    paths = {"front page": "/", "album page of 100": f"/album/{quote(album.name)}/"}
    moments = itertools.count()
    for version, server in servers.items():
        size = len(get(server.address).body) / 1000
        table.note("front page, KB compressed", version, size)
        machine.wait_until_quiet(server.pid)
    turns = itertools.product(range(run.effort.starts), paths.items(), servers.items())
    for _, (page, path), (version, server) in turns:
        get(server.address + path)  # what the turn before changed is seen here
        load = put_load(server, path, 1, run.effort.seconds, HEADERS)
        spent = load.cpu / load.requests * 1000
        table.note(f"{page}, CPU ms, unchanged", version, spent)
        spent = cold_cpu(server, path, album, next(moments)) * 1000
        table.note(f"{page}, CPU ms, after its album changed", version, spent)


def measure_library(run: Run, photos: int, stack: contextlib.ExitStack) -> Large:
    """Measure one large library; leave its servers running."""
    albums = max(1, photos // libraries.ALBUM_PHOTOS)
    table = run.new_table(f"{photos:,} photos in {albums:,} albums")
    library = run.folder / f"large-{photos}"
    libraries.make_large_library(library, photos)
    time.sleep(SETTLED_SECONDS)
    note_reading(run, library, table, library.name)
    if photos == run.effort.visited:
        note_reading(run, library, table, "visited", VISITS)
    note_settling(run, library, table)
    servers = start_over(run, library, table, stack.enter_context(contextlib.ExitStack()))
    note_pages(run, library, table, servers)
    return Large(table, servers)


class Watched:
    """The CPU of an idle server, and how often it begins to work."""

    def __init__(self, server: Server) -> None:
        self.pid = server.pid
        self.first = self.last = machine.cpu_seconds(self.pid)
        self.worked = -PASS_SECONDS
        self.passes = 0

    def look(self) -> None:
        """Count a pass where work begins after a pause."""
        now, cpu = time.monotonic(), machine.cpu_seconds(self.pid)
        if cpu > self.last:
            if now - self.worked > PASS_SECONDS:
                self.passes += 1
            self.worked = now
        self.last = cpu


def note_idle(run: Run, measured: list[Large]) -> None:
    """Note what the background pass costs where nothing changes and nobody visits."""
    idle = [
        (table, version, server)
        for table, servers in measured
        for version, server in servers.items()
    ]
    for _, _, server in idle:
        machine.wait_until_quiet(server.pid)
    watched = [Watched(server) for _, _, server in idle]
    deadline = time.monotonic() + run.effort.idle_seconds
    while time.monotonic() < deadline:
        time.sleep(0.5)
        for each in watched:
            each.look()
    for (table, version, _), each in zip(idle, watched, strict=True):
        spent = each.last - each.first
        share = 100 * spent / run.effort.idle_seconds
        table.note("unchanged, nobody visits: % of a core", version, share)
        cost = spent / max(1, each.passes)
        table.note("unchanged, nobody visits: CPU s a pass", version, cost)


def measure_growth(run: Run) -> None:
    with contextlib.ExitStack() as stack:
        measured = [measure_library(run, photos, stack) for photos in run.effort.libraries]
        note_idle(run, measured)
