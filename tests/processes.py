"""Real processes for tests: the program at a pseudo-terminal, and a server with its address."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import os
import pty
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import photos

# s, until what should happen counts as not happening: an idle machine takes less than one.
PATIENCE = 40
PROGRAM = (sys.executable, os.path.abspath(photos.__file__))
# A new session takes the first terminal that it opens as its own: Ctrl-C and getpass need that.
# Takes the terminal, and heeds its Ctrl-C: what runs in the background of a shell is started to ignore it.
AT_TERMINAL = """import os, signal, sys
os.open(os.ttyname(0), os.O_RDWR)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])"""


@dataclasses.dataclass
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


def own_ports() -> Iterator[int]:
    """Return the ports of this process of pytest, in a circle; other runs begin elsewhere in it.

    The system gives these to nobody who asks for any port: a server may take its time to listen.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(20_000 + number % 8, 32_000, 8)
    start = random.randrange(len(ports))
    return itertools.cycle((*ports[start:], *ports[:start]))


OWN_PORTS = own_ports()


def free_port() -> int:
    """Return a port that nobody listens on, another one each time."""
    while True:
        port = next(OWN_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(
    is_so: Callable[[], Any], seconds: float = PATIENCE, pause: float = 0.02
) -> Any:
    """Poll until something is true and return it; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"still not after {seconds} s"
        time.sleep(pause)
    return found


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program without a terminal to its end."""
    command = [*PROGRAM, *map(os.fspath, arguments)]
    options = {"stdin": subprocess.DEVNULL} | options if "input" not in options else options
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


def processes_about(path: Path) -> set[int]:
    """Return the ids of the processes, workers among them, whose command line names something below a path."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(path) in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found


def request(
    port: int, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send one request to this machine; return status, headers (lower case) and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return (
            answer.status,
            {name.lower(): value for name, value in answer.headers.items()},
            answer.read(),
        )


class Server:
    """A server process; `with` waits until it answers and leaves nothing running behind."""

    def __init__(
        self,
        library: Path,
        *flags: str,
        command: Sequence[str] = ("serve",),
        program: Path | None = None,
    ) -> None:
        self.library, self.state = library, library / photos.STATE_FOLDER
        self.port = free_port()
        start = [sys.executable, os.fspath(program)] if program else PROGRAM
        self._command = [*start, "--library", os.fspath(library)]
        self._command += [*command, "--port", str(self.port), *flags]
        self._output = library.parent / f"server-{self.port}.log"
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            eventually(self._answers)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.output
        with contextlib.suppress(OSError):
            return self.get("/healthz")[0] == 200
        return False

    @property
    def output(self) -> str:
        """All that this server and those before it on this port printed."""
        return self._output.read_text()

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return request(self.port, path, **headers)

    def command(self, *arguments: str, stdin: str = "") -> str:
        """Run another command on the same library; return what it prints."""
        done = run("--library", self.library, *arguments, input=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; return the exit status and after how many seconds it came."""
        started = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(30), time.monotonic() - started

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            assert self.end(signal.SIGTERM)[0] == 0, self.output
        assert "Traceback" not in self.output, self.output


class Terminal:
    """The program at a terminal, as its owner sits there."""

    def __init__(self, *arguments: str | Path, folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", AT_TERMINAL, *PROGRAM, *map(os.fspath, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = ""
        self._seen = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def _read(self, deadline: float) -> bool:
        """Add to the screen; False: the program closed its terminal."""
        ready, _, _ = select.select(
            [self._ours], [], [], max(0, deadline - time.monotonic())
        )
        assert ready, f"the program waits; on its screen:\n{self.screen}"
        try:
            block = os.read(self._ours, 65536)
        except OSError:  # EIO: nobody is at the other end any more
            return False
        self.screen += block.decode().replace("\r\n", "\n")
        return bool(block)

    def expect(self, text: str, seconds: float = PATIENCE) -> str:
        """Wait until the program prints a text; return what it printed before that."""
        deadline = time.monotonic() + seconds
        while text not in self.screen[self._seen :]:
            assert self._read(deadline), (
                f"the program ended without {text!r}; on its screen:\n{self.screen}"
            )
        before, _, _ = self.screen[self._seen :].partition(text)
        self._seen += len(before) + len(text)
        return before

    def type(self, *lines: str) -> None:
        """Type lines, each with Enter."""
        for line in lines:
            os.write(self._ours, f"{line}\n".encode())

    def press(self, key: bytes) -> None:
        """Press a key once the program waits for one: CPython's input() loses an earlier Ctrl-C."""
        state = Path(f"/proc/{self.process.pid}/stat")
        eventually(lambda: state.read_text().rpartition(")")[2].split()[0] == "S")
        os.write(self._ours, key)

    def answer(self, *dialogue: tuple[str, str]) -> None:
        """Wait for each question, then type the answer."""
        for question, reply in dialogue:
            self.expect(question)
            self.type(reply)

    def end(self, seconds: float = PATIENCE) -> int:
        """Wait for the end; return the exit status."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self.process.wait(seconds)
