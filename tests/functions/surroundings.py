"""The real parts around the functions, as a test arranges and sees them: storage, Call Logger, phone system."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from cdr.calls.message import Letter
from cdr.edges.storage.ledger_tally import is_counter
from cdr.edges.storage.rejected_index import index_of
from cdr.edges.storage.table import from_pieces, unescape_key
from cdr.wiring.ports import CALL_QUEUE, GROUPS_TABLE, LEDGER_TABLE, PHONE_BOOK_TABLE, POISON_QUEUE, STATE_TABLE
from local import call_logger
from local.azurite import ACCOUNT_KEY
from local.call_logger.store import Alert, CallLogger, Entry
from shared.config.phone_system import CdrDatabase
from tests.systems import stalling_line
from tests.systems.stalling_line import StallingLine

TOKEN = "call-logger-token-92hx"
"""What the Call Logger demands of everybody."""

SECRETS = (TOKEN, ACCOUNT_KEY)

LATE = "no answer within"
"""Stands in a status in place of what was not found in time."""

HOLD_S = 60.0
"""Who is held up goes on then, whatever the test does."""

CONFIG = """
3cx:
  polling_interval_seconds: {interval_s}
  cdr_database: {database}
api:
  base_url: {base_url}
  timeout_seconds: 10
  auth: {{type: bearer, token: {token}}}
call_groups:
  monitored_groups: [{{id: 800, name: Sales}}]
extension_mapping:
  101: alice@example.com
  102: bob@example.com
  0101: zoe@example.com
"""


def write_config(
    file: Path, database: CdrDatabase, base_url: str, *, interval_s: int = 5, token: str = TOKEN, more: str = ""
) -> Path:
    """A configuration file for this database and Call Logger, with further sections of YAML."""
    section = database.model_dump(exclude_defaults=True)
    if database.password:
        section["password"] = database.password.get_secret_value()
    flow = yaml.safe_dump(section, default_flow_style=True, width=10_000).strip()
    file.write_text(
        CONFIG.format(interval_s=interval_s, database=flow, base_url=base_url, token=token) + more, encoding="utf-8"
    )
    return file


class Pause:
    """Lets so many calls in. Until it is over, the last of them has no answer, and those after it are not in."""

    def __init__(self, calls: int) -> None:
        self._left = calls
        self._lock = threading.Lock()
        self._over = threading.Event()

    def end(self) -> None:
        self._over.set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """For one call; one that does not get in leaves it to another."""
        with self._lock:
            left, self._left = self._left, max(0, self._left - 1)
        if not left:
            self._over.wait(HOLD_S)
        try:
            yield
        except Exception:
            with self._lock:
                self._left += 1
            raise
        if left == 1:
            self._over.wait(HOLD_S)


class Backend(CallLogger):
    """The stand-in's rules, with every body that they accepted as it came in; a test may stop it on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[dict[str, Any]] = []
        self._pause: Pause | None = None

    def pause_at(self, calls: int) -> None:
        """Take a break once so many are in, until `go_on`."""
        self._pause = Pause(calls - len(self.bodies))

    def go_on(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.end()

    def submit(self, body: Any) -> Entry:
        pause = self._pause
        with pause.place() if pause is not None else nullcontext():
            entry = super().submit(body)
            self.bodies.append(body)
            return entry


class RecordingCallLogger:
    """The stand-in Call Logger, which remembers what it was sent."""

    def __init__(self, backend: Backend | None = None) -> None:
        self._backend = backend or Backend()
        credential = call_logger.Credential.bearer(TOKEN)
        self._running = call_logger.start(call_logger=self._backend, credential=credential)
        self.base_url = self._running.base_url
        self.faults = self._running.faults

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return self._backend.bodies

    @property
    def alerts(self) -> list[Alert]:
        return self._backend.alerts

    @property
    def call_ids(self) -> list[str]:
        return sorted(body["pbxCallId"] for body in self.bodies)

    @property
    def double_submissions(self) -> list[str]:
        return self._backend.double_submissions

    def pause_at(self, calls: int) -> None:
        """Once so many are in, it answers nobody, and lets nobody in, before it is told to go on."""
        self._backend.pause_at(calls)

    def go_on(self) -> None:
        self._backend.go_on()

    def stop(self) -> None:
        self.go_on()
        self._running.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True)
