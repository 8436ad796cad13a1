"""Waits for all descriptors of a child at once, in one task (P8).

A selector of the kernel (epoll, kqueue) is itself a descriptor, which is readable
when one of those in it is ready. So a loop that can wait for one descriptor can wait
for all pipes and the exit of a child, with a single registration.
"""

from __future__ import annotations

import os
import selectors
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..._backends import current
from ..._timeouts import move_on_after
from .._descriptors import Descriptors
from .._pump import TURN, BasePump

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from ..._backends._protocol import Backend

# The time between two looks at processes whose end the kernel cannot report, in seconds.
# Not used on Linux 5.3 and newer.
_POLL = 0.005


class Pump(BasePump):
    """A set of descriptors, and what to do when each of them is ready."""

    def __init__(self, turn: int = TURN) -> None:
        super().__init__(turn)
        # PollSelector and the like have no descriptor to wait for; every system
        # whose processes we can manage has epoll or kqueue.
        self._selector = selectors.DefaultSelector()
        self._held = Descriptors()
        self._exit_fd = -1
        self._backend: Backend | None = None  # on which a task has waited

    def close(self) -> None:
        """Move nothing more, give all descriptors back, and end every wait."""
        self._reading.clear()
        if self._backend is not None and not self.is_closed:
            with suppress(RuntimeError):  # its loop is gone, so no task waits
                self._backend.notify_closing(self._selector.fileno())
        self.is_closed = True
        self._selector.close()  # this unregisters all descriptors at once
        self._held.close_all()
        self._exit_fd = -1

    # -- what is waited for ------------------------------------------------

    def listen(self, fd: int, act: Callable[[], object]) -> None:
        """End a wait when ``fd`` is readable, and call ``act()``, which reads it."""

        def handle(fd: int) -> int:
            act()
            return 0

        self._when_readable(fd, handle)

    def watch(self, fd: int) -> None:
        """End a wait when ``fd``, which reports an exit, is readable.

        We watch a copy: the child may be reaped and ``fd`` closed by another task,
        and no wait would end then.
        """
        if self._exit_fd < 0:
            self._exit_fd = self._held.open(os.dup, fd)
            self.wake_at(self._exit_fd)

    def unwatch(self) -> None:
        """Stop watching: a known exit would end every wait from here on."""
        if self._exit_fd >= 0:
            self.forget(self._exit_fd)
            self._held.close(self._exit_fd)
            self._exit_fd = -1

    @contextmanager
    def alarm(
        self, seconds: float, ring: Callable[[], object]
    ) -> Generator[None, None, None]:
        """Call ``ring()`` after ``seconds`` of real time, even in virtual time."""
        with Descriptors() as held:
            readable, writable = held.pipe()
            in_time = threading.Event()

            def wait() -> None:
                if not in_time.wait(min(seconds, threading.TIMEOUT_MAX)):
                    os.write(writable, b"!")

            def handle(fd: int) -> int:
                self.forget(fd)
                ring()
                return 0

            self._when_readable(readable, handle)
            thread = threading.Thread(target=wait, name="within-alarm")
            thread.start()
            try:
                yield
            finally:
                self.forget(readable)
                in_time.set()
                thread.join()

    # -- moving ------------------------------------------------------------

    async def _wait(self) -> None:
        self._backend = current()
        await self._backend.wait_readable(self._selector.fileno())

    def _ready(self) -> list[tuple[int, Callable[[int], int]]]:
        return [(key.fd, key.data) for key, _ in self._selector.select(0)]

    def _when_readable(self, fd: int, handle: Callable[[int], int]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, handle)

    def _when_writable(self, fd: int, handle: Callable[[int], int]) -> None:
        self._selector.register(fd, selectors.EVENT_WRITE, handle)

    def _remove(self, fd: int) -> None:
        if not self.is_closed and fd in self._selector.get_map():
            self._selector.unregister(fd)

    async def until_one_ends(self, pids: Iterable[int]) -> None:
        """Keep the bytes moving until one of ``pids``, which are not our children, ends.

        Where the kernel cannot report that, this returns after a moment.
        """
        ended = False

        def end(fd: int) -> int:
            nonlocal ended
            ended = True
            return 0

        with Descriptors() as pidfds:
            try:
                for pid in pids:
                    try:
                        fd = pidfds.open(os.pidfd_open, pid)
                    except ProcessLookupError:
                        return
                    except (OSError, AttributeError):
                        continue  # a thread's number, or a kernel without pidfd
                    self._when_readable(fd, end)
                if list(pidfds):
                    await self.until(lambda: ended)
                else:
                    with move_on_after(_POLL):
                        await self.until(lambda: False)
            finally:
                for fd in pidfds:
                    self.forget(fd)
