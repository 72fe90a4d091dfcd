"""Pages that are kept: with every change they are as if they were made anew."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from drawing import draw, exif
from processes import eventually
from visiting import PASSWORD, Client

import photos

pytestmark = pytest.mark.usefixtures("patient")

PAGES = ("/", "/album/Trip/", "/album/Trip/Beach/", "/album/Drafts/", "/album/Family/")
WHO = ("", "anna", "olga")  # a visitor, a user, the owner


class Clock:
    today = dt.date(2026, 11, 28)

    def __call__(self) -> dt.date:
        return self.today


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[photos.Site]:
    """A site whose pages are warm: each was asked for twice."""
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    monkeypatch.setattr(photos, "LISTING_SECONDS", 0.0)
    monkeypatch.setattr(photos.Library, "expect", lambda library, items: None)
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    for name in ("Trip/one.jpg", "Trip/Beach/sand.jpg", "Drafts.hidden/x.jpg"):
        draw(tmp_path / name, exif=exif("2024:04:14 10:00:00"))
    draw(tmp_path / "Family.private" / "us.jpg")
    users = photos.UserStore(tmp_path / photos.STATE_FOLDER)
    photos.make_state_folder(tmp_path / photos.STATE_FOLDER)
    users.register("olga", PASSWORD.encode(), owner=True)
    users.register("anna", PASSWORD.encode())
    site = photos.create_app(
        tmp_path / photos.STATE_FOLDER,
        config=photos.Config(),
        background=False,
        today=clock,
    )
    yield site
    site.close()


Seen = dict[tuple[str, str], list[tuple[int, str]]]


def see_all(clients: list[Client]) -> Seen:
    """Return what each client gets for each page, in two languages."""
    languages = ("en", "de")
    return {
        (page, language): [
            (answer.status, answer.text)
            for answer in (client.get(page, Accept_Language=language) for client in clients)
        ]
        for page in PAGES
        for language in languages
    }


def statuses(seen: Seen) -> list[list[int]]:
    return [[status for status, _ in answers] for answers in seen.values()]


def rename(before: str, after: str) -> Callable[[Path], object]:
    return lambda root: (root / before).rename(root / after)


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


def remove_anna(root: Path) -> None:
    photos.UserStore(root / photos.STATE_FOLDER).remove("anna")


def set_title(root: Path) -> None:
    photos.write_config(root / photos.STATE_FOLDER, photos.Config(title="Our pictures"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "an album becomes private": rename("Trip", "Trip.private"),
    "an album becomes unlisted": rename("Trip", "Trip.hidden"),
    "an album becomes public": rename("Drafts.hidden", "Drafts"),
    "an inner album becomes private": rename("Trip/Beach", "Trip/Beach.private"),
    "an album is for nobody known": rename("Family.private", "Family.private+zoe"),
    "an album has had its end": rename("Drafts.hidden", "Drafts.hidden-until-2026-11-27"),
    "a photo becomes private": rename("Trip/one.jpg", "Trip/one.jpg.private"),
    "a photo is added": lambda root: draw(root / "Trip" / "two.jpg"),
    "a photo is added far below": lambda root: draw(root / "Trip/Beach/Far/Away/new.jpg"),
    "a photo is taken away": lambda root: (root / "Trip" / "one.jpg").unlink(),
    "the last photo of an album goes": lambda root: (root / "Trip/Beach/sand.jpg").unlink(),
    "a photo is written in place": lambda root: draw(
        root / "Trip" / "one.jpg", colour="red", size=(90, 30)
    ),
    "an album has a text": write("Trip/album.txt", "A long journey\n\none.jpg: The first"),
    "the site has another title": set_title,
    "a user is removed": remove_anna,
}


@pytest.mark.whole
@pytest.mark.parametrize("listed", [photos.ALBUMS_LISTED, 1])
@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_a_kept_page_is_as_if_it_were_made_anew(
    tmp_path: Path,
    site: photos.Site,
    clock: Clock,
    change: str,
    listed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plenty = photos.ALBUMS_LISTED
    monkeypatch.setattr(photos, "ALBUMS_LISTED", listed)
    clients = [Client(site) for _ in WHO]
    for client, name in zip(clients, WHO, strict=True):
        if name:
            assert client.log_in(name).status == 303
    see_all(clients)  # reads the photos
    before = see_all(clients)
    assert before == see_all(clients)
    CHANGES[change](tmp_path)
    first = see_all(clients)
    assert first != before
    after = see_all(clients)  # with what was read meanwhile
    monkeypatch.setattr(photos, "ALBUMS_LISTED", plenty)
    anew = photos.create_app(
        tmp_path / photos.STATE_FOLDER,
        config=photos.read_config(site._state) or photos.Config(),
        background=False,
        today=clock,
    )
    try:
        others = [Client(anew) for _ in clients]
        for client, other in zip(clients, others, strict=True):
            other.cookies = client.cookies
        assert see_all(others) == after
        assert statuses(first) == statuses(after)
    finally:
        anew.close()


@pytest.mark.whole
def test_a_kept_page_ends_with_the_day_in_its_name(
    tmp_path: Path, site: photos.Site, clock: Clock
) -> None:
    (tmp_path / "Drafts.hidden").rename(tmp_path / "Drafts.hidden-until-2026-11-28")
    client = Client(site)
    assert [client.get("/album/Drafts/").status for _ in range(3)] == [200] * 3
    user = Client(site)
    assert user.log_in("anna").status == 303
    front = user.get("/").text
    clock.today += dt.timedelta(days=1)
    assert client.get("/album/Drafts/").status == 404
    assert user.get("/").text != front  # its badge says private now


def test_an_unchanged_page_is_made_once(
    site: photos.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(site)
    first = client.get("/album/Trip/")
    client.get("/album/Trip/")

    def fail(*_: object, **__: object) -> bytes:
        raise AssertionError("the page was made again")

    monkeypatch.setattr(photos.Site, "_render", fail)
    assert client.get("/album/Trip/") == first
    assert client.get("/album/Trip/", If_None_Match=first.headers["etag"]).status == 304


@pytest.fixture
def front(tmp_path: Path, site: photos.Site, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Somebody whose front page was made of folders that need only be compared."""
    monkeypatch.setattr(photos, "TICK", 0.0)
    client = Client(site)
    client.get("/album/Trip/")  # reads it
    client.get("/album/Trip/Beach/")
    pages = [client.get("/") for _ in range(3)]
    time.sleep(0.05)  # more than a tick of the file system
    with monkeypatch.context() as patch:
        patch.setattr(photos.os, "scandir", lambda *_: pytest.fail("listed again"))
        patch.setattr(photos.Folders, "as_listed", lambda *_: pytest.fail("compared anew"))
        assert client.get("/") == pages[-1]
    return client


