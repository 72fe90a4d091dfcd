"""The cache's budget: what is deleted of it, in which order, and that it is no more than needed."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from drawing import draw
from looking import Open, made, place_at, read, rendition

import photos
from renditions import RENDITIONS_FOLDER, Purpose

Usage = namedtuple("Usage", "total used free")
SetBudget = Callable[[float], None]


@pytest.fixture
def set_budget(monkeypatch: pytest.MonkeyPatch) -> SetBudget:
    """Sets how many bytes the cache may take."""

    def set_it(budget: float) -> None:
        total = budget * 100 / photos.CACHE_SHARE
        monkeypatch.setattr(photos.shutil, "disk_usage", lambda _: Usage(total, 0, total))

    return set_it


def fill(cache: Path, name: str, age: int, folder: str = RENDITIONS_FOLDER) -> Path:
    """Put a rendition of 1,000 bytes into a cache, last looked at so many seconds before others."""
    path = cache / folder / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(1000))
    os.utime(path, (1e9 - age, 1e9))
    return path


def left(paths: list[Path]) -> list[bool]:
    return [path.exists() for path in paths]


@pytest.mark.parametrize("budget", [10_000, 4000, 2500, 999])
def test_the_full_size_that_nobody_looked_at_for_longest_goes_first(
    budget: int, quiet: Open, set_budget: SetBudget
) -> None:
    cache = (opened := quiet()).cache
    ages = [30, 10, 50, 20, 40]
    paths = [fill(cache, f"{at}0-full.webp", age) for at, age in enumerate(ages)]
    set_budget(budget)
    photos.Upkeep(opened).trim()
    stay = sorted(ages)[: budget // 1000]
    assert left(paths) == [age in stay for age in ages]


def test_renditions_of_former_versions_go_first_and_thumbnails_last(
    quiet: Open, set_budget: SetBudget
) -> None:
    cache = (opened := quiet()).cache
    order = [
        fill(cache, "a0-320.webp", 1, folder="renditions-0"),
        fill(cache, "b0-full.webp", 40),
        fill(cache, "c0-full.webp", 30),
        fill(cache, "d0-preview.webp", 60),
        fill(cache, "e0-preview.webp", 50),
        fill(cache, "f0-640.webp", 80),
        fill(cache, "g0-320.webp", 70),
    ]
    for number in range(7, -1, -1):
        set_budget(number * 1000)
        photos.Upkeep(opened).trim()
        assert left(order) == [at >= 7 - number for at in range(7)]


@pytest.mark.whole
def test_what_a_visitor_has_just_looked_at_stays_where_the_disk_does_not_note_it(
    library: Path, open_library: Open, set_budget: SetBudget
) -> None:
    opened = read(open_library(), Purpose.ALL)
    items = [
        opened.item(place_at(opened, *address))
        for address in (("loose.jpg",), ("Trip", "one.jpg"), ("Trip", "two.jpg"))
    ]
    paths = [rendition(opened, item, "full") for item in items if item]
    for path in paths:
        os.utime(path, (1e9, 1e9))
    assert items[1] and rendition(opened, items[1], "full") == paths[1]
    opened.last_used = {paths[1].name: opened.last_used[paths[1].name]}
    upkeep = photos.Upkeep(opened)
    everything = sum(rendition.size for rendition in upkeep._renditions())
    set_budget(everything - 1 - paths[0].stat().st_size)
    upkeep.trim()
    assert left(paths) == [False, True, False]
    assert items[0] and rendition(opened, items[0], "full").exists(), "it is made again"


@pytest.mark.whole
def test_a_full_size_that_was_asked_for_is_counted_at_the_next_pass(
    open_library: Open, set_budget: SetBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SETTLE_SECONDS", "CALM_SECONDS"):
        monkeypatch.setattr(photos, name, 0.0)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    upkeep._tend()
    assert upkeep._is_at_rest() and len(made(opened)) == 12
    sizes = sum(rendition.size for rendition in upkeep._renditions())
    set_budget(sizes / photos.BUDGET_AHEAD + 1)
    upkeep._measure_at = 0  # the disk was larger a moment ago
    for address in (("loose.jpg",), ("Trip", "one.jpg"), ("Trip", "two.jpg")):
        item = opened.item(place_at(opened, *address))
        assert item
        rendition(opened, item, "full")
    assert len(made(opened)) == 15
    upkeep.close()
    is_closed = itertools.chain([False], itertools.repeat(True))  # after one pass
    monkeypatch.setattr(upkeep._closed, "is_set", is_closed.__next__)
    upkeep.run()
    assert sum(rendition.size for rendition in upkeep._renditions()) <= sizes / 0.9 + 1
    assert len({name for name in made(opened) if "full" not in name}) == 12


@pytest.mark.whole
def test_what_is_made_ahead_does_not_push_out_what_was_made_ahead(
    library: Path,
    open_library: Open,
    set_budget: SetBudget,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SETTLE_SECONDS", "CALM_SECONDS", "PASS_SECONDS"):
        monkeypatch.setattr(photos, name, 0.0)
    monkeypatch.setattr(photos, "BATCH", 1)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    set_budget(600)
    upkeep._tend()
    kept = made(opened)
    assert 0 < len(kept) < 12
    assert sum(rendition.size for rendition in upkeep._renditions()) <= 600
    asked = opened.renderings
    for _ in range(3):
        upkeep._tend()
    assert (made(opened), opened.renderings) == (kept, asked)
    assert upkeep._is_at_rest()
    item = opened.item(place_at(opened, "Trip", "one.jpg"))
    assert item and rendition(opened, item, "preview").exists(), "visitors see all the same"
    upkeep.trim()
    set_budget(10**6)
    shutil.rmtree(library / "Trip")
    for _ in range(3):
        upkeep.trim()
        upkeep._tend()
    assert len(made(opened)) == 6, "there is room again"


@pytest.mark.whole
def test_previews_that_went_for_want_of_room_are_made_once_there_is_room(
    library: Path,
    open_library: Open,
    set_budget: SetBudget,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SETTLE_SECONDS", "CALM_SECONDS", "LISTING_SECONDS", "TICK"):
        monkeypatch.setattr(photos, name, 0.0)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    set_budget(10**6)
    upkeep._tend()
    assert len(made(opened)) == 12
    for budget in (1000, 10**6):
        set_budget(budget)
        opened.renderings += 1
        upkeep.trim()
        assert len(made(opened)) < 12
    draw(library / "new.jpg")
    upkeep._tend()
    assert len(made(opened)) == 14


def test_two_servers_over_one_cache_delete_no_more_than_one(
    quiet: Open, set_budget: SetBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = (first := quiet()).cache
    second = quiet()
    paths = [fill(cache, f"{at:02}-full.webp", 100 - at) for at in range(40)]
    # Each server saw other visitors, and so would delete others.
    first.last_used = {path.name: 2e9 for path in paths[:20]}
    second.last_used = {path.name: 2e9 for path in paths[20:]}
    set_budget(20_000)
    both_have_counted = threading.Barrier(2)
    locked = photos.locked

    def wait_for_both(path: Path) -> object:
        both_have_counted.wait(10)
        return locked(path)

    monkeypatch.setattr(photos, "locked", wait_for_both)
    threads = [
        threading.Thread(target=photos.Upkeep(opened).trim) for opened in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(left(paths)) == 20


def test_a_cache_that_cannot_be_trimmed_is_told_of_once(
    quiet: Open,
    set_budget: SetBudget,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    opened = quiet()
    path = fill(opened.cache, "a0-full.webp", 0)
    set_budget(10)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(photos, "locked", refuse)
    for _ in range(3):
        photos.Upkeep(opened).trim()
    assert caplog.text.count("cannot be written: Read-only file system") == 1
    assert path.exists()


@pytest.mark.parametrize(
    ("text", "share"), [("1", 1), ("20", 20), ("35 %", 35), ("100", 100)]
)
def test_a_share_is_a_number_of_percent(text: str, share: int) -> None:
    assert photos.parse_setting("cache_share", text) == share


def test_the_share_of_the_disk_is_the_owners_to_choose(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos.shutil, "disk_usage", lambda _: Usage(20_000, 0, 0))
    opened = photos.open_library(library / ".photos", photos.Config(cache_share=10))
    paths = [fill(opened.cache, f"{at}0-full.webp", at) for at in range(4)]
    photos.Upkeep(opened).trim()
    opened.close()
    assert left(paths) == [True, True, False, False]


@pytest.mark.parametrize(("total", "count"), [(10**15, 1), (10**9, 3)])
def test_a_cache_far_below_its_budget_is_not_measured_after_each_rendering(
    total: int, count: int, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos.shutil, "disk_usage", lambda _: Usage(total, 0, total))
    opened = photos.open_library(library / ".photos", photos.Config(cache_share=10))
    upkeep = photos.Upkeep(opened)
    measured: list[None] = []
    renditions = upkeep._renditions
    monkeypatch.setattr(
        upkeep, "_renditions", lambda: measured.append(None) or renditions()
    )
    for _ in range(2):
        upkeep.trim()
        upkeep.trim()
        opened.renderings += 2
    upkeep.trim()
    opened.close()
    assert len(measured) == count
