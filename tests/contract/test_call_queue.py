"""What every CallQueue does: the twin, and a queue in Azurite."""

from __future__ import annotations

import base64
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta

import pytest

from cdr.calls.call_queue import CallQueue
from cdr.edges.storage.queue import StorageCallQueue
from shared.clock import HandMovedClock
from shared.errors import StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.systems.storage import Line, Storage

LARGEST = 49_152


class Bench(ABC):
    """A queue, and what a receiver sees of it."""

    queue: CallQueue

    @abstractmethod
    def visible(self) -> list[str]:
        """The messages that a receiver would get now, in any order, at most 32."""

    @abstractmethod
    def pass_time(self, span: timedelta) -> None: ...

    @abstractmethod
    def break_off_after(self, messages: int) -> None:
        """Let the line break when so many messages have been sent."""


class TwinBench(Bench):
    def __init__(self) -> None:
        self.clock = HandMovedClock(datetime(2026, 11, 20, 9, tzinfo=UTC))
        self.queue = InMemoryCallQueue(self.clock)

    def visible(self) -> list[str]:
        return self.queue.visible[:32]

    def pass_time(self, span: timedelta) -> None:
        self.clock.move(span)

    def break_off_after(self, messages: int) -> None:
        self.queue.fail_at(messages + 1, StorageUnavailable("the line is dead"))


class AzuriteBench(Bench):
    def __init__(self, storage: Storage, line: Line) -> None:
        self.line = line
        self.name = storage.new_name()
        self.queue = StorageCallQueue(storage.account, self.name)
        self.client = storage.plain_queue(self.name)

    def visible(self) -> list[str]:
        return [base64.b64decode(message.content).decode() for message in self.client.peek_messages(32)]

    def pass_time(self, span: timedelta) -> None:
        time.sleep(span.total_seconds())

    def break_off_after(self, messages: int) -> None:
        self.queue.depth()  # so that the queue is there
        self.line.fail_next("POST", *["sound"] * messages, "not sent")


@pytest.fixture(params=["twin", "azurite"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "twin":
        return TwinBench()
    return AzuriteBench(request.getfixturevalue("storage"), request.getfixturevalue("line"))


@pytest.fixture
def azurite_bench(storage: Storage, line: Line) -> AzuriteBench:
    return AzuriteBench(storage, line)


def test_all_messages_of_a_page_are_there_once(bench: Bench) -> None:
    bench.queue.send_all([f"message {number}" for number in range(30)])
    assert sorted(bench.visible()) == sorted(f"message {number}" for number in range(30))
    assert bench.queue.depth() == 30


def test_no_messages_at_all_are_fine(bench: Bench) -> None:
    bench.queue.send_all([])
    assert bench.queue.depth() == 0


def test_equal_messages_are_all_kept(bench: Bench) -> None:
    bench.queue.send_all(["same", "same"])
    assert bench.visible() == ["same", "same"]


@pytest.mark.parametrize(
    "text", ["{}", "Zoë 漢字 😀", '<&>"', "\x00\n\t ", " ", "x" * LARGEST], ids=lambda text: text[:9]
)
def test_any_text_arrives_as_it_was_sent(bench: Bench, text: str) -> None:
    bench.queue.send_all([text])
    assert bench.visible() == [text]


def test_a_message_sent_for_later_is_counted_but_seen_only_when_its_time_has_come(bench: Bench) -> None:
    bench.queue.send_later("later", timedelta(seconds=2))
    bench.queue.send_all(["now"])
    assert bench.visible() == ["now"]
    assert bench.queue.depth() == 2
    bench.pass_time(timedelta(seconds=2.1))
    assert sorted(bench.visible()) == ["later", "now"]


def test_a_message_may_wait_for_up_to_seven_days(bench: Bench) -> None:
    bench.queue.send_later("later", timedelta(days=7))
    assert bench.visible() == []
    with pytest.raises(StorageUnavailable):
        bench.queue.send_later("too late", timedelta(days=7, seconds=1))
    assert bench.queue.depth() == 1


def test_a_message_that_is_too_long_for_a_queue_is_refused(bench: Bench) -> None:
    with pytest.raises(StorageUnavailable):
        bench.queue.send_all(["x" * (LARGEST + 1)])
    assert bench.queue.depth() == 0


@pytest.mark.usefixtures("no_second_try")
def test_when_a_page_fails_halfway_it_raises_and_what_was_sent_stays_sent(bench: Bench) -> None:
    messages = [f"message {number}" for number in range(12)]
    bench.break_off_after(messages=3)
    with pytest.raises(StorageUnavailable):
        bench.queue.send_all(messages)
    there = bench.visible()
    assert len(there) >= 3
    assert set(there) < set(messages)
    bench.queue.send_all(messages)
    assert set(bench.visible()) == set(messages)


# The real thing alone


def test_a_message_is_base64_and_never_expires(azurite_bench: AzuriteBench) -> None:
    azurite_bench.queue.send_all(["Zoë"])
    azurite_bench.queue.send_later("later", timedelta(seconds=1))
    (now,) = azurite_bench.client.peek_messages(32)
    assert now.content == base64.b64encode("Zoë".encode()).decode()
    assert now.expires_on.year == 9999
    azurite_bench.pass_time(timedelta(seconds=1.1))
    assert {message.expires_on.year for message in azurite_bench.client.peek_messages(32)} == {9999}


def test_a_queue_that_is_there_already_is_used_as_it_is(storage: Storage, azurite_bench: AzuriteBench) -> None:
    azurite_bench.queue.send_all(["first"])
    StorageCallQueue(storage.account, azurite_bench.name).send_all(["second"])
    assert azurite_bench.queue.depth() == 2


def test_a_message_whose_answer_was_lost_is_sent_again_rather_than_not_at_all(azurite_bench: AzuriteBench) -> None:
    azurite_bench.queue.depth()
    azurite_bench.line.fail_next("POST", "answer lost")
    azurite_bench.queue.send_all(["message"])
    assert set(azurite_bench.visible()) == {"message"}
    assert azurite_bench.line.is_sound


def test_a_queue_that_was_deleted_is_unavailable(azurite_bench: AzuriteBench) -> None:
    azurite_bench.queue.depth()
    azurite_bench.client.delete_queue()
    for operation in (
        lambda: azurite_bench.queue.send_all(["message"]),
        lambda: azurite_bench.queue.send_later("message", timedelta(seconds=1)),
        azurite_bench.queue.depth,
    ):
        with pytest.raises(StorageUnavailable, match="404"):
            operation()
