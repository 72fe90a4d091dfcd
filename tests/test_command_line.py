"""Section "Command line": commands, exit statuses, the dialogue of the first run."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import HOME, set_up
from drawing import draw
from processes import Command, Done, Server, Terminal, free_port, run
from visiting import PASSWORD

import photos

COMMANDS = tuple("serve init register passwd owner remove users index check".split())
OF_ONE_USER = ("register", "passwd", "owner", "remove")
QUESTIONS = {
    "library": "Which folder holds your albums?",
    "title": "What should the site be called?",
    "port": "Which port may it use?",
    "tunnel": "Shall people outside your home reach it?",
    "host": "May other devices on your network open it?",
    "public_address": "Its public address, if there is a tunnel or proxy of yours?",
}
FIRST_QUESTIONS = [QUESTIONS[name] for name in ("library", "title", "tunnel", "host")]


@pytest.fixture
def command(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs a command in this process, in the library's folder and without a terminal."""
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    monkeypatch.setattr(photos, "SETTLE_SECONDS", 0)
    monkeypatch.chdir(library)

    def run_it(*arguments: str | Path, stdin: str = "") -> Done:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            status = photos.main([os.fspath(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        return Done(status, *capsys.readouterr())

    yield run_it


@pytest.fixture
def ready(command: Command, library: Path) -> Path:
    """The library after the first run, with the user anna, who is the owner."""
    assert command("init").status == 0
    assert command("register", "anna", "--password-stdin", stdin=PASSWORD).status == 0
    return library


def settings(library: Path) -> photos.Config:
    found = photos.read_config(library / ".photos")
    assert found
    return found


def says_on_one_line(done: Done, *words: str) -> bool:
    """Whether a command failed as it should: status 1, one line on stderr with these words."""
    assert done.status == 1, done
    assert done.err.startswith("photos: ") and done.err.count("\n") == 1, done.err
    return all(word in done.err for word in words)


# Usage


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command_and_nothing_internal(command: Command, flag: str) -> None:
    done = command(flag)
    assert done.status == 0 and done.err == ""
    listed = [line.split()[0] for line in done.out.splitlines() if line.startswith("    ")]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)
    assert "worker" not in done.out.lower()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_says_what_it_does_and_takes(command: Command, name: str) -> None:
    done = command(name, "--help")
    assert done.status == 0
    text = " ".join(done.out.split())
    assert photos.COMMANDS[name].__doc__ in text
    assert "--library" in text and "--state" in text
    flags = [
        "--title",
        "--port",
        "--host",
        "--public-address",
        "--trusted-proxy",
        "--follow-symlinks",
    ]
    assert [flag for flag in flags if flag in text] == (
        flags if name in ("serve", "init") else []
    )
    assert (" USER" in text) == (name in OF_ONE_USER)
    assert ("--password-stdin" in text) == (name in ("register", "passwd"))
    assert (" --owner " in text) == (name == "register")
    assert (" --as WHO " in text) == (name == "check")


def test_version_names_the_version(command: Command) -> None:
    done = command("--version")
    assert done.status == 0 and photos.__version__ in done.out


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "serve nonsense",
        "serve --nonsense",
        "init --po 8080",
        "register",
        "passwd",
        "remove",
        "owner",
        "owner anna --password-stdin",
        "remove anna --password-stdin",
        "users anna",
        "check --port 8080",
        "--library",
        "users --state",
    ],
)
def test_wrong_usage_ends_with_status_2(command: Command, library: Path, line: str) -> None:
    done = command(*line.split())
    assert done.status == 2 and done.out == ""
    assert done.err.startswith("usage: photos") and "error:" in done.err
    assert not (library / ".photos").exists()


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", "serve"),
        ("--port 1", "serve --port 1"),
        ("--library A", "--library A serve"),
        ("--library=A --state B --title C", "--library=A --state B serve --title C"),
        ("users", "users"),
        ("--state B users", "--state B users"),
        ("--help", "--help"),
        ("--library A --version", "--library A --version"),
    ],
)
def test_no_command_means_serve(given: str, meant: str) -> None:
    assert photos.with_command(given.split()) == meant.split()


