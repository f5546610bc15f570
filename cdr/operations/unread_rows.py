"""Rows that no poll will come by: what has no id, and what came where reading had been before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from cdr.intake.ports import MOST_NAMELESS, Unread
from cdr.operations.watch_memory import Kind, Remembered

RECONCILED_WITHIN = timedelta(days=1)


def with_unread(known: Remembered, unread: Unread, now: datetime) -> Remembered:
    """With what there is of such rows now. Where there are more than before in the same place, some have come late."""
    before, behind = known.behind, unread.behind
    is_same_place = before is not None and behind is not None and before.place == behind.place
    is_more = is_same_place and before is not None and behind is not None and behind.rows > before.rows
    late_at = now if is_more else known.late_at
    return replace(known, nameless=unread.nameless, behind=behind, late_at=late_at, counted_at=now)


def unread_rows(known: Remembered, now: datetime) -> Mapping[Kind, str]:
    """What to tell people of them; of late ones for as long as it takes until they are reconciled."""
    found: dict[Kind, str] = {}
    if known.nameless:
        count = f"{known.nameless} rows{' or more' if known.nameless >= MOST_NAMELESS else ''}"
        why = "id is NULL; of legs call_history_id, or start and end"
        found[Kind.NAMELESS] = f"{count} have no id ({why}): their calls cannot be read"
    if known.late_at is not None and now - known.late_at < RECONCILED_WITHIN:
        found[Kind.CAME_LATE] = (
            f"rows have come where reading had been long before, last at {known.late_at:%Y-%m-%d %H:%M} UTC: was the "
            "phone system's clock set back, is a copy later than the settings say, or a filter in 3cx.schema late? The "
            "daily reconciliation brings their calls, POST /trigger/reconcile at once"
        )
    return found
