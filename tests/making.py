"""Photos made byte by byte, such as no library writes: for tests of how files are shown."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

COLOURS = ((200, 60, 40), (60, 180, 90), (50, 70, 190), (230, 225, 215))
SIZE = (192, 128)
# What turns an upright picture into the stored one of each EXIF orientation.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def quarters(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a picture whose quarters have four colours, so that any turn and crop shows."""
    width, height = size
    image = Image.new("RGB", size, COLOURS[3])
    image.paste(COLOURS[0], (0, 0, width // 2, height // 2))
    image.paste(COLOURS[1], (width // 2, 0, width, height // 2))
    image.paste(COLOURS[2], (0, height // 2, width // 2, height))
    if mode == "P":
        return image.quantize(4)
    return image.convert(mode)


def encode(image: Image.Image, form: str, **save: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **save)
    return file.getvalue()


def exif_block(
    orientation: int, *, order: str = "<", kind: int = 3, tag: int = 0x0112
) -> bytes:
    """Return an EXIF block of one tag, which is a number of a TIFF type (3: SHORT, 4: LONG)."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    form = {3: "H2x", 4: "I"}[kind]
    entry = struct.pack(f"{order}HHI{form}", tag, kind, 1, orientation)
    return mark + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def xmp_packet(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf='
        '"http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of JPEG (ITU-T T.81, B.1.1.4)."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of PNG (W3C PNG, 5.3)."""
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def with_chunks(png: bytes, *chunks: bytes, before: bytes = b"IDAT") -> bytes:
    at = png.index(before) - 4
    return png[:at] + b"".join(chunks) + png[at:]


def raw_profile(exif: bytes) -> bytes:
    """Return EXIF in a text chunk of PNG, as ImageMagick wrote it before there was a chunk for it."""
    content = b"Exif\0\0" + exif
    text = b"\nexif\n%8d\n%s\n" % (len(content), content.hex().encode())
    return chunk(b"tEXt", b"Raw profile type exif\0" + text)


def icc_profile(*, gamma: float = 2.2, is_swapped: bool = False) -> bytes:
    """Return a small profile with the primaries of sRGB; `is_swapped`: red for blue (ICC.1:2001-04)."""
    red, green, blue = (
        (0.4361, 0.2225, 0.0139),
        (0.3851, 0.7169, 0.0971),
        (0.1431, 0.0606, 0.7141),
    )
    if is_swapped:
        red, blue = blue, red

    def xyz(numbers: tuple[float, ...]) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    curve = b"curv" + struct.pack(">IIHxx", 0, 1, round(gamma * 256))
    contents = {
        b"rXYZ": b"XYZ \0\0\0\0" + xyz(red),
        b"gXYZ": b"XYZ \0\0\0\0" + xyz(green),
        b"bXYZ": b"XYZ \0\0\0\0" + xyz(blue),
        b"wtpt": b"XYZ \0\0\0\0" + xyz((0.9642, 1, 0.8249)),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    table, body = struct.pack(">I", len(contents)), b""
    for name, content in contents.items():
        at = 132 + 12 * len(contents) + len(body)
        table += struct.pack(">4sII", name, at, len(content))
        body += content
    header = struct.pack(">IIII", 128 + len(table + body), 0, 0x02400000, 0)[:12]
    header += b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + xyz((0.9642, 1, 0.8249))
    return header.ljust(128, b"\0") + table + body


def bitmap(
    header: bytes, pixels: bytes, *, palette: bytes = b"", tail: bytes = b""
) -> bytes:
    """Return a BMP file of its parts."""
    start = 14 + len(header) + len(palette)
    size = start + len(pixels) + len(tail)
    return (
        b"BM" + struct.pack("<IHHI", size, 0, 0, start) + header + palette + pixels + tail
    )


def bitmap_header(
    width: int, height: int, depth: int, *, size: int = 40, **of: int
) -> bytes:
    """Return a BITMAPINFOHEADER, or the beginning of a later one; `coding`: its compression."""
    coding, colours = of.get("coding", 0), of.get("colours", 0)
    numbers = (size, width, height, 1, depth, coding, 0, 2835, 2835, colours, 0)
    return struct.pack("<IiiHHIIiiII", *numbers)


TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}


def tiff(
    *pages: tuple[dict[int, Any], list[bytes]], order: str = "<", is_big: bool = False
) -> bytes:
    """Return a TIFF of pages, each of its tags and its strips or tiles (TIFF 6.0, section 2).

    A tag is a number, numbers, or bytes. `is_big`: with offsets of 64 bits.
    """
    mark = {"<": b"II", ">": b"MM"}[order]
    offset = "Q" if is_big else "I"
    version = (
        struct.pack(f"{order}HHH", 43, 8, 0) if is_big else struct.pack(f"{order}H", 42)
    )
    at = len(mark + version) + struct.calcsize(offset)
    body = b""
    content = mark + version + struct.pack(order + offset, at)
    for number, (tags, parts) in enumerate(pages, 1):
        places = 324 if 322 in tags else 273  # of tiles or strips
        sizes = 325 if 322 in tags else 279
        tags = {**tags, places: [0] * len(parts), sizes: [len(part) for part in parts]}
        counted = struct.calcsize(f"={'Q' if is_big else 'H'}")
        after = at + counted + (12 + 8 * is_big) * len(tags) + struct.calcsize(offset)
        starts, extra = [], b""
        for part in parts:
            starts.append(after + len(extra))
            extra += part + bytes(len(part) % 2)
        tags[places] = starts
        entries = b""
        for tag in sorted(tags):
            value = tags[tag]
            if isinstance(value, bytes):
                kind, count, packed = 7, len(value), value
            else:
                values = [value] if isinstance(value, int) else list(value)
                kind = 4 if tag in (places, sizes) or max(values) > 65535 else 3
                count = len(values)
                packed = struct.pack(f"{order}{count}{TIFF_TYPES[kind]}", *values)
            if len(packed) > struct.calcsize(offset):
                place = after + len(extra)
                extra += packed + bytes(len(packed) % 2)
                packed = struct.pack(order + offset, place)
            entries += struct.pack(f"{order}HH{offset}", tag, kind, count)
            entries += packed.ljust(struct.calcsize(offset), b"\0")
        following = after + len(extra) if number < len(pages) else 0
        body = struct.pack(order + ("Q" if is_big else "H"), len(tags)) + entries
        content += body + struct.pack(order + offset, following) + extra
        at = after + len(extra)
    return content
