"""In the server's loop, nothing is begun that may wait: whoever asks, and whatever has just changed."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import gzip
import hashlib
import itertools
import os
import re
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawing import draw, exif
from visiting import PASSWORD, Answer, Client, invite

import photos

pytestmark = pytest.mark.whole

# Events of the interpreter (docs.python.org/3/library/audit_events.html) of what may wait for a disk,
# another process or the clock.
WAITING_EVENTS = (
    "open",
    "os.",
    "fcntl.",
    "subprocess.",
    "tempfile.",
    "shutil.",
    "glob.",
    "time.sleep",
    "_thread.start",
    "socket.connect",
    "socket.getaddrinfo",
)


class Sensor:
    """Notes what may wait and is begun in the loop; while it is on."""

    def __init__(self, sent: Callable[[str], bool]) -> None:
        self._is_sent = sent  # says whether a file is one that the loop may send
        self.begun: list[str] = []
        self.taken: set[str] = set()  # locks that the loop took, by where they are made
        self.waited_in: dict[str, str] = {}  # locks in which somebody did what may wait
        self.held = threading.local()

    def note(self, what: str) -> None:
        """Note that something begins that may wait."""
        for lock in getattr(self.held, "locks", ()):
            self.waited_in.setdefault(lock, what)
        if photos.in_loop.get():
            self.begun.append(what)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take in an event of the interpreter."""
        if not event.startswith(WAITING_EVENTS):
            return
        path = arguments[0] if arguments else ""
        is_read = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if is_read and isinstance(path, (str, os.PathLike)) and self._is_sent(str(path)):
            return
        self.note(f"{event} {os.path.basename(str(path))[:14]}")

    def forget(self) -> None:
        """Begin anew, for another request."""
        self.begun, self.taken, self.waited_in = [], set(), {}

    @property
    def faults(self) -> list[str]:
        """What was begun, and each lock that the loop takes although somebody waits in it."""
        shared = self.taken & self.waited_in.keys()
        return [*self.begun, *(f"{lock}: {self.waited_in[lock]}" for lock in shared)]


SENSORS: list[Sensor] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    for sensor in SENSORS:
        sensor.hear(event, arguments)


sys.addaudithook(_hear)


