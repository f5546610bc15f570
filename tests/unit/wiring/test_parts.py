"""The app's parts as they are put together from a configuration, usable or not."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest

from cdr.intake.poll import poll
from cdr.wiring.parts import Parts
from cdr.wiring.times import Times
from shared.errors import InvalidConfig, SourceMisconfigured, StorageUnavailable
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.clock import HandMovedClock
from tests.support.events import Events
from tests.support.factories import CONFIG
from tests.unit.conftest import MAPPED

MISTAKES = """
3cx:
  polling_interval_seconds: soon
  cdr_database: {host: pbx, database: cdr, username: me, password: [s3cret], enginge: mysql}
api: {}
"""

MakeParts = Callable[..., Parts]

pytestmark = pytest.mark.usefixtures("events")


# Without a usable configuration


@pytest.mark.parametrize(
    ("config", "mistakes"),
    [
        (None, 1),
        ("", 1),
        ("just text", 1),
        ("3cx: [", 1),
        (b"\xff\xfe\xfa", 1),
        ("a: " * 10_000, 1),
        ("#" * 1_000_001, 1),
        (CONFIG + "calss: {}\n", 1),
        (CONFIG + "calls: {include_internal: perhaps, phone_format: e164, anonymous_number: ''}\n", 3),
        (MISTAKES, 4),
    ],
    ids=["none", "empty", "no mapping", "no YAML", "no text", "nested", "huge", "unknown key", "three", "four"],
)
def test_making_them_never_fails(make_parts: MakeParts, config: str | bytes | None, mistakes: int) -> None:
    parts = make_parts(config)
    assert (len(parts.mistakes), parts.is_configured) == (mistakes, False)
    schedules = parts.poll_schedule, parts.check_schedule, parts.reconcile_schedule
    assert schedules == ("*/30 * * * * *", "0 */5 * * * *", "0 47 3 * * *")


def test_whoever_needs_the_configuration_is_told_all_mistakes_in_one_line(
    make_parts: MakeParts, events: Events
) -> None:
    with pytest.raises(InvalidConfig) as raised:
        _ = make_parts(MISTAKES).settings
    line = events.only("config.invalid")
    assert (line["level"], line["count"]) == ("ERROR", 4)
    assert line["mistakes"] == list(raised.value.mistakes)
    assert {mistake.split(":")[0] for mistake in line["mistakes"]} == {
        "3cx.polling_interval_seconds",
        "3cx.cdr_database.password",
        "3cx.cdr_database.enginge",
        "api.base_url",
    }


@pytest.mark.parametrize(
    "name", ["poller", "worker", "watched_groups", "group_check", "overview", "reconciler", "cleaner", "learner"]
)
def test_what_needs_the_configuration_says_so(make_parts: MakeParts, events: Events, name: str) -> None:
    with pytest.raises(InvalidConfig):
        getattr(make_parts(MISTAKES, without=["source", "api", "members"]), name)
    assert events.names == ["config.invalid"]


def test_what_the_host_gave_up_on_and_what_was_rejected_needs_none(make_parts: MakeParts, events: Events) -> None:
    parts = make_parts(MISTAKES)
    assert parts.poison_keeper.rules is None
    assert parts.replayer.records is parts.records
    assert parts.health.parts().keys() == {"configuration", "storage"}
    assert events.names == []


# With a usable one


def test_schedules_come_from_file_and_environment(make_parts: MakeParts) -> None:
    parts = make_parts(CONFIG + "call_groups: {alert_check_interval_minutes: 10}\n", POLLING_INTERVAL_SECONDS="300")
    assert (parts.poll_schedule, parts.check_schedule) == ("0 */5 * * * *", "0 */10 * * * *")


def test_the_configuration_may_stand_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text(CONFIG)
    assert Parts({"CONFIG_FILE": "own.yml"}, tmp_path).is_configured
    assert Parts({"CONFIG_FILE": str(tmp_path / "own.yml")}, Path("/nowhere")).is_configured
    assert Parts({"CONFIG_FILE": ""}, tmp_path).mistakes == Parts({}, tmp_path).mistakes


def test_an_empty_name_of_it_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "3cx-config.yml").write_text(CONFIG)
    assert Parts({"CONFIG_FILE": ""}, tmp_path).is_configured


def test_without_a_clock_they_go_by_the_real_time(tmp_path: Path) -> None:
    assert abs(datetime.now().astimezone() - Parts({}, tmp_path).started_at) < timedelta(minutes=1)


class Unloadable(MetaPathFinder):
    """Fails as the system's loader does, where the driver's own library is missing."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pyodbc":
            raise ImportError("libodbc.so.2: cannot open shared object file: No such file or directory")


