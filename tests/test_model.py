"""Every program runs as the reference says, on every loop.

First the property, with programs that Hypothesis draws; then programs with the one
trace that the rules leave them, which hold the reference itself.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import example, given, reject
from hypothesis.strategies import SearchStrategy

from within.testing import Deadlock, run
from within.testing.model import (
    Ask,
    Block,
    Call,
    Cancel,
    CancelGroup,
    CancelScope,
    CancelTask,
    Catch,
    Fail,
    Finally,
    Get,
    Group,
    Program,
    Put,
    Reschedule,
    Scope,
    Set,
    Sleep,
    Statement,
    Swallow,
    Trace,
    Unanswerable,
    Undecided,
    Wait,
    programs,
)


def block(delay: float | None, *body: Statement, **options: bool) -> Block:
    return Block(delay, options.get("quiet", True), options.get("shield", False), body)


def scope(delay: float | None, *body: Statement, shield: bool = False) -> Scope:
    return Scope(delay, shield, body)


def runs_as_the_reference_says(program: Program, backend: str) -> None:
    try:
        next(program.outcomes(backend))
        trace = run(program.run, backend=backend, virtual_time=True)
        allowed = program.allows(trace, backend)
    except (Unanswerable, Undecided, Deadlock):
        reject()
    assert allowed, f"{trace} is none of {list(program.outcomes(backend))}"


# Two blocks expire before the task suspends: on asyncio it is cancelled once, for
# both, and not for the other one when a shield in its clean-up is lowered.
BOTH_IN_ONE_GO = Program(
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
# A scope of anyio's and a block in it are cancelled in one pass: the cancellation
# says that it is ours, and the scope must know it for its own all the same (T6).
BOTH_IN_ONE_PASS = Program((scope(-1 / 64, Cancel(0), block(None, Sleep(0))),))
# A child in a shield of anyio's that its parent has entered inside a block (T17).
CHILD_IN_A_SHIELD = Program(
    (block(5, scope(None, Group(((Ask(),),), ()), shield=True)),)
)
# An event that is set after the cancellation, by the same task, comes too late.
CANCELLED_THEN_SET = Program(
    (Group(((CancelGroup(0), Set(0)),), (block(None, Wait(0)), Sleep(0))),)
)
# A scope that is cancelled once more does not cancel anybody once more.
CANCELLED_TWICE = Program(
    (Group(((CancelGroup(0), Set(0)),), (CancelGroup(0), Wait(0))),)
)
# A task waits at the end of a group, and hears of the group's cancellation and of its
# block's as one.
HEARD_AS_ONE = Program(
    (block(None, Group(((CancelGroup(0), Cancel(0)),), ()), quiet=False),)
)
# A Task.cancel() from before the block is heard, and swallowed, in the block.
HEARD_INSIDE = Program(
    (CancelTask(), block(1, Swallow((Sleep(0),)), Sleep(2), quiet=False))
)
# What a shield of anyio's holds off must not hold off what is inside of it, and is not
# forgotten when that has struck (T15).
ONE_IS_HELD = Program(
    (block(0.5, scope(None, block(1, Sleep(3)), shield=True), Sleep(1)),)
)
# A Task.cancel() from before the block, of which the task has not heard yet (T6).
CANCELLED_BEFORE = Program((CancelTask(), Cancel(0), block(None, Sleep(0))))


def drawn(**options: Any) -> SearchStrategy[Program]:
    return programs(depth=3, **options)


@example(program=ONE_IS_HELD)
@example(program=BOTH_IN_ONE_PASS)
@example(program=BOTH_IN_ONE_GO)
@given(program=drawn(level=False, tasks=False))
def test_t1_t2_t3_t5_t6_t7_t11_t12_t14_t15_t17_on_asyncio(program: Program) -> None:
    runs_as_the_reference_says(program, "asyncio")


@given(program=drawn(level=True, tasks=False))
def test_t16_level_triggered_on_asyncio(program: Program) -> None:
    runs_as_the_reference_says(program, "asyncio")


@example(program=HEARD_AS_ONE)
@example(program=CANCELLED_TWICE)
@example(program=CANCELLED_THEN_SET)
@example(program=CHILD_IN_A_SHIELD)
@given(program=drawn())
def test_t4_t19_with_tasks_on_asyncio(program: Program) -> None:
    runs_as_the_reference_says(program, "asyncio")


@example(program=HEARD_INSIDE)
@example(program=CANCELLED_BEFORE)
@given(program=drawn(native=True))
def test_t6_with_task_cancel_on_asyncio(program: Program) -> None:
    runs_as_the_reference_says(program, "asyncio")


@example(program=BOTH_IN_ONE_GO)
@given(program=drawn(tasks=False))
def test_t1_t2_t3_t5_t6_t7_t11_t12_t14_t17_on_trio(program: Program) -> None:
    runs_as_the_reference_says(program, "trio")


@example(program=CANCELLED_THEN_SET)
@given(program=drawn())
def test_t19_with_tasks_on_trio(program: Program) -> None:
    runs_as_the_reference_says(program, "trio")


@given(program=drawn(level=True, tasks=False))
def test_t16_level_triggered_is_what_trio_does(program: Program) -> None:
    if any(isinstance(statement, Scope) for statement in program.statements()):
        reject()  # on asyncio anyio's scopes catch what is theirs, even in ours
    # On trio a deadline comes before what else falls on its instant.
    asyncio, trio = program.outcomes("asyncio"), program.outcomes("trio")
    assert next(trio) in list(asyncio)
    assert next(trio, None) is None


# -- the reference itself ------------------------------------------------------

# A program, and what the rules say of its main task: (line, time, what else).
# The lines are counted from the one below `async def main():`.
CASES: dict[str, tuple[tuple[Statement, ...], list[Any]]] = {
    "t2: in time": (
        (block(2.5, Sleep(4)), Sleep(1)),
        [(1, 2.5, "", True, True), (3, 3.5), ("end", 3.5, "")],
    ),
    "t3: done before its deadline": (
        (block(4.5, Sleep(4)),),
        [(2, 4.0), (1, 4.0, "", False, False), ("end", 4.0, "")],
    ),
    "t3: done late is done, where nothing suspends any more": (
        (block(None, Sleep(1), Cancel(0)),),
        [(2, 1.0), (3, 1.0), (1, 1.0, "", True, False), ("end", 1.0, "")],
    ),
    "t5: a deadline that has passed strikes at the first suspension": (
        (block(-1, Ask(), Sleep(0)),),
        [(2, 0.0, float("-inf")), (1, 0.0, "", True, True), ("end", 0.0, "")],
    ),
    "t6: a foreign cancellation leaves the block": (
        (scope(2, block(1, Swallow((Sleep(3),)), Sleep(3))),),
        {
            "asyncio": [
                (6, 1.0, "swallowed"),
                (2, 2.0, "Cancelled", True, False),
                (1, 2.0, "", True),
                ("end", 2.0, ""),
            ],
            "trio": [
                (6, 1.0, "swallowed"),
                (2, 1.0, "", True, True),
                (1, 1.0, "", False),
                ("end", 1.0, ""),
            ],
        },
    ),
    "t7: the outermost wins": (
        (block(1, block(0.5, Finally((Sleep(3),), (Sleep(2),))), quiet=False),),
        {
            "asyncio": [
                (2, 1.0, "Cancelled", True, False),
                (1, 1.0, "DeadlineExceeded(block_0)", True, True),
                ("end", 1.0, "DeadlineExceeded(block_0)"),
            ],
            "trio": [
                (2, 0.5, "", True, True),
                (1, 0.5, "", False, False),
                ("end", 0.5, ""),
            ],
        },
    ),
    "t9: other exceptions pass": (
        (block(1, Finally((Sleep(2),), (Fail(),))),),
        [(1, 1.0, "ValueError", True, False), ("end", 1.0, "ValueError")],
    ),
    "t10: which it was": (
        (Catch((block(1, block(5, Sleep(2)), quiet=False),)),),
        [
            (3, 1.0, "Cancelled", False, False),
            (2, 1.0, "DeadlineExceeded(block_0)", True, True),
            (6, 1.0, "caught", "block_0"),
            ("end", 1.0, ""),
        ],
    ),
    "t11: moved before and not after it has expired": (
        (
            block(
                1, Reschedule(0, 2), Sleep(1.5), Swallow((Sleep(9),)), Reschedule(0, 9)
            ),
        ),
        [
            (3, 0.0),
            (4, 1.5),
            (8, 2.0, "swallowed"),
            (1, 2.0, "", True, False),
            ("end", 2.0, ""),
        ],
    ),
    "t12: cancelled before it is entered": (
        (Cancel(0), block(None, Sleep(0))),
        [(2, 0.0), (3, 0.0, "", True, True), ("end", 0.0, "")],
    ),
    "t14: a shield holds off what is outside, and not itself": (
        (block(1, block(2, Sleep(3), shield=True), Ask(), Sleep(1)),),
        [
            (2, 2.0, "", True, True),
            (4, 2.0, float("-inf")),
            (1, 2.0, "", True, True),
            ("end", 2.0, ""),
        ],
    ),
    "t15: so does one of anyio's": (
        (block(1, scope(2, Sleep(3), shield=True), Sleep(1)),),
        [(2, 2.0, "", True), (1, 2.0, "", True, True), ("end", 2.0, "")],
    ),
    "t16: one cancellation, or level-triggered": (
        (block(1, Swallow((Sleep(3),)), Sleep(3)),),
        {
            "asyncio": [
                (5, 1.0, "swallowed"),
                (6, 4.0),
                (1, 4.0, "", True, False),
                ("end", 4.0, ""),
            ],
            "trio": [(5, 1.0, "swallowed"), (1, 1.0, "", True, True), ("end", 1.0, "")],
        },
    ),
    "t19: child tasks are cancelled with the block": (
        (block(1, Group(((Sleep(3),), (Sleep(0),)), (Sleep(5),))), Sleep(1)),
        [
            (6, 1.0, "Cancelled"),
            (1, 1.0, "", True, True),
            (10, 2.0),
            ("end", 2.0, ""),
        ],
    ),
    "t4: what has been put is got once": (
        (Group(((Put(0), Sleep(1), Put(0)),), (Get(0), Get(0))),),
        [(9, 0.0, 13), (10, 1.0, 15), (7, 1.0, ""), ("end", 1.0, "")],
    ),
    "an event wakes who waits for it": (
        (Group(((Sleep(2), Set(0)),), (Wait(0),)),),
        [(7, 2.0), (5, 2.0, ""), ("end", 2.0, "")],
    ),
    "a child that fails cancels the others and the host": (
        (Group(((Sleep(1), Fail()),), (Sleep(9),)),),
        [(4, 1.0, "group(ValueError)"), ("end", 1.0, "group(ValueError)")],
    ),
    "the scope of another task is cancelled at the instant of a deadline": (
        (Group(((Sleep(1), CancelScope(0)),), (scope(None, block(1, Sleep(2))),)),),
        [
            (8, 1.0, "Cancelled", True, False),
            (7, 1.0, "", True),
            (5, 1.0, ""),
            ("end", 1.0, ""),
        ],
    ),
}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("case", CASES)
def test_the_reference_says_what_the_rules_say(case: str, backend: str) -> None:
    body, expected = CASES[case]
    program = Program(body)
    wanted = expected[backend] if isinstance(expected, dict) else expected
    first = program.source.splitlines().index("async def main():") + 1
    outcomes = [_from_main(trace, first) for trace in program.outcomes(backend)]
    assert wanted in outcomes
    # Only what happens at one instant may go one way or the other.
    assert len(outcomes) == 1 or "instant" in case
    trace = run(program.run, backend=backend, virtual_time=True)
    assert _from_main(trace, first) in outcomes


def _from_main(trace: Trace, first: int) -> list[Any]:
    return [
        (line - first if isinstance(line, int) else line, *rest)
        for line, *rest in trace["main"]
    ]


def test_a_program_that_nobody_can_answer_for() -> None:
    for_ever = Program((Wait(0),))
    with pytest.raises(Unanswerable, match="hangs for ever"):
        next(for_ever.outcomes("trio"))
    with pytest.raises(Unanswerable, match=r"trio has no Task\.cancel"):
        next(Program((CancelTask(),)).outcomes("trio"))
    with pytest.raises(ValueError, match="'curio'"):
        next(for_ever.outcomes("curio"))


async def boom() -> None:
    raise ValueError("of the user's")


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (Sleep(1), TypeError, "tuple of statements"),
        ((1,), TypeError, "1 is no statement"),
        ((Sleep(float("nan")),), ValueError, "seconds is nan"),
        ((Sleep(-1),), ValueError, "seconds is -1"),
        ((block(float("inf")),), ValueError, "delay is inf"),
        ((Sleep("1"),), TypeError, "seconds is '1'"),
        ((Call(lambda: boom()),), ValueError, "by its name"),
    ],
)
def test_what_is_no_program_is_told_plainly(
    body: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Program(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_is_not_the_programs_own_leaves_it(backend: str) -> None:
    with pytest.raises(ValueError, match="of the user's"):
        run(Program([Call(boom)]).run, backend=backend)

    async def cancelled() -> bool:
        with anyio.move_on_after(1) as limit:
            await Program((Sleep(3),)).run()
        return limit.cancelled_caught

    assert run(cancelled, backend=backend, virtual_time=True)


def test_one_statement_may_stand_twice_and_numbers_are_written_in_full() -> None:
    nap = Sleep(1 / 3)
    program = Program([nap, block(1e6 + 0.1, nap)])
    trace = run(program.run, virtual_time=True)
    assert program.allows(trace, "asyncio")
    assert "sleep(0.3333333333333333)" in program.source


def test_a_program_prints_as_code_that_runs() -> None:
    program = Program((block(2.5, Sleep(4), shield=True), Sleep(1)), level=True)
    assert "within.move_on_after(2.5, shield=True, level=True, name=" in repr(program)
    names: dict[str, Any] = {}
    exec(program.source, names)
    run(names["main"], virtual_time=True)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_v4_code_of_others_is_checked_by_its_own_invariants(backend: str) -> None:
    calls = 0

    async def use() -> None:
        nonlocal calls
        calls += 1
        async with slots:
            await anyio.sleep(1)

    slots = anyio.Semaphore(1)

    @given(program=programs(calls=[use]))
    def no_slot_is_lost(program: Program) -> None:
        async def main() -> int:
            nonlocal slots
            slots = anyio.Semaphore(1)
            with anyio.move_on_after(1000):
                await program.run()
            return slots.value

        try:
            assert run(main, backend=backend, virtual_time=True) == 1
        except Deadlock:
            reject()

    no_slot_is_lost()
    assert calls > 10
