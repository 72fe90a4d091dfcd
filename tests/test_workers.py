"""Workers: what goes first, what a process costs that dies or hangs, and that none is left over."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import StartPython
from drawing import draw
from looking import Open, place_at
from PIL import Image
from processes import eventually
from visiting import Client

import photos
import renditions
from renditions import Purpose

NOW, FACTS, SOON, LATER = photos.Urgency


def ask(
    renderer: photos.Renderer,
    path: Path,
    purpose: Purpose = Purpose.FACTS,
    urgency: photos.Urgency = NOW,
) -> Future[photos.Info]:
    return renderer.submit(path.name, os.fspath(path), purpose, urgency)


@pytest.fixture
def renderer(tmp_path: Path) -> Iterator[photos.Renderer]:
    """A renderer with one worker."""
    (tmp_path / "cache").mkdir()
    renderer = photos.Renderer(tmp_path / "cache", workers=1)
    yield renderer
    renderer.close()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A file that hangs whoever opens it, until `let_go`."""
    os.mkfifo(tmp_path / "hang.jpg")
    return tmp_path / "hang.jpg"


def let_go(fifo: Path) -> None:
    """End the wait of whoever has opened a FIFO."""
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:  # nobody has
        pass


def worker_pid(renderer: photos.Renderer, *others: int) -> int:
    """Wait for a worker process that is none of the others."""

    def new() -> list[int]:
        processes = [worker._process for worker in renderer._workers]
        pids = {process.pid for process in processes if process}
        return list(pids - set(others))

    return eventually(new)[0]


