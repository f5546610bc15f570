"""Credentials for the Call Logger, put on each request: ``api.auth`` in the configuration."""

from __future__ import annotations

from typing import Any

from requests import PreparedRequest
from requests.auth import AuthBase

from shared.config.call_logger import ApiKeyAuth, BearerAuth, EntraAuth, NoAuth
from shared.errors import ApiDenied, ApiUnavailable


def make_auth(auth: NoAuth | BearerAuth | ApiKeyAuth | EntraAuth) -> AuthBase:
    match auth:
        case BearerAuth():
            return _Header("Authorization", f"Bearer {auth.token.get_secret_value()}")
        case ApiKeyAuth():
            return _Header(auth.header, auth.key.get_secret_value())
        case EntraAuth():
            return _EntraToken(f"{auth.audience.rstrip('/')}/.default")
        case NoAuth():
            return NoCredentials()


class NoCredentials(AuthBase):
    """Also keeps requests from looking for a password in the user's netrc file."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        return request


class _Header(AuthBase):
    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[self._name] = self._value
        return request


class _EntraToken(AuthBase):
    """A token of the app's managed identity (or of the developer's own login); azure-identity caches and renews it."""

    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._credential: Any = None

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        import os

        from azure.core.exceptions import AzureError, ClientAuthenticationError
        from azure.identity import DefaultAzureCredential

        try:
            if self._credential is None:
                client_id = os.environ.get("AZURE_CLIENT_ID")
                self._credential = DefaultAzureCredential(managed_identity_client_id=client_id)
            token = self._credential.get_token(self._scope).token
        except ClientAuthenticationError as exc:
            raise ApiDenied("api.auth: no Entra ID token could be had for the configured audience") from exc
        except AzureError as exc:
            raise ApiUnavailable("api.auth: Entra ID was not reached") from exc
        request.headers["Authorization"] = f"Bearer {token}"
        return request
