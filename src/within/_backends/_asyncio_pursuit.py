"""Cancelling one task at the right moment.

``Task.cancel()`` is a blunt tool: called while a result is on its way to the
task it throws that result away, called on a task that is running it leaves a
mark that may outlive the block. A pursuit waits for a moment at which the task
is suspended and nothing is on its way.
"""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING, Any

from .._errors import reason

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Handle, Task

    from ._asyncio import AsyncioBackend

# How many passes of the loop a task is given to take a result that has arrived
# (T4). One is enough unless some other task completes its next await in every
# pass, before we can look; then it must not run on for ever.
_PASSES = 4

# After the first refusal of a waiter, in seconds; doubled with each (T16).
_FIRST_PAUSE = 0.001


class Pursuit:
    """Brings to a task the cancellation that its expired blocks owe it."""

    __slots__ = (
        "_backend",
        "_context",
        "_handle",
        "_loop",
        "_passes",
        "_pause",
        "_task",
        "_waiter",
    )

    def __init__(
        self, backend: AsyncioBackend, loop: AbstractEventLoop, task: Task[Any]
    ) -> None:
        self._backend = backend
        self._loop = loop
        self._task = task
        self._context = Context()  # T8: a handle keeps the one it is made in
        self._handle: Handle | None = None
        self._passes = 0
        self._waiter: object = None  # what the last cancel() was passed on to
        self._pause = 0.0

    def step(self, _waiter: object = None) -> None:
        """Cancel the task if this is the moment, else look again later."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        task = self._task
        target, level = self._backend.owed(task)
        if target is None or (target._struck and not level) or task.done():
            self._backend._pursuits.pop(task, None)
            return
        waiter: Any = getattr(task, "_fut_waiter", None)
        if waiter is None:
            if _is_running(task):
                self._look_again()
                return
            # Else its next step is scheduled, with no result: a bare yield.
        elif waiter.done() and not waiter.cancelled() and self._passes < _PASSES:
            # T4: the await is done, and its result on the way. A cancelled
            # waiter brings none, whoever cancelled it.
            self._passes += 1
            self._look_again()
            return
        if target._counted:
            # One request at a time is enough, however often it is repeated.
            task.uncancel()
        target._counted = target._struck = True
        task.cancel(reason(target))
        self._passes = 0
        if not level:
            del self._backend._pursuits[task]
        elif waiter is not None and waiter is self._waiter:
            self._back_off(waiter)
        else:
            self._waiter, self._pause = waiter, 0.0
            self._look_again()

    def _back_off(self, waiter: Any) -> None:
        """T16: it heard the last cancel() and waits on. Polling it burns CPU."""
        if not self._pause:
            waiter.add_done_callback(self.step, context=self._context)
        self._pause = self._pause * 2 or _FIRST_PAUSE
        self._handle = self._loop.call_later(
            self._pause, self.step, context=self._context
        )

    def _look_again(self) -> None:
        """In the next pass; whatever the task is owed by now comes before."""
        self._handle = self._loop.call_soon(self.step, context=self._context)


def _is_running(task: Task[Any]) -> bool:
    """On the stack, maybe below an eager task that it has started.

    A task that is suspended at a bare yield has no waiter either.
    """
    return getattr(task.get_coro(), "cr_running", False) is True
