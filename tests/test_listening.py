"""Where the server listens: each address that it prints answers."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import set_up
from processes import PROGRAM, free_port

import photos


def addresses_printed(library: Path, *flags: str) -> Iterator[list[str]]:
    """Run a server; yield the addresses that it prints."""
    words = [*PROGRAM, "--library", os.fspath(library), "serve", *flags]
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            lines = list(iter(server.stdout.readline, "Ctrl-C stops it.\n"))[:40]
            yield [line.strip() for line in lines if line.startswith("  http")]
        finally:
            server.terminate()
            server.communicate()


def status(address: str) -> int:
    """Fetch an address, as curl does; of a zone, %25 is its sign (RFC 6874)."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(unquote(parts.hostname), parts.port, timeout=10)
    connection.request("GET", parts.path, headers={"Host": "any"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def link_local() -> str:
    """Return an address that is valid on one link alone, with its zone; '': there is none."""
    try:
        rows = [
            line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()
        ]
    except OSError:
        return ""
    for digits, *_, name in rows:
        if digits.startswith("fe80"):
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
            return f"{address}%{name}"
    return ""


@pytest.mark.whole
@pytest.mark.parametrize(
    "host", ["::", "0.0.0.0", "127.0.0.1", "::1", "localhost", "link-local"]
)
def test_each_address_that_is_printed_answers(host: str, library: Path) -> None:
    if host == "link-local":
        host = link_local()
    if (":" in host or not host) and not has_ipv6():
        pytest.skip("no IPv6 here")
    set_up(library)
    port = free_port()
    for addresses in addresses_printed(library, "--host", host, "--port", str(port)):
        assert addresses
        assert {address: status(address) for address in addresses} == dict.fromkeys(
            addresses, 200
        )
        if host == "::":
            assert f"http://127.0.0.1:{port}/" in addresses
            assert f"http://[::1]:{port}/" in addresses


def test_the_zone_of_an_address_is_written_as_in_addresses_of_pages() -> None:
    config = photos.Config(host="fe80::1%eth0", port=81)
    assert photos.addresses(config) == ["http://[fe80::1%25eth0]:81/"]


def test_a_host_may_be_a_name_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(name: str, port: None) -> None:
        if name != "nas.local":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert photos.parse_host("nas.local") == "nas.local"
    for wrong in ("maybe", "nas.locale", "nas local", "http://nas.local", ""):
        with pytest.raises(ValueError, match="yes or no"):
            photos.parse_host(wrong)
