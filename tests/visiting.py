"""A visitor's browser, as far as tests need one: requests as validated WSGI, cookies, pages, links."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlencode, urljoin, urlsplit
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import photos

PASSWORD = "correct horse battery"
OWN = {"Sec_Fetch_Site": "same-origin"}  # what a browser says of a form of the same site


@dataclasses.dataclass
class Answer:
    """What a WSGI application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """A visitor's browser, as far as tests need one: cookies, forms; each call is validated WSGI."""

    def __init__(self, app: Any, **environ: str) -> None:
        self._app = validator(app)
        self._environ = environ
        self.cookies: dict[str, str] = {}

    def request(
        self,
        method: str,
        address: str,
        body: bytes = b"",
        type: str = "application/x-www-form-urlencoded",
        **headers: str,
    ) -> Answer:
        """Send a request; `address` is a path with percent-encoding; headers as `If_None_Match`."""
        parts = urlsplit(address)
        path = parts.path.encode("ascii")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "SCRIPT_NAME": "",
            "QUERY_STRING": parts.query,
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            **self._environ,
        }
        if body:
            environ["CONTENT_TYPE"] = type
        if self.cookies:
            environ["HTTP_COOKIE"] = "; ".join(
                f"{name}={value}" for name, value in self.cookies.items()
            )
        environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        setup_testing_defaults(environ)
        return self._send(environ)

    def _send(self, environ: dict[str, Any]) -> Answer:
        seen: list[Any] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Any:
            seen[:] = [int(status.split()[0]), headers]
            return lambda _: None

        chunks = self._app(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            chunks.close()
        status, headers = seen
        for name, value in headers:
            if name.lower() == "set-cookie":
                cookie, _, content = value.split(";")[0].partition("=")
                if content.strip('"'):
                    self.cookies[cookie] = content
                else:
                    self.cookies.pop(cookie, None)
        return Answer(status, {name.lower(): value for name, value in headers}, body)

    def get(self, address: str, **headers: str) -> Answer:
        return self.request("GET", address, **headers)

    def log_in(
        self, user: str = "anna", password: str = PASSWORD, target: str = "/"
    ) -> Answer:
        form = urlencode({"user": user, "password": password, "next": target}).encode()
        return self.request("POST", "/login", form, **OWN)


class Page(HTMLParser):
    """The links, forms, texts and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []  # to follow
        self.images: list[str] = []
        self.items: list[str] = []  # of the grid
        self.fields: dict[str, str] = {}
        self.actions: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        sources = [
            each.split()[0] for each in found.get("srcset", "").split(",") if each.strip()
        ]
        sources += [found.get("poster", ""), found.get("src", "") if tag == "img" else ""]
        self.images += filter(None, sources)
        links = [
            each
            for each in (found.get("href"), found.get("src"), *sources)
            if each and each[0] != "#"
        ]
        # The map is the only place outside that a page may lead to, at a tap.
        self.links += [link for link in links if not link.startswith((photos.MAP, "data:"))]
        self.items += [found["href"]] if "grid" in self.tags and tag == "a" else []
        self.tags |= {tag} | ({"grid"} if found.get("class") == "grid" else set())
        self.actions += [found["action"]] if "action" in found else []
        self.fields |= (
            {found["name"]: found.get("value", "")}
            if "name" in found and tag == "input"
            else {}
        )
        self.attributes |= found.keys()
        self.texts += [found[name] for name in ("alt", "value") if name in found]

    def handle_endtag(self, tag: str) -> None:
        if tag == "ol":
            self.tags.discard("grid")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def crawl(
    client: Client, *starts: str, prefix: str = "", each: Any = None
) -> dict[str, Answer]:
    """Follow every link from some addresses on; call `each` with every address and answer."""
    answers: dict[str, Answer] = {}
    todo = list(starts)
    while todo:
        address = todo.pop().partition("#")[0]
        if address in answers:
            continue
        assert address.startswith(f"{prefix}/") and not address.startswith("//"), address
        answer = answers[address] = client.get(address.removeprefix(prefix))
        todo += [answer.headers["location"]] if "location" in answer.headers else []
        if is_page(answer):
            todo += [urljoin(address, link) for link in Page(answer.text).links]
        if answer.headers.get("content-type") == "application/json":
            todo += [
                text for text in texts_of(json.loads(answer.body)) if text.startswith("/")
            ]
        if each:
            each(address, answer)
            answers[address] = dataclasses.replace(answer, body=b"")
    return answers


def is_page(answer: Answer) -> bool:
    return (
        answer.headers.get("content-type", "").startswith("text/html")
        and answer.body != b""
    )


def texts_of(found: Any) -> Iterator[str]:
    """Yield all texts in JSON."""
    if isinstance(found, (dict, list)):
        for each in found.values() if isinstance(found, dict) else found:
            yield from texts_of(each)
    elif isinstance(found, str):
        yield found


def everything(answer: Answer) -> str:
    """Return headers and body as one text, lengths left out."""
    headers = {
        name: value for name, value in answer.headers.items() if name != "content-length"
    }
    return unquote(f"{headers} {answer.body.decode('utf-8', 'replace')}")


def invite(state: Path, album: str, label: str = "Grandma", **terms: Any) -> str:
    """Make a share of an album, in a library with its state folder; return its prefix."""
    folders, store = photos.Folders(state.parent, state), photos.ShareStore(state)
    parts = tuple(filter(None, album.split("/")))
    place = folders.locate(parts, photos.OWNER_PRINCIPAL)
    assert place
    guests = photos.Guests(store, photos.UserStore(state), folders)
    share = guests.make(place, label=label, **{"until": None, **terms})
    return f"/s/{store.token(share)}"
