"""The pytest plugin: the marker ``virtual_time``, the fixture ``virtual_clock``.

It is loaded wherever this package is installed, and does nothing for a test that
does not ask. Running the tests is the matter of anyio's plugin.
"""

from __future__ import annotations

import functools
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest

from . import VirtualClock, VirtualTime, backends, guarded, virtual_clock as clock

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "virtual_time(*backends, start=0.0): run an async test in virtual time, on "
        "asyncio and trio, or on those that are named (within.testing).",
    )


@pytest.fixture
async def virtual_clock(anyio_backend: Any) -> VirtualClock:
    """The clock of the test's loop, which must be in virtual time."""
    return clock()


# A wrapper, so that it comes before anyio's plugin looks for its own mark.
@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(
    collector: Any, name: str, obj: Any
) -> Generator[None, Any, Any]:
    # Asked first: what else stands in a module may not bear to be looked at.
    is_test = collector.istestfunction(obj, name)
    if is_test and iscoroutinefunction(_written(obj)):
        marks = [*collector.iter_markers(), *getattr(obj, "pytestmark", ())]
        if any(mark.name == "virtual_time" for mark in marks):
            pytest.mark.anyio(obj)
    return (yield)


# Kept, because pytest makes a fixture anew for a test whose parameter is another
# object: one of a module's scope would not outlive a test.
@functools.cache
def _loops(**options: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    return {found[0]: found for found in backends(virtual_time=True, **options)}


def _written(obj: Any) -> Any:
    """The test as it was written: one of Hypothesis is a function around it."""
    return obj.hypothesis.inner_test if hasattr(obj, "hypothesis") else obj


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("virtual_time")
    if mark is None or "anyio_backend" not in metafunc.fixturenames:
        return  # none, or one on a whole module, and a test that is not async
    found = _loops(**mark.kwargs)
    for name in mark.args:
        if name not in found:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: virtual_time({name!r}): of the loops "
                f"that are installed, {' and '.join(found)} have virtual time"
            )
    names = mark.args or found
    params = [pytest.param(found[name], id=name) for name in names]
    # As a mark, before pytest looks for those: then the parameters of the fixture
    # do not count. Its scope is the one that it has in anyio's plugin.
    metafunc.definition.add_marker(
        pytest.mark.parametrize("anyio_backend", params, scope="module")
    )


def _virtual(backend: Any) -> str | None:
    """The name of the loop, if it is one in virtual time."""
    match backend:
        case (str() as name, VirtualTime()):
            return name
        case _:
            return None


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Have a deadlock raised from the test itself, which leaves the loop usable."""
    backend = _virtual(pyfuncitem.funcargs.get("anyio_backend"))
    if backend is None:
        return (yield)
    owner: Any = getattr(pyfuncitem.obj, "hypothesis", pyfuncitem)
    name = "obj" if owner is pyfuncitem else "inner_test"
    test = getattr(owner, name)
    # anyio's plugin leaves its own wrapper there for the next loop to take off.
    test = getattr(test, "_anyio_original_func", test)
    if not iscoroutinefunction(test):
        return (yield)
    setattr(owner, name, guarded(test, backend))
    try:
        return (yield)
    finally:
        setattr(owner, name, test)
