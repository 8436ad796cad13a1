"""``Timeout``, its error, and the five functions that create one."""

from ._timeout import DeadlineExceeded, Timeout
from ._ways import move_on_after, move_on_at, shield, timeout, timeout_at

__all__ = [
    "DeadlineExceeded",
    "Timeout",
    "move_on_after",
    "move_on_at",
    "shield",
    "timeout",
    "timeout_at",
]