def is_over(pid: int) -> bool:
    """Say whether a child process has ended, though nobody may have waited for it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_most_urgent_goes_first(
    tmp_path: Path, fifo: Path, renderer: photos.Renderer
) -> None:
    first = ask(renderer, fifo)
    eventually(lambda: not renderer._queue)
    order = []
    for name, urgency in (
        ("raised", LATER),
        ("later", LATER),
        ("soon", SOON),
        ("facts", FACTS),
        ("now", NOW),
    ):
        future = ask(renderer, draw(tmp_path / f"{name}.jpg"), urgency=urgency)
        future.add_done_callback(lambda _, name=name: order.append(name))
    ask(renderer, tmp_path / "raised.jpg")
    eventually(lambda: let_go(fifo) or first.done(), pause=0.002)
    eventually(lambda: len(order) == 5)
    assert order == ["now", "raised", "facts", "soon", "later"]


def test_what_is_opened_now_goes_first_and_pictures_keep_their_order(
    tmp_path: Path, fifo: Path, renderer: photos.Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(renderer, fifo)
    eventually(lambda: not renderer._queue)
    order: list[str] = []
    for moment in range(1, 3):
        seconds = time.monotonic() / (moment + 0.5)  # so that all of it is in one moment
        monkeypatch.setattr(photos, "MOMENT_SECONDS", seconds)
        for urgency in (NOW, FACTS, SOON, LATER):
            for number in range(2):
                name = f"{urgency.name} {moment}{number}"
                future = ask(renderer, draw(tmp_path / f"{name}.jpg"), urgency=urgency)
                future.add_done_callback(lambda _, name=name: order.append(name))
    eventually(lambda: let_go(fifo) or first.done(), pause=0.002)
    eventually(lambda: len(order) == 16)
    in_order, newest_first = ("10", "11", "20", "21"), ("20", "21", "10", "11")
    expected = [("NOW", in_order), ("FACTS", newest_first), ("SOON", newest_first)]
    expected.append(("LATER", in_order))
    assert order == [f"{name} {at}" for name, places in expected for at in places]


def test_what_nobody_waits_for_any_more_goes_after_what_is_watched(
    tmp_path: Path, fifo: Path, renderer: photos.Renderer
) -> None:
    first = ask(renderer, fifo)
    eventually(lambda: not renderer._queue)
    order: list[str] = []
    for name, *watched in (
        ("left", False),
        ("left by one of two", False, True),
        ("come back to", False),
        ("watched", True),
    ):
        photo = draw(tmp_path / f"{name}.jpg")
        for is_there in watched:
            future = renderer.submit(
                photo.name,
                os.fspath(photo),
                Purpose.FACTS,
                NOW,
                lambda is_there=is_there: is_there,
            )
        future.add_done_callback(lambda _, name=name: order.append(name))
    ask(renderer, tmp_path / "come back to.jpg")
    background = ask(renderer, draw(tmp_path / "later.jpg"), urgency=LATER)
    background.add_done_callback(lambda _: order.append("later"))
    eventually(lambda: let_go(fifo) or first.done(), pause=0.002)
    eventually(lambda: len(order) == 5)
    assert order == ["left by one of two", "come back to", "watched", "left", "later"]


def test_the_photos_of_the_first_screen_are_read_first(
    library: Path, open_library: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"IMG_{number:03}.jpg" for number in range(40)]
    for name in sorted(names, key=hash):
        draw(library / "Trip" / name)
    opened = open_library(workers=0)
    submitted: list[str] = []
    submit = opened._renderer.submit

    def note(identity: str, path: str, *rest: Any) -> Future[photos.Info]:
        submitted.append(os.path.basename(path))
        return submit(identity, path, *rest)

    monkeypatch.setattr(opened._renderer, "submit", note)
    place = place_at(opened, "Trip")
    opened.album(place, photos.VISITOR, patience=0.01)
    expected = [*names, "one.jpg", "two.jpg"]
    assert submitted == expected * 2, "the keys, then what has another one"


def test_the_same_request_is_one_job_until_it_is_done(
    tmp_path: Path, fifo: Path, renderer: photos.Renderer
) -> None:
    first = ask(renderer, fifo)
    photo = draw(tmp_path / "a.jpg")
    facts = ask(renderer, photo, urgency=LATER)
    assert ask(renderer, photo, urgency=LATER) is ask(renderer, photo) is facts
    assert ask(renderer, fifo) is first
    assert ask(renderer, photo, Purpose.THUMBNAILS, LATER) is not facts
    eventually(lambda: let_go(fifo) or first.done(), pause=0.002)
    assert facts.result(20).width == 60
    assert ask(renderer, photo) is not facts


def test_all_who_wait_for_a_job_get_what_was_learned_of_it(tmp_path: Path) -> None:
    renderer = photos.Renderer(
        tmp_path / "cache",
        workers=1,
        learn=lambda job, info: dataclasses.replace(info, caption=f"of {job.identity}"),
    )
    path = draw(tmp_path / "a.jpg")
    futures = [ask(renderer, path), ask(renderer, path, urgency=LATER)]
    infos = [future.result(20) for future in futures]
    renderer.close()
    assert [(info.width, info.caption) for info in infos] == [(60, "of a.jpg")] * 2


def test_names_of_any_bytes_reach_the_worker_and_come_back(
    tmp_path: Path, renderer: photos.Renderer
) -> None:
    for name in ("line\nbreak.jpg", os.fsdecode(b"not UTF-8 \xff\xfe.jpg"), "写真 🏖️.jpg"):
        path = draw(tmp_path / "a.jpg").rename(tmp_path / name)
        assert ask(renderer, path, Purpose.THUMBNAILS).result(20).problem == ""


def test_a_worker_that_somebody_kills_costs_no_photo(
    tmp_path: Path, renderer: photos.Renderer
) -> None:
    future = ask(renderer, draw(tmp_path / "a.jpg"), Purpose.ALL)
    pid = worker_pid(renderer)
    os.kill(pid, signal.SIGKILL)
    assert not future.done()
    info = future.result(20)
    assert (info.width, info.problem) == (60, "")
    assert worker_pid(renderer, pid)


@pytest.mark.whole
@pytest.mark.skipif(not hasattr(os, "waitid"), reason="no waitid")
def test_a_worker_that_was_killed_while_it_waited_costs_no_photo(
    tmp_path: Path, renderer: photos.Renderer
) -> None:
    photo = draw(tmp_path / "a.jpg")
    ask(renderer, photo).result(20)
    pid = worker_pid(renderer)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_over(pid))
    assert ask(renderer, photo).result(20).problem == ""


def test_a_photo_that_kills_two_workers_is_given_up_and_the_next_one_is_not(
    tmp_path: Path, fifo: Path, renderer: photos.Renderer
) -> None:
    assert ask(renderer, draw(tmp_path / "a.jpg")).result(20).width == 60
    future = ask(renderer, fifo)
    first = worker_pid(renderer)
    os.kill(first, signal.SIGKILL)
    os.kill(worker_pid(renderer, first), signal.SIGKILL)
    info = future.result(20)
    assert (info.kind, info.problem, info.retry) == (
        "photo",
        "it crashes the decoder",
        renditions.AT_START,
    )
    assert ask(renderer, draw(tmp_path / "b.jpg")).result(20).width == 60


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """One entry for each worker process that is started."""
    started: list[Path] = []

    def command(cache: Path) -> list[str]:
        started.append(cache)
        return renditions.worker_command(cache)

    monkeypatch.setattr(photos, "worker_command", command)
    return started


@pytest.mark.whole
def test_a_photo_that_waits_for_the_disk_is_not_ready_yet_and_the_next_one_is(
    tmp_path: Path,
    fifo: Path,
    renderer: photos.Renderer,
    commands: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photos, "RENDER_SECONDS", 0.5)
    future = ask(renderer, fifo)
    pid = worker_pid(renderer)
    assert isinstance(future.exception(20), photos.Busy)
    assert len(commands) == 1
    assert not is_alive(pid)
    assert renderer.rests(fifo.name)
    for purpose in Purpose:
        again = ask(renderer, fifo, purpose)
        assert isinstance(again.exception(0), photos.Busy), (
            "it is not read before the pause is over"
        )
    monkeypatch.undo()
    assert ask(renderer, draw(tmp_path / "a.jpg")).result(20).width == 60


def test_no_photo_waits_for_a_worker_that_starts_while_another_one_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two workers starts only when the other one has done all there is to do."""
    (tmp_path / "cache").mkdir()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    commands = iter([[sys.executable, "-c", f"open({os.fspath(gate)!r}).read()"]])
    command = renditions.worker_command
    monkeypatch.setattr(
        photos, "worker_command", lambda cache: next(commands, None) or command(cache)
    )
    renderer = photos.Renderer(tmp_path / "cache", workers=2)
    paths = [draw(tmp_path / f"{number}.jpg") for number in range(4)]
    futures = [ask(renderer, path) for path in paths]
    assert [future.result(20).width for future in futures] == [60] * 4
    let_go(gate)
    renderer.close()


