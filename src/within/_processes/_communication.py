"""Writes all of a child's input and reads all of its output, both at once (P8)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._platform import Pump
from ._stopping import let_finish

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._ends import Ends
    from ._options import Source
    from ._platform import Child
    from ._rest import Rest


class Communication:
    """One exchange with a child, and the output that has arrived so far, as bytes.

    An interrupted exchange loses nothing: the output goes back to where the next reader
    finds it, and the rest of the input is kept for the next exchange.
    """

    def __init__(self, child: Child, ends: Ends, rest: Rest) -> None:
        self._child = child
        self._ends = ends
        self._rest = rest
        self._outputs = ends.outputs
        self._pieces: dict[Source, list[bytes]] = {name: [] for name in self._outputs}

    @property
    def bytes(self) -> dict[Source, bytes]:
        """The bytes that have arrived, by the name of the output."""
        return {name: b"".join(pieces) for name, pieces in self._pieces.items()}

    @contextmanager
    def collecting(self) -> Generator[None, None, None]:
        """Collect all output inside the block. After an exception, put it back."""
        for name, output in self._outputs.items():
            self._pieces[name].append(output.take_held())
            output.sink = self._pieces[name].append
        try:
            yield
        except BaseException:
            self._put_back()
            raise
        finally:
            for output in self._outputs.values():
                output.sink = None

    def _put_back(self) -> None:
        for name, data in self.bytes.items():
            self._outputs[name].unread(data)

    async def exchange(self, *, is_shared: bool) -> None:
        """Go on until the child has exited and its output has ended (P6)."""
        child = self._child
        with Pump() as pump:
            if self._ends.stdin is not None:
                self._ends.stdin.feed(pump)
            for output in self._outputs.values():
                output.join(pump)
            if not child.has_exited():
                pump.watch(child.exit_fd)
            await pump.until(child.has_exited)
            self._rest.begin()
            await let_finish(child, pump, self._rest, is_shared=is_shared)
