"""What the processes that a child has left behind are doing (P6)."""

# No `from __future__ import annotations`: NamedTuple would compile each annotation.

from typing import NamedTuple


class Activity(NamedTuple):
    """What a process is doing at one moment.

    Attributes:
        state: A letter; see proc(5).
        used: Processor time of it and of its reaped children, in seconds.
    """

    state: bytes
    used: float
