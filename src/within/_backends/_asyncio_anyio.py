"""What anyio knows of a task on asyncio: its cancel scopes.

asyncio has no scopes, so anyio keeps its own, and nothing public tells which of
them a task is in. This module alone reads anyio's private state; where a release
of anyio has moved it, there are no scopes to be seen, and a test says so loudly.
It is imported only where anyio runs on asyncio.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from anyio import CancelScope, current_effective_deadline
from anyio._backends import _asyncio

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, CancelledError, Task

__all__ = [
    "abandon",
    "claim",
    "current_effective_deadline",
    "has_thread_at_work",
    "innermost",
    "is_shielded",
    "shield",
]

_WorkerThread: Any = getattr(_asyncio, "WorkerThread", ())

# By task: what `cancel_scope` of it is the innermost. A WeakKeyDictionary, which
# itself is slower than its own dictionary by a third of what a block costs.
_states: Any = getattr(_asyncio, "_task_states", WeakKeyDictionary[Any, Any]())
_state_of: Any = getattr(_states, "data", {}).get


def innermost(task: Task[Any]) -> Any:
    """The scope that ``task`` is in, or ``None``."""
    state = _state_of(ref(task))
    return None if state is None else state.cancel_scope


def is_shielded(task: Task[Any], outer: Any) -> bool:
    """Whether ``task`` has entered a shielded scope since it was in ``outer``."""
    scope = innermost(task)
    while scope is not None and scope is not outer:
        if scope.shield:
            return True
        scope = _parent(scope)
    return False


def shield() -> CancelScope:
    """A shielded scope, entered."""
    return CancelScope(shield=True).__enter__()


def abandon(task: Task[Any], scope: CancelScope) -> None:
    """Take out of the chain a scope that ``task`` will not leave any more.

    It was left in another task (a generator was dropped), or out of order; anyio
    would leave the task in it for good, and hold it off from all around.
    """
    scope.shield = False
    inner, around = innermost(task), _parent(scope)
    with contextlib.suppress(AttributeError):
        if inner is scope:
            _states[task].cancel_scope = around
            around._child_scopes.discard(scope)
            around._tasks.add(task)
        else:
            while _parent(inner) is not scope:
                inner = inner._parent_scope
            inner._reparent(around)


def claim(task: Task[Any], exc: CancelledError) -> bool:
    """Give a cancellation to the scope around ``task`` that is cancelled too (T6).

    anyio was about to cancel the task by itself, in this very pass of the loop;
    it knows its own cancellations by what they say.
    """
    scope = innermost(task)
    while scope is not None and not scope.cancel_called:
        scope = None if scope.shield else _parent(scope)
    if scope is None:
        return False
    says = getattr(scope, "_cancel_reason", None)
    exc.args = (says or f"Cancelled by cancel scope {id(scope):x}",)
    return True


def has_thread_at_work(loop: AbstractEventLoop) -> bool:
    """Whether a worker thread of anyio's has something to do for ``loop``."""
    threads: list[Any] = threading.enumerate()
    return any(
        thread.queue.unfinished_tasks > 0
        for thread in threads
        if isinstance(thread, _WorkerThread) and thread.loop is loop
    )


def _parent(scope: Any) -> Any:
    return getattr(scope, "_parent_scope", None)
