"""How much of a child's output there may be, and where it waits (P12)."""

from __future__ import annotations

import fcntl
import signal
import subprocess

import anyio
import pytest
from children import QUICK, held, needs_members

from within import process, run

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_is_left")]


@pytest.mark.parametrize("script", ["yes", "yes >&2", "yes & yes >&2"])
async def test_p12_a_flood_past_max_output_is_stopped_stubborn_as_it_is(
    script: str,
) -> None:
    """Its output while it is being stopped is not kept either."""
    with pytest.raises(subprocess.CalledProcessError) as raised:
        await run("sh", "-c", f"trap '' TERM; {script}", max_output=1001, stop=QUICK)
    error = raised.value
    assert len(error.stdout) + len(error.stderr) == 1001
    assert error.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("limit", "fits"), [(999, False), (1000, True), (0, False)])
async def test_p12_max_output_holds_for_one_that_exits_by_itself(
    limit: int, fits: bool
) -> None:
    """Its output may be there at once with its exit."""
    script = "head -c 500 /dev/zero; head -c 500 /dev/zero >&2"
    for _ in range(5):
        if fits:
            done = await run("sh", "-c", script, max_output=limit)
            assert (len(done.stdout), len(done.stderr)) == (500, 500)
        else:
            with pytest.raises(subprocess.CalledProcessError) as raised:
                await run("sh", "-c", script, max_output=limit)
            error = raised.value
            assert len(error.stdout) + len(error.stderr) == limit


async def test_p12_max_output_may_cut_a_character() -> None:
    with pytest.raises(subprocess.CalledProcessError) as raised:
        await run("printf", "a€b", max_output=2, text=True)
    assert raised.value.stdout == "a"
    assert (await run("printf", "a€b", max_output=5, text=True)).stdout == "a€b"
    assert (await run("true", max_output=0)).stdout == b""


@needs_members
async def test_p12_a_child_goes_no_further_than_its_pipe_until_it_is_read() -> None:
    """A pipe holds only so much; the child keeps the rest."""
    async with process("sh", "-c", "head -c 1000000 /dev/zero") as child:
        assert child.stdout is not None
        descriptor = child.stdout.fileno()  # type: ignore[attr-defined]
        capacity = fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
        while held(descriptor) < capacity:
            await anyio.sleep(0)
        await anyio.wait_all_tasks_blocked()
        assert held(descriptor) == capacity < 1_000_000
        assert child.returncode is None
        assert sum([len(part) async for part in child.stdout]) == 1_000_000
