"""What the files of a child have in common on every platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from ._options import DEVNULL, PIPE, STDOUT

if TYPE_CHECKING:
    from ._descriptors import Descriptors
    from ._options import ThreeFiles


class Closable(Protocol):
    """One of our ends of a pipe."""

    def close(self) -> None:
        """Close it at once."""


class HandedOver(Protocol):
    """The output of another child, which becomes the input of this one (P20)."""

    def hand_over(self) -> int:
        """The descriptor, for this child to read from."""
        ...

    def take_back(self) -> None:
        """Undo the handover: this child was not started."""

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        ...

    def close(self) -> None:
        """Close our copy: this child has its own now."""


class BaseFiles:
    """What a child gets as stdin, stdout and stderr.

    Every descriptor that is opened for this belongs to ``held`` from the start, and is
    closed with it, whatever fails.

    Attributes:
        for_child: Three descriptors for the child; on POSIX, -1 means ours.
        stdin, stdout, stderr: Our ends of the pipes, non-blocking; ``None`` where
            something other than ``PIPE`` was asked for.
    """

    def __init__(self, held: Descriptors) -> None:
        self._held = held
        self._theirs: list[int] = []  # to be closed once the child has its own
        self._handed_over: list[HandedOver] = []
        self.for_child: tuple[int, int, int]
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None

    def close_stdin(self, fd: int) -> None:
        """Close our end of its stdin, so that the child sees the end of its input."""
        self._held.close(fd)

    def started(self) -> None:
        """The child has its own ends now: close our copies of them."""
        for fd in self._theirs:
            self._held.close(fd)
        for output in self._handed_over:
            output.close()

    def failed(self) -> None:
        """The child was not started: give the outputs of other children back."""
        for output in self._handed_over:
            output.take_back()


def is_shared(files: ThreeFiles) -> bool:
    """Whether some of the output goes where we cannot watch it (P6)."""
    return any(file not in (PIPE, DEVNULL, STDOUT) for file in files[1:])


def output_behind(target: object) -> HandedOver | None:
    """The output of another child, if ``target`` is its stream; ``None`` for a file."""
    reader = getattr(target, "_reader", None)
    return cast("HandedOver", reader) if hasattr(reader, "hand_over") else None
