"""The phone system simulator: what it scripts, and what its table holds while calls begin and end."""

import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from local.phone_system.pbx import CallEvent, Pbx
from local.phone_system.script import (
    EXTENSIONS,
    GROUPS,
    LONGEST_S,
    UNMAPPED_EXTENSION,
    CallKind,
    CallType,
    next_call,
    scripted_calls,
)
from tests.support.waiting import wait_until

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SCRIPTS = range(200)


class HandMovedClock:
    def __init__(self):
        self.moment = NOON

    def __call__(self):
        return self.moment

    def advance(self, **duration):
        self.moment += timedelta(**duration)


@pytest.fixture
def clock():
    return HandMovedClock()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "calls.sqlite"


@pytest.fixture
def pbx(file, clock):
    with Pbx(file, rng=random.Random(1), now=clock) as pbx:
        yield pbx


def rows(file):
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM CallLog ORDER BY Id")]


def a_call(kind, seed=7):
    return next_call(kind, random.Random(seed))


def scripted(kind):
    return [a_call(kind, seed) for seed in SCRIPTS]


# What is scripted


def test_every_kind_is_among_the_first_seven_calls():
    kinds = [call.kind for call in islice(scripted_calls(random.Random(3)), 7)]

    assert set(kinds) == set(CallKind)


def test_the_same_seed_scripts_the_same_calls():
    first, again, other = ([*islice(scripted_calls(random.Random(seed)), 30)] for seed in (5, 5, 6))

    assert first == again != other


def test_no_two_calls_share_an_id():
    ids = [call.call_id for call in islice(scripted_calls(random.Random(3)), 500)]

    assert len(set(ids)) == 500


@pytest.mark.parametrize("kind", [CallKind.INBOUND, CallKind.UNANSWERED])
def test_an_inbound_call_comes_from_outside_to_the_extension(kind):
    for call in scripted(kind):
        (leg,) = call.legs
        assert leg.call_type == CallType.INBOUND
        assert leg.caller_number.startswith("+")
        assert leg.dest_number == leg.extension
        assert leg.answered == (kind == CallKind.INBOUND)


def test_an_outbound_call_goes_from_the_extension_to_an_outside_number():
    for call in scripted(CallKind.OUTBOUND):
        (leg,) = call.legs
        assert leg.call_type == CallType.OUTBOUND
        assert leg.caller_number == leg.extension
        assert leg.dest_number.startswith("+")


def test_an_internal_call_is_between_two_extensions_and_belongs_to_either():
    legs = [leg for call in scripted(CallKind.INTERNAL) for leg in call.legs]

    assert all(leg.call_type == CallType.INTERNAL for leg in legs)
    assert all(leg.caller_number != leg.dest_number for leg in legs)
    assert {leg.extension == leg.caller_number for leg in legs} == {True, False}
    assert {leg.extension in (leg.caller_number, leg.dest_number) for leg in legs} == {True}


def test_a_group_call_is_for_the_number_of_a_group_and_answered_by_an_extension():
    legs = [leg for call in scripted(CallKind.GROUP) for leg in call.legs]

    assert {leg.dest_number for leg in legs} == set(GROUPS)
    assert {leg.extension for leg in legs} == set(EXTENSIONS)


def test_an_anonymous_caller_has_no_number_or_the_word_for_it():
    callers = {leg.caller_number for call in scripted(CallKind.ANONYMOUS) for leg in call.legs}

    assert callers == {"", "anonymous"}


def test_a_transferred_call_has_one_caller_and_two_extensions():
    for call in scripted(CallKind.TRANSFERRED):
        first, second = call.legs
        assert first.caller_number == second.caller_number
        assert first.extension != second.extension


def test_outside_numbers_are_from_ranges_kept_for_fiction():
    numbers = [call.legs[0].dest_number for call in scripted(CallKind.OUTBOUND)]
    fictional = re.compile(r"\+1202555(01\d\d)|\+442079460\d{3}|\+493023125\d{3}")

    assert [number for number in numbers if not fictional.fullmatch(number)] == []


def test_the_extension_without_an_address_has_calls_too():
    legs = [leg for call in islice(scripted_calls(random.Random(3)), 100) for leg in call.legs]

    assert UNMAPPED_EXTENSION in {leg.extension for leg in legs}


