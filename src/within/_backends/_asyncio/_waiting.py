"""What a suspended task waits for, as far as a look can tell.

asyncio says which future a task waits for (``_fut_waiter``), and nothing about what
stands behind it. A result may be on its way through other tasks, through ``gather()``,
``wait()``, ``shield()``, ``wait_for()`` or a ``TaskGroup``, and takes a pass of the loop
for each of them. This module looks behind them. It reads private state of asyncio; if a
release moves that, the tests of T4 fail.
"""

from __future__ import annotations

import asyncio
from types import CoroutineType, FunctionType
from typing import TYPE_CHECKING, Any

from ..._core import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from types import CodeType, FrameType

Task = asyncio.Task[Any]
Future = asyncio.Future[Any]

# How many futures deep we look. Python's own stack bounds it too.
_DEPTH = 100


def waiter_of(task: Any) -> Any:
    """The future that a suspended task waits for; ``None`` at a bare yield."""
    return getattr(task, "_fut_waiter", None)


def is_task(future: Any) -> bool:
    return isinstance(future, asyncio.Task)


def current_task() -> Task | None:
    """The current task; ``None`` outside a task, and where no loop runs."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def is_running(task: Task) -> bool:
    """Whether ``task`` is on the stack, maybe below an eager task that it started."""
    if asyncio.current_task() is task:
        return True
    return getattr(task.get_coro(), "cr_running", False) is True


# -- is a result on its way? -------------------------------------------------


def passes_until_done(
    task: Task, waiter: Any, brings_nothing: Callable[[Any], bool]
) -> int:
    """How many passes of the loop until the await of ``task`` completes.

    0 if no result is known to be on its way. The number is what the innermost await
    needs if no task on the way suspends again.

    Args:
        task: A suspended task.
        waiter: The future that it waits for.
        brings_nothing: Whether a future that is done carries no result, but only a
            cancellation that is to be ignored.
    """
    if waiter.done():
        return 0 if brings_nothing(waiter) else 1
    if nothing_is_known_behind(waiter, task):
        return 0
    return _Look(brings_nothing).into(task)


def nothing_is_known_behind(waiter: Any, task: Task) -> bool:
    """Whether ``task`` waits for a timer, a socket or an event: the ordinary case."""
    if type(waiter) is not asyncio.Future or _shielded(waiter) is not None:
        return False
    coroutine: Any = task.get_coro()
    code: Any = None
    while type(coroutine) is CoroutineType:  # the ordinary case, quickly
        code, coroutine = coroutine.cr_code, coroutine.cr_await
    if type(coroutine).__name__ != "FutureIter":
        for frame in frames(coroutine):
            code = frame.f_code
    return code is None or not (
        code is _WAIT or code is _WAIT_FOR or code.co_qualname in _GROUP_EXITS
    )


class _Look:
    """One look behind the futures that a task waits for."""

    def __init__(self, brings_nothing: Callable[[Any], bool]) -> None:
        self._brings_nothing = brings_nothing
        # Futures that have been looked at. Tasks may wait for one another in a circle.
        self._known: dict[int, int] = {}
        self._depth = 0

    def into(self, task: Any) -> int:
        """Passes until the await of a suspended task completes; 0 if unknown."""
        waiter = waiter_of(task)
        if waiter is None or self._depth > _DEPTH:
            return 0
        if waiter.done() or is_task(waiter):
            return self._until(waiter)
        return _one_more(self._until_awaited(waiter, task.get_coro()))

    def _until(self, future: Any) -> int:
        """Passes until ``future`` is done and its callbacks have run; 0 if unknown."""
        if future.done():
            return 0 if self._brings_nothing(future) else 1
        if (known := self._known.get(id(future))) is not None:
            return known
        self._known[id(future)] = 0
        self._depth += 1
        if is_task(future):
            behind = self.into(future)
        else:
            behind = self._until_awaited(future, None)
        self._depth -= 1
        passes = self._known[id(future)] = _one_more(behind)
        return passes

    def _until_awaited(self, future: Any, coroutine: Any) -> int:
        """Passes until whatever completes a plain future is done; 0 if unknown."""
        if (children := getattr(future, "_children", None)) is not None:  # gather()
            return self._until_gathered(children)
        if (inner := _shielded(future)) is not None:
            return self._until(inner)
        frame = _innermost(coroutine)
        if frame is None:
            return 0
        if frame.f_code.co_qualname in _GROUP_EXITS and (
            frame.f_globals.get("__name__") in _GROUP_MODULES
        ):
            return self._until_all(getattr(frame.f_locals["self"], "_tasks", ()))
        if frame.f_code is _WAIT:
            values = frame.f_locals
            return self._until_some(values["fs"], values["return_when"])
        if frame.f_code is _WAIT_FOR and asyncio.isfuture(frame.f_locals["fut"]):
            return self._until(frame.f_locals["fut"])  # 3.11 waits for another future
        return 0

    def _until_gathered(self, futures: Collection[Future]) -> int:
        if any(map(_has_failed, futures)):
            return 1
        return self._until_all(futures)

    def _until_all(self, futures: Iterable[Any]) -> int:
        passes = self._until_each(futures)
        return max(passes, default=0) if all(passes) else 0

    def _until_some(self, futures: Collection[Future], return_when: str) -> int:
        if return_when == asyncio.FIRST_COMPLETED:
            return min(filter(None, self._until_each(futures)), default=0)
        if return_when == asyncio.FIRST_EXCEPTION and any(map(_has_failed, futures)):
            return 1
        return self._until_all(futures)

    def _until_each(self, futures: Iterable[Any]) -> list[int]:
        # wait() and TaskGroup do not raise the cancellation of a task that has ended, so
        # one that a deadline of ours has cancelled counts like any other.
        return [1 if future.done() else self._until(future) for future in futures]


def _one_more(passes: int) -> int:
    return passes and passes + 1


def _has_failed(future: Any) -> bool:
    return future.done() and (future.cancelled() or bool(future.exception()))


def _shielded(outer: Any) -> Any:
    """The inner future, if ``outer`` is what ``asyncio.shield()`` returned."""
    # shield() adds its callback before anybody else can. There may be thousands more.
    callbacks: Any = getattr(outer, "_callbacks", None)
    if not callbacks or type(callback := callbacks[0][0]) is not FunctionType:
        return None  # the ordinary case: the callback of a task
    code = callback.__code__
    if code.co_name != "_outer_done_callback":
        return None
    cells = dict(zip(code.co_freevars, callback.__closure__ or (), strict=True))
    return cells["inner"].cell_contents if "inner" in cells else None


def _innermost(coroutine: Any) -> FrameType | None:
    found: FrameType | None = None
    for frame in frames(coroutine):
        found = frame
    return found


# Of asyncio's TaskGroup and of anyio's. Both keep their children in `_tasks`.
_GROUP_EXITS = ("TaskGroup.__aexit__", "TaskGroup._aexit")
_GROUP_MODULES = ("asyncio.taskgroups", "anyio._backends._asyncio")

_tasks: Any = asyncio.tasks
_WAIT: CodeType = _tasks._wait.__code__
_WAIT_FOR: CodeType = _tasks.wait_for.__code__


# -- what does a cancellation reach? -----------------------------------------


def reached_by_cancel(waiter: Any) -> tuple[list[Any], bool]:
    """All that ``waiter.cancel()`` cancels in turn, and whether that is a circle.

    In a circle, ``cancel()`` would call itself until the stack overflows.
    """
    if waiter is None:
        return [], False
    if type(waiter) is asyncio.Future or not _passes_on(waiter):
        return [waiter], False
    reached: dict[int, Any] = {id(waiter): waiter}
    path: list[tuple[Any, Iterator[Any]]] = [(waiter, iter(_cancelled_with(waiter)))]
    on_path = {id(waiter)}
    is_circle = False
    while path:
        future, further = path[-1]
        following = next(further, None)
        if following is None:
            path.pop()
            on_path.discard(id(future))
        elif id(following) in on_path:
            is_circle = True
        elif id(following) not in reached:
            reached[id(following)] = following
            path.append((following, iter(_cancelled_with(following))))
            on_path.add(id(following))
    return list(reached.values()), is_circle


def tasks_reached(waiter: Any) -> list[Task]:
    """The tasks that ``waiter.cancel()`` cancels in turn."""
    reached, _ = reached_by_cancel(waiter)
    return [one for one in reached if is_task(one) and not one.done()]


def _passes_on(future: Any) -> bool:
    return is_task(future) or hasattr(future, "_children")


def _cancelled_with(future: Any) -> list[Any]:
    """The futures that ``future.cancel()`` passes the request on to."""
    children: list[Any] | None = getattr(future, "_children", None)
    if children is not None:
        return [] if future.done() else children
    waiter = waiter_of(future)
    return [] if waiter is None else [waiter]


def waits_in_a_circle(task: Task) -> bool:
    """Whether ``task.cancel()`` would call itself until the stack overflows."""
    return reached_by_cancel(waiter_of(task))[1]


def throw_cancellation(task: Task, waiter: Any, message: str) -> None:
    """Cancel ``task`` without cancelling ``waiter``, which it waits for.

    For a waiter whose ``cancel()`` does not work. The task's own callback is moved from
    the waiter to a future that is cancelled.
    """
    callbacks: list[Any] = getattr(waiter, "_callbacks", None) or []
    for callback, context in callbacks.copy():
        if getattr(callback, "__self__", None) is task:
            waiter.remove_done_callback(callback)
            instead: Future = task.get_loop().create_future()
            instead.add_done_callback(callback, context=context)
            instead.cancel(message)
            return
