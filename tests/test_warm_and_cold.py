"""A server that has kept much shows all visitors what one that has just started would show them."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import random
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from visiting import PASSWORD, Client, invite

import photos
import renditions

pytestmark = pytest.mark.whole

TODAY = dt.date(2026, 11, 28)
OLD = 1_400_000_000  # when the first folder was written
STEMS = ("one.jpg", "two.jpg", "film.mov", "cover.jpg", "raw.dng", "one.dng", "one.mov")
ALBUMS = ("Trip", "Beach", "Zoo")
KEYWORDS = (
    *("", "", "", ".private", ".hidden", ".private+anna", ".private+ben", ".inbox"),
    *(".hidden-until-2026-11-28", ".hidden-until-2026-11-29", ".private copy"),
)
TEXTS = (
    *("Beach\nWords", "\nsort: name", "A title\ncover: two.jpg\none.jpg: First", ""),
    "Zoo\none.jpg: Second",
)
USERS = {"olga": True, "anna": False, "ben": False}  # who of them is an owner
PLAIN_USERS = ("anna", "ben")


def facts_of(file: photos.File) -> renditions.Info:
    """Return facts that a worker might tell of a file, the same ones each time."""
    kind = photos.expected_kind(file.plain_name)
    taken = f"2024-0{1 + file.size % 9}-01T10:{file.size % 60:02}:00"
    return renditions.Info(
        key=f"{file.size:024x}",
        kind=kind,
        taken=taken if file.size % 4 else "",
        duration=2.0 if kind == renditions.VIDEO else 0.0,
        added=float(OLD + file.size % 997),
        changed=file.changed,
        caption="A caption" if file.size % 5 == 0 else "",
        problem="" if file.size % 7 else "odd",
        colour="#123456",
    )


class Disk:
    """A library on disk with users, links for guests, and a day; all changes go by one seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.root, self.outside = (
            folder,
            folder / "library",
            folder / "outside",
        )
        self.state = self.root / photos.STATE_FOLDER
        self.random = random.Random(seed)
        self.today = TODAY
        self.times = itertools.count(OLD, 1000)
        self.follow_symlinks = self.random.random() < 0.5
        self.is_in_place = False  # whether no folder tells of the last change
        self.log: list[str] = []
        self.users: photos.UserStore
        self.guests: list[str] = []
        self._build()

    def _build(self) -> None:
        for name in ("Trip/one.jpg", "Trip/Beach/two.jpg", "Trip/Beach/Zoo/one.jpg"):
            self.write(self.root / name)
        self.write(self.root / "Zoo.inbox" / "one.jpg")
        self.write(self.outside / "Trip" / "Beach" / "two.jpg")
        photos.make_state_folder(self.state)
        self.users = photos.UserStore(self.state)
        for name, is_owner in USERS.items():
            self.users.register(name, PASSWORD.encode(), owner=is_owner)
        self.guests = [invite(self.state, "Trip"), invite(self.state, "Trip/Beach")]
        self.guests.append(invite(self.state, "Zoo", may_add=True))
        self.settle()

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = self.random.randrange(10**6)
        path.write_bytes(b"x" * (1 + number % 5000))
        os.utime(path, (OLD - number * 100, OLD - number * 100))

    def folders(self) -> list[Path]:
        """Return all folders, links not followed, the state folder left out."""
        folders = []
        for top in (self.root, self.outside):
            for path, names, _ in os.walk(top):
                names[:] = sorted(name for name in names if name != photos.STATE_FOLDER)
                folders.append(Path(path))
        return folders

    def files(self) -> list[Path]:
        entries = [entry for folder in self.folders() for entry in sorted(folder.iterdir())]
        return [path for path in entries if path.is_file() and path.name != "album.txt"]

    def settle(self) -> None:
        """Let all folders have changed long ago, each at another moment."""
        for path in self.folders():
            if path.stat().st_mtime > OLD + 10**8:
                moment = next(self.times)
                os.utime(path, (moment, moment))

    def change(self) -> None:
        """Change something at random; what cannot be changed that way stays."""
        names = [name for name in dir(self) if name.startswith("_change_")]
        name = self.random.choice(
            names + ["_change_name"] * 4 + ["_change_who_added"] + ["_change_file_name"] * 2
        )
        try:
            getattr(self, name)()
        except (OSError, IndexError, AssertionError) as error:
            self.log.append(f"{name} failed: {error}")
        if not [path for path in self.files() if path.is_relative_to(self.root)]:
            self.write(self.root / "Trip" / "one.jpg")  # its disk would seem to be away
        self.settle()

    def _note(self, *words: object) -> None:
        self.log.append(" ".join(map(str, words)).replace(f"{self.folder}/", ""))

    def _folder(self) -> Path:
        own = (self.root, self.outside)
        return self.random.choice([path for path in self.folders() if path not in own])

    def _album_name(self) -> str:
        return self.random.choice(ALBUMS) + self.random.choice(KEYWORDS)

    def _file_name(self) -> str:
        stem = self.random.choice(STEMS)
        endings = ("", "", "", ".private", ".hidden", ".private+anna", ".private+ben")
        return stem + self.random.choice(endings)

    def _rename(self, before: Path, after: Path) -> None:
        self._note("rename", before, after)
        before.rename(after)

    def _change_name(self) -> None:
        folder = self._folder()
        self._rename(folder, folder.with_name(self._album_name()))

    def _change_place(self) -> None:
        self._rename(
            self._folder(), self.random.choice(self.folders()) / self._album_name()
        )

    def _change_file_name(self) -> None:
        file = self.random.choice(self.files())
        self._rename(file, file.with_name(self._file_name()))

    def _change_file_place(self) -> None:
        file = self.random.choice(self.files())
        self._rename(file, self.random.choice(self.folders()) / self._file_name())

    def _change_folder_link(self) -> None:
        link = self.random.choice(self.folders()) / self._album_name()
        target = self.random.choice(self.folders())
        self._note("link", link, target)
        link.symlink_to(target)

    def _change_file_link(self) -> None:
        link = self.random.choice(self.folders()) / self._file_name()
        target = self.random.choice(self.files())
        self._note("link", link, target)
        link.symlink_to(target)

    def _change_link_end(self) -> None:
        entries = [entry for folder in self.folders() for entry in sorted(folder.iterdir())]
        link = self.random.choice([path for path in entries if path.is_symlink()])
        self._note("unlink", link)
        link.unlink()

    def _change_by_swapping(self) -> None:
        one, two = self.random.sample(self.files(), 2)
        self._note("swap", one, two)
        one.rename(self.folder / "moment")
        two.rename(one)
        (self.folder / "moment").rename(two)

    def _change_by_deleting(self) -> None:
        file = self.random.choice(self.files())
        self._note("delete", file)
        file.unlink()

    def _change_by_deleting_a_folder(self) -> None:
        if len(self.folders()) > 9:
            folder = self._folder()
            self._note("delete", folder)
            shutil.rmtree(folder)

    def _change_by_adding(self) -> None:
        file = self.random.choice(self.folders()) / self._file_name()
        self._note("write", file)
        self.is_in_place = file.exists()
        self.write(file)

    def _change_by_adding_an_album(self) -> None:
        file = self.random.choice(self.folders()) / self._album_name() / self._file_name()
        self._note("write", file)
        self.write(file)

    def _change_in_place(self) -> None:
        file = self.random.choice(self.files())
        status = file.stat()
        self._note("write in place", file)
        self.is_in_place = True
        if self.random.random() < 0.5:
            file.write_bytes(b"y" * status.st_size)
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        else:
            self.write(file)

    def _change_words(self) -> None:
        text = self.random.choice(TEXTS)
        folder = self.random.choice(self.folders())
        self._note("words", folder, repr(text))
        self.is_in_place = (folder / "album.txt").exists()
        (folder / "album.txt").write_text(text)

    def _change_day(self) -> None:
        days = self.random.choice((1, 1, -1))
        self.today += dt.timedelta(days=days)
        self._note("day", self.today)

    def _change_user(self) -> None:
        name = self.random.choice(PLAIN_USERS)
        if name in self.users.registered():
            self._note("remove", name)
            self.users.remove(name)
        else:
            is_owner = self.random.random() < 0.3
            self._note("register", name, is_owner)
            self.users.register(name, PASSWORD.encode(), owner=is_owner)

    def _store(self) -> photos.ShareStore:
        return photos.ShareStore(self.state)

    def _change_share(self) -> None:
        store = self._store()
        if len(store.all()) > 2:
            share = self.random.choice(sorted(store.all(), key=lambda share: share.since))
            self._note("end of share of", share.album)
            store.end(share.id)
            return
        inside = [path for path in self.folders() if path.is_relative_to(self.root)]
        folder = self.random.choice(inside).relative_to(self.root)
        album = "/".join(photos.parse_name(name).title for name in folder.parts)
        until = self.random.choice((None, self.today, self.today + dt.timedelta(days=1)))
        self._note("share", album, until)
        terms: dict[str, Any] = {"until": until, "may_add": self.random.random() < 0.5}
        terms["label"] = f"Guest {next(self.times)}"
        self.guests = [*self.guests[-3:], invite(self.state, album, **terms)]

    def _change_who_added(self) -> None:
        shares = self._store()
        added, share = photos.AddedStore(shares), self.random.choice(shares.all())
        folders = photos.Folders(self.root, self.state)
        place = photos.Guests(shares, self.users, folders).album(share)
        own = [self.root.joinpath(*place.parts)] if place else []
        inside = [file for file in self.files() if file.parent in own]
        file = self.random.choice(inside or self.files())
        identity = photos.identity_text(file.stat())
        self._note("added by a guest of", share.album, file)
        if added.key(identity) and self.random.random() < 0.5:
            added.withdraw(identity)
        else:
            added.note(identity, f"share {share.id}", file.name, 1, "0" * 24)


