"""Clients of the phone system's REST API, one for each set of credentials."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from shared.clock import Clock

if TYPE_CHECKING:
    from cdr.edges.xapi.client import XapiClient
    from shared.config.phone_system import Xapi
    from shared.config.settings import Settings


class XapiClients:
    """Shared by whoever uses the same credentials: the phone system knows one token of each at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clients: dict[tuple[str, ...], XapiClient] = {}
        self._lock = Lock()

    def client_of(self, xapi: Xapi, setting: str, settings: Settings) -> XapiClient:
        """:param setting: the section that these credentials stand in, for messages"""
        from cdr.edges.xapi.client import XapiClient, XapiLogin

        credentials, common = _credentials(xapi), settings.three_cx.xapi
        if common is not None and _credentials(common) == credentials:
            setting = "3cx.xapi"
        with self._lock:
            if credentials not in self._clients:
                login = XapiLogin(*credentials, setting, xapi.ca_file)
                self._clients[credentials] = XapiClient(login, self._clock)
            return self._clients[credentials]


def _credentials(xapi: Xapi) -> tuple[str, str, str]:
    return xapi.url, xapi.client_id, xapi.client_secret.get_secret_value()
