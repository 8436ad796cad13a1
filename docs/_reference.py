"""The reference: types as a user meets them, and links to the rules.

tests/test_pictures.py checks that every public name and attribute has an entry.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

RULE = re.compile(r"\(([TPRV]\d+)\)")
OPENED = re.compile(r"(?:\w+\.)*Coroutine\[Any, Any, (.*)\]")
PRIVATE = re.compile(r"~?(?:\w+\.)*_Quiet\b")


def link_rules(app: Sphinx, *what: Any) -> None:
    """Turn the number of a rule in a docstring into a link to the rule."""
    lines: list[str] = what[-1]
    lines[:] = [RULE.sub(_as_link, line) for line in lines]


def _as_link(found: re.Match[str]) -> str:
    return f"(:ref:`{found[1]} <{found[1].lower()}>`)"


def public_types(app: Sphinx, *what: Any) -> tuple[str | None, str | None]:
    """Show a function with the type that its callers meet.

    The difference between `_Quiet` and `Timeout` only matters to type checkers. What a
    function decorated with `opening` returns can be awaited and also entered.
    """
    signature, returned = what[-2:]
    if returned:
        returned = PRIVATE.sub("Timeout", returned)
        returned = OPENED.sub(r"Opening[\1]", returned).replace("[Any, Any, Any]", "")
    return signature, returned


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", link_rules)
    app.connect("autodoc-process-signature", public_types)
    return {"parallel_read_safe": True}
