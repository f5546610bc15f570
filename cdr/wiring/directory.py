"""Whose extension is whose, by ``extension_mapping`` and ``extension_mapping_from``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cdr.wiring.xapi_clients import XapiClients
from shared.config.extensions import DatabaseExtensions, XapiExtensions
from shared.config.settings import Settings

if TYPE_CHECKING:
    from cdr.submission.ports import Directory


def make_directory(settings: Settings, root: Path, clients: XapiClients) -> Directory | None:
    """None: the file's own mapping is all there is."""
    match settings.extension_mapping_from, settings.three_cx.xapi:
        case DatabaseExtensions() as chosen, _:
            from cdr.edges.sql.directory import SqlDirectory

            return SqlDirectory(chosen.database or settings.three_cx.database, chosen.select, root)
        case XapiExtensions(), xapi if xapi is not None:
            from cdr.edges.xapi.directory import XapiDirectory

            return XapiDirectory(clients.client_of(xapi, "3cx.xapi", settings), xapi.url)
    return None
