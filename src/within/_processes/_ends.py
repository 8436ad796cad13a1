"""Our ends of a child's pipes: the one place where each is read, and closed.

``run()`` has a pump move the bytes. The streams of a process read them as they are asked
to, and a pump moves what is left when the block ends. Either way they go through here.
"""

from __future__ import annotations

import errno
import sys
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from ._platform import Pump, close_end, read_end, writing_backend
from ._pump import limited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._options import Source
    from ._platform import Child, Files, WritingBackend
    from ._rest import Rest

# What a pipe holds on Linux by default, in bytes.
_CHUNK = 65536

# The size to which a busy pipe is enlarged, in bytes. Not more, because all pipes of a
# user may hold 64 MiB together (/proc/sys/fs/pipe-user-pages-soft), and new ones are
# tiny after that.
_LARGE = 262144

# How much is kept of a stream that nobody reads while the child is being stopped, in
# bytes. The rest is dropped, so that the child can flush and exit (P4).
_MOST_HELD = 1 << 20


class Output:
    """A pipe that the child writes to.

    Attributes:
        fd: The descriptor; -1 once it is closed.
        at_end: Nothing more will come: every writer has closed the pipe, or the
            processes that the child left behind have had their time (P6).
        was_read: Something was read, or the end of the pipe was seen.
        sink: Where a pump puts the bytes. By default they wait here for a reader.
    """

    def __init__(
        self,
        fd: int,
        *,
        rest: Rest | None = None,
        sink: Callable[[bytes], object] | None = None,
        close: Callable[[int], object] = close_end,
    ) -> None:
        self.fd: int = fd
        self.at_end: bool = False
        self.was_read: bool = False
        self.sink = sink
        self._rest = rest
        self._close = close
        self._held: deque[bytes] = deque()
        self._size = 0  # of what is held, in bytes
        self._dropped = 0  # beyond that, in bytes
        self._chunk = _CHUNK
        self._waiter: Pump | None = None  # for readers; made when one has to wait
        self._on_close: dict[Pump, Callable[[], object]] = {}

    def read(self, most: int) -> bytes | None:
        """At most ``most`` bytes, without waiting; b"" at the end, ``None`` if none yet.

        Raises:
            OSError: If bytes are missing because they were dropped while the child was
                being stopped.
        """
        if self._held:
            return self._take(most)
        if self._dropped:
            raise OSError(
                errno.ENOBUFS,
                f"{self._dropped} bytes are missing: the child wrote them while it was "
                f"being stopped, and only {_MOST_HELD} bytes of unread output are kept",
            )
        if self.fd < 0:
            return b""
        try:
            data = read_end(self.fd, most)
        except BlockingIOError:
            return b"" if self.at_end else None
        self._note(data)
        return data

    async def next(self, most: int) -> bytes:
        """Like :meth:`read`, but wait until there is something.

        A cancelled call loses nothing (P11): what was not returned is still here.
        """
        while (data := self.read(most)) is None:
            if self._waiter is None:
                waiter = Pump()
                self.share(waiter)
                self._waiter = waiter  # last: a signal handler may raise before (P14)
            await wait_for_any([self], self._waiter, self._rest)
        return data

    def unread(self, data: bytes) -> None:
        """Put back what was read, for the next reader."""
        if data:
            self._held.appendleft(data)
            self._size += len(data)

    def take_held(self) -> bytes:
        """Return and forget all that is held here, without what is in the pipe."""
        data = b"".join(self._held)
        self._held.clear()
        self._size = 0
        return data

    def all_held(self) -> bytes:
        """All that has arrived, which is still unread afterwards."""
        while self.fd >= 0 and self.sink is None and self._size < _MOST_HELD:
            if not self.move():
                break
        return b"".join(self._held)

    def share(self, pump: Pump) -> None:
        """Have ``pump`` end its wait when this has something to read, or is closed."""
        if self.fd >= 0 and not self.at_end:
            self._when_closed(pump, pump.close)
            pump.wake_at(self.fd)

    def move(self) -> int:
        """Move what is there to the sink; return the number of bytes. Does not wait."""
        try:
            data = read_end(self.fd, self._chunk)
        except BlockingIOError:
            return 0
        if data:
            (self.sink or self._hold)(data)
        self._note(data)
        if len(data) == _CHUNK == self._chunk:
            self._chunk = enlarge(self.fd)
        return len(data)

    def join(self, pump: Pump) -> None:
        """Have ``pump`` move the bytes from now on."""
        if self.fd >= 0 and not self.at_end:
            self._when_closed(pump, partial(pump.forget, self.fd))
            pump.move(self)

    def close(self) -> None:
        """Close it at once, and wake every task that waits for it."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        for tell in self._on_close.values():
            tell()
        self._close(fd)

    def _when_closed(self, pump: Pump, act: Callable[[], object]) -> None:
        # Each communicate() has a pump of its own, and there may be many of them.
        before = self._on_close.items()
        self._on_close = {one: how for one, how in before if not one.is_closed}
        self._on_close[pump] = act

    def _note(self, data: bytes) -> None:
        self.was_read = True
        if not data:
            self.at_end = True
        elif self._rest is not None and self._rest.has_begun:
            self._rest.note_output()

    def _hold(self, data: bytes) -> None:
        if self._size < _MOST_HELD:
            self._held.append(data)
            self._size += len(data)
        else:
            self._dropped += len(data)

    def _take(self, most: int) -> bytes:
        data = self._held.popleft()
        if len(data) > most:
            self._held.appendleft(data[most:])
            data = data[:most]
        self._size -= len(data)
        return data


async def wait_for_any(
    outputs: Iterable[Output], waiter: Pump, rest: Rest | None
) -> None:
    """Wait with ``waiter`` until one of ``outputs`` has bytes, or their time is over.

    This may also return earlier, so look at all of them again.
    """
    if rest is None:
        await waiter.once()
    elif not rest.has_begun:
        if rest.child_has_exited(waiter):
            rest.begin()  # look again first, for what came before the exit
        else:
            await waiter.once()
    elif (seconds := rest.left()) > 0:
        waiter.unwatch()  # another task may have noticed the exit
        with limited(seconds, waiter):
            await waiter.once()
    else:
        for output in outputs:
            output.at_end = True


class Input:
    """A pipe that the child reads.

    Attributes:
        fd: The descriptor; -1 once it is closed.
    """

    def __init__(
        self,
        fd: int,
        close: Callable[[int], object],
        write: Callable[[int, memoryview], int],
    ) -> None:
        self.fd: int = fd
        self._close = close
        self._write = write
        self._chunk = _CHUNK
        self._data = memoryview(b"")
        self._pump: Pump | None = None
        self._backend: WritingBackend | None = None

    def write(self, data: memoryview) -> int:
        """Write what the pipe takes without waiting; return the number of bytes."""
        try:
            return self._write(self.fd, data)
        except BlockingIOError:
            return 0

    async def wait(self) -> None:
        """Wait until the pipe takes more, or is closed."""
        self._backend = writing_backend()
        await self._backend.wait_writable(self.fd)

    def leave(self, data: bytes) -> None:
        """Leave ``data`` here, to be written by the next pump."""
        self._data = memoryview(data)

    @property
    def is_fed(self) -> bool:
        """Whether some of what it was fed has yet to be written."""
        return bool(self._data)

    def feed(self, pump: Pump, data: bytes = b"") -> None:
        """Have ``pump`` write ``data``, or what it was left with, and close the pipe."""
        if self.fd < 0:
            return
        if data:
            self.leave(data)
        self._pump = pump
        pump.fill(self)

    def move(self) -> int:
        """Write some of what it was fed, and close it after the last byte."""
        try:
            written = self.write(self._data[: self._chunk])
        except BrokenPipeError:  # the child has stopped reading, which is no error
            self.close()
            return 0
        self._data = self._data[written:]
        if not self._data:
            self.close()
        elif written == _CHUNK == self._chunk:
            self._chunk = enlarge(self.fd)
        return written

    def close(self) -> None:
        """Close it at once, and wake the task that waits for it."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        self._data = memoryview(b"")
        if self._pump is not None:
            self._pump.forget(fd)
        if self._backend is not None:
            with suppress(RuntimeError):  # its loop is gone, so no task waits
                self._backend.notify_closing(fd)
        self._close(fd)


