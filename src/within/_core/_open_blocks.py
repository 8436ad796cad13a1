"""Which blocks are open, by task.

A block is *young* until the next time that the alarm rings, and most blocks are left
before that. Only old blocks have an entry in the alarm's heap (``Block.entry``). Young
ones are found through their task alone, so that entering and leaving a block costs one
store into one dictionary.

If a task has blocks of both kinds, the young ones are inside the old ones. Each
dictionary holds the innermost block of its kind, and ``Block.parent`` leads outwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from ._block import Block

    Innermost = dict[Hashable, Block]


class OpenBlocks:
    """The open blocks of one loop.

    The backend opens and closes the innermost young block itself, on its hot path.
    """

    __slots__ = ("old", "young")

    def __init__(self) -> None:
        self.young: Innermost = {}
        self.old: Innermost = {}

    def innermost(self, task: Hashable) -> Block | None:
        """The innermost block that ``task`` has open."""
        block = self.young.get(task)
        return self.old.get(task) if block is None else block

    def of(self, task: Hashable) -> Iterator[Block]:
        """The blocks that ``task`` has open, innermost first."""
        block = self.innermost(task)
        while block is not None and block.task is task:
            yield block
            block = block.parent

    def age(self) -> list[Block]:
        """Make all young blocks old, and return them."""
        aged: list[Block] = []
        # Iterate over a copy: the garbage collector may close a generator, and with
        # it a block, at any time.
        for task, innermost in self.young.copy().items():
            block: Block | None = innermost
            while block is not None and block.task is task and block.entry is None:
                aged.append(block)
                block = block.parent
        self.old.update(self.young)
        self.young.clear()
        return aged

    def close(self, block: Block, task: Hashable) -> bool:
        """Close ``block``, wherever among the blocks of its task it is.

        True if it was the innermost one.
        """
        in_order = self.innermost(task) is block
        if not in_order:
            self._unlink(block, task)
        parent = block.parent
        if parent is not None and parent.task is not task:
            parent = None
        if self.young.get(task) is block:
            if parent is None or parent.entry is not None:
                del self.young[task]
            else:
                self.young[task] = parent
        elif self.old.get(task) is block:
            if parent is None:
                del self.old[task]
            else:
                self.old[task] = parent
        return in_order

    def forget(self, task: Hashable) -> None:
        """Drop the blocks of a task that has ended without leaving them."""
        self.young.pop(task, None)
        self.old.pop(task, None)

    def _unlink(self, block: Block, task: Hashable) -> None:
        for inner in self.of(task):
            if inner.parent is block:
                inner.parent = block.parent
                return
