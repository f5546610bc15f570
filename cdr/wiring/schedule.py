"""From an interval to a timer's NCRONTAB expression. Pure."""

from __future__ import annotations

from datetime import timedelta


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


def of_hours(every: timedelta) -> str:
    """Six fields, for the longest interval not above ``every`` (1 to 24 hours) that divides a day; in a quiet minute of
    the hour, and of the night where it is but once a day."""
    most = every // timedelta(hours=1)
    hours = max(n for n in range(1, most + 1) if 24 % n == 0)  # hours of a day
    return "0 47 3 * * *" if hours == 24 else f"0 47 */{hours} * * *"  # noqa: PLR2004
