"""Credentials for the Call Logger, put on each request: ``api.auth`` in the configuration."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from threading import local
from typing import TYPE_CHECKING, Any

from requests import PreparedRequest
from requests.auth import AuthBase

from cdr.edges.entra import TOKEN_PATIENCE, make_credential
from cdr.edges.http_client import Renewed
from shared.config.call_logger import ApiKeyAuth, BearerAuth, EntraAuth, NoAuth
from shared.errors import ApiDenied, ApiUnreachable, PipelineError
from shared.once import once

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline import PipelineResponse

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


class _EntraToken(Renewed):
    """A token of the app's managed identity, or of the developer's own login; azure-identity caches and renews it, by
    this machine's clock. One that is refused before is given up, with all that the library keeps."""

    def __init__(self, scope: str, patience: timedelta) -> None:
        self._scope = scope
        self._patience = patience
        self._answered = local()
        """To each thread, with which ``status`` the platform's endpoint did so: the library's errors do not tell."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        from azure.core.exceptions import AzureError

        self._answered.status = None
        try:
            token = self._credential.get_token(self._scope).token
        except (AzureError, ValueError) as exc:  # ValueError: of an answer without a body the library makes JSON
            raise self._error_of(exc) from exc
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    def refused(self) -> None:
        with suppress(AttributeError):  # another thread has done so
            del self._credential

    @once
    def _credential(self) -> TokenCredential:
        return make_credential(os.environ.get("AZURE_CLIENT_ID") or None, self._patience, note=self._note_status)

    def _note_status(self, response: PipelineResponse[Any, Any]) -> None:
        self._answered.status = response.http_response.status_code

    def _error_of(self, error: Exception) -> PipelineError:
        from azure.core.exceptions import ClientAuthenticationError

        status = self._answered.status
        if isinstance(error, ClientAuthenticationError) if status is None else status in REFUSED:
            return ApiDenied("api.auth: no Entra ID token could be had for the configured audience", of_all=True)
        said = f"it answered {status}" if status else type(error).__name__
        return ApiUnreachable(f"api.auth: who hands out Entra ID tokens did not give one ({said})")
