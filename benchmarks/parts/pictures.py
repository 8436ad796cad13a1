"""Results as pictures: bars for the contenders, curves over size. Needs matplotlib."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure as Sheet

from .measuring import OURS
from .report import quantity

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from .measuring import Curve, Result, Row, Spread

OUR_COLOUR, THEIR_COLOUR = "#1f6f8b", "#c9c9c9"
COLOURS = ["#d1495b", "#edae49", "#66a182", "#8d6a9f", "#7f7f7f"]
LARGE = 30  # a curve whose ends differ by a larger factor gets a logarithmic axis
WIDTH = 8.0  # inches
BAR, MARGIN = 0.26, 0.75  # inches: the height of a bar, and of what surrounds the bars


def draw(
    directory: Path,
    results: list[Result],
    curves: list[tuple[Curve, list[tuple[int, Result]]]],
) -> None:
    """Write one file for the bars of each loop, and one for each curve."""
    directory.mkdir(parents=True, exist_ok=True)
    for loop in dict.fromkeys(result.loop for result in results):
        own = [result for result in results if result.loop == loop]
        _save(_bars(loop, own), directory, loop)
    for curve, points in curves:
        _save(_curve(curve, points), directory, f"{curve.loop} {curve.title}")


def _save(sheet: Sheet, directory: Path, name: str) -> None:
    """Write SVG with real text and no background, the same for the same data."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        path = directory / f"{_word(name)}.svg"
        sheet.savefig(path, transparent=True, metadata={"Date": None})


def _word(text: str) -> str:
    return re.sub(r"\W+", "-", text).strip("-").lower()


def _bars(loop: str, results: list[Result]) -> Sheet:
    heights = [len(_shown(result)) * BAR + MARGIN for result in results]
    sheet = Sheet(figsize=(WIDTH, sum(heights)), layout="constrained")
    sheet.suptitle(f"{loop}: medians, with the quartiles (less is better)")
    grid = sheet.subplots(len(results), 1, height_ratios=heights, squeeze=False)
    for axes, result in zip(grid[:, 0], results, strict=True):
        _bars_of_one(axes, result)
    return sheet


def _shown(result: Result) -> list[Row]:
    """All rows but the one that was subtracted from the others."""
    return [row for row in result.rows if row.name != result.base]


def _bars_of_one(axes: Axes, result: Result) -> None:
    rows = _shown(result)
    middles = [row.value.middle for row in rows]
    below = [row.value.middle - row.value.low for row in rows]
    above = [row.value.high - row.value.middle for row in rows]
    places = range(len(rows))
    axes.barh(
        places,
        middles,
        xerr=(below, above),
        color=[OUR_COLOUR if row.name == OURS else THEIR_COLOUR for row in rows],
        error_kw={"elinewidth": 0.8},
    )
    for place, row in enumerate(rows):
        axes.annotate(
            quantity(row.value.middle, result.unit),
            (max(row.value.high, 0), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    axes.set_yticks(places, [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.margins(x=0.15)
    axes.set_title(result.title, loc="left", fontsize="medium")
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _curve(curve: Curve, points: list[tuple[int, Result]]) -> Sheet:
    sheet = Sheet(figsize=(WIDTH, WIDTH * 0.6), layout="constrained")
    axes = sheet.subplots()
    names = [row.name for row in _shown(points[0][1])]
    middles: list[float] = []
    theirs = iter(COLOURS * len(names))
    for name in names:
        spreads = [
            (at, next(row.value for row in result.rows if row.name == name))
            for at, result in points
        ]
        middles += [spread.middle for _, spread in spreads]
        colour = OUR_COLOUR if name == OURS else next(theirs)
        _plot(axes, name, colour, spreads)
    axes.set_xscale("log")
    if max(middles) > LARGE * min(middles):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(curve.axis)
    axes.set_ylabel("seconds")
    axes.yaxis.set_major_formatter(lambda value, _: quantity(value, "s"))
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    axes.set_title(f"{curve.loop}: {curve.title}", loc="left")
    return sheet


def _plot(
    axes: Axes, name: str, colour: str, spreads: list[tuple[int, Spread]]
) -> None:
    """A line through the medians, in a band between the quartiles."""
    places = [at for at, _ in spreads]
    axes.plot(
        places,
        [spread.middle for _, spread in spreads],
        marker="o",
        linewidth=2.5 if name == OURS else 1.2,
        color=colour,
        label=name,
    )
    axes.fill_between(
        places,
        [spread.low for _, spread in spreads],
        [spread.high for _, spread in spreads],
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
