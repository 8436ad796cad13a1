"""The streams of a child: anyio's, over non-blocking pipes (P17).

The one module that imports anyio for its classes, and so is imported only when
a process is opened.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from anyio import (
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    ResourceGuard,
)
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.lowlevel import checkpoint

from .._backends import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._backends._protocol import Backend


class _Pipe:
    """Our end of a pipe."""

    def __init__(self, fd: int, action: str) -> None:
        self._fd = fd
        self._guard = ResourceGuard(action)
        self._backend: Backend = current()
        self.on_close: list[Callable[[int], None]] = []

    def __repr__(self) -> str:
        state = "closed" if self._fd < 0 else f"fd={self._fd}"
        return f"<{type(self).__name__} {state}>"

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._fd

    def close(self) -> None:
        """Close at once; who waits on it gets ``ClosedResourceError``."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            for forget in self.on_close:
                forget(fd)
            with suppress(RuntimeError):  # no loop left that anybody waits in
                self._backend.notify_closing(fd)
            os.close(fd)

    async def aclose(self) -> None:
        self.close()
        await checkpoint()


class ReceivePipe(_Pipe, ByteReceiveStream):
    """What a child writes."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "reading from")
        self.at_end: bool = False  # the child, and all who share the pipe, closed it

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """At most ``max_bytes`` bytes, as soon as there are any.

        Cancelling it loses nothing (P11): what has been read is returned, and
        what has not is still in the pipe.
        """
        if max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes!r}: give 1 or more")
        with self._guard:
            await checkpoint()
            while True:
                if self._fd < 0:
                    raise ClosedResourceError
                try:
                    data = os.read(self._fd, max_bytes)
                except BlockingIOError:
                    await self._backend.wait_readable(self._fd)
                except OSError as error:
                    raise BrokenResourceError from error
                else:
                    if data:
                        return data
                    self.at_end = True
                    raise EndOfStream


class SendPipe(_Pipe, ByteSendStream):
    """What a child reads."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "writing to")

    async def send(self, item: bytes) -> None:
        """All of ``item``, as fast as the child takes it.

        When it is cancelled a part may have been sent, as with every stream.
        """
        with self._guard:
            await checkpoint()
            rest = memoryview(item).cast("B")
            while True:
                if self._fd < 0:
                    raise ClosedResourceError
                if not rest:
                    return
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    await self._backend.wait_writable(self._fd)
                except OSError as error:  # EPIPE: its reader is gone
                    raise BrokenResourceError from error
