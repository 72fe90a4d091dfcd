"""An album taken home: who gets what, ranges, what changes meanwhile, how many at once."""

from __future__ import annotations

import contextlib
import html
import http.client
import io
import random
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from conftest import needed, set_up
from drawing import draw, exif
from processes import Server, eventually
from visiting import OWN, Answer, Client, Page

import photos

pytestmark = pytest.mark.usefixtures("patient")


def links_to_zips(answer: Answer) -> list[str]:
    return [
        html.unescape(link)
        for link in Page(answer.text).links
        if "?v=" in link and "/zip/" in link
    ]


def prepare(site: photos.Site) -> None:
    """Do what the background pass does for who waits."""
    site._upkeep.note_wanted()


def download(client: Client, site: photos.Site, page: str = "/zip/Trip") -> Answer:
    """Open the page of an album's download, wait, download it."""
    client.get(page)
    prepare(site)
    (link,) = links_to_zips(client.get(page))
    return client.get(link)


def names_in(answer: Answer) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(answer.body)) as opened:
        assert opened.testzip() is None
        return opened.namelist()


def test_an_album_is_downloaded_with_all_that_is_below_it(
    site: photos.Site, visitor: Client, library: Path
) -> None:
    answer = download(visitor, site)
    assert names_in(answer) == ["Trip/one.jpg", "Trip/two.jpg", "Trip/Beach/sand.png"]
    with zipfile.ZipFile(io.BytesIO(answer.body)) as opened:
        assert opened.read("Trip/one.jpg") == (library / "Trip" / "one.jpg").read_bytes()
        assert opened.getinfo("Trip/one.jpg").date_time == (2024, 5, 6, 7, 8, 8)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith(
        'attachment; filename="Trip.zip"'
    )
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["cache-control"] == "private, no-store"


def test_the_albums_page_leads_to_its_download(visitor: Client) -> None:
    assert "/zip/Trip" in Page(visitor.get("/album/Trip/").text).links
    assert not [link for link in Page(visitor.get("/").text).links if "/zip" in link]


@pytest.mark.whole
def test_the_page_says_how_far_it_is_and_asks_again_until_it_is_ready(
    site: photos.Site, visitor: Client
) -> None:
    waiting = visitor.get("/zip/Trip")
    assert waiting.status == 200
    assert 'http-equiv="refresh"' in waiting.text
    assert links_to_zips(waiting) == []
    assert "of 3 files" in waiting.text
    prepare(site)
    ready = visitor.get("/zip/Trip")
    assert 'http-equiv="refresh"' not in ready.text
    assert len(links_to_zips(ready)) == 1
    assert ready.headers["x-robots-tag"] == "noindex"


def test_nobody_takes_home_what_she_does_not_find(
    site: photos.Site, visitor: Client, user: Client, library: Path
) -> None:
    draw(library / "Trip" / "Party.private" / "party.jpg")
    draw(library / "Trip" / "secret.private.jpg", colour="#123456")
    draw(library / "Trip" / "Drafts.hidden" / "draft.jpg", colour="#654321")
    assert not [
        name for name in names_in(download(visitor, site)) if "party" in name.lower()
    ]
    assert len(names_in(download(visitor, site))) == 3
    assert len(names_in(download(user, site))) == 6


@pytest.mark.parametrize("path", ["/zip/Secret", "/zip/Secret.private", "/zip/Nothing"])
@pytest.mark.parametrize("query", ["", "?v=0123456789"])
def test_what_may_not_be_opened_answers_as_if_nothing_were_there(
    visitor: Client, path: str, query: str
) -> None:
    answer = visitor.get(path + query)
    nothing = visitor.get(f"/zip/Elsewhere{query}")
    assert answer.status == nothing.status == 404
    assert answer.headers.keys() == nothing.headers.keys()


def test_a_private_album_is_a_users_to_take_home(site: photos.Site, user: Client) -> None:
    assert names_in(download(user, site, "/zip/Secret")) == ["Secret/faces.jpg"]


@pytest.mark.whole
def test_strangers_do_not_learn_where_it_was_taken(
    site: photos.Site, visitor: Client, user: Client, library: Path, samples: Path
) -> None:
    located = samples / "phones" / "iphone6s_gps.jpg"
    shutil.copy(located, library / "Trip" / "located.jpg")
    original = located.read_bytes()
    contents = {}
    for who, client in (("visitor", visitor), ("user", user)):
        answer = download(client, site)
        with zipfile.ZipFile(io.BytesIO(answer.body)) as opened:
            assert opened.testzip() is None
            contents[who] = opened.read("Trip/located.jpg")
    assert contents["user"] == original
    assert contents["visitor"] != original
    assert len(contents["visitor"]) == len(original)
    assert contents["visitor"] == visitor.get("/photo/Trip/located.jpg").body


