"""Which loop is running, even if there are two, and what importing within loads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trio
import uvloop

import within
from within._backends import current

SOURCE = Path(within.__file__).parent


async def check(kind: str, sleep: Any) -> None:
    """Blocks work here, on this loop."""
    assert current().name == kind
    with within.timeout(60) as around:
        assert within.current_effective_deadline() == around.deadline
    with within.move_on_after(0.001) as limit:
        await sleep(60)
    assert limit.cancelled_caught


def test_a_block_works_on_each_loop() -> None:
    asyncio.run(check("asyncio", asyncio.sleep))
    uvloop.run(check("asyncio", asyncio.sleep))
    trio.run(check, "trio", trio.sleep)


def test_without_a_running_loop_it_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no event loop is running"):
        current()


def test_trio_run_in_an_asyncio_task() -> None:
    async def cell() -> None:  # of a notebook, for example
        trio.run(check, "trio", trio.sleep)
        await check("asyncio", asyncio.sleep)

    asyncio.run(cell())


def test_asyncio_run_in_a_trio_task() -> None:
    async def main() -> None:
        asyncio.run(check("asyncio", asyncio.sleep))
        await check("trio", trio.sleep)

    trio.run(main)


def test_trio_as_a_guest_of_asyncio() -> None:
    async def host() -> None:
        done = asyncio.get_running_loop().create_future()

        async def guest() -> None:
            for _ in range(3):
                await check("trio", trio.sleep)

        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=done.set_result,
        )
        while not done.done():
            await check("asyncio", asyncio.sleep)
        done.result().unwrap()

    asyncio.run(host())


def test_t11_on_trio_from_another_thread_the_error_says_what_to_do() -> None:
    async def main() -> None:
        with within.move_on_after(60) as limit:
            for change in (limit.cancel, lambda: limit.reschedule(None)):
                with pytest.raises(RuntimeError, match=r"from_thread\.run_sync"):
                    await trio.to_thread.run_sync(change)
            limit.cancel()
            await trio.sleep(60)
        assert limit.cancelled_caught

    trio.run(main)


_TRIO_ASYNCIO = """
import asyncio, sys, trio, trio_asyncio
sys.path.insert(0, sys.argv[1])
from test_backends import check

async def on_asyncio():
    await check("asyncio", asyncio.sleep)
    await trio_asyncio.trio_as_aio(on_trio)()
    await check("asyncio", asyncio.sleep)

async def on_trio():
    await check("trio", trio.sleep)

async def main():
    async with trio_asyncio.open_loop():
        await on_trio()
        await trio_asyncio.aio_as_trio(on_asyncio)()
        await on_trio()

trio.run(main)
"""


@pytest.mark.skipif(
    not find_spec("trio_asyncio") or sys.version_info >= (3, 14),
    reason="trio-asyncio is not installed, or does not import here",
)
def test_trio_asyncio_in_both_directions() -> None:
    # In a process of its own, because the import replaces parts of asyncio for good.
    subprocess.run(
        [sys.executable, "-c", _TRIO_ASYNCIO, str(Path(__file__).parent)], check=True
    )


# -- imports and names ----------------------------------------------------------


def test_importing_within_loads_no_loop_and_no_test_tool() -> None:
    code = "import sys, within; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(SOURCE.parent)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert "within" in output
    for name in ("asyncio", "trio", "anyio", "uvloop", "pytest", "hypothesis"):
        assert name not in output


def test_what_concerns_processes_is_imported_when_it_is_first_used() -> None:
    code = """
import sys, within
assert set(within.__all__) <= set(dir(within))
assert not {"subprocess", "within._processes"} & set(sys.modules)
within.run = "of a test"
within.process
assert within.run == "of a test"
# A traceback names it like this, though the program has never used the name.
assert vars(within)["ProcessTimeout"].__module__ == "within"
"""
    subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(SOURCE.parent)},
        check=True,
    )


def test_a_name_that_is_missing_is_an_attribute_error() -> None:
    code = """
import sys, within

class UsesItDuringTheImport:
    # As a signal handler may.
    def find_spec(self, name, path, target=None):
        if name == "within._processes._open":
            found.append(hasattr(within, "process"))

found = []
sys.meta_path.insert(0, UsesItDuringTheImport())
within.process
assert found == [False], found
del within.timeout
assert not hasattr(within, "timeout")
"""
    subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(SOURCE.parent)},
        check=True,
    )


def test_the_public_names_are_exactly_these() -> None:
    functions = {
        "timeout",
        "timeout_at",
        "move_on_after",
        "move_on_at",
        "shield",
        "current_time",
        "current_effective_deadline",
        "process",
        "run",
        "server",
        "opening",
        "running",
    }
    classes = {
        "Timeout",
        "DeadlineExceeded",
        "ProcessTimeout",
        "IncompleteOutput",
        "OutputLimitExceeded",
        "Process",
        "Server",
        "ServerFailed",
        "listening",
        "Completed",
        "Usage",
        "Stop",
        "Opening",
        "PopenOptions",
        "ProcessOptions",
        "ReceiveStream",
        "SendStream",
    }
    others = {"PIPE", "DEVNULL", "STDOUT", "File", "Word"}
    assert set(within.__all__) == functions | classes | others
    assert len(within.__all__) == len(set(within.__all__))
    for name in functions | classes:
        found = getattr(within, name)
        assert found.__module__ == "within"
        assert found.__doc__, f"{name} is not documented"
    for name in others:
        assert hasattr(within, name)
    # pytest adds names with an "@" to modules that it has rewritten.
    public = {name for name in vars(within) if name.isidentifier() and name[0] != "_"}
    assert public - set(within.__all__) <= {"testing"}


def test_no_file_is_longer_than_400_lines() -> None:
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
