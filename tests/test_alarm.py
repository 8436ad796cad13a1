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


class AlarmMachine(RuleBasedStateMachine):
    """T1: never early; T2: in the first pass; T8: what is left is forgotten."""

    entries = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.alarm = Alarm(self.loop, self.ring)  # type: ignore[arg-type]
        self.waiting: dict[str, float] = {}
        self.rung: set[str] = set()
        self.number = 0

    def ring(self, due: list[Any]) -> None:
        for name in due:
            assert self.waiting.pop(name) <= self.loop.now
            self.rung.add(name)

    @rule(target=entries, delay=st.floats(0.001, 100))
    def add(self, delay: float) -> tuple[str, Any]:
        self.number += 1
        name = f"block {self.number}"
        self.waiting[name] = self.loop.now + delay
        return name, self.alarm.add(name, self.loop.now + delay)  # type: ignore[arg-type]

    @rule(entry=consumes(entries))
    def discard(self, entry: tuple[str, Any]) -> None:
        name, handle = entry
        if name in self.waiting:
            del self.waiting[name]
            self.alarm.discard(handle)

    @rule(seconds=st.floats(0, 100), early=st.sampled_from([0.0, 0.0005]))
    def pass_time(self, seconds: float, early: float) -> None:
        self.loop.run(self.loop.now + seconds, early)

    @invariant()
    def what_is_due_has_rung(self) -> None:
        assert all(deadline > self.loop.now for deadline in self.waiting.values())

    @invariant()
    def a_timer_is_armed_for_the_first(self) -> None:
        assert len(self.loop.timers) <= 1
        if self.waiting:
            assert self.loop.timers[0].when <= min(self.waiting.values())

    @invariant()
    def the_heap_is_not_mostly_rubbish(self) -> None:
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
            open_.append(alarm.add("block", loop.now + 10))  # type: ignore[arg-type]
    assert loop.made == 1
    assert rung == []
    assert len(alarm._heap) <= 2 * len(open_) + 130


def test_a_long_one_does_not_delay_a_short_one() -> None:
    loop = Loop()
    rung: list[Any] = []
    alarm = Alarm(loop, rung.extend)  # type: ignore[arg-type]
    alarm.add("long", 1000)  # type: ignore[arg-type]
    alarm.add("short", 1)  # type: ignore[arg-type]
    loop.run(1)
    assert rung == ["short"]
    assert [timer.when for timer in loop.timers] == [1000]
    assert not math.isinf(alarm._set_for)
