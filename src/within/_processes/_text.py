"""Reads the text of a stream: by lines, by characters, or up to a match (P10, P22)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from anyio.lowlevel import checkpoint

from ._decoded import Decoded

if TYPE_CHECKING:
    from ._decoding import Position
    from ._exiting import Exiting
    from ._pipe_reader import PipeReader

# How much is read at once, in bytes.
_CHUNK = 65536


class TextReader:
    """Reads text, and is an iterator over lines.

    No local variable holds text or bytes while we wait: a cancelled read leaves
    everything where the next one finds it (P11).
    """

    def __init__(
        self,
        pipe: PipeReader,
        encoding: str,
        errors: str,
        max_line: int | None,
        exiting: Exiting | None = None,
    ) -> None:
        self.pipe = pipe
        self.decoded = pipe.decoded = Decoded(encoding, errors)
        self._lines = self.decoded.lines
        self._longest = max_line
        self._exiting = exiting

    # -- lines -------------------------------------------------------------

    def __aiter__(self) -> TextReader:
        return self

    async def __anext__(self) -> str:
        # This call is half of what a line costs, so it checks nothing that can be
        # checked once for all the lines of a read.
        try:
            return self._lines.pop()
        except IndexError:
            pass
        if line := await self._wait_for_line():
            return line
        raise StopAsyncIteration

    async def readline(self) -> str:
        """The next line; "" at the end."""
        try:
            return self._lines.pop()
        except IndexError:
            pass
        return await self._wait_for_line()

    async def _wait_for_line(self) -> str:
        with self.pipe.turn:
            at_end = False
            while (line := self.line_now(at_end=at_end)) is None:
                at_end = not await self._more()
            return line

    def line_now(self, *, at_end: bool) -> str | None:
        """The next line, if all of it is here; the rest of the text at the end."""
        if not self._lines:
            self.decoded.split(self._longest)
        if self._lines:
            return self._lines.pop()
        if self._longest is not None and self.decoded.size > self._longest:
            raise ValueError(
                f"a line of the child is longer than max_line={self._longest} "
                "characters: raise the limit, or read it in pieces with read(n)"
            )
        return self.decoded.take_all() if at_end else None

    # -- other text --------------------------------------------------------

    async def read(self, most: int) -> str:
        """At most ``most`` characters, or all to the end if it is negative."""
        _check_count(most)
        with self.pipe.turn:
            await checkpoint()
            while (most < 0 or not self.decoded.holds_text()) and most != 0:
                if not await self._more():
                    break
            return self.decoded.take_all() if most < 0 else self.decoded.take(most)

    async def read_until(self, wanted: str | re.Pattern[str]) -> str | None:
        """Everything up to the end of the first match; ``None`` if there will be none.

        In that case, the text is left unread.
        """
        search = _search_for(wanted)
        decoded, longest = self.decoded, self._longest
        with self.pipe.turn:
            await checkpoint()
            decoded.fold()
            at_end = False
            while not (end := search.end(decoded)):
                if at_end:
                    return None
                if longest is not None and decoded.size > longest:
                    break
                at_end = not await self._more()
            if longest is not None and (end or decoded.size) > longest:
                raise ValueError(
                    f"{wanted!r} does not match within max_line={longest} characters "
                    "of the child's output: raise the limit, or read it with read(n)"
                )
            return decoded.take(end)

    # -- decoding ---------------------------------------------------------

    def more_now(self) -> bool | None:
        """Decode what is there; ``False`` at the end, ``None`` if nothing is there."""
        data = self.pipe.next_now(_CHUNK)
        return None if data is None else self._decode(data)

    def give_back(self) -> Position:
        """Put the bytes of all unread text back, and return where they begin."""
        self.pipe.give_back_text()
        return self.decoded.position()

    async def _more(self) -> bool:
        """Wait for more, and decode it; false at the end."""
        if self._decode(await self.pipe.next(_CHUNK)):
            return True
        if self._exiting is not None:
            await self._exiting.known()
        return False

    def _decode(self, data: bytes) -> bool:
        try:
            rest = self.decoded.feed(data, final=not data)
        except Exception:
            self.pipe.unread(data)
            raise
        if rest:
            self.pipe.unread(rest)
        return bool(data)


def _check_count(count: Any) -> None:
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"n is {count!r}: give a number of characters, or -1 for all")


def _search_for(wanted: Any) -> _Literal | _Pattern:
    if not isinstance(getattr(wanted, "pattern", wanted), str):
        raise TypeError(
            f"cannot read until {wanted!r}: give a string or a compiled pattern of str "
            "(process.stdout has the bytes)"
        )
    if isinstance(wanted, re.Pattern):
        pattern = cast("re.Pattern[str]", wanted)
        if pattern.search("") is not None:
            raise _empty(pattern)
        return _Pattern(pattern)
    if not wanted:
        raise _empty(wanted)
    if "\r" in wanted:
        raise ValueError(
            f"{wanted!r} is never found: each line ending is read as \\n, even \\r\\n and "
            "\\r"
        )
    return _Literal(wanted)


def _empty(wanted: object) -> ValueError:
    return ValueError(
        f"{wanted!r} matches the empty string, so nothing would be read: give a string "
        "or a pattern that needs at least one character"
    )


class _Literal:
    """Some text that is searched for; each character is looked at once."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._searched = 0

    def end(self, decoded: Decoded) -> int:
        """Where the first match ends; 0 if there is none yet."""
        # It may have begun in the text that came before.
        start = max(0, self._searched - len(self._wanted) + 1)
        self._searched = decoded.size
        return decoded.find(self._wanted, start)


class _Pattern:
    """A pattern that is searched for, in all of the text whenever more has come."""

    def __init__(self, wanted: re.Pattern[str]) -> None:
        self._wanted = wanted

    def end(self, decoded: Decoded) -> int:
        """Where the first match ends; 0 if there is none yet."""
        match = self._wanted.search(decoded.text())
        if match is None:
            return 0
        if not match.end():
            raise _empty(self._wanted)
        return match.end()
