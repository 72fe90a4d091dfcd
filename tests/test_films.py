"""Films of all kinds: what is one, what is told of it, and its poster."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import SAMPLES, needed
from drawing import draw, exif
from looking import Open, look
from making import encode
from PIL import Image
from visiting import Client, Page

import photos
import renditions
from renditions import Purpose

FAULTS = SAMPLES.parent / "faults"
Develop = Callable[..., renditions.Info]
PICTURE = ("-f", "lavfi", "-i", "testsrc=d=2:r=25:s=352x288")
SOUND = ("-f", "lavfi", "-i", "sine=d=2")
YUV = ("-pix_fmt", "yuv420p")
# What ffmpeg makes of each kind by itself, and what it has to be told.
KINDS = {
    "avi": ("video/x-msvideo", ()),
    "mpg": ("video/mpeg", ()),
    "vob": ("video/mpeg", ()),
    "m2v": ("video/mpeg", ("-an",)),
    "mkv": ("video/matroska", YUV),
    "wmv": ("video/x-ms-wmv", ()),
    "flv": ("video/x-flv", ()),
    "ogv": ("video/ogg", ()),
    "ts": ("video/mp2t", ()),
    "mts": ("video/mp2t", ("-f", "mpegts")),
    "m2ts": ("video/mp2t", ("-mpegts_m2ts_mode", "1")),
    "3gp": ("video/3gpp", ("-c:v", "h263", "-c:a", "aac")),
    "3g2": ("video/3gpp2", ("-c:a", "aac", *YUV)),
    "mxf": ("application/mxf", ("-ar", "48000")),
    "rm": ("application/vnd.rn-realmedia", ("-c:v", "rv10", "-c:a", "ac3")),
    "wtv": ("video/x-ms-wtv", ()),
    "f4v": ("video/mp4", YUV),
}


def make(path: Path, *options: str) -> Path:
    """Have ffmpeg make a file of these inputs and options."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run((needed("ffmpeg"), "-v", "error", *options, path), check=True)
    return path


@pytest.fixture
def develop(tmp_path: Path) -> Develop:
    """Reads a file in this process and makes its thumbnails."""
    Image.init()
    return lambda path: renditions.develop(
        str(path), Purpose.THUMBNAILS, tmp_path / "cache"
    )


def poster(info: renditions.Info, cache: Path) -> Image.Image:
    names = renditions.thumbnail_names(info)
    path = renditions.rendition_path(cache, info.key, names[-1])
    with Image.open(path) as image:
        return image.convert("RGB")


