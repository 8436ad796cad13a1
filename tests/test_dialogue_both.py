"""Input and output at once, and both outputs in one loop (P22)."""

from __future__ import annotations

import gc
import math
import sys
from typing import Any

import anyio
import pytest
from children import FOREVER, longer_and_longer

import within
from within import DEVNULL, PIPE, STDOUT, process
from within._processes._platform import Pump

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]

# -- communicate() -----------------------------------------------------------------


async def test_p22_communicate_writes_and_reads_at_once() -> None:
    script = "tee /dev/stderr; exit 3"
    async with process("sh", "-c", script, stderr=PIPE) as child:
        done = await child.communicate("line\r\n" * 200_000)
        assert done.stdout == done.stderr == "line\n" * 200_000
        assert (done.returncode, done.args) == (3, child.args)
        assert done.usage == child.usage is not None
        assert child.returncode == 3
        again = await child.communicate()
        assert (again.stdout, again.stderr, again.returncode) == ("", "", 3)


async def test_p22_communicate_gives_what_was_not_read_before() -> None:
    async with process("sh", "-c", "echo one; echo two; cat", stderr=STDOUT) as child:
        assert await child.readline() == "one\n"
        done = await child.communicate(b"three\n")
    assert (done.stdout, done.stderr) == ("two\nthree\n", None)


async def test_p6_communicate_does_not_wait_for_what_the_child_has_left_behind() -> (
    None
):
    async with process("sh", "-c", f"sleep {FOREVER} & echo hi") as child:
        with anyio.fail_after(60):
            assert (await child.communicate()).stdout == "hi\n"


async def test_t25_what_an_interrupted_communicate_had_is_told_and_not_lost() -> None:
    script = "echo first; echo oh no >&2; read x; read y; echo $x$y; cat"
    async with process("sh", "-c", script, stderr=PIPE) as child:
        assert await child.readline() == "first\n"
        await child.write("a\n")
        with within.move_on_after(0) as limit:
            await child.communicate("b" * 300_000 + "\nrest\n")
        assert limit.interrupted is not None
        assert limit.interrupted.stdout == ""
        with pytest.raises(ValueError, match="without input"):
            await child.communicate("more")
        with pytest.raises(anyio.BrokenResourceError, match="communicate"):
            await child.write("more")
        done = await child.communicate()
    assert done.stdout == "a" + "b" * 300_000 + "\nrest\n"
    assert done.stderr == "oh no\n"


async def test_p8_an_interrupted_communicate_leaves_no_pump_behind() -> None:
    async with process("sleep", FOREVER) as child:
        for _ in range(20):
            with within.move_on_after(0.005):
                await child.communicate()
        gc.collect()
        pumps = [each for each in gc.get_objects() if type(each) is Pump]
        assert len(pumps) <= 2  # that of the last call, and the one that closed stdin


async def test_p11_what_came_before_communicate_was_interrupted_can_be_read() -> None:
    script = f"echo first; echo oh no >&2; exec sleep {FOREVER}"
    async with process("sh", "-c", script, stderr=PIPE) as child:
        told: Any = None
        while told is None or (told.stdout, told.stderr) != ("first\n", "oh no\n"):
            with within.move_on_after(0.005) as limit:
                await child.communicate()
            told = limit.interrupted
        assert await child.readline() == "first\n"
        assert await child.stderr.receive() == b"oh no\n"


async def test_t25_communicate_under_a_limit_tells_the_output_so_far() -> None:
    script = f"echo first; echo oh no >&2; exec sleep {FOREVER}"
    for limit in longer_and_longer():
        with pytest.raises(within.DeadlineExceeded) as raised:
            async with (
                within.timeout(limit),
                process("sh", "-c", script, stderr=PIPE) as child,
            ):
                await child.communicate()
        told = raised.value.interrupted
        if told is not None and told.stderr:
            break
    assert told is not None
    assert (told.stdout, told.stderr) == ("first\n", "oh no\n")
    # The child was still running at that moment.
    assert told.returncode is None
    assert math.isnan(told.usage.wall)


