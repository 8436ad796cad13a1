"""Text that was decoded ahead of its readers, and can be turned back into bytes (P22).

This is the buffer between the bytes of a pipe and the readers of its text. It knows no
stream and never waits.
"""

# No `from __future__ import annotations`: NamedTuple would compile each annotation.

import codecs
import re
from collections import deque
from typing import NamedTuple

from ._decoding import Position, Text

# Characters that end a line for str.splitlines(), but not for a text file.
_OTHER_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"

# More bytes than an invalid sequence takes up in any encoding that we know.
_LONGEST = 8


class _Chunk(NamedTuple):
    """Some bytes, and the text that they were decoded to.

    Attributes:
        data: The bytes.
        state: The decoder's state before them. It also has the bytes of an incomplete
            character, which come before ``data``.
        after_return: The text before them ends with ``"\\r"``.
        size: The length of their text, in characters.
    """

    data: bytes
    state: tuple[bytes, int]
    after_return: bool
    size: int


class Decoded:
    """The text that has not been read yet: whole lines, and what follows them.

    Line endings are ``\\n``: ``\\r\\n`` and ``\\r`` are translated, as ``open()`` does
    by default. The bytes that the text was made from are kept until it has been read.

    Attributes:
        lines: The whole lines in reverse order, so that the next one is popped from the
            end. It is always the same list, and a reader may keep a reference to it.
        size: How many characters follow those lines.
    """

    def __init__(self, encoding: str, errors: str) -> None:
        self._encoding = encoding
        errors = Text(encoding, errors).for_decoding
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self.lines: list[str] = []
        self.size: int = 0
        # What follows the lines. The pieces are joined once, when they are read, so that
        # a long line does not cost its length squared.
        self._pieces: list[str] = []
        self._at = 0  # characters of the first piece that were read
        self._searched = 0  # pieces that are known to have no line end
        # The bytes of the unread text. Some text of the first chunk may have been read.
        # The last chunk may end with an incomplete character, which the decoder holds
        # as well.
        self._chunks: deque[_Chunk] = deque()
        self._chunks_size = 0  # characters of their text
        self._is_final = False
        # A "\r" ends its line at once, because a program that reports its progress with
        # it may then be silent for long. A "\n" right after it belongs to that line end.
        self._after_return = False

    def holds_text(self) -> bool:
        """Whether there is any text."""
        return bool(self.lines or self.size)

    # -- filling -----------------------------------------------------------

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        """Decode ``data``, and return the rest from the first invalid byte on.

        Raises:
            UnicodeError: If ``data`` is invalid from its first byte on. Then nothing has
                changed, and the same call will raise the same error. Any other exception
                from an error handler has the same effect.
        """
        state, after_return = self._decoder.getstate(), self._after_return
        try:
            text, rest = self._decoder.decode(data, final), b""
        except Exception as error:  # an error handler may raise anything
            good = 0  # before 3.13, UTF-16 without its mark raises a bare UnicodeError
            if isinstance(error, UnicodeDecodeError):
                good = len(data) - (len(error.object) - error.start)
            self._decoder.setstate(state)
            if good <= 0:
                raise
            data, rest, final = data[:good], data[good:], False
            text = self._decoder.decode(data)
        self._forget_read()
        self._is_final = final
        skipped = after_return and text[:1] == "\n"
        if text:
            self._after_return = text[-1] == "\r"
        if skipped:
            text = text[1:]
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if text:
            self._pieces.append(text)
            self.size += len(text)
        self._chunks.append(_Chunk(data, state, after_return, len(text)))
        self._chunks_size += len(text)
        return rest

    def _forget_read(self) -> None:
        """Drop the bytes whose text has all been read.

        Nothing is dropped while there are whole lines: their readers take them first.
        """
        if not self.lines:
            while (
                self._chunks and self._chunks_size - self._chunks[0].size >= self.size
            ):
                self._chunks_size -= self._chunks.popleft().size

    # -- reading -----------------------------------------------------------

    def split(self, longest: int | None) -> None:
        """Move the whole lines to ``lines``, up to one that is longer than ``longest``."""
        if self._searched == len(self._pieces):
            return
        self._cut()
        whole, start = "".join(self._pieces[self._searched :]), ""
        found, rest = _split_lines(whole)
        if not found:
            self._pieces[self._searched :] = [whole]
            self._searched += 1
            return
        if self._searched:
            start = "".join(self._pieces[: self._searched])
            found[0] = start + found[0]
        self._keep(rest)
        if longest is not None:
            for place, line in enumerate(found):
                if len(line) - 1 > longest:
                    self._keep("".join(found[place:]) + rest)
                    del found[place:]
                    break
        found.reverse()
        self.lines += found

    def fold(self) -> None:
        """Take the lines back into the text that follows them."""
        if self.lines:
            self._cut()
            self.lines.reverse()
            text = "".join(self.lines)
            self.lines.clear()
            self._pieces.insert(0, text)
            self._searched = 0
            self.size += len(text)

    def find(self, wanted: str, start: int) -> int:
        """Where the first ``wanted`` at or after ``start`` ends; 0 if there is none.

        Call :meth:`fold` first.
        """
        place = self._at + start
        if len(self._pieces) > 1:  # look at the last ones, without joining all of them
            self._cut()
            pieces: list[str] = []
            place = start - self.size
            for piece in reversed(self._pieces):
                pieces.append(piece)
                place += len(piece)
                if place >= 0:
                    break
            text = "".join(reversed(pieces))
        else:
            text = "".join(self._pieces)
        found = text.find(wanted, place)
        return found - place + start + len(wanted) if found >= 0 else 0

    def text(self) -> str:
        """All of the text. Call :meth:`fold` first."""
        self._cut()
        was_searched = self._searched == len(self._pieces)
        text = "".join(self._pieces)
        self._pieces[:] = [text] if text else []
        self._searched = len(self._pieces) if was_searched else 0
        return text

    def take(self, most: int) -> str:
        """Read at most ``most`` characters."""
        if self.lines:
            self.fold()
        if not self._pieces or most <= 0:
            return ""
        if len(self._pieces) > 1 and self._at + most > len(self._pieces[0]):
            self.text()
        piece, end = self._pieces[0], self._at + most
        found = piece[self._at : end]
        self.size -= len(found)
        self._searched = 0
        if end < len(piece):
            self._at = end
        else:
            del self._pieces[0]
            self._at = 0
        return found

    def take_all(self) -> str:
        """Read all of it."""
        self.fold()
        return self.take(self.size)

    def _cut(self) -> None:
        if self._at:
            self._pieces[0] = self._pieces[0][self._at :]
            self._at = 0

    def _keep(self, text: str) -> None:
        self._pieces[:] = [text] if text else []
        self._searched = 0
        self.size = len(text)

    # -- back to bytes -----------------------------------------------------

    def give_back(self) -> bytes:
        """Return the bytes of all unread text, and drop the text.

        The next text is decoded as if it followed the last character that was read.
        """
        if not self._chunks:
            return b""
        first = self._chunks[0]
        pending, flag = first.state
        data = pending + b"".join(chunk.data for chunk in self._chunks)
        text = self._decoded(flag, data, final=self._is_final)
        unread = sum(map(len, self.lines)) + self.size
        count, self._after_return = _count_read(text, unread, first.after_return)
        rest = self._after(flag, data, text[:count], text[count:])
        self.lines.clear()
        self._keep("")
        self._at = 0
        self._chunks.clear()
        self._chunks_size = 0
        self._is_final = False
        return rest

    def position(self) -> Position:
        """The position of the bytes that :meth:`give_back` has returned."""
        return Position(self._decoder.getstate(), self._after_return)

    def note_bytes_read(self) -> None:
        """Bytes were read after :meth:`give_back`: a "\\n" now ends a line by itself."""
        self._after_return = False

    def _after(self, flag: int, data: bytes, read: str, unread: str) -> bytes:
        """Return the bytes of ``unread``, and set the decoder to continue with them.

        ``flag`` is the decoder's state before ``data``, where no bytes are pending.
        """
        self._decoder.setstate((b"", flag))
        if not read:
            return data
        low, high = 0, len(data)
        while low < high:
            middle = (low + high) // 2
            if len(self._decoded(flag, data[:middle])) >= len(read):
                high = middle
            else:
                low = middle + 1
        found = self._decoded(flag, data[:low])
        pending, after = self._decoder.getstate()
        if found != read:
            # One byte can complete several characters: it may show that the bytes before
            # it are invalid, and have to be replaced. The boundary is then before it.
            for end in range(low, max(-1, low - _LONGEST), -1):
                if self._is_between(flag, data[:end], read, data[end:], unread):
                    return data[end:]
            if len(found) < len(read):  # some text came only at the end of the output
                found, pending = read + unread, b""
        # If there is no such boundary (half of an escape sequence was read), the text is
        # encoded again.
        self._decoder.setstate((b"", after))
        surplus = found[len(read) :].encode(self._encoding, "replace")
        made = surplus.removeprefix("".encode(self._encoding))  # the byte order mark
        return made + data[low - len(pending) :]

    def _is_between(
        self, flag: int, before: bytes, read: str, after: bytes, unread: str
    ) -> bool:
        """Whether the halves decode to these texts; then the decoder is left between."""
        try:
            if self._decoded(flag, before, final=True) != read:
                return False
            _, between = self._decoder.getstate()
            rest = self._decoder.decode(after, self._is_final)
        except UnicodeError:
            return False
        self._decoder.setstate((b"", between))
        return rest == unread

    def _decoded(self, flag: int, data: bytes, *, final: bool = False) -> str:
        self._decoder.setstate((b"", flag))
        return self._decoder.decode(data, final)


def _count_read(text: str, unread: int, after_return: bool) -> tuple[int, bool]:
    """How many characters of ``text``, with its own line ends, were read; and whether
    the last of them was a "\\r", to which a "\\n" may still belong. ``after_return``
    says the same of the text before it.
    """
    skipped = int(after_return and text[:1] == "\n")
    read = len(text) - skipped - text.count("\r\n") - unread
    if read <= 0:  # some decoders of CPython make less text of all the bytes at once
        return 0, after_return
    read += skipped
    for pair in re.finditer("\r\n", text):
        if pair.start() >= read:
            break
        read += 1
    return read, text[read - 1] == "\r"


def _split_lines(text: str) -> tuple[list[str], str]:
    """The whole lines of ``text``, and the unfinished one after them."""
    if any(end in text for end in _OTHER_ENDS):
        *whole, rest = text.split("\n")
        return [line + "\n" for line in whole], rest
    # The same in one pass over the lines instead of two.
    lines = text.splitlines(keepends=True)
    if not lines or lines[-1].endswith("\n"):
        return lines, ""
    rest = lines.pop()
    return lines, rest
