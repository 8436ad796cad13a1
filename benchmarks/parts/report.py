"""Results as a table to read, and as data."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .environment import versions
from .measuring import OURS, Curve, Result, Row, Spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .measuring import Unit

NAME, FIGURE, SERIES = 34, 11, 19  # widths of columns, in characters
SCALES: dict[Unit, list[tuple[float, str]]] = {
    "s": [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")],
    "B": [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")],
}


def heading(loop: str) -> str:
    return (
        f"\n{loop}\n"
        + "  "
        + "".ljust(NAME)
        + "median".rjust(FIGURE)
        + "   ours / it (quartiles)      target"
    )


def as_text(result: Result) -> str:
    over = "" if result.base is None else f" (over {result.base!r})"
    lines = [f"  {result.title}{over}", *(_line(result, row) for row in result.rows)]
    return "\n".join([*lines, ""])


def _line(result: Result, row: Row) -> str:
    line = f"    {row.name}".ljust(NAME + 2)
    line += quantity(row.value.middle, result.unit).rjust(FIGURE)
    if row.ratio is not None:
        line += f"   {_ratio(row.ratio)}"
    if row.is_met is not None:
        line = line.ljust(NAME + FIGURE + 28)
        line += f" ≤ {row.target:.2f}  {'met' if row.is_met else 'NOT MET'}"
    return line.rstrip()


def _ratio(ratio: Spread) -> str:
    return f"{ratio.middle:6.3f}  ({ratio.low:.3f} to {ratio.high:.3f})"


def quantity(value: float, unit: Unit) -> str:
    """Three significant digits with the prefix that fits."""
    scales = SCALES[unit]
    size, name = next((s for s in scales if abs(value) >= s[0]), scales[-1])
    amount = value / size
    digits = 2 - math.floor(math.log10(abs(amount))) if amount else 0
    return f"{amount:.{max(0, min(2, digits))}f} {name}"


def summary(results: list[Result]) -> str:
    """How many targets are met, and which are not."""
    told = list(_verdicts(results))
    missed = [text for met, text in told if not met]
    head = f"{len(told) - len(missed)} of {len(told)} targets met"
    return "\n".join([head + (", not:" if missed else ""), *missed, ""])


def _verdicts(results: list[Result]) -> Iterator[tuple[bool, str]]:
    for result in results:
        for row in result.rows:
            if row.is_met is not None and row.ratio is not None:
                where = f"{result.loop}, {result.title} / {row.name}"
                yield (
                    row.is_met,
                    f"  {where}: {row.ratio.middle:.3f}, wanted ≤ {row.target:.2f}",
                )


def curve_as_text(points: list[tuple[int, Result]]) -> str:
    """A line for each size, a column for each contender."""
    names = [row.name for row in points[0][1].rows]
    lines = ["".rjust(NAME // 2) + "".join(name.rjust(SERIES) for name in names)]
    for at, result in points:
        cells = [quantity(row.value.middle, result.unit) for row in result.rows]
        lines.append(
            f"{at:,}".rjust(NAME // 2) + "".join(cell.rjust(SERIES) for cell in cells)
        )
    return "\n".join([*lines, ""])


def as_data(
    results: list[Result], curves: list[tuple[Curve, list[tuple[int, Result]]]]
) -> object:
    return {
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "ours": OURS,
        "figures": [_with_verdicts(result) for result in results],
        "curves": [
            {
                "loop": curve.loop,
                "title": curve.title,
                "axis": curve.axis,
                "points": [{"at": at, **_with_verdicts(r)} for at, r in points],
            }
            for curve, points in curves
        ],
    }


def _with_verdicts(result: Result) -> dict[str, Any]:
    data = asdict(result)
    for written, row in zip(data["rows"], result.rows, strict=True):
        written["met"] = row.is_met
    return data


def from_data(
    data: dict[str, Any],
) -> tuple[list[Result], list[tuple[Curve, list[tuple[int, Result]]]]]:
    """The reverse of `as_data`, for pictures of an earlier run."""

    def result(written: dict[str, Any]) -> Result:
        names = ("loop", "title", "unit", "rounds", "base")
        rows = [row(each) for each in written["rows"]]
        return Result(**{name: written[name] for name in names}, rows=rows)

    def row(written: dict[str, Any]) -> Row:
        ratio = written["ratio"]
        return Row(
            written["name"],
            Spread(**written["value"]),
            None if ratio is None else Spread(**ratio),
            written["target"],
        )

    curves = [
        (
            Curve(each["loop"], each["title"], each["axis"], {}),
            [(point["at"], result(point)) for point in each["points"]],
        )
        for each in data["curves"]
    ]
    return [result(each) for each in data["figures"]], curves
