"""The reference's event loop: which task runs, which is cancelled, and when.

Events at one instant of virtual time happen in an order that is up to the loop. The
simulation asks a function, `choose`, so that every order can be tried. Everything else
is decided here, by the rules.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ._awaits import (
    brings_nothing,
    is_arriving,
    is_cancelled_through,
    is_circle,
    is_complete,
    reached,
    reached_in_between,
)
from ._scopes import (
    RAISED,
    Cancelled,
    Node,
    Task,
    Unanswerable,
    describe,
    expired_blocks_reaching,
    is_cancelled,
    note_request,
    tell,
)
from ._statements import Block

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._scopes import Event, Steps, Suspended


class Simulation:
    """One run of some tasks.

    Args:
        trio: Cancellation is level-triggered and reaches the tasks of a group in a
            block at once. Otherwise, as on asyncio, a block cancels its own task, only
            once unless ``level``, and groups pass it on to their tasks.
        choose: Given a number, picks a smaller one.
        accept: Called with the name of a task and the next event of its trace; if it
            returns false, the run is abandoned.
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
        self.ended = 0  # how many tasks have
        self.traces: dict[str, list[Event]] = {}

    # -- the loop ------------------------------------------------------------

    def run(self) -> dict[str, list[Event]] | None:
        """The trace of each task, or ``None`` if an event was not accepted."""
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
            # asyncio tells a group about the end of a task in the next pass.
            actions += [(self._tell, one) for one in self.done]
            if actions:
                chosen = self.choose(len(actions)) if len(actions) > 1 else 0
                action, what = actions[chosen]
                action(what)
            else:
                self._advance()
        return None if self.is_refused else self.traces

    def _may_run(self, task: Task) -> bool:
        # On asyncio, a task that waits for its next turn is cancelled before it.
        waiting = task.suspended
        is_between = waiting is not None and waiting.checkpoint and task.throw is None
        is_next = is_between or brings_nothing(waiting)
        return task.ready and not (is_next and self._strikes(task))

    def _advance(self) -> None:
        """Nothing can run: go to the next instant."""
        waits = [t.suspended.until for t in self.tasks if t.suspended is not None]
        deadlines = [node.deadline for node in self.nodes if not node.cancelled]
        self.now = min([*waits, *deadlines])
        if self.now == math.inf:
            raise Unanswerable("the program hangs forever")
        for node in self.nodes:
            node.cancelled = node.cancelled or node.deadline <= self.now
        self._strike_at_once()
        strikes = {task.name: bool(self._strikes(task)) for task in self.tasks}
        for task in self.tasks:
            waiting = task.suspended
            if waiting is not None and waiting.until <= self.now:
                reaches = (
                    any(strikes.values()) if task.is_shared else strikes[task.name]
                )
                waiting.is_tie = not self.trio and reaches
                task.ready = True

    def _resume(self, task: Task) -> None:
        """One turn of a task, up to where it suspends again."""
        task.started = True
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
            task.ready = task.suspended.checkpoint or is_complete(task.suspended)
            if task.must_cancel:
                again, task.again, task.must_cancel = task.again, None, False
                self.pass_on(task, again)
            return
        self.tasks.remove(task)
        self.ended += 1
        task.number, task.end = self.ended, end
        if task.must_cancel and end is None:  # it was cancelled while it ran
            cancelled = task.end = task.again or self.cancelled(task)
            cancelled.is_known_to_all = cancelled.passed_on
        self.log(task, "end", describe(end))
        for other in self.tasks:
            if other.suspended is not None and is_complete(other.suspended):
                other.ready = True
        if task.node is not None and self.trio:
            self.child_is_done(task.node, end)
        elif task.node is not None:
            self.done.append((task.node, end))

    def start(
        self, name: str, node: Node | None, steps: Callable[[Task], Steps]
    ) -> None:
        task = Task(name, node, group=node)
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
        """Cancel a scope: suspended tasks at once, others when they suspend."""
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
            if task.ready and not (waiting.checkpoint or brings_nothing(waiting)):
                continue  # T4
            if is_arriving(waiting, self.tasks):
                continue
            if node.kind is Block and node.task is task and self._undelivered(task):
                self._strike_for_blocks(task)
            elif node.kind is not Block and is_cancelled(self.trio, task.node):
                self._throw(task, foreign=True)

    def _strike_at_once(self) -> None:
        """On trio, cancel each task that is suspended in a cancelled scope."""
        if not self.trio:
            return
        for task in self.tasks:
            waiting = task.suspended
            if waiting is None or waiting.held or task.throw is not None:
                continue
            # An event that has been set wins; the end of a sleep does not.
            over = task.ready and not waiting.checkpoint and waiting.until == math.inf
            if not over and is_cancelled(self.trio, task.node):
                self._throw(task)

    def _strikes(self, task: Task) -> list[Callable[[Task], None]]:
        """On asyncio, the cancellations that may reach a suspended task next."""
        waiting = task.suspended
        if waiting is None or waiting.held:
            return []
        if task.throw is not None:
            # A foreign cancellation and ours in one pass arrive as one.
            undelivered = self._undelivered(task, once=True)
            return [self._strike_for_blocks] if undelivered else []
        if task.ready and not (
            waiting.checkpoint or waiting.is_tie or brings_nothing(waiting)
        ):
            return []  # T4: its wait is over
        if is_arriving(waiting, self.tasks):
            return []
        found: list[Callable[[Task], None]] = []
        if self._undelivered(task):
            found.append(self._strike_for_blocks)
        if is_cancelled(self.trio, task.node):
            found.append(lambda task: self._throw(task, foreign=True))
        return found

    def _undelivered(self, task: Task, *, once: bool = False) -> list[Node]:
        expired = expired_blocks_reaching(task, task.node)
        if self.level and not once:
            return expired
        return [one for one in expired if not one.struck]

    def _strike_for_blocks(self, task: Task) -> None:
        undelivered = self._undelivered(task)
        outermost = next(
            (o for o in reversed(undelivered) if not o.struck), undelivered[-1]
        )
        waiting = task.suspended
        assert waiting is not None
        pending = task.throw is not None or is_cancelled_through(waiting)
        sent = self.cancelled(task, ours=True)
        tell(
            task,
            undelivered,
            task.requests - pending,
            sent,
            met_foreign=pending or sent.interrupts,
        )
        if not outermost.counted:
            outermost.counted = True
            task.requests += 1
        node = task.node
        while node is not None:
            node.told = node.told or node.task is task
            node = node.parent
        self.pass_on(task, sent)

    def _throw(self, task: Task, *, foreign: bool = False) -> None:
        if task in self.receivers:
            self.receivers.remove(task)
        task.ready = True
        if foreign and not self.trio:
            note_request(task)
        task.throw = self.cancelled(task, foreign=foreign)

    def cancelled(self, task: Task, **why: bool) -> Cancelled:
        interrupts = any(
            isinstance(one, Cancelled) and (one.interrupts or not one.ours)
            for one in task.cleaning_up
        )
        kind = {"foreign": False, "ours": False, **why}
        return Cancelled(interrupts=interrupts, **kind)

    def cancel_main(self) -> None:
        """On asyncio, `Task.cancel()`, which loses results and ignores shields."""
        if self.trio:
            raise Unanswerable("trio has no Task.cancel()")
        main = next((task for task in self.tasks if task.name == "main"), None)
        if main is not None:
            main.requests += 1
            if (
                main.suspended is None
            ):  # it is running, and is cancelled at its next suspension
                main.must_cancel = True
            elif main.throw is not None and main.throw.foreign:
                raise Unanswerable("a scope of anyio cancelled it in the same pass")
            else:
                for node in self.nodes:
                    if main.throw is not None and node.told_by is main.throw:
                        node.met_foreign = True
                self._throw(main)

    # -- tasks that wait for others, on asyncio ----------------------------------

    def pass_on(
        self, task: Task, sent: Cancelled | None, *, passed_on: bool = False
    ) -> None:
        """Cancel a task, or all that it waits for, as ``Task.cancel()`` does.

        Args:
            task: The task.
            sent: What we send it for a block of its own; ``None`` for other code.
            passed_on: It is for a block of ours of a task that awaits this one.
        """
        waiting = task.suspended
        thrown = sent or self.cancelled(task, passed_on=passed_on)
        if not task.started:
            self.is_refused = True  # on asyncio it has started by now
        elif waiting is None:
            task.must_cancel, task.again = True, thrown
        elif is_circle(task):
            if not thrown.ours:
                raise Unanswerable("Task.cancel() recurses forever")
            task.throw, task.ready = thrown, True
        elif further := self._reached(waiting, sent):
            waiting.requested = True
            waiting.cancelled = thrown
            for other in further:
                other.requests += 1
                by_us = thrown.ours or thrown.passed_on
                self.pass_on(other, None, passed_on=by_us)
        elif sent is not None or task.throw is None:
            if task in self.receivers:
                self.receivers.remove(task)
            thrown.passed_on |= task.throw is not None and task.throw.passed_on
            task.throw, task.ready = thrown, True
        else:
            task.throw.passed_on |= passed_on

    def _reached(self, waiting: Suspended, sent: Cancelled | None) -> list[Task]:
        if sent is None and (between := reached_in_between(waiting)):
            return between if self.choose(2) else []
        return reached(waiting)

    # -- blocks, scopes, groups --------------------------------------------------

    def _tell(self, done: tuple[Node, BaseException | None]) -> None:
        self.done.remove(done)
        self.child_is_done(*done)

    def child_is_done(self, group: Node, end: BaseException | None) -> None:
        group.alive -= 1
        if end is not None:
            if isinstance(end, Exception):
                group.errors.append(end)
            elif self.trio and isinstance(end, Cancelled):
                group.passed_on = end  # trio adds it to the errors of the children
            if not is_cancelled(self.trio, group):
                self.cancel(group)
        for task in self.tasks:
            waiting = task.suspended
            if group.alive == 0 and waiting is not None and waiting.group is group:
                task.ready = True
