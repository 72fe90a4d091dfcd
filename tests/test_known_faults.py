"""The list of public faults beside wheels.lock: all that photos.pyz holds is in it, and nothing open is hushed up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

import build_zipapp
import photos

HOME = Path(photos.__file__).resolve().parent
LIST = HOME / "known_faults.tsv"
SECURITY = (HOME / "SECURITY.md").read_text(encoding="utf-8")
LOCKED = {(wheel.package, wheel.version) for wheel in build_zipapp.locked_wheels()}
LIBRARIES = ("libheif", "libde265")  # within the wheel of pillow-heif


class Row(NamedTuple):
    part: str
    wheel: str
    version: str
    mended: str
    names: str
    open: str = ""


def rows() -> list[Row]:
    first, _, *lines = LIST.read_text(encoding="ascii").splitlines()
    assert re.search(r"as of \d{4}-\d\d-\d\d\.$", first)
    return [Row(*line.split("\t")) for line in lines]


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_every_locked_wheel_is_listed_in_the_version_that_is_locked() -> None:
    assert {row.wheel for row in rows()} == {package for package, _ in LOCKED}
    listed = {(row.wheel, row.version) for row in rows() if row.part not in LIBRARIES}
    assert listed == {
        (package, version) for package, version in LOCKED if package != "pillow_heif"
    }
    assert {row.part for row in rows() if row.wheel == "pillow_heif"} == set(LIBRARIES)


def test_the_libraries_are_listed_in_the_versions_that_the_wheel_has() -> None:
    heif = pytest.importorskip("pillow_heif")
    if ("pillow_heif", heif.__version__) not in LOCKED:
        pytest.skip("another pillow-heif than the locked one is installed")
    told = str(heif.libheif_info())
    for row in rows():
        if row.part in LIBRARIES:
            assert re.search(rf"{row.part}\D+{re.escape(row.version)}\b", told), row
    assert set(heif.libheif_info()["decoders"]) == {"libde265"}  # as SECURITY.md has it


FAULTS = [row for row in rows() if row.names != "none"]


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: f"{row.part} {row.mended}")
def test_no_listed_fault_is_open_but_those_that_security_md_tells_of(row: Row) -> None:
    assert re.fullmatch(r"((CVE-\d{4}-\d{4,}|GHSA(-[a-z0-9]{4}){3})( |$))+", row.names)
    is_open = numbers(row.version) < numbers(row.mended)
    assert is_open == bool(row.open)
    if is_open:
        assert f"{row.part} {row.version}" in SECURITY
        assert f"Version {row.mended} mends" in SECURITY


def test_security_md_tells_of_nothing_as_open_that_is_mended() -> None:
    told = set(re.findall(r"^- \*\*(\w+ [\d.]+)\*\*", SECURITY, re.MULTILINE))
    assert told == {f"{row.part} {row.version}" for row in rows() if row.open}
