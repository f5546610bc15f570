"""Log lines: one for each event whatever its values, every name listed, no phone number to be called back from them."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdr.calls.call import State
from shared import log

PROJECT = Path(__file__).parents[2]
SETTLED = [state for state in State if state is not State.CLAIMED]
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


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+1 907 555 0142", "***42"),
        ("19075550142", "***42"),
        pytest.param("12345", "***45", id="long-enough-to-keep-two"),
        pytest.param("101", "***", id="an-extension-would-be-given-away"),
        pytest.param("", "***", id="nothing"),
    ],
)
def test_of_a_number_only_the_end_is_shown(number: str, masked: str) -> None:
    assert log.mask_number(number) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("phoneNumber: '+1 907 555 0142' is too long", "phoneNumber: '***42' is too long"),
        ("called 907-555-0142 and 907.555.0143", "called ***42 and ***43"),
        pytest.param("(907) 555-0142", "(***42", id="a-bracket-and-a-space-between-digits"),
        pytest.param("+49 (0) 30 / 12345", "***45", id="three-characters-between-digits"),
        pytest.param("the API answered 400: size must be between 0 and 50", None, id="short-numbers-stay"),
        pytest.param("duration_s: is more than 21474 seconds", None, id="five-digits-are-no-phone-number"),
    ],
)
def test_what_may_be_a_phone_number_in_somebodys_words_is_masked(text: str, masked: str | None) -> None:
    assert log.mask_numbers(text) == (masked or text)


@given(
    st.text(st.characters(exclude_categories=["Nd"]), max_size=10),
    st.lists(st.text("0123456789", min_size=1, max_size=4), min_size=1, max_size=6),
    st.sampled_from(["", " ", "-", ".", ") ", " (", " / "]),
)
def test_no_phone_number_can_be_read_from_masked_text(words: str, groups: list[str], between: str) -> None:
    number = between.join(groups)
    left = re.sub("[^0-9]", "", log.mask_numbers(f"{words} {number} {words}"))
    digits = "".join(groups)
    assert left == digits if len(digits) < 6 else len(left) <= 2


def _product_files() -> Iterator[Path]:
    yield PROJECT / "function_app.py"
    for package in ("cdr", "shared"):
        yield from (PROJECT / package).rglob("*.py")


def _names_in(call: ast.Call) -> set[str]:
    """The names that a call of log.event can pass. An f-string's hole is the state that a call is settled with."""
    match call.args:
        case [ast.Constant(value=str(name)), *_]:
            return {name}
        case [ast.JoinedStr(values=[ast.Constant(value=str(start)), ast.FormattedValue()]), *_]:
            return {f"{start}{state}" for state in SETTLED}
        case [ast.IfExp(body=ast.Constant(value=str(one)), orelse=ast.Constant(value=str(other))), *_]:
            return {one, other}
    pytest.fail(f"cannot tell which event this is: {ast.unparse(call)}")


def _is_event(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "log.event"


def test_every_event_in_the_product_is_listed_and_every_listed_one_is_used() -> None:
    nodes = (node for file in _product_files() for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    used = set().union(*(_names_in(node) for node in nodes if _is_event(node)))  # type: ignore[arg-type]
    assert sorted(used) == sorted(log.EVENTS)


def test_an_event_is_called_by_its_subject_and_what_happened_to_it() -> None:
    assert [name for name in log.EVENTS if not re.fullmatch(r"[a-z]+\.[a-z_]+", name)] == []
    assert all(log.EVENTS.values())
