"""The feed: an Atom feed of what everybody finds, the newest first."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from drawing import draw
from gallery import FOLDERS, NAMES, VISITORS, Gallery
from visiting import Client, Page

import photos

pytestmark = pytest.mark.usefixtures("patient")

ATOM = "{http://www.w3.org/2005/Atom}"


@dataclasses.dataclass
class Feed:
    """An Atom feed as a reader sees it."""

    root: ElementTree.Element

    @property
    def entries(self) -> list[ElementTree.Element]:
        return self.root.findall(f"{ATOM}entry")

    def texts(self, name: str) -> list[str]:
        """Return a text of each entry."""
        return [entry.findtext(f"{ATOM}{name}", "") for entry in self.entries]

    def link(self, rel: str) -> str:
        return next(
            link.attrib["href"]
            for link in self.root.findall(f"{ATOM}link")
            if link.attrib["rel"] == rel
        )

    @property
    def pages(self) -> list[str]:
        return [
            link.attrib["href"]
            for entry in self.entries
            for link in entry.findall(f"{ATOM}link")
        ]


def feed(client: Client) -> Feed:
    answer = client.get("/feed.atom")
    assert (answer.status, answer.headers["content-type"]) == (
        200,
        "application/atom+xml; charset=utf-8",
    )
    return Feed(ElementTree.fromstring(answer.body))


def read_all(client: Client, path: str = "", prefix: str = "") -> None:
    """Have all files that a visitor finds read: an album waits for its own alone."""
    for album in json.loads(client.get(f"/api/album{path}").body)["albums"]:
        read_all(client, album["api"].removeprefix(f"{prefix}/api/album"), prefix)


@pytest.mark.whole
def test_the_feed_has_what_a_visitor_finds_whoever_asks(gallery: Gallery) -> None:
    answers = {kind: gallery.client(kind).get("/feed.atom").body for kind in VISITORS}
    assert len(set(answers.values())) == 1
    found = feed(gallery.client())
    albums = {unquote(page).split("/")[2] for page in found.pages}
    assert albums == {"loose.jpg", "Trip", "Names", "Folders"}
    assert len(found.entries) == gallery.json("")["photos"] == len(NAMES) + len(FOLDERS) + 7
    assert len(set(found.texts("id"))) == len(found.entries)
    assert {gallery.client().get(page).status for page in found.pages} == {200}


@pytest.mark.whole
def test_the_feed_is_as_rfc_4287_wants_it(library: Path, visitor: Client) -> None:
    (library / "Trip" / "album.txt").write_text("Trip\none.jpg: Fish & <chips> ]]> \x07")
    read_all(visitor)
    found = feed(visitor)
    titles = [
        found.root.findtext(f"{ATOM}{path}") for path in ("title", f"author/{ATOM}name")
    ]
    assert titles == ["Our photos"] * 2
    assert (found.link("self"), found.link("alternate")) == ("/feed.atom", "/")
    moments = found.texts("updated")
    assert found.root.findtext(f"{ATOM}updated") == moments[0] == max(moments)
    assert moments == found.texts("published") == sorted(moments, reverse=True)
    ids = [found.root.findtext(f"{ATOM}id", ""), *found.texts("id")]
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", each) for each in ids)
    at = found.pages.index("/album/Trip/one.jpg")
    seconds = int((library / "Trip" / "one.jpg").stat().st_ctime)
    assert moments[at] == time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))
    assert found.texts("title")[at] == "Fish & <chips> ]]> \ufffd"
    assert sorted(found.texts("title"))[1:] == ["loose.jpg", "sand.png", "two.jpg"]
    page = Page(found.texts("content")[at])
    assert visitor.get(page.images[0]).headers["content-type"] == "image/webp"
    assert page.texts.count("Fish & <chips> ]]> \ufffd") == 2
    assert "chips" not in page.tags


@pytest.mark.whole
def test_a_photo_keeps_its_id_in_the_feed_until_its_content_changes(
    library: Path, visitor: Client
) -> None:
    read_all(visitor)
    before = dict(zip(feed(visitor).pages, feed(visitor).texts("id"), strict=True))
    (library / "Trip" / "album.txt").write_text("Journey\none.jpg: The first day")
    draw(library / "Trip" / "two.jpg", colour="red")
    read_all(visitor)
    after = dict(zip(feed(visitor).pages, feed(visitor).texts("id"), strict=True))
    assert {page for page in before if before[page] != after[page]} == {
        "/album/Trip/two.jpg"
    }


@pytest.mark.whole
@pytest.mark.parametrize("name", ["Trip.private", "Trip.hidden"])
def test_an_album_leaves_the_feed_when_it_is_renamed(
    name: str, library: Path, visitor: Client
) -> None:
    read_all(visitor)
    before = visitor.get("/feed.atom")
    (library / "Trip").rename(library / name)
    after = visitor.get("/feed.atom", If_None_Match=before.headers["etag"])
    assert "Trip" in before.text
    assert (after.status, "Trip" in after.text, feed(visitor).pages) == (
        200,
        False,
        ["/album/loose.jpg"],
    )


@pytest.mark.whole
def test_the_feed_of_an_empty_library_is_empty(visitor: Client, library: Path) -> None:
    (library / "loose.jpg").unlink()
    (library / "Trip").rename(library / "Trip.private")
    assert feed(visitor).entries == []


@pytest.mark.whole
@pytest.mark.parametrize("prefix", ["", "/our"])
def test_the_feed_is_complete_with_a_public_address_and_stays_below_the_prefix_without(
    prefix: str, make_site: Callable[..., photos.Site], gallery: Gallery
) -> None:
    public = f"https://photos.example.org{prefix}"
    client = Client(make_site(public_address=public), SCRIPT_NAME=prefix)
    read_all(client, prefix=prefix)
    for start, found in (
        (public, feed(client)),
        (prefix, feed(gallery.client(SCRIPT_NAME=prefix))),
    ):
        images = [
            image for content in found.texts("content") for image in Page(content).images
        ]
        addresses = [found.link("self"), found.link("alternate"), *found.pages, *images]
        assert len(addresses) > 7 and all(
            each.startswith(f"{start}/") for each in addresses
        )
