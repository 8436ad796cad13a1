"""The pytest plugin, in suites that each run in a process of their own."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from textwrap import dedent

import forked_pytest
import pytest
from marked_suites import MARKS

pytestmark = pytest.mark.timeout(600)  # each test starts one pytest or two

# Goes before each file. The hour passes quickly only in virtual time.
HEADER = """\
import anyio, pytest, within.testing
async def hour(start=0):
    await anyio.sleep(3600)
    assert within.testing.virtual_clock().now == start + 3600
"""

# Starts pytest with some modules hidden, as if they were not installed.
HIDE = """\
import sys
class Finder:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *args):
        if name.partition(".")[0] not in {hidden!r}:
            return self.finder.find_spec(name, *args)
sys.meta_path = [Finder(finder) for finder in sys.meta_path]
import pytest
sys.exit(pytest.main())
"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs a suite: one file, or several by name."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")

    def run(
        source: str | dict[str, str], *options: str, hidden: tuple[str, ...] = ()
    ) -> pytest.RunResult:
        sources = {"it": source} if isinstance(source, str) else source
        for name, text in sources.items():
            pytester.makepyfile(**{f"test_{name}": HEADER + dedent(text)})
        plugins = [
            "no:cacheprovider",
            "no:randomly",
            "no:xdist",
            "no:asyncio",
            "no:trio",
        ]
        options = ("-v", *(f"-p{name}" for name in plugins), "--timeout=120", *options)
        if hidden:
            script = HIDE.format(hidden=hidden)
            return pytester.run(sys.executable, "-c", script, *options)
        status, text = forked_pytest.run_pytest(pytester.path, *options)
        return pytest.RunResult(status, text.splitlines(), [], 0)

    return run


def outcomes(result: pytest.RunResult) -> list[tuple[str, str]]:
    """The name and the outcome of each test, in the order in which they ran."""
    line = re.compile(r"test_(\S+)\.py::(.+?) ([A-Z]+)\b.*%\]$", re.MULTILINE)
    return [
        (test if name == "it" else f"{name}: {test}", outcome)
        for name, test, outcome in line.findall(result.stdout.str())
    ]


def passed(result: pytest.RunResult) -> list[str]:
    """The names of the tests, all of which have passed."""
    tests = outcomes(result)
    assert {outcome for _, outcome in tests} == {"PASSED"}
    return [name for name, _ in tests]


def test_v5_a_mark_makes_time_virtual(run: Run) -> None:
    sources = {name: source for name, (source, _) in MARKS.items()}
    expected = [f"{name}: {test}" for name in MARKS for test in MARKS[name][1]]
    assert sorted(passed(run(sources, "--strict-markers"))) == sorted(expected)


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


def test_v5_async_fixtures_live_in_the_time_of_the_test(run: Run) -> None:
    assert len(passed(run(FIXTURES))) == 8


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("virtual_time('uvloop')", "that are installed, asyncio and trio have virtual"),
        (
            "anyio",
            "this loop runs in real time: mark the test with pytest.mark.virtual",
        ),
    ],
)
def test_v5_misuse_is_told_plainly(run: Run, mark: str, said: str) -> None:
    result = run(f"@pytest.mark.{mark}\nasync def test_a(virtual_clock): pass")
    assert said in result.stdout.str()
    assert "PASSED" not in result.stdout.str()


# The machine may be busy, and one loop serves all examples on purpose.
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


def test_v5_tests_of_hypothesis_run_in_real_and_in_virtual_time(run: Run) -> None:
    assert len(passed(run(HYPOTHESIS))) == 10


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
@pytest.mark.parametrize(
    "method", ["signal", "thread"] if hasattr(signal, "SIGALRM") else ["thread"]
)
def test_v5_the_tests_after_a_deadlock_still_pass(
    run: Run, shared: bool, method: str
) -> None:
    # pytest-timeout has a handler or a thread for each test. Neither wakes a task.
    source = DEADLOCKS.replace("SHARED", str(shared))
    result = run(source, f"--timeout-method={method}")
    assert sorted(outcomes(result)) == [
        (f"test_{name}[{loop}]", "FAILED" if name in "ac" else "PASSED")
        for name in "abcd"
        for loop in ("asyncio", "trio")
    ]
    report = r"^E +within\.testing\._deadlock\.Deadlock: deadlock at"
    text = result.stdout.str()
    assert len(re.findall(report, text, re.MULTILINE)) == 4
    assert re.search(r"test_it\.py:\d+ in test_c$", text, re.MULTILINE)
    assert "warning" not in text


