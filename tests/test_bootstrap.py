"""What bootstrap.py decides and does, with archives of a few small files."""

from __future__ import annotations

import errno
import grp
import hashlib
import importlib.machinery
import json
import os
import pwd
import stat
import subprocess
import sys
import time
import zipfile
import zipimport
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bootstrap
from bootstrap import CannotStart, File

SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]
TARGET = {
    "system": "win",
    "version": [],
    "machine": "amd64",
    "python": "311",
    "suffix": SUFFIX,
    "files": "f",
}
APP = {"photos.py": b"def main(**told): return 7\n", "templates/page.html": b"<p>"}
NATIVE = {"PIL/__init__.py": b"__version__ = '99.0'\n", "PIL/_imaging.so": b"\x7fELF"}
Pack = Callable[..., zipimport.zipimporter]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listed(files: Mapping[str, bytes]) -> bytes:
    return b"".join(
        b"%s %d %s\n" % (sha256(each).encode(), len(each), path.encode())
        for path, each in files.items()
    )


def lines_of(files: Mapping[str, bytes]) -> list[File]:
    return [File(sha256(content), len(content), path) for path, content in files.items()]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Makes an archive that holds folders, with other contents in some entries."""

    def make(*folders: Mapping[str, bytes], **changes: bytes) -> zipimport.zipimporter:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.pyz"
        entries = {f"lists/{sha256(listed(files))}": listed(files) for files in folders}
        entries |= {
            f"files/{sha256(each)}": each for files in folders for each in files.values()
        }
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (entries | changes).items():
                archive.writestr(name, content)
        return zipimport.zipimporter(os.fspath(path))

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cache folder."""
    path = tmp_path / "cache"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; there is no other, and what is in it stays."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(
        bootstrap, "temporary_folders", lambda: iter([os.fspath(path / "photos.pyz-1")])
    )
    return path


@pytest.fixture
def restored_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets a test change what can be imported, and what is."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(before)


def make_folder(root: Path, name: str, *, seconds: float, complete: bool = True) -> Path:
    """Make a folder that was last used so long ago."""
    folder = root / name
    folder.mkdir()
    for path in [*([folder / ".complete"] if complete else []), folder]:
        if path != folder:
            path.touch()
        os.utime(path, (time.time() - seconds,) * 2)
    return folder


# What fits this machine


@pytest.mark.parametrize(
    ("system", "version", "found", "expected"),
    [
        ("manylinux", [2, 28], (2, 28), True),
        ("manylinux", [2, 28], (2, 36), True),
        ("manylinux", [2, 28], (3,), True),
        ("manylinux", [2, 28], (2, 9), False),
        ("manylinux", [2, 28], (), False),
        ("musllinux", [1, 2], (), True),
        ("win", [], (), True),
        ("macosx", [11, 0], (14, 5), True),
        ("macosx", [11, 0], (10, 15, 7), False),
    ],
)
def test_a_target_fits_a_system_that_is_new_enough(
    system: str,
    version: list[int],
    found: tuple[int, ...],
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "system_version", lambda: found)
    target = {**TARGET, "system": system, "version": version, "machine": os.uname().machine}
    assert bootstrap.fits(target) is expected


def test_a_target_for_another_python_or_processor_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "system_version", lambda: (99,))
    assert bootstrap.fits({**TARGET, "suffix": ".cpython-399-darwin.so"}) is False
    assert (
        bootstrap.fits({**TARGET, "system": "macosx", "version": [11, 0], "machine": "ppc"})
        is False
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("glibc 2.36", (2, 36)),
        ("glibc 2.36.9000", (2, 36, 9000)),
        ("musl 1.2", ()),
        (None, ()),
    ],
)
def test_the_version_of_the_c_library_is_that_of_glibc(
    told: str | None, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "confstr", lambda _: told)
    assert bootstrap.system_version() == expected


@pytest.mark.parametrize("error", [OSError, ValueError, AttributeError])
def test_a_c_library_that_tells_no_version_has_none(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(os, "confstr", fail)
    assert bootstrap.system_version() == ()


def test_on_macos_its_version_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import platform

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("14.5", ("", "", ""), "arm64"))
    assert bootstrap.system_version() == (14, 5)


