"""Small pictures for tests, drawn on the spot, and what cameras write into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw


def draw(
    path: Path, size: tuple[int, int] = (60, 40), colour: str = "#336699", **save: Any
) -> Path:
    """Draw a small picture; its format follows the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, colour)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 3, size[1] // 3), fill="white")
    image.save(path, **save)
    return path


def exif(date: str = "2024:05:06 07:08:09", offset: str = "", **tags: Any) -> bytes:
    """Return an EXIF block with a date taken."""
    block = Image.Exif()
    details = block.get_ifd(0x8769)
    details[0x9003] = date
    if offset:
        details[0x9011] = offset
    for tag, value in tags.items():
        block[int(tag.removeprefix("tag"), 16)] = value
    return block.tobytes()


def place_block(latitude: float, longitude: float) -> bytes:
    """Return an EXIF block with a location, north and east."""
    block = Image.Exif()
    block.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    gps = block.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (latitude, 0, 0), "E", (longitude, 0, 0)
    return block.tobytes()
