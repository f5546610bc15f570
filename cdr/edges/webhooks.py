"""Tells people about alerts: a Microsoft Teams workflow, a Slack-compatible webhook, or any that takes JSON."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from cdr.edges.call_logger.auth import NoCredentials
from cdr.groups.ports import Notice
from shared.errors import NoticeFailed

TIMEOUT_S = 5.0

# At the level of debugging it writes every path and query, which of a webhook is the secret.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Webhook:
    """``kind`` is teams, slack or json. The URL is a secret: whoever has it can post."""

    kind: str
    url: str = field(repr=False)


class WebhookNotifier:
    """A Notifier. Every webhook is tried, whatever becomes of the others."""

    def __init__(self, webhooks: Sequence[Webhook]) -> None:
        self._webhooks = webhooks

    def tell(self, notice: Notice) -> int:
        failed = [problem for hook in self._webhooks if (problem := _post(hook, notice)) is not None]
        if failed:
            raise NoticeFailed("; ".join(failed))
        return len(self._webhooks)


def _post(hook: Webhook, notice: Notice) -> str | None:
    try:
        # A stream, whose body nobody reads: it may be long. The URL is all the credential there is.
        with requests.post(
            hook.url,
            json=payload(hook.kind, notice),
            timeout=TIMEOUT_S,
            allow_redirects=False,
            stream=True,
            auth=NoCredentials(),
        ) as answer:
            said = answer.status_code
    except (requests.RequestException, ValueError) as exc:  # ValueError: a host name that cannot be one
        return f"the {hook.kind} webhook was not reached ({type(exc).__name__})"
    return None if said < requests.codes.multiple_choices else f"the {hook.kind} webhook answered {said}"


def payload(kind: str, notice: Notice) -> Mapping[str, Any]:
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
