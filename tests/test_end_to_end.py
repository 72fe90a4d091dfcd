"""A real server process and a real browser, from the first run to a power cut."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import processes
import pytest
from browsing import follow
from conftest import DESKTOP, PHONE, PICTURES, log_in, needed, sees_all_pictures, set_up
from drawing import draw, exif
from processes import Server, Terminal, eventually, free_port, processes_about, request
from visiting import PASSWORD

import photos
import renditions

ALBUMS = {
    "Thailand 2024": (
        "orientation/Landscape_1.jpg",
        "orientation/Portrait_6.jpg",
        "orientation/avif_kimono_irot90.avif",
        "heic/samsung_m31_small.heic",
        "colour/cmyk_no_profile.jpg",
        "colour/rgba.webp",
        "colour/png16_gray.png",
        "animated/iss.gif",
        "dates/offset_-04.jpg",
        "pano/wide_5to1.avif",
        "names/100% sure&yes=1+2.jpg",
        "names/quote'\"<b>x<b>.jpg",
        "names/写真 001.jpg",
    ),
    "Week-end à Paris/Tag 2": ("orientation/Portrait_1.jpg", "dates/newyear_sydney.jpg"),
    "Silly faces.private": ("phones/pixel7pro.jpg", "gps/south_east.jpg"),
    "Wedding drafts.hidden": ("hdr/apple_gainmap.jpg",),
}


pytestmark = pytest.mark.whole


@pytest.fixture(autouse=True, params=["photos.py", "photos.pyz"])
def program(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """What all tests here run: the source, and the one file with a cache of its own."""
    if request.param == "photos.pyz":
        archive = request.getfixturevalue("photos_pyz")
        monkeypatch.setattr(processes, "PROGRAM", (sys.executable, os.fspath(archive)))
        cache = tmp_path_factory.getbasetemp() / "cache of photos.pyz"
        monkeypatch.setenv("PHOTOS_CACHE_DIR", os.fspath(cache))
    return str(request.param)


@pytest.fixture
def albums(samples: Path, tmp_path: Path) -> Path:
    """A folder with albums of real photos."""
    root = tmp_path / "Album"
    for album, names in ALBUMS.items():
        (root / album).mkdir(parents=True)
        for name in names:
            shutil.copy2(samples / name, root / album)
    return root


def cookie_of(server: Server, user: str, password: str) -> dict[str, str]:
    """Log in without a browser; return the header that says who asks, empty where that failed."""
    form = urlencode({"user": user, "password": password, "next": "/"})
    status, headers, _ = request(
        server.port, "/login", "POST", form, Sec_Fetch_Site="same-origin"
    )
    return {"Cookie": headers["set-cookie"].split(";")[0]} if status == 303 else {}


def items_of(server: Server, path: str = "") -> list[dict[str, Any]]:
    status, _, body = server.get(f"/api/album{path}")
    assert status == 200
    return json.loads(body)["items"]


def thumbnails_of(items: Sequence[Mapping[str, Any]]) -> list[str]:
    return [address for item in items for address in item["thumbnails"].values()]


# The owner's first evening


def test_from_the_first_run_to_leafing_through_photos(
    albums: Path, open_window: Callable[..., Any], tmp_path: Path
) -> None:
    port = free_port()
    with Terminal("--library", albums, "--port", str(port), folder=tmp_path) as terminal:
        terminal.answer(
            ("holds your albums? [", ""),
            ("be called? [", "Our photos"),
            ("reach it? (", ""),
            ("open it? (", ""),
            ("Your user name? [", "anna"),
            ("Password: ", PASSWORD),
            ("again: ", PASSWORD),
        )
        terminal.expect(f"http://127.0.0.1:{port}/")
        terminal.expect("Ctrl-C stops it.")
        leaf_through(open_window(f"http://127.0.0.1:{port}"), albums)
        terminal.press(b"\x03")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.screen


@pytest.mark.parametrize("program", ["photos.pyz"], indirect=True)
def test_an_owner_copies_the_one_file_next_to_the_albums_and_later_a_newer_one(
    program: str,
    albums: Path,
    photos_pyz: Path,
    newer_pyz: Path,
    open_window: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = Path(shutil.copy(photos_pyz, albums))
    monkeypatch.setattr(processes, "PROGRAM", (sys.executable, archive.name))
    port = free_port()
    page = open_window(f"http://127.0.0.1:{port}")

    with Terminal("--port", str(port), folder=albums) as terminal:
        terminal.answer(
            (f"holds your albums? [{albums}]", ""),
            ("be called? [", "Our photos"),
            ("reach it? (", ""),
            ("open it? (", ""),
            ("Your user name? [", "anna"),
            ("Password: ", PASSWORD),
            ("again: ", PASSWORD),
        )
        terminal.expect(f"{archive.name} register NAME")
        terminal.expect("Ctrl-C stops it.")
        with Terminal("register", "berta", folder=albums) as another:
            another.answer(("Password: ", PASSWORD), ("again: ", PASSWORD))
            assert another.end() == 0
        leaf_through(page, albums)
        page.goto("/login")
        log_in(page, name="berta")
        page.get_by_text("Silly faces").wait_for()
        shutil.copy(newer_pyz, archive)  # over the one that runs, byte by byte
        page.goto("/album/Week-end%20%C3%A0%20Paris/Tag%202/")
        assert sees_all_pictures(page) > 1
        upgrade = processes.run("check", cwd=albums).stdout
        assert (
            "Upgrade pending: the running server is still" in upgrade
            and "photos 99.1.0" in upgrade
        )
        terminal.press(b"\x03")
        assert terminal.end() == 0
    with Terminal(folder=albums) as terminal:
        terminal.expect("Ctrl-C stops it.")
        assert "?" not in terminal.screen
        page.goto("/album/Silly%20faces/")
        assert page.get_by_text("berta").count() == 1  # still logged in
        assert sees_all_pictures(page) == 2
        assert "Upgrade pending" not in processes.run("check", cwd=albums).stdout
        assert processes.run("users", cwd=albums).stdout == "anna (owner)\nberta\n"
        terminal.press(b"\x03")
        assert terminal.end() == 0 and "Traceback" not in terminal.screen


def leaf_through(page: Any, albums: Path) -> None:
    page.goto("/")
    assert page.title() == "Our photos"
    titles = [text.strip() for text in page.locator(".card .title").all_inner_texts()]
    assert sorted(titles) == ["Thailand 2024", "Week-end à Paris"]
    assert sees_all_pictures(page) == 3  # two covers and the icon

    follow(page, page.get_by_role("link", name="Thailand 2024"))
    count = len(ALBUMS["Thailand 2024"])
    assert sees_all_pictures(page) == count
    album = page.url
    follow(page, page.locator(".grid a").first)  # the viewer opens, over the album
    first = page.url
    viewer = page.get_by_role("dialog", name="Photo viewer")
    following = viewer.get_by_role("button", name="Next photo")
    for number in range(1, count + 1):
        viewer.get_by_text(f"{number} / {count}", exact=True).wait_for()
        eventually(lambda: all(width for _, width in page.evaluate(PICTURES)))
        if number < count:
            following.click()
    assert following.count() == 0

    page.goto(first)
    viewer.get_by_text(f"1 / {count}", exact=True).wait_for()
    page.keyboard.press("ArrowRight")
    viewer.get_by_text(f"2 / {count}", exact=True).wait_for()
    assert page.url != first
    page.keyboard.press("ArrowLeft")
    viewer.get_by_text(f"1 / {count}", exact=True).wait_for()
    page.wait_for_url(first)
    with page.expect_download() as download:
        page.keyboard.press("d")
    name = unquote(urlsplit(first).path.rpartition("/")[2])
    assert download.value.suggested_filename == name
    assert (
        Path(download.value.path()).read_bytes()
        == (albums / "Thailand 2024" / name).read_bytes()
    )
    viewer.get_by_role("button", name="Close").click()
    page.wait_for_url(album)
    page.go_back()
    page.wait_for_url(first)
    viewer.get_by_text(f"1 / {count}", exact=True).wait_for()


def test_private_albums_need_a_login_that_leads_back(
    albums: Path, serve: Callable[[Path], Server], open_window: Callable[..., Any]
) -> None:
    server = serve(set_up(albums))
    album = "/album/Silly%20faces/"
    asked = f"{album}south_east.jpg"
    page = open_window(server.address, closed=(album, asked))
    assert page.goto(asked).status == 404
    assert "Silly" not in page.inner_text("body") and "faces" not in page.title()
    log_in(page)
    page.get_by_role("dialog", name="Photo viewer").wait_for()
    assert urlsplit(page.url).path == asked
    assert sees_all_pictures(page) > 2

    page.goto("/")
    assert (
        page.locator(".card", has_text="Silly faces").locator(".badge").inner_text()
        == "Private"
    )
    assert (
        page.locator(".card", has_text="Wedding drafts").locator(".badge").inner_text()
        == "Hidden"
    )
    sees_all_pictures(page)
    follow(page, page.get_by_role("link", name="Silly faces"))
    assert page.locator("h1 .badge").inner_text() == "Private"
    assert sees_all_pictures(page) == 2
    picture = page.locator(".grid img").first.evaluate("image => image.currentSrc")
    cookies = page.context.cookies()
    assert [(c["httpOnly"], c["secure"]) for c in cookies] == [(True, False)]

    follow(page, page.get_by_role("button", name="Log out"))
    page.wait_for_url(f"{server.address}/")
    assert (
        page.get_by_text("Silly faces").count() == 0
        and page.get_by_text("Wedding").count() == 0
    )
    page.go_back()
    page.get_by_label("User name").wait_for()
    assert urlsplit(page.url).path == album
    assert "Silly" not in page.inner_text("body")
    copied = {"Cookie": f"{cookies[0]['name']}={cookies[0]['value']}"}
    path = picture.removeprefix(server.address)
    assert [server.get(path)[0], server.get(path, **copied)[0]] == [404, 404]


# While it runs


def test_renamed_folders_and_dropped_photos_are_seen_at_the_next_load(
    albums: Path,
    serve: Callable[[Path], Server],
    open_window: Callable[..., Any],
    samples: Path,
) -> None:
    server = serve(set_up(albums))
    album, full_name = "/album/Thailand%202024/", "/album/Thailand%202024.private/"
    visitor = open_window(server.address, closed=(album, full_name))
    user = open_window(server.address)
    user.goto("/login")
    log_in(user)
    visitor.goto(album)
    sees_all_pictures(visitor)
    made = sorted(os.listdir(albums / ".photos" / "cache" / photos.RENDITIONS_FOLDER))

    shutil.copy(samples / "phones/iphone6s_gps.jpg", albums / "Thailand 2024" / "new.jpg")
    (albums / "Dropped").mkdir()
    shutil.copy(samples / "dates/big_ben_+01.jpg", albums / "Dropped")
    visitor.reload()
    assert visitor.locator(".grid a[href$='/new.jpg']").count() == 1
    assert sees_all_pictures(visitor) == len(ALBUMS["Thailand 2024"]) + 1
    visitor.goto("/")
    assert visitor.locator(".card", has_text="Dropped").count() == 1
    sees_all_pictures(visitor)

    (albums / "Thailand 2024").rename(albums / "Thailand 2024.private")
    visitor.reload()
    assert visitor.locator(".card", has_text="Thailand").count() == 0
    for address in (album, full_name):
        assert visitor.goto(address).status == 404
        assert "Thailand" not in visitor.inner_text("body")
    user.goto(full_name)
    assert urlsplit(user.url).path == album
    assert user.locator("h1 .badge").inner_text() == "Private"
    assert sees_all_pictures(user) == len(ALBUMS["Thailand 2024"]) + 1
    assert set(made) <= set(
        os.listdir(albums / ".photos" / "cache" / photos.RENDITIONS_FOLDER)
    )

    (albums / "Thailand 2024.private" / "new.jpg").unlink()
    user.reload()
    assert user.locator(".grid a[href$='/new.jpg']").count() == 0


def test_commands_take_effect_while_the_server_runs(library: Path) -> None:
    private = "/album/Secret/"
    with Server(set_up(library)) as server:
        anna = cookie_of(server, "anna", PASSWORD)
        assert server.get(private, **anna)[0] == 200
        assert not cookie_of(server, "bob", "password of bob")

        server.command("register", "bob", "--password-stdin", stdin="password of bob")
        bob = cookie_of(server, "bob", "password of bob")
        assert server.get(private, **bob)[0] == 200
        assert server.command("users") == "anna (owner)\nbob\n"

        server.command("passwd", "bob", "--password-stdin", stdin="another password")
        assert server.get(private, **bob)[0] == 404
        assert not cookie_of(server, "bob", "password of bob")
        bob = cookie_of(server, "bob", "another password")
        assert server.get(private, **bob)[0] == 200

        server.command("remove", "bob")
        assert server.get(private, **bob)[0] == 404
        assert not cookie_of(server, "bob", "another password")
        assert server.get(private, **anna)[0] == 200


def test_a_newer_version_copied_over_the_running_one_stops_nothing(
    library: Path, tmp_path: Path
) -> None:
    program = Path(shutil.copy(photos.__file__, tmp_path))
    worker_code = Path(shutil.copy(renditions.__file__, tmp_path))
    shutil.copytree(Path(photos.__file__).with_name("templates"), tmp_path / "templates")
    reply = "return json.dumps(facts)"
    newer = 'return json.dumps({**facts, "news": "of the next version"})'
    assert reply in worker_code.read_text()
    with Server(library, program=program) as server:
        worker_code.write_text(worker_code.read_text().replace(reply, newer))
        for worker in processes_about(library / ".photos" / "cache"):
            os.kill(worker, signal.SIGKILL)
        for name in ("one.jpg", "two.jpg") * photos.WORKERS:
            assert server.get(f"/thumbnail/Trip/{name}")[0] in (200, 404, 503)


# In the browser


@pytest.mark.parametrize("name", ["tiny.mp4", "vp9.webm"])
def test_a_video_plays_in_ranges(
    samples: Path,
    tmp_path: Path,
    serve: Callable[[Path], Server],
    open_window: Callable[..., Any],
    name: str,
    ffmpeg: str,
) -> None:
    library = tmp_path / "Album"
    (library / "Film").mkdir(parents=True)
    original = Path(shutil.copy(samples / "video" / name, library / "Film"))
    server = serve(library)
    page = open_window(server.address)
    statuses = []
    page.on("response", lambda r: statuses.append(r.status) if "/photo/" in r.url else None)
    page.goto("/album/Film/")
    assert sees_all_pictures(page) == 1  # the poster
    page.locator(".grid a").click()
    video = page.get_by_role("dialog").locator("video")
    video.evaluate("async video => { video.muted = true; await video.play() }")
    eventually(
        lambda: video.evaluate("video => video.readyState >= 2 && video.currentTime > 0")
    )
    assert statuses and set(statuses) == {206}

    content, path = original.read_bytes(), f"/photo/Film/{name}"
    size = len(content)
    for asked, start, end in (
        ("0-99", 0, 100),
        ("100-", 100, size),
        ("-7", size - 7, size),
        (f"9-{size * 9}", 9, size),
    ):
        status, headers, body = server.get(path, Range=f"bytes={asked}")
        assert (status, headers["content-range"]) == (
            206,
            f"bytes {start}-{end - 1}/{size}",
        )
        assert body == content[start:end]
    status, headers, _ = server.get(path, Range=f"bytes={size}-")
    assert (status, headers["content-range"]) == (416, f"bytes */{size}")


SHIFTS = """window.shifts = [];
new PerformanceObserver(list => shifts.push(...list.getEntries().map(entry => entry.value)))
    .observe({type: "layout-shift", buffered: true});"""


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_moves_while_a_page_loads(
    albums: Path,
    samples: Path,
    serve: Callable[[Path], Server],
    open_window: Callable[..., Any],
    screen: dict[str, Any],
) -> None:
    shutil.copy(samples / "broken" / "text.jpg", albums / "Thailand 2024")
    for path in (samples / "orientation").glob("*_[3-7].jpg"):
        shutil.copy(path, albums)
    server = serve(albums)
    # The page waits only so long for facts; a busy machine may not know the broken file by then.
    eventually(
        lambda: any(item["problem"] for item in items_of(server, "/Thailand%202024"))
    )
    page = open_window(server.address, **screen)
    page.add_init_script(SHIFTS)
    for address in ("/", "/album/Thailand%202024/") * 2:  # cold, then from caches
        page.goto(address)
        assert sees_all_pictures(page) > 3
        page.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        assert page.evaluate("shifts") == []
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        check_reading_order(page)
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("document.querySelector('main').style.marginTop = '300px'")
    eventually(lambda: page.evaluate("shifts"))  # so the measurement measures


def check_reading_order(page: Any) -> None:
    """Nothing starts higher than what goes before it; nothing overlaps; there are columns."""
    boxes = page.evaluate(
        """[...document.querySelectorAll('.grid li')].map(item => item.getBoundingClientRect())
            .map(box => [box.top, box.left, box.bottom, box.right].map(Math.round))"""
    )
    assert len({left for _, left, _, _ in boxes}) > 1
    for at, (top, left, bottom, right) in enumerate(boxes):
        for later_top, later_left, later_bottom, later_right in boxes[at + 1 :]:
            assert (top, left) < (later_top + 1, later_left), boxes
            apart_across = later_left >= right - 1 or later_right <= left + 1
            assert apart_across or later_top >= bottom - 1 or later_bottom <= top + 1, boxes


def test_everything_works_without_javascript(
    albums: Path, serve: Callable[[Path], Server], open_window: Callable[..., Any]
) -> None:
    server = serve(set_up(albums))
    page = open_window(server.address, java_script_enabled=False)
    page.goto("/")
    follow(page, page.get_by_role("link", name="Thailand 2024"))
    follow(page, page.locator(".grid a").first)
    follow(page, page.get_by_role("link", name="Next photo"))
    assert "2 of" in page.inner_text(".facts")
    follow(page, page.get_by_role("link", name="Previous photo"))
    assert "1 of" in page.inner_text(".facts")
    follow(page, page.locator("a.picture"))
    assert urlsplit(page.url).path.startswith(("/photo/Thailand", "/preview/Thailand"))
    page.goto("/")
    follow(page, page.get_by_role("link", name="Log in"))
    log_in(page)
    follow(page, page.get_by_role("link", name="Silly faces"))
    assert page.inner_text("h1 .badge") == "Private"
    follow(page, page.get_by_role("button", name="Log out"))
    assert page.get_by_role("link", name="Silly faces").count() == 0


# Power cuts and Ctrl-C


@pytest.fixture(scope="module")
def slow_photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """More photos than may be waited for at once, of 54 megapixels: each half a second of work."""
    first = draw(
        tmp_path_factory.mktemp("slow") / "0.png",
        (9000, 6000),
        exif=exif(),
        compress_level=1,
    )
    others = [
        first.with_name(f"{number}.png") for number in range(1, photos.WAITING_THREADS + 40)
    ]
    return [first, *(Path(shutil.copy(first, other)) for other in others)]


@pytest.fixture
def slow_album(tmp_path: Path, slow_photos: list[Path]) -> Callable[[int], Path]:
    """Makes a library with so many of them."""

    def make(count: int) -> Path:
        album = tmp_path / "Album" / "Slow"
        album.mkdir(parents=True)
        for photo in slow_photos[:count]:
            os.link(photo, album / photo.name)
        return album.parent

    return make


def check_thumbnails(server: Server, count: int) -> None:
    """Every photo of the slow album has its thumbnails."""
    items = items_of(server, "/Slow")
    assert [item["problem"] for item in items] == [""] * count
    for address in thumbnails_of(items):
        status, headers, body = server.get(address)
        assert (status, headers["content-type"], body[8:12]) == (200, "image/webp", b"WEBP")


def test_a_killed_worker_costs_no_photo(slow_album: Callable[[int], Path]) -> None:
    library = slow_album(4)
    cache = library / ".photos" / "cache"
    with (
        Server(library) as server,
        socket.create_connection(("127.0.0.1", server.port)) as visitor,
    ):
        visitor.sendall(
            b"GET /thumbnail/Slow/0.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        for worker in eventually(lambda: processes_about(cache), pause=0.01):
            os.kill(worker, signal.SIGKILL)
            eventually(lambda gone=worker: gone not in processes_about(cache))
        assert b" 200 " in visitor.recv(100)
        check_thumbnails(server, 4)
    eventually(lambda: not processes_about(cache))


def test_a_killed_server_loses_nothing(slow_album: Callable[[int], Path]) -> None:
    library = set_up(slow_album(8))
    state = library / ".photos"
    users = (state / "users.json").read_bytes()
    drawn = max(path.stat().st_ctime for path in (library / "Slow").iterdir())
    # So that the background pass takes them up at once.
    eventually(lambda: time.time() > drawn + photos.SETTLE_SECONDS)
    with Server(library) as server:
        eventually(lambda: list((state / "cache").rglob("*.webp")))
        assert processes_about(state / "cache")
        server.process.kill()
        server.process.wait()
        assert len(list((state / "cache").rglob("*-preview.webp"))) < 8, (
            "all was done before"
        )
        eventually(lambda: not processes_about(state / "cache"))
    assert (state / "users.json").read_bytes() == users
    assert photos.read_config(state) == photos.Config(title="Our photos")
    with Server(library) as server:
        assert cookie_of(server, "anna", PASSWORD)
        check_thumbnails(server, 8)


def is_stopping(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a server has ended, or ignores signals as it does while it stops."""
    if process.poll() is not None:
        return True
    status = Path(f"/proc/{process.pid}/status").read_text()
    ignored = re.search(r"^SigIgn:\s*(\w+)$", status, re.MULTILINE)
    return bool(ignored) and int(ignored[1], 16) & 1 << signal.SIGTERM - 1 != 0


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGINT], [signal.SIGINT] * 3],
    ids=["SIGTERM", "Ctrl-C", "impatient"],
)
def test_stopping_is_quick_while_hundreds_wait_for_thumbnails(
    slow_album: Callable[[int], Path], signals: list[signal.Signals]
) -> None:
    count = photos.WAITING_THREADS + 40  # some may be made before all others are asked for
    library = slow_album(count)
    # All visitors come through one proxy, which may have more connections than anybody else.
    proxy = ("--trusted-proxy", "127.0.0.1")
    with Server(library, *proxy) as server, contextlib.ExitStack() as visitors:
        waiting = []
        for number in range(count):
            visitor = visitors.enter_context(
                socket.create_connection(("127.0.0.1", server.port))
            )
            visitor.sendall(
                f"GET /thumbnail/Slow/{number}.png HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
            waiting.append(visitor)

        def is_one_refused() -> bool:  # no thread left to wait in: the others wait
            answered, _, _ = select.select(waiting, [], [], 0.1)
            return any(b" 503 " in visitor.recv(100) for visitor in answered)

        eventually(is_one_refused)
        assert server.get("/healthz")[0] == 200
        for each in signals[:-1]:
            server.process.send_signal(each)
            eventually(lambda: is_stopping(server.process))
        status, seconds = server.end(signals[-1])
        # All of these pictures would take a minute; a busy machine takes its time for anything.
        assert status == 0 and seconds < 20, server.output
    eventually(lambda: not processes_about(library / ".photos" / "cache"))


# Elsewhere


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[[str, int], None]]:
    """Starts nginx with TLS on a port; `location` says where /photos/ goes."""
    program, openssl = needed("nginx"), needed("openssl")
    folder = tmp_path / "nginx"
    folder.mkdir()
    certificate = [
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]
    files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subprocess.run(
        [openssl, "req", *certificate, *files, "-subj", "/CN=127.0.0.1"],
        check=True,
        capture_output=True,
    )
    running = []

    def start(location: str, port: int) -> None:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"""daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
            events {{}}
            http {{
                access_log off; {temporary}
                server {{
                    listen 127.0.0.1:{port} ssl;
                    ssl_certificate certificate.pem; ssl_certificate_key key.pem;
                    location /photos/ {{
                        {location}
                        proxy_set_header Host $http_host;
                        proxy_set_header X-Forwarded-For $remote_addr;
                        proxy_set_header X-Forwarded-Proto $scheme;
                    }}
                }}
            }}"""
        )
        command = [
            program,
            "-c",
            folder / "nginx.conf",
            "-p",
            folder,
            "-e",
            folder / "error.log",
        ]
        running.append(subprocess.Popen(command))
        eventually(lambda: _listens(port))

    yield start
    for process in running:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("path", ["", "/"], ids=["prefix kept", "prefix cut off"])
