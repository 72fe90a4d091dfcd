"""photos.pyz as it is built: on machines of all kinds, with caches in all states, under attack."""

from __future__ import annotations

import contextlib
import functools
import glob
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import build, copy_project
from drawing import draw
from PIL import Image
from processes import Server, eventually, processes_about

import bootstrap
import build_zipapp
import photos

pytestmark = pytest.mark.whole

HOME = Path(photos.__file__).resolve().parent
BARE = os.path.realpath(
    sys.executable
)  # the Python of this environment, without its packages
SOMEBODY = 12345  # a user id that is not ours
DAY, HOUR = 86400, 3600
ROOT = os.getuid() == 0
# Permission bits hold root back, too, once it has given up CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER.
LIKE_ANY_USER = (
    "import ctypes, os, sys; [ctypes.CDLL(None).prctl(24, power, 0, 0, 0) for power in (1, 2, 3)]; "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
Finished = subprocess.CompletedProcess[str]


def version_of(python: str) -> tuple[int, int]:
    """Return the version that the path of an interpreter names."""
    found = re.search(r"/python(\d)\.(\d+)$", python)
    assert found, python
    return int(found[1]), int(found[2])


def interpreters() -> set[str]:
    """Return all Pythons of this machine, each once: pyenv's, the system's, our own."""
    folders = glob.glob(os.path.expanduser("~/.pyenv/versions/[23].*.*[0-9]/bin"))
    folders += [
        folder for folder in os.get_exec_path() if not folder.endswith("/shims")
    ]  # of those above
    found = [
        os.path.realpath(path)
        for folder in folders
        for path in glob.glob(f"{folder}/python[23]*")
    ]
    return {BARE, *(path for path in found if re.search(r"/python\d\.\d+$", path))}


NEW = sorted(
    each
    for each in interpreters()
    if "{}{}".format(*version_of(each)) in build_zipapp.PYTHONS
)
OLD = sorted(each for each in interpreters() if version_of(each) < (3, 11))


# One machine


class Machine:
    """An owner's machine, whose home folder has nothing in it, with a copy of photos.pyz in the library."""

    def __init__(self, folder: Path, archive: Path, library: Path) -> None:
        self.library = library
        self.home, self.temporary = folder / "home", folder / "temporary"
        for each in (self.home, self.temporary):
            each.mkdir()
        self.cache = self.home / ".cache" / "photos.pyz"
        self.archive = library / "photos.pyz"
        shutil.copy2(archive, self.archive)
        self.python = BARE
        self.environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": os.fspath(self.home),
            "TMPDIR": os.fspath(self.temporary),
        }

    def command(self, *arguments: str | Path, flags: Sequence[str] = ()) -> list[str]:
        return [self.python, *flags, *map(os.fspath, (self.archive, *arguments))]

    def run(
        self,
        *arguments: str | Path,
        flags: Sequence[str] = (),
        before: Sequence[str] = (),
        **options: Any,
    ) -> Finished:
        """Run photos.pyz to its end; `before` is what the command line begins with."""
        command = [*before, *self.command(*arguments, flags=flags)]
        options = {
            "env": self.environ,
            "cwd": self.home,
            "stdin": subprocess.DEVNULL,
        } | options
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, **options
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def serve(self, *, flags: Sequence[str] = (), folder: Path | None = None) -> Server:
        """Return a server, to be started by `with`."""
        server = Server(self.library, program=self.archive)
        variables = [f"{name}={value}" for name, value in self.environ.items()]
        place = os.fspath(folder or self.home)
        server._command[:1] = [
            "/usr/bin/env",
            "-i",
            "-C",
            place,
            *variables,
            self.python,
            *flags,
        ]
        return server

    def unpacked(self, kind: str, root: Path | None = None) -> Path:
        """Return the one folder of a kind in the cache."""
        (found,) = (root or self.cache).glob(f"{kind}-*")
        return found

    def left_behind(self) -> list[str]:
        """Return what runs of photos.pyz left in the folder for temporary files."""
        return os.listdir(self.temporary)


@pytest.fixture
def machine(tmp_path: Path, photos_pyz: Path, library: Path) -> Iterator[Machine]:
    """A machine on which photos.pyz was never started; the test leaves no copy of anything large."""
    made = Machine(tmp_path, photos_pyz, library)
    yield made
    for folder in (made.home, made.temporary):
        shutil.rmtree(folder)
    (library / "photos.pyz").unlink()


