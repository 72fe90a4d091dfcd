"""The folder that says what befalls the stand-ins for cloudflared and tailscale, and what they did."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from processes import eventually

import photos

HOST, OTHER = "quiet-lake.trycloudflare.com", "new-hill.trycloudflare.com"
SCRIPT = """#!{python}
import sys
sys.path.insert(0, {tests!r})
import cloudflared
cloudflared.run_{program}()
"""


class StandIn:
    """Both programs in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._alone: list[subprocess.Popen[bytes]] = []
        for program in ("cloudflared", "tailscale"):
            tests = os.path.dirname(os.path.abspath(__file__))
            text = SCRIPT.format(python=sys.executable, tests=tests, program=program)
            (folder / program).write_text(text)
            (folder / program).chmod(0o755)
        self.say(hosts=HOST)

    def say(self, **files: str) -> None:
        """Write what befalls the programs."""
        for name, content in files.items():
            (self.folder / name).write_text(content)

    def starts(self) -> list[dict]:
        """Return how the programs were started, time after time."""
        path = self.folder / "starts"
        if not path.exists():
            return []
        return list(map(json.loads, path.read_text().splitlines(keepends=False)))

    def wait_for_starts(self, count: int) -> dict:
        """Wait until a program was started so many times; return how the last time."""
        return eventually(lambda: self.starts()[count - 1 :])[0]

    def start_alone(self) -> int:
        """Start a program that no server ends; return its id."""
        command = [os.fspath(self.folder / "tailscale"), "funnel", "9"]
        process = subprocess.Popen(command, start_new_session=True)
        self._alone.append(process)
        return process.pid

    @property
    def edge(self) -> int:
        """The port where visitors come in."""
        return int((self.folder / "edge").read_text())

    def end_all(self) -> None:
        """End what still runs of the programs."""
        for process in self._alone:
            process.kill()
            process.wait()
        for start in self.starts():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{start['pid']}/cmdline").read_bytes()
                if os.fsencode(self.folder) in command:
                    os.kill(start["pid"], signal.SIGKILL)


def is_running(pid: int) -> bool:
    return photos.birth_of(pid) != ""
