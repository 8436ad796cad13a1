"""The reference says what the rules say, and a program says what it cannot be."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given, reject
from model_statements import block, scope

from within.testing import Deadlock, run
from within.testing.model import (
    Ask,
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
    Set,
    Sleep,
    Statement,
    Swallow,
    Trace,
    Unanswerable,
    Wait,
    programs,
)

# -- the reference itself ------------------------------------------------------

# Programs, and the trace of the main task by the rules: (line, time, results).
# Lines count from the one below `async def main():`.
CASES: dict[str, tuple[tuple[Statement, ...], list[Any]]] = {
    "t2: a deadline fires on time": (
        (block(2.5, Sleep(4)), Sleep(1)),
        [(1, 2.5, "", True, True), (3, 3.5), ("end", 3.5, "")],
    ),
    "t3: a block that ends before its deadline has not timed out": (
        (block(4.5, Sleep(4)),),
        [(2, 4.0), (1, 4.0, "", False, False), ("end", 4.0, "")],
    ),
    "t3: a block that ends late without suspending has not timed out": (
        (block(None, Sleep(1), Cancel(0)),),
        [(2, 1.0), (3, 1.0), (1, 1.0, "", True, False), ("end", 1.0, "")],
    ),
    "t5: a deadline in the past fires at the first suspension": (
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
    "t10: the error names its block": (
        (Catch((block(1, block(5, Sleep(2)), quiet=False),)),),
        [
            (3, 1.0, "Cancelled", False, False),
            (2, 1.0, "DeadlineExceeded(block_0)", True, True),
            (6, 1.0, "caught", "block_0"),
            ("end", 1.0, ""),
        ],
    ),
    "t11: a deadline can be moved until it has expired": (
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
    "t12: a block can be cancelled before it is entered": (
        (Cancel(0), block(None, Sleep(0))),
        [(2, 0.0), (3, 0.0, "", True, True), ("end", 0.0, "")],
    ),
    "t14: a shield holds off outer deadlines, and not its own": (
        (block(1, block(2, Sleep(3), shield=True), Ask(), Sleep(1)),),
        [
            (2, 2.0, "", True, True),
            (4, 2.0, float("-inf")),
            (1, 2.0, "", True, True),
            ("end", 2.0, ""),
        ],
    ),
    "t15: a shield of anyio does so too": (
        (block(1, scope(2, Sleep(3), shield=True), Sleep(1)),),
        [(2, 2.0, "", True), (1, 2.0, "", True, True), ("end", 2.0, "")],
    ),
    "t16: one cancellation on asyncio, level-triggered on trio": (
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
    "t4: an item that was put is received once": (
        (Group(((Put(0), Sleep(1), Put(0)),), (Get(0), Get(0))),),
        [(9, 0.0, 13), (10, 1.0, 15), (7, 1.0, ""), ("end", 1.0, "")],
    ),
    "an event wakes a task that waits for it": (
        (Group(((Sleep(2), Set(0)),), (Wait(0),)),),
        [(7, 2.0), (5, 2.0, ""), ("end", 2.0, "")],
    ),
    "a child that fails cancels its siblings and its parent": (
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
    # Only simultaneous events leave more than one outcome.
    assert len(outcomes) == 1 or "instant" in case
    trace = run(program.run, backend=backend, virtual_time=True)
    assert _from_main(trace, first) in outcomes


def _from_main(trace: Trace, first: int) -> list[Any]:
    return [
        (line - first if isinstance(line, int) else line, *rest)
        for line, *rest in trace["main"]
    ]


def test_a_program_without_an_answer_is_refused() -> None:
    endless = Program((Wait(0),))
    with pytest.raises(Unanswerable, match="hangs forever"):
        next(endless.outcomes("trio"))
    with pytest.raises(Unanswerable, match=r"trio has no Task\.cancel"):
        next(Program((CancelTask(),)).outcomes("trio"))
    with pytest.raises(ValueError, match="'curio'"):
        next(endless.outcomes("curio"))


def test_t6_a_cancel_that_anyio_takes_back_has_no_answer() -> None:
    """anyio 4.16 takes back a request of the main task that it never made.

    The child's group has cancelled the child, and hands that request on to the group of
    the main task, which is cancelled too.
    """

    def program(*child: Statement) -> Program:
        inner = Group(((Get(0),), child), (CancelTask(),))
        return Program((block(5, Group(((inner,),), ()), quiet=False),))

    with pytest.raises(Unanswerable, match="anyio takes back"):
        list(program(CancelGroup(0), Cancel(0)).outcomes("asyncio"))
    # Nothing is taken back where the child has not been cancelled.
    (trace,) = program(Cancel(0)).outcomes("asyncio")
    assert trace["main"][-1] == ("end", 0.0, "Cancelled")


async def boom() -> None:
    raise ValueError("from the user")


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (Sleep(1), TypeError, "tuple of statements"),
        ((1,), TypeError, "1 is not a statement"),
        ((Sleep(float("nan")),), ValueError, "seconds is nan"),
        ((Sleep(-1),), ValueError, "seconds is -1"),
        ((block(float("inf")),), ValueError, "delay is inf"),
        ((Sleep("1"),), TypeError, "seconds is '1'"),
        ((Call(lambda: boom()),), ValueError, "by its name"),
    ],
)
def test_an_invalid_program_is_refused_with_a_clear_error(
    body: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Program(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_foreign_exceptions_leave_the_program(backend: str) -> None:
    with pytest.raises(ValueError, match="from the user"):
        run(Program([Call(boom)]).run, backend=backend)

    async def cancelled() -> bool:
        with anyio.move_on_after(1) as limit:
            await Program((Sleep(3),)).run()
        return limit.cancelled_caught

    assert run(cancelled, backend=backend, virtual_time=True)


def test_a_statement_may_occur_twice_and_numbers_are_exact_in_the_source() -> None:
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
def test_v4_programs_check_the_invariants_of_user_code(backend: str) -> None:
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
