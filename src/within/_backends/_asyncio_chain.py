"""Which block is inside which: the chain that leads outwards from the innermost.

First come the blocks that a task has open itself, then those in which it was
started, which are another task's. Where two tasks share one context they stand in
any order. A block that has been left may stand in it still, until the one inside
is left too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._timeouts import Timeout


def link(timeout: Timeout, parent: Timeout, task: object) -> None:
    """Put a block that ``task`` enters into the chain, inside of ``parent``."""
    timeout._parent = parent
    if (own := _own(parent, task)) is not None:
        own._child = timeout


def unlink(timeout: Timeout, task: object) -> None:
    """Take out of the chain a block that ``task`` had entered."""
    inner, timeout._child = timeout._child, None
    if inner is not None and inner._parent is timeout:
        inner._parent = timeout._parent
    if (own := _own(timeout._parent, task)) is not None:
        own._child = inner
    # Kept, so that tasks started inside still find the blocks around it.
    timeout._parent = _first_open(timeout._parent)


def innermost(timeout: Timeout | None, task: object) -> Timeout | None:
    """The innermost that ``task`` has open, if ``timeout`` is or was one of them."""
    timeout = _own(timeout, task)
    while timeout is not None and timeout._child is not None:
        timeout = timeout._child
    return timeout


def outwards(timeout: Timeout | None, task: object) -> Iterator[Timeout]:
    """The open blocks that ``task`` is in: its own, then those it was started in."""
    while timeout is not None:
        if task is not None:
            # Before one of its own, another's comes of a shared context.
            timeout = _own(timeout, task) or timeout
        if timeout._task is not None:
            yield timeout
        timeout = timeout._parent


def _own(timeout: Timeout | None, task: object) -> Timeout | None:
    """The nearest block that ``task`` has open, from ``timeout`` outwards."""
    while timeout is not None and timeout._task is not task:
        timeout = timeout._parent
    return timeout


def _first_open(timeout: Timeout | None) -> Timeout | None:
    while timeout is not None and timeout._task is None:
        timeout = timeout._parent
    return timeout
