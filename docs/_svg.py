"""A minimal writer of SVG: elements, real text, and colours from the theme.

Pictures are part of the page, so that they take the colours of light and dark mode
from `_static/pictures.css`, and so that a screen reader finds their descriptions.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring


class Drawing:
    """A picture ``width`` units wide; it is scaled to the page.

    Args:
        label: Unique on the page; the ids of title and description start with it.
        title: A few words.
        description: What the picture shows, for readers who cannot see it.
    """

    def __init__(self, label: str, width: float, title: str, description: str) -> None:
        self._width = width
        self._root = Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "class": "picture",
                "role": "img",
                "aria-labelledby": f"{label}-title {label}-description",
            },
        )
        for kind, words in (("title", title), ("desc", description)):
            name = {"title": "title", "desc": "description"}[kind]
            SubElement(self._root, kind, {"id": f"{label}-{name}"}).text = words

    def add(
        self, kind: str, looks: str = "", words: str = "", **at: float | str
    ) -> None:
        """Add an element of class ``looks``; ``_`` in an attribute stands for ``-``."""
        attributes = {
            name.strip("_").replace("_", "-"): value
            if isinstance(value, str)
            else number(value)
            for name, value in at.items()
        }
        if looks:
            attributes["class"] = looks
        SubElement(self._root, kind, attributes).text = words or None

    def text(self, x: float, y: float, words: str, looks: str = "") -> None:
        self.add("text", looks, words, x=x, y=y)

    def line(self, x1: float, y1: float, x2: float, y2: float, looks: str) -> None:
        self.add("line", looks, x1=x1, y1=y1, x2=x2, y2=y2)

    def box(self, x: float, y: float, width: float, height: float, looks: str) -> None:
        self.add("rect", looks, x=x, y=y, width=width, height=height, rx=2)

    def path(self, steps: str, looks: str) -> None:
        self.add("path", looks, d=steps)

    def done(self, height: float) -> str:
        """The markup, for a picture of this height."""
        self._root.set("viewBox", f"0 0 {number(self._width)} {number(height)}")
        indent(self._root)
        return tostring(self._root, encoding="unicode")


def number(value: float) -> str:
    """A short text for a number, the same on every machine."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
