"""A child for the length of a block: entered, awaited, iterated (P1)."""

from __future__ import annotations

import os
import signal as signals
import warnings
from codecs import getincrementaldecoder
from subprocess import PIPE
from typing import TYPE_CHECKING, Any
from weakref import finalize

from .._backends import current
from .._contexts import opening
from ._child import Child, Usage
from ._command import Command, Pipes, check_command, check_files, check_stop
from ._pump import Pump
from ._stop import Stop, stop_child

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Collection,
        Coroutine,
        Iterable,
        Mapping,
        Sequence,
    )
    from types import TracebackType
    from typing import Self, TypedDict, Unpack

    from _typeshed import HasFileno
    from anyio.abc import ByteReceiveStream, ByteSendStream

    from ._command import Word
    from ._lines import Lines
    from ._pipes import ReceivePipe, SendPipe

    # PIPE, DEVNULL, a descriptor, an open file, or None for our own.
    File = int | HasFileno | None

    class PopenOptions(TypedDict, total=False):
        """What :class:`subprocess.Popen` has as well, and is passed on to it."""

        executable: Word | None
        close_fds: bool
        pass_fds: Collection[int]
        pipesize: int | None
        restore_signals: bool
        start_new_session: bool
        preexec_fn: Callable[[], object] | None
        umask: int
        user: str | int | None
        group: str | int | None
        extra_groups: Iterable[str | int] | None


class Process:
    """A running child process; :func:`process` makes it.

    ``stdin``, ``stdout`` and ``stderr`` are anyio streams of bytes, or ``None``
    where they were not ``PIPE``. ``async for line in process`` reads the text
    lines of stdout.
    """

    def __init__(
        self,
        child: Child,
        plan: Stop,
        stdin: SendPipe | None,
        stdout: ReceivePipe | None,
        stderr: ReceivePipe | None,
        lines: Lines | None,
    ) -> None:
        self._child = child
        self._plan = plan
        self._stdin = stdin
        self._stdout = stdout
        self._stderr = stderr
        self._lines = lines
        self._pipes = [pipe for pipe in (stdin, stdout, stderr) if pipe is not None]
        self._stopping = 0
        self._closed = False
        self._dropped = finalize(self, _drop, child, self._pipes)

    # -- what it is --------------------------------------------------------

    @property
    def pid(self) -> int:
        """Its number; somebody else's, maybe, once the block is left."""
        return self._child.pid

    @property
    def args(self) -> tuple[str | bytes, ...]:
        """The command: the program and its arguments."""
        return self._child.args

    @property
    def returncode(self) -> int | None:
        """Its exit status, minus the number of the signal that ended it, or
        ``None`` while it runs.
        """
        if self._child.returncode is None:
            self._child.has_exited()
        return self._child.returncode

    @property
    def usage(self) -> Usage | None:
        """Wall time, CPU time (both in seconds) and peak memory (in bytes).

        ``None`` until the child is reaped: in :meth:`wait` if nothing of its
        group is left by then, else when the block ends.
        """
        return self._child.usage

    @property
    def stdin(self) -> ByteSendStream | None:
        """Where the child reads."""
        return self._stdin

    @property
    def stdout(self) -> ByteReceiveStream | None:
        """What the child writes."""
        return self._stdout

    @property
    def stderr(self) -> ByteReceiveStream | None:
        """What the child complains of."""
        return self._stderr

    def __repr__(self) -> str:
        code = self.returncode
        if code is None:
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
                f"{self!r} was started with a stdout of its own: lines can be read "
                "only from stdout=PIPE"
            )
        return self._lines

    async def wait(self) -> int:
        """Wait until the child exits, and return its ``returncode``.

        Not for its output to end: a descendant may hold that open (P6). An unread
        pipe that is full stops the child, so read first, or start it without.
        """
        child = self._child
        if not child.has_exited():
            # One of our own, for any number of tasks may wait, and the child be
            # reaped by another one before we run again.
            exit_fd = os.dup(child.exit_fd)
            try:
                while not child.has_exited():
                    await current().wait_readable(exit_fd)
            finally:
                os.close(exit_fd)
        if not self._stopping and child.is_gone():
            child.reap()
        assert child.returncode is not None
        return child.returncode

    def send_signal(self, number: int, tree: bool = False) -> None:
        """Send a signal to the child; nothing happens if it has ended.

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
        self.send_signal(signals.SIGKILL)

    # -- its end -----------------------------------------------------------

    async def aclose(self) -> None:
        """End the child and its tree as ``stop`` says, and release everything.

        Nothing of it is left when this returns, or raises: a cancellation that
        comes meanwhile is raised afterwards.
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
        self._stopping += 1  # several may: each does the whole of it, none harms
        try:
            if self._child.is_ours():
                await self._stop(orderly)
        finally:
            self._stopping -= 1
            self._end_now()

    async def _stop(self, orderly: bool) -> None:
        outputs = [pipe for pipe in (self._stdout, self._stderr) if pipe]
        with Pump() as pump:
            for pipe in outputs:
                if pipe.fileno() >= 0:
                    pipe.on_close.append(pump.forget)
                    pump.read(pipe.fileno(), _discard)
            drained = pump.drain()
            await stop_child(
                self._child,
                pump,
                self._plan,
                close_stdin=self._close_stdin,
                # P4: what it has closed says that it is on its way out; what we
                # have closed ourselves says nothing.
                orderly=orderly
                and drained
                and bool(outputs)
                and all(pipe.fileno() >= 0 or pipe.at_end for pipe in outputs),
            )

    def _close_stdin(self) -> None:
        if self._stdin is not None:
            self._stdin.close()

    def _end_now(self) -> None:
        self._closed = True
        self._dropped.detach()
        _release(self._child, self._pipes)


