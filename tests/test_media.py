"""Media: what is sent of a photo or a video, and what in the place of one that cannot be shown or is gone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from drawing import draw
from gallery import BROKEN, NAMES, Gallery
from processes import eventually, processes_about
from visiting import Client, Page

import photos

pytestmark = pytest.mark.usefixtures("patient")


# Originals


@pytest.mark.whole
@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("Trip/two.jpg", "image/jpeg"),
        ("Trip/Beach/sand.png", "image/png"),
        (BROKEN, "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("kind", ["photo", "download"])
def test_an_original_is_sent_as_what_its_content_is(
    gallery: Gallery, kind: str, path: str, media_type: str
) -> None:
    answer = gallery.client().get(f"/{kind}/{quote(path)}")
    assert answer.headers["content-type"] == media_type
    assert answer.body == (gallery.root / path).read_bytes()
    assert ("content-disposition" in answer.headers) == (kind == "download")


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_download_keeps_its_name(gallery: Gallery, name: bytes) -> None:
    answer = gallery.client().get(f"/download/Names/{quote(name, safe='')}")
    given = answer.headers["content-disposition"]
    match = re.fullmatch(
        r"attachment; filename=\"([^\"\\%]*)\"; filename\*=UTF-8''([\w.%~-]+)",
        given,
        re.ASCII,
    )
    assert match and given.isascii() and given.isprintable()
    assert unquote(match[2]) == photos.display(os.fsdecode(name))
    assert match[1].endswith(name[-4:].decode())


@pytest.mark.whole
def test_a_file_changed_in_place_has_another_etag_although_its_time_was_put_back(
    library: Path, visitor: Client
) -> None:
    path = library / "Trip" / "one.jpg"
    status = path.stat()
    first = visitor.get("/photo/Trip/one.jpg")
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    etag = first.headers["etag"]
    again = visitor.get("/photo/Trip/one.jpg", If_None_Match=etag)
    assert (again.status, again.body) == (200, path.read_bytes())
    assert again.headers["etag"] != etag
    part = visitor.get("/photo/Trip/one.jpg", If_Range=etag, Range="bytes=9-")
    assert (part.status, part.body) == (200, path.read_bytes())


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["photo", "download", "thumbnail", "preview"])
def test_what_is_unchanged_is_not_opened(
    visitor: Client, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    address = f"/{kind}/Trip/one.jpg"
    etag = visitor.get(address).headers["etag"]
    monkeypatch.setattr(photos.FilePart, "_handle", lambda _: pytest.fail("was opened"))
    assert visitor.get(address, If_None_Match=etag).status == 304
    assert visitor.get(address, Range="bytes=999999999-").status == 416


@pytest.mark.whole
@pytest.mark.parametrize("size", [1000, photos.SMALL_BYTES + 1000])
@pytest.mark.parametrize(("change", "status"), [("write", 503), ("remove", 404)])
def test_a_file_that_changes_before_it_is_opened_is_not_half_of_two(
    library: Path,
    visitor: Client,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    change: str,
    status: int,
) -> None:
    path = library / "Trip" / "one.jpg"
    with path.open("ab") as file:
        file.write(bytes(size))
    visitor.get("/photo/Trip/one.jpg")
    body_of = photos.Site._body_of

    def change_first(*arguments: Any) -> Any:
        if change == "remove":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1] + b"1")
        return body_of(*arguments)

    monkeypatch.setattr(photos.Site, "_body_of", change_first)
    if size > photos.SMALL_BYTES and change == "write":
        # It is on the way already: the connection ends.
        with pytest.raises(OSError, match="written while"):
            visitor.get("/photo/Trip/one.jpg")
    else:
        assert visitor.get("/photo/Trip/one.jpg").status == status


# Renditions


def test_renaming_an_album_makes_no_rendition_again(library: Path, visitor: Client) -> None:
    item = json.loads(visitor.get("/api/album/Trip").body)["items"][0]
    address = item["thumbnails"]["320"]
    first = visitor.get(address)
    (library / "Trip").rename(library / "Journey")
    again = visitor.get(address.replace("/Trip/", "/Journey/"))
    assert again == first  # Last-Modified and ETag tell when the rendition was made
    assert again.headers["cache-control"].endswith("immutable")


@pytest.mark.whole
def test_a_file_without_a_picture_has_a_placeholder_and_the_rest_of_its_album_is_there(
    gallery: Gallery,
) -> None:
    client = gallery.client()
    answer = client.get(f"/thumbnail/{quote(BROKEN)}")
    assert (answer.status, answer.headers["content-type"]) == (404, "image/svg+xml")
    assert b"<svg" in answer.body
    for address in ("/album/Trip/Beach/", f"/album/{quote(BROKEN)}"):
        page = client.get(address)
        assert page.status == 200 and "This file cannot be shown" in page.text
        assert "<b>broken.jpg" in Page(page.text).texts
    assert len(Page(client.get("/album/Trip/Beach/").text).items) == 2


# Videos and sounds


@pytest.mark.whole
def test_a_video_and_a_live_photo_are_played_from_the_original(
    ffmpeg: str, library: Path, visitor: Client
) -> None:
    command = (
        f"{ffmpeg} -v error -f lavfi -i testsrc=duration=0.2:size=64x48 -pix_fmt yuv420p"
    )
    subprocess.run([*command.split(), library / "Trip" / "clip.mp4"], check=True)
    shutil.copy(library / "Trip" / "clip.mp4", library / "Trip" / "ONE.MOV")
    items = {
        item["name"]: item
        for item in json.loads(visitor.get("/api/album/Trip").body)["items"]
    }
    assert items.keys() == {"one.jpg", "two.jpg", "clip.mp4"}
    clip, live = items["clip.mp4"], items["one.jpg"]["live"]
    answer = visitor.get(clip["url"])
    page = Page(answer.text)
    assert answer.status == 200 and "video" in page.tags
    assert {clip["thumbnails"]["640"], clip["original"]} <= set(page.links)
    assert live in Page(visitor.get(items["one.jpg"]["url"]).text).links
    for address, media_type in ((clip["original"], "video/mp4"), (live, "video/mp4")):
        answer = visitor.get(address, Range="bytes=4-7")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (
            206,
            b"ftyp",
            media_type,
        )
    assert visitor.get(clip["thumbnails"]["640"]).headers["content-type"] == "image/webp"


@pytest.mark.whole
def test_a_sound_without_picture_has_a_player(
    ffmpeg: str, visitor: Client, library: Path
) -> None:
    sound = [
        "-f",
        "lavfi",
        "-i",
        "sine=duration=0.2",
        os.fspath(library / "Trip" / "sound.mp4"),
    ]
    subprocess.run([ffmpeg, "-v", "error", *sound], check=True)
    assert visitor.get("/thumbnail/Trip/sound.mp4").status == 404
    page = visitor.get("/album/Trip/sound.mp4").text
    assert "<video" in page
    assert "poster=" not in page
    assert visitor.get("/photo/Trip/sound.mp4").headers["content-type"] == "video/mp4"


# What goes wrong meanwhile

PHOTO = "Trip/one.jpg"


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["photo", "download", "thumbnail", "preview"])
@pytest.mark.parametrize(
    "moment", ["before it is looked at", "before a worker opens it", "before it is sent"]
)
def test_a_file_that_goes_between_listing_and_opening_is_not_found(
    moment: str,
    kind: str,
    library: Path,
    visitor: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    look_at, submit = photos.Library.item, photos.Renderer.submit

    def go(now: str) -> None:
        if now == moment:
            (library / PHOTO).unlink(missing_ok=True)

    def look_at_it(*arguments: Any) -> Any:
        go("before it is looked at")
        item = look_at(*arguments)
        go("before it is sent")
        return item

    def submit_it(*arguments: Any) -> Any:
        go("before a worker opens it")
        return submit(*arguments)

    monkeypatch.setattr(photos.Library, "item", look_at_it)
    monkeypatch.setattr(photos.Renderer, "submit", submit_it)
    # A worker may take longer to start than the rights are good for, which look for the photo again.
    monkeypatch.setattr(photos, "RIGHTS_SECONDS", 60.0)
    # A thumbnail is made when its photo is read for it, and does not need the photo any more.
    is_made = moment == "before it is sent" and kind in ("thumbnail", "preview")
    assert visitor.get(f"/{kind}/{PHOTO}").status == (200 if is_made else 404)
    assert not (library / PHOTO).exists()
    assert Page(visitor.get("/album/Trip/").text).items == ["/album/Trip/two.jpg"]
    assert visitor.get("/thumbnail/Trip/two.jpg").status == 200
    assert caplog.records == []


def test_an_album_is_shown_without_a_file_that_goes_while_it_is_listed(
    library: Path,
    visitor: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scandir = os.scandir

    def list_it(path: Any) -> Any:
        draw(library / PHOTO)
        with scandir(path) as entries:
            listed = list(entries)
        (library / PHOTO).unlink()
        return contextlib.nullcontext(listed)

    monkeypatch.setattr(os, "scandir", list_it)
    assert Page(visitor.get("/album/Trip/").text).items == ["/album/Trip/two.jpg"]
    assert [
        item["name"] for item in json.loads(visitor.get("/api/album/Trip").body)["items"]
    ] == ["two.jpg"]
    assert caplog.records == []


@pytest.fixture
def stuck(visitor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a thumbnail whose photo keeps a worker waiting for ever."""
    monkeypatch.setattr(
        photos, "SETTLE_SECONDS", 0.0
    )  # so that the answer of a worker is remembered
    fifo, submit = tmp_path / "hang.jpg", photos.Renderer.submit
    os.mkfifo(fifo)

    def submit_it(renderer: photos.Renderer, identity: str, path: str, *rest: Any) -> Any:
        hangs = path.endswith(PHOTO)
        return submit(renderer, identity, os.fspath(fifo) if hangs else path, *rest)

    monkeypatch.setattr(photos.Renderer, "submit", submit_it)
    return f"/thumbnail/{PHOTO}"


