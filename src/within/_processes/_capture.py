"""The output of a command while it runs, and the result that is made from it."""

from __future__ import annotations

import io
import os
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from .._results import Completed
from ._errors import OutputLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._command import Command
    from ._platform import Child

# How much of the end of stderr goes into the note on a failure. In characters.
_NOTE = 2000


class Text(NamedTuple):
    """How bytes are made into text."""

    encoding: str
    errors: str


class Capture:
    """The output of one command, up to a limit for all of its pipes together."""

    def __init__(
        self,
        command: Command,
        names: list[str],
        *,
        limit: int | None,
        text: Text | None,
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

    def completed(self, *, strictly: bool = False) -> Completed[Any]:
        """The result so far.

        Text may be cut within a character, and bytes that cannot be decoded are replaced,
        unless ``strictly`` is set, as it is for the output of a successful command.
        """
        errors = self._text.errors if self._text and strictly else "replace"
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
        """Return the result of the child, or raise the error that it ended with."""
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
        return self.completed(strictly=True)

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
            encoding = self._text.encoding if self._text else "utf-8"
            note = self._kept["stderr"].getvalue().decode(encoding, "replace")
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
        if self._text is None:
            return data
        try:
            return _translated(data.decode(self._text.encoding, errors))
        except UnicodeDecodeError as error:
            self._explain(error, name)
            raise

    def _explain(self, error: UnicodeDecodeError, name: str) -> None:
        """Say which command it was, and keep what there is (P9)."""
        child = self.child
        assert child is not None
        kept = {key: value.getvalue() for key, value in self._kept.items()}
        completed: Completed[bytes] = Completed(
            self._command.args,
            child.returncode or 0,
            kept.get("stdout"),
            kept.get("stderr"),
            child.usage,
        )
        error.completed = completed  # type: ignore[attr-defined]
        command = " ".join(map(os.fsdecode, self._command.args))
        error.reason += f"; this is {name} of {command!r}, which exited with "
        error.reason += str(child.returncode)
        error.add_note(
            "the bytes, the status and the usage are in error.completed; give "
            'errors="replace", the right encoding=, or text=False'
        )


def _translated(text: str) -> str:
    """With line endings as a text file gives them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
