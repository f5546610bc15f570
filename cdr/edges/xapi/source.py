"""The calls of a 3CX V20 phone system by way of its REST API, as a source of calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cdr.edges.xapi.call_log import XapiCallLog
from cdr.edges.xapi.client import XapiClient
from cdr.intake.folding.fold import FoldOptions
from cdr.intake.ports import Position, Progress, SourceFacts
from cdr.intake.window_order import reader as window_order
from cdr.intake.window_order.reader import WindowOrderReader
from cdr.intake.window_order.report import ReportPatience
from shared.clock import Clock


class XapiCalls:
    """A CallSource. What the phone system can answer at once is remembered from one connection to the next."""

    name = "xapi"

    def __init__(self, client: XapiClient, clock: Clock, patience: ReportPatience, options: FoldOptions) -> None:
        self._log = XapiCallLog(client)
        self._clock = clock
        self._patience = patience
        self._options = options

    @contextmanager
    def connect(self) -> Iterator[WindowOrderReader]:
        yield WindowOrderReader(self._log, self._clock, self._patience, self._options)

    def about(self) -> SourceFacts:
        """Its time is only told where a call is under way."""
        under_way = self._log.calls_under_way()
        if under_way is None:
            return SourceFacts("3CX REST API, whose client may not see what is under way: calls wait to be quiet")
        told = (each.told_at for each in under_way if each.told_at is not None)
        return SourceFacts(f"3CX REST API, calls under way: {len(under_way)}", now=next(told, None))

    def progress(self, position: Position) -> Progress:
        return window_order.progress(position)
