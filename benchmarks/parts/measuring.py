"""Contenders side by side: rounds in random order, ratios within a round, medians.

The speed of a shared machine changes from one second to the next. So each round gives
every contender one short turn, and a ratio compares two turns of the same round.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Literal, TypeVar, cast

from .environment import run_on

F = TypeVar("F", bound=Callable[..., object])

OURS = "within"
REHEARSALS = 1  # rounds that are run but not counted

Unit = Literal["s", "B"]
Reading = float | tuple[float, ...]
Turn = Callable[[], Awaitable[Reading]]


@dataclass(frozen=True)
class Contender:
    name: str
    turn: Turn  # measures once and returns the reading in the figure's unit


@dataclass(frozen=True)
class Figure:
    """A measurement: its contenders, the number of rounds, and our targets.

    A smaller reading is always the better one.
    """

    loop: str
    title: str
    contenders: list[Contender]
    rounds: int
    # By contender: the largest ratio of our reading to its reading that we accept.
    targets: dict[str, float] = field(default_factory=dict)
    unit: Unit = "s"
    # Where a turn returns several readings, the name of each.
    readings: tuple[str, ...] = ("",)
    # The contender whose reading is subtracted from all others of the same round.
    base: str | None = None


@dataclass(frozen=True)
class Curve:
    """One figure, measured at each of several sizes."""

    loop: str
    title: str
    axis: str
    figures: dict[int, Figure]


@dataclass(frozen=True)
class Spread:
    """The quartiles over all rounds."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(low, statistics.median(values), high)


@dataclass(frozen=True)
class Row:
    """One contender's result."""

    name: str
    value: Spread
    ratio: Spread | None  # our reading divided by this contender's
    target: float | None

    @property
    def is_met(self) -> bool | None:
        if self.target is None or self.ratio is None:
            return None
        return self.ratio.middle <= self.target


@dataclass(frozen=True)
class Result:
    loop: str
    title: str
    unit: Unit
    rounds: int
    base: str | None
    rows: list[Row]


def measure(figure: Figure) -> list[Result]:
    """One result for each reading of the figure, on a new loop of its kind."""
    # Every contender has the same modules in memory. The collector need not look at
    # them again and again.
    gc.collect()
    gc.freeze()
    rounds = run_on(figure.loop, lambda: _rounds(figure))
    return [
        _result(figure, reading, [{n: r[i] for n, r in one.items()} for one in rounds])
        for i, reading in enumerate(figure.readings)
    ]


async def _rounds(figure: Figure) -> list[dict[str, tuple[float, ...]]]:
    rounds: list[dict[str, tuple[float, ...]]] = []
    for _ in range(REHEARSALS + figure.rounds):
        order = random.sample(figure.contenders, len(figure.contenders))
        rounds.append({each.name: await _turn(each) for each in order})
    return rounds[REHEARSALS:]


async def _turn(contender: Contender) -> tuple[float, ...]:
    gc.collect()
    gc.disable()
    try:
        reading = await contender.turn()
    finally:
        gc.enable()
    return reading if isinstance(reading, tuple) else (reading,)


def _result(figure: Figure, reading: str, rounds: list[dict[str, float]]) -> Result:
    if figure.base is not None:
        rounds = [_without(figure.base, one) for one in rounds]
    rows: list[Row] = []
    for contender in figure.contenders:
        name = contender.name
        ratio = None
        if name not in (OURS, figure.base):
            ratio = Spread.of([_ratio(one[OURS], one[name]) for one in rounds])
        value = Spread.of([one[name] for one in rounds])
        rows.append(Row(name, value, ratio, figure.targets.get(name)))
    title = f"{figure.title}: {reading}" if reading else figure.title
    return Result(figure.loop, title, figure.unit, figure.rounds, figure.base, rows)


def _without(base: str, values: dict[str, float]) -> dict[str, float]:
    return {n: v if n == base else v - values[base] for n, v in values.items()}


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs > 0 else math.inf


def with_own_bytecode(function: F) -> F:
    """A copy of a function that does not share bytecode with the original.

    CPython specialises bytecode in place for the types that it meets. Contenders that
    shared a line would undo each other's specialisation, whereas a real program has
    one kind of block in one place.
    """
    original: Any = function
    copy: Any = FunctionType(
        original.__code__.replace(),
        original.__globals__,
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )
    return cast("F", copy)
