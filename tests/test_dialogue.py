"""Text to and from a child (P22)."""

from __future__ import annotations

import pickle
import re
import select
import signal
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from children import FOREVER, QUICK

import within
from within import DEVNULL, PIPE, IncompleteOutput, process

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

# Asks for a name without a line end, greets, and asks again.
GREETER = """
while printf 'Name: '; read -r name; do echo "Hello $name"; echo "$name" >&2; done
"""


# -- reading ---------------------------------------------------------------------


async def test_p22_a_part_of_a_line_can_be_had_at_once() -> None:
    async with process("sh", "-c", GREETER, stderr=DEVNULL) as child:
        for name in ("Ä", "B"):
            assert await child.read_until(": ") == "Name: "
            await child.write(f"{name}\n")
            assert await child.readline() == f"Hello {name}\n"


async def test_p22_a_pattern_matches_up_to_its_end() -> None:
    async with process("sh", "-c", "printf 'port 80.\nrest'; cat") as child:
        assert await child.read_until(re.compile(r"port \d+\.")) == "port 80."
        assert await child.read_until("st") == "\nrest"
        with within.move_on_after(0.01) as limit:
            await child.read_until("never")
        assert limit.cancelled_caught
        await child.write("and never")
        assert await child.read_until("never") == "and never"


async def test_p22_a_text_that_comes_in_pieces_is_found() -> None:
    """However it is cut, and whatever comes before it that looks like its beginning."""
    async with process("cat") as child:
        found = ""

        async def find() -> None:
            nonlocal found
            found = await child.read_until("aab>")

        for before in ("", "\n", "aa", "a" * 70000):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(find)
                for character in before[-3:] + "aab>x\n":
                    await child.write(character)
                    await anyio.wait_all_tasks_blocked()
            assert found == before[-3:] + "aab>"
            assert await child.readline() == "x\n"


async def test_p22_read_returns_what_there_is_and_without_a_number_all() -> None:
    async with process("sh", "-c", "printf 'one\r\ntwo'; read x; printf end") as child:
        assert await child.read_until("\n") == "one\n"
        assert await child.read(0) == ""
        assert await child.read(2) == "tw"
        assert await child.read(1000) == "o"
        await child.write("\n")
        assert await child.read() == "end"
        assert await child.read() == await child.read(5) == await child.readline() == ""
        assert child.returncode == 0


async def test_p22_lines_and_bytes_of_a_message_with_a_header() -> None:
    """As the language server protocol has it: a header in lines, a body in bytes."""
    script = r"printf 'Length: 5\r\n\r\nb\303\244\nbNext\r\n\r\n'; exec sleep 600"
    async with process("sh", "-c", script) as child:
        assert await child.readline() == "Length: 5\n"
        assert await child.readline() == "\n"
        assert await child.stdout.receive(5) == "bä\nb".encode()
        assert await child.readline() == "Next\n"


async def test_p22_reading_one_byte_of_a_character_leaves_the_rest_of_it() -> None:
    async with process("printf", "aä€\n", errors="replace") as child:
        assert await child.read(1) == "a"
        assert await child.stdout.receive(1) == b"\xc3"
        assert await child.readline() == "\ufffd€\n"


async def test_p22_bytes_that_are_no_text_can_be_read_as_bytes() -> None:
    async with process("printf", r"one\n\377\376two\n") as child:
        assert await child.readline() == "one\n"
        for _ in range(2):
            with pytest.raises(UnicodeDecodeError):
                await child.readline()
        assert await child.stdout.receive(2) == b"\xff\xfe"
        assert await child.readline() == "two\n"


async def test_p22_after_the_block_the_text_can_still_be_read() -> None:
    async with process("sh", "-c", "printf 'one\ntwo\n'; exec sleep 600") as child:
        assert await child.readline() == "one\n"
    assert await child.read_until("two") == "two"
    assert await child.read() == "\n"


@pytest.mark.parametrize("script", ["echo one; exit 3", "echo one; exit 3 >&-"])
async def test_p22_the_status_is_known_when_the_lines_have_ended(script: str) -> None:
    for _ in range(20):
        async with process("sh", "-c", script) as child:
            assert [line async for line in child] == ["one\n"]
            assert child.returncode == 3
        async with process("sh", "-c", script, stderr=PIPE) as child:
            assert [line async for _, line in child.output()] == ["one\n"]
            assert child.returncode == 3


