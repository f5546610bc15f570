"""No value becomes SQL, and no schema file writes, even past the reader of the file: the session stands against it.

What the reader of the file refuses is shown in tests/unit/sql/test_selects.py.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from cdr.edges.sql.engines import make_engine
from cdr.edges.sql.timeouts import USUAL
from shared.errors import PipelineError
from tests.support.factories import OUTSIDE, make_raw_row
from tests.support.statements import statements
from tests.systems.phone_systems import CALLLOG

MARK = "Pwned"
"""Stands in every hostile value, so that a statement with one of them in its text is found."""

HOSTILE = [
    f"'; DROP TABLE CallLog; -- {MARK}",
    f'"; DROP TABLE CallLog; -- {MARK}',
    f"\\'; DROP TABLE CallLog; # {MARK}",
    f"1) OR 1=1; DELETE FROM CallLog /* {MARK} */",
    f"') UNION SELECT * FROM CallLog -- {MARK}",
    f"x' or PartitionKey ne '{MARK}",
    f"%s %(id)s :id ? {{0}} ${{{MARK}}}",
    f"'||(SELECT 1)||'{MARK}",
]
TEXT_COLUMNS = ("call_id", "caller_number", "dest_number", "extension", "hangup_cause")
on_each_engine = pytest.mark.parametrize("engine", ["sqlite", "mariadb", "postgresql"])


# Values


@on_each_engine
def test_hostile_values_in_every_column_of_a_row_stay_values(app_on, make_phone_system, storage, engine):
    system = make_phone_system(engine)
    reaching_the_api = [dict.fromkeys(set(TEXT_COLUMNS) - {"extension"}, text) for text in HOSTILE]
    kinds = [*reaching_the_api, *({"extension": text} for text in HOSTILE)]
    rows = [make_raw_row(id=number, answered=1, **kind) for number, kind in enumerate(kinds, start=1)]
    system.insert(*rows)
    app = app_on(system)
    with statements() as sent:
        app.tick("poll_cdr")
        while storage.depth():
            app.submit_all(storage)
        assert app.ask("reconcile", **{"from": "2026-11-22", "to": "2026-11-22"}).body["missing"] == 0
    assert sent
    assert not [text for text, _ in sent if MARK in text or "DROP" in text]
    assert {record.row_id for record in storage.ledger()} == {str(row["id"]) for row in rows}
    kept = system.sql("SELECT Id, CallId, CallerNumber, DestNumber, Extension, HangupCause FROM CallLog ORDER BY Id")
    assert [tuple(row) for row in kept] == [(row["id"], *(row[column] for column in TEXT_COLUMNS)) for row in rows]


@pytest.fixture
def one_rejected(app_on, make_phone_system, storage):
    """The functions on MariaDB, with one call in the ledger that can be replayed."""
    system = make_phone_system("mariadb")
    system.insert(make_raw_row(id=1, extension="199"))
    app = app_on(system)
    app.tick("poll_cdr")
    app.submit_all(storage)
    assert storage.states() == ["rejected"]
    return app, system


def test_hostile_values_in_parameters_of_requests_stay_values(one_rejected, storage):
    app, system = one_rejected
    days = {"from": "2026-11-22", "to": "2026-11-22"}
    for text in HOSTILE:
        with statements() as sent:
            refused = [
                *(app.ask("rejected", **{name: text}) for name in ("limit", "reveal", text)),
                *(app.ask("reconcile", **days | {name: text}) for name in days),
                *(app.ask("trigger_reconcile", "POST", days | {name: text}) for name in days),
                app.ask("trigger_replay", "POST", {"all": text}),
            ]
            taken = [
                app.ask("rejected", after=text),
                *(app.ask("trigger_replay", "POST", {name: text}) for name in ("reason", "call")),
            ]
        assert {answer.status for answer in refused} == {400}, text
        assert [answer.status for answer in taken] == [200, 404, 404], text
        assert sent == [], text
    assert storage.states() == ["rejected"]
    assert system.sql("SELECT Id FROM CallLog") == [(1,)]


# What the session stands against, with a login that may do everything

OF_ANY_ENGINE = {
    "DELETE FROM CallLog",
    "SELECT 1 AS id; DELETE FROM CallLog",
    "SELECT 1 AS id) AS cdr; DELETE FROM CallLog; --",
    "SELECT 1 AS id) AS cdr DELETE FROM CallLog SELECT * FROM (SELECT 1 AS id",
    "SELECT Id AS id INTO stolen FROM CallLog",
    "WITH gone AS (DELETE FROM CallLog RETURNING Id) SELECT Id AS id FROM gone",
}
OF_ITS_OWN = {
    "sqlite": {"SELECT writefile('stolen', 'x') AS id", "SELECT load_extension('stolen') AS id"},
    "mariadb": {
        "SELECT 1 AS id INTO OUTFILE 'stolen'",
        "SELECT NEXTVAL(counter) AS id",
        "SELECT add_row() AS id",
        "SELECT '\\''; DELETE FROM CallLog; -- '",
        "SELECT 1 AS id /*! ; DELETE FROM CallLog */",
    },
    "postgresql": {
        "SELECT nextval('counter') AS id",
        "SELECT add_row() AS id",
        "SELECT setval('counter', 99) AS id",
        "SELECT $$'$$ AS id; DELETE FROM CallLog; --$$'$$",
        "SELECT set_config('transaction_read_only', 'off', true)::int + add_row() AS id",
    },
}


@on_each_engine
def test_even_a_login_that_may_do_everything_does_not_write(make_phone_system, engine):
    system = make_phone_system(engine)
    system.insert({"id": 1}, {"id": 2})
    login = {} if engine == "sqlite" else system.add_owner()
    for text in sorted(OF_ANY_ENGINE | OF_ITS_OWN[engine]):
        with pytest.raises(PipelineError) as caught, system.connect(text, **login) as table:
            pytest.fail(f"{text} yields {table.rows_after(None, 10)}")
        assert text != "SELECT add_row() AS id" or "3cx.schema: its SELECT would write" in str(caught.value)
        assert system.sql("SELECT Id FROM CallLog ORDER BY Id") == [(1,), (2,)], text
    assert engine == "sqlite" or system.count() == 1


@pytest.mark.parametrize("engine", ["sqlite", "mariadb", "postgresql", "mssql-freetds"])
def test_a_session_takes_no_statement_that_writes(make_phone_system, engine):
    system = make_phone_system(engine)
    system.insert({"id": 1})
    login = system.add_owner() if hasattr(system, "add_owner") else {}
    with make_engine(system.settings(**login), USUAL).connect() as connection:
        for statement in ("INSERT INTO CallLog (Id) VALUES (2)", "DELETE FROM CallLog", "CREATE TABLE t (i INT)"):
            with pytest.raises(sa.exc.DBAPIError, match=r"(?i)read.?only|denied"):
                connection.exec_driver_sql(statement)
    assert system.sql("SELECT Id FROM CallLog") == [(1,)]


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_the_function_that_no_session_may_call_writes(make_phone_system, engine):
    """Else the test above would show nothing."""
    system = make_phone_system(engine)
    system.add_owner()
    system.sql("SELECT add_row()")
    assert system.sql("SELECT Id FROM CallLog") == [(99,)]


# What errors show


@on_each_engine
def test_a_number_that_a_schema_takes_for_something_else_is_masked_in_the_error(make_phone_system, engine):
    system = make_phone_system(engine)
    system.insert({"id": 1, "caller_number": OUTSIDE})
    columns = ["CallerNumber", *(["CAST(CallerNumber AS INT)"] if engine == "postgresql" else [])]
    for column in columns:
        schema = CALLLOG.replace("Id           AS id", f"{column} AS id")
        with pytest.raises(PipelineError, match=r"\*\*\*42") as caught, system.connect(schema) as table:
            table.rows_after(None, 10)
        assert "555" not in str(caught.value)
