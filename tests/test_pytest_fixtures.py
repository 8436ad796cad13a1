"""Async fixtures of every scope beside tests in virtual time (V7).

A fixture that is open in real time leaves a virtual test alone, and the reverse. One
that both kinds of test use is set up again where the time changes.
"""

from __future__ import annotations

import pytest
import trio
from anyio import pytest_plugin
from pytest_runs import run_pytest
from trio._core._run import GLOBAL_RUN_CONTEXT

from within.testing._pytest_loops import NO_LOOP

pytestmark = pytest.mark.timeout(600)  # each test starts one pytest

SCOPES = ["function", "class", "module", "package", "session"]
each_loop = pytest.mark.parametrize("loop", ["asyncio", "trio"])

# A server in real time, which answers from a task of its own.
SERVER = """\
    import sniffio
    @pytest.fixture(scope="session")
    def anyio_backend():
        return "LOOP"
    class Server:
        def __init__(self):
            self.requests, self.incoming = anyio.create_memory_object_stream(0)
            self.loop, self.began = sniffio.current_async_library(), within.current_time()
        async def run(self):
            async for answered in self.incoming:
                answered.set()
        async def ask(self):
            answered = anyio.Event()
            await self.requests.send(answered)
            await answered.wait()
            return self.loop
    opened = []
    @pytest.fixture(scope="SCOPE"AUTOUSE)
    async def server(anyio_backend):
        it = Server()
        opened.append(it.loop)
        with it.requests, it.incoming:
            async with anyio.create_task_group() as group:
                group.start_soon(it.run)
                yield it
                group.cancel_scope.cancel()
"""

BESIDE = (
    SERVER
    + """\
    class TestIt:
        @pytest.mark.anyio
        async def test_a(self, server):
            assert await server.ask() == "LOOP"
            with pytest.raises(RuntimeError):
                within.testing.virtual_clock()
        @pytest.mark.virtual_time
        async def test_b(self, virtual_clock):
            await hour()
            assert virtual_clock.now == 3600
            with pytest.raises(within.testing.Deadlock):
                await within.testing._runs.raising_deadlocks(
                    anyio.sleep_forever, sniffio.current_async_library()
                )()
        @pytest.mark.anyio
        async def test_c(self, server):
            assert await server.ask() == "LOOP"
            with anyio.move_on_after(0.01) as limit:
                await anyio.sleep(3600)
            assert limit.cancelled_caught
        @pytest.mark.virtual_time
        async def test_d(self):
            await hour()
        @pytest.mark.anyio
        async def test_e(self, server):
            assert await server.ask() == "LOOP"
        def test_f(self):
            assert opened == ["LOOP"] * (3 if "SCOPE" == "function" else 1)
"""
)


def modules(source: str, loop: str, autouse: str = "") -> dict[str, str]:
    """A module for each scope of its async fixture."""
    source = source.replace("LOOP", loop).replace("AUTOUSE", autouse)
    return {scope: source.replace("SCOPE", scope) for scope in SCOPES}


@each_loop
def test_v7_a_fixture_open_in_real_time_leaves_virtual_tests_alone(
    pytester: pytest.Pytester, loop: str
) -> None:
    outcome = run_pytest(pytester, modules(BESIDE, loop))
    assert len(outcome.passed) == 8 * len(SCOPES)


SHARED = (
    SERVER
    + """\
    @pytest.fixture(scope="SCOPE")
    def client(server):
        return server.ask
    class TestIt:
        @pytest.mark.anyio
        async def test_a(self, client):
            assert await client() == "LOOP"
        @pytest.mark.virtual_time
        async def test_b(self, client, server):
            assert await client() == sniffio.current_async_library()
            await anyio.sleep(3600)
            assert within.current_time() - server.began == 3600
        @pytest.mark.virtual_time
        async def test_c(self, server):
            assert await server.ask() == sniffio.current_async_library()
        @pytest.mark.anyio
        async def test_d(self, client):
            assert await client() == "LOOP"
"""
)


