"""Photos of 48 megapixels and more: shown in little memory, or reported with what to do."""

from __future__ import annotations

import io
import os
import re
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from making import COLOURS
from PIL import Image, features
from processes import PATIENCE

import photos
import renditions
from renditions import Purpose

TILE = 512


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[photos.Worker]:
    worker = photos.Worker(tmp_path / "cache")
    yield worker
    worker.end()


def box(name: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", len(content) + 8, name) + content


class Tile:
    """The content and the properties of one tile of a colour."""

    def __init__(self, colour: tuple[int, ...]) -> None:
        heif = pytest.importorskip("pillow_heif")
        file = io.BytesIO()
        heif.from_pillow(Image.new("RGB", (TILE, TILE), colour)).save(file, quality=80)
        whole = file.getvalue()
        meta = renditions.read_meta("", whole)
        self.properties = renditions.primary_properties(meta)
        at = whole.index(b"mdat") + 4
        self.content = whole[at:]


def grid(width: int, height: int, *turns: bytes, places: int = 0) -> bytes:
    """Return a HEIC file of four colours, whose equal tiles are stored once (ISO/IEC 23008-12).

    `places`: bytes by which all but the first are said to lie further on than they do.
    """
    tiles = [Tile(colour) for colour in COLOURS]
    columns, rows = -(-width // TILE), -(-height // TILE)
    kinds = [
        2 * (y >= rows // 2) + (x >= columns // 2)
        for y in range(rows)
        for x in range(columns)
    ]
    shape = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    contents = [shape, *(tile.content for tile in tiles)]
    items = range(1, len(kinds) + 2)
    of_tile = [box(*each) for each in tiles[0].properties]
    size = box(b"ispe", bytes(4), struct.pack(">II", width, height))
    numbers = bytes(range(1, len(of_tile) + 1))
    of_photo = bytes(range(len(of_tile) + 1, len(of_tile) + 2 + len(turns)))
    owners = [(1, of_photo), *((item, numbers) for item in items[1:])]
    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic") + box(b"mdat", *contents)
    starts, at = [], 24 + 8
    for content in contents:
        starts.append((at, len(content)))
        at += len(content)
    located = [starts[0], *(starts[1 + kind] for kind in kinds)]
    return head + box(
        b"meta",
        bytes(4),
        box(b"hdlr", bytes(8), b"pict", bytes(13)),
        box(b"pitm", bytes(4), b"\0\1"),
        box(
            b"iloc",
            b"\0\0\0\0\x44\0",
            struct.pack(">H", len(items)),
            *(
                struct.pack(">HHHII", item, 0, 1, start + places * (item > 1), length)
                for item, (start, length) in zip(items, located, strict=True)
            ),
        ),
        box(
            b"iinf",
            bytes(4),
            struct.pack(">H", len(items)),
            *(
                box(b"infe", b"\2\0\0\0", struct.pack(">HH", item, 0), kind, b"\0")
                for item, kind in zip(
                    items, [b"grid", *[b"hvc1"] * len(kinds)], strict=True
                )
            ),
        ),
        box(
            b"iref",
            bytes(4),
            box(b"dimg", struct.pack(f">HH{len(kinds)}H", 1, len(kinds), *items[1:])),
        ),
        box(
            b"iprp",
            box(b"ipco", *of_tile, size, *turns),
            box(
                b"ipma",
                bytes(4),
                struct.pack(">I", len(items)),
                *(struct.pack(">HB", item, len(owned)) + owned for item, owned in owners),
            ),
        ),
    )


def peak(worker: photos.Worker) -> int:
    """Return the most memory that a worker had, MB; 0 where the system does not tell."""
    assert worker._process is not None
    if sys.platform != "linux":
        return 0
    status = Path(f"/proc/{worker._process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) >> 10


def corners(path: Path) -> list[tuple[int, ...]]:
    with Image.open(path) as image:
        small = image.convert("RGB").resize((8, 8), Image.Resampling.BOX)
    return [small.getpixel((x, y)) for y in (1, 6) for x in (1, 6)]  # type: ignore[misc]


def is_near(colours: list[tuple[int, ...]], wanted: list[tuple[int, ...]]) -> bool:
    pairs = zip(sum(colours, ()), sum(wanted, ()), strict=True)
    return all(abs(one - other) <= 8 for one, other in pairs)


# The order of the colours, and whether the sides change places.
TURNED = {
    "": ([0, 1, 2, 3], False),
    "irot 1": ([1, 3, 0, 2], True),
    "irot 2": ([3, 2, 1, 0], False),
    "irot 3": ([2, 0, 3, 1], True),
    "imir 0": ([2, 3, 0, 1], False),
    "imir 1": ([1, 0, 3, 2], False),
}


@pytest.mark.whole
@pytest.mark.parametrize("turn", TURNED)
def test_a_large_grid_is_shown_upright(
    turn: str, tmp_path: Path, worker: photos.Worker
) -> None:
    name, _, way = turn.partition(" ")
    turns = [box(name.encode(), bytes((int(way),)))] if name else []
    path = tmp_path / "a.heic"
    path.write_bytes(grid(8064, 6048, *turns))
    info = worker.develop(os.fspath(path), Purpose.ALL)
    assert not info.problem
    order, is_on_side = TURNED[turn]
    assert (info.width, info.height) == ((6048, 8064) if is_on_side else (8064, 6048))
    shown = corners(renditions.rendition_path(tmp_path / "cache", info.key, "preview"))
    assert is_near(shown, [COLOURS[kind] for kind in order]), shown
    assert peak(worker) < 200


@pytest.mark.whole
def test_all_pixels_of_48_megapixels_fit(tmp_path: Path, worker: photos.Worker) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(grid(8064, 6048))
    info = worker.develop(os.fspath(path), Purpose.FULL)
    assert not info.problem
    with Image.open(
        renditions.rendition_path(tmp_path / "cache", info.key, "full")
    ) as full:
        assert full.size == (8064, 6048)
    assert peak(worker) < 600


def test_all_pixels_are_halved_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renditions, "PIXELS_MEMORY", 240 << 20)  # of a machine with 1 GB
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8065, 6049), "#336699").save(path)
    info = renditions.develop(os.fspath(path), Purpose.FULL, tmp_path / "cache")
    assert (info.problem, info.width, info.height) == ("", 8065, 6049)
    with Image.open(
        renditions.rendition_path(tmp_path / "cache", info.key, "full")
    ) as full:
        assert full.size == (4032, 3024)


@pytest.mark.parametrize(
    ("size", "memory", "held", "side"),
    [
        ((5712, 4284), 240, 0, 5712),
        ((5712, 4284), 240, 180, 2856),
        ((5712, 4284), 240, 500, 2856),
        ((8064, 6048), 240, 0, 4032),
        ((8064, 6048), 924, 0, 8064),
        ((16320, 12240), 924, 0, 8160),
        ((30000, 1000), 924, 0, renditions.WEBP_SIDE),
    ],
)
def test_a_full_size_rendition_has_the_pixels_that_memory_allows(
    size: tuple[int, int],
    memory: int,
    held: int,
    side: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renditions, "PIXELS_MEMORY", memory << 20)
    assert renditions.full_side(size, held << 20) == side


SHARED, ALONE = 100, 101  # bytes


def begin(cache: Path, needed: int) -> threading.Event:
    """Begin something in a thread; the event says when it was let in."""
    is_begun = threading.Event()

    def run() -> None:
        with renditions.alone_where_large(cache, needed):
            is_begun.set()

    threading.Thread(target=run, daemon=True).start()
    return is_begun


@pytest.mark.skipif(sys.platform == "win32", reason="Windows opens no folder")
@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        (SHARED, SHARED, False),
        (SHARED, ALONE, True),
        (ALONE, SHARED, True),
        (ALONE, ALONE, True),
    ],
)
def test_what_needs_much_memory_is_made_alone(
    first: int, second: int, waits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renditions, "SHARED_MEMORY", SHARED)
    cache = tmp_path / "cache"
    cache.mkdir()
    with renditions.alone_where_large(cache, first):
        is_begun = begin(cache, second)
        assert is_begun.wait(0.2 if waits else 10) != waits
        is_third_begun = begin(cache, SHARED)
        if waits:
            assert not is_third_begun.wait(0.2), "or those who come later go first for ever"
    assert is_begun.wait(10)
    assert is_third_begun.wait(10)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows opens no folder")
