"""Waiting for a descriptor, for another thread, or for a signal, on one loop."""

from __future__ import annotations

import asyncio
import signal as signals
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable

    Waiting = dict[int, Future[None]]


class Descriptors:
    """The descriptors, and the calls from other threads, that tasks of one loop wait for."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: Waiting = {}
        self._writers: Waiting = {}
        self._calls = 0

    def __len__(self) -> int:
        """How many waits are going on."""
        return len(self._readers) + len(self._writers) + self._calls

    async def readable(self, fd: int) -> None:
        loop = self._loop
        await self._wait(fd, self._readers, loop.add_reader, loop.remove_reader)

    async def writable(self, fd: int) -> None:
        loop = self._loop
        await self._wait(fd, self._writers, loop.add_writer, loop.remove_writer)

    async def call(self, start: Callable[[Callable[[], None]], object]) -> None:
        loop = self._loop
        called = loop.create_future()

        def wake() -> None:
            loop.call_soon_threadsafe(_set_done, called)

        self._calls += 1
        try:
            start(wake)
            await called
        finally:
            self._calls -= 1

    def caller_from_threads(self) -> Callable[[Callable[[], object]], object]:
        return self._loop.call_soon_threadsafe

    def wake_on_signals(self) -> None:
        if sys.platform == "win32":
            return  # there is no SIGCHLD
        if not isinstance(self._loop, asyncio.SelectorEventLoop):
            return  # uvloop sees to it
        # asyncio sets signal.set_wakeup_fd() only for signals that it handles itself, and
        # resets it when the loop is closed. The handler that was there is put back in the
        # place of asyncio's own.
        handler = signals.getsignal(signals.SIGCHLD)
        self._loop.add_signal_handler(signals.SIGCHLD, _do_nothing)
        signals.signal(signals.SIGCHLD, handler)

    def notify_closing(self, fd: int) -> None:
        # The descriptor is taken off the loop here and not by the task that wakes up:
        # by then its number may belong to another file.
        if (ready := self._readers.pop(fd, None)) is not None:
            self._loop.remove_reader(fd)
            _set_done(ready)
        if (ready := self._writers.pop(fd, None)) is not None:
            self._loop.remove_writer(fd)
            _set_done(ready)

    async def _wait(
        self,
        fd: int,
        waiting: Waiting,
        add: Callable[..., Any],
        remove: Callable[[int], Any],
    ) -> None:
        if fd in waiting:
            raise RuntimeError(f"another task is already waiting for descriptor {fd}")
        ready = self._loop.create_future()
        add(fd, _set_done, ready)
        waiting[fd] = ready
        try:
            await ready
        finally:
            if waiting.get(fd) is ready:
                del waiting[fd]
                remove(fd)


def _do_nothing() -> None:
    """Python itself calls the signal's handler; asyncio has nothing left to do."""


def _set_done(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)
