"""The webhooks: what each kind is sent, and that one in trouble neither holds up the others nor gives its URL away."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cdr.edges.alert_webhooks import Webhook, WebhookNotifier
from cdr.groups.ports import Notice
from shared.errors import NoticeFailed
from tests.systems import receiver as receiver_program
from tests.systems.receiver import Answer, Receiver

NOTICE = Notice(
    event="raised",
    title="Call group 800 (Sales & <Service>): alert",
    text="Call group 800 (Sales & <Service>) has no available user; it has 2 members.",
    group_id="800",
    group_name="Sales & <Service>",
    alert_type="NO_ASSIGNED_USERS",
    at=datetime(2026, 11, 23, 8, 5, 3, 250_000, tzinfo=UTC),
)
SECRET_PATH = "/workflows/0f3c/hook?sig=very-secret-signature"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiver_program.start() as running:
        yield running


def notifier(*urls: str, kind: str = "json", timeout_s: float = 5) -> WebhookNotifier:
    return WebhookNotifier([Webhook(kind, url) for url in urls], timeout=timedelta(seconds=timeout_s))


# What is sent


@pytest.mark.parametrize("kind", ["teams", "slack", "json"])
def test_a_notice_is_posted_as_json_to_the_whole_url(receiver: Receiver, kind: str) -> None:
    assert notifier(receiver.url + SECRET_PATH, kind=kind).tell(NOTICE) == 1
    (sent,) = receiver.received
    assert (sent.method, sent.path) == ("POST", SECRET_PATH)
    assert sent.headers["Content-Type"] == "application/json"
    assert json.loads(sent.body)


@pytest.mark.parametrize(
    ("event", "colour"), [("raised", "Attention"), ("reminder", "Attention"), ("resolved", "Good")]
)
def test_teams_is_sent_one_adaptive_card(receiver: Receiver, event: str, colour: str) -> None:
    notifier(receiver.url, kind="teams").tell(
        Notice(event, "Title", "Text", "800", "Sales", "NO_ASSIGNED_USERS", NOTICE.at)
    )
    body = receiver.received[0].json
    assert body["type"] == "message"
    (attachment,) = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    title, text = card["body"]
    assert (title["type"], title["text"], title["color"]) == ("TextBlock", "Title", colour)
    assert (text["type"], text["text"], text["wrap"]) == ("TextBlock", "Text", True)


def test_slack_is_sent_text_in_which_nothing_is_a_link_or_a_call(receiver: Receiver) -> None:
    notifier(receiver.url, kind="slack").tell(NOTICE)
    text = receiver.received[0].json["text"]
    assert text.splitlines() == [
        "*Call group 800 (Sales &amp; &lt;Service&gt;): alert*",
        "Call group 800 (Sales &amp; &lt;Service&gt;) has no available user; it has 2 members.",
    ]
    assert list(receiver.received[0].json) == ["text"]


def test_any_other_webhook_is_sent_every_field(receiver: Receiver) -> None:
    notifier(receiver.url).tell(NOTICE)
    assert receiver.received[0].json == {
        "event": "raised",
        "title": "Call group 800 (Sales & <Service>): alert",
        "text": "Call group 800 (Sales & <Service>) has no available user; it has 2 members.",
        "groupId": "800",
        "groupName": "Sales & <Service>",
        "alertType": "NO_ASSIGNED_USERS",
        "at": "2026-11-23T08:05:03+00:00",
    }


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_counts_as_taken(receiver: Receiver, status: int) -> None:
    receiver.usual = Answer(status)
    assert notifier(receiver.url, receiver.url).tell(NOTICE) == 2


def test_without_webhooks_nobody_is_told() -> None:
    assert notifier().tell(NOTICE) == 0


def test_no_password_of_a_netrc_file_is_sent_along(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    notifier(receiver.url).tell(NOTICE)
    assert "Authorization" not in receiver.received[0].headers


# What goes wrong


def failure_of(broken: str, receiver: Receiver, **options: float) -> str:
    """The message about one broken webhook, after it was seen that the ones beside it were told."""
    with pytest.raises(NoticeFailed) as caught:
        notifier(receiver.url + "/before", broken, receiver.url + "/after", **options).tell(NOTICE)
    assert [sent.path for sent in receiver.received if sent.path in ("/before", "/after")] == ["/before", "/after"]
    shown = "".join(traceback.format_exception(caught.value))
    assert "very-secret-signature" not in shown
    assert "workflows" not in shown
    return str(caught.value)


@pytest.fixture
def broken() -> Iterator[Receiver]:
    with receiver_program.start() as running:
        yield running


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 429, 500, 503])
def test_a_refusal_is_told_with_its_status_and_the_others_still_get_the_notice(
    receiver: Receiver, broken: Receiver, status: int
) -> None:
    broken.usual = Answer(status, headers={"Location": receiver.url})
    assert failure_of(broken.url + SECRET_PATH, receiver) == f"the json webhook answered {status}"
    assert len(broken.received) == 1


def test_one_that_is_not_there_does_not_keep_the_others_from_the_notice(receiver: Receiver, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}{SECRET_PATH}"
    assert failure_of(url, receiver) == "the json webhook was not reached, or did not answer (Connection refused)"


def test_one_that_is_slow_is_not_waited_for(receiver: Receiver, broken: Receiver) -> None:
    broken.usual = Answer(delay_s=60)
    told = failure_of(broken.url + SECRET_PATH, receiver, timeout_s=0.6)
    assert told == "the json webhook was not reached, or did not answer (timed out)"


def test_one_that_gave_no_answer_is_left_alone_for_a_minute(receiver: Receiver, broken: Receiver) -> None:
    now = 1_000.0
    hooks = [Webhook("slack", broken.url), Webhook("json", receiver.url)]
    notifier = WebhookNotifier(hooks, timeout=timedelta(seconds=0.6), monotonic=lambda: now)
    broken.answers.append(Answer(delay_s=60))
    asked = []
    for passed_s, problem in ((0, r"\(timed out\)"), (59, "slack webhook did not answer a moment ago"), (1, None)):
        now += passed_s
        with pytest.raises(NoticeFailed, match=problem) if problem else nullcontext():
            notifier.tell(NOTICE)
        asked.append((len(broken.received), len(receiver.received)))
    assert asked == [(1, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("url", ["http://no-such-host.invalid", "http://", "http://[::1", "ftp://x", "http://a..b"])
def test_an_address_that_leads_nowhere_is_one_line_like_the_others(receiver: Receiver, url: str) -> None:
    assert failure_of(url + SECRET_PATH, receiver).startswith("the json webhook was not reached, or did not answer (")


def test_every_webhook_that_failed_is_named(broken: Receiver) -> None:
    broken.usual = Answer(500)
    hooks = [Webhook(kind, broken.url + SECRET_PATH) for kind in ("teams", "slack")]
    with pytest.raises(NoticeFailed, match="the teams webhook answered 500; the slack webhook answered 500"):
        WebhookNotifier(hooks).tell(NOTICE)


def test_the_url_is_in_no_log_line_and_no_repr(
    receiver: Receiver, broken: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    broken.usual = Answer(500)
    with caplog.at_level(logging.DEBUG):
        notifier(receiver.url + SECRET_PATH).tell(NOTICE)
        failure_of(broken.url + SECRET_PATH, receiver)
    assert "very-secret-signature" not in caplog.text
    assert "very-secret-signature" not in repr(Webhook("json", receiver.url + SECRET_PATH))