@pytest.fixture(scope="module")
def warm_cache(
    photos_pyz: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The cache after a first start."""
    folder = tmp_path_factory.mktemp("warm")
    environ = {"PATH": os.environ["PATH"], "HOME": os.fspath(folder), "LANG": "C.UTF-8"}
    subprocess.run(
        [BARE, photos_pyz, "--version"],
        env=environ,
        check=True,
        capture_output=True,
        timeout=120,
    )
    yield folder / ".cache" / "photos.pyz"
    shutil.rmtree(folder)


@pytest.fixture
def warm(machine: Machine, warm_cache: Path) -> Machine:
    """A machine on which photos.pyz was started before."""
    shutil.copytree(warm_cache, machine.cache)
    return machine


def works(done: Finished) -> Finished:
    """Check that a run that was to show versions did it, with the Pillow that photos.pyz brings."""
    assert done.returncode == 0, done.stderr
    assert re.match(
        r"photos \S+, build [0-9a-f]{12}, Python 3\.\S+, Pillow \S+, libheif \S+\. ",
        done.stdout,
    )
    return done


def refuses(done: Finished, sentence: str) -> Finished:
    """Check that a run said why it cannot start, and did nothing."""
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert re.fullmatch(r"photos: .+\n", done.stderr.splitlines(keepends=True)[-1])
    assert sentence in done.stderr
    return done


def renders(server: Server, name: str) -> None:
    """Drop a photo into an album; its page and thumbnail must come, the latter from a worker."""
    draw(server.library / "Trip" / name, size=(700, 500), colour="#228855")
    assert server.get("/album/Trip/")[0] == 200
    assert server.get(f"/album/Trip/{name}")[0] == 200
    items = json.loads(server.get("/api/album/Trip")[2])["items"]
    (item,) = (item for item in items if item["name"] == name)
    status, _, body = server.get(item["thumbnails"]["320"])
    assert status == 200, server.output
    with Image.open(io.BytesIO(body)) as image:
        assert (image.format, image.width) == ("WEBP", 320)


def workers_of(server: Server) -> set[int]:
    return processes_about(server.state / "cache") - {server.process.pid}


def end_workers(server: Server) -> None:
    """Kill the workers, so that new ones must be started."""
    for number in eventually(lambda: workers_of(server)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def age(folder: Path, seconds: float) -> None:
    """Make a folder look as if it was last used so long ago."""
    for path in (folder / ".complete", folder):
        if path.exists():
            os.utime(path, (time.time() - seconds,) * 2)


# Building


def test_any_python_umask_time_zone_and_folder_build_the_same_bytes(
    photos_pyz: Path, tmp_path: Path
) -> None:
    project = copy_project(tmp_path)
    zones = ["Pacific/Apia", "America/St_Johns", "Asia/Kathmandu"]
    for number, python in enumerate(NEW):
        environ = {**os.environ, "TZ": zones[number % 3], "PYTHONHASHSEED": str(number)}
        build(
            project,
            tmp_path / "photos.pyz",
            python=python,
            env=environ,
            umask=(0, 0o077, 0o027)[number % 3],
        )
        assert (tmp_path / "photos.pyz").read_bytes() == photos_pyz.read_bytes(), python
        assert stat.S_IMODE((tmp_path / "photos.pyz").stat().st_mode) == 0o755


def test_a_build_whose_words_nobody_reads_ends_quietly(
    photos_pyz: Path, tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [
        sys.executable,
        copy_project(tmp_path) / "build_zipapp.py",
        "-o",
        tmp_path / "photos.pyz",
    ]
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=120
    )
    os.close(writer)
    assert (
        done.stderr == b""
        and (tmp_path / "photos.pyz").read_bytes() == photos_pyz.read_bytes()
    )


def test_what_is_built_is_a_sound_zip_archive_that_names_its_parts(
    photos_pyz: Path,
) -> None:
    with zipfile.ZipFile(photos_pyz) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        notice = archive.read("NOTICE").decode()
        told = json.loads(archive.read("build.json"))
    assert names == sorted(set(names))
    packages = {wheel.package: wheel.version for wheel in build_zipapp.locked_wheels()}
    assert set(packages) == {name.replace("-", "_") for name in build_zipapp.PACKAGES}
    for package, version in packages.items():
        assert re.search(
            rf"^{package} {re.escape(version)}: [A-Z]{{3}}", notice, re.MULTILINE
        )
        assert any(re.match(rf"licenses/{package}/.*LICEN", name) for name in names), (
            package
        )
    assert (
        f"photos {told['version']}: MIT\n" in notice and "licenses/photos/LICENSE" in names
    )
    assert "GPL-2.0" in notice and "LGPL-3.0" in notice


def test_without_heif_no_part_of_it_is_inside(machine: Machine) -> None:
    said = build(HOME, machine.archive, "--no-heif")
    assert "GPL" not in said
    with zipfile.ZipFile(machine.archive) as archive:
        everything = [*archive.namelist(), archive.read("NOTICE").decode()]
        lists = [
            archive.read(name).decode()
            for name in archive.namelist()
            if name.startswith("lists/")
        ]
    assert "GPL" not in everything[-1]
    for text in (*everything, *lists):
        # pillow_heif itself; what bears the name in Pillow and in photos.py is none of it
        assert not re.search(r"pillow_heif|libheif|libde265|libx265", text), text
    done = machine.run("--version")
    assert done.returncode == 0 and "libheif" not in done.stdout
    assert "HEIC photos are listed, not shown" in done.stdout


# Pythons


@pytest.mark.parametrize("python", NEW)
def test_it_serves_under_every_python_that_is_new_enough(
    python: str, machine: Machine
) -> None:
    machine.python = python
    with machine.serve() as server:
        renders(server, "first.jpg")
    done = works(machine.run("--version"))
    assert done.stderr == "" and "HEIC photos (iPhone) are shown." in done.stdout
    assert machine.left_behind() == []


def test_under_an_older_python_it_says_which_it_needs(machine: Machine) -> None:
    for machine.python in OLD:
        done = refuses(
            machine.run("--version"), "photos.pyz needs Python 3.11 or newer, this is "
        )
        assert done.stderr.endswith(" {}.{}.\n".format(*version_of(machine.python)))
        assert os.listdir(machine.home) == []


# Command line


def test_version_names_version_build_and_libraries(warm: Machine) -> None:
    with zipfile.ZipFile(warm.archive) as archive:
        told = json.loads(archive.read("build.json"))
    versions = {wheel.package: wheel.version for wheel in build_zipapp.locked_wheels()}
    said = works(warm.run("--version")).stdout
    assert said.startswith(f"photos {told['version']}, build {told['build']}, Python 3.")
    assert f", Pillow {versions['pillow']}, libheif " in said


def test_help_names_the_commands(warm: Machine) -> None:
    done = warm.run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for command in ("serve", "register", "index", "check"):
        assert f"    {command} " in done.stdout


def test_it_can_be_run_by_its_name(warm: Machine) -> None:
    (warm.home / "bin").mkdir()
    (warm.home / "bin" / "python3").symlink_to(BARE)
    warm.environ["PATH"] = f"{warm.home / 'bin'}:{warm.environ['PATH']}"
    done = subprocess.run(
        [warm.archive, "--version"],
        env=warm.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    works(done)


def test_the_library_is_the_folder_of_the_file_wherever_it_is_started(
    warm: Machine, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    state = warm.library / ".photos"
    done = warm.run("check", cwd=elsewhere)
    assert done.returncode == 1 and f"There are no settings in {state}." in done.stderr
    assert warm.run("--library", warm.library, "index").returncode == 0
    for folder, archive in (
        (elsewhere, os.path.relpath(warm.archive, elsewhere)),
        (warm.library, "photos.pyz"),
    ):
        done = subprocess.run(
            [BARE, archive, "check"],
            cwd=folder,
            env=warm.environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert f"{state}: only you can read it" in done.stdout
        assert "Upgrade pending" not in done.stdout
    assert os.listdir(elsewhere) == []


def test_an_upgrade_under_a_running_server_waits_for_its_restart(
    warm: Machine, newer_pyz: Path
) -> None:
    with warm.serve() as server:
        renders(server, "before.jpg")
        before = warm.run("--library", warm.library, "check").stdout
        assert "Upgrade pending" not in before
        shutil.copy(newer_pyz, warm.archive.with_name("new"))
        os.replace(warm.archive.with_name("new"), warm.archive)
        end_workers(server)
        renders(server, "after.jpg")
        assert server.get("/login")[0] == 200
        check = warm.run("--library", warm.library, "check").stdout
        old = " ".join(before.split(", Python")[0].split())
        pending = f"Upgrade pending: the running server is still {old}. Restart it."
        assert pending in check
    with warm.serve() as server:
        renders(server, "upgraded.jpg")
        check = warm.run("--library", warm.library, "check").stdout
        assert check.startswith("photos 99.1.0, build ") and "Upgrade pending" not in check


# Many starts, and starts that are cut short


def test_six_first_starts_at_once_all_work_and_leave_one_copy(machine: Machine) -> None:
    with ThreadPoolExecutor(6) as pool:
        for done in pool.map(lambda _: machine.run("--version"), range(6)):
            assert works(done).stderr == ""
    assert sorted(
        re.sub(r"-[0-9a-f]{16}$", "", name) for name in os.listdir(machine.cache)
    ) == [".lock", "app", "native"]
    assert machine.left_behind() == []


def test_after_a_first_start_that_was_killed_at_any_moment_the_next_one_works(
    machine: Machine, tmp_path: Path
) -> None:
    chance = random.Random(20240506)
    started = time.monotonic()
    works(machine.run("--version"))
    duration = time.monotonic() - started

    def survives(number: int) -> None:
        moment = (number + chance.random()) / 12 * duration
        home = tmp_path / f"home {number}"
        home.mkdir()
        environ = {**machine.environ, "HOME": os.fspath(home)}
        process = subprocess.Popen(
            machine.command("--version"),
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moment)
        process.kill()
        process.wait()
        try:
            assert works(machine.run("--version", env=environ)).stderr == "", moment
            root = home / ".cache" / "photos.pyz"
            assert machine.unpacked("app", root) and machine.unpacked("native", root)
        finally:
            shutil.rmtree(home)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(survives, range(12)))


# Places that cannot be used, or should not


def in_new_namespace(script: str, *arguments: str | Path) -> list[str]:
    """Return the beginning of a command line: what a shell script mounts is there for that command alone."""
    as_root = [] if ROOT else ["--user", "--map-root-user"]
    begin = [
        "unshare",
        *as_root,
        "--mount",
        "sh",
        "-ec",
        f'{script}\nshift {len(arguments)}; exec "$@"',
        "sh",
    ]
    return [*begin, *map(os.fspath, arguments)]


def mounted(options: str, folder: Path) -> list[str]:
    """Return the beginning of a command line that finds a new, empty disk in memory in a folder."""
    return in_new_namespace('mount -t tmpfs -o "$1" none "$2"', options, folder)


@functools.cache
def may_mount() -> bool:
    begin = mounted("size=1m", Path("/mnt"))
    return not subprocess.run([*begin, "true"], capture_output=True, check=False).returncode


needs_mount = pytest.mark.skipif(
    "not may_mount()", reason="this machine lets nobody mount anything"
)


def works_for_this_run(machine: Machine, done: Finished, why: str) -> None:
    """Check that a run said why it did not use the cache, worked all the same, and cleaned up."""
    works(done)
    assert re.search(
        rf"^photos: Not using .+: {re.escape(why)}.*\.$", done.stderr, re.MULTILINE
    ), done.stderr
    assert "photos: Unpacked for this run alone." in done.stderr
    assert machine.left_behind() == []


def like_any_user(machine: Machine) -> list[str]:
    return [machine.python, "-c", LIKE_ANY_USER]


@pytest.fixture
def closed_home(machine: Machine) -> Iterator[Machine]:
    """A machine whose user may not write to the home folder."""
    machine.home.chmod(0o555)
    yield machine
    machine.home.chmod(0o755)


def test_a_home_folder_that_is_read_only_is_left_alone(closed_home: Machine) -> None:
    done = closed_home.run("--version", before=like_any_user(closed_home))
    works_for_this_run(closed_home, done, "Permission denied")
    assert os.listdir(closed_home.home) == []


def test_a_server_runs_from_a_temporary_folder_until_it_ends(warm: Machine) -> None:
    warm.cache.chmod(0o777)
    with warm.serve() as server:
        assert len(warm.left_behind()) == 1
        renders(server, "first.jpg")
        end_workers(server)
        renders(server, "second.jpg")
    assert warm.left_behind() == []


def test_a_cache_on_a_disk_that_became_read_only_still_serves(warm: Machine) -> None:
    for path in (warm.cache, *warm.cache.iterdir()):
        path.chmod(0o500)
    try:
        assert works(warm.run("--version", before=like_any_user(warm))).stderr == ""
    finally:
        for path in (warm.cache, *warm.cache.iterdir()):
            path.chmod(0o700)


@needs_mount
def test_without_a_home_the_user_database_says_where_it_is(machine: Machine) -> None:
    import pwd

    cache = Path(pwd.getpwuid(os.getuid()).pw_dir, ".cache")
    cache.mkdir(exist_ok=True)
    del machine.environ["HOME"]
    before = in_new_namespace('mount -t tmpfs none "$1"', cache)
    assert works(machine.run("--version", before=before)).stderr == ""
    assert machine.left_behind() == []


READ_ONLY = 'mount --bind / "$1"; mount -o remount,bind,ro "$1"; mount -t tmpfs none "$1$2"'


@needs_mount
@pytest.mark.parametrize("home", ["", "/", "no/such"])
def test_where_all_disks_are_read_only_a_temporary_folder_serves(
    home: str, machine: Machine, tmp_path: Path
) -> None:
    machine.environ["HOME"] = home
    root = tmp_path / "root"
    root.mkdir()
    before = [
        *in_new_namespace(READ_ONLY, root, machine.temporary),
        "chroot",
        os.fspath(root),
    ]
    done = machine.run("--version", before=before)
    works(done)
    assert "photos: Unpacked for this run alone." in done.stderr
    assert os.listdir(machine.home) == []


def test_a_relative_xdg_cache_home_counts_as_none(machine: Machine, tmp_path: Path) -> None:
    machine.environ["XDG_CACHE_HOME"] = "caches"
    assert works(machine.run("--version", cwd=tmp_path)).stderr == ""
    assert machine.unpacked("app").is_dir() and not (tmp_path / "caches").exists()


def test_xdg_cache_home_and_our_own_variable_name_the_cache(
    machine: Machine, tmp_path: Path
) -> None:
    machine.environ["XDG_CACHE_HOME"] = os.fspath(tmp_path / "home" / "x")
    assert works(machine.run("--version")).stderr == ""
    machine.environ["PHOTOS_CACHE_DIR"] = "own"
    (machine.home / "x" / "photos.pyz").rename(machine.home / "own")
    assert works(machine.run("--version")).stderr == ""
    assert os.listdir(machine.home / "x") == [] and machine.unpacked(
        "app", machine.home / "own"
    )


def plant(cache: Path) -> None:
    """Replace our code in a cache by that of somebody else."""
    (path,) = cache.glob("app-*/photos.py")
    code = b'print("PLANTED")\nraise SystemExit(0)\n'
    path.write_bytes(code + b"#" * (path.stat().st_size - len(code)))
    os.utime(path, (1, 1))


def give_away(folder: Path) -> None:
    """Make a folder and all in it somebody else's."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)


def by_another_user(cache: Path) -> str:
    if ROOT:  # who alone can give away files
        give_away(cache)
        return f"{cache} belongs to somebody else"
    cache.chmod(0o777)
    return "others can write to "


def by_the_group(cache: Path) -> str:
    cache.chmod(0o770)
    if ROOT:
        os.chown(cache, -1, SOMEBODY)
        return "others can write to "
    return ""  # it may be the group of this user alone


def by_everybody(cache: Path) -> str:
    cache.chmod(0o707)
    return "others can write to "


def by_a_link(cache: Path) -> str:
    cache.rename(cache.parent.parent / "theirs")
    cache.symlink_to(cache.parent.parent / "theirs")
    return "it is a link, or no folder"


def by_a_file(cache: Path) -> str:
    cache.rename(cache.parent.parent / "theirs")
    cache.write_text("no folder")
    return "it is a link, or no folder"


def by_an_open_folder_above(cache: Path) -> str:
    cache.parent.chmod(0o777)
    return "others can write to "


def by_an_open_folder_far_above(cache: Path) -> str:
    cache.parent.parent.chmod(0o777)
    return "others can write to "


def test_code_planted_in_a_cache_of_this_user_would_run(warm: Machine) -> None:
    plant(warm.cache)
    assert warm.run("--version").stdout == "PLANTED\n"


@pytest.mark.parametrize(
    "planted",
    [
        by_another_user,
        by_the_group,
        by_everybody,
        by_a_link,
        by_a_file,
        by_an_open_folder_above,
        by_an_open_folder_far_above,
    ],
)
def test_a_cache_that_others_could_have_written_never_runs(
    planted: Callable[[Path], str], warm: Machine
) -> None:
    plant(warm.cache)
    why = planted(warm.cache)
    if why:
        works_for_this_run(warm, warm.run("--version"), why)


@pytest.mark.skipif(not ROOT, reason="only root can be somebody else's guest")
def test_root_leaves_nothing_in_the_home_folder_of_another_user(machine: Machine) -> None:
    give_away(machine.home)
    works_for_this_run(
        machine, machine.run("--version"), f"{machine.home} belongs to somebody else"
    )
    assert os.listdir(machine.home) == []


def test_a_cache_in_a_shared_folder_must_not_be_moved_away_by_its_owner(
    machine: Machine,
) -> None:
    shared = machine.home / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    machine.environ["PHOTOS_CACHE_DIR"] = os.fspath(shared / "mine")
    assert works(machine.run("--version")).stderr == ""
    if ROOT:
        os.chown(shared, SOMEBODY, SOMEBODY)
        works_for_this_run(
            machine, machine.run("--version"), f"{shared} belongs to somebody else"
        )


def test_an_open_umask_makes_nothing_that_others_can_write_to(machine: Machine) -> None:
    assert works(machine.run("--version", umask=0)).stderr == ""
    made = (machine.cache.parent, machine.cache, *machine.cache.iterdir())
    assert [path for path in made if path.stat().st_mode & 0o022] == []


@needs_mount
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("size=3m,mode=700", "No space left on device"),
        ("noexec,mode=700", "no program may run from there"),
    ],
)
def test_a_disk_that_is_full_or_allows_no_programs_is_not_used(
    options: str, why: str, machine: Machine, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    machine.environ["PHOTOS_CACHE_DIR"] = os.fspath(disk / "cache")
    done = machine.run("--version", before=mounted(options, disk))
    works_for_this_run(machine, done, why)


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))


