"""The end of a server's output, and the search for ``ready`` in it (P23)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._decoding import Text
    from ._ready import Sought

# How long a match that may grow has to stay the same, in seconds.
_SETTLED = 0.5

# Chunks are joined up to this size, in bytes, because each has an overhead.
_SMALL = 4096


class LogEnd:
    """The end of the output. One thread writes it, and others read it.

    Attributes:
        is_found: What was searched for has been found.
        sought: What to search for; ``None`` for nothing.
        is_over: The output has ended.
        on_exit: The thread calls this when the child has exited.
    """

    def __init__(self, keep: int, text: Text, sought: Sought | None) -> None:
        self.is_found: bool = False
        self.is_over: bool = False
        self.on_exit: Callable[[], object] | None = None
        self.sought = sought
        self._most = keep
        self._text = text
        # Each chunk with the number of bytes up to its end. Only the thread changes it,
        # in single steps, so it needs no lock.
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._size = 0

    @property
    def dropped(self) -> int:
        """How many bytes of the output are no longer kept."""
        return max(0, self._size - self._most)

    def end(self, most: int | None = None) -> str:
        """The end of the output as text, from the last ``most`` of its bytes."""
        most = self._most if most is None else min(most, self._most)
        while True:
            try:
                chunks = tuple(self._chunks)
            except RuntimeError:  # the thread has changed it meanwhile
                continue
            break
        data = b"".join(chunk for _, chunk in chunks)[-most:]
        dropped = chunks[-1][0] - len(data) if chunks else 0
        return self._text.decode(data, missing_before=dropped, is_cut_off=True)

    # -- in the thread -----------------------------------------------------

    @property
    def patience(self) -> float | None:
        """How long to wait for more before :meth:`settle`; ``None`` forever."""
        may_grow = self.sought is not None and self.sought.may_grow
        return _SETTLED if may_grow and not self.is_found else None

    def settle(self) -> None:
        """Nothing more has arrived: the match will not grow."""
        self.is_found = True

    def keep(self, data: bytes) -> None:
        """Keep what was read."""
        self._size += len(data)
        chunks = self._chunks
        if chunks and len(chunks[-1][1]) < _SMALL:
            chunks[-1] = (self._size, chunks[-1][1] + data)
        else:
            chunks.append((self._size, data))
        while self._size - chunks[0][0] >= self._most:
            chunks.popleft()

    def has_news(self, data: bytes) -> bool:
        """Search what was read and kept; return whether an attribute has changed."""
        news = False
        sought = self.sought
        if sought is not None and not self.is_found and sought.is_in(data):
            self.is_found = news = True
        if not data:
            if self.patience is not None:
                self.settle()
            self.is_over = news = True
        return news
