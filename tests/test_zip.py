"""An album as a ZIP: every byte known before the first, read by every program."""

from __future__ import annotations

import datetime as dt
import io
import os
import random
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest
from conftest import needed

import photos

TAKEN = dt.datetime(2024, 5, 6, 7, 8, 9)
GIGABYTE = 1 << 30


def file_at(path: Path) -> photos.File:
    return photos.file_of(path.name, os.fspath(path), path.stat(), photos.NO_KEYWORDS)


def member(
    path: Path, name: str = "", crc: int | None = None, **values: object
) -> photos.Member:
    if crc is None:
        crc = zlib.crc32(path.read_bytes())
    made = photos.Member(
        name or path.name, file_at(path), path.stat().st_size, crc, "", TAKEN
    )
    return made._replace(**values)


def content_of(archive: photos.Archive, start: int = 0) -> bytes:
    return b"".join(archive.blocks(start, archive.size))


@pytest.fixture
def three(tmp_path: Path) -> photos.Archive:
    """An archive of three files, one of them empty."""
    names = "Trip/one.jpg", "Trip/Şehir 東京/two.jpg", "Trip/empty.jpg"
    contents = b"first" * 1000, bytes(range(256)) * 4000, b""
    members = []
    for number, (name, content) in enumerate(zip(names, contents, strict=True)):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(content)
        members.append(member(path, name))
    return photos.Archive(members)


def test_a_zip_is_as_long_as_was_said_and_holds_the_files(three: photos.Archive) -> None:
    content = content_of(three)
    assert len(content) == three.size
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == [
            "Trip/one.jpg",
            "Trip/Şehir 東京/two.jpg",
            "Trip/empty.jpg",
        ]
        assert opened.read("Trip/one.jpg") == b"first" * 1000
        info = opened.getinfo("Trip/one.jpg")
    assert info.date_time == (2024, 5, 6, 7, 8, 8)
    assert info.compress_type == zipfile.ZIP_STORED
    assert not info.flag_bits & 8  # no data descriptor, which macOS refuses on stored files
    assert info.extra == b""  # ZIP64 only where it is needed


PROGRAMS = {
    "unzip": ["unzip", "-q", "{zip}", "-d", "{out}"],
    "7zz": ["7zz", "x", "-y", "-o{out}", "{zip}"],
    "bsdtar": ["bsdtar", "-xf", "{zip}", "-C", "{out}"],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_takes_it_apart(
    program: str, three: photos.Archive, tmp_path: Path
) -> None:
    needed(program)
    path, out = tmp_path / "a.zip", tmp_path / "out"
    path.write_bytes(content_of(three))
    out.mkdir()
    command = [part.format(zip=path, out=out) for part in PROGRAMS[program]]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert (out / "Trip" / "one.jpg").read_bytes() == b"first" * 1000
    assert (out / "Trip" / "Şehir 東京" / "two.jpg").stat().st_size == 256 * 4000


def test_any_piece_of_it_is_the_same_piece(three: photos.Archive) -> None:
    content = content_of(three)
    chance = random.Random(7)
    cuts = [chance.randrange(three.size) for _ in range(200)]
    for start in (0, 1, 29, 30, 42, three.size - 1, *cuts):
        end = chance.randrange(start, three.size) + 1
        assert b"".join(three.blocks(start, end)) == content[start:end]


@pytest.mark.whole
def test_a_file_of_five_gigabytes_and_one_behind_it(tmp_path: Path) -> None:
    large, small = tmp_path / "large.mp4", tmp_path / "small.jpg"
    with large.open("wb") as opened:
        opened.truncate(5 * GIGABYTE)
    small.write_bytes(b"small")
    zeros = 0
    for _ in range(5):
        zeros = zlib.crc32(bytes(GIGABYTE), zeros)
    archive = photos.Archive([member(large, crc=zeros), member(small)])
    path = tmp_path / "a.zip"
    with path.open("wb") as opened:
        for block in archive.blocks(0, archive.size):
            if any(block):
                opened.write(block)
            else:
                opened.seek(len(block), os.SEEK_CUR)  # so that the copy is sparse, too
    assert path.stat().st_size == archive.size
    with zipfile.ZipFile(path) as opened:
        assert opened.getinfo("large.mp4").file_size == 5 * GIGABYTE
        assert opened.read("small.jpg") == b"small"
    start = archive.size - 400
    with path.open("rb") as opened:
        opened.seek(start)
        assert b"".join(archive.blocks(start, archive.size)) == opened.read()


@pytest.mark.whole
def test_seventy_thousand_files(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"picture")
    one = member(path)
    archive = photos.Archive([one._replace(path=f"{n}.jpg") for n in range(70_000)])
    content = content_of(archive)
    assert len(content) == archive.size
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        assert len(opened.namelist()) == 70_000
        assert opened.read("69999.jpg") == b"picture"


def test_a_file_that_changed_ends_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"picture")
    archive = photos.Archive([member(path)])
    path.write_bytes(b"another")
    os.utime(path, (1, 1))
    with pytest.raises(OSError, match="changed"):
        content_of(archive)