def test_behind_a_tls_proxy_below_a_prefix(
    albums: Path,
    serve: Callable[[Path], Server],
    nginx: Callable[[str, int], None],
    open_window: Callable[..., Any],
    path: str,
) -> None:
    port = free_port()
    public = f"https://127.0.0.1:{port}/photos"
    server = serve(set_up(albums, public_address=public, trusted_proxy="127.0.0.1"))
    nginx(f"proxy_pass http://127.0.0.1:{server.port}{path};", port)
    assert f"{public}/" in server.output
    closed = "/photos/album/Silly%20faces/"
    page = open_window(f"{public}/", closed=(closed,), ignore_https_errors=True)
    inside: list[bool] = []
    page.on("request", lambda request: inside.append(request.url.startswith(f"{public}/")))
    assert page.goto("album/Silly%20faces/").status == 404
    log_in(page)
    page.get_by_role("button", name="Log out").wait_for()
    assert page.url == f"{public}/album/Silly%20faces/"
    assert sees_all_pictures(page) == 2
    (cookie,) = page.context.cookies()
    assert cookie["name"].startswith("__Host-photos-")
    assert (cookie["secure"], cookie["httpOnly"]) == (True, True)
    assert (cookie["path"], cookie["sameSite"], cookie["domain"]) == (
        "/",
        "Lax",
        "127.0.0.1",
    )

    follow(page, page.get_by_role("link", name="All albums").first)
    follow(page, page.get_by_role("link", name="Thailand 2024"))
    page.locator(".grid a[href*=yes]").click()
    viewer = page.get_by_role("dialog", name="Photo viewer")
    viewer.get_by_role("button", name="Next photo").click()
    sees_all_pictures(page)
    viewer.get_by_role("button", name="Close").click()
    viewer.wait_for(state="hidden")
    follow(page, page.get_by_role("button", name="Log out"))
    page.wait_for_url(f"{public}/")
    assert page.context.cookies() == [] and page.get_by_text("Silly faces").count() == 0
    assert all(inside)


