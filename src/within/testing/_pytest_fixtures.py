"""Async fixtures of tests in virtual time: each is set up on the loop of its test (V7)."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest
from anyio import pytest_plugin

from ._pytest_loops import loop_of
from ._runs import VirtualTime

if TYPE_CHECKING:
    from collections.abc import Generator

    Fixture = pytest.FixtureDef[Any]


def virtual_options(backend: Any) -> VirtualTime | None:
    """The options of a backend for anyio, if they start a loop in virtual time."""
    match backend:
        case (str(), VirtualTime() as options):
            return options
        case _:
            return None


def virtual_options_of(item: pytest.Item) -> VirtualTime | None:
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return virtual_options(params.get("anyio_backend"))


def async_fixtures(item: pytest.Function) -> list[Fixture]:
    """All async fixtures that a test uses, directly or not."""
    info: Any = getattr(item, "_fixtureinfo", None)  # anyio's plugin reads it as well
    if info is None:
        return []
    return [x for defs in info.name2fixturedefs.values() for x in defs if _is_async(x)]


def _is_async(fixture: Fixture) -> bool:
    return iscoroutinefunction(fixture.func) or isasyncgenfunction(fixture.func)


@dataclass
class _Open:
    """A fixture that is open, and the options of its loop; None is real time."""

    fixture: Fixture
    options: VirtualTime | None


_open: list[_Open] = []  # in the order in which they were set up


# `tryfirst`, so that a fixture is torn down before the test asks for it.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tear down fixtures of the test that are open in another time.

    pytest does the same when the parameter of a fixture changes. They are set up again
    for this test.
    """
    if not isinstance(item, pytest.Function):
        return
    wanted = virtual_options_of(item)
    needed = async_fixtures(item)
    for found in _open.copy():
        if found.fixture in needed and found.options is not wanted:
            _tear_down(found, item)


def _tear_down(wrong: _Open, item: Any) -> None:
    # All fixtures of a loop run in one task, so their cancel scopes and task groups
    # have to be left in the reverse order.
    if wrong in _open:
        for later in reversed(_open[_open.index(wrong) :]):
            if later.options is wrong.options:
                later.fixture.finish(item._request)


def pytest_fixture_post_finalizer(fixturedef: Fixture) -> None:
    _open[:] = [found for found in _open if found.fixture is not fixturedef]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: Fixture, request: Any
) -> Generator[None, Any, Any]:
    """Set up an async fixture of a virtual test on the loop of the test.

    anyio's plugin does the work, but here it comes before every other plugin.
    """
    if not _is_async(fixturedef):
        return (yield)
    options = None
    if "anyio_backend" in request.fixturenames:
        options = virtual_options(request.getfixturevalue("anyio_backend"))
    _open.append(_Open(fixturedef, options))
    if options is None:
        return (yield)
    with _by_anyio(fixturedef, request):
        fixture: Any = fixturedef  # `func` is final, but anyio replaces it as well
        run = fixture.func

        @functools.wraps(run)
        def on_its_loop(**kwargs: Any) -> Any:
            loop, steps = loop_of(options), run(**kwargs)
            with loop.in_use():
                value = next(steps)
            yield value
            with loop.in_use():
                for _ in steps:
                    raise AssertionError("anyio's generators yield once")

        fixture.func = on_its_loop
        return (yield)


@contextmanager
def _by_anyio(fixture: Fixture, request: Any) -> Generator[None]:
    """While this is open, the fixture is a generator function of anyio's plugin."""
    hook = pytest_plugin.pytest_fixture_setup(fixture, request)
    next(hook)
    try:
        yield
    finally:
        for _ in hook:
            raise AssertionError("a hook wrapper yields once")
