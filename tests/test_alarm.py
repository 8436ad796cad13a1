"""The alarm of the asyncio backend, compared with a plain list of the due blocks."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from within._backends._asyncio._alarm import Alarm


class Handle:
    def __init__(self, loop: Loop, when: float, call: Any) -> None:
        self.loop, self.when, self.call = loop, when, call

    def cancel(self) -> None:
        if self in self.loop.timers:  # else it rings now
            self.loop.timers.remove(self)


FINE, UVLOOP, TICKS = "fine", "uvloop", "ticks"
RESOLUTION = {FINE: 1e-9, UVLOOP: 0.001, TICKS: 0.0156}

# The real time that a pass of the loop takes.
PASS = 1e-6


class Loop:
    """The part of an event loop that an alarm sees, with the clock of a real one.

    "fine" and "ticks" run a timer early by less than the clock's resolution, as asyncio
    does. The clock of "ticks" stands still between two ticks, as on Windows. "uvloop"
    counts milliseconds, and rounds the time until a timer to the nearest one.
    """

    def __init__(self, kind: str = FINE) -> None:
        self.kind = kind
        if kind != UVLOOP:
            self._clock_resolution = RESOLUTION[kind]
        self.now = 0.0
        self.timers: list[Handle] = []
        self.made = 0
        # Timers at the same reading of the clock that found no due block.
        self.useless = 0

    def time(self) -> float:
        if self.kind == FINE:
            return self.now
        tick = RESOLUTION[self.kind]
        return math.floor(self.now / tick + 1e-6) * tick

    def call_at(self, when: float, call: Any, context: Any) -> Handle:
        assert len(context) == 0
        self.made += 1
        if self.kind == UVLOOP:
            when = self.time() + round((when - self.time()) * 1000) / 1000
        self.timers.append(Handle(self, when, call))
        return self.timers[-1]

    def is_ready(self, timer: Handle) -> bool:
        if self.kind == UVLOOP:
            return timer.when <= self.time() + 1e-9
        return timer.when < self.time() + self._clock_resolution

    def run(self, until: float, expired: list[Any]) -> None:
        at = -math.inf
        while True:
            ready = [timer for timer in self.timers if self.is_ready(timer)]
            if ready:
                if self.time() != at:
                    at, self.useless = self.time(), 0
                first = min(ready, key=lambda timer: timer.when)
                self.timers.remove(first)
                before = len(expired)
                first.call()
                self.useless += len(expired) == before
                # The first timer may have been for a block that was left.
                assert self.useless <= 2, "the loop spins"
                self.now += PASS
            elif self.now < until:
                self.now = min(until, self.next_instant())
            else:
                return

    def next_instant(self) -> float:
        if self.kind != FINE:
            return self.now + RESOLUTION[self.kind]
        first = min((timer.when for timer in self.timers), default=math.inf)
        return max(self.now + PASS, first - self._clock_resolution / 2)


class Block:
    """The part of a block that an alarm sees."""

    def __init__(self, deadline: float) -> None:
        self.when = deadline
        self.entry: Any = None
        self.task: Any = object()
        self.has_expired = False


class FakeBackend:
    """Enters and leaves blocks as the backend does."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.young: list[Any] = []
        self.expired: list[Any] = []
        self.alarm = Alarm(self.loop, self.age, self.expire)  # type: ignore[arg-type]

    def age(self) -> list[Any]:
        aged, self.young = self.young, []
        return aged

    def expire(self, due: list[Any]) -> None:
        assert all(block.when <= self.loop.time() for block in due)
        self.expired += due

    def enter(self, deadline: float) -> Any:
        block = Block(deadline)
        self.young.append(block)
        if deadline < self.alarm.rings_at:
            self.alarm.set(deadline)
        return block

    def run(self, until: float) -> None:
        self.loop.run(until, self.expired)

    def leave(self, block: Any) -> None:
        if block in self.young:
            self.young.remove(block)
        else:
            self.alarm.discard(block)  # does nothing if the block has expired