@pytest.mark.whole
@pytest.mark.parametrize("suffix", KINDS)
def test_a_film_has_size_duration_media_type_and_poster_whatever_it_is_called(
    suffix: str,
    ffmpeg: str,
    tmp_path: Path,
    develop: Develop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    media_type, options = KINDS[suffix]
    film = make(tmp_path / f"film.{suffix}", *PICTURE, *SOUND, *options)
    other = Path(shutil.copy(film, tmp_path / "other"))
    for path in (film, other):
        info = develop(path)
        assert (info.kind, info.problem, info.media_type) == ("video", "", media_type)
        assert (info.width, info.height) == (352, 288)
        assert suffix == "m2v" or info.duration == pytest.approx(2, abs=0.2)
        assert poster(info, tmp_path / "cache").size == (352, 288)
    monkeypatch.setenv("PATH", "")
    shutil.rmtree(tmp_path / "cache")
    for path in (film, other):
        info = develop(path)
        assert (info.kind, info.problem, info.media_type) == ("video", "", media_type)
        assert not info.has_picture


@pytest.mark.whole
def test_a_film_of_tape_is_one(ffmpeg: str, tmp_path: Path, develop: Develop) -> None:
    options = ("-s", "720x576", *YUV, "-ar", "48000", "-ac", "2")
    info = develop(make(tmp_path / "tape.dv", *PICTURE, *SOUND, *options))
    assert (info.kind, info.problem, info.media_type) == ("video", "", "video/x-dv")
    assert info.has_picture


@pytest.mark.parametrize("name", ["a.ogg", "a.mka", "a.wma"])
def test_sound_in_a_container_of_films_is_no_film(
    name: str, ffmpeg: str, tmp_path: Path, develop: Develop
) -> None:
    assert develop(make(tmp_path / name, *SOUND)).kind == ""


@pytest.mark.parametrize("name", ["a.m4a", "A.M4A", "a.3ga"])
def test_a_recorded_voice_is_no_film_whatever_its_brand(name: str) -> None:
    head = b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + atom(b"mdat")
    assert renditions.container_of(head, name) == ""
    assert renditions.container_of(head, "a.mp4") == "mov"


@pytest.mark.whole
def test_the_cover_of_a_sound_is_no_film(
    ffmpeg: str, tmp_path: Path, develop: Develop
) -> None:
    cover = draw(tmp_path / "cover.jpg")
    options = ("-map", "0", "-map", "1", "-c:v", "mjpeg", "-disposition:v", "attached_pic")
    info = develop(make(tmp_path / "a.mp4", *SOUND, "-i", str(cover), *options))
    assert (info.kind, info.width, info.has_picture) == ("video", 0, False)


# Old QuickTime


def atom(kind: bytes, content: bytes = b"", *, long: bool = False) -> bytes:
    size = len(content) + 8
    if long:
        return b"\0\0\0\1" + kind + (size + 8).to_bytes(8, "big") + content
    return size.to_bytes(4, "big") + kind + content


LEADS = {
    "free": atom(b"free", bytes(40)),
    "skip": atom(b"skip", bytes(40)),
    "wide": atom(b"wide"),
    "preview": atom(b"pnot", bytes(12)) + atom(b"PICT", bytes(5000)),
    "junk": atom(b"junk", bytes(9)),
    "pict": atom(b"pict", bytes(9)),
    "uuid": atom(b"uuid", bytes(90_000)),
    "long": atom(b"free", bytes(90_000), long=True) + atom(b"wide"),
}


@pytest.mark.whole
@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("after", [b"ftyp", b"moov"])
def test_quicktime_may_begin_with_other_atoms(
    lead: str, after: bytes, ffmpeg: str, tmp_path: Path, develop: Develop
) -> None:
    # The index is behind the film or before it, its places counted from there: it needs no others.
    options = ("-movflags", "frag_keyframe+empty_moov+default_base_moof", *YUV)
    film = make(tmp_path / "film.mov", *PICTURE, *options).read_bytes()
    (tmp_path / "old").write_bytes(LEADS[lead] + film[film.index(after) - 4 :])
    info = develop(tmp_path / "old")
    assert (info.kind, info.problem, info.media_type) == ("video", "", "video/mp4")
    assert info.has_picture


@pytest.mark.whole
@pytest.mark.parametrize(
    "content",
    [
        b"I am free to say",
        atom(b"free", bytes(40)),
        atom(b"free") * 100_000,
        b"\0\0\0\0skip" + bytes(40),
        b"\0\0\0\1free" + b"\xff" * 8,
        b"\0\0\0\1free" + bytes(8),
        atom(b"wide") + b"anything else",
    ],
    ids=len,
)
def test_what_only_begins_like_quicktime_is_no_film(
    content: bytes, tmp_path: Path, develop: Develop
) -> None:
    (tmp_path / "a").write_bytes(content)
    assert develop(tmp_path / "a").kind == ""


# What has the suffix of a film alone

PLAYLIST = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/passwd\n"


@pytest.mark.parametrize("suffix", sorted(renditions.RARE_VIDEO_SUFFIXES))
@pytest.mark.parametrize("content", [b"words", b"G" * 4000, PLAYLIST, CONCAT], ids=len)
def test_what_has_the_suffix_of_a_film_alone_is_no_item(
    suffix: str, content: bytes, tmp_path: Path, develop: Develop
) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    info = develop(tmp_path / f"a{suffix}")
    assert info.kind not in ("photo", "video")
    assert "no film" in info.problem


def test_what_has_the_suffix_of_a_film_alone_is_named_to_the_owner(
    library: Path, quiet: Open
) -> None:
    (library / "Trip" / "song.mod").write_bytes(b"words")
    seen = quiet()
    assert "song.mod" not in [item.file.name for item in look(seen, "Trip").items]
    [(path, reason)] = photos.Upkeep(seen).problems()
    assert path == "Trip/song.mod"
    assert reason.startswith("its content is no film")


# How it is shown


def pixels(image: Image.Image) -> list[tuple[int, ...]]:
    """Return the colours of the eight bars of the inputs."""
    middle = image.height // 2
    return [image.getpixel((80 * bar + 40, middle)) for bar in range(8)]  # type: ignore[misc]


@pytest.mark.whole
@pytest.mark.skipif(not FAULTS.is_dir(), reason="no faults")
@pytest.mark.parametrize("name", ["hlg.mov", "pq.mov", "sdr709.mp4"])
def test_a_poster_of_high_dynamic_range_is_as_bright_and_colourful_as_any(
    name: str,
    ffmpeg: str,
    tmp_path: Path,
    develop: Develop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[str] = []
    run = renditions._run
    monkeypatch.setattr(renditions, "_run", lambda *a: runs.append(a[0]) or run(*a))
    info = develop(FAULTS / "f16-hdr-poster" / name)
    assert runs == ["ffprobe", "ffmpeg"]
    bars = pixels(poster(info, tmp_path / "cache"))
    with Image.open(FAULTS / "f16-hdr-poster" / "src.png") as source:
        wanted = pixels(source.convert("RGB"))
    assert min(bars[0]) > 235
    for bar, right in zip(bars[1:], wanted[1:], strict=True):
        assert all(abs(one - other) < 16 for one, other in zip(bar, right, strict=True))


@pytest.mark.whole
@pytest.mark.parametrize("transfer", renditions.LIGHTS)
def test_what_is_brighter_than_white_keeps_its_steps(transfer: str) -> None:
    ramp = Image.linear_gradient("L").convert("RGB")
    mapped = renditions.tone_mapped(ramp, renditions.LIGHTS[transfer])
    greys = [mapped.getpixel((0, at)) for at in range(256)]
    assert all(max(grey) - min(grey) < 12 for grey in greys)  # type: ignore[type-var,arg-type]
    levels = [grey[1] for grey in greys]  # type: ignore[index]
    assert levels == sorted(levels)
    assert levels[0] == 0 and levels[-1] == 255
    black = Image.new("RGB", (4, 4))
    assert not renditions.tone_mapped(black, renditions.LIGHTS[transfer]).getbbox()


HALVES = ("-f", "lavfi", "-i", "color=c=red:s=64x48:d=2:r=5,drawbox=w=32:c=blue:t=fill")


@pytest.mark.whole
@pytest.mark.parametrize(
    ("pixel", "size"),
    [("4/3", (85, 48)), ("16/15", (68, 48)), ("1/2", (64, 96)), ("1/1", (64, 48))],
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_oblong_pixels_count_in_size_and_poster(
    pixel: str, size: tuple[int, int], suffix: str, tmp_path: Path, develop: Develop
) -> None:
    options = ("-vf", f"setsar={pixel}", *YUV)
    info = develop(make(tmp_path / f"a.{suffix}", *HALVES, *options))
    assert (info.width, info.height) == size
    assert poster(info, tmp_path / "cache").size == size


@pytest.mark.parametrize(
    "ratio",
    [
        "",
        "0:1",
        "1:0",
        "100000:1",
        "1:100000",
        "N/A",
        "x",
        "-1:1",
        "-1:-2",
        "41:40",
        "nan:1",
        "inf:1",
    ],
)
def test_a_ratio_that_makes_no_sense_is_passed_over(ratio: str) -> None:
    look = renditions._look_of({"width": 64, "height": 48, "sample_aspect_ratio": ratio})
    assert look.size == (64, 48) and not look.is_oblong


def test_what_is_cut_off_is_not_counted() -> None:
    cut = {"crop_left": 8, "crop_right": 8, "crop_top": 0, "crop_bottom": 4}
    stream = {"width": 64, "height": 48, "side_data_list": [cut, {"rotation": -90}]}
    assert renditions._look_of(stream).size == (44, 48)


@pytest.mark.parametrize("degrees", ["45", "x", "", "360", "-1"])
def test_a_turn_by_other_than_quarters_is_passed_over(degrees: str) -> None:
    stream = {"width": 64, "height": 48, "tags": {"ROTATE": degrees}}
    assert renditions._look_of(stream).size == (64, 48)


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    """Return the matrix of a track (ISO/IEC 14496-12, 8.3.2)."""
    one = 0x10000
    return struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 0x40000000)


MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def turn(path: Path, degrees: int) -> Path:
    """Make a film that is to be turned clockwise; its left half is blue before."""
    # A tag of another name, since ffmpeg drops this one.
    tag = ("-metadata:s:v", f"rotatx={degrees}")
    content = make(path, *HALVES, *YUV, *tag).read_bytes()
    upright, turned = matrix(1, 0, 0, 1), matrix(*MATRICES[degrees])
    head, found, tail = content.rpartition(upright)
    path.write_bytes(
        (head + turned + tail if found else content).replace(b"ROTATX", b"ROTATE")
    )
    return path


@pytest.mark.whole
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize(
    ("degrees", "size", "blue"),
    [(90, (48, 64), (24, 8)), (180, (64, 48), (56, 24)), (270, (48, 64), (24, 56))],
)
def test_a_film_that_is_to_be_turned_has_an_upright_poster(
    suffix: str,
    degrees: int,
    size: tuple[int, int],
    blue: tuple[int, int],
    tmp_path: Path,
    develop: Develop,
) -> None:
    path = turn(tmp_path / f"a.{suffix}", degrees)
    info = develop(path)
    assert (info.width, info.height) == size
    picture = poster(info, tmp_path / "cache")
    assert picture.size == size
    red, _, blueness = picture.getpixel(blue)  # type: ignore[misc]
    assert blueness > 200 > 60 > red


@pytest.mark.whole
def test_a_film_of_more_than_an_hour_says_so(
    ffmpeg: str, library: Path, visitor: Client, patient: None
) -> None:
    long = ("-f", "lavfi", "-i", "color=c=red:s=64x48:d=3725:r=1/5", *YUV)
    make(library / "Long" / "film.mp4", *long)
    assert "1:02:05" in visitor.get("/album/Long/").text
    assert "1:02:05" in visitor.get("/album/Long/film.mp4").text
    [item] = json.loads(visitor.get("/api/album/Long").body)["items"]
    assert visitor.get(item["thumbnails"]["640"]).status == 200


@pytest.mark.whole
def test_a_film_is_a_video_to_those_who_cannot_see_it(
    ffmpeg: str, library: Path, visitor: Client, patient: None
) -> None:
    draw(library / "Sea" / "photo.jpg", exif=exif("2024:05:06 12:00:00"))
    short = ("-f", "lavfi", "-i", "color=c=red:s=64x48:d=1", *YUV)
    make(library / "Sea" / "VID_20240506_130000.mp4", *short)
    alts = re.findall(r'alt="(.+? in .+?)"', visitor.get("/album/Sea/").text)
    assert alts == ["Photo in Sea, 6 May 2024", "Video in Sea, 6 May 2024"]
    page = visitor.get("/album/Sea/VID_20240506_130000.mp4").text
    assert 'aria-label="Video in Sea, 6 May 2024"' in page


# When it was taken


def film(
    name: str, taken: str = "2024-01-06T22:02:58+00:00", duration: float = 0
) -> photos.Item:
    info = renditions.Info(kind="video", taken=taken, duration=duration)
    return photos.Item((name,), photos.File(name, name, name, 1, 1, 1), info)


@pytest.mark.parametrize(
    ("name", "duration", "taken"),
    [
        ("VID_20240107_070258.mp4", 0, "2024-01-07T07:02:58+09:00"),
        ("VID_20240107_070256.mp4", 0, "2024-01-07T07:02:58+09:00"),
        ("VID_20240106_173258.mp4", 0, "2024-01-06T17:32:58-04:30"),
        ("VID_20240107_120258.mp4", 0, "2024-01-07T12:02:58+14:00"),
        ("VID_20240106_100258.mp4", 0, "2024-01-06T10:02:58-12:00"),
        ("20240107_034758.mp4", 0, "2024-01-07T03:47:58+05:45"),
        ("2024-01-06 22.02.58.mp4", 0, "2024-01-06T22:02:58+00:00"),
        # the name is of its beginning, the container's time of its end, and the other way round
        ("VID_20240107_065558.mp4", 421, "2024-01-07T07:02:58+09:00"),
        ("VID_20240107_070959.mp4", 421, "2024-01-07T07:02:58+09:00"),
    ],
)
def test_the_name_of_a_film_tells_its_time_zone(
    name: str, duration: float, taken: str
) -> None:
    one = film(name, duration=duration)
    assert one.taken.isoformat() == taken
    assert photos.usual_zone([one]) == one.taken.tzinfo


@pytest.mark.parametrize(
    "name",
    [
        "IMG_1234.MOV",
        "VID-20240107-WA0003.mp4",  # a day alone
        "VID_20240107_070858.mp4",  # no zone is so far ahead
        "VID_20240109_070258.mp4",
        "VID_20230107_070258.mp4",
        "PXL_20240106_220258123.mp4",  # in UTC
        "20240106_220258000_iOS.MOV",
    ],
)
def test_other_films_are_shown_in_the_zone_of_their_album(name: str) -> None:
    bangkok = dt.timezone(dt.timedelta(hours=7))
    one = dataclasses.replace(film(name), zone=bangkok)
    assert one.taken.isoformat() == "2024-01-07T05:02:58+07:00"
    assert photos.told_zone([one]) is None


def test_a_film_that_tells_its_zone_keeps_it() -> None:
    one = film("VID_20240107_070258.mp4", "2024-01-07T06:02:58+08:00")
    one = dataclasses.replace(one, zone=dt.timezone(dt.timedelta(hours=7)))
    assert one.taken.isoformat() == "2024-01-07T06:02:58+08:00"


@pytest.mark.parametrize(
    ("day", "taken"),
    [
        ("2024-01-07T00:02:58+0200", "2024-01-07T00:02:58+02:00"),
        ("2024-01-06T22:02:58Z", "2024-01-06T22:02:58+00:00"),
        ("2024", "2024-01-06T22:02:58+00:00"),
        ("2020-05-06", "2024-01-06T22:02:58+00:00"),
    ],
)
def test_an_old_iphone_tells_its_zone_beside_the_time_in_utc(day: str, taken: str) -> None:
    tags = {"creation_time": "2024-01-06T22:02:58.000000Z", "date": day}
    date = renditions._video_date(tags)
    assert date and date.isoformat() == taken


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("2005:08:17 11:42:43\n\0", "2005-08-17T11:42:43"),
        ("2001/ 1/27  1:42PM\0", "2001-01-27T13:42:00"),
        ("\xff\xff", None),
    ],
)
def test_the_date_in_a_cameras_avi_is_read(text: str, taken: str | None) -> None:
    chunk = b"IDIT" + len(text).to_bytes(4, "little") + text.encode("latin-1")
    date = renditions.avi_date(b"RIFF\0\0\0\0AVI LIST" + chunk + b"LIST")
    assert (date and date.isoformat()) == taken
    assert renditions.avi_date(b"RIFF\0\0\0\0AVI LIST") is None


