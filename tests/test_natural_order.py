"""The order of names: as people count, copies after what they are copies of."""

from __future__ import annotations

import random
import unicodedata

import pytest

import photos

ORDERED = [
    "x | x-2 | x (1) | x (2) | x (10)",
    "x.jpg | x-2.jpg | x-10.jpg | x (1).jpg | x (2).jpg | x (10).jpg | x_1.jpg | xy.jpg",
    "20240107_110258.jpg | 20240107_110258(0).jpg | 20240107_110258(1).jpg"
    " | 20240107_110258(10).jpg",
    "IMG_2.jpg | IMG_2-2.jpg | IMG_2 (1).jpg | IMG_10.jpg | IMG_10 (1).jpg",
    "IMG_1.HEIC | img_1.JPG | IMG_1 (1).JPG | IMG_2.HEIC",
    "x.jpg | X copy.jpg | x copy 2.jpg | x copy 10.jpg",
    "2024.01.07 | 2024.01.07 b | 2024.02 | 2024.10",
    "St. Gallen 2 | St. Gallen 10",
    "Trip | Trip 2 | Trip 10 | Trip (1)",
    "Trip.private | Trip (1).private",
    "Trip/a.jpg | Trip 2/a.jpg | Trip (1)/a.jpg",
    "Café.jpg | CAFE\u0301-2.jpg | café (1).jpg",
    "x ٢.jpg | x ١٠.jpg",
]


@pytest.mark.parametrize("names", ORDERED)
def test_names_stand_as_people_count_them(names: str) -> None:
    ordered = names.split(" | ")
    for seed in range(5):
        mixed = random.Random(seed).sample(ordered, len(ordered))
        assert sorted(mixed, key=photos.natural) == ordered


def test_only_equal_names_are_equal() -> None:
    names = ["x (1)", "x(1)", "x-(1)", "x (01)", "X (1)", "x", "x.", ".x", "x.jpg", "x.JPG"]
    names += [
        "",
        ".",
        " (1)",
        "x\n",
        "x.jpg\n",
        "1" * 255,
        unicodedata.normalize("NFD", "é"),
        "é",
    ]
    keys = {photos.natural(name) for name in names}
    assert len(keys) == len(names)
    assert len(sorted(keys)) == len(names)
