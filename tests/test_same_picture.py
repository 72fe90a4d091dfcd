"""The same picture everywhere: what a visitor zooms into looks like the preview before it."""

from __future__ import annotations

import base64
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from making import (
    COLOURS,
    SIZE,
    STORED,
    bitmap,
    bitmap_header,
    chunk,
    encode,
    exif_block,
    icc_profile,
    quarters,
    raw_profile,
    segment,
    with_chunks,
    with_segments,
    xmp_packet,
)
from PIL import Image

import photos
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


@pytest.fixture
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


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[photos.Worker]:
    """A worker process, so that no other test finds pillow_heif loaded."""
    worker = photos.Worker(tmp_path / "cache")
    yield worker
    worker.end()


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


# Coloured


AS_STORED = COLOURS
LINEAR = ((229, 133, 110), (133, 219, 160), (122, 143, 224), (244, 241, 237))
SWAPPED = ((35, 57, 201), (90, 181, 57), (191, 69, 46), (215, 226, 230))
OF_P3 = ((218, 41, 20), (0, 184, 77), (43, 71, 197), (231, 225, 214))
HALF_LINEAR = ((242, 194, 182), (194, 237, 207), (188, 199, 239), (249, 248, 246))
GREY_LINEAR = tuple((value,) * 3 for value in (168, 192, 150, 241))
SWAP, LIGHT = icc_profile(is_swapped=True), icc_profile(gamma=1.0)


def profile_part(number: int, count: int, content: bytes) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\0" + bytes((number, count)) + content)


def upright_png(*chunks: bytes, mode: str = "RGB") -> bytes:
    before = b"PLTE" if mode == "P" else b"IDAT"
    return with_chunks(encode(quarters(mode), "PNG"), *chunks, before=before)


def upright_jpeg(*segments: bytes) -> bytes:
    return with_segments(turned("JPEG", 1, quality=95), *segments)


def late_profile() -> bytes:
    content = turned("JPEG", 1, quality=95)
    at = content.index(b"\xff\xda")
    return content[:at] + profile_part(1, 1, SWAP) + content[at:]


def gamma(exponent: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(exponent * 100_000)))


def chromaticities(*numbers: float) -> bytes:
    values = (round(number * 100_000) for number in numbers)
    return chunk(b"cHRM", struct.pack(">8I", *values))


def code_points(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes((primaries, transfer, 0, 1)))


def profile_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"a\0\0" + zlib.compress(profile))


def avif(primaries: int, transfer: int) -> bytes:
    content = turned("AVIF", 1, quality=95)
    at = content.index(b"colrnclx") + 8
    return content[:at] + struct.pack(">HH", primaries, transfer) + content[at + 4 :]


def half_transparent() -> Image.Image:
    image = quarters("RGBA")
    image.putalpha(128)
    return image


def profiled_bitmap() -> bytes:
    width, height = SIZE
    header = bitmap_header(width, height, 24, size=124) + bytes(16) + b"DEBM" + bytes(48)
    pixels = quarters().transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGR")
    header += struct.pack("<IIII", 4, 124 + len(pixels), len(SWAP), 0)
    return bitmap(header, pixels, tail=SWAP)


