"""A token bucket: it limits the burst and the rate, and keeps the order of the queue.

    python examples/rate_limiter.py

A waiter may have a time limit, or be cancelled, even at the very instant when its
token arrives. The token is not lost: the next waiter gets it at that instant. The
bucket works the same on every loop. The demonstration runs in virtual time, so its
hours take no time.
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
        rate: Tokens per second that flow into the bucket.
        burst: Tokens that the bucket can hold. It is full at first.
        max_wait: Seconds that an ``acquire()`` may wait, or ``None`` for no limit.
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
        # Seconds from the first token in an empty bucket until the bucket is full.
        self._rest = (burst - 1) / rate
        self._max_wait = max_wait
        # The only state: the time at which the bucket is full again. A count of
        # tokens would accumulate rounding errors and drift.
        self._full_at = -math.inf
        # The head of the queue holds this lock and waits for a token. All others
        # wait for the lock.
        self._head = anyio.Lock()

    async def acquire(self) -> None:
        """Wait for a token and take it, in first-come, first-served order.

        Raises:
            DeadlineExceeded: If ``max_wait`` seconds pass; no token is taken then.
        """
        async with within.timeout(self._max_wait, name="rate limit"), self._head:
            await anyio.sleep_until(self._full_at - self._rest)
            # There is no await from here on, so a task cannot be cancelled after it
            # has taken a token, and a task cancelled earlier has none to give back.
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
        """Do nothing: a token pays for the start of the work and is not returned."""


async def main() -> None:
    bucket = TokenBucket(rate=1 / 3600, burst=2, max_wait=4.5 * 3600)

    async def request(number: int, patience: float | None = None) -> None:
        answer = "gives up"
        with within.move_on_after(patience):
            try:
                async with bucket:
                    answer = "gets its token"
            except within.DeadlineExceeded as error:
                answer = str(error)
        print(f"{within.current_time() / 3600:5.1f} h: request {number} {answer}")

    async with anyio.create_task_group() as requests:
        for number in range(1, 9):
            # Number 4 gives up just as its token arrives, so number 5 gets the token.
            requests.start_soon(request, number, 7200 if number == 4 else None)
            await anyio.lowlevel.checkpoint()  # makes them queue up in this order
    await anyio.sleep(24 * 3600)
    for number in (9, 10, 11):  # a day fills the bucket, but only to its size
        await request(number)


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        within.testing.run(main, backend=backend, virtual_time=True)
