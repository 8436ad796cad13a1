"""A trace as a picture: a bar for each block, and the steps of the body below."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from _svg import Drawing, number

if TYPE_CHECKING:
    from _timeline import Block, Step, Trace

# In units of the picture, which is WIDTH wide; a unit is 0.75 px on a telephone.
WIDTH, MARGIN = 480.0, 10.0
ROW = 42.0  # height of a block or of the steps: a line of text and a bar
BASE, BAR, HEIGHT = (
    13.0,
    20.0,
    12.0,
)  # offset of the text and of the bar; height of the bar
TICK, LETTER = 5.0, 6.5


def draw(trace: Trace, label: str, loops: str, until: float = 0) -> str:
    """The markup of a picture of ``trace``, recorded on ``loops``.

    Its axis has at least ``until`` seconds, so that two pictures can be compared.
    """
    picture = Drawing(label, WIDTH, f"Time axis on {loops}", describe(trace))
    axis = _Axis(trace, until)
    y = 4.0
    for block in trace.blocks:
        _draw_block(picture, axis, block, y)
        y += ROW
    picture.text(axis.x(0), y + BASE, "in the body", "muted")
    for step in trace.steps:
        _draw_step(picture, axis, step, y + BAR - 1)
    cancelled = [step.end for step in trace.steps if step.was_cancelled]
    for at, end in enumerate(cancelled):
        beside = cancelled[:at].count(
            end
        )  # crosses at the same instant stand side by side
        _draw_cross(picture, axis.x(end) + 12 * beside, y + BAR + HEIGHT / 2)
    y += ROW + 4
    picture.line(MARGIN, y, WIDTH - MARGIN, y, "axis")
    for second in range(axis.last + 1):
        x = axis.x(second)
        picture.line(x, y, x, y + TICK, "axis")
        picture.text(x, y + TICK + 12, f"{second} s", "muted middle")
    return picture.done(y + TICK + 18)


def describe(trace: Trace) -> str:
    """The trace in words."""
    told = [f"{_title(block)}, from {_span(block)}." for block in trace.blocks]
    for step in trace.steps:
        ended = ", cancelled" if step.was_cancelled else ""
        told.append(f"{step.kind} {number(step.asked)} from {_span(step)}{ended}.")
    return " ".join(told)


class _Axis:
    def __init__(self, trace: Trace, until: float) -> None:
        marks = [when for block in trace.blocks for _, when in block.deadlines]
        self.last = math.ceil(max([until, trace.end, *marks]))

    def x(self, seconds: float) -> float:
        inner = WIDTH - 2 * MARGIN - 14  # room for the last number
        return MARGIN + 2 + seconds / self.last * inner


def _draw_block(picture: Drawing, axis: _Axis, block: Block, y: float) -> None:
    start, end = axis.x(block.start), axis.x(block.end)
    top, middle = y + BAR, y + BAR + HEIGHT / 2
    picture.text(start, y + BASE, _title(block))
    deadline = axis.x(block.deadlines[-1][1])
    in_time = min(max(deadline, start), end)
    if in_time > start:
        picture.box(start, top, in_time - start, HEIGHT, "block")
    if end > in_time:
        picture.box(in_time, top, end - in_time, HEIGHT, "block late")
    if deadline > end:  # the block was left in time
        picture.line(end, middle, deadline, middle, "unused")
    for at, when in block.deadlines:
        if when == block.deadlines[-1][1]:
            _draw_diamond(picture, axis.x(when), middle, "deadline")
        else:
            _draw_diamond(picture, axis.x(when), middle, "deadline moved")
        if at > block.start:
            picture.line(
                axis.x(at), top - 1, axis.x(at), top + HEIGHT + 1, "rescheduled"
            )


def _draw_diamond(picture: Drawing, x: float, y: float, looks: str) -> None:
    r = HEIGHT / 2 + 1
    steps = f"M{number(x)} {number(y - r)}l{r} {r}l{-r} {r}l{-r} {-r}z"
    picture.path(steps, looks)


def _draw_step(picture: Drawing, axis: _Axis, step: Step, y: float) -> None:
    start, end = axis.x(step.start), axis.x(step.end)
    height = HEIGHT + 2
    if end > start:
        picture.box(start, y, end - start, height, f"step {step.kind}")
        words = f"{step.kind} {number(step.asked)}"
        if end - start > LETTER * len(words) + 12:
            picture.text(start + 8, y + height - 3.5, words, "inside")


def _draw_cross(picture: Drawing, x: float, y: float) -> None:
    r = 5.0
    steps = f"M{number(x - r)} {number(y - r)}l10 10m0 -10l-10 10"
    picture.path(steps, "cancelled")


def _title(block: Block) -> str:
    moved = len(block.deadlines) - 1
    times = f", rescheduled {moved} times" if moved else ""
    deadline = number(block.deadlines[-1][1])
    return f"{block.name}: deadline {deadline} s{times}; {block.outcome}"


def _span(noted: Block | Step) -> str:
    return f"{number(noted.start)} s to {number(noted.end)} s"
