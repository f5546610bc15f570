"""Two instances whose clocks are far apart go by the storage account's: one of them has the call, not both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cdr.edges.storage.account import SETTING, StorageAccount
from cdr.edges.storage.ledger_claims import TableCallLedger
from cdr.submission.submit import Outcome, Worker, submit
from cdr.wiring.parts import Parts
from shared.clock import SystemClock
from shared.errors import StorageUnavailable
from tests.fakes.call_api import InMemoryCallApi
from tests.support.factories import make_message
from tests.support.workshop import Workshop
from tests.systems.conversation import answering
from tests.systems.storage import NEVER_AGAIN, Storage

pytestmark = pytest.mark.usefixtures("events")


class BusyApi(InMemoryCallApi):
    """While a call is on its way in, something else happens, once."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def submit(self, *arguments: object, **options: object) -> object:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().submit(*arguments, **options)


def instance(storage: Storage, table: str, wrong_by: timedelta, api: InMemoryCallApi) -> Worker:
    clock = SystemClock(lambda: datetime.now(UTC) + wrong_by)
    account = StorageAccount({SETTING: storage.connection_string}, clock=clock)
    account.tell_time()
    return replace(Workshop(api=api).worker, ledger=TableCallLedger(account, table), clock=clock)


@pytest.mark.parametrize("minutes", [-60, -5, 5, 60])
@pytest.mark.parametrize("comes_first", ["right", "wrong"])
def test_one_message_twice_is_one_submission(storage: Storage, minutes: int, comes_first: str) -> None:
    api, table, outcomes = BusyApi(), storage.new_name(), list[Outcome]()
    skews = {"right": timedelta(), "wrong": timedelta(minutes=minutes)}
    first = instance(storage, table, skews.pop(comes_first), api)
    second = instance(storage, table, *skews.values(), api)
    api.meanwhile = lambda: outcomes.extend(submit(make_message(), second))
    assert submit(make_message(), first) == [Outcome.SUBMITTED]
    assert (outcomes, len(api.asked)) == ([Outcome.PUT_BACK], 1)


def test_every_answer_tells_the_time_a_refusal_too(storage: Storage) -> None:
    clock = SystemClock(lambda: datetime.now(UTC) - timedelta(days=1))
    StorageAccount({SETTING: storage.connection_string}, clock=clock).tell_time()  # of a queue that is not there
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=3)


@pytest.mark.parametrize("whose", ["positions", "group_store"])
def test_before_the_first_lease_is_taken_storage_has_told_the_time(
    storage: Storage, tmp_path: Path, whose: str
) -> None:
    """One that is taken by a clock two hours ahead would keep everybody else out for as long."""
    clock = SystemClock(lambda: datetime.now(UTC) + timedelta(hours=2))
    parts = Parts({SETTING: storage.connection_string}, tmp_path, clock=clock)
    assert not clock.has_heard
    getattr(parts, whose)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=3)


def test_without_an_answer_nobody_knows_what_time_it_is(storage: Storage) -> None:
    clock = SystemClock()
    account = StorageAccount({SETTING: storage.connection_string}, NEVER_AGAIN, storage.line, clock)
    storage.line.fail_next("GET", "not sent")
    with pytest.raises(StorageUnavailable):
        account.tell_time()
    assert not clock.has_heard


@pytest.mark.parametrize(
    ("head", "is_believed"),
    [
        pytest.param(b"x-ms-request-id: 7\r\nDate: Sun, 22 Nov 2020 12:00:00 GMT", True, id="the account"),
        pytest.param(b"Date: Sun, 22 Nov 2020 12:00:00 GMT", False, id="a gateway before it"),
        pytest.param(b"x-ms-request-id: 7\r\nDate: soon", False, id="no time"),
        pytest.param(b"x-ms-request-id: 7", False, id="no date"),
    ],
)
def test_the_time_is_that_of_the_accounts_own_answers(head: bytes, *, is_believed: bool) -> None:
    clock = SystemClock()
    with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n" + head + b"\r\n\r\n") as server:
        setting = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;QueueEndpoint={server.url}/a;"
        account = StorageAccount({SETTING: setting}, NEVER_AGAIN, clock=clock)
        with nullcontext() if is_believed else pytest.raises(StorageUnavailable, match="does not tell the time"):
            account.tell_time()
    assert clock.has_heard is is_believed
    assert (clock.now().year == 2020) is is_believed
