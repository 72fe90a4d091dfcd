"""The place stays at home: what others than users get of an original, and in its place."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import needed
from drawing import draw
from PIL import Image, PngImagePlugin
from visiting import Client

import photos
import renditions

pytestmark = pytest.mark.usefixtures("patient")

ADDRESSES = ("/photo/Trip/located.jpg", "/download/Trip/located.jpg")
PLACE = (52.0, 30.0, 36.0)  # degrees, minutes, seconds north


def located(path: Path) -> Path:
    """Draw a photo that tells where it was taken, and when and with which camera."""
    exif = Image.Exif()
    exif[0x0110] = "Camera 7"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", PLACE, "E", PLACE
    Image.effect_noise((300, 200), 50).convert("RGB").save(path, exif=exif)
    return path


def place_in(content: bytes) -> object:
    with Image.open(io.BytesIO(content)) as image:
        return dict(image.getexif().get_ifd(0x8825)).get(2)


@pytest.fixture
def original(library: Path) -> Path:
    return located(library / "Trip" / "located.jpg")


@pytest.mark.whole
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_user_gets_every_byte_and_a_visitor_all_but_the_place(
    original: Path, visitor: Client, user: Client, address: str
) -> None:
    whole = original.read_bytes()
    assert place_in(whole) == PLACE
    assert user.get(address).body == whole
    answer = visitor.get(address)
    assert len(answer.body) == len(whole) and answer.body != whole
    assert not place_in(answer.body)
    with Image.open(io.BytesIO(answer.body)) as shown, Image.open(original) as image:
        assert shown.tobytes() == image.tobytes()
        assert shown.getexif()[0x0110] == "Camera 7"
        assert shown.getexif().get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"


@pytest.mark.whole
def test_what_both_get_is_kept_apart_by_caches(
    original: Path, visitor: Client, user: Client
) -> None:
    ours, theirs = user.get(ADDRESSES[0]), visitor.get(ADDRESSES[0])
    assert ours.headers["etag"] != theirs.headers["etag"]
    for answer in (ours, theirs):
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["vary"] == "Cookie"
    for client, known in ((user, theirs), (visitor, ours)):
        answer = client.get(ADDRESSES[0], If_None_Match=known.headers["etag"])
        assert answer.status == 200
    again = visitor.get(ADDRESSES[0], If_None_Match=theirs.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    plain = visitor.get("/photo/Trip/one.jpg")
    assert (
        plain.headers["cache-control"] == "public, no-cache" and "vary" not in plain.headers
    )


@pytest.mark.whole
def test_every_range_is_a_part_of_what_a_visitor_gets_whole(
    original: Path, visitor: Client
) -> None:
    whole = visitor.get(ADDRESSES[0]).body
    for start in range(0, 700, 7):
        answer = visitor.get(ADDRESSES[0], Range=f"bytes={start}-{start + 12}")
        assert (answer.status, answer.body) == (206, whole[start : start + 13])


def test_with_keep_location_everybody_gets_every_byte(
    original: Path, make_site: Callable[..., photos.Site]
) -> None:
    client = Client(make_site(keep_location=True))
    for address in ADDRESSES:
        assert client.get(address).body == original.read_bytes()


@pytest.fixture
def compressed(library: Path) -> Path:
    """A PNG whose place is compressed, so that no patch can take it out."""
    texts = PngImagePlugin.PngInfo()
    xmp = "<rdf:Description exif:GPSLatitude='52,30.6N' exif:GPSLongitude='5,0E'/>"
    texts.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{xmp}</x:xmpmeta>", zip=True)
    path = library / "Trip" / "packed.png"
    Image.new("RGB", (40, 30), "#336699").save(path, pnginfo=texts)
    return path


@pytest.mark.whole
def test_in_the_place_of_what_cannot_be_patched_visitors_get_all_its_pixels(
    compressed: Path, visitor: Client, user: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    assert user.get("/photo/Trip/packed.png").body == compressed.read_bytes()
    for kind in ("photo", "download"):
        answer = visitor.get(f"/{kind}/Trip/packed.png")
        assert answer.headers["content-type"] == "image/webp"
        with Image.open(io.BytesIO(answer.body)) as image:
            assert (image.size, dict(image.getexif())) == ((40, 30), {})
    assert 'filename="packed.webp"' in answer.headers["content-disposition"]
    assert photos.main(["--library", str(compressed.parent.parent), "check"]) == 0
    lines = capfd.readouterr().out.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("Only users get"))
    assert lines[at + 1] == "  Trip/packed.png"


def test_what_was_never_understood_stays_at_home(
    library: Path, visitor: Client, user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(library / "Trip" / "new.jpg")
    failed = renditions.Info(kind="photo", problem="the worker died", retry="at start")
    monkeypatch.setattr(photos.Worker, "develop", lambda *_: failed)
    assert user.get("/photo/Trip/new.jpg").status == 200
    assert visitor.get("/photo/Trip/new.jpg").status == 404


def test_a_file_that_is_written_between_two_looks_is_not_sent(
    original: Path, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor.get(ADDRESSES[0])
    send = photos.Site._send_file

    def write_first(site: photos.Site, visit: photos.Visit, media: photos.Media) -> object:
        located(original)
        return send(site, visit, media)

    monkeypatch.setattr(photos.Site, "_send_file", write_first)
    answer = visitor.get(ADDRESSES[0])
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    "change", [lambda path: located(path), lambda path: os.truncate(path, 9)]
)
def test_a_file_that_is_written_while_it_is_sent_ends_the_answer(
    original: Path, change: Callable[[Path], object]
) -> None:
    status = original.stat()
    identity = photos.exact_identity(status)
    part = photos.FilePart(original, 0, status.st_size, (), identity)
    with contextlib.closing(part):
        part.read(10)
        change(original)
        with pytest.raises(OSError, match="written while"):
            part.read()


@pytest.mark.parametrize(
    "offsets", [(), (20,), (97,), (98, 105, 150), (5_000, 5_090, 6_000), (150, 10_200)]
)
def test_the_system_sends_all_of_a_file_but_head_and_end_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offsets: tuple[int, ...]
) -> None:
    monkeypatch.setattr(photos, "BLOCK_BYTES", 100)
    monkeypatch.setattr(photos, "SENT_BYTES", 400)
    monkeypatch.setattr(photos, "LAST_BYTES", 50)
    content = bytes(range(1, 251)) * 41
    (tmp_path / "long.jpg").write_bytes(content)
    wanted = bytearray(content)
    for offset in offsets:
        wanted[offset : offset + 7] = bytes(7)
    patches = tuple(renditions.Patch(offset, 7, "00") for offset in offsets)
    sent: list[tuple[int, int]] = []
    sendfile = os.sendfile

    def note(to: int, source: int, at: int, count: int) -> int:
        sent.append((at, sendfile(to, source, at, count)))
        return sent[-1][1]

    monkeypatch.setattr(os, "sendfile", note)
    ours, theirs = socket.socketpair()
    path = tmp_path / "long.jpg"
    identity = photos.exact_identity(path.stat())
    part = photos.FilePart(path, 0, len(content), patches, identity)
    with ours, theirs, contextlib.closing(part):
        while part.tell() < len(content):
            part.seek(part.send(ours), os.SEEK_CUR)
        assert theirs.recv(len(content), socket.MSG_WAITALL) == wanted
    assert sum(count for _, count in sent) > 9_800
    assert all(100 <= at < at + count <= len(content) - 50 for at, count in sent)
    for offset in offsets:
        assert all(at >= offset + 7 or at + count <= offset for at, count in sent)


@pytest.mark.whole
def test_the_background_pass_notes_the_checksums_of_both_versions(
    library: Path, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    opened = photos.open_library(library / ".photos", photos.Config())
    try:
        upkeep = photos.Upkeep(opened)
        list(opened.run(upkeep.unread(0), renditions.Purpose.FACTS))
        assert not upkeep.note_checksums()
        infos = {
            file.name: opened.index.get(file.identity)
            for _, folder in opened.walk()
            for file in folder.files.values()
        }
        assert infos and all(info and info.crc >= 0 for info in infos.values())
        info = infos["located.jpg"]
        assert info and info.crc == zlib.crc32(original.read_bytes())
        assert info.crc_without_place != info.crc
        again = photos.Index(opened.cache)
        assert again.get(photos.identity_text(original.stat())) == info
        one = infos["one.jpg"]
        assert one and one.crc == one.crc_without_place
    finally:
        opened.close()


@pytest.mark.whole
def test_no_stranger_learns_a_place_from_any_real_file(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An anonymous crawl of all real photos and films; exiftool looks for places in what comes."""
    exiftool = needed("exiftool")
    shutil.copytree(samples, tmp_path / "Album", symlinks=True)
    state = tmp_path / "Album" / ".photos"
    site = photos.create_app(state, config=photos.Config(), background=False)
    got = tmp_path / "got"
    got.mkdir()
    try:
        client = Client(site)
        count = 0
        albums = ["/api/album"]
        while albums:
            facts = json.loads(client.get(albums.pop()).body)
            albums += [album["api"] for album in facts["albums"]]
            for item in facts["items"]:
                assert "latitude" not in item
                for kind in ("original", "download", "live"):
                    if address := item.get(kind):
                        count += 1
                        answer = client.get(address)
                        name = f"{count}{Path(quote(item['name'])).suffix}"
                        (got / name).write_bytes(answer.body)
    finally:
        site.close()
    assert count > 200
    wanted = (
        "GPS*",
        "*Location*",
        "City",
        "State",
        "Country*",
        "Sub-location",
        "*ISO6709*",
    )
    command = [exiftool, "-a", "-ee", "-j", *(f"-{tag}" for tag in wanted), got]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = [
        facts
        for facts in json.loads(done.stdout)
        # the second is "Home" or "Destination"
        if facts.keys() - {"SourceFile", "WorldTimeLocation"}
    ]
    assert told == []
