"""What happens in a program on the time axis: run in virtual time, with notes taken.

The programs in `_timeline_programs` use the names that this module gives them, which
do what those of `within` and of the loop do, and write down when.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import anyio
import trio

from within import Timeout, current_time as now
from within.testing import run, virtual_clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

__all__ = [
    "LOOPS",
    "Block",
    "Cancelled",
    "Step",
    "Trace",
    "compute",
    "now",
    "record",
    "sleep",
    "within",
]

LOOPS = ("asyncio", "trio")  # those that have virtual time

Cancelled = (asyncio.CancelledError, trio.Cancelled)


@dataclass
class Block:
    """One block: when it was entered and left, and which deadlines it had."""

    name: str
    start: float
    deadlines: list[tuple[float, float]]  # when it was set, and for when
    end: float = 0.0
    outcome: str = ""


@dataclass
class Step:
    """What the body did: an await, or work that lets nothing else run."""

    kind: str  # "sleep" or "compute"
    asked: float  # seconds
    start: float
    end: float = 0.0
    was_cancelled: bool = False


@dataclass
class Trace:
    """Everything that happened, in order."""

    blocks: list[Block] = field(default_factory=list[Block])
    steps: list[Step] = field(default_factory=list[Step])

    @property
    def end(self) -> float:
        ends = [block.end for block in self.blocks]
        return max(ends + [step.end for step in self.steps])


_trace = Trace()  # of the program that runs: there is one at a time


class _Noted(Timeout):
    """A block that takes notes."""

    def __enter__(self) -> Self:
        super().__enter__()
        self._block = Block(self.name or "", now(), [])
        self._note_deadline()
        _trace.blocks.append(self._block)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._block.end = now()
        try:
            return super().__exit__(exc_type, exc, traceback)
        finally:
            if self.cancelled_caught:
                self._block.outcome = "ended by its deadline"
            elif isinstance(exc, Cancelled):
                self._block.outcome = "left by a cancellation for another block"
            elif self.expired:
                self._block.outcome = "expired, but left normally"
            else:
                self._block.outcome = "left normally"

    def reschedule(self, deadline: Any) -> None:
        super().reschedule(deadline)
        self._note_deadline()

    def _note_deadline(self) -> None:
        if self.deadline is not None:
            self._block.deadlines.append((now(), self.deadline))


def _shield(grace: float) -> _Noted:
    return _Noted(grace, quiet=True, shield=True, name="shield")


def _move_on_after(delay: float, **options: Any) -> _Noted:
    return _Noted(delay, quiet=True, **options)


within = SimpleNamespace(timeout=_Noted, move_on_after=_move_on_after, shield=_shield)


async def sleep(seconds: float) -> None:
    step = Step("sleep", seconds, now())
    _trace.steps.append(step)
    try:
        await anyio.sleep(seconds)
    except Cancelled:
        step.was_cancelled = True
        raise
    finally:
        step.end = now()


def compute(seconds: float) -> None:
    start = now()
    virtual_clock().advance(seconds)
    _trace.steps.append(Step("compute", seconds, start, now()))


def record(program: Callable[[], Awaitable[None]], backend: str) -> Trace:
    """What the program does on that loop."""
    global _trace
    _trace = Trace()
    run(program, backend=backend, virtual_time=True)
    return _trace
