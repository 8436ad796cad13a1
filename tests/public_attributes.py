"""Which attributes of a class are public."""

from __future__ import annotations

from inspect import get_annotations

import within
from within._core import Block


def public_attributes(kind: type[object]) -> set[str]:
    """The attributes that ``kind`` promises to its users.

    Of the state that `Timeout` shares with the backends, only the name is public.
    """
    if issubclass(kind, within.Timeout):
        classes = kind.__mro__[: kind.__mro__.index(Block)]
        public = set[str]().union(*map(_defined_in, classes))
        return public - _defined_in(Block) | {"name"}
    ours = [it for it in kind.__mro__ if it.__module__.startswith("within")]
    return set[str]().union(*map(_defined_in, ours))


def _defined_in(kind: type[object]) -> set[str]:
    names = {*vars(kind), *get_annotations(kind)}
    return {name for name in names if not name.startswith("_")}
