"""Virtual time: what is the same on each loop.

How a loop is made to keep it is a matter of `_backends/_asyncio_virtual.py` and
`_backends/_trio_virtual.py`.
"""

from __future__ import annotations

import gc
import math
import signal
import sys
import threading
from concurrent.futures import thread as pools
from contextlib import contextmanager
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, cast

from .._backends import current
from .._clock import as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from types import FrameType

    from .._clock import Seconds


# What swallows its cancellation, or hangs in its clean-up, is cancelled once more.
_ATTEMPTS = 10

# After so many seconds, real ones, a loop looks again at what it cannot be told of:
# a thread may end, or become idle, without a word.
GLANCE = 0.01


class Deadlock(RuntimeError):
    """In virtual time: every task waits, and nothing is left that could wake one.

    The message lists the tasks, each with the line of code at which it waits.
    """


class VirtualClock:
    """The clock of a loop in virtual time, from :func:`virtual_clock`.

    It stands still while anything runs, and goes straight to the next deadline
    once every task is blocked.
    """

    def __init__(self, start: float) -> None:
        self._now = as_seconds(start, "start")
        if math.isinf(self._now):
            raise ValueError(f"start is {start!r}: a clock shows a finite number")
        self._end: Callable[[], object] | None = None  # ends what is guarded
        self._was_guarded = False
        self._deadlock: Deadlock | None = None
        self._attempts = 0  # at ending it
        self._threads = set(threading.enumerate())
        self._handlers = _signal_handlers()

    @property
    def now(self) -> float:
        """Seconds; the same as :func:`within.current_time` on this loop."""
        return self._now

    def advance(self, seconds: Seconds) -> None:
        """Let time pass while nothing else can run, as slow synchronous code would.

        What falls due in between is all due at once, at the next suspension. For
        time in which the other tasks get their turns, sleep.

        Args:
            seconds: How far; a ``timedelta`` is taken too.

        Raises:
            ValueError: For a negative or an infinite number, or one that leads there.
            RuntimeError: Outside of the loop whose clock this is.

        >>> import anyio, within
        >>> from within.testing import run, virtual_clock
        >>> async def main():
        ...     with within.move_on_after(5) as limit:
        ...         virtual_clock().advance(8)  # late, but done is done
        ...     return limit.expired, virtual_clock().now
        >>> run(main, backend="trio", virtual_time=True)
        (False, 8.0)
        """
        delta = as_seconds(seconds, "seconds")
        if delta < 0 or not self._now + delta < math.inf:
            raise ValueError(
                f"seconds is {seconds!r}: time goes on by a finite number, not back"
            )
        if _find() is not self:
            raise RuntimeError(
                "this clock belongs to a loop that is not running here: from a thread "
                "of it, use anyio.from_thread.run_sync(clock.advance, seconds)"
            )
        self._now += delta

    def __repr__(self) -> str:
        return f"<VirtualClock now={self._now!r}>"

    # -- for the loops -----------------------------------------------------

    @contextmanager
    def guard(self, end: Callable[[], object]) -> Generator[None]:
        """Raise :exc:`Deadlock` from this block; ``end`` cancels what runs in it."""
        around = self._end, self._deadlock, self._attempts
        # A loop may run many tests, and one of them many examples.
        self._end, self._deadlock, self._attempts = end, None, 0
        try:
            yield
        except BaseException as exc:
            if self._deadlock is None or _is_to_stop(exc):
                raise
            raise self._deadlock from exc
        else:
            if self._deadlock is not None:  # what was cancelled took no notice
                raise self._deadlock
        finally:
            self._end, self._deadlock, self._attempts = around
            self._was_guarded = True

    def is_reachable(self) -> bool:
        """Whether something that no loop knows of may yet wake a task.

        That is a thread that was started since, a pool's that is at work, or a
        handler for a signal. To be asked before the loop looks at its descriptors:
        a thread that ends in between has made one ready.
        """
        before = self._handlers
        return any(map(self._may_wake, threading.enumerate())) or any(
            before.get(number) != handler
            for number, handler in _signal_handlers().items()
        )

    def _may_wake(self, thread: threading.Thread) -> bool:
        if thread.name.startswith(_HARMLESS):
            return False
        # The work of a pool is handed to threads that may be older than the clock.
        if (work := _queues.get(thread)) is not None:
            return not _is_idle(thread, work)
        return thread not in self._threads

    def deadlock(
        self, coroutines: Iterable[tuple[str, Any]], may_raise: bool = False
    ) -> bool:
        """Report one: end what is guarded, or, where nothing is, answer false.

        With ``may_raise``, what is left on a loop after something was guarded there
        is not waited for either.

        Raises:
            Deadlock: When what was guarded does not end for all that.
        """
        if self._end is None:
            if may_raise and self._was_guarded:
                raise self._found(coroutines)
            return False
        self._attempts += 1
        if self._deadlock is None or self._attempts > _ATTEMPTS:
            self._deadlock = self._found(coroutines)
            if self._attempts > _ATTEMPTS:
                raise self._deadlock
        self._end()
        return True

    def _found(self, coroutines: Iterable[tuple[str, Any]]) -> Deadlock:
        tasks = sorted(f"{name}: {_where(task)}" for name, task in coroutines)
        return Deadlock(
            f"deadlock at {self._now:.12g} s of virtual time: nothing is left that "
            "could ever wake\n  " + "\n  ".join(tasks)
        )


