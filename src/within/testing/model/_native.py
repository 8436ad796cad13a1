"""What a program does with asyncio alone: it awaits shared tasks, and opens groups."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from ._awaits import first_failed, is_complete
from ._scopes import (
    RAISED,
    Cancelled,
    Node,
    Several,
    Suspended,
    Unanswerable,
    describe,
    enter,
)
from ._simulation import Simulation
from ._statements import Await, Body, Statement, TaskGroup

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._scopes import Steps, Task
    from ._source import Writer


class Native(Simulation):
    """The statements that only asyncio has."""

    writer: Writer
    shared: tuple[Task, ...] = ()

    def _run(self, task: Task, body: Body) -> Steps:
        raise NotImplementedError

    def step_native(self, task: Task, statement: Statement) -> Steps:
        if self.trio:
            raise Unanswerable(f"trio has no counterpart of {statement!r}")
        match statement:
            case Await():
                yield from self._await(task, statement)
            case TaskGroup():
                yield from self._task_group(task, statement)
            case _:
                raise TypeError(f"{statement!r} is not a statement")

    def _await(self, task: Task, statement: Await) -> Steps:
        numbers = self.writer.awaited(statement, task.name)
        if not numbers:
            return
        awaits = tuple(self.shared[number] for number in numbers)
        waiting = Suspended(awaits=awaits, way=statement.way, since=self.ended)
        # To await a task that has ended does not suspend; nor does gather() of 3.12.
        suspends = ["wait"] if sys.version_info >= (3, 12) else ["wait", "gather"]
        is_over = is_complete(waiting) and statement.way not in suspends
        if not is_over:
            yield waiting
        end = None if statement.way == "wait" else first_failed(waiting)
        is_lost = statement.way == "gather" and waiting.requested
        if isinstance(end, Cancelled) or (end is None and is_lost):
            # shield() of a task that has ended is the task itself.
            is_known = (statement.way != "shield" or is_over) and (
                getattr(end, "is_known_to_all", False)
                or (is_over and getattr(end, "passed_on", False) and self._may())
            )
            raise waiting.cancelled or self.cancelled(task, ours=is_known)
        if end is not None:
            raise end
        self.log(task, statement.line)

    def _may(self) -> bool:
        """Whether nobody has asked a cancelled task yet: asyncio gives our message to
        the first that does. gather() asks only one of the tasks that it cancels.
        """
        return self.choose(2) == 1

    def _task_group(self, task: Task, statement: TaskGroup) -> Steps:
        node = Node(TaskGroup, self.writer.name(statement))
        enter(task, node, self.now)
        names = self.writer.tasks[id(statement)]
        for name, child in zip(names, statement.children, strict=True):
            node.alive += 1
            self.start(name, node, partial(self._run, body=child))
        end: BaseException | None = None
        try:
            yield Suspended(checkpoint=True)
            yield from self._run(task, statement.body)
        except RAISED as exc:
            end = exc
            self.abort(node)
        cancelled, dropped = yield from self._until_all_are_done(task, node, end)
        if node.parent_cancelled:
            task.requests -= 1
            if task.requests == 0:
                cancelled = None
        if isinstance(end, Exception):
            node.errors.append(end)
        left = Several(*node.errors) if node.errors else cancelled
        if node.errors:
            self._send_again(task, node, dropped)
        node.state, task.node = "left", node.parent
        self.log(task, statement.line, describe(left))
        if left is not None:
            raise left

    def _until_all_are_done(
        self, task: Task, node: Node, end: BaseException | None
    ) -> Generator[Suspended, Any, tuple[Cancelled | None, Cancelled | None]]:
        """Wait for the tasks of a group whose body has ended.

        Returns the cancellation that the group raises if nothing failed, and the last
        one that it got.
        """
        ending = [] if end is None else [end]
        task.cleaning_up += ending
        cancelled = end if isinstance(end, Cancelled) else None
        dropped = cancelled
        while node.alive:
            try:
                yield Suspended(group=node)
            except Cancelled as exc:
                dropped = exc
                if not node.aborting:
                    cancelled = exc
                    self.abort(node)
        for one in ending:
            task.cleaning_up.remove(one)
        return cancelled, dropped

    def _send_again(self, task: Task, node: Node, dropped: Cancelled | None) -> None:
        """The errors of a group replace a cancellation, which is sent once more.

        From CPython 3.13 on, the group does so; before that, we do for our own (T22).
        """
        if task.requests > 0 if sys.version_info >= (3, 13) else node.told:
            task.must_cancel = True
            task.again = self.cancelled(
                task,
                ours=dropped is not None and dropped.ours,
                passed_on=dropped is not None and dropped.passed_on,
            )
            if dropped is not None and dropped.interrupts:
                task.again.interrupts = True

    # -- the group -----------------------------------------------------------------

    def abort(self, group: Node) -> None:
        """Cancel the tasks of a group of asyncio."""
        group.aborting = True
        for child in list(self.tasks):
            if child.group is group:
                child.requests += 1
                self.pass_on(child, None)

    def child_is_done(self, group: Node, end: BaseException | None) -> None:
        if group.kind is not TaskGroup:
            super().child_is_done(group, end)
            return
        group.alive -= 1
        parent = group.task
        assert parent is not None
        waiting = parent.suspended
        if group.alive == 0 and waiting is not None and waiting.group is group:
            parent.ready = True
        if isinstance(end, Exception):
            group.errors.append(end)
            if not (group.aborting or group.parent_cancelled):
                self.abort(group)
                group.parent_cancelled = True
                parent.requests += 1
                self.pass_on(parent, None)
