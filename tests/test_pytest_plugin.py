"""The pytest plugin, in pytest processes of its own."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
from pytest_runs import Outcome, run_pytest

pytestmark = pytest.mark.timeout(600)  # each test starts one pytest or two

# An hour is short in virtual time alone; which loops a test ran on is in its names.
MARKS: dict[str, tuple[str, list[str]]] = {
    "function": (
        """\
        @pytest.mark.virtual_time
        async def test_a():
            await hour()
        """,
        ["test_a[asyncio]", "test_a[trio]"],
    ),
    "module": (
        """\
        pytestmark = pytest.mark.virtual_time
        def test_sync():
            pass
        async def test_a():
            await hour()
        """,
        ["test_a[asyncio]", "test_a[trio]", "test_sync"],
    ),
    "class": (
        """\
        @pytest.mark.virtual_time
        class TestIt:
            async def test_a(self):
                await hour()
        """,
        ["TestIt::test_a[asyncio]", "TestIt::test_a[trio]"],
    ),
    "method": (
        """\
        class TestIt:
            @pytest.mark.virtual_time
            async def test_a(self):
                await hour()
        """,
        ["TestIt::test_a[asyncio]", "TestIt::test_a[trio]"],
    ),
    "names": (
        """\
        pytestmark = pytest.mark.virtual_time
        @pytest.mark.virtual_time("trio")
        async def test_a():
            await hour()
        """,
        ["test_a[trio]"],
    ),
    "start": (
        """\
        @pytest.mark.virtual_time("asyncio", start=1e9)
        async def test_a():
            await hour(1e9)
        @pytest.mark.virtual_time("trio", start=-5)
        async def test_b():
            await hour(-5)
        """,
        ["test_a[asyncio]", "test_b[trio]"],
    ),
    "with_anyios": (
        """\
        pytestmark = pytest.mark.anyio
        @pytest.mark.virtual_time
        async def test_a():
            await hour()
        """,
        ["test_a[asyncio]", "test_a[trio]"],
    ),
    "parameters": (
        """\
        @pytest.mark.virtual_time
        @pytest.mark.parametrize("x", [1, 2])
        async def test_a(x):
            await hour()
        """,
        ["test_a[1-asyncio]", "test_a[1-trio]", "test_a[2-asyncio]", "test_a[2-trio]"],
    ),
    "clock": (
        """\
        @pytest.mark.virtual_time
        async def test_a(virtual_clock):
            virtual_clock.advance(1)
            await anyio.sleep(1)
            assert virtual_clock.now == 2
        """,
        ["test_a[asyncio]", "test_a[trio]"],
    ),
    "fixture_for_real_time": (
        """\
        @pytest.fixture(params=["asyncio"])
        def anyio_backend(request):
            return request.param
        @pytest.mark.virtual_time
        async def test_a():
            await hour()
        """,
        ["test_a[asyncio]", "test_a[trio]"],
    ),
    "none_but_a_fixture": (
        """\
        loops = within.testing.backends(virtual_time=True)
        @pytest.fixture(params=loops, ids=["one", "two"])
        def anyio_backend(request):
            return request.param
        @pytest.mark.anyio
        async def test_a():
            await hour()
        """,
        ["test_a[one]", "test_a[two]"],
    ),
}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    sources = {name: source for name, (source, _) in MARKS.items()}
    return run_pytest(tmp_path_factory.mktemp("it"), sources, "--strict-markers")


@pytest.mark.parametrize("name", MARKS)
def test_v5_a_mark_makes_time_virtual(marked: Outcome, name: str) -> None:
    expected = [f"{name}: {test}" for test in MARKS[name][1]]
    assert sorted(x for x in marked.passed if x.startswith(f"{name}:")) == expected


FIXTURES = """\
    pytestmark = pytest.mark.virtual_time
    @pytest.fixture
    async def hour(virtual_clock):
        await anyio.sleep(3600)
        yield virtual_clock
        await anyio.sleep(3600)
    @pytest.fixture(scope="module")
    async def shared(anyio_backend):
        async with anyio.create_task_group() as group:
            yield within.testing.virtual_clock()
    async def test_a(hour):
        assert hour.now == 3600 == within.current_time()
    class TestIt:
        @pytest.fixture
        async def own(self):
            await anyio.sleep(60)
            return within.current_time()
        async def test_b(self, own, virtual_clock):
            assert own == virtual_clock.now
    async def test_c(shared):
        await anyio.sleep(1)
        assert shared is within.testing.virtual_clock()
    async def test_d(shared, hour):
        assert shared is hour
        assert hour.now == 3601
