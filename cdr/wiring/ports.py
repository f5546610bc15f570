"""What the use cases need of the outside: each port, made when it is first used and kept.

Drivers and SDKs are imported where they are first needed, for the sake of cold starts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdr.wiring.once import once
from cdr.wiring.times import Times
from cdr.wiring.xapi_clients import XapiClients
from shared import log
from shared.clock import Clock, SystemClock
from shared.config.file import load_settings
from shared.config.groups import DatabaseMembers, XapiMembers
from shared.config.settings import Settings
from shared.errors import InvalidConfig, SourceMisconfigured

if TYPE_CHECKING:
    from cdr.calls.call_queue import CallQueue
    from cdr.edges.storage.account import StorageAccount
    from cdr.groups.ports import AlertApi, GroupStore, MemberSource, Notifier
    from cdr.intake.ports import CallSource, PositionStore
    from cdr.operations.ports import LedgerRecords, LookStore
    from cdr.operations.source_watch import NewestCall
    from cdr.submission.addresses import Addresses
    from cdr.submission.ports import CallApi, CallLedger, Directory, PhoneBookStore

CALL_QUEUE = "cdr-calls"
POISON_QUEUE = f"{CALL_QUEUE}-poison"
LEDGER_TABLE = "CdrCalls"
STATE_TABLE = "CdrState"
GROUPS_TABLE = "CallGroups"
PHONE_BOOK_TABLE = "PhoneBook"
CONFIG_FILE = "config/3cx-config.yml"


class Ports:
    """Making it reads the configuration and never fails. What is cached is replaced by handing it in under its name."""

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
        self.mistakes: Sequence[str] = ()
        self._settings: Settings | None = None
        try:
            self._settings = load_settings(root / environment.get("CONFIG_FILE", CONFIG_FILE), environment, root)
        except InvalidConfig as exc:
            self.mistakes = exc.mistakes
        self._replaced = frozenset(replacements)
        for name, part in replacements.items():
            if not isinstance(getattr(type(self), name, None), once):
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
        timeout = timedelta(seconds=api.timeout_seconds)
        return RestAlertApi(api.base_url, timeout=timeout, auth=make_auth(api.auth), ca_file=api.ca_file)

    @once
    def notifier(self) -> Notifier:
        from cdr.edges.alert_webhooks import Webhook, WebhookNotifier

        hooks = self.settings.call_groups.notify
        return WebhookNotifier([Webhook(hook.type, hook.url.get_secret_value()) for hook in hooks])

    @once
    def members(self) -> MemberSource:
        from cdr.groups.members import StaticMemberSource, UnreadableMembers

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

        return TableGroupStore(self.account, GROUPS_TABLE)

    @once
    def directory(self) -> Directory | None:
        from cdr.wiring.who_is_who import make_directory

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
        from cdr.submission.addresses import Addresses

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
