"""The local host with this project's functions, between a phone system, an account and a Call Logger."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from local.host.host import main
from shared.log import EVENTS
from tests.e2e import hasty_host
from tests.functions.surroundings import LATE, SECRETS, RecordingCallLogger, Storage, write_config
from tests.support.waiting import wait_until
from tests.systems import mariadb
from tests.systems.forked import Forked
from tests.systems.host import LOCAL_HOST, PROJECT, HostProcess, is_refused
from tests.systems.phone_systems import SqlPhoneSystem

PRIVATE = (*SECRETS, mariadb.PASSWORD, "webhook-s3cret")

_EVENT = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] (\{.*\})")
_STARTING = re.compile(r"|Functions:|\t\w+: .*|Host ready on .*|local\.host stands in for Azure Functions Core Tools.*")


class Host(HostProcess):
    """One of this project's functions, soon there. ``hasty``: with leases of seconds instead of minutes.

    ``root`` is another project's folder: the functions, and the host, of another version.
    """

    def __init__(self, environment: dict[str, str], *functions: str, hasty: bool = False, root: Path = PROJECT) -> None:
        chosen = ["--functions", *functions] if functions else []
        launch = LOCAL_HOST if root != PROJECT else partial(Forked, hasty_host.run if hasty else main)
        super().__init__(root, environment, *chosen, launch=launch, cwd=root)

    @property
    def events(self) -> list[dict[str, Any]]:
        found = map(_EVENT.fullmatch, list(self.lines))
        return [json.loads(match[1]) for match in found if match]

    def events_of(self, *names: str) -> list[dict[str, Any]]:
        assert EVENTS.keys() >= set(names)
        return [event for event in self.events if event["event"] in names]

    @property
    def remarks(self) -> list[str]:
        """The lines that are neither events nor what every start says, without their time."""
        others = [line for line in list(self.lines) if not _EVENT.fullmatch(line) and not _STARTING.fullmatch(line)]
        return [re.sub(r"^\[[^\]]*\] ", "", line) for line in others]

    def status(self) -> dict[str, Any]:
        """What it tells once every part was looked at in time, which a busy machine may need several looks for."""
        answer = wait_until(lambda: LATE not in (found := self.ask("GET", "/status")).text and found)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def trigger(self, what: str) -> dict[str, Any]:
        """Let it poll or check the alerts now, after the one that is at work or has died at work."""
        answer = wait_until(lambda: (found := self.ask("POST", f"/trigger/{what}")).status_code != 409 and found)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Hosts:
    """Hosts between one account and one Call Logger, each for a phone system."""

    def __init__(self, folder: Path, storage: Storage, call_logger: RecordingCallLogger) -> None:
        self._folder = folder
        self._storage = storage
        self._call_logger = call_logger
        self._started: list[tuple[Host, SqlPhoneSystem]] = []

    def __call__(
        self,
        system: SqlPhoneSystem,
        *functions: str,
        hasty: bool = False,
        root: Path = PROJECT,
        interval_s: int = 5,
        adapt: Callable[[str], str] = str,
        storage: str = "",
        **database: Any,
    ) -> Host:
        """Start one, with these functions or all, an adapted configuration, another connection string of the account,
        and changed settings of the database."""
        file = self._folder / "config.yml"
        write_config(file, system.settings(**database), self._call_logger.base_url, interval_s=interval_s)
        file.write_text(adapt(file.read_text(encoding="utf-8")), encoding="utf-8")
        environment = {"CONFIG_FILE": str(file), "AzureWebJobsStorage": storage or self._storage.connection_string}
        host = Host(environment, *functions, hasty=hasty, root=root)
        self._started.append((host, system))
        return host

    def end(self) -> None:
        """Every host that still runs must end in order, and none may have told what is nobody's business."""
        statuses = [host.end() for host, _ in self._started if host.is_running]
        assert statuses == [0] * len(statuses)
        for host, system in self._started:
            assert {event["event"] for event in host.events} <= EVENTS.keys()
            assert "Traceback" not in host.output
            assert not [told for told in (*PRIVATE, *numbers_of(system)) if told in host.output]

    def kill(self) -> None:
        for host, _ in self._started:
            host.kill()
            print(host.output, "\n")  # noqa: T201 - pytest shows it of a test that failed


@contextmanager
def hosts_between(folder: Path, storage: Storage, call_logger: RecordingCallLogger) -> Iterator[Hosts]:
    hosts = Hosts(folder, storage, call_logger)
    try:
        yield hosts
        hosts.end()
    finally:
        hosts.kill()


def end_when_it_takes_no_more(host: Host, call_logger: RecordingCallLogger) -> int:
    """Tell it to stop while the Call Logger pauses, and let that go on once the host takes no more; the exit status."""
    address = host.base_url
    host.ask_to_end()
    wait_until(lambda: is_refused(address))
    call_logger.go_on()
    return host.wait()


def settled(storage: Storage, rows: int) -> bool:
    """Whether the ledger has come to an end with so many rows."""
    states = storage.states()
    return len(states) == rows and "claimed" not in states and storage.depth() == 0


def numbers_of(system: SqlPhoneSystem) -> set[str]:
    """Every phone number in the table, as it is written and as bare digits; an extension is none."""
    written = {str(cell) for row in system.sql("SELECT CallerNumber, DestNumber FROM CallLog") for cell in row}
    spelled = written | {re.sub("[^0-9]", "", number) for number in written}
    return {number for number in spelled if len(re.sub("[^0-9]", "", number)) > 5}
