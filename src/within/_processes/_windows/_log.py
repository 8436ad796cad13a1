"""The output of a server, which a thread reads all the time (P23)."""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from ..._backends import current
from .._log_thread import LogThread
from ._handles import Handles
from ._pipes import copy_for_reading, read
from ._waiting import Exit, Wakeable, waitables

if TYPE_CHECKING:
    from .._decoding import Text
    from .._ready import Sought
    from ._child import Child
    from ._waiting import Waitable

# The longest that we wait for the thread to read what is in the pipe, and the time
# between two looks, in seconds. It takes that long only if the server goes on writing.
_MOMENT = 0.02
_STEP = 0.0001


class _StopRequest:
    """Tells the thread to end. It is closed with the ends of the child's pipes."""

    def __init__(self) -> None:
        self.is_closed = False
        self.wake = threading.Event()

    def close(self) -> None:
        """Tell it."""
        self.is_closed = True
        self.wake.set()


class Log(LogThread):
    """The end of a server's output; the methods are the same as on POSIX."""

    def __init__(self, keep: int, text: Text, sought: Sought | None) -> None:
        super().__init__(keep, text, sought)
        self._stop = _StopRequest()
        self._pipe: Waitable | None = None
        self._is_new = False
        self._task = Wakeable()

    def start(self, child: Child, output: int | None) -> None:
        """Read the pipe ``output`` from now on, and watch the child."""
        child.ends.add(self._stop)
        own, fd = Handles(), -1
        if output is None:
            self.is_over = True
        else:
            fd = copy_for_reading(own, output)
            self._pipe = waitables[fd]
        self._begin(child.pid, partial(self._run, own, Exit(child.exit_fd), fd))

    def close(self) -> None:
        """Read what there is, and no more; return when the thread has ended."""
        self._stop.close()
        self._join()

    async def news(self) -> bool:
        """Wait until an attribute has changed."""
        await self._task.wait(current(), lambda: self._is_new)
        self._is_new = False
        return True

    def _catch_up(self) -> None:
        over = time.monotonic() + _MOMENT
        pipe = self._pipe
        while (
            pipe is not None
            and self._is_running()
            and not self.is_over
            and time.monotonic() < over
        ):
            # In this order, because the thread sets _is_at_work before it reads.
            if not (pipe.is_ready() or self._is_at_work):
                break
            time.sleep(_STEP)

    # -- in the thread -----------------------------------------------------

    def _run(self, own: Handles, exited: Exit, fd: int) -> None:
        watched: list[Waitable] = [exited]
        if fd >= 0:
            watched.append(waitables[fd])
        wake = self._stop.wake
        with own:
            for one in watched:
                one.listeners.add(wake.set)
            while watched:
                wake.clear()
                if self._stop.is_closed:
                    self._read_rest(read, fd)
                    return
                ready = [one for one in watched if one.is_ready()]
                for one in ready:
                    if one is exited:
                        self._note_exit()
                    elif not self._read(read, fd):
                        continue
                    watched.remove(one)
                    one.listeners.clear()
                if not ready:
                    for one in watched:
                        one.arm()
                    if not wake.wait(self.patience):
                        self._settle()

    def _tell(self) -> None:
        self._is_new = True
        self._task.wake()
