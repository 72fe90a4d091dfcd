"""A server that is killed: links for guests and photos that are being added are whole afterwards."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from drawing import draw

import photos

KILLS = 200  # both ways of laying a file into an album take half of them
LONGEST = 0.08  # s until the kill; the first link is made and the first file added within
GUEST = "share grandma"
PIECE = 1000
SIZE = 2500

pytestmark = [
    pytest.mark.whole,
    # Of the threads of other tests.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def content(number: int) -> bytes:
    """Return what a file of that number holds: no two are alike in any piece."""
    return Random(number).randbytes(SIZE)


class Scene:
    """A library with an inbox, in which a guest adds files; `look_into` takes each for a photo."""

    def __init__(self, root: Path) -> None:
        self.root, self.state, self.album = root, root / ".photos", root / "Party.inbox"
        self.state.mkdir(parents=True)
        self.originals = [
            draw(self.album / "first.jpg"),
            draw(self.album / "photo 1.jpg", colour="red"),
            draw(root / "Trip.private" / "one.jpg", colour="blue"),
        ]
        self.before = [self.seen(path) for path in self.originals]
        photos.read_secret(self.state)

    @staticmethod
    def seen(path: Path) -> tuple[Any, ...]:
        stat = path.stat()
        return stat.st_ino, stat.st_mtime_ns, stat.st_mode, path.read_bytes()

    def incoming(self) -> photos.Incoming:
        info = photos.Info(kind=photos.PHOTO, media_type="image/jpeg", key="k")
        library: Any = SimpleNamespace(look_into=lambda path: info)
        return photos.Incoming(library, self.state, self.added(), photos.Config())

    def added(self) -> photos.AddedStore:
        return photos.AddedStore(photos.ShareStore(self.state))

    def upload(self, number: int) -> photos.Upload:
        name = f"photo {number % 3}.jpg"  # often one that others have
        modified = 1_600_000_000.0 + number
        return photos.Upload(GUEST, False, os.fspath(self.album), name, SIZE, modified)

    def add(self, incoming: photos.Incoming, number: int) -> photos.Added:
        """Add a file as the page does: ask where to go on, then send piece after piece."""
        state = incoming.receive(self.upload(number), 0, b"")
        while isinstance(state, int):
            piece = content(number)[state : state + PIECE]
            state = incoming.receive(self.upload(number), state, piece)
        return state

    def work(self, numbers: range) -> None:
        """Make and end links and add files, until this process is killed."""
        incoming, shares = self.incoming(), photos.ShareStore(self.state)
        folders = photos.Folders(self.root, self.state)
        users = photos.UserStore(self.state)
        guests = photos.Guests(shares, users, folders)
        place = folders.locate(("Trip",), photos.OWNER_PRINCIPAL)
        assert place
        for number in numbers:
            share = guests.make(place, label=f"link {number}", until=None)
            self.add(incoming, number)
            shares.end(share.id)

    def visible(self) -> list[Path]:
        """Return the files of the album that are no originals and that the site would show."""
        paths = [path for path in self.album.iterdir() if not photos.is_ignored(path.name)]
        return [path for path in paths if path not in self.originals]

    def check(self, wanted: set[bytes]) -> None:
        """Fail where anything is half, lost, changed or not noted."""
        assert [self.seen(path) for path in self.originals] == self.before
        identities = self.added().identities(GUEST)
        for path in self.visible():
            assert path.read_bytes() in wanted, path.name
            assert photos.identity_on_disk(os.fspath(path)) in identities, path.name
        labels = [share.label for share in photos.ShareStore(self.state).all()]
        assert all(label == "kept" or label.startswith("link ") for label in labels)


def run_until_killed(work: Callable[[], None], seconds: float) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)  # a child that ends by itself failed
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the process ended before it was killed"


def refuse_links(*_: Any) -> None:
    raise OSError(errno.EPERM, "no links here")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_kill_leaves_whole_files_and_an_upload_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    """Each kill is followed by what a phone does then: it sends the same files again."""
    scene = Scene(tmp_path / "Album")
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)
    random = Random(7)
    sent: set[bytes] = set()
    longest = LONGEST
    for kill in range(KILLS // 2):
        numbers = range(kill * 1000, kill * 1000 + 1000)
        wanted = sent | {content(number) for number in numbers[:60]}
        run_until_killed(lambda some=numbers: scene.work(some), random.uniform(0, longest))
        scene.check(wanted)
        begun = len(scene.visible()) - len(sent)
        if begun == 0:
            longest *= 1.05  # on a busy machine a process gets less far
        incoming = scene.incoming()
        for number in numbers[: begun + 1]:
            scene.add(incoming, number)
            sent.add(content(number))
        scene.check(wanted)
        contents = [path.read_bytes() for path in scene.visible()]
        assert sorted(contents) == sorted(sent)  # each once
        for share in photos.ShareStore(scene.state).all():
            photos.ShareStore(scene.state).end(share.id)
    assert len(sent) > KILLS // 2
    assert not list((scene.state / photos.INCOMING).iterdir())
