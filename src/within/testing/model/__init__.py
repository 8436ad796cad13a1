"""Random programs of blocks, and a reference that knows what they must do.

The rules of :mod:`within` are tested like this: Hypothesis draws a :class:`Program`,
the program runs on a loop in virtual time, and what each of its tasks did, line by
line, must be one of the :meth:`~Program.outcomes` of a reference that uses no event
loop. A program prints as Python code, so that a failing example reads like a bug
report.

With ``calls``, the programs also await your own functions in the middle of deadlines,
shields and cancellations of every kind. There is no reference for that, but you can
check your own invariants after each program. Deadlines are a few seconds long. A
function that takes about a second, in several steps, can be cancelled in each of
them, and 200 examples reach most steps:

>>> import anyio
>>> from hypothesis import given, reject, settings
>>> from within.testing import Deadlock, run
>>> from within.testing.model import programs
>>> async def use():
...     async with slots:
...         await anyio.sleep(1)
>>> @settings(max_examples=20, database=None)
... @given(program=programs(calls=[use]))
... def test_no_slot_is_lost(program):
...     async def main():
...         global slots
...         slots = anyio.Semaphore(1)
...         await program.run()
...         return slots.value
...     try:
...         assert run(main, backend="trio", virtual_time=True) == 1
...     except Deadlock:  # some programs wait forever
...         reject()
>>> test_no_slot_is_lost()

You can also write a program yourself:

>>> from within.testing.model import Block, Program, Sleep
>>> program = Program((Block(2.5, quiet=True, shield=False, body=(Sleep(4),)), Sleep(1)))
>>> print(program.source[program.source.index("async def"):])
async def main():
    async with within.move_on_after(2.5, name="block_0") as block_0:
        await anyio.sleep(4)
    await anyio.sleep(1)
<BLANKLINE>
>>> trace = run(program.run, backend="trio", virtual_time=True)
>>> trace["main"]
[(10, 2.5, '', True, True), (12, 3.5), ('end', 3.5, '')]
>>> trace in program.outcomes("trio")
True
"""

from ._program import Program, Trace, Undecided
from ._scopes import Unanswerable
from ._statements import (
    Ask,
    Await,
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
    Put,
    Reschedule,
    Scope,
    Set,
    Sleep,
    Statement,
    Swallow,
    TaskGroup,
    Wait,
)
from ._strategies import programs, programs_of_shared_tasks

__all__ = [
    "Ask",
    "Await",
    "Block",
    "Call",
    "Cancel",
    "CancelGroup",
    "CancelScope",
    "CancelTask",
    "Catch",
    "Fail",
    "Finally",
    "Get",
    "Group",
    "Program",
    "Put",
    "Reschedule",
    "Scope",
    "Set",
    "Sleep",
    "Statement",
    "Swallow",
    "TaskGroup",
    "Trace",
    "Unanswerable",
    "Undecided",
    "Wait",
    "programs",
    "programs_of_shared_tasks",
]
