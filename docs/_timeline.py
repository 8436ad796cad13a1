"""Records what a program does and when, by running it in virtual time.

The programs in `_timeline_programs` use the names of this module in place of those of
`within` and of the loop. They do the same, and record it.
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

LOOPS = ("asyncio", "trio")  # the loops that have virtual time

Cancelled = (asyncio.CancelledError, trio.Cancelled)


@dataclass
class Block:
    """One block: its times of entry and exit, and its deadlines."""

    name: str
    start: float
    deadlines: list[tuple[float, float]]  # pairs: set when, to which time
    end: float = 0.0
    outcome: str = ""


@dataclass
class Step:
    """One step of the body: an await, or synchronous work."""

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


_trace = Trace()  # of the running program; only one runs at a time


class _RecordingTimeout(Timeout):
    """A block that records what happens to it."""

    def __enter__(self) -> Self:
        super().__enter__()
        self._block = Block(self.name or "", now(), [])
        self._record_deadline()
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
        self._record_deadline()

    def _record_deadline(self) -> None:
        if self.deadline is not None:
            self._block.deadlines.append((now(), self.deadline))


def _shield(grace: float) -> _RecordingTimeout:
    return _RecordingTimeout(grace, quiet=True, shield=True, name="shield")


def _move_on_after(delay: float, **options: Any) -> _RecordingTimeout:
    return _RecordingTimeout(delay, quiet=True, **options)


within = SimpleNamespace(
    timeout=_RecordingTimeout, move_on_after=_move_on_after, shield=_shield
)


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
    """The trace of a program on that loop."""
    global _trace
    _trace = Trace()
    run(program, backend=backend, virtual_time=True)
    return _trace
