"""What the page says: one word, a sentence, numbers with their units, and times where the people are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import azure.functions as func
import pytest

from cdr.calls.message import Unreadable
from cdr.groups.alerts import AlertType, GroupState, GroupView
from cdr.intake.ports import Progress
from cdr.operations.side_by_side import Problem
from cdr.operations.status import ExtensionsNow, GroupNow
from cdr.operations.verdict import Flow, Part, verdict
from cdr.submission.directory import KeptPhoneBook, PhoneBook
from cdr.submission.submit import submit
from cdr.web import routes
from cdr.web.html import html_answer
from cdr.web.page import Fact, Page, in_seconds, in_words, page_of
from cdr.web.verdict_words import SENTENCES, TO_DO, WORDS
from cdr.wiring.parts import Parts
from shared.errors import StorageUnavailable
from tests.support.factories import make_message
from tests.support.scenes import EVERY, NOW, SCENES, STATUSES
from tests.unit.conftest import MAPPED

SOUND_LEDGER: Any = STATUSES["healthy"].ledger


def told(name: str, **changed: Any) -> Page:
    status = replace(STATUSES[name], **changed)
    return page_of(status, verdict(status, NOW, EVERY), NOW)


def fact(page: Page, name: str) -> Fact:
    return next(fact for fact in page.facts if fact.name == name)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (5_400, "1 h 30 min"), (7_201, "2 h"), (183_600, "2 d 3 h")],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


def test_a_poll_takes_milliseconds_or_seconds() -> None:
    assert [in_seconds(each) for each in (999, 1_000, 61_049)] == ["999 ms", "1.0 s", "61.0 s"]


def test_there_is_a_word_for_each_flow_and_a_sentence_for_each_part_that_can_keep_calls() -> None:
    assert set(WORDS) == set(Flow)
    assert {part for flow, part in SENTENCES if flow is Flow.STOPPED} == set(Part)


def test_whatever_is_not_well_has_a_sentence_that_says_what_to_do() -> None:
    assert TO_DO.keys() == {what for what in SENTENCES if what[0] is not Flow.FLOWS}
    shown = html_answer(SCENES["outage"], "n").get_body().decode()
    assert TO_DO[Flow.STOPPED, Part.PHONE_SYSTEM] in unescape(shown)


def test_times_are_told_in_the_zone_of_the_business_hours_with_their_day_where_that_is_another() -> None:
    page = SCENES["healthy"]
    assert page.headline.since is not None
    assert (page.headline.since.text, page.headline.since.iso) == ("24 Nov 13:42", "2026-11-24T12:42:07+00:00")
    assert (page.made.text if page.made else "", page.zone) == ("15:42:07", "Europe/Berlin")


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (None, "nothing yet"),
        (17, "17"),
        ("20261101", "20261101"),
        ("no time", "no time"),
        ("2026-11-25T14:41:50+00:00", "15:41:50"),
    ],
)
def test_how_far_was_read_is_an_id_or_a_time(position: int | str | None, value: str) -> None:
    assert fact(told("healthy", progress=Progress(position)), "Read up to").value == value


def test_what_is_rejected_is_listed_by_reason_the_most_frequent_first() -> None:
    lines = SCENES["healthy"].rejected
    assert [(line.reason, line.count) for line in lines] == [("unmapped_extension", 9), ("refused_by_api", 3)]
    assert "e-mail address" in lines[0].sentence
    assert [line.sentence for line in SCENES["backlog"].rejected if line.reason == "of_a_newer_version"] == [""]


def test_what_lags_is_marked_and_what_else_wants_to_be_known_is_listed() -> None:
    page = SCENES["backlog"]
    assert fact(page, "Behind the phone system") == Fact("Behind the phone system", "2 h", "5,120 ids to read", "late")
    assert fact(page, "On the queue").tone == "late"
    assert fact(page, "On the poison queue").tone == "bad"
    assert [notice.split(":")[0] for notice in page.notices] == [
        "2 messages lie on the poison queue, until they are kept as rejected",
        "Since 14",
    ]


def test_while_not_every_call_is_counted_the_page_says_so() -> None:
    page = told("healthy", ledger=replace(SOUND_LEDGER, complete=False))
    assert page.notices == ("What earlier versions wrote into the ledger is still being counted",)
    assert fact(page, "In the ledger").value == "at least 26,146"


def test_what_is_wrong_with_the_phone_book_and_with_the_position_wants_to_be_known() -> None:
    book = KeptPhoneBook("database", NOW, PhoneBook({}, {"101": "none"}), NOW, "SourceUnavailable: no answer")
    page = told("healthy", extensions=ExtensionsNow(42, 3, book), progress=Problem("it is damaged"))
    assert page.notices == (
        "The phone book could not be read: SourceUnavailable: no answer",
        "1 extensions of the phone book have no usable address",
        "it is damaged",
    )


def test_groups_are_told_with_who_is_there_and_whether_an_alert_is_raised() -> None:
    assert [(line.name, line.tone, line.text) for line in SCENES["outage"].groups] == [
        ("Sales (800)", "bad", "0 of 6 available, since 12:42, alert raised"),
        ("Support (801)", "late", "since 12:42"),
    ]
    assert [line.word for line in SCENES["first day"].groups] == ["not checked yet"]
    by_hand = GroupView(GroupState.ALERTED, None, 6, 0, "17", resolved_by_hand=AlertType.NO_ASSIGNED_USERS)
    lines = told("healthy", groups=[GroupNow("800", "", by_hand), GroupNow("801", "Support", None)]).groups
    assert not isinstance(lines, str)
    assert [(line.name, line.word, line.text) for line in lines] == [
        ("800", "nobody is there", "0 of 6 available, alert ended by hand"),
        ("Support (801)", "not checked", "nobody can be asked: call_groups.members.source is none"),
    ]


def test_what_cannot_be_read_is_told_in_its_place() -> None:
    page = SCENES["storage is down"]
    why = "table CdrState: no answer within 2 s"
    assert {page.chart, page.polls, page.rejected, page.groups} == {why}
    assert fact(page, "On the queue") == Fact("On the queue", "not known", why)
    assert fact(page, "Call Logger").value == "answers"
    shown = html_answer(page, "n").get_body().decode()
    assert (shown.count(why), shown.count("Not known, for the reason above.")) == (1, 4), "it is told once"


def test_why_several_polls_failed_is_told_once() -> None:
    failed = [line.text for line in SCENES["outage"].polls if line.tone == "bad"]
    assert set(failed[1:]) == {"for the same reason"}
    assert (
        failed[0]
        == SCENES["outage"].headline.why
        == "3cx.cdr_database: the server pbx.example.internal does not " + ("answer on port 5432")
    )


# As HTML


def asked(parts: Parts, route: str = "status", **headers: str) -> func.HttpResponse:
    request = func.HttpRequest("GET", f"https://example.com/{route}", headers=headers, params={}, body=b"")
    response: func.HttpResponse = getattr(routes, route)(request, parts)
    return response


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("headers", "type_"),
    [
        (BROWSER, "text/html"),
        ({}, "application/json"),
        ({"Accept": "*/*"}, "application/json"),
        ({"Accept": "application/json"}, "application/json"),
    ],
    ids=["a browser", "nothing said", "curl", "a program"],
)
def test_a_browser_gets_a_page_and_a_program_json(
    make_parts: Callable[..., Parts], headers: dict[str, str], type_: str
) -> None:
    answer = asked(make_parts(), **headers)
    assert (answer.status_code, answer.mimetype, answer.headers["Vary"]) == (200, type_, "Accept")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_browser_is_told_on_the_page_what_is_wrong_with_the_configuration(make_parts: Callable[..., Parts]) -> None:
    answer = asked(make_parts(MAPPED + "calls: {phone_format: <b>}\n", without=["source"]), **BROWSER)
    text = answer.get_body().decode()
    assert (answer.status_code, "Calls do not flow" in text, "calls.phone_format" in text) == (503, True, True)
    assert "<b>}" not in text


def test_a_browser_is_told_on_the_page_which_part_is_down(make_parts: Callable[..., Parts]) -> None:
    parts = make_parts()
    parts.positions.fail_at(1, StorageUnavailable("table CdrState: 503"))
    text = asked(parts, **BROWSER).get_body().decode()
    assert "The storage account does not do its work" in text


def test_the_page_that_anybody_gets_has_nothing_on_it(make_parts: Callable[..., Parts]) -> None:
    parts = make_parts()
    submit(Unreadable("garbage", "the message is not JSON"), parts.worker)
    submit(make_message(extension="199"), parts.worker)
    answer = asked(parts, "page")
    text = re.sub(r"<(script|style).*?</\1>", "", answer.get_body().decode(), flags=re.DOTALL)
    assert (answer.status_code, 'id="word"' in text) == (200, False)
    assert not re.search("rejected|unmapped|invalid_message|Version", text)


def test_each_page_has_a_nonce_of_its_own_without_which_nothing_runs(make_parts: Callable[..., Parts]) -> None:
    parts, nonces = make_parts(), set()
    for _ in range(2):
        answer = asked(parts, **BROWSER)
        policy = dict(each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; "))
        (nonce,) = re.findall("'nonce-(.+)'", policy["script-src"])
        nonces.add(nonce)
        assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        text = answer.get_body().decode()
        assert re.findall(r"<(?:script|style)(?: [^>]*)?>", text) == [
            f'<{tag} nonce="{nonce}">' for tag in ("style", "script")
        ]
        assert not re.search(r"\sstyle=|\son[a-z]+=|https?:", text)
    assert len(nonces) == 2


def test_whatever_stands_in_a_status_is_text_on_the_page() -> None:
    evil = "'\"><script>alert(1)</script>\ud800"
    status = STATUSES["backlog"]
    ledger = replace(status.ledger, rejected={evil: 1})  # type: ignore[type-var]
    page = told("backlog", version=evil, source=evil, ledger=ledger, lag=replace(status.lag, seconds=0))  # type: ignore[type-var]
    for each in (page, replace(page, notices=(evil,), headline=replace(page.headline, why=evil, tone="bad"))):
        assert b"<script>alert" not in html_answer(each, "nonce").get_body()
