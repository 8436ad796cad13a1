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
from typing import TYPE_CHECKING, Protocol

from .._backends import current
from .._timeouts import move_on_after
from ._descriptors import Descriptors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable
    from contextlib import AbstractContextManager
    from typing import Self

    from .._backends._protocol import Backend

# How many bytes are moved before other tasks run: going through the loop for each
# chunk costs more than moving it.
_TURN = 1 << 20

# How many reads of a chunk empty any pipe: the largest that a user may ask for is 1 MiB
# by default (/proc/sys/fs/pipe-max-size).
_ROUNDS = 16

# Between two looks at processes whose end the kernel cannot report. In seconds;
# never used on Linux 5.3 and newer.
_POLL = 0.005


class End(Protocol):
    """Our end of a pipe, as a pump sees it."""

    @property
    def fd(self) -> int:
        """The descriptor; -1 once closed."""
        ...

    def move(self) -> int:
        """Move what can be moved now; return how many bytes."""
        ...


class Source(End, Protocol):
    """One that is read."""

    @property
    def at_end(self) -> bool:
        """Whether nothing more will come."""
        ...


class Pump:
    """A set of descriptors, and what to do when each of them is ready.

    Attributes:
        is_closed: It was closed, and nothing can be waited for any more.
    """

    def __init__(self, turn: int = _TURN) -> None:
        # PollSelector and the like have no descriptor to wait for; every system
        # whose processes we can manage has epoll or kqueue.
        self._selector = selectors.DefaultSelector()
        self._reading: set[int] = set()
        self._held = Descriptors()
        self._exit_fd = -1
        self._backend: Backend | None = None  # where a task has waited
        self.is_closed: bool = False
        self._turn = turn

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Move nothing more, give all descriptors back, and end every wait."""
        self._reading.clear()
        if self._backend is not None and not self.is_closed:
            with suppress(RuntimeError):  # its loop is gone, so no task waits
                self._backend.notify_closing(self._selector.fileno())
        self.is_closed = True
        self._selector.close()  # and forgets the descriptors in it, all at once
        self._held.close_all()
        self._exit_fd = -1

    # -- what is waited for ------------------------------------------------

    def move(self, source: Source) -> None:
        """Move the bytes of ``source`` as they come, until its end."""

        def handle(fd: int) -> int:
            moved = source.move()
            if source.at_end:
                self.forget(fd)
            return moved

        self._reading.add(source.fd)
        self._selector.register(source.fd, selectors.EVENT_READ, handle)

    def fill(self, end: End) -> None:
        """Move bytes into ``end`` as fast as it takes them, until it is closed."""

        def handle(fd: int) -> int:
            return end.move()

        self._selector.register(end.fd, selectors.EVENT_WRITE, handle)

    def wake_at(self, fd: int) -> None:
        """End a wait when ``fd`` is readable, and leave the reading to the waiter."""
        self._selector.register(fd, selectors.EVENT_READ, _ignore)

    def listen(self, fd: int, act: Callable[[], object]) -> None:
        """End a wait when ``fd`` is readable, and call ``act()``, which reads it."""

        def handle(fd: int) -> int:
            act()
            return 0

        self._selector.register(fd, selectors.EVENT_READ, handle)

    def watch(self, fd: int) -> None:
        """End a wait when ``fd``, which tells of an exit, is readable.

        We watch a copy: the child may be reaped and ``fd`` closed by another task,
        and no wait would end then.
        """
        if self._exit_fd < 0:
            self._exit_fd = self._held.open(os.dup, fd)
            self.wake_at(self._exit_fd)

    def unwatch(self) -> None:
        """The exit is known, and would end every wait from here on."""
        if self._exit_fd >= 0:
            self.forget(self._exit_fd)
            self._held.close(self._exit_fd)
            self._exit_fd = -1

    def forget(self, fd: int) -> None:
        """Leave ``fd`` alone from now on: it is about to be closed, or has been."""
        self._reading.discard(fd)
        if not self.is_closed and fd in self._selector.get_map():
            self._selector.unregister(fd)

    @contextmanager
    def alarm(
        self, seconds: float, ring: Callable[[], object]
    ) -> Generator[None, None, None]:
        """Call ``ring()`` after real seconds, even while the loop's clock stands still."""
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

            self._selector.register(readable, selectors.EVENT_READ, handle)
            thread = threading.Thread(target=wait, name="within-alarm")
            thread.start()
            try:
                yield
            finally:
                self.forget(readable)
                in_time.set()
                thread.join()

    # -- moving ------------------------------------------------------------

    def is_reading(self) -> bool:
        """Whether a source has not come to its end."""
        return bool(self._reading)

    def drain(self) -> bool:
        """Read what is there without waiting; true if every pipe is at its end."""
        # A few rounds empty any pipe. One that is filled as fast as we empty it must
        # not keep us here.
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
        self._backend = current()
        await self._backend.wait_readable(self._selector.fileno())
        moved = 0
        while moved < self._turn and not self.is_closed:
            before = moved
            for key, _ in self._selector.select(0):
                moved += key.data(key.fd)
            if moved == before:
                break

    async def until_one_ends(self, pids: Iterable[int]) -> None:
        """Keep the bytes moving until one of ``pids``, not children of ours, ends."""
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
                    self._selector.register(fd, selectors.EVENT_READ, end)
                if any(pidfds):
                    await self.until(lambda: ended)
                else:
                    with move_on_after(_POLL):
                        await self.until(lambda: False)
            finally:
                for fd in pidfds:
                    self.forget(fd)


class HasAlarm(Protocol):
    """A pump, of whatever platform."""

    def alarm(
        self, seconds: float, ring: Callable[[], object]
    ) -> AbstractContextManager[None]:
        """Call ``ring()`` after real seconds."""
        ...


@contextmanager
def limited(seconds: float, pump: HasAlarm) -> Generator[None, None, None]:
    """End the block after ``seconds`` of real time, in which ``pump`` waits."""
    if current().has_virtual_time():
        # That clock stands still while a child is at work, as this one is. But the child
        # may never end, so the limit has to be in real seconds.
        with move_on_after(None) as limit, pump.alarm(seconds, limit.cancel):
            yield
    else:
        with move_on_after(seconds):
            yield


def _ignore(fd: int) -> int:
    return 0
