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
from ._handles import Handles
from ._kernel import open_process
from ._waiting import Exit, Wakeable, waitables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable
    from typing import Self

    from .._pump import End, Source
    from ._waiting import Waitable

# How many bytes are moved before other tasks run.
_TURN = 1 << 20

# How many reads of a chunk empty any pipe.
_ROUNDS = 16


class Pump:
    """Moves the bytes of some pipes until it is told to stop.

    Attributes:
        is_closed: It was closed, and nothing can be waited for any more.
    """

    def __init__(self, turn: int = _TURN) -> None:
        self._turn = turn
        self._handlers: dict[int, tuple[Waitable, Callable[[int], int]]] = {}
        self._reading: set[int] = set()
        self._rings: list[Callable[[], object]] = []
        self._task = Wakeable()
        self._exit_fd = -1
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the wait that is going on, and forget everything."""
        if self.is_closed:
            return
        self.is_closed = True
        self._reading.clear()
        for fd in tuple(self._handlers):
            self._remove(fd)
        self._task.wake()

    # -- what is waited for ------------------------------------------------

    def move(self, source: Source) -> None:
        """Move the bytes of ``source`` as they come, until its end."""

        def handle(fd: int) -> int:
            moved = source.move()
            if source.at_end:
                self.forget(fd)
            return moved

        self._reading.add(source.fd)
        self._add(source.fd, handle)

    def fill(self, end: End) -> None:
        """Move bytes into ``end`` as fast as it takes them, until it is closed."""

        def handle(fd: int) -> int:
            return end.move()

        self._add(end.fd, handle)

    def wake_at(self, fd: int) -> None:
        """End a wait when ``fd`` is readable, and leave the reading to the waiter."""
        self._add(fd, _ignore)

    def watch(self, fd: int) -> None:
        """End a wait when the process of the handle ``fd`` has ended."""
        if self._exit_fd < 0 and fd in waitables:
            self._exit_fd = fd
            self.wake_at(fd)

    def unwatch(self) -> None:
        """The exit is known, and would end every wait from here on."""
        if self._exit_fd >= 0:
            self._remove(self._exit_fd)
            self._exit_fd = -1

    def forget(self, fd: int) -> None:
        """Leave ``fd`` alone from now on: it is about to be closed, or has been."""
        self._reading.discard(fd)
        self._remove(fd)

    @contextmanager
    def alarm(
        self, seconds: float, ring: Callable[[], object]
    ) -> Generator[None, None, None]:
        """Call ``ring()`` after real seconds, even while the loop's clock stands still."""
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

    def _add(self, fd: int, handle: Callable[[int], int]) -> None:
        waitable = waitables[fd]
        self._handlers[fd] = waitable, handle
        waitable.listeners.add(self._task.wake)

    def _remove(self, fd: int) -> None:
        waitable, _ = self._handlers.pop(fd, (None, None))
        if waitable is not None:
            waitable.listeners.discard(self._task.wake)

    # -- moving ------------------------------------------------------------

    def is_reading(self) -> bool:
        """Whether a source has not come to its end."""
        return bool(self._reading)

    def drain(self) -> bool:
        """Read what is there without waiting; true if every pipe is at its end."""
        for _ in range(_ROUNDS):
            ready = [
                (fd, handle) for fd, handle in self._ready() if fd in self._reading
            ]
            if not ready:
                break
            for fd, handle in ready:
                handle(fd)
        return not self._reading

    async def until(
        self,
        done: Callable[[], bool],
        between: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Keep the bytes moving until ``done()``, and await ``between()`` in between."""
        while not done():
            await self.once()
            if between is not None:
                await between()

    async def once(self) -> None:
        """Wait until something is ready, and move what there is."""
        await self._task.wait(current(), self._prepare)
        while self._rings:
            self._rings.pop()()
        moved = 0
        while moved < self._turn and not self.is_closed:
            before = moved
            for fd, handle in self._ready():
                moved += handle(fd)
            if moved == before:
                break

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
        """Keep the bytes moving until one of ``pids``, not children of ours, ends."""
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
                    self._add(handle, end)
                await self.until(lambda: ended)
            finally:
                for handle in processes:
                    self.forget(handle)
                    waitables.pop(handle, None)


def _ignore(fd: int) -> int:
    return 0
