"""What a check of the setup tried, as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cdr.operations.check_setup import Tried
from local.look.lines import Styled, wrapped

_STYLES = {"fine": "green", "look": "yellow", "wrong": "bold red", "not tried": "dim"}
_PART, _RESULT = 14, 10


def lines_of(tried: Tried) -> Iterator[Styled]:
    """What was found, and below it, with an arrow, what to do about it."""
    head = f"{tried.part:<{_PART}}{tried.result:<{_RESULT}}"
    style = _STYLES[tried.result]
    for place, sentence in enumerate(tried.found or [""]):
        yield from ((line, style) for line in _lines(sentence, head if place == 0 else " " * len(head)))
    for sentence in tried.advice:
        yield from ((line, "bold") for line in _lines(f"→ {sentence}", " " * len(head)))


def _lines(sentence: str, start: str) -> list[str]:
    return wrapped(sentence, start) or [start.rstrip()]
