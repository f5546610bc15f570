"""Where a MemberSource may look: each kind of switchboard, set up with the same extensions and groups."""

from __future__ import annotations

import sqlite3
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from cdr.edges.sql.members import SqlMemberSource, read_members
from cdr.edges.xapi.client import XapiClient, XapiLogin
from cdr.edges.xapi.members import XapiMemberSource
from cdr.groups.alerts import Member
from cdr.groups.members import StaticMemberSource
from cdr.groups.ports import MemberSource
from shared.config.groups import MemberDatabase
from shared.errors import SourceMisconfigured, SourceUnavailable
from tests.fakes.groups import InMemoryMemberSource
from tests.systems import mariadb, postgresql, xapi
from tests.systems.mariadb import MariaDb
from tests.systems.postgresql import PostgreSql
from tests.systems.xapi import Xapi

THREE_CX_V20 = read_members("3cx-v20", Path(__file__).resolve().parents[2])
OWN_SELECT = """
SELECT grp AS group_id, ext AS extension,
       CASE WHEN state = 'in' THEN 'Yes' WHEN state = 'out' THEN 'No' END AS available
FROM roster
"""
"""What an operator may write for a table of one's own."""

FIRST_DN = 17
TABLES = ("ringgroup2dn", "ringgroup", "queue2dn", "queue", "users", "extension", "dn")
TABLES_OF_3CX = """
CREATE TABLE dn (iddn integer PRIMARY KEY, value varchar(50) NOT NULL, status smallint, fkidtenant integer);
CREATE TABLE extension (
    fkiddn integer PRIMARY KEY REFERENCES dn, enabled FLAG, qstatus integer, currentprofile integer
);
CREATE TABLE users (
    iduser serial PRIMARY KEY, firstname varchar(50), lastname varchar(50),
    fkidextension integer UNIQUE REFERENCES extension
);
CREATE TABLE queue (fkiddn integer PRIMARY KEY REFERENCES dn, name varchar(50));
CREATE TABLE queue2dn (
    fkidqueue integer REFERENCES queue, fkiddn integer REFERENCES dn, is_logged_in FLAG,
    PRIMARY KEY (fkidqueue, fkiddn)
);
CREATE TABLE ringgroup (
    fkiddn integer PRIMARY KEY REFERENCES dn, name varchar(50), ringstrategy integer, ringtime integer
);
CREATE TABLE ringgroup2dn (
    fkidringgroup integer REFERENCES ringgroup, fkiddn integer REFERENCES dn, priority integer,
    PRIMARY KEY (fkidringgroup, fkiddn)
);
"""


@dataclass(frozen=True)
class Extension:
    """``in_queues`` is the log-in to queues as such."""

    number: str
    enabled: bool = True
    in_queues: bool = True


@dataclass(frozen=True)
class Group:
    """``out_of_this`` are agents of a queue who are logged out of this one only."""

    number: str
    members: tuple[str, ...] = ()
    kind: Literal["queue", "ring group"] = "queue"
    out_of_this: frozenset[str] = frozenset()


class Switchboard(ABC):
    sees_log_in: bool = True
    """Whether it knows who is logged in to queues, and whose extension is enabled."""
    sees_each_queue: bool = True
    """Whether it knows who is logged out of one queue only."""

    @abstractmethod
    def set_up(self, extensions: Iterable[Extension], groups: Iterable[Group]) -> None:
        """Forget everything and have these."""

    @abstractmethod
    def source(self) -> MemberSource: ...


def is_available(extension: Extension, group: Group) -> bool:
    in_queue = extension.in_queues and extension.number not in group.out_of_this
    return extension.enabled and (group.kind == "ring group" or in_queue)


class TwinSwitchboard(Switchboard):
    def __init__(self) -> None:
        self._source = InMemoryMemberSource()

    def set_up(self, extensions: Iterable[Extension], groups: Iterable[Group]) -> None:
        by_number = {extension.number: extension for extension in extensions}
        self._source.groups = {
            group.number: tuple(Member(n, is_available(by_number[n], group)) for n in group.members) for group in groups
        }

    def source(self) -> MemberSource:
        return self._source


