"""Compare the CPU that renditions cost with a bare Pillow loop that makes the same files.

    python bench/render.py CHECKOUT PHOTO [PHOTO ...]

CHECKOUT is a folder with `renditions.py`. Each photo is done by all in turn, after it was read once.
Prints JSON: the CPU seconds of one core for each photo, by what was done. The bare loop decodes
once, shrinks and saves, without orientation, colours or metadata: what any program on Pillow pays.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

PURPOSES = ("facts", "thumbnails", "all")


class Rendition(NamedTuple):
    """What a file holds that a checkout made."""

    size: tuple[int, int]
    format: str


def describe(path: Path) -> Rendition:
    with Image.open(path) as image:
        return Rendition(image.size, image.format or "")


def made_in(folder: Path) -> list[Rendition]:
    """Return what renditions lie below a folder, the largest first."""
    files = [path for path in folder.rglob("*") if path.suffix in (".webp", ".jpg")]
    return sorted(map(describe, files), reverse=True)


def make_bare(path: str, wanted: list[Rendition], options: dict[str, Any]) -> None:
    """Make the same files from one decoding, with nothing but Pillow."""
    with Image.open(path) as image, tempfile.TemporaryDirectory() as folder:
        for nth, rendition in enumerate(wanted):
            # The stored picture may lie on its side. The first of them decodes, at 1/2 or less.
            side = max(rendition.size)
            image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=1.0)
            file = Path(folder, str(nth))
            image.save(file, rendition.format, **options[rendition.format])


def read_bare(path: str) -> None:
    """Read what any program must: size, date, camera."""
    with Image.open(path) as image:
        image.getexif().get_ifd(0x8769).get(0x9003)


def do_bare(renditions: Any, path: str, wanted: list[Rendition]) -> None:
    """Do with nothing but Pillow what a purpose asks for."""
    if not wanted:
        return read_bare(path)
    jpeg = getattr(renditions, "JPEG_OPTIONS", {"quality": 80})
    return make_bare(path, wanted, {"WEBP": renditions.WEBP_OPTIONS, "JPEG": jpeg})


def measure(renditions: Any, path: str, spent: dict[str, list[float]]) -> None:
    """Do one photo in all ways."""
    Path(path).read_bytes()
    for purpose in PURPOSES:
        # Only what is missing is made: each purpose needs a folder of its own.
        with tempfile.TemporaryDirectory() as folder:
            started = time.process_time()
            renditions.develop(path, renditions.Purpose(purpose), Path(folder))
            middle = time.process_time()
            wanted = made_in(Path(folder))
            before_bare = time.process_time()
            do_bare(renditions, path, wanted)
            spent[f"bare {purpose}"].append(time.process_time() - before_bare)
            spent[purpose].append(middle - started)


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    import renditions  # that of the checkout

    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    ways = [*PURPOSES, *(f"bare {purpose}" for purpose in PURPOSES)]
    spent: dict[str, list[float]] = {way: [] for way in ways}
    # The first photo pays for what is loaded once.
    measure(renditions, sys.argv[2], {way: [] for way in ways})
    for path in sys.argv[2:]:
        measure(renditions, path, spent)
    json.dump(spent, sys.stdout)


if __name__ == "__main__":
    main()
