"""The phone system's call log (GetCallLogData), read whole although it can be cut short without a word.

The report has at most REPORT_ROW_LIMIT rows (a parameter of the phone system, 20,000 unless changed), newest first, and
says nothing of those that it leaves out; a long period may also end in a 504. Its pages shift while calls arrive, and
sorting it loses rows. So no pages are turned and nothing is sorted there: a period is asked for in windows that are
small enough to be answered at once, and a window whose answer is cut short is asked for again in halves. An answer is
cut short if

- it has as many rows as were asked for, which are fewer than any sensible limit, so that most limits are never met;
- it says itself that there is more;
- it has a fair number of rows, and there is one before its oldest: that is how any other limit shows.

Within a single second the last cannot be seen: there a round number of thousands is taken for a limit, unless a longer
period around it has more rows.

The period is compared with the start of each row. A row can appear late, as nothing is known of calls under way: a
window has to be read again until its calls have ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cdr.edges.xapi.client import Forbidden, Item, NotThere, TooMuchAtOnce, XapiClient
from cdr.intake.folding.columns import text_in, time_if_readable
from cdr.intake.folding.leg import Leg
from cdr.intake.folding.xapi_rows import leg_of_report
from cdr.intake.window_order.report import Window
from cdr.intake.window_order.under_way import UnderWay
from shared.errors import SourceUnavailable

MOST_ROWS = 500
FAIR_NUMBER = 50
SMALLEST = timedelta(seconds=1)
"""The report knows no fractions of a second."""
MOST_ROWS_OF_SMALLEST = 20_000
ROUND_OF_SMALLEST = 1_000
"""A forwarding loop may well write some hundred rows in a second, and a second cannot be halved."""
AROUND_SMALLEST = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))
FIRST_WIDTH = timedelta(hours=1)
WIDEST = timedelta(days=1)
GOOD_WINDOWS = 8
"""In a row, before twice as much is tried again."""
PATIENCE = timedelta(seconds=30)
"""With what is too much for the phone system. Then the rest is left to the next poll, which begins with the width that
was found so far."""
MOST_BYTES = 64_000_000
"""Rows can carry transcripts."""

ROLE = "System Owner"

_ARGUMENTS = (
    "sourceType=0,sourceFilter='',destinationType=0,destinationFilter='',callsType=0,"
    "callTimeFilterType=0,callTimeFilterFrom='0:00:0',callTimeFilterTo='0:00:0',hidePcalls=true"
)
"""All are required, in this order: everything, without the ringing of each agent of a queue."""

Spelling = Callable[[datetime], str]
SPELLINGS: Sequence[Spelling] = (
    lambda moment: f"{moment:%Y-%m-%dT%H%%3A%M%%3A%SZ}",
    lambda moment: f"{moment:%Y-%m-%dT%H%%3A%M%%3A%S.000Z}",
    lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}",
    lambda moment: f"{moment:%Y-%m-%dT%H:%M:%S.000Z}",
)
"""Which one a phone system takes differs between releases; it answers 404 to the others."""


class _CutShort(TooMuchAtOnce):
    """The answer may lack rows."""


class XapiCallLog:
    """A ReportLog. Remembers from one call to the next what the phone system can answer, for all who ask: in each
    other's way threads may only find out once more how much that is.

    Every method raises SourceUnavailable (try later) or SourceMisconfigured (a person must act).
    """

    def __init__(self, client: XapiClient, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._monotonic = monotonic
        self._spelling = SPELLINGS[0]
        self._width = FIRST_WIDTH
        self._good = 0

    def newest_start(self) -> datetime | None:
        """When the newest call of the records started; None if there is none. They may have been written later."""
        answer = self._client.get("LastCdrAndChatMessageTimestamp")
        found = answer.get("value")
        items = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else [answer]
        moments = (time_if_readable(item, "LastCdrStartedAt") for item in items)
        return max((moment for moment in moments if moment is not None), default=None)

    def calls_under_way(self) -> Sequence[UnderWay] | None:
        """None where the API client may not see them, or the phone system has no such list."""
        try:
            return [_under_way(item) for item in self._client.items("ActiveCalls")]
        except (Forbidden, NotThere):
            return None

    def windows(self, start: datetime, end: datetime) -> Iterator[Window]:
        """Every row that started from ``start`` to before ``end`` (aware), and perhaps some that started around them:
        in order of time, each window as soon as it is there. They touch, and what stands on their edge may come twice:
        whether their last second belongs to them is not known. What starts now is still being written.
        """
        at, until = _whole_second(start), _whole_second(end + SMALLEST - timedelta.resolution)
        give_up_at = self._monotonic() + PATIENCE.total_seconds()
        while at < until:
            width = min(self._width, until - at)
            try:
                rows = self._window(at, at + width)
            except TooMuchAtOnce as exc:
                self._narrow(at, width, exc)
                if not isinstance(exc, _CutShort) and self._monotonic() > give_up_at:
                    raise
                continue
            yield Window(at, at + width, rows)
            at += width
            self._widen()

    def _window(self, start: datetime, end: datetime) -> Sequence[Leg]:
        if end - start <= SMALLEST:
            rows = self._rows(start, end, MOST_ROWS_OF_SMALLEST)
            if rows and len(rows) % ROUND_OF_SMALLEST == 0 and self._is_limit(start, end, len(rows)):
                raise self._cut_short(len(rows))
            return rows
        rows = self._rows(start, end, MOST_ROWS)
        if len(rows) >= FAIR_NUMBER:
            oldest = min((row.started_at for row in rows if row.started_at is not None), default=start)
            until = _whole_second(oldest) + SMALLEST
            if until < end and not _ids(self._rows(start, until, MOST_ROWS)) <= _ids(rows):
                raise self._cut_short(len(rows))
        return rows

    def _rows(self, start: datetime, end: datetime, most: int) -> Sequence[Leg]:
        answer = self._answer(start, end, most)
        items = self._client.list_in(answer, "the call log")
        if len(items) >= most or _has_more(answer, len(items)):
            raise self._cut_short(len(items))
        return [leg_of_report(item) for item in items]

    def _is_limit(self, start: datetime, end: datetime, count: int) -> bool:
        """Whether no period has more rows than that; a period that is too long for the phone system says nothing."""
        for around in AROUND_SMALLEST:
            try:
                answer = self._answer(start - around, end + around, count + 1)
            except TooMuchAtOnce:
                break
            if len(self._client.list_in(answer, "the call log")) > count:
                return False
        return True

    def _cut_short(self, count: int) -> _CutShort:
        return _CutShort(f"{self._client.url_setting}: the call log is cut short after {count} rows")

    def _answer(self, start: datetime, end: datetime, most: int) -> Item:
        for spelling in (self._spelling, *(other for other in SPELLINGS if other is not self._spelling)):
            period = f"periodFrom={spelling(start)},periodTo={spelling(end)}"
            path = f"ReportCallLogData/Pbx.GetCallLogData({period},{_ARGUMENTS})"
            try:
                answer = self._client.get(path, {"$top": most}, role=ROLE, most_bytes=MOST_BYTES)
            except NotThere:
                continue
            self._spelling = spelling
            return answer
        hint = "check the address and port, and that it is 3CX V20 Update 6 or later"
        raise NotThere(f"{self._client.url_setting}: the phone system has no call log (404); {hint}")

    def _narrow(self, at: datetime, width: timedelta, exc: TooMuchAtOnce) -> None:
        self._good = 0
        if width <= SMALLEST:
            second = f"not even the calls of a single second can be read, {at:%Y-%m-%dT%H:%M:%SZ}"
            hint = "; its REPORT_ROW_LIMIT may be too low" if isinstance(exc, _CutShort) else ""
            raise SourceUnavailable(f"{exc}: {second}{hint}") from exc
        self._width = max(SMALLEST, _whole_seconds(width / 2))

    def _widen(self) -> None:
        self._good += 1
        if self._good >= GOOD_WINDOWS:
            self._width, self._good = min(WIDEST, self._width * 2), 0


def _under_way(item: Item) -> UnderWay:
    name = text_in(item, "Id") or f"{item.get('Caller')} {item.get('Callee')}"
    established_at, changed_at, told_at = (
        time_if_readable(item, column) for column in ("EstablishedAt", "LastChangeStatus", "ServerNow")
    )
    return UnderWay(name, established_at, changed_at, told_at)


def _has_more(answer: Item, count: int) -> bool:
    total = answer.get("@odata.count")
    return bool(answer.get("@odata.nextLink")) or (isinstance(total, int) and total > count)


def _ids(rows: Sequence[Leg]) -> set[str]:
    return {row.id for row in rows}


def _whole_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _whole_seconds(span: timedelta) -> timedelta:
    return timedelta(seconds=span // SMALLEST)