class StaticSwitchboard(Switchboard):
    """None at all: the members are listed in the configuration."""

    sees_log_in = sees_each_queue = False

    def set_up(self, extensions: Iterable[Extension], groups: Iterable[Group]) -> None:
        self._members = {group.number: group.members for group in groups}

    def source(self) -> MemberSource:
        return StaticMemberSource(self._members)


class PostgreSqlSwitchboard(Switchboard):
    """3CX V20's own tables. ``flag`` is their type of yes and no, which differs between releases."""

    def __init__(self, server: PostgreSql, flag: Literal["boolean", "integer"] = "boolean") -> None:
        self.server = server
        self._truth = {"boolean": bool, "integer": int}[flag]
        server.sql(f"DROP TABLE IF EXISTS {', '.join(TABLES)}")
        server.sql(TABLES_OF_3CX.replace("FLAG", flag))

    def set_up(self, extensions: Iterable[Extension], groups: Iterable[Group]) -> None:
        extensions, groups = list(extensions), list(groups)
        truth = self._truth
        numbers = [item.number for item in (*extensions, *groups)]
        dn = {number: iddn for iddn, number in enumerate(numbers, start=FIRST_DN)}
        self.server.sql("".join(f"DELETE FROM {table};" for table in TABLES))
        self._insert("dn", "iddn, value, status", [(iddn, number, 0) for number, iddn in dn.items()])
        rows = [(dn[e.number], truth(e.enabled), int(e.in_queues), 101) for e in extensions]
        self._insert("extension", "fkiddn, enabled, qstatus, currentprofile", rows)
        people = [("Ada", f"Person {e.number}", dn[e.number]) for e in extensions]
        self._insert("users", "firstname, lastname, fkidextension", people)
        queues = [group for group in groups if group.kind == "queue"]
        self._insert("queue", "fkiddn, name", [(dn[q.number], f"Queue {q.number}") for q in queues])
        agents = [(dn[q.number], dn[m], truth(m not in q.out_of_this)) for q in queues for m in q.members]
        self._insert("queue2dn", "fkidqueue, fkiddn, is_logged_in", agents)
        rings = [group for group in groups if group.kind == "ring group"]
        self._insert(
            "ringgroup", "fkiddn, name, ringstrategy, ringtime", [(dn[r.number], "Ring", 0, 20) for r in rings]
        )
        members = [(dn[r.number], dn[m], place) for r in rings for place, m in enumerate(r.members)]
        self._insert("ringgroup2dn", "fkidringgroup, fkiddn, priority", members)

    def settings(self, **changes: Any) -> MemberDatabase:
        login = {"username": postgresql.READER, "password": postgresql.PASSWORD, "database": postgresql.DATABASE}
        where = {"host": self.server.host, "port": self.server.port, "trust_server_certificate": True}
        return MemberDatabase(**where | login | changes)

    def source(self) -> SqlMemberSource:
        return self.source_of(THREE_CX_V20)

    def source_of(self, select: str, **changes: Any) -> SqlMemberSource:
        return SqlMemberSource(self.settings(**changes), select)

    def _insert(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            self.server.insert(table, columns, rows)


class RosterSwitchboard(Switchboard):
    """A table of the operator's own, in any database, read with the operator's own SELECT."""

    def set_up(self, extensions: Iterable[Extension], groups: Iterable[Group]) -> None:
        by_number = {extension.number: extension for extension in extensions}
        rows: list[tuple[Any, ...]] = []
        for group in groups:
            states = {m: "in" if is_available(by_number[m], group) else "out" for m in group.members}
            rows += [(group.number, m, state) for m, state in states.items()] or [(group.number, None, None)]
        self.sql("DELETE FROM roster")
        self.insert(rows)

    @abstractmethod
    def settings(self, **changes: Any) -> MemberDatabase: ...

    @abstractmethod
    def sql(self, text: str, *parameters: Any) -> Any: ...

    @abstractmethod
    def insert(self, rows: list[tuple[Any, ...]]) -> None: ...

    def source(self) -> SqlMemberSource:
        return self.source_of(OWN_SELECT)

    def source_of(self, select: str, **changes: Any) -> SqlMemberSource:
        return SqlMemberSource(self.settings(**changes), select)


class SqliteSwitchboard(RosterSwitchboard):
    def __init__(self, file: Path) -> None:
        self.file = file
        self.sql("CREATE TABLE roster (grp TEXT, ext TEXT, state TEXT)")

    def settings(self, **changes: Any) -> MemberDatabase:
        return MemberDatabase(**{"engine": "sqlite", "database": str(self.file)} | changes)

    def sql(self, text: str, *parameters: Any) -> Any:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            return connection.execute(text, parameters).fetchall()

    def insert(self, rows: list[tuple[Any, ...]]) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executemany("INSERT INTO roster VALUES (?, ?, ?)", rows)


class MariaDbSwitchboard(RosterSwitchboard):
    def __init__(self, server: MariaDb) -> None:
        self.server = server
        self.sql("DROP TABLE IF EXISTS roster")
        self.sql("CREATE TABLE roster (grp VARCHAR(20), ext VARCHAR(20), state VARCHAR(20))")

    def settings(self, **changes: Any) -> MemberDatabase:
        login = {"username": mariadb.READER, "password": mariadb.PASSWORD, "database": mariadb.DATABASE}
        where = {
            "engine": "mysql",
            "host": self.server.host,
            "port": self.server.port,
            "trust_server_certificate": True,
        }
        return MemberDatabase(**where | login | changes)

    def sql(self, text: str, *parameters: Any) -> Any:
        return self.server.sql(text, *parameters)

    def insert(self, rows: list[tuple[Any, ...]]) -> None:
        with closing(self.server.connect()) as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO roster VALUES (%s, %s, %s)", rows)
            connection.commit()


class XapiSwitchboard(Switchboard):
    sees_each_queue = False

    def __init__(self, server: Xapi) -> None:
        self.server = server

    def set_up(self, extensions: Iterable[Extension], groups: Iterable[Group]) -> None:
        self.server.users = [xapi_user(number, extension) for number, extension in enumerate(extensions, start=29)]
        of_kind: Mapping[str, list[dict[str, Any]]] = {"queue": [], "ring group": []}
        self.server.agents, self.server.members = {}, {}
        for id_, group in enumerate(groups, start=40):
            of_kind[group.kind].append({"Id": id_, "Number": group.number, "Name": f"Group {group.number}"})
            listed = [{"Id": n, "Number": m, "Name": f"Person {m}"} for n, m in enumerate(group.members, start=1)]
            (self.server.agents if group.kind == "queue" else self.server.members)[id_] = listed
        self.server.queues, self.server.ring_groups = of_kind["queue"], of_kind["ring group"]

    def source(self) -> XapiMemberSource:
        return xapi_source(self.server)


def xapi_user(id_: int, extension: Extension) -> dict[str, Any]:
    return {
        "Id": id_,
        "Number": extension.number,
        "FirstName": "Ada",
        "LastName": f"Person {extension.number}",
        "Enabled": extension.enabled,
        "QueueStatus": "LoggedIn" if extension.in_queues else "LoggedOut",
    }


def xapi_source(server: Xapi, **changes: Any) -> XapiMemberSource:
    return XapiMemberSource(xapi_client(server, **changes))


def xapi_client(
    server: Xapi, *, timeout: timedelta = timedelta(seconds=20), most_pages: int = 500, **changes: Any
) -> XapiClient:
    login = {"url": server.url, "client_id": xapi.CLIENT_ID, "client_secret": xapi.CLIENT_SECRET}
    login["setting"] = "call_groups.members"
    return XapiClient(XapiLogin(**login | changes), server.clock, timeout=timeout, most_pages=most_pages)


def failure_of(action: Callable[[], object], kind: type[Exception]) -> str:
    """The message of the one error: a line that names the settings, without the secret or a token anywhere."""
    with pytest.raises((SourceMisconfigured, SourceUnavailable)) as caught:
        action()
    assert isinstance(caught.value, kind)
    shown = "".join(traceback.format_exception(caught.value))
    assert xapi.CLIENT_SECRET not in shown
    assert "token-" not in shown
    assert "\n" not in str(caught.value)
    assert "call_groups.members" in str(caught.value)
    return str(caught.value)
