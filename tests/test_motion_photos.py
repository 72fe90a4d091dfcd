"""A motion photo plays like a live photo: its film is a piece of its file."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from test_pairs import atom, film
from visiting import Client

import photos
import renditions

pytestmark = pytest.mark.usefixtures("patient")

FILM = film() + atom(b"free", bytes(2000))


def xmp(text: str) -> bytes:
    """Return a JPEG's segment with an XMP packet."""
    content = b"http://ns.adobe.com/xap/1.0/\0" + text.encode()
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def directory(length: int, padding: int = 0, *, as_elements: bool = False) -> str:
    """Return what Google's phones write, their way or as another program rewrites it."""
    values = {
        "Mime": "video/mp4",
        "Semantic": "MotionPhoto",
        "Length": length,
        "Padding": padding,
    }
    attributes = " ".join(f'Item:{name}="{value}"' for name, value in values.items())
    elements = "".join(
        f"<Item:{name}>{value}</Item:{name}>" for name, value in values.items()
    )
    item = elements if as_elements else f"<Container:Item {attributes}/>"
    first = (
        '<Container:Item Item:Mime="image/jpeg" Item:Semantic="Primary" Item:Length="0"/>'
    )
    items = "".join(
        f'<rdf:li rdf:parseType="Resource">{each}</rdf:li>' for each in (first, item)
    )
    return f'<x GCamera:MotionPhoto="1"><Container:Directory><rdf:Seq>{items}</rdf:Seq></x>'


def samsung(content: bytes) -> bytes:
    """Return a trailer with a film, as Samsung's older phones write it behind the pixels."""
    name = b"MotionPhoto_Data"
    time = struct.pack("<HHI", 0, 0x0A01, 14) + b"Image_UTC_Data1595511968335"
    part = struct.pack("<HHI", 0, 0x0A30, len(name)) + name + content
    parts = time + part
    entries = struct.pack("<HHII", 0, 0x0A01, len(parts), len(time))
    entries += struct.pack("<HHII", 0, 0x0A30, len(part), len(part))
    head = b"SEFH" + struct.pack("<II", 106, 2) + entries
    return parts + head + struct.pack("<I", len(head)) + b"SEFT"


def with_xmp(picture: bytes, text: str) -> bytes:
    return picture[:2] + xmp(text) + picture[2:]


WAYS: dict[str, Any] = {
    "a directory": lambda jpeg: with_xmp(jpeg, directory(len(FILM))) + FILM,
    "a directory of elements": lambda jpeg: (
        with_xmp(jpeg, directory(len(FILM), as_elements=True)) + FILM
    ),
    "MicroVideo": lambda jpeg: (
        with_xmp(
            jpeg, f'<x GCamera:MicroVideo="1" GCamera:MicroVideoOffset="{len(FILM)}"/>'
        )
        + FILM
    ),
    "Samsung": lambda jpeg: jpeg + samsung(FILM),
}


@pytest.fixture
def jpeg(tmp_path: Path) -> bytes:
    return draw(tmp_path / "drawn.jpg", (800, 600)).read_bytes()


def facts_of(path: Path) -> renditions.Info:
    return renditions.develop(str(path), renditions.Purpose.FACTS, path.parent)


