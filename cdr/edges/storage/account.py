"""The storage account behind queue and tables: who we are there, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shared.errors import StorageUnavailable

if TYPE_CHECKING:
    from azure.data.tables import TableClient
    from azure.storage.queue import QueueClient

SETTING = "AzureWebJobsStorage"

# The SDK's own patience is minutes; a claim's lease is not.
PATIENCE: Mapping[str, Any] = {"retry_total": 3, "retry_connect": 3, "retry_read": 3, "retry_status": 3}
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 10

CONNECTIONS = 32
"""The most worker threads that the Functions worker has."""

RETRIED = frozenset({"GET", "PUT", "DELETE", "POST", "PATCH"})


class StorageAccount:
    """Makes clients for the account that the app setting AzureWebJobsStorage names.

    A connection string, or, for a managed identity, the settings AzureWebJobsStorage__queueServiceUri and
    __tableServiceUri (or __accountName), with __clientId for a user-assigned one.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._connection_string = environment.get(SETTING, "")
        name = environment.get(f"{SETTING}__accountName")
        self._uris = {
            service: environment.get(f"{SETTING}__{service}ServiceUri")
            or (f"https://{name}.{service}.core.windows.net" if name else "")
            for service in ("queue", "table")
        }
        self._client_id = environment.get(f"{SETTING}__clientId") or environment.get("AZURE_CLIENT_ID")

    def queue_client(self, name: str) -> QueueClient:
        from azure.storage.queue import QueueClient, TextBase64DecodePolicy, TextBase64EncodePolicy

        options = {
            **PATIENCE,
            "initial_backoff": 1,
            "increment_base": 2,
            "transport": _transport(),
            "message_encode_policy": TextBase64EncodePolicy(),
            "message_decode_policy": TextBase64DecodePolicy(),
        }
        if self._connection_string:
            with _described():
                return QueueClient.from_connection_string(self._connection_string, name, **options)
        return QueueClient(self._uri("queue"), name, credential=self._credential(), **options)

    def table_client(self, name: str) -> TableClient:
        from azure.core.pipeline import PipelineRequest
        from azure.core.pipeline.policies import SansIOHTTPPolicy
        from azure.data.tables import TableClient

        class RetriedWrites(SansIOHTTPPolicy[Any, Any]):
            """Left to itself, the SDK gives a write up when its connection breaks. Ours may all be repeated: they are
            inserts, conditional on an ETag, or put the same again, and know their own traces."""

            def on_request(self, request: PipelineRequest[Any]) -> None:
                request.context.options["retry_on_methods"] = RETRIED

        options = {
            **PATIENCE,
            "retry_backoff_factor": 0.5,
            "transport": _transport(),
            "per_call_policies": [RetriedWrites()],
        }
        if self._connection_string:
            with _described():
                return TableClient.from_connection_string(self._connection_string, name, **options)
        return TableClient(self._uri("table"), name, credential=self._credential(), **options)

    def _uri(self, service: str) -> str:
        uri = self._uris[service]
        if not uri:
            raise StorageUnavailable(f"the app setting {SETTING} is missing (or {SETTING}__{service}ServiceUri)")
        return uri

    def _credential(self) -> Any:
        from azure.identity import DefaultAzureCredential

        return DefaultAzureCredential(managed_identity_client_id=self._client_id)


def _transport() -> Any:
    """With room for every worker thread (beyond it, a connection is made and thrown away for each request), and with
    time-outs: a client that is given a transport does not hand its own on."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
    return RequestsTransport(
        session=session, session_owner=False, connection_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S
    )


@contextmanager
def _described() -> Iterator[None]:
    try:
        yield
    except ValueError as exc:
        raise StorageUnavailable(f"the app setting {SETTING} is no connection string") from exc


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Within: every error of the SDK that is not caught becomes StorageUnavailable."""
    from azure.core.exceptions import AzureError, HttpResponseError

    try:
        yield
    except HttpResponseError as exc:
        code = getattr(exc, "error_code", None) or ""
        hint = f"; check the app setting {SETTING} and its rights" if exc.status_code in (None, 401, 403) else ""
        raise StorageUnavailable(f"{what}: storage refused, status {exc.status_code} {code}{hint}") from exc
    except AzureError as exc:
        # Not "from exc": its text holds the URL, and that the signature of a connection string with a SAS.
        raise StorageUnavailable(f"{what}: storage was not reached ({_short(exc)})") from None


def _short(exc: BaseException) -> str:
    without_url = re.sub(r"\s*with url: \S*", "", str(exc))
    return re.sub(r"\s+", " ", without_url)[:200]
