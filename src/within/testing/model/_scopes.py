"""Tasks and their scopes: which tasks are cancelled, and which scope catches it.

These are the rules T6, T7, T14 and T15 of the reference.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from ._statements import Block, Statement

Event = tuple[Any, ...]
Steps = Generator["Suspended", Any, None]


class Unanswerable(Exception):
    """The reference cannot tell what the program must do.

    For example, the program hangs forever, calls a function of yours, or uses something
    that the backend does not have. The message says why.
    """


class Cancelled(BaseException):
    """A cancellation in flight.

    Args:
        foreign: Sent by a scope of anyio, which recognises its own.
        ours: Sent for a block of ours.
        interrupts: It interrupts the clean-up after a cancellation that is not ours.
        passed_on: It was sent for a block of ours of a task that awaits this one.

    Attributes:
        is_known_to_all: The task ended without having suspended again, and asyncio then
            gives our message to each of its waiters, and not to the first one only.
    """

    is_known_to_all: bool = False

    def __init__(
        self, *, foreign: bool, ours: bool, interrupts: bool, passed_on: bool = False
    ) -> None:
        self.foreign = foreign
        self.ours = ours
        self.interrupts = interrupts
        self.passed_on = passed_on


class Exceeded(Exception):
    def __str__(self) -> str:
        return f"DeadlineExceeded({self.args[0]})"


class Failed(Exception):
    def __str__(self) -> str:
        return "ValueError"


class Several(Exception):
    """The exception group that a task group raises."""

    def __str__(self) -> str:
        return f"group({', '.join(sorted(map(describe, self.args)))})"


RAISED = (Cancelled, Exceeded, Failed, Several)


def describe(exc: BaseException | None) -> str:
    if exc is None:
        return ""
    return "Cancelled" if isinstance(exc, Cancelled) else str(exc)


@dataclass(eq=False)
class Node:
    """A block, a scope or a group that can be cancelled."""

    kind: type[Statement]
    name: str
    shield: bool = False
    delay: float | None = None  # until it is entered
    deadline: float = math.inf
    cancelled: bool = False
    struck: bool = False  # a block of ours: its task has been cancelled for it
    counted: bool = False  # a block of ours: its request is not taken back yet
    interrupted: bool = False  # ours: its task was cancelled for a block around it
    told_by: Cancelled | None = None  # ours: the cancellation that struck it first
    met_foreign: bool = False  # ours: a foreign one came, or was handled, with that one
    requests_before: int = 0  # of its task, when it was struck
    state: str = "created"
    parent: Node | None = None
    task: Task | None = None
    requests: int = 0  # of its task, at entry
    alive: int = 0  # child tasks of a group
    errors: list[Exception] = field(
        default_factory=list[Exception]
    )  # of the child tasks
    passed_on: Cancelled | None = None  # a cancellation of a child task
    # Of anyio on asyncio: it has cancelled the task that is in it; it will take back a
    # request of another task.
    has_cancelled_its_task: bool = False
    takes_back_too_many: bool = False
    # Of a group of asyncio: it has cancelled its tasks, its parent; we told it something.
    aborting: bool = False
    parent_cancelled: bool = False
    told: bool = False


@dataclass(eq=False)
class Suspended:
    """What a task waits for."""

    until: float = math.inf
    event: int | None = None
    queue: int | None = None
    group: Node | None = None
    awaits: tuple[Task, ...] = ()  # shared tasks
    way: str = ""
    since: int = 0  # how many tasks had ended before
    requested: bool = False  # a cancellation was passed on to them
    cancelled: Cancelled | None = None  # that cancellation, as it will come back
    # Waits only for its next turn; a cancellation in between still counts.
    checkpoint: bool = False
    held: bool = False  # cannot be cancelled
    is_tie: bool = False  # ends at the very instant of a deadline: either may win


@dataclass(eq=False)
class Task:
    name: str
    node: Node | None
    steps: Steps = field(init=False)
    trace: list[Event] = field(default_factory=list[Event])
    requests: int = 0  # what `Task.cancelling()` would return
    suspended: Suspended | None = None
    ready: bool = True
    value: Any = None
    throw: Cancelled | None = None
    must_cancel: bool = False  # cancelled at its next suspension
    again: Cancelled | None = None  # then: what a group of asyncio sends once more
    started: bool = False
    group: Node | None = None  # that it is a child of
    number: int = 0  # once it has ended: how many had ended by then
    end: BaseException | None = None
    # The exceptions during whose clean-up the task runs.
    cleaning_up: list[BaseException] = field(default_factory=list[BaseException])

    @property
    def is_shared(self) -> bool:
        return self.group is None and self.name != "main"


def visible(node: Node | None) -> list[Node]:
    """The scopes from the innermost outwards, up to a shield (T14)."""
    found: list[Node] = []
    while node is not None:
        found.append(node)
        if node.shield:
            break
        node = node.parent
    return found


def expired_blocks_reaching(task: Task, node: Node | None) -> list[Node]:
    """On asyncio, the expired blocks of ours that may cancel this task."""
    return [
        one
        for one in visible(node)
        if one.kind is Block and one.task is task and one.cancelled
    ]


def is_cancelled(trio: bool, node: Node | None) -> bool:
    """Whether a foreign scope is cancelled; on trio ours count as well."""
    return any(
        one.cancelled and (trio or one.kind is not Block) for one in visible(node)
    )


def enter(task: Task, node: Node, now: float) -> None:
    if node.delay is not None:
        node.deadline = now + node.delay
    node.state, node.task, node.parent = "open", task, task.node
    # A request that is still to be delivered will be delivered in the block.
    node.requests = task.requests - (node.kind is Block and task.must_cancel)
    node.cancelled = node.cancelled or node.deadline <= now
    task.node = node


def tell(
    task: Task,
    blocks: list[Node],
    requests: int,
    sent: Cancelled | None = None,
    *,
    met_foreign: bool = False,
) -> None:
    """One cancellation is for all of these blocks, the innermost of which is first.

    Args:
        task: The task that is in the blocks.
        blocks: The blocks.
        requests: What ``Task.cancelling()`` would return without the cancellation.
        sent: The cancellation, if it is a new one.
        met_foreign: A foreign one is on its way as well, or is being handled.
    """
    for node in visible(task.node):
        requests -= node.counted
        if node in blocks:
            if not node.struck:
                node.struck = True
                node.told_by, node.met_foreign = sent, met_foreign
            node.requests_before = max(requests, node.requests)
        if node is blocks[-1]:
            break
        node.interrupted = True


def leave(
    task: Task, node: Node, exc: BaseException | None, *, trio: bool, level: bool
) -> bool:
    """Whether the cancellation in flight ends here."""
    node.state, task.node = "left", node.parent
    if node.counted:
        node.counted = False
        task.requests -= 1
    if not isinstance(exc, Cancelled) or not node.cancelled:
        return False
    outside = None if node.shield else node.parent
    around = is_cancelled(trio, outside)
    if trio:
        return not around
    if node.kind is not Block:
        return exc.foreign and not around and task.requests <= node.requests
    if not (node.struck or exc.ours) or _is_foreign(task, node, exc, level=level):
        return False  # T6
    outer = expired_blocks_reaching(task, outside)
    # T7: not for a block that had been told when this one, in its clean-up, was entered.
    if any(not one.struck or level or node.interrupted for one in outer):
        tell(task, outer, task.requests)
        return False
    exc.foreign = exc.foreign or around  # T6: now it belongs to the other scope
    return not around


def note_request(task: Task) -> None:
    """Note which scope of anyio cancels ``task`` on asyncio: the nearest one."""
    for node in visible(task.node):
        if node.cancelled and node.kind is not Block:
            node.has_cancelled_its_task |= node.task is task
            break


def takes_back_too_many(node: Node) -> bool:
    """Whether anyio, at the end of ``node``, takes back requests of another task.

    If a scope around ``node`` is cancelled too, anyio leaves it to that scope to take
    the requests back. anyio 4.16 does so even where another task is in that scope. The
    count of that task is then too low, and a ``Task.cancel()`` of other code is lost.
    """
    if not (node.has_cancelled_its_task or node.takes_back_too_many):
        return False
    if node.cancelled and (node.shield or not is_cancelled(False, node.parent)):
        return node.takes_back_too_many
    around = node.parent
    while around is not None and around.kind is Block:
        around = around.parent
    if around is not None:
        is_of_other_task = around.task is not node.task
        around.takes_back_too_many |= node.takes_back_too_many or is_of_other_task
        around.has_cancelled_its_task |= not is_of_other_task
    return False


def _is_foreign(task: Task, node: Node, exc: Cancelled, *, level: bool) -> bool:
    """T6; T22: a request whose cancellation was swallowed is over.

    One that was swallowed together with the first cancellation of a level-triggered
    block is not: it wins.
    """
    if not node.struck or task.requests > node.requests_before:
        return task.requests > node.requests
    wins = exc.interrupts or (level and node.met_foreign)
    return task.requests > node.requests and wins
