"""Programs of nested blocks, what must become of them, and a way to run them.

A program is drawn by Hypothesis, run on each loop in virtual time, and compared
with `expected`, which knows nothing of any loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio
from hypothesis import strategies as st

import within

Event = tuple[Any, ...]


class Tie(Exception):
    """An await and a deadline that would end it fall on one instant.

    trio then prefers the deadline, asyncio the one whose timer comes first.
    """


@dataclass(frozen=True)
class Sleep:
    seconds: float


@dataclass(frozen=True)
class Block:
    delay: float | None
    quiet: bool
    shield: bool
    body: tuple[Any, ...]


@dataclass(frozen=True)
class Finally:
    body: tuple[Any, ...]
    seconds: float  # of clean-up
    shielded: bool


@dataclass(frozen=True)
class Swallow:
    body: tuple[Any, ...]


@dataclass(frozen=True)
class Reschedule:
    outwards: int  # which of the open blocks, from the innermost
    delay: float | None  # from now on


@dataclass(frozen=True)
class Cancel:
    outwards: int


# Multiples of 1/64, so that sums are exact; the odd numerators of delays make it
# rare, though not impossible, that one falls on the end of a sleep.
_sleeps = st.integers(0, 8).map(float)
_delays = st.one_of(st.none(), st.integers(-8, 256).map(lambda n: (2 * n + 1) / 64))


def statements(depth: int) -> st.SearchStrategy[Any]:
    leaves = st.one_of(
        st.builds(Sleep, _sleeps),
        st.builds(Reschedule, st.integers(0, 3), _delays),
        st.builds(Cancel, st.integers(0, 3)),
    )
    if depth == 0:
        return leaves
    body = st.lists(statements(depth - 1), max_size=3).map(tuple)
    return st.one_of(
        leaves,
        st.builds(Block, _delays, st.booleans(), st.booleans(), body),
        st.builds(Finally, body, _sleeps, st.booleans()),
        st.builds(Swallow, body),
    )


programs = st.lists(statements(4), min_size=1, max_size=4).map(tuple)


# -- the reference -----------------------------------------------------------


@dataclass
class _Open:
    number: int
    shield: bool
    deadline: float
    expired: bool = False
    struck: bool = False  # it has been cancelled once


class _Cancelled(BaseException):
    pass


@dataclass
class _Reference:
    """`level`: whatever suspends in an expired block is cancelled, as on trio.
    Else a block is cancelled once, as asyncio-native code expects.
    """

    level: bool
    now: float = 0.0
    trace: list[Event] = field(default_factory=list)
    open: list[_Open] = field(default_factory=list)
    count: int = 0

    def visible(self) -> list[_Open]:
        """The open blocks that can cancel the task here, outermost first."""
        found: list[_Open] = []
        for scope in reversed(self.open):
            found.insert(0, scope)
            if scope.shield:
                break
        return found

    def notice(self) -> None:
        for scope in self.open:
            scope.expired = scope.expired or scope.deadline <= self.now

    def strike(self) -> None:
        """Cancel the task for the outermost block that it is owed by."""
        expired = [scope for scope in self.visible() if scope.expired]
        unheard = [scope for scope in expired if not scope.struck]
        if unheard or (expired and self.level):
            for scope in expired:
                scope.struck = True
            raise _Cancelled

    def sleep(self, seconds: float) -> None:
        self.strike()
        end = self.now + seconds
        ahead = [scope.deadline for scope in self.visible() if not scope.expired]
        nearest = min(ahead, default=end + 1)
        if nearest == end:
            raise Tie
        self.now = min(nearest, end)
        self.notice()
        if nearest < end:
            self.strike()
            raise AssertionError("a deadline that has come strikes")

    def run(self, body: tuple[Any, ...]) -> None:
        for statement in body:
            self.step(statement)

    def step(self, statement: Any) -> None:
        match statement:
            case Sleep(seconds):
                self.sleep(seconds)
                self.trace.append(("slept", self.now))
            case Finally(body, seconds, shielded):
                try:
                    self.run(body)
                finally:
                    if shielded:
                        self.open.append(_Open(-1, True, float("inf")))
                    self.sleep(seconds)
                    if shielded:
                        self.open.pop()
                    self.trace.append(("cleaned", self.now))
            case Swallow(body):
                try:
                    self.run(body)
                except _Cancelled:
                    self.trace.append(("swallowed", self.now))
            case Reschedule(outwards, delay) if outwards < self.blocks():
                scope = [s for s in self.open if s.number >= 0][-1 - outwards]
                if scope.expired:
                    self.trace.append(("too late", scope.number))
                else:
                    scope.deadline = float("inf") if delay is None else self.now + delay
                    scope.expired = scope.deadline <= self.now
            case Cancel(outwards) if outwards < self.blocks():
                scope = [s for s in self.open if s.number >= 0][-1 - outwards]
                scope.expired = True
                scope.deadline = float("inf")
            case Block():
                self.block(statement)

    def blocks(self) -> int:
        return len([scope for scope in self.open if scope.number >= 0])

    def block(self, block: Block) -> None:
        deadline = float("inf") if block.delay is None else self.now + block.delay
        scope = _Open(self.count, block.shield, deadline, deadline <= self.now)
        self.count += 1
        self.open.append(scope)
        caught = False
        try:
            self.run(block.body)
        except _Cancelled:
            self.open.pop()
            outer = [s for s in self.visible() if s.expired and not scope.shield]
            if not (scope.expired and (scope.struck or self.level)) or outer:
                if scope.struck:
                    for around in outer:
                        around.struck = True
                self.trace.append(("through", scope.number, self.now))
                raise
            caught = True
        else:
            self.open.pop()
        self.trace.append(("left", scope.number, self.now, scope.expired, caught))
        if caught and not block.quiet:
            self.trace.append(("exceeded", scope.number))


def expected(program: tuple[Any, ...], *, level: bool) -> list[Event]:
    reference = _Reference(level)
    reference.run(program)
    return reference.trace


# -- the real thing ----------------------------------------------------------


@dataclass
class _Run:
    level: bool
    began: float = field(default_factory=within.current_time)
    trace: list[Event] = field(default_factory=list)
    open: list[within.Timeout] = field(default_factory=list)
    count: int = 0

    def now(self) -> float:
        return within.current_time() - self.began

    async def run(self, body: tuple[Any, ...]) -> None:
        for statement in body:
            await self.step(statement)

    async def step(self, statement: Any) -> None:
        match statement:
            case Sleep(seconds):
                await anyio.sleep(seconds)
                self.trace.append(("slept", self.now()))
            case Finally(body, seconds, shielded):
                try:
                    await self.run(body)
                finally:
                    with within.Timeout(shield=shielded):
                        await anyio.sleep(seconds)
                    self.trace.append(("cleaned", self.now()))
            case Swallow(body):
                try:
                    await self.run(body)
                except anyio.get_cancelled_exc_class():
                    self.trace.append(("swallowed", self.now()))
            case Reschedule(outwards, delay) if outwards < len(self.open):
                scope = self.open[-1 - outwards]
                when = None if delay is None else within.current_time() + delay
                try:
                    scope.reschedule(when)
                except RuntimeError:
                    self.trace.append(("too late", int(scope.name or "")))
            case Cancel(outwards) if outwards < len(self.open):
                self.open[-1 - outwards].cancel()
            case Block():
                await self.block(statement)

    async def block(self, block: Block) -> None:
        scope = within.Timeout(
            block.delay,
            quiet=block.quiet,
            shield=block.shield,
            level=self.level,
            name=str(self.count),
        )
        number, self.count = self.count, self.count + 1
        through = True
        exceeded = False
        try:
            async with scope:
                self.open.append(scope)
                try:
                    await self.run(block.body)
                finally:
                    self.open.pop()
            through = False
        except within.DeadlineExceeded as error:
            through = False
            exceeded = True
            assert error.scope is scope
        finally:
            if through:
                self.trace.append(("through", number, self.now()))
        caught = scope.cancelled_caught
        self.trace.append(("left", number, self.now(), scope.expired, caught))
        if exceeded:
            self.trace.append(("exceeded", number))


async def actual(program: tuple[Any, ...], *, level: bool) -> list[Event]:
    run = _Run(level)
    await run.run(program)
    return run.trace
