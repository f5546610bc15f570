"""What each answer of the Call Logger, and of what stands before it, means for a call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from cdr.edges.call_logger import answers
from cdr.edges.call_logger.answers import Meaning, error_of, error_of_harmless, meaning_of, wait_asked_for
from cdr.edges.http_client import Answer, HttpFailure, NeverSent, Unanswered
from shared.errors import (
    ApiDenied,
    ApiRejected,
    ApiUnavailable,
    ApiUnreachable,
    PipelineError,
    SubmissionUnknown,
    TakenElsewhere,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STATUSES = range(100, 1000)
REPORT = json.dumps({"timestamp": "x", "status": 500, "error": "Internal Server Error", "path": "/api", "message": "y"})

BODIES: dict[str, list[tuple[str, str]]] = {
    "no body": [("", ""), ("text/html", ""), ("application/json", "")],
    "own report": [("application/json", REPORT), ("Application/JSON; charset=utf-8", REPORT), ("", REPORT)],
    "with an id": [("application/json", '{"id": "7"}'), ("", '{"id": 7}')],
    "other JSON {}": [
        ("application/json", '{"id": {"a": 1}}'),
        ("", '{"id": ""}'),
        ("application/problem+json", "{}"),
        ("", '{"error": "x"}'),
    ],
    "anything else": [
        ("text/html", "<html>The plain HTTP request was sent to HTTPS port</html>"),
        ("text/plain", "error code: 1001"),
        ("text/plain", REPORT),
        ("text/html", "{}"),
        ("application/json", "[]"),
        ("application/json", '{"statusCode": 500, "message": "Internal server error", "activityId": "7"}'),
        ("application/json", '"in"'),
        ("application/json", '{"id": '),
        ("application/json", "[" * 50_000),
        ("application/json", " "),
    ],
}
"""Content type and text of each kind of body that the table has a column for."""

ERRORS: dict[Meaning, type[PipelineError]] = {
    Meaning.NOT_IN: ApiUnavailable,
    Meaning.NOT_YET_IN: ApiUnavailable,
    Meaning.BUSY: ApiUnreachable,
    Meaning.MAYBE_IN: SubmissionUnknown,
    Meaning.TAKEN: TakenElsewhere,
    Meaning.REFUSED: ApiRejected,
    Meaning.DENIED: ApiDenied,
    Meaning.ELSEWHERE: ApiDenied,
}


def answer(status: int, content_type: str = "", body: str = "", **headers: str) -> Answer:
    given = {"Content-Type": content_type} if content_type else {}
    return Answer(status, CaseInsensitiveDict(given | headers), body.encode())


def drawn() -> dict[int, list[str]]:
    """The table in the module's docstring: what it has in each column for every status."""
    rows = re.findall(
        r"^ {4}([\d -]+|the rest)  +(\w+) +(\w+) +(\w+) +(\w+) +(\w+)  ", answers.__doc__ or "", re.MULTILINE
    )
    found = {status: cells for which, *cells in rows for status in statuses(which.strip())}
    return {status: found.get(status, found[0]) for status in STATUSES}


def statuses(which: str) -> Iterator[int]:
    for part in which.replace("the rest", "0").split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


@pytest.mark.parametrize("column", range(5), ids=list(BODIES))
def test_every_status_with_every_body_means_what_the_table_says(column: int) -> None:
    kinds = list(BODIES.values())[column]
    found = {status: {meaning_of(answer(status, *kind)).name for kind in kinds} for status in STATUSES}
    assert found == {status: {cells[column]} for status, cells in drawn().items()}


def test_without_a_whole_answer_it_counts_whether_anything_was_sent() -> None:
    assert meaning_of(NeverSent("refused")) is Meaning.NOT_IN
    assert meaning_of(Unanswered("timed out")) is Meaning.MAYBE_IN


any_answer = st.builds(
    answer,
    st.sampled_from(STATUSES),
    st.sampled_from(
        ["", "application/json", "application/problem+json", "text/html", "text/plain; charset=utf-8", "é"]
    ),
    st.sampled_from([text for kinds in BODIES.values() for _, text in kinds]) | st.text(max_size=30),
)
outcomes = any_answer | st.sampled_from([NeverSent("no route"), Unanswered("reset")])


