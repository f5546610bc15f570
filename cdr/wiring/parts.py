"""Builds the pipeline from the configuration: the only module that knows both the use cases and the edges."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdr import __version__
from cdr.calls.call import Outcome
from cdr.groups.alerts import AlertPolicy, StaticMemberSource, UnreadableMembers
from cdr.groups.check import GroupsOutcome, Watch, check_groups, group_status
from cdr.intake.poll import PollOutcome, poll
from cdr.operations.reconcile import Reconciliation, reconcile
from cdr.operations.replay import RejectedPage, ReplayOutcome, list_rejected, replay
from cdr.operations.retention import clean_ledger
from cdr.operations.status import Check, HealthCheck, progress
from cdr.submission.breakers import ApiWatch, RejectionLimit
from cdr.submission.poison import keep_poisoned
from cdr.submission.submit import SubmitPlan, Worker, submit_call
from cdr.wiring.plans import call_rules, hours_status, make_hours, poll_plan, watched_groups
from cdr.wiring.schedule import ncrontab
from shared import log
from shared.clock import Clock, SystemClock
from shared.config.file import load_settings
from shared.config.groups import (
    DatabaseMembers,
    NoMembers,
    XapiMembers,
)
from shared.config.settings import Settings
from shared.errors import ApiUnavailable, InvalidConfig, PipelineError, SourceMisconfigured

if TYPE_CHECKING:
    from cdr.calls.call_queue import CallQueue
    from cdr.edges.storage.account import StorageAccount
    from cdr.groups.ports import GroupStore, MemberSource
    from cdr.intake.ports import CdrSource, CheckpointStore
    from cdr.submission.ports import CallApi, CallLedger

CALL_QUEUE = "cdr-calls"
POISON_QUEUE = f"{CALL_QUEUE}-poison"
LEDGER_TABLE = "CdrCalls"
STATE_TABLE = "CdrState"
GROUPS_TABLE = "CallGroups"
CONFIG_FILE = "config/3cx-config.yml"

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
    def check_schedule(self) -> str:
        """The group check's NCRONTAB expression; with a broken configuration that of the default interval."""
        return ncrontab(60 * (self._settings.call_groups.alert_check_interval_minutes if self._settings else 5))

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

    def submit(self, message: str, deliveries: int = 1) -> Outcome:
        """Work on one message; without a usable configuration it is put back.

        :raises StorageUnavailable: the host must bring the message again
        """
        try:
            return submit_call(message, self._worker, deliveries=deliveries)
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
            "business_hours": hours_status(make_hours(settings.business_hours), now),
            **self._groups_status(),
        }

    def check_groups(self) -> GroupsOutcome:
        """Check the call groups now.

        :raises PipelineError: what kept the check from its work
        """
        try:
            return check_groups(watched_groups(self.settings), self._watch)
        except InvalidConfig:
            raise
        except PipelineError as exc:
            log.event("groups.failed", level=logging.ERROR, error=type(exc).__name__, reason=str(exc))
            raise

    def _groups_status(self) -> dict[str, Any]:
        groups = self.settings.call_groups
        if isinstance(groups.members, NoMembers):
            note = "not checked: call_groups.members.source is none"
            return {"monitored_groups": [{"id": g.id, "name": g.name, "state": note} for g in groups.monitored_groups]}
        try:
            records = self._group_store.load()
        except PipelineError as exc:
            return {"monitored_groups": {"error": str(exc)}}
        return {
            "monitored_groups": [
                {"id": group.id, "name": group.name, **group_status(records.get(group.id))}
                for group in groups.monitored_groups
            ]
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
        from cdr.edges.sql.row_table import SqlCdrSource, read_schema

        three_cx = self.settings.three_cx
        sql = read_schema(three_cx.schema_, self._root)
        return SqlCdrSource(three_cx.cdr_database, sql)

    @cached_property
    def _api(self) -> CallApi:
        from cdr.edges.call_logger.auth import make_auth
        from cdr.edges.call_logger.calls import RestCallApi

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
    def _watch(self) -> Watch:
        from cdr.edges.call_logger.alerts import RestAlertApi
        from cdr.edges.call_logger.auth import make_auth
        from cdr.edges.webhooks import Webhook, WebhookNotifier

        api, groups = self.settings.api, self.settings.call_groups
        timeout = timedelta(seconds=api.timeout_seconds)
        return Watch(
            members=self._members,
            alerts=RestAlertApi(api.base_url, timeout=timeout, auth=make_auth(api.auth), ca_file=api.ca_file),
            notifier=WebhookNotifier([Webhook(hook.type, hook.url.get_secret_value()) for hook in groups.notify]),
            store=self._group_store,
            clock=self._clock,
            policy=AlertPolicy(timedelta(minutes=groups.grace_minutes), groups.unknown_after, groups.remind_after),
        )

    @cached_property
    def _members(self) -> MemberSource:
        groups = self.settings.call_groups
        match groups.members:
            case DatabaseMembers() as chosen:
                from cdr.edges.sql.members import SqlMemberSource, read_members

                try:
                    return SqlMemberSource(chosen.database, read_members(chosen.select, self._root))
                except SourceMisconfigured as exc:
                    return UnreadableMembers(exc)
            case XapiMembers() as chosen:
                from cdr.edges.xapi.client import XapiClient, XapiLogin
                from cdr.edges.xapi.members import XapiMemberSource

                secret = chosen.client_secret.get_secret_value()
                login = XapiLogin(chosen.url, chosen.client_id, secret, "call_groups.members", chosen.ca_file)
                return XapiMemberSource(XapiClient(login, self._clock))
            case _:
                return StaticMemberSource({group.id: group.members or () for group in groups.monitored_groups})

    @cached_property
    def _group_store(self) -> GroupStore:
        from cdr.edges.storage.groups import TableGroupStore

        return TableGroupStore(self._account, GROUPS_TABLE)

    @cached_property
    def _account(self) -> StorageAccount:
        from cdr.edges.storage.account import StorageAccount

        return StorageAccount(self._environment)

    @cached_property
    def _queue(self) -> CallQueue:
        from cdr.edges.storage.queue import StorageCallQueue

        return StorageCallQueue(self._account, CALL_QUEUE)

    @cached_property
    def _poison_queue(self) -> CallQueue:
        from cdr.edges.storage.queue import StorageCallQueue

        return StorageCallQueue(self._account, POISON_QUEUE)

    @cached_property
    def _checkpoints(self) -> CheckpointStore:
        from cdr.edges.storage.positions import TableCheckpointStore

        return TableCheckpointStore(self._account, STATE_TABLE)

    @cached_property
    def _ledger(self) -> CallLedger:
        from cdr.edges.storage.ledger import TableCallLedger

        return TableCallLedger(self._account, LEDGER_TABLE)
