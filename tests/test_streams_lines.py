"""Lines and bytes, however they are cut and whatever is cancelled (P10, P11).

Most of it needs no child: the test holds the writing end of the pipe itself, so
that it alone decides what is there to be read at which moment.
"""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest
from children import line
from hypothesis import HealthCheck, example, given, settings, strategies as st

import within
from within import process
from within._processes._ends import Output
from within._processes._pipe_reader import PipeReader
from within._processes._streams import ReceiveStream
from within._processes._text import TextReader

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

drawn = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

TEXT = "a\r\nä€😀\rb\u2028\n\n😀"


@dataclass
class Wire:
    """A pipe that is read as a child's output is, and written to by the test."""

    writing: int
    reading: PipeReader

    def lines(
        self, encoding: str = "utf-8", errors: str = "strict", limit: int | None = None
    ) -> TextReader:
        return TextReader(self.reading, encoding, errors, limit)

    def write(self, data: bytes) -> None:
        assert os.write(self.writing, data) == len(data)

    def hang_up(self) -> None:
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1


@contextlib.contextmanager
def wire() -> Iterator[Wire]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    made = Wire(writing, PipeReader(Output(reading)))
    try:
        yield made
    finally:
        made.hang_up()
        made.reading.close()


async def read_cut(
    data: bytes, cuts: list[int], encoding: str, errors: str = "strict"
) -> list[str]:
    """The lines of ``data``, if it is read in pieces that end at ``cuts``."""
    got: list[str] = []
    with wire() as pipe:

        async def read() -> None:
            got.extend([found async for found in pipe.lines(encoding, errors)])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            edges = [0, *cuts, len(data)]
            for start, end in pairwise(edges):
                if start < end:
                    pipe.write(data[start:end])
                while pipe_holds(pipe):
                    await anyio.lowlevel.checkpoint()
            pipe.hang_up()
    return got


def pipe_holds(pipe: Wire) -> bool:
    """Whether it holds bytes that were not read yet."""
    import array
    import fcntl
    import termios

    count = array.array("i", [0])
    fcntl.ioctl(pipe.reading.fileno(), termios.FIONREAD, count)
    return count[0] > 0


def translated(text: str) -> list[str]:
    """Its lines as a text file gives them."""
    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    *lines, tail = whole.split("\n")
    return [found + "\n" for found in lines] + ([tail] if tail else [])


# -- P10 -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "gb18030"]
)
async def test_p10_a_character_may_be_cut_at_each_of_its_bytes(encoding: str) -> None:
    data = TEXT.encode(encoding)
    every_byte = list(range(1, len(data)))
    assert await read_cut(data, every_byte, encoding) == translated(TEXT)
    for cut in every_byte:
        assert await read_cut(data, [cut], encoding) == translated(TEXT)


async def test_p10_the_byte_order_mark_is_obeyed() -> None:
    data = codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be")
    assert await read_cut(data, [1, 3, 9], "utf-16") == translated(TEXT)


@drawn
@example(data=b"\xe2\x82\xe2\x82\xac\r", cuts=[1, 2, 3, 4, 5])
@given(
    data=st.lists(
        st.sampled_from([b"\xe2", b"\x82", b"\xac", b"a", b"\r", b"\n", b"\xff"]),
        max_size=30,
    ).map(b"".join),
    cuts=st.lists(st.integers(1, 30), max_size=8),
)
async def test_p10_invalid_bytes_are_replaced_wherever_they_are_cut(
    data: bytes, cuts: list[int]
) -> None:
    edges = sorted({cut for cut in cuts if cut < len(data)})
    got = await read_cut(data, edges, "utf-8", "replace")
    assert got == translated(data.decode("utf-8", "replace"))


async def lines_before_error(pieces: list[bytes], encoding: str) -> list[str]:
    """The lines up to the first invalid byte; then the error, each time."""
    got: list[str] = []
    with wire() as pipe:
        lines = pipe.lines(encoding)

        async def read() -> None:
            for _ in range(3):
                with pytest.raises(UnicodeDecodeError):
                    async for found in lines:
                        got.append(found)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            for piece in pieces:
                pipe.write(piece)
                while pipe_holds(pipe):
                    await anyio.lowlevel.checkpoint()
    return got


@pytest.mark.parametrize("cut", [0, 3, 4, 5])
async def test_p10_a_line_before_invalid_bytes_is_given_first(cut: int) -> None:
    data = b"one\n\xff"
    pieces = [piece for piece in (data[:cut], data[cut:]) if piece]
    assert await lines_before_error(pieces, "utf-8") == ["one\n"]


async def test_p10_a_carriage_return_before_invalid_bytes_ends_its_line() -> None:
    """The decoder holds it back, because a line feed might follow."""
    assert await lines_before_error([b"one\r", b"\xff"], "utf-8") == ["one\n"]


async def test_p10_a_line_that_ends_with_a_carriage_return_is_given_at_once() -> None:
    """A program that shows its progress so may be silent for long after it."""
    with wire() as pipe:
        lines = pipe.lines()
        for said, expected in (
            (b"10%\r", "10%\n"),
            (b"20%\r\n", "20%\n"),
            (b"30%\r", "30%\n"),
            (b"\n40%\r", "40%\n"),  # the end of the last, of which we have the "\r"
            (b"\r", "\n"),
            (b"\n\n", "\n"),
        ):
            pipe.write(said)
            with anyio.fail_after(60):
                assert await anext(lines) == expected
        pipe.hang_up()
        assert [found async for found in lines] == []


