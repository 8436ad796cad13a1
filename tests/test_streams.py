"""What a child writes and reads: bytes, and lines of text (P10, P11, P17)."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from itertools import pairwise

import anyio
import pytest
import trio
from anyio.streams.text import TextReceiveStream
from children import FOREVER, line
from hypothesis import HealthCheck, example, given, settings, strategies as st

import within
import within.testing
from within import process

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(text="a\r\nb\rc\n\n\u2028ä", cuts=[2, 11])
@given(
    text=st.text(
        st.one_of(
            st.sampled_from("\r\n\n\u2028\x0bä€😀"), st.characters(codec="utf-8")
        ),
        max_size=200,
    ),
    cuts=st.lists(st.integers(0, 400), max_size=5),
)
async def test_p10_lines_are_those_that_a_text_file_gives(
    text: str, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the bytes are cut, within a character or between \\r and \\n."""
    data = text.encode()
    path = tmp_path_factory.mktemp("lines") / "text"
    path.write_bytes(data)
    with path.open(encoding="utf-8") as file:
        expected = list(file)
    edges = sorted({0, len(data), *[cut for cut in cuts if cut < len(data)]})
    got = []
    async with process("cat") as child:
        assert child.stdin is not None

        async def write() -> None:
            assert child.stdin is not None
            for start, end in pairwise(edges):
                await child.stdin.send(data[start:end])
                await anyio.wait_all_tasks_blocked()
            await child.stdin.aclose()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            got = [found async for found in child]
    assert got == expected


async def test_p10_a_line_of_any_length() -> None:
    async with process("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo") as p:
        assert [len(found) async for found in p] == [3_000_001]


async def test_p10_max_line_bounds_them() -> None:
    with pytest.raises(ValueError, match="max_line=10"):
        async with process("printf", "short\nmuch too long a line\n", max_line=10) as p:
            lines = []
            async for found in p:
                lines.append(found)
    assert lines == ["short\n"]
    with pytest.raises(ValueError, match="max_line"):
        async with process("yes", "no end of it", max_line=5) as p:
            await line(p)
    with pytest.raises(ValueError, match="0"):
        process("true", max_line=0)


async def test_p10_good_lines_come_before_the_decoding_error() -> None:
    async with process("printf", "one\ntwo\n\\377bad\nthree\n") as p:
        got = []
        for _ in range(2):
            with pytest.raises(UnicodeDecodeError):
                async for found in p:
                    got.append(found)
    assert got == ["one\n", "two\n"]


async def test_p10_max_line_does_not_count_the_line_ending() -> None:
    async with process("printf", "abc\nabc", max_line=3) as p:
        assert [found async for found in p] == ["abc\n", "abc"]


async def test_p10_lines_need_a_pipe_and_a_known_encoding() -> None:
    async with process("true", stdout=None) as child:
        with pytest.raises(TypeError, match="stdout=PIPE"):
            await line(child)
    for encoding in ("klingon", "hex"):  # "hex" is a codec, though not of text
        with pytest.raises(LookupError):
            process("true", encoding=encoding)


async def test_p11_a_cancelled_read_loses_nothing() -> None:
    async with process("cat") as child:
        assert child.stdin is not None
        got: list[str] = []
        for number in range(20):
            with within.move_on_after(0.001):
                got.append(await line(child))
                pytest.fail("there was no line")
            await child.stdin.send(b"half ")
            with within.move_on_after(0.001):
                got.append(await line(child))
                pytest.fail("the line was not complete")
            await child.stdin.send(f"{number}\n".encode())
            got.append(await line(child))
    assert got == [f"half {number}" for number in range(20)]


async def test_p17_streams_are_anyios() -> None:
    async with process(
        "sh", "-c", "cat; echo complaint >&2", stderr=subprocess.PIPE
    ) as p:
        assert p.stdin is not None
        assert p.stdout is not None
        assert p.stderr is not None
        await p.stdin.send("grüße".encode())
        await p.stdin.send(b"")
        await p.stdin.aclose()
        text = TextReceiveStream(p.stdout)
        assert "".join([part async for part in text]) == "grüße"
        assert [part async for part in p.stderr] == [b"complaint\n"]
        with pytest.raises(anyio.EndOfStream):
            await p.stdout.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await p.stdin.send(b"more")
        with pytest.raises(ValueError, match="0"):
            await p.stdout.receive(0)
    with pytest.raises(anyio.EndOfStream):  # of the child, too
        await p.stdout.receive()
    assert "closed" in repr(p.stdout)
    await p.stdout.aclose()
    with pytest.raises(anyio.ClosedResourceError):
        await p.stdout.receive()


async def test_p17_a_reader_that_is_gone() -> None:
    async with process("sh", "-c", "exec <&-; echo closed; exec sleep 600") as child:
        await line(child)
        assert child.stdin is not None
        with pytest.raises(anyio.BrokenResourceError):
            await child.stdin.send(b"hello?")


async def test_p17_two_readers_of_one_stream() -> None:
    async with process("sleep", FOREVER) as child:
        assert child.stdout is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child.stdout.receive)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await child.stdout.receive()
            tasks.cancel_scope.cancel()