class Pair:
    """A server that has run for long, and the servers with nothing kept that it is held against."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.opened: list[photos.Site] = []
        self.cache = disk.state / "cache"
        self.clients: dict[str, Client] = {}
        self.warm = self.open(self.cache)
        self.addresses: dict[str, None] = {}  # all that there were, in their order

    def open(self, cache: Path) -> photos.Site:
        cache.mkdir(parents=True, exist_ok=True)
        disk = self.disk
        library = photos.Library(
            disk.root,
            cache,
            follow_symlinks=disk.follow_symlinks,
            workers=0,
            circumstances=lambda: disk.users.circumstances(lambda: disk.today),
        )
        # Its own state stays in its place, wherever its cache lies.
        library.folders._state = Path(os.path.realpath(disk.state))
        site = photos.Site(disk.state, photos.Config(), library, disk.users)
        self.opened.append(site)
        return site

    def cold(self) -> photos.Site:
        """Return a server that has just started, and knows the same facts of files."""
        shutil.rmtree(self.disk.folder / "other", ignore_errors=True)
        cold = self.open(self.disk.folder / "other" / "cache")
        for _, folder in cold._library.folders.walk():
            for file in (*folder.files.values(), *folder.others.values()):
                info = self.warm._library.index.get(file.identity)
                if info:
                    cold._library.index.put(file.identity, info)
        return cold

    def learn(self, count: int) -> None:
        """Have the warm server know some of the files that it never read."""
        for file in photos.Upkeep(self.warm._library).unread(0)[:count]:
            self.warm._library.index.put(file.identity, facts_of(file))

    def restart(self, *, damages: bool) -> None:
        self.close()
        files = sorted(path for path in self.cache.iterdir() if path.is_file())
        if damages and files:
            path = self.disk.random.choice(files)
            self.disk._note("damage", path.name.partition("-")[0])
            content = path.read_bytes()
            at = self.disk.random.randrange(len(content) + 1)
            path.write_bytes(content[:at] + b"\x00" * self.disk.random.randrange(3))
        self.warm = self.open(self.cache)

    def close(self) -> None:
        for site in self.opened:
            site.close()
        self.opened.clear()

    def who(self) -> list[str]:
        return ["", *USERS, *self.disk.guests]

    def client(self, site: photos.Site, who: str) -> Client:
        """Return somebody's browser, logged in once for all servers."""
        client = Client(site)
        if who in USERS:
            kept = self.clients.setdefault(who, client)
            is_known = who in self.disk.users.registered()
            if is_known and b"/logout" not in client_of(site, kept).get("/").body:
                kept.cookies.clear()
                again = client_of(site, kept)
                again.log_in(who)
                kept.cookies = again.cookies
            client.cookies = dict(kept.cookies)
        return client

    def album_addresses(self) -> list[str]:
        """Return the addresses of all albums and files that there are, and of some that were."""
        disk = self.disk
        for path in (*disk.folders(), *disk.files()):
            if not path.is_relative_to(disk.root):
                continue
            parts = path.relative_to(disk.root).parts
            titles = [photos.parse_name(name).title for name in parts]
            is_album = path.is_dir()
            for start in range(3):
                for names in (titles[start:], parts[start:]):
                    address = "/".join(map(quote, names)) + ("/" if is_album else "")
                    self.addresses[address] = None
        everything = [*self.addresses]
        for address in everything[: -2 * 60]:
            del self.addresses[address]
        return [*self.addresses]

    def look(self, site: photos.Site, who: str, address: str) -> tuple[Any, ...]:
        """Return what somebody gets for one address."""
        client = self.client(site, who)
        prefix = who if who not in USERS else ""
        answer = client.get(prefix + address)
        headers = ("location", "cache-control", "content-type")
        return answer.status, answer.body, *(answer.headers.get(name) for name in headers)

    def requests(self) -> list[str]:
        """Return what to ask: pages and JSON of albums, and files."""
        wanted = ["/", "/api/album", "/feed.atom"]
        for address in self.album_addresses():
            if address.endswith("/"):
                wanted += [f"/album/{address}", f"/api/album/{address.rstrip('/')}"]
            else:
                wanted += [f"/download/{address}", f"/album/{address}"]
        return wanted

    def compare(self, share: float) -> None:
        """Hold the warm server against a cold one, for everybody."""
        cold = self.cold()
        requests = self.requests()
        for who in self.who():
            some = [
                *requests[:3],
                *self.disk.random.sample(requests, int(share * len(requests))),
            ]
            for address in some:
                warm, anew = (self.look(site, who, address) for site in (self.warm, cold))
                assert warm == anew, (who, address, *self.disk.log[-12:])
        cold.close()
        self.opened.remove(cold)

    def hurry(self) -> None:
        """Have somebody look in a hurry: nothing is found that a cold server would not show."""
        library, cold = self.warm._library, self.cold()
        for who in (photos.VISITOR, photos.Principal("anna"), photos.OWNER_PRINCIPAL):
            place = library.folders.locate((), who)
            whole = cold._library.folders.locate((), who)
            assert place and whole
            hurried = addresses_in(library.album(place, who, looking=-1))
            assert hurried <= addresses_in(cold._library.album(whole, who)), self.disk.log[
                -12:
            ]


