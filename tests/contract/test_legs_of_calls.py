"""From a phone system's tables to records, over each kind of database and with any column types: the right answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from cdr.calls.call import CallRecord
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.id_order.reader import progress
from cdr.intake.ports import CallSource
from cdr.intake.time_order.reader import LegPatience
from local.phone_system.v20 import POLICIES, Answer
from tests.fakes.clock import HandMovedClock
from tests.support import v18_cases
from tests.support.v20_cases import RightCall, cases
from tests.systems.leg_tables import COLUMNS_OF, LegTable, id_of
from tests.systems.phone_systems import DATABASES, SqlPhoneSystem
from tests.systems.plugin import MakePhoneSystem
from tests.systems.segment_tables import SegmentTables

CASES = list(cases())
WITH_EVERY_TALK = ("each",)
"""Of the policies, the one that tells most of what was read. How the others choose is no matter of the database."""
AT_ONCE = LegPatience(overlap=timedelta(), settle=timedelta(), open_row_wait=timedelta())

HOUR = timedelta(hours=1)

Told = tuple[Any, ...]


@pytest.fixture(params=COLUMNS_OF)
def table(request: pytest.FixtureRequest, make_phone_system: MakePhoneSystem) -> LegTable:
    columns = COLUMNS_OF[request.param]
    system = make_phone_system(columns.database)
    assert isinstance(system, SqlPhoneSystem)
    return LegTable(system, columns)


def read_all(source: CallSource) -> Iterator[CallRecord]:
    """What is not whole is waited for at the first look, and given up at the second."""
    with source.connect() as reader:
        position = reader.begin("beginning")
        for _ in range(2):
            for batch in reader.batches(position):
                yield from batch.records
                position = batch.position


def _told(record: CallRecord) -> Told:
    if record.values.get("problem") or record.values.get("not_logged"):
        return record.id, bool(record.values.get("problem"))
    names = ("extension", "caller_number", "dest_number", "duration_s", "call_group_id", "answered")
    return record.id, datetime.fromisoformat(record.values["ended_at"]), *(record.values[name] for name in names)


def _right(call: RightCall, policy: str) -> Iterator[Told]:
    flow = id_of(call.flows[0])
    if any(lack in ("end", "successor") for _, lack in call.missing):
        yield flow, True
        return
    answers = call.owners[policy]
    for answer in answers or ([call.unanswered] if call.unanswered else []):
        name = f"{flow}/{answer.extension}" if policy == "each" and answers else flow
        yield _as_told(name, answer)
    if not answers and not call.unanswered:
        yield flow, False


def _as_told(name: str, answer: Answer) -> Told:
    caller, called = answer.number, answer.extension
    if answer.direction == "OUTBOUND":
        caller, called = called, caller
    seconds, is_answered = int(answer.talk.total_seconds() + 0.5), answer.answered_at is not None
    return name, answer.ended_at, answer.extension, caller, called, seconds, answer.group, is_answered


def test_the_cases_of_v20_give_their_right_answers(table: LegTable, clock: HandMovedClock) -> None:
    table.insert(row for case in CASES if table.columns.offload or not _needs_offload(case.rows) for row in case.rows)
    wanted = [case for case in CASES if table.columns.offload or not _needs_offload(case.rows)]
    for policy in POLICIES if table.columns.database == "sqlite" else WITH_EVERY_TALK:
        source = table.source(clock, AT_ONCE, FoldOptions(policy), page_size=50)  # type: ignore[arg-type]
        told = sorted(map(_told, read_all(source)), key=str)
        assert told == sorted(
            (right for case in wanted for call in case.calls for right in _right(call, policy)), key=str
        )


def _needs_offload(rows: list[dict[str, Any]]) -> bool:
    return any(row["offload_id"] for row in rows)


@pytest.mark.parametrize("database", DATABASES)
def test_the_cases_of_v18_give_their_right_answers(
    database: str, make_phone_system: MakePhoneSystem, clock: HandMovedClock
) -> None:
    system = make_phone_system(database)
    assert isinstance(system, SqlPhoneSystem)
    tables = SegmentTables(system, database)
    numbered = enumerate(v18_cases.CASES, start=1)
    tables.insert(row for number, case in numbered for row in v18_cases.rows_of(case["segments"], call_id=number))
    for policy in v18_cases.POLICIES if database == "sqlite" else WITH_EVERY_TALK:
        told: dict[str, list[str]] = {}
        for record in read_all(tables.source(clock, FoldOptions(policy), page_size=7)):
            told.setdefault(record.values["call_id"], []).append(_in_short(record))
        right = [v18_cases.expected(case)[policy] or [case.get("unanswered", "nobody")] for case in v18_cases.CASES]
        assert list(told.values()) == [[" ".join(_but_its_begin(entry)) for entry in entries] for entries in right]


@pytest.mark.parametrize("database", DATABASES)
def test_calls_of_v18_are_found_by_their_times_and_ids(
    database: str, make_phone_system: MakePhoneSystem, clock: HandMovedClock
) -> None:
    """Four, each an hour after the one before."""
    system = make_phone_system(database)
    assert isinstance(system, SqlPhoneSystem)
    tables = SegmentTables(system, database)
    begins = [v18_cases.START + number * HOUR for number in range(4)]
    for number, begin in enumerate(begins, start=1):
        rows = v18_cases.rows_of(v18_cases.CASES[0]["segments"], call_id=number)
        tables.insert({name: _later(value, begin - v18_cases.START) for name, value in row.items()} for row in rows)
    with tables.source(clock, FoldOptions(), page_size=2).connect() as reader:
        assert [progress(reader.begin(start)).position for start in ("now", begins[1], begins[3] + HOUR)] == [4, 1, 4]
        pages = reader.ended_between(begins[0] + HOUR, begins[3])  # a call takes ten minutes
        assert [record.id for page in pages for record in page] == ["2", "3"]
        assert [record.id for page in reader.ended_between(*begins[::3]) for record in page] == ["1", "2", "3"]
        (last, *others) = reader.newest(3)
        assert [each.id for each in (last, *others)] == ["4", "3", "2"]
        assert (reader.lag(None).newest, reader.again(last)) == (4, [last])


def _later(value: Any, span: timedelta) -> Any:
    return value + span if isinstance(value, datetime) else value


def test_a_call_over_whose_segments_the_database_fails_is_a_record_that_says_so_and_holds_up_no_other(
    make_phone_system: MakePhoneSystem, clock: HandMovedClock
) -> None:
    system = make_phone_system("sqlite")
    assert isinstance(system, SqlPhoneSystem)
    tables = SegmentTables(system, "sqlite")
    segments = v18_cases.CASES[0]["segments"]
    tables.insert(row for number in (1, 2, 3) for row in v18_cases.rows_of(segments, call_id=number))
    system.sql("ALTER TABLE cl_segments RENAME TO written")
    columns = "id, call_id, seq_order, src_part_id, dst_part_id, start_time, end_time, type"
    failing = "CASE call_id WHEN 2 THEN json_extract('{', '$') ELSE action_id END AS action_id"
    system.sql(f"CREATE VIEW cl_segments AS SELECT {columns}, {failing} FROM written")
    records = list(read_all(tables.source(clock, FoldOptions())))
    assert [record.id for record in records] == ["1", "2", "3"]
    problems = [record.values.get("problem") for record in records]
    assert (problems[0], problems[2]) == (None, None)
    assert "seg_action cannot be read from the database" in problems[1]
    assert records[1].values["ended_at"].startswith("2026-11-22T10:")


def _but_its_begin(written: str) -> Iterator[str]:
    """Of an entry as the cases write it; a record has the seconds whole, and does not tell when a talk began."""
    for word in written.split():
        if word.endswith("s") and word[0].isdigit():
            yield f"{int(float(word[:-1]) + 0.5)}s"
        else:
            yield word.rpartition("-")[2]


def _in_short(record: CallRecord) -> str:
    values, names = record.values, v18_cases.NAMES
    if values.get("not_logged"):
        return "nobody"
    is_out = values["extension"] == values["caller_number"]
    number = values["dest_number" if is_out else "caller_number"] or ""
    words = [values["extension"], "out" if is_out else "in", names.get(number, number)]
    if values["answered"]:
        end = (datetime.fromisoformat(values["ended_at"]) - v18_cases.START).total_seconds()
        words += [f"{values['duration_s']}s", f"{end:g}"]
    return " ".join([*words, *(["via", values["call_group_id"]] if values["call_group_id"] else [])])
