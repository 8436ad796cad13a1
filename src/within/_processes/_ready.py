"""How to tell that a server is ready, so that its block can be entered (P23)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from ._live import Lines

if TYPE_CHECKING:
    from ._decoding import Text

Ready = str | re.Pattern[str] | Callable[[], Awaitable[object]] | None

# An unfinished line is searched for a pattern again whenever it has grown, up to this
# length, in characters.
_LONGEST = 65536


class Sought:
    """A text or a pattern that is searched for in each line of the output.

    Attributes:
        match: The match of a pattern, once it was found.
        may_grow: The pattern matches, but the match reaches the end of an unfinished
            line, and may grow with it: ``port ([0-9]+)`` matches the first digit of a
            number.
    """

    def __init__(self, wanted: str | re.Pattern[str], text: Text) -> None:
        self.match: re.Match[str] | None = None
        self.may_grow: bool = False
        self._wanted = wanted
        self._lines = Lines(text.encoding, text.errors)
        self._searched = 0  # characters of the unfinished line

    def is_in(self, data: bytes) -> bool:
        """Whether it is in a line that ends in ``data``, or that has not ended yet."""
        for line in self._lines.feed(data):
            if self._is_in_line(line):
                self.may_grow = False
                return True
            self._searched = 0
        unfinished = self._lines.unfinished()
        found = self._is_in_line(unfinished)
        self.may_grow = self.match is not None and self.match.end() == len(unfinished)
        return found and not self.may_grow

    def _is_in_line(self, line: str) -> bool:
        if isinstance(self._wanted, str):
            # It may have begun in the text that came before.
            start = max(0, self._searched - len(self._wanted) + 1)
            self._searched = len(line)
            return line.find(self._wanted, start) >= 0
        is_whole = line.endswith("\n")
        if not is_whole and len(line) >= _LONGEST:
            return False
        self.match = self._wanted.search(line)
        return self.match is not None


def check_ready(ready: object, *, is_logged: bool) -> None:
    """Raise an error for a ``ready`` that cannot be waited for."""
    if ready is None or callable(ready):
        return
    wanted = cast("Any", ready)  # a pattern may be of text or of bytes
    if not isinstance(ready, str | re.Pattern):
        raise TypeError(
            f"ready is {ready!r}: give a string, a compiled pattern, "
            "within.listening(port), or a coroutine function without arguments"
        )
    if not isinstance(getattr(wanted, "pattern", ""), str):
        raise TypeError(f"ready is {wanted!r}: give a pattern of str, not of bytes")
    if not is_logged:
        raise ValueError(
            f"ready={wanted!r} is searched for in the log, but neither stdout nor "
            'stderr is "log"'
        )
    if not wanted if isinstance(ready, str) else wanted.search(""):
        raise ValueError(
            f"ready={wanted!r} is in every output: give a string or a pattern that needs "
            "at least one character"
        )
    if isinstance(ready, str) and "\n" in wanted[:-1]:
        raise ValueError(
            f"ready={wanted!r} is never found: each line is searched on its own"
        )
    if isinstance(ready, str) and "\r" in wanted:
        raise ValueError(
            f"ready={wanted!r} is never found: each line ending is read as \\n, even "
            "\\r\\n and \\r"
        )
