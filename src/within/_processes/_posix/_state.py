"""How far the life of a child has come, and whether its pid is still its own (P5)."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """How far the life of a child has come."""

    MADE = "not started"
    RUNNING = "running"
    EXITED = "exited, not reaped"  # its pid is still its own (P5)
    LOST = "reaped by somebody else"  # its pid may be any process's
    REAPED = "reaped"
    LEFT = "left to itself"  # it could not be killed
    RELEASED = "released"  # nothing of it is ours any more
