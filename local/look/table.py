"""A preview as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from cdr.calls.call import Call
from cdr.operations.preview import Preview, Previewed
from cdr.submission.directory import KeptPhoneBook
from local.look.lines import Styled, printable, wrapped
from shared.masking import mask_number, mask_numbers

_WIDTHS = (19, 9, 8, 15, 7, 6, 23, 6)
_TITLES = ("over (UTC)", "would be", "way", "number", "h:mm:ss", "owner", "address", "group")
_ADDRESS = _TITLES.index("address")
_INDENT = " " * (_WIDTHS[0] + 1)

_STYLES = {"submitted": "green", "skipped": "dim", "rejected": "red", "waits": "yellow"}


def table_of(preview: Preview, *, reveal: bool) -> Iterator[Styled]:
    yield f"The newest calls of the source {preview.source}, as they would be submitted. Nothing is sent.", "bold"
    if preview.known.kept is not None:
        for line in wrapped(_phone_book(preview.known.kept), ""):
            yield line, "dim"
    yield "", ""
    if not preview.calls:
        yield "There is no call that is over.", "yellow"
        return
    yield _row(_TITLES), "bold"
    for each in preview.calls:
        yield _row(_cells(each, reveal=reveal)), _STYLES[each.outcome]
        for line in wrapped(_why(each, reveal=reveal), _INDENT):
            yield line, "dim"


def _phone_book(kept: KeptPhoneBook) -> str:
    failed = f": {mask_numbers(kept.failure)}" if kept.failure else ""
    return f"Addresses from {kept.origin}: {len(kept.book.emails) if kept.read_at else 'none'}{failed}"


def _cells(each: Previewed, *, reveal: bool) -> tuple[str, ...]:
    call = each.call
    ended = f"{call.ended_at:%Y-%m-%d %H:%M:%S}" if call else _ended(each.record.values.get("ended_at"))
    if call is None:
        return ended, each.outcome, each.reason or ""
    return ended, each.outcome, call.direction.lower(), *_of_call(call, reveal=reveal)


def _of_call(call: Call, *, reveal: bool) -> tuple[str, ...]:
    number = call.phone_number if reveal else mask_number(call.phone_number)
    duration = str(timedelta(seconds=call.duration_s))
    return number, duration, call.extension, call.email or "none", call.call_group_id or ""


def _ended(value: object) -> str:
    """Without an offset as it stands in the table."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value or "?")
    return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%d %H:%M:%S}"


def _why(each: Previewed, *, reveal: bool) -> str:
    because = asdict(each.because)
    if each.call and each.call.email and len(each.call.email) > _WIDTHS[_ADDRESS]:
        because["address"] = f"{each.call.email} {because['address']}"
    reasons = [f"{name}: {words}" for name, words in because.items() if words]
    told = "; ".join([*([each.detail] if each.detail else []), *reasons])
    return told if reveal else mask_numbers(told)


def _row(cells: tuple[str, ...]) -> str:
    """The last of fewer cells has the rest of the line."""
    last = len(cells) - 1
    rest = sum(_WIDTHS[last:]) + len(_WIDTHS) - last - 1
    widths = (*_WIDTHS[:last], rest)
    return " ".join(_cut(text, width) for text, width in zip(cells, widths, strict=True)).rstrip()


def _cut(text: str, width: int) -> str:
    plain = printable(text)
    return plain.ljust(width) if len(plain) <= width else f"{plain[: width - 1]}…"