def test_who_waits_or_needs_much_memory_first_gives_back_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back = threading.Semaphore(0)
    monkeypatch.setattr(renditions, "SHARED_MEMORY", SHARED)
    monkeypatch.setattr(renditions, "give_memory_back", given_back.release)
    cache = tmp_path / "cache"
    cache.mkdir()
    with renditions.alone_where_large(cache, SHARED):
        assert not given_back.acquire(blocking=False), "it would cost time with each photo"
    with renditions.alone_where_large(cache, ALONE):
        assert given_back.acquire(blocking=False)
        begin(cache, SHARED)
        assert given_back.acquire(timeout=PATIENCE)
    assert given_back.acquire(timeout=PATIENCE), "195 MB of a HEIC would stay for a minute"


def test_a_cache_that_is_not_there_yet_keeps_nobody_waiting(tmp_path: Path) -> None:
    with renditions.alone_where_large(tmp_path / "cache", renditions.MOST_MEMORY * 64):
        pass


@pytest.mark.parametrize(
    ("form", "small", "whole"),  # bytes a pixel: for a tenth of its sides, and for all
    [("PNG", 4, 10), ("TIFF", 7, 10), ("AVIF", 9.1, 19), ("WEBP", 15, 15)],
)
def test_what_a_photo_needs_is_told_before_it_is_decoded(
    form: str, small: float, whole: float
) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    file = io.BytesIO()
    Image.new("RGB", (400, 300)).save(file, form)
    with Image.open(file) as image:
        assert renditions.needed_memory(image, renditions.Look(), 40) == 120_000 * small
        assert renditions.needed_memory(image, renditions.Look(), 400) == 120_000 * whole


