"""The plan for a child's end: what to send to it, and how long to wait (P4, P6)."""

from __future__ import annotations

import signal as signals
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

from .._seconds import as_seconds

if TYPE_CHECKING:
    from typing import Never, Self


class Stop:
    """How to end a child and its tree (the processes that it has started).

    Each step is taken only if the one before it was not enough: close stdin and wait
    ``close_stdin`` seconds; send ``signal`` and wait ``grace`` seconds; send SIGKILL.
    The output is read meanwhile, so that the child can flush it and exit.

    A child that exits by itself may leave processes behind that are still writing its
    output, such as the ``tee`` in ``exec > >(tee log)``. They get a short time to finish
    before they are ended: as long as output keeps coming, with breaks of less than
    ``pause`` seconds, or as long as one of them is still processing output of the child,
    but at most ``linger`` seconds.

    Args:
        close_stdin: Seconds to wait after closing the child's stdin. With 0,
            ``signal`` is sent before stdin is closed.
        signal: The polite signal; SIGTERM by default.
        grace: Seconds from ``signal`` to SIGKILL.
        tree: Which processes to end: only the ``"child"``; its process ``"group"``,
            which is a new one; or ``"all"`` (on Linux), which also ends processes that
            have left the group. These are found by a mark that they inherit in their
            environment and in their resource limits, which means looking at every
            process on the machine. A process that changes both is missed, and so is one
            that a daemon outside the tree starts on request.
        first: Which processes get ``signal``: every process of the ``"tree"``, or only
            the ``"child"``, for a program that ends its own workers. In the latter case,
            the others get SIGKILL when the child has exited.
        survivors: What to do with the rest of the tree if the child exits by itself, which
            means before it was sent ``signal`` or SIGKILL: ``"end"`` it, or ``"leave"`` it
            running, for a program that starts a daemon. If the child had to be stopped,
            its tree is ended in any case.
        die_with_parent: End the tree with SIGKILL if your program itself is killed. A
            small guard process, which is started when it is first needed, waits for
            that. (Only on Linux; on Windows this is always the case. The guard cannot kill
            a set-uid program.)
        pause: After the child has exited, stop waiting for the rest of its output when
            none has arrived for this many seconds.
        linger: Stop waiting for that output after this many seconds in any case.

    A ``Stop`` cannot be changed. To get a changed copy, use ``copy.replace(stop,
    grace=1)`` on Python 3.13 and newer, and ``stop.__replace__(grace=1)`` before that.

    Raises:
        ValueError: If a number of seconds is negative, or ``signal``, ``tree``,
            ``first`` or ``survivors`` is unknown.
        TypeError: If an argument is not a number of seconds, or not a signal.

    >>> from within import Stop
    >>> Stop(grace=1.5, tree="child").grace
    1.5
    """

    # Not a dataclass: importing `dataclasses`, and `inspect` with it, takes longer than
    # importing the rest of this package.
    __slots__ = (
        "close_stdin",
        "die_with_parent",
        "first",
        "grace",
        "linger",
        "pause",
        "signal",
        "survivors",
        "tree",
    )

    def __init__(
        self,
        *,
        close_stdin: float = 0.0,
        signal: int = signals.SIGTERM,
        grace: float = 5.0,
        tree: Literal["child", "group", "all"] = "group",
        first: Literal["tree", "child"] = "tree",
        survivors: Literal["end", "leave"] = "end",
        die_with_parent: bool = False,
        pause: float = 0.1,
        linger: float = 2.0,
    ) -> None:
        number: Any = signal
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"signal is {number!r}: give one of signal.Signals")
        if signal not in valid_signals():
            raise ValueError(f"signal is {signal!r}: there is no such signal")
        if tree not in ("child", "group", "all"):
            raise ValueError(
                f'tree is {tree!r}: give "child", "group" or "all" (see Stop)'
            )
        if first not in ("tree", "child"):
            raise ValueError(f'first is {first!r}: give "tree" or "child"')
        if survivors not in ("end", "leave"):
            raise ValueError(f'survivors is {survivors!r}: give "end" or "leave"')
        self.close_stdin: Final = _patience(close_stdin, "close_stdin")
        self.signal: Final = signal
        self.grace: Final = _patience(grace, "grace")
        self.tree: Final = tree
        self.first: Final = first
        self.survivors: Final = survivors
        self.die_with_parent: Final = die_with_parent
        self.pause: Final = _patience(pause, "pause")
        self.linger: Final = _patience(linger, "linger")

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(self, "linger"):  # the last one that __init__() sets
            raise AttributeError(f"{self!r} cannot be changed: make another Stop")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"{self!r} cannot be changed: make another Stop")

    def _as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    def __repr__(self) -> str:
        items = ", ".join(
            f"{name}={value!r}" for name, value in self._as_dict().items()
        )
        return f"Stop({items})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stop):
            return NotImplemented
        return self._as_dict() == other._as_dict()

    def __hash__(self) -> int:
        return hash(tuple(self._as_dict().values()))

    def __replace__(self, **changes: Any) -> Self:
        """Return a copy with some values changed. ``copy.replace()`` calls this."""
        return type(self)(**(self._as_dict() | changes))

    def __reduce__(self) -> Any:
        return _from_dict, (type(self), self._as_dict())


def _from_dict(kind: type[Stop], values: dict[str, Any]) -> Stop:
    """An instance again, for :mod:`pickle` and :mod:`copy`."""
    return kind(**values)


def _patience(value: float, what: str) -> float:
    if value is None:  # pyright: ignore[reportUnnecessaryComparison]
        raise TypeError(f"{what} is None: give math.inf to wait without limit")
    seconds = as_seconds(value, what, or_none=False)
    if seconds < 0:
        raise ValueError(f"{what} is {seconds:g}: give 0 seconds or more")
    return seconds


def valid_signals() -> set[int]:
    """The numbers that ``signal`` may have."""
    if sys.platform == "win32":  # that set has only those that a program can raise
        return {
            *signals.valid_signals(),
            signals.CTRL_C_EVENT,
            signals.CTRL_BREAK_EVENT,
            9,  # SIGKILL, which has no name there
        }
    return set(signals.valid_signals())


def check_stop(stop: object) -> None:
    """Raise ``TypeError`` for anything that is not a :class:`Stop`."""
    if not isinstance(stop, Stop):
        raise TypeError(f"stop is {stop!r}: give within.Stop(...)")
