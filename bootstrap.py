"""Start photos.py out of photos.pyz, which build_zipapp.py makes.

Python cannot import native modules, such as Pillow's, from a zip archive. The bootstrap unpacks
what this machine needs, once, to a cache folder of this user, and runs everything from there:

    app-HASH/       photos.py, renditions.py, templates, and packages that suit all machines
    native-HASH/    Pillow and pillow-heif for one platform and one version of Python
    tmp-*           a folder that is being unpacked or removed

HASH is computed from all that a folder holds, so a new version never runs old code. The file
`.complete` in each folder is written last. The processes that run from the folder hold a lock on
the file. Once a day a start checks the contents of all files, and touches `.complete`.

The bootstrap never uses a folder that others could have written to. If it finds no safe folder,
it unpacks to a temporary one, for this run alone. Exit status 3 means that the server cannot start
on this machine; one line on stderr says why.
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
import re
import secrets
import shutil
import stat
import sys
import sysconfig
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from zipimport import zipimporter

if sys.platform != "win32":
    import fcntl
else:
    import msvcrt

APP = "app"
NATIVE = "native"
CACHE_NAME = "photos.pyz"
CACHE_VARIABLE = "PHOTOS_CACHE_DIR"


class CannotStart(Exception):
    """Says in one sentence why the server cannot start on this machine."""


class CannotLoad(CannotStart):
    """Says why the code in photos.pyz does not run on this machine."""


def say(text: str) -> None:
    """Print a line for the owner."""
    print(f"photos: {text}", file=sys.stderr, flush=True)


# --- The archive -------------------------------------------------------------


class File(NamedTuple):
    """A file that a folder should hold: one line of a list."""

    sha256: str
    size: int  # bytes
    path: str  # with '/'


class Build(NamedTuple):
    """What build.json says about the archive; build_zipapp.py writes it."""

    app: str  # SHA-256 of the list of files that suit all machines
    build: str  # build id
    # A platform and Python each, with its list of native files.
    targets: list[dict[str, Any]]


def damage_error(archive: zipimporter, detail: object) -> CannotStart:
    """Return the error for an archive that does not hold what it should."""
    return CannotStart(f"{archive.archive} is damaged; copy it again. ({detail})")


def read_entry(archive: zipimporter, name: str) -> bytes:
    """Return the content of an entry. Raises CannotStart."""
    try:
        return archive.get_data(name)
    except (EOFError, ImportError, zlib.error) as error:
        raise damage_error(archive, error) from None
    except OSError as error:
        reason = error.strerror or "copy it again"
        raise CannotStart(f"{archive.archive} cannot be read: {reason}.") from None


def read_checked(archive: zipimporter, name: str, sha256: str) -> bytes:
    """Return the content of an entry that must have this SHA-256. Raises CannotStart."""
    content = read_entry(archive, name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise damage_error(archive, name)
    return content


def read_list(archive: zipimporter, list_sha256: str) -> list[File]:
    """Return the files that a folder should hold. Raises CannotStart."""
    content = read_checked(archive, f"lists/{list_sha256}", list_sha256)
    files = []
    for line in content.decode().splitlines():
        sha256, size, path = line.split(" ", 2)
        files.append(File(sha256, int(size), path))
    return files


def read_build(archive: zipimporter) -> Build:
    """Return the description of the archive. Raises CannotStart."""
    content = read_entry(archive, "build.json")
    try:
        fields = json.loads(content)
        return Build(fields["app"], fields["build"], fields["targets"])
    except (ValueError, TypeError, KeyError) as error:
        raise damage_error(archive, error) from None


# --- What fits this machine --------------------------------------------------

SYSTEM_NAMES = {
    "manylinux": "Linux with glibc",
    "musllinux": "Linux with musl",
    "macosx": "macOS",
    "win": "Windows",
}


def dotted(numbers: Iterable[int]) -> str:
    """Return a version as people write it, such as 2.28."""
    return ".".join(map(str, numbers))


def system_version() -> tuple[int, ...]:
    """Return the version of macOS or of glibc; () for any other system."""
    try:
        if sys.platform == "darwin":
            import platform

            version = platform.mac_ver()[0]
        else:
            text = os.confstr("CS_GNU_LIBC_VERSION") or ""
            version = text.removeprefix("glibc ")
        return tuple(int(number) for number in version.split("."))
    # other systems and libraries tell no version
    except (AttributeError, OSError, ValueError):
        return ()


def fits(target: dict[str, Any]) -> bool:
    """Return whether this interpreter and this system can run a target's native modules."""
    if target["suffix"] != importlib.machinery.EXTENSION_SUFFIXES[0]:
        return False
    system = target["system"]
    # Suffixes name the processor and the C library, but on macOS they name neither.
    if system == "macosx" and os.uname().machine != target["machine"]:
        return False
    if system in ("macosx", "manylinux"):
        return system_version() >= tuple(target["version"])
    return True