def test_the_machines_that_a_file_is_for_are_named() -> None:
    linux = {**TARGET, "system": "manylinux", "version": [2, 28], "machine": "x86_64"}
    said = bootstrap.targets_text([linux, {**linux, "python": "312"}, TARGET])
    for word in ("Linux", "glibc", "2.28", "x86_64", "3.11", "3.12", "Windows", "amd64"):
        assert word in said
    same = [linux, {**linux, "machine": "aarch64"}]
    assert bootstrap.targets_text(same).count("Python 3.") == 1
    version = "{}.{}".format(*sys.version_info)
    assert version in bootstrap.machine_text() and SUFFIX in bootstrap.machine_text()


def test_a_python_of_32_bits_is_told_from_the_kernel_of_64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "maxsize", (1 << 63) - 1)
    assert "32-bit" not in bootstrap.machine_text()
    monkeypatch.setattr(sys, "maxsize", (1 << 31) - 1)
    assert bootstrap.machine_text().startswith("32-bit Python 3.")


def test_only_the_standard_library_stays_in_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = os.path.dirname(os.__file__)
    zipped = "/usr/lib/python{}{}.zip".format(*sys.version_info)
    own = [zipped, home, f"{home}/lib-dynload"]
    others = [
        "",
        "/somewhere",
        "/x/photos.pyz",
        f"{home}/site-packages",
        f"{home}/dist-packages",
        "/home/me/.local",
    ]
    monkeypatch.setattr(sys, "path", [*others[:3], *own, *others[3:]])
    assert bootstrap.standard_library_paths() == own


# Folders that are safe to run from


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/me"}, "/home/me/.cache/photos.pyz"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/caches"}, "/caches/photos.pyz"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "caches"}, "/home/me/.cache/photos.pyz"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": ""}, "/home/me/.cache/photos.pyz"),
        ({"HOME": "/home/me", "PHOTOS_CACHE_DIR": "/own"}, "/own"),
        ({"HOME": "/home/me", "PHOTOS_CACHE_DIR": ""}, "/home/me/.cache/photos.pyz"),
        ({"HOME": "relative"}, ""),
        ({"HOME": "relative", "XDG_CACHE_HOME": "/caches"}, "/caches/photos.pyz"),
    ],
)
def test_the_cache_is_where_the_owner_or_the_system_says(
    environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", environ)
    assert bootstrap.cache_folder() == expected


def test_a_cache_that_is_named_relatively_is_below_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHOTOS_CACHE_DIR", "own")
    assert bootstrap.cache_folder() == os.fspath(tmp_path / "own")


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(pwd, "getpwuid", fail)
    assert bootstrap.cache_folder() == ""


@pytest.mark.parametrize(
    ("system", "environ", "expected"),
    [
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Caches/photos.pyz"),
        (
            "darwin",
            {"HOME": "/Users/me", "XDG_CACHE_HOME": "/x"},
            "/Users/me/Library/Caches/photos.pyz",
        ),
        (
            "win32",
            {"HOME": "/h", "LOCALAPPDATA": "/h/AppData/Local"},
            "/h/AppData/Local/photos.pyz",
        ),
        ("win32", {"HOME": "/h"}, ""),
    ],
)
def test_other_systems_have_their_caches_elsewhere(
    system: str, environ: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(os, "environ", environ)
    assert bootstrap.cache_folder() == expected


def status_of(mode: int, user: int = 1000, group: int = 1000) -> Any:
    return SimpleNamespace(st_mode=stat.S_IFDIR | mode, st_uid=user, st_gid=group)


SOMEBODY, ANYBODY = "belongs to somebody else", "others can write to"


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (status_of(0o700), ""),
        (status_of(0o755), ""),
        (status_of(0o755, user=0, group=0), ""),
        (status_of(0o755, user=1001), SOMEBODY),
        (status_of(0o700, user=1001), SOMEBODY),
        (status_of(0o1777, user=1001), SOMEBODY),
        (status_of(0o757), ANYBODY),
        (status_of(0o1777, user=0), ANYBODY),
        (status_of(0o775, group=50), ANYBODY),
        (status_of(0o775, user=0, group=50), ANYBODY),
        (status_of(0o775), ""),
    ],
)
def test_a_folder_is_safe_by_its_owner_and_mode(
    status: Any, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: 1000)
        patched.setattr(os, "lstat", lambda _: status)
        patched.setattr(bootstrap, "is_group_of_one", lambda group: group == 1000)
        try:
            bootstrap.check_folder("/f", may_be_sticky=False)
            said = ""
        except PermissionError as error:
            said = str(error)
    assert why in said and bool(why) == bool(said)


