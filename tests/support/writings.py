"""When which row of a played call gets into a table: at a leg's start or end or its flow's end, late, twice, copied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal

from local.phone_system.stage import Row
from local.phone_system.v20 import PlayedCall

When = Literal["leg start", "leg end", "flow end"]
LATE = 0.1  # of the rows
_NOT_KNOWN_YET = ("cdr_ended_at", "termination_reason", "termination_reason_details", "continued_in_cdr_id")


@dataclass(frozen=True)
class Writing:
    """A row as it stands from a moment on. A phone system changes its row; a replica gets another copy of it."""

    at: datetime
    row: Row


def writings(
    call: PlayedCall,
    random: Random,
    when: When = "leg end",
    *,
    late: timedelta = timedelta(),
    doubled: float = 0.0,
    joined_late: timedelta = timedelta(),
    copied_every: timedelta | None = None,
) -> list[Writing]:
    """In order of time.

    :param late: one row in ten comes up to that much later
    :param doubled: this part of the rows comes once more, a minute later, as it is by then
    :param joined_late: up to so long after its rows a flow is told to belong to another one
    :param copied_every: rows come with the runs of a copying job, whose number they bear
    """
    written = [
        replace(each, at=each.at + random.random() * late) if late and random.random() < LATE else each
        for row in call.rows
        for each in _writings_of(row, call, when)
    ]
    if joined_late:
        told = joined_late * random.random()
        written = [part for each in written for part in _before_and_after(each, told)]
    written += [replace(each, at=each.at + timedelta(minutes=1)) for each in written if random.random() < doubled]
    written = [_as_it_stands(each, written) for each in written]
    if copied_every:
        written = [_copied(each, copied_every) for each in written]
    return sorted(written, key=lambda each: each.at)


def _writings_of(row: Row, call: PlayedCall, when: When) -> Iterator[Writing]:
    if when == "leg start":
        unknown = row | dict.fromkeys(_NOT_KNOWN_YET)
        yield Writing(row["cdr_started_at"], unknown | {"cdr_answered_at": None})
        if row["cdr_answered_at"] is not None:
            yield Writing(row["cdr_answered_at"], unknown)
    flow = [each for each in call.rows if each["call_history_id"] == row["call_history_id"]]
    yield Writing(max(each["cdr_ended_at"] for each in flow) if when == "flow end" else row["cdr_ended_at"], row)


def _before_and_after(told: Writing, delay: timedelta) -> Iterator[Writing]:
    own_flow = told.row["call_history_id"]
    if told.row["main_call_history_id"] == own_flow:
        yield told
    else:
        yield replace(told, row=told.row | {"main_call_history_id": own_flow})
        yield replace(told, at=told.at + delay)


def _as_it_stands(each: Writing, written: list[Writing]) -> Writing:
    """However late it comes, a row tells no less than has been written of its leg before."""
    so_far = [other.row for other in written if other.row["cdr_id"] == each.row["cdr_id"] and other.at <= each.at]
    furthest = max(so_far, key=lambda row: [row[time] is not None for time in ("cdr_ended_at", "cdr_answered_at")])
    joined = (row["main_call_history_id"] for row in so_far if row["main_call_history_id"] != row["call_history_id"])
    return replace(each, row=furthest | {"main_call_history_id": next(joined, furthest["main_call_history_id"])})


def _copied(original: Writing, every: timedelta) -> Writing:
    run = -(-original.at.timestamp() // every.total_seconds())
    return Writing(datetime.fromtimestamp(run * every.total_seconds(), UTC), original.row | {"offload_id": int(run)})