def system_text(target: dict[str, Any]) -> str:
    """Return a target's system in words: 'Linux with glibc 2.28 or newer on x86_64'."""
    name = SYSTEM_NAMES[target["system"]]
    if target["version"]:
        name = f"{name} {dotted(target['version'])} or newer"
    return f"{name} on {target['machine']}"


def targets_text(targets: Iterable[dict[str, Any]]) -> str:
    """Return the targets in words; those for the same versions of Python stand together."""
    pythons: dict[str, list[str]] = {}  # by system
    for target in targets:
        python = f"3.{target['python'][1:]}"
        pythons.setdefault(system_text(target), []).append(python)
    systems: dict[str, list[str]] = {}  # by versions of Python
    for system, versions in pythons.items():
        systems.setdefault(", ".join(versions), []).append(system)
    groups = [
        f"Python {python} for {', '.join(names)}" for python, names in systems.items()
    ]
    return "; ".join(groups)


def machine_text() -> str:
    """Return the Python and the system of this machine in words."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    # The platform is named after the kernel, which may have 64 bits where Python has 32.
    if sys.maxsize < 1 << 32:
        python = f"32-bit {python}"
    system = sysconfig.get_platform()
    version = dotted(system_version())
    if version:
        system = f"{system} {version}"
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    return f"{python} for {system} ({suffix})"


def standard_library_paths() -> list[str]:
    """Return sys.path without packages that somebody installed on this machine."""
    folders = [os.path.dirname(os.__file__)]
    if os.name == "nt":
        folders.append(sys.base_exec_prefix)
    zipped = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    names = (zipped, "lib-dynload", "DLLs")
    return [path for path in sys.path if path in folders or os.path.basename(path) in names]


# --- Safe folders ------------------------------------------------------------


def system_cache_folder() -> str:
    """Return where this system keeps a user's caches; a relative path or '' means nowhere."""
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA", "")
    # With an empty HOME, expanduser alone would answer '/'.
    home = os.environ.get("HOME", os.path.expanduser("~"))
    if sys.platform == "darwin":
        return os.path.join(home, "Library", "Caches")
    # A relative path counts as none (XDG Base Directory Specification).
    folder = os.environ.get("XDG_CACHE_HOME", "")
    return folder if os.path.isabs(folder) else os.path.join(home, ".cache")


def cache_folder() -> str:
    """Return our folder in this user's cache, or the one that the owner names; '' for none."""
    owners_choice = os.environ.get(CACHE_VARIABLE)
    if owners_choice:
        return os.path.abspath(os.path.expanduser(owners_choice))
    caches = system_cache_folder()
    return os.path.join(caches, CACHE_NAME) if os.path.isabs(caches) else ""


def is_group_of_one(group_id: int) -> bool:
    """Return whether a group is this user's own; many systems make such a group for each user."""
    import grp
    import pwd

    try:
        user = pwd.getpwuid(os.getuid())
        group = grp.getgrgid(group_id)
    except KeyError:
        return False
    has_users_name = user.pw_gid == group_id and user.pw_name == group.gr_name
    other_members = set(group.gr_mem) - {user.pw_name}
    return has_users_name and not other_members


