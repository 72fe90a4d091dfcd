#!/usr/bin/env python3
"""photos: a self-hosted photo album server in one file.

A folder is an album. Dropping photos into it is all the management there is. `Trip.hidden` is
unlisted, `Trip.private` needs a login. Rename a folder, and from the next request other people may
see it.

Contents, top to bottom; names refer upward only:

    shared constants · errors · files · configuration · permissions · workers · folders ·
    listings · index · summaries · albums · library · searches · finding · upkeep · users ·
    tokens · shares · HTTP · ZIP · adding · pages · routes · guard · web · server · tunnel ·
    checks · outside · service · command line

renditions.py beside this file is what the worker processes run, which read and render photos.

On disk, all of it below the state folder (`.photos/` in the library, or --state):

    config.json   title, host, port, public address …    text, hand-editable
    users.json    password hashes, sessions ended early   text, mode 0600
    shares.json   links for guests                        text, mode 0600
    secret.key    32 random bytes, made once, mode 0600
    tunnel.token  of a tunnel of the owner's own, put there by the owner, mode 0600
    tunnel.json   where the tunnel leads from, and its process
    cache/        index, summaries and renditions; always safe to delete

Use: `python photos.py` asks a few questions the first time and serves; `python photos.py --help`.
Under another WSGI server: `photos.create_app(state_folder)`.
"""

from __future__ import annotations

import argparse
import array
import base64
import bisect
import codecs
import contextlib
import contextvars
import copy
import ctypes
import dataclasses
import datetime as dt
import difflib
import enum
import errno
import filecmp
import functools
import getpass
import gzip
import hashlib
import heapq
import hmac
import http.client
import importlib.util
import io
import ipaddress
import itertools
import json
import logging
import math
import operator
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
import uuid
import zlib
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar
from unicodedata import normalize
from urllib.parse import quote, unquote, urlencode, urlsplit
from weakref import WeakKeyDictionary, finalize

import bottle
import jwt
import PIL
import waitress

from renditions import (
    AT_ONCE,
    AT_START,
    CHECKSUM_BYTES,
    CPU_USED_UP,
    FULL,
    IS_READY,
    LATER,
    NEVER,
    PHOTO,
    PHOTO_SUFFIXES,
    PREVIEW,
    RAW,
    RAW_PROBLEM,
    RAW_SUFFIXES,
    READER,
    RENDER_SECONDS,
    RENDITIONS_FOLDER,
    SOUND_SUFFIXES,
    THUMBNAIL_WIDTHS,
    TOO_SLOW,
    VIDEO,
    Info,
    Made,
    Patch,
    Purpose,
    add_to_checksum,
    checksums,
    date_in_name,
    date_told,
    decode_patches,
    decode_reply,
    encode_request,
    expected_kind,
    explain,
    first_date,
    info_from,
    is_made,
    is_same_moment,
    local_time,
    machine_memory,
    made_of,
    missing_renditions,
    narrowed,
    patch_block,
    patches_within,
    preview_side,
    purpose_of,
    read_head,
    rendition_names,
    share_memory,
    thumbnail_names,
    worker_command,
    zone_told,
)

if sys.platform != "win32":
    import fcntl
    import resource
else:
    import msvcrt

__version__ = "0.1.0"

# --- Shared constants --------------------------------------------------------

STATE_FOLDER = ".photos"
SETTLE_SECONDS = 2.0  # a file that changed this recently may still be being copied

TITLE_LENGTH = 200  # characters, of the site's title and of an album's

# Threads that may wait for renditions, beside those that answer. A waiting thread costs about 40 KB
# and no CPU, so that hundreds of cold thumbnails never keep a page waiting.
WAITING_THREADS = 240

# Of the answers that take seconds of CPU or megabytes, and are kept nowhere yet. Who asks for more is
# told to come back.
HEAVY_AT_ONCE = 2

SESSION_SECONDS = 30 * 86400
AHEAD_SECONDS = 86400  # that another clock, or our own of before, may be ahead of ours

log = logging.getLogger("photos")

Key: TypeAlias = tuple[Any, ...]  # values that are compared together
Condition: TypeAlias = Callable[[], bool]  # says whether something is so, at each call
Values: TypeAlias = Mapping[str, Any]  # by their names, as JSON and settings have them
Fields: TypeAlias = dict[str, Any]  # the same, to be filled in
Environ: TypeAlias = dict[str, Any]  # of a request (PEP 3333)
Headers: TypeAlias = Mapping[str, str]  # of a request, by their names in RFC 9110

# --- Errors ------------------------------------------------------------------


class PhotosError(Exception):
    """The root of all errors that a person caused and can understand.

    `status` is the HTTP answer; pages tell it in the visitor's language, by that number. `command`
    is one to suggest, printed behind the message.
    """

    status = 400
    retry_after: int | None = None  # seconds

    def __init__(self, message: str = "", command: str = "") -> None:
        super().__init__(message)
        self.command = command


class NotFound(PhotosError):
    """There is nothing at that address."""

    status = 404


class LoginFailed(PhotosError):
    """The name or the password is wrong."""

    status = 401


class Locked(PhotosError):
    """The share has a password, which this browser has not told yet."""

    status = 401


class Forbidden(PhotosError):
    """The request came from another site."""

    status = 403


class BadForm(PhotosError):
    """The form is of another kind than those of the pages."""

    status = 415


class WrongHost(PhotosError):
    """A browser was led here by a name that is not this site's (RFC 9110, 15.5.20)."""

    status = 421


class Gone(PhotosError):
    """What is asked for has changed since its address was made."""

    status = 410


class NoPicture(PhotosError):
    """No picture can be made of that file."""

    status = 404


class TooManyAttempts(PhotosError):
    """There were too many failed log-ins."""

    status = 429

    def __init__(self, seconds: float) -> None:
        self.retry_after = math.ceil(seconds)
        super().__init__(f"Too many failed attempts. Try again in {self.retry_after} s.")


class Busy(PhotosError):
    """More is being asked than can be answered now."""

    status = 503
    retry_after = 1


@contextmanager
def place_among(places: threading.BoundedSemaphore, problem: str) -> Iterator[None]:
    """Keep one of so many places while the block runs. Raises Busy where all are taken."""
    if not places.acquire(blocking=False):
        raise Busy(problem)
    try:
        yield
    finally:
        places.release()


class Conflict(PhotosError):
    """A piece does not begin where the upload ends."""

    status = 409


class TooLarge(PhotosError):
    """A piece or a file is larger than may be."""

    status = 413


class Unwanted(PhotosError):
    """What was sent is neither a photo nor a film that is shown here; the message says why."""

    status = 422


class NoRoom(PhotosError):
    """The disk is too full for what somebody wants to add."""

    status = 507


class ShareFull(PhotosError):
    """With one link, no more may be added; pages say why in a text of their own."""

    status = 403


class StateError(PhotosError):
    """A file of the state folder cannot be used; the message says which and what to do."""

    status = 503


class Unwritable(StateError):
    """The system lets nothing be written where something should be kept."""

    def __init__(self, path: object, error: OSError) -> None:
        super().__init__(f"{path} cannot be written: {error.strerror}.")


class NeedsThread(BaseException):
    """What is asked for may take long, and the server's loop, which serves all, must not wait.

    No Exception: nothing on the way shall answer with it as with an error.
    """


# Whether the present code runs in the loop that serves all connections.
in_loop = contextvars.ContextVar("in_loop", default=False)


def leave_to_thread() -> None:
    """Raise NeedsThread in the server's loop. Stands before all that may take long."""
    if in_loop.get():
        raise NeedsThread


def start_thread(run: Callable[..., None], *arguments: Any) -> threading.Thread:
    """Have a thread run something; it ends with the process at the latest."""
    thread = threading.Thread(target=run, args=arguments, daemon=True)
    thread.start()
    return thread


# --- Files -------------------------------------------------------------------

PROBE_BYTES = 1 << 20  # more than most pictures need
SECRET_FILES = ("users.json", "shares.json", "added.json", "secret.key")
STATE_VERSION = 1  # of all state files; a newer one is refused, never rewritten
# The years 1 to 9999, with some days to spare, in seconds since the epoch.
EARLIEST, LATEST = -62_000_000_000.0, 253_000_000_000.0
LOOKS, LOOK_SECONDS = 5, 0.02  # a command that looks for a server has its lock for a moment
NAME_BYTES = 200  # 255 with what makes it unique and an ending
# Names that Windows keeps for devices, whatever follows the first dot.
DEVICES = frozenset(
    ["con", "prn", "aux", "nul"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
LOCKED_BYTE = 1 << 40  # behind what a file holds: Windows lets nobody read what is locked
AS_BYTES = getattr(os, "O_BINARY", 0)  # Windows writes a line's end as two bytes otherwise
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ufffd]')


def display(name: str) -> str:
    """Return a file name as text that can be shown.

    Bytes that are not UTF-8 become U+FFFD, and so does what would steer the owner's terminal.
    """
    if name.isascii() and name.isprintable():
        return name
    return _CONTROLS.sub("\ufffd", os.fsencode(name).decode("utf-8", "replace"))


def plausible(mtime: float) -> float:
    """Return a file's time as one that a calendar of 1 to 9999 can show, seconds since the epoch."""
    return min(max(mtime, EARLIEST), LATEST)


def safe_name(name: str) -> str:
    """Return a file name that every system takes, as close to `name` as can be."""
    text = normalize("NFC", display(name))
    text = _NOT_IN_NAMES.sub("_", text).strip().rstrip(". ")
    if text.partition(".")[0].rstrip().casefold() in DEVICES:
        text = f"_{text}"
    stem, ending = os.path.splitext(text)
    while len(f"{stem}{ending}".encode()) > NAME_BYTES:
        if stem == "":
            stem, ending = ending, ""
        stem = stem[:-1]
    return f"{stem}{ending}" or "_"


def unique_name(name: str, taken: set[str]) -> str:
    """Return a name that differs from those taken, whatever their case; note it as taken."""
    stem, ending = os.path.splitext(name)
    for number in itertools.count(2):
        folded = normalize("NFC", name.casefold())
        if folded not in taken:
            break
        name = f"{stem} ({number}){ending}"
    taken.add(folded)
    return name


class Identity(NamedTuple):
    """Tells one state of a file or folder from another: it differs after each change."""

    inode: int
    size: int
    mtime_ns: int

    @property
    def mtime(self) -> float:
        """Seconds since the epoch."""
        return self.mtime_ns / 1e9


def identity_in(status: os.stat_result) -> Identity:
    """Return the identity of a file or folder as the system tells it."""
    return Identity(status.st_ino, status.st_size, status.st_mtime_ns)


def identity_of(path: str | Path | int) -> Identity | None:
    """Return the identity of a file or folder, or of an open file; None: nothing is there."""
    try:
        return identity_in(os.stat(path))
    except OSError:
        return None


# What differs after each change of a file or folder, also where its mtime was put back. Servers that
# share a library agree on it: it holds no number of a device.
exact_identity = operator.attrgetter("st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")


def changed_ns(path: str) -> int:
    """Return the ctime of a file or folder, ns since the epoch; 0: nothing is there."""
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return 0


def inode_of(path: str | Path) -> int:
    """Return the inode number of a file or folder; 0: nothing is there."""
    identity = identity_of(path)
    return identity.inode if identity else 0


def steps_to(path: str) -> list[str]:
    """Return the folders on the way to a path, and the path itself; of a POSIX system."""
    _, *names = path.split("/")
    steps = itertools.accumulate(names, "{}/{}".format, initial="")
    return list(steps)[1:]


def real_path(path: str) -> str:
    """Return what os.path.realpath does, in a third of its time where no link is on the way."""
    is_plain = sys.platform != "win32" and os.path.abspath(path) == path
    if is_plain and not any(map(os.path.islink, steps_to(path))):
        return path
    return os.path.realpath(path)


def is_within(path: str, folder: str) -> bool:
    """Say whether a path is that of a folder or of something in it; both are real paths."""
    above = os.path.normcase(os.path.join(folder, ""))
    return os.path.normcase(f"{path}{os.sep}").startswith(above)


def is_older(moment: float, seconds: float) -> bool:
    """Say whether a moment is so many seconds ago, or to come, which a wrong clock tells."""
    age = time.time() - moment
    return not 0 <= age < seconds


def is_long_ago(moment: float, seconds: float) -> bool:
    """Say whether a moment is so many seconds ago; what is to come was written by a clock ahead."""
    return time.time() - moment >= seconds


def is_settled(path: str) -> bool:
    """Say whether a file has not changed for two seconds, so that nobody is copying it any more."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return is_older(max(status.st_mtime, status.st_ctime), SETTLE_SECONDS)


def give_to_owner(path: str) -> None:
    """Under sudo, give a new file to its folder's owner, who has to read it without sudo."""
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = os.stat(os.path.dirname(path))
        # Some disks, such as FAT, have one owner for all files.
        with suppress(OSError):
            os.chown(path, owner.st_uid, owner.st_gid)


def _sync(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _sync_folder(path: str | Path) -> None:
    # Windows cannot open a folder, and some network disks cannot sync one.
    with suppress(OSError):
        _sync(os.fspath(path))


def write_lines_atomically(path: Path, lines: Iterable[bytes]) -> None:
    """Replace a file so that after a crash it is the old or the new one, never half of one.

    Mode 0600; the file and its folder are synced. Raises OSError that names the file.
    """
    temporary = ""
    try:
        prefix = f".{path.name}-{os.getpid()}-"
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix)
        with os.fdopen(handle, "wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        give_to_owner(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as `write_lines_atomically` does. Raises OSError."""
    write_lines_atomically(path, [content])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file of a state file: one writer at a time, across threads and processes.

    On a disk without locks nobody waits; `state_problem` tells of it. Raises OSError.
    """
    name = path.with_name(f"{path.name}.lock")
    with open(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), "ab") as file:
        give_to_owner(os.fspath(name))
        if sys.platform != "win32":
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
        else:
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        yield


def try_lock(path: Path) -> int | None:
    """Take a lock for as long as its file is open; None: another process has it. Raises OSError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | AS_BYTES, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(file, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        os.close(file)
        if isinstance(error, BlockingIOError) or sys.platform == "win32":
            return None
        raise
    return file


def release_lock(file: int) -> None:
    """Give a lock back now, even if a worker that is just being started has its file open, too."""
    if sys.platform != "win32":
        with suppress(OSError):  # a disk without locks
            fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def state_problem(state: Path) -> str:
    """Say what does not work in a state folder, why, and what to do; '': all works."""
    other = "name another folder with --state FOLDER."
    try:
        with tempfile.TemporaryFile(dir=state / "cache") as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        problem = f"Nothing can be written to {state} ({error.strerror})."
        albums = "Albums are served, but new pictures are not kept,"
        users = "and nobody can be registered or logged out everywhere."
        return f"{problem} {albums} {users} Make room there, or {other}"
    try:
        if lock := try_lock(state / "cache" / "serving.lock"):
            release_lock(lock)
    except OSError as error:
        problem = f"The disk of {state} has no locks ({error.strerror})."
        return f"{problem} Give one command at a time, or {other}"
    paths = [state / name for name in SECRET_FILES]
    present = [path for path in paths if path.exists()]
    exposed = [path.name for path in present if path.stat().st_mode & 0o077]
    if exposed and sys.platform != "win32":
        names = " and ".join(exposed)
        problem = f"Others can read {names} in {state}, so they could log in."
        advice = "If chmod 600 does not end that, its disk keeps no permissions:"
        return f"{problem} {advice} {other}"
    return ""


NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # open(2): a named pipe waits for its other end


def open_regular(path: str, flags: int) -> int:
    """Open a file, and nothing that may never end, such as a pipe or a device. Raises OSError."""
    file = os.open(path, flags | NO_WAIT, 0o666)
    mode = os.fstat(file).st_mode
    if stat.S_ISREG(mode):
        return file
    os.close(file)
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is no regular file", path)


def read_regular(path: Path) -> bytes:
    """Return what a file holds. Raises OSError, also for a named pipe."""
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def read_kept(path: Path) -> bytes | None:
    """Return what a file of the state folder holds; None: it does not exist. Raises StateError."""
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}.") from error


def read_state(path: Path) -> Fields | None:
    """Read a JSON state file; None: it does not exist. Raises StateError where it cannot be used."""
    text = read_kept(path)
    if text is None:
        return None
    try:
        state = json.loads(text)
    except (ValueError, RecursionError) as error:
        cause = str(error)
        if isinstance(error, RecursionError):
            cause = "too many brackets within brackets"
        problem = f"{path} is damaged ({cause}). Repair it in a text editor,"
        advice = "put a copy back, or move it away to begin afresh."
        raise StateError(f"{problem} {advice}") from None
    if not isinstance(state, dict) or not isinstance(state.get("version"), int):
        advice = "Put a copy back or move it away."
        raise StateError(f'{path} is damaged: it has no "version". {advice}')
    if state["version"] > STATE_VERSION:
        problem = f"{path} was written by a newer version of photos."
        raise StateError(f"{problem} Run that version.")
    return state


def write_state(path: Path, state: Values) -> None:
    """Write a JSON state file: UTF-8, indented, keys sorted."""
    content = {**state, "version": STATE_VERSION}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    # Names of files may hold lone surrogates, which UTF-8 has not: escaped, as JSON has them.
    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def make_state_folder(state: Path) -> None:
    """Make the state folder, mode 0700. Raises StateError where that is not possible."""
    try:
        for folder in (state, state / "cache"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if state.name == STATE_FOLDER:  # a folder of another name is the owner's to guard
            # Some disks keep no modes, or nothing can be written: `state_problem` tells of it.
            with suppress(OSError):
                os.chmod(state, 0o700)
    except OSError as error:
        problem = f"The state folder {state} cannot be made: {error.strerror}."
        raise StateError(f"{problem} Name another one with --state FOLDER.") from None


def require_writable(state: Path) -> None:
    """Raise StateError where a state folder can be neither made nor written."""
    folder = next(filter(Path.exists, (state, *state.parents)))
    if not os.access(folder, os.W_OK):
        advice = "Name another state folder with --state FOLDER."
        raise StateError(f"Nothing can be written to {folder}. {advice}")


def read_secret(state: Path) -> bytes:
    """Return the 32 bytes of secret.key, made at the first call. Raises StateError for a cut file."""
    path = state / "secret.key"
    if not path.exists():
        with locked(path):
            if not path.exists():
                write_atomically(path, secrets.token_bytes(32))
    secret = read_kept(path)
    if secret is None or len(secret) != 32:
        problem = f"{path} is damaged. Put a copy back."
        loss = "then everybody has to log in again, and guests need new links"
        raise StateError(f"{problem} Delete it if there is none: {loss}.")
    return secret


def announce(state: Path, version: str) -> None:
    """Note which version serves. The note is valid until this process ends, which frees the lock."""
    with suppress(OSError):  # a disk without locks
        for _ in range(LOOKS):
            if try_lock(state / "cache" / "serving.lock") is not None:
                write_atomically(state / "cache" / "serving", version.encode())
                return
            time.sleep(LOOK_SECONDS)


def serving_version(state: Path) -> str:
    """Return which version serves now; '': none does, or none that can tell."""
    # no cache folder yet, no note yet, no locks on this disk
    with suppress(OSError):
        lock = try_lock(state / "cache" / "serving.lock")
        if lock is None:
            return read_regular(state / "cache" / "serving").decode()
        release_lock(lock)
    return ""


# --- Configuration -----------------------------------------------------------

YES, NO = ("yes", "y", "true", "on"), ("no", "n", "false", "off")
NOTHING = ("", "-", "none", *NO)  # what people answer to have none
ANY_HOST, OWN_HOST = "0.0.0.0", "127.0.0.1"
NO_ADDRESS = "An address looks like https://photos.example.org"
EVERY_HOST = "::"  # of IPv6, and of IPv4 too
LARGEST_AMOUNT = 10_000  # files or gigabytes that guests may add with one link
CACHE_SHARE = 20  # percent of its disk; thumbnails and previews of 10,000 photos take 4 GB
# Addresses that nobody has (RFC 5737, RFC 3849).
NOBODY = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
LOOK_UP_SECONDS = 1.0  # of a name in the home network
USUAL_PORTS = {"http": "80", "https": "443"}  # browsers leave these out of Origin
_HOST_NAME = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*", re.IGNORECASE | re.ASCII)
_PUBLIC_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?"
    r"(?P<path>(?:/[\w.~%-]+)*/?)",
    re.ASCII | re.IGNORECASE,
)


def is_number(text: str, most_digits: int = 9) -> bool:
    """Say whether a text is a whole number, in the digits 0 to 9 alone."""
    return text.isascii() and text.isdigit() and len(text) <= most_digits


def parse_number(text: str, numbers: range, problem: str) -> int:
    """Return one of some numbers. Raises ValueError with the problem for any other text."""
    if not is_number(text) or int(text) not in numbers:
        raise ValueError(problem)
    return int(text)


def parse_line(text: str, longest: int, problem: str) -> str:
    """Return a text on one line, which is not empty. Raises ValueError with the problem."""
    line = " ".join(text.split())
    has_controls = any(unicodedata.category(c) in ("Cc", "Cs") for c in line)
    if has_controls or not 1 <= len(line) <= longest:
        raise ValueError(problem)
    return line


def parse_port(text: str) -> int:
    """Return a TCP port number, 1 to 65535."""
    return parse_number(text, range(1, 65536), "A port is a number from 1 to 65535.")


def parse_free_port(text: str, ours: int = 0) -> int:
    """Return a port that no other program uses; `ours`: one that our server may be using now."""
    port = parse_port(text)
    if port == ours:
        return port
    try:
        socket.create_server((OWN_HOST, port)).close()
    except OSError as error:
        # Not by its number, which Windows has no words for; the address is named once more behind.
        reason, _, _ = str(error.strerror).partition(" (while ")
        problem = f"Port {port} cannot be used ({reason})."
        raise ValueError(f"{problem} Try another one.") from None
    return port


def is_taken(port: int) -> bool:
    """Whether no server can listen on a port."""
    try:
        parse_free_port(str(port))
    except ValueError:
        return True
    return False


def parse_public_address(text: str) -> str:
    """Return an address such as `https://photos.example.org` without a slash at its end, or ''."""
    if text.lower() in NOTHING:
        return ""
    address = text if "://" in text else f"https://{text}"
    match = _PUBLIC_ADDRESS.fullmatch(address)
    # A word that answers the question before, or a port, is the name of no host.
    is_slip = text.lower() in YES or text.isdecimal()
    if is_slip or not match or int(match["port"] or 0) > 65535:
        raise ValueError(NO_ADDRESS)
    scheme, host, port, path = match.groups()
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host.strip("[]"))
    except ValueError:
        raise ValueError(NO_ADDRESS) from None
    origin = f"{scheme}://{host}".lower()
    if port not in (None, USUAL_PORTS[scheme.lower()]):
        origin = f"{origin}:{port}"
    return origin + path.rstrip("/")


def parse_path(text: str) -> str:
    """Return the absolute path of a folder, whose disk may be away."""
    return os.path.abspath(os.path.expanduser(text))


def parse_library(text: str) -> str:
    """Return the absolute path of an existing folder. One that was dragged into a terminal is quoted."""
    answers = [text, text.strip("\"'")]
    if sys.platform != "win32":
        with suppress(ValueError):  # a quote without its other
            answers.append(" ".join(shlex.split(text)))
    for path in map(parse_path, answers):
        if os.path.isdir(path):
            return path
    raise ValueError(f"There is no folder {parse_path(text)}")


def parse_host(text: str) -> str:
    """Return the address or name to listen on; yes and no stand for all addresses and this machine's own."""
    answers = {"y": ANY_HOST, "yes": ANY_HOST, "n": OWN_HOST, "no": OWN_HOST}
    host = answers.get(text.lower(), text)
    with suppress(ValueError):
        return str(ipaddress.ip_address(host))
    if _HOST_NAME.fullmatch(host):
        with suppress(OSError):
            socket.getaddrinfo(host, None)
            return host
    raise ValueError("Answer yes or no (or give an address of this machine).")


def parse_title(text: str) -> str:
    """Return a title of 1 to 200 characters on one line."""
    return parse_line(text, TITLE_LENGTH, f"A title has 1 to {TITLE_LENGTH} characters.")


def parse_switch(text: str) -> bool:
    """Return True for yes, True or on; False for no, False or off."""
    word = text.lower()
    if word not in (*YES, *NO):
        raise ValueError("Answer yes or no.")
    return word in YES


def parse_proxy(text: str) -> str:
    """Return an IP address, or ''."""
    if text.lower() in NOTHING:
        return ""
    return str(ipaddress.ip_address(text))


def parse_tunnel(text: str) -> str:
    """Return the kind of tunnel, or ''; yes stands for the one that needs no account."""
    word = text.lower()
    if word in NOTHING:
        return ""
    if word in (*YES, "cloudflare", "cloudflared"):
        return "cloudflare"
    if word == "tailscale":
        return word
    raise ValueError("Answer yes, no, cloudflare or tailscale.")


def parse_share(text: str) -> int:
    """Return a share in percent, 1 to 100."""
    number = text.removesuffix("%").strip()
    problem = "A share is a number of percent from 1 to 100."
    return parse_number(number, range(1, 101), problem)


def parse_amount(text: str) -> int:
    """Return a number of files or gigabytes, 0 to 10,000."""
    problem = f"It is a number from 0 to {LARGEST_AMOUNT}."
    return parse_number(text, range(LARGEST_AMOUNT + 1), problem)


def _setting(
    default: Any, parse: Callable[[str], Any], help: str, question: str = "", hint: str = ""
) -> Any:
    metadata = {"parse": parse, "help": help, "question": question, "hint": hint}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """What the owner may choose. Prompts, flags, config.json and the README's table come from here."""

    library: str = _setting(
        default="",
        parse=parse_path,
        help="folder of the albums",
        question="Which folder holds your albums?",
    )
    title: str = _setting(
        default="Photos",
        parse=parse_title,
        help="title of the site",
        question="What should the site be called?",
    )
    port: int = _setting(
        default=8080,
        parse=parse_port,
        help="TCP port to listen on",
        question="Which port may it use?",
    )
    tunnel: str = _setting(
        default="",
        parse=parse_tunnel,
        help="open a tunnel for people outside: cloudflare, tailscale or no",
        question="Shall people outside your home reach it?",
        hint="yes opens a Cloudflare tunnel, which needs no account",
    )
    host: str = _setting(
        default=OWN_HOST,
        parse=parse_host,
        help="address to listen on: 127.0.0.1 for this machine and its tunnel, "
        "0.0.0.0 for the whole network",
        question="May other devices on your network open it?",
        hint="yes or no",
    )
    public_address: str = _setting(
        default="",
        parse=parse_public_address,
        help="the address that visitors use, if there is a tunnel or proxy; "
        "its path is the site's prefix",
        question="Its public address, if there is a tunnel or proxy of yours?",
        hint="such as https://photos.example.org; - for none",
    )
    trusted_proxy: str = _setting(
        default="",
        parse=parse_proxy,
        help="address of the proxy or tunnel whose X-Forwarded-For is believed, such as 127.0.0.1",
    )
    follow_symlinks: bool = _setting(
        default=False,
        parse=parse_switch,
        help="whether links may lead out of the library: true or false",
    )
    keep_location: bool = _setting(
        default=False,
        parse=parse_switch,
        help="whether originals tell everybody where they were taken: true or false",
    )
    cache_share: int = _setting(
        default=CACHE_SHARE,
        parse=parse_share,
        help="how much of its disk the cache may take, in percent",
    )
    guest_files: int = _setting(
        default=500, parse=parse_amount, help="how many files guests may add with one link"
    )
    guest_gigabytes: int = _setting(
        default=5, parse=parse_amount, help="how much guests may add with one link, in GB"
    )

    @property
    def prefix(self) -> str:
        """The path of the public address: '' or such as '/photos'."""
        return urlsplit(self.public_address).path

    @property
    def origin(self) -> str:
        """The origin of the public address (RFC 6454), such as 'https://photos.example.org', or ''."""
        return self.public_address.removesuffix(self.prefix)


SETTINGS = {setting.name: setting for setting in dataclasses.fields(Config)}


def parse_setting(name: str, value: object) -> Any:
    """Check one value of config.json or a flag. Raises ValueError with a sentence for the owner."""
    if not isinstance(value, (str, int)):
        raise ValueError("It is neither text nor a number nor true nor false.")
    setting = SETTINGS[name]
    if value == "" and setting.default == "":
        return value
    return setting.metadata["parse"](str(value))


def read_config(state: Path) -> Config | None:
    """Read config.json; None: there is none yet. Raises StateError naming the key that makes no sense."""
    path = state / "config.json"
    content = read_state(path)
    if content is None:
        return None
    values = {}
    unknown = sorted(content.keys() - SETTINGS.keys() - {"version"})
    if unknown:
        problems = ", ".join(f'"{name}" is not a setting' for name in unknown)
        log.warning("config.json: %s", problems)
    for name in filter(SETTINGS.__contains__, content):
        try:
            values[name] = parse_setting(name, content[name])
        except ValueError as error:
            raise StateError(f'{path}: "{name}": {error}') from None
    return Config(**values)


def write_config(state: Path, config: Config) -> None:
    """Write config.json under its lock."""
    path = state / "config.json"
    with locked(path):
        write_state(path, dataclasses.asdict(config))


def library_root(state: Path, config: Config) -> Path:
    """Return the folder of the albums. Raises StateError where it is not there."""
    root = Path(config.library or state.parent)
    if not root.is_dir():
        advice = "Is its disk connected? Another one: --library FOLDER"
        raise StateError(f"There is no folder {root}. {advice}")
    return root


def network_host(family: socket.AddressFamily = socket.AF_INET) -> str | None:
    """Return this machine's address in its network; None: it has none."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        # This sends nothing: it asks which of our addresses faces the network.
        probe.connect((NOBODY[family], 9))
        host: str = probe.getsockname()[0]
        return host
    return None


def local_name() -> str:
    """Return this machine's name in its network, HOST.local (RFC 6762); '': it is unknown."""
    name = f"{socket.gethostname().partition('.')[0]}.local"
    numbers: set[str] = set()

    def look_up() -> None:
        with suppress(OSError, UnicodeError):
            numbers.update(str(entry[4][0]) for entry in socket.getaddrinfo(name, None))

    start_thread(look_up).join(LOOK_UP_SECONDS)  # some systems look for minutes
    own = {network_host(family) for family in NOBODY}
    # Some providers answer every name with an address of theirs.
    return name if numbers & own else ""


def addresses(config: Config) -> list[str]:
    """Return the addresses to open, the public one last."""
    hosts: list[str | None] = [config.host]
    if config.host in (ANY_HOST, EVERY_HOST):
        hosts = [OWN_HOST, network_host()]
    if config.host == EVERY_HOST:
        hosts += ["::1", network_host(socket.AF_INET6)]
    addresses = []
    for host in filter(None, hosts):
        bracketed = host
        if ":" in host:
            zoned = host.replace("%", "%25")  # RFC 6874
            bracketed = f"[{zoned}]"
        addresses.append(f"http://{bracketed}:{config.port}{config.prefix}/")
    if config.public_address:
        addresses.append(f"{config.public_address}/")
    return addresses


def address_for_others(config: Config) -> str:
    """Return the address at which other people reach the site, as far as the settings tell."""
    own, *others = addresses(config)
    if config.public_address:
        return config.public_address
    return next(iter(others), own).removesuffix("/")


# --- Permissions -------------------------------------------------------------


class Visibility(enum.IntEnum):
    """Who may see a folder; the strictest of several is their maximum."""

    PUBLIC = 0
    HIDDEN = 1
    PRIVATE = 2


@dataclass(frozen=True)
class Circumstances:
    """What decides beside names: the day in the server's time zone, and the registered users."""

    today: dt.date
    users: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    """Who may see something now. The owner may see everything.

    `people` are the users who may open something private; None: every user may.
    """

    visibility: Visibility = Visibility.PUBLIC
    people: frozenset[str] | None = None
    is_understood: bool = True
    is_inbox: bool = False  # those who may open it may add photos


HIDDEN = Rule(Visibility.HIDDEN)
USERS_ONLY = Rule(Visibility.PRIVATE)
OWNER_ONLY = Rule(Visibility.PRIVATE, people=frozenset(), is_understood=False)


@dataclass(frozen=True)
class Keywords:
    """What the keywords in names say, before day and users decide what that means.

    `mentioned` are the users named in any part of a path, `people` those named in each part that
    names users; None: no part does.
    """

    visibility: Visibility = Visibility.PUBLIC
    people: frozenset[str] | None = None
    mentioned: frozenset[str] = frozenset()
    until: dt.date | None = None  # the last day of being hidden
    is_understood: bool = True
    is_inbox: bool = False

    def rule(self, circumstances: Circumstances) -> Rule:
        """Return what the keywords mean on a day, with the users that there are then."""
        if not self.is_understood or not self.mentioned <= circumstances.users:
            return OWNER_ONLY
        if self.until and circumstances.today > self.until:
            return Rule(Visibility.PRIVATE, self.people, is_inbox=self.is_inbox)
        return self._rule

    @functools.cached_property
    def _rule(self) -> Rule:
        """What the keywords mean up to their last day, where all the users are registered."""
        return Rule(self.visibility, self.people, is_inbox=self.is_inbox)


NO_KEYWORDS = Keywords()
CLOSED = Keywords(Visibility.PRIVATE, is_understood=False)  # to all but the owner
ABSENT = Keywords(Visibility.PRIVATE)  # of what is not there, as far as the time tells


def strictest(several: Iterable[Keywords]) -> Keywords:
    """Return what several names along a path say together: the strictest, and people in all of them."""
    several = [keywords for keywords in several if keywords is not NO_KEYWORDS]
    if not several:
        return NO_KEYWORDS
    if len(several) == 1:
        return several[0]
    circles = [keywords.people for keywords in several if keywords.people is not None]
    dates = [keywords.until for keywords in several if keywords.until]
    return Keywords(
        visibility=max(keywords.visibility for keywords in several),
        people=frozenset.intersection(*circles) if circles else None,
        mentioned=frozenset().union(*(keywords.mentioned for keywords in several)),
        until=min(dates, default=None),
        is_understood=all(keywords.is_understood for keywords in several),
        is_inbox=any(keywords.is_inbox for keywords in several),
    )


class Name(NamedTuple):
    """A folder's or file's name, understood."""

    title: str  # what stands before the keywords; it may hold bytes that are not UTF-8
    keywords: Keywords = NO_KEYWORDS
    rest: str = ""  # the text behind the keywords that means nothing
    understood: str = ""  # the text of the keywords before it, such as `.hidden.private`


# After `_folded`; a Turkish keyboard writes PRİVATE and prıvate.
_I = "(?:i\u0307?|\N{LATIN SMALL LETTER DOTLESS I})"
_DOTS = "[.\N{IDEOGRAPHIC FULL STOP}]++"
_WORDS = rf"{_DOTS}(?:(?P<private>pr{_I}vate)|(?P<hidden>h{_I}dden)|(?P<inbox>{_I}nbox))"
# A Latin letter behind it makes another word: Trip.privateer. Letters of other scripts do not:
# Japanese copies are called `Trip.privateのコピー`.
_KEYWORD = re.compile(rf"{_WORDS}(?![a-z\u00df-\u024f])")
_PEOPLE = re.compile(r"(?:\+[^+\s]+)+")
_UNTIL = re.compile(r"-until-(\d{4}-\d\d-\d\d)(?!\d)", re.ASCII)
UNTIL_LENGTH = len("-until-2026-12-31")
_INVISIBLE = re.compile("[\u034f\ufe00-\ufe0f]")  # beside those of the category Cf


def _folded(text: str) -> str:
    """Return a text as names are compared: NFKC and casefold, without characters that nobody sees."""
    if text.isascii():
        return text.lower()
    seen = (c for c in _INVISIBLE.sub("", text) if unicodedata.category(c) != "Cf")
    return normalize("NFKC", "".join(seen)).casefold()


def _for_people(text: str) -> Keywords:
    """Return what `+anna+ben` says; names are compared as those of users are."""
    names = normalize("NFC", text).split("+")
    people = frozenset(names) - {""}
    return Keywords(Visibility.PRIVATE, people=people, mentioned=people)


def _last_day(text: str) -> dt.date | None:
    """Return the day of a text that begins with `-until-2026-12-31`; None: it begins otherwise."""
    match = _UNTIL.match(text)
    if not match:
        return None
    try:
        return dt.date.fromisoformat(match[1])
    except ValueError:
        return None


def _parse_keywords(text: str) -> tuple[Keywords, str]:
    """Read the folded keywords of a name; return what they say, and what was not understood."""
    said = []
    rest = text
    while match := _KEYWORD.match(rest):
        rest = rest[match.end() :]
        if match["private"] and (people := _PEOPLE.match(rest)):
            rest = rest[people.end() :]
            said.append(_for_people(people[0]))
        elif match["hidden"] and (until := _last_day(rest)):
            rest = rest[UNTIL_LENGTH:]
            said.append(Keywords(Visibility.HIDDEN, until=until))
        elif match["hidden"]:
            said.append(Keywords(Visibility.HIDDEN))
        else:
            said.append(Keywords(Visibility.PRIVATE, is_inbox=match["inbox"] is not None))
    if rest.strip():
        said.append(CLOSED)
    return strictest(said), rest.strip()


def parse_name(name: str) -> Name:
    """Say what a name means. What is not understood behind a keyword is the owner's alone.

    The keywords begin at the first one in the name; the title is what stands before.
    """
    whole = name.strip() or name
    if not _KEYWORD.search(_folded(name)):
        return Name(whole)
    # One by one: strangers may ask for a name of many dots, and to fold what follows takes long.
    pieces = list(map(_folded, name))
    last_behind = -1
    for at, piece in enumerate(pieces):
        text = "".join(pieces[at:])
        word = re.match(_DOTS, piece) and re.match(_WORDS, text)
        if not word:
            continue
        behind = len(text) - word.end()
        if behind == last_behind:  # each of some dots in a row leads to the same word
            continue
        last_behind = behind
        # As a whole, since what follows may change the letter behind the word.
        text = _folded(name[at:])
        if _KEYWORD.match(text):
            keywords, rest = _parse_keywords(text)
            understood = text.strip().removesuffix(rest).strip()
            return Name(name[:at].strip() or name, keywords, rest, understood)
    # Folding made the dot out of another sign, such as the one sign for `1.`
    return Name(whole, CLOSED, name, ".private")


# The words by which people mean privacy, in the languages of the interface.
_PRIVACY = (
    (
        ".private",
        frozenset("private privat privé privée privado privada peribadi".split()),
        ("私人", "私密", "非公開", "非公开", "プライベート"),
    ),
    (
        ".hidden",
        frozenset("hidden versteckt masqué caché oculto oculta tersembunyi".split()),
        ("隱藏", "隐藏", "非表示"),
    ),
)
# What exports of Google Photos call the folders of what was deleted, or locked away.
_PUT_AWAY = frozenset(
    "trash|bin|papierkorb|corbeille|papelera|sampah|ゴミ箱|垃圾桶|回收站"
    "|locked folder|gesperrter ordner|dossier verrouillé|carpeta bloqueada".split("|")
)
LIKENESS = 0.75  # of a word behind a dot and a keyword: pirvate, privte, hiden


def _keyword_meant(name: str) -> tuple[str, str]:
    """Return the keyword that a public name seems to mean, and the word that says so; '': none."""
    text = _folded(name)
    if text in _PUT_AWAY:
        return ".private", text
    words = set(re.findall(r"[^\W\d_]+", text))
    for keyword, known_words, signs in _PRIVACY:
        for word in sorted(words & known_words):
            return keyword, word
        for sign in signs:
            if sign in text:
                return keyword, sign
    ending = re.search(rf"{_DOTS}\s*([^\W\d_]+)\W*\Z", text)
    if ending:
        word = ending[1]
        for keyword in ("private", "hidden"):
            if word.startswith(keyword):  # Trip.privatebackup
                return f".{keyword}", word
        for similar in difflib.get_close_matches(word, ("private", "hidden"), 1, LIKENESS):
            return f".{similar}", word
    return "", ""


class Flag(NamedTuple):
    """Why the owner should look at a folder's name, and a name that says what was meant."""

    kind: str  # "not_understood", "no_such_user" or "looks_private"
    detail: str
    better_name: str


def _users_in(text: str, now: Circumstances) -> list[str]:
    """Return the users whose names stand in a folded text, between whatever signs."""
    patterns = {user: rf"(?<!\w){re.escape(user)}(?!\w)" for user in now.users}
    return sorted(user for user, pattern in patterns.items() if re.search(pattern, text))


def _for_users(title: str, users: Sequence[str], keyword: str = ".private") -> str:
    """Return the name of a folder for some users alone; without users, the owner puts their names."""
    return "+".join((title + keyword, *(users or ["NAME"])))


def _flag_of_keywords(parsed: Name, detail: str, now: Circumstances) -> Flag | None:
    """Return what is odd about keywords. No better name opens the folder to more than were meant."""
    title, said = display(parsed.title), parsed.keywords
    if re.match(r"[\W_]*until", parsed.rest) and parsed.understood == ".hidden":
        better = f"{title}.hidden-until-{now.today.year}-12-31"
        return Flag("not_understood", detail, better)
    strangers = said.mentioned - now.users
    if not parsed.rest and not strangers:
        return None
    friends = _users_in(" ".join((*said.mentioned, parsed.rest)), now)
    for word in re.findall(r"\w+", display(parsed.rest)):
        if word not in friends:
            title = f"{title} {word}"
    better = title + parsed.understood
    if friends or "+" in detail:
        keyword = ".inbox.private" if said.is_inbox else ".private"
        better = _for_users(title, friends, keyword)
    if parsed.rest:
        return Flag("not_understood", detail, better)
    return Flag("no_such_user", display(", ".join(sorted(strangers))), better)


def flag_of(name: str, now: Circumstances) -> Flag | None:
    """Return what is odd about a folder's name; None: nothing is."""
    parsed = parse_name(name)
    title = display(parsed.title)
    if parsed.keywords is not NO_KEYWORDS:
        detail = display(name.strip().removeprefix(parsed.title)).strip() or title
        return _flag_of_keywords(parsed, detail, now)
    keyword, word = _keyword_meant(name)
    if not keyword:
        return None
    around = rf"[\W_]*{re.escape(word)}[\W_]*"
    text, friends = normalize("NFKC", title), []
    # Trip (private)+anna, Trip.privat +anna
    if people := re.search(rf"{re.escape(word)}[^\w+]*(\+.+)", text, re.IGNORECASE):
        friends = _users_in(_folded(people[1]), now)
    if people and friends:
        text = text.removesuffix(people[1])
    rest = re.sub(around, " ", text, count=1, flags=re.IGNORECASE).strip() or title
    better = rest + keyword
    if people:
        better = _for_users(rest, friends)
    return Flag("looks_private", "", better)


@dataclass(frozen=True)
class Principal:
    """Who is asking: a visitor, a guest, a user, or the owner.

    A guest takes the share's album for the library: its own keywords, and those on the way to it,
    count for nothing, since the share is a decision of its own.
    """

    user: str = ""  # the name; '' of a visitor
    is_owner: bool = False
    share: str = ""  # the id of a guest's share
    root: tuple[str, ...] = ()  # a guest's library: the names on disk down to it
    only_adds: bool = False  # a guest of an inbox, who sees nothing of what others added
    may_add: bool = False  # whether a guest's share lets add photos
    added: frozenset[str] = frozenset()  # identities of the files that the share added
    is_discreet: bool = False  # nothing of a guest's album is for those who preview a link

    @property
    def is_user(self) -> bool:
        return self.user != ""

    @property
    def is_guest(self) -> bool:
        return self.share != ""

    @property
    def who(self) -> str:
        """Names the user, or the share of a guest, who adds something."""
        if self.is_guest:
            return f"share {self.share}"
        return f"user {self.user}"

    @property
    def scope(self) -> str:
        """Principals with one scope find the same, as far as `finds_as` says; albums are kept by it."""
        if self.is_owner:
            return "owner"
        if self.only_adds:
            return f"guest of {self.root} by the share {self.share}"
        if self.is_guest:
            return f"guest of {self.root}"
        return f"user {self.user}" if self.is_user else "visitor"

    def finds_as(self, other: Principal) -> bool:
        """Say whether another principal of this scope finds the same."""
        return not self.only_adds or self.added == other.added


VISITOR = Principal()
OWNER_PRINCIPAL = Principal("owner", is_owner=True)  # any owner: all find everything


def is_withheld_from(principal: Principal, identity: str) -> bool:
    """Say whether a guest of an inbox asks for what others added; `identity` is '' of an album."""
    return principal.only_adds and identity not in principal.added


def may_open(principal: Principal, rule: Rule, identity: str = "") -> bool:
    """Decide whether somebody who knows the address of a place may open it.

    `identity` is that of a file, '' of an album.
    """
    if is_withheld_from(principal, identity):
        return False
    if principal.is_owner or rule.visibility < Visibility.PRIVATE:
        return True
    if not principal.is_user:
        return False
    return rule.people is None or principal.user in rule.people


def may_find(principal: Principal, rule: Rule, identity: str = "") -> bool:
    """Decide whether somebody finds something in lists, counts, dates and covers."""
    if not principal.is_user and rule.visibility != Visibility.PUBLIC:
        return False
    return may_open(principal, rule, identity)


def may_add(principal: Principal, rule: Rule) -> bool:
    """Decide whether somebody may add photos to an album that this principal may open."""
    if principal.is_guest:
        return principal.may_add and rule.visibility == Visibility.PUBLIC
    return principal.is_owner or (principal.is_user and rule.is_inbox)


# --- Workers -----------------------------------------------------------------

MOST_WORKERS = 4
# What a worker takes for photos of 12 to 24 megapixels is 100 MB; a few photos need four times that.
USUAL_MEMORY = 400 << 20
IDLE_SECONDS = 60.0  # after which a worker without work gives its memory back
WATCH_SECONDS = 0.5  # between two looks at how long the workers take
# A disk may be slow, and the machine busy, so that a file may take longer than the CPU time that it
# gets. It is tried again after a pause; with each time it may take longer, and the pause is longer.
PATIENCE = 1.2  # times RENDER_SECONDS, at first; twice as long each time
PAUSE_SECONDS = 10.0  # at first; four times as long each time
LATE_TIMES = 4  # after which neither grows any more: 8 minutes and 43 minutes
START_SECONDS = 30.0  # that a worker may take to start, from a disk that sleeps
END_SECONDS = 2.0  # until a worker that is out of patience is noticed and has ended
TOO_LATE = "the disk or the machine is too slow for it now; it is tried again by itself"
TOO_MANY_PICTURES = "Too many pictures are being made. Try again in a moment."
STILL_BEING_MADE = "This picture is still being made. Try again in a moment."
ATTEMPTS = 2  # somebody may have killed the worker: that is not the photo's fault
MOMENT_SECONDS = 0.5  # in which a page submits all that it will ask for


def _count_workers() -> int:
    """Return how many workers the machine, or what a container leaves of it, has room for."""
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    memory = machine_memory()
    if memory is None:
        return min(cores, MOST_WORKERS)
    return min(cores, MOST_WORKERS, max(1, memory // USUAL_MEMORY))


WORKERS = _count_workers()


class Worker:
    """One worker process: started when there is work, and again where it has died.

    `develop` and `end` are called from one thread, the others from any.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._process: subprocess.Popen[str] | None = None
        self._process_lock = threading.Lock()
        self.patience = PATIENCE * RENDER_SECONDS  # seconds that the next file may take
        self._deadline = math.inf
        self._was_late = False
        self._is_closed = False
        self.is_expected = False  # to have work soon

    def develop(self, path: str, purpose: Purpose) -> Info:
        """Make the renditions of a file that a purpose needs, and return the facts of the file."""
        failed = partial(Info, kind=expected_kind(path), retry=AT_START)
        for _ in range(ATTEMPTS):
            try:
                is_ready = self.start()
            except OSError as error:
                problem = f"no worker process can be started: {error}"
                return failed(problem=problem, retry=AT_ONCE)
            if is_ready and (info := self._ask(path, purpose)):
                return info
            status = self.end()
            if self._was_late:
                return failed(problem=TOO_LATE, retry=LATER)
            if status == CPU_USED_UP:
                return failed(problem=TOO_SLOW)
            if self._is_closed:
                break
        return failed(problem="it crashes the decoder")

    def start(self) -> bool:
        """Start the process where none runs; say whether it takes requests. Raises OSError."""
        with self._process_lock:
            if self._process is not None or self._is_closed:
                return not self._is_closed
            self._process = subprocess.Popen(
                worker_command(self._cache),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="ascii",
                start_new_session=True,  # Ctrl-C in the terminal is for the server
            )
        return self._exchange("", START_SECONDS) == IS_READY

    def _ask(self, path: str, purpose: Purpose) -> Info | None:
        """Return what the process replies; None: it died, or was killed."""
        request = encode_request(path, purpose)
        return decode_reply(self._exchange(request, self.patience))

    def _exchange(self, request: str, patience: float) -> str:
        """Send a request and return the next line of the process; '': it died, or was killed."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return ""
        self._was_late = False
        self._deadline = time.monotonic() + patience
        try:
            process.stdin.write(request)
            process.stdin.flush()
            return process.stdout.readline()
        except (OSError, ValueError):  # the pipe broke
            return ""
        finally:
            self._deadline = math.inf

    def kill_if_late(self) -> None:
        """Kill a process that takes too long for its file."""
        if time.monotonic() > self._deadline:
            self._was_late = True
            self._kill()

    def _kill(self) -> None:
        """Kill the process, and the ffmpeg that it may have started."""
        with self._process_lock:
            process = self._process
            if process is None or process.returncode is not None:
                return
            if sys.platform == "win32":
                process.kill()
                return
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def end(self) -> int | None:
        """Kill the process and wait for its end, and return its exit status."""
        self._kill()
        process, self._process = self._process, None
        if process is None:
            return None
        process.communicate()
        return process.returncode

    def close(self) -> None:
        """Kill the process, and start no other."""
        self._is_closed = True
        self._kill()


class Urgency(enum.IntEnum):
    """What goes first."""

    NOW = 0  # a picture that a visitor waits for
    FACTS = 1  # of the files of the page that a visitor asks for
    SOON = 2  # the pictures that such a page will ask for next
    LATER = 3  # the background pass


def rank_of(urgency: Urgency, number: int) -> Key:
    """Return the rank of what is submitted now: the smallest is first. `number`: as it came.

    What somebody needs who opens an album now goes before what the album opened before needs.
    A browser asks for the pictures on screen first, a few at a time: those keep their order.
    """
    if urgency not in (Urgency.FACTS, Urgency.SOON):
        return urgency, 0, number
    # The moments go backwards, so that the last one is the smallest.
    return urgency, -int(time.monotonic() / MOMENT_SECONDS), number


@dataclass
class Job:
    """One file to read for a purpose. `future` resolves to its Info."""

    identity: str
    path: str
    purpose: Purpose
    urgency: Urgency
    future: Future[Info] = field(default_factory=Future)
    is_started: bool = False
    # They say whether somebody who waits for it now is still there.
    watchers: list[Condition] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # of what they wait for

    @property
    def is_left(self) -> bool:
        """Whether all who waited for it are gone."""
        return self.urgency is Urgency.NOW and not any(look() for look in self.watchers)


class Renderer:
    """Brings files to worker processes; each can be killed at the cost of one file. Thread-safe.

    `learn` takes the result of each job and returns the Info for everybody who waits for that job.
    """

    def __init__(
        self,
        cache: Path,
        workers: int = WORKERS,
        learn: Callable[[Job, Info], Info] = lambda job, info: info,
    ) -> None:
        self._learn = learn
        self._queue: list[tuple[Key, Job]] = []  # with the rank of each
        self._jobs: dict[tuple[str, Purpose], Job] = {}
        # How often a file has taken too long, and until when it rests, by its identity.
        self._late: dict[str, tuple[int, float]] = {}
        self._count = itertools.count()
        self._queue_changed = threading.Condition()
        self._closed = threading.Event()
        self._workers = [Worker(cache) for _ in range(workers)]
        for worker in self._workers:
            start_thread(self._serve, worker)
        start_thread(self._watch)

    def submit(
        self,
        identity: str,
        path: str,
        purpose: Purpose,
        urgency: Urgency,
        is_watched: Condition = lambda: True,
        name: str = "",
    ) -> Future[Info]:
        """Ask for a file; the same request twice is one job, as urgent as the more urgent of both.

        `identity` differs when the file has changed: what was read of it before is outdated.
        `is_watched` says whether the visitor who waits for it is still there, `name` for which of
        its renditions; '': for all that the purpose needs.
        """
        with self._queue_changed:
            if self._closed.is_set():
                raise Busy("The server is stopping.")
            if self.rests(identity):
                future: Future[Info] = Future()
                future.set_exception(Busy(STILL_BEING_MADE))
                return future
            is_new = (identity, purpose) not in self._jobs
            if is_new:
                self._jobs[identity, purpose] = Job(identity, path, purpose, urgency)
            job = self._jobs[identity, purpose]
            if urgency is Urgency.NOW:
                job.watchers.append(is_watched)
                job.names.add(name)
            if is_new or (urgency < job.urgency and not job.is_started):
                self._put(job, urgency)
                self._queue_changed.notify()
            return job.future

    def _put(self, job: Job, urgency: Urgency) -> None:
        """Put a job into the queue; whoever calls it holds the lock of the queue."""
        job.urgency = urgency
        heapq.heappush(self._queue, (rank_of(urgency, next(self._count)), job))

    def rests(self, identity: str) -> bool:
        """Say whether a file has taken too long, and is not tried again yet."""
        _, until = self._late.get(identity, (0, 0.0))
        return time.monotonic() < until

    def close(self) -> None:
        """Kill the workers; all who wait for a file get Busy."""
        with self._queue_changed:
            self._closed.set()
            self._queue_changed.notify_all()
            waiting = [job for job in self._jobs.values() if not job.is_started]
            self._jobs.clear()
        for worker in self._workers:
            worker.close()
        for job in waiting:
            job.future.set_exception(Busy("The server is stopping."))

    def prepare(self) -> None:
        """Start all workers: there will be work for them in a moment."""
        with self._queue_changed:
            for worker in self._workers:
                worker.is_expected = True
            self._queue_changed.notify_all()

    def _is_needed(self, worker: Worker, patience: float | None) -> bool:
        """Wait until a worker has to run; say whether that is within `patience` seconds."""

        def is_due() -> bool:
            return bool(self._queue) or worker.is_expected or self._closed.is_set()

        with self._queue_changed:
            is_needed = self._queue_changed.wait_for(is_due, patience)
            worker.is_expected = False
        return is_needed

    def _next_job(self) -> Job | None:
        """Return the most urgent job; None: others have taken them all, or all is over."""
        with self._queue_changed:
            while self._queue and not self._closed.is_set():
                _, job = heapq.heappop(self._queue)
                if job.is_started:  # a job that became more urgent is queued twice
                    continue
                if job.is_left:
                    job.watchers.clear()
                    self._put(job, Urgency.SOON)
                else:
                    job.is_started = True
                    return job
        return None

    def _serve(self, worker: Worker) -> None:
        """Bring one worker job after job. Runs in a thread of its own."""
        patience = None
        while not self._closed.is_set():
            if not self._is_needed(worker, patience):
                worker.end()
                patience = None
                continue
            # Before it takes a job: another worker may be ready for it at once.
            with suppress(OSError):  # which the job tells
                if not worker.start():
                    worker.end()
            if job := self._next_job():
                times, _ = self._late.get(job.identity, (0, 0.0))
                worker.patience = PATIENCE * RENDER_SECONDS * 2.0**times
                purpose = narrowed(job.purpose, job.names)
                self._finish(job, worker.develop(job.path, purpose))
            patience = IDLE_SECONDS
        worker.end()

    def _finish(self, job: Job, info: Info) -> None:
        is_late = info.retry == LATER
        with self._queue_changed:
            self._jobs.pop((job.identity, job.purpose), None)
            times, _ = self._late.pop(job.identity, (0, 0.0))
            if is_late:
                until = time.monotonic() + PAUSE_SECONDS * 4.0**times
                self._late[job.identity] = min(times + 1, LATE_TIMES), until
        if self._closed.is_set():
            job.future.set_exception(Busy("The server is stopping."))
        elif is_late:
            job.future.set_exception(Busy(STILL_BEING_MADE))
        else:
            job.future.set_result(self._learn(job, info))

    def _watch(self) -> None:
        """Kill workers that take too long. Runs in a thread of its own."""
        while not self._closed.wait(WATCH_SECONDS):
            for worker in self._workers:
                worker.kill_if_late()


# --- Folders -----------------------------------------------------------------

ALBUM_TEXT = "album.txt"
ALBUM_TEXT_BYTES = 65536
ICON_NAMES = ("icon.png", "icon.svg")  # of the library itself: the site's own icon
OWN_NAMES = {ALBUM_TEXT, STATE_FOLDER, "photos.pyz"}  # no items, and nobody looks for them
GUESSED = "its letters were read as those of Western Windows (cp1252). Save it as UTF-8"
# A live photo lasts 3 s on Apple's phones and up to 5 s on others. Its film may be dated by its
# beginning, by its end, or by when the phone wrote it, some seconds later.
LIVE_SECONDS = 6.0
LIVE_TOLERANCE = 60.0  # seconds
LIVE_BYTES = 20_000_000  # of a film that passes for a live photo's until it has been read

NAME_LENGTH = 255  # characters; file systems have no longer names

Parts = tuple[str, ...]  # names from the library down; () is the library itself


# The number that a copy gets: "x (2)".
_COPY = re.compile(r" ?\((?=\d+\))")
_SUFFIX = re.compile(r"(?<=.)\.(?!\d+$)\w{1,8}$")


def _counted(text: str) -> tuple[str | int, ...]:
    pieces = re.split(r"(\d+)", text)
    return tuple(int(piece) if at % 2 else piece for at, piece in enumerate(pieces))


def natural(name: str) -> Key:
    """Return a sort key by which IMG_2 comes before IMG_10; equal only for equal names.

    A name comes before its copies: `x`, `x-2`, `x (1)`, `x (10)`; a folder, before those.
    """
    text = normalize("NFC", display(name)).casefold()
    stem = _SUFFIX.sub("", text)
    ordered = _COPY.sub("-(", stem).replace("/", "\0")
    return _counted(ordered), _counted(text[len(stem) :]), name


class Skipped(enum.Enum):
    """What is in a folder and not shown, said of one and of several."""

    COPY = (
        "copy or half file of another program",
        "copies and half files of other programs",
    )
    SIDECAR = "text, sidecar or system file", "texts, sidecars and system files"
    HIDDEN = "hidden or system entry", "hidden and system entries"
    SET_ASIDE = "album with .nomedia or .noimage", "albums with .nomedia or .noimage"
    LINK = "link that is not followed", "links that are not followed"
    DEEP = "album too deep in others", "albums too deep in others"
    OTHER = "file of another kind", "files of other kinds"

    def told(self, names: Sequence[str]) -> str:
        """Say to the owner how many there are; of other kinds, with their suffixes."""
        one, several = self.value
        suffixes = {os.path.splitext(name)[1].lower() for name in names}
        plain = sorted(suffix for suffix in suffixes if suffix[1:].isalnum())
        examples = ""
        if plain and self is Skipped.OTHER:
            examples = f" ({', '.join(plain[:8])})"
        if len(names) == 1:
            return f"1 {one}{examples} is not shown."
        return f"{len(names)} {several}{examples} are not shown."


# Never items, even where the content would pass: sidecars, camera proxies, texts, what runs.
IGNORED_SUFFIXES = frozenset(
    ".xmp .json .txt .aae .thm .scr .lrv .lrf .pp3 .dop .cos .nksc .vrd .pyz .py .html"
    " .db .ini".split()
)
# Files by which galleries of Android and Nextcloud know folders that they are not to show.
SET_ASIDE_MARKS = (".nomedia", ".noimage")
# Bins, snapshots, backups and system folders of Windows, macOS, Android, NAS, Samba and programs,
# folded; and what looks like a folder and is a program's library.
SYSTEM_NAMES = frozenset(
    (
        "#recycle|#snapshot|$recycle.bin|[originals]|__macosx|_gsdata_|config.msi"
        "|eadir_tmp|filehistory|files_trashbin|files_versions|lost+found|lost.dir"
        "|network recycle bin|network trash folder|recently deleted|recycle bin"
        "|recycled|recycler|system volume information|temporary items"
        "|thefindbycontentfolder|thevolumesettingsfolder|thmbnl|trashbox"
        "|windowsimagebackup|~snapshot"
    ).split("|")
)
_SYSTEM_NAME = re.compile(
    r"found\.\d{3}|.*\.(?:\w+library|lrdata|cocatalog|fcpbundle|backupdb)"
)

# How copies and half files end that other programs leave beside a photo: backups of editors, swap
# files, downloads, placeholders of clouds. Digits behind do not count: .bak2, .aria2, .~1234.
LEFTOVER_SUFFIXES = frozenset(
    ".~ .bak .bck .bk .backup .old .orig .sav .save .xnbak .swn .swo .swp .swx .kate-swp"
    " .part .partial .filepart .crdownload .opdownload .download .downloading .fdmdownload"
    " .dtapart .aria .ytdl .bts .td .xltd .!qb .!ut .!bt .!sync .bc! .jc! .teracopy"
    " .tmp .temp .ffs_tmp .icloud .nextcloud .owncloud".split()
)
EXIFTOOL_ENDS = ("_original", "_exiftool_tmp")  # behind a suffix
# How others begin, folded.
_LEFTOVER = re.compile(
    r"#.+#"  # Emacs
    r"|\._.+"  # macOS, on disks that hold no resource forks
    r"|\.(?:nfs|fuse_hidden|smbdelete|afpdeleted)[0-9a-f.]{4,}"  # deleted while in use
    r"|~\$.+|\.~.+|\.owncloudsync.*|\.unison\..+|\.syncthing\..+|~syncthing~.+"
    r"|\.(?:pending|trashed)-\d+-.+"  # Android
    r"|\.goutputstream-.+|\.pureftpd-upload\..+|\.in\..+\."
    r"|\..+\.\w+\.[a-z\d]{6}"  # rsync
)
# Whole copies, made where two devices changed one file: of Syncthing, Nextcloud and ownCloud,
# Dropbox (in the language of the computer), Seafile, Synology Drive and Resilio.
_CONFLICT = re.compile(
    r"(?P<stem>.+?)(?:\.sync-conflict-\d{8}-\d{6}(?:-[a-z\d]{7})?|_conflict-\d{8}-\d{6}"
    r"| ?\([^()]*(?:conflict|konflik|conflit|競合|冲突|衝突|충돌|конфликт)[^()]*"
    r"\d{4}-\d\d-\d\d[^()]*\)(?: \(\d+\))?| ?\((?:case|encoding|sync) conflict(?: \d+)?\)"
    r"|_[^_]+_[a-z]{3}-\d\d-\d{6}-\d{4}_(?:case)?conflict|\.conflict)"
    r"(?P<suffix>\.\w+)?"
)


def is_leftover(name: str) -> bool:
    """Say whether a file's name is one that other programs give their copies and half files."""
    folded = name.casefold()
    suffix = os.path.splitext(folded)[1]
    if folded.endswith("~") or ".digikamtempfile." in folded:
        return True
    is_backup = suffix.endswith(EXIFTOOL_ENDS) or suffix.startswith(".sb-")  # macOS
    if is_backup or suffix.rstrip("0123456789") in LEFTOVER_SUFFIXES:
        return True
    return folded.startswith((".", "~", "#")) and bool(_LEFTOVER.fullmatch(folded))


def is_ignored(name: str) -> bool:
    """Say whether a file's or a folder's name is none of ours: hidden, or a system's."""
    if name.startswith((".", "@")) or name.endswith("~"):
        return True
    folded = name.casefold()
    return folded in SYSTEM_NAMES or _SYSTEM_NAME.fullmatch(folded) is not None


def original_of_conflict(name: str) -> str:
    """Return the folded name of the file of which a sync program made a copy; '' for other files.

    Such a copy is whole. Where the original is gone, the copy may be all that is left.
    """
    folded = normalize("NFC", name).casefold()
    may_be = "(" in folded or "conflict" in folded
    match = _CONFLICT.fullmatch(folded) if may_be else None
    if match is None:
        return ""
    return match["stem"] + (match["suffix"] or "")


def skipped_among(names: Mapping[str, str]) -> dict[str, Skipped]:
    """Return what is no item among the files of a folder, by the names alone.

    `names` tells of each name how it would be without keywords.
    """
    originals = {normalize("NFC", name).casefold() for name in names}
    skipped = {}
    for name, plain in names.items():
        is_copy = any(map(is_leftover, {name, plain}))
        if is_copy or original_of_conflict(name) in originals:
            skipped[name] = Skipped.COPY
        elif os.path.splitext(plain)[1].lower() in IGNORED_SUFFIXES:
            skipped[name] = Skipped.SIDECAR
    return skipped


# Pictures that neither browsers nor this program show, whatever they hold.
OTHER_PICTURES = {
    suffix: name
    for name, suffixes in {
        "JPEG XL": ".jxl",
        "JPEG 2000": ".jp2 .j2k .j2c .jpc .jpf .jpx .jpm .jph .jhc",
        "JPEG XR": ".jxr .wdp .hdp",
        "SVG": ".svg .svgz",
        "Photoshop": ".psd .psb .pdd",
        "PostScript": ".eps .ai",
        "GIMP": ".xcf",
        "Krita": ".kra",
        "OpenRaster": ".ora",
        "Affinity": ".afphoto .afdesign .af",
        "OpenEXR": ".exr",
        "Radiance": ".hdr",
        "Targa": ".tga",
        "PCX": ".pcx",
        "Netpbm": ".pbm .pgm .ppm .pnm",
        "BPG": ".bpg",
        "FLIF": ".flif",
        "QOI": ".qoi",
        "Photo CD": ".pcd",
    }.items()
    for suffix in suffixes.split()
}


def other_picture(name: str) -> str:
    """Say to the owner why a picture of a suffix is never shown; '': it is none, or may be shown."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in RAW_SUFFIXES:
        return RAW_PROBLEM
    if suffix in OTHER_PICTURES:
        return f"{OTHER_PICTURES[suffix]}: export it as JPEG to show it"
    return ""


# Of the films of live photos; the last ones are of Google's exports.
LIVE_SUFFIXES = (".mov", ".mp4", ".m4v", ".mp", ".mp~2", ".mp~3")
SHOT_SUFFIXES = (*LIVE_SUFFIXES, *RAW_SUFFIXES)
# What Pixel phones put behind the name of a shot: PXL_1.MP.jpg, PXL_1.RAW-01.MP.COVER.jpg and
# PXL_1.RAW-02.ORIGINAL.dng; PXL_1.MP~2.jpg, with the film PXL_1.MP~2.
_PIXEL_TAGS = re.compile(r"(?:\.raw-\d\d)?(?:\.mp)?(?:\.(?:cover|original))?(~\d+)?$")
_COPY_NUMBER = re.compile(r" ?\(\d{1,4}\)$")
# Apple's edited photos, and those of Google Photos: IMG_1-edited, IMG_1-bearbeitet(1), IMG_1-編集済み.
# Behind a camera's number alone: people call a photo cake-anna beside a film cake.
_EDITED = re.compile(r"(?P<apple>img_)e(?=\d)|(?<=[\d)])-[^-\d().]+(?=(?: ?\(\d+\))?$)")


def shot_of(name: str) -> str:
    """Return the part of a name without keywords that all files of one shot share, folded.

    It is IMG_1 of IMG_1.HEIC, IMG_1.mov, IMG_1_HEVC.MOV and IMG_1.HEIC.MOV; IMG_1(2) of
    IMG_1(2).JPG and IMG_1.HEIC(2).MP4.
    """
    stem, suffix = os.path.splitext(normalize("NFC", name).casefold())
    plain_suffix, again, count = suffix.partition("~")
    stem += again + count
    shot = _COPY_NUMBER.sub("", stem)
    number = stem[len(shot) :]
    if plain_suffix in LIVE_SUFFIXES:
        inner, inner_suffix = os.path.splitext(shot)
        if inner_suffix in PHOTO_SUFFIXES:
            shot = inner
        shot = shot.removesuffix("_hevc")
    return _PIXEL_TAGS.sub(r"\1", shot) + number


class Shot(NamedTuple):
    """The names of what may be one shot: its photos, its films, and its RAW files."""

    photos: list[str]
    films: list[str]
    raws: list[str]
    edited: list[str]  # photos made of the shot, which count where it has no other


NO_SHOT = Shot([], [], [], [])


def shots_among(names: Mapping[str, str]) -> dict[str, Shot]:
    """Return which files of a folder may be one shot, by the name of each.

    `names` tells of each name how it would be without keywords.
    """
    keys = {name: shot_of(plain) for name, plain in names.items()}
    shots: dict[str, Shot] = {}
    for name, plain in sorted(names.items()):
        suffix = os.path.splitext(plain)[1].lower()
        shot = shots.setdefault(keys[name], Shot([], [], [], []))
        if suffix in PHOTO_SUFFIXES:
            shot.photos.append(name)
        elif suffix in RAW_SUFFIXES:
            shot.raws.append(name)
        elif suffix in LIVE_SUFFIXES:
            shot.films.append(name)
    for key, shot in list(shots.items()):
        original = shots.get(_EDITED.sub(r"\g<apple>", key))
        if original and original is not shot and not original.photos:
            original.edited.extend(shot.photos)
            shots[key] = shot._replace(films=shot.films or original.films)
    return {name: shots[key] for name, key in keys.items()}


def parse_file_name(name: str) -> Name:
    """Say what a file's name means: its keywords stand before or behind the suffix, which stays."""
    if not expected_kind(name):
        return parse_name(name)
    stem, suffix = os.path.splitext(name)
    parsed = parse_name(stem)
    return parsed._replace(title=parsed.title + suffix)


def identity_text(status: os.stat_result) -> str:
    """Return the identity of a file as the index has it; a renamed folder changes none of it."""
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


@dataclass(frozen=True, slots=True)
class File:
    """A file as a folder's listing tells it. `identity` differs when it is written or replaced."""

    name: str
    folder: str  # its path; all files of a folder share it
    identity: str
    size: int  # bytes
    mtime: float  # s since the epoch
    changed: float  # s since the epoch: ctime, which also chmod and links to the file set
    # Of its name; of a link, of its target's real path too.
    keywords: Keywords = NO_KEYWORDS

    @property
    def path(self) -> str:
        """Where it lies; '': it is gone."""
        if self.identity == "":
            return ""
        return os.path.join(self.folder, self.name)

    def is_at(self, status: os.stat_result) -> bool:
        """Say whether an open file is this one, unchanged."""
        return self.identity == identity_text(status) and self.changed == status.st_ctime

    def is_as_read(self, info: Info | None) -> bool:
        """Say whether a file is as it was read; else its key has to be looked at again."""
        return info is not None and info.changed in (0, self.changed)

    @property
    def plain_name(self) -> str:
        """The name without keywords: x.jpg of x.jpg.private and of x.private.jpg."""
        if self.keywords is NO_KEYWORDS:
            return self.name
        return parse_file_name(self.name).title


def identity_on_disk(path: str) -> str:
    """Return the identity of a file as it is now, not that of a link's target; '': it is gone."""
    try:
        return identity_text(os.lstat(path))
    except OSError:
        return ""


def but_inode(identity: str) -> str:
    """Return the rest of an identity. exFAT has other inodes after each mount, or any moment."""
    return identity.partition("-")[2]


def key_on_disk(path: str) -> str:
    """Return the key of a file as it is now. Raises OSError."""
    with open(path, "rb") as file:
        _, key = read_head(file)
    return key


def file_of(name: str, path: str, status: os.stat_result, keywords: Keywords) -> File:
    """Return a file as its status says."""
    return File(
        name=name,
        folder=sys.intern(os.path.dirname(path)),
        identity=sys.intern(identity_text(status)),  # the index has it, too
        size=status.st_size,
        mtime=plausible(status.st_mtime),
        changed=status.st_ctime,
        keywords=keywords,
    )


def look_again(file: File) -> File | None:
    """Return a file as it is now; None: it is gone."""
    try:
        status = os.stat(file.path)
    except OSError:
        return None
    return file_of(file.name, file.path, status, file.keywords)


class AlbumText(NamedTuple):
    """The words that an album.txt gives an album."""

    title: str = ""
    description: str = ""
    captions: Mapping[str, str] = {}  # by file name
    cover: str = ""  # a file name
    is_sorted_by_name: bool = False
    problem: str = ""  # for the owner
    name: str = ALBUM_TEXT  # in whichever case the file has it
    written: str = ""  # as `text_stamp` tells; '': there is none


@dataclass(frozen=True)
class Folder:
    """A folder of the library as it was when it was listed."""

    stamp: Identity | None  # of the listing; None: the folder could not be listed
    files: Mapping[str, File]
    albums: Mapping[str, Name]
    has_links: bool = False
    text: AlbumText = field(default_factory=AlbumText)
    problem: str = ""
    others: Mapping[str, File] = field(default_factory=dict)  # RAW and the like
    skipped: Mapping[str, Skipped] = field(default_factory=dict)  # by name
    is_kept: ClassVar[bool] = False  # as a summary tells, its files looked at one by one

    def is_like(self, other: Folder) -> bool:
        """Say whether a later listing tells the same."""
        return self == other

    def may_differ(self) -> bool:
        """Say whether files may be written over by now, which the folder does not tell."""
        has_files = bool(self.files or self.others)
        return has_files or self.text.written != "" or self.problem != ""

    def plain_names(self) -> dict[str, str]:
        """Return how the name of each file would be without keywords."""
        files = {**self.files, **self.others}
        return {name: file.plain_name for name, file in files.items()}

    @functools.cached_property
    def identities(self) -> list[str]:
        """The identities of the files."""
        return [file.identity for file in self.files.values()]

    @property
    def last_written(self) -> float:
        """When the newest file was written, s since the epoch."""
        return max((file.mtime for file in self.files.values()), default=0)

    @functools.cached_property
    def by_title(self) -> dict[str, list[str]]:
        """The names of the albums with each title, the least strict first.

        `.` and `..` are no titles here: browsers never send such a part of an address.
        """
        leave_to_thread()
        names: dict[str, list[str]] = {}
        for name in sorted(self.albums, key=natural):
            title = self.albums[name].title
            if title not in (".", ".."):
                names.setdefault(title, []).append(name)
        for twins in names.values():
            twins.sort(key=self._twin_order)
        return names

    def _twin_order(self, name: str) -> Key:
        """Return a sort key, the least strict first."""
        album = self.albums[name]
        said = album.keywords
        strictness = not said.is_understood, said.visibility, said.people is not None
        # What is called as the title has no other name that could be its address.
        return name != album.title, *strictness

    def albums_at(self, component: str) -> list[str]:
        """Return the names of the albums that a part of an address may mean, best first.

        It may be a title, a full name, or the full name that the album had before.
        """
        if len(component) > NAME_LENGTH:
            return []
        names = [*self.by_title.get(component, ())]
        if component in self.albums:
            names.append(component)
        former_title = parse_name(component).title
        names += self.by_title.get(former_title, ())
        return list(dict.fromkeys(names))

    @functools.cached_property
    def _shots(self) -> dict[str, Shot]:
        leave_to_thread()  # 0.1 s of 20,000 files with films
        names = self.plain_names()
        # Photos alone are no shot. Most folders hold nothing else.
        if not any(plain.lower().endswith(SHOT_SUFFIXES) for plain in names.values()):
            return {}
        shots = shots_among(names)
        return {name: shot for name, shot in shots.items() if sum(map(len, shot)) > 1}

    def shot(self, name: str) -> Shot:
        """Return what may be one shot with a file; most files are alone."""
        return self._shots.get(name, NO_SHOT)


class Place(NamedTuple):
    """What is at an address, and who may see it: an album, or a file of one."""

    parts: Parts  # the names on disk
    address: Parts  # the names in URLs: titles, where names have keywords
    keywords: Keywords  # of the whole path
    rule: Rule
    folder: Folder  # of the album, or of the one that holds the file
    now: Circumstances  # by which it is decided who may see it
    file: File | None = None


def decode_text(content: bytes) -> tuple[str, bool]:
    """Decode a text file that any editor may have written; say whether its encoding was guessed."""
    if content.startswith(codecs.BOM_UTF8):
        return content.decode("utf-8-sig", "replace"), False
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace"), False
    try:
        return content.decode("utf-8"), False
    except UnicodeDecodeError as error:
        is_cut = error.start > ALBUM_TEXT_BYTES - 4  # within a character, by our own limit
        if is_cut:
            return content.decode("utf-8", "ignore"), False
        return content.decode("cp1252", "replace"), True


def _names_a_file(text: str) -> bool:
    """Say whether a text is the name of a photo or a film, with keywords or without."""
    return expected_kind(parse_file_name(text).title) != ""


def _file_named(text: str, by_name: Mapping[str, str]) -> str:
    """Return the file that somebody means, who may write img_1.jpg for IMG_1.JPG; '': none."""
    return by_name.get(text) or by_name.get(text.casefold(), "")


def split_captions(
    lines: Iterable[str], by_name: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Return the captions, by file name, and the description that the other lines are."""
    captions: dict[str, str] = {}
    description = []
    for line in lines:
        # A file's name may hold a colon, too.
        name, colon, caption = (part.strip() for part in line.partition(": "))
        file = _file_named(name, by_name) if colon else ""
        if file:
            captions[file] = caption
        # What is told of a file that was moved, or made private, is for nobody here any more.
        elif not (colon and _names_a_file(name)):
            description.append(line)
    return captions, "\n".join(description).strip()


def read_album_text(path: str, names: Iterable[str]) -> AlbumText:
    """Read an album.txt: its title, its description, and lines `file name: caption`.

    `sort: name` and `cover: file name` are lines of their own.
    """
    try:
        with open(path, "rb", opener=open_regular) as file:
            content = file.read(ALBUM_TEXT_BYTES)
    except OSError:
        return AlbumText()
    text, is_guessed = decode_text(content)
    exact = {normalize("NFC", display(name)): name for name in names}
    by_name = {name.casefold(): file for name, file in exact.items()}
    by_name.update(exact)
    cover, is_sorted_by_name = "", False
    lines = []
    for line in normalize("NFC", text).splitlines():
        word, _, value = (part.strip() for part in line.partition(":"))
        file_named = _file_named(value, by_name)
        if word.lower() == "sort" and value.lower() == "name":
            is_sorted_by_name = True
        elif word.lower() == "cover" and (file_named or _names_a_file(value)):
            cover = file_named
        else:
            lines.append(line)
    title, *lines = lines or [""]
    captions, words = split_captions(lines, by_name)
    return AlbumText(
        title=title.strip()[:TITLE_LENGTH],
        description=words,
        captions=captions,
        cover=cover,
        is_sorted_by_name=is_sorted_by_name,
        problem=GUESSED if is_guessed else "",
    )


def text_stamp(text: File) -> str:
    """Return what differs when an album.txt was written; '': it is not there."""
    return f"{text.identity} {text.changed}" if text.identity else ""


def _text_of(files: Mapping[str, File]) -> AlbumText:
    # Editors of phones begin a name with a capital. Of several files, album.txt is the last.
    names = [name for name in files if name.casefold() == ALBUM_TEXT]
    name = max(names, default=ALBUM_TEXT)
    text = files.get(name)
    # A link may lead to the words of another album, which not everybody may read.
    if text is None or text.keywords is not NO_KEYWORDS:
        return AlbumText()
    words = read_album_text(text.path, files)
    return words._replace(name=name, written=text_stamp(text))


def default_circumstances() -> Circumstances:
    """Return today and no users: the default of a library without a user store."""
    return Circumstances(dt.date.today())


def keywords_of(names: Iterable[str]) -> Keywords:
    """Return what the names of a path say together."""
    return strictest(parse_name(name).keywords for name in names)


def openable_rule(
    own: Keywords | None, place: Place, principal: Principal, identity: str = ""
) -> Rule | None:
    """Return the rule of what lies in an album; None: it is not there, or may not be opened.

    `own` is what its name says, None of what is not there; `identity` is that of a file. Both
    answers take equally long.
    """
    may_open_it = may_open(principal, (own or ABSENT).rule(place.now), identity)
    if own is None or not may_open_it:
        return None
    rule = strictest((place.keywords, own)).rule(place.now)
    if not may_open(principal, rule, identity):
        return None
    return rule


def first_openable(names: Iterable[str], place: Place, principal: Principal) -> str | None:
    """Return the first of some albums in another that somebody may open."""
    for name in names:
        if openable_rule(place.folder.albums[name].keywords, place, principal):
            return name
    return None


def file_place(name: str, place: Place, principal: Principal) -> Place | None:
    """Return the place of a file of an album; None: it is not there, or may not be opened."""
    folder = place.folder
    file = folder.files.get(name) or folder.others.get(name)
    own = file.keywords if file else None
    identity = file.identity if file else ""
    rule = openable_rule(own, place, principal, identity)
    if file is None or rule is None:
        return None
    keywords = strictest((place.keywords, file.keywords))
    parts, address = (*place.parts, name), (*place.address, name)
    return Place(parts, address, keywords, rule, folder, place.now, file)


def component_of(name: str, place: Place, principal: Principal) -> str:
    """Return the part of an address that leads somebody to an album: its title, or its full name.

    Of albums with one title, the least strict that this principal may open has it, unless it is
    the name of a file. What others may open has no say, or the address would tell that it exists.
    """
    title = place.folder.albums[name].title
    if file_place(title, place, principal):
        return name
    twins = place.folder.by_title.get(title, ())
    if first_openable(twins, place, principal) == name:
        return title
    return name


# --- Listings ----------------------------------------------------------------

DEPTH = 64  # of albums in albums; deeper ones are ignored
LISTING_SECONDS = 1.0  # that a listing is good for, unless its folder changes
# A change within the file system's clock tick of a listing leaves the folder's mtime as it was.
TICK = 0.1  # seconds
WHOLE_SECOND_TICK = 2.0  # of file systems that keep no fractions
# The file is gone, or a link leads nowhere.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)

Entry: TypeAlias = os.DirEntry[str]
# Returns a folder as it is known already; None: it is not.
Recall: TypeAlias = Callable[[Parts], Folder | None]
Walked: TypeAlias = list[tuple[Parts, Folder]]  # folders, with the names down to them


class Listing(NamedTuple):
    """A folder as it was listed."""

    path: str
    folder: Folder
    listed_at: float  # s on the monotonic clock: the other may be set back
    changed: int  # its ctime before that, ns since the epoch, which nobody sets back; 0: it is gone
    # The folder's `exact_identity` for as long as nothing changes; (): its times do not tell.
    state: Key

    def is_like(self, folder: Folder, changed: int) -> bool:
        """Say whether a later listing tells the same; a kept folder cannot tell without the ctime."""
        may_tell = changed == self.changed or not self.folder.is_kept
        return may_tell and self.folder.is_like(folder)


def are_as_listed(listings: Sequence[Listing]) -> bool:
    """Say whether folders are as they were listed, as far as their times tell: one stat each."""
    try:
        states = [exact_identity(os.stat(listing.path)) for listing in listings]
    except OSError:
        return False
    return states == [listing.state for listing in listings]


def state_of(folder: Folder, changed: int, listed_at: float) -> Key:
    """Return the state of a folder that was listed; (): its times do not tell of each change."""
    stamp = folder.stamp
    if stamp is None or folder.has_links:  # what links lead to changes elsewhere
        return ()
    keeps_fractions = stamp.mtime_ns % 1_000_000_000 != 0
    tick = TICK if keeps_fractions else WHOLE_SECOND_TICK
    age = listed_at - max(stamp.mtime, changed / 1e9)
    # A change gives the folder a time of now: one that is far ahead would not stay.
    is_certain = age > tick or age < -AHEAD_SECONDS
    return (*stamp, changed) if is_certain else ()


class Folders:
    """The folders below the library's root, as they are at each call. Thread-safe.

    The file system is the truth: a folder is listed again when its mtime changed, and paths are
    resolved through listings alone, so that only what is listed can be reached.
    """

    def __init__(
        self,
        root: Path,
        state: Path,
        *,
        follow_symlinks: bool = False,
        circumstances: Callable[[], Circumstances] = default_circumstances,
    ) -> None:
        self.root = root
        self._path = os.fspath(root)
        self._is_plain = os.path.abspath(self._path) == self._path
        self._steps = steps_to(self._path)
        self.real_root = Path(os.path.realpath(root))
        self._real_path = os.fspath(self.real_root)
        self.circumstances = circumstances
        self._state = Path(os.path.realpath(state))
        self._follow_symlinks = follow_symlinks
        own_name = os.path.basename(os.path.abspath(root))
        self._root_keywords = keywords_of((self.real_root.name, own_name))
        self._listings: dict[Parts, Listing] = {}
        self.latest: Listing | None = None  # the last one that told something new
        self._listing_locks: dict[Parts, threading.Lock] = {}
        # Returns a folder as it was kept by an earlier server; None: it has to be listed.
        self.recall: Recall = lambda parts: None

    def listing(self, parts: Parts, *, fresh: bool = False) -> Folder:
        """List a folder where it may have changed.

        `fresh`: after a second also for files that were written in place, which no folder tells of.
        """
        if folder := self._unchanged(parts, fresh=fresh):
            return folder
        leave_to_thread()
        asked_at = time.monotonic()
        # A hundred thumbnails ask for the same new album at once; nobody waits for another one.
        with self._listing_lock(parts):
            listing = self._last_listing(parts)
            if listing and listing.listed_at >= asked_at:
                return listing.folder
            if folder := self._unchanged(parts, fresh=fresh):
                return folder
            self._list_again(parts)
            return self._listings[parts].folder

    def look(self, parts: Parts) -> Folder:
        """List a folder with all its files, also where `listing` returns a kept one."""
        with self._listing_lock(parts):
            folder = self._unchanged(parts, fresh=True)
            if folder and not folder.is_kept:
                return folder
            return self._list_again(parts)

    def path_of(self, parts: Parts) -> str:
        """Return the path of a folder, or of a file."""
        return os.path.join(self._path, *parts)

    def _last_listing(self, parts: Parts) -> Listing | None:
        """Return how a folder was listed last, by an earlier server if need be."""
        if parts not in self._listings:
            path = self.path_of(parts)
            changed = changed_ns(path)
            folder = self.recall(parts)
            if folder:
                state = *(folder.stamp or ()), changed
                # Listed at no time, so that who wants to see its files looks at them.
                self._listings[parts] = Listing(path, folder, -math.inf, changed, state)
        return self._listings.get(parts)

    def is_at_hand(self, parts: Parts) -> bool:
        """Say whether a folder was listed already, maybe by an earlier server."""
        with self._listing_lock(parts):
            return self._last_listing(parts) is not None

    def newest_first(self, parts: Parts, names: Iterable[str]) -> list[str]:
        """Return the names of folders in a folder, those that were written last first."""
        path = self.path_of(parts)

        def written(name: str) -> int:
            stamp = identity_of(os.path.join(path, name))
            return stamp.mtime_ns if stamp else 0

        return sorted(names, key=written, reverse=True)

    def keep(self, parts: Parts, listing: Listing, folder: Folder) -> None:
        """Have `listing` return a kept folder for as long as the one on disk is as it was listed."""
        with self._listing_lock(parts):
            latest = self._listings.get(parts, listing)
            if latest.folder is listing.folder and latest.changed == listing.changed:
                self._listings[parts] = self.latest = latest._replace(folder=folder)

    def is_forgotten(self, parts: Parts) -> bool:
        """Say whether a folder was gone at the last walk, and nobody has listed it since."""
        return parts not in self._listings

    def certain(self, parts: Parts) -> Listing | None:
        """Return how a folder was listed last, if its times tell of each change since."""
        listing = self._listings.get(parts)
        return listing if listing and listing.state else None

    def _listing_lock(self, parts: Parts) -> threading.Lock:
        return self._listing_locks.setdefault(parts, threading.Lock())

    def as_listed(self, places: Iterable[Place]) -> list[Listing]:
        """Return how the folders of places were listed last, those that are gone left out."""
        there = (self._listings.get(place.parts) for place in places)
        return [*filter(None, there)]

    def _unchanged(self, parts: Parts, *, fresh: bool) -> Folder | None:
        """Return the last listing if the folder is as it was; None: it has to be listed."""
        listing = self._listings.get(parts)
        if listing is None:
            return None
        age = time.monotonic() - listing.listed_at
        if fresh and age >= LISTING_SECONDS and listing.folder.may_differ():
            return None
        return listing.folder if are_as_listed([listing]) else None

    def _list_again(self, parts: Parts) -> Folder:
        before = self._last_listing(parts)
        path = self.path_of(parts)
        now = time.time()
        listed_at = time.monotonic()
        changed = changed_ns(path)
        folder = self._read_folder(parts, path)
        current = folder
        if before and before.is_like(folder, changed):
            current = before.folder  # what was derived from it stays valid
        state = state_of(folder, changed, now)
        self._listings[parts] = Listing(path, current, listed_at, changed, state)
        if current is folder:
            self.latest = self._listings[parts]
        return folder if current.is_kept else current

    def _read_folder(self, parts: Parts, path: str) -> Folder:
        try:
            stamp = identity_of(path)
            with os.scandir(path) as entries:
                folder = self._read_entries(parts, entries, stamp)
        except OSError as error:
            return Folder(None, {}, {}, problem=explain(error))
        mark = next(filter(folder.skipped.get, SET_ASIDE_MARKS), "")
        if mark and parts:  # the library itself was chosen to be shown
            return Folder(stamp, {}, {}, skipped={mark: Skipped.SET_ASIDE})
        return folder

    def _read_entries(
        self, parts: Parts, entries: Iterable[Entry], stamp: Identity | None
    ) -> Folder:
        files: dict[str, File] = {}
        albums: dict[str, Name] = {}
        skipped: dict[str, Skipped] = {}
        problems = []
        has_links = False
        state_names = self._state_names_in(parts)
        for entry in entries:
            if entry.name in state_names:
                continue
            try:
                has_links = has_links or (entry.is_symlink() and not is_ignored(entry.name))
                why = self._take(parts, entry, files, albums)
                if why:
                    skipped[entry.name] = why
            except OSError as error:
                if error.errno not in GONE:
                    problems.append(f"{display(entry.name)}: {error.strerror}")
        skipped |= skipped_among({name: file.plain_name for name, file in files.items()})
        shown = {name: file for name, file in files.items() if name not in skipped}
        others = {name: f for name, f in shown.items() if other_picture(f.plain_name)}
        return Folder(
            stamp=stamp,
            files={name: file for name, file in shown.items() if name not in others},
            albums=albums,
            has_links=has_links,
            text=_text_of(files),
            problem="; ".join(sorted(problems)),
            others=others,
            skipped=skipped,
        )

    def _take(
        self, parts: Parts, entry: Entry, files: dict[str, File], albums: dict[str, Name]
    ) -> Skipped | None:
        """Take an entry of a folder as a file or as an album, or say why it is neither."""
        if is_ignored(entry.name):
            return Skipped.COPY if is_leftover(entry.name) else Skipped.HIDDEN
        name = self._name_of_entry(parts, entry)
        if name is None:
            return Skipped.LINK
        if entry.is_file():
            files[entry.name] = file_of(entry.name, entry.path, entry.stat(), name.keywords)
        elif not entry.is_dir():
            return Skipped.LINK if entry.is_symlink() else Skipped.OTHER
        elif len(parts) >= DEPTH:
            return Skipped.DEEP
        else:
            albums[entry.name] = name
        return None

    def _state_names_in(self, parts: Parts) -> set[str]:
        """Return the names by which the state folder, its cache, or the site's icon lies in a folder."""
        icons = set() if parts else set(ICON_NAMES)
        real = Path(os.path.realpath(self.path_of(parts)))
        own = (self._state, self._state / "cache")
        return icons | {path.name for path in own if path.parent == real}

    def _is_state(self, real: str) -> bool:
        """Say whether a real path lies in the state folder, and is not of the library in there."""
        state, root = os.fspath(self._state), self._real_path
        if not is_within(real, state):
            return False
        is_of_library = is_within(root, state) and is_within(real, root)
        return not is_of_library or is_within(real, os.path.join(state, "cache"))

    def _name_of_entry(self, parts: Parts, entry: Entry) -> Name | None:
        """Return what an entry's name says, and the target of a link; None: a link not followed."""
        name = parse_file_name(entry.name) if entry.is_file() else parse_name(entry.name)
        if not entry.is_symlink():
            return name
        target = self._keywords_of_link(parts, entry)
        if target is None:
            return None
        return name._replace(keywords=strictest((name.keywords, target)))

    def _keywords_of_link(self, parts: Parts, entry: Entry) -> Keywords | None:
        """Return the keywords along a link's real path; None: the link is not followed."""
        plain = self.real_root.joinpath(*parts)
        folder = Path(os.path.realpath(plain))
        leads_up = folder.is_relative_to(os.path.realpath(entry.path))
        may_lead_round_in_circles = entry.is_dir() and (leads_up or folder != plain)
        if may_lead_round_in_circles:
            return None
        return self._keywords_along(real_path(entry.path))

    def _keywords_along(self, real: str) -> Keywords | None:
        """Return the keywords along a real path; None: it leads out, or to what is not shown."""
        root = self._real_path
        if self._is_state(real):
            return None
        if is_within(real, root):
            names = list(filter(None, real[len(root) :].split(os.sep)))
            if any(map(is_ignored, names)):
                return None
            return keywords_of(names)
        if self._follow_symlinks:
            return keywords_of(Path(real).parts)
        return None

    def _real_path_of(self, place: Place, *, has_links: bool) -> str:
        """Return the real path of a place as it is now; `has_links`: links may lead to it.

        A folder that was listed without links has none as long as it is as it was: a step down
        has just looked. What leads to the library itself is looked at in any case.
        """
        path = self.path_of(place.parts)
        has_plain_root = self._is_plain and not any(map(os.path.islink, self._steps))
        if has_links or not has_plain_root:
            return real_path(path)
        return path

    def _keywords_on_disk(
        self, place: Place, principal: Principal, *, has_links: bool
    ) -> Keywords | None:
        """Return the keywords along the real path of a place as it is now; None: it is not shown.

        Not from the listings: of a chain of links, one farther on may point elsewhere by now.
        For a guest, those from the share's album on.
        """
        real = self._real_path_of(place, has_links=has_links)
        is_as_named = real == os.path.join(self._real_path, *place.parts)
        if is_as_named and not self._is_state(real):
            return place.keywords  # which are those of its names
        keywords = self._keywords_along(real)
        if keywords is None or not principal.is_guest:
            return keywords
        shared = real_path(self.path_of(principal.root))
        if not is_within(real, shared):
            return keywords
        below = real[len(shared) :].split(os.sep)
        return keywords_of(list(filter(None, below)))

    def locate(self, address: Parts, principal: Principal) -> Place | None:
        """Return what is at an address now; None: nothing that this principal may open.

        What is not there takes the same steps as what may not be opened, so that not even the
        time of the answer tells one from the other.
        """
        now = self.circumstances()
        place = self.root_place(now, principal)
        # The folders above a guest's are not looked at, and Windows has links of other kinds.
        has_links = principal.is_guest or sys.platform == "win32"
        for component in address:
            step = self._step(place, component, principal)
            if step is None:
                return None
            has_links = has_links or place.folder.has_links
            place = step
        real = self._keywords_on_disk(place, principal, has_links=has_links)
        if real is None:
            return None
        keywords = strictest((place.keywords, real))
        rule = keywords.rule(now)
        is_own_album = principal.is_guest and not address
        identity = ""
        if principal.only_adds and place.file:
            # As it is now: the file may have been written over.
            identity = identity_on_disk(place.file.path)
        if not is_own_album and not may_open(principal, rule, identity):
            return None
        return place._replace(keywords=keywords, rule=rule)

    def root_place(self, now: Circumstances, principal: Principal = VISITOR) -> Place:
        """Return the place of the library itself; of a guest, that of the share's album."""
        if principal.is_guest:
            root = principal.root
            return Place(root, (), NO_KEYWORDS, Rule(), self.listing(root), now)
        keywords = self._root_keywords
        return Place((), (), keywords, keywords.rule(now), self.listing(()), now)

    def _step(self, place: Place, component: str, principal: Principal) -> Place | None:
        """Go one part of an address down; None: there is nothing that somebody may open."""
        if place.file:
            return None
        # Files first: a file's name may be a former name of an album beside it.
        file = file_place(component, place, principal)
        if file:
            return file
        names = place.folder.albums_at(component)
        if not names:
            openable_rule(None, place, principal)  # for as long as for one
        name = first_openable(names, place, principal)
        if name is None:
            return None
        if place.folder.albums[name].title == component:
            # The title led here, so it is the address: no file, and no other album, came first.
            return self._place_at(component, place, name)
        return self.album_place(place, name, principal)

    def album_place(self, place: Place, name: str, principal: Principal) -> Place:
        """Return the place of an album that lies in another, by its name."""
        return self._place_at(component_of(name, place, principal), place, name)

    def _place_at(self, component: str, place: Place, name: str) -> Place:
        """Return the place of an album in another, by the part of an address that leads there."""
        keywords = strictest((place.keywords, place.folder.albums[name].keywords))
        parts = (*place.parts, name)
        return Place(
            parts=parts,
            address=(*place.address, component),
            keywords=keywords,
            rule=keywords.rule(place.now),
            folder=self.listing(parts),
            now=place.now,
        )

    def title_of(self, parts: Parts, folder: Folder) -> str:
        """Return the title of an album: that of album.txt, else what its name says."""
        name = (self.real_root.name, *parts)[-1]
        return folder.text.title or display(parse_name(name).title)

    def walk(self, as_seen: Recall = lambda parts: None) -> Walked:
        """Return all folders, each file looked at again, those with the newest files first.

        `as_seen` tells of a folder that is left out, since none of its files has to be looked at.
        """
        walked: dict[Parts, Folder] = {}
        everywhere = set()
        waiting: list[Parts] = [()]
        while waiting:
            parts = waiting.pop()
            everywhere.add(parts)
            folder = as_seen(parts)
            if folder is None:
                folder = walked[parts] = self.look(parts)
            waiting += [(*parts, name) for name in folder.albums]
        for parts in set(self._listings) - everywhere:
            self._listings.pop(parts, None)
            self._listing_locks.pop(parts, None)
        return sorted(walked.items(), key=lambda pair: pair[1].last_written, reverse=True)


# --- Index -------------------------------------------------------------------

# How long the index of another version is kept: somebody may go back to it.
INDEX_SECONDS = 30 * 86400
INFOS_KEPT = 10_000  # understood, in memory: 6 MB
# Lines in the file for each that is of use, above which the file is written afresh. A new photo has
# three in turn: its facts, its colours, its checksum.
LINES_A_FILE = 2
LINE_SUMS = 1 << 32  # how many CRC-32 there are
CHANGES_KEPT = 10_000  # by which an album knows whether it has to be derived again
# Of a line: the checksums, which no page shows, end it.
LINE_FIELDS = sorted(Info.__dataclass_fields__, key=lambda name: name.startswith("crc"))


def _index_line(identity: str, info: Info | str) -> str:
    """Return what the file holds of an entry: nothing of what is to be tried again."""
    if isinstance(info, str):
        return info
    if info.retry != NEVER:
        return ""
    values = vars(info)
    fields = {
        name: values[name]
        for name in LINE_FIELDS
        if name in values and values[name] != getattr(Info, name)
    }
    return f"{json.dumps([identity, fields])}\n"


def _shown_of(line: bytes) -> bytes:
    """Return what pages may show of a line of the index."""
    return line.partition(b', "crc')[0].removesuffix(b"}]\n")


def _place_of(at: int, line: bytes) -> int | str:
    """Return where a line stands in the file, with the CRC-32 of what pages show, in one number.

    Windows replaces no file that is open: there, the line itself stays in memory.
    """
    if sys.platform == "win32":
        return line.decode("ascii", "replace")
    return at * LINE_SUMS + zlib.crc32(_shown_of(line))


def _index_name() -> str:
    """Name the index file after the reader and its tools, since others read other facts."""
    has_heif = bool(importlib.util.find_spec("pillow_heif"))
    has_ffmpeg = bool(shutil.which("ffmpeg"))
    tools = [READER, PIL.__version__, has_heif, has_ffmpeg]
    reader = json.dumps([sorted(Info.__dataclass_fields__), tools])
    return f"index-{hashlib.blake2b(reader.encode(), digest_size=6).hexdigest()}.jsonl"


class Index:
    """What is known of each file, by its identity; kept as lines of JSON in the cache. Thread-safe.

    The file holds the facts, and the memory where in it each line stands.
    """

    def __init__(self, cache: Path) -> None:
        self._path = cache / _index_name()
        # A place in the file; or what the file does not hold: a line, or facts that no line can tell.
        self._entries: dict[str, int | str | Info] = {}
        self._file: BinaryIO = io.BytesIO()
        self._inode = 0  # of the file
        self._close: Callable[[], object] = self._file.close
        self._lines = 0  # in the file
        self._is_astray = False  # whether lines were written that are not in the file
        self._reading_lock = threading.Lock()
        self._understand = functools.lru_cache(INFOS_KEPT)(self._read)
        self._lock = threading.Lock()
        self.problem = ""  # why the cache cannot be written
        self.is_quiet = False  # whether the log has said so, or somebody else will
        self.changes = 0  # since the start, of what pages show
        self.checksums = 0  # noted since the start
        self._last_changed: deque[str] = deque(maxlen=CHANGES_KEPT)
        # The last answer of `changed_since`, behind the two counts of changes that it lies between.
        self._changed: tuple[Key, set[str]] = (), set()
        with suppress(OSError):
            self._remove_outdated()
        with suppress(OSError):
            self._load()

    def _remove_outdated(self) -> None:
        others = set(self._path.parent.glob("index*.jsonl")) - {self._path}
        old = {path for path in others if is_long_ago(path.stat().st_mtime, INDEX_SECONDS)}
        for path in old:
            path.unlink()
        if others != old:  # somebody uses an older version
            return
        for folder in self._path.parent.glob("renditions-*"):
            is_old = is_long_ago(folder.stat().st_mtime, INDEX_SECONDS)
            if is_old and folder.name != RENDITIONS_FOLDER:
                shutil.rmtree(folder, ignore_errors=True)

    def _open(self) -> None:
        """Read from the file that has the name of the index now. Raises OSError."""
        file = open(self._path, "rb", opener=open_regular)
        with self._reading_lock:
            self._close()
            self._close = finalize(self, file.close)
            # The background pass may read until the process is gone.
            self._close.atexit = False
            self._file = file
            self._inode = os.fstat(file.fileno()).st_ino
        self._understand.cache_clear()  # a place may hold another line by now

    def _load(self) -> None:
        """Find the lines of the file. Each is understood when somebody asks for it: start waits for none."""
        self._open()
        with suppress(OSError):  # a cache that is read only
            os.utime(self._path)
        at = 0
        for line in self._file:
            # a killed server left half a line
            if line.startswith(b'["') and line.endswith(b"}]\n"):
                identity = line[2 : line.index(b'"', 2)].decode("ascii", "replace")
                self._entries[sys.intern(identity)] = _place_of(at, line)
                self._lines += 1
            at += len(line)

    def _line(self, entry: int | str) -> str:
        """Return a line of the file; '': it holds another one there by now, or cannot be read."""
        if isinstance(entry, str):
            return entry
        leave_to_thread()
        at, crc = divmod(entry, LINE_SUMS)
        with self._reading_lock, suppress(OSError):
            self._file.seek(at)
            line = self._file.readline()
            if zlib.crc32(_shown_of(line)) == crc:
                return line.decode("ascii", "replace")
        return ""

    def _read(self, entry: int | str) -> Info | None:
        """Return what a line of the file says; None: it makes no sense."""
        line = self._line(entry)
        try:
            return info_from(json.loads(line)[1])
        except (ValueError, TypeError, RecursionError):
            return None

    def get(self, identity: str, *, once: bool = False) -> Info | None:
        """Return what is known of a file; `once`: nobody asks for it again soon."""
        entry = self._entries.get(identity)
        if entry is None or isinstance(entry, Info):
            return entry
        info = self._read(entry) if once else self._understand(entry)
        if info:
            return info
        leave_to_thread()
        with self._lock:
            if self._entries.get(identity) is entry:
                del self._entries[identity]
        return self.get(identity, once=once)  # the file may just have been written afresh

    def put(self, identity: str, info: Info) -> None:
        """Remember what a file is; what is to be tried again, only while the program runs."""
        before = self.get(identity, once=True)
        line = _index_line(identity, info)
        former = _index_line(identity, before) if before else ""
        shown = _shown_of(line.encode("ascii"))
        is_shown_alike = shown == _shown_of(former.encode("ascii"))
        with self._lock:
            if line and is_shown_alike:
                self.checksums += 1
            else:
                self._last_changed.append(identity)
                self.changes += 1
            if info == before:
                return
            self._entries[identity] = line or info
            if line:
                with self._warning():
                    self._entries[identity] = self._append(line)

    def _append(self, line: str) -> int | str:
        """Write a line to the file; return its place, or the line if that is not where others are read.

        Somebody may have deleted the file, and another server written it afresh. Raises OSError.
        """
        content = line.encode("ascii")
        with open(self._path, "ab", buffering=0, opener=open_regular) as file:
            written = file.write(b"\n" + content)  # also after half a line
            end = file.tell()
            inode = os.fstat(file.fileno()).st_ino
        if not self._inode:
            self._open()
        self._lines += 1
        is_whole = written == len(content) + 1  # the disk is not full
        if is_whole and inode == self._inode:
            return _place_of(end - len(content), content)
        self._is_astray = True
        return line

    def changed_since(self, changes: int) -> set[str] | None:
        """Return the files whose facts changed since so many changes; None: they are too many."""
        if changes == self.changes:
            return set()
        leave_to_thread()
        with self._lock:
            count = self.changes - changes
            if count > len(self._last_changed):
                return None
            # A thousand albums ask the same, one after the other.
            asked, identities = self._changed
            if asked != (changes, self.changes):
                identities = set(itertools.islice(reversed(self._last_changed), count))
                self._changed = (changes, self.changes), identities
            return identities

    def sum_of(self, identities: Iterable[str]) -> int | None:
        """Return a CRC-32 of what pages show of some files; None: of one, there is no line."""
        sums = array.array("Q")
        for identity in identities:
            entry = self._entries.get(identity)
            if isinstance(entry, str):
                entry = zlib.crc32(_shown_of(entry.encode("ascii")))
            if not isinstance(entry, int):
                return None
            sums.append(entry % LINE_SUMS)
        return zlib.crc32(sums)

    @property
    def count(self) -> int:
        """Of how many files something is known."""
        return len(self._entries)

    def forget(self, identity: str) -> None:
        """Forget a file that holds something else by now."""
        with self._lock:
            self._entries.pop(identity, None)
            self._last_changed.append(identity)
            self.changes += 1

    def keep(self, identities: set[str]) -> None:
        """Forget all other files; write the file afresh if it holds them, or much else of no use."""
        with self._lock:
            gone = self._entries.keys() - identities
            for identity in gone:
                del self._entries[identity]
            is_long = self._lines > LINES_A_FILE * len(self._entries)
            if gone or is_long or self._is_astray:
                with self._warning():
                    self._write_afresh()

    def _write_afresh(self) -> None:
        """Write one line for each file. Raises OSError."""
        places: dict[str, int | str] = {}
        write_lines_atomically(self._path, self._all_lines(places))
        self._open()
        for identity, place in places.items():
            if not isinstance(self._entries[identity], Info):
                self._entries[identity] = place
        self._lines = len(places)
        self._is_astray = False

    def _all_lines(self, places: dict[str, int | str]) -> Iterator[bytes]:
        """Yield the line of each file, and note where it will stand."""
        at = 0
        for identity, entry in self._entries.items():
            if isinstance(entry, Info):
                line = _index_line(identity, entry).encode("ascii")
            else:
                line = self._line(entry).encode("ascii", "replace")
            if line:
                places[identity] = _place_of(at, line)
                yield line
                at += len(line)

    @contextmanager
    def _warning(self) -> Iterator[None]:
        """Go on where the file cannot be written."""
        try:
            yield
        except OSError as error:
            self.complain(error.strerror or str(error))

    def complain(self, reason: str) -> None:
        """Note why the cache cannot be written; the log says it once."""
        advice = "Make room there, or allow it."
        self.problem = f"{self._path.parent} cannot be written: {reason}. {advice}"
        if not self.is_quiet:
            log.warning(self.problem)
        self.is_quiet = True


class Damaged:
    """Which originals hold other bytes than before, although nothing says that they were written.

    By identity, with the CRC-32 of the bytes as they were. Kept in a file of the cache that servers
    and commands share. Thread-safe.
    """

    def __init__(self, cache: Path) -> None:
        self._path = cache / "damaged.json"
        self._as_read: Identity | None = None
        self._sums: dict[str, int] = {}
        self._lock = threading.Lock()

    def sums(self) -> Mapping[str, int]:
        """Return the CRC-32 that each damaged file had, by identity, as the file says now."""
        if identity_of(self._path) == self._as_read:
            return self._sums
        leave_to_thread()
        with self._lock:
            identity = identity_of(self._path)
            self._sums = self._load()
            self._as_read = identity  # now, or others would still get the old sums
            return self._sums

    def _load(self) -> dict[str, int]:
        try:
            text = read_regular(self._path)
            sums = json.loads(text)
            return {identity: int(crc) for identity, crc in sums.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}  # there is none, or it makes no sense

    def note(self, identity: str, before: int) -> None:
        """Note that a file is damaged that had that CRC-32, unless an earlier one is known."""
        if identity not in self.sums():
            self._change({identity: before}, set())

    def judge(self, identity: str, before: int, now: int) -> None:
        """Note whether a file that was read whole is as before, by its CRC-32 then (-1: unknown) and now."""
        first = self.sums().get(identity, before)
        if first not in (-1, now):
            self.note(identity, first)
        elif identity in self.sums():
            self._change({}, {identity})

    def keep(self, identities: set[str]) -> None:
        """Forget files that are gone, or were written since."""
        if gone := self.sums().keys() - identities:
            self._change({}, gone)

    def _change(self, more: Mapping[str, int], fewer: set[str]) -> None:
        # In a cache that cannot be written, the next reading finds it again.
        with suppress(OSError), locked(self._path):
            sums = dict(self.sums())
            sums.update(more)
            for identity in fewer:
                sums.pop(identity, None)
            content = json.dumps(sums)
            write_atomically(self._path, content.encode())


# --- Summaries ---------------------------------------------------------------
#
# What there is to say of an album without those below it, once all of its files were read. The cache
# keeps it, a file a folder, so that neither a start nor a page of a large album lists, stats and
# sorts thousands of files. A summary tells nothing of who may see what: only a folder has one whose
# files have no keywords, and in which nothing is a link.

LARGE_FOLDER = 2000  # files: to look at so many takes 30 ms
SUMMARY_BYTES = 100_000_000  # of 100,000 files: 4 MB
SEAL_BYTES = 32  # of HMAC with SHA-256


class Summary(NamedTuple):
    """What there is to say of an album without those below it. Names of files are joined by `/`."""

    facts: int  # as `Index.sum_of` tells of the files
    identities: list[str]  # of the files
    items: str  # in the order of the album's page
    newest: str  # items that came into the library last, the newest first
    rest: str  # files that are no items, such as the films of live photos
    others: str  # RAW files and the like
    albums: list[str]  # the names of the folders in it
    text: AlbumText
    photos: int
    videos: int
    first: dt.datetime | None  # date taken of the oldest item
    last: dt.datetime | None
    last_added: int
    cover: str  # the name of its file
    filmed: dt.datetime | None  # some date, in the zone of films that tell none


def names_in(text: str) -> list[str]:
    """Return the names of files in a summary."""
    return list(filter(None, text.split("/")))


def _date_in(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None


def summary_from(fields: Values) -> Summary:
    """Return a summary that was written as JSON."""
    identities = map(sys.intern, fields["identities"])  # the index has them, too
    return Summary(**fields)._replace(
        identities=list(identities),
        text=AlbumText(*fields["text"]),
        first=_date_in(fields["first"]),
        last=_date_in(fields["last"]),
        filmed=_date_in(fields["filmed"]),
    )


def file_now(name: str, folder: str) -> File:
    """Return a file of a folder as it is on disk now; without path and identity where it is gone.

    The same for a link, or a file with keywords, whatever a summary may say.
    """
    path = os.path.join(folder, name)
    keywords = parse_file_name(name).keywords
    with suppress(OSError):
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and keywords is NO_KEYWORDS:
            return file_of(name, path, status, keywords)
    return File(name, folder="", identity="", size=0, mtime=0, changed=0)


def is_rewritten(text: AlbumText, folder: str) -> bool:
    """Say whether an album.txt is no longer as it was when it was read."""
    return text_stamp(file_now(text.name, folder)) != text.written


class KeptFiles(Mapping[str, File]):
    """Files of which the names are known: each is looked at on disk when somebody asks for it."""

    def __init__(self, folder: str, names: str) -> None:
        self._folder = folder
        self._text = names

    @functools.cached_property
    def _names(self) -> dict[str, None]:
        return dict.fromkeys(names_in(self._text))

    def __getitem__(self, name: str) -> File:
        """Return a file as it is now. Raises KeyError."""
        if name not in self._names:
            raise KeyError(name)
        return file_now(name, self._folder)

    def __contains__(self, name: object) -> bool:
        """Say whether there was such a file, which is not looked at."""
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many files there are."""
        return len(self._names)


@dataclass(frozen=True, eq=False)
class KeptFolder(Folder):
    """A folder as its summary tells."""

    path: str = ""
    summary: Summary = field(kw_only=True)
    is_kept: ClassVar[bool] = True
    # How its items are listed, by address.
    lists: dict[Parts, Callable[[], Any]] = field(default_factory=dict)

    @property
    def is_large(self) -> bool:
        """Whether the background pass alone finds files that were written over, or read again."""
        return len(self.summary.identities) > LARGE_FOLDER

    @property
    def identities(self) -> list[str]:
        """The identities that the files had."""
        return self.summary.identities

    def is_like(self, other: Folder) -> bool:
        is_same = (self.stamp, self.text) == (other.stamp, other.text)
        return is_same and set(self.summary.identities) == set(other.identities)

    def may_differ(self) -> bool:
        has_files = bool(self.files or self.others)
        is_changed = is_rewritten(self.text, self.path)
        return is_changed or (has_files and not self.is_large)

    def plain_names(self) -> dict[str, str]:
        return {name: name for name in (*self.files, *self.others)}


def kept_folder(stamp: Identity | None, path: str, summary: Summary) -> KeptFolder:
    """Return the folder at a path that a summary tells of."""
    return KeptFolder(
        stamp=stamp,
        files=KeptFiles(path, f"{summary.items}/{summary.rest}"),
        albums={name: parse_name(name) for name in summary.albums},
        text=summary.text,
        others=KeptFiles(path, summary.others),
        path=path,
        summary=summary,
    )


class Summaries:
    """The summaries of folders in the cache. One thread keeps them; all may recall them.

    Each is sealed together with what it was made from, so that one that is damaged, cut short,
    outdated or of somebody else's making counts as none.
    """

    def __init__(self, root: Path, cache: Path) -> None:
        self._root = os.fspath(root)
        self._cache = cache
        secret = secrets.token_bytes(SEAL_BYTES)
        with suppress(StateError, OSError):  # then nothing is recalled
            secret = read_secret(cache.parent)
        self._key = hmac.digest(secret, b"photos summaries", "sha256")
        # Dates that files alone tell are in the server's time zone.
        self._basis = [__version__, *Summary._fields, self._root, *time.tzname]

    def _file(self, stamp: Identity) -> Path:
        """Return where the summary of a folder is kept."""
        return self._cache / f"summary-{stamp.inode:x}"

    def _seal(self, parts: Parts, state: Key, content: bytes) -> bytes:
        """Return the seal of a summary of a folder by its `exact_identity`."""
        head = json.dumps([*self._basis, *parts, *state])
        return hmac.digest(self._key, head.encode("ascii") + content, "sha256")

    def recall(self, parts: Parts) -> KeptFolder | None:
        """Return a folder as its summary tells; None: there is none for the folder as it is now."""
        path = os.path.join(self._root, *parts)
        try:
            status = os.stat(path)
            stamp = identity_in(status)
            with open(self._file(stamp), "rb", opener=open_regular) as file:
                seal = file.read(SEAL_BYTES)
                content = file.read(SUMMARY_BYTES)
        except OSError:
            return None
        expected = self._seal(parts, exact_identity(status), content)
        if not hmac.compare_digest(seal, expected):
            return None
        summary = summary_from(json.loads(content))
        if is_rewritten(summary.text, path):
            return None
        albums = (os.path.join(path, name) for name in summary.albums)
        if any(map(os.path.islink, albums)):  # whatever the summary may say
            return None
        return kept_folder(stamp, path, summary)

    def keep(
        self, parts: Parts, stamp: Identity, changed: int, summary: Summary
    ) -> KeptFolder:
        """Write the summary of a folder, and return the folder as the summary tells.

        `stamp` and `changed` are those of its listing: if it has changed since, the seal is not valid.
        """
        path = os.path.join(self._root, *parts)
        text = json.dumps(summary._asdict(), default=str)
        content = text.encode()
        state = *stamp, changed  # the ctime is set by each change, the mtime is not
        seal = self._seal(parts, state, content)
        with suppress(OSError):  # such as of a cache that is full, or read only
            file = self._file(stamp)
            file.write_bytes(seal + content)  # of half of which the seal is not valid
            give_to_owner(os.fspath(file))
        return kept_folder(stamp, path, summary)

    def prune(self, stamps: Iterable[Identity | None]) -> None:
        """Delete the summaries of all folders but these."""
        names = {f"summary-{stamp.inode:x}" for stamp in stamps if stamp}
        for path in self._cache.glob("summary-*"):
            if path.name not in names:
                with suppress(OSError):
                    path.unlink()


# --- Albums ------------------------------------------------------------------

READ_PATIENCE = 0.6  # seconds that an album page waits for files that were never read
LOOKING_PATIENCE = 0.4  # likewise, for albums below that nobody looked at since the start
FEED_ITEMS = 50
VERSION_DIGITS = 8  # of a key: one change in four billion keeps an address
COVER_PHOTOS = 8  # of which the most colourful one is the cover
COVER_WIDTH = 2.2  # times its height, above which a photo is too wide for a cover
ALBUMS_LISTED = 64  # with their items in memory
# Seconds until what failed is tried again, at first; four times as long each time. A worker may have
# been killed where the machine was short of memory, and a full disk may have room in a moment.
FAILURE_PAUSES = {NEVER: math.inf, AT_START: 120.0, AT_ONCE: 1.0}
LONGEST_FAILURE = 86400.0
FAILURES_KEPT = 10_000
IN_HAND = 256  # files of the background pass that workers are asked for at once
MADE_AHEAD = [purpose for purpose in Purpose if purpose is not Purpose.FULL]


def kind_of(file: File, info: Info | None) -> str:
    """Return the kind of a file by its content, and by its suffix where that is all that is known."""
    if info and info.kind:
        return info.kind
    return expected_kind(file.plain_name)


@dataclass(frozen=True, slots=True)
class Item:
    """A photo or video of an album; with `film`, a live photo. `info` is None until it was read."""

    address: Parts
    file: File
    info: Info | None
    film: File | None = None
    caption: str = ""
    raws: tuple[File, ...] = ()  # of the same shot, which somebody may find, too
    zone: dt.tzinfo | None = None  # of its album, for a film that tells none

    @property
    def kind(self) -> str:
        """PHOTO, VIDEO or another kind."""
        return kind_of(self.file, self.info)

    @property
    def facts(self) -> Info:
        """What is known of its file: nothing until it was read."""
        return self.info or Info()

    @property
    def is_shown(self) -> bool:
        return self.kind in (PHOTO, VIDEO)

    @property
    def title(self) -> str:
        return display(self.file.name)

    @property
    def title_of_album(self) -> str:
        """The title of the album that it lies in; '': the library."""
        return display("".join(self.address[-2:-1]))

    @property
    def key(self) -> str:
        """The key of its content, '' until it was read."""
        return self.facts.key

    @property
    def version(self) -> str:
        """What its addresses change by with its content, '' until it was read."""
        return self.key[:VERSION_DIGITS]

    @property
    def is_live(self) -> bool:
        """Whether a film belongs to the photo: in a file of its own, or inside the photo's."""
        return self.film is not None or self.facts.film_bytes > 0

    @property
    def has_picture(self) -> bool:
        """Whether renditions exist or can be made, as far as is known."""
        return self.info is None or self.info.has_picture

    @property
    def added(self) -> int:
        """When it came into the library, s since the epoch."""
        return int(plausible(self.facts.added or self.file.changed))

    def _told_dates(self) -> Iterator[dt.datetime | None]:
        yield date_told(self.facts, self.title, self.zone)
        yield date_in_name(self.title)
        if self.facts.written:
            yield dt.datetime.fromisoformat(self.facts.written)

    @property
    def told(self) -> dt.datetime | None:
        """When it was taken, as its metadata tell, else its name, else EXIF's DateTime; or None."""
        return first_date(self._told_dates())

    @property
    def taken(self) -> dt.datetime:
        """When it was taken, local time; where nothing tells that, the file's mtime in ms."""
        return self.told or local_time(round(self.file.mtime, 3))


class KeptItems(Sequence[Item]):
    """The items of which a summary tells: each is made when somebody asks for it."""

    def __init__(self, summary: Summary, make: Callable[..., Item]) -> None:
        self._summary = summary
        self._make = make

    @functools.cached_property
    def names(self) -> list[str]:
        """The names of their files."""
        return names_in(self._summary.items)

    def newest(self) -> list[Item]:
        """Return those that were added last, the newest first."""
        return list(map(self._make, names_in(self._summary.newest)))

    def __len__(self) -> int:
        """Return how many items there are."""
        return len(self.names)

    def __iter__(self) -> Iterator[Item]:
        """Make all items, one after the other."""
        return (self._make(name, once=True) for name in self.names)

    def __getitem__(self, at: Any) -> Any:
        """Make the item at a place, or the items in a slice."""
        if isinstance(at, slice):
            return tuple(map(self._make, self.names[at]))
        return self._make(self.names[at])


def names_of(items: Sequence[Item]) -> list[str]:
    """Return the names of the files of items."""
    if isinstance(items, KeptItems):
        return items.names
    return [item.file.name for item in items]


_added = operator.attrgetter("added")


def newest_of(items: Sequence[Item]) -> list[Item]:
    """Return the items that were added last, the newest first. Only what was read counts."""
    if isinstance(items, KeptItems):
        return items.newest()
    read = (item for item in items if item.info)
    return heapq.nlargest(FEED_ITEMS, read, key=_added)


ListItems: TypeAlias = Callable[[], Sequence[Item]]


@dataclass(frozen=True)
class Album:
    """An album as somebody finds it: counts, dates and cover hold only what that principal may find."""

    address: Parts
    title: str
    description: str
    rule: Rule
    list_items: ListItems  # oldest first, or by name; another one after each change
    albums: tuple[Album, ...]  # newest first
    photos: int  # with those of all albums below
    videos: int
    first: dt.datetime | None  # date taken of the oldest item
    last: dt.datetime | None
    # When the last item came into the library, s since the epoch; 0: none did.
    last_added: int
    cover: Item | None
    # Whether all but the albums below is what a summary tells.
    is_as_kept: bool = field(default=False, compare=False)

    @property
    def items(self) -> Sequence[Item]:
        """The photos and videos of the album itself: in memory, or listed now."""
        return self.list_items()

    def may_differ(self, folder: Folder, changed: set[str]) -> bool:
        """Say whether what was told of changed files makes another album of a folder."""
        # What a large folder's summary told holds until the background pass keeps another one.
        waits = self.is_as_kept and isinstance(folder, KeptFolder) and folder.is_large
        return not waits and not changed.isdisjoint(folder.identities)

    @property
    def is_empty(self) -> bool:
        return self.photos + self.videos == 0


def is_live(photo: Info, film: Info) -> bool:
    """Say whether a photo and a film of one name are one moment, by what was read of them."""
    if film.kind != VIDEO or photo.kind not in (PHOTO, ""):
        return False
    if photo.content_id and film.content_id:
        return photo.content_id == film.content_id
    if not 0 < film.duration <= LIVE_SECONDS:
        return False
    taken = photo.taken or photo.written
    if not taken or not film.taken:
        return True
    return is_same_moment(taken, film.taken, LIVE_TOLERANCE)


def is_pair(photo: File, film: File, index: Index) -> bool:
    """Say whether a film of a photo's name belongs to it, as far as both were read."""
    # Who may see the photo may see it move.
    if film.keywords not in (NO_KEYWORDS, photo.keywords):
        return False
    facts = index.get(film.identity)
    if facts is None:
        # Most such films are short: the others do not come and go while an album is read.
        return film.size <= LIVE_BYTES
    return is_live(index.get(photo.identity) or Info(), facts)


def photo_of(film: File, folder: Folder, index: Index) -> str:
    """Return the name of the live photo whose film a file is; '': it is an item of its own."""
    shot = folder.shot(film.name)
    names = (shot.photos or shot.edited) if film.name in shot.films else ()
    pairs = (name for name in names if is_pair(folder.files[name], film, index))
    return next(pairs, "")


def told_zone(items: Iterable[Item]) -> dt.tzinfo | None:
    """Return the time zone that most items tell; None: no item tells one."""
    zones = Counter(zone_told(item.facts, item.title) for item in items)
    del zones[None]
    return next((zone for zone, _ in zones.most_common(1)), None)


def usual_zone(items: Sequence[Item]) -> dt.tzinfo:
    """Return the time zone for cameras that tell none: of most items, else of the server's films."""
    shown = (item.taken.tzinfo for item in items if item.facts.taken)
    return told_zone(items) or next(filter(None, shown), dt.UTC)


def instant(date: dt.datetime, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """Return a date as one that can be compared with all others; `zone` where it tells none."""
    if date.tzinfo:
        return date
    return date.replace(tzinfo=zone)


def name_order(item: Item) -> Key:
    """Return a sort key by which items are in the natural order of their names."""
    return natural(item.file.name)


def sort_by_date(items: Sequence[Item]) -> Iterator[Item]:
    """Yield items, the oldest first; those of one moment by their names."""
    dates = [item.taken for item in items]
    zone: dt.tzinfo = dt.UTC
    if not all(date.tzinfo for date in dates):
        zone = usual_zone(items)
    moments: dict[dt.datetime, list[Item]] = {}
    for item, date in zip(items, dates, strict=True):
        moments.setdefault(instant(date, zone), []).append(item)
    # Numbers: two dates with zones of their own take ten times as long to compare.
    for moment in sorted(moments, key=dt.datetime.timestamp):
        together = moments[moment]
        if len(together) > 1:
            together.sort(key=name_order)
        yield from together


def last_instant(album: Album) -> dt.datetime:
    """Return when the newest item of an album was taken, as albums are sorted by it."""
    return instant(album.last or dt.datetime.min)


def fits_as_cover(item: Item) -> bool:
    """Say whether a photo has the shape of a cover, is whole, and is none of a screen."""
    info = item.facts
    is_of_screen = info.media_type == "image/png" and not info.camera
    if info.problem or is_of_screen or "screenshot" in item.title.casefold():
        return False
    return item.kind == PHOTO and info.height <= info.width <= COVER_WIDTH * info.height


def choose_cover(items: Iterable[Item], named: str = "") -> Item | None:
    """Return the photo that album.txt names, else `cover.*`, else the most colourful of the first.

    Only photos with a picture count, and undamaged ones go first.
    """
    shown = [item for item in items if item.has_picture]

    def rank(item: Item) -> tuple[bool, bool, bool]:
        is_named = item.file.name == named
        stem, _ = os.path.splitext(item.file.plain_name)
        return not is_named, stem.casefold() != "cover", item.facts.problem != ""

    best = min(shown, key=rank, default=None)
    if best is None or False in rank(best)[:2]:  # the owner's choice
        return best
    # Of the oldest photos, so that the next one that comes changes nothing.
    fit = filter(fits_as_cover, shown[:COVER_PHOTOS])
    return max(fit, key=lambda item: item.facts.spread, default=best)


def which_tells_more(before: Info, info: Info, purpose: Purpose) -> Info:
    """Return what two looks at a file tell of it together, the second one for a purpose."""
    was_decoded = info.colour != "" or info.no_poster or info.problem != ""
    if not was_decoded and before.key:
        return before
    if not was_decoded:
        # An earlier worker died of the pixels before it had told any facts.
        return replace(info, problem=before.problem, retry=before.retry)
    if info.problem == "" or info.partial:
        return info
    if purpose is Purpose.FULL:
        return before  # the smaller renditions may well be made
    if before.key:  # the facts were read well
        return replace(before, problem=info.problem, partial=False, retry=info.retry)
    return info


def merge_infos(before: Info, info: Info, purpose: Purpose) -> Info:
    """Return what is known of a file after one more look at it, for a purpose."""
    changed = info.changed or before.changed
    if before.retry != NEVER and before.changed not in (0, changed):
        return replace(info, added=before.added)  # it may be readable by now
    sums = info if info.crc >= 0 else before  # not every look notes them
    return replace(
        which_tells_more(before, info, purpose),
        changed=changed,
        added=before.added,
        crc=sums.crc,
        crc_without_place=sums.crc_without_place,
    )


class Failure(NamedTuple):
    """Why something could not be made of a file, and until when nobody has it tried again."""

    problem: str
    pause: float  # seconds
    until: float  # on the monotonic clock


def _done(file: File, future: Future[Info]) -> File:
    """Wait for what workers do with a file, and return the file."""
    future.exception()
    return file


def summary_of(album: Album, folder: Folder, facts: int) -> Summary:
    """Return what there is to keep of an album without those below it."""
    names = names_of(album.items)
    newest = newest_of(album.items)
    rest = folder.files.keys() - set(names)
    zones = (item.zone for item in album.items if item.zone)
    films = (dt.datetime(2000, 1, 1, tzinfo=zone) for zone in zones)
    cover = album.cover
    return Summary(
        facts=facts,
        identities=folder.identities,
        items="/".join(names),
        newest="/".join(names_of(newest)),
        rest="/".join(rest),
        others="/".join(folder.others),
        albums=list(folder.albums),
        text=folder.text,
        photos=album.photos,
        videos=album.videos,
        first=album.first,
        last=album.last,
        last_added=album.last_added,
        cover=cover.file.name if cover else "",
        filmed=next(films, None),
    )


class DerivedAlbum(NamedTuple):
    """An album without those below it, with what it was derived from."""

    place: Place
    changes: int  # of the index, up to which the album is as if it were derived anew
    album: Album
    principal: Principal  # who asked for it last

    def is_current(self, place: Place, principal: Principal, index: Index) -> bool:
        """Say whether the album is as if it were derived now."""
        changed = index.changed_since(self.changes)
        is_same_folder = self.place.folder is place.folder
        is_same_address = self.place.address == place.address
        is_same = is_same_folder and is_same_address and self.place.now == place.now
        if not is_same or changed is None or not principal.finds_as(self.principal):
            return False
        return not self.album.may_differ(place.folder, changed)


class KeptAlbum(NamedTuple):
    """An album with those below it, and what it was made from."""

    album: Album
    place: Place
    below: tuple[KeptAlbum, ...]  # those without items, too

    def is_for(self, place: Place, rule: Rule) -> bool:
        """Say whether the album is that of a place, as far as one can tell without those below."""
        is_same_folder = self.place.folder is place.folder
        return is_same_folder and self.place == place and self.album.rule == rule


@dataclass
class Survey:
    """A look at an album and at all below it, by somebody."""

    principal: Principal
    changes: int  # of the index, before that look
    # On the monotonic clock, s: what was never looked at is left out from then on.
    deadline: float
    # All albums, as the last look found them.
    before: Mapping[Parts, KeptAlbum] = field(default_factory=dict)
    outdated: Container[Parts] = ()  # those of them that changed, and those above
    albums: dict[Parts, KeptAlbum] = field(default_factory=dict)  # by this look
    is_whole: bool = True  # whether nothing was left out
    # How all folders below were listed, as long as no other listing is the latest.
    listings: list[Listing] = field(default_factory=list)
    latest: Listing | None = None

    @property
    def has_time(self) -> bool:
        """Whether the deadline has not come yet."""
        return time.monotonic() < self.deadline

    def keep(self, kept: KeptAlbum) -> KeptAlbum:
        """Note an album, with those below it, that is as it was before."""
        self.albums[kept.place.parts] = kept
        for child in kept.below:
            self.keep(child)
        return kept


# --- Library -----------------------------------------------------------------

Scoped: TypeAlias = tuple[Parts, str]  # a folder, for the scope of a principal


class Library:
    """The albums below a root folder, as a principal finds them. Thread-safe."""

    def __init__(
        self,
        root: Path,
        cache: Path,
        *,
        follow_symlinks: bool = False,
        workers: int = WORKERS,
        circumstances: Callable[[], Circumstances] = default_circumstances,
        cache_share: int = CACHE_SHARE,
    ) -> None:
        self.folders = Folders(
            root, cache.parent, follow_symlinks=follow_symlinks, circumstances=circumstances
        )
        self.cache = cache
        self.index = Index(cache)
        self.damaged = Damaged(cache)
        self.summaries = Summaries(root, cache)
        self.folders.recall = self.summaries.recall
        self.cache_share = cache_share  # percent of its disk
        self.is_full = False  # whether the last rendition could not be written
        self.renderings = 0  # since the start
        self.last_used: dict[str, float] = {}  # full-size renditions, s since the epoch
        self._renderer = Renderer(cache, workers, self._learn)
        # What is in an album is decided by its folder and the principal's scope together.
        self._derived: dict[Scoped, DerivedAlbum] = {}
        self._surveys: dict[tuple[Parts, Parts, str], Survey] = {}
        # How the items of an album are listed, and the items; the albums asked for last stand last.
        self._listed: dict[Scoped, tuple[ListItems, Sequence[Item]]] = {}
        self._failures: dict[tuple[str, Purpose], Failure] = {}
        self._deriving_locks: dict[Scoped, threading.Lock] = {}
        self._threads_waiting = threading.BoundedSemaphore(WAITING_THREADS)
        self._full_waiting = threading.BoundedSemaphore(HEAVY_AT_ONCE)

    def close(self) -> None:
        """Stop the workers; all who wait for a rendition get Busy."""
        self._renderer.close()

    @property
    def is_away(self) -> bool:
        """Whether the library's disk seems to be away: it is missing, or empty and was not."""
        folder = self.folders.listing(())
        is_empty = not folder.files and not folder.albums
        return folder.stamp is None or (is_empty and self.index.count > 0)

    def album(
        self,
        place: Place,
        principal: Principal,
        *,
        patience: float = 0,
        looking: float = math.inf,
    ) -> Album:
        """Return the album at a place as somebody finds it; empty albums below are left out.

        Its files that were never read are read first, for `patience` seconds at most. The albums
        below that nobody has looked at since the start are left out after `looking` seconds. The
        caller has decided that the principal may open the place.
        """
        place = place._replace(folder=self.folders.listing(place.parts, fresh=True))
        key = place.parts, place.address, principal.scope
        before = self._surveys.get(key)
        changes = self.index.changes
        outdated = before and self._outdated(before, place, principal)
        if before and outdated == set():
            before.changes = changes
            return before.albums[place.parts].album
        leave_to_thread()
        if patience:
            self._read(place.folder, patience)
        survey = Survey(principal, changes, deadline=time.monotonic() + looking)
        if before and outdated:
            survey.before = before.albums
            survey.outdated = outdated
        album = self._with_albums(place, place.rule, survey).album
        survey.before = {}  # which leaves the memory
        # A file that is still being copied is tried again at the next look.
        if survey.is_whole and not self._unread(place.folder):
            self._surveys[key] = survey
        return album

    def _outdated(
        self, survey: Survey, place: Place, principal: Principal
    ) -> set[Parts] | None:
        """Return the folders that changed since a survey, with those above; None: perhaps all."""
        root = survey.albums[place.parts]
        changed = self.index.changed_since(survey.changes)
        is_of_now = root.place.now == place.now
        if changed is None or not is_of_now or not principal.finds_as(survey.principal):
            return None
        outdated = self._listed_anew(survey, root)
        if not root.is_for(place, place.rule):
            outdated.append(place.parts)
        if changed:  # else a thousand albums need not be asked
            for parts, kept in survey.albums.items():
                if kept.album.may_differ(kept.place.folder, changed):
                    outdated.append(parts)
        top = len(place.parts)
        return {parts[:depth] for parts in outdated for depth in range(top, len(parts) + 1)}

    def _listed_anew(self, survey: Survey, root: KeptAlbum) -> list[Parts]:
        """Return the folders below the root of a survey that changed since: one stat each."""
        latest = self.folders.latest
        is_latest = survey.latest is latest and survey.listings
        if is_latest and are_as_listed(survey.listings):
            return []
        below = [kept.place for kept in survey.albums.values() if kept is not root]
        anew = []
        for place in below:
            if self.folders.listing(place.parts) is not place.folder:
                anew.append(place.parts)
        if not anew:
            survey.latest = latest
            survey.listings = self.folders.as_listed(below)
        return anew

    def _with_albums(self, place: Place, rule: Rule, survey: Survey) -> KeptAlbum:
        """Return an album with all below it that somebody may find."""
        before = survey.before.get(place.parts)
        if before and not before.is_for(place, rule):
            before = None
        if before and place.parts not in survey.outdated:
            return survey.keep(before)
        own = self._own_in_time(place, survey)
        children = tuple(self._albums_in(place, before, survey))
        below = [child.album for child in children if not child.album.is_empty]
        kept = KeptAlbum(self._compose(own, rule, below), place, children)
        survey.albums[place.parts] = kept
        return kept

    @staticmethod
    def _compose(own: Album, rule: Rule, below: list[Album]) -> Album:
        """Return an album of which the part without those below it is known, and those below."""
        below.sort(key=last_instant, reverse=True)
        everything = [own, *below]
        firsts = [album.first for album in everything if album.first]
        lasts = [album.last for album in everything if album.last]
        covers = [album.cover for album in everything if album.cover]
        return replace(
            own,
            rule=rule,
            albums=tuple(below),
            photos=sum(album.photos for album in everything),
            videos=sum(album.videos for album in everything),
            first=min(firsts, key=instant, default=None),
            last=max(lasts, key=instant, default=None),
            last_added=max(album.last_added for album in everything),
            cover=next(iter(covers), None),
        )

    def _albums_in(
        self, place: Place, before: KeptAlbum | None, survey: Survey
    ) -> list[KeptAlbum]:
        """Return the albums in another one; `before`: as it was, if its folder has not changed."""
        if before:
            return [self._once_more(place, child, survey) for child in before.below]
        names = sorted(place.folder.albums, key=natural)
        in_turn = names
        if survey.deadline < math.inf:
            in_turn = self.folders.newest_first(place.parts, names)
        children = {}
        for name in in_turn:
            # Of its own name alone: in a hidden album, which somebody has opened by a link,
            # what says no more is found.
            rule = place.folder.albums[name].keywords.rule(place.now)
            parts = (*place.parts, name)
            if not may_find(survey.principal, rule):
                continue
            if survey.has_time or self.folders.is_at_hand(parts):
                child = self.folders.album_place(place, name, survey.principal)
                children[name] = self._with_albums(child, rule, survey)
            else:
                survey.is_whole = False
        return [children[name] for name in names if name in children]

    def _once_more(self, place: Place, child: KeptAlbum, survey: Survey) -> KeptAlbum:
        """Return an album in another one that has not changed."""
        parts = child.place.parts
        if parts not in survey.outdated:
            return survey.keep(child)
        again = self.folders.album_place(place, parts[-1], survey.principal)
        return self._with_albums(again, child.album.rule, survey)

    def _own_in_time(self, place: Place, survey: Survey) -> Album:
        """Return an album without those below it; where time is over, as a summary told it once."""
        principal, folder = survey.principal, place.folder
        is_known = (place.parts, principal.scope) in self._derived
        may_take_long = not is_known and not principal.only_adds
        if may_take_long and not survey.has_time and isinstance(folder, KeptFolder):
            survey.is_whole = survey.is_whole and self._is_valid(folder.summary)
            return self._recalled(place, folder)
        return self._own_album(place, principal)

    def _own_album(self, place: Place, principal: Principal) -> Album:
        """Return an album without those below it, derived again only after a change."""
        key = place.parts, principal.scope
        with self._deriving_locks.setdefault(key, threading.Lock()):
            derived = self._derived.get(key)
            changes = self.index.changes
            if derived and derived.is_current(place, principal, self.index):
                album = derived.album
            else:
                album = self._derive(place, principal)
            self._derived[key] = DerivedAlbum(place, changes, album, principal)
            return album

    def _derive(self, place: Place, principal: Principal) -> Album:
        folder = place.folder
        finds_all = not principal.only_adds
        if finds_all and isinstance(folder, KeptFolder) and self._is_valid(folder.summary):
            return self._recalled(place, folder)
        list_again = partial(self._items, place, principal)
        key = place.parts, principal.scope
        list_items = partial(self._list_items, key, list_again)
        return self._album_of(place, list_items)

    def _album_of(self, place: Place, list_items: ListItems) -> Album:
        """Return the album without those below it that the items of a place are."""
        items = list_items()
        photos = sum(item.kind == PHOTO for item in items)
        by_date: Sequence[Item] = items
        if place.folder.text.is_sorted_by_name:
            by_date = [*sort_by_date(items)]
        return Album(
            address=place.address,
            title=self.folders.title_of(place.parts, place.folder),
            description=place.folder.text.description,
            rule=place.rule,
            list_items=list_items,
            albums=(),
            photos=photos,
            videos=len(items) - photos,
            first=next((item.taken for item in by_date), None),
            last=next((item.taken for item in reversed(by_date)), None),
            last_added=max((item.added for item in items), default=0),
            cover=choose_cover(items, place.folder.text.cover),
        )

    def _recalled(self, place: Place, folder: KeptFolder) -> Album:
        """Return an album without those below it as its summary tells."""
        summary = folder.summary
        make = partial(self._kept_item, place, folder)
        items = KeptItems(summary, make)
        # The same one for whoever asks: the dates and words of its items are read once for all.
        list_items = folder.lists.setdefault(place.address, lambda: items)
        return Album(
            address=place.address,
            title=self.folders.title_of(place.parts, folder),
            description=folder.text.description,
            rule=place.rule,
            list_items=list_items,
            albums=(),
            photos=summary.photos,
            videos=summary.videos,
            first=summary.first,
            last=summary.last,
            last_added=summary.last_added,
            cover=self._kept_cover(place, folder),
            is_as_kept=True,
        )

    def _kept_item(
        self, place: Place, folder: KeptFolder, name: str, *, once: bool = False
    ) -> Item:
        """Return an item of a kept folder, its file looked at now; `once`: nobody asks for it again."""
        file = file_now(name, folder.path)
        info = self.index.get(file.identity, once=once)
        item = self._item_of(place, file, info, VISITOR)
        filmed = folder.summary.filmed
        if filmed is None or item.kind != VIDEO:
            return item
        return replace(item, zone=filmed.tzinfo)

    def _kept_cover(self, place: Place, folder: KeptFolder) -> Item | None:
        name = folder.summary.cover
        if name == "":
            return None
        file = file_now(name, folder.path)
        info = self.index.get(file.identity)
        return Item(address=(*place.address, name), file=file, info=info)

    def summarise(self, folders: Walked) -> None:
        """Keep the folders that were read whole, as the background pass has listed them."""
        has_more = False
        for parts, folder in folders:
            listing = self.folders.certain(parts)
            if listing and self._needs_summary(listing.folder, folder):
                self._summarise(parts, folder, listing)
                has_more = True
        if has_more:
            self._surveys.clear()  # so that files leave the memory

    def _needs_summary(self, current: Folder, folder: Folder) -> bool:
        """Say whether a folder has no valid summary, was read whole, and is alike for everybody."""
        is_valid = isinstance(current, KeptFolder) and self._is_valid(current.summary)
        has_changed = current is not folder and not current.is_kept
        if is_valid or has_changed or folder.has_links or folder.problem:
            return False
        names = folder.plain_names()
        has_keywords = list(names) != list(names.values())
        return not has_keywords and self._unread(folder) == []

    def _is_valid(self, summary: Summary) -> bool:
        """Say whether the index tells of a folder's files what its summary was made from."""
        return self.index.sum_of(summary.identities) == summary.facts

    def _summarise(self, parts: Parts, folder: Folder, listing: Listing) -> None:
        """Keep the summary of a folder, and have its files leave the memory."""
        stamp = listing.folder.stamp
        facts = self.index.sum_of(folder.identities)
        if stamp is None or facts is None:
            return
        now = self.folders.circumstances()
        place = Place(parts, (), NO_KEYWORDS, Rule(), folder, now)
        items = self._items(place, VISITOR, once=True)
        summary = summary_of(self._album_of(place, lambda: items), folder, facts)
        kept = self.summaries.keep(parts, stamp, listing.changed, summary)
        self.folders.keep(parts, listing, kept)
        for albums in (self._derived, self._listed):
            for key in [key for key in list(albums) if key[0] == parts]:
                albums.pop(key, None)

    def _list_items(self, key: Scoped, list_again: ListItems) -> Sequence[Item]:
        """Return the items of an album from memory where it was asked for lately, or list them."""
        former, items = self._listed.get(key, (None, ()))
        if former is not list_again:
            leave_to_thread()
            items = list_again()
        self._listed.pop(key, None)
        self._listed[key] = list_again, items
        for other in list(self._listed)[:-ALBUMS_LISTED]:
            self._listed.pop(other, None)
        return items

    def _items(
        self, place: Place, principal: Principal, *, once: bool = False
    ) -> tuple[Item, ...]:
        """Return the items of a folder that were read, in order; `once`: nobody asks for them again."""
        folder = place.folder
        items = []
        for file in folder.files.values():
            info = self.index.get(file.identity, once=once)
            item = self._item_of(place, file, info, principal)
            photo = folder.files.get(photo_of(file, folder, self.index))
            # In an inbox, the photo may be another guest's.
            is_part = photo and not is_withheld_from(principal, photo.identity)
            rule = file.keywords.rule(place.now)
            if item.is_shown and not is_part and may_find(principal, rule, file.identity):
                items.append(item)
        films = [at for at, item in enumerate(items) if item.kind == VIDEO]
        zone = told_zone(items) if films else None
        for at in films:
            items[at] = replace(items[at], zone=zone)
        if folder.text.is_sorted_by_name:
            return tuple(sorted(items, key=name_order))
        return tuple(sort_by_date(items))

    def _item_of(
        self, place: Place, file: File, info: Info | None, principal: Principal
    ) -> Item:
        """Return the item that a file of an album is. album.txt goes before the file's own caption."""
        folder, facts = place.folder, info or Info()
        shot = folder.shot(file.name)
        films = (folder.files[name] for name in shot.films)
        pairs = (film for film in films if photo_of(film, folder, self.index) == file.name)
        film = next(pairs, None)
        if film and is_withheld_from(principal, film.identity):
            film = None
        raws = []
        for name in shot.raws:
            raw = folder.others[name]
            rule = raw.keywords.rule(place.now)
            if file.name in shot.photos and may_find(principal, rule, raw.identity):
                raws.append(raw)
        return Item(
            address=(*place.address, file.name),
            file=file,
            info=info,
            film=film,
            caption=folder.text.captions.get(file.name, facts.caption),
            raws=tuple(raws),
        )

    def item(
        self, place: Place, purpose: Purpose = Purpose.FACTS, principal: Principal = VISITOR
    ) -> Item | None:
        """Return the item at a place, its file looked at and read now; None: it is no item."""
        if place.file is None or place.file.name in place.folder.others:
            return None
        read = self.read(place, purpose)
        if read is None:
            return None
        album = place._replace(address=place.address[:-1])
        item = self._item_of(album, *read, principal)
        if not item.is_shown:
            return None
        return item

    def read(
        self, place: Place, purpose: Purpose = Purpose.FACTS
    ) -> tuple[File, Info] | None:
        """Return the file at a place and what it holds, looked at and read now; None: it is gone.

        A file that was never read is read for `purpose`, so that its thumbnail costs one request.
        """
        file = place.file
        if file and not place.folder.is_kept:  # whose files were looked at just now
            file = look_again(file)
        if file is None or file.identity == "":
            return None
        info = self.index.get(file.identity)
        if info and not file.is_as_read(info):
            self._wait(self._submit(file, Purpose.FACTS, Urgency.NOW))
            info = self.index.get(file.identity)
        if info is None:
            if self.failure(file, purpose):
                purpose = Purpose.FACTS
            info = self._wait(self._submit(file, purpose, Urgency.NOW))
            # The worker may have died of the pixels, before it told any facts.
            if info.key == "" and info.retry == AT_START:
                info = self._wait(self._submit(file, Purpose.FACTS, Urgency.NOW))
        return file, info

    def album_around(self, place: Place, principal: Principal) -> Album | None:
        """Return the album that a file lies in, as somebody finds it; None: it may not be opened."""
        around = self.folders.locate(place.address[:-1], principal)
        if around is None:
            return None
        return self.album(around, principal, patience=READ_PATIENCE)

    def recent_items(self, place: Place, principal: Principal) -> list[Item]:
        """Return the items added last of all that somebody finds from an album on, newest first."""
        newest: list[Item] = []
        waiting = [self.album(place, principal)]
        while waiting:
            waiting.sort(key=lambda album: album.last_added)
            album = waiting.pop()
            if len(newest) == FEED_ITEMS and newest[-1].added >= album.last_added:
                break
            waiting += album.albums
            newest += newest_of(album.items)
            newest = heapq.nlargest(FEED_ITEMS, newest, key=_added)
        return newest

    def walk(self, as_seen: Recall = lambda parts: None) -> Walked:
        """Return all folders, those with the newest files first; `as_seen`: as `Folders.walk` asks it."""
        folders = self.folders.walk(as_seen)
        for key in list(self._derived):
            if self.folders.is_forgotten(key[0]):
                self._derived.pop(key, None)
                self._deriving_locks.pop(key, None)
        return folders

    def flags(self) -> list[tuple[str, Flag]]:
        """Return whose names the owner should look at: path and why, in natural order."""
        now = self.folders.circumstances()
        flags = []
        for place in self.places():
            named: dict[str, File] = {}
            if not place.folder.is_kept:  # in which no file has keywords
                named = {**place.folder.files, **place.folder.others}
            for name, file in named.items():
                flag = None if file.keywords.is_understood else flag_of(name, now)
                if flag:
                    path = "/".join((*place.parts, name))
                    flags.append((display(path), flag))
            flag = flag_of(place.parts[-1], now) if place.parts else None
            is_private = place.rule.visibility == Visibility.PRIVATE
            # What lies in a private album is as private as its name may have meant.
            if flag and not (flag.kind == "looks_private" and is_private):
                flags.append((display("/".join(place.parts)), flag))
        return sorted(flags, key=lambda pair: natural(pair[0]))

    def inboxes(self) -> list[tuple[str, int]]:
        """Return the inboxes that hold files: path, and number of files."""
        inboxes = []
        for place in self.places():
            count = len(place.folder.files)
            if count and place.rule.is_inbox:
                path = display("/".join(place.parts))
                inboxes.append((path, count))
        return sorted(inboxes)

    def places(self) -> Iterator[Place]:
        """Yield the library and all albums below it."""
        now = self.folders.circumstances()
        waiting = [self.folders.root_place(now)]
        while waiting:
            place = waiting.pop()
            yield place
            for name in place.folder.albums:
                waiting.append(self.folders.album_place(place, name, VISITOR))

    def unlisted(self, place: Place, principal: Principal) -> Iterator[Place]:
        """Yield the albums and items below a place that somebody may open and does not find."""
        for name in sorted(place.folder.albums, key=natural):
            child = self.folders.album_place(place, name, principal)
            if may_open(principal, child.rule):
                own_rule = place.folder.albums[name].keywords.rule(place.now)
                if not may_find(principal, own_rule):
                    yield child
                yield from self.unlisted(child, principal)
        for name in sorted(place.folder.files, key=natural):
            own_rule = place.folder.files[name].keywords.rule(place.now)
            if not may_find(principal, own_rule):
                file = self.folders.locate((*place.address, name), principal)
                if file and self.item(file):
                    yield file

    # Reading and rendering

    def _submit(
        self,
        file: File,
        purpose: Purpose,
        urgency: Urgency,
        is_watched: Condition = lambda: True,
        name: str = "",
    ) -> Future[Info]:
        leave_to_thread()
        info = self.index.get(file.identity, once=True)
        if purpose is Purpose.FACTS and info and info.key and info.retry == NEVER:
            # Tells whether it still is what was read, also where a write set its mtime back.
            purpose = Purpose.KEY
        return self._renderer.submit(
            file.identity, file.path, purpose, urgency, is_watched, name
        )

    def prepare(self) -> None:
        """Have the workers start now where no file was read yet: the first visitor waits for them."""
        folder = self.folders.listing(())
        has_files = bool(folder.albums or folder.files)
        if self.index.count == 0 and has_files:
            self._renderer.prepare()

    def rests(self, file: File) -> bool:
        """Say whether a file has taken too long, and is not tried again yet."""
        return self._renderer.rests(file.identity)

    def run(self, files: Iterable[File], purpose: Purpose) -> Iterator[File]:
        """Have files read or rendered in the background; yield each when it is done. Raises Busy."""
        waiting: deque[tuple[File, Future[Info]]] = deque()
        for file in files:
            future = self._submit(file, purpose, Urgency.LATER)
            waiting.append((file, future))
            if len(waiting) > IN_HAND:
                yield _done(*waiting.popleft())
        yield from itertools.starmap(_done, waiting)

    def _learn(self, job: Job, info: Info) -> Info:
        """Remember what a worker replied, and return what is known of the file now."""
        if job.purpose is not Purpose.FACTS:
            self.is_full = info.unwritten != ""
            self.renderings += 1
        if info.unwritten:
            self.index.complain(info.unwritten)
        # A problem of this moment, or of a file that is still being copied, is soon outdated.
        is_changing = info.problem != "" and not is_settled(job.path)
        if not is_changing:
            self._note_failure(job, info)
        if info.retry == AT_ONCE or is_changing:
            return info
        before = self.index.get(job.identity, once=True)
        if before and before.key and info.key not in ("", before.key):
            self._learn_anew(job, before, info)
            return info
        if before:
            info = self._judge(job, before, info)
        if info != before:
            self.index.put(job.identity, info)
        return info

    def _learn_anew(self, job: Job, before: Info, info: Info) -> None:
        """Learn of a file that holds something else, although inode, size and mtime are the same."""
        if before.crc >= 0:
            self.damaged.note(job.identity, before.crc)
        for purpose in set(Purpose) - {job.purpose}:
            self._failures.pop((job.identity, purpose), None)
        if job.purpose is Purpose.KEY:
            self.index.forget(job.identity)  # so that all of it is read next
        else:
            self.index.put(job.identity, info)

    def _judge(self, job: Job, before: Info, info: Info) -> Info:
        """Note whether a file that is read again is damaged; return all that is known of it."""
        merged = merge_infos(before, info, job.purpose)
        if info.crc >= 0:
            self.damaged.judge(job.identity, before.crc, info.crc)
            return merged
        is_changed = info.changed != before.changed
        if is_changed and job.identity in self.damaged.sums():
            # It may be restored, which reading all of it tells.
            return replace(merged, crc=-1, crc_without_place=-1)
        return merged

    def _note_failure(self, job: Job, info: Info) -> None:
        """Remember that something cannot be made of a file for now, or that it can."""
        before = self._failures.pop((job.identity, job.purpose), None)
        is_in_index = info.retry == NEVER and job.purpose is not Purpose.FULL
        if info.problem and not (info.partial or is_in_index):
            pause = FAILURE_PAUSES[info.retry]
            if before:
                pause = max(pause, min(4 * before.pause, LONGEST_FAILURE))
            failure = Failure(info.problem, pause, time.monotonic() + pause)
            self._failures[job.identity, job.purpose] = failure
        for key in list(self._failures)[:-FAILURES_KEPT]:
            self._failures.pop(key, None)

    def failure(self, file: File, purpose: Purpose) -> str:
        """Say why something cannot be made of a file for now; '': it may be tried."""
        failure = self._failures.get((file.identity, purpose))
        if failure is None or time.monotonic() > failure.until:
            return ""
        return failure.problem

    def is_due(self, file: File, info: Info) -> bool:
        """Say whether a file whose worker died, or was short of something, is tried again now."""
        if info.problem == "" or info.retry != AT_START:
            return False
        keys = [(file.identity, purpose) for purpose in MADE_AHEAD]
        failures = [failure for key in keys if (failure := self._failures.get(key))]
        now = time.monotonic()
        return bool(failures) and all(failure.until < now for failure in failures)

    def failing(self) -> set[str]:
        """Return the identities of files of which something could not be made at the last try."""
        return {identity for identity, _ in list(self._failures)}

    def seconds_until_due(self) -> float:
        """Return when the next file that failed is tried again; infinite: none is."""
        now = time.monotonic()
        pauses = [
            failure.until - now
            for (_, purpose), failure in list(self._failures.items())
            if purpose in MADE_AHEAD and failure.until > now
        ]
        return min(pauses, default=math.inf)

    def _wait(self, future: Future[Info]) -> Info:
        """Wait for a worker. Raises Busy where too many wait already."""
        with place_among(self._threads_waiting, TOO_MANY_PICTURES):
            try:
                # Browsers and proxies wait for 30 seconds at least.
                return future.result(timeout=PATIENCE * RENDER_SECONDS + END_SECONDS)
            except TimeoutError:
                raise Busy(STILL_BEING_MADE) from None

    def _unread(self, folder: Folder) -> list[File]:
        """Return the files of a folder that are not as they were read."""
        if isinstance(folder, KeptFolder) and folder.is_large:
            return []
        return [
            file
            for file in folder.files.values()
            if not file.is_as_read(self.index.get(file.identity))
        ]

    def _read(self, folder: Folder, patience: float) -> None:
        deadline = time.monotonic() + patience
        for _ in range(2):  # the keys, then what has another one
            unread = self._unread(folder)
            if not unread:
                return
            # Cameras count their photos: those of the album's first screen are read first.
            unread.sort(key=operator.attrgetter("name"))
            futures = [self._submit(file, Purpose.FACTS, Urgency.FACTS) for file in unread]
            wait(futures, timeout=max(0, deadline - time.monotonic()))

    def _render(self, item: Item, name: str, is_watched: Condition) -> Info:
        """Have a rendition made. Raises Busy."""
        if name != FULL:
            purpose = purpose_of(name)
            job = self._submit(item.file, purpose, Urgency.NOW, is_watched, name)
            return self._wait(job)
        with place_among(self._full_waiting, TOO_MANY_PICTURES):
            return self._wait(self._submit(item.file, Purpose.FULL, Urgency.SOON))

    def rendition(
        self, item: Item, name: str, is_watched: Condition = lambda: True
    ) -> Made:
        """Return the file of a rendition, made now if it is missing. Raises NoPicture, Busy."""
        info = item.facts
        rendition = made_of(self.cache, info, name)
        if rendition is None and (info.has_picture or self.is_due(item.file, info)):
            purpose = purpose_of(name)
            if problem := self.failure(item.file, purpose):
                raise NoPicture(problem)
            info = self._render(item, name, is_watched)
            rendition = made_of(self.cache, info, name)
            if info.has_picture and not (rendition or self.failure(item.file, purpose)):
                # Somebody else waited for the other width, which was begun already.
                info = self._render(item, name, is_watched)
                rendition = made_of(self.cache, info, name)
        if rendition is None:
            raise NoPicture(info.problem or "There is no picture of this file.")
        if name == FULL:
            self.last_used[os.path.basename(rendition.path)] = time.time()
        return rendition

    def look_into(self, path: str) -> Info:
        """Return what a file holds that is in no album yet. Raises Busy, OSError."""
        file = file_of(os.path.basename(path), path, os.stat(path), NO_KEYWORDS)
        return self._wait(self._submit(file, Purpose.FACTS, Urgency.NOW))

    def expect(self, items: Iterable[Item]) -> None:
        """Have the thumbnails of a page's items made before those of the rest."""
        smallest = str(THUMBNAIL_WIDTHS[0])
        for item in items:
            if item.info is None and item.file.identity:  # written over, or not read yet
                self._submit(item.file, Purpose.FACTS, Urgency.FACTS)
            # What has a colour has thumbnails, too.
            if item.info is None or not item.info.has_picture or item.info.colour:
                continue
            is_missing = not is_made(self.cache, item.key, smallest)
            if is_missing and not self.failure(item.file, Purpose.THUMBNAILS):
                self._submit(item.file, Purpose.THUMBNAILS, Urgency.SOON)


def open_library(
    state: Path,
    config: Config,
    circumstances: Callable[[], Circumstances] = default_circumstances,
) -> Library:
    """Open the library of a state folder, which is made if need be. Raises StateError."""
    make_state_folder(state)
    return Library(
        library_root(state, config),
        state / "cache",
        follow_symlinks=config.follow_symlinks,
        circumstances=circumstances,
        cache_share=config.cache_share,
    )


# --- Searches ----------------------------------------------------------------

# Of a search: the rest is left out, since strangers send any length.
QUERY_LETTERS = 200
QUERY_TERMS = 12
DATE_WORDS = 4  # at most: "el 14 de abril"
# Words between the others of a date: in May, am 5. August, 14 de abril de 2019.
DATE_LINKS = frozenset("of the on in am im de del el en le".split())
CHINESE_MONTHS = "一月|二月|三月|四月|五月|六月|七月|八月|九月|十月|十一月|十二月"
_DATES = [
    re.compile(pattern, re.ASCII)
    for pattern in (
        r"(?P<year>\d{4})([-/.](?P<month>\d{1,2})([-/.](?P<day>\d{1,2}))?)?",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
        # The signs are for year, month and day, in Chinese and Japanese.
        r"(?=.*\D)((?P<year>\d{4})年)?((?P<month>\d{1,2})月)?((?P<day>\d{1,2})日)?",
    )
]
_DAY = re.compile(r"(0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|er|o|[.,])?", re.ASCII)


def fold(text: str) -> str:
    """Return a text as searches compare it: without case, marks and other forms of a letter."""
    letters = text.casefold()
    if not letters.isascii():
        parts = normalize("NFKD", letters)
        # Of the category Mn are the marks that stand on letters, as accents do.
        letters = "".join(part for part in parts if unicodedata.category(part) != "Mn")
        # What has case among the simplest letters: ｆ is one of another form, and 𝐅.
        letters = letters.casefold()
    words = letters.replace("’", "'").split()
    return " ".join(words)


class SaidDate(NamedTuple):
    """A date as people say it; 0 where it says no year, month or day."""

    year: int = 0
    month: int = 0
    day: int = 0

    def holds(self, date: dt.date) -> bool:
        """Say whether a date is one that is meant."""
        is_year = self.year in (0, date.year)
        is_month = self.month in (0, date.month)
        is_day = self.day in (0, date.day)
        return is_year and is_month and is_day


class Term(NamedTuple):
    """A part of a search: a folded text, and the date that it may mean."""

    text: str
    date: SaidDate | None = None
    words: int = 1  # that it was said with


Names: TypeAlias = Mapping[str, SaidDate]  # what folded names of dates mean


def date_names(rows: tuple[tuple[str, str], ...], today: dt.date) -> Names:
    """Return what the names of dates mean.

    `rows`: of each language, the names of the months, and of today and yesterday, `|` between.
    """
    names: dict[str, SaidDate] = {}

    def note(row: str, dates: Iterable[SaidDate]) -> None:
        folded = fold(row).split("|")
        names.update(zip(folded, dates, strict=True))

    months = [SaidDate(month=month) for month in range(1, 13)]
    near_days = (today, today - dt.timedelta(days=1))
    near = [SaidDate(day.year, day.month, day.day) for day in near_days]
    note(CHINESE_MONTHS, months)
    for names_of_months, names_of_days in rows:
        note(names_of_months, months)
        note(names_of_days, near)
    # A number alone may mean anything.
    for month in range(1, 13):
        names.pop(str(month), None)
    return names


def _date_in_numbers(word: str) -> SaidDate | None:
    """Return the date that a folded word is, as in 2019-08, 5.8.2019 or 2019年8月; None: it is none."""
    matches = (pattern.fullmatch(word) for pattern in _DATES)
    match = next(filter(None, matches), None)
    if match is None:
        return None
    parts = match.groupdict("0").items()
    date = SaidDate(**{name: int(text) for name, text in parts})
    # It says nothing, or a month or day that no calendar has.
    if date.month > 12 or date.day > 31 or not any(date):
        return None
    return date


def _day_of_month(day: str, month: SaidDate | None) -> SaidDate | None:
    """Return a month with a day that stands beside it, as in 5. August; None: it is no such date."""
    match = _DAY.fullmatch(day)
    if match is None or month is None or month.day:
        return None
    return SaidDate(month=month.month, day=int(match[1]))


def _date_meant(words: Sequence[str], names: Names) -> SaidDate | None:
    """Return the date that some folded words mean together, or None."""
    phrase = " ".join(words)
    if phrase in names:
        return names[phrase]
    if len(words) == 1:
        return _date_in_numbers(phrase)
    if len(words) != 2:
        return None
    first, second = words
    before = _day_of_month(first, names.get(second))
    return before or _day_of_month(second, names.get(first))


def _first_term(words: Sequence[str], names: Names) -> Term:
    """Return the first part of a search."""
    longest = min(DATE_WORDS, len(words))
    for count in range(longest, 0, -1):
        said = words[:count]
        telling = [word for word in said if word not in DATE_LINKS]
        date = _date_meant(telling, names)
        if date and said[-1] in telling:
            start = said.index(telling[0])
            text = " ".join(said[start:])
            return Term(text, date, count)
    return Term(words[0])


def parse_query(query: str, names: Names) -> list[Term]:
    """Return the parts of a search, all of which must fit; `names`: what words mean dates."""
    words = fold(query[:QUERY_LETTERS]).split()
    terms: list[Term] = []
    while words and len(terms) < QUERY_TERMS:
        term = _first_term(words, names)
        words = words[term.words :]
        if term not in terms:
            terms.append(term)
    return terms


class Words(NamedTuple):
    """What a search looks at of one album itself."""

    about: str  # its title and description, folded
    above: str  # the titles of the albums above
    lines: bytes  # folded texts, one line an item
    days: tuple[dt.date, ...]  # of each item
    moments: Sequence[float]  # of each item, as local clocks told them

    def has(self, term: Term) -> bool:
        """Say whether something of the album itself tells a part of a search."""
        return term.text in self.about or term.text in self.above


def places_in(words: Words, terms: Iterable[Term]) -> list[int]:
    """Return the places of those items of an album that all parts of a search fit."""
    wanted = []
    for term in terms:
        text = term.text.encode()
        days = set()
        if term.date:
            days = set(filter(term.date.holds, set(words.days)))
        if not days and text not in words.lines:
            return []
        wanted.append((text, days))
    lines = words.lines.split(b"\n")
    places = list(range(len(words.days)))
    for text, days in wanted:
        places = [at for at in places if text in lines[at] or words.days[at] in days]
    return places


# --- Finding -----------------------------------------------------------------

WORDS_BYTES = 24_000_000  # kept of all albums: of 200,000 photos
MEMORIES_KEPT = 64  # principals whose memories are known
READ_AT_ONCE = 500  # items whose dates a page may wait for: a fiftieth of a second
PAGE_PAUSE = 0.2  # s, before albums are read ahead, so that the page that asks goes first
READING_PAUSE = 0.01  # s, after each album read ahead: as long as one of 100 photos takes

Month: TypeAlias = tuple[int, int]  # year, month


class MonthPart(NamedTuple):
    """What was taken in one month, of the items of one album."""

    photos: int
    videos: int
    places: slice  # within which the items stand among all of the album
    cover: Item | None


class Calendar(NamedTuple):
    """When the items of one album were taken, as local time told it there."""

    months: Mapping[Month, MonthPart]
    days: frozenset[dt.date]  # which more than the mtime of a file tells


@dataclass(frozen=True)
class Period:
    """A year or a month of the timeline."""

    start: dt.date
    photos: int
    videos: int
    cover: Item | None

    @property
    def month(self) -> Month:
        return self.start.year, self.start.month

    @property
    def count(self) -> int:
        return self.photos + self.videos


def every_album(album: Album) -> Iterator[Album]:
    """Yield an album and all that somebody finds below it."""
    yield album
    for child in album.albums:
        yield from every_album(child)


def month_of(taken: dt.datetime) -> Month:
    """Return the month of a date."""
    return taken.year, taken.month


def month_part(items: Sequence[Item], places: Sequence[int]) -> MonthPart:
    """Return what was taken in one month: some of the items of an album, by their places."""
    together = [items[at] for at in places]
    photos = sum(item.kind == PHOTO for item in together)
    return MonthPart(
        photos=photos,
        videos=len(together) - photos,
        places=slice(places[0], places[-1] + 1),
        cover=choose_cover(together),
    )


def calendar_of(items: Sequence[Item]) -> Calendar:
    """Sort the items of an album by the months in which they were taken."""
    days = set()
    months: dict[Month, list[int]] = {}
    for at, item in enumerate(items):
        told = item.told
        taken = told or item.taken
        months.setdefault(month_of(taken), []).append(at)
        if told:
            days.add(told.date())
    parts = {month: month_part(items, places) for month, places in months.items()}
    return Calendar(parts, frozenset(days))


def merge_periods(start: dt.date, parts: Sequence[Period | MonthPart]) -> Period:
    """Return a period of which the parts are known."""
    covers = [part.cover for part in parts if part.cover]
    return Period(
        start=start,
        photos=sum(part.photos for part in parts),
        videos=sum(part.videos for part in parts),
        cover=choose_cover(covers),
    )


def words_of(album: Album, items: Iterable[Item]) -> Words:
    """Return what a search looks at of an album itself, which has these items."""
    lines = []
    days = []
    moments = array.array("d")
    known: dict[dt.date, dt.date] = {}  # many photos share a day
    for item in items:
        facts = item.facts
        texts = [item.title, item.caption, *facts.keywords, facts.camera, facts.lens]
        lines.append(fold(" ".join(texts)))
        taken = item.taken.replace(tzinfo=dt.UTC)
        day = taken.date()
        days.append(known.setdefault(day, day))
        moments.append(taken.timestamp())
    titles = map(display, album.address[:-1])
    return Words(
        about=fold(f"{album.title} {album.description}"),
        above=fold(" ".join(titles)),
        lines="\n".join(lines).encode("utf-8", "replace"),
        days=tuple(days),
        moments=moments,
    )


class Hits(NamedTuple):
    """The items of one album that a search found."""

    album: Album
    words: Words
    places: list[int]


class Results(NamedTuple):
    """What a search found."""

    albums: list[Album]  # newest first
    hits: list[Hits]

    @property
    def total(self) -> int:
        """How many items there are."""
        return sum(len(hits.places) for hits in self.hits)

    def items(self, shown: slice) -> list[Item]:
        """Return some of the items, the newest first."""
        moments = [
            (hits.words.moments[at], nth, at)
            for nth, hits in enumerate(self.hits)
            for at in reversed(hits.places)
        ]
        newest = heapq.nlargest(shown.stop, moments)[shown]
        return [self.hits[nth].album.items[at] for _, nth, at in newest]


class Finder:
    """Finds items of an album and all below it that its principal finds. Thread-safe."""

    def __init__(self, date_rows: Iterable[tuple[str, str]] = ()) -> None:
        self._date_rows = tuple(date_rows)  # as `date_names` takes them
        # As long as an album is the same one, whoever asks.
        self._calendars: WeakKeyDictionary[ListItems, Calendar] = WeakKeyDictionary()
        self._words: WeakKeyDictionary[ListItems, Words] = WeakKeyDictionary()
        self._words_bytes = 0  # at most
        self._reading_lock = threading.Lock()  # held by who reads the dates of large albums
        # By scope: of which album and day.
        self._memories: dict[str, tuple[Album, dt.date, list[dt.date]]] = {}

    def words(self, album: Album, items: Iterable[Item] = ()) -> Words:
        """Return what a search looks at of an album itself; `items`: its items, if they are at hand."""
        words = self._words.get(album.list_items)
        if words is None:
            words = words_of(album, items or album.items)
            self._words_bytes += len(words.lines)
            if self._words_bytes > WORDS_BYTES:
                self._words.clear()
                self._words_bytes = len(words.lines)
            self._words[album.list_items] = words
        return words

    def search(self, album: Album, query: str, today: dt.date) -> Results:
        """Find the albums below an album, and the items in it and below, that a search asks for."""
        terms = parse_query(query, date_names(self._date_rows, today))
        if not terms:
            return Results([], [])
        albums: list[Album] = []
        hits: list[Hits] = []
        for part in every_album(album):
            words = self.words(part)
            if part is not album and all(term.text in words.about for term in terms):
                albums.append(part)
            missing = [term for term in terms if not words.has(term)]
            # Where an album says all of it, its items have to say it, too.
            places = places_in(words, missing or terms)
            if places:
                hits.append(Hits(part, words, places))
        albums.sort(key=last_instant, reverse=True)
        return Results(albums, hits)

    def calendar(self, album: Album, items: Sequence[Item] = ()) -> Calendar:
        """Return when the items of an album itself were taken; `items`: as they are, if at hand."""
        calendar = self._calendars.get(album.list_items)
        if calendar is None:
            calendar = calendar_of(items or list(album.items))
            self._calendars[album.list_items] = calendar
        return calendar

    def months(self, album: Album) -> list[Period]:
        """Return the months of what is in an album or below it, the oldest first."""
        months: dict[Month, list[MonthPart]] = {}
        for part in every_album(album):
            for month, own in self.calendar(part).months.items():
                months.setdefault(month, []).append(own)
        return [
            merge_periods(dt.date(*month, 1), months[month]) for month in sorted(months)
        ]

    def taken_in(self, album: Album, month: Month) -> list[Item]:
        """Return what was taken in a month in an album or below it, the oldest first."""
        items: list[Item] = []
        for part in every_album(album):
            own = self.calendar(part).months.get(month)
            if own:
                near = part.items[own.places]
                items += [item for item in near if month_of(item.taken) == month]
        items.sort(key=name_order)
        # By the clocks where they were taken; those of one moment stay as they are.
        return sorted(items, key=lambda item: item.taken.replace(tzinfo=None))

    def knows_days(self, album: Album) -> bool:
        """Say whether all dates from an album on are known; of many, they are read in a thread."""
        if album.photos + album.videos <= READ_AT_ONCE:
            return True
        parts = every_album(album)
        unknown = [part for part in parts if part.list_items not in self._calendars]
        if unknown and self._reading_lock.acquire(blocking=False):
            start_thread(self._read_ahead, unknown)
        return not unknown

    def _read_ahead(self, albums: Iterable[Album]) -> None:
        """Read the dates of albums, and the words for the first search; then let others do so."""
        try:
            time.sleep(PAGE_PAUSE)
            for album in albums:
                items = list(album.items)  # those of a summary are made anew at each look
                self.calendar(album, items)
                self.words(album, items)
                time.sleep(READING_PAUSE)
        finally:
            self._reading_lock.release()

    def memories(self, album: Album, scope: str, today: dt.date) -> list[dt.date]:
        """Return this day in other years with photos; none until the dates of all are known."""
        before, day, memories = self._memories.get(scope, (None, today, []))
        if before is album and day == today:
            return memories
        leave_to_thread()
        if not self.knows_days(album):
            return []
        memories = self.days_like(album, today)
        if len(self._memories) >= MEMORIES_KEPT:
            self._memories.clear()
        self._memories[scope] = album, today, memories
        return memories

    def days_like(self, album: Album, today: dt.date) -> list[dt.date]:
        """Return this day in the other years in which something was taken on it, the newest first."""
        days = set()
        for part in every_album(album):
            for day in self.calendar(part).days:
                if (day.month, day.day) == (today.month, today.day):
                    days.add(day)
        return sorted(days - {today}, reverse=True)


# --- Upkeep ------------------------------------------------------------------

PASS_SECONDS = 30.0  # between two background passes, while there are changes or visitors
FIRST_PAUSE = 2.0  # likewise, after a start: the first page of a known library goes before
LONGEST_PAUSE = 600.0  # seconds; each pause without either is twice the one before
# A copy may stall for so long: until then each pass looks at all files, and not at folders alone.
CALM_SECONDS = 600.0
PRUNING_PAUSE = 3600.0  # s between two looks for what nobody needs, while there are changes
FEW_FILES = 2000  # of which each rendition is looked for; of more, all are listed
DAY_SECONDS = 86400.0  # after which all files are looked at in any case
# Bytes that one rendering may well write, with all sizes: to measure the cache is a stat for each.
RENDERING_BYTES = 50e6
BUDGET_AHEAD = 0.9  # the part of the cache's budget that pictures made ahead may take
ROUND_SECONDS = 30 * DAY_SECONDS  # from one reading of all originals to the next
# Bytes of originals a second: 1 TB takes 17 hours of reading, and as long again of pauses.
ROUND_PACE = 16e6
BATCH = 48  # files whose renditions are asked for at once
# A round of work takes so many times as long as the look for what there is to do.
ROUND_LOOKS = 10
LONGEST_ROUND = 120.0  # seconds
VISIT_SECONDS = 0.02  # in which most pages are answered
# With thumbnails alone there is all to look at after a third of the time.
RENDERING_ORDER = (Purpose.THUMBNAILS, Purpose.ALL)

# Says whether a rendition is there, by the key of its photo and its name.
IsThere: TypeAlias = Callable[[str, str], bool]

# What a process writes before it has its name: `KEY-320.webp.PID` of a worker, `.users.json-PID-…` of
# a server or command.
_TEMPORARY = re.compile(r"[0-9a-f]{24}-\w+\.webp\.(\d+)|\..+-(\d+)-\w{8}")
COPYING = ".incoming-"  # begins the name of a copy in an album, which nothing shows
LEFT_SECONDS = 7 * 86400.0  # until an upload that nobody goes on with is deleted
TEMPORARY_SECONDS = 2.0  # a process of another machine may write this, too


def is_running(pid: int) -> bool:
    """Say whether a process of this machine runs; Windows keeps open files from being deleted."""
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def is_left_over(name: str) -> bool:
    """Say whether a file's name is of a process of this machine that was killed while it wrote."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and not is_running(int(match[1] or match[2]))


def sweep(cache: Path) -> None:
    """Delete what killed processes left half written in a cache and in the state folder around it."""
    renditions = (cache / RENDITIONS_FOLDER).glob("??")
    for folder in (cache.parent, cache, *renditions):
        with suppress(OSError):
            for path in map(folder.joinpath, filter(is_left_over, os.listdir(folder))):
                if is_long_ago(path.stat().st_mtime, TEMPORARY_SECONDS):
                    path.unlink()


def sweep_copies(folder: str, names: Iterable[str]) -> None:
    """Delete what killed processes left half copied in an album, on a disk without links."""
    for name in names:
        path = os.path.join(folder, name)
        if re.fullmatch(rf"{re.escape(COPYING)}\w{{8}}", name):
            with suppress(OSError):
                if is_long_ago(os.stat(path).st_ctime, LEFT_SECONDS):
                    os.unlink(path)


class ManyNames:
    """Many texts, to ask whether one is among them: eight bytes each instead of a hundred."""

    def __init__(self, names: Iterable[str]) -> None:
        self._hashes = array.array("q", sorted(map(hash, names)))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._hashes)

    def __contains__(self, name: object) -> bool:
        """Say whether a text is one of them."""
        at = bisect.bisect_left(self._hashes, hash(name))
        return hash(name) in self._hashes[at : at + 1]


def _is_orphan(rendition: str, keys: Container[str]) -> bool:
    key, _, _ = rendition.partition("-")
    return rendition.endswith(".webp") and key not in keys


class Rendition(NamedTuple):
    """A file of the cache; the smaller one goes first where there are too many."""

    rank: int  # of former versions 0, full-size 1, previews 2, thumbnails 3
    last_used: float  # s since the epoch
    size: int  # bytes
    path: str


def files_of(library: Library) -> Iterator[tuple[str, File]]:
    """Yield the path of each file, as text from the library down, and the file."""
    for parts, folder in library.walk():
        for file in folder.files.values():
            yield display(os.path.join(*parts, file.name)), file


def damaged_paths(library: Library) -> list[str]:
    """Return the files whose bytes are others than before, in natural order."""
    sums = library.damaged.sums()
    if not sums:
        return []
    paths = [path for path, file in files_of(library) if file.identity in sums]
    return sorted(paths, key=natural)


def note_checksum(library: Library, file: File, info: Info) -> None:
    """Read a file whole, and note whether it is as it was when it was read whole before."""
    try:
        crc, crc_without_place = checksums(file.path, info.patches)
        status = os.stat(file.path)
    except OSError as error:
        if error.errno == errno.EIO and info.crc >= 0:  # the disk could read it before
            library.damaged.note(file.identity, info.crc)
        return
    # What was written meanwhile has another identity, and is read at the next pass.
    if identity_text(status) == file.identity:
        info = library.index.get(file.identity, once=True) or info
        library.damaged.judge(file.identity, info.crc, crc)
        info = replace(info, crc=crc, crc_without_place=crc_without_place)
        library.index.put(file.identity, info)


class Watch:
    """Reads each original whole once a month, and notes which hold other bytes than before.

    A round goes from file to file in one stretch, so that a disk sleeps between two rounds. How far
    the round is, is kept in the cache. One thread at a time.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._path = library.cache / "watch.json"
        self._ended = 0.0  # the last round, s since the epoch
        self._last = ""  # the identity that the round has come to; '' between two rounds
        self._files: list[File] | None = None  # of the round, those to be read last first
        # Of the file that is being read:
        self._offset = 0
        self._crc = 0

    def is_due(self) -> bool:
        """Say whether a round goes on, or begins now: the first one begins after a month."""
        if not self._ended:
            self._load()
        if self._last:
            return True
        pause = time.time() - self._ended
        return abs(pause) > ROUND_SECONDS  # or somebody has set the clock

    def _load(self) -> None:
        try:
            text = read_regular(self._path)
            ended, last = json.loads(text)
            self._ended = float(ended)
            self._last = str(last)
        except (OSError, ValueError, TypeError, RecursionError):
            self.end()

    def _save(self) -> None:
        content = json.dumps([self._ended, self._last])
        # Where it cannot be written, the round begins again at the next start.
        with suppress(OSError):
            write_atomically(self._path, content.encode())

    def end(self) -> None:
        """Note that all files are read by now."""
        self._ended = time.time()
        self._last = ""
        self._files = None
        self._save()

    def read_on(self, seconds: float, is_interrupted: Condition) -> None:
        """Go on with the round for so long, at a pace that leaves the disk to others."""
        if self._files is None:
            self._files = self._left_to_read()
        deadline = time.monotonic() + seconds
        while self._files and not is_interrupted():
            if self._read_block(self._files[-1]):
                self._last = self._files.pop().identity
                self._offset = 0
                self._crc = 0
            time.sleep(CHECKSUM_BYTES / ROUND_PACE)
            if time.monotonic() > deadline:
                break
        if self._files:
            self._save()
        else:
            self.end()

    def _left_to_read(self) -> list[File]:
        """Return the files that the round has not come to yet, the last ones first."""
        files = {file.identity: file for _, file in files_of(self._library)}
        left = [identity for identity in files if identity > self._last]
        return [files[identity] for identity in sorted(left, reverse=True)]

    def _read_block(self, file: File) -> bool:
        """Read one block more of a file; say whether that was all of it."""
        info = self._library.index.get(file.identity)
        if info is None or info.crc < 0:  # it is read whole for the first time elsewhere
            return True
        length = 0
        with suppress(OSError):
            self._crc, length = add_to_checksum(self._crc, file.path, self._offset)
        self._offset += length
        if length:
            return False
        is_whole = self._offset == file.size and self._crc == info.crc
        if not is_whole or file.identity in self._library.damaged.sums():
            note_checksum(self._library, file, info)
        return True


@dataclass(frozen=True)
class Seen:
    """A folder as the background pass has seen it with all its files."""

    path: str
    stamp: Identity | None  # None: the folder is gone
    file_count: int
    files: int  # a sum that differs when a file does
    # The rest may differ while nothing changes: that of its listing; (): its times do not tell.
    state: Key = field(compare=False)
    # When it or a file in it changed, s since the epoch.
    latest: float = field(compare=False)
    # Whether all of it could be worked on: no file was just written, or has taken too long.
    is_settled: bool = field(compare=False)

    def is_calm(self, seconds: float) -> bool:
        """Say whether nothing has changed for so long, and no file rests."""
        return self.is_settled and is_older(self.latest, seconds)


class Look(NamedTuple):
    """What tells whether anything has changed in a library."""

    made: Identity | None  # of the folder of all renditions: somebody may delete the cache
    changes: int  # of the index
    folders: Mapping[Parts, Seen]  # all of them

    def is_calm(self, seconds: float) -> bool:
        """Say whether nothing has changed for so long, and no file rests that takes too long."""
        if self.made and not is_older(self.made.mtime, seconds):
            return False
        return all(seen.is_calm(seconds) for seen in self.folders.values())


class Upkeep:
    """What keeps a library read, rendered and tidy: the background pass. One thread at a time.

    A pass looks at all folders, works for a while where there is something to do, and looks again
    until nothing is left. The next one leaves out each tidy folder that has been calm for long; where
    all are, the library rests, and a pass costs one stat a folder.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._index = library.index
        self._cache = library.cache
        self._watch = Watch(library)
        self._closed = threading.Event()
        self._is_wanted = threading.Event()  # whether somebody waits
        self._wanted: Sequence[File] = ()  # files whose checksums somebody waits for
        self._was_visited = threading.Event()
        self._visited = -math.inf  # when, s on the monotonic clock, for the last time
        self.problem_count = 0  # files that were not shown, or not whole, at the last look
        # Where the pass finds something to do, as it sees them now.
        self._folders: Walked = []
        # Those in which there is work; None: there is no pass.
        self._unfinished: Walked | None = None
        self._round = PASS_SECONDS  # how long the next round of work takes
        self._is_stuck = False  # whether the last work was in vain
        self._tidy: dict[Parts, Seen] = {}  # folders in which nothing was left to do
        self._problems: dict[Parts, int] = {}  # how many a folder has
        self._made: set[str] = set()  # the folders of renditions at the last look
        self._changes = 0  # of the index, up to the last look
        self._last_look: Look | None = None  # of the last pass
        self._done: Look | None = None  # after which nothing was left to do
        self._all_until = 0.0  # s on the monotonic clock: all files are looked at then
        self._rest_until = 0.0  # s on the monotonic clock: nothing is to be done until then
        self._has_room = True  # whether the cache's budget lets pictures be made ahead
        self._measure_at = 0  # the number of renderings at which the cache is measured
        self._prunings = 0  # which are left to do
        self._pruned = -math.inf  # when, s on the monotonic clock
        # Renditions whose photo was gone then, and the files that were there.
        self._orphans: set[str] = set()
        self._identities: set[str] = set()

    def want(self, files: Sequence[File]) -> None:
        """Have files read whole before all others: somebody waits for their checksums."""
        if files:
            self._wanted = files
            self._is_wanted.set()
            self.wake()

    def close(self) -> None:
        """Stop the background pass."""
        self._closed.set()
        self._is_wanted.set()
        self.wake()

    def wake(self) -> None:
        """Have the next pass come soon: somebody looks at the library."""
        self._visited = time.monotonic()
        # Each request comes here, and to set it takes a lock.
        if not self._was_visited.is_set():
            self._was_visited.set()

    def run(self) -> None:
        """Read and render what is new or changed until the library is closed. Runs in a thread."""
        if self._index.count > 0:
            self._is_wanted.wait(FIRST_PAUSE)
        sweep(self._cache)
        failure = ""
        pause = PASS_SECONDS
        while not self._closed.is_set():
            is_idle = True
            try:
                is_idle = self._pass()
            except Busy:  # closed
                return
            except OSError as error:
                if str(error) != failure:  # once is enough where it lasts
                    log.warning(
                        "the background pass failed and will be tried again: %s", error
                    )
                failure = str(error)
            pause = min(2 * pause, LONGEST_PAUSE)
            if self._was_visited.is_set() or not is_idle:
                pause = PASS_SECONDS
            self._was_visited.clear()
            self._is_wanted.wait(PASS_SECONDS)
            self._was_visited.wait(pause - PASS_SECONDS)

    def _pass(self) -> bool:
        """Do what there is to do now; say whether there was nothing."""
        self.note_wanted()
        self.trim()
        is_same = self._is_at_rest() or self._tend()
        if not is_same or not self._watch.is_due():
            return is_same
        self._watch.read_on(PASS_SECONDS, self._is_asked)
        return False

    def _is_asked(self) -> bool:
        """Say whether there are visitors, or somebody waits."""
        return self._was_visited.is_set() or self._is_wanted.is_set()

    def _give_way(self) -> None:
        """Let a visitor who has just come be answered first: Python runs one thread at a time."""
        if time.monotonic() < self._visited + VISIT_SECONDS:
            self._closed.wait(VISIT_SECONDS)

    def _is_at_rest(self) -> bool:
        """Say whether a library that had nothing to do is as it was: one stat a folder."""
        last = self._last_look
        if last is None or time.monotonic() > self._rest_until:
            return False
        if self._index.changes != last.changes:
            return False
        if identity_of(self._cache / RENDITIONS_FOLDER) != last.made:
            return False
        folders = last.folders.values()
        return all(identity_of(seen.path) == seen.stamp for seen in folders)

    def _tend(self) -> bool:
        """Do all that there is to do; say whether nothing has changed since the last time."""
        before = self._last_look
        self._rest_until = 0.0
        try:
            look = self._look()
            if look != self._done:
                look = self._do_all(look)
        finally:
            self._folders, self._unfinished = [], None
        is_calm = look.is_calm(CALM_SECONDS)
        count = sum(seen.file_count for seen in look.folders.values())
        if look != before and self._index.count != count:
            self._prunings = 2  # the second one deletes what the first has missed
        now = time.monotonic()
        may_prune = is_calm or now > self._pruned + PRUNING_PAUSE
        if may_prune and (self._prunings or self._orphans):
            self.prune()
            self._pruned = now
            self._prunings = max(0, self._prunings - 1)
        self._last_look = look
        is_anything_left = self._is_stuck or self._orphans
        if is_calm and not is_anything_left:
            due = time.monotonic() + self._library.seconds_until_due()
            self._rest_until = min(self._all_until, due)
        return look == before

    def _do_all(self, look: Look) -> Look:
        """Do all that there is to do, looking again in between; return the last look."""
        self._done = None
        self._set_aside(look)
        while self._work() or self.note_checksums(self._round):
            if self._closed.is_set():
                return look
            self.note_wanted()
            self.trim()
            look = self._look()
            self._set_aside(look)
        for parts, folder in self._folders:
            self._give_way()
            reasons = [reason for _, reason in self._problems_in(folder) if reason]
            self._problems[parts] = len(reasons)
        self.problem_count = sum(self._problems.get(parts, 0) for parts in look.folders)
        is_short = self._library.is_full or not self._has_room
        is_failing = self._library.seconds_until_due() < math.inf
        is_anything_left = self._is_stuck or is_short or is_failing
        if look.is_calm(SETTLE_SECONDS) and not is_anything_left:
            self._done = look
        return look

    def _look(self) -> Look:
        """Look at all folders, and at the files that may have changed, for all that is done next."""
        started = time.monotonic()
        made = identity_of(self._cache / RENDITIONS_FOLDER)
        self._folders, self._unfinished = [], None  # which leave the memory first
        seen = self._walk()
        self._library.summarise(self._folders)
        look = Look(made, self._index.changes, seen)
        needed = ROUND_LOOKS * (time.monotonic() - started)
        self._round = min(max(needed, PASS_SECONDS), LONGEST_ROUND)
        return look

    def _walk(self) -> dict[Parts, Seen]:
        """Look at each file of the folders in which there may be something to do; return all folders."""
        now = time.monotonic()
        changes = self._index.changes
        learned = self._index.changed_since(self._changes)
        made = {folder.name for folder in self._made_folders()}
        is_cache_cut = not self._made <= made
        if learned is None or is_cache_cut or now > self._all_until:
            self._tidy = {}
            self._all_until = now + DAY_SECONDS
            # After a start it is enough that the index knows as many files as there are.
            if self._last_look:
                self._prunings = 2
        self._changes = changes
        self._made = made
        learned = learned or set()
        seen: dict[Parts, Seen] = {}
        folders = self._library.walk(partial(self._as_seen, seen, learned))
        identities = (folder.identities for _, folder in folders)
        if seen and learned.difference(*identities):
            # Written over, and read for a visitor: no folder tells of that.
            self._tidy, seen = {}, {}
            folders = self._library.walk()
        for parts, folder in folders:
            seen[parts] = self._see(parts, folder)
            if self._tidy.pop(parts, None) == seen[parts]:
                self._tidy[parts] = seen[parts]
        self._folders = folders
        return seen

    def _as_seen(
        self, seen: dict[Parts, Seen], learned: set[str], parts: Parts
    ) -> Folder | None:
        """Return, and note as seen, a folder as it was when nothing was left to do there: one stat."""
        self._give_way()
        tidy = self._tidy.get(parts)
        if tidy is None or not tidy.is_calm(CALM_SECONDS):
            return None
        folder = self._library.folders.listing(parts)
        listing = self._library.folders.certain(parts)
        if listing is None or listing.state != tidy.state:
            return None
        if learned and not learned.isdisjoint(folder.identities):
            return None
        seen[parts] = tidy
        return folder

    def _see(self, parts: Parts, folder: Folder) -> Seen:
        files = folder.files.values()
        listing = self._library.folders.certain(parts)
        path = self._library.folders.path_of(parts)
        stamp = folder.stamp or identity_of(path)
        moments = [max(file.mtime, file.changed) for file in files]
        if stamp:
            moments.append(stamp.mtime)
        now = time.time()
        # What lies in the future comes of a wrong clock.
        latest = max((moment for moment in moments if moment <= now), default=0.0)
        has_resting = any(map(self._library.rests, files))
        return Seen(
            path=path,
            stamp=stamp,
            file_count=len(files),
            files=sum(hash((file.identity, file.changed)) for file in files),
            state=listing.state if listing else (),
            latest=latest,
            is_settled=is_older(latest, SETTLE_SECONDS) and not has_resting,
        )

    def _work(self) -> bool:
        """Read all that is new, then render for a while; say whether to go on without a pause."""
        changes = self._index.changes
        unread = self.unread(SETTLE_SECONDS)
        tried = sum(1 for _ in self._library.run(unread, Purpose.FACTS))
        has_made = False
        for purpose in RENDERING_ORDER:
            # All thumbnails go first. Where they fail, the rest may well be made.
            if self._has_room and not has_made:
                rendered = self._render(purpose, self._round)
                tried += len(rendered)
                has_made = any(self._is_rendered(file, purpose) for file in rendered)
        is_worth_it = has_made or self._index.changes > changes
        self._is_stuck = tried > 0 and not is_worth_it
        return tried > 0 and is_worth_it

    def _render(self, purpose: Purpose, seconds: float) -> list[File]:
        """Render what is missing for so long; return what was tried."""
        rendered: list[File] = []
        deadline = time.monotonic() + seconds
        missing = self.unrendered(SETTLE_SECONDS, purpose)
        # On a full disk, one photo tries whether there is room again.
        size = 1 if self._library.is_full else BATCH
        while batch := list(itertools.islice(missing, size)):
            rendered += self._library.run(batch, purpose)
            is_over = self._is_wanted.is_set() or time.monotonic() > deadline
            if is_over or self._library.is_full:
                break
        return rendered

    def _is_rendered(self, file: File, purpose: Purpose) -> bool:
        info = self._index.get(file.identity, once=True)
        return info is not None and not missing_renditions(self._cache, info, purpose)

    def _set_aside(self, look: Look) -> None:
        """Leave alone the folders in which there is nothing to do, for as long as they are calm."""
        failing = self._library.failing()
        is_there = self._look_up(self._folders)
        unfinished = []
        for parts, folder in self._folders:
            self._give_way()
            self._tidy.pop(parts, None)
            seen = look.folders[parts]
            files = self._settled_in(folder, SETTLE_SECONDS)
            if any(self._needs_work(file, info, is_there) for file, info in files):
                unfinished.append((parts, folder))
            elif seen.is_settled and failing.isdisjoint(folder.identities):
                self._tidy[parts] = seen
        self._unfinished = unfinished

    def _needs_work(self, file: File, info: Info | None, is_there: IsThere) -> bool:
        """Say whether a file is not read whole, or lacks renditions."""
        if info is None or not file.is_as_read(info) or info.lacks_checksum:
            return True
        return self._lacks_renditions(file, info, Purpose.ALL, is_there)

    def _lacks_renditions(
        self, file: File, info: Info, purpose: Purpose, is_there: IsThere
    ) -> bool:
        """Say whether renditions that a purpose needs are missing, or tried again now."""
        names = rendition_names(info, purpose)
        is_complete = all(is_there(info.key, name) for name in names)
        return not is_complete or self._library.is_due(file, info)

    def _settled(self, seconds: float) -> Iterator[tuple[File, Info | None]]:
        """Yield the files that have not changed for `seconds`, those of the newest folders first."""
        folders = self._unfinished
        if folders is None:
            folders = self._library.walk()
        for _, folder in folders:
            yield from self._settled_in(folder, seconds)

    def _settled_in(
        self, folder: Folder, seconds: float
    ) -> Iterator[tuple[File, Info | None]]:
        for file in folder.files.values():
            is_settled = is_older(max(file.mtime, file.changed), seconds)
            if is_settled and not self._library.rests(file):
                yield file, self._index.get(file.identity, once=True)

    def unread(self, settled: float) -> list[File]:
        """Return the files that are not as they were read, for at least `settled` seconds."""
        return [file for file, info in self._settled(settled) if not file.is_as_read(info)]

    def unrendered(self, settled: float, purpose: Purpose = Purpose.ALL) -> Iterator[File]:
        """Yield the files that lack renditions that a purpose needs, newest albums first."""
        is_there = self._look_up(self._unfinished)
        for file, info in self._settled(settled):
            if info and self._lacks_renditions(file, info, purpose, is_there):
                yield file

    def _look_up(self, folders: Walked | None) -> IsThere:
        """Return what says whether a rendition is there of the files in some folders; None: in all."""
        counts = [len(folder.files) for _, folder in folders or ()]
        if folders is not None and sum(counts) < FEW_FILES:
            return partial(is_made, self._cache)
        made = {
            folder.name: ManyNames(os.listdir(folder)) for folder in self._made_folders()
        }
        return lambda key, name: f"{key}-{name}.webp" in made.get(key[:2], ())

    def note_checksums(self, seconds: float = PASS_SECONDS) -> bool:
        """Read whole the files whose checksums are not known, for so long; say whether some are left.

        The last and longest work there is: whatever is new is read and rendered in between.
        """
        deadline = time.monotonic() + seconds
        for file, info in self._settled(SETTLE_SECONDS):
            if self._is_wanted.is_set() or time.monotonic() > deadline:
                return True
            if info and info.lacks_checksum:
                started = time.monotonic()
                note_checksum(self._library, file, info)
                # Half of the disk's time is left for visitors.
                self._closed.wait(time.monotonic() - started)
        return False

    def note_wanted(self) -> None:
        """Read whole the files that somebody waits for."""
        self._is_wanted.clear()
        if self._closed.is_set():
            self._is_wanted.set()  # nobody shall wait
        wanted, self._wanted = self._wanted, ()
        unread = [file for file in wanted if self._index.get(file.identity) is None]
        for _ in self._library.run(unread, Purpose.FACTS):
            pass
        for file in wanted:
            info = self._index.get(file.identity)
            if info and info.lacks_checksum:
                note_checksum(self._library, file, info)

    def _made_folders(self) -> Iterator[Path]:
        """Yield the folders of renditions."""
        root = self._cache / RENDITIONS_FOLDER
        return filter(Path.is_dir, root.glob("??"))

    def prune(self) -> None:
        """Delete renditions whose photo was gone at this call and the one before.

        Twice, so that a folder renamed in the middle of a look costs nothing; and never when the
        library seems empty, which is what a disk that is not mounted looks like.
        """
        sweep(self._cache)
        walked = self._library.walk()
        for parts, folder in walked:
            sweep_copies(self._library.folders.path_of(parts), folder.skipped)
        folders = [folder for _, folder in walked]
        identities = {identity for folder in folders for identity in folder.identities}
        infos = (self._index.get(identity, once=True) for identity in identities)
        keys = ManyNames(info.key for info in infos if info)
        if not keys or any(folder.stamp is None for folder in folders):
            return
        names = itertools.chain.from_iterable(map(os.listdir, self._made_folders()))
        orphans = {name for name in names if _is_orphan(name, keys)}
        for name in orphans & self._orphans:
            path = self._cache / RENDITIONS_FOLDER / name[:2] / name
            path.unlink(missing_ok=True)
            self._measure_at = 0
        self._library.summaries.prune(folder.stamp for folder in folders)
        self._index.keep(identities | self._identities)
        self._library.damaged.keep(identities | self._identities)
        self._identities = identities
        self._orphans = orphans - self._orphans

    def trim(self) -> None:
        """Delete what is beyond the cache's budget, and no more: what is missed least goes first."""
        if self._library.renderings < self._measure_at:
            return
        if self._excess(self._renditions()) <= 0:
            return
        try:
            # Another server over the same cache waits, and then finds less.
            with locked(self._cache / "trim"):
                self._trim(sorted(self._renditions()))
        except OSError as error:
            self._index.complain(error.strerror or str(error))

    def _trim(self, renditions: Sequence[Rendition]) -> None:
        excess = self._excess(renditions)
        for rendition in renditions:
            if excess <= 0:
                break
            Path(rendition.path).unlink(missing_ok=True)
            self._library.last_used.pop(os.path.basename(rendition.path), None)
            excess -= rendition.size
            if rendition.rank > 1:
                self._tidy = {}  # it is made again once there is room

    def _excess(self, renditions: Iterable[Rendition]) -> float:
        """Return by how many bytes the cache is over its budget; note whether it takes more."""
        renderings = self._library.renderings
        disk = shutil.disk_usage(self._cache)
        budget = disk.total * self._library.cache_share / 100
        sizes: Counter[int] = Counter()
        for rendition in renditions:
            sizes[rendition.rank] += rendition.size
        ahead = BUDGET_AHEAD * budget
        # What is made ahead must not push out what was made ahead.
        self._has_room = sizes[2] + sizes[3] < ahead
        more = math.ceil((ahead - sizes.total()) / RENDERING_BYTES)
        self._measure_at = renderings + max(1, more)
        return sizes.total() - budget

    def _renditions(self) -> Iterator[Rendition]:
        """Yield all renditions, those of former versions too."""
        for folder in self._cache.glob("renditions-*/??"):
            for entry in list(os.scandir(folder)):
                if entry.name.endswith(".webp"):
                    # another server has just deleted it
                    with suppress(FileNotFoundError):
                        yield self._rendition(entry)

    def _rendition(self, entry: Entry) -> Rendition:
        status = entry.stat()
        rank = 3
        if RENDITIONS_FOLDER not in entry.path:
            rank = 0
        elif PREVIEW in entry.name:
            rank = 2
        elif FULL in entry.name:
            rank = 1
        # Most systems note a reading once a day, some never.
        last_used = max(status.st_atime, self._library.last_used.get(entry.name, 0.0))
        return Rendition(rank, last_used, status.st_size, entry.path)

    def _problems_in(self, folder: Folder) -> Iterator[tuple[str, str]]:
        """Yield names and reasons; the folder itself has the name ''."""
        yield "", folder.problem
        yield folder.text.name, folder.text.problem
        for name, file in folder.files.items():
            info = self._index.get(file.identity, once=True)
            if self._library.rests(file):
                yield name, TOO_LATE
            elif info and kind_of(file, info):
                yield name, info.problem
        for name, file in folder.others.items():
            shot = folder.shot(name)
            if not (name in shot.raws and shot.photos):
                yield name, other_picture(file.plain_name)

    def located(self) -> list[str]:
        """Return the files whose place cannot be cut out, in natural order."""
        paths = []
        for path, file in files_of(self._library):
            info = self._index.get(file.identity)
            if info and info.kind and info.place_kept:
                paths.append(path)
        return sorted(paths, key=natural)

    def problems(self) -> list[tuple[str, str]]:
        """Return path and reason of all that cannot be shown, or only in part, in natural order."""
        problems = []
        for parts, folder in self._library.walk():
            for name, reason in self._problems_in(folder):
                if reason:
                    path = display(os.path.join(*parts, name)) or "."
                    problems.append((path, reason))
        return sorted(problems, key=lambda pair: natural(pair[0]))

    def skipped(self) -> dict[Skipped, list[str]]:
        """Return the names of what is not shown, by what it is."""
        skipped: dict[Skipped, list[str]] = {kind: [] for kind in Skipped}
        for _, folder in self._library.walk():
            for name in folder.skipped.keys() - OWN_NAMES - {folder.text.name}:
                skipped[folder.skipped[name]].append(name)
            for name, file in folder.files.items():
                info = self._index.get(file.identity)
                if info and not kind_of(file, info):
                    skipped[Skipped.OTHER].append(name)
        return skipped


# --- Users -------------------------------------------------------------------

PASSWORD_BYTES = range(8, 257)
USER_LENGTH = 64  # characters
OWNER, USER = "owner", "user"  # roles
SCRYPT = {"n": 2**15, "r": 8, "p": 3}  # 32 MB and about 0.25 s a hash (OWASP, 2024)
SCRYPT_MEMORY = 64 << 20  # bytes
SALT_BYTES, DIGEST_BYTES = 16, 64
HASHES_AT_ONCE = 2  # 32 MB each
HASHES_WAITING = 16  # more log-ins than that at one moment are asked to come back
CROWDED = "Many people are logging in. Try again in a moment."
ACCOUNT_FAILURES = 5  # free failures of an account before each further one costs a wait
ACCOUNT_WAIT = 60.0  # seconds, the longest wait
ADDRESS_FAILURES = 20  # of one address within ADDRESS_SECONDS
ADDRESS_SECONDS = 300.0
LIMITS_KEPT = 10_000  # names and addresses remembered, beside the users that there are


class UserExists(PhotosError):
    """A user of that name is registered already."""

    def __init__(self, name: str) -> None:
        problem = f"There is a user {name} already. To change the password:"
        super().__init__(problem, f"passwd {name}")


class NoSuchUser(PhotosError):
    """No user of that name is registered."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no user {name}. To list the users:", "users")


def parse_user(text: str) -> str:
    """Return a user name as it is stored: 1 to 64 printable characters, lower case, no spaces."""
    name = normalize("NFC", text).strip().casefold()
    has_space = any(map(str.isspace, name))
    if has_space or not name.isprintable() or not 1 <= len(name) <= USER_LENGTH:
        rule = f"1 to {USER_LENGTH} letters, digits or signs, and no spaces"
        raise ValueError(f"A user name has {rule}.")
    return name


def parse_new_user(text: str) -> str:
    """Return a user name that a folder can be for, such as Trip.private+anna."""
    name = parse_user(text)
    folder = parse_name(f"Trip.private+{name}")
    if folder.rest or folder.keywords.people != frozenset({name}):
        raise ValueError(
            f"No folder could be for {name} alone. Take letters and digits, without + and odd signs."
        )
    return name


def parse_password(text: str) -> bytes:
    """Return a password as bytes (UTF-8, NFC). Raises ValueError unless it has 8 to 256 of them."""
    password = normalize("NFC", text).encode("utf-8", "surrogatepass")
    if len(password) not in PASSWORD_BYTES:
        raise ValueError(
            f"A password has 8 to 256 bytes, and this one has {len(password)}: a letter from a to z "
            "is one byte, a Chinese character three. Four or five words are easy to remember."
        )
    return password


def encode_hash(salt: bytes, digest: bytes) -> str:
    """Return `scrypt$n$r$p$salt$hash`, the last two in Base64."""
    encoded = (base64.b64encode(part).decode() for part in (salt, digest))
    return "$".join(("scrypt", *map(str, SCRYPT.values()), *encoded))


def hash_password(password: bytes) -> str:
    """Return the hash of a password (RFC 7914) with a new salt."""
    salt = secrets.token_bytes(SALT_BYTES)
    digest = hashlib.scrypt(password, salt=salt, maxmem=SCRYPT_MEMORY, **SCRYPT)
    return encode_hash(salt, digest)


def is_password(password: bytes, hashed: str) -> bool:
    """Compare in constant time. Raises ValueError where the stored hash makes no sense."""
    name, *numbers, salt, digest = hashed.split("$")
    if name != "scrypt":
        raise ValueError("not a scrypt hash")
    expected = base64.b64decode(digest)
    try:
        n, r, p = map(int, numbers)
        computed = hashlib.scrypt(
            password,
            salt=base64.b64decode(salt),
            n=n,
            r=r,
            p=p,
            maxmem=max(SCRYPT_MEMORY, 256 * n * r),
            dklen=len(expected),
        )
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
    return hmac.compare_digest(computed, expected)


def is_outdated(hashed: str) -> bool:
    """Say whether a hash was made with other parameters than today's."""
    _, n, r, p, *_ = hashed.split("$")
    return [n, r, p] != [str(value) for value in SCRYPT.values()]


def _is_user(user: Any) -> bool:
    """Say whether an entry of users.json is one."""
    if not isinstance(user, dict):
        return False
    revoked = user.get("revoked", {})
    if not isinstance(revoked, dict):
        return False
    has_moments = all(isinstance(moment, (int, float)) for moment in revoked.values())
    texts = [user.get("password"), user.get("epoch"), user.get("role", USER)]
    has_texts = all(isinstance(text, str) for text in texts)
    return has_moments and has_texts


def _owners(users: Mapping[str, Values]) -> list[str]:
    return [name for name, user in users.items() if user.get("role") == OWNER]


Entries: TypeAlias = dict[str, Fields]  # of a state file, by name or id


class Store:
    """The entries of a state file. Thread-safe, and safe with other processes.

    A change by another process is noticed at the next call (by stat). All methods raise StateError
    where the file is damaged.
    """

    def __init__(
        self, path: Path, key: str, is_entry: Callable[[Any], bool], need: str
    ) -> None:
        self._path = path
        self._key = key
        self._is_entry = is_entry
        self._need = need  # what each entry has, for the owner
        # The file's identity and its entries, as they were read together; None: not yet.
        self._known: tuple[Identity | None, Entries] | None = None
        self._read_lock = threading.Lock()
        self._write_lock = threading.Lock()  # for disks without locks

    def _read(self) -> Entries:
        # Each request comes here: no thread shall wait while another one asks the system.
        entries = self._unchanged()
        if entries is not None:
            return entries
        leave_to_thread()
        with self._read_lock:
            entries = self._unchanged()
            if entries is None:
                identity = identity_of(self._path)
                entries = self._load()
                self._known = identity, entries
            return entries

    def _unchanged(self) -> Entries | None:
        """Return the entries if the file is as it was read; None: it has to be read."""
        if self._known is None:
            return None
        identity, entries = self._known
        if identity_of(self._path) != identity:
            return None
        return entries

    def _load(self) -> Entries:
        state = read_state(self._path)
        if state is None:
            return {}
        entries = state.get(self._key)
        if not isinstance(entries, dict) or not all(map(self._is_entry, entries.values())):
            raise StateError(f"{self._path} is damaged: {self._need}")
        return entries

    @contextmanager
    def _change(self) -> Iterator[Entries]:
        """Read, change and write as one step."""
        try:
            with self._write_lock, locked(self._path):
                entries = self._load()
                yield entries
                write_state(self._path, {self._key: entries})
        except OSError as error:
            raise Unwritable(self._path, error) from None


class UserStore(Store):
    """The registered users, in users.json; the writing methods raise UserExists or NoSuchUser."""

    def __init__(self, state: Path) -> None:
        need = "each user needs a password and an epoch."
        super().__init__(state / "users.json", "users", _is_user, need)
        self._hashes_running = threading.BoundedSemaphore(HASHES_AT_ONCE)
        self._hashes_waiting = threading.BoundedSemaphore(HASHES_WAITING)
        # Checked for an unknown name, so that the time of the answer does not tell which names exist.
        salt, digest = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(DIGEST_BYTES)
        self._dummy_hash = encode_hash(salt, digest)

    def names(self) -> list[str]:
        """Return the names of all users, sorted."""
        return sorted(self._read())

    def registered(self) -> frozenset[str]:
        """Return the names of all users; none where the file is damaged."""
        try:
            return frozenset(self._read())
        except StateError:
            return frozenset()

    def circumstances(self, today: Callable[[], dt.date] = dt.date.today) -> Circumstances:
        """Return what decides now beside names."""
        return Circumstances(today(), self.registered())

    def is_owner(self, name: str) -> bool:
        """Say whether a user is an owner; in a file that names none, all are whom older versions wrote."""
        users = self._read()
        owners = _owners(users)
        if owners or name not in users:
            return name in owners
        return "role" not in users[name]

    def has_owner(self) -> bool:
        return bool(_owners(self._read()))

    def epoch(self, name: str) -> str | None:
        """Return the epoch of a user's sessions, which differs when all of them end; None: no user."""
        user = self._read().get(name)
        if user is None:
            return None
        return str(user["epoch"])

    def is_revoked(self, name: str, jti: str) -> bool:
        """Say whether that session of a user was logged out."""
        user = self._read().get(name, {})
        return jti in user.get("revoked", {})

    def register(self, name: str, password: bytes, *, owner: bool = False) -> None:
        hashed = hash_password(password)
        role = OWNER if owner else USER
        with self._change() as users:
            if name in users:
                raise UserExists(name)
            epoch = secrets.token_hex(8)
            users[name] = {"password": hashed, "epoch": epoch, "role": role}

    def make_owner(self, name: str) -> None:
        with self._change() as users:
            if name not in users:
                raise NoSuchUser(name)
            users[name]["role"] = OWNER

    def set_password(self, name: str, password: bytes) -> None:
        """Change a password; ends all sessions of that user."""
        hashed = hash_password(password)
        with self._change() as users:
            if name not in users:
                raise NoSuchUser(name)
            users[name].pop("revoked", None)
            users[name] |= {"password": hashed, "epoch": secrets.token_hex(8)}

    def remove(self, name: str) -> None:
        """Remove a user; ends all sessions of that user."""
        with self._change() as users:
            if name not in users:
                raise NoSuchUser(name)
            # Without an owner, every user would count as one.
            if _owners(users) == [name] and len(users) > 1:
                problem = f"{name} is the only owner. Name another one first:"
                raise PhotosError(problem, "owner NAME")
            del users[name]

    def revoke(self, name: str, jti: str, expires: int) -> None:
        """End one session; remembered until its last token has expired (seconds since the epoch)."""
        with self._change() as users:
            if name not in users:
                return
            revoked = users[name].get("revoked", {})
            now = time.time()
            current = {other: until for other, until in revoked.items() if until > now}
            users[name]["revoked"] = {**current, jti: expires}

    def verify(self, name: str, password: bytes) -> str | None:
        """Return the user's epoch, or None for a wrong name or password. Both take equally long.

        A hash with old parameters is renewed. Raises Busy when many log in at the same moment.
        """
        user = self._read().get(name)
        hashed = self._dummy_hash
        if user:
            hashed = user["password"]
        is_right = self.check_password(password, hashed, self._path, name)
        if user is None or not is_right:
            return None
        if is_outdated(hashed):
            self._renew(name, hashed, password)
        return str(user["epoch"])

    def check_password(self, password: bytes, hashed: str, path: Path, name: str) -> bool:
        """Say whether a password is right, of a user or of a share; few are checked at a time.

        `path` and `name` tell the owner which hash is damaged. Raises Busy, StateError.
        """
        try:
            with place_among(self._hashes_waiting, CROWDED), self._hashes_running:
                return is_password(password, hashed)
        except ValueError as error:
            if "malloc" in str(error):  # what OpenSSL says where 32 MB are not to be had
                raise Busy(
                    "The server is short of memory. Try again in a moment."
                ) from None
            raise StateError(f"{path} is damaged: the hash of {name}: {error}") from None

    def hash_password(self, password: bytes) -> str:
        """Return the hash of a new password, one of few at a time. Raises Busy."""
        with place_among(self._hashes_waiting, CROWDED), self._hashes_running:
            return hash_password(password)

    def _renew(self, name: str, hashed: str, password: bytes) -> None:
        """Store a hash with today's parameters, unless somebody changed the password meanwhile."""
        renewed = hash_password(password)
        # the next login can do it
        with suppress(StateError), self._change() as users:
            if users.get(name, {}).get("password") == hashed:
                users[name]["password"] = renewed


def _wait_after(failures: int) -> float:
    """Return how long an account is blocked after its last failure, seconds: 0, then 1, 2, 4 …"""
    excess = failures - ACCOUNT_FAILURES
    if excess < 0:
        return 0.0
    return min(ACCOUNT_WAIT, 2.0 ** min(excess, 10))


class LoginLimits:
    """How often somebody may try passwords. Monotonic clock; thread-safe; bounded tables.

    `registered` tells the names of all users, whose failures are never dropped.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        registered: Callable[[], Container[str]] = frozenset,
    ) -> None:
        self._clock = clock
        self._registered = registered
        self._lock = threading.RLock()
        # Failures, and until when the account is blocked.
        self._accounts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._addresses: OrderedDict[str, list[float]] = OrderedDict()  # moments of failure

    def attempt(self, account: str, address: str) -> None:
        """Count an attempt as failed until it succeeds or is withdrawn. Raises TooManyAttempts.

        `address` is '' where it is not known.
        """
        with self._lock:
            now = self._clock()
            failures, blocked_until = self._accounts.get(account, (0, 0.0))
            if blocked_until > now:
                raise TooManyAttempts(blocked_until - now)
            moments = self._addresses.get(address, [])
            recent = [moment for moment in moments if moment > now - ADDRESS_SECONDS]
            if len(recent) >= ADDRESS_FAILURES:
                raise TooManyAttempts(recent[0] + ADDRESS_SECONDS - now)
            failures += 1
            self._accounts[account] = failures, now + _wait_after(failures)
            self._accounts.move_to_end(account)
            self._drop_stranger()
            if address:
                self._addresses[address] = [*recent, now]
                self._addresses.move_to_end(address)
                if len(self._addresses) > LIMITS_KEPT:
                    self._addresses.popitem(last=False)

    def _drop_stranger(self) -> None:
        """Forget the name that was tried longest ago of those that no user has, if they are many."""
        if len(self._accounts) > LIMITS_KEPT:
            registered = self._registered()
            strangers = [name for name in self._accounts if name not in registered]
            if len(strangers) > LIMITS_KEPT:
                del self._accounts[strangers[0]]

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of an account, and this attempt of the address."""
        with self._lock:
            self._accounts.pop(account, None)
            self.withdraw(account, address)

    def withdraw(self, account: str, address: str) -> None:
        """Take an attempt back that was not checked after all."""
        with self._lock:
            failures, blocked_until = self._accounts.get(account, (0, 0.0))
            if failures:
                # What this attempt added; other attempts may have failed meanwhile.
                added = _wait_after(failures) - _wait_after(failures - 1)
                self._accounts[account] = failures - 1, blocked_until - added
            if failures == 1:  # a table full of nothing would push others out
                del self._accounts[account]
            if moments := self._addresses.pop(address, [])[:-1]:
                self._addresses[address] = moments


# --- Tokens ------------------------------------------------------------------

RENEW_SECONDS = 86400
TOKEN_BYTES = 4096
AUDIENCE = "photos session"
UNLOCKING = "photos unlock"  # the audience of who told a share's password
CLAIMS = ["exp", "iat", "sub", "aud", "jti", "epoch"]


@dataclass(frozen=True)
class Session:
    """A login as its token tells it; `jti` stays the same when the token is renewed.

    Where a share was unlocked, `user` is the share's id, and the epoch that of its password.
    """

    user: str
    epoch: str
    jti: str
    issued: int  # seconds since the epoch

    @property
    def is_old(self) -> bool:
        return time.time() - self.issued > RENEW_SECONDS


class Tokens:
    """Signs and reads tokens (JWT, RFC 7519; HS256 alone), for one purpose."""

    def __init__(self, secret: bytes, audience: str = AUDIENCE) -> None:
        self._audience = audience
        # each purpose its own key
        self._key = hmac.digest(secret, audience.encode(), "sha256")
        # In the name of the cookie: of two sites on one host, browsers send it to both.
        self.site = hmac.digest(secret, b"photos cookie", "sha256")[:4].hex()

    def issue(
        self, user: str, epoch: str, jti: str = "", seconds: int = SESSION_SECONDS
    ) -> str:
        """Return a token of a new session, or of the one that `jti` names."""
        now = int(time.time())
        claims = {
            "sub": user,
            "epoch": epoch,
            "jti": jti or secrets.token_urlsafe(16),
            "aud": self._audience,
            "iat": now,
            "exp": now + seconds,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, token: str) -> Session | None:
        """Return the session of a valid token, else None."""
        if not token or len(token) > TOKEN_BYTES:
            return None
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                audience=self._audience,
                options={"require": CLAIMS, "verify_iat": False},
            )
            session = Session(
                user=claims["sub"],
                epoch=str(claims["epoch"]),
                jti=str(claims["jti"]),
                issued=int(claims["iat"]),
            )
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        if session.issued > time.time() + AHEAD_SECONDS:
            return None
        return session


# --- Shares ------------------------------------------------------------------

SHARE_DAYS = 365  # that a share lasts unless the owner says otherwise
LONGEST_DAYS = 36500
LABEL_LENGTH = 100  # characters
TOKEN_KEY = b"photos share"
TOKEN_BITS = 128  # 22 characters of Base64
MARKS = 16  # of an album, so that no other folder is taken for it
SEARCH_SECONDS = 2.0  # before an album that is gone is searched for again
ADDED_KEPT = 20_000  # records of files that people added: 4 MB
BIN_DAYS = 30  # until a file that its guest took back is deleted

DURATIONS = (1, 7, 30, SHARE_DAYS)  # days, of which the form lets choose
FOREVER = "forever"


class NoSuchShare(PhotosError):
    """There is no such share."""

    status = 404

    def __init__(self, label: str) -> None:
        super().__init__(f"There is no link for {label}. To list the links:", "shares")


class ShareExists(PhotosError):
    """There is a link to that album for the same people already."""

    status = 409

    def __init__(self, label: str) -> None:
        problem = f"There is a link to this album for {label} already. It is among:"
        super().__init__(problem, "shares")


def parse_label(text: str) -> str:
    """Return for whom a share is: 1 to 100 characters on one line."""
    problem = f"Say for whom the link is, in 1 to {LABEL_LENGTH} characters."
    return parse_line(text, LABEL_LENGTH, problem)


def parse_days(text: str) -> int:
    """Return for how many days a share lasts."""
    problem = f"The days are a number from 1 to {LONGEST_DAYS}."
    return parse_number(text, range(1, LONGEST_DAYS + 1), problem)


@dataclass(frozen=True)
class Share:
    """A link for one guest or household to one album and what is in it."""

    label: str  # for whom
    album: str  # its address, with slashes; '' is the library
    device: int  # of the album's folder
    inode: int
    # Of what was in the folder, so that no other one is taken for it.
    marks: tuple[str, ...]
    since: dt.date
    until: dt.date | None  # the last day, server's time; None: no end
    password: str = ""  # the hash; '': none is asked
    may_add: bool = False  # whether its guests may add photos
    creator: str = ""  # an owner; '': made on the command line
    used: dt.date | None = None  # the last day
    path: str = ""  # where the album was last on disk, with keywords; '': in an older entry
    id: str = ""

    @property
    def epoch(self) -> str:
        """Differs when the password does."""
        return hashlib.blake2b(self.password.encode(), digest_size=8).hexdigest()

    @property
    def address(self) -> Parts:
        return tuple(filter(None, self.album.split("/")))


def _day(text: str | None) -> dt.date | None:
    if text is None:
        return None
    return dt.date.fromisoformat(text)


SHARE_TYPES: Fields = {
    **dict.fromkeys(("label", "album", "password", "creator", "path"), str),
    **dict.fromkeys(("device", "inode"), int),
    **dict.fromkeys(("since", "until", "used"), (str, type(None))),
    "marks": list,
    "may_add": bool,
}


def share_from(share_id: str, entry: Values) -> Share:
    """Return the share that an entry of shares.json is. Raises ValueError, KeyError."""
    entry = {"path": "", **entry}
    values = {name: entry[name] for name in SHARE_TYPES}
    if not all(isinstance(values[name], kind) for name, kind in SHARE_TYPES.items()):
        raise ValueError("a value is of another type")
    values |= {name: _day(values[name]) for name in ("since", "until", "used")}
    values["id"] = share_id
    values["marks"] = tuple(map(str, values["marks"]))
    return Share(**values)


def _is_share(entry: Any) -> bool:
    """Say whether an entry of shares.json is one."""
    try:
        return isinstance(entry, dict) and share_from("", entry).since is not None
    except (ValueError, KeyError):
        return False


def entry_of(share: Share) -> Fields:
    """Return a share as shares.json has it."""
    entry = {name: getattr(share, name) for name in SHARE_TYPES}
    for name in ("since", "until", "used"):
        entry[name] = entry[name] and entry[name].isoformat()
    return {**entry, "marks": list(share.marks)}


class ShareStore(Store):
    """The links for guests, in shares.json."""

    def __init__(self, state: Path) -> None:
        need = "its links are not as this program writes them."
        super().__init__(state / "shares.json", "shares", _is_share, need)
        self.state = state
        self._by_token: tuple[Entries, dict[str, Share]] = ({}, {})

    def token(self, share: Share) -> str:
        """Return the 22 characters of a share's address: an HMAC of its id by a key of its own."""
        digest = hmac.digest(self._token_key, share.id.encode(), "sha256")
        encoded = base64.urlsafe_b64encode(digest[: TOKEN_BITS // 8])
        return encoded.decode().rstrip("=")

    @functools.cached_property
    def _token_key(self) -> bytes:
        return hmac.digest(read_secret(self.state), TOKEN_KEY, "sha256")

    def _tokens(self) -> dict[str, Share]:
        """Return the shares by token, made again after a change."""
        entries = self._read()
        if self._by_token[0] is not entries:
            leave_to_thread()
            shares = (share_from(share_id, entry) for share_id, entry in entries.items())
            self._by_token = entries, {self.token(share): share for share in shares}
        return self._by_token[1]

    def all(self) -> list[Share]:
        """Return the shares, by label."""
        return sorted(
            self._tokens().values(), key=lambda share: (natural(share.label), share.id)
        )

    def at(self, token: str) -> Share | None:
        """Return the share of a token, be it dead or alive; None: there is none."""
        return self._tokens().get(token)

    def labelled(self, label: str) -> list[Share]:
        """Return the shares for somebody. Raises NoSuchShare."""
        folded = _folded(label)
        shares = [share for share in self.all() if _folded(share.label) == folded]
        if not shares:
            raise NoSuchShare(label)
        return shares

    def make(self, share: Share) -> Share:
        """Add a share; return it with its id. Raises ShareExists."""
        share_id = secrets.token_hex(8)
        with self._change() as entries:
            for entry in entries.values():
                is_same = _folded(entry["label"]) == _folded(share.label)
                if is_same and entry["album"] == share.album:
                    raise ShareExists(share.label)
            entries[share_id] = entry_of(share)
        return replace(share, id=share_id)

    def end(self, share_id: str) -> None:
        """End a share at once. Raises NoSuchShare."""
        with self._change() as entries:
            if share_id not in entries:
                raise NoSuchShare(share_id)
            del entries[share_id]

    def end_all_of(self, creator: str) -> list[Share]:
        """End and return the shares of an owner, so that no later user of that name has them."""
        shares = [share for share in self.all() if share.creator == creator]
        for share in shares:
            self.end(share.id)
        return shares

    def update(self, share: Share) -> None:
        """Note where a share's album is now and when the share was used last.

        Not of a share that has ended, nor while its album is just being moved.
        """
        with self._change() as entries:
            if share.id in entries and share.inode:
                after = entry_of(share)
                names = ("album", "device", "inode", "marks", "path", "used")
                entries[share.id] |= {name: after[name] for name in names}


ADDED_TYPES = {
    **dict.fromkeys(("who", "name", "key", "when", "withdrawn"), str),
    "size": int,
}


def _is_added(entry: Any) -> bool:
    """Say whether an entry of added.json is one."""
    if not isinstance(entry, dict) or entry.keys() != ADDED_TYPES.keys():
        return False
    return all(isinstance(entry[name], kind) for name, kind in ADDED_TYPES.items())


class AddedStore(Store):
    """Which files were added by whom, in added.json, each by its identity.

    `who` as a principal has it; `key` of the content; `when` it was added, and the day when it was
    `withdrawn` or ''. A file that is renamed or moved, or whose album is, keeps its identity.
    """

    def __init__(self, shares: ShareStore) -> None:
        need = "its records are not as this program writes them."
        super().__init__(shares.state / "added.json", "added", _is_added, need)
        self._shares = shares
        self._by_who: tuple[Entries, dict[str, Fields]] = ({}, {})

    def _of(self, who: str) -> Fields:
        """Return the records of somebody, sorted out again after a change."""
        entries = self._read()
        if self._by_who[0] is not entries:
            leave_to_thread()
            by_who: dict[str, Fields] = {}
            for identity, entry in entries.items():
                by_who.setdefault(entry["who"], {})[identity] = entry
            self._by_who = entries, by_who
        return self._by_who[1].get(who, {})

    def identities(self, who: str) -> frozenset[str]:
        """Return the identities of the files that somebody added and did not withdraw."""
        own = self._of(who)
        return frozenset(identity for identity in own if not own[identity]["withdrawn"])

    def sizes(self, who: str) -> list[int]:
        """Return how large the files are that somebody added, those in the bin too."""
        return [entry["size"] for entry in self._of(who).values()]

    def key(self, identity: str) -> str:
        """Return the key of the content of a file as it was added; '': nobody added the file."""
        entry = self._read().get(identity)
        return str(entry["key"]) if entry else ""

    def note(self, identity: str, who: str, name: str, size: int, key: str) -> None:
        """Note that somebody added a file. Raises ShareFull where there is no room for a record."""
        when = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        with self._change() as entries:
            self._make_room(entries)
            entries[identity] = {
                "who": who,
                "name": display(name),
                "size": size,
                "key": key,
                "when": when,
                "withdrawn": "",
            }

    def follow(self, who: str, folder: Folder) -> None:
        """Note the identities that the disk gives now to what somebody added, by name and key.

        Raises StateError.
        """
        own = self._of(who)
        changed = {}
        for identity, entry in own.items():
            file = folder.files.get(entry["name"])
            if file is None or entry["withdrawn"]:
                continue
            other = file.identity
            is_like = but_inode(other) == but_inode(identity)
            if other == identity or not is_like:
                continue
            leave_to_thread()
            with suppress(OSError):
                key = key_on_disk(file.path)
                if key == entry["key"]:
                    changed[identity] = other
        if not changed:
            return
        with self._change() as entries:
            for identity, other in changed.items():
                entries[other] = entries.pop(identity, own[identity])

    def _make_room(self, entries: Entries) -> None:
        """Drop what was deleted from the bin, and where there are too many records, the oldest.

        Those of shares that are open stay: limits and rights depend on them.
        """
        last = (dt.date.today() - dt.timedelta(days=BIN_DAYS)).isoformat()
        for identity, entry in list(entries.items()):
            if entry["withdrawn"] and entry["withdrawn"] < last:
                del entries[identity]
        if len(entries) < ADDED_KEPT:
            return
        needed = {f"share {share.id}" for share in self._shares.all()}
        others = [
            identity for identity in entries if entries[identity]["who"] not in needed
        ]
        if not others:
            raise ShareFull("Too many files were added by links that are still open.")
        del entries[min(others, key=lambda identity: str(entries[identity]["when"]))]

    def drop(self, identity: str) -> None:
        """Forget a file that could not be laid into its album."""
        with self._change() as entries:
            entries.pop(identity, None)

    def withdraw(self, identity: str) -> None:
        """Note that a file lies in the bin."""
        with self._change() as entries:
            if identity in entries:
                entries[identity]["withdrawn"] = dt.date.today().isoformat()


def share_link(config: Config, token: str) -> str:
    """Return the complete address of a share."""
    return f"{address_for_others(config)}/s/{token}/"


QUIET_ZONE = 4  # modules around a code (ISO/IEC 18004)
HALF_BLOCKS = (" ▄", "▀█")  # by whether the upper half is dark, then the lower
# Colours 16 and 231 of 256: black on white, whatever the theme of the terminal makes of its own 16.
BLACK_ON_WHITE, USUAL_COLOURS = "\033[38;5;16;48;5;231m", "\033[0m"


def qr_code(link: str) -> Any:
    """Return the QR code of a link (ISO/IEC 18004), as segno makes it."""
    # Here, since it loads much of Python's network code, 55 ms, and is needed once in a while.
    import segno

    return segno.make(link, error="m", micro=False)


def qr_lines(link: str) -> Iterator[str]:
    """Draw the QR code of a link for a terminal, two rows a line."""
    rows = [*qr_code(link).matrix_iter(border=QUIET_ZONE)]
    blank = bytes(len(rows[0]))
    pairs = itertools.zip_longest(rows[::2], rows[1::2], fillvalue=blank)
    for upper, lower in pairs:
        halves = zip(upper, lower, strict=True)
        blocks = "".join(HALF_BLOCKS[above][below] for above, below in halves)
        yield f"{BLACK_ON_WHITE}{blocks}{USUAL_COLOURS}"


class SharedAlbum(NamedTuple):
    """A share as its owner's list shows it."""

    share: Share
    title: str  # of the album; '' where it is gone
    address: Parts
    why_dead: str
    link: str


class Guests:
    """Finds out which album a share opens now. Thread-safe."""

    def __init__(self, store: ShareStore, users: UserStore, folders: Folders) -> None:
        self.store = store
        self.added = AddedStore(store)
        self._users = users
        self.folders = folders
        self._missed: dict[str, float] = {}  # when an album was searched for in vain
        self._noted: dict[str, dt.date] = {}  # when a day of use was last written
        # The album in which what was added was last searched for.
        self._followed: dict[str, Folder] = {}

    def is_alive(self, share: Share) -> bool:
        """Say whether a share has neither expired nor lost the owner who made it."""
        if self._is_over(share):
            return False
        if not share.creator:
            return True
        try:
            return self._users.is_owner(share.creator)
        except StateError:  # nobody knows who is an owner
            return False

    def why_dead(self, share: Share) -> str:
        """Say why a share opens nothing: expired, no_owner or no_album; '': it opens its album."""
        if self._is_over(share):
            return "expired"
        if not self.is_alive(share):
            return "no_owner"
        if self.album(share) is None:
            return "no_album"
        return ""

    def _is_over(self, share: Share) -> bool:
        today = self.folders.circumstances().today
        return share.until is not None and today > share.until

    def share_at(self, token: str) -> Share | None:
        """Return the share of a token; None: it has ended, or never was. Raises StateError."""
        share = self.store.at(token)
        if share is None or not self.is_alive(share):
            return None
        return share

    def make(self, place: Place, **terms: Any) -> Share:
        """Make a share of the album at a place, and return it; `terms` are fields of Share."""
        today = self.folders.circumstances().today
        return self.store.make(Share(since=today, **self._folder_of(place), **terms))

    def principal(self, share: Share) -> Principal | None:
        """Return the guest of a share; None: its album is gone."""
        place = self.album(share)
        if place is None:
            return None
        guest = Principal(
            share=share.id,
            root=place.parts,
            only_adds=place.keywords.is_inbox,
            may_add=share.may_add,
            is_discreet=share.password != "" or place.rule.visibility == Visibility.PRIVATE,
        )
        if not share.may_add:
            return guest
        try:
            folder = self.folders.listing(place.parts, fresh=True)
            if self._followed.get(share.id) is not folder:
                with suppress(StateError):  # tried again at the next request
                    self.added.follow(guest.who, folder)
                    self._followed[share.id] = folder
            added = self.added.identities(guest.who)
        except StateError:  # nobody knows what is whose
            return guest
        return replace(guest, added=added)

    def album(self, share: Share) -> Place | None:
        """Return the album of a share; where it was renamed or moved, note its new address.

        The folder itself goes first, since another one may have its address by now; else what is
        at the address, such as a copy that was put back.
        """
        place = self.folders.locate(share.address, OWNER_PRINCIPAL)
        if place and place.file:
            place = None
        is_itself = place and self._is_shared(share, place)
        if place and is_itself and share.path == "/".join(place.parts):
            return place
        leave_to_thread()
        if not is_itself and not self._is_numbered_anew(share, place):
            place = self._search(share) or self._put_back(share, place)
        if place:
            with suppress(StateError):  # it is found again all the same
                self.store.update(replace(share, **self._folder_of(place)))
        return place

    def below(self, share: Share, address: Parts) -> Parts | None:
        """Return what an address of the library is below a share, where a guest may use it, too.

        None: it lies elsewhere, or would tell the guest how private albums above are called.
        """
        own = share.address
        if not own or address[: len(own)] != own:
            return None
        if self.folders.locate(own[:-1], VISITOR) is None:
            return None
        return address[len(own) :]

    def note_use(self, share: Share) -> None:
        """Note that a share was used today, at most once a day."""
        today = self.folders.circumstances().today
        if today in (share.used, self._noted.get(share.id)):
            return
        leave_to_thread()
        self._noted[share.id] = today  # a page asks for many pictures at once
        if place := self.album(share):
            with suppress(StateError):
                self.store.update(replace(share, used=today, **self._folder_of(place)))

    def _folder_of(self, place: Place) -> Fields:
        """Return what a share keeps of its album: the address, and what tells the folder from others."""
        marks = tuple(itertools.islice(self._marks(place.parts), MARKS))
        # After the marks: 0 where the folder was moved while those were read.
        device, inode = self._folder_id(place)
        return {
            "album": "/".join(place.address),
            "path": "/".join(place.parts),
            "device": device,
            "inode": inode,
            "marks": marks,
        }

    def _folder_id(self, place: Place) -> tuple[int, int]:
        try:
            status = os.stat(os.path.join(self.folders.root, *place.parts))
        except OSError:
            return 0, 0
        return status.st_dev, status.st_ino

    def _marks(self, parts: Parts) -> Iterator[str]:
        """Yield what tells the content of a folder from that of others: the files in it and below.

        An empty folder is told by when it was last written.
        """
        folder = self.folders.listing(parts)
        yield from folder.identities
        for name in folder.albums:
            yield from self._marks((*parts, name))
        if folder.stamp and not folder.identities and not folder.albums:
            yield "{:x}-{:x}-{:x}".format(*folder.stamp)

    @staticmethod
    def _put_back(share: Share, place: Place | None) -> Place | None:
        """Return the place at a share's address; None: a private album of the same title is there.

        It has the address as soon as the shared one is gone, and nobody has shared it.
        """
        if place is None or may_open(VISITOR, place.rule):
            return place
        return place if share.path in ("", "/".join(place.parts)) else None

    def _search(self, share: Share) -> Place | None:
        """Return the album of a share by its folder, wherever that is now."""
        now = time.monotonic()
        if now - self._missed.get(share.id, -SEARCH_SECONDS) < SEARCH_SECONDS:
            return None
        waiting: list[Parts] = [()]
        while waiting:
            parts = waiting.pop()
            folder = self.folders.listing(parts)
            waiting += [(*parts, name) for name in folder.albums]
            may_be = folder.stamp and folder.stamp.inode == share.inode
            place = self.folders.locate(parts, OWNER_PRINCIPAL) if may_be else None
            if place and self._is_shared(share, place):
                return place
        self._missed[share.id] = now
        return None

    def _is_shared(self, share: Share, place: Place) -> bool:
        """Say whether a place has the very folder that was shared.

        Its number alone does not tell: that of a folder that was deleted comes again, and disks
        such as exFAT number all folders anew whenever they are mounted.
        """
        if self._folder_id(place) != (share.device, share.inode):
            return False
        return any(mark in share.marks for mark in self._marks(place.parts))

    def _is_numbered_anew(self, share: Share, place: Place | None) -> bool:
        """Say whether a place is the shared one, with the same files but for their inodes.

        Else a copy of one of its photos, which got the inode of that, could lead to another album.
        """
        if place is None:
            return False
        path = "/".join(place.parts)
        if path != share.path:
            return False
        marks = set(map(but_inode, share.marks))
        present = map(but_inode, self._marks(place.parts))
        return not marks.isdisjoint(present)


# --- HTTP --------------------------------------------------------------------

LANGUAGES_BYTES = 1000  # of Accept-Language; browsers send less than 200
LANGUAGES_KEPT = 256  # values of it whose language is remembered: 256 KB at most
NEXT_BYTES = 4096  # of an address to come back to after login
YEAR_SECONDS = 31_536_000
SHARED_SECONDS = 300  # that caches on the way keep what is public: a rename takes as long
KEPT_BYTES = 32_000_000  # of finished pages, each as it is and compressed
MADE_AT_ONCE = 16  # of the pages that are kept, and of other such answers
GZIP_LEVEL = 5  # of a page: 1 % larger than with 6, in three quarters of the time
# Sent at a time where a server's file wrapper cannot hold so large a part.
BLOCK_BYTES = 1 << 18
SENT_BYTES = 1 << 20  # by the system, before another connection has its turn
LAST_BYTES = 1 << 14  # of a file: sent after a look at whether it is as it was
# A video that is opened alone is a page that loads itself, which needs an origin; scripts stay
# forbidden.
MEDIA_POLICY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox allow-same-origin"
OTHER_TYPE = "application/octet-stream"
_LANGUAGE = re.compile(
    r"\s*(\*|[a-z]{1,8}(?:-[a-z\d]{1,8})*)\s*"
    r"(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?",
    re.ASCII,
)
# In Accept-Encoding (RFC 9110, 12.5.3).
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")
# What a quoted file name of a header may not hold.
_NOT_PLAIN = re.compile(r'[^ -~]|["\\%]')
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\s*", re.ASCII)

Language = TypeVar("Language")
Content = TypeVar("Content")


def headers_of(environ: Environ) -> dict[str, str]:
    """Return a request's headers as the server gives them; Bottle's fail where they are not UTF-8."""
    return {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def is_same_origin(headers: Headers, origins: Iterable[str]) -> bool:
    """Decide whether an unsafe request comes from this site (Fetch Metadata; RFC 6454)."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    return headers.get("Origin") in set(origins) - {""}


_IP_HOST = re.compile(r"[\d.]+|\[[\da-f:.]+\]")


def is_own_host(host: str, public: str) -> bool:
    """Say whether a Host header names this site; `public`: host and port of its public address.

    Any IP address does, and names that only a home network knows: no stranger's page can lead a
    browser to these, and then read what comes back (DNS rebinding).
    """
    host = host.lower()
    name = re.sub(r":\d*$", "", host).removesuffix(".")
    is_of_home = "." not in name or name.endswith(".local")
    is_public = name == re.sub(r":\d*$", "", public)
    return is_of_home or is_public or _IP_HOST.fullmatch(name) is not None


def advice_about_proxy(headers: Headers, own_origin: str) -> str:
    """Say what to set if a request of another origin is this site's; '': it is another site's."""
    origin = headers.get("Origin", "null")
    if origin == "null" or "Sec-Fetch-Site" in headers:
        return ""
    header, setting = "Host", "public_address"
    if origin.partition(":")[2] == own_origin.partition(":")[2]:
        header, setting = "X-Forwarded-Proto", "public_address or trusted_proxy"
    theirs = f"the browser says Origin {origin[:200]!r},"
    ours = f"but by the header {header} this site is {own_origin[:200]!r}."
    return f"A form was refused as another site's: {theirs} {ours} If both are this site, set {setting}."


def safe_next(target: str, prefix: str) -> str:
    """Return a path of this site to go to after login; anything else becomes the front page."""
    is_inside = target.startswith(f"{prefix}/") and not target.startswith("//")
    is_clean = target.isascii() and target.isprintable() and not set(target) & set('\\ "<>')
    path, _, _ = target.partition("?")
    goes_up = not {".", ".."}.isdisjoint(unquote(path).split("/"))
    if is_inside and is_clean and not goes_up and len(target) < NEXT_BYTES:
        return target
    return f"{prefix}/"


def cookie_value(header: str, name: str) -> str:
    """Return one cookie, whatever odd ones other programs on the same host have set; '': not there."""
    for pair in header.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""


def _lookup_order(range_: str, languages: Iterable[str]) -> list[str]:
    """Return the tags that a language range means, best first: zh-hant-hk, zh-hant, zh."""
    if range_ == "*":
        return list(languages)
    subtags = range_.split("-")
    lengths = range(len(subtags), 0, -1)
    return ["-".join(subtags[:length]) for length in lengths]


def choose_language(header: str, languages: Mapping[str, Language]) -> Language:
    """Evaluate Accept-Language (RFC 9110, 12.5.4) by lookup (RFC 4647, 3.4); else the first language.

    `languages`: by language tag in lower case; several tags may mean the same language.
    """
    weights: dict[str, float] = {}
    for part in header[:LANGUAGES_BYTES].lower().split(","):
        if match := _LANGUAGE.fullmatch(part):
            tag, weight = match.groups()
            weights[tag] = float(weight or 1)
    refused = [languages[tag] for tag in weights if tag in languages and weights[tag] == 0]
    wanted = [tag for tag in weights if weights[tag] > 0]
    for range_ in sorted(wanted, key=weights.__getitem__, reverse=True):
        for tag in _lookup_order(range_, languages):
            if tag in languages and languages[tag] not in refused:
                return languages[tag]
    return next(iter(languages.values()))


def is_current(header: str, etag: str) -> bool:
    """Evaluate If-None-Match (RFC 9110, 13.1.2; weak comparison)."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return tags == ["*"] or etag.removeprefix("W/") in tags


def is_unchanged(headers: Headers, etag: str, modified: str) -> bool:
    """Evaluate the conditions of a GET; If-None-Match goes first (RFC 9110, 13.2.2)."""
    if "If-None-Match" in headers:
        return is_current(headers["If-None-Match"], etag)
    if "If-Modified-Since" not in headers or not modified:
        return False
    since = bottle.parse_date(headers["If-Modified-Since"])
    return since is not None and bottle.parse_date(modified) <= since


class Part(NamedTuple):
    """What is sent of a file: status 200, 206, 304 or 416, and the bytes from start to end."""

    status: int
    start: int = 0
    end: int = 0

    def headers(self, size: int) -> dict[str, str]:
        """Return the headers that say which bytes of so many are sent."""
        if self.status == 304:
            return {}
        if self.status == 416:
            return {"Content-Range": f"bytes */{size}"}
        headers = {"Content-Length": str(self.end - self.start)}
        if self.status == 206:
            headers["Content-Range"] = f"bytes {self.start}-{self.end - 1}/{size}"
        return headers


def requested_part(
    method: str, headers: Headers, etag: str, modified: str, size: int
) -> Part:
    """Return what a GET or HEAD asks of a file (RFC 9110, 13 and 14); a range is for GET alone.

    `headers`: the request's; `modified`: the response's Last-Modified or ''; `size` in bytes.
    """
    if is_unchanged(headers, etag, modified):
        return Part(304)
    whole = Part(200, 0, size)
    is_same = headers.get("If-Range", etag) in (etag, modified)
    match = _RANGE.fullmatch(headers.get("Range", ""))
    if method != "GET" or not match or not is_same:
        return whole
    first, last = match.groups()
    is_backwards = first and last and int(last) < int(first)
    if is_backwards or not (first or last):
        return whole
    if not first:  # the last bytes
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last or size) + 1)
    if start >= size:
        return Part(416)
    return Part(206, start, end)


def cache_control(visibility: Visibility, *, versioned: bool) -> str:
    """Return how media may be cached: public ones by shared caches too, for 5 minutes at most."""
    scope = "public" if visibility == Visibility.PUBLIC else "private"
    if not versioned:
        return f"{scope}, no-cache"
    if scope == "public":
        return f"public, max-age={YEAR_SECONDS}, s-maxage={SHARED_SECONDS}, immutable"
    return f"private, max-age={YEAR_SECONDS}, immutable"


def attachment(name: str) -> str:
    """Return a Content-Disposition that keeps any name (RFC 6266)."""
    plain, encoded = _NOT_PLAIN.sub("_", name), quote(name, safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


class Media(NamedTuple):
    """A file to send: a rendition, or an original with the patches that take its place away."""

    path: str | Path
    media_type: str
    cache_control: str
    name: str = ""  # of an attachment
    vary: str = ""  # the request's header that decides what is sent
    place: str = ""  # the patches, encoded
    patched: File | None = None  # which the patches are for
    piece: tuple[int, int] | None = None  # offset and size of what is sent; None: the file
    status: os.stat_result | None = None  # as the file was just looked at

    @property
    def headers(self) -> dict[str, str]:
        """The headers that do not depend on the request."""
        headers = {
            "Content-Type": self.media_type,
            "Content-Security-Policy": MEDIA_POLICY,
            "Cache-Control": self.cache_control,
            "Accept-Ranges": "bytes",
        }
        if self.name:
            headers["Content-Disposition"] = attachment(self.name)
        if self.vary:
            headers["Vary"] = self.vary
        return headers

    def etag(self, status: os.stat_result) -> str:
        """Return the ETag of the file as it is now: what is patched has another one."""
        parts = [f"{number:x}" for number in exact_identity(status)]
        if self.place or self.piece:
            changes = repr((self.place, self.piece)).encode()
            digest = hashlib.blake2b(changes, digest_size=4)
            parts.append(digest.hexdigest())
        return f'"{"-".join(parts)}"'


RIGHTS_SECONDS = 1.0  # until the rights of somebody who downloads are looked at again


def read_at(handle: int, offset: int, count: int) -> bytes:
    """Return bytes of an open file; fewer where it ends before."""
    if sys.platform != "win32":
        return os.pread(handle, count, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, count)


class FilePart:
    """A part of a file, as a file, so that no server's file wrapper sends a byte too much.

    It is opened when its first byte is sent. `patches` are laid over what is read. Raises OSError
    where the file's exact identity is another by now, so that the connection ends: what was sent
    would be parts of two files; and where somebody may not read on.
    """

    def __init__(
        self,
        path: str | Path,
        start: int,
        end: int,
        patches: tuple[Patch, ...],
        identity: Key,
        may_read_on: Condition = lambda: True,
    ) -> None:
        self._may_read_on = may_read_on
        self._path = path
        self._file: io.FileIO | None = None
        self._start = start
        self._end = end
        self._at = start
        self._patches = patches
        self._may_send_uncopied = hasattr(os, "sendfile")
        self._identity = identity

    def _handle(self) -> int:
        if self._file is None:
            self._file = io.FileIO(self._path, opener=open_regular)
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        remaining = max(0, self._end - self._at)
        wanted = min(size, remaining) if size >= 0 else remaining
        if wanted == 0:
            return b""
        self._require_right()
        block = read_at(self._handle(), self._at, wanted)
        self._check(is_whole=len(block) == wanted)
        offset, self._at = self._at, self._at + wanted
        if not self._patches:
            return block
        content = bytearray(block)
        within = patches_within(self._patches, offset, offset + wanted)
        patch_block(content, offset, within)
        return bytes(content)

    def send(self, connection: socket.socket) -> int:
        """Send some of the next bytes and stay where it is; return how many, 0: none for now.

        The system sends pages as they are on disk when they leave. So what may tell a place is
        copied: the head of a file, and what is behind a patch. So is the end, which nobody gets
        of a file that changed.
        """
        at = self._at
        self._require_right()
        count = self._uncopied_bytes()
        if count > 0 and self._may_send_uncopied:
            return self._send_uncopied(connection, count)
        block = self.read(BLOCK_BYTES)
        self._at = at
        try:
            return connection.send(block)
        except BlockingIOError:
            return 0

    def _uncopied_bytes(self) -> int:
        """Return how many of the next bytes may be sent as they are on disk; 0 or less: none."""
        at = self._at
        if at < BLOCK_BYTES:
            return 0
        end = min(at + SENT_BYTES, self._end - LAST_BYTES)
        patches = patches_within(self._patches, at, end)
        if patches:
            end = patches[0].offset
        return end - at

    def _send_uncopied(self, connection: socket.socket, count: int) -> int:
        try:
            sent = os.sendfile(connection.fileno(), self._handle(), self._at, count)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                raise
            self._may_send_uncopied = False  # some file systems cannot
            return 0
        self._check(is_whole=sent > 0)
        return sent

    def _check(self, *, is_whole: bool) -> None:
        if not is_whole or exact_identity(os.fstat(self._handle())) != self._identity:
            raise OSError(errno.ESTALE, "the file was written while it was sent")

    def look_at_right(self) -> None:
        """Look whether somebody may read on, and remember it where nobody may."""
        if not self._may_read_on():
            self._may_read_on = lambda: False

    def _require_right(self) -> None:
        if not self._may_read_on():
            raise OSError(errno.EACCES, "the right to it ended while the file was sent")

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: self._start, os.SEEK_CUR: self._at, os.SEEK_END: self._end}
        self._at = bases[whence] + offset
        return self.tell()

    def tell(self) -> int:
        return self._at - self._start

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the bytes, for a server whose file wrapper cannot hold so large a part."""
        with closing(self):
            while block := self.read(size):
                yield block

    def close(self) -> None:
        if self._file:
            self._file.close()


@dataclass(frozen=True)
class Document:
    """A text to send, and what is computed of it once."""

    body: bytes

    @functools.cached_property
    def digest(self) -> str:
        # The compressed text is needed anyway, and has a twelfth of the bytes.
        return hashlib.blake2b(self.zipped, digest_size=9).hexdigest()

    @functools.cached_property
    def zipped(self) -> bytes:
        leave_to_thread()
        return gzip.compress(self.body, GZIP_LEVEL, mtime=0)


@dataclass
class KeptAnswer(Generic[Content]):
    """What was made for an answer, how much room it takes, and what it was made from."""

    inputs: Key
    content: Content
    size: int


class Kept(Generic[Content]):
    """What was made for answers, as long as what it was made from is the same. Thread-safe."""

    def __init__(self, room: int, size_of: Callable[[Content], int]) -> None:
        self._free = room
        self._size_of = size_of
        self._answers: OrderedDict[Key, KeptAnswer[Content]] = OrderedDict()
        self._lock = threading.Lock()
        self._making_locks = [threading.Lock() for _ in range(MADE_AT_ONCE)]

    def made(self, key: Key, inputs: Key, make: Callable[[], Content]) -> Content:
        """Return what is made from some inputs: made once, however many ask for it."""
        with self._making_locks[hash(key) % len(self._making_locks)]:
            content = self.get(key, inputs)
            if content is None:
                content = make()
                self.put(key, inputs, content)
        return content

    def get(self, key: Key, inputs: Key) -> Content | None:
        """Return what was made from these inputs; None: it has to be made."""
        with self._lock:
            answer = self._answers.get(key)
            if answer:
                self._answers.move_to_end(key)
        # All that is below an album may have to be compared: nobody else shall wait for that.
        if answer is None or answer.inputs != inputs:
            return None
        # From now on these are compared, which are the same objects.
        answer.inputs = inputs
        return answer.content

    def put(self, key: Key, inputs: Key, content: Content) -> None:
        """Keep what was made; what nobody asked for longest makes room."""
        answer = KeptAnswer(inputs, content, self._size_of(content))
        with self._lock:
            self._forget(key)
            self._answers[key] = answer
            self._free -= answer.size
            while self._free < 0:
                self._forget(next(iter(self._answers)))

    def _forget(self, key: Key) -> None:
        if key in self._answers:
            self._free += self._answers.pop(key).size


def kept_pages() -> Kept[Document]:
    """Return where finished pages are kept."""
    return Kept(KEPT_BYTES, lambda page: len(page.body) + len(page.zipped))


# --- ZIP ---------------------------------------------------------------------
#
# An album as a file to take home. All numbers are those of APPNOTE 6.3.9, the specification of ZIP.

PARTS_BYTES = 400_000_000  # a tunnel ends longer answers; a part stays below
UNKNOWN_SIZE = 0xFFFFFFFF  # in a field of 32 bits: ZIP64 tells it
UNKNOWN_COUNT = 0xFFFF
ZIP64_VERSION, ZIP_VERSION = 45, 20  # 4.4.3.2
UTF8_NAMES = 1 << 11  # bit 11 of the flags: 4.4.4
MADE_BY_UNIX = 3 << 8  # 4.4.2
FILE_MODE = (stat.S_IFREG | 0o644) << 16  # as Unix has it in the external attributes
MEMBER_OVERHEAD = 4000  # at most, of a file's headers: its path stands in both
# With blocks of 256 KB, a ZIP leaves at two thirds of a plain file's speed; with these, at the same.
ZIP_BLOCK_BYTES = 1 << 20
SLOWEST_BLOCK_SECONDS = 120.0  # for such a block: who is slower gives up the place


class Member(NamedTuple):
    """A file of a ZIP: its path in there, and all that its headers tell."""

    path: str
    file: File
    size: int  # bytes
    crc: int  # of the bytes that are sent: with the patches
    place: str  # the patches, encoded
    taken: dt.datetime

    @property
    def moment(self) -> int:
        """Date taken as MS-DOS writes it, in steps of two seconds: 4.4.6."""
        year = min(max(self.taken.year, 1980), 2107)
        date = (year - 1980) << 9 | self.taken.month << 5 | self.taken.day
        time_ = self.taken.hour << 11 | self.taken.minute << 5 | self.taken.second // 2
        return date << 16 | time_

    @property
    def is_long(self) -> bool:
        return self.size >= UNKNOWN_SIZE

    def _common(self, extra: bytes) -> bytes:
        """Return what both headers of a file have in common: 4.3.7."""
        size = UNKNOWN_SIZE if self.is_long else self.size
        version = ZIP64_VERSION if extra else ZIP_VERSION
        name = self.path.encode()
        # stored: method 0
        numbers = version, UTF8_NAMES, 0, self.moment, self.crc, size, size
        return struct.pack("<HHHIIIIHH", *numbers, len(name), len(extra))

    def header(self) -> bytes:
        """Return what stands before the file's bytes: 4.3.7."""
        extra = b""
        if self.is_long:
            extra = struct.pack("<HHQQ", 1, 16, self.size, self.size)  # 4.5.3
        return b"PK\3\4" + self._common(extra) + self.path.encode() + extra

    def entry(self, offset: int) -> bytes:
        """Return the file's row in the directory at the end: 4.3.12."""
        values = [self.size, self.size] if self.is_long else []
        if offset >= UNKNOWN_SIZE:
            values.append(offset)
        extra = b""
        if values:
            extra = struct.pack(f"<HH{len(values)}Q", 1, 8 * len(values), *values)
        start = struct.pack("<4sH", b"PK\1\2", MADE_BY_UNIX | ZIP64_VERSION)
        place = struct.pack("<HHHII", 0, 0, 0, FILE_MODE, min(offset, UNKNOWN_SIZE))
        return start + self._common(extra) + place + self.path.encode() + extra

    def blocks(self, start: int) -> Iterator[bytes]:
        """Yield header and bytes from `start` on. Raises OSError where the file changed or moved since."""
        header = self.header()
        if start < len(header):
            yield header[start:]
        start = max(0, start - len(header))
        identity = exact_identity(self._status())
        patches = decode_patches(self.place)
        part = FilePart(self.file.path, start, self.size, patches, identity)
        for block in part.blocks(ZIP_BLOCK_BYTES):
            yield block
            self._status()  # a folder that is renamed may be private by now

    def _status(self) -> os.stat_result:
        status = os.stat(self.file.path)
        if not self.file.is_at(status):
            raise OSError(errno.ESTALE, "the file has changed since")
        return status


def _end_of(count: int, size: int, offset: int) -> bytes:
    """Return the end of a ZIP: how many entries of how many bytes begin where (4.3.14 to 4.3.16)."""
    blocks = []
    if count >= UNKNOWN_COUNT or max(size, offset) >= UNKNOWN_SIZE:
        version = MADE_BY_UNIX | ZIP64_VERSION
        numbers = 44, version, ZIP64_VERSION, 0, 0, count, count, size, offset
        blocks.append(b"PK\6\6" + struct.pack("<QHHIIQQQQ", *numbers))
        blocks.append(b"PK\6\7" + struct.pack("<IQI", 0, offset + size, 1))
    count = min(count, UNKNOWN_COUNT)
    size, offset = min(size, UNKNOWN_SIZE), min(offset, UNKNOWN_SIZE)
    blocks.append(b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0))
    return b"".join(blocks)


class Archive:
    """A ZIP whose length and every byte are known before the first is sent.

    Its files are stored as they are, each with its size and CRC-32 in front, so that every program
    reads it, and an interrupted download goes on where it ended.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        lengths = (len(member.header()) + member.size for member in members)
        # Where each member begins, and where the last one ends.
        self._offsets = [0, *itertools.accumulate(lengths)]
        directory_bytes = sum(map(len, self._entries()))
        self._end = _end_of(len(members), directory_bytes, self._offsets[-1])
        self.size = self._offsets[-1] + directory_bytes + len(self._end)

    @functools.cached_property
    def key(self) -> str:
        """What differs when any byte does."""
        digest = hashlib.blake2b(digest_size=9)
        for entry in self._entries():
            digest.update(entry)
        return digest.hexdigest()

    def _entries(self) -> Iterator[bytes]:
        for member, offset in zip(self.members, self._offsets, strict=False):
            yield member.entry(offset)

    def blocks(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from start to end. Raises OSError where a file changed since."""
        remaining = end - start
        for block in self._blocks_from(start):
            yield block[:remaining]
            remaining -= len(block)
            if remaining <= 0:
                break

    def _blocks_from(self, start: int) -> Iterator[bytes]:
        first = bisect.bisect_right(self._offsets, start) - 1
        for nth in range(first, len(self.members)):
            member = self.members[nth]
            yield from member.blocks(max(0, start - self._offsets[nth]))
        passed = max(0, start - self._offsets[-1])
        for block in itertools.chain(self._entries(), [self._end]):
            if passed < len(block):
                yield block[passed:]
            passed = max(0, passed - len(block))


class Sending:
    """A ZIP on its way to somebody, who has one of few places until it is sent or given up."""

    def __init__(
        self,
        blocks: Iterator[bytes],
        places: threading.BoundedSemaphore,
        may_go_on: Condition,
    ) -> None:
        """Take a place. Raises Busy where too many ZIPs are on their way."""
        self._blocks = blocks
        self._may_go_on = may_go_on
        self._place = contextlib.ExitStack()
        problem = "Too many albums are being downloaded. Try again in a minute."
        self._place.enter_context(place_among(places, problem))

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes. Raises TimeoutError for a slow reader, and NotFound where the right ended."""
        before = time.monotonic()
        try:
            for block in self._blocks:
                yield block
                now = time.monotonic()
                if now - before > SLOWEST_BLOCK_SECONDS:
                    raise TimeoutError("an album was downloaded too slowly")
                before = now
                if not self._may_go_on():
                    raise NotFound
        finally:
            self.close()

    def close(self) -> None:
        """Give the place to somebody else."""
        self._place.close()


class Contents(NamedTuple):
    """What an album and all below it hold, to be taken home by somebody."""

    members: list[Member]
    unread: list[File]  # whose CRC-32 is not known yet
    left_out: int  # files that tell where they were taken, or that cannot be read


def _files_below(album: Album, folder: str) -> Iterator[tuple[str, File, dt.datetime]]:
    """Yield each file of an album and all below it: path in a ZIP, file, date taken."""
    used: set[str] = set()
    for item in album.items:
        for file in filter(None, (item.file, item.film, *item.raws)):
            name = unique_name(safe_name(file.name), used)
            yield f"{folder}/{name}", file, item.taken
    for child in album.albums:
        name = unique_name(safe_name(child.title), used)
        yield from _files_below(child, f"{folder}/{name}")


def contents_of(
    album: Album, title: str, look_up: Callable[[str], Info | None], *, hides_places: bool
) -> Contents:
    """Return what an album holds; `look_up` tells what is known of a file by its identity."""
    members = []
    unread = []
    left_out = 0
    for path, file, taken in _files_below(album, safe_name(title)):
        info = look_up(file.identity)
        if info is None or info.lacks_checksum:
            unread.append(file)
        elif not info.key or (hides_places and info.place_kept):
            left_out += 1
        elif hides_places and info.place:
            crc = info.crc_without_place
            members.append(Member(path, file, file.size, crc, info.place, taken))
        else:
            members.append(Member(path, file, file.size, info.crc, "", taken))
    return Contents(members, unread, left_out)


def _in_parts(contents: Contents, limit: float) -> Iterator[list[Member]]:
    """Yield the files of a ZIP in parts below a size; a file that is larger is a part of its own."""
    part: list[Member] = []
    size = 0
    for member in contents.members:
        length = member.size + MEMBER_OVERHEAD
        if part and size + length > limit:
            yield part
            part, size = [], 0
        part.append(member)
        size += length
    yield part


class Takeaway:
    """An album as ZIPs that are ready to be sent: as one, and in parts of limited size."""

    def __init__(self, contents: Contents, limit: float) -> None:
        self.contents = contents
        self.whole = Archive(contents.members)
        self.parts = [self.whole]
        if self.whole.size > limit:
            self.parts = [Archive(members) for members in _in_parts(contents, limit)]


# --- Adding ------------------------------------------------------------------
#
# Photos from phones: they come in pieces, wait in the state folder until they are whole, and are
# laid into an album without ever replacing anything.

INCOMING = "incoming"  # in the state folder
PIECE_BYTES = 1 << 20
FREE_BYTES = 1 << 30  # which the disk keeps in any case
FREE_SHARE = 0.05  # of the disk, likewise
NAMES_TRIED = 10_000
TIME_SPREAD = 400_000  # ns: less than the half of the last millisecond, which browsers tell
# Seconds since the epoch, the year 2106: exFAT ends there. Phones know the time, we may be behind.
LATEST_MODIFIED = 1 << 32
AT_FDCWD, RENAME_NOREPLACE = -100, 1  # of Linux, renameat2(2)
WITHDRAWN = "withdrawn"  # in the state folder: the bin of what guests took back
NOT_AS_ADDED = "This file is not the one that was added."
WITHDRAWING = ".withdrawn-"  # begins names in an album, which nothing shows
# What Linux, macOS (ENOTSUP) and Windows (EINVAL) say of disks without links, such as exFAT.
NO_LINKS = errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL
# For files that come without the suffix of a photo or a film; phones give all others one.
SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/heic": ".heic",
    "image/heif": ".heif",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
}
RARE_SUFFIX = ".mpg"  # for films of other kinds


class Upload(NamedTuple):
    """A file that somebody is adding to an album, as its sender tells of it."""

    who: str  # as the principal has it
    is_limited: bool  # as what guests add is
    folder: str  # the album's path
    name: str
    size: int  # bytes
    modified: float  # s since the epoch; 0: not told


class Added(NamedTuple):
    """What became of an upload."""

    # In the album; of what was there already, the sender's: another's is not for everybody.
    name: str
    is_new: bool  # False: the same bytes were there already


def name_to_add(name: str, media_type: str) -> str:
    """Return the name under which a file is added: one that is shown, whoever chose it.

    Neither keywords, `cover` nor `icon.png` count in it: these are the owner's words. Its suffix is
    that of a photo or a film, so that it is no album.txt, and nothing that a system would run.
    """
    name = safe_name(name).lstrip(".@~#") or "_"
    if not expected_kind(name):
        name += SUFFIXES.get(media_type, RARE_SUFFIX)
    stem, suffix = os.path.splitext(name)
    if parse_file_name(name).keywords is not NO_KEYWORDS:
        stem = re.sub(r"\W", "_", stem)
        name = f"{stem}{suffix}"
    is_owners = stem.casefold() == "cover" or name.casefold() in ICON_NAMES
    if is_owners or is_ignored(name) or is_leftover(name):
        name = f"photo {name}"
    return name


def _rename_anew(source: str, target: str) -> bool:
    """Rename a file, never over another; False: no such call here. Raises FileExistsError, OSError."""
    if sys.platform == "win32":
        os.rename(source, target)  # which replaces nothing on Windows
        return True
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(source), os.fsencode(target)
    if rename(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_NOREPLACE) == 0:
        return True
    error = ctypes.get_errno()
    if error in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(error, os.strerror(error), target)


def _bring_beside(source: str, folder: str) -> str:
    """Give a file a further name in a folder, which nothing shows, or copy it there; return the path."""
    path = os.path.join(folder, f"{COPYING}{secrets.token_hex(4)}")
    try:
        os.link(source, path)
        return path
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    try:
        shutil.copy2(source, path)
        _sync(path)
    except OSError:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise
    return path


def _rename_or_link(source: str, target: str) -> None:
    """Rename a file of the same folder. Raises FileExistsError where the name is taken, other OSErrors."""
    if _rename_anew(source, target):
        return
    try:
        os.link(source, target)
        os.unlink(source)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # Nobody else has the name once this has it, so that the file replaces nothing.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(source, target)


def name_anew(source: str, name: str) -> str:
    """Give a file a name that no other has in its folder; return the name."""
    folder = os.path.dirname(source)
    stem, suffix = os.path.splitext(name)
    for number in range(2, NAMES_TRIED):
        target = os.path.join(folder, name)
        try:
            _rename_or_link(source, target)
        except FileExistsError:
            name = f"{stem} ({number}){suffix}"
            continue
        _sync_folder(folder)
        return name
    raise Busy("There are too many files of this name.")


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """Raise NoRoom or Unwritable where the system refuses to keep what somebody adds."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom("The disk is full.") from None
        raise Unwritable(error.filename or folder, error) from None


def _open_alone(path: str) -> int:
    """Open an upload to write to it. Raises Busy where somebody else does so, OSError."""
    try:
        file = try_lock(Path(path))
    except OSError:  # on a disk without locks nobody can tell
        return os.open(path, os.O_RDWR | AS_BYTES)
    if file is None:
        raise Busy("Another piece of this file is just being received.")
    return file


class Incoming:
    """The uploads that are not whole yet, each a file in the state folder. Thread-safe."""

    def __init__(
        self, library: Library, state: Path, added: AddedStore, config: Config
    ) -> None:
        self._library = library
        self._added = added
        self._folder = state / INCOMING
        self._bin = state / WITHDRAWN
        self._most_files = config.guest_files
        self._most_bytes = config.guest_gigabytes * 10**9
        self._key = hmac.digest(read_secret(state), b"photos upload", "sha256")

    def _digest(self, *values: Any) -> str:
        return hmac.digest(self._key, repr(values).encode(), "sha256")[:12].hex()

    def _path(self, upload: Upload) -> str:
        """Return where an upload waits: the same whenever the same is sent again."""
        suffix = os.path.splitext(upload.name)[1].lower()
        # That of a sound tells it from a film, which may begin alike.
        if suffix not in SOUND_SUFFIXES and not expected_kind(upload.name):
            suffix = ""
        name = f"{self._digest(upload.who)}-{self._digest(*upload)}{suffix}"
        return os.fspath(self._folder / name)

    def _check_share(self, upload: Upload, path: str) -> None:
        """Raise ShareFull where a share would add more than it may, with what waits to be whole."""
        if not upload.is_limited:
            return
        sizes = [upload.size, *self._added.sizes(upload.who)]
        for other in self._folder.glob(f"{self._digest(upload.who)}-*"):
            if os.fspath(other) != path and (identity := identity_of(other)):
                sizes.append(identity.size)
        if len(sizes) > self._most_files or sum(sizes) > self._most_bytes:
            raise ShareFull("With this link, no more may be added.")

    def receive(self, upload: Upload, offset: int, piece: bytes) -> int | Added:
        """Append a piece of an upload; return how much of it is there, or what became of it.

        An empty piece asks where to go on. Raises Conflict, TooLarge, Unwanted, NoRoom, Busy, StateError.
        """
        with keeping(self._folder):
            if piece and offset == 0 and self._was_added(upload, piece):
                return Added(upload.name, is_new=False)
            return self._receive(upload, offset, piece)

    def _receive(self, upload: Upload, offset: int, piece: bytes) -> int | Added:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._path(upload)
        if not piece and not os.path.exists(path):
            return 0
        file = _open_alone(path)
        is_over = False
        try:
            if piece:
                self._check_share(upload, path)
                self._append(file, upload, offset, piece)
            size = os.fstat(file).st_size
            if size < upload.size:
                return size
            os.fsync(file)
            is_over = True
            return self._finish(upload, path)
        except (Busy, StateError, OSError):
            is_over = False  # the next try may end otherwise
            raise
        finally:
            is_empty = os.fstat(file).st_size == 0  # its first piece was refused
            release_lock(file)
            if is_over or is_empty:
                with suppress(OSError):
                    os.unlink(path)

    def _append(self, file: int, upload: Upload, offset: int, piece: bytes) -> None:
        size = os.fstat(file).st_size
        if offset != size:
            raise Conflict(f"The file goes on at byte {size}.")
        if size + len(piece) > upload.size:
            raise TooLarge("The file is longer than was told.")
        disk = shutil.disk_usage(self._folder)
        if disk.free - (upload.size - size) < max(FREE_BYTES, FREE_SHARE * disk.total):
            raise NoRoom("There is too little room on the disk.")
        try:
            os.lseek(file, size, os.SEEK_SET)
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(file, rest) :]
        except OSError:
            os.ftruncate(file, size)  # so that the last good piece counts
            raise

    def _finish(self, upload: Upload, path: str) -> Added:
        """Look into a file that is whole, and lay it into its album."""
        folder = os.stat(upload.folder)
        os.chmod(path, stat.S_IMODE(folder.st_mode) & 0o666)
        if 0 < upload.modified < LATEST_MODIFIED:
            # Whoever could choose all of it could choose the key of another file, too, and so
            # see that there is one, or have a picture of this file shown for the other.
            modified = round(upload.modified * 1000) * 1_000_000
            # The same at a second try: after a crash, the file may have its name in the album, too.
            modified += int(self._digest(*upload), 16) % TIME_SPREAD
            os.utime(path, ns=(time.time_ns(), modified))
        info = self._library.look_into(path)
        if info.kind not in (PHOTO, VIDEO) or (info.problem and not info.partial):
            raise Unwanted(info.problem or "This is neither a photo nor a film.")
        if self._is_in(upload.folder, path):
            return Added(upload.name, is_new=False)
        name = name_to_add(upload.name, info.media_type)
        return Added(self._lay(upload, path, name), is_new=True)

    def _lay(self, upload: Upload, path: str, wanted: str) -> str:
        """Lay a file into its album and note who added it; return its name there."""
        beside = _bring_beside(path, upload.folder)
        identity = identity_on_disk(beside)
        try:
            key = key_on_disk(beside)  # of the time as the album's disk keeps it
            # First, so that no file is in an album that its guest could not take back.
            self._added.note(identity, upload.who, wanted, upload.size, key)
            name = name_anew(beside, wanted)
        except (Busy, ShareFull, StateError, OSError):
            os.unlink(beside)
            self._added.drop(identity)
            raise
        if name != wanted:
            self._added.note(identity, upload.who, name, upload.size, key)
        return name

    def withdraw(self, file: File, info: Info) -> None:
        """Move a file that was added into the bin. Raises NotFound where it is not as it was added.

        The file is moved aside first, and put back where it is another one by then, or the bin
        takes nothing. Raises NoRoom and StateError.
        """
        folder, name = os.path.split(file.path)
        aside = os.path.join(folder, f"{WITHDRAWING}{secrets.token_hex(4)}")
        in_bin = f"{dt.date.today().isoformat()} {secrets.token_hex(4)} {safe_name(name)}"
        with keeping(self._bin):
            is_as_added = identity_on_disk(file.path) == file.identity
            if not is_as_added or info.key != self._added.key(file.identity):
                raise NotFound(NOT_AS_ADDED)
            self._bin.mkdir(mode=0o700, exist_ok=True)
            os.rename(file.path, aside)
            try:
                if identity_on_disk(aside) != file.identity:
                    raise NotFound(NOT_AS_ADDED)
                shutil.move(aside, self._bin / in_bin)
            except (NotFound, OSError):
                name_anew(aside, name)
                raise
            _sync_folder(folder)
            self._added.withdraw(file.identity)

    def _was_added(self, upload: Upload, piece: bytes) -> bool:
        """Say whether a file of the same sender, size, time and beginning is in an album already."""
        own = self._added.identities(upload.who)
        with os.scandir(upload.folder) as entries:
            paths = [entry.path for entry in entries if identity_on_disk(entry.path) in own]
        for path in paths:
            status = os.stat(path)
            is_as_old = abs(status.st_mtime - upload.modified) < 0.0005  # browsers tell ms
            if is_as_old and status.st_size == upload.size:
                with open(path, "rb") as file:
                    if file.read(len(piece)) == piece:
                        return True
        return False

    @staticmethod
    def _is_in(folder: str, path: str) -> bool:
        """Say whether a folder has a file that is shown to all in it and has the same bytes."""
        filecmp.clear_cache()  # of what it said of others with these paths, sizes and times
        with os.scandir(folder) as entries:
            for entry in entries:
                # Neither a link, nor a file with keywords: what may be private is told to nobody.
                file = file_now(entry.name, folder)
                is_shown = file.identity != "" and not is_ignored(entry.name)
                if is_shown and filecmp.cmp(entry.path, path, shallow=False):
                    return True
        return False

    def sweep(self) -> None:
        """Delete the uploads that nobody went on with for a week, and what is long in the bin."""
        last = (dt.date.today() - dt.timedelta(days=BIN_DAYS)).isoformat()
        with suppress(OSError), os.scandir(self._bin) as entries:
            for entry in entries:
                if entry.name[: len(last)] < last:
                    os.unlink(entry.path)
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                # Not by mtime: that of what is whole is the phone's.
                if is_long_ago(entry.stat().st_ctime, LEFT_SECONDS):
                    os.unlink(entry.path)


# --- Pages -------------------------------------------------------------------

MAP = "https://www.openstreetmap.org/"  # shows users where a photo was taken
# Screens from so many px on, the widest first; what a grid lacks to their width, px; and twice --gap in style.css.
GRID_SCREENS = (
    (2038, 1638, 1278, 898, 700, 578, 0),
    (38, 38, 38, 38, 38, 18, 18),
    (10, 10, 10, 10, 10, 6, 6),
)
# The columns on these screens, by layout: the same numbers as @container in style.css has.
COLUMNS = {
    "n1": "1111111",
    "n2": "2222221",
    "n3": "3333221",
    "n4": "4442222",
    "three": "3333332",
    "four": "4444332",
    "five": "5554332",
    "cards": "6544332",
    "photos": "7654332",
}
LARGE_GRID = 12  # photos or albums, above which headings help
LONG_DAYS = 30  # above which an album has headings for months instead of days
DAY_PHOTOS = 4  # a day, from which on a heading for each is worth its room
BAR_STEPS = 8  # heights of the bar of a month: classes of the style sheet
# What comes before 3 x 2 pixels of 16 bits in a BMP (BITMAPFILEHEADER, BITMAPINFOHEADER).
SOFT_HEAD = struct.pack("<2s3I3I2H6I", b"BM", 70, 0, 54, 40, 3, 2, 1, 16, 0, 16, 0, 0, 0, 0)
SOFT_START = f"data:image/bmp;base64,{base64.b64encode(SOFT_HEAD).decode()}"
# The same bits of eight pixels: one step makes five bits a channel of four.
_COLOURS = [int(bits * 8, 16) for bits in ("0f00", "00f0", "000f")]
_LOWEST = int("0421" * 8, 16)
TEXTS_KEPT = 4096  # soft pictures that are made once: 1 MB; and texts of `sizes`
NEIGHBOURS = 50  # photos before and after another, whose time zone goes without saying


@dataclass(frozen=True)
class Texts:
    """The interface's texts in one language: a column of texts.tsv."""

    language: str  # BCP 47
    texts: Mapping[str, str]

    def text(self, key: str, **values: object) -> str:
        return self.texts[key].format(**values)

    def counted(self, key: str, count: int) -> str:
        """Say how many photos or videos there are; '': none."""
        if count == 0:
            return ""
        form = "one" if count == 1 else "many"
        return self.text(f"{key}_{form}", count=count)

    def date(self, form: str, date: dt.date, until: int = 1) -> str:
        """Write a date in one of the forms of the table; `until`: the month that a range ends with."""
        months = self.texts["months"].split("|")
        weekdays = self.texts["weekdays"].split("|")
        return self.text(
            form,
            weekday=weekdays[date.weekday()],
            day=date.day,
            month=months[date.month - 1],
            until=months[until - 1],
            year=date.year,
        )

    @property
    def names_of_dates(self) -> tuple[str, str]:
        """The names of the months, and of today and yesterday, `|` between."""
        return self.texts["months"], self.texts["near_days"]

    def dates(self, first: dt.datetime, last: dt.datetime) -> str:
        """Write a range of dates as short as it can be: 14 April 2024, April – June 2024, 2019 – 2024."""
        if first.year != last.year:
            return f"{first.year} – {last.year}"
        if first.month != last.month:
            return self.date("date_months", first, last.month)
        if first.day != last.day:
            return self.date("date_month", first)
        return self.date("date_day", first)

    def error(self, status: int, seconds: int | None = None) -> str:
        """Say what an error means; a status without a text of its own is a request without sense."""
        key = f"error_{status}"
        if key not in self.texts:
            key = "error_400"
        return self.text(key, seconds=seconds)


def read_texts(path: Path) -> dict[str, Texts]:
    """Read the table of texts: by language tag in lower case, the language of the first column first.

    The head of a column is the tag of its language, then others that mean it: `zh-Hans zh`.
    """
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    keys, *columns = zip(*rows, strict=True)
    languages = {}
    for head, *cells in columns:
        tags = head.split()
        texts = Texts(tags[0], dict(zip(keys[1:], cells, strict=True)))
        for tag in tags:
            languages[tag.lower()] = texts
    return languages


def escape(value: object) -> str:
    """Return a value as text of HTML or XML, also between quotes."""
    text: str = value if isinstance(value, str) else bottle.touni(value)
    # Most values, of 1,100 a page, hold nothing to escape.
    has_markup = "&" in text or "<" in text or ">" in text or '"' in text or "'" in text
    return bottle.html_escape(text) if has_markup else text


def zone_text(taken: dt.datetime, around: Sequence[Item]) -> str:
    """Return the time zone of a date where it is not that of the photos around: UTC+09:00."""
    if taken.tzinfo in (None, told_zone(around)):
        return ""
    return f"UTC{taken.isoformat()[-6:]}"


def duration_text(seconds: float) -> str:
    """Return a duration as text: 0:07, 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minute:02}:{second:02}"
    return f"{minute}:{second:02}"


def size_text(size: float) -> str:
    """Return a size in bytes as text: 4.2 MB (1 MB is 1,000,000 bytes)."""
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def exposure_text(info: Info) -> str:
    """Return the exposure as photographers write it: 1/125 s · f/2.8 · ISO 100 · 24 mm."""
    facts = []
    if info.exposure_time >= 0.3:
        facts.append(f"{info.exposure_time:.3g} s")
    elif info.exposure_time:
        facts.append(f"1/{round(1 / info.exposure_time)} s")
    if info.f_number:
        facts.append(f"f/{info.f_number:.3g}")
    if info.iso:
        facts.append(f"ISO {info.iso}")
    if info.focal_length:
        facts.append(f"{info.focal_length:.3g} mm")
    return " · ".join(facts)


def utc_text(moment: int) -> str:
    """Return a moment, s since the epoch, as feeds write it (RFC 3339)."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat()


class Section(NamedTuple):
    """What stands below one heading: photos of a day or a month, or albums of a year."""

    # The dates that the heading tells; None: there is no heading.
    first: dt.date | None
    last: dt.date | None
    members: list[Any]


def heading_form(album: Album, dates: Sequence[dt.date]) -> str:
    """Say whether the photos of a page stand below days, months or, '', no headings."""
    count = len(album.items)
    start = album.items[0].taken.date()
    end = album.items[-1].taken.date()
    # A photo of another time zone may seem a day too early; photos by name go back further.
    if any((date - later).days > 1 for date, later in itertools.pairwise(dates)):
        return ""
    days = (end - start).days + 1
    if 1 < days <= LONG_DAYS and count >= DAY_PHOTOS * days:
        return "day"
    if days > LONG_DAYS and count > LARGE_GRID:
        return "month"
    return ""


def photo_sections(album: Album, items: Sequence[Item]) -> list[Section]:
    """Divide the photos of a page, each with its date, by days or months."""
    if not items:
        return []
    dates = [item.taken.date() for item in items]
    form = heading_form(album, dates)
    sections: list[Section] = []
    seen_last = itertools.accumulate(dates, max)
    for item, date, latest in zip(items, dates, seen_last, strict=True):
        first = last = None
        if form == "day":
            first = last = latest
        elif form == "month":
            first, last = latest.replace(day=1), latest.replace(day=28)
        if not sections or sections[-1].first != first:
            sections.append(Section(first, last, []))
        sections[-1].members.append((item, date))
    return sections


def year_of(album: Album) -> dt.date | None:
    """Return the first day of the year of an album's newest photo."""
    return album.last and dt.date(album.last.year, 1, 1)


def day_sections(items: Sequence[Item]) -> list[Section]:
    """Divide photos, each with its date, by the days on which they were taken."""
    days = itertools.groupby(items, lambda item: item.taken.date())
    return [Section(day, day, [(item, day) for item in of_day]) for day, of_day in days]


def album_sections(albums: Sequence[Album], count: int) -> list[Section]:
    """Divide the albums of a page by years, where there are many, of more years than one."""
    by_year = count > LARGE_GRID and len(set(map(year_of, albums))) > 1
    years = itertools.groupby(albums, lambda album: year_of(album) if by_year else None)
    return [Section(year, year, [*of_year]) for year, of_year in years]


def bar_height(count: int, most: int) -> int:
    """Return how high the bar of a month is beside that of the fullest one, 1 to BAR_STEPS."""
    part = math.log(count + 1) / math.log(most + 1)
    return max(1, round(BAR_STEPS * part))


def map_address(info: Info, browser: str) -> str:
    """Return the address of a map with the place of a photo; '' where the photo tells none.

    Nothing is fetched from there by itself. `browser`: its User-Agent. Android opens `geo:` (RFC 5870) in the map that the phone has;
    `q` sets the pin there. Other systems may know no program for such an address.
    """
    if info.latitude is None:
        return ""
    place = f"{info.latitude:.5f},{info.longitude:.5f}"
    if "Android" in browser:
        return f"geo:{place}?q={place}"
    pin = f"?mlat={info.latitude:.5f}&mlon={info.longitude:.5f}"
    return f"{MAP}{pin}#map=14/{place.replace(',', '/')}"


def grid_layout(count: int, usual: str) -> str:
    """Name the layout of so many photos or albums: a few are shown large, without gaps at the end."""
    if count <= 4:
        return f"n{max(1, count)}"
    if count in (5, 6, 9):
        return "three"
    if count <= 12:
        return "four"
    return usual


def section_layout(count: int, layout: str) -> str:
    """Name the layout below one heading of an album: on a wide screen, a few photos fill the row, too."""
    if layout != "photos":
        return layout
    if count <= 4 or count in (7, 8):
        return "four"
    if count in (5, 9, 10):
        return "five"
    return layout


def tile_sizes(layout: str, span: int = 1, stretch: float = 1.0) -> str:
    """Say how wide a picture of a grid is (`sizes` of HTML): the browser must know before it has styles.

    `span`: the columns that the picture takes. `stretch`: how much wider than its tile it is.
    """
    sizes = narrower = ""
    rows = list(zip(*GRID_SCREENS, COLUMNS[layout], strict=True))
    for screen, margin, gap, columns in reversed(rows):
        part = min(1, span / int(columns)) * stretch
        width = f"calc({100 * part:.3g}vw - {margin * part + gap * stretch:.0f}px)"
        if screen == 0:
            sizes = width
        elif width != narrower:
            sizes = f"(min-width:{screen}px) {width}, {sizes}"
        narrower = width
    return sizes


def grid_span(item: Item) -> int:
    """Return an item's height in 48ths of its tile's width: a class of the style sheet, 6 to 144."""
    info = item.facts
    if info.width:
        return min(144, max(6, round(48 * info.height / info.width)))
    if item.has_picture:
        return 36
    return 48


def soft_picture(sketch: str) -> str:
    """Return the address of a picture of 3 x 2 pixels, which browsers enlarge softly.

    It is a BMP, whose lower row comes first: other forms of six colours take as many bytes of a page or more.
    """
    top = f"00000{sketch[6:9]}0{sketch[3:6]}0{sketch[:3]}"
    bottom = f"00000{sketch[15:]}0{sketch[12:15]}0{sketch[9:12]}"
    four_bits = int(top + bottom, 16)  # a channel, backwards
    reds, greens, blues = (four_bits & colour for colour in _COLOURS)
    five_bits = reds << 3 | greens << 2 | blues << 1
    # The lowest bit repeats the highest, so that white stays white.
    five_bits |= five_bits >> 4 & _LOWEST
    pixels = base64.b64encode(five_bits.to_bytes(16, "little"))
    return SOFT_START + pixels.decode()


def preview_size(info: Info) -> tuple[int, int]:
    """Return width and height of a photo's preview, pixels."""
    side = preview_side((info.width, info.height))
    shrink = min(1.0, side / max(1, info.width, info.height))
    width, height = round(info.width * shrink), round(info.height * shrink)
    return max(1, width), max(1, height)


class Template(bottle.SimpleTemplate):
    """A template that escapes in half of Bottle's time."""

    def prepare(self, *arguments: Any, names: Values | None = None, **options: Any) -> None:
        super().prepare(*arguments, **options)
        self.defaults = names or {}
        self._escape = escape
        self._str = str


def read_templates(folder: Path) -> dict[str, Template]:
    """Read the templates of a folder, with the functions that they call; by name without suffix."""
    remember = functools.lru_cache(TEXTS_KEPT)
    names = {
        "Visibility": Visibility,
        "display": display,
        "duration_text": duration_text,
        "span": grid_span,
        "section_layout": section_layout,
        "preview_size": preview_size,
        "tile_sizes": remember(tile_sizes),
        "soft_picture": remember(soft_picture),
    }
    return {
        path.stem: Template(name=path.name, lookup=[os.fspath(folder)], names=names)
        for path in folder.iterdir()
        if path.suffix in (".html", ".xml")
    }


ICON_BYTES = 1_000_000  # the largest that an icon of the owner's may be
ICONS: tuple[tuple[str, str], ...] = (
    ("icon.svg", "any"),
    ("icon-192.png", "192x192"),
    ("icon-512.png", "512x512"),
    ("icon-180.png", "180x180"),
)
STATIC_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
# Comments and indentation: an eighth of all CSS and JavaScript. A comment behind code has no quotes,
# so that it cannot be within a string.
_UNSENT = re.compile(
    rb"^\s*(?:/\*(?:[^*]|\*(?!/))*\*/|//.*)\n|^[ \t]+| // [^\n\"'`]*$", re.MULTILINE
)
# Spaces that a style sheet needs for readers alone; none of its texts has such.
# Each of our statements ends with a semicolon or a brace, and so needs no line of its own.
_LINES = re.compile(rb";?\n(?=})|(?<=[{};,])\n+|\n+(?=\n)")
_SPARE = re.compile(rb"(?<=[{};,:])[ \n]+|[ \n]+(?={)|;\n(?=})")
# Spaces beside these signs: no text in a script has such, but for a comma before a value ($).
_SIGNS = re.compile(
    rb"(?<={) | (?=[{}])|(?<=,) (?!\$)|(?<=\w:) |(?<=if) (?=\()|"
    rb" (=>|[=!]==|&&|\|\||\?\?=?|[-+<>]=|[-+/%](?= \w)|[=?:*<>]) "
)
_IMPORT = re.compile(rb'^import (\{ .+ \}) from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(
    rb"^export (?=(?:async )?(?:const|function|class) (\w+))", re.MULTILINE
)
# Which scripts are sent together, those that are used by others first. Modules of one's own for each
# behaviour compress worse by a quarter, and a browser asks for each.
PAGE_SCRIPTS = "retry jump soft dates share seen grid more where".split()
VIEWER_SCRIPTS = (
    "transition slide details slideshow zoom strip address bright press viewer".split()
)


def joined_scripts(names: Sequence[str], files: dict[str, bytes]) -> bytes:
    """Take scripts out of `files` and return them as one, each in a function of its own."""
    parts = []
    for name in names:
        script = files.pop(f"{name}.js")
        exports = b", ".join(_EXPORT.findall(script))
        script = _IMPORT.sub(rb"const \1 = \2Script;", _EXPORT.sub(b"", script))
        frame = b"const %bScript = (() => {\n%breturn { %b };\n})();\n"
        parts.append(frame % (name.encode(), script, exports))
    return b"".join(parts)


def as_sent(name: str, content: bytes) -> bytes:
    """Return a file of the site without what a style sheet or a script has for readers alone."""
    if not name.endswith((".css", ".js")):
        return content
    content = _UNSENT.sub(b"", content)
    if name.endswith(".css"):
        return _SPARE.sub(b"", content)
    return _SIGNS.sub(rb"\1", _LINES.sub(b"", content))


def read_icon(root: Path) -> dict[str, bytes]:
    """Return the icon that the owner has laid into a library, by its name; a link is not followed."""
    for path in map(root.joinpath, ICON_NAMES):
        with suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= ICON_BYTES:
                return {path.name: path.read_bytes()}
    return {}


class Statics:
    """The css, js and icon files as they are sent, by name, and the key that stands for them all.

    `icons`: names and sizes of the site's icons, the usual one first, the one for home screens last.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        paths = [path for path in sorted(folder.iterdir()) if path.suffix in STATIC_TYPES]
        files = {path.name: path.read_bytes() for path in paths}
        self.icons = ICONS
        if own := read_icon(root):
            files |= own
            self.icons = tuple((name, "any") for name in own)
        content = b"".join(files.values())
        self.key = hashlib.blake2b(content, digest_size=6).hexdigest()
        shared = b"{ softScript, datesScript, gridScript }"
        page = joined_scripts(PAGE_SCRIPTS, files)
        files["page.js"] = page + b"export %b;\n" % shared
        # By the key, so that a browser never mixes two releases.
        start = b'import %b from "./page.js?v=%b";\n' % (shared, self.key.encode())
        files["viewer.js"] = start + joined_scripts(VIEWER_SCRIPTS, files)
        self.files = {name: Document(as_sent(name, files[name])) for name in files}


class ItemLinks:
    """The addresses of an item. Most change with its content, as far as that was read."""

    def __init__(self, prefix: str, path: str, item: Item) -> None:
        self._item = item
        content = path
        self._sign = "?"
        version = item.version
        if version:
            content = f"{path}?v={version}"
            self._sign = "&"
        self.page = f"{prefix}/album{path}"
        self.download = f"{prefix}/download{path}"
        self.original = f"{prefix}/photo{content}"
        self.live = f"{prefix}/live{content}"  # the film of a live photo, wherever it lies
        self.preview = f"{prefix}/preview{content}"
        self._thumbnail = f"{prefix}/thumbnail{content}"

    @property
    def view(self) -> str:
        """What the viewer shows: the preview, or the original where it moves."""
        facts = self._item.facts
        return self.original if facts.animated and facts.browser_shows else self.preview

    @property
    def full_size(self) -> str:
        """All pixels, in a format that browsers show."""
        info = self._item.info
        if info and not info.browser_shows:
            return f"{self.preview}{self._sign}size={FULL}"
        return self.original

    def thumbnail(self, width: int) -> str:
        return f"{self._thumbnail}{self._sign}w={width}"


# What stays as it is, as most names do: to see that takes a third of quoting it.
_PLAIN = re.compile(r"[\w.~-]+", re.ASCII)


class Links:
    """Makes every address of the site, below the prefix that a proxy may ask for."""

    def __init__(self, prefix: str, statics_key: str) -> None:
        self.prefix = prefix
        self.feed = f"{prefix}/feed.atom"
        self.logout = f"{prefix}/logout"
        self.manifest = f"{prefix}/manifest.webmanifest"
        self.unlock = f"{prefix}/unlock"
        self._statics_key = statics_key
        # A page names their album with each of its photos.
        self._paths: dict[Parts, str] = {(): ""}

    def _path(self, parts: Parts) -> str:
        """Return the names of an address as it has them, each after a slash."""
        path = self._paths.get(parts)
        if path is None:
            name = parts[-1]
            if not _PLAIN.fullmatch(name):
                name = quote(os.fsencode(name), safe="")
            path = f"{self._path(parts[:-1])}/{name}"
            self._paths[parts] = path
        return path

    def _to(self, kind: str, parts: Parts = (), **parameters: str | int) -> str:
        """Return an address; a parameter that is '' or 1 goes without saying."""
        address = f"{self.prefix}/{kind}{self._path(parts)}"
        query = {name: value for name, value in parameters.items() if value not in ("", 1)}
        if query:
            return f"{address}?{urlencode(query)}"
        return address

    def album(self, address: Parts, page: int = 1) -> str:
        if not address:
            return self._to("", page=page)
        return self._to("album", (*address, ""), page=page)

    def of(self, item: Item) -> ItemLinks:
        """Return the addresses of an item."""
        return ItemLinks(self.prefix, self._path(item.address), item)

    def file_page(self, address: Parts) -> str:
        return f"{self.prefix}/album{self._path(address)}"

    def raw(self, item: Item, raw: File) -> str:
        return self._to("download", (*item.address[:-1], raw.name))

    def add(self, address: Parts) -> str:
        return self._to("add", address or ("",))

    def zip(self, address: Parts, version: str = "", part: int = 1) -> str:
        """A ZIP of an album; without its version, the page that leads there."""
        return self._to("zip", address or ("",), v=version, part=part)

    def api(self, address: Parts, page: int = 1) -> str:
        return self._to("api/album", address, page=page)

    def timeline(self, month: Sequence[int] = (), page: int = 1) -> str:
        """The years; the months of a year; or a page of a month."""
        digits = (4, 2)  # some clocks say the year 1
        parts = [f"{number:0{count}}" for number, count in zip(month, digits, strict=False)]
        return self._to("timeline", (*parts, ""), page=page)

    def search(self, query: str = "", page: int = 1) -> str:
        return self._to("search", q=query, page=page)

    def share(self, address: Parts) -> str:
        return self._to("share", address or ("",))

    def shares(self, share_id: str = "") -> str:
        return self._to("shares", show=share_id)

    def end(self, share_id: str) -> str:
        return self._to("shares", (share_id, "end"))

    def login(self, target: str = "") -> str:
        return self._to("login", next=target)

    def static(self, name: str) -> str:
        return self._to("static", (name,), v=self._statics_key)


# Facts that scripts get of an item where they are known.
JSON_FIELDS = (
    "camera lens exposure_time f_number iso focal_length duration colour hdr".split()
)


def item_as_json(item: Item, links: Links, principal: Principal) -> Fields:
    """Return what scripts may know of an item; where it was taken only for users."""
    info = item.facts
    addresses = links.of(item)
    facts: Fields = {
        "name": item.title,
        "kind": item.kind,
        "caption": item.caption,
        "taken": item.taken.isoformat(),
        "width": info.width,
        "height": info.height,
        "bytes": item.file.size,
        "url": addresses.page,
        "original": addresses.original,
        "download": addresses.download,
        "problem": "",
    }
    if info.problem:
        facts["problem"] = "partial" if info.partial else "no picture"
        if principal.is_owner:
            facts["reason"] = info.problem
    if item.has_picture:
        thumbnails = {str(width): addresses.thumbnail(width) for width in THUMBNAIL_WIDTHS}
        facts["thumbnails"] = thumbnails
        facts["preview"] = addresses.preview if item.kind == PHOTO else None
    if item.is_live:
        facts["live"] = addresses.live
    if item.raws:
        facts["raw"] = [links.raw(item, raw) for raw in item.raws]
    facts |= {name: value for name in JSON_FIELDS if (value := getattr(info, name))}
    if principal.is_user and info.latitude is not None:
        facts |= {"latitude": info.latitude, "longitude": info.longitude}
    return facts


def album_as_json(album: Album, links: Links) -> Fields:
    """Return what a page shows of an album, without what is in it."""
    return {
        "title": album.title,
        "description": album.description,
        "visibility": album.rule.visibility.name.lower(),
        "photos": album.photos,
        "videos": album.videos,
        "first": album.first and album.first.isoformat(),
        "last": album.last and album.last.isoformat(),
        "url": links.album(album.address),
        "api": links.api(album.address),
        "cover": album.cover and links.of(album.cover).thumbnail(THUMBNAIL_WIDTHS[-1]),
    }


# --- Routes ------------------------------------------------------------------

WIDTHS = tuple(map(str, THUMBNAIL_WIDTHS))  # as addresses have them
PAGE_ITEMS = 100  # albums a page, and photos: of each 100 KB of HTML before compression
JSON_ITEMS = 500  # albums and items of an answer in JSON: 500 KB before compression
REFUSALS = (404, 413, 422, 507)  # after which a file is not sent again
PATH_BYTES = 4096  # as long as a path can be on Linux
TOO_MUCH = "Much is being asked. Try again in a moment."
TURNS = 64  # threads that make pages or wait for their turn, a quarter of those there are
ZIPS_AT_ONCE = 4  # that are sent: each has a thread of its own
TAKEAWAYS_KEPT = 4  # of 70,000 files one takes 30 MB
GZIP_BYTES = 1000  # a smaller document is not worth the work
SMALL_BYTES = 65536  # of a file that is read at once, such as a thumbnail
NO_FILE = "The file is gone, or cannot be read."
JUST_CHANGED = "This file has just changed. Try again in a moment."
WRAPPED_BYTES = sys.maxsize  # the longest that waitress can send as a file: 2 GB on 32 bits
PAPERS = {"light": "#fcfbf8", "dark": "#121614"}  # the page's colours, --paper in style.css
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Of answers below a share's address, which tell nobody where they lie.
GUEST_HEADERS = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}
_SHARE = re.compile(r"/s/([^/]*)(?=/|\Z)")
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"

Response: TypeAlias = bottle.HTTPResponse
request = bottle.request  # the one that the present thread answers


class Access(enum.Enum):
    """What the guard asks before a handler runs, and what somebody without access gets."""

    ANYONE = "anyone"
    ANY_HOST = "anyone, even by a name that is not this site's"
    OUTSIDE = "anyone, and 404 below a share"
    GUEST = "404 unless below a share"
    OWNER = "404 as if nothing were there, with the log-in form, for all but owners"
    PAGE = "404 as if nothing were there, with the log-in form"
    ADD_PAGE = "the same for all who may not add photos"
    ADD = "404 as if nothing were there for all who may not add photos"
    ADD_FORM = "the same for all who may not add photos, nor added this one"
    MEDIA = "404 as if nothing were there"


PAGES = (Access.PAGE, Access.OWNER, Access.ADD_PAGE, Access.ADD_FORM)
# Those about no place.
PLACELESS = (Access.ANYONE, Access.ANY_HOST, Access.OUTSIDE, Access.GUEST)
ADDING = (Access.ADD_PAGE, Access.ADD, Access.ADD_FORM)
CONTENT = (Access.PAGE, Access.MEDIA, *ADDING)  # which a share may lock


def may_reach(access: Access, place: Place, principal: Principal) -> bool:
    """Say whether a route is for somebody who may open the place."""
    if access is Access.OWNER:  # links are to albums
        return principal.is_owner and place.file is None
    if access not in ADDING:
        return True
    if place.file is None:
        return may_add(principal, place.rule)
    return access is Access.ADD_FORM and place.file.identity in principal.added


class Route(NamedTuple):
    """A row of the route table."""

    method: str
    rule: str
    handler: str
    access: Access
    is_quick: bool = False  # whether the server's loop may answer, where nothing takes long


QUICK = True
# Anything, newlines too; the guard decodes it from the raw path.
_PATH = "<path:re:(?s:.*)>"
ROUTES = (
    Route("GET", "/", "show_album", Access.PAGE, QUICK),
    Route("GET", f"/album/{_PATH}", "show_place", Access.PAGE, QUICK),
    Route("GET", "/timeline/", "show_timeline", Access.PAGE),
    Route("GET", "/timeline/<year>/", "show_timeline", Access.PAGE),
    Route("GET", "/timeline/<year>/<month>/", "show_timeline", Access.PAGE),
    Route("GET", "/search", "show_search", Access.PAGE),
    Route("GET", f"/thumbnail/{_PATH}", "send_thumbnail", Access.MEDIA, QUICK),
    Route("GET", f"/preview/{_PATH}", "send_preview", Access.MEDIA, QUICK),
    Route("GET", f"/photo/{_PATH}", "send_photo", Access.MEDIA, QUICK),
    Route("GET", f"/download/{_PATH}", "send_download", Access.MEDIA, QUICK),
    Route("GET", f"/live/{_PATH}", "send_live", Access.MEDIA),
    Route("GET", f"/zip/{_PATH}", "show_zip", Access.PAGE),
    Route("GET", f"/add/{_PATH}", "show_add", Access.ADD_PAGE),
    Route("POST", f"/add/{_PATH}", "add_form", Access.ADD_FORM),
    Route("PUT", f"/add/{_PATH}", "add_piece", Access.ADD),
    Route("GET", "/api/album", "send_album", Access.MEDIA),
    Route("GET", f"/api/album/{_PATH}", "send_album", Access.MEDIA),
    Route("GET", "/feed.atom", "send_feed", Access.MEDIA),
    Route("GET", "/login", "show_login", Access.OUTSIDE),
    Route("POST", "/login", "log_in", Access.OUTSIDE),
    Route("POST", "/logout", "log_out", Access.OUTSIDE),
    Route("POST", "/unlock", "unlock", Access.GUEST),
    Route("GET", f"/share/{_PATH}", "show_share_form", Access.OWNER),
    Route("POST", f"/share/{_PATH}", "make_share", Access.OWNER),
    Route("GET", "/shares", "show_shares", Access.OWNER),
    Route("POST", "/shares/<id>/end", "end_share", Access.OWNER),
    Route("GET", "/static/<name>", "send_static", Access.ANY_HOST, QUICK),
    Route("GET", "/manifest.webmanifest", "send_manifest", Access.ANYONE),
    Route("GET", "/healthz", "send_health", Access.ANYONE, QUICK),
)


# The place of pages without one.
NOWHERE = Place(
    (), (), NO_KEYWORDS, Rule(), Folder(None, {}, {}), Circumstances(dt.date.min)
)


class Visit(NamedTuple):
    """One request: who asks, in which language, and for which place."""

    headers: Headers
    links: Links
    texts: Texts
    session: Session | None = None
    principal: Principal = VISITOR
    place: Place = NOWHERE
    address: Parts = ()  # as it was asked for; that of the place may be another
    has_slash: bool = False  # whether the path ended with one
    token: str | None = None  # of a share, below whose address it was asked; None: outside
    share: Share | None = None  # None: there is none, or it is dead

    @property
    def visibility(self) -> Visibility:
        if self.token is not None:
            return Visibility.PRIVATE
        return self.place.rule.visibility


class Notice(NamedTuple):
    """Something that waits for the owner; the values go into the text that says what to do."""

    kind: str
    values: Mapping[str, object]


_NOT_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, 2.2


def urn(*names: str) -> str:
    """Return an identifier that is the same wherever the names are (RFC 9562, 5.5)."""
    return uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(names)).urn


def template_folder() -> Path:
    """Return the folder of the templates, which has another name in an installed package."""
    installed = Path(__file__).with_name("photos_templates")
    if installed.is_dir():
        return installed
    return Path(__file__).with_name("templates")


def _as_error(response: Response, error: PhotosError) -> Response:
    """Return a response with the headers that each answer with an error has."""
    response.set_header("Cache-Control", "no-store")
    if error.retry_after:
        response.set_header("Retry-After", str(error.retry_after))
    # RFC 9110, 11.6.1; no browser asks for a password of this scheme
    if error.status == 401:
        response.set_header("WWW-Authenticate", 'Cookie realm="photos"')
    return response


def _redirect(target: str) -> Response:
    return Response(status=303, headers={"Location": target, "Cache-Control": "no-store"})


def _field(name: str) -> str:
    """Return a field of a form. Raises BadForm for a form of another kind."""
    form_type = request.environ.get("CONTENT_TYPE", "")
    if form_type and not form_type.startswith("application/x-www-form-urlencoded"):
        raise BadForm
    return request.forms.getunicode(name) or ""


def _file_sent(name: str) -> bottle.FileUpload:
    """Return a file of a form. Raises BadForm for a form that no page would send."""
    form_type = request.environ.get("CONTENT_TYPE", "").lower()
    # Browsers name none; to decode 1 MB by an odd one takes long.
    if "charset=" in form_type:
        raise BadForm
    try:
        sent = request.files.get(name)
    except (LookupError, ValueError):  # an unknown charset, no UTF-8, or no length
        raise BadForm from None
    if sent is None or sent.raw_filename is None:
        raise BadForm
    return sent


def address_of(path: str) -> Parts:
    """Return the names in a path of WSGI, which nothing else takes apart. Raises NotFound for a long one."""
    if len(path) > PATH_BYTES:
        raise NotFound
    if not path:
        return ()
    return tuple(os.fsdecode(path.encode("latin-1")).removesuffix("/").split("/"))


def enter_share(environ: Environ) -> None:
    """Take `/s/TOKEN` from a path as its prefix, as if the site were mounted there (PEP 3333)."""
    path = environ.get("PATH_INFO", "")
    if match := _SHARE.match(path):
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "").rstrip("/") + match[0]
        environ["PATH_INFO"] = path[match.end() :]
        environ["photos.share"] = match[1]


def _number_asked(name: str = "page") -> int:
    """Return the number of the page or part that is asked for. Raises NotFound where it is none."""
    if not request.query_string:
        return 1
    text: str = request.query.get(name, "1")
    if is_number(text, 6) and int(text) > 0:
        return int(text)
    raise NotFound


def _month_asked() -> tuple[int, ...]:
    """Return the year and month that an address names, as far as it does. Raises NotFound for other names."""
    names = request.url_args.values()
    for text, digits in zip(names, (4, 2), strict=False):
        if not is_number(text, digits) or len(text) < digits:
            raise NotFound
    return tuple(map(int, names))


class Paging(NamedTuple):
    """How an album is spread over pages: its items begin on the last page that has albums."""

    albums: int
    items: int

    @property
    def start(self) -> int:
        """The page on which the items begin."""
        return max(1, math.ceil(self.albums / PAGE_ITEMS))

    @property
    def pages(self) -> int:
        with_items = max(1, math.ceil(self.items / PAGE_ITEMS))
        return self.start - 1 + with_items

    def page_of(self, at: int) -> int:
        """Return the page of an item by the item's place among all, from 0."""
        return self.start + at // PAGE_ITEMS

    def albums_on(self, page: int) -> slice:
        return slice((page - 1) * PAGE_ITEMS, page * PAGE_ITEMS)

    def items_on(self, page: int) -> slice:
        first = (page - self.start) * PAGE_ITEMS
        return slice(max(0, first), max(0, first + PAGE_ITEMS))


_facts_of_album = operator.attrgetter(
    *"address title description rule photos videos first last last_added cover".split()
)


class ErrorLog(io.TextIOBase):
    """Where Bottle writes what went wrong in the program itself: to the log, which has a budget."""

    def write(self, text: str) -> int:
        log.error("%s", text.rstrip())
        return len(text)


# --- Guard -------------------------------------------------------------------


class Guard:
    """Receives requests, and lets through to the handlers of `Site` what may be let through."""

    _last_trouble = ""
    _has_advised = False

    def __init__(
        self, state: Path, config: Config, library: Library, users: UserStore
    ) -> None:
        self._state = state
        self._config = config
        self._config_path = os.fspath(state / "config.json")
        self._config_identity = identity_of(self._config_path)
        self._site_title = config.title
        self._library = library
        self._folders = library.folders
        self._upkeep = Upkeep(library)
        is_open_outside = config.public_address or config.tunnel
        self._part_bytes = PARTS_BYTES if is_open_outside else math.inf
        self._takeaways: Kept[Takeaway] = Kept(TAKEAWAYS_KEPT, lambda takeaway: 1)
        self._zip_places = threading.BoundedSemaphore(ZIPS_AT_ONCE)
        self._users = users
        self._tokens = Tokens(read_secret(state))
        self._limits = LoginLimits(registered=users.registered)
        self._unlocking = Tokens(read_secret(state), UNLOCKING)
        self._guests = Guests(ShareStore(state), users, library.folders)
        self._incoming = Incoming(library, state, self._guests.added, config)
        folder = template_folder()
        self._statics = Statics(folder, library.folders.root)
        self._templates = read_templates(folder)
        languages = read_texts(folder / "texts.tsv")
        # Visitors share few values of Accept-Language; taking one apart costs as much as all other headers.
        choose = partial(choose_language, languages=languages)
        self._texts_for = functools.lru_cache(LANGUAGES_KEPT)(choose)
        self._error_log = ErrorLog()
        self._kept = kept_pages()
        self._finder = Finder(texts.names_of_dates for texts in languages.values())
        self._kept_notices: tuple[Key, list[Notice]] = (), []
        self._program = identity_of(sys.argv[0])
        self._heavy_answers = threading.BoundedSemaphore(HEAVY_AT_ONCE)
        self._turns = threading.BoundedSemaphore(HEAVY_AT_ONCE)
        self._turns_wanted = threading.BoundedSemaphore(TURNS)
        self._app = bottle.Bottle()
        self._app.default_error_handler = self._show_error
        for route in ROUTES:
            self._add_route(route)

    def __call__(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request; every response has the security headers."""
        enter_share(environ)
        own_headers = SECURITY_HEADERS
        if "photos.share" in environ:
            own_headers = {**SECURITY_HEADERS, **GUEST_HEADERS}

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            present = dict(headers)  # Bottle writes each name in one way
            missing = [pair for pair in own_headers.items() if pair[0] not in present]
            return start_response(status, headers + missing, exc_info)

        environ["wsgi.errors"] = self._error_log
        blocks: Iterable[bytes] = self._app(environ, start)
        return blocks

    def start(self) -> None:
        """Start to render ahead, in the background; log what does not work in the state folder."""
        if problem := state_problem(self._state):
            log.warning("%s", problem)
        self._library.prepare()
        self._incoming.sweep()
        start_thread(self._upkeep.run)

    def close(self) -> None:
        """Stop the background pass and the workers."""
        self._upkeep.close()
        self._library.close()

    # The guard

    def _add_route(self, route: Route) -> None:
        handler = getattr(self, route.handler)
        if not isinstance(route.access, Access):
            raise TypeError(f"{route.rule} has no access rule")

        def guarded(**_: str) -> Response:
            if not route.is_quick:
                leave_to_thread()
            visit = self._receive()
            try:
                self._check_host(route, visit)
                self._check_share(route, visit)
                self._check_origin(route, visit)
                visit = self._locate(route, visit)
                return self._finish(handler(visit), route, visit)
            except PhotosError as error:
                return self._refuse(route, visit, error)

        self._app.route(route.rule, route.method, guarded, skip=True)

    def _receive(self) -> Visit:
        """Find out who asks, and in which language."""
        environ = request.environ
        headers = headers_of(environ)
        prefix = environ.get("SCRIPT_NAME", "").rstrip("/")
        visit = Visit(
            headers=headers,
            links=Links(quote(prefix.encode("latin-1")), self._statics.key),
            texts=self._texts_for(headers.get("Accept-Language", "")[:LANGUAGES_BYTES]),
            token=environ.get("photos.share"),
        )
        if visit.token is not None:
            return self._receive_guest(visit)
        session, principal = self._identify(headers.get("Cookie", ""))
        return visit._replace(session=session, principal=principal)

    def _receive_guest(self, visit: Visit) -> Visit:
        """Find out which share somebody asks for; who is also logged in sees what the guest sees."""
        share = principal = None
        try:
            share = self._guests.share_at(visit.token or "")
        except StateError as error:
            self._log_once(error, "no link for guests opens")
        if share:
            principal = self._guests.principal(share)
        if share and principal:
            return visit._replace(share=share, principal=principal)
        # A page about nothing has its styles from outside.
        outside = visit.links.prefix.rpartition("/s/")[0]
        return visit._replace(links=Links(outside, self._statics.key))

    def _check_share(self, route: Route, visit: Visit) -> None:
        """Raise NotFound below a share that is dead, and Locked below one that wants a password."""
        is_below = visit.token is not None
        misplaced = (Access.OUTSIDE, Access.OWNER) if is_below else (Access.GUEST,)
        if route.access in misplaced or (is_below and visit.share is None):
            raise NotFound
        is_content = route.access in CONTENT
        if visit.share and is_content and not self._is_unlocked(visit, visit.share):
            raise Locked("This album has a password.")

    def _is_unlocked(self, visit: Visit, share: Share) -> bool:
        if share.password == "":
            return True
        token = cookie_value(visit.headers.get("Cookie", ""), self._unlock_name())
        session = self._unlocking.read(token)
        if session is None:
            return False
        return session.user == share.id and session.epoch == share.epoch

    def _unlock_name(self) -> str:
        """Name the cookie of who told a share's password; its path is the share's prefix."""
        name = f"photos-unlock-{self._tokens.site}"
        return f"__Secure-{name}" if self._is_secure() else name

    def _check_host(self, route: Route, visit: Visit) -> None:
        """Raise WrongHost where the site has a public address and was asked for by another name."""
        if route.access is Access.ANY_HOST:
            return
        public = urlsplit(self._config.public_address).netloc
        if public and not is_own_host(visit.headers.get("Host", ""), public):
            raise WrongHost

    def _check_origin(self, route: Route, visit: Visit) -> None:
        """Raise Forbidden where another site has a browser send what changes something."""
        if route.method == "GET":
            return
        scheme = request.environ["wsgi.url_scheme"]
        own_origin = f"{scheme}://{visit.headers.get('Host', '')}"
        # A page without a referrer sends no origin (Fetch, 3.2.5), and on a home network nothing else
        # either. Another site does not know a share's address, which is as good as a secret in a form.
        has_no_origin = visit.headers.get("Origin", "null") == "null"
        if visit.share and has_no_origin and "Sec-Fetch-Site" not in visit.headers:
            return
        if not is_same_origin(visit.headers, (own_origin, self._config.origin)):
            advice = advice_about_proxy(visit.headers, own_origin)
            if advice and not self._has_advised:
                self._has_advised = True
                log.warning("%s", advice)
            raise Forbidden

    def _locate(self, route: Route, visit: Visit) -> Visit:
        """Find the place that a visit is for: the one decision about access.

        Raises NotFound for what is not there, and in the same way for what may not be opened.
        """
        start, variable, _ = route.rule.partition("<")
        raw_path = request.environ["bottle.raw_path"] or "/"
        path = raw_path.removeprefix(start)
        # Bottle drops bytes that are no UTF-8 when it matches; such a path is none of ours.
        if not raw_path.startswith(start) or (path and not variable):
            raise NotFound
        if route.access in PLACELESS:
            return visit
        is_led_here = visit.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if is_led_here and route.access is Access.MEDIA and visit.principal.is_user:
            # That a download begins, and no page opens, would tell the other site of a private file.
            visit = visit._replace(session=None, principal=VISITOR)
        address = address_of(path) if _PATH in route.rule else ()
        place = self._folders.locate(address, visit.principal)
        if place is None and visit.share:
            below = self._guests.below(visit.share, address)
            if below is not None:
                place = self._folders.locate(below, visit.principal)
        if place is None or not may_reach(route.access, place, visit.principal):
            raise NotFound
        self._upkeep.wake()
        has_slash = path.endswith("/")
        return visit._replace(place=place, address=address, has_slash=has_slash)

    def _is_secure(self) -> bool:
        """Whether the visitor's browser speaks HTTPS, with this server or with the public address."""
        environ: dict[str, str] = request.environ
        public = urlsplit(self._config.public_address)
        is_public = environ.get("HTTP_HOST") == public.netloc
        has_https_proxy = is_public and public.scheme == "https"
        return has_https_proxy or environ["wsgi.url_scheme"] == "https"

    def _cookie_name(self) -> str:
        """Name the cookie of a session."""
        name = f"photos-{self._tokens.site}"
        return f"__Host-{name}" if self._is_secure() else name

    def _identify(self, cookies: str) -> tuple[Session | None, Principal]:
        """Return the session that nobody has ended, and whose it is."""
        if not cookies:
            return None, VISITOR
        session = self._tokens.read(cookie_value(cookies, self._cookie_name()))
        principal = self._principal_of(session)
        return session if principal.is_user else None, principal

    def _principal_of(self, session: Session | None) -> Principal:
        """Return whose session it is; where it was ended, a visitor."""
        if session is None:
            return VISITOR
        try:
            has_ended = self._users.epoch(session.user) != session.epoch
            if has_ended or self._users.is_revoked(session.user, session.jti):
                return VISITOR
            return Principal(session.user, self._users.is_owner(session.user))
        except StateError as error:
            self._log_once(error, "nobody can log in")
            return VISITOR

    def _log_once(
        self, error: StateError, consequence: str = "what needs it is refused"
    ) -> None:
        if isinstance(error, Unwritable):
            consequence = "nothing new is kept there"
        if str(error) != self._last_trouble:
            self._last_trouble = str(error)
            kind = {"kind": consequence}
            log.error("%s Until then %s.", error, consequence, extra=kind)

    def _set_cookie(
        self, response: Response, name: str, token: str, path: str = "/"
    ) -> None:
        """Set a cookie that no script reads; '' takes it away."""
        response.set_cookie(
            name,
            token,
            path=path,
            secure=self._is_secure(),
            httponly=True,
            samesite="lax",
            max_age=SESSION_SECONDS if token else 0,
        )

    def _finish(self, response: Response, route: Route, visit: Visit) -> Response:
        """Add what every answer may need: a ban on robots, a fresh session; note a share's use."""
        if visit.visibility == Visibility.HIDDEN:
            response.set_header("X-Robots-Tag", "noindex")
        # A browser that goes on from a page of the share: a robot that opens a link changes nothing.
        is_from_page = visit.headers.get("Sec-Fetch-Site") == "same-origin"
        if visit.share and is_from_page and route.access in (Access.PAGE, Access.MEDIA):
            self._guests.note_use(visit.share)
        session = visit.session
        if route.access in PAGES and session and session.is_old:
            token = self._tokens.issue(session.user, session.epoch, session.jti)
            self._set_cookie(response, self._cookie_name(), token)
        return response

    def _refuse(self, route: Route, visit: Visit, error: PhotosError) -> Response:
        """Answer with an error, as a page, as a picture or as text."""
        if isinstance(error, StateError):
            self._log_once(error)
            error = Busy()
        if isinstance(error, NoPicture):
            headers = {
                "Content-Type": STATIC_TYPES[".svg"],
                "Content-Security-Policy": MEDIA_POLICY,
            }
            placeholder = self._statics.files["placeholder.svg"].body
            return _as_error(Response(placeholder, error.status, headers), error)
        if route.access in (Access.MEDIA, Access.ADD):
            message = str(error) or http.HTTPStatus(error.status).phrase
            response = Response(f"{message}\n", error.status, {"Content-Type": TEXT})
            return _as_error(response, error)
        if isinstance(error, Locked):
            return self._ask_to_unlock(visit, self._here(visit), error)
        target = ""
        may_log_in = not visit.principal.is_user and visit.token is None
        if isinstance(error, NotFound) and route.access in PAGES and may_log_in:
            target = self._here(visit)
        page = self._show_error_page(visit, error.status, error.retry_after, target)
        return _as_error(page, error)

    def _here(self, visit: Visit) -> str:
        """Return the address that was asked for, to come back to."""
        environ, query = request.environ, request.query_string
        path = environ.get("SCRIPT_NAME", "") + environ["bottle.raw_path"]
        target = quote(path.encode("latin-1"))
        if query:
            target = f"{target}?{query}"
        return safe_next(target, visit.links.prefix)

    def _show_error_page(
        self, visit: Visit, status: int, seconds: int | None = None, target: str = ""
    ) -> Response:
        """Answer with what is wrong; `target`: and with a log-in form that leads on to there."""
        message = visit.texts.error(status, seconds)
        is_dead_link = visit.token is not None and visit.share is None
        if is_dead_link and status == NotFound.status:
            message = visit.texts.text("link_ended")
        return self._show(
            "error",
            visit,
            status,
            title=visit.texts.text("no_page"),
            error=message,
            target=target,
            outside=status == WrongHost.status,
        )

    def _ask_to_unlock(self, visit: Visit, target: str, error: PhotosError) -> Response:
        """Answer with the form for a share's password, and what is wrong once one was told."""
        message = ""
        if isinstance(error, LoginFailed):
            message = visit.texts.text("wrong_password")
        elif not isinstance(error, Locked):
            message = visit.texts.error(error.status, error.retry_after)
        page = self._show("unlock", visit, error.status, target=target, error=message)
        return _as_error(page, error)

    def _show_error(self, error: bottle.HTTPError) -> Response:
        """Answer the errors that Bottle finds itself: no such route, wrong method, a bug."""
        response = self._show_error_page(self._receive(), error.status_code)
        response.headers.update(error.headers)  # Allow
        return response

    # Responses

    def use_public_address(self, address: str) -> None:
        """Answer as the site of another public address from now on."""
        self._config = replace(self._config, public_address=address)
        self._kept = kept_pages()  # those that there are have the address before

    def read_title(self) -> str:
        """Return the site's title as config.json says now; where that is damaged, as it said before."""
        identity = identity_of(self._config_path)
        if identity != self._config_identity:
            leave_to_thread()
            try:
                self._site_title = (read_config(self._state) or Config()).title
            except StateError as error:
                log.error("%s The title stays what it was.", error)
            self._config_identity = identity  # now, or others would still get the old title
        return self._site_title

    def _render(self, template: str, visit: Visit, **values: Any) -> Document:
        leave_to_thread()
        names = {
            "site": self.read_title(),
            "url": visit.links,
            "origin": self._config.origin,
            "principal": visit.principal,
            "is_guest": visit.token is not None,
            "place": visit.place,
            "lang": visit.texts.language,
            "text": visit.texts.text,
            "counted": visit.texts.counted,
            "widths": THUMBNAIL_WIDTHS,
            "papers": PAPERS,
            "icons": self._statics.icons,
            "date": visit.texts.date,
            "dates": visit.texts.dates,
        }
        text: str = self._templates[template].render({**names, **values})
        return Document(text.encode())

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for one's turn to make what is kept nowhere, within no other turn. Raises Busy.

        Of many threads that compute, each would get the interpreter only once in a while.
        """
        leave_to_thread()
        with place_among(self._turns_wanted, TOO_MUCH), self._turns:
            yield

    def _show(
        self, template: str, visit: Visit, status: int = 200, **values: Any
    ) -> Response:
        """Answer with a page that is made for this visit alone, and that nobody keeps."""
        document = self._render(template, visit, **values)
        return self._send_document(document, HTML, visit, status, is_storable=False)

    def _send_document(
        self,
        document: Document,
        media_type: str,
        visit: Visit,
        status: int = 200,
        *,
        is_storable: bool = True,
    ) -> Response:
        """Answer with text, compressed where the browser takes that; `is_storable`: caches may keep it."""
        accepted = visit.headers.get("Accept-Encoding", "")
        is_zipped = len(document.body) > GZIP_BYTES and _GZIP.search(accepted)
        vary = "Cookie, Accept-Encoding"
        if media_type == HTML:
            vary = f"{vary}, Accept-Language"
        headers = {"Content-Type": media_type, "Vary": vary, "Cache-Control": "no-store"}
        if is_storable and visit.visibility < Visibility.PRIVATE:
            ending = "z" if is_zipped else ""
            etag = f'"{document.digest}{ending}"'
            headers |= {"Cache-Control": "private, no-cache", "ETag": etag}
            if is_current(visit.headers.get("If-None-Match", ""), etag):
                return Response(status=304, headers=headers)
        if is_zipped:
            headers["Content-Encoding"] = "gzip"
            return Response(document.zipped, status, headers)
        return Response(document.body, status, headers)

    def _send_file(self, visit: Visit, media: Media) -> Response:
        """Answer with a file or a range of it (RFC 9110, 13 and 14)."""
        try:
            status = media.status or os.stat(media.path)
        except OSError:
            raise NotFound(NO_FILE) from None
        # Patches are right for the bytes alone for which they were made.
        if media.patched and not media.patched.is_at(status):
            raise Busy(JUST_CHANGED)
        _, size = media.piece or (0, status.st_size)
        etag = media.etag(status)
        modified = bottle.http_date(plausible(status.st_mtime))
        part = requested_part(request.method, visit.headers, etag, modified, size)
        headers = media.headers | {"ETag": etag, "Last-Modified": modified}
        if part.status == 416:
            headers = {"Cache-Control": "no-store"}
        headers |= part.headers(size)
        if part.status in (304, 416):
            return Response(status=part.status, headers=headers)
        body = self._body_of(visit, media, exact_identity(status), part)
        return Response(body, part.status, headers)

    def _body_of(
        self, visit: Visit, media: Media, identity: Key, part: Part
    ) -> bytes | FilePart | Iterator[bytes]:
        """Return the bytes of a part of a file, or of a longer one what reads them later."""
        offset, _ = media.piece or (0, 0)
        start, end = offset + part.start, offset + part.end
        may_read_on = self._permit(visit, media.path, inode=identity[0])
        patches = decode_patches(media.place)
        body = FilePart(media.path, start, end, patches, identity, may_read_on)
        length = end - start
        try:
            if length <= SMALL_BYTES:
                with closing(body):
                    return body.read()
        except OSError as error:
            if error.errno == errno.ESTALE:
                raise Busy(JUST_CHANGED) from None
            raise NotFound(NO_FILE) from None
        if not os.access(media.path, os.R_OK):
            raise NotFound(NO_FILE)
        if length > WRAPPED_BYTES:
            leave_to_thread()
            return body.blocks()
        return body

    def _may_read_on(self, visit: Visit) -> bool:
        """Say whether what is being sent may go on: a share may end in the middle of a download."""
        if visit.share is None:
            return True
        with suppress(StateError):
            return self._guests.share_at(visit.token or "") is not None
        return False

    def _is_still_open(self, visit: Visit) -> bool:
        """Say whether the one who asked for a place would be led to it once more."""
        if visit.share is None and self._principal_of(visit.session) != visit.principal:
            return False
        if not self._may_read_on(visit):
            return False
        place = self._folders.locate(visit.place.address, visit.principal)
        return place is not None and place.parts == visit.place.parts

    def _permit(self, visit: Visit, path: str | Path, inode: int) -> Condition:
        """Return what says whether a file or a ZIP may be sent on: it may become private meanwhile."""
        checked = time.monotonic()

        def may_read_on() -> bool:
            nonlocal checked
            now = time.monotonic()
            if now - checked < RIGHTS_SECONDS:
                return self._may_read_on(visit)
            # The film of a live photo has a name of its own. Another folder may have the address
            # by now, with a file of the same name.
            is_open = inode_of(path) == inode and self._is_still_open(visit)
            checked = now
            return is_open

        return may_read_on


# --- Web ---------------------------------------------------------------------


class Site(Guard):
    """The pages and media of a library, as a WSGI application. Thread-safe."""

    # Pages

    def show_place(self, visit: Visit) -> Response:
        """An album's page, or a photo's page; another way to write its address leads there."""
        place = visit.place
        if place.file and visit.has_slash:
            raise NotFound
        is_canonical = visit.address == place.address
        if place.file and is_canonical:
            return self.show_photo(visit)
        if place.file:
            return self._lead_to(visit.links.file_page(place.address))
        if is_canonical and visit.has_slash:
            return self.show_album(visit)
        return self._lead_to(visit.links.album(place.address))

    def _lead_to(self, target: str) -> Response:
        query = request.query_string
        return _redirect(f"{target}?{query}" if query else target)

    def show_album(self, visit: Visit) -> Response:
        """One page of an album: child albums, then photos."""
        place = visit.place
        page = _number_asked()
        # Who turns a page has seen the first one.
        looking = LOOKING_PATIENCE if page == 1 else math.inf
        album = self._library.album(
            place, visit.principal, patience=READ_PATIENCE, looking=looking
        )
        paging = Paging(len(album.albums), len(album.items))
        if page > paging.pages:
            raise NotFound
        # Nobody but guests means the library itself by adding.
        is_album = place.parts != () or visit.share is not None
        values = {
            "page": page,
            "paging": paging,
            "trail": self._trail(visit),
            "notices": self._notices(visit, album),
            "memories": self._memories(visit, album),
            "may_add": is_album and may_add(visit.principal, place.rule),
            "is_away": not place.parts and album.is_empty and self._library.is_away,
        }
        key = place.parts, page, visit.principal, visit.links.prefix, visit.texts.language
        # The page lasts as long as what it shows of the album, and of some of those below.
        albums = (album, *album.albums[paging.albums_on(page)])
        facts = map(_facts_of_album, albums)
        inputs = album.list_items, *facts, *values.values(), self.read_title()
        make = partial(self._make_album_page, visit, album, values)
        document = self._kept_or_made(self._kept, key, inputs, make)
        return self._send_document(document, HTML, visit)

    def _kept_or_made(
        self, kept: Kept[Content], key: Key, inputs: Key, make: Callable[[], Content]
    ) -> Content:
        """Return what is kept, or make it when it is its turn. Raises Busy."""
        content = kept.get(key, inputs)
        if content is not None:
            return content
        leave_to_thread()

        def make_in_turn() -> Content:
            with self._turns:
                return make()

        # Who waits for the same takes no other's turn.
        with place_among(self._turns_wanted, TOO_MUCH):
            return kept.made(key, inputs, make_in_turn)

    def _make_album_page(self, visit: Visit, album: Album, values: Values) -> Document:
        """Make one page of an album, and have its thumbnails made before others."""
        paging, page = values["paging"], values["page"]
        shown = paging.items_on(page)
        items = album.items[shown]
        self._library.expect(items)
        return self._render(
            "album",
            visit,
            album=album,
            sections=photo_sections(album, items),
            album_sections=album_sections(
                album.albums[paging.albums_on(page)], len(album.albums)
            ),
            first=shown.start + 1,
            root=display(os.fspath(self._folders.root)),
            layout=grid_layout(len(album.items), "photos"),
            cards_layout=grid_layout(len(album.albums) + len(album.items), "cards"),
            **values,
        )

    def show_timeline(self, visit: Visit) -> Response:
        """The years in which something was taken; the months of one; or a page of a month."""
        month = _month_asked()
        album = self._library.album(visit.place, visit.principal)
        page = _number_asked()
        links, language = visit.links, visit.texts.language
        key = "timeline", month, page, visit.principal, links.prefix, language
        inputs = album, self.read_title()
        make = partial(self._make_timeline, visit, album, month, page)
        document = self._kept_or_made(self._kept, key, inputs, make)
        return self._show_found_page(document, visit)

    def _show_found_page(self, document: Document, visit: Visit) -> Response:
        """Answer with a page of all albums, which may show private ones to users."""
        is_storable = not visit.principal.is_user
        response = self._send_document(document, HTML, visit, is_storable=is_storable)
        response.set_header("X-Robots-Tag", "noindex")
        return response

    def _make_timeline(
        self, visit: Visit, album: Album, month: tuple[int, ...], page: int
    ) -> Document:
        """Make a page of the timeline. Raises NotFound where nothing was taken then."""
        months = self._finder.months(album)
        values: Fields = {"sections": []}
        years = itertools.groupby(months, key=lambda period: period.start.year)
        periods = [merge_periods(dt.date(year, 1, 1), [*parts]) for year, parts in years]
        within = [period for period in months if period.month[: len(month)] == month]
        if month:
            periods = within
        if len(month) == 2:
            periods = []
            values = self._month(visit, album, months, (month[0], month[1]), page)
        elif page > 1 or (month and not within):
            raise NotFound
        total = None
        if within:
            total = merge_periods(within[0].start, within)
        return self._render(
            "timeline",
            visit,
            periods=periods[::-1],
            cards_layout=grid_layout(len(periods), "cards"),
            months=months,
            month=month,
            page=page,
            count=sum(period.count for period in months),
            total=total,
            bar_height=bar_height,
            **values,
        )

    def _month(
        self, visit: Visit, album: Album, months: Sequence[Period], month: Month, page: int
    ) -> Fields:
        """Return what a page shows of a month's photos, and where it leads on to."""
        pages = [
            (period.month, number)
            for period in months
            for number in range(1, Paging(0, period.count).pages + 1)
        ]
        if (month, page) not in pages:
            raise NotFound
        at = pages.index((month, page))
        links = visit.links
        earlier = links.timeline(*pages[at - 1]) if at > 0 else ""
        later = links.timeline(*pages[at + 1]) if at + 1 < len(pages) else ""
        items = self._finder.taken_in(album, month)
        shown = Paging(0, len(items)).items_on(page)
        before = sum(period.count for period in months if period.month < month)
        self._library.expect(items[shown])
        return {
            "sections": day_sections(items[shown]),
            "first": before + shown.start + 1,
            "layout": grid_layout(len(items), "photos"),
            "earlier": earlier,
            "later": later,
        }

    def show_search(self, visit: Visit) -> Response:
        """What somebody finds by a search: albums, then photos of all albums, the newest first."""
        # What no page can show is left out; what is no UTF-8 is no search.
        text = request.query.getunicode("q") or ""
        query = " ".join(_NOT_XML.sub(" ", text[:QUERY_LETTERS]).split())
        page = _number_asked()
        album = self._library.album(visit.place, visit.principal)
        # Nobody asks for the same twice, so that such pages are not kept.
        with self._turn():
            document = self._make_search(visit, album, query, page)
        return self._show_found_page(document, visit)

    def _make_search(self, visit: Visit, album: Album, query: str, page: int) -> Document:
        """Make a page of what a search finds. Raises NotFound for a page that there is not."""
        today = self._folders.circumstances().today
        results = self._finder.search(album, query, today)
        paging = Paging(len(results.albums), results.total)
        if page > paging.pages:
            raise NotFound
        shown = paging.items_on(page)
        items = results.items(shown)
        self._library.expect(items)
        return self._render(
            "search",
            visit,
            query=query,
            page=page,
            paging=paging,
            albums=results.albums[paging.albums_on(page)],
            sections=[Section(None, None, [(item, item.taken.date()) for item in items])],
            first=shown.start + 1,
            layout=grid_layout(results.total, "photos"),
            cards_layout=grid_layout(len(results.albums) + results.total, "cards"),
        )

    def show_photo(self, visit: Visit) -> Response:
        """One photo's page: the picture, what is known of it, previous and next."""
        item = self._item(visit)
        album = self._library.album_around(visit.place, visit.principal)
        with self._turn():
            document = self._make_photo_page(visit, item, album)
            return self._send_document(document, HTML, visit)

    def _make_photo_page(self, visit: Visit, item: Item, around: Album | None) -> Document:
        items = around.items if around else ()
        names = names_of(items)
        # the film of a live photo has a page, and no place
        at = names.index(item.file.name) if item.file.name in names else -1
        previous = items[at - 1] if at > 0 else None
        following = items[at + 1] if 0 <= at < len(items) - 1 else None
        if at >= 0:
            item = replace(item, zone=items[at].zone)
        album = visit.place.address[:-1]
        paging = Paging(len(around.albums) if around else 0, len(items))
        info = item.facts
        return self._render(
            "photo",
            visit,
            item=item,
            info=item.info,
            previous=previous,
            next=following,
            number=at + 1,
            count=len(items),
            back=visit.links.album(album, paging.page_of(max(0, at))),
            start=visit.links.album(album, paging.start),
            trail=self._trail(visit),
            zone=zone_text(item.taken, items[max(0, at - NEIGHBOURS) : at + NEIGHBOURS]),
            map=map_address(info, visit.headers.get("User-Agent", "")),
            exposure=exposure_text(info),
            size=size_text(item.file.size),
            album_title=self._title(visit.place.parts[:-1]),
        )

    def _title(self, parts: Parts) -> str:
        """Return the title of an album; of the library, that of the site."""
        if not parts:
            return self.read_title()
        return self._folders.title_of(parts, self._folders.listing(parts))

    def _trail(self, visit: Visit) -> list[tuple[str, str]]:
        """Return title and address of each album on the way to a place, the library left out."""
        place, above = visit.place, len(visit.principal.root)
        trail = []
        for depth in range(1, len(place.address)):
            title = self._title(place.parts[: above + depth])
            trail.append((title, visit.links.album(place.address[:depth])))
        return trail

    def _memories(self, visit: Visit, album: Album) -> list[dt.date]:
        """Return this day in other years that have photos of it, on the front page alone."""
        if visit.place.address:
            return []
        today = visit.place.now.today
        return self._finder.memories(album, visit.principal.scope, today)

    def _notices(self, visit: Visit, album: Album) -> list[Notice]:
        """Return what waits for the owner, on the front page alone."""
        if visit.place.parts or not visit.principal.is_owner:
            return []
        inputs = (
            # Another object as soon as any name below it is another: the owner finds all of them.
            id(album),
            album,  # so that no other gets its id
            self._library.damaged.sums(),
            self._library.is_full,
            self._upkeep.problem_count,
            identity_of(sys.argv[0]),
        )
        before, notices = self._kept_notices
        if before != inputs:
            leave_to_thread()
            notices = list(self._find_notices())
            self._kept_notices = inputs, notices
        return notices

    def _find_notices(self) -> Iterator[Notice]:
        """Yield what waits for the owner, the most urgent first."""
        for path in damaged_paths(self._library):
            yield Notice("damaged", {"path": path})
        if self._library.is_full:
            yield Notice("full", {})
        if identity_of(sys.argv[0]) != self._program:
            yield Notice("upgrade", {})
        for path, flag in self._library.flags():
            values = {"path": path, "detail": flag.detail, "better": flag.better_name}
            yield Notice(flag.kind, values)
        for path, count in self._library.inboxes():
            yield Notice("inbox", {"path": path, "count": count})
        count = self._upkeep.problem_count
        if count:
            yield Notice("problems", {"count": count})

    def _item(self, visit: Visit, purpose: Purpose = Purpose.FACTS) -> Item:
        if visit.has_slash:
            raise NotFound
        item = self._library.item(visit.place, purpose, visit.principal)
        if item is None:
            raise NotFound
        return item

    # Media

    def _send_rendition(
        self, visit: Visit, item: Item, rendition: str, name: str = ""
    ) -> Response:
        is_watched = request.environ.get("photos.is_watched", lambda: True)
        path, status = self._library.rendition(item, rendition, is_watched)
        version = request.query.get("v")
        versioned = item.key != "" and version == item.version
        caching = cache_control(visit.visibility, versioned=versioned)
        media = Media(path, "image/webp", caching, name, status=status)
        try:
            return self._send_file(visit, media)
        except Busy:
            # Two workers made it at once, and the second file took the place of the first.
            return self._send_file(visit, media._replace(status=None))

    def send_thumbnail(self, visit: Visit) -> Response:
        """A thumbnail, made now if it is missing."""
        item = self._item(visit, Purpose.THUMBNAILS)
        width = request.query.get("w") or WIDTHS[-1]
        if width not in WIDTHS:
            raise PhotosError(f"The width w is one of {THUMBNAIL_WIDTHS}.")
        if item.info is None or width not in thumbnail_names(item.info):
            width = WIDTHS[0]
        return self._send_rendition(visit, item, width)

    def send_preview(self, visit: Visit) -> Response:
        """The picture for the viewer; with size=full all pixels of what browsers cannot show."""
        is_full = request.query.get("size") == FULL
        item = self._item(visit, Purpose.FACTS if is_full else Purpose.ALL)
        if item.kind != PHOTO or (is_full and item.facts.browser_shows):
            raise NotFound("The original is what browsers show: see /photo/.")
        return self._send_rendition(visit, item, FULL if is_full else PREVIEW)

    def send_photo(self, visit: Visit, *, attached: bool = False) -> Response:
        """The original, inline; for all but users without the place where it was taken."""
        item = self._item(visit)
        name = item.title if attached else ""
        if item.kind != PHOTO or not self._would_tell_place(visit, item.facts):
            return self._send_original(visit, item.file, item.facts, name)
        # The original is for users alone: others get all of its pixels.
        if name:
            name = f"{os.path.splitext(name)[0]}.webp"
        response = self._send_rendition(visit, item, FULL, name)
        response.set_header("Vary", "Cookie")
        return response

    def _hides_places(self, visit: Visit) -> bool:
        return not visit.principal.is_user and not self._config.keep_location

    def _would_tell_place(self, visit: Visit, info: Info) -> bool:
        """Say whether an original would tell a place to somebody who shall not know it."""
        return info.place_kept and self._hides_places(visit)

    def _send_original(
        self,
        visit: Visit,
        file: File,
        info: Info,
        name: str,
        piece: tuple[int, int] | None = None,
    ) -> Response:
        """Answer with a file or a piece of it, with patches over its place for all but users. Raises NotFound."""
        if self._would_tell_place(visit, info):
            raise NotFound("Only users get this file: it tells where it was taken.")
        visibility = visit.visibility
        vary = ""
        if info.place or info.place_kept:  # who asks decides what is sent
            visibility = Visibility.PRIVATE
            vary = "Cookie"
        media = Media(
            path=file.path,
            media_type=info.media_type or OTHER_TYPE,
            cache_control=cache_control(visibility, versioned=False),
            name=name,
            vary=vary,
            piece=piece,
        )
        if info.place and self._hides_places(visit):
            media = media._replace(place=info.place, patched=file)
        return self._send_file(visit, media)

    def send_live(self, visit: Visit) -> Response:
        """The film of a live photo: a file of its own, or a piece of the photo's."""
        item = self._item(visit)
        if item.film:
            read = self._library.read(visit.place._replace(file=item.film))
            if read is None:
                raise NotFound
            return self._send_original(visit, *read, "")
        info = item.facts
        if not item.is_live:
            raise NotFound
        film = replace(info, media_type="video/mp4")
        piece = info.film_start, info.film_bytes
        return self._send_original(visit, item.file, film, "", piece)

    def send_download(self, visit: Visit) -> Response:
        """The original, as attachment; a RAW file, too, which is no item."""
        file = visit.place.file
        if visit.has_slash or not file or expected_kind(file.plain_name) != RAW:
            return self.send_photo(visit, attached=True)
        read = self._library.read(visit.place)
        if read is None:
            raise NotFound
        return self._send_original(visit, *read, display(file.name))

    def show_zip(self, visit: Visit) -> Response:
        """An album as a ZIP; without its version, the page that leads there."""
        place = visit.place
        if place.file:
            raise NotFound
        if visit.address != place.address or visit.has_slash:
            return self._lead_to(visit.links.zip(place.address))
        album = self._library.album(place, visit.principal, patience=READ_PATIENCE)
        title = self._title(place.parts)
        takeaway = self._takeaway(visit, album, title)
        version = request.query.get("v", "")
        if not version:
            return self._show_zip_page(visit, album, takeaway)
        part = _number_asked("part")
        if version != takeaway.whole.key or takeaway.contents.unread:
            raise Gone("The album has changed since. Open its page for downloading again.")
        if part > len(takeaway.parts):
            raise NotFound
        ending = f" ({part} of {len(takeaway.parts)})" if len(takeaway.parts) > 1 else ""
        return self._send_zip(visit, takeaway.parts[part - 1], f"{title}{ending}.zip")

    def _takeaway(self, visit: Visit, album: Album, title: str) -> Takeaway:
        """Return an album as ZIPs, laid out again only after a change: 10 µs of CPU a photo."""
        hides_places = self._hides_places(visit)
        index = self._library.index
        key = album.address, title, visit.principal.scope, hides_places
        inputs = index.changes, index.checksums, album

        def lay_out() -> Takeaway:
            contents = contents_of(album, title, index.get, hides_places=hides_places)
            return Takeaway(contents, self._part_bytes)

        return self._kept_or_made(self._takeaways, key, inputs, lay_out)

    def _show_zip_page(self, visit: Visit, album: Album, takeaway: Takeaway) -> Response:
        """How large an album is, and where it is downloaded; or how far that was prepared."""
        contents = takeaway.contents
        self._upkeep.want(contents.unread)
        version = takeaway.whole.key
        downloads = [
            (visit.links.zip(album.address, version, number), size_text(archive.size))
            for number, archive in enumerate(takeaway.parts, 1)
        ]
        response = self._show(
            "zip",
            visit,
            album=album,
            title=self._title(visit.place.parts),
            trail=self._trail(visit),
            downloads=downloads,
            ready=len(contents.members),
            unread=len(contents.unread),
            left_out=contents.left_out,
        )
        response.set_header("X-Robots-Tag", "noindex")
        return response

    def _send_zip(self, visit: Visit, archive: Archive, name: str) -> Response:
        """Answer with a ZIP or a range of it (RFC 9110, 13 and 14)."""
        etag = f'"{archive.key}"'
        part = requested_part(request.method, visit.headers, etag, "", archive.size)
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": attachment(name),
            "Cache-Control": "private, no-store",
            "Accept-Ranges": "bytes",
            "Vary": "Cookie",
            "ETag": etag,
            **part.headers(archive.size),
        }
        if part.status in (304, 416):
            return Response(status=part.status, headers=headers)
        if request.method != "GET":
            return Response(b"", part.status, headers)
        blocks = archive.blocks(part.start, part.end)
        folder = self._folders.path_of(visit.place.parts)
        may_go_on = self._permit(visit, folder, inode_of(folder))
        body = Sending(blocks, self._zip_places, may_go_on)
        return Response(body, part.status, headers)

    def send_album(self, visit: Visit) -> Response:
        """A part of an album as JSON: first its albums, then its items; `next` leads to the rest."""
        if visit.place.file:
            raise NotFound
        album = self._library.album(visit.place, visit.principal, patience=READ_PATIENCE)
        with place_among(self._heavy_answers, TOO_MUCH):
            body = self._make_json(visit, album, _number_asked())
        return self._send_document(Document(body), "application/json", visit)

    @staticmethod
    def _make_json(visit: Visit, album: Album, page: int) -> bytes:
        """Make one page of an album as JSON. Raises NotFound for a page that there is not."""
        links = visit.links
        count = len(album.albums) + len(album.items)
        end = page * JSON_ITEMS
        start = end - JSON_ITEMS
        if start >= max(1, count):
            raise NotFound
        first = max(0, start - len(album.albums))
        last = max(0, end - len(album.albums))
        facts = album_as_json(album, links)
        facts["albums"] = [album_as_json(child, links) for child in album.albums[start:end]]
        facts["items"] = [
            item_as_json(item, links, visit.principal) for item in album.items[first:last]
        ]
        if end < count:
            facts["next"] = links.api(album.address, page + 1)
        return json.dumps(facts, ensure_ascii=False, indent=1).encode()

    def send_feed(self, visit: Visit) -> Response:
        """What was added last, as Atom (RFC 4287): the same for everybody outside a share."""
        links = visit.links
        principal = VISITOR
        below = ""
        if visit.share:
            principal = visit.principal
            below = f"/s/{visit.token}"
        if self._config.public_address:
            links = Links(f"{self._config.public_address}{below}", self._statics.key)
        # Whatever was added, the album that the principal finds is another one.
        album = self._library.album(visit.place, principal)
        inputs = album, self.read_title()
        make = partial(self._make_feed, visit, links, principal)
        document = self._kept_or_made(self._kept, ("feed", links.prefix), inputs, make)
        return self._send_document(document, "application/atom+xml; charset=utf-8", visit)

    def _make_feed(self, visit: Visit, links: Links, principal: Principal) -> Document:
        items = self._library.recent_items(visit.place, principal)
        values = {"url": links, "items": items, "urn": urn, "utc_text": utc_text}
        text = self._render("feed", visit, **values).body.decode()
        return Document(_NOT_XML.sub("\ufffd", text).encode())

    def send_static(self, visit: Visit) -> Response:
        """A css, js or icon file."""
        name = request.url_args["name"]
        if name not in self._statics.files:
            raise NotFound
        media_type = STATIC_TYPES[os.path.splitext(name)[1]]
        response = self._send_document(self._statics.files[name], media_type, visit)
        if request.query.get("v") == self._statics.key:
            caching = f"public, max-age={YEAR_SECONDS}, immutable"
            response.set_header("Cache-Control", caching)
        response.set_header("Vary", "Accept-Encoding")
        return response

    def send_manifest(self, visit: Visit) -> Response:
        """What a phone needs to put the site among its apps (W3C Web Application Manifest)."""
        front = visit.links.album(())
        facts = {
            "name": self.read_title(),
            "id": front,
            "start_url": front,
            "scope": front,
            "display": "standalone",
            "background_color": PAPERS["light"],
            "theme_color": PAPERS["light"],
            "icons": [
                {"src": visit.links.static(name), "sizes": sizes}
                for name, sizes in self._statics.icons
            ],
        }
        body = json.dumps(facts, ensure_ascii=False).encode()
        return self._send_document(Document(body), STATIC_TYPES[".webmanifest"], visit)

    def send_health(self, visit: Visit) -> Response:
        """A word for whoever watches the server."""
        return Response("ok\n", headers={"Content-Type": TEXT, "Cache-Control": "no-store"})

    # Adding

    def show_add(self, visit: Visit) -> Response:
        """The page on which photos are added to an album."""
        place = visit.place
        if visit.address != place.address or (visit.has_slash and place.address):
            return self._lead_to(visit.links.add(place.address))
        self._incoming.sweep()
        return self._show_add_page(visit)

    def _show_add_page(self, visit: Visit, status: int = 200, **said: Any) -> Response:
        return self._show(
            "add",
            visit,
            status,
            title=self._title(visit.place.parts),
            trail=self._trail(visit),
            piece=PIECE_BYTES,
            errors=self._refusals(visit),
            own_items=self._own_items(visit),
            **said,
        )

    def _refusals(self, visit: Visit) -> dict[int, str]:
        """Return why a file is not taken, by the status of the answer."""
        refusals = {status: visit.texts.error(status) for status in REFUSALS}
        if visit.share:
            refusals[NotFound.status] = visit.texts.text("link_ended")
        refusals[Locked.status] = visit.texts.text("unlock_hint")
        refusals[ShareFull.status] = visit.texts.text(
            "add_full",
            files=self._config.guest_files,
            size=f"{self._config.guest_gigabytes} GB",
        )
        return refusals

    def _own_items(self, visit: Visit) -> list[Item]:
        """Return what a guest added to an album, the last first."""
        added = visit.principal.added
        if not added:
            return []
        items = self._library.album(visit.place, visit.principal).items
        own = [item for item in items if item.file.identity in added]
        return sorted(own, key=lambda item: item.added, reverse=True)

    def add_form(self, visit: Visit) -> Response:
        """Add one small photo, for browsers without JavaScript; below a photo, take it back."""
        if visit.place.file:
            return self._take_back(visit)
        sent = _file_sent("photo")
        content = sent.file.read(PIECE_BYTES + 1)
        if len(content) > PIECE_BYTES:
            raise TooLarge("Without JavaScript, a photo may have 1 MB.")
        upload = self._upload(visit, sent.raw_filename, len(content), 0)
        try:
            added = self._incoming.receive(upload, 0, content)
        except (Unwanted, NoRoom, ShareFull) as error:
            text = self._refusals(visit)[error.status]
            return self._show_add_page(visit, error.status, error=text)
        name = added.name if isinstance(added, Added) else ""
        return self._show_add_page(visit, added=name)

    def add_piece(self, visit: Visit) -> Response:
        """Take a piece of a file: a JSON answer says how much is there, or what became of it."""
        query = request.query
        texts = [query.get(name, "") for name in ("size", "offset", "modified")]
        if not all(is_number(text, 15) for text in texts):
            raise PhotosError("A piece needs size, offset and modified.")
        size, offset, modified = map(int, texts)
        upload = self._upload(visit, query.getunicode("name") or "", size, modified / 1000)
        if size == 0:
            raise Unwanted("The file is empty.")
        piece = request.body.read(PIECE_BYTES + 1)
        if len(piece) > PIECE_BYTES:
            raise TooLarge("A piece may have 1 MB.")
        state = self._incoming.receive(upload, offset, piece)
        facts: Fields = {"offset": state}
        if isinstance(state, Added):
            self._upkeep.wake()
            facts = {"name": display(state.name), "new": state.is_new}
        document = Document(json.dumps(facts).encode())
        return self._send_document(document, "application/json", visit, is_storable=False)

    def _upload(self, visit: Visit, name: str, size: int, modified: float) -> Upload:
        principal = visit.principal
        folder = self._folders.path_of(visit.place.parts)
        return Upload(principal.who, principal.is_guest, folder, name, size, modified)

    def _take_back(self, visit: Visit) -> Response:
        """Take a photo out of its album for the guest who added it, and lead to the rest."""
        item = self._item(visit)
        self._incoming.withdraw(item.file, item.facts)
        self._upkeep.wake()
        return _redirect(visit.links.add(visit.place.address[:-1]))

    # Login

    def show_login(self, visit: Visit) -> Response:
        """The login form; somebody who is logged in goes on at once."""
        target = safe_next(request.query.get("next", ""), visit.links.prefix)
        if visit.principal.is_user:
            return _redirect(target)
        return self._show("login", visit, target=target, error="", name="")

    def log_in(self, visit: Visit) -> Response:
        """Check name and password; start a session and go to where the visitor came from."""
        target = safe_next(_field("next"), visit.links.prefix)
        name = _field("user")
        password = _field("password")
        try:
            user, epoch = self._check_password(name, password)
        except (LoginFailed, TooManyAttempts, Busy) as error:
            message = visit.texts.error(error.status, error.retry_after)
            values = {"target": target, "error": message, "name": name[:USER_LENGTH]}
            return _as_error(self._show("login", visit, error.status, **values), error)
        response = _redirect(target)
        self._set_cookie(response, self._cookie_name(), self._tokens.issue(user, epoch))
        return response

    def _check_password(self, name: str, password: str) -> tuple[str, str]:
        """Return the user's name as it is registered, and the epoch of the user's sessions.

        Raises LoginFailed, TooManyAttempts, Busy, StateError.
        """
        try:
            user, secret = parse_user(name), parse_password(password)
        except ValueError:
            raise LoginFailed from None
        verify = partial(self._users.verify, user, secret)
        return user, self._verify_within_limits(user, verify)

    def _verify_within_limits(self, account: str, verify: Callable[[], str | None]) -> str:
        """Return what `verify` does, within the limits of an account. Raises as `_check_password`."""
        address = ""
        if self._config.trusted_proxy:
            address = request.environ.get("REMOTE_ADDR", "")
        self._limits.attempt(account, address)
        try:
            verified = verify()
        except (Busy, StateError):
            self._limits.withdraw(account, address)
            raise
        if verified is None:
            raise LoginFailed
        self._limits.succeeded(account, address)
        return verified

    def log_out(self, visit: Visit) -> Response:
        """End this session everywhere it was copied to."""
        if visit.session:
            expires = int(time.time()) + AHEAD_SECONDS + SESSION_SECONDS
            try:
                self._users.revoke(visit.session.user, visit.session.jti, expires)
            except StateError as error:  # the browser shall forget the session all the same
                log.error("%s A session could not be ended everywhere.", error)
        response = _redirect(visit.links.album(()))
        self._set_cookie(response, self._cookie_name(), "")
        response.set_header("Clear-Site-Data", '"cache"')
        return response

    # Shares

    def unlock(self, visit: Visit) -> Response:
        """Check a share's password; remember in this browser that it was told."""
        target = safe_next(_field("next"), visit.links.prefix)
        share = visit.share
        assert share  # or `_check_share` refuses
        verify = partial(self._verify, share, _field("password"))
        try:
            self._verify_within_limits(f"share {share.id}", verify)
        except (LoginFailed, TooManyAttempts, Busy) as error:
            return self._ask_to_unlock(visit, target, error)
        self._guests.note_use(share)
        response = _redirect(target)
        token = self._unlocking.issue(share.id, share.epoch)
        self._set_cookie(response, self._unlock_name(), token, visit.links.prefix)
        return response

    def _verify(self, share: Share, text: str) -> str | None:
        """Return the epoch of a share's password; None: the text is another one."""
        try:
            password = parse_password(text)
        except ValueError:
            return None
        path = self._state / "shares.json"
        is_right = share.password == "" or self._users.check_password(
            password, share.password, path, share.label
        )
        return share.epoch if is_right else None

    def show_share_form(
        self, visit: Visit, message: str = "", status: int = 200
    ) -> Response:
        """Ask for whom a link is, and on which terms."""
        may_add = _field("add") != ""
        if request.method != "POST":
            # To whoever may not add, an inbox is empty for ever.
            may_add = visit.place.rule.is_inbox
        return self._show(
            "share",
            visit,
            status,
            album=self._title(visit.place.parts),
            label=_field("label"),
            may_add=may_add,
            durations=DURATIONS,
            chosen=_field("days") or str(SHARE_DAYS),
            forever=FOREVER,
            had_password=_field("password") != "",
            error=message,
        )

    def make_share(self, visit: Visit) -> Response:
        """Make a link for guests, and lead to it."""
        creator = visit.principal.user
        try:
            share = self._guests.make(visit.place, creator=creator, **self._terms())
        except ValueError:
            return self.show_share_form(visit, visit.texts.text("share_refused"), 400)
        except ShareExists as error:
            message = visit.texts.text("share_exists")
            return self.show_share_form(visit, message, error.status)
        return _redirect(visit.links.shares(share.id))

    def _terms(self) -> Fields:
        """Return the terms of a new share as the form says. Raises ValueError."""
        terms: Fields = {"label": parse_label(_field("label")), "until": None}
        if _field("days") != FOREVER:
            days = dt.timedelta(days=parse_days(_field("days")))
            terms["until"] = self._folders.circumstances().today + days
        terms["may_add"] = _field("add") != ""
        if password := _field("password"):
            terms["password"] = self._users.hash_password(parse_password(password))
        return terms

    def _shared_album(self, share: Share) -> SharedAlbum:
        why_dead = self._guests.why_dead(share)
        place = self._guests.album(share)
        link = share_link(self._config, self._guests.store.token(share))
        if place is None:
            return SharedAlbum(share, "", (), why_dead, link)
        return SharedAlbum(share, self._title(place.parts), place.address, why_dead, link)

    def show_shares(self, visit: Visit) -> Response:
        """List the links for guests, and show one with its code."""
        shared = [self._shared_album(share) for share in self._guests.store.all()]
        wanted = request.query.get("show")
        shown = next((row for row in shared if row.share.id == wanted), None)
        code = ""
        if shown:
            code = qr_code(shown.link).svg_inline(
                border=QUIET_ZONE, light="#fff", omitsize=True
            )
        return self._show("shares", visit, shared=shared, shown=shown, code=code)

    def end_share(self, visit: Visit) -> Response:
        """End a link for guests, at once."""
        with suppress(NoSuchShare):  # the link had ended already
            self._guests.store.end(request.url_args["id"])
        return _redirect(visit.links.shares())


def create_app(
    state: str | os.PathLike[str],
    *,
    config: Config | None = None,
    background: bool = True,
    today: Callable[[], dt.date] = dt.date.today,
) -> Site:
    """Return the WSGI application of a state folder, for any WSGI server.

    `config`: instead of config.json. `background`: whether to render ahead. `today`: the clock.
    `close()` ends its workers. Raises StateError.
    """
    folder = Path(state).absolute()
    config = config or read_config(folder) or Config()
    users = UserStore(folder)
    library = open_library(folder, config, lambda: users.circumstances(today))
    site = Site(folder, config, library, users)
    if background:
        site.start()
    return site


# --- Server ------------------------------------------------------------------

ANSWER_THREADS = 16
HEADER_BYTES = 16384
BODY_BYTES = 65536  # a login form is the largest thing that anyone may send elsewhere
ADD_BODY_BYTES = PIECE_BYTES + BODY_BYTES  # of a photo in a form, or a piece of it
CONNECTIONS = 1000
FILES = 4096  # open at the same time: each connection may have one
IDLE_CONNECTION_SECONDS = 30
PEER_CONNECTIONS = 64  # of one address: a browser opens six, a household has a few browsers
HEADER_SECONDS = 20  # for the head of a request
BODY_SECONDS = 300  # for all of it
SLOWEST_BODY = 10_000  # bytes/s, when the head's time is over
# An answer that a thread gave within so many seconds is given by the loop the next time, for a moment:
# where a disk of the network hangs, the loop waits for it, until the disk answers.
QUICK_SECONDS, PACE_SECONDS = 0.02, 2.0
PACES_KEPT = 1000
QUERY_BYTES = 500  # pages lead to shorter ones; to take one of 16 KB apart costs 8 ms
MOMENT = 1.0  # s, in which a visitor should ask after connecting, or take some of an answer
# Of an answer that comes in blocks. From 1 MB on, waitress writes what waits to a temporary file.
WAITING_BYTES = 500_000
MAINTENANCE_SECONDS = 5  # between two looks at who is late
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
ACCEPTING_PAUSE = 1.0  # seconds, where the system has no descriptor left
REPEAT_SECONDS = 60.0  # until the log says the same again
_TRANSFER_ENCODING = re.compile(rb"\ntransfer-encoding:([^\r\n]*)", re.IGNORECASE)
# RFC 3986, 3.2.2 and 3.2.3, without the comma, which stands between two of them.
_HOST = re.compile(r"(?:[\w.~!$&'()*+;=%-]*|\[[\w.~!$&'()*+;=%:-]+\])(?::\d*)?", re.ASCII)


class LogBudget(logging.Filter):
    """Keeps what strangers send from filling the log: lines of one kind once a minute, with a count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        # By the place in the code that writes them, and what it calls their kind: until when none is
        # let through, and how many were held back.
        self._kinds: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is let through; a line after others that were not says how many."""
        kind = record.pathname, record.lineno, getattr(record, "kind", "")
        with self._lock:
            now = self._clock()
            silent_until, missed = self._kinds.get(kind, (-math.inf, 0))
            if now < silent_until:
                self._kinds[kind] = silent_until, missed + 1
                return False
            self._kinds[kind] = now + REPEAT_SECONDS, 0
        if missed:
            record.msg = (
                f"{record.getMessage()} ({missed} more of this kind since the last)"
            )
            record.args = ()
        return True


def set_up_log() -> None:
    """Write what the owner has to know to stderr, within the log's budget."""
    handler = logging.StreamHandler()
    handler.addFilter(LogBudget())
    logging.basicConfig(format="%(levelname)s: %(message)s", handlers=[handler])
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


class Parser(waitress.parser.HTTPRequestParser):
    """A request as it comes in: one at a time, and none that a proxy may have read differently."""

    path = query = ""  # where the head makes no sense, which waitress asks for all the same

    def __init__(self, adj: waitress.adjustments.Adjustments) -> None:
        super().__init__(adj)
        self.adj = adj
        self.since = time.monotonic()

    def received(self, data: bytes) -> int:
        """Take in what was received; whoever sends more than one request is answered the first alone.

        So no thread waits for a visitor to read what was asked before.
        """
        consumed: int = super().received(data)
        if self.completed:  # nothing is to come, or it will not be taken (RFC 9110, 10.1.1)
            self.expect_continue = False
        if self.completed and not self.empty and consumed < len(data):
            self.headers["CONNECTION"] = "close"
            return len(data)
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head. Raises ParsingError (RFC 9112, 3.2 and 6.1)."""
        try:
            super().parse_header(header_plus)
        except ValueError:  # GET http://[::1/
            raise waitress.parser.ParsingError("Bad URI") from None
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise waitress.parser.ParsingError("Both Content-Length and Transfer-Encoding")
        codings = _TRANSFER_ENCODING.findall(header_plus)
        is_chunked_once = [coding.strip().lower() for coding in codings] == [b"chunked"]
        if codings and not is_chunked_once:
            raise waitress.parser.ParsingError("Transfer-Encoding that is not chunked once")
        if "TRANSFER_ENCODING" in self.headers:  # waitress reads it in HTTP/1.1 alone
            raise waitress.parser.ParsingError(
                "Transfer-Encoding in another version of HTTP"
            )
        if self.adj.is_behind_cloudflare:  # which adds to the X-Forwarded-For of a visitor
            self.headers.pop("X_FORWARDED_FOR", None)
            if visitor := self.headers.pop("CF_CONNECTING_IP", ""):
                self.headers["X_FORWARDED_FOR"] = visitor
        has_body = self.chunked or self.content_length > 0
        if has_body and "/add/" not in self.path:
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = BODY_BYTES
        if self.proxy_netloc:  # GET http://name/ (RFC 9112, 3.2.2)
            self.headers["HOST"] = self.proxy_netloc
        is_missing = "HOST" not in self.headers and self.version == "1.1"
        if is_missing or not _HOST.fullmatch(self.headers.get("HOST", "")):
            raise waitress.parser.ParsingError(
                "No Host, more than one, or none that can be"
            )

    def is_late(self) -> bool:
        """Say whether the rest of the request has taken too long."""
        seconds = time.monotonic() - self.since
        if not self.headers_finished:
            return seconds > HEADER_SECONDS
        expected = SLOWEST_BODY * (seconds - HEADER_SECONDS)
        return seconds > BODY_SECONDS or self.body_bytes_received < expected


class RefusalTask(waitress.task.ErrorTask):
    """The answer to a request that makes no sense, with the headers that each of our answers has."""

    def execute(self) -> None:
        self.response_headers.extend(SECURITY_HEADERS.items())
        super().execute()


class FileBuffer(waitress.buffers.ReadOnlyFileBasedBuffer):
    """A part of a file that waits to be sent."""

    def get(self, numbytes: int = -1, skip: bool = False) -> Any:
        """Return the part itself, which the channel sends from where it is."""
        return self.file


class Task(waitress.task.WSGITask):
    """The answer to a request, by the application."""

    def get_environment(self) -> Environ:
        environ: Environ = super().get_environment()
        environ["wsgi.file_wrapper"] = FileBuffer
        environ["photos.is_watched"] = self.channel.is_watched
        return environ

    def set_close_on_finish(self) -> None:
        """Have the connection closed, but not for want of a length where there is no body (RFC 9112, 6.3)."""
        is_wanted = self.request.headers.get("CONNECTION", "").lower() == "close"
        if self.has_body or is_wanted or self.version == "1.0":
            super().set_close_on_finish()

    def write(self, data: bytes) -> None:
        """Send some of the answer; its head leaves together with a small first block."""
        self.channel.held = []
        try:
            super().write(data)
        finally:
            self.channel.send_held()


class RightTask(NamedTuple):
    """A look at whether somebody may still have a file, which the loop has begun to send."""

    channel: waitress.channel.HTTPChannel
    part: FilePart

    def service(self) -> None:
        """Look, and have the loop send on. Runs in a thread."""
        try:
            self.part.look_at_right()
        finally:
            self.channel.is_looked_at = False
            self.channel.server.pull_trigger()

    def cancel(self) -> None:
        """Send no more."""
        self.channel.cancel()


class Channel(waitress.channel.HTTPChannel):
    """A connection."""

    parser_class = Parser
    task_class = Task
    error_task_class = RefusalTask

    held: list[bytes] | None = None  # what is to leave together
    may_send_file = False
    is_looked_at = False  # by a thread: whether the visitor may have the rest of a file
    # On the monotonic clock, s, while a thread waits for the visitor.
    writing_since = math.inf

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # The loop holds it while it takes in a request, and may answer that at once.
        self.requests_lock = threading.RLock()

    def is_watched(self) -> bool:
        """Say whether the visitor is still there; until a request is answered, nothing is read."""
        try:
            ahead: bytes = self.socket.recv(1, socket.MSG_PEEK)
            return ahead != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def service(self) -> None:
        """Answer a request, and note how long that took."""
        request = self.requests[0]
        since = time.monotonic()
        super().service()
        self.server.task_dispatcher.pace.note(request, time.monotonic() - since)

    def answer_at_once(self) -> bool:
        """Answer a request in the loop; False: it needs a thread."""
        before = in_loop.set(True)
        try:
            self.service()
        except NeedsThread:
            return False
        finally:
            in_loop.reset(before)
        return True

    def write_soon(self, data: Any) -> int:
        """Take in what a thread has for the visitor, who may have to read something first."""
        if self.held is not None:
            self.held.append(data)
            return len(data)
        self.writing_since = time.monotonic()
        try:
            sent = self._send_at_once(data)
            waiting: int = super().write_soon(data[sent:] if sent else data)
            return sent + waiting
        finally:
            self.writing_since = math.inf

    def send_held(self) -> None:
        """Send what was held: small blocks as one."""
        held, self.held = self.held or [], None
        if sum(map(len, held)) < SMALL_BYTES:
            held = [b"".join(held)]
        for block in held:
            self.write_soon(block)

    def _send_at_once(self, data: Any) -> int:
        """Send of a block what the network takes now; return how many bytes.

        Otherwise it would be copied twice on its way.
        """
        if not isinstance(data, bytes):
            return 0
        with self.outbuf_lock:
            if self.total_outbufs_len or not self.connected:
                return 0
            sent = self.send(data, do_close=False)
        self.last_activity = time.time()
        return sent

    def writable(self) -> bool:
        """Say whether there is something to send now."""
        return not self.is_looked_at and bool(super().writable())

    def handle_write(self) -> None:
        """Send some of what waits; of a file one block, so that other connections have a turn."""
        self.may_send_file = True
        super().handle_write()
        self.may_send_file = False

    def send(self, data: Any, do_close: bool = True) -> int:
        """Send what the network takes now; return how many bytes. A file is left to `handle_write`."""
        if not isinstance(data, FilePart):
            sent: int = super().send(data, do_close)
            return sent
        if not self.may_send_file:
            return 0
        self.may_send_file = False
        before = in_loop.set(True)
        try:
            return data.send(self.socket)
        except NeedsThread:
            self.is_looked_at = True
            self.server.task_dispatcher.add_to_queue(RightTask(self, data))
            return 0
        finally:
            in_loop.reset(before)

    @property
    def order(self) -> tuple[int, float]:
        """A sort key: where there is no room, whoever has not finished asking goes first.

        Then who does not read what is sent, and then who has only just come.
        """
        now = time.time()
        if self.total_outbufs_len:
            is_stalled = now - self.last_activity > MOMENT
            return 1 if is_stalled else 3, self.creation_time
        is_new = now - self.creation_time < MOMENT
        return 2 if is_new else 0, self.creation_time

    def is_late(self, now: float) -> bool:
        """Say whether nothing has moved for too long, or a request takes too long to come in."""
        if self.requests:  # it is being answered
            return time.monotonic() - self.writing_since > SLOWEST_BLOCK_SECONDS
        is_idle = now - self.last_activity > IDLE_CONNECTION_SECONDS
        return is_idle or (self.request is not None and self.request.is_late())


def _pace_key(request: Parser) -> int:
    """Return a number for an album's path, or for that of all files of one folder.

    An album may take long where its files do not; and a path may be as long as a head.
    """
    folder, _, name = request.path.rpartition("/")
    return hash(folder if name else request.path)


class Pace:
    """Which requests were answered quickly a moment ago: what they need is in the system's memory."""

    def __init__(self) -> None:
        # By `_pace_key`: until when, s on the monotonic clock.
        self._quick_until: dict[int, float] = {}

    def is_quick(self, request: Parser) -> bool:
        """Say whether a request is one that the server's loop may answer by itself."""
        if request.error or request.command not in ("GET", "HEAD"):
            return False
        if len(request.query) > QUERY_BYTES:
            return False
        quick_until = self._quick_until.get(_pace_key(request), 0)
        return time.monotonic() < quick_until

    def note(self, request: Parser, seconds: float) -> None:
        """Note how long an answer took."""
        if seconds > QUICK_SECONDS:
            self._quick_until.pop(_pace_key(request), None)
            return
        if len(self._quick_until) >= PACES_KEPT:
            self._quick_until.clear()
        self._quick_until[_pace_key(request)] = time.monotonic() + PACE_SECONDS


class Dispatcher(waitress.task.ThreadedTaskDispatcher):
    """Who answers: the server's loop what is quick, else threads, as many as are needed."""

    def __init__(self) -> None:
        super().__init__()
        self._starting = threading.Lock()
        self.pace = Pace()

    def add_task(self, task: Any) -> None:
        """Have a request answered. Runs in the loop.

        A thread costs more than the answer, where that is ready: the two take turns with the
        interpreter at each system call.
        """
        if self.pace.is_quick(task.requests[0]) and task.answer_at_once():
            return
        self.add_to_queue(task)

    def add_to_queue(self, task: Any) -> None:
        """Have a thread do something, such as answer a request: a new one where all are busy."""
        with self._starting:
            with self.lock:
                self.queue.append(task)
                self.queue_cv.notify()
                running = len(self.threads) - self.stop_count
                is_short = self.active_count + len(self.queue) > running
            if is_short and running < ANSWER_THREADS + WAITING_THREADS:
                self.set_thread_count(running + 1)

    def start_new_thread(self, target: Callable[[int], None], thread_no: int) -> None:
        """Start a thread; where the machine has none left, those that there are go on."""
        try:
            super().start_new_thread(target, thread_no)
        except RuntimeError:
            self.threads.discard(thread_no)
            self.active_count -= 1  # the caller counts the thread

    def end_idle(self) -> None:
        """End the threads that only a rush of visitors needed."""
        with self._starting:
            busy = self.active_count
            if len(self.threads) - self.stop_count > max(busy, ANSWER_THREADS):
                self.set_thread_count(max(busy, ANSWER_THREADS))


class Server(waitress.server.TcpWSGIServer):
    """waitress, which nobody stops by keeping connections."""

    channel_class = Channel
    paused_until = 0.0  # s on the monotonic clock
    next_channel_cleanup = 0.0  # s since the epoch

    def pull_trigger(self) -> None:
        """Have the loop look what there is to do; when it answers by itself, it looks anyway."""
        if not in_loop.get():
            super().pull_trigger()

    def readable(self) -> bool:
        """Say whether connections are accepted now."""
        # Or a clock that was set back would have nobody looked after until it is as late again.
        soon = time.time() + MAINTENANCE_SECONDS
        self.next_channel_cleanup = min(self.next_channel_cleanup, soon)
        return super().readable() and time.monotonic() >= self.paused_until

    def accept(self) -> tuple[socket.socket, Any] | None:
        """Accept a connection; None: there is none, or no room for it."""
        try:
            accepted: tuple[socket.socket, Any] | None = super().accept()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            # The system has nothing left for a connection: nobody is accepted for a moment.
            self.paused_until = time.monotonic() + ACCEPTING_PAUSE
            log.error("No connection can be accepted for now: %s", error.strerror)
            return None
        if accepted and not self._has_room(accepted[1][0]):
            accepted[0].close()
            return None
        return accepted

    def _has_room(self, address: str) -> bool:
        """Make room for one more connection of an address, if need be."""
        channels = list(self.active_channels.values())
        peers = [channel for channel in channels if channel.addr[0] == address]
        is_proxy = address == self.adj.trusted_proxy
        if len(peers) >= PEER_CONNECTIONS and not is_proxy:
            return self._drop_one(peers)
        return len(channels) < CONNECTIONS or self._drop_one(channels)

    def _drop_one(self, channels: Iterable[Channel]) -> bool:
        """Close the connection that is missed least; say whether there was one."""
        waiting = [channel for channel in channels if not channel.requests]
        for channel in sorted(waiting, key=operator.attrgetter("order"))[:1]:
            channel.handle_close()
        return bool(waiting)

    def maintenance(self, now: float) -> None:
        """Close the connections whose time is over, also where a visitor no longer reads."""
        for channel in list(self.active_channels.values()):
            if channel.is_late(now):
                channel.handle_close()
        self.task_dispatcher.end_idle()


def make_server(app: Site, config: Config) -> waitress.server.MultiSocketServer:
    """Return waitress, listening. Raises PhotosError where the port is taken."""
    headers = "x-forwarded-for x-forwarded-proto" if config.trusted_proxy else ""
    hosts = [f"[{config.host}]" if ":" in config.host else config.host]
    if config.host == EVERY_HOST:
        hosts.append(ANY_HOST)  # waitress keeps IPv4 out of the sockets of IPv6
    adjustments = waitress.adjustments.Adjustments(
        listen=" ".join(f"{host}:{config.port}" for host in hosts),
        url_prefix=config.prefix,
        connection_limit=2 * CONNECTIONS,  # `Server` has a limit of its own
        asyncore_use_poll=True,
        channel_timeout=IDLE_CONNECTION_SECONDS,
        cleanup_interval=MAINTENANCE_SECONDS,
        ident=None,
        log_socket_errors=False,
        max_request_body_size=ADD_BODY_BYTES,
        max_request_header_size=HEADER_BYTES,
        outbuf_high_watermark=WAITING_BYTES,
        outbuf_overflow=WAITING_BYTES + 2 * ZIP_BLOCK_BYTES,  # nothing is written to disk
        trusted_proxy=config.trusted_proxy,
        trusted_proxy_headers=headers,
        clear_untrusted_proxy_headers=True,
    )
    adjustments.is_behind_cloudflare = config.tunnel == "cloudflare"
    dispatcher = Dispatcher()
    sockets: dict[int, Any] = {}
    try:
        for address in adjustments.listen:
            Server(app, sockets, adj=adjustments, dispatcher=dispatcher, sockinfo=address)
    except OSError as error:
        problem = f"Port {config.port} of {config.host} cannot be used ({error.strerror})."
        advice = "Another one: --port NUMBER"
        if error.errno == errno.EADDRNOTAVAIL:  # as after a move to another network
            advice = f"This machine has no such address. All that it has: --host {ANY_HOST}"
        raise PhotosError(f"{problem} {advice}") from None
    return waitress.server.MultiSocketServer(sockets, adjustments, [], dispatcher)


def raise_file_limit() -> None:
    """Let this process open a file for each of its connections."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, FILES)), hard))


# --- Tunnel ------------------------------------------------------------------

TUNNEL_PROGRAMS = {"cloudflare": "cloudflared", "tailscale": "tailscale"}
RELEASES = "https://github.com/cloudflare/cloudflared/releases"
RELEASE = f"{RELEASES}/latest/download/cloudflared-linux"
TAILSCALE_SCRIPT = "curl -fsSL https://tailscale.com/install.sh | sh"
# By program, and by what the system installs programs with.
HOW_TO_INSTALL = {
    "cloudflared": {
        "brew": "brew install cloudflared",
        "winget": "winget install Cloudflare.cloudflared",
        "pacman": "sudo pacman -S cloudflared",
        "apk": "sudo apk add cloudflared",
        "dpkg": f"curl -LO {RELEASE}-$(dpkg --print-architecture).deb"
        " && sudo dpkg -i cloudflared-linux-*.deb",
        "rpm": f"sudo rpm -i {RELEASE}-$(uname -m).rpm",
    },
    "tailscale": {
        "brew": "brew install tailscale",
        "winget": "winget install Tailscale.Tailscale",
        **dict.fromkeys(("pacman", "apk", "dpkg", "rpm"), TAILSCALE_SCRIPT),
    },
}
DOWNLOAD_PAGES = {"cloudflared": RELEASES, "tailscale": "https://tailscale.com/download"}
# Run by Python in the place of the program, which ends when we do, however that happens (prctl(2)).
END_WITH_PARENT = """import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])"""
OPENING_SECONDS = 30.0  # that a tunnel has to open; the program is started afresh then
LOOKING_SECONDS = 0.25  # between two looks at whether it is open
SHORTEST_REST, LONGEST_REST = 1.0, 60.0  # s, before the program is started again
ENDING_SECONDS = 1.0  # that the program has to end; it is killed then
TOLD_LINES = 50  # of what the program says, kept for the reason why it ended
LINE_LENGTH = 300  # of a reason
LOCAL_SECONDS = 2.0  # that a program on this machine may take for an answer
ANSWER_BYTES = 1 << 20  # that are taken of one answer
# Cloudflare's answers to who asks too often: HTTP 429, and its error 1015.
_TOO_OFTEN = re.compile(r"\b429 Too Many Requests|\berror code: 1015\b", re.IGNORECASE)
# cloudflared says so where a network lets no UDP through.
_NO_UDP = re.compile(r"fail.*\bquic\b|no recent network activity", re.IGNORECASE)
_LOG_TIME = re.compile(r"\S+Z (?:WRN|ERR|FTL) ")


def tunnel_program(kind: str) -> str:
    """Return the path of a tunnel's program. Raises PhotosError where it is missing."""
    name = TUNNEL_PROGRAMS[kind]
    path = shutil.which(name)
    if path:
        return path
    commands = HOW_TO_INSTALL[name]
    installer = next(filter(shutil.which, commands), "")
    advice = commands.get(installer, f"see {DOWNLOAD_PAGES[name]}")
    raise PhotosError(f"The program {name} is missing here. To install it: {advice}")


def read_tunnel_token(state: Path) -> str:
    """Return the token of the owner's tunnel, or ''. Raises StateError where others can read it."""
    path = state / "tunnel.token"
    content = read_kept(path)
    if content is None:
        return ""
    if path.stat().st_mode & 0o077 and sys.platform != "win32":
        to_do = f"chmod 600 {shlex.quote(os.fspath(path))}"
        raise StateError(f"Others can read {path}. To end that: {to_do}")
    token = content.decode("ascii", "replace").strip()
    if not token:
        raise StateError(f"{path} is empty. Put the token in, or remove it.")
    return token


def birth_of(pid: int) -> str:
    """Return when a process began, as this system tells it; '': there is none of that id."""
    if sys.platform == "linux":
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
            state, *others = fields.rpartition(")")[2].split()
            return "" if state in "ZX" else others[18]  # proc(5): starttime
        return ""
    command = f"ps -o lstart= -p {pid}".split()
    if sys.platform == "win32":
        script = f"(Get-Process -Id {pid}).StartTime.Ticks"
        command = ["powershell", "-NoProfile", "-Command", script]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.check_output(command, text=True, env=environment).strip()
    return ""


class TunnelNote(NamedTuple):
    """What is kept about the tunnel on disk, in tunnel.json."""

    address: str = ""  # where it leads from, or led from at last
    is_open: bool = False
    pid: int = 0  # of its program; 0: none runs
    birth: str = ""

    @classmethod
    def read(cls, state: Path) -> TunnelNote:
        """Return the note; an empty one where there is none that makes sense."""
        with suppress(StateError, KeyError):
            content = read_state(state / "tunnel.json") or {}
            note = cls(**{name: content[name] for name in cls._fields})
            if [*map(type, note)] == [*map(type, cls())]:
                return note
        return cls()

    def write(self, state: Path) -> None:
        """Keep the note, where the disk takes it."""
        with suppress(OSError):
            write_state(state / "tunnel.json", self._asdict())


def tunnel_address(state: Path) -> str:
    """Return the address from which a tunnel leads to the running server, or ''."""
    note = TunnelNote.read(state)
    return note.address if note.is_open and serving_version(state) else ""


def end_left_tunnel(state: Path) -> None:
    """End the program of a server that was killed, if that is what has its id now."""
    note = TunnelNote.read(state)
    if note.pid <= 1:
        return
    if note.birth and birth_of(note.pid) == note.birth:
        with suppress(OSError):
            os.kill(note.pid, signal.SIGTERM)
    TunnelNote(note.address).write(state)


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: dict[str, str]  # by their names in lower case
    body: bytes
    seconds: float


FETCH_ERRORS = (OSError, ValueError, http.client.HTTPException)


def fetch(address: str, path: str, headers: Mapping[str, str], seconds: float) -> Answer:
    """Ask a server. Raises FETCH_ERRORS."""
    parts = urlsplit(address)
    kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
    if parts.scheme == "https":
        kind = http.client.HTTPSConnection
    connection = kind(parts.hostname or "", parts.port, timeout=seconds)
    started = time.monotonic()
    with closing(connection):
        connection.request("GET", path, headers={"User-Agent": "photos", **headers})
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES)
    joined = {}
    for name in answer.headers:
        joined[name.lower()] = ", ".join(answer.headers.get_all(name, []))
    return Answer(answer.status, joined, body, time.monotonic() - started)


def local_json(port: int, path: str) -> Fields:
    """Ask a program on this machine; return its answer, {} where it gives none with status 200."""
    with suppress(*FETCH_ERRORS):
        answer = fetch(f"http://{OWN_HOST}:{port}", path, {}, LOCAL_SECONDS)
        content = json.loads(answer.body)
        if answer.status == 200 and isinstance(content, dict):
            return content
    return {}


def funnel_address(status: Values, port: int) -> str:
    """Return the address that Tailscale's Funnel leads from to a port of this machine, or ''.

    `tailscale funnel --bg` stands in the status itself, `tailscale funnel` below "Foreground".
    """
    sessions = status.get("Foreground") or {}
    for part in (*sessions.values(), status):
        for name, is_open in (part.get("AllowFunnel") or {}).items():
            site = (part.get("Web") or {}).get(name) or {}
            root = (site.get("Handlers") or {}).get("/") or {}
            if is_open and str(root.get("Proxy", "")).endswith(f":{port}"):
                return parse_public_address(name)
    return ""


class Tunnel:
    """Runs the program by which people outside reach the site, and starts it again when it ends."""

    def __init__(
        self, state: Path, config: Config, tell: Callable[[str], None], token: str
    ) -> None:
        """`tell` is called in a thread with each address that opens and is another than before.

        Raises PhotosError where the program is missing.
        """
        self._state = state
        self._config = config
        self._tell = tell
        self._token = token
        self._program = tunnel_program(config.tunnel)
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._said: deque[str] = deque(maxlen=TOLD_LINES)
        self._protocol: tuple[str, ...] = ()
        self._address = ""

    def start(self) -> None:
        """Open the tunnel, in a thread of its own."""
        start_thread(self._keep_open)

    def close(self) -> None:
        """End the program, and start it no more."""
        with self._starting:
            self._closing.set()
        self._end(self._process)
        self._note()

    def _end(self, process: subprocess.Popen[str] | None) -> None:
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _keep_open(self) -> None:
        rest = SHORTEST_REST
        while not self._closing.is_set():
            if self._run_once() > LONGEST_REST:
                rest = SHORTEST_REST
            if self._closing.is_set():
                return
            if self._has_said(_TOO_OFTEN):
                rest = LONGEST_REST
            log.warning("No tunnel: %s. Next try in %g s.", self._reason(), rest)
            self._closing.wait(rest)
            rest = min(2 * rest, LONGEST_REST)

    def _has_said(self, words: re.Pattern[str]) -> bool:
        return any(map(words.search, tuple(self._said)))

    def _reason(self) -> str:
        """Return why the program ended, in its own words where we have none."""
        if self._has_said(_TOO_OFTEN):
            return "Cloudflare gives out no more addresses for now"
        if self._has_said(_NO_UDP):
            return "this network seems to let no UDP through, TCP is tried instead"
        lines = tuple(self._said)
        errors = [line for line in lines if _LOG_TIME.match(line)]
        reason = errors[-1] if errors else " ".join(lines[-3:])
        reason = _LOG_TIME.sub("", reason)[:LINE_LENGTH].rstrip(". ")
        return reason or f"{self._program} ended without a word"

    def _run_once(self) -> float:
        """Run the program until it ends; return for how many seconds the tunnel was open."""
        self._said.clear()
        try:
            with socket.create_server((OWN_HOST, 0)) as probe:
                metrics = probe.getsockname()[1]
            process = self._launch(metrics)
        except OSError as error:
            self._said.append(f"{self._program}: {error.strerror}")
            return 0.0
        if process is None:
            return 0.0
        reader = start_thread(self._listen, process)
        seconds = 0.0
        if address := self._wait_until_open(process, metrics):
            since = time.monotonic()
            self._open_at(address, process.pid)
            process.wait()
            seconds = time.monotonic() - since
        self._end(process)
        self._note()
        reader.join(ENDING_SECONDS)
        return seconds

    def _command(self, metrics: int) -> list[str]:
        port = str(self._config.port)
        if self._config.tunnel == "tailscale":
            return [self._program, "funnel", port]
        # An own empty file: the rules in ~/.cloudflared/config.yml are for another tunnel.
        settings = self._state / "cache" / "tunnel.yml"
        settings.write_bytes(b"")
        command = [self._program, "tunnel", "--config", os.fspath(settings)]
        command += ["--no-autoupdate", "--metrics", f"{OWN_HOST}:{metrics}"]
        command += ["--grace-period", "2s", *self._protocol]
        command += ["--url", f"http://{OWN_HOST}:{port}"]  # the dashboard's rules go before
        return [*command, "run"] if self._token else command

    def _launch(self, metrics: int) -> subprocess.Popen[str] | None:
        """Start the program, and note which process is ours; None: it is to start no more."""
        command = self._command(metrics)
        if sys.platform == "linux":
            command = [sys.executable, "-ISc", END_WITH_PARENT, *command]
        names = [name for name in os.environ if not name.startswith("TUNNEL_")]
        environment = {name: os.environ[name] for name in names}
        if self._token:
            environment["TUNNEL_TOKEN"] = self._token  # others can read arguments
        with self._starting:
            if self._closing.is_set():
                return None
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # Ctrl-C is for us, and we end it
            )
            self._note(self._process.pid)
            return self._process

    def _note(self, pid: int = 0, address: str = "") -> None:
        """Note which process is ours, for a start after a kill, and where it is open."""
        last_address = address or TunnelNote.read(self._state).address
        TunnelNote(last_address, bool(address), pid, birth_of(pid)).write(self._state)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        """Read what the program says as long as it runs: it stands still where nobody does."""
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                if line.strip():
                    self._said.append(line.strip())

    def _wait_until_open(self, process: subprocess.Popen[str], metrics: int) -> str:
        """Return the address once the tunnel is open; '': it does not open."""
        deadline = time.monotonic() + OPENING_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if address := self._address_now(metrics):
                    return address
            except (OSError, ValueError, AttributeError, subprocess.SubprocessError) as why:
                log.warning("The tunnel tells no address: %s", why)
            if self._has_said(_NO_UDP) and not self._protocol:
                self._protocol = ("--protocol", "http2")
                break
            if self._closing.wait(LOOKING_SECONDS):
                break
        return ""

    def _address_now(self, metrics: int) -> str:
        """Return the address of the tunnel if it is open now, else ''."""
        if self._config.tunnel == "tailscale":
            command = [self._program, "funnel", "status", "--json"]
            output = subprocess.check_output(command, stderr=subprocess.DEVNULL, timeout=10)
            return funnel_address(json.loads(output or "{}"), self._config.port)
        if not local_json(metrics, "/ready").get("readyConnections"):
            return ""
        if self._token:
            return self._config.public_address
        hostname = local_json(metrics, "/quicktunnel").get("hostname", "")
        return parse_public_address(str(hostname))

    def _open_at(self, address: str, pid: int) -> None:
        """Tell the address, and loudly where it has changed: links that were sent are dead."""
        before = TunnelNote.read(self._state).address
        self._note(pid, address)
        if before not in ("", address):
            log.warning(
                "THE ADDRESS HAS CHANGED. Links with the old one are dead: %s", before
            )
        if address == self._address:
            log.warning("The tunnel is open again.")
            return
        self._address = address
        # where nobody reads what we print any more
        with suppress(OSError, ValueError):
            self._tell(address)


# --- Checks ------------------------------------------------------------------

NAMED_FLAGS = 10  # before a tunnel is opened; the command check names all


def quoted(words: Sequence[str]) -> str:
    """Return words as the machine's shell takes them."""
    if sys.platform == "win32":
        return subprocess.list2cmdline(words)
    return shlex.join(words)


DEAD_TEXTS = {
    "expired": "opens nothing any more, since its last day is over",
    "no_owner": "opens nothing, since who made it is no owner any more",
    "no_album": "opens nothing, since its album is gone",
}


def counted(count: int, word: str) -> str:
    """Return a number with its word: 1 photo, 2 photos."""
    if count != 1:
        word = f"{word}s"
    return f"{count} {word}"


def damage_lines(paths: Sequence[str]) -> Iterator[str]:
    """Name the damaged originals, and what to do."""
    if not paths:
        return
    yield "These originals are damaged: their bytes have changed, and nothing says that they were written:"
    for path in paths:
        yield f"  {path}"
    yield "Copy each of them back from a backup."
    yield "If you changed one yourself, give it a new date (touch FILE)."


def place_lines(upkeep: Upkeep) -> Iterator[str]:
    """Name the originals that only users get."""
    paths = upkeep.located()
    if paths:
        yield "Only users get these originals, since the place where they were taken cannot be cut out:"
    for path in paths:
        yield f"  {path}"


def counts_text(album: Album, between: str = ", ") -> str:
    """Return how much is in an album: 2 photos, 1 video."""
    photos = counted(album.photos, "photo")
    videos = counted(album.videos, "video")
    return f"{photos}{between}{videos}"


def albums_text(album: Album) -> str:
    """Return how many albums are below one: 2 albums."""
    return counted(len([*every_album(album)]) - 1, "album")


def root_of(library: Library) -> Place:
    """Return the place of the library itself. Raises StateError where its disk seems to be away."""
    place = library.folders.locate((), OWNER_PRINCIPAL)
    if place is None or library.is_away:
        root = library.folders.root
        problem = f"{root} is missing, or empty although its photos are known."
        advice = "Is its disk connected? Nothing is forgotten meanwhile."
        raise StateError(f"{problem} {advice}")
    return place


def who_may_open(rule: Rule) -> str:
    """Say in plain words for whom something is that not everybody finds."""
    if rule.visibility == Visibility.HIDDEN:
        return "Unlisted, but open to anyone with the link"
    if rule.people is None:
        return "Open to users alone"
    names = " and ".join(("the owner", *sorted(rule.people)))
    return f"Open to {names} alone"


def reach_lines(library: Library, users: UserStore) -> Iterator[str]:
    """Say in plain words what each principal can reach."""
    now = library.folders.circumstances()
    if root_of(library).rule.visibility == Visibility.PRIVATE:
        yield "The library's own name makes all of it private."
    principals = {"Everybody": VISITOR}
    for name in sorted(now.users):
        principals[name] = Principal(name, users.is_owner(name))
    for who, principal in principals.items():
        if root := library.folders.locate((), principal):
            album = library.album(root, principal)
            yield f"{who} finds {albums_text(album)} with {counts_text(album, ' and ')}."
    paths: dict[str, list[str]] = {who_may_open(rule): [] for rule in (HIDDEN, USERS_ONLY)}
    for place in library.places():
        if place.rule.visibility != Visibility.PUBLIC:
            path = display("/".join(place.parts)) or "the whole library"
            paths.setdefault(who_may_open(place.rule), []).append(path)
    for who, names in paths.items():
        yield f"{who}: {', '.join(sorted(names)) or 'nothing'}."


def stranger_lines(library: Library) -> Iterator[str]:
    """Say what strangers find, and which names may mean something else than they seem to."""
    root = library.folders.locate((), VISITOR)
    if root is None:
        yield "Strangers will find nothing: the name of the library makes all of it private."
        return
    album = library.album(root, VISITOR)
    items = counted(album.photos, "photo")
    if album.videos:
        items = f"{items} and {counted(album.videos, 'video')}"
    yield f"Strangers will find {albums_text(album)} with {items}."
    flags = [path for path, _ in library.flags()]
    if flags:
        verb = "is" if len(flags) == 1 else "are"
        named = ", ".join(flags[:NAMED_FLAGS])
        rest = " …" if len(flags) > NAMED_FLAGS else ""
        yield f"{counted(len(flags), 'folder')} {verb} flagged: {named}{rest}"
        yield "What their names mean, the command check says."


def flag_lines(library: Library) -> Iterator[str]:
    """Say which folders have names that mean something else than they seem to."""
    for path, flag in library.flags():
        rename = f"rename it to {flag.better_name}"
        if flag.kind == "looks_private":
            yield f"{path}: everybody can open it. If it shall not be so, {rename}"
        elif flag.kind == "no_such_user":
            problem = f"only the owner can open it, since there is no user {flag.detail}"
            yield f"{path}: {problem}. Register {flag.detail}, or {rename}"
        else:
            problem = f"only the owner can open it, since “{flag.detail}” is not understood"
            yield f"{path}: {problem}. To mend that, {rename}"


class View(NamedTuple):
    """As whom `check --as` looks; `principal` is None where a share opens nothing."""

    principal: Principal | None
    links: Links
    why_dead: str = ""


def views_named(users: UserStore, guests: Guests, name: str) -> Iterator[View]:
    """Yield as whom `check --as` looks: a person, or a guest of each such share. Raises PhotosError."""
    folded = normalize("NFC", name).strip().casefold()
    if folded == "visitor":
        yield View(VISITOR, Links("", ""))
    elif folded in users.names():
        yield View(Principal(folded, users.is_owner(folded)), Links("", ""))
    else:
        try:
            shares = guests.store.labelled(name)
        except NoSuchShare:
            problem = f"No user and no guest is called {name}. To list both:"
            raise PhotosError(problem, "check") from None
        for share in shares:
            links = Links(f"/s/{guests.store.token(share)}", "")
            why_dead = guests.why_dead(share)
            yield View(None if why_dead else guests.principal(share), links, why_dead)


def tree_lines(album: Album, links: Links, depth: int = 0) -> Iterator[str]:
    """Draw an album and those below it as somebody finds them, with counts and addresses."""
    indent = "  " * depth
    yield f"{indent}{album.title}: {counts_text(album)}  {links.album(album.address)}"
    for child in album.albums:
        yield from tree_lines(child, links, depth + 1)


def view_lines(library: Library, view: View) -> Iterator[str]:
    """Draw what somebody finds, and below it what opens without being found."""
    principal, links, why_dead = view
    if principal is None:
        yield f"This link {DEAD_TEXTS.get(why_dead, 'opens nothing')}."
        return
    root = library.folders.locate((), principal)
    if root is None:
        yield "Nothing: the library's own name makes all of it private."
        return
    yield from tree_lines(library.album(root, principal), links)
    unlisted = [*library.unlisted(root, principal)]
    if unlisted:
        yield "Not listed, but open by address:"
    for place in unlisted:
        address = links.file_page(place.address)
        if not place.file:
            address = links.album(place.address)
        yield f"  {display('/'.join(place.parts))}  {address}"


def mode_lines(state: Path) -> Iterator[str]:
    """Say whether others can read the state files."""
    if sys.platform == "win32":
        return
    files = map(state.joinpath, ("config.json", "tunnel.token", *SECRET_FILES))
    for path in filter(Path.exists, (state, *files)):
        mode = 0o700 if path == state else 0o600
        is_safe = stat.S_IMODE(path.stat().st_mode) & ~mode == 0
        if is_safe:
            yield f"{path}: only you can read it."
        else:
            yield f"{path}: others can read it. To end that: chmod {mode:o} {quoted([str(path)])}"


# --- Outside -----------------------------------------------------------------

ASK_SECONDS = 15.0  # that the public address may take for one answer
SLOW_SECONDS = 2.0  # for a thumbnail
PRIVATE_PAGES = 10  # that are asked for
CHECK_SECONDS = 60  # that the session lasts with which private pages are asked for
CLOCK_HEADERS = frozenset(("date", "age"))  # which differ from second to second
PROXY = "the tunnel or proxy"
HOST_LOST = (
    f"The Host that browsers send gets lost. Have {PROXY} keep it"
    " (nginx: proxy_set_header Host $http_host;)."
)
CACHE_ADVICE = (
    "Have it keep nothing whose Cache-Control says private or no-store, and empty it."
)


class Remark(NamedTuple):
    """What `check --outside` says of one thing, and what to do where that is wrong."""

    text: str
    is_wrong: bool = True


class Outsider:
    """Asks a site as a stranger does who knows its address. Every question ends in bounded time."""

    def __init__(self, address: str) -> None:
        self.address = address
        parts = urlsplit(address)
        self.host = parts.hostname or ""
        self.is_encrypted = parts.scheme == "https"
        self.links = Links(parts.path, "")

    def ask(self, path: str, **headers: str) -> Answer:
        """Return the answer, also where it leads elsewhere. Raises PhotosError in plain words."""
        outcome: Future[Answer] = Future()

        def run() -> None:
            try:
                outcome.set_result(fetch(self.address, path, headers, ASK_SECONDS))
            except FETCH_ERRORS as error:
                outcome.set_exception(error)

        # A thread, since an answer that drips in would hold up each step for as long again.
        start_thread(run)
        try:
            return outcome.result(ASK_SECONDS)
        except FETCH_ERRORS as error:
            raise PhotosError(self._why(error)) from None

    def _why(self, error: Exception) -> str:
        """Say in plain words why there is no answer, and what to do."""
        if isinstance(error, ssl.SSLCertVerificationError):
            problem = f"The certificate of {self.host} is not valid"
            return f"{problem}: {error.verify_message}. Mend that at {PROXY}."
        if isinstance(error, socket.gaierror):
            advice = "Is it spelt right, and set up where your domain is managed?"
            return f"Nobody knows the name {self.host}. {advice}"
        reason = getattr(error, "strerror", None) or type(error).__name__
        if isinstance(error, TimeoutError):
            reason = f"it takes more than {ASK_SECONDS:g} seconds"
        return f"Nothing answers properly at {self.address} ({reason}). Does {PROXY} run?"


def outside_address(state: Path, config: Config) -> str:
    """Return the public address. Raises PhotosError where there is none."""
    address = tunnel_address(state) or config.public_address
    if config.tunnel:
        address = TunnelNote.read(state).address or address
    if not address:
        advice = "Set it: init --public-address ADDRESS, or open a tunnel."
        raise PhotosError(f"This site has no public address that could be asked. {advice}")
    return address


def titles_shown(answer: Answer) -> set[str] | None:
    """Return the titles of the albums on a front page, by its JSON; None: it is none of ours."""
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        return {album["title"] for album in json.loads(answer.body)["albums"]}
    return None


def require_our_site(outsider: Outsider, library: Library, port: int) -> None:
    """Raise PhotosError where the public address does not lead to this server, with what to do.

    A stranger's server is told no name of a private album.
    """
    front = outsider.ask(outsider.links.album(()))
    advice = f"Does the server run, and {PROXY} lead to port {port} of this machine?"
    if 300 <= front.status < 400:
        target = front.headers.get("location", "")[:LINE_LENGTH]
        problem = f"{outsider.address} leads on to {target!r} instead of the albums."
        raise PhotosError(f"{problem} Change that at {PROXY}, or set another address.")
    if front.status == WrongHost.status:
        raise PhotosError(HOST_LOST)
    if front.status >= 500:
        problem = f"{outsider.address} answers with status {front.status}."
        raise PhotosError(f"{problem} {advice}")
    root = library.folders.locate((), VISITOR)
    if root is None:
        problem = "Strangers find nothing, since the library's own name makes it private."
        raise PhotosError(f"{problem} So nothing more can be asked.")
    titles = {album.title for album in library.album(root, VISITOR).albums}
    shown = titles_shown(outsider.ask(outsider.links.api(())))
    if shown is None or not shown <= titles or (titles and not shown):
        raise PhotosError(f"Another site answers at {outsider.address} {advice}")


def plain_remark(outsider: Outsider) -> Remark:
    """Say whether http:// leads to the same site with https://."""
    plain = Outsider(outsider.address.replace("https://", "http://", 1))
    try:
        answer = plain.ask(plain.links.album(()))
    except PhotosError:
        return Remark("Nothing answers at http://, and nothing has to.", is_wrong=False)
    target = answer.headers.get("location", "")
    own = rf"https://{re.escape(outsider.host)}(?=[:/?]|\Z)"
    if answer.status >= 400 or re.match(own, target, re.IGNORECASE):
        return Remark("http:// shows nothing that is not encrypted.", is_wrong=False)
    problem = f"{plain.address} does not lead on to https://. Others can read passwords."
    return Remark(f"{problem} Have {PROXY} lead it on to {outsider.address}")


def way_remarks(outsider: Outsider) -> Iterator[Remark]:
    """Say whether what goes to and fro is encrypted, and whether the Host is kept."""
    if outsider.is_encrypted:
        yield Remark("The certificate is valid.", is_wrong=False)
        yield plain_remark(outsider)
    else:
        problem = f"{outsider.address} is not encrypted: others can read passwords."
        yield Remark(f"{problem} Have {PROXY} offer https://, and set that address.")
    path = f"{outsider.links.prefix}/healthz"
    answer = outsider.ask(path, Host="another-name.invalid")
    if answer.body == b"ok\n":
        yield Remark(HOST_LOST)
    elif answer.status == WrongHost.status:
        yield Remark("The Host that browsers send is kept.", is_wrong=False)


def page_remarks(outsider: Outsider, library: Library) -> Iterator[Remark]:
    """Say whether pages and thumbnails arrive as they were sent."""
    links = outsider.links
    headers = outsider.ask(links.album(())).headers
    expected = {**SECURITY_HEADERS, "Cache-Control": "private, no-cache"}
    changed = [name for name in expected if headers.get(name.lower()) != expected[name]]
    cover = library.album(root_of(library), VISITOR).cover
    if cover and cover.key:
        path = links.of(cover).thumbnail(THUMBNAIL_WIDTHS[-1])
        outsider.ask(path)  # it may be made only now
        answer = outsider.ask(path)
        if "immutable" not in answer.headers.get("cache-control", ""):
            changed.append("Cache-Control of thumbnails")
        text = f"A thumbnail of {size_text(len(answer.body))} takes {answer.seconds:.1f} s."
        if answer.seconds > SLOW_SECONDS:
            text = f"{text} That is slow: look at your uplink, and at {PROXY}."
        yield Remark(text, is_wrong=False)
    if changed:
        problem = f"{PROXY.capitalize()} removes or changes headers: {', '.join(changed)}."
        yield Remark(f"{problem} Have it leave them as they are.")
    else:
        yield Remark("Headers arrive as they were sent.", is_wrong=False)


def private_paths(outsider: Outsider, library: Library) -> list[str]:
    """Return the addresses of private albums, and of the JSON and a thumbnail of one of them."""
    links = outsider.links
    pages: list[str] = []
    others: list[str] = []
    for place in library.places():
        if place.rule.visibility != Visibility.PRIVATE or len(pages) == PRIVATE_PAGES:
            continue
        inside = library.folders.locate(place.address, OWNER_PRINCIPAL)
        if inside is None:
            continue
        pages.append(links.album(inside.address))
        cover = library.album(inside, OWNER_PRINCIPAL).cover
        if cover:
            others = [
                links.api(inside.address),
                links.of(cover).thumbnail(THUMBNAIL_WIDTHS[0]),
            ]
    return pages + others


def differences(outsider: Outsider, page: str) -> list[str]:
    """Name what tells a private album's page from that of one that never was."""
    start = outsider.links.album(("",)).removesuffix("/")
    length = len(page) - len(f"{start}/")
    nothing = f"{start}{secrets.token_hex(length)[:length]}/"
    shapes = []
    for path in (page, nothing, nothing):  # some headers differ each time
        answer = outsider.ask(path)
        body = answer.body.replace(path.encode(), b"")
        shapes.append({**answer.headers, "status": answer.status, "body": body})
    private, first, second = shapes
    names = (private.keys() | first.keys()) - CLOCK_HEADERS
    steady = {name for name in names if first.get(name) == second.get(name)}
    return sorted(name for name in steady if private.get(name) != first.get(name))


def session_cookie(state: Path, users: UserStore) -> str:
    """Return the cookie of an owner who is logged in for a minute, or ''."""
    tokens = Tokens(read_secret(state))
    for name in filter(users.is_owner, users.names()):
        token = tokens.issue(name, users.epoch(name) or "", seconds=CHECK_SECONDS)
        return f"__Host-photos-{tokens.site}={token}; photos-{tokens.site}={token}"
    return ""


def private_remarks(
    outsider: Outsider, paths: Sequence[str], cookie: str
) -> Iterator[Remark]:
    """Say whether strangers get something private, or learn that it is there.

    Each address is asked for with an owner's cookie first: a bad cache then has it for everybody.
    """
    for path in paths:
        mark = "&" if "?" in path else "?"
        fresh = f"{path}{mark}check={secrets.token_hex(8)}"  # nothing is kept under its own address
        is_lost = cookie and outsider.ask(fresh, Cookie=cookie).status == 404
        if is_lost and path == paths[0]:  # a thumbnail may be missing
            yield Remark(f"Cookies get lost: nobody can log in. Have {PROXY} pass them on.")
            cookie = ""
        for address in (path, fresh):
            status = outsider.ask(address).status
            if status != 404:
                problem = f"Strangers get something private with status {status}: {address}"
                yield Remark(f"{problem} If a cache at {PROXY} has it: {CACHE_ADVICE}")
                return
    if names := differences(outsider, paths[0]):
        problem = f"Strangers can tell a private album from none, by {', '.join(names)}."
        yield Remark(f"{problem} Have {PROXY} leave answers as they are.")
    else:
        yield Remark("Private albums are as if they were not there.", is_wrong=False)


def outside_remarks(outsider: Outsider, library: Library, cookie: str) -> Iterator[Remark]:
    """Say how the site is from outside, thing by thing. Raises PhotosError."""
    yield from way_remarks(outsider)
    yield from page_remarks(outsider, library)
    if paths := private_paths(outsider, library):
        yield from private_remarks(outsider, paths, cookie)


# --- Service -----------------------------------------------------------------

SERVICE = "photos"  # its name for systemd, launchd and the tasks of Windows
STARTING_SECONDS = 5.0  # that the server has to come up, or to end
COMMAND_SECONDS = 60  # that a command of the system may take
# systemd starts no program with one of these in its path; its shell does.
_ODD_PROGRAM = re.compile(r"""[\x00-\x1f\x7f"'\\$\udc80-\udcff]""")
_NOT_AS_IS = re.compile(r"[\x00-\x1f\x7f\udc80-\udcff]")  # nor does XML hold these


class Service(NamedTuple):
    """How the system is told to start the server with the machine, and no longer."""

    path: Path  # of the file that says so
    content: bytes
    mark: bytes  # the state folder, as the content names it
    start: list[list[str]]
    end: list[list[str]]  # commands that fail where no server runs
    forget: list[list[str]]

    def is_for_us(self) -> bool:
        """Say whether the file is there, and starts the server of this state folder."""
        with suppress(OSError):
            return self.mark in read_regular(self.path)
        return False


def unit_word(word: str) -> str:
    """Quote a word of a command in a unit (systemd.syntax(7), systemd.service(5))."""
    for special in ("\\", '"'):
        word = word.replace(special, f"\\{special}")
    word = word.replace("%", "%%").replace("$", "$$")

    def as_numbers(match: re.Match[str]) -> str:
        return "".join(f"\\x{byte:02x}" for byte in os.fsencode(match[0]))

    return f'"{_NOT_AS_IS.sub(as_numbers, word)}"'


def systemd_service(words: Sequence[str], state: Path, account: str) -> Service:
    """Return the unit of a user; with an account, one of the system that runs the server as that user."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))
    folder, control = folder / "systemd" / "user", ["systemctl", "--user"]
    if account:
        folder, control = Path("/etc/systemd/system"), ["systemctl"]
    if _ODD_PROGRAM.search(words[0]):
        words = ["/bin/sh", "-c", 'exec "$0" "$@"', *words]
    path = f"PATH={os.environ.get('PATH', os.defpath)}"  # where ffmpeg and tunnels are
    # It is started again until its disk is there. A worker that has no memory left ends alone.
    unit = (template_folder() / "photos.service").read_text("ascii")
    content = unit.format(
        account=f"User={account}\n" if account else "",
        path=unit_word(path).replace("$$", "$"),
        command=" ".join(map(unit_word, words)),
        target="multi-user.target" if account else "default.target",
    )
    name = f"{SERVICE}.service"
    return Service(
        folder / name,
        content.encode(),
        unit_word(os.fspath(state)).encode(),
        start=[
            [*control, "daemon-reload"],
            [*control, "enable", name],
            [*control, "restart", name],
        ],
        end=[[*control, "stop", name]],
        forget=[[*control, "disable", name]],
    )


def xml_text(text: str) -> str:
    """Escape text for XML. Raises PhotosError for what XML cannot hold."""
    from xml.sax.saxutils import escape  # here, since it is needed once

    if _NOT_AS_IS.search(text):
        problem = f"{text!r} has letters that this system starts no program with."
        raise PhotosError(f"{problem} Rename that folder.")
    return escape(text)


def launchd_service(words: Sequence[str], state: Path, account: str) -> Service:
    """Return the agent of a user, or the daemon of an account (launchd.plist(5))."""
    import plistlib  # here, since it is needed once

    folder = Path(os.path.expanduser("~/Library/LaunchAgents"))
    domain = f"gui/{os.getuid()}"
    settings = {
        "Label": SERVICE,
        "ProgramArguments": list(words),
        "EnvironmentVariables": {"PATH": os.environ.get("PATH", os.defpath)},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
    }
    if account:
        folder, domain = Path("/Library/LaunchDaemons"), "system"
        settings["UserName"] = account
    xml_text("".join(words))  # plistlib changes some letters, and refuses others
    path = folder / f"{SERVICE}.plist"
    return Service(
        path,
        plistlib.dumps(settings),
        f"<string>{xml_text(os.fspath(state))}</string>".encode(),
        start=[["launchctl", "bootstrap", domain, os.fspath(path)]],
        end=[["launchctl", "bootout", f"{domain}/{SERVICE}"]],
        forget=[],
    )


def windows_service(words: Sequence[str], state: Path) -> Service:
    """Return the task that starts the server when the user logs in."""
    path = state / "task.xml"
    task = ["/tn", SERVICE]
    user = "\\".join(os.environ.get(name, ".") for name in ("USERDOMAIN", "USERNAME"))
    # Of one user, which takes no administrator, and without the usual end after three days.
    definition = (template_folder() / "windows.task").read_text("ascii")
    content = definition.format(
        user=xml_text(user),
        program=xml_text(words[0]),
        arguments=xml_text(subprocess.list2cmdline(words[1:])),
    )
    mark = xml_text(subprocess.list2cmdline(["--state", os.fspath(state)]))
    create = ["schtasks", "/create", *task, "/xml", os.fspath(path), "/f"]
    return Service(
        path,
        content.encode("utf-16"),
        mark.encode("utf-16-le"),
        start=[create, ["schtasks", "/run", *task]],
        end=[["schtasks", "/end", *task]],
        forget=[["schtasks", "/delete", *task, "/f"]],
    )


def service_of(words: Sequence[str], state: Path, account: str) -> Service:
    """Return the service for this machine's system; with an account, for all who use the machine."""
    if sys.platform == "win32":
        return windows_service(words, state)
    if sys.platform == "darwin":
        return launchd_service(words, state, account)
    return systemd_service(words, state, account)


def require_right_user(*, of_system: bool) -> None:
    """Raise PhotosError for root without --system, and for anybody else with it."""
    is_root = sys.platform != "win32" and os.geteuid() == 0
    if is_root and not of_system:
        advice = "Run this as the user whose photos these are, or add --system."
        raise PhotosError(f"You are root, and the server should not be. {advice}")
    if of_system and sys.platform == "win32":
        raise PhotosError("On Windows there is no --system. Leave it out.")
    if of_system and not is_root:
        raise PhotosError("Only root may do that. Put sudo in front of the command.")


def account_name(number: int) -> str:
    """Return the name of an account of this machine."""
    import pwd  # here, since Windows has none

    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return str(number)


def run_all(commands: Iterable[Sequence[str]]) -> None:
    """Run commands of the system. Raises PhotosError with what the first that fails says."""
    for command in commands:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=COMMAND_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = getattr(error, "strerror", None) or "it does not end"
            raise PhotosError(f"{quoted(command)} failed: {reason}.") from None
        if done.returncode:
            words = (done.stderr or done.stdout).split() or [f"status {done.returncode}"]
            problem = f"{quoted(command)} failed: {' '.join(words)[:LINE_LENGTH]}"
            if "connect to bus" in problem and "--user" in command:
                problem += ". Log in as that user for it, not with su or sudo."
            raise PhotosError(problem)


def try_all(commands: Iterable[Sequence[str]]) -> None:
    """Run commands of the system, whether or not they have something to do."""
    for command in commands:
        with suppress(PhotosError):
            run_all([command])


def wait_until(is_so: Condition) -> bool:
    """Say whether something becomes true within a few seconds."""
    deadline = time.monotonic() + STARTING_SECONDS
    while not is_so():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True


def require_free(state: Path, port: int) -> None:
    """Raise PhotosError or ValueError where a server runs already, or its port is taken."""
    if serving_version(state):
        advice = "Stop it first: Ctrl-C where you started it."
        raise PhotosError(f"The server runs already. {advice}")
    parse_free_port(str(port))


def start_with_machine(service: Service, state: Path, port: int) -> None:
    """Write what the system needs, and start the server. An error leaves all as it was."""
    program = service.start[0][0]
    if not shutil.which(program):
        problem = f"This machine has no {program}, which would start the server."
        raise PhotosError(f"{problem} Start it as this system starts its other programs.")
    before = None
    if service.path.exists():
        before = service.path.read_bytes()
        try_all(service.end)
        wait_until(lambda: not serving_version(state))
    try:
        require_free(state, port)
        service.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(service.path, service.content)
        service.path.chmod(0o644)
        run_all(service.start)
    except (PhotosError, OSError, ValueError):
        if before is not None:
            write_atomically(service.path, before)
            try_all(service.start)
        elif service.path.exists():
            try_all(service.forget)
            service.path.unlink()
        raise


def start_no_longer(service: Service) -> None:
    """End the server, and have the system start it no longer. Raises PhotosError."""
    try_all(service.end)
    run_all(service.forget)
    service.path.unlink()


def when_it_starts(account: str) -> str:
    """Say when the system starts the server; a command at the end can be copied."""
    if account:
        return "It starts with the machine."
    if sys.platform in ("win32", "darwin"):
        return "It starts with the machine, once you log in."
    if Path("/var/lib/systemd/linger", account_name(os.getuid())).exists():
        return "It starts with the machine."
    advice = "To have it run before that, and after you log out: loginctl enable-linger"
    return f"It starts with the machine, once you log in. {advice}"


def service_lines(state: Path, to_do: str) -> Iterator[str]:
    """Say whether the server runs, and whether it starts with the machine."""
    yield "The server runs." if serving_version(state) else "The server does not run."
    if address := tunnel_address(state):
        yield f"People outside reach it at {address}/"
    for account in ("", "root"):
        try:
            service = service_of([SERVICE], state, account)
        except PhotosError:  # no system starts the server of a folder with that name
            continue
        if service.is_for_us():
            yield f"{service.path} starts it."
            yield when_it_starts(account)
            return
        if service.path.exists():
            yield f"{service.path} starts the server of another state folder."
    yield f"It does not start with the machine. To change that: {to_do}"


# --- Command line ------------------------------------------------------------

STOP_SECONDS = 1.5  # that answers in progress get when the server is stopped
STEPS = {Purpose.THUMBNAILS: "Making thumbnails of", Purpose.ALL: "Making previews of"}
INDEX_ROUNDS = 3  # of the command index, for files that are still being copied
BAR_LENGTH = 30  # characters
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")

Arguments: TypeAlias = argparse.Namespace  # of a command, and its flags


def ask(question: str, default: Any, parse: Callable[[str], Any], hint: str = "") -> Any:
    """Ask until the answer makes sense; nothing means the default."""
    if hint:
        question = f"{question} ({hint})"
    while True:
        answer = input(f"{question} [{default}] ").strip()
        try:
            return parse(answer or str(default))
        except ValueError as error:
            print(f"  {error}")


def ask_password(*, optional: bool = False) -> bytes:
    """Ask for a password twice. With `optional` the owner may leave it out, which returns b''."""
    while True:
        first = getpass.getpass("Password: ")
        if optional and not first:
            return b""
        try:
            password = parse_password(first)
        except ValueError as error:
            print(f"  {error}")
            continue
        if getpass.getpass("The same again: ") == first:
            return password
        print("  These were two different passwords.")


def is_terminal() -> bool:
    """Whether a person is there to answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def may_draw() -> bool:
    """Whether a QR code can be drawn where the output goes."""
    has_colours = os.environ.get("TERM", "") != "dumb"
    # The older console of Windows shows codes for colours as they are.
    if sys.platform == "win32":
        has_colours = "WT_SESSION" in os.environ
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return sys.stdout.isatty() and has_colours and encoding == "utf8"


def show_qr_code(link: str) -> None:
    """Draw the QR code of a link, where that can be seen."""
    if not may_draw():
        return
    width, _ = qr_code(link).symbol_size(border=QUIET_ZONE)
    if width <= shutil.get_terminal_size().columns:
        print(*qr_lines(link), sep="\n", flush=True)


def state_folder(args: Arguments) -> Path:
    """Return the state folder that the flags mean: by default in the library, by default at home."""
    library = Path(getattr(args, "library", args.home))
    state = getattr(args, "state", library / STATE_FOLDER)
    return Path(state).expanduser().absolute()


def invocation(script: str) -> str:
    """Return what to type to run a script again with this Python."""
    name = os.path.basename(sys.executable)
    is_on_path = shutil.which(name) == sys.executable
    return quoted([name if is_on_path else sys.executable, script])


def how_to(args: Arguments, command: str) -> str:
    """Return what to type for another command on the same library."""
    words = [args.program]
    for name in ("library", "state"):
        if hasattr(args, name):
            words.append(quoted((f"--{name}", getattr(args, name))))
    return " ".join([*words, command])


def option_of(setting: str) -> str:
    """Return the command-line flag of a setting: --public-address."""
    return f"--{setting.replace('_', '-')}"


def settings_from(args: Arguments) -> Fields:
    """Return the settings that were given as flags, checked. Raises PhotosError."""
    settings = {}
    for name in SETTINGS:
        value = getattr(args, name, None)
        if value is None:
            continue
        try:
            settings[name] = parse_setting(name, value)
        except ValueError as error:
            raise PhotosError(f"{option_of(name)}: {error}") from None
    return settings


def parse_ready_tunnel(text: str) -> str:
    """Return the kind of a tunnel whose program is on this machine, or ''."""
    kind = parse_tunnel(text)
    try:
        if kind:
            tunnel_program(kind)
    except PhotosError as error:
        raise ValueError(f"{error}\n  Answer no for now, or install it first.") from None
    return kind


def is_asked(name: str, answers: Values, *, is_first: bool) -> bool:
    """Whether the owner is asked for a setting: at first for as little as will do."""
    if not SETTINGS[name].metadata["question"]:
        return False
    if not is_first:
        return True
    if name == "port":
        return is_taken(answers["port"])
    if name == "host":  # whoever may come from outside may come from the next room
        return not answers["tunnel"]
    return name != "public_address"


def ask_setting(name: str, default: Any, own_port: int) -> Any:
    """Ask for one setting."""
    metadata = SETTINGS[name].metadata
    question, hint, parse = metadata["question"], metadata["hint"], metadata["parse"]
    if name == "host":
        usual = "no" if default in LOCAL_HOSTS else "yes"
        host = ask(question, usual, parse, hint)
        # The present address may say more than yes or no.
        if host != parse(usual):
            return host
        return default
    if name == "library":
        parse = parse_library
    if name == "port":
        parse = partial(parse_free_port, ours=own_port)
    if name == "tunnel":
        default, parse = default or "no", parse_ready_tunnel
    return ask(question, default, parse, hint)


def ask_settings(state: Path, home: str, present: Config | None, flags: Values) -> Config:
    """Ask the questions of the first run, with present answers and flags as defaults."""
    answers = {**dataclasses.asdict(present or Config()), **flags}
    if not answers["library"]:
        is_in_library = present is not None or state.name == STATE_FOLDER
        answers["library"] = os.fspath(state.parent) if is_in_library else home
    is_first = present is None
    own = network_host()
    # Devices of the same network alone reach an address of a private one (IPv4).
    is_private = own is not None and ipaddress.ip_address(own).is_private
    if is_first and "host" not in flags and is_private:
        answers["host"] = ANY_HOST
    own_port = present.port if present else 0
    for name in SETTINGS:
        if is_asked(name, answers, is_first=is_first):
            answers[name] = ask_setting(name, answers[name], own_port)
    return Config(**answers)


def ask_first_user() -> tuple[str, bytes] | None:
    """Ask for the first user; None: the owner wants none yet."""
    print(
        "\nUsers log in. They see private albums, and find hidden ones. You are the first."
    )
    try:
        default = parse_new_user(getpass.getuser())
    except (ValueError, OSError, KeyError):
        default = "me"
    name = ask("Your user name?", default, parse_new_user)
    print("Four or five words make a good password. Leave it empty to add no user now.")
    password = ask_password(optional=True)
    if not password:
        return None
    return name, password


def _library_setting(
    args: Arguments, state: Path, present: Config | None, config: Config
) -> str:
    """Return the library as config.json has it: '' where the state folder lies in the library."""
    library = state.parent
    if config.library:
        library = Path(config.library)
    elif present is None:
        library = Path(os.path.abspath(getattr(args, "library", args.home)))
    if state == library / STATE_FOLDER:
        return ""
    return os.fspath(library)


def set_up(args: Arguments, state: Path, present: Config | None, *, asking: bool) -> Config:
    """Ask, or take flags and defaults; then write the state files."""
    flags = settings_from(args)
    users = UserStore(state)
    user = None
    if asking:
        require_writable(state)
        print("A few questions; Enter takes the answer in brackets.")
        print("Nothing is written before the last one.\n")
        config = ask_settings(state, args.home, present, flags)
        if not users.names():
            user = ask_first_user()
    else:
        config = replace(present or Config(), **flags)
    config = replace(config, library=_library_setting(args, state, present, config))
    library_root(state, config)  # nothing is written where it is missing
    is_new = not state.exists()
    try:
        make_state_folder(state)
        read_secret(state)
        if user:
            users.register(*user, owner=True)
        write_config(state, config)
    except (OSError, StateError):
        if is_new:
            shutil.rmtree(state, ignore_errors=True)
        raise
    print(f"\nWrote the settings to {state}")
    if not users.names():
        print("Nobody can log in yet.")
    print(f"To add somebody: {how_to(args, 'register NAME')}")
    return config


def build_name(args: Arguments) -> str:
    """Name the version; in photos.pyz also what it was built from."""
    name = f"photos {__version__}"
    if args.build:
        name = f"{name}, build {args.build}"
    return name


def open_state(args: Arguments, *, first_run: bool = False) -> tuple[Path, Config]:
    """Return state folder and settings.

    Where there are none yet, the first run asks, and a library that is named is set up with defaults.
    """
    state = state_folder(args)
    if config := read_config(state):
        return state, replace(config, **settings_from(args))
    if first_run or hasattr(args, "library"):
        return state, set_up(args, state, None, asking=first_run and is_terminal())
    advice = "Start once without a command, or name the library with --library."
    raise PhotosError(f"There are no settings in {state}. {advice}")


def open_named(args: Arguments) -> tuple[Path, Library, UserStore]:
    """Return state folder, library and users, whose names the library knows."""
    state, config = open_state(args)
    users = UserStore(state)
    return state, open_library(state, config, users.circumstances), users


def stop_by_signals(close: Callable[[], None]) -> None:
    """Have Ctrl-C, SIGTERM and a terminal that is closed stop the server."""
    signals = [signal.SIGINT, signal.SIGTERM]
    # nohup has its program ignore SIGHUP; Windows has none
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:
        for other in signals:
            signal.signal(other, signal.SIG_IGN)  # once is enough
        # All that matters is on disk at any moment: nobody has to wait for slow answers.
        timer = threading.Timer(STOP_SECONDS, os._exit, [0])
        timer.daemon = True
        timer.start()
        close()  # so that no thread waits for a rendition any longer
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, stop)


def show_addresses(config: Config) -> None:
    """Print the addresses to open, and the QR code of that for others."""
    shown = addresses(config)
    if config.host in (ANY_HOST, EVERY_HOST) and (name := local_name()):
        shown.insert(1, f"http://{name}:{config.port}{config.prefix}/")
    print("Open:", *shown, sep="\n  ", flush=True)
    link = f"{address_for_others(config)}/"
    if link != shown[0] and not config.tunnel:
        show_qr_code(link)


def confirm_opening(args: Arguments) -> None:
    """Say what strangers will find. Raises PhotosError unless the owner agrees to it."""
    _, library, _ = open_named(args)
    with closing(library):
        print(*stranger_lines(library), sep="\n", flush=True)
    if args.yes:
        return
    if not is_terminal():
        raise PhotosError("Nothing was opened. To open it without a question: --yes")
    if not ask("Open it to everybody who has the address?", "no", parse_switch):
        raise PhotosError("Nothing was opened. To serve without a tunnel: --tunnel no")


def for_tunnel(state: Path, config: Config) -> tuple[Config, str]:
    """Return the settings of a server behind a tunnel, and the token. Raises PhotosError."""
    tunnel_program(config.tunnel)
    if config.host not in (OWN_HOST, ANY_HOST, EVERY_HOST, "localhost"):
        raise PhotosError(f"A tunnel needs --host {OWN_HOST}, or {ANY_HOST}.")
    token = ""
    if config.tunnel == "cloudflare":
        token = read_tunnel_token(state)
    address = config.public_address if token else ""
    if token and not address:
        advice = "Name it: --public-address https://photos.example.org"
        raise PhotosError(f"tunnel.token is for a tunnel with an address. {advice}")
    config = replace(config, public_address=address, trusted_proxy=OWN_HOST)
    return config, token


def open_to_all(app: Site, address: str) -> None:
    """Answer at the address of a tunnel, and tell the owner."""
    app.use_public_address(address)
    print(f"Everybody who has this address can open it:\n  {address}/", flush=True)
    show_qr_code(f"{address}/")


def start_listening(state: Path, config: Config, app: Site) -> Any:
    """Return the server. Raises PhotosError, which says so where it runs already."""
    try:
        return make_server(app, config)
    except PhotosError as error:
        if serving_version(state):
            raise PhotosError(f"The server of these albums runs already. {error}") from None
        raise


def run_serve(args: Arguments) -> None:
    """Serve the albums; what happens without a command."""
    state, config = open_state(args, first_run=True)
    users = UserStore(state)
    try:
        users.names()
    except StateError as error:
        log.error("%s Until then nobody can log in.", error)
    token = ""
    if config.tunnel:
        config, token = for_tunnel(state, config)
        confirm_opening(args)
    raise_file_limit()
    share_memory()
    with contextlib.ExitStack() as closing:
        library = open_library(state, config, users.circumstances)
        closing.callback(library.close)
        library.prepare()  # workers take longer to start than the site
        app = Site(state, config, library, users)
        server = start_listening(state, config, app)
        if not serving_version(state):
            end_left_tunnel(state)
        announce(state, build_name(args))
        app.start()
        closing.callback(app.close)
        stop_by_signals(closing.close)
        print(f"Serving {library_root(state, config)}. ", end="")
        show_addresses(config)
        print("Ctrl-C stops it.", flush=True)
        if config.tunnel:
            print("Opening the tunnel. This takes some seconds.", flush=True)
            tunnel = Tunnel(state, config, partial(open_to_all, app), token)
            closing.callback(tunnel.close)
            tunnel.start()
        server.run()
        server.close()


def service_words(args: Arguments, config: Config, state: Path) -> list[str]:
    """Return the command that the system runs: with whole paths, and without questions."""
    program = shutil.which(sys.argv[0]) or sys.argv[0]
    words = [os.path.abspath(program)]
    if args.script:
        words = [sys.executable, os.path.abspath(args.script)]
    if hasattr(args, "library"):
        words += ["--library", config.library]
    return [*words, "--state", os.fspath(state), "serve", "--yes"]


def run_enable(args: Arguments) -> None:
    """Have the server start with the machine, and start it now."""
    require_right_user(of_system=args.system)
    state, config = open_state(args)
    if config.tunnel:
        for_tunnel(state, config)
        confirm_opening(args)
    account = account_name(state.stat().st_uid) if args.system else ""
    service = service_of(service_words(args, config, state), state, account)
    is_other = service.path.exists() and not service.is_for_us()
    start_with_machine(service, state, config.port)
    print(f"Wrote {service.path}")
    if is_other:
        print("It takes the place of another server, which starts no longer.")
    if wait_until(lambda: serving_version(state) != ""):
        if config.tunnel:
            wait_until(lambda: tunnel_address(state) != "")
        outside = tunnel_address(state)
        print(f"The server runs: {outside or address_for_others(config)}/")
        if config.tunnel and not outside:
            print(f"Its tunnel opens soon. Then {how_to(args, 'check')} says the address.")
    else:
        advice = f"If it still does not in a minute, {how_to(args, 'serve')} says why."
        print(f"The server does not answer yet. {advice}")
    print(when_it_starts(account))
    undo = "disable --system" if args.system else "disable"
    print(f"To undo that: {how_to(args, undo)}")


def run_disable(args: Arguments) -> None:
    """End the server, and have it no longer start with the machine."""
    require_right_user(of_system=args.system)
    state = state_folder(args)
    service = service_of([SERVICE], state, "root" if args.system else "")
    if not service.path.exists():
        print("It does not start with the machine.")
    elif not service.is_for_us():
        problem = f"{service.path} starts the server of another state folder."
        raise PhotosError(f"{problem} Name that folder with --state.")
    else:
        start_no_longer(service)
        print(f"Ended the server, and removed {service.path}")


def run_init(args: Arguments) -> None:
    """Ask the questions of the first run again."""
    state = state_folder(args)
    set_up(args, state, read_config(state), asking=is_terminal())


def open_users(args: Arguments) -> UserStore:
    """Return the registered users. Raises PhotosError before the first run."""
    state, _ = open_state(args)
    return UserStore(state)


def new_password(args: Arguments) -> bytes:
    """Return the password that --password-stdin or a terminal gives."""
    if args.password_stdin:
        return parse_password(sys.stdin.readline().rstrip("\r\n"))
    if not is_terminal():
        raise PhotosError("A password comes from a terminal, or with --password-stdin.")
    return ask_password()


def run_register(args: Arguments) -> None:
    """Add a user, who may log in and see what is for users. The first one is the owner."""
    users, name = open_users(args), parse_new_user(args.user)
    names = users.names()
    if name in names:  # said before anybody thinks of a password
        raise UserExists(name)
    is_owner = args.owner or not names
    users.register(name, new_password(args), owner=is_owner)
    print(f"Registered {name}, the owner." if is_owner else f"Registered {name}.")


def run_owner(args: Arguments) -> None:
    """Make a user an owner, who sees everything."""
    users, name = open_users(args), parse_user(args.user)
    users.make_owner(name)
    print(f"{name} is an owner now.")


def run_passwd(args: Arguments) -> None:
    """Change a user's password; ends that user's sessions."""
    users, name = open_users(args), parse_user(args.user)
    if name not in users.names():
        raise NoSuchUser(name)
    users.set_password(name, new_password(args))
    print(
        f"Changed the password of {name}. Sessions that began with the old one have ended."
    )


def print_ended(share: Share) -> None:
    """Say which link for a guest opens nothing any more."""
    print(
        f"Ended the link for {share.label} to {display(share.album) or 'the whole library'}."
    )


def run_remove(args: Arguments) -> None:
    """Remove a user; ends that user's sessions and links for guests."""
    name = parse_user(args.user)
    open_users(args).remove(name)
    print(f"Removed {name}.", flush=True)
    for share in ShareStore(state_folder(args)).end_all_of(name):
        print_ended(share)


def open_guests(args: Arguments) -> tuple[Config, Guests]:
    """Return settings and guests. Raises PhotosError before the first run."""
    state, config = open_state(args)
    users = UserStore(state)
    folders = Folders(
        library_root(state, config),
        state,
        follow_symlinks=config.follow_symlinks,
        circumstances=users.circumstances,
    )
    if address := tunnel_address(state):
        config = replace(config, public_address=address)
    return config, Guests(ShareStore(state), users, folders)


def album_like(folders: Folders, text: str) -> str:
    """Return the path of the album whose title is most like a text; '': none is like it."""
    paths = {}
    for parts, _ in folders.walk():
        titles = [_folded(parse_name(part).title) for part in parts]
        for title in ("/".join(titles), *titles[-1:]):
            paths[title] = display("/".join(parts))
    similar = difflib.get_close_matches(_folded(text.strip("/")), paths, 1)
    if not similar:
        return ""
    return paths[similar[0]]


def album_named(folders: Folders, text: str) -> Place:
    """Return the album at a path or an address; `.` outside of the library is all of it. Raises NotFound."""
    # A shell completes paths from the folder that the owner is in, which may be a link.
    written = Path(os.path.abspath(text))
    real = Path(os.path.realpath(text))
    paths = []
    for path, root in ((written, folders.root), (real, folders.real_root)):
        if path.is_relative_to(root):
            paths.append(path.relative_to(root))
    for path in (*paths, Path(text)):
        place = folders.locate(path.parts, OWNER_PRINCIPAL) if text else None
        if place and not place.file:
            return place
    problem = f"There is no album {display(text)} in {folders.root}."
    if similar := album_like(folders, text):
        problem = f"{problem} There is one called {similar}."
    raise NotFound(problem)


def share_lines(config: Config, guests: Guests, share: Share) -> Iterator[str]:
    """Say what a share opens and how long, and name its link."""
    facts = []
    if why_dead := guests.why_dead(share):
        facts.append(DEAD_TEXTS[why_dead])
    elif place := guests.album(share):
        path = display("/".join(place.parts)) or "the whole library"
        facts.append(f"opens {path}")
        if place.rule.visibility == Visibility.PRIVATE:
            facts.append("which is private otherwise")
        if place.rule.is_inbox and not share.may_add:
            facts.append("shows nothing, as its guests may not add")
    facts.append(f"until {share.until}" if share.until else "without an end")
    if share.password:
        facts.append("with a password")
    if share.may_add:
        facts.append("may add photos")
    facts.append(f"last used {share.used}" if share.used else "not used yet")
    yield f"{share.label}: {', '.join(facts)}."
    yield f"  {share_link(config, guests.store.token(share))}"


def all_share_lines(config: Config, guests: Guests) -> Iterator[str]:
    """Say of each share what it opens."""
    try:
        shares = guests.store.all()
    except StateError as error:
        yield f"No link for guests opens: {error}"
        return
    if shares:
        yield "Links for guests, who need no account:"
    for share in shares:
        yield from share_lines(config, guests, share)


def run_share(args: Arguments) -> None:
    """Make a link by which somebody without an account opens one album and what is in it."""
    config, guests = open_guests(args)
    label = parse_label(args.whom)
    place = album_named(guests.folders, args.album)
    until = None
    if not args.forever:
        until = dt.date.today() + dt.timedelta(days=parse_days(str(args.days)))
    hashed = ""
    if args.password or args.password_stdin:
        hashed = hash_password(new_password(args))
    share = guests.make(place, label=label, until=until, password=hashed, may_add=args.add)
    print(*share_lines(config, guests, share), sep="\n")
    if not config.public_address:
        print("This address opens at home alone: the settings name no public address.")
    show_qr_code(share_link(config, guests.store.token(share)))


def run_shares(args: Arguments) -> None:
    """List the links for guests, with what they open."""
    config, guests = open_guests(args)
    shares = guests.store.all()
    for share in shares:
        print(*share_lines(config, guests, share), sep="\n")
    if not shares:
        to_do = how_to(args, "share ALBUM --for WHOM")
        print(f"There are no links for guests. To make one: {to_do}", file=sys.stderr)


def run_unshare(args: Arguments) -> None:
    """End all links for somebody, at once."""
    _, guests = open_guests(args)
    for share in guests.store.labelled(args.whom):
        guests.store.end(share.id)
        print_ended(share)


def with_role(users: UserStore, name: str) -> str:
    """Return a user's name, and whether it is an owner's: anna (owner)."""
    return f"{name} (owner)" if users.is_owner(name) else name


def run_users(args: Arguments) -> None:
    """List the users, with their roles."""
    users = open_users(args)
    names = users.names()
    for name in names:
        print(with_role(users, name))
    if not names:
        to_do = how_to(args, "register NAME")
        print(f"There are no users. To add one: {to_do}", file=sys.stderr)


def show_progress(done: int, total: int, started: float, unit: int = 1) -> None:
    """Draw a progress bar with an estimate, on a terminal; the numbers are shown in a unit."""
    if done < unit or not sys.stderr.isatty():
        return
    remaining = (time.monotonic() - started) / done * (total - done)
    estimate = f"{remaining / 60:.0f} min" if remaining > 90 else f"{remaining:.0f} s"
    bar = ("#" * (done * BAR_LENGTH // total)).ljust(BAR_LENGTH, ".")
    line = f"\r[{bar}] {done // unit}/{total // unit}, about {estimate} left  "
    end = "\n" if done == total else ""
    print(line, end=end, file=sys.stderr, flush=True)


def run_with_progress(
    library: Library, what: str, files: Sequence[File], purpose: Purpose
) -> None:
    """Read or render files and show how far it is."""
    if files:
        print(f"{what} {counted(len(files), 'file')}", flush=True)
    started = time.monotonic()
    for done, _ in enumerate(library.run(files, purpose), 1):
        show_progress(done, len(files), started)


def print_problems(upkeep: Upkeep, to_do: str) -> None:
    """Name each file that cannot be shown, with the reason; count those that nobody expects to see."""
    if unread := upkeep.unread(0):
        print(f"Not read yet: {counted(len(unread), 'file')}. To do it now: {to_do}")
    problems = upkeep.problems()
    if problems:
        print("These files cannot be shown, or not whole:")
    for path, reason in problems:
        print(f"  {path}: {reason}")
    for kind, names in upkeep.skipped().items():
        if names:
            print(kind.told(names))


def read_deeply(library: Library) -> None:
    """Read all originals whole now, and show how far it is."""
    files = {file.identity: file for _, file in files_of(library)}
    total = sum(file.size for file in files.values())
    what = counted(len(files), "file")
    print(f"Reading {what} whole, {size_text(total)}", flush=True)
    done = 0
    started = time.monotonic()
    for identity, file in files.items():
        info = library.index.get(identity)
        if info and info.key:
            note_checksum(library, file, info)
        done += file.size
        show_progress(done, total, started, unit=1 << 20)  # MiB
    Watch(library).end()


def run_index(args: Arguments) -> None:
    """Make all missing thumbnails and previews now, and name the files that cannot be shown."""
    with closing(open_library(*open_state(args))) as library:
        place = root_of(library)
        upkeep = Upkeep(library)
        library.index.is_quiet = True  # said at the end
        for _ in range(INDEX_ROUNDS):
            run_with_progress(library, "Reading", upkeep.unread(0), Purpose.FACTS)
            for purpose in RENDERING_ORDER:
                unrendered = list(upkeep.unrendered(0, purpose))
                run_with_progress(library, STEPS[purpose], unrendered, purpose)
            is_done = not upkeep.unread(0) and not any(upkeep.unrendered(0))
            if is_done or library.index.problem:
                break
            time.sleep(SETTLE_SECONDS + 0.1)  # for files that were copied a moment ago
        # A server that runs meanwhile prunes by itself, and knows of photos that this process does not.
        if not serving_version(library.cache.parent):
            upkeep.prune()
            upkeep.prune()  # which deletes what was gone at both
        print_problems(upkeep, how_to(args, "index"))
        if library.index.problem:
            raise StateError(library.index.problem)
        album = library.album(place, OWNER_PRINCIPAL)
        print(f"All done: {counts_text(album)}.")


def state_lines(args: Arguments, state: Path) -> Iterator[str]:
    """Say whether the state files are in order, and whether an older version serves."""
    yield from mode_lines(state)
    if problem := state_problem(state):
        yield problem
    users = UserStore(state)
    try:
        names = ", ".join(with_role(users, name) for name in users.names())
        if not names:
            yield f"Users: none. To add one: {how_to(args, 'register NAME')}"
        else:
            yield f"Users: {names}."
        if names and not users.has_owner():
            yield f"No owner is named. To name one: {how_to(args, 'owner NAME')}"
    except StateError as error:
        yield f"Nobody can log in: {error}"
    serving = serving_version(state)
    if serving not in ("", build_name(args)):
        yield f"Upgrade pending: the running server is still {serving}. Restart it."


def version_lines(args: Arguments) -> Iterator[str]:
    """Say which versions run, and what they can."""
    python = sys.version.split()[0]
    versions = f"{build_name(args)}, Python {python}, Pillow {PIL.__version__}"
    try:
        yield f"{versions}, libheif {importlib.import_module('pillow_heif').libheif_version()}."
        yield "HEIC photos (iPhone) are shown."
    except ImportError as error:
        yield f"{versions}."
        advice = "pip install pillow-heif, or a photos.pyz that has it"
        yield f"HEIC photos are listed, not shown: {error} ({advice})."
    if shutil.which("ffmpeg") and shutil.which("ffprobe"):
        yield "Videos have posters."
    else:
        yield "Videos have no posters: install ffmpeg."


def pillow_lines(args: Arguments) -> Iterator[str]:
    """Say where photos.pyz uses this machine's own Pillow instead of the one that it brings."""
    folder = Path(PIL.__file__).parents[1]
    if args.build and not folder.name.startswith("native-"):  # as the bootstrap names it
        yield f"Pillow is this machine's own ({folder}), not that of photos.pyz."
        yield "Keep it up to date: a new photos.pyz does not mend its faults."


def print_outside(state: Path, config: Config, library: Library, users: UserStore) -> None:
    """Say how the site is from outside. Raises PhotosError where something is wrong."""
    outsider = Outsider(outside_address(state, config))
    print(f"Asking {outsider.address}", flush=True)
    require_our_site(outsider, library, config.port)
    wrong = 0
    cookie = session_cookie(state, users) if outsider.is_encrypted else ""
    for remark in outside_remarks(outsider, library, cookie):
        mark = "WRONG" if remark.is_wrong else "ok"
        print(f"{mark}: {remark.text}", flush=True)
        wrong += remark.is_wrong
    if wrong:
        things = counted(wrong, "thing")
        raise PhotosError(f"From outside, {things} should be mended, named above.")


def run_check(args: Arguments) -> None:
    """Say in plain words who can see what, and what is wrong."""
    state, library, users = open_named(args)
    with closing(library):
        config, guests = open_guests(args)
        if args.view_of:
            for view in views_named(users, guests, args.view_of):
                print(*view_lines(library, view), sep="\n")
            return
        if args.outside:
            print_outside(state, config, library, users)
            return
        print(*version_lines(args), *pillow_lines(args), sep="\n")
        print(*state_lines(args, state), sep="\n")
        print(*service_lines(state, how_to(args, "enable")), sep="\n")
        upkeep = Upkeep(library)
        print(*reach_lines(library, users), *flag_lines(library), sep="\n")
        for line in (*all_share_lines(config, guests), *place_lines(upkeep)):
            print(line)
        print_problems(upkeep, how_to(args, "index"))
        if args.deep:
            read_deeply(library)
        damaged = damaged_paths(library)
        for line in damage_lines(damaged):
            print(line)
        if damaged and args.deep:
            raise PhotosError(f"Damaged originals: {len(damaged)}. They are named above.")


COMMANDS = {
    "serve": run_serve,
    "enable": run_enable,
    "disable": run_disable,
    "init": run_init,
    "register": run_register,
    "passwd": run_passwd,
    "owner": run_owner,
    "remove": run_remove,
    "users": run_users,
    "share": run_share,
    "shares": run_shares,
    "unshare": run_unshare,
    "index": run_index,
    "check": run_check,
}


class ShowVersion(argparse.Action):
    """The flag --version. Argparse's own would load libheif at each start to name its version."""

    def __call__(
        self, parser: argparse.ArgumentParser, args: Arguments, *_: object
    ) -> None:
        print(*version_lines(args))
        parser.exit()


def _folder_flags() -> argparse.ArgumentParser:
    """Return the flags that stand before or behind any command."""
    flags = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    flags.add_argument(
        "--library",
        metavar="FOLDER",
        help="folder of the albums (default: this folder, or that of photos.pyz)",
    )
    flags.add_argument(
        "--state", metavar="FOLDER", help="state folder (default: .photos in the library)"
    )
    return flags


def _add_setting_flags(command: argparse.ArgumentParser) -> None:
    for name, setting in SETTINGS.items():
        if name != "library":
            help = setting.metadata["help"]
            kind: Fields = {}
            if name == "tunnel":
                kind = {"nargs": "?", "const": "cloudflare"}
            command.add_argument(option_of(name), metavar=name.upper(), help=help, **kind)


def _add_share_flags(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "album",
        metavar="ALBUM",
        help="the album's folder, or . in the library for all of it",
    )
    add("--for", dest="whom", metavar="WHOM", required=True, help="for whom the link is")
    duration = command.add_mutually_exclusive_group()
    help = f"for how many days it opens (default: {SHARE_DAYS})"
    duration.add_argument("--days", metavar="N", default=SHARE_DAYS, help=help)
    duration.add_argument("--forever", action="store_true", help="it has no end")
    switch = partial(add, action="store_true")
    switch("--password", help="ask for a password that guests need")
    switch("--add", help="guests may add photos")


def _add_flags(command: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of the command of a name."""
    add = command.add_argument
    switch = partial(add, action="store_true")
    if name in ("serve", "init"):
        _add_setting_flags(command)
    if name in ("serve", "enable"):
        help = "open the tunnel without asking whether what strangers find is right"
        switch("--yes", help=help)
    if name == "check":
        help = "show the albums as that person finds them: visitor, a user's name, or for whom a link is"
        add("--as", dest="view_of", metavar="WHO", default="", help=help)
        help = "ask the public address what strangers get, and say what is wrong there"
        switch("--outside", help=help)
        help = "read all originals whole, which takes long, and name those that are damaged"
        switch("--deep", help=help)
    if name in ("enable", "disable"):
        help = "for the whole machine, whoever logs in; with sudo, on Linux and macOS"
        switch("--system", help=help)
    if name == "register":
        switch("--owner", help="make the user an owner, who sees everything")
    if name in ("register", "passwd", "owner", "remove"):
        add("user", metavar="USER", help="the user's name")
    if name == "share":
        _add_share_flags(command)
    if name == "unshare":
        add("whom", metavar="WHOM", help="for whom the link is")
    if name in ("register", "passwd", "share"):
        switch("--password-stdin", help="read the password from stdin")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; the flags of settings come from Config."""
    folders = _folder_flags()
    parser = argparse.ArgumentParser(
        prog="photos",
        description="Photo albums from folders.",
        parents=[folders],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version", action=ShowVersion, nargs=0, help="name versions and build"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, run in COMMANDS.items():
        description = run.__doc__ or ""  # one line each
        command = commands.add_parser(
            name,
            help=description[:1].lower() + description[1:].rstrip("."),
            description=description,
            parents=[folders],
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        _add_flags(command, name)
    return parser


def with_command(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `serve` put in where there is no command."""
    at = 0
    while at < len(arguments) and arguments[at].startswith(("--library", "--state")):
        has_value = "=" in arguments[at]
        at += 1 if has_value else 2
    first = arguments[at] if at < len(arguments) else "-"
    if first.startswith("-") and first not in ("-h", "--help", "--version"):
        return [*arguments[:at], "serve", *arguments[at:]]
    return list(arguments)


def set_up_streams() -> None:
    """Have all three streams, also where whoever starts this has closed them."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal may not know every letter.
            stream.reconfigure(errors="backslashreplace")


def main(
    arguments: Sequence[str] | None = None,
    *,
    home: str = "",
    script: str = "",
    build: str = "",
) -> int:
    """Run one command; return the exit status: 0, 1 (it failed, stderr says why) or 2 (usage).

    `home` is the library unless one is named, by default the current folder; `script` the file that
    the owner runs, '' for the installed command; `build` names the photos.pyz that it comes from.
    """
    set_up_streams()
    arguments = with_command(sys.argv[1:] if arguments is None else arguments)
    program = invocation(script) if script else "photos"
    defaults = argparse.Namespace(home=home or os.getcwd(), program=program, build=build)
    defaults.script = script
    args = make_parser().parse_args(arguments, defaults)
    set_up_log()
    try:
        args.run(args)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # nobody reads on, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PhotosError as error:
        advice = f" {how_to(args, error.command)}" if error.command else ""
        print(f"photos: {error}{advice}", file=sys.stderr)
    except ValueError as error:
        print(f"photos: {error}", file=sys.stderr)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"photos: {where}{error.strerror or error}", file=sys.stderr)
    except (KeyboardInterrupt, EOFError):
        print("\nStopped.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(script=sys.argv[0]))
