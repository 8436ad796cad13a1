"""What is raised, and nothing else: this module knows no loop."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._timeouts import Timeout


class DeadlineExceeded(TimeoutError):
    """A block did not end before its deadline.

    ``scope`` is the :class:`~within.Timeout` whose block ended, so that one
    timeout can be told from another, and from a socket's:

    >>> import asyncio, within
    >>> async def main():
    ...     with within.timeout(30, name="request") as request:
    ...         try:
    ...             with within.timeout(0, name="connect") as connect:
    ...                 await asyncio.sleep(1)
    ...         except TimeoutError as error:
    ...             print(error.scope is connect, error.scope is request)
    >>> asyncio.run(main())
    True False
    """

    scope: Timeout

    def __init__(self, message: str, scope: Timeout) -> None:
        super().__init__(message)
        self.scope = scope


class ProcessTimeout(DeadlineExceeded, subprocess.TimeoutExpired):
    """:func:`within.run` did not finish within its ``timeout``.

    Its child and the tree that it started have been stopped. Both a
    :class:`DeadlineExceeded` and a :class:`subprocess.TimeoutExpired`, so that
    either ``except`` clause takes it.

    ``cmd`` is the command, ``timeout`` the limit in seconds, ``stdout`` (also
    ``output``) and ``stderr`` are what had been captured by the time that the
    child was gone: ``bytes``, or ``str`` where ``text=True`` was asked for.
    """

    def __init__(
        self,
        message: str,
        scope: Timeout,
        *,
        cmd: Any,
        timeout: float,
        stdout: Any = None,
        stderr: Any = None,
    ) -> None:
        DeadlineExceeded.__init__(self, message, scope)
        self.cmd = cmd
        self.timeout = timeout
        self.output = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        # TimeoutExpired has a __str__ of its own, which knows neither the name
        # nor the lateness that T10 asks for.
        return str(self.args[0])


class OutputLimitExceeded(subprocess.CalledProcessError):
    """A child wrote more than ``max_output`` bytes, and was stopped for it.

    ``stdout`` and ``stderr`` hold what had been kept: together, ``max_output``
    bytes.
    """

    def __init__(
        self, limit: int, returncode: int, cmd: Any, stdout: Any, stderr: Any
    ) -> None:
        super().__init__(returncode, cmd, stdout, stderr)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"Command {self.cmd!r} wrote more than max_output={self.limit} bytes and "
            "was stopped; raise the limit, or stream its output with within.process()"
        )


def explain(
    error: BaseException,
    reason: Callable[[], DeadlineExceeded],
    cancelled: type[BaseException],
    *,
    certain: bool = False,
) -> bool:
    """Put a ``reason()`` into the context chain of ``error`` (T9).

    It goes just above the cancellation that it stands for, so that a traceback
    reads: cancelled here, because of this deadline, and then this went wrong. In
    a group it goes to each member with a cancellation behind it, and to the
    group. Where there is none nothing changes, unless it is ``certain`` to be
    behind it; the answer is whether there was.
    """
    if isinstance(error, BaseExceptionGroup):
        members: tuple[BaseException, ...] = error.exceptions
        for member in members:
            certain = explain(member, reason, cancelled) or certain
    seen = {id(error)}
    last = error
    context = last.__context__
    while context is not None and not isinstance(context, cancelled):
        if id(context) in seen:
            return certain  # a cycle that somebody has made: not ours to mend
        seen.add(id(context))
        last, context = context, context.__context__
    if context is None and not certain:
        return False
    inserted = reason()
    inserted.__cause__ = inserted.__context__ = context
    last.__context__ = inserted
    return True
