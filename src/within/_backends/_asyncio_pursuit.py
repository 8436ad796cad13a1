"""Cancelling one task at the right moment.

``Task.cancel()`` is a blunt tool: called while a result is on its way to the
task it throws that result away, called on a task that is running it leaves a
mark that may outlive the block. A pursuit waits for a moment at which the task
is suspended and nothing is on its way.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from .._errors import reason

if TYPE_CHECKING:
    from .._timeouts import Timeout
    from ._asyncio import AsyncioBackend

# How many passes of the loop a task is given to take a result that has arrived
# (T4). One is enough unless some other task completes its next await in every
# pass, before we can look; then it must not run on for ever.
_PASSES = 4

# T16: how often a level-triggered block is cancelled in one pass after another.
# Who has not left it by then refuses to, and is given pauses.
# It is many, because much clean-up obeys: an exit stack suspends once a callback.
_STRIKES = 100

# The first of these pauses, in seconds; each is twice the one before. Who waits anew
# has obeyed, and is given none that is longer than the longest.
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 1.0


class Pursuit:
    """Brings to a task the cancellation that its expired blocks owe it."""

    __slots__ = (
        "_backend",
        "_context",
        "_handle",
        "_loop",
        "_passes",
        "_pause",
        "_strikes",
        "_struck",
        "_task",
        "_watched",
    )

    def __init__(
        self,
        backend: AsyncioBackend,
        loop: asyncio.AbstractEventLoop,
        task: asyncio.Task[Any],
    ) -> None:
        self._backend = backend
        self._loop = loop
        self._task = task
        self._context = Context()  # T8: a handle keeps the one it is made in
        self._handle: asyncio.Handle | None = None
        self._passes = 0
        self._strikes = 0
        self._pause = _FIRST_PAUSE
        self._struck: Any = None  # the waiter that the last cancel() went to
        self._watched: Any = None  # the waiter whose end calls us

    def step(self, _waiter: object = None) -> None:
        """Cancel the task if this is the moment, else look again later."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        backend, task = self._backend, self._task
        waiter: Any = getattr(task, "_fut_waiter", None)
        everything = backend.owed(task, held=True)
        if task.done() or not _is_due(everything):
            del backend._pursuits[task]
            return
        expired = [block for block in everything if not backend.is_held(block, task)]
        if not _is_due(expired):
            self._watch(waiter)  # T15: until the task has left anyio's shield
            return
        unheard = [block for block in expired if not block._struck]
        target = (unheard or expired)[0]
        if waiter is None:
            if _is_running(task):
                self._look_again()
                return
            # Else its next step is scheduled, with no result: a bare yield.
        elif self._passes < _PASSES and self._has_arrived(waiter, target):
            self._passes += 1
            self._look_again()
            return
        # T2: who has not been struck yet is not kept waiting for what others refuse.
        if self._struck is not None and not unheard and self._refuses(waiter):
            if waiter is not self._struck:
                self._pause = min(self._pause, _LONGEST_PAUSE)
            self._struck = None
            self._watch(waiter)
            self._handle = self._loop.call_later(
                self._pause, self.step, context=self._context
            )
            self._pause *= 2
        else:
            if target._counted:
                # One request at a time is enough, however often it is repeated.
                task.uncancel()
            target._counted = True
            task.cancel(reason(target, backend.current_time()))
            hear(expired)
            backend.cut_off(waiter)
            self._passes = 0
            if any(block._level for block in expired):
                self._struck = waiter or self
                self._strikes += 1
            if _is_due(everything):
                self._look_again()
            else:
                del backend._pursuits[task]

    def _has_arrived(self, waiter: Any, target: Timeout) -> bool:
        """T4: whether the await is done, and its result on the way.

        Also where the task waits for a task whose own await is done. A waiter that
        was cancelled together with the task, or by us for another block, brings
        no result; one that somebody has cancelled by itself brings just that.
        """
        while isinstance(waiter, asyncio.Task) and not waiter.done():
            waiter = getattr(cast("Any", waiter), "_fut_waiter", None)
        if waiter is None or not waiter.done():
            return False
        if waiter.cancelled() and self._task.cancelling() > target._cancelling:
            return False
        return waiter not in self._backend._cut_off

    def _refuses(self, waiter: object) -> bool:
        """It waits on where it was, or over and over: polling it would burn CPU."""
        return waiter is self._struck or self._strikes >= _STRIKES

    def _look_again(self) -> None:
        """In the next pass; whatever the task is owed by now comes before."""
        self._handle = self._loop.call_soon(self.step, context=self._context)

    def _watch(self, waiter: Any) -> None:
        """Look again as soon as ``waiter`` is done, right after the task has run.

        Its callbacks are called in the order in which they were added, and the
        first was the task's own.
        """
        if waiter is None:
            self._look_again()
        elif waiter is not self._watched:
            self._watched = waiter
            waiter.add_done_callback(self._on_done, context=self._context)

    def _on_done(self, waiter: object) -> None:
        if waiter is self._watched:
            self._watched = None
            if self._backend._pursuits.get(self._task) is self:
                self.step()


def _is_due(expired: list[Timeout]) -> bool:
    for block in expired:  # noqa: SIM110  (any() costs several times as much)
        if block._level or not block._struck:
            return True
    return False


def hear(expired: list[Timeout]) -> None:
    """One cancellation is heard by all the blocks that have expired by then."""
    for block in expired:
        block._struck = True


def _is_running(task: asyncio.Task[Any]) -> bool:
    """On the stack, maybe below an eager task that it has started.

    A task that is suspended at a bare yield has no waiter either.
    """
    if asyncio.current_task() is task:
        return True
    return getattr(task.get_coro(), "cr_running", False) is True