@pytest.mark.parametrize(
    "line",
    [
        "--library {0} --state {1} register bob --password-stdin",
        "register --library {0} --state {1} bob --password-stdin",
        "--state={1} register bob --password-stdin --library={0}",
        "--library nowhere register bob --password-stdin --library {0} --state {1}",
    ],
)
def test_library_and_state_go_before_and_after_the_command(
    command: Command, library: Path, tmp_path: Path, line: str
) -> None:
    state = tmp_path / "elsewhere"
    assert command("init", "--library", library, "--state", state).status == 0
    done = command(*line.format(library, state).split(), stdin=PASSWORD)
    assert done.status == 0, done.err
    assert photos.UserStore(state).names() == ["bob"]
    assert not (library / ".photos").exists()


def test_state_elsewhere_remembers_its_library(
    command: Command, library: Path, tmp_path: Path
) -> None:
    state = tmp_path / "home" / "photos-state"
    assert command("--state", state, "init").status == 0
    assert photos.read_config(state).library == str(library)
    assert (
        "Everybody finds 2 albums with 4 photos" in command("check", "--state", state).out
    )
    other = tmp_path / "other"
    draw(other / "alone.jpg")
    assert "with 1 photo" in command("check", "--state", state, "--library", other).out


def test_a_library_whose_path_is_not_utf_8_can_be_set_up(
    command: Command, tmp_path: Path
) -> None:
    library, state = tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "elsewhere"
    draw(library / "one.jpg")
    done = command("init", "--library", library, "--state", state)
    assert done.status == 0, done.err
    assert photos.read_config(state) == photos.Config(library=os.fspath(library))


def test_a_library_that_was_moved_is_named_anew(
    command: Command, library: Path, tmp_path: Path
) -> None:
    state = tmp_path / "elsewhere"
    assert command("--library", library, "--state", state, "init").status == 0
    moved = library.rename(tmp_path / "moved")
    done = command("check", "--state", state)
    assert says_on_one_line(done, os.fspath(library), "disk", "--library")
    assert command("check", "--state", state, "--library", moved).status == 0
    assert says_on_one_line(command("init", "--state", state), os.fspath(library))
    assert command("init", "--state", state, "--library", moved).status == 0
    assert command("check", "--state", state).status == 0


# Mistakes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("init --library no/such/folder", "no/such/folder"),
        ("check --library no/such/folder", "no/such/folder"),
        ("users --state loose.jpg", "loose.jpg"),
        ("init --state loose.jpg/state", "loose.jpg/state"),
        ("init --port 0", "--port 65535"),
        ("init --port http", "--port 65535"),
        ("init --public-address ftp://example.org", "--public-address https://"),
        ("init --follow-symlinks perhaps", "--follow-symlinks yes no"),
        ("init --title", "--title"),
        ("register anna --password-stdin", "anna passwd"),
        ("register two\tnames --password-stdin", "user name"),
        ("register bob", "--password-stdin"),
        ("passwd anna", "--password-stdin"),
        ("passwd nobody --password-stdin", "nobody photos users"),
        ("owner nobody", "nobody photos users"),
        ("remove nobody", "nobody photos users"),
        ("check --as nobody", "nobody photos check"),
    ],
)
def test_a_mistake_gets_one_line_and_changes_nothing(
    command: Command, ready: Path, line: str, words: str
) -> None:
    def state() -> dict[Path, bytes]:
        files = (
            path for path in ready.rglob("*") if path.is_file() and path.suffix != ".lock"
        )
        return {path: path.read_bytes() for path in files}

    before = state()
    arguments = line.split(" ")
    done = command(
        *arguments, *([""] if arguments[-1] == "--title" else []), stdin=PASSWORD
    )
    assert says_on_one_line(done, *words.split())
    assert state() == before


@pytest.mark.parametrize("name", [*OF_ONE_USER, "users", "index", "check"])
def test_a_command_before_the_first_run_says_how_to_start(
    command: Command, library: Path, name: str
) -> None:
    user = ["anna"] if name in OF_ONE_USER else []
    done = command(name, *user, stdin=PASSWORD)
    assert says_on_one_line(done, os.fspath(library / ".photos"), "--library")
    assert not (library / ".photos").exists()


