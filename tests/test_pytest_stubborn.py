"""Fixtures and tests that never end in virtual time, in pytest processes of their own."""

from __future__ import annotations

import re
import sys

import pytest
from pytest_runs import run_pytest

pytestmark = pytest.mark.timeout(600)  # each test starts one pytest

STUBBORN = """\
    import contextlib
    @pytest.fixture(autouse=True, scope="session")
    def passes():
        within.testing._polling.MANY_PASSES = 2000
    @pytest.mark.virtual_time
    async def test_a():
        cancelled = anyio.get_cancelled_exc_class()
        while True:
            with contextlib.suppress(Exception, cancelled):
                await anyio.sleep(0)
    @pytest.mark.virtual_time
    async def test_b():
        cancelled = anyio.get_cancelled_exc_class()
        while True:
            with contextlib.suppress(cancelled), anyio.CancelScope(shield=True):
                await anyio.sleep_forever()
    @pytest.mark.virtual_time
    async def test_c():
        await anyio.sleep(1)
"""


@pytest.mark.skipif(
    sys.version_info < (3, 11, 9),
    reason="closing a coroutine while it parses code is an error there (gh-106905)",
)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_v8_a_test_that_cannot_be_ended_fails_and_the_next_one_runs(
    pytester: pytest.Pytester, loop: str
) -> None:
    outcome = run_pytest(pytester, STUBBORN, "-k", loop, "-Wdefault", "--tb=short")
    # What is left of a loop that has crashed may complain in the midst of the verdicts.
    failed = re.findall(r"^FAILED .*::(\S+)", outcome.text, re.MULTILINE)
    assert failed == [f"test_a[{loop}]", f"test_b[{loop}]"]
    assert "2 failed, 1 passed" in outcome.text
    report = re.compile(r"^E .*Deadlock: deadlock at 0 s", re.MULTILINE)
    assert len(report.findall(outcome.text)) == 2


HANGING = """\
    @pytest.fixture
    async def value():
        await anyio.sleep_forever()
    @pytest.fixture
    async def set_up():
        await anyio.sleep_forever()
        yield
    @pytest.fixture
    async def torn_down():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            yield
    @pytest.fixture
    async def shielded():
        yield
        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()
    @pytest.mark.virtual_time
    @pytest.mark.parametrize("name", ["value", "set_up", "torn_down", "shielded"])
    async def test_a(name, request, fixture):
        await hour()
    @pytest.fixture
    def fixture(name, request):
        return request.getfixturevalue(name)
    @pytest.mark.virtual_time
    async def test_b():
        await hour()
"""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_v2_a_deadlock_in_a_fixture_is_its_error(
    pytester: pytest.Pytester, loop: str
) -> None:
    outcome = run_pytest(pytester, HANGING, "-k", loop, "--timeout=20")
    failed = [name for name, verdict in outcome.tests if verdict == "ERROR"]
    assert len(failed) == 4, outcome.text
    assert (f"test_b[{loop}]", "PASSED") in outcome.tests
    report = re.compile(r"^E .*Deadlock: deadlock at (\d+) s", re.MULTILINE)
    assert report.findall(outcome.text) == ["0", "0", "3600", "3600"]


POLLING = """\
    @pytest.fixture(autouse=True, scope="session")
    def passes():
        within.testing._polling.MANY_PASSES = 2000
    @pytest.fixture
    async def polls():
        while within.current_time() < 9:
            await anyio.sleep(0)
    @pytest.mark.virtual_time
    async def test_a(polls):
        pass
    @pytest.mark.virtual_time
    async def test_b():
        await hour()
"""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_v8_a_fixture_that_polls_is_reported(
    pytester: pytest.Pytester, loop: str
) -> None:
    options = ("-Wdefault", "--tb=short", "--timeout=20")
    outcome = run_pytest(pytester, POLLING, "-k", loop, *options)
    assert "Deadlock: deadlock at 0 s of virtual time: a task polls" in outcome.text
    assert "1 passed, " in outcome.text
    assert "1 error" in outcome.text


CANCELLED = """\
    @pytest.fixture
    async def group():
        async with anyio.create_task_group() as group:
            yield group
    async def crash():
        await anyio.sleep(1)
        raise ValueError("a task of the fixture has failed")
    @pytest.mark.virtual_time
    async def test_a(group):
        group.cancel_scope.cancel()
    @pytest.mark.virtual_time
    async def test_b(group):
        group.start_soon(crash)
        await hour()
    @pytest.mark.virtual_time
    async def test_c():
        await hour()
"""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_v7_a_fixture_that_takes_the_loop_with_it_is_an_error(
    pytester: pytest.Pytester, loop: str
) -> None:
    options = ("-Wdefault", "--tb=short")
    outcome = run_pytest(pytester, CANCELLED, "-k", loop, *options)
    assert "1 failed, 2 passed, " in outcome.text
    assert "2 errors" in outcome.text
    if loop == "trio":
        reason = "RuntimeError: trio has ended, and with it the task that runs the"
        assert len(re.findall(f"^E  .*{reason}", outcome.text, re.MULTILINE)) == 2
