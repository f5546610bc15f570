"""The storage account behind queue and tables: who we are there, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from cdr.edges.entra import TOKEN_PATIENCE, make_credential
from shared.clock import SystemClock
from shared.config.variables import reference_in
from shared.errors import PipelineError, StorageUnavailable
from shared.once import once

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential
    from azure.core.pipeline.policies import HTTPPolicy
    from azure.core.pipeline.transport import HttpTransport
    from azure.core.rest import HttpRequest, HttpResponse
    from azure.data.tables import TableClient
    from azure.storage.queue import QueueClient

SETTING = "AzureWebJobsStorage"

FIRST_ERROR = 400

SIGN = "x-ms-request-id"
"""Of the account's own answers: what a proxy or another server says of the time is not the time that claims go by."""

RETRIED = frozenset({"GET", "PUT", "DELETE", "POST", "PATCH"})


@dataclass(frozen=True, slots=True)
class StoragePatience:
    """With an account that does not do its work: how long for an answer, how often again, and the pause before that,
    which doubles. The SDK's own patience is minutes; a claim's lease is not. ``token`` is for each of two looks at who
    hands out tokens, where there is no key."""

    connect_s: int = 5
    answer_s: int = 10
    retries: int = 3
    pause_s: int = 1
    token: timedelta = TOKEN_PATIENCE


USUAL = StoragePatience()

HASTY = StoragePatience(connect_s=2, retries=0)
"""Of a person who looks: he looks again. A page of a query may take the service all of the time for an answer."""


class StorageAccount:
    """Makes clients for the account that the app setting AzureWebJobsStorage names.

    A connection string, or, for a managed identity, the settings AzureWebJobsStorage__queueServiceUri and
    __tableServiceUri (or __accountName), with __clientId for a user-assigned one. The ``clock`` hears what time
    it is there from every answer, unless another ``transport`` carries the requests.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        patience: StoragePatience = USUAL,
        transport: HttpTransport[HttpRequest, HttpResponse] | None = None,
        clock: SystemClock | None = None,
    ) -> None:
        self._patience = patience
        self._own_transport = transport
        self._clock = clock
        self._connection_string = environment.get(SETTING, "")
        name = environment.get(f"{SETTING}__accountName")
        self._uris = {
            service: environment.get(f"{SETTING}__{service}ServiceUri")
            or (f"https://{name}.{service}.core.windows.net" if name else "")
            for service in ("queue", "table")
        }
        self._client_id = environment.get(f"{SETTING}__clientId") or environment.get("AZURE_CLIENT_ID")
        beside = (name for name in environment if name.startswith((SETTING, "AZURE_CLIENT_", "AZURE_TENANT_ID")))
        self._has_service_principal = bool(environment.get("AZURE_TENANT_ID"))
        references = ((name, reference_in(environment[name])) for name in beside)
        self._unresolved = next((f"{name} {problem}" for name, problem in references if problem), None)

    def queue_client(self, name: str) -> QueueClient:
        from azure.storage.queue import QueueClient, TextBase64DecodePolicy, TextBase64EncodePolicy

        self._refuse_unresolved()
        options: dict[str, Any] = {
            **self._usual,
            "initial_backoff": self._patience.pause_s,
            "increment_base": 2 * self._patience.pause_s,
            "random_jitter_range": 3 * self._patience.pause_s,
            "message_encode_policy": TextBase64EncodePolicy(),
            "message_decode_policy": TextBase64DecodePolicy(),
        }
        if self._connection_string:
            with _described():
                return QueueClient.from_connection_string(self._connection_string, name, **options)
        return QueueClient(self._uri("queue"), name, credential=self._credential, **options)

    def table_client(self, name: str, *first: HTTPPolicy[Any, Any]) -> TableClient:
        """:param first: what its requests go through before all else"""
        from azure.core.pipeline import PipelineRequest
        from azure.core.pipeline.policies import SansIOHTTPPolicy
        from azure.data.tables import TableClient

        self._refuse_unresolved()

        class RetriedWrites(SansIOHTTPPolicy[Any, Any]):
            """Left to itself, the SDK gives a write up when its connection breaks. Ours may all be repeated: they are
            inserts, conditional on an ETag, or put the same again, and know their own traces."""

            def on_request(self, request: PipelineRequest[Any]) -> None:
                request.context.options["retry_on_methods"] = RETRIED

        options: dict[str, Any] = {
            **self._usual,
            "retry_backoff_factor": self._patience.pause_s / 2,
            "auto_request_id": False,  # each takes the system's clock; the service has its own, and answers with it
            "per_call_policies": [*first, RetriedWrites()],
        }
        if self._connection_string:
            with _described():
                return TableClient.from_connection_string(self._connection_string, name, **options)
        return TableClient(self._uri("table"), name, credential=self._credential, **options)

    def tell_time(self) -> None:
        """Let the clock hear what time it is, unless it has. Any answer of the account's tells.

        :raises StorageUnavailable: there is none
        """
        from azure.core.exceptions import HttpResponseError

        if self._clock is not None and not self._clock.has_heard:
            with translated("storage"), suppress(HttpResponseError):
                self.queue_client("any").get_queue_properties()
            if not self._clock.has_heard:
                raise StorageUnavailable("storage: what answers is not storage, and does not tell the time")

    def _hear(self, headers: Mapping[str, str], took: timedelta) -> None:
        """What time it is there, of an answer that is the account's own."""
        if self._clock is None or SIGN not in headers:
            return
        with suppress(ValueError):
            said = parsedate_to_datetime(headers.get("Date", ""))
            if said.tzinfo is not None:
                self._clock.hear(said, took)

    @property
    def _usual(self) -> Mapping[str, Any]:
        retries = {f"retry_{kind}": self._patience.retries for kind in ("total", "connect", "read", "status")}
        return {**retries, "permit_redirects": False, "transport": self.transport}

    @once
    def transport(self) -> HttpTransport[HttpRequest, HttpResponse]:
        """One for all clients."""
        if self._own_transport is not None:
            return self._own_transport
        from cdr.edges.azure_transport import AzureTransport

        patience = self._patience
        return AzureTransport(connect_s=patience.connect_s, answer_s=patience.answer_s, hear=self._hear)

    def _refuse_unresolved(self) -> None:
        """Nothing is tried with what is no value."""
        if self._unresolved is not None:
            raise StorageUnavailable(f"the app setting {self._unresolved}")

    def _uri(self, service: str) -> str:
        uri = self._uris[service]
        if not uri:
            raise StorageUnavailable(f"the app setting {SETTING} is missing (or {SETTING}__{service}ServiceUri)")
        return uri

    @once
    def _credential(self) -> TokenCredential:
        """One for all clients: it keeps its tokens."""
        return _Tokens(
            make_credential(self._client_id, self._patience.token, is_platforms_only=not self._has_service_principal)
        )