KEPT_LOOP = (
    PROFILE
    + """\
    both = [("asyncio", {}), *within.testing.backends(virtual_time=True)]
    @pytest.fixture
    async def kept():  # one for all examples
        yield
    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", both, ids=["real", "asyncio", "trio"])
    @given(n=st.integers(0, 1000))
    async def test_a(anyio_backend, kept, n):
        if anyio_backend[1]:
            await anyio.sleep(n if n < 10 else float("inf"))
"""
)


def test_v5_a_deadlock_is_the_failure_that_hypothesis_reports(run: Run) -> None:
    result = run(KEPT_LOOP)
    assert [outcome for _, outcome in outcomes(result)] == [
        "PASSED",
        "FAILED",
        "FAILED",
    ]
    assert result.stdout.str().count("n=10,") == 2
    assert "Flaky" not in result.stdout.str()


# -- suites that do not use the plugin ---------------------------------------------

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
def test_v5_a_suite_without_our_marks_runs_as_before(run: Run, mode: str) -> None:
    options = ("--strict-markers", f"--anyio-mode={mode}")
    ours = outcomes(run(BYSTANDER, *options))
    assert len(ours) == 12
    assert ours == outcomes(run(BYSTANDER, "-p", "no:within", *options))


def test_v5_auto_mode_takes_a_mark_too(run: Run) -> None:
    source, expected = MARKS["function"]
    assert passed(run(source, "--anyio-mode=auto")) == expected


def test_v5_a_suite_without_anyio_is_left_alone(run: Run) -> None:
    source = """\
        class TestIt:
            def test_a(self):
                pass
        def test_b():
            pass
    """
    result = run(source, "-p", "no:anyio", "--strict-markers")
    assert passed(result) == ["TestIt::test_a", "test_b"]


def test_v5_trio_and_hypothesis_need_not_be_installed(run: Run) -> None:
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
    on_asyncio = dedent(source).partition('@pytest.mark.virtual_time("trio")')[0]
    result = run(on_asyncio, *options, hidden=hidden)
    assert passed(result) == ["test_a[asyncio]", "test_b"]
    result = run(source, *options, hidden=hidden)
    said = "virtual_time('trio'): of the loops that are installed"
    assert said in result.stdout.str()


WRONG_ARGUMENTS = {
    "strat=5": "virtual_time(strat=5): there is no such argument: give the names of",
    "virtual_time=True": "virtual_time(virtual_time=True): there is no such argument",
    "uvloop=True": "virtual_time(uvloop=True): there is no such argument",
    "start='x'": "virtual_time: start is 'x': give seconds as an int or a float or a",
    "start=[]": "virtual_time: start is []: give seconds",
    "start=float('nan')": "virtual_time: start is NaN: give a number of seconds",
    "'asyncoi'": "virtual_time('asyncoi'): of the loops that are installed, asyncio and",
    "5": "virtual_time(5): of the loops that are installed, asyncio and trio",
    "['trio']": "virtual_time(['trio']): of the loops that are installed, asyncio and",
}


def test_v6_wrong_arguments_of_the_mark_are_named(run: Run) -> None:
    source = "@pytest.mark.virtual_time({})\nasync def test_a(): pass"
    sources = {
        f"n{number}": source.format(arguments)
        for number, arguments in enumerate(WRONG_ARGUMENTS)
    }
    result = run(sources, "--tb=line")
    text = " ".join(result.stdout.str().split())
    for number, reason in enumerate(WRONG_ARGUMENTS.values()):
        assert f"UsageError: test_n{number}.py::test_a: {reason}" in text
    assert "PASSED" not in text
