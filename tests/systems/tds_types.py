"""Types on SQL Server's wire that pysqlbridge 2.1.3 cannot read as parameters, or cannot send as columns."""

import struct
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from pysqlbridge.tds import rpc
from pysqlbridge.tds.result import ColumnType, NVarChar

_DATE = 0x28
_DATETIME2 = 0x2A
_DATETIMEOFFSET = 0x2B
_DECIMAL, _NUMERIC = 0x6A, 0x6C
_DATETIMN = 0x6F
_DATE_WIDTH = 3
_TICKS_PER_MICROSECOND = 10
_FIRST_DAY = datetime(1900, 1, 1)  # noqa: DTZ001 - datetime and datetime2 know no time zone

_read_known_parameter = rpc._read_value


def read_parameter(payload: bytes, at: int, type_id: int) -> tuple[object, int]:
    """Read one parameter's type and value at a position; returns the value and the position behind it."""
    if type_id == _DATE:
        return _sized(payload, at, _date)
    if type_id == _DATETIME2:
        scale = payload[at]
        return _sized(payload, at + 1, lambda raw: _datetime2(raw, scale))
    if type_id == _DATETIMN:
        return _sized(payload, at + 1, _datetime)
    if type_id in (_DECIMAL, _NUMERIC):
        scale = payload[at + 2]
        return _sized(payload, at + 3, lambda raw: _decimal(raw, scale))
    return _read_known_parameter(payload, at, type_id)


# pysqlbridge looks the reader up in its module at each call and offers no other place to add a type.
rpc._read_value = read_parameter


def _sized(payload: bytes, at: int, decode) -> tuple[object, int]:
    """A value behind one byte that holds its length, zero for NULL."""
    end = at + 1 + payload[at]
    raw = payload[at + 1 : end]
    return (decode(raw) if raw else None), end


def _date(raw: bytes) -> date:
    return date.fromordinal(int.from_bytes(raw, "little") + 1)


def _datetime2(raw: bytes, scale: int) -> datetime:
    fractions = int.from_bytes(raw[:-_DATE_WIDTH], "little")
    since_midnight = timedelta(microseconds=fractions * 10**6 // 10**scale)
    return datetime.combine(_date(raw[-_DATE_WIDTH:]), time()) + since_midnight


def _datetime(raw: bytes) -> datetime:
    """Days since 1900 and three-hundredths of a second; the four-byte smalldatetime counts minutes instead."""
    if len(raw) == 4:
        days, minutes = struct.unpack("<HH", raw)
        return _FIRST_DAY + timedelta(days=days, minutes=minutes)
    days, ticks = struct.unpack("<iI", raw)
    return _FIRST_DAY + timedelta(days=days, microseconds=round(ticks * 10_000 / 3))


def _decimal(raw: bytes, scale: int) -> Decimal:
    digits = Decimal(int.from_bytes(raw[1:], "little")).scaleb(-scale)
    return digits if raw[0] else -digits


@dataclass(frozen=True)
class DateTime2(ColumnType):
    """A datetime2(7) column: ten million ticks a second, then days since the year 1."""

    def type_info(self) -> bytes:
        return bytes([_DATETIME2, 7])

    def encode(self, value: datetime | None) -> bytes:
        if value is None:
            return b"\x00"
        since_midnight = value - datetime.combine(value.date(), time())
        ticks = since_midnight // timedelta(microseconds=1) * _TICKS_PER_MICROSECOND
        return b"\x08" + ticks.to_bytes(5, "little") + (value.toordinal() - 1).to_bytes(_DATE_WIDTH, "little")


@dataclass(frozen=True)
class DateTimeOffset(DateTime2):
    """A datetimeoffset(7) column: a datetime2 in UTC, then the offset in minutes, here always none."""

    def type_info(self) -> bytes:
        return bytes([_DATETIMEOFFSET, 7])

    def encode(self, value: datetime | None) -> bytes:
        return b"\x00" if value is None else b"\x0a" + super().encode(value.replace(tzinfo=None))[1:] + bytes(2)


@dataclass(frozen=True)
class NVarCharMax(NVarChar):
    """An nvarchar(max) column: pysqlbridge's own leaves the end off an empty text, and the client waits for it."""

    max_chars: None = None

    def encode(self, value: str | None) -> bytes:
        return bytes(8 + 4) if value == "" else super().encode(value)
