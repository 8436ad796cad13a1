"""Text lines out of a stream of bytes, as a text file gives them."""

from __future__ import annotations

import codecs
import io
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._pipes import ReceivePipe


class Lines:
    """An iterator over the lines of a pipe, of any length (P10).

    Line endings are kept, as ``\\n``: ``\\r\\n`` and ``\\r`` are translated, as
    ``open()`` does by default.
    """

    def __init__(
        self, pipe: ReceivePipe, encoding: str, errors: str, max_line: int | None
    ) -> None:
        self._pipe = pipe
        self._max_line = max_line
        # The decoder keeps the first bytes of a character, and a "\r" that a
        # "\n" may follow, from one read to the next.
        self._decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(encoding)(errors), translate=True
        )
        self._lines: deque[str] = deque()
        # The pieces of a line that has not ended: joined once, when it does, so
        # that a long one does not cost its length squared.
        self._pieces: list[str] = []
        self._held = 0  # characters in the pieces
        self._at_end = False
        self._error: UnicodeDecodeError | None = None

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        # Nothing is in a local variable while we wait: a cancelled read leaves
        # all that has come where the next one finds it (P11).
        while not self._lines:
            if self._error is not None:
                raise self._error
            if self._at_end:
                raise StopAsyncIteration
            self._check(self._held)
            await self._more()
        line = self._lines[0]
        self._check(len(line) - line.endswith("\n"))
        return self._lines.popleft()

    async def _more(self) -> None:
        from anyio import EndOfStream

        try:
            data = await self._pipe.receive()
        except EndOfStream:
            data = b""
            self._at_end = True
        text = self._decode(data)
        head, *rest = text.split("\n")
        self._pieces.append(head)
        self._held += len(head)
        if rest:
            self._lines.append("".join(self._pieces) + "\n")
            *whole, tail = rest
            self._lines.extend([line + "\n" for line in whole])
            self._pieces = [tail]
            self._held = len(tail)
        if self._at_end and self._held:
            self._lines.append("".join(self._pieces))

    def _decode(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=self._at_end)
        except UnicodeDecodeError as error:
            # What came before it is good, and is given first; then the error,
            # each time, for nobody knows where the text goes on.
            self._error = error
            self._decoder.reset()
            return self._decoder.decode(error.object[: error.start])

    def _check(self, length: int) -> None:
        if self._max_line is not None and length > self._max_line:
            raise ValueError(
                f"a line of the child is longer than max_line={self._max_line} "
                "characters: raise the limit, or read process.stdout in pieces"
            )