class _Tokens:
    """What a credential has, and errors that the SDK does not take for the storage account's, to try again."""

    def __init__(self, credential: TokenCredential) -> None:
        self._credential = credential

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        from azure.core.exceptions import AzureError, ClientAuthenticationError

        try:
            return self._credential.get_token(*scopes, **options)
        except ClientAuthenticationError:
            raise
        except (AzureError, ValueError) as exc:  # ValueError: of an answer without a body the library makes JSON
            raise StorageUnavailable(
                f"who hands out Entra ID tokens did not give one for storage ({type(exc).__name__})"
            ) from exc


@contextmanager
def _described() -> Iterator[None]:
    try:
        yield
    except ValueError as exc:
        raise StorageUnavailable(f"the app setting {SETTING} is no connection string") from exc


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Within: every error that is not caught, and none of ours, becomes StorageUnavailable."""
    from azure.core.exceptions import AzureError, HttpResponseError

    try:
        yield
    except HttpResponseError as exc:
        if exc.status_code is not None and exc.status_code < FIRST_ERROR:
            raise StorageUnavailable(f"{what}: what answers is not storage, status {exc.status_code}") from exc
        code = getattr(exc, "error_code", None) or ""
        hint = f"; check the app setting {SETTING} and its rights" if exc.status_code in (None, 401, 403) else ""
        if exc.status_code is None:
            raise StorageUnavailable(f"{what}: there is no key or token to ask storage with{hint}") from exc
        raise StorageUnavailable(f"{what}: storage refused, status {exc.status_code} {code}{hint}") from exc
    except AzureError as exc:
        # Not "from exc": its text holds the URL, and that the signature of a connection string with a SAS.
        raise StorageUnavailable(f"{what}: storage was not reached ({_short(exc)})") from None
    except PipelineError:
        raise
    except Exception as exc:  # noqa: BLE001 - whatever the SDK raises
        # An address at which something else answers: the SDK reads it as if it were storage's, and fails anyhow.
        said = f"{type(exc).__name__}: {_short(exc)}"
        raise StorageUnavailable(f"{what}: what answers is not storage, or not as it should ({said})") from None


def _short(exc: BaseException) -> str:
    """Without any URL: the signature of a connection string with a SAS may stand in it."""
    without_url = re.sub(r"\s*with url: \S*|\S*://\S*|\S*sig=\S*", "", str(exc))
    return re.sub(r"\s+", " ", without_url)[:200]
