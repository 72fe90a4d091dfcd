"""Settings: what the owner may write into config.json, and what is said about a mistake in it."""

from __future__ import annotations

import json
import logging
import os
import shlex
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import photos


def write_file(state: Path, **settings: Any) -> Path:
    path = state / "config.json"
    path.write_text(json.dumps({"version": 1, **settings}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("8080", 8080), ("65535", 65535)])
def test_a_port_is_a_number(text: str, port: int) -> None:
    assert photos.parse_port(text) == port


@pytest.mark.parametrize(
    "text", ["", "0", "65536", "-1", "80.0", " 80", "８０", "eighty", "9" * 5000]
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        photos.parse_port(text)


@pytest.mark.parametrize(
    ("text", "address", "origin", "prefix"),
    [
        ("", "", "", ""),
        ("n", "", "", ""),
        (
            "photos.example.org",
            "https://photos.example.org",
            "https://photos.example.org",
            "",
        ),
        (
            "HTTPS://Photos.Example.ORG/",
            "https://photos.example.org",
            "https://photos.example.org",
            "",
        ),
        ("http://192.0.2.7:8080", "http://192.0.2.7:8080", "http://192.0.2.7:8080", ""),
        (
            "https://[2001:db8::1]:8443/a",
            "https://[2001:db8::1]:8443/a",
            "https://[2001:db8::1]:8443",
            "/a",
        ),
        (
            "localhost:8080/Album/",
            "https://localhost:8080/Album",
            "https://localhost:8080",
            "/Album",
        ),
        (
            "https://example.org/~anna/p.h",
            "https://example.org/~anna/p.h",
            "https://example.org",
            "/~anna/p.h",
        ),
    ],
)
def test_a_public_address_tells_origin_and_prefix(
    text: str, address: str, origin: str, prefix: str
) -> None:
    assert photos.parse_public_address(text) == address
    config = photos.Config(public_address=address)
    assert (config.origin, config.prefix) == (origin, prefix)


@pytest.mark.parametrize(
    ("text", "origin"), [("https://h:443", "https://h"), ("http://h:80/a", "http://h")]
)
def test_an_origin_has_no_default_port_as_browsers_leave_it_out(
    text: str, origin: str
) -> None:
    assert photos.Config(public_address=photos.parse_public_address(text)).origin == origin


@pytest.mark.parametrize(
    "text",
    [
        "ftp://example.org",
        "https://",
        "https:///album",
        "/album",
        "https://example.org?album",
        "https://example.org/#album",
        "https://example.org/a//b",
        "https://example.org/ä",
        'https://example.org/"><script>',
        "https://[::1",
        "https://[1:2:3]",
        "https://[::1::]/album",
        "https://example.org:99999",
        "https://example.org:port",
        "https://anna:secret@example.org",
        "https://two words",
        "https://exa<mple.org",
        "https://example.org\\album",
        "yes",
        "Y",
        "8080",
    ],
)
def test_what_is_no_public_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="looks like"):
        photos.parse_public_address(text)


def test_a_library_is_an_existing_folder_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Album").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    for text in ("Album", "~/Album", f"{tmp_path}/Album/", "./x/../Album"):
        assert photos.parse_library(text) == os.fspath(tmp_path / "Album")


def test_a_folder_that_was_dragged_into_a_terminal_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "Mum's Photos"
    folder.mkdir()
    path = os.fspath(folder)
    quoted = [path, f'"{path}"']
    if sys.platform != "win32":
        quoted += [shlex.quote(path), path.replace("'", r"\'").replace(" ", r"\ ")]
    assert [photos.parse_library(text) for text in quoted] == [path] * len(quoted)


def test_a_library_that_is_no_folder_is_named_in_the_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "missing", "Mum's"):
        with pytest.raises(ValueError, match=name):
            photos.parse_library(os.fspath(tmp_path / name))


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("yes", "0.0.0.0"),
        ("Y", "0.0.0.0"),
        ("no", "127.0.0.1"),
        ("N", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("::", "::"),
    ],
)
def test_a_host_is_yes_no_or_an_address(text: str, host: str) -> None:
    assert photos.parse_host(text) == host


