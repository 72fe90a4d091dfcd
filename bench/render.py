"""Compare the CPU that renditions cost with a bare Pillow loop over the same photos.

    python bench/render.py PHOTO [PHOTO ...]

Medians over the photos, in CPU seconds of one core; each photo is done by all in turn, after one
pass that warms the disk cache. `bare 480` and `bare 1600` decode, shrink and save one JPEG, without
orientation, colour or metadata: what any program on Pillow has to pay.
"""

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import renditions
from renditions import Purpose


def bare(side: int, folder: Path) -> Callable[[str], object]:
    def run(path: str) -> None:
        with Image.open(path) as image:
            image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=1.0)
            image.convert("RGB").save(folder / "bare.jpg", quality=75)

    return run


def develop(purpose: Purpose, folder: Path) -> Callable[[str], object]:
    return lambda path: renditions.develop(path, purpose, folder)


def main() -> None:
    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    trials: dict[str, Callable[[Path], Callable[[str], object]]] = {
        "bare 480": functools.partial(bare, 480),
        "bare 1600": functools.partial(bare, 1600),
        "facts": functools.partial(develop, Purpose.FACTS),
        "thumbnails 320 + 640": functools.partial(develop, Purpose.THUMBNAILS),
        "all: 320 + 640 + 1920": functools.partial(develop, Purpose.ALL),
    }
    spent: dict[str, list[float]] = {trial: [] for trial in trials}
    for path in sys.argv[1:]:
        Path(path).read_bytes()
        for trial, prepare in trials.items():
            # Only what is missing is made: each trial needs a folder of its own.
            with tempfile.TemporaryDirectory() as folder:
                run = prepare(Path(folder))
                start = time.process_time()
                run(path)
                spent[trial].append(time.process_time() - start)
    floor = statistics.median(spent["bare 480"])
    for trial, seconds in spent.items():
        middle = statistics.median(seconds)
        print(f"{trial:24} {middle:.3f} s  ({middle / floor:.2f} x bare 480)")


if __name__ == "__main__":
    main()
