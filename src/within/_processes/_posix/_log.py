"""The output of a server, which a thread reads all the time (P23)."""

from __future__ import annotations

import fcntl
import os
import select
import selectors
import termios
import time
from array import array
from functools import partial
from typing import TYPE_CHECKING

from ..._backends import current
from .._descriptors import Descriptors
from .._log_thread import LogThread
from ._terminal import read

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._decoding import Text
    from .._ready import Sought
    from ._child import Child

# The longest that we wait for the thread to read what is in the pipe, and the time
# between two looks, in seconds. It takes that long only if the thread is not scheduled.
_MOMENT = 1.0
_STEP = 0.0001


def _waiting_in(fd: int) -> int:
    """How many bytes there are to read."""
    count = array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


class Log(LogThread):
    """The end of the output of a server.

    The thread has descriptors of its own, which it closes itself. It ends when the child
    has exited and its output has ended, or when our end of a pipe to it is closed: by
    :meth:`close`, or together with everything else of the child.
    """

    def __init__(self, keep: int, text: Text, sought: Sought | None) -> None:
        super().__init__(keep, text, sought)
        self._fd = -1
        self._stop: Callable[[], object] = lambda: None
        self._news_fd = -1  # readable when an attribute has changed
        self._telling_fd = -1  # the thread writes here to make it readable

    def start(self, child: Child, output: int | None) -> None:
        """Read the pipe ``output`` from now on, and watch the child."""
        held = child.held
        stop, writable = held.pipe()
        self._news_fd, news = held.pipe()
        own = Descriptors()
        # The reading end as well: without a reader, writing the news would be an error.
        own.open(os.dup, self._news_fd)
        fds = [own.open(os.dup, fd) for fd in (stop, news, child.exit_fd)]
        if output is None:
            self.is_over = True
        else:
            self._fd = output
            fds.append(own.open(os.dup, self._fd))
        self._stop = lambda: held.close(writable)
        # Made here, and not in the thread, because it takes a descriptor too: if we are
        # out of them, the start has to fail, and not the thread (P16).
        selector = selectors.DefaultSelector()
        self._begin(child.pid, partial(self._run, selector, own, *fds))
        held.close(stop)
        held.close(news)

    def close(self) -> None:
        """Read what there is, and no more; return when the thread has ended."""
        self._stop()
        self._join()

    async def news(self) -> bool:
        """Wait until an attribute has changed; false if the thread has failed."""
        await current().wait_readable(self._news_fd)
        return bool(os.read(self._news_fd, 64))

    def _catch_up(self) -> None:
        over = time.monotonic() + _MOMENT
        # In this order, what the thread reads in between is counted twice, and not
        # missed.
        enough = _waiting_in(self._fd) + self._size
        while self._is_running() and not self.is_over and time.monotonic() < over:
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            # In this order, because the thread sets _is_at_work before it reads.
            is_empty = not poll.poll(0)
            if not self._is_at_work and (is_empty or self._size >= enough):
                break
            time.sleep(_STEP)

    # -- in the thread -----------------------------------------------------

    def _tell(self) -> None:
        os.write(self._telling_fd, b"!")

    def _run(
        self,
        selector: selectors.BaseSelector,
        own: Descriptors,
        stop: int,
        news: int,
        exited: int,
        output: int = -1,
    ) -> None:
        self._telling_fd = news
        with own, selector:
            selector.register(stop, selectors.EVENT_READ)
            selector.register(exited, selectors.EVENT_READ)
            if output >= 0:
                selector.register(output, selectors.EVENT_READ)
            while len(selector.get_map()) > 1:
                ready = {key.fd for key, _ in selector.select(self.patience)}
                if not ready:
                    self._settle()
                if output in ready and self._read(read, output):
                    selector.unregister(output)
                if exited in ready:
                    selector.unregister(exited)
                    self._note_exit()
                if stop in ready:
                    self._read_rest(read, output)
                    return
