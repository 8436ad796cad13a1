"""The states of a child, and whether its pid is still its own in each (P5)."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """The states in the life of a child, in this order."""

    MADE = "not started"
    RUNNING = "running"
    EXITED = "exited, not reaped"  # its pid is still its own (P5)
    LOST = "reaped by other code"  # its pid may have been reused
    REAPED = "reaped"
    LEFT = "left to itself"  # it could not be killed
    RELEASED = "released"  # we hold nothing of it any more
