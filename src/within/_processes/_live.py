"""Calls ``on_output`` with the lines of a running command (P24)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ._decoded import Decoded
from ._decoding import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._options import Source

    OnOutput = Callable[[Source, str], object]

# The longest line that is passed in one piece, and how much is held for a coroutine
# function while the child is being stopped. Both are in characters.
_LONGEST = 1 << 20
_MOST_HELD = 1 << 20

# The code flags of generator functions: inspect.CO_GENERATOR, CO_ASYNC_GENERATOR.
_GENERATOR = 0x20 | 0x200


class Live:
    """Calls a function with each line of a command, as it arrives.

    As long as the command runs, :meth:`deliver` makes the calls, in the caller's task. A
    coroutine function can pause there, and nothing is read while it does. While the
    command is being stopped, a plain function is called as soon as a line arrives. A
    coroutine function cannot be awaited then, so its lines are held until the command is
    gone.
    """

    def __init__(
        self, call: OnOutput, names: Sequence[Source], text: Text | None
    ) -> None:
        _check_call(call)
        # Invalid bytes are an error in the result, but not here.
        text = (text or Text("utf-8", "replace")).tolerant()
        self._call = call
        self._lines: dict[Source, Lines] = {name: Lines(*text) for name in names}
        self._waiting: deque[tuple[Source, str]] = deque()
        self._held = 0  # characters that came while the command was being stopped
        self._is_stopping = False
        self._is_over = False  # it has raised or was cancelled: do not call it again
        self._is_async = False  # known once it has been called
        self._error: BaseException | None = None

    def sink(
        self, name: Source, keep: Callable[[bytes], object]
    ) -> Callable[[bytes], object]:
        """Return the function that takes the bytes of one pipe, for ``keep`` as well."""
        lines = self._lines[name]

        def feed(data: bytes) -> None:
            keep(data)
            for line in lines.feed(data):
                self._arrived(name, line)

        return feed

    def is_waiting(self) -> bool:
        """Whether there are lines to deliver."""
        return bool(self._waiting)

    async def deliver(self) -> None:
        """Make the calls for the lines that have arrived, and await each if need be."""
        while self._waiting:
            source, line = self._waiting.popleft()
            try:
                result: Any = self._call(source, line)
                if hasattr(result, "__await__"):
                    self._is_async = True
                    await result
            except BaseException:
                self._is_over = True
                raise

    def stop(self) -> None:
        """The command is being stopped, or has ended."""
        self._is_stopping = True
        waiting, self._waiting = self._waiting, deque()
        for source, line in waiting:
            self._arrived(source, line)

    def end(self) -> None:
        """The output has ended: raise what the function raised after :meth:`stop`."""
        for name, lines in self._lines.items():
            for line in lines.feed(b"", final=True):
                self._arrived(name, line)
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame

    def _arrived(self, name: Source, line: str) -> None:
        if not self._is_stopping:
            self._waiting.append((name, line))
        elif not self._is_over:
            if not self._is_async:
                self._call_now(name, line)
            if self._is_async and self._held < _MOST_HELD:
                self._held += len(line)
                self._waiting.append((name, line))

    def _call_now(self, name: Source, line: str) -> None:
        # An exception must not cut the stop sequence short.
        try:
            result: Any = self._call(name, line)
        except BaseException as error:  # noqa: BLE001  # end() raises it
            self._is_over = True
            self._error = error
        else:
            if hasattr(result, "__await__"):
                self._is_async = True
                if hasattr(result, "close"):
                    result.close()  # a coroutine that has not begun


def _check_call(call: Any) -> None:
    """Refuse a function that does nothing when it is called."""
    code = getattr(call, "__code__", None)
    if getattr(code, "co_flags", 0) & _GENERATOR:
        raise TypeError(
            f"on_output is {call!r}, a generator function, which does nothing when it "
            "is called: leave the yield out"
        )


class Lines:
    """Splits bytes into lines of text, and returns each as early as possible.

    A ``\\r`` ends a line as soon as it arrives, although a ``\\n`` may follow, because a
    program that reports its progress like this may then be silent for long.
    """

    def __init__(self, encoding: str, errors: str) -> None:
        self._decoded = Decoded(encoding, errors)

    def feed(self, data: bytes, *, final: bool = False) -> list[str]:
        """Return the lines that end in ``data``, and the last one if it is ``final``."""
        decoded = self._decoded
        while data := decoded.feed(data, final=final):
            pass  # it begins with an invalid byte now, so the next call raises
        decoded.split(None)
        lines = decoded.lines[::-1]
        decoded.lines.clear()
        if decoded.size and (final or decoded.size >= _LONGEST):
            lines.append(decoded.take_all())
        return lines

    def unfinished(self) -> str:
        """The unfinished line."""
        return self._decoded.text()
