"""The programs whose timelines the page on semantics shows, as a user writes them.

`within`, `sleep` and `compute` come from `_timeline`, which records what they do in
virtual time.
"""

from __future__ import annotations

from _timeline import Cancelled, compute, now, sleep, within


async def nested() -> None:
    with within.move_on_after(4, name="outer"):
        with within.move_on_after(1.5, name="inner"):
            await sleep(5)
        await sleep(5)


async def both_expired() -> None:
    with within.move_on_after(2, name="outer"):
        with within.move_on_after(1, name="inner"):
            compute(3)
            await sleep(1)
        await sleep(1)


async def done_is_done() -> None:
    with within.timeout(2, name="limit"):
        await sleep(1)
        compute(3)


async def shielded() -> None:
    with within.move_on_after(2, name="outer"):
        with within.shield(5):
            await sleep(3.5)
        await sleep(2)


async def clean_up() -> None:
    with within.move_on_after(2, name="outer"):
        try:
            await sleep(5)
        finally:
            with within.shield(3):
                await sleep(1.5)


async def keep_alive() -> None:
    with within.move_on_after(2, name="idle") as idle:
        for pause in (1, 1.5, 1):
            await sleep(pause)
            idle.reschedule(now() + 2)
        await sleep(9)


async def swallowing() -> None:
    with within.move_on_after(1, name="limit"):
        for _ in range(2):
            try:
                await sleep(2)
            except Cancelled:
                pass


async def swallowing_level() -> None:
    with within.move_on_after(1, name="limit", level=True):
        for _ in range(2):
            try:
                await sleep(2)
            except Cancelled:
                pass


PROGRAMS = {
    program.__name__: program
    for program in (
        nested,
        both_expired,
        done_is_done,
        shielded,
        clean_up,
        keep_alive,
        swallowing,
        swallowing_level,
    )
}
