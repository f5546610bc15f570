"""Credentials for the Call Logger, put on each request: ``api.auth`` in the configuration."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from requests import PreparedRequest
from requests.auth import AuthBase

from shared.config.call_logger import ApiKeyAuth, BearerAuth, EntraAuth, NoAuth
from shared.errors import ApiDenied, ApiUnreachable, PipelineError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline import PipelineResponse

TOKEN_PATIENCE = timedelta(seconds=5)
"""For one look at who hands out tokens; there are two. Left to itself the library waits for minutes."""

REFUSED = frozenset({400, 401, 403})
"""No such identity, or not for this audience. Another status of the platform's endpoint is an outage of its own."""


def make_auth(
    auth: NoAuth | BearerAuth | ApiKeyAuth | EntraAuth, *, token_patience: timedelta = TOKEN_PATIENCE
) -> AuthBase:
    match auth:
        case BearerAuth():
            return _Header("Authorization", f"Bearer {auth.token.get_secret_value()}")
        case ApiKeyAuth():
            return _Header(auth.header, auth.key.get_secret_value())
        case EntraAuth():
            return _EntraToken(f"{auth.audience.rstrip('/')}/.default", token_patience)
        case NoAuth():
            return NoCredentials()


class NoCredentials(AuthBase):
    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request


class _Header(AuthBase):
    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[self._name] = self._value
        return request


class _EntraToken(AuthBase):
    """A token of the app's managed identity, or of the developer's own login; azure-identity caches and renews it."""

    def __init__(self, scope: str, patience: timedelta) -> None:
        self._scope = scope
        self._patience_s = patience.total_seconds()
        self._last_status: int | None = None
        """What the platform's endpoint last answered: the library's errors do not tell."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        from azure.core.exceptions import AzureError

        self._last_status = None
        try:
            token = self._credential.get_token(self._scope).token
        except (AzureError, ValueError) as exc:  # ValueError: of an answer without a body the library makes JSON
            raise self._error_of(exc) from exc
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    @cached_property
    def _credential(self) -> TokenCredential:
        """On the platform its identity and nothing else: what a developer may have does not hide why that failed."""
        from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

        client_id = os.environ.get("AZURE_CLIENT_ID") or None
        options: dict[str, Any] = {
            "connection_timeout": self._patience_s,
            "read_timeout": self._patience_s,
            "retry_total": 1,
        }
        if os.environ.get("IDENTITY_ENDPOINT"):
            return ManagedIdentityCredential(client_id=client_id, raw_response_hook=self._note_status, **options)
        return DefaultAzureCredential(managed_identity_client_id=client_id, **options)

    def _note_status(self, response: PipelineResponse[Any, Any]) -> None:
        self._last_status = response.http_response.status_code

    def _error_of(self, error: Exception) -> PipelineError:
        from azure.core.exceptions import ClientAuthenticationError

        refused = (
            isinstance(error, ClientAuthenticationError) if self._last_status is None else self._last_status in REFUSED
        )
        if refused:
            return ApiDenied("api.auth: no Entra ID token could be had for the configured audience")
        said = f"it answered {self._last_status}" if self._last_status else type(error).__name__
        return ApiUnreachable(f"api.auth: who hands out Entra ID tokens did not give one ({said})")
