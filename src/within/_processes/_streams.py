"""The pipes of a child as streams of anyio (P17).

They are what users see of a pipe; the rest is in ``_pipe_reader`` and ``_ends``. This
module needs anyio's classes at import, so it is imported only when a process is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.lowlevel import checkpoint

from ._pipe_reader import Turn, described

if TYPE_CHECKING:
    from ._ends import Input
    from ._pipe_reader import PipeReader

_WAY = "connect two processes with stdin=other.stdout"

# For users who look for the methods of a file, or of the streams of asyncio.
_READING = (
    "receive() returns the bytes that have arrived. For text, use the methods of the "
    "process itself: readline(), read(), read_until() or output()"
)
_WRITING = (
    "send() sends bytes, and aclose() ends the input. For text, use write() of the "
    "process itself"
)


def _no_attribute(stream: object, name: str, way_out: str) -> AttributeError:
    if name.startswith("_"):  # copy(), for example, asks before there is a repr()
        says = f"{type(stream).__name__!r} object has no attribute {name!r}"
    else:
        says = f"{stream!r} has no attribute {name!r}: {way_out}"
    return AttributeError(says, name=name, obj=stream)


class ReceiveStream(ByteReceiveStream):
    """A stream of the bytes that a child writes to one of its outputs."""

    def __init__(self, reader: PipeReader) -> None:
        self._reader = reader

    def __repr__(self) -> str:
        return repr(self._reader)

    if not TYPE_CHECKING:  # type checkers reject them anyway

        def __getattr__(self, name):
            raise _no_attribute(self, name, _READING)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._reader.fileno()

    def _check_given_as(self, name: str) -> None:
        if name != "stdin":
            what = self._reader.what
            raise ValueError(f"{name} is {what}, which can only be read: {_WAY}")

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return at most ``max_bytes`` bytes, as soon as there are any.

        If a call is cancelled, nothing is lost: the next call returns the bytes (P11).
        The stream ends when every writer has closed the pipe, or a short time after the
        child has exited (P6). After the block, you can still read what was not read
        before.

        Raises:
            anyio.EndOfStream: At the end of the output.
            anyio.ClosedResourceError: If the stream was closed, or was passed to another
                child.
            anyio.BusyResourceError: If another task is reading.
        """
        number: Any = max_bytes
        if not isinstance(number, int):
            raise TypeError(f"max_bytes is {number!r}: give a number of bytes")
        if number < 1:
            raise ValueError(f"max_bytes is {number!r}: give 1 or more")
        reader = self._reader
        with reader.turn:
            reader.give_back_text()
            data = await reader.next(max_bytes)
        if not data:
            raise EndOfStream
        if reader.decoded is not None:
            reader.decoded.note_bytes_read()
        return data

    def close(self) -> None:
        """Close at once; a task that is waiting on it gets ``ClosedResourceError``."""
        self._reader.close()

    async def aclose(self) -> None:
        """Close the stream: the child gets SIGPIPE or an error if it writes more."""
        self.close()
        await checkpoint()


class SendStream(ByteSendStream):
    """A stream of the bytes that a child reads from its stdin."""

    # The docstring is public, and these attributes are not:
    # turn: Held while a task writes.
    # sent: How many bytes the pipe has taken.

    def __init__(self, target: Input, what: str = "the pipe") -> None:
        self._target = target
        self._what = what
        self.turn: Turn = Turn(f"writing to {what}")
        self.sent: int = 0

    def __repr__(self) -> str:
        return described("SendStream", self._target.fd)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            raise _no_attribute(self, name, _WRITING)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._target.fd

    def _check_given_as(self, name: str) -> None:
        raise ValueError(
            f"{name} is {self._what}, which your program writes to: {_WAY}"
        )

    async def send(self, item: bytes) -> None:
        """Send all of ``item``, as fast as the child reads it.

        If the call is cancelled, part of it may have been sent, as with any stream.

        Raises:
            anyio.BrokenResourceError: If the child has closed its stdin, or has exited.
            anyio.ClosedResourceError: If the stream was closed.
            anyio.BusyResourceError: If another task is writing.
        """
        target, rest = self._target, bytes_of(item)
        with self.turn:
            await checkpoint()
            while True:
                if target.is_fed:
                    raise BrokenResourceError(
                        f"{self._what} is in use by a communicate() that was "
                        "interrupted: call it again, and it will continue"
                    )
                if target.fd < 0:
                    raise ClosedResourceError(f"{self._what} has been closed")
                if not rest:
                    return
                try:
                    written = target.write(rest)
                except OSError as error:  # EPIPE: its reader is gone
                    raise BrokenResourceError(
                        f"{self._what} has no reader: the child has closed it or exited"
                    ) from error
                self.sent += written
                rest = rest[written:]
                if not written:
                    await target.wait()

    def close(self) -> None:
        """Close at once; a task that is waiting on it gets ``ClosedResourceError``."""
        self._target.close()

    async def aclose(self) -> None:
        """Close the stream: once the child has read everything, its input ends."""
        self.close()
        await checkpoint()


def bytes_of(data: Any) -> memoryview:
    """The bytes of a bytes-like object, or an error that says what to give."""
    try:
        return memoryview(data).cast("B")
    except TypeError:
        way_out = "write() of the process takes text" if isinstance(data, str) else ""
        raise TypeError(
            f"data is {data!r}: give bytes" + (way_out and f" ({way_out})")
        ) from None


# Both are public, though ``import within`` does not import this module.
ReceiveStream.__module__ = SendStream.__module__ = "within"
