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

# How much of the end of stderr an error carries, in characters.
_END = 2000


class Dialogue:
    """The part of a :class:`Process` that reads and writes text.

    All of it uses the ``encoding`` and ``errors`` of :func:`process`, and shares one buffer
    with the byte streams: each call continues where the one before it has stopped,
    whichever method it was. A cancelled call loses nothing (P11).
    """

    _command: Command
    _child: Child
    _ends: Ends
    _rest: Rest
    _exiting: Exiting
    _text: Text
    _stdin: SendStream | None
    _stdout: ReceiveStream | None
    _stderr: ReceiveStream | None
    _is_shared: bool

    def _open_streams(self, max_line: int | None) -> None:
        from ._pipe_reader import PipeReader
        from ._streams import ReceiveStream, SendStream
        from ._text import TextReader

        ends, text = self._ends, self._text
        self._output_lines: OutputLines | None = None
        self._encoder = codecs.getincrementalencoder(text.encoding)(text.errors)
        self._readers: dict[Source, TextReader] = {}
        self._lines: list[str] = []  # of stdout, decoded and unread
        of = f"of `{as_typed(self._child.args)}`"
        self._stdin = None
        if ends.stdin is not None:
            self._stdin = SendStream(ends.stdin, f"stdin {of}")
        streams: dict[Source, ReceiveStream] = {}
        for name, output in ends.outputs.items():
            pipe = PipeReader(output, f"{name} {of}")
            streams[name] = ReceiveStream(pipe)
            self._readers[name] = TextReader(pipe, *text, max_line, self._exiting)
        self._stdout, self._stderr = streams.get("stdout"), streams.get("stderr")
        if "stdout" in self._readers:
            self._lines = self._readers["stdout"].decoded.lines

    # -- reading -----------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[str]:
        return self._reader()

    async def readline(self) -> str:
        """Read the next line of stdout; return ``""`` at the end.

        The line ends with ``"\\n"``, unless the output ends in the middle of it. A
        ``"\\r"`` also ends a line, as soon as it arrives.

        Raises:
            ValueError: If the line is longer than ``max_line``. You can read it with
                :meth:`read`.
            UnicodeDecodeError: If the line cannot be decoded. The lines before it are
                returned first, and you can read it as bytes from the byte stream.
            TypeError: If stdout is not a pipe.
            anyio.BusyResourceError: If another task is reading stdout.
        """
        try:  # usually there is one: this halves the cost of a line
            return self._lines.pop()
        except IndexError:
            return await self._reader().readline()

    async def read(self, n: int = -1) -> str:
        """Read all of stdout to its end, or at most ``n`` characters.

        With ``n``, this returns as soon as there is any text, which may be fewer than
        ``n`` characters. At the end it returns ``""``.

        Raises:
            UnicodeDecodeError: If the output cannot be decoded. ``read(n)`` first returns
                the text before the invalid bytes; you can read the rest from the byte
                stream.
            TypeError: If stdout is not a pipe.
            anyio.BusyResourceError: If another task is reading stdout.
        """
        return await self._reader().read(n)

    async def read_until(self, wanted: str | re.Pattern[str]) -> str:
        """Read stdout up to and including the first match of a string or pattern.

        A pattern matches as soon as the text that has arrived allows it, so
        ``re.compile("[0-9]+")`` may match only the first digit of a number: let the
        pattern include the character that follows. To get the groups of the match, search the
        returned text with the pattern again.

        Args:
            wanted: A string, or a compiled pattern. Lines end with ``"\\n"``.

        Returns:
            All text up to the end of the match.

        Raises:
            IncompleteOutput: If the output ends before the match. The error has the text
                that came, the exit status, and the end of stderr.
            ValueError: If the string is empty, or the pattern matches the empty string; or if
                there is no match within ``max_line`` characters, which are then still
                unread.
            UnicodeDecodeError: If the output cannot be decoded. Nothing was read, not
                even the text before the invalid bytes.
            TypeError: If stdout is not a pipe.
            anyio.BusyResourceError: If another task is reading stdout.

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
        """Iterate over the lines of both outputs as they arrive.

        In ``async for source, line in process.output()``, the source is ``"stdout"`` or
        ``"stderr"``. Lines that are written to both at about the same time may swap
        places, because these are two pipes; ``stderr=STDOUT`` keeps the order. An output
        that is not a pipe, or that another child reads, yields no lines.

        Raises:
            TypeError: If neither stdout nor stderr is a pipe.
            ValueError, UnicodeDecodeError, anyio.BusyResourceError: As for
                :meth:`readline`.

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
                list(self._ends.outputs.values()),
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
        reader = self._readers.get("stderr")
        if reader is None or reader.pipe.turn.is_taken:
            return ""
        after, held = reader.give_back(), self._ends.outputs["stderr"].all_held()
        text = Text(self._text.encoding, "replace")
        return text.decode(held, after=after, is_cut_off=True)[-_END:]

    # -- writing -----------------------------------------------------------

    async def write(self, data: str | bytes) -> None:
        """Write text, or bytes as they are, to stdin, and wait until the pipe has taken it all.

        Do not write a lot without reading, because a child that cannot write its output
        reads no more input. :meth:`communicate` does both at the same time.

        Raises:
            anyio.BrokenResourceError: If the child has closed its stdin, or has exited.
            anyio.ClosedResourceError: If you have closed stdin.
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
            if stdin.sent == sent:  # not even a byte order mark was sent
                encoder.setstate(state)
            raise

    async def communicate(self, input: str | bytes | None = None) -> Completed[str]:
        """Write ``input``, close stdin, read all output, and wait until the child exits.

        This is like :meth:`subprocess.Popen.communicate`, but when it returns, the
        child's process group is gone as well. ``stdout`` and ``stderr`` of the result
        have the output that was not read before; they are ``None`` if there is no pipe.

        If the call is cancelled, the child keeps running and nothing is lost: call it
        again without ``input``. If a limit cancelled it, the block's ``interrupted`` has the
        output so far, with ``None`` as its ``returncode`` (T25).

        Returns:
            A :class:`Completed` with text, whatever the exit status is.

        Raises:
            UnicodeDecodeError: If the output is not text in this encoding. The attribute
                ``completed`` of the error has the result, with its output as bytes.
            TypeError: If there is ``input``, but stdin is not a pipe.
            ValueError: If there is ``input``, but stdin was closed, or an interrupted call
                has not written all of its input yet.
            anyio.BusyResourceError: If another task is reading or writing.

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
            if self._stdin is not None:
                held.enter_context(self._stdin.turn)
            for reader in self._readers.values():
                held.enter_context(reader.pipe.turn)
            self._leave_input(input)
            after: dict[Source, Position] = {
                name: reader.give_back() for name, reader in self._readers.items()
            }
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
                "call it again without input, and it will continue"
            )
        if isinstance(data, str):
            # Some encodings need more bytes at the end of the text.
            data = self._encoder.encode(data, final=True)
        stdin.leave(data)

    async def aclose(self) -> None:
        """End the child; see :class:`Process`."""
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
