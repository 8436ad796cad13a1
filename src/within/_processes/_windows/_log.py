"""The output of a server, read on all the while by a thread (P23).

The POSIX module of this name says why it is a thread.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ..._backends import current
from .._log_end import LogEnd
from ._handles import Handles
from ._pipes import copy_for_reading, read
from ._waiting import Exit, Wakeable, waitables

if TYPE_CHECKING:
    from .._decoding import Text
    from .._ready import Sought
    from ._child import Child
    from ._waiting import Waitable

_CHUNK = 65536  # what is read at once, in bytes

# How many reads empty any pipe; see _pump.
_ROUNDS = 16

# How long we wait for the thread to read what is in the pipe, and how long between two
# looks. In seconds. It is over at once, unless the server goes on writing.
_MOMENT = 0.02
_STEP = 0.0001


class _Told:
    """Tells the thread to end. It is closed with the ends of the child's pipes."""

    def __init__(self) -> None:
        self.is_closed = False
        self.wake = threading.Event()

    def close(self) -> None:
        """Tell it."""
        self.is_closed = True
        self.wake.set()


class Log(LogEnd):
    """The end of the output of a server; the methods are as on POSIX."""

    def __init__(self, keep: int, text: Text, sought: Sought | None) -> None:
        super().__init__(keep, text, sought)
        self._told = _Told()
        self._pipe: Waitable | None = None
        self._is_at_work = False
        self._thread: threading.Thread | None = None
        self._is_new = False
        self._task = Wakeable()

    def start(self, child: Child, output: int | None) -> None:
        """Read the pipe ``output`` from now on, and watch the child."""
        child.ends.add(self._told)
        own, fd = Handles(), -1
        if output is None:
            self.is_over = True
        else:
            fd = copy_for_reading(own, output)
            self._pipe = waitables[fd]
        self._thread = threading.Thread(
            target=self._run,
            args=(own, Exit(child.exit_fd), fd),
            name=f"within-log-{child.pid}",
            daemon=True,  # the interpreter joins others before it ends the children
        )
        self._thread.start()

    def close(self) -> None:
        """Read what there is, and no more; return when the thread has ended."""
        self._told.close()
        if self._thread is not None:
            self._thread.join()

    async def news(self) -> bool:
        """Wait until an attribute has changed."""
        await self._task.wait(current(), lambda: self._is_new)
        self._is_new = False
        return True

    def catch_up(self) -> None:
        """Let the thread read what is in the pipe by now, if it takes no more than a moment."""
        over = time.monotonic() + _MOMENT
        pipe = self._pipe
        while (
            pipe is not None
            and self._is_running()
            and not self.is_over
            and time.monotonic() < over
        ):
            # In this order: the thread is at work from before it reads until it has kept
            # what it has read.
            if not (pipe.is_ready() or self._is_at_work):
                break
            time.sleep(_STEP)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    # -- in the thread -----------------------------------------------------

    def _run(self, own: Handles, exited: Exit, fd: int) -> None:
        watched: list[Waitable] = [exited]
        if fd >= 0:
            watched.append(waitables[fd])
        wake = self._told.wake
        with own:
            for one in watched:
                one.listeners.add(wake.set)
            while watched:
                wake.clear()
                if self._told.is_closed:
                    for _ in range(0 if self.is_over else _ROUNDS):
                        if self._read(fd):
                            break
                    return
                ready = [one for one in watched if one.is_ready()]
                for one in ready:
                    if one is exited:
                        self._note_exit()
                    elif not self._read(fd):
                        continue
                    watched.remove(one)
                    one.listeners.clear()
                if not ready:
                    for one in watched:
                        one.arm()
                    wake.wait()

    def _note_exit(self) -> None:
        self._tell()
        if (on_exit := self.on_exit) is not None:
            with suppress(RuntimeError):  # its loop is closed
                on_exit()

    def _tell(self) -> None:
        self._is_new = True
        self._task.wake()

    def _read(self, fd: int) -> bool:
        """Read once; true at the end."""
        self._is_at_work = True
        try:
            data = read(fd, _CHUNK)
        except BlockingIOError:
            return False
        else:
            if data:
                self.keep(data)
        finally:
            self._is_at_work = False
        if self.has_news(data):
            self._tell()
        return self.is_over
