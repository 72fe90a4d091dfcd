"""Pages: albums and photos, odd names, paging, JSON, and the scripts, styles and manifest beside them."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from drawing import draw, exif
from gallery import FOLDERS, NAMES, Gallery
from looking import look, read
from PIL import Image
from visiting import Answer, Client, Page, crawl, is_page

import photos

pytestmark = pytest.mark.usefixtures("patient")


# Albums and photos


@pytest.mark.parametrize(
    ("kind", "path"), [("visitor", ""), ("visitor", "Trip"), ("user", ""), ("user", "Trip")]
)
def test_json_tells_what_the_page_shows(gallery: Gallery, kind: str, path: str) -> None:
    facts = gallery.json(path, kind)
    page = Page(gallery.client(kind).get(facts["url"]).text)
    assert page.items == [item["url"] for item in facts["items"]]
    cards = [
        link for link in page.links if link in {album["url"] for album in facts["albums"]}
    ]
    assert list(dict.fromkeys(cards)) == [album["url"] for album in facts["albums"]]
    shown = [item for item in facts["items"] if "thumbnails" in item]
    assert {url for item in shown for url in item["thumbnails"].values()} <= set(
        page.images
    )
    assert {album["cover"] for album in facts["albums"]} <= {*page.images, None}
    assert f"{facts['photos']} photos" in page.text
    for item in facts["items"]:
        photo = Page(gallery.client(kind).get(item["url"]).text)
        assert item["name"] in photo.text
        assert item["download"] in photo.links
        assert f"{item['width']} × {item['height']}" in photo.text


@pytest.mark.whole
def test_a_changed_title_is_shown_at_the_next_request(
    library: Path, visitor: Client
) -> None:
    state = library / ".photos"
    assert "Our photos" in visitor.get("/").text
    photos.write_config(state, photos.Config(title="The <Smiths> & co"))
    assert "The <Smiths> & co" in Page(visitor.get("/").text).text
    (state / "config.json").write_text('{"version": 1, "title": ')
    assert "The <Smiths> & co" in Page(visitor.get("/").text).text


# Names


@pytest.mark.whole
def test_every_name_is_opened_by_its_own_links(gallery: Gallery) -> None:
    items = gallery.json("Names")["items"]
    folder = os.fsencode(gallery.root / "Names") + b"/"
    assert len(items) == len(NAMES) + 1
    sent = {}
    for item in items:
        name = unquote_to_bytes(item["original"].partition("?")[0]).rpartition(b"/Names/")[
            2
        ]
        sent[name] = gallery.client().get(item["original"]).body
        assert item["name"] == photos.display(os.fsdecode(name))
        answers = [
            gallery.client().get(item[key]) for key in ("url", "preview", "download")
        ]
        assert [answer.status for answer in answers] == [200, 200, 200]
        assert answers[2].body == sent[name]
    assert sent == {
        name: Path(os.fsdecode(folder + name)).read_bytes()
        for name in [*NAMES, b"last.jpg"]
    }


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["visitor", "user"])
def test_every_link_of_albums_with_odd_names_works_and_all_names_are_escaped(
    gallery: Gallery, kind: str
) -> None:
    shown = set()

    def check(address: str, answer: Answer) -> None:
        assert answer.status == 200, address
        if is_page(answer):
            page = Page(answer.text)
            assert not {"b", "i", "style", "iframe"} & page.tags, address
            assert not {
                name for name in page.attributes if name.startswith("on") or name == "style"
            }, address
            assert page.text.count("<photos>") >= 1
            shown.update(page.texts)

    answers = crawl(gallery.client(kind), "/album/Names/", "/album/Folders/", each=check)
    assert all(
        any(photos.display(os.fsdecode(name)) in text for text in shown)
        for name in (*NAMES, *FOLDERS)
    )
    for folder in FOLDERS:
        assert answers[f"/album/Folders/{quote(folder, safe='')}/in.jpg"].status == 200


@pytest.mark.parametrize("name", FOLDERS, ids=repr)
def test_an_album_without_its_slash_leads_to_the_one_with_it(
    gallery: Gallery, name: bytes
) -> None:
    address = f"/album/Folders/{quote(name, safe='')}"
    answer = gallery.client().get(address)
    assert (answer.status, answer.headers["location"]) == (303, f"{address}/")


@pytest.mark.parametrize("address", ["/album/", "/album/?page=1"])
def test_the_library_has_one_address_the_front_page(visitor: Client, address: str) -> None:
    answer = visitor.get(address)
    front = address.removeprefix("/album")
    assert (answer.status, answer.headers["location"]) == (303, front)


# Paging


@pytest.fixture
def paged(library: Path, visitor: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A visitor to an album of five photos on three pages, with one child album."""
    monkeypatch.setattr(photos, "PAGE_ITEMS", 2)
    for number in range(5):
        draw(
            library / "Many" / f"{number}.jpg", exif=exif(f"2024:01:0{number + 1} 00:00:00")
        )
    draw(library / "Many" / "Child" / "child.jpg")
    return visitor


