"""Every program that Hypothesis draws does on each loop what the reference allows.

`test_model_reference.py` tests the reference itself.
"""

from __future__ import annotations

import traceback
from typing import Any

from hypothesis import example, given, reject
from hypothesis.strategies import SearchStrategy
from model_statements import block, scope

from within.testing import Deadlock, run
from within.testing.model import (
    Ask,
    Await,
    Cancel,
    CancelGroup,
    CancelTask,
    Fail,
    Finally,
    Group,
    Program,
    Reschedule,
    Scope,
    Set,
    Sleep,
    Swallow,
    Unanswerable,
    Undecided,
    Wait,
    programs,
    programs_of_shared_tasks,
)


def check_against_reference(program: Program, backend: str) -> None:
    try:
        next(program.outcomes(backend))
        try:
            trace = run(program.run, backend=backend, virtual_time=True)
        except Deadlock:
            for _ in program.outcomes(backend):
                pass  # some order of simultaneous events must be Unanswerable
            raise
        allowed = program.allows(trace, backend)
    except (Unanswerable, Undecided):
        reject()
    except RecursionError as error:
        if not is_raised_by_closing_the_loop(error):
            raise
        reject()
    assert allowed, f"{trace} is not among {list(program.outcomes(backend))}"


def is_raised_by_closing_the_loop(error: RecursionError) -> bool:
    """Whether the program left tasks that wait in a circle, which asyncio cannot cancel."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_code.co_qualname == "_cancel_all_tasks"


# Two blocks expire before the task suspends. On asyncio the task is cancelled once, for
# both of them, and not again when a shield in its clean-up ends.
TWO_BLOCKS_EXPIRE_BEFORE_A_SUSPENSION = Program(
    (
        block(
            None,
            block(
                None,
                Cancel(0),
                Finally(
                    (
                        Finally(
                            (Cancel(1), Sleep(0)),
                            (block(None, Sleep(1), shield=True),),
                        ),
                    ),
                    (Sleep(1),),
                ),
                quiet=False,
            ),
            quiet=False,
        ),
    )
)
# A scope of anyio and a block inside it are cancelled in one pass of the loop. The
# message of the cancellation is ours, and yet the scope must recognise it (T6).
SCOPE_AND_BLOCK_IN_ONE_PASS = Program(
    (scope(-1 / 64, Cancel(0), block(None, Sleep(0))),)
)
# A child task inside a shield of anyio that its parent entered in a block (T17).
CHILD_IN_A_SHIELD = Program(
    (block(5, scope(None, Group(((Ask(),),), ()), shield=True)),)
)
# The same task cancels a group and then sets an event, which comes too late.
CANCELLED_THEN_SET = Program(
    (Group(((CancelGroup(0), Set(0)),), (block(None, Wait(0)), Sleep(0))),)
)
# Cancelling a scope a second time does not cancel its tasks a second time.
CANCELLED_TWICE = Program(
    (Group(((CancelGroup(0), Set(0)),), (CancelGroup(0), Wait(0))),)
)
# The cancellations of a group and of the block around it arrive as one, at the end of
# the group.
ARRIVE_AS_ONE = Program(
    (block(None, Group(((CancelGroup(0), Cancel(0)),), ()), quiet=False),)
)
# A `Task.cancel()` from before the block arrives, and is swallowed, in the block.
ARRIVES_INSIDE = Program(
    (CancelTask(), block(1, Swallow((Sleep(0),)), Sleep(2), quiet=False))
)
# An expired block outside a shield of anyio does not keep the block inside from being
# cancelled, and is not forgotten after that (T15).
ONE_IS_SHIELDED = Program(
    (block(0.5, scope(None, block(1, Sleep(3)), shield=True), Sleep(1)),)
)
# gather() raises our cancellation of a task that it shares with another block, and is
# not cancelled itself. So its waiter had not been cancelled either.
GATHER_RAISES_OURS = Program(
    (block(0, Await((1,), "gather"), Sleep(4)),),
    shared=(
        (block(0, Await((1,), "gather"), Sleep(4)), Fail()),
        (Sleep(2),),
    ),
)
# A `Task.cancel()` from before the block that has not been delivered yet (T6).
CANCELLED_BEFORE = Program((CancelTask(), Cancel(0), block(None, Sleep(0))))
# A `Task.cancel()` arrives in a block that has expired, in a group that has been
# cancelled. It is not the group's, which would catch it (T6).
NOT_FOR_THE_GROUP = Program(
    (
        Cancel(0),
        CancelTask(),
        Group(((CancelGroup(0),),), (block(None, Sleep(2)),)),
    )
)
# A level-triggered block cancels its task again when the task has swallowed a
# cancellation (T16).
SWALLOWED_ONCE = Program(
    (block(1, Swallow((Sleep(2),)), Sleep(4)),),
    level=True,
)
# A `Task.cancel()` arrives together with the first cancellation of a level-triggered
# block. It wins, although both are swallowed (T6).
SWALLOWED_TOGETHER = Program(
    (
        CancelTask(),
        Cancel(0),
        block(None, Swallow((Sleep(2),)), Sleep(2), quiet=False),
    ),
    level=True,
)
# One that is swallowed later is over (T22).
SWALLOWED_LATER = Program(
    (
        Cancel(0),
        block(
            None,
            Swallow((Sleep(2),)),
            CancelTask(),
            Swallow((Sleep(2),)),
            Sleep(2),
            quiet=False,
        ),
    ),
    level=True,
)
# A task cancels the block of its waiter, and with that itself, and ends. Each of its
# waiters then gets our message, and knows our cancellation by it.
CANCELS_ITSELF_LAST = Program(
    (Reschedule(0, None),),
    shared=(
        (Sleep(0), Cancel(0)),
        (
            Finally(
                (block(0, Await((0,), "await"), quiet=False),),
                (block(0, Await((0,), "await"), quiet=False),),
            ),
        ),
    ),
)


def drawn(**options: Any) -> SearchStrategy[Program]:
    return programs(depth=3, **options)


@example(program=ONE_IS_SHIELDED)
@example(program=SCOPE_AND_BLOCK_IN_ONE_PASS)
@example(program=TWO_BLOCKS_EXPIRE_BEFORE_A_SUSPENSION)
@given(program=drawn(level=False, tasks=False))
def test_t1_t2_t3_t5_t6_t7_t11_t12_t14_t15_t17_on_asyncio(program: Program) -> None:
    check_against_reference(program, "asyncio")


@example(program=SWALLOWED_ONCE)
@given(program=drawn(level=True, tasks=False))
def test_t16_level_triggered_on_asyncio(program: Program) -> None:
    check_against_reference(program, "asyncio")


@example(program=ARRIVE_AS_ONE)
@example(program=CANCELLED_TWICE)
@example(program=CANCELLED_THEN_SET)
@example(program=CHILD_IN_A_SHIELD)
@given(program=drawn())
def test_t4_t19_with_tasks_on_asyncio(program: Program) -> None:
    check_against_reference(program, "asyncio")


@example(program=ARRIVES_INSIDE)
@example(program=CANCELLED_BEFORE)
@example(program=NOT_FOR_THE_GROUP)
@example(program=SWALLOWED_LATER)
@example(program=SWALLOWED_TOGETHER)
@given(program=drawn(native=True))
def test_t6_with_task_cancel_on_asyncio(program: Program) -> None:
    check_against_reference(program, "asyncio")


@example(program=CANCELS_ITSELF_LAST)
@example(program=GATHER_RAISES_OURS)
@given(program=programs_of_shared_tasks(depth=2))
def test_t4_t6_t7_t22_with_shared_tasks_on_asyncio(program: Program) -> None:
    check_against_reference(program, "asyncio")


@example(program=TWO_BLOCKS_EXPIRE_BEFORE_A_SUSPENSION)
@given(program=drawn(tasks=False))
def test_t1_t2_t3_t5_t6_t7_t11_t12_t14_t17_on_trio(program: Program) -> None:
    check_against_reference(program, "trio")


@example(program=CANCELLED_THEN_SET)
@given(program=drawn())
def test_t19_with_tasks_on_trio(program: Program) -> None:
    check_against_reference(program, "trio")


@given(program=drawn(level=True, tasks=False))
def test_t16_level_triggered_is_what_trio_does(program: Program) -> None:
    if any(isinstance(statement, Scope) for statement in program.statements()):
        reject()  # on asyncio a scope of anyio catches its own, even in a block
    # On trio a deadline comes before all other events of its instant.
    asyncio, trio = program.outcomes("asyncio"), program.outcomes("trio")
    assert next(trio) in list(asyncio)
    assert next(trio, None) is None
