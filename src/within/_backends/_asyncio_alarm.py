"""One timer for all of a loop's open timeouts.

``asyncio.timeout`` makes a timer for each block and cancels it on the way out.
Here a block only puts an entry into a heap; the loop is asked for a timer when
none is armed that rings early enough, which in the common case (many blocks
with much the same delay, nearly all left in time) is once per delay and not
once per block. The timer stays armed when its block is left: it then finds
nothing due, and is set for whatever comes next.
"""

from __future__ import annotations

import math
from contextvars import Context
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle
    from collections.abc import Callable

    from .._timeouts import Timeout

    # [deadline, tie-break, the block]; the block is None once it is left, so
    # that an entry waiting for its turn keeps nothing alive (T8).
    Entry = list["float | int | Timeout | None"]

# Entries of blocks that were left are thrown out once they are in the majority,
# but not for a handful: rebuilding costs more than they do.
_FEW = 64


class Alarm:
    """Calls ``ring`` with the blocks that are due, once their deadline is there."""

    __slots__ = (
        "_context",
        "_handle",
        "_heap",
        "_left",
        "_loop",
        "_number",
        "_ring",
        "_set_for",
    )

    def __init__(
        self, loop: AbstractEventLoop, ring: Callable[[list[Timeout]], None]
    ) -> None:
        self._loop = loop
        self._ring = ring
        self._heap: list[Entry] = []
        self._left = 0  # entries whose block has been left
        self._number = count().__next__
        self._handle: TimerHandle | None = None
        self._set_for = math.inf
        # A handle captures the context in which it is made; an empty one of our
        # own keeps nobody's variables alive (T8).
        self._context = Context()

    def add(self, timeout: Timeout, deadline: float) -> Entry:
        """Have ``timeout`` passed to ``ring`` in the first pass at or after it."""
        entry: Entry = [deadline, self._number(), timeout]
        heappush(self._heap, entry)
        if deadline < self._set_for:
            self._set(deadline)
        return entry

    def discard(self, entry: Entry) -> None:
        """Forget an entry. The timer is left as it is: it may be of use yet."""
        entry[2] = None
        heap = self._heap
        # A block that is left soon after it was entered is usually the last
        # element of the heap still, and the last one can go at no cost.
        if heap[-1] is entry:
            heap.pop()
            return
        self._left += 1
        if self._left > _FEW and self._left * 2 > len(heap):
            self._heap = [kept for kept in heap if kept[2] is not None]
            heapify(self._heap)
            self._left = 0

    def _set(self, deadline: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._set_for = deadline
        self._handle = self._loop.call_at(
            deadline, self._on_timer, context=self._context
        )

    def _on_timer(self) -> None:
        self._handle = None
        self._set_for = math.inf
        now = self._loop.time()
        due: list[Timeout] = []
        heap = self._heap
        while heap:
            deadline, _, timeout = heap[0]
            if timeout is None:
                heappop(heap)
                self._left -= 1
            # T1: loops may be early, asyncio by the resolution of its clock and
            # uvloop by up to half a millisecond.
            elif deadline > now:  # type: ignore[operator]
                break
            else:
                heappop(heap)
                due.append(timeout)  # type: ignore[arg-type]
        if heap:
            self._set(heap[0][0])  # type: ignore[arg-type]
        if due:
            self._ring(due)
