"""What the first run asks: as little as will do, with answers that suit the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from outside import StandIn

import photos

TUNNEL = "Shall people outside your home reach it?"
OTHERS = "May other devices on your network open it?"
PORT = "Which port may it use?"
PUBLIC = "Its public address"


class Owner:
    """Answers questions, by what they begin with; Enter where there is no answer."""

    def __init__(self, **settings: object) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[str]] = {}
        self.present: photos.Config | None = None
        self.flags: dict[str, object] = settings

    def answer(self, question: str) -> str:
        self.asked.append(question)
        for words, answers in self.answers.items():
            if question.startswith(words) and answers:
                return answers.pop(0)
        return ""

    def has_been_asked(self, words: str) -> bool:
        return any(question.startswith(words) for question in self.asked)

    def choose(self, folder: Path) -> photos.Config:
        """Be asked for the settings."""
        state = folder / ".photos"
        return photos.ask_settings(state, str(folder), self.present, self.flags)


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Owner:
    owner = Owner()
    monkeypatch.setattr("builtins.input", owner.answer)
    monkeypatch.setattr(photos, "is_taken", lambda port: False)
    monkeypatch.setattr(photos, "network_host", lambda family=None: "192.168.1.20")
    return owner


def test_a_first_run_asks_four_questions_about_the_site(
    owner: Owner, tmp_path: Path
) -> None:
    config = owner.choose(tmp_path)
    assert len(owner.asked) == 4
    assert not owner.has_been_asked(PORT) and not owner.has_been_asked(PUBLIC)
    assert config == photos.Config(library=str(tmp_path), host="0.0.0.0")


@pytest.mark.usefixtures("standin")
def test_who_lets_people_outside_in_is_not_asked_about_those_at_home(
    owner: Owner, tmp_path: Path
) -> None:
    owner.answers[TUNNEL] = ["yes"]
    config = owner.choose(tmp_path)
    assert len(owner.asked) == 3
    assert (config.tunnel, config.host) == ("cloudflare", "0.0.0.0")


@pytest.mark.parametrize(
    ("address", "offered", "host"),
    [
        ("192.168.1.20", "yes", "0.0.0.0"),
        ("10.1.2.3", "yes", "0.0.0.0"),
        ("172.31.0.9", "yes", "0.0.0.0"),
        ("100.64.0.9", "no", "127.0.0.1"),
        ("8.8.8.8", "no", "127.0.0.1"),
        (None, "no", "127.0.0.1"),
    ],
)
def test_other_devices_may_come_in_unless_the_network_is_everybodys(
    address: str | None,
    offered: str,
    host: str,
    owner: Owner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photos, "network_host", lambda family=None: address)
    assert owner.choose(tmp_path).host == host
    assert f"{OTHERS} (yes or no) [{offered}] " in owner.asked


def test_who_says_no_is_heard(owner: Owner, tmp_path: Path) -> None:
    owner.answers[OTHERS] = ["no"]
    assert owner.choose(tmp_path).host == "127.0.0.1"


def test_a_flag_is_what_is_offered(owner: Owner, tmp_path: Path) -> None:
    owner.flags["host"] = "127.0.0.1"
    assert owner.choose(tmp_path).host == "127.0.0.1"


def test_the_port_is_asked_for_where_it_is_taken(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "is_taken", lambda port: port == 8080)
    monkeypatch.setattr(photos, "parse_free_port", lambda text, ours: int(text))
    owner.answers[PORT] = ["8090"]
    assert owner.choose(tmp_path).port == 8090


def test_later_everything_can_be_answered_anew(owner: Owner, tmp_path: Path) -> None:
    owner.present = photos.Config(public_address="https://photos.example.org")
    owner.answers[PUBLIC] = ["-"]
    config = owner.choose(tmp_path)
    assert owner.has_been_asked(PORT) and owner.has_been_asked(OTHERS)
    assert (config.public_address, config.host) == ("", "127.0.0.1")


def test_a_library_that_is_no_longer_there_is_asked_for_again(
    owner: Owner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(tmp_path / "gone")
    owner.present = photos.Config(library=gone)
    owner.answers["Which folder"] = ["", str(tmp_path)]
    assert owner.choose(tmp_path).library == str(tmp_path)
    assert f"There is no folder {gone}" in capsys.readouterr().out


def test_a_missing_program_is_told_while_asking(
    owner: Owner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    owner.answers[TUNNEL] = ["yes", "no"]
    assert owner.choose(tmp_path).tunnel == ""
    assert "The program cloudflared is missing here." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("YES", "cloudflare"),
        ("y", "cloudflare"),
        ("Tailscale", "tailscale"),
        ("n", ""),
        ("-", ""),
    ],
)
def test_the_tunnel_is_named_or_agreed_to(
    answer: str, kind: str, owner: Owner, standin: StandIn, tmp_path: Path
) -> None:
    owner.answers[TUNNEL] = ["maybe", answer]
    assert owner.choose(tmp_path).tunnel == kind


def test_nothing_is_asked_where_no_answer_could_be_kept(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos, "is_terminal", lambda: True)
    monkeypatch.setattr(photos.os, "access", lambda folder, mode: folder != tmp_path)
    assert photos.main(["--library", str(tmp_path)]) == 1
    assert owner.asked == [] and not any(tmp_path.iterdir())
