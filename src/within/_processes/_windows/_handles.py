"""Keeping handles so that no signal handler can lose them (P14).

The counterpart of ``_descriptors``, which says why a handle is stored in the same step
that opens it.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

from typing import TYPE_CHECKING, Any

from .._descriptors import keep
from ._kernel import close_handle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self


class Handles:
    """Handles that are ours to close, each exactly once."""

    __slots__ = ("_closers", "_open")

    def __init__(self) -> None:
        self._open: list[int] = []
        self._closers: dict[int, Callable[[int], object]] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._open))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close_all()

    def __del__(self) -> None:
        self.close_all()  # __exit__() may have been interrupted too

    def open(self, opener: Callable[..., int], *args: Any) -> int:
        """Keep the handle that ``opener(*args)`` returns."""
        return keep(self._open, opener, *args)

    def close_with(self, handle: int, closer: Callable[[int], object]) -> None:
        """Close ``handle`` by ``closer(handle)``, because more belongs to it."""
        self._closers[handle] = closer

    def close(self, handle: int) -> None:
        """Close one of them. Does nothing if it is closed already."""
        if handle in self._open:
            closer = self._closers.pop(handle, close_handle)
            # Taken off the list and closed in one step: a number that is closed but
            # still on the list could be closed again after it has been reused.
            any(map(closer, map(self._open.pop, [self._open.index(handle)])))

    def close_all(self) -> None:
        """Close those that are still open."""
        for handle in self:
            self.close(handle)
