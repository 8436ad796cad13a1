"""A running child and its end: what :func:`process` returns (P1)."""

from __future__ import annotations

import signal as signals
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic

from .._backends import current
from ._decoding import Text
from ._dialogue import Dialogue
from ._ends import Ends
from ._exiting import Exiting
from ._files import is_shared
from ._platform import KILL, Child, Pump, until_exit
from ._pty import check_size
from ._rest import Rest
from ._stopping import let_finish, stop_child
from ._typed import as_typed

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, cast

    from typing_extensions import TypeVar

    from .._results import Usage
    from ._command import Command
    from ._options import ThreeFiles
    from ._plan import Stop
    from ._streams import ReceiveStream, SendStream

    # A stream if the file was PIPE. Without a type argument, it may be None.
    In_co = TypeVar("In_co", default=SendStream | None, covariant=True)
    Out_co = TypeVar("Out_co", default=ReceiveStream | None, covariant=True)
    Err_co = TypeVar("Err_co", default=ReceiveStream | None, covariant=True)
else:
    from typing import TypeVar, cast

    In_co = TypeVar("In_co", covariant=True)
    Out_co = TypeVar("Out_co", covariant=True)
    Err_co = TypeVar("Err_co", covariant=True)


class Process(Dialogue, Generic[In_co, Out_co, Err_co]):
    """A running child process, which :func:`process` has started.

    ``stdin``, ``stdout`` and ``stderr`` are anyio streams of bytes, or ``None`` for those
    that are not a ``PIPE``. To read and write text, use the methods of the process
    itself: :meth:`readline`, :meth:`read`, :meth:`read_until`, :meth:`output` and
    :meth:`write`, or ``async for line in process`` for the lines of stdout. You can mix
    all of these, because they share one buffer (P22).

    The output ends when every writer has closed the pipe, or when the child has exited
    and nothing more has arrived for a moment (see :class:`Stop`). When the text has
    ended, ``returncode`` is known, unless the child has closed its output but is still
    running.

    To type checkers, the class is generic in the types of its three streams. ``Process``
    alone stands for a process with any streams.
    """

    if not TYPE_CHECKING:
        # Before 3.13, a type variable cannot have a default, and all three types would
        # have to be given.
        __class_getitem__ = classmethod(GenericAlias)

        # Type checkers reject these statements anyway.

        def __enter__(self):
            """Raise an error: a process is entered with ``async with``."""
            raise TypeError(f"{self!r} is entered with `async with`, not with `with`")

        def __exit__(self, *exc):
            """Never called."""

        def __iter__(self):
            """Raise an error: the lines are read with ``async for``."""
            raise TypeError(f"the lines of {self!r} are read with `async for`")

    def __init__(
        self,
        command: Command,
        plan: Stop,
        files: ThreeFiles,
        text: tuple[str, str, int | None],
    ) -> None:
        self._command = command
        self._child = child = Child(command, plan)
        self._plan = plan
        self._text = Text(*text[:2])
        self._rest = Rest(child, plan)
        self._exiting = Exiting(child, plan)
        self._is_shared = is_shared(files)
        self._stopping = 0
        self._closed = False
        try:
            self._ends = Ends(child, child.start(*files), self._rest)
            self._open_streams(text[2])
        except BaseException:  # P14: a signal handler may raise after the start
            child.end_now()
            raise

    # -- what it is --------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id, which may be reused once the block has ended."""
        return self._child.pid

    @property
    def args(self) -> tuple[str | bytes, ...]:
        """The program and its arguments."""
        return self._child.args

    @property
    def returncode(self) -> int | None:
        """The exit status, or minus the signal's number if a signal ended the child.

        ``None`` while the child is running. Like :meth:`wait`, this reaps a child that has
        exited, if the rest of its process group has ended too.
        """
        child = self._child
        if child.has_exited() and child.is_ours():
            self._reap_if_gone()
        return child.returncode

    @property
    def usage(self) -> Usage | None:
        """Wall time and CPU time in seconds, and peak memory in bytes.

        ``None`` until the child is reaped. :meth:`wait` and ``returncode`` reap it if the
        rest of its process group has ended by then; otherwise the end of the block does.
        """
        return self._child.usage

    @property
    def stdin(self) -> In_co:
        """The child's standard input."""
        return cast("In_co", self._stdin)

    @property
    def stdout(self) -> Out_co:
        """The child's standard output."""
        return cast("Out_co", self._stdout)

    @property
    def stderr(self) -> Err_co:
        """The child's standard error."""
        return cast("Err_co", self._stderr)

    def __repr__(self) -> str:
        self._child.has_exited()
        code = self._child.returncode
        if not self._child.is_ours():
            state = "in the process that started it"
        elif code is None:
            state = "running"
        elif code < 0:
            state = f"ended by signal {-code}"
        else:
            state = f"exited with {code}"
        return f"<{type(self).__name__} {self.pid} `{as_typed(self.args)}` {state}>"

    # -- what it does ------------------------------------------------------

    async def wait(self) -> int:
        """Wait until the child exits, and return its ``returncode``.

        This does not wait for the end of the output, which a descendant may hold open
        (P6). If a pipe is full, the child does not exit until it is read. So read the
        pipe first, or start the child without one.

        Raises:
            RuntimeError: If this is a fork of the program that started the child, or if
                the child could not be killed.
        """
        child = self._child
        if not child.is_ours():
            raise RuntimeError(
                f"{self!r} is not a child of this fork: only the process that "
                "started it can wait for it"
            )
        if not child.has_exited():
            if child.exit_fd < 0:
                raise RuntimeError(
                    f"{self!r} could not be killed and was left to itself: its exit "
                    "can no longer be noticed"
                )
            await until_exit(child.exit_fd, child.has_exited)
        self._reap_if_gone()
        assert child.returncode is not None
        return child.returncode

    def _reap_if_gone(self) -> None:
        # A zombie keeps its group alive, as killpg(2) sees it. Tasks that wait for the
        # exit have copies of its descriptor, so this does not leave them waiting.
        if not self._stopping and self._child.is_gone():
            self._child.reap()

    def send_signal(self, number: int, tree: bool = False) -> None:
        """Send a signal to the child, or do nothing if the child has ended.

        Args:
            number: One of :class:`signal.Signals`.
            tree: Send it to every process that ``stop`` would end: the process group,
                and with ``Stop(tree="all")`` the processes that have left it too. This
                works even after the child has exited, if other processes remain (P25).

        Raises:
            ValueError: If there is no such signal.
            TypeError: If ``number`` is not a number.
            NotImplementedError: If Windows cannot send this signal.
        """
        check_signal(number)
        if tree:
            self._child.signal_tree(number, report=False)
        else:
            self._child.signal(number)

    def terminate(self) -> None:
        """Send SIGTERM to the child."""
        self.send_signal(signals.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the child."""
        self.send_signal(KILL)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the child's terminal; the child gets SIGWINCH (P21).

        Does nothing if the child has ended.

        Raises:
            TypeError: If the child was started without ``pty``.
            ValueError: If a size is not positive.
        """
        if self._child.terminal is None:
            raise TypeError(
                f"{self!r} has no terminal of its own: start it with pty=True"
            )
        self._child.terminal.resize(*check_size(rows, columns))

    # -- its end -----------------------------------------------------------

    async def aclose(self) -> None:
        """End the child and its tree as ``stop`` says, and release everything.

        When this returns or raises, everything has ended; a cancellation that arrives in
        the meantime is raised afterwards. You can still read the output that was not
        read before, as bytes or as text, up to a mebibyte of each stream.
        """
        await self._end(orderly=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end(orderly=exc_type is None)

    async def _end(self, *, orderly: bool) -> None:
        if self._closed:
            return
        self._stopping += 1  # several tasks may be here: repeating it is harmless
        try:
            if self._child.is_ours():
                await self._stop(orderly)
        finally:
            self._stopping -= 1
            self._closed = True
            self._child.end_now()

    async def _stop(self, orderly: bool) -> None:
        child, ends = self._child, self._ends
        with Pump() as pump:
            outputs = ends.outputs.values()
            for output in outputs:
                output.join(pump)
            drained = pump.drain()
            # P4: a child that has closed its output is about to exit. A pipe that we
            # have closed ourselves does not count.
            closed = drained and all(end.fd >= 0 or end.at_end for end in outputs)
            try:
                if orderly and _is_running_loop() and child.has_exited():
                    self._rest.begin()
                    await let_finish(child, pump, self._rest, is_shared=self._is_shared)
            finally:
                await stop_child(
                    child,
                    pump,
                    self._plan,
                    close_stdin=ends.close_stdin,
                    orderly=orderly and closed and bool(outputs),
                )
                pump.drain()  # its last output is still in the pipes


def check_signal(number: Any) -> None:
    """Raise an error for anything that is not the number of a signal."""
    if not isinstance(number, int):
        raise TypeError(f"number is {number!r}: give one of signal.Signals")
    if not 0 <= number < signals.NSIG:
        raise ValueError(f"number is {number!r}: there is no such signal")


def _is_running_loop() -> bool:
    try:
        current()
    except RuntimeError:
        return False
    return True