def noted(sensor: Sensor, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that does the same as another, and notes it as what may wait."""

    def noting(*arguments: Any, **options: Any) -> Any:
        sensor.note(name)
        return call(*arguments, **options)

    return noting


def noted_threading(sensor: Sensor) -> types.ModuleType:
    """Return the module `threading`, of whose locks the sensor knows."""

    class Lock:
        def __init__(self) -> None:
            frame = sys._getframe(1)
            self.place = f"lock of {frame.f_code.co_qualname}, line {frame.f_lineno}"
            self._lock = threading.Lock()

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            is_taken = self._lock.acquire(blocking, timeout)
            if is_taken:
                if blocking and photos.in_loop.get():
                    sensor.taken.add(self.place)
                sensor.held.locks = [*getattr(sensor.held, "locks", ()), self.place]
            return is_taken

        def release(self) -> None:
            sensor.held.locks.remove(self.place)
            self._lock.release()

        def __enter__(self) -> bool:
            return self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

    class BoundedSemaphore(threading.BoundedSemaphore):
        def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
            if blocking:
                sensor.note("a semaphore")
            return super().acquire(blocking, timeout)

        __enter__ = acquire

    module = types.ModuleType("threading")
    vars(module).update(vars(threading))
    vars(module).update(Lock=Lock, BoundedSemaphore=BoundedSemaphore)
    return module


@pytest.fixture(scope="module")
def patches() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patches:
        yield patches


SECRET = re.compile("=[^;]*")


@dataclasses.dataclass
class World:
    """A site with everything that a request may need, and all who may ask."""

    site: photos.Site
    root: Path
    state: Path
    sensor: Sensor
    clients: dict[str, tuple[Client, str]]  # and the prefix of their share

    def ask(self, who: str, method: str, path: str, **headers: str) -> Answer:
        client, prefix = self.clients[who]
        cookies = dict(client.cookies)
        try:
            answer = client.request(method, f"{prefix}{path}", **headers)
            if cookie := answer.headers.get("set-cookie"):  # has the second in it
                answer.headers["set-cookie"] = SECRET.sub("=", cookie)
            return answer
        finally:
            client.cookies = cookies  # so that all ask as they are

    def ask_in_loop(self, *request: str, **headers: str) -> Answer | None:
        """Return what the loop answers; None: it leaves that to a thread."""
        before = photos.in_loop.set(True)
        try:
            return self.ask(*request, **headers)
        except photos.NeedsThread:
            return None
        finally:
            photos.in_loop.reset(before)


def furnish(root: Path) -> None:
    """Make albums that rest since long."""
    draw(root / "Trip" / "one.jpg", exif=exif())
    draw(root / "Trip" / "two.jpg", colour="#aa5500")
    draw(root / "Trip" / "Beach" / "sand.jpg")
    draw(root / "Other" / "other.jpg")
    draw(root / "Silly.private" / "face.jpg")
    draw(root / "Drafts.hidden" / "draft.jpg")
    draw(root / "Party.inbox" / "dance.jpg")
    draw(root / "Gone" / "gone.jpg")
    draw(root / "Moved" / "moved.jpg")
    with (root / "Trip" / "two.jpg").open("ab") as file:
        file.write(bytes(200_000))  # not read at once
    (root / "Trip" / "album.txt").write_text("Our trip\nOf last year\n")
    rest(root)


def rest(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        if photos.STATE_FOLDER not in path.parts:
            os.utime(path, (1e9, 1e9 + 0.5))
    os.utime(root, (1e9, 1e9 + 0.5))


PASSWORD_OF_SHARE = "forget me not"
PEOPLE = (
    "visitor",
    "user",
    "owner",
    "user of yesterday",
    "removed user",
    "guest",
    "guest who adds",
    "guest of an inbox",
    "guest with a password",
    "guest without the password",
    "guest of a dead share",
    "guest of an album that is gone",
    "guest of an album that was put back",
)


@contextlib.contextmanager
def old_token(seconds: float) -> Iterator[None]:
    now = time.time
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(photos.time, "time", lambda: now() - seconds)
        yield


def clients_of(site: photos.Site, root: Path, state: Path) -> dict[str, tuple[Client, str]]:
    users = photos.UserStore(state)
    tokens = photos.Tokens(photos.read_secret(state))

    def logged_in(name: str, epoch: str = "") -> Client:
        client = Client(site)
        token = tokens.issue(name, epoch or users.epoch(name) or "")
        client.cookies[f"photos-{tokens.site}"] = token
        return client

    clients = {"visitor": (Client(site), ""), "user": (logged_in("anna"), "")}
    clients["owner"] = logged_in("mira"), ""
    with old_token(2 * photos.RENEW_SECONDS):
        clients["user of yesterday"] = logged_in("anna"), ""
    clients["removed user"] = logged_in("bert", "0"), ""
    terms = {"creator": "mira"}
    guest = Client(site)
    clients["guest"] = guest, invite(state, "Trip", "a", **terms)
    clients["guest who adds"] = guest, invite(state, "Trip", "b", may_add=True, **terms)
    clients["guest of an inbox"] = guest, invite(state, "Party", "c", may_add=True, **terms)
    hashed = photos.hash_password(PASSWORD_OF_SHARE.encode())
    locked = invite(state, "Silly", "d", password=hashed, **terms)
    clients["guest without the password"] = guest, locked
    share = photos.ShareStore(state).labelled("d")[0]
    unlocked = Client(site)
    name = f"photos-unlock-{tokens.site}"
    unlocked.cookies[name] = photos.Tokens(
        photos.read_secret(state), photos.UNLOCKING
    ).issue(share.id, share.epoch)
    clients["guest with a password"] = unlocked, locked
    dead = invite(state, "Trip", "e", **terms | {"creator": "nobody"})
    clients["guest of a dead share"] = guest, dead
    clients["guest of an album that is gone"] = guest, invite(state, "Gone", "f", **terms)
    moved = invite(state, "Moved", "g", **terms)
    clients["guest of an album that was put back"] = guest, moved
    assert clients.keys() == set(PEOPLE)
    return clients


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, patches: pytest.MonkeyPatch
) -> Iterator[World]:
    root = tmp_path_factory.mktemp("loop") / "Album"
    furnish(root)
    state = root / photos.STATE_FOLDER

    def is_sent(path: str) -> bool:
        within_cache = path.startswith(f"{state}/cache/{photos.RENDITIONS_FOLDER}/")
        return within_cache or (path.startswith(f"{root}/") and "/.photos/" not in path)

    sensor = Sensor(is_sent)
    patch = patches.setattr
    patch(photos, "threading", noted_threading(sensor))
    patch(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    patch(photos, "READ_PATIENCE", 30)
    patch(photos, "ALBUMS_LISTED", 4)
    patch(photos, "LARGE_FOLDER", 1)
    patch(photos, "TICK", 0.0)
    for module, name in (
        (hashlib, "scrypt"),
        (gzip, "compress"),
        (threading.Condition, "wait"),
        (threading.Event, "wait"),
        (concurrent.futures, "wait"),
    ):
        patch(module, name, noted(sensor, name, getattr(module, name)))
    photos.make_state_folder(state)
    photos.write_config(state, photos.Config(title="Our photos"))
    users = photos.UserStore(state)
    users.register("mira", PASSWORD.encode(), owner=True)
    users.register("anna", PASSWORD.encode())
    site = photos.create_app(state, background=False)
    clients = clients_of(site, root, state)
    added = photos.AddedStore(photos.ShareStore(state))
    share = photos.ShareStore(state).labelled("c")[0]
    identity = photos.identity_on_disk(str(root / "Party.inbox" / "dance.jpg"))
    added.note(identity, f"share {share.id}", "dance.jpg", 1, "")
    made = World(site, root, state, sensor, clients)
    SENSORS.append(sensor)
    yield made
    SENSORS.remove(sensor)
    site.close()


PAGE = {"Accept_Encoding": "gzip", "Sec_Fetch_Site": "same-origin"}
# One of each kind for each route that the loop may answer.
REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "/", PAGE),
    ("GET", "/album/Trip/", PAGE),
    ("GET", "/album/Nowhere/", {}),
    ("GET", "/thumbnail/Trip/one.jpg", PAGE),
    ("GET", "/thumbnail/one.jpg?w=320", {}),
    ("GET", "/preview/dance.jpg", {"If_None_Match": "*"}),
    ("GET", "/photo/Trip/two.jpg", {}),
    ("HEAD", "/photo/Silly/face.jpg", {}),
    ("GET", "/download/two.jpg", {"Range": "bytes=0-99"}),
    ("GET", "/static/page.js", PAGE),
    ("GET", "/healthz", {}),
]
Disturbance = Callable[[World], contextlib.AbstractContextManager[None]]


def replace(path: Path, content: bytes) -> None:
    """Replace a file as the program does, without waiting for the disk."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


def rewritten(name: str, content: bytes | None = None) -> Disturbance:
    """Return what writes a state file anew, with another content or the same."""

    @contextlib.contextmanager
    def disturb(world: World) -> Iterator[None]:
        path = world.state / name
        before = path.read_bytes() if path.exists() else None
        replace(path, (before or b"{}") if content is None else content)
        yield
        if before is None:
            path.unlink()
        else:
            replace(path, before)

    return disturb


@contextlib.contextmanager
def nothing(world: World) -> Iterator[None]:
    yield


@contextlib.contextmanager
def a_new_photo(world: World) -> Iterator[None]:
    path = draw(world.root / "Trip" / "three.jpg", colour="#123456")
    yield
    path.unlink()


@contextlib.contextmanager
def a_new_photo_that_the_background_pass_has_seen(world: World) -> Iterator[None]:
    path = draw(world.root / "Trip" / "three.jpg", colour="#123456")
    rest(world.root)
    world.site._library.walk()
    yield
    path.unlink()


@contextlib.contextmanager
def a_new_album_that_the_background_pass_has_seen(world: World) -> Iterator[None]:
    path = world.root / "Trip" / "Evening"
    path.mkdir()
    rest(world.root)
    world.site._library.walk()
    yield
    path.rmdir()


@contextlib.contextmanager
def a_photo_written_over(world: World) -> Iterator[None]:
    path = world.root / "Trip" / "one.jpg"
    before = path.read_bytes()
    path.write_bytes(before + bytes(10))
    yield
    path.write_bytes(before)


@contextlib.contextmanager
def pipes_in_place_of_photos(world: World) -> Iterator[None]:
    path = world.root / "Trip" / "two.jpg"
    path.rename(world.state / "aside")
    os.mkfifo(path)
    yield
    path.unlink()
    (world.state / "aside").rename(path)


@contextlib.contextmanager
def a_renamed_album(world: World) -> Iterator[None]:
    (world.root / "Trip").rename(world.root / "Trip.private")
    yield
    (world.root / "Trip.private").rename(world.root / "Trip")


@contextlib.contextmanager
def a_share_whose_album_is_gone(world: World) -> Iterator[None]:
    (world.root / "Gone").rename(world.state / "aside")
    rest(world.root)
    world.site._library.walk()
    yield
    (world.state / "aside").rename(world.root / "Gone")


@contextlib.contextmanager
def a_share_whose_album_was_put_back(world: World) -> Iterator[None]:
    """In a library that cannot note it, so that each visit finds it anew."""
    path = world.root / "Moved"
    path.rename(world.state / "aside")
    draw(path / "moved.jpg", colour="#654321")
    rest(world.root)
    world.site._library.walk()
    with rewritten("shares.json", (world.state / "shares.json").read_bytes())(world):
        yield
    (path / "moved.jpg").unlink()
    path.rmdir()
    (world.state / "aside").rename(path)


@contextlib.contextmanager
def no_renditions(world: World) -> Iterator[None]:
    folder = world.state / "cache" / photos.RENDITIONS_FOLDER
    aside = world.state / "cache" / "aside"
    folder.rename(aside)
    yield
    if folder.exists():
        folder.rename(world.state / f"dropped {time.monotonic_ns()}")
    aside.rename(folder)


@contextlib.contextmanager
def an_index_that_makes_no_sense(world: World) -> Iterator[None]:
    index = world.site._library.index
    before = dict(index._entries)
    for identity in index._entries:
        index._entries[identity] = f'["{identity}", nonsense}}]\n'
    yield
    index._entries.update(before)


@contextlib.contextmanager
def pages_that_nobody_keeps(world: World) -> Iterator[None]:
    world.site._kept = photos.kept_pages()
    yield


@contextlib.contextmanager
def other_albums_asked_for(world: World) -> Iterator[None]:
    for path in ("/album/Other/", "/album/Drafts/", "/album/Gone/", "/album/Moved/"):
        assert world.ask("visitor", "GET", path).status == 200
    yield


@contextlib.contextmanager
def summaries_of_all_albums(world: World) -> Iterator[None]:
    library = world.site._library
    library.summarise(library.walk())
    yield


@contextlib.contextmanager
def another_day(world: World) -> Iterator[None]:
    folders = world.site._library.folders
    before = folders.circumstances
    later = dataclasses.replace(before(), today=before().today.replace(year=2100))
    folders.circumstances = lambda: later
    yield
    folders.circumstances = before


DAMAGE = b'{"version": 1, "users": {"mira": 3}, "shares": 4, "added": {"x": 1}}'
DISTURBANCES: dict[str, Disturbance] = {
    "nothing": nothing,
    **{
        f"{name} written": rewritten(name)
        for name in (
            "users.json",
            "shares.json",
            "added.json",
            "config.json",
            "cache/damaged.json",
        )
    },
    **{
        f"{name} damaged": rewritten(name, DAMAGE)
        for name in ("users.json", "shares.json", "added.json", "cache/damaged.json")
    },
    "config.json that is no JSON": rewritten("config.json", b"[" * 100_000),
}
DISTURBANCES |= {
    function.__name__.replace("_", " "): function
    for function in (
        a_new_photo,
        a_new_photo_that_the_background_pass_has_seen,
        a_new_album_that_the_background_pass_has_seen,
        a_photo_written_over,
        pipes_in_place_of_photos,
        a_renamed_album,
        a_share_whose_album_is_gone,
        a_share_whose_album_was_put_back,
        no_renditions,
        an_index_that_makes_no_sense,
        pages_that_nobody_keeps,
        other_albums_asked_for,
        summaries_of_all_albums,
        another_day,
    )
}


CASES = list(itertools.product(PEOPLE, REQUESTS))


@pytest.mark.parametrize("name", DISTURBANCES)
def test_nothing_that_may_wait_is_begun_in_the_loop(name: str, world: World) -> None:
    """And the loop answers as a thread does, whether the change was seen before or not.

    Half of the cases, another half at every second change: all would take a minute.
    """
    answers = 0
    for who, (method, path, headers) in CASES[list(DISTURBANCES).index(name) % 2 :: 2]:
        world.ask(who, method, path, **headers)
        world.sensor.forget()
        with DISTURBANCES[name](world):
            first = world.ask_in_loop(who, method, path, **headers)
            by_thread = world.ask(who, method, path, **headers)
            then = world.ask_in_loop(who, method, path, **headers)
        assert world.sensor.faults == [], f"{who}: {method} {path}"
        assert first in (None, by_thread), f"{who}: {method} {path}"
        assert then in (None, by_thread), f"{who}: {method} {path}"
        answers += (first is not None) + (then is not None)
    assert answers > 0  # else this test would look at nothing


def test_the_sensor_feels_what_may_wait(world: World) -> None:
    world.sensor.forget()
    lock, settings = photos.threading.Lock(), world.state / "config.json"
    with lock:
        settings.read_bytes()
    assert world.sensor.faults == []
    before = photos.in_loop.set(True)
    with lock:
        settings.read_bytes()
    photos.in_loop.reset(before)
    assert len(world.sensor.faults) == 2
    world.sensor.forget()