def virtual_clock() -> VirtualClock:
    """The clock of the running loop, which must be in virtual time.

    Raises:
        RuntimeError: Where time is real, or no loop is running.

    >>> import anyio
    >>> from within.testing import run, virtual_clock
    >>> async def nap():
    ...     await anyio.sleep(3600)
    ...     return virtual_clock().now
    >>> run(nap, backend="asyncio", virtual_time=True)
    3600.0
    """
    clock = _find()
    if clock is None:
        raise RuntimeError(
            "time is real on this loop: mark the test with pytest.mark.virtual_time, "
            "parametrise it with backends(virtual_time=True), or use "
            "run(..., virtual_time=True)"
        )
    return clock


def _find() -> VirtualClock | None:
    try:
        backend = current()
    except RuntimeError:
        return None
    if backend.name == "trio":
        from .._backends._trio_virtual import running_clock
    else:
        from .._backends._asyncio_virtual import running_clock
    return running_clock()


# Threads that wait for the next piece of work, and are the loop's own matter while
# they have one; and one that watches over a test.
_HARMLESS = ("asyncio_", "AnyIO worker thread", "Trio thread", "pytest_timeout")

# What each thread of a `ThreadPoolExecutor` takes its work from. Nothing public tells;
# where that has been moved, such a thread counts as any other.
_queues: Any = getattr(pools, "_threads_queues", {})
_worker: Any = getattr(getattr(pools, "_worker", None), "__code__", None)


def _is_idle(thread: threading.Thread, work: Any) -> bool:
    # An idle one is in the function that waits for work, and has none in its hands.
    frame = sys._current_frames().get(cast("int", thread.ident))
    if frame is None or frame.f_code is not _worker or not work.empty():
        return False
    if "work_item" in frame.f_locals or "executor_reference" not in frame.f_locals:
        return False
    # From 3.13 on, work for a thread that waits does not pass through the queue, and
    # cannot be seen until the thread runs. But the pool has counted.
    pool = frame.f_locals["executor_reference"]()
    return pool is None or pool._idle_semaphore._value >= len(pool._threads)


def _signal_handlers() -> dict[int, Any]:
    """What may wake a task when a signal comes."""
    found: dict[int, Any] = {}
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        module = getattr(handler, "__module__", None)
        # Ctrl-C is everybody's and is set when a loop starts, unless a task waits
        # for it; pytest-timeout sets its own anew for each test.
        if number == signal.SIGINT:
            ours = module in ("asyncio.unix_events", "trio._signals")
        else:
            ours = callable(handler) and module != "pytest_timeout"
        if ours:
            found[number] = handler
    return found


def _is_to_stop(exc: BaseException) -> bool:
    """Whether somebody wants the whole program to stop."""
    kinds = (KeyboardInterrupt, SystemExit)
    if isinstance(exc, BaseExceptionGroup):
        return cast("Any", exc).subgroup(kinds) is not None
    return isinstance(exc, kinds)


# -- where a task waits ------------------------------------------------------

# The frames in which every wait ends, and which say nothing of whose it is.
_LIBRARIES = {"anyio", "asyncio", "contextlib", "trio", "within"}


# What an asynchronous generator, or the `__await__` of a coroutine, is awaited
# through: these do not tell what it is. Python has no names for them.
_STEPS = {
    "anext_awaitable",
    "async_generator_asend",
    "async_generator_athrow",
    "coroutine_wrapper",
}
_WAITING = (AsyncGeneratorType, CoroutineType, GeneratorType)


def frames(waiting: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, from the outermost to the innermost."""
    while waiting is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(waiting, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                inner = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                waiting = getattr(waiting, inner)
                break
        else:
            waiting = _awaited_through(waiting)


def _awaited_through(step: Any) -> Any:
    if type(step).__name__ not in _STEPS:
        return None
    inside: list[Any] = gc.get_referents(step)
    for found in inside:
        if type(found) in _WAITING or type(found).__name__ in _STEPS:
            return found
    return None


def _where(waiting: Any) -> str:
    """The innermost line outside of the loop's own code at which a task waits."""
    found: FrameType | None = None
    for frame in frames(waiting):
        module = cast("str", frame.f_globals.get("__name__", ""))
        if found is None or module.partition(".")[0] not in _LIBRARIES:
            found = frame
    if found is None:
        return "has not begun"
    code = found.f_code
    return f"{code.co_filename}:{found.f_lineno} in {code.co_qualname}"
