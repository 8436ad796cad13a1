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

    Handler = Callable[[int], int]  # given the descriptor, how many bytes it moved

# What a pipe holds on Linux, unless told otherwise. In bytes.
_CHUNK = 65536

# What one is made to hold once that much has gone through it at once. In bytes;
# no more, because all pipes of a user may hold 64 MiB together
# (/proc/sys/fs/pipe-user-pages-soft), and new ones are tiny after that.
_LARGE = 262144

# How many bytes are moved before others get to run: to go by way of the loop for
# each chunk costs more than to move it.
_TURN = 1 << 20

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
        self.close()

    def close(self) -> None:
        """Move nothing any more, and take no descriptor any more."""
        self._reading.clear()
        self._selector.close()  # and forgets the descriptors in it, all at once
        if self._exit_fd >= 0:
            os.close(self._exit_fd)
            self._exit_fd = -1

    def read(self, fd: int, sink: Callable[[bytes], object]) -> None:
        """Pass on to ``sink`` what ``fd`` brings, until its end."""

        chunk = _CHUNK

        def handle(fd: int) -> int:
            nonlocal chunk
            try:
                data = os.read(fd, chunk)
            except BlockingIOError:
                return 0
            if data:
                sink(data)
            else:
                self._forget(fd)
            if len(data) == _CHUNK == chunk:
                chunk = _enlarge(fd)
            return len(data)

        self._reading.add(fd)
        self._selector.register(fd, selectors.EVENT_READ, handle)

    def write(self, fd: int, data: bytes, finished: Callable[[], object]) -> None:
        """Write ``data`` as fast as ``fd`` takes it; then call ``finished``."""
        rest = memoryview(data)
        chunk = _CHUNK

        def handle(fd: int) -> int:
            nonlocal rest, chunk
            written = 0
            try:
                written = os.write(fd, rest[:chunk])
                rest = rest[written:]
            except BlockingIOError:
                return 0
            except BrokenPipeError:  # it wants no more: its business
                rest = rest[:0]
            if not rest:
                self._forget(fd)
                finished()
            elif written == _CHUNK == chunk:
                chunk = _enlarge(fd)
            return written

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
            in_time.wait(min(seconds, threading.TIMEOUT_MAX))
            os.close(writable)

        def handle(fd: int) -> int:
            self._forget(fd)
            ring()
            return 0

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
            if not self._reading:
                return True
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
            self._move()

    def _move(self) -> None:
        moved = 0
        while moved < _TURN:
            before = moved
            for key, _ in self._selector.select(0):
                moved += key.data(key.fd)
            if moved == before:
                break

    async def until_one_ends(self, pids: Iterable[int]) -> None:
        """Keep the bytes moving until one of ``pids``, no children of ours, ends."""
        ended = False

        def end(fd: int) -> int:
            nonlocal ended
            ended = True
            return 0

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
        if fd >= 0 and fd in (self._selector.get_map() or ()):
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        self._reading.discard(fd)
        self._selector.unregister(fd)


def _ignore(fd: int) -> int:
    return 0


def _enlarge(fd: int) -> int:
    """Let a busy pipe hold more, if we may; return what to move at once from now.

    One that is not as the system makes it was asked for, and stays.
    """
    import fcntl  # not on Windows, which check_command() refuses

    get_size = getattr(fcntl, "F_GETPIPE_SZ", None)  # Linux
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    try:
        if get_size and set_size and fcntl.fcntl(fd, get_size) == _CHUNK:
            fcntl.fcntl(fd, set_size, _LARGE)
    except OSError:  # the user's pipes hold much already, or it is no pipe
        pass
    return _LARGE
