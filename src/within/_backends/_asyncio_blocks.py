"""Which blocks are open on a loop: by task, the innermost, which leads to the rest.

A block is young until the alarm rings, and most are left before. Only the old ones
are in the alarm's heap (`_entry`); the young are known by their task alone, so that
entering and leaving costs one place in one dictionary. Where a task has blocks of both
kinds, the young are inside the old, and each kind has an innermost of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Iterator

    from .._timeouts import Timeout

    Innermost = dict[Task[Any], Timeout]


class OpenBlocks:
    """The open blocks of a loop. The backend itself opens and closes the young."""

    __slots__ = ("old", "young")

    def __init__(self) -> None:
        self.young: Innermost = {}
        self.old: Innermost = {}

    def innermost(self, task: Task[Any]) -> Timeout | None:
        """The innermost block that ``task`` has open."""
        block = self.young.get(task)
        return self.old.get(task) if block is None else block

    def of(self, task: Task[Any]) -> Iterator[Timeout]:
        """The blocks that ``task`` has open, innermost first."""
        block = self.innermost(task)
        while block is not None and block._task is task:
            yield block
            block = block._parent

    def age(self) -> list[Timeout]:
        """The young ones, which are old from now on."""
        aged: list[Timeout] = []
        # Of a copy: a collection that closes a generator may leave a block meanwhile.
        for task, innermost in self.young.copy().items():
            block: Timeout | None = innermost
            while block is not None and block._task is task and block._entry is None:
                aged.append(block)
                block = block._parent
        self.old.update(self.young)
        self.young.clear()
        return aged

    def close(self, timeout: Timeout, task: Task[Any]) -> bool:
        """Forget a block that is not the innermost young one of its task.

        True if it is the innermost all the same, since there is no young one.
        """
        in_order = self.innermost(task) is timeout
        if not in_order:
            self._unlink(timeout, task)
        if self.old.get(task) is timeout:
            parent = timeout._parent
            if parent is not None and parent._task is task:
                self.old[task] = parent
            else:
                del self.old[task]
        return in_order

    def _unlink(self, timeout: Timeout, task: Task[Any]) -> None:
        for inner in self.of(task):
            if inner._parent is timeout:
                inner._parent = timeout._parent
                return