def test_where_no_disk_has_room_it_says_so_and_leaves_nothing(machine: Machine) -> None:
    done = refuses(
        machine.run("--version", preexec_fn=limit_files), "There is no folder to run from."
    )
    assert "PHOTOS_CACHE_DIR" in done.stderr and "File too large" in done.stderr
    assert machine.left_behind() == []
    assert list(machine.cache.glob("tmp-*")) == list(machine.cache.glob("native-*")) == []
    assert works(machine.run("--version")).stderr == ""


@pytest.mark.parametrize("stream", [1, 2])
def test_it_starts_without_a_stream_to_speak_to(stream: int, machine: Machine) -> None:
    before = ["sh", "-c", f'exec "$@" {stream}>&-', "sh"]
    assert machine.run("--version", before=before).returncode == 0
    assert machine.unpacked("native").is_dir()


# Damage


def cut_code(cache: Path) -> Path:
    (path,) = cache.glob("app-*/photos.py")
    os.truncate(path, 5000)
    return path


def cut_native_code(cache: Path) -> Path:
    (path,) = cache.glob("native-*/PIL/_imaging.*.so")
    os.truncate(path, 5000)
    return path


def lose_a_file(cache: Path) -> Path:
    (path,) = cache.glob("app-*/templates/album.html")
    path.unlink()
    return path


