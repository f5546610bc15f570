"""The simulated phone system: what it scripts, and what its tables hold while calls and agents come and go."""

import random
import re
import sqlite3
import threading
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from cdr.edges.sql.members import SqlMemberSource, read_members
from local.phone_system.agents import MEMBERS, SALES, SUPPORT, Agents
from local.phone_system.pbx import CallEvent, Pbx
from local.phone_system.script import EXTENSIONS, GROUPS, CallKind, CallType, next_call, scripted_calls
from shared.config.groups import MemberDatabase
from tests.support.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[2]
OUTSIDE = re.compile(r"\+1202555(01\d\d)|\+442079460\d{3}|\+493023125\d{3}")  # kept for fiction


@pytest.fixture
def file(tmp_path):
    return tmp_path / "calls.sqlite"


@pytest.fixture
def pbx(file, clock):
    with Pbx(file, rng=random.Random(1), now=clock.now) as pbx:
        yield pbx


def rows(file, *columns):
    """Every row with all its columns by name, or with these as a tuple."""
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute("SELECT * FROM CallLog ORDER BY Id")]
    return [tuple(row[column] for column in columns) for row in found] if columns else found


def a_call(kind, seed=7):
    return next_call(kind, random.Random(seed))


@contextmanager
def running(work):
    """Lets it work in a thread until the end of the block, which it must notice soon whatever it waits for."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


# What is scripted


def test_calls_of_every_kind_take_turns_and_the_same_seed_scripts_the_same_ones():
    first, again, others = ([*islice(scripted_calls(random.Random(seed)), 100)] for seed in (5, 5, 6))
    assert first == again != others
    assert {call.kind for call in first[:7]} == set(CallKind)
    assert len({call.call_id for call in first}) == 100
    for one, other in (call.legs for call in first if call.kind == CallKind.TRANSFERRED):
        assert (one.caller_number, one.extension != other.extension) == (other.caller_number, True)
    assert {leg.extension for call in first for leg in call.legs} == set(EXTENSIONS)


def is_outside(number):
    return OUTSIDE.fullmatch(number) is not None


IS_AS_ITS_KIND = {
    CallKind.INBOUND: lambda leg: is_outside(leg.caller_number) and leg.dest_number == leg.extension and leg.answered,
    CallKind.OUTBOUND: lambda leg: leg.caller_number == leg.extension and is_outside(leg.dest_number),
    CallKind.INTERNAL: lambda leg: leg.extension in {leg.caller_number, leg.dest_number} < set(EXTENSIONS),
    CallKind.GROUP: lambda leg: is_outside(leg.caller_number) and leg.dest_number in GROUPS,
    CallKind.UNANSWERED: lambda leg: is_outside(leg.caller_number) and not leg.answered,
    CallKind.ANONYMOUS: lambda leg: leg.caller_number in {"", "anonymous"} and leg.dest_number == leg.extension,
}


@pytest.mark.parametrize("kind", IS_AS_ITS_KIND)
def test_every_call_is_as_its_kind_wants_it(kind):
    legs = [leg for seed in range(200) for leg in a_call(kind, seed).legs]
    assert len(legs) == 200
    assert [leg for leg in legs if not IS_AS_ITS_KIND[kind](leg) or leg.caller_number == leg.dest_number] == []
    wanted = {CallKind.OUTBOUND: CallType.OUTBOUND, CallKind.INTERNAL: CallType.INTERNAL}.get(kind, CallType.INBOUND)
    assert {leg.call_type for leg in legs} == {wanted}
    assert {leg.extension for leg in legs} == set(EXTENSIONS)


# What is written


def test_a_call_begins_as_a_row_without_an_end_that_its_end_completes_and_each_is_told(file, clock):
    seen, noon = [], clock.now()
    call = a_call(CallKind.OUTBOUND)
    (leg,) = call.legs
    with Pbx(file, rng=random.Random(1), now=clock.now, on_event=seen.append) as pbx:
        begun = pbx.begin(call)
        (row,) = rows(file)
        numbers = (leg.caller_number, leg.dest_number, leg.extension)
        assert list(row.values()) == [1, call.call_id, "2026-11-22 12:00:00", None, 0, *numbers, 1, 0, None]
        clock.move(timedelta(seconds=95))
        assert pbx.end(begun) is None
    ended = {"EndTime": "2026-11-22 12:01:35", "Duration": 95, "Answered": 1, "HangupCause": "NORMAL_CLEARING"}
    assert rows(file) == [row | ended]
    assert seen == [
        CallEvent("began", noon, 1, call, leg),
        CallEvent("ended", clock.now(), 1, call, leg, duration_s=95),
    ]


def test_times_are_whole_seconds_in_utc_and_the_duration_is_their_difference(file):
    moments = map(datetime.fromisoformat, ("2026-03-02T08:15:00.900-05:00", "2026-03-02T08:15:01.100-05:00"))
    with Pbx(file, rng=random.Random(1), now=lambda: next(moments)) as pbx:
        pbx.end(pbx.begin(a_call(CallKind.INBOUND)))
    assert rows(file, "StartTime", "EndTime", "Duration") == [("2026-03-02 13:15:00", "2026-03-02 13:15:01", 1)]
    with Pbx(file, rng=random.Random(1)) as goes_on:
        assert goes_on.begin(a_call(CallKind.INBOUND)).row_id == 2


def test_a_transferred_call_leaves_two_rows_that_share_a_call_id(pbx, file, clock):
    second = pbx.end(pbx.begin(a_call(CallKind.TRANSFERRED)))
    clock.move(timedelta(seconds=30))
    assert pbx.end(second) is None
    one, two = rows(file)
    assert (one["CallId"], one["EndTime"]) == (two["CallId"], two["StartTime"])
    assert (one["HangupCause"], one["Duration"], two["Duration"]) == ("TRANSFERRED", 0, 30)


def test_hanging_up_ends_every_running_call_and_passes_none_on(pbx, file, clock):
    for kind in (CallKind.INBOUND, CallKind.TRANSFERRED, CallKind.UNANSWERED):
        pbx.begin(a_call(kind))
    clock.move(timedelta(seconds=3))
    pbx.hang_up_all()
    assert rows(file, "EndTime", "Duration", "Answered", "HangupCause") == [
        ("2026-11-22 12:00:03", 3, 1, "NORMAL_CLEARING"),
        ("2026-11-22 12:00:03", 3, 1, "NORMAL_CLEARING"),
        ("2026-11-22 12:00:03", 0, 0, "NO_ANSWER"),
    ]


def test_a_reader_in_the_middle_of_a_transaction_blocks_no_call_and_is_not_blocked(pbx, file):
    pbx.begin(a_call(CallKind.INBOUND))
    with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as reader:
        reader.execute("BEGIN")
        count = "SELECT count(*) FROM CallLog"
        assert reader.execute(count).fetchone() == (1,)
        pbx.begin(a_call(CallKind.OUTBOUND))
        assert reader.execute(count).fetchone() == (1,)
        reader.execute("COMMIT")
        assert reader.execute(count).fetchone() == (2,)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    for make in (lambda file: Pbx(file, rng=random.Random(1)), lambda file: Agents(file, on_event=print)):
        with pytest.raises(sqlite3.OperationalError):
            make(tmp_path / "missing" / "calls.sqlite")


# What runs by itself


def test_running_brings_calls_of_every_kind_from_begin_to_end_while_others_run(file):
    ended, at_once = set(), []

    def note(event):
        at_once.append(len([row for row in rows(file) if row["EndTime"] is None]))
        if event.change == "ended":
            ended.add(event.call.kind)

    pbx = Pbx(file, rng=random.Random(1), pace=0.02, on_event=note)
    with pbx, running(lambda stop: pbx.run(stop, calls_per_minute=3000)):
        wait_until(lambda: ended == set(CallKind))
    assert max(at_once) > 1
    transferred = [row["CallId"] for row in rows(file) if row["HangupCause"] == "TRANSFERRED"]
    assert {len([row for row in rows(file) if row["CallId"] == call_id]) for call_id in transferred} == {2}


def test_the_first_three_calls_come_in_quick_succession(file):
    pbx = Pbx(file, rng=random.Random(1), pace=0.01)
    with pbx, running(lambda stop: pbx.run(stop, calls_per_minute=0.1)):
        wait_until(lambda: len({row["CallId"] for row in rows(file) if row["EndTime"]}) == 3)


def test_stopped_it_ends_every_call_that_had_begun_at_once(file):
    begun = threading.Event()
    pbx = Pbx(file, rng=random.Random(1), pace=1000, on_event=lambda _: begun.set())
    with pbx, running(pbx.run):
        assert begun.wait(10)
        assert rows(file, "EndTime") == [(None,)]
    assert [row for row in rows(file) if row["EndTime"] is None] == []


# Agents


def available(file):
    """What the functions see of the groups, by the demo's own SELECT: how many are available, of how many."""
    database = MemberDatabase(engine="sqlite", database=str(file))
    found = SqlMemberSource(database, read_members("local/run/demo-members.sql", PROJECT)).observe([SALES, SUPPORT])
    return {name: (observation.available, len(observation.members)) for name, observation in found.items()}


def test_all_of_support_log_out_and_come_back_and_those_of_sales_stay(file):
    """Each change is told once it is in the table; a new phone system finds them all logged in again."""
    told, seen = [], []

    def note(event):
        told.append((event.change, event.group, event.extension))
        seen.append(available(file))

    agents = Agents(file, pace=0.005, on_event=note)
    assert available(file) == {SALES: (3, 3), SUPPORT: (3, 3)}
    with running(agents.run):
        wait_until(lambda: len(seen) >= 9)
    assert told[:9] == [(change, SUPPORT, agent) for change in ("out", "in", "out") for agent in MEMBERS[SUPPORT]]
    assert [(seen_of[SALES], seen_of[SUPPORT][0]) for seen_of in seen[:9]] == [
        ((3, 3), n) for n in (2, 1, 0, 1, 2, 3, 2, 1, 0)
    ]
    assert {agent for group in MEMBERS.values() for agent in group} <= set(EXTENSIONS)
    with running(Agents(file, pace=1000, on_event=note).run):
        assert available(file)[SUPPORT] == (3, 3)
