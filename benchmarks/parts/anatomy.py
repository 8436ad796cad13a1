"""The steps that a block on asyncio has to take, and the cost of each.

The rules of the contract ask for these steps; each is written in the fastest way that
Python has. "All of them in one function" does them and nothing else: it chooses no
backend, checks no argument and detects no misuse, so it is not a usable block. It is a
lower bound for the cost of any implementation of the contract.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import ContextVar
from time import thread_time
from typing import Any
from weakref import WeakKeyDictionary, ref

import within

from .measuring import OURS, Contender, Figure, Turn
from .one_timeout import BLOCKS, LIMIT, Way, block

# The code of each part; `_names()` gives the values of the names in it.
PARTS = {
    "T1: loop.time()": "loop.time()",
    "T6: task.cancelling()": "task.cancelling()",
    "T13: current_task(), twice": "current_task(); current_task()",
    "T13, T14: a place by task": "open_[task] = thing; open_.get(task); del open_[task]",
    "T15: anyio's scope of the task": "scope_of(ref(task))",
    "T17: ContextVar.get() and .set()": "inherited.get(); inherited.set(Thing())",
    "T20: the loop, and its backend": "running_loop().backend",
    "T21: does trio run?": "mark.name",
    "an object with seven attributes": "Block(10)",
    "a call of a function in Python": "call(10)",
    "with, on a class in Python": "with nothing: pass",
}


class Block:
    """An object with as many attributes as a block of ours has."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.when = 0.0
        self.state = 0
        self.backend = self.task = self.parent = self.entry = None


class Thing:
    """A value for the context variable: a new one each time, as with blocks."""


class Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        pass


def call(_: float) -> None:
    pass


def figures(loop: str, *, quick: bool) -> list[Figure]:
    if loop == "trio":
        return []
    ours = Contender(OURS, block(loop, Way(OURS, within.timeout, "with")))
    one = Contender("all of them in one function", _in_one_function)
    parts = [Contender(name, _part(code)) for name, code in PARTS.items()]
    title = "what a block is made of"
    return [Figure(loop, title, [ours, one, *parts], 5 if quick else 300)]


def _names() -> dict[str, Any]:
    """The objects that the parts work on, as the backend finds them."""
    loop: Any = asyncio.get_running_loop()
    task = asyncio.current_task()
    loop.backend = None
    scopes: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
    assert task is not None
    scopes[task] = None
    mark: Any = sys.modules.get("sniffio")
    return {
        "loop": loop,
        "task": task,
        "current_task": asyncio.current_task,
        "running_loop": asyncio._get_running_loop,
        "open_": {},
        "ref": ref,
        "scope_of": scopes.data.get,  # type: ignore[attr-defined]
        "inherited": ContextVar[Any]("inherited", default=None),
        "thing": Thing(),
        "Thing": Thing,
        "mark": call if mark is None else mark.thread_local,
        "Block": Block,
        "call": call,
        "nothing": Nothing(),
    }


def _compiled(body: str) -> Callable[..., float]:
    names = [
        "loop", "task", "current_task", "running_loop", "open_", "ref", "scope_of",
        "inherited", "thing", "Thing", "mark", "Block", "call", "nothing",
    ]  # fmt: skip
    source = f"def repeat({', '.join(names)}):\n for _ in range({BLOCKS}):\n  {body}\n"
    space: dict[str, Any] = {}
    exec(source, space)  # noqa: S102
    repeat: Callable[..., float] = space["repeat"]
    return repeat


def _part(code: str) -> Turn:
    bare, busy = _compiled("pass"), _compiled(code)

    async def turn() -> float:
        names = _names()
        began = thread_time()
        busy(**names)
        between = thread_time()
        bare(**names)
        return (between - began - (thread_time() - between)) / BLOCKS

    return turn


async def _in_one_function() -> float:
    names = _names()
    running_loop, current_task = names["running_loop"], names["current_task"]
    open_, inherited, mark = names["open_"], names["inherited"], names["mark"]
    scope_of = names["scope_of"]

    class Whole(Block):
        def __enter__(self) -> None:
            if getattr(mark, "name", None) == "trio":
                raise AssertionError
            loop = running_loop()
            self.backend = loop.backend
            self.task = task = current_task()
            self.when = loop.time() + self.delay
            if task.cancelling():
                raise AssertionError
            self.parent = inherited.get() if open_.get(task) is None else open_[task]
            open_[task] = self
            inherited.set(self)
            if scope_of(ref(task)) is not None:
                raise AssertionError
            self.state = 1

        def __exit__(self, kind: object, error: object, traceback: object) -> None:
            task = self.task
            if open_.get(task) is not self or current_task() is not task:
                raise AssertionError
            del open_[task]
            self.parent = self.task = self.backend = None
            self.state = 2

    began = thread_time()
    for _ in range(BLOCKS):
        with Whole(LIMIT):
            pass
    return (thread_time() - began) / BLOCKS