@pytest.mark.whole
def test_an_album_is_spread_over_pages(paged: Client) -> None:
    pages, address = [], "/album/Many/"
    while address:
        pages.append(Page(paged.get(address).text))
        following = f"/album/Many/?page={len(pages) + 1}"
        address = following if following in pages[-1].links else ""
    assert [[link[-5] for link in page.items] for page in pages] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
    ]
    assert ["/album/Many/Child/" in page.links for page in pages] == [True, False, False]
    assert [f"Page {n} of 3" in page.text for n, page in enumerate(pages, 1)] == [True] * 3
    assert "/album/Many/?page=2" in pages[2].links and "/album/Many/" in pages[1].links


@pytest.fixture
def full(paged: Client, library: Path, site: photos.Site) -> Client:
    """A visitor to an album of five child albums, which take three pages, and three photos.

    All are read: albums change places when the covers of a page are read while the next is asked for.
    """
    for number in range(5):
        draw(
            library / "Full" / f"Child {number}" / "a.jpg",
            exif=exif(f"2024:01:0{number + 1} 00:00:00"),
        )
    for number in range(3):
        draw(
            library / "Full" / f"{number}.jpg", exif=exif(f"2023:01:0{number + 1} 00:00:00")
        )
    read(site._library)
    return paged


def contents(page: Page) -> tuple[list[str], list[str]]:
    """Return the digits of the albums and of the photos that a page shows."""
    albums = re.findall(r"/album/Full/Child%20(\d)/", " ".join(page.links))
    return albums, [link[-5] for link in page.items]


@pytest.mark.whole
def test_albums_are_spread_over_pages_and_photos_begin_on_their_last_page(
    full: Client,
) -> None:
    pages = [
        Page(full.get(f"/album/Full/{query}").text) for query in ("", "?page=2", "?page=3")
    ]
    assert [contents(page) for page in pages] == [
        (["4", "3"], []),
        (["2", "1"], []),
        (["0"], ["0", "1"]),
    ]
    last = Page(full.get("/album/Full/?page=4").text)
    assert contents(last) == ([], ["2"]) and "Page 4 of 4" in last.text
    ways = ["/album/Full/", "/album/Full/?page=2", "/album/Full/?page=3"]
    for number, page in enumerate([*pages[1:], last]):
        assert ways[number] in page.links
    for number, page in enumerate(pages[:2], 2):
        assert f"/album/Full/?page={number}" in page.links
    assert full.get("/album/Full/?page=5").status == 404


@pytest.mark.whole
def test_a_photo_beside_many_albums_leads_back_to_its_page(full: Client) -> None:
    for number, page in ((0, 3), (1, 3), (2, 4)):
        address = f"/album/Full/{number}.jpg"
        back = f"/album/Full/?page={page}"
        assert back in Page(full.get(address).text).links
        assert address in Page(full.get(back).text).items


