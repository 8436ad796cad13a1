"""Reads the pipe of one output, for its stream of bytes and for its text (P17, P22).

A :class:`within.ReceiveStream` is the part of this that users see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError
from anyio.lowlevel import checkpoint

from ._platform import set_blocking

if TYPE_CHECKING:
    from ._decoded import Decoded
    from ._ends import Output


class Turn:
    """Lets one task at a time use a stream, and raises an error in any other.

    Attributes:
        is_taken: A task is using it.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self.is_taken: bool = False

    def __enter__(self) -> None:
        if self.is_taken:
            error = BusyResourceError(self._doing)
            says = (
                f"another task is {self._doing} at this moment: let only one task "
                "do that, or let them take turns with a lock"
            )
            error.args = (says,)  # anyio's own text does not say what to do
            raise error
        self.is_taken = True

    def __exit__(self, *exc: object) -> None:
        self.is_taken = False


class PipeReader:
    """Reads an output of a child; its bytes and its text share this object.

    Attributes:
        what: What errors call the pipe.
        turn: Held while a task reads.
        decoded: The text that was decoded ahead, if text is read (P22). It comes before
            everything that is still in the pipe.
        is_handed_over: Another child has the pipe.
    """

    def __init__(self, source: Output, what: str = "the pipe") -> None:
        self._source = source
        self.what: str = what
        self.turn: Turn = Turn(f"reading {what}")
        self.decoded: Decoded | None = None
        self.is_handed_over: bool = False
        self._is_closed = False

    def __repr__(self) -> str:
        return described("ReceiveStream", self._source.fd)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._source.fd

    # -- bytes -------------------------------------------------------------

    async def next(self, most: int) -> bytes:
        """The next bytes, without those of :attr:`decoded`; b"" at the end."""
        await checkpoint()
        if self._is_closed:
            raise self._closed()
        try:
            data = await self._source.next(most)
        except OSError as error:
            raise BrokenResourceError(f"{self.what} cannot be read") from error
        if not data and self._is_closed:  # by another task, while we waited
            raise self._closed()
        return data

    def next_now(self, most: int) -> bytes | None:
        """The same without waiting; ``None`` if there is nothing yet."""
        if self._is_closed:
            raise self._closed()
        try:
            return self._source.read(most)
        except OSError as error:
            raise BrokenResourceError(f"{self.what} cannot be read") from error

    def unread(self, data: bytes) -> None:
        """Put bytes back, for the next reader."""
        self._source.unread(data)

    def give_back_text(self) -> None:
        """Put back the bytes of the text that was decoded ahead."""
        if self.decoded is not None:
            self.unread(self.decoded.give_back())

    # -- the end -----------------------------------------------------------

    def close(self) -> None:
        """Close at once; a task that is waiting on it gets ``ClosedResourceError``."""
        self._is_closed = True
        if self.decoded is not None:
            self.decoded.give_back()
        self._source.close()

    def _closed(self) -> ClosedResourceError:
        return ClosedResourceError(
            f"{self.what} has been closed, or another child reads it now"
        )

    # -- another child -----------------------------------------------------

    def hand_over(self) -> int:
        """The descriptor, for another child to read from in our place (P20).

        It is made blocking, as programs expect of their stdin.
        """
        if self._source.was_read:
            raise ValueError(
                f"your program has already read from {self.what}, so another child would "
                "miss some of it: hand it over before you read"
            )
        if self._source.fd < 0:
            raise ValueError(
                f"{self.what} cannot be handed over: it is closed, or another child "
                "reads it"
            )
        with self.turn:
            set_blocking(self._source.fd, True)
        self.is_handed_over = True
        return self._source.fd

    def take_back(self) -> None:
        """Undo :meth:`hand_over`: the other child was not started."""
        if self._source.fd >= 0:  # otherwise an earlier child has it
            self.is_handed_over = False
            set_blocking(self._source.fd, False)


def described(stream: str, fd: int) -> str:
    state = "closed" if fd < 0 else f"fd={fd}"
    return f"<{stream} {state}>"