@pytest.mark.parametrize("password", ["", "\n", "short\n", "7 bytes", "long" * 65])
@pytest.mark.parametrize("name", ["register bob", "passwd anna"])
def test_a_password_of_the_wrong_length_is_refused(
    command: Command, ready: Path, name: str, password: str
) -> None:
    users = (ready / ".photos" / "users.json").read_bytes()
    assert says_on_one_line(
        command(*name.split(), "--password-stdin", stdin=password), "8 to 256"
    )
    assert (ready / ".photos" / "users.json").read_bytes() == users


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "damaged"),
        ('{"version": 1, "title": "cut', "damaged"),
        ("\x00" * 50, "damaged"),
        ("[]", "damaged"),
        ('{"title": "Ours"}', "version"),
        ('{"version": 2, "title": "Ours"}', "newer"),
        ('{"version": 1, "port": "many"}', '"port"'),
        ('{"version": 1, "port": {}}', '"port"'),
    ],
)
def test_a_damaged_config_json_is_named_and_left_alone(
    command: Command, ready: Path, content: str, word: str
) -> None:
    path = ready / ".photos" / "config.json"
    path.write_text(content)
    for line in (
        "init --title New",
        "users",
        "register bob --password-stdin",
        "check",
        "index",
    ):
        assert says_on_one_line(
            command(*line.split(), stdin=PASSWORD), os.fspath(path), word
        ), line
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "damaged"),
        ('{"version": 1, "users": {"anna"', "damaged"),
        ('{"version": 2, "users": {}}', "newer"),
        ('{"version": 1, "users": []}', "damaged"),
        ('{"version": 1, "users": {"anna": {"password": 5, "epoch": "1"}}}', "damaged"),
    ],
)
def test_a_damaged_users_json_is_named_and_left_alone(
    command: Command, ready: Path, content: str, word: str
) -> None:
    path = ready / ".photos" / "users.json"
    path.write_text(content)
    for line in (
        "users",
        "remove anna",
        "register bob --password-stdin",
        "passwd anna --password-stdin",
    ):
        assert says_on_one_line(
            command(*line.split(), stdin=PASSWORD), os.fspath(path), word
        ), line
    assert path.read_text() == content
    checked = command("check")
    assert checked.status == 0
    assert "Nobody can log in" in checked.out and os.fspath(path) in checked.out


def test_a_state_file_that_cannot_be_opened_is_named(command: Command, ready: Path) -> None:
    users = ready / ".photos" / "users.json"
    users.unlink()
    users.mkdir()
    done = command("remove", "anna")
    assert says_on_one_line(done, os.fspath(users), os.strerror(errno.EISDIR))


@pytest.mark.whole
def test_a_damaged_secret_key_and_a_taken_port_stop_the_server_with_one_line(
    ready: Path,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port, cwd=ready)
        assert says_on_one_line(
            Done(done.returncode, done.stdout, done.stderr), port, "--port"
        )
        assert "runs already" not in done.stderr
        photos.announce(ready / ".photos", "photos 0")
        done = run("serve", "--port", port, cwd=ready)
        assert "The server of these albums runs already." in done.stderr
    (ready / ".photos" / "secret.key").write_bytes(b"cut")
    done = run("serve", "--port", str(free_port()), cwd=ready)
    assert says_on_one_line(
        Done(done.returncode, done.stdout, done.stderr), "secret.key", "Delete"
    )


@pytest.mark.whole
def test_a_library_that_is_gone_is_named(ready: Path, tmp_path: Path) -> None:
    state = shutil.move(ready / ".photos", tmp_path / "state")
    done = run("serve", "--state", state, "--library", tmp_path / "unplugged")
    assert says_on_one_line(Done(done.returncode, done.stdout, done.stderr), "unplugged")
    assert not (tmp_path / "unplugged").exists()


# Users


