"""The system's browser, which is ended where it does not answer any more; a finger on its screen."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from processes import eventually

TEST_SECONDS = 300  # the longest test takes 10 on a quiet machine
CLOSE_SECONDS = 60  # closing a window takes less than one
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def eventually_told(page: Any, is_so: Callable[[], Any]) -> Any:
    """Poll until something is true that the page's requests change; fail after a while.

    Playwright tells of a request only while its page is asked for something.
    """

    def look() -> Any:
        page.evaluate("0")
        return is_so()

    return eventually(look)


def rests(page: Any) -> None:
    """Wait until nothing on the page moves any more."""
    eventually(lambda: page.evaluate("document.getAnimations().length === 0"))


def follow(page: Any, link: Any) -> None:
    """Click a link or a button and wait until the page behind it is there to its end.

    A click alone waits for the first bytes of that page, and what is counted then may be half.
    """
    with page.expect_navigation():
        link.click()


class Browser:
    """Chromium, which is started again after it had to be ended.

    Now and then it answers nothing any more, most often when a window is closed in the middle of
    a transition, and whoever asked waits for ever: neither `evaluate` nor `close` has a limit.
    """

    def __init__(self, playwright: Any, path: str) -> None:
        self._chromium = playwright.chromium
        self._path = path
        self._mark = f"--started-for={uuid.uuid4().hex}"  # found again among the processes
        self._running: Any = None

    @property
    def running(self) -> Any:
        """The browser, started if it is not."""
        if self._running is None or not self._running.is_connected():
            self._running = self._chromium.launch(
                executable_path=self._path, args=[*FLAGS, self._mark]
            )
        return self._running

    def new_context(self, **options: Any) -> Any:
        return self.running.new_context(**options)

    def new_page(self, **options: Any) -> Any:
        return self.running.new_page(**options)

    @contextlib.contextmanager
    def ended_after(self, seconds: float) -> Iterator[None]:
        """End the browser where a step takes longer, so that the step fails."""
        timer = threading.Timer(seconds, self.end)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the browser, or end it."""
        if self._running is not None:
            with self.ended_after(CLOSE_SECONDS), closed_already():
                self._running.close()

    def end(self) -> None:
        """Kill every process that was started with this browser's mark."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._mark.encode() in (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)


class Finger:
    """A finger on the screen of a phone."""

    def __init__(self, page: Any) -> None:
        self._session = page.context.new_cdp_session(page)

    def _send(self, kind: str, *points: tuple[float, float], **more: float) -> None:
        touches = [{"x": x, "y": y, "id": at} for at, (x, y) in enumerate(points)]
        event = {"type": kind, "touchPoints": touches, **more}
        self._session.send("Input.dispatchTouchEvent", event)

    def tap(self, x: float, y: float, times: int = 1) -> None:
        """Tap quickly: the page is told so, however long the machine takes for it."""
        now = time.time()
        for number in range(times):
            self._send("touchStart", (x, y), timestamp=now + 0.1 * number)
            self._send("touchEnd", timestamp=now + 0.1 * number + 0.05)

    def drag(self, start: tuple[float, float], *steps: tuple[float, float]) -> None:
        """Touch the screen and move; the finger stays there."""
        self._send("touchStart", start)
        self.move(*steps)

    def move(self, *steps: tuple[float, float]) -> None:
        for step in steps:
            self._send("touchMove", step)

    def add(self, *fingers: tuple[float, float]) -> None:
        """Touch the screen with another finger: these are the places of all."""
        self._send("touchStart", *fingers)

    def lift(self) -> None:
        self._send("touchEnd")


@contextlib.contextmanager
def closed_already() -> Iterator[None]:
    """Let pass that a window is gone, which happens where its browser was ended."""
    from playwright.sync_api import Error

    try:
        yield
    except Error as error:
        if type(error).__name__ != "TargetClosedError":
            raise
