"""Virtual time: what is the same on each loop.

How a loop is made to keep it is a matter of `_backends/_asyncio_virtual.py` and
`_backends/_trio_virtual.py`.
"""

from __future__ import annotations

import gc
import math
import signal
import threading
from contextlib import contextmanager
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, cast

from .._backends import current
from .._clock import as_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from types import FrameType

    from .._clock import Seconds


# What swallows its cancellation, or hangs in its clean-up, is cancelled once more.
_ATTEMPTS = 10


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
        self._now = start
        self._end: Callable[[], object] | None = None  # ends what is guarded
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
            ValueError: For a negative or an infinite number.
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
        if not 0 <= delta < math.inf:
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
        self._end = end
        try:
            yield
        except BaseException as exc:
            if self._deadlock is None or isinstance(exc, KeyboardInterrupt):
                raise
            raise self._deadlock from exc
        finally:
            self._end = None
        if self._deadlock is not None:  # what was cancelled took no notice
            raise self._deadlock

    def is_reachable(self) -> bool:
        """Whether something that no loop knows of may yet wake a task.

        That is a thread that was started since, unless it is an idle one of a
        pool, or a handler for a signal.
        """
        strange = set(threading.enumerate()) - self._threads
        return (
            any(not thread.name.startswith(_POOLS) for thread in strange)
            or _signal_handlers() != self._handlers
        )

    def deadlock(self, coroutines: Iterable[tuple[str, Any]]) -> bool:
        """Report one: end what is guarded, or, where nothing is, answer false.

        Raises:
            Deadlock: When what was guarded does not end for all that.
        """
        if self._end is None:
            return False
        self._attempts += 1
        if self._deadlock is None or self._attempts > _ATTEMPTS:
            tasks = sorted(f"{name}: {_where(task)}" for name, task in coroutines)
            self._deadlock = Deadlock(
                f"deadlock at {self._now:.12g} s of virtual time: nothing is left that "
                "could ever wake\n  " + "\n  ".join(tasks)
            )
            if self._attempts > _ATTEMPTS:
                raise self._deadlock
        self._end()
        return True


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


# Idle threads that wait for the next piece of work. Those at work are the loop's
# matter.
_POOLS = ("asyncio_", "ThreadPoolExecutor-", "AnyIO worker thread", "Trio thread")


def _signal_handlers() -> list[Any]:
    # Ctrl-C is everybody's, and is set when a loop starts.
    signals = sorted(signal.valid_signals() - {signal.SIGINT})
    return [signal.getsignal(number) for number in signals]


# -- where a task waits ------------------------------------------------------

# The frames in which every wait ends, and which say nothing of whose it is.
_LIBRARIES = {"anyio", "asyncio", "contextlib", "trio", "within"}


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
            # What awaits an asynchronous generator does not tell which.
            found: list[Any] = gc.get_referents(waiting)
            waiting = next((x for x in found if type(x) is AsyncGeneratorType), None)


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
