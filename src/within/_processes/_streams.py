"""The streams of a child: anyio's, over its pipes (P17).

They are what users see of a pipe; the rest is in ``_pipe_reader`` and ``_ends``. This
module needs anyio's classes at import, so it is imported only when a process is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.lowlevel import checkpoint

from ._pipe_reader import Turn, described

if TYPE_CHECKING:
    from ._ends import Input
    from ._pipe_reader import PipeReader


class ReceiveStream(ByteReceiveStream):
    """What a child writes to one of its outputs."""

    def __init__(self, reader: PipeReader) -> None:
        self._reader = reader

    def __repr__(self) -> str:
        return repr(self._reader)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._reader.fileno()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return at most ``max_bytes`` bytes, as soon as there are any.

        A cancelled call loses nothing (P11): the next call returns what it would have
        returned. The stream ends when every writer has closed the pipe, or a short time
        after the child's exit (P6). After the block it returns what was still unread, and
        then ends.
        """
        if max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes!r}: give 1 or more")
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
        """Close at once; a task that waits on it gets ``ClosedResourceError``."""
        self._reader.close()

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
        return described("SendStream", self._target.fd)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._target.fd

    async def send(self, item: bytes) -> None:
        """Send all of ``item``, as fast as the child takes it.

        If it is cancelled, a part may have been sent, as with every stream.
        """
        target = self._target
        with self.turn:
            await checkpoint()
            rest = memoryview(item).cast("B")
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


# Both are public, though ``import within`` does not import this module.
ReceiveStream.__module__ = SendStream.__module__ = "within"