# What is written


def test_a_call_begins_as_a_row_without_an_end(pbx, file):
    call = a_call(CallKind.INBOUND)
    pbx.begin(call)

    assert rows(file) == [
        {
            "Id": 1,
            "CallId": call.call_id,
            "StartTime": "2026-03-02 12:00:00",
            "EndTime": None,
            "Duration": 0,
            "CallerNumber": call.legs[0].caller_number,
            "DestNumber": call.legs[0].dest_number,
            "Extension": call.legs[0].extension,
            "CallType": 0,
            "Answered": 0,
            "HangupCause": None,
        }
    ]


def test_the_end_of_a_call_completes_its_row(pbx, file, clock):
    running = pbx.begin(a_call(CallKind.OUTBOUND))
    (before,) = rows(file)
    clock.advance(seconds=95)

    assert pbx.end(running) is None
    assert rows(file) == [
        before | {"EndTime": "2026-03-02 12:01:35", "Duration": 95, "Answered": 1, "HangupCause": "NORMAL_CLEARING"}
    ]


def test_the_duration_is_the_difference_of_the_stored_times(pbx, file, clock):
    clock.advance(milliseconds=900)
    running = pbx.begin(a_call(CallKind.INBOUND))
    clock.advance(milliseconds=200)
    pbx.end(running)

    (row,) = rows(file)
    assert (row["StartTime"], row["EndTime"], row["Duration"]) == ("2026-03-02 12:00:00", "2026-03-02 12:00:01", 1)


def test_an_unanswered_call_ends_without_having_lasted(pbx, file, clock):
    running = pbx.begin(a_call(CallKind.UNANSWERED))
    clock.advance(seconds=20)
    pbx.end(running)

    (row,) = rows(file)
    assert (row["EndTime"], row["Duration"], row["Answered"]) == ("2026-03-02 12:00:20", 0, 0)
    assert row["HangupCause"] == "NO_ANSWER"


def test_a_transferred_call_leaves_two_rows_that_share_a_call_id(pbx, file, clock):
    first = pbx.begin(a_call(CallKind.TRANSFERRED))
    clock.advance(seconds=10)
    second = pbx.end(first)
    clock.advance(seconds=30)

    assert pbx.end(second) is None
    one, two = rows(file)
    assert one["CallId"] == two["CallId"]
    assert one["Extension"] != two["Extension"]
    assert (one["Duration"], two["Duration"]) == (10, 30)
    assert one["EndTime"] == two["StartTime"]


def test_times_are_stored_in_utc_whatever_zone_the_clock_shows(file):
    in_new_york = datetime.fromisoformat("2026-03-02T08:15:00-05:00")
    with Pbx(file, rng=random.Random(1), now=lambda: in_new_york) as pbx:
        pbx.begin(a_call(CallKind.INBOUND))

    assert rows(file)[0]["StartTime"] == "2026-03-02 13:15:00"


def test_hanging_up_ends_every_running_call_and_passes_none_on(pbx, file, clock):
    for kind in (CallKind.INBOUND, CallKind.TRANSFERRED, CallKind.UNANSWERED):
        pbx.begin(a_call(kind))
    clock.advance(seconds=3)
    pbx.hang_up_all()

    assert [(row["EndTime"], row["Answered"], row["HangupCause"]) for row in rows(file)] == [
        ("2026-03-02 12:00:03", 1, "NORMAL_CLEARING"),
        ("2026-03-02 12:00:03", 1, "NORMAL_CLEARING"),
        ("2026-03-02 12:00:03", 0, "NO_ANSWER"),
    ]


def test_a_new_phone_system_goes_on_in_the_table_that_is_there(file, clock):
    for _ in range(2):
        with Pbx(file, rng=random.Random(1), now=clock) as pbx:
            pbx.end(pbx.begin(a_call(CallKind.INBOUND)))

    assert [row["Id"] for row in rows(file)] == [1, 2]


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


