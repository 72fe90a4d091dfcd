"""What a guest's phone may hold: which files are added, which are refused, with which sentence."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from pathlib import Path
from urllib.parse import urlencode

import pytest
from drawing import draw
from test_pairs import film
from visiting import OWN, Answer, Client, invite

import photos

pytestmark = pytest.mark.usefixtures("patient")

MEGABYTE = 1 << 20
REFUSED = "This is neither a photo nor a film that can be shown here."
ADDED = {
    "heic/iphone7.heic": "photo",
    "heic/samsung_motion.heic": "photo",
    "live/pixel_motion.jpg": "photo",
    "video/tiny.mp4": "video",
    "video/vp9.webm": "video",
    "wrongext/heic_named.jpg": "photo",
    "huge/jpeg_280mp.jpg": "photo",
}
"""Real files that are added, and as what."""


@dataclasses.dataclass
class Guest:
    """A guest with a link to an album to which she may add."""

    client: Client
    prefix: str
    album: Path

    def put(self, name: str, content: bytes, offset: int = 0) -> Answer:
        query = {"name": name, "size": len(content), "modified": 0, "offset": offset}
        piece = content[offset : offset + MEGABYTE]
        address = f"{self.prefix}/add/?{urlencode(query)}"
        return self.client.request("PUT", address, piece, **OWN)

    def add(self, name: str, content: bytes) -> Answer:
        """Send a file piece after piece; return the last answer."""
        offset = 0
        while True:
            answer = self.put(name, content, offset)
            state = answer.status == 200 and json.loads(answer.text)
            if not state or "name" in state:
                return answer
            offset = state["offset"]

    def left(self) -> set[str]:
        """Return what lies in the album and among the uploads, besides its first photo."""
        incoming = self.album.parent / ".photos" / photos.INCOMING
        paths = [*self.album.iterdir(), *incoming.glob("*")]
        return {path.name for path in paths} - {"first.jpg"}

    def items(self) -> dict[str, str]:
        """Return the kinds of what she sees, by name."""
        facts = json.loads(self.client.get(f"{self.prefix}/api/album").text)
        return {item["name"]: item["kind"] for item in facts["items"]}


@pytest.fixture
def guest(visitor: Client, library: Path) -> Guest:
    album = library / "Party.inbox"
    draw(album / "first.jpg", colour="#101010")
    return Guest(visitor, invite(library / ".photos", "Party", may_add=True), album)


@pytest.mark.whole
@pytest.mark.parametrize("sample", ADDED)
def test_what_phones_take_is_added_byte_for_byte(
    guest: Guest, samples: Path, sample: str
) -> None:
    source = samples / sample
    answer = guest.add(source.name, source.read_bytes())
    assert json.loads(answer.text) == {"name": source.name, "new": True}
    assert (guest.album / source.name).read_bytes() == source.read_bytes()
    assert guest.items() == {source.name: ADDED[sample]}
    assert guest.left() == {source.name}


@pytest.mark.whole
def test_a_motion_photo_that_was_added_plays(guest: Guest, samples: Path) -> None:
    content = (samples / "heic/samsung_motion.heic").read_bytes()
    assert guest.add("IMG_1.heic", content).status == 200
    inner = guest.client.get(f"{guest.prefix}/live/IMG_1.heic")
    assert inner.status == 200
    assert inner.headers["content-type"] == "video/mp4"
    start = content.index(inner.body[:5000])  # behind it, the place is cut out
    assert 0 < start <= len(content) - len(inner.body)


@pytest.mark.whole
def test_a_live_photo_is_one_item_whichever_half_comes_first(
    guest: Guest, samples: Path
) -> None:
    halves = {"IMG_7943.MOV": "IMG_7943_HEVC.MOV", "IMG_7943.HEIC": "IMG_7943.HEIC"}
    for name, sample in halves.items():
        assert guest.add(name, (samples / "live" / sample).read_bytes()).status == 200
    assert guest.items() == {"IMG_7943.HEIC": "photo"}


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that is small in bytes, whatever its size in pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    row = bytes(1 + width // 8)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(row * height, 9)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bad_files(folder: Path) -> dict[str, bytes]:
    """Return files that no album may get, by name."""
    photo = draw(folder / "whole.jpg", size=(400, 300)).read_bytes()
    return {
        "notes.jpg": b"Milk, bread, and a birthday card.\n" * 40,
        "notes.mp4": b"Milk, bread, and a birthday card.\n" * 40,
        "page.heic": b"<!DOCTYPE html><script>alert(1)</script>",
        "300 megapixels.png": png_of(20_000, 15_000),
        "300 megapixels.jpg": png_of(20_000, 15_000),
        "4 gigapixels.png": png_of(65_536, 65_536),
        "nothing.jpg": bytes(5000),
        "head only.jpg": photo[:20],
        "program.jpg": b"\x7fELF" + bytes(5000),
        "archive.jpg": b"PK\x03\x04" + bytes(5000),
    }


BAD_NAMES = (
    "notes.jpg",
    "notes.mp4",
    "page.heic",
    "300 megapixels.png",
    "300 megapixels.jpg",
    "4 gigapixels.png",
    "nothing.jpg",
    "head only.jpg",
    "program.jpg",
    "archive.jpg",
)


@pytest.mark.whole
@pytest.mark.parametrize("name", BAD_NAMES)
def test_what_the_site_cannot_show_is_refused_and_leaves_nothing(
    guest: Guest, name: str, tmp_path: Path
) -> None:
    answer = guest.add(name, bad_files(tmp_path / "drawn")[name])
    assert answer.status == 422
    page = guest.client.get(f"{guest.prefix}/add/").text
    assert f'data-error422="{REFUSED}"' in page  # what its script says then
    assert guest.left() == set()
    assert not (guest.album.parent / ".photos" / "added.json").exists()


def test_a_film_whose_end_is_missing_is_added_as_a_photo_is(guest: Guest) -> None:
    """It is shown as far as it goes, and may be all that there is of it."""
    assert guest.add("VID_1.mov", film() + b"\0\1\0\0mdat").status == 200
    assert guest.left() == {"VID_1.mov"}


def test_a_recorded_voice_is_refused_though_it_begins_like_a_film(guest: Guest) -> None:
    assert guest.add("Voice 1.m4a", film()).status == 422
    assert guest.left() == set()


@pytest.mark.whole
def test_a_refusal_is_told_without_javascript_too(guest: Guest) -> None:
    head = (
        b'--b\r\nContent-Disposition: form-data; name="photo"; filename="notes.jpg"\r\n\r\n'
    )
    body = head + b"Milk and bread\r\n--b--\r\n"
    form = "multipart/form-data; boundary=b"
    answer = guest.client.request("POST", f"{guest.prefix}/add/", body, type=form, **OWN)
    assert answer.status == 422
    assert REFUSED in answer.text
    assert guest.left() == set()