@pytest.mark.parametrize(
    "change",
    [
        "an album becomes private",
        "an album becomes public",
        "an inner album becomes private",
        "a photo becomes private",
        "a photo is added",
        "a photo is taken away",
        "the last photo of an album goes",
        "an album has a text",
    ],
)
def test_a_front_page_of_folders_that_are_only_compared_tells_of_each_change(
    tmp_path: Path, site: photos.Site, clock: Clock, front: Client, change: str
) -> None:
    before = front.get("/").text
    CHANGES[change](tmp_path)
    first = front.get("/").text
    if change not in (
        "a photo is added",
        "an album becomes public",
    ):  # which wait to be read
        assert first != before
    front.get("/album/Trip/" if "public" not in change else "/album/Drafts/")
    after = front.get("/").text
    assert after != before
    anew = photos.create_app(
        site._state, config=photos.Config(), background=False, today=clock
    )
    try:
        assert Client(anew).get("/").text == after
    finally:
        anew.close()


def test_a_front_page_of_folders_that_are_only_compared_tells_what_was_written_in_place(
    tmp_path: Path, front: Client
) -> None:
    draw(tmp_path / "Trip/Beach/sand.jpg", exif=exif("2031:04:14 10:00:00"))
    assert "2031" in front.get("/album/Trip/Beach/").text  # which lists and reads it
    assert "2031" in front.get("/").text
    (tmp_path / "album.txt").write_text("Our library\n\nAll of it")
    assert "All of it" in front.get("/").text
    (tmp_path / "album.txt").write_text("Our library\n\nAnd more")
    assert "And more" in front.get("/").text


def test_what_is_learned_of_a_photo_that_no_card_shows_makes_no_page_again(
    tmp_path: Path, site: photos.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "Trip" / "two.jpg", exif=exif("2024:04:14 11:00:00"))
    client = Client(site)
    client.get("/album/Trip/")
    first, inner = client.get("/"), client.get("/album/Trip/")
    identity = photos.identity_text((tmp_path / "Trip" / "two.jpg").stat())
    info = site._library.index.get(identity)
    assert info is not None
    site._library.index.put(identity, dataclasses.replace(info, colour="#abcdef"))
    assert client.get("/album/Trip/").text != inner.text
    with monkeypatch.context() as patch:
        patch.setattr(photos.Site, "_render", lambda *_, **__: pytest.fail("made again"))
        assert client.get("/").text == first.text
    site._library.index.put(
        identity, dataclasses.replace(info, taken="2030-01-01T00:00:00")
    )
    assert "2030" in client.get("/").text


