"""One timer for all of a loop's open timeouts.

``asyncio.timeout`` makes a timer for each block and cancels it on the way out.
Here the loop is asked for a timer when none is armed that rings early enough,
which in the common case (many blocks with much the same delay, nearly all left in
time) is once per delay and not once per block. The timer stays armed when its
block is left: it then finds nothing due, and is set for whatever comes next.

Nor is a block sorted in among the others when it is entered, for it may be left
again before anything rings. Whoever is open still when the timer rings goes into
a heap, once; and one that is put off moves in it only when its turn comes.
"""

from __future__ import annotations

import math
from contextvars import Context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle
    from collections.abc import Callable

    from .._timeouts import Timeout

    # [no later than the deadline, tie-break, the block]; the block is None once it
    # has expired or is left, so that an entry waiting for its turn keeps nothing
    # alive (T8).
    Entry = list["float | int | Timeout | None"]

# Entries of blocks that were left are thrown out once they are in the majority,
# but not for a handful: rebuilding costs more than they do.
_FEW = 64

# What a loop is asked for, in seconds, that has rung early twice in one instant; twice
# as much each time that it does so again.
_FIRST_GRAIN = 1e-6


class Alarm:
    """Calls ``ring`` with the blocks that are due, once their deadline is there.

    ``age`` hands over the blocks that were entered since it has rung last. Who enters
    one whose deadline is before ``rings_at`` calls :meth:`set`.
    """

    __slots__ = (
        "_age",
        "_context",
        "_grain",
        "_handle",
        "_heap",
        "_left",
        "_loop",
        "_number",
        "_rang_at",
        "_ring",
        "rings_at",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        age: Callable[[], list[Timeout]],
        ring: Callable[[list[Timeout]], None],
    ) -> None:
        self._loop = loop
        self._age = age
        self._ring = ring
        self.rings_at = math.inf
        self._heap: list[Entry] = []
        self._left = 0  # entries without a block
        self._number = count().__next__
        self._handle: TimerHandle | None = None
        self._rang_at = -math.inf
        self._grain = 0.0  # seconds: the least that it makes sense to ask for
        # A handle captures the context in which it is made; an empty one of our
        # own keeps nobody's variables alive (T8).
        self._context = Context()

    def __len__(self) -> int:
        """How many are in the heap."""
        return len(self._heap) - self._left

    def set(self, deadline: float, earliest: float = -math.inf) -> None:
        """Ring then, but not before ``earliest``."""
        if self._handle is not None:
            self._handle.cancel()
        self.rings_at = deadline
        self._handle = self._loop.call_at(
            max(deadline, earliest), self._on_timer, context=self._context
        )

    def move(self, timeout: Timeout) -> None:
        """Heed a deadline that was changed."""
        entry: Any = timeout._entry
        if entry is not None and timeout._when < entry[0]:
            self.discard(timeout)
            self._push(timeout)
        if timeout._when < self.rings_at:
            self.set(timeout._when)

    def discard(self, timeout: Timeout) -> None:
        """Do not ring for it. The timer is left as it is: it may be of use."""
        entry: Entry | None = timeout._entry
        if entry is None or entry[2] is None:
            return
        entry[2] = None
        self._left += 1
        heap = self._heap
        if self._left > _FEW and self._left * 2 > len(heap):
            # In place: a collection that closes generators may have brought us here
            # from out of the middle of a ring.
            heap[:] = [kept for kept in heap if kept[2] is not None]
            heapify(heap)
            self._left = 0

    def _push(self, timeout: Timeout) -> None:
        entry: Entry = [timeout._when, self._number(), timeout]
        timeout._entry = entry
        heappush(self._heap, entry)

    def _on_timer(self) -> None:
        now = self._loop.time()
        is_early = now < self.rings_at
        if is_early and now == self._rang_at:
            # asyncio is early by a nanosecond, and the next time it is not. uvloop's
            # clock counts milliseconds, and it rounds what is left of one to none: it
            # would ring again and again until that one is over.
            self._grain = max(2 * self._grain, _FIRST_GRAIN)
        self._rang_at = now
        self._handle = None
        self.rings_at = math.inf
        due: list[Timeout] = []
        try:
            self._sort()
            self._take(due, now)
        finally:  # whatever interrupts us, the others are not forgotten
            heap: list[Any] = self._heap
            try:
                if heap and heap[0][0] != math.inf:
                    self.set(heap[0][0], now + self._grain if is_early else now)
            finally:
                if due:
                    self._ring(due)

    def _sort(self) -> None:
        """Put the young ones into the heap."""
        for timeout in self._age():
            # As _push() does, but here it may be for fifty thousand.
            entry: Entry = [timeout._when, self._number(), timeout]
            timeout._entry = entry
            # A collection may have closed it since it was handed over.
            if timeout._expired or timeout._task is None:
                entry[2] = None
            else:
                heappush(self._heap, entry)

    def _take(self, due: list[Timeout], now: float) -> None:
        """Take out of the heap who is due."""
        heap: list[Any] = self._heap
        while heap:
            # Taken out before it is looked at: see discard() for who may come between.
            entry = heappop(heap)
            deadline, _, block = entry
            if block is None:
                self._left -= 1
            elif block._when > deadline:
                # T11: it was put off. All of these at once, however far ahead they
                # are: else each of a thousand keep-alives has a ring of its own.
                entry[0] = block._when
                heappush(heap, entry)
            elif deadline > now:  # T1: the loop may be early
                heappush(heap, entry)
                break
            else:
                entry[2] = None
                due.append(block)