def test_register_passwd_remove_and_users_change_who_may_log_in(
    command: Command, ready: Path
) -> None:
    users = photos.UserStore(ready / ".photos")
    assert (
        command(
            "register", "Éva", "--password-stdin", stdin=" spaces and ümlauts \r\nrest"
        ).status
        == 0
    )
    assert command("users").out == "anna (owner)\néva\n"
    assert users.verify("éva", photos.parse_password(" spaces and ümlauts "))

    epoch = users.epoch("anna")
    done = command("passwd", "ANNA", "--password-stdin", stdin="another password\n")
    assert done.status == 0 and "anna" in done.out
    assert users.epoch("anna") != epoch
    assert users.verify("anna", b"another password") and not users.verify(
        "anna", PASSWORD.encode()
    )

    assert says_on_one_line(command("remove", "Anna"), "only owner", "owner NAME")
    assert command("owner", "Éva").out == "éva is an owner now.\n"
    assert command("users").out == "anna (owner)\néva (owner)\n"
    assert command("remove", "Anna").status == 0
    assert command("users").out == "éva (owner)\n" and users.epoch("anna") is None


def test_passwords_are_never_shown(command: Command, ready: Path) -> None:
    for line in ("register bob", "passwd anna"):
        done = command(*line.split(), "--password-stdin", stdin="tell nobody this")
        assert done.status == 0 and "tell nobody" not in done.out + done.err


# Index and check


@pytest.mark.whole
def test_index_makes_every_rendition_and_names_each_skipped_file(
    command: Command, ready: Path
) -> None:
    (ready / "Trip" / "letter.jpg").write_text("Dear photo,")
    (ready / "Secret.private" / "empty.png").touch()
    originals = {
        path: (path.stat(), path.read_bytes())
        for path in ready.rglob("*.*")
        if path.is_file()
    }
    first = command("index")
    assert first.status == 0 and first.err == ""
    assert "All done: 8 photos, 0 videos." in first.out
    thumbnails = first.out.index("Making thumbnails of 6 files")
    assert thumbnails < first.out.index("Making previews of 6 files")
    assert "  Trip/letter.jpg: its content is not a picture" in first.out
    assert "  Secret.private/empty.png: the file is empty" in first.out

    renditions = ready / ".photos" / "cache" / photos.RENDITIONS_FOLDER
    made = sorted(path.name for path in renditions.rglob("*.webp"))
    assert len(made) == 6 * 2  # narrow photos: one thumbnail, one preview
    second = command("index")
    assert "Making" not in second.out and "Reading" not in second.out
    assert "Trip/letter.jpg" in second.out
    shutil.rmtree(ready / ".photos" / "cache")
    assert command("index").status == 0
    assert sorted(path.name for path in renditions.rglob("*.webp")) == made
    for path, (found, content) in originals.items():
        if ".photos" not in path.parts:
            now = path.stat()
            assert (now.st_ino, now.st_mtime_ns, now.st_ctime_ns) == (
                found.st_ino,
                found.st_mtime_ns,
                found.st_ctime_ns,
            )
            assert path.read_bytes() == content


@pytest.mark.whole
def test_index_leaves_what_a_running_server_has_rendered_meanwhile(
    command: Command, ready: Path
) -> None:
    assert command("index").status == 0
    cache = ready / ".photos" / "cache"
    new = cache / photos.RENDITIONS_FOLDER / "aa" / "aa0123456789-320.webp"
    new.parent.mkdir(exist_ok=True)
    new.write_bytes(b"of a photo that only the server has read")
    lock = photos.try_lock(cache / "serving.lock")
    assert lock is not None
    (cache / "serving").write_text("photos")
    assert command("index").status == 0
    assert new.exists()
    os.close(lock)
    assert command("index").status == 0
    assert not new.exists()


@pytest.mark.parametrize(
    ("seconds", "expected"), [(10, "1/4, about 30 s left"), (100, "1/4, about 5 min left")]
)
def test_the_estimate_goes_by_what_was_done(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: str
) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", screen)
    photos.show_progress(1, 4, time.monotonic() - seconds)
    assert expected in screen.getvalue()