@given(outcomes)
def test_only_what_the_call_logger_says_itself_settles_rejects_or_lets_a_call_be_sent_again(
    outcome: Answer | HttpFailure,
) -> None:
    """Whatever else is drawn in the table: these are the ones that lose a call or enter it twice if they are wrong."""
    meaning = meaning_of(outcome)
    if isinstance(outcome, HttpFailure):
        assert meaning in (Meaning.NOT_IN, Meaning.MAYBE_IN)
        return
    is_object = answers.object_in(outcome) is not None
    if meaning is Meaning.IN:
        assert (outcome.status, is_object) == (201, True)
        assert outcome.json()["id"]
    if meaning is Meaning.IN_BEFORE:
        assert (outcome.status, outcome.body) == (409, b"")
    if meaning is Meaning.REFUSED:
        assert outcome.status in (400, 422)
        assert is_object
    if meaning in (Meaning.NOT_IN, Meaning.NOT_YET_IN):
        assert outcome.status == 500
        assert not outcome.body or is_object


@given(outcomes)
def test_each_meaning_has_its_error_and_each_error_is_one_line_that_says_what_to_look_at(
    outcome: Answer | HttpFailure,
) -> None:
    meaning, error = meaning_of(outcome), error_of(outcome, NOW)
    assert isinstance(error, ERRORS.get(meaning, ApiDenied))
    assert isinstance(error, ApiUnavailable) is (meaning in (Meaning.NOT_IN, Meaning.NOT_YET_IN, Meaning.BUSY))
    assert str(error).isprintable()
    if isinstance(outcome, Answer):
        assert str(error).startswith(f"the API answered {outcome.status}")
    if meaning in (Meaning.ELSEWHERE, Meaning.TAKEN):
        assert "check api.base_url" in str(error)
    harmless = error_of_harmless(outcome, NOW)
    assert not isinstance(harmless, SubmissionUnknown)
    assert meaning is not Meaning.TAKEN or isinstance(harmless, ApiDenied)
    assert isinstance(error, SubmissionUnknown) or type(harmless) is type(error)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (answer(403), "the API answered 403: check api.auth"),
        (
            answer(400, "application/json", '{"message": "too\\nlong"}'),
            'the API answered 400: {"message": "too\\nlong"}',
        ),
        (answer(500), "the API answered 500"),
        (
            answer(409, "text/plain", "error code: 1001"),
            "the API answered 409: check api.base_url (the Call Logger does not say so with text/plain)",
        ),
        (
            answer(404),
            "the API answered 404: check api.base_url (the Call Logger does not say so with no body)",
        ),
        (
            answer(404, "<b>/7", "x"),
            "the API answered 404: check api.base_url (the Call Logger does not say so with such a body)",
        ),
        (
            answer(302, Location="https://user:s3cret@login.example.com:8443/t/?code=s3cret"),
            "the API answered 302: check api.base_url (a redirection to login.example.com)",
        ),
        (answer(307, Location="/login"), "the API answered 307: check api.base_url (a redirection)"),
        (answer(308, Location="http://[::1"), "the API answered 308: check api.base_url (a redirection)"),
        (
            answer(407, "text/html", "x"),
            "the API answered 407: the proxy of HTTP_PROXY or HTTPS_PROXY wants a user and a password in its address",
        ),
        (
            answer(202),
            (
                "the API answered 202: check api.base_url (the Call Logger does not say so with no body); "
                "it may be on its way in"
            ),
        ),
        (
            NeverSent("Connection refused"),
            "the API was not reached; check api.base_url and the network (Connection refused)",
        ),
    ],
)
def test_an_error_says_in_words(outcome: Answer | HttpFailure, words: str) -> None:
    assert str(error_of(outcome, NOW)) == words


