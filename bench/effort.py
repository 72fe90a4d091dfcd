"""How much is measured, and of what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from report import Table


class Effort(NamedTuple):
    """How much is measured."""

    rounds: int
    seconds: int  # of load, a round
    starts: int  # rounds of what starts a server
    libraries: tuple[int, ...]  # photos
    visited: int  # photos of the library that is also read while it is visited
    idle_seconds: int  # long enough for two passes of 30 s


FULL = Effort(5, 1, 3, (1_000, 10_000, 100_000), 10_000, 75)
QUICK = Effort(3, 1, 2, (1_000, 10_000), 1_000, 35)


class Run(NamedTuple):
    """What all measurements need."""

    folder: Path
    checkouts: dict[str, Path]
    copyparty: str
    photos: list[Path]  # as large as those of cameras
    effort: Effort
    tables: list[Table]

    def new_table(self, title: str, floor: str = "") -> Table:
        """Return a table of the report; what it has so far is written even if all ends early."""
        self.tables.append(Table(title, floor))
        return self.tables[-1]

    def states(self, name: str) -> Iterator[tuple[str, Path, Path]]:
        """Yield each version's name, its checkout, and its state folder of a name."""
        for version, checkout in self.checkouts.items():
            yield version, checkout, self.folder / f"{name}-{version}"
