"""EXIF is read in all its forms, and what is hostile in it costs next to nothing."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drawing import draw, exif
from hypothesis import given, settings
from hypothesis import strategies as st

import renditions

Entry = tuple[int, int, int, bytes]  # tag, type, number of values, and their bytes

ASCII, SHORT, LONG, FRACTION, SIGNED = 2, 3, 4, 5, 9
DETAILS, GPS = renditions.DETAILS_TAG, renditions.GPS_POINTER
# What is read of one photo at most: four directories, and all values of the tags that are wanted.
MOST_READ = 3_000_000
LAYOUTS = [("<", False), (">", False), ("<", True), (">", True)]
all_layouts = pytest.mark.parametrize(("order", "is_big"), LAYOUTS)


class Writer:
    """Writes a TIFF structure, one directory after the other."""

    def __init__(self, order: str = "<", is_big: bool = False) -> None:
        self.order = order
        self.is_big = is_big
        self.slot = 8 if is_big else 4
        mark = b"II" if order == "<" else b"MM"
        header = (
            self.pack("H", 43) + self.pack("HH", 8, 0) if is_big else self.pack("H", 42)
        )
        self.content = bytearray(mark + header + bytes(self.slot))

    def pack(self, form: str, *numbers: int) -> bytes:
        return struct.pack(self.order + form, *numbers)

    def offset(self, number: int) -> bytes:
        return self.pack("Q" if self.is_big else "L", number)

    def directory(self, *entries: Entry, behind: int = 0) -> int:
        """Append a directory; return where it lies."""
        rows = []
        for tag, type, number, value in entries:
            if len(value) > self.slot:
                at = len(self.content)
                self.content += value
                value = self.offset(at)
            row = self.pack("HH", tag, type) + self.offset(number)
            rows.append(row + value.ljust(self.slot, b"\0"))
        start = len(self.content)
        self.content += self.pack("Q" if self.is_big else "H", len(entries))
        self.content += b"".join(rows) + self.offset(behind)
        return start

    def begin_at(self, directory: int) -> bytes:
        """Name the first directory; return the whole."""
        self.content[self.slot : 2 * self.slot] = self.offset(directory)
        return bytes(self.content)


def text(tag: int, content: str) -> Entry:
    value = content.encode() + b"\0"
    return tag, ASCII, len(value), value


def facts_of(path: Path) -> renditions.Info:
    return renditions.develop(str(path), renditions.Purpose.FACTS, path.parent)


class Reads:
    """A photo whose EXIF is read, and how many bytes were."""

    def __init__(self, block: bytes) -> None:
        self.read = 0
        photo: Any = SimpleNamespace(
            info={"exif": b"Exif\0\0" + block, "xmp": b""}, format="JPEG"
        )
        reader = renditions._exif_reader(photo)

        def count(at: int, length: int) -> bytes:
            assert at >= 0 and length >= 0
            content = reader(at, length)
            self.read += len(content)
            return content

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(renditions, "_exif_reader", lambda image: count)
            patch.setattr(renditions.IptcImagePlugin, "getiptcinfo", lambda image: None)
            self.exif = renditions.open_exif(photo)
            self.facts = renditions.read_metadata(photo, self.exif)
        self.thumbnail = renditions._read_or_none(
            renditions._exif_thumbnail, self.exif._replace(read=reader)
        )


def whole_block(order: str, is_big: bool) -> bytes:
    """Return EXIF as a camera writes it."""
    writer = Writer(order, is_big)
    pack = writer.pack
    details = writer.directory(
        text(0x9003, "2024:01:07 11:02:58"),
        text(0x9011, "+01:00"),
        (0x829A, FRACTION, 1, pack("LL", 1, 125)),
        (0x8827, SHORT, 1, pack("H", 200)),
        text(0xA434, "FE 24-105mm F4 G OSS"),
    )
    degrees = pack("LLLLLL", 37, 1, 30, 1, 36, 1)
    gps = writer.directory(
        text(1, "S"), (2, FRACTION, 3, degrees), text(3, "E"), (4, FRACTION, 3, degrees)
    )
    thumbnail = len(writer.content)
    writer.content += b"\xff\xd8 a picture"
    second = writer.directory(
        (0x0201, LONG, 1, pack("L", thumbnail)), (0x0202, LONG, 1, pack("L", 12))
    )
    first = writer.directory(
        text(0x010F, "SONY"),
        text(0x0110, "ILCE-7M3"),
        (0x0112, SHORT, 1, pack("H", 6)),
        (DETAILS, LONG, 1, pack("L", details)),
        (GPS, LONG, 1, pack("L", gps)),
        behind=second,
    )
    return writer.begin_at(first)


@all_layouts
def test_all_layouts_tell_the_same(order: str, is_big: bool) -> None:
    reads = Reads(whole_block(order, is_big))
    assert reads.exif.first[renditions.ORIENTATION_TAG] == 6
    assert reads.thumbnail == b"\xff\xd8 a picture"
    facts = reads.facts
    assert facts["camera"] == "SONY ILCE-7M3" and facts["lens"] == "FE 24-105mm F4 G OSS"
    assert facts["taken"] == "2024-01-07T11:02:58+01:00"
    assert (facts["exposure_time"], facts["iso"]) == (0.008, 200)
    assert facts["latitude"] == pytest.approx(-37.51)
    assert facts["longitude"] == pytest.approx(37.51)


@pytest.mark.parametrize("is_big", [False, True])
def test_a_tiff_file_tells_its_camera_and_date(is_big: bool, tmp_path: Path) -> None:
    block = exif("2024:01:07 11:02:58", tag0110="ILCE-7M3")
    path = draw(tmp_path / "a.tif", exif=block, big_tiff=is_big)
    info = facts_of(path)
    assert (info.camera, info.taken) == ("ILCE-7M3", "2024-01-07T11:02:58")


@pytest.mark.parametrize("type", [13, 16, 18])
def test_a_pointer_of_any_whole_type_leads_on(type: int) -> None:
    writer = Writer(is_big=True)
    details = writer.directory(text(0x9003, "2024:01:07 11:02:58"))
    pointer = writer.pack("L" if type == 13 else "Q", details)
    block = writer.begin_at(writer.directory((DETAILS, type, 1, pointer)))
    assert Reads(block).facts["taken"] == "2024-01-07T11:02:58"


def test_texts_of_exif_3_and_a_large_sensitivity_are_read() -> None:
    writer = Writer()
    lens = "Objektiv für 日本\0".encode()
    details = writer.directory(
        (0x8827, SHORT, 1, writer.pack("H", 65535)),
        (0x8832, LONG, 1, writer.pack("L", 102400)),
        (0xA434, 129, len(lens), lens),
    )
    pointer = writer.pack("L", details)
    facts = Reads(writer.begin_at(writer.directory((DETAILS, LONG, 1, pointer)))).facts
    assert (facts["lens"], facts["iso"]) == ("Objektiv für 日本", 102400)


def test_directories_that_lead_back_are_read_once_each() -> None:
    writer = Writer()
    at = len(writer.content)
    pointer = writer.pack("L", at)
    first = writer.directory(
        (DETAILS, LONG, 1, pointer),
        (GPS, LONG, 1, pointer),
        (0x0201, LONG, 1, pointer),
        (0x0202, LONG, 1, pointer),
        behind=at,
    )
    reads = Reads(writer.begin_at(first))
    assert first == at and reads.read < 1000


def repeated_block(writer: Writer, type: int, number: int, repeats: int) -> bytes:
    """Return EXIF that names all tags which are read, each so often and with so many values."""
    at = len(writer.content)
    writer.content += b"7" * (1 << 18)
    tags = {*renditions.FIRST_TAGS, *renditions.DETAIL_TAGS, *renditions.GPS_TAGS}
    entries = [(tag, type, number, writer.offset(at)) for tag in sorted(tags)] * repeats
    inner = writer.directory(*entries)
    pointer = writer.pack("L", inner)
    pointers = (DETAILS, LONG, 1, pointer), (GPS, LONG, 1, pointer)
    return writer.begin_at(writer.directory(*pointers, *entries, behind=inner))


@all_layouts
@pytest.mark.parametrize("number", [0, 1, 60_000, 1 << 20, (1 << 32) - 1])
def test_no_number_of_values_makes_it_read_much(
    number: int, order: str, is_big: bool
) -> None:
    for type in range(20):
        writer = Writer(order, is_big)
        assert Reads(repeated_block(writer, type, number, 1)).read <= MOST_READ


@pytest.mark.parametrize("number", [60_000, (1 << 18) + 1])
def test_no_repetition_makes_it_read_much(number: int) -> None:
    for type in (ASCII, SHORT, 7):
        assert Reads(repeated_block(Writer(), type, number, 1000)).read <= MOST_READ


@all_layouts
@pytest.mark.parametrize("at", [0, 1, 5, 1 << 20, (1 << 32) - 1])
def test_offsets_that_lead_nowhere_cost_their_own_values_alone(
    at: int, order: str, is_big: bool
) -> None:
    writer = Writer(order, is_big)
    pointer = writer.pack("L", at)
    first = writer.directory(
        text(0x0110, "ILCE-7M3"),
        (DETAILS, LONG, 1, pointer),
        (GPS, SIGNED, 1, pointer),
        behind=at,
    )
    reads = Reads(writer.begin_at(first))
    assert reads.facts["camera"] == "ILCE-7M3"
    assert "taken" not in reads.facts and "latitude" not in reads.facts


@pytest.mark.parametrize("value", [b"", b"text", struct.pack("<ff", 0.5, 8)])
def test_a_pointer_that_is_no_number_leads_nowhere(value: bytes) -> None:
    writer = Writer()
    type = ASCII if value.isalpha() else 11
    number = len(value) if type == ASCII else len(value) // 4
    first = writer.directory((DETAILS, type, number, value), text(0x0110, "ILCE-7M3"))
    assert Reads(writer.begin_at(first)).facts["camera"] == "ILCE-7M3"


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b""]), st.binary(max_size=400)
)
def test_any_bytes_are_read_without_an_error(mark: bytes, content: bytes) -> None:
    assert Reads(mark + content).read <= MOST_READ


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(LAYOUTS),
    st.lists(st.tuples(st.integers(0, 600), st.sampled_from(b"\0\1\2\7\xff")), max_size=12),
    st.integers(0, 600),
)
def test_a_damaged_block_is_read_as_far_as_it_goes(
    layout: tuple[str, bool], damages: list[tuple[int, int]], end: int
) -> None:
    block = bytearray(whole_block(*layout))
    for at, value in damages:
        block[at % len(block)] = value
    assert Reads(bytes(block[: end or None])).read <= MOST_READ


def test_a_date_of_many_blanks_is_cut_before_it_is_searched() -> None:
    writer = Writer()
    details = writer.directory(
        text(0x9003, "2024:01:07 11:02:58"), text(0x9011, " " * 60_000 + "x")
    )
    first = writer.directory((DETAILS, LONG, 1, writer.pack("L", details)))
    assert Reads(writer.begin_at(first)).facts["taken"] == "2024-01-07T11:02:58"
    assert len(renditions._plain(" " * 60_000)) <= 255
    assert len(renditions._plain("\u00a0" * 60_000)) <= 255


def test_a_photo_with_hostile_exif_is_shown(tmp_path: Path) -> None:
    writer = Writer()
    blanks = writer.directory(
        *[text(tag, " " * 3000 + "x") for tag in renditions.DATE_TAGS]
    )
    pointer = writer.pack("L", blanks)
    first = writer.directory((DETAILS, LONG, 1, pointer), (GPS, LONG, 1, pointer))
    block = b"Exif\0\0" + writer.begin_at(first)
    info = facts_of(draw(tmp_path / "a.jpg", exif=block))
    assert (info.kind, info.problem, info.taken) == ("photo", "", "")
