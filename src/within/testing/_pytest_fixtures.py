"""Async fixtures of tests in virtual time: each is set up on the loop of its test (V7)."""

from __future__ import annotations

import functools
import math
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction, ismethod
from types import MethodType
from typing import TYPE_CHECKING, Any

import pytest
from anyio import pytest_plugin

from .._clock import current_effective_deadline
from ._pytest_loops import loop_of
from ._pytest_refusals import refuse
from ._runs import VirtualTime

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

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


def fixtures_of(item: pytest.Function) -> list[Fixture]:
    """All fixtures that a test uses, directly or not."""
    info: Any = getattr(item, "_fixtureinfo", None)  # anyio's plugin reads it as well
    if info is None:
        return []
    return [fixture for found in info.name2fixturedefs.values() for fixture in found]


def needs_the_loop(fixture: Fixture) -> bool:
    """Whether a fixture depends on the loop of the test; all async ones do."""
    return _is_async(fixture) or "anyio_backend" in fixture.argnames


def _is_async(fixture: Fixture) -> bool:
    return iscoroutinefunction(fixture.func) or isasyncgenfunction(fixture.func)


@dataclass
class _Open:
    """A fixture that is open, and the loop for which it was set up."""

    fixture: Fixture
    options: VirtualTime | None  # of its loop; None is real time
    backend: object = None  # the fixture `anyio_backend`, unless it is a parameter

    def is_of_another_time(self, item: pytest.Function) -> bool:
        """Whether a test, as far as it is known yet, needs the fixture in another time."""
        if "anyio_backend" in item.fixturenames and not _has_parameter(item):
            # What `anyio_backend` will return is not known yet.
            return self.options is not None and self.backend is not _backend_of(item)
        return self.options is not virtual_options_of(item)


_open: list[_Open] = []  # in the order in which they were set up


def _has_parameter(item: pytest.Item) -> bool:
    return "anyio_backend" in getattr(getattr(item, "callspec", None), "params", {})


def _backend_of(item: Any) -> object:
    return item._fixtureinfo.name2fixturedefs.get("anyio_backend", [None])[-1]


# `tryfirst`, so that a fixture is torn down before the test asks for it.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tear down fixtures of the test that are open in another time.

    pytest does the same when the parameter of a fixture changes. They are set up again
    for this test.
    """
    if not isinstance(item, pytest.Function):
        return
    needed = fixtures_of(item)
    for found in _open.copy():
        if found.fixture in needed and found.is_of_another_time(item):
            _tear_down(found, item)


def refuse_fixtures_of_another_time(item: pytest.Item) -> None:
    """Fail a test that got a fixture of another time from ``request.getfixturevalue()``.

    Until that call, nothing shows that the test needs the fixture.
    """
    if not isinstance(item, pytest.Function):
        return
    request: Any = getattr(item, "_request", None)
    active: dict[str, Fixture] = getattr(request, "_fixture_defs", {})
    for found in _open:
        if found.fixture in active.values() and found.is_of_another_time(item):
            kind = "real" if found.options is None else "virtual"
            name = found.fixture.argname
            refuse(
                item,
                f"{item.nodeid}: got the fixture {name!r} by getfixturevalue() while it "
                f"was open on another loop, in {kind} time: add "
                f"@pytest.mark.usefixtures({name!r}), so that it is set up again",
            )


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

    anyio's plugin does the work, but here it comes before every other plugin. A
    synchronous fixture that depends on the loop is only taken note of.
    """
    if not needs_the_loop(fixturedef):
        return (yield)
    opened = _about_to_open(fixturedef, request)
    _open.append(opened)
    options = opened.options
    if options is None or not _is_async(fixturedef):
        return (yield)
    with _by_anyio(fixturedef, request, options):
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


def _about_to_open(fixture: Fixture, request: Any) -> _Open:
    item = request._pyfuncitem
    if "anyio_backend" not in item.fixturenames or _has_parameter(item):
        return _Open(fixture, virtual_options_of(item))
    try:
        options = virtual_options(request.getfixturevalue("anyio_backend"))
    except pytest.fail.Exception:  # a narrower scope, which anyio's plugin will report
        options = None
    return _Open(fixture, options, _backend_of(item))


@contextmanager
def _by_anyio(fixture: Fixture, request: Any, options: VirtualTime) -> Generator[None]:
    """While this is open, the fixture is a function of anyio's plugin."""
    written: Any = fixture.func
    wrap: Any = _steps_of if isasyncgenfunction(written) else _whole
    checked: Any = wrap(
        getattr(written, "__func__", written), fixture.argname, _guard_of(options)
    )
    if ismethod(written):  # anyio binds it to the instance of the test
        checked = MethodType(checked, written.__self__)
    _set_function(fixture, checked)
    hook = pytest_plugin.pytest_fixture_setup(fixture, request)
    next(hook)
    try:
        yield
    finally:
        for _ in hook:
            raise AssertionError("a hook wrapper yields once")
        _set_function(fixture, written)


def _set_function(fixture: Any, function: Any) -> None:
    fixture.func = function  # final for type checkers, but anyio replaces it as well


def _guard_of(options: VirtualTime) -> Callable[..., Any]:
    """The function that awaits a part of a fixture, and raises its deadlocks (V6)."""
    if "clock" in options:
        from ._trio_clock import guarded_step

        return guarded_step
    from ._asyncio_loop import guarded

    return guarded


def _whole(
    function: Callable[..., Any], name: str, guarded: Callable[..., Any]
) -> Callable[..., Any]:
    """A fixture that returns its value."""

    @functools.wraps(function)
    async def checked(*args: Any, **kwargs: Any) -> Any:
        return await guarded(function, *args, **kwargs)

    return checked


def _steps_of(
    function: Callable[..., AsyncGenerator[Any]],
    name: str,
    guarded: Callable[..., Any],
) -> Callable[..., AsyncGenerator[Any]]:
    """A fixture that fails if a time limit is still open at its ``yield`` (V6).

    All fixtures and tests of a loop run in one task of anyio's plugin, so the limit
    would cancel that task. On trio, the plugin then waits for it forever.
    """

    @functools.wraps(function)
    async def checked(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        steps, end = function(*args, **kwargs), object()
        try:
            while (value := await guarded(anext, steps, end)) is not end:
                if current_effective_deadline() < math.inf:
                    raise RuntimeError(
                        f"the fixture {name!r} leaves a time limit open across its "
                        "yield, which would cancel the task that runs the tests: put "
                        "one limit around the set-up and another one around the "
                        "clean-up, and limit a test with @within.timeout(...)"
                    )
                yield value
        finally:
            await guarded(steps.aclose)

    return checked
