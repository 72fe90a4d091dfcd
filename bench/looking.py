"""Measure what a first visitor waits for: seconds and bytes of the first photos."""

from __future__ import annotations

import contextlib
import html
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import libraries
import machine
from effort import Run
from machine import Server, get, get_plain
from report import Table
from serving import COPYPARTY, album_facts, serving_copyparty

FIRST_THUMBNAILS = 20
BARE_LOOP = """
import io, sys
from PIL import Image
for path in sys.argv[1:]:
    with Image.open(path) as image:
        image.thumbnail((480, 480), Image.Resampling.BICUBIC, reducing_gap=1.0)
        image.save(io.BytesIO(), "JPEG", quality=75)
"""


def fetch_all(addresses: list[str]) -> None:
    """Fetch as a browser does: six at a time."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(get, addresses))


def thumbnails_on(page: str) -> list[str]:
    """Return the address of one thumbnail of each photo on a page."""
    addresses = re.findall(r'"(/thumbnail/[^"\s]+)"', html.unescape(page))
    return list({address.partition("?")[0]: address for address in addresses}.values())


def look_at_first_album(server: Server) -> None:
    """Open the front page, its first album, and the first thumbnails there."""
    front = get_plain(server.address)
    album = re.search(r'href="(/album/[^"]+)"', front)
    if not album:
        raise RuntimeError("the front page names no album")
    page = get_plain(server.address + html.unescape(album[1]))
    addresses = thumbnails_on(page)[:FIRST_THUMBNAILS]
    if len(addresses) < FIRST_THUMBNAILS:
        print(f"only {len(addresses)} thumbnails on the first page", file=sys.stderr)
    fetch_all([server.address + address for address in addresses])


def look_at_copyparty(server: Server, album: Path) -> None:
    get(server.address)
    get(f"{server.address}/{quote(album.name)}/")
    photos = sorted(album.iterdir())[:FIRST_THUMBNAILS]
    fetch_all(
        [f"{server.address}/{quote(album.name)}/{quote(path.name)}?th=w" for path in photos]
    )


def note_look(
    table: Table,
    column: str,
    serving: contextlib.AbstractContextManager[Server],
    look: Callable[[Server], None],
) -> None:
    started = time.monotonic()
    with serving as server:
        look(server)
        table.note("s", column, time.monotonic() - started)
        table.note("CPU s meanwhile", column, machine.cpu_seconds(server.pid))


def note_bare_look(table: Table, album: Path) -> None:
    """Note what a loop of Pillow takes for one thumbnail of each, on all cores."""
    photos = sorted(album.iterdir())[:FIRST_THUMBNAILS]
    cores = os.cpu_count() or 1
    started = time.monotonic()
    commands = [
        [sys.executable, "-c", BARE_LOOP, *map(str, photos[nth::cores])]
        for nth in range(cores)
    ]
    with ThreadPoolExecutor(cores) as pool:
        spent = list(pool.map(machine.run_command, commands))
    table.note("s", "bare Pillow loop", time.monotonic() - started)
    table.note("CPU s meanwhile", "bare Pillow loop", sum(each.cpu for each in spent))


def measure_first_look(run: Run) -> None:
    title = f"From the start to the first album's {FIRST_THUMBNAILS} thumbnails, never seen, of 60 photos of 12 and 24 megapixels"
    table = run.new_table(title, "bare Pillow loop")
    library = run.folder / "trips"
    libraries.make_camera_library(library, run.photos, 3, FIRST_THUMBNAILS)
    album = library / "Trip 0"
    for number in range(run.effort.starts):
        for version, checkout, state in run.states(f"trips-{number}"):
            serving = machine.serving(checkout, library, state)
            note_look(table, version, serving, look_at_first_album)
        note_bare_look(table, album)
        if run.copyparty:
            serving = serving_copyparty(run, library, f"look-{number}")
            note_look(
                table, COPYPARTY, serving, lambda server: look_at_copyparty(server, album)
            )


SCREENS: dict[str, dict[str, Any]] = {
    "desktop, 1280 × 800, density 1": {"viewport": {"width": 1280, "height": 800}},
    "phone, 390 × 844, density 3": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 3,
        "is_mobile": True,
        "has_touch": True,
    },
}


IN_SIGHT = """
[...document.images].filter(image => image.getBoundingClientRect().top < innerHeight)
  .map(image => image.currentSrc)
"""


def bytes_of_first_screen(
    browser: Any, address: str, screen: Mapping[str, Any]
) -> tuple[int, int]:
    """Return the bytes that a browser with an empty cache takes for a page, unscrolled.

    And how many are left without the pictures that it loads ahead, below the screen.
    """
    context = browser.new_context(**screen)
    page = context.new_page()
    sizes: dict[str, float] = {}
    addresses: dict[str, str] = {}
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on(
        "Network.responseReceived",
        lambda event: addresses.update({event["requestId"]: event["response"]["url"]}),
    )
    session.on(
        "Network.loadingFinished",
        lambda event: sizes.update({event["requestId"]: event["encodedDataLength"]}),
    )
    page.goto(address, wait_until="networkidle")
    page.wait_for_timeout(500)
    in_sight = page.evaluate(IN_SIGHT)
    context.close()
    ahead = [
        size
        for request, size in sizes.items()
        if "/thumbnail/" in addresses[request] and addresses[request] not in in_sight
    ]
    return int(sum(sizes.values())), int(sum(sizes.values()) - sum(ahead))


def measure_bytes(run: Run) -> None:
    table = run.new_table(f"KB of the first screen of an album of {FIRST_THUMBNAILS}")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        print("playwright is not installed: no bytes of a first screen", file=sys.stderr)
        return
    library = run.folder / "album"
    libraries.make_camera_library(library, run.photos, 1, FIRST_THUMBNAILS)
    with sync_playwright() as playwright:
        try:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(
                executable_path=path, args=["--no-sandbox"]
            )
        except Error as error:
            print(f"no bytes of a first screen: {error.message}", file=sys.stderr)
            return
        for version, checkout, state in run.states("album"):
            machine.run_command(machine.photos_command(checkout, library, state, "index"))
            with machine.serving(checkout, library, state) as server:
                address = server.address + album_facts(server, "")["url"]
                for name, screen in SCREENS.items():
                    loaded, seen = bytes_of_first_screen(browser, address, screen)
                    table.note(f"{name}: in sight", version, seen / 1000)
                    table.note(f"{name}: with what is loaded ahead", version, loaded / 1000)
        browser.close()