class Ends:
    """All of our ends of one child's pipes, which are closed together with the child."""

    def __init__(self, child: Child, files: Files, rest: Rest) -> None:
        self.stdin: Input | None = None
        self.outputs: dict[Source, Output] = {}
        close = child.held.close
        if files.stdin is not None:
            self.stdin = Input(files.stdin, files.close_stdin, files.write_stdin)
            child.ends.add(self.stdin)
        if files.stdout is not None:
            self.outputs["stdout"] = Output(files.stdout, rest=rest, close=close)
        if files.stderr is not None:
            self.outputs["stderr"] = Output(files.stderr, rest=rest, close=close)
        child.ends.update(self.outputs.values())

    def close_stdin(self) -> None:
        """Let the child see the end of its input."""
        if self.stdin is not None:
            self.stdin.close()


def enlarge(fd: int) -> int:
    """Let a busy pipe hold more, if we may; return how much to move at once from now on.

    A pipe of another size than the default was asked for, and stays as it is.
    """
    if sys.platform == "win32":  # its size is set when it is made
        return _LARGE
    import fcntl

    get_size = getattr(fcntl, "F_GETPIPE_SZ", None)  # Linux
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)
    try:
        if get_size and set_size and fcntl.fcntl(fd, get_size) == _CHUNK:
            fcntl.fcntl(fd, set_size, _LARGE)
    except OSError:  # the user's pipes hold too much already, or it is not a pipe
        pass
    return _LARGE