@pytest.mark.whole
def test_a_photo_that_comes_slowly_is_shown_in_the_end(
    fifo: Path, renderer: photos.Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "RENDER_SECONDS", 0.5)
    monkeypatch.setattr(photos, "PAUSE_SECONDS", 0.01)
    patience = []
    for _ in range(3):
        assert isinstance(ask(renderer, fifo).exception(20), photos.Busy)
        patience.append(renderer._workers[0].patience)
        eventually(lambda: not renderer.rests(fifo.name))
    assert patience == [0.6, 1.2, 2.4]
    fifo.unlink()
    assert ask(renderer, draw(fifo)).result(20).width == 60
    fifo.unlink()
    os.mkfifo(fifo)
    assert isinstance(ask(renderer, fifo).exception(20), photos.Busy)
    assert renderer._workers[0].patience == 0.6, "it begins afresh"


@pytest.mark.whole
def test_a_photo_that_computes_for_ever_is_given_up_and_the_next_one_is_not(
    tmp_path: Path,
    renderer: photos.Renderer,
    commands: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = renditions.WORKER_SCRIPT
    spinning = (
        "renditions.develop = lambda *_: [None for _ in iter(int, 1)]; renditions.work"
    )
    monkeypatch.setattr(
        renditions,
        "WORKER_FLAGS",
        (
            "-P",
            "-S",
            "-c",
            script.replace(
                "renditions.work", f"renditions.RENDER_SECONDS = 0.2; {spinning}"
            ),
        ),
    )
    info = ask(renderer, draw(tmp_path / "bad.jpg")).result(20)
    assert (info.problem, info.retry) == (photos.TOO_SLOW, renditions.AT_START)
    assert not info.has_picture
    assert not renderer.rests("bad.jpg")
    assert len(commands) == 1, "it is not tried again"
    monkeypatch.undo()
    assert ask(renderer, draw(tmp_path / "a.jpg")).result(20).width == 60


def test_the_cpu_time_of_one_photo_does_not_count_for_the_next(
    tmp_path: Path, renderer: photos.Renderer
) -> None:
    limits = []
    for name in ("a.jpg", "b.jpg"):
        assert ask(renderer, draw(tmp_path / name)).result(20).width == 60
        limit, _ = resource.prlimit(worker_pid(renderer), resource.RLIMIT_CPU)
        limits.append(limit)
    assert min(limits) >= renditions.RENDER_SECONDS


@pytest.mark.whole
def test_ffmpeg_that_computes_for_ever_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\ntrap '' XCPU\nwhile :; do :; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(renditions, "RENDER_SECONDS", 0.5)
    with pytest.raises(renditions.TooSlow):
        renditions.ffmpeg_frame(os.fspath(tmp_path / "a.mov"), "mov")
    film = tmp_path / "b.mov"
    film.write_bytes(b"\0\0\0\x14ftypqt  " + bytes(100))
    (tmp_path / "ffprobe").symlink_to(program)
    info = renditions.develop(os.fspath(film), Purpose.ALL, tmp_path)
    assert (info.problem, info.retry) == (renditions.TOO_SLOW, renditions.AT_START)


@pytest.mark.whole
def test_a_memory_bomb_costs_itself(tmp_path: Path, renderer: photos.Renderer) -> None:
    # 100 megapixels of grey with transparency, almost all of it a hole on the disk.
    width, height = 10_000, 9_999
    size, offset = 2 * width * height, 200
    longs = {256: width, 257: height, 273: offset, 278: height, 279: size}
    shorts = {259: 1, 262: 1, 277: 2, 338: 2}
    tags = [(tag, 4, 1, value) for tag, value in longs.items()]
    tags += [(tag, 3, 1, value) for tag, value in shorts.items()] + [
        (258, 3, 2, 8 | 8 << 16)
    ]
    with open(tmp_path / "bomb.tif", "wb") as file:
        file.write(b"II*\0" + struct.pack("<IH", 8, len(tags)))
        file.write(
            b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags)) + b"\0\0\0\0"
        )
        file.truncate(offset + size)
    info = ask(renderer, tmp_path / "bomb.tif", Purpose.ALL).result(20)
    assert (info.width, info.height) == (width, height)
    most = renditions.PIXELS_MEMORY >> 20
    assert (
        info.problem
        == f"too large: it needs more than {most} MB of memory; export it smaller"
    )
    assert info.retry == renditions.AT_START
    assert ask(renderer, draw(tmp_path / "a.jpg")).result(20).width == 60
    if sys.platform == "linux":
        limit, _ = resource.prlimit(worker_pid(renderer), resource.RLIMIT_AS)
        assert limit == renditions.WORKER_MEMORY