def test_its_key_differs_when_any_byte_does(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"picture")
    one = member(path)
    others = [
        one._replace(path="b.jpg"),
        one._replace(crc=7),
        one._replace(size=8),
        one._replace(taken=TAKEN.replace(year=2025)),
    ]
    keys = [photos.Archive([each]).key for each in (one, *others)]
    keys += [photos.Archive([]).key, photos.Archive([one, others[0]]).key]
    assert len(set(keys)) == len(keys)
    assert photos.Archive([one]).key == keys[0]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("IMG_1.JPG", "IMG_1.JPG"),
        ('a/b\\c:d*e?f"g<h>i|j.jpg', "a_b_c_d_e_f_g_h_i_j.jpg"),
        ("tab\tand\nline.jpg", "tab_and_line.jpg"),
        ("dots...", "dots"),
        (" spaces ", "spaces"),
        ("CON", "_CON"),
        ("nul.jpg", "_nul.jpg"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("COM¹.jpg", "_COM¹.jpg"),
        ("console.jpg", "console.jpg"),
        ("..", "_"),
        ("", "_"),
        ("e\u0301te\u0301.jpg", "\xe9t\xe9.jpg"),
        (os.fsdecode(b"not\xffutf8.jpg"), "not_utf8.jpg"),
        ("東京.jpg", "東京.jpg"),
    ],
)
def test_names_are_made_safe_for_every_system(name: str, safe: str) -> None:
    assert photos.safe_name(name) == safe


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".jpg", "東" * 200 + ".jpg", "x." + "y" * 300]
)
def test_a_safe_name_is_no_longer_than_names_can_be(name: str) -> None:
    safe = photos.safe_name(name)
    assert 100 < len(safe.encode()) <= 200
    assert safe.endswith(".jpg") or ".jpg" not in name


def test_names_are_unique_whatever_their_case() -> None:
    taken: set[str] = set()
    names = ["a.jpg", "A.JPG", "a.jpg", "Straße", "STRASSE", "a (2).jpg"]
    unique = [photos.unique_name(name, taken) for name in names]
    assert unique == [
        "a.jpg",
        "A (2).JPG",
        "a (3).jpg",
        "Straße",
        "STRASSE (2)",
        "a (2) (2).jpg",
    ]


@pytest.mark.parametrize(
    ("year", "kept"), [(1850, 1980), (1980, 1980), (2107, 2107), (9999, 2107)]
)
def test_a_date_that_a_zip_cannot_hold_is_the_nearest(
    year: int, kept: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"picture")
    archive = photos.Archive([member(path, taken=TAKEN.replace(year=year))])
    with zipfile.ZipFile(io.BytesIO(content_of(archive))) as opened:
        assert opened.getinfo("a.jpg").date_time[0] == kept
