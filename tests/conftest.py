"""Fixtures that all tests share: a library, the application over it, a browser, the real photos."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, os.fspath(Path(__file__).resolve().parent.parent))

from browsing import CLOSE_SECONDS, TEST_SECONDS, Browser, closed_already, follow
from drawing import draw, exif
from gallery import Gallery, open_gallery
from looking import Open, read
from outside import StandIn
from processes import PATIENCE, Server, eventually
from visiting import PASSWORD, Client

import photos
import renditions

# A front page leaves no album out, however slow the machine is; servers of tests have their own.
photos.LOOKING_PATIENCE = math.inf

HOME = Path(photos.__file__).resolve().parent
SAMPLES = Path(__file__).resolve().parent.parent.parent / "shared" / "photos"
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
StartPython = Callable[..., subprocess.Popen[str]]


class Clock:
    """A clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library with an album of each visibility, each with photos, and a loose photo."""
    root = tmp_path / "Album"
    draw(root / "loose.jpg", exif=exif("2020:01:01 10:00:00"))
    draw(root / "Trip" / "one.jpg", exif=exif("2024:05:06 07:08:09"))
    draw(root / "Trip" / "two.jpg", colour="#aa5500", exif=exif("2024:05:07 07:08:09"))
    draw(root / "Trip" / "Beach" / "sand.png", colour="#ccbb88")
    draw(
        root / "Drafts.hidden" / "draft.jpg",
        colour="#118844",
        exif=exif("2022:02:02 02:02:02"),
    )
    draw(
        root / "Secret.private" / "faces.jpg",
        colour="#880022",
        exif=exif("2023:03:03 03:03:03"),
    )
    return root


@pytest.fixture
def open_library(library: Path) -> Iterator[Open]:
    """Opens the library with one worker; closes it after the test."""
    opened: list[photos.Library] = []

    def open_it(root: Path = library, **options: Any) -> photos.Library:
        cache = root.parent / "state" / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        opened.append(photos.Library(root, cache, **{"workers": 1, **options}))
        return opened[-1]

    yield open_it
    for each in opened:
        each.close()


@pytest.fixture
def quiet(open_library: Open) -> Open:
    """Opens a library without workers, all its files read."""
    return lambda *root, **options: read(open_library(*root, workers=0, **options))


@pytest.fixture
def site(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[photos.Site]:
    """The application over that library, with the user anna registered and cheap password hashes."""
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    state = library / ".photos"
    photos.make_state_folder(state)
    photos.write_config(state, photos.Config(title="Our photos"))
    photos.UserStore(state).register("anna", photos.parse_password(PASSWORD))
    app = photos.create_app(state, background=False)
    yield app
    app.close()


@pytest.fixture
def visitor(site: photos.Site) -> Client:
    """Somebody who is not logged in."""
    return Client(site)


@pytest.fixture
def user(site: photos.Site) -> Client:
    """Somebody who is logged in."""
    client = Client(site)
    assert client.log_in().status == 303
    return client


@pytest.fixture
def make_site(library: Path, site: photos.Site) -> Iterator[Callable[..., photos.Site]]:
    """Makes further sites over the same library and state, with other settings."""
    made: list[photos.Site] = []

    def make(**settings: Any) -> photos.Site:
        config = photos.Config(**settings) if settings else None
        made.append(photos.create_app(library / ".photos", config=config, background=False))
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, renditions.Purpose]]:
    """All that is asked of workers: one entry a round trip."""
    requests: list[tuple[str, renditions.Purpose]] = []

    def encode(path: str, purpose: renditions.Purpose) -> str:
        requests.append((os.path.basename(path), purpose))
        return renditions.encode_request(path, purpose)

    monkeypatch.setattr(photos, "encode_request", encode)
    return requests


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an album page wait until all its files are read, so that tests see the same on a slow machine."""
    monkeypatch.setattr(photos, "READ_PATIENCE", 30)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """The application over albums of each visibility and names that hurt; tests only read it."""
    with open_gallery(tmp_path_factory.mktemp("gallery") / "Album") as made:
        yield made


