"""The result of a finished command: its output, its status, and what it used."""

# No `from __future__ import annotations`: NamedTuple would compile each annotation.

import math
import subprocess
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Usage(NamedTuple):
    """The time and memory of a child, as the kernel reports them when it is reaped.

    ``wall``, ``user`` and ``system`` are seconds, and ``max_rss`` is the peak resident
    memory in bytes. The CPU times and the memory include the descendants that the child
    itself has waited for. (On Linux, ``max_rss`` is never less than the resident memory
    of the process that started the child, because exec does not reset it: see
    getrusage(2).)

    If other code has reaped the child, or ``SIGCHLD`` is ignored, the kernel does not
    report this. The seconds of a :class:`Completed` are then NaN, and ``max_rss`` is 0.
    """

    wall: float
    user: float
    system: float
    max_rss: int


UNKNOWN_USAGE = Usage(math.nan, math.nan, math.nan, 0)


class Completed(subprocess.CompletedProcess[T]):
    """The result of :func:`run`: a :class:`subprocess.CompletedProcess` with usage.

    ``usage`` has the wall and CPU time in seconds and the peak memory in bytes.
    ``dropped`` is the number of bytes of the output that were read but not kept, because
    of ``max_output``; it is 0 if the output is complete. The ``repr`` shows neither of
    them. To a type checker, the result is a ``Completed[bytes]``, or a
    ``Completed[str]`` with ``text=True``.
    """

    usage: Usage
    dropped: int

    def __init__(
        self,
        args: Any,
        returncode: int,
        stdout: Any,
        stderr: Any,
        usage: Usage,
        dropped: int = 0,
    ) -> None:
        super().__init__(args, returncode, stdout, stderr)
        self.usage = usage
        self.dropped = dropped
