"""Section "Outside": what `check --outside` says of a site behind a proxy, set up well and badly."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from conftest import needed, set_up
from drawing import draw
from processes import Server, eventually, free_port

import photos

KEPT = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;"
LED_ON = "error_page 497 =301 https://$http_host$request_uri;"
CACHE = (
    "proxy_cache kept; proxy_cache_valid any 10m;"
    "proxy_ignore_headers Cache-Control Expires Set-Cookie{vary};"
)


class Behind(NamedTuple):
    """A server process, and the public address where a proxy is to pass it on."""

    server: Server
    port: int
    address: str


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    needed("nginx")
    root = tmp_path_factory.mktemp("outside") / "Album"
    draw(root / "Trip & <more>" / "one.jpg")
    draw(root / "Silly faces.private" / "Ümläut" / "two & three.jpg", colour="#aa5500")
    draw(root / "Letters.private" / "a.jpg", colour="#00aa55")
    broken = root / "Silly faces.private" / "Ümläut" / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 that is all")
    os.utime(broken, (1e9, 1e9))  # the first of its album
    port = free_port()
    address = f"https://localhost:{port}/photos"
    set_up(root, public_address=address, trusted_proxy="127.0.0.1")
    with Server(root) as server:
        server.command("index")
        yield Behind(server, port, address)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes certificates: files NAME.pem and NAME.key in a folder that is returned."""
    openssl = needed("openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def make(name: str, host: str = "localhost", year: int = 2099) -> Path:
        if (folder / f"{name}.pem").exists():
            return folder
        (folder / "index.txt").write_text("")
        (folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nnew_certs_dir=.\n"
            "policy=any\ndefault_md=sha256\nrand_serial=yes\nx509_extensions=for_host\n"
            f"[any]\ncommonName=supplied\n[for_host]\nsubjectAltName=DNS:{host}\n"
        )
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        key += ["-keyout", f"{name}.key", "-out", "request", "-subj", f"/CN={host}"]
        sign = ["-config", "ca.cnf", "-selfsign", "-batch", "-notext", "-in", "request"]
        sign += ["-keyfile", f"{name}.key", "-out", f"{name}.pem"]
        sign += ["-startdate", "20200101000000Z", "-enddate", f"{year}0101000000Z"]
        for command in (["req", *key], ["ca", *sign]):
            subprocess.run([openssl, *command], check=True, capture_output=True, cwd=folder)
        return folder

    return make


Proxy = Callable[..., None]


@pytest.fixture
def proxy(
    behind: Behind,
    certificates: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Proxy]:
    """Starts nginx at the public address, whose certificate this machine trusts."""
    running = []

    def start(
        location: str = KEPT, site: str = LED_ON, name: str = "good", **certificate: object
    ) -> None:
        folder = certificates(name, **certificate)
        monkeypatch.setenv("SSL_CERT_FILE", os.fspath(folder / f"{name}.pem"))
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in kinds)
        if "proxy_pass" not in location and "return" not in location:
            location = f"proxy_pass http://127.0.0.1:{behind.server.port}; {location}"
        (tmp_path / "nginx.conf").write_text(
            f"""daemon off; master_process off; pid {tmp_path}/pid;
            events {{}}
            http {{
                access_log off; {temporary}
                proxy_cache_path {tmp_path}/cache keys_zone=kept:1m;
                server {{
                    listen 127.0.0.1:{behind.port} ssl; {site}
                    ssl_certificate {folder}/{name}.pem;
                    ssl_certificate_key {folder}/{name}.key;
                    location / {{ {location} }}
                    location @plain {{ proxy_pass http://127.0.0.1:{behind.server.port}; {KEPT} }}
                }}
            }}"""
        )
        command = ["nginx", "-c", tmp_path / "nginx.conf", "-p", tmp_path]
        running.append(subprocess.Popen([*command, "-e", tmp_path / "error.log"]))
        eventually(lambda: is_listening(behind.port))

    yield start
    for process in running:
        process.terminate()
        process.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def check(
    behind: Behind, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs `check --outside` in this process; returns its status and what it prints."""

    def run(state: Path = behind.server.state) -> tuple[int, str]:
        capsys.readouterr()
        status = photos.main(["--state", os.fspath(state), "check", "--outside"])
        done = capsys.readouterr()
        assert "Traceback" not in done.err and done.err.count("\n") <= 1
        return status, done.out + done.err

    return run


Check = Callable[..., tuple[int, str]]


def wrongs(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("WRONG: ")]


@pytest.mark.whole
def test_a_site_that_is_set_up_well_has_nothing_wrong(proxy: Proxy, check: Check) -> None:
    proxy()
    status, text = check()
    assert wrongs(text) == [] and status == 0, text
    for words in (
        "certificate is valid",
        "http:// shows nothing that is not encrypted",
        "Host that browsers send is kept",
        "Headers arrive as they were sent",
        "A thumbnail of ",
        "Private albums are as if they were not there",
    ):
        assert words in text


@pytest.mark.whole
@pytest.mark.parametrize(
    ("location", "site", "words"),
    [
        ("proxy_set_header X-Forwarded-Proto $scheme;", LED_ON, "Host that browsers send gets lost"),
        (f"{KEPT} proxy_hide_header Referrer-Policy;", LED_ON, "headers: Referrer-Policy."),
        (
            f"{KEPT} add_header Content-Security-Policy \"default-src *\" always;",
            LED_ON,
            "headers: Content-Security-Policy.",
        ),
        (
            f"{KEPT} proxy_hide_header Cache-Control; expires 1h;",
            LED_ON,
            "headers: Cache-Control",
        ),
        (
            f"{KEPT} proxy_hide_header Cache-Control; add_header Cache-Control no-store always;",
            LED_ON,
            "headers: Cache-Control, Cache-Control of thumbnails",
        ),
        (f"{KEPT} {CACHE.format(vary=' Vary')}", LED_ON, "Strangers get something private with status 200"),
        (f"{KEPT} {CACHE.format(vary='')}", LED_ON, "Strangers get something private with status 200"),
        (f'{KEPT} proxy_set_header Cookie "";', LED_ON, "Cookies get lost"),
        (KEPT, "error_page 497 =200 @plain;", "does not lead on to https://"),
        (KEPT, "error_page 497 =301 https://elsewhere.example/;", "does not lead on to https://"),
    ],
)  # fmt: skip
def test_what_a_proxy_does_wrong_is_said_with_what_to_do(
    location: str, site: str, words: str, proxy: Proxy, check: Check
) -> None:
    proxy(location, site)
    status, text = check()
    assert status == 1, text
    assert any(words in line and "Have " in line for line in wrongs(text)), text
    assert text.splitlines()[-1].startswith("photos: From outside, ")


@pytest.mark.whole
@pytest.mark.parametrize("path", ["Silly faces/", "Silly faces/Ümläut/", "Letters/"])
def test_a_private_page_that_a_cache_holds_already_is_found(
    path: str, proxy: Proxy, check: Check
) -> None:
    path = f"/photos/album/{path}"
    proxy(KEPT, f"{LED_ON} location = \"{path}\" {{ return 200 'faces'; }}")
    status, text = check()
    (line,) = wrongs(text)
    assert status == 1 and f"private with status 200: {quote(path)} " in line


@pytest.mark.whole
def test_a_proxy_that_tells_private_albums_from_none_is_found(
    proxy: Proxy, check: Check
) -> None:
    proxy(f"{KEPT} if ($uri ~ Silly) {{ add_header X-Age 1 always; }}", LED_ON)
    status, text = check()
    assert status == 1 and "can tell a private album from none, by x-age." in text


@pytest.mark.whole
@pytest.mark.parametrize(
    ("location", "words"),
    [
        (f"{KEPT.replace('$http_host', 'backend.example')}", "Host that browsers send gets lost"),
        ("return 302 https://elsewhere.example/photos/;", "leads on to 'https://elsewhere.example"),
        ("return 200 'Hello';", "Another site answers"),
        ("return 404;", "Another site answers"),
        ('return 200 \'{"albums": [{"title": "Theirs"}]}\';', "Another site answers"),
        ("return 200 '[]';", "Another site answers"),
        ('return 200 \'{"albums": [{"title": ["x"]}]}\';', "Another site answers"),
        ("proxy_pass http://127.0.0.1:1;", "answers with status 502"),
    ],
)  # fmt: skip
def test_an_address_that_does_not_lead_here_is_said_and_learns_no_private_name(
    location: str, words: str, proxy: Proxy, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    ask = photos.Outsider.ask

    def note(self: photos.Outsider, path: str, **headers: str) -> photos.Answer:
        paths.append(path)
        return ask(self, path, **headers)

    monkeypatch.setattr(photos.Outsider, "ask", note)
    proxy(location)
    status, text = check()
    assert status == 1 and words in text, text
    assert paths and not [path for path in paths if "Silly" in path]


@pytest.mark.whole
@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ({"name": "old", "year": 2021}, "expired"),
        ({"name": "other", "host": "other.example"}, "ostname"),
        ({"name": "good"}, "self-signed"),
    ],
)
def test_a_certificate_that_is_not_valid_is_said(
    certificate: dict[str, object],
    words: str,
    proxy: Proxy,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy(**certificate)
    if words == "self-signed":
        monkeypatch.delenv("SSL_CERT_FILE")
    status, text = check()
    assert status == 1
    assert "The certificate of localhost is not valid" in text and words in text


@pytest.mark.whole
def test_where_nothing_answers_that_is_said(behind: Behind, check: Check) -> None:
    status, text = check()
    assert status == 1 and "Nothing answers properly at" in text and "refused" in text


# What hostile or broken servers do


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], str]]:
    """Starts a server that sends some bytes as often as its visitor takes them."""
    monkeypatch.setattr(photos, "ASK_SECONDS", 20)
    with contextlib.ExitStack() as closing:

        def start(*blocks: bytes) -> str:
            listener = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
            ending = threading.Event()
            closing.callback(ending.set)

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while not ending.is_set():
                        visitor, _ = listener.accept()
                        with visitor:
                            visitor.recv(4096)
                            for block in blocks:
                                visitor.sendall(block)
                                ending.wait(0.05)

            threading.Thread(target=serve, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([HEAD, *[b"x"] * 500], "more than 0.5 seconds"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 500], "more than 0.5 seconds"),
        ([b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500], "Nothing answers properly"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"y" * 99_999], "Nothing answers properly"),
        ([b"SSH-2.0-OpenSSH\r\n"], "Nothing answers properly"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}"], ""),
    ],
    ids=["drips", "drips headers", "many headers", "a long header", "no HTTP", "no length"],
)
def test_no_server_holds_the_check_up_or_breaks_it(
    blocks: list[bytes],
    words: str,
    answering: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "seconds" in words:
        monkeypatch.setattr(photos, "ASK_SECONDS", 0.5)
    outsider = photos.Outsider(answering(*blocks))
    if not words:
        assert outsider.ask("/").body == b"{}"
        return
    with pytest.raises(photos.PhotosError) as error:
        outsider.ask("/")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_no_more_than_a_megabyte_is_taken_of_an_answer(
    answering: Callable[..., str],
) -> None:
    outsider = photos.Outsider(answering(HEAD + b"x" * (3 << 20)))
    assert len(outsider.ask("/").body) == photos.ANSWER_BYTES


def test_a_name_that_nobody_knows_is_said() -> None:
    with pytest.raises(photos.PhotosError, match=r"Nobody knows the name photos\.invalid"):
        photos.Outsider("https://photos.invalid").ask("/")


@pytest.mark.parametrize("body", [b"[" * 500_000, b"", b"null", b'{"albums": 1}', b"\xff"])
def test_what_is_no_list_of_albums_of_ours_is_none(body: bytes) -> None:
    assert photos.titles_shown(photos.Answer(200, {}, body, 0.1)) is None


@pytest.mark.whole
def test_a_library_that_is_private_as_a_whole_is_not_called_another_site(
    library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = library.rename(library.with_name("Album.private"))
    set_up(private)
    with Server(private) as server:
        settings = photos.Config(public_address=server.address, port=server.port)
        photos.write_config(server.state, settings)
        assert photos.main(["--state", os.fspath(server.state), "check", "--outside"]) == 1
    assert "Strangers find nothing" in capsys.readouterr().err


@pytest.mark.whole
def test_without_a_public_address_one_sentence_says_what_to_set(
    library: Path, check: Check
) -> None:
    state = set_up(library) / ".photos"
    status, text = check(state)
    assert status == 1 and "no public address" in text and "init --public-address" in text


@pytest.mark.whole
def test_behind_a_tunnel_the_address_that_it_got_is_asked(library: Path) -> None:
    state = set_up(library) / ".photos"
    photos.TunnelNote("https://quiet-lake.trycloudflare.com").write(state)
    config = photos.Config(tunnel="cloudflare")
    assert photos.outside_address(state, config) == "https://quiet-lake.trycloudflare.com"
    with pytest.raises(photos.PhotosError):
        photos.outside_address(state, photos.Config())


@pytest.mark.whole
def test_without_encryption_that_is_what_is_wrong(
    library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(library)
    with Server(library) as server:
        settings = photos.Config(public_address=server.address, port=server.port)
        photos.write_config(server.state, settings)
        capsys.readouterr()
        assert photos.main(["--library", os.fspath(library), "check", "--outside"]) == 1
    assert "is not encrypted" in capsys.readouterr().out


@pytest.mark.whole
def test_the_session_for_asking_ends_within_a_minute(library: Path) -> None:
    state = set_up(library) / ".photos"
    cookie = photos.session_cookie(state, photos.UserStore(state))
    token = cookie.rpartition("=")[2]
    claims = photos.jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 60 and claims["sub"] == "anna"
    assert photos.Tokens(photos.read_secret(state)).read(token)


@pytest.mark.whole
def test_a_tunnel_of_this_run_alone_is_asked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://quiet-lake.trycloudflare.com"
    photos.TunnelNote(address, True, 1).write(tmp_path)
    config = photos.Config(public_address="https://photos.example.org")
    assert photos.outside_address(tmp_path, config) == config.public_address
    monkeypatch.setattr(photos, "serving_version", lambda state: "0.1.0")
    assert photos.outside_address(tmp_path, config) == address
