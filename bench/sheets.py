"""Make contact sheets: what pages look like on four screens, light and dark, side by side.

    python bench/sheets.py FOLDER [CASE ...]

FOLDER gets the libraries, which are drawn once, and one PNG a case: a row of light screens above
a row of dark ones. Without a CASE all of them are made; `--list` names them. Needs Chromium and
playwright.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from machine import photos_command, run_command, serving
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).resolve().parent.parent
SCREENS = ((390, 844), (820, 1180), (1280, 800), (1920, 1080))
ROW = 560  # pixels of a sheet's height for one row of screens
GAP = 12
FIRST_DAY = dt.datetime(2017, 8, 1, 9, 5)
LANDSCAPE, PORTRAIT = (1620, 1080), (1080, 1440)
PANORAMA, WIDE, TALL = (3000, 600), (1920, 820), (600, 3600)
TITLES = (
    *("Thailand", "Grandma’s 80th", "A wedding in the hills above the lake", "Snow"),
    *("家族旅行 京都", "رحلة إلى البحر", "新年快樂", "Garten", "Été à la mer", "Kayaks"),
)


class Case(NamedTuple):
    """A page to look at: the library that it is in, and its address."""

    library: str
    address: str = "/"


CASES = {f"albums-{count}": Case(f"albums-{count}") for count in (1, 3, 12, 60)}
CASES |= {
    f"photos-{name}": Case("photos", f"/album/{name}/")
    for name in ("1", "3", "40", "300", "panoramas", "mixed", "tall")
}


def drawn(size: tuple[int, int], number: int) -> Image.Image:
    """Draw a landscape: a sky, a sun, hills one behind the other."""
    chance = random.Random(number)
    width, height = size
    hue = chance.randrange(256)
    sky = Image.linear_gradient("L").resize(size)
    colours = [Image.new("L", size, shade) for shade in (hue, 110)]
    picture = Image.merge("HSV", (*colours, sky.point(lambda v: 120 + v // 2)))
    picture = picture.convert("RGB")
    pen = ImageDraw.Draw(picture)
    x, y, radius = chance.random() * width, height * 0.3, min(size) / 9
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), "#fff3c9")
    for layer in range(4):
        level = height * (0.5 + layer * 0.12)
        points = [(0.0, float(height))]
        for step in range(11):
            points.append((width * step / 10, level + chance.uniform(-0.09, 0.09) * height))
        shade = 150 - layer * 35
        green = f"hsl({(hue * 1.4 + 140 + layer * 12) % 360}, 35%, {shade * 100 // 255}%)"
        pen.polygon([*points, (float(width), float(height))], green)
    return picture.filter(ImageFilter.GaussianBlur(1))


def write(path: Path, size: tuple[int, int], number: int, taken: dt.datetime) -> None:
    """Write a photo as a camera would, with its name and a date."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Example", "Camera 1"
    exif.get_ifd(0x8769)[0x9003] = f"{taken:%Y:%m:%d %H:%M:%S}"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    drawn(size, number).save(file, "JPEG", quality=85, exif=exif)
    path.write_bytes(file.getvalue())


def draw_albums(root: Path, count: int) -> None:
    """Draw so many albums over several years, each with a few photos."""
    for nth in range(count):
        day = FIRST_DAY + dt.timedelta(days=nth * 47)
        for number in range(2 + nth % 2):
            title = f"{TITLES[nth % len(TITLES)]} {nth or ''}".strip()
            size = PANORAMA if nth % 5 == 4 else LANDSCAPE
            taken = day + dt.timedelta(days=number)
            write(root / title / f"{number}.jpg", size, nth * 9 + number, taken)


def draw_album(album: Path, sizes: list[tuple[int, int]], a_day: int) -> None:
    for number, size in enumerate(sizes):
        day, nth = divmod(number, a_day)
        taken = FIRST_DAY + dt.timedelta(days=day, minutes=nth * 7)
        write(album / f"IMG_{number:04}.jpg", size, number, taken)


def draw_photos(root: Path) -> None:
    """Draw an album of each kind."""
    usual = [LANDSCAPE, LANDSCAPE, PORTRAIT, LANDSCAPE, PORTRAIT]
    small = [(width // 3, height // 3) for width, height in usual]
    draw_album(root / "1", usual[:1], 1)
    draw_album(root / "3", usual[:3], 3)
    draw_album(root / "40", usual * 8, 8)
    draw_album(root / "300", small * 60, 13)
    draw_album(root / "panoramas", [PANORAMA] * 5, 5)
    draw_album(
        root / "mixed", [*usual, WIDE, *usual, PANORAMA, *usual[:3], WIDE, *usual], 4
    )
    draw_album(root / "tall", [TALL], 1)
    notes = "Mixed\nTwo weeks between the mountains and the sea.\nIMG_0000.jpg: The lake"
    (root / "mixed" / "album.txt").write_text(notes, "utf-8")


def prepare(folder: Path, name: str) -> Path:
    """Return a library, drawn and indexed if it is not there yet."""
    library = folder / "libraries" / name
    if not library.exists():
        kind, _, count = name.partition("-")
        if kind == "albums":
            draw_albums(library, int(count))
        else:
            draw_photos(library)
    run_command(photos_command(HERE, library, folder / "states" / name, "index"))
    return library


def screenshots(browser: Any, address: str, scheme: str) -> Iterator[Image.Image]:
    """Look at a page on each screen, one after the other."""
    for width, height in SCREENS:
        options = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
        with contextlib.closing(browser.new_context(**options, locale="en-GB")) as context:
            page = context.new_page()
            page.goto(address)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(300)
            yield Image.open(io.BytesIO(page.screenshot()))


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """Lay rows of screenshots below each other."""
    rows = [
        [shot.resize((shot.width * ROW // shot.height, ROW)) for shot in row]
        for row in rows
    ]
    width = max(sum(shot.width + GAP for shot in row) for row in rows)
    picture = Image.new("RGB", (width + GAP, (ROW + GAP) * len(rows) + GAP), "#cc44cc")
    for nth, row in enumerate(rows):
        x = GAP
        for shot in row:
            picture.paste(shot, (x, GAP + nth * (ROW + GAP)))
            x += shot.width + GAP
    return picture


def main() -> None:
    from playwright.sync_api import sync_playwright

    if sys.argv[1:] == ["--list"]:
        print(*CASES)
        return
    folder, wanted = Path(sys.argv[1]), sys.argv[2:] or list(CASES)
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name in wanted:
            case = CASES[name]
            library = prepare(folder, case.library)
            with serving(
                HERE, library, folder / "states" / case.library, "/healthz"
            ) as server:
                address = server.address + case.address
                rows = [list(screenshots(browser, address, s)) for s in ("light", "dark")]
            sheet(rows).save(folder / f"{name}.png")
            print(name, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
