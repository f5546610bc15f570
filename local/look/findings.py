"""What was tried as lines of at most 100 columns. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from cdr.operations.check_setup import Tried

COLUMNS = 100
_STYLES = {"fine": "green", "look": "yellow", "wrong": "bold red", "not tried": "dim"}
_PART, _RESULT = 14, 10

Styled = tuple[str, str]


def lines_of(tried: Tried) -> Iterator[Styled]:
    """What was found, and below it, with an arrow, what to do about it."""
    head = f"{tried.part:<{_PART}}{tried.result:<{_RESULT}}"
    style = _STYLES[tried.result]
    for place, sentence in enumerate(tried.found or [""]):
        yield from ((line, style) for line in _wrapped(sentence, head if place == 0 else " " * len(head)))
    for sentence in tried.advice:
        yield from ((line, "bold") for line in _wrapped(f"→ {sentence}", " " * len(head)))


def _wrapped(sentence: str, start: str) -> list[str]:
    plain = "".join(char if char.isprintable() else "?" for char in sentence)
    indent = " " * len(start)
    return textwrap.wrap(plain, COLUMNS, initial_indent=start, subsequent_indent=indent) or [start.rstrip()]