def test_check_says_what_each_kind_of_visitor_reaches(
    command: Command, ready: Path
) -> None:
    command("register", "ben", "--password-stdin", stdin=PASSWORD)
    draw(ready / "For us.private+anna" / "us.jpg")
    draw(ready / "Drafts.hidden" / "Inner" / "deep.jpg")
    draw(ready / "Trip" / "写真.private" / "face.jpg")
    lines = command("check").out.splitlines()
    assert "Everybody finds 2 albums with 4 photos and 0 videos." in lines
    assert "anna finds 7 albums with 9 photos and 0 videos." in lines
    assert "ben finds 6 albums with 8 photos and 0 videos." in lines
    assert (
        "Unlisted, but open to anyone with the link: Drafts.hidden, Drafts.hidden/Inner."
        in lines
    )
    assert "Open to users alone: Secret.private, Trip/写真.private." in lines
    assert "Open to the owner and anna alone: For us.private+anna." in lines
    assert "Users: anna (owner), ben." in lines
    assert f"photos {photos.__version__}, Python" in lines[0]
    assert any(line.startswith("HEIC") for line in lines) and any(
        "posters" in line for line in lines
    )
    assert any(
        re.fullmatch(r"Not read yet: 9 files\. To do it now: photos .*index", line)
        for line in lines
    )


@pytest.mark.whole
def test_check_names_skipped_files_with_the_reason(command: Command, ready: Path) -> None:
    (ready / "Trip" / "letter.jpg").write_text("Dear photo,")
    command("index")
    out = command("check").out
    assert "  Trip/letter.jpg: its content is not a picture" in out
    assert "not read yet" not in out


def test_check_says_which_state_files_others_can_read(
    command: Command, ready: Path
) -> None:
    state = ready / ".photos"
    assert "others can read" not in command("check").out
    os.chmod(state / "users.json", 0o644)
    said = command("check").out.splitlines()
    users = state / "users.json"
    assert f"{users}: others can read it. To end that: chmod 600 {users}" in said
    assert f"{state}: only you can read it." in said


def test_check_says_when_the_whole_library_is_private(
    command: Command, library: Path
) -> None:
    private = library.rename(library.with_name("Album.private"))
    command("init", "--library", private)
    done = command("check", "--library", private)
    assert "Everybody finds 2 albums" not in done.out
    assert "Open to users alone: " in done.out and "the whole library" in done.out


def test_check_names_copies_whose_name_no_longer_ends_with_private(
    library: Path, command: Command
) -> None:
    (library / "Secret.private copy").mkdir()
    assert command("init").status == 0
    said = command("check").out.splitlines()
    reason = "only the owner can open it, since “.private copy” is not understood"
    better = "To mend that, rename it to Secret copy.private"
    assert f"Secret.private copy: {reason}. {better}" in said
    assert "Open to the owner alone: Secret.private copy." in said


@pytest.mark.whole
def test_output_survives_a_terminal_that_cannot_write_every_letter(ready: Path) -> None:
    draw(ready / "写真.private" / "face.jpg")
    done = run(
        "check",
        cwd=ready,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        encoding="latin-1",
    )
    assert done.returncode == 0, done.stderr
    assert "Open to users alone: Secret.private" in done.stdout


# Without a terminal


def test_the_first_run_without_a_terminal_takes_flags_and_says_how_to_register(
    command: Command, library: Path
) -> None:
    done = command(
        "init", "--title", "  Our   photos ", "--port", "8123", "--host", "0.0.0.0"
    )
    assert done.status == 0 and done.err == ""
    assert "register NAME" in done.out and "?" not in done.out
    expected = photos.Config(title="Our photos", port=8123, host="0.0.0.0")
    assert settings(library) == expected
    written = json.loads((library / ".photos" / "config.json").read_text())
    assert written == {**dataclasses.asdict(expected), "version": 1}
    command("init", "--title", "New")
    assert settings(library) == dataclasses.replace(expected, title="New")


@pytest.mark.whole
@pytest.mark.parametrize("words", [["index"], ["check"], ["users"]])
def test_a_library_that_is_named_needs_no_first_run(
    words: list[str], library: Path, tmp_path: Path, command: Command
) -> None:
    state = tmp_path / "state"
    assert command("--library", library, "--state", state, *words).status == 0
    assert photos.read_config(state).library == str(library)
    assert command("--state", state, *words).status == 0
    assert command("--state", tmp_path / "none", *words).status == 1


