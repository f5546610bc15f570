"""The in-memory twin of each port: it keeps the rules of the real thing, fails when told to, and shows what it holds.

    queue = InMemoryCallQueue(clock)
    queue.fail_at(3, StorageUnavailable("the line is dead"))
    queue.send_all(["a", "b", "c"])                            # raises, and holds a and b

The suites in ``tests/contract`` run against the twins and against what they stand for, so that the two cannot drift.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cdr.calls.call import COLUMNS, OPTIONAL_COLUMNS, Accepted, Call, CallKey, RawRow, Settlement, State
from cdr.calls.rules import UNDATED, body_of, row_key
from cdr.groups.alerts import AlertType, GroupRecord, Member, Observation, OpenAlert
from cdr.groups.ports import Notice
from cdr.intake.id_order import Checkpoint, Range
from cdr.intake.ports import CheckpointLease, PollReport
from cdr.submission.ports import Claim, RejectedCall, Settled, StateCounts
from local.call_logger.store import Alert, BackendError, CallExistsError, CallLogger, InvalidBodyError
from shared.clock import Clock
from shared.errors import (
    ApiRejected,
    ApiUnavailable,
    CheckpointFull,
    ClaimHeld,
    LeaseHeld,
    LeaseLost,
    SourceUnavailable,
    StorageUnavailable,
)

MAX_MESSAGE_BYTES = 49_152
LONGEST_DELAY = timedelta(days=7)
MAX_MESSAGE_IN_LEDGER = 60_000
MAX_DETAIL = 2_000
REMOVED_AT_ONCE = 100
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Failure:
    error: Exception
    answer_lost: bool


class _Twin:
    """Counts its operations (``operations`` has their names, in order), and fails at those that a test has chosen."""

    def __init__(self) -> None:
        self.operations: list[str] = []
        self._failures: dict[int, _Failure] = {}
        self._one_at_a_time = threading.RLock()

    def fail_at(self, n: int, error: Exception, *, answer_lost: bool = False) -> None:
        """Let the n-th operation from now on raise this error; 1 is the next one.

        It has no effect then, unless only its answer is lost.
        """
        self._failures[len(self.operations) + n] = _Failure(error, answer_lost)

    @contextmanager
    def _operation(self, name: str) -> Iterator[None]:
        with self._one_at_a_time:
            self.operations.append(name)
            failure = self._failures.pop(len(self.operations), None)
            if failure and not failure.answer_lost:
                raise failure.error
            yield
            if failure:
                raise failure.error


class InMemoryCdrSource(_Twin):
    """A CdrSource. ``rows`` are what the schema's SELECT would yield; naive times are in ``timezone``."""

    def __init__(self, rows: Iterable[RawRow] = (), *, timezone: str = "UTC") -> None:
        super().__init__()
        self.rows: dict[int, RawRow] = {}
        self.zone = ZoneInfo(timezone)
        self.connections: list[InMemoryCdrReader] = []
        self.put(*rows)

    def put(self, *rows: RawRow) -> None:
        """Insert rows, or replace those with the same id. Columns that a row does not name are NULL."""
        for row in rows:
            self.rows[row["id"]] = {column: None for column in COLUMNS if column not in OPTIONAL_COLUMNS} | row

    def remove(self, row_id: int) -> None:
        del self.rows[row_id]

    def drop_connections(self) -> None:
        """Every open connection is dead from now on; new ones are welcome."""
        self.connections.clear()

    @contextmanager
    def connect(self) -> Iterator[InMemoryCdrReader]:
        reader = InMemoryCdrReader(self)
        with self._operation("connect"):
            self.connections.append(reader)
        try:
            yield reader
        finally:
            if reader in self.connections:
                self.connections.remove(reader)


