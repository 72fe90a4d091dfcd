"""An application over a library that hurts, which tests only read, and every kind of visitor to it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawing import draw, exif, place_block
from visiting import PASSWORD, Client

import photos

VISITORS = ("visitor", "user", "owner", "removed", "ended", "forged", "expired")
KNOWN = ("user", "owner")  # who is logged in

# File names as bytes, as the disk has them; those of one line are told apart by their bytes alone.
NAMES = [
    *(
        b"quote'\"<b>x<b>.jpg",
        b"<img src=x onerror=alert(1)>.jpg",
        b"' onmouseover='alert(1).jpg",
    ),
    *(
        b"100% sure&yes=1+2.jpg",
        b"%2e%2e%2fup.jpg",
        b"100%25.jpg",
        b"a?b#c;d.jpg",
        b"back\\slash.jpg",
    ),
    *(
        b"new\nline.jpg",
        b"tab\tcr\r.jpg",
        b" space .jpg",
        b"{{1+1}} % if True.jpg",
        b"x" * 251 + b".jpg",
    ),
    *(b"caf\xe9.jpg", "caf\ufffd.jpg".encode()),
    *("NFC é.jpg".encode(), "NFC e\u0301.jpg".encode()),
    *(b"IMG_0001.JPG", b"img_0001.jpg"),
    *(
        "🏖️ 👨‍👩‍👧.jpg".encode(),
        "\u202egnp.exe.jpg".encode(),
        "שלום.jpg".encode(),
        "写真 001.jpg".encode(),
    ),
]
FOLDERS = [
    b"two\nlines",
    b"<i>\"&'",
    b"caf\xe9",
    b"50% off?#;+",
    b"back\\slash",
    "日本 🗻".encode(),
]

BROKEN = "Trip/Beach/<b>broken.jpg"


@dataclasses.dataclass
class Gallery:
    """A site that tests only read, and every kind of visitor to it."""

    app: photos.Site
    root: Path
    epochs: dict[str, str]

    @property
    def tokens(self) -> photos.Tokens:
        return photos.Tokens(photos.read_secret(self.root / ".photos"))

    def token(self, kind: str) -> str:
        if kind == "forged":
            return photos.Tokens(bytes(32)).issue("anna", self.epochs["anna"])
        tokens = self.tokens
        seconds = -60 if kind == "expired" else photos.SESSION_SECONDS
        name = {"owner": "mira", "removed": "bert", "ended": "carl"}.get(kind, "anna")
        return tokens.issue(name, self.epochs[name], seconds=seconds)

    def client(self, kind: str = "visitor", **environ: Any) -> Client:
        client = Client(self.app, **environ)
        if kind != "visitor":
            client.cookies[f"photos-{self.tokens.site}"] = self.token(kind)
        return client

    def read(self, path: str = "") -> None:
        """Have all files below an album read and rendered, so that its pages change no more.

        An album waits for its own files alone, and its page has their colours once they have thumbnails.
        """
        facts = self.json(path, "user")
        for item in facts["items"]:
            for address in item.get("thumbnails", {}).values():
                self.client("user").get(address)
        for album in facts["albums"]:
            self.read(album["api"].removeprefix("/api/album/"))

    def json(self, path: str, kind: str = "visitor") -> dict[str, Any]:
        return json.loads(self.client(kind).get(f"/api/album/{path}".rstrip("/")).body)

    def item(self, path: str, kind: str = "visitor") -> dict[str, Any]:
        folder, _, name = path.rpartition("/")
        return next(
            item for item in self.json(folder, kind)["items"] if item["name"] == name
        )


def furnish(root: Path) -> None:
    """Make albums of each visibility, links between them, and names that hurt."""
    draw(root / "loose.jpg", exif=exif("2020:01:01 10:00:00"))
    draw(root / "Trip" / "one.jpg", exif=place_block(48.25, 16.5))
    draw(root / "Trip" / "two.jpg", (700, 500), "#aa5500", exif=exif("2024:05:07 07:08:09"))
    draw(root / "Trip" / "Beach" / "sand.png", colour="#ccbb88")
    draw(root / "Trip" / "equator.jpg", exif=place_block(0, 9))
    (root / BROKEN).write_bytes(b"<html><script>alert(1)</script>")
    draw(
        root / "Drafts.hidden" / "draft.jpg",
        colour="#118844",
        exif=exif("2022:02:02 02:02:02"),
    )
    secret = root / "Quartz.private"
    zebra = draw(secret / "zebra.jpg", colour="#880022", exif=exif("1987:11:23 03:03:03"))
    zebra.write_bytes(zebra.read_bytes().ljust(123457, b"\0"))
    (secret / "album.txt").write_text(
        "Xylophone\nKumquats everywhere\nzebra.jpg: A kumquat\n"
    )
    draw(secret / "Deep" / "okapi.jpg", exif=exif("1987:11:24 03:03:03"))
    draw(root / "Trip" / "Inner.private" / "cover.jpg", exif=exif("2031:01:01 00:00:00"))
    (root / "Trip" / "linked.jpg").symlink_to("../Quartz.private/zebra.jpg")
    (root / "Shortcut").symlink_to("Quartz.private")
    for name in NAMES:
        target = os.fsencode(root / "Names") + b"/" + name
        draw(root / "Names" / "last.jpg", colour=f"#{NAMES.index(name) * 9:02x}6699")
        shutil.copy(root / "Names" / "last.jpg", target)
    for name in FOLDERS:
        draw(Path(os.fsdecode(os.fsencode(root / "Folders") + b"/" + name)) / "in.jpg")


@contextlib.contextmanager
def open_gallery(root: Path) -> Iterator[Gallery]:
    """Furnish a library, register users and open the application over it, all files read."""
    furnish(root)
    state = root / ".photos"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
        photos.make_state_folder(state)
        photos.write_config(state, photos.Config(title="Our <photos>"))
        users = photos.UserStore(state)
        for name in ("anna", "bert", "carl"):
            users.register(name, photos.parse_password(PASSWORD))
        users.register("mira", photos.parse_password(PASSWORD), owner=True)
        epochs = {name: users.epoch(name) or "" for name in users.names()}
        users.remove("bert")
        users.set_password("carl", photos.parse_password(PASSWORD))
        patch.setattr(photos, "READ_PATIENCE", 30)
        patch.setattr(photos, "SETTLE_SECONDS", 0)
        app = photos.create_app(state, background=False)
        made = Gallery(app, root, epochs)
        made.read()
        yield made
        app.close()
