"""Compare still formats for renditions: bytes and CPU at equal quality.

    python bench/formats.py PHOTO [PHOTO ...]        needs numpy

For each size, every encoder's quality is searched until the mean SSIM (luma, 8-pixel box window,
Wang et al. 2004) over the photos reaches that of WebP quality 80; then the median bytes and the
median encoding and decoding CPU milliseconds of each are printed, with their ratio to WebP method 0.
"""

import io
import statistics
import sys
import time
from typing import Any

import numpy as np
from PIL import Image, ImageOps

SIZES = (640, 1920)
ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "WebP m0": ("WEBP", {"method": 0}),
    "WebP m2": ("WEBP", {"method": 2}),
    "WebP m4": ("WEBP", {"method": 4}),
    "JPEG": ("JPEG", {}),
    "JPEG progressive": ("JPEG", {"progressive": True, "optimize": True}),
    "AVIF speed 9": ("AVIF", {"speed": 9, "max_threads": 1}),
    "AVIF speed 7": ("AVIF", {"speed": 7, "max_threads": 1}),
}


def box(values: Any, window: int = 8) -> Any:
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inner = sums[window:, window:] - sums[:-window, window:] - sums[window:, :-window]
    return (inner + sums[:-window, :-window]) / window**2


def ssim(one: Image.Image, other: Image.Image) -> float:
    a, b = (np.asarray(image.convert("L"), dtype=np.float64) for image in (one, other))
    mean_a, mean_b = box(a), box(b)
    var_a, var_b = box(a * a) - mean_a**2, box(b * b) - mean_b**2
    cov = box(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())


def trial(
    images: list[Image.Image], form: str, options: dict[str, Any], quality: int
) -> tuple[float, ...]:
    scores, sizes, encoding, decoding = [], [], [], []
    for image in images:
        out, start = io.BytesIO(), time.process_time()
        image.save(out, form, quality=quality, **options)
        middle = time.process_time()
        back = Image.open(out)
        back.load()
        decoding.append(time.process_time() - middle)
        encoding.append(middle - start)
        sizes.append(out.tell() if form == "AVIF" else len(out.getvalue()))
        scores.append(ssim(image, back))
    return (
        statistics.mean(scores),
        statistics.median(sizes),
        statistics.median(encoding) * 1000,
        statistics.median(decoding) * 1000,
    )


def equal_quality(
    images: list[Image.Image], form: str, options: dict[str, Any], goal: float
) -> tuple[int, tuple[float, ...]]:
    low, high = 20, 96
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (low, middle)
            if trial(images, form, options, middle)[0] >= goal
            else (middle, high)
        )
    return high, trial(images, form, options, high)


def main() -> None:
    for size in SIZES:
        images = []
        for path in sys.argv[1:]:
            image = ImageOps.exif_transpose(Image.open(path))
            image.thumbnail((size, size), Image.Resampling.LANCZOS)
            images.append(image.convert("RGB"))
        goal = trial(images, "WEBP", {"method": 4}, 80)[0]
        base = None
        print(f"{size} px, {len(images)} photos, SSIM {goal:.4f}")
        for name, (form, options) in ENCODERS.items():
            quality, (_, length, encode, decode) = equal_quality(
                images, form, options, goal
            )
            base = base or (length, encode)
            print(
                f"  {name:17} q{quality:<3} {length / 1000:7.1f} kB ({length / base[0]:.2f}x)"
                f"  encode {encode:6.1f} ms ({encode / base[1]:.2f}x)  decode {decode:5.1f} ms"
            )


if __name__ == "__main__":
    main()
