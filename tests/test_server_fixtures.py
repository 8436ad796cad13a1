"""A server as a fixture: started once, and read all the time (P23, V7).

The server of these suites answers each request after it has written more than a pipe
holds. So it can answer only while its output is read, whatever the loop does.
"""

from __future__ import annotations

import pytest
from pytest_runs import run_pytest

pytestmark = pytest.mark.timeout(600)  # each test starts one pytest

SETUP = """\
    import re, socket, sys
    PROGRAM = '''
    import socket
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print("port", listener.getsockname()[1], flush=True)
        while True:
            with listener.accept()[0] as connection:
                print(("x" * 299 + chr(10)) * 1000, "end of request", flush=True)
                connection.sendall(b"ok")
    '''
    def command():
        return sys.executable, "-c", PROGRAM
    READY = re.compile("port ([0-9]+)")
    def ask(server):
        port = int(server.match[1])
        address = ("127.0.0.1", port)
        with socket.create_connection(address, timeout=60) as connection:
            while data := connection.recv(10):
                assert data == b"ok"
    began = []
"""

FIXTURE = (
    SETUP
    + """\
    @pytest.fixture(scope="session")
    async def server(anyio_backend):
        async with within.timeout(60, name="start"):
            server = await within.server(*command(), ready=READY)
        began.append(server)
        async with server:
            yield server
        assert server.returncode == -15
"""
)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_p23_one_server_for_a_session_beside_other_loops(
    pytester: pytest.Pytester, loop: str
) -> None:
    source = (
        FIXTURE
        + f"""\
    @pytest.fixture(scope="session")
    def anyio_backend():
        return "{loop}"
    @pytest.mark.anyio
    async def test_real(server):
        ask(server)
    def test_sync(server):
        ask(server)
    @pytest.mark.virtual_time
    async def test_virtual(virtual_clock):
        ask(began[0])
        await hour()
        assert began[0].returncode is None
    @pytest.mark.anyio
    async def test_real_again(server):
        ask(server)
        assert began == [server]
"""
    )
    passed = run_pytest(pytester, source).passed
    virtual = ["test_virtual[asyncio]", "test_virtual[trio]"]
    assert passed == ["test_real", "test_sync", *virtual, "test_real_again"]


def test_p23_a_server_that_is_started_on_a_virtual_loop(
    pytester: pytest.Pytester,
) -> None:
    source = FIXTURE + (
        """\
    @pytest.fixture(scope="session", params=["asyncio", "trio"])
    def anyio_backend(request):
        return request.param
    @pytest.mark.virtual_time
    async def test_virtual(server):
        start = within.testing.virtual_clock().now
        ask(server)
        await hour(start)
    @pytest.mark.virtual_time
    async def test_port(anyio_backend):
        port = int(began[-1].match[1])
        with pytest.raises(OSError):
            await within.server("true", ready=within.listening(port))
    @pytest.mark.virtual_time
    async def test_listening(anyio_backend):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        program = PROGRAM.replace("1\\", 0", f"1\\", {port}")
        ready = within.listening(port)
        async with within.server(sys.executable, "-c", program, ready=ready) as server:
            await anyio.sleep(3600)
"""
    )
    passed = run_pytest(pytester, source).passed
    assert len(passed) == 6


def test_p23_a_server_in_a_fixture_of_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytest.importorskip("pytest_asyncio")
    source = (
        SETUP
        + """\
    import pytest_asyncio
    @pytest_asyncio.fixture(scope="session", loop_scope="session")
    async def server():
        async with within.server(*command(), ready=READY) as server:
            yield server
    @pytest.mark.asyncio(loop_scope="session")
    async def test_same_loop(server):
        ask(server)
    @pytest.mark.asyncio
    async def test_other_loop(server):
        ask(server)
        assert server.returncode is None
    def test_sync(server):
        ask(server)
"""
    )
    options = ("-o", "asyncio_default_fixture_loop_scope=function")
    passed = run_pytest(pytester, source, *options, plugins=("asyncio",)).passed
    assert passed == ["test_same_loop", "test_other_loop", "test_sync"]


def test_p23_a_server_that_does_not_start_says_why_in_the_report(
    pytester: pytest.Pytester,
) -> None:
    source = (
        SETUP
        + """\
    @pytest.fixture(scope="session")
    def anyio_backend():
        return "asyncio"
    @pytest.fixture(scope="session")
    async def server(anyio_backend):
        with within.timeout(LIMIT, name="start"):
            async with within.server("sh", "-c", "SCRIPT", ready="ready") as server:
                yield server
    @pytest.mark.anyio
    async def test_it(server):
        pass
"""
    )

    def report(script: str, limit: str) -> str:
        text = source.replace("SCRIPT", script).replace("LIMIT", limit)
        outcome = run_pytest(pytester, text)
        assert outcome.tests == [("test_it", "ERROR")]
        return outcome.text[outcome.text.index("_ ERROR at setup of test_it _") :]

    failed = report("echo no paper; exit 3", "60")
    assert "exited with status 3 before it was ready" in failed
    for limit in ("1", "5", "25"):
        late = report("echo no paper; exec sleep 60", limit)
        assert f"'start' exceeded its limit of {limit} s" in late
        if "no paper" in late.replace("echo no paper", ""):  # it had begun in time
            break
    for found in (failed, late):
        assert "its output ends with:" in found
        assert "    no paper" in found
