"""The reference's event loop: who runs, who is cancelled, and when.

What happens at one instant of virtual time happens in some order, and which one
is a matter of the loop: the simulation asks a function, `choose`, so that every
order can be tried. All else is decided here, by the rules.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ._scopes import (
    RAISED,
    Cancelled,
    Node,
    Task,
    Unanswerable,
    describe,
    is_cancelled,
    owed,
)
from ._statements import Block

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._scopes import Event, Steps


class Simulation:
    """One run of some tasks.

    Args:
        trio: Cancellation is level-triggered, and reaches the tasks of a group
            in a block at once. Else asyncio: a block cancels its own task, once
            unless ``level``, and groups pass it on to their tasks.
        choose: Given a number, picks one below it.
        accept: Called with each task's name and what is to be added to its trace;
            when it answers false the run is given up.
    """

    def __init__(
        self,
        *,
        trio: bool,
        level: bool,
        choose: Callable[[int], int],
        accept: Callable[[str, Event], bool],
    ) -> None:
        self.trio, self.level = trio, level
        self.choose, self.accept = choose, accept
        self.is_refused = False
        self.now = 0.0
        self.tasks: list[Task] = []
        self.nodes: list[Node] = []  # the open ones
        self.done: list[tuple[Node, BaseException | None]] = []  # tasks of groups
        self.receivers: list[Task] = []  # in the order in which they came
        self.traces: dict[str, list[Event]] = {}

    # -- the loop ------------------------------------------------------------

    def run(self) -> dict[str, list[Event]] | None:
        """The traces by task, or ``None`` where one was not accepted."""
        while self.tasks:
            if self.is_refused:
                return None
            self._strike_at_once()
            actions: list[tuple[Callable[[Any], None], Any]] = [
                (self._resume, task) for task in self.tasks if self._may_run(task)
            ]
            if not self.trio:
                actions += [
                    (strike, task)
                    for task in self.tasks
                    for strike in self._strikes(task)
                ]
            # asyncio tells a group of the end of a task in the next pass.
            actions += [(self._tell, one) for one in self.done]
            if actions:
                chosen = self.choose(len(actions)) if len(actions) > 1 else 0
                action, what = actions[chosen]
                action(what)
            else:
                self._advance()
        return None if self.is_refused else self.traces

    def _may_run(self, task: Task) -> bool:
        # asyncio: between its turns a task is cancelled before the next.
        waiting = task.suspended
        is_between = waiting is not None and waiting.checkpoint and task.throw is None
        return task.ready and not (is_between and self._strikes(task))

    def _advance(self) -> None:
        """Nothing can run: go to the next instant."""
        waits = [t.suspended.until for t in self.tasks if t.suspended is not None]
        deadlines = [node.deadline for node in self.nodes if not node.cancelled]
        self.now = min([*waits, *deadlines])
        if self.now == math.inf:
            raise Unanswerable("it hangs for ever")
        for node in self.nodes:
            node.cancelled = node.cancelled or node.deadline <= self.now
        self._strike_at_once()
        for task in self.tasks:
            waiting = task.suspended
            if waiting is not None and waiting.until <= self.now:
                waiting.is_tie = not self.trio and bool(self._strikes(task))
                task.ready = True

    def _resume(self, task: Task) -> None:
        """One turn of a task, up to where it suspends again."""
        throw, value = task.throw, task.value
        task.throw = task.value = task.suspended = None
        task.ready = False
        end: BaseException | None = None
        try:
            if throw is not None:
                task.suspended = task.steps.throw(throw)
            else:
                task.suspended = task.steps.send(value)
        except StopIteration:
            pass
        except RAISED as exc:
            end = exc
        else:
            task.ready = task.suspended.checkpoint
            if task.must_cancel:
                task.must_cancel = False
                self._throw(task, foreign=False)
            return
        self.tasks.remove(task)
        self.log(task, "end", describe(end))
        if task.node is not None and self.trio:
            self._child_is_done(task.node, end)
        elif task.node is not None:
            self.done.append((task.node, end))

    def start(
        self, name: str, node: Node | None, steps: Callable[[Task], Steps]
    ) -> None:
        task = Task(name, node)
        task.steps = steps(task)
        self.tasks.append(task)
        self.traces[name] = task.trace

    def log(self, task: Task, *what: Any) -> None:
        event = (what[0], self.now, *what[1:])
        task.trace.append(event)
        if not self.accept(task.name, event):
            self.is_refused = True

    # -- cancelling ------------------------------------------------------------

    def cancel(self, node: Node) -> None:
        """Whoever is suspended in it hears of it at once; others when they are."""
        if node.cancelled:
            return
        node.cancelled = True
        self._strike_at_once()
        if self.trio:
            return
        for task in self.tasks:
            waiting = task.suspended
            if waiting is None or waiting.held or task.throw is not None:
                continue
            if task.ready and not waiting.checkpoint:
                continue  # T4
            if node.kind is Block and node.task is task and self._unheard(task):
                self._strike_for_blocks(task)
            elif node.kind is not Block and is_cancelled(self.trio, task.node):
                self._throw(task, foreign=True)

    def _strike_at_once(self) -> None:
        """trio: whoever is suspended in what is cancelled is cancelled by now."""
        if not self.trio:
            return
        for task in self.tasks:
            waiting = task.suspended
            if waiting is None or waiting.held or task.throw is not None:
                continue
            # An event that was set is received; the end of a sleep is not.
            over = task.ready and not waiting.checkpoint and waiting.until == math.inf
            if not over and is_cancelled(self.trio, task.node):
                self._throw(task, foreign=False)

    def _strikes(self, task: Task) -> list[Callable[[Task], None]]:
        """asyncio: the cancellations that may reach a suspended task next."""
        waiting = task.suspended
        if waiting is None or waiting.held:
            return []
        if task.throw is not None:
            # Somebody else's and ours in one pass are heard as one.
            unheard = self._unheard(task, once=True)
            return [self._strike_for_blocks] if unheard else []
        if task.ready and not waiting.checkpoint and not waiting.is_tie:
            return []  # T4: what it waited for is there
        found: list[Callable[[Task], None]] = []
        if self._unheard(task):
            found.append(self._strike_for_blocks)
        if is_cancelled(self.trio, task.node):
            found.append(lambda task: self._throw(task, foreign=True))
        return found

    def _unheard(self, task: Task, *, once: bool = False) -> list[Node]:
        expired = owed(task, task.node)
        if self.level and not once:
            return expired
        return [one for one in expired if not one.struck]

    def _strike_for_blocks(self, task: Task) -> None:
        unheard = self._unheard(task)
        outermost = next((o for o in reversed(unheard) if not o.struck), unheard[-1])
        if not outermost.counted:
            outermost.counted = True
            task.requests += 1
        for one in owed(task, task.node):
            one.struck = True
        self._throw(task, foreign=False)

    def _throw(self, task: Task, *, foreign: bool) -> None:
        if task in self.receivers:
            self.receivers.remove(task)
        task.ready = True
        task.throw = Cancelled(foreign=foreign)

    def cancel_main(self) -> None:
        """asyncio: `Task.cancel()`, which loses what has arrived, shield or not."""
        if self.trio:
            raise Unanswerable("trio has no Task.cancel()")
        main = next((task for task in self.tasks if task.name == "main"), None)
        if main is not None:
            main.requests += 1
            if main.suspended is None:  # it runs: at its next suspension
                main.must_cancel = True
            elif main.throw is not None and main.throw.foreign:
                raise Unanswerable("a scope of anyio's cancelled it in the same pass")
            else:
                self._throw(main, foreign=False)

    # -- blocks, scopes, groups --------------------------------------------------

    def _tell(self, done: tuple[Node, BaseException | None]) -> None:
        self.done.remove(done)
        self._child_is_done(*done)

    def _child_is_done(self, group: Node, end: BaseException | None) -> None:
        group.alive -= 1
        if end is not None:
            if isinstance(end, Exception):
                group.errors.append(end)
            elif self.trio and isinstance(
                end, Cancelled
            ):  # which counts it among what its children raised
                group.passed_on = end
            if not is_cancelled(self.trio, group):
                self.cancel(group)
        for task in self.tasks:
            waiting = task.suspended
            if group.alive == 0 and waiting is not None and waiting.group is group:
                task.ready = True
