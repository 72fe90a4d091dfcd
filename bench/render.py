"""Compare the CPU that renditions cost with a bare Pillow loop that makes the same files.

    python bench/render.py CHECKOUT PHOTO [PHOTO ...]

CHECKOUT is a folder with `renditions.py`. Each photo is done by all in turn, after it was read once.
Prints JSON: the CPU seconds of one core for each photo, by what was done. The bare loop makes the
same files from one decoding, with the scale, filters and settings of the checkout, but without
orientation, colours, metadata or checksums: what is above it is the program's own.
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
    name: str
    format: str


def describe(path: Path) -> Rendition:
    name = path.stem.rpartition("-")[2]
    with Image.open(path) as image:
        return Rendition(image.size, name, image.format or "")


def made_in(folder: Path) -> list[Rendition]:
    """Return what renditions lie below a folder, the largest first."""
    files = [path for path in folder.rglob("*") if path.suffix in (".webp", ".jpg")]
    return sorted(map(describe, files), reverse=True)


def settings(renditions: Any, rendition: Rendition) -> Any:
    """Return how a checkout encodes a rendition. The settings were the same for all once."""
    if rendition.format == "JPEG":
        return renditions.JPEG_OPTIONS
    options = renditions.WEBP_OPTIONS
    return options.get(rendition.name, options)


def make_bare(renditions: Any, path: str, wanted: list[Rendition]) -> None:
    """Make the same files as a checkout did, with nothing but Pillow."""
    side, gap = max(wanted[0].size), 2.0
    resampling = renditions.RESAMPLING
    if wanted[0].name == renditions.PREVIEW:
        resampling = getattr(renditions, "PREVIEW_RESAMPLING", resampling)
    with Image.open(path) as image, tempfile.TemporaryDirectory() as folder:
        shrink = side / max(image.size)
        image.draft(None, (int(image.width * shrink), int(image.height * shrink)))
        for rendition in wanted:
            # The stored picture may lie on its side.
            side = max(rendition.size)
            image.thumbnail((side, side), resampling, reducing_gap=gap)
            resampling, gap = renditions.RESAMPLING, 1.5
            file = Path(folder, rendition.name)
            image.save(file, rendition.format, **settings(renditions, rendition))


def read_bare(path: str) -> None:
    """Read what any program must: size, date, camera."""
    with Image.open(path) as image:
        image.getexif().get_ifd(0x8769).get(0x9003)


def do_bare(renditions: Any, path: str, wanted: list[Rendition]) -> None:
    """Do with nothing but Pillow what a purpose asks for."""
    if wanted:
        make_bare(renditions, path, wanted)
    else:
        read_bare(path)


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
