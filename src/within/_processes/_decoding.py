"""Decodes bytes, even if they were cut in the middle of a character."""

# No `from __future__ import annotations`: NamedTuple would compile each annotation.

from codecs import getincrementaldecoder
from typing import NamedTuple

# The longest character of any encoding here, in code units.
_LONGEST = 4

# Error handlers that accept any bytes.
_TOLERANT = frozenset({"replace", "ignore", "backslashreplace", "surrogateescape"})

# Error handlers that raise a TypeError if they are used for decoding. They are used for
# what is written, and what is read must be valid.
_FOR_ENCODING = frozenset({"xmlcharrefreplace", "namereplace"})


class Position(NamedTuple):
    """A place in the middle of a stream, where decoding can start.

    Attributes:
        state: The state of the decoder there: the byte order, for example.
        after_return: The text before it ends with ``"\\r"``, so a ``"\\n"`` belongs to
            that line end.
    """

    state: tuple[bytes, int]
    after_return: bool


class Text(NamedTuple):
    """How to decode bytes."""

    encoding: str
    errors: str

    def tolerant(self) -> "Text":
        """The same, but without errors for bytes that are not text."""
        errors = self.errors if self.errors in _TOLERANT else "replace"
        return Text(self.encoding, errors)

    @property
    def for_decoding(self) -> str:
        """The error handler to decode with."""
        return "strict" if self.errors in _FOR_ENCODING else self.errors

    def decode(
        self,
        data: bytes,
        *,
        after: Position | None = None,
        missing_before: int = 0,
        is_cut_off: bool = False,
    ) -> str:
        """Return ``data`` as text, with line endings as a text file gives them.

        Args:
            data: The bytes, or as many of them as were kept.
            after: Where they begin, if that is not the beginning of the stream.
            missing_before: How many bytes were dropped in front of ``data``. The rest
                of a character that was cut there is left out.
            is_cut_off: More bytes followed and were dropped. The beginning of a
                character that was cut there is left out.

        Raises:
            UnicodeDecodeError: With ``errors="strict"``, if anything else is not text.
        """
        if missing_before:
            data = data[self._first_character(data, missing_before) :]
        if after is None and not is_cut_off:
            return _translated(data.decode(self.encoding, self.for_decoding))
        decoder = getincrementaldecoder(self.encoding)(self.for_decoding)
        if after is not None:
            decoder.setstate(after.state)
        text = decoder.decode(data, final=not is_cut_off)
        if after is not None and after.after_return:
            text = text.removeprefix("\n")
        return _translated(text)

    def _first_character(self, data: bytes, missing: int) -> int:
        """Where the first whole character begins."""
        # Two bytes in UTF-16, four in UTF-32, and one in all others that we know of.
        unit = len("aa".encode(self.encoding)) - len("a".encode(self.encoding))
        first = -missing % unit
        decoder = getincrementaldecoder(self.encoding)("strict")
        for start in range(first, first + _LONGEST * unit, unit):
            try:
                decoder.decode(data[start : start + 4 * _LONGEST * unit])
            except UnicodeDecodeError as error:
                if error.start >= _LONGEST * unit:
                    return start  # the error is not where it was cut
                decoder.reset()
            except UnicodeError:
                decoder.reset()
            else:
                return start
        return first


def _translated(text: str) -> str:
    """With line endings as a text file gives them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
