"""Which attributes of a class are public."""

from __future__ import annotations

from inspect import get_annotations, signature

import within
from within._core import Block


def public_attributes(kind: type[object]) -> set[str]:
    """The attributes that ``kind`` promises to its users.

    Of the state that `Timeout` shares with the backends, only the delay and the name are
    public.
    """
    if issubclass(kind, within.Timeout):
        classes = kind.__mro__[: kind.__mro__.index(Block)]
        public = set[str]().union(*map(_defined_in, classes))
        return public - _defined_in(Block) | {"delay", "name"}
    ours = [it for it in kind.__mro__ if it.__module__.startswith("within")]
    return set[str]().union(*map(_defined_in, ours))


def documented_attributes(kind: type[object]) -> set[str]:
    """The attributes that the reference has to explain at ``kind``.

    For an error or a result these are also the attributes that ``__init__`` sets, some
    of them in a class of Python's. What a public base class explains is not repeated.
    """
    found = public_attributes(kind)
    if issubclass(kind, BaseException | within.Completed):
        required = [
            parameter
            for parameter in signature(kind).parameters.values()
            if parameter.default is parameter.empty
        ]
        positional = ["" for one in required if one.kind is not one.KEYWORD_ONLY]
        named = {one.name: "" for one in required if one.kind is one.KEYWORD_ONLY}
        found |= set(vars(kind(*positional, **named)))
    for base in kind.__bases__:
        if base.__module__ == "within":
            found -= documented_attributes(base)
    return {name for name in found if not name.startswith("_")}


def _defined_in(kind: type[object]) -> set[str]:
    names = {*vars(kind), *get_annotations(kind)}
    return {name for name in names if not name.startswith("_")}
