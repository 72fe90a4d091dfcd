"""Start photos.py out of photos.pyz, which build_zipapp.py makes.

Python cannot import native modules, such as Pillow's, from a zip archive. So what this machine needs
is unpacked once, to a cache folder of this user, and everything runs from real files there:

    app-HASH/       photos.py, its templates, and the packages that are the same on all machines
    native-HASH/    Pillow and pillow-heif for one platform and Python
    tmp-*           being unpacked, or being removed

HASH stands for all that is in a folder: a new version never runs old code. Each folder has a file
`.complete`, written last, locked by the processes that run from the folder, and touched when one starts.

A folder that others could have written to is never used; where none is left, a temporary one serves
for this run. Exit status 3: the server cannot start on this machine, and one line on stderr says why.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import itertools
import json
import os
import secrets
import shlex
import shutil
import stat
import sys
import sysconfig
import tempfile
import time
import warnings
import zipimport
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

if sys.platform != "win32":
    import fcntl

CACHE_VARIABLE = "PHOTOS_CACHE_DIR"
CACHE_NAME, RUN_PREFIX = "photos.pyz", "photos.pyz-run-"
TEMPORARY = "tmp-"
APP, NATIVE = "app", "native"
COMPLETE = ".complete"
CANNOT_START = 3  # exit status
OLDEST_PILLOW = (11, 1)  # that photos.py can run with, where the machine's own has to do
KEEP_SECONDS = 30 * 86400  # for folders that nobody starts from
UNPACKING_SECONDS = 3600  # for folders being unpacked, which takes seconds
WAIT_SECONDS = 30.0  # for another process that unpacks
WRITERS = 16  # threads; they wait for the disk, one fsync after the other would take ten times as long


class CannotStart(Exception):
    """Says in one sentence why the server cannot start on this machine."""


class File(NamedTuple):
    """A line of a list: a file that a folder shall hold."""

    sha256: str
    size: int  # bytes
    path: str  # with '/'


def say(text: str) -> None:
    """Tell the owner."""
    print(f"photos: {text}", file=sys.stderr, flush=True)


def read(archive: zipimport.zipimporter, name: str) -> bytes:
    """Return a file of the archive. Raises CannotStart where it cannot be read."""
    try:
        return archive.get_data(name)
    except (OSError, EOFError, ImportError, zlib.error) as error:
        raise CannotStart(f"{archive.archive} is damaged; copy it again. ({error})") from None


def read_list(archive: zipimport.zipimporter, name: str) -> list[File]:
    """Return what a folder shall hold."""
    lines = (line.split(" ", 2) for line in read(archive, f"lists/{name}").decode().splitlines())
    return [File(sha256, int(size), path) for sha256, size, path in lines]


# --- What fits this machine --------------------------------------------------------------------


def system_version() -> tuple[int, ...]:
    """Return the version of macOS or glibc; () for anything else."""
    if sys.platform == "darwin":
        import platform

        return tuple(map(int, platform.mac_ver()[0].split(".")))
    with contextlib.suppress(AttributeError, OSError, ValueError):
        library, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return tuple(map(int, version.split("."))) if library == "glibc" else ()
    return ()


def fits(target: dict[str, Any]) -> bool:
    """Whether this interpreter looks for a target's native modules, on a system that is new enough."""
    if target["suffix"] != importlib.machinery.EXTENSION_SUFFIXES[0]:
        return False
    # Suffixes name processor and kind of C library, but macOS has the same for all.
    if target["system"] == "macosx" and os.uname().machine != target["machine"]:
        return False
    return target["system"] not in ("macosx", "manylinux") or system_version() >= tuple(target["version"])