@pytest.mark.whole
def test_an_interrupted_download_goes_on_where_it_ended(
    site: photos.Site, visitor: Client
) -> None:
    whole = download(visitor, site)
    (link,) = links_to_zips(visitor.get("/zip/Trip"))
    cut = len(whole.body) // 3
    rest = visitor.get(link, Range=f"bytes={cut}-")
    assert rest.status == 206
    assert rest.body == whole.body[cut:]
    assert (
        rest.headers["content-range"]
        == f"bytes {cut}-{len(whole.body) - 1}/{len(whole.body)}"
    )
    last = visitor.get(link, Range="bytes=-10", If_Range=whole.headers["etag"])
    assert (last.status, last.body) == (206, whole.body[-10:])
    other = visitor.get(link, Range="bytes=5-", If_Range='"other"')
    assert (other.status, other.body) == (200, whole.body)
    beyond = visitor.get(link, Range=f"bytes={len(whole.body)}-")
    assert beyond.status == 416
    assert beyond.headers["content-range"] == f"bytes */{len(whole.body)}"
    assert visitor.get(link, If_None_Match=whole.headers["etag"]).status == 304
    assert (
        visitor.get(link, If_Modified_Since="Mon, 01 Jan 2035 00:00:00 GMT").status == 200
    )
    head = visitor.request("HEAD", link)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))


@pytest.mark.whole
def test_another_version_is_gone(site: photos.Site, visitor: Client, library: Path) -> None:
    download(visitor, site)
    (link,) = links_to_zips(visitor.get("/zip/Trip"))
    draw(library / "Trip" / "three.jpg", colour="#abcdef")
    assert visitor.get(link).status == 410
    download(visitor, site)
    (newer,) = links_to_zips(visitor.get("/zip/Trip"))
    assert newer != link
    assert visitor.get(link).status == 410
    (library / "Trip" / "three.jpg").unlink()
    assert eventually(lambda: visitor.get(link).status == 200)


@pytest.mark.whole
def test_other_names_and_a_slash_lead_to_its_page(site: photos.Site, user: Client) -> None:
    assert user.get("/zip/Secret.private").headers["location"] == "/zip/Secret"
    assert user.get("/zip/Secret/").headers["location"] == "/zip/Secret"
    assert user.get("/zip/Trip/one.jpg").status == 404


@pytest.mark.whole
def test_a_large_album_is_offered_in_parts_behind_a_tunnel(
    make_site: Callable[..., photos.Site], library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "PARTS_BYTES", 1)
    site = make_site(public_address="https://photos.example")
    client = Client(site, HTTP_HOST="photos.example")
    client.get("/zip/Trip")
    prepare(site)
    links = links_to_zips(client.get("/zip/Trip"))
    assert len(links) > 1
    answers = [client.get(link) for link in links]
    names = [name for answer in answers for name in names_in(answer)]
    assert names == ["Trip/one.jpg", "Trip/two.jpg", "Trip/Beach/sand.png"]
    assert "(2 of" in answers[1].headers["content-disposition"]
    assert client.get(f"{links[0]}&part={len(links) + 1}").status == 404
    assert client.get(f"{links[0]}&part=0").status == 404


def test_four_are_sent_at_once_and_the_fifth_is_told_to_come_back(
    site: photos.Site, visitor: Client
) -> None:
    download(visitor, site)
    (link,) = links_to_zips(visitor.get("/zip/Trip"))
    places = site._zip_places
    busy = [places.acquire() for _ in range(photos.ZIPS_AT_ONCE)]
    answer = visitor.get(link)
    assert answer.status == 503 and answer.headers["retry-after"]
    for _ in busy:
        places.release()
    for _ in range(3 * photos.ZIPS_AT_ONCE):  # each gives its place back
        assert visitor.get(link).status == 200
        assert visitor.get(link, Range="bytes=0-1").status == 206
        visitor.request("HEAD", link)