@pytest.mark.whole
def test_200_megapixels_need_little_memory(tmp_path: Path, worker: photos.Worker) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(grid(16320, 12240))
    info = worker.develop(os.fspath(path), Purpose.ALL)
    assert (info.problem, info.width, info.height) == ("", 16320, 12240)
    assert peak(worker) < 200


@pytest.mark.whole
@pytest.mark.parametrize("places", [1, 100, 1 << 30])
def test_tiles_that_are_not_where_they_should_be_are_reported(
    places: int, tmp_path: Path, worker: photos.Worker
) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(grid(8064, 6048, places=places))
    info = worker.develop(os.fspath(path), Purpose.ALL)
    assert info.problem and (info.width, info.height) == (8064, 6048)


def test_a_small_grid_whose_tiles_are_missing_is_reported(
    tmp_path: Path, worker: photos.Worker
) -> None:
    """Pillow_heif shows green there, and raises nothing."""
    path = tmp_path / "a.heic"
    path.write_bytes(grid(2 * TILE, 2 * TILE, places=1 << 30))
    info = worker.develop(os.fspath(path), Purpose.ALL)
    assert info.problem.startswith("damaged, shown as far as it goes: ")
    assert (info.partial, info.width, info.height) == (True, 2 * TILE, 2 * TILE)
    assert info.colour == "#808080"


