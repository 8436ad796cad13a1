# pyright: reportUnnecessaryTypeIgnoreComment=true
"""`within.testing` and its model, as a type checker sees them.

This code never runs. Both checkers must report an error on each `type: ignore` line.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, assert_type

import pytest
from hypothesis import given

from within import testing
from within.testing import VirtualClock, model

# -- loops and clocks ----------------------------------------------------------

assert_type(testing.backends(), list[tuple[str, dict[str, Any]]])
assert_type(testing.backends(virtual_time=True, start=5.0)[0][0], str)
testing.backends(uvloop=False)
testing.backends(uvloop="yes")  # type: ignore[arg-type]


@pytest.fixture(params=testing.backends(virtual_time=True))
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


async def answer(question: str, patience: float) -> int:
    return 42


def outside_pytest() -> None:
    assert_type(testing.run(answer, "why", 1.0, backend="trio"), int)
    assert_type(testing.run(answer, "why", 1.0, virtual_time=True, start=5), int)
    testing.run(answer, "why")  # type: ignore[arg-type]
    testing.run(answer, 1.0, "why")  # type: ignore[arg-type]
    testing.run(len, "why")  # type: ignore[arg-type]


@pytest.mark.virtual_time
async def test_in_virtual_time(virtual_clock: VirtualClock) -> None:
    assert_type(virtual_clock.now, float)
    assert_type(virtual_clock.advance(60), None)
    virtual_clock.advance(timedelta(hours=1))
    virtual_clock.now = 5.0  # type: ignore[misc]
    assert_type(testing.virtual_clock(), testing.VirtualClock)


def a_deadlock_is_an_error() -> str:
    try:
        return str(testing.run(answer, "why", 1.0))
    except testing.Deadlock as deadlock:
        error: RuntimeError = deadlock
        return str(error)


# -- programs ------------------------------------------------------------------


async def mine() -> None: ...


every_statement: tuple[model.Statement, ...] = (
    model.Sleep(1),
    model.Wait(0),
    model.Set(0),
    model.Put(0),
    model.Get(0),
    model.Fail(),
    model.Ask(),
    model.Await((0,), "gather"),
    model.Reschedule(0, 2.5),
    model.Reschedule(0, None),
    model.Cancel(0),
    model.CancelScope(0),
    model.CancelGroup(0),
    model.CancelTask(),
    model.Block(2.5, quiet=True, shield=False, body=(model.Sleep(4),)),
    model.Scope(None, shield=True, body=()),
    model.Group(children=((model.Sleep(1),), ()), body=()),
    model.TaskGroup(children=((model.Sleep(1),), ()), body=()),
    model.Finally(body=(), cleanup=(model.Sleep(1),)),
    model.Swallow(()),
    model.Catch(()),
    model.Call(mine),
)


async def a_program() -> None:
    program = model.Program(every_statement, level=True)
    assert_type(program.source, str)
    assert_type(program.body, tuple[model.Statement, ...])
    assert_type(program.statements(), Iterator[model.Statement])
    trace = await program.run()
    assert_type(trace, model.Trace)
    assert_type(list(trace), list[str])
    try:
        for outcome in program.outcomes("trio"):
            assert_type(outcome, model.Trace)
    except (model.Undecided, model.Unanswerable) as error:
        assert_type(error, model.Undecided | model.Unanswerable)
    model.Sleep("1")  # type: ignore[arg-type]
    model.Program(["sleep"])  # type: ignore[list-item]
    model.Sleep(1).seconds = 2  # type: ignore[misc]


@given(program=model.programs(calls=[mine], level=None, depth=2, tasks=False))
def test_what_hypothesis_draws(program: model.Program) -> None:
    assert_type(testing.run(program.run, virtual_time=True), model.Trace)
    assert_type(model.programs(native=True).example(), model.Program)
    shared = model.programs_of_shared_tasks(depth=2)
    assert_type(shared.example(), model.Program)