def client_of(site: photos.Site, other: Client) -> Client:
    """Return a browser with the cookies of another one."""
    client = Client(site)
    client.cookies = dict(other.cookies)
    return client


def addresses_in(album: photos.Album) -> set[photos.Parts]:
    own = {album.address} - {()}
    return own.union(*map(addresses_in, album.albums))


def refuse(*_: object, **__: object) -> Path:
    """Answer as a server does that has no worker free: who may not open a file hears otherwise."""
    raise photos.Busy


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the times of folders believed at once: each change here comes with another one."""
    for name in ("TICK", "WHOLE_SECOND_TICK", "LISTING_SECONDS", "READ_PATIENCE"):
        monkeypatch.setattr(photos, name, 0.0)
    monkeypatch.setattr(photos, "SEARCH_SECONDS", -1.0)
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    monkeypatch.setattr(photos.Library, "expect", lambda library, items: None)
    monkeypatch.setattr(photos.Library, "_wait", refuse)


def live(folder: Path, seed: int, steps: int, share: float, summarises: float) -> Disk:
    """Have a server live through many changes, and compare after each."""
    disk = Disk(folder, seed)
    pair = Pair(disk)
    choose = disk.random.random
    try:
        for _ in range(steps):
            for _ in range(disk.random.choice((1, 1, 1, 2, 3))):
                disk.change()
            if disk.is_in_place or choose() < 0.1:
                pair.warm._library.walk()  # as the background pass does
            disk.is_in_place = False
            if choose() < 0.1:
                pair.restart(damages=choose() < 0.5)
            if choose() < 0.15:
                pair.hurry()
            if choose() < 0.8:
                pair.learn(disk.random.choice((1, 100, 100)))
            if choose() < summarises:
                pair.warm._library.summarise(pair.warm._library.walk())
            pair.compare(share)
    finally:
        pair.close()
    return disk


SIZES = {"small": 2000, "large": -1}  # above how many files a folder is large


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(2))
def test_a_warm_server_shows_what_a_cold_one_shows(
    tmp_path: Path, seed: int, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LARGE_FOLDER", SIZES[size])
    live(tmp_path, seed, steps=5, share=0.1, summarises=0.5)


@pytest.mark.whole
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(100, 104))
def test_a_warm_server_shows_what_a_cold_one_shows_for_long(
    tmp_path: Path, seed: int, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LARGE_FOLDER", SIZES[size])
    monkeypatch.setattr(photos, "ALBUMS_LISTED", 2)
    live(tmp_path, seed, steps=20, share=0.3, summarises=0.3)