@pytest.mark.whole
def test_a_cut_photo_of_a_phone_is_shown_up_to_where_it_is_cut(
    tmp_path: Path, samples: Path, worker: photos.Worker
) -> None:
    pytest.importorskip("pillow_heif")
    content = (samples / "heic" / "iphone7.heic").read_bytes()
    whole, cut = tmp_path / "whole.heic", tmp_path / "cut.heic"
    whole.write_bytes(content)
    cut.write_bytes(content[: len(content) // 2])
    shown = []
    for path in (whole, cut):
        info = worker.develop(os.fspath(path), Purpose.ALL)
        preview = renditions.rendition_path(tmp_path / "cache", info.key, "preview")
        shown.append(corners(preview))
    assert (info.problem != "", info.partial) == (True, True)
    assert is_near(shown[1][:2], shown[0][:2])
    assert is_near(shown[1][2:], 2 * [(128, 128, 128)])


@pytest.mark.whole
def test_threads_of_a_worker_share_their_memory(
    worker: photos.Worker, tmp_path: Path
) -> None:
    """Or an ordinary HEIC takes 700 MB of address space, and none is shown on a small machine."""
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "a.heic"
    heif.from_pillow(Image.new("RGB", (4032, 3024), "#336699")).save(path, quality=50)
    assert not worker.develop(os.fspath(path), Purpose.ALL).problem
    if sys.platform == "linux" and worker._process is not None:
        status = Path(f"/proc/{worker._process.pid}/status").read_text()
        [most] = re.findall(r"VmPeak:\s+(\d+) kB", status)
        assert int(most) < 450 << 10


@pytest.mark.whole
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_progressive_jpeg_too_large_to_be_read_is_not_called_damaged(
    subsampling: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its decoder keeps all of it until the last scan is read."""
    Image.init()
    path = tmp_path / "a.jpg"
    image = Image.new("RGB", (4000, 3000), "#336699")
    image.save(path, progressive=True, subsampling=subsampling)
    needed = 4000 * 3000 * 2 * (3 if subsampling == 0 else 3 / 2)
    for memory, is_shown in ((needed * 1.01, True), (needed * 0.99, False)):
        monkeypatch.setattr(renditions, "PIXELS_MEMORY", int(memory))
        info = renditions.develop(os.fspath(path), Purpose.ALL, tmp_path / str(memory))
        assert info.has_picture == is_shown
        assert (info.width, info.height) == (4000, 3000)
        assert is_shown or "export it smaller" in info.problem


# By name: the mode of the pixels, and the bytes that each takes at least.
KINDS = {
    "a.png": ("RGB", 4),
    "grey.png": ("L", 1),
    "clear.png": ("RGBA", 8),
    "deep.png": ("I;16", 8),
    "few.png": ("P", 5),
    "a.bmp": ("RGB", 4),
    "a.tif": ("RGB", 7),
    "a.webp": ("RGB", 15),
    "clear.webp": ("RGBA", 15),
    "a.avif": ("RGB", 9),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_needs_too_much_memory_is_refused_before_its_pixels_are_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode, size = KINDS[name]
    path = tmp_path / name
    Image.new(mode, (400, 300)).save(path)
    monkeypatch.setattr(renditions, "PIXELS_MEMORY", 400 * 300 * size - 1)
    monkeypatch.setattr(renditions.Image.Image, "load", lambda image: pytest.fail("loaded"))
    info = renditions.develop(os.fspath(path), Purpose.ALL, tmp_path / "cache")
    assert "export it smaller" in info.problem
    assert (info.width, info.height) == (400, 300)
    monkeypatch.undo()
    monkeypatch.setattr(renditions, "PIXELS_MEMORY", 400 * 300 * 20)
    assert not renditions.develop(os.fspath(path), Purpose.ALL, tmp_path / "cache").problem


@pytest.mark.parametrize(
    ("gigabytes", "most"), [(0.5, 240), (1, 256), (2, 512), (4, 924), (64, 924)]
)
def test_one_picture_takes_a_quarter_of_a_small_machine(
    gigabytes: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = int(gigabytes * 1024) << 20
    monkeypatch.setattr(renditions, "machine_memory", lambda: memory)
    monkeypatch.setattr(renditions, "WORKER_MEMORY", renditions._worker_memory())
    assert renditions._pixels_memory() >> 20 == most