class Record:
    """A call in the ledger."""

    name: str
    row_id: str | None
    state: str
    reason: str
    detail: str
    message: str


class Storage:
    """The storage account's queues and tables, seen past the functions."""

    def __init__(self, connection_string: str) -> None:
        self.connection_string = connection_string
        self._clients = ExitStack()
        self._queues = {
            name: self._clients.enter_context(QueueClient.from_connection_string(connection_string, name))
            for name in (CALL_QUEUE, POISON_QUEUE)
        }
        self._tables = self._clients.enter_context(TableServiceClient.from_connection_string(connection_string))

    def close(self) -> None:
        self._clients.close()

    def clear(self) -> None:
        """As a new account, but for its two queues, which are part of the infrastructure."""
        for queue in self._queues.values():
            with suppress(ResourceNotFoundError):
                queue.clear_messages()
                continue
            queue.create_queue()
        for table in (LEDGER_TABLE, index_of(LEDGER_TABLE), STATE_TABLE, GROUPS_TABLE, PHONE_BOOK_TABLE):
            self.drop(table)

    @contextmanager
    def line_to_queues(self) -> Iterator[tuple[StallingLine, str]]:
        """A line of a test's own, and a connection string that leads to the queues by it."""
        (port,) = re.findall(r"QueueEndpoint=http://[^:]+:(\d+)/", self.connection_string)
        with stalling_line.start("127.0.0.1", int(port)) as line:
            yield line, self.connection_string.replace(f":{port}/", f":{line.port}/")

    def send(self, letter: Letter | str, queue: str = CALL_QUEUE) -> None:
        text = letter if isinstance(letter, str) else letter.to_text()
        self.send_raw(b64encode(text.encode("utf-8", "surrogatepass")).decode(), queue)

    def send_raw(self, content: str, queue: str = CALL_QUEUE) -> None:
        """Without the encoding that host.json asks for."""
        self._queues[queue].send_message(content, time_to_live=-1)

    def take(self, queue: str = CALL_QUEUE) -> Iterator[str]:
        """The visible messages, each removed before it is handed over."""
        for message in self._queues[queue].receive_messages(messages_per_page=32):
            self._queues[queue].delete_message(message)
            yield b64decode(message.content).decode()

    def look(self, queue: str = CALL_QUEUE) -> Iterator[str]:
        """The visible messages; looked at, they are hidden for a minute, but not removed."""
        for message in self._queues[queue].receive_messages(messages_per_page=32, visibility_timeout=60):
            yield b64decode(message.content).decode()

    def depth(self, queue: str = CALL_QUEUE) -> int:
        """How many messages there are, hidden ones included."""
        return self._queues[queue].get_queue_properties().approximate_message_count or 0

    def ledger(self) -> list[Record]:
        """In order of the rows' numbers."""
        records = (_record(entity) for entity in self.entities(LEDGER_TABLE) if not is_counter(entity))
        return sorted(records, key=lambda record: (len(record.row_id or ""), record.row_id or "", record.name))

    def states(self) -> list[str]:
        """The ledger's states, by row."""
        return [record.state for record in self.ledger()]

    @property
    def position(self) -> int | None:
        """Where the checkpoint stands; None before the very first poll."""
        for entity in self.entities(STATE_TABLE):
            return json.loads(entity["state_0"])["position"] if entity.get("state_0") else None
        return None

    @property
    def lease_is_free(self) -> bool:
        return all(entity["leased_until"].year == 2000 for entity in self.entities(STATE_TABLE))

    def drop(self, table: str) -> None:
        self._tables.delete_table(table)

    def entities(self, table: str) -> list[Any]:
        with suppress(ResourceNotFoundError):
            return list(self._tables.get_table_client(table).list_entities())
        return []


def _record(entity: Any) -> Record:
    return Record(
        name=unescape_key(entity["RowKey"]),
        row_id=entity.get("row_id"),
        state=entity["state"],
        reason=entity.get("reason", ""),
        detail=entity.get("detail", ""),
        message=from_pieces("row", entity, 2),
    )
