"""Albums: what a principal finds: counts, dates, covers and order, and renditions when asked for."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from drawing import draw, exif
from looking import (
    Open,
    albums,
    items_below,
    look,
    made,
    names,
    place_at,
    read,
    rendition,
    tree,
)
from PIL import Image
from processes import eventually

import photos
import renditions

PUBLIC, HIDDEN, PRIVATE = photos.Visibility


# Dates


def item(name: str, taken: str = "", mtime: float = 0.0) -> photos.Item:
    file = photos.File(name, name, name, 1, mtime, mtime)
    return photos.Item((name,), file, renditions.Info(kind="photo", taken=taken))


def test_the_date_is_that_of_the_metadata_else_of_the_name_else_of_the_file() -> None:
    mtime = dt.datetime(2020, 2, 2, tzinfo=dt.UTC).timestamp()
    assert item("20240107_110258.jpg", "2023-01-01T10:00:00", mtime).taken == dt.datetime(
        2023, 1, 1, 10
    )
    assert item("20240107_110258.jpg", "", mtime).taken == dt.datetime(
        2024, 1, 7, 11, 2, 58
    )
    assert item("a.jpg", "", mtime).taken.timestamp() == mtime
    assert item("a.jpg", "", mtime).taken.tzinfo


def test_cameras_without_a_time_zone_are_read_in_that_of_most_photos() -> None:
    items = [
        item("camera", "2024-04-14T12:30:00"),
        item("phone 1", "2024-04-14T12:00:00+07:00"),
        item("phone 2", "2024-04-14T13:00:00+07:00"),
        item("home", "2024-04-14T07:15:00+02:00"),
    ]
    zone = photos.usual_zone(items)
    items.sort(key=lambda each: photos.instant(each.taken, zone))
    assert [each.title for each in items] == ["phone 1", "home", "camera", "phone 2"]
    alone = item("camera", "2024-04-14T12:30:00")
    moment = photos.instant(alone.taken, photos.usual_zone([alone]))
    assert moment == dt.datetime(2024, 4, 14, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize("mtime", [1e18, -1e18])
def test_an_absurd_time_of_a_file_is_one_that_a_calendar_knows(mtime: float) -> None:
    moment = dt.datetime.fromtimestamp(photos.plausible(mtime), tz=dt.UTC)
    assert moment.astimezone().year in range(1, 10_000)


# What each kind of visitor sees


@pytest.fixture
def mixed(library: Path) -> Path:
    """The library with newer and better photos where visitors may not see them."""
    draw(library / "Trip" / "Inner.private" / "cover.jpg", exif=exif("2090:01:01 10:00:00"))
    draw(library / "Trip" / "Inner.hidden" / "old.jpg", exif=exif("1990:01:01 10:00:00"))
    draw(library / "Home" / "home.jpg", exif=exif("2024:12:24 10:00:00"))
    draw(library / "Outer" / "Only.private" / "a.jpg", exif=exif("2091:01:01 10:00:00"))
    (library / "Home" / "cover.jpg").symlink_to("../Secret.private/faces.jpg")
    (library / "Empty").mkdir()
    return library


def told_by(album: photos.Album) -> dict[str, object]:
    """Return all that an album tells, with its items and the albums below."""
    children = [told_by(child) for child in album.albums]
    return {**vars(album), "list_items": album.items, "albums": children}


def test_a_visitor_finds_public_albums_and_counts_dates_and_covers_of_these_alone(
    mixed: Path, quiet: Open
) -> None:
    opened = quiet()
    front = look(opened)
    assert albums(front) == ["Trip", "Home"]
    assert (front.photos, front.videos) == (5, 0)
    trip = look(opened, "Trip")
    assert albums(trip) == ["Beach"]
    assert trip.photos == 3
    assert trip.first and trip.first.year == 2024
    assert names(look(opened, "Home")) == ["home.jpg"]
    assert [child.photos for child in front.albums] == [3, 1]
    assert [child.cover and child.cover.file.name for child in front.albums] == [
        "one.jpg",
        "home.jpg",
    ]
    told = repr(told_by(front))
    assert not [
        word
        for word in ("private", "hidden", "faces", "(2090", "(2091", "(1990")
        if word in told
    ]


def added(path: Path) -> int:
    """Return when a file was put where it is, s since the epoch."""
    return int(path.stat().st_ctime)


def last_added(folder: Path) -> int:
    """Return when the newest file below a folder was put there."""
    return max(added(path) for path in folder.rglob("*.*") if path.is_file())


@pytest.mark.whole
def test_the_newest_moment_of_an_album_is_of_what_somebody_may_see(
    mixed: Path, quiet: Open
) -> None:
    late, before = mixed / "Trip" / "Inner.private" / "late.jpg", last_added(mixed)
    eventually(lambda: added(draw(late)) > before)
    opened = quiet()
    seen, known = look(opened), look(opened, user=True)
    assert known.last_added == known.albums[1].last_added == added(late)
    assert (
        0 < seen.last_added == max(item.added for item in items_below(seen)) < added(late)
    )
    assert {item.file.name: item.added for item in known.items} == {
        "loose.jpg": added(mixed / "loose.jpg")
    }
    assert look(opened, "Empty").last_added == 0


def test_copying_a_photo_with_its_old_dates_adds_it_now(library: Path, quiet: Open) -> None:
    old = draw(library / "Trip" / "old.jpg")
    os.utime(old, (1e9, 1e9))
    item = next(item for item in look(quiet(), "Trip").items if item.file.name == "old.jpg")
    assert item.file.mtime == 1e9
    assert item.added == added(old) > time.time() - 60


def recent(library: photos.Library) -> list[str]:
    """Return the names of what was added last, as a visitor finds it."""
    items = library.recent_items(place_at(library), photos.VISITOR)
    return [item.file.name for item in items]


def test_the_newest_are_those_of_all_albums_in_any_order(
    mixed: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "FEED_ITEMS", 3)
    opened = quiet()
    items = list(items_below(look(opened)))
    for turn in range(len(items)):
        for at, item in enumerate(items):
            added = 1e9 + (3 * at + turn) % len(items)
            info = dataclasses.replace(item.facts, added=added)
            opened.index.put(item.file.identity, info)
        all_items = sorted(items_below(look(opened)), key=lambda item: -item.added)
        assert recent(opened) == [item.file.name for item in all_items[:3]]


def test_only_the_items_of_the_albums_asked_for_last_stay_in_memory(
    mixed: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = quiet()
    before = [item.file.name for item in items_below(look(opened))]
    monkeypatch.setattr(photos, "ALBUMS_LISTED", 1)
    for _ in range(2):
        assert [item.file.name for item in items_below(look(opened))] == before
        assert len(opened._listed) == 1
    monkeypatch.setattr(photos, "ALBUMS_LISTED", 64)
    for number in range(3):  # what was listed before a change is forgotten
        for item in items_below(look(opened)):
            info = dataclasses.replace(item.facts, colour=f"#00000{number}")
            opened.index.put(item.file.identity, info)
        assert {item.facts.colour for item in items_below(look(opened))} == {info.colour}
        assert set(opened._listed) <= set(opened._derived)


@pytest.mark.whole
def test_the_newest_are_of_what_a_visitor_finds_and_the_last_added_goes_first(
    mixed: Path, quiet: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ["loose.jpg", "one.jpg", "two.jpg", "sand.png", "home.jpg"]
    # What is written in place counts at once.
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    opened = quiet()
    assert sorted(recent(opened)) == sorted(found)
    two, before = mixed / "Trip" / "two.jpg", last_added(mixed)
    eventually(lambda: os.utime(two, (1e9, 1e9)) or added(two) > before)  # its ctime is now
    read(opened)
    monkeypatch.setattr(photos, "FEED_ITEMS", 3)
    newest = recent(opened)
    assert len(newest) == 3 and newest[0] == "two.jpg"
    draw(mixed / "Trip" / "unread.jpg")
    assert recent(opened)[0] == "two.jpg"


def test_a_user_finds_everything_and_sees_who_else_may(mixed: Path, quiet: Open) -> None:
    opened = quiet()
    front = look(opened, user=True)
    assert albums(front) == ["Outer", "Trip", "Home", "Secret", "Drafts"]
    assert [child.rule.visibility for child in front.albums] == [
        PUBLIC,
        PUBLIC,
        PUBLIC,
        PRIVATE,
        HIDDEN,
    ]
    assert front.photos == 11
    trip = look(opened, "Trip", user=True)
    assert albums(trip) == ["Inner.private", "Beach", "Inner"]
    assert (trip.first and trip.first.year, trip.last and trip.last.year) == (1990, 2090)
    assert names(look(opened, "Home", user=True)) == ["cover.jpg", "home.jpg"]


def test_who_has_the_link_sees_a_hidden_album_but_not_what_is_private_in_it(
    library: Path, quiet: Open
) -> None:
    draw(library / "Drafts.hidden" / "Worse.private" / "a.jpg")
    draw(library / "Drafts.hidden" / "Better" / "b.jpg")
    opened = quiet()
    assert place_at(opened, "Drafts", "Better").rule.visibility == HIDDEN
    album = look(opened, "Drafts")
    assert (albums(album), names(album), album.photos) == (["Better"], ["draft.jpg"], 2)


def test_an_album_and_its_private_twin_are_two_albums(library: Path, quiet: Open) -> None:
    draw(library / "Trip.private" / "three.jpg")
    opened = quiet()
    assert names(look(opened, "Trip")) == ["one.jpg", "two.jpg"]
    assert names(look(opened, "Trip.private", user=True)) == ["three.jpg"]
    assert [child.title for child in look(opened, user=True).albums].count("Trip") == 2


# Order and covers


def test_photos_are_shown_oldest_first_and_albums_newest_first(
    tmp_path: Path, quiet: Open
) -> None:
    root = tmp_path / "Sorted"
    draw(root / "A" / "IMG_10.jpg", exif=exif("2024:05:06 07:08:09"))
    draw(root / "A" / "IMG_2.jpg", exif=exif("2024:05:06 07:08:09"))
    draw(root / "A" / "20240505_120000.png")
    os.utime(draw(root / "A" / "z.png"), (86400, 86400))
    draw(root / "B" / "b.jpg", exif=exif("2025:05:06 07:08:09"))
    draw(root / "C" / "Deep" / "c.jpg", exif=exif("2026:05:06 07:08:09"))
    draw(root / "C 10" / "c.jpg", exif=exif("2025:05:06 07:08:09"))
    draw(root / "C 9" / "c.jpg", exif=exif("2025:05:06 07:08:09"))
    opened = quiet(root)
    assert names(look(opened, "A")) == [
        "z.png",
        "20240505_120000.png",
        "IMG_2.jpg",
        "IMG_10.jpg",
    ]
    assert albums(look(opened)) == ["C", "B", "C 9", "C 10", "A"]


@pytest.mark.parametrize(
    ("files", "cover"),
    [
        (["1.jpg", "2.jpg"], "1.jpg"),
        (["1.jpg", "Cover.PNG"], "Cover.PNG"),
        (["1.jpg", "discover.jpg"], "1.jpg"),
        (["1.broken.jpg", "2.jpg"], "2.jpg"),
        (["1.cut.jpg", "2.jpg"], "2.jpg"),
        (["1.cut.jpg"], "1.cut.jpg"),
        (["1.broken.jpg", "cover.broken.jpg"], None),
    ],
)
def test_the_cover_is_the_photo_called_so_else_the_first_that_can_be_shown(
    files: list[str], cover: str | None, library: Path, open_library: Open
) -> None:
    for number, name in enumerate(files):
        path = draw(library / "New" / name, size=(200, 200))
        if "broken" in name:
            path.write_text("this is no photo")
        if "cut" in name:
            path.write_bytes(path.read_bytes()[:1000])
        os.utime(path, (number, number))
    album = look(read(open_library(workers=0), renditions.Purpose.THUMBNAILS), "New")
    assert sorted(names(album)) == sorted(files)
    assert (album.cover and album.cover.file.name) == cover


def test_the_cover_of_an_album_without_photos_is_that_of_its_newest_album(
    library: Path, quiet: Open
) -> None:
    draw(library / "Years" / "2001" / "a.jpg", exif=exif("2001:01:01 10:00:00"))
    draw(library / "Years" / "2002" / "b.jpg", exif=exif("2002:01:01 10:00:00"))
    cover = look(quiet(), "Years").cover
    assert cover and cover.address == ("Years", "2002", "b.jpg")


# Reading and rendering


def test_a_photo_that_is_written_in_place_is_read_again(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    opened = open_library()
    path = library / "Trip" / "one.jpg"
    before = opened.item(place_at(opened, "Trip", "one.jpg"))
    path.write_bytes(draw(library.parent / "other.jpg", size=(90, 70)).read_bytes())
    after = opened.item(place_at(opened, "Trip", "one.jpg"))
    assert before and before.info and after and after.info
    assert (before.info.width, after.info.width) == (60, 90)
    assert before.key != after.key
    assert [
        item.info for item in look(opened, "Trip").items if item.file.name == "one.jpg"
    ] == [after.info]


@pytest.mark.whole
def test_a_photo_replaced_under_its_name_with_old_dates_is_read_again(
    library: Path, open_library: Open
) -> None:
    opened = open_library()
    path = library / "Trip" / "one.jpg"
    at = path.stat()
    before = opened.item(place_at(opened, "Trip", "one.jpg"))
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert path.stat().st_size == at.st_size
    after = opened.item(place_at(opened, "Trip", "one.jpg"))
    assert before and after and before.key != after.key


@pytest.mark.whole
def test_a_file_that_is_still_being_copied_is_tried_again(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 600.0)
    opened = open_library()
    whole = draw(library.parent / "whole.png", size=(300, 200)).read_bytes()
    path = library / "Trip" / "new.png"
    path.write_bytes(whole[:20])

    def new() -> photos.Item:
        album = opened.album(place_at(opened, "Trip"), photos.VISITOR, patience=20)
        return next(item for item in album.items if item.file.name == "new.png")

    assert new().info is None, "listed, and not yet marked as bad"
    assert new().has_picture
    path.write_bytes(whole)
    info = new().info
    assert info and (info.width, info.problem) == (300, "")
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    path.write_bytes(whole[:20])
    info = new().info
    assert info and info.problem
    assert not new().has_picture
    assert photos.Upkeep(opened).problems()[0][0] == "Trip/new.png"


@pytest.mark.whole
def test_an_album_knows_all_that_its_workers_have_answered(
    open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = photos.Index.put

    def late(*args: Any) -> None:
        time.sleep(0.05)
        put(*args)

    monkeypatch.setattr(photos.Index, "put", late)
    opened = open_library()
    album = opened.album(place_at(opened, "Trip"), photos.VISITOR, patience=60)
    assert all(item.info for item in album.items)


@pytest.mark.whole
def test_renditions_are_made_when_they_are_asked_for_and_once(
    library: Path, open_library: Open
) -> None:
    draw(library / "Trip" / "large.jpg", size=(1000, 800))
    opened = open_library()
    item = opened.item(place_at(opened, "Trip", "large.jpg"))
    assert item
    thumbnail = rendition(opened, item, "320")
    assert made(opened) == {f"{item.key}-320.webp"}
    at = thumbnail.stat().st_mtime_ns
    assert rendition(opened, item, "preview").name == f"{item.key}-preview.webp"
    assert rendition(opened, item, "320").stat().st_mtime_ns == at
    with Image.open(rendition(opened, item, "full")) as image:
        assert image.size == (1000, 800)
    thumbnail.write_bytes(b"")  # what a power cut leaves
    assert rendition(opened, item, "320").stat().st_size > 0


@pytest.mark.whole
def test_what_has_no_picture_has_no_rendition(library: Path, open_library: Open) -> None:
    (library / "Trip" / "text.jpg").write_text("this is no photo")
    opened = open_library()
    item = opened.item(place_at(opened, "Trip", "text.jpg"))
    assert item and item.kind == "photo"
    with pytest.raises(photos.NoPicture, match="not a picture"):
        rendition(opened, item, "320")


def test_what_fails_for_the_moment_or_in_full_size_costs_no_photo_its_thumbnail(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    opened = read(open_library())
    file = place_at(opened, "loose.jpg").file
    assert file
    known = opened.index.get(file.identity)
    for purpose, retry in (
        (renditions.Purpose.FULL, renditions.NEVER),
        (renditions.Purpose.THUMBNAILS, renditions.AT_ONCE),
    ):
        job = photos.Job(file.identity, file.path, purpose, photos.Urgency.NOW)
        opened._learn(job, renditions.Info(problem="no memory", retry=retry))
        assert opened.index.get(file.identity) == known
    opened._learn(job, renditions.Info(problem="gave up", retry=renditions.AT_START))
    given_up = opened.index.get(file.identity)
    assert given_up and (given_up.kind, given_up.problem) == (photos.PHOTO, "gave up")


def test_when_too_many_wait_for_pictures_the_next_one_is_told_so(
    open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "WAITING_THREADS", 0)
    opened = open_library()
    with pytest.raises(photos.Busy):
        opened.item(place_at(opened, "Trip", "one.jpg"))


@pytest.mark.whole
def test_the_thumbnails_of_a_page_are_made_before_anybody_asks(open_library: Open) -> None:
    opened = open_library()
    album = opened.album(place_at(opened, "Trip"), photos.VISITOR, patience=20)
    opened.expect(album.items)
    eventually(lambda: made(opened) == {f"{item.key}-320.webp" for item in album.items})


def test_renaming_or_moving_an_album_makes_no_rendition_again(
    library: Path, quiet: Open
) -> None:
    opened = quiet()
    item = look(opened, "Trip").items[0]
    renditions.develop(item.file.path, renditions.Purpose.ALL, opened.cache)
    before = tree(opened.cache / renditions.RENDITIONS_FOLDER)
    (library / "Trip").rename(library / "Journey.hidden")
    (library / "Years").mkdir()
    (library / "Journey.hidden").rename(library / "Years" / "Journey.private")
    upkeep = photos.Upkeep(opened)
    assert upkeep.unread(0) == []
    renamed = look(opened, "Years", "Journey", user=True).items[0]
    assert rendition(opened, renamed, "320") == renditions.rendition_path(
        opened.cache, item.key, "320"
    )
    assert "one.jpg" not in [file.name for file in upkeep.unrendered(0)]
    (library / "Years" / "Journey.private" / "one.jpg").rename(library / "moved.jpg")
    moved = next(each for each in look(read(opened)).items if each.title == "moved.jpg")
    assert rendition(opened, moved, "320").exists()
    assert tree(opened.cache / renditions.RENDITIONS_FOLDER) == before


@pytest.mark.whole
def test_a_cache_that_is_deleted_while_the_server_runs_is_made_again(
    library: Path, open_library: Open
) -> None:
    opened = open_library()
    item = opened.item(place_at(opened, "Trip", "one.jpg"))
    assert item and rendition(opened, item, "320").exists()
    shutil.rmtree(opened.cache)
    assert rendition(opened, item, "320").exists()
    draw(library / "Trip" / "new.jpg")
    new = opened.item(place_at(opened, "Trip", "new.jpg"))
    assert new and rendition(opened, new, "preview").exists()
    photos.Upkeep(opened).prune()
    opened.close()
    opened = open_library()
    assert opened.item(place_at(opened, "Trip", "one.jpg")).key == item.key


# What is known after one more look at a file


@pytest.mark.parametrize(
    ("info", "purpose", "expected"),
    [
        (photos.Info(key="k", width=3), "facts", "before"),
        (photos.Info(key="k", width=3, colour="#123456"), "all", "info"),
        (
            photos.Info(key="k", problem="cut", partial=True, colour="#123456"),
            "all",
            "info",
        ),
        (photos.Info(problem="gave up"), "full", "before"),
        (photos.Info(problem="gave up"), "all", "failed"),
    ],
)
def test_one_more_look_at_a_file_loses_nothing_and_hides_no_failure(
    info: photos.Info, purpose: str, expected: str
) -> None:
    before = photos.Info(key="k", kind="photo", width=3, problem="damaged", partial=True)
    failed = dataclasses.replace(before, problem="gave up", partial=False)
    assert not failed.has_picture
    merged = photos.merge_infos(before, info, photos.Purpose(purpose))
    assert merged == {"before": before, "info": info, "failed": failed}[expected]


BRIGHT, PALE = "f00" * 3 + "00f" * 3, "888" * 6


@pytest.mark.parametrize(
    ("photos_of_album", "cover"),
    [
        ([("1", 6, 4, PALE), ("2", 6, 4, BRIGHT), ("3", 6, 4, PALE)], "2"),
        ([("1", 6, 4, PALE), ("2", 4, 6, BRIGHT), ("3", 6, 4, "")], "1"),
        ([("1", 9, 3, BRIGHT), ("2", 6, 4, PALE)], "2"),
        ([("1", 4, 6, BRIGHT), ("2", 9, 3, BRIGHT)], "1"),
        ([("Screenshot_2", 6, 4, BRIGHT), ("3", 6, 4, PALE)], "3"),
        ([*[(str(at), 6, 4, PALE) for at in range(8)], ("9", 6, 4, BRIGHT)], "0"),
        ([("1", 6, 4, BRIGHT), ("cover", 4, 6, PALE)], "cover"),
    ],
    ids="colourful portrait panorama unfit screenshot later named".split(),
)
def test_the_cover_is_the_most_colourful_of_the_first_photos(
    photos_of_album: list[tuple[str, int, int, str]], cover: str
) -> None:
    items = []
    for name, width, height, colours in photos_of_album:
        info = renditions.Info(kind="photo", width=width, height=height, sketch=colours)
        items.append(dataclasses.replace(item(f"{name}.jpg"), info=info))
    chosen = photos.choose_cover(items)
    assert chosen and chosen.title == f"{cover}.jpg"
