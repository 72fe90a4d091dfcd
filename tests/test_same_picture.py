"""The same picture everywhere: what a visitor zooms into looks like the preview before it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from making import (
    COLOURS,
    SIZE,
    STORED,
    chunk,
    encode,
    exif_block,
    quarters,
    raw_profile,
    segment,
    with_chunks,
    with_segments,
    xmp_packet,
)
from PIL import Image

import renditions
from renditions import Purpose

Colours = tuple[tuple[int, ...], ...]


class Seen(NamedTuple):
    """A picture as somebody sees it: its size, and the colours amid its quarters, on white."""

    size: tuple[int, int]
    colours: Colours

    def is_like(self, other: Seen, most: int = 8) -> bool:
        pairs = [
            (one, two)
            for mine, its in zip(self.colours, other.colours, strict=True)
            for one, two in zip(mine, its, strict=True)
        ]
        is_near = all(abs(one - two) <= most for one, two in pairs)
        return self.size == other.size and is_near


def seen(image: Image.Image) -> Seen:
    """Return what is seen of a picture."""
    small = image.convert("RGB").resize((8, 8), Image.Resampling.BOX)
    places = [small.getpixel((x, y)) for y in (2, 5) for x in (2, 5)]
    return Seen(image.size, tuple(map(tuple, places)))  # type: ignore[arg-type]


SHOW = """async address => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const {naturalWidth: width, naturalHeight: height} = image;
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext('2d');
    pen.fillStyle = 'white';
    pen.fillRect(0, 0, width, height);
    pen.drawImage(image, 0, 0);
    const places = [[1, 1], [3, 1], [1, 3], [3, 3]];
    return [[width, height], places.map(([x, y]) =>
        [...pen.getImageData(x * width / 4, y * height / 4, 1, 1).data].slice(0, 3))];
}"""


@pytest.fixture(scope="module")
def show(chromium: Any) -> Iterator[Callable[[bytes, str], Seen]]:
    """Shows a file in the browser."""
    page = chromium.new_page()

    def show_it(content: bytes, media_type: str) -> Seen:
        address = f"data:{media_type};base64,{base64.b64encode(content).decode()}"
        size, colours = page.evaluate(SHOW, address)
        return Seen(tuple(size), tuple(map(tuple, colours)))

    yield show_it
    page.close()


class Made(NamedTuple):
    info: renditions.Info
    preview: Seen
    full: Seen


@pytest.fixture
def make(tmp_path: Path) -> Callable[[bytes], Made]:
    """Makes the renditions of a file."""
    Image.init()

    def rendition(path: Path, purpose: Purpose, name: str) -> tuple[renditions.Info, Seen]:
        info = renditions.develop(os.fspath(path), purpose, tmp_path)
        assert not info.problem
        with Image.open(renditions.rendition_path(tmp_path, info.key, name)) as image:
            return info, seen(image)

    def make_it(content: bytes) -> Made:
        path = tmp_path / "a"
        path.write_bytes(content)
        info, preview = rendition(path, Purpose.ALL, renditions.PREVIEW)
        _, full = rendition(path, Purpose.FULL, renditions.FULL)
        return Made(info, preview, full)

    return make_it


# Turned


def turned(form: str, orientation: int = 6, **save: Any) -> bytes:
    stored = quarters()
    if orientation != 1:
        stored = stored.transpose(STORED[orientation])
    return encode(stored, form, **save)


def jpeg(*segments: bytes, orientation: int = 6) -> bytes:
    return with_segments(turned("JPEG", orientation, quality=95), *segments)


def png(*chunks: bytes, before: bytes = b"IDAT", orientation: int = 6) -> bytes:
    return with_chunks(turned("PNG", orientation), *chunks, before=before)


def app1(content: bytes) -> bytes:
    return segment(0xE1, content)


def exif(orientation: int = 6, **options: Any) -> bytes:
    return app1(b"Exif\0\0" + exif_block(orientation, **options))


XMP = app1(b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(6))
LATE = {"before": b"IEND"}
UPRIGHT = Seen(SIZE, COLOURS)
TURNED = {
    **{f"JPEG, EXIF {n}": jpeg(exif(n), orientation=n) for n in STORED},
    "JPEG, EXIF, big-endian": jpeg(exif(order=">")),
    "JPEG, EXIF behind XMP": jpeg(
        app1(b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(1)), exif()
    ),
    "JPEG, EXIF in a long number": jpeg(exif(kind=4)),
    "JPEG, EXIF twice": jpeg(exif(), exif(3)),
    "JPEG, XMP alone": jpeg(XMP),
    **{f"PNG, EXIF {n}": png(chunk(b"eXIf", exif_block(n)), orientation=n) for n in STORED},
    "PNG, EXIF after the pixels": png(chunk(b"eXIf", exif_block(6)), **LATE),
    "PNG, EXIF with the prefix of JPEG": png(chunk(b"eXIf", b"Exif\0\0" + exif_block(6))),
    "PNG, EXIF as text": png(raw_profile(exif_block(6))),
    "PNG, XMP alone": png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_packet(6))),
    "PNG, XMP after the pixels": png(
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_packet(6)), **LATE
    ),
    **{f"WebP, EXIF {n}": turned("WEBP", n, exif=exif_block(n)) for n in STORED},
    "WebP, XMP alone": turned("WEBP", xmp=xmp_packet(6)),
    **{f"AVIF, EXIF and boxes {n}": turned("AVIF", n, exif=exif_block(n)) for n in STORED},
    "AVIF, boxes alone": turned("AVIF", exif=exif_block(6)).replace(
        exif_block(6), exif_block(1)
    ),
    "AVIF, XMP, which does not count there": turned("AVIF", 1, xmp=xmp_packet(6)),
}


@pytest.mark.parametrize("name", TURNED)
def test_a_photo_is_upright_at_any_size(name: str, make: Any) -> None:
    made = make(TURNED[name])
    assert (made.info.width, made.info.height) == SIZE
    assert made.preview.is_like(UPRIGHT)
    assert made.full.is_like(UPRIGHT)


@pytest.mark.whole
@pytest.mark.parametrize("name", TURNED)
def test_an_original_that_browsers_do_not_turn_is_not_zoomed_into(
    name: str, make: Any, show: Any
) -> None:
    info = make(TURNED[name]).info
    if info.browser_shows:
        assert show(TURNED[name], info.media_type).is_like(UPRIGHT)


def test_an_ordinary_phone_photo_is_zoomed_in_its_original(make: Any) -> None:
    assert make(jpeg(exif())).info.browser_shows


def test_metadata_that_follow_the_pixels_of_a_png_are_read_before_them(
    tmp_path: Path,
) -> None:
    block = Image.Exif()
    block.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    late = chunk(b"eXIf", block.tobytes().removeprefix(b"Exif\0\0"))
    path = tmp_path / "a.png"
    path.write_bytes(with_chunks(turned("PNG", 1), late, before=b"IEND"))
    info = renditions.develop(os.fspath(path), Purpose.FACTS, tmp_path)
    assert (info.taken, info.problem) == ("2024-05-06T07:08:09", "")


def test_what_follows_the_end_of_a_png_is_not_read(make: Any) -> None:
    content = turned("PNG", 1) + chunk(b"eXIf", exif_block(6)) + b"\xff\xff\xff\xffiTXt"
    assert make(content).preview.is_like(UPRIGHT)