def test_a_driver_that_cannot_be_loaded_is_in_the_log_and_in_the_health(
    make_parts: MakeParts, tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.sql").write_text("SELECT 1 AS id")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyodbc"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Unloadable(), *sys.meta_path])
    parts = make_parts(CONFIG.replace("3cx:", "3cx:\n  schema: own.sql"), without=["source"])
    with pytest.raises(SourceMisconfigured):
        poll(parts.poller)
    assert "pyodbc needs unixODBC" in events.only("poll.failed")["reason"]
    states = {name: part.state for name, part in parts.health.parts().items()}
    assert states == {**dict.fromkeys(states, "ok"), "database": "misconfigured"}


def test_nobody_claims_a_call_before_storage_has_told_the_time(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(CONFIG)
    with pytest.raises(StorageUnavailable, match="AzureWebJobsStorage is missing"):
        _ = Parts({"CONFIG_FILE": "config.yml"}, tmp_path).worker


def test_a_poll_has_its_share_of_the_interval_and_its_lease(make_parts: MakeParts) -> None:
    poller = make_parts(POLLING_INTERVAL_SECONDS="300").poller
    assert (poller.time_budget, poller.lease, poller.start_from) == (
        timedelta(seconds=240),
        timedelta(seconds=60),
        "beginning",
    )


def test_a_worker_has_its_times_limits_and_rules_and_one_memory_for_all_messages(make_parts: MakeParts) -> None:
    config = MAPPED.replace("api:", "api:\n  give_up_after: 12 hours") + "calls: {max_rejections_per_minute: 2}\n"
    parts = make_parts(config, times=Times(submit_budget=timedelta(seconds=140)))
    worker = parts.worker
    assert worker is parts.worker, "what it remembers of the API goes from message to message"
    assert (worker.budget, worker.longest_attempt) == (timedelta(seconds=140), timedelta(seconds=65))
    assert worker.patience == parts.times.patience(timedelta(hours=12))
    assert [worker.rejections.allows(parts.clock.now()) for _ in range(3)] == [True, True, False]
    assert 0 <= worker.random() < 1
    assert worker.rules.emails == {"101": "alice@example.com"}
    assert parts.poison_keeper.rules == worker.rules


def test_the_ledger_is_cleaned_and_reconciled_by_the_configured_times(make_parts: MakeParts) -> None:
    parts = make_parts(CONFIG + "ledger: {keep_days: 7, keep_rejected_days: 9}\n")
    cleaner = parts.cleaner
    assert (cleaner.keep, cleaner.keep_rejected) == (timedelta(days=7), timedelta(days=9))
    assert parts.reconciler.stalled_after == parts.times.stalled_after
    assert parts.reconciler.keep == timedelta(days=7)
    assert parts.timed_reconciler.time_budget > parts.reconciler.time_budget


@pytest.mark.parametrize(
    ("section", "schedule", "days"),
    [
        ("", "0 47 3 * * *", 3),
        ("reconcile: {every: 6 hours, days: 7}\n", "0 47 */6 * * *", 7),
        ("reconcile: {every: never}\n", "0 47 3 * * *", None),
    ],
    ids=["by default", "as it is set", "never"],
)
def test_the_last_days_are_reconciled_as_often_as_configured(
    make_parts: MakeParts, section: str, schedule: str, days: int | None
) -> None:
    parts = make_parts(CONFIG + section)
    assert (parts.reconcile_schedule, parts.days_to_reconcile) == (schedule, days)


STATIC = "call_groups: {members: {source: static}, monitored_groups: [{id: 800, members: [101]}]}\n"
DATABASE = "call_groups: {members: {source: database, select: own.sql, database: {engine: sqlite, database: m.db}}}\n"
NEWEST_CALL = CONFIG.replace("api:", "  xapi: {url: 'https://pbx.example', client_id: a, client_secret: b}\napi:")
XAPI = "call_groups: {members: {source: xapi, url: 'https://pbx.example', client_id: a, client_secret: b}}\n"
ASKED = "extension_mapping_from: {source: database}\n"


@pytest.mark.parametrize(
    ("more", "name", "kind"),
    [
        ("", "source", "LateSource"),
        ("", "newest_call", "NoneType"),
        (NEWEST_CALL, "newest_call", "XapiCallLog"),
        (NEWEST_CALL.replace("xapi:", "source: xapi\n  xapi:"), "newest_call", "NoneType"),
        ("", "source_watch", "SourceWatcher"),
        ("", "api", "RestCallApi"),
        ("", "alerts", "RestAlertApi"),
        ("call_groups: {notify: [{type: json, url: 'https://hooks.example'}]}\n", "notifier", "WebhookNotifier"),
        ("", "members", "StaticMemberSource"),
        (STATIC, "members", "StaticMemberSource"),
        (DATABASE, "members", "SqlMemberSource"),
        (DATABASE.replace("own.sql", "missing.sql"), "members", "UnreadableMembers"),
        (XAPI, "members", "XapiMemberSource"),
        ("", "queue", "StorageCallQueue"),
        ("", "poison_queue", "StorageCallQueue"),
        ("", "positions", "TablePositionStore"),
        ("", "ledger", "TableCallLedger"),
        ("", "records", "TableLedgerRecords"),
        ("", "group_store", "TableGroupStore"),
        ("", "directory", "NoneType"),
        (ASKED, "directory", "SqlDirectory"),
        ("", "addresses", "Addresses"),
        ("", "phone_books", "TablePhoneBookStore"),
        ("", "looks", "TableLookStore"),
    ],
)
def test_each_port_is_made_when_it_is_first_used_and_kept(tmp_path: Path, more: str, name: str, kind: str) -> None:
    (tmp_path / "config.yml").write_text(more if "3cx:" in more else CONFIG + more)
    (tmp_path / "own.sql").write_text("SELECT group_id, extension, available FROM member")
    parts = Parts({"CONFIG_FILE": "config.yml"}, tmp_path)
    port = getattr(parts, name)
    assert (type(port).__name__, port) == (kind, getattr(parts, name))


@pytest.mark.parametrize(
    ("members", "is_shared"), [("a", True), ("another", False)], ids=["the same client", "one of its own"]
)
def test_whoever_uses_the_same_credentials_of_the_rest_api_has_one_client(
    make_parts: MakeParts, members: str, *, is_shared: bool
) -> None:
    config = CONFIG.replace("3cx:", "3cx:\n  xapi: {url: 'https://pbx.example', client_id: a, client_secret: b}")
    parts = make_parts(config + XAPI.replace("client_id: a", f"client_id: {members}"), without=["members"])
    settings = parts.settings
    ours = parts.xapi_clients.client_of(settings.three_cx.xapi, "3cx.xapi", settings)
    theirs = parts.xapi_clients.client_of(settings.call_groups.members, "call_groups.members", settings)
    assert (ours is theirs) == is_shared
    assert ours is parts.xapi_clients.client_of(settings.three_cx.xapi, "3cx.xapi", settings)
    assert (ours.url_setting, theirs.url_setting) == (
        "3cx.xapi.url",
        "3cx.xapi.url" if is_shared else "call_groups.members.url",
    )


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("{source: database}", "database cdr on pbx.example.internal"),
        ("{source: database, database: {engine: sqlite, database: people.db}}", "database people.db"),
        ("{source: xapi}", "REST API of https://pbx.example"),
    ],
)
def test_the_phone_system_that_is_asked_for_addresses_has_a_name_of_its_own(
    make_parts: MakeParts, more: str, name: str
) -> None:
    config = CONFIG.replace("3cx:", "3cx:\n  xapi: {url: 'https://pbx.example', client_id: a, client_secret: b}")
    parts = make_parts(f"{config}extension_mapping_from: {more}\n")
    assert parts.learner.phone_book.directory.name == name
    assert parts.worker.addresses is parts.addresses
    assert parts.addresses.look().kept.origin == name


