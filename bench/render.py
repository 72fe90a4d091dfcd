"""Compare the CPU that renditions cost with loops of Pillow that make as much.

    python bench/render.py CHECKOUT PHOTO [PHOTO ...]

CHECKOUT is a folder with `renditions.py`. Each photo is done by all in turn, after it was read once:
by worker processes of the checkout, as its server starts them, and here by the loops.
Prints JSON: the CPU seconds of one core for each photo, by what was done.

- The bare loop makes the same files from one decoding, with the scale, filters and settings of the
  checkout, but without orientation, colours, metadata or checksums: what is above it is the program's
  own, and what is below it is the memory that a worker uses again for the next photo.
- The plain loop is what one writes with Pillow alone: one decoding, `thumbnail` and WebP as they are by
  default, upright, without colours, metadata or checksums. It makes files of the same sizes and of as
  many bytes, at a quality that is looked for before.
"""

from __future__ import annotations

import bisect
import collections
import contextlib
import functools
import io
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from machine import fine_cpu_seconds
from PIL import Image, ImageOps

WARM_ROUNDS = 10  # before what is measured
PURPOSES = ("facts", "thumbnails", "all")
QUALITIES = range(1, 101)


class Rendition(NamedTuple):
    """What a file holds that a checkout made."""

    size: tuple[int, int]
    name: str
    format: str
    bytes: int


class Worker(NamedTuple):
    """A worker process of a checkout, and the folder that it fills."""

    process: subprocess.Popen[str]
    cache: Path

    def cpu_seconds_of(self, request: str) -> float:
        """Have a request done; return the CPU time that it took, as the system tells it."""
        assert self.process.stdin and self.process.stdout
        started = fine_cpu_seconds(self.process.pid)
        self.process.stdin.write(request)
        self.process.stdin.flush()
        self.process.stdout.readline()
        return fine_cpu_seconds(self.process.pid) - started


@contextlib.contextmanager
def started_worker(renditions: Any) -> Iterator[Worker]:
    """Start a worker; end it, and what it made, when nobody needs it any more."""
    with tempfile.TemporaryDirectory() as folder:
        command = renditions.worker_command(Path(folder))
        # a group of its own: a worker ends its whole group with the server
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            # Workers of earlier versions did not say when they have started.
            if hasattr(renditions, "IS_READY") and process.stdout:
                process.stdout.readline()
            yield Worker(process, Path(folder))


def describe(path: Path) -> Rendition:
    name = path.stem.rpartition("-")[2]
    with Image.open(path) as image:
        return Rendition(image.size, name, image.format or "", path.stat().st_size)


def made_in(folder: Path) -> list[Rendition]:
    """Return what renditions lie below a folder, the largest first."""
    files = [path for path in folder.rglob("*") if path.suffix in (".webp", ".jpg")]
    return sorted(map(describe, files), reverse=True)


def settings(renditions: Any, rendition: Rendition) -> Any:
    """Return how a checkout encodes a rendition. The settings were the same for all once."""
    if hasattr(renditions, "webp_options"):
        return renditions.webp_options(rendition.name, rendition.size)
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


def plain_pictures(path: str, wanted: list[Rendition]) -> Iterator[Image.Image]:
    """Yield what a person makes with Pillow alone, in the sizes of renditions; each from the one before."""
    side = max(wanted[0].size)
    with Image.open(path) as photo:
        shrink = side / max(photo.size)
        photo.draft(None, (int(photo.width * shrink), int(photo.height * shrink)))
        photo.thumbnail((side, side))
        picture = ImageOps.exif_transpose(photo)
    for rendition in wanted:
        side = max(rendition.size)
        picture.thumbnail((side, side))
        yield picture


def webp_bytes(picture: Image.Image, quality: int) -> int:
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality)
    return len(file.getvalue())


@functools.cache
def plain_qualities(path: str, wanted: tuple[Rendition, ...]) -> list[int]:
    """Return the qualities at which Pillow's WebP, as it is by default, takes as many bytes."""
    qualities = []
    for rendition, picture in zip(wanted, plain_pictures(path, [*wanted]), strict=True):
        bytes_at = functools.partial(webp_bytes, picture)
        nth = bisect.bisect_left(QUALITIES, rendition.bytes, key=bytes_at)
        near = QUALITIES[max(0, nth - 1) : nth + 1]
        qualities.append(min(near, key=lambda at: abs(bytes_at(at) - rendition.bytes)))
    return qualities


def make_plain(path: str, wanted: list[Rendition], qualities: list[int]) -> None:
    """Make files of the same sizes and bytes as a person would with Pillow alone."""
    with tempfile.TemporaryDirectory() as folder:
        pictures = plain_pictures(path, wanted)
        for rendition, quality, picture in zip(wanted, qualities, pictures, strict=True):
            picture.save(Path(folder, rendition.name), "WEBP", quality=quality)


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


def empty(folder: Path) -> None:
    """Delete what a worker made: only what is missing is made."""
    for path in folder.iterdir():
        shutil.rmtree(path)


def measure(
    renditions: Any, path: str, workers: dict[str, Worker], spent: dict[str, list[float]]
) -> None:
    """Do one photo in all ways."""
    Path(path).read_bytes()
    for purpose, worker in workers.items():
        request = renditions.encode_request(path, renditions.Purpose(purpose))
        spent[purpose].append(worker.cpu_seconds_of(request))
        wanted = made_in(worker.cache)
        before_bare = time.process_time()
        do_bare(renditions, path, wanted)
        spent[f"bare {purpose}"].append(time.process_time() - before_bare)
        if wanted:
            qualities = plain_qualities(path, tuple(wanted))
            before_plain = time.process_time()
            make_plain(path, wanted, qualities)
            spent[f"plain {purpose}"].append(time.process_time() - before_plain)
        empty(worker.cache)


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    import renditions  # that of the checkout

    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    photos = [str(Path(name).resolve()) for name in sys.argv[2:]]
    spent: dict[str, list[float]] = collections.defaultdict(list)
    with contextlib.ExitStack() as stack:
        workers = {
            purpose: stack.enter_context(started_worker(renditions)) for purpose in PURPOSES
        }
        # The first photo pays for what is loaded once, and Python makes functions faster that
        # were called eight times: a worker of a server has soon read more than that.
        for path in itertools.islice(itertools.cycle(photos), WARM_ROUNDS):
            measure(renditions, path, workers, collections.defaultdict(list))
        for path in photos:
            measure(renditions, path, workers, spent)
    json.dump(spent, sys.stdout)


if __name__ == "__main__":
    main()
