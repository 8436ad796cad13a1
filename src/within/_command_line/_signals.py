"""Turns the signals that we receive into something that can be waited for."""

from __future__ import annotations

import os
import signal as signals
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._processes._descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

assert sys.platform != "win32"


class Signals:
    """Turns signals into bytes in a pipe, for the length of a block.

    A handler does nothing else. It works the same on every loop, and the one wait of
    the supervision ends when the pipe is readable. Each loop has a way of its own to
    notice a signal, but some of them let other code listen to a few signals only.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = numbers
        self._held = Descriptors()
        self._handlers: dict[int, Any] = {}
        self.fd, self._writing = self._held.pipe()

    def __enter__(self) -> Self:
        os.set_blocking(self.fd, False)
        os.set_blocking(self._writing, False)
        for number in self._numbers:
            self._handlers[number] = signals.signal(number, self._on_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._handlers.items():
            # None stands for a handler that was not installed from Python.
            signals.signal(number, signals.SIG_DFL if handler is None else handler)
        self._held.close_all()

    def take(self) -> bytes:
        """The numbers of the signals that came since the last call."""
        with suppress(BlockingIOError):
            return os.read(self.fd, 4096)
        return b""

    def _on_signal(self, number: int, frame: object) -> None:
        with suppress(BlockingIOError):  # full: there is no need to count so many
            os.write(self._writing, bytes([number]))
