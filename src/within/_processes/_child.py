"""What a child has in common on every platform."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from weakref import WeakSet

from ._typed import as_typed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from ._command import Command
    from ._files import Closable
    from ._plan import Stop

# How long ending a child may block us where nothing can be awaited, in seconds.
BLOCKING = 2.0


class BaseChild(ABC):
    """A child, and the processes that are ended with it.

    Attributes:
        args: The command.
        returncode: Its status, from the moment that its exit is noticed.
        exit_fd: A descriptor that is readable once it has exited; -1 before the start,
            and after it has been reaped or left.
        ends: Our ends of its pipes. They refer to us, so with a strong reference back, a
            dropped child would run on until the garbage collector runs.
        on_signal: Called with each signal that the stop sequence sends.
        is_unreachable: No signal but SIGKILL can reach it, on Windows.
    """

    def __init__(self, command: Command, plan: Stop) -> None:
        self.args: tuple[str | bytes, ...] = command.args
        self.returncode: int | None = None
        self.exit_fd: int = -1
        self.ends: WeakSet[Closable] = WeakSet()
        self.on_signal: Callable[[int], None] | None = None
        self.is_unreachable: bool = False
        self._command = command
        self._plan = plan
        self._was_asked_to_end = False  # by the stop sequence or by the user
        self._began = time.monotonic()
        self._ended: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end_now()  # does nothing after an orderly end

    def __repr__(self) -> str:
        return f"child {self.pid} `{as_typed(self.args)}`"

    @property
    @abstractmethod
    def pid(self) -> int:
        """Its pid; 0 before the start."""

    @abstractmethod
    def is_open(self) -> bool:
        """Whether it has been started, and has been neither reaped nor left."""

    @abstractmethod
    def has_exited(self) -> bool:
        """Whether it has exited. Then ``returncode`` is known, even before it is reaped.

        (In a fork of its parent, only the exit can be seen.)
        """

    @abstractmethod
    def left(self) -> list[int]:
        """Some living members of its tree, without the child; empty if there are none."""

    @abstractmethod
    def end_now(self) -> None:
        """Kill and reap it, without a loop, and release everything that it holds."""

    def drop(self) -> None:
        """End it, and warn if it was open.

        Called when nothing refers to it any more, or when the interpreter exits.
        """
        was_open = self.is_open()
        if was_open and self.returncode is not None:  # the user knows of its exit
            was_open = not (self.is_spared() or self._is_tree_ending())
        self.end_now()  # first: the warning may be an error
        if was_open:
            warnings.warn(
                f"{self!r} was dropped while open: leave its block, or await aclose()",
                ResourceWarning,
                stacklevel=2,
            )

    def _is_tree_ending(self) -> bool:
        """Whether all that is left of its tree is about to exit."""
        return not self.left()

    def is_gone(self) -> bool:
        """Whether it and all of its tree are dead."""
        return self.has_exited() and not self.left()

    def is_spared(self) -> bool:
        """Whether it has exited by itself, and ``survivors="leave"`` spares its tree."""
        leaves = self._plan.survivors == "leave"
        return leaves and not self._was_asked_to_end and self.has_exited()

    def is_done(self) -> bool:
        """Whether nothing is left to stop."""
        return self.is_spared() or self.is_gone()