class InMemoryCdrReader:
    """A CdrReader; its operations count as the source's."""

    def __init__(self, source: InMemoryCdrSource) -> None:
        self._source = source

    def rows_after(self, position: int | None, limit: int) -> list[RawRow]:
        with self._look("rows_after") as rows:
            return _page(rows, lambda row_id: position is None or row_id > position, limit)

    def rows_in(self, ranges: Sequence[Range], after: int | None, limit: int) -> list[RawRow]:
        def is_wanted(row_id: int) -> bool:
            return (after is None or row_id > after) and any(first <= row_id <= last for first, last in ranges)

        with self._look("rows_in") as rows:
            return _page(rows, is_wanted, limit)

    def newest_id(self) -> int | None:
        with self._look("newest_id") as rows:
            return max(rows, default=None)

    def first_id_since(self, moment: datetime) -> int | None:
        with self._look("first_id_since") as rows:
            began = ((row_id, self._moment(row["started_at"])) for row_id, row in rows.items())
            return min((row_id for row_id, at in began if at is not None and at >= moment), default=None)

    def rows_ended_between(self, start: datetime, end: datetime, after: int | None, limit: int) -> list[RawRow]:
        with self._look("rows_ended_between") as rows:
            ended = {row_id: self._moment(row["ended_at"]) for row_id, row in rows.items()}
            wanted = {row_id for row_id, at in ended.items() if at is not None and start <= at < end}
            return _page(rows, lambda row_id: row_id in wanted and (after is None or row_id > after), limit)

    def _moment(self, value: Any) -> datetime | None:
        """A raw value that is a time, or text that stands for one, as an aware moment."""
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            return None
        return moment.replace(tzinfo=self._source.zone) if isinstance(moment, datetime) else None

    @contextmanager
    def _look(self, operation: str) -> Iterator[Mapping[int, RawRow]]:
        with self._source._operation(operation):
            if self not in self._source.connections:
                raise SourceUnavailable("the connection is closed")
            yield self._source.rows


def _page(rows: Mapping[int, RawRow], is_wanted: Callable[[int], bool], limit: int) -> list[RawRow]:
    return [dict(rows[row_id]) for row_id in sorted(rows) if is_wanted(row_id)][:limit]


@dataclass(frozen=True)
class QueuedMessage:
    """A message that the twin of a queue holds."""

    text: str
    visible_at: datetime


class InMemoryCallQueue(_Twin):
    """A CallQueue. Each message that is put on it is an operation of its own, so it can fail halfway."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.messages: list[QueuedMessage] = []
        self._clock = clock

    @property
    def texts(self) -> list[str]:
        """Every message's text, in the order in which they came, invisible ones included."""
        return [message.text for message in self.messages]

    @property
    def visible(self) -> list[str]:
        """The texts that a receiver would get now."""
        return [message.text for message in self._visible]

    @property
    def _visible(self) -> list[QueuedMessage]:
        return [message for message in self.messages if message.visible_at <= self._clock.now()]

    def take(self) -> str:
        """Receive and delete the first visible message.

        :raises IndexError: there is none
        """
        taken = self._visible[0]
        self.messages.remove(taken)
        return taken.text

    def send_all(self, messages: Sequence[str]) -> None:
        for message in messages:
            self._put(message, timedelta())

    def send_later(self, message: str, delay: timedelta) -> None:
        self._put(message, delay)

    def depth(self) -> int:
        with self._operation("depth"):
            return len(self.messages)

    def _put(self, text: str, delay: timedelta) -> None:
        with self._operation("put"):
            if len(text.encode()) > MAX_MESSAGE_BYTES or not timedelta() <= delay <= LONGEST_DELAY:
                raise StorageUnavailable("the message is too long, or its delay")
            self.messages.append(QueuedMessage(text, self._clock.now() + delay))


