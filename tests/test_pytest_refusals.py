"""Whole suites, or a fixture, ask for virtual time in a way that cannot work (V6)."""

from __future__ import annotations

from textwrap import dedent

import pytest
from pytest_runs import run_pytest
from test_pytest_neighbours import AUTO, STRICT, TRIO, need

pytestmark = pytest.mark.timeout(600)  # each test starts one pytest or two

MARKED = """\
    @pytest.mark.virtual_time
    async def test_a():
        await hour()
"""


@pytest.mark.parametrize(
    "source",
    [
        """\
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        @pytest.mark.virtual_time
        async def test_a():
            await hour()
        """,
        """\
        options = ("asyncio", {"use_uvloop": True})
        pytestmark = pytest.mark.parametrize("anyio_backend", [options, "trio"])
        @pytest.mark.virtual_time
        async def test_a(anyio_backend):
            await hour()
        """,
        """\
        def pytest_generate_tests(metafunc):
            metafunc.parametrize("anyio_backend", ["asyncio"])
        @pytest.mark.virtual_time
        async def test_a(anyio_backend):
            await hour()
        """,
    ],
)
def test_v6_the_loops_of_a_test_cannot_be_chosen_twice(
    pytester: pytest.Pytester, source: str
) -> None:
    outcome = run_pytest(pytester, source)
    assert "test_a: marked virtual_time, but its loops are chosen a" in outcome.text
    assert "as in virtual_time('asyncio')" in outcome.text
    assert outcome.tests == []


def test_v6_other_errors_of_parametrization_are_left_alone(
    pytester: pytest.Pytester,
) -> None:
    source = """\
        @pytest.mark.virtual_time
        @pytest.mark.parametrize("x", [1])
        @pytest.mark.parametrize("x", [2])
        async def test_a(x):
            await hour()
    """
    outcome = run_pytest(pytester, source)
    assert "duplicate parametrization of 'x'" in outcome.text
    assert "chosen a second time" not in outcome.text


@pytest.mark.parametrize("marks", ["virtual", "[pytest.mark.slow, virtual('trio')]"])
@pytest.mark.parametrize("folder", [".", "deep"])
def test_v6_a_mark_that_pytest_ignores_is_refused(
    pytester: pytest.Pytester, marks: str, folder: str
) -> None:
    virtual = "import pytest\nvirtual = pytest.mark.virtual_time\n"
    place = pytester.path / folder
    place.mkdir(exist_ok=True)
    (place / "conftest.py").write_text(f"{virtual}pytestmark = {marks}\n")
    (place / "test_deep.py").write_text(f"{virtual}def test_b(): pass\n")
    outcome = run_pytest(pytester, "", "-Wdefault")
    assert "conftest.py: pytest ignores 'pytestmark' in this file" in outcome.text
    assert outcome.tests == []
    assert outcome.status != 0


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_v6_a_mark_on_a_package_is_refused_unless_its_modules_take_it(
    pytester: pytest.Pytester, mode: str
) -> None:
    for name in ("ignored", "taken"):
        place = pytester.path / name
        place.mkdir()
        (place / "__init__.py").write_text(
            "import pytest\npytestmark = pytest.mark.virtual_time\n"
        )
        take = "from taken import pytestmark\n" if name == "taken" else ""
        (place / f"test_{name}.py").write_text(f"{take}async def test_a(): pass\n")
    option = f"--import-mode={mode}"
    outcome = run_pytest(pytester, "", option, "ignored", "taken")
    assert "__init__.py: pytest ignores 'pytestmark' in this file" in outcome.text
    assert "1 error" in outcome.text
    outcome = run_pytest(pytester, "", option, "taken")
    assert len(outcome.passed) == 2


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_v6_a_hook_may_mark_every_test_for_another_plugin(
    pytester: pytest.Pytester, name: str
) -> None:
    need(name)
    hook = f"""\
        import inspect, pytest
        def pytest_collection_modifyitems(items):
            for item in items:
                if inspect.iscoroutinefunction(item.function):
                    item.add_marker(pytest.mark.{name}, append=False)
    """
    pytester.makeconftest(dedent(hook))
    options = STRICT if name == "asyncio" else ()
    outcome = run_pytest(pytester, MARKED, *options, plugins=(name,))
    assert sorted(outcome.passed) == ["test_a[asyncio]", "test_a[trio]"]


