"""What the use cases need of the outside: each port, made when it is first used and kept.

Drivers and SDKs are imported where they are first needed, for the sake of cold starts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdr.wiring.times import Times
from cdr.wiring.xapi_clients import XapiClients
from shared import log
from shared.clock import Clock, SystemClock
from shared.config.intervals import Intervals, Uncommon, intervals_in
from shared.config.written import read_file
from shared.config.yaml_text import Plain
from shared.errors import InvalidConfig, SourceMisconfigured, StorageUnavailable
from shared.once import once

if TYPE_CHECKING:
    from cdr.calls.call_queue import CallQueue
    from cdr.edges.storage.account import StorageAccount
    from cdr.groups.ports import AlertApi, GroupStore, MemberSource, Notifier
    from cdr.intake.ports import CallSource, PositionStore
    from cdr.operations.ports import LedgerRecords, LookStore
    from cdr.operations.source_watch import NewestCall
    from cdr.submission.email_addresses import Addresses
    from cdr.submission.ports import CallApi, CallLedger, Directory, PhoneBookStore
    from shared.config.settings import Settings

CALL_QUEUE = "cdr-calls"
POISON_QUEUE = f"{CALL_QUEUE}-poison"
LEDGER_TABLE = "CdrCalls"
STATE_TABLE = "CdrState"
GROUPS_TABLE = "CallGroups"
PHONE_BOOK_TABLE = "PhoneBook"
CONFIG_FILE = "config/3cx-config.yml"


class Ports:
    """Making it reads the configuration, which is judged when a setting is first asked for, and never fails. What is
    cached is replaced by handing it in under its name."""

    def __init__(
        self,
        environment: Mapping[str, str],
        root: Path,
        *,
        clock: Clock | None = None,
        times: Times | None = None,
        page_size: int | None = None,
        **replacements: Any,
    ) -> None:
        self.environment = environment
        self.root = root
        self.clock: Clock = clock or SystemClock()
        self._own_clock = self.clock if isinstance(self.clock, SystemClock) else None
        self.times = times or Times()
        self.page_size = page_size
        self.started_at = self.clock.now()
        self.xapi_clients = XapiClients(self.clock)
        self._written: Plain | InvalidConfig
        try:
            self._written = read_file(root / (environment.get("CONFIG_FILE") or CONFIG_FILE))
        except InvalidConfig as exc:
            self._written = exc
        self._replaced = frozenset(replacements)
        for name, part in replacements.items():
            if not isinstance(getattr(type(self), name, None), once):
                raise TypeError(f"there is no part {name}")
            setattr(self, name, part)

    @property
    def settings(self) -> Settings:
        """:raises InvalidConfig: after writing every mistake to the log"""
        judged = self._judged
        if isinstance(judged, InvalidConfig):
            log.event("config.invalid", level=logging.ERROR, count=len(judged.mistakes), mistakes=judged.mistakes)
            raise InvalidConfig(judged.mistakes)
        return judged

    @property
    def mistakes(self) -> Sequence[str]:
        return self._judged.mistakes if isinstance(self._judged, InvalidConfig) else ()

    @property
    def is_configured(self) -> bool:
        return not isinstance(self._judged, InvalidConfig)

    @property
    def intervals(self) -> Intervals | None:
        """None: the configuration does not say, it holds mistakes."""
        if isinstance(self._written, InvalidConfig):
            return None
        try:
            return intervals_in(self._written, self.environment)
        except Uncommon:
            judged = self._judged
        if isinstance(judged, InvalidConfig):
            return None
        three_cx, groups = judged.three_cx, judged.call_groups
        return Intervals(three_cx.polling_interval_seconds, groups.alert_check_interval_minutes, judged.reconcile.every)

    @once
    def _judged(self) -> Settings | InvalidConfig:
        if isinstance(self._written, InvalidConfig):
            return self._written
        from shared.config.judging import settings_of

        try:
            return settings_of(self._written, self.environment, self.root)
        except InvalidConfig as exc:
            return exc

    @once
    def source(self) -> CallSource:
        from cdr.wiring.sources import make_source

        return make_source(self.settings, self.root, self.clock, self.page_size, self.xapi_clients)

    @once
    def newest_call(self) -> NewestCall | None:
        """The REST API, where another source is read: it knows of calls that do not get there any more."""
        three_cx = self.settings.three_cx
        if three_cx.xapi is None or three_cx.source == "xapi":
            return None
        from cdr.edges.xapi.call_log import XapiCallLog

        return XapiCallLog(self.xapi_clients.client_of(three_cx.xapi, "3cx.xapi", self.settings))

    @once
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

    @once
    def alerts(self) -> AlertApi:
        from cdr.edges.call_logger.alerts import RestAlertApi
        from cdr.edges.call_logger.auth import make_auth

        api = self.settings.api
        return RestAlertApi(
            api.base_url,
            timeout=timedelta(seconds=api.timeout_seconds),
            auth=make_auth(api.auth),
            ca_file=api.ca_file,
            clock=self.clock,
        )

    @once
    def notifier(self) -> Notifier:
        from cdr.edges.alert_webhooks import Webhook, WebhookNotifier

        hooks = self.settings.call_groups.notify
        return WebhookNotifier([Webhook(hook.type, hook.url.get_secret_value()) for hook in hooks])

    @once
    def members(self) -> MemberSource:
        from cdr.groups.members import StaticMemberSource, UnreadableMembers
        from shared.config.groups import DatabaseMembers, XapiMembers

        groups = self.settings.call_groups
        match groups.members:
            case DatabaseMembers() as chosen:
                from cdr.edges.sql.members import SqlMemberSource, read_members

                try:
                    select = read_members(chosen.select, self.root, chosen.database.engine)
                    return SqlMemberSource(chosen.database, select)
                except SourceMisconfigured as exc:
                    return UnreadableMembers(exc)
            case XapiMembers() as chosen:
                from cdr.edges.xapi.members import XapiMemberSource

                return XapiMemberSource(self.xapi_clients.client_of(chosen, "call_groups.members", self.settings))
            case _:
                return StaticMemberSource({group.id: group.members or () for group in groups.monitored_groups})

    @once
    def account(self) -> StorageAccount:
        from cdr.edges.storage.account import StorageAccount

        return StorageAccount(self.environment, clock=self._own_clock)

    @once
    def queue(self) -> CallQueue:
        from cdr.edges.storage.queue import StorageCallQueue

        return StorageCallQueue(self.account, CALL_QUEUE)

    @once
    def poison_queue(self) -> CallQueue:
        from cdr.edges.storage.queue import StorageCallQueue

        return StorageCallQueue(self.account, POISON_QUEUE)

    @once
    def positions(self) -> PositionStore:
        from cdr.edges.storage.positions import TablePositionStore

        self._agree_on_the_time()
        return TablePositionStore(self.account, STATE_TABLE)

    @once
    def ledger(self) -> CallLedger:
        from cdr.edges.storage.ledger_claims import TableCallLedger

        return TableCallLedger(self.account, LEDGER_TABLE)

    @once
    def records(self) -> LedgerRecords:
        from cdr.edges.storage.ledger_records import TableLedgerRecords

        return TableLedgerRecords(self.account, LEDGER_TABLE)

    @once
    def group_store(self) -> GroupStore:
        from cdr.edges.storage.groups import TableGroupStore

        self._agree_on_the_time()
        return TableGroupStore(self.account, GROUPS_TABLE)

    def _agree_on_the_time(self) -> None:
        """Leases are taken by a time that all share, the very first one too: one that a clock far ahead has taken would
        keep the others out for as long. Where storage does not tell it, no lease is taken either."""
        with suppress(StorageUnavailable):
            self.account.tell_time()

    @once
    def directory(self) -> Directory | None:
        from cdr.wiring.directory import make_directory

        return make_directory(self.settings, self.root, self.xapi_clients)

    @once
    def phone_books(self) -> PhoneBookStore:
        from cdr.edges.storage.phone_book import TablePhoneBookStore

        return TablePhoneBookStore(self.account, PHONE_BOOK_TABLE)

    @once
    def looks(self) -> LookStore:
        from cdr.edges.storage.phone_book import TableLookStore

        return TableLookStore(self.account, PHONE_BOOK_TABLE)

    @once
    def addresses(self) -> Addresses:
        from cdr.submission.email_addresses import Addresses

        file, fresh_for = self.settings.extension_mapping, self.times.addresses_fresh_for
        if self.directory is None:
            return Addresses(file, self.clock)
        return Addresses(file, self.clock, origin=self.directory.name, store=self.phone_books, fresh_for=fresh_for)

    # The same for people who look at it: they are told sooner that there is no answer. A replacement is so for all.

    @once
    def seen_queue(self) -> CallQueue:
        from cdr.edges.storage.queue import StorageCallQueue

        return self.queue if "queue" in self._replaced else StorageCallQueue(self._hasty_account, CALL_QUEUE)

    @once
    def seen_poison_queue(self) -> CallQueue:
        from cdr.edges.storage.queue import StorageCallQueue

        is_replaced = "poison_queue" in self._replaced
        return self.poison_queue if is_replaced else StorageCallQueue(self._hasty_account, POISON_QUEUE)

    @once
    def seen_positions(self) -> PositionStore:
        from cdr.edges.storage.positions import TablePositionStore

        is_replaced = "positions" in self._replaced
        return self.positions if is_replaced else TablePositionStore(self._hasty_account, STATE_TABLE)

    @once
    def seen_records(self) -> LedgerRecords:
        from cdr.edges.storage.ledger_records import TableLedgerRecords

        is_replaced = "records" in self._replaced
        return self.records if is_replaced else TableLedgerRecords(self._hasty_account, LEDGER_TABLE)

    @once
    def seen_group_store(self) -> GroupStore:
        from cdr.edges.storage.groups import TableGroupStore

        is_replaced = "group_store" in self._replaced
        return self.group_store if is_replaced else TableGroupStore(self._hasty_account, GROUPS_TABLE)

    @once
    def _hasty_account(self) -> StorageAccount:
        from cdr.edges.storage.account import HASTY, StorageAccount

        return StorageAccount(self.environment, HASTY, clock=self._own_clock)
