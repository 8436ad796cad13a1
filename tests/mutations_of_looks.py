"""Mutations of the look at a task: what it waits for, and what a cancellation reaches."""

from __future__ import annotations

from mutation_type import STRIKES, WAITING, Mutation

LOOKS = [
    Mutation(
        "T4: cancel a task whose waiter is done",
        WAITING,
        "return 0 if brings_nothing(waiter) else 1",
        "return 0",
    ),
    Mutation(
        "T4: keep a result only while the task itself waits for it",
        WAITING,
        "return 0 if self._brings_nothing(future) else 1",
        "return 0",
    ),
    Mutation(
        "T4: let every future that is done bring a result",
        WAITING,
        "return 0 if self._brings_nothing(future) else 1",
        "return 1",
    ),
    Mutation(
        "T4: lose a result behind a task",
        WAITING,
        "            behind = self.into(future)\n",
        "            behind = 0\n",
    ),
    Mutation(
        "T4: give a chain of tasks no more time than one task",
        WAITING,
        "return passes and passes + 1",
        "return passes",
    ),
    Mutation(
        "T4: lose a result behind gather()",
        WAITING,
        "return self._until_gathered(children)",
        "return 0",
    ),
    Mutation(
        "T4: let gather() need all results where an exception is enough",
        WAITING,
        "return self._until_gathered(children)",
        "return self._until_all(children)",
    ),
    Mutation(
        "T4: take the cancellation of a shared task behind gather() for a result",
        STRIKES,
        "return is_cancelled and any(map(self.was_cancelled_by_us, children))",
        "return False",
    ),
    Mutation(
        "T4: lose a result behind shield()",
        WAITING,
        "if type(waiter) is not asyncio.Future or _shielded(waiter) is not None:",
        "if type(waiter) is not asyncio.Future:",
    ),
    Mutation(
        "T4: lose a result behind a shield() in another future",
        WAITING,
        "return self._until(inner)",
        "return 0",
    ),
    Mutation(
        "T4: lose a result behind a TaskGroup",
        WAITING,
        'return self._until_all(getattr(frame.f_locals["self"], "_tasks", ()))',
        "return 0",
    ),
    Mutation(
        "T4: lose a result behind a TaskGroup of anyio",
        WAITING,
        '("TaskGroup.__aexit__", "TaskGroup._aexit")',
        '("TaskGroup._aexit",)',
    ),
    Mutation(
        "T4: lose a result behind wait()",
        WAITING,
        'return self._until_some(values["fs"], values["return_when"])',
        "return 0",
    ),
    Mutation(
        "T4: let wait() need all results where the first is enough",
        WAITING,
        "if return_when == asyncio.FIRST_COMPLETED:",
        "if False:",
    ),
    Mutation(
        "T4: let wait() bring nothing if a deadline has cancelled its task",
        WAITING,
        "[1 if future.done() else self._until(future) for",
        "[self._until(future) for",
    ),
    Mutation(
        "T4: let wait() need all results where an exception is enough",
        WAITING,
        "if return_when == asyncio.FIRST_EXCEPTION and any(map(_has_failed, futures)):",
        "if False:",
    ),
    Mutation(
        "T4: lose a result behind wait_for()",
        WAITING,
        'return self._until(frame.f_locals["fut"])',
        "return 0",
        only_before=(3, 12),
    ),
    Mutation(
        "T4: wait for gather() although one of its results is not on its way",
        WAITING,
        "return max(passes, default=0) if all(passes) else 0",
        "return max(passes, default=0)",
    ),
    Mutation(
        "T2: take any class called TaskGroup for one of asyncio or anyio",
        WAITING,
        'frame.f_globals.get("__name__") in _GROUP_MODULES',
        "True",
    ),
    Mutation(
        "T22: look once for each way to a task that is awaited",
        WAITING,
        "if (known := self._known.get(id(future))) is not None:\n"
        "            return known\n",
        "known = 0\n",
    ),
    Mutation(
        "T22: take a circle of tasks for a chain",
        WAITING,
        "            is_circle = True\n",
        "            pass\n",
    ),
    Mutation(
        "T22: take two ways to one task for a circle",
        WAITING,
        "            on_path.discard(id(future))\n",
        "",
    ),
    Mutation(
        "T8: cancel a task below which an eager task runs",
        WAITING,
        'return getattr(task.get_coro(), "cr_running", False) is True',
        "return False",
    ),
    Mutation(
        "T22: try again to cancel a waiter whose cancel() fails",
        WAITING,
        "instead: Future = task.get_loop().create_future()",
        "instead: Future = waiter",
    ),
]