def test_above_a_folder_a_sticky_one_will_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    bootstrap.check_folder(os.fspath(tmp_path), may_be_sticky=True)
    with pytest.raises(PermissionError, match=ANYBODY):
        bootstrap.check_folder(os.fspath(tmp_path), may_be_sticky=False)
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match=ANYBODY):
        bootstrap.check_folder(os.fspath(tmp_path), may_be_sticky=True)


@pytest.mark.parametrize(
    ("name", "members", "primary", "expected"),
    [
        ("me", [], 1000, True),
        ("me", ["me"], 1000, True),
        ("me", ["me", "eve"], 1000, False),
        ("users", [], 1000, False),
        ("me", [], 100, False),
    ],
)
def test_a_group_of_one_has_the_name_of_the_user_and_nobody_else(
    name: str,
    members: list[str],
    primary: int,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        pwd, "getpwuid", lambda _: SimpleNamespace(pw_gid=primary, pw_name="me")
    )
    monkeypatch.setattr(
        grp, "getgrgid", lambda _: SimpleNamespace(gr_name=name, gr_mem=members)
    )
    assert bootstrap.is_group_of_one(1000) is expected


def test_a_group_without_a_name_is_not_that_of_one_user() -> None:
    assert bootstrap.is_group_of_one(2**31 - 7) is False


def test_a_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = bootstrap.open_folder(os.fspath(tmp_path / "a" / "b" / "c"))
    assert folder == os.fspath(tmp_path / "a" / "b" / "c")
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert bootstrap.open_folder(folder) == folder


def test_a_folder_that_only_this_user_may_reach_may_be_below_a_sticky_one(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o1777)
    assert bootstrap.open_folder(os.fspath(tmp_path / "c")) == os.fspath(tmp_path / "c")


def test_links_above_a_folder_are_followed_and_checked(tmp_path: Path) -> None:
    (tmp_path / "real" / "open").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "open")
    assert bootstrap.open_folder(f"{tmp_path}/link/c") == f"{tmp_path}/real/open/c"
    (tmp_path / "real").chmod(0o777)
    with pytest.raises(PermissionError, match=f"others can write to {tmp_path}/real$"):
        bootstrap.open_folder(f"{tmp_path}/link/c")


@pytest.mark.parametrize("mode", [0o707, 0o777, 0o1777, 0o702])
def test_a_folder_that_everybody_may_write_to_is_refused(mode: int, root: Path) -> None:
    root.chmod(mode)
    with pytest.raises(PermissionError, match=ANYBODY):
        bootstrap.open_folder(os.fspath(root))


def test_what_is_no_folder_is_refused(tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "file").touch()
    for name in ("link", "dangling", "file"):
        with pytest.raises(PermissionError, match="no folder"):
            bootstrap.open_folder(os.fspath(tmp_path / name))
    assert not (tmp_path / "nothing").exists()


def test_a_folder_of_somebody_else_is_refused_even_to_root(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = os.lstat
    theirs = SimpleNamespace(st_mode=stat.S_IFDIR | 0o700, st_uid=12345, st_gid=12345)
    with monkeypatch.context() as patched:
        patched.setattr(
            os, "lstat", lambda path: theirs if path == os.fspath(root) else ours(path)
        )
        with pytest.raises(PermissionError, match=SOMEBODY):
            bootstrap.open_folder(os.fspath(root))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give away a folder")
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_the_owner_of_a_folder_above_could_move_ours_away(
    mode: int, tmp_path: Path
) -> None:
    above = tmp_path / "theirs"
    above.mkdir()
    above.chmod(mode)
    os.chown(above, 12345, 12345)
    with pytest.raises(PermissionError, match=SOMEBODY):
        bootstrap.open_folder(os.fspath(above / "b" / "c"))
    assert os.listdir(above) == []


def test_a_disk_that_allows_no_programs_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = os.ST_NOSUID | os.ST_NOEXEC
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=flags))
    with pytest.raises(PermissionError, match="noexec"):
        bootstrap.open_folder(os.fspath(root))
    flags = os.ST_NOSUID
    assert bootstrap.open_folder(os.fspath(root)) == os.fspath(root)


# Reading the archive


