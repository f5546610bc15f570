"""1.0.0 gives way to this version while calls are on their way, and comes back: no call is lost, none gets in twice.

``tests/data/v1/app-1.0.0.zip`` is 1.0.0 itself, with the local host of its time: ``git archive --format=zip`` of the
folders cdr, shared, local and config, of function_app.py and of host.json.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.e2e.hosts import Host, Hosts, end_when_it_takes_no_more
from tests.functions.surroundings import RecordingCallLogger, Storage
from tests.support.factories import make_raw_row
from tests.support.waiting import wait_until
from tests.systems.phone_systems import SqlitePhoneSystem

ARCHIVE = Path(__file__).resolve().parents[1] / "data" / "v1" / "app-1.0.0.zip"
LATER_MAPPED = "  199: late@example.com\n"


@pytest.fixture(scope="module")
def version_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("v1")
    with ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


def rows(first: int, last: int) -> list[dict[str, object]]:
    """Of each ten, one was not answered and one has an extension that nobody is mapped to."""
    return [
        make_raw_row(
            id=number,
            call_id=f"C-{number}",
            answered=0 if number % 10 == 0 else 1,
            extension="199" if number % 10 == 5 else "101",
        )
        for number in range(first, last + 1)
    ]


def wanted(last: int) -> list[str]:
    """What must be at the Call Logger in the end, rows that were replayed included."""
    return sorted(f"C-{number}-{number}" for number in range(1, last + 1) if number % 10 != 0)


def work_until(calls: int, host: Host, storage: Storage, call_logger: RecordingCallLogger) -> None:
    """End the host in mid-flow, when so many calls are in and the next ones are on their way."""
    wait_until(lambda: len(call_logger.bodies) >= calls)
    assert storage.depth() > 0, "the roll must come in mid-flow"
    assert end_when_it_takes_no_more(host, call_logger) == 0


def test_rolling_forward_and_back_in_mid_flow_loses_nothing_and_doubles_nothing(
    start_host: Hosts,
    sqlite_system: SqlitePhoneSystem,
    storage: Storage,
    call_logger: RecordingCallLogger,
    version_1: Path,
) -> None:
    sqlite_system.insert(*rows(1, 60), make_raw_row(id=61, call_id="C-61", ended_at=None))
    call_logger.pause_at(10)
    old = start_host(sqlite_system, root=version_1)
    old.trigger("poll")
    work_until(10, old, storage, call_logger)

    call_logger.pause_at(40)
    new = start_host(sqlite_system)
    sqlite_system.sql("UPDATE CallLog SET EndTime = '2026-11-22 10:01:30' WHERE Id = 61")
    sqlite_system.insert(*rows(62, 100))
    assert new.trigger("poll")["position"] == 100
    work_until(40, new, storage, call_logger)

    call_logger.pause_at(70)
    back = start_host(sqlite_system, root=version_1)
    sqlite_system.insert(*rows(101, 130))
    assert back.trigger("poll")["position"] == 130
    work_until(70, back, storage, call_logger)

    again = start_host(sqlite_system, adapt=lambda config: config + LATER_MAPPED)
    wait_until(lambda: storage.depth() == 0 and "claimed" not in storage.states())
    packed = again.ask("POST", "/trigger/replay", json={"reason": "invalid_message"}).json()
    assert packed["queued"] > 0, "1.0.0 cannot read messages of several calls, and has kept them"
    wait_until(lambda: storage.depth() == 0 and "claimed" not in storage.states())
    replayed = again.ask("POST", "/trigger/replay", json={"reason": "unmapped_extension"}).json()
    assert replayed["queued"] + sum(1 for name in call_logger.call_ids if name.endswith("5")) >= 13
    wait_until(lambda: storage.depth() == 0 and {"submitted", "skipped"} == set(storage.states()))
    assert call_logger.call_ids == wanted(130)
    assert call_logger.double_submissions == []
    assert again.ask("GET", "/reconcile?from=2026-11-22&to=2026-11-22").json()["missing"] == 0
