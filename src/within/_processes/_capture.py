"""The output of a command while it runs, and the result that is made from it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from .._results import UNKNOWN_USAGE, Completed
from ._decoding import Text
from ._errors import OutputLimitExceeded
from ._keep import keeper
from ._typed import as_typed, ending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._command import Command
    from ._decoding import Position
    from ._keep import Keep
    from ._live import Live
    from ._options import Source
    from ._platform import Child

# How much of the end of stderr the note on a failure shows, in characters.
_NOTE = 2000


class Capture:
    """The output of one command, or as much of it as was asked for."""

    def __init__(
        self,
        command: Command,
        names: list[Source],
        *,
        text: Text | None,
        keep: Keep = "all",
        limit: int | None = None,
        live: Live | None = None,
        after: Mapping[Source, Position] | None = None,
    ) -> None:
        self.child: Child | None = None  # once it is started
        self.live = live
        self._command = command
        self._keep = keep
        self._limit = limit
        self._text = text
        self._after = after or {}  # where an output that was partly read goes on
        self._names = names
        self._kept = keeper(names, keep, limit)

    @property
    def exceeds_limit(self) -> bool:
        """Whether the child has to be stopped because of too much output."""
        return (
            self._limit is not None
            and self._keep == "all"
            and any(self._kept.dropped.values())
        )

    def sink(self, name: Source) -> Callable[[bytes], object]:
        """Return the function that takes the bytes of one pipe."""
        sink = self._kept.sink(name)
        return sink if self.live is None else self.live.sink(name, sink)

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
            (child and child.usage) or UNKNOWN_USAGE,
            self._dropped(),
        )

    def result(self, *, check: bool) -> Completed[Any]:
        """Return the result of the child, or raise the error that it ended with."""
        child = self.child
        assert child is not None
        returncode = child.returncode
        if returncode is None:
            raise RuntimeError(f"{child!r} could not be ended; see the ResourceWarning")
        if self.exceeds_limit:
            raise self._too_much(returncode)
        if check and returncode != 0:
            # P9: the failure matters more than output that cannot be decoded.
            raise self._failure(returncode)
        return self.completed(strictly=True)

    def _too_much(self, returncode: int) -> OutputLimitExceeded:
        assert self._limit is not None
        kept = self.completed()
        return OutputLimitExceeded(
            self._limit,
            returncode,
            kept.args,
            kept.stdout,
            kept.stderr,
            kept.usage,
            kept.dropped,
        )

    def _failure(self, returncode: int) -> subprocess.CalledProcessError:
        kept = self.completed()
        error = subprocess.CalledProcessError(
            returncode, kept.args, kept.stdout, kept.stderr
        )
        error.dropped = kept.dropped  # type: ignore[attr-defined]
        if "stderr" in self._names:
            encoding = self._text.encoding if self._text else "utf-8"
            note = self._decoded("stderr", Text(encoding, "replace"))
            if note := note[-_NOTE:].rstrip():
                part = "the kept part of stderr" if self._keep == "head" else "stderr"
                error.add_note(f"{part} ends with:\n{note}")
        if kept.dropped:
            error.add_note(f"{kept.dropped} bytes of its output were not kept")
        return error

    def _dropped(self) -> int:
        return sum(self._kept.dropped.values())

    def _get(self, name: Source, errors: str) -> Any:
        if name not in self._names:
            return None
        if self._text is None:
            return self._kept.get(name)
        try:
            return self._decoded(name, Text(self._text.encoding, errors))
        except UnicodeDecodeError as error:
            self._explain(error, name)
            raise

    def _decoded(self, name: Source, text: Text) -> str:
        data, dropped = self._kept.get(name), self._kept.dropped[name]
        if not dropped:
            return text.decode(data, after=self._after.get(name))
        if self._keep == "tail":
            return text.decode(data, missing_before=dropped)
        return text.decode(data, is_cut_off=True)

    def _explain(self, error: UnicodeDecodeError, name: str) -> None:
        """Name the command in the error, and attach its output (P9)."""
        child = self.child
        assert child is not None
        kept = {key: self._kept.get(key) for key in self._names}
        completed: Completed[bytes] = Completed(
            self._command.args,
            child.returncode or 0,
            kept.get("stdout"),
            kept.get("stderr"),
            child.usage or UNKNOWN_USAGE,
            self._dropped(),
        )
        error.completed = completed  # type: ignore[attr-defined]
        typed = as_typed(self._command.args)
        error.reason += (
            f"; this is {name} of `{typed}`, which {ending(child.returncode or 0)}"
        )
        error.add_note(
            "the bytes, the status and the usage are in error.completed; give "
            'errors="replace", the right encoding=, or text=False'
        )