class InMemoryCheckpointStore(_Twin):
    """A CheckpointStore with room for so many open rows and gaps together."""

    def __init__(self, room: int = 20_000) -> None:
        super().__init__()
        self.checkpoint: Checkpoint | None = None
        self.report: PollReport | None = None
        self.owner: str | None = None
        self.leased_until = LONG_AGO
        self._room = room
        self._version = 0

    def lease(self, owner: str, now: datetime, duration: timedelta) -> CheckpointLease:
        with self._operation("lease"):
            if self.owner != owner and self.leased_until > now:
                raise LeaseHeld(f"another poll holds the lease until {self.leased_until:%H:%M:%S} UTC")
            self.owner = owner
            return self._renew(now + duration)

    def check_size(self, checkpoint: Checkpoint) -> None:
        if len(checkpoint.open_rows) + len(checkpoint.gaps) > self._room:
            raise CheckpointFull(f"at most {self._room} open rows and gaps fit")

    def save(
        self, lease: CheckpointLease, checkpoint: Checkpoint, now: datetime, duration: timedelta
    ) -> CheckpointLease:
        with self._operation("save"):
            if not self._is_current(lease):
                raise LeaseLost("another poll has taken the checkpoint over")
            if len(checkpoint.open_rows) + len(checkpoint.gaps) > self._room:
                raise ValueError("nobody asked check_size")
            self.checkpoint = checkpoint
            return self._renew(now + duration)

    def release(self, lease: CheckpointLease, report: PollReport) -> None:
        with self._operation("release"):
            if self._is_current(lease):
                self.report = report
                self._renew(LONG_AGO)

    def read(self) -> tuple[Checkpoint | None, PollReport | None]:
        with self._operation("read"):
            return self.checkpoint, self.report

    def _is_current(self, lease: CheckpointLease) -> bool:
        return lease.version == str(self._version)

    def _renew(self, until: datetime) -> CheckpointLease:
        self.leased_until = until
        self._version += 1
        return CheckpointLease(str(self.owner), str(self._version), self.checkpoint)


@dataclass(frozen=True)
class LedgerRecord:
    """What the ledger holds of one call; ``message`` is empty once nobody can need it any more."""

    state: State
    row_id: int | None
    message: str
    attempts: int = 0
    claimed_until: datetime = LONG_AGO
    reason: str = ""
    detail: str = ""
    entry_id: str | None = None
    last_error: str | None = None
    settled_at: datetime | None = None
    replayed_at: datetime | None = None


