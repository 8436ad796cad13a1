"""A token bucket: so many at once, so many a second, and nobody jumps the queue.

    python examples/rate_limiter.py

Who waits can have a limit, be cancelled, or both at the very instant at which the
token comes: it is not lost, the next in the queue has it at that instant. The same
on each loop; the demonstration runs in virtual time, in which its hours take none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

import within
import within.testing

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class TokenBucket:
    """At most ``burst + rate * t`` grants within any ``t`` seconds.

    Use it as ``async with bucket:`` or ``await bucket.acquire()``.

    Args:
        rate: Tokens that come in a second.
        burst: Tokens that the bucket holds, at first as well.
        max_wait: Seconds that an ``acquire()`` may wait; ``None`` for ever.
    """

    def __init__(
        self, rate: float, burst: int = 1, *, max_wait: float | None = None
    ) -> None:
        if not (0 < rate < math.inf and burst >= 1):
            raise ValueError(
                f"rate is {rate!r}, burst is {burst!r}: give a finite rate above 0 and "
                "a burst of at least 1"
            )
        self._interval = 1 / rate
        # From the coming of a token into an empty bucket until the bucket is full.
        self._rest = (burst - 1) / rate
        self._max_wait = max_wait
        # The one number that changes: when the bucket is full again. Counting
        # tokens would add up differences, and drift.
        self._full_at = -math.inf
        # The head of the queue holds it and waits for a token, the others for it.
        self._head = anyio.Lock()

    async def acquire(self) -> None:
        """Wait for a token, first come, first served, and take it.

        Raises:
            DeadlineExceeded: After ``max_wait`` seconds; no token was taken.
        """
        async with within.timeout(self._max_wait, name="rate limit"), self._head:
            await anyio.sleep_until(self._full_at - self._rest)
            # No await from here on: who has taken a token has it for good, and who
            # was cancelled before has none to give back.
            now = within.current_time()
            self._full_at = max(self._full_at, now) + self._interval

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """A token is not given back: it was for the beginning of the work."""


async def main() -> None:
    bucket = TokenBucket(rate=1 / 3600, burst=2, max_wait=4.5 * 3600)

    async def request(number: int, patience: float | None = None) -> None:
        answer = "went away"
        with within.move_on_after(patience):
            try:
                async with bucket:
                    answer = "has its token"
            except within.DeadlineExceeded as error:
                answer = str(error)
        print(f"{within.current_time() / 3600:5.1f} h: request {number} {answer}")

    async with anyio.create_task_group() as requests:
        for number in range(1, 9):
            # Number 4 goes away when its token comes: number 5 gets that one.
            requests.start_soon(request, number, 7200 if number == 4 else None)
            await anyio.lowlevel.checkpoint()  # so that they queue up in this order
    await anyio.sleep(24 * 3600)
    for number in (9, 10, 11):  # a day fills the bucket, and not more than that
        await request(number)


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        within.testing.run(main, backend=backend, virtual_time=True)
