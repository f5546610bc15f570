"""What operators see of a running host: health, status, reasons, broken configuration; and answers as described."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

from cdr.web.endpoints import ENDPOINTS
from cdr.wiring.ports import POISON_QUEUE
from tests.e2e.hosts import Host, hosts_between, settled
from tests.functions.surroundings import SECRETS, RecordingCallLogger
from tests.support.factories import make_message, make_raw_row
from tests.support.waiting import wait_until
from tests.systems.phone_systems import SqlitePhoneSystem

EXAMPLES = 8
NOT_HELD_TO = [checks.positive_data_acceptance, checks.ignored_auth]
"""That of two days one must not be before the other is nothing that a description can say; and keys are Azure's."""


@pytest.fixture(scope="class")
def host(storage_account, tmp_path_factory):
    """It has submitted, skipped and rejected a call, and one is still running."""
    storage_account.clear()
    folder = tmp_path_factory.mktemp("operation")
    system = SqlitePhoneSystem(folder / "calls.db")
    system.insert(
        make_raw_row(id=1, call_id="A"),
        make_raw_row(id=2, call_id="B", answered=0),
        make_raw_row(id=3, call_id="C", extension="199"),
        make_raw_row(id=4, call_id="D", started_at=datetime.now(UTC).replace(tzinfo=None), ended_at=None),
    )
    with RecordingCallLogger() as call_logger, hosts_between(folder, storage_account, call_logger) as start_host:
        host = start_host(system)
        host.trigger("poll")
        wait_until(lambda: settled(storage_account, 3))
        yield host


class TestOverHttp:
    def test_health_is_ok_and_gives_nothing_away(self, host):
        answer = host.ask("GET", "/health")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
        assert answer.headers["Cache-Control"] == "no-store"
        assert {name: part["state"] for name, part in answer.json()["parts"].items()} == dict.fromkeys(
            ("configuration", "database", "storage", "api", "source"), "ok"
        )
        assert not [told for told in ("127.0.0.1", "calls.db", *SECRETS) if told in answer.text]
        assert host.ask("HEAD", "/health").status_code == 200

    def test_status_tells_how_far_it_is(self, host):
        body = host.status()
        assert (body["last_processed_cdr_id"], body["open_rows"]) == (4, 1)
        assert body["last_poll"]["result"] == "finished"
        assert body["lag"] == {"newest_cdr_id": 4, "ids_behind": 0, "seconds_behind": 0}
        assert body["queue"] == {"waiting": 0, "poison": 0}
        assert body["ledger"] == {"submitted": 1, "skipped": 1, "rejected": 1, "complete": True}

    @pytest.mark.parametrize(
        ("method", "path", "options", "status"),
        [
            ("GET", "/trigger/poll", {}, 405),
            ("POST", "/trigger/poll", {"data": "{"}, 400),
            ("GET", "/rejected?limit=0", {}, 400),
        ],
    )
    def test_a_wrong_request_gets_a_reason(self, host, method, path, options, status):
        answer = host.ask(method, path, **options)
        assert (answer.status_code, answer.json().keys()) == (status, {"error"})

    def test_every_function_answers_as_it_is_described_whatever_it_is_asked(self, host):
        """So it comes last: what it asks for is done."""
        described = host.ask("GET", "/openapi.json").json()
        assert described["paths"].keys() == {f"/{endpoint.path}" for endpoint in ENDPOINTS.values()}
        schema = schemathesis.openapi.from_dict(described)
        for operation in schema.get_all_operations():
            hold(operation.ok(), host)


def hold(operation: Any, host: Host) -> None:
    """Ask this function for what it says it takes, and for what it says it does not."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=host.base_url, excluded_checks=NOT_HELD_TO)

    ask()


def test_with_a_broken_configuration_it_does_nothing_loses_nothing_and_says_every_mistake(
    start_host, sqlite_system, storage, call_logger
):
    sqlite_system.insert(make_raw_row(id=1))
    storage.send(make_message(id=7).to_text())
    storage.send(make_message(id=8).to_text(), POISON_QUEUE)
    broken = "  x1: not an address\ncalls: {phone_format: wrong}\nunknown_section: 1\n"
    host = start_host(sqlite_system, adapt=lambda config: config + broken)
    health = host.ask("GET", "/health")
    assert (health.status_code, health.json()["configuration_mistakes"]) == (503, 3)
    for method, path in (("GET", "/status"), ("POST", "/trigger/poll")):
        answer = host.ask(method, path)
        assert (answer.status_code, len(answer.json()["mistakes"])) == (503, 3)
    assert wait_until(lambda: host.events_of("poison.returned"))
    assert {event["count"] for event in wait_until(lambda: host.events_of("config.invalid"))} == {3}
    wait_until(lambda: (storage.depth(), storage.depth(POISON_QUEUE)) == (1, 1))
    assert (storage.ledger(), storage.position) == ([], None)
    assert call_logger.faults.requests == 0
    assert host.remarks == []