# While others read


@dataclasses.dataclass(frozen=True)
class Step:
    """A change, and what each page says from then on to somebody."""

    change: Callable[[Path, Clock], object]
    pages: dict[tuple[str, str], tuple[int, str, str]]  # status; what it has, and has not


def expire(root: Path, clock: Clock) -> None:
    clock.today += dt.timedelta(days=1)


STEPS = (
    Step(
        lambda root, clock: rename("Trip", "Trip.private")(root),
        {
            ("", "/"): (200, "Party", "Trip"),
            ("", "/album/Trip/"): (404, "", "one.jpg"),
            ("", "/feed.atom"): (200, "Party", "Trip"),
            ("anna", "/album/Trip/"): (200, "one.jpg", "two.jpg"),
            ("anna", "/"): (200, "Trip", ""),
        },
    ),
    Step(
        lambda root, clock: draw(root / "Trip.private" / "two.jpg"),
        {
            ("", "/album/Trip/"): (404, "", "two.jpg"),
            ("anna", "/album/Trip/"): (200, "two.jpg", "A long journey"),
        },
    ),
    Step(
        lambda root, clock: write("Trip.private/album.txt", "A long journey")(root),
        {
            ("", "/"): (200, "Party", "A long journey"),
            ("anna", "/album/Trip/"): (200, "A long journey", ""),
            ("anna", "/"): (200, "A long journey", ""),
        },
    ),
    Step(
        lambda root, clock: rename("Trip.private", "Trip")(root),
        {
            ("", "/"): (200, "A long journey", ""),
            ("", "/album/Trip/"): (200, "two.jpg", ""),
            ("", "/feed.atom"): (200, "two.jpg", ""),
        },
    ),
    Step(
        expire,
        {
            ("", "/album/Party/"): (404, "", "cake.jpg"),
            ("anna", "/album/Party/"): (200, "cake.jpg", ""),
            ("", "/album/Trip/"): (200, "two.jpg", ""),
        },
    ),
    Step(
        lambda root, clock: set_title(root),
        {
            ("", "/"): (200, "Our pictures", ""),
            ("anna", "/album/Trip/"): (200, "Our pictures", ""),
        },
    ),
)