def is_open_to_others(status: os.stat_result) -> bool:
    """Return whether anybody but root and the folder's owner may write to a folder."""
    if status.st_mode & stat.S_IWOTH:
        return True
    if status.st_mode & stat.S_IWGRP:
        return not is_group_of_one(status.st_gid)
    return False


def check_folder(folder: str, *, may_be_sticky: bool) -> None:
    """Raise OSError if anybody but root and this user can change what is in a folder.

    `may_be_sticky` lets sticky folders pass, such as /tmp: nobody can replace others' files there.
    """
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise PermissionError("it is a link, or no folder")
    # In a container without root, some other user owns all that root owns outside.
    trusted_users = (0, os.getuid(), os.stat("/").st_uid)
    if status.st_uid not in trusted_users:
        raise PermissionError(f"{folder} belongs to somebody else")
    if may_be_sticky and status.st_mode & stat.S_ISVTX:
        return
    if is_open_to_others(status):
        raise PermissionError(f"others can write to {folder}")


def open_folder(folder: str) -> str:
    """Make a folder, if need be, and return its real path. Raises OSError if it is not safe."""
    parent = os.path.realpath(os.path.dirname(folder))
    folder = os.path.join(parent, os.path.basename(folder))
    parents = [os.fspath(path) for path in Path(folder).parents]
    # From the top down: nobody can exchange what lies in a folder that was found safe.
    for path in [*reversed(parents), folder]:
        with contextlib.suppress(FileExistsError):  # another process may be faster
            if not os.path.lexists(path):
                os.mkdir(path, 0o700)
        if sys.platform != "win32":  # where a user's folders are closed to others
            check_folder(path, may_be_sticky=path != folder)
    if sys.platform != "win32":
        noexec = getattr(os, "ST_NOEXEC", 0)  # macOS has no name for this flag
        if os.statvfs(folder).f_flag & noexec:
            raise PermissionError("no program may run from there (noexec)")
    return folder


# --- Unpacked folders --------------------------------------------------------

COMPLETE = ".complete"
# Seconds from one check of all contents to the next. It takes 0.05 s for 50 MB; sizes take 2 ms.
CHECK_SECONDS = 86400


def hold(folder: str) -> bool:
    """Keep others from removing a folder while this process runs; False: it is not complete."""
    marker = os.path.join(folder, COMPLETE)
    try:
        descriptor = os.open(marker, os.O_RDONLY)  # open until the process ends
    except OSError:
        return False
    if sys.platform != "win32":  # where an open file is enough to keep its folder in place
        with contextlib.suppress(OSError):  # a network disk without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH)
    return True


def has_right_size(folder: str, file: File) -> bool:
    """Return whether a file in a folder has the size of the list. Raises OSError."""
    path = os.path.join(folder, file.path)
    return os.lstat(path).st_size == file.size