def test_an_entry_that_is_missing_or_cut_means_damage(pack: Pack) -> None:
    archive = pack(APP)
    with pytest.raises(CannotStart, match="copy it again"):
        bootstrap.read_entry(archive, "files/none")
    os.truncate(archive.archive, 40)
    with pytest.raises(CannotStart, match="copy it again"):
        bootstrap.read_entry(archive, f"lists/{sha256(listed(APP))}")


def test_a_list_tells_sums_sizes_and_paths(pack: Pack) -> None:
    files = {"a b.txt": b"1", "ü/c.txt": b"22"}
    archive = pack(files)
    assert bootstrap.read_list(archive, sha256(listed(files))) == lines_of(files)


@pytest.mark.parametrize("content", [b"", b"\xff", b"one two three", b"no numbers here\n"])
def test_a_list_that_is_not_what_its_name_says_means_damage(
    content: bytes, pack: Pack
) -> None:
    name = sha256(listed(APP))
    with pytest.raises(CannotStart, match="copy it again"):
        bootstrap.read_list(pack(APP, **{f"lists/{name}": content}), name)


# Unpacking


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_unpacking_makes_the_whole_folder_and_nothing_else(pack: Pack, root: Path) -> None:
    bootstrap.unpack(pack(APP), lines_of(APP), os.fspath(root / "app-1"))
    assert contents(root) == {f"app-1/{path}": content for path, content in APP.items()} | {
        "app-1/.complete": b""
    }
    assert os.listdir(root) == ["app-1"]
    assert stat.S_IMODE((root / "app-1").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "app-1" / "photos.py").stat().st_mode) == 0o600
    assert bootstrap.is_whole(os.fspath(root / "app-1"), lines_of(APP))


def test_unpacking_replaces_what_is_there(pack: Pack, root: Path) -> None:
    (root / "app-1" / "more").mkdir(parents=True)
    (root / "app-1" / "photos.py").write_text("old")
    bootstrap.unpack(pack(APP), lines_of(APP), os.fspath(root / "app-1"))
    assert contents(root / "app-1").keys() == {*APP, ".complete"}
    assert os.listdir(root) == ["app-1"]


def test_a_file_with_another_sum_is_not_unpacked(pack: Pack, root: Path) -> None:
    archive = pack(APP, **{f"files/{sha256(b'<p>')}": b"<q>"})
    with pytest.raises(CannotStart, match="copy it again"):
        bootstrap.unpack(archive, lines_of(APP), os.fspath(root / "app-1"))
    assert os.listdir(root) == []


def test_where_the_disk_is_full_nothing_is_left(
    pack: Pack, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str, content: bytes) -> None:
        Path(path).touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bootstrap, "write", fail)
    with pytest.raises(OSError, match="No space left on device"):
        bootstrap.unpack(pack(APP), lines_of(APP), os.fspath(root / "app-1"))
    assert os.listdir(root) == []


def test_a_folder_is_whole_with_every_file_in_its_size(pack: Pack, root: Path) -> None:
    folder, files = root / "app-1", lines_of(APP)
    assert not bootstrap.is_whole(os.fspath(folder), files)
    bootstrap.unpack(pack(APP), files, os.fspath(folder))
    assert bootstrap.is_whole(os.fspath(folder), files)
    (folder / "photos.py").write_bytes(APP["photos.py"] + b"#")
    assert not bootstrap.is_whole(os.fspath(folder), files)
    (folder / "photos.py").unlink()
    assert not bootstrap.is_whole(os.fspath(folder), files)


def test_what_is_there_is_not_unpacked_again_unless_it_is_damaged(
    pack: Pack, root: Path
) -> None:
    archive, name, folder = pack(APP), sha256(listed(APP)), root / "app-1"

    def provide(*, replace: bool = False) -> int:
        bootstrap.provide(archive, name, os.fspath(folder), replace=replace)
        assert contents(folder) == {**APP, ".complete": b""}
        return folder.stat().st_ino

    first = provide()
    assert provide() == first
    (folder / "photos.py").write_text("")
    second = provide()
    assert second != first
    (folder / ".complete").unlink()
    third = provide()
    assert third != second and provide() == third
    assert provide(replace=True) != third