def test_who_gives_up_or_is_too_slow_gives_the_place_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import threading

    places = threading.BoundedSemaphore(1)

    def take(blocks: list[bytes]) -> photos.Sending:
        return photos.Sending(iter(blocks), places, lambda: True)

    take([b"a"]).close()
    list(take([b"a", b"b"]))
    given_up = take([b"a", b"b"])
    next(iter(given_up))
    given_up.close()
    monkeypatch.setattr(photos, "SLOWEST_BLOCK_SECONDS", 0.01)
    slow = iter(take([b"a", b"b"]))
    next(slow)
    time.sleep(0.05)
    with pytest.raises(TimeoutError):
        next(slow)
    assert places.acquire(blocking=False)


def environ_of(client: Client, link: str) -> dict[str, Any]:
    """Return what a server tells of a client's request."""
    path, _, query = link.partition("?")
    environ: dict[str, Any] = {
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_COOKIE": "; ".join(f"{name}={text}" for name, text in client.cookies.items()),
    }
    setup_testing_defaults(environ)
    return environ


def blocks_of(site: photos.Site, client: Client, link: str) -> Iterator[bytes]:
    """Yield an answer's blocks one by one, as a server would take them."""
    answer = site(environ_of(client, link), lambda *_: None)
    with contextlib.closing(answer):
        yield from answer


@pytest.mark.whole
@pytest.mark.parametrize("change", ["album", "inner", "amid a file", "log out", "remove"])
def test_what_is_private_by_now_is_sent_no_further(
    site: photos.Site,
    user: Client,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    monkeypatch.setattr(photos, "RIGHTS_SECONDS", 0)
    monkeypatch.setattr(photos, "BLOCK_BYTES", 500)
    whole = download(user, site)
    (link,) = links_to_zips(user.get("/zip/Trip"))
    blocks = blocks_of(site, user, link)
    sent = next(blocks)
    assert b"one.jpg" in sent
    if change == "amid a file":
        sent += next(blocks)
    if change in ("album", "amid a file"):
        (library / "Trip").rename(library / "Trip.private")
    elif change == "inner":
        (library / "Trip" / "Beach").rename(library / "Trip" / "Beach.private")
    elif change == "log out":
        cookies = dict(user.cookies)
        user.request("POST", "/logout", **OWN)
        user.cookies = cookies
    else:
        photos.UserStore(library / ".photos").remove("anna")
    before = len(sent)
    with pytest.raises((OSError, photos.NotFound)):
        for block in blocks:
            sent += block
    if change != "inner":
        assert len(sent) == before
    assert whole.body.startswith(sent)


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["photo", "download"])
@pytest.mark.parametrize(
    "change", ["nothing", "album", "another album", "photo", "gone", "log out", "remove"]
)
def test_a_single_file_that_is_private_by_now_is_sent_no_further(
    site: photos.Site,
    user: Client,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    change: str,
) -> None:
    monkeypatch.setattr(photos, "RIGHTS_SECONDS", 0)
    trip = library / "Trip"
    photo = trip / "one.jpg"
    photo.write_bytes(photo.read_bytes() + bytes(1_000_000))
    environ = environ_of(user, f"/{kind}/Trip/one.jpg")
    environ["wsgi.file_wrapper"] = lambda file, *_: file
    body: Any = site(environ, lambda *_: None)
    with contextlib.closing(body):
        assert len(body.read(1000)) == 1000
        if change == "nothing":
            assert len(body.read(1000)) == 1000
            return
        if change == "album":
            trip.rename(library / "Trip.private")
        elif change == "another album":  # which has a photo of that name, too
            trip.rename(library / "Trip.private")
            draw(trip / "one.jpg")
        elif change == "photo":
            photo.rename(trip / "one.private.jpg")
        elif change == "gone":
            trip.rename(library.parent / "Trip")
        elif change == "log out":
            user.request("POST", "/logout", **OWN)
        else:
            photos.UserStore(library / ".photos").remove("anna")
        with pytest.raises(OSError):
            body.read(1000)


@pytest.mark.whole
def test_what_cannot_be_read_is_left_out_and_counted(
    site: photos.Site, visitor: Client, library: Path
) -> None:
    (library / "Trip" / "broken.jpg").symlink_to(library / "nowhere.jpg")
    assert len(names_in(download(visitor, site))) == 3


@pytest.mark.whole
def test_two_names_that_some_system_takes_for_one_are_told_apart(
    site: photos.Site, visitor: Client, library: Path
) -> None:
    draw(library / "Trip" / "ONE.jpg", colour="#101010")
    draw(library / "Trip" / "beach" / "sea.png", colour="#202020")
    names = names_in(download(visitor, site))
    assert len({name.casefold() for name in names}) == len(names) == 5


