"""One completion port and one thread for everything that this program waits for.

Windows can report to a completion port that a pipe can be read, that a write is done and
that a process has ended. One port serves any number of waits (P15), and its thread can
wake a loop of any kind. asyncio's own port belongs to one kind of loop.
"""

from __future__ import annotations

import sys

assert sys.platform == "win32"

import _overlapped  # type: ignore[import-not-found]
import threading
from typing import TYPE_CHECKING, Any

from ._kernel import INFINITE

if TYPE_CHECKING:
    from collections.abc import Callable

# typeshed does not describe this module, on which asyncio's loop is built.
overlapped: Any = _overlapped


class Completions:
    """The operations that are under way."""

    def __init__(self) -> None:
        self._port: int = 0
        self._starting = threading.Lock()
        # The kernel writes into an operation until its completion has been read from
        # the port. Until then, it is kept here, so that its address is not reused.
        self._under_way: dict[int, tuple[Any, Callable[[], object]]] = {}

    def port(self) -> int:
        """The port; opened with its thread when it is first needed."""
        if not self._port:
            with self._starting:
                if not self._port:
                    port = overlapped.CreateIoCompletionPort(
                        overlapped.INVALID_HANDLE_VALUE, 0, 0, 0
                    )
                    threading.Thread(
                        target=self._listen,
                        args=(port,),
                        name="within-port",
                        daemon=True,
                    ).start()
                    self._port = port
        return self._port

    def include(self, handle: int) -> None:
        """Have the completions on ``handle``, a pipe, reported to the port."""
        overlapped.CreateIoCompletionPort(handle, self.port(), 0, 0)

    def begin(self, start: Callable[[Any], object], done: Callable[[], object]) -> Any:
        """Begin an operation with ``start(operation)``, and return the operation.

        ``done()`` is called in the port's thread, even if the operation was over at once
        or has failed. It is not called if ``start`` raises.
        """
        operation = overlapped.Overlapped(0)
        self._under_way[operation.address] = operation, done
        try:
            start(operation)
        except BaseException:
            if not operation.pending:
                self._under_way.pop(operation.address, None)
            raise
        return operation

    def _listen(self, port: int) -> None:
        while True:
            reported = overlapped.GetQueuedCompletionStatus(port, INFINITE)
            if reported is not None:
                operation, done = self._under_way.pop(reported[3], (None, None))
                if done is not None:
                    done()
                # Or they, and what they refer to, would live until the next completion.
                del operation, done


completions = Completions()


def nothing() -> None:
    """Do nothing, when an operation is done whose end does not matter."""
