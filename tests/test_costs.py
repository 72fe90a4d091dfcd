"""What a stranger's request may cost: heavy answers are few at a time, and no byte buys much."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from processes import eventually
from visiting import Answer, Client

import photos

PHOTOS = 150


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While this event is not set, nobody is told an album's facts, and workers make nothing."""
    gate = threading.Event()
    gate.set()
    tell, develop = photos.album_as_json, photos.Worker.develop

    def tell_later(*arguments: Any) -> dict[str, Any]:
        gate.wait(20)
        return tell(*arguments)

    def develop_later(*arguments: Any) -> photos.Info:
        gate.wait(20)
        return develop(*arguments)

    monkeypatch.setattr(photos, "album_as_json", tell_later)
    monkeypatch.setattr(photos.Worker, "develop", develop_later)
    yield gate
    gate.set()


Ask = Callable[[str], list[Answer]]


@pytest.fixture
def ask(visitor: Client) -> Iterator[Ask]:
    """Has somebody ask for something from a thread; returns the list for the answer."""
    threads = []

    def ask(address: str) -> list[Answer]:
        answers: list[Answer] = []
        get = lambda: answers.append(visitor.get(address))  # noqa: E731
        threads.append(threading.Thread(target=get))
        threads[-1].start()
        return answers

    yield ask
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def places_left(places: Any) -> int:
    return places._value


def test_two_are_told_all_of_an_album_at_a_time_and_the_third_to_come_back(
    site: photos.Site, visitor: Client, gate: threading.Event, ask: Ask
) -> None:
    assert visitor.get("/album/Trip/").status == 200
    gate.clear()
    first, second = ask("/api/album/Trip"), ask("/api/album/Trip")
    eventually(lambda: places_left(site._heavy_answers) == 0)
    third = visitor.get("/api/album/Trip")
    assert (third.status, third.headers["retry-after"]) == (503, "1")
    assert visitor.get("/album/Trip/").status == 200
    gate.set()
    eventually(lambda: first and second)
    assert first[0].status == second[0].status == 200
    assert visitor.get("/api/album/Trip").status == 200


def test_two_full_size_pictures_are_waited_for_at_a_time_and_what_is_ready_is_sent(
    library: Path, site: photos.Site, visitor: Client, gate: threading.Event, ask: Ask
) -> None:
    for name in "abcd":
        path = library / "Slides" / f"{name}.tif"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (60, 40), (ord(name), 9, 9)).save(path)
    address = "/preview/Slides/{}.tif?size=full"
    assert visitor.get("/album/Slides/").status == 200
    for name in "abcd":
        assert visitor.get(f"/thumbnail/Slides/{name}.tif").status == 200
    assert visitor.get(address.format("a")).status == 200
    gate.clear()
    first, second = ask(address.format("b")), ask(address.format("c"))
    eventually(lambda: places_left(site._library._full_waiting) == 0)
    third = visitor.get(address.format("d"))
    assert (third.status, third.headers["retry-after"]) == (503, "1")
    assert visitor.get(address.format("a")).status == 200
    gate.set()
    eventually(lambda: first and second)
    assert first[0].status == second[0].status == 200
    assert visitor.get(address.format("d")).status == 200
