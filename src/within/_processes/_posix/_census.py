"""The members of our children's groups, found with one look at each new process.

With a thousand children open, listing every process whenever one exits would cost the
square of their number (P15). But a group grows only by forks, and pids are allocated in
order: a member was forked after its leader, and a process that has been looked at once
need not be looked at again.
"""

from __future__ import annotations

import math
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from ._tree import FEW_FORKS, group_of, is_alive, listed, newest_pid, session_of

if TYPE_CHECKING:
    from collections.abc import Callable

# The kernel needs longer than this to allocate every pid once, in seconds.
_FRESH = 0.25

# A pid is allocated some microseconds before its process is visible. One that was not
# found is looked for again at each look for this long, in seconds.
_UNTIL_VISIBLE = 0.01

# Upper bound on forks that are not visible yet.
_UNDER_WAY = 50


class Census:
    """The members of the groups that are watched, shared by all threads.

    Another instance does the same for sessions, with ``session_of`` for ``group_of``.
    """

    def __init__(self, group_of: Callable[[int], int]) -> None:
        self._group_of = group_of
        # Reentrant: the garbage collector may end a dropped child inside any method.
        self._lock = threading.RLock()
        self._groups: dict[int, set[int]] = {}  # by leader, without the leader
        self._unsure: set[int] = set()  # groups that may have members we never saw
        self._newest = 0  # all pids up to this one have been looked at
        self._looked = -math.inf  # when we last looked
        self._latest = 0  # the last leader that was watched
        self._missed: dict[int, float] = {}  # pid -> when it was first not found

    def watch(self, leader: int) -> None:
        """Start watching a group. Its leader was just started and is not reaped."""
        with self._lock:
            now = time.monotonic()
            fresh = now - self._looked < _FRESH
            if fresh and abs(leader - self._newest) < FEW_FORKS:
                # Another thread may have looked past the leader since its start.
                new = range(leader + 1, self._newest + 1)
            else:
                new = range(0)
                self._unsure.update(list(self._groups))
                self._newest, self._looked = leader, now
            self._latest = leader
            known = self._groups[leader] = set()
            known.update(pid for pid in new if self._group_of(pid) == leader)

    def is_watching(self, leader: int) -> bool:
        """Whether :meth:`watch` was called for it."""
        return leader in self._groups

    def forget(self, leader: int) -> None:
        """Drop a group. (No lock, because the garbage collector may call this.)"""
        self._groups.pop(leader, None)
        self._unsure.discard(leader)

    def members(self, leader: int) -> list[int]:
        """The living members of a watched group, without its leader."""
        with self._lock:
            self._look()
            if leader in self._unsure:
                for pid in listed():
                    self._assign(pid)
                self._unsure.clear()
            known = self._groups.get(leader, set())
            alive = {
                pid
                for pid in tuple(known)
                if self._group_of(pid) == leader and is_alive(pid)
            }
            known &= alive
            return sorted(alive)

    def _look(self) -> None:
        now = time.monotonic()
        last = newest_pid()
        # Where /proc is emulated for a container, its answer may be out of date.
        is_current = max(self._newest, self._latest) <= last <= self._newest + FEW_FORKS
        since = self._newest
        if not is_current or now - self._looked >= _FRESH:
            self._unsure.update(list(self._groups))
            since = max(0, last - _UNDER_WAY)
        new = dict.fromkeys(range(since + 1, last + 1), now)
        self._missed = {
            pid: first
            for pid, first in (self._missed | new).items()
            if not self._assign(pid) and now < first + _UNTIL_VISIBLE
        }
        self._newest, self._looked = last, now

    def _assign(self, pid: int) -> bool:
        """Add it to its group, if that is watched; false if there is no such process."""
        pgid = self._group_of(pid)
        if pid != pgid and (known := self._groups.get(pgid)) is not None:
            known.add(pid)
        return pgid >= 0


census = Census(group_of)
sessions = Census(session_of)

if hasattr(os, "register_at_fork"):  # another thread may have held the lock
    for one, kind in ((census, group_of), (sessions, session_of)):
        os.register_at_fork(after_in_child=partial(one.__init__, kind))  # type: ignore[misc]