def has_right_content(folder: str, file: File) -> bool:
    """Return whether a file in a folder has the SHA-256 of the list. Raises OSError."""
    path = os.path.join(folder, file.path)
    with open(path, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256")
    return digest.hexdigest() == file.sha256


def is_whole(folder: str, files: Sequence[File]) -> bool:
    """Return whether a folder has all its files, in their sizes; once a day, read them all."""
    marker = os.path.join(folder, COMPLETE)
    try:
        if not all(has_right_size(folder, file) for file in files):
            return False
        seconds_since_check = time.time() - os.stat(marker).st_mtime
        if seconds_since_check <= CHECK_SECONDS:
            return True
        if not all(has_right_content(folder, file) for file in files):
            return False
    except OSError:
        return False
    with contextlib.suppress(OSError):  # on a read-only disk
        os.utime(marker)
    return True


def temporary_name(folder: str) -> str:
    """Return a new name beside a folder, for one that is being unpacked or removed."""
    name = f"tmp-{secrets.token_hex(8)}"
    return os.path.join(os.path.dirname(folder), name)


# --- Unpacking ---------------------------------------------------------------

WAIT_SECONDS = 30.0  # at most, for another process that unpacks; one takes about a second
RETRY_SECONDS = 0.02  # between two attempts to get the lock
WRITERS = 16  # threads; each waits for the disk, and one would take ten times as long


def try_lock(descriptor: int) -> None:
    """Lock an open file for this process alone, or raise OSError at once."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wait_for_lock(descriptor: int) -> None:
    """Lock an open file; give up after WAIT_SECONDS, and on a disk without locks."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            try_lock(descriptor)
            return
        except (BlockingIOError, PermissionError):  # another process has the lock
            time.sleep(RETRY_SECONDS)
        except OSError:
            return


@contextlib.contextmanager
def unpack_lock(root: str) -> Iterator[None]:
    """Let one process unpack at a time; without a lock several do, and the first one wins."""
    path = os.path.join(root, ".lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        wait_for_lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def write(path: str, content: bytes) -> None:
    """Write a new file to disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(folder: str) -> None:
    """Write the names in a folder to disk."""
    if sys.platform == "win32":  # which cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fill(archive: zipimporter, files: Sequence[File], folder: str) -> None:
    """Write files of the archive to an empty folder, and its marker last."""

    def write_checked(file: File) -> None:
        content = read_checked(archive, f"files/{file.sha256}", file.sha256)
        write(os.path.join(folder, file.path), content)

    subfolders = {os.path.dirname(file.path) for file in files}
    for name in subfolders:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write_checked, files))  # the list raises what a thread raised
    write(os.path.join(folder, COMPLETE), b"")
    for name in {"", *subfolders}:
        sync(os.path.join(folder, name))


def unpack(archive: zipimporter, files: Sequence[File], folder: str) -> None:
    """Make a folder from the archive, or replace it: the folder gets all its files, or none."""
    new_folder = temporary_name(folder)
    old_folder = temporary_name(folder)
    os.mkdir(new_folder, 0o700)
    try:
        fill(archive, files, new_folder)
        if os.path.lexists(folder):
            os.rename(folder, old_folder)
        os.rename(new_folder, folder)
        sync(os.path.dirname(folder))
    finally:
        shutil.rmtree(new_folder, ignore_errors=True)
        shutil.rmtree(old_folder, ignore_errors=True)


def announce(files: Iterable[File], folder: str) -> None:
    """Tell somebody at a terminal why this start takes longer than the next ones."""
    if sys.stderr and sys.stderr.isatty():
        megabytes = sum(file.size for file in files) / 1e6
        say(f"Unpacking {megabytes:.0f} MB to {folder}, once.")


def provide(archive: zipimporter, list_sha256: str, folder: str, *, replace: bool) -> None:
    """Unpack a folder if it is not whole, or if `replace` says so, and hold the folder."""
    files = read_list(archive, list_sha256)
    if not replace and hold(folder) and is_whole(folder, files):
        return
    with unpack_lock(os.path.dirname(folder)):
        # Another process may have unpacked the folder while this one waited.
        if not replace and hold(folder) and is_whole(folder, files):
            return
        announce(files, folder)
        try:
            unpack(archive, files, folder)
        except OSError:
            # another process without the lock may be faster
            if not is_whole(folder, files):
                raise
        hold(folder)


# --- Pruning -----------------------------------------------------------------

# Seconds that a folder with one of our names stays after the last start from it. A folder named
# as in the second line serves one process, which removes it; one that stays was left by a crash.
LIFETIMES = {
    rf"({APP}|{NATIVE})-[0-9a-f]{{16}}": 30 * 86400,
    rf"({CACHE_NAME}|tmp)-[0-9a-f]{{16}}": 3600,
}


def discard(folder: str) -> None:
    """Remove a folder. Raises OSError if a process runs from the folder."""
    doomed = temporary_name(folder)
    with contextlib.ExitStack() as open_files:
        if sys.platform != "win32":  # where a folder with an open file cannot be renamed
            for marker in Path(folder).rglob(COMPLETE):
                descriptor = os.open(marker, os.O_RDONLY)
                open_files.callback(os.close, descriptor)
                try_lock(descriptor)
        # A process that waits for one of these locks will miss the folder, and unpack it again.
        os.rename(folder, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def is_outdated(folder: str, lifetime: float) -> bool:
    """Return whether a folder is ours and its last start is more than `lifetime` seconds ago."""
    status = os.lstat(folder)
    is_ours = sys.platform == "win32" or status.st_uid == os.getuid()
    if not is_ours or not stat.S_ISDIR(status.st_mode):
        return False
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(os.path.join(folder, COMPLETE))
    return time.time() - status.st_mtime > lifetime


def prune(root: str) -> None:
    """Remove the folders in `root` that have our names and that nobody needs any longer."""
    with contextlib.suppress(OSError):  # `root` may not exist
        for name in os.listdir(root):
            folder = os.path.join(root, name)
            for pattern, lifetime in LIFETIMES.items():
                with contextlib.suppress(OSError):  # a process may run from the folder
                    if re.fullmatch(pattern, name) and is_outdated(folder, lifetime):
                        discard(folder)


# --- Placing -----------------------------------------------------------------


def temporary_parents() -> list[str]:
    """Return the folders for temporary files on this machine, the preferred one first."""
    # Not tempfile.gettempdir(): it may answer the current folder, which holds the photos.
    variable = "TEMP" if sys.platform == "win32" else "TMPDIR"
    preferred = os.environ.get(variable) or "/tmp"  # noqa: S108
    parents = dict.fromkeys((preferred, "/var/tmp"))  # noqa: S108
    return [parent for parent in parents if os.path.isabs(parent) and os.path.isdir(parent)]


def temporary_folders() -> Iterator[str]:
    """Yield names of folders for this run alone, which are removed when the run ends."""
    for parent in temporary_parents():
        prune(parent)  # of what earlier runs could not remove
        folder = os.path.join(parent, f"{CACHE_NAME}-{secrets.token_hex(8)}")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def keep_from_cleaners(folder: str) -> None:
    """Lock a folder for as long as this process runs: systemd-tmpfiles leaves locked ones alone."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_SH)


def place(
    archive: zipimporter, lists: Mapping[str, str], *, replace: bool = False
) -> list[str]:
    """Return an unpacked folder for each list, in the first place that has room for all of them.

    `lists` gives the SHA-256 of each list by the folder's name. Raises CannotStart.
    """
    cache = cache_folder()
    roots = itertools.chain([cache], temporary_folders())
    for root in filter(None, roots):
        try:
            safe_root = open_folder(root)
            folders = []
            for name, list_sha256 in lists.items():
                folder = os.path.join(safe_root, f"{name}-{list_sha256[:16]}")
                provide(archive, list_sha256, folder, replace=replace)
                folders.append(folder)
        except OSError as error:
            say(f"Not using {root}: {error.strerror or error}.")
            continue
        prune(safe_root)
        if root != cache:
            keep_from_cleaners(safe_root)
            advice = f"To start faster, name a folder of yours in {CACHE_VARIABLE}."
            say(f"Unpacked for this run alone. {advice}")
        return folders
    advice = f"Name one with 100 MB of room in {CACHE_VARIABLE}."
    raise CannotStart(f"There is no folder to run from. {advice}")


# --- Starting ----------------------------------------------------------------

CANNOT_START = 3  # exit status
# All packages and modules that photos.pyz brings.
PACKAGES = frozenset(
    "PIL _pillow_heif bottle jwt photos pillow_heif renditions segno waitress".split()
)
OLDEST_PILLOW = (11, 1)  # of the machine's own, that photos.py can run with
PILLOW_FEATURES = "jpg zlib webp avif littlecms2".split()  # as PIL.features names them


def load(folders: Iterable[str], paths: Iterable[str]) -> ModuleType:
    """Import photos.py with Pillow from our folders, or else from the rest of the search path."""
    sys.path[:] = [*folders, *paths]
    importlib.invalidate_caches()
    # An earlier attempt, or the machine's start-up files, may have imported some from elsewhere.
    for name in list(sys.modules):
        package = name.partition(".")[0]
        if package in PACKAGES:
            del sys.modules[name]
    importlib.import_module("PIL._imaging")
    return importlib.import_module("photos")


def unpack_and_load(
    archive: zipimporter, lists: Mapping[str, str], paths: Iterable[str]
) -> ModuleType:
    """Import photos.py from unpacked folders, replaced once if need be. Raises CannotStart."""
    for replace in (False, True):
        folders = place(archive, lists, replace=replace)
        try:
            return load(folders, paths)
        except Exception as error:  # the code of a damaged file may raise anything
            reason = f"What is in {' and '.join(folders)} cannot be loaded here ({error})."
    raise CannotLoad(reason)


def is_new_enough(pillow_version: str) -> bool:
    """Return whether photos.py can run with a version of Pillow."""
    numbers = re.findall(r"\d+", pillow_version)
    return tuple(map(int, numbers[:2])) >= OLDEST_PILLOW


def missing_features(features: ModuleType) -> list[str]:
    """Return what the machine's own packages lack; `features` is PIL.features."""
    # an old Pillow warns of names it cannot know
    with warnings.catch_warnings(action="ignore"):
        missing = [name for name in PILLOW_FEATURES if not features.check(name)]
    if not importlib.util.find_spec("pillow_heif"):
        missing.append("pillow-heif")
    return missing


def check_own_pillow(paths: Iterable[str], reason: str) -> None:
    """Say what the machine's own Pillow lacks, and the reason for using it. Raises CannotStart."""
    sys.path[:] = paths
    needed = f"{dotted(OLDEST_PILLOW)} or newer"
    try:
        from PIL import __version__, features
    except Exception:  # a broken package may raise anything
        advice = f"Install Pillow {needed} for this Python, or build photos.pyz for it."
        raise CannotStart(f"{reason} {advice}") from None
    if not is_new_enough(__version__):
        verdict = f"This machine's Pillow {__version__} is too old; {needed} would do."
        raise CannotStart(f"{reason} {verdict}")
    missing = missing_features(features)
    without = f", without {', '.join(missing)}" if missing else ""
    say(f"{reason} Using this machine's own Pillow {__version__}{without}.")


def native_list(targets: Iterable[dict[str, Any]]) -> str:
    """Return the SHA-256 of the list of native files for this machine. Raises CannotLoad."""
    for target in targets:
        if fits(target):
            return str(target["files"])
    raise CannotLoad(
        f"photos.pyz was built for {targets_text(targets)}; this is {machine_text()}."
    )


def import_photos(archive: zipimporter, build: Build) -> ModuleType:
    """Import photos.py with our Pillow, or else with the machine's own. Raises CannotStart."""
    machine_paths = [path for path in sys.path if path != archive.archive]
    app_list = {APP: build.app}
    try:
        lists = {**app_list, NATIVE: native_list(build.targets)}
        return unpack_and_load(archive, lists, standard_library_paths())
    except CannotLoad as error:
        reason = str(error)
    check_own_pillow(machine_paths, reason)
    return unpack_and_load(archive, app_list, machine_paths)


def main(archive: zipimporter) -> int:
    """Start the server, or run the command of the command line; return the exit status."""
    home = os.path.dirname(os.path.abspath(archive.archive))
    try:
        build = read_build(archive)
        photos = import_photos(archive, build)
    except CannotStart as error:
        say(str(error))
        return CANNOT_START
    return int(photos.main(home=home, script=sys.argv[0], build=build.build))
