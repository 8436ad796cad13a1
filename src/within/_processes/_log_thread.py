"""The thread that reads a server's output (P23): what all platforms have in common.

It is a thread because the server must never wait for us: neither while a test blocks the
loop, nor while the loop does not run at all. The loop of a session-wide fixture does not
run between tests, or during tests on another loop.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING

from ._log_end import LogEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._decoding import Text
    from ._ready import Sought

_CHUNK = 65536  # how much is read at once, in bytes

# How many reads empty any pipe; see _pump.
_ROUNDS = 16


class LogThread(LogEnd, ABC):
    """Reads the output, and watches for the exit.

    Each platform has a subclass, which knows how to wait.
    """

    def __init__(self, keep: int, text: Text, sought: Sought | None) -> None:
        super().__init__(keep, text, sought)
        # True from before a read until its data has been kept and searched.
        self._is_at_work = False
        self._thread: threading.Thread | None = None

    def _begin(self, pid: int, run: Callable[[], object]) -> None:
        self._thread = threading.Thread(
            target=run,
            name=f"within-log-{pid}",
            daemon=True,  # the interpreter joins others before it ends the children
        )
        self._thread.start()

    def catch_up(self) -> None:
        """Wait until the thread has read what is in the pipe by now.

        A lock would do the same, but an interruption must not leave it locked.
        """
        if self._is_running() and not self.is_over:
            with suppress(OSError):  # another thread is closing it: there is no more
                self._catch_up()

    @abstractmethod
    def _catch_up(self) -> None:
        """Wait until the thread has read it, or for a moment."""

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    # -- in the thread -----------------------------------------------------

    @abstractmethod
    def _tell(self) -> None:
        """End the wait of a task for news."""

    def _read(self, read: Callable[[int, int], bytes], fd: int) -> bool:
        """Read once; true at the end."""
        self._is_at_work = True
        try:
            data = read(fd, _CHUNK)
            if data:
                self.keep(data)
            has_news = self.has_news(data)
        except BlockingIOError:
            return False
        finally:
            self._is_at_work = False
        if has_news:
            self._tell()
        return self.is_over

    def _read_rest(self, read: Callable[[int, int], bytes], fd: int) -> None:
        """Read what there is, and no more."""
        for _ in range(0 if self.is_over else _ROUNDS):
            if self._read(read, fd):
                break

    def _note_exit(self) -> None:
        self._tell()
        if (on_exit := self.on_exit) is not None:
            with suppress(RuntimeError):  # its loop is closed
                on_exit()

    def _settle(self) -> None:
        """Nothing more has come for a moment."""
        self.settle()
        self._tell()
