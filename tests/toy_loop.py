"""An event loop of a few dozen lines, which knows nothing of ``within``.

Its tasks can only sleep and be cancelled through scopes. Its clock is virtual: it jumps
to the moment at which the next task has something to do. ``toy_backend.py`` makes the
blocks of ``within`` work on it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any


class Cancelled(BaseException):
    """Raised at each suspension of a task that is in a cancelled scope."""


class Scope:
    """A part of a task that ends at a deadline."""

    def __init__(self, deadline: float, is_shield: bool) -> None:
        self.deadline = deadline
        self.is_shield = is_shield
        self.is_cancelled = False

    def cancel(self) -> None:
        self.deadline = -math.inf
        self.is_cancelled = True


class Task:
    def __init__(self, coroutine: Coroutine[float, None, Any]) -> None:
        self.coroutine = coroutine
        self.scopes: list[Scope] = []  # the open ones, outermost first
        self.wakes_at = -math.inf

    def scopes_in_force(self) -> list[Scope]:
        """The open scopes from the innermost one to the first shield."""
        found: list[Scope] = []
        for scope in reversed(self.scopes):
            found.append(scope)
            if scope.is_shield:
                break
        return found

    def deadline(self) -> float:
        return min(
            (scope.deadline for scope in self.scopes_in_force()), default=math.inf
        )

    def next_step(self) -> float:
        return min(self.wakes_at, self.deadline())


class Loop:
    def __init__(self) -> None:
        self.time = 0.0
        self.tasks: list[Task] = []
        self.current: Task | None = None

    def start(self, main: Coroutine[float, None, Any]) -> Task:
        self.tasks.append(Task(main))
        return self.tasks[-1]

    def run_until_done(self, task: Task) -> None:
        while task in self.tasks:
            following = min(self.tasks, key=Task.next_step)
            self.time = max(self.time, following.next_step())
            self._step(following)

    def _step(self, task: Task) -> None:
        for scope in task.scopes_in_force():
            if scope.deadline <= self.time:
                scope.cancel()
        is_cancelled = task.deadline() == -math.inf
        self.current = task
        try:
            if is_cancelled:
                task.wakes_at = task.coroutine.throw(Cancelled())
            else:
                task.wakes_at = task.coroutine.send(None)
        except StopIteration:
            self.tasks.remove(task)
        finally:
            self.current = None


class _Running(threading.local):
    loop: Loop | None = None


_running = _Running()


def running_loop() -> Loop | None:
    return _running.loop


def run(main: Coroutine[float, None, Any]) -> None:
    """Run ``main`` and the tasks that it starts, until ``main`` is done."""
    around, loop = _running.loop, Loop()
    _running.loop = loop
    try:
        loop.run_until_done(loop.start(main))
    finally:
        _running.loop = around


def start(main: Coroutine[float, None, Any]) -> None:
    """Start another task on the running loop."""
    assert _running.loop is not None
    _running.loop.start(main)


@coroutine
def sleep(seconds: float) -> Generator[float, None, None]:
    assert _running.loop is not None
    yield _running.loop.time + seconds
