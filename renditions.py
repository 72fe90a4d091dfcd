"""What a worker process of photos runs: it reads one file, tells its facts and makes its renditions.

The process that opens hostile files holds no key and no web code: this module imports neither
photos nor Bottle, PyJWT or waitress. photos.py starts the workers and kills them where need be.

Contents, top to bottom; names refer upward only:

    formats · boxes · segments · facts · dates · metadata · colours · place ·
    place in files · motion photos · checksums · grids · pixels · videos · renditions · worker

A request is a line of JSON, `[path, purpose]`; its reply is another, the fields of an `Info`.
"""

from __future__ import annotations

import bisect
import contextlib
import ctypes
import dataclasses
import datetime as dt
import enum
import functools
import hashlib
import html
import importlib
import io
import itertools
import json
import math
import operator
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
import unicodedata
import warnings
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import floordiv, mul, truediv
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, BinaryIO, NamedTuple, TypeAlias

from PIL import (
    Image,
    ImageCms,
    ImageFile,
    ImageFilter,
    ImageOps,
    ImagePalette,
    IptcImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    features,
)

if sys.platform != "win32":
    import fcntl
    import resource

RENDER_SECONDS = 20.0  # of CPU time: a file that takes more costs itself, never the server

# What hostile or damaged metadata makes Pillow raise (seen with real files).
METADATA_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)

# --- Formats -----------------------------------------------------------------

PHOTO, VIDEO, RAW = "photo", "video", "raw"
OTHER = "other"  # than its suffix promises

# Suffixes decide only what is listed before it was read; what a file is, its content says.
PHOTO_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .avif .avifs"
    " .tif .tiff .bmp .heic .heif .hif".split()
)
# Not .ts and .dat, which are more often something else: those films are known by their content.
RARE_VIDEO_SUFFIXES = frozenset(
    ".mp4v .mpg4 .qt .f4v .3gp .3gpp .3g2 .3gp2 .mkv .avi .divx .mts .m2ts .m2t .tod .mod"
    " .mpg .mpeg .mpe .m1v .m2v .mpv .vob .vro .wmv .asf .flv .ogv .ogm .dv .mxf .rm .rmvb"
    " .wtv".split()
)
VIDEO_SUFFIXES = frozenset(".mp4 .mov .m4v .webm".split()) | RARE_VIDEO_SUFFIXES
# Those that LibRaw and ExifTool name; .tif of some old cameras and .mov of film cameras left out.
RAW_SUFFIXES = frozenset(
    ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .raf .orf .ori .rw2 .rwl .rwz .raw .pef .ptx"
    " .srw .x3f .3fr .fff .iiq .cap .eip .ari .bay .bmq .braw .cine .cs1 .dc2 .dcr .dcs .drf"
    " .erf .gpr .ia .k25 .kc2 .kdc .mdc .mef .mfw .mos .mrw .nefx .obm .pxn .qtk .r3d .rdc .sti".split()
)
# Recorders call their containers as cameras do.
SOUND_SUFFIXES = (".m4a", ".m4b", ".m4r", ".3ga", ".aac")
RAW_PROBLEM = "RAW: export it as JPEG to show it"
SUFFIXES = {PHOTO: PHOTO_SUFFIXES, VIDEO: VIDEO_SUFFIXES, RAW: RAW_SUFFIXES}

# The only decoders of Pillow that a file can reach.
PHOTO_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF")
# The further pictures inside MPO, HEIF and TIFF are no animation.
MOVING_FORMATS = ("PNG", "WEBP", "GIF", "AVIF")
BROWSER_TYPES = frozenset(
    "image/jpeg image/png image/apng image/webp image/gif image/avif image/bmp"
    " video/mp4 video/webm video/3gpp video/3gpp2".split()
)

HEAD_BYTES = (
    65536  # read of each file to tell its content: holds EXIF and the boxes of HEIC
)
TAIL_BYTES = 4096
KEY_LENGTH = 24
BUFFER_BYTES = 16384  # holds the tail, and what most cameras write before the pixels
BLOCK_BYTES = 1 << 20  # read at a time where a file is read whole
# How files begin whose pixels may be without compression.
UNCOMPRESSED = (b"BM", b"II*\0", b"MM\0*", b"\x89PNG", b"GIF8")


class Container(NamedTuple):
    """How films are stored; some containers of films hold sound alone as well."""

    demuxer: str  # as ffmpeg calls it
    media_type: str
    start: bytes = rb"(?!)"  # a pattern of the first bytes; what begins with atoms has none
    picture: bytes = b""  # a pattern somewhere in the head, where there are pictures


# A packet's sync byte, and its bits that say what the packet holds (ISO/IEC 13818-1, 2.4.3.2).
_PACKET = rb"G..[^\x00-\x0f\x40-\x4f\x80-\x8f\xc0-\xcf]"
# QuickTime is sent as MP4, since browsers play it only so. Sources: RFC 3839, 4393, 4539, 9559.
CONTAINERS = {
    "mov": Container("mov", "video/mp4"),
    "3gp": Container("mov", "video/3gpp"),
    "3g2": Container("mov", "video/3gpp2"),
    "webm": Container("webm", "video/webm", rb"\x1aE\xdf\xa3.{0,60}webm"),
    "mkv": Container(
        "matroska",
        "video/matroska",
        rb"\x1aE\xdf\xa3.{0,60}matroska",
        rb"\x86[\x80-\xbf]V_",
    ),
    "avi": Container("avi", "video/x-msvideo", rb"RIFF.{4}(?:AVI[ X\x19]|AMV |ON2 )"),
    "mpegts": Container(
        "mpegts",
        "video/mp2t",
        # on discs with four bytes of time before each packet
        rb"(?:%(packet)b.{184}){4}%(packet)b|(?:.{4}%(packet)b.{184}){4}.{4}%(packet)b"
        % {b"packet": _PACKET},
    ),
    "mpeg": Container("mpeg", "video/mpeg", rb"\0\0\x01\xba|RIFF.{4}CDXA"),
    "mpegvideo": Container("mpegvideo", "video/mpeg", rb"\0\0\x01\xb3"),
    # Stream Properties Objects name the kind of each stream (Advanced Systems Format, 3.3).
    "asf": Container(
        "asf",
        "video/x-ms-wmv",
        rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
        rb"\xc0\xef\x19\xbc\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b",
    ),
    "flv": Container("flv", "video/x-flv", rb"FLV\x01", rb"\AFLV\x01[\x01\x05]"),
    "ogg": Container(
        "ogg", "video/ogg", rb"OggS\0", rb"\x80theora|BBCD\0|OVP80|\x01video\0"
    ),
    "dv": Container("dv", "video/x-dv", rb"\x1f\x07\0[\x3f\xbf]"),
    "mxf": Container(
        "mxf",
        "application/mxf",
        rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02",
    ),
    "rm": Container(
        "rm", "application/vnd.rn-realmedia", rb"\.RMF\0", rb"realvideo|VIDORV"
    ),
    "wtv": Container("wtv", "video/x-ms-wtv", rb"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e"),
}

_FILM_START = b"|".join(container.start for container in CONTAINERS.values())

# What QuickTime and MP4 files may begin with before what tells more.
LEADING_ATOMS = frozenset(b"free skip wide pnot PICT pict junk uuid udta meta sidx".split())
FILM_ATOMS = frozenset((b"moov", b"mdat", b"moof"))
MOST_ATOMS = 64  # that are looked at

# Brands of ISO/IEC 14496-12 files (ftyp).
AVIF_BRANDS = frozenset((b"avif", b"avis"))
HEIF_BRANDS = frozenset(b"heic heix heim heis hevc hevx mif1 msf1 miaf".split())
# Sound, RAW and JPEG 2000.
OTHER_BRANDS = frozenset((b"M4A ", b"M4B ", b"M4P ", b"crx ", b"jp2 ", b"jpx "))


def expected_kind(path: str) -> str:
    """Return the kind that a file's suffix promises, for a file that was not read; '' for others."""
    suffix = os.path.splitext(path)[1].lower()
    for kind, suffixes in SUFFIXES.items():
        if suffix in suffixes:
            return kind
    return ""


