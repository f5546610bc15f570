"""Rows that no phone system should write and messages that nobody should send: kept with a reason, in nobody's way."""

from __future__ import annotations

from base64 import b64encode

from cdr.wiring.ports import POISON_QUEUE
from tests.e2e.hosts import settled
from tests.support.factories import make_message, make_raw_row
from tests.support.waiting import wait_until

LONG = "9" * 10_000

# What the row has; and the field and reason in the ledger, or None where the call can be made all the same.
IN_ANY_DATABASE = {
    "no call id": ({"call_id": None}, "call_id: missing"),
    "no extension": ({"extension": None}, "extension: missing"),
    "blank extension": ({"extension": "  "}, "extension: missing"),
    "no answer to answered": ({"answered": None}, "answered: missing"),
    "answered by three": ({"answered": 3}, "answered: holds '3', which is neither true nor false"),
    "no duration": ({"duration_s": None}, "duration_s: missing"),
    "negative duration": ({"duration_s": -5}, "duration_s: is negative"),
    "end before start": ({"ended_at": "2026-11-22 09:59:59"}, "ended_at: is before started_at"),
    "long call id": ({"call_id": LONG}, "call_id: has 10000 characters, at most 100 fit"),
    "long extension": ({"extension": LONG}, "extension: has 10000 characters, at most 20 fit"),
    "long number": ({"caller_number": LONG}, "caller_number: has 10000 characters, at most 50 fit"),
    "long but unneeded": ({"dest_number": LONG, "hangup_cause": LONG}, None),
    "nothing but id and end": (
        dict.fromkeys(make_raw_row().keys() - {"id", "ended_at"}),
        "answered: missing",
    ),
    "NUL in the call id": ({"call_id": "C\0D"}, "call_id: holds a NUL character"),
    "NUL in the extension": ({"extension": "10\0001"}, "extension: holds a NUL character"),
    "NUL in the number": ({"caller_number": "907\0555\x000142"}, None),
    "control characters": ({"call_id": "C\r\n\t\x1b[31m"}, None),
    "emoji as number": ({"caller_number": "📞📞📞"}, None),
    "emoji as extension": ({"extension": "☎️"}, "extension ☎️ has no address in extension_mapping"),
    "digits of another script": ({"extension": "१०१"}, None),
}
ONLY_IN_SQLITE = {
    "no time": ({"ended_at": "yesterday"}, "ended_at: holds 'yesterday', which is no date and time"),
    "a date without time": ({"ended_at": "2026-11-22"}, "ended_at: holds '2026-11-22', which is no date and time"),
    "a number as end": ({"ended_at": 1732269690}, "ended_at: holds '1732269690', which is no date and time"),
    "bytes as end": ({"ended_at": b"\xff\xfe"}, "ended_at: holds '\\\\xff\\\\xfe', which is no date and time"),
    "a start that is none": ({"started_at": "n/a"}, None),
    "words as duration": ({"duration_s": "long"}, "duration_s: holds 'long', which is no number of seconds"),
    "endless duration": ({"duration_s": float("inf")}, "duration_s: holds 'inf', which is no number of seconds"),
    "duration beyond limits": ({"duration_s": 2**31}, "duration_s: is more than 2147483647 seconds"),
    "a fraction as extension": ({"extension": 101.5}, "extension 101.5 has no address in extension_mapping"),
    "bytes as numbers": ({"caller_number": b"\xff\x00", "dest_number": b""}, None),
    "words as type": ({"call_type": "inbound"}, None),
    "words as answered": ({"answered": "perhaps"}, "answered: holds 'perhaps', which is neither true nor false"),
}
ONLY_IN_MARIADB = {
    "half a zero date": (
        {"ended_at": "2026-11-00 00:00:00"},
        "ended_at: holds '2026-11-00 00:00:00', which is no date and time",
    ),
    "duration beyond limits": ({"duration_s": 2**31 - 1}, None),
}


ONLY_IN = {"sqlite": ONLY_IN_SQLITE, "mysql": ONLY_IN_MARIADB}


def test_a_strange_row_is_rejected_with_field_and_reason_and_the_others_pass(
    start_host, phone_system, storage, call_logger
):
    cases = list((IN_ANY_DATABASE | ONLY_IN[phone_system.engine]).values())
    strange = [make_raw_row(**{"id": 2 * n, "call_id": f"S{n}"} | row) for n, (row, _) in enumerate(cases, start=1)]
    plain = [make_raw_row(id=2 * n + 1, call_id=f"P{n}") for n in range(len(cases) + 1)]
    phone_system.insert(*strange, *plain)
    host = start_host(phone_system)
    assert host.trigger("poll")["position"] == len(strange) + len(plain)
    wait_until(lambda: settled(storage, len(strange) + len(plain)))
    found = {int(record.row_id): record for record in storage.ledger()}
    reasons = [found[row["id"]].detail or None for row in strange]
    assert reasons == [reason for _, reason in cases]
    assert {found[row["id"]].state for row in plain} == {"submitted"}
    assert {f"P{n}-{2 * n + 1}" for n in range(len(plain))} <= set(call_logger.call_ids)
    assert host.remarks == []


# What no Base64 of text is, and texts that are no messages.
RAW = [b64encode(b"\xff\xfe not UTF-8").decode(), "&%$ not base64 &%$"]
GARBAGE = ["good day", '{"version": 3, "row": {"id": 1}}', "[1, 2, 3]", '{"version": 1, "row": {"id": ""}}', "", "{"]


def test_garbage_on_a_queue_ends_in_the_ledger_with_its_text_and_does_not_come_back(
    start_host, sqlite_system, storage, call_logger
):
    poisoned = [f"{text} poisoned" for text in GARBAGE]
    for text in GARBAGE:
        storage.send(text)
    for content in RAW:
        storage.send_raw(content)
    for text in poisoned:
        storage.send(text, POISON_QUEUE)
    host = start_host(sqlite_system)
    wait_until(lambda: len(storage.ledger()) == 2 * len(GARBAGE) + len(RAW) and storage.depth() == 0)
    kept = storage.ledger()
    assert {record.state for record in kept} == {"rejected"}
    assert sorted((record.reason, record.message) for record in kept) == sorted(
        [("invalid_message", text) for text in [*GARBAGE, *RAW]] + [("gave_up", text) for text in poisoned]
    )
    storage.send(make_message().to_text())
    wait_until(lambda: call_logger.call_ids)
    wait_until(lambda: (storage.depth(), storage.depth(POISON_QUEUE)) == (0, 0))
    assert len(host.events_of("call.rejected", "poison.kept")) == len(kept)
    assert call_logger.faults.requests == 1