@each_loop
@pytest.mark.parametrize("autouse", ["", ", autouse=True"], ids=["", "autouse"])
def test_v7_a_fixture_of_both_kinds_of_test_is_set_up_in_the_time_of_each(
    pytester: pytest.Pytester, loop: str, autouse: str
) -> None:
    outcome = run_pytest(pytester, modules(SHARED, loop, autouse))
    assert len(outcome.passed) == 6 * len(SCOPES)


VIRTUAL = """\
    import sniffio
    opened = []
    @pytest.fixture(scope="SCOPE")
    async def clock():
        opened.append(sniffio.current_async_library())
        yield within.testing.virtual_clock()
        await anyio.sleep(3600)
        opened.append("closed")
    class TestIt:
        @pytest.mark.virtual_time
        async def test_a(self, clock):
            assert clock is within.testing.virtual_clock()
            await anyio.sleep(1)
        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
        async def test_b(self):
            with pytest.raises(RuntimeError):
                within.testing.virtual_clock()
        @pytest.mark.virtual_time
        async def test_c(self, clock):
            assert clock is within.testing.virtual_clock()
        def test_sync(self):
            pass
"""


def test_v7_a_fixture_open_in_virtual_time_leaves_real_tests_alone(
    pytester: pytest.Pytester,
) -> None:
    outcome = run_pytest(pytester, modules(VIRTUAL, ""))
    assert len(outcome.passed) == 7 * len(SCOPES)


FIXTURE_WITHOUT_PARAMETERS = """\
    @pytest.fixture(scope="module")
    def anyio_backend():
        return within.testing.backends(virtual_time=True)[NUMBER]
    opened = []
    @pytest.fixture(scope="module")
    async def clock():
        opened.append(1)
        yield within.testing.virtual_clock()
    @pytest.mark.anyio
    async def test_a(clock):
        await hour()
    @pytest.mark.anyio
    async def test_b(clock):
        assert clock is within.testing.virtual_clock()
        assert clock.now == 3600
        assert opened == [1]
    @pytest.mark.virtual_time
    async def test_c(clock):
        await hour()
    @pytest.mark.anyio
    async def test_d(clock):
        await hour()
"""


@pytest.mark.parametrize("number", [0, 1], ids=["asyncio", "trio"])
def test_v7_a_backend_without_parameters_keeps_its_fixtures_open(
    pytester: pytest.Pytester, number: int
) -> None:
    source = FIXTURE_WITHOUT_PARAMETERS.replace("NUMBER", str(number))
    assert len(run_pytest(pytester, source).passed) == 5


MODULES = """\
    import sniffio
    @pytest.mark.virtual_time
    async def test_a(ticks):
        assert ticks.loop == sniffio.current_async_library()
        ticks.count += 1
    @pytest.mark.anyio
    async def test_b():
        await anyio.sleep(0)
"""
CONFTEST = """\
import anyio, pytest, sniffio
class Ticks:
    count = 0
counts = []
@pytest.fixture(scope="session")
async def ticks():
    made = Ticks()
    made.loop = sniffio.current_async_library()
    yield made
    counts.append(made.count)
@pytest.fixture(scope="session", autouse=True)
def check():
    yield
    assert counts == [2, 2]
"""


