"""Calls of which a leg has just been read, but none is found by their id. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cdr.calls.call import CallRecord
from cdr.intake.time_order.table import Touched, flows_of
from shared.errors import SourceUnavailable

PROBLEM = "No leg is found by its call_history_id, which is written in another way than those of the other calls"


def unfindable(lost: Collection[str], page: Sequence[Touched]) -> Sequence[CallRecord]:
    """A record for each of these flows. Some that are written in a way of their own must not hold up the others.

    :raises SourceUnavailable: they are written as all are, so they were deleted meanwhile; or most are in that way
    """
    odd = {leg.flow for leg in page if not leg.is_usual}
    if deleted := set(lost) - odd:
        raise _not_found(min(deleted))
    if lost and len(odd) * 2 > len(flows_of(page)):
        raise _not_found(min(lost))
    ends = {leg.flow: leg.ended_at for leg in sorted(page, key=lambda leg: leg.ended_at)}
    return [
        CallRecord.from_row({"id": flow, "call_id": flow, "ended_at": ends[flow].isoformat(), "problem": PROBLEM})
        for flow in sorted(lost)
    ]


def _not_found(flow: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"no leg is found by the call_history_id {flow}, though one has just been read: has it been deleted, or does "
        "the column hold ids in a form that cannot be compared with?"
    )
