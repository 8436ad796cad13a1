"""The alarm of the asyncio backend, against a plain list of what is due."""

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
        self.loop.timers.remove(self)


FINE, UVLOOP, TICKS = "fine", "uvloop", "ticks"
RESOLUTION = {FINE: 1e-9, UVLOOP: 0.001, TICKS: 0.0156}

# The real time that a pass of the loop takes.
PASS = 1e-6


class Loop:
    """The part of an event loop that an alarm sees, with the clock of a real one.

    "fine" and "ticks" run a timer early by less than the resolution of the clock, as
    asyncio does. The clock of "ticks" stands still in between, as on Windows. "uvloop"
    counts milliseconds, and rounds the time until a timer to the nearest one.
    """

    def __init__(self, kind: str = FINE) -> None:
        self.kind = kind
        if kind != UVLOOP:
            self._clock_resolution = RESOLUTION[kind]
        self.now = 0.0
        self.timers: list[Handle] = []
        self.made = 0
        self.useless = 0  # timers that found nothing due, at one reading of the clock

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

    def run(self, until: float, rung: list[Any]) -> None:
        at = -math.inf
        while True:
            ready = [timer for timer in self.timers if self.is_ready(timer)]
            if ready:
                if self.time() != at:
                    at, self.useless = self.time(), 0
                first = min(ready, key=lambda timer: timer.when)
                self.timers.remove(first)
                before = len(rung)
                first.call()
                self.useless += len(rung) == before
                # The first may have been for a block that was left.
                assert self.useless <= 2, "it spins"
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


class Blocks:
    """Blocks that are entered and left as the backend does it."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.young: list[Any] = []
        self.rung: list[Any] = []
        self.alarm = Alarm(self.loop, self.age, self.ring)  # type: ignore[arg-type]

    def age(self) -> list[Any]:
        aged, self.young = self.young, []
        return aged

    def ring(self, due: list[Any]) -> None:
        assert all(block.when <= self.loop.time() for block in due)
        self.rung += due

    def enter(self, deadline: float) -> Any:
        block = Block(deadline)
        self.young.append(block)
        if deadline < self.alarm.rings_at:
            self.alarm.set(deadline)
        return block

    def run(self, until: float) -> None:
        self.loop.run(until, self.rung)

    def leave(self, block: Any) -> None:
        if block in self.young:
            self.young.remove(block)
        else:
            self.alarm.discard(block)  # nothing, if it has rung


class AlarmMachine(RuleBasedStateMachine):
    """T1: never early. T2: in the first pass. T8: blocks that were left are forgotten."""

    blocks = Bundle("blocks")

    @initialize(kind=st.sampled_from([FINE, UVLOOP, TICKS]))
    def start(self, kind: str) -> None:
        self.it = Blocks(Loop(kind))
        self.entered: list[Any] = []

    @property
    def waiting(self) -> list[Any]:
        return [block for block in self.entered if block not in self.it.rung]

    @rule(
        target=blocks,
        delay=st.floats(0.0001, 0.1) | st.floats(0.001, 3) | st.just(math.inf),
    )
    def enter(self, delay: float) -> Any:
        self.entered.append(self.it.enter(self.it.loop.time() + delay))
        return self.entered[-1]

    @rule(block=consumes(blocks))
    def leave(self, block: Any) -> None:
        self.entered.remove(block)
        self.it.leave(block)

    @rule(
        block=blocks,
        delay=st.floats(0.0001, 0.1) | st.floats(0.001, 3) | st.just(math.inf),
    )
    def move(self, block: Any, delay: float) -> None:
        if block in self.waiting:
            block.when = self.it.loop.time() + delay
            self.it.alarm.move(block)

    @rule(block=blocks)
    def expire(self, block: Any) -> None:
        """By `cancel()`. For the alarm this is the same as ringing."""
        if block in self.waiting:
            block.has_expired = True
            self.it.alarm.discard(block)
            self.it.rung.append(block)

    @rule(seconds=st.floats(0, 0.1) | st.floats(0, 3))
    def pass_time(self, seconds: float) -> None:
        self.it.run(self.it.loop.now + seconds)

    @invariant()
    def what_is_due_has_rung_once(self) -> None:
        # T2: whatever has happened before, a coarse clock costs a step of it, once.
        step = 0.0 if self.it.loop.kind == FINE else RESOLUTION[self.it.loop.kind]
        now = self.it.loop.time()
        assert all(block.when > now - step - 1e-6 for block in self.waiting)
        assert len(set(self.it.rung)) == len(self.it.rung)

    @invariant()
    def a_timer_is_armed_for_the_first(self) -> None:
        assert len(self.it.loop.timers) <= 1
        first = min((block.when for block in self.waiting), default=math.inf)
        if first != math.inf:
            late = RESOLUTION[self.it.loop.kind]
            assert self.it.loop.timers[0].when < first + late + 1e-9

    @invariant()
    def most_of_the_heap_is_in_use(self) -> None:
        old = [block for block in self.waiting if block not in self.it.young]
        assert len(self.it.alarm) == len(old)
        assert len(self.it.alarm._heap) <= 2 * len(old) + 130


TestAlarm = AlarmMachine.TestCase


@given(st.lists(st.integers(0, 3), min_size=500, max_size=1000))
def test_entering_and_leaving_costs_no_timer(choices: list[int]) -> None:
    it = Blocks(Loop())
    open_: list[Any] = []
    for choice in choices:
        it.loop.now += 0.001
        if choice and open_:
            it.leave(open_.pop(choice % len(open_)))
        else:
            open_.append(it.enter(it.loop.now + 10))
    assert it.loop.made == 1
    assert it.rung == []
    assert it.young == open_
    assert len(it.alarm) == 0


def test_t11_putting_off_costs_a_timer_only_when_the_alarm_rings() -> None:
    it = Blocks(Loop())
    kept_alive = it.enter(10)
    for _ in range(1000):  # the alarm rings every ten seconds
        it.run(it.loop.now + 0.1)
        kept_alive.when = it.loop.now + 10
        it.alarm.move(kept_alive)
    assert it.loop.made <= 2 * 11 + 2  # it is early, and then set once more
    assert it.rung == []
    assert len(it.alarm._heap) == 1
    it.run(it.loop.now + 10)
    assert it.rung == [kept_alive]


def test_t11_a_hundred_blocks_that_are_put_off_share_their_timers() -> None:
    it = Blocks(Loop())
    blocks = [it.enter(11) for _ in range(100)]
    for step in range(5000):  # one after the other, each once every ten seconds
        it.run(it.loop.now + 0.1)
        block = blocks[step % 100]
        block.when = it.loop.now + 15
        it.alarm.move(block)
    assert it.loop.made <= 2 * 5000 * 0.1 / 5
    assert it.rung == []


def test_t2_a_long_delay_does_not_hold_up_a_short_one() -> None:
    it = Blocks(Loop())
    it.enter(1000)
    short = it.enter(1)
    it.run(1)
    assert it.rung == [short]
    assert [timer.when for timer in it.loop.timers] == [1000]
    assert it.alarm.rings_at == 1000