def test_state_files_are_for_the_owner_alone(ready: Path) -> None:
    state = ready / ".photos"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    for name in ("config.json", "users.json", "secret.key"):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600


@pytest.mark.whole
def test_without_a_terminal_nothing_waits_for_an_answer(ready: Path) -> None:
    reading, writing = os.pipe()  # nobody ever writes
    try:
        statuses = {
            line: run(*line.split(), stdin=reading, cwd=ready).returncode
            for line in ("init", "register bob", "passwd anna", "users", "check")
        }
    finally:
        os.close(reading)
        os.close(writing)
    assert statuses == {
        "init": 0,
        "register bob": 1,
        "passwd anna": 1,
        "users": 0,
        "check": 0,
    }


@pytest.mark.whole
def test_the_first_start_without_a_terminal_and_command_serves(library: Path) -> None:
    with Server(library, "--title", "Of the flag", command=()) as server:
        assert b"<title>Of the flag</title>" in server.get("/")[2]
        assert f"  {server.address}/\n" in server.output
        assert "register NAME" in server.output
    assert settings(library) == photos.Config(title="Of the flag", port=server.port)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, ["http://127.0.0.1:8080/"]),
        ({"host": "::1", "port": 81}, ["http://[::1]:81/"]),
        (
            {"public_address": "https://example.org/pics"},
            ["http://127.0.0.1:8080/pics/", "https://example.org/pics/"],
        ),
    ],
)
def test_the_addresses_to_open_have_port_and_prefix(
    chosen: dict[str, object], expected: list[str]
) -> None:
    assert photos.addresses(photos.Config(**chosen)) == expected


# At a terminal


@pytest.mark.whole
def test_the_first_run_asks_explains_wrong_answers_and_serves(library: Path) -> None:
    port = free_port()
    with Terminal("--port", str(port), folder=library) as terminal:
        terminal.answer(
            (f"{QUESTIONS['library']} [{library}] ", "no/such/folder"),
            (f"There is no folder {library}/no/such/folder\n{QUESTIONS['library']}", ""),
            (f"{QUESTIONS['title']} [Photos] ", "x" * 201),
            (f"1 to 200 characters.\n{QUESTIONS['title']}", "Our photos"),
            (QUESTIONS["tunnel"], "perhaps"),
            (f"or tailscale.\n{QUESTIONS['tunnel']}", ""),
            (QUESTIONS["host"], "perhaps?"),
            (f"this machine).\n{QUESTIONS['host']}", "no"),
            ("Your user name?", "two words"),
            ("no spaces.\nYour user name?", "Anna"),
            ("Password: ", "short"),
            ("easy to remember.\nPassword: ", PASSWORD),
            ("The same again: ", PASSWORD + "?"),
        )
        terminal.expect("two different passwords.\n")
        terminal.expect("Password: ")
        assert not (library / ".photos").exists()
        terminal.type(PASSWORD)
        terminal.answer(("The same again: ", PASSWORD))
        terminal.expect("Ctrl-C stops it.")
        assert f"http://127.0.0.1:{port}/" in terminal.screen
        assert PASSWORD not in terminal.screen
        terminal.press(b"\x03")
        assert terminal.end() == 0
    expected = photos.Config(title="Our photos", port=port)
    assert settings(library) == expected
    users = photos.UserStore(library / ".photos")
    assert users.verify("anna", PASSWORD.encode())
    assert users.has_owner() and users.is_owner("anna")


@pytest.mark.whole
def test_the_second_run_asks_nothing(ready: Path) -> None:
    with Terminal("--port", str(free_port()), folder=ready) as terminal:
        terminal.expect("Ctrl-C stops it.")
        assert "?" not in terminal.screen
        terminal.press(b"\x03")
        assert terminal.end() == 0