class AlarmMachine(RuleBasedStateMachine):
    """T1: never early. T2: in the first pass. T8: no trace of blocks that were left."""

    blocks = Bundle("blocks")

    @initialize(kind=st.sampled_from([FINE, UVLOOP, TICKS]))
    def start(self, kind: str) -> None:
        self.backend = FakeBackend(Loop(kind))
        self.entered: list[Any] = []

    @property
    def waiting(self) -> list[Any]:
        return [block for block in self.entered if block not in self.backend.expired]

    @rule(
        target=blocks,
        delay=st.floats(0.0001, 0.1) | st.floats(0.001, 3) | st.just(math.inf),
    )
    def enter(self, delay: float) -> Any:
        self.entered.append(self.backend.enter(self.backend.loop.time() + delay))
        return self.entered[-1]

    @rule(block=consumes(blocks))
    def leave(self, block: Any) -> None:
        self.entered.remove(block)
        self.backend.leave(block)

    @rule(
        block=blocks,
        delay=st.floats(0.0001, 0.1) | st.floats(0.001, 3) | st.just(math.inf),
    )
    def move(self, block: Any, delay: float) -> None:
        if block in self.waiting:
            block.when = self.backend.loop.time() + delay
            self.backend.alarm.move(block)

    @rule(block=blocks)
    def expire(self, block: Any) -> None:
        """Expire a block by `cancel()`. To the alarm this looks like its deadline."""
        if block in self.waiting:
            block.has_expired = True
            self.backend.alarm.discard(block)
            self.backend.expired.append(block)

    @rule(seconds=st.floats(0, 0.1) | st.floats(0, 3))
    def pass_time(self, seconds: float) -> None:
        self.backend.run(self.backend.loop.now + seconds)

    @invariant()
    def every_due_block_has_expired_once(self) -> None:
        # T2: a coarse clock costs one step of the clock, and delays do not add up.
        step = (
            0.0
            if self.backend.loop.kind == FINE
            else RESOLUTION[self.backend.loop.kind]
        )
        now = self.backend.loop.time()
        assert all(block.when > now - step - 1e-6 for block in self.waiting)
        assert len(set(self.backend.expired)) == len(self.backend.expired)

    @invariant()
    def a_timer_is_armed_for_the_first_deadline(self) -> None:
        assert len(self.backend.loop.timers) <= 1
        first = min((block.when for block in self.waiting), default=math.inf)
        if first != math.inf:
            late = RESOLUTION[self.backend.loop.kind]
            assert self.backend.loop.timers[0].when < first + late + 1e-9

    @invariant()
    def most_of_the_heap_is_in_use(self) -> None:
        old = [block for block in self.waiting if block not in self.backend.young]
        assert len(self.backend.alarm) == len(old)
        assert len(self.backend.alarm._heap) <= 2 * len(old) + 130


TestAlarm = AlarmMachine.TestCase


@given(st.binary(min_size=500, max_size=1000))  # a list takes far longer to draw
def test_entering_and_leaving_a_block_costs_no_timer(choices: bytes) -> None:
    backend = FakeBackend(Loop())
    open_: list[Any] = []
    for choice in choices:
        backend.loop.now += 0.001
        if choice % 4 and open_:
            backend.leave(open_.pop(choice % len(open_)))
        else:
            open_.append(backend.enter(backend.loop.now + 10))
    assert backend.loop.made == 1
    assert backend.expired == []
    assert backend.young == open_
    assert len(backend.alarm) == 0


def test_t11_moving_a_deadline_costs_a_timer_only_when_the_alarm_fires() -> None:
    backend = FakeBackend(Loop())
    kept_alive = backend.enter(10)
    for _ in range(1000):  # the alarm fires every ten seconds
        backend.run(backend.loop.now + 0.1)
        kept_alive.when = backend.loop.now + 10
        backend.alarm.move(kept_alive)
    assert backend.loop.made <= 2 * 11 + 2  # it fires early, and is then set once more
    assert backend.expired == []
    assert len(backend.alarm._heap) == 1
    backend.run(backend.loop.now + 10)
    assert backend.expired == [kept_alive]


def test_t11_a_hundred_moved_blocks_share_their_timers() -> None:
    backend = FakeBackend(Loop())
    blocks = [backend.enter(11) for _ in range(100)]
    for step in range(5000):  # one block after another, each once every ten seconds
        backend.run(backend.loop.now + 0.1)
        block = blocks[step % 100]
        block.when = backend.loop.now + 15
        backend.alarm.move(block)
    assert backend.loop.made <= 2 * 5000 * 0.1 / 5
    assert backend.expired == []


def test_t2_a_long_delay_does_not_hold_up_a_short_one() -> None:
    backend = FakeBackend(Loop())
    backend.enter(1000)
    short = backend.enter(1)
    backend.run(1)
    assert backend.expired == [short]
    assert [timer.when for timer in backend.loop.timers] == [1000]
    assert backend.alarm.rings_at == 1000
