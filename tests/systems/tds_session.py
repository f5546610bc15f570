"""What ODBC drivers and SQLAlchemy ask SQL Server about the session before their user's first query."""

import re

from pysqlbridge.tds.result import Column, Integer, NVarChar, Query, QueryResult

_NOTHING = QueryResult([], [])

_COMMAND = re.compile(r"(?:SET|IF|BEGIN|COMMIT|ROLLBACK|SAVE|USE)\b", re.IGNORECASE)

_QUESTIONS = (
    (re.compile(r"SERVERPROPERTY\('ProductVersion'\)", re.IGNORECASE), "16.0.4135.4"),
    (re.compile(r"SELECT schema_name\(\)$", re.IGNORECASE), "dbo"),
    (re.compile(r"FROM sys\.system_views WHERE name IN \('dm_exec_sessions'", re.IGNORECASE), "dm_exec_sessions"),
    (re.compile(r"SELECT CASE transaction_isolation_level\b", re.IGNORECASE), "READ COMMITTED"),
    (re.compile(r"SELECT CAST\('test max support' AS NVARCHAR\(max\)\)$", re.IGNORECASE), "test max support"),
    (re.compile(r"SELECT 1 FROM fn_listextendedproperty\(", re.IGNORECASE), "1"),
)

# From the answer pyodbc learns the widest text, binary and moment it may bind; without one it cuts moments to seconds.
_ASKS_FOR_TYPE = re.compile(r"sp_datatype_info_100\s+(-?\d+)")
_WHAT_IT_KEEPS = re.compile(r"SELECT @@LANGUAGE, SIGN\(@@LOCK_TIMEOUT\), DATEPART\(", re.IGNORECASE)

_WIDEST_TYPES = {
    12: ("varchar", 8000),
    -9: ("nvarchar", 4000),
    -3: ("varbinary", 8000),
    93: ("datetime2", 27),
}


def answer_about_session(query: Query) -> QueryResult | None:
    """The answer to a question or command that reads no table, or None when the query is about rows."""
    if asked := _ASKS_FOR_TYPE.search(_as_sql(query)):
        return _type_information(int(asked[1]))
    if _COMMAND.match(query.sql):
        return _NOTHING
    if _WHAT_IT_KEEPS.match(query.sql):
        number = Column("", Integer(4))
        return QueryResult([Column("", NVarChar(128)), number, number], [["us_english", 1, 1]])
    for question, answer in _QUESTIONS:
        if question.search(query.sql):
            return QueryResult([Column("", NVarChar(128))], [[answer]])
    return None


def _as_sql(query: Query) -> str:
    """A call by name, as Microsoft's driver makes it, spelled like the text that FreeTDS sends."""
    return query.sql if query.procedure is None else " ".join(map(str, [query.procedure, *query.arguments]))


def _type_information(odbc_type: int) -> QueryResult:
    columns = [Column("TYPE_NAME", NVarChar(128)), Column("DATA_TYPE", Integer(2)), Column("PRECISION", Integer(4))]
    name, precision = _WIDEST_TYPES[odbc_type]
    return QueryResult(columns, [[name, odbc_type, precision]])
