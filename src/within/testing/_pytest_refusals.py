"""Other plugins that would run a test in real time: their tests are taken or refused.

A test that asks for virtual time and gets real time would pass without testing what it
claims to test (V6).
"""

from __future__ import annotations

import sys
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import TYPE_CHECKING, Any, NoReturn
from unittest import TestCase

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_PLUGINS = {"asyncio": "pytest-asyncio", "trio": "pytest-trio"}  # by their marks


CHOSEN_TWICE = (
    "marked virtual_time, but its loops are chosen a second time by a parametrization of "
    "'anyio_backend': name them in the mark, as in virtual_time('asyncio')"
)
IGNORED = (
    "pytest ignores 'pytestmark' in this file, so no test would run in virtual "
    "time: mark the tests, their classes or their modules"
)


# Whether a test has been refused while it ran.
_IS_REFUSED = pytest.StashKey[bool]()


def refuse(item: pytest.Item, reason: str) -> NoReturn:
    """Fail a test that would not run in virtual time, or that has not."""
    item.stash[_IS_REFUSED] = True
    pytest.fail(reason, pytrace=False)


# `tryfirst` on a wrapper: it ends after that of pytest, which deals with `xfail`.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let ``xfail`` expect a failure of the test, but not its refusal."""
    report = yield
    is_refused = item.stash.get(_IS_REFUSED, False)
    item.stash[_IS_REFUSED] = False  # the test may run again
    if is_refused and hasattr(report, "wasxfail"):
        del report.wasxfail
        report.outcome = "failed"
    return report


def deciding_mark(test: pytest.Function) -> pytest.Mark | None:
    """The mark ``virtual_time`` that chooses the loops: the closest one."""
    found = list(test.iter_markers_with_node("virtual_time"))
    closest = [mark for node, mark in found if node is found[0][0]]
    if not closest:
        return None
    # On a class, pytest lists the marks of the base classes first.
    return closest[-1 if isinstance(found[0][0], pytest.Class) else 0]


def marks_on(obj: Any) -> set[str]:
    """The names of the marks on a function, a class or a module itself."""
    marks: Any = getattr(obj, "pytestmark", ())
    single = isinstance(marks, pytest.Mark | pytest.MarkDecorator)
    return {mark.name for mark in ([marks] if single else marks)}


def ignored_marks(report: pytest.CollectReport) -> set[str]:
    """Refusals of packages with our mark in `__init__.py`, where pytest ignores it.

    Their modules may have taken the mark from there, and are then right.
    """
    found: set[str] = set()
    for node in report.result or ():
        if isinstance(node, pytest.Class | pytest.Function):
            module: Any = node.module
            name, _, _ = module.__name__.rpartition(".")
            package = sys.modules.get(name)
            is_marked = node.get_closest_marker("virtual_time") is not None
            if not is_marked and "virtual_time" in marks_on(package):
                found.add(f"{getattr(package, '__file__', name)}: {IGNORED}")
    return found


def as_written(obj: Any) -> Any:
    """The test function itself: Hypothesis puts another one around it."""
    return obj.hypothesis.inner_test if hasattr(obj, "hypothesis") else obj


def plain_item(item: Any) -> Any:
    """An item of pytest-asyncio as an ordinary item of pytest.

    In auto mode, pytest-asyncio replaces the item of every async test by one that runs
    the test on a loop of its own, in real time.
    """
    if type(item).__module__.partition(".")[0] != "pytest_asyncio":
        return item
    kind: Any = pytest.Function
    plain = kind.from_parent(
        item.parent,
        name=item.name,
        callspec=getattr(item, "callspec", None),
        callobj=item.obj,
        fixtureinfo=item._fixtureinfo,
        keywords=item.keywords,
        originalname=item.originalname,
    )
    plain.own_markers[:] = [x for x in item.own_markers if x.name != "asyncio"]
    return plain


def drop_automatic_marks(item: pytest.Item) -> None:
    """Remove the marks of other plugins that nobody has written on the test itself.

    pytest-trio adds its mark to every async test if `trio_mode` is on, and the
    documentation of pytest-asyncio shows a hook for a `conftest.py` that does the same.
    """
    item.own_markers[:] = [x for x in item.own_markers if x.name not in _PLUGINS]


def reason_for_refusal(item: pytest.Item, has_virtual_loop: bool) -> str | None:
    """Why a test marked ``virtual_time`` cannot run in virtual time; None if it can."""
    obj = getattr(item, "obj", None)
    if (mark := _other_mark(item, obj)) is not None:
        return (
            f"marked virtual_time and {mark}, so {_PLUGINS[mark]} would run it in "
            f"real time: remove the mark {mark!r} from the test, its class or its module"
        )
    if has_virtual_loop:
        return None
    test = as_written(obj)
    if not iscoroutinefunction(test) and not isasyncgenfunction(test):
        if "virtual_time" not in marks_on(obj):
            return None  # the mark is on the class or the module, for its async tests
        return (
            "marked virtual_time, but not async, so no loop runs it: remove the "
            "mark, write 'async def', or call within.testing.run(..., "
            "virtual_time=True) in the test"
        )
    if isinstance(getattr(item, "instance", None), TestCase) or _is_unittest(item):
        return (
            "marked virtual_time, but unittest runs it on a loop of its own, in real "
            "time: write it as a function, or in a class that is not a TestCase"
        )
    if not item.config.pluginmanager.hasplugin("anyio"):
        return (
            "marked virtual_time, but anyio's pytest plugin, which would run it, is "
            "disabled: enable it (no '-p no:anyio')"
        )
    if "virtual_time" not in _marks_in_the_source(item, obj):
        return (
            "marked virtual_time only after its loops were chosen (by a hook, by a "
            "fixture, or for one parameter): put the mark on the test, its class or "
            "its module"
        )
    return (
        "marked virtual_time, but anyio's pytest plugin does not run it: write it as "
        "an 'async def' function or method that does not yield and is not static"
    )


def _is_unittest(item: pytest.Item) -> bool:
    kind = getattr(item.parent, "obj", None)
    return isinstance(kind, type) and issubclass(kind, TestCase)


def _other_mark(item: pytest.Item, obj: Any) -> str | None:
    """The mark of another plugin, unless that plugin has added it by itself."""
    by_hand = _marks_in_the_source(item, obj)
    found = [name for name in _PLUGINS if name in by_hand]
    return found[0] if found else None


def _marks_in_the_source(item: pytest.Item, obj: Any) -> set[str]:
    """The names of the marks on the test function, its class and its module."""
    found = marks_on(obj)
    for node in item.listchain()[:-1]:
        found |= {mark.name for mark in node.own_markers}
    return found


def unexpected_runner(item: pytest.Item) -> str:
    """The message for a test in virtual time that another plugin has taken over."""
    kind = type(item)
    if kind.__module__.partition(".")[0] == "pytest_asyncio":
        runner = _PLUGINS["asyncio"]
    elif item.get_closest_marker("trio") is not None:
        runner = _PLUGINS["trio"]
    elif kind is pytest.Function:
        runner = "a hook of another plugin or of a conftest.py"
    else:
        runner = f"{kind.__module__}.{kind.__qualname__}"
    if item.get_closest_marker("virtual_time") is None:
        return (
            f"{item.nodeid}: its 'anyio_backend' is in virtual time, but {runner} is "
            "about to run it in real time: mark it with virtual_time"
        )
    return (
        f"{item.nodeid}: marked virtual_time, but {runner} is about to run it in real "
        "time: disable the plugin that takes over async tests for this one, or run the "
        "test with within.testing.run(..., virtual_time=True)"
    )
