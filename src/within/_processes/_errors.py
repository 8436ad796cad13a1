"""The errors of :func:`run` and :func:`server`: what each carries, and what it says."""

from __future__ import annotations

import subprocess
from textwrap import indent
from typing import TYPE_CHECKING, Any, Generic

from .._timeouts import DeadlineExceeded
from ._typed import as_typed

if TYPE_CHECKING:
    # Before 3.13, typing.TypeVar has no default. Type checkers know this module even
    # where it is not installed.
    from typing_extensions import TypeVar

    from .._results import Usage
    from .._timeouts import Timeout

    # Any, because an except clause cannot name the type of the output.
    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

# How much of the end of an output a message shows, in characters.
_SHOWN = 2000


class ProcessTimeout(DeadlineExceeded, subprocess.TimeoutExpired, Generic[T]):
    """:func:`within.run` did not finish within its ``timeout``.

    The child has been stopped, together with the processes that it had started. The
    error is both a :class:`DeadlineExceeded` and a :class:`subprocess.TimeoutExpired`,
    so an ``except`` clause for either of them catches it.

    ``cmd`` is the command, and ``timeout`` the limit in seconds. ``stdout`` (also
    ``output``) and ``stderr`` have everything that was captured until the child was
    gone: ``bytes``, or ``str`` with ``text=True``. ``dropped`` is the number of bytes
    that were read but not kept, because of ``max_output``. ``returncode`` is the exit
    status, and ``usage`` is the time and memory that the child has used. Both are
    ``None`` if the limit had passed before the child was started. If the child could
    not be ended (``sudo``, for example, unless you are root), ``returncode`` is ``None``,
    and the seconds of ``usage`` are NaN.
    """

    # None where there was no pipe.
    stdout: T  # type: ignore[assignment]
    stderr: T  # type: ignore[assignment]

    def __init__(
        self,
        message: str,
        scope: Timeout,
        *,
        cmd: Any,
        timeout: float,
        stdout: Any = None,
        stderr: Any = None,
        returncode: int | None = None,
        usage: Usage | None = None,
        dropped: int = 0,
    ) -> None:
        DeadlineExceeded.__init__(self, message, scope)
        self.cmd = cmd
        self.timeout = timeout
        self.output = stdout
        self.stderr = stderr  # pyright: ignore[reportIncompatibleVariableOverride]
        self.returncode = returncode
        self.usage = usage
        self.dropped = dropped

    def __str__(self) -> str:
        # TimeoutExpired.__str__() knows neither the name nor the lateness that T10
        # asks for.
        return str(self.args[0])


class OutputLimitExceeded(subprocess.CalledProcessError):
    """A child wrote more than ``max_output`` bytes, and was therefore stopped.

    ``stdout`` and ``stderr`` have the output that was kept: ``max_output`` bytes for
    both together. ``limit`` is ``max_output``, ``dropped`` is the number of bytes that
    were read but not kept, and ``usage`` is the time and memory that the child has used.
    """

    def __init__(
        self,
        limit: int,
        returncode: int,
        cmd: Any,
        stdout: Any,
        stderr: Any,
        usage: Usage,
        dropped: int,
    ) -> None:
        super().__init__(returncode, cmd, stdout, stderr)
        self.limit = limit
        self.usage = usage
        self.dropped = dropped

    def __str__(self) -> str:
        return (
            f"`{as_typed(self.cmd)}` wrote more than max_output={self.limit} bytes and "
            'was stopped; raise the limit, keep only a part with keep="tail" or '
            'keep="head", or stream its output with within.process()'
        )


class ServerFailed(subprocess.CalledProcessError):
    """The server of :func:`within.server` exited by itself, or will never be ready.

    ``returncode`` is its exit status, and ``output`` (also ``stdout``) is the end of its
    output, as text. The message shows the last lines of it.
    """

    def __init__(self, what: str, returncode: int, cmd: Any, output: str) -> None:
        super().__init__(returncode, cmd, output)
        self._what = what

    def __str__(self) -> str:
        return described(self.cmd, self._what, self.output)


def described(command: Any, what: str, output: str) -> str:
    """A sentence about a command, and the end of its output."""
    says = f"`{as_typed(command)}` {what}; "
    if not output.strip():
        return says + "it has written nothing"
    return f"{says}its output ends with:\n{indent(output[-_SHOWN:].rstrip(), '    ')}"