class Reader(threading.Thread):
    """Somebody who asks for the pages of a step again and again, and complains of what is stale."""

    def __init__(self, clients: dict[str, Client], now: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self.clients, self.now = clients, now
        self.complaints: list[object] = []
        self.rounds = [0] * (len(STEPS) + 1)

    def run(self) -> None:
        while self.now() < len(STEPS):
            step = self.now()
            for (who, page), expected in STEPS[max(0, step)].pages.items():
                answer = self.clients[who].get(page)
                status, has, lacks = expected
                is_right = answer.status == status and has in answer.text
                is_stale = lacks != "" and lacks in answer.text
                if step >= 0 and self.now() == step and (is_stale or not is_right):
                    self.complaints.append((step, who, page, answer))
            self.rounds[step] += 1


@pytest.mark.whole
def test_what_changes_while_many_read_is_never_stale(
    tmp_path: Path, site: photos.Site, clock: Clock
) -> None:
    draw(tmp_path / f"Party.hidden-until-{clock.today}" / "cake.jpg")
    draw(tmp_path / "Party at home" / "cake.jpg")
    clients = {who: Client(site) for who in ("", "anna")}
    assert clients["anna"].log_in("anna").status == 303
    clients[""].get("/album/Party%20at%20home/")  # reads it
    see_all(list(clients.values()))
    step = -1  # before the first change
    readers = [Reader(clients, lambda: step) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for at in range(len(STEPS)):
            step = -1
            STEPS[at].change(tmp_path, clock)
            step = at
            # Two rounds each: one that makes the pages, one that finds them kept.
            eventually(lambda at=at: all(reader.rounds[at] > 1 for reader in readers), 60)
    finally:
        step = len(STEPS)
        for reader in readers:
            reader.join(30)
    assert [complaint for reader in readers for complaint in reader.complaints] == []


@pytest.mark.whole
def test_a_page_that_several_ask_for_at_once_is_made_once() -> None:
    kept, made = photos.kept_pages(), []
    ready = threading.Barrier(8)

    def make() -> photos.Document:
        made.append(1)
        time.sleep(0.05)  # so that the others come meanwhile
        return photos.Document(b"a page")

    def ask(_: int) -> photos.Document:
        ready.wait(10)
        return kept.made(("/",), ("inputs",), make)

    with ThreadPoolExecutor(8) as pool:
        documents = list(pool.map(ask, range(8)))
    assert made == [1] and {document.body for document in documents} == {b"a page"}


def test_a_page_that_could_not_be_made_is_made_for_the_next() -> None:
    kept = photos.kept_pages()

    def fail() -> bytes:
        raise OSError

    for _ in range(2):
        with pytest.raises(OSError):
            kept.made((), (), fail)
    page = photos.Document(b"a page")
    assert kept.made((), (), lambda: page) is page


@pytest.mark.whole
def test_the_feed_and_the_flags_are_made_once(
    tmp_path: Path, site: photos.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, visitor = Client(site), Client(site)
    assert owner.log_in("olga").status == 303
    (tmp_path / "Trip" / "Beach").rename(tmp_path / "Trip" / "Beach.privat")
    for _ in range(2):
        assert "Beach.privat" in owner.get("/").text
        feed = visitor.get("/feed.atom")
    with monkeypatch.context() as patch:
        for name in ("flags", "recent_items"):
            patch.setattr(photos.Library, name, lambda *_: pytest.fail("made again"))
        assert "Beach.privat" in owner.get("/").text
        assert visitor.get("/feed.atom") == feed == owner.get("/feed.atom")
        etag = feed.headers["etag"]
        assert visitor.get("/feed.atom", If_None_Match=etag).status == 304
    (tmp_path / "Trip" / "Beach.privat").rename(tmp_path / "Trip" / "Beach")
    assert "Beach.privat" not in owner.get("/").text
    draw(tmp_path / "Trip" / "new.jpg")
    visitor.get("/album/Trip/")  # reads it
    assert "new.jpg" in visitor.get("/feed.atom", If_None_Match=feed.headers["etag"]).text


def test_a_file_with_a_name_that_is_not_understood_is_flagged_at_the_next_page(
    tmp_path: Path, site: photos.Site
) -> None:
    owner = Client(site)
    assert owner.log_in("olga").status == 303
    owner.get("/")
    path = tmp_path / "Trip" / "Beach" / "sand.jpg"
    for name in ("sand.jpg.private copy", "notes.arw.private copy"):
        path = path.rename(path.with_name(name))
        assert name in owner.get("/").text


def test_kept_pages_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "KEPT_BYTES", 1000)
    kept = photos.kept_pages()
    for number in range(100):
        kept.put((number % 7,), (number,), photos.Document(b"x" * 300))
    there = [number for number in range(100) if kept.get((number % 7,), (number,))]
    assert there == [97, 98, 99]


@pytest.mark.whole
def test_a_file_that_is_still_being_copied_is_asked_for_until_it_is_read(
    tmp_path: Path, site: photos.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 3.0)
    (tmp_path / "Trip" / "new.jpg").write_bytes(b"no picture")
    client = Client(site)
    client.get("/album/Trip/")
    problem = lambda: "This file cannot be shown" in client.get("/album/Trip/").text  # noqa: E731
    assert not problem()
    eventually(problem)


@pytest.mark.whole
def test_another_public_address_is_on_every_page(site: photos.Site) -> None:
    visitor = Client(site)
    for address in ("https://quiet-lake.example", "https://new-hill.example"):
        site.use_public_address(address)
        for path in ("/", "/album/Trip/", "/album/Trip/one.jpg", "/feed.atom"):
            pages = [visitor.get(path).body.decode() for _ in range(3)]
            assert all(f"{address}/" in page for page in pages)
            assert sum(page.count(".example/") for page in pages) == sum(
                page.count(f"{address}/") for page in pages
            )


class Compared:
    """Something that is equal to all others of its kind, and counts how often that is asked."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return isinstance(other, Compared)

    __hash__ = None  # type: ignore[assignment]


def test_what_is_equal_to_what_a_page_was_made_from_is_compared_once() -> None:
    kept, document = photos.kept_pages(), photos.Document(b"page")
    kept.put(("key",), (Compared(),), document)
    again = (Compared(),)
    assert kept.get(("key",), again) is document
    assert Compared.times == 1
    assert kept.get(("key",), again) is document
    assert Compared.times == 1
