"""The app's parts: each port, made when it is first used and kept, and what each use case takes.

The only module that knows both the use cases and the edges. It runs nothing.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdr import __version__
from cdr.intake.id_order import PAGE_SIZE
from cdr.wiring import plans
from cdr.wiring.schedule import ncrontab
from cdr.wiring.times import Times
from shared import log
from shared.clock import Clock, SystemClock
from shared.config.file import load_settings
from shared.config.groups import DatabaseMembers, NoMembers, XapiMembers
from shared.config.settings import Settings
from shared.errors import InvalidConfig, SourceMisconfigured

if TYPE_CHECKING:
    from cdr.calls.call_queue import CallQueue
    from cdr.edges.storage.account import StorageAccount
    from cdr.groups.check import Watch, WatchedGroup
    from cdr.groups.ports import AlertApi, GroupStore, MemberSource, Notifier
    from cdr.intake.poll import Poller
    from cdr.intake.ports import CallSource, PositionStore
    from cdr.operations.health import Check, HealthCheck
    from cdr.operations.ports import LedgerRecords
    from cdr.operations.reconcile import Reconciler
    from cdr.operations.replay import Replayer
    from cdr.operations.retention import Cleaner
    from cdr.operations.status import Overview
    from cdr.submission.poison import PoisonKeeper
    from cdr.submission.ports import CallApi, CallLedger
    from cdr.submission.submit import Worker

CALL_QUEUE = "cdr-calls"
POISON_QUEUE = f"{CALL_QUEUE}-poison"
LEDGER_TABLE = "CdrCalls"
STATE_TABLE = "CdrState"
GROUPS_TABLE = "CallGroups"
CONFIG_FILE = "config/3cx-config.yml"


class Parts:
    """Making it reads the configuration and never fails. Parts are replaced by handing them in under their names."""

    def __init__(
        self,
        environment: Mapping[str, str],
        root: Path,
        *,
        clock: Clock | None = None,
        times: Times | None = None,
        page_size: int = PAGE_SIZE,
        **replacements: Any,
    ) -> None:
        self.environment = environment
        self.root = root
        self.clock = clock or SystemClock()
        self.times = times or Times()
        self.page_size = page_size
        self.started_at = self.clock.now()
        self.mistakes: Sequence[str] = ()
        self._settings: Settings | None = None
        try:
            self._settings = load_settings(root / environment.get("CONFIG_FILE", CONFIG_FILE), environment, root)
        except InvalidConfig as exc:
            self.mistakes = exc.mistakes
        for name, part in replacements.items():
            if not isinstance(getattr(type(self), name, None), cached_property):
                raise TypeError(f"there is no part {name}")
            setattr(self, name, part)

    @property
    def settings(self) -> Settings:
        """:raises InvalidConfig: after writing every mistake to the log"""
        if self._settings is None:
            log.event("config.invalid", level=logging.ERROR, count=len(self.mistakes), mistakes=self.mistakes)
            raise InvalidConfig(self.mistakes)
        return self._settings

    @property
    def is_configured(self) -> bool:
        return self._settings is not None

    # When the timers fire. With a broken configuration at the default intervals.

    @property
    def check_schedule(self) -> str:
        return ncrontab(60 * (self._settings.call_groups.alert_check_interval_minutes if self._settings else 5))

    @property
    def poll_schedule(self) -> str:
        return ncrontab(self._settings.three_cx.polling_interval_seconds if self._settings else 30)

    # What the use cases take.

    @property
    def poller(self) -> Poller:
        from cdr.intake.poll import Poller

        three_cx = self.settings.three_cx
        return Poller(
            source=self.source,
            queue=self.queue,
            positions=self.positions,
            clock=self.clock,
            time_budget=timedelta(seconds=three_cx.polling_interval_seconds) * self.times.poll_share_of_interval,
            lease=self.times.poll_lease,
            start_from=plans.start_from(three_cx),
        )

    @cached_property
    def worker(self) -> Worker:
        from cdr.submission.breakers import RejectionBreaker
        from cdr.submission.submit import Worker

        settings = self.settings
        return Worker(
            ledger=self.ledger,
            api=self.api,
            queue=self.queue,
            clock=self.clock,
            api_breaker=self.times.api_breaker(),
            rejections=RejectionBreaker(settings.calls.max_rejections_per_minute),
            random=random.random,
            patience=self.times.patience(settings.api.give_up_after),
            budget=self.times.submit_budget,
            rules=plans.call_rules(settings),
        )

    @property
    def poison_keeper(self) -> PoisonKeeper:
        from cdr.submission.poison import PoisonKeeper

        rules = plans.call_rules(self._settings) if self._settings else None
        return PoisonKeeper(self.ledger, self.poison_queue, self.clock, rules)

    @property
    def watched_groups(self) -> Sequence[WatchedGroup]:
        return plans.watched_groups(self.settings)

    @cached_property
    def watch(self) -> Watch:
        from cdr.groups.check import Watch

        return Watch(
            members=self.members,
            alerts=self.alerts,
            notifier=self.notifier,
            store=self.group_store,
            clock=self.clock,
            policy=plans.alert_policy(self.settings.call_groups),
        )

    @property
    def overview(self) -> Overview:
        from cdr.operations.status import Overview

        groups = self.settings.call_groups
        return Overview(
            version=__version__,
            started_at=self.started_at,
            source=self.source,
            positions=self.positions,
            queue=self.queue,
            poison_queue=self.poison_queue,
            records=self.records,
            clock=self.clock,
            hours=plans.make_hours(self.settings.business_hours),
            groups={group.id: group.name for group in groups.monitored_groups},
            group_store=None if isinstance(groups.members, NoMembers) else self.group_store,
        )

    @cached_property
    def health(self) -> HealthCheck:
        from cdr.operations.health import HealthCheck

        return HealthCheck(self._checks(), self.clock)

    @property
    def replayer(self) -> Replayer:
        from cdr.operations.replay import Replayer

        return Replayer(self.records, self.queue, self.clock, self.times.http_budget)

    @property
    def reconciler(self) -> Reconciler:
        from cdr.operations.reconcile import Reconciler

        return Reconciler(self.source, self.positions, self.records, self.queue)

    @property
    def cleaner(self) -> Cleaner:
        from cdr.operations.retention import Cleaner

        keep = self.settings.ledger
        return Cleaner(
            self.records,
            self.clock,
            keep=timedelta(days=keep.keep_days),
            keep_rejected=timedelta(days=keep.keep_rejected_days),
            time_budget=self.times.cleaning_budget,
        )

    def _checks(self) -> Mapping[str, Check]:
        always: dict[str, Check] = {"configuration": self._check_configuration, "storage": self._check_storage}
        if self._settings is None:
            return always
        return {**always, "database": self._check_source, "api": self._check_api}

    def _check_configuration(self) -> None:
        if self.mistakes:
            raise InvalidConfig(self.mistakes)

    def _check_storage(self) -> None:
        self.queue.depth()
        self.positions.read()

    def _check_api(self) -> None:
        self.api.check_health()

    def _check_source(self) -> None:
        with self.source.connect() as reader:
            reader.check()

    # The ports.

    @cached_property
    def source(self) -> CallSource:
        from cdr.edges.sql.row_table import SqlCallLog, read_schema

        three_cx = self.settings.three_cx
        sql = read_schema(three_cx.schema_, self.root)
        return SqlCallLog(three_cx.cdr_database, sql, self.clock, plans.patience(three_cx), self.page_size)

    @cached_property
    def api(self) -> CallApi:
        from cdr.edges.call_logger.auth import make_auth
        from cdr.edges.call_logger.calls import RestCallApi

        api = self.settings.api
        return RestCallApi(
            api.base_url,
            timeout=timedelta(seconds=api.timeout_seconds),
            attempts=api.retry_attempts,
            auth=make_auth(api.auth),
            ca_file=api.ca_file,
            clock=self.clock,
        )

    @cached_property
    def alerts(self) -> AlertApi:
        from cdr.edges.call_logger.alerts import RestAlertApi
        from cdr.edges.call_logger.auth import make_auth

        api = self.settings.api
        timeout = timedelta(seconds=api.timeout_seconds)
        return RestAlertApi(api.base_url, timeout=timeout, auth=make_auth(api.auth), ca_file=api.ca_file)

    @cached_property
    def notifier(self) -> Notifier:
        from cdr.edges.webhooks import Webhook, WebhookNotifier

        hooks = self.settings.call_groups.notify
        return WebhookNotifier([Webhook(hook.type, hook.url.get_secret_value()) for hook in hooks])

    @cached_property
    def members(self) -> MemberSource:
        from cdr.groups.alerts import StaticMemberSource, UnreadableMembers

        groups = self.settings.call_groups
        match groups.members:
            case DatabaseMembers() as chosen:
                from cdr.edges.sql.members import SqlMemberSource, read_members

                try:
                    return SqlMemberSource(chosen.database, read_members(chosen.select, self.root))
                except SourceMisconfigured as exc:
                    return UnreadableMembers(exc)
            case XapiMembers() as chosen:
                from cdr.edges.xapi.members import XapiMemberSource

                return XapiMemberSource(
                    chosen.url,
                    client_id=chosen.client_id,
                    client_secret=chosen.client_secret.get_secret_value(),
                    clock=self.clock,
                    ca_file=chosen.ca_file,
                )
            case _:
                return StaticMemberSource({group.id: group.members or () for group in groups.monitored_groups})

    @cached_property
    def account(self) -> StorageAccount:
        from cdr.edges.storage.account import StorageAccount

        return StorageAccount(self.environment)

    @cached_property
    def queue(self) -> CallQueue:
        from cdr.edges.storage.queue import StorageCallQueue

        return StorageCallQueue(self.account, CALL_QUEUE)

    @cached_property
    def poison_queue(self) -> CallQueue:
        from cdr.edges.storage.queue import StorageCallQueue

        return StorageCallQueue(self.account, POISON_QUEUE)

    @cached_property
    def positions(self) -> PositionStore:
        from cdr.edges.storage.positions import TablePositionStore

        return TablePositionStore(self.account, STATE_TABLE)

    @cached_property
    def ledger(self) -> CallLedger:
        from cdr.edges.storage.ledger import TableCallLedger

        return TableCallLedger(self.account, LEDGER_TABLE)

    @cached_property
    def records(self) -> LedgerRecords:
        from cdr.edges.storage.ledger_records import TableLedgerRecords

        return TableLedgerRecords(self.account, LEDGER_TABLE)

    @cached_property
    def group_store(self) -> GroupStore:
        from cdr.edges.storage.groups import TableGroupStore

        return TableGroupStore(self.account, GROUPS_TABLE)
