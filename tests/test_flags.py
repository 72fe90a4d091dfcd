"""Names that fail closed: flagged folders, who is told of them, and `check --as`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import pytest
from drawing import draw, exif
from visiting import PASSWORD, Client, Page, crawl, is_page

import photos

# As Finder, Explorer, sync clients, archivers and people name copies, with the better name.
COPIES = {
    "Silly faces.private copy": "Silly faces copy.private",
    "Silly faces.private copy 2": "Silly faces copy 2.private",
    "Silly faces.private - Copy": "Silly faces copy.private",
    "Silly faces.private - Copy (2)": "Silly faces copy 2.private",
    "Silly faces.private – Kopie": "Silly faces kopie.private",
    "Silly faces.private(1)": "Silly faces 1.private",
    "Silly faces.private (1)": "Silly faces 1.private",
    "Silly faces.private 2": "Silly faces 2.private",
    "Silly faces.private.bak": "Silly faces bak.private",
    "Silly faces.private.zip": "Silly faces zip.private",
    "Silly faces.private_old": "Silly faces _old.private",
    "Silly faces．private copy": "Silly faces copy.private",
    "Silly faces.private のコピー": "Silly faces のコピー.private",
    "Silly faces.private+anna copy": "Silly faces copy.private+anna",
    "Silly faces.hidden copy": "Silly faces copy.hidden",
    "Silly faces.hidden-until-31.12.2026": "Silly faces.hidden-until-2026-12-31",
    "Silly faces.private+zoe": "Silly faces.private+NAME",
    "Silly faces.private+anna+zoe": "Silly faces.private+anna",
}
LOOK_ALIKES = {
    "Trip (private)": "Trip.private",
    "private Trip": "Trip.private",
    "Trip.privat": "Trip.private",
    "Trip.pirvate": "Trip.private",
    "Reise versteckt": "Reise.hidden",
    "Voyage (privé)": "Voyage.private",
    "Viaje oculto": "Viaje.hidden",
    "Percutian peribadi": "Percutian.private",
    "旅行（私人）": "旅行.private",
    "旅行 隐藏": "旅行.hidden",
    "旅行（非公開）": "旅行.private",
    "Papierkorb": "Papierkorb.private",
    "Locked Folder": "Locked Folder.private",
}


@dataclasses.dataclass
class Scene:
    """A served library with the users anna, ben and the owner olga."""

    root: Path
    app: photos.Site
    users: photos.UserStore

    def client(self, who: str = "visitor") -> Client:
        client = Client(self.app)
        if who != "visitor":
            assert client.log_in(who).status == 303
        return client

    def check(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
        """Return the lines that `check` prints."""
        capsys.readouterr()
        folders = [
            "--library",
            os.fspath(self.root),
            "--state",
            os.fspath(self.root / ".photos"),
        ]
        assert photos.main([*folders, "check", *arguments]) == 0
        return capsys.readouterr().out.splitlines()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """The library of somebody who has one private album."""
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    monkeypatch.setattr(photos, "READ_PATIENCE", 30)
    root = tmp_path / "Album"
    draw(root / "Silly faces.private" / "zebra.jpg", exif=exif("1999:01:01 12:00:00"))
    draw(root / "Trip" / "one.jpg", colour="#aa5500", exif=exif("2024:05:06 07:08:09"))
    state = root / ".photos"
    photos.make_state_folder(state)
    users = photos.UserStore(state)
    for name in ("anna", "ben", "olga"):
        users.register(name, PASSWORD.encode(), owner=name == "olga")
    photos.write_config(state, photos.Config(title="Ours"))
    app = photos.create_app(state, background=False, today=lambda: dt.date(2026, 11, 28))
    yield Scene(root, app, users)
    app.close()


def copy_faces(scene: Scene, folder: str = "") -> None:
    for name in COPIES:
        shutil.copytree(scene.root / "Silly faces.private", scene.root / folder / name)


@pytest.mark.whole
@pytest.mark.parametrize("folder", ["", "Trip", "Trip/Deep"])
def test_no_copy_of_a_private_album_opens_for_a_visitor_or_a_user(
    folder: str, scene: Scene
) -> None:
    for client in (scene.client(), scene.client("anna"), scene.client("olga")):
        assert client.get("/").status == 200  # the copies are made while the site is open
    copy_faces(scene, folder)
    for who in ("visitor", "anna", "ben"):
        client = scene.client(who)
        answers = crawl(client, "/")
        zebras = {address for address in answers if "zebra" in address}
        assert all(address.split("/")[2] == "Silly%20faces" for address in zebras)
        assert (zebras == set()) == (who == "visitor")
        for name in COPIES:
            path = quote("/".join(filter(None, (folder, name))))
            for address in (f"album/{path}/", f"album/{path}", f"api/album/{path}"):
                answer = client.get(f"/{address}")
                if answer.status == 303:  # to the album that was private before
                    assert answer.headers["location"] == "/album/Silly%20faces/"
                    assert who != "visitor"
                else:
                    assert answer.status == 404 or (b"zebra" in answer.body and not folder)
            if folder:
                for kind in ("album", "photo", "thumbnail", "preview", "download"):
                    assert client.get(f"/{kind}/{path}/zebra.jpg").status == 404
    visitor = scene.client()
    assert "zebra" not in visitor.get("/feed.atom").text
    assert "Silly" not in visitor.get("/").text
    assert "1999" not in visitor.get("/").text


@pytest.mark.whole
def test_a_copy_without_its_original_opens_for_the_owner_alone(scene: Scene) -> None:
    shutil.rmtree(scene.root / "Silly faces.private")
    for name in COPIES:
        draw(scene.root / name / "zebra.jpg")
        for who in ("visitor", "anna", "ben", "olga"):
            client = scene.client(who)
            for start in (quote(name), "Silly%20faces"):
                for address in (f"album/{start}/zebra.jpg", f"photo/{start}/zebra.jpg"):
                    status = client.get(f"/{address}").status
                    assert (status in (200, 303)) == (who == "olga"), (name, who, status)
        shutil.rmtree(scene.root / name)


def notice(client: Client, address: str = "/") -> str:
    """Return the notice of a page as text, '' where it has none."""
    _, _, rest = client.get(address).text.partition('<details class="notice flags"')
    return unescape(rest.partition("</details>")[0])


@pytest.mark.whole
def test_the_owners_front_page_names_each_copy_with_a_better_name(scene: Scene) -> None:
    owner = scene.client("olga")
    assert notice(owner) == ""
    copy_faces(scene)
    copy_faces(scene, "Trip")
    lines = notice(owner).split("<li>")[1:]
    assert len(lines) == 2 * len(COPIES)
    for name, better in COPIES.items():
        for path in (name, f"Trip/{name}"):
            [line] = [line for line in lines if f"“{path}”" in line]
            assert f"“{better}”" in line
            assert line.startswith("Only you can open")
    for who in ("visitor", "anna", "ben"):
        text = scene.client(who).get("/").text
        assert notice(scene.client(who)) == ""
        assert "zoe" not in text and "To look at:" not in text
    assert notice(owner, "/album/Trip/") == ""  # the front page alone


@pytest.mark.whole
def test_the_notice_goes_when_the_names_are_mended(scene: Scene) -> None:
    owner = scene.client("olga")
    (scene.root / "Trip").rename(scene.root / "Trip.private+zoe")
    assert "zoe" in notice(owner)
    scene.users.register("zoe", PASSWORD.encode())
    assert notice(owner) == ""
    scene.users.remove("zoe")
    assert "zoe" in notice(owner)
    (scene.root / "Trip.private+zoe").rename(scene.root / "Trip.private+anna")
    assert notice(owner) == ""


@pytest.mark.whole
def test_flagged_folders_have_a_badge(scene: Scene) -> None:
    (scene.root / "Trip").rename(scene.root / "Trip.private copy")
    owner = scene.client("olga")
    for address in ("/", "/album/Trip/"):
        assert '<span class="badge flagged">Check name</span>' in owner.get(address).text
    (scene.root / "Trip.private copy").rename(scene.root / "Trip.private")
    for client in (owner, scene.client("anna")):
        for address in ("/", "/album/Trip/"):
            text = client.get(address).text
            assert "badge flagged" not in text and "badge private" in text


@pytest.mark.whole
def test_what_looks_as_if_privacy_was_meant_stays_public_and_is_named(scene: Scene) -> None:
    for name in LOOK_ALIKES:
        draw(scene.root / name / "one.jpg")
    lines = notice(scene.client("olga")).split("<li>")[1:]
    assert len(lines) == len(LOOK_ALIKES)
    visitor = scene.client()
    for name, better in LOOK_ALIKES.items():
        [line] = [line for line in lines if f"“{name}”" in line]
        assert f"“{better}”" in line and line.startswith("Everybody can open")
        assert visitor.get(quote(f"/album/{name}/")).status == 200
    assert notice(visitor) == notice(scene.client("anna")) == ""


@pytest.mark.whole
def test_what_is_private_by_its_parent_is_not_said_to_be_open(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(scene.root / "Silly faces.private" / "Trip (private)" / "one.jpg")
    assert notice(scene.client("olga")) == ""
    assert not [line for line in scene.check(capsys) if "everybody can open" in line]
    (scene.root / "Silly faces.private").rename(scene.root / "Silly faces.hidden")
    assert "Everybody can open" in notice(scene.client("olga"))


@pytest.mark.whole
def test_check_lists_flagged_folders_with_better_names(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_faces(scene, "Trip")
    for name in LOOK_ALIKES:
        draw(scene.root / name / "one.jpg")
    lines = scene.check(capsys)
    expected = {f"Trip/{name}": better for name, better in COPIES.items()} | LOOK_ALIKES
    for path, better in expected.items():
        [line] = [line for line in lines if line.startswith(f"{path}: ")]
        assert line.endswith(f"ename it to {better}"), line
        who = "everybody" if path in LOOK_ALIKES else "only the owner"
        assert f": {who} can open it" in line


# check --as


class Seen(NamedTuple):
    """An album as a line of `check --as` or a page tells it."""

    depth: int
    title: str
    photos: int
    videos: int
    address: str


LINE = re.compile(r"( *)(.*): (\d+) photos?, (\d+) videos?  (/.*)")


def tree_of(lines: list[str]) -> list[Seen]:
    seen = []
    for line in lines:
        if match := LINE.fullmatch(line):
            indent, title, photo_count, video_count, address = match.groups()
            depth = len(indent) // 2
            seen.append(Seen(depth, title, int(photo_count), int(video_count), address))
    return seen


def opened_without_finding(lines: list[str]) -> list[str]:
    """Return the addresses below the tree."""
    if "Not listed, but open by address:" not in lines:
        return []
    at = lines.index("Not listed, but open by address:")
    return [line.rpartition("  ")[2] for line in lines[at + 1 :]]


def tree_of_pages(client: Client, address: str = "/", depth: int = 0) -> Iterator[Seen]:
    """Go through the pages as a person does, from the front page down."""
    text = client.get(address).text
    heading = text.partition('class="heading"')[2]
    [title] = re.findall("<h1><bdi>(.*?)</bdi>", heading)
    facts = heading.partition('<p class="facts">')[2].partition("</p>")[0]
    counts = [re.search(rf"(\d+) {word}s?\b", facts) for word in ("photo", "video")]
    numbers = [int(count[1]) if count else 0 for count in counts]
    yield Seen(depth, unescape(title), *numbers, address)
    for card in re.findall('<a class="card" href="([^"]+)"', text):
        yield from tree_of_pages(client, card, depth + 1)


def fill(root: Path) -> None:
    """Make albums of every kind."""
    for at, path in enumerate(
        [
            "Drafts.hidden/a.jpg",
            "Drafts.hidden/Deep/b.jpg",
            "Drafts.hidden/More.hidden/c.jpg",
            "Drafts.hidden/Core.private/d.jpg",
            "Hers.private+anna/e.jpg",
            "Hers.private+anna/His.private+ben/f.jpg",
            "Both.private+anna+ben/g.jpg",
            "Faces.private copy/h.jpg",
            "Soon.hidden-until-2099-01-01/i.jpg",
            "Past.hidden-until-2000-01-01/j.jpg",
            "Trip.hidden/k.jpg",
            "Trip/l.jpg.hidden",
            "Trip/m.jpg.private",
            "Trip/n.jpg.private+ben",
            "Trip/50% <b>/o.jpg",
            "Inbox.inbox/p.jpg",
            "Empty/Inner.hidden/q.jpg",
        ]
    ):
        draw(root / path, format="JPEG", colour=f"#{at * 11:02x}4466")
    (root / "Trip" / "broken.jpg").write_bytes(b"no picture")
    (root / "Trip" / "album.txt").write_text("Our journey\nl.jpg.hidden: A caption\n")
    (root / "Void").mkdir()
    (root / "Link").symlink_to("Drafts.hidden")


@pytest.mark.whole
@pytest.mark.parametrize("who", ["visitor", "anna", "ben", "olga"])
def test_check_as_somebody_equals_a_crawl_of_the_pages_as_that_person(
    who: str, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(scene.root)
    before = scene.check(capsys, "--as", who)
    client = scene.client(who)
    front, *albums = tree_of_pages(client)
    lines = scene.check(capsys, "--as", who)
    assert lines == before, "also before anybody has looked at the pages"
    root, *listed = tree_of(lines)
    assert root[2:] == front[2:]
    assert listed == albums
    answers = crawl(client, "/")
    pages = {address.partition("?")[0] for address, a in answers.items() if is_page(a)}
    assert {album.address for album in listed} < pages
    unlisted = opened_without_finding(lines)
    assert bool(unlisted) == (who == "visitor")
    for address in unlisted:
        assert address not in answers
        assert client.get(address).status == 200


@pytest.mark.whole
def test_check_as_a_visitor_names_all_that_opens_without_being_found(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(scene.root)
    lines = scene.check(capsys, "--as", "Visitor ")  # as all names, in any case
    assert {unquote(address) for address in opened_without_finding(lines)} == {
        "/album/Drafts/",
        "/album/Drafts/More/",
        "/album/Empty/Inner/",
        "/album/Link/",
        "/album/Link/More/",
        "/album/Soon/",
        "/album/Trip.hidden/",
        "/album/Trip/l.jpg.hidden",
    }
    assert [album.address for album in tree_of(lines)] == [
        *("/", "/album/Trip/", "/album/Trip/50%25%20%3Cb%3E/")
    ]


def test_check_as_knows_users_in_any_case_and_nobody_else(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scene.check(capsys, "--as", "ANNA") == scene.check(capsys, "--as", "anna")
    folders = ["--library", os.fspath(scene.root)]
    assert photos.main([*folders, "check", "--as", "zoe"]) == 1
    assert "No user and no guest is called zoe." in capsys.readouterr().err


def test_check_as_says_when_the_librarys_own_name_closes_it(
    tmp_path: Path, scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    scene.root = scene.root.rename(tmp_path / "Album.private+ben")
    assert scene.check(capsys, "--as", "visitor") == scene.check(capsys, "--as", "anna")
    assert scene.check(capsys, "--as", "visitor") == [
        "Nothing: the library's own name makes all of it private."
    ]
    assert tree_of(scene.check(capsys, "--as", "ben"))[0].photos == 2


@pytest.mark.whole
def test_no_page_of_anybody_else_mentions_what_is_flagged(scene: Scene) -> None:
    copy_faces(scene, "Trip")
    for who in ("visitor", "anna", "ben"):
        for address, answer in crawl(scene.client(who), "/").items():
            if is_page(answer):
                text = Page(answer.text).text
                assert "copy" not in text and "zoe" not in text, address


def test_a_file_whose_name_is_not_understood_is_named_as_well(scene: Scene) -> None:
    shutil.copy(
        draw(scene.root / "Trip" / "x.jpg"), scene.root / "Trip" / "x.jpg.private copy"
    )
    draw(scene.root / "Trip" / "y.private.jpg")
    owner = scene.client("olga")
    assert "Trip/x.jpg.private copy" in notice(owner)
    assert "Trip/y" not in notice(owner)
