"""Why a file cannot be shown is told to owners alone; others get a plain sentence."""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from drawing import draw
from gallery import BROKEN, Gallery, open_gallery
from PIL import Image

NO_PICTURE = "its content is not a picture, or damaged from the start"


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["visitor", "user", "owner"])
def test_only_an_owner_is_told_why_a_file_cannot_be_shown(
    gallery: Gallery, kind: str
) -> None:
    client = gallery.client(kind)
    page = client.get(f"/album/{quote(BROKEN)}").text
    facts = gallery.item(BROKEN, kind)
    assert "This file cannot be shown" in page
    assert facts["problem"] == "no picture"
    assert (NO_PICTURE in page) == (kind == "owner")
    assert facts.get("reason") == (NO_PICTURE if kind == "owner" else None)
    for address in (
        facts["original"],
        f"/thumbnail/{quote(BROKEN)}",
        f"/preview/{quote(BROKEN)}",
    ):
        answer = client.get(address)
        assert NO_PICTURE not in f"{answer.headers}{answer.body!r}"


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["visitor", "user", "owner"])
def test_a_damaged_photo_says_so_in_plain_words(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = draw(tmp_path / "Album" / "Damaged" / "half.jpg", (900, 900))
    Image.effect_noise((900, 900), 90).save(path)
    path.write_bytes(path.read_bytes()[:-9000])
    os.utime(path, (time.time() - 99,) * 2)
    with open_gallery(tmp_path / "Album") as gallery:
        page = gallery.client(kind).get("/album/Damaged/half.jpg").text
        facts = gallery.item("Damaged/half.jpg", kind)
    assert facts["problem"] == "partial"
    assert ("damaged, shown as far as it goes" in page) == (kind == "owner")
    sentence = "This file is damaged: only a part of it can be shown"
    assert (sentence in page) == (kind != "owner")
