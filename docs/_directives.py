"""The directives of our pages: `timeline`, `architecture`, `benchmarks`.

Each one draws its picture from data while the site is built. The pictures are not
stored, so they cannot be out of date.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import _draw_architecture
import _draw_timeline
from _draw_benchmarks import Benchmarks
from _timeline import LOOPS, record
from _timeline_programs import PROGRAMS
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sphinx.application import Sphinx


class Timeline(SphinxDirective):
    """A program and a picture of its time axis.

    If the loops behave in the same way there is one picture, otherwise one for each.
    The axis ends at ``until`` (seconds), or later if the program takes longer.
    """

    required_arguments = 1
    option_spec = {"until": float}  # noqa: RUF012  # how docutils declares it

    def run(self) -> list[nodes.Node]:
        name: str = self.arguments[0]
        if name not in PROGRAMS:
            raise self.error(
                f"no such program: {name}; there are {', '.join(PROGRAMS)}"
            )
        self.env.note_reread()  # the program may have changed even if the page has not
        source = inspect.getsource(PROGRAMS[name])
        code = nodes.literal_block(source, source, language="python")
        return [code, *self._pictures(name)]

    def _pictures(self, name: str) -> Iterator[nodes.Node]:
        traces = {loop: record(PROGRAMS[name], loop) for loop in LOOPS}
        until = max(trace.end for trace in traces.values())
        until = self.options.get("until", until)
        first, *others = traces.values()
        if all(other == first for other in others):
            traces = {" and ".join(LOOPS): first}
        for loops, trace in traces.items():
            label = f"timeline-{name}-{loops.replace(' ', '-')}".replace("_", "-")
            markup = _draw_timeline.draw(trace, label, loops, until)
            yield figure(markup, f"On {loops}")


class Architecture(SphinxDirective):
    """The imports between our modules."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        return [figure(_draw_architecture.draw())]


def figure(markup: str, caption: str = "") -> nodes.Node:
    """A picture as part of the page; formats other than HTML leave it out."""
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    html = f'<figure class="drawn">{words}{markup}</figure>'
    return nodes.raw("", html, format="html")


def slug(heading: str) -> str:
    """The anchor of a heading; for a rule it is only the number."""
    words = re.findall(r"[\w-]+", heading.lower())
    return words[0] if re.match(r"[TPRV]\d+ ·", heading) else "-".join(words)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("timeline", Timeline)
    app.add_directive("architecture", Architecture)
    app.add_directive("benchmarks", Benchmarks)
    return {"parallel_read_safe": False}  # a program needs the interpreter to itself
