"""What every CallQueue does: the fake, and a queue in Azurite."""

from __future__ import annotations

import base64
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from cdr.calls.call_queue import CallQueue
from cdr.calls.message import Letter, Message, Unreadable
from cdr.edges.storage.queue import StorageCallQueue
from shared.errors import StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.support.events import Events
from tests.support.factories import make_record
from tests.systems.storage import Line, Storage

LARGEST = 49_152
LETTERS = [Message((make_record(id=number),)) for number in range(1, 31)]
TEXTS = [letter.to_text() for letter in LETTERS]


def unreadable(text: str) -> Unreadable:
    return Unreadable(text, "is none of ours")


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


class FakeBench(Bench):
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


@pytest.fixture(params=["fake", "azurite"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "fake":
        return FakeBench()
    return AzuriteBench(request.getfixturevalue("storage"), request.getfixturevalue("line"))


@pytest.fixture
def azurite_bench(storage: Storage, line: Line) -> AzuriteBench:
    return AzuriteBench(storage, line)


def test_all_messages_of_a_page_are_there_once_and_equal_ones_as_often_as_they_were_sent(bench: Bench) -> None:
    bench.queue.send_all(iter(()))
    assert bench.queue.depth() == 0
    bench.queue.send_all(iter(LETTERS))
    assert sorted(bench.visible()) == sorted(TEXTS)
    bench.queue.send_all([LETTERS[0], LETTERS[0]])
    assert bench.queue.depth() == 32
    assert bench.visible().count(TEXTS[0]) == 3


@pytest.mark.parametrize(
    "text", ["Zoë 漢字 😀", '<&>"', "\x00\n\t ", " ", "x" * LARGEST], ids=lambda text: repr(text[:9])
)
def test_any_text_arrives_as_it_was_sent(bench: Bench, text: str) -> None:
    bench.queue.send_all([unreadable(text)])
    assert bench.visible() == [text]


def test_a_message_sent_for_later_is_counted_but_seen_only_when_its_time_has_come(bench: Bench) -> None:
    bench.queue.send_later(LETTERS[0], timedelta(seconds=2))
    bench.queue.send_all(LETTERS[1:2])
    assert bench.visible() == TEXTS[1:2]
    assert bench.queue.depth() == 2
    bench.pass_time(timedelta(seconds=2.1))
    assert sorted(bench.visible()) == sorted(TEXTS[:2])


def test_a_message_waits_for_seven_days_at_most_and_is_no_longer_than_a_queue_takes(bench: Bench) -> None:
    bench.queue.send_later(LETTERS[0], timedelta(days=7))
    assert bench.visible() == []
    with pytest.raises(StorageUnavailable):
        bench.queue.send_later(LETTERS[0], timedelta(days=7, seconds=1))
    with pytest.raises(StorageUnavailable):
        bench.queue.send_all([unreadable("x" * (LARGEST + 1))])
    assert bench.queue.depth() == 1


@pytest.mark.usefixtures("no_second_try")
def test_when_a_page_fails_halfway_it_raises_and_what_was_sent_stays_sent(bench: Bench) -> None:
    bench.break_off_after(messages=3)
    with pytest.raises(StorageUnavailable):
        bench.queue.send_all(LETTERS[:12])
    there = bench.visible()
    assert len(there) >= 3
    assert set(there) < set(TEXTS[:12])
    bench.queue.send_all(LETTERS[:12])
    assert set(bench.visible()) == set(TEXTS[:12])


# The real thing alone


def test_a_message_is_base64_and_never_expires(azurite_bench: AzuriteBench) -> None:
    azurite_bench.queue.send_all([unreadable("Zoë")])
    azurite_bench.queue.send_later(unreadable("Zoë"), timedelta(seconds=1))
    azurite_bench.pass_time(timedelta(seconds=1.1))
    contents = {(message.content, message.expires_on.year) for message in azurite_bench.client.peek_messages(32)}
    assert contents == {(base64.b64encode("Zoë".encode()).decode(), 9999)}
    assert azurite_bench.queue.depth() == 2


def test_a_queue_that_is_there_already_is_used_as_it_is(storage: Storage, azurite_bench: AzuriteBench) -> None:
    azurite_bench.queue.send_all(LETTERS[:1])
    StorageCallQueue(storage.account, azurite_bench.name).send_all(LETTERS[1:2])
    assert azurite_bench.queue.depth() == 2


def test_a_message_whose_answer_was_lost_is_sent_again_rather_than_not_at_all(azurite_bench: AzuriteBench) -> None:
    azurite_bench.queue.depth()
    azurite_bench.line.fail_next("POST", "answer lost")
    azurite_bench.queue.send_all(LETTERS[:1])
    assert set(azurite_bench.visible()) == {TEXTS[0]}
    assert azurite_bench.line.is_sound


SENDS: dict[str, Callable[[CallQueue, list[Letter]], None]] = {
    "a page": lambda queue, letters: queue.send_all(letters),
    "one for later": lambda queue, letters: queue.send_later(letters[0], timedelta()),
}


@pytest.mark.parametrize(("send", "sent"), [(SENDS["a page"], 30), (SENDS["one for later"], 1)], ids=SENDS)
def test_a_queue_that_was_deleted_is_made_anew_and_said_so(
    azurite_bench: AzuriteBench, events: Events, send: Callable[[CallQueue, list[Letter]], None], sent: int
) -> None:
    azurite_bench.queue.send_all(LETTERS)
    azurite_bench.client.delete_queue()
    with pytest.raises(StorageUnavailable, match="404"):
        azurite_bench.queue.depth()
    send(azurite_bench.queue, list(LETTERS))
    assert sorted(azurite_bench.visible()) == sorted(TEXTS[:sent])
    made = events.named("storage.made_anew")
    assert made[0] == {"event": "storage.made_anew", "level": "ERROR", "what": f"queue {azurite_bench.name}"}