async def test_p22_a_child_that_closes_its_output_and_runs_on_ends_its_lines() -> None:
    script = f"echo one; exec >&-; exec sleep {FOREVER}"
    async with process("sh", "-c", script, stop=QUICK) as child:
        with anyio.fail_after(60):
            assert [line async for line in child] == ["one\n"]
        assert child.returncode is None


async def test_p22_the_lines_end_although_each_read_is_cancelled_early() -> None:
    """It has closed its output and runs on. The wait for its exit does not start anew."""
    script = f"exec >&-; exec sleep {FOREVER}"
    async with process("sh", "-c", script, stop=QUICK) as child:
        with anyio.fail_after(60):
            while True:
                with within.move_on_after(0.01) as limit:
                    assert await child.readline() == ""
                if not limit.cancelled_caught:
                    break


# -- what does not come -----------------------------------------------------------


async def test_p22_a_text_that_cannot_come_any_more() -> None:
    script = "printf 'so far\n> '; echo oh no >&2; exit 3"
    async with process("sh", "-c", script, stderr=PIPE) as child:
        with pytest.raises(IncompleteOutput) as raised:
            await child.read_until(">>> ")
        error = raised.value
        assert isinstance(error, EOFError)
        assert (error.wanted, error.output) == (">>> ", "so far\n> ")
        assert (error.returncode, error.stderr) == (3, "oh no\n")
        assert error.cmd == child.args == ("sh", "-c", script)
        for part in ("sh -c 'printf", "status 3", "'>>> '", "> '", "oh no"):
            assert part in str(error)
        # The text is in the error and nowhere else; stderr can still be read.
        assert await child.read() == ""
        assert await child.stderr.receive() == b"oh no\n"
        copy = pickle.loads(pickle.dumps(error))
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


async def test_p22_a_text_that_cannot_come_as_the_child_was_killed() -> None:
    async with process("sh", "-c", "kill -9 $$") as child:
        with pytest.raises(IncompleteOutput, match=r"signal 9 before 'x'.*no more out"):
            await child.read_until(re.compile("x"))
        assert child.returncode == -signal.SIGKILL


async def test_p22_the_end_of_stderr_is_left_to_a_task_that_reads_it() -> None:
    got = b""

    async def read() -> None:
        nonlocal got
        got = b"".join([part async for part in child.stderr])

    async with process("sh", "-c", "read x; echo $x >&2", stderr=PIPE) as child:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await child.write("oh no\n")
            with pytest.raises(IncompleteOutput):
                await child.read_until("word")
    assert got == b"oh no\n"


async def test_p22_the_end_of_stderr_is_not_taken_from_a_task_that_waits_for_it() -> (
    None
):
    """It would go on waiting, although there is something."""
    async with process("sh", "-c", "exec cat >&2", stderr=PIPE) as child:
        got: list[bytes] = []

        async def read() -> None:
            got.append(await child.stderr.receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await child.write("oh no\n")
            poll = select.poll()
            poll.register(child.stderr.fileno(), select.POLLIN)
            assert poll.poll(60_000)  # no other task may run here
            assert child._end_of_stderr() == ""
            with anyio.fail_after(60):
                while not got:
                    await anyio.lowlevel.checkpoint()
        assert got == [b"oh no\n"]


async def test_p22_lines_of_stderr_that_were_looked_at_are_in_the_error() -> None:
    script = "echo one >&2; echo two >&2; read x; exit 1"
    async with process("sh", "-c", script, stderr=PIPE) as child:
        assert await anext(child.output()) == ("stderr", "one\n")
        await child.write("\n")
        with pytest.raises(IncompleteOutput) as raised:
            await child.read_until("word")
        assert raised.value.stderr == "two\n"
        assert [pair async for pair in child.output()] == [("stderr", "two\n")]


async def test_p22_max_line_bounds_the_text_up_to_a_match() -> None:
    script = "printf 123456789; exec sleep 600"
    for wanted in ("9", re.compile("9")):
        async with process("sh", "-c", script, max_line=8) as child:
            with pytest.raises(ValueError, match="max_line=8"):
                await child.read_until(wanted)
            assert await child.read_until("7") == "1234567"
    async with process("yes", max_line=1000) as child:  # it does not fill our memory
        with pytest.raises(ValueError, match="max_line=1000"):
            await child.read_until("no")
        assert await child.readline() == "y\n"


@pytest.mark.parametrize(
    "wanted", ["", re.compile(""), re.compile("a*"), re.compile("$")]
)
async def test_p22_a_pattern_that_matches_the_empty_string(wanted: Any) -> None:
    async with process("echo", "hello") as child:
        with pytest.raises(ValueError, match="matches the empty string"):
            await child.read_until(wanted)
        assert await child.readline() == "hello\n"


async def test_p22_a_pattern_that_matches_before_the_first_character() -> None:
    async with process("echo", "hello") as child:
        with pytest.raises(ValueError, match="matches the empty string"):
            await child.read_until(re.compile("(?=h)"))
        assert await child.readline() == "hello\n"


async def test_p22_what_cannot_be_read_until() -> None:
    async with process("echo", "hello") as child:
        for wanted in (b"h", re.compile(b"h"), None, 5):
            with pytest.raises(TypeError, match=re.escape(repr(wanted))):
                await child.read_until(wanted)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"\\r"):
            await child.read_until("o\r\n")
        for count in (True, 1.5, None):
            with pytest.raises(TypeError, match="n is"):
                await child.read(count)  # type: ignore[arg-type]
        assert await child.readline() == "hello\n"