"""


def test_v5_async_fixtures_live_in_the_time_of_the_test(tmp_path: Path) -> None:
    assert len(run_pytest(tmp_path, FIXTURES).passed) == 8


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("virtual_time('uvloop')", "that are installed, asyncio and trio have virtual"),
        ("anyio", "time is real on this loop: mark the test with pytest.mark.virtual"),
    ],
)
def test_v5_misuse_is_told_plainly(tmp_path: Path, mark: str, said: str) -> None:
    source = f"@pytest.mark.{mark}\nasync def test_a(virtual_clock): pass"
    outcome = run_pytest(tmp_path, source)
    assert said in outcome.text
    assert "PASSED" not in outcome.text


# The machine may be busy, and a loop that is kept for all examples is meant.
PROFILE = """\
    from hypothesis import HealthCheck, given, settings, strategies as st
    settings.register_profile(
        "any", deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    settings.load_profile("any")
"""

HYPOTHESIS = (
    PROFILE
    + """\
    @pytest.mark.anyio
    @given(st.integers())
    async def test_real(n):
        await anyio.sleep(0)
    @pytest.mark.virtual_time
    @given(st.floats(1, 1e6))
    async def test_a(nap):
        began = within.testing.virtual_clock().now
        await anyio.sleep(nap)
        assert within.current_time() == began + nap
    @pytest.mark.virtual_time
    @given(nap=st.floats(1, 1e6))
    async def test_b(virtual_clock, nap):
        now = virtual_clock.now
        await anyio.sleep(nap)
        assert virtual_clock.now == now + nap
    both = [("asyncio", {}), *within.testing.backends(virtual_time=True), ("trio", {})]
    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", both, ids=["r1", "v1", "v2", "r2"])
    @settings(max_examples=5)
    @given(n=st.integers())
    async def test_c(anyio_backend, n):
        if anyio_backend[1]:
            assert within.testing.virtual_clock().now == 0
        else:
            with pytest.raises(RuntimeError):
                within.testing.virtual_clock()
"""
)


def test_v5_tests_of_hypothesis_run_in_either_time_one_after_another(
    tmp_path: Path,
) -> None:
    names = run_pytest(tmp_path, HYPOTHESIS).passed
    assert len(names) == 10


DEADLOCKS = """\
    pytestmark = pytest.mark.virtual_time
    @pytest.fixture(scope="module", autouse=SHARED)
    async def shared(anyio_backend):
        yield
    async def test_a():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            with anyio.CancelScope(shield=True):
                await anyio.Event().wait()
    async def test_b():
        await anyio.sleep(1)
    async def test_c():
        await anyio.sleep_forever()
    async def test_d(virtual_clock):
        await anyio.sleep(1)
        assert virtual_clock.now == (2 if SHARED else 1)
"""


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("method", ["signal", "thread"])
def test_v5_a_deadlock_spoils_no_other_test(
    tmp_path: Path, shared: bool, method: str
) -> None:
    # pytest-timeout's handler or thread, new for each test, wakes nobody.
    outcome = run_pytest(
        tmp_path, DEADLOCKS.replace("SHARED", str(shared)), f"--timeout-method={method}"
    )
    assert sorted(outcome.tests) == [
        (f"test_{name}[{loop}]", "FAILED" if name in "ac" else "PASSED")
        for name in "abcd"
        for loop in ("asyncio", "trio")
    ]
    report = r"^E +within\.testing\._deadlock\.Deadlock: deadlock at"
    assert len(re.findall(report, outcome.text, re.MULTILINE)) == 4
    assert re.search(r"test_it\.py:\d+ in test_c$", outcome.text, re.MULTILINE)
    assert "warning" not in outcome.text


KEPT_LOOP = (
    PROFILE
    + """\
    both = [("asyncio", {}), *within.testing.backends(virtual_time=True)]
    @pytest.fixture
    async def kept():  # for all examples
        yield
    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", both, ids=["real", "asyncio", "trio"])
    @given(n=st.integers(0, 1000))
    async def test_a(anyio_backend, kept, n):
        if anyio_backend[1]:
            await anyio.sleep(n if n < 10 else float("inf"))
"""
)


def test_v5_a_deadlock_is_the_failure_that_hypothesis_reports(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, KEPT_LOOP)
    assert [said for _, said in outcome.tests] == ["PASSED", "FAILED", "FAILED"]
    assert outcome.text.count("n=10,") == 2
    assert "Flaky" not in outcome.text


# -- who does not ask ----------------------------------------------------------

BYSTANDER = """\
    class Touchy:
        def __getattr__(self, name):
            raise RuntimeError("not here")
    class Odd:
        hypothesis = None
    touchy, odd = Touchy(), Odd()
    @pytest.mark.anyio
    async def test_a():
        await anyio.sleep(0)
    @pytest.mark.parametrize("x", [1, 2])
    def test_b(x):
        assert x == 1
    @pytest.mark.anyio
    class TestIt:
        @pytest.fixture(scope="class", params=["p", "q"])
        async def resource(self, anyio_backend, request):
            yield request.param
        async def test_c(self, resource):
            pass
        @pytest.mark.skip
        async def test_d(self):
            pass
    @pytest.mark.xfail
    @pytest.mark.anyio
    async def test_e():
        raise ValueError
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_v5_a_suite_that_does_not_ask_is_what_it_was(tmp_path: Path, mode: str) -> None:
    options = ("--strict-markers", f"--anyio-mode={mode}")
    ours = run_pytest(tmp_path, BYSTANDER, *options)
    assert len(ours.tests) == 12
    assert (
        ours.tests == run_pytest(tmp_path, BYSTANDER, "-p", "no:within", *options).tests
    )


def test_v5_auto_mode_takes_a_mark_too(tmp_path: Path) -> None:
    source, expected = MARKS["function"]
    assert run_pytest(tmp_path, source, "--anyio-mode=auto").passed == expected


def test_v5_a_suite_without_anyio_is_left_alone(tmp_path: Path) -> None:
    source = """\
        class TestIt:
            def test_a(self):
                pass
        def test_b():
            pass
    """
    outcome = run_pytest(tmp_path, source, "-p", "no:anyio", "--strict-markers")
    assert outcome.passed == ["TestIt::test_a", "test_b"]


def test_v5_trio_and_hypothesis_need_not_be_installed(tmp_path: Path) -> None:
    source = """\
        import sys
        @pytest.mark.virtual_time
        async def test_a():
            await hour()
        def test_b():
            assert not {"trio", "hypothesis", "uvloop"} & set(sys.modules)
        @pytest.mark.virtual_time("trio")
        async def test_c():
            pass
    """
    hidden, options = ("trio", "hypothesis", "uvloop"), ("-p", "no:hypothesispytest")
    text = dedent(source).partition('@pytest.mark.virtual_time("trio")')
    outcome = run_pytest(tmp_path, text[0], *options, hidden=hidden)
    assert outcome.passed == ["test_a[asyncio]", "test_b"]
    outcome = run_pytest(tmp_path, "".join(text), *options, hidden=hidden)
    assert "virtual_time('trio'): of the loops that are installed" in outcome.text
