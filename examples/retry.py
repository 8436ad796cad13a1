"""A retry with exponential back-off and full jitter, under two kinds of limit.

    python examples/retry.py

Each attempt has a limit of its own, and all of them together, pauses included,
have another. The error says which one it was: ``error.scope.name``. The same on
each loop; the demonstration runs in virtual time, in which its minutes take none.
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
    """How often, how long (all in seconds), and after what to try again."""

    attempts: int = 5
    attempt_limit: float | None = 10
    overall_limit: float | None = 60
    base: float = 0.5
    cap: float = 30
    # A TimeoutError is an OSError too, so what exceeds its own limit is retried.
    retry_on: tuple[type[Exception], ...] = (OSError,)

    def ceiling(self, failed: int) -> float:
        """The longest pause after so many failed attempts."""
        return min(self.cap, self.base * 2.0 ** min(failed - 1, 64))  # no overflow


async def retry(
    operation: Callable[[], Awaitable[T]], policy: Policy, random: Random
) -> T:
    """Await ``operation()`` until it succeeds.

    Raises:
        DeadlineExceeded: ``scope.name`` is ``"overall"``, with a note of the last
            failure; or ``"attempt 5"`` where the last attempt exceeded its limit.
        Exception: Whatever else the last attempt failed with, or any attempt that
            failed with something other than ``policy.retry_on``.
    """
    failure = "no attempt had failed"
    # level: an operation that answers its cancellation with an OSError has failed,
    # and would be retried; the pause after it is where the cancellation comes back.
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
                    overall.cancel()  # no attempt could follow: do not wait for that
                await anyio.sleep(pause)
    except within.DeadlineExceeded as error:
        if error.scope is overall:
            error.add_note(failure)
        raise
    raise AssertionError("counting has no end")


async def main() -> None:
    async def call() -> str:
        print(f"{within.current_time():7.3f} s: an attempt")
        answer = next(script)
        if isinstance(answer, Exception):
            raise answer
        await anyio.sleep(answer)
        return f"an answer after {answer} s"

    refused = ConnectionRefusedError("nobody there")
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
            print(f"it was the limit of {error.scope.name}: {error}")


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        within.testing.run(main, backend=backend, virtual_time=True)
