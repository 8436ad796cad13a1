"""Blocks on asyncio with unusual contexts, threads and subclasses."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from importlib.util import find_spec

import pytest

import within
from within.testing import run

NEVER = 1e6


def test_t14_a_shield_entered_in_another_context_holds() -> None:
    async def main() -> bool:
        with within.move_on_after(None) as outer:
            shield = contextvars.copy_context().run(within.shield().__enter__)
            with within.timeout(NEVER):
                pass
            outer.cancel()
            await asyncio.sleep(0.001)
            await asyncio.sleep(0.001)
            shield.__exit__(None, None, None)
            return True
        return False

    assert asyncio.run(main())


def test_t13_leaving_out_of_order_is_an_error_in_different_contexts_too() -> None:
    async def main() -> None:
        outer = within.timeout(NEVER)
        outer.__enter__()
        inner = contextvars.copy_context().run(within.timeout(NEVER).__enter__)
        with within.timeout(NEVER):
            pass
        with pytest.raises(RuntimeError, match="entered inside it"):
            outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)

    asyncio.run(main())


def test_t2_blocks_without_a_common_context_each_expire() -> None:
    async def main() -> list[bool]:
        with within.timeout(NEVER):
            first = contextvars.Context().run(within.move_on_after(0.01).__enter__)
            with within.move_on_after(0.001) as second:
                await asyncio.sleep(NEVER)
            try:
                await asyncio.sleep(NEVER)
            except asyncio.CancelledError as exc:
                assert first.__exit__(type(exc), exc, None)
        return [first.cancelled_caught, second.cancelled_caught]

    assert run(main, backend="asyncio", virtual_time=True) == [True, True]


def test_t13_leaving_in_another_thread_is_an_error() -> None:
    async def main() -> None:
        limit = within.timeout(NEVER)
        limit.__enter__()
        raised: list[BaseException] = []

        def leave() -> None:
            try:
                limit.__exit__(None, None, None)
            except RuntimeError as exc:
                raised.append(exc)

        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
        assert "in another task" in str(raised[0])

    asyncio.run(main())


def test_t2_a_subclass_may_define_equality() -> None:
    class Same(within.Timeout):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    async def main() -> list[bool]:
        async def one(delay: float) -> bool:
            with Same(delay, quiet=True) as limit:
                await asyncio.sleep(NEVER)
            return limit.cancelled_caught

        return await asyncio.gather(*map(one, (0.01, 0.02, 0.03)))

    assert run(main, backend="asyncio", virtual_time=True) == [True, True, True]


LATE = """\
import asyncio, within
async def main():
    with within.timeout(1):
        await asyncio.sleep(0)
asyncio.run(main())
import trio, trio_asyncio
async def trio_main():
    async with trio_asyncio.open_loop():
        await trio_asyncio.aio_as_trio(main)()
        with within.move_on_after(0.001) as limit:
            await trio.sleep_forever()
        print(limit.cancelled_caught)
trio.run(trio_main)
"""


@pytest.mark.skipif(
    not find_spec("trio_asyncio") or sys.version_info >= (3, 14),
    reason="trio-asyncio is not installed, or does not import here",
)
def test_t21_trio_asyncio_may_be_imported_after_within() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LATE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True\n", done.stderr
