"""Disks that are full, read-only, of another owner, without locks or away: what works, and what is said."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import set_up
from looking import made
from processes import Server, eventually, request, run
from visiting import PASSWORD, Client

import photos

pytestmark = pytest.mark.whole

# Starts the program on a machine where calls of the system fail: each as MODULE.NAME=ERRNO.
ODD_MACHINE = """
import importlib, os, sys
sys.path.insert(0, {home!r})
import photos
for failure in {failures!r}:
    call, _, number = failure.partition("=")
    module, _, name = call.rpartition(".")
    def fail(*arguments, number=int(number), **options):
        where = [os.fspath(each) for each in arguments[:1] if isinstance(each, (str, os.PathLike))]
        raise OSError(number, os.strerror(number), *where)
    setattr(importlib.import_module(module), name, fail)
sys.exit(photos.main(script="photos.py"))
"""


def odd_machine(folder: Path, *failures: str) -> Path:
    """Write a program that is photos on such a machine."""
    program = folder / "odd.py"
    home = os.path.dirname(os.path.abspath(photos.__file__))
    program.write_text(ODD_MACHINE.format(home=home, failures=failures))
    return program


def command(
    program: Path, *arguments: str | Path, **options: str
) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, program, *arguments]
    return subprocess.run(
        list(map(os.fspath, words)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def log_in(server: Server) -> dict[str, str]:
    """Log in and return the headers of a browser that is."""
    form = f"user=anna&password={PASSWORD.replace(' ', '+')}&next=/"
    origin = {"Origin": server.address}
    status, headers, _ = request(server.port, "/login", "POST", form, **origin)
    assert status == 303
    return {"Cookie": headers["set-cookie"].partition(";")[0], **origin}


# Locks

NO_LOCKS = [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.EPERM, errno.ENOSYS]


@pytest.mark.parametrize("number", NO_LOCKS, ids=errno.errorcode.get)
def test_a_disk_without_locks_is_told_of_and_all_works(
    number: int, library: Path, tmp_path: Path
) -> None:
    set_up(library)
    program = odd_machine(tmp_path, f"fcntl.flock={number}")
    with Server(library, program=program) as server:
        warning = f"The disk of {server.state} has no locks ({os.strerror(number)})."
        assert server.output.count("WARNING") == server.output.count(warning) == 1
        assert "--state FOLDER" in server.output
        browser = log_in(server)
        assert server.get("/photo/Secret/faces.jpg", **browser)[0] == 200
        assert request(server.port, "/logout", "POST", "", **browser)[0] == 303
        assert server.get("/photo/Secret/faces.jpg", **browser)[0] == 404
        said = command(program, "--library", library, "check")
        assert (said.returncode, warning in said.stdout) == (0, True)
        assert "Upgrade pending" not in said.stdout
    register = ("--library", library, "register", "bert", "--password-stdin")
    assert command(program, *register, input=f"{PASSWORD}\n").returncode == 0
    assert photos.UserStore(library / ".photos").names() == ["anna", "bert"]


def test_another_process_with_the_lock_is_no_error(tmp_path: Path) -> None:
    first = photos.try_lock(tmp_path / "lock")
    assert first
    assert photos.try_lock(tmp_path / "lock") is None
    os.close(first)


def test_who_looks_whether_a_server_runs_leaves_its_lock_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between fork and exec, a worker that is being started has the files of its server."""
    photos.make_state_folder(tmp_path / ".photos")
    really_lock = photos.try_lock
    of_worker: list[int] = []

    def lock_and_fork(path: Path) -> int | None:
        lock = really_lock(path)
        of_worker.append(os.dup(lock or 0))
        return lock

    monkeypatch.setattr(photos, "try_lock", lock_and_fork)
    assert photos.serving_version(tmp_path / ".photos") == ""
    assert photos.state_problem(tmp_path / ".photos") == ""
    monkeypatch.undo()
    photos.announce(tmp_path / ".photos", "photos 1")
    assert photos.serving_version(tmp_path / ".photos") == "photos 1"
    for file in of_worker:
        os.close(file)


def test_a_server_is_known_though_a_command_looked_for_it_as_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.make_state_folder(tmp_path / ".photos")
    look = photos.try_lock(tmp_path / ".photos" / "cache" / "serving.lock")
    assert look is not None
    monkeypatch.setattr(photos.time, "sleep", lambda _: photos.release_lock(look))
    photos.announce(tmp_path / ".photos", "photos 1")
    monkeypatch.undo()
    assert photos.serving_version(tmp_path / ".photos") == "photos 1"


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "tempfile.mkstemp"])
def test_a_failure_of_the_system_names_the_file_and_the_cause(
    call: str, library: Path, tmp_path: Path
) -> None:
    program = odd_machine(tmp_path, f"{call}={errno.EIO}")
    done = command(program, "--library", library, "init")
    assert done.returncode == 1
    secret = library / ".photos" / "secret.key"
    assert done.stderr == f"photos: {secret}: {os.strerror(errno.EIO)}\n"
    assert not (library / ".photos").exists(), "nothing half-made is left"


# Full and read-only disks