@pytest.mark.whole
def test_albums_that_nobody_finds_take_no_room_on_pages(
    full: Client, library: Path
) -> None:
    for number in (1, 3):
        child = library / "Full" / f"Child {number}"
        child.rename(child.with_name(f"{child.name}.private"))
    page = Page(full.get("/album/Full/?page=2").text)
    assert contents(page) == (["0"], ["0", "1"])
    assert "/album/Full/?page=2" in Page(full.get("/album/Full/1.jpg").text).links


@pytest.mark.whole
def test_a_photo_leads_to_its_neighbours_and_back_to_its_page(paged: Client) -> None:
    page = Page(paged.get("/album/Many/2.jpg").text)
    assert {"/album/Many/1.jpg", "/album/Many/3.jpg", "/album/Many/?page=2"} <= set(
        page.links
    )
    assert "3 of 5" in page.text
    assert "/album/Many/4.jpg" not in page.links
    for end, neighbour in ((0, 1), (4, 3)):
        links = Page(paged.get(f"/album/Many/{end}.jpg").text).links
        turns = {f"/album/Many/{number}.jpg" for number in range(5) if number != end}
        assert turns & set(links) == {f"/album/Many/{neighbour}.jpg"}


def read_json(client: Client, address: str) -> list[dict[str, Any]]:
    """Return all parts of an album as JSON, one after the other."""
    parts = []
    while address:
        parts.append(json.loads(client.get(address).body))
        address = parts[-1].get("next", "")
    return parts


@pytest.mark.whole
def test_json_has_all_items_of_many_pages_at_once(paged: Client) -> None:
    [part] = read_json(paged, "/api/album/Many")
    assert len(part["items"]) == 5


