"""A retry with exponential backoff and full jitter, under two kinds of limit.

    python examples/retry.py

Each attempt has a limit of its own, and another limit covers all attempts together,
including the pauses. ``error.scope.name`` tells which limit was exceeded. The retry
works the same on every loop. The demonstration runs in virtual time, so its minutes
take no time.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, TypeVar

import anyio

import within
import within.testing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How often to try, for how long, and after which exceptions.

    ``attempt_limit``, ``overall_limit``, ``base`` (the longest first pause) and ``cap``
    (the longest pause) are in seconds.
    """

    attempts: int = 5
    attempt_limit: float | None = 10
    overall_limit: float | None = 60
    base: float = 0.5
    cap: float = 30
    # TimeoutError is an OSError, so an attempt that exceeds its limit is retried.
    retry_on: tuple[type[Exception], ...] = (OSError,)

    def ceiling(self, failed: int) -> float:
        """The longest pause after this many failed attempts."""
        return min(self.cap, self.base * 2.0 ** min(failed - 1, 64))  # no overflow


async def retry(
    operation: Callable[[], Awaitable[T]], policy: Policy, random: Random
) -> T:
    """Await ``operation()`` until it succeeds.

    Raises:
        DeadlineExceeded: ``scope.name`` is ``"overall"`` if the overall limit was
            exceeded, with a note about the last failure, or for example
            ``"attempt 5"`` if the last attempt exceeded its limit.
        Exception: The error of the last attempt, or of an earlier attempt if it is
            not one of ``policy.retry_on``.
    """
    failure = "no attempt had failed"
    # level=True: an operation may turn its cancellation into an OSError, which would
    # be retried. The pause after that is then cancelled again, which ends the block.
    overall = within.timeout(policy.overall_limit, name="overall", level=True)
    try:
        async with overall:
            for number in itertools.count(1):
                try:
                    name = f"attempt {number}"
                    async with within.timeout(policy.attempt_limit, name=name):
                        return await operation()
                except policy.retry_on as error:
                    if number >= policy.attempts:
                        raise
                    failure = f"{name} had failed: {error!r}"
                pause = random.uniform(0, policy.ceiling(number))
                if pause >= overall.remaining():
                    overall.cancel()  # there is no time for another attempt
                await anyio.sleep(pause)
    except within.DeadlineExceeded as error:
        if error.scope is overall:
            error.add_note(failure)
        raise
    raise AssertionError("itertools.count() does not end")


async def main() -> None:
    async def call() -> str:
        print(f"{within.current_time():7.3f} s: an attempt")
        answer = next(script)
        if isinstance(answer, Exception):
            raise answer
        await anyio.sleep(answer)
        return f"an answer after {answer} s"

    refused = ConnectionRefusedError("nothing listens here")
    programs: list[tuple[list[Exception | float], float | None]] = [
        ([refused, 99, 3], 45),
        ([99, 99, 99, 99, 99], 45),
        ([99, 99, 99, 99, 99], None),
    ]
    for answers, overall_limit in programs:
        script = iter(answers)
        policy = Policy(overall_limit=overall_limit)
        try:
            print(await retry(call, policy, Random(4)))
        except within.DeadlineExceeded as error:
            print(f"gave up: {error}")


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        within.testing.run(main, backend=backend, virtual_time=True)
