"""Text lines out of a stream of bytes, as a text file gives them (P10)."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._streams import ReceiveStream

# Characters that end a line for str.splitlines(), but not for a text file.
_OTHER_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"


class Lines:
    """An iterator over the lines of a stream, of any length.

    Line endings are kept, as ``\\n``: ``\\r\\n`` and ``\\r`` are translated, as
    ``open()`` does by default.
    """

    def __init__(
        self, stream: ReceiveStream, encoding: str, errors: str, max_line: int | None
    ) -> None:
        self._stream = stream
        self._max_line = max_line
        # The decoder keeps the first bytes of a character, and a "\r" that a "\n"
        # may follow, from one read to the next.
        self._decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(encoding)(errors), translate=True
        )
        self._lines: list[str] = []  # the next one is the last
        # The pieces of a line that has not ended. They are joined once, when it
        # does, so that a long line does not cost its length squared.
        self._pieces: list[str] = []
        self._held = 0  # characters in the pieces
        self._at_end = False
        self._too_long = False
        self._gave_return = False  # a line was given at its "\r"
        self._error: UnicodeError | None = None

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        # This call is half of what a line costs, so it checks nothing that can be
        # checked once for all the lines of a read.
        try:
            return self._lines.pop()
        except IndexError:
            pass
        return await self._wait()

    async def _wait(self) -> str:
        # No local variable holds data while we wait: a cancelled read leaves
        # everything where the next one finds it (P11).
        while not self._lines:
            if self._too_long:
                raise ValueError(
                    f"a line of the child is longer than max_line={self._max_line} "
                    "characters: raise the limit, or read process.stdout in pieces"
                )
            if self._error is not None:
                raise self._error
            if self._at_end:
                raise StopAsyncIteration
            await self._more()
        return self._lines.pop()

    async def _more(self) -> None:
        from anyio import EndOfStream

        try:
            data = await self._stream.receive()
        except EndOfStream:
            data = b""
            self._at_end = True
        lines, rest = _split(self._decode(data))
        if lines:
            self._pieces.append(lines[0])
            lines[0] = "".join(self._pieces)
            self._pieces = []
            self._held = 0
        self._pieces.append(rest)
        self._held += len(rest)
        if self._max_line is not None:
            self._bound(lines, self._max_line)
        if self._at_end and self._held and not self._too_long:
            lines.append("".join(self._pieces))
        self._lines = lines[::-1]

    def _bound(self, lines: list[str], limit: int) -> None:
        """Give up at the first line that is too long; the ones before it are given."""
        for place, line in enumerate(lines):
            if len(line) - 1 > limit:
                del lines[place:]
                self._too_long = True
                return
        self._too_long = self._held > limit

    def _decode(self, data: bytes) -> str:
        state = self._decoder.getstate()
        try:
            text = self._decoder.decode(data, final=self._at_end)
        except UnicodeError as error:
            # The text before it is good and is given first. Every call after that
            # raises the error, because nobody knows where the text continues.
            self._error = error
            good = 0  # before 3.13, UTF-16 without its mark raises a bare UnicodeError
            if isinstance(error, UnicodeDecodeError):
                good = len(data) - (len(error.object) - error.start)
            self._decoder.setstate(state)
            text = self._decoder.decode(data[: max(0, good)])
        # The decoder holds a "\r" back, because a "\n" may follow. But the "\r" ends a
        # line in any case, and a program that reports its progress like this may then be
        # silent for long. So give the line now, and drop the line end that comes later.
        if self._gave_return and text:
            text = text[1:]
            self._gave_return = False
        if not self._gave_return and self._decoder.getstate()[1] & 1:
            self._gave_return = True
            text += "\n"
        return text


def _split(text: str) -> tuple[list[str], str]:
    """The lines of ``text``, and the beginning of one that has not ended."""
    if any(end in text for end in _OTHER_ENDS):
        *whole, rest = text.split("\n")
        return [line + "\n" for line in whole], rest
    # The same in one pass over the lines instead of two.
    lines = text.splitlines(keepends=True)
    if not lines or lines[-1].endswith("\n"):
        return lines, ""
    rest = lines.pop()
    return lines, rest
