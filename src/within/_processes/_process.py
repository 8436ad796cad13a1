"""A child for the length of a block: entered, awaited, iterated (P1)."""

from __future__ import annotations

import signal as signals
from codecs import getincrementaldecoder
from subprocess import DEVNULL, PIPE, STDOUT
from typing import TYPE_CHECKING, Any

from .._backends import current
from .._contexts import opening
from ._command import Command, check_command, check_files, check_text
from ._ends import Ends
from ._plan import Stop, check_stop
from ._platform import KILL, Child, Pump, until_exit
from ._rest import Rest
from ._stopping import let_finish, stop_child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from types import TracebackType
    from typing import Self, Unpack

    from anyio.abc import ByteReceiveStream, ByteSendStream

    from .._results import Usage
    from ._command import File, PopenOptions, Word
    from ._lines import Lines
    from ._streams import ReceiveStream, SendStream


class Process:
    """A running child process; :func:`process` makes it.

    ``stdin``, ``stdout`` and ``stderr`` are anyio streams of bytes, or ``None``
    where they were not ``PIPE``. ``async for line in process`` reads the text lines
    of stdout. The streams end when every writer has closed the pipe, or when the child
    has exited and nothing more has come for a moment (see :class:`Stop`).
    """

    def __init__(
        self,
        command: Command,
        plan: Stop,
        files: tuple[Any, Any, Any],
        text: tuple[str, str, int | None],
        on_signal: Callable[[int], None] | None = None,
    ) -> None:
        from ._lines import Lines
        from ._streams import ReceiveStream, SendStream

        self._child = child = Child(command, plan)
        child.on_signal = on_signal
        self._plan = plan
        self._stdin: SendStream | None = None
        self._stdout: ReceiveStream | None = None
        self._stderr: ReceiveStream | None = None
        self._lines: Lines | None = None
        self._rest = Rest(child, plan)
        # Some of its output goes where we cannot watch it.
        self._is_shared = any(x not in (PIPE, DEVNULL, STDOUT) for x in files[1:])
        self._stopping = 0
        self._closed = False
        try:
            self._ends = ends = Ends(child, child.start(*files), self._rest)
            if ends.stdin is not None:
                self._stdin = SendStream(ends.stdin)
            if ends.stdout is not None:
                self._stdout = ReceiveStream(ends.stdout)
                self._lines = Lines(self._stdout, *text)
            if ends.stderr is not None:
                self._stderr = ReceiveStream(ends.stderr)
        except BaseException:  # P14: a signal handler may raise after the start
            child.end_now()
            raise

    # -- what it is --------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id. It may be reused once the block has ended."""
        return self._child.pid

    @property
    def args(self) -> tuple[str | bytes, ...]:
        """The command: the program and its arguments."""
        return self._child.args

    @property
    def returncode(self) -> int | None:
        """The exit status, or minus the signal's number if a signal ended the child.

        ``None`` while it runs.
        """
        if self._child.returncode is None:
            self._child.has_exited()
        return self._child.returncode

    @property
    def usage(self) -> Usage | None:
        """Wall time, CPU time (both in seconds) and peak memory (in bytes).

        ``None`` until the child is reaped. :meth:`wait` reaps it if nothing of its
        group is left by then; otherwise it is reaped when the block ends.
        """
        return self._child.usage

    @property
    def stdin(self) -> ByteSendStream | None:
        """The child's standard input."""
        return self._stdin

    @property
    def stdout(self) -> ByteReceiveStream | None:
        """The child's standard output."""
        return self._stdout

    @property
    def stderr(self) -> ByteReceiveStream | None:
        """The child's standard error."""
        return self._stderr

    def __repr__(self) -> str:
        code = self.returncode
        if not self._child.is_ours():
            state = "in the process that started it"
        elif code is None:
            state = "running"
        elif code < 0:
            state = f"ended by signal {-code}"
        else:
            state = f"exited with {code}"
        command = " ".join(map(str, self.args))
        return f"<Process {self.pid} {command!r} {state}>"

    # -- what it does ------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[str]:
        if self._lines is None:
            raise TypeError(
                f"{self!r} was not started with stdout=PIPE: there is no pipe to read "
                "lines from"
            )
        return self._lines

    async def wait(self) -> int:
        """Wait until the child exits, and return its ``returncode``.

        It does not wait for the end of the output: a descendant may hold that open
        (P6). A child whose pipe is full blocks until it is read, so read the pipe first,
        or start the child without one.

        Raises:
            RuntimeError: In a fork of the process that started it, or after a stop that
                failed to end it.
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
        if not self._stopping and child.is_gone():
            child.reap()
        assert child.returncode is not None
        return child.returncode

    def send_signal(self, number: int, tree: bool = False) -> None:
        """Send a signal to the child. Does nothing if the child has ended.

        Args:
            number: One of :class:`signal.Signals`.
            tree: Send it to everything that ``stop`` would end as well: the process
                group, and with ``Stop(tree="all")`` the processes that left it. This
                also works after the exit of the child, as long as others remain (P25).
        """
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

    # -- its end -----------------------------------------------------------

    async def aclose(self) -> None:
        """End the child and its tree as ``stop`` says, and release everything.

        Nothing of it is left when this returns or raises: a cancellation that arrives in
        the meantime is raised afterwards. Output that was not read before can still be
        read from the streams and lines, up to a mebibyte of each stream.
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
            for output in ends.outputs:
                output.join(pump)
            drained = pump.drain()
            # P4: a child that has closed its output is about to exit. A pipe that we
            # have closed ourselves tells nothing.
            closed = drained and all(end.fd >= 0 or end.at_end for end in ends.outputs)
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
                    orderly=orderly and closed and bool(ends.outputs),
                )
                pump.drain()  # its last output is still in the pipes