def describe(targets: Iterable[dict[str, Any]]) -> str:
    """Name the machines that the file was built for."""
    names = {
        "manylinux": "Linux with glibc",
        "musllinux": "Linux with musl",
        "macosx": "macOS",
        "win": "Windows",
    }
    pythons: dict[str, list[str]] = {}
    for each in targets:
        version = ".".join(map(str, each["version"]))
        system = f"{names[each['system']]}{f' {version} or newer' if version else ''} on {each['machine']}"
        pythons.setdefault(system, []).append(f"3.{each['python'][1:]}")
    return "; ".join(f"Python {', '.join(versions)} for {system}" for system, versions in pythons.items())


def describe_machine() -> str:
    """Name this machine in similar words."""
    version = ".".join(map(str, system_version()))
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    python = f"Python {sys.version_info.major}.{sys.version_info.minor} for {sysconfig.get_platform()}"
    return f"{python}{f' {version}' if version else ''} ({suffix})"


def standard_library() -> list[str]:
    """Return sys.path without packages that somebody installed on this machine."""
    home = os.path.dirname(os.__file__)
    zipped = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    windows = [sys.base_exec_prefix] if os.name == "nt" else []
    return [
        path
        for path in sys.path
        if path in (home, *windows) or os.path.basename(path) in (zipped, "lib-dynload", "DLLs")
    ]


# --- Folders that are safe to run from ---------------------------------------------------------


def cache_folder() -> str:
    """Return where this user's cache is: as the owner says, else where the system has it; '' if nowhere."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return os.path.abspath(chosen)
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        caches = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        caches = os.path.join(home, "Library", "Caches")
    else:
        named = os.environ.get("XDG_CACHE_HOME", "")
        caches = named if os.path.isabs(named) else os.path.join(home, ".cache")
    return os.path.join(caches, CACHE_NAME) if os.path.isabs(caches) else ""


def others_may_write(status: os.stat_result) -> bool:
    """Whether anybody but root and this user can change what is in a folder."""
    if status.st_uid not in (0, os.getuid()) or status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not is_group_of_one(status.st_gid)


def is_group_of_one(group: int) -> bool:
    """Whether a group is that of this user alone, as many systems make one for each user."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and not {*found.gr_mem} - {user.pw_name}


def open_folder(folder: str) -> str:
    """Make a folder, if need be, and return its real path. Raises OSError saying why it is not safe."""
    above = os.path.dirname(folder)
    os.makedirs(above, exist_ok=True)
    above = os.path.realpath(above)
    folder = os.path.join(above, os.path.basename(folder))
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise PermissionError("it is not a folder")
    if sys.platform == "win32":  # where the folders of a user are closed to others
        return folder
    if status.st_uid != os.getuid() or others_may_write(status):
        raise PermissionError("others can write to it")
    for each in (above, *map(str, Path(above).parents)):
        status = os.stat(each)
        # In a sticky folder, such as /tmp, nobody can replace what belongs to somebody else.
        if others_may_write(status) and not status.st_mode & stat.S_ISVTX:
            raise PermissionError(f"others can write to {each}")
    if os.statvfs(folder).f_flag & getattr(os, "ST_NOEXEC", 0):
        raise PermissionError("no program may run from there (noexec)")
    return folder


# --- Unpacking ---------------------------------------------------------------------------------


def hold(folder: str) -> bool:
    """Keep others from removing a folder for as long as this process runs; False: it is not complete."""
    marker = os.path.join(folder, COMPLETE)
    try:
        file = os.open(marker, os.O_RDONLY)  # never closed
    except OSError:
        return False
    with contextlib.suppress(OSError):  # on a read-only disk, or a network disk without locks
        os.utime(marker)
    if sys.platform != "win32":  # where nobody can move a folder in which a file is open
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)
    return True


def is_whole(folder: str, files: Iterable[File]) -> bool:
    """Whether a folder has all files in their sizes; what they hold was checked when they were written."""
    try:
        return all(os.lstat(os.path.join(folder, file.path)).st_size == file.size for file in files)
    except OSError:
        return False


