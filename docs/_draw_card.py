"""The picture that messengers show beside a link to the site."""

from __future__ import annotations

from pathlib import Path

NAME = "card.png"
INK, BLOCK, LATE, PAPER = "#1d2733", "#4f86c6", "#dd8440", "#ffffff"


def draw(path: Path) -> None:
    """Draw 1200 by 630 pixels, the size that they all expect."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.3), dpi=100, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1200), ylim=(0, 630))
    axes.set_axis_off()
    axes.text(80, 440, "within", size=96, weight="bold", color=INK, va="baseline")
    words = "Time limits and child processes that end\nwith their block"
    axes.text(84, 375, words, size=33, color=INK, va="top", linespacing=1.4)
    axes.text(84, 205, "asyncio · uvloop · trio", size=28, color=BLOCK, va="top")
    # A block and its deadline: nothing is left after it.
    axes.barh(90, 700, height=34, left=84, color=BLOCK)
    axes.plot([784, 784], [55, 125], color=LATE, linewidth=7)
    axes.plot([784, 1116], [90, 90], color=INK, linewidth=2, dashes=(3, 4))
    figure.savefig(path, metadata={"Software": None})
