"""The phone system's table of legs, in MariaDB or SQLite, with calls of every sort, and what must become of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cdr.calls.call import CallRecord
from cdr.intake.folding.leg import COLUMNS as LEG_COLUMNS
from cdr.intake.time_order import position as time_position
from tests.faults.phone_system import MariaDbPhoneSystem, SqlitePhoneSystem
from tests.support.factories import make_leg_row
from tests.support.report_writings import time_id
from tests.systems.mariadb import MariaDb

COLUMNS = tuple(column for column in LEG_COLUMNS if column != "offload_id")

SORTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "good": ("submitted", {}),
    "anonymous": ("submitted", {"source_participant_phone_number": None}),
    "unanswered": ("skipped", {"cdr_answered_at": None}),
    "unmapped": ("rejected", {"destination_dn_number": "999"}),
    "long number": ("rejected", {"source_participant_phone_number": "9" * 255}),
    "consulted": ("submitted", {"continued_in_cdr_id": "{flow}-3", "termination_reason": "continued_in"}),
}
"""Each sort of call, with how it must end and how its second leg differs from the plain one."""

Row = dict[str, Any]


class LegSystem:
    """A PhoneSystem whose calls have several legs; the number of a call stands where others have that of a row."""

    sorts = SORTS
    three_cx: Mapping[str, Any] = {"source": "v20"}
    mark: str
    transaction: Any

    def start(self, time: str) -> None:
        """``time`` is the type of times. The calls ended lately, by the clock of the server."""
        self.began = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=60)
        self.wanted: dict[int, set[str]] = {}
        kinds = {column: time if column.endswith("_at") else "VARCHAR(255)" for column in COLUMNS}
        with self.transaction() as cursor:
            cursor.execute(f"CREATE TABLE cdroutput ({', '.join(f'{name} {kind}' for name, kind in kinds.items())})")

    def pbx_call_id(self, number: int) -> str:
        return time_id(self._at(number).replace(tzinfo=UTC), number)

    def pbx_call_id_of(self, record: CallRecord) -> str:
        return record.id

    def number_of(self, record: Mapping[str, Any]) -> int:
        return int(record["row_id"][-8:], 16)

    def _at(self, number: int) -> datetime:
        return self.began + timedelta(milliseconds=20 * number)

    def first_number(self) -> int:
        return 1

    def insert(self, number: int, sort: str = "good", *, ended: bool = True) -> None:
        """What has not ended has a last leg without an end, or none yet."""
        legs = self.legs(number, sort)
        if not ended and number % 2:
            del legs[1:]
        elif not ended:
            legs[-1]["cdr_ended_at"] = None
        with self.transaction() as cursor:
            for row in legs:
                self.write(cursor, row)

    def end_call(self, number: int) -> None:
        with self.transaction() as cursor:
            self.write(cursor, self.legs(number, "good")[-1], instead=True)

    def write(self, cursor: Any, row: Row, *, instead: bool = False) -> None:
        if instead:
            cursor.execute(f"DELETE FROM cdroutput WHERE cdr_id = {self.mark}", (row["cdr_id"],))
        values = [str(value) if isinstance(value, datetime) else value for value in map(row.get, COLUMNS)]
        marks = ", ".join([self.mark] * len(COLUMNS))
        cursor.execute(f"INSERT INTO cdroutput ({', '.join(COLUMNS)}) VALUES ({marks})", values)

    def legs(self, number: int, sort: str) -> list[Row]:
        """An arrival, and a talk; where a colleague is asked and joined in, also that, in a flow of its own."""
        flow = self.pbx_call_id(number)
        at = self._at(number)
        if sort == "unanswered":
            at -= timedelta(minutes=9)  # within the overlap, and long enough ago to have settled
        usual = {"source_participant_phone_number": "+19075550142", "cdr_started_at": at}
        arrives = {"continued_in_cdr_id": f"{flow}-2", "destination_entity_type": "inbound_routing", "cdr_ended_at": at}
        first = make_leg_row(f"{flow}-1", flow, at, **usual | arrives)
        ended = at + timedelta(seconds=3)
        talks = usual | {"cdr_answered_at": at, "base_cdr_id": f"{flow}-1", "cdr_ended_at": ended}
        changed = {name: _named(value, flow) for name, value in SORTS[sort][1].items()}
        legs = [first, make_leg_row(f"{flow}-2", flow, ended, **talks | changed)]
        if sort == "consulted":
            joined = talks | {"base_cdr_id": f"{flow}-2", "cdr_ended_at": ended + timedelta(seconds=5)}
            asks = {"source_entity_type": "extension", "source_dn_number": "101", "destination_dn_number": "102"}
            to_join = {"continued_in_cdr_id": f"{flow}-3", "termination_reason": "continued_in"}
            legs.append(make_leg_row(f"{flow}-3", flow, ended, **joined))
            own = {"main_call_history_id": flow, "cdr_started_at": at + timedelta(seconds=1)}
            legs.append(make_leg_row(f"{flow}-4", f"asks-{number}", ended, **asks | to_join | own))
        self.wanted[number] = {row["cdr_id"] for row in legs}
        return legs

    def rows(self) -> dict[int, bool]:
        """Every call's number, and whether all of its legs have ended."""
        with self.transaction() as cursor:
            cursor.execute("SELECT cdr_id FROM cdroutput WHERE cdr_ended_at IS NOT NULL")
            there = {row[0] for row in cursor.fetchall()}
        return {number: legs <= there for number, legs in self.wanted.items()}

    def misplaced(self, position: str, rows: Mapping[int, bool], *, missing_ids_are_kept: bool) -> Iterator[str]:
        """A position waits just for what has not ended."""
        waiting = set(time_position.from_text(position).waiting)
        going_on = {self.pbx_call_id(number) for number, has_ended in rows.items() if not has_ended}
        if waiting != going_on:
            yield f"flows {sorted(waiting)} are waited for, should be {sorted(going_on)}"

    def waits_for(self, position: str, number: int) -> bool:
        return self.pbx_call_id(number) in time_position.from_text(position).waiting


def _named(value: Any, flow: str) -> Any:
    return value.format(flow=flow) if isinstance(value, str) else value


class SqliteLegSystem(LegSystem, SqlitePhoneSystem):
    def __init__(self, file: Path) -> None:
        SqlitePhoneSystem.__init__(self, file)
        self.start("TEXT")


class MariaDbLegSystem(LegSystem, MariaDbPhoneSystem):
    def __init__(self, server: MariaDb, name: str) -> None:
        MariaDbPhoneSystem.__init__(self, server, name)
        self.start("DATETIME(6)")
