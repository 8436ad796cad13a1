"""The clock that deadlines refer to."""

from __future__ import annotations

from ._backends import current


def current_time() -> float:
    """Return the time on the running loop's own clock, in seconds.

    A deadline is a time on this clock. Where the clock starts depends on the loop, so only
    differences between its times are meaningful.

    Raises:
        RuntimeError: If no event loop is running.
    """
    return current().current_time()


def current_effective_deadline() -> float:
    """Return the earliest deadline that applies to the running task.

    This is infinity if there is no deadline, and minus infinity once an enclosing block
    has been cancelled. A shield hides the deadlines outside it. A task inherits the
    deadline of the block in which it was started, for as long as that block is open.

    Raises:
        RuntimeError: If no event loop is running.

    >>> import asyncio, within
    >>> async def main():
    ...     with within.timeout(60), within.timeout(5):
    ...         left = within.current_effective_deadline() - within.current_time()
    ...     print(round(left))
    >>> asyncio.run(main())
    5
    """
    return current().effective_deadline()
