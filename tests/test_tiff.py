"""TIFF as scanners and programs write it: shown right, or reported, never silently wrong."""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from making import COLOURS, SIZE, STORED, encode, quarters, tiff
from PIL import Image, ImageCms

import renditions
from renditions import Purpose

# Workers ignore what Pillow says of odd metadata.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

WIDTH, HEIGHT = SIZE
PIXELS = numpy.asarray(quarters()).astype(int)
GREY = numpy.asarray(quarters("L")).astype(int)
GREYS = tuple((int(GREY[y, x]),) * 3 for y in (0, HEIGHT - 1) for x in (0, WIDTH - 1))
HALF = tuple(tuple((value + 255) // 2 for value in colour) for colour in COLOURS)
ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
# The photometric interpretations of TIFF 6.0.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8
DEFLATE, PACKBITS = 8, 32773
Page = tuple[dict[int, Any], list[bytes]]


def tags(
    kind: int, bits: int, channels: int = 1, size: Any = SIZE, **more: Any
) -> dict[int, Any]:
    """Return the tags that a page needs; others as `t338=2`."""
    width, height = size
    needed = {256: width, 257: height, 258: [bits] * channels, 259: 1, 262: kind}
    needed |= {277: channels, 278: height}
    return needed | {int(name[1:]): value for name, value in more.items()}


def numbers(values: Any, bits: int, order: str = "<", kind: str = "u") -> bytes:
    scale = {8: 1, 16: 257, 32: 0x01010101}[bits] if kind == "u" else 1
    packed: bytes = (values * scale).astype(f"{order}{kind}{bits // 8}").tobytes()
    return packed


PLAIN: Page = (tags(RGB, 8, 3), [numbers(PIXELS, 8)])


@pytest.fixture
def develop(tmp_path: Path) -> Callable[..., renditions.Info]:
    Image.init()

    def develop_it(content: bytes, purpose: Purpose = Purpose.ALL) -> renditions.Info:
        path = tmp_path / "a.tif"
        path.write_bytes(content)
        return renditions.develop(os.fspath(path), purpose, tmp_path)

    return develop_it


@pytest.fixture
def shows(tmp_path: Path, develop: Any) -> Callable[..., None]:
    """Checks that a file is shown in four colours, one in each quarter."""

    def check(content: bytes, colours: Any = COLOURS, most: int = 8) -> None:
        info = develop(content)
        assert not info.problem
        assert (info.width, info.height, info.media_type) == (*SIZE, "image/tiff")
        path = renditions.rendition_path(tmp_path, info.key, renditions.PREVIEW)
        with Image.open(path) as image:
            assert image.size == SIZE
            small = image.convert("RGB").resize((8, 8), Image.Resampling.BOX)
        seen = [small.getpixel((x, y)) for y in (2, 5) for x in (2, 5)]
        assert numpy.abs(numpy.array(seen) - numpy.array(colours)).max() <= most, seen

    return check


# How numbers are stored


@pytest.mark.whole
@ORDERS
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("packing", [1, DEFLATE])
def test_channels_together_or_apart(
    bits: int, order: str, packing: int, shows: Any
) -> None:
    def pack(values: Any) -> bytes:
        content = numbers(values, bits, order)
        return zlib.compress(content) if packing == DEFLATE else content

    ink = numpy.concatenate([255 - PIXELS, PIXELS[:, :, :1] * 0], axis=2)
    for kind, values in ((RGB, PIXELS), (CMYK, ink)):
        count = values.shape[2]
        page = tags(kind, bits, count, t259=packing)
        shows(tiff((page, [pack(values)]), order=order))
        apart = [pack(values[:, :, channel]) for channel in range(count)]
        shows(tiff((page | {284: 2}, apart), order=order))


@ORDERS
@pytest.mark.parametrize("bits", [8, 16])
def test_strips_and_tiles(bits: int, order: str, shows: Any) -> None:
    padded = numpy.zeros((160, 240, 3), int)
    padded[:HEIGHT, :WIDTH] = PIXELS
    for channels in ([slice(None)], [0, 1, 2]):
        page = tags(RGB, bits, 3) | ({284: 2} if len(channels) > 1 else {})
        strips = [
            numbers(PIXELS[y : y + 10, :, channel], bits, order)
            for channel in channels
            for y in range(0, HEIGHT, 10)
        ]
        shows(tiff((page | {278: 10}, strips), order=order))
        tiles = [
            numbers(padded[y : y + 80, x : x + 80, channel], bits, order)
            for channel in channels
            for y in (0, 80)
            for x in (0, 80, 160)
        ]
        shows(tiff((page | {322: 80, 323: 80}, tiles), order=order))


@pytest.mark.parametrize("bits", [8, 16])
def test_differences_instead_of_numbers(bits: int, shows: Any) -> None:
    values = PIXELS * {8: 1, 16: 257}[bits]
    values[:, 1:] = (values[:, 1:] - values[:, :-1]) % (1 << bits)
    content = zlib.compress(values.astype(f"<u{bits // 8}").tobytes())
    shows(tiff((tags(RGB, bits, 3, t259=DEFLATE, t317=2), [content])))


def test_offsets_of_64_bits(shows: Any, develop: Any) -> None:
    shows(tiff(PLAIN, is_big=True))
    other = develop(tiff(PLAIN, is_big=True, order=">"))
    assert other.problem in ("", renditions.ODD_TIFF)


@pytest.mark.parametrize("packing", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_packing(packing: str, mode: str, shows: Any) -> None:
    quality = {"quality": 95} if packing == "jpeg" else {}
    content = encode(quarters(mode), "TIFF", compression=packing, **quality)
    shows(content, GREYS if mode == "L" else COLOURS)


def test_packbits_by_hand(shows: Any) -> None:
    rows = [numbers(row, 8) for row in PIXELS]
    packed = [
        b"".join(b"\x7f" + row[at : at + 128] for at in range(0, 512, 128))
        + b"\x3f"
        + row[512:]
        for row in rows
    ]
    page = tags(RGB, 8, 3, t259=PACKBITS, t278=16)
    strips = [b"".join(packed[at : at + 16]) for at in range(0, HEIGHT, 16)]
    shows(tiff((page, strips)))


def test_a_jpeg_inside_of_the_old_kind(shows: Any) -> None:
    content = encode(quarters(), "JPEG", quality=95, subsampling=0)
    shows(tiff((tags(YCBCR, 8, 3, t259=6), [content])))


# What numbers mean


@ORDERS
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_white_may_be_zero(bits: int, order: str, shows: Any, develop: Any) -> None:
    if bits == 1:
        content = numpy.packbits(GREY <= 110, axis=1).tobytes()
        wanted: Any = [(255 * (grey > 110),) * 3 for grey, *_ in GREYS]
    else:
        content, wanted = numbers(255 - GREY, bits, order), GREYS
    file = tiff((tags(WHITE_IS_ZERO, bits), [content]), order=order)
    if (bits, order) == (16, ">") and develop(file).problem:
        assert develop(file).problem == renditions.ODD_TIFF
    else:
        shows(file, wanted)


@pytest.mark.parametrize("packing", ["group3", "group4"])
def test_faxes(packing: str, shows: Any) -> None:
    image = Image.fromarray(GREY > 110)
    wanted = [(255 * (grey > 110),) * 3 for grey, *_ in GREYS]
    shows(encode(image, "TIFF", compression=packing), wanted)


def test_twelve_bits(shows: Any) -> None:
    first, second = GREY[:, 0::2] * 16, GREY[:, 1::2] * 16
    packed = numpy.stack(
        [first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=2
    )
    shows(tiff((tags(BLACK_IS_ZERO, 12), [numbers(packed, 8)])), GREYS)


def test_thirty_two_bits(shows: Any) -> None:
    shows(tiff((tags(BLACK_IS_ZERO, 32), [numbers(GREY, 32)])), GREYS)


@ORDERS
@pytest.mark.parametrize(("most", "is_inverted"), [(1, False), (255, False), (1, True)])
def test_fractions(order: str, most: int, is_inverted: bool, shows: Any) -> None:
    values = GREY / 255 * most
    kind = BLACK_IS_ZERO
    if is_inverted:
        values, kind = most - values, WHITE_IS_ZERO
    page = tags(kind, 32, t339=3)
    shows(tiff((page, [numbers(values, 32, order, "f")]), order=order), GREYS)


@ORDERS
def test_differences_of_fractions(order: str, shows: Any) -> None:
    """Source: Adobe Photoshop TIFF Technical Note 3: the bytes of a row lie apart."""
    planes = numpy.frombuffer((GREY / 255).astype(">f4").tobytes(), "u1")
    rows = (
        planes.reshape(HEIGHT, WIDTH, 4).transpose(0, 2, 1).reshape(HEIGHT, -1).astype(int)
    )
    rows[:, 1:] = (rows[:, 1:] - rows[:, :-1]) % 256
    page = tags(BLACK_IS_ZERO, 32, t259=DEFLATE, t339=3, t317=3)
    shows(tiff((page, [zlib.compress(numbers(rows, 8))]), order=order), GREYS)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("is_narrow", [False, True], ids=["16 bits", "8 bits"])
def test_palettes(bits: int, is_narrow: bool, shows: Any) -> None:
    places = numpy.zeros((HEIGHT, WIDTH), int)
    places[: HEIGHT // 2, WIDTH // 2 :] = 1
    places[HEIGHT // 2 :, : WIDTH // 2] = 2
    places[HEIGHT // 2 :, WIDTH // 2 :] = 3
    step = 8 // bits
    packed = sum(places[:, at::step] << (8 - bits * (at + 1)) for at in range(step))
    colours = [*COLOURS, *[(0, 0, 0)] * ((1 << bits) - 4)]
    scale = 1 if is_narrow else 257
    palette = [colour[channel] * scale for channel in range(3) for colour in colours]
    shows(tiff((tags(PALETTE, bits, t320=palette), [numbers(packed, 8)])))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("is_apart", [False, True])
@pytest.mark.parametrize(("extra", "wanted"), [(0, COLOURS), (1, HALF), (2, HALF)])
def test_a_fourth_channel(
    extra: int, wanted: Any, bits: int, is_apart: bool, shows: Any, develop: Any
) -> None:
    """Source: TIFF 6.0, section 18: 0 is anything, 1 premultiplied, 2 transparency alone."""
    colours = PIXELS * 128 // 255 if extra == 1 else PIXELS
    values = numpy.dstack([colours, numpy.full((HEIGHT, WIDTH), 128)])
    page, parts = tags(RGB, bits, 4, t338=extra), [numbers(values, bits)]
    if is_apart:
        page |= {284: 2}
        parts = [numbers(values[:, :, channel], bits) for channel in range(4)]
    file = tiff((page, parts))
    if develop(file).problem:  # reported is right, too
        assert is_apart
    else:
        shows(file, wanted)


@pytest.mark.parametrize("extra", [1, 2])
def test_grey_that_is_transparent(extra: int, shows: Any) -> None:
    grey = GREY * 128 // 255 if extra == 1 else GREY
    values = numpy.dstack([grey, numpy.full((HEIGHT, WIDTH), 128)])
    wanted = [((value + 255) // 2,) * 3 for value, *_ in GREYS]
    shows(tiff((tags(BLACK_IS_ZERO, 8, 2, t338=extra), [numbers(values, 8)])), wanted)


@pytest.mark.parametrize(("wide", "high"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("packing", [1, DEFLATE])
def test_brightness_denser_than_colour(
    wide: int, high: int, packing: int, shows: Any
) -> None:
    values = numpy.asarray(quarters("YCbCr"))
    units = []
    for y, x in itertools.product(range(0, HEIGHT, high), range(0, WIDTH, wide)):
        units += [*values[y : y + high, x : x + wide, 0].flatten(), *values[y, x, 1:]]
    content = bytes(map(int, units))
    if packing == DEFLATE:
        content = zlib.compress(content)
    shows(tiff((tags(YCBCR, 8, 3, t259=packing, t530=[wide, high]), [content])))


def test_colours_as_the_eye_sees_them(shows: Any) -> None:
    profiles = [ImageCms.createProfile(space) for space in ("sRGB", "LAB")]
    image = ImageCms.profileToProfile(quarters(), *profiles, outputMode="LAB")
    assert image is not None
    # eight bits of a and b are steps that can be seen
    shows(tiff((tags(CIELAB, 8, 3), [image.tobytes()])), most=12)


# Pages and metadata


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("packing", [1, DEFLATE])
def test_orientation(orientation: int, packing: int, shows: Any) -> None:
    stored = quarters().transpose(STORED[orientation])
    content = stored.tobytes()
    if packing == DEFLATE:
        content = zlib.compress(content)
    page = tags(RGB, 8, 3, stored.size, t259=packing, t274=orientation)
    shows(tiff((page, [content])))


@ORDERS
@pytest.mark.parametrize("mark", [{254: 1}, {255: 2}], ids=["new mark", "old mark"])
def test_the_photo_may_follow_its_preview(mark: Any, order: str, shows: Any) -> None:
    small = tags(RGB, 8, 3, (48, 32)) | mark, [bytes(48 * 32 * 3)]
    shows(tiff(small, PLAIN, order=order))
    shows(tiff(small, small, PLAIN, order=order))
    shows(tiff(PLAIN, small, order=order))


def test_the_first_of_several_pages_is_shown(shows: Any) -> None:
    black = tags(RGB, 8, 3, t254=2), [bytes(WIDTH * HEIGHT * 3)]
    shows(tiff((PLAIN[0] | {254: 2}, PLAIN[1]), black))


def test_of_previews_alone_the_first_is_shown(shows: Any) -> None:
    shows(tiff((PLAIN[0] | {254: 1}, PLAIN[1])))


def test_a_date_stands_on_the_first_page(develop: Any) -> None:
    small = tags(RGB, 8, 3, (48, 32), t254=1, t306=b"2024:05:06 07:08:09\0")
    info = develop(tiff((small, [bytes(48 * 32 * 3)]), PLAIN))
    assert (info.written, info.problem) == ("2024-05-06T07:08:09", "")
    assert (info.width, info.height) == SIZE


# What cannot be shown


@pytest.mark.parametrize(
    "page",
    [
        (tags(RGB, 32, 3, t339=[3, 3, 3]), [numbers(PIXELS, 32, kind="f")]),
        (tags(RGB, 32, 3), [numbers(PIXELS, 32)]),
        (tags(BLACK_IS_ZERO, 64, t339=3), [numbers(GREY, 64, kind="f")]),
        (tags(BLACK_IS_ZERO, 8, t339=2), [numbers(GREY - 128, 8, kind="i")]),
        (tags(9, 8, 3), [numbers(PIXELS, 8)]),
        ({}, []),
    ],
    ids=["fractions of colours", "32 bits", "64 bits", "below zero", "ICCLab", "nothing"],
)
def test_a_kind_that_cannot_be_shown_is_reported(page: Page, develop: Any) -> None:
    info = develop(tiff(page))
    assert info.problem == renditions.ODD_TIFF
    assert (info.kind, info.has_picture) == ("photo", False)


def test_pages_in_a_circle_end(develop: Any) -> None:
    small = tags(RGB, 8, 3, (48, 32), t254=1)
    content = bytearray(tiff((small, [bytes(48 * 32 * 3)])))
    entries = int.from_bytes(content[8:10], "little")
    at = 10 + 12 * entries
    content[at : at + 4] = (8).to_bytes(4, "little")
    assert develop(bytes(content)).width == 48


def test_a_cut_tiff_is_reported_or_shown_as_far_as_it_goes(develop: Any) -> None:
    strips = [numbers(PIXELS[y : y + 8], 8) for y in range(0, HEIGHT, 8)]
    content = tiff((tags(RGB, 8, 3, t278=8), strips))
    for length in range(0, len(content), len(content) // 25):
        info = develop(content[:length])
        assert info.problem


def test_hostile_numbers_cost_their_file_only(develop: Any) -> None:
    for tag, value in itertools.product(
        (254, 256, 258, 262, 277, 284, 320, 322, 339), (0, 255, 65535, 4_000_000_000)
    ):
        page = PLAIN[0] | {tag: value}
        assert isinstance(develop(tiff((page, PLAIN[1]))).problem, str)
