"""The times that hang together do, with each other, with host.json and with what can be configured."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cdr.edges.sql.timeouts import Timeouts
from cdr.wiring.times import Times
from shared.config.call_logger import Api
from shared.config.phone_system import CdrDatabase

ROOT = Path(__file__).parents[3]
HOST: dict[str, Any] = json.loads((ROOT / "host.json").read_text())
QUEUES: dict[str, Any] = HOST["extensions"]["queues"]
LONGEST_HTTP_ANSWER = timedelta(seconds=230)
"""After that the platform's load balancer answers in place of the app."""

TIMES, MOMENT = Times(), timedelta(microseconds=1)

BROKEN = {
    "an attempt fits into the budget": {"longest_attempt": TIMES.submit_budget},
    "the claim outlasts the budget": {"submit_budget": TIMES.claim_lease},
    "a failed message comes after the claim": {"redelivery": TIMES.claim_lease},
    "delays grow": {"first_delay": TIMES.longest_delay + MOMENT},
    "delays grow, also alone": {"longest_delay_alone": TIMES.longest_delay - MOMENT},
    "the breaker remembers for longer than a message waits": {"api_forget_after": TIMES.longest_delay},
    "a message comes back before its claim counts as stalled": {"stalled_after": TIMES.longest_delay_alone},
    "a poll is over before the host ends it": {"longest_poll": TIMES.longest_run - TIMES.poll_lease},
    "a group's turn fits into the lease": {"groups_longest_step": TIMES.groups_lease},
    "who did not know of an extension is done by the second look": {
        "look_again_after": TIMES.addresses_fresh_for + TIMES.claim_lease
    },
}


@pytest.mark.parametrize(("rule", "changed"), BROKEN.items(), ids=BROKEN)
def test_times_that_do_not_hang_together_are_refused_by_their_rule(rule: str, changed: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match=f"^{rule.partition(',')[0]}$"):
        replace(TIMES, **changed)
    [(name, value)] = changed.items()
    towards_right = MOMENT if value < getattr(TIMES, name) else -MOMENT
    assert replace(TIMES, **{name: value + towards_right})


def test_all_broken_rules_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="fits into the budget; the claim outlasts the budget"):
        replace(TIMES, submit_budget=timedelta(), claim_lease=timedelta())


def test_patience_and_breaker_have_these_times() -> None:
    patience, breaker = TIMES.patience(timedelta(days=7)), TIMES.api_breaker()
    assert {name: getattr(patience, name) for name in patience.__slots__ if name != "give_up_after"} == {
        name: getattr(TIMES, name) for name in patience.__slots__ if name != "give_up_after"
    }
    assert patience.give_up_after == timedelta(days=7)
    assert (breaker.probe_every, breaker.forget_after) == (TIMES.api_probe_every, TIMES.api_forget_after)
    assert breaker.longest_wait == TIMES.longest_delay_alone


def test_a_poll_has_most_of_its_interval_and_five_minutes_at_most() -> None:
    budgets = {seconds: TIMES.poll_budget(timedelta(seconds=seconds)) for seconds in (5, 30, 375, 376, 3600)}
    assert [budget.total_seconds() for budget in budgets.values()] == [4, 24, 300, 300, 300]


def _seconds(text: str) -> timedelta:
    hours, minutes, seconds = map(int, text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _largest(section: type, field: str) -> float:
    (bound,) = [rule.le for rule in section.model_fields[field].metadata if hasattr(rule, "le")]  # type: ignore[attr-defined]
    return float(bound)


def test_the_host_brings_a_failed_message_when_the_times_say_so() -> None:
    assert _seconds(QUEUES["visibilityTimeout"]) == TIMES.redelivery


def test_no_configured_time_out_outlasts_what_it_is_part_of() -> None:
    assert timedelta(seconds=_largest(Api, "timeout_seconds")) <= TIMES.longest_attempt
    statement_s = _largest(CdrDatabase, "statement_timeout_seconds") + Timeouts().connect_s
    assert timedelta(seconds=statement_s) < TIMES.poll_lease


def test_no_function_outlasts_what_the_platform_allows() -> None:
    assert TIMES.http_budget < LONGEST_HTTP_ANSWER
    assert _seconds(HOST["functionTimeout"]) == TIMES.longest_run
    assert max(TIMES.cleaning_budget, TIMES.submit_budget, TIMES.http_budget) < TIMES.longest_run


def test_the_host_gives_up_late_and_leaves_decoding_and_routes_to_us() -> None:
    assert 8 <= QUEUES["maxDequeueCount"] <= 10
    assert QUEUES["messageEncoding"] == "none"  # text_of_body decodes, so that nothing is set aside unseen
    assert HOST["extensions"]["http"]["routePrefix"] == ""


def test_an_idle_host_looks_for_messages_often_but_not_at_any_price() -> None:
    """Each look is an operation that is paid for, millions a month."""
    assert _seconds(QUEUES["maxPollingInterval"]) == timedelta(seconds=1)


def test_the_calls_of_a_message_are_begun_in_time_by_as_many_as_the_host_lets_in() -> None:
    packing = TIMES.packing
    in_hand = QUEUES["batchSize"] + QUEUES["newBatchThreshold"]
    assert packing.side_by_side == TIMES.messages_at_once == TIMES.calls_at_once == in_hand
    assert packing.most_calls * TIMES.slow_attempt <= TIMES.submit_budget - TIMES.longest_attempt
    assert packing.most_calls == 42
    assert replace(TIMES, slow_attempt=TIMES.submit_budget).packing.most_calls == 1


def test_every_message_that_the_host_fetches_has_a_thread() -> None:
    values = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
    threads = int(values["PYTHON_THREADPOOL_THREAD_COUNT"])
    assert QUEUES["batchSize"] + QUEUES["newBatchThreshold"] <= threads <= 32
