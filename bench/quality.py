"""Compare renditions with those of others: mean SSIM where the files are equally large.

    python bench/quality.py PHOTO [PHOTO ...]        needs numpy

What each makes of a photo is compared with the whole photo, upright and in sRGB, brought to the
same size by Lanczos. The quality of the others is searched: the best whose file is no larger than
ours, of as many pixels. vips takes part where `vipsthumbnail` is installed. Thumbnails are measured
as they are made first, without a preview.
"""

import io
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from formats import ssim
from PIL import Image, ImageCms, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import renditions

Make = Callable[[str, tuple[int, int], int], bytes]  # of a path, a box and a quality
SRGB = ImageCms.createProfile("sRGB")


def upright_srgb(image: Image.Image) -> Image.Image:
    """Return a picture as it is meant to be seen."""
    upright = ImageOps.exif_transpose(image).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        ImageCms.profileToProfile(upright, own, SRGB, inPlace=True)
    return upright


def pillow(form: str) -> Make:
    def make(path: str, box: tuple[int, int], quality: int) -> bytes:
        out = io.BytesIO()
        with Image.open(path) as image:
            stored_box = box
            if image.getexif().get(0x0112, 1) > 4:  # it lies on its side
                stored_box = box[1], box[0]
            image.thumbnail(stored_box, Image.Resampling.BICUBIC, reducing_gap=2.0)
            picture = upright_srgb(image)
            picture.info = {}
            picture.save(out, form, quality=quality)
        return out.getvalue()

    return make


def vips(path: str, box: tuple[int, int], quality: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jpg"
        size = f"{box[0]}x{box[1]}"
        command = ["vipsthumbnail", path, "--size", size, "-o", f"{out}[Q={quality},strip]"]
        subprocess.run(command, check=True)
        return out.read_bytes()


def score(content: bytes, whole: Image.Image) -> float:
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    return ssim(whole.resize(picture.size, Image.Resampling.LANCZOS), picture)


def best_within(make: Make, path: str, box: tuple[int, int], most: int) -> bytes:
    low, high = 1, 100
    while high - low > 1:
        middle = (low + high) // 2
        if len(make(path, box, middle)) <= most:
            low = middle
        else:
            high = middle
    return make(path, box, low)


def main() -> None:
    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    others = {"Pillow JPEG": pillow("JPEG"), "Pillow WebP": pillow("WEBP")}
    if shutil.which("vipsthumbnail"):
        others["vips JPEG"] = vips
    for name in ("320", "640", renditions.PREVIEW):
        scores: dict[str, list[float]] = {}
        sizes = []
        for path in sys.argv[1:]:
            whole = upright_srgb(Image.open(path))
            with tempfile.TemporaryDirectory() as folder:
                for purpose in (renditions.Purpose.THUMBNAILS, renditions.Purpose.ALL):
                    info = renditions.develop(path, purpose, Path(folder))
                ours = renditions.rendition_path(Path(folder), info.key, name).read_bytes()
            sizes.append(len(ours))
            with Image.open(io.BytesIO(ours)) as image:
                box = image.size
            scores.setdefault("ours", []).append(score(ours, whole))
            for other, make in others.items():
                content = best_within(make, path, box, len(ours))
                scores.setdefault(other, []).append(score(content, whole))
        print(f"{name}: {len(sizes)} photos, {statistics.median(sizes) / 1000:.0f} kB")
        for maker, values in scores.items():
            print(f"  {maker:12} {statistics.mean(values):.4f}")


if __name__ == "__main__":
    main()
