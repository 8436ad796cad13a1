"""Who is in the groups of our children, at the price of a look at each birth.

To list every process whenever a child exits costs the square of their number
when a thousand are open (P15). But a group grows by births alone, and numbers
are given out in order: who is in it was born after its leader, and whoever has
been looked at once need not be looked at again.
"""

from __future__ import annotations

import math
import os
import threading
import time

from ._tree import FEW_BIRTHS, group_of, is_alive, listed, newest_pid

# In less than this numbers do not go full circle. In seconds.
_FRESH = 0.25

# A number is given some microseconds before its process can be found by it. Who
# was not found is looked for again for as long as this. In seconds.
_MATURITY = 0.01

# More than can be in that state at once.
_IN_LABOUR = 50


class Census:
    """The members of the groups that are watched, by all threads together."""

    def __init__(self) -> None:
        # The garbage collector may end a dropped child within any of these.
        self._lock = threading.RLock()
        self._groups: dict[int, set[int]] = {}  # by leader, who is not in it
        self._unsure: set[int] = set()  # groups with births that nobody looked at
        self._newest = 0  # whoever was born up to this one has been looked at
        self._looked = -math.inf  # when that was
        self._latest = 0  # the leader watched last
        self._missed: dict[int, float] = {}  # born at that time, but not seen

    def watch(self, leader: int) -> None:
        """Begin with a group, whose leader was just started and is not reaped."""
        with self._lock:
            now = time.monotonic()
            fresh = now - self._looked < _FRESH
            if fresh and abs(leader - self._newest) < FEW_BIRTHS:
                # Others may have looked at more than the leader since its start.
                born = range(leader + 1, self._newest + 1)
            else:
                born = range(0)
                self._unsure.update(list(self._groups))
                self._newest, self._looked = leader, now
            self._latest = leader
            known = self._groups[leader] = set()
            known.update(pid for pid in born if group_of(pid) == leader)

    def forget(self, leader: int) -> None:
        """Its group is history. (No lock: the garbage collector may call this.)"""
        self._groups.pop(leader, None)
        self._unsure.discard(leader)

    def members(self, leader: int) -> list[int]:
        """The living ones of a watched group, its leader apart."""
        with self._lock:
            self._look()
            if leader in self._unsure:
                for pid in listed():
                    self._assign(pid)
                self._unsure.clear()
            known = self._groups.get(leader, set())
            alive = {
                pid for pid in tuple(known) if group_of(pid) == leader and is_alive(pid)
            }
            known &= alive
            return sorted(alive)

    def _look(self) -> None:
        now = time.monotonic()
        last = newest_pid()
        # Where /proc is made up for a container, what it says may be long past.
        told = max(self._newest, self._latest) <= last <= self._newest + FEW_BIRTHS
        since = self._newest
        if not told or now - self._looked >= _FRESH:
            self._unsure.update(list(self._groups))
            since = max(0, last - _IN_LABOUR)
        born = dict.fromkeys(range(since + 1, last + 1), now)
        self._missed = {
            pid: since
            for pid, since in (self._missed | born).items()
            if not self._assign(pid) and now < since + _MATURITY
        }
        self._newest, self._looked = last, now

    def _assign(self, pid: int) -> bool:
        """Put it into its group, if that is watched; false if it is not there."""
        pgid = group_of(pid)
        if pid != pgid and (known := self._groups.get(pgid)) is not None:
            known.add(pid)
        return pgid >= 0


census = Census()

if hasattr(os, "register_at_fork"):  # another thread may have held the lock
    os.register_at_fork(after_in_child=census.__init__)  # type: ignore[misc]
