"""What the Call Logger does with a submission or an alert, apart from HTTP: check, look up, keep."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from local.call_logger.rules import ALERT_RULES, CALL_RULES, Violation, violations

Entry = dict[str, Any]
Alert = dict[str, Any]


class CallExistsError(Exception):
    """A call with this pbxCallId is already there."""


class BackendError(Exception):
    """The backend fails in a way that says nothing to its clients."""


@dataclass
class InvalidBodyError(Exception):
    """The body breaks rules; sending it again breaks them again."""

    violations: list[Violation]


def utc_now() -> datetime:
    return datetime.now(UTC)


class CallLogger:
    """The backend's rules and its stored entries; safe to use from many threads.

    As in the real one, nothing makes a pbxCallId unique: `race_window_s` seconds lie between looking for an id and
    inserting it, in which a second submission of the same call gets in as well.
    """

    def __init__(self, *, race_window_s: float = 0.0, now: Callable[[], datetime] = utc_now) -> None:
        self.race_window_s = race_window_s
        self.now = now
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._entries_of_call: Counter[str] = Counter()
        self._alerts: dict[str, Alert] = {}

    @property
    def entries(self) -> list[Entry]:
        """What was created, oldest first, each as it was answered."""
        with self._lock:
            return [dict(entry) for entry in self._entries]

    @property
    def alerts(self) -> list[Alert]:
        """Every alert, newest first."""
        with self._lock:
            return [dict(alert) for alert in reversed(self._alerts.values())]

    @property
    def double_submissions(self) -> list[str]:
        """The pbxCallIds that got in more than once."""
        with self._lock:
            return [call_id for call_id, count in self._entries_of_call.items() if count > 1]

    def submit(self, body: Any) -> Entry:
        """The entry created from the body of a submission.

        Raises InvalidBodyError, CallExistsError, and BackendError for what the database refuses.
        """
        refuse_violations(violations(CALL_RULES, body))
        self._look_up(body["pbxCallId"])
        time.sleep(self.race_window_s)
        entry = new_entry(body, created_at=self.now())
        with self._lock:
            self._entries.append(entry)
            self._entries_of_call[entry["pbxCallId"]] += 1
        return dict(entry)

    def _look_up(self, call_id: str) -> None:
        with self._lock:
            count = self._entries_of_call[call_id]
        if count > 1:
            raise BackendError("the look-up expected one entry of this call and found more")
        if count == 1:
            raise CallExistsError(call_id)

    def raise_alert(self, body: Any) -> Alert:
        """The group's active alert: a new one, or the one it already has. Raises InvalidBodyError."""
        refuse_violations(violations(ALERT_RULES, body))
        with self._lock:
            for alert in self._alerts.values():
                if alert["isActive"] and alert["callGroupId"] == body["callGroupId"]:
                    return dict(alert)
            alert = new_alert(body, created_at=self.now())
            self._alerts[alert["id"]] = alert
            return dict(alert)

    def resolve_alert(self, alert_id: str) -> Alert:
        """Raises BackendError for an unknown id. An alert resolved before keeps its time."""
        with self._lock:
            alert = self._alerts.get(alert_id)
            if alert is None:
                raise BackendError("no alert has this id")
            if alert["isActive"]:
                alert.update(isActive=False, resolvedAt=milliseconds(self.now()))
            return dict(alert)


def refuse_violations(found: list[Violation]) -> None:
    if found:
        raise InvalidBodyError(found)


def new_entry(body: dict[str, Any], *, created_at: datetime) -> Entry:
    if any("\0" in value for value in body.values() if isinstance(value, str)):
        raise BackendError("PostgreSQL keeps no NUL characters in text")
    try:
        ended_at = datetime.fromisoformat(body["timestamp"]).astimezone(UTC)
        started_at = ended_at - timedelta(seconds=body["callDuration"])
    except OverflowError as exc:
        raise BackendError("the call's time is out of range") from exc
    return {
        "id": str(uuid.uuid4()),
        **{field: body.get(field) for field in CALL_RULES if field != "timestamp"},
        "callOwnerEmail": body.get("callOwnerEmail") or f"{body['callOwnerExtension']}@unknown.local",
        "startTime": milliseconds(started_at),
        "endTime": milliseconds(ended_at),
        "createdAt": milliseconds(created_at),
    }


def new_alert(body: dict[str, Any], *, created_at: datetime) -> Alert:
    return {
        "id": str(uuid.uuid4()),
        **{field: body.get(field) for field in ALERT_RULES},
        "isActive": True,
        "createdAt": milliseconds(created_at),
        "resolvedAt": None,
    }


def milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
