"""Calls come in by the REST API of the phone system whole and once, through everything that it does meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cdr.intake.folding.fold import FoldOptions, records_of
from cdr.intake.folding.xapi_rows import calls_of_report
from cdr.intake.poll import poll
from cdr.intake.ports import CallSource, SourceFacts
from cdr.wiring.sources import make_source
from local.phone_system.v20 import play
from shared.errors import PipelineError, StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.fakes.positions import InMemoryPositionStore
from tests.support.pollers import make_poller
from tests.support.report_writings import ReportedCall, reported
from tests.support.settings import parse_settings
from tests.systems import xapi
from tests.systems.xapi import Fault, Xapi

BEGIN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OWNER = FoldOptions("last_answered")


@pytest.fixture
def clock() -> HandMovedClock:
    return HandMovedClock(BEGIN - 30 * MINUTE)


@pytest.fixture
def server(clock: HandMovedClock) -> Iterator[Xapi]:
    with xapi.start(clock) as running:
        yield running


def source_of(server: Xapi, clock: HandMovedClock) -> CallSource:
    section = f"{{url: '{server.url}', client_id: {xapi.CLIENT_ID}, client_secret: {xapi.CLIENT_SECRET}}}"
    settings = parse_settings(
        f"3cx: {{source: xapi, xapi: {section}}}\napi: {{base_url: 'https://calls.example.com/api'}}\n", {}
    )
    return make_source(settings, Path(), clock)


class Office:
    """Calls, as the phone system comes to know of them, and polls."""

    def __init__(self, server: Xapi, clock: HandMovedClock, random: Random, calls: int) -> None:
        self.server, self.clock = server, clock
        self.source = source_of(server, clock)
        self.queue, self.positions = InMemoryCallQueue(clock), InMemoryPositionStore()
        begun = (BEGIN + random.random() * 40 * MINUTE for _ in range(calls))
        shapes = ["inbound", "into a queue", "outbound"]
        self.calls = [reported(play(random, at, random.choice(shapes)), random, late=5 * MINUTE) for at in begun]
        server.calls = [(each.at, each.report) for call in self.calls for each in call.rows]

    @property
    def right(self) -> dict[str, dict[str, Any]]:
        folded = (each for call in self.calls for each in calls_of_report(call.final))
        records = (record for each in folded for record in records_of(each, OWNER, after_wait=True))
        return {record.id: dict(record.values) for record in records}

    @property
    def queued(self) -> list[tuple[str, dict[str, Any]]]:
        return [(record.id, dict(record.values)) for letter in self.queue.letters for record in letter.records]

    def poll(self) -> None:
        now = self.clock.now()
        self.server.active_calls = [item for call in self.calls if (item := _active(call, now))]
        poll(make_poller(self.source, self.queue, self.positions, self.clock, start_from=BEGIN - 20 * MINUTE))


def _active(call: ReportedCall, now: datetime) -> dict[str, Any] | None:
    found = call.under_way(now, "current talk", one_id=True)
    if found is None:
        return None
    moments = {"EstablishedAt": found.established_at, "LastChangeStatus": found.changed_at, "ServerNow": now}
    told = {name: at.isoformat().replace("+00:00", "Z") if at else None for name, at in moments.items()}
    return {"Id": sum(found.id.encode()) * 1000 + int(call.played.started_at.timestamp()) % 1000, **told}


@pytest.mark.parametrize(
    "vices",
    [
        {},
        {"row_limit": 50},
        {"slow_beyond": 5 * MINUTE},
        {"spelling": "plain, with a fraction"},
        {"most_items": 2},
        {"expires_in": None},
    ],
    ids=["none", "rows are cut off", "long periods take too long", "another spelling", "short pages", "no lifetime"],
)
def test_every_call_comes_once_and_as_it_is(server: Xapi, clock: HandMovedClock, vices: dict[str, Any]) -> None:
    random = Random(22)
    for name, value in vices.items():
        setattr(server, name, value)
    office = Office(server, clock, random, 25)
    while clock.now() < BEGIN + 150 * MINUTE:
        office.poll()
        clock.move(random.choice([1, 2, 3] if clock.now() < BEGIN + 50 * MINUTE else [5, 10, 20]) * MINUTE)
    assert dict(office.queued) == office.right
    assert len(office.queued) == len(office.right)


def test_whatever_fails_on_the_way_nothing_is_lost(server: Xapi, clock: HandMovedClock) -> None:
    random = Random(7)
    office = Office(server, clock, random, 25)
    while clock.now() < BEGIN + 200 * MINUTE:
        match random.randrange(8):
            case 0:
                server.fail_next("data", *[Fault(random.choice([500, 504, 401, 404]))] * random.randint(1, 3))
            case 1:
                server.fail_next("token", Fault(503))
            case 2:
                server.end_token()
            case 3:
                part = random.choice([office.queue, office.positions])
                part.fail_at(random.randint(1, 4), StorageUnavailable("told to"), answer_lost=random.random() < 0.5)
        with suppress(PipelineError):
            office.poll()
        clock.move(random.choice([1, 2, 3]) * MINUTE)
    first = dict(reversed(office.queued))
    assert first == office.right


def test_it_says_what_it_is_and_what_it_may_not_see(server: Xapi, clock: HandMovedClock) -> None:
    source = source_of(server, clock)
    server.active_calls = [{"Id": 1, "ServerNow": "2026-11-22T07:30:30Z"}]
    assert source.about() == SourceFacts("3CX REST API, calls under way: 1", now=clock.now() + MINUTE / 2)
    server.fail_next("data", Fault(403))
    assert "may not see" in source.about().server


def test_its_reader_shows_the_newest_calls(server: Xapi, clock: HandMovedClock) -> None:
    office = Office(server, clock, Random(1), 3)
    clock.move(5 * 60 * MINUTE)
    with office.source.connect() as reader:
        reader.check()
        by_end = sorted(office.right, key=lambda key: str(office.right[key]["ended_at"]), reverse=True)
        assert [record.id for record in reader.newest(2)] == by_end[:2]
        assert reader.lag(None).newest is not None
    assert replace(office.source.progress(reader.begin("now")), position=None).open_calls == 0
