"""A loop for one task, which blocks the thread while the task waits.

The command has nothing else to do while it waits, and importing an event loop takes
longer than all the rest of its start. This module registers a backend like those in
``within._backends``, so the code that stops a child is the same here as on asyncio and
trio.
"""

from __future__ import annotations

import math
import os
import select
import signal as signals
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from .._backends import register
from .._processes._descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType

    from .._core import Block

assert sys.platform != "win32"

T = TypeVar("T")

# The longest time that poll(2) is given at once, in seconds. It counts milliseconds in
# an int, which is enough for 24 days.
_LONGEST = 1e6


class Cancelled(BaseException):
    """Raised at each wait in a block whose deadline has passed."""


class BlockingBackend:
    """One running task. Its blocks are a stack."""

    name = "none"
    cancelled: type[BaseException] = Cancelled

    def __init__(self, main: Coroutine[Any, Any, Any]) -> None:
        self.main = main
        self._within_backend = self  # it is a loop as well
        self._open: list[Block] = []  # outermost first
        self._wakeup = Descriptors()
        self._wakeup_fd = -1

    def is_running_here(self) -> bool:
        return _running.backend is self

    # -- the clock ---------------------------------------------------------

    def current_time(self) -> float:
        return time.monotonic()

    def has_virtual_time(self) -> bool:
        return False

    # -- blocks ------------------------------------------------------------

    def enter(self, block: Block) -> None:
        if block.delay is not None:
            block.when = self.current_time() + block.delay
        self._open.append(block)

    def exit(self, block: Block, exc: BaseException | None) -> BaseException | None:
        self.abandon(block)
        if not (block.has_expired and isinstance(exc, Cancelled)):
            return exc
        is_passed_on = not block.is_shield and self._has_expired()  # T7
        return exc if is_passed_on else None

    def abandon(self, block: Block) -> None:
        if block in self._open:
            self._open.remove(block)

    def reschedule(self, block: Block, deadline: float) -> bool:
        if not block.has_expired:
            block.when = deadline
        return not block.has_expired

    def cancel(self, block: Block) -> None:
        block.has_expired = True

    def effective_deadline(self) -> float:
        nearest = math.inf
        for block in self._in_force():
            nearest = min(nearest, -math.inf if block.has_expired else block.when)
        return nearest

    # -- descriptors -------------------------------------------------------

    async def wait_readable(self, fd: int) -> None:
        self._wait(fd, select.POLLIN)

    async def wait_writable(self, fd: int) -> None:
        self._wait(fd, select.POLLOUT)

    def notify_closing(self, fd: int) -> None:
        """There is no other task that could wait for it."""

    # -- signals -----------------------------------------------------------

    def wake_on_signals(self) -> None:
        """Let each signal end the wait, so that Python runs its handler.

        A signal that comes just before poll(2), or to another thread, does not
        interrupt it.
        """
        self._wakeup_fd, writing = self._wakeup.pipe()
        os.set_blocking(self._wakeup_fd, False)
        os.set_blocking(writing, False)
        signals.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def close(self) -> None:
        if self._wakeup_fd >= 0:
            signals.set_wakeup_fd(-1)
        self._wakeup.close_all()

    # -- behind the blocks -------------------------------------------------

    def _wait(self, fd: int, event: int) -> None:
        poll = select.poll()
        poll.register(fd, event)
        if self._wakeup_fd >= 0:
            poll.register(self._wakeup_fd, select.POLLIN)
        while True:
            if self._has_expired():
                raise Cancelled
            left = self.effective_deadline() - self.current_time()
            ready = dict(poll.poll(max(0.0, min(left, _LONGEST)) * 1000))
            if self._wakeup_fd in ready:
                os.read(self._wakeup_fd, 4096)  # the handlers have run
            if fd in ready:  # T4: before a deadline
                return

    def _in_force(self) -> list[Block]:
        """The open blocks, from the innermost one to the first shield (T14)."""
        found: list[Block] = []
        for block in reversed(self._open):
            found.append(block)
            if block.is_shield:
                break
        return found

    def _has_expired(self) -> bool:
        """Mark all blocks that are due; return whether to cancel the task."""
        now = self.current_time()
        in_force = self._in_force()
        for block in in_force:
            if block.when <= now:
                block.has_expired = True
        return any(block.has_expired for block in in_force)


class _Running(threading.local):
    backend: BlockingBackend | None = None


_running = _Running()


def running_loop() -> BlockingBackend | None:
    return _running.backend


def backend_of(loop: BlockingBackend) -> BlockingBackend:
    return loop


def running_frame() -> FrameType | None:
    backend = _running.backend
    return None if backend is None else getattr(backend.main, "cr_frame", None)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` to its end, and return its result."""
    backend = BlockingBackend(main)
    around, _running.backend = _running.backend, backend
    try:
        main.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        backend.close()
        _running.backend = around
    raise RuntimeError(f"{main!r} awaits something that is not of this loop")


register(__name__, __name__)
