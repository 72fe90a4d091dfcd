"""RAW files are second downloads of their photos; other pictures that are not shown are named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from drawing import draw
from looking import Open, look, names, read
from PIL import Image, TiffImagePlugin
from test_bins import faults
from visiting import Client, Page

import photos
import renditions

pytestmark = pytest.mark.usefixtures("patient")

RAW_BYTES = b"MM\0*\0\0\0\x08" + bytes(100)
PAIRS = [
    ("IMG_1.JPG", "IMG_1.CR2"),
    ("DSC1.jpg", "DSC1.ARW"),
    ("img_1.HEIC", "IMG_1.dng"),
    ("PXL_1.RAW-01.COVER.jpg", "PXL_1.RAW-02.ORIGINAL.dng"),
    ("PXL_1.RAW-01.MP.COVER.jpg", "PXL_1.RAW-02.ORIGINAL.dng"),
    ("not UTF-8 \udcff.jpg", "not UTF-8 \udcff.NEF"),
]


def put(folder: Path, photo: str, raw: str) -> None:
    draw(folder / "drawn.jpg").rename(folder / photo)
    (folder / raw).write_bytes(RAW_BYTES)


def problems(library: photos.Library) -> dict[str, str]:
    return dict(photos.Upkeep(library).problems())


@pytest.fixture
def only_photos_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a RAW file is rendered: its facts alone tell where it was taken."""
    submit = photos.Renderer.submit

    def submit_it(
        renderer: photos.Renderer,
        identity: str,
        path: str,
        purpose: renditions.Purpose,
        *rest: object,
    ) -> object:
        is_raw = path.lower().endswith((".dng", ".cr2", ".nef", ".dng.private", ".jxl"))
        assert not is_raw or purpose is renditions.Purpose.FACTS
        return submit(renderer, identity, path, purpose, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(photos.Renderer, "submit", submit_it)


@pytest.mark.parametrize(("photo", "raw"), PAIRS)
def test_a_photo_and_its_raw_file_are_one_item(
    photo: str, raw: str, library: Path, quiet: Open
) -> None:
    put(library / "New", photo, raw)
    opened = quiet()
    album = look(opened, "New")
    assert names(album) == [photo]
    assert [file.name for file in album.items[0].raws] == [raw]
    assert problems(opened) == {}


@pytest.mark.parametrize(
    ("photo", "raw"), [("IMG_1.JPG", "IMG_2.CR2"), ("IMG_1-edited.jpg", "IMG_1.CR2")]
)
def test_a_raw_file_without_a_picture_is_no_item_and_is_named(
    photo: str, raw: str, library: Path, quiet: Open
) -> None:
    put(library / "New", photo, raw)
    opened = quiet()
    album = look(opened, "New")
    assert names(album) == [photo]
    assert album.items[0].raws == ()
    assert problems(opened) == {f"New/{raw}": "RAW: export it as JPEG to show it"}


def test_check_names_no_raw_file_that_has_a_picture(tmp_path: Path, quiet: Open) -> None:
    shutil.copytree(faults("f25-raw-pairs"), tmp_path / "Mine" / "New")
    opened = quiet(tmp_path / "Mine")
    assert problems(opened) == {}
    assert [len(item.raws) for item in look(opened, "New").items] == [1, 1, 1]


@pytest.mark.whole
def test_a_page_and_json_offer_the_raw_file(
    library: Path, visitor: Client, only_photos_are_read: None
) -> None:
    (library / "Trip" / "ONE.NEF").write_bytes(RAW_BYTES)
    items = {i["name"]: i for i in json.loads(visitor.get("/api/album/Trip").body)["items"]}
    assert items.keys() == {"one.jpg", "two.jpg"}
    assert items["one.jpg"]["raw"] == ["/download/Trip/ONE.NEF"]
    assert "raw" not in items["two.jpg"]
    details = visitor.get("/album/Trip/one.jpg").text.partition('class="details"')[2]
    assert "/download/Trip/ONE.NEF" in Page(details).links
    answer = visitor.get("/download/Trip/ONE.NEF", Range="bytes=0-3")
    assert (answer.status, answer.body) == (206, RAW_BYTES[:4])
    assert 'filename="ONE.NEF"' in answer.headers["content-disposition"]
    for kind in ("album", "photo", "thumbnail", "preview"):
        assert visitor.get(f"/{kind}/Trip/ONE.NEF").status == 404
    assert visitor.get("/download/Trip/ONE.NEF/").status == 404


@pytest.mark.whole
@pytest.mark.parametrize("name", ["one.dng.private", "one.private.dng"])
def test_the_keywords_of_a_raw_file_say_who_gets_it(
    name: str, library: Path, visitor: Client, user: Client, only_photos_are_read: None
) -> None:
    (library / "Trip" / name).write_bytes(RAW_BYTES)
    address = f"/download/Trip/{name}"
    assert visitor.get("/album/Trip/one.jpg").status == 200
    for page in ("/album/Trip/one.jpg", "/api/album/Trip", "/album/Trip/"):
        assert name not in visitor.get(page).text
    assert address in Page(user.get("/album/Trip/one.jpg").text).links
    assert address in user.get("/api/album/Trip").text
    assert user.get(address).body == RAW_BYTES
    closed, absent = visitor.get(address), visitor.get(f"/download/Trip/x{name}")
    assert (
        (closed.status, closed.body) == (absent.status, absent.body) == (404, absent.body)
    )


def test_a_raw_file_of_a_private_album_is_private(
    library: Path, visitor: Client, user: Client
) -> None:
    (library / "Secret.private" / "faces.dng").write_bytes(RAW_BYTES)
    assert visitor.get("/download/Secret/faces.dng").status == 404
    assert user.get("/download/Secret/faces.dng").body == RAW_BYTES


def test_a_raw_file_whose_keywords_are_odd_is_flagged(library: Path, quiet: Open) -> None:
    (library / "Trip" / "one.private copy.dng").write_bytes(RAW_BYTES)
    assert [path for path, _ in quiet().flags()] == ["Trip/one.private copy.dng"]


@pytest.mark.parametrize("suffix", sorted(renditions.RAW_SUFFIXES))
def test_a_raw_suffix_is_never_read_and_always_named(
    suffix: str, library: Path, open_library: Open, only_photos_are_read: None
) -> None:
    for name in (f"A{suffix}", f"B{suffix.upper()}"):
        draw(library / "New" / "drawn.jpg").rename(library / "New" / name)
    opened = open_library(workers=0)
    assert not [file for file in photos.Upkeep(opened).unread(0) if "New" in file.path]
    assert look(opened).albums[0].title != "New"
    assert len(problems(opened)) == 2


# Pictures of other formats


def test_pictures_that_are_not_shown_are_named_with_what_to_do(
    tmp_path: Path, quiet: Open
) -> None:
    shutil.copytree(faults("f26-unlisted-pictures"), tmp_path / "Mine" / "New")
    opened = quiet(tmp_path / "Mine")
    assert names(look(opened, "New")) == ["ok.jpg"]
    assert problems(opened) == {
        "New/art.psd": "Photoshop: export it as JPEG to show it",
        "New/draw.svg": "SVG: export it as JPEG to show it",
        "New/scan.jp2": "JPEG 2000: export it as JPEG to show it",
        "New/shot.jxl": "JPEG XL: export it as JPEG to show it",
    }
    assert len(photos.Upkeep(opened).skipped()[photos.Skipped.OTHER]) == 1  # doc.pdf


@pytest.mark.whole
@pytest.mark.parametrize("suffix", sorted(photos.OTHER_PICTURES))
def test_a_picture_of_another_format_is_no_page_whatever_it_holds(
    suffix: str, library: Path, visitor: Client
) -> None:
    name = f"drawn{suffix.upper()}"
    draw(library / "Trip" / "drawn.jpg").rename(library / "Trip" / name)
    for kind in ("album", "photo", "download", "thumbnail", "preview"):
        assert visitor.get(f"/{kind}/Trip/{name}").status == 404
    assert name not in visitor.get("/album/Trip/").text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\x00\x00", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\0\1", "Photoshop"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<svg/>", "SVG"),
        (b'<!-- by hand -->\n<svg width="9"/>', "SVG"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_another_format_under_the_name_of_a_photo_is_named(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    path = os.fspath(tmp_path / "a.jpg")
    info = renditions.develop(path, renditions.Purpose.ALL, tmp_path)
    assert (info.kind, info.problem) == (
        "photo",
        f"its content is {reason}: export it as JPEG to show it",
    )


def dng() -> bytes:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[renditions.DNG_VERSION] = b"\1\4\0\0"
    tags.tagtype[renditions.DNG_VERSION] = 1
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"photos-test-{os.getpid()}.tif"
    Image.new("RGB", (8, 8)).save(path, tiffinfo=tags)
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"II*\0\x10\0\0\0CR\2\0" + bytes(99),
        b"FUJIFILMCCD-RAW 0201" + bytes(99),
        b"IIRO\x08\0\0\0" + bytes(99),
        b"IIU\0\x08\0\0\0" + bytes(99),
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99),
        dng(),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a"])
def test_a_raw_file_under_another_name_is_never_decoded(
    name: str,
    content: bytes,
    library: Path,
    open_library: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(renditions, "decode", decode)
    (library / "New").mkdir()
    (library / "New" / name).write_bytes(content)
    (library / "Trip").rename(library / "Secret.private" / "Trip")
    opened = open_library(workers=0)
    path = os.fspath(library / "New" / name)
    info = renditions.develop(path, renditions.Purpose.ALL, opened.cache)
    assert (info.kind, info.problem) == ("raw", "RAW: export it as JPEG to show it")
    read(opened)
    assert problems(opened)[f"New/{name}"] == info.problem
    assert quote(name) not in [item.address for item in look(opened).items]
