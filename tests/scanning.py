"""Reads a QR code from a terminal, as a phone does that is held before it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from conftest import needed
from PIL import Image

BLOCKS = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
# What any terminal with 256 colours draws for these two, whatever its theme.
FIXED = {"38;5;16": 0, "48;5;231": 255}


def code_lines(screen: str) -> list[str]:
    """Return the lines of a terminal that show a QR code."""
    return [line for line in screen.splitlines() if "48;5;231" in line]


def screenshot(lines: list[str], ink: int, paper: int) -> Image.Image:
    """Draw lines of half blocks as a terminal does whose own colours are ink and paper."""
    rows = []
    for line in lines:
        upper, lower = [], []
        front, back = ink, paper
        for codes, letter in re.findall(r"\033\[([\d;]*)m|(.)", line):
            if codes == "0":
                front, back = ink, paper
            elif codes:
                first, second = re.findall(r"[34]8;5;\d+", codes)
                front, back = FIXED[first], FIXED[second]
            else:
                above, below = BLOCKS[letter]
                upper.append((back, front)[above])
                lower.append((back, front)[below])
        rows += [upper, lower]
    picture = Image.new("L", (len(rows[0]) + 4, len(rows) + 4), paper)
    for y, row in enumerate(rows):
        for x, brightness in enumerate(row):
            picture.putpixel((x + 2, y + 2), brightness)
    return picture.resize((8 * picture.width, 8 * picture.height), Image.Resampling.NEAREST)


def read_back(picture: Image.Image, folder: Path) -> str:
    """Return what a reader of QR codes sees in a picture."""
    path = folder / "code.png"
    picture.save(path)
    command = [needed("zbarimg"), "-q", "--raw", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.removesuffix("\n")
