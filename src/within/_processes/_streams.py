"""The streams of a child: anyio's, over its pipes (P17).

This is the one module that needs anyio's classes at import, so it is imported only
when a process is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    ResourceGuard,
)
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.lowlevel import checkpoint

from ._platform import set_blocking

if TYPE_CHECKING:
    from ._ends import Input, Output


class ReceiveStream(ByteReceiveStream):
    """What a child writes to one of its outputs."""

    def __init__(self, source: Output) -> None:
        self._source = source
        self._guard = ResourceGuard("reading from")
        self._is_closed = False

    def __repr__(self) -> str:
        return _described(self, self._source.fd)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._source.fd

    def hand_over(self) -> int:
        """The descriptor, for another child to read from in our place (P20).

        It is made blocking, as programs expect of their stdin.
        """
        if self._source.was_read:
            raise ValueError(
                f"{self!r} has been read from here, so another child would miss some "
                "of it: hand it over before you read"
            )
        if self._source.fd < 0:
            raise ValueError(f"{self!r} cannot be handed over: it is closed")
        with self._guard:  # BusyResourceError while another task reads
            set_blocking(self._source.fd, True)
        return self._source.fd

    def take_back(self) -> None:
        """The other child was not started."""
        if self._source.fd >= 0:
            set_blocking(self._source.fd, False)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return at most ``max_bytes`` bytes, as soon as there are any.

        A cancelled call loses nothing (P11): the next call returns what it would have
        returned. The stream ends when every writer has closed the pipe, or a short time
        after the child's exit (P6). After the block it returns what was still unread, and
        then ends.
        """
        if max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes!r}: give 1 or more")
        with self._guard:
            await checkpoint()
            if self._is_closed:
                raise ClosedResourceError
            try:
                data = await self._source.next(max_bytes)
            except OSError as error:
                raise BrokenResourceError from error
        if data:
            return data
        if self._is_closed:  # by another task, while we waited
            raise ClosedResourceError
        raise EndOfStream

    def close(self) -> None:
        """Close at once; a task that waits on it gets ``ClosedResourceError``."""
        self._is_closed = True
        self._source.close()

    async def aclose(self) -> None:
        self.close()
        await checkpoint()


class SendStream(ByteSendStream):
    """What a child reads from its stdin."""

    def __init__(self, target: Input) -> None:
        self._target = target
        self._guard = ResourceGuard("writing to")

    def __repr__(self) -> str:
        return _described(self, self._target.fd)

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._target.fd

    async def send(self, item: bytes) -> None:
        """Send all of ``item``, as fast as the child takes it.

        If it is cancelled, a part may have been sent, as with every stream.
        """
        target = self._target
        with self._guard:
            await checkpoint()
            rest = memoryview(item).cast("B")
            while True:
                if target.fd < 0:
                    raise ClosedResourceError
                if not rest:
                    return
                try:
                    written = target.write(rest)
                except OSError as error:  # EPIPE: its reader is gone
                    raise BrokenResourceError from error
                rest = rest[written:]
                if not written:
                    await target.wait()

    def close(self) -> None:
        """Close at once; a task that waits on it gets ``ClosedResourceError``."""
        self._target.close()

    async def aclose(self) -> None:
        self.close()
        await checkpoint()


def _described(stream: object, fd: int) -> str:
    state = "closed" if fd < 0 else f"fd={fd}"
    return f"<{type(stream).__name__} {state}>"
