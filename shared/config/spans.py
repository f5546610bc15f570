"""Spans of time as the file writes them: a number and a unit."""

from __future__ import annotations

import re
from datetime import timedelta

SPAN = "^([1-9][0-9]{0,5}) *(s|m|h|d|seconds?|minutes?|hours?|days?)$"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def span_of(text: str) -> timedelta:
    """:raises ValueError: it is none"""
    found = re.fullmatch(SPAN, text.strip())
    if found is None:
        raise ValueError("is no number above 0 with a unit")
    return int(found[1]) * timedelta(**{_UNITS[found[2][0]]: 1})
