"""One timer for all of a loop's open blocks.

``asyncio.timeout`` makes a timer for each block, and cancels it when the block is left.
Here the loop is asked for a timer only if none is armed that rings early enough. In the
common case (many blocks with much the same delay, nearly all left in time) that is once
per delay instead of once per block. The timer stays armed when its block is left; it
then finds nothing due, and is set for the next deadline.

A block is not sorted in among the others when it is entered, because most blocks are
left before the alarm rings. Those that are still open when it rings go into a heap,
once. A deadline that was put off moves in the heap only when its old place comes up.
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

    from ..._core import Block

# An entry of the heap is [no later than the deadline, tie-break, block]. The block
# becomes None once it has expired or is left, so that an entry that waits for its turn
# keeps nothing alive (T8).

# Entries without a block are thrown out once they are in the majority, but not if there
# are only a few: rebuilding the heap costs more than they do.
_FEW = 64

# The resolution of a clock that does not report it, as on uvloop. In seconds.
_MILLISECOND = 0.001


class Alarm:
    """Calls ``ring`` with the blocks that are due, once their deadline has passed.

    ``age`` hands over the blocks that were entered since the alarm last rang. The
    caller that enters a block whose deadline is before ``rings_at`` calls :meth:`set`.
    """

    __slots__ = (
        "_age",
        "_context",
        "_handle",
        "_heap",
        "_left",
        "_loop",
        "_number",
        "_ring",
        "_slack",
        "rings_at",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        age: Callable[[], list[Block]],
        ring: Callable[[list[Block]], None],
    ) -> None:
        self._loop = loop
        self._age = age
        self._ring = ring
        self.rings_at = math.inf
        self._heap: list[list[Any]] = []
        self._left = 0  # entries without a block
        self._number = count().__next__
        self._handle: TimerHandle | None = None
        # uvloop rounds the time until a timer to whole milliseconds of its clock. If it
        # rounds down, the timer is early, and if it rounds to zero, the loop spins until
        # the millisecond is over. With half a millisecond more it always rounds up.
        is_exact = hasattr(loop, "_clock_resolution")
        self._slack = 0.0 if is_exact else _MILLISECOND / 2
        # A handle captures the context in which it is made. An empty context of our own
        # keeps nobody's variables alive (T8).
        self._context = Context()

    def __len__(self) -> int:
        """How many blocks are in the heap."""
        return len(self._heap) - self._left

    def set(self, deadline: float, earliest: float = -math.inf) -> None:
        """Ring at ``deadline``, or as soon after it as the clock can tell.

        The loop is not asked for an instant before ``earliest``.
        """
        handle = self._loop.call_at(
            max(deadline + self._slack, earliest),
            self._on_timer,
            context=self._context,
        )
        # T23: a timer is noted only once it is armed. No signal handler runs in between.
        before, self._handle, self.rings_at = self._handle, handle, deadline
        if before is not None:
            before.cancel()

    def move(self, block: Block) -> None:
        """Take note of a deadline that was changed."""
        entry = block.entry
        if entry is not None and block.when < entry[0]:
            self.discard(block)
            self._push(block)
        if block.when < self.rings_at:
            self.set(block.when)

    def discard(self, block: Block) -> None:
        """Do not ring for ``block``. The timer stays armed, as it may be needed."""
        entry = block.entry
        if entry is None or entry[2] is None:
            return
        entry[2] = None
        self._left += 1
        heap = self._heap
        if self._left > _FEW and self._left * 2 > len(heap):
            # In place: the garbage collector may have closed a generator, and with it
            # a block, in the middle of _take().
            heap[:] = [kept for kept in heap if kept[2] is not None]
            heapify(heap)
            self._left = 0

    def _push(self, block: Block) -> None:
        block.entry = [block.when, self._number(), block]
        heappush(self._heap, block.entry)

    def _on_timer(self) -> None:
        now = self._loop.time()
        # A timer whose arming was interrupted may ring while another is armed (T23).
        handle, self._handle, self.rings_at = self._handle, None, math.inf
        if handle is not None:
            handle.cancel()
        due: list[Block] = []
        try:
            self._sort()
            self._take(due, now)
        finally:  # whatever interrupts us, the other blocks are not forgotten
            heap = self._heap
            try:
                if heap and heap[0][0] != math.inf:
                    self.set(heap[0][0], earliest=now + self._resolution())
            finally:
                if due:
                    self._ring(due)

    def _resolution(self) -> float:
        """The shortest time that the loop's clock can tell apart, in seconds.

        asyncio runs a timer early by up to this (15 ms on some systems). If it were
        armed for the same instant again, it would be run again at once: the loop would
        spin until that instant has come (T1, T2).
        """
        resolution: float = getattr(self._loop, "_clock_resolution", _MILLISECOND)
        return resolution

    def _sort(self) -> None:
        """Put the young blocks into the heap."""
        for block in self._age():
            entry: list[Any] = [block.when, self._number(), block]
            block.entry = entry
            # The garbage collector may have closed it since it was handed over.
            if block.has_expired or block.task is None:
                entry[2] = None
            else:
                heappush(self._heap, entry)

    def _take(self, due: list[Block], now: float) -> None:
        """Take the blocks that are due out of the heap."""
        heap = self._heap
        while heap:
            # Taken out before it is looked at, because discard() may be called in
            # between; see there.
            entry = heappop(heap)
            deadline, _, block = entry
            if block is None:
                self._left -= 1
            elif block.when > deadline:
                # T11: it was put off. All of these are moved at once, however far ahead
                # they are. Otherwise each of a thousand keep-alives would ring by
                # itself.
                entry[0] = block.when
                heappush(heap, entry)
            elif deadline > now:  # T1: the loop may be early
                heappush(heap, entry)
                break
            else:
                entry[2] = None
                due.append(block)
