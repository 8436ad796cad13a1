"""T20: loops in several threads at once, with limits, children and the collector."""

from __future__ import annotations

import pytest
from children import FINDS_MEMBERS
from many_threads import LOOPS, stress

pytestmark = pytest.mark.skipif(not FINDS_MEMBERS, reason="asks /proc what is left")


def test_t20_threads_with_loops_limits_and_children_at_once() -> None:
    assert stress(threads=3, limits=LOOPS * 25, children=LOOPS * 4) == []
