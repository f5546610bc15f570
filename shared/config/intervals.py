"""How often the timers fire, read from the file without loading the types of all settings: the host asks at its start.

What is written in an uncommon way is not judged here: then the settings themselves must tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from shared.config.spans import span_of
from shared.config.variables import KeyPath, fill_in
from shared.config.written import ENVIRONMENT
from shared.config.yaml_text import Plain


@dataclass(frozen=True, slots=True)
class Whole:
    """What a whole number is by default, and what it may be."""

    usual: int
    least: int
    most: int


POLL_SECONDS = Whole(30, 5, 3600)
CHECK_MINUTES = Whole(5, 1, 60)
RECONCILE_EVERY = timedelta(days=1)

Every = timedelta | Literal["never"]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Between two polls, two looks at the call groups, and two reconciliations."""

    poll_seconds: int
    check_minutes: int
    reconcile_every: Every


class Uncommon(Exception):
    """It may be valid or not: only the settings can tell."""


def intervals_in(written: Plain, environment: Mapping[str, str]) -> Intervals:
    """:raises Uncommon: one of them is not written as usual, or is wrong"""
    every = _text_at(written, ("reconcile", "every"), environment)
    try:
        return Intervals(
            _number(_text_at(written, ("3cx", "polling_interval_seconds"), environment), POLL_SECONDS),
            _number(_text_at(written, ("call_groups", "alert_check_interval_minutes"), environment), CHECK_MINUTES),
            RECONCILE_EVERY if every is None else every_of(every),
        )
    except ValueError:
        raise Uncommon from None


def every_of(text: str) -> Every:
    """:raises ValueError: it is none, or not within an hour and a day"""
    if text == "never":
        return "never"
    span = span_of(text)
    if not timedelta(hours=1) <= span <= timedelta(days=1):
        raise ValueError("is not within 1 hour and 1 day")
    return span


def _number(text: str | None, limits: Whole) -> int:
    if text is None:
        return limits.usual
    if not re.fullmatch("[1-9][0-9]{0,4}", text) or not limits.least <= int(text) <= limits.most:
        raise ValueError("is no such number")
    return int(text)


def _text_at(written: Plain, path: KeyPath, environment: Mapping[str, str]) -> str | None:
    """The value at a path, its variables filled in; in place of none, that of the environment."""
    node = written
    for key in path:
        if node is not None and not isinstance(node, dict):
            raise Uncommon
        node = node.get(key) if node is not None else None
    filled = fill_in(node, environment, lambda _: False)
    if filled.refused or isinstance(filled.data, dict | list):
        raise Uncommon
    return filled.data or environment.get(ENVIRONMENT.get(path, "")) or None
