"""Pipes whose end on our side reads and writes without waiting.

An anonymous pipe of Windows cannot do that, so each is a named pipe, which only its two
ends know of. The child's end is an ordinary one: programs expect that. In place of
"would block" these functions raise BlockingIOError, as ``os.read`` and ``os.write`` do.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _winapi
import os
from contextlib import suppress
from itertools import count
from typing import Any

from ._completions import completions, nothing
from ._handles import Handles
from ._kernel import close_handle
from ._waiting import Waitable, waitables

# What a pipe holds unless told otherwise, and what is written to it at once. In bytes.
SIZE = 65536

_numbers = count()


class _Readable(Waitable):
    """Our end of a pipe that the child writes to."""

    def __init__(self, handle: int) -> None:
        super().__init__()
        self._handle = handle
        self._looking: Any = None

    def is_ready(self) -> bool:
        try:
            return bool(_winapi.PeekNamedPipe(self._handle, 0)[0])
        except OSError:
            return True  # the end: no writer is left

    def arm(self) -> None:
        # To read no bytes ends when there are some, or there will be no more, and
        # leaves them in the pipe. (libuv waits for pipes in this way as well.)
        if self._looking is None or not self._looking.pending:
            try:
                self._looking = completions.begin(
                    lambda operation: operation.ReadFile(self._handle, 0), self.tell
                )
            except OSError:
                self.tell()

    def close(self) -> None:
        waitables.pop(self._handle, None)
        if self._looking is not None and self._looking.pending:
            with suppress(OSError):
                self._looking.cancel()
        close_handle(self._handle)


class _Writable(Waitable):
    """Our end of a pipe that the child reads."""

    def __init__(self, handle: int) -> None:
        super().__init__()
        self._handle = handle
        self._writing: Any = None
        self._is_closing = False
        self._unclosed = [handle]

    def is_ready(self) -> bool:
        return self._writing is None or not self._writing.pending

    def arm(self) -> None:
        pass  # the write that is under way will tell

    def write(self, data: memoryview) -> int:
        """Begin to write: the kernel takes the bytes as the child reads them."""
        if not self.is_ready():
            raise BlockingIOError
        before, self._writing = self._writing, None
        if before is not None:
            before.getresult(False)  # raises if the reader is gone
        chunk = bytes(data[:SIZE])
        self._writing = completions.begin(
            lambda operation: operation.WriteFile(self._handle, chunk), self._written
        )
        return len(chunk)

    def _written(self) -> None:
        if self._is_closing and self.is_ready():
            self._close_once()
        self.tell()

    def close(self) -> None:
        waitables.pop(self._handle, None)
        # What was written is still to be read, as it would be from a pipe of POSIX. So
        # the handle is closed after that, or when the last reader is gone.
        self._is_closing = True
        if self.is_ready():
            self._close_once()

    def _close_once(self) -> None:
        while self._unclosed:  # both threads may be here
            any(map(close_handle, map(self._unclosed.pop, [-1])))


def make_pipe(
    held: Handles, *, reading: bool, size: int | None = None
) -> tuple[int, int]:
    """A new pipe, kept by ``held``: (our end, the child's). We read if ``reading``."""
    name = rf"\\.\pipe\within-{os.getpid()}-{next(_numbers)}-{os.urandom(8).hex()}"
    for_reading, for_writing = (_winapi.FILE_FLAG_OVERLAPPED, 0)[
        :: 1 if reading else -1
    ]
    # The end to read from is the one that has the name, as in asyncio: what was written
    # is certain to stay there when the other one is closed.
    readable = held.open(
        _winapi.CreateNamedPipe,
        name,
        _winapi.PIPE_ACCESS_INBOUND
        | _winapi.FILE_FLAG_FIRST_PIPE_INSTANCE
        | for_reading,
        _winapi.PIPE_WAIT,
        1,  # one instance: nobody else can connect to it
        *(size or SIZE, size or SIZE),
        *(0, _winapi.NULL),
    )
    writable = held.open(
        _winapi.CreateFile,
        *(name, _winapi.GENERIC_WRITE, 0, _winapi.NULL),
        *(_winapi.OPEN_EXISTING, for_writing, _winapi.NULL),
    )
    ours, theirs = (readable, writable) if reading else (writable, readable)
    completions.include(ours)
    waitables[ours] = _Readable(ours) if reading else _Writable(ours)
    held.close_with(ours, close)
    return ours, theirs


def read(handle: int, most: int) -> bytes:
    """At most ``most`` bytes; b"" at the end.

    Raises:
        BlockingIOError: If there is nothing yet.
    """
    try:
        available = _winapi.PeekNamedPipe(handle, 0)[0]
    except BrokenPipeError:
        return b""
    if not available:
        raise BlockingIOError
    size = min(available, most)
    operation = completions.begin(lambda new: new.ReadFile(handle, size), nothing)
    data: bytes = operation.getresult(True)
    return data


def write(handle: int, data: memoryview) -> int:
    """Begin to write some of ``data``; return how many bytes.

    Raises:
        BlockingIOError: If an earlier write is not done yet.
        BrokenPipeError: If the reader is gone.
    """
    pipe = waitables[handle]
    assert isinstance(pipe, _Writable)
    return pipe.write(data)


def close(handle: int) -> None:
    """Close our end of a pipe."""
    pipe = waitables[handle]
    assert isinstance(pipe, _Readable | _Writable)
    pipe.close()


def set_blocking(handle: int, blocking: bool) -> None:
    """For another child to read from it: nothing has to change (P20)."""
