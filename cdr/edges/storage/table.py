"""One table of the storage account: it is made when it is missing, and a write knows whether it was the last one.

Whatever the SDK raises, also while a query is iterated, becomes StorageUnavailable.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from cdr.edges.storage.account import StorageAccount, translated
from shared import log

if TYPE_CHECKING:
    from azure.data.tables import TableClient, TableEntity

PIECE = 30_000
"""Characters in one property; the service takes 32 Ki."""

Result = TypeVar("Result")

_FORBIDDEN = re.compile(r"[/\\#?%!\x00-\x1f\x7f-\x9f]")


class Table:
    """Entities are addressed by the properties PartitionKey and RowKey; a version is an entity's ETag."""

    def __init__(self, account: StorageAccount, name: str) -> None:
        self._account = account
        self.name = name

    def read(self, partition: str, row: str) -> TableEntity | None:
        from azure.core.exceptions import ResourceNotFoundError

        def get(table: TableClient) -> TableEntity | None:
            try:
                return table.get_entity(partition, row)
            except ResourceNotFoundError as exc:
                if _is_table_gone(exc):
                    raise
                return None

        return self._do(get)

    def insert(self, entity: Mapping[str, Any]) -> str | None:
        """:returns: the version; None where there is such an entity already"""
        from azure.core.exceptions import ResourceExistsError

        def create(table: TableClient) -> str | None:
            with suppress(ResourceExistsError):
                return str(table.create_entity(dict(entity), response_preference="return-no-content")["etag"])
            return None

        return self._do(create)

    def merge(self, fields: Mapping[str, Any], version: str) -> str | None:
        """Change some properties of an entity.

        :returns: the new version; None where somebody else has changed the entity since, or removed it
        """
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
        from azure.data.tables import UpdateMode

        def update(table: TableClient) -> str | None:
            unchanged = MatchConditions.IfNotModified
            try:
                done = table.update_entity(dict(fields), UpdateMode.MERGE, etag=version, match_condition=unchanged)
                return str(done["etag"])
            except ResourceNotFoundError as exc:
                if _is_table_gone(exc):
                    raise
                return None
            except ResourceModifiedError:
                return self._version_of_own(fields)

        return self._do(update)

    def _version_of_own(self, fields: Mapping[str, Any]) -> str | None:
        """Perhaps it was this very write that changed the entity, and its first answer was lost."""
        found = self.read(fields["PartitionKey"], fields["RowKey"])
        same = found is not None and all(found.get(name) == value for name, value in fields.items())
        return version_of(found) if found is not None and same else None

    def put(self, entity: Mapping[str, Any]) -> None:
        """Insert it, or change these properties of it, whatever else happened to it."""
        self._do(lambda table: table.upsert_entity(dict(entity)))

    def remove(self, partition: str, row: str) -> None:
        self._do(lambda table: table.delete_entity(partition, row))

    def query(self, wanted: str, select: Sequence[str] | None = None) -> Iterator[TableEntity]:
        """Page by page, as it is iterated."""
        pages = self._do(lambda table: table.query_entities(wanted, select=list(select) if select else None))
        while (entity := self._do(lambda _: next(pages, None))) is not None:
            yield entity

    def insert_all(self, entities: Sequence[Mapping[str, Any]]) -> Sequence[str] | None:
        """All of them, of one partition, or none.

        :returns: the versions; None where one of them exists already
        """
        return self._transact([("create", dict(entity)) for entity in entities])

    def remove_unchanged(self, entities: Sequence[TableEntity]) -> bool:
        """Remove all of them, of one partition, or none where one was changed since it was read."""
        from azure.core import MatchConditions

        unchanged = MatchConditions.IfNotModified
        options = [{"etag": entity.metadata["etag"], "match_condition": unchanged} for entity in entities]
        return self._transact([("delete", *pair) for pair in zip(entities, options, strict=True)]) is not None

    def _transact(self, operations: Sequence[tuple[Any, ...]]) -> Sequence[str] | None:
        from azure.data.tables import TableTransactionError

        def submit(table: TableClient) -> Sequence[str] | None:
            try:
                return [str(done.get("etag", "")) for done in table.submit_transaction(operations)]
            except TableTransactionError as exc:
                if _is_table_gone(exc):
                    raise
                return None

        return self._do(submit)

    def _do(self, act: Callable[[TableClient], Result]) -> Result:
        from azure.core.exceptions import HttpResponseError

        with translated(f"table {self.name}"):
            try:
                return act(self._client)
            except HttpResponseError as exc:
                if not _is_table_gone(exc):
                    raise
                # Somebody removed it while the app was running. What it held is lost; what comes is not.
                self._make(self._client)
                log.event("storage.made_anew", level=logging.ERROR, what=f"table {self.name}")
                return act(self._client)

    @cached_property
    def _client(self) -> TableClient:
        client = self._account.table_client(self.name)
        self._make(client)
        return client

    @staticmethod
    def _make(client: TableClient) -> None:
        from azure.core.exceptions import ResourceExistsError

        with suppress(ResourceExistsError):
            client.create_table()


def version_of(entity: TableEntity) -> str:
    return str(entity.metadata["etag"])


def _is_table_gone(error: Exception) -> bool:
    return "TableNotFound" in str(getattr(error, "error_code", "")) or "TableNotFound" in str(error)


def escape_key(name: str) -> str:
    """A partition or row key for any name: what the table service forbids becomes ``!`` and two hexadecimal digits."""
    return _FORBIDDEN.sub(lambda found: f"!{ord(found.group()):02x}", name)


def unescape_key(key: str) -> str:
    return re.sub("!([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), key)


def in_pieces(prefix: str, text: str, pieces: int) -> dict[str, str]:
    """Properties ``prefix_0`` and so on, always all of them, so that writing a shorter text leaves nothing of the last.

    :raises ValueError: the text is too long for so many pieces
    """
    if len(text) > pieces * PIECE:
        raise ValueError(f"{len(text)} characters, {pieces * PIECE} fit")
    return {f"{prefix}_{i}": text[i * PIECE : (i + 1) * PIECE] for i in range(pieces)}


def from_pieces(prefix: str, entity: Mapping[str, Any], pieces: int) -> str:
    return "".join(entity.get(f"{prefix}_{i}") or "" for i in range(pieces))