def test_each_begin_and_end_is_told_to_whoever_watches(file, clock):
    seen = []
    call = a_call(CallKind.INBOUND)
    with Pbx(file, rng=random.Random(1), now=clock, on_event=seen.append) as pbx:
        running = pbx.begin(call)
        clock.advance(seconds=8)
        pbx.end(running)

    (leg,) = call.legs
    assert seen == [
        CallEvent("began", NOON, 1, call, leg),
        CallEvent("ended", NOON + timedelta(seconds=8), 1, call, leg, duration_s=8),
    ]


def test_a_file_that_cannot_be_opened_is_refused_when_the_phone_system_is_made(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        Pbx(tmp_path / "missing" / "calls.sqlite", rng=random.Random(1))


# What runs by itself


@pytest.fixture
def run(file):
    """Run a phone system in a thread until the returned function is called."""
    stop = threading.Event()
    threads = []

    def start(calls_per_minute, **options):
        pbx = Pbx(file, rng=random.Random(1), **options)

        def body():
            with pbx:
                pbx.run(stop, calls_per_minute=calls_per_minute)

        threads.append(threading.Thread(target=body))
        threads[-1].start()

    def finish():
        stop.set()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()

    start.finish = finish
    yield start
    finish()


def test_running_brings_calls_of_every_kind_from_begin_to_end(run, file):
    ended = set()

    def note(event):
        if event.change == "ended":
            ended.add(event.call.kind)

    run(calls_per_minute=6000, pace=0.01, on_event=note)
    wait_until(lambda: ended == set(CallKind))
    run.finish()

    transferred = [row["CallId"] for row in rows(file) if row["HangupCause"] == "TRANSFERRED"]
    assert transferred
    for call_id in transferred:
        assert len([row for row in rows(file) if row["CallId"] == call_id]) == 2


def test_stopping_ends_every_call_that_had_begun(run, file):
    running = threading.Semaphore(0)
    run(calls_per_minute=6000, pace=1000, on_event=lambda event: running.release())
    assert running.acquire(timeout=10)
    assert [row["EndTime"] for row in rows(file)] == [None]
    began = time.monotonic()
    run.finish()

    assert time.monotonic() - began < 2
    assert all(row["EndTime"] for row in rows(file))


def test_a_call_ends_while_later_ones_are_still_running(run, file):
    run(calls_per_minute=6000, pace=0.1)
    wait_until(lambda: any(row["EndTime"] for row in rows(file)))

    assert [row for row in rows(file) if row["EndTime"] is None]


def test_several_calls_have_ended_within_five_seconds_at_the_default_pace(run, file):
    began = time.monotonic()
    run(calls_per_minute=1)
    wait_until(lambda: sum(row["EndTime"] is not None for row in rows(file)) == 3, seconds=5)

    assert time.monotonic() - began < LONGEST_S + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_ends_its_calls_when_it_is_told_to_stop(file, number):
    command = [sys.executable, "-m", "local.phone_system", str(file), "--seed", "4", "--calls-per-minute", "600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_until(lambda: file.exists() and process.poll() is None and is_running_a_call(file))
        process.send_signal(number)
        output, _ = process.communicate(timeout=10)

    assert (process.returncode, output) == (0, b"")
    assert all(row["EndTime"] for row in rows(file))


def is_running_a_call(file):
    try:
        return any(row["EndTime"] is None for row in rows(file))
    except sqlite3.OperationalError:  # no table yet
        return False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/missing/calls.sqlite"], "cannot write"),
        (["{tmp}/calls.sqlite", "--calls-per-minute", "0"], "must be more than 0"),
    ],
    ids=["no such folder", "no calls at all"],
)
def test_the_process_refuses_what_it_cannot_do_in_one_clear_line(tmp_path, arguments, message):
    command = [
        sys.executable,
        "-m",
        "local.phone_system",
        *(argument.format(tmp=tmp_path) for argument in arguments),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert result.returncode != 0
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_a_killed_process_leaves_running_calls_without_an_end_in_a_sound_file(file):
    command = [sys.executable, "-m", "local.phone_system", str(file), "--calls-per-minute", "600"]
    with subprocess.Popen(command) as process:
        wait_until(lambda: file.exists() and is_running_a_call(file))
        process.kill()

    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert any(row["EndTime"] is None for row in rows(file))
