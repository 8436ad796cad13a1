"""Bytes into text, also where the bytes were cut in the middle of a character."""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import NamedTuple

# The longest character of any encoding here, in code units.
_LONGEST = 4


class Text(NamedTuple):
    """How bytes are made into text."""

    encoding: str
    errors: str

    def decode(
        self, data: bytes, *, missing_before: int = 0, is_cut_off: bool = False
    ) -> str:
        """Return ``data`` as text, with line endings as a text file gives them.

        Args:
            data: The bytes, or as many of them as were kept.
            missing_before: How many bytes were dropped in front of ``data``. The rest
                of a character that was cut there is left out.
            is_cut_off: More bytes followed and were dropped. The beginning of a
                character that was cut there is left out.

        Raises:
            UnicodeDecodeError: With ``errors="strict"``, for anything else that is not
                text.
        """
        if missing_before:
            data = data[self._first_character(data, missing_before) :]
        if is_cut_off:
            decoder = getincrementaldecoder(self.encoding)(self.errors)
            return _translated(decoder.decode(data, final=False))
        return _translated(data.decode(self.encoding, self.errors))

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
                    return start  # not where it was cut
                decoder.reset()
            except UnicodeError:
                decoder.reset()
            else:
                return start
        return first


def _translated(text: str) -> str:
    """With line endings as a text file gives them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