async def test_p22_an_output_that_is_no_text_is_in_the_error_of_communicate() -> None:
    async with process("printf", r"\377") as child:
        with pytest.raises(UnicodeDecodeError) as raised:
            await child.communicate()
    assert raised.value.completed.stdout == b"\xff"  # type: ignore[attr-defined]


# -- both outputs ------------------------------------------------------------------


async def test_p22_the_lines_of_both_outputs_in_the_order_in_which_they_come() -> None:
    script = "while read -r a; do echo $a; read -r b; echo $b >&2; done; printf end"
    async with process("sh", "-c", script, stderr=PIPE) as child:
        got = []
        await child.write("0\n")
        async for source, line in child.output():
            got.append((source, line))
            if len(got) < 10:
                await child.write(f"{len(got)}\n")
            elif len(got) == 10:
                await child.stdin.aclose()
    expected = [(("stdout", "stderr")[n % 2], f"{n}\n") for n in range(10)]
    assert got == [*expected, ("stdout", "end")]
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {("stdout", "out\n")}),
        ({"stderr": STDOUT}, {("stdout", "out\n"), ("stdout", "err\n")}),
        ({"stdout": DEVNULL, "stderr": PIPE}, {("stderr", "err\n")}),
        ({"stderr": PIPE}, {("stdout", "out\n"), ("stderr", "err\n")}),
    ],
)
async def test_p22_output_takes_the_pipes_that_there_are(
    files: Any, expected: set[Any]
) -> None:
    async with process("sh", "-c", "echo out; echo err >&2", **files) as child:
        assert {pair async for pair in child.output()} == expected
        assert [pair async for pair in child.output()] == []


async def test_p20_an_output_that_another_child_reads_has_no_lines_here() -> None:
    script = "echo to the next; read x; echo $x >&2"
    async with (
        process("sh", "-c", script, stderr=PIPE) as first,
        process("cat", stdin=first.stdout) as second,
    ):
        assert await second.readline() == "to the next\n"
        await first.write("hello\n")
        assert [pair async for pair in first.output()] == [("stderr", "hello\n")]
        with pytest.raises(anyio.ClosedResourceError, match="another child"):
            await first.readline()


async def test_p22_a_flood_on_one_output_does_not_hide_the_other() -> None:
    script = "yes & echo here >&2; wait"
    async with process("sh", "-c", script, stderr=PIPE) as child:
        with anyio.fail_after(60):
            async for source, _ in child.output():
                if source == "stderr":
                    break


async def test_p22_one_output_ends_before_the_other() -> None:
    script = "printf part; exec >&-; while read -r x; do echo $x >&2; done"
    async with process("sh", "-c", script, stderr=PIPE) as child:
        output = child.output()
        assert await anext(output) == ("stdout", "part")
        for word in ("one\n", "two\n"):
            await child.write(word)
            assert await anext(output) == ("stderr", word)
        await child.stdin.aclose()
        assert [pair async for pair in output] == []


async def test_p22_output_cancelled_at_any_time_loses_nothing() -> None:
    code = "for n in range(300):\n for f in (1, 2): os.write(f, b'%d\\n' % n)"
    async with process(
        sys.executable, "-c", f"import os\n{code}", stderr=PIPE
    ) as child:
        got: dict[str, list[int]] = {"stdout": [], "stderr": []}
        over = False
        while not over:
            with within.move_on_after(0.0005):
                async for source, line in child.output():
                    got[source].append(int(line))
                over = True
    assert got == {"stdout": list(range(300)), "stderr": list(range(300))}


async def test_p22_an_output_that_is_closed_while_both_are_awaited() -> None:
    ended = []

    async def read() -> None:
        with pytest.raises(anyio.ClosedResourceError, match="stderr of"):
            await anext(child.output())
        ended.append(True)

    async with process("sleep", FOREVER, stderr=PIPE) as child:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await child.stderr.aclose()
    assert ended == [True]
