"""The pytest plugin: the marker ``virtual_time`` and the fixture ``virtual_clock``.

pytest loads it wherever this package is installed. It does nothing for a test without
the marker. anyio's plugin is what runs the tests. `_pytest_refusals` deals with other
plugins, `_pytest_fixtures` with async fixtures.
"""

from __future__ import annotations

import functools
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from ._clock import finite_start
from ._pytest_fixtures import (
    fixtures_of,
    needs_the_loop,
    pytest_fixture_post_finalizer,
    pytest_fixture_setup,
    pytest_runtest_setup,
    refuse_fixtures_of_another_time,
    virtual_options,
    virtual_options_of,
)
from ._pytest_loops import loop_of
from ._pytest_refusals import (
    CHOSEN_TWICE,
    IGNORED,
    as_written,
    deciding_mark,
    drop_automatic_marks,
    ignored_marks,
    marks_on,
    plain_item,
    pytest_runtest_makereport,
    reason_for_refusal,
    refuse,
    unexpected_runner,
)
from ._runs import (
    backends,
    raising_deadlocks,
    running_clock,
    virtual_clock as clock,
)

__all__ = [
    "pytest_fixture_post_finalizer",
    "pytest_fixture_setup",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
]

if TYPE_CHECKING:
    from collections.abc import Generator

    from ._clock import VirtualClock

    Scope = Literal["session", "package", "module", "class", "function"]


# Whether a test is async, before another plugin puts a function of its own in its place,
# and whether pytest has called it.
_IS_ASYNC = pytest.StashKey[bool]()
_IS_CALLED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "virtual_time(*backends, start=0.0): run an async test in virtual time, on "
        "asyncio and trio, or on the backends that are named (within.testing).",
    )


def pytest_plugin_registered(plugin: Any, manager: pytest.PytestPluginManager) -> None:
    """Refuse a mark in a ``conftest.py``, where pytest ignores it (V6)."""
    # Not the parameter `plugin_name`: pytest 7 has none, and would fail in every run.
    name = manager.get_name(plugin) or ""
    if name.endswith("conftest.py") and "virtual_time" in marks_on(plugin):
        raise pytest.UsageError(f"{name}: {IGNORED}")


@pytest.fixture
async def virtual_clock(anyio_backend: Any) -> VirtualClock:
    """The clock of the test's loop, which must be in virtual time."""
    return clock()


# -- collecting tests ----------------------------------------------------------


# `tryfirst` on a wrapper: it starts before anyio's plugin, which then finds the mark
# that we add, and ends after pytest-asyncio, whose items we turn back.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(
    collector: Any, name: str, obj: Any
) -> Generator[None, Any, Any]:
    # `istestfunction` comes first: touching other objects of a module may raise.
    is_test = collector.istestfunction(obj, name)
    if not is_test or not iscoroutinefunction(as_written(obj)):
        return (yield)
    marks = {mark.name for mark in collector.iter_markers()} | marks_on(obj)
    has_anyio = collector.config.pluginmanager.hasplugin("anyio")
    is_ours = "virtual_time" in marks and has_anyio
    written: Any = getattr(obj, "pytestmark", [])
    if is_ours:
        pytest.mark.anyio(obj)
    found: Any = yield
    if is_ours:
        # Another class may inherit the function, and its tests are not ours.
        obj.pytestmark = written
    if not isinstance(found, list):
        return found
    items = cast("list[pytest.Item]", found)
    # Tests marked for another plugin by hand are refused once all are collected.
    if is_ours and not marks & {"asyncio", "trio"}:
        items = [plain_item(item) for item in items]
    for item in items:
        item.stash[_IS_ASYNC] = True
    return items


