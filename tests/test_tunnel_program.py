"""What a tunnel needs: its program, its token, and a note of which process is ours."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import photos


@pytest.mark.parametrize(
    ("installer", "kind", "advice"),
    [
        ("brew", "cloudflare", "brew install cloudflared"),
        ("winget", "tailscale", "winget install Tailscale.Tailscale"),
        ("dpkg", "cloudflare", "sudo dpkg -i cloudflared-linux-"),
        ("rpm", "cloudflare", "sudo rpm -i https://github.com/cloudflare/"),
        ("rpm", "tailscale", "https://tailscale.com/install.sh | sh"),
        ("", "cloudflare", "see https://github.com/cloudflare/cloudflared/releases"),
        ("", "tailscale", "see https://tailscale.com/download"),
    ],
)
def test_a_missing_program_is_one_sentence_with_the_command_of_this_system(
    installer: str, kind: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    if installer:
        (tmp_path / installer).write_text("#!/bin/sh\n")
        (tmp_path / installer).chmod(0o755)
    with pytest.raises(photos.PhotosError) as error:
        photos.tunnel_program(kind)
    program = photos.TUNNEL_PROGRAMS[kind]
    words = f"The program {program} is missing here. To install it: "
    assert str(error.value).startswith(words) and advice in str(error.value)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660])
def test_a_token_that_others_can_read_is_refused_with_what_to_do(
    mode: int, tmp_path: Path
) -> None:
    state = tmp_path / "Our state"
    state.mkdir()
    path = state / "tunnel.token"
    assert photos.read_tunnel_token(state) == ""
    path.write_text("very-secret\n")
    path.chmod(mode)
    with pytest.raises(photos.StateError, match=f"chmod 600 '{path}'"):
        photos.read_tunnel_token(state)
    path.chmod(0o600)
    assert photos.read_tunnel_token(state) == "very-secret"
    path.write_text("\n")
    with pytest.raises(photos.StateError, match="is empty"):
        photos.read_tunnel_token(state)


def test_a_process_that_only_has_the_id_is_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as other:
        photos.TunnelNote("", True, other.pid, "another time").write(tmp_path)
        photos.end_left_tunnel(tmp_path)
        assert other.poll() is None
        photos.TunnelNote("", True, other.pid, photos.birth_of(other.pid)).write(tmp_path)
        photos.end_left_tunnel(tmp_path)
        assert other.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"version": 1}',
        '{"version": 1, "address": 1, "is_open": 2, "pid": "3", "birth": null}',
    ],
)
def test_a_note_that_makes_no_sense_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "tunnel.json").write_text(content)
    assert photos.TunnelNote.read(tmp_path) == photos.TunnelNote()
    photos.end_left_tunnel(tmp_path)


# What we say to each program, and which words its help has then. No machine has to have them.
SAID = [
    ("cloudflared", "tunnel", "--config"),
    ("cloudflared", "tunnel", "--no-autoupdate"),
    ("cloudflared", "tunnel", "--metrics"),
    ("cloudflared", "tunnel", "--grace-period"),
    ("cloudflared", "tunnel", "--protocol"),
    ("cloudflared", "tunnel", "--url"),
    ("cloudflared", "tunnel run", "TUNNEL_TOKEN"),
    ("tailscale", "funnel", "status"),
]
SAID_HERE = [case for case in SAID if shutil.which(case[0])]

if SAID_HERE:

    @pytest.mark.parametrize(("program", "words", "flag"), SAID_HERE)
    def test_the_real_program_knows_what_we_say(
        program: str, words: str, flag: str
    ) -> None:
        command = [program, *words.split(), "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert flag in done.stdout + done.stderr
