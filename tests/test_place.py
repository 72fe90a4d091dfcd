"""Where a photo was taken stays at home: patches of equal length, found once for each file."""

from __future__ import annotations

import io
import json
import re
import struct
import subprocess
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES, needed
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

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
# What is told of the file, not by it, and of IPTC as a whole; a country that becomes "000".
OTHERS = re.compile(r"System:.*|SourceFile|.*IPTCDigest|.*:WorldTimeLocation|.*:MCCData")
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


def patches_of(path: Path, kind: str = "") -> Sequence[renditions.Patch]:
    with path.open("rb") as file:
        return renditions.place_patches(file, kind=kind)


def patched(path: Path, folder: Path) -> Path:
    """Write a copy of a file that lies at home, with its patches."""
    patches = patches_of(path, renditions.expected_kind(path.name))
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
    with path.open("rb") as file:
        return renditions.read_place(file, b"", info).place_kept


@pytest.mark.whole
def test_no_real_file_tells_its_place_and_all_tell_the_rest(
    samples: Path, read_tags: ReadTags, tmp_path: Path
) -> None:
    paths = [path for path in real_files() if not is_kept(path)]
    assert {path.name for path in real_files()} - {path.name for path in paths} == {
        "png_exif_chunk_bad.png",  # its EXIF is compressed
        "exif_gps_typeerror.jpg",  # its pointer to GPS is no number
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


@pytest.mark.whole
def test_a_file_without_a_place_has_no_patches(samples: Path, read_tags: ReadTags) -> None:
    paths = real_files()
    for path, tags in zip(paths, read_tags(paths), strict=True):
        # exiftool does not look into the film of this one
        is_odd = path.name in ("samsung_motion.heic", "exif_gps_typeerror.jpg")
        if not places(tags) and not is_odd:
            patches = patches_of(path)
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
    assert (info.width, info.place, info.place_kept) == (3, "", False)
    told = renditions.decode_reply(json.dumps(vars(info)) + "\n")
    assert told == info


@pytest.mark.parametrize(
    "place",
    [
        *(
            "0,1,",
            "0,1,2",
            "0,1,xx",
            "-1,1,20",
            "0.0,1,20",
            "0,1",
            "0,1,20 ",
            "place",
            "\n",
        ),
        *(
            f"0,1,{'20' * 33}",
            "0,1,20,1",
            "0,1,20\n5,1,20",
            "\u0663,1,20",
            [[0, 1, "20"]],
            7,
        ),
    ],
)
def test_patches_that_make_no_sense_are_no_facts(place: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        renditions.info_from({"place": place})


@pytest.mark.parametrize("place", ["0,0,20", "5,5,20 9,1,20", "0,1", "x"])
def test_patches_that_make_no_sense_are_never_written(place: str) -> None:
    with pytest.raises(ValueError):
        renditions.decode_patches(place)


def test_a_long_film_that_tells_its_place_each_second_takes_little_memory() -> None:
    patches = [renditions.Patch(50 * number, 7, "20") for number in range(5000)]
    place = renditions.encode_patches(patches)
    line = json.dumps({"key": "k", "place": place})
    tracemalloc.start()
    try:
        info = renditions.info_from(json.loads(line))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(info.patches) == patches
    assert taken < 100_000


@pytest.mark.parametrize("crc", [-2, 1 << 32, "1", None, float("nan")])
def test_checksums_that_make_no_sense_are_no_facts(crc: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        renditions.info_from({"crc": crc})


def test_patches_survive_the_index(tmp_path: Path) -> None:
    patches = renditions.Patch(3, 2, "00"), renditions.Patch(5, 70, "20ff")
    place = renditions.encode_patches(patches)
    info = renditions.Info(key="k", place=place, place_kept=False)
    told = renditions.info_from(json.loads(json.dumps(vars(info))))
    assert (told, told.patches) == (info, patches)


def test_what_nobody_has_searched_stays_at_home() -> None:
    assert renditions.Info().place_kept


GPS = [
    *("-GPSLatitude=52.5163", "-GPSLatitudeRef=N", "-GPSLongitude=13.3777"),
    *("-GPSLongitudeRef=E", "-GPSAltitude=35", "-GPSDateStamp=2024:01:02"),
    *("-GPSTimeStamp=10:11:12", "-GPSProcessingMethod=GPS"),
]
IN_XMP = [
    *("-XMP-exif:GPSLatitude=52.5163", "-XMP-exif:GPSLongitude=13.3777"),
    *("-XMP-photoshop:City=Berlin", "-XMP-photoshop:Country=Germany"),
    *("-XMP-photoshop:State=Berlin", "-XMP-iptcCore:Location=Gate"),
    *("-XMP-iptcCore:CountryCode=DE", "-XMP-dc:Coverage=Berlin", "-XMP-dc:Title=Kept"),
    *(
        "-XMP-iptcExt:LocationShownCity=Berlin",
        "-XMP-iptcExt:LocationShownSublocation=Gate",
    ),
    *(
        "-XMP-iptcExt:LocationCreatedCity=Berlin",
        "-XMP-iptcExt:LocationCreatedGPSLatitude=52",
    ),
    *("-XMP-iptcExt:LocationCreatedCountryName=Germany", "-XMP-xmpDM:ShotLocation=Gate"),
    *("-XMP-drone-dji:GpsLatitude=52.5163", "-XMP-drone-dji:AbsoluteAltitude=+10.0"),
]
IN_IPTC = [
    *("-IPTC:City=Berlin", "-IPTC:Sub-location=Gate", "-IPTC:Province-State=Berlin"),
    *("-IPTC:Country-PrimaryLocationCode=DEU", "-IPTC:Country-PrimaryLocationName=Germany"),
    *("-IPTC:ContentLocationCode=DEU", "-IPTC:ContentLocationName=Germany"),
    *("-IPTC:Headline=Kept", "-IPTC:Keywords=Kept"),
]
IN_KEYS = [
    *("-Keys:GPSCoordinates=52.5163, 13.3777, 30", "-Keys:LocationName=Gate"),
    *("-Keys:LocationBody=earth", "-Keys:LocationNote=Gate", "-Keys:Model=Kept"),
    *("-Keys:LocationAccuracyHorizontal=5", "-Keys:LocationDate=2024:01:01 00:00:00"),
    *("-UserData:GPSCoordinates=52.5163, 13.3777, 30", "-Keys:Title=Kept"),
    "-ItemList:GPSCoordinates=52.5163, 13.3777, 30",
    "-UserData:LocationInformation=Gate Role=0 Lat=52.5 Lon=13.3 Alt=30 Body=earth Notes=n",
    "-UserData:GPSCoordinates-deu=52.5163, 13.3777, 30",
]
IN_EXIF = ["-Make=Maker", "-Model=Kept", "-DateTimeOriginal=2024:01:02 03:04:05"]
PHOTO_TAGS = {
    "a.jpg": [*IN_EXIF, *GPS, *IN_XMP, *IN_IPTC],
    "a.tif": [*IN_EXIF, *GPS, *IN_XMP, *IN_IPTC],
    "a.png": [*IN_EXIF, *GPS, *IN_XMP],
    "a.webp": [*IN_EXIF, *GPS, *IN_XMP],
    "a.avif": [*IN_EXIF, *GPS, *IN_XMP],
    "a.gif": IN_XMP,
}
PLACE_TEXTS = (b"Berlin", b"Gate", b"Germany", b"52.5163", b"13.3777")


def write_tags(path: Path, tags: Sequence[str]) -> None:
    command = [needed("exiftool"), "-q", "-q", "-overwrite_original", *tags, str(path)]
    subprocess.run(command, check=True)


def check_patched(path: Path, read_tags: ReadTags) -> Path:
    """Check that exiftool finds a place in a file, and none in its patched copy; return that."""
    folder = path.parent / "patched"
    folder.mkdir(exist_ok=True)
    copy = patched(path, folder)
    before, after = read_tags([path, copy])
    assert places(before)
    assert places(after) == {}
    assert others(after) == others(before)
    assert not [text for text in PLACE_TEXTS if text in copy.read_bytes()]
    return copy


@pytest.mark.whole
@pytest.mark.parametrize("name", PHOTO_TAGS)
def test_a_photo_of_any_kind_keeps_all_but_its_place(
    name: str, read_tags: ReadTags, tmp_path: Path
) -> None:
    picture = Image.effect_noise((64, 48), 50).convert("RGB")
    more = {"save_all": True, "append_images": [picture.rotate(180)]}
    picture.save(tmp_path / name, **(more if name in ("a.tif", "a.gif", "a.webp") else {}))
    write_tags(tmp_path / name, PHOTO_TAGS[name])
    copy = check_patched(tmp_path / name, read_tags)
    with Image.open(tmp_path / name) as before, Image.open(copy) as after:
        assert after.tobytes() == before.tobytes()
        assert after.getexif().get(0x0110) == before.getexif().get(0x0110)


def make_film(path: Path, *options: str) -> None:
    source = ("-f", "lavfi", "-i", "testsrc=duration=1:size=128x96")
    command = ["ffmpeg", "-v", "error", *source, *options, str(path)]
    subprocess.run(command, check=True)


def packets(path: Path) -> str:
    """Return what ffmpeg hands on of a film, as a digest."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0", "-f", "md5", "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


LOCATED = ("-metadata", "location=+52.5163+013.3777/", "-metadata", "title=Kept")


@pytest.mark.whole
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", ()),
        ("fast.mp4", ("-movflags", "faststart")),
        ("a.mov", ()),
        ("keys.mov", ("-movflags", "use_metadata_tags")),
        ("a.3gp", ("-c:v", "h263")),
        ("pieces.mp4", ("-movflags", "frag_keyframe+empty_moov")),
    ],
)
def test_a_film_of_any_kind_keeps_all_but_its_place(
    name: str, options: Sequence[str], ffmpeg: str, read_tags: ReadTags, tmp_path: Path
) -> None:
    make_film(tmp_path / name, *LOCATED, *options)
    copy = check_patched(tmp_path / name, read_tags)
    assert packets(copy) == packets(tmp_path / name)


@pytest.mark.whole
@pytest.mark.parametrize("tags", [IN_KEYS, IN_XMP], ids=["keys", "xmp"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_a_film_loses_the_places_that_others_wrote_into_it(
    name: str, tags: Sequence[str], ffmpeg: str, read_tags: ReadTags, tmp_path: Path
) -> None:
    make_film(tmp_path / name)
    write_tags(tmp_path / name, tags)
    copy = check_patched(tmp_path / name, read_tags)
    assert packets(copy) == packets(tmp_path / name)


@pytest.mark.whole
@pytest.mark.parametrize("name", ["a.webm", "a.mkv"])
def test_the_tags_of_matroska_tell_no_place(
    name: str, ffmpeg: str, read_tags: ReadTags, tmp_path: Path
) -> None:
    more = ("-metadata", "LOCATION=+52.5163+013.3777/", "-metadata", "COUNTRY=Germany")
    make_film(tmp_path / name, *LOCATED[2:], *more)
    copy = patched(tmp_path / name, tmp_path.parent)
    assert not [text for text in PLACE_TEXTS if text in copy.read_bytes()]
    assert b"Kept" in copy.read_bytes()
    # a checksum that were wrong would be an error
    check = ["ffmpeg", "-v", "warning", "-err_detect", "crccheck+explode", "-i", str(copy)]
    done = subprocess.run(
        [*check, "-f", "null", "-"], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert packets(copy) == packets(tmp_path / name)


def test_the_film_in_a_motion_photo_tells_no_place(
    ffmpeg: str, read_tags: ReadTags, tmp_path: Path
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg")
    make_film(tmp_path / "a.mov", *LOCATED)
    photo = tmp_path / "motion.jpg"
    photo.write_bytes((tmp_path / "a.jpg").read_bytes() + (tmp_path / "a.mov").read_bytes())
    copy = patched(photo, tmp_path.parent)
    assert b"+52.5163" in photo.read_bytes()
    assert b"+52.5163" not in copy.read_bytes()


@pytest.mark.parametrize(
    "name", ["phones/samsung_note10_o6.jpg", "heic/samsung_motion.heic"]
)
def test_the_country_of_the_network_stays_at_home(
    name: str, samples: Path, tmp_path: Path
) -> None:
    copy = patched(samples / name, tmp_path)
    assert b"MCC_Data310" in (samples / name).read_bytes()
    assert b"MCC_Data000" in copy.read_bytes()


def box(type: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + type + content


def numbers(*values: int) -> bytes:
    """Return the content of a box that begins with its version."""
    return struct.pack(f">{1 + len(values)}I", 0, *values)


def film_with_track(format: bytes, handler: bytes, samples: Sequence[bytes]) -> bytes:
    """Return a film whose only track has samples of a format, in one chunk."""
    content = box(b"mdat", *samples)
    description = box(b"stsd", numbers(1), box(format, bytes(8)))
    chunks = min(1, len(samples))
    table = box(
        b"stbl",
        description,
        box(b"stsc", numbers(1, 1, len(samples), 1)),
        box(b"stsz", numbers(0, len(samples), *map(len, samples))),
        box(b"stco", numbers(chunks, *[8 + 16] * chunks)),
    )
    kind = box(b"hdlr", bytes(8), handler, bytes(13))
    track = box(b"trak", box(b"mdia", kind, box(b"minf", table)))
    return box(b"ftyp", b"isom", bytes(4)) + content + box(b"moov", track)


@pytest.mark.parametrize("format", [b"gpmd", b"camm", b"djmd", b"rtmd"])
def test_a_track_of_places_is_emptied(format: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(film_with_track(format, b"meta", [b"52.5163", b"13.3777N"]))
    content = path.read_bytes()
    copy = patched(path, tmp_path.parent).read_bytes()
    assert len(copy) == len(content)
    assert copy == content.replace(b"52.516313.3777N", bytes(15))


def test_a_track_of_places_that_is_in_pieces_stays_at_home(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(film_with_track(b"gpmd", b"meta", []))
    assert is_kept(path)


def film_of_camera(*boxes: bytes) -> bytes:
    """Return a film with what a camera adds to it, as far as anybody looks for a place."""
    return box(b"ftyp", b"qt  ", bytes(4)) + box(b"moov", box(b"udta", *boxes))


def still(*, is_located: bool) -> bytes:
    """Return a photo of a camera, such as Canon and Panasonic keep in films."""
    exif = Image.Exif()
    exif[0x0110] = "Model"
    if is_located:
        exif.get_ifd(0x8825).update(
            {1: "N", 2: (52.0, 30.0, 59.0), 3: "E", 4: (13.0, 22.0, 7.0)}
        )
    output = io.BytesIO()
    Image.new("RGB", (16, 12)).save(output, "JPEG", exif=exif)
    return output.getvalue()


@pytest.mark.parametrize("is_located", [False, True])
@pytest.mark.parametrize("kind", ["Canon", "Panasonic"])
def test_a_film_with_a_photo_of_its_camera_is_for_everybody_without_the_place(
    kind: str, is_located: bool, read_tags: ReadTags, tmp_path: Path
) -> None:
    photo = still(is_located=is_located)
    added = {
        "Canon": box(b"CNTH", box(b"CNDA", photo)),
        "Panasonic": box(b"PANA", bytes(16), photo),
    }
    path = tmp_path / "a.mov"
    path.write_bytes(film_of_camera(added[kind]))
    assert not is_kept(path)
    assert bool(patches_of(path)) == is_located
    copy = patched(path, tmp_path.parent)
    [before, after] = read_tags([path, copy])
    # exiftool finds such a photo of Panasonic's only among all that belongs there
    assert bool(places(before)) == (is_located and kind == "Canon")
    assert (places(after), others(after)) == ({}, others(before))


NIKON_PLACE = struct.pack(">IHH6I", 0x1200002, 5, 3, 52, 1, 30, 1, 59, 1)
NIKON_MODEL = struct.pack(">IHH6s", 2, 2, 6, b"Model")


@pytest.mark.parametrize("end", [b"", bytes(3), bytes(90)])
def test_the_tags_of_nikon_in_a_film_tell_no_place(end: bytes, tmp_path: Path) -> None:
    tags = box(b"NCTG", NIKON_PLACE, NIKON_MODEL, end)
    path = tmp_path / "a.mov"
    path.write_bytes(film_of_camera(box(b"NCDT", tags)))
    copy = patched(path, tmp_path.parent).read_bytes()
    assert copy == path.read_bytes().replace(NIKON_PLACE[8:], bytes(24))


@pytest.mark.parametrize(
    "added",
    [
        box(b"NCDT", box(b"NCTG", struct.pack(">IHH", 2, 77, 6))),
        box(b"NCDT", box(b"NCTG", NIKON_MODEL * 5000)),
        # of Fujifilm, EXIF that begins with its first directory
        box(b"MVTG", bytes(16), b"\1\0" + struct.pack("<HHII", 0x8825, 4, 1, 99)),
    ],
    ids=["odd", "many", "Fujifilm"],
)
def test_what_a_camera_adds_stays_at_home_where_it_is_not_understood(
    added: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.mov"
    path.write_bytes(film_of_camera(added))
    assert is_kept(path)


@pytest.mark.parametrize("text", ["Hello", "+52.5163+013.3777/"])
def test_subtitles_stay_at_home_where_they_tell_places(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(film_with_track(b"tx3g", b"sbtl", [text.encode()]))
    assert is_kept(path) == (text != "Hello")


@pytest.mark.parametrize(
    "end",
    [
        b"8db42d694ccc418790edff439fe026bf",
        b"AXS!" + bytes(8),
        b"cbipcbbl",
        b"~\0\x06\0~zmie~" + bytes(6),
    ],
)
def test_a_file_with_foreign_metadata_behind_its_end_stays_at_home(
    end: bytes, tmp_path: Path
) -> None:
    Image.new("L", (4, 3)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    assert not is_kept(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(content + bytes(9) + end)
    assert is_kept(tmp_path / "a.jpg")


@pytest.mark.parametrize("tag", [0x18, 0xB2])
def test_a_film_of_a_camcorder_stays_at_home_where_it_has_gps(
    tag: int, tmp_path: Path
) -> None:
    record = b"MDPM" + bytes([2, 0x13, 1, 2, 3, 4, tag, 1, 2, 3, 4])
    (tmp_path / "a.mts").write_bytes(b"G" + bytes(187) + record + bytes(900))
    assert is_kept(tmp_path / "a.mts") == (tag == 0xB2)


def test_a_map_stays_at_home(tmp_path: Path) -> None:
    details = TiffImagePlugin.ImageFileDirectory_v2()
    details[33922] = (0.0, 0.0, 0.0, 13.3777, 52.5163, 0.0)
    details.tagtype[33922] = 12
    Image.new("L", (4, 3)).save(tmp_path / "a.tif", tiffinfo=details)
    assert is_kept(tmp_path / "a.tif")


@pytest.mark.whole
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_cost_no_more_than_their_download(
    ends: list[Path], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(ends))
    content = bytearray(path.read_bytes())
    length = data.draw(st.integers(0, len(content)))
    del content[length:]
    for _ in range(data.draw(st.integers(0, 20))):
        at = data.draw(st.integers(0, max(0, length - 1)))
        content[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
    damaged = path.parent / "damaged"
    damaged.write_bytes(content)
    with damaged.open("rb") as file:
        info = renditions.read_place(file, b"", renditions.Info())
    ends_of_patches = [patch.end for patch in info.patches]
    assert max(ends_of_patches, default=0) <= len(content)
    assert renditions.info_from(json.loads(json.dumps(vars(info)))) == info


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photos of several kinds whose metadata tell their place."""
    folder = tmp_path_factory.mktemp("located")
    for name, tags in PHOTO_TAGS.items():
        Image.new("RGB", (16, 12)).save(folder / name)
        write_tags(folder / name, tags)
    return [folder / name for name in PHOTO_TAGS]


def test_of_many_patches_only_those_of_a_part_are_looked_at() -> None:
    patches = [renditions.Patch(10 * number, 4, "20") for number in range(5000)]
    for start, end in [
        (0, 1),
        (3, 10),
        (4, 10),
        (4, 11),
        (100, 130),
        (49_990, 60_000),
        (7, 7),
    ]:
        touching = [p for p in patches if p.offset < end and p.end > start]
        assert list(renditions.patches_within(patches, start, end)) == touching


SIGN = b"51,30.1234N"  # what must not be left
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
MORE_HEAD = b"http://ns.adobe.com/xmp/extension/\0"


def drawn(format: str) -> bytes:
    output = io.BytesIO()
    renditions.Image.new("RGB", (16, 12), "red").save(output, format)
    return output.getvalue()


def segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def with_segments(*contents: bytes) -> bytes:
    jpeg = drawn("JPEG")
    return jpeg[:2] + b"".join(map(segment, contents)) + jpeg[2:]


def packet(attributes: bytes) -> bytes:
    return (
        b"<x:xmpmeta><rdf:RDF><rdf:Description " + attributes + b"/></rdf:RDF></x:xmpmeta>"
    )


def with_xmp(attributes: bytes) -> bytes:
    return with_segments(XMP_HEAD + packet(attributes))


def in_two_parts() -> bytes:
    """A long XMP whose second half, which begins within a name, comes first."""
    whole = packet(b'exif:GPSLatitude="' + SIGN + b'"')
    at = whole.index(b"GPSLat") + 4
    parts = [
        MORE_HEAD + bytes(32) + struct.pack(">II", len(whole), start) + part
        for start, part in ((at, whole[at:]), (0, whole[:at]))
    ]
    return with_segments(*parts)


def with_chunk(type: bytes, content: bytes) -> bytes:
    png = drawn("PNG")
    crc = zlib.crc32(type + content)
    chunk = struct.pack(">I", len(content)) + type + content + struct.pack(">I", crc)
    at = png.index(b"IDAT") - 4
    return png[:at] + chunk + png[at:]


def with_riff_chunk(type: bytes, content: bytes) -> bytes:
    webp = drawn("WEBP")
    body = webp[8:] + type + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def exif_block(type: int, count: int, magic: bytes = b"*\0") -> bytes:
    """EXIF whose pointer to GPS has an odd type or number; its latitude is a text."""
    pointer = struct.pack("<HHHII", 1, 0x8825, type, count, 26) + bytes(4)
    gps = struct.pack("<HHHII", 1, 2, 2, len(SIGN), 44) + bytes(4)
    return b"Exif\0\0II" + magic + struct.pack("<I", 8) + pointer + gps + SIGN


LOCATED_JPEG = with_xmp(b'exif:GPSLatitude="' + SIGN + b'"')
ODD_FILES = {
    "basic geo": with_xmp(b'geo:lat="' + SIGN + b'" geo:long="1"'),
    "the target of a drone": with_xmp(b'drone-dji:LRFTargetLat="' + SIGN + b'"'),
    "a long XMP out of order": in_two_parts(),
    "a pointer of bytes": with_segments(exif_block(7, 4)),
    "a pointer that may be negative": with_segments(exif_block(9, 1)),
    "a pointer of eight bytes": with_segments(exif_block(16, 1)),
    "a pointer to nothing": with_segments(exif_block(4, 0)),
    "another mark": with_segments(exif_block(4, 1, b"U\0")),
    "a text called latitude": with_chunk(b"tEXt", b"exif:GPSLatitude\0" + SIGN),
    "a text called location": with_chunk(b"iTXt", b"Location\0\0\0\0\0" + SIGN),
    "a packed text": with_chunk(b"zTXt", b"City\0\0" + zlib.compress(SIGN)),
    "a profile in an open text": with_chunk(
        b"iTXt",
        b"Raw profile type exif\0\0\0\0\0\nexif\n99\n" + exif_block(4, 1).hex().encode(),
    ),
    "a profile of ExifTool": with_chunk(
        b"tEXt",
        b"Raw profile type APP1\0\ngeneric profile\n99\n" + exif_block(4, 1).hex().encode(),
    ),
    "coordinates as a person wrote them": with_xmp(
        b'dwc:verbatimCoordinates="' + SIGN + b'"'
    ),
    "packed EXIF": with_chunk(b"zxIf", zlib.compress(exif_block(4, 1))),
    "an unknown chunk": with_chunk(b"caBX", b"exif:GPSLatitude " + SIGN),
    "an unknown chunk of WebP": with_riff_chunk(b"C2PA", b"exif:GPSLatitude " + SIGN),
    "a JPEG behind a PNG": drawn("PNG") + LOCATED_JPEG,
    "a JPEG behind a WebP": drawn("WEBP") + LOCATED_JPEG,
    "a JPEG of which a long XMP tells": with_segments(
        MORE_HEAD + bytes(40) + b"<Container:Directory/>"
    )
    + LOCATED_JPEG,
    "a PNG behind a PNG": drawn("PNG") + with_chunk(b"tEXt", b"City\0" + SIGN),
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_what_is_odd_tells_no_place_or_stays_at_home(kind: str, tmp_path: Path) -> None:
    content = bytearray(ODD_FILES[kind])
    path = tmp_path / "odd"
    path.write_bytes(content)
    if is_kept(path):
        return
    renditions.patch_block(content, 0, patches_of(path))
    assert len(content) == len(ODD_FILES[kind])
    assert SIGN not in content and SIGN.hex().encode() not in content
