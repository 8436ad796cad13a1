"""Contenders side by side: rounds in random order, ratios within a round, medians.

The machine is shared and its speed changes from one second to the next. So each
round gives everybody one short turn, and what is compared is what was measured
within the same round.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import math
import random
import statistics
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import FunctionType
from typing import Any, Literal, TypeVar, cast

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

LOOPS = ("asyncio", "uvloop", "trio")
OURS = "within"
REHEARSALS = 1  # rounds that are not counted

Unit = Literal["s", "B"]
Reading = float | tuple[float, ...]
Turn = Callable[[], Awaitable[Reading]]


@dataclass(frozen=True)
class Contender:
    name: str
    turn: Turn  # measures once, and answers in the figure's unit: less is better


@dataclass(frozen=True)
class Figure:
    """What is measured: by whom, how often, and what we want to come of it."""

    loop: str
    title: str
    contenders: list[Contender]
    rounds: int
    targets: dict[str, float] = field(default_factory=dict)  # ours / theirs, at most
    unit: Unit = "s"
    # Where a turn has more than one reading, what each is called.
    readings: tuple[str, ...] = ("",)
    # The contender whose reading of the same round is taken off everybody else's.
    base: str | None = None


@dataclass(frozen=True)
class Spread:
    """The quartiles of what all rounds gave."""

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
    name: str
    value: Spread
    ratio: Spread | None  # ours / this one's
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
    # All that is loaded is the same for everybody, and no business of a collection.
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


# -- where it runs -----------------------------------------------------------


def run_on(loop: str, function: Callable[[], Awaitable[T]]) -> T:
    """Run it as nearly everybody starts a loop of that kind."""

    async def main() -> T:
        return await function()

    if loop == "trio":
        return cast("T", importlib.import_module("trio").run(main))
    factory = None
    if loop == "uvloop":
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def sleep_of(loop: str) -> Callable[[float], Awaitable[None]]:
    """The loop's own sleep: anyio's would bring anyio's scopes with it."""
    if loop != "trio":
        return asyncio.sleep
    return cast(
        "Callable[[float], Awaitable[None]]", importlib.import_module("trio").sleep
    )


def is_installed(module: str) -> bool:
    return find_spec(module) is not None


def load_everybody() -> None:
    """Import all peers at once, whatever is to be measured.

    Who is in the process costs us something (a second loop to tell apart, scopes of
    anyio to look at), and that must not depend on what was measured before.
    """
    for module in ("async_timeout", "quattro", "shellous", "trio", "uvloop"):
        if is_installed(module):
            importlib.import_module(module)
    importlib.import_module("anyio._backends._asyncio")
    if "trio" in sys.modules:
        importlib.import_module("anyio._backends._trio")


def own(function: F) -> F:
    """A copy with bytecode of its own.

    CPython rewrites bytecode for what it meets there. Contenders that shared a line
    would spoil it for each other, where a program has one kind of block in one place.
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