def test_damage_that_leaves_the_size_as_it_was_is_found_once_a_day(
    pack: Pack, root: Path
) -> None:
    archive, name, folder = pack(APP), sha256(listed(APP)), root / "app-1"
    damaged = APP["photos.py"][:-1] + b"?"

    def provide() -> bytes:
        bootstrap.provide(archive, name, os.fspath(folder), replace=False)
        return (folder / "photos.py").read_bytes()

    assert provide() == APP["photos.py"]
    (folder / "photos.py").write_bytes(damaged)
    assert provide() == damaged
    os.utime(folder / ".complete", (time.time() - bootstrap.CHECK_SECONDS - 60,) * 2)
    assert provide() == APP["photos.py"]
    (folder / "photos.py").write_bytes(damaged)
    assert provide() == damaged


def test_a_start_is_noted_and_keeps_the_folder(pack: Pack, root: Path) -> None:
    bootstrap.provide(
        pack(APP), sha256(listed(APP)), os.fspath(root / "app-1"), replace=False
    )
    os.utime(root / "app-1" / ".complete", (1, 1))
    bootstrap.provide(
        pack(APP), sha256(listed(APP)), os.fspath(root / "app-1"), replace=False
    )
    assert not bootstrap.is_outdated(os.fspath(root / "app-1"), 60)
    with pytest.raises(BlockingIOError):
        bootstrap.discard(os.fspath(root / "app-1"))
    assert (root / "app-1" / "photos.py").exists()


def test_a_folder_without_the_marker_cannot_be_held(root: Path) -> None:
    assert not bootstrap.hold(os.fspath(root)) and not bootstrap.hold(
        os.fspath(root / "none")
    )


HOLD = "import bootstrap, sys; print(bootstrap.hold(sys.argv[1]), flush=True); input()"


def test_a_folder_stays_until_the_process_that_runs_from_it_ends(
    root: Path, start_python: Any
) -> None:
    folder = make_folder(root, "app-0123456789abcdef", seconds=0)
    other: subprocess.Popen[str] = start_python(HOLD, folder)
    assert other.stdout and other.stdout.readline() == "True\n"
    os.utime(folder / ".complete", (1, 1))
    bootstrap.prune(os.fspath(root))
    assert folder.exists()
    other.communicate("\n", timeout=30)
    bootstrap.prune(os.fspath(root))
    assert os.listdir(root) == []