root_on_linux = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount"
)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts small disks in memory."""
    mounted: list[Path] = []

    def mount_it(name: str, options: str, *, again: bool = False) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        options = f"remount,{options}" if again else options
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", os.fspath(folder)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("this machine mounts nothing")
        mounted.append(folder)
        return folder

    yield mount_it
    for folder in mounted:
        subprocess.run(
            ["umount", "-l", os.fspath(folder)], capture_output=True, check=False
        )


def set_up_at(state: Path, library: Path) -> None:
    photos.make_state_folder(state)
    photos.write_config(state, photos.Config(library=os.fspath(library)))
    photos.UserStore(state).register("anna", PASSWORD.encode(), owner=True)
    photos.read_secret(state)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), open(folder / "fill", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@root_on_linux
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_on_a_state_folder_that_cannot_be_written_albums_are_served(
    kind: str, library: Path, mount: Callable[..., Path]
) -> None:
    disk = mount("disk", "size=4m")
    state = disk / "state"
    set_up_at(state, library)
    if kind == "full":
        fill(disk)
        cause = os.strerror(errno.ENOSPC)
    else:
        mount("disk", "ro", again=True)
        cause = os.strerror(errno.EROFS)
    problem = f"Nothing can be written to {state} ({cause}). Albums are served, but"
    with Server(library, "--state", os.fspath(state)) as server:
        assert server.output.count(problem) == 1
        status, _, page = server.get("/")
        assert status == 200 and b"Trip" in page
        assert server.get("/photo/Trip/one.jpg")[0] == 200
        browser = log_in(server)
        assert server.get("/photo/Secret/faces.jpg", **browser)[0] == 200
        assert request(server.port, "/logout", "POST", "", **browser)[0] == 303
        assert server.get("/thumbnail/Trip/one.jpg")[0] in (404, 503)
        eventually(lambda: "cache cannot be written" in server.output)
        done = run("--state", state, "check")
        assert problem in done.stdout
        assert "Everybody finds" in done.stdout
        server.get("/thumbnail/Trip/two.jpg")
        assert server.output.count("cache cannot be written") == 1


# Disks of another owner


@pytest.mark.parametrize("call", ["os.chmod", "os.chown", "os.fchmod"])
def test_a_disk_that_keeps_no_permissions_is_no_hindrance(
    call: str, library: Path, tmp_path: Path
) -> None:
    program = odd_machine(tmp_path, f"{call}={errno.EPERM}")
    done = command(program, "--library", library, "init")
    assert (done.returncode, done.stderr) == (0, "")
    register = ("--library", library, "register", "anna", "--password-stdin")
    assert command(program, *register, input=f"{PASSWORD}\n").returncode == 0
    with Server(library, program=program) as server:
        assert server.get("/photo/Secret/faces.jpg", **log_in(server))[0] == 200


def test_what_others_can_read_in_the_state_folder_is_said(
    library: Path, tmp_path: Path
) -> None:
    state = set_up(library) / ".photos"
    assert photos.state_problem(state) == ""
    photos.read_secret(state)
    for name in ("users.json", "secret.key", "config.json"):
        (state / name).chmod(0o777)
    with Server(library) as server:
        problem = (
            f"Others can read users.json and secret.key in {state}, so they could log in."
        )
        assert server.output.count(problem) == 1
        assert problem in server.command("check")


def test_a_state_folder_that_cannot_be_made_whole_is_not_left_behind(
    library: Path, tmp_path: Path
) -> None:
    program = odd_machine(tmp_path, f"tempfile.mkstemp={errno.EACCES}")
    before = sorted(library.rglob("*"))
    done = command(program, "--library", library, "serve")
    assert done.returncode == 1
    assert str(library) in done.stderr and os.strerror(errno.EACCES) in done.stderr
    assert sorted(library.rglob("*")) == before


# A library whose disk is away


def unmount(library: Path) -> None:
    """Leave what a disk leaves that is not mounted."""
    library.rename(library.with_name("disk"))
    library.mkdir()


def take_away(library: Path) -> None:
    library.rename(library.with_name("disk"))


def bring_back(library: Path) -> None:
    shutil.rmtree(library, ignore_errors=True)
    library.with_name("disk").rename(library)


@pytest.mark.parametrize("leave", [unmount, take_away])
def test_a_library_whose_disk_is_away_is_told_of_and_nothing_is_forgotten(
    leave: Callable[[Path], None],
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0.0)
    state = tmp_path / "state"
    set_up_at(state, library)
    app = photos.create_app(state, background=False)
    upkeep, visitor, owner = photos.Upkeep(app._library), Client(app), Client(app)
    while upkeep._work():
        pass
    assert len(made(app._library)) == 12
    owner.log_in()
    notice = "not available at the moment"
    pages = [client.get("/").text for client in (visitor, owner)]
    leave(library)
    for _ in range(2):
        answer = visitor.get("/")
        assert answer.status == 200 and notice in answer.text
        assert str(library) not in answer.text and "no photos" not in answer.text
        assert f"The folder “{library}” is missing or empty." in owner.get("/").text
        assert visitor.get("/album/Trip/").status == 404
        upkeep.prune()
    for name in ("index", "check"):
        done = run("--state", state, name)
        assert done.returncode == 1
        assert str(library) in done.stderr
        assert (
            "Is its disk connected?" in done.stderr or "There is no folder" in done.stderr
        )
    bring_back(library)
    assert [client.get("/").text for client in (visitor, owner)] == pages
    assert not upkeep._work(), "nothing is read or made again"
    assert len(made(app._library)) == 12
    app.close()
    assert run("--state", state, "check").returncode == 0


def test_a_new_library_without_photos_is_not_away(
    tmp_path: Path, site: photos.Site
) -> None:
    empty = tmp_path / "Empty"
    empty.mkdir()
    set_up(empty)
    app = photos.create_app(empty / ".photos", background=False)
    assert "not available" not in Client(app).get("/").text
    app.close()
