"""What the measurements share: ports, processes, their CPU and memory. Linux only."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent.parent  # the checkout that this file is part of
TICKS = os.sysconf("SC_CLK_TCK")
# What a browser says; copyparty sends other programs a page for terminals.
HEADERS = {"Accept-Encoding": "gzip", "Accept-Language": "en", "User-Agent": "Mozilla/5.0"}
START_SECONDS = 300  # the longest that a server may take to answer
# As photos.pyz does it, from kept bytecode; `python photos.py` compiles all of it at each start.
PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); import photos; sys.exit(photos.main())"


class Server(NamedTuple):
    """A running process that answers at an address."""

    pid: int
    address: str


class Answer(NamedTuple):
    """What came back, still compressed."""

    body: bytes
    etag: str


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def needed(program: str) -> bool:
    """Say whether a program is there, and on the terminal what is left out without it."""
    if shutil.which(program):
        return True
    print(f"{program} is not installed: its figures are left out.", file=sys.stderr)
    return False


def get(address: str, headers: dict[str, str] = HEADERS) -> Answer:
    """Send one request."""
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
        return Answer(answer.read(), answer.headers.get("ETag") or "")


def get_plain(address: str) -> str:
    """Return the text at an address, as it was before compression."""
    return get(address, {**HEADERS, "Accept-Encoding": "identity"}).body.decode()


def _stat_fields(pid: int) -> list[str]:
    """Return what stands behind the name in /proc/PID/stat (proc(5)): state, parent, …."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if fields := _stat_fields(int(folder.name)):
            parents[int(folder.name)] = int(fields[1])
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and all below it have used; steps of 10 ms."""
    ticks = 0
    for member in family(pid):
        # user and system, its own and that of children that ended
        ticks += sum(map(int, _stat_fields(member)[11:15]))
    return ticks / TICKS


def fine_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process's threads that live now, to the nanosecond."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[0])
    return total / 1e9


def memory(pid: int) -> float:
    """Return the megabytes of a process and all below it; what they share counts once."""
    kilobytes = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
    return kilobytes / 1024


def wait_until_quiet(pid: int, limit: float = 900.0) -> None:
    """Wait until a server has done what it does by itself: next to no CPU for five seconds."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        before = cpu_seconds(pid)
        time.sleep(5)
        if cpu_seconds(pid) - before <= 0.05:
            return


def wait_for_answer(process: subprocess.Popen[bytes], address: str) -> None:
    """Return as soon as an address answers."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError, urllib.error.URLError):
            get(address)
            return
        time.sleep(0.005)
    raise RuntimeError(f"no answer from {address}: {process.args!r}")


@contextlib.contextmanager
def running(
    command: Sequence[str],
    port: int,
    path: str = "/",
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server from when a path of it answers to the end of the block."""
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    try:
        wait_for_answer(process, address + path)
        yield Server(process.pid, address)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def photos_command(checkout: Path, library: Path, state: Path, *words: str) -> list[str]:
    """Return the command line of a checkout's `photos`."""
    program = [sys.executable, "-c", PROGRAM, str(checkout)]
    return [*program, "--library", str(library), "--state", str(state), *words]


def keep_bytecode(checkout: Path) -> None:
    """Have what is started from now on keep its bytecode, and compile a checkout."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    run_command(photos_command(checkout, checkout, checkout, "--version"))


def serving(
    checkout: Path, library: Path, state: Path, path: str = "/"
) -> contextlib.AbstractContextManager[Server]:
    """Run a checkout's server; to be entered with `with`."""
    port = free_port()
    command = photos_command(checkout, library, state, "serve", "--port", str(port))
    return running(command, port, path)


class Spent(NamedTuple):
    """What a command took."""

    seconds: float
    cpu: float


def run_command(command: Sequence[str]) -> Spent:
    """Run a command to its end; return its seconds, and its and its children's CPU seconds."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"status {process.returncode} of {command}")
    return Spent(time.monotonic() - started, usage.ru_utime + usage.ru_stime)
