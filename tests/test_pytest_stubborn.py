"""Tests in virtual time that cannot be ended, in a pytest process of their own (V8)."""

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
