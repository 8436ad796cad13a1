"""T9, T10: other exceptions pass, and errors tell which deadline is behind them."""

from __future__ import annotations

import asyncio
import pickle
import re

import anyio
import anyio.lowlevel
import pytest
from conftest import Ticks
from timeout_runs import NEVER, SHORT, Run, real_and_virtual_time

import within

pytestmark = pytest.mark.anyio
anyio_backend = real_and_virtual_time


def chain(error: BaseException | None) -> list[BaseException]:
    """The error, its ``__context__``, and so on."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__context__
    return found


async def test_t9_other_exceptions_pass_untouched(ticks: Ticks) -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as raised, within.timeout(ticks.long):
        raise error
    assert raised.value is error
    assert error.__context__ is None


async def test_t9_an_error_during_unwinding_has_the_deadline_in_its_context(
    ticks: Ticks,
) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        with within.timeout(ticks.short) as limit:
            try:
                await anyio.sleep(ticks.long)
            finally:
                1 / 0  # noqa: B018
    reasons = [
        error
        for error in chain(raised.value)
        if isinstance(error, within.DeadlineExceeded)
    ]
    assert [reason.scope for reason in reasons] == [limit]
    assert (limit.expired, limit.cancelled_caught) == (True, False)


async def test_t9_a_group_during_unwinding_has_the_deadline_in_its_context(
    ticks: Ticks,
) -> None:
    async def fail() -> None:
        try:
            await anyio.sleep(ticks.never)
        finally:
            raise KeyError("cleaning up")

    with pytest.raises(ExceptionGroup) as raised:
        with within.timeout(ticks.short) as limit:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail)
    assert raised.group_contains(KeyError)
    assert limit in [getattr(error, "scope", None) for error in chain(raised.value)]
    assert not limit.cancelled_caught


def test_t9_an_exception_that_only_looks_like_a_group_passes(run_asyncio: Run) -> None:
    class Misleading(Exception):
        exceptions = None

        def __len__(self) -> int:
            return 0

    async def main() -> None:
        with pytest.raises(Misleading) as raised:
            with within.timeout(0):
                try:
                    await asyncio.sleep(NEVER)
                finally:
                    raise Misleading
        assert isinstance(raised.value.__context__, within.DeadlineExceeded)

    run_asyncio(main())


async def test_t10_the_error_names_the_block_its_limit_and_its_lateness(
    ticks: Ticks,
) -> None:
    with pytest.raises(TimeoutError) as raised:
        with within.timeout(ticks.short, name="connect"):
            await anyio.sleep(ticks.long)
    assert type(raised.value) is within.DeadlineExceeded
    message = str(raised.value)
    assert message.startswith(f"'connect' exceeded its limit of {ticks.short:g} s")
    assert "late" in message


async def test_t10_the_scope_of_the_error_tells_one_timeout_from_another() -> None:
    with within.timeout(1) as unrelated:
        pass
    try:
        with within.timeout_at(-1) as mine:
            await anyio.lowlevel.checkpoint()
    except TimeoutError as error:
        assert getattr(error, "scope", None) is mine
        assert getattr(error, "scope", None) is not unrelated
        assert "deadline -1" in str(error)


async def test_t10_the_error_after_cancel_says_so() -> None:
    with pytest.raises(within.DeadlineExceeded) as early:
        with within.timeout(3000, name="mine") as limit:
            limit.cancel()
            await anyio.lowlevel.checkpoint()
    words = r"'mine' was ended by cancel\(\), (3e\+03|2.+) s before its deadline"
    assert re.fullmatch(words, str(early.value))
    with pytest.raises(within.DeadlineExceeded, match=r"ended by cancel\(\)$"):
        with within.timeout(None) as limit:
            limit.cancel()
            await anyio.lowlevel.checkpoint()


def test_t10_the_cancelled_error_inside_names_the_deadline(run_asyncio: Run) -> None:
    async def main() -> None:
        with within.move_on_after(SHORT, name="connect"):
            try:
                await asyncio.sleep(NEVER)
            except asyncio.CancelledError as error:
                assert "'connect' exceeded its limit of 0.005 s" in str(error)
                raise

    run_asyncio(main())


def test_t10_the_error_can_be_pickled() -> None:
    async def main() -> None:
        with within.timeout(0, name="nap"):
            await asyncio.sleep(NEVER)

    with pytest.raises(within.DeadlineExceeded) as raised:
        asyncio.run(main())
    copied = pickle.loads(pickle.dumps(raised.value))
    assert type(copied) is within.DeadlineExceeded
    assert str(copied) == str(raised.value)
    assert copied.scope.name == "nap"
    timed_out = within.ProcessTimeout(
        "late", raised.value.scope, cmd=("ls",), timeout=1, stdout=b"out"
    )
    copied = pickle.loads(pickle.dumps(timed_out))
    assert (str(copied), copied.cmd, copied.stdout) == ("late", ("ls",), b"out")
