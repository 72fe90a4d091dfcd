"""Measure the whole program, beside an older one, a peer and the floors; write results.md and results.svg.

    python bench/bench.py [--quick] [--only PART] [--before REVISION_OR_FOLDER] [--photos FOLDER]
                          [--copyparty PROGRAM] [--out FOLDER]

Linux. Everything goes over the command line and HTTP, so an older checkout answers to the same.
Who is compared takes turns, round by round; the figures are medians, the ratios medians of the
rounds' ratios. CPU comes first: on a busy machine it is the figure that stays.

- `--photos`: a folder of JPEGs of 12 and 24 megapixels; otherwise such are drawn.
- `--copyparty`: the program of that peer. `python -m venv peer && peer/bin/pip install copyparty pillow`
- Both versions run from kept bytecode, as photos.pyz does.
- wrk (`apt-get install wrk`) asks; without it there are no figures of requests.
- nginx, and playwright with Chromium, are left out where they are missing.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import itertools
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import libraries
import machine
from effort import FULL, QUICK, Run
from growing import measure_growth
from looking import measure_bytes, measure_first_look
from report import AFTER, BEFORE, Rows, Table, write_report
from serving import measure_memory, measure_originals, measure_requests, start_all

LARGE_PHOTOS = 6  # of a folder of the caller's
LOOPS = {  # of bench/render.py
    "plain": "plain Pillow loop of the same bytes",
    "bare": "bare loop that makes the same files",
}
UNIT = "CPU ms a request, shorter is better"


def measure_renditions(run: Run) -> None:
    table = run.new_table(
        f"CPU ms a photo of 12 or 24 megapixels, {len(run.photos)} photos"
    )
    script = str(machine.HERE / "bench" / "render.py")
    for _ in range(run.effort.starts):
        for version, checkout in run.checkouts.items():
            command = [sys.executable, script, str(checkout), *map(str, run.photos)]
            spent: dict[str, list[float]] = json.loads(subprocess.check_output(command))
            for way, seconds in spent.items():
                table.note(way, version, statistics.mean(seconds) * 1000)
            for way, (loop, words) in itertools.product(
                ("thumbnails", "all"), LOOPS.items()
            ):
                ratio = statistics.mean(spent[way]) / statistics.mean(
                    spent[f"{loop} {way}"]
                )
                table.note(f"{way} ÷ {words}", version, ratio)


def measure_sites(run: Run) -> None:
    """Measure servers under load, side by side."""
    if not machine.needed("wrk"):
        return
    with contextlib.ExitStack() as stack:
        sites = start_all(run, stack)
        measure_memory(run, sites)
        measure_requests(run, sites)
        measure_originals(run, sites)


def measure_libraries(run: Run) -> None:
    """Measure libraries of 1,000 to 100,000 photos."""
    if machine.needed("wrk"):
        measure_growth(run)


PARTS = {
    "first": measure_first_look,
    "requests": measure_sites,
    "renditions": measure_renditions,
    "bytes": measure_bytes,
    "growth": measure_libraries,
}


def rows_to_plot(tables: list[Table]) -> Rows:
    """Return the rows of CPU a request."""
    rows: Rows = {}
    for table in tables:
        for name, row in table.rows.items():
            case, is_request, _ = name.partition(": CPU ms a request")
            page, is_page, state = name.partition(", CPU ms, ")
            if is_request:
                rows[case] = row
            elif is_page:
                rows[f"{table.title.partition(' in ')[0]}: {page}, {state}"] = row
    return rows


def revision_of(checkout: Path) -> str:
    """Return what a checkout calls itself."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty"]
    return subprocess.check_output(command, text=True).strip()


def words_of(arguments: argparse.Namespace, before: str) -> str:
    """Return the command line, without the folders of this machine."""
    words = ["python bench/bench.py"]
    if arguments.quick:
        words.append("--quick")
    if arguments.only:
        words.append(f"--only {arguments.only}")
    if before:
        words.append(f"--before {before}")
    if arguments.photos:
        words.append("--photos FOLDER")
    if arguments.copyparty:
        words.append("--copyparty PROGRAM")
    return " ".join(words)


def heading(arguments: argparse.Namespace, before: str, seconds: float) -> str:
    """Say where, when and how the figures were taken."""
    day = dt.datetime.now(dt.UTC).date()
    photos = "drawn for the purpose"
    if arguments.photos:
        photos = "those of a folder"
    return f"""# Figures

Written by `{words_of(arguments, before)}` at revision {revision_of(machine.HERE)} on {day}, in {seconds / 60:.0f} minutes,
on {os.cpu_count()} cores of {processor()}, with Python {platform.python_version()}. The large photos are {photos}.

All that is compared took turns in one run. Figures are medians; a ratio is the median of the rounds' ratios.
CPU is that of a server with all its processes, and the figure that stays where others work on the machine, too.
Bottle's hello, nginx and the bare Pillow loop do the least that such an answer can be: the floors.
"""


def processor() -> str:
    """Return the name of this machine's processor."""
    match = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    if match:
        return match[1]
    return platform.machine()


def checkout_of(text: str, folder: Path) -> tuple[Path, str]:
    """Return the folder and revision of an older version: a checkout, or a revision of this one."""
    if Path(text).is_dir():
        checkout = Path(text).resolve()
        return checkout, revision_of(checkout)
    checkout = folder / "before"
    checkout.mkdir()
    command = ["git", "-C", str(machine.HERE), "archive", text]
    archive = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", str(checkout)], check=True, input=archive)
    return checkout, text


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="without 100,000 photos")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--before", metavar="REVISION_OR_FOLDER", help="an older version")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEGs of cameras")
    parser.add_argument("--copyparty", default="", metavar="PROGRAM")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    return parser.parse_args()


def main() -> None:
    """Measure, and write."""
    arguments, started = parse_arguments(), time.monotonic()
    # Whoever ends this ends its servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    checkouts, before = {}, ""
    with tempfile.TemporaryDirectory(prefix="photos-bench-") as name:
        folder = Path(name)
        if arguments.before:
            checkouts[BEFORE], before = checkout_of(arguments.before, folder)
        checkouts[AFTER] = machine.HERE
        for checkout in checkouts.values():
            machine.keep_bytecode(checkout)
        photos = libraries.camera_photos(folder / "camera", arguments.photos, LARGE_PHOTOS)
        effort = FULL
        if arguments.quick:
            effort = QUICK
        run = Run(folder, checkouts, arguments.copyparty, photos, effort, [])
        try:
            for part, measure in PARTS.items():
                if arguments.only in (None, part):
                    measure(run)
        finally:
            text = heading(arguments, before, time.monotonic() - started)
            write_report(arguments.out, text, run.tables, rows_to_plot(run.tables), UNIT)


if __name__ == "__main__":
    main()
