"""Whatever comes in, from the configuration, the queue or a request: a reason, in little time, and never a crash.

What one reader does with one input is shown beside it, in tests/unit and tests/functions. Here are the attacks that
need more than that.
"""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path

import pytest

from cdr.calls.message import Message, letter_of
from cdr.wiring.ports import POISON_QUEUE
from local.call_logger.faults import Fault, FaultKind
from shared.errors import InvalidConfig
from tests.support.factories import CONFIG, make_message, make_raw_row, make_settings
from tests.support.settings import parse_settings

DEPTHS = range(sys.getrecursionlimit() - 200, sys.getrecursionlimit() + 200, 7)
"""Somewhere here the JSON decoder gives up; what it still reads must not be too deep for what comes after it."""


# Configuration


def test_no_tag_runs_anything(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for tag, argument in {
        "!!python/object/apply:os.system": f"['touch {trace}']",
        "!!python/object/new:os.system": f"['touch {trace}']",
        "!!python/object/apply:subprocess.check_call": f"[['touch', '{trace}']]",
        "!!python/name:os.system": "''",
        "!!python/module:os": "''",
        "tag:yaml.org,2002:python/object/apply:os.system": f"['touch {trace}']",
    }.items():
        written = tag if tag.startswith("!!") else f"!<{tag}>"
        with pytest.raises(InvalidConfig, match="not valid YAML"):
            parse_settings(f"{CONFIG}extension_mapping: {written} {argument}\n", {})
    assert not trace.exists()


def test_laughs_by_the_billion_are_refused_before_they_are_counted() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(InvalidConfig, match="alias"):
            parse_settings("\n".join(lines), {})
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 2


def test_what_a_variable_holds_is_text_and_neither_yaml_nor_another_variable() -> None:
    held = "!!python/name:os.system '' # ${OTHER}\n  *x"
    settings = make_settings("calls: {anonymous_number: '${HELD}'}\n", {"HELD": held, "OTHER": "no"})
    assert settings.calls.anonymous_number == held.strip()


# Queue messages


PLAIN = make_message().to_text()


def with_travels(**travels: object) -> str:
    plain = {"times_put_back": 1, "since": None, "replay_of": None}
    return json.dumps(json.loads(PLAIN) | {"travels": plain | travels})


def with_parts(replaces: list[object]) -> str:
    return json.dumps(json.loads(PLAIN) | {"replaces": replaces}, separators=(",", ":"))


def in_row(column: str, value: str) -> str:
    """A message whose row has this JSON text as a value."""
    return PLAIN.replace('"row":{', f'"row":{{"{column}":{value},', 1).replace(f',"{column}":', ',"gone":', 1)


NUMBERS = ["9" * 4_300, "9" * 5_000, "-" + "9" * 30_000, "1e309", "-1e999999999", "NaN", "Infinity", "1" + "0" * 400]
HOSTILE_MESSAGES = {
    "deep lists": "[" * 49_000,
    "deep objects": '{"a":' * 8_000 + "1" + "}" * 8_000,
    "a deep value": in_row("hangup_cause", "[" * 20_000 + "]" * 20_000),
    "the longest": "x" * 49_152,
    "the longest row": in_row("hangup_cause", '"' + "x" * 48_000 + '"'),
    "many keys": '{"version":1,"row":{' + ",".join(f'"k{n}":{n}' for n in range(3_500)) + "}}",
    "an id twice": '{"version":1,"row":{"id":7,"id":"x"}}',
    "a row twice": '{"version":1,"row":{"id":7},"row":[]}',
    "half a pair in a key": '{"version":1,"row":{"\\ud800":1,"id":8}}',
    "half a pair in a value": in_row("extension", '"\\udfff"'),
    "half a pair in the call id": in_row("call_id", '"C\\ud800"'),
    "half a pair outside": "\\ud800",
    "several": json.dumps({"version": 2, "records": [json.loads(make_message(id=n).to_text()) for n in (7, 6)]}),
    "in place of itself": with_parts([{"row": {"id": 7}}]),
    "in place of a deep one": with_parts([]).replace("[]", '[{"row":{"id":7},"replaces":' * 900 + "[]" + "}]" * 900),
    "several of nothing": '{"version":2,"records":[' + "{}," * 9_000 + "{}]}",
    "an id without end": in_row("id", '"' + "x" * 40_000 + '"'),
    "a million times put back": with_travels(times_put_back=-(10**4_000)),
    "replayed from nowhere": with_travels(replay_of=["x" * 20_000, "y" * 20_000]),
    "replayed from half a pair": with_travels(replay_of=["2026-11-22", "\ud800"]),
    "replayed from a deep place": with_travels(replay_of=["2026-11-22", 0]).replace("0]", "[" * 900 + "]" * 901),
    "since the beginning": with_travels(since="0001-01-01T00:00:00+14:00"),
    "until the end": with_travels(since="9999-12-31T23:59:59-14:00"),
    "a NUL": "\0",
    **{f"{number[:9]} as {column}": in_row(column, number) for number in NUMBERS for column in ("id", "duration_s")},
    **{f"{number[:9]} as text": in_row("extension", number) for number in NUMBERS[:1]},
    # At the end: what comes after it would be looked for among its many records.
    "in place of hundreds": with_parts([{"row": {"id": n}} for n in range(2_000, 2_300)]),
}


@pytest.mark.parametrize("api", ["up", "down"])
def test_every_hostile_message_ends_in_the_ledger_or_comes_again_and_none_stays_in_a_worker(
    app, storage, call_logger, api
):
    if api == "down":
        call_logger.faults.stand(Fault(kind=FaultKind.ANSWER, status=401))
    kept = len(storage.ledger()), storage.depth()
    for number, (name, text) in enumerate(HOSTILE_MESSAGES.items(), start=100):
        before = kept
        assert app.deliver("submit_call", text.replace('"id":7', f'"id":{number}', 1)) is None, name
        kept = len(storage.ledger()), storage.depth()
        assert kept != before, name
    app.deliver("submit_call", make_message(id=70, call_id="plain"))
    states = storage.states()
    assert "claimed" not in states or api == "down"
    assert storage.depth(POISON_QUEUE) == 0
    if api == "up":
        assert storage.depth() == 0
        assert "plain-70" in call_logger.call_ids


def test_every_hostile_message_on_the_poison_queue_ends_in_the_ledger(app, storage):
    for name, text in HOSTILE_MESSAGES.items():
        assert app.deliver("keep_poisoned", text) is None, name
    assert set(storage.states()) == {"rejected"}
    assert (storage.depth(), storage.depth(POISON_QUEUE)) == (0, 0)


def test_a_message_of_any_depth_is_one_that_can_be_put_back_or_unreadable():
    plain = with_travels(replay_of=["d", 0])
    for depth in DEPTHS:
        for value in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            for text in (value, in_row("extension", value), plain.replace("0]", f"{value}]"), in_row("unknown", value)):
                letter = letter_of(text)
                if isinstance(letter, Message):
                    assert letter_of(letter.again(datetime.now(UTC)).to_text())


# Requests


@pytest.fixture
def with_one_call(app, phone_system, storage):
    phone_system.insert(make_raw_row(id=1, extension="199"))
    app.tick("poll_cdr")
    app.submit_all(storage)
    return app


GIVEN = {
    "rejected": ("GET", {"limit": 1, "after": "", "reveal": False}),
    "preview": ("GET", {"limit": 1, "reveal": False}),
    "reconcile": ("GET", {"from": "2026-11-22", "to": "2026-11-22"}),
    "trigger_reconcile": ("POST", {"from": "2026-11-22", "to": "2026-11-22"}),
    "trigger_replay": ("POST", {"reason": "none"}),
    "trigger_start_over": ("POST", {"from": 0}),
}
ODD = [
    "null", "0", "-1", "1e999", "NaN", "9" * 4_300, "9" * 5_000, '""', '"\\ud800"', '"\\u0000"', "[]", "{}", "[[]]",
    '"0001-01-01"', '"9999-12-31"', '"2026-W01"', '"२०२६-११-२२"', '"' + "9" * 60_000 + '"', '"%s"', '"\\u2028"',
]  # fmt: skip


@pytest.mark.parametrize("function", GIVEN)
def test_an_odd_value_of_a_parameter_is_answered_and_not_with_a_crash(with_one_call, storage, function):
    method, parameters = GIVEN[function]
    for name in (*parameters, "all", "call", "\\ud800", "x" * 1_000):
        for value in ODD:
            rest = {key: one for key, one in parameters.items() if key != name}
            raw = json.dumps(rest)[:-1] + (", " if rest else "") + f'"{name}": {value}}}'
            answer = with_one_call.ask(function, method, raw=raw.encode())
            assert answer.status in (200, 400, 404), (name, value[:20])
            assert len(answer.text) < 2_000
    assert storage.depth() == 0


@pytest.mark.parametrize("function", GIVEN)
def test_a_body_of_any_depth_is_refused(with_one_call, function):
    method, parameters = GIVEN[function]
    for depth in DEPTHS:
        for name in parameters:
            for value in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
                answer = with_one_call.ask(function, method, raw=f'{{"{name}": {value}}}'.encode())
                assert answer.status == 400


@pytest.mark.parametrize("limit", ["0" * 8 + "19999", "0000000501", "9" * 5_000, "5e2", "\u0665", "500.0", "+5"])
def test_a_page_has_at_most_500_records_however_the_number_is_written(app, limit):
    assert app.ask("rejected", limit=limit).status == 400
    assert app.ask("rejected", "GET", {"limit": limit}).status == 400


@pytest.mark.parametrize("function", ["reconcile", "trigger_reconcile"])
def test_days_at_the_ends_of_the_calendar_are_refused(app, function):
    for first, last in product((date.min, date.max), (date.max, date.min)):
        answer = app.ask(function, GIVEN[function][0], {"from": str(first), "to": str(last)})
        assert (answer.status, "error" in answer.body) == (400, True)
