"""Waiting for a condition, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 0.2


def wait_until(
    condition: Callable[[], Result], seconds: float = 60.0, *, longest_pause_s: float = LONGEST_PAUSE_S
) -> Result:
    """The first result that is true. The limit is for what never happens: far beyond what a busy machine needs.

    The longer it has waited, the more rarely it looks: a look may cost as much as what it waits for. A short
    ``longest_pause_s`` is for what must not be over before somebody looks.
    """
    began = time.monotonic()
    while not (result := condition()):
        waited = time.monotonic() - began
        assert waited < seconds, "waited in vain"
        time.sleep(min(SHORTEST_PAUSE_S + waited / 20, longest_pause_s))
    return result
