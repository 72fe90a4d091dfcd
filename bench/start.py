"""Measure CPU from the start of the server until it answers: from photos.pyz, and installed in an environment.

    python bench/start.py photos.pyz ENVIRONMENT [RUNS]

ENVIRONMENT is a virtual environment of the same Python with `pip install '.[heic]'`. The runs take
turns; the figures are medians of user and system time of the server process, s. Linux only.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from machine import cpu_seconds, free_port, running


def cpu_until_ready(command: list[str], library: Path, cache: str) -> float:
    """Return the CPU seconds that a server has used when it answers first."""
    port = free_port()
    options = ["--library", str(library), "--port", str(port)]
    environment = {"PHOTOS_CACHE_DIR": cache, "PYTHONDONTWRITEBYTECODE": ""}
    with running([*command, *options], port, "/healthz", environment) as server:
        return cpu_seconds(server.pid)


def main() -> None:
    """Run and print."""
    archive, environment = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 15
    python = os.fspath(environment / "bin" / "python")
    with tempfile.TemporaryDirectory() as folder:
        library, cache = Path(folder, "Album"), os.path.join(folder, "cache")
        library.mkdir()
        zipped, installed = (
            [python, os.fspath(archive)],
            [os.fspath(environment / "bin" / "photos")],
        )
        cold = [
            cpu_until_ready(zipped, library, os.path.join(folder, f"cold-{n}"))
            for n in range(5)
        ]
        for command in (zipped, installed):
            cpu_until_ready(command, library, cache)
        pairs = [
            [cpu_until_ready(each, library, cache) for each in (zipped, installed)]
            for _ in range(runs)
        ]
    warm, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"first start {statistics.median(cold):.2f} s, then {warm:.2f} s; installed {plain:.2f} s"
    )
    print(f"warm is {ratio:.2f} x installed (median of {runs} pairs)")


if __name__ == "__main__":
    main()