def grey_png(depth: int, rows: list[bytes], *chunks: bytes) -> bytes:
    """Return a PNG of grey with any number of bits, which Pillow does not write."""
    header = struct.pack(">IIBBBBB", *SIZE, depth, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    parts = (chunk(b"IHDR", header), *chunks, pixels, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def sixteen_bit(*chunks: bytes) -> bytes:
    width, height = SIZE
    grey = quarters("L").tobytes()
    words = bytes(value for value in grey for _ in range(2))
    rows = [words[2 * width * y : 2 * width * (y + 1)] for y in range(height)]
    return grey_png(16, rows, *chunks)


SRGB_XY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
SWAPPED_XY = (0.3127, 0.3290, 0.15, 0.06, 0.30, 0.60, 0.64, 0.33)
P3_XY = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
COLOURED: dict[str, tuple[bytes, Colours]] = {
    "JPEG, profile": (upright_jpeg(profile_part(1, 1, SWAP)), SWAPPED),
    "JPEG, profile in two parts": (
        upright_jpeg(profile_part(2, 2, SWAP[200:]), profile_part(1, 2, SWAP[:200])),
        SWAPPED,
    ),
    "JPEG, profile twice": (upright_jpeg(*2 * [profile_part(1, 1, SWAP)]), SWAPPED),
    "JPEG, profile after the header": (late_profile(), SWAPPED),
    "JPEG, part of a profile": (upright_jpeg(profile_part(1, 2, SWAP)), AS_STORED),
    "JPEG, no profile at all": (upright_jpeg(profile_part(1, 1, b"junk")), AS_STORED),
    "JPEG, part without a number": (upright_jpeg(profile_part(0, 0, b"")), AS_STORED),
    "JPEG, grey, profile of RGB": (
        encode(quarters("L"), "JPEG", quality=95, icc_profile=LIGHT),
        GREY_LINEAR,
    ),
    "PNG, profile": (upright_png(profile_chunk(SWAP)), SWAPPED),
    "PNG, profile and gamma": (upright_png(gamma(1), profile_chunk(SWAP)), SWAPPED),
    "PNG, no profile but gamma": (upright_png(profile_chunk(b"junk"), gamma(1)), LINEAR),
    "PNG, gamma": (upright_png(gamma(1)), LINEAR),
    "PNG, gamma nearly of sRGB": (upright_png(gamma(0.45455)), AS_STORED),
    "PNG, gamma of nothing": (upright_png(gamma(0)), AS_STORED),
    "PNG, gamma and sRGB": (upright_png(chunk(b"sRGB", b"\0"), gamma(1)), AS_STORED),
    "PNG, chromaticities": (
        upright_png(gamma(0.45455), chromaticities(*SWAPPED_XY)),
        SWAPPED,
    ),
    "PNG, chromaticities of P3": (
        upright_png(gamma(0.45455), chromaticities(*P3_XY)),
        OF_P3,
    ),
    "PNG, chromaticities of sRGB": (
        upright_png(gamma(0.45455), chromaticities(*SRGB_XY)),
        AS_STORED,
    ),
    "PNG, chromaticities of nothing": (
        upright_png(gamma(0.45455), chromaticities(*[0] * 8)),
        AS_STORED,
    ),
    "PNG, grey, gamma": (upright_png(gamma(1), mode="L"), GREY_LINEAR),
    "PNG, grey of 16 bits, gamma": (sixteen_bit(gamma(1)), GREY_LINEAR),
    "PNG, grey, profile of RGB": (upright_png(profile_chunk(LIGHT), mode="L"), GREY_LINEAR),
    "PNG, palette, gamma": (upright_png(gamma(1), mode="P"), LINEAR),
    "PNG, half transparent, gamma": (
        with_chunks(encode(half_transparent(), "PNG"), gamma(1)),
        HALF_LINEAR,
    ),
    "PNG, code points of P3": (upright_png(code_points(12, 13)), OF_P3),
    "PNG, code points of linear light": (upright_png(code_points(1, 8)), LINEAR),
    "PNG, code points before all": (
        upright_png(code_points(1, 13), profile_chunk(SWAP)),
        AS_STORED,
    ),
    "PNG, code points that nobody knows": (upright_png(code_points(200, 200)), AS_STORED),
    "WebP, profile": (turned("WEBP", 1, quality=95, icc_profile=SWAP), SWAPPED),
    "AVIF, profile": (turned("AVIF", 1, quality=95, icc_profile=SWAP), SWAPPED),
    "AVIF, code points of P3": (avif(12, 13), OF_P3),
    "AVIF, code points of linear light": (avif(1, 8), LINEAR),
    "AVIF, code points unspecified": (avif(2, 2), AS_STORED),
    "BMP, profile": (profiled_bitmap(), SWAPPED),
}


@pytest.mark.parametrize("name", COLOURED)
def test_colours_are_those_that_the_file_tells(name: str, make: Any) -> None:
    content, colours = COLOURED[name]
    made = make(content)
    assert made.info.browser_shows
    assert made.preview.is_like(Seen(SIZE, colours)), made.preview


@pytest.mark.whole
@pytest.mark.parametrize("name", COLOURED)
def test_the_browser_shows_the_same_colours(name: str, make: Any, show: Any) -> None:
    content, colours = COLOURED[name]
    shown = show(content, make(content).info.media_type)
    assert shown.is_like(Seen(SIZE, colours)), shown


@pytest.mark.parametrize("transfer", [renditions.PQ, renditions.HLG])
@pytest.mark.parametrize("form", ["AVIF", "PNG"])
def test_high_dynamic_range_is_brought_to_any_screen(
    form: str, transfer: int, make: Any
) -> None:
    content = avif(9, transfer) if form == "AVIF" else upright_png(code_points(9, transfer))
    made = make(content)
    red, green, blue, bright = made.preview.colours
    assert not made.info.browser_shows
    assert made.full.is_like(made.preview)
    assert red[0] > 240 and red[1] < 30, "vivid instead of grey"
    assert green[1] > 180 and blue[2] > 190
    assert min(bright) > 210


def test_paper_white_of_high_dynamic_range_is_bright_and_black_is_black() -> None:
    curve = renditions.coded_colours(9, renditions.PQ).curve  # type: ignore[union-attr]
    assert curve and curve(0) == 0
    assert curve(0.58) == pytest.approx(0.52, abs=0.01)  # 203 cd/m², ITU-R BT.2408
    assert curve(1) == pytest.approx(1)
    steps = [curve(value / 255) for value in range(256)]
    assert steps == sorted(steps)


def test_a_moving_webp_stands_still_in_the_colours_in_which_it_moves(make: Any) -> None:
    content = encode(
        quarters(),
        "WEBP",
        save_all=True,
        append_images=[Image.new("RGB", SIZE)],
        icc_profile=SWAP,
        exif=exif_block(6),
    )
    made = make(content)
    assert made.info.animated and made.info.browser_shows
    assert made.preview.is_like(UPRIGHT)


# Framed, cut out, and odd


WHITE = (255, 255, 255)


@pytest.fixture(
    params=["made", pytest.param("shown by the browser", marks=pytest.mark.whole)]
)
def look(
    request: pytest.FixtureRequest, make: Callable[[bytes], Made]
) -> Callable[[bytes], Seen]:
    """Looks at a file: at its preview, and at the original in the browser."""
    if request.param == "made":
        return lambda content: make(content).preview
    show = request.getfixturevalue("show")
    return lambda content: show(content, make(content).info.media_type)


@pytest.mark.parametrize(
    ("depth", "clear"), [(1, 0), (2, 1), (4, 5), (8, 0x55), (16, 0x5555)]
)
def test_a_grey_that_is_transparent_is(depth: int, clear: int, look: Any) -> None:
    width, height = SIZE
    half = width * depth // 16
    left, right, grey = (b"\x55", b"\xaa", 170) if depth > 1 else (b"\0", b"\xff", 255)
    row = left * half + right * half
    content = grey_png(depth, [row] * height, chunk(b"tRNS", struct.pack(">H", clear)))
    assert look(content).is_like(Seen(SIZE, (WHITE, (grey,) * 3) * 2))


def gif(canvas: tuple[int, int], at: tuple[int, int]) -> bytes:
    """Return a GIF whose frame is only part of its canvas (GIF89a, 18 and 20)."""
    content = encode(quarters("P"), "GIF")
    frame = content.index(b",\0\0\0\0")
    canvas_bytes, place = struct.pack("<HH", *canvas), struct.pack("<HH", *at)
    return (
        content[:6] + canvas_bytes + content[10 : frame + 1] + place + content[frame + 5 :]
    )


def test_around_the_frame_of_a_gif_there_is_nothing(look: Any) -> None:
    width, height = 2 * SIZE[0], 2 * SIZE[1]
    content = gif((width, height), (SIZE[0], 0))
    picture = look(content)
    assert picture.size == (width, height)
    assert picture.colours[0] == picture.colours[2] == picture.colours[3] == WHITE
    assert picture.colours[1] != WHITE


def test_a_gif_with_one_transparent_colour_is_white_there(look: Any) -> None:
    image = quarters("P")
    content = encode(image, "GIF", transparency=image.getpixel((0, 0)))
    assert look(content).is_like(Seen(SIZE, (WHITE, *COLOURS[1:])))


def test_an_animated_png_stands_still_in_its_first_frame(look: Any) -> None:
    frames = [quarters(), Image.new("RGB", SIZE)]
    content = encode(
        Image.new("RGB", SIZE, "lime"),
        "PNG",
        save_all=True,
        append_images=frames,
        default_image=True,
        duration=100_000,
    )
    assert look(content).is_like(UPRIGHT)


def rows(image: Image.Image, raw: str) -> bytes:
    """Return pixels in the order of BMP: the lowest row first."""
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", raw)


def of_five_bits(image: Image.Image) -> bytes:
    flat = iter(rows(image, "RGB"))
    words = (
        (red >> 3) << 10 | (green >> 3) << 5 | blue >> 3
        for red, green, blue in zip(flat, flat, flat, strict=True)
    )
    return b"".join(struct.pack("<H", word) for word in words)


BITMAPS = {
    "the highest row first": bitmap(
        bitmap_header(SIZE[0], -SIZE[1], 24), quarters().tobytes("raw", "BGR")
    ),
    "OS/2": bitmap(struct.pack("<IHHHH", 12, *SIZE, 1, 24), rows(quarters(), "BGR")),
    "32 bits, the last ones unused": bitmap(
        bitmap_header(*SIZE, 32), rows(half_transparent(), "BGRA")
    ),
    "of a BITMAPV5HEADER": bitmap(
        bitmap_header(*SIZE, 24, size=124) + b"\0" * 16 + b"BGRs" + b"\0" * 64,
        rows(quarters(), "BGR"),
    ),
    "16 bits": bitmap(bitmap_header(*SIZE, 16), of_five_bits(quarters())),
    "a palette": bitmap(
        bitmap_header(*SIZE, 8, colours=4),
        rows(quarters("P"), "P"),
        palette=b"".join(
            bytes((*reversed(quarters("P").getpalette()[n : n + 3]), 0))  # type: ignore[index]
            for n in range(0, 12, 3)
        ),
    ),
}


@pytest.mark.parametrize("name", BITMAPS)
def test_a_bitmap_of_any_kind_is_shown(name: str, look: Any) -> None:
    assert look(BITMAPS[name]).is_like(UPRIGHT)


def test_ink_of_a_jpeg_is_shown_as_browsers_show_it(look: Any) -> None:
    ink = encode(quarters("CMYK"), "JPEG", quality=95)
    assert look(ink).is_like(UPRIGHT)
    at = ink.index(b"\xff\xee")
    assert look(ink[:at] + ink[at + 16 :]).is_like(UPRIGHT), "without the mark of Adobe"


def test_of_several_pictures_in_a_jpeg_the_first_is_shown(look: Any) -> None:
    content = encode(
        quarters(), "MPO", save_all=True, append_images=[Image.new("RGB", SIZE)]
    )
    assert look(content).is_like(UPRIGHT)


def test_a_jpeg_that_browsers_cannot_decode_is_not_zoomed_into(
    samples: Path, make: Any
) -> None:
    made = make((samples / "colour" / "lossless.jpg").read_bytes())
    assert not made.info.browser_shows


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_heic_photo_is_cropped_and_turned(
    orientation: int, tmp_path: Path, worker: photos.Worker
) -> None:
    heif = pytest.importorskip("pillow_heif")
    image = quarters(size=(191, 127))  # of an odd size: with a box that crops
    if orientation != 1:
        image = image.transpose(STORED[orientation])
    path = tmp_path / "a.heic"
    heif.from_pillow(image).save(path, exif=exif_block(orientation), quality=90)
    content = path.read_bytes()
    at = content.index(b"clap") + 4
    # the upper left quarter of what is stored, which lies elsewhere when it is upright
    wide, high = image.width // 2, image.height // 2
    crop = struct.pack(">IIIIiIiI", wide, 1, high, 1, -wide // 2, 1, -high // 2, 1)
    path.write_bytes(content[:at] + crop + content[at + 32 :])
    info = worker.develop(os.fspath(path), Purpose.ALL)
    assert not info.problem
    with Image.open(
        renditions.rendition_path(tmp_path / "cache", info.key, renditions.PREVIEW)
    ) as preview:
        picture = seen(preview)
    assert picture.size == (info.width, info.height)
    assert sorted(picture.size) in ([63, 95], [63, 96], [64, 95])
    quarter = {1: 0, 6: 1}[orientation]
    assert picture.is_like(Seen(picture.size, (COLOURS[quarter],) * 4)), picture


@pytest.mark.parametrize(
    "name", ["apple_gainmap.jpg", "ultrahdr_pixel8.jpg", "seine_gainmap.avif"]
)
def test_a_photo_with_a_gain_map_is_bright_and_zoomed_in_its_original(
    name: str, samples: Path, tmp_path: Path
) -> None:
    path = samples / "hdr" / name
    info = renditions.develop(os.fspath(path), Purpose.FACTS, tmp_path)
    assert info.hdr and info.browser_shows


@pytest.mark.parametrize(
    "mark",
    [
        app1(b'http://ns.adobe.com/xap/1.0/\0<rdf:Description hdrgm:Version="1.0"/>'),
        segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"),
    ],
    ids=["XMP", "ISO 21496-1"],
)
def test_the_mark_of_a_gain_map_is_known(mark: bytes, make: Any) -> None:
    assert make(jpeg(mark, orientation=1)).info.hdr


def test_ordinary_photos_are_not_bright(make: Any, samples: Path, tmp_path: Path) -> None:
    assert not make(jpeg(exif())).info.hdr
    assert not make(COLOURED["AVIF, code points of P3"][0]).info.hdr
    stereo = renditions.develop(
        os.fspath(samples / "hdr" / "3ds_stereo.mpo"), Purpose.FACTS, tmp_path
    )
    assert not stereo.hdr and not stereo.problem
