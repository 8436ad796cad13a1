"""Our pytest plugin beside others that run async tests (V6).

A test that asks for virtual time runs in virtual time, or is refused with an error that
names the plugin and the way out. It never runs in real time.
"""

from __future__ import annotations

import importlib.util
from textwrap import dedent

import pytest
from pytest_runs import run_pytest

pytestmark = pytest.mark.timeout(600)  # each test starts one pytest or two

AUTO = ("-oasyncio_mode=auto", "-oasyncio_default_fixture_loop_scope=function")
STRICT = ("-oasyncio_mode=strict", "-oasyncio_default_fixture_loop_scope=function")
TRIO = ("-otrio_mode=true",)

SETUPS = {
    "asyncio, auto mode": (("asyncio",), AUTO),
    "asyncio, strict mode": (("asyncio",), STRICT),
    "trio, trio mode": (("trio",), TRIO),
    "trio": (("trio",), ()),
    "both": (("asyncio", "trio"), (*AUTO, "-otrio_mode=false")),
}
each_setup = pytest.mark.parametrize("setup", SETUPS)


def need(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(f"pytest_{name}") is None:
            pytest.skip(f"pytest-{name} is not installed")


TAKEN_OVER = """\
    import sniffio
    @pytest.fixture
    async def nap():
        await anyio.sleep(60)
        yield sniffio.current_async_library()
        await anyio.sleep(3600)
    @pytest.mark.virtual_time
    async def test_a(request):
        await hour()
        assert sniffio.current_async_library() in request.node.name
    @pytest.mark.virtual_time
    async def test_b(nap, virtual_clock):
        assert virtual_clock.now == 60
        assert nap == sniffio.current_async_library()
    @pytest.mark.virtual_time("trio")
    class TestIt:
        @pytest.fixture
        async def own(self):
            await anyio.sleep(60)
            return self
        async def test_c(self, own):
            assert own is self
            assert within.current_time() == 60
            assert sniffio.current_async_library() == "trio"
"""


@each_setup
def test_v6_another_plugin_does_not_get_a_virtual_test(
    pytester: pytest.Pytester, setup: str
) -> None:
    plugins, options = SETUPS[setup]
    need(*plugins)
    outcome = run_pytest(pytester, TAKEN_OVER, *options, plugins=plugins)
    assert sorted(outcome.passed) == [
        "TestIt::test_c[trio]",
        "test_a[asyncio]",
        "test_a[trio]",
        "test_b[asyncio]",
        "test_b[trio]",
    ]


BESIDE = """\
    import asyncio, time
    @pytest.fixture
    async def real():
        await asyncio.sleep(0)
        yield asyncio.get_running_loop()
    async def test_a(real):
        assert asyncio.get_running_loop() is real
        assert asyncio.get_running_loop().time() == pytest.approx(time.monotonic(), 1)
    @pytest.mark.virtual_time("asyncio")
    async def test_b(real):
        await hour()
        assert asyncio.get_running_loop() is real
    async def test_c(real):
        assert asyncio.get_running_loop() is real
"""


def test_v6_tests_of_pytest_asyncio_stay_with_it(pytester: pytest.Pytester) -> None:
    need("asyncio")
    outcome = run_pytest(pytester, BESIDE, *AUTO, plugins=("asyncio",))
    assert sorted(outcome.passed) == ["test_a", "test_b[asyncio]", "test_c"]


REFUSED: dict[str, tuple[tuple[str, ...], str, str]] = {
    "asyncio": (
        ("asyncio",),
        """\
        @pytest.mark.asyncio
        @pytest.mark.virtual_time
        async def test_a():
            await hour()
        """,
        "test_a[asyncio]: marked virtual_time and asyncio, so pytest-asyncio would",
    ),
    "asyncio, on the module": (
        ("asyncio",),
        """\
        pytestmark = pytest.mark.asyncio
        @pytest.mark.virtual_time
        async def test_a():
            await hour()
        """,
        "remove the mark 'asyncio' from the test, its class or its module",
    ),
    "trio": (
        ("trio",),
        """\
        @pytest.mark.trio
        class TestIt:
            @pytest.mark.virtual_time
            async def test_a(self):
                await hour()
        """,
        "test_a[trio]: marked virtual_time and trio, so pytest-trio would run it",
    ),
    "a synchronous test": (
        (),
        """\
        @pytest.mark.virtual_time
        def test_a():
            pass
        """,
        "test_a: marked virtual_time, but not async, so no loop runs it",
    ),
    "unittest": (
        (),
        """\
        import unittest
        @pytest.mark.virtual_time
        class TestIt(unittest.IsolatedAsyncioTestCase):
            async def test_a(self):
                pass
        """,
        "TestIt::test_a: marked virtual_time, but unittest runs it on a loop of its own",
    ),
    "unittest, in a module that is marked": (
        (),
        """\
        import unittest
        pytestmark = pytest.mark.virtual_time
        class TestIt(unittest.IsolatedAsyncioTestCase):
            async def test_a(self):
                pass
        """,
        "TestIt::test_a: marked virtual_time, but unittest runs it on a loop of its own",
    ),
    "a generator": (
        (),
        """\
        @pytest.mark.virtual_time
        async def test_a():
            yield
        """,
        "test_a: marked virtual_time, but anyio's pytest plugin does not run it",
    ),
    "a static method": (
        (),
        """\
        @pytest.mark.virtual_time
        class TestIt:
            @staticmethod
            async def test_a():
                pass
        """,
        "TestIt::test_a: marked virtual_time, but anyio's pytest plugin does not run it",
    ),
    "one parameter": (
        (),
        """\
        one = pytest.param(1, marks=pytest.mark.virtual_time)
        @pytest.mark.anyio
        @pytest.mark.parametrize("x", [one, 2])
        async def test_a(x):
            pass
        """,
        "test_a[asyncio-1]: marked virtual_time only after its loops were chosen",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_v6_a_test_that_would_run_in_real_time_is_refused(
    pytester: pytest.Pytester, case: str
) -> None:
    plugins, source, reason = REFUSED[case]
    need(*plugins)
    options = STRICT if "asyncio" in plugins else ()
    outcome = run_pytest(pytester, source, *options, plugins=plugins)
    assert reason in " ".join(outcome.text.split())
    assert outcome.tests == []
    assert outcome.status not in (0, 1)


def test_v6_a_refusal_reaches_the_user_of_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    _, source, reason = REFUSED["a synchronous test"]
    outcome = run_pytest(pytester, source, "-n1", plugins=("xdist",))
    assert reason in " ".join(outcome.text.split())
    assert outcome.status != 0


@pytest.mark.parametrize("neighbour", ["xdist", "randomly", "timeout"])
def test_v5_virtual_tests_run_under_plugins_that_order_or_watch_tests(
    pytester: pytest.Pytester, neighbour: str
) -> None:
    pytest.importorskip("xdist" if neighbour == "xdist" else f"pytest_{neighbour}")
    options = {
        "xdist": ["-n2"],
        "randomly": [],
        "timeout": ["--timeout=60", "--timeout-method=thread"],
    }[neighbour]
    outcome = run_pytest(pytester, TAKEN_OVER, *options, plugins=(neighbour,))
    assert outcome.status == 0, outcome.text
    assert "5 passed" in outcome.text


def test_v6_without_anyios_plugin_a_virtual_test_is_refused(
    pytester: pytest.Pytester,
) -> None:
    source = "@pytest.mark.virtual_time\nasync def test_a(): pass"
    outcome = run_pytest(pytester, source, "-p", "no:anyio")
    assert "anyio's pytest plugin, which would run it, is disabled" in outcome.text
    assert outcome.status not in (0, 1)


MARKS_LATE = """\
    import pytest
    def pytest_collection_modifyitems(items):
        for item in items:
            if item.originalname in ("test_a", "test_sync"):
                item.add_marker(pytest.mark.virtual_time)
    @pytest.fixture
    def marks(request):
        request.applymarker(pytest.mark.virtual_time)
"""


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        ("anyio", "marked virtual_time only after its loops were chosen"),
        ("asyncio", "marked virtual_time and asyncio, so pytest-asyncio would"),
        ("trio", "marked virtual_time and trio, so pytest-trio would"),
    ],
)
def test_v6_a_mark_that_comes_too_late_makes_the_test_fail(
    pytester: pytest.Pytester, plugin: str, reason: str
) -> None:
    need(*{plugin} - {"anyio"})
    pytester.makeconftest(dedent(MARKS_LATE))
    source = f"""\
        @pytest.mark.{plugin}
        async def test_a():
            pass
        @pytest.mark.{plugin}
        async def test_b(marks):
            pass
        def test_sync(marks):
            pass
    """
    options = STRICT if plugin == "asyncio" else ()
    outcome = run_pytest(pytester, source, *options, plugins=(plugin,))
    assert outcome.verdicts == {
        "test_a": "FAILED",
        "test_b": "FAILED",
        "test_sync": "PASSED",
    }
    assert reason in outcome.text


UNKNOWN = """\
    import asyncio, pytest
    class Runner(pytest.Function):
        def runtest(self):
            test = self.obj
            self.obj = lambda **kwargs: asyncio.run(test())
            super().runtest()
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(items):
        yield
        for item in items:
            item.__class__ = Runner
"""


def test_v6_a_plugin_that_nobody_knows_makes_the_test_fail(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(dedent(UNKNOWN))
    source = """\
        @pytest.mark.virtual_time("asyncio")
        async def test_a():
            pass
    """
    outcome = run_pytest(pytester, source)
    assert outcome.tests == [("test_a[asyncio]", "FAILED")]
    assert "Runner is about to run it in real time" in outcome.text


CHOOSES = """\
@pytest.fixture(params=within.testing.backends(virtual_time=True))
def anyio_backend(request):
    return request.param
"""
REPLACES = """\
    import functools
    def quiet(function):
        return functools.wraps(function)(lambda **kwargs: function(**kwargs).close())
"""
REPLACING = {
    "collected": """\
        def pytest_itemcollected(item):
            item.obj = quiet(item.obj)
    """,
    "all collected": """\
        def pytest_collection_modifyitems(items):
            for item in items:
                item.obj = quiet(item.obj)
    """,
    "its run": """\
        def pytest_itemcollected(item):
            item.runtest = lambda: None
    """,
}


@pytest.mark.parametrize("hook", REPLACING)
@pytest.mark.parametrize("marks", ["pytestmark = ", "@", CHOOSES + "@"])
def test_v6_a_test_that_a_hook_has_replaced_fails(
    pytester: pytest.Pytester, hook: str, marks: str
) -> None:
    pytester.makeconftest(dedent(REPLACES) + dedent(REPLACING[hook]))
    mark = "anyio" if marks.startswith(CHOOSES) else "virtual_time"
    source = f"{marks}pytest.mark.{mark}\nasync def test_a():\n    await hour()\n"
    outcome = run_pytest(pytester, source)
    assert [verdict for _, verdict in outcome.tests] == ["FAILED", "FAILED"]
    assert "a hook of another plugin or of a conftest.py is about to" in outcome.text


def test_v6_a_marked_module_may_have_synchronous_tests(
    pytester: pytest.Pytester,
) -> None:
    source = """\
        import unittest
        pytestmark = pytest.mark.virtual_time
        def test_a():
            pass
        class TestIt(unittest.TestCase):
            def test_b(self):
                pass
    """
    assert run_pytest(pytester, source).passed == ["test_a", "TestIt::test_b"]
