"""Mutations of what is around a block: shields, tasks and loops (T14 to T24)."""

from __future__ import annotations

from mutation_type import ANYIO, BACKEND, CHOICE, STRIKES, TRIO, Mutation

SURROUNDINGS = [
    Mutation(
        "T14: ignore our shields",
        STRIKES,
        "if block.is_shield:  # T14: holds off the blocks around it, not itself",
        "if False:",
    ),
    Mutation(
        "T14: forget the cancellation that a shield held off",
        BACKEND,
        "if not self.pursuits.expired_blocks_reaching(task, even_if_held=True):",
        "if True:",
    ),
    Mutation(
        "T14: let a deadline outside a shield take over what ends the shield",
        BACKEND,
        "        if not block.is_shield:\n            outer",
        "        if True:\n            outer",
    ),
    Mutation(
        "T14: do not enter anyio's shield",
        BACKEND,
        "            if block.is_shield:\n                scope = ",
        "            if False:\n                scope = ",
    ),
    Mutation(
        "T14: ignore a shield's own deadline on trio",
        TRIO,
        "scope.shield = True\n",
        "scope = trio.CancelScope(shield=True)\n",
    ),
    Mutation(
        "T15: let a shield around the block hold it off",
        ANYIO,
        "while scope is not None and scope is not outer:\n        if scope.shield:",
        "while scope is not None:\n        if scope.shield:",
    ),
    Mutation(
        "T17: do not tell child tasks of the block",
        BACKEND,
        "_inherited.set(block)",
        "pass",
    ),
    Mutation(
        "T17: forget the block that the task was started in",
        BACKEND,
        "block = self.open_blocks.innermost(task) or self._inherited_by(\n"
        "            task, _inherited.get()\n"
        "        )",
        "block = self.open_blocks.innermost(task)",
    ),
    Mutation(
        "T17: look past shields",
        BACKEND,
        "                if block.is_shield:\n                    break\n",
        "",
    ),
    Mutation(
        "T17: report time left in a cancelled block",
        BACKEND,
        "if block.has_expired:\n                    return -math.inf",
        "",
    ),
    Mutation(
        "T17: ignore the deadlines of anyio",
        BACKEND,
        "else min(nearest, anyio.current_effective_deadline())",
        "else nearest",
    ),
    Mutation(
        "T17: ignore anyio's shields in child tasks",
        BACKEND,
        "if self.pursuits.is_held(block, task):",
        "if block.task is task and self.pursuits.is_held(block, task):",
    ),
    Mutation(
        "T24: take a block of another loop for the one around this one",
        BACKEND,
        "parent = self._inherited_by(task, parent)",
        "pass",
    ),
    Mutation(
        "T24: report the deadlines of another loop",
        BACKEND,
        " or owner.get_loop() is not self._loop:",
        ":",
    ),
    Mutation(
        "T17: inherit the block of a task that has ended",
        BACKEND,
        "owner.done() or ",
        "",
    ),
    Mutation(
        "T24: inherit the blocks of a task that shares the context",
        BACKEND,
        "return context_of is None or context_of(owner) is not context_of(task)",
        "return True",
    ),
    Mutation(
        "T21: of two running loops, take the one that was found first",
        CHOICE,
        "if other is None:",
        "if loop is not None:",
    ),
    Mutation(
        "T21: do not look on the stack for the inner one of two loops",
        CHOICE,
        "if tasks_frame is frame:",
        "if False:",
    ),
    Mutation(
        "T21: take a library that cannot be imported for one that is loaded",
        CHOICE,
        " and modules.get(library) is not None:",
        " and library in modules:",
    ),
]
