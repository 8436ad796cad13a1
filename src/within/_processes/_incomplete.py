"""The error of ``read_until()`` when the output ends before a match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._typed import as_typed, ending

if TYPE_CHECKING:
    import re

# How much of the end of an output the message shows, in characters.
_SHOWN = 200


class IncompleteOutput(EOFError):
    """The output of a child ended before :meth:`Process.read_until` found a match.

    ``wanted`` is the string or pattern. ``output`` is the text that came instead, starting
    where the last read stopped; it counts as read, so no later call returns it again.
    ``stderr`` is the end of the child's standard error, if that is a pipe and has not
    been read yet; you can still read it. ``returncode`` is the exit status, or ``None`` if
    the child has closed its output but is still running, and ``cmd`` is the command.
    """

    def __init__(
        self,
        wanted: str | re.Pattern[str],
        *,
        cmd: Any,
        output: str,
        stderr: str = "",
        returncode: int | None = None,
    ) -> None:
        self.wanted = wanted
        self.cmd = cmd
        self.output = output
        self.stderr = stderr
        self.returncode = returncode
        super().__init__(self._message())

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.wanted, self.__dict__)

    def _message(self) -> str:
        wanted = self.wanted if isinstance(self.wanted, str) else self.wanted.pattern
        code = self.returncode
        how = "closed its output" if code is None else ending(code)
        says = f"`{as_typed(self.cmd)}` {how} before {wanted!r} came; "
        says += (
            f"its output ends with {self.output[-_SHOWN:]!r}"
            if self.output
            else "there was no more output"
        )
        if self.stderr.strip():
            says += f"; its stderr ends with {self.stderr[-_SHOWN:]!r}"
        return says


def _restored(wanted: str | re.Pattern[str], state: dict[str, Any]) -> IncompleteOutput:
    return IncompleteOutput(
        wanted,
        cmd=state["cmd"],
        output=state["output"],
        stderr=state["stderr"],
        returncode=state["returncode"],
    )
