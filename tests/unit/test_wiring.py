"""The pipeline as it is put together from a configuration, usable or not; behind its ports stand the twins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from cdr import __version__
from cdr.calls.call import CallKey, Outcome, Settlement, State
from cdr.intake.id_order import Checkpoint
from cdr.wiring.parts import CLAIM_LEASE, SUBMIT_BUDGET, Pipeline
from shared.clock import HandMovedClock
from shared.errors import (
    ApiDenied,
    ApiUnavailable,
    CheckpointFull,
    InvalidConfig,
    PipelineError,
    SourceMisconfigured,
    SourceUnavailable,
    StorageUnavailable,
    SubmissionUnknown,
)
from tests.fakes.call_api import Asked, InMemoryCallApi
from tests.fakes.call_queue import InMemoryCallQueue
from tests.fakes.ledger import InMemoryLedger
from tests.fakes.positions import InMemoryCheckpointStore
from tests.fakes.row_table import InMemoryCdrSource
from tests.support.factories import CONFIG, make_message, make_raw_row
from tests.unit.conftest import Events

HOST = json.loads((Path(__file__).parents[2] / "host.json").read_text())["extensions"]["queues"]
MAPPED = CONFIG + "extension_mapping: {101: alice@example.com}\n"
KEY = CallKey("2026-11-22", "0000017F-7-7")

MISTAKES = """
3cx:
  polling_interval_seconds: soon
  cdr_database: {host: pbx, database: cdr, username: me, password: [s3cret], enginge: mysql}
