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

from within._backends._asyncio_alarm import Alarm


class Handle:
    def __init__(self, loop: Loop, when: float, call: Any) -> None:
        self.loop, self.when, self.call = loop, when, call

    def cancel(self) -> None:
        self.loop.timers.remove(self)


class Loop:
    """As much of an event loop as an alarm sees.

    A coarse one is as uvloop: its clock stands still within a millisecond, and it
    rounds to the nearest what is left until a timer. The other is a hair early.
    """

    def __init__(self, is_coarse: bool = False) -> None:
        self.is_coarse = is_coarse
        self.now = 0.0
        self.timers: list[Handle] = []
        self.made = 0
        self.learning = 0

    def time(self) -> float:
        return math.floor(self.now * 1000 + 1e-6) / 1000 if self.is_coarse else self.now

    def call_at(self, when: float, call: Any, context: Any) -> Handle:
        assert len(context) == 0
        self.made += 1
        if self.is_coarse:
            when = self.time() + round((when - self.time()) * 1000) / 1000
        self.timers.append(Handle(self, when, call))
        return self.timers[-1]

    def run(self, until: float) -> None:
        early = 0.0 if self.is_coarse else 1e-9
        passes = 0  # in one instant
        while due := [t for t in self.timers if t.when - early <= until]:
            first = min(due, key=lambda t: t.when)
            self.timers.remove(first)
            # Early once; the second time it is as late as it has to be.
            if first.when - early > self.now:
                self.now, passes = first.when - early, 0
            early = 0.0
            first.call()
            passes += 1
            # It learns once what to ask for: twice 1 µs, and so on to 0.5 ms.
            self.learning += passes > 2
            assert self.learning <= 10, "it spins"
        self.now = max(self.now, until)


class Block:
    """As much of a Timeout."""

    def __init__(self, deadline: float) -> None:
        self._when = deadline
        self._entry: Any = None
        self._task: Any = object()
        self._expired = False


class Blocks:
    """Blocks that are entered and left, as the backend does it."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.young: list[Any] = []
        self.rung: list[Any] = []
        self.alarm = Alarm(self.loop, self.age, self.ring)  # type: ignore[arg-type]

    def age(self) -> list[Any]:
        aged, self.young = self.young, []
        return aged

    def ring(self, due: list[Any]) -> None:
        assert all(block._when <= self.loop.time() for block in due)
        self.rung += due

    def enter(self, deadline: float) -> Any:
        block = Block(deadline)
        self.young.append(block)
        if deadline < self.alarm.rings_at:
            self.alarm.set(deadline)
        return block

    def leave(self, block: Any) -> None:
        if block in self.young:
            self.young.remove(block)
        else:
            self.alarm.discard(block)  # nothing, if it has rung


class AlarmMachine(RuleBasedStateMachine):
    """T1: never early; T2: in the first pass; T8: what is left is forgotten."""

    blocks = Bundle("blocks")

    @initialize(is_coarse=st.booleans())
    def start(self, is_coarse: bool) -> None:
        self.it = Blocks(Loop(is_coarse))
        self.entered: list[Any] = []

    @property
    def waiting(self) -> list[Any]:
        return [block for block in self.entered if block not in self.it.rung]

    @rule(target=blocks, delay=st.floats(0.001, 100) | st.just(math.inf))
    def enter(self, delay: float) -> Any:
        self.entered.append(self.it.enter(self.it.loop.time() + delay))
        return self.entered[-1]

    @rule(block=consumes(blocks))
    def leave(self, block: Any) -> None:
        self.entered.remove(block)
        self.it.leave(block)

    @rule(block=blocks, delay=st.floats(0.001, 100) | st.just(math.inf))
    def move(self, block: Any, delay: float) -> None:
        if block in self.waiting:
            block._when = self.it.loop.time() + delay
            self.it.alarm.move(block)

    @rule(block=blocks)
    def expire(self, block: Any) -> None:
        """By `cancel()`: it has rung, as far as the alarm is concerned."""
        if block in self.waiting:
            block._expired = True
            self.it.alarm.discard(block)
            self.it.rung.append(block)

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.it.loop.run(self.it.loop.now + seconds)

    @invariant()
    def what_is_due_has_rung_once(self) -> None:
        assert all(block._when > self.it.loop.time() for block in self.waiting)
        assert len(set(self.it.rung)) == len(self.it.rung)

    @invariant()
    def a_timer_is_armed_for_the_first(self) -> None:
        assert len(self.it.loop.timers) <= 1
        first = min((block._when for block in self.waiting), default=math.inf)
        if first != math.inf:
            late = 0.001 if self.it.loop.is_coarse else 0.0
            assert self.it.loop.timers[0].when < first + late + 2e-9

    @invariant()
    def the_heap_is_not_mostly_rubbish(self) -> None:
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


def test_t11_putting_off_costs_no_timer_but_when_the_alarm_rings() -> None:
    it = Blocks(Loop())
    kept_alive = it.enter(10)
    for _ in range(1000):  # old at the hundredth
        it.loop.run(it.loop.now + 0.1)
        kept_alive._when = it.loop.now + 10
        it.alarm.move(kept_alive)
    assert it.loop.made <= 2 * 11 + 2  # as it is early, once more each time
    assert it.rung == []
    assert len(it.alarm._heap) == 1
    it.loop.run(it.loop.now + 10)
    assert it.rung == [kept_alive]


def test_t11_a_hundred_that_are_put_off_share_their_rings() -> None:
    it = Blocks(Loop())
    blocks = [it.enter(10) for _ in range(100)]
    for step in range(5000):  # one after the other, each once in ten seconds
        it.loop.run(it.loop.now + 0.1)
        block = blocks[step % 100]
        block._when = it.loop.now + 15
        it.alarm.move(block)
    assert it.loop.made <= 2 * 5000 * 0.1 / 5
    assert it.rung == []


def test_a_long_one_does_not_delay_a_short_one() -> None:
    it = Blocks(Loop())
    it.enter(1000)
    short = it.enter(1)
    it.loop.run(1)
    assert it.rung == [short]
    assert [timer.when for timer in it.loop.timers] == [1000]
    assert it.alarm.rings_at == 1000