@pytest.mark.whole
def test_a_photo_that_waits_for_the_disk_is_not_ready_yet_and_its_worker_is_killed(
    stuck: str, library: Path, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(photos, "RENDER_SECONDS", 1.0)
        answer = visitor.get(stuck)
    assert (answer.status, answer.text) == (503, f"{photos.STILL_BEING_MADE}\n")
    # The visitor's patience may be over first, where a worker takes long to start.
    eventually(lambda: not processes_about(library / ".photos" / "cache"))
    page = visitor.get(f"/album/{PHOTO.rpartition('/')[0]}/")
    assert page.status == 200 and PHOTO in page.text
    assert visitor.get("/thumbnail/Trip/two.jpg").status == 200


@pytest.mark.whole
def test_a_visitor_who_waits_too_long_for_a_worker_is_asked_to_come_back(
    stuck: str, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(photos.Worker, "kill_if_late", lambda worker: None)
        patch.setattr(photos, "RENDER_SECONDS", 0.1)
        answer = visitor.get(stuck)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == "This picture is still being made. Try again in a moment.\n"
    assert visitor.get("/thumbnail/Trip/two.jpg").status == 200
    assert visitor.get(stuck).status == 503  # its worker is killed at last


def test_a_thumbnail_that_two_workers_made_at_once_is_sent(
    visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = visitor.get("/thumbnail/Trip/two.jpg")
    find = photos.Library.rendition

    def find_and_replace(*arguments: Any) -> photos.Made:
        made = find(*arguments)
        shutil.copyfile(made.path, f"{made.path}.new")
        os.replace(f"{made.path}.new", made.path)
        return made

    monkeypatch.setattr(photos.Library, "rendition", find_and_replace)
    again = visitor.get("/thumbnail/Trip/two.jpg")
    assert (again.status, again.body) == (200, first.body)
