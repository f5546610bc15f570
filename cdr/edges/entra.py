"""Who the app is to Entra ID: its managed identity on the platform, elsewhere the developer's own login."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.pipeline import PipelineResponse

TOKEN_PATIENCE = timedelta(seconds=5)
"""For one look at who hands out tokens, from the look-up of his name to the last byte; there are at most two. Left to
itself the library waits for minutes, and for whatever comes within each of its time limits."""

Note = Callable[["PipelineResponse[Any, Any]"], None]


def make_credential(
    client_id: str | None,
    patience: timedelta,
    *,
    is_platforms_only: bool = True,
    note: Note | None = None,
) -> TokenCredential:
    """It keeps its tokens and renews them.

    :param is_platforms_only: on the platform its identity and nothing else: what a developer may have does not hide why
        that failed
    :param note: told of every answer of the platform's endpoint
    """
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

    from cdr.edges.azure_transport import AzureTransport

    seconds = patience.total_seconds()
    options: dict[str, Any] = {
        "transport": AzureTransport(connect_s=seconds, answer_s=seconds),
        "retry_total": 1,
        "retry_status": 0,  # with a status comes a time to wait, which may be any
    }
    if os.environ.get("IDENTITY_ENDPOINT") and is_platforms_only:
        return ManagedIdentityCredential(client_id=client_id, raw_response_hook=note, **options)
    return DefaultAzureCredential(managed_identity_client_id=client_id, **options)
