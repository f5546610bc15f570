"""Lines for a terminal, of at most 100 columns. Pure."""

from __future__ import annotations

import textwrap

COLUMNS = 100

Styled = tuple[str, str]
"""A line, and a style of rich."""


def printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def wrapped(text: str, start: str) -> list[str]:
    """The first line begins with ``start``, the others as far in; none where there is no text."""
    return textwrap.wrap(printable(text), COLUMNS, initial_indent=start, subsequent_indent=" " * len(start))