def test_v7_a_session_fixture_serves_the_virtual_tests_of_all_modules(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(CONFTEST)
    outcome = run_pytest(pytester, {"one": MODULES, "two": MODULES})
    assert len(outcome.passed) == 8


FOUND_OPEN = """\
    virtual = pytest.mark.virtual_time("asyncio")
    @pytest.fixture(scope="module")
    def anyio_backend():
        return "asyncio"
    @pytest.fixture(scope="module")
    async def shared():
        yield within.current_time()
    @pytest.fixture
    def dynamic(request):
        return request.getfixturevalue("shared")
    @pytest.mark.anyio
    async def test_real(shared):
        assert shared > 0
    @virtual
    async def test_by_a_fixture(dynamic):
        pass
    @virtual
    async def test_by_itself(request):
        request.getfixturevalue("shared")
    @virtual
    @pytest.mark.usefixtures("shared")
    async def test_named(dynamic):
        assert dynamic == 0
    @pytest.mark.anyio
    async def test_real_by_a_fixture(dynamic):
        pass
"""


def test_v7_a_fixture_of_another_loop_that_is_found_open_makes_the_test_fail(
    pytester: pytest.Pytester,
) -> None:
    outcome = run_pytest(pytester, FOUND_OPEN)
    assert outcome.verdicts == {
        "test_real": "PASSED",
        "test_by_a_fixture": "FAILED",
        "test_by_itself": "FAILED",
        "test_named": "PASSED",
        "test_real_by_a_fixture": "FAILED",
    }, outcome.text
    text = " ".join(outcome.text.split())
    reason = (
        "got the fixture 'shared' by getfixturevalue() while it was open on another"
    )
    assert text.count(f"{reason} loop, in real time") == 2
    assert text.count(f"{reason} loop, in virtual time") == 1


OPEN_LIMITS = """\
    @pytest.fixture(params=["ours", "anyio", "outer", "shield"])
    def limit(request):
        return {
            "ours": within.timeout(5),
            "anyio": anyio.fail_after(5),
            "outer": within.move_on_after(5, shield=True),
            "shield": within.shield(),
        }[request.param]
    class TestIt:
        @pytest.fixture
        async def limited(self, limit):
            self.seen = "set up"
            with limit:
                yield
        @pytest.mark.virtual_time
        async def test_slow(self, limited):
            assert self.seen == "set up"
            await hour()
        @pytest.mark.virtual_time
        async def test_after_it(self, virtual_clock):
            began = virtual_clock.now
            await anyio.sleep(3600)
            assert virtual_clock.now == began + 3600
"""


@each_loop
def test_v6_a_fixture_with_a_limit_open_across_its_yield_is_refused(
    pytester: pytest.Pytester, loop: str
) -> None:
    outcome = run_pytest(pytester, OPEN_LIMITS, "-k", loop)
    refused = {name for name, verdict in outcome.tests if verdict == "ERROR"}
    assert {name.partition("-")[0] for name in refused} == {
        "TestIt::test_slow[ours",
        "TestIt::test_slow[anyio",
        "TestIt::test_slow[outer",
    }, outcome.text
    assert "3 errors" in outcome.text
    assert "2 passed" in outcome.text
    reason = "RuntimeError: the fixture 'limited' leaves a time limit open across its"
    assert reason in outcome.text


@pytest.mark.parametrize("scope", SCOPES)
def test_v7_a_synchronous_fixture_of_any_scope_may_ask_for_the_loop(
    pytester: pytest.Pytester, scope: str
) -> None:
    source = f"""\
        @pytest.fixture(scope="session")
        def anyio_backend():
            return "asyncio"
        @pytest.fixture(scope="{scope}")
        def chosen(anyio_backend):
            return anyio_backend
        @pytest.fixture(scope="{scope}")
        def shared(chosen):
            return chosen
        @pytest.mark.anyio
        async def test_a(shared):
            assert shared == "asyncio"
        @pytest.mark.virtual_time
        async def test_b(shared, anyio_backend):
            assert shared is anyio_backend
            await hour()
        def test_c(shared):
            assert shared == "asyncio"
    """
    passed = run_pytest(pytester, source).passed
    assert sorted(passed) == ["test_a", "test_b[asyncio]", "test_b[trio]", "test_c"]


def test_v7_private_names_of_anyios_plugin_and_of_trio_have_not_moved() -> None:
    assert vars(pytest_plugin).keys() >= NO_LOOP.keys()
    assert vars(GLOBAL_RUN_CONTEXT) == {}

    async def main() -> bool:
        return "runner" in vars(GLOBAL_RUN_CONTEXT)

    assert trio.run(main)
