"""What can be waited for on any loop: whether it is ready, and what to call when it is.

On POSIX, any number of selectors can ask at any time whether a descriptor is ready.
Here, the same is built from what Windows has: a check that does not block, and one
operation that is under way as long as a listener waits for the change.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..._backends import current
from .._descriptors import keep
from ._completions import completions, overlapped
from ._handles import Handles
from ._kernel import INFINITE, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._backends._protocol import Backend


class Waitable:
    """Something that becomes ready.

    Attributes:
        listeners: Functions to call, in another thread, when it may have become ready.
    """

    def __init__(self) -> None:
        self.listeners: set[Callable[[], object]] = set()

    def is_ready(self) -> bool:
        """Whether it is ready now."""
        raise NotImplementedError

    def arm(self) -> None:
        """Have the listeners called once, as soon as it is ready."""
        raise NotImplementedError

    def tell(self) -> None:
        """Call the listeners."""
        for listener in tuple(self.listeners):
            listener()


# By handle: everything that a pump or a task can wait for.
waitables: dict[int, Waitable] = {}


class Exit(Waitable):
    """The end of a process.

    It has a handle of its own, because another task may close the child's.
    """

    def __init__(self, process: int) -> None:
        super().__init__()
        self._is_armed = False
        self._is_over = False
        self._waits: list[int] = []
        self._held = Handles()
        us = _winapi.GetCurrentProcess()
        self._process = self._held.open(
            _winapi.DuplicateHandle,
            *(us, process, us, 0, False, _winapi.DUPLICATE_SAME_ACCESS),
        )

    def is_ready(self) -> bool:
        return has_ended(self._process)

    def arm(self) -> None:
        if self._is_armed:
            return
        self._is_armed = True
        # The operation refers to us until it is over, so the handle stays open.
        completions.begin(self._register, self._done)
        if self._is_over:
            self._unregister()  # it ended before its wait was noted

    def _register(self, operation: Any) -> None:
        port, address = completions.port(), operation.address
        keep(
            self._waits,
            overlapped.RegisterWaitWithQueue,
            *(self._process, port, address, INFINITE),
        )

    def _done(self) -> None:
        self._is_over = True
        self._unregister()
        self.tell()

    def _unregister(self) -> None:
        with suppress(OSError, IndexError):  # both threads may be here
            overlapped.UnregisterWait(self._waits.pop())


class Wakeable:
    """One task at a time that waits until it is woken, from any thread."""

    def __init__(self) -> None:
        self._wake: Callable[[], None] | None = None

    def wake(self) -> None:
        """Wake the task, if one is waiting."""
        wake = self._wake
        if wake is not None:
            with suppress(RuntimeError):  # its loop is gone, so no task waits
                wake()

    async def wait(self, backend: Backend, prepare: Callable[[], bool]) -> None:
        """Wait until :meth:`wake` is called, or not if ``prepare()`` is true.

        It always passes through the loop once.
        """

        def start(wake: Callable[[], None]) -> None:
            self._wake = wake
            if prepare():
                wake()

        try:
            await backend.wait_for_call(start)
        finally:
            self._wake = None

    async def wait_for(self, backend: Backend, waitable: Waitable) -> None:
        """Wait until ``waitable`` may be ready, or :meth:`wake` is called."""

        def prepare() -> bool:
            waitable.arm()
            return waitable.is_ready()

        waitable.listeners.add(self.wake)
        try:
            await self.wait(backend, prepare)
        finally:
            waitable.listeners.discard(self.wake)


class Writing:
    """Waits until a pipe takes more, as a backend does for a descriptor on POSIX."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._task = Wakeable()

    async def wait_writable(self, handle: int) -> None:
        """Return once ``handle`` takes more, or is closed."""
        pipe = waitables.get(handle)
        if pipe is not None:
            await self._task.wait_for(self._backend, pipe)

    def notify_closing(self, handle: int) -> None:
        """Wake the task that waits for ``handle``."""
        self._task.wake()


def writing_backend() -> Writing:
    """A way to wait for pipes on the running loop."""
    return Writing(current())


async def until_exit(process: int, has_exited: Callable[[], bool]) -> None:
    """Wait until a child has exited; ``process`` is its handle."""
    found = waitables[process]
    while not has_exited():
        await Wakeable().wait_for(current(), found)