@pytest.mark.whole
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 9])
def test_json_is_in_parts_with_the_albums_first(
    full: Client, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(photos, "JSON_ITEMS", size)
    parts = read_json(full, "/api/album/Full")
    counts = [len(part["albums"]) + len(part["items"]) for part in parts]
    assert counts[:-1] == [size] * (len(counts) - 1) and 0 < counts[-1] <= size
    albums = [album["title"] for part in parts for album in part["albums"]]
    items = [item["name"] for part in parts for item in part["items"]]
    assert albums == [f"Child {number}" for number in (4, 3, 2, 1, 0)]
    assert items == ["0.jpg", "1.jpg", "2.jpg"]
    for beyond in (len(parts) + 1, 0, "x", 10**6):
        assert full.get(f"/api/album/Full?page={beyond}").status == 404


@pytest.mark.whole
def test_the_next_part_of_json_is_below_the_prefix(
    full: Client, make_site: Callable[..., photos.Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "JSON_ITEMS", 5)
    client = Client(make_site(), SCRIPT_NAME="/our")
    assert (
        json.loads(client.get("/api/album/Full").body)["next"]
        == "/our/api/album/Full?page=2"
    )
    assert "next" not in json.loads(client.get("/api/album/Full?page=2").body)
    front = json.loads(client.get("/api/album").body)
    assert "next" not in front and client.get("/api/album?page=2").status == 404


@pytest.mark.whole
def test_an_empty_library_as_json_is_one_part(tmp_path: Path) -> None:
    with contextlib.closing(
        photos.create_app(tmp_path / ".photos", config=photos.Config(), background=False)
    ) as site:
        assert read_json(Client(site), "/api/album")[0]["albums"] == []


@pytest.mark.whole
def test_a_page_that_is_not_there_is_not_found(paged: Client) -> None:
    for page in (
        "0",
        "-1",
        "4",
        "abc",
        "1.5",
        "",
        "%D9%A1",
        "1e1",
        "9" * 20,
        "9" * 5000,
        "%00",
        "%FF",
    ):
        answer = paged.get(f"/album/Many/?page={page}")
        assert answer.status == 404 and "nothing at this address" in answer.text, page


# Scripts and styles


def sent(suffixes: tuple[str, ...]) -> dict[str, str]:
    folder = Path(photos.__file__).with_name("templates")
    statics = photos.Statics(folder, folder.parent).files
    return {
        name: document.body.decode()
        for name, document in statics.items()
        if name.endswith(suffixes)
    }


def test_all_scripts_and_styles_of_albums_together_are_small() -> None:
    """A browser fetches these files once and keeps them for a year.

    The script for adding photos is fetched on that page alone, and the styles of forms on none of an album.

    A phone on a slow uplink waits for the compressed bytes, so there is a limit for those; the
    limit for what the compressed bytes become keeps parsing short.
    """
    files = sent((".js", ".css"))
    adding = files.pop("add.js").encode()
    assert len(gzip.compress(adding)) <= 2 * 1024
    assert len(gzip.compress(files.pop("forms.css").encode())) <= 1024
    bodies = [text.encode() for text in files.values()]
    compressed = [gzip.compress(body, photos.GZIP_LEVEL, mtime=0) for body in bodies]
    assert 10_000 < sum(map(len, bodies)) <= 56 * 1024
    assert sum(map(len, compressed)) <= 18 * 1024


@pytest.mark.parametrize("layout", photos.COLUMNS)
def test_a_browser_learns_how_wide_tiles_are_on_each_screen(layout: str) -> None:
    rules = re.findall(
        r"(?:\(min-width:(\d+)px\) )?(calc\(([\d.]+)vw - \d+px\))",
        photos.tile_sizes(layout),
    )
    widths = [width for _, width, _ in rules]
    assert all(wider != narrower for wider, narrower in itertools.pairwise(widths))
    for screen, columns in zip(photos.GRID_SCREENS[0], photos.COLUMNS[layout], strict=True):
        share = next(share for least, _, share in rules if screen >= int(least or 0))
        assert float(share) == pytest.approx(100 / int(columns), abs=0.05)


def test_a_page_of_a_hundred_photos_is_small(
    library: Path, site: photos.Site, visitor: Client
) -> None:
    """A phone on a slow uplink sees colours as soon as these bytes are there.

    Photos of a week, two thirds of them landscape, each with six colours that nobody could guess.
    """
    for number in range(100):
        date = exif(f"2024:05:{1 + number // 15:02} 12:{number % 60:02}:00")
        draw(library / "Norway by train" / f"IMG_{4001 + number}.JPG", exif=date)
    library_read = read(site._library)
    for number, item in enumerate(look(library_read, "Norway by train").items):
        width, height = (3024, 4032) if number % 3 == 0 else (4032, 3024)
        colours = hashlib.sha256(item.title.encode()).hexdigest()[:18]
        assert item.info
        info = dataclasses.replace(item.info, width=width, height=height, sketch=colours)
        library_read.index.put(item.file.identity, info)
    answer = visitor.get("/album/Norway%20by%20train/", Accept_Encoding="gzip")
    page = gzip.decompress(answer.body).decode()
    assert page.count(' href="data:image/') == page.count("<img ") == 100
    assert len(answer.body) <= 9 * 1024


@pytest.mark.whole
def test_scripts_import_each_other_by_the_version_of_this_release(visitor: Client) -> None:
    page = visitor.get("/").text
    (version,) = set(re.findall(r"/static/[\w.-]+\?v=(\w+)", page))
    imports = [
        name
        for text in sent((".js",)).values()
        for name in re.findall(r'from "([^"]+)"', text)
    ]
    assert imports
    for name in imports:
        assert name.endswith(f".js?v={version}")
        answer = visitor.get(f"/static/{name.removeprefix('./')}")
        assert answer.status == 200 and "immutable" in answer.headers["cache-control"]


def test_one_changed_script_is_a_new_version_of_all(tmp_path: Path) -> None:
    folder = Path(
        shutil.copytree(
            Path(photos.__file__).with_name("templates"), tmp_path / "templates"
        )
    )
    before = photos.Statics(folder, tmp_path)
    (folder / "zoom.js").write_text("export class Zoom {}")
    after = photos.Statics(folder, tmp_path)
    assert before.files.keys() == after.files.keys()
    assert before.key != after.key
    assert after.files["viewer.js"] != before.files["viewer.js"]


def test_scripts_that_are_sent_together_keep_their_names_to_themselves() -> None:
    files = {
        "one.js": b"const a = 1;\nexport const b = 2;\nexport class C {}\n",
        "two.js": b'import { b, C } from "./one.js";\nconst a = b;\nexport async function d() {}\n',
    }
    assert photos.joined_scripts(("one", "two"), files).decode() == (
        "const oneScript = (() => {\nconst a = 1;\nconst b = 2;\nclass C {}\nreturn { b, C };\n})();\n"
        "const twoScript = (() => {\nconst { b, C } = oneScript;\nconst a = b;\nasync function d() {}\n"
        "return { d };\n})();\n"
    )
    assert not files
    folder = Path(photos.__file__).with_name("templates")
    together = {f"{name}.js" for name in (*photos.PAGE_SCRIPTS, *photos.VIEWER_SCRIPTS)}
    assert together == {path.name for path in folder.glob("*.js")} - {"add.js", "rail.js"}


def test_comments_and_indentation_are_not_sent_and_nothing_else_is_left_out() -> None:
    source = b"""/* Two
   lines */
:root {
  --a: url(//x); /* kept */
}
// gone
  // gone
let a; // gone
let b = "x // y"; // it's kept
"""
    left = b"""\
:root {
--a: url(//x); /* kept */
}
let a;
let b = "x // y"; // it's kept
"""
    assert photos._UNSENT.sub(b"", source) == left
    styles = b'a :is(b, c) > d {\n--a: "x y";\ncolor: #fff;\n}\n@media (a: b) {\n}\n'
    fewer = b'a :is(b,c) > d{--a:"x y";color:#fff}@media (a:b){}'
    assert photos._SPARE.sub(b"", styles) == fewer
    for name, text in sent((".css", ".js")).items():
        assert "/*" not in text and " // " not in text, (
            name
        )  # it stands on a line of its own


def texts_of(script: str) -> list[str]:
    """Return what stands in quotes in a script, without the code that stands within it."""
    literals = re.findall(r'"[^"\n]*"|`[^`]*`', script)
    return [re.sub(r"\$\{[^}]*\}", "", literal) for literal in literals]


def test_spaces_beside_signs_are_not_sent_and_all_texts_are() -> None:
    script = b"a = () => {\nreturn b === 1 ? { c } : { d: `${e < f} ` };\n}\n"
    more = b"if (a && b ?? c) {\nd += e - -f / 2;\ng(h, `${i}, ${j} / ${k}`);\n}\n"
    sent_script = photos._SIGNS.sub(rb"\1", photos._LINES.sub(b"", script))
    assert sent_script == b"a=()=>{return b===1?{c}:{d:`${e<f} `}}"
    sent_more = photos._SIGNS.sub(rb"\1", photos._LINES.sub(b"", more))
    assert sent_more == b"if(a&&b??c){d+=e - -f/2;g(h,`${i}, ${j} / ${k}`)}"
    for path in Path(photos.__file__).with_name("templates").glob("*.js"):
        script = photos._UNSENT.sub(b"", path.read_bytes())
        fewer = photos._SIGNS.sub(rb"\1", photos._LINES.sub(b"", script))
        assert texts_of(fewer.decode()) == texts_of(script.decode()), path
        assert len(fewer) < len(script)


def test_every_link_of_the_templates_leads_somewhere() -> None:
    for path in Path(photos.__file__).with_name("templates").glob("*.html"):
        links = re.findall(r"<a\b[^>]*", path.read_text())
        assert [link for link in links if "href=" not in link] == [], path


# For chats and home screens


@pytest.mark.whole
def test_the_manifest_names_the_site_and_icons_that_load(visitor: Client) -> None:
    answer = visitor.get("/manifest.webmanifest")
    assert answer.headers["content-type"] == "application/manifest+json"
    facts = json.loads(answer.text)
    assert (facts["name"], facts["start_url"], facts["display"]) == (
        "Our photos",
        "/",
        "standalone",
    )
    for icon in facts["icons"]:
        body = visitor.get(icon["src"]).body
        if icon["sizes"] != "any":
            assert "x".join(map(str, Image.open(io.BytesIO(body)).size)) == icon["sizes"]
    assert {icon["sizes"] for icon in facts["icons"]} >= {"any", "192x192", "512x512"}
    assert 'rel="manifest" href="/manifest.webmanifest"' in visitor.get("/").text


@pytest.mark.whole
def test_the_colours_that_a_page_tells_are_those_of_the_style_sheet(
    visitor: Client,
) -> None:
    told = re.findall(
        r'<meta name="theme-color" content="(#\w+)" media="\(prefers-color-scheme: (\w+)\)">',
        visitor.get("/").text,
    )
    light, dark = re.findall(r"--paper:(#\w+);", sent((".css",))["style.css"])
    assert told == [(light, "light"), (dark, "dark")]
    facts = json.loads(visitor.get("/manifest.webmanifest").text)
    assert facts["theme_color"] == facts["background_color"] == light


def metas(page: str) -> dict[str, str]:
    """Return what a page tells a chat: https://ogp.me and the cards of Twitter."""
    found = re.findall(
        r'<meta (?:property|name)="((?:og|twitter):\w+)" content="([^"]*)">', page
    )
    return {name: unescape(content) for name, content in found}


@pytest.mark.whole
def test_a_link_in_a_chat_shows_the_cover_and_of_private_albums_nothing(
    make_site: Callable[..., photos.Site], user: Client
) -> None:
    public = "https://photos.example.org/our"
    app = make_site(title="Our photos", public_address=public)
    client = Client(
        app, wsgi_url_scheme="https", HTTP_HOST="photos.example.org", SCRIPT_NAME="/our"
    )
    for path, title in (
        ("/album/Trip/", "Trip"),
        ("/album/Drafts/", "Drafts"),
        ("/album/Trip/one.jpg", "one.jpg"),
    ):
        told = metas(client.get(path).text)
        assert (told["og:title"], told["og:site_name"]) == (title, "Our photos")
        assert (told["og:url"], told["twitter:card"]) == (
            f"{public}{path}",
            "summary_large_image",
        )
        assert told["og:image"].startswith(f"{public}/thumbnail/")
        image = client.get(told["og:image"].removeprefix(public))
        assert (image.status, image.headers["content-type"]) == (200, "image/webp")
    for path in ("/album/Secret/", "/album/Secret/faces.jpg"):
        answer = client.get(path)
        text = answer.text
        assert answer.status == 404
        assert metas(text) == {"og:site_name": "Our photos", "og:title": "Our photos"}
        assert not re.search(
            "Secret|faces|thumbnail", re.sub(r'(value|href|action)="[^"]*"', "", text)
        )
    secret = user.get("/album/Secret/").text
    assert (
        "Secret" in secret
        and metas(secret)["og:title"] == "Our photos"
        and "og:image" not in secret
    )
    assert (
        "og:image" not in user.get("/album/Trip/").text
    )  # without a public address there is none to give


# Real photos


@pytest.mark.whole
def test_a_visitor_who_follows_every_link_of_real_photos_meets_no_error(
    samples: Path, tmp_path: Path
) -> None:
    app = photos.create_app(
        tmp_path / "state", config=photos.Config(library=str(samples)), background=False
    )
    images: set[str] = set()
    wrong: dict[str, Any] = {}

    def check(address: str, answer: Answer) -> None:
        if is_page(answer):
            images.update(Page(answer.text).images)
            if answer.status != 200:
                wrong[address] = answer.status
        elif address in images:
            sent = answer.status, answer.headers["content-type"]
            if sent != (404, "image/svg+xml") and not (
                sent[0] == 200 and sent[1].startswith("image/")
            ):
                wrong[address] = sent
        elif answer.status != 200:
            wrong[address] = answer.status, answer.text[:100]

    answers = crawl(Client(app), "/", "/api/album", each=check)
    app.close()
    assert not wrong
    assert len(images) > 300
    assert sum(address.startswith("/photo/") for address in answers) > 120
