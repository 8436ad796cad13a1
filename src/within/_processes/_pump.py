"""Waits for all pipes of a child at once, in one task (P8): the common part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .._backends import current
from .._timeouts import move_on_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable
    from contextlib import AbstractContextManager
    from typing import Self

# How many bytes are moved before other tasks run: a pass of the loop for each chunk
# would cost more than moving the chunk.
TURN = 1 << 20

# How many reads of a chunk empty any pipe: the largest that a user may ask for is 1 MiB
# by default (/proc/sys/fs/pipe-max-size).
_ROUNDS = 16


class End(Protocol):
    """Our end of a pipe, as a pump sees it."""

    @property
    def fd(self) -> int:
        """The descriptor; -1 once closed."""
        ...

    def move(self) -> int:
        """Move what can be moved now; return how many bytes."""
        ...


class ReadableEnd(End, Protocol):
    """An end that is read."""

    @property
    def at_end(self) -> bool:
        """Whether nothing more will come."""
        ...


class BasePump(ABC):
    """A set of descriptors, and what to do when each of them is ready.

    Attributes:
        is_closed: It has been closed, and can no longer wait for anything.
    """

    def __init__(self, turn: int) -> None:
        self.is_closed: bool = False
        self._turn = turn
        self._reading: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Move nothing more, give all descriptors back, and end every wait."""

    # -- what is waited for ------------------------------------------------

    def move(self, source: ReadableEnd) -> None:
        """Move the bytes of ``source`` as they arrive, until its end."""

        def handle(fd: int) -> int:
            moved = source.move()
            if source.at_end:
                self.forget(fd)
            return moved

        self._reading.add(source.fd)
        self._when_readable(source.fd, handle)

    def fill(self, end: End) -> None:
        """Move bytes into ``end`` as fast as it takes them, until it is closed."""

        def handle(fd: int) -> int:
            return end.move()

        self._when_writable(end.fd, handle)

    def wake_at(self, fd: int) -> None:
        """End a wait when ``fd`` is readable, and leave the reading to the waiter."""
        self._when_readable(fd, _ignore)

    @abstractmethod
    def watch(self, fd: int) -> None:
        """End a wait when ``fd``, which reports an exit, is readable."""

    @abstractmethod
    def unwatch(self) -> None:
        """Stop watching: a known exit would end every wait from here on."""

    def forget(self, fd: int) -> None:
        """Leave ``fd`` alone from now on: it is about to be closed, or has been."""
        self._reading.discard(fd)
        self._remove(fd)

    @abstractmethod
    def alarm(
        self, seconds: float, ring: Callable[[], object]
    ) -> AbstractContextManager[None]:
        """Call ``ring()`` after ``seconds`` of real time, even in virtual time."""

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
                break
            ready = [(fd, act) for fd, act in self._ready() if fd in self._reading]
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
        await self._wait()
        moved = 0
        while moved < self._turn and not self.is_closed:
            before = moved
            for fd, handle in self._ready():
                moved += handle(fd)
            if moved == before:
                break

    @abstractmethod
    async def until_one_ends(self, pids: Iterable[int]) -> None:
        """Keep the bytes moving until one of ``pids``, which are not our children, ends.

        Where the kernel cannot report that, this returns after a moment.
        """

    # -- different on each platform ----------------------------------------

    @abstractmethod
    async def _wait(self) -> None:
        """Wait until a descriptor is ready."""

    @abstractmethod
    def _ready(self) -> list[tuple[int, Callable[[int], int]]]:
        """The descriptors that are ready now, each with its handler."""

    @abstractmethod
    def _when_readable(self, fd: int, handle: Callable[[int], int]) -> None: ...

    @abstractmethod
    def _when_writable(self, fd: int, handle: Callable[[int], int]) -> None: ...

    @abstractmethod
    def _remove(self, fd: int) -> None:
        """Forget a handler, if there is one."""


def limited(seconds: float, pump: BasePump) -> AbstractContextManager[object]:
    """End the block after ``seconds`` of real time, in which ``pump`` waits."""
    if current().has_virtual_time():
        return _limited_in_virtual_time(seconds, pump)
    # Not through a generator: if a signal handler raised between its start and the block,
    # the generator would stay open with its limit (T23).
    return move_on_after(seconds)


@contextmanager
def _limited_in_virtual_time(
    seconds: float, pump: BasePump
) -> Generator[None, None, None]:
    # A virtual clock stands still while a task waits for a child, as now. But the child
    # may never end, so the limit has to be in real seconds.
    with move_on_after(None) as limit, pump.alarm(seconds, limit.cancel):
        yield


def _ignore(fd: int) -> int:
    return 0
