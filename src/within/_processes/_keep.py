"""How much of a command's output is kept: all of it, its beginning or its end (P24)."""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Keep = Literal["all", "head", "tail"]


class Kept(Protocol):
    """What is kept of the pipes of one command.

    Attributes:
        dropped: How many bytes of each pipe were not kept.
    """

    dropped: dict[str, int]

    def sink(self, name: str) -> Callable[[bytes], object]:
        """Return the function that takes the bytes of one pipe."""
        ...

    def get(self, name: str) -> bytes:
        """What is kept of one pipe."""
        ...


class All:
    """Everything."""

    def __init__(self, names: Sequence[str]) -> None:
        self.dropped = dict.fromkeys(names, 0)
        self._kept = {name: io.BytesIO() for name in names}

    def sink(self, name: str) -> Callable[[bytes], object]:
        return self._kept[name].write

    def get(self, name: str) -> bytes:
        return self._kept[name].getvalue()


class Head(All):
    """The first ``limit`` bytes of all pipes together."""

    def __init__(self, names: Sequence[str], limit: int) -> None:
        super().__init__(names)
        self._room = limit

    def sink(self, name: str) -> Callable[[bytes], object]:
        write, dropped = self._kept[name].write, self.dropped

        def keep(data: bytes) -> None:
            if len(data) > self._room:
                dropped[name] += len(data) - self._room
                data = data[: self._room]
            self._room -= len(data)
            write(data)

        return keep


class Tail:
    """The last ``limit`` bytes of all pipes together, in the order of their arrival.

    Each pipe has a buffer, and the oldest bytes are deleted from its front (a
    ``bytearray`` does that without moving the rest). To know which pipe has the oldest
    ones, we note how many bytes came from one pipe before some came from the other.
    There are two pipes at most, so these runs alternate.
    """

    def __init__(self, names: Sequence[str], limit: int) -> None:
        self.dropped = dict.fromkeys(names, 0)
        self._limit = limit
        self._kept = {name: bytearray() for name in names}
        self._runs: deque[int] = deque()  # in bytes, the oldest first
        self._newest = ""  # the pipe of the last run
        self._size = 0

    def sink(self, name: str) -> Callable[[bytes], object]:
        return lambda data: self._add(name, data)

    def get(self, name: str) -> bytes:
        return bytes(self._kept[name])

    def _add(self, name: str, data: bytes) -> None:
        if len(data) > self._limit:
            self.dropped[name] += len(data) - self._limit
            data = data[len(data) - self._limit :]
        if not data:
            return
        while self._size + len(data) > self._limit:
            self._drop_oldest(self._size + len(data) - self._limit)
        if name == self._newest and self._runs:
            self._runs[-1] += len(data)
        else:
            self._runs.append(len(data))
            self._newest = name
        self._kept[name] += data
        self._size += len(data)

    def _drop_oldest(self, most: int) -> None:
        name = self._newest
        if len(self._runs) % 2 == 0:
            [name] = [other for other in self._kept if other != name]
        size = min(most, self._runs[0])
        del self._kept[name][:size]
        self.dropped[name] += size
        self._size -= size
        self._runs[0] -= size
        if not self._runs[0]:
            self._runs.popleft()


def keeper(names: Sequence[str], keep: Keep, limit: int | None) -> Kept:
    """Return what keeps the output as ``keep`` and ``max_output`` say."""
    if limit is None:
        return All(names)
    return Tail(names, limit) if keep == "tail" else Head(names, limit)


def check_keep(keep: Any, limit: Any) -> None:
    """Raise an error if the options make no sense."""
    if isinstance(limit, bool) or not isinstance(limit, int | None):
        raise TypeError(f"max_output is {limit!r}: give a number of bytes, or None")
    if limit is not None and limit < 0:
        raise ValueError(f"max_output is {limit!r}: give 0 or more, or None")
    if keep not in ("all", "head", "tail"):
        raise ValueError(f'keep is {keep!r}: give "all", "head" or "tail"')
    if keep != "all" and limit is None:
        raise ValueError(
            f"keep={keep!r} needs max_output=...: the number of bytes to keep"
        )
