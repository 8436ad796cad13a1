"""The clock that deadlines are read on, and what counts as a number of seconds."""

from __future__ import annotations

import math
from datetime import timedelta

from ._backends import current

Seconds = float | timedelta


def current_time() -> float:
    """The clock that deadlines are read on: the running loop's own, in seconds.

    Raises:
        RuntimeError: Where no loop is running.
    """
    return current().current_time()


def current_effective_deadline() -> float:
    """The nearest deadline in force for the running task.

    Infinity for none, minus infinity once one is cancelled. A shield cuts off
    what is outside of it; a task inherits what it was started in, for as long as
    that block is open.

    Raises:
        RuntimeError: Where no loop is running.

    >>> import asyncio, within
    >>> async def main():
    ...     with within.timeout(60), within.timeout(5):
    ...         left = within.current_effective_deadline() - within.current_time()
    ...     print(round(left))
    >>> asyncio.run(main())
    5
    """
    return current().effective_deadline()


def as_seconds(value: object, what: str) -> float:
    """T5: seconds as a float, or an error that names ``what``."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(
            f"{what} is {value!r}: give seconds as an int or a float, a "
            "datetime.timedelta, or None for no limit"
        )
    try:
        seconds = float(value)
    except OverflowError:  # an int beyond every float
        seconds = math.inf if value > 0 else -math.inf
    if math.isnan(seconds):
        raise ValueError(f"{what} is NaN: give a number of seconds, or None")
    return seconds
