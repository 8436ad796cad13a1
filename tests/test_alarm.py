"""The alarm of the asyncio backend, against a plain list of what is due."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
)

from within._backends._asyncio_alarm import Alarm


class Handle:
    def __init__(self, loop: Loop, when: float, call: Any) -> None:
        self.loop, self.when, self.call = loop, when, call

    def cancel(self) -> None:
        self.loop.timers.remove(self)


class Loop:
    """As much of an event loop as an alarm sees; `early` as uvloop may be."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Handle] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Any, context: Any) -> Handle:
        assert len(context) == 0
        self.made += 1
        self.timers.append(Handle(self, when, call))
        return self.timers[-1]

    def run(self, until: float, early: float = 0.0) -> None:
        while due := [t for t in self.timers if t.when - early <= until]:
            first = min(due, key=lambda t: t.when)
            self.timers.remove(first)
            # Early once; the second time it is as late as it has to be.
            self.now = max(self.now, first.when - early)
            early = 0.0
            first.call()
        self.now = max(self.now, until)


class Block:
    """As much of a Timeout."""

    def __init__(self, deadline: float) -> None:
        self._when = deadline
        self._entry: Any = None


class AlarmMachine(RuleBasedStateMachine):
    """T1: never early; T2: in the first pass; T8: what is left is forgotten."""

    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.alarm = Alarm(self.loop, self.ring)  # type: ignore[arg-type]
        self.waiting: set[Any] = set()
        self.rung: set[Any] = set()

    def ring(self, due: list[Any]) -> None:
        for block in due:
            assert block._when <= self.loop.now
            self.waiting.remove(block)
            self.rung.add(block)

    @rule(target=blocks, delay=st.floats(0.001, 100))
    def add(self, delay: float) -> Any:
        block: Any = Block(self.loop.now + delay)
        self.waiting.add(block)
        self.alarm.add(block, block._when)
        return block

    @rule(block=consumes(blocks))
    def discard(self, block: Any) -> None:
        self.waiting.discard(block)
        self.alarm.discard(block)  # nothing, if it has rung

    @rule(block=blocks, delay=st.floats(0.001, 100))
    def move(self, block: Any, delay: float) -> None:
        if block in self.waiting:
            self.alarm.discard(block)
            block._when = self.loop.now + delay
            self.alarm.add(block, block._when)

    @rule(seconds=st.floats(0, 100), early=st.sampled_from([0.0, 0.0005]))
    def pass_time(self, seconds: float, early: float) -> None:
        self.loop.run(self.loop.now + seconds, early)

    @invariant()
    def what_is_due_has_rung(self) -> None:
        assert all(block._when > self.loop.now for block in self.waiting)

    @invariant()
    def a_timer_is_armed_for_the_first(self) -> None:
        assert len(self.loop.timers) <= 1
        if self.waiting:
            first = min(block._when for block in self.waiting)
            assert self.loop.timers[0].when <= first

    @invariant()
    def the_heap_is_not_mostly_rubbish(self) -> None:
        assert len(self.alarm) == len(self.waiting)
        assert len(self.alarm._heap) <= 2 * len(self.waiting) + 130


TestAlarm = AlarmMachine.TestCase


@given(st.lists(st.integers(0, 3), min_size=500, max_size=1000))
def test_entering_and_leaving_costs_no_timer(choices: list[int]) -> None:
    loop = Loop()
    rung: list[Any] = []
    alarm = Alarm(loop, rung.extend)  # type: ignore[arg-type]
    open_: list[Any] = []
    for choice in choices:
        loop.now += 0.001
        if choice and open_:
            alarm.discard(open_.pop(choice % len(open_)))
        else:
            block: Any = Block(loop.now + 10)
            alarm.add(block, block._when)
            open_.append(block)
    assert loop.made == 1
    assert rung == []
    assert len(alarm) == len(open_)


def test_a_long_one_does_not_delay_a_short_one() -> None:
    loop = Loop()
    rung: list[Any] = []
    alarm = Alarm(loop, rung.extend)  # type: ignore[arg-type]
    long: Any = Block(1000)
    short: Any = Block(1)
    alarm.add(long, 1000)
    alarm.add(short, 1)
    loop.run(1)
    assert rung == [short]
    assert [timer.when for timer in loop.timers] == [1000]
    assert not math.isinf(alarm._rings_at)
