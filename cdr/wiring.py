"""Builds the pipeline from the configuration: the only module that knows both the use cases and the edges."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdr import __version__
from cdr.brakes import ApiWatch, RejectionLimit
from cdr.keep_poisoned import keep_poisoned
from cdr.model import CallRules, Outcome
from cdr.poll import PollOutcome, PollPlan, poll
from cdr.reconcile import Reconciliation, reconcile
from cdr.replay import RejectedPage, ReplayOutcome, list_rejected, replay
from cdr.retention import clean_ledger
from cdr.schedule import ncrontab
from cdr.status import Check, HealthCheck, progress
from cdr.submit import SubmitPlan, Worker, submit_call
from shared import log
from shared.clock import Clock, SystemClock
from shared.config_file import load_settings
from shared.errors import ApiUnavailable, InvalidConfig, PipelineError
from shared.settings import Settings, start_moment

if TYPE_CHECKING:
    from cdr.edges.storage_account import StorageAccount
    from cdr.ports import CallApi, CallLedger, CallQueue, CdrSource, CheckpointStore

CALL_QUEUE = "cdr-calls"
POISON_QUEUE = f"{CALL_QUEUE}-poison"
LEDGER_TABLE = "CdrCalls"
STATE_TABLE = "CdrState"
CONFIG_FILE = "config/3cx-config.yml"

POLL_LEASE = timedelta(seconds=60)
POLL_SHARE_OF_INTERVAL = 0.8

# A worker tries for less time than the call is its own, and the message comes again (visibilityTimeout in host.json)
# only after that: so a call that was sent without an answer is never sent again while it may still be on its way in.
SUBMIT_BUDGET = timedelta(seconds=150)
CLAIM_LEASE = timedelta(seconds=180)
HTTP_BUDGET = timedelta(seconds=120)
CLEANING_BUDGET = timedelta(minutes=5)
PUT_BACK_UNCONFIGURED = timedelta(minutes=5)


class Pipeline:
    """The functions' use cases, each with its edges. Making one reads the configuration and never fails.

    Edges are built when they are first used, and kept: connections are pooled per process.
    """

    def __init__(self, environment: Mapping[str, str], root: Path, clock: Clock | None = None) -> None:
        self._environment = environment
        self._root = root
        self._clock = clock or SystemClock()
        self._started_at = self._clock.now()
        self._settings: Settings | None = None
        self._invalid: InvalidConfig | None = None
        try:
            self._settings = load_settings(root / environment.get("CONFIG_FILE", CONFIG_FILE), environment, root)
        except InvalidConfig as exc:
            self._invalid = exc
        self.health = HealthCheck(self._checks(), self._clock)

    @property
    def settings(self) -> Settings:
        """:raises InvalidConfig: after writing every mistake to the log"""
        if self._settings is None:
            invalid = self._invalid or InvalidConfig(["no configuration"])
            log.event("config.invalid", level=logging.ERROR, count=len(invalid.mistakes), mistakes=invalid.mistakes)
            raise invalid
        return self._settings

    @property
    def configuration_mistakes(self) -> int:
        return len(self._invalid.mistakes) if self._invalid else 0

    @property
    def poll_schedule(self) -> str:
        """The poll's NCRONTAB expression; with a broken configuration that of the default interval."""
        return ncrontab(self._settings.three_cx.polling_interval_seconds if self._settings else 30)

    def poll(self) -> PollOutcome:
        """Poll now; every failure is one log line.

        :raises PipelineError: what kept the poll from its work
        """
        try:
            return poll(
                source=self._source,
                queue=self._queue,
                checkpoints=self._checkpoints,
                clock=self._clock,
                plan=poll_plan(self.settings),
            )
        except InvalidConfig:
            raise
        except PipelineError as exc:
            log.event("poll.failed", level=logging.ERROR, error=type(exc).__name__, reason=str(exc))
            raise

    def submit(self, message: str) -> Outcome:
        """Work on one message; without a usable configuration it is put back.

        :raises StorageUnavailable: the host must bring the message again
        """
        try:
            return submit_call(message, self._worker)
        except InvalidConfig:
            self._queue.send_later(message, PUT_BACK_UNCONFIGURED)
            return Outcome.PUT_BACK

    def keep_poisoned(self, message: str) -> None:
        rules = call_rules(self._settings) if self._settings else None
        keep_poisoned(message, ledger=self._ledger, poison_queue=self._poison_queue, clock=self._clock, rules=rules)

    def status(self) -> dict[str, Any]:
        """How far along everything is, for people; needs a usable configuration."""
        settings, now = self.settings, self._clock.now()
        return {
            "version": __version__,
            "uptime_seconds": int((now - self._started_at).total_seconds()),
            **progress(
                source=self._source,
                checkpoints=self._checkpoints,
                queue=self._queue,
                poison_queue=self._poison_queue,
                ledger=self._ledger,
                clock=self._clock,
                timezone=settings.three_cx.cdr_database.timezone,
            ),
            "business_hours": {
                "open": settings.business_hours.is_open(now),
                "timezone": settings.business_hours.timezone,
            },
            "monitored_groups": [group.model_dump() for group in settings.call_groups.monitored_groups],
        }

    def rejected(self, *, after: str | None, limit: int, reveal: bool) -> RejectedPage:
        return list_rejected(self._ledger, after=after, limit=limit, reveal=reveal)

    def replay(self, *, reason: str | None, call: str | None) -> ReplayOutcome:
        return replay(
            ledger=self._ledger, queue=self._queue, clock=self._clock, time_budget=HTTP_BUDGET, reason=reason, call=call
        )

    def reconcile(self, first: date, last: date, *, queue_missing: bool) -> Reconciliation:
        return reconcile(
            source=self._source,
            ledger=self._ledger,
            checkpoints=self._checkpoints,
            first=first,
            last=last,
            queue=self._queue if queue_missing else None,
        )

    def clean_ledger(self) -> int:
        ledger = self.settings.ledger
        return clean_ledger(
            ledger=self._ledger,
            clock=self._clock,
            keep=timedelta(days=ledger.keep_days),
            keep_rejected=timedelta(days=ledger.keep_rejected_days),
            time_budget=CLEANING_BUDGET,
        )

    def _checks(self) -> Mapping[str, Check]:
        if self._settings is None:
            return {"configuration": self._check_configuration, "storage": self._check_storage}
        return {
            "configuration": self._check_configuration,
            "database": self._check_database,
            "storage": self._check_storage,
            "api": self._check_api,
        }

    def _check_configuration(self) -> None:
        if self._invalid:
            raise self._invalid

    def _check_database(self) -> None:
        with self._source.connect() as reader:
            reader.rows_after(None, 1)

    def _check_api(self) -> None:
        if self._worker.watch.is_down(self._clock.now()):
            raise ApiUnavailable("the last submission failed")
        self._api.check_health()

    def _check_storage(self) -> None:
        self._queue.depth()
        self._checkpoints.read()

    @cached_property
    def _worker(self) -> Worker:
        settings = self.settings
        return Worker(
            ledger=self._ledger,
            api=self._api,
            queue=self._queue,
            clock=self._clock,
            watch=ApiWatch(),
            rejections=RejectionLimit(settings.calls.max_rejections_per_minute),
            random=random.random,
            plan=SubmitPlan(call_rules(settings), CLAIM_LEASE, SUBMIT_BUDGET, settings.api.give_up_after),
        )

    @cached_property
    def _source(self) -> CdrSource:
        from cdr.edges.sql_source import SqlCdrSource, read_schema

        three_cx = self.settings.three_cx
        sql = read_schema(three_cx.schema_, self._root)
        return SqlCdrSource(three_cx.cdr_database, sql)

    @cached_property
    def _api(self) -> CallApi:
        from cdr.edges.api_auth import make_auth
        from cdr.edges.rest_api import RestCallApi

        api = self.settings.api
        return RestCallApi(
            api.base_url,
            timeout=timedelta(seconds=api.timeout_seconds),
            attempts=api.retry_attempts,
            auth=make_auth(api.auth),
            ca_file=api.ca_file,
            clock=self._clock,
        )

    @cached_property
    def _account(self) -> StorageAccount:
        from cdr.edges.storage_account import StorageAccount

        return StorageAccount(self._environment)

    @cached_property
    def _queue(self) -> CallQueue:
        from cdr.edges.storage_queue import StorageCallQueue

        return StorageCallQueue(self._account, CALL_QUEUE)

    @cached_property
    def _poison_queue(self) -> CallQueue:
        from cdr.edges.storage_queue import StorageCallQueue

        return StorageCallQueue(self._account, POISON_QUEUE)

    @cached_property
    def _checkpoints(self) -> CheckpointStore:
        from cdr.edges.table_checkpoint import TableCheckpointStore

        return TableCheckpointStore(self._account, STATE_TABLE)

    @cached_property
    def _ledger(self) -> CallLedger:
        from cdr.edges.table_ledger import TableCallLedger

        return TableCallLedger(self._account, LEDGER_TABLE)


def poll_plan(settings: Settings) -> PollPlan:
    start = settings.three_cx.start_from
    zone = settings.three_cx.cdr_database.timezone
    return PollPlan(
        time_budget=timedelta(seconds=settings.three_cx.polling_interval_seconds) * POLL_SHARE_OF_INTERVAL,
        lease=POLL_LEASE,
        start_from=start_moment(start, zone) if isinstance(start, datetime) else start,
        gap_wait=settings.three_cx.gap_wait,
        open_row_wait=settings.three_cx.open_row_wait,
    )


def call_rules(settings: Settings) -> CallRules:
    calls = settings.calls
    same = asdict(CallRules()).keys() & type(calls).model_fields.keys()
    return CallRules(
        **{name: getattr(calls, name) for name in same},
        internal_digits=(calls.internal_number_digits.min, calls.internal_number_digits.max),
        emails=settings.extension_mapping,
        monitored_groups=frozenset(group.id for group in settings.call_groups.monitored_groups),
        timezone=settings.three_cx.cdr_database.timezone,
    )