async def test_p22_there_is_no_pipe() -> None:
    async with process("true", stdin=None, stdout=None) as child:
        for call in (child.readline, child.read, lambda: child.read_until("x")):
            with pytest.raises(TypeError, match="stdout=PIPE"):
                await call()
        with pytest.raises(TypeError, match="stdin=PIPE"):
            await child.write("x")
        with pytest.raises(TypeError, match="stdin=PIPE"):
            await child.communicate("x")
        with pytest.raises(TypeError, match="stderr=PIPE"):
            child.output()


async def test_p22_the_stream_is_closed() -> None:
    async with process("cat") as child:
        await child.write("one\ntwo\n")
        assert await child.readline() == "one\n"
        await child.stdout.aclose()
        for call in (child.readline, child.read, lambda: child.read_until("x")):
            with pytest.raises(anyio.ClosedResourceError, match="stdout of `cat`"):
                await call()
        await child.stdin.aclose()
        with pytest.raises(anyio.ClosedResourceError, match="stdin of `cat`"):
            await child.write("x")
        with pytest.raises(ValueError, match="was closed"):
            await child.communicate("x")


async def test_p22_two_readers_at_once() -> None:
    async with process("cat", stderr=PIPE) as child:
        for call in (child.readline, child.read, lambda: anext(child.output())):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await anyio.wait_all_tasks_blocked()
                for other in (
                    child.readline,
                    child.read,
                    child.communicate,
                    child.stdout.receive,
                    lambda: child.read_until("x"),
                    lambda: anext(child.output()),
                ):
                    says = "another task is reading std.* of `cat`"
                    with pytest.raises(anyio.BusyResourceError, match=says):
                        await other()
                tasks.cancel_scope.cancel()
        await child.write("all is well\n")
        assert await child.readline() == "all is well\n"


# -- writing ----------------------------------------------------------------------


async def test_p22_writing_to_a_child_that_is_gone() -> None:
    async with process("true") as child:
        await child.wait()
        with pytest.raises(anyio.BrokenResourceError, match=r"stdin of `true`.*exited"):
            await child.write("x")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32", "iso2022_jp"])
async def test_p22_what_is_written_is_what_is_read(encoding: str) -> None:
    """With one byte order mark, at the beginning."""
    async with process("cat", encoding=encoding) as child:
        for text in ("日本\n", "本\n"):
            await child.write(text)
            assert await child.readline() == text
    async with process("cat", encoding=encoding) as child:
        for text in ("日", "本\n"):
            await child.write(text)
        await child.stdin.aclose()
        data = b"".join([part async for part in child.stdout])
    assert data.decode(encoding) == "日本\n"
    assert len(data) <= len("日本\n".encode(encoding))


async def test_p22_a_cancelled_write_has_not_begun() -> None:
    async with process("cat", encoding="utf-16") as child:
        with within.move_on_after(0):
            await child.write("lost")
        await child.write("a\n")
        assert await child.readline() == "a\n"


async def test_p22_bytes_are_written_as_they_are() -> None:
    async with process("cat", encoding="utf-16-be") as child:
        await child.write(b"\x00a\x00\n")
        assert await child.readline() == "a\n"
        with pytest.raises(TypeError, match="data is 5: give str or bytes"):
            await child.write(5)  # type: ignore[arg-type]
    async with process("cat", encoding="ascii", errors="strict") as child:
        with pytest.raises(UnicodeEncodeError):
            await child.write("ä")
