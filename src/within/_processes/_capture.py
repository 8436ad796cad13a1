"""What comes out of a child's pipes while a command runs, and what it is made into."""

from __future__ import annotations

import io
import subprocess
from typing import TYPE_CHECKING, Any

from ._errors import OutputLimitExceeded
from ._results import Completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._child import Child
    from ._command import Command

# How much of the end of stderr goes into the note on a failure. In characters.
_NOTE = 2000


class Capture:
    """The output of one command, up to a limit for all of its pipes together."""

    def __init__(
        self, command: Command, names: list[str], *, limit: int | None, text: bool
    ) -> None:
        self.child: Child | None = None  # once it is started
        self.is_over = False  # there was more than the limit
        self._command = command
        self._limit = limit
        self._room = limit
        self._text = text
        self._kept = {name: io.BytesIO() for name in names}

    def sink(self, name: str) -> Callable[[bytes], object]:
        """Where the bytes of one pipe go."""
        kept = self._kept[name]
        if self._room is None:
            return kept.write
        return lambda data: kept.write(self._fitting(data))

    def completed(self, errors: str = "replace") -> Completed[Any]:
        """All there is so far; text is cut anywhere, maybe within a character."""
        child = self.child
        returncode: Any = None if child is None else child.returncode
        return Completed(
            self._command.args,
            returncode,
            self._get("stdout", errors),
            self._get("stderr", errors),
            None if child is None else child.usage,
        )

    def result(self, *, check: bool) -> Completed[Any]:
        """What the child has completed, or the error that it ended with."""
        child = self.child
        assert child is not None
        returncode = child.returncode
        if returncode is None:
            raise RuntimeError(f"{child!r} could not be ended; see the ResourceWarning")
        if self.is_over:
            raise self._too_much(returncode)
        if check and returncode != 0:
            # P9: that it failed matters more than what is wrong with its output.
            raise self._failure(returncode)
        return self.completed("strict")

    def _too_much(self, returncode: int) -> OutputLimitExceeded:
        assert self._limit is not None
        kept = self.completed()
        return OutputLimitExceeded(
            self._limit, returncode, kept.args, kept.stdout, kept.stderr, kept.usage
        )

    def _failure(self, returncode: int) -> subprocess.CalledProcessError:
        kept = self.completed()
        error = subprocess.CalledProcessError(
            returncode, kept.args, kept.stdout, kept.stderr
        )
        if "stderr" in self._kept:
            note = self._kept["stderr"].getvalue().decode("utf-8", "replace")
            if note := _translated(note)[-_NOTE:].rstrip():
                error.add_note(f"stderr ends with:\n{note}")
        return error

    def _fitting(self, data: bytes) -> bytes:
        assert self._room is not None
        if len(data) > self._room:
            self.is_over = True
            data = data[: self._room]
        self._room -= len(data)
        return data

    def _get(self, name: str, errors: str) -> Any:
        if name not in self._kept:
            return None
        data = self._kept[name].getvalue()
        return _translated(data.decode("utf-8", errors)) if self._text else data


def _translated(text: str) -> str:
    """With line endings as a text file gives them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
