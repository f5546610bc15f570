"""The Call Logger's alerts of call groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from requests.auth import AuthBase

from cdr.edges.rest_api import CONNECT_TIMEOUT_S, failure, make_session, never_reached
from cdr.groups import AlertType, OpenAlert
from shared.errors import ApiUnavailable

MAX_MESSAGE = 1_000


class RestAlertApi:
    """An AlertApi. No retries in place: the next check is the retry."""

    def __init__(self, base_url: str, *, timeout: timedelta, auth: AuthBase, ca_file: str | None = None) -> None:
        self._url = f"{base_url}/alerts/call-groups"
        seconds = timeout.total_seconds()
        self._timeouts = (min(CONNECT_TIMEOUT_S, seconds), seconds)
        self._session = make_session(auth, ca_file)

    def active(self) -> Mapping[str, OpenAlert]:
        found = self._request("GET", self._url, params={"active": "true"})
        alerts = [(_text(item, "callGroupId"), _alert_in(item)) for item in found if isinstance(item, dict)]
        return {group_id: alert for group_id, alert in alerts if alert is not None}

    def raise_alert(self, group_id: str, name: str, kind: AlertType, message: str) -> OpenAlert:
        body = {
            "callGroupId": group_id,
            "callGroupName": name,
            "alertType": kind.value,
            "alertMessage": message[:MAX_MESSAGE],
        }
        alert = _alert_in(self._request("POST", self._url, json=body))
        if alert is None or alert.type is not kind:
            raise ApiUnavailable("the group has an active alert of another type, which must end first")
        return alert

    def resolve(self, alert_id: str) -> None:
        self._request("PUT", f"{self._url}/{alert_id}/resolve")

    def _request(self, method: str, url: str, **options: Any) -> Any:
        try:
            answer = self._session.request(method, url, timeout=self._timeouts, allow_redirects=False, **options)
        except requests.RequestException as exc:
            raise ApiUnavailable(never_reached(exc)) from exc
        if not answer.ok or answer.is_redirect:
            raise failure(answer.status_code, answer.text[:500], None)
        try:
            return answer.json() if answer.content else None
        except requests.JSONDecodeError as exc:
            raise ApiUnavailable("the API's answer is not JSON; check api.base_url") from exc


def _alert_in(item: Any) -> OpenAlert | None:
    """The alert of an answer, if it is one of ours."""
    if not isinstance(item, dict) or item.get("isActive") is False or _text(item, "alertType") not in set(AlertType):
        return None
    return OpenAlert(_text(item, "id"), AlertType(item["alertType"]), _moment(item.get("createdAt")))


def _text(item: Mapping[str, Any], name: str) -> str:
    return str(item.get(name) or "")


def _moment(value: Any) -> datetime:
    """The backend writes its times with or without an offset, depending on how it was set up; without, UTC is meant."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return datetime.now(UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
