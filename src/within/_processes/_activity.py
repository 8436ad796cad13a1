"""What the processes that a child has left behind are doing (P6)."""

# No `from __future__ import annotations`: NamedTuple would compile each annotation.

from typing import NamedTuple


class Activity(NamedTuple):
    """What a process is doing at one moment.

    Attributes:
        state: The one-letter state; see proc(5).
        used: CPU time of the process and of the children it has reaped, in seconds.
    """

    state: bytes
    used: float