def _size_of(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def read_head(file: IO[bytes]) -> tuple[bytes, str]:
    """Return a file's first bytes and its key: 24 hexadecimal digits that change with the content.

    Raises OSError.
    """
    status = os.fstat(file.fileno())
    file.seek(0)
    head = file.read(HEAD_BYTES)
    facts = f"{status.st_size} {status.st_mtime_ns} {len(head)} ".encode()
    # Most processors have instructions for it: BLAKE2 takes three times as long.
    digest = hashlib.sha256(facts)
    digest.update(head)
    # Two scans without compression may differ in the middle alone, so they are read whole.
    if head.startswith(UNCOMPRESSED):
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    else:  # anything else that differs, differs in its size, its head or its tail
        file.seek(max(0, status.st_size - TAIL_BYTES))
        digest.update(file.read(TAIL_BYTES))
    return head, digest.hexdigest()[:KEY_LENGTH]


def _container_of_brand(major: bytes, compatible: bytes) -> str:
    if major in AVIF_BRANDS:
        return "avif"
    if major in HEIF_BRANDS and b"avif" in compatible:
        return "avif"
    if major in HEIF_BRANDS:
        return "heif"
    if major in OTHER_BRANDS:
        return ""
    if major.startswith(b"3g2"):
        return "3g2"
    if major.startswith(b"3g"):
        return "3gp"
    return "mov"


def _container_of_atoms(file: BinaryIO) -> str:
    """Go from atom to atom until one tells what a file is."""
    end = file.seek(0, os.SEEK_END)
    at = 0
    for _ in range(MOST_ATOMS):
        if at >= end:
            break
        file.seek(at)
        head = file.read(64)
        kind = head[4:8]
        if kind == b"ftyp":
            return _container_of_brand(head[8:12], head[16:])
        if kind in FILM_ATOMS:
            return "mov"
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if kind not in LEADING_ATOMS or size < 8:
            break
        at += size
    return ""


def container_of(head: bytes, path: str = "") -> str:
    """Return how a film is stored, a name of CONTAINERS; 'heif' or 'avif'; '' for anything else.

    What may hold sound alone is a film where the head tells of a picture, or else the path's suffix.
    Source: ISO/IEC 14496-12 (ftyp), QuickTime File Format, RFC 8794 (EBML). Raises OSError.
    """
    if path.lower().endswith(SOUND_SUFFIXES):
        return ""
    if head[4:8] == b"ftyp" or head[4:8] in FILM_ATOMS:
        return _container_of_atoms(io.BytesIO(head))
    if head[4:8] in LEADING_ATOMS:
        with open(path, "rb") if path else io.BytesIO(head) as file:
            return _container_of_atoms(file)
    if not re.match(_FILM_START, head, re.DOTALL):
        return ""
    for name, container in CONTAINERS.items():
        if re.match(container.start, head, re.DOTALL):
            has_picture = re.search(container.picture, head) is not None
            return name if has_picture or expected_kind(path) == VIDEO else ""
    return ""


# How files begin that pass under another suffix: CR2, Fujifilm, Olympus, Panasonic, Sigma, CR3;
# the code stream and the container of JPEG XL and JPEG 2000, Photoshop, JPEG XR.
_RAW_HEAD = re.compile(
    rb"II\*\0....CR|FUJIFILMCCD-RAW|II(?:RO|RS|U\0)|MMOR|FOVb|....ftypcrx ", re.DOTALL
)
_OTHER_HEADS = {
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "JPEG 2000": re.compile(rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  "),
    "Photoshop": re.compile(rb"8BPS"),
    "JPEG XR": re.compile(rb"II\xbc"),
    "SVG": re.compile(rb"(?:\xef\xbb\xbf)?\s*(?=<)[^\0]{0,4000}?<svg[\s>/]"),
    "PDF": re.compile(rb"%PDF-"),
}
DNG_VERSION = 0xC612  # TIFF tag


def is_raw(head: bytes) -> bool:
    """Say whether a file that begins so is a RAW file, whatever its suffix."""
    return _RAW_HEAD.match(head) is not None


def other_content(head: bytes) -> str:
    """Name the format of a file that is no photo here, by how the file begins; '': it is another one."""
    for name, pattern in _OTHER_HEADS.items():
        if pattern.match(head):
            return name
    return ""


Picture = Image.Image
Photo = ImageFile.ImageFile  # an open one, perhaps not decoded yet
TiffPhoto = TiffImagePlugin.TiffImageFile

# --- Boxes -------------------------------------------------------------------

# Of the files of ISO/IEC 14496-12, which AVIF and HEIC are. What is beyond these is no photo.
META_BYTES = 4 << 20
MOST_BOXES = 10_000
ATOMS = 256  # that are looked at in one place of a file

NamedBox = tuple[bytes, bytes]  # name and content


def boxes(content: bytes) -> Iterator[NamedBox]:
    """Yield the boxes that follow each other (ISO/IEC 14496-12, 4.2). Raises struct.error."""
    at = 0
    for _ in range(MOST_BOXES):
        if len(content) - at < 8:
            return
        size, name = struct.unpack_from(">I4s", content, at)
        end = at + size if size else len(content)
        yield name, content[at + 8 : end]
        if size < 8 and size != 0:  # 1 is a box beyond 4 GB, which holds no facts
            return
        at = end


class Atom(NamedTuple):
    """Where a box lies in a file; films call it an atom."""

    kind: bytes
    start: int  # of its content
    end: int


def _atoms(file: IO[bytes], start: int, end: int) -> Iterator[Atom]:
    """Yield the boxes in a part of a file, up to the first that makes no sense."""
    for _ in range(ATOMS):
        file.seek(start)
        head = file.read(16)
        if len(head) < 8 or start + 8 > end:
            return
        size, kind = struct.unpack(">I4s", head[:8])
        content = start + 8
        if size == 1 and len(head) == 16:
            [size] = struct.unpack(">Q", head[8:])
            content = start + 16
        elif size == 0:
            size = end - start
        if not content <= start + size <= end:
            return
        yield Atom(kind, content, start + size)
        start += size


def _meta_in(file: IO[bytes], end: int) -> bytes:
    """Return the content of a file's meta box, b'' where there is none."""
    for atom in _atoms(file, 0, end):
        if atom.kind == b"meta":
            start = atom.start + 4  # behind its version and flags
            length = max(0, atom.end - start)
            file.seek(start)
            content = file.read(min(length, META_BYTES))
            if len(content) == length:
                return content
            return b""
    return b""


def read_meta(path: str, head: bytes) -> bytes:
    """Return the content of a photo's meta box; b'' where it has none. Raises OSError."""
    meta = _meta_in(io.BytesIO(head), sys.maxsize)  # boxes go on behind the head
    if meta:
        return meta
    with open(path, "rb") as file:  # some phones write it last
        return _meta_in(file, os.fstat(file.fileno()).st_size)


class _Reader:
    """Reads numbers of a box one after the other. Raises struct.error, IndexError."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content = content
        self.at = at

    def number(self, size: int) -> int:
        part = self.content[self.at : self.at + size]
        if len(part) < size:
            raise IndexError("a box ends too early")
        self.at += size
        return int.from_bytes(part)


def _numbers(properties: bytes) -> Iterator[tuple[int, list[int]]]:
    """Yield each item of an ipma box with the numbers of its properties (ISO/IEC 23008-12, 9.3)."""
    item_size = 4 if properties[0] else 2
    size = 1 + (properties[3] & 1)
    # the highest bit says only whether a reader must know the property
    mask = 0x7FFF if size == 2 else 0x7F
    reader = _Reader(properties, 4)
    for _ in range(min(reader.number(4), MOST_BOXES)):
        item = reader.number(item_size)
        count = reader.number(1)
        yield item, [reader.number(size) & mask for _ in range(count)]


def item_properties(meta: bytes, wanted: int) -> list[NamedBox]:
    """Return the properties of an item, in order. Raises METADATA_ERRORS."""
    parts = dict(boxes(meta))
    described = list(boxes(parts[b"iprp"]))
    properties = list(boxes(dict(described)[b"ipco"]))
    for name, content in described:
        if name != b"ipma":
            continue
        for item, numbers in _numbers(content):
            if item == wanted:
                return [properties[number - 1] for number in numbers if number]
    return []


def primary_properties(meta: bytes) -> list[NamedBox]:
    """Return the properties of the item that is the photo, in order. Raises METADATA_ERRORS."""
    primary = dict(boxes(meta))[b"pitm"][4:]  # after its version and flags
    return item_properties(meta, int.from_bytes(primary))


# --- Segments ----------------------------------------------------------------

# What stands before the pixels of a JPEG (ITU-T T.81, annex B). Pillow takes four times as long,
# since it reads all that there is: it is left what is not as cameras write it.
JPEG_START = b"\xff\xd8\xff"
# With Huffman coding: baseline, extended, progressive.
FRAMES = frozenset((0xFFC0, 0xFFC1, 0xFFC2))
SCAN, QUANTIZATION = 0xFFDA, 0xFFDB
METADATA_MARKERS = frozenset((*range(0xFFE0, 0xFFF0), 0xFFFE))  # of applications, comment
TOLD_MARKERS = FRAMES | METADATA_MARKERS | {QUANTIZATION}
# Besides, Huffman tables and the restart interval.
PLAIN_MARKERS = TOLD_MARKERS | {SCAN, 0xFFC4, 0xFFDD}
MODES = {1: "L", 3: "RGB"}  # by how many channels there are
TABLE_BYTES = 65  # of quantization with 8 bits: a number below 16 and the values
EXIF_MARK = b"Exif\0\0"
XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"  # XMP part 3, 1.1.3
WHOLE_ICC_MARK = b"ICC_PROFILE\0\x01\x01"  # of a profile in one part (ICC.1:2022, B.4)
_PLAIN_APPLICATION = re.compile(
    rb"(?:JFIF|Adobe).{7}|(?!JFIF|Adobe|Exif\0|ICC_PROFILE\0|Photoshop 3\.0\0)", re.DOTALL
)
_read_marker = struct.Struct(">HH").unpack_from


def plain_segments(jpeg: bytes) -> list[tuple[int, int, int]]:
    """Return the segments of a JPEG up to its scan: marker, start and end of the content.

    None of them where anything stands between two, or where they go beyond the bytes.
    """
    segments = []
    marker, length, at = 0, 0, 2
    try:
        while marker != SCAN:
            marker, length = _read_marker(jpeg, at)
            if marker not in PLAIN_MARKERS:  # as what follows a length below 2
                return []
            end = at + 2 + length
            segments.append((marker, at + 4, end))
            at = end
    except struct.error:  # they go on
        return []
    is_whole = length >= 2 and at <= len(jpeg)
    if not is_whole or not jpeg.startswith(JPEG_START):
        return []
    return segments


class JpegHeader:
    """What the segments of a JPEG tell, by the names that Pillow has for it."""

    format = "JPEG"

    def __init__(self) -> None:
        self.width = self.height = 0
        self.mode = ""
        self.info: dict[Any, Any] = {}
        self.applist: list[tuple[str, bytes]] = []

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def take(self, marker: int, content: bytes) -> bool:
        """Read one segment; return whether it is as cameras write it."""
        if marker in FRAMES:
            return self.take_frame(content)
        if marker == QUANTIZATION:
            is_whole = len(content) % TABLE_BYTES == 0
            numbers = content[::TABLE_BYTES]
            return is_whole and max(numbers, default=0) < 16
        self.applist.append(("", content))
        if marker == 0xFFE1 and content.startswith(EXIF_MARK):
            return self.take_only("exif", content)
        if marker == 0xFFE1 and content.startswith(XMP_MARK):
            return self.take_only("xmp", content.removeprefix(XMP_MARK))
        if marker == 0xFFE2 and content.startswith(WHOLE_ICC_MARK):
            profile = content.removeprefix(WHOLE_ICC_MARK)
            return self.take_only("icc_profile", profile)
        return _PLAIN_APPLICATION.match(content) is not None

    def take_frame(self, content: bytes) -> bool:
        if self.mode or len(content) < 6:
            return False
        bits, self.height, self.width, channels = struct.unpack_from(">BHHB", content)
        self.mode = MODES.get(channels, "")
        is_whole = len(content) == 6 + 3 * channels
        is_empty = self.width == 0 or self.height == 0
        is_plain = bits == 8 and self.mode != ""
        return is_plain and is_whole and not is_empty

    def take_only(self, name: str, content: bytes) -> bool:
        """Take what may be there once, before the frame."""
        is_only = name not in self.info
        self.info[name] = content
        return is_only and not self.mode


def read_header(jpeg: bytes) -> JpegHeader | None:
    """Return what stands before the pixels of a JPEG; None where Pillow shall read it."""
    header = JpegHeader()
    for marker, start, end in plain_segments(jpeg):
        if marker in TOLD_MARKERS and not header.take(marker, jpeg[start:end]):
            return None
    if not header.mode:
        return None
    return header


Header: TypeAlias = Photo | JpegHeader

# --- Facts -------------------------------------------------------------------

# When a file is read again that could not be shown.
NEVER = ""  # only after the file has changed
AT_START = "at start"  # when the program starts the next time, or after a long pause
AT_ONCE = (
    "at once"  # at the next request: what was wrong is the machine's state at that moment
)
LATER = (
    "later"  # after a pause, longer with each time: the machine or its disk was too slow
)


READER = 6  # counted up when the same file is read to other facts than before


LITERAL_BYTES = 32  # of a patch that is no fill


class Patch(NamedTuple):
    """What to write over a part of a file: a pattern in hexadecimal, again and again."""

    offset: int
    length: int
    pattern: str

    @property
    def end(self) -> int:
        return self.offset + self.length

    @property
    def content(self) -> bytes:
        return self.part(0, self.length)

    def follows(self, other: Patch) -> bool:
        """Say whether it goes on where another one ends, with the same one byte."""
        is_same = self.pattern == other.pattern and len(self.pattern) == 2
        return is_same and self.offset == other.end

    def rest(self, at: int) -> Patch:
        """Return what is left without some bytes at the beginning."""
        pattern = self.part(at, len(self.pattern) // 2)
        return Patch(self.offset + at, self.length - at, pattern.hex())

    def part(self, at: int, length: int) -> bytes:
        """Return some of the bytes to write."""
        pattern = bytes.fromhex(self.pattern)
        at %= len(pattern)
        turned = pattern[at:] + pattern[:at]
        repeats = -(-length // len(pattern))
        return (turned * repeats)[:length]


def patch_block(block: bytearray, offset: int, patches: Iterable[Patch]) -> None:
    """Write patches over a block of a file that begins at `offset`."""
    for patch in patches:
        start = max(patch.offset, offset)
        end = min(patch.end, offset + len(block))
        if start < end:
            content = patch.part(start - patch.offset, end - start)
            block[start - offset : end - offset] = content


def patches_within(patches: Sequence[Patch], start: int, end: int) -> Sequence[Patch]:
    """Return those of a file's patches, which are in order, that touch a part of it."""
    first = bisect.bisect_right(patches, start, key=operator.attrgetter("end"))
    behind = bisect.bisect_left(patches, end, key=operator.attrgetter("offset"))
    return patches[first:behind]


PATCHES = re.compile(r"(?:(?:^| )\d{1,15},\d{1,15},(?:[0-9a-f]{2}){1,32})*+", re.ASCII)


def encode_patches(patches: Iterable[Patch]) -> str:
    """Return patches as a text, since a long film has thousands: a tenth of their memory."""
    return " ".join(f"{offset},{length},{pattern}" for offset, length, pattern in patches)


def decode_patches(text: str) -> tuple[Patch, ...]:
    """Return the patches of a text. Raises ValueError where they make no sense."""
    patches = []
    end = 0
    for row in text.split():
        offset, length, pattern = row.split(",")
        patch = Patch(int(offset), int(length), pattern)
        if patch.offset < end or patch.length < 1:
            raise ValueError("no patch")
        patches.append(patch)
        end = patch.end
    return tuple(patches)


@dataclasses.dataclass(frozen=True)
class Info:
    """The facts of one file, read from its content by a worker.

    `key` names the renditions and changes with the content. `added` is when the file came into the
    library, `changed` its ctime when it was read, s since the epoch. `width` and `height` are upright
    pixels, 0 where unknown. `taken` and `written` are ISO 8601 local time, with fraction and offset
    where the file tells them.
    `problem` says to the owner why there is no picture, or only part of one (`partial`).
    """

    key: str = ""
    kind: str = ""  # PHOTO, VIDEO, RAW, or '' for anything else
    media_type: str = ""
    width: int = 0
    height: int = 0
    animated: bool = False
    differs: bool = (
        False  # browsers may show the original otherwise than its renditions are
    )
    hdr: bool = False  # the original is brighter than paper where screen and browser can
    taken: str = ""
    written: str = ""  # EXIF's DateTime, of the camera or an editor
    caption: str = ""
    keywords: tuple[str, ...] = ()
    camera: str = ""
    lens: str = ""
    exposure_time: float = 0  # s (EXIF 0x829A)
    f_number: float = 0  # (EXIF 0x829D)
    iso: int = 0  # (EXIF 0x8827)
    focal_length: float = 0  # mm (EXIF 0x920A)
    duration: float = 0  # s
    film_start: int = 0  # of the film inside a motion photo, bytes from the file's start
    film_bytes: int = 0  # how long it is; 0: there is none
    content_id: str = ""  # which Apple gives a live photo and its film alike
    latitude: float | None = None  # degrees north
    longitude: float | None = None  # degrees east
    added: float = (
        0  # every way of putting a file into a folder sets its ctime, the first one is it
    )
    changed: float = 0  # 0: not known

    place: str = ""  # what to write over the file so that it tells no place, encoded
    place_kept: bool = True  # that does not hide the place, or nobody has looked yet
    crc: int = -1  # CRC-32 of the file; -1: unknown
    crc_without_place: int = -1  # CRC-32 of the file with its patches
    colour: str = ""  # the mean, '#rrggbb', once rendered
    sketch: str = ""  # 3 x 2 colours, row by row, each 'rgb' in hexadecimal
    problem: str = ""
    partial: bool = False
    no_poster: bool = False  # of a video: there is no picture of it, but it may well play
    unwritten: str = ""  # why its renditions could not be written
    retry: str = (
        NEVER  # NEVER, AT_START, AT_ONCE or LATER: when a file with a problem is read again
    )

    @property
    def patches(self) -> tuple[Patch, ...]:
        """What to write over the file so that it tells no place."""
        return decode_patches(self.place)

    @property
    def has_picture(self) -> bool:
        is_shown = not self.problem or self.partial
        return is_shown and not self.no_poster

    @property
    def lacks_checksum(self) -> bool:
        """Whether the file was read, but not whole."""
        return self.key != "" and self.crc < 0

    @property
    def tone(self) -> str:
        """The colour to show until the picture is there, '#rrggbb'; '' where none is known."""
        if self.colour or not self.sketch:
            return self.colour
        levels = [int(digit, 16) for digit in self.sketch]
        sums = (sum(levels[channel::3]) for channel in range(3))
        # 17 brings 15, the most that a digit can say, to 255.
        return "#" + "".join(f"{17 * total * 3 // len(levels):02x}" for total in sums)

    @property
    def spread(self) -> int:
        """How much its colours differ from corner to corner: 0 to 45."""
        if not self.sketch:
            return 0
        spread = 0
        levels = [int(digit, 16) for digit in self.sketch]
        for channel in range(3):
            values = levels[channel::3]
            spread += max(values)
            spread -= min(values)
        return spread

    @property
    def browser_shows(self) -> bool:
        """Whether browsers show the original itself, and as it is meant."""
        return self.media_type in BROWSER_TYPES and not self.differs


FIELDS = tuple(Info.__dataclass_fields__)
SKETCH = re.compile("(?:[0-9a-f]{18})?")


def _types_of(field: str) -> tuple[type, ...]:
    default = getattr(Info, field)
    if default is None:
        return (int, float, type(None))
    if isinstance(default, (str, bool)):
        return (type(default),)
    if isinstance(default, tuple):
        return (tuple, list)
    return (int, float)


_TYPES = {name: _types_of(name) for name in FIELDS}
_DEFAULTS = {name: getattr(Info, name) for name in FIELDS}
_SHARED = ("kind", "media_type", "camera", "lens")  # alike in many files


def _sparse(values: dict[str, Any]) -> Info:
    """Return an Info that holds what is not as by default: a quarter of the memory of all fields."""
    for name in _SHARED:
        if name in values:
            values[name] = sys.intern(values[name])
    info = object.__new__(Info)
    others = {name: value for name, value in values.items() if value != _DEFAULTS[name]}
    # One field after the other would take as long as all else that makes an Info of a line.
    object.__setattr__(info, "__dict__", others)
    return info


def with_facts(info: Info, **facts: Any) -> Info:
    """Return what is known of a file, some facts told anew; `replace` of dataclasses is much slower."""
    more = object.__new__(Info)
    vars(more).update(vars(info), **facts)
    return more


def info_from(fields: Mapping[str, Any]) -> Info:
    """Return an Info from JSON; fields that a newer version may have added are left out.

    Raises TypeError or ValueError where a value makes no sense.
    """
    values = {name: value for name, value in dict(fields).items() if name in _DEFAULTS}
    for name, value in values.items():
        if not isinstance(value, _TYPES[name]):
            raise TypeError(f"{name} is {value!r}")
    for name in ("taken", "written"):
        if date := values.get(name):
            dt.datetime.fromisoformat(date)
    if not SKETCH.fullmatch(values.get("sketch", "")):
        raise ValueError(f"sketch is {values['sketch']!r}")
    for name in ("crc", "crc_without_place"):
        if not -1 <= int(values.get(name, -1)) < 1 << 32:
            raise ValueError(f"{name} is {values[name]!r}")
    if "keywords" in values:
        # Intern takes texts alone, and many files have the same ones.
        values["keywords"] = tuple(map(sys.intern, values["keywords"]))
    if not PATCHES.fullmatch(values.get("place", "")):
        raise ValueError("no patches")
    return _sparse(values)


# --- Dates -------------------------------------------------------------------

_Match = re.Match[str]

MIDNIGHT = dt.time()
DATE_TEXT_LENGTH = 255  # searched of a text: of 60,000 blanks, a pattern would take 30 s
QUARTER = 900  # seconds: the time zones of the world are whole quarters of an hour apart
QUARTERS = range(-48, 57)  # from UTC-12 to UTC+14
GPS_TOLERANCE = 120  # seconds that a camera's clock may differ from GPS time
# Thai clocks count the years of the Buddhist era: 2567 is 2024.
BUDDHIST_AHEAD = 543
BUDDHIST_YEARS = range(1900 + BUDDHIST_AHEAD, 2100 + BUDDHIST_AHEAD)

# Clocks that were never set: those of QuickTime (ISO/IEC 14496-12, 8.2.2), MS-DOS, Unix and
# cameras; of Windows (FILETIME) and .NET. What was reset counts on from there, and no digital
# camera is as old as the first two days.
ZERO_DAYS = (dt.date(1904, 1, 1), dt.date(1980, 1, 1))
ZERO_MOMENTS = tuple(dt.datetime(year, 1, 1) for year in (1, 1601, 2000))
UNIX_ZERO = dt.datetime(1970, 1, 1)
LAST_ZERO_YEAR = 2000

# Signs of other scripts that stand for ':', '-' and ' ' in dates. No file name of Windows and
# macOS can hold ':' itself.
_SIGNS: dict[int, int | str] = {
    **str.maketrans("年月日時时分秒년월일시분초", "-- ::: -- :: "),
    **str.maketrans("꞉∶‐‑‒–—−", "::------"),
    **{sign: chr(sign - 0xFEE0) for sign in range(0xFF01, 0xFF5F)},  # full-width forms
}

# Halves of the day as phones and screenshots write them (Unicode CLDR, dayPeriods).
_MORNING = r"a\.?\s?m\.?|上午|午前|오전|凌晨|清晨|早上|ص|ق\.?ظ\.?|π\.?μ\.?|vorm\.?|dop\.?|öö|ก่อนเที่ยง|pg|дп"
_EVENING = r"p\.?\s?m\.?|下午|午後|오후|中午|晚上|م|ب\.?ظ\.?|μ\.?μ\.?|nachm\.?|odp\.?|ös|หลังเที่ยง|ptg|пп"
_HALF = rf"(?:{_MORNING}|{_EVENING})(?![^\W\d_])"
_BEFORE = rf"(?P<before>{_HALF})?\s?"
_AFTER = rf"(?:\s{{0,2}}(?P<after>{_HALF}))?"
_ZONE = r"(?:\s?(?P<zone>Z|(?:UTC|GMT)?\s?[+-]\d\d?(?::?\d\d)?|UTC|GMT)(?!\w))?"
_OFFSET = re.compile(r"\s*(?:UTC|GMT|Z)?\s?(?:([+-])(\d\d?):?(\d\d)?)?\s*", re.IGNORECASE)

# 0708, 070809, 070809.25
_DIGIT_CLOCK = (
    r"(?P<hour>[01]\d|2[0-4])(?P<minute>[0-5]\d)"
    r"(?:(?P<second>[0-5]\d|60)(?:[.,]?(?P<fraction>\d{1,9}))?)?(?!\d)"
)
# 7, 7:08, 7: 8: 9, 07h08m09, 07.08.09.25; the second sign is like the first
_SIGN_CLOCK = (
    r"(?P<hour>[01]?\d|2[0-4])(?!\d)"
    r"(?:(?P<sign>[:h._ -])\s?(?P<minute>[0-5]?\d)(?!\d)"
    r"(?:(?:(?P=sign)|[:.m])\s?(?P<second>[0-5]?\d|60)(?!\d)"
    r"(?:[.,:](?P<fraction>\d{1,9}))?)?)?"
)
# The rest of a text after its day. Not "-04:00" alone, which is a zone. To compile these patterns
# and those of names takes a tenth of the start of a worker, and most need none of them.
_CLOCKS = tuple(
    rf"(?!-\d\d:\d\d\s*$)[^\w+]{{0,4}}T?\s?{_BEFORE}{clock}{_AFTER}{_ZONE}"
    for clock in (_DIGIT_CLOCK, _SIGN_CLOCK)
)
# Blanks stand for what a camera does not know (EXIF 2.32, 4.6.5): "2024:05:   07:08:09" is no day.
_DAYS = (
    r"\s*(?P<year>\d{4})[:./-] ?(?P<month>\d\d?)[:./-] ?(?P<day>\d\d?)(?!\d)",
    r"\s*(?P<year>\d{4}) (?P<month>\d\d?) (?P<day>\d\d?)(?![\d:.])",
    r"\s*(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
)


# As nearly all cameras write it; the patterns above say the same of it, more slowly.
_WHOLE_DATE = re.compile(
    r"(?P<year>\d{4}):(?P<month>\d\d):(?P<day>\d\d) "
    r"(?P<before>)(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d):(?P<second>[0-5]\d)"
    r"(?P<fraction>)(?P<after>)(?P<zone>)\s*"
)


def _plain_letter(letter: str) -> str:
    category = unicodedata.category(letter)
    if category == "Nd":
        return str(unicodedata.decimal(letter))
    if category in ("Zs", "Cc"):
        return " "
    if category == "Cf":  # marks of direction, in Arabic and Hebrew
        return ""
    return letter


def _plain(text: str) -> str:
    """Return the beginning of a text with the digits, signs and spaces of ASCII."""
    text = text[:DATE_TEXT_LENGTH]
    if text.isascii():
        return text.replace("\0", " ")
    composed = unicodedata.normalize("NFC", text)
    translated = composed.translate(_SIGNS)
    return "".join(map(_plain_letter, translated))


def _first_match(patterns: Iterable[str], text: str, at: int = 0) -> _Match | None:
    for pattern in patterns:
        compiled = re.compile(pattern, re.IGNORECASE)  # once: `re` keeps it
        if match := compiled.match(text, at):
            return match
    return None


@functools.lru_cache(128)  # many files have the same few
def parse_zone(text: str) -> dt.tzinfo | None:
    """Return the time zone of an offset: '+05:45', '-0300', '+2', 'Z'; None where it is none."""
    match = _OFFSET.fullmatch(_plain(text)) if text else None
    if not match or not match[0].strip():
        return None
    sign, hours, minutes = match.groups("0")
    offset = dt.timedelta(hours=int(hours), minutes=int(minutes))
    if sign == "-":
        offset = -offset
    if round(offset.total_seconds() / QUARTER) not in QUARTERS:
        return None
    return dt.timezone(offset)


def _microsecond(digits: str) -> int:
    digits = digits.strip("\0 ")
    if not digits.isdecimal():
        return 0
    padded = f"{digits:0<6}"
    return int(padded[:6])


def _hour(clock: _Match) -> int:
    hour = int(clock["hour"])
    half = clock["before"] or clock["after"]
    if half and hour <= 12:
        is_evening = re.fullmatch(_EVENING, half, re.IGNORECASE)
        return hour % 12 + 12 * bool(is_evening)
    # Some phones count the hours from 1 to 24: 24:08:19 of a day is 00:08:19 of the same day
    # (LG Nexus 4, Nokia 7 plus).
    return hour % 24


def _time(clock: _Match, subseconds: str) -> dt.time:
    hour = _hour(clock)
    minute = int(clock["minute"] or 0)
    if not clock["second"]:
        return dt.time(hour, minute)
    second = int(clock["second"])
    second = min(second, 59)  # a leap second is the last one of its day, too
    fraction = clock["fraction"] or subseconds
    return dt.time(hour, minute, second, _microsecond(fraction))


def _is_unix_zero(local: dt.datetime) -> bool:
    """Say whether a time is the first moment of Unix as the clocks of some country show it."""
    ahead = (local - UNIX_ZERO).total_seconds()
    return abs(ahead) < 12 * 3600 and ahead % QUARTER == 0


def _is_zero(date: dt.datetime, clock: _Match | None) -> bool:
    """Say whether a date is that of a clock which was never set. A day alone tells of no clock."""
    if date.year > LAST_ZERO_YEAR:
        return False
    local = date.replace(tzinfo=None)
    if local.date() in ZERO_DAYS:
        return True
    if clock is None:
        return False
    return local in ZERO_MOMENTS or _is_unix_zero(local)


_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec".split()


def _month(text: str) -> int:
    if text.isdecimal():
        return int(text)
    return _MONTH_NAMES.index(text.lower()) + 1


def _day(match: _Match) -> dt.datetime | None:
    year = int(match["year"])
    if year in BUDDHIST_YEARS:
        year -= BUDDHIST_AHEAD
    month = _month(match["month"])
    day = int(match["day"])
    try:
        return dt.datetime(year, month, day)
    except ValueError:
        return None


def _date(
    day: _Match, clock: _Match | None, offset: str = "", subseconds: str = ""
) -> dt.datetime | None:
    """Return the date of a day and a clock; None for what is in no calendar, or a clock's zero."""
    date = _day(day)
    if date and clock:
        zone = parse_zone(clock["zone"] or "") or parse_zone(offset)
        time = _time(clock, subseconds)
        date = dt.datetime.combine(date, time, zone)
    if date and _is_zero(date, clock):
        return None
    return date


def parse_date(text: str, offset: str = "", subseconds: str = "") -> dt.datetime | None:
    """Return a date as EXIF (2.32, 4.6.5) or XMP (part 1, 8.2.1.1) write it, or nearly so.

    What is missing or makes no sense ends the clock before it; a day alone is midnight. None where
    not even the day is certain. The text's own offset and fraction go before those that follow.
    """
    text = _plain(text)
    if whole := _WHOLE_DATE.fullmatch(text):
        return _date(whole, whole, offset, subseconds)
    day = _first_match(_DAYS, text)
    if day is None:
        return None
    clock = _first_match(_CLOCKS, text, day.end())
    return _date(day, clock, offset, subseconds)


def local_time(moment: float) -> dt.datetime:
    """Return a moment, s since the epoch, as local time; as UTC where the system's clock ends."""
    try:
        return dt.datetime.fromtimestamp(moment).astimezone()
    except (OSError, OverflowError, ValueError):  # 32 bits end in 2038
        return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(seconds=moment)


# Names: the day, and where one stands behind it, the clock.
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_MONTH = r"(?P<month>0[1-9]|1[0-2])"
_MONTH_DAY = r"(?P<day>0[1-9]|[12]\d|3[01])"
_END = r"(?=\D|\d{6}|$)"  # the clock may follow without a sign
_MONTH_NAME = (
    rf"(?P<month>{'|'.join(_MONTH_NAMES)})"
    r"(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?(?![a-z])"
)
_NAME_YEAR = re.compile(r"19\d\d|2[045]\d\d")  # each of the following has one
_NAME_DAYS = tuple(
    rf"(?i)(?<!\d){pattern}"
    for pattern in (
        rf"{_YEAR}{_MONTH}{_MONTH_DAY}",
        # Dashboard and action cameras: 2024_0107_110258
        rf"{_YEAR}_{_MONTH}{_MONTH_DAY}(?=_\d{{6}}(?!\d))",
        rf"{_YEAR}(?P<sign>[-_.:]){_MONTH}(?P=sign){_MONTH_DAY}{_END}",
        # not of "07-01-2024 11 02 58"
        rf"(?<!-){_YEAR} {_MONTH} {_MONTH_DAY}{_END}",
        # Finnish and Polish screenshots; dates of Korea and Hungary, or with 年 or 년
        rf"{_YEAR}(?P<sign>-|[-.] )(?P<month>\d\d?)(?P=sign)(?P<day>\d\d?)(?!\d)",
        # Thai screenshots, of the Buddhist era
        rf"(?P<year>2[45]\d\d)(?P<sign>[-_.]){_MONTH}(?P=sign){_MONTH_DAY}(?!\d)",
        # Between dots the day comes first (Unicode CLDR); exports of Telegram have an "@".
        rf"(?<!\d\.)(?P<day>\d\d?)\.(?P<month>\d\d?)\.{_YEAR}(?!\d)",
        rf"(?<=@){_MONTH_DAY}-{_MONTH}-{_YEAR}(?!\d)",
        # Elsewhere only a day from 13 on, or one like the month, says which is which.
        rf"(?P<day>1[3-9]|2\d|3[01])(?P<sign>[-_ ]){_MONTH}(?P=sign){_YEAR}(?!\d)",
        rf"{_MONTH}(?P<sign>[-_ ])(?P<day>1[3-9]|2\d|3[01])(?P=sign){_YEAR}(?!\d)",
        rf"{_MONTH}(?P<sign>[-_ ])(?P<day>(?P=month))(?P=sign){_YEAR}(?!\d)",
        # Adobe Scan: "07 Jan 2024", "Jan 7, 2024"
        rf"(?P<day>\d\d?)[-_. ]{{0,2}}{_MONTH_NAME}[-_., ]{{0,2}}{_YEAR}(?!\d)",
        rf"(?<![a-z]){_MONTH_NAME}[-_. ]{{0,2}}(?P<day>\d\d?)[-_., ]{{1,2}}{_YEAR}(?!\d)",
    )
)
_NAME_ZONE = r"(?:(?P<zone>Z|\s?UTC|\+\d\d:?\d\d)(?!\w))?"
_HOUR_MINUTE = r"(?P<hour>[01]?\d|2[0-4])(?P<sign>[-_.:h])(?P<minute>[0-5]\d)"
_NO_SECOND = r"(?P<second>)(?P<fraction>)(?!\d|[-_.: ]\d{4})"
_NAME_CLOCKS = (
    # 110258, 110258139, T110258.123Z
    r"[-_., T]{0,3}(?P<before>)(?P<hour>[01]\d|2[0-4])(?P<minute>[0-5]\d)"
    r"(?P<second>[0-5]\d|60)\.?(?P<fraction>\d{1,3}|\d{6})?(?!\d)"
    rf"{_AFTER}{_NAME_ZONE}",
    # 11-02-58-123, "at 9.02.58 PM", " 下午9.02.58", 11h02m58s
    rf"\D{{0,24}}?{_BEFORE}{_HOUR_MINUTE}(?:(?P=sign)|m)(?P<second>[0-5]\d|60)"
    rf"(?:[-.](?P<fraction>\d{{3}}|\d{{6}}))?(?!\d)s?{_AFTER}{_NAME_ZONE}",
    # "11 02 58", as Dropbox writes it
    rf"[-_,. ]{{1,2}}{_BEFORE}(?P<hour>[01]?\d|2[0-4])\s(?P<minute>[0-5]\d)\s"
    rf"(?P<second>[0-5]\d|60)(?P<fraction>)(?!\d){_AFTER}{_NAME_ZONE}",
    # "at 9.02 PM"
    rf"\D{{0,24}}?(?P<before>){_HOUR_MINUTE}{_NO_SECOND}\s{{0,2}}(?P<after>{_HALF})"
    rf"{_NAME_ZONE}",
    # _11-02, " at 11.02"
    r"(?:[-_., T]{1,2}|\s(?:at|um|à|om|kl\.?|alle|às|в|o)\s)"
    r"(?P<before>)(?P<hour>[01]\d|2[0-4]|\d(?=[.:h]))[-_.:h](?P<minute>[0-5]\d)"
    rf"{_NO_SECOND}(?P<after>){_NAME_ZONE}",
    # 202401071102, 20240107T1102
    r"(?:T|(?<=\d))(?P<before>)(?P<hour>[01]\d|2[0-4])(?P<minute>[0-5]\d)"
    rf"{_NO_SECOND}(?P<after>){_NAME_ZONE}",
)
# Facebook, WeChat and screen recordings of iOS: s or ms since the epoch.
_NAME_MOMENT = re.compile(
    r"(?:FB_IMG_|mmexport|wx_camera_|RPReplay_Final)(\d{10})(\d{3})?(?!\d)"
)


def _date_at(text: str, day: _Match) -> dt.datetime | None:
    clock = _first_match(_NAME_CLOCKS, text, day.end())
    follows = text[day.end() :]
    if clock is None and re.match(r"\d{4}", follows):  # it is part of a longer number
        return None
    return _date(day, clock)


def _days_in_name(name: str) -> list[_Match]:
    """Return whatever looks like a day, from left to right."""
    if not _NAME_YEAR.search(name):  # as in most names, which cost little then
        return []
    matches = (re.finditer(pattern, name) for pattern in _NAME_DAYS)
    return sorted(itertools.chain.from_iterable(matches), key=re.Match.start)


def date_in_name(name: str) -> dt.datetime | None:
    """Return the date in a file name, such as IMG_20240107_110258 or 2024-01-07 11.02.58."""
    text = _plain(name)
    for day in _days_in_name(text):
        if date := _date_at(text, day):
            return date
    moment = _NAME_MOMENT.search(text)
    if moment is None:
        return None
    seconds, milliseconds = moment.groups("0")
    return local_time(int(seconds) + int(milliseconds) / 1000)


def first_date(dates: Iterable[dt.datetime | None]) -> dt.datetime | None:
    """Return the first date there is; of a day alone, the next one that tells the time on that day."""
    first = None
    for date in dates:
        if date is None:
            continue
        if first is None:
            first = date
        is_same_day = date.date() == first.date()
        if is_same_day and date.time() != MIDNIGHT:
            return date
    return first


def is_same_moment(one: str, other: str, tolerance: float) -> bool:
    """Say whether two dates in ISO 8601 differ by at most so many seconds.

    Where one alone tells its offset, that of the other may be any that there is.
    """
    first, second = dt.datetime.fromisoformat(one), dt.datetime.fromisoformat(other)
    if (first.tzinfo is None) == (second.tzinfo is None):
        return abs((first - second).total_seconds()) <= tolerance
    if second.tzinfo is None:
        first, second = second, first
    ahead = (first - second.astimezone(dt.UTC).replace(tzinfo=None)).total_seconds()
    quarters = round(ahead / QUARTER)
    return quarters in QUARTERS and abs(ahead - quarters * QUARTER) <= tolerance


# Cameras without a clock told 1904 or 1970 first; in 2100 no zone leads out of the calendar.
FILM_YEARS = range(1971, 2100)
# Seconds by which the clock of a film's name may miss its beginning or end.
FILM_TOLERANCE = 30


def _zone_in_name(info: Info, name: str) -> dt.tzinfo | None:
    """Return how far the clock in a film's name is ahead of the film's own time, which is UTC; None: no zone is.

    Either may be of the film's beginning or of its end.
    """
    local = date_in_name(name)
    if local is None or local.tzinfo:
        return None
    is_day_alone = local.time() == MIDNIGHT
    # As Pixel phones and OneDrive name what they have.
    is_in_utc = name.startswith("PXL_") or "_iOS." in name
    if is_day_alone or is_in_utc:
        return None
    moment = dt.datetime.fromisoformat(info.taken).replace(tzinfo=None)
    ahead = (local - moment).total_seconds()
    for seconds in (ahead, ahead + info.duration, ahead - info.duration):
        quarters = round(seconds / QUARTER)
        if quarters not in QUARTERS:
            continue
        if abs(seconds - quarters * QUARTER) <= FILM_TOLERANCE:
            return dt.timezone(dt.timedelta(seconds=quarters * QUARTER))
    return None


def _is_in_utc(info: Info, taken: dt.datetime) -> bool:
    """Say whether a date tells the moment alone: films are dated in UTC wherever they were taken."""
    is_film = info.kind == VIDEO and taken.year in FILM_YEARS
    return is_film and taken.utcoffset() == dt.timedelta(0)


def zone_told(info: Info, name: str) -> dt.tzinfo | None:
    """Return the time zone that the metadata of a file, or its name with them, tell; None: they tell none."""
    if not info.taken:
        return None
    taken = dt.datetime.fromisoformat(info.taken)
    if _is_in_utc(info, taken):
        return _zone_in_name(info, name)
    return taken.tzinfo


def date_told(info: Info, name: str, zone: dt.tzinfo | None) -> dt.datetime | None:
    """Return the date taken of a file's metadata, None where they tell none.

    That of a film is shown in the zone that its name tells, else in `zone`, else in that of the server.
    """
    if not info.taken:
        return None
    taken = dt.datetime.fromisoformat(info.taken)
    if not _is_in_utc(info, taken):
        return taken
    zone = _zone_in_name(info, name) or zone
    return taken.astimezone(zone) if zone else local_time(taken.timestamp())


ExifValues: TypeAlias = Mapping[int, Any]  # by tag


class ExifDate(NamedTuple):
    """The tags of one date in EXIF (2.32, 4.6.5): those of its offset stand best first."""

    date: int
    offsets: tuple[int, ...]
    subseconds: int


ORIGINAL = ExifDate(0x9003, (0x9011, 0x9012, 0x9010), 0x9291)  # DateTimeOriginal
DIGITIZED = ExifDate(0x9004, (0x9012, 0x9011, 0x9010), 0x9292)  # DateTimeDigitized
WRITTEN = ExifDate(0x0132, (0x9010,), 0x9290)  # DateTime: also when an editor wrote it
DATE_TAGS = (0x0132, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292)

# The same two dates in XMP, best first (XMP part 2, 3.2; MWG guidelines 2.0, on dates).
_XMP_DATES = tuple(
    re.compile(name + rb"(?:\s*=\s*[\"']|>\s*)([^\"'<]{8,60})")
    for name in (
        rb"exif:DateTimeOriginal",
        rb"photoshop:DateCreated",
        rb"exif:DateTimeDigitized",
        rb"x[am]p:CreateDate",
    )
)


def _exif_text(exif: ExifValues, tag: int) -> str:
    value = exif.get(tag)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    return ""


def _gps_time(gps: ExifValues) -> dt.datetime:
    """Return GPS time, which is UTC. Raises METADATA_ERRORS."""
    hours, minutes, seconds = (int(float(part)) for part in gps[7])  # GPSTimeStamp
    day = parse_date(_exif_text(gps, 29))  # GPSDateStamp
    if day is None:
        raise ValueError("no day of GPS")
    return day + dt.timedelta(hours=hours, minutes=minutes, seconds=seconds)


def offset_from_gps(local: dt.datetime, gps: ExifValues) -> dt.datetime:
    """Add the time zone that follows from GPS time, where the difference is a plausible one."""
    if local.tzinfo or local.time() == MIDNIGHT:
        return local
    try:
        ahead = (local - _gps_time(gps)).total_seconds()
    except METADATA_ERRORS:
        return local
    quarters = round(ahead / QUARTER)
    rest = abs(ahead - quarters * QUARTER)
    if rest > GPS_TOLERANCE or quarters not in QUARTERS:
        return local
    zone = dt.timezone(dt.timedelta(seconds=quarters * QUARTER))
    return local.replace(tzinfo=zone)


def exif_date(exif: ExifValues, tags: ExifDate) -> dt.datetime | None:
    """Return a date of EXIF with the first of its offsets that is one, and its fraction."""
    text = _exif_text(exif, tags.date)
    if not text:
        return None
    offsets = [_exif_text(exif, tag) for tag in tags.offsets]
    offset = next(filter(parse_zone, offsets), "")
    return parse_date(text, offset, _exif_text(exif, tags.subseconds))


def _told_dates(
    exif: ExifValues, gps: ExifValues, xmp: bytes
) -> Iterator[dt.datetime | None]:
    for tags in (ORIGINAL, DIGITIZED):
        if date := exif_date(exif, tags):
            yield offset_from_gps(date, gps)
    for pattern in _XMP_DATES:
        for match in pattern.finditer(xmp):
            text = match[1].decode("utf-8", "replace")
            yield parse_date(html.unescape(text))


def date_taken(exif: ExifValues, gps: ExifValues, xmp: bytes) -> dt.datetime | None:
    """Return the local time at which a photo was taken, aware where its offset is known.

    Order: DateTimeOriginal (0x9003), DateTimeDigitized (0x9004), then XMP.
    """
    return first_date(_told_dates(exif, gps, xmp))


# --- Metadata ----------------------------------------------------------------

XMP_TEXT_BYTES = 65536  # of one property in all its languages
CAPTION_LENGTH = 1000  # characters
LABEL_LENGTH = 100  # characters
KEYWORD_LENGTH = 64  # characters, as long as IPTC has them (IIM 4.2, 2:25)
KEYWORDS = 64
SMALLEST = 1e-6  # of exposure times and the like; less is a division by almost nothing
MAKER_TAGS = 200  # read of a maker note; Apple writes 60
# TIFF 6.0, section 2: the types of values, with their forms for `struct`; fractions are of two numbers.
EXIF_ASCII = 2
EXIF_UTF8 = 129  # EXIF 3.0, 4.6.2
EXIF_TEXTS = frozenset((EXIF_ASCII, EXIF_UTF8))
EXIF_BYTES = frozenset((1, 7))
EXIF_FRACTIONS = frozenset((5, 10))
# 13 is an offset; those from 16 on are of BigTIFF.
EXIF_FORMS = {
    EXIF_UTF8: "B",
    **dict(enumerate("B B H L LL b B h l ll f d L B B Q q Q".split(), 1)),
}
EXIF_TYPES = {
    order: {type: struct.Struct(order + form) for type, form in EXIF_FORMS.items()}
    for order in "<>"
}
EXIF_ENTRIES = 4096  # of a directory; cameras write a hundred
EXIF_VALUE_BYTES = 65536  # as much as the EXIF of a JPEG can hold in all
EXIF_ORDERS = {b"II": "<", b"MM": ">"}
ORIENTATION_TAG, DETAILS_TAG, GPS_POINTER = 0x0112, 0x8769, 0x8825
# EXIF 2.32, 4.6.4: maker, model, orientation and the inner directories. TIFF/EP and some writers
# keep all dates here.
FIRST_TAGS = (*DATE_TAGS, 0x010F, 0x0110, ORIENTATION_TAG, DETAILS_TAG, GPS_POINTER)
# EXIF 2.32, 4.6.5: exposure time, aperture, ISO, focal length, maker note, lens.
DETAIL_TAGS = (*DATE_TAGS, 0x829A, 0x829D, 0x8827, 0x8832, 0x920A, 0x927C, 0xA434)
GPS_TAGS = (1, 2, 3, 4, 7, 29)  # 4.6.6: latitude, longitude, time and day, with their signs
LATITUDE, LONGITUDE = 2, 4
JOINERS = (
    "\u200c\u200d"  # Persian words and emoji of several people fall apart without them
)


def _read_or_none(read: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function reads; None where the metadata are so bad that the function raises."""
    try:  # `contextlib.suppress` takes longer than most of what is read
        return read(*arguments)
    except METADATA_ERRORS:
        return None


def _first_number(value: Any) -> float:
    if isinstance(value, tuple):
        value = value[0]
    return float(value)


def _number(value: Any) -> float:
    """Return a positive number; 0 for anything that makes no sense as one."""
    number: float = _read_or_none(_first_number, value) or 0
    if math.isfinite(number) and number > SMALLEST:
        return number
    return 0


def _label(value: Any, most: int = LABEL_LENGTH) -> str:
    """Return a text of metadata on one line, at most so many characters of it."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = str(value or "")
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c in JOINERS else " " for c in text)
    return " ".join(text.split())[:most].rstrip()


def _coordinate_parts(value: Any) -> Iterable[Any]:
    """Return degrees, minutes and seconds. Seen: '52,00000,50,00000,34,01180', decimal commas."""
    if isinstance(value, float):
        return (value,)
    if not isinstance(value, str):
        return tuple(value)
    pieces = value.split(",")
    pairs = zip(pieces[::2], pieces[1::2], strict=True)
    return [f"{whole}.{part}" for whole, part in pairs]


def _degrees(gps: ExifValues, tag: int) -> float | None:
    """Return the coordinate at an EXIF tag, whose hemisphere stands one tag before; None: none."""
    try:
        degrees, *less = map(float, _coordinate_parts(gps[tag]))
        # Where degrees or minutes have a fraction, what is less is 0, 0/0 or left out.
        known = list(filter(math.isfinite, less))
        minutes, seconds, *_ = *known, 0, 0
        total = degrees + minutes / 60 + seconds / 3600
    except METADATA_ERRORS:
        return None
    most = 90 if tag == LATITUDE else 180
    if not math.isfinite(total) or abs(total) > most:
        return None
    hemisphere = str(gps.get(tag - 1, "")).strip("\0 ").upper()
    if hemisphere.startswith(("S", "W")):
        return -total
    return total


# 52,30.25N or 52,30,15N (XMP part 1, 8.2, GPSCoordinate)
_XMP_PLACE = re.compile(
    rb"exif:GPS(?:Lat|Long)itude(?:=\"|>)(\d+),(\d+(?:\.\d+)?)(?:,(\d+))?([NSEW])"
)


def _gps_in_xmp(xmp: bytes) -> dict[int, Any]:
    """Return the place that XMP tells, as EXIF tells it."""
    gps: dict[int, Any] = {}
    for *parts, hemisphere in _XMP_PLACE.findall(xmp):
        tag = LATITUDE if hemisphere in b"NS" else LONGITUDE
        gps[tag - 1] = hemisphere.decode()
        gps[tag] = tuple(float(part or 0) for part in parts)
    return gps


_XMP_TEXT = re.compile(rb"(?:\A|<rdf:li\b)([^<>]*)>([^<]+)")


def _decode_text(text: bytes, errors: str = "strict") -> str:
    try:
        return text.decode("utf-8", errors)
    except UnicodeDecodeError:
        return text.decode("cp1252", "ignore")  # Latin-1 as Windows extends it


def _xmp_texts(xmp: bytes, name: bytes) -> list[str]:
    """Return the texts of a property of XMP's Dublin Core, that in the default language first.

    Source: XMP part 1, 8.2.2.4.
    """
    _, _, after = xmp.partition(b"<dc:" + name)
    block, end, _ = after.partition(b"</dc:" + name)
    if not end:
        return []
    entries = _XMP_TEXT.findall(block[:XMP_TEXT_BYTES])
    entries.sort(key=lambda entry: b"x-default" not in entry[0])
    texts = []
    for _, content in entries:
        text = _decode_text(content)
        texts.append(html.unescape(text))
    return texts


Iptc: TypeAlias = Mapping[tuple[int, int], Any]  # by record and dataset


def _iptc_texts(iptc: Iptc, dataset: int) -> list[str]:
    """Return texts of IPTC's application record (IIM 4.2, 6)."""
    values = iptc.get((2, dataset)) or []
    if not isinstance(values, list):
        values = [values]
    # Coded character set 1:90 says UTF-8. The text may still be cut within a character, by the
    # old limits of length.
    character_set = iptc.get((1, 90)) or b""
    errors = "ignore" if b"\x1b%G" in character_set else "strict"
    return [_decode_text(value, errors) for value in values]


def _iptc_date(iptc: Iptc) -> dt.datetime | None:
    """Return when a picture was made (IIM 4.2, 2:55 and 2:60), where XMP does not repeat it."""
    texts = (*_iptc_texts(iptc, 55)[:1], *_iptc_texts(iptc, 60)[:1])
    return parse_date(" ".join(texts))


def read_caption(iptc: Iptc, xmp: bytes) -> str:
    """Return the description of a photo, else its title; XMP before IPTC, '' where there is none.

    Not EXIF's ImageDescription: cameras write their own name there.
    """
    texts = [
        *_xmp_texts(xmp, b"description"),
        *_iptc_texts(iptc, 120)[:1],
        *_xmp_texts(xmp, b"title"),
        *_iptc_texts(iptc, 5)[:1],
    ]
    for text in texts:
        caption = _label(text, CAPTION_LENGTH)
        if caption:
            return caption
    return ""


def read_keywords(iptc: Iptc, xmp: bytes) -> list[str]:
    """Return the keywords that people gave a photo."""
    texts = [*_xmp_texts(xmp, b"subject"), *_iptc_texts(iptc, 25)]
    keywords: list[str] = []
    for text in texts:
        keyword = _label(text, KEYWORD_LENGTH)
        if keyword and keyword not in keywords:
            keywords.append(keyword)
        if len(keywords) == KEYWORDS:
            break
    return keywords


def _device(exif: ExifValues, tag: int) -> str:
    """Return the name of a camera or a lens, without what lay behind it in the camera's memory."""
    text = _exif_text(exif, tag).strip("\0")
    name, _, _ = text.partition("\0")
    return _label(name)


def _camera(exif: ExifValues) -> str:
    """Return maker and model (EXIF 0x010F and 0x0110), without the maker's name twice."""
    maker = _device(exif, 0x010F)
    model = _device(exif, 0x0110)
    if model.lower().startswith(maker.lower()):
        return model
    return f"{maker} {model}".strip()


def _iso(exif: ExifValues) -> int:
    """Return the sensitivity; one that is too large for its tag stands in another (EXIF 2.32, 4.6.5)."""
    iso = _number(exif.get(0x8827))
    if iso == 65535:
        iso = _number(exif.get(0x8832)) or iso
    return int(iso)


def _content_id(note: bytes) -> str:
    """Return tag 0x0011 of Apple's maker note, which its film has, too. Raises METADATA_ERRORS."""
    if not note.startswith(b"Apple iOS\0"):
        return ""
    order = ">" if note[12:14] == b"MM" else "<"
    [count] = struct.unpack_from(f"{order}H", note, 14)
    for nth in range(min(count, MAKER_TAGS)):
        tag, form, length, at = struct.unpack_from(f"{order}HHII", note, 16 + 12 * nth)
        if tag == 0x0011 and form == EXIF_ASCII:
            return _label(note[at : at + min(length, LABEL_LENGTH)])
    return ""


def _xmp_of(image: Header) -> bytes:
    xmp = image.info.get("xmp", b"")
    if isinstance(xmp, bytes):
        return xmp
    return str(xmp).encode()


def _quotient(number: float, below: float) -> float:
    if below == 0:
        return math.nan
    return number / below


class ExifLayout(NamedTuple):
    """The forms of the parts of a directory, and how many bytes they take."""

    number: str  # of entries
    number_size: int
    entry: str
    entry_size: int
    offset: str
    offset_size: int


PLAIN_EXIF = ExifLayout("H", 2, "HHL4s", 12, "L", 4)
BIG_EXIF = ExifLayout("Q", 8, "HHQ8s", 20, "Q", 8)  # of a BigTIFF


def _decoded(type: int, content: bytes, form: struct.Struct) -> Any:
    """Return a value of EXIF: a text, bytes, a number or several (TIFF 6.0, section 2)."""
    if type in EXIF_TEXTS:
        # Cameras keep to ASCII, people who name their own do not.
        text = content.removesuffix(b"\0")
        return _decode_text(text)
    if type in EXIF_BYTES:
        return content
    numbers = form.iter_unpack(content)
    values: tuple[float, ...] = tuple(itertools.chain.from_iterable(numbers))
    if type in EXIF_FRACTIONS:
        values = tuple(map(_quotient, values[::2], values[1::2]))
    if len(values) == 1:
        return values[0]
    return values


ReadAt: TypeAlias = Callable[[int, int], bytes]  # so many bytes from an offset on


class Exif(NamedTuple):
    """The EXIF of a photo, a TIFF structure, of which a few values are read.

    Pillow's own reader takes ten times as long, a third of the time of all facts.
    """

    read: ReadAt
    order: str = "<"
    layout: ExifLayout = PLAIN_EXIF
    first: ExifValues = MappingProxyType({})  # what its first directory tells
    next: int = 0  # where the directory of the thumbnail lies; 0: there is none

    def number(self, form: str, at: int, size: int) -> int:
        content = self.read(at, size)
        number: int
        [number] = struct.unpack(self.order + form, content)
        return number

    def entries(self, at: int) -> bytes:
        """Return the entries of a directory, whole ones. Raises METADATA_ERRORS."""
        if type(at) is not int or at <= 0:
            raise ValueError("no directory")
        layout = self.layout
        count = self.number(layout.number, at, layout.number_size)
        count = min(count, EXIF_ENTRIES)
        start = at + layout.number_size
        content = self.read(start, count * layout.entry_size)
        rest = len(content) % layout.entry_size
        return content[: len(content) - rest]

    def directory(self, at: int, tags: Iterable[int]) -> dict[int, Any]:
        """Return some values of a directory. Raises METADATA_ERRORS."""
        values: dict[int, Any] = {}
        missing = set(tags)
        entries = self.entries(at)
        forms = EXIF_TYPES[self.order]
        offset_form = self.order + self.layout.offset
        entry_form = self.order + self.layout.entry
        for tag, type, number, content in struct.iter_unpack(entry_form, entries):
            # Four thousand entries may name one tag, and each as much as there may be.
            if tag not in missing:
                continue
            missing.remove(tag)
            form = forms.get(type)
            if form is None:
                continue
            length = number * form.size
            if len(content) < length <= EXIF_VALUE_BYTES:
                [offset] = struct.unpack(offset_form, content)
                content = self.read(offset, length)
            if 0 < length <= len(content):
                values[tag] = _decoded(type, content[:length], form)
        return values

    def inner(self, pointer: int, tags: Iterable[int]) -> dict[int, Any]:
        """Return some values of a directory that the first one points to; none where it is bad."""
        at = self.first.get(pointer)
        return _read_or_none(self.directory, at, tags) or {}


def _exif_reader(image: Header) -> ReadAt:
    """Return what reads the EXIF of an open photo. Raises METADATA_ERRORS."""
    if isinstance(image, TiffPhoto):
        file: Any = image.fp

        def read(at: int, length: int) -> bytes:
            file.seek(at)
            content: bytes = file.read(length)
            return content

        return read
    block = image.info.get("exif")
    if block is None:  # as ImageMagick writes it into a PNG
        lines = image.info["Raw profile type exif"].split("\n")
        digits = "".join(lines[3:])
        length = 2 * int(lines[2])
        block = bytes.fromhex(digits[:length])  # some write junk behind
    while block.startswith(EXIF_MARK):  # some have it twice
        block = block.removeprefix(EXIF_MARK)
    return lambda at, length: block[at : at + length]


def read_tiff(read: ReadAt, tags: Iterable[int]) -> Exif:
    """Return a TIFF structure with some values of its first directory. Raises METADATA_ERRORS."""
    header = read(0, 4)
    order = EXIF_ORDERS[header[:2]]
    is_big = b"+" in header
    layout = BIG_EXIF if is_big else PLAIN_EXIF
    exif = Exif(read, order, layout)
    size = layout.offset_size
    at = exif.number(layout.offset, size, size)
    first = exif.directory(at, tags)
    count = exif.number(layout.number, at, layout.number_size)
    end = at + layout.number_size + count * layout.entry_size
    # Some writers leave out what should stand there.
    next = _read_or_none(exif.number, layout.offset, end, size) or 0
    return exif._replace(first=first, next=next)


def _open_exif(image: Header) -> Exif:
    return read_tiff(_exif_reader(image), FIRST_TAGS)


def open_exif(image: Header) -> Exif:
    """Return the EXIF of an open photo, without any values where it has none or bad one."""
    return _read_or_none(_open_exif, image) or Exif(lambda at, length: b"")


def read_metadata(image: Header, exif: Exif) -> dict[str, Any]:
    """Return the fields of Info that come from EXIF, XMP and IPTC. Bad metadata cost no others."""
    details = exif.inner(DETAILS_TAG, DETAIL_TAGS)
    xmp = _xmp_of(image)
    gps = _gps_in_xmp(xmp) | exif.inner(GPS_POINTER, GPS_TAGS)
    iptc: Iptc = {}
    if not isinstance(image, JpegHeader):
        iptc = _read_or_none(IptcImagePlugin.getiptcinfo, image) or {}
    dates = {**exif.first, **details}
    fields: dict[str, Any] = {
        "camera": _camera(exif.first),
        "lens": _device(details, 0xA434),
        "exposure_time": _number(details.get(0x829A)),
        "f_number": _number(details.get(0x829D)),
        "iso": _iso(details),
        "focal_length": _number(details.get(0x920A)),
        "content_id": _read_or_none(_content_id, details.get(0x927C)) or "",
    }
    if xmp or iptc:
        fields["caption"] = read_caption(iptc, xmp)
        fields["keywords"] = tuple(read_keywords(iptc, xmp))
    if taken := date_taken(dates, gps, xmp) or _iptc_date(iptc):
        fields["taken"] = taken.isoformat()
    if written := exif_date(dates, WRITTEN):
        fields["written"] = written.isoformat()
    latitude, longitude = _degrees(gps, LATITUDE), _degrees(gps, LONGITUDE)
    if latitude is not None and longitude is not None:
        fields |= {"latitude": latitude, "longitude": longitude}
    return fields


# --- Colours -----------------------------------------------------------------

# Coding-independent code points (ITU-T H.273), as AVIF, HEIC and PNG name colours:
# chromaticities of white, red, green and blue (table 2).
PRIMARIES_TEXT = """
1   0.3127 0.3290  0.640 0.330  0.300 0.600  0.150 0.060
4   0.3100 0.3160  0.670 0.330  0.210 0.710  0.140 0.080
5   0.3127 0.3290  0.640 0.330  0.290 0.600  0.150 0.060
6   0.3127 0.3290  0.630 0.340  0.310 0.595  0.155 0.070
7   0.3127 0.3290  0.630 0.340  0.310 0.595  0.155 0.070
9   0.3127 0.3290  0.708 0.292  0.170 0.797  0.131 0.046
11  0.3140 0.3510  0.680 0.320  0.265 0.690  0.150 0.060
12  0.3127 0.3290  0.680 0.320  0.265 0.690  0.150 0.060
"""
PRIMARIES = {
    int(code): tuple(map(float, numbers))
    for code, *numbers in map(str.split, PRIMARIES_TEXT.strip().splitlines())
}
BT709 = PRIMARIES[1]
PQ, HLG = 16, 18  # the transfer characteristics of high dynamic range
PROFILE_BYTES = 4 << 20  # of BMP
WHITE = 203  # candela per square metre, of white paper (ITU-R BT.2408, table 1)
PEAK = 1000 / WHITE  # of high dynamic range, where white paper is 1

Curve = Callable[[float], float]  # from a value to light, both 0 to 1
Vector = tuple[float, float, float]


def _vector(text: str) -> Vector:
    one, two, three = map(float, text.split())
    return one, two, three


# The white of ICC profiles, and the cones' response to X, Y and Z (Bradford; ICC.1:2022, E).
D50 = _vector("0.9642 1 0.8249")
BRADFORD = (
    _vector("0.8951 -0.7502 0.0389"),
    _vector("0.2664 1.7135 -0.0685"),
    _vector("-0.1614 0.0367 1.0296"),
)


class Colours(NamedTuple):
    """What the numbers of a photo's pixels mean."""

    chromaticities: tuple[float, ...] = BT709  # of white, red, green and blue
    curve: Curve | None = (
        None  # None: that of sRGB, or so near it that browsers take it for that
    )
    is_hdr: bool = False

    @property
    def are_srgb(self) -> bool:
        return self.curve is None and self.chromaticities == BT709


def _srgb_curve(value: float) -> float:
    """Return the light of a value (IEC 61966-2-1)."""
    if value <= 0.04045:
        return value / 12.92
    return float(((value + 0.055) / 1.055) ** 2.4)


def _dimmed(light: float) -> float:
    """Bring light up to PEAK into what paper reflects, the brightest parts most (Reinhard 2002)."""
    light = min(light, PEAK)
    return light * (1 + light / PEAK**2) / (1 + light)


def _light_of_pq(value: float) -> float:
    """Return the light of a value on a screen, where white paper is 1 (SMPTE ST 2084)."""
    root = value ** (32 / 2523)
    base = max(0, root - 0.8359375) / (18.8515625 - 18.6875 * root)
    return float(10_000 / WHITE * base ** (8192 / 1305))


def _light_of_hlg(value: float) -> float:
    """Return the light of a value before the camera, at most 1 (ITU-R BT.2100, table 5)."""
    if value > 0.5:
        return (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return value**2 / 3


def _pq_curve(value: float) -> float:
    """Return the light of a value on paper."""
    return _dimmed(_light_of_pq(value))


def _hlg_curve(value: float) -> float:
    """Return the light of a value on paper, as a screen of 1000 cd/m² shows it."""
    return _dimmed(PEAK * _light_of_hlg(value) ** 1.2)


def _gamma_curve(gamma: float) -> Curve:
    return lambda value: value**gamma


CURVES: dict[int, Curve] = {  # by transfer characteristics (table 3)
    4: _gamma_curve(2.2),
    5: _gamma_curve(2.8),
    8: _gamma_curve(1.0),
    PQ: _pq_curve,
    HLG: _hlg_curve,
}


def coded_colours(primaries: int, transfer: int) -> Colours | None:
    """Return the colours of two code points; None where neither is known."""
    curve = CURVES.get(transfer)
    if primaries not in PRIMARIES and curve is None:
        return None
    chromaticities = PRIMARIES.get(primaries, BT709)
    is_hdr = transfer in (PQ, HLG)
    return Colours(chromaticities, curve, is_hdr)


def _mixed(columns: Sequence[Vector], factors: Vector) -> Vector:
    """Return a matrix times a vector."""
    x, y, z = (
        sum(part * factor for part, factor in zip(row, factors, strict=True))
        for row in zip(*columns, strict=True)
    )
    return x, y, z


def _determinant(one: Vector, two: Vector, three: Vector) -> float:
    a, b, c = one
    d, e, f = two
    g, h, i = three
    first = a * (e * i - f * h)
    second = b * (f * g - d * i)
    third = c * (d * h - e * g)
    return first + second + third


def _factors(columns: Sequence[Vector], mixture: Vector) -> Vector:
    """Return what `_mixed` was made with (Cramer's rule). Raises ZeroDivisionError."""
    one, two, three = columns
    whole = _determinant(one, two, three)
    return (
        _determinant(mixture, two, three) / whole,
        _determinant(one, mixture, three) / whole,
        _determinant(one, two, mixture) / whole,
    )


def _light(x: float, y: float) -> Vector:
    """Return X, Y and Z of a chromaticity. Raises ZeroDivisionError."""
    return x / y, 1.0, (1 - x - y) / y


def _adapted(colour: Vector, white: Vector) -> Vector:
    """Return a colour as it looks where D50 is white. Raises ZeroDivisionError."""
    cones = _mixed(BRADFORD, colour)
    ratios = map(truediv, _mixed(BRADFORD, D50), _mixed(BRADFORD, white))
    one, two, three = map(mul, cones, ratios)
    return _factors(BRADFORD, (one, two, three))


def _colorants(chromaticities: Sequence[float]) -> list[Vector]:
    """Return red, green and blue in X, Y and Z as ICC profiles hold them. Raises ZeroDivisionError."""
    across, up = chromaticities[::2], chromaticities[1::2]
    white, *primaries = map(_light, across, up)
    colorants = []
    for primary, amount in zip(primaries, _factors(primaries, white), strict=True):
        x, y, z = primary
        mixed = x * amount, y * amount, z * amount
        colorants.append(_adapted(mixed, white))
    return colorants


def _icc_vector(vector: Vector) -> bytes:
    numbers = (round(number * 65536) for number in vector)
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *numbers)


def _icc_file(contents: Mapping[bytes, bytes]) -> bytes:
    """Return an ICC profile of RGB with its tags (ICC.1:2001-04, 6.1 and 6.2)."""
    table = [struct.pack(">I", len(contents))]
    start = 128 + 4 + 12 * len(contents)
    for name, content in contents.items():
        place = struct.pack(">II", start, len(content))
        table += [name, place]
        start += len(content)
    header = struct.pack(">II", start, 0)
    header += b"\x02\x40\0\0mntrRGB XYZ "
    header = header.ljust(36, b"\0")
    header += b"acsp"
    header = header.ljust(68, b"\0")
    header += _icc_vector(D50)[8:]
    header = header.ljust(128, b"\0")
    return b"".join((header, *table, *contents.values()))


def icc_profile(colours: Colours) -> bytes:
    """Return an ICC profile of colours. Raises ArithmeticError, struct.error."""
    curve = colours.curve or _srgb_curve
    # 256 points: each value of 8 bits has its own
    points = [round(65535 * curve(value / 255)) for value in range(256)]
    tone = b"curv" + struct.pack(">II256H", 0, 256, *points)
    red, green, blue = map(_icc_vector, _colorants(colours.chromaticities))
    return _icc_file(
        {
            b"rXYZ": red,
            b"gXYZ": green,
            b"bXYZ": blue,
            b"wtpt": _icc_vector(D50),
            b"rTRC": tone,
            b"gTRC": tone,
            b"bTRC": tone,
        }
    )


def _coded_in_png(head: bytes) -> Colours | None:
    """Return what a cICP chunk tells (W3C PNG, 11.3.2.6)."""
    before, _, _ = head.partition(b"IDAT")
    _, _, codes = before.partition(b"cICP")
    if len(codes) < 2:
        return None
    return coded_colours(codes[0], codes[1])


def _measured_in_png(image: Picture) -> Colours | None:
    """Return what the gAMA and cHRM chunks tell (W3C PNG, 11.3.2)."""
    gamma = image.info.get("gamma", 0)
    if "srgb" in image.info or gamma <= 0:
        return None
    chromaticities = image.info.get("chromaticity", BT709)
    is_wide = math.dist(chromaticities, BT709) > 0.01
    if 0.45 < gamma < 0.46 and not is_wide:
        return None  # nearly sRGB
    return Colours(tuple(chromaticities), _gamma_curve(1 / gamma))


def _colours_in_boxes(properties: Sequence[NamedBox]) -> Colours | None:
    """Return the colours that a colr box tells (ISO/IEC 14496-12, 12.1.5)."""
    for name, content in properties:
        if name == b"colr" and content.startswith(b"nclx"):
            primaries, transfer = struct.unpack_from(">HH", content, 4)
            return coded_colours(primaries, transfer)
    return None


def _is_profile(profile: bytes | None) -> bool:
    return profile is not None and profile[36:40] == b"acsp"


def told_colours(
    image: Picture, head: bytes, properties: Sequence[NamedBox]
) -> Colours | None:
    """Return the colours that count instead of an ICC profile. Raises METADATA_ERRORS.

    Source: W3C PNG, 4.3, on which chunk goes before which.
    """
    if image.format == "PNG" and (colours := _coded_in_png(head)):
        return colours
    if _is_profile(image.info.get("icc_profile")):
        return None
    if image.format == "PNG":
        return _measured_in_png(image)
    return _colours_in_boxes(properties)


def _profile_in_jpeg(segments: Iterable[tuple[str, bytes]]) -> bytes | None:
    """Return a profile that Pillow leaves out: each part twice, or after the frame's header.

    Source: ICC.1:2022, B.4: number and count of the parts follow their mark.
    """
    mark = b"ICC_PROFILE\0"
    parts, count = {}, 0
    for _, part in segments:
        if part.startswith(mark) and len(part) > 14:
            parts[part[12]] = part[14:]
            count = part[13]
    if sorted(parts) != list(range(1, count + 1)):
        return None
    return b"".join(parts[number] for number in sorted(parts))


def _profile_in_bmp(path: str, head: bytes) -> bytes | None:
    """Return the profile of a BITMAPV5HEADER, which stands before it or behind the pixels."""
    mark = head[70:74]
    if mark != b"DEBM":  # PROFILE_EMBEDDED, 'MBED'; only this header is so long
        return None
    at, length = struct.unpack_from("<II", head, 126)
    with open(path, "rb") as file:
        file.seek(14 + at)
        return file.read(min(length, PROFILE_BYTES))


def embedded_profile(image: Picture, path: str, head: bytes) -> bytes | None:
    """Return the ICC profile that a photo holds. Raises METADATA_ERRORS."""
    profile: bytes | None = image.info.get("icc_profile")
    if profile is None and image.format in ("JPEG", "MPO"):
        return _profile_in_jpeg(getattr(image, "applist", ()))
    if image.format == "BMP":
        return _profile_in_bmp(path, head)
    return profile


# --- Place -------------------------------------------------------------------

# Where a photo or film was taken stands in its metadata, often several times. What follows walks
# the structures of a file and collects what to write over its bytes, all of the same length.

PLACE_READS = 200_000  # of one file
PLACE_BYTES = 64 << 20  # read of one file
PLACE_PATCHES = 5000  # of one file: a patch for each second of a long film
FIND_BYTES = 65536  # read at a time
FIND_OVERLAP = 32
UNKNOWN_BYTES = 1 << 20  # searched of what is not understood
PLACE_DEPTH = 12  # of files and boxes within others


class PlaceKept(Exception):
    """The place cannot be cut out of a file: it is compressed, damaged, or not understood."""


class PlaceFile:
    """An open file that is searched for places: reads within bounds, and the patches so far."""

    def __init__(self, file: BinaryIO, size: int, head: bytes) -> None:
        self.file = file
        self.size = size
        self.head = head
        self.reads_left = PLACE_READS
        self.bytes_left = PLACE_BYTES
        self.patches: list[Patch] = []

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the file, fewer at its end. Raises PlaceKept where it was too much."""
        end = min(offset + length, self.size)
        length = end - offset
        if length <= 0:
            return b""
        self.reads_left -= 1
        self.bytes_left -= length
        if self.reads_left < 0 or self.bytes_left < 0:
            raise PlaceKept("too much to search")
        if end <= len(self.head):
            return self.head[offset:end]
        self.file.seek(offset)
        return self.file.read(length)

    def write(self, offset: int, length: int, pattern: str) -> None:
        """Note a patch."""
        if len(self.patches) >= PLACE_PATCHES:
            raise PlaceKept("too many places")
        self.patches.append(Patch(offset, length, pattern))

    def sorted_patches(self) -> tuple[Patch, ...]:
        """Return the patches in order, joined where they touch, without overlaps."""
        ordered: list[Patch] = []
        end = 0
        for patch in sorted(self.patches):
            part = patch
            after = end - patch.offset
            if after >= patch.length:
                continue
            if after > 0:
                part = patch.rest(after)
            if ordered and part.follows(ordered[-1]):
                last = ordered.pop()
                part = Patch(last.offset, patch.end - last.offset, patch.pattern)
            ordered.append(part)
            end = patch.end
        return tuple(ordered)


Piece = tuple[int, int]  # where bytes lie in the file, and how many they are


class Span(NamedTuple):
    """Bytes that belong together: one piece of a file, or several that are read as one.

    `pieces` are offsets in the file and lengths; `size` is their sum.
    """

    file: PlaceFile
    pieces: tuple[Piece, ...]
    size: int
    depth: int = 0  # of files and boxes that this one lies in

    def cut(self, at: int, length: int) -> Iterator[Piece]:
        """Yield where a part lies in the file: offsets and lengths."""
        for offset, size in self.pieces:
            taken = min(size - at, length)
            if taken > 0:
                yield offset + at, taken
                length -= taken
            at = max(0, at - size)

    def read(self, at: int, length: int) -> bytes:
        if len(self.pieces) == 1:  # as nearly always
            [(offset, size)] = self.pieces
            return self.file.read(offset + at, min(size - at, length))
        blocks = []
        for offset, size in self.cut(at, length):
            block = self.file.read(offset, size)
            blocks.append(block)
        return b"".join(blocks)

    @property
    def start(self) -> int:
        """Where the first piece lies in the file."""
        offset, _ = self.pieces[0]
        return offset

    def whole(self) -> bytes:
        return self.read(0, self.size)

    def number(self, at: int, length: int) -> int:
        """Return a number whose first byte is the highest."""
        return int.from_bytes(self.read(at, length), "big")

    def part(self, at: int, length: int | None = None) -> Span:
        """Return a part, one deeper. Raises PlaceKept where that is too deep."""
        if self.depth >= PLACE_DEPTH:
            raise PlaceKept("too deep")
        rest = max(0, self.size - at)
        if length is None or length > rest:
            length = rest
        if len(self.pieces) == 1 and length > 0:
            [(offset, _)] = self.pieces
            pieces: tuple[Piece, ...] = ((offset + at, length),)
        else:
            pieces = tuple(self.cut(at, length))
        return Span(self.file, pieces, length, self.depth + 1)

    def fill(self, at: int, length: int, pattern: bytes = b"\0") -> None:
        """Write a pattern over a part, again and again."""
        for offset, size in self.cut(at, length):
            self.file.write(offset, size, pattern.hex())

    def write(self, at: int, content: bytes) -> None:
        """Write some bytes over others."""
        for offset, size in self.cut(at, len(content)):
            part = content[:size]
            self.file.write(offset, size, part.hex())
            content = content[size:]

    def patched(self, at: int, length: int) -> bytes:
        """Return a part as the patches leave it."""
        blocks = []
        for offset, size in self.cut(at, length):
            block = bytearray(self.file.read(offset, size))
            patch_block(block, offset, self.file.patches)
            blocks.append(bytes(block))
        return b"".join(blocks)


def _joined(spans: Sequence[Span]) -> Span:
    """Return several spans as one."""
    first = spans[0]
    pieces: tuple[Piece, ...] = ()
    size = 0
    for span in spans:
        pieces += span.pieces
        size += span.size
    return Span(first.file, pieces, size, first.depth)


def _in_memory(content: bytes, depth: int) -> Span:
    """Return bytes that stand nowhere in the file as they are, to find out if they tell a place."""
    file = PlaceFile(io.BytesIO(content), len(content), content)
    pieces = ((0, len(content)),)
    return Span(file, pieces, len(content), depth + 1)


# How XMP, text chunks and keys of films call a place, without the prefix and in lower case.
_PLACE_NAME = re.compile(
    rb"gps.*|.*(?:latitude|longitude|longtitude|altitude|iso6709|coordinates).*"
    rb"|(?:sub-?|shot|recording_|composition_)?location(?:created|shown|name|id)?"
    rb"|.*location\..*|city|state|province-?state|world-?region|country(?:-?name|-?code)?"
    rb"|coverage|spatial|xyz|lat|lon|lng|long|lrftarget.*",
    re.IGNORECASE | re.DOTALL,
)
NAME_LENGTH = 200  # longer ones are no names
# What is left of a place where a structure was not understood. Each is searched by itself, which
# is ten times as fast as one pattern.
_PLACE_SIGN = re.compile(rb"GPSL(?:at|ong)itude")
_EXIF_SIGN = re.compile(rb"Exif\0\0(?:II|MM)")
_FILM_SIGN = re.compile(rb"location\.ISO6709|\xa9xyz")
# Coordinates as text (ISO 6709), in films.
_COORDINATES = re.compile(rb"[+-]\d\d\.\d{3,}[+-]\d{2,3}\.\d{3,}")


def _is_place_name(name: bytes) -> bool:
    return len(name) <= NAME_LENGTH and _PLACE_NAME.fullmatch(name) is not None


def _refuse_signs(content: bytes) -> None:
    """Raise PlaceKept where bytes that were not understood look like a place."""
    if _PLACE_SIGN.search(content) or _EXIF_SIGN.search(content):
        raise PlaceKept("not understood, with signs of a place")


def _refuse_coordinates(content: bytes) -> None:
    """Raise PlaceKept where a part of a film that was not understood looks like a place."""
    _refuse_signs(content)
    if _COORDINATES.search(content) or _FILM_SIGN.search(content):
        raise PlaceKept("coordinates in a film")


Cut = tuple[int, int]  # where a part begins and ends

# XMP. Every quoted value ends before the next '<', so that no text makes these patterns slow.
_XMP_TAG = re.compile(rb"<(/?)([^\s<>/\"'=?!]++)((?:[^<>\"']++|\"[^\"<]*+\"|'[^'<]*+')*+)>")
_XMP_ATTRIBUTE = re.compile(rb"\s([^\s\"'=<>/]++)\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+')")


def _is_xmp_place(name: bytes) -> bool:
    return _is_place_name(name.rpartition(b":")[2])


def _attribute_cuts(tag: re.Match[bytes]) -> Iterator[Cut]:
    begin = tag.start(3)
    for attribute in _XMP_ATTRIBUTE.finditer(tag[3]):
        if _is_xmp_place(attribute[1]):
            start, end = attribute.span()
            yield begin + start, begin + end


def xmp_cuts(xmp: bytes) -> list[Cut]:
    """Return which parts of XMP tell a place: starts and ends of attributes and whole elements.

    Raises PlaceKept where an element does not end.
    """
    cuts: list[Cut] = []
    inside, start, level = b"", 0, 0  # of the element of a place
    for tag in _XMP_TAG.finditer(xmp):
        name = tag[2]
        is_empty = tag[3].endswith(b"/")
        if not inside and not _is_xmp_place(name):
            cuts += _attribute_cuts(tag)
            continue
        if not inside:
            inside, start = name, tag.start()
        if name == inside and not is_empty:
            level += -1 if tag[1] else 1
        if level < 0:
            raise PlaceKept("damaged XMP")
        if level == 0:
            cuts.append((start, tag.end()))
            inside = b""
    if inside:
        raise PlaceKept("damaged XMP")
    return cuts


# How bytes are written that a walk goes through.
XMP = "xmp"
MORE_XMP = "more xmp"  # of a JPEG, in several segments
IPTC = "iptc"
PHOTOSHOP = "photoshop"  # image resources
EXIF = "exif"  # a TIFF structure, after marks that differ
TIFF = "tiff"
GPS = "gps"  # a TIFF structure that holds nothing else
MPF = "mpf"  # an index of the pictures in a JPEG
JPEG = "jpeg"
PNG = "png"
RIFF = "riff"  # WebP and AVI
GIF = "gif"
BOXES = "boxes"  # films, HEIC, AVIF, CR3
MATROSKA = "matroska"
FUJI = "fuji"
PACKED = "packed"
UNKNOWN = "unknown"
Inner = tuple[
    str, Span
]  # how the bytes are written that lie within others, and these bytes

# Each of these walks writes over the places of one form of bytes, and yields what lies within for
# its own walk, which is over when the generator goes on.


def walk_xmp(span: Span) -> Iterator[Inner]:
    """Blank the places of XMP."""
    xmp = span.whole()
    cuts = xmp_cuts(xmp)
    head = bytearray(xmp[:XMP_TEXT_BYTES])
    for start, stop in reversed(cuts):
        span.fill(start, stop - start, b" ")
        del head[start:stop]
    if _PLACE_SIGN.search(head):
        raise PlaceKept("a place in XMP that is no property")
    is_wide = b"\0" in xmp[:8]
    if is_wide and xmp_cuts(xmp.replace(b"\0", b"")):
        raise PlaceKept("XMP in UTF-16")
    yield from ()


# IPTC's information interchange model 4.2: city, sublocation, state, country's code and name,
# and the two of the content's place.
IPTC_PLACES = frozenset((26, 27, 90, 92, 95, 100, 101))
IPTC_MARK = 0x1C
IPTC_UNUSED = 99  # a dataset that has no meaning


def walk_iptc(span: Span) -> Iterator[Inner]:
    """Blank the places of IPTC."""
    at = 0
    while len(header := span.read(at, 5)) == 5:
        mark, record, dataset, length = struct.unpack(">BBBH", header)
        if mark != IPTC_MARK:
            return
        start = at + 5
        if length & 0x8000:
            more = length & 0x7FFF
            length = span.number(start, min(more, 8))
            start += more
        if record == 2 and dataset in IPTC_PLACES:
            span.write(at + 2, bytes([IPTC_UNUSED]))
            span.fill(start, length, b" ")
        at = start + length
    yield from ()


PHOTOSHOP_IPTC = 0x0404
PHOTOSHOP_IPTC_DIGEST = 0x0425
PHOTOSHOP_PARTS = {PHOTOSHOP_IPTC: IPTC, 0x0422: TIFF, 0x0424: XMP}


def _digest(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _resources(span: Span) -> Iterator[tuple[int, Span]]:
    """Yield the image resources of Photoshop (Photoshop File Formats Specification)."""
    at = 0
    while len(header := span.read(at, 7)) == 7:
        name = header[6] + 1 + (header[6] + 1) % 2
        number = int.from_bytes(header[4:6], "big")
        size = span.number(at + 6 + name, 4)
        content = span.part(at + 10 + name, size)
        yield number, content
        at += 10 + name + size + size % 2


def walk_photoshop(span: Span) -> Iterator[Inner]:
    """Find what lies in Photoshop's image resources, and mend the digest of IPTC."""
    digests: dict[bytes, bytes] = {}
    for number, content in _resources(span):
        if number in PHOTOSHOP_PARTS:
            yield PHOTOSHOP_PARTS[number], content
        if number == PHOTOSHOP_IPTC:
            before = _digest(content.whole())
            digests[before] = _digest(content.patched(0, content.size))
    for number, content in _resources(span):
        before = content.read(0, 17)
        after = digests.get(before, before)
        # Where the digest is not that of the text, the text is newer than XMP.
        if number == PHOTOSHOP_IPTC_DIGEST and after != before:
            content.write(0, after)


# TIFF 6.0, EXIF 2.32 (4.6), and BigTIFF; RAW files have other marks in place of 42.
TIFF_SIZES = tuple(map(int, "0112481124848400888"))  # of a value, by its type
TIFF_WHOLE = frozenset((1, 3, 4, 13, 16, 17, 18))  # the types of whole numbers
TIFF_ORDERS = {b"II": "<", b"MM": ">"}
TIFF_DIRECTORIES = 300
DIRECTORY_BYTES = 1024  # read at once: most have fewer than 80 entries
DIRECTORY_TAGS = frozenset((0x8769, 0xA005, 0x014A))
ALL_TAGS = range(1 << 16)
GPS_TAG = 0x8825
MAKER_NOTE_TAG = 0x927C
# Location, country, state, city and landmark; of Nikon, these together and the height.
PANASONIC_PLACES = frozenset((0x67, 0x69, 0x6B, 0x6D, 0x6F, 0x80))
NIKON_PLACES = frozenset((0x39, 0xC3))
GPS_ENTRIES = 64  # EXIF has 32 tags
GPS_VALUE_BYTES = 65536


def _tiff_size(type: int) -> int:
    if type == EXIF_UTF8:
        return 1
    if type < len(TIFF_SIZES):
        return TIFF_SIZES[type]
    return 0


class TiffEntry(NamedTuple):
    """One entry of a directory: where it and its value lie, and how long the value is."""

    start: int
    tag: int
    type: int
    number: int  # of values
    at: int
    length: int
    field: int  # the value, or where it lies


class TiffDirectory(NamedTuple):
    """The entries of a directory that are looked for; its own length, and how many it has."""

    entries: list[TiffEntry]
    length: int
    entry_count: int
    next: int  # where the next one lies


class TiffLayout(NamedTuple):
    """How many bytes the parts of a directory take."""

    head: int
    entry: int
    offset: int
    form: str  # of an entry


PLAIN_TIFF = TiffLayout(2, 12, 4, "HHII")
BIG_TIFF = TiffLayout(8, 20, 8, "HHQQ")


class Tiff(NamedTuple):
    """The bytes of a TIFF structure with their order."""

    span: Span
    block: bytes  # how it begins: that of a photo is in there
    order: str
    sizes: TiffLayout

    def read(self, at: int, length: int) -> bytes:
        end = at + length
        if end <= len(self.block):
            return self.block[at:end]
        return self.span.read(at, length)

    def decoded(self, content: bytes) -> int:
        if self.order == "<":
            return int.from_bytes(content, "little")
        return int.from_bytes(content, "big")

    def number(self, at: int, length: int) -> int:
        return self.decoded(self.read(at, length))

    def directory(self, at: int, tags: Collection[int] = ALL_TAGS) -> TiffDirectory:
        """Return the entries of a directory that have some tags.

        Raises PlaceKept where there are too many.
        """
        layout = self.sizes
        block = self.read(at, DIRECTORY_BYTES)
        count = self.decoded(block[: layout.head])
        if count > 65535:
            raise PlaceKept("damaged TIFF")
        length = layout.head + count * layout.entry
        end = length + layout.offset
        if end > DIRECTORY_BYTES:
            block = self.read(at, end)
        rows = block[layout.head : length]
        rest = len(rows) % layout.entry
        whole = rows[: len(rows) - rest]
        values = struct.iter_unpack(self.order + layout.form, whole)
        entries = []
        for index, (tag, type, number, field) in enumerate(values):
            if tag not in tags:
                continue
            start = at + layout.head + index * layout.entry
            size = number * _tiff_size(type)
            value_at = start + layout.entry - layout.offset
            if size > layout.offset:
                value_at = field
            entry = TiffEntry(start, tag, type, number, value_at, size, field)
            entries.append(entry)
        next = self.decoded(block[length:end])
        return TiffDirectory(entries, length, count, next)

    def numbers(self, entry: TiffEntry) -> list[int]:
        """Return the numbers of an entry, at most as many as there may be directories."""
        if entry.type not in TIFF_WHOLE:
            return []
        size = _tiff_size(entry.type)
        if entry.number == 1 and size == self.sizes.offset:
            return [entry.field]
        end = entry.at + size * min(entry.number, TIFF_DIRECTORIES)
        return [self.number(at, size) for at in range(entry.at, end, size)]

    def value(self, entry: TiffEntry) -> Span:
        return self.span.part(entry.at, entry.length)


def _tiff_of(span: Span) -> Tiff | None:
    block = span.read(0, HEAD_BYTES)
    order = TIFF_ORDERS.get(block[:2], "")
    if not order:
        return None
    if b"+" in block[2:4]:
        return Tiff(span, block, order, BIG_TIFF)
    return Tiff(span, block, order, PLAIN_TIFF)


def _clear_gps(tiff: Tiff, at: int) -> None:
    """Empty a directory of GPS: no entries, and zeros where they and their values were."""
    directory = tiff.directory(at)
    if directory.entry_count > GPS_ENTRIES:
        raise PlaceKept("damaged GPS")
    if not directory.entry_count:
        return
    for entry in directory.entries:
        if entry.length > GPS_VALUE_BYTES:
            raise PlaceKept("damaged GPS")
        if entry.length > tiff.sizes.offset:
            tiff.span.fill(entry.at, entry.length)
    tiff.span.fill(at, directory.length)


def _clear_entries(tiff: Tiff, at: int, tags: Collection[int], unused: int) -> None:
    """Empty the entries of some tags, and give them a number that has no meaning."""
    for entry in tiff.directory(at, tags).entries:
        if entry.length <= GPS_VALUE_BYTES:
            tiff.span.fill(entry.at, entry.length)
            tag = struct.pack(tiff.order + "H", unused)
            tiff.span.write(entry.start, tag)


def _clear_maker_note(tiff: Tiff, entry: TiffEntry) -> None:
    """Clear what Panasonic and Nikon tell of the place beside GPS: country, state, city."""
    note = tiff.value(entry)
    header = note.read(0, 10)
    if header.startswith(b"Panasonic\0"):
        _clear_entries(tiff, entry.at + 12, PANASONIC_PLACES, 0x6E)
    elif header.startswith(b"Nikon\0"):
        inner = _tiff_of(note.part(10))
        if inner:
            _clear_entries(inner, inner.number(4, 4), NIKON_PLACES, 0x3A)


# GeoTIFF 1.1, 7.1.1: where the pixels lie on Earth.
MAP_TAGS = frozenset((33922, 34264, 34735))
TIFF_PARTS = {700: XMP, 0x83BB: IPTC, 0x8649: PHOTOSHOP, 0x002E: JPEG}
WALKED_TAGS = frozenset(
    (*DIRECTORY_TAGS, *MAP_TAGS, *TIFF_PARTS, GPS_TAG, MAKER_NOTE_TAG, 0x0201, 0x0202)
)


def _directory_parts(tiff: Tiff, entries: Iterable[TiffEntry]) -> Iterator[Inner]:
    """Clear what one directory has; yield what lies in it."""
    jpeg_at = jpeg_length = 0
    for entry in entries:
        if entry.tag == MAKER_NOTE_TAG:
            _clear_maker_note(tiff, entry)
        elif entry.tag == GPS_TAG:
            for offset in tiff.numbers(entry):
                _clear_gps(tiff, offset)
        elif entry.tag in MAP_TAGS:
            raise PlaceKept("a map")
        elif entry.tag in TIFF_PARTS:
            yield TIFF_PARTS[entry.tag], tiff.value(entry)
        elif entry.tag == 0x0201:
            jpeg_at = sum(tiff.numbers(entry))
        elif entry.tag == 0x0202:
            jpeg_length = sum(tiff.numbers(entry))
    if jpeg_at and jpeg_length:
        yield JPEG, tiff.span.part(jpeg_at, jpeg_length)


def walk_tiff(span: Span) -> Iterator[Inner]:
    """Empty the GPS of a TIFF structure, which is a file or the EXIF in another."""
    tiff = _tiff_of(span)
    if tiff is None:
        return
    size = tiff.sizes.offset
    pages = [tiff.number(size, size)]
    inner: list[int] = []
    seen = {0}
    while pages or inner:
        # Many writers leave out what should stand behind inner directories: where the next one is.
        is_page = not inner
        at = pages.pop() if is_page else inner.pop()
        if at in seen:
            continue
        seen.add(at)
        if len(seen) > TIFF_DIRECTORIES:
            raise PlaceKept("too many directories")
        directory = tiff.directory(at, WALKED_TAGS)
        if is_page:
            pages.append(directory.next)
        for entry in directory.entries:
            if entry.tag in DIRECTORY_TAGS:
                inner += tiff.numbers(entry)
            is_pointer = entry.type in TIFF_WHOLE and 0 < entry.length <= size
            if entry.tag == GPS_TAG and not is_pointer:
                raise PlaceKept("damaged GPS")
        yield from _directory_parts(tiff, directory.entries)


def walk_gps(span: Span) -> Iterator[Inner]:
    """Empty a TIFF structure whose first directory is that of GPS: CR3 has one."""
    if tiff := _tiff_of(span):
        _clear_gps(tiff, tiff.number(4, 4))
    yield from ()


# --- Place in files ----------------------------------------------------------

# ISO/IEC 14496-12 (films), 23008-12 (HEIF), QuickTime File Format, 3GPP TS 26.244 (loci).
BOX_CONTAINERS = frozenset(
    b"moov trak mdia minf stbl udta moof traf mpvd edts dinf tref NCDT".split()
)
PLACE_BOXES = frozenset((b"\xa9xyz", b"loci", b"@xyz"))
CANON_EXIF = frozenset((b"CMT1", b"CMT2", b"CMT3"))
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
KEYS = 4096  # of the metadata of a film
PLAIN_BOXES = frozenset(
    b"mdat ftyp stsd stsz stsc stco co64 stts ctts stss sdtp sgpd".split()
)
# Formats of samples that are places, speeds and the like: of GoPro, Google, DJI and Sony.
PLACE_SAMPLES = frozenset((b"gpmd", b"camm", b"djmd", b"dbgi", b"rtmd"))
PLAIN_HANDLERS = frozenset(b"vide soun tmcd pict auxv hint alis clcp".split())
SAMPLES = 200_000  # of a track of places


class Box(NamedTuple):
    """One box: what kind it is, where it begins in the one around it, and its content."""

    type: bytes
    at: int
    content: Span
    end: int


def _boxes(span: Span) -> Iterator[Box]:
    """Yield boxes one after the other, up to what is none."""
    at = 0
    while len(header := span.read(at, 16)) >= 8:
        size = int.from_bytes(header[:4], "big")
        start = 8
        if size == 1:
            size = int.from_bytes(header[8:], "big")
            start = 16
        elif size == 0:
            size = span.size - at
        if size < start:
            _refuse_coordinates(span.read(at, 65536))
            return
        content = span.part(at + start, size - start)
        yield Box(header[4:8], at, content, at + size)
        at += size


def _box(span: Span, *types: bytes) -> Span | None:
    """Return the content of the first box of a type, or of one within it, and so on."""
    for type in types:
        boxes = _boxes(span)
        contents = [box.content for box in boxes if box.type == type]
        if not contents:
            return None
        span = contents[0]
    return span


def _free_box(span: Span, box: Box) -> None:
    """Turn a box into free space."""
    span.write(box.at + 4, b"free")
    box.content.fill(0, box.content.size)


class Numbers:
    """Numbers that stand one after the other, the first byte the highest."""

    def __init__(self, content: bytes, at: int = 0) -> None:
        self.content = content
        self.at = at

    def take(self, length: int) -> int:
        """Return the next number. Raises EOFError where there is none."""
        start = self.at
        self.at += length
        if self.at > len(self.content):
            raise EOFError("cut off")
        number = self.content[start : self.at]
        return int.from_bytes(number, "big")

    def text(self) -> bytes:
        """Return the text before the next zero."""
        end = self.content.find(b"\0", self.at)
        if end < 0:
            end = len(self.content)
        text = self.content[self.at : end]
        self.at = end + 1
        return text


def _key_names(keys: Span | None) -> dict[bytes, bytes]:
    """Return the keys of a film's metadata, by the type of the boxes of their values."""
    names: dict[bytes, bytes] = {}
    if keys is None:
        return names
    at = 8
    for index in range(1, KEYS):
        size = keys.number(at, 4)
        if size < 8:
            break
        type = index.to_bytes(4, "big")
        names[type] = keys.read(at + 8, size - 8)
        at += size
    return names


def _free_values(values: Span, names: Mapping[bytes, bytes]) -> None:
    """Free the values of a film's metadata that are places."""
    for box in _boxes(values):
        name = names.get(box.type, b"")
        if box.type == b"----":
            label = _box(box.content, b"name") or values.part(0, 0)
            name = label.read(4, NAME_LENGTH)
        if box.type in PLACE_BOXES or _is_place_name(name):
            _free_box(values, box)


def _item_forms(items: Span) -> dict[int, str]:
    """Return which items of a HEIF are metadata (ISO/IEC 14496-12, 8.11.6)."""
    forms = {}
    is_long = items.read(0, 1) != b"\0"
    for box in _boxes(items.part(8 if is_long else 6)):
        entry = Numbers(box.content.read(0, 4096))
        version = entry.take(1)
        entry.take(3)
        number = entry.take(4 if version == 3 else 2)
        entry.take(2)
        type = entry.take(4).to_bytes(4, "big")
        entry.text()
        if type == b"Exif":
            forms[number] = EXIF
        if type == b"mime" and b"xml" in entry.text():
            forms[number] = PACKED if entry.text() else XMP
    return forms


def _item_spans(places: bytes, root: Span, store: Span) -> Iterator[tuple[int, Span]]:
    """Yield the items of a HEIF with their bytes (ISO/IEC 14496-12, 8.11.3)."""
    numbers = Numbers(places)
    version = numbers.take(1)
    numbers.take(3)
    sizes = numbers.take(2)
    offset_size, length_size = sizes >> 12, sizes >> 8 & 15
    base_size, index_size = sizes >> 4 & 15, sizes & 15 * bool(version)
    number_size = 2 + 2 * (version == 2)
    for _ in range(numbers.take(number_size)):
        number = numbers.take(number_size)
        method = numbers.take(2 * bool(version)) & 15
        numbers.take(2)
        base = numbers.take(base_size)
        holder = {0: root, 1: store}.get(method)
        spans = []
        for _ in range(numbers.take(2)):
            numbers.take(index_size)
            start = base + numbers.take(offset_size)
            length = numbers.take(length_size)
            if holder:
                spans.append(holder.part(start, length or None))
        if spans:
            yield number, _joined(spans)


def _meta_parts(meta: Span, root: Span) -> Iterator[Inner]:
    """Clear a box of metadata: the keys and values of a film, the items of a HEIF."""
    is_full = meta.read(4, 4) != b"hdlr"
    inside = meta.part(4 * is_full)
    if values := _box(inside, b"ilst"):
        _free_values(values, _key_names(_box(inside, b"keys")))
    items, places = _box(inside, b"iinf"), _box(inside, b"iloc")
    if not items or not places:
        return
    forms = _item_forms(items)
    store = _box(inside, b"idat") or inside.part(0, 0)
    for number, content in _item_spans(places.whole(), root, store):
        if form := forms.pop(number, ""):
            yield form, content
    if forms:
        raise PlaceKept("an item of metadata was not found")


def _chunks(table: Span) -> Iterator[Piece]:
    """Yield where the samples of a track lie, chunk by chunk (ISO/IEC 14496-12, 8.7)."""
    sizes, runs = _box(table, b"stsz"), _box(table, b"stsc")
    offsets, long_offsets = _box(table, b"stco"), _box(table, b"co64")
    if not sizes or not runs or not (offsets or long_offsets):
        raise PlaceKept("damaged film")
    lengths = Numbers(sizes.whole(), 4)
    same, count = lengths.take(4), lengths.take(4)
    if count > SAMPLES:
        raise PlaceKept("too many samples")
    chunk_runs = Numbers(runs.whole(), 4)
    per_chunk = {}
    for _ in range(chunk_runs.take(4)):
        first = chunk_runs.take(4)
        per_chunk[first] = chunk_runs.take(4)
        chunk_runs.take(4)
    chunk_offsets = Numbers((long_offsets or offsets or table).whole(), 4)
    samples = 0
    for index in range(1, chunk_offsets.take(4) + 1):
        samples = per_chunk.get(index, samples)
        offset = chunk_offsets.take(8 if long_offsets else 4)
        taken = min(samples, count)
        count -= taken
        sizes_in_chunk = [same or lengths.take(4) for _ in range(taken)]
        yield offset, sum(sizes_in_chunk)


def _clear_track(track: Span, root: Span) -> None:
    """Clear a track of places. Raises PlaceKept for a track of texts with signs of a place."""
    table = _box(track, b"mdia", b"minf", b"stbl")
    handler = _box(track, b"mdia", b"hdlr")
    formats = table and _box(table, b"stsd")
    if not table or not handler or not formats:
        return
    if handler.read(8, 4) in PLAIN_HANDLERS:
        return
    format = formats.read(12, 4)
    is_place = format in PLACE_SAMPLES or b"location." in formats.read(0, 65536)
    chunks = list(_chunks(table))
    # A film in pieces tells elsewhere where its samples lie.
    is_in_pieces = _box(root, b"moov", b"mvex") is not None
    if not chunks and (is_place or is_in_pieces):
        raise PlaceKept("texts in the pieces of a film")
    for offset, length in chunks:
        if is_place:
            root.fill(offset, length)
        else:
            content = root.read(offset, length)
            _refuse_coordinates(content)


# What Samsung's phones append: blocks, then a directory of their distances from it.
SAMSUNG_BLOCKS = 100
SAMSUNG_COUNTRY = 0x0AA1  # of the mobile network
SAMSUNG_BLOCK_START = 16  # a type, the name's length, and MCC_Data


def _clear_country_code(span: Span) -> None:
    """Clear the country of the mobile network that Samsung's phones append to photos."""
    length = span.read(span.size - 8, 4)
    directory = span.size - 8 - int.from_bytes(length, "little")
    header = span.read(max(0, directory), 12)
    if not header.startswith(b"SEFH") or len(header) < 12:
        return
    count = int.from_bytes(header[8:], "little")
    rows = span.read(directory + 12, 12 * min(count, SAMSUNG_BLOCKS))
    whole = len(rows) - len(rows) % 12
    for _, type, distance, size in struct.iter_unpack("<HHII", rows[:whole]):
        if type == SAMSUNG_COUNTRY and SAMSUNG_BLOCK_START < size <= distance <= directory:
            start = directory - distance + SAMSUNG_BLOCK_START
            span.fill(start, size - SAMSUNG_BLOCK_START, b"0")


# Of Nikon's tags in films, which are numbered in groups (ExifTool, Nikon.pm): those of GPS, and the
# names of the place.
NIKON_GPS = 0x0120
NIKON_LOCATION = 0x02000039
NIKON_TAGS = 4096


def _clear_tags_of_nikon(tags: Span) -> None:
    """Clear the places among the tags that Nikon's cameras write into films. Raises METADATA_ERRORS."""
    at = 0
    for _ in range(NIKON_TAGS):
        header = tags.read(at, 8)
        if not any(header):  # the end, or zeros up to there
            return
        tag, type, count = struct.unpack(">IHH", header)
        form = EXIF_TYPES[">"][type]
        at += 8
        length = count * form.size
        if tag >> 16 == NIKON_GPS or tag == NIKON_LOCATION:
            tags.fill(at, length)
        at += length
    raise PlaceKept("too many tags")


# The entry of an EXIF that leads to GPS, in either order of bytes.
_GPS_ENTRY = re.compile(rb"\x25\x88\x04\0\x01\0\0\0|\x88\x25\0\x04\0\0\0\x01")


def _unknown_parts(content: Span) -> Iterator[Inner]:
    """Find the EXIF of stills that cameras keep in films; refuse what else looks like a place."""
    searched = content.read(0, UNKNOWN_BYTES)
    stills = [match.start() + len(EXIF_MARK) for match in _EXIF_SIGN.finditer(searched)]
    for start in stills:
        yield TIFF, content.part(start)
    if not stills and _GPS_ENTRY.search(searched):
        raise PlaceKept("EXIF without its beginning")
    _refuse_coordinates(_EXIF_SIGN.sub(b"", searched))


def _box_parts(span: Span, root: Span) -> Iterator[Inner]:
    """Clear boxes; yield what lies in them. `root` is what their offsets count from."""
    for box in _boxes(span):
        content = box.content
        if box.type == b"trak":
            _clear_track(content, root)
        if box.type in BOX_CONTAINERS:
            yield from _box_parts(content, root)
        elif box.type in PLACE_BOXES:
            _free_box(span, box)
        elif box.type == b"meta":
            yield from _meta_parts(content, root)
        elif box.type == b"sefd":
            _clear_country_code(content)
        elif box.type == b"XMP_":
            yield XMP, content
        elif box.type in CANON_EXIF:
            yield TIFF, content
        elif box.type == b"CMT4":
            yield GPS, content
        elif box.type == b"uuid" and content.read(0, 16) == XMP_UUID:
            yield XMP, content.part(16)
        elif box.type == b"uuid" and content.read(0, 16) == CANON_UUID:
            yield from _box_parts(content.part(16), root)
        elif box.type in (b"gps ", b"GPS "):
            raise PlaceKept("places of a dashboard camera")
        elif box.type == b"NCTG":
            _clear_tags_of_nikon(content)
        elif box.type not in PLAIN_BOXES:
            yield from _unknown_parts(content)


def walk_boxes(span: Span) -> Iterator[Inner]:
    """Find the metadata of a film, HEIC, AVIF or CR3."""
    yield from _box_parts(span, span)


# RFC 8794 (EBML), RFC 9559 (Matroska): tags, their names and values.
EBML_CONTAINERS = frozenset((0x18538067, 0x1254C367, 0x7373, 0x1F43B675))
EBML_SIMPLE_TAG = 0x67C8
EBML_TAG_NAME = 0x45A3
EBML_VOID = b"\xec"
EBML_CHECKSUM = 0xBF


class Element(NamedTuple):
    """One element: its identifier, where it begins in the one around it, and its content."""

    id: int
    at: int
    content: Span
    end: int


def _elements(span: Span) -> Iterator[Element]:
    """Yield elements one after the other; one of unknown size ends with what is around it."""
    at = 0
    while len(header := span.read(at, 12)) >= 2:
        id_length = 9 - header[0].bit_length()
        rest = header[id_length:]
        if id_length > 4 or not rest or not rest[0]:
            _refuse_coordinates(span.read(at, UNKNOWN_BYTES))
            return
        length = 9 - rest[0].bit_length()
        mask = (1 << 7 * length) - 1
        size = int.from_bytes(rest[:length], "big") & mask
        start = id_length + length
        if size == mask:
            size = span.size - at - start
        id = int.from_bytes(header[:id_length], "big")
        content = span.part(at + start, size)
        end = at + start + size
        yield Element(id, at, content, end)
        at = end


def _void(span: Span, element: Element) -> None:
    """Turn an element into free space."""
    length = element.end - element.at
    size = length - 2 | 1 << 7
    size_length = 1
    if length > 100:
        size = length - 9 | 1 << 56
        size_length = 8
    header = EBML_VOID + size.to_bytes(size_length, "big")
    start = element.at + len(header)
    span.fill(start, element.end - start)
    span.write(element.at, header)


def _clear_elements(span: Span) -> None:
    """Clear the tags of Matroska, and mend the checksum in front of them."""
    checksum = None
    before = len(span.file.patches)
    for element in _elements(span):
        if element.id == EBML_CHECKSUM:
            checksum = element
        elif element.id in EBML_CONTAINERS:
            _clear_elements(element.content)
        elif element.id == EBML_SIMPLE_TAG:
            parts = _elements(element.content)
            names = [part.content for part in parts if part.id == EBML_TAG_NAME]
            if any(_is_place_name(name.whole()) for name in names):
                _void(span, element)
            else:
                _clear_elements(element.content)
                _refuse_coordinates(element.content.patched(0, UNKNOWN_BYTES))
    if checksum and len(span.file.patches) > before:
        rest = span.patched(checksum.end, span.size - checksum.end)
        crc = zlib.crc32(rest)
        checksum.content.write(0, crc.to_bytes(4, "little"))


def walk_matroska(span: Span) -> Iterator[Inner]:
    """Clear the tags of a Matroska or WebM film."""
    _clear_elements(span)
    yield from ()


# JPEG (ITU-T T.81, B.1). XMP part 3, 1.1.3; CIPA DC-007 (MPF).
JPEG_SEGMENTS = 2000
SEGMENT_HEAD = 64  # bytes that tell what it holds
SEGMENTS_BYTES = 1024  # read at once: a thumbnail has no more before its pixels
XMP_SIGN = b"http://ns.adobe.com/x"  # begins XMP, and each part of a long one
# In XMP: of a film behind the pixels, and of a film or pictures there.
FILM_SIGNS = re.compile(rb"MotionPhoto|MicroVideo")
TRAILER_SIGNS = re.compile(rb"MotionPhoto|MicroVideo|Container:Directory")
JPEG_END = b"\xff\xd9"
END_OF_IMAGE = re.compile(JPEG_END)
# How a segment begins, what it holds, and after how many bytes. A digest, the length and an offset
# stand before each part of a long XMP.
JPEG_PARTS = {
    b"Exif\0": (EXIF, 6),
    b"http://ns.adobe.com/xap/1.0/\0": (XMP, 29),
    b"http://ns.adobe.com/xmp/extension/\0": (MORE_XMP, 75),
    b"Photoshop 3.0\0": (PHOTOSHOP, 14),
    b"MPF\0": (MPF, 4),
}
# Colours and Adobe's mark hold no place.
PLAIN_HEADERS = (b"JFIF\0", b"ICC_PROFILE\0", b"Adobe\0", b"Ducky")
# Frames, arithmetic coding and Huffman tables; quantization, restart (ITU-T T.81, B.1.1.3).
TABLES = frozenset((*range(0xC0, 0xD0), 0xDB, 0xDD))
TRAILER_STARTS = (re.compile(rb"\xff\xd8\xff"), re.compile(rb"ftyp"))
TRAILER_PARTS = 100


class Segment(NamedTuple):
    """One of a JPEG's segments of metadata."""

    content: Span
    head: bytes  # of the content, none of an empty one
    end: int


def _odd_segments(span: Span) -> Iterator[Segment]:
    """Yield the segments of metadata before the pixels, then an empty one that ends where they begin.

    Tables and junk between segments are passed over.
    """
    at = 2
    block, start = b"", at
    for _ in range(JPEG_SEGMENTS):
        if at + 4 + SEGMENT_HEAD > start + len(block):
            block = span.read(at, SEGMENTS_BYTES)
            start = at
        header = block[at - start :][: 4 + SEGMENT_HEAD]
        if len(header) < 4:
            return
        marker = header[1]
        if header[0] != 0xFF or marker in (0, 0xFF):
            skip = span.read(at + 1, 65536).find(b"\xff")
            if skip < 0:
                return
            at += 1 + skip
            continue
        if marker in (0xDA, 0xD9):
            yield Segment(span, b"", at)
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        size = max(2, int.from_bytes(header[2:4], "big"))
        if marker in TABLES:
            at += 2 + size
            continue
        content = span.part(at + 4, size - 2)
        at += 2 + size
        yield Segment(content, header[4 : 2 + size], at)
    raise PlaceKept("too many segments")


def _segments(span: Span) -> Iterator[Segment]:
    """Yield the same, in fewer steps where a JPEG is as cameras write it."""
    jpeg = span.read(0, HEAD_BYTES)
    segments = plain_segments(jpeg)
    if not segments:
        yield from _odd_segments(span)
    for marker, start, end in segments:
        if marker == SCAN:
            yield Segment(span, b"", start - 4)
        elif marker in METADATA_MARKERS:
            head = jpeg[start : min(end, start + SEGMENT_HEAD)]
            yield Segment(span.part(start, end - start), head, end)


def _further_pictures(mpf: Span, start: int) -> Iterator[Piece]:
    """Yield offsets and sizes of the other pictures that an index at `start` names."""
    tiff = _tiff_of(mpf)
    if tiff is None:
        return
    for entry in tiff.directory(tiff.number(4, 4), (0xB002,)).entries:
        count = min(entry.length // 16, TRAILER_PARTS)
        for index in range(count):
            at = entry.at + 16 * index
            size = tiff.number(at + 4, 4)
            offset = tiff.number(at + 8, 4)
            if offset:
                yield start + offset, size


def _find(span: Span, at: int, *patterns: re.Pattern[bytes]) -> int:
    """Return where the first match of some patterns begins; -1 where there is none."""
    while at < span.size:
        block = span.read(at, FIND_BYTES)
        matches = [pattern.search(block) for pattern in patterns]
        if places := [match.start() for match in matches if match]:
            return at + min(places)
        at += max(1, len(block) - FIND_OVERLAP)
    return -1


def _order_of(segment: Segment) -> bytes:
    """Return a sort key: the parts of a long XMP go by its digest, length and their offsets."""
    is_part = segment.head.startswith(b"http://ns.adobe.com/xmp/extension/\0")
    return segment.content.read(35, 40) if is_part else b""


def _segment_parts(segments: Iterable[Segment]) -> Iterator[Inner]:
    """Yield the metadata in segments; what goes on in the next one is joined."""
    parts: dict[str, list[Span]] = {}
    for segment in sorted(segments, key=_order_of):
        if not segment.head or segment.head.startswith(PLAIN_HEADERS):
            continue
        header = next(filter(segment.head.startswith, JPEG_PARTS), b"")
        form, start = JPEG_PARTS.get(header, ("", 0))
        content = segment.content.part(start)
        is_new = segment.head[6:8] in TIFF_ORDERS
        if form == EXIF and is_new and EXIF in parts:
            yield EXIF, _joined(parts.pop(EXIF))
        if form:
            parts.setdefault(form, []).append(content)
        else:
            _refuse_signs(content.whole())
    for form, spans in parts.items():
        yield form, _joined(spans)


def _tell_of(segments: Iterable[Segment], signs: re.Pattern[bytes]) -> bool:
    """Say whether the XMP in segments, long or not, has one of some signs."""
    for segment in segments:
        if not segment.head.startswith(XMP_SIGN):
            continue
        xmp = segment.content.whole()
        if signs.search(xmp):
            return True
    return False


def _trailer_start(span: Span, at: int, has_more: bool) -> int:
    """Return where something stands behind the pixels of a JPEG, which begin at `at`."""
    tail = span.read(max(at, span.size - 64), 64)
    if tail.rstrip(b"\0").endswith(JPEG_END) and not has_more:
        return span.size
    end = _find(span, at, END_OF_IMAGE)
    return span.size if end < 0 else end + 2


def _trailer_parts(span: Span, at: int) -> Iterator[Inner]:
    """Yield the pictures and films behind the pixels of a JPEG."""
    if span.read(span.size - 4, 4) == b"SEFT":
        _clear_country_code(span)
    for _ in range(TRAILER_PARTS):
        at = _find(span, at, *TRAILER_STARTS)
        if at < 0:
            return
        if span.read(at, 1) == b"\xff":
            yield JPEG, span.part(at)
            at += 2
        else:
            start = at - 4
            film = span.part(start)
            yield BOXES, film
            ends = [box.end for box in _boxes(film)]
            at = start + max(ends, default=12)
    raise PlaceKept("too many parts")


def walk_jpeg(span: Span) -> Iterator[Inner]:
    """Find the metadata of a JPEG, and the pictures and films behind its pixels."""
    if span.read(0, 2) != b"\xff\xd8":
        return
    segments = list(_segments(span))
    end = segments[-1].end if segments else 2
    pictures: list[Piece] = []
    for form, part in _segment_parts(segments):
        if form == MPF:
            start = part.start - span.start
            pictures += _further_pictures(part, start)
        else:
            yield form, part
    for offset, size in pictures:
        yield JPEG, span.part(offset, size)
    if span.depth:
        return
    # A film may lie before a further picture or behind it.
    has_more = _tell_of(segments, FILM_SIGNS if pictures else TRAILER_SIGNS)
    ends = [offset + size for offset, size in pictures]
    trailer = max(ends, default=0)
    if has_more or not trailer:
        trailer = _trailer_start(span, end, has_more)
    yield from _trailer_parts(span, trailer)


# PNG 3rd edition, 5 and 11.3; text profiles are ImageMagick's.
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
PNG_TEXT_BYTES = 16 << 20  # of a text, compressed or not
PNG_START = re.compile(rb"\x89PNG\r\n\x1a\n")
PNG_PLAIN = frozenset(
    b"IHDR PLTE IDAT IEND acTL fcTL fdAT tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD"
    b" hIST pHYs sPLT tIME CgBI iDOT".split()
)
TEXT_FORMS = {b"Exif": EXIF, b"II": TIFF, b"MM": TIFF, b"8BIM": PHOTOSHOP, b"\x1c": IPTC}


def _inflate(content: bytes) -> bytes:
    """Return a compressed text, as far as it goes. Raises PlaceKept where it is too long."""
    text = b""
    with contextlib.suppress(zlib.error):
        text = zlib.decompressobj().decompress(content, PNG_TEXT_BYTES)
    if len(text) >= PNG_TEXT_BYTES:
        raise PlaceKept("a text that is too long")
    return text


def _refuse_unknown(type: bytes, content: Span) -> None:
    """Raise PlaceKept where a chunk that is not understood may tell a place."""
    if type == b"zxIf" or content.size > UNKNOWN_BYTES:
        raise PlaceKept("not understood")
    _refuse_signs(content.whole())


def _profile_in(text: bytes) -> bytes:
    """Return the bytes of a profile in hexadecimal digits, after its name and length.

    The name may be of several words: ExifTool calls it `generic profile`.
    """
    words = text.split()
    length_at = next((at for at, word in enumerate(words) if word.isdigit()), 1)
    digits = b"".join(words[length_at + 1 :])
    plain = re.match(rb"(?:[0-9A-Fa-f]{2})*", digits)
    profile = bytes.fromhex(plain[0].decode()) if plain else b""
    return profile.removeprefix(b"Photoshop 3.0\0")


def _form_of_profile(content: bytes) -> str:
    for start, form in TEXT_FORMS.items():
        if content.startswith(start):
            return form
    return XMP


def _text_in(type: bytes, text: bytes) -> tuple[bytes, bytes, bool]:
    """Return name and text of a text chunk, and whether the text is compressed."""
    name, _, rest = text.partition(b"\0")
    if type == b"tEXt":
        return name, rest, False
    if type == b"zTXt":
        return name, _inflate(rest[1:]), True
    packet = rest[2:].split(b"\0", 2)[-1]  # behind the language and the translated name
    if rest[:1] == b"\1":
        return name, _inflate(packet), True
    return name, packet, False


def _png_text_parts(type: bytes, content: Span) -> Iterator[Inner]:
    """Yield what a text chunk holds. Raises PlaceKept for a place that cannot be patched."""
    if content.size > PNG_TEXT_BYTES:
        raise PlaceKept("a text that is too long")
    name, text, is_packed = _text_in(type, content.whole())
    is_profile = name.startswith(b"Raw profile type")
    is_named = _is_place_name(name.rpartition(b":")[2])
    if is_named and is_packed:
        raise PlaceKept("compressed")
    start = content.size - len(text)
    if is_named:
        content.fill(start, len(text), b" ")
        return
    if not is_packed and not is_profile:
        yield XMP, content.part(start)
        return
    if is_profile:
        text = _profile_in(text)
    inner = _in_memory(text, content.depth)
    yield _form_of_profile(text), inner
    if inner.file.patches:
        raise PlaceKept("compressed or in hexadecimal")


def _rest_parts(span: Span, at: int) -> Iterator[Inner]:
    """Yield what stands behind the end of a picture. Raises PlaceKept for a further PNG."""
    if at >= span.size:
        return
    if _find(span, at, PNG_START) >= 0:
        raise PlaceKept("a picture behind another")
    _refuse_signs(span.read(at, UNKNOWN_BYTES))
    yield from _trailer_parts(span, at)


def walk_png(span: Span) -> Iterator[Inner]:
    """Find the metadata of a PNG, and mend the checksums of patched chunks."""
    at = len(PNG_SIGNATURE)
    type = b""
    while type != b"IEND" and len(header := span.read(at, 8)) == 8:
        size = int.from_bytes(header[:4], "big")
        type = header[4:]
        content = span.part(at + 8, size)
        before = len(span.file.patches)
        if type == b"eXIf":
            yield EXIF, content
        elif type in PNG_TEXTS:
            yield from _png_text_parts(type, content)
        elif type not in PNG_PLAIN:
            _refuse_unknown(type, content)
        if len(span.file.patches) > before:
            crc = zlib.crc32(span.patched(at + 4, size + 4))
            end = at + 8 + size
            span.write(end, crc.to_bytes(4, "big"))
        at += 12 + size
    yield from _rest_parts(span, at)


GIF_XMP = re.compile(rb"\x0bXMP DataXMP")
GIF_XMP_END = re.compile(rb"\x01\xff\xfe\xfd")  # its trailer counts down from here

# RFC 9649 (WebP); AVI has XMP in a chunk of its own.
RIFF_PARTS = {b"EXIF": EXIF, b"XMP ": XMP, b"_PMX": XMP}
WEBP_PLAIN = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))


def walk_riff(span: Span) -> Iterator[Inner]:
    """Find the metadata of a WebP."""
    is_webp = span.read(8, 4) == b"WEBP"
    length = int.from_bytes(span.read(4, 4), "little")
    stop = min(span.size, 8 + length + length % 2)
    at = 12
    while at + 8 <= stop:
        header = span.read(at, 8)
        type = header[:4]
        size = int.from_bytes(header[4:], "little")
        content = span.part(at + 8, size)
        if type in RIFF_PARTS:
            yield RIFF_PARTS[type], content
        elif is_webp and type not in WEBP_PLAIN:
            _refuse_unknown(type, content)
        at += 8 + size + size % 2
    if is_webp:
        yield from _rest_parts(span, stop)


def walk_gif(span: Span) -> Iterator[Inner]:
    """Find XMP in a GIF (XMP part 3, 1.1.2)."""
    at = _find(span, 0, GIF_XMP)
    while at >= 0:
        start = at + len(b"\x0bXMP DataXMP")
        end = _find(span, start, GIF_XMP_END)
        if end < 0:
            end = span.size
        yield XMP, span.part(start, end - start)
        at = _find(span, end, GIF_XMP)


def walk_exif(span: Span) -> Iterator[Inner]:
    """Find the TIFF structure in EXIF; what stands before it differs between kinds of files."""
    head = span.read(0, 64)
    starts = [head.find(mark) for mark in (b"II*\0", b"MM\0*")]
    starts = [start for start in starts if start >= 0]
    if starts:
        yield TIFF, span.part(min(starts))
    elif head[:2] in TIFF_ORDERS:  # with another mark, which readers pass over
        yield TIFF, span
    else:
        yield TIFF, span.part(4 + span.number(0, 4))


def walk_fuji(span: Span) -> Iterator[Inner]:
    """Find the JPEG in a RAW file of Fujifilm, which holds all EXIF."""
    offset = span.number(84, 4)
    length = span.number(88, 4)
    yield JPEG, span.part(offset, length)


def walk_packed(span: Span) -> Iterator[Inner]:
    """Refuse what is compressed."""
    raise PlaceKept("compressed")
    yield


# AVCHD films: after this mark a count, then so many tags of a byte with four bytes each. These tags
# are GPS; every first picture of a scene has them.
AVCHD_MARK = b"MDPM"
AVCHD_GPS_TAGS = frozenset(range(0xB0, 0xCB))


def _refuse_avchd_gps(head: bytes) -> None:
    for after in head.split(AVCHD_MARK)[1:]:
        count = int.from_bytes(after[:1], "big")
        tags = after[1 : 1 + 5 * count : 5]
        if AVCHD_GPS_TAGS.intersection(tags):
            raise PlaceKept("GPS in each scene of a film")


def walk_unknown(span: Span) -> Iterator[Inner]:
    """Find a JPEG behind junk; refuse anything else that looks like a place."""
    head = span.read(0, HEAD_BYTES)
    at = head.find(b"\xff\xd8\xff")
    if at >= 0:
        yield JPEG, span.part(at)
    else:
        _refuse_avchd_gps(head)
        _refuse_coordinates(head)
        tail = span.part(max(0, span.size - TAIL_BYTES))
        _refuse_coordinates(tail.whole())


Walk = Callable[[Span], Iterator[Inner]]

WALKS: dict[str, Walk] = {
    XMP: walk_xmp,
    MORE_XMP: walk_xmp,
    IPTC: walk_iptc,
    PHOTOSHOP: walk_photoshop,
    TIFF: walk_tiff,
    GPS: walk_gps,
    JPEG: walk_jpeg,
    PNG: walk_png,
    RIFF: walk_riff,
    GIF: walk_gif,
    BOXES: walk_boxes,
    MATROSKA: walk_matroska,
    EXIF: walk_exif,
    FUJI: walk_fuji,
    PACKED: walk_packed,
    UNKNOWN: walk_unknown,
}


def _walk(form: str, span: Span) -> None:
    for inner_form, inner in WALKS[form](span):
        _walk(inner_form, inner)


FILE_FORMS = {
    b"\xff\xd8": JPEG,
    PNG_SIGNATURE: PNG,
    b"RIFF": RIFF,
    b"GIF8": GIF,
    b"II": TIFF,
    b"MM": TIFF,
    b"\x1aE\xdf\xa3": MATROSKA,
    b"FUJIFILMCCD-RAW": FUJI,
}
BOX_STARTS = frozenset(b"ftyp moov mdat wide free skip".split())


def _form_of(head: bytes, kind: str) -> str:
    if head[4:8] in BOX_STARTS:
        return BOXES
    for start, form in FILE_FORMS.items():
        if head.startswith(start):
            return form
    return PACKED if kind == RAW else UNKNOWN


# How files end behind which Insta360, AFCP, Photo Mechanic or MIE have put metadata of their own.
_FOREIGN_END = re.compile(
    rb"8db42d694ccc418790edff439fe026bf$|AXS[!*].{8}$|cbipcbbl$|~\x00\x06\x00~zmie~.{6,10}$",
    re.DOTALL,
)


def place_patches(file: BinaryIO, head: bytes = b"", kind: str = "") -> tuple[Patch, ...]:
    """Return what to write over an open file so that it no longer tells where it was taken.

    Raises PlaceKept where that cannot be had, METADATA_ERRORS for damaged files.
    """
    size = _size_of(file)
    if not head:
        file.seek(0)
        head = file.read(HEAD_BYTES)
    source = PlaceFile(file, size, head)
    tail = source.read(max(0, size - 32), 32)
    if _FOREIGN_END.search(tail):
        raise PlaceKept("places or IPTC behind the end")
    form = _form_of(head, kind)
    pieces = ((0, size),)
    _walk(form, Span(source, pieces, size))
    return source.sorted_patches()


def read_place(file: BinaryIO, head: bytes, info: Info) -> Info:
    """Tell what hides the place of an open file. Whatever goes wrong keeps the file at home."""
    try:
        patches = place_patches(file, head, info.kind)
    except (PlaceKept, MemoryError, RecursionError, *METADATA_ERRORS):
        return info
    return with_facts(info, place=encode_patches(patches), place_kept=False)


# --- Motion photos -----------------------------------------------------------
#
# Phones of Google and Samsung keep a short film behind the pixels of a photo, in the same file.
# Sources: Android's Motion Photo format 1.0 and its forerunner MicroVideo; for Samsung's older
# trailer, what ExifTool's tag names tell of it.

METADATA_BYTES = 4 * HEAD_BYTES  # of a JPEG whose EXIF leaves no room for XMP in the head
FILM_BOX_BYTES = 1024  # of a film's first box, at most: it lists brands
SAMSUNG_FILM = 0x0A30  # the type of that part of the trailer
SAMSUNG_BYTES = 1212  # of the trailer's directory, at most: it lists 100 parts
_MICRO_VIDEO = re.compile(rb"MicroVideoOffset(?:=\"|>)(\d{1,12})")
_DIRECTORY_ITEM = re.compile(rb"<rdf:li\b.{0,2000}?(?=</rdf:li>|<rdf:li\b)", re.DOTALL)
_ITEM_LENGTH = re.compile(rb":Length(?:=\"|>)(\d{1,12})")
_ITEM_PADDING = re.compile(rb":Padding(?:=\"|>)(\d{1,12})")


def _length_told(pattern: re.Pattern[bytes], text: bytes) -> int:
    match = pattern.search(text)
    return int(match[1]) if match else 0


def _told_by_xmp(head: bytes, size: int) -> Iterator[Piece]:
    """Yield where a film is by what XMP tells: its length, and that of what stands behind it."""
    offset = _length_told(_MICRO_VIDEO, head)
    if offset:
        yield size - offset, offset
    behind = 0
    for item in reversed(_DIRECTORY_ITEM.findall(head)):
        length = _length_told(_ITEM_LENGTH, item)
        behind += length
        is_attribute = b'"MotionPhoto"' in item
        is_element = b">MotionPhoto<" in item
        if is_attribute or is_element:
            start = size - behind
            padding = _length_told(_ITEM_PADDING, item)
            yield start, length
            # Samsung counts the padding behind the film as a part of it.
            yield start, length - padding


def _told_by_samsung(file: IO[bytes], size: int) -> Iterator[Piece]:
    """Yield where a film is by the directory at the end of a Samsung's file."""
    if size < 8:
        return
    file.seek(size - 8)
    length, sign = struct.unpack("<I4s", file.read(8))
    start = size - 8 - length
    is_directory = sign == b"SEFT" and start >= 0
    if not is_directory or length > SAMSUNG_BYTES:
        return
    file.seek(start)
    directory = file.read(length)
    for at in range(12, len(directory) - 11, 12):
        entry = struct.unpack_from("<HHII", directory, at)
        _, type, offset, part_size = entry
        if type != SAMSUNG_FILM or offset > start:
            continue
        file.seek(start - offset)
        header = file.read(8)
        if len(header) < 8:
            return
        # The part begins with its type, and with its name and how long that is.
        skipped = 8 + int.from_bytes(header[4:], "little")
        yield start - offset + skipped, part_size - skipped


def _told_by_boxes(file: IO[bytes], size: int) -> Iterator[Piece]:
    """Yield the content of the box for a film behind a HEIC or AVIF photo."""
    for atom in _atoms(file, 0, size):
        if atom.kind == b"mpvd":
            yield atom.start, atom.end - atom.start


def _is_film_at(file: IO[bytes], start: int, length: int, size: int) -> bool:
    """Say whether an MP4 of a length begins there. The film may have been cut off since."""
    if start <= 0 or length < FILM_BOX_BYTES or start + length > size:
        return False
    file.seek(start)
    box_size, name = struct.unpack(">I4s", file.read(8))
    is_first_box: bool = name == b"ftyp" and 8 <= box_size <= FILM_BOX_BYTES
    return is_first_box


def _whole_metadata(file: IO[bytes], head: bytes) -> bytes:
    """Return how a JPEG begins, up to its pixels."""
    if len(head) < HEAD_BYTES or plain_segments(head):
        return head
    file.seek(0)
    return file.read(METADATA_BYTES)


def film_within(file: BinaryIO, head: bytes) -> Piece:
    """Return offset and size of the film inside a motion photo, bytes; (0, 0): there is none.

    Raises OSError.
    """
    is_jpeg = head.startswith(b"\xff\xd8")
    size = _size_of(file)
    pieces: list[Iterator[Piece]] = []
    if head[4:8] == b"ftyp":
        pieces.append(_told_by_boxes(file, size))
    if is_jpeg:
        metadata = _whole_metadata(file, head)
        if XMP_SIGN in metadata and FILM_SIGNS.search(metadata):
            pieces.append(_told_by_xmp(metadata, size))
        pieces.append(_told_by_samsung(file, size))
    for start, length in itertools.chain(*pieces):
        if _is_film_at(file, start, length, size):
            return start, length
    return 0, 0


# --- Checksums ---------------------------------------------------------------

# One piece of memory, which the processor keeps near: new ones would cost as much as the sums.
CHECKSUM_BYTES = 1 << 18
NO_ATIME = getattr(os, "O_NOATIME", 0)  # open(2)


def open_quietly(path: str, flags: int) -> int:
    """Open a file without a note that it was read, which the system allows to the file's owner."""
    try:
        return os.open(path, flags | NO_ATIME)
    except PermissionError:
        return os.open(path, flags)


def checksums(path: str, patches: Sequence[Patch]) -> tuple[int, int]:
    """Return the CRC-32 of a file, and the same with its patches. Raises OSError."""
    crc = patched_crc = 0
    offset = 0
    block = bytearray(CHECKSUM_BYTES)
    content = memoryview(block)
    with open(path, "rb", buffering=0, opener=open_quietly) as file:
        while length := file.readinto(block):
            crc = zlib.crc32(content[:length], crc)
            if patches:
                within = patches_within(patches, offset, offset + length)
                patch_block(block, offset, within)
                patched_crc = zlib.crc32(content[:length], patched_crc)
            offset += length
    return crc, patched_crc if patches else crc


def add_to_checksum(crc: int, path: str, start: int) -> tuple[int, int]:
    """Go on with a file's CRC-32 from a place on; return it with how many bytes that took.

    0 bytes: the file ends there. Raises OSError.
    """
    with open(path, "rb", buffering=0, opener=open_quietly) as file:
        file.seek(start)
        block = file.read(CHECKSUM_BYTES)
        length = len(block)
        crc = zlib.crc32(block, crc)
        # Nobody asked for these bytes: what visitors ask for stays in memory (posix_fadvise(2)).
        if sys.platform == "linux":
            number = file.fileno()
            os.posix_fadvise(number, start, length, os.POSIX_FADV_DONTNEED)
    return crc, length


# --- Grids -------------------------------------------------------------------

# A HEIC photo is a grid of tiles (ISO/IEC 23008-12, 6.6.2.3). Those of a large or cut one are decoded
# one by one, each as a file of its own: pillow_heif decodes whole files.
MOST_TILES = 4096
MISSING = "#808080"  # where a cut photo has no pixels: as in a JPEG
TURNS = {
    b"irot": (None, *map(Image.Transpose, (2, 3, 4))),  # against the clock
    b"imir": (Image.Transpose.FLIP_TOP_BOTTOM, Image.Transpose.FLIP_LEFT_RIGHT),
}

Size = tuple[int, int]  # width and height, pixels
Crop = tuple[int, int, int, int]  # left, top, right and bottom, pixels


class Place(NamedTuple):
    """Where an item's content lies in its file, bytes."""

    start: int
    length: int
    is_in_meta: bool


@dataclasses.dataclass(frozen=True)
class Grid:
    """The tiles of a large photo, by rows."""

    columns: int
    size: Size  # of the photo as it is stored
    tile_width: int
    tile_height: int
    tiles: list[Place]
    properties: bytes  # of each tile, a box
    turns: list[NamedBox]  # that turn the photo, in order

    def is_cut(self, path: str) -> bool:
        """Say whether the file ends before its last tile. Raises OSError."""
        ends = [tile.start + tile.length for tile in self.tiles if not tile.is_in_meta]
        return max(ends, default=0) > os.path.getsize(path)


def _places(iloc: bytes) -> dict[int, Place]:
    """Return where items lie that are in one piece (ISO/IEC 14496-12, 8.11.3)."""
    version = iloc[0]
    wide = 4 if version == 2 else 2
    offset_size = iloc[4] >> 4
    length_size = iloc[4] & 15
    base_size = iloc[5] >> 4
    index_size = iloc[5] & 15
    reader = _Reader(iloc, 6)
    places = {}
    for _ in range(min(reader.number(wide), MOST_TILES)):
        item = reader.number(wide)
        method = reader.number(2) & 15 if version else 0
        reader.number(2)  # whether the content is in another file
        start = reader.number(base_size)
        for _ in range(min(reader.number(2), MOST_TILES)):
            if version:
                reader.number(index_size)
            start_of_part = start + reader.number(offset_size)
            length = reader.number(length_size)
            places[item] = Place(start_of_part, length, method == 1)
    return places


def _sources(iref: bytes, primary: int) -> list[int]:
    """Return the items that the photo is made of, in order (ISO/IEC 14496-12, 8.11.12)."""
    wide = 4 if iref[0] else 2
    for name, content in boxes(iref[4:]):
        reader = _Reader(content, 0)
        if name == b"dimg" and reader.number(wide) == primary:
            count = min(reader.number(2), MOST_TILES)
            return [reader.number(wide) for _ in range(count)]
    return []


def _item_type(iinf: bytes, wanted: int) -> bytes:
    """Return the type of an item (ISO/IEC 14496-12, 8.11.6)."""
    for _, content in boxes(iinf[8 if iinf[0] else 6 :]):
        wide = 4 if content[0] > 2 else 2
        reader = _Reader(content, 4)
        if reader.number(wide) == wanted:
            return content[reader.at + 2 : reader.at + 6]
    return b""


def _as_box(name: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", len(content) + 8, name) + content


def _properties_box(properties: Mapping[bytes, bytes]) -> bytes:
    """Return the iprp box of a file of one item, which has all properties."""
    container = _as_box(b"ipco", *map(_as_box, properties, properties.values()))
    count = len(properties)
    numbers = bytes((count, *range(1, count + 1)))
    owner = b"\0\0\0\0\0\0\0\1\0\1"  # one item, the first
    owners = _as_box(b"ipma", owner, numbers)
    return _as_box(b"iprp", container, owners)


def _content(path: str, meta: bytes, place: Place) -> bytes:
    if place.is_in_meta:
        content = dict(boxes(meta))[b"idat"]
        return content[place.start : place.start + place.length]
    with open(path, "rb") as file:
        file.seek(place.start)
        return file.read(place.length)


def _shape(content: bytes) -> tuple[int, Size]:
    """Return the columns and the size of a grid."""
    reader = _Reader(content, 1)
    wide = 4 if reader.number(1) & 1 else 2
    reader.number(1)  # of rows, less one
    columns = reader.number(1) + 1
    width = reader.number(wide)
    height = reader.number(wide)
    return columns, (width, height)


def read_grid(path: str, meta: bytes) -> Grid | None:
    """Return the grid that a photo is; None: it is something else. Raises METADATA_ERRORS."""
    parts = dict(boxes(meta))
    types = parts[b"iinf"]
    primary = int.from_bytes(parts[b"pitm"][4:])
    sources = _sources(parts[b"iref"], primary)
    of_photo = item_properties(meta, primary)
    is_grid = _item_type(types, primary) == b"grid"
    is_cropped = b"clap" in dict(of_photo)
    if not is_grid or is_cropped or _item_type(types, sources[0]) != b"hvc1":
        return None
    places = _places(parts[b"iloc"])
    content = _content(path, meta, places[primary])
    columns, size = _shape(content)
    of_tile = dict(item_properties(meta, sources[0]))
    tile_width, tile_height = struct.unpack_from(">II", of_tile[b"ispe"], 4)
    # what the photo tells of its colours is true of its tiles
    colours = {name: told for name, told in of_photo if name == b"colr"}
    return Grid(
        columns=columns,
        size=size,
        tile_width=tile_width,
        tile_height=tile_height,
        tiles=[places[source] for source in sources],
        properties=_properties_box(colours | of_tile),
        turns=[box for box in of_photo if box[0] in TURNS],
    )


def _tile_file(grid: Grid, content: bytes) -> bytes:
    """Return a HEIC file of one tile."""
    head = _as_box(b"ftyp", b"heic\0\0\0\0mif1heic")
    place = struct.pack(">II", len(head) + 8, len(content))
    meta = _as_box(
        b"meta",
        b"\0\0\0\0",
        _as_box(b"hdlr", bytes(8), b"pict", bytes(13)),
        _as_box(b"pitm", b"\0\0\0\0\0\1"),
        _as_box(b"iloc", b"\0\0\0\0\x44\0\0\1\0\1\0\0\0\1", place),
        _as_box(b"iinf", b"\0\0\0\0\0\1", _as_box(b"infe", b"\2\0\0\0\0\1\0\0hvc1\0")),
        grid.properties,
    )
    return head + _as_box(b"mdat", content) + meta


def _divisor(grid: Grid, side: int) -> int:
    """Return by how much each tile shrinks, to whole pixels, for a picture of about `side` pixels."""
    longest = max(grid.size)
    common = math.gcd(grid.tile_width, grid.tile_height)
    for by in (8, 4, 2):
        if common % by == 0 and longest / by >= 0.95 * side:
            return by
    return 1


def _decoded_tiles(path: str, grid: Grid) -> Iterator[Picture]:
    """Yield the tiles of a grid; of a damaged photo, those up to the end of the file."""
    with open(path, "rb") as file:
        for place in grid.tiles:
            file.seek(place.start)
            content = file.read(place.length)
            if len(content) < place.length:
                if ImageFile.LOAD_TRUNCATED_IMAGES:
                    return
                raise OSError("image file is truncated")
            tile = io.BytesIO(_tile_file(grid, content))
            with Image.open(tile, formats=["HEIF"]) as image:
                yield image


def decode_grid(path: str, grid: Grid, side: int) -> Picture:
    """Decode a large grid, shrunk to about `side` pixels. Raises METADATA_ERRORS, MemoryError."""
    by = _divisor(grid, side)
    width, height = grid.size
    size = math.ceil(width / by), math.ceil(height / by)
    picture = Image.new("RGB", size, MISSING)
    for number, tile in enumerate(_decoded_tiles(path, grid)):
        row, column = divmod(number, grid.columns)
        left = column * grid.tile_width // by
        top = row * grid.tile_height // by
        picture.paste(tile.reduce(by), (left, top))
    for name, content in grid.turns:
        ways = TURNS[name]
        way = ways[content[0] % len(ways)]
        if way is not None:
            picture = picture.transpose(way)
    return picture


# --- Pixels ------------------------------------------------------------------

JPEG_PIXELS = 300_000_000  # a JPEG shrinks while it is decoded: 280 megapixels take 28 MB
OTHER_PIXELS = 100_000_000  # others are decoded whole: 4 to 15 bytes a pixel
# Longest side of a preview, pixels: a full-HD screen; where a whole part of the photo's own pixels is
# within these, that part. Half of 4000 to 4096, as most phones have them, is what a JPEG decoder
# yields for a quarter of its work: resampling that to 1920 took 29 ms more, for a mean SSIM of 0.957
# at equal bytes instead of 0.961.
PREVIEW_SIDE, LARGEST_PREVIEW = 1920, 2048
# Thumbnails: a mean SSIM of 0.968 and 0.975 at equal bytes, 0.966 and 0.974 with BICUBIC (640 and
# 320 pixels), for 3 ms more.
RESAMPLING = Image.Resampling.LANCZOS
# A preview takes 31 to 43 ms with HAMMING, for a mean SSIM of 0.934 (bench/quality.py); with BICUBIC
# 47 to 68 for 0.937. Pillow's best, decoded whole, takes 150 ms more for 0.943.
PREVIEW_RESAMPLING = Image.Resampling.HAMMING

MOST_MEMORY = 1 << 30  # bytes
LEAST_MEMORY = 512 << 20  # a photo of 48 megapixels needs nearly as much


def _group_limits(listed: Path, groups: Path) -> Iterator[int]:
    """Yield what the control groups of this process allow it, bytes (cgroups(7)); none elsewhere."""
    with contextlib.suppress(OSError):
        for line in listed.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            folder, name = groups, "memory.max"
            if "memory" in controllers.split(","):  # version 1
                folder, name = groups / "memory", "memory.limit_in_bytes"
            steps = path.strip("/").split("/")
            for depth in range(len(steps) + 1):
                limit = folder.joinpath(*steps[:depth], name)
                # the root has none, and "max" is none
                with contextlib.suppress(OSError, ValueError):
                    yield int(limit.read_text())


def machine_memory(
    listed: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return how much memory the server and its workers have, bytes; None: Windows tells none of it."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return min([machine, *_group_limits(listed, groups)])
    return None


def _worker_memory() -> int:
    """Return how much a worker may take, bytes: on a small machine only what it can do without."""
    memory = machine_memory()
    if memory is None:
        return MOST_MEMORY
    return min(MOST_MEMORY, max(LEAST_MEMORY, memory * 6 // 10))


WORKER_MEMORY = _worker_memory()  # address space of a worker and of its ffmpeg, bytes
SPARE_MEMORY = 100 << 20  # what a worker needs beside the pixels of a photo
LEAST_PIXELS_MEMORY = 240 << 20  # a PNG of 48 megapixels needs 192


def _pixels_memory() -> int:
    """Return how much one decoding may take, bytes: a quarter of the machine's memory.

    On a machine with 1 GB, the largest photos take a worker 270 MB, most of them 100.
    """
    most = WORKER_MEMORY - SPARE_MEMORY
    memory = machine_memory()
    if memory is None:
        return most
    return min(most, max(LEAST_PIXELS_MEMORY, memory // 4))


PIXELS_MEMORY = _pixels_memory()


def _shared_memory() -> int:
    """Return how much a worker may take while others are at work, bytes.

    On a machine with 1 GB, its two workers take 130 MB each, or one of them takes 280.
    """
    memory = machine_memory()
    if memory is None:
        return MOST_MEMORY
    return memory // 8


SHARED_MEMORY = _shared_memory()
# Bytes a pixel that decoding takes, as measured: of a PNG 4 and of a grey one 1.3.
PIXEL_BYTES = 4
GREY_BYTES = 2
DEEP_BYTES = 5  # besides, with transparency, a palette or more than 8 bits a channel
BYTES_OF_FORMAT = {"AVIF": 9, "HEIF": 7, "TIFF": 7, "WEBP": 15}
MAKING_BYTES = 10  # likewise, of making a rendition of a picture
WEBP_PIXELS = min(40_000_000, PIXELS_MEMORY // 15)  # a larger WebP is left to ffmpeg
# A larger HEIC is decoded tile by tile. That blurs a thumbnail a little; on a machine with 1 GB,
# 24 megapixels take 90 MB instead of 210.
GRID_PIXELS = min(30_000_000, PIXELS_MEMORY // 24)
MOST_CHUNKS = 100_000  # of a PNG; of 8 KB each they hold 800 MB
CHUNK_BYTES = 1 << 20


def preview_side(size: Size) -> int:
    """Return the longest side of the preview of a photo of this size, pixels."""
    for part in (1, 2, 4, 8):
        side = max(size) // part
        if PREVIEW_SIDE <= side <= LARGEST_PREVIEW:
            return side
    return PREVIEW_SIDE


Decoded = tuple[Picture, Size]  # a picture, and the size of the photo that it is of


def _scale_transparency(image: Picture, head: bytes) -> None:
    """Bring the grey that is transparent in a PNG to 8 bits, as Pillow brings its pixels."""
    value = image.info.get("transparency")
    is_grey = image.mode in ("L", "I;16")
    if is_grey and isinstance(value, int):
        depth = head[24]  # of IHDR (W3C PNG, 11.2.1)
        most = (1 << depth) - 1
        image.info["transparency"] = value * 255 // most


def _late_chunks(path: str) -> Iterator[NamedBox]:
    """Yield the chunks of metadata that follow the pixels of a PNG (W3C PNG, 5.3)."""
    has_pixels = False
    with open(path, "rb") as file:
        file.seek(8)
        for _ in range(MOST_CHUNKS):
            header = file.read(8)
            if len(header) < 8 or header.endswith(b"IEND"):
                return
            length, name = struct.unpack(">I4s", header)
            has_pixels |= name == b"IDAT"
            if has_pixels and name in (b"eXIf", b"iTXt") and length <= CHUNK_BYTES:
                yield name, file.read(length)
                length = 0
            file.seek(length + 4, os.SEEK_CUR)  # its check sum


def _add_late_metadata(image: Picture, path: str) -> None:
    """Give a PNG the EXIF and XMP that follow its pixels: there exiftool writes them."""
    for name, content in _late_chunks(path):
        if name == b"eXIf":
            image.info.setdefault("exif", b"Exif\0\0" + content)
        elif content.startswith(b"XML:com.adobe.xmp\0\0\0\0\0"):
            image.info.setdefault("xmp", content[22:])


# How Pillow calls numbers of a TIFF, and how they are when libtiff has read them: in this
# machine's order of bytes.
NATIVE = {
    "F;32F": "F;32NF",
    "F;32BF": "F;32NF",
    "I;32S": "I;32NS",
    "I;32BS": "I;32NS",
    "I;16S": "I;16NS",
    "I;16BS": "I;16NS",
}
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ODD_TIFF = "a TIFF that is damaged, or of a kind that cannot be shown: export it as JPEG"
MOST_PAGES = 100  # of a TIFF, that may precede the photo

# Pillow's own reader takes channels of 16 bits that lie apart for 8 bits, and does not know
# colours that are stored less densely than their brightness.
TiffImagePlugin.READ_LIBTIFF = bool(features.check("libtiff"))


def _first_of(image: TiffPhoto, tag: int, default: int) -> int:
    """Return the number, or the first of the numbers, that a tag of a TIFF holds."""
    value = image.tag_v2.get(tag, default)
    if isinstance(value, tuple):
        return int(value[0])
    return int(value)


def _skip_previews(image: TiffPhoto) -> None:
    """Go to the first page of a TIFF that is no smaller copy of another (TIFF 6.0, section 8)."""
    for page in range(1, MOST_PAGES):
        is_preview = _first_of(image, 254, 0) & 1
        if not is_preview and _first_of(image, 255, 0) != 2:
            return
        try:
            image.seek(page)
        except EOFError:  # there are but previews
            image.seek(0)
            return


def _in_native_order(tile: ImageFile._Tile) -> ImageFile._Tile:
    if tile.codec_name != "libtiff" or not isinstance(tile.args, tuple):
        return tile
    mode, *others = tile.args
    return tile._replace(args=(NATIVE.get(mode, mode), *others))


def _mend_tiff(image: TiffPhoto) -> None:
    """Find the photo in a TIFF, and tell Pillow what it does not know of it."""
    _skip_previews(image)
    if _first_of(image, 339, 1) == 2 and _first_of(image, 258, 1) == 8:
        raise ValueError(ODD_TIFF)  # numbers below zero
    colours = image.tag_v2.get(320, ())
    if colours and max(colours) < 256:  # a palette of 16 bits that was written with 8
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
    image.tile = list(map(_in_native_order, image.tile))


def _add_xmp_of_gif(image: Picture, head: bytes) -> None:
    mark = GIF_XMP.search(head)
    if mark is None:
        return
    after = head[mark.end() :]
    parts = GIF_XMP_END.split(after)
    image.info["xmp"] = parts[0]


def _mend(image: Photo, path: str, head: bytes) -> None:
    """Add to an open photo what Pillow leaves out before it decodes. Raises like Pillow."""
    if isinstance(image, TiffPhoto):
        _mend_tiff(image)
    if image.format == "GIF":
        _add_xmp_of_gif(image, head)
    if image.format == "PNG":
        _read_or_none(_add_late_metadata, image, path)
        _read_or_none(_scale_transparency, image, head)


def _open_known(file: str | BinaryIO, head: bytes) -> Photo:
    formats = [name for name in PHOTO_FORMATS if name in Image.OPEN]
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError:
        if head.startswith(TIFF_MARKS):
            raise ValueError(ODD_TIFF) from None
        raise


def _limit_pixels(image: Header, most: int) -> None:
    if image.width * image.height > most:
        size = f"{image.width} x {image.height}"
        raise ValueError(
            f"too large: {size} pixels, at most {most // 10**6} million; export it smaller"
        )


def _open(path: str, head: bytes, file: BinaryIO | None = None) -> Photo:
    """Open a photo by its content. Raises OSError, ValueError, SyntaxError, MemoryError."""
    image = _open_known(file or path, head)
    try:
        image.filename = path
        _mend(image, path, head)
        is_shrunk = image.format in ("JPEG", "MPO", "HEIF")
        _limit_pixels(image, JPEG_PIXELS if is_shrunk else OTHER_PIXELS)
    except BaseException:
        image.close()
        raise
    return image


def _heif_orientation(image: Header, properties: Sequence[NamedBox]) -> Any:
    """Return the tag's value, unless boxes say the same, by which pillow_heif has turned already."""
    if any(name in (b"irot", b"imir") for name, _ in properties):
        return 1
    return image.info.get("original_orientation")


_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def _orientation_tag(image: Header, exif: Exif) -> Any:
    value = exif.first.get(ORIENTATION_TAG)
    # Boxes alone turn an AVIF (MIAF, ISO/IEC 23000-22, 7.3.6.7); Pillow tells them as EXIF.
    if value is not None or image.format == "AVIF":
        return value
    match = _XMP_ORIENTATION.search(_xmp_of(image))
    return int(match[1]) if match else None


def read_orientation(image: Header, exif: Exif, properties: Sequence[NamedBox]) -> int:
    """Return EXIF orientation 1 to 8 (0x0112), as far as Pillow does not apply it itself."""
    if image.format == "HEIF":
        value = _heif_orientation(image, properties)
    else:
        value = _orientation_tag(image, exif)
    if isinstance(value, int) and 1 <= value <= 8:
        return value
    return 1


def _is_plain_tag(exif: bytes) -> bool:
    """Say whether the orientation of an EXIF block is one short number (TIFF 6.0, section 2)."""
    order = ">" if b"MM\0*" in exif[:10] else "<"
    return struct.pack(f"{order}HHI", 0x0112, 3, 1) in exif


def _is_turned_by_browsers(image: Header) -> bool:
    """Say whether all browsers turn a photo as its orientation tells."""
    if image.format in ("JPEG", "MPO"):
        return _is_plain_tag(image.info.get("exif", b""))
    # Boxes turn an AVIF. Only some browsers go by EXIF in PNG and WebP, none by XMP.
    return image.format == "AVIF"


def clean_aperture(size: Size, properties: Sequence[NamedBox]) -> Crop | None:
    """Return the crop that a file asks for; None: none. Raises LookupError, ArithmeticError, struct.error.

    Source: the clap box, ISO/IEC 14496-12, 12.1.4: four fractions, which are width, height and
    the distance of the crop's middle from the picture's, across and down.
    """
    box = dict(properties)[b"clap"]
    numbers = struct.unpack_from(">IIIIiIiI", box)
    wide, high, across, down = map(truediv, numbers[::2], numbers[1::2])
    width, height = size
    left = (width - wide) / 2 + across
    top = (height - high) / 2 + down
    is_inside = left >= 0 and left + wide <= width
    is_inside &= top >= 0 and top + high <= height
    if not is_inside:
        return None
    left, top = round(left), round(top)
    right = left + round(wide)
    bottom = top + round(high)
    return left, top, right, bottom


@dataclasses.dataclass(frozen=True)
class Look:
    """How the pixels of a photo become a picture, as its metadata tell."""

    crop: Crop | None = None
    orientation: int = 1
    profile: bytes | None = None  # ICC, as embedded
    colours: Colours | None = None  # what else tells them, and counts more
    differs: bool = False  # see Info
    hdr: bool = False  # see Info
    grid: Grid | None = None  # of a HEIC too large to be decoded at once
    white: int = 1 << 16  # one more than the largest number that a TIFF of grey may hold
    is_negative: bool = False  # the largest number is black


def _moves(image: Header) -> bool:
    """Say whether a picture has several frames that browsers show one after the other."""
    if image.format not in MOVING_FORMATS or isinstance(image, JpegHeader):
        return False
    is_animated = _read_or_none(getattr, image, "is_animated", False)
    _read_or_none(image.seek, 0)  # Pillow has looked for the second frame of a GIF
    return bool(is_animated)


MPF_MARK = b"MPF\0"
PICTURES_TAG = 0xB002  # of the pictures in a JPEG: a kind, a length and an offset for each
GAIN_MAP_MARK = b"urn:iso:std:iso:ts:21496:-1\0"  # of a segment APP2 of JPEG

# How the frame's header begins in a JPEG that browsers cannot decode: without loss, or with
# arithmetic coding (ITU-T T.81, table B.1).
ODD_HEADERS = re.compile(rb"\xff[\xc3\xc9\xca]\0")
TABLES_BYTES = 4096  # the tables that may stand before that header


def _is_odd_jpeg(image: Picture, head: bytes) -> bool:
    segments = getattr(image, "applist", ())
    start = 2 + sum(len(content) + 4 for _, content in segments)
    end = start + TABLES_BYTES
    return ODD_HEADERS.search(head, start, end) is not None


def _look_of_tiff(image: TiffPhoto) -> Look:
    """Tell how the pixels of a TIFF become a picture; Pillow turns it upright by itself."""
    bits = _first_of(image, 258, 1)
    white = 1 << 16
    if bits in (12, 32) and _first_of(image, 339, 1) == 1:
        white = 1 << bits
    # Pillow sees to that itself where there are 8 bits and less
    is_negative = bits > 8 and _first_of(image, 262, 1) == 0
    profile = image.info.get("icc_profile")
    return Look(profile=profile, white=white, is_negative=is_negative)


def _second_head(image: Header, path: str, head: bytes) -> bytes:
    """Return how the second picture in a JPEG begins (CIPA DC-007). Raises METADATA_ERRORS."""
    segments = getattr(image, "applist", ())
    indexes = [content for _, content in segments if content.startswith(MPF_MARK)]
    start = head.index(indexes[0])
    start += len(MPF_MARK)  # from there offsets count
    block = head[start:]
    tiff = read_tiff(lambda at, length: block[at : at + length], (PICTURES_TAG,))
    pictures = tiff.first[PICTURES_TAG]  # of 16 bytes each
    [offset] = struct.unpack_from(tiff.order + "L", pictures, 16 + 8)
    with open(path, "rb") as file:
        file.seek(start + offset)
        return file.read(TAIL_BYTES)


def _has_map_in_jpeg(image: Header, path: str, head: bytes) -> bool:
    segments = getattr(image, "applist", ())
    is_marked = any(content.startswith(GAIN_MAP_MARK) for _, content in segments)
    if is_marked or b"hdrgm:Version" in _xmp_of(image):
        return True
    # iPhones mark only the map, which is the second picture.
    return b"HDRGainMap" in (_read_or_none(_second_head, image, path, head) or b"")


def _has_gain_map(image: Photo, path: str, head: bytes, meta: bytes) -> bool:
    """Say whether a photo holds how much brighter it is where the screen can (ISO 21496-1)."""
    if image.format == "AVIF":
        return b"tmap" in meta  # the item that joins both
    if image.format not in ("JPEG", "MPO"):
        return False
    return _has_map_in_jpeg(image, path, head)


def _look_of_plain_jpeg(image: JpegHeader, exif: Exif, path: str, head: bytes) -> Look:
    """Tell the same of a JPEG as cameras write it, which few of the questions are asked of."""
    orientation = read_orientation(image, exif, ())
    is_turned = orientation == 1 or _is_turned_by_browsers(image)
    profile = image.info.get("icc_profile")
    hdr = _has_map_in_jpeg(image, path, head)
    return Look(orientation=orientation, profile=profile, differs=not is_turned, hdr=hdr)


def read_look(image: Header, exif: Exif, path: str, head: bytes) -> Look:
    """Tell how the pixels of an open photo become a picture, before they are decoded."""
    if isinstance(image, JpegHeader):
        return _look_of_plain_jpeg(image, exif, path, head)
    if image.format == "WEBP" and _moves(image):
        return Look()  # of a moving WebP, browsers pass over orientation and profile
    if isinstance(image, TiffPhoto):
        return _look_of_tiff(image)
    meta = b""
    if image.format in ("AVIF", "HEIF"):
        meta = _read_or_none(read_meta, path, head) or b""
    properties = _read_or_none(primary_properties, meta) or []
    grid: Grid | None = None
    if image.format == "HEIF" and image.mode == "RGB":
        grid = _read_or_none(read_grid, path, meta)
    is_large = image.width * image.height > GRID_PIXELS
    # Of a cut photo, pillow_heif would show what is missing in green, and raise nothing.
    if grid and not is_large and not grid.is_cut(path):
        grid = None
    crop = None
    if image.format == "AVIF":  # pillow_heif crops by itself
        crop = _read_or_none(clean_aperture, image.size, properties)
    colours = _read_or_none(told_colours, image, head, properties)
    orientation = read_orientation(image, exif, properties)
    is_turned = orientation == 1 or _is_turned_by_browsers(image) or _moves(image)
    is_hdr = colours is not None and colours.is_hdr
    is_odd = image.format in ("JPEG", "MPO") and _is_odd_jpeg(image, head)
    return Look(
        crop=crop,
        grid=grid,
        orientation=orientation,
        profile=_read_or_none(embedded_profile, image, path, head),
        colours=colours,
        # Chromium and Firefox do not crop. Few browsers bring high dynamic range to any screen.
        differs=crop is not None or not is_turned or is_hdr or is_odd,
        hdr=is_hdr or _has_gain_map(image, path, head, meta),
    )


class WebpHeader(NamedTuple):
    """Where one kind of WebP has its size (RFC 9649), in bits of the first chunk's content."""

    width_at: int
    height_at: int
    length: int
    less: int  # by which the number in the file is too small


WEBP_HEADERS = {
    b"VP8 ": WebpHeader(48, 64, 14, 0),
    b"VP8L": WebpHeader(8, 22, 14, 1),
    b"VP8X": WebpHeader(32, 56, 24, 1),
}


def huge_webp(head: bytes) -> Size | None:
    """Return the size of a WebP file that is too large for Pillow, which needs 15 bytes a pixel."""
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30
    header = WEBP_HEADERS.get(head[12:16])
    if not is_webp or header is None:
        return None
    bits = int.from_bytes(head[20:30], "little")
    mask = (1 << header.length) - 1
    width = (bits >> header.width_at & mask) + header.less
    height = (bits >> header.height_at & mask) + header.less
    if width * height <= WEBP_PIXELS:
        return None
    return width, height


def _grey_range(image: Picture) -> tuple[float, float]:
    """Return the values that become black and white: the largest range that is usual, or all."""
    low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
    usual = (1, 255) if image.mode == "F" else (255, 65535)
    for most in usual:
        if low >= 0 and high <= most:
            return 0, most
    return low, high


def _highest_bytes(image: Picture) -> Picture:
    """Bring grey of 32 bits without sign, which Pillow takes for one with a sign, to 8 bits."""
    first = 3 * (sys.byteorder == "little")
    highest = image.tobytes()[first::4]
    return Image.frombytes("L", image.size, highest)


def _eight_bit(image: Picture, look: Look) -> Picture:
    """Bring 16-bit, 32-bit and floating-point grey to 8 bits without clipping it to white."""
    if image.mode == "I" and look.white == 1 << 32:
        return _highest_bytes(image)
    if image.mode.startswith("I;16"):
        scale = 256 / look.white
        return image.convert("I").point(lambda value: value * scale).convert("L")
    low, high = _grey_range(image)
    scale = 255 / ((high - low) or 1)
    return image.point(lambda value: value * scale - low * scale).convert("L")


def _without_palette(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("RGB")


def _is_paletted(image: Image.Image) -> bool:
    return image.mode in ("1", "P", "PA", "LA", "La") or "transparency" in image.info


@functools.lru_cache(2)
def _to_srgb_from(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Return the transform of an ICC profile: 2 ms, and a camera's photos all have the same.

    Raises ImageCms.PyCMSError.
    """
    source, target = io.BytesIO(profile), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGB")


def _converted(image: Picture, profile: bytes) -> Picture | None:
    """Convert to sRGB by an ICC profile; None where the profile is wrong or corrupt."""
    with contextlib.suppress(ImageCms.PyCMSError, *METADATA_ERRORS):
        transform = _to_srgb_from(profile, image.mode)
        # a second picture of 48 megapixels would take 200 MB
        is_in_place = image.mode == "RGB"
        return ImageCms.applyTransform(image, transform, is_in_place) or image
    return None


def _to_srgb(image: Picture, look: Look) -> Picture:
    """Convert to sRGB by what a photo tells of its colours; nonsense is passed over."""
    profile = look.profile
    if look.colours:
        image = image.convert("RGB")
        profile = None
        if not look.colours.are_srgb:
            profile = _read_or_none(icc_profile, look.colours)
    if profile and image.mode == "L" and profile[16:20] == b"RGB ":
        image = image.convert("RGB")
    if profile and (converted := _converted(image, profile)):
        return converted
    if image.mode == "RGB":
        return image
    return image.convert("RGB")


def _opaque(image: Picture, look: Look) -> Picture:
    """Return a picture in sRGB, on white."""
    if image.mode != "RGBA":
        return _to_srgb(image, look)
    # Browsers mix with what is below in sRGB, too.
    picture = _to_srgb(image.convert("RGB"), look)
    white = Image.new("RGB", image.size, "white")
    white.paste(picture, mask=image)
    return white


def _upright(image: Image.Image, orientation: int) -> None:
    """Turn a picture in place."""
    image.info = {}  # Pillow shall go by the tag that follows, and by nothing else
    if orientation == 1:
        return
    image.getexif()[0x0112] = orientation
    ImageOps.exif_transpose(image, in_place=True)


def _turned(size: Size, orientation: int) -> Size:
    """Return a size as it is when the picture is upright: orientations from 5 on lie on a side."""
    width, height = size
    if orientation >= 5:
        return height, width
    return width, height


def _in_plain_mode(picture: Picture, look: Look) -> Picture:
    """Bring a picture to a mode that can be shrunk: 8 bits a channel and no palette."""
    if picture.mode[0] in "IF":
        info, picture = picture.info, _eight_bit(picture, look)
        picture.info = info
        if look.is_negative:
            picture = ImageOps.invert(picture)
    if picture.mode == "La":
        return picture.convert("LA").convert("RGBA")
    if _is_paletted(picture):
        return _without_palette(picture)
    return picture


def _amid_nothing(picture: Picture, box: Crop) -> Picture:
    """Leave only a part of a picture, with nothing around it."""
    canvas = Image.new("RGBA", picture.size)
    canvas.paste(picture.crop(box), box)
    return canvas


def _frame_box(image: Photo) -> Crop | None:
    """Return where the first frame of a GIF is, if nothing is around it; None: it is everywhere."""
    if image.format != "GIF" or not image.tile:
        return None
    box: Crop | None = image.tile[0].extents
    whole = (0, 0, *image.size)
    return None if box == whole else box


def _scans_memory(image: Photo) -> int:
    """Return what a progressive JPEG takes until its last scan is read: all of it, in 16 bits."""
    if "progressive" not in image.info:
        return 0
    densities = [across * down for _, across, down, _ in getattr(image, "layer", ())]
    samples: int = image.width * image.height * sum(densities)
    largest: int = max(densities, default=1)
    return 2 * samples // largest


def _decoding_memory(image: Photo) -> int:
    """Return how much decoding a photo takes, bytes. A JPEG shrinks meanwhile."""
    if image.format in ("JPEG", "MPO"):
        return _scans_memory(image)
    size = BYTES_OF_FORMAT.get(image.format or "", PIXEL_BYTES)
    if image.mode == "L" and size == PIXEL_BYTES:
        size = GREY_BYTES
    if image.mode not in ("L", "RGB", "CMYK", "YCbCr") or "transparency" in image.info:
        size += DEEP_BYTES
    return size * image.width * image.height


def held_memory(image: Photo) -> int:
    """Return how much a decoder keeps until its photo is closed, bytes: that of AVIF keeps all pixels."""
    if image.format == "AVIF":
        return _decoding_memory(image)
    return 0


def _load(image: Photo, path: str, look: Look, box: Size) -> tuple[Picture, bool]:
    """Decode a photo, shrunk where its decoder can; say whether it is."""
    if look.grid:
        return decode_grid(path, look.grid, max(box)), True
    if image.format == "HEIF":
        _limit_pixels(image, OTHER_PIXELS)
    if _decoding_memory(image) > PIXELS_MEMORY:
        raise MemoryError  # before a pixel is loaded, or some decoders call the file damaged
    image.decodermaxblock = BLOCK_BYTES  # read at a time; with 64 KB each, 1 ms more
    is_drafted = image.draft(None, box) is not None
    image.load()
    return image, is_drafted


def needed_memory(image: Photo, look: Look, side: int) -> int:
    """Return how much renditions of at most `side` pixels a side take, bytes."""
    shrink = min(1.0, side / max(image.size))
    making = int(MAKING_BYTES * image.width * image.height * shrink**2)
    if look.grid:
        return making
    return max(held_memory(image) + making, _decoding_memory(image))


def give_memory_back() -> None:
    """Give the system what this process has freed, where the system is glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _wait_for_lock(descriptor: int, kind: int) -> None:
    """Take a lock of an open folder. Raises OSError on a disk without locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        give_memory_back()  # or what was kept for the next photo would lie idle, beside a large one
        fcntl.flock(descriptor, kind)


@contextlib.contextmanager
def _folder_locked(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold a lock on a folder, with others who want to share it or alone, across processes."""
    with contextlib.ExitStack() as until_done:
        # On a disk without locks nobody waits, nor on Windows, which opens no folder.
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            until_done.callback(os.close, descriptor)
            if sys.platform != "win32":
                _wait_for_lock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@contextlib.contextmanager
def alone_where_large(cache: Path, needed: int) -> Iterator[None]:
    """Wait until what takes so many bytes fits in with what the other workers of a cache are at."""
    is_large = needed > SHARED_MEMORY
    with contextlib.ExitStack() as until_done:
        # Whoever waits here to be alone lets nobody pass, or would wait for ever.
        with _folder_locked(cache.parent, alone=True):
            until_done.enter_context(_folder_locked(cache, alone=is_large))
        if is_large:
            give_memory_back()
            until_done.callback(give_memory_back)  # before another one begins
        yield


def decode(image: Photo, path: str, look: Look, side: int) -> Decoded:
    """Decode an open photo: upright, in sRGB, on white, at most `side` pixels a side.

    Returns the picture and the photo's full upright size. Raises METADATA_ERRORS, MemoryError.
    """
    if getattr(image, "default_image", False):
        image.seek(
            1
        )  # browsers show the animation, which the first picture of a PNG is no part of
    full = image.size
    frame = _frame_box(image)
    shrink = min(1.0, side / max(full))
    # In the photo's shape: a square would make the decoder keep four times the pixels.
    width, height = int(full[0] * shrink), int(full[1] * shrink)
    box = max(1, width), max(1, height)
    picture, is_drafted = _load(image, path, look, box)
    if look.crop:
        picture = picture.crop(look.crop)
    if not is_drafted:
        full = picture.size
    picture = _in_plain_mode(picture, look)
    if frame:
        picture = _amid_nothing(picture, frame)
    resampling, gap = RESAMPLING, 2.0
    if side >= PREVIEW_SIDE:
        resampling = PREVIEW_RESAMPLING
    if PREVIEW_SIDE < side <= LARGEST_PREVIEW:
        gap = 1.0  # the mean of 2 x 2 pixels: 15 instead of 75 ms, for the same SSIM at equal bytes
    picture.thumbnail((side, side), resampling, reducing_gap=gap)
    picture = _opaque(picture, look)
    _upright(picture, look.orientation)
    return picture, _turned(full, look.orientation)


SKETCH_SIZE = (3, 2)  # colours
SKETCH_SOURCE = (
    20,
    15,
)  # pixels: what a decoder makes of 160 x 120 at an eighth of the work
EXIF_THUMBNAIL_SIDE = 1024  # pixels; cameras write 160 to 512


# The digit of each level, as a byte.
SKETCH_LEVELS = bytes(round(level / 17) for level in range(256))


def sketch_of(picture: Image.Image) -> str:
    """Return 3 x 2 colours of an upright sRGB picture, as Info holds them."""
    if picture.size != SKETCH_SIZE:
        picture = picture.resize(SKETCH_SIZE, Image.Resampling.BOX, reducing_gap=4.0)
    levels = picture.tobytes().translate(SKETCH_LEVELS)
    return levels.hex()[1::2]


def _exif_thumbnail(exif: Exif) -> bytes:
    """Return the JPEG that a camera puts beside a photo (EXIF 2.32, 4.6.5). Raises METADATA_ERRORS."""
    directory = exif.directory(exif.next, (0x0201, 0x0202))
    start, length = int(directory[0x0201]), int(directory[0x0202])
    if start < 0 or length < 0:
        raise ValueError("no thumbnail")
    return exif.read(start, length)


def _without_bars(thumbnail: Picture, shape: Size) -> tuple[float, float, float, float]:
    """Return which part of a thumbnail is the photo: cameras fill up to 4 : 3 with black bars."""
    width, height = thumbnail.size
    photo_width, photo_height = shape
    shown_width = min(width, height * photo_width / photo_height)
    shown_height = min(height, width * photo_height / photo_width)
    left, top = (width - shown_width) / 2, (height - shown_height) / 2
    return left, top, left + shown_width, top + shown_height


def _decode_thumbnail(jpeg: bytes, size: Size) -> Picture:
    """Decode a plain thumbnail: to open it by Pillow would take as long as to decode it."""
    most = min(map(floordiv, size, SKETCH_SOURCE))
    steps = [step for step in (2, 4, 8) if step <= most]
    scale = max(steps, default=1)
    width, height = (-(-side // scale) for side in size)
    return Image.frombytes("RGB", (width, height), jpeg, "jpeg", "RGB", "", scale, 0)


def _refuse_large(thumbnail: Header) -> None:
    if max(thumbnail.size) > EXIF_THUMBNAIL_SIDE:
        raise ValueError("too large for a thumbnail")


def _open_thumbnail(jpeg: bytes) -> Picture:
    """Decode an embedded thumbnail, no further than a sketch needs it. Raises METADATA_ERRORS."""
    header = read_header(jpeg)
    if header and header.mode == "RGB":
        _refuse_large(header)
        return _decode_thumbnail(jpeg, header.size)
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
        _refuse_large(image)
        image.draft("RGB", SKETCH_SOURCE)
        return image.convert("RGB")


def read_sketch(image: Header, exif: Exif, orientation: int) -> str:
    """Return the sketch of an open JPEG by its embedded thumbnail. Raises METADATA_ERRORS."""
    picture = _open_thumbnail(_exif_thumbnail(exif))
    size = _turned(SKETCH_SIZE, orientation)
    shown = _without_bars(picture, image.size)
    colours = picture.resize(size, Image.Resampling.BOX, shown)
    _upright(colours, orientation)
    return sketch_of(colours)


def read_photo(image: Header, exif: Exif, look: Look, info: Info) -> Info:
    """Tell the facts of an open photo without decoding its pixels. Raises like Pillow."""
    size = image.size
    if look.crop:
        left, top, right, bottom = look.crop
        size = right - left, bottom - top
    width, height = _turned(size, look.orientation)
    name = (image.format or "").lower()
    if name == "mpo":
        name = "jpeg"
    sketch = ""
    if name == "jpeg":
        sketch = _read_or_none(read_sketch, image, exif, look.orientation) or ""
    return with_facts(
        info,
        sketch=sketch,
        kind=PHOTO,
        media_type=f"image/{name}",
        width=width,
        height=height,
        animated=_moves(image),
        differs=look.differs,
        hdr=look.hdr and image.format != "HEIF",  # which few browsers show at all
        **read_metadata(image, exif),
    )


# --- Videos ------------------------------------------------------------------

ATOM_BYTES = 4096  # read of one atom
QUICKTIME_ZERO = dt.datetime(1904, 1, 1)
LATEST_CREATED = 1 << 33  # seconds since then: the year 2176
CONTENT_ID = "com.apple.quicktime.content.identifier"
# Ratios of a pixel's sides: what scaling to whole pixels leaves is up to the first, and no camera's
# is beyond the second.
SQUARE, OBLONG = 1.05, 4
FILM_TURNS = {90: ("transpose=clock",), 180: ("hflip", "vflip"), 270: ("transpose=cclock",)}
FILM_BYTES = 30  # a pixel that ffmpeg takes: 250 MB of a film in 4K, 10 bits and HEVC
POSTER_SECONDS = 1.0  # into a film: later than a black beginning
CUT_FILM = "damaged, shown as far as it goes: its end is missing"
MESSAGE_LENGTH = 200  # characters of what a program or Pillow says to the owner


def on_one_line(error: BaseException) -> str:
    """Return what an error says, in one line; its kind, where it says nothing."""
    words = " ".join(str(error).split())
    return words[:MESSAGE_LENGTH] or type(error).__name__


class TooSlow(Exception):
    """A file takes more CPU time than it may."""


def _limit_program(pid: int) -> None:
    """Have the system kill a program that takes too much CPU time; only Linux can."""
    # Elsewhere the program has the limit of its worker.
    if sys.platform == "linux":
        seconds = math.ceil(RENDER_SECONDS)
        with contextlib.suppress(OSError, ValueError):  # it is over, or has a lower limit
            resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds))


TOO_SLOW = f"gave up after {RENDER_SECONDS:.0f} s of computing"


def _run(program: str, path: str, form: str, before: Sequence[str], *after: str) -> bytes:
    """Return what ffmpeg or ffprobe print of a file, with options before and after its name.

    `form`: the content's format, as ffmpeg calls it. Raises OSError where the program fails, TooSlow
    where the system ended it.
    """
    # A video may name other files or addresses: only this file, only as what its content says.
    source = ("-protocol_whitelist", "file", "-f", form, "-i", f"file:{path}")
    command = (program, "-v", "error", *before, *source, *after)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
    ) as running:
        _limit_program(running.pid)
        output, errors = running.communicate()
    if running.returncode < 0:
        raise TooSlow(TOO_SLOW)
    if running.returncode:
        lines = errors.decode("utf-8", "replace").strip().split("\n")
        raise OSError(lines[-1][:MESSAGE_LENGTH])
    return output


def ffmpeg_frame(
    path: str, form: str, at: float = 0, *filters: str, side: int = PREVIEW_SIDE
) -> Image.Image:
    """Return the frame of a film `at` seconds, at most `side` pixels a side. Raises OSError."""
    before = ["-threads", "1"]
    if at:
        before += ["-ss", f"{at:.2f}"]
    box = f"'min({side},iw)':'min({side},ih)'"
    shrink = f"scale={box}:force_original_aspect_ratio=decrease"
    steps = ",".join((*filters, shrink, "format=rgb24"))
    after = ("-map", "0:V:0", "-frames:v", "1", "-vf", steps)
    frame = _run(
        "ffmpeg", path, form, before, *after, "-f", "image2pipe", "-c:v", "png", "-"
    )
    with Image.open(io.BytesIO(frame), formats=["PNG"]) as image:
        return image.convert("RGB")


def _read_atom(file: io.BufferedReader, atom: Atom, most: int = ATOM_BYTES) -> bytes:
    file.seek(atom.start)
    return file.read(min(atom.end - atom.start, most))


def _apple_tags(file: io.BufferedReader, meta: Atom) -> dict[str, str]:
    """Return the tags of a film by the names that Apple gives them, in lower case."""
    # QuickTime's own is a list of atoms; that of ISO/IEC 14496-12 has a version before.
    start = meta.start
    if _read_atom(file, meta)[4:8] != b"hdlr":
        start += 4
    atoms = {atom.kind: atom for atom in _atoms(file, start, meta.end)}
    keys, values = atoms.get(b"keys"), atoms.get(b"ilst")
    if keys is None or values is None:
        return {}
    names = [_read_atom(file, key) for key in _atoms(file, keys.start + 8, keys.end)]
    tags = {}
    for item in _atoms(file, values.start, values.end):
        nth = int.from_bytes(item.kind) - 1
        if nth in range(len(names)):
            # Its one atom is called data: the type and the language stand before the value.
            text = _read_atom(file, item)[16:]
            tags[_label(names[nth]).lower()] = _label(text)
    return tags


# Many cameras write their own clock where the film's time in UTC belongs. It stands again in the EXIF
# of a still that Canon, Fujifilm and Panasonic keep in a film, and among Nikon's own tags.
_STILL_DATE = re.compile(rb"(?:19|20)\d\d:\d\d:\d\d \d\d:\d\d:\d\d")
# The clock of a GoPro knows no zone up to the HERO10, as its firmware tells.
_GOPRO_WITHOUT_ZONE = re.compile(rb"FIRMH(?:D|21)|GoPr")
USER_DATA_BYTES = 65536  # read of what a camera adds to a film
CAMERA_CLOCK = "camera clock"


def _camera_clock(content: bytes, created: str) -> str:
    """Return the local time that a camera tells in what it adds to a film; '': it tells none."""
    for match in _STILL_DATE.finditer(content):
        text = match[0].decode()
        if parse_date(text):
            return text
    if _GOPRO_WITHOUT_ZONE.search(content):
        return created.removesuffix("Z")
    return ""


def _movie_header(header: bytes) -> tuple[float, str]:
    """Return a film's duration, s, and when it was made. Raises struct.error."""
    form = ">QxxxxxxxxIQ" if header[:1] == b"\1" else ">IxxxxII"
    created, scale, length = struct.unpack_from(form, header, 4)
    date = ""
    if 0 < created < LATEST_CREATED:
        date = f"{QUICKTIME_ZERO + dt.timedelta(seconds=created)}Z"
    is_known = scale > 0 and length not in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    return (length / scale if is_known else 0), date


def read_film_header(path: str) -> tuple[float, dict[str, str]]:
    """Return duration, s, and tags of a film in QuickTime's form, without any other program.

    Source: QuickTime File Format, mvhd and keys; ISO/IEC 14496-12, 8.2.2. Raises METADATA_ERRORS.
    """
    duration = 0.0
    tags: dict[str, str] = {}
    with open(path, "rb") as file:
        atoms = _atoms(file, 0, os.fstat(file.fileno()).st_size)
        movie = next((atom for atom in atoms if atom.kind == b"moov"), None)
        if movie is None:
            return duration, tags
        for atom in _atoms(file, movie.start, movie.end):
            if atom.kind == b"mvhd":
                duration, tags["creation_time"] = _movie_header(_read_atom(file, atom))
            elif atom.kind == b"meta":
                tags |= _apple_tags(file, atom)
            elif atom.kind in (b"udta", b"uuid"):
                content = _read_atom(file, atom, USER_DATA_BYTES)
                created = tags.get("creation_time", "")
                clock = _camera_clock(content, created)
                if clock:
                    tags[CAMERA_CLOCK] = clock
    return duration, tags


def is_cut_film(path: str) -> bool:
    """Say whether a film in QuickTime's form ends before its pictures and sounds do. Raises OSError."""
    with open(path, "rb") as file:
        size = _size_of(file)
        end = 0
        for atom in _atoms(file, 0, size):
            end = atom.end
        # The next one makes no sense: it may go beyond the end of the file.
        file.seek(end)
        head = file.read(16)
    length = int.from_bytes(head[:4])
    if length == 1:
        length = int.from_bytes(head[8:])
    return head[4:8] == b"mdat" and end + length > size


# High dynamic range: what is brighter than white paper has room there, so that paper looks grey
# where the values are taken as they are. Light here is in parts of that white's.
Colour = tuple[float, float, float]
KNEE = 0.5  # of white: darker light is kept as it is
GLINTS = 0.01  # of a frame's pixels, which may be brighter than what is shown as white
TONES = 45  # steps of each colour that are computed; those between are interpolated
# From the primaries of ITU-R BT.2020 to those of BT.709 (BT.2087, annex 2, inverted).
TO_709 = (
    (1.6605, -0.5876, -0.0728),
    (-0.1246, 1.1329, -0.0083),
    (-0.0182, -0.1006, 1.1187),
)


def _screen_of_hlg(signal: Colour) -> Colour:
    """Return the light of a screen of 1,000 candela per square metre (ITU-R BT.2100, table 5)."""
    red, green, blue = map(_light_of_hlg, signal)
    luminance = 0.2627 * red + 0.678 * green + 0.0593 * blue
    gain = PEAK * luminance**0.2
    return gain * red, gain * green, gain * blue


def _screen_of_pq(signal: Colour) -> Colour:
    red, green, blue = map(_light_of_pq, signal)
    return red, green, blue


# By transfer characteristics, as ffmpeg calls them.
LIGHTS = {"arib-std-b67": _screen_of_hlg, "smpte2084": _screen_of_pq}


def _srgb(light: float) -> float:
    """Return how sRGB writes a light (IEC 61966-2-1)."""
    if light <= 0.0031308:
        return 12.92 * light
    return 1.055 * math.pow(light, 1 / 2.4) - 0.055


def _peak(frame: Image.Image) -> float:
    """Return the signal of the brightest light in a frame that is no mere glint."""
    counts = frame.convert("L").histogram()
    glints = GLINTS * sum(counts)
    signal = 255
    while signal > 0 and glints >= counts[signal]:
        glints -= counts[signal]
        signal -= 1
    return signal / 255


def _pressed(light: float, peak: float) -> float:
    """Return a light in the range of a display that shows nothing brighter than white; `peak` becomes that."""
    if light <= KNEE:
        return max(0, light)
    part = (min(light, peak) - KNEE) / (peak - KNEE)
    slope = (peak - KNEE) / (1 - KNEE)  # so that the curve begins as what is below goes on
    return KNEE + (1 - KNEE) * slope * part / (1 + (slope - 1) * part)


def tone_mapped(frame: Image.Image, light_of: Callable[[Colour], Colour]) -> Image.Image:
    """Return a frame of high dynamic range in sRGB."""
    signal = _peak(frame)
    peak = max(1, *light_of((signal, signal, signal)))

    def to_srgb(red: float, green: float, blue: float) -> Colour:
        light = light_of((red, green, blue))
        in_709 = (sum(map(operator.mul, row, light)) for row in TO_709)
        red, green, blue = (_srgb(_pressed(value, peak)) for value in in_709)
        return red, green, blue

    return frame.filter(ImageFilter.Color3DLUT.generate(TONES, to_srgb))


def _video_date(tags: Mapping[str, Any]) -> dt.datetime | None:
    """Return when a film was taken, from its container's tags in lower case; in UTC, unless they tell more."""
    for name in ("com.apple.quicktime.creationdate", CAMERA_CLOCK):
        if date := parse_date(tags.get(name, "")):
            return date
    created = parse_date(tags.get("creation_time", tags.get("modification_date", "")))
    day = parse_date(tags.get("date", ""))
    if created is None:
        return day
    # iPhones up to the fifth wrote it with their time zone.
    if day and day.utcoffset():
        return day
    if created.year not in FILM_YEARS:
        return None
    zone = parse_zone(tags.get("com.samsung.android.utc_offset", ""))
    return created.astimezone(zone) if zone and created.tzinfo else created


class FilmLook(NamedTuple):
    """How a film's pixels are to be shown."""

    size: Size = (0, 0)  # upright, of square pixels
    turn: int = 0  # degrees clockwise, where ffmpeg does not turn it by itself
    is_oblong: bool = False  # its own pixels are not square
    transfer: str = ""  # its colours' transfer characteristics, as ffmpeg calls them


def _in_square_pixels(size: Size, ratio: str) -> Size:
    """Return a size in square pixels; none is lost. `ratio`: of a pixel's sides, as in 4:3."""
    width, height = size
    across, down = (_number(side) for side in ratio.partition(":")[::2])
    if (
        min(across, down) <= 0
        or not SQUARE < max(across, down) / min(across, down) <= OBLONG
    ):
        return size
    if across > down:
        return round(width * across / down), height
    return width, round(height * down / across)


EDGES = ("left", "right", "top", "bottom")


def _tags_of(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags of a film or of a stream in it, by their names in lower case."""
    tags = part.get("tags", {})
    return {name.lower(): value for name, value in tags.items()}


def _kept_pixels(stream: Mapping[str, Any]) -> Size:
    """Return the size of a stream's pixels without those that ffmpeg cuts off, from version 7.1 on."""
    width = int(stream.get("width", 0))
    height = int(stream.get("height", 0))
    for side in stream.get("side_data_list", []):
        left, right, top, bottom = (int(side.get(f"crop_{edge}", 0)) for edge in EDGES)
        width -= left + right
        height -= top + bottom
    return max(0, width), max(0, height)


def _look_of(stream: Mapping[str, Any]) -> FilmLook:
    pixels = _kept_pixels(stream)
    size = _in_square_pixels(pixels, stream.get("sample_aspect_ratio", ""))
    sides = stream.get("side_data_list", [])
    turns = [int(side["rotation"]) for side in sides if "rotation" in side]
    # Matroska and WebM may have a tag instead, which ffmpeg passes over.
    tags = _tags_of(stream)
    turn = 0 if turns else int(_number(tags.get("rotate"))) % 360
    is_turned = any(degrees % 180 == 90 for degrees in (turn, *turns))
    return FilmLook(
        size=size[::-1] if is_turned else size,
        turn=turn,
        is_oblong=size != pixels,
        transfer=stream.get("color_transfer", ""),
    )


# Camcorders write the moment of each picture among the pictures, ffmpeg reads none (AVCHD; ExifTool,
# H264.pm): by number, four bytes each, in binary-coded decimals.
_MOMENT = re.compile(rb"MDPM.(?:[^\x18].{4}){0,3}\x18.(.{3})\x19(.{4})", re.DOTALL)
PACKET_BYTES = 188
FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
WINDOWS_ZERO = dt.datetime(
    1601, 1, 1, tzinfo=dt.UTC
)  # from which it counts ticks of 100 ns


def _packets(head: bytes) -> Iterator[bytes]:
    """Yield the packets of a transport stream, from the sync byte on; on discs each has a time before it."""
    before = 0 if head[:1] == b"G" else 4
    for at in range(before, len(head), before + PACKET_BYTES):
        yield head[at : at + PACKET_BYTES]


def _payloads(head: bytes) -> bytes:
    """Return what the packets of a transport stream hold, one stream after the other (ISO/IEC 13818-1, 2.4.3)."""
    streams: dict[int, list[bytes]] = {}
    for packet in _packets(head):
        number = int.from_bytes(packet[1:3], "big") & 0x1FFF
        start = 4
        if packet[3:4] and packet[3] & 0x20:  # a field of another length comes first
            start += 1 + int.from_bytes(packet[4:5], "big")
        streams.setdefault(number, []).append(packet[start:])
    return b"".join(itertools.chain.from_iterable(streams.values()))


def camcorder_date(head: bytes) -> dt.datetime | None:
    """Return the local time that a camcorder wrote into the first picture of a transport stream."""
    # Where two zeros would begin something else, H.264 puts a 3 behind them.
    match = _MOMENT.search(_payloads(head).replace(b"\0\0\3", b"\0\0"))
    if match is None:
        return None
    digits = (match[1] + match[2]).hex()
    return parse_date(f"{digits[:8]} {digits[8:]}")


def asf_date(head: bytes) -> dt.datetime | None:
    """Return when a film of Windows was made (Advanced Systems Format, 3.2)."""
    at = head.find(FILE_PROPERTIES)
    if at < 0:
        return None
    ticks = int.from_bytes(head[at + 48 : at + 56], "little")
    with contextlib.suppress(OverflowError):
        made = WINDOWS_ZERO + dt.timedelta(microseconds=ticks // 10)
        return made if made.year in FILM_YEARS else None
    return None


def avi_date(head: bytes) -> dt.datetime | None:
    """Return the local time that a camera wrote into its AVI, in digits; other forms ffmpeg tells."""
    at = head.find(b"IDIT")
    if at < 0:
        return None
    text = head[at + 8 : at + 40]
    return parse_date(text.decode("latin-1"))


# What ffmpeg does not tell, by container.
HEAD_DATES = {"mpegts": camcorder_date, "asf": asf_date, "avi": avi_date}


def begin_video(path: str, container: str, info: Info) -> Info:
    """Tell the facts of a video that need no other program."""
    no_header: tuple[float, dict[str, str]] = 0.0, {}
    duration, tags = _read_or_none(read_film_header, path) or no_header
    date = _video_date(tags)
    return with_facts(
        info,
        kind=VIDEO,
        media_type=CONTAINERS[container].media_type,
        no_poster=not shutil.which("ffmpeg"),
        duration=_number(duration),
        taken=date.isoformat() if date else "",
        content_id=tags.get(CONTENT_ID, ""),
    )


def read_video(path: str, container: str, info: Info) -> tuple[Info, FilmLook]:
    """Tell size, date and duration of a video. Raises OSError."""
    # Not the cover of a sound, which is a stream of pictures too.
    wanted = ("-of", "json", "-show_format", "-show_streams", "-select_streams", "V:0")
    report = json.loads(_run("ffprobe", path, CONTAINERS[container].demuxer, wanted))
    looks = [_look_of(stream) for stream in report.get("streams", [])]
    look = next(iter(looks), FilmLook())
    form = report.get("format", {})
    tags = _tags_of(form)
    info = with_facts(
        info,
        width=look.size[0],
        height=look.size[1],
        duration=_number(form.get("duration")) or info.duration,
    )
    date = _video_date(tags)
    # What a camera tells of its own clock, ffprobe passes over.
    is_uncertain = info.taken == "" or info.taken.endswith("+00:00")
    if date and is_uncertain:
        info = with_facts(info, taken=date.isoformat())
    return info, look


def video_frame(path: str, container: str, look: FilmLook, at: float) -> Image.Image:
    """Return the frame of a film `at` seconds as it is to be shown. Raises OSError."""
    filters = list(FILM_TURNS.get(look.turn, ()))
    if look.is_oblong:
        filters.append("scale={}:{}".format(*look.size))
    frame = ffmpeg_frame(path, CONTAINERS[container].demuxer, at, *filters)
    if light := LIGHTS.get(look.transfer):
        return tone_mapped(frame, light)
    return frame


# --- Renditions --------------------------------------------------------------

# Widths, pixels. The grid's columns are 170 to 330 CSS pixels wide: 320 serves a phone at density
# 1 to 2 and a desktop at 1, 640 serves densities 2 and 3. On the 540 pixels that a phone shows, a
# third width of 560 would look no better than 640 with as many bytes.
THUMBNAIL_WIDTHS = SMALL, LARGE = (320, 640)
PREVIEW, FULL = "preview", "full"
WEBP_SIDE = 16383  # the most that WebP can hold, pixels
# bench/formats.py: at equal SSIM, method 2 makes files 20 % smaller than 0 and 8 % larger than 4
# at half the CPU of 4; JPEG is 1.4 to 1.5 times as large. Of a thumbnail, method 4 costs 3 to
# 12 ms more than 2, of a preview 106. Two or three pixels of the large thumbnail lie in one CSS
# pixel, where quality 50 looks like 80, in 62 % of its bytes.
# A preview as JPEG would be encoded in 12 instead of 80 ms and decoded in 7 instead of 23, for 8 %
# more bytes at that SSIM (20 % without `optimize`): each visitor's uplink counts more.
# A preview in a photo's own pixels is sharper, and with 77 it takes as many bytes.
QUICKLY = {"quality": 80, "method": 2}
OWN_PIXELS = {"quality": 77, "method": 2}
WEBP_OPTIONS = {
    FULL: QUICKLY,
    PREVIEW: QUICKLY,
    str(LARGE): {"quality": 50, "method": 4},
    str(SMALL): {"quality": 80, "method": 4},
}
RENDITIONS_FOLDER = "renditions-5"  # counted up when the pixels of renditions change

# The largest that each rendition may be, from the largest down: each is made from the one before.
# A preview comes in its size from the decoder.
RENDITION_SIZES = {
    FULL: (WEBP_SIDE, WEBP_SIDE),
    PREVIEW: (LARGEST_PREVIEW, LARGEST_PREVIEW),
    **{str(width): (width, 3 * width) for width in reversed(THUMBNAIL_WIDTHS)},
}


class Purpose(enum.StrEnum):
    """What a file is read for. The facts are told in any case, but for KEY."""

    KEY = "key"  # its head and tail alone
    FACTS = "facts"
    SMALL_THUMBNAIL = "small thumbnail"  # one width, for somebody who waits
    LARGE_THUMBNAIL = "large thumbnail"
    THUMBNAILS = "thumbnails"  # all widths
    ALL = "all"  # thumbnails and preview
    FULL = "full"  # all pixels, in a format that browsers show


ONE_WIDTH = {str(SMALL): Purpose.SMALL_THUMBNAIL, str(LARGE): Purpose.LARGE_THUMBNAIL}


def purpose_of(rendition: str) -> Purpose:
    """Return what a file is read for when somebody waits for one of its renditions."""
    purposes = {FULL: Purpose.FULL, PREVIEW: Purpose.ALL}
    return purposes.get(rendition, Purpose.THUMBNAILS)


def narrowed(purpose: Purpose, names: Collection[str]) -> Purpose:
    """Return what a worker is asked for, where the renditions of these names are waited for.

    Who waits for a thumbnail needs one width, and gets it earlier by as long as the other takes.
    """
    if purpose is Purpose.THUMBNAILS and len(names) == 1:
        [name] = names
        return ONE_WIDTH.get(name, purpose)
    return purpose


def thumbnail_names(info: Info) -> tuple[str, ...]:
    """Name the thumbnails of an item. One that is narrower than a thumbnail has only one."""
    if info.kind not in (PHOTO, VIDEO) or not info.has_picture:
        return ()
    if 0 < info.width <= SMALL:
        return (str(SMALL),)
    return str(SMALL), str(LARGE)


def rendition_names(info: Info, purpose: Purpose = Purpose.ALL) -> tuple[str, ...]:
    """Name the renditions that a purpose needs. FULL is never made ahead."""
    if purpose in (Purpose.KEY, Purpose.FACTS):
        return ()
    thumbnails = thumbnail_names(info)
    if not thumbnails:
        return ()
    if purpose is Purpose.FULL:
        return (FULL,)
    if purpose is Purpose.ALL and info.kind == PHOTO:
        return (*thumbnails, PREVIEW)
    # Others take longer to be decoded than both widths to be encoded.
    is_quick = info.media_type == "image/jpeg"
    if purpose is Purpose.SMALL_THUMBNAIL and is_quick:
        return thumbnails[:1]
    if purpose is Purpose.LARGE_THUMBNAIL and is_quick:
        return thumbnails[-1:]
    return thumbnails


def _rendition_path(cache: Path, key: str, name: str) -> str:
    return os.path.join(cache, RENDITIONS_FOLDER, key[:2], f"{key}-{name}.webp")


def rendition_path(cache: Path, key: str, name: str) -> Path:
    """Return where a rendition lies: by the content's key, so that renaming a folder costs nothing."""
    return Path(_rendition_path(cache, key, name))


class Made(NamedTuple):
    """A rendition that is there."""

    path: str
    status: os.stat_result


def made_of(cache: Path, info: Info, name: str) -> Made | None:
    """Return a rendition of a file; None: it is not there. An empty file is what a power cut leaves."""
    path = _rendition_path(cache, info.key, name)
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not info.has_picture or status.st_size == 0:
        return None
    return Made(path, status)


def is_made(cache: Path, key: str, name: str) -> bool:
    """Say whether a rendition is there; an empty file is what a power cut leaves."""
    try:
        return os.stat(_rendition_path(cache, key, name)).st_size > 0
    except OSError:
        return False


def missing_renditions(cache: Path, info: Info, purpose: Purpose) -> tuple[str, ...]:
    """Name the renditions that a purpose needs and that are not there yet."""
    names = rendition_names(info, purpose)
    return tuple(name for name in names if not is_made(cache, info.key, name))


class UnwrittenError(Exception):
    """The cache cannot be written; the message says why. The file that was read is not to blame."""


def _write(image: Image.Image, path: Path, options: dict[str, int]) -> None:
    # Nothing above the cache: a disk that is away has to come back to an empty folder.
    for folder in reversed(path.parents[:3]):
        folder.mkdir(exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        image.save(temporary, "WEBP", **options)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def webp_options(name: str, size: Size) -> dict[str, int]:
    """Return how a rendition of this size is encoded."""
    if name == PREVIEW and max(size) > PREVIEW_SIDE:
        return OWN_PIXELS
    return WEBP_OPTIONS[name]


def _save(image: Image.Image, cache: Path, key: str, name: str) -> None:
    """Write a rendition without any metadata, whole or not at all. Raises UnwrittenError."""
    image.info = {}
    path = rendition_path(cache, key, name)
    try:
        _write(image, path, webp_options(name, image.size))
    except OSError as error:
        if error.errno is None:  # of Pillow, on the pixels
            raise
        raise UnwrittenError(error.strerror) from error


def mean_colour(image: Image.Image) -> str:
    """Return the mean colour of an sRGB picture, '#rrggbb'."""
    mean = image.resize((1, 1), Image.Resampling.BOX, reducing_gap=4.0)
    return "#" + mean.tobytes().hex()


def add_colours(info: Info, picture: Image.Image) -> Info:
    """Add to the facts of a photo or film what a small sRGB picture tells of its colours."""
    return with_facts(info, colour=mean_colour(picture), sketch=sketch_of(picture))


def add_colours_of_thumbnail(info: Info, cache: Path) -> Info:
    """Add what a thumbnail tells that was made before, if it is there."""
    path = rendition_path(cache, info.key, str(SMALL))
    if not is_made(cache, info.key, str(SMALL)):
        return info
    with contextlib.suppress(OSError), Image.open(path, formats=["WEBP"]) as image:
        return add_colours(info, image.convert("RGB"))
    return info


def save_renditions(
    image: Image.Image, cache: Path, info: Info, names: Sequence[str]
) -> Info:
    """Make renditions of an upright sRGB picture, which shrinks; add its colours to the facts."""
    wanted = [name for name in RENDITION_SIZES if name in names]
    for name, size in RENDITION_SIZES.items():
        image.thumbnail(size, RESAMPLING, reducing_gap=1.5)
        if name in names:
            _save(image, cache, info.key, name)
        if name == wanted[-1]:
            break
    return add_colours(info, image)


def full_side(size: Size, held: int) -> int:
    """Return the longest side of a full-size rendition: half of the photo's, where memory is short.

    `held`: bytes that stay in use meanwhile.
    """
    width, height = size
    most = PIXELS_MEMORY - held
    while MAKING_BYTES * width * height > most and max(width, height) >= 2 * PREVIEW_SIDE:
        width, height = width // 2, height // 2
    return min(WEBP_SIDE, max(width, height))


def _largest_side(info: Info, names: Sequence[str], held: int) -> int:
    """Return how large a photo must be decoded for renditions: its longest side, pixels.

    `held`: as `full_side` takes it.
    """
    if FULL in names:
        return full_side((info.width, info.height), held)
    if PREVIEW in names:
        return preview_side((info.width, info.height))
    shape = max(1, info.height / info.width)
    return min(PREVIEW_SIDE, math.ceil(LARGE * shape))


def _decode_damaged(path: str, head: bytes, look: Look, side: int) -> Decoded:
    # This switch is global in Pillow, and it switches a guard of PNG off: only for this file,
    # only in a worker.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with _open(path, head) as image:
            return decode(image, path, look, side)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def render_photo(
    image: ImageFile.ImageFile,
    path: str,
    head: bytes,
    look: Look,
    info: Info,
    cache: Path,
    names: Sequence[str],
) -> Info:
    """Make renditions of an open photo from one decode; what is damaged, as far as it decodes.

    Raises like Pillow where nothing decodes.
    """
    side = _largest_side(info, names, held_memory(image))
    problem = ""
    with alone_where_large(cache, needed_memory(image, look, side)):
        try:
            picture, size = decode(image, path, look, side)
        except METADATA_ERRORS as error:
            problem = f"damaged, shown as far as it goes: {on_one_line(error)}"
            picture, size = _decode_damaged(path, head, look, side)
        info = save_renditions(picture, cache, info, names)
    width, height = size
    return with_facts(
        info, width=width, height=height, problem=problem, partial=bool(problem)
    )


# Each of these generators yields the facts of a file, then the same with what its pixels told.
# Where the second step raises, the facts of the first are kept.


def read_facts(image: Header, path: str, head: bytes, info: Info) -> tuple[Look, Info]:
    """Tell how a photo looks, and its facts. Raises like Pillow."""
    exif = open_exif(image)
    look = read_look(image, exif, path, head)
    return look, read_photo(image, exif, look, info)


def develop_photo(
    file: BinaryIO, path: str, head: bytes, info: Info, purpose: Purpose, cache: Path
) -> Iterator[Info]:
    """Read and render a photo. Raises like Pillow."""
    header = read_header(head)
    if header:
        _limit_pixels(header, JPEG_PIXELS)
        look, info = read_facts(header, path, head, info)
        yield info
        if not missing_renditions(cache, info, purpose):
            return
    with _open(path, head, file) as image:
        if DNG_VERSION in getattr(image, "tag_v2", ()):
            yield with_facts(info, kind=RAW, problem=RAW_PROBLEM)
            return
        if not header:
            look, info = read_facts(image, path, head, info)
            yield info
        if names := missing_renditions(cache, info, purpose):
            yield render_photo(image, path, head, look, info, cache, names)


def develop_huge_webp(
    path: str, size: Size, info: Info, purpose: Purpose, cache: Path
) -> Iterator[Info]:
    """Read and render a WebP that only ffmpeg can decode, at 2 bytes a pixel. Raises ValueError."""
    width, height = size
    if not shutil.which("ffmpeg"):
        too_large = f"too large: {width} x {height} pixels"
        raise ValueError(f"{too_large}; with ffmpeg it could be shown")
    info = with_facts(info, kind=PHOTO, media_type="image/webp", width=width, height=height)
    yield info
    if names := missing_renditions(cache, info, purpose):
        with alone_where_large(cache, 2 * width * height):
            picture = ffmpeg_frame(path, "webp_pipe", side=preview_side(size))
            info = save_renditions(picture, cache, info, names)
        yield info


def render_poster(
    path: str, container: str, look: FilmLook, info: Info, cache: Path, names: Sequence[str]
) -> Info:
    """Make the poster of a video from a frame near its beginning."""
    width, height = look.size
    for at in (min(POSTER_SECONDS, info.duration / 2), 0.0):
        try:
            with alone_where_large(cache, FILM_BYTES * width * height):
                picture = video_frame(path, container, look, at)
        except OSError:  # it may be shorter than it says, or hold sound alone
            continue
        return save_renditions(picture, cache, info, names)
    return with_facts(info, no_poster=True)


def develop_video(
    path: str, container: str, head: bytes, info: Info, purpose: Purpose, cache: Path
) -> Iterator[Info]:
    """Read a video and make its poster, where the machine has ffmpeg. Raises OSError."""
    info = begin_video(path, container, info)
    read_date = HEAD_DATES.get(container)
    if read_date and (date := read_date(head)):
        info = with_facts(info, taken=date.isoformat())
    yield info
    look = FilmLook()
    if shutil.which("ffprobe"):
        info, look = read_video(path, container, info)
        yield info
    if names := missing_renditions(cache, info, purpose):
        info = render_poster(path, container, look, info, cache, names)
        yield info
    if CONTAINERS[container].demuxer == "mov" and is_cut_film(path):
        yield with_facts(info, problem=CUT_FILM, partial=True)


# --- Worker ------------------------------------------------------------------

CPU_USED_UP = -getattr(signal, "SIGXCPU", signal.NSIG)  # the exit status of such a worker

# A worker imports what the server does from the same places and nowhere else: no other
# site-packages (-S), nothing from the folder that it is started in (-P).
WORKER_SCRIPT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "import renditions; renditions.work(sys.argv[2])"
)
IS_READY = "\n"  # the first line of a worker: it takes requests
WORKER_FLAGS = ("-P", "-S", "-c", WORKER_SCRIPT)

# Of glibc (malloc.h).
M_ARENA_MAX, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -8, -1, -3
OOM_SCORE = "500"  # as if it took half of the memory of the machine besides (proc(5))
# Of the 43 that Pillow knows, those that a worker loads at its start.
DECODERS = ("Jpeg", "Mpo", "Png", "WebP", "Gif", "Tiff", "Bmp")
# Bytes that a worker does not give back between two photos, and the largest piece that comes out of
# them: pixels of 8 megapixels, fewer on a small machine.
KEPT_MEMORY = min(64 << 20, SHARED_MEMORY // 4)
LARGE_BLOCK = KEPT_MEMORY // 2

NEEDS = {  # by container; some machines have a Pillow of their own
    "avif": "AVIF needs Pillow 11.3 or newer that was built with it",
    "heif": "HEIC needs pillow-heif: pip install pillow-heif",
}


NO_FILM = "its content is no film that is known here, or damaged from the start"


def explain(error: BaseException) -> str:
    """Say to the owner why a file cannot be shown."""
    if isinstance(error, MemoryError):
        most = PIXELS_MEMORY >> 20
        return f"too large: it needs more than {most} MB of memory; export it smaller"
    if isinstance(error, UnidentifiedImageError):
        return "its content is not a picture, or damaged from the start"
    if isinstance(error, PermissionError):
        return "the program may not read it (file permissions)"
    words = on_one_line(error)
    # Of the decoders, which speak to programmers; the system's own errors have a number.
    if isinstance(error, OSError) and error.errno is None:
        return f"damaged, or its end is missing: {words}"
    return words


def _retry_after(error: Exception) -> str:
    """Say when a file is read again that raised an error: what the machine is short of may change."""
    if isinstance(error, (MemoryError, PermissionError, TooSlow)):
        return AT_START
    is_of_machine = isinstance(error, OSError) and error.errno is not None
    return AT_ONCE if is_of_machine else NEVER


def _load_decoder(container: str) -> bool:
    """Load the decoders of AVIF and HEIC, and say whether there is one for a container.

    Most workers never meet such a file; these take 20 ms and 5 MB.
    """
    # A Pillow before 11.3 has none; pillow-heif is not installed, or broken, which `check` says.
    with contextlib.suppress(ImportError):
        importlib.import_module("PIL.AvifImagePlugin")
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    if container == "heif":
        return "HEIF" in Image.OPEN
    with warnings.catch_warnings(action="ignore"):  # that old one does not know the word
        return bool(features.check("avif"))


def _develop_steps(
    file: BinaryIO, path: str, info: Info, purpose: Purpose, cache: Path
) -> Iterator[Info]:
    """Yield what is known of an open file, more with each step."""
    if info.kind == RAW:
        info = read_place(file, b"", info)
        yield with_facts(info, problem=RAW_PROBLEM)
        return
    head, key = read_head(file)
    if purpose is Purpose.KEY:
        yield with_facts(info, key=key)
        return
    film_start, film_bytes = film_within(file, head)
    info = with_facts(info, key=key, film_start=film_start, film_bytes=film_bytes)
    info = read_place(file, head, info)
    yield info
    if not head:
        raise ValueError("the file is empty")
    container = container_of(head, path)
    if container in CONTAINERS:
        yield from develop_video(path, container, head, info, purpose, cache)
    elif container in NEEDS and not _load_decoder(container):
        yield with_facts(
            info, kind=PHOTO, media_type=f"image/{container}", problem=NEEDS[container]
        )
    elif is_raw(head):
        yield with_facts(info, kind=RAW, problem=RAW_PROBLEM)
    elif what := other_content(head):
        raise ValueError(f"its content is {what}: export it as JPEG to show it")
    elif size := huge_webp(head):
        yield from develop_huge_webp(path, size, info, purpose, cache)
    else:
        yield from develop_photo(file, path, head, info, purpose, cache)


def develop(path: str, purpose: Purpose, cache: Path) -> Info:
    """Tell the facts of one file, and make the renditions that its purpose needs and that are missing.

    Never raises for what a file holds: the problem is in the Info.
    """
    info = _sparse({"kind": expected_kind(path)})
    with contextlib.suppress(OSError):  # which the first step tells again
        # Before it is read: a later change has a later ctime.
        changed = os.stat(path).st_ctime
        info = with_facts(info, added=changed, changed=changed)
    try:
        with open(path, "rb", BUFFER_BYTES) as file:
            for step in _develop_steps(file, path, info, purpose, cache):
                info = step
        if purpose is Purpose.ALL and info.kind == PHOTO:
            crc, crc_without_place = checksums(path, info.patches)
            info = with_facts(info, crc=crc, crc_without_place=crc_without_place)
        is_read = purpose is not Purpose.KEY
        if is_read and info.has_picture and not info.colour:
            # All was made before: of a copy, by a server that lost its index, or before the disk
            # gave its files other inodes. Then nobody asks for renditions any more.
            info = add_colours_of_thumbnail(info, cache)
    except UnwrittenError as error:
        problem = f"its thumbnails cannot be written: {error}"
        return with_facts(info, problem=problem, retry=AT_ONCE, unwritten=str(error))
    # one of the two edges: a bad file costs itself, whatever it raises
    except Exception as error:
        is_unknown = isinstance(error, UnidentifiedImageError)
        if is_unknown and os.path.splitext(path)[1].lower() in RARE_VIDEO_SUFFIXES:
            return with_facts(info, kind=OTHER, problem=NO_FILM)
        return with_facts(info, problem=explain(error), retry=_retry_after(error))
    return info


def worker_command(cache: Path) -> list[str]:
    """Return the command that starts a worker process for a cache folder."""
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [folder for folder in sys.path if folder]
    if here not in folders:
        folders.insert(0, here)
    return [sys.executable, *WORKER_FLAGS, json.dumps(folders), os.fspath(cache)]


def encode_request(path: str, purpose: Purpose) -> str:
    """Return the line that asks a worker for a file."""
    return json.dumps([path, purpose]) + "\n"


def encode_reply(info: Info) -> str:
    """Return the line that tells what a file is: what is not as by default."""
    facts = {name: value for name, value in vars(info).items() if value != _DEFAULTS[name]}
    return json.dumps(facts) + "\n"


def decode_reply(line: str) -> Info | None:
    """Return what a worker's line tells; None: it is half a line, or no reply at all."""
    if not line.endswith("\n"):
        return None
    try:
        return info_from(json.loads(line))
    except (ValueError, TypeError):
        return None


def share_memory() -> None:
    """Have all threads allocate together, where the system is glibc: what one frees, others use.

    After a rush of visitors a server keeps 46 MB instead of 97. Of a worker's limited address space,
    each thread would take 64 MB. What the start took is given back: where all modules are compiled
    in it, a server keeps 28 MB instead of 45.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    give_memory_back()


def _keep_memory() -> None:
    """Have glibc use memory again: new pages for each photo would cost 2 % of its time."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(M_TRIM_THRESHOLD, KEPT_MEMORY)
        set_option(M_MMAP_THRESHOLD, LARGE_BLOCK)


def _read_nothing(image: Photo) -> None:
    """Stand for what Pillow reads and nobody needs."""


def _prepare_process() -> None:
    """Set up Pillow, and what a hostile file may take of the machine."""
    warnings.simplefilter("ignore")  # of Pillow, on odd metadata
    Image.MAX_IMAGE_PIXELS = None  # `_open` checks, by format
    for name in DECODERS:
        importlib.import_module(f"PIL.{name}ImagePlugin")
    # Pillow would read all EXIF for a resolution that nobody asks for: a sixth of all facts.
    jpeg = importlib.import_module("PIL.JpegImagePlugin")
    jpeg.JpegImageFile._read_dpi_from_exif = _read_nothing
    if sys.platform != "win32":
        os.nice(10)
        share_memory()
        _keep_memory()
        with contextlib.suppress(ValueError, OSError):  # not every system has this limit
            resource.setrlimit(resource.RLIMIT_AS, (WORKER_MEMORY, WORKER_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # pictures are nobody else's
        # Where memory runs out, the system ends a worker, which starts again, and not the server.
        with contextlib.suppress(OSError):  # it is no Linux
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def _limit_cpu(before: int) -> int:
    """Have the system end this process where the next file takes too much CPU time.

    Takes and returns the limit, s, which changes once a second at most.
    """
    limit = math.ceil(time.process_time() + RENDER_SECONDS)
    if sys.platform != "win32" and limit != before:
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        with contextlib.suppress(ValueError, OSError):  # the machine allows less
            resource.setrlimit(resource.RLIMIT_CPU, (limit, most))
    return limit


class EndingWithServer:
    """Has the system kill this process and its ffmpeg at the moment when the server dies.

    The server holds the other end of stdin, and the system tells by a signal when that is closed
    (fcntl(2), O_ASYNC). Between two files it would tell of the next request as well.
    """

    def __init__(self) -> None:
        self._flags = fcntl.fcntl(0, fcntl.F_GETFL)
        self._poll = select.poll()
        self._poll.register(0, 0)  # POLLHUP is told in any case
        group = os.getpgrp()
        fcntl.fcntl(0, fcntl.F_SETOWN, -group)
        if sys.platform == "linux":
            fcntl.fcntl(0, fcntl.F_SETSIG, signal.SIGKILL)  # ends also what hangs
        else:
            signal.signal(signal.SIGIO, lambda *_: os.killpg(0, signal.SIGKILL))

    def __enter__(self) -> None:
        """Watch the server while a file is read."""
        fcntl.fcntl(0, fcntl.F_SETFL, self._flags | os.O_ASYNC)
        if self._poll.poll(0):
            sys.exit()  # the server died before it could be watched

    def __exit__(self, *error: object) -> None:
        """Watch the server no longer."""
        fcntl.fcntl(0, fcntl.F_SETFL, self._flags)


def _ending_with_server() -> contextlib.AbstractContextManager[None]:
    """Return what to read files in. A process that is no leader of a group was started by hand."""
    if sys.platform == "win32" or os.getpid() != os.getpgrp():
        return contextlib.nullcontext()
    return EndingWithServer()


def work(cache_folder: str) -> None:
    """Reply to requests, one after the other, until stdin ends. The main job of a worker process."""
    cache = Path(cache_folder)
    replies = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    _prepare_process()
    ending_with_server = _ending_with_server()
    os.write(replies, IS_READY.encode())
    limit = 0
    for line in sys.stdin:
        path, purpose = json.loads(line)
        limit = _limit_cpu(limit)
        with ending_with_server:
            info = develop(path, Purpose(purpose), cache)
        with contextlib.suppress(BrokenPipeError):  # the server is gone, and stdin ends
            os.write(replies, encode_reply(info).encode("ascii"))
