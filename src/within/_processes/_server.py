"""A server for the length of a block that is entered when it is ready (P23)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._backends import current
from .._errors import note_interrupted
from .._results import UNKNOWN_USAGE, Completed
from .._timeouts import Timeout
from ._errors import ServerFailed, described
from ._plan import Stop
from ._platform import Log
from ._process import Err_co, In_co, Out_co, Process, check_signal
from ._typed import ending

if TYPE_CHECKING:
    import re
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from ._command import Command
    from ._options import Source, ThreeFiles
    from ._ready import Ready

# How much of the end of the log an error of another call shows, in bytes.
_END = 2000


class Server(Process[In_co, Out_co, Err_co]):
    """A running server, which :func:`server` has started.

    It is a :class:`Process` with a :attr:`log`. An output that goes to the log is not a
    stream, so ``stdout`` and ``stderr`` are ``None`` by default.
    """

    def __init__(
        self,
        command: Command,
        plan: Stop,
        files: ThreeFiles,
        text: tuple[str, str, int | None],
        log: Log,
        logged: Source | None,
    ) -> None:
        self._log = log
        self._logged: Source | None = logged
        self._was_asked = False  # we ended it, or know its status from wait()
        super().__init__(command, plan, files, text)

    @property
    def log(self) -> str:
        """The end of the output so far, up to ``keep`` bytes, as text.

        You can read it at any time, from any thread, and after the block.
        """
        self._log.catch_up()
        return self._log.end()

    @property
    def match(self) -> re.Match[str]:
        """The match of the pattern that was given as ``ready``.

        Its groups tell you what the server has chosen by itself, such as its port:
        ``int(s.match[1])`` after ``ready=re.compile("port ([0-9]+)")``.

        Raises:
            RuntimeError: If ``ready`` was not a pattern.
        """
        sought = self._log.sought
        if sought is None or sought.match is None:
            raise RuntimeError(
                f"{self!r} has no match: its ready=... was not a compiled pattern"
            )
        return sought.match

    async def wait(self) -> int:
        """Wait until the server exits, and return its ``returncode``.

        After this call, leaving the block raises no error, whatever the exit status is.
        """
        status = await super().wait()
        self._was_asked = True
        return status

    def send_signal(self, number: int, tree: bool = False) -> None:
        """Send a signal, as :meth:`Process.send_signal` does.

        After this call, leaving the block raises no error, whatever the exit status is.
        """
        check_signal(number)
        self._was_asked = True
        super().send_signal(number, tree)

    # -- before the block --------------------------------------------------

    def _open_streams(self, max_line: int | None) -> None:
        ends = self._ends
        output = None if self._logged is None else ends.outputs.pop(self._logged).fd
        self._log.start(self._child, output)
        super()._open_streams(max_line)

    async def _get_ready(self, ready: Ready) -> None:
        """Wait until it is ready; otherwise end it, and raise an error that says why."""
        if ready is None:
            return
        cancelled = current().cancelled
        try:
            if callable(ready):
                is_ready = await self._await(ready)
            else:
                is_ready = await self._find()
        except BaseException as error:
            try:
                await self._end(orderly=False)
            finally:
                self._explain(error, ready, is_cancelled=isinstance(error, cancelled))
            raise
        has_exited = self._child.has_exited()
        if not is_ready or has_exited:
            await self._end(orderly=False)
            how = self._how() if has_exited else "closed its output"
            when = "as soon as" if is_ready else "before"
            raise self._failure(f"{how} {when} it was ready")

    async def _find(self) -> bool:
        log, child = self._log, self._child
        while not (log.is_found or log.is_over or child.has_exited()):
            if not await log.news():
                break
        if not log.is_found:
            await self._exiting.known()  # its output ends shortly before it exits
            log.catch_up()  # the thread may not have run since the exit
        return log.is_found

    async def _await(self, ready: Callable[[], Awaitable[object]]) -> bool:
        call, child = current().caller_from_threads(), self._child
        with Timeout(quiet=True, level=True) as waiting:
            self._log.on_exit = lambda: call(waiting.cancel)
            try:
                if child.has_exited():
                    return False
                result: Any = ready()
                if not hasattr(result, "__await__"):
                    raise TypeError(
                        f"ready() has returned {result!r}: give a coroutine function, "
                        "which returns when the server is ready"
                    )
                result = await result
            except Exception:
                if child.has_exited():  # which is why it has failed
                    return False
                raise
            finally:
                self._log.on_exit = None
            if result is False:
                raise ValueError(
                    "ready() has returned False, but it is awaited only once: it has to "
                    "return when the server is ready"
                )
            return True
        return False

    def _explain(
        self, error: BaseException, ready: Ready, *, is_cancelled: bool
    ) -> None:
        what = f"was not ready ({ready!r}) and was stopped"
        note = described(self.args, what, self.log)
        if not is_cancelled:
            error.add_note(note)
            return
        code: Any = self._child.returncode
        usage = self._child.usage or UNKNOWN_USAGE
        completed: Completed[str] = Completed(
            self.args, code, self.log, None, usage, self._log.dropped
        )
        note_interrupted(error, completed, note)

    # -- its end -----------------------------------------------------------

    async def aclose(self) -> None:
        """End the server and its tree as ``stop`` says, and release everything.

        Raises:
            ServerFailed: If the server had exited by itself, with a status other than 0.
        """
        await self._finish(None)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._finish(exc)

    async def _finish(self, exc: BaseException | None) -> None:
        had_failed = self._has_failed()
        await self._end(orderly=exc is None)
        if had_failed:
            failure = self._failure(f"{self._how()} before the end of its block")
            if exc is None:
                raise failure
            if isinstance(exc, Exception):
                exc.add_note(str(failure))

    async def _end(self, *, orderly: bool) -> None:
        try:
            await super()._end(orderly=orderly)
        finally:
            self._log.close()

    def _has_failed(self) -> bool:
        child, stdin = self._child, self._ends.stdin
        if self._closed or self._was_asked or not child.is_ours():
            return False
        if stdin is not None and stdin.fd < 0:  # closing it is a way to end a server
            return False
        return child.has_exited() and child.returncode != 0

    def _failure(self, what: str) -> ServerFailed:
        status: Any = self._child.returncode
        return ServerFailed(what, status, self.args, self.log)

    def _how(self) -> str:
        return ending(self._child.returncode or 0)

    def _end_of_stderr(self) -> str:
        if self._logged is None:
            return super()._end_of_stderr()
        self._log.catch_up()
        return self._log.end(_END)
