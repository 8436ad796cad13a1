"""Text to and from a child: what a :class:`Process` reads and writes (P22)."""

from __future__ import annotations

import codecs
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from .._backends import current
from .._errors import note_interrupted
from ._capture import Capture
from ._communication import Communication
from ._decoding import Text
from ._incomplete import IncompleteOutput
from ._typed import as_typed

if TYPE_CHECKING:
    import re
    from collections.abc import AsyncIterator, Mapping

    from .._results import Completed
    from ._command import Command
    from ._decoding import Position
    from ._ends import Ends
    from ._exiting import Exiting
    from ._options import Source
    from ._output_lines import OutputLines
    from ._platform import Child
    from ._rest import Rest
    from ._streams import ReceiveStream, SendStream
    from ._text import TextReader

# How much of the end of stderr an error carries. In characters.
_END = 2000


class Dialogue:
    """The part of a :class:`Process` that reads and writes text.

    All of it decodes with the ``encoding`` and ``errors`` of :func:`process`, and all of
    it, like the byte streams, reads from the same buffer: each call continues where the
    one before it has stopped, whichever it was. A cancelled call loses nothing (P11).
    """

    _command: Command
    _child: Child
    _ends: Ends
    _rest: Rest
    _text: Text
    _stdin: SendStream | None
    _stdout: ReceiveStream | None
    _stderr: ReceiveStream | None
    _is_shared: bool

    def _open_streams(self, max_line: int | None, exiting: Exiting) -> None:
        from ._streams import ReceiveStream, SendStream
        from ._text import TextReader

        ends, text = self._ends, self._text
        self._exiting = exiting
        self._output_lines: OutputLines | None = None
        self._encoder = codecs.getincrementalencoder(text.encoding)(text.errors)
        self._stdin = self._stdout = self._stderr = None
        self._readers: dict[Source, TextReader] = {}
        self._lines: list[str] = []  # those of stdout that are there
        of = f"of `{as_typed(self._child.args)}`"
        if ends.stdin is not None:
            self._stdin = SendStream(ends.stdin, f"stdin {of}")
        if ends.stdout is not None:
            self._stdout = ReceiveStream(ends.stdout, f"stdout {of}")
            self._readers["stdout"] = TextReader(
                self._stdout, *text, max_line, exiting=exiting
            )
            self._lines = self._readers["stdout"].decoded.lines
        if ends.stderr is not None:
            self._stderr = ReceiveStream(ends.stderr, f"stderr {of}")
            self._readers["stderr"] = TextReader(
                self._stderr, *text, max_line, exiting=exiting
            )

    # -- reading -----------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[str]:
        return self._reader()

    async def readline(self) -> str:
        """Read the next line of stdout; ``""`` at the end.

        The line ends with ``"\\n"``, unless it is the last one of an output that ends
        without. A ``"\\r"`` ends a line, too, as soon as it is there.

        Raises:
            ValueError: For a line that is longer than ``max_line``. It can be read with
                :meth:`read`.
            UnicodeDecodeError: For what is not text in this encoding, after the lines
                before it. It can be read from the byte stream.
        """
        try:  # most are there: this saves half of what a line costs
            return self._lines.pop()
        except IndexError:
            return await self._reader().readline()

    async def read(self, n: int = -1) -> str:
        """Read what comes from stdout until its end, or at most ``n`` characters.

        With ``n`` it returns as soon as there is any text, which may be less than ``n``
        characters; ``""`` at the end.
        """
        return await self._reader().read(n)

    async def read_until(self, wanted: str | re.Pattern[str]) -> str:
        """Read stdout up to and including the first match of a text or pattern.

        A pattern matches as soon as it can with the text that has come, so
        ``re.compile("[0-9]+")`` may match the first digit of a number: let the pattern
        end with what follows. To get at its groups, search the returned text with it
        again.

        Args:
            wanted: A text, or a compiled pattern. Line ends are ``"\\n"``.

        Raises:
            IncompleteOutput: If the output ends before the match. The error has the text
                that came, the status, and the end of stderr.
            ValueError: For an empty text or a pattern that matches one; and if there is
                no match within ``max_line`` characters. These are then still unread.

        >>> import asyncio, within
        >>> async def main():
        ...     script = "printf 'Name: '; read -r name; echo Hello, $name"
        ...     async with within.process("sh", "-c", script) as p:
        ...         print(repr(await p.read_until(": ")))
        ...         await p.write("Ann\\n")
        ...         print(repr(await p.readline()))
        >>> asyncio.run(main())
        'Name: '
        'Hello, Ann\\n'
        """
        reader = self._reader()
        found = await reader.read_until(wanted)
        if found is not None:
            return found
        raise IncompleteOutput(
            wanted,
            cmd=self._child.args,
            output=reader.decoded.take_all(),
            stderr=self._end_of_stderr(),
            returncode=self._child.returncode,
        )

    def output(self) -> AsyncIterator[tuple[Source, str]]:
        """Iterate over the lines of both outputs, as they come.

        ``async for source, line in process.output()``: the source is ``"stdout"`` or
        ``"stderr"``. Two pipes keep no common order of what was written at about the same
        time; ``stderr=STDOUT`` does. An output that is not a pipe, or that another child
        reads, has no lines here.

        >>> import asyncio, within
        >>> async def main():
        ...     script = "echo one; read -r _; echo two >&2"
        ...     async with within.process("sh", "-c", script, stderr=within.PIPE) as p:
        ...         async for source, line in p.output():
        ...             print(source, repr(line))
        ...             if source == "stdout":
        ...                 await p.write("go on\\n")
        >>> asyncio.run(main())
        stdout 'one\\n'
        stderr 'two\\n'
        """
        from ._output_lines import OutputLines

        if not self._readers:
            raise TypeError(
                f"{self!r} was not started with stdout=PIPE or stderr=PIPE: there is no "
                "pipe to read lines from"
            )
        if self._output_lines is None:
            self._output_lines = OutputLines(
                list(self._readers.items()),
                self._ends.outputs,
                self._rest,
                self._exiting,
            )
        return self._output_lines

    def _reader(self) -> TextReader:
        try:
            return self._readers["stdout"]
        except KeyError:
            raise TypeError(
                f"{self!r} was not started with stdout=PIPE: there is no pipe to read "
                "lines from"
            ) from None

    def _end_of_stderr(self) -> str:
        stream, output = self._stderr, self._ends.stderr
        if stream is None or output is None or stream.turn.is_taken:
            return ""
        after = self._readers["stderr"].give_back()
        text = Text(self._text.encoding, "replace")
        return text.decode(output.all_held(), after=after, is_cut_off=True)[-_END:]

    # -- writing -----------------------------------------------------------

    async def write(self, data: str | bytes) -> None:
        """Write text, or bytes as they are, to stdin; wait until the pipe has taken it.

        Do not write much without reading: a child that cannot get rid of its output
        reads no input.

        Raises:
            anyio.BrokenResourceError: If the child has closed its stdin, or has exited.
            anyio.ClosedResourceError: If stdin was closed here.
            anyio.BusyResourceError: If another task is writing.
        """
        stdin, encoder = self._stdin, self._encoder
        if stdin is None:
            raise TypeError(
                f"{self!r} was not started with stdin=PIPE: there is no pipe to write to"
            )
        if not isinstance(data, str):
            _check_bytes("data", data)
            await stdin.send(data)
            return
        state, sent = encoder.getstate(), stdin.sent
        try:
            await stdin.send(encoder.encode(data))
        except BaseException:
            if stdin.sent == sent:  # what the encoder has begun was not begun (a BOM)
                encoder.setstate(state)
            raise

    async def communicate(self, input: str | bytes | None = None) -> Completed[str]:
        """Write ``input``, close stdin, read all output, and wait for the end.

        Like :meth:`subprocess.Popen.communicate`, and everything of the child is ended
        when this returns. ``stdout`` and ``stderr`` of the result hold what was not read
        before; ``None`` where there is no pipe.

        If it is cancelled, the child runs on and nothing is lost: the call can be
        repeated without ``input``. What came so far is in ``interrupted`` of the block
        whose limit it was (T25).

        >>> import asyncio, within
        >>> async def main():
        ...     async with within.process("tr", "a-z", "A-Z") as p:
        ...         return await p.communicate("hello")
        >>> done = asyncio.run(main())
        >>> done.stdout, done.returncode
        ('HELLO', 0)
        """
        from anyio.lowlevel import checkpoint

        cancelled = current().cancelled
        talk = Communication(self._child, self._ends, self._rest)
        with ExitStack() as held:
            for stream in (self._stdin, self._stdout, self._stderr):
                if stream is not None:
                    held.enter_context(stream.turn)
            self._leave_input(input)
            after = {name: reader.give_back() for name, reader in self._readers.items()}
            try:
                with talk.collecting():
                    await checkpoint()
                    await talk.exchange(is_shared=self._is_shared)
                    await self.aclose()
            except cancelled as error:
                note_interrupted(error, self._captured(talk, after).completed())
                raise
        return self._captured(talk, after).result(check=False)

    def _leave_input(self, data: str | bytes | None) -> None:
        if data is not None and not isinstance(data, str):
            _check_bytes("input", data)
        if not data:
            return
        stdin = self._ends.stdin
        if stdin is None:
            raise TypeError(
                f"{self!r} was not started with stdin=PIPE: there is no pipe for input"
            )
        if stdin.fd < 0:
            raise ValueError(f"stdin of {self!r} was closed: it takes no input")
        if stdin.is_fed:
            raise ValueError(
                "an interrupted communicate() has not written all of its input yet: "
                "call it again without input, and it will go on"
            )
        if isinstance(data, str):
            # Some encodings end with bytes of their own.
            data = self._encoder.encode(data, final=True)
        stdin.leave(data)

    async def aclose(self) -> None:
        """End the child; a :class:`Process` says how."""
        raise NotImplementedError

    def _captured(
        self, talk: Communication, after: Mapping[Source, Position]
    ) -> Capture:
        found = talk.bytes
        capture = Capture(self._command, list(found), text=self._text, after=after)
        capture.child = self._child
        for name, data in found.items():
            capture.sink(name)(data)
        return capture


def _check_bytes(name: str, data: Any) -> None:
    try:
        memoryview(data)
    except TypeError:
        raise TypeError(f"{name} is {data!r}: give str or bytes") from None