def press_enter_until(
    terminal: Terminal, question: str, questions: Sequence[str] = FIRST_QUESTIONS
) -> None:
    """Take what is offered, question after question, up to one."""
    for each in (*questions, "Your user name?"):
        terminal.expect(each)
        terminal.expect("] ")
        if each == question:
            return
        terminal.type("")


@pytest.mark.whole
@pytest.mark.parametrize(
    ("step", "key"),
    [
        (QUESTIONS["library"], b"\x04"),
        (QUESTIONS["host"], b"\x03"),
        ("Password: ", b"\x04"),
        ("again: ", b"\x03"),
    ],
    ids=[
        "EOF at the first question",
        "Ctrl-C at the last",
        "EOF at the password",
        "Ctrl-C at its repetition",
    ],
)
def test_leaving_the_first_run_leaves_nothing_behind(
    library: Path, step: str, key: bytes
) -> None:
    before = sorted(library.rglob("*"))
    with Terminal("init", "--port", str(free_port()), folder=library) as terminal:
        if step in FIRST_QUESTIONS:
            press_enter_until(terminal, step)
        else:
            press_enter_until(terminal, "Your user name?")
            terminal.type("")
            terminal.expect("Password: ")
            if step == "again: ":
                terminal.type(PASSWORD)
                terminal.expect(step)
        terminal.press(key)
        assert terminal.end() == 1
        assert "Traceback" not in terminal.screen
    assert sorted(library.rglob("*")) == before


@pytest.mark.whole
def test_init_presents_the_present_answers_and_enter_keeps_them(ready: Path) -> None:
    chosen = photos.Config(
        title="Unsere Fotos",
        port=free_port(),
        host="::1",
        public_address="https://example.org/fotos",
        trusted_proxy="127.0.0.2",
        follow_symlinks=True,
    )
    for config, open_to_others in (
        (chosen, "no"),
        (dataclasses.replace(chosen, host="0.0.0.0"), "yes"),
        (dataclasses.replace(chosen, host="192.0.2.7"), "yes"),
    ):
        photos.write_config(ready / ".photos", config)
        shown = [
            os.fspath(ready),
            config.title,
            str(config.port),
            "no",
            open_to_others,
            config.public_address,
        ]
        with Terminal("init", folder=ready) as terminal:
            for question, answer in zip(QUESTIONS.values(), shown, strict=True):
                terminal.expect(question)
                terminal.expect(f"[{answer}] ")
                terminal.type("")
            assert terminal.end() == 0
            assert "user name" not in terminal.screen
        assert settings(ready) == config


@pytest.mark.whole
def test_init_beside_the_running_server_keeps_its_port(ready: Path) -> None:
    with Server(ready) as server:
        photos.write_config(ready / ".photos", photos.Config(port=server.port))
        with Terminal("init", folder=ready) as terminal:
            terminal.answer(*((question, "") for question in QUESTIONS.values()))
            assert terminal.end() == 0
    assert settings(ready).port == server.port


@pytest.mark.whole
def test_a_password_left_out_registers_nobody(library: Path) -> None:
    with Terminal("init", "--port", str(free_port()), folder=library) as terminal:
        press_enter_until(terminal, "Your user name?")
        terminal.type("")
        terminal.answer(("Password: ", ""))
        terminal.expect("register NAME")
        assert terminal.end() == 0
    assert photos.UserStore(library / ".photos").names() == []


@pytest.mark.whole
def test_answers_of_the_first_run_go_before_flags(library: Path) -> None:
    flags = ("--port", str(free_port()), "--title", "Flagged", "--host", "127.0.0.1")
    with Terminal("serve", *flags, folder=library) as terminal:
        press_enter_until(terminal, QUESTIONS["title"])
        assert "[Flagged]" in terminal.screen
        terminal.type("Answered")
        terminal.answer(
            (QUESTIONS["tunnel"], ""), (f"{QUESTIONS['host']} (yes or no) [no]", "")
        )
        terminal.answer(("Your user name?", ""), ("Password: ", ""))
        terminal.expect("Ctrl-C stops it.")
    assert settings(library).title == "Answered"