def lose_a_folder(cache: Path) -> Path:
    (path,) = cache.glob("native-*/PIL")
    shutil.rmtree(path)
    return path


def blank_native_code(cache: Path) -> Path:
    (path,) = cache.glob("native-*/PIL/_imaging.*.so")
    path.write_bytes(bytes(path.stat().st_size))
    return path


def blank_a_library(cache: Path) -> Path:
    path = next(cache.glob("native-*/pillow.libs/libjpeg*"))
    path.write_bytes(bytes(path.stat().st_size))
    return path


def garble_code(cache: Path) -> Path:
    (path,) = cache.glob("app-*/photos.py")
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))
    os.utime(path, (1, 1))
    return path


def lose_the_marker(cache: Path) -> Path:
    (path,) = cache.glob("app-*/.complete")
    path.unlink()
    return path


@pytest.mark.parametrize(
    "damage",
    [
        cut_code,
        cut_native_code,
        lose_a_file,
        lose_a_folder,
        blank_native_code,
        blank_a_library,
        garble_code,
        lose_the_marker,
    ],
)
def test_a_damaged_cache_is_repaired(
    damage: Callable[[Path], Path], warm: Machine, warm_cache: Path
) -> None:
    path = damage(warm.cache)
    assert works(warm.run("--version")).stderr == ""
    whole = warm_cache / path.relative_to(warm.cache)
    assert path.is_dir() if whole.is_dir() else path.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(warm.cache)) == sorted(os.listdir(warm_cache))