@pytest.mark.whole
def test_an_idle_worker_gives_its_memory_back(
    tmp_path: Path, renderer: photos.Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "IDLE_SECONDS", 0.01)
    photo = draw(tmp_path / "a.jpg")
    ask(renderer, photo).result(20)
    eventually(lambda: renderer._workers[0]._process is None)
    assert ask(renderer, photo).result(20).width == 60


def test_closing_leaves_no_one_waiting_and_no_worker(
    tmp_path: Path, fifo: Path, renderer: photos.Renderer
) -> None:
    futures = [ask(renderer, fifo)]
    futures += [ask(renderer, draw(tmp_path / f"{n}.jpg"), urgency=LATER) for n in range(3)]
    pid = worker_pid(renderer)
    renderer.close()
    assert all(isinstance(future.exception(20), photos.Busy) for future in futures)
    with pytest.raises(photos.Busy):
        ask(renderer, fifo)
    eventually(lambda: not is_alive(pid))


def test_closing_while_a_worker_starts_leaves_no_one_waiting(
    fifo: Path, renderer: photos.Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = threading.Thread(target=renderer.close)

    def command(cache: Path) -> list[str]:
        closing.start()
        eventually(lambda: renderer._workers[0]._is_closed)
        return renditions.worker_command(cache)

    monkeypatch.setattr(photos, "worker_command", command)
    assert isinstance(ask(renderer, fifo).exception(20), photos.Busy)
    closing.join(5)
    eventually(lambda: renderer._workers[0]._process is None)


def test_a_machine_that_cannot_start_a_worker_for_a_moment_renders_again_afterwards(
    tmp_path: Path, renderer: photos.Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = draw(tmp_path / "a.jpg")
    monkeypatch.setattr(sys, "executable", os.fspath(tmp_path / "no python"))
    assert ask(renderer, photo).result(20).retry == renditions.AT_ONCE
    monkeypatch.undo()
    assert ask(renderer, photo).result(20).width == 60


SERVER = """
import pathlib, photos, sys
renderer = photos.Renderer(pathlib.Path(sys.argv[1]), workers=1)
purpose = photos.Purpose.FACTS
renderer.submit("identity", sys.argv[2], purpose, photos.Urgency.NOW).result()
print(*[worker._process.pid for worker in renderer._workers], flush=True)
sys.stdin.read()
"""


@pytest.mark.whole
def test_a_worker_ends_when_its_server_is_killed(
    tmp_path: Path, start_python: StartPython
) -> None:
    server = start_python(SERVER, tmp_path, draw(tmp_path / "a.jpg"))
    pid = int(server.stdout.readline())
    assert is_alive(pid)
    server.kill()
    eventually(lambda: not is_alive(pid))


BUSY_SERVER = """
import pathlib, photos, sys
renderer = photos.Renderer(pathlib.Path(sys.argv[1]), workers=1)
purpose = photos.Purpose.ALL
renderer.submit("identity", sys.argv[2], purpose, photos.Urgency.NOW)
while renderer._workers[0]._process is None:
    pass
print(renderer._workers[0]._process.pid, flush=True)
sys.stdin.read()
"""


def group_of(leader: int) -> list[int]:
    """Return the processes of a group, those that have ended left out."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) == leader and state != "Z":
            members.append(int(path.parent.name))
    return members


@pytest.mark.whole
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    "work", ["starts", "decodes", "waits", "is stopped", "runs ffmpeg"]
)
def test_no_worker_and_no_ffmpeg_outlives_a_server_that_is_killed(
    work: str,
    tmp_path: Path,
    fifo: Path,
    start_python: StartPython,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = fifo
    if work == "decodes":
        file = draw(tmp_path / "a.png", (9000, 9000))
    if work == "runs ffmpeg":
        file = tmp_path / "a.mov"
        file.write_bytes(b"\0\0\0\x14ftypqt  " + bytes(100))
        (tmp_path / "ffprobe").write_text("#!/bin/sh\nsleep 60\n")
        (tmp_path / "ffprobe").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    server = start_python(BUSY_SERVER, tmp_path, file)
    pid = int(server.stdout.readline())
    if work != "starts":
        command = Path(f"/proc/{pid}/fdinfo/0")
        eventually(lambda: int(command.read_text().split()[3], 8) & os.O_ASYNC)
    if work == "runs ffmpeg":
        eventually(lambda: len(group_of(pid)) == 3)
    if work == "is stopped":
        os.kill(pid, signal.SIGSTOP)
    server.kill()
    eventually(lambda: not group_of(pid))


def test_the_workers_of_a_library_that_was_never_read_start_at_once(
    open_library: Open, commands: list[Path]
) -> None:
    opened = open_library(workers=2)
    assert commands == []
    opened.prepare()
    eventually(lambda: len(commands) == 2)
    place = place_at(opened, "Trip")
    opened.album(place, photos.VISITOR, patience=20)
    opened.close()
    commands.clear()
    again = open_library(workers=2)
    again.prepare()
    assert not any(worker.is_expected for worker in again._renderer._workers)
    assert commands == []


def test_a_library_without_photos_starts_no_workers(
    tmp_path: Path, open_library: Open, commands: list[Path]
) -> None:
    (tmp_path / "Empty").mkdir()
    opened = open_library(tmp_path / "Empty", workers=2)
    opened.prepare()
    assert not any(worker.is_expected for worker in opened._renderer._workers)
    assert commands == []


# A block of another size stands above all that is freed, so that the heap cannot shrink by itself.
GIVING_BACK = """
import renditions
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
blocks = [bytes(5000) for _ in range(10_000)]
last = bytes(6000)
blocks.clear()
before = resident()
renditions.share_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the system is not glibc")
def test_what_the_start_took_of_the_memory_is_given_back() -> None:
    command = [sys.executable, "-c", GIVING_BACK]
    folder = Path(renditions.__file__).parent
    given_back = int(subprocess.check_output(command, cwd=folder))
    assert given_back > 40_000_000


# What the library asks for and learns


@pytest.mark.whole
@pytest.mark.parametrize(
    ("address", "purpose"),
    [
        ("/thumbnail/Trip/one.jpg", Purpose.THUMBNAILS),
        ("/thumbnail/Trip/one.jpg?w=320", Purpose.THUMBNAILS),
        ("/preview/Trip/one.jpg", Purpose.ALL),
    ],
)
def test_a_picture_of_a_file_that_was_never_read_is_one_job(
    address: str, purpose: Purpose, visitor: Client, requests: list[tuple[str, Purpose]]
) -> None:
    for _ in range(2):
        answer = visitor.get(address)
        assert (answer.status, answer.headers["content-type"]) == (200, "image/webp")
        assert requests == [("one.jpg", purpose)]


@pytest.mark.parametrize(
    ("name", "names"),
    [("wide.jpg", ["640"]), ("narrow.jpg", ["320"]), ("wide.png", ["320", "640"])],
)
def test_who_waits_for_a_thumbnail_of_a_jpeg_waits_for_no_other_width(
    name: str,
    names: list[str],
    library: Path,
    open_library: Open,
    requests: list[tuple[str, Purpose]],
) -> None:
    draw(library / "New" / name, (1200 if "wide" in name else 300, 400))
    opened = open_library()
    place = place_at(opened, "New", name)
    item = opened.item(place)
    assert item and item.info
    opened.rendition(item, names[-1])
    made = [
        width for width in ("320", "640") if photos.is_made(opened.cache, item.key, width)
    ]
    assert made == names
    requests.clear()
    for width in photos.thumbnail_names(item.info):
        assert opened.rendition(item, width).status.st_size
    others = {"320", "640"}.difference(names) if item.info.width > 320 else set()
    assert requests == [(name, Purpose.SMALL_THUMBNAIL)] * len(others)


def test_two_who_wait_for_one_photo_each_get_their_width(
    library: Path, open_library: Open, requests: list[tuple[str, Purpose]]
) -> None:
    names = ["a.jpg", "b.jpg"]
    for name in names:
        draw(library / "New" / name, (1200, 800), colour=f"#{ord(name[0]):06}")
    opened = open_library()
    items = [opened.item(place_at(opened, "New", name)) for name in names]
    requests.clear()
    os.mkfifo(library.parent / "hang.jpg")
    hang = os.fspath(library.parent / "hang.jpg")
    hanging = opened._renderer.submit("hang", hang, Purpose.FACTS, NOW)
    eventually(lambda: not opened._renderer._queue)
    opened.expect(item for item in items if item)
    with ThreadPoolExecutor(3) as pool:
        wanted = [(items[0], "640"), (items[1], "640"), (items[1], "320")]
        waiting = [pool.submit(opened.rendition, item, width) for item, width in wanted]
        eventually(lambda: sum(len(job.names) for _, job in opened._renderer._queue) == 6)
        eventually(lambda: let_go(Path(hang)) or hanging.done(), pause=0.002)
        assert all(future.result(20).status.st_size for future in waiting)
    purposes = [Purpose.LARGE_THUMBNAIL, Purpose.THUMBNAILS]
    assert sorted(requests[1:]) == list(zip(names, purposes, strict=True))


def test_a_width_that_is_asked_for_while_the_other_is_made_is_made_next(
    library: Path,
    open_library: Open,
    requests: list[tuple[str, Purpose]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw(library / "New" / "a.jpg", (1200, 800))
    opened = open_library()
    item = opened.item(place_at(opened, "New", "a.jpg"))
    assert item
    requests.clear()
    is_begun, is_asked = threading.Event(), threading.Event()
    develop = photos.Worker.develop

    def wait_and_develop(worker: photos.Worker, path: str, purpose: Purpose) -> photos.Info:
        is_begun.set()
        assert is_asked.wait(20)
        return develop(worker, path, purpose)

    monkeypatch.setattr(photos.Worker, "develop", wait_and_develop)
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(opened.rendition, item, "640")
        assert is_begun.wait(20)
        [job] = opened._renderer._jobs.values()
        small = pool.submit(opened.rendition, item, "320")
        eventually(lambda: len(job.names) == 2)
        is_asked.set()
        assert small.result(20).path != large.result(20).path
    purposes = [Purpose.LARGE_THUMBNAIL, Purpose.SMALL_THUMBNAIL]
    assert [purpose for _, purpose in requests] == purposes


@pytest.mark.parametrize("first", [Purpose.FACTS, Purpose.THUMBNAILS])
def test_facts_and_thumbnails_asked_for_together_leave_the_colour_known(
    first: Purpose,
    library: Path,
    open_library: Callable[..., photos.Library],
    requests: list[tuple[str, Purpose]],
) -> None:
    os.mkfifo(library.parent / "hang.jpg")
    opened = open_library()
    hanging = opened._renderer.submit(
        "hang", os.fspath(library.parent / "hang.jpg"), Purpose.FACTS, NOW
    )
    eventually(lambda: not opened._renderer._queue)
    file = opened.folders.listing(("Trip",)).files["one.jpg"]
    last = Purpose.FACTS if first is Purpose.THUMBNAILS else Purpose.THUMBNAILS
    futures = [opened._submit(file, first, NOW), opened._submit(file, last, LATER)]
    assert not any(future.done() for future in futures)
    eventually(lambda: let_go(library.parent / "hang.jpg") or hanging.done(), pause=0.002)
    infos = [future.result(20) for future in futures]
    assert [purpose for name, purpose in requests if name == "one.jpg"] == [first, last]
    known = opened.index.get(file.identity)
    assert known and known.colour.startswith("#") and known.width == 60
    assert infos[-1] == known
    [again] = opened.run([file], Purpose.FACTS)
    assert opened.index.get(again.identity) == known


@pytest.mark.whole
@pytest.mark.parametrize("order", ["facts first", "facts last", "at a thumbnail's request"])
def test_a_photo_whose_worker_dies_of_its_pixels_keeps_the_facts(
    order: str, open_library: Callable[..., photos.Library], monkeypatch: pytest.MonkeyPatch
) -> None:
    develop = photos.Worker.develop
    crash = photos.Info(
        kind="photo", problem="it crashes the decoder", retry=photos.AT_START
    )

    def develop_or_die(worker: photos.Worker, path: str, purpose: Purpose) -> photos.Info:
        if purpose is Purpose.FACTS:
            return develop(worker, path, purpose)
        return crash

    monkeypatch.setattr(photos.Worker, "develop", develop_or_die)
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0)
    opened = open_library()
    place = place_at(opened, "Trip", "one.jpg")
    assert place.file
    purposes = [Purpose.FACTS, Purpose.THUMBNAILS]
    if order == "at a thumbnail's request":
        item = opened.item(place, Purpose.THUMBNAILS)
        assert item and item.info == opened.index.get(place.file.identity)
        purposes = [Purpose.THUMBNAILS]
    if order == "facts last":
        purposes.reverse()
    for purpose in purposes:
        assert list(opened.run([place.file], purpose)) == [place.file]
    known = opened.index.get(place.file.identity)
    assert known and (known.width, known.taken) == (60, "2024-05-06T07:08:09")
    assert (known.problem, known.retry) == (crash.problem, photos.AT_START)


def have(monkeypatch: pytest.MonkeyPatch, megabytes: int, cores: int = 4) -> None:
    """Let the machine have so much memory and so many cores."""
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": megabytes * 256}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(renditions, "_group_limits", lambda *_: iter(()))


needs_memory = pytest.mark.skipif(
    not hasattr(os, "sysconf"), reason="this system tells no memory"
)


@needs_memory
@pytest.mark.parametrize(
    ("machine", "most"), [(256, 512), (1024, 614), (2048, 1024), (65536, 1024)]
)
def test_a_worker_takes_what_a_small_machine_can_do_without(
    machine: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, machine)
    assert renditions._worker_memory() >> 20 == most


@needs_memory
@pytest.mark.parametrize(
    ("machine", "cores", "workers"),
    [(256, 4, 1), (512, 4, 1), (900, 4, 2), (2048, 4, 4), (65536, 1, 1), (65536, 64, 4)],
)
def test_a_machine_has_as_many_workers_as_cores_and_memory_allow(
    machine: int, cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(monkeypatch, machine, cores)
    assert photos._count_workers() == workers


GROUPS = {
    "version 2": ("0::/user.slice/photos.service", "user.slice/memory.max"),
    "the group itself": ("0::/a/b", "a/b/memory.max"),
    "a container": ("0::/", "memory.max"),
    "version 1": (
        "5:cpu:/x\n4:memory:/docker/1\n0::/",
        "memory/docker/1/memory.limit_in_bytes",
    ),
    "a container of version 1": ("4:memory:/docker/1", "memory/memory.limit_in_bytes"),
    "several of version 1": ("4:cpu,memory:/", "memory/memory.limit_in_bytes"),
}


@needs_memory
@pytest.mark.parametrize("kind", GROUPS)
def test_the_limit_of_a_control_group_counts_as_the_memory_of_the_machine(
    kind: str, tmp_path: Path
) -> None:
    groups, (line, name) = tmp_path / "cgroup", GROUPS[kind]
    (tmp_path / "listed").write_text(line + "\n")
    limit = groups / name
    limit.parent.mkdir(parents=True)
    memory = renditions.machine_memory(tmp_path / "absent", groups)
    for text, expected in (
        (str(300 << 20), 300 << 20),
        ("max", memory),
        ("9223372036854771712", memory),
    ):
        limit.write_text(text + "\n")
        assert renditions.machine_memory(tmp_path / "listed", groups) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux weighs processes")
def test_where_memory_runs_out_the_system_ends_a_worker_first(
    tmp_path: Path, renderer: photos.Renderer
) -> None:
    assert ask(renderer, draw(tmp_path / "a.jpg")).result(20).width == 60
    weight = Path(f"/proc/{worker_pid(renderer)}/oom_score_adj")
    ours = Path("/proc/self/oom_score_adj")
    assert int(weight.read_text()) >= int(ours.read_text()) + 300


@pytest.mark.whole
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak")
@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_all_pixels_of_a_large_photo_fit_into_a_small_machine(
    suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (8064, 6048), "#336699").save(path)
    worker = photos.Worker(tmp_path / "cache")
    try:
        info = worker.develop(os.fspath(path), Purpose.FULL)
        assert worker._process is not None
        status = Path(f"/proc/{worker._process.pid}/status").read_text()
    finally:
        worker.end()
    assert not info.problem
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert int(peak) < 560 << 10
