"""Which values are accepted as a number of seconds (T5)."""

from __future__ import annotations

import math
from datetime import timedelta

Seconds = float | timedelta


def as_seconds(value: object, what: str, *, or_none: bool = True) -> float:
    """Seconds as a float; errors call the argument ``what``.

    ``or_none`` tells whether the caller accepts None, which errors then mention.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        way_out = ", a datetime.timedelta, or None for no limit"
        raise TypeError(
            f"{what} is {value!r}: give seconds as an int or a float"
            + (way_out if or_none else " or a datetime.timedelta")
        )
    try:
        seconds = float(value)
    except OverflowError:  # an int larger than the largest float
        seconds = math.inf if value > 0 else -math.inf
    if math.isnan(seconds):
        way_out = "a number of seconds" + (", or None" if or_none else "")
        raise ValueError(f"{what} is NaN: give {way_out}")
    return seconds
