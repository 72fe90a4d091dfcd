"""Section "Service": the server starts with the machine, by what each system has for that."""

from __future__ import annotations

import os
import plistlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import needed, set_up
from processes import PROGRAM, eventually, free_port, request, run

import photos

PROGRAMS = ("systemctl", "launchctl", "schtasks")
RECORDER = """#!/bin/sh
echo "${0##*/} $*" >> "$0.calls"
if [ -e "$0.fails" ] && echo "$*" | grep -q "$(head -n 1 "$0.fails")"; then
    tail -n 1 "$0.fails" >&2
    exit 1
fi
"""
START = ["daemon-reload", "enable photos.service", "restart photos.service"]
NAMES = [
    "Fotos",
    "Mom's Ümläut 照片",
    "a  b",
    "100% %h",
    "$HOME ${X}",
    'say "hi"',
    "a\\b; #c",
]
NAMES += ["two\nlines\t\x01", "<a & b>"]


class System:
    """Programs on the PATH that note how they are called, and fail where they are told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in PROGRAMS:
            (folder / name).write_text(RECORDER)
            (folder / name).chmod(0o755)

    def calls(self, name: str = "systemctl") -> list[str]:
        """Return how a program was called since the last time; systemctl without --user."""
        path = self.folder / f"{name}.calls"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.replace("systemctl --user ", "") for line in lines]

    def fail(self, words: str, message: str, name: str = "systemctl") -> None:
        (self.folder / f"{name}.fails").write_text(f"{words}\n{message}\n")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    programs = System(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{programs.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(photos, "STARTING_SECONDS", 0.0)
    return programs


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    return tmp_path / "home" / ".config" / "systemd" / "user" / "photos.service"


@pytest.fixture
def ready(library: Path) -> Path:
    return set_up(library, port=free_port())


def words_in(text: str) -> list[str]:
    """Return the words of a command in a unit, as systemd.service(5) has them read."""
    words: list[str] = []
    rest = text.strip()
    while rest:
        assert rest.startswith('"')
        word, rest = bytearray(), rest[1:]
        while not rest.startswith('"'):
            if rest.startswith("\\x"):
                word.append(int(rest[2:4], 16))
                rest = rest[4:]
                continue
            if rest.startswith(("\\", "%", "$")):
                assert rest[0] == "\\" or rest[1] == rest[0]
                rest = rest[1:]
            word += rest[0].encode()
            rest = rest[1:]
        words.append(os.fsdecode(bytes(word)))
        rest = rest[1:].strip()
    return words


def started_by(unit: Path) -> list[str]:
    """Return the command that a unit starts."""
    lines = unit.read_text().splitlines()
    (command,) = [line for line in lines if line.startswith("ExecStart=")]
    return words_in(command.removeprefix("ExecStart="))


def enable(library: Path, *flags: str, name: str = "enable") -> int:
    return photos.main(["--library", os.fspath(library), name, *flags], script=PROGRAM[1])


@pytest.mark.whole
def test_enable_writes_a_unit_and_starts_the_server_at_once(
    ready: Path, system: System, unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enable(ready) == 0
    assert unit.read_text() == (
        "[Unit]\nDescription=Photo albums\nStartLimitIntervalSec=0\n\n[Service]\n"
        f'Environment="PATH={os.environ["PATH"]}"\n'
        f'ExecStart="{sys.executable}" "{PROGRAM[1]}" "--library" "{ready}"'
        f' "--state" "{ready}/.photos" "serve" "--yes"\n'
        "Restart=on-failure\nRestartSec=15\nOOMPolicy=continue\nNoNewPrivileges=yes\n"
        "LockPersonality=yes\nRestrictRealtime=yes\n\n[Install]\nWantedBy=default.target\n"
    )
    assert system.calls() == START
    out = capsys.readouterr().out
    assert f"Wrote {unit}\n" in out
    assert " loginctl enable-linger\n" in out  # to be copied
    assert out.splitlines()[-1].startswith("To undo that: ")
    assert out.endswith(" disable\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_names_every_folder_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"/usr/bin:/{name}")
    words = ["/usr/bin/python3", f"/{name}/photos.pyz", "--library", name, "--state", name]
    service = photos.systemd_service(words, Path(name), "")
    path = tmp_path / "photos.service"
    path.write_bytes(service.content)
    assert started_by(path) == words
    assert service.mark in service.content
    (line,) = [line for line in path.read_text().splitlines() if "PATH" in line]
    (value,) = words_in(line.removeprefix("Environment=").replace("$", "$$"))
    assert value == f"PATH=/usr/bin:/{name}"
    path.rename(path.with_name("other.service"))
    other = photos.systemd_service(words, Path(name), "")._replace(path=tmp_path / "none")
    assert not other.is_for_us()


@pytest.mark.parametrize("name", [*NAMES, "bytes \udcff"])
def test_systemd_itself_finds_nothing_wrong_with_a_unit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = needed("systemd-analyze")
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.fspath(tmp_path))
    folder = tmp_path / name
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(sys.executable)
    words = [os.fspath(python), name, "--state", os.fspath(folder), "serve", "--yes"]
    path = tmp_path / "photos.service"
    path.write_bytes(photos.systemd_service(words, folder, "").content)
    command = [program, "verify", "--user", "--man=no", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_us = [line for line in done.stderr.splitlines() if "photos.service" in line]
    assert about_us == []


@pytest.mark.whole
def test_enabling_again_is_harmless_and_takes_the_new_paths(
    ready: Path,
    system: System,
    unit: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert enable(ready) == 0 and system.calls() == START
    first = unit.read_text()
    assert enable(ready) == 0 and system.calls() == ["stop photos.service", *START]
    assert "takes the place" not in capsys.readouterr().out
    assert unit.read_text() == first
    moved = ready.rename(tmp_path / "moved")
    capsys.readouterr()
    assert enable(moved) == 0
    assert "takes the place of another server" in capsys.readouterr().out
    assert started_by(unit)[2:] == [
        *("--library", f"{moved}"),
        *("--state", f"{moved}/.photos", "serve", "--yes"),
    ]


@pytest.mark.whole
def test_the_command_of_an_installed_package_is_started(
    ready: Path, system: System, unit: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = system.folder / "photos"
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    monkeypatch.setattr(sys, "argv", ["photos"])
    monkeypatch.chdir(tmp_path)
    state = os.path.relpath(ready / ".photos")
    assert photos.main(["--state", state, "enable"]) == 0
    assert started_by(unit) == [
        f"{installed}",
        "--state",
        f"{ready}/.photos",
        "serve",
        "--yes",
    ]


@pytest.mark.whole
def test_what_a_unit_starts_serves_the_library(library: Path, tmp_path: Path) -> None:
    """In a folder whose name has all that systemd reads in a way of its own."""
    odd = library.rename(tmp_path / 'My "100%" $HOME\\x41 ü')
    state = set_up(odd) / ".photos"
    service = photos.systemd_service(
        [*PROGRAM, "--state", f"{state}", "serve", "--yes"], state, ""
    )
    unit = tmp_path / "photos.service"
    unit.write_bytes(service.content)
    assert started_by(unit)[:-2] == [*PROGRAM, "--state", f"{state}"]
    assert run(*started_by(unit)[2:-2], "users").stdout == "anna (owner)\n"


@pytest.mark.whole
def test_a_service_with_a_tunnel_is_agreed_to_once_and_never_asks(
    ready: Path,
    system: System,
    unit: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = photos.Config(tunnel="tailscale", port=free_port())
    photos.write_config(ready / ".photos", settings)
    monkeypatch.setenv("PATH", f"{system.folder}:/usr/bin:/bin")
    if not shutil.which("tailscale"):
        assert enable(ready) == 1
        assert "The program tailscale is missing here" in capsys.readouterr().err
    (system.folder / "tailscale").symlink_to("/bin/true")
    assert enable(ready) == 1
    done = capsys.readouterr()
    assert "Strangers" in done.out and "Nothing was opened" in done.err
    assert system.calls() == [] and not unit.exists()
    assert enable(ready, "--yes") == 0
    assert started_by(unit)[-2:] == ["serve", "--yes"]
    monkeypatch.setattr(photos, "serving_version", lambda state: "0.1.0")
    monkeypatch.setattr(photos, "require_free", lambda state, port: None)
    assert enable(ready, "--yes") == 0
    assert "check says the address" in capsys.readouterr().out
    photos.TunnelNote("https://attic.example.ts.net", True, 1).write(ready / ".photos")
    assert enable(ready, "--yes") == 0
    assert "The server runs: https://attic.example.ts.net/\n" in capsys.readouterr().out


@pytest.mark.whole
def test_disable_ends_the_server_and_leaves_nothing(
    ready: Path, system: System, unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enable(ready) == 0 and system.calls()
    assert enable(ready, name="disable") == 0
    assert system.calls() == ["stop photos.service", "disable photos.service"]
    assert not unit.exists() and f"removed {unit}" in capsys.readouterr().out
    assert enable(ready, name="disable") == 0
    assert system.calls() == []
    assert capsys.readouterr().out == "It does not start with the machine.\n"


@pytest.mark.whole
def test_disable_leaves_the_server_of_another_library_alone(
    ready: Path,
    system: System,
    unit: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert enable(ready) == 0 and system.calls()
    (tmp_path / "other").mkdir()
    assert enable(tmp_path / "other", name="disable") == 1
    assert system.calls() == [] and unit.exists()
    assert f"{unit} starts the server of another state folder" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["", "--user"])
def test_only_who_has_no_session_is_advised_to_log_in(flag: str) -> None:
    script = "echo Failed to connect to bus: Host is down >&2; exit 1"
    with pytest.raises(photos.PhotosError, match="Host is down") as failure:
        photos.run_all([["sh", "-c", script, flag]])
    assert ("not with su or sudo" in str(failure.value)) == (flag == "--user")


@pytest.mark.whole
@pytest.mark.parametrize("step", ["daemon-reload", "enable", "restart"])
def test_where_systemd_fails_one_sentence_says_so_and_nothing_is_changed(
    step: str, ready: Path, system: System, unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    system.fail(f"{step}", "Failed to connect to bus: No medium found")
    assert enable(ready) == 1
    err = capsys.readouterr().err
    assert err.startswith("photos: systemctl --user") and err.count("\n") == 1
    assert "No medium found" in err and "not with su or sudo" in err
    assert not unit.exists()
    assert system.calls()[-1] == "disable photos.service"
    unit.write_text("as it was before")
    assert enable(ready) == 1
    assert unit.read_text() == "as it was before"


@pytest.mark.whole
def test_where_systemd_fails_disable_keeps_the_file(
    ready: Path, system: System, unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enable(ready) == 0
    system.fail("disable", "Access denied")
    assert enable(ready, name="disable") == 1
    assert unit.exists() and "Access denied" in capsys.readouterr().err


@pytest.mark.whole
def test_a_machine_without_systemd_is_told_so(
    ready: Path,
    system: System,
    unit: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", os.fspath(ready))
    assert enable(ready) == 1
    assert capsys.readouterr().err.startswith("photos: This machine has no systemctl")
    assert not unit.exists()


@pytest.mark.whole
def test_a_server_that_runs_already_is_not_joined_by_a_second(
    ready: Path, system: System, unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        photos.write_config(ready / ".photos", photos.Config(port=port))
        assert enable(ready) == 1
    assert f"Port {port} cannot be used" in capsys.readouterr().err
    photos.announce(ready / ".photos", "photos 0")
    lock = photos.try_lock(ready / ".photos" / "cache" / "serving.lock")
    assert lock is None, "the note holds as long as this process"
    assert enable(ready) == 1
    assert "The server runs already. Stop it first" in capsys.readouterr().err
    assert system.calls() == [] and not unit.exists()


def test_root_is_refused_unless_the_whole_machine_is_meant(
    library: Path,
    system: System,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("enable", "disable"):
        assert enable(library, "--system", name=name) == 1
        assert "Put sudo in front" in capsys.readouterr().err
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("enable", "disable"):
        assert enable(library, name=name) == 1
        assert "You are root" in capsys.readouterr().err
    assert not (library / ".photos").exists() and system.calls() == []


@pytest.mark.whole
def test_the_unit_of_the_whole_machine_runs_as_the_owner_of_the_state_folder(
    ready: Path, system: System
) -> None:
    account = photos.account_name((ready / ".photos").stat().st_uid)
    assert account == ready.owner()
    service = photos.service_of(
        ["/usr/bin/python3", "serve", "--yes"], ready / ".photos", account
    )
    assert service.path == Path("/etc/systemd/system/photos.service")
    assert f"\nUser={account}\n".encode() in service.content
    assert b"\nWantedBy=multi-user.target\n" in service.content
    assert service.start[-1] == ["systemctl", "restart", "photos.service"]


@pytest.mark.whole
def test_check_says_whether_it_runs_and_starts_with_the_machine(
    ready: Path, system: System, unit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines() -> str:
        capsys.readouterr()
        assert enable(ready, name="check") == 0
        return capsys.readouterr().out

    assert "The server does not run.\nIt does not start with the machine." in lines()
    assert enable(ready) == 0
    assert "It starts with the machine, once you log in" in lines()
    unit.write_text("[Service]\nExecStart=/usr/bin/python3 /else/photos.pyz\n")
    shown = lines()
    assert f"{unit} starts the server of another state folder." in shown
    assert "It does not start with the machine." in shown
    photos.announce(ready / ".photos", "photos 0")
    assert "The server runs.\n" in lines()


LAUNCHER = """#!{python}
import os, shlex, signal, subprocess, sys
note = sys.argv[0] + ".pid"
if "restart" in sys.argv:
    unit = open({unit!r}).read().partition("ExecStart=")[2].partition("\\n")[0]
    process = subprocess.Popen(shlex.split(unit), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(process.pid, file=open(note, "w"))
if "stop" in sys.argv and os.path.exists(note):
    os.kill(int(open(note).read()), signal.SIGTERM)
    os.remove(note)
"""


@pytest.mark.whole
def test_enable_starts_a_server_that_answers_and_disable_ends_it(
    ready: Path,
    system: System,
    unit: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By a stand-in that starts what the unit says."""
    program = system.folder / "systemctl"
    program.write_text(LAUNCHER.format(python=sys.executable, unit=os.fspath(unit)))
    monkeypatch.setattr(photos, "STARTING_SECONDS", 30.0)
    settings = photos.read_config(ready / ".photos")
    assert settings
    try:
        for _ in range(2):
            assert enable(ready) == 0
            address = f"http://127.0.0.1:{settings.port}/"
            assert f"The server runs: {address}\n" in capsys.readouterr().out
            assert eventually(lambda: request(settings.port, "/healthz"))[0] == 200
        assert enable(ready, name="disable") == 0
        eventually(lambda: not photos.serving_version(ready / ".photos"))
    finally:
        subprocess.run([program, "--user", "stop"], check=False)
    assert not unit.exists()


@pytest.mark.whole
def test_nothing_is_asked_where_there_is_no_terminal(
    ready: Path, system: System, unit: Path
) -> None:
    """As root, who is refused, and as anybody else."""
    status = 0
    if os.getuid() == 0:
        status = 1
    done = run("--library", ready, "enable")
    assert done.returncode == status and "Traceback" not in done.stderr
    assert unit.exists() == (status == 0)


@pytest.mark.whole
def test_check_goes_on_where_nobody_knows_the_account_and_no_system_takes_the_folder(
    library: Path,
    system: System,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in a container that runs as any number; and with a line break in a name, on macOS."""
    odd = set_up(library.rename(library.with_name("two\nlines")))
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999)
    for platform in ("linux", "darwin"):
        monkeypatch.setattr(sys, "platform", platform)
        assert enable(odd, name="check") == 0
        assert "It does not start with the machine." in capsys.readouterr().out
    assert photos.when_it_starts("") and photos.account_name(3_999_999) == "3999999"


# macOS and Windows


@pytest.fixture
def on_mac(system: System, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    monkeypatch.setattr(sys, "platform", "darwin")
    yield system


@pytest.mark.whole
def test_on_macos_it_is_an_agent(ready: Path, on_mac: System, tmp_path: Path) -> None:
    path = tmp_path / "home" / "Library" / "LaunchAgents" / "photos.plist"
    assert enable(ready) == 0
    assert plistlib.loads(path.read_bytes()) == {
        "Label": "photos",
        "ProgramArguments": [
            *PROGRAM,
            *("--library", f"{ready}", "--state", f"{ready}/.photos", "serve", "--yes"),
        ],
        "EnvironmentVariables": {"PATH": os.environ["PATH"]},
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
    }
    domain = f"gui/{os.getuid()}"
    bootstrap = f"launchctl bootstrap {domain} {path}"
    assert on_mac.calls("launchctl") == [bootstrap]
    on_mac.fail("bootout", "Boot-out failed: 3: No such process", "launchctl")
    assert enable(ready) == 0
    assert on_mac.calls("launchctl") == [f"launchctl bootout {domain}/photos", bootstrap]
    assert enable(ready, name="disable") == 0
    assert on_mac.calls("launchctl") == [f"launchctl bootout {domain}/photos"]
    assert not path.exists()


@pytest.mark.parametrize("name", [name for name in NAMES if name.isprintable()])
def test_an_agent_and_a_task_name_every_folder_as_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        f"/{name}/python",
        f"/{name}/photos.pyz",
        "--state",
        f"/{name}",
        "serve",
        "--yes",
    ]
    agent = photos.launchd_service(words, Path(f"/{name}"), "anna")
    settings = plistlib.loads(agent.content)
    assert settings["ProgramArguments"] == words and settings["UserName"] == "anna"
    assert agent.path == Path("/Library/LaunchDaemons/photos.plist")
    assert agent.mark in agent.content

    monkeypatch.setenv("USERDOMAIN", "HOME & CO")
    monkeypatch.setenv("USERNAME", "anna")
    task = photos.windows_service(words, Path(f"/{name}"))
    root = ElementTree.fromstring(task.content)
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert root.find(f".//{space}Command").text == words[0]
    assert root.find(f".//{space}Arguments").text == subprocess.list2cmdline(words[1:])
    users = [user.text for user in root.iter(f"{space}UserId")]
    assert users == ["HOME & CO\\anna"] * 2
    assert task.mark in task.content
    assert task.content.decode("utf-16").startswith(
        '<?xml version="1.0" encoding="UTF-16"?>'
    )


@pytest.mark.parametrize("name", ["two\nlines", "bytes \udcff", "a\rb"])
@pytest.mark.parametrize("make", [photos.launchd_service, photos.windows_service])
def test_what_xml_cannot_hold_is_refused_in_one_sentence(
    name: str, make: Callable[..., photos.Service]
) -> None:
    account = [""] if make is photos.launchd_service else []
    with pytest.raises(photos.PhotosError, match="Rename that folder"):
        make(["/usr/bin/python3", name, "--state", name], Path(name), *account)


@pytest.mark.whole
def test_a_task_is_made_run_ended_and_deleted_by_name(system: System, ready: Path) -> None:
    state = ready / ".photos"
    task = photos.windows_service(["py", "--state", f"{state}"], state)
    photos.start_with_machine(task, state, free_port())
    create = f"schtasks /create /tn photos /xml {state}/task.xml /f"
    assert system.calls("schtasks") == [create, "schtasks /run /tn photos"]
    assert task.is_for_us()
    photos.start_no_longer(task)
    assert system.calls("schtasks") == [
        "schtasks /end /tn photos",
        "schtasks /delete /tn photos /f",
    ]
    assert not task.path.exists()
