"""What anyio knows of a task on asyncio: its cancel scopes.

asyncio has no cancel scopes, so anyio keeps its own, and nothing public tells which of
them a task is in. This is the only module that reads anyio's private state. If a
release of anyio has moved it, no scopes are seen, and a test fails loudly. The module is
imported only if anyio runs on asyncio.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from anyio import CancelScope, current_effective_deadline
from anyio._backends import _asyncio

if TYPE_CHECKING:
    from asyncio import Task

__all__ = [
    "abandon",
    "claim",
    "current_effective_deadline",
    "innermost",
    "is_shielded",
    "shield",
    "state_of",
]

# Task -> state, whose `cancel_scope` is the innermost one. We use the dictionary inside
# the WeakKeyDictionary directly, which is much faster: the difference is a third of what
# a block costs.
_states: Any = getattr(_asyncio, "_task_states", WeakKeyDictionary[Any, Any]())
state_of: Any = getattr(_states, "data", {}).get  # by a weak reference to the task


def innermost(task: Task[Any]) -> Any:
    """The innermost scope that ``task`` is in, or ``None``."""
    state = state_of(ref(task))
    return None if state is None else state.cancel_scope


def is_shielded(task: Task[Any], outer: Any) -> bool:
    """Whether ``task`` is in a shielded scope inside ``outer``."""
    scope = innermost(task)
    if scope is None:
        return False
    while outer is not None and not getattr(outer, "_active", True):
        outer = _parent(outer)  # `outer` was left before the block that is in it
    while scope is not None and scope is not outer:
        if scope.shield:
            return True
        scope = _parent(scope)
    return False


def shield() -> CancelScope:
    """A shielded scope, to be entered."""
    return CancelScope(shield=True)


def abandon(task: Task[Any], scope: CancelScope) -> None:
    """Take a scope that ``task`` will never leave out of the chain.

    It was left in another task (a generator was dropped) or out of order. anyio would
    keep the task in it for good, shielded from everything around it.
    """
    scope.shield = False
    inner, around = innermost(task), _parent(scope)
    with contextlib.suppress(AttributeError):  # not in the chain, or anyio has changed
        if inner is scope:
            _states[task].cancel_scope = around
            around._child_scopes.discard(scope)
            around._tasks.add(task)
        else:
            while _parent(inner) is not scope:
                inner = inner._parent_scope
            inner._reparent(around)


def claim(task: Task[Any], exc: BaseException) -> bool:
    """Make ``exc`` a cancellation of the anyio scope around ``task``, if that is
    cancelled too (T6).

    anyio was about to cancel the task itself in this very pass of the loop. It knows
    its own cancellations by their message.
    """
    scope = innermost(task)
    while scope is not None and not scope.cancel_called:
        scope = None if scope.shield else _parent(scope)
    if scope is None or isinstance(exc, BaseExceptionGroup):
        return False
    says = getattr(scope, "_cancel_reason", None)
    exc.args = (says or f"Cancelled by cancel scope {id(scope):x}",)
    return True


def _parent(scope: Any) -> Any:
    return getattr(scope, "_parent_scope", None)
