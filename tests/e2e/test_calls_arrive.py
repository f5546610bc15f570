"""Rows in a phone system's database become calls at the Call Logger: every kind of them, and each exactly so."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from cdr.calls.message import Message
from cdr.intake.id_order.reader import PAGE_SIZE
from tests.e2e.hosts import settled
from tests.support.factories import make_raw_row
from tests.support.waiting import wait_until

ROME = {"timezone": "Europe/Rome"}

PLAIN_BODY = {
    "phoneNumber": "19075550142",
    "callDuration": 90,
    "callOwnerExtension": "101",
    "callOwnerEmail": "alice@example.com",
    "callDirection": "INBOUND",
    "callGroupId": None,
    "timestamp": "2026-11-22T09:01:30.000Z",
}
BOB = {"callOwnerExtension": "102", "callOwnerEmail": "bob@example.com"}
ZOE = {"callOwnerExtension": "0101", "callOwnerEmail": "zoe@example.com"}

# What the row has, and what the Call Logger gets, each where it differs from the plain inbound call.
SUBMITTED = {
    "inbound": ({}, {}),
    "outbound": (
        {"caller_number": "101", "dest_number": "+49 (30) 23125-143", "call_type": 1},
        {"phoneNumber": "493023125143", "callDirection": "OUTBOUND"},
    ),
    "internal, to the owner": ({"caller_number": "102", "call_type": 2}, {"phoneNumber": "102"}),
    "internal, from the owner": (
        {"caller_number": "101", "dest_number": "102", "call_type": 2},
        {"phoneNumber": "102", "callDirection": "OUTBOUND"},
    ),
    "transferred, first part": ({"call_id": "T-9", "hangup_cause": "TRANSFERRED"}, {}),
    "transferred, second part": (
        {
            "call_id": "T-9",
            "dest_number": "102",
            "extension": "102",
            "started_at": "2026-11-22 10:01:30",
            "ended_at": "2026-11-22 10:03:01",
            "duration_s": 91,
        },
        {**BOB, "callDuration": 91, "timestamp": "2026-11-22T09:03:01.000Z"},
    ),
    "anonymous": ({"caller_number": "anonymous"}, {"phoneNumber": "anonymous"}),
    "without a caller's number": ({"caller_number": None}, {"phoneNumber": "anonymous"}),
    "to a monitored group": ({"dest_number": "800", "extension": "102"}, {**BOB, "callGroupId": "800"}),
    "to another group": ({"dest_number": "801", "extension": "102"}, BOB),
    "extension with a leading zero": ({"dest_number": "0101", "extension": "0101"}, ZOE),
    "unknown type, to the outside": (
        {"caller_number": "101", "dest_number": "+442079460123", "call_type": 7},
        {"phoneNumber": "442079460123", "callDirection": "OUTBOUND"},
    ),
    "with a SIP address": ({"caller_number": "sip:+12025550187@trunk.example"}, {"phoneNumber": "12025550187"}),
    "with an id that no table key may be": ({"call_id": "a/b\\c#d?e%f"}, {}),
    "with an id beyond ASCII": ({"call_id": "č-☎-😀"}, {}),
    "over the end of a day": (
        {"started_at": "2026-11-22 23:59:00", "ended_at": "2026-11-23 00:00:30"},
        {"timestamp": "2026-11-22T23:00:30.000Z"},
    ),
}
NOT_SUBMITTED = {
    "unanswered": ({"answered": 0, "duration_s": 0}, ("skipped", "unanswered", "")),
    "unmapped": (
        {"dest_number": "199", "extension": "199"},
        ("rejected", "unmapped_extension", "extension 199 has no address in extension_mapping"),
    ),
}


def rows_and_outcome():
    """A table with every kind of call, what must be at the API, and what in the ledger."""
    rows, bodies, records = [], [], []
    for number, (changed, different) in enumerate(SUBMITTED.values(), start=1):
        row = make_raw_row(**{"id": number, "call_id": f"C-{number}"} | changed)
        rows.append(row)
        name = f"{row['call_id']}-{number}"
        bodies.append({**PLAIN_BODY, "pbxCallId": name, **different})
        records.append((number, name, "submitted", "created", ""))
    for number, (changed, outcome) in enumerate(NOT_SUBMITTED.values(), start=len(rows) + 1):
        rows.append(make_raw_row(**{"id": number, "call_id": f"C-{number}"} | changed))
        records.append((number, f"C-{number}-{number}", *outcome))
    return rows, bodies, records


def test_every_kind_of_call_arrives_exactly_so(start_host, phone_system, storage, call_logger):
    rows, bodies, records = rows_and_outcome()
    phone_system.insert(*rows)
    host = start_host(phone_system, **ROME)
    if phone_system.engine != "sqlite":  # where its timer is enough
        host.trigger("poll")
    wait_until(lambda: settled(storage, len(rows)))
    assert sorted(call_logger.bodies, key=json.dumps) == sorted(bodies, key=json.dumps)
    assert [
        (int(record.row_id), record.name, record.state, record.reason, record.detail) for record in storage.ledger()
    ] == records
    assert call_logger.faults.requests == len(bodies)
    told = host.events_of("call.submitted", "call.skipped", "call.rejected")
    assert sorted((event["row_id"], event["call"], event["event"], event["reason"]) for event in told) == [
        (row_id, name, f"call.{state}", reason) for row_id, name, state, reason, _ in records
    ]
    assert host.remarks == []


def test_a_call_that_ends_later_arrives_when_it_has_ended(start_host, mariadb_system, storage, call_logger):
    began = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(hours=2)
    ended = began + timedelta(seconds=5400)
    running = {"started_at": began, "ended_at": None, "duration_s": 0, "answered": 0}
    mariadb_system.insert(
        make_raw_row(id=1, call_id="A"), make_raw_row(id=2, call_id="B", **running), make_raw_row(id=3, call_id="C")
    )
    host = start_host(mariadb_system)
    assert (polled := host.trigger("poll"))["open_rows"] == 1
    assert polled["position"] == 3
    wait_until(lambda: settled(storage, 2))
    assert call_logger.call_ids == ["A-1", "C-3"]
    mariadb_system.sql(f"UPDATE CallLog SET EndTime = '{ended}', Duration = 5400, Answered = 1 WHERE Id = 2")
    assert host.trigger("poll")["open_rows"] == 0
    wait_until(lambda: settled(storage, 3))
    assert [body for body in call_logger.bodies if body["pbxCallId"] == "B-2"] == [
        {**PLAIN_BODY, "callDuration": 5400, "timestamp": f"{ended.isoformat()}.000Z", "pbxCallId": "B-2"}
    ]
    assert host.status()["open_rows"] == 0


def test_one_poll_takes_a_whole_backlog(start_host, mariadb_system, storage):
    rows = 2 * PAGE_SIZE + 20
    mariadb_system.insert(*(make_raw_row(id=number, call_id=f"C-{number}") for number in range(1, rows + 1)))
    host = start_host(mariadb_system, "trigger_poll", interval_s=60)
    answer = host.trigger("poll")
    assert (answer["queued"], answer["position"], answer["caught_up"]) == (rows, rows, True)
    assert 1 < storage.depth() < rows / 10, "they share messages"
    there = [int(record.id) for text in storage.look() for record in Message.from_text(text).records]
    assert sorted(there) == list(range(1, rows + 1))