@pytest.mark.parametrize("text", ["", "two words", "127.0.0.1:80", "\udc80", "a" * 70])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="yes or no"):
        photos.parse_host(text)


def test_a_title_is_one_line_of_200_characters_at_most() -> None:
    assert photos.parse_title(" Our\n\tphotos  2024 ") == "Our photos 2024"
    assert photos.parse_title("ü" * 200) == "ü" * 200
    for text in ("", " \n", "ü" * 201):
        with pytest.raises(ValueError, match="200"):
            photos.parse_title(text)


def test_a_title_that_no_page_could_show_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\w"):
        photos.parse_title("caf\udce9")


@pytest.mark.parametrize(
    "text", ["Die Müllers 👨\u200d👩\u200d👧", "عکس\u200cها", "❤\ufe0f"], ids=ascii
)
def test_a_title_may_have_letters_that_join_and_composed_signs(text: str) -> None:
    assert photos.parse_title(text) == text


@pytest.mark.parametrize("text", ["", "127.0.0.1", "192.0.2.7", "::1"])
def test_a_trusted_proxy_is_an_address_or_nobody(text: str) -> None:
    assert photos.parse_setting("trusted_proxy", text) == text


@pytest.mark.parametrize("text", ["*", "localhost", "127.0.0.1:80", "127.0.0.0/8", "yes"])
def test_what_is_no_address_of_a_proxy_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        photos.parse_setting("trusted_proxy", text)


@pytest.mark.parametrize("text", ["yes", "True", "ON"])
def test_a_switch_may_be_on(text: str) -> None:
    assert photos.parse_switch(text) is True
    assert photos.parse_setting("follow_symlinks", text) is True


@pytest.mark.parametrize("text", ["no", "False", "OFF"])
def test_a_switch_may_be_off(text: str) -> None:
    assert photos.parse_switch(text) is False


@pytest.mark.parametrize("text", ["", "1", "perhaps"])
def test_a_switch_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="yes or no"):
        photos.parse_switch(text)


@pytest.mark.parametrize("name", photos.SETTINGS)
def test_the_default_of_every_setting_is_allowed(name: str) -> None:
    assert (
        photos.parse_setting(name, photos.SETTINGS[name].default)
        == photos.SETTINGS[name].default
    )


def test_a_setting_may_be_a_number_or_the_text_of_one() -> None:
    assert photos.parse_setting("port", 80) == photos.parse_setting("port", "80") == 80


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("library", None),
        ("library", []),
        ("title", None),
        ("title", ["x"]),
        ("title", ""),
        ("port", None),
        ("port", True),
        ("port", 8080.0),
        ("port", "http"),
        ("host", None),
        ("host", {}),
        ("public_address", {}),
        ("public_address", "ftp://example.org"),
        ("trusted_proxy", ["127.0.0.1"]),
        ("follow_symlinks", None),
        ("follow_symlinks", 0),
        ("follow_symlinks", "perhaps"),
        ("cache_share", 0),
        ("cache_share", 101),
        ("cache_share", "half"),
        ("cache_share", "-5"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_its_key(
    tmp_path: Path, name: str, value: Any
) -> None:
    path = write_file(tmp_path, **{name: value})
    with pytest.raises(photos.StateError, match=f'"{name}"') as refusal:
        photos.read_config(tmp_path)
    assert os.fspath(path) in str(refusal.value)


def test_without_a_file_there_is_no_configuration(tmp_path: Path) -> None:
    assert photos.read_config(tmp_path) is None


def test_all_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    config = photos.Config(
        library=os.fspath(tmp_path),
        title="Fotos « été » 😀",
        port=8081,
        host="0.0.0.0",
        public_address="https://photos.example.org/album",
        tunnel="tailscale",
        trusted_proxy="127.0.0.1",
        follow_symlinks=True,
        keep_location=True,
        cache_share=35,
        guest_files=50,
        guest_gigabytes=1,
    )
    assert all(
        getattr(config, name) != field.default for name, field in photos.SETTINGS.items()
    )
    photos.write_config(tmp_path, config)
    assert photos.read_config(tmp_path) == config


@pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="names are always Unicode there"
)
def test_a_library_whose_path_is_not_utf8_is_read_as_it_was_written(tmp_path: Path) -> None:
    library = tmp_path / os.fsdecode(b"caf\xe9")
    library.mkdir()
    photos.write_config(tmp_path, photos.Config(library=os.fspath(library)))
    (tmp_path / "config.json").read_text(encoding="utf-8")
    assert photos.read_config(tmp_path) == photos.Config(library=os.fspath(library))