def _release(child: Child, pipes: Sequence[SendPipe | ReceivePipe]) -> None:
    for pipe in pipes:  # first: to find all of a tree takes some descriptors
        pipe.close()
    child.end_now()  # nothing, once it is reaped


def _drop(child: Child, pipes: Sequence[SendPipe | ReceivePipe]) -> None:
    """Nobody has it any more, or the interpreter exits (not that of a fork)."""
    if child.is_ours():
        _release(child, pipes)  # first: the warning may be an error
        warnings.warn(
            f"{child!r} was dropped while open: leave its block, or await aclose()",
            ResourceWarning,
            stacklevel=2,
        )


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

    ``async with process(...) as p`` ends it with the block; after
    ``p = await process(...)`` it is yours to ``await p.aclose()``.

    Args:
        command: The program and its arguments, one by one; there is no shell.
        stdin, stdout, stderr: As for :class:`subprocess.Popen`.
        cwd: Where it runs.
        env: Its whole environment; ``None`` for ours.
        stop: How it is ended.
        encoding, errors: Of the lines of stdout.
        max_line: The longest line to accept, in characters; ``None`` for any.
        popen_options: Passed on to :class:`subprocess.Popen`: ``executable``,
            ``close_fds``, ``pass_fds``, ``pipesize``, ``restore_signals``,
            ``start_new_session``, ``preexec_fn``, ``umask``, ``user``, ``group``,
            ``extra_groups``.

    Raises:
        OSError: If it cannot be started, with the file or the cwd named.
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
    """Start a command that was checked; the command line calls this, too.

    The option ``process_group`` of ``command`` is the number of a group that the child
    joins in place of a new one. The group is ended with the child. Its leader must be
    a child of ours that is reaped later than this one, or its number could be reused
    while we signal it (P5).

    ``on_signal`` is called with each signal that the stop sequence sends.
    """
    from anyio.lowlevel import checkpoint

    from ._lines import Lines
    from ._pipes import ReceivePipe, SendPipe

    await checkpoint()  # who is cancelled starts nothing
    with Pipes(command.pipe_size) as pipes:
        stdin, to_child = pipes.to_child(files[0])
        stdout, from_child = pipes.from_child(files[1])
        stderr, complaints = pipes.from_child(files[2])
        child = Child(command, plan, stdin=stdin, stdout=stdout, stderr=stderr)
        child.on_signal = on_signal
        pipes.handed_over()
    output = None if from_child is None else ReceivePipe(from_child)
    return Process(
        child,
        plan,
        None if to_child is None else SendPipe(to_child),
        output,
        None if complaints is None else ReceivePipe(complaints),
        None if output is None else Lines(output, *text),
    )


def _discard(data: bytes) -> None:
    pass
