"""A program: running it, and the traces that the rules allow."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel

from ..._clock import current_time
from ..._timeouts import DeadlineExceeded, Timeout
from ._reference import Reference
from ._scopes import Event
from ._source import Writer, recording
from ._statements import Await, Call, CancelTask, TaskGroup, fresh, walk

# By the name of a task, what it did.
Trace = dict[str, list[Event]]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
    from types import CodeType

    from ._statements import Body, Statement

# What may end a task with a cancellation that comes from no scope.
_NATIVE = (Await, CancelTask, TaskGroup)

# How many orders of simultaneous events are tried before giving up.
_ORDERS = 20_000


class Undecided(Exception):
    """The program may run in too many different orders to try them all."""


class Program:
    """A coroutine function made of statements; its ``repr`` is its source code.

    Args:
        body: The statements.
        level: Make its blocks level-triggered, as all blocks are on trio.
        shared: The bodies of tasks that are started first, and that all others may
            await (asyncio only); see :class:`Await`.

    Raises:
        TypeError: If a statement or a number is of another type.
        ValueError: If a number is not finite, a sleep is negative, or a function to
            call has no usable name.
    """

    def __init__(
        self,
        body: Sequence[Statement],
        *,
        level: bool = False,
        shared: Sequence[Sequence[Statement]] = (),
    ) -> None:
        self.body: Body = fresh(body)
        self.shared: tuple[Body, ...] = tuple(map(fresh, shared))
        self.level = level
        self._writer = Writer(self.body, self.shared, level)

    @property
    def source(self) -> str:
        """The code, as a module with an ``async def main()``."""
        return "\n".join(self._writer.lines) + "\n"

    def statements(self) -> Iterator[Statement]:
        """All statements, in the order of the source code."""
        return chain.from_iterable(map(walk, (*self.shared, self.body)))

    def __repr__(self) -> str:
        return "\n" + self.source

    # -- running it ----------------------------------------------------------

    async def run(self) -> Trace:
        """Run it on the current loop, which should be in virtual time.

        Returns:
            For each task a list of events. An event is a tuple: the number of a line,
            the time at which the line was done, in seconds since the start, and the
            result, if there is one. The result is the item received, or the deadline
            found. For a block, it is the exception that left it, whether the block was
            cancelled and, for a block of ours, whether the cancellation ended it. The
            last event is the end of the task.

        Raises:
            BaseException: What a function of yours raises, or a cancellation that comes
                from outside the program. The program's own errors are in the trace.
        """
        recorder = _Recorder()
        calls: list[Callable[[], Awaitable[object]]] = []
        shared: list[Any] = []
        native = any(isinstance(s, _NATIVE) for s in self.statements())
        names: dict[str, Any] = {
            "_at": recorder.at,
            "_left": recorder.left,
            "_shared": shared,
            "_task": recorder.task,
            "print": _Printed.of,  # `_at` records the values
        }
        for statement in self.statements():
            if isinstance(statement, Call):
                function = statement.function
                if names.setdefault(function.__name__, function) is not function:
                    raise ValueError(f"two functions have the name {function.__name__}")
                calls.append(function)
        for function in calls:
            names[function.__name__] = recorder.watched(function)
        exec(self._code, names)
        main: Any = names["main"]
        # A `Task.cancel()` late in the program takes effect in the checkpoint.
        for step in (main, anyio.lowlevel.checkpoint):
            try:
                await step()
            except BaseException as exc:
                if recorder.error is not None:
                    raise recorder.error from None
                if not _is_of_program(exc, native):
                    raise
        for task in shared:
            await names["asyncio"].wait([task])
            _ = task.cancelled() or task.exception()  # or asyncio complains of it
        return recorder.traces

    @functools.cached_property
    def _code(self) -> CodeType:
        return compile(recording(self.source), "<program>", "exec")

    # -- the traces that are right -----------------------------------------------

    def outcomes(self, backend: str) -> Iterator[Trace]:
        """Each trace that the rules allow, once.

        There are several only where events in different tasks happen at the same
        instant, or where a wait ends at the very instant of a deadline. Which of them
        comes first is then up to the loop.

        Args:
            backend: ``"asyncio"`` or ``"trio"``.

        Raises:
            ValueError: For any other backend.
            Unanswerable: If the reference cannot tell, for example because the program
                hangs forever or calls functions of yours.
            Undecided: If there are too many orders to try.
        """
        found: list[Trace] = []
        for trace in self._orders(backend, None):
            if trace not in found:
                found.append(trace)
                yield trace

    def allows(self, trace: Trace, backend: str) -> bool:
        """Whether ``trace`` is one of the :meth:`outcomes`, but found more cheaply.

        Arguments and errors are those of :meth:`outcomes`.
        """
        return any(found == trace for found in self._orders(backend, trace))

    def _orders(self, backend: str, wanted: Trace | None) -> Iterator[Trace]:
        if backend not in ("asyncio", "trio"):
            raise ValueError(f"backend is {backend!r}: give asyncio or trio")
        choices: list[tuple[int, int]] = []  # pairs: chosen, out of how many
        for _ in range(_ORDERS):
            order = _Order(choices, wanted)
            traces = Reference(
                self.body,
                self._writer,
                trio=backend == "trio",
                level=self.level,
                choose=order.choose,
                accept=order.accept,
            ).run()
            if traces is not None:
                yield traces
            choices = order.taken
            while choices and choices[-1][0] + 1 == choices[-1][1]:
                choices.pop()
            if not choices:
                return
            chosen, many = choices.pop()
            choices.append((chosen + 1, many))
        raise Undecided(f"gave up after {_ORDERS:,} orders of simultaneous events")


class _Order:
    """One order of simultaneous events, and whether it still matches the trace."""

    def __init__(self, choices: list[tuple[int, int]], wanted: Trace | None) -> None:
        self._ahead = choices
        self.taken: list[tuple[int, int]] = []
        self._wanted = wanted
        self._count: dict[str, int] = {}

    def choose(self, many: int) -> int:
        made = len(self.taken)
        chosen = self._ahead[made][0] if made < len(self._ahead) else 0
        self.taken.append((chosen, many))
        return chosen

    def accept(self, task: str, event: Event) -> bool:
        if self._wanted is None:
            return True
        count = self._count[task] = self._count.get(task, 0) + 1
        trace = self._wanted.get(task, [])
        return len(trace) >= count and trace[count - 1] == event


class _Printed(tuple[Any, ...]):
    """The values that the program has printed."""

    @classmethod
    def of(cls, *values: Any) -> _Printed:
        return cls(values)


_task: ContextVar[str] = ContextVar("the task of a program")


class _Recorder:
    def __init__(self) -> None:
        self._began = current_time()
        self.traces: Trace = {}
        self.error: BaseException | None = None  # raised by a function of the user

    def watched(self, function: Callable[[], Awaitable[object]]) -> Any:
        async def call() -> None:
            try:
                await function()
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as exc:
                self.error = self.error or exc
                raise

        return call

    def _log(self, *what: Any) -> None:
        event = (what[0], current_time() - self._began, *what[1:])
        self.traces[_task.get()].append(event)

    def at(self, line: int, value: Any = None) -> None:
        if type(value) is _Printed:
            began = self._began
            self._log(line, *(v - began if type(v) is float else v for v in value))
        elif isinstance(value, int) and not isinstance(value, bool):
            self._log(line, value)
        else:
            self._log(line)

    @contextmanager
    def task(self, name: str) -> Generator[None]:
        token = _task.set(name)
        self.traces[name] = []
        end = ""
        try:
            yield
        except BaseException as exc:
            end = _describe(exc)
            raise
        finally:
            self._log("end", end)
            _task.reset(token)

    @contextmanager
    def left(self, line: int, scope: Callable[[], Any]) -> Generator[None]:
        end = ""
        try:
            yield
        except BaseException as exc:
            end = _describe(exc)
            raise
        finally:
            block = scope()
            if isinstance(block, Timeout):
                self._log(line, end, block.expired, block.cancelled_caught)
            elif isinstance(block, anyio.CancelScope):
                self._log(line, end, block.cancel_called)
            else:
                self._log(line, end)


def _describe(exc: BaseException) -> str:
    """Describe it as the reference does; of a group, all but the cancellations."""
    if isinstance(exc, anyio.get_cancelled_exc_class()):
        return "Cancelled"
    if isinstance(exc, DeadlineExceeded):
        return f"DeadlineExceeded({exc.scope.name})"
    if isinstance(exc, BaseExceptionGroup):
        # On trio a group holds cancellations until their scope has caught them.
        inside = [_describe(member) for member in _members(exc)]
        rest = sorted(text for text in inside if text != "Cancelled")
        return f"group({', '.join(rest)})" if rest else "Cancelled"
    return type(exc).__name__


def _members(group: Any) -> Sequence[BaseException]:
    return cast("Sequence[BaseException]", group.exceptions)


def _is_of_program(exc: BaseException, native: bool) -> bool:
    """Whether the program raises it by itself."""
    if isinstance(exc, BaseExceptionGroup):
        return all(_is_of_program(member, native) for member in _members(exc))
    if isinstance(exc, anyio.get_cancelled_exc_class()):
        return native  # otherwise something outside cancels the program
    return isinstance(exc, DeadlineExceeded | ValueError)
