"""The site's own icon: a file in the library that stands for the site."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawing import draw
from visiting import Client

import photos

MakeSite = Callable[..., photos.Site]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def lay(root: Path, name: str) -> bytes:
    """Lay an icon into a folder; return its content."""
    if name.endswith(".svg"):
        (root / name).write_bytes(SVG)
    else:
        draw(root / name, (64, 64))
    return (root / name).read_bytes()


def icons_of(site: Any) -> set[str]:
    """Return the addresses of all icons that the front page and the manifest name."""
    client = Client(site)
    page = client.get("/").text
    named = re.findall(r'<link rel="(?:apple-touch-)?icon" href="([^"]+)"', page)
    facts = json.loads(client.get("/manifest.webmanifest").text)
    return {*named, *(icon["src"] for icon in facts["icons"])}


@pytest.mark.whole
@pytest.mark.parametrize("name", photos.ICON_NAMES)
def test_an_icon_in_the_library_replaces_ours_everywhere(
    library: Path, make_site: MakeSite, name: str
) -> None:
    content = lay(library, name)
    site = make_site()
    (address,) = icons_of(site)
    answer = Client(site).get(address)
    assert answer.body == content
    assert address.startswith(f"/static/{name}?v=")
    assert (
        answer.headers["content-type"]
        == {"svg": "image/svg+xml", "png": "image/png"}[name[-3:]]
    )


@pytest.mark.whole
def test_another_icon_has_another_address(library: Path, make_site: MakeSite) -> None:
    lay(library, "icon.png")
    before = icons_of(make_site())
    draw(library / "icon.png", (64, 64), "#00ff00")
    assert icons_of(make_site()).isdisjoint(before)


@pytest.mark.whole
def test_the_icon_is_no_photo_and_one_in_an_album_is(
    library: Path, make_site: MakeSite
) -> None:
    lay(library, "icon.png")
    lay(library / "Trip", "icon.png")
    client = Client(make_site())
    named = lambda path: [  # noqa: E731
        item["name"] for item in json.loads(client.get(path).text)["items"]
    ]
    assert named("/api/album") == ["loose.jpg"]
    assert "icon.png" in named("/api/album/Trip")
    assert client.get("/photo/icon.png").status == 404


@pytest.mark.whole
def test_what_is_no_plain_small_file_is_no_icon(
    library: Path, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (library / "icon.svg").symlink_to("Secret.private/faces.jpg")
    assert len(icons_of(make_site())) == 4
    (library / "icon.svg").unlink()
    (library / "icon.svg").mkdir()
    assert len(icons_of(make_site())) == 4
    lay(library, "icon.png")
    monkeypatch.setattr(photos, "ICON_BYTES", 10)
    assert len(icons_of(make_site())) == 4
