"""A call that is cut off while it goes on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from local.phone_system.stage import Row

A_MOMENT = timedelta(milliseconds=1)


def cut_off(legs: Sequence[Row], at: datetime) -> list[Row]:
    """The legs that there are if everybody hangs up ``at`` this moment. What has ended before stays as it is, and if it
    goes on in a leg that is just about to begin, that one begins."""
    named = {leg["continued_in_cdr_id"] for leg in legs if leg["cdr_ended_at"] <= at}
    return [
        leg if leg["cdr_ended_at"] <= at else _hung_up(leg, at)
        for leg in legs
        if leg["cdr_started_at"] <= at or leg["cdr_id"] in named
    ]


def _hung_up(leg: Row, at: datetime) -> Row:
    is_answered = leg["cdr_answered_at"] is not None and leg["cdr_answered_at"] <= at
    return leg | {
        "cdr_answered_at": leg["cdr_answered_at"] if is_answered else None,
        "cdr_ended_at": max(at, leg["cdr_started_at"] + A_MOMENT),
        "continued_in_cdr_id": None,
        "termination_reason": "src_participant_terminated" if is_answered else "cancelled",
        "termination_reason_details": None if is_answered else "terminated_by_originator",
    }
