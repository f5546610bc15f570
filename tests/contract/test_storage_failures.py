"""Storage that is down, refuses us, is not configured or loses a table: every operation on it says so in one line."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from azure.core.rest import HttpRequest
from urllib3 import HTTPHeaderDict

from cdr.edges.azure_answer import AzureAnswer
from cdr.edges.azure_transport import AzureTransport
from cdr.edges.storage.account import SETTING, StorageAccount, StoragePatience
from cdr.edges.storage.ledger_claims import TableCallLedger
from cdr.edges.storage.ledger_records import TableLedgerRecords
from cdr.edges.storage.positions import TablePositionStore
from cdr.edges.storage.queue import StorageCallQueue
from cdr.intake.poll_history import PollReport
from cdr.intake.ports import PositionLease, StoredPosition
from cdr.operations.ports import RejectedCall
from cdr.submission.ports import Claim
from shared.errors import StorageUnavailable
from tests.contract.ledgers import KEY, LEASE, NOW, REJECTED, SKIPPED, SUBMITTED, claimed, make_job
from tests.support.events import Events
from tests.support.factories import make_message
from tests.systems import receiver as receiver_program
from tests.systems.receiver import Answer
from tests.systems.storage import NEVER_AGAIN, Fault, Line, Storage

MINUTE = timedelta(minutes=1)
HELD = PositionLease("me", 'W/"1"', None)
CLAIM = Claim(KEY, "7", 'W/"1"', 1)

NOTED = RejectedCall(KEY, "gave_up", "", NOW, None)

Operation = Callable[[StorageAccount, str], Any]

OPERATIONS: Mapping[str, Operation] = {
    "queue.send_all": lambda account, name: StorageCallQueue(account, name).send_all([make_message()] * 2),
    "queue.send_later": lambda account, name: StorageCallQueue(account, name).send_later(make_message(), MINUTE),
    "queue.depth": lambda account, name: StorageCallQueue(account, name).depth(),
    "positions.lease": lambda account, name: TablePositionStore(account, name).lease("me", NOW, MINUTE),
    "positions.save": lambda account, name: TablePositionStore(account, name).save(
        HELD, StoredPosition("calllog", "7"), NOW, MINUTE
    ),
    "positions.release": lambda account, name: TablePositionStore(account, name).release(HELD, PollReport(NOW, "")),
    "positions.read": lambda account, name: TablePositionStore(account, name).read(),
    "ledger.claim": lambda account, name: TableCallLedger(account, name).claim([make_job()], NOW, LEASE),
    "ledger.claim of several": lambda account, name: TableCallLedger(account, name).claim(
        [make_job(1), make_job(2)], NOW, LEASE
    ),
    "ledger.settle submitted": lambda account, name: TableCallLedger(account, name).settle([(CLAIM, SUBMITTED)], NOW),
    "ledger.settle skipped": lambda account, name: TableCallLedger(account, name).settle([(CLAIM, SKIPPED)], NOW),
    "ledger.settle several": lambda account, name: TableCallLedger(account, name).settle(
        [(CLAIM, SUBMITTED), (replace(CLAIM, key=make_job(8).key), SUBMITTED)], NOW
    ),
    "ledger.give_back": lambda account, name: TableCallLedger(account, name).give_back([(CLAIM, "why")], NOW),
    "ledger.record": lambda account, name: TableCallLedger(account, name).record(KEY, None, SKIPPED, NOW),
    "ledger.last_error": lambda account, name: TableCallLedger(account, name).last_error(KEY),
    "records.counts": lambda account, name: TableLedgerRecords(account, name).counts(NOW),
    "records.rejected": lambda account, name: list(TableLedgerRecords(account, name).rejected()),
    "records.rejected_as": lambda account, name: list(TableLedgerRecords(account, name).rejected_as("call")),
    "records.still_rejected": lambda account, name: TableLedgerRecords(account, name).still_rejected(NOTED),
    "records.named": lambda account, name: list(TableLedgerRecords(account, name).named("2026-11-20", "call")),
    "records.of_row": lambda account, name: list(TableLedgerRecords(account, name).of_row("2026-11-20", "7")),
    "records.mark_replayed": lambda account, name: TableLedgerRecords(account, name).mark_replayed(KEY, NOW),
    "records.entries": lambda account, name: list(TableLedgerRecords(account, name).entries("2026-11-20")),
    "records.entry": lambda account, name: TableLedgerRecords(account, name).entry(KEY),
    "records.remove_settled": lambda account, name: list(
        TableLedgerRecords(account, name).remove_settled(NOW, NOW, NOW)
    ),
}

CONNECTION = "DefaultEndpointsProtocol=http;AccountName=calls;AccountKey=c2VjcmV0a2V5;"


@pytest.fixture(params=OPERATIONS)
def operation(request: pytest.FixtureRequest) -> Operation:
    return OPERATIONS[request.param]


def unavailable(operation: Operation, settings: Mapping[str, str], name: str = "calls") -> str:
    """What the operation says; it is one line, and no key is in it nor in what caused it."""
    with pytest.raises(StorageUnavailable) as caught:
        operation(StorageAccount(settings, NEVER_AGAIN), name)
    assert "\n" not in str(caught.value)
    key = settings.get(SETTING, "").partition("AccountKey=")[2].partition(";")[0]
    assert not key or key not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_storage_that_is_down_is_unavailable(operation: Operation) -> None:
    nowhere = "".join(f"{service}Endpoint=http://127.0.0.1:9/calls;" for service in ("Queue", "Table"))
    said = unavailable(operation, {SETTING: CONNECTION + nowhere})
    assert re.match("(queue|table) calls(Index)?: storage was not reached", said)


FOREIGN_ANSWERS = {
    "200, a page": Answer(200, "<html>welcome</html>", {"Content-Type": "text/html"}),
    "200, a list": Answer(200, "[]", {"Content-Type": "application/json"}),
    "200, numbers": Answer(200, '{"value": [3]}', {"Content-Type": "application/json"}),
    "200, half XML": Answer(200, "<html", {"Content-Type": "application/xml"}),
    "201, a page": Answer(201, "<html>made</html>", {"Content-Type": "text/html"}),
    "302": Answer(302, "", {"Location": "/login"}),
}


@pytest.mark.parametrize("answer", FOREIGN_ANSWERS.values(), ids=FOREIGN_ANSWERS)
@pytest.mark.parametrize("name", ["queue.depth", "ledger.claim", "ledger.settle several", "records.entries"])
def test_whatever_something_else_answers_is_storage_that_is_unavailable(name: str, answer: Answer) -> None:
    with receiver_program.start() as other:
        other.usual = answer
        ends = "".join(f"{service}Endpoint={other.url}/calls;" for service in ("Queue", "Table"))
        unavailable(OPERATIONS[name], {SETTING: CONNECTION + ends})


@pytest.mark.parametrize("asked_for", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
@pytest.mark.parametrize("name", ["queue.depth", "ledger.claim", "ledger.settle several", "records.entries"])
def test_storage_that_asks_for_an_hour_does_not_get_it(name: str, asked_for: str) -> None:
    """Whoever waits has a claim that ends before, and the others behind it."""
    transport = AzureTransport(connect_s=5, answer_s=10, longest_pause_s=0.01)
    with receiver_program.start() as busy:
        busy.usual = Answer(503, "", {"Retry-After": asked_for})
        ends = "".join(f"{service}Endpoint={busy.url}/calls;" for service in ("Queue", "Table"))
        account = StorageAccount({SETTING: CONNECTION + ends}, StoragePatience(retries=1, pause_s=0), transport)
        began = time.monotonic()
        with pytest.raises(StorageUnavailable, match="503"):
            OPERATIONS[name](account, "calls")
        assert time.monotonic() - began < 5


class Meddling(AzureTransport):
    """What storage says of our writes does not arrive as it was said."""

    def __init__(self, meddle: Callable[[bytes], bytes]) -> None:
        super().__init__(connect_s=5, answer_s=10)
        self._meddle = meddle

    def send(self, request: HttpRequest, **options: Any) -> AzureAnswer:
        answer = super().send(request, **options)
        if request.method == "GET" or request.url.endswith("/Tables"):
            return answer
        headers = HTTPHeaderDict({name: value for name, value in answer.headers.items() if name.lower() != "etag"})
        return AzureAnswer(request, answer.status_code, answer.reason, headers, self._meddle(answer.content))


@pytest.mark.parametrize(
    ("name", "meddle"),
    [
        ("ledger.claim", lambda body: body),
        ("ledger.claim of several", lambda body: body[: body.rindex(b"HTTP/1.1")]),
        ("ledger.claim of several", lambda _: b""),
        ("ledger.settle several", lambda _: b""),
    ],
    ids=["a claim without its version", "two claims in one and a half answers", "no answers", "no answers to the end"],
)
def test_what_does_not_say_of_each_write_that_it_was_done_is_not_storage(
    storage: Storage, name: str, meddle: Callable[[bytes], bytes]
) -> None:
    account = StorageAccount({SETTING: storage.connection_string}, NEVER_AGAIN, Meddling(meddle))
    with pytest.raises(StorageUnavailable, match="what answers is not storage"):
        OPERATIONS[name](account, storage.new_name())


def test_a_key_that_storage_does_not_know_names_the_setting(operation: Operation, storage: Storage) -> None:
    key = storage.connection_string.partition("AccountKey=")[2].partition(";")[0]
    message = unavailable(operation, {SETTING: storage.connection_string.replace(key, "d3Jvbmcga2V5")})
    assert "403" in message
    assert SETTING in message


@pytest.mark.parametrize(
    "value",
    ["", "no connection string at all", "AccountName=calls", f"{CONNECTION.replace('AccountKey=', 'AccountKey=no ')}"],
)
def test_a_setting_that_is_missing_or_no_connection_string_is_named(operation: Operation, value: str) -> None:
    assert SETTING in unavailable(operation, {SETTING: value})


@pytest.mark.parametrize("name", ["acct..", "x" * 70])
def test_an_account_whose_name_no_host_can_have_is_not_reached(operation: Operation, name: str) -> None:
    value = f"DefaultEndpointsProtocol=https;AccountName={name};AccountKey=a2V5;EndpointSuffix=core.windows.net"
    assert "storage was not reached" in unavailable(operation, {SETTING: value})


@pytest.mark.parametrize("name", [SETTING, f"{SETTING}__queueServiceUri", f"{SETTING}__clientId"])
def test_with_a_reference_to_a_vault_that_was_not_resolved_nothing_is_tried(operation: Operation, name: str) -> None:
    settings = {f"{SETTING}__accountName": "calls", name: "@Microsoft.KeyVault(SecretUri=https://vault.example/x)"}
    assert f"the app setting {name} is still a Key Vault reference" in unavailable(operation, settings)


@pytest.mark.parametrize("fault", ["not sent", "answered 503"])
@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - {"positions.save", "positions.release"}))
def test_a_short_failure_is_sat_out(name: str, fault: Fault, storage: Storage, line: Line) -> None:
    """The first request of each method has it."""
    methods = ("POST", "GET", "PATCH", "PUT")
    for method in methods:
        line.fail_next(method, fault)
    OPERATIONS[name](storage.account, storage.new_name())
    assert line.outstanding < len(methods)


GONE = {
    "claim": lambda ledger, claim: claimed(ledger).attempts == 1,
    "claim of several": lambda ledger, claim: len(ledger.claim([make_job(1), make_job(2)], NOW, LEASE)) == 2,
    "settle": lambda ledger, claim: ledger.settle([(claim, SUBMITTED)], NOW) is None,
    "give_back": lambda ledger, claim: ledger.give_back([(claim, "why")], NOW) is None,
    "record": lambda ledger, claim: bool(ledger.record(KEY, None, SKIPPED, NOW)),
    "last_error": lambda ledger, claim: ledger.last_error(KEY) is None,
}


@pytest.mark.parametrize("use", GONE.values(), ids=GONE)
def test_a_ledger_that_was_deleted_under_us_is_made_anew_and_said_so(
    storage: Storage, events: Events, use: Callable[[TableCallLedger, Claim], bool]
) -> None:
    name = storage.new_name()
    ledger = TableCallLedger(storage.account, name)
    claim = claimed(ledger)
    storage.plain_table(name).delete_table()
    assert use(ledger, claim)
    made = events.only("storage.made_anew")
    assert (made["level"], made["what"]) == ("ERROR", f"table {name}")
    assert {type(answer) for answer in ledger.claim([make_job(8)], NOW, LEASE)} == {Claim}


def test_of_a_ledger_that_was_deleted_under_us_nothing_is_listed(storage: Storage, events: Events) -> None:
    name = storage.new_name()
    records = TableLedgerRecords(storage.account, name)
    TableCallLedger(storage.account, name).record(KEY, None, REJECTED, NOW)
    assert len(list(map(records.still_rejected, records.rejected()))) == 1
    storage.plain_table(name).delete_table()
    assert list(filter(None, map(records.still_rejected, records.rejected()))) == []
    assert events.names == ["storage.made_anew"]
