"""What the files of a child have in common on every platform."""

from __future__ import annotations

from typing import Any, Protocol


class Closable(Protocol):
    """One of our ends of a pipe."""

    def close(self) -> None:
        """Close it at once."""


class Holder(Protocol):
    """What keeps the descriptors of a child: of each platform."""

    def close(self, fd: int, /) -> None:
        """Close one of them. Does nothing if it is closed already."""


class BaseFiles:
    """What a child gets as stdin, stdout and stderr.

    Every descriptor that is opened for this belongs to ``held`` from the start, and is
    closed with it, whatever fails.

    Attributes:
        for_child: Three descriptors for the child; -1 for ours on POSIX.
        stdin, stdout, stderr: Our ends of the pipes, non-blocking; ``None`` where
            something other than ``PIPE`` was asked for.
    """

    def __init__(self, held: Holder) -> None:
        self._holder = held
        self._theirs: list[int] = []  # to be closed once the child has its own
        self._handed_over: list[Any] = []  # streams of other children (P20)
        self.for_child: tuple[int, int, int]
        self.stdin: int | None = None
        self.stdout: int | None = None
        self.stderr: int | None = None

    def close_stdin(self, fd: int) -> None:
        """Close our end of its stdin, so that the child sees the end of its input."""
        self._holder.close(fd)

    def started(self) -> None:
        """The child has its own ends now: close our copies of them."""
        for fd in self._theirs:
            self._holder.close(fd)
        for stream in self._handed_over:
            stream.close()

    def failed(self) -> None:
        """The child was not started: give streams of other children back."""
        for stream in self._handed_over:
            stream.take_back()
