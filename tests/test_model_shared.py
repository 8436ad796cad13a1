"""The reference says what the rules say of tasks that await one another on asyncio."""

from __future__ import annotations

from typing import Any

import pytest
from model_statements import block

from within.testing import run
from within.testing.model import (
    Await,
    Cancel,
    Catch,
    Fail,
    Finally,
    Program,
    Sleep,
    Swallow,
    TaskGroup,
    Unanswerable,
)


def ends(program: Program) -> dict[str, Any]:
    """For each task the time and the way of its end, which must be the only one."""
    found = [
        {name: trace[name][-1][1:] for name in trace}
        for trace in program.outcomes("asyncio")
    ]
    assert all(one == found[0] for one in found)
    trace = run(program.run, backend="asyncio", virtual_time=True)
    assert program.allows(trace, "asyncio")
    return found[0]


CANCELLED, DONE = (1.0, "Cancelled"), (9.0, "")
EXCEEDED = (1.0, "DeadlineExceeded(block_0)")


@pytest.mark.parametrize(
    ("way", "shared"),
    [("await", CANCELLED), ("gather", CANCELLED), ("shield", DONE), ("wait", DONE)],
)
def test_t4_a_limit_cancels_what_its_task_awaits_in_this_way(
    way: str, shared: Any
) -> None:
    waits = block(1, Await((0,), way), quiet=False)
    assert ends(Program((waits,), shared=[[Sleep(9)]])) == {
        "main": EXCEEDED,
        "task_0": shared,
    }


@pytest.mark.parametrize("way", ["await", "gather"])
def test_t4_each_of_two_waiters_gets_the_error_of_its_own_block(way: str) -> None:
    waits = block(1, Await((0,), way), quiet=False)
    assert ends(Program((waits,), shared=[[Sleep(9)], [waits]])) == {
        "main": (1.0, "DeadlineExceeded(block_1)"),
        "task_0": CANCELLED,
        "task_1": EXCEEDED,
    }


def test_t6_a_limit_is_foreign_to_the_blocks_of_the_task_that_is_awaited() -> None:
    inside = block(2, Finally((Sleep(9),), (Sleep(9),)))
    program = Program((block(1, Await((0,), "await")),), shared=[[inside, Sleep(9)]])
    assert ends(program) == {"main": (2.0, ""), "task_0": (2.0, "Cancelled")}


def test_t22_a_circle_is_broken_where_the_limit_is() -> None:
    shared = [[block(1, Await((1,), "await"))], [Await((0,), "await")]]
    assert ends(Program((), shared=shared)) == {
        "main": (0.0, ""),
        "task_0": (1.0, ""),
        "task_1": (1.0, ""),
    }


def test_t22_a_circle_that_a_cancellation_has_gone_through_is_broken_too() -> None:
    """The second task swallows it, and only then awaits the first one."""
    shared = [
        [block(2, Await((1,), "await"))],
        [Swallow((Sleep(9),)), Await((0,), "await")],
    ]
    program = Program((block(1, Await((0,), "await")),), shared=shared)
    assert ends(program) == {
        "main": (2.0, ""),
        "task_0": (2.0, ""),
        "task_1": (2.0, ""),
    }


def test_gather_passes_a_cancellation_on_that_a_task_has_swallowed() -> None:
    program = Program(
        (Catch((block(1, Await((0,), "gather"), quiet=False),)),),
        shared=[[Swallow((Sleep(9),)), Sleep(2)]],
    )
    assert ends(program) == {"main": (3.0, ""), "task_0": (3.0, "")}


GATHERED = block(0, Await((1, 0), "gather"), Sleep(4))


@pytest.mark.parametrize(
    "program",
    [
        # The group cancels its parent after a task has failed, and before gather()
        # knows of that. gather() then cancels the other task.
        Program(
            (TaskGroup(((Fail(),),), (Await((1, 0), "gather"),)),),
            shared=[[Await((1,), "gather")], [Fail()]],
        ),
        # The first gather() asks one of the tasks for our message, and the second one
        # asks the other.
        Program((GATHERED, GATHERED, Fail()), shared=[[Fail()], []]),
        # shield() of a task that has ended is the task itself, with our message.
        Program(
            (
                Catch((block(3, Await((0,), "await"), quiet=False),)),
                Cancel(1),
                Catch((block(3, Await((0,), "shield"), quiet=False),)),
            ),
            shared=[[Cancel(0)]],
        ),
    ],
)
def test_the_reference_knows_what_asyncio_does_with_a_task_that_has_ended(
    program: Program,
) -> None:
    trace = run(program.run, backend="asyncio", virtual_time=True)
    assert program.allows(trace, "asyncio")


def test_t22_a_group_that_fails_does_not_swallow_the_limit() -> None:
    fails = TaskGroup(((Finally((Sleep(9),), (Fail(),)),),), ())
    program = Program((block(1, Finally((fails,), ()), Sleep(9)),))
    assert ends(program)["main"] == (1.0, "group(ValueError)")


def test_a_child_that_fails_cancels_a_group_and_its_parent() -> None:
    group = TaskGroup(((Sleep(1), Fail()), (Sleep(9),)), (Sleep(9),))
    assert ends(Program((group,))) == {
        "main": (1.0, "group(ValueError)"),
        "task_0": (1.0, "ValueError"),
        "task_1": CANCELLED,
    }


def test_trio_has_no_counterpart() -> None:
    for program in (Program((), shared=[[]]), Program((TaskGroup((), ()),))):
        with pytest.raises(Unanswerable, match="trio has no"):
            next(program.outcomes("trio"))


def test_a_way_to_await_must_be_known() -> None:
    with pytest.raises(ValueError, match="'nowait'"):
        Program((Await((0,), "nowait"),))
