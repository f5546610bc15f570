"""The phone system's calls, by ``3cx.source``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from cdr.intake.id_order import reader as id_order
from cdr.intake.time_order import reader as time_order
from cdr.wiring import plans
from cdr.wiring.xapi_clients import XapiClients
from shared import log
from shared.clock import Clock
from shared.config.phone_system import OF_ALL
from shared.config.settings import Settings
from shared.errors import SourceMisconfigured
from shared.once import Together

if TYPE_CHECKING:
    from cdr.intake.ports import CallReader, CallSource, Position, Progress, SourceFacts


def make_source(
    settings: Settings,
    root: Path,
    clock: Clock,
    page_size: int | None = None,
    xapi_clients: XapiClients | None = None,
) -> CallSource:
    makers = {
        "calllog": lambda: _calllog(settings, root, clock, page_size or id_order.PAGE_SIZE),
        "v20": lambda: _v20(settings, root, clock, page_size or time_order.PAGE_SIZE),
        "v18": lambda: _v18(settings, root, clock, page_size or id_order.PAGE_SIZE),
        "xapi": lambda: _xapi(settings, clock, xapi_clients or XapiClients(clock)),
    }
    source = settings.three_cx.source
    if source == "auto":
        return LateSource(None, lambda: _found(settings, makers))
    return LateSource(source, makers[source])


def _calllog(settings: Settings, root: Path, clock: Clock, page_size: int) -> CallSource:
    from cdr.edges.sql.row_table import call_log_source, read_schema

    three_cx = settings.three_cx
    sql = read_schema(three_cx.schema_ or OF_ALL, root, three_cx.database.engine)
    return call_log_source(three_cx.database, sql, clock, plans.row_patience(three_cx), page_size)


def _v20(settings: Settings, root: Path, clock: Clock, page_size: int) -> CallSource:
    from cdr.edges.sql.leg_table import read_legs, v20_source

    three_cx = settings.three_cx
    own = three_cx.schema_ if three_cx.schema_ != OF_ALL else None
    name = own or ("v20-replica" if three_cx.replica_delay else "v20")
    sql = read_legs(name, root, three_cx.database.engine)
    options, patience = plans.fold_options(settings.calls), plans.leg_patience(three_cx)
    return v20_source(three_cx.database, sql, clock, patience, options=options, page_size=page_size)


def _v18(settings: Settings, root: Path, clock: Clock, page_size: int) -> CallSource:
    from cdr.edges.sql.segment_table import read_segments, v18_source

    three_cx = settings.three_cx
    sql = read_segments(three_cx.database.engine, root)
    options = plans.fold_options(settings.calls)
    return v18_source(three_cx.database, sql, clock, plans.row_patience(three_cx), options=options, page_size=page_size)


def _xapi(settings: Settings, clock: Clock, clients: XapiClients) -> CallSource:
    from cdr.edges.xapi.source import XapiCalls

    three_cx = settings.three_cx
    if three_cx.xapi is None:
        raise LookupError("source xapi has no section 3cx.xapi")
    client = clients.client_of(three_cx.xapi, "3cx.xapi", settings)
    return XapiCalls(client, clock, plans.report_patience(three_cx), plans.fold_options(settings.calls))


class LateSource:
    """A CallSource that is made when it is first connected to, which reads its files.

    What is wrong with them is said where every other failure of a source is said, by whoever connects, and the next one
    looks again. ``name`` None: only what is made knows it.
    """

    def __init__(self, name: str | None, make: Callable[[], CallSource]) -> None:
        self.make = make
        self._name = name
        self._made: CallSource | None = None
        self._together: Together[CallSource] = Together()

    @property
    def name(self) -> str:
        return self._name if self._name is not None else self._source().name

    def connect(self) -> AbstractContextManager[CallReader]:
        return self._source().connect()

    def progress(self, position: Position) -> Progress:
        return self._source().progress(position)

    def about(self) -> SourceFacts:
        return self._source().about()

    def _source(self) -> CallSource:
        return self._together.do(self._make_unless_made, self)

    def _make_unless_made(self) -> CallSource:
        if self._made is None:
            self._made = self.make()
        return self._made


def _found(settings: Settings, makers: Mapping[str, Callable[[], CallSource]]) -> CallSource:
    """Of a database of which it is not said what it is: by the tables that are there. Old ones that an upgrade left
    beside the new ones are not filled any more, so the new ones win.

    :raises SourceUnavailable, SourceMisconfigured: it cannot be looked at, or none of the tables is there
    """
    from cdr.edges.sql.tables import OF_3CX, tables_there

    there = tables_there(settings.three_cx.database, OF_3CX.values())
    kinds = [kind for kind, table in OF_3CX.items() if table in there]
    if not kinds:
        raise SourceMisconfigured(
            f"3cx.source auto: the login sees none of the tables {', '.join(OF_3CX.values())}; check "
            "3cx.cdr_database.database and what the login may SELECT from, or set 3cx.source"
        )
    log.event("source.found", source=kinds[0], tables=sorted(there))
    return makers[kinds[0]]()
