"""Where a photo was taken stays at home: patches of equal length, found once for each file."""

from __future__ import annotations

import json
import re
import subprocess
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES, needed

import renditions

FAULTS = SAMPLES.parent / "faults"
# How exiftool calls places. The world clocks of cameras are settings, not places.
PLACES = re.compile(
    r"GPS.*|.*Location.*|City|State|Province-?State|Country.*|Sub-?location|.*ISO6709.*"
    r"|Coverage|.*(Latitude|Longitude).*|(GPS|Absolute|Relative)?Altitude.*|Landmark"
    # of Nikon's records of places and heights
    r"|POILevel|TextEncoding|BarometerInfoVersion",
    re.IGNORECASE,
)
# What is told of the file, not by it, and of IPTC as a whole.
OTHERS = re.compile(r"System:.*|SourceFile|.*IPTCDigest|.*:WorldTimeLocation")
Tags = dict[str, Any]
ReadTags = Callable[[Sequence[Path]], list[Tags]]


@pytest.fixture(scope="module")
def read_tags() -> ReadTags:
    """Reads all that exiftool finds in files."""
    program = needed("exiftool")

    def read(paths: Sequence[Path]) -> list[Tags]:
        command = [
            program,
            "-json",
            "-a",
            "-G1:4",
            "-s",
            "-ee",
            "-q",
            "-q",
            *map(str, paths),
        ]
        done = subprocess.run(command, capture_output=True, check=False)
        return json.loads(done.stdout or b"[]")

    return read


def places(tags: Tags) -> Tags:
    """Return the tags of exiftool that tell a place."""
    return {
        name: value
        for name, value in tags.items()
        if not OTHERS.fullmatch(name) and PLACES.fullmatch(name.rpartition(":")[2])
    }


def others(tags: Tags) -> Tags:
    """Return the tags of exiftool that are no places."""
    return {
        name: value
        for name, value in tags.items()
        if not OTHERS.fullmatch(name) and not PLACES.fullmatch(name.rpartition(":")[2])
    }


def patched(path: Path, folder: Path) -> Path:
    """Write a copy of a file that lies at home, with its patches."""
    patches = renditions.place_patches(str(path), kind=renditions.expected_kind(path.name))
    content = bytearray(path.read_bytes())
    assert all(0 <= patch.offset < patch.end <= len(content) for patch in patches)
    renditions.patch_block(content, 0, patches)
    copy = folder / path.name
    copy.write_bytes(content)
    return copy


def real_files() -> list[Path]:
    paths = [path for folder in (SAMPLES, FAULTS) for path in folder.rglob("*")]
    files = [path for path in paths if path.is_file()]
    return sorted(path for path in files if renditions.expected_kind(path.name))


def is_kept(path: Path) -> bool:
    info = renditions.Info(kind=renditions.expected_kind(path.name))
    return renditions.read_place(str(path), b"", info).place_kept


def test_no_real_file_tells_its_place_and_all_tell_the_rest(
    samples: Path, read_tags: ReadTags, tmp_path: Path
) -> None:
    paths = [path for path in real_files() if not is_kept(path)]
    assert {path.name for path in real_files()} - {path.name for path in paths} == {
        "png_exif_chunk_bad.png"  # its EXIF is compressed
    }
    copies = []
    for index, path in enumerate(paths):
        folder = tmp_path / str(index)
        folder.mkdir()
        copies.append(patched(path, folder))
    before, after = read_tags(paths), read_tags(copies)
    assert len(before) == len(after) == len(paths)
    assert sum(bool(places(tags)) for tags in before) > 40
    for path, old, new in zip(paths, before, after, strict=True):
        assert (path.name, places(new)) == (path.name, {})
        assert (path.name, others(new)) == (path.name, others(old))


def test_a_file_without_a_place_has_no_patches(samples: Path, read_tags: ReadTags) -> None:
    paths = real_files()
    for path, tags in zip(paths, read_tags(paths), strict=True):
        # exiftool does not look into the film of this one
        if not places(tags) and path.name != "samsung_motion.heic":
            patches = renditions.place_patches(str(path))
            assert (path.name, patches) == (path.name, ())


def test_checksums_tell_the_file_and_what_strangers_get(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    path = tmp_path / "a"
    path.write_bytes(content)
    patch = renditions.Patch(renditions.BLOCK_BYTES - 3, 7, "2030")
    expected = bytearray(content)
    expected[patch.offset : patch.end] = b" 0 0 0 "
    assert patch.content == b" 0 0 0 "
    crcs = zlib.crc32(content), zlib.crc32(expected)
    assert renditions.checksums(str(path), [patch]) == crcs
    assert renditions.checksums(str(path), ()) == (crcs[0], crcs[0])


def test_a_worker_that_renders_a_photo_notes_its_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    renditions.Image.new("RGB", (3, 2)).save(path)
    assert renditions.develop(str(path), renditions.Purpose.FACTS, tmp_path).crc == -1
    info = renditions.develop(str(path), renditions.Purpose.ALL, tmp_path)
    crc = zlib.crc32(path.read_bytes())
    assert (info.crc, info.crc_without_place) == (crc, crc)
    assert (info.width, info.place, info.place_kept) == (3, (), False)
    told = renditions.decode_reply(json.dumps(vars(info)) + "\n")
    assert told == info


@pytest.mark.parametrize(
    "place",
    [
        [[0, 1, ""]],
        [[0, 1, "2"]],
        [[0, 1, "xx"]],
        [[-1, 1, "20"]],
        [[0, 0, "20"]],
        [[5, 5, "20"], [9, 1, "20"]],
        [[0, 1, "20" * 33]],
        [[0.0, 1, "20"]],
        [[True, 1, "20"]],
        [[0, 1, 20]],
        [[0, 1]],
        [7],
        "place",
        {"0": 1},
    ],
)
def test_patches_that_make_no_sense_are_no_facts(place: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        renditions.info_from({"place": place})


@pytest.mark.parametrize("crc", [-2, 1 << 32, "1", None, float("nan")])
def test_checksums_that_make_no_sense_are_no_facts(crc: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        renditions.info_from({"crc": crc})


def test_patches_survive_the_index(tmp_path: Path) -> None:
    patches: Iterable[renditions.Patch] = (renditions.Patch(3, 2, "00"),)
    info = renditions.Info(key="k", place=tuple(patches), place_kept=False)
    assert renditions.info_from(json.loads(json.dumps(vars(info)))) == info


def test_what_nobody_has_searched_stays_at_home() -> None:
    assert renditions.Info().place_kept
