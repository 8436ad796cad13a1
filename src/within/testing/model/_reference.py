"""What a program must do, by a simulation that uses no event loop.

Tasks are generators that run the statements and yield where a task would suspend.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from ._native import Native
from ._scopes import (
    RAISED,
    Cancelled,
    Exceeded,
    Failed,
    Node,
    Several,
    Suspended,
    Task,
    Unanswerable,
    describe,
    enter,
    is_cancelled,
    leave,
    takes_back_too_many,
    visible,
)
from ._statements import (
    Ask,
    Block,
    Body,
    Call,
    Cancel,
    CancelGroup,
    CancelScope,
    CancelTask,
    Catch,
    Fail,
    Finally,
    Get,
    Group,
    Put,
    Reschedule,
    Scope,
    Set,
    Sleep,
    Statement,
    Swallow,
    Wait,
    walk,
)

if TYPE_CHECKING:
    from ._scopes import Steps
    from ._source import Writer


class Reference(Native):
    """One run of a program; see :class:`Simulation`."""

    def __init__(self, body: Body, writer: Writer, **how: Any) -> None:
        super().__init__(**how)
        self.writer = writer
        self.known: dict[int, Node] = {}  # by the id of their statement
        self.events: set[int] = set()
        self.queues: dict[int, list[int]] = {}
        self.has_cancel_task = any(isinstance(one, CancelTask) for one in walk(body))
        made: list[Block | Scope] = [*writer.blocks, *writer.scopes]
        for one in made:
            node = Node(type(one), writer.name(one), one.shield, one.delay)
            self.known[id(one)] = node
            # anyio counts the delay from when the scope is made, and not from entry.
            if isinstance(one, Scope) and id(one) in writer.early:
                node.deadline = _after(0.0, node.delay)
                node.delay = None
        if self.trio and writer.shared:
            raise Unanswerable("trio has no tasks that another one can await")
        self.start("main", None, lambda main: self._run(main, body))
        for number, inside in enumerate(writer.shared):
            steps = partial(self._run_shared, body=inside)
            self.start(f"task_{number}", None, steps)
        self.shared = tuple(self.tasks[1:])

    # -- statements ----------------------------------------------------------------

    def _run_shared(self, task: Task, body: Body) -> Steps:
        yield Suspended(checkpoint=True)
        yield from self._run(task, body)

    def _run(self, task: Task, body: Body) -> Steps:
        for statement in body:
            yield from self._step(task, statement)

    def _step(self, task: Task, statement: Statement) -> Steps:
        line = statement.line
        match statement:
            case Sleep(seconds):
                if seconds > 0:
                    yield Suspended(until=self.now + seconds)
                else:
                    yield Suspended(checkpoint=True)
                self.log(task, line)
            case Wait(event):
                if event in self.events:
                    yield Suspended(checkpoint=True)
                else:
                    yield Suspended(event=event)
                self.log(task, line)
            case Set(event):
                self.events.add(event)
                for one in self.tasks:
                    if one.suspended is not None and one.suspended.event == event:
                        one.ready = True
                self.log(task, line)
            case Put(queue):
                self._put(queue, line)
                self.log(task, line)
            case Get(queue):
                yield Suspended(checkpoint=True)
                if queued := self.queues.get(queue):
                    value = queued.pop(0)
                else:
                    self.receivers.append(task)
                    value = yield Suspended(queue=queue)
                self.log(task, line, value)
            case Fail():
                raise Failed
            case Ask():
                self.log(task, line, self._effective_deadline(task))
            case Reschedule(_, delay):
                self._reschedule(task, statement, delay)
            case Cancel() | CancelScope() | CancelGroup() | CancelTask():
                self._cancel_something(task, statement)
            case Call(function):
                raise Unanswerable(f"the reference does not know {function.__name__}()")
            case _:
                yield from self._nested(task, statement)

    def _cancel_something(self, task: Task, statement: Statement) -> None:
        line = statement.line
        match statement:
            case Cancel() | CancelScope():
                if (target := self.writer.target(statement)) is not None:
                    if self.known[id(target)].state != "left":
                        self.cancel(self.known[id(target)])
                    self.log(task, line)
            case CancelTask():
                self.log(task, line)
                self.cancel_main()
            case CancelGroup(outwards):
                groups = self._groups(task)
                if groups:
                    self.cancel(groups[outwards % len(groups)])
                    self.log(task, line)
            case _:
                raise TypeError(f"{statement!r} does not cancel anything")

    def _nested(self, task: Task, statement: Statement) -> Steps:
        line = statement.line
        match statement:
            case Block() | Scope():
                yield from self._block(task, statement)
            case Group():
                yield from self._group(task, statement)
            case Finally(body, cleanup):
                end: BaseException | None = None
                try:
                    yield from self._run(task, body)
                except RAISED as exc:
                    end = exc
                if end is None:
                    yield from self._run(task, cleanup)
                    return
                task.cleaning_up.append(end)
                try:
                    yield from self._run(task, cleanup)
                finally:
                    task.cleaning_up.remove(end)
                raise end
            case Swallow(body):
                try:
                    yield from self._run(task, body)
                except Cancelled:
                    self.log(task, line, "swallowed")
            case Catch(body):
                try:
                    yield from self._run(task, body)
                except Exceeded as exc:
                    self.log(task, line, "caught", exc.args[0])
            case _:
                yield from self.step_native(task, statement)

    def _put(self, queue: int, item: int) -> None:
        for task in self.receivers:
            waiting = task.suspended
            # anyio skips a receiver that is about to be cancelled by a scope of anyio.
            if (
                waiting is None
                or waiting.queue != queue
                or is_cancelled(self.trio, task.node)
            ):
                continue
            self.receivers.remove(task)
            task.ready, task.value = True, item
            return
        self.queues.setdefault(queue, []).append(item)

    def _reschedule(
        self, task: Task, statement: Reschedule, delay: float | None
    ) -> None:
        target = self.writer.target(statement)
        if target is None:
            return
        node = self.known[id(target)]
        if node.state == "left" or node.cancelled:
            return
        node.delay = None
        node.deadline = _after(self.now, delay)
        if node.state == "open" and node.deadline <= self.now:
            self.cancel(node)
        self.log(task, statement.line)

    def _groups(self, task: Task) -> list[Node]:
        """The open groups around a task, from the innermost outwards."""
        found: list[Node] = []
        node = task.node
        while node is not None:
            if node.kind is Group:
                found.append(node)
            node = node.parent
        return found

    def _effective_deadline(self, task: Task) -> float:
        nearest = math.inf
        for node in visible(task.node):
            nearest = min(nearest, -math.inf if node.cancelled else node.deadline)
        return nearest

    def _block(self, task: Task, statement: Block | Scope) -> Steps:
        node = self.known[id(statement)]
        enter(task, node, self.now)
        self.nodes.append(node)
        end: BaseException | None = None
        try:
            yield from self._run(task, statement.body)
        except RAISED as exc:
            end = exc
        self.nodes.remove(node)
        caught = self._leave(task, node, end)
        if caught:
            end = None
            if isinstance(statement, Block) and not statement.quiet:
                end = Exceeded(node.name)
        # For a scope of anyio, trio reports "caught" even for a part of a group.
        ours = [caught] if isinstance(statement, Block) else []
        self.log(task, statement.line, describe(end), node.cancelled, *ours)
        if end is not None:
            raise end

    def _leave(self, task: Task, node: Node, end: BaseException | None) -> bool:
        takes_too_many = not self.trio and takes_back_too_many(node)
        if takes_too_many and self.has_cancel_task and task.requests:
            raise Unanswerable("anyio takes back a cancel() of other code")
        return leave(task, node, end, trio=self.trio, level=self.level)

    def _group(self, task: Task, statement: Group) -> Steps:
        node = Node(Group, self.writer.name(statement))
        enter(task, node, self.now)
        self.nodes.append(node)
        names = self.writer.tasks[id(statement)]
        for name, child in zip(names, statement.children, strict=True):
            node.alive += 1
            self.start(name, node, partial(self._run, body=child))
        end: BaseException | None = None
        try:
            yield from self._run(task, statement.body)
        except RAISED as exc:
            end = exc
            self.cancel(node)
            if isinstance(exc, Exception):
                node.errors.append(exc)
        if node.alive:
            # On trio this wait cannot be cancelled; the children are cancelled instead.
            waiting = Suspended(group=node, held=self.trio)
            while node.alive:
                try:
                    yield waiting
                except Cancelled as exc:
                    waiting.held = True
                    self.cancel(node)
                    if end is None or (isinstance(end, Cancelled) and not exc.foreign):
                        end = exc
        else:
            try:
                yield Suspended(checkpoint=True, held=True)
            except Cancelled as exc:
                end = exc
                node.errors.clear()
        end = Several(*node.errors) if node.errors else end or node.passed_on
        self.nodes.remove(node)
        caught = self._leave(task, node, end)
        self.log(task, statement.line, "" if caught else describe(end))
        if end is not None and not caught:
            raise end


def _after(now: float, delay: float | None) -> float:
    return math.inf if delay is None else now + delay