@pytest.mark.whole
def test_the_port_is_asked_for_where_it_is_taken(library: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, other = taken.getsockname()[1], free_port()
        with Terminal("init", "--port", str(port), folder=library) as terminal:
            press_enter_until(terminal, QUESTIONS["title"])
            terminal.type("")
            terminal.answer(
                (f"{QUESTIONS['port']} [{port}] ", ""),
                (f"Port {port} cannot be used", "99999"),
                ("1 to 65535.\n", str(other)),
                (QUESTIONS["tunnel"], ""),
                (QUESTIONS["host"], ""),
                ("Your user name?", ""),
                ("Password: ", ""),
            )
            assert terminal.end() == 0
    assert settings(library).port == other


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_stream_that_is_closed_holds_nothing_and_takes_everything(
    name: str, command: Command, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, status in (
        (["init"], 0),
        (["users"], 0),
        (["passwd", "anna"], 1),
        (["register", "zoe", "--password-stdin"], 1),
        (["owner", "zoe"], 1),
    ):
        with monkeypatch.context() as change:
            change.setattr(sys, "stdin", io.StringIO())
            change.setattr(sys, name, None)
            assert photos.main(arguments) == status
            getattr(sys, name).close()


@pytest.mark.whole
def test_an_address_that_the_machine_no_longer_has_is_not_blamed_on_the_port(
    ready: Path,
) -> None:
    port = str(free_port())
    done = run("--library", ready, "serve", "--host", "203.0.113.9", "--port", port)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no such address" in done.stderr and "--host 0.0.0.0" in done.stderr


@pytest.mark.whole
def test_register_asks_twice_and_explains(ready: Path) -> None:
    with Terminal("register", "bob", folder=ready) as terminal:
        terminal.answer(
            ("Password: ", "short"),
            ("easy to remember.\nPassword: ", PASSWORD),
            ("again: ", PASSWORD.upper()),
            ("two different passwords.\nPassword: ", PASSWORD),
            ("again: ", PASSWORD),
        )
        terminal.expect("Registered bob.")
        assert terminal.end() == 0
        assert PASSWORD not in terminal.screen
    assert photos.UserStore(ready / ".photos").verify("bob", PASSWORD.encode())


@pytest.mark.whole
def test_leaving_the_password_prompt_registers_nobody(ready: Path) -> None:
    with Terminal("register", "bob", folder=ready) as terminal:
        terminal.expect("Password: ")
        terminal.press(b"\x03")
        assert terminal.end() == 1 and "Traceback" not in terminal.screen
    assert photos.UserStore(ready / ".photos").names() == ["anna"]


@pytest.mark.whole
def test_index_shows_progress_and_an_estimate_at_a_terminal(ready: Path) -> None:
    with Terminal("index", folder=ready) as terminal:
        assert terminal.end(30) == 0
        assert "[###############...............] 3/6, about " in terminal.screen
        assert "[##############################] 6/6, about 0 s left" in terminal.screen


@pytest.mark.whole
@pytest.mark.parametrize("lines", [1, 5000])
def test_check_ends_silently_where_nobody_reads_on(lines: int, library: Path) -> None:
    set_up(library)
    for number in range(lines):
        (library / f"Trip (private) {number}").mkdir()
    process = subprocess.Popen(
        [sys.executable, HOME / "photos.py", "--library", library, "check"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.whole
@pytest.mark.parametrize("answer", ["-", "none", "No"])
def test_init_clears_the_public_address(answer: str, ready: Path) -> None:
    photos.write_config(
        ready / ".photos",
        photos.Config(port=free_port(), public_address="https://example.org/fotos"),
    )
    with Terminal("init", folder=ready) as terminal:
        press_enter_until(terminal, QUESTIONS["public_address"], [*QUESTIONS.values()])
        assert "- for none) [https://example.org/fotos] " in terminal.screen
        terminal.type(answer)
        assert terminal.end() == 0
    assert settings(ready).public_address == ""


@pytest.mark.parametrize("name", ["public_address", "trusted_proxy"])
def test_what_may_be_empty_is_cleared_by_a_flag(name: str) -> None:
    for nothing in ("", "-", "none"):
        assert photos.parse_setting(name, nothing) == ""
