"""One table of the storage account: it is made when it is missing, and a write knows whether it was the last one.

Whatever the SDK raises, also while a query is iterated, becomes StorageUnavailable.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import accumulate, islice, takewhile
from typing import TYPE_CHECKING, Any, TypeVar

from cdr.calls.call import DIGEST
from cdr.edges.storage.account import StorageAccount, translated
from cdr.edges.storage.transaction import Delete, Insert, Merge, Put, Write, look_at, request_of, request_of_all
from shared import log
from shared.once import once

if TYPE_CHECKING:
    from azure.data.tables import TableClient, TableEntity

    from cdr.edges.storage.sdk_requests import Onward

PIECE = 30_000
"""Characters in one property; the service takes 32 Ki."""

LONGEST_KEY = 512
"""In units of UTF-16: a key may have 1 KiB."""

ONE_TRANSACTION = 100
"""Writes to one partition; so many of ours are far below the 4 MiB that the service takes with them."""

NAMES_IN_A_QUERY = 12
"""With the partition and both ends of the range the 15 comparisons that the service takes."""

MOST_BETWEEN = 100
"""Entities in the range of names that are looked for: more are not fetched to be thrown away."""

SHORT_NAME = 100

NOT_FOUND, CONFLICT, CHANGED = 404, 409, 412

REFUSALS = {(Insert, CONFLICT), (Merge, NOT_FOUND)}

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
        return self._write_one(Insert(entity))

    def merge(self, fields: Mapping[str, Any], version: str) -> str | None:
        """Change some properties of an entity.

        :returns: the new version; None where somebody else has changed the entity since, or removed it
        """
        return self._write_one(Merge(fields, version))

    def _write_one(self, write: Insert | Merge | Put) -> str | None:
        from azure.core.exceptions import HttpResponseError

        def ask(table: TableClient) -> str | None:
            try:
                return self._onward.write(request_of(write, self._url(table)), _always(table))
            except HttpResponseError as exc:
                if _is_table_gone(exc):
                    raise
                if isinstance(write, Merge) and exc.status_code == CHANGED:
                    return self._version_of_own(write.entity)
                if (type(write), exc.status_code) in REFUSALS:
                    return None
                raise

        return self._do(ask)

    def _version_of_own(self, fields: Mapping[str, Any]) -> str | None:
        """Perhaps it was this very write that changed the entity, and its first answer was lost."""
        found = self.read(fields["PartitionKey"], fields["RowKey"])
        same = found is not None and all(found.get(name) == value for name, value in fields.items())
        return version_of(found) if found is not None and same else None

    def put(self, entity: Mapping[str, Any]) -> None:
        """Insert it, or change these properties of it, whatever else happened to it."""
        self._write_one(Put(entity))

    def query(self, wanted: str, select: Sequence[str] | None = None, page: int | None = None) -> Iterator[TableEntity]:
        """Page by page, as it is iterated; a page is as large as the service likes, or as is said."""
        columns = list(select) if select else None
        pages = self._do(lambda table: table.query_entities(wanted, select=columns, results_per_page=page))
        while (entity := self._do(lambda _: next(pages, None))) is not None:
            yield entity

    def remove(self, partition: str, row: str) -> None:
        """Whether or not it is there."""
        self._do(lambda table: table.delete_entity(partition, row))

    def write(self, writes: Sequence[Write]) -> Sequence[str] | None:
        """All of them, of different entities in one partition, or none. At most ONE_TRANSACTION.

        :returns: the versions, in their order (of what was removed: an empty text); None where one is refused
        """
        if len(writes) > 1 or isinstance(writes[0], Delete):
            return self._transact(writes)
        version = self._write_one(writes[0])
        return None if version is None else (version,)

    def named(self, partition: str, rows: Collection[str], select: Sequence[str]) -> Mapping[str, TableEntity]:
        """Those of these entities that there are, by their row keys.

        In few requests. The range lets the service look at no more of the partition than lies between the names, since
        names in an "or" are no use to it; where it holds little, it is asked for as a whole. A query is a part of a
        URL, which has its limits, so names that are long or not ASCII are asked for one by one.
        """
        found: dict[str, TableEntity] = {}
        ordered = sorted(rows)
        is_ascii = all(row.isascii() for row in ordered)
        at_once = NAMES_IN_A_QUERY if is_ascii and all(len(row) <= SHORT_NAME for row in ordered) else 1
        if is_ascii and len(ordered) > at_once:
            between = self.query(_between(partition, ordered), select, MOST_BETWEEN + 1)
            there = {entity["RowKey"]: entity for entity in islice(between, MOST_BETWEEN + 1)}
            if len(there) <= MOST_BETWEEN:
                return {row: entity for row, entity in there.items() if row in rows}
        for start in range(0, len(ordered), at_once):
            some = ordered[start : start + at_once]
            if len(some) == 1:
                entity = self._read_if_there(partition, some[0])
                found |= {some[0]: entity} if entity is not None else {}
            else:
                found |= {entity["RowKey"]: entity for entity in self.query(_naming(partition, some), select)}
        return found

    def _read_if_there(self, partition: str, row: str) -> TableEntity | None:
        """Where mostly there is none: what the SDK makes of an answer that says so costs more than to ask."""

        def look(table: TableClient) -> bool:
            return self._onward.is_there(look_at(partition, row, self._url(table)), _always(table))

        return self.read(partition, row) if self._do(look) else None

    def _transact(self, writes: Sequence[Write]) -> Sequence[str] | None:
        def submit(table: TableClient) -> Sequence[str] | None:
            asked = request_of_all(writes, self._url(table), f"{table.url}/$batch", _always(table))
            return self._onward.transact(asked, _always(table), len(writes))

        return self._do(submit)

    def _url(self, table: TableClient) -> str:
        return f"{table.url}/{self.name}"

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

    @once
    def _client(self) -> TableClient:
        client = self._account.table_client(self.name, self._onward)
        self._make(client)
        return client

    @once
    def _onward(self) -> Onward:
        """Of this client, and of no use before there is one."""
        from cdr.edges.storage.sdk_requests import Onward

        return Onward(self._account.transport)

    @staticmethod
    def _make(client: TableClient) -> None:
        from azure.core.exceptions import ResourceExistsError

        with suppress(ResourceExistsError):
            client.create_table()


def _always(table: TableClient) -> Mapping[str, str]:
    """Headers of every request."""
    return {"x-ms-version": table.api_version, "DataServiceVersion": "3.0"}


def version_of(entity: TableEntity) -> str:
    return str(entity.metadata["etag"])


def _is_table_gone(error: Exception) -> bool:
    return "TableNotFound" in str(getattr(error, "error_code", "")) or "TableNotFound" in str(error)


def _between(partition: str, rows: Sequence[str]) -> str:
    return f"PartitionKey eq {quoted(partition)} and RowKey ge {quoted(rows[0])} and RowKey le {quoted(rows[-1])}"


def _naming(partition: str, rows: Sequence[str]) -> str:
    return f"{_between(partition, rows)} and ({' or '.join(f'RowKey eq {quoted(row)}' for row in rows)})"


def quoted(text: str) -> str:
    """As a value in a query. Half a surrogate pair has no encoding, so nothing is stored under it."""
    return "'" + text.encode("utf-8", "replace").decode().replace("'", "''") + "'"


def escape_key(name: str) -> str:
    """A partition or row key for any name: what the table service forbids becomes ``!`` and two hexadecimal digits.

    One that would be longer than a key may be ends in a digest; what it is unescaped to has the same key.
    """
    key = _escaped(name)
    if _units(key) <= LONGEST_KEY:
        return key
    digest = f"~{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:DIGEST]}"
    ends = accumulate(_units(_escaped(character)) for character in name)
    length = sum(1 for _ in takewhile(lambda end: end + len(digest) <= LONGEST_KEY, ends))
    return _escaped(name[:length]) + digest


def _escaped(name: str) -> str:
    return _FORBIDDEN.sub(lambda found: f"!{ord(found.group()):02x}", name)


def _units(key: str) -> int:
    """Characters as the service counts them."""
    return len(key.encode("utf-16-le", "surrogatepass")) // 2


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