def test_damaged_decoders_of_heic_are_said_to_be_damaged_and_repaired_within_a_day(
    warm: Machine, warm_cache: Path
) -> None:
    (path,) = warm.cache.glob("native-*/_pillow_heif.*.so")
    path.write_bytes(bytes(path.stat().st_size))
    assert "HEIC photos are listed, not shown: " in warm.run("--version").stdout
    age(path.parent, 2 * 86400)
    assert works(warm.run("--version")).stderr == ""
    assert path.read_bytes() == (warm_cache / path.relative_to(warm.cache)).read_bytes()


def test_a_copy_that_is_cut_off_says_that_it_is_incomplete(machine: Machine) -> None:
    size = machine.archive.stat().st_size
    for kept in (size - 1, size - 22, size - 5000, size // 2, 4000, 100):
        os.truncate(machine.archive, kept)
        done = subprocess.run(
            machine.command("--version"),
            env=machine.environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode != 0 and done.stdout == "", kept
        assert "this-file-is-incomplete--copy-it-again" in done.stderr, kept
        assert "Traceback" not in done.stderr
    assert os.listdir(machine.home) == []


def flip(archive: Path, name: str, at: float, old: bytes = b"") -> None:
    """Flip bits of a byte within a file of the archive, at a share of its length or at the first of some bytes."""
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(name)
    content = bytearray(archive.read_bytes())
    start = content.index(name.encode(), info.header_offset) + len(name)
    place = content.index(old, start) if old else start + int(info.compress_size * at)
    assert start <= place < start + info.compress_size
    content[place] ^= 0x81
    archive.write_bytes(content)


def entry(archive: Path, path: str) -> str:
    """Return the entry that has the content of a file that will be unpacked on this machine."""
    with zipfile.ZipFile(archive) as opened:
        told = json.loads(opened.read("build.json"))
        listed = [
            told["app"],
            *(each["files"] for each in told["targets"] if bootstrap.fits(each)),
        ]
        for line in "".join(
            opened.read(f"lists/{name}").decode() for name in listed
        ).splitlines():
            if line.split(" ", 2)[2].startswith(path):
                return f"files/{line.split()[0]}"
    raise AssertionError(f"no {path} in {archive}")


@pytest.mark.parametrize(
    "path", ["photos.py", "templates/style.css", "PIL/_imaging.", "PIL/Image.py"]
)
@pytest.mark.parametrize("at", [0, 0.5])
def test_a_damaged_file_in_the_archive_is_never_unpacked(
    path: str, at: float, machine: Machine
) -> None:
    flip(machine.archive, entry(machine.archive, path), at)
    done = machine.run("--version")
    refuses(done, "copy it again")
    assert len(done.stderr.splitlines()) == 1
    assert not any(path.match("tmp-*") for path in machine.cache.iterdir())


@pytest.mark.parametrize(
    "old", [b"\n", b" ", b"/", b"."], ids=["newline", "space", "slash", "dot"]
)
def test_a_damaged_list_in_the_archive_is_noticed(old: bytes, machine: Machine) -> None:
    with zipfile.ZipFile(machine.archive) as opened:
        told = json.loads(opened.read("build.json"))
    flip(machine.archive, f"lists/{told['app']}", 0, old)
    refuses(machine.run("--version"), "copy it again")


@pytest.mark.parametrize(
    "old", [b"{", b'"app"', b"targets", b"\n"], ids=["brace", "app", "targets", "newline"]
)
def test_a_damaged_description_in_the_archive_is_noticed(
    old: bytes, machine: Machine
) -> None:
    flip(machine.archive, "build.json", 0, old)
    refuses(machine.run("--version"), "copy it again")


def test_damage_to_what_this_machine_does_not_need_does_no_harm(machine: Machine) -> None:
    flip(machine.archive, "NOTICE", 0.5)
    assert works(machine.run("--version")).stderr == ""


# Packages of the machine

FAKE = 'import sys; print("FAKE", __name__, file=sys.stderr, flush=True); raise RuntimeError("FAKE")\n'
PACKAGES = (
    "PIL",
    "bottle",
    "jwt",
    "waitress",
    "pillow_heif",
    "cryptography",
    "photos",
    "numpy",
    "defusedxml",
)


def install_fakes(folder: Path) -> Path:
    """Put packages into a folder that fail when they are imported."""
    for name in PACKAGES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(FAKE)
    return folder


def test_packages_of_the_machine_do_no_harm(warm: Machine, tmp_path: Path) -> None:
    base = tmp_path / "base"
    warm.environ["PYTHONUSERBASE"] = os.fspath(base)
    told = subprocess.run(
        [BARE, "-c", "import site; print(site.getusersitepackages())"],
        env=warm.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    install_fakes(Path(told.stdout.strip()))
    # With nothing before the colon, the current folder is searched, too.
    warm.environ["PYTHONPATH"] = f":{install_fakes(tmp_path / 'path')}"
    here = install_fakes(tmp_path / "here")
    for variables in (
        {"PYTHONPATH": ""},
        {"PYTHONUSERBASE": ""},
    ):  # each alone would be found
        done = subprocess.run(
            [BARE, "-P", "-c", "import jwt"],
            env={**warm.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "FAKE jwt" in done.stderr
    with warm.serve(folder=here) as server:
        renders(server, "first.jpg")
        end_workers(server)
        renders(server, "second.jpg")
        assert "FAKE" not in server.output
    assert works(warm.run("--version", cwd=here)).stderr == ""
    assert "FAKE" not in warm.run("--library", warm.library, "check", cwd=here).stdout


# Machines that it was not built for


def rewrite(archive: Path, changes: Mapping[str, bytes]) -> None:
    """Put other contents into files of an archive."""
    with zipfile.ZipFile(archive) as old:
        entries = {name: old.read(name) for name in old.namelist()} | changes
    archive.write_bytes(build_zipapp.PREFIX)
    with zipfile.ZipFile(archive, "a") as new:
        for name, content in entries.items():
            new.writestr(name, content)


@pytest.fixture
def foreign(machine: Machine) -> Machine:
    """A machine whose photos.pyz is for Python 3.15 on another one; its own Pillow is that of this environment."""
    with zipfile.ZipFile(machine.archive) as archive:
        told = json.loads(archive.read("build.json"))
    told["targets"] = [
        {**each, "suffix": ".cpython-315-nowhere.so"}
        for each in told["targets"]
        if each["python"] == "315"
    ]
    rewrite(machine.archive, {"build.json": json.dumps(told).encode()})
    machine.python = sys.executable
    return machine


def test_on_another_machine_its_own_pillow_serves(foreign: Machine) -> None:
    done = works(foreign.run("--version"))
    assert len(done.stderr.splitlines()) == 1
    assert "built for Python 3.15 for Linux " in done.stderr
    assert " is Python {}.{} for linux-".format(*sys.version_info) in done.stderr
    assert f"own Pillow {Image.__version__}" in done.stderr
    assert list(foreign.cache.glob("native-*")) == []
    with foreign.serve() as server:
        renders(server, "first.jpg")


def test_check_says_whose_pillow_it_is(machine: Machine) -> None:
    own = "Pillow is this machine's own"
    done = machine.run("--library", machine.library, "check")
    assert done.returncode == 0 and own not in done.stdout, done.stderr


def test_check_says_what_mends_the_pillow_of_the_machine(foreign: Machine) -> None:
    said = foreign.run("--library", foreign.library, "check").stdout
    assert f"Pillow is this machine's own ({Path(Image.__file__).parents[1]})" in said
    assert "Keep it up to date" in said


def test_on_another_machine_damaged_code_is_repaired_too(foreign: Machine) -> None:
    works(foreign.run("--version"))
    garble_code(foreign.cache)
    works(foreign.run("--version"))


def test_on_another_machine_without_pillow_it_says_what_to_do(foreign: Machine) -> None:
    done = refuses(
        foreign.run("--version", flags=["-I", "-S"]),
        "nstall Pillow 11.1 or newer for this Python",
    )
    assert len(done.stderr.splitlines()) == 1 and " for linux-" in done.stderr
    assert os.listdir(foreign.home) == []


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("__version__ = '9.4.0'; features = None", "Pillow 9.4.0 is too old"),
        ("raise RuntimeError('broken')", "nstall Pillow 11.1 or newer for this Python"),
        (
            "raise ImportError('libjpeg.so.62: cannot open')",
            "nstall Pillow 11.1 or newer for this Python",
        ),
    ],
    ids=["old", "broken", "incomplete"],
)
def test_on_another_machine_a_pillow_that_does_not_do_is_refused(
    code: str, sentence: str, foreign: Machine, tmp_path: Path
) -> None:
    (tmp_path / "path" / "PIL").mkdir(parents=True)
    (tmp_path / "path" / "PIL" / "__init__.py").write_text(code)
    foreign.environ["PYTHONPATH"] = os.fspath(tmp_path / "path")
    done = refuses(foreign.run("--version"), sentence)
    assert len(done.stderr.splitlines()) == 1


# What nobody needs any longer


def kill_while_unpacking(machine: Machine) -> Path:
    """Start and kill photos.pyz; return the folder that it was unpacking to."""
    while True:
        process = subprocess.Popen(
            machine.command("--version"), env=machine.environ, stdout=subprocess.DEVNULL
        )
        eventually(
            lambda: [*machine.cache.glob("tmp-*"), *machine.cache.glob("native-*")],
            pause=0.002,
        )
        process.kill()
        process.wait()
        for folder in machine.cache.glob("tmp-*"):
            return folder
        shutil.rmtree(machine.cache)  # it was too late


def test_old_versions_and_old_remains_go_but_nothing_else(
    machine: Machine, warm_cache: Path
) -> None:
    old = kill_while_unpacking(machine)
    young = old.with_name("tmp-" + old.name.removeprefix("tmp-")[::-1])
    shutil.copytree(old, young)
    age(old, 2 * HOUR)
    age(young, HOUR / 2)
    for kind in ("app", "native"):
        for name, days in (("0123456789abcdef", 31), ("00000000000000aa", 29)):
            (machine.cache / f"{kind}-{name}").mkdir()
            (machine.cache / f"{kind}-{name}" / ".complete").touch()
            age(machine.cache / f"{kind}-{name}", days * DAY)
    assert works(machine.run("--version")).stderr == ""
    kept = {young.name, "app-00000000000000aa", "native-00000000000000aa"}
    assert set(os.listdir(machine.cache)) == kept | set(os.listdir(warm_cache))


def test_a_cache_folder_that_holds_other_things_keeps_them(warm: Machine) -> None:
    others = ["apples", "app", "app-ideas", "native-plants", "tmp-receipts"]
    for name in others:
        (warm.cache / name).mkdir()
        draw(warm.cache / name / "precious.jpg")
        age(warm.cache / name, 400 * DAY)
    works(warm.run("--version"))
    assert set(others) <= set(os.listdir(warm.cache))


def test_a_version_that_a_server_runs_from_stays_until_it_ends(
    warm: Machine, newer_pyz: Path
) -> None:
    old = warm.unpacked("app")
    newer = warm.home / "newer.pyz"
    shutil.copy(newer_pyz, newer)
    with warm.serve() as server:
        renders(server, "before.jpg")
        age(old, 31 * DAY)
        warm.archive = newer
        works(warm.run("--version"))
        assert old.is_dir() and len(list(warm.cache.glob("app-*"))) == 2
        end_workers(server)
        renders(server, "after.jpg")
    works(warm.run("--version"))
    assert not old.exists() and len(list(warm.cache.glob("app-*"))) == 1


def test_what_a_killed_run_left_in_the_temporary_folder_goes_later(warm: Machine) -> None:
    old, young = (warm.temporary / f"photos.pyz-{letter * 16}" for letter in "ab")
    for folder in (old, young):
        (folder / "app-0123456789abcdef").mkdir(parents=True)
    age(old, 2 * HOUR)
    warm.cache.chmod(0o777)
    works(warm.run("--version"))
    assert warm.left_behind() == [young.name]
