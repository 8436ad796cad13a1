"""The pytest plugin: the marker ``virtual_time`` and the fixture ``virtual_clock``.

pytest loads it wherever this package is installed. It does nothing for a test without
the marker; anyio's plugin is what runs the tests.
"""

from __future__ import annotations

import functools
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest

from ._runs import VirtualTime, backends, raising_deadlocks, virtual_clock as clock

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._clock import VirtualClock


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "virtual_time(*backends, start=0.0): run an async test in virtual time, on "
        "asyncio and trio, or on the backends that are named (within.testing).",
    )


@pytest.fixture
async def virtual_clock(anyio_backend: Any) -> VirtualClock:
    """The clock of the test's loop, which must be in virtual time."""
    return clock()


# A wrapper runs before anyio's plugin, which then finds the mark that we add.
@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(
    collector: Any, name: str, obj: Any
) -> Generator[None, Any, Any]:
    # `istestfunction` comes first: touching other objects of a module may raise.
    is_test = collector.istestfunction(obj, name)
    if is_test and iscoroutinefunction(_as_written(obj)):
        marks = [*collector.iter_markers(), *getattr(obj, "pytestmark", ())]
        if any(mark.name == "virtual_time" for mark in marks):
            pytest.mark.anyio(obj)
    return (yield)


# Cached because pytest compares parameters by identity: with new ones for each test it
# would set a fixture of module scope up again and again.
@functools.cache
def _loops(**options: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    return {found[0]: found for found in backends(virtual_time=True, **options)}


def _as_written(obj: Any) -> Any:
    """The test function itself: Hypothesis puts another one around it."""
    return obj.hypothesis.inner_test if hasattr(obj, "hypothesis") else obj


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("virtual_time")
    if mark is None or "anyio_backend" not in metafunc.fixturenames:
        return  # the mark may be on a whole module, and this test synchronous
    found = _loops(**mark.kwargs)
    for name in mark.args:
        if name not in found:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: virtual_time({name!r}): of the loops "
                f"that are installed, {' and '.join(found)} have virtual time"
            )
    names = mark.args or found
    params = [pytest.param(found[name], id=name) for name in names]
    # Added as a mark, before pytest looks for marks, so that it takes precedence over
    # the parameters of the fixture. The scope is that of the fixture in anyio's plugin.
    metafunc.definition.add_marker(
        pytest.mark.parametrize("anyio_backend", params, scope="module")
    )


def _virtual_loop(backend: Any) -> str | None:
    """The name of the backend if it is in virtual time."""
    match backend:
        case (str() as name, VirtualTime()):
            return name
        case _:
            return None


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Raise a deadlock from the test itself, so that the loop stays usable."""
    backend = _virtual_loop(pyfuncitem.funcargs.get("anyio_backend"))
    if backend is None:
        return (yield)
    owner: Any = getattr(pyfuncitem.obj, "hypothesis", pyfuncitem)
    name = "obj" if owner is pyfuncitem else "inner_test"
    test = getattr(owner, name)
    # anyio's plugin leaves its own wrapper here, and removes it for the next loop.
    test = getattr(test, "_anyio_original_func", test)
    if not iscoroutinefunction(test):
        return (yield)
    setattr(owner, name, raising_deadlocks(test, backend))
    try:
        return (yield)
    finally:
        setattr(owner, name, test)
