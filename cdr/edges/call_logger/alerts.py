"""The Call Logger's alerts of call groups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from requests.auth import AuthBase

from cdr.edges.call_logger.calls import CONNECT_TIMEOUT_S, failure, limited_body, make_session, never_reached
from cdr.groups.alerts import AlertType, OpenAlert
from shared.errors import ApiUnavailable, SubmissionUnknown

MAX_MESSAGE = 1_000
MOST_BYTES = 4_000_000
"""Of an answer; thousands of alerts."""


class RestAlertApi:
    """An AlertApi. No retries in place: the next check is the retry."""

    def __init__(self, base_url: str, *, timeout: timedelta, auth: AuthBase, ca_file: str | None = None) -> None:
        self._url = f"{base_url}/alerts/call-groups"
        seconds = timeout.total_seconds()
        self._timeouts = (min(CONNECT_TIMEOUT_S, seconds), seconds)
        self._session = make_session(auth, ca_file)

    def active(self) -> Mapping[str, OpenAlert]:
        found = self._request("GET", self._url, params={"active": "true"})
        if not isinstance(found, list):
            raise ApiUnavailable("the API's answer is no list of alerts; check api.base_url")
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
            with self._session.request(
                method, url, timeout=self._timeouts, allow_redirects=False, stream=True, **options
            ) as answer:
                body = limited_body(answer, MOST_BYTES)
        except requests.RequestException as exc:
            raise ApiUnavailable(never_reached(exc)) from exc
        if not answer.ok or answer.is_redirect:
            error = failure(answer.status_code, body.decode("utf-8", "replace")[:500], None)
            if isinstance(error, SubmissionUnknown):  # of a call that would matter; an alert is only raised once anyhow
                error = ApiUnavailable(f"the API answered {answer.status_code}")
            raise error
        try:
            return json.loads(body) if body else None
        except (ValueError, RecursionError) as exc:
            raise ApiUnavailable("the API's answer is not JSON; check api.base_url") from exc


def _alert_in(item: Any) -> OpenAlert | None:
    """The alert of an answer, if it is one of ours."""
    if not isinstance(item, dict) or item.get("isActive") is False or not _text(item, "id"):
        return None
    if _text(item, "alertType") not in set(AlertType):
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
