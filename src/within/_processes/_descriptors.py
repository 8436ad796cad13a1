"""Keeping descriptors and pids so that no signal handler can lose them (P14).

CPython runs signal handlers between bytecodes, and a handler may raise. After
``fd = os.open(...)`` the exception can come before the assignment, and then the
descriptor is lost. But no handler runs while C code calls C code: the list method
in ``kept.extend(starmap(os.open, [...]))`` stores the result before any handler can.
"""

from __future__ import annotations

import os
import signal as signals
import sys
from itertools import chain, starmap
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

T = TypeVar("T")

# Faults in our own code. If blocked, they would end the program without a traceback.
_FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP")


def keep(kept: list[T], make: Callable[..., T], *args: Any) -> T:
    """Append ``make(*args)`` to ``kept`` in one step, and return it."""
    kept.extend(starmap(make, [args]))
    return kept[-1]


def undisturbed(act: Callable[[], object]) -> None:
    """Call ``act`` with signals blocked in this thread.

    In a program with one thread no handler can interrupt it. With more threads the
    kernel may give a signal to another one, and the handler still runs in the main
    thread; so ``act`` must tolerate being interrupted and called again.
    """
    if sys.platform == "win32":
        act()
        return
    faults = {getattr(signals, name, None) for name in _FAULTS}
    # Read first: if a handler raised before the old mask was stored, signals would
    # stay blocked for good.
    before = signals.pthread_sigmask(signals.SIG_BLOCK, ())
    try:
        signals.pthread_sigmask(signals.SIG_BLOCK, signals.valid_signals() - faults)
        act()
    finally:
        signals.pthread_sigmask(signals.SIG_SETMASK, before)


class Descriptors:
    """Descriptors that are ours to close, each exactly once."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: list[int] = []

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._open))

    def __contains__(self, fd: int) -> bool:
        return fd in self._open

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close_all()

    def __del__(self) -> None:
        self.close_all()  # __exit__() may have been interrupted too

    def open(self, opener: Callable[..., int], *args: Any) -> int:
        """Keep the descriptor that ``opener(*args)`` returns."""
        return keep(self._open, opener, *args)

    def pipe(
        self, make: Callable[[], tuple[int, int]] | None = None
    ) -> tuple[int, int]:
        """Keep both ends of a new pipe: (the reading one, the writing one)."""
        self._open.extend(chain.from_iterable(starmap(make or os.pipe, [()])))
        return self._open[-2], self._open[-1]

    def close(self, fd: int) -> None:
        """Close one of them. Does nothing if it is closed already."""
        if fd in self._open:
            # Taken off the list and closed in one step: a number that is closed but
            # still on the list could be closed again after it has been reused.
            any(map(os.close, map(self._open.pop, [self._open.index(fd)])))

    def close_except(self, fd: int) -> None:
        """Close all but one."""
        for other in self:
            if other != fd:
                self.close(other)

    def close_all(self) -> None:
        """Close those that are still open."""
        while self._open:
            any(map(os.close, map(self._open.pop, [-1])))
