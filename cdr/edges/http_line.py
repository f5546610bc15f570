"""The way to an address: which proxy, whose certificates, and the connections that are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from requests import Request, Session
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool

from cdr.edges.http_connection import POOL_SIZE, POOLS, Progress


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the environment says of the way to an address: its proxies, and whose certificates count."""

    proxies: MutableMapping[str, str]
    verify: bool | str | None

    @classmethod
    def of(cls, address: str, ca_file: str | None = None) -> Surroundings:
        """Read from the environment's variables, which takes a while. A ``ca_file`` goes before theirs."""
        found = Session().merge_environment_settings(address, {}, None, ca_file, None)
        return cls(found["proxies"], found["verify"])


@dataclass(frozen=True)
class Line:
    """The connections to one host. ``prefix`` comes before a path where a proxy is to be told the whole address."""

    pool: HTTPConnectionPool
    prefix: str

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | Iterable[bytes] | None,
        headers: Mapping[str, str],
        progress: Progress,
    ) -> BaseHTTPResponse:
        """Send a request, within the exchange that the progress is of, and read its answer's head."""
        return self.pool.urlopen(
            method,
            self.prefix + path,
            body,
            headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=max(progress.left(), 0.001),
            preload_content=False,
        )


class Adapter(HTTPAdapter):
    """Requests' knowledge of proxies and certificates, without its sessions. Lines are used within ``of_exchange``."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=POOL_SIZE)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def line_to(self, address: str, surroundings: Surroundings) -> Line:
        request = Request("GET", address).prepare()
        pool = self.get_connection_with_tls_context(request, surroundings.verify, surroundings.proxies)
        told = self.request_url(request, surroundings.proxies)
        return Line(cast("HTTPConnectionPool", pool), told.removesuffix(request.path_url))
