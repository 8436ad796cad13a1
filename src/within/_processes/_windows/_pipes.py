"""Pipes whose end on our side does not block.

An anonymous pipe of Windows cannot do that, so each is a named pipe with a name that
nothing else knows. The child's end is an ordinary one, as programs expect. If a call
would block, it raises BlockingIOError, as ``os.read`` and ``os.write`` do.
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

# What a pipe holds by default, and the most that is written to it at once, in bytes.
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
        # Reading zero bytes completes when there are some, or when there will be no
        # more, and leaves them in the pipe. (libuv waits for pipes in this way too.)
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
        pass  # the write that is under way calls tell()

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
        # What was written has yet to be read, as from a pipe of POSIX. So the handle is
        # closed after that, or when the last reader is gone.
        self._is_closing = True
        if self.is_ready():
            self._close_once()

    def _close_once(self) -> None:
        with suppress(IndexError):  # both threads may be here
            # In one step of C, so that no signal comes in between (P14).
            any(map(close_handle, map(self._unclosed.pop, [-1])))


def make_pipe(
    held: Handles, *, reading: bool, size: int | None = None
) -> tuple[int, int]:
    """A new pipe, kept by ``held``: (our end, the child's). We read if ``reading``."""
    name = rf"\\.\pipe\within-{os.getpid()}-{next(_numbers)}-{os.urandom(8).hex()}"
    overlapped = _winapi.FILE_FLAG_OVERLAPPED
    for_reading, for_writing = (overlapped, 0) if reading else (0, overlapped)
    # As in asyncio, the end to read from is the one that has the name: what was written
    # is then certain to stay readable when the other end is closed.
    readable = held.open(
        _winapi.CreateNamedPipe,
        name,
        _winapi.PIPE_ACCESS_INBOUND
        | _winapi.FILE_FLAG_FIRST_PIPE_INSTANCE
        | for_reading,
        _winapi.PIPE_WAIT,
        1,  # one instance: no other program can connect to it
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


def copy_for_reading(held: Handles, handle: int) -> int:
    """Another handle, kept by ``held``, of our end of a pipe that the child writes to.

    It stays open when the other one is closed.
    """
    us = _winapi.GetCurrentProcess()
    copy = held.open(
        _winapi.DuplicateHandle,
        *(us, handle, us, 0, False, _winapi.DUPLICATE_SAME_ACCESS),
    )
    waitables[copy] = _Readable(copy)
    held.close_with(copy, close)
    return copy


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
    """Do nothing: another child can read from the handle as it is (P20)."""
