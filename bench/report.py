"""Keep figures by table, row and column; write their medians and ratios as Markdown and as a plot."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Iterator
from pathlib import Path

BEFORE, AFTER = "before", "after"
Rows = dict[str, dict[str, list[float]]]


def figure_text(value: float) -> str:
    """Return a number with three digits that count."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def ratio_of(values: list[float], others: list[float]) -> float | None:
    """Return the median of the ratios of each round; None: there is nothing to compare."""
    pairs = zip(values, others, strict=False)
    ratios = [value / other for value, other in pairs if other]
    if not ratios:
        return None
    return statistics.median(ratios)


class Table:
    """Figures of one kind. A floor is the column that ours is compared with."""

    def __init__(self, title: str, floor: str = "") -> None:
        self.title = title
        self.floor = floor
        self.rows: Rows = {}

    def note(self, row: str, column: str, value: float) -> None:
        """Add a figure, and print it."""
        print(f"{self.title}: {row}, {column}: {figure_text(value)}", flush=True)
        self.rows.setdefault(row, {}).setdefault(column, []).append(value)

    def columns(self) -> list[str]:
        """Return the columns in the order in which they came, ours first."""
        seen = dict.fromkeys(name for row in self.rows.values() for name in row)
        ours = [name for name in (BEFORE, AFTER) if name in seen]
        return [*ours, *(name for name in seen if name not in ours)]

    def ratios(self) -> list[str]:
        """Return what ours is divided by."""
        wanted = [name for name in (BEFORE, self.floor) if name]
        return [name for name in wanted if name in self.columns()]

    def lines(self) -> Iterator[str]:
        """Yield the table as Markdown."""
        columns, ratios = self.columns(), self.ratios()
        heads = ["", *columns, *(f"{AFTER} ÷ {name}" for name in ratios)]
        yield f"## {self.title}\n"
        yield "| " + " | ".join(heads) + " |"
        yield "|---" + "|---:" * (len(heads) - 1) + "|"
        for name, row in self.rows.items():
            cells = [self.cell(row, column) for column in columns]
            quotients = [self.ratio_cell(row, other) for other in ratios]
            yield "| " + " | ".join([name, *cells, *quotients]) + " |"
        yield ""

    @staticmethod
    def cell(row: dict[str, list[float]], column: str) -> str:
        values = row.get(column)
        if not values:
            return ""
        return figure_text(statistics.median(values))

    @staticmethod
    def ratio_cell(row: dict[str, list[float]], other: str) -> str:
        ratio = ratio_of(row.get(AFTER, []), row.get(other, []))
        if ratio is None:
            return ""
        return f"{ratio:.2f}"


# --- Plot --------------------------------------------------------------------

# Colours that are told apart on white and on black, and by those who see no red.
FILLS = {BEFORE: "#9a9a9a", AFTER: "#1f9e89"}
OTHER_FILLS = ("#d08a2e", "#5b8def", "#b565c4")
WIDTH, LEFT, BAR, GAP = 760, 300, 13, 14


class Bars:
    """Horizontal bars on a scale of powers of ten: the shorter, the better."""

    def __init__(self, rows: Rows, unit: str) -> None:
        self.rows = rows
        self.unit = unit
        values = [
            statistics.median(figures) for row in rows.values() for figures in row.values()
        ]
        # A figure that is too small to be seen is drawn as the smallest that can be.
        positive = [value for value in values if value > 0] or [1.0]
        self.low = math.floor(math.log10(min(positive)))
        self.high = max(math.ceil(math.log10(max(positive))), self.low + 1)
        names = dict.fromkeys(name for row in rows.values() for name in row)
        others = iter(OTHER_FILLS * len(names))
        self.fills = {name: FILLS.get(name) or next(others) for name in names}

    def x_of(self, value: float) -> float:
        """Return where a value stands, pixels."""
        decades = math.log10(max(value, 10**self.low)) - self.low
        return LEFT + decades / (self.high - self.low) * (WIDTH - LEFT - 60)

    def grid(self, height: int) -> Iterator[str]:
        for power in range(self.low, self.high + 1):
            x = self.x_of(10**power)
            yield f'<path d="M{x:.0f} 40V{height - 10}" class="line"/>'
            yield f'<text x="{x:.0f}" y="34" class="middle">{10**power:g}</text>'

    def legend(self) -> Iterator[str]:
        x = 4
        for name, fill in self.fills.items():
            yield f'<rect x="{x}" y="8" width="10" height="10" fill="{fill}"/>'
            yield f'<text x="{x + 14}" y="17">{html.escape(name)}</text>'
            x += 30 + 7 * len(name)
        yield f'<text x="4" y="34">{html.escape(self.unit)}</text>'

    def bars(self) -> Iterator[str]:
        y = 48
        for label, row in self.rows.items():
            yield f'<text x="4" y="{y + BAR - 2}">{html.escape(label)}</text>'
            for name, figures in row.items():
                value = statistics.median(figures)
                end = max(self.x_of(value), LEFT + 2)
                fill = self.fills[name]
                yield f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.0f}" height="{BAR - 2}" fill="{fill}"/>'
                yield f'<text x="{end + 4:.0f}" y="{y + BAR - 3}">{figure_text(value)}</text>'
                y += BAR
            y += GAP

    def svg(self) -> str:
        """Return the plot. Text takes a colour that is read on white as on black paper."""
        height = 60 + sum(BAR * len(row) + GAP for row in self.rows.values())
        style = (
            "text{font:11px sans-serif;fill:#444}.middle{text-anchor:middle}"
            ".line{stroke:#8884;fill:none}"
            "@media(prefers-color-scheme:dark){text{fill:#ccc}}"
        )
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        parts = [
            head,
            f"<style>{style}</style>",
            *self.legend(),
            *self.grid(height),
            *self.bars(),
        ]
        return "\n".join([*parts, "</svg>", ""])


def write_report(
    folder: Path, heading: str, tables: list[Table], plotted: Rows, unit: str
) -> None:
    """Write results.md and results.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [heading]
    if plotted:
        (folder / "results.svg").write_text(Bars(plotted, unit).svg())
        lines += [f"![{unit}](results.svg)", ""]
    for table in tables:
        if table.rows:
            lines += table.lines()
    (folder / "results.md").write_text("\n".join(lines))