async def test_p17_closed_while_another_task_reads() -> None:
    ended = []

    async def read() -> None:
        assert child.stdout is not None
        with pytest.raises(anyio.ClosedResourceError):
            await child.stdout.receive()
        ended.append("read")

    async def write() -> None:
        assert child.stdin is not None
        with pytest.raises(anyio.ClosedResourceError):
            await child.stdin.send(bytes(1_000_000))
        ended.append("write")

    async with process("sleep", FOREVER) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(write)
            await anyio.wait_all_tasks_blocked()
            await child.stdout.aclose()
            await child.stdin.aclose()
            await child.stdin.aclose()
    assert sorted(ended) == ["read", "write"]


async def test_p17_the_block_is_left_while_other_tasks_use_the_child() -> None:
    ended = []

    async def read() -> None:
        # Whichever comes first: the end of the child, or of the stream.
        with pytest.raises((EOFError, anyio.ClosedResourceError)):
            await line(child)
        ended.append("read")

    async def wait() -> None:
        ended.append(await child.wait())

    async with anyio.create_task_group() as tasks:
        async with process("sleep", FOREVER) as child:
            tasks.start_soon(read)
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
    assert "read" in ended
    assert -signal.SIGTERM in ended


async def test_p17_a_reader_that_goes_while_we_send() -> None:
    script = "head -c 1 >/dev/null; exec <&-; echo closed; exec sleep " + FOREVER
    async with process("sh", "-c", script) as child:
        assert child.stdin is not None
        with pytest.raises(anyio.BrokenResourceError):
            await child.stdin.send(bytes(10_000_000))
        with pytest.raises(anyio.BrokenResourceError):
            await child.stdin.send(b"again")
        assert await line(child) == "closed"


async def test_p17_the_end_of_a_stream_comes_again_and_again() -> None:
    """Of each by itself: the child lives, and its other stream is open."""
    script = "exec >&-; read -r word; echo $word >&2; exec 2>&-; read -r word; exit 6"
    async with process("sh", "-c", script, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        for _ in range(3):
            with pytest.raises(anyio.EndOfStream):
                await child.stdout.receive()
        await child.stdin.send(b"word\n")
        assert b"".join([part async for part in child.stderr]) == b"word\n"
        for _ in range(3):
            with pytest.raises(anyio.EndOfStream):
                await child.stderr.receive()
        assert child.returncode is None
        await child.stdin.send(b"word\n")
        assert await child.wait() == 6


async def test_p17_two_users_on_two_streams_at_once() -> None:
    """Three with the writer; each pipe is filled many times over."""
    data = bytes(range(256)) * 8000
    got: dict[str, bytes] = {}

    async def read(name: str) -> None:
        got[name] = b"".join([part async for part in getattr(child, name)])

    async with process("sh", "-c", "tee /dev/stderr", stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, "stdout")
            tasks.start_soon(read, "stderr")
            await child.stdin.send(data)
            await child.stdin.aclose()
    assert got["stdout"] == data
    assert got["stderr"] == data


async def test_p17_a_second_user_of_a_stream_gets_an_error_and_the_first_goes_on() -> (
    None
):
    got: list[str] = []

    async def read() -> None:
        got.append(await line(child))

    async def write() -> None:
        await child.stdin.send(bytes(1_000_000))  # type: ignore[union-attr]

    async with process("sh", "-c", "read -r x; echo $x; exec sleep 600") as child:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await line(child)
            assert child.stdin is not None
            await child.stdin.send(b"first\n")
    assert got == ["first"]
    async with process("sleep", FOREVER) as child, anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        await anyio.wait_all_tasks_blocked()
        assert child.stdin is not None
        with pytest.raises(anyio.BusyResourceError):
            await child.stdin.send(b"second")
        tasks.cancel_scope.cancel()


async def test_p17_lines_of_a_stream_that_is_closed_while_they_are_read() -> None:
    ended = []

    async def read() -> None:
        with pytest.raises(anyio.ClosedResourceError):
            await line(child)
        ended.append("read")

    async with process("sleep", FOREVER) as child:
        assert child.stdout is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await child.stdout.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await line(child)
    assert ended == ["read"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_p17_a_loop_that_ends_while_a_task_reads(loop: str) -> None:
    """Only the loop itself cancels the reader, and then the child ends."""
    told: list[type[BaseException]] = []
    children: list[within.Process] = []

    async def read(started: anyio.Event) -> None:
        try:
            async with process("sleep", FOREVER) as child:
                children.append(child)
                started.set()
                await line(child)
        except BaseException as exc:
            told.append(type(exc))
            raise

    async def main() -> None:
        started = anyio.Event()
        if loop == "trio":
            trio.lowlevel.spawn_system_task(read, started)
        else:
            kept.append(asyncio.create_task(read(started)))
        await started.wait()
        await anyio.wait_all_tasks_blocked()
        told.append(anyio.get_cancelled_exc_class())

    kept: list[object] = []
    within.testing.run(main, backend=loop)
    assert told == [told[0]] * 2
    assert children[0].returncode == -signal.SIGTERM
