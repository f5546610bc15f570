"""From an interval to a timer's NCRONTAB expression. Pure."""

from __future__ import annotations


def ncrontab(interval_s: int) -> str:
    """Six fields, seconds first, for the longest interval not above ``interval_s`` (5 to 3600) that stays even.

    ``*/45`` in seconds would fire at :00 and :45: only divisors of a minute, or of an hour in whole minutes, will do.
    """
    if interval_s < 60:  # noqa: PLR2004 - seconds of a minute
        return f"*/{_divisor_of_60(interval_s)} * * * * *"
    minutes = _divisor_of_60(interval_s // 60)
    return f"0 */{minutes} * * * *" if minutes < 60 else "0 0 * * * *"  # noqa: PLR2004 - minutes of an hour


def _divisor_of_60(at_most: int) -> int:
    return max(n for n in range(1, at_most + 1) if 60 % n == 0)