def test_a_schema_file_that_is_wrong_is_a_failed_poll_until_it_is_right(
    make_parts: MakeParts, tmp_path: Path, events: Events
) -> None:
    config = CONFIG.replace("3cx:", "3cx:\n  schema: own.sql").replace("host: pbx.example.internal", "engine: sqlite")
    file = tmp_path / "own.sql"
    file.touch()
    parts = make_parts(config.replace("database: cdr", "database: calls.db"), without=["source"])
    (tmp_path / "calls.db").touch()
    for text in ("", "DELETE FROM CallLog", "SELECT 1"):
        file.write_text(text)
        with pytest.raises(SourceMisconfigured):
            poll(parts.poller)
    reasons = [event["reason"] for event in events.named("poll.failed")]
    assert reasons[0].endswith("there is no statement in it")
    assert reasons[1].startswith("3cx.schema: own.sql must be one SELECT")
    assert "own.sql" not in reasons[2], "it was read, and the database asked"
    assert parts.positions.report.error == f"SourceMisconfigured: {reasons[2]}"
    assert parts.positions.leased_until < parts.clock.now()


def test_ports_are_replaced_by_their_names_and_only_those(tmp_path: Path, clock: HandMovedClock) -> None:
    queue = InMemoryCallQueue(clock)
    assert Parts({}, tmp_path, queue=queue).queue is queue
    wrong: dict[str, Any] = {"qeue": queue}
    with pytest.raises(TypeError, match=re.escape("there is no part qeue")):
        Parts({}, tmp_path, **wrong)


@pytest.mark.parametrize(("members", "is_watched"), [("", False), (STATIC, True)], ids=["nobody to ask", "somebody"])
def test_groups_are_kept_only_where_somebody_can_be_asked(
    make_parts: MakeParts, members: str, *, is_watched: bool
) -> None:
    parts = make_parts(CONFIG + members)
    assert (parts.overview.group_store is not None) == is_watched
    assert bool(parts.watched_groups) == is_watched
    assert parts.group_check.store is parts.group_store
