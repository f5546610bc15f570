"""Storage that is down, refuses us or is not configured: every operation of every port on it says so in one line."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import CallKey, Settlement, State
from cdr.edges.storage.account import SETTING, StorageAccount
from cdr.edges.storage.ledger import TableCallLedger
from cdr.edges.storage.positions import TableCheckpointStore
from cdr.edges.storage.queue import StorageCallQueue
from cdr.intake.id_order import Checkpoint
from cdr.intake.ports import CheckpointLease, PollReport
from cdr.submission.ports import Claim
from shared.errors import StorageUnavailable
from tests.systems.storage import Fault, Line, Storage

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = CallKey("2026-11-20", "call-7")
LEASE = CheckpointLease("me", 'W/"1"', None)
CLAIM = Claim(KEY, 'W/"1"', NOW, 1)
SUBMITTED = Settlement(State.SUBMITTED, "created")
SKIPPED = Settlement(State.SKIPPED, "unanswered")

Operation = Callable[[StorageAccount, str], Any]

OPERATIONS: Mapping[str, Operation] = {
    "queue.send_all": lambda account, name: StorageCallQueue(account, name).send_all(["a", "b"]),
    "queue.send_later": lambda account, name: StorageCallQueue(account, name).send_later("a", MINUTE),
    "queue.depth": lambda account, name: StorageCallQueue(account, name).depth(),
    "checkpoint.lease": lambda account, name: TableCheckpointStore(account, name).lease("me", NOW, MINUTE),
    "checkpoint.save": lambda account, name: TableCheckpointStore(account, name).save(LEASE, Checkpoint(), NOW, MINUTE),
    "checkpoint.release": lambda account, name: TableCheckpointStore(account, name).release(LEASE, PollReport(NOW, "")),
    "checkpoint.read": lambda account, name: TableCheckpointStore(account, name).read(),
    "ledger.claim": lambda account, name: TableCallLedger(account, name).claim(KEY, 7, "{}", NOW, MINUTE),
    "ledger.settle submitted": lambda account, name: TableCallLedger(account, name).settle(CLAIM, SUBMITTED, NOW),
    "ledger.settle skipped": lambda account, name: TableCallLedger(account, name).settle(CLAIM, SKIPPED, NOW),
    "ledger.give_back": lambda account, name: TableCallLedger(account, name).give_back(CLAIM, "why", NOW),
    "ledger.keep": lambda account, name: TableCallLedger(account, name).keep(KEY, 7, "{}", SKIPPED, NOW),
    "ledger.last_error": lambda account, name: TableCallLedger(account, name).last_error(KEY),
    "ledger.count_states": lambda account, name: TableCallLedger(account, name).count_states(),
    "ledger.rejected": lambda account, name: list(TableCallLedger(account, name).rejected()),
    "ledger.message": lambda account, name: TableCallLedger(account, name).message(KEY),
    "ledger.mark_replayed": lambda account, name: TableCallLedger(account, name).mark_replayed(KEY, NOW),
    "ledger.row_ids": lambda account, name: TableCallLedger(account, name).row_ids(date(2026, 1, 1), date(2026, 1, 2)),
    "ledger.remove_settled": lambda account, name: list(TableCallLedger(account, name).remove_settled(NOW, NOW)),
}

CONNECTION = "DefaultEndpointsProtocol=http;AccountName=calls;AccountKey=c2VjcmV0a2V5;"


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> Operation:
    return OPERATIONS[request.param]


def unavailable(operation: Operation, settings: Mapping[str, str], name: str = "calls") -> str:
    """What the operation says; it is one line, and no key is in it nor in what caused it."""
    with pytest.raises(StorageUnavailable) as caught:
        operation(StorageAccount(settings), name)
    assert "\n" not in str(caught.value)
    key = settings.get(SETTING, "").partition("AccountKey=")[2].partition(";")[0]
    assert not key or key not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


@pytest.mark.usefixtures("no_second_try")
def test_storage_that_is_down_is_unavailable(operation: Operation) -> None:
    nowhere = "".join(f"{service}Endpoint=http://127.0.0.1:9/calls;" for service in ("Queue", "Table"))
    message = unavailable(operation, {SETTING: CONNECTION + nowhere})
    assert "calls: storage was not reached" in message


def test_a_key_that_storage_does_not_know_names_the_setting(operation: Operation, storage: Storage) -> None:
    key = storage.connection_string.partition("AccountKey=")[2].partition(";")[0]
    wrong = storage.connection_string.replace(key, "d3Jvbmcga2V5")
    message = unavailable(operation, {SETTING: wrong})
    assert "403" in message
    assert SETTING in message


@pytest.mark.parametrize("value", ["", "no connection string at all", "AccountName=calls"])
def test_a_setting_that_is_missing_or_no_connection_string_is_named(operation: Operation, value: str) -> None:
    assert SETTING in unavailable(operation, {SETTING: value})


def test_a_table_that_was_deleted_under_us_is_unavailable(storage: Storage) -> None:
    name = storage.new_name()
    ledger = TableCallLedger(storage.account, name)
    ledger.last_error(KEY)
    storage.plain_table(name).delete_table()
    with pytest.raises(StorageUnavailable):
        ledger.claim(KEY, 7, "{}", NOW, MINUTE)


@pytest.mark.parametrize("fault", ["not sent", "answered 503"])
@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - {"checkpoint.save", "checkpoint.release"}))
def test_a_short_failure_is_sat_out(name: str, fault: Fault, storage: Storage, line: Line) -> None:
    for method in ("POST", "GET", "PATCH", "PUT"):
        line.fail_next(method, fault)
        OPERATIONS[name](storage.account, storage.new_name())
        line.forget()
