"""Moves bytes between a child's pipes and memory: one task, one wait (P8).

A selector of the kernel (epoll, kqueue) is a descriptor itself, readable when
one of those in it is ready. So a loop that can wait for one descriptor can wait
for all pipes and the exit of a child at once, with one registration.
"""

from __future__ import annotations

import os
import selectors
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .._backends import current
from .._timeouts import move_on_after

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Self

    Handler = Callable[[int], None]

# What a pipe holds on Linux, unless told otherwise. In bytes.
_CHUNK = 65536

# Reads of a chunk that empty any pipe: the largest that a user may ask for is
# 1 MiB by default (/proc/sys/fs/pipe-max-size).
_ROUNDS = 16

# Between two looks at processes whose end the kernel cannot tell us of. In
# seconds; nothing on Linux 5.3 and newer.
_POLL = 0.005


class Pump:
    """A set of descriptors, and what to do when each is ready."""

    def __init__(self) -> None:
        # PollSelector and its like have no descriptor to wait for; every system
        # with processes that we run on has epoll or kqueue.
        self._selector = selectors.DefaultSelector()
        self._reading: set[int] = set()
        self._exit_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.unwatch()
        self._selector.close()

    def read(self, fd: int, sink: Callable[[bytes], object]) -> None:
        """Pass on to ``sink`` what ``fd`` brings, until its end."""

        def handle(fd: int) -> None:
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:
                return
            if data:
                sink(data)
            else:
                self._forget(fd)

        self._reading.add(fd)
        self._selector.register(fd, selectors.EVENT_READ, handle)

    def write(self, fd: int, data: bytes, finished: Callable[[], object]) -> None:
        """Write ``data`` as fast as ``fd`` takes it; then call ``finished``."""
        rest = memoryview(data)

        def handle(fd: int) -> None:
            nonlocal rest
            try:
                rest = rest[os.write(fd, rest[:_CHUNK]) :]
            except BlockingIOError:
                return
            except BrokenPipeError:  # it wants no more: its business
                rest = rest[:0]
            if not rest:
                self._forget(fd)
                finished()

        self._selector.register(fd, selectors.EVENT_WRITE, handle)

    def watch(self, fd: int) -> None:
        """Let a wait end when ``fd``, which tells of an exit, is readable.

        A duplicate of it: whoever closes ``fd`` meanwhile must not leave us
        waiting for nothing.
        """
        self.unwatch()
        self._exit_fd = os.dup(fd)
        self._selector.register(self._exit_fd, selectors.EVENT_READ, _ignore)

    def unwatch(self) -> None:
        """The exit is known: it would end every wait from here on."""
        if self._exit_fd >= 0:
            self._forget(self._exit_fd)
            os.close(self._exit_fd)
            self._exit_fd = -1

    @contextmanager
    def alarm(
        self, seconds: float, ring: Callable[[], object]
    ) -> Generator[None, None, None]:
        """Call ``ring()`` after real seconds, though the loop's clock stands."""
        readable, writable = os.pipe()
        in_time = threading.Event()

        def wait() -> None:
            in_time.wait(seconds)
            os.close(writable)

        def handle(fd: int) -> None:
            self._forget(fd)
            ring()

        self._selector.register(readable, selectors.EVENT_READ, handle)
        thread = threading.Thread(target=wait, name="within-alarm")
        thread.start()
        try:
            yield
        finally:
            self.forget(readable)
            in_time.set()
            thread.join()
            os.close(readable)

    def drain(self) -> bool:
        """Read what is there without waiting; true if every pipe is at its end."""
        # A few rounds empty any pipe; one that somebody fills as fast as we
        # empty it must not hold us.
        for _ in range(_ROUNDS):
            ready = [
                key for key, _ in self._selector.select(0) if key.fd in self._reading
            ]
            if not ready:
                break
            for key in ready:
                key.data(key.fd)
        return not self._reading

    async def until(self, done: Callable[[], bool]) -> None:
        """Keep the bytes moving until ``done()``."""
        wait = current().wait_readable
        while not done():
            await wait(self._selector.fileno())
            for key, _ in self._selector.select(0):
                key.data(key.fd)

    async def until_one_ends(self, pids: Iterable[int]) -> None:
        """Keep the bytes moving until one of ``pids``, no children of ours, ends."""
        ended = False

        def end(fd: int) -> None:
            nonlocal ended
            ended = True

        pidfds: list[int] = []
        try:
            for pid in pids:
                try:
                    pidfds.append(os.pidfd_open(pid))
                except ProcessLookupError:
                    return
                except (OSError, AttributeError):
                    continue  # a thread's number, or a kernel without pidfd
                self._selector.register(pidfds[-1], selectors.EVENT_READ, end)
            if pidfds:
                await self.until(lambda: ended)
            else:
                with move_on_after(_POLL):
                    await self.until(lambda: False)
        finally:
            for fd in pidfds:
                self.forget(fd)
                os.close(fd)

    def forget(self, fd: int) -> None:
        """Leave ``fd`` alone from now on: it is about to be closed, or has been."""
        if fd >= 0 and fd in self._selector.get_map():
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        self._reading.discard(fd)
        self._selector.unregister(fd)


def _ignore(fd: int) -> None:
    pass
