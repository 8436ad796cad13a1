"""The errors of :func:`run`: what each carries, and what it says."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from .._timeouts import DeadlineExceeded

if TYPE_CHECKING:
    from .._results import Usage
    from .._timeouts import Timeout


class ProcessTimeout(DeadlineExceeded, subprocess.TimeoutExpired):
    """:func:`within.run` did not finish within its ``timeout``.

    The child and the tree that it started have been stopped. It is both a
    :class:`DeadlineExceeded` and a :class:`subprocess.TimeoutExpired`, so that
    either ``except`` clause catches it.

    ``cmd`` is the command and ``timeout`` the limit in seconds. ``stdout`` (also
    ``output``) and ``stderr`` hold everything that was captured until the child was
    gone: ``bytes``, or ``str`` with ``text=True``. ``returncode`` and ``usage`` say
    how the child ended and what it had used; they are ``None`` if the limit had
    passed before the child was started.
    """

    # The type cannot say which: str, bytes, or None where there was no pipe.
    stdout: Any
    stderr: Any

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
    ) -> None:
        DeadlineExceeded.__init__(self, message, scope)
        self.cmd = cmd
        self.timeout = timeout
        self.output = stdout
        self.stderr = stderr
        self.returncode = returncode
        self.usage = usage

    def __str__(self) -> str:
        # TimeoutExpired.__str__() knows neither the name nor the lateness that T10
        # asks for.
        return str(self.args[0])


class OutputLimitExceeded(subprocess.CalledProcessError):
    """A child wrote more than ``max_output`` bytes and was stopped for it.

    ``stdout`` and ``stderr`` hold what was kept: together, ``max_output`` bytes.
    ``usage`` is what the child had used.
    """

    def __init__(
        self,
        limit: int,
        returncode: int,
        cmd: Any,
        stdout: Any,
        stderr: Any,
        usage: Usage | None,
    ) -> None:
        super().__init__(returncode, cmd, stdout, stderr)
        self.limit = limit
        self.usage = usage

    def __str__(self) -> str:
        return (
            f"Command {self.cmd!r} wrote more than max_output={self.limit} bytes and "
            "was stopped; raise the limit, or stream its output with within.process()"
        )
