"""The streams of a child: anyio's, over its pipes (P17).

This is the one module that needs anyio's classes at import, so it is imported only
when a process is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    EndOfStream,
)
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.lowlevel import checkpoint

from ._platform import set_blocking

if TYPE_CHECKING:
    from ._decoded import Decoded
    from ._ends import Input, Output


_WAY = "connect two processes with stdin=other.stdout"


class Turn:
    """Lets one task at a time use a stream, and tells a second one so.

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
                f"another task is {self._doing} at this moment: let one task do so, or "
                "let them take turns with a lock"
            )
            error.args = (says,)
            raise error
        self.is_taken = True

    def __exit__(self, *exc: object) -> None:
        self.is_taken = False


class ReceiveStream(ByteReceiveStream):
    """What a child writes to one of its outputs."""

    # The docstring is public, and these attributes are not:
    # turn: Is held while a task reads.
    # decoded: The text that was decoded ahead, if the text of this stream is read
    #     (P22). It comes before everything that is still in the pipe.
    # is_handed_over: Another child has it.

    def __init__(self, source: Output, what: str = "the pipe") -> None:
        self._source = source
        self._what = what
        self.turn: Turn = Turn(f"reading {what}")
        self.decoded: Decoded | None = None
        self.is_handed_over: bool = False
        self._is_closed = False

    def __repr__(self) -> str:
        return _described(self, self._source.fd)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._source.fd

    def check_given_as(self, name: str) -> None:
        """Raise the error if another child cannot have it as this file (P20)."""
        if name != "stdin":
            raise ValueError(f"{name} is {self._what}, which can only be read: {_WAY}")

    def hand_over(self) -> int:
        """The descriptor, for another child to read from in our place (P20).

        It is made blocking, as programs expect of their stdin.
        """
        if self._source.was_read:
            raise ValueError(
                f"{self._what} has been read from here, so another child would miss "
                "some of it: hand it over before you read"
            )
        if self._source.fd < 0:
            raise ValueError(
                f"{self._what} cannot be handed over: it is closed, or another child "
                "reads it"
            )
        with self.turn:
            set_blocking(self._source.fd, True)
        self.is_handed_over = True
        return self._source.fd

    def take_back(self) -> None:
        """The other child was not started."""
        if self._source.fd >= 0:  # else an earlier child has it
            self.is_handed_over = False
            set_blocking(self._source.fd, False)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return at most ``max_bytes`` bytes, as soon as there are any.

        A cancelled call loses nothing (P11): the next call returns what it would have
        returned. The stream ends when every writer has closed the pipe, or a short time
        after the child's exit (P6). After the block it returns what was still unread, and
        then ends.
        """
        number: Any = max_bytes
        if not isinstance(number, int):
            raise TypeError(f"max_bytes is {number!r}: give a number of bytes")
        if number < 1:
            raise ValueError(f"max_bytes is {number!r}: give 1 or more")
        with self.turn:
            if self.decoded is not None:
                self.unread(self.decoded.give_back())
            data = await self.next(max_bytes)
        if not data:
            raise EndOfStream
        if self.decoded is not None:
            self.decoded.note_bytes_read()
        return data

    async def next(self, most: int) -> bytes:
        """The next bytes, without those of :attr:`decoded`; b"" at the end."""
        await checkpoint()
        if self._is_closed:
            raise self._closed()
        try:
            data = await self._source.next(most)
        except OSError as error:
            raise BrokenResourceError(f"{self._what} cannot be read") from error
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
            raise BrokenResourceError(f"{self._what} cannot be read") from error

    def unread(self, data: bytes) -> None:
        """Put bytes back, for the next reader."""
        self._source.unread(data)

    def _closed(self) -> ClosedResourceError:
        return ClosedResourceError(
            f"{self._what} is closed: aclose() was called, or another child reads it now"
        )

    def close(self) -> None:
        """Close at once; a task that waits on it gets ``ClosedResourceError``."""
        self._is_closed = True
        if self.decoded is not None:
            self.decoded.give_back()
        self._source.close()

    async def aclose(self) -> None:
        """Close it: the child gets SIGPIPE or an error when it writes more."""
        self.close()
        await checkpoint()


class SendStream(ByteSendStream):
    """What a child reads from its stdin."""

    # The docstring is public, and these attributes are not:
    # turn: Is held while a task writes.
    # sent: How many bytes the pipe has taken.

    def __init__(self, target: Input, what: str = "the pipe") -> None:
        self._target = target
        self._what = what
        self.turn: Turn = Turn(f"writing to {what}")
        self.sent: int = 0

    def __repr__(self) -> str:
        return _described(self, self._target.fd)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._target.fd

    def check_given_as(self, name: str) -> None:
        """Raise the error: our end of a pipe is no file for another child."""
        raise ValueError(f"{name} is {self._what}, which is written from here: {_WAY}")

    async def send(self, item: bytes) -> None:
        """Send all of ``item``, as fast as the child takes it.

        If it is cancelled, a part may have been sent, as with every stream.
        """
        target, rest = self._target, bytes_of(item)
        with self.turn:
            await checkpoint()
            while True:
                if target.is_fed:
                    raise BrokenResourceError(
                        f"{self._what} is taken by a communicate() that was interrupted: "
                        "await it again, and it will go on"
                    )
                if target.fd < 0:
                    raise ClosedResourceError(
                        f"{self._what} was closed here, with aclose()"
                    )
                if not rest:
                    return
                try:
                    written = target.write(rest)
                except OSError as error:  # EPIPE: its reader is gone
                    raise BrokenResourceError(
                        f"{self._what} has no reader: the child has closed it, or exited"
                    ) from error
                self.sent += written
                rest = rest[written:]
                if not written:
                    await target.wait()

    def close(self) -> None:
        """Close at once; a task that waits on it gets ``ClosedResourceError``."""
        self._target.close()

    async def aclose(self) -> None:
        """Close it: the child sees the end of its input once it has read all of it."""
        self.close()
        await checkpoint()


def bytes_of(data: Any) -> memoryview:
    """The bytes of an object that has some, or the error that says what to give."""
    try:
        return memoryview(data).cast("B")
    except TypeError:
        way_out = "write() of the process takes text" if isinstance(data, str) else ""
        raise TypeError(
            f"data is {data!r}: give bytes" + (way_out and f" ({way_out})")
        ) from None


def _described(stream: object, fd: int) -> str:
    state = "closed" if fd < 0 else f"fd={fd}"
    return f"<{type(stream).__name__} {state}>"


# Both are public, though ``import within`` does not import this module.
ReceiveStream.__module__ = SendStream.__module__ = "within"
