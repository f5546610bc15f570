"""What a run says of the calls, and whether its tally balances."""

import io
import json
from datetime import UTC, datetime

import pytest
from rich.console import Console

from local.phone_system.agents import AgentEvent
from local.phone_system.pbx import CallEvent
from local.phone_system.script import CallKind, CallType, Leg, ScriptedCall
from local.phone_system.v20_pbx import Told
from local.run.lines import line_of_agent, line_of_event, line_of_other_output, line_of_phone, read_event
from local.run.tally import Backend, Tally
from local.run.terminal import Terminal

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def phone_event(change, row_id=1, *, kind=CallKind.INBOUND, caller="+12025550123", dest="101", answered=True):
    leg = Leg(caller, dest, "101", CallType.INBOUND, 2.0, answered)
    return CallEvent(change, NOON, row_id, ScriptedCall(kind, "A1", (leg,)), leg, duration_s=2)


def event(name, **fields):
    return {"event": name, **fields}


def text_of(line):
    return line and f"{line.where} | {line.call} | {line.what} | {line.detail}"


# Lines


@pytest.mark.parametrize(
    ("happened", "line"),
    [
        (phone_event("began"), "phone system | #1 | begins | inbound: +12025550123 → 101"),
        (phone_event("began", caller=""), "phone system | #1 | begins | inbound: no number → 101"),
        (
            phone_event("began", kind=CallKind.GROUP, dest="800"),
            "phone system | #1 | begins | group: +12025550123 → 800 (101)",
        ),
        (phone_event("ended", 7), "phone system | #7 | ends | answered, 2 s"),
        (phone_event("ended", answered=False), "phone system | #1 | ends | nobody answered"),
        (Told("00ab", 4, "rings", "101 Alice"), "phone system | #4 | rings | 101 Alice"),
    ],
)
def test_the_phone_system_says_who_calls_whom_and_how_it_ended(happened, line):
    assert text_of(line_of_phone(happened)) == line


def test_the_phone_system_says_who_logs_in_and_out():
    for change in ("in", "out"):
        line = line_of_agent(AgentEvent(change, "801", "104"))
        assert text_of(line) == f"phone system | 801 | logs {change} | agent 104"


@pytest.mark.parametrize(
    ("happened", "line"),
    [
        (event("poll.finished", queued=1), "queue |  | queued | 1 call"),
        (event("poll.finished", queued=2), "queue |  | queued | 2 calls"),
        (event("poll.finished", queued=0), None),
        (event("groups.checked", groups=2), None),
        (event("groups.held", reason="another"), None),
        (event("call.submitted", row_id=3, reason="created", entry_id="e1"), "Call Logger | #3 | arrived | entry e1"),
        (event("call.submitted", row_id=3, reason="known_before"), "Call Logger | #3 | arrived | known before"),
        (event("call.skipped", row_id=4, reason="unanswered"), "ledger | #4 | skipped | unanswered"),
        (event("call.rejected", row_id=5, reason="invalid_row", detail="x"), "ledger | #5 | rejected | invalid row: x"),
        (event("call.rejected", call="m-a", reason="no_message", detail="x"), "ledger |  | rejected | no message: x"),
        (event("poison.kept", row_id=6, detail="given up"), "ledger | #6 | rejected | given up"),
        (
            event("config.invalid", count=2, mistakes=["a", "b"]),
            "functions |  | config.invalid | count: 2, mistakes: a; b",
        ),
        (
            event("group.changed", group="8", after="alerted", members=3, available=0),
            "call group | 8 | alerted | 0 of 3 available",
        ),
        (
            event("group.changed", group="8", after="unknown", reason="no answer"),
            "call group | 8 | unknown | no answer",
        ),
        (event("group.changed", group="8", after="closed"), "call group | 8 | closed | "),
        (event("alert.raised", group="8", type="EMPTY", alert_id="a1"), "Call Logger | 8 | alert | raised: EMPTY"),
        (event("alert.resolved", group="8", alert_id="a1"), "Call Logger | 8 | alert | resolved"),
        (event("alert.failed", group="8", reason="no answer"), "functions | 8 | alert.failed | no answer"),
        (event("groups.failed", error="X", reason="no table"), "functions |  | groups.failed | no table"),
    ],
)
def test_the_functions_events_say_what_became_of_a_call_or_a_group(happened, line):
    call = f"#{happened['row_id']}" if "row_id" in happened else ""
    assert text_of(line_of_event(happened, call)) == line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "101 a@example.com, 4 s, from 12025550123, through 800"),
        ({"callDirection": "OUTBOUND", "callGroupId": None}, "101 a@example.com, 4 s, to 12025550123"),
    ],
)
def test_an_entry_says_whose_it_is_how_long_with_whom_and_through_which_queue(changes, line):
    entry = {"callOwnerExtension": "101", "callOwnerEmail": "a@example.com", "callDuration": 4, "callGroupId": "800"}
    entry |= {"callDirection": "INBOUND", "phoneNumber": "12025550123"} | changes
    arrived = line_of_event(event("call.submitted", reason="created", entry_id="e1"), "#3", entry)
    assert text_of(arrived) == f"Call Logger | #3 | arrived | {line}"


