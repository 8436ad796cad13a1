"""Waits for all pipes of a child at once, in one task (P8).

It has the names of the pump for POSIX, and the same rules: a handler is called while
its handle is ready.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..._backends import current
from .._pump import TURN, BasePump
from ._handles import Handles
from ._kernel import open_process
from ._waiting import Exit, Wakeable, waitables

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from ._waiting import Waitable


class Pump(BasePump):
    """A set of handles, and what to do when each of them is ready."""

    def __init__(self, turn: int = TURN) -> None:
        super().__init__(turn)
        self._handlers: dict[int, tuple[Waitable, Callable[[int], int]]] = {}
        self._rings: list[Callable[[], object]] = []
        self._task = Wakeable()
        self._exit_fd = -1

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the current wait, and forget everything."""
        if self.is_closed:
            return
        self.is_closed = True
        self._reading.clear()
        for fd in tuple(self._handlers):
            self._remove(fd)
        self._task.wake()

    # -- what is waited for ------------------------------------------------

    def watch(self, fd: int) -> None:
        """End a wait when the process of the handle ``fd`` has ended."""
        if self._exit_fd < 0 and fd in waitables:
            self._exit_fd = fd
            self.wake_at(fd)

    def unwatch(self) -> None:
        """Stop watching: a known exit would end every wait from here on."""
        if self._exit_fd >= 0:
            self._remove(self._exit_fd)
            self._exit_fd = -1

    @contextmanager
    def alarm(
        self, seconds: float, ring: Callable[[], object]
    ) -> Generator[None, None, None]:
        """Call ``ring()`` after ``seconds`` of real time, even in virtual time."""
        in_time = threading.Event()

        def wait() -> None:
            if not in_time.wait(min(seconds, threading.TIMEOUT_MAX)):
                self._rings.append(ring)
                self._task.wake()

        thread = threading.Thread(target=wait, name="within-alarm")
        thread.start()
        try:
            yield
        finally:
            in_time.set()
            thread.join()
            self._rings.clear()

    def _when_readable(self, fd: int, handle: Callable[[int], int]) -> None:
        waitable = waitables[fd]
        self._handlers[fd] = waitable, handle
        waitable.listeners.add(self._task.wake)

    def _when_writable(self, fd: int, handle: Callable[[int], int]) -> None:
        self._when_readable(fd, handle)  # a handle is ready for what it is used for

    def _remove(self, fd: int) -> None:
        waitable, _ = self._handlers.pop(fd, (None, None))
        if waitable is not None:
            waitable.listeners.discard(self._task.wake)

    # -- moving ------------------------------------------------------------

    async def _wait(self) -> None:
        await self._task.wait(current(), self._prepare)
        while self._rings:
            self._rings.pop()()

    def _prepare(self) -> bool:
        if self.is_closed or self._rings or self._ready():
            return True
        for waitable, _ in tuple(self._handlers.values()):
            waitable.arm()
        return False

    def _ready(self) -> list[tuple[int, Callable[[int], int]]]:
        return [
            (fd, handle)
            for fd, (waitable, handle) in tuple(self._handlers.items())
            if waitable.is_ready()
        ]

    async def until_one_ends(self, pids: Iterable[int]) -> None:
        """Keep the bytes moving until one of ``pids``, which are not our children, ends."""
        ended = False

        def end(fd: int) -> int:
            nonlocal ended
            ended = True
            return 0

        with Handles() as processes:
            try:
                for pid in pids:
                    try:
                        handle = processes.open(open_process, pid)
                    except OSError:  # it has ended
                        return
                    waitables[handle] = Exit(handle)
                    self._when_readable(handle, end)
                await self.until(lambda: ended)
            finally:
                for handle in processes:
                    self.forget(handle)
                    waitables.pop(handle, None)