@pytest.mark.parametrize("name", ["asyncio", "trio"])
def test_v6_a_class_may_inherit_tests_that_another_one_has_in_virtual_time(
    pytester: pytest.Pytester, name: str
) -> None:
    need(name)
    source = f"""\
        class Base:
            async def test_a(self):
                await anyio.sleep(0)
        @pytest.mark.virtual_time
        class TestOurs(Base):
            pass
        @pytest.mark.{name}
        class TestTheirs(Base):
            pass
    """
    options = STRICT if name == "asyncio" else ()
    outcome = run_pytest(pytester, source, *options, plugins=(name,))
    assert sorted(outcome.passed) == [
        "TestOurs::test_a[asyncio]",
        "TestOurs::test_a[trio]",
        "TestTheirs::test_a",
    ]


VIRTUAL_FIXTURE = """\
    loops = within.testing.backends(virtual_time=True)
    @pytest.fixture(params=loops, ids=["asyncio", "trio"])
    def anyio_backend(request):
        return request.param
    @pytest.mark.anyio
    async def test_a():
        pass
    def test_sync(anyio_backend):
        pass
    @pytest.mark.virtual_time("asyncio")
    async def test_b():
        await hour()
"""


@pytest.mark.parametrize(
    ("plugin", "options"), [("asyncio", AUTO), ("trio", TRIO), ("", ())]
)
def test_v6_a_fixture_that_asks_for_virtual_time_gets_it_or_the_test_fails(
    pytester: pytest.Pytester, plugin: str, options: tuple[str, ...]
) -> None:
    if plugin:
        need(plugin)
    outcome = run_pytest(pytester, VIRTUAL_FIXTURE, *options, plugins=(plugin,))
    verdict = "FAILED" if plugin else "PASSED"
    assert sorted(outcome.tests) == [
        ("test_a[asyncio]", verdict),
        ("test_a[trio]", verdict),
        ("test_b[asyncio]", "PASSED"),
        ("test_sync[asyncio]", "PASSED"),
        ("test_sync[trio]", "PASSED"),
    ]
    taken = f"'anyio_backend' is in virtual time, but pytest-{plugin} is about to run"
    assert outcome.text.count(taken) >= 2 * bool(plugin)


def test_v6_the_mark_of_a_class_counts_before_those_of_its_bases(
    pytester: pytest.Pytester,
) -> None:
    source = """\
        @pytest.mark.virtual_time("asyncio", start=5)
        class TestA:
            start = 5
            async def test_a(self):
                await hour(self.start)
        @pytest.mark.virtual_time("trio", start=7)
        class TestB(TestA):
            start = 7
        class TestC(TestB):
            pass
        class TestD(TestC):
            start = 9
            @pytest.mark.virtual_time("asyncio", start=9)
            async def test_a(self):
                await hour(self.start)
    """
    outcome = run_pytest(pytester, source)
    assert sorted(outcome.passed) == [
        "TestA::test_a[asyncio]",
        "TestB::test_a[trio]",
        "TestC::test_a[trio]",
        "TestD::test_a[asyncio]",
    ]


RUNS_IT = """\
    import asyncio, pytest
    def pytest_collection_modifyitems(items):
        for item in items:
            if item.originalname == "test_late":
                item.add_marker(pytest.mark.virtual_time)
    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(pyfuncitem):
        if pyfuncitem.originalname == "test_taken":
            asyncio.run(pyfuncitem.obj())
            return True
"""


@pytest.mark.parametrize("mark", ["", "@pytest.mark.xfail(strict=True)"])
def test_v6_a_refusal_is_a_failure_even_where_one_is_expected(
    pytester: pytest.Pytester, mark: str
) -> None:
    pytester.makeconftest(dedent(RUNS_IT))
    source = f"""\
        {mark}
        @pytest.mark.virtual_time
        async def test_taken():
            pass
        {mark}
        @pytest.mark.anyio
        async def test_late():
            pass
        @pytest.mark.xfail(strict=True)
        @pytest.mark.virtual_time
        async def test_other():
            await hour(1)
    """
    outcome = run_pytest(pytester, source)
    assert outcome.verdicts == {
        "test_taken": "FAILED",
        "test_late": "FAILED",
        "test_other": "XFAIL",
    }
    by_hook = "a hook of another plugin or of a conftest.py is about to run it"
    assert outcome.text.count(by_hook) >= 2