def with_user_data(film: bytes, *atoms: bytes) -> bytes:
    """Add to a film, whose header stands last, what its camera writes there."""
    at = film.index(b"moov") - 4
    header = film[at + 8 :] + atom(b"udta", b"".join(atoms))
    return film[:at] + atom(b"moov", header)


def still(date: str) -> bytes:
    """Return a small picture as Canon keeps it in a film."""
    return encode(Image.new("RGB", (160, 120)), "JPEG", exif=exif(date))


def tag_of_nikon(number: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    return struct.pack(">IHH", number, 2, len(value)) + value


CLOCK = "2024:01:07 05:02:58"
CAMERAS = {
    "Canon": atom(b"CNTH", atom(b"CNDA", still(CLOCK))),
    "Nikon": atom(b"NCDT", atom(b"NCTG", tag_of_nikon(0x11, CLOCK))),
    "GoPro HERO7": atom(b"FIRM", b"HD7.01.01.90.00"),
    "GoPro HERO10": atom(b"FIRM", b"H21.01.01.30.00"),
}


@pytest.mark.whole
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_camera_without_a_time_zone_dates_its_films_by_its_own_clock(
    camera: str, server_zone: str, ffmpeg: str, tmp_path: Path, quiet: Open
) -> None:
    album = tmp_path / "Album" / "Bangkok"
    draw(album / "a.jpg", exif=exif("2024:01:07 05:02:00", "+07:00"))
    draw(album / "c.jpg", exif=exif("2024:01:07 05:04:00", "+07:00"))
    film = stamped(album / "b.mp4", "2024-01-07T05:02:58Z")
    film.write_bytes(with_user_data(film.read_bytes(), CAMERAS[camera]))
    items = look(quiet(tmp_path / "Album"), "Bangkok").items
    assert [item.file.name for item in items] == ["a.jpg", "b.mp4", "c.jpg"]
    assert items[1].taken.replace(tzinfo=None) == dt.datetime(2024, 1, 7, 5, 2, 58)


@pytest.mark.parametrize(
    ("content", "clock"),
    [
        (b"0000:00:00 00:00:00 2000:01:01 00:00:00 2024:01:07 05:02:58", CLOCK),
        (b"0000:00:00 00:00:00", ""),
        (b"FIRMH22.01.01.20.00", ""),  # from the HERO11 on, it knows its zone
        (b"", ""),
    ],
)
def test_what_tells_no_clock_of_a_camera_is_passed_over(content: bytes, clock: str) -> None:
    assert renditions._camera_clock(content, "2024-01-06 22:02:58Z") == clock


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Tokyo"])
def server_zone(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The time zone of the server."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def stamped(path: Path, moment: str) -> Path:
    return make(path, *HALVES, "-metadata", f"creation_time={moment}", *YUV)


@pytest.mark.whole
@pytest.mark.parametrize("offset", ["+07:00", ""])
def test_a_film_lies_between_the_photos_of_its_day_wherever_the_server_is(
    offset: str, server_zone: str, ffmpeg: str, tmp_path: Path, quiet: Open
) -> None:
    album = tmp_path / "Album" / "Bangkok"
    draw(album / "a.jpg", exif=exif("2024:01:07 05:02:00", offset))
    draw(album / "c.jpg", exif=exif("2024:01:07 05:04:00", offset))
    # Its name tells the zone; where the photos tell it, no name is needed.
    name = "MVI_2.mp4" if offset else "VID_20240107_050258.mp4"
    stamped(album / name, "2024-01-06T22:02:58Z")
    seen = look(quiet(tmp_path / "Album"), "Bangkok")
    assert [item.file.name for item in seen.items] == ["a.jpg", name, "c.jpg"]
    assert seen.items[1].taken.isoformat() == "2024-01-07T05:02:58+07:00"
    dates = (seen.first, seen.last)
    assert [date and date.day for date in dates] == [7, 7]


@pytest.mark.whole
def test_the_zone_of_photos_that_somebody_may_not_find_tells_nothing(
    ffmpeg: str, tmp_path: Path, quiet: Open
) -> None:
    album = tmp_path / "Album" / "Bangkok"
    draw(album / "a.jpg", exif=exif("2024:01:07 05:02:00", "+07:00"))
    (album / "a.jpg").rename(album / "a.private.jpg")
    stamped(album / "b.mp4", "2024-01-06T22:02:58Z")
    library = quiet(tmp_path / "Album")
    [item] = look(library, "Bangkok").items
    assert item.zone is None
    zones = {item.taken.utcoffset() for item in look(library, "Bangkok", user=True).items}
    assert zones == {dt.timedelta(hours=7)}


@pytest.mark.whole
def test_the_page_of_a_film_shows_the_time_of_its_album(
    ffmpeg: str, library: Path, visitor: Client, patient: None
) -> None:
    draw(library / "Bangkok" / "a.jpg", exif=exif("2024:01:07 05:02:00", "+07:00"))
    stamped(library / "Bangkok" / "b.mp4", "2024-01-06T22:02:58Z")
    assert "05:02<" in visitor.get("/album/Bangkok/b.mp4").text
    items = json.loads(visitor.get("/api/album/Bangkok").body)["items"]
    assert [item["taken"] for item in items][1] == "2024-01-07T05:02:58+07:00"


@pytest.mark.whole
def test_films_of_a_server_whose_photos_tell_no_zone_are_shown_in_that_of_the_server(
    server_zone: str, ffmpeg: str, tmp_path: Path, quiet: Open
) -> None:
    album = tmp_path / "Album" / "Home"
    moment = dt.datetime(2024, 1, 6, 22, 2, 58, tzinfo=dt.UTC)
    local = moment.astimezone()
    for name, seconds in (("a.jpg", -30), ("c.jpg", 30)):
        date = local + dt.timedelta(seconds=seconds)
        draw(album / name, exif=exif(f"{date:%Y:%m:%d %H:%M:%S}"))
    stamped(album / "b.mp4", "2024-01-06T22:02:58Z")
    seen = look(quiet(tmp_path / "Album"), "Home")
    assert [item.file.name for item in seen.items] == ["a.jpg", "b.mp4", "c.jpg"]
    assert seen.items[1].taken == moment
    assert seen.items[1].taken.utcoffset() == local.utcoffset()


@pytest.mark.parametrize("year", [1904, 1970, 2100, 9999])
def test_a_film_of_a_camera_without_a_clock_is_dated_otherwise(year: int) -> None:
    tags = {"creation_time": f"{year}-01-01T12:00:00.000000Z"}
    assert renditions._video_date(tags) is None


@pytest.mark.whole
@pytest.mark.parametrize(
    "chunk", [b"IDIT\x1a\0\0\0WED AUG 17 11:42:43 2005\n\0", b""], ids=["camera", "program"]
)
def test_an_avi_is_dated_in_local_time(
    chunk: bytes, ffmpeg: str, tmp_path: Path, develop: Develop
) -> None:
    date = ("-metadata", "date=2005-08-17 11:42:43")
    path = make(tmp_path / "MVI_1.avi", *HALVES, *(() if chunk else date))
    if chunk:  # in the place of what is left free for such
        content = path.read_bytes()
        at = content.index(b"JUNK")
        size = int.from_bytes(content[at + 4 : at + 8], "little") - len(chunk)
        free = b"JUNK" + size.to_bytes(4, "little")
        path.write_bytes(content[:at] + chunk + free + content[at + len(chunk) + 8 :])
    assert develop(path).taken == "2005-08-17T11:42:43"


# As camcorders write it: a clock without zone, in decimals.
MOMENT = (
    "17ee8c60-f84d-11d9-8cd6-0800200c9a66+MDPM\2\x18\x01\x20\x24\x11\x19\x17\x17\x18\x21"
)


@pytest.mark.whole
@pytest.mark.parametrize("options", [("-f", "mpegts"), ("-mpegts_m2ts_mode", "1")])
def test_a_film_of_a_camcorder_has_the_date_among_its_pictures(
    options: tuple[str, ...], ffmpeg: str, tmp_path: Path, develop: Develop
) -> None:
    written = ("-c:v", "libx264", *YUV, "-bsf:v", f"h264_metadata=sei_user_data={MOMENT}")
    path = make(tmp_path / "00001.m2ts", *PICTURE, *SOUND, *written, *options)
    assert develop(path).taken == "2024-11-17T17:18:21"


@pytest.mark.parametrize("size", [1, 3, 4, 5, 187, 188, 189, 940])
def test_packets_that_are_cut_or_damaged_tell_no_date(size: int) -> None:
    for byte in (b"G", b"\xff", b"\0"):
        assert (
            renditions.camcorder_date((b"G" + byte * 187)[:188].ljust(size, byte)) is None
        )
        assert renditions.camcorder_date(byte * size) is None
    assert renditions.camcorder_date(b"") is None


@pytest.mark.whole
def test_a_film_whose_end_is_missing_is_named_and_played_as_far_as_it_goes(
    ffmpeg: str, tmp_path: Path, develop: Develop
) -> None:
    options = (*PICTURE, *SOUND, *YUV, "-movflags", "+faststart")
    path = make(tmp_path / "a.mp4", *options)
    info = develop(path)
    assert (info.problem, info.partial) == ("", False)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    info = develop(path)
    assert info.problem == "damaged, shown as far as it goes: its end is missing"
    assert info.partial and info.has_picture and info.duration == 2


MEDIA = atom(b"mdat", bytes(100))
LONG_MEDIA = atom(b"mdat", bytes(100), long=True)


@pytest.mark.parametrize(
    ("content", "is_cut"),
    [
        (MEDIA, False),
        (MEDIA[:-1], True),
        (LONG_MEDIA, False),
        (LONG_MEDIA[:-1], True),
        (MEDIA * 2 + MEDIA[:20], True),
        (MEDIA * (renditions.ATOMS + 2), False),  # of which not all are looked at
        (bytes(4) + MEDIA[4:], False),  # up to the end of the file
        (MEDIA + atom(b"free", bytes(9))[:-1], False),
        (MEDIA + b"junk", False),
        (b"", False),
    ],
)
def test_a_film_is_cut_where_its_pictures_go_beyond_its_end(
    content: bytes, is_cut: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(atom(b"ftyp", b"isom" + bytes(4)) + content)
    assert renditions.is_cut_film(str(path)) == is_cut


@pytest.mark.parametrize(
    "taken", ["0001-01-01T05:00:00+00:00", "9999-12-31T23:00:00+00:00"]
)
@pytest.mark.parametrize("hours", [-12, 14])
@pytest.mark.parametrize("name", ["IMG_1.MOV", "VID_20240107_070258.mp4"])
def test_a_film_at_an_end_of_the_calendar_does_no_harm(
    taken: str, hours: int, name: str
) -> None:
    zone = dt.timezone(dt.timedelta(hours=hours))
    one = dataclasses.replace(film(name, taken, duration=1.7e308), zone=zone)
    assert one.taken.isoformat() == taken
    assert photos.usual_zone([one]) == dt.UTC


def test_a_film_of_endless_length_does_no_harm() -> None:
    one = film("VID_20240107_070258.mp4", duration=1.7976931348623157e308)
    assert one.taken.isoformat() == "2024-01-07T07:02:58+09:00"


def test_a_phone_may_tell_the_zone_of_its_films() -> None:
    tags = {
        "creation_time": "2024-01-06T22:02:58.0Z",
        "com.samsung.android.utc_offset": "+0900",
    }
    date = renditions._video_date(tags)
    assert date and date.isoformat() == "2024-01-07T07:02:58+09:00"


# In an album


@pytest.mark.whole
@pytest.mark.parametrize("suffix", ["avi", "mkv", "mp4"])
def test_a_cut_film_is_an_item_and_named_to_the_owner(
    suffix: str, ffmpeg: str, tmp_path: Path, develop: Develop
) -> None:
    media_type, options = {**KINDS, "mp4": ("video/mp4", YUV)}[suffix]
    path = make(tmp_path / f"a.{suffix}", *PICTURE, *options)
    path.write_bytes(path.read_bytes()[:90])
    info = develop(path)
    assert (info.kind, info.media_type) == ("video", media_type)
    assert info.problem and not info.has_picture


@pytest.mark.whole
@pytest.mark.skipif(not FAULTS.is_dir(), reason="no faults")
def test_an_album_of_films_that_no_browser_plays_exists_and_has_a_cover(
    ffmpeg: str, library: Path, visitor: Client, patient: None
) -> None:
    shutil.copytree(FAULTS / "f03-other-videos", library / "Tapes")
    front = json.loads(visitor.get("/api/album").body)
    [tapes] = [album for album in front["albums"] if album["title"] == "Tapes"]
    assert (tapes["photos"], tapes["videos"]) == (0, 6)
    assert visitor.get(tapes["cover"]).headers["content-type"] == "image/webp"
    items = json.loads(visitor.get("/api/album/Tapes").body)["items"]
    for item in items:
        assert (item["kind"], item["problem"]) == ("video", "")
        assert (item["width"], item["height"], item["duration"]) == (640, 480, 2.0)
        page = Page(visitor.get(item["url"]).text)
        assert "video" not in page.tags
        assert {item["thumbnails"]["640"], item["download"]} <= set(page.links)
        assert "cannot play this video" in page.text
        answer = visitor.get(item["download"])
        assert answer.headers["content-type"].startswith("video/")
        assert answer.headers["content-disposition"].startswith("attachment")