@pytest.mark.whole
def test_only_one_process_unpacks_at_a_time_but_none_waits_for_ever(
    root: Path, start_python: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = (
        "import bootstrap, sys\n"
        "with bootstrap.unpack_lock(sys.argv[1]):\n    print('in', flush=True)\n    input()"
    )
    other: subprocess.Popen[str] = start_python(wait, root)
    assert other.stdout and other.stdout.readline() == "in\n"
    monkeypatch.setattr(bootstrap, "WAIT_SECONDS", 0.1)
    started = time.monotonic()
    with bootstrap.unpack_lock(os.fspath(root)):
        assert time.monotonic() - started >= 0.1
    other.communicate("\n", timeout=30)
    monkeypatch.setattr(bootstrap, "WAIT_SECONDS", 30)
    with bootstrap.unpack_lock(os.fspath(root)):
        pass


# Pruning


def test_a_folder_is_as_old_as_its_last_start(root: Path) -> None:
    used = make_folder(root, "app-1", seconds=100)
    os.utime(used, (1, 1))
    assert not bootstrap.is_outdated(os.fspath(used), 200) and bootstrap.is_outdated(
        os.fspath(used), 50
    )
    unpacking = make_folder(root, "tmp-1", seconds=100, complete=False)
    assert not bootstrap.is_outdated(os.fspath(unpacking), 200) and bootstrap.is_outdated(
        os.fspath(unpacking), 50
    )


def test_files_and_links_are_never_removed(root: Path, tmp_path: Path) -> None:
    theirs = make_folder(tmp_path, "theirs", seconds=10000)
    (root / "tmp-0123456789abcdef").symlink_to(theirs)
    (root / "tmp-00000000000000aa").touch()
    os.utime(root / "tmp-00000000000000aa", (1, 1))
    bootstrap.prune(os.fspath(root))
    assert len(os.listdir(root)) == 2 and theirs.exists()


def test_a_folder_of_somebody_else_is_never_old(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(root, "tmp-1", seconds=100)
    ours = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: ours + 1)
    assert not bootstrap.is_outdated(os.fspath(folder), 50)


def test_pruning_a_folder_that_is_not_there_does_nothing(tmp_path: Path) -> None:
    bootstrap.prune(os.fspath(tmp_path / "none"))


def test_a_remainder_in_a_folder_for_temporary_files_goes_with_its_inner_folders(
    tmp_path: Path,
) -> None:
    run = tmp_path / "photos.pyz-0123456789abcdef"
    run.mkdir()
    held = make_folder(run, "app-0123456789abcdef", seconds=1000)
    os.utime(run, (1, 1))
    assert bootstrap.hold(os.fspath(held))
    bootstrap.prune(os.fspath(tmp_path))
    assert held.exists()
    (held / ".complete").unlink()
    os.utime(run, (1, 1))
    bootstrap.prune(os.fspath(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "seconds", "goes"),
    [
        ("app-0123456789abcdef", 31 * 86400, True),
        ("app-0123456789abcdef", 29 * 86400, False),
        ("native-0123456789abcdef", 31 * 86400, True),
        ("native-0123456789abcdef", 29 * 86400, False),
        ("tmp-0123456789abcdef", 3700, True),
        ("tmp-0123456789abcdef", 3500, False),
        ("photos.pyz-0123456789abcdef", 3700, True),
        ("photos.pyz-0123456789abcdef", 3500, False),
        *(
            (name, 9999 * 86400, False)
            for name in ("app", "apples", "app-ideas", "native-plants", "tmp-mine")
        ),
        *(
            (name, 9999 * 86400, False)
            for name in ("photos.pyz", "app-0123456789abcdef-copy", "Album")
        ),
    ],
)
def test_only_folders_of_ours_go_after_their_time(
    name: str, seconds: float, goes: bool, root: Path
) -> None:
    make_folder(root, name, seconds=seconds)
    bootstrap.prune(os.fspath(root))
    assert os.listdir(root) == ([] if goes else [name])


def test_folders_for_one_run_are_new_and_go_when_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed: list[Any] = []
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    monkeypatch.setattr(
        bootstrap.atexit, "register", lambda *call, **_: doomed.append(call[1])
    )
    first = next(bootstrap.temporary_folders())
    second = next(bootstrap.temporary_folders())
    assert first != second and doomed == [first, second]
    assert {os.path.dirname(each) for each in doomed} == {os.fspath(tmp_path)}


@pytest.mark.parametrize("named", ["", "relative", "/no/such/folder"])
def test_a_folder_for_temporary_files_that_is_not_there_is_passed_over(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "relative").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", named)
    monkeypatch.setattr(bootstrap, "prune", lambda _: None)
    monkeypatch.setattr(bootstrap.atexit, "register", lambda *_, **__: None)
    found = [os.path.dirname(folder) for folder in bootstrap.temporary_folders()]
    assert found[-1] == "/var/tmp" and set(found) <= {"/tmp", "/var/tmp"}


# Placing


@pytest.fixture
def usual(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of this user."""
    monkeypatch.setenv("PHOTOS_CACHE_DIR", os.fspath(root))
    yield root
    root.chmod(0o700)


def test_folders_are_placed_in_the_cache_by_what_is_in_them(
    pack: Pack, usual: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = {"app": sha256(listed(APP)), "native": sha256(listed(NATIVE))}
    folders = bootstrap.place(pack(APP, NATIVE), lists)
    assert folders == [
        os.fspath(usual / f"{name}-{each[:16]}") for name, each in lists.items()
    ]
    assert contents(Path(folders[1])) == {**NATIVE, ".complete": b""}
    assert capsys.readouterr().err == "" and os.listdir(elsewhere) == []


def test_another_place_is_taken_where_the_cache_cannot_be_used(
    pack: Pack, usual: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual.chmod(0o777)
    (folder,) = bootstrap.place(pack(APP), {"app": sha256(listed(APP))})
    assert (
        Path(folder).is_relative_to(elsewhere / "photos.pyz-1") and os.listdir(usual) == []
    )
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(f"photos: Not using {usual}: others can write to ")
    assert "PHOTOS_CACHE_DIR" in said[1] and len(said) == 2


def test_without_any_place_it_cannot_start(
    pack: Pack, usual: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: str) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(bootstrap, "open_folder", fail)
    with pytest.raises(CannotStart, match="no folder to run from"):
        bootstrap.place(pack(APP), {"app": sha256(listed(APP))})


def test_damage_is_no_reason_to_try_other_places(
    pack: Pack, usual: Path, elsewhere: Path
) -> None:
    archive = pack(APP, **{f"files/{sha256(b'<p>')}": b"<q>"})
    with pytest.raises(CannotStart, match="copy it again"):
        bootstrap.place(archive, {"app": sha256(listed(APP))})
    assert os.listdir(elsewhere) == []


# Starting


def put_pillow(
    folder: Path, code: str, features: str = "check = lambda name: True"
) -> list[str]:
    """Put another Pillow into a folder; return a search path."""
    # An earlier test may have imported pillow_heif too, which this machine's Python would have.
    own = [name for name in sys.modules if name.partition(".")[0] in ("PIL", "pillow_heif")]
    for name in own:
        del sys.modules[name]
    (folder / "PIL").mkdir(parents=True)
    (folder / "PIL" / "__init__.py").write_text(code)
    (folder / "PIL" / "features.py").write_text(features)
    return [os.fspath(folder)]


def test_what_start_up_files_of_the_machine_imported_is_not_used(
    tmp_path: Path, restored_imports: None
) -> None:
    put_pillow(tmp_path, "")
    (tmp_path / "PIL" / "_imaging.py").write_text("")
    (tmp_path / "photos.py").write_text("import PIL, bottle, jwt")
    for name in ("bottle", "jwt"):
        (tmp_path / f"{name}.py").write_text("")
        sys.modules[name] = SimpleNamespace(__file__="/usr/lib/other.py")  # type: ignore[assignment]
    loaded = bootstrap.load([os.fspath(tmp_path)], [])
    for module in (loaded, loaded.PIL, loaded.bottle, loaded.jwt):
        assert Path(module.__file__).is_relative_to(tmp_path)
    assert "os" in sys.modules


@pytest.mark.parametrize("version", ["11.1.0", "12.0", "13.0.0.dev0", "13.1rc1"])
def test_a_pillow_of_the_machine_that_is_new_enough_does(
    version: str, tmp_path: Path, restored_imports: None, capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap.check_own_pillow(
        put_pillow(tmp_path / "site", f"__version__ = {version!r}"), "Why."
    )
    said = capsys.readouterr().err
    assert said.startswith("photos: Why. ") and said.count("\n") == 1
    assert said.endswith(f" own Pillow {version}, without pillow-heif.\n")


def test_what_a_pillow_of_the_machine_lacks_is_said(
    tmp_path: Path, restored_imports: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put_pillow(
        tmp_path,
        "__version__ = '12.0'",
        "check = lambda name: name not in ('avif', 'webp')",
    )
    bootstrap.check_own_pillow(path, "Why.")
    assert "Pillow 12.0, without webp, avif, pillow-heif." in capsys.readouterr().err


@pytest.mark.parametrize(
    "code",
    [
        "__version__ = '11.0.9'",
        "__version__ = '9.5.0'",
        "import nothing_like_that",
        "raise ImportError('libjpeg.so.62')",
        "raise RuntimeError('broken')",
        "def (",
    ],
)
def test_a_pillow_of_the_machine_that_does_not_do_is_refused(
    code: str, tmp_path: Path, restored_imports: None
) -> None:
    with pytest.raises(CannotStart, match=r"^Why\. "):
        bootstrap.check_own_pillow(put_pillow(tmp_path, code), "Why.")


def test_what_stops_it_is_said_in_one_line(
    pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bootstrap.main(pack(APP)) == bootstrap.CANNOT_START == 3
    said = capsys.readouterr().err
    assert said.startswith("photos: ") and "copy it again" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"{}", b"[]", b'{"app": "x", "build": "y"}']
)
def test_a_description_that_is_not_one_means_damage(
    content: bytes, pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bootstrap.main(pack(APP, **{"build.json": content})) == 3
    assert "copy it again." in capsys.readouterr().err


def test_photos_is_told_where_it_is_and_what_it_was_built_from(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str] = {}

    def main(**given: str) -> int:
        told.update(given)
        return 5

    monkeypatch.setattr(bootstrap, "import_photos", lambda *_: SimpleNamespace(main=main))
    monkeypatch.setattr(sys, "argv", ["my photos.pyz", "check"])
    described = {"app": "a", "build": "0123456789ab", "targets": []}
    archive = pack(APP, **{"build.json": json.dumps(described).encode()})
    assert bootstrap.main(archive) == 5
    assert told["home"] == os.path.dirname(archive.archive)
    assert told["build"] == "0123456789ab" and "my photos.pyz" in " ".join(told.values())
