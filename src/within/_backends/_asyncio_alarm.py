"""One timer for all of a loop's open timeouts.

``asyncio.timeout`` makes a timer for each block and cancels it on the way out.
Here the loop is asked for a timer when none is armed that rings early enough,
which in the common case (many blocks with much the same delay, nearly all left in
time) is once per delay and not once per block. The timer stays armed when its
block is left: it then finds nothing due, and is set for whatever comes next.

Nor is a block sorted in among the others when it is entered, for it may be left
again before anything rings. Whoever is open still when the timer rings goes into
a heap, once.
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
        "_fresh",
        "_handle",
        "_heap",
        "_left",
        "_loop",
        "_number",
        "_ring",
        "_rings_at",
    )

    def __init__(
        self, loop: AbstractEventLoop, ring: Callable[[list[Timeout]], None]
    ) -> None:
        self._loop = loop
        self._ring = ring
        # Those added since it rang last, by id(): a subclass may compare as it likes.
        self._fresh: dict[int, Timeout] = {}
        self._rings_at = math.inf
        self._heap: list[Entry] = []
        self._left = 0  # entries whose block has been left
        self._number = count().__next__
        self._handle: TimerHandle | None = None
        # A handle captures the context in which it is made; an empty one of our
        # own keeps nobody's variables alive (T8).
        self._context = Context()

    def __len__(self) -> int:
        """How many it would ring for, sooner or later."""
        return len(self._fresh) + len(self._heap) - self._left

    def add(self, timeout: Timeout, deadline: float) -> None:
        """Have ``timeout`` passed to ``ring`` in the first pass at or after it."""
        self._fresh[id(timeout)] = timeout
        if deadline < self._rings_at:
            self._set(deadline)

    def discard(self, timeout: Timeout) -> None:
        """Forget it, if it is there. The timer is left as it is: it may be of use."""
        entry: Entry | None = timeout._entry
        if entry is None:
            self._fresh.pop(id(timeout), None)
            return
        timeout._entry = entry[2] = None
        self._left += 1
        heap = self._heap
        if self._left > _FEW and self._left * 2 > len(heap):
            self._heap = [kept for kept in heap if kept[2] is not None]
            heapify(self._heap)
            self._left = 0

    def _set(self, deadline: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._rings_at = deadline
        self._handle = self._loop.call_at(
            deadline, self._on_timer, context=self._context
        )

    def _on_timer(self) -> None:
        self._handle = None
        self._rings_at = math.inf
        heap = self._heap
        for timeout in self._fresh.values():
            entry: Entry = [timeout._when, self._number(), timeout]
            heappush(heap, entry)
            timeout._entry = entry
        self._fresh.clear()
        now = self._loop.time()
        due: list[Timeout] = []
        while heap:
            deadline: Any
            block: Any
            deadline, _, block = heap[0]
            if block is None:
                heappop(heap)
                self._left -= 1
            # T1: loops may be early, asyncio by the resolution of its clock and
            # uvloop by up to half a millisecond.
            elif deadline > now:
                break
            else:
                heappop(heap)
                block._entry = None
                due.append(block)
        if heap:
            self._set(heap[0][0])  # type: ignore[arg-type]
        if due:
            self._ring(due)
