"""Failures: a picture that cannot be made is not tried at every request, and not given up for ever."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from looking import Open, place_at, rendition

import photos
from renditions import AT_ONCE, AT_START, NEVER, ONE_WIDTH, Purpose

Develop = Callable[[photos.Worker, str, Purpose], photos.Info]


class Machine:
    """A machine whose workers fail as it is told to, with a clock of its own."""

    def __init__(self, library: photos.Library, monkeypatch: pytest.MonkeyPatch) -> None:
        self.library = library
        self.problem: dict[str, Any] = {}
        self.purposes = set(Purpose)
        self.asked: list[Purpose] = []
        self.passed = 0.0
        develop, clock = photos.Worker.develop, time.monotonic
        monkeypatch.setattr(photos.time, "monotonic", lambda: clock() + self.passed)

        def fail(worker: photos.Worker, path: str, purpose: Purpose) -> photos.Info:
            self.asked.append(purpose)
            if self.problem and purpose in self.purposes:
                return photos.Info(kind=photos.PHOTO, **self.problem)
            return develop(worker, path, purpose)

        monkeypatch.setattr(photos.Worker, "develop", fail)

    def fails(self, retry: str, *purposes: Purpose) -> None:
        self.problem = {"problem": "it failed", "retry": retry}
        self.purposes = set(purposes)
        if Purpose.THUMBNAILS in purposes:
            self.purposes.update(ONE_WIDTH.values())

    def is_made(self, name: str, *address: str) -> bool:
        """Ask for a rendition as a visitor does."""
        place = place_at(self.library, *address)
        try:
            item = self.library.item(place, photos.purpose_of(name))
            assert item
            return rendition(self.library, item, name).exists()
        except (photos.NoPicture, photos.Busy):
            return False

    def jobs_for(self, requests: int, name: str, *address: str) -> int:
        """Return how many jobs of workers some requests cost, none of which gets a picture."""
        before = len(self.asked)
        for _ in range(requests):
            assert not self.is_made(name, *address)
        return len(self.asked) - before


@pytest.fixture
def machine(library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    opened = open_library()
    upkeep = photos.Upkeep(opened)
    list(opened.run(upkeep.unread(0), Purpose.FACTS))
    return Machine(opened, monkeypatch)


RENDERED = [("320", Purpose.THUMBNAILS), ("preview", Purpose.ALL), ("full", Purpose.FULL)]


@pytest.mark.parametrize("retry", [NEVER, AT_START, AT_ONCE])
@pytest.mark.parametrize(("name", "purpose"), RENDERED)
def test_a_picture_that_fails_costs_a_worker_once(
    name: str, purpose: Purpose, retry: str, machine: Machine
) -> None:
    machine.fails(retry, purpose)
    assert machine.jobs_for(20, name, "Trip", "one.jpg") == 1
    assert machine.jobs_for(1, name, "Trip", "two.jpg") == 1


@pytest.mark.parametrize("retry", [AT_START, AT_ONCE])
@pytest.mark.parametrize(("name", "purpose"), RENDERED)
def test_what_may_go_away_is_tried_again_after_pauses_that_grow(
    name: str, purpose: Purpose, retry: str, machine: Machine
) -> None:
    machine.fails(retry, purpose)
    assert machine.jobs_for(1, name, "Trip", "one.jpg") == 1
    pause = photos.FAILURE_PAUSES[retry]
    for _ in range(4):
        machine.passed += 0.9 * pause
        assert machine.jobs_for(5, name, "Trip", "one.jpg") == 0
        machine.passed += 0.2 * pause
        assert machine.jobs_for(5, name, "Trip", "one.jpg") == 1
        pause *= 4
    machine.passed += photos.LONGEST_FAILURE
    machine.problem = {}
    assert machine.is_made(name, "Trip", "one.jpg")
    assert machine.is_made("320", "Trip", "one.jpg")


def test_a_full_size_that_never_works_is_not_tried_again_until_the_file_changes(
    machine: Machine, library: Path
) -> None:
    machine.fails(NEVER, Purpose.FULL)
    assert machine.jobs_for(1, "full", "Trip", "one.jpg") == 1
    machine.passed += 10 * photos.LONGEST_FAILURE
    assert machine.jobs_for(5, "full", "Trip", "one.jpg") == 0
    assert machine.is_made("320", "Trip", "one.jpg")
    assert machine.is_made("preview", "Trip", "one.jpg")
    machine.problem = {}
    draw(library / "Trip" / "one.jpg", (90, 50))
    assert machine.is_made("full", "Trip", "one.jpg")


def test_a_full_size_is_tried_again_where_a_write_set_the_date_back(
    machine: Machine, library: Path
) -> None:
    path = library / "Trip" / "one.jpg"
    before = path.stat()
    machine.fails(NEVER, Purpose.FULL)
    assert machine.jobs_for(1, "full", "Trip", "one.jpg") == 1
    machine.problem = {}
    other = draw(library.parent / "new.jpg", (50, 30)).read_bytes()
    path.write_bytes(other.ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert machine.is_made("full", "Trip", "one.jpg")


@pytest.mark.whole
@pytest.mark.parametrize(
    "purposes",
    [(Purpose.FACTS, Purpose.THUMBNAILS, Purpose.ALL), (Purpose.THUMBNAILS, Purpose.ALL)],
    ids=["facts", "pixels"],
)
def test_the_background_pass_tries_again_after_minutes_what_a_killed_worker_was_at(
    purposes: tuple[Purpose, ...],
    machine: Machine,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CALM_SECONDS", "LISTING_SECONDS"):
        monkeypatch.setattr(photos, name, 0.0)
    upkeep = photos.Upkeep(machine.library)
    upkeep._tend()
    draw(library / "Trip" / "new.jpg")
    machine.fails(AT_START, *purposes)
    upkeep._tend()
    assert upkeep.problems() == [("Trip/new.jpg", "it failed")]
    machine.asked.clear()
    machine.passed += 60
    upkeep._tend()
    assert machine.asked == []
    assert upkeep._is_at_rest()
    machine.passed += 70
    assert not upkeep._is_at_rest()
    upkeep._tend()
    assert machine.asked == [Purpose.THUMBNAILS]
    machine.passed += 100
    assert upkeep._is_at_rest()
    machine.passed += 600
    machine.problem = {}
    assert not upkeep._is_at_rest()
    upkeep._tend()
    assert upkeep.problems() == []
    assert machine.is_made("preview", "Trip", "new.jpg")
    assert upkeep._is_at_rest()


def test_an_album_page_does_not_ask_again_for_what_has_just_failed(
    machine: Machine,
) -> None:
    machine.fails(AT_ONCE, Purpose.THUMBNAILS)
    album = machine.library.album(place_at(machine.library, "Trip"), photos.VISITOR)
    for item in album.items:
        machine.jobs_for(1, "320", *item.address)
    before = len(machine.asked)
    machine.library.expect(album.items)
    assert machine.library._renderer._jobs == {}
    assert len(machine.asked) == before


def test_failures_are_bounded_and_the_oldest_go_first(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "FAILURES_KEPT", 2)
    machine.fails(NEVER, Purpose.FULL)
    addresses = [("loose.jpg",), ("Trip", "one.jpg"), ("Trip", "two.jpg")]
    for address in addresses:
        assert machine.jobs_for(2, "full", *address) == 1
    assert len(machine.library._failures) == 2
    assert machine.jobs_for(1, "full", *addresses[-1]) == 0
    assert machine.jobs_for(1, "full", *addresses[0]) == 1
