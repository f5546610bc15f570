"""Tells people about alerts: a Microsoft Teams workflow, a Slack-compatible webhook, or any that takes JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from cdr.edges.http_client import HttpClient, HttpFailure
from cdr.groups.ports import Notice
from shared.errors import NoticeFailed

TIMEOUT = timedelta(seconds=5)
REST = timedelta(minutes=1)


Kind = Literal["teams", "slack", "json"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """The URL is a secret: whoever has it can post."""

    kind: Kind
    url: str = field(repr=False)


class WebhookNotifier:
    """A Notifier. Every webhook is tried, whatever becomes of the others, each for no longer than ``timeout``; and one
    that gave no answer has a rest, so that it does not hold up one notice after the other."""

    def __init__(
        self,
        webhooks: Sequence[Webhook],
        *,
        timeout: timedelta = TIMEOUT,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lines = [_Line(hook.kind, HttpClient(hook.url, timeout=timeout), monotonic) for hook in webhooks]

    def tell(self, notice: Notice) -> int:
        told = [line.tell(notice) for line in self._lines]
        if failed := [problem for problem in told if problem is not None]:
            raise NoticeFailed("; ".join(failed))
        return len(told)


@dataclass
class _Line:
    kind: Kind
    http: HttpClient
    monotonic: Callable[[], float]
    _rests_until: float | None = None

    def tell(self, notice: Notice) -> str | None:
        """:returns: what went wrong, if anything"""
        if self._rests_until is not None and self.monotonic() < self._rests_until:
            return f"the {self.kind} webhook did not answer a moment ago"
        try:
            answer = self.http.exchange("POST", json=payload(self.kind, notice), most_bytes=0)
        except HttpFailure as exc:
            self._rests_until = self.monotonic() + REST.total_seconds()
            return f"the {self.kind} webhook was not reached, or did not answer ({exc})"
        return None if answer.is_success else f"the {self.kind} webhook answered {answer.status}"


def payload(kind: Kind, notice: Notice) -> Mapping[str, Any]:
    """The body that a kind of webhook takes."""
    if kind == "slack":
        return {"text": _slack_text(f"*{notice.title}*\n{notice.text}")}
    if kind == "teams":
        return _adaptive_card(notice)
    return {
        "event": notice.event,
        "title": notice.title,
        "text": notice.text,
        "groupId": notice.group_id,
        "groupName": notice.group_name,
        "alertType": notice.alert_type,
        "at": notice.at.isoformat(timespec="seconds"),
    }


def _slack_text(text: str) -> str:
    """Slack takes what stands in angle brackets as a link or as somebody to call."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _adaptive_card(notice: Notice) -> Mapping[str, Any]:
    colour = "Good" if notice.event == "resolved" else "Attention"
    title = {"type": "TextBlock", "text": notice.title, "weight": "Bolder", "size": "Medium", "color": colour}
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [title, {"type": "TextBlock", "text": notice.text, "wrap": True}],
                },
            }
        ],
    }