def test_only_a_401_is_certainly_said_of_every_call() -> None:
    denied = [answer(status, "text/html", "x") for status in (401, 403, 404, 407, 302)]
    assert [each.status for each in denied if error_of(each, NOW).of_all] == [401]


@pytest.mark.parametrize("status", [429, 503])
def test_being_turned_away_keeps_when_to_come_back(status: int) -> None:
    error = error_of(answer(status, **{"Retry-After": "3600"}), NOW)
    assert isinstance(error, ApiUnavailable if status == 429 else SubmissionUnknown)
    assert error.retry_after == timedelta(hours=1)
    harmless = error_of_harmless(answer(status, **{"Retry-After": "3600"}), NOW)
    assert isinstance(harmless, ApiUnavailable)
    assert harmless.retry_after == timedelta(hours=1)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", timedelta(seconds=7)),
        (" 0 ", timedelta()),
        ("Sun, 22 Nov 2026 12:01:00 GMT", timedelta(minutes=1)),
        pytest.param("Sun, 22 Nov 2026 14:01:00 +0200", timedelta(minutes=1), id="another-offset"),
        pytest.param("Sun, 22 Nov 2026 12:01:00 -0000", timedelta(minutes=1), id="no-offset"),
        pytest.param("Sunday, 22-Nov-26 12:01:00 GMT", timedelta(minutes=1), id="an-old-form"),
        pytest.param("Sun, 22 Nov 2026 11:59:00 GMT", timedelta(), id="past"),
        ("1.5", timedelta(seconds=1.5)),
        pytest.param("10, 3600 ,7", timedelta(hours=1), id="several"),
        pytest.param("9" * 400, timedelta(seconds=1e9), id="for-ever"),
        *[(text, None) for text in ("-1", "1e3", "soon", "", "٣", "7,")],
        pytest.param("Sun, 22 Nov 99999 12:00:00 GMT", None, id="no-such-year"),
        pytest.param("Mon, 99999999999999999999 Nov 2026 10:00:00 GMT", None, id="no-such-day"),
        pytest.param("Sun, 22 Nov 2026 10:00:00 +99999999999999999", None, id="no-such-offset"),
    ],
)
def test_the_wait_that_is_asked_for_is_seconds_or_a_date(header: str, wait: timedelta | None) -> None:
    assert wait_asked_for(answer(429, **{"Retry-After": header}), NOW) == wait


@pytest.mark.parametrize(
    ("date", "wait"),
    [
        ("Sun, 22 Nov 2026 14:59:30 GMT", timedelta(seconds=30)),
        ("Sun, 22 Nov 2026 15:00:07 GMT", timedelta()),
        ("yesterday", timedelta(hours=3)),
        ("", timedelta(hours=3)),
    ],
)
def test_a_date_to_come_back_at_is_one_of_the_clock_of_whoever_says_so(date: str, wait: timedelta) -> None:
    """Where that is hours ahead of ours, half a minute would be a pause of hours."""
    headers = {"Retry-After": "Sun, 22 Nov 2026 15:00:00 GMT", "Date": date}
    assert wait_asked_for(answer(429, **headers), NOW) == wait


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ("application/json, application/json", "application/json"),
        ("application/json; charset=UTF-8, Application/JSON", "application/json"),
        ("application/json, text/html", "application/json, text/html"),
        ("text/html; a=b", "text/html"),
        ("", ""),
    ],
)
def test_a_type_that_is_said_twice_is_that_type_and_two_are_none(headers: str, kind: str) -> None:
    assert answer(400, headers, "{}").content_type == kind


DATE_PIECES = ["Sun", ",", " ", "22", "Nov", "2026", "12:01:00", "25:61", "GMT", "+0200", "-0000", "9" * 20, ":", "-"]


@given(st.text(max_size=40) | st.lists(st.sampled_from(DATE_PIECES), max_size=12).map("".join))
@example("0,\n")
def test_whatever_is_asked_for_is_a_time_or_nothing(header: str) -> None:
    wait = wait_asked_for(answer(429, **{"Retry-After": header}), NOW)
    assert wait is None or wait >= timedelta()
