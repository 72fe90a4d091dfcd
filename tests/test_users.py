"""Users: passwords, the file that keeps them, and how often somebody may try."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import itertools
import json
import os
import stat
import sys
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest
from conftest import Clock, StartPython, run_together
from visiting import Client

import photos

RIGHT, WRONG = b"correct horse battery", b"wrong horse battery"
CHEAP = {"n": 2**4, "r": 8, "p": 1}
DEAR = {"n": 2**5, "r": 4, "p": 2}

REGISTER = """
import pathlib, sys, photos
photos.SCRYPT = {"n": 2**4, "r": 8, "p": 1}
store = photos.UserStore(pathlib.Path(sys.argv[1]))
print(flush=True)
input()
for name in sys.argv[2:]:
    store.register(name, b"correct horse battery")
"""

CHANGE_ALL = """
import pathlib, sys, photos
photos.SCRYPT = {"n": 2**4, "r": 8, "p": 1}
store = photos.UserStore(pathlib.Path(sys.argv[1]))
store.set_password("anna", b"another horse battery")
store.remove("berta")
store.register("clara", b"correct horse battery")
store.revoke("dora", "j1", 2**40)
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> photos.UserStore:
    """A store without users, with cheap hashes; its state folder is tmp_path."""
    monkeypatch.setattr(photos, "SCRYPT", CHEAP)
    return photos.UserStore(tmp_path)