@contextlib.contextmanager
def alone(root: str) -> Iterator[None]:
    """Let one process unpack at a time, as long as that is no hindrance: without the lock, all would do the same."""
    file = os.open(os.path.join(root, ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while sys.platform != "win32" and time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break
        yield
    finally:
        os.close(file)


def write(path: str, content: bytes) -> None:
    """Write a file to disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: str) -> None:
    """Write the names in a folder to disk, where a folder can be opened."""
    if sys.platform != "win32":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def unpack(archive: zipimport.zipimporter, files: Sequence[File], folder: str) -> None:
    """Make a folder from the archive: it is there with all that it shall hold, or not at all."""

    def write_checked(file: File) -> None:
        content = read(archive, f"files/{file.sha256}")
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise CannotStart(f"{archive.archive} is damaged; copy it again.")
        write(os.path.join(fresh, file.path), content)

    fresh = tempfile.mkdtemp(prefix=TEMPORARY, dir=os.path.dirname(folder))
    try:
        inner = sorted({os.path.dirname(file.path) for file in files})
        for name in inner:
            os.makedirs(os.path.join(fresh, name), exist_ok=True)
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(write_checked, files))
        write(os.path.join(fresh, COMPLETE), b"")
        for name in {"", *inner}:
            sync(os.path.join(fresh, name))
        if os.path.lexists(folder):
            os.rename(folder, f"{fresh}-damaged")
        os.rename(fresh, folder)
        sync(os.path.dirname(folder))
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(f"{fresh}-damaged", ignore_errors=True)


def provide(archive: zipimport.zipimporter, listed: str, folder: str, *, anew: bool) -> None:
    """Unpack a folder if it is not there whole, or if it shall be made anew."""
    files = read_list(archive, listed)
    if anew or not (hold(folder) and is_whole(folder, files)):
        with alone(os.path.dirname(folder)):
            if anew or not (hold(folder) and is_whole(folder, files)):
                if sys.stderr.isatty():
                    say(f"Unpacking {sum(file.size for file in files) / 1e6:.0f} MB to {folder}, once.")
                unpack(archive, files, folder)
        hold(folder)


def discard(folder: str) -> None:
    """Remove a folder. Raises OSError if a process runs from it."""
    gone = f"{folder}-gone"
    with contextlib.ExitStack() as locks:
        for marker in Path(folder).rglob(COMPLETE) if sys.platform != "win32" else ():
            file = os.open(marker, os.O_RDONLY)
            locks.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(folder, gone)  # who waits for the lock finds nothing, and unpacks anew
    shutil.rmtree(gone, ignore_errors=True)


def is_older(folder: str, seconds: float) -> bool:
    """Whether a folder of ours was last used longer ago than that."""
    status = os.lstat(folder)
    marker = os.path.join(folder, COMPLETE)
    used = os.stat(marker).st_mtime if os.path.exists(marker) else status.st_mtime
    ours = sys.platform == "win32" or status.st_uid == os.getuid()
    return stat.S_ISDIR(status.st_mode) and ours and time.time() - used > seconds


def prune(root: str, lifetimes: Mapping[str, float]) -> None:
    """Remove folders that nobody needs any longer: by the beginnings of their names, after so many seconds."""
    with contextlib.suppress(OSError):
        for name in os.listdir(root):
            for prefix, seconds in lifetimes.items():
                folder = os.path.join(root, name)
                with contextlib.suppress(OSError):
                    if name.startswith(prefix) and is_older(folder, seconds):
                        discard(folder)


def temporary_folders() -> Iterator[str]:
    """Yield folders for this run alone, removed when it ends; what earlier runs could not remove goes, too."""
    above = [tempfile.gettempdir(), "/var/tmp"] if sys.platform != "win32" else [tempfile.gettempdir()]  # noqa: S108
    for folder in dict.fromkeys(above):
        prune(folder, {RUN_PREFIX: UNPACKING_SECONDS})
        folder = os.path.join(folder, RUN_PREFIX + secrets.token_hex(8))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def place(archive: zipimport.zipimporter, wanted: Mapping[str, str], *, anew: bool = False) -> list[str]:
    """Return folders that hold the lists that are wanted, below the first place that can hold them."""
    usual = cache_folder()
    for root in filter(None, itertools.chain([usual], temporary_folders())):
        try:
            safe = open_folder(root)
            folders = [os.path.join(safe, f"{name}-{listed[:16]}") for name, listed in wanted.items()]
            for folder, listed in zip(folders, wanted.values(), strict=True):
                provide(archive, listed, folder, anew=anew)
        except OSError as error:
            say(f"Not using {root}: {error.strerror or error}.")
            continue
        prune(safe, {TEMPORARY: UNPACKING_SECONDS, APP: KEEP_SECONDS, NATIVE: KEEP_SECONDS})
        if root != usual:
            say(
                f"Unpacked for this run alone. For faster starts, name a folder of yours in {CACHE_VARIABLE}."
            )
        return folders
    raise CannotStart(
        f"There is no folder to run from. Name one of yours, with 100 MB of room, in {CACHE_VARIABLE}."
    )


# --- Starting ----------------------------------------------------------------------------------


def forget(folders: Sequence[str]) -> None:
    """Undo the import of what lies in folders."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(tuple(folders)):
            del sys.modules[name]


def load(folders: Sequence[str], rest: Sequence[str]) -> ModuleType:
    """Import photos.py with Pillow, looking nowhere but in these folders."""
    sys.path[:] = [*folders, *rest]
    importlib.invalidate_caches()
    importlib.import_module("PIL._imaging")
    return importlib.import_module("photos")


def check_own_pillow(rest: Sequence[str], why: str) -> None:
    """Raise CannotStart unless the machine has a Pillow of its own that is good enough; say what it lacks."""
    sys.path[:] = rest
    try:
        from PIL import __version__, features
    except ImportError:
        raise CannotStart(
            f"{why} Install Pillow for this Python, or build photos.pyz for this machine."
        ) from None
    if tuple(map(int, __version__.split(".")[:2])) < OLDEST_PILLOW:
        needed = ".".join(map(str, OLDEST_PILLOW))
        raise CannotStart(
            f"{why} This machine's own Pillow {__version__} is too old; it takes {needed} or newer."
        )
    with warnings.catch_warnings(action="ignore"):  # of names that it does not know yet
        lacks = [name for name in ("jpg", "zlib", "webp", "avif", "littlecms2") if not features.check(name)]
    heif = [] if importlib.util.find_spec("pillow_heif") else ["pillow-heif"]
    say(
        f"{why} Using this machine's own Pillow {__version__}{', without ' if lacks else ''}{', '.join(lacks + heif)}."
    )


def import_photos(archive: zipimport.zipimporter, told: Mapping[str, Any]) -> ModuleType:
    """Unpack what is missing and import photos.py: with the Pillow of the archive, else with the machine's own."""
    machine = [path for path in sys.path if path != archive.archive]
    native = next((each["files"] for each in told["targets"] if fits(each)), "")
    why = "" if native else f"It was built for {describe(told['targets'])}; this is {describe_machine()}."
    for anew in (False, True) if native else ():
        folders = place(archive, {APP: told["app"], NATIVE: native}, anew=anew)
        try:
            return load(folders, standard_library())
        except Exception as error:  # whatever the code of a damaged file raises
            why = f"What is in {folders[-1]} cannot be loaded ({error})."
            forget(folders)
    check_own_pillow(machine, why)
    return load(place(archive, {APP: told["app"]}), machine)


def main(archive: zipimport.zipimporter) -> int:
    """Start the server, or run the command that was given; return the exit status."""
    path = os.path.abspath(archive.archive)
    try:
        told = json.loads(read(archive, "build.json"))
        photos = import_photos(archive, told)
    except CannotStart as error:
        say(str(error))
        return CANNOT_START
    except KeyboardInterrupt:
        say("Stopped.")
        return 1
    program = shlex.join([Path(sys.executable).stem, sys.argv[0]])
    return int(photos.main(home=os.path.dirname(path), program=program, build=told["build"]))