class InMemoryCallLedger(_Twin):
    """A CallLedger; ``records`` has what it knows of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[CallKey, LedgerRecord] = {}
        self._versions: Counter[CallKey] = Counter()

    def claim(self, key: CallKey, row_id: int, message: str, now: datetime, lease: timedelta) -> Claim | Settled:
        with self._operation("claim"):
            found = self.records.get(key) or LedgerRecord(State.CLAIMED, row_id, message)
            if found.state is State.SUBMITTED:
                return Settled(found.row_id)
            if found.state is State.CLAIMED and found.claimed_until > now:
                until = found.claimed_until
                raise ClaimHeld(f"another worker has the call until {until:%H:%M:%S} UTC", until)
            if found.row_id not in (None, row_id) and found.state in (State.SKIPPED, State.REJECTED):
                self.records.setdefault(row_key(key, found.row_id), found)
            claimed = replace(
                found,
                state=State.CLAIMED,
                row_id=row_id,
                message=_fitting(message),
                attempts=found.attempts + 1,
                claimed_until=now + lease,
            )
            return Claim(key, self._write(key, claimed), now + lease, claimed.attempts)

    def settle(self, claim: Claim, settlement: Settlement, now: datetime) -> None:
        with self._operation("settle"):
            if settlement.state is State.SUBMITTED or self._is_current(claim):
                found = self.records.get(claim.key) or LedgerRecord(State.CLAIMED, None, "")
                self._write(claim.key, _settled(found, settlement, now))

    def give_back(self, claim: Claim, error: str, now: datetime) -> None:
        with self._operation("give_back"):
            if self._is_current(claim):
                found = self.records[claim.key]
                self._write(claim.key, replace(found, claimed_until=now, last_error=error[:MAX_DETAIL]))

    def keep(self, key: CallKey, row_id: int | None, message: str, settlement: Settlement, now: datetime) -> bool:
        with self._operation("keep"):
            found = self.records.get(key) or LedgerRecord(settlement.state, None, "")
            if key in self.records and found.state is State.SUBMITTED:
                return False
            kept = replace(found, message=_fitting(message), row_id=found.row_id if row_id is None else row_id)
            self._write(key, _settled(kept, settlement, now))
            return True

    def last_error(self, key: CallKey) -> str | None:
        with self._operation("last_error"):
            return self.records[key].last_error if key in self.records else None

    def count_states(self) -> StateCounts:
        with self._operation("count_states"):
            return StateCounts(Counter(record.state for record in self.records.values()), complete=True)

    def rejected(self) -> Iterator[RejectedCall]:
        with self._operation("rejected"):
            found = {key: record for key, record in self.records.items() if record.state is State.REJECTED}
        for key, record in found.items():
            yield RejectedCall(key, record.reason, record.detail, record.settled_at or LONG_AGO, record.replayed_at)

    def message(self, key: CallKey) -> str:
        with self._operation("message"):
            return self.records[key].message if key in self.records else ""

    def mark_replayed(self, key: CallKey, now: datetime) -> None:
        with self._operation("mark_replayed"):
            found = self.records.get(key)
            if found is not None and found.state is State.REJECTED:
                self._write(key, replace(found, replayed_at=now))

    def row_ids(self, first: date, last: date, *, undated: bool = True) -> set[int]:
        with self._operation("row_ids"):
            return {
                record.row_id
                for key, record in self.records.items()
                if record.row_id is not None and (undated if key.day == UNDATED else f"{first}" <= key.day <= f"{last}")
            }

    def remove_settled(self, before: datetime, rejected_before: datetime) -> Iterator[int]:
        def is_old(record: LedgerRecord) -> bool:
            limit = rejected_before if record.state is State.REJECTED else before
            return record.state is not State.CLAIMED and record.settled_at is not None and record.settled_at < limit

        while True:
            with self._operation("remove_settled"):
                old = [key for key, record in self.records.items() if is_old(record)][:REMOVED_AT_ONCE]
                for key in old:
                    del self.records[key]
            if not old:
                return
            yield len(old)

    def _is_current(self, claim: Claim) -> bool:
        return claim.version == str(self._versions[claim.key])

    def _write(self, key: CallKey, record: LedgerRecord) -> str:
        self.records[key] = record
        self._versions[key] += 1
        return str(self._versions[key])


def _settled(record: LedgerRecord, settlement: Settlement, now: datetime) -> LedgerRecord:
    return replace(
        record,
        state=settlement.state,
        reason=settlement.reason,
        detail=settlement.detail[:MAX_DETAIL],
        entry_id=settlement.entry_id,
        message=record.message if settlement.state is State.REJECTED else "",
        settled_at=now,
    )


def _fitting(message: str) -> str:
    if len(message) > MAX_MESSAGE_IN_LEDGER:
        raise ValueError("no queue can have brought a message of this length")
    return message


@dataclass(frozen=True)
class Asked:
    """With how much patience a call was submitted."""

    give_up_at: datetime
    patient: bool


class InMemoryCallApi(_Twin):
    """A CallApi with the Call Logger's own rules. Its failures are those that are left after all tries."""

    def __init__(self, call_logger: CallLogger | None = None) -> None:
        super().__init__()
        self.call_logger = call_logger or CallLogger()
        self.asked: list[Asked] = []
        """How each submission was asked for, whatever became of it."""

    @property
    def submitted(self) -> list[str]:
        """The pbxCallIds that got in, in order; a call that got in twice is there twice."""
        return [entry["pbxCallId"] for entry in self.call_logger.entries]

    def submit(self, call: Call, *, give_up_at: datetime, patient: bool = True) -> Accepted:
        self.asked.append(Asked(give_up_at, patient))
        with self._operation("submit"):
            try:
                return Accepted(self.call_logger.submit(body_of(call))["id"], earlier=False)
            except CallExistsError:
                return Accepted(None, earlier=True)
            except BackendError as exc:
                raise ApiUnavailable("the API answered 500") from exc
            except InvalidBodyError as exc:
                words = "; ".join(f"{violation.field} {violation.message}" for violation in exc.violations)
                raise ApiRejected(f"the API answered 400: {words}") from exc

    def check_health(self) -> None:
        with self._operation("check_health"):
            pass