def test_the_file_is_text_for_the_owner_alone(tmp_path: Path) -> None:
    photos.write_config(tmp_path, photos.Config(title="Été"))
    path = tmp_path / "config.json"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert '  "title": "Été",' in lines
    assert '  "version": 1' in lines
    assert sys.platform == "win32" or stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.replace(b" ", b""),
    ],
    ids=["byte order mark", "lines of Windows", "no indentation"],
)
def test_what_text_editors_do_to_the_file_does_not_matter(
    tmp_path: Path, edit: Callable[[bytes], bytes]
) -> None:
    photos.write_config(tmp_path, photos.Config(port=8081))
    path = tmp_path / "config.json"
    path.write_bytes(edit(path.read_bytes()))
    assert photos.read_config(tmp_path) == photos.Config(port=8081)


def test_settings_that_the_file_leaves_out_have_their_defaults(tmp_path: Path) -> None:
    write_file(tmp_path, title="Ours")
    assert photos.read_config(tmp_path) == photos.Config(title="Ours")


def test_an_unknown_key_is_logged_and_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_file(tmp_path, titel="Ours", port=8081)
    with caplog.at_level(logging.WARNING, "photos"):
        assert photos.read_config(tmp_path) == photos.Config(port=8081)
    assert [record.message for record in caplog.records] == [
        'config.json: "titel" is not a setting'
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"version": 1, "port": 80',
        b'{"version": 1, "port": 80,}',
        b'["version", 1]',
        b"null",
        b'{"port": 80}',
        b'{"version": "1", "port": 80}',
        b'{"version": 1, "title": "\xff"}',
        b"\x00" * 64,
    ],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(photos.StateError, match="damaged") as refusal:
        photos.read_config(tmp_path)
    assert os.fspath(path) in str(refusal.value)
    assert path.read_bytes() == content


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = write_file(tmp_path, version=photos.STATE_VERSION + 1, port=8081)
    content = path.read_bytes()
    with pytest.raises(photos.StateError, match="newer version"):
        photos.read_config(tmp_path)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(photos.StateError, match=r"config\.json cannot be read"):
        photos.read_config(tmp_path)


def test_the_library_is_the_folder_of_the_state_folder_or_the_one_that_was_chosen(
    tmp_path: Path,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    state = tmp_path / ".photos"
    assert photos.library_root(state, photos.Config()) == tmp_path
    chosen = photos.Config(library=os.fspath(tmp_path / "elsewhere"))
    assert photos.library_root(state, chosen) == tmp_path / "elsewhere"


def test_a_library_on_a_disk_that_is_not_connected_is_named(tmp_path: Path) -> None:
    with pytest.raises(photos.StateError, match=r"unplugged.*disk"):
        photos.library_root(
            tmp_path, photos.Config(library=os.fspath(tmp_path / "unplugged"))
        )


def test_what_a_system_says_of_a_port_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has numbers of its own for errors of sockets, which os.strerror does not know."""

    def refuse(address: tuple[str, int]) -> None:
        cause = "Only one usage of each address is permitted"
        problem = f"{cause} (while attempting to bind on address {address!r})"
        raise OSError(10048, problem)

    monkeypatch.setattr(photos.socket, "create_server", refuse)
    with pytest.raises(
        ValueError, match=r"cannot be used \(Only one usage .* permitted\)\."
    ):
        photos.parse_free_port("8080")