# Cached because pytest compares parameters by identity: with new ones for each test it
# would set a fixture of module scope up again and again.
@functools.cache
def _loops(start: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    return {found[0]: found for found in backends(virtual_time=True, start=start)}


def _loops_named_by(mark: pytest.Mark) -> dict[str, tuple[str, dict[str, Any]]]:
    """The loops that a mark names, or all of them.

    Raises:
        ValueError: If the arguments of the mark are wrong.
    """
    for name, value in mark.kwargs.items():
        if name != "start":
            raise ValueError(
                f"virtual_time({name}={value!r}): there is no such argument: give the "
                "names of loops, and start=SECONDS"
            )
    try:
        found = _loops(finite_start(mark.kwargs.get("start", 0.0)))
    except (TypeError, ValueError) as exc:
        raise ValueError(f"virtual_time: {exc}") from None
    for name in mark.args:
        if not isinstance(name, str) or name not in found:
            raise ValueError(
                f"virtual_time({name!r}): of the loops that are installed, "
                f"{' and '.join(found)} have virtual time"
            )
    return {name: found[name] for name in mark.args or found}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None]:
    mark = deciding_mark(metafunc.definition)
    if mark is None or "anyio_backend" not in metafunc.fixturenames:
        return (yield)  # the mark may be on a whole module, and this test synchronous
    node = metafunc.definition.nodeid
    try:
        found = _loops_named_by(mark)
    except ValueError as exc:
        raise pytest.UsageError(f"{node}: {exc}") from None
    params = [pytest.param(loop, id=name) for name, loop in found.items()]
    # Added as a mark, before pytest looks for marks, so that it takes precedence over
    # the parameters of the fixture.
    scope = _widest_scope(metafunc.definition)
    metafunc.definition.add_marker(
        pytest.mark.parametrize("anyio_backend", params, scope=scope)
    )
    try:
        return (yield)
    except Exception as exc:  # of another kind in each version of pytest
        if "duplicate parametrization of 'anyio_backend'" in str(exc):
            raise pytest.UsageError(f"{node}: {CHOSEN_TWICE}") from None
        raise


def _widest_scope(item: pytest.Function) -> Scope:
    """The widest scope of the test's fixtures that need the loop.

    It is at least ``module``, the scope of `anyio_backend` in anyio's plugin.
    """
    # Never ``package``: pytest would then mistake it for ``session`` where a directory
    # is not a package.
    found: set[Scope] = {x.scope for x in fixtures_of(item) if needs_the_loop(x)}
    return "session" if found & {"package", "session"} else "module"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse tests that would not run in virtual time, as an error of collection (V6).

    A UsageError would name them too, but pytest-xdist loses its text.
    """
    report = yield
    refused = sorted(ignored_marks(report))
    for item in report.result or ():
        if isinstance(item, pytest.Item) and item.get_closest_marker("virtual_time"):
            has_loop = virtual_options_of(item) is not None
            if (reason := reason_for_refusal(item, has_loop)) is not None:
                refused.append(f"{item.nodeid}: {reason}")
    if refused:
        report.outcome, report.longrepr = "failed", "\n".join(refused)
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("virtual_time") and virtual_options_of(item):
            drop_automatic_marks(item)


# -- running tests -------------------------------------------------------------


# `tryfirst` on a wrapper: pytest-trio replaces the test function in its own wrapper.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that would not run in virtual time, or that has not (V6).

    Its mark may have been added after collection, by a hook or fixture.
    """
    arguments: dict[str, Any] = getattr(item, "funcargs", {})
    has_loop = virtual_options(arguments.get("anyio_backend")) is not None
    is_marked = item.get_closest_marker("virtual_time") is not None
    if is_marked and (reason := reason_for_refusal(item, has_loop)) is not None:
        refuse(item, f"{item.nodeid}: {reason}")
    is_async = item.stash.setdefault(
        _IS_ASYNC, iscoroutinefunction(as_written(getattr(item, "obj", None)))
    )
    item.stash[_IS_CALLED] = False
    refuse_fixtures_of_another_time(item)
    found = yield
    refuse_fixtures_of_another_time(item)
    if has_loop and is_async and not item.stash[_IS_CALLED]:
        refuse(item, unexpected_runner(item))
    return found


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Raise a deadlock from the test itself, so that the loop stays usable."""
    backend: Any = pyfuncitem.funcargs.get("anyio_backend")
    options = virtual_options(backend)
    if options is None:
        return (yield)
    owner: Any = getattr(pyfuncitem.obj, "hypothesis", pyfuncitem)
    name = "obj" if owner is pyfuncitem else "inner_test"
    test = getattr(owner, name)
    # anyio's plugin leaves its own wrapper here, and removes it for the next loop.
    test = getattr(test, "_anyio_original_func", test)
    if not iscoroutinefunction(test):
        if not pyfuncitem.stash.get(_IS_ASYNC, False):
            return (yield)  # a synchronous test that asks for `anyio_backend`
        refuse(pyfuncitem, unexpected_runner(pyfuncitem))
    pyfuncitem.stash[_IS_CALLED] = True
    guarded = raising_deadlocks(test, backend[0])

    @functools.wraps(test)
    async def in_virtual_time(*args: Any, **kwargs: Any) -> Any:
        if running_clock() is None:  # another hook runs the test on a loop of its own
            refuse(pyfuncitem, unexpected_runner(pyfuncitem))
        return await guarded(*args, **kwargs)

    setattr(owner, name, in_virtual_time)
    try:
        with loop_of(options).in_use():
            return (yield)
    finally:
        setattr(owner, name, test)
