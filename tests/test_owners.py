"""Owners: who is one from the first run on, and what other commands leave of that."""

from __future__ import annotations

import io
import itertools
import json
import os
from pathlib import Path

import pytest
from drawing import draw
from processes import Command, Done
from visiting import PASSWORD, Client

import photos


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw(tmp_path / "Album" / "Trip.private+anna" / "one.jpg")
    return tmp_path / "Album"


@pytest.fixture
def command(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command on the library in this process, the password from stdin."""
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})

    def run_it(*arguments: str) -> Done:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        capsys.readouterr()
        words = [*arguments]
        if words[0] in ("register", "passwd"):
            words.append("--password-stdin")
        status = photos.main(["--library", os.fspath(root), *words])
        return Done(status, *capsys.readouterr())

    return run_it


@pytest.fixture
def ready(command: Command) -> Command:
    """The same, after the first run."""
    assert command("init").status == 0
    return command


def roles(root: Path) -> dict[str, str]:
    """Return the roles that users.json has, by name."""
    users = json.loads((root / ".photos" / "users.json").read_bytes())["users"]
    return {name: user.get("role", "") for name, user in users.items()}


def forget_roles(root: Path) -> None:
    """Make users.json one of a version of before."""
    path = root / ".photos" / "users.json"
    state = json.loads(path.read_bytes())
    for user in state["users"].values():
        del user["role"]
    path.write_text(json.dumps(state))


def test_the_first_user_of_the_first_run_is_the_owner(
    root: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([os.fspath(root), "Ours", "", "no", "Anna"])
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    monkeypatch.setattr("getpass.getpass", lambda _: PASSWORD)
    monkeypatch.setattr(photos, "is_terminal", lambda: True)
    monkeypatch.setattr(photos, "is_taken", lambda port: False)
    monkeypatch.setattr(photos, "parse_free_port", lambda text, ours=0: int(text))
    assert command("init").status == 0
    assert roles(root) == {"anna": "owner"}
    assert next(answers, None) is None
    # Asked again, an owner is there already.
    answers = itertools.repeat("")
    assert command("init").status == 0
    assert roles(root) == {"anna": "owner"}


def test_the_first_who_is_registered_is_the_owner_and_no_other(
    root: Path, ready: Command
) -> None:
    assert ready("register", "anna").out == "Registered anna, the owner.\n"
    assert ready("register", "ben").out == "Registered ben.\n"
    assert roles(root) == {"anna": "owner", "ben": "user"}
    assert ready("users").out == "anna (owner)\nben\n"
    assert "Users: anna (owner), ben." in ready("check").out.splitlines()
    assert "No owner" not in ready("check").out


def test_there_may_be_several_owners(root: Path, ready: Command) -> None:
    ready("register", "anna")
    assert ready("register", "ben", "--owner").out == "Registered ben, the owner.\n"
    ready("register", "carl")
    assert ready("owner", "CARL").out == "carl is an owner now.\n"
    assert roles(root) == dict.fromkeys(("anna", "ben", "carl"), "owner")
    assert ready("remove", "anna").status == 0


def test_nobody_unknown_becomes_the_owner(root: Path, ready: Command) -> None:
    ready("register", "anna")
    done = ready("owner", "zoe")
    assert done.status == 1 and "There is no user zoe." in done.err
    assert roles(root) == {"anna": "owner"}


def test_the_last_owner_cannot_be_removed_while_there_are_users(
    root: Path, ready: Command
) -> None:
    ready("register", "anna")
    ready("register", "ben")
    done = ready("remove", "anna")
    assert (done.status, done.out) == (1, "")
    assert "anna is the only owner. Name another one first:" in done.err
    assert done.err.rstrip().endswith("owner NAME")
    assert roles(root) == {"anna": "owner", "ben": "user"}
    ready("owner", "ben")
    assert ready("remove", "anna").status == 0
    assert roles(root) == {"ben": "owner"}
    # Who is the only user may go; who comes next is the owner.
    assert ready("remove", "ben").status == 0
    assert ready("register", "carl").out == "Registered carl, the owner.\n"


def test_a_new_password_and_a_log_in_keep_the_role(
    root: Path, ready: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready("register", "anna")
    ready("register", "ben")
    before = roles(root)
    for name in ("anna", "ben"):
        assert ready("passwd", name).status == 0
        assert roles(root) == before
    # A log-in renews the hash, a log-out notes the session.
    monkeypatch.setattr(photos, "SCRYPT", {"n": 2**5, "r": 8, "p": 1})
    app = photos.create_app(root / ".photos", background=False)
    for name in ("anna", "ben"):
        client = Client(app)
        assert client.log_in(name).status == 303
        assert client.request("POST", "/logout", Sec_Fetch_Site="same-origin").status == 303
        assert roles(root) == before
    app.close()


@pytest.mark.whole
def test_with_a_users_json_of_before_every_user_is_an_owner_until_one_is_named(
    root: Path, ready: Command
) -> None:
    ready("register", "anna")
    ready("register", "ben")
    forget_roles(root)
    app = photos.create_app(root / ".photos", background=False)
    ben, visitor = Client(app), Client(app)
    assert ben.log_in("ben").status == 303
    assert ben.get("/album/Trip/").status == 200
    assert visitor.get("/album/Trip/").status == 404
    assert ready("users").out == "anna (owner)\nben (owner)\n"
    [line] = [line for line in ready("check").out.splitlines() if "No owner" in line]
    assert line.endswith("owner NAME")
    # Neither a new password nor a removal makes the others lose anything.
    assert ready("passwd", "anna").status == 0
    assert ready("users").out == "anna (owner)\nben (owner)\n"
    assert ben.get("/album/Trip/").status == 200
    assert ready("owner", "anna").status == 0
    assert ready("users").out == "anna (owner)\nben\n"
    assert ben.get("/album/Trip/").status == 404
    assert "No owner" not in ready("check").out
    app.close()


@pytest.mark.whole
def test_any_user_of_before_may_be_removed(root: Path, ready: Command) -> None:
    for name in ("anna", "ben"):
        ready("register", name)
    forget_roles(root)
    assert ready("remove", "anna").status == 0
    assert ready("users").out == "ben (owner)\n"


def test_a_role_that_is_no_text_is_a_damaged_file(root: Path, ready: Command) -> None:
    ready("register", "anna")
    path = root / ".photos" / "users.json"
    content = path.read_text()
    for role in ("1", "null", "true", '["owner"]'):
        path.write_text(content.replace('"owner"', role))
        app = photos.create_app(root / ".photos", background=False)
        assert Client(app).log_in("anna").status == 503
        app.close()


def test_an_unknown_role_gives_nothing(root: Path, ready: Command) -> None:
    ready("register", "anna")
    ready("register", "ben")
    path = root / ".photos" / "users.json"
    path.write_text(path.read_text().replace('"user"', '"Owner "'))
    assert ready("users").out == "anna (owner)\nben\n"


@pytest.mark.parametrize("role", ["Owner", "user", "admin"])
def test_where_no_role_is_an_owners_nobody_becomes_one(
    root: Path, ready: Command, role: str
) -> None:
    ready("register", "anna")
    ready("register", "ben")
    path = root / ".photos" / "users.json"
    path.write_text(path.read_text().replace('"owner"', f'"{role}"'))
    assert ready("users").out == "anna\nben\n"
    assert "No owner is named." in ready("check").out
    assert ready("owner", "anna").status == 0
    assert ready("users").out == "anna (owner)\nben\n"


def test_who_is_registered_beside_users_of_before_is_no_owner(
    root: Path, ready: Command
) -> None:
    ready("register", "anna")
    forget_roles(root)
    ready("register", "ben")
    assert ready("users").out == "anna (owner)\nben\n"


def test_a_users_file_that_goes_bad_opens_nothing(root: Path, ready: Command) -> None:
    ready("register", "anna")
    app = photos.create_app(root / ".photos", background=False)
    client = Client(app)
    assert client.log_in("anna").status == 303
    assert client.get("/album/Trip/").status == 200
    path = root / ".photos" / "users.json"
    content = path.read_text()
    for damaged in ("", "{", "[]", '{"version": 1, "users": []}', '{"version": 99}'):
        path.write_text(damaged)
        assert client.get("/album/Trip/").status == 404
        assert client.get("/").status == 200
    path.unlink()  # nobody is registered
    assert client.get("/album/Trip/").status == 404
    path.write_text(content)
    assert client.get("/album/Trip/").status == 200
    app.close()


@pytest.mark.parametrize("name", ["a+b", "+anna", "ⅷ", "ａｎｎａ", "❤\ufe0f", "½"])
def test_nobody_is_registered_whom_a_folder_would_take_for_another(
    name: str, root: Path, ready: Command
) -> None:
    ready("register", "olga")
    done = ready("register", name)
    assert (done.status, done.out) == (1, "")
    assert "Take letters and digits" in done.err
    # Who has such a name from before can log in, be removed, and get a new password.
    photos.UserStore(root / ".photos").register(
        photos.parse_user(f"{name}2"), PASSWORD.encode()
    )
    assert ready("passwd", f"{name}2").status == 0
    assert ready("remove", f"{name}2").status == 0


@pytest.mark.whole
@pytest.mark.parametrize(
    "name",
    ["anna", "Éva", "e\u0301va", "李小龍", "IŞIL", "İpek", "a.b-c_d", "Straße", "ςigma"],
)
def test_a_folder_can_be_for_each_user_who_is_registered(
    name: str, root: Path, ready: Command
) -> None:
    ready("register", "olga")
    assert ready("register", name).status == 0
    user = photos.Principal(photos.parse_user(name))
    now = photos.Circumstances(photos.dt.date(2026, 11, 28), frozenset({user.user}))
    for form in (name, name.upper(), name.lower(), user.user):
        rule = photos.parse_name(f"Trip.private+{form}").keywords.rule(now)
        if photos.parse_user(form) == user.user:
            assert photos.may_open(user, rule)
        else:  # the casing of Turkish
            assert rule == photos.OWNER_ONLY
