"""What is kept of a group between checks: read whatever an earlier, later or damaged version has left."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.edges.storage.groups import record_in, text_of
from cdr.groups.alerts import AlertType, GroupRecord, GroupState, OpenAlert

NOW = datetime(2026, 11, 23, 8, 5, 3, 250_001, tzinfo=UTC)
FULL = GroupRecord(
    state=GroupState.ALERTED,
    since=NOW,
    empty_since=NOW - timedelta(seconds=1),
    unknown_since=NOW - timedelta(seconds=2),
    alert=OpenAlert("7d1c", AlertType.NO_ASSIGNED_USERS, NOW + timedelta(seconds=1)),
    told=AlertType.MEMBERSHIP_UNKNOWN,
    told_at=NOW + timedelta(seconds=2),
    acknowledged=AlertType.NO_ASSIGNED_USERS,
    members=4,
    available=0,
    checked_at=NOW + timedelta(seconds=3),
)

moments = st.none() | st.datetimes(timezones=st.just(UTC))
counts = st.none() | st.integers(0, 1000)
types = st.sampled_from(AlertType)
records = st.builds(
    GroupRecord,
    state=st.sampled_from(GroupState),
    **dict.fromkeys(("since", "empty_since", "unknown_since", "told_at", "checked_at"), moments),
    alert=st.none() | st.builds(OpenAlert, st.text(), types, st.datetimes(timezones=st.just(UTC))),
    **dict.fromkeys(("told", "acknowledged"), st.none() | types),
    **dict.fromkeys(("members", "available"), counts),
)


@given(records)
def test_a_record_is_read_as_it_was_written(record: GroupRecord) -> None:
    assert record_in(text_of(record)) == record


def damaged(**changed: Any) -> str:
    return json.dumps(json.loads(text_of(FULL)) | changed)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (damaged(escalated_at="2027-01-01", owner={"name": "x"}), FULL),
        (damaged(state="escalated"), replace(FULL, state=GroupState.CLOSED)),
        (damaged(told="QUEUE_TOO_LONG"), replace(FULL, told=None)),
        (damaged(alert={"id": "7d1c", "type": "QUEUE_TOO_LONG"}), replace(FULL, alert=None)),
        (
            damaged(since="yesterday", members="4", available=True),
            replace(FULL, since=None, members=None, available=None),
        ),
        (damaged(since=NOW.replace(tzinfo=None).isoformat()), FULL),
        (damaged(since="0001-01-01T00:00:00+14:00"), replace(FULL, since=None)),
        ('{"state": "ok"}', GroupRecord(GroupState.OK)),
        ("{", GroupRecord()),
        ("[]", GroupRecord()),
        ("[" * 50_000, GroupRecord()),
        (None, GroupRecord()),
    ],
    ids=lambda value: None if isinstance(value, GroupRecord) else str(value)[:20],
)
def test_what_is_known_of_a_strange_record_is_read(text: str | None, read: GroupRecord) -> None:
    assert record_in(text) == read


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["ok", str(NOW)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "raised_at"]), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([*GroupRecord.__dataclass_fields__, "new"]), json_values).map(json.dumps)
    | st.text()
)
def test_any_text_is_a_record(text: str) -> None:
    assert isinstance(record_in(text), GroupRecord)
