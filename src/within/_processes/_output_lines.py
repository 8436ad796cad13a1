"""The lines of both outputs of a child, in the order in which they arrive (P22)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from ._ends import wait_for_any
from ._platform import Pump

if TYPE_CHECKING:
    from ._ends import Output
    from ._exiting import Exiting
    from ._options import Source
    from ._rest import Rest
    from ._text import TextReader


class OutputLines:
    """An iterator over pairs: which output it was, and the line.

    It reads with the text readers of the two streams, so code that reads one of them
    before or after loses nothing.
    """

    def __init__(
        self,
        readers: list[tuple[Source, TextReader]],
        outputs: list[Output],
        rest: Rest,
        exiting: Exiting,
    ) -> None:
        self._readers = readers
        self._outputs = outputs
        self._rest = rest
        self._exiting = exiting
        self._waiter: Pump | None = None
        # The output whose lines are returned at the moment.
        self._source: Source = readers[0][0]
        self._lines = readers[0][1].decoded.lines

    if not TYPE_CHECKING:  # type checkers reject it anyway

        def __iter__(self):
            raise TypeError("output() is iterated over with `async for`")

    def __aiter__(self) -> OutputLines:
        return self

    async def __anext__(self) -> tuple[Source, str]:
        try:
            return self._source, self._lines.pop()
        except IndexError:
            pass
        with ExitStack() as turns:
            for _, reader in self._readers:
                turns.enter_context(reader.pipe.turn)
            return await self._next()

    async def _next(self) -> tuple[Source, str]:
        ended = {it for _, it in self._readers if it.pipe.is_handed_over}
        while True:
            for source, reader in self._readers:
                if line := reader.line_now(at_end=reader in ended):
                    self._source, self._lines = source, reader.decoded.lines
                    return source, line
            if len(ended) == len(self._readers):
                await self._exiting.known()
                raise StopAsyncIteration
            await checkpoint()
            # All lines that had arrived, on both, have been returned. So an output that
            # never pauses cannot starve the other one.
            news = False
            for _, reader in self._readers:
                if reader not in ended and (more := reader.more_now()) is not None:
                    news = True
                    if not more:
                        ended.add(reader)
            if not news:
                await self._wait(ended)

    async def _wait(self, ended: set[TextReader]) -> None:
        if self._waiter is None or self._waiter.is_closed:
            waiter = Pump()
            for output in self._outputs:
                output.share(waiter)
            self._waiter = waiter  # last: a signal handler may raise before (P14)
        for reader in ended:
            if (fd := reader.pipe.fileno()) >= 0:
                self._waiter.forget(fd)  # it would end every wait from here on
        await wait_for_any(self._outputs, self._waiter, self._rest)
