"""Which values are accepted as a number of seconds (T5)."""

from __future__ import annotations

import math
from datetime import timedelta

Seconds = float | timedelta


def as_seconds(value: object, what: str) -> float:
    """Seconds as a float; errors call the argument ``what``."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(
            f"{what} is {value!r}: give seconds as an int or a float, a "
            "datetime.timedelta, or None for no limit"
        )
    try:
        seconds = float(value)
    except OverflowError:  # an int larger than the largest float
        seconds = math.inf if value > 0 else -math.inf
    if math.isnan(seconds):
        raise ValueError(f"{what} is NaN: give a number of seconds, or None")
    return seconds
