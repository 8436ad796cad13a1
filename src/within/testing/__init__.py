"""Tools for testing code that runs on several loops.

With :func:`backends`, pytest runs one test on each loop, in real or in virtual time.
Outside pytest, :func:`run` runs a function on any of the loops. In virtual time a sleep
of an hour takes no time: the clock (:func:`virtual_clock`) moves only when every task
is blocked. A program in which nothing can wake any task raises :exc:`Deadlock` instead
of hanging.

The plugin for pytest adds the marker ``virtual_time``, which runs an async test on
asyncio and trio (or on the loops that it names), and the fixture ``virtual_clock``::

    @pytest.mark.virtual_time
    async def test_keep_alive(virtual_clock):
        with within.move_on_after(3600) as limit:
            await anyio.sleep(7200)
        assert limit.cancelled_caught
        assert virtual_clock.now == 3600

The marker works on async Hypothesis tests too. Call :func:`virtual_clock` in such a
test instead of asking for the fixture, which fails Hypothesis's health check, and
measure from what the clock shows at the start: if the test uses an async fixture, all
examples share one loop and its clock.

If a wait ends at the very instant of a deadline, either may win, depending on the
loop. Choose times that cannot coincide: odd multiples of 1/64 for deadlines and whole
seconds for everything else, which floating point represents exactly.

:mod:`within.testing.model` generates random programs, and predicts what each must do.
"""

from ._clock import VirtualClock
from ._deadlock import Deadlock
from ._runs import backends, run, virtual_clock

__all__ = ["Deadlock", "VirtualClock", "backends", "run", "virtual_clock"]
