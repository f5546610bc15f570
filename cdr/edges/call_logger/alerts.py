"""The Call Logger's alerts of call groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from requests.auth import AuthBase

from cdr.edges.call_logger.answers import error_of_harmless
from cdr.edges.http_client import Answer, HttpClient, HttpFailure
from cdr.groups.alerts import AlertType, OpenAlert
from shared.clock import Clock, moment_in
from shared.errors import ApiDenied, ApiUnavailable

MAX_MESSAGE = 1_000
MOST_BYTES = 4_000_000
"""Of an answer; thousands of alerts."""


class RestAlertApi:
    """An AlertApi. No retries in place: the next check is the retry. To ask for anything twice does no harm."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: timedelta,
        auth: AuthBase,
        clock: Clock,
        ca_file: str | None = None,
    ) -> None:
        self._http = HttpClient(f"{base_url}/alerts/call-groups", timeout=timeout, auth=auth, ca_file=ca_file)
        self._clock = clock

    def active(self) -> Mapping[str, OpenAlert]:
        found = self._asked("GET", params={"active": "true"})
        if not isinstance(found, list):
            raise ApiDenied("the API's answer is no list of alerts; check api.base_url")
        alerts = [(_text(item, "callGroupId"), self._alert_in(item)) for item in found if isinstance(item, dict)]
        return {group_id: alert for group_id, alert in alerts if alert is not None}

    def raise_alert(self, group_id: str, name: str, kind: AlertType, message: str) -> OpenAlert:
        body = {
            "callGroupId": group_id,
            "callGroupName": name,
            "alertType": kind.value,
            "alertMessage": message[:MAX_MESSAGE],
        }
        found = self._asked("POST", json=body)
        if not isinstance(found, dict) or not _text(found, "id"):
            raise ApiDenied("the API's answer is no alert; check api.base_url")
        alert = self._alert_in(found)
        if alert is None or alert.type is not kind:
            raise ApiUnavailable("the group has an active alert of another type, which must end first")
        return alert

    def resolve(self, alert_id: str) -> None:
        self._asked("PUT", f"/{quote(alert_id, safe='', errors='replace')}/resolve")

    def _asked(self, method: str, path: str = "", **options: Any) -> Any:
        """What a successful answer holds; None for an empty one."""
        try:
            answer = self._http.exchange(method, path, most_bytes=MOST_BYTES, **options)
        except HttpFailure as exc:
            raise error_of_harmless(exc, self._clock.now()) from exc
        if not answer.is_success:
            raise error_of_harmless(answer, self._clock.now())
        return _json_in(answer)

    def _alert_in(self, item: Mapping[str, Any]) -> OpenAlert | None:
        """The alert of an answer, if it is one of ours."""
        kind = _text(item, "alertType")
        if item.get("isActive") is False or not _text(item, "id") or kind not in set(AlertType):
            return None
        # The backend writes its times with or without an offset, depending on how it was set up; without, UTC is meant.
        raised_at = moment_in(item.get("createdAt")) or self._clock.now()
        return OpenAlert(_text(item, "id"), AlertType(kind), raised_at)


def _json_in(answer: Answer) -> Any:
    try:
        return answer.json() if answer.body else None
    except ValueError as exc:
        raise ApiDenied("the API's answer is not JSON; check api.base_url") from exc


def _text(item: Mapping[str, Any], name: str) -> str:
    return str(item.get(name) or "")