async def test_p10_invalid_bytes_do_not_change_the_byte_order() -> None:
    before = codecs.BOM_UTF16_BE + "on".encode("utf-16-be")
    after = "e\n".encode("utf-16-be") + b"\xdc\x00\xdc\x00"
    assert await lines_before_error([before, after], "utf-16") == ["one\n"]


@pytest.mark.parametrize("end", ["; sleep 600", ""])
async def test_p10_max_line_bounds_a_line_that_does_not_end(end: str) -> None:
    script = "echo short; head -c 100000 /dev/zero | tr '\\0' x" + end
    async with process("sh", "-c", script, max_line=1000) as child:
        assert await anext(aiter(child)) == "short\n"
        for _ in range(2):
            with pytest.raises(ValueError, match="max_line=1000"):
                await anext(aiter(child))


async def test_p10_a_line_of_ten_mebibytes() -> None:
    size = 10 * 1024 * 1024
    script = f"head -c {size} /dev/zero | tr '\\0' x; echo; echo end"
    async with process("sh", "-c", script) as child:
        assert [len(found) async for found in child] == [size + 1, 4]


@pytest.mark.parametrize("cut", [1, 5, 6, 7])
async def test_p10_max_line_is_the_same_however_the_line_is_cut(cut: int) -> None:
    got: list[str] = []
    with wire() as pipe:

        async def read() -> None:
            with pytest.raises(ValueError, match="max_line=5"):
                async for found in pipe.lines(limit=5):
                    got.append(found)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            data = "ääääö\nnéxtxx\n".encode()
            for piece in (data[: cut * 2], data[cut * 2 :]):
                pipe.write(piece)
                await anyio.wait_all_tasks_blocked()
    assert got == ["ääääö\n"]


async def test_p10_a_line_beyond_max_line_can_be_read_in_pieces() -> None:
    """As the error says. Nothing of it is lost, neither as text nor as bytes."""
    async with process("sh", "-c", "echo much too long; cat", max_line=5) as child:
        for _ in range(2):
            with pytest.raises(ValueError, match="max_line=5"):
                await line(child)
        assert await child.read(5) == "much "
        with pytest.raises(ValueError, match="max_line=5"):
            await child.readline()
        assert await child.stdout.receive() == b"too long\n"
        await child.write("more\n")
        assert await child.readline() == "more\n"


async def test_p10_the_end_comes_again_and_again() -> None:
    async with process("printf", "one\ntwo") as child:
        assert [found async for found in child] == ["one\n", "two"]
        assert [found async for found in child] == []
        with pytest.raises(EOFError):
            await line(child)


async def test_p10_an_empty_output_has_no_line() -> None:
    async with process("true") as child:
        assert [found async for found in child] == []


# -- P11 -----------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """One read that is cancelled: after so many passes, in which bytes come."""

    before: int
    bytes: int
    after: int


turns = st.lists(
    st.builds(Turn, st.integers(0, 4), st.integers(0, 9), st.integers(0, 3)),
    max_size=25,
)


async def passes(count: int) -> None:
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def feed(pipe: Wire, data: bytes, plan: list[Turn], read: object) -> None:
    """Start ``read`` once for each turn, and cancel it in the midst of its bytes."""
    sent = 0
    for turn in plan:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)  # type: ignore[arg-type]
            await passes(turn.before)
            if piece := data[sent : sent + turn.bytes]:
                pipe.write(piece)
            sent += turn.bytes
            await passes(turn.after)
            tasks.cancel_scope.cancel()
    if rest := data[sent:]:
        pipe.write(rest)
    pipe.hang_up()


@drawn
@example(plan=[Turn(2, 1, 0)] * 20)
@example(plan=[Turn(3, 3, 1)] * 10)
@given(plan=turns)
async def test_p11_lines_cancelled_again_and_again_lose_nothing(
    plan: list[Turn],
) -> None:
    text = TEXT * 3
    got: list[str] = []
    with wire() as pipe:
        lines = pipe.lines()

        async def read() -> None:
            async for found in lines:
                got.append(found)

        await feed(pipe, text.encode(), plan, read)
        await read()
    assert got == translated(text)


@drawn
@example(plan=[Turn(2, 1, 0)] * 20, most=1)
@given(plan=turns, most=st.integers(1, 12))
async def test_p11_bytes_cancelled_again_and_again_lose_nothing(
    plan: list[Turn], most: int
) -> None:
    data = bytes(range(150))
    got: list[bytes] = []
    with wire() as pipe:

        async def read() -> None:
            while True:
                try:
                    got.append(await ReceiveStream(pipe.reading).receive(most))
                except anyio.EndOfStream:
                    return
                assert len(got[-1]) <= most

        await feed(pipe, data, plan, read)
        await read()
    assert b"".join(got) == data


@settings(parent=drawn, max_examples=10)
@given(plan=turns)
async def test_p11_a_childs_lines_under_a_limit_that_strikes_at_any_time(
    plan: list[Turn],
) -> None:
    """With our own limits, and a child in place of the test at the other end."""
    text = TEXT * 3
    data, sent = text.encode(), 0
    got: list[str] = []
    async with process("cat") as child:
        assert child.stdin is not None
        for turn in plan:
            await child.stdin.send(data[sent : (sent := sent + turn.bytes)])
            with within.move_on_after(turn.before / 4000):
                async for found in child:
                    got.append(found)
        await child.stdin.send(data[sent:])
        await child.stdin.aclose()
        got.extend([found async for found in child])
    assert got == translated(text)