UNDER_WSGIREF = """
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
import photos

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

app = photos.create_app(sys.argv[1])
make_server("127.0.0.1", int(sys.argv[2]), app, server_class=Server).serve_forever()
"""


@pytest.fixture
def under_wsgiref(library: Path) -> Iterator[int]:
    """The application of that library under the standard library's server; its port."""
    port = free_port()
    folder = Path(photos.__file__).parent
    arguments = [os.fspath(set_up(library) / ".photos"), str(port)]
    command = [sys.executable, "-c", UNDER_WSGIREF, *arguments]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _listens(port))
            yield port
        finally:
            process.terminate()


def test_any_wsgi_server_can_run_it(under_wsgiref: int, library: Path) -> None:
    def get(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return request(under_wsgiref, path, **headers)

    status, _, page = get("/")
    assert status == 200 and b"Trip" in page and b"Secret" not in page
    (item,) = json.loads(get("/api/album")[2])["items"]
    assert get(item["thumbnails"]["320"])[1]["content-type"] == "image/webp"
    original = (library / "loose.jpg").read_bytes()
    assert get(item["original"])[2] == original

    assert get("/album/Secret/")[0] == 404
    form = urlencode({"user": "anna", "password": PASSWORD})
    status, headers, _ = request(
        under_wsgiref, "/login", "POST", form, Sec_Fetch_Site="same-origin"
    )
    assert status == 303
    assert get("/album/Secret/", Cookie=headers["set-cookie"].split(";")[0])[0] == 200


def test_a_range_has_no_more_bytes_than_asked_for_under_any_server(
    under_wsgiref: int, library: Path
) -> None:
    with socket.create_connection(("127.0.0.1", under_wsgiref)) as visitor:
        visitor.sendall(b"GET /photo/loose.jpg HTTP/1.0\r\nRange: bytes=10-19\r\n\r\n")
        answer = b"".join(iter(lambda: visitor.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 206 " in head.split(b"\r\n")[0]
    assert body == (library / "loose.jpg").read_bytes()[10:20]
