"""Log lines: one for each event whatever its values, none too long, every name listed."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdr.calls.call import State
from shared import log
from tests.support.emitted import emitted

VALUES = st.one_of(
    st.text(),
    st.binary(max_size=5),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.just(timedelta(seconds=1)),
    st.sampled_from(State),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
)
LONG_VALUES = st.one_of(
    VALUES,
    st.builds(lambda text, times: text * times, st.text(min_size=1), st.sampled_from([1, 1_000, 30_000])),
    st.lists(st.text(max_size=50).map(lambda text: text * 40), max_size=60),
)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def _written(name: str, **fields: Any) -> str:
    handler = _Lines()
    logger = logging.getLogger("cdr")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        log.event(name, **fields)
    finally:
        logger.removeHandler(handler)
    (line,) = handler.lines
    return line


def test_an_event_is_one_json_object() -> None:
    at = datetime(2026, 11, 22, 10, 1, 30, tzinfo=UTC)
    line = _written("poll.finished", queued=3, caught_up=True, position=None, until=at)
    assert json.loads(line) == {
        "event": "poll.finished",
        "queued": 3,
        "caught_up": True,
        "until": "2026-11-22 10:01:30+00:00",
    }


def test_an_event_has_the_level_it_is_given(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="cdr")
    log.event("poll.held")
    log.event("poll.failed", level=logging.ERROR)
    assert [record.levelname for record in caplog.records] == ["INFO", "ERROR"]


def test_an_event_that_is_not_listed_is_a_defect() -> None:
    with pytest.raises(KeyError):
        log.event("call.unheard_of")


@given(VALUES, VALUES)
def test_no_value_can_forge_a_second_line(one: Any, other: Any) -> None:
    line = _written("call.rejected", detail=one, reason=other)
    assert line.isprintable()
    assert line.isascii()
    assert line.splitlines() == [line]
    assert json.loads(line)["event"] == "call.rejected"


@pytest.mark.parametrize(
    "value",
    ['x"}\n{"event": "call.submitted"}', "a\r\nb", "a\x00b", "a\u2028b", "a\x85b", "\ud800", "%s %d", '", "event": "x'],
)
def test_text_that_looks_like_an_event_stays_a_value(value: str) -> None:
    assert json.loads(_written("call.rejected", detail=value)) == {"event": "call.rejected", "detail": value}


# No line is too long for the platform


@given(st.dictionaries(st.sampled_from(["reason", "detail", "mistakes", "call", "n"]), LONG_VALUES, min_size=1))
@example({"detail": "x" * 65_134})
@example({"mistakes": tuple(f"3cx.{n}: wrong" for n in range(5_000))})
@example({"detail": "😀" * 20_000, "reason": "é" * 20_000, "mistakes": ["😀" * 9_000] * 500})
def test_no_line_is_longer_than_the_platform_keeps_and_every_one_is_json(fields: dict[str, Any]) -> None:
    line = _written("call.rejected", **fields)
    assert len(line) <= log.LONGEST_LINE
    assert json.loads(line)["event"] == "call.rejected"


def test_of_a_line_that_is_too_long_the_long_texts_are_cut_and_it_says_so() -> None:
    line = json.loads(_written("call.rejected", call="c-7", row_id=7, detail="x" * 65_134, reason=None))
    assert line == {
        "event": "call.rejected",
        "call": "c-7",
        "row_id": 7,
        "detail": "x" * 8_000 + "… (65134 characters)",
        "shortened": True,
    }


def test_of_a_list_that_is_too_long_the_first_items_are_kept() -> None:
    line = json.loads(_written("config.invalid", mistakes=[f"mistake {n}" for n in range(3_000)]))
    assert (line["mistakes"][0], line["mistakes"][-1], line["shortened"]) == ("mistake 0", "… (2000 more)", True)


@pytest.mark.parametrize(
    ("value", "written"),
    [(float("nan"), "nan"), (float("inf"), "inf"), (10**40, 10**40), (2**9999, "an integer of 10000 bits")],
    ids=["nan", "inf", "long", "too long"],
)
def test_a_number_that_json_does_not_have_is_text(value: float, written: object) -> None:
    assert json.loads(_written("call.rejected", n=value))["n"] == written


# Every event is listed


def test_every_event_in_the_product_is_listed_and_every_listed_one_is_used() -> None:
    used = set().union(*(each.names for each in emitted()))
    assert sorted(used) == sorted(log.EVENTS)


def test_an_event_is_called_by_its_subject_and_what_happened_to_it() -> None:
    assert [name for name in log.EVENTS if not re.fullmatch(r"[a-z]+\.[a-z_]+", name)] == []
    assert all(log.EVENTS.values())