@pytest.mark.whole
@pytest.mark.parametrize("way", WAYS)
def test_the_film_is_found_however_the_phone_tells_of_it(
    way: str, jpeg: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    content = WAYS[way](jpeg)
    path.write_bytes(content)
    info = facts_of(path)
    assert content[info.film_start :][: info.film_bytes] == FILM
    assert (info.kind, info.problem) == (photos.PHOTO, "")


LONG_SEGMENT = b"\xff\xe4" + struct.pack(">H", 65535) + bytes(65533)


@pytest.mark.parametrize("way", WAYS)
def test_a_film_is_found_where_other_metadata_are_long(
    way: str, jpeg: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    content = WAYS[way](jpeg)
    content = content[:2] + LONG_SEGMENT + content[2:]
    path.write_bytes(content)
    info = facts_of(path)
    assert content[info.film_start :][: info.film_bytes] == FILM


@pytest.mark.parametrize("before", [b"", LONG_SEGMENT])
@pytest.mark.parametrize("has_index", [False, True])
def test_a_film_between_two_pictures_tells_no_place(
    before: bytes, has_index: bool, jpeg: bytes, tmp_path: Path
) -> None:
    place = atom(b"\xa9xyz", struct.pack(">HH", 18, 0x15C7), b"+52.5000+013.2500/")
    located = FILM + atom(b"udta", place)
    photo = with_xmp(jpeg, directory(len(located)))
    start = len(before) + len(photo) + len(located)
    index = b""
    if has_index:
        entries = struct.pack("<4I", 0, 0, 0, 0) + struct.pack(
            "<4I", 0, len(jpeg), start, 0
        )
        block = (
            b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 0xB002, 7, 32, 26)
        )
        content = b"MPF\0" + block + bytes(4) + entries
        index = b"\xff\xe2" + struct.pack(">H", len(content) + 2) + content
    path = tmp_path / "a.jpg"
    path.write_bytes(photo[:2] + index + before + photo[2:] + located + jpeg)
    info = facts_of(path)
    assert not info.place_kept
    copy = bytearray(path.read_bytes())
    renditions.patch_block(copy, 0, info.patches)
    assert b"+52.5000" in path.read_bytes()
    assert b"+52.5000" not in copy


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", [1, 100, len(FILM)])
def test_a_film_that_was_cut_off_is_none(
    way: str, cut: int, jpeg: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(WAYS[way](jpeg)[:-cut])
    info = facts_of(path)
    assert info.film_bytes == 0
    assert info.kind == photos.PHOTO


@pytest.mark.parametrize(
    "text",
    [
        directory(0),
        directory(10**11),
        directory(5),
        directory(3000, 10**11),
        '<x GCamera:MicroVideoOffset="0" MicroVideo="1"/>',
        '<x GCamera:MicroVideoOffset="99999999999" MicroVideo="1"/>',
        "MotionPhoto" + "<rdf:li" * 3000,
        "MotionPhoto",
    ],
)
def test_what_a_file_only_claims_is_no_film(text: str, jpeg: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(with_xmp(jpeg, text) + bytes(5000))
    info = facts_of(path)
    assert info.film_bytes == 0
    assert info.problem == ""


@pytest.mark.parametrize(
    "trailer",
    [
        b"SEFT",
        struct.pack("<I", 0) + b"SEFT",
        struct.pack("<I", 0xFFFFFFFF) + b"SEFT",
        b"SEFH" + bytes(8) + b"\xff" * 12 + struct.pack("<I", 24) + b"SEFT",
        samsung(b""),
    ],
)
def test_a_damaged_trailer_is_no_film(trailer: bytes, jpeg: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg + trailer)
    assert facts_of(path).film_bytes == 0


@pytest.mark.parametrize("length", [0, 15, 1000, 2**62, 2**63, 2**64 - 1])
@pytest.mark.parametrize("name", [b"mpvd", b"free"])
def test_a_box_that_claims_any_length_harms_nothing(
    name: bytes, length: int, samples: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.heic"
    box = struct.pack(">I4sQ", 1, name, length)
    path.write_bytes((samples / "heic" / "iphone7.heic").read_bytes() + box)
    with path.open("rb") as file:
        head = file.read(100)
        assert renditions.film_within(file, head) == (0, 0)


@pytest.mark.parametrize("length", range(2, 9))
def test_what_is_shorter_than_a_trailer_has_none(length: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    content = b"\xff\xd8\xff".ljust(length)[:length]
    path.write_bytes(content)
    with path.open("rb") as file:
        assert renditions.film_within(file, content) == (0, 0)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("live/pixel_motion.jpg", 8730),
        ("heic/samsung_motion.heic", 3226469),
        ("live/pixel_motion_video_removed.jpg", 0),
        ("phones/samsung_note10_o6.jpg", 0),
    ],
)
def test_real_motion_photos(name: str, size: int, samples: Path) -> None:
    path = samples / name
    with path.open("rb") as file:
        head, _ = renditions.read_head(file)
        start, length = renditions.film_within(file, head)
    assert length == size
    if size:
        assert path.read_bytes()[start + 4 : start + 8] == b"ftyp"


@pytest.mark.whole
def test_the_film_is_sent_as_a_piece_of_the_file(
    visitor: Client, library: Path, jpeg: bytes
) -> None:
    content = WAYS["a directory"](jpeg)
    (library / "Trip" / "moving.jpg").write_bytes(content)
    items = json.loads(visitor.get("/api/album/Trip").text)["items"]
    (item,) = [item for item in items if item["name"] == "moving.jpg"]
    assert item["live"].startswith("/live/Trip/moving.jpg?v=")
    answer = visitor.get(item["live"])
    assert answer.body == FILM
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(FILM))
    part = visitor.get(item["live"], Range="bytes=4-7")
    assert (part.status, part.body) == (206, b"ftyp")
    assert part.headers["content-range"] == f"bytes 4-7/{len(FILM)}"
    assert visitor.get(item["live"], Range=f"bytes={len(FILM)}-").status == 416
    assert visitor.get("/photo/Trip/moving.jpg").headers["etag"] != answer.headers["etag"]
    assert item["live"] in visitor.get("/album/Trip/").text
    assert item["live"] in visitor.get("/album/Trip/moving.jpg").text


@pytest.mark.whole
def test_a_film_in_a_file_of_its_own_has_the_same_kind_of_address(
    visitor: Client, library: Path, samples: Path
) -> None:
    for name in ("IMG_7943.HEIC", "IMG_7943_HEVC.MOV"):
        shutil.copy(samples / "live" / name, library / "Trip")
    items = json.loads(visitor.get("/api/album/Trip").text)["items"]
    (item,) = [item for item in items if item["name"] == "IMG_7943.HEIC"]
    assert item["live"].startswith("/live/Trip/IMG_7943.HEIC?v=")
    size = (samples / "live" / "IMG_7943_HEVC.MOV").stat().st_size
    assert len(visitor.get(item["live"]).body) == size


@pytest.mark.whole
@pytest.mark.parametrize("name", ["one.jpg", "nothing.jpg", "Beach", "Beach/", ""])
def test_what_has_no_film_answers_as_if_nothing_were_there(
    visitor: Client, name: str
) -> None:
    assert visitor.get(f"/live/Trip/{name}").status == 404


def test_the_film_of_a_private_photo_is_for_users_alone(
    visitor: Client, user: Client, library: Path, jpeg: bytes
) -> None:
    (library / "Secret.private" / "moving.jpg").write_bytes(WAYS["Samsung"](jpeg))
    assert visitor.get("/live/Secret/moving.jpg").status == 404
    assert user.get("/live/Secret/moving.jpg").body == FILM


@pytest.mark.whole
def test_a_film_without_a_suffix_of_films_belongs_to_its_photo(
    visitor: Client, library: Path, jpeg: bytes
) -> None:
    (library / "Trip" / "PXL_1.MP.jpg").write_bytes(jpeg)
    (library / "Trip" / "PXL_1.MP").write_bytes(FILM)
    items = json.loads(visitor.get("/api/album/Trip").text)["items"]
    pixels = [item for item in items if item["name"].startswith("PXL")]
    assert [item["name"] for item in pixels] == ["PXL_1.MP.jpg"]
    assert visitor.get(pixels[0]["live"]).body == FILM
