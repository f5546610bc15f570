"""Prepared statements for pysqlbridge: ODBC drivers send every query that has parameters through them."""

import itertools
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from pysqlbridge.tds.result import SELECT_COMMAND, Query, QueryResult, col_metadata, row

Answer = Callable[[Query], QueryResult]

_RETURN_STATUS_OK = b"\x79" + struct.pack("<i", 0)
_DONE_IN_PROC, _DONE_PROC = 0xFF, 0xFE
_FINAL, _MORE, _COUNT = 0x00, 0x01, 0x10
_EXECUTE_COMMAND = 0xE0


@dataclass(frozen=True)
class ProcedureResult:
    """What a procedure call sends back: rows if it has any, its return status, and the handle it made."""

    result: QueryResult | None
    handle: int | None = None

    def encode(self, tds_version: int, server: str = "") -> bytes:
        return (
            self._rows(tds_version)
            + _RETURN_STATUS_OK
            + self._handle()
            + _done(_DONE_PROC, _FINAL, _EXECUTE_COMMAND, 0)
        )

    def _rows(self, tds_version: int) -> bytes:
        if self.result is None or not self.result.columns:
            return b""
        columns, rows = self.result.columns, self.result.rows
        sent = b"".join(row(columns, cells) for cells in rows)
        return (
            col_metadata(columns, tds_version) + sent + _done(_DONE_IN_PROC, _MORE | _COUNT, SELECT_COMMAND, len(rows))
        )

    def _handle(self) -> bytes:
        if self.handle is None:
            return b""
        output_parameter = b"\xac" + struct.pack("<HBBIH", 0, 0, 1, 0, 0)
        return output_parameter + b"\x26\x04\x04" + struct.pack("<i", self.handle)


def _done(token: int, status: int, command: int, count: int) -> bytes:
    return struct.pack("<BHHQ", token, status, command, count)


@dataclass(frozen=True)
class _Statement:
    sql: str
    parameter_names: list[str]


class PreparedStatements:
    """The prepared statements of one connection, in front of a handler that knows only SQL with named parameters."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._statements: dict[int, _Statement] = {}
        self._handles = itertools.count(1)

    def answer(self, query: Query) -> QueryResult | ProcedureResult:
        if query.procedure is None:
            return self._answer(query)
        arguments = [*query.arguments, *query.parameters.values()]
        match query.procedure.lower().replace("_", ""):
            case "spprepexec":
                self._statements.pop(arguments[0], None)  # Microsoft's driver replaces its previous statement so
                handle = self._prepare(*arguments[1:3])
                return ProcedureResult(self._execute(handle, arguments[3:]), handle)
            case "spprepare":
                return ProcedureResult(None, self._prepare(*arguments[1:3]))
            case "spexecute":
                return ProcedureResult(self._execute(arguments[0], arguments[1:]))
            case "spunprepare":
                del self._statements[arguments[0]]
                return ProcedureResult(None)
        return self._answer(query)

    def _prepare(self, declarations: str | None, sql: str) -> int:
        handle = next(self._handles)
        self._statements[handle] = _Statement(sql, re.findall(r"@\w+", declarations or ""))
        return handle

    def _execute(self, handle: int, values: list[object]) -> QueryResult:
        statement = self._statements[handle]
        return self._answer(
            Query(sql=statement.sql, parameters=dict(zip(statement.parameter_names, values, strict=True)))
        )