api: {}
"""

MakePipeline = Callable[..., Pipeline]

pytestmark = pytest.mark.usefixtures("events")


@pytest.fixture
def make_pipeline(tmp_path: Path, clock: HandMovedClock) -> MakePipeline:
    """A pipeline with this configuration file; None: there is none."""

    def make(config: str | bytes | None = MAPPED, **environment: str) -> Pipeline:
        (tmp_path / "config").mkdir()
        if config is not None:
            raw = config.encode() if isinstance(config, str) else config
            (tmp_path / "config" / "3cx-config.yml").write_bytes(raw)
        pipeline = Pipeline(environment, tmp_path, clock)
        pipeline._queue = InMemoryCallQueue(clock)
        pipeline._poison_queue = InMemoryCallQueue(clock)
        pipeline._checkpoints = InMemoryCheckpointStore()
        pipeline._ledger = InMemoryLedger()
        if config == MAPPED:
            pipeline._source = InMemoryCdrSource()
            pipeline._api = InMemoryCallApi()
        return pipeline

    return make


@pytest.fixture
def pipeline(make_pipeline: MakePipeline) -> Pipeline:
    return make_pipeline()


@pytest.fixture
def broken(make_pipeline: MakePipeline) -> Pipeline:
    return make_pipeline(MISTAKES)


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
def test_making_one_never_fails(make_pipeline: MakePipeline, config: str | bytes | None, mistakes: int) -> None:
    pipeline = make_pipeline(config)
    assert pipeline.configuration_mistakes == mistakes
    assert pipeline.poll_schedule == "*/30 * * * * *"
    assert pipeline.check_schedule == "0 */5 * * * *"


def test_a_poll_says_all_mistakes_in_one_line_and_does_nothing(broken: Pipeline, events: Events) -> None:
    with pytest.raises(InvalidConfig) as raised:
        broken.poll()
    assert events.names == ["config.invalid"]
    line = events.only("config.invalid")
    assert (line["level"], line["count"]) == ("ERROR", 4)
    assert line["mistakes"] == list(raised.value.mistakes)
    assert {mistake.split(":")[0] for mistake in line["mistakes"]} == {
        "3cx.polling_interval_seconds",
        "3cx.cdr_database.password",
        "3cx.cdr_database.enginge",
        "api.base_url",
    }
    assert broken._checkpoints.operations == []
    assert broken._queue.operations == []


@pytest.mark.parametrize(
    "use",
    [
        Pipeline.poll,
        Pipeline.status,
        Pipeline.clean_ledger,
        Pipeline.check_groups,
        lambda pipeline: pipeline.reconcile(date(2026, 11, 22), date(2026, 11, 22), queue_missing=True),
    ],
    ids=["poll", "status", "clean_ledger", "check_groups", "reconcile"],
)
def test_what_needs_the_configuration_says_so_and_does_nothing(
    broken: Pipeline, events: Events, use: Callable[[Pipeline], object]
) -> None:
    with pytest.raises(InvalidConfig):
        use(broken)
    assert events.names == ["config.invalid"]
    assert broken._ledger.operations == []


def test_a_message_is_put_back_as_it_is(broken: Pipeline, clock: HandMovedClock, events: Events) -> None:
    assert broken.submit(make_message()) is Outcome.PUT_BACK
    (back,) = broken._queue.messages
    assert (back.text, back.visible_at) == (make_message(), clock.now() + timedelta(minutes=5))
    assert broken._ledger.records == {}
    assert events.names == ["config.invalid"]


def test_a_message_that_cannot_be_put_back_is_left_to_the_host(broken: Pipeline) -> None:
    broken._queue.fail_at(1, StorageUnavailable("503"))
    with pytest.raises(StorageUnavailable):
        broken.submit(make_message())


def test_a_poisoned_message_goes_back_on_the_poison_queue(broken: Pipeline) -> None:
    broken.keep_poisoned(make_message())
    assert broken._poison_queue.texts == [make_message()]
    assert broken._queue.texts == []
    assert broken._ledger.records == {}


def test_the_health_checks_say_so_and_still_look_at_storage(broken: Pipeline) -> None:
    states = {name: part.state for name, part in broken.health.parts().items()}
    assert states == {"configuration": "misconfigured", "storage": "ok"}


def test_the_health_checks_say_that_storage_is_unusable_too(broken: Pipeline) -> None:
    broken._queue.fail_at(1, StorageUnavailable("503"))
    states = {name: part.state for name, part in broken.health.parts().items()}
    assert states == {"configuration": "misconfigured", "storage": "unavailable"}


# With a usable one


def test_it_has_no_mistakes_and_its_own_schedules(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(
        CONFIG + "call_groups: {alert_check_interval_minutes: 10}\n", POLLING_INTERVAL_SECONDS="300"
    )
    assert pipeline.configuration_mistakes == 0
    assert pipeline.poll_schedule == "0 */5 * * * *"
    assert pipeline.check_schedule == "0 */10 * * * *"


def test_the_configuration_may_stand_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text(CONFIG)
    assert Pipeline({"CONFIG_FILE": "own.yml"}, tmp_path).configuration_mistakes == 0
    assert Pipeline({"CONFIG_FILE": str(tmp_path / "own.yml")}, Path("/nowhere")).configuration_mistakes == 0


def test_a_call_travels_from_the_database_to_the_api(pipeline: Pipeline, events: Events) -> None:
    pipeline._source.put(make_raw_row())
    assert pipeline.poll().queued == 1
    assert pipeline.submit(pipeline._queue.take()) is Outcome.SUBMITTED
    assert pipeline._api.submitted == ["0000017F-7-7"]
    assert events.names == ["poll.finished", "call.submitted"]


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("_source", SourceUnavailable("the server does not answer")),
        ("_source", SourceMisconfigured("3cx.cdr_database.password: the login was refused")),
        ("_checkpoints", StorageUnavailable("table CdrState: 503")),
        ("_checkpoints", CheckpointFull("5,000 rows without an end")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PipelineError) else "",
)
def test_a_failed_poll_is_one_log_line_and_raises(
    pipeline: Pipeline, events: Events, part: str, error: PipelineError
) -> None:
    getattr(pipeline, part).fail_at(1, error)
    with pytest.raises(type(error)):
        pipeline.poll()
    assert events.names == ["poll.failed"]
    line = events.only("poll.failed")
    assert (line["level"], line["error"], line["reason"]) == ("ERROR", type(error).__name__, str(error))


def test_a_schema_file_that_is_not_there_is_a_failed_poll(make_pipeline: MakePipeline, events: Events) -> None:
    pipeline = make_pipeline(CONFIG.replace("3cx:", "3cx:\n  schema: my-own"))
    with pytest.raises(SourceMisconfigured):
        pipeline.poll()
    assert "3cx.schema" in events.only("poll.failed")["reason"]


def test_a_poll_that_finds_the_lease_held_is_no_failure(pipeline: Pipeline, clock: HandMovedClock) -> None:
    pipeline._checkpoints.lease("another", clock.now(), timedelta(seconds=60))
    assert pipeline.poll().result == "held"


def test_a_worker_tries_for_less_time_than_the_call_is_its_own_and_the_host_comes_back_later(
    pipeline: Pipeline, clock: HandMovedClock
) -> None:
    pipeline._api.fail_at(1, SubmissionUnknown("no answer"))
    pipeline.submit(make_message())
    hours, minutes, seconds = map(int, HOST["visibilityTimeout"].split(":"))
    redelivery = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert SUBMIT_BUDGET < CLAIM_LEASE < redelivery
    assert pipeline._api.asked == [Asked(clock.now() + SUBMIT_BUDGET, patient=True)]
    assert pipeline._ledger.records[KEY].claimed_until == clock.now() + CLAIM_LEASE
    assert 8 <= HOST["maxDequeueCount"] <= 10


def test_the_brakes_are_kept_from_message_to_message(pipeline: Pipeline) -> None:
    pipeline._api.fail_at(1, ApiUnavailable("503"))
    assert [pipeline.submit(make_message(id=n)) for n in (1, 2)] == [Outcome.PUT_BACK] * 2
    assert len(pipeline._api.asked) == 1


def test_a_worker_stops_rejecting_at_the_configured_limit(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(CONFIG + "calls: {max_rejections_per_minute: 2}\n")
    pipeline._api = InMemoryCallApi()
    outcomes = [pipeline.submit(make_message(id=n, extension="999")) for n in range(3)]
    assert outcomes == [Outcome.REJECTED, Outcome.REJECTED, Outcome.PUT_BACK]


def test_a_call_is_given_up_after_the_configured_time(make_pipeline: MakePipeline, clock: HandMovedClock) -> None:
    pipeline = make_pipeline(MAPPED.replace("api:", "api:\n  give_up_after: 12 hours"))
    pipeline._api = InMemoryCallApi()
    pipeline._queue.send_all([make_message()])
    for hours in (12, 0):
        pipeline._api.fail_at(1, ApiUnavailable("503"))
        pipeline.submit(pipeline._queue.take())
        clock.move(timedelta(hours=hours))
    assert pipeline._ledger.records[KEY].reason == "gave_up"
    assert pipeline._ledger.records[KEY].detail.startswith("given up after 12:00:00; last: ApiUnavailable: ")


def test_a_poisoned_message_is_recorded_by_the_configured_rules(make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(CONFIG + "calls: {pbx_call_id: '{call_id}'}\n")
    pipeline.keep_poisoned(make_message())
    assert [key.name for key in pipeline._ledger.records] == ["0000017F-7"]


def test_the_ledger_is_cleaned_by_the_configured_days(make_pipeline: MakePipeline, clock: HandMovedClock) -> None:
    pipeline = make_pipeline(CONFIG + "ledger: {keep_days: 7, keep_rejected_days: 9}\n")
    for name, state, days in [("a", State.SKIPPED, 8), ("b", State.REJECTED, 8), ("c", State.REJECTED, 10)]:
        settled_at = clock.now() - timedelta(days=days)
        pipeline._ledger.keep(CallKey("2026-11-01", name), 7, "", Settlement(state, "because"), settled_at)
    assert pipeline.clean_ledger() == 2
    assert [key.name for key in pipeline._ledger.records] == ["b"]


def test_reconciling_queues_missing_rows_only_on_demand(pipeline: Pipeline) -> None:
    day = date(2026, 11, 22)
    pipeline._source.put(make_raw_row())
    pipeline._checkpoints.checkpoint = Checkpoint(7)
    assert pipeline.reconcile(day, day, queue_missing=False).missing == 1
    assert pipeline._queue.texts == []
    assert pipeline.reconcile(day, day, queue_missing=True).queued == 1
    assert pipeline._queue.texts == [make_message()]


def test_rejected_calls_are_listed_and_replayed(pipeline: Pipeline) -> None:
    pipeline.submit(make_message(extension="999"))
    (call,) = pipeline.rejected(after=None, limit=10, reveal=False).calls
    assert call["call"] == "0000017F-7-7"
    assert pipeline.replay(reason=None, call="0000017F-7-7").queued == 1


def test_status_tells_version_uptime_and_progress(pipeline: Pipeline, clock: HandMovedClock) -> None:
    pipeline._source.put(make_raw_row())
    pipeline.poll()
    clock.move(timedelta(seconds=90))
    status = pipeline.status()
    assert (status["version"], status["uptime_seconds"]) == (__version__, 90)
    assert status["last_processed_cdr_id"] == 7
    assert status["last_poll"]["result"] == "finished"
    assert status["queue"] == {"waiting": 1, "poison": 0}
    assert status["business_hours"]["timezone"] == "UTC"
    assert status["monitored_groups"] == []
    assert re.fullmatch(r"2026-11-22T12:00:00\+00:00", status["last_poll"]["at"])


def states_of(pipeline: Pipeline) -> dict[str, str]:
    return {name: part.state for name, part in pipeline.health.parts().items()}


def test_health_looks_at_every_part(pipeline: Pipeline) -> None:
    assert states_of(pipeline) == {"configuration": "ok", "database": "ok", "storage": "ok", "api": "ok"}


@pytest.mark.parametrize(
    ("part", "error", "name", "state"),
    [
        ("_source", SourceUnavailable("down"), "database", "unavailable"),
        ("_source", SourceMisconfigured("refused"), "database", "misconfigured"),
        ("_queue", StorageUnavailable("503"), "storage", "unavailable"),
        ("_checkpoints", StorageUnavailable("503"), "storage", "unavailable"),
        ("_api", ApiUnavailable("503"), "api", "unavailable"),
        ("_api", ApiDenied("401"), "api", "misconfigured"),
    ],
)
def test_health_names_the_part_that_fails(
    pipeline: Pipeline, part: str, error: PipelineError, name: str, state: str
) -> None:
    getattr(pipeline, part).fail_at(1, error)
    states = states_of(pipeline)
    assert states.pop(name) == state
    assert set(states.values()) == {"ok"}


def test_health_says_while_the_api_is_known_to_be_down(pipeline: Pipeline, clock: HandMovedClock) -> None:
    pipeline._api.fail_at(1, ApiUnavailable("503"))
    pipeline.submit(make_message(id=1))
    assert states_of(pipeline)["api"] == "unavailable"
    clock.move(timedelta(seconds=10))
    pipeline.submit(make_message(id=2))
    assert states_of(pipeline)["api"] == "ok"


def test_a_pipeline_without_a_clock_uses_the_real_one(tmp_path: Path) -> None:
    assert abs(datetime.now().astimezone() - Pipeline({}, tmp_path)._started_at) < timedelta(minutes=1)
