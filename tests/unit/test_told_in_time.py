"""Alerts are up when they should be, and operators' questions are answered, by what the code writes to the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cdr.submission.submit import Outcome
from shared import log
from shared.errors import ApiFailed, ApiUnreachable, PipelineError, SubmissionUnknown
from tests.fakes.clock import HandMovedClock
from tests.support.kql import queries, shown
from tests.support.traces import Traces, traces_of
from tests.support.workshop import Workshop

MINUTE = timedelta(minutes=1)


@pytest.fixture
def traces(clock: HandMovedClock) -> Iterator[Traces]:
    with traces_of(clock) as traces:
        yield traces


def ask(traces: Traces, name: str, **changed: str) -> list[dict[str, Any]]:
    query = queries()[name]
    for constant, other in changed.items():
        query = query.replace(f'"{constant}"', f'"{other}"')
    return traces.ask(query)


# Alerts


@pytest.mark.parametrize("error", [ApiUnreachable("refused"), ApiFailed("500"), SubmissionUnknown("reset")], ids=repr)
def test_an_outage_of_the_api_is_told_after_a_quarter_of_an_hour_and_until_a_call_gets_in(
    shop: Workshop, traces: Traces, error: PipelineError
) -> None:
    shop.submit_row(id=1)
    up = []
    for minute in range(24):
        shop.clock.move(MINUTE)
        shop.api.fail_at(1, error)
        shop.submit_row(id=100 + minute)
        if minute in (13, 23):
            up.append(traces.alerts("api-down"))
    assert up == [[], [()]]
    shop.clock.move(7 * MINUTE)  # until the breaker has forgotten, and a claim that may be on its way has run out
    assert Outcome.SUBMITTED in [shop.submit_row(id=200 + n) for n in range(2)]
    assert traces.alerts("api-down") == []


def test_a_single_call_that_the_api_fails_at_is_no_outage_while_others_get_in(shop: Workshop, traces: Traces) -> None:
    for minute in range(30):
        shop.clock.move(MINUTE)
        shop.api.fail_at(1, ApiFailed("500"))
        shop.submit_row(id=1)
        shop.submit_row(id=100 + minute)
    assert traces.alerts("api-down") == []


def test_one_call_that_fails_all_night_long_is_told_without_pauses(shop: Workshop, traces: Traces) -> None:
    """It is tried every half hour, and nobody knows whether it is the call or the API."""
    up = []
    shop.api.fail_at(1, ApiFailed("500"))
    shop.submit_row()
    for minute in range(180):
        shop.clock.move(MINUTE)
        shop.api.fail_at(1, ApiFailed("500"))
        shop.deliver_visible()
        if minute % 13 == 0 and minute > 45:
            up.append(traces.alerts("api-down"))
    assert up == [[()]] * len(up)


def test_each_reason_of_a_rejection_is_an_alert_of_its_own(shop: Workshop, traces: Traces) -> None:
    for number, changed in enumerate([{"extension": "999"}, {"duration_s": -1}, {"extension": "998"}]):
        shop.submit_row(id=number, **changed)
    assert traces.alerts("call-rejected") == [("invalid_row",), ("unmapped_extension",)]
    shop.clock.move(16 * MINUTE)
    assert traces.alerts("call-rejected") == []


def test_a_run_that_fails_unasked_is_told_by_its_function(clock: HandMovedClock, traces: Traces) -> None:
    for name, url, success in (
        ("clean_ledger", "", False),
        ("poll_cdr", "", True),
        ("health", "https://app/health", False),
    ):
        traces.ran(name, url, success=success)
    assert traces.alerts("run-failed") == [("clean_ledger",)]
    clock.move(16 * MINUTE)
    assert traces.alerts("run-failed") == []


Line = tuple[int, str, dict[str, Any]]
POLLS: list[Line] = [(minute, "poll.finished", {}) for minute in range(0, 30, 5)]
DEPTHS = [{"queue_depth": depth} for depth in (90, 120, 150, 170)]
STORIES: dict[str, tuple[str, list[Line], list[tuple[str, ...]]]] = {
    "polls finish": ("no-poll", POLLS, []),
    "they did, until 20 minutes ago": ("no-poll", POLLS[:3], [()]),
    "none at all": ("no-poll", [(29, "poll.failed", {})], [()]),
    "groups are looked at": ("no-group-check", [(0, "groups.checked", {})], []),
    "they are not": ("no-group-check", [(0, "groups.failed", {})], [()]),
    "behind for a moment": ("lag", [(29, "poll.finished", {"lag_s": 500})], []),
    "behind": ("lag", [(29, "poll.finished", {"lag_s": 700})], [()]),
    "it was, and caught up": ("lag", [(5, "poll.finished", {"lag_s": 700}), (29, "poll.finished", {"lag_s": 0})], []),
    "grows": ("queue-growing", [(9 * n, "poll.finished", d) for n, d in enumerate(DEPTHS[1:], 1)], [()]),
    "grows from little": ("queue-growing", [(7 * n, "poll.finished", d) for n, d in enumerate(DEPTHS, 1)], []),
    "shrinks": ("queue-growing", [(9 * n, "poll.finished", d) for n, d in enumerate(DEPTHS[:0:-1], 1)], []),
    "not told": ("queue-growing", [(29, "poll.finished", {})], []),
    "a hiccup": ("storage-failing", [(29, "storage.failed", {})] * 4, []),
    "an outage": ("storage-failing", [(29, "poll.failed", {"error": "StorageUnavailable"})] * 5, [()]),
    "of another kind": ("storage-failing", [(29, "poll.failed", {"error": "SourceUnavailable"})] * 5, []),
    "a table": ("storage-vanished", [(29, "storage.made_anew", {"what": "table CdrCalls"})], [("table CdrCalls",)]),
    "nothing was missing": (
        "reconciliation",
        [(29, "reconcile.finished", {"missing": 0, "changed": 0, "complete": True})],
        [],
    ),
    "one was": ("reconciliation", [(29, "reconcile.finished", {"missing": 1, "changed": 0, "complete": True})], [()]),
    "not all of it": (
        "reconciliation",
        [(29, "reconcile.finished", {"missing": 0, "changed": 0, "complete": False})],
        [()],
    ),
    "told an hour ago": ("directory", [(29, "directory.failed", {"age_s": 3_600})], []),
    "told a day ago": ("directory", [(29, "directory.failed", {"age_s": 86_400})], [()]),
    "never told": ("directory", [(29, "directory.failed", {})], [()]),
    "two things": (
        "groups",
        [(29, "groups.unknown", {}), (29, "alert.failed", {})],
        [("alert.failed",), ("groups.unknown",)],
    ),
    "one look that failed": ("source-unwatched", [(29, "source.watch_failed", {})], []),
    "look after look": ("source-unwatched", [(n, "source.watch_failed", {}) for n in range(10, 20)], [()]),
    "ids began again": ("source", [(29, "source.ids_started_again", {})], [("source.ids_started_again",)]),
    "the API denies": ("api-denied", [(29, "api.denied", {})], [()]),
    "too many": ("rejections-stopped", [(29, "rejections.stopped", {})], [()]),
    "poison": ("poison", [(29, "poison.kept", {})], [()]),
    "mistakes": ("config-invalid", [(29, "config.invalid", {})], [()]),
    "no notice": ("webhook", [(29, "notice.failed", {})], [()]),
}
"""A rule, what is logged at which minute, and which of its alerts are up in the thirtieth."""


@pytest.mark.parametrize(("rule", "lines", "up"), STORIES.values(), ids=STORIES)
def test_an_alert_is_up_when_it_should_be(
    clock: HandMovedClock, traces: Traces, *, rule: str, lines: list[Line], up: list[tuple[str, ...]]
) -> None:
    began = clock.now()
    for minute, event, fields in lines:
        clock.move(began + minute * MINUTE - clock.now())
        log.event(event, level=logging.WARNING, **fields)
    clock.move(began + 30 * MINUTE - clock.now())
    assert traces.alerts(rule) == up


# Questions


def test_the_log_tells_what_happened_to_a_call_and_how_long_it_took(shop: Workshop, traces: Traces) -> None:
    shop.api.fail_at(1, ApiUnreachable("refused"))
    shop.submit_row()
    shop.clock.move(MINUTE)
    shop.deliver_visible()
    history = ask(traces, "docs/queries.md 1")
    assert [(row["event"], row["error"] or row["reason"], row["tries"]) for row in history] == [
        ("call.put_back", "ApiUnreachable", 1),
        ("call.submitted", "created", 1),
    ]
    ((until_entry,), (rate,)) = ask(traces, "docs/queries.md 3"), ask(traces, "docs/queries.md 4")
    waited_s = 2 * 3_600 - 90 + 60
    assert (until_entry["calls"], until_entry["half_s"], until_entry["most_s"]) == (1, waited_s, waited_s)
    assert (rate["requests"], rate["answers"], rate["success_percent"]) == (2, 1, 50.0)
    (failure,) = ask(traces, "docs/queries.md 5")
    assert (failure["error"], failure["reason"]) == ("ApiUnreachable", "refused")


def test_the_log_tells_why_an_extension_was_not_logged(shop: Workshop, traces: Traces) -> None:
    shop.submit_row(id=1)
    shop.submit_row(id=2, extension="105")
    shop.submit_row(id=3, extension="105", answered=False)
    shop.submit_row(id=3, extension="105", answered=False)
    found = ask(traces, "docs/queries.md 2")
    assert sorted((row["event"], row["reason"], row["detail"]) for row in found) == [
        ("call.rejected", "unmapped_extension", "extension 105 has no address in extension_mapping"),
        ("call.skipped", "unanswered", ""),
    ]


def test_every_other_question_has_an_answer_where_there_is_something_to_tell(
    shop: Workshop, traces: Traces, clock: HandMovedClock
) -> None:
    """The answers' columns are for people; here it counts that there are some."""
    shop.submit_row()
    shop.submit_row(id=8, extension="999")
    log.event("poll.finished", lag_s=1, queue_depth=2, poison_depth=0, rows_read=1, duration_ms=1_500, open_rows=0)
    log.event("alert.raised", level=logging.WARNING, group="800", group_name="Sales", type="NO_ASSIGNED_USERS")
    log.event("group.changed", group="800", before="ok", after="alerted")
    for name, query in queries().items():
        if not name.startswith("alert ") and name != "docs/queries.md 5":
            assert traces.ask(query.replace("{Call}", "0000017F-7-7").replace('"105"', '"999"')), name
    assert len(traces.ask(shown()["history"].replace("{Call}", "999"))) == 1