@pytest.fixture
def start_python() -> Iterator[StartPython]:
    """Starts processes that run a script, in which `photos` can be imported; ends them after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", script, *map(os.fspath, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.path.dirname(photos.__file__)},
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def photos_pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos.pyz for this machine; without wheels and network, a test that needs it is skipped."""
    path = tmp_path_factory.mktemp("built") / "photos.pyz"
    build = Path(photos.__file__).with_name("build_zipapp.py")
    command = [sys.executable, os.fspath(build), "-o", os.fspath(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if "pip failed" in done.stderr or "needs pip" in done.stderr:
        pytest.skip(f"photos.pyz cannot be built: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return path


def copy_project(folder: Path, version: str = "") -> Path:
    """Copy what a build takes, the templates in another order; say that it is another version."""
    modules = ("photos.py", "renditions.py", "bootstrap.py", "build_zipapp.py")
    for name in (*modules, "wheels.lock", "LICENSE"):
        shutil.copy(HOME / name, folder)
    (folder / ".wheels").symlink_to(HOME / ".wheels")
    (folder / "templates").mkdir()
    for name in sorted(os.listdir(HOME / "templates"), reverse=True):
        if (HOME / "templates" / name).is_file():
            shutil.copy(HOME / "templates" / name, folder / "templates")
    if version:
        path = folder / "photos.py"
        text = path.read_text(encoding="utf-8")
        path.write_text(
            re.sub(r'(?m)^__version__ = ".+"$', f'__version__ = "{version}"', text), "utf-8"
        )
    return folder


def build(
    project: Path, output: Path, *flags: str, python: str = sys.executable, **options: Any
) -> str:
    """Build photos.pyz; return what that printed."""
    command = [python, project / "build_zipapp.py", "-o", output, *flags]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def newer_pyz(photos_pyz: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos.pyz of the next version."""
    project = copy_project(tmp_path_factory.mktemp("newer"), version="99.1.0")
    build(project, project / "dist" / "photos.pyz")
    return project / "dist" / "photos.pyz"


def run_together(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let processes go on that wait for it, all at the same moment; return what each printed."""
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert not any(process.returncode for process in processes)
    return outputs


def manifest() -> list[dict[str, str]]:
    """Return the rows of the manifest of real files; none where they are not there."""
    path = SAMPLES / "MANIFEST.tsv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture
def samples() -> Path:
    """The folder of real photos; a test that needs it is skipped where it is not there."""
    if not SAMPLES.is_dir():
        pytest.skip(f"no real photos at {SAMPLES}")
    return SAMPLES


# Other programs


def needed(program: str) -> str:
    """Return a program's path; without it the test is skipped, or fails where CI promised it."""
    path = shutil.which(program)
    if not path:
        missing = f"{program} is not installed"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return path


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The path of ffmpeg; a test that needs videos is skipped where it is not installed."""
    needed("ffprobe")
    return needed("ffmpeg")


# In the browser


@pytest.fixture(scope="module")
def _browser() -> Iterator[Browser]:
    path = needed("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = Browser(playwright, path)
        yield browser
        browser.close()


@pytest.fixture
def chromium(_browser: Browser) -> Iterator[Browser]:
    """The system's browser; a test that it left without an answer is run once more."""
    with _browser.ended_after(TEST_SECONDS):
        yield _browser


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun="TargetClosedError"))


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Programs on the PATH that behave like cloudflared and tailscale."""
    programs = StandIn(tmp_path / "standin")
    monkeypatch.setenv("STANDIN", os.fspath(programs.folder))
    monkeypatch.setenv("PATH", f"{programs.folder}{os.pathsep}{os.environ['PATH']}")
    yield programs
    programs.end_all()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Server]]:
    """Starts servers that run until the windows are closed."""
    with contextlib.ExitStack() as running:
        yield lambda library: running.enter_context(Server(library))


@pytest.fixture
def open_window(chromium: Browser, serve: Any) -> Iterator[Callable[..., Any]]:
    """Opens windows of a site, each with its own cookies; fails at the end if any had to complain.

    That is: errors in the console (a breach of the content security policy is one), exceptions,
    failed answers, requests to anybody else. `closed`: paths of pages that ask to log in, with 404.
    """
    complaints: list[str] = []
    contexts = []

    def open_it(address: str, *, closed: Sequence[str] = (), **options: Any) -> Any:
        contexts.append(chromium.new_context(base_url=address, **{**DESKTOP, **options}))
        origin = "://".join(urlsplit(address)[:2])
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE * 1000)

        def is_closed(url: str) -> bool:
            return urlsplit(url).path in closed

        def watch(request: Any) -> None:
            if not request.url.startswith((f"{origin}/", "data:")):
                complaints.append(f"request to {request.url}")

        def check(response: Any) -> None:
            if response.status >= 400 and not is_closed(response.url):
                complaints.append(f"{response.status} {response.url}")

        def listen(line: Any) -> None:
            is_bad = line.type in ("error", "warning")
            if is_bad and not is_closed(line.location["url"]):
                complaints.append(line.text)

        page.on("request", watch)
        page.on("response", check)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", listen)
        return page

    yield open_it
    with chromium.ended_after(CLOSE_SECONDS), closed_already():
        for context in contexts:
            for page in context.pages:
                # A request that a test still holds back could keep the window from closing.
                page.unroute_all(behavior="ignoreErrors")
            context.close()
    assert complaints == []


PICTURES = """() => [...document.images].filter(image => image.getClientRects().length)
    .map(image => [image.currentSrc || image.src, image.complete && image.naturalWidth])"""


def set_up(library: Path, **settings: Any) -> Path:
    """Do what the first run does: write settings, register anna, the owner."""
    state = library / photos.STATE_FOLDER
    photos.make_state_folder(state)
    photos.write_config(state, photos.Config(title="Our photos", **settings))
    photos.UserStore(state).register("anna", PASSWORD.encode(), owner=True)
    return library


def sees_all_pictures(page: Any) -> int:
    """Scroll through the page until every picture shows; return how many there are."""
    page.evaluate("scrollTo(0, 0)")
    height = page.evaluate("document.scrollingElement.scrollHeight")
    for top in range(0, height, 500):
        page.evaluate(f"scrollTo(0, {top})")
    eventually(lambda: all(width for _, width in page.evaluate(PICTURES)))
    return len(page.evaluate(PICTURES))


def log_in(page: Any, password: str = PASSWORD, name: str = "Anna") -> None:
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)
    follow(page, page.get_by_role("main").get_by_role("button", name="Log in"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything is installed, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
