"""Test files that use the mark `virtual_time`, each in another way."""

from __future__ import annotations

# By the name of the file: its text, and the tests that it runs.
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
