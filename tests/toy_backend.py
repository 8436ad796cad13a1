"""A backend for the event loop in ``toy_loop.py``, as a third party would write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import toy_loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from within._backends import Backend
    from within._core import Block


class ToyBackend:
    """One running loop. A block is one of the loop's scopes."""

    name = "toy"
    cancelled: type[BaseException] = toy_loop.Cancelled

    def __init__(self, loop: toy_loop.Loop) -> None:
        self._loop = loop

    def is_running_here(self) -> bool:
        return toy_loop.running_loop() is self._loop

    # -- the clock ---------------------------------------------------------

    def current_time(self) -> float:
        return self._loop.time

    def has_virtual_time(self) -> bool:
        return True

    # -- blocks ------------------------------------------------------------

    def enter(self, block: Block) -> None:
        task = self._loop.current
        if task is None:
            raise RuntimeError(f"{block!r} was entered outside a task")
        if block.delay is not None:
            block.when = self._loop.time + block.delay
        scope = toy_loop.Scope(block.when, block.is_shield)
        if block.has_expired:  # T12: cancelled before it was entered
            scope.cancel()
        block.task, block.cancel_scope = task, scope
        task.scopes.append(scope)

    def exit(self, block: Block, exc: BaseException | None) -> BaseException | None:
        task: toy_loop.Task = block.task
        scope: toy_loop.Scope = block.cancel_scope
        if task is not self._loop.current or task.scopes[-1] is not scope:
            raise RuntimeError(f"{block!r} was left in another task or out of order")
        self.abandon(block)
        block.has_expired = scope.is_cancelled
        enclosing = task.scopes_in_force()
        if not scope.is_cancelled or any(outer.is_cancelled for outer in enclosing):
            return exc  # T7: the outermost block raises
        if isinstance(exc, toy_loop.Cancelled):
            return None
        if isinstance(exc, BaseExceptionGroup):  # T9
            group = cast("BaseExceptionGroup[BaseException]", exc)
            return group.split(toy_loop.Cancelled)[1]
        return exc

    def abandon(self, block: Block) -> None:
        task: toy_loop.Task | None = block.task
        if task is not None and block.cancel_scope in task.scopes:
            task.scopes.remove(block.cancel_scope)
        block.task = block.cancel_scope = None

    def reschedule(self, block: Block, deadline: float) -> bool:
        scope: toy_loop.Scope = block.cancel_scope
        if scope.is_cancelled:
            return False
        scope.deadline = deadline
        return True

    def cancel(self, block: Block) -> None:
        block.has_expired = True
        block.cancel_scope.cancel()

    def effective_deadline(self) -> float:
        task = self._loop.current
        if task is None:
            raise RuntimeError("no task of the toy loop is running here")
        return task.deadline()

    # -- threads -----------------------------------------------------------

    def wake_on_signals(self) -> None:
        raise NotImplementedError

    def caller_from_threads(self) -> Callable[[Callable[[], object]], object]:
        raise NotImplementedError

    # -- descriptors -------------------------------------------------------
    # Only child processes need these, and the toy loop cannot wait for descriptors.

    async def wait_readable(self, fd: int) -> None:
        raise NotImplementedError

    async def wait_writable(self, fd: int) -> None:
        raise NotImplementedError

    def notify_closing(self, fd: int) -> None:
        raise NotImplementedError

    async def wait_for_call(
        self, start: Callable[[Callable[[], None]], object]
    ) -> None:
        raise NotImplementedError


running_loop = toy_loop.running_loop


def backend_of(loop: Any) -> Backend:
    backend: Backend | None = getattr(loop, "_within_backend", None)
    if backend is None:
        backend = loop._within_backend = ToyBackend(loop)
    return backend


def running_frame() -> FrameType | None:
    loop = toy_loop.running_loop()
    if loop is None or loop.current is None:
        return None
    coroutine: Any = loop.current.coroutine
    frame: FrameType | None = coroutine.cr_frame
    return frame
