"""Draw the libraries that the measurements look at, of photos that are nobody's."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

SMALL, CAMERA = (120, 80), ((4032, 3024), (6000, 4000))
FIRST_DAY = 1_500_000_000  # when the first photo was taken, seconds since 1970
TAKEN, OFFSET, LENS = 0x9003, 0x9011, 0xA434  # DateTimeOriginal and others of EXIF 2.32
ALBUM_PHOTOS = 100


def drawn(size: tuple[int, int], number: int) -> Image.Image:
    """Draw a picture that compresses like a photo: large shapes, an edge or two, grain."""
    shapes = [Image.effect_noise((12, 8), 120) for _ in range(3)]
    scene = Image.merge("RGB", shapes).resize(size, Image.Resampling.BICUBIC)
    detail = Image.effect_noise((size[0] // 3, size[1] // 3), 40 + number % 3 * 8)
    detail = detail.filter(ImageFilter.GaussianBlur(1.5)).resize(size)
    grain = Image.effect_noise(size, 14)
    for layer in (detail, grain):
        scene = ImageChops.add(scene, Image.merge("RGB", [layer] * 3), 1, -128)
    return scene


def as_jpeg(picture: Image.Image, number: int) -> bytes:
    """Return a picture as a camera would write it: with a date, a lens and a thumbnail's room."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Example", "Camera 1"  # Make, Model
    hour, minute = divmod(number, 60)
    day = f"2017:07:{1 + hour // 24:02} {hour % 24:02}:{minute:02}:00"
    exif.get_ifd(0x8769).update({TAKEN: day, OFFSET: "+02:00", LENS: "35 mm f/2"})
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92, exif=exif.tobytes())
    return file.getvalue()


def with_comment(jpeg: bytes, number: int) -> bytes:
    """Return a JPEG of the same pixels and other content: a comment (COM) behind its first marker."""
    text = f"copy {number}".encode()
    comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
    return jpeg[:2] + comment + jpeg[2:]


def write_photo(path: Path, jpeg: bytes, number: int) -> None:
    path.write_bytes(jpeg)
    moment = FIRST_DAY + 60 * number
    os.utime(path, (moment, moment))


def make_large_library(root: Path, photos: int) -> None:
    """Write many small files in albums of a hundred.

    A few contents, each file with a time of its own: to the program, all are different photos.
    """
    jpegs = [as_jpeg(drawn(SMALL, number), number) for number in range(8)]
    for number in range(photos):
        album = root / f"{2000 + number // 10_000} Album {number // ALBUM_PHOTOS:04}"
        if number % ALBUM_PHOTOS == 0:
            album.mkdir(parents=True)
        write_photo(album / f"IMG_{number:06}.jpg", jpegs[number % len(jpegs)], number)


def make_small_library(root: Path, album_sizes: Sequence[int]) -> None:
    """Write albums of small photos, each with a content of its own."""
    number = 0
    for nth, size in enumerate(album_sizes):
        album = root / f"Album {nth}"
        album.mkdir(parents=True)
        for _ in range(size):
            number += 1
            jpeg = as_jpeg(drawn((720, 480), number), number)
            write_photo(album / f"IMG_{number:04}.jpg", jpeg, number)


def copy_photos(folder: Path, source: Path, most: int) -> list[Path]:
    """Copy some of the JPEGs below a folder, spread over all of them."""
    photos = [
        path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")
    ]
    chosen = sorted(photos)[:: max(1, len(photos) // most)][:most]
    copies = [folder / f"{nth} {path.name}" for nth, path in enumerate(chosen)]
    for path, copy in zip(chosen, copies, strict=True):
        shutil.copy(path, copy)
    return copies


def camera_photos(folder: Path, source: Path | None, most: int) -> list[Path]:
    """Return photos as large as those of cameras: from a folder of the caller's, or drawn."""
    folder.mkdir()
    if source:
        return copy_photos(folder, source, most)
    paths = [folder / f"DSC_{number:04}.jpg" for number in range(4)]
    for number, path in enumerate(paths):
        jpeg = as_jpeg(drawn(CAMERA[number % len(CAMERA)], number), number)
        write_photo(path, jpeg, number)
    return paths


def make_camera_library(root: Path, photos: Sequence[Path], albums: int, size: int) -> None:
    """Write albums of camera photos, each with a content of its own."""
    for number in range(albums * size):
        album = root / f"Trip {number // size}"
        album.mkdir(parents=True, exist_ok=True)
        jpeg = photos[number % len(photos)].read_bytes()
        write_photo(album / f"DSC_{number:04}.jpg", with_comment(jpeg, number), number)
