"""Films of all kinds: what is one, what is told of it, and its poster."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SAMPLES, needed
from drawing import draw
from looking import Open, look
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
    [problem] = photos.Upkeep(seen).problems()
    assert problem.path == "Trip/song.mod"
    assert problem.reason.startswith("its content is no film")


# In an album


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
