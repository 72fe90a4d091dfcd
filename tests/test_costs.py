"""What a stranger's request may cost: heavy answers are few at a time, and no byte buys much."""

from __future__ import annotations

import gc
import os
import statistics
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from PIL import Image
from processes import eventually
from visiting import Answer, Client

import photos

PHOTOS = 150
HEAD_BYTES = 80  # the first line without the address, and a Host
LONG = 12_000  # bytes of a header: with the rest of a head, nearly as many as are taken in
PATHS = (
    "Many/",
    "Many/007.jpg",
    "Secret/",
    "Nothing/nobody.jpg",
    "a/" * 1500,
    "%00",
    "%ff/",
)
QUERIES = ("", "?page=2", "?page=999999", f"?page={'9' * 4000}", f"?{'v=a&w=1&' * 400}")
PICTURES = ("?w=320", "?w=99999999", "?size=full", f"?v={'a' * 4000}", "?size=%00&w=%ff")
ADDRESSES = {
    "/": [f"/{query}" for query in QUERIES],
    "/static/<name>": [
        "/static/style.css",
        "/static/..%2fphotos.py",
        f"/static/{'a' * 4000}",
    ],
    "/timeline/<year>/": ["/timeline/2024/", "/timeline/0000/", f"/timeline/{'9' * 4000}/"],
    "/timeline/<year>/<month>/": [
        *("/timeline/2024/05/", "/timeline/2024/13/", "/timeline/2024/05/?page=2"),
        f"/timeline/2024/{'9' * 4000}/",
    ],
    "/search": [
        *("/search?q=many", "/search?q=2024&page=2", "/search?q=%00%ff", "/search"),
        f"/search?q={'a+' * 2000}",
        f"/search?q={'%EF%B7%BA' * 450}",  # becomes 18 letters each
    ],
    "/login": ["/login", f"/login?next=/{'a' * 4000}", "/login?next=//evil.example.org"],
} | {
    rule: [rule, f"{rule}?{'a=b&' * 900}"]
    for rule in (
        "/shares",
        "/timeline/",
        "/feed.atom",
        "/manifest.webmanifest",
        "/healthz",
        "/api/album",
    )
}
HEADERS = (
    {},
    {"Accept_Encoding": "gzip"},
    {"Accept_Encoding": "gzip;q=0.1," * (LONG // 11)},
    {"Accept_Language": "de-AT;q=0.123, " * (LONG // 15)},
    {"Cookie": "a=b; " * (LONG // 5)},
    {"Range": f"bytes={','.join(f'{at}-' for at in range(LONG // 6))}"},
    {"Range": f"bytes=-{'9' * 4000}"},
    {"If_None_Match": '"a", ' * (LONG // 5)},
    {"If_Modified_Since": "Mon, 01 Jan 0001 00:00:00 GMT" * 100, "If_Range": "a" * LONG},
)
# What a request may cost: 1 is what an answer of three bytes does. A page of 100 photos that is made
# afresh costs 90.
MOST_UNITS = 400
MOST_UNITS_A_BYTE = 0.01  # of all requests together
MOST_MEMORY = 3 << 20  # bytes, at the peak of a request


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


@pytest.mark.whole
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


@pytest.mark.whole
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


class Making:
    """Counts who makes a photo's page or lays out an album, and lets nobody end before it is told to."""

    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate
        self.running = self.most = 0
        self.lock = threading.Lock()

    def wrap(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def make_later(*arguments: Any, **values: Any) -> Any:
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
            self.gate.wait(20)
            with self.lock:
                self.running -= 1
            return make(*arguments, **values)

        return make_later


@pytest.fixture
def making(
    site: photos.Site,
    visitor: Client,
    monkeypatch: pytest.MonkeyPatch,
    gate: threading.Event,
) -> Making:
    """All photos were read, and no page is kept."""
    monkeypatch.setattr(photos, "READ_PATIENCE", 20.0)
    monkeypatch.setattr(photos.Library, "expect", lambda library, items: None)
    for address in ("/", "/album/Trip/", "/photo/Trip/one.jpg"):
        visitor.get(address)
    # So many locks that no two pages wait for the same one by chance.
    monkeypatch.setattr(photos, "MADE_AT_ONCE", 1 << 16)
    site._kept = photos.kept_pages()
    making = Making(gate)
    for name in ("_make_photo_page", "_make_album_page", "_make_feed"):
        monkeypatch.setattr(photos.Site, name, making.wrap(getattr(photos.Site, name)))
    monkeypatch.setattr(photos, "contents_of", making.wrap(photos.contents_of))
    return making


COLD = (
    "/album/Trip/one.jpg",
    "/album/Trip/two.jpg",
    "/album/Trip/",
    "/feed.atom",
    "/zip/Trip",
)


@pytest.mark.whole
@pytest.mark.parametrize("first", COLD)
def test_two_pages_are_made_at_a_time_and_what_is_kept_is_sent_meanwhile(
    visitor: Client, making: Making, ask: Ask, first: str
) -> None:
    front = visitor.get("/")
    photo = visitor.get("/photo/Trip/one.jpg")
    making.gate.clear()
    answers = [ask(address) for address in (first, *COLD)]
    eventually(lambda: making.running == 2)
    assert visitor.get("/") == front
    assert visitor.get("/", If_None_Match=front.headers["etag"]).status == 304
    assert visitor.get("/photo/Trip/one.jpg").body == photo.body
    assert making.running == 2
    making.gate.set()
    eventually(lambda: all(answers))
    assert [answer[0].status for answer in answers] == [200] * len(answers)
    assert making.most == 2


@pytest.mark.whole
def test_who_waits_for_a_page_that_is_being_made_takes_no_turn(
    site: photos.Site, making: Making, ask: Ask
) -> None:
    making.gate.clear()
    same = [ask("/album/Trip/"), ask("/album/Trip/")]
    eventually(lambda: photos.TURNS - places_left(site._turns_wanted) == 2)
    eventually(lambda: making.running == 1)
    time.sleep(0.2)
    others = [ask(address) for address in ("/feed.atom", "/timeline/", "/search?q=one")]
    eventually(lambda: making.running == 2)
    making.gate.set()
    answers = [*same, *others]
    eventually(lambda: all(answers))
    assert [answer[0].status for answer in answers] == [200] * len(answers)


@pytest.mark.whole
def test_who_comes_when_too_many_wait_for_their_turn_is_told_to_come_back(
    site: photos.Site,
    visitor: Client,
    making: Making,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(site, "_turns_wanted", threading.BoundedSemaphore(4))
    making.gate.clear()
    answers = [ask("/album/Trip/one.jpg") for _ in range(4)]
    eventually(lambda: places_left(site._turns_wanted) == 0)
    for address in COLD:
        refused = visitor.get(address)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1"), address
    making.gate.set()
    eventually(lambda: all(answers))
    assert [answer[0].status for answer in answers] == [200] * 4
    assert visitor.get("/album/Trip/").status == 200


def addresses_of(route: photos.Route) -> list[str]:
    """Return what a stranger may ask of a route; a route that is new has to be added above."""
    start, variable, _ = route.rule.partition("<path")
    if not variable:
        return ADDRESSES[route.rule]
    queries = QUERIES if start in ("/album/", "/api/album/") else PICTURES
    return [f"{start}{path}{query}" for path in PATHS for query in queries]


def strange_requests() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield addresses with headers: all addresses once, and the plainest of each route with each header."""
    for route in photos.ROUTES:
        if route.method == "GET":
            addresses = addresses_of(route)
            yield from ((address, {}) for address in addresses)
            yield from ((addresses[0], headers) for headers in HEADERS)
            yield from ((addresses[-1], headers) for headers in HEADERS)


def bytes_of(address: str, headers: dict[str, str]) -> int:
    """Return how many bytes a stranger sends for a request."""
    lines = (len(name) + len(value) + 4 for name, value in headers.items())
    return HEAD_BYTES + len(address) + sum(lines)


@pytest.fixture
def crowd(library: Path, site: photos.Site, patient: None) -> Client:
    """A stranger before an album of many photos, all of which were read."""
    first = draw(library / "Many" / "000.jpg")
    for number in range(1, PHOTOS):
        picture = first.read_bytes() + str(number).encode()
        (library / "Many" / f"{number:03}.jpg").write_bytes(picture)
    stranger = Client(site)
    assert stranger.get("/album/Many/").status == 200
    return stranger


def cpu_of(ask: Callable[[], Any]) -> float:
    gc.disable()  # a collection goes through all that earlier tests have left
    try:
        started = time.thread_time()
        ask()
        return time.thread_time() - started
    finally:
        gc.enable()


@pytest.mark.whole
def test_no_byte_of_a_stranger_buys_much_of_the_processor(crowd: Client) -> None:
    unit = statistics.median(cpu_of(lambda: crowd.get("/healthz")) for _ in range(50))
    costs, total = {}, 0
    for address, headers in strange_requests():
        # the first time and the next
        for _ in range(2):
            spent = cpu_of(lambda: crowd.get(address, **headers)) / unit  # noqa: B023
            costs[address[:60], str(headers)[:60], len(costs)] = spent
            total += bytes_of(address, headers)
    dear = sorted(((cost, *what) for what, cost in costs.items()), reverse=True)[:5]
    assert dear[0][0] < MOST_UNITS, dear
    assert sum(costs.values()) / total < MOST_UNITS_A_BYTE


@pytest.mark.whole
def test_no_request_of_a_stranger_takes_much_memory_or_leaves_anything_open(
    crowd: Client,
) -> None:
    for address, headers in strange_requests():
        crowd.get(address, **headers)  # what is kept, and workers
    threads = threading.active_count()
    open_files = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    tracemalloc.start()
    try:
        for address, headers in strange_requests():
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            crowd.get(address, **headers)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < MOST_MEMORY, (address[:80], str(headers)[:80])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < MOST_MEMORY
    assert threading.active_count() <= threads
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) <= open_files