def _is_running_loop() -> bool:
    try:
        current()
    except RuntimeError:
        return False
    return True


@opening
def process(
    *command: Word,
    stdin: File = PIPE,
    stdout: File = PIPE,
    stderr: File = None,
    cwd: Word | None = None,
    env: Mapping[str, str] | None = None,
    stop: Stop = Stop(),  # noqa: B008  # frozen
    encoding: str = "utf-8",
    errors: str = "strict",
    max_line: int | None = None,
    **popen_options: Unpack[PopenOptions],
) -> Coroutine[Any, Any, Process]:
    """Start a child process that does not outlive its block.

    ``async with process(...) as p`` ends the child with the block. After
    ``p = await process(...)`` you have to end it with ``await p.aclose()``.

    On a terminal, the child is in a background process group. The kernel stops it if it
    asks for a password at ``/dev/tty``. With ``start_new_session=True`` it has no
    terminal, and such a command fails at once; with ``Stop(tree="child")`` it stays in
    our group and can ask.

    Args:
        command: The program and its arguments, one by one; there is no shell.
        stdin, stdout, stderr: As for :class:`subprocess.Popen`.
        cwd: The directory to run it in.
        env: Its whole environment; ``None`` to inherit ours.
        stop: How to end it.
        encoding, errors: For decoding the lines of stdout.
        max_line: The longest line to accept, in characters; ``None`` for any length.
        popen_options: More options, with the meaning that they have for
            :class:`subprocess.Popen`: ``executable``, ``close_fds``, ``pass_fds``,
            ``pipesize``, ``restore_signals``, ``start_new_session``, ``preexec_fn``,
            ``umask``, ``user``, ``group``, ``extra_groups``.

    Raises:
        OSError: If it cannot be started; the error names the file or the directory.
        ValueError: For no command, an empty program, or a NUL.
        TypeError: For arguments of another type, and options that make no sense.
        NotImplementedError: On Windows.

    >>> import asyncio, within
    >>> async def main():
    ...     async with within.process("printf", "one\\\\ntwo\\\\n") as p:
    ...         async for line in p:
    ...             print(repr(line))
    ...     print(p.returncode)
    >>> asyncio.run(main())
    'one\\n'
    'two\\n'
    0
    """
    check_stop(stop)
    checked = check_command(command, {"cwd": cwd, "env": env, **popen_options})
    check_files(stdin, stdout, stderr)
    check_text(encoding, errors)
    getincrementaldecoder(encoding)(errors)
    if max_line is not None and max_line < 1:
        raise ValueError(f"max_line is {max_line!r}: give 1 or more, or None")
    return start(checked, stop, (stdin, stdout, stderr), (encoding, errors, max_line))


async def start(
    command: Command,
    plan: Stop,
    files: tuple[Any, Any, Any] = (None, None, None),
    text: tuple[str, str, int | None] = ("utf-8", "strict", None),
    on_signal: Callable[[int], None] | None = None,
) -> Process:
    """Start a command that has been checked. The command line calls this as well.

    The option ``process_group`` of ``command`` is the number of a group that the child
    joins instead of getting a new one. The group is ended with the child. Its leader
    must be a child of ours that is reaped later than this one, or its number could be
    reused while we signal it (P5).

    ``on_signal`` is called with each signal that the stop sequence sends.
    """
    from anyio.lowlevel import checkpoint

    await checkpoint()  # a task that is cancelled starts nothing
    return Process(command, plan, files, text, on_signal)
