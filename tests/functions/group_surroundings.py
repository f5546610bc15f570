"""What call groups need around the functions: a database of members, a Call Logger that can be held up, a webhook."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from cdr.wiring.ports import GROUPS_TABLE
from local.call_logger.store import Alert, BackendError
from tests.functions.surroundings import HOLD_S, Backend, Storage

ALWAYS = "".join(
    f'  {day}: {{start: "00:00", end: "00:00", overnight: true}}\n'
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
)


class Members:
    """Members of groups in an SQLite file of their own, with the SELECT that reads them."""

    def __init__(self, folder: Path) -> None:
        self.file, self.select = folder / "members.db", folder / "members.sql"
        self.select.write_text("SELECT group_id, extension, available FROM member")
        self._sql("CREATE TABLE member (group_id TEXT, extension TEXT, available INTEGER)")

    def put(self, group_id: str, **available: bool | None) -> None:
        """Let a group have these members, such as e101=True; without any it exists and is empty."""
        rows = [(group_id, name.removeprefix("e"), value) for name, value in available.items()]
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute("DELETE FROM member WHERE group_id = ?", (group_id,))
            connection.executemany("INSERT INTO member VALUES (?, ?, ?)", rows or [(group_id, None, None)])

    def remove(self, group_id: str) -> None:
        self._sql("DELETE FROM member WHERE group_id = ?", group_id)

    def break_down(self) -> None:
        self._sql("ALTER TABLE member RENAME TO gone")

    def mend(self) -> None:
        self._sql("ALTER TABLE gone RENAME TO member")

    def section(self, more: str = "") -> str:
        """The section call_groups of the configuration, with 800 and 801, in the place of the plain one."""
        return (
            "call_groups:\n"
            f"  members: {{source: database, select: {self.select},"
            f" database: {{engine: sqlite, database: {self.file}}}}}\n{more}"
        )

    def _sql(self, text: str, *parameters: str) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute(text, parameters)


def with_groups(config: str, members: Members, more: str = "", hours: str = ALWAYS) -> str:
    """A configuration as the tests write it, whose groups 800 and 801 are checked."""
    plain = "call_groups:\n  monitored_groups: [{id: 800, name: Sales}]\n"
    assert plain in config
    groups = "  monitored_groups: [{id: 800, name: Sales}, {id: 801, name: Support}]\n"
    return config.replace(plain, members.section(more) + groups) + f"business_hours:\n  timezone: UTC\n{hours}"


class BreakableBackend(Backend):
    """One in an outage if a test says so, or stopped in the middle of an operation."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.hold: tuple[str, str] | None = None
        """An operation, and whether to stop "before" or "after" it."""
        self.reached, self.released = threading.Event(), threading.Event()

    def stop_at(self, operation: str, when: str) -> None:
        self.hold = (operation, when)
        self.reached, self.released = threading.Event(), threading.Event()

    def go_on(self) -> None:
        super().go_on()
        self.hold = None
        self.released.set()

    @property
    def alerts(self) -> list[Alert]:
        if self.is_down:
            raise BackendError("out of order")
        return super().alerts

    @property
    def every_alert(self) -> list[tuple[str, str, bool]]:
        """Group, type and whether it is active, oldest first; also in an outage."""
        found = reversed(super().alerts)
        return [(alert["callGroupId"], alert["alertType"], alert["isActive"]) for alert in found]

    def raise_alert(self, body: Any) -> Alert:
        return self._through("raise_alert", lambda: super(BreakableBackend, self).raise_alert(body))

    def resolve_alert(self, alert_id: str) -> Alert:
        return self._through("resolve_alert", lambda: super(BreakableBackend, self).resolve_alert(alert_id))

    def _through(self, operation: str, work: Any) -> Alert:
        if self.is_down:
            raise BackendError("out of order")
        self._stop(operation, "before")
        done = work()
        self._stop(operation, "after")
        return done

    def _stop(self, operation: str, when: str) -> None:
        if self.hold == (operation, when):
            self.reached.set()
            self.released.wait(HOLD_S)


class Receiver:
    """A webhook on 127.0.0.1 that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.told.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?sig=webhook-s3cret"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def clear_groups(storage: Storage) -> None:
    """As an account in which no group was ever checked."""
    storage.drop(GROUPS_TABLE)


def kept_records(storage: Storage) -> dict[str, Any]:
    """What the table has of each group."""
    entities = storage.entities(GROUPS_TABLE)
    return {entity["RowKey"]: json.loads(entity["record"]) for entity in entities if entity["PartitionKey"] == "group"}