@pytest.mark.whole
def test_a_film_that_is_private_stays_out_of_its_photos_live(
    site: photos.Site, visitor: Client, user: Client, library: Path, samples: Path
) -> None:
    block = exif("2017:10:29 21:20:50", "+00:00")  # half a minute after the film
    draw(library / "Trip" / "a.jpg", (2400, 1600), exif=block)
    shutil.copy2(samples / "video" / "tiny.mp4", library / "Trip" / "a.private.mp4")
    for client, count in ((visitor, 4), (user, 5)):
        client.get("/album/Trip/")
        assert len(names_in(download(client, site))) == count
    assert "data-live" not in visitor.get("/album/Trip/").text


@pytest.mark.whole
def test_a_real_server_prepares_and_sends_it(tmp_path: Path) -> None:
    library = tmp_path / "Album"
    for number in range(30):
        draw(library / "Trip" / f"{number}.jpg", (300, 200), f"#{number:02}8899")
    with Server(set_up(library)) as server:

        def ready() -> list[str]:
            return re.findall(
                r'href="([^"]*/zip/Trip\?v=[^"]*)"', server.get("/zip/Trip")[2].decode()
            )

        (link,) = eventually(ready, 60)
        body = server.get(html.unescape(link))[2]
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            assert opened.testzip() is None
            assert len(opened.namelist()) == 30


@pytest.mark.whole
def test_a_download_that_is_cut_at_twenty_places_goes_on_with_curl(tmp_path: Path) -> None:
    needed("curl")
    library = tmp_path / "Album"
    for number in range(30):
        draw(library / "Trip" / f"{number}.jpg", (300, 200), f"#{number:02}8899")
    part = tmp_path / "part.zip"
    with Server(set_up(library)) as server:

        def ready() -> list[str]:
            return re.findall(
                r'href="([^"]*/zip/Trip\?v=[^"]*)"', server.get("/zip/Trip")[2].decode()
            )

        (link,) = eventually(ready, 60)
        address = f"{server.address}{html.unescape(link)}"
        whole = server.get(html.unescape(link))[2]
        resume = ["curl", "-sf", "-C", "-", "-o", str(part), address]
        chance = random.Random(3)
        for cut in sorted(chance.randrange(1, len(whole)) for _ in range(20)):
            subprocess.run(resume, check=True, timeout=60)
            assert part.read_bytes() == whole
            part.write_bytes(whole[:cut])
        subprocess.run(resume, check=True, timeout=60)
    assert part.read_bytes() == whole
    with zipfile.ZipFile(part) as opened:
        assert opened.testzip() is None


def download_from(server: Server, address: str, contents: dict[str, bytes]) -> str:
    """Download a ZIP and say how that ended. What came as a whole must hold what the files held."""
    try:
        status, _, body = server.get(address)
    except http.client.HTTPException:
        return "ended early"
    if status != 200:
        return f"refused with {status}"
    with zipfile.ZipFile(io.BytesIO(body)) as opened:
        for name in opened.namelist():
            assert opened.read(name) == contents[name], name
    return "whole"


@pytest.mark.whole
def test_while_photos_come_and_go_a_download_is_whole_or_ends_early(tmp_path: Path) -> None:
    library = tmp_path / "Album"
    album = library / "Trip"
    photo = draw(album / "0000.jpg").read_bytes()
    contents = {f"Trip/{number:04}.jpg": photo + b"%d" % number for number in range(1000)}
    for path, content in contents.items():
        (library / path).write_bytes(content)
    with Server(set_up(library)) as server:

        def link() -> str:
            page = server.get("/zip/Trip")[2].decode()
            links = re.findall(r'href="([^"]*/zip/Trip\?v=[^"]*)"', page)
            return html.unescape(links[0]) if links else ""

        endings = []
        for number in range(30):
            address = eventually(link, 120)
            (album / f"{number:04}.jpg").unlink()
            contents[f"Trip/new {number}.jpg"] = photo + b"new %d" % number
            (album / f"new {number}.jpg").write_bytes(contents[f"Trip/new {number}.jpg"])
            endings.append(download_from(server, address, contents))
        assert set(endings) <= {"whole", "ended early", "refused with 410"}
        assert set(endings) != {"whole"}
        _, _, body = server.get(eventually(link, 120))
    with zipfile.ZipFile(io.BytesIO(body)) as opened:
        assert opened.testzip() is None
        assert set(opened.namelist()) == {f"Trip/{path.name}" for path in album.iterdir()}