def test_trouble_stands_out():
    styles = {"poll.failed": "bold red", "call.unsettled": "yellow", "call.repeated": "dim"}
    assert {name: line_of_event(event(name, reason="x")).style for name in styles} == styles


TIME = "[2026-11-22T15:29:22.123Z] "


def test_a_whole_event_is_found_in_a_line_of_either_host():
    found = event("call.skipped", row_id=1)
    assert read_event(json.dumps(found)) == read_event(TIME + json.dumps(found)) == found
    for text in ("", "Host ready", TIME + '{"event": "call.sub'):
        assert read_event(text) is None


SHOWN = [
    f"{TIME}Executed 'Functions.submit_call' (Failed, Id=1, Duration=3ms)",
    "Traceback (most recent call last):",
    '  File "function_app.py", line 1, in <module>',
    f"{TIME}Queue 'cdr-calls': the service does not answer",
]
ROUTINE = [
    *("", "Functions:", "\tpoll_cdr: timerTrigger */5 * * * * *", "Host ready on http://127.0.0.1:7071"),
    f"{TIME}Executing 'Functions.poll_cdr' (Reason='Timer fired', Id=1)",
    f"{TIME}Executed 'Functions.poll_cdr' (Succeeded, Id=1, Duration=3ms)",
    f"{TIME}Queue 'cdr-calls': it does not exist yet; trying again",
]


def test_warnings_errors_and_tracebacks_are_shown_without_the_time_and_what_a_host_says_all_the_time_is_not():
    assert [line_of_other_output(text) for text in SHOWN] == [text.removeprefix(TIME) for text in SHOWN]
    assert [line_of_other_output(text) for text in ROUTINE] == [None] * len(ROUTINE)


# The tally


def tally(ended, *events, **outcomes):
    """One in which the calls `ended` ended, and rows came out as the lists in `outcomes` say."""
    kept = Tally()
    for row_id in ended:
        kept.note_phone(phone_event("began", row_id))
        kept.note_phone(phone_event("ended", row_id))
    for outcome, rows in outcomes.items():
        for row_id in rows:
            kept.note(event(f"call.{outcome}", row_id=row_id, reason=f"{outcome}_why"))
    for found in events:
        kept.note(found)
    return kept


def test_a_tally_in_which_every_call_came_out_once_balances_whatever_comes_twice():
    kept = tally([1, 2, 3, 4], submitted=[1, 2], skipped=[3, 3], rejected=[4])
    assert list(kept.mistakes(Backend(entries=2))) == []
    assert (len(kept.numbers), kept.waiting, kept.reasons("skipped")) == (4, [], {"skipped_why": 1})


def test_a_call_of_legs_is_shown_by_its_number_and_one_that_is_not_ours_by_the_end_of_its_id():
    kept = Tally()
    for what in ("begins", "rings", "ends"):
        kept.note_phone(Told("00000000-01dc-0001", 12, what, ""))
    assert [kept.shown(call) for call in ("00000000-01dc-0001", "00000000-01dc-301f", 7, None)] == [
        *("#12", "…301f", "#7", "")
    ]
    assert kept.waiting == ["#12"]
    kept.note(event("call.submitted", row_id="00000000-01dc-0001", reason="created"))
    assert list(kept.mistakes(Backend(entries=1))) == []


def test_queued_calls_and_alerts_add_up_and_what_the_host_gave_up_on_counts_as_rejected():
    polls = [event("poll.finished", queued=queued) for queued in (2, 0, 3)]
    alerts = [event(name, group="801") for name in ("alert.raised", "alert.raised", "alert.resolved")]
    kept = tally([1, 2], *polls, *alerts, event("poison.kept", row_id=2, detail="given up"), submitted=[1])
    assert (kept.queued, kept.alerts, kept.waiting) == (5, {"raised": 2, "resolved": 1}, [])
    assert kept.reasons("rejected") == {"gave_up": 1}


@pytest.mark.parametrize(
    ("kept", "backend", "mistake"),
    [
        (tally([]), Backend(0), "no call arrived at the Call Logger"),
        (tally([1], skipped=[1]), Backend(0), "no call arrived at the Call Logger"),
        (tally([1]), None, "no call arrived at the Call Logger"),
        (tally([1, 2, 3], submitted=[1]), Backend(1), "calls that ended did not come out: #2, #3"),
        (tally([1], submitted=[1]), Backend(2), "2 calls came out, 1 ended"),
        (tally([1, 2], submitted=[1, 2]), Backend(1), "1 calls came out, 2 ended"),
        (tally([1], submitted=[1]), Backend(2, ("A1-1",)), "calls arrived more than once: A1-1"),
    ],
)
def test_a_tally_that_does_not_balance_says_what_is_wrong(kept, backend, mistake):
    assert mistake in list(kept.mistakes(backend))


def test_for_ones_own_system_a_call_that_arrived_is_success():
    kept = tally([], submitted=[7])
    assert list(kept.mistakes(None)) == []
    written = io.StringIO()
    Terminal(Console(file=written)).summary("After 3 s:", kept, None)
    said = " ".join(written.getvalue().split())
    assert said == "After 3 s: queue 0 queued submitted 1 skipped 0 rejected 0"
