"""The description of the HTTP functions against the functions themselves: whatever is asked, they answer as it says."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import checks

from cdr.web.endpoints import ENDPOINTS
from tests.e2e.hosts import Host, Hosts, settled
from tests.functions.surroundings import Storage
from tests.support.factories import make_raw_row
from tests.support.waiting import wait_until
from tests.systems.phone_systems import SqlitePhoneSystem

EXAMPLES = 8
NOT_HELD_TO = [checks.positive_data_acceptance, checks.ignored_auth]
"""That of two days one must not be before the other is nothing that a description can say; and keys are Azure's."""


@pytest.fixture
def host(start_host: Hosts, sqlite_system: SqlitePhoneSystem, storage: Storage) -> Host:
    """With a call that was submitted, one that was skipped and one that was rejected."""
    rows = ({}, {"answered": 0}, {"extension": "199"})
    sqlite_system.insert(*(make_raw_row(id=n, **row) for n, row in enumerate(rows, start=1)))
    host = start_host(sqlite_system)
    host.trigger("poll")
    wait_until(lambda: settled(storage, len(rows)))
    return host


def test_every_function_answers_as_it_is_described_whatever_it_is_asked(host: Host) -> None:
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
