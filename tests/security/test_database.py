"""No value becomes SQL, and no schema file writes: neither past the reader of the file nor past the session."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdr.edges.sql.row_table import read_schema
from shared.errors import PipelineError, SourceMisconfigured
from tests.contract.test_cdr_source_schema import ADD_ROW, statements
from tests.support.factories import make_raw_row
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
ENGINES = ["sqlite", "mariadb", "postgresql"]


# Values


@pytest.mark.parametrize("engine", ENGINES)
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
    assert {record.row_id for record in storage.ledger()} == {row["id"] for row in rows}
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


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_values_in_parameters_of_requests_stay_values(one_rejected, storage, text):
    app, system = one_rejected
    days = {"from": "2026-11-22", "to": "2026-11-22"}
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
    assert {answer.status for answer in refused} == {400}
    assert [answer.status for answer in taken] == [200] * 3
    assert [answer.body["queued"] for answer in taken[1:]] == [0, 0]
    assert sent == []
    assert storage.states() == ["rejected"]
    assert system.sql("SELECT Id FROM CallLog") == [(1,)]


# Schema files

OUT = "AS cdr"
"""How the derived table is called, so that what follows it would be well-formed."""

REFUSED = {
    "two statements": "SELECT 1 AS id; DELETE FROM CallLog",
    "two in one line without blank": "SELECT 1 AS id;DELETE FROM CallLog",
    "a write": "DELETE FROM CallLog",
    "a call": "CALL add_row()",
    "an assignment": "SET GLOBAL read_only = 0",
    "a bracket too many": f"SELECT 1 AS id) {OUT}; DROP TABLE CallLog; --",
    "a bracket too many and no semicolon, as SQL Server takes it": (
        f"SELECT 1 AS id) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS id"
    ),
    "brackets hidden in a text": f"SELECT '(' AS id) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT ')' AS id",
    "brackets hidden in a name": f"SELECT 1 AS [a]](]) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS id",
    "a name that looks like the start of a text": (
        f"SELECT 1 AS [a']) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS [b']"
    ),
    "a bracket hidden in a comment": f"SELECT 1 AS id /* ( */) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS id",
    "comments within comments": f"/* /* */ SELECT 1 AS id) {OUT} DELETE FROM CallLog /* */ SELECT * FROM (SELECT 1",
    "a comment that MySQL carries out": "/*! DELETE FROM CallLog */",
    "into a table": "SELECT 1 AS id INTO stolen",
    "into a file": "SELECT 1 AS id INTO OUTFILE '/tmp/stolen'",
    "into a file, hidden by a backslash": f"SELECT '\\'' AS id) {OUT} INTO OUTFILE '/tmp/stolen' #'",
    "into, in a comment that MySQL carries out": "SELECT '/*' AS id, '\\'' /*!50000INTO*/ OUTFILE '/tmp/x' #'",
    "a write within WITH": "WITH gone AS (DELETE FROM CallLog RETURNING Id) SELECT Id AS id FROM gone",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_a_schema_file_that_could_do_more_than_select_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.sql").write_text(text)
    with pytest.raises(SourceMisconfigured, match=r"^3cx\.schema: own\.sql must be one SELECT and nothing else$"):
        read_schema("own.sql", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT Id AS id FROM (SELECT Id FROM CallLog) AS c WHERE (Id > 1)",
        "SELECT '; ) (' AS id",
        'SELECT 1 AS ")", 2 AS [)], 3 AS `)`',
        "SELECT pointo, intohouse FROM CallLog",
        "SELECT (1) AS id -- )\n",
    ],
)
def test_what_only_looks_like_that_is_not(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.sql").write_text(text)
    assert read_schema("own.sql", tmp_path)


# The same past the reader of the file, with a login that may do everything: what the session stands against

OF_ANY_ENGINE = {
    "DELETE FROM CallLog",
    "SELECT 1 AS id; DELETE FROM CallLog",
    f"SELECT 1 AS id) {OUT}; DELETE FROM CallLog; --",
    f"SELECT 1 AS id) {OUT} DELETE FROM CallLog SELECT * FROM (SELECT 1 AS id",
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
COUNTER_AND_FUNCTION = {
    "mariadb": [
        "CREATE OR REPLACE SEQUENCE counter START WITH 1 NOCACHE",
        ADD_ROW,
        "CREATE OR REPLACE USER owner_of_all IDENTIFIED BY 'everything'",
        "GRANT ALL ON *.* TO owner_of_all",
    ],
    "postgresql": [
        "CREATE SEQUENCE IF NOT EXISTS counter",
        "CREATE OR REPLACE FUNCTION add_row() RETURNS INT LANGUAGE SQL AS 'INSERT INTO CallLog VALUES(99) RETURNING 1'",
        "DROP ROLE IF EXISTS owner_of_all",
        "CREATE ROLE owner_of_all SUPERUSER LOGIN PASSWORD 'everything'",
    ],
}


@pytest.mark.parametrize("engine", ENGINES)
def test_even_a_login_that_may_do_everything_does_not_write(make_phone_system, engine):
    system = make_phone_system(engine)
    system.insert({"id": 1}, {"id": 2})
    for statement in COUNTER_AND_FUNCTION.get(engine, ()):
        system.sql(statement)
    login = {} if engine == "sqlite" else {"username": "owner_of_all", "password": "everything"}
    for text in sorted(OF_ANY_ENGINE | OF_ITS_OWN[engine]):
        with pytest.raises(PipelineError), system.source_of(text, **login).connect() as reader:
            pytest.fail(f"{text} yields {reader.rows_after(None, 10)}")
        assert system.sql("SELECT Id FROM CallLog ORDER BY Id") == [(1,), (2,)], text
    if engine in COUNTER_AND_FUNCTION:
        value = "next_not_cached_value" if engine == "mariadb" else "last_value"
        assert system.sql(f"SELECT {value} FROM counter") == [(1,)]


def test_the_login_that_the_tests_may_not_write_with_could_write(make_phone_system) -> None:
    """Else the test above would show nothing."""
    for engine in ("mariadb", "postgresql"):
        system = make_phone_system(engine)
        for statement in COUNTER_AND_FUNCTION[engine]:
            system.sql(statement)
        system.sql("SELECT add_row()")
        assert system.sql("SELECT Id FROM CallLog") == [(99,)]


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd"])
def test_a_path_to_another_file_shows_nothing_of_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceMisconfigured) as caught:
        read_schema(name, tmp_path)
    assert "root:" not in str(caught.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_number_that_a_schema_takes_for_something_else_is_masked_in_the_error(make_phone_system, engine):
    system = make_phone_system(engine)
    system.insert({"id": 1, "caller_number": "+1 907 555 0142"})
    schemas = [CALLLOG.replace("Id           AS id", "CallerNumber AS id")]
    if engine == "postgresql":
        schemas.append(CALLLOG.replace("Id           AS id", "CAST(CallerNumber AS INT) AS id"))
    for schema in schemas:
        with pytest.raises(PipelineError, match=r"\*\*\*42") as caught, system.source_of(schema).connect() as reader:
            reader.rows_after(None, 10)
        assert "555" not in str(caught.value)
