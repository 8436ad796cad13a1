"""A ``try`` that begins with the very first instruction of a function (T23).

CPython runs signal handlers in the first instruction of a function, RESUME, which lies
before any ``try``. An exception that a handler raises there would leave a block open. But
CPython looks up RESUME in the function's exception table, as it does for any other
instruction, and the table can say that the first ``try`` begins there. See "Exception
handling" in CPython's InternalDocs for the format.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType

F = TypeVar("F", bound=Callable[..., object])

# The first bit marks the first byte of an entry. A byte with the second bit is followed
# by more bytes of the same number.
_BEGIN, _MORE = 0x80, 0x40


def try_begins_at_once(function: F) -> F:
    """Extend the ``try`` that is the first statement of ``function`` to its beginning.

    On a Python that compiles functions differently, this changes nothing.
    """
    plain: FunctionType = function  # type: ignore[assignment]
    code = plain.__code__
    table: bytes = getattr(code, "co_exceptiontable", b"")
    start, _, target, depth = (*islice(_numbers(table), 4), -1, -1, -1, -1)[:4]
    # In units of two bytes. RESUME is the first, its cache (3.15) and a NOP may follow.
    if start in (1, 2, 3) and depth in (0, 1):
        # One more entry, for what comes before the `try`: from 0 on, `start` units long.
        entry = bytes([_BEGIN, start, *_encoded(target), depth])
        plain.__code__ = code.replace(co_exceptiontable=entry + table)
    return function


def _numbers(table: bytes) -> Iterator[int]:
    number = 0
    for byte in table:
        number = number << 6 | byte & (_MORE - 1)
        if not byte & _MORE:
            yield number
            number = 0


def _encoded(number: int) -> list[int]:
    encoded = [number & (_MORE - 1)]
    while number := number >> 6:
        encoded.insert(0, number & (_MORE - 1) | _MORE)
    return encoded