def edit(state: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Edit the text of users.json, as somebody with an editor does."""
    path = state / "users.json"
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def stored(state: Path, name: str = "anna") -> dict[str, Any]:
    user: dict[str, Any] = json.loads((state / "users.json").read_bytes())["users"][name]
    return user


# Names and passwords


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Anna\n", "anna"),
        ("ÄNNE", "änne"),
        (unicodedata.normalize("NFD", "änne"), "änne"),
        ("Straße", "strasse"),
        ("anna@example.org", "anna@example.org"),
        ("李雷", "李雷"),
        ("a" * 64, "a" * 64),
    ],
)
def test_a_user_name_is_the_same_however_it_was_typed(text: str, name: str) -> None:
    assert photos.parse_user(text) == name
    assert photos.parse_user(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "a\tb",
        "a\nb",
        "a\0b",
        "a\u00a0b",
        "a\u200bb",
        "\u202eanna",
        "\udc80",
        "a" * 65,
        "ß" * 33,
    ],
    ids=ascii,
)
def test_what_is_no_user_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 letters"):
        photos.parse_user(text)


@pytest.mark.parametrize("text", ["12345678", "äöü12", " " * 8, "x" * 256, "ü" * 128])
def test_a_password_has_8_to_256_bytes(text: str) -> None:
    assert photos.parse_password(text) == text.encode()


@pytest.mark.parametrize("text", ["", "1234567", "äöü1", "x" * 257, "ü" * 129])
def test_a_shorter_or_longer_password_is_refused(text: str) -> None:
    size = len(text.encode())
    with pytest.raises(ValueError, match=f"8 to 256 bytes, and this one has {size}:"):
        photos.parse_password(text)


def test_a_password_is_the_same_on_a_keyboard_that_composes_letters_otherwise() -> None:
    typed = unicodedata.normalize("NFD", "schöne grüße")
    assert photos.parse_password(typed) == "schöne grüße".encode()


# Hashes


@pytest.mark.whole
def test_a_password_is_hashed_with_scrypt_of_32768_8_3_and_16_bytes_of_salt() -> None:
    name, n, r, p, salt, digest = photos.hash_password(RIGHT).split("$")
    assert (name, n, r, p) == ("scrypt", "32768", "8", "3")
    salt_bytes, digest_bytes = base64.b64decode(salt), base64.b64decode(digest)
    assert (len(salt_bytes), len(digest_bytes)) == (16, 64)
    again = hashlib.scrypt(
        RIGHT, salt=salt_bytes, n=2**15, r=8, p=3, maxmem=2**26, dklen=64
    )
    assert again == digest_bytes


@pytest.mark.usefixtures("store")
def test_no_two_hashes_are_alike_and_each_fits_its_password_alone() -> None:
    first, second = photos.hash_password(RIGHT), photos.hash_password(RIGHT)
    assert first.split("$")[4] != second.split("$")[4]
    for hashed in (first, second):
        assert photos.is_password(RIGHT, hashed)
        assert not photos.is_password(WRONG, hashed)
        assert not photos.is_password(b"", hashed)


def test_a_hash_from_elsewhere_is_read() -> None:
    # RFC 7914, 12: the third test vector.
    digest = bytes.fromhex(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    salt = base64.b64encode(b"SodiumChloride").decode()
    hashed = f"scrypt$16384$8$1${salt}${base64.b64encode(digest).decode()}"
    assert photos.is_password(b"pleaseletmein", hashed)
    assert not photos.is_password(b"pleaseletmeout", hashed)


SENSELESS = [
    "",
    "plain text",
    "scrypt$16$8$1$c2FsdA==",
    "scrypt$16$8$1$c2FsdA==$",
    "scrypt$16$8$1$c$c2FsdA==",
    "scrypt$15$8$1$c2FsdA==$c2FsdA==",
    "scrypt$16$8$0$c2FsdA==$c2FsdA==",
    "scrypt$n$8$1$c2FsdA==$c2FsdA==",
    "scrypt$-16$8$1$c2FsdA==$c2FsdA==",
    f"scrypt${2**70}$8$1$c2FsdA==$c2FsdA==",
    f"scrypt${2**30}$8$1$c2FsdA==$c2FsdA==",
    "bcrypt$16$8$1$c2FsdA==$c2FsdA==",
]


@pytest.mark.parametrize("hashed", SENSELESS)
def test_a_hash_that_makes_no_sense_fits_nobody(hashed: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        photos.is_password(RIGHT, hashed)


@pytest.mark.parametrize("name", ["n", "r", "p"])
def test_a_hash_is_outdated_when_a_parameter_has_changed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "SCRYPT", CHEAP)
    hashed = photos.hash_password(RIGHT)
    assert not photos.is_outdated(hashed)
    monkeypatch.setattr(photos, "SCRYPT", CHEAP | {name: CHEAP[name] * 2})
    assert photos.is_outdated(hashed)


# The store


def test_nobody_is_registered_at_first(store: photos.UserStore, tmp_path: Path) -> None:
    assert store.names() == []
    assert store.epoch("anna") is None
    assert not store.verify("anna", RIGHT)
    assert not (tmp_path / "users.json").exists()


def test_registered_users_have_their_own_passwords(store: photos.UserStore) -> None:
    store.register("berta", WRONG)
    store.register("anna", RIGHT)
    assert store.names() == ["anna", "berta"]
    assert store.verify("anna", RIGHT) == store.epoch("anna")
    assert store.verify("berta", WRONG) == store.epoch("berta")
    assert not store.verify("anna", WRONG) and not store.verify("berta", RIGHT)
    assert store.epoch("anna") != store.epoch("berta")


def test_the_file_is_for_the_owner_alone_and_holds_no_password(
    store: photos.UserStore, tmp_path: Path
) -> None:
    store.register("anna", RIGHT)
    path = tmp_path / "users.json"
    assert json.loads(path.read_bytes())["version"] == 1
    assert (
        RIGHT not in path.read_bytes() and base64.b64encode(RIGHT) not in path.read_bytes()
    )
    assert sys.platform == "win32" or stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nobody_is_registered_twice(store: photos.UserStore) -> None:
    store.register("anna", RIGHT)
    epoch = store.epoch("anna")
    with pytest.raises(photos.UserExists, match="user anna already") as refusal:
        store.register("anna", WRONG)
    assert refusal.value.command == "passwd anna"
    assert store.verify("anna", RIGHT)
    assert store.epoch("anna") == epoch


def test_a_new_password_ends_the_old_one_and_all_sessions(store: photos.UserStore) -> None:
    store.register("anna", RIGHT)
    store.register("berta", RIGHT)
    before = {name: store.epoch(name) for name in store.names()}
    store.set_password("anna", WRONG)
    assert store.verify("anna", WRONG) and not store.verify("anna", RIGHT)
    assert store.epoch("anna") not in (None, before["anna"])
    assert store.epoch("berta") == before["berta"]


def test_a_removed_user_is_gone_and_the_next_of_that_name_is_somebody_else(
    store: photos.UserStore,
) -> None:
    store.register("anna", RIGHT)
    before = store.epoch("anna")
    store.remove("anna")
    assert store.names() == []
    assert store.epoch("anna") is None
    assert not store.verify("anna", RIGHT)
    store.register("anna", RIGHT)
    assert store.epoch("anna") not in (None, before)


def test_nobody_who_is_not_there_can_be_changed_or_removed(store: photos.UserStore) -> None:
    store.register("anna", RIGHT)
    for change in (
        lambda: store.set_password("berta", RIGHT),
        lambda: store.remove("berta"),
    ):
        with pytest.raises(photos.NoSuchUser, match="no user berta") as refusal:
            change()
        assert refusal.value.command == "users"
    store.revoke("berta", "j1", 2**40)
    assert store.names() == ["anna"]


def test_a_revoked_session_stays_so_after_a_restart_and_no_other_is(
    store: photos.UserStore, tmp_path: Path
) -> None:
    for name in ("anna", "berta"):
        store.register(name, RIGHT)
    for jti in ("j1", "j2"):
        store.revoke("anna", jti, int(time.time()) + 60)
    for each in (store, photos.UserStore(tmp_path)):
        assert each.is_revoked("anna", "j1") and each.is_revoked("anna", "j2")
        assert not each.is_revoked("anna", "j3")
        assert not each.is_revoked("berta", "j1")
        assert not each.is_revoked("nobody", "j1")
        assert each.verify("anna", RIGHT)


def test_revocations_are_forgotten_once_their_tokens_have_expired(
    store: photos.UserStore, tmp_path: Path
) -> None:
    store.register("anna", RIGHT)
    now = int(time.time())
    for jti, expires in (("expired", now - 1), ("open", now + 60), ("newest", now + 60)):
        store.revoke("anna", jti, expires)
    assert stored(tmp_path)["revoked"].keys() == {"open", "newest"}


def test_a_hash_with_old_parameters_is_renewed_at_the_next_login(
    store: photos.UserStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register("anna", RIGHT)
    old = stored(tmp_path)
    monkeypatch.setattr(photos, "SCRYPT", DEAR)
    assert not store.verify("anna", WRONG)
    assert stored(tmp_path) == old
    assert store.verify("anna", RIGHT)
    new = stored(tmp_path)
    assert new["password"].startswith("scrypt$32$4$2$")
    assert new["epoch"] == old["epoch"]
    assert store.verify("anna", RIGHT) and not store.verify("anna", WRONG)
    assert stored(tmp_path) == new


def test_renewing_a_hash_never_brings_an_old_password_back(
    store: photos.UserStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register("anna", RIGHT)
    monkeypatch.setattr(photos, "SCRYPT", DEAR)
    scrypt, other = hashlib.scrypt, photos.UserStore(tmp_path)

    def change_meanwhile(password: bytes, **options: Any) -> bytes:
        if options["n"] == DEAR["n"]:
            monkeypatch.setattr(hashlib, "scrypt", scrypt)
            other.set_password("anna", b"the newest password")
        return scrypt(password, **options)

    monkeypatch.setattr(hashlib, "scrypt", change_meanwhile)
    store.verify("anna", RIGHT)
    assert hashlib.scrypt is scrypt
    assert store.verify("anna", b"the newest password")
    assert not store.verify("anna", RIGHT)


def test_a_password_that_is_changed_while_it_is_checked_opens_no_session(
    library: Path, visitor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    scrypt, other = hashlib.scrypt, photos.UserStore(library / ".photos")

    def change_meanwhile(password: bytes, **options: Any) -> bytes:
        monkeypatch.setattr(hashlib, "scrypt", scrypt)
        other.set_password("anna", b"the newest password")
        return scrypt(password, **options)

    monkeypatch.setattr(hashlib, "scrypt", change_meanwhile)
    visitor.log_in("anna")
    assert hashlib.scrypt is scrypt
    assert visitor.get("/album/Secret/").status == 404


def test_a_name_that_is_not_there_costs_the_same_hash(
    store: photos.UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register("anna", RIGHT)
    costs: list[tuple[bytes, dict[str, Any]]] = []
    scrypt = hashlib.scrypt

    def seen(password: bytes, **options: Any) -> bytes:
        costs.append(
            (password, {name: value for name, value in options.items() if name != "salt"})
        )
        return scrypt(password, **options)

    monkeypatch.setattr(hashlib, "scrypt", seen)
    assert not store.verify("anna", WRONG)
    assert not store.verify("berta", WRONG)
    assert len(costs) == 2
    assert costs[0] == costs[1]


def test_two_hashes_are_made_at_a_time_some_wait_and_more_are_asked_to_come_back(
    store: photos.UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register("anna", RIGHT)
    go_on, inside, most = threading.Event(), Counter[str](), []
    scrypt, lock = hashlib.scrypt, threading.Lock()

    def slow(password: bytes, **options: Any) -> bytes:
        with lock:
            inside["now"] += 1
            most.append(inside["now"])
        go_on.wait(30)
        with lock:
            inside["now"] -= 1
        return scrypt(password, **options)

    monkeypatch.setattr(hashlib, "scrypt", slow)
    many = photos.HASHES_WAITING + 2
    with ThreadPoolExecutor(many) as threads:
        attempts = [threads.submit(store.verify, "anna", RIGHT) for _ in range(many)]
        early = as_completed(attempts, timeout=30)
        for _ in range(2):
            with pytest.raises(photos.Busy) as refusal:
                next(early).result()
            assert (refusal.value.status, refusal.value.retry_after) == (503, 1)
        go_on.set()
    assert (
        sum(attempt.exception() is None and bool(attempt.result()) for attempt in attempts)
        == photos.HASHES_WAITING
    )
    assert max(most) == 2
    assert store.verify("anna", RIGHT)


def test_a_change_that_could_not_be_written_did_not_happen(
    store: photos.UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.register("anna", RIGHT)
    assert store.names() == ["anna"]
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        for change in (
            lambda: store.register("berta", RIGHT),
            lambda: store.remove("anna"),
        ):
            with pytest.raises(photos.StateError, match="cannot be written: No space"):
                change()
    assert store.names() == ["anna"]
    assert store.verify("anna", RIGHT)


# Several at once


def test_nobody_waits_while_another_thread_looks_at_the_file(
    store: photos.UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register("anna", b"correct horse")
    assert store.names() == ["anna"]
    look, is_looking, may_go_on = photos.identity_of, threading.Event(), threading.Event()

    def look_slowly(path: Path) -> photos.Identity | None:
        if threading.current_thread() is slow:
            is_looking.set()
            may_go_on.wait(20)
        return look(path)

    monkeypatch.setattr(photos, "identity_of", look_slowly)
    answers: list[list[str]] = []
    slow = threading.Thread(target=lambda: answers.append(store.names()))
    quick = threading.Thread(target=lambda: answers.append(store.names()))
    slow.start()
    assert is_looking.wait(10)
    quick.start()
    quick.join(10)
    assert answers == [["anna"]]
    may_go_on.set()
    slow.join(10)
    assert answers == [["anna"], ["anna"]]


@pytest.mark.whole
def test_what_another_process_changes_is_noticed_at_the_next_call(
    store: photos.UserStore, tmp_path: Path, start_python: StartPython
) -> None:
    for name in ("anna", "berta", "dora"):
        store.register(name, RIGHT)
    before = store.epoch("anna")
    assert not store.is_revoked("dora", "j1")
    assert start_python(CHANGE_ALL, tmp_path).wait(60) == 0
    assert store.is_revoked("dora", "j1")
    assert store.names() == ["anna", "clara", "dora"]
    assert store.epoch("anna") not in (None, before)
    assert not store.verify("anna", RIGHT)
    assert store.verify("clara", RIGHT)


@pytest.mark.whole
def test_processes_that_register_together_lose_nobody(
    store: photos.UserStore, tmp_path: Path, start_python: StartPython
) -> None:
    names = [f"user-{number:02}" for number in range(18)]
    run_together([start_python(REGISTER, tmp_path, *names[start::3]) for start in range(3)])
    assert store.names() == names


def test_one_of_several_who_register_the_same_name_wins(store: photos.UserStore) -> None:
    passwords = [b"password %d" % number for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        attempts = [
            threads.submit(store.register, "anna", password) for password in passwords
        ]
    failures = [attempt.exception() for attempt in attempts]
    assert [type(failure) for failure in failures].count(photos.UserExists) == 7
    assert store.verify("anna", passwords[failures.index(None)])


# Damage


def cut(state: Path) -> None:
    path = state / "users.json"
    path.write_bytes(path.read_bytes()[:-40])


def emptied(state: Path) -> None:
    (state / "users.json").write_bytes(b"")


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda state: edit(state, change)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut": cut,
    "empty": emptied,
    "newer": edited(lambda content: content.update(version=photos.STATE_VERSION + 1)),
    "without version": edited(lambda content: content.pop("version")),
    "without users": edited(lambda content: content.pop("users")),
    "users of another name": edited(
        lambda content: content.update(user=content.pop("users"))
    ),
    "users null": edited(lambda content: content.update(users=None)),
    "users a list": edited(lambda content: content.update(users=["anna"])),
    "a user null": edited(lambda content: content["users"].update(anna=None)),
    "without password": edited(lambda content: content["users"]["anna"].pop("password")),
    "password null": edited(lambda content: content["users"]["anna"].update(password=None)),
    "without epoch": edited(lambda content: content["users"]["anna"].pop("epoch")),
    "epoch null": edited(lambda content: content["users"]["anna"].update(epoch=None)),
    "revoked null": edited(lambda content: content["users"]["anna"].update(revoked=None)),
    "revoked at no time": edited(
        lambda content: content["users"]["anna"].update(revoked={"j1": "x"})
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_never_taken_for_no_users(
    store: photos.UserStore, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    store.register("anna", RIGHT)
    path = tmp_path / "users.json"
    whole = path.read_bytes()
    damage(tmp_path)
    damaged = path.read_bytes()
    for each in (store, photos.UserStore(tmp_path)):
        for use in (
            each.names,
            lambda each=each: each.epoch("anna"),
            lambda each=each: each.is_revoked("anna", "j1"),
            lambda each=each: each.verify("anna", RIGHT),
            lambda each=each: each.register("berta", RIGHT),
            lambda each=each: each.set_password("anna", RIGHT),
            lambda each=each: each.remove("anna"),
            lambda each=each: each.revoke("anna", "j2", 2**40),
        ):
            with pytest.raises(photos.StateError) as refusal:
                use()
            assert os.fspath(path) in str(refusal.value)
    assert path.read_bytes() == damaged
    path.write_bytes(whole)
    assert store.verify("anna", RIGHT)


@pytest.mark.parametrize("hashed", SENSELESS)
def test_a_damaged_hash_costs_one_user_the_login_and_nobody_else(
    store: photos.UserStore, tmp_path: Path, hashed: str
) -> None:
    for name in ("anna", "berta"):
        store.register(name, RIGHT)
    edit(tmp_path, lambda content: content["users"]["anna"].update(password=hashed))
    for _ in range(photos.HASHES_WAITING + 1):
        with pytest.raises(
            photos.StateError, match=r"users\.json is damaged: the hash of anna"
        ):
            store.verify("anna", RIGHT)
    assert store.verify("berta", RIGHT)
    store.set_password("anna", RIGHT)
    assert store.verify("anna", RIGHT)


# Limits


@pytest.fixture
def limits(clock: Clock) -> photos.LoginLimits:
    return photos.LoginLimits(clock)


def fail(
    limits: photos.LoginLimits, clock: Clock, account: str = "anna", address: str = ""
) -> int:
    """Fail once, as soon as that is allowed; return how many seconds that took."""
    try:
        limits.attempt(account, address)
    except photos.TooManyAttempts as refusal:
        assert refusal.retry_after is not None
        clock.now += refusal.retry_after
        limits.attempt(account, address)
        return refusal.retry_after
    return 0


def test_five_failures_are_free_then_each_doubles_the_wait_up_to_a_minute(
    limits: photos.LoginLimits, clock: Clock
) -> None:
    waits = [fail(limits, clock) for _ in range(15)]
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_a_refused_attempt_tells_when_and_does_not_prolong_the_wait(
    limits: photos.LoginLimits, clock: Clock
) -> None:
    for _ in range(7):
        fail(limits, clock)
    for passed, left in ((0, 4), (0.5, 4), (2.5, 1), (0.9, 1)):
        clock.now += passed
        with pytest.raises(
            photos.TooManyAttempts, match=f"Try again in {left} s"
        ) as refusal:
            limits.attempt("anna", "")
        assert (refusal.value.status, refusal.value.retry_after) == (429, left)
    clock.now += 0.1
    limits.attempt("anna", "")


def test_one_account_does_not_wait_for_another(
    limits: photos.LoginLimits, clock: Clock
) -> None:
    for _ in range(8):
        fail(limits, clock)
    assert fail(limits, clock, "berta") == 0
    assert fail(limits, clock) == 8


def test_a_success_forgets_the_failures_of_its_account_alone(
    limits: photos.LoginLimits, clock: Clock
) -> None:
    for account in ("anna", "berta"):
        for _ in range(5):
            fail(limits, clock, account)
    clock.now += 1
    limits.attempt("anna", "")
    limits.succeeded("anna", "")
    assert [fail(limits, clock) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    assert [fail(limits, clock, "berta") for _ in range(2)] == [0, 2]


def test_of_many_attempts_at_once_five_are_let_through(limits: photos.LoginLimits) -> None:
    accounts = [f"user-{number}" for number in range(1000)]

    def attempt_all(_: int) -> list[str]:
        passed = []
        for account in accounts:
            with contextlib.suppress(photos.TooManyAttempts):
                limits.attempt(account, "")
                passed.append(account)
        return passed

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            passed = Counter(itertools.chain(*threads.map(attempt_all, range(8))))
    finally:
        sys.setswitchinterval(before)
    assert passed == dict.fromkeys(accounts, 5)


def test_an_address_has_20_failures_in_5_minutes_whatever_the_account(
    limits: photos.LoginLimits, clock: Clock
) -> None:
    for number in range(20):
        assert fail(limits, clock, f"user-{number}", "192.0.2.1") == 0
        clock.now += 10
    with pytest.raises(photos.TooManyAttempts) as refusal:
        limits.attempt("anna", "192.0.2.1")
    assert refusal.value.retry_after == 100
    assert fail(limits, clock, "anna", "192.0.2.2") == 0
    clock.now += 99
    assert fail(limits, clock, "anna", "192.0.2.1") == 1
    assert fail(limits, clock, "anna", "192.0.2.1") == 10


def test_log_ins_that_succeed_neither_count_against_an_address_nor_clear_it(
    limits: photos.LoginLimits,
) -> None:
    for number in range(20):
        for name in ("one", "another"):
            limits.attempt(name, "192.0.2.1")
            limits.succeeded(name, "192.0.2.1")
        limits.attempt(f"wrong-{number}", "192.0.2.1")
    with pytest.raises(photos.TooManyAttempts):
        limits.attempt("one", "192.0.2.1")


def test_an_address_that_is_not_known_is_not_limited(limits: photos.LoginLimits) -> None:
    for number in range(50):
        limits.attempt(f"user-{number}", "")


def test_the_accounts_remembered_are_bounded_and_the_oldest_go_first(
    limits: photos.LoginLimits, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LIMITS_KEPT", 50)
    for account in ("first", "second"):
        for _ in range(5):
            fail(limits, clock, account)
    fail(limits, clock, "first")
    for number in range(49):
        limits.attempt(f"user-{number}", "")
    assert fail(limits, clock, "first") == 2
    assert [fail(limits, clock, "second") for _ in range(2)] == [0, 0]


def test_the_addresses_remembered_are_bounded_and_the_oldest_go_first(
    limits: photos.LoginLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LIMITS_KEPT", 50)
    for number in range(20):
        limits.attempt(f"user-{number}", "192.0.2.1")
    for number in range(49):
        limits.attempt(f"other-{number}", f"198.51.100.{number}")
    with pytest.raises(photos.TooManyAttempts):
        limits.attempt("anna", "192.0.2.1")
    limits.attempt("berta", "203.0.113.1")
    limits.attempt("anna", "192.0.2.1")


def test_an_attempt_that_was_not_checked_leaves_the_block_of_others() -> None:
    now = 1000.0
    limits = photos.LoginLimits(lambda: now)
    limits.attempt("anna", "")  # which is still being checked
    for _ in range(photos.ACCOUNT_FAILURES):
        limits.attempt("anna", "")
        now += 1.5
    now -= 1.5
    limits.withdraw("anna", "")
    with pytest.raises(photos.TooManyAttempts):
        limits.attempt("anna", "")
    now += 1.01
    limits.attempt("anna", "")


def test_an_attempt_that_was_not_checked_does_not_count() -> None:
    limits = photos.LoginLimits(lambda: 1000.0)
    for _ in range(50):
        limits.attempt("anna", "192.0.2.1")
        limits.withdraw("anna", "192.0.2.1")
    for _ in range(photos.ACCOUNT_FAILURES):
        limits.attempt("anna", "192.0.2.1")
    with pytest.raises(photos.TooManyAttempts):
        limits.attempt("anna", "192.0.2.1")


def test_a_user_is_not_forgotten_for_the_names_that_somebody_makes_up(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LIMITS_KEPT", 50)
    users = [f"user-{number}" for number in range(80)]
    limits = photos.LoginLimits(clock, registered=lambda: {"anna", *users})
    for _ in range(6):
        fail(limits, clock)
    for number in range(500):
        limits.attempt(f"nobody-{number}", "")
    for name in users:
        limits.attempt(name, "")
    assert fail(limits, clock) == 2
    assert len(limits._accounts) == 1 + len(users) + photos.LIMITS_KEPT


def test_an_attempt_that_was_not_checked_leaves_no_entry_and_pushes_nobody_out(
    limits: photos.LoginLimits, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "LIMITS_KEPT", 50)
    for number in range(20):
        limits.attempt("anna" if number < 5 else f"user-{number}", "192.0.2.1")
    for number in range(500):
        limits.attempt(f"nobody-{number}", f"198.51.100.{number}")
        limits.withdraw(f"nobody-{number}", f"198.51.100.{number}")
        with pytest.raises(photos.TooManyAttempts):
            limits.attempt(f"other-{number}", "192.0.2.1")
        limits.attempt("berta", "203.0.113.9")
        limits.succeeded("berta", "203.0.113.9")
    assert len(limits._accounts) == 16
    assert list(limits._addresses) == ["192.0.2.1"]
    assert [fail(limits, clock) for _ in range(2)] == [1, 2]
