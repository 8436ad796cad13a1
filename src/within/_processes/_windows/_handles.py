"""Keeping handles so that no signal handler can lose them (P14).

The counterpart of ``_descriptors``, which says why a handle is stored in the same step
that opens it.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

from typing import TYPE_CHECKING

from .._descriptors import Descriptors
from ._kernel import close_handle

if TYPE_CHECKING:
    from collections.abc import Callable


class Handles(Descriptors):
    """Handles that are ours to close, each exactly once."""

    __slots__ = ("_closers",)

    def __init__(self) -> None:
        super().__init__()
        self._closers: dict[int, Callable[[int], object]] = {}

    def close_with(self, handle: int, closer: Callable[[int], object]) -> None:
        """Close ``handle`` by ``closer(handle)``, because more belongs to it."""
        self._closers[handle] = closer

    def close(self, fd: int) -> None:
        """Close one of them. Does nothing if it is closed already."""
        if fd in self._open:
            closer = self._closers.pop(fd, close_handle)
            # In one step, as in Descriptors.
            any(map(closer, map(self._open.pop, [self._open.index(fd)])))

    def close_all(self) -> None:
        """Close those that are still open."""
        for handle in self:
            self.close(handle)
