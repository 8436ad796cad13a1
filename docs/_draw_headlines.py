"""The three figures that a user feels, as bars at the top of the page of results."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from _svg import Drawing
from parts.measuring import OURS
from parts.report import quantity

if TYPE_CHECKING:
    from parts.measuring import Result, Row

WIDTH = 576.0
NAMES, BARS = 190.0, 300.0  # the widths of the names, and of the longest bar
BAR, STEP, HEAD, GAP = 16.0, 22.0, 24.0, 18.0


class Headline(NamedTuple):
    """A question, the figure that answers it, and how to name its contenders."""

    question: str
    loop: str
    title: str
    names: dict[str, str]


HEADLINES = (
    Headline(
        "A time limit around a request that is answered in time",
        "asyncio",
        "with timeout(10): pass",
        {
            OURS: "within.timeout",
            "asyncio.timeout": "asyncio.timeout",
            "anyio.fail_after": "anyio.fail_after",
        },
    ),
    Headline(
        "Running a short command and collecting its output",
        "asyncio",
        'run("true")',
        {
            OURS: "within.run",
            "subprocess.run": "subprocess.run (blocks)",
            "asyncio": "asyncio",
            "anyio": "anyio.run_process",
        },
    ),
    Headline(
        "Reading one line of a program's output",
        "asyncio",
        "lines of 55 bytes: each",
        {
            OURS: "within.process",
            "blocking text pipe": "a text file (blocks)",
            "anyio, receive_until": "anyio",
            "asyncio, readline": "asyncio",
        },
    ),
)


def draw(results: list[Result]) -> str:
    """The bars of each headline; those whose figure was not measured are left out."""
    found = [
        (headline, rows)
        for headline in HEADLINES
        if (rows := _rows(headline, results)) is not None
    ]
    drawing = Drawing("headlines", WIDTH, "What you will feel", _description(found))
    y = 0.0
    for headline, rows in found:
        y += HEAD
        drawing.text(0, y - 8, headline.question, "head")
        longest = max(row.value.middle for row in rows)
        for row in rows:
            length = BARS * row.value.middle / longest
            looks = "ours" if row.name == OURS else "theirs"
            drawing.text(0, y + BAR - 4, headline.names[row.name])
            drawing.box(NAMES, y, max(length, 1.0), BAR, looks)
            drawing.text(NAMES + length + 8, y + BAR - 4, _amount(row), "muted")
            y += STEP
        y += GAP
    return drawing.done(y)


def _rows(headline: Headline, results: list[Result]) -> list[Row] | None:
    for result in results:
        if (result.loop, result.title) == (headline.loop, headline.title):
            by_name = {row.name: row for row in result.rows}
            return [by_name[name] for name in headline.names if name in by_name]
    return None


def _amount(row: Row) -> str:
    return quantity(row.value.middle, "s")


def _description(found: list[tuple[Headline, list[Row]]]) -> str:
    return " ".join(
        f"{headline.question}: "
        + ", ".join(f"{headline.names[row.name]} {_amount(row)}" for row in rows)
        + "."
        for headline, rows in found
    )