class InMemoryMemberSource(_Twin):
    """A MemberSource that says what a test last put into ``groups``; a group without an entry does not exist."""

    def __init__(self, groups: Mapping[str, Sequence[Member]] | None = None) -> None:
        super().__init__()
        self.groups = dict(groups or {})
        self.unknown: dict[str, str] = {}
        """Why nothing can be said of a group."""

    def put(self, group_id: str, available: Mapping[str, bool | None]) -> None:
        """Let a group have these extensions, each available, or not, or (None) nobody knows."""
        self.groups[group_id] = tuple(Member(extension, value) for extension, value in available.items())

    def observe(self, group_ids: Collection[str]) -> Mapping[str, Observation]:
        with self._operation("observe"):
            return {group_id: self._observation(group_id) for group_id in group_ids}

    def _observation(self, group_id: str) -> Observation:
        if group_id in self.unknown:
            return Observation(None, self.unknown[group_id])
        if group_id not in self.groups:
            return Observation(None, "the group does not exist in the phone system")
        return Observation(tuple(self.groups[group_id]))


class InMemoryAlertApi(_Twin):
    """An AlertApi with the Call Logger's own rules."""

    def __init__(self, call_logger: CallLogger | None = None) -> None:
        super().__init__()
        self.call_logger = call_logger or CallLogger()

    @property
    def raised(self) -> list[tuple[str, str]]:
        """The group and type of each alert that was ever made, in order."""
        return [(alert["callGroupId"], alert["alertType"]) for alert in reversed(self.call_logger.alerts)]

    def active(self) -> Mapping[str, OpenAlert]:
        with self._operation("active"):
            alerts = [alert for alert in self.call_logger.alerts if alert["isActive"]]
            return {alert["callGroupId"]: _open_alert(alert) for alert in alerts if _is_ours(alert)}

    def raise_alert(self, group_id: str, name: str, kind: AlertType, message: str) -> OpenAlert:
        body = {"callGroupId": group_id, "callGroupName": name, "alertType": kind.value, "alertMessage": message}
        with self._operation("raise_alert"):
            try:
                alert = self.call_logger.raise_alert(body)
            except InvalidBodyError as exc:
                raise ApiRejected("the API answered 400") from exc
            if alert["alertType"] != kind:
                raise ApiUnavailable("the group has an active alert of another type")
            return _open_alert(alert)

    def resolve(self, alert_id: str) -> None:
        with self._operation("resolve"):
            try:
                self.call_logger.resolve_alert(alert_id)
            except BackendError as exc:
                raise ApiUnavailable("the API answered 500") from exc


def _is_ours(alert: Alert) -> bool:
    return alert["alertType"] in set(AlertType)


def _open_alert(alert: Alert) -> OpenAlert:
    return OpenAlert(alert["id"], AlertType(alert["alertType"]), datetime.fromisoformat(alert["createdAt"]))


class InMemoryNotifier(_Twin):
    """A Notifier with ``webhooks`` webhooks, all of which take every notice."""

    def __init__(self, webhooks: int = 1) -> None:
        super().__init__()
        self.webhooks = webhooks
        self.notices: list[Notice] = []

    def tell(self, notice: Notice) -> int:
        with self._operation("tell"):
            if self.webhooks:
                self.notices.append(notice)
            return self.webhooks


class InMemoryGroupStore(_Twin):
    """A GroupStore."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, GroupRecord] = {}
        self.owner: str | None = None
        self.leased_until = LONG_AGO

    def lease(self, owner: str, now: datetime, duration: timedelta) -> None:
        with self._operation("lease"):
            if self.owner != owner and self.leased_until > now:
                raise LeaseHeld(f"another check is at work until {self.leased_until:%H:%M:%S} UTC")
            self.owner, self.leased_until = owner, now + duration

    def release(self, owner: str) -> None:
        with self._operation("release"):
            if self.owner == owner:
                self.owner, self.leased_until = None, LONG_AGO

    def load(self) -> Mapping[str, GroupRecord]:
        with self._operation("load"):
            return dict(self.records)

    def save(self, group_id: str, record: GroupRecord) -> None:
        with self._operation("save"):
            self.records[group_id] = record

    def remove(self, group_id: str) -> None:
        with self._operation("remove"):
            self.records.pop(group_id, None)
