"""The census of a group, checked against a simulated kernel: every birth is counted."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from typing import Any

import pytest
from children import needs_members
from hypothesis import assume, strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from within._processes._posix import _census

pytestmark = needs_members  # nowhere else is anything counted

LAST = 3000  # after which the numbers start again


class Kernel:
    """Processes that fork, exit and are reaped; numbers given out in order."""

    def __init__(self) -> None:
        self.now = 100.0
        self.newest = 1000
        self.groups = {1: 1}  # of all that are on the books
        self.dead: set[int] = set()
        self.honest = True

    def fork(self, group: int | None) -> int:
        self.newest += 1
        while self.newest in self.taken() or self.newest > LAST:
            self.newest = 300 if self.newest > LAST else self.newest + 1
        self.groups[self.newest] = self.newest if group is None else group
        return self.newest

    def taken(self) -> set[int]:
        return {*self.groups, *self.groups.values()}

    def reap(self, pid: int) -> None:
        del self.groups[pid]
        self.dead.discard(pid)

    def members(self, leader: int) -> list[int]:
        everybody = self.groups.items()
        found = [pid for pid, group in everybody if group == leader != pid]
        return sorted(pid for pid in found if pid not in self.dead)


class Births(RuleBasedStateMachine):
    leaders = Bundle("leaders")

    @initialize()
    def begin(self) -> None:
        self.kernel = kernel = Kernel()
        self.patch = pytest.MonkeyPatch()
        answers: dict[str, Callable[..., Any]] = {
            "is_alive": lambda pid: pid in kernel.groups and pid not in kernel.dead,
            "listed": lambda: sorted(kernel.groups),
            "newest_pid": lambda: kernel.newest if kernel.honest else 1,
        }
        for name, answer in answers.items():
            self.patch.setattr(_census, name, answer)
        self.patch.setattr(_census.time, "monotonic", lambda: kernel.now)
        self.census = _census.Census(lambda pid: kernel.groups.get(pid, -1))
        self.watched: set[int] = set()

    def teardown(self) -> None:
        self.patch.undo()

    @rule(target=leaders, between=st.integers(0, 3), other=st.none() | leaders)
    def start(self, between: int, other: int | None) -> int:
        leader = self.kernel.fork(None)
        for _ in range(between):  # it is faster than we are
            self.kernel.fork(leader)
        if other is not None:  # and so is another thread
            self.census.members(other)
        self.census.watch(leader)
        self.watched.add(leader)
        return leader

    @rule(leader=leaders, number=st.integers(1, 4))
    def give_birth(self, leader: int, number: int) -> None:
        for _ in range(number):
            self.kernel.fork(leader)

    @rule(leader=leaders, asked=leaders, times=st.integers(0, 3))
    def give_birth_slowly(self, leader: int, asked: int, times: int) -> None:
        pid = self.kernel.fork(leader)
        del self.kernel.groups[pid]
        for _ in range(times):
            self.kernel.now += 0.001
            self.ask(asked)
        self.kernel.groups[pid] = leader

    @rule(number=st.sampled_from([1, 10, 499, 500, 501, 2000]))
    def be_born_elsewhere(self, number: int) -> None:
        for _ in range(number):
            self.kernel.reap(self.kernel.fork(None))
        self.pass_time(number / 10_000)

    @rule(leader=leaders, beyond=st.integers(0, 3))
    def go_full_circle(self, leader: int, beyond: int) -> None:
        self.pass_time(0.3)
        newest, self.kernel.newest = self.kernel.newest, LAST
        self.kernel.fork(leader)
        self.kernel.newest = newest
        self.be_born_elsewhere(beyond)

    @rule(leader=leaders, data=st.data())
    def die(self, leader: int, data: st.DataObject) -> None:
        members = self.kernel.members(leader)
        assume(members)
        pid = data.draw(st.sampled_from(members))
        self.kernel.dead.add(pid)

    @rule()
    def be_reaped(self) -> None:
        for pid in set(self.kernel.dead):
            self.kernel.reap(pid)

    @rule(leader=leaders, data=st.data())
    def leave_the_group(self, leader: int, data: st.DataObject) -> None:
        members = self.kernel.members(leader)
        assume(members)
        pid = data.draw(st.sampled_from(members))
        self.kernel.groups[pid] = pid

    @rule(seconds=st.sampled_from([0.001, 0.2, 0.3, 100.0]))
    def pass_time(self, seconds: float) -> None:
        self.kernel.now += seconds

    @rule()
    def have_proc_made_up(self) -> None:
        self.kernel.honest = not self.kernel.honest

    @rule(leader=leaders)
    def ask(self, leader: int) -> None:
        assert self.census.members(leader) == self.kernel.members(leader)

    @rule(leader=consumes(leaders))
    def be_done_with(self, leader: int) -> None:
        for pid in self.kernel.members(leader):
            self.kernel.reap(pid)
        self.census.forget(leader)
        self.watched.remove(leader)
        self.kernel.reap(leader)

    @invariant()
    def nothing_is_kept_of_a_group_that_was_forgotten(self) -> None:
        assert set(self.census._groups) == self.watched
        assert self.census._unsure <= self.watched


test_p15_each_birth_is_counted_once = Births.TestCase


@pytest.mark.timeout(10)
def test_p15_the_collector_may_end_a_dropped_child_within_a_look() -> None:
    leader = os.getpid()
    collected: list[list[int]] = []

    def group_of(pid: int) -> int:
        if not collected:
            collected.append([])
            collected.append(census.members(leader))
        return -1

    census = _census.Census(group_of)
    census.watch(leader)
    assert census.members(leader) == []
    assert collected == [[], []]


def test_p16_a_look_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    census = _census.Census(lambda pid: 5 if pid in (5, 6) else -1)
    monkeypatch.setattr(_census, "newest_pid", lambda: 0)
    monkeypatch.setattr(_census, "is_alive", lambda pid: True)
    census.watch(5)

    def fail() -> list[int]:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(_census, "listed", fail)
    with pytest.raises(OSError, match="too many"):
        census.members(5)
    monkeypatch.setattr(_census, "_FRESH", math.inf)
    monkeypatch.setattr(_census, "newest_pid", lambda: 5)
    monkeypatch.setattr(_census, "listed", lambda: [5, 6])
    assert census.members(5) == [6]
