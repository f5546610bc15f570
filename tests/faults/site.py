"""A phone system, a storage account, a Call Logger and workers, with a proxy on every line between them."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from local import call_logger
from local.azurite import Ports
from local.call_logger import CallLogger
from tests.faults.delays import Delays, records_in
from tests.faults.fast_queue import HOST_LEASE_S, make_faster
from tests.faults.gateway import Gateway
from tests.faults.lab import KEY, Lab
from tests.faults.leg_system import MariaDbLegSystem, SqliteLegSystem
from tests.faults.mysql_proxy import MySqlProxy
from tests.faults.nursery import WorkerProcess
from tests.faults.phone_system import MariaDbPhoneSystem, SqlitePhoneSystem
from tests.faults.proxies import Answer, Forward, HttpProxy, Request
from tests.faults.treatments import Faults
from tests.faults.verdict import Books, Verdict
from tests.faults.worker import fast_time
from tests.systems.mariadb import MariaDb

SPEED = 30.0
"""A claim's lease of 180 s takes 6 s. Faster would bend the truth: the API's time-out of 1 s, which is real time, would
outlast the 30 s that lie between a worker's budget and the end of its lease."""

RACE_WINDOW_S = 0.03
SETTLE_SECONDS = 75
QUIET_SECONDS = 15
"""With empty queues for so long, what is wrong stays wrong."""

CREATED = 201
LOOK_EVERY_S = 0.1
POLL_EVERY_S = 0.15
CONNECTION = (
    "DefaultEndpointsProtocol=http;AccountName={name};AccountKey={key};BlobEndpoint=http://127.0.0.1:{blob}/{name};"
    "QueueEndpoint=http://127.0.0.1:{queue}/{name};TableEndpoint=http://127.0.0.1:{table}/{name};"
)


@dataclass(eq=False)
class Staffed:
    """A worker process with the proxies that only it goes through. A new process takes the place of a dead one."""

    number: int
    process: WorkerProcess = field(default_factory=lambda: WorkerProcess(Path()))
    proxies: dict[str, Any] = field(default_factory=dict)
    deaths: int = 0
    skew_s: float = 0.0

    def kill(self) -> None:
        self.process.kill()


class Site:
    """As a context manager it ends its workers and servers at the end of the block.

    ``source`` says what its phone system writes: rows of calls, or legs. ``storage`` and ``mariadb`` are servers of its
    own, where it is not to share those of the lab; ``three_cx`` goes into that section of the configuration, and
    ``more`` are further sections. ``skews_s`` says by how much the clock of each worker's system is wrong.
    """

    def __init__(
        self,
        lab: Lab,
        rng: random.Random,
        *,
        workers: int = 1,
        engine: str = "sqlite",
        source: str = "calllog",
        storage: Ports | None = None,
        mariadb: MariaDb | None = None,
        host_lease_s: int = HOST_LEASE_S,
        three_cx: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
        skews_s: Sequence[float] = (),
    ) -> None:
        self.lab, self.rng = lab, rng
        self.name = lab.new_name()
        self.faults = Faults()
        self.folder = lab.folder / self.name
        self.folder.mkdir()
        self._storage = storage or lab.storage.ports
        self._mariadb = mariadb
        self._host_lease_s = host_lease_s
        if engine == "mysql":
            self._mariadb = mariadb or lab.mariadb
            on_server = MariaDbLegSystem if source == "v20" else MariaDbPhoneSystem
            self.phone_system: Any = on_server(self._mariadb, self.name)
        else:
            in_file = SqliteLegSystem if source == "v20" else SqlitePhoneSystem
            self.phone_system = in_file(self.folder / "cdr.db")
        self.api = call_logger.start(call_logger=CallLogger(race_window_s=RACE_WINDOW_S))
        self.gateway = Gateway.by_lot(random.Random(rng.random()))
        self.delays = Delays(SPEED)
        self.good: set[int] = set()
        self._skews_s = skews_s
        self.overlapping: list[str] = []
        self._in_flight: Counter[str] = Counter()
        self._origin = datetime.now(UTC)
        self._three_cx, self._more = three_cx or {}, more or {}
        self._is_closed = threading.Event()
        self._pollers: list[threading.Thread] = []
        self.workers: list[Staffed] = []
        self._wanted = workers
        direct = CONNECTION.format(name=self.name, key=KEY, **self._storage._asdict())
        self.books = Books(direct, self.phone_system, self.api.call_logger, self.overlapping)

    def add(self, *sorts: str, first_id: int | None = None, ended: bool = True) -> list[int]:
        """Insert a row of each sort, with the next ids; how each call must end goes into the books."""
        known = (self.phone_system.first_number() - 1, *self.books.expected)
        row_id = first_id if first_id is not None else max(known) + 1
        ids = list(range(row_id, row_id + len(sorts)))
        for number, sort in zip(ids, sorts, strict=True):
            self.expect(number, sort)
            self.phone_system.insert(number, sort, ended=ended)
        return ids

    def expect(self, number: int, sort: str) -> None:
        """How this call must end goes into the books."""
        self.books.expected[number] = self.phone_system.sorts[sort][0]
        if self.books.expected[number] == "submitted":
            self.good.add(number)

    def add_mixed(self, count: int) -> list[int]:
        """Good ones and others by lot, always some of each."""
        sorts = [
            "good",
            "unanswered",
            "unmapped",
            *self.rng.choices([*self.phone_system.sorts, "good", "good", "good"], k=count - 3),
        ]
        self.rng.shuffle(sorts)
        return self.add(*sorts)

    def start(self) -> None:
        """Start the workers, and poll through each of them from now on."""
        for _ in range(self._wanted):
            self.workers.append(self._hire())

    def settle(self, *, within_s: float = SETTLE_SECONDS, also: Callable[[], bool] = lambda: True) -> Verdict:
        """Replace dead workers and wait until nothing is left to do and ``also`` holds. The verdict then, or when the
        time is up."""
        if not self.workers:
            self.start()
        deadline = time.monotonic() + within_s
        quiet_since: float | None = None
        while True:
            self.replace_dead()
            verdict = self.books.close_if_quiet() if also() else None
            now = time.monotonic()
            if verdict is not None and not verdict.problems:
                return self._with_delays(verdict)
            quiet_since = (quiet_since or now) if verdict is not None else None
            if now > deadline or (quiet_since and now - quiet_since > QUIET_SECONDS):
                verdict = self.books.close()
                verdict.problems.append(f"not settled within {within_s:.0f} s, or quiet for {QUIET_SECONDS} s")
                verdict.report = self._report(verdict)
                return self._with_delays(verdict)
            time.sleep(LOOK_EVERY_S)

    def _with_delays(self, verdict: Verdict) -> Verdict:
        """Of the good calls that ended as such; those that were mended have their delays from elsewhere."""
        good = [number for number in self.good if self.books.expected[number] == "submitted"]
        verdict.delays_s = self.delays.of({self.phone_system.pbx_call_id(number) for number in good})
        return verdict

    def replace_dead(self) -> None:
        for worker in self.workers:
            if not worker.process.is_alive:
                worker.deaths += 1
                self._start_process(worker)

    def wait_for(self, condition: Callable[[], bool], within_s: float = 20) -> bool:
        """Whether it came true in time; dead workers are replaced meanwhile."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.replace_dead()
            time.sleep(0.02)
        return True

    def replay_all(self) -> int:
        """Ask a worker to replay what was rejected; how many calls it put on the queue."""
        return int(self.ask("trigger/replay", {"all": True}).get("queued", 0))

    def reconcile(self) -> int:
        """Ask a worker to bring in what is missing of the last days; how many calls it put on the queue."""
        today = fast_time(SPEED, self._origin).date()
        days = {"from": str(today - timedelta(days=3)), "to": str(today + timedelta(days=1))}
        return int(self.ask("trigger/reconcile", days).get("queued", 0))

    def findings(self) -> set[str]:
        """What the watch over the source has found out."""
        watch = self.ask("status").get("source_watch", [])
        return {found["found"] for found in watch} if isinstance(watch, list) else set()

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What a worker answers; nothing, where it does not do what it was asked for."""
        method = "POST" if path.startswith("trigger") else "GET"
        try:
            answer = requests.request(method, f"{self.workers[0].process.url}/{path}", json=body, timeout=20)
            return dict(answer.json()) if answer.ok else {}
        except (requests.RequestException, ValueError):
            return {}

    def pause(self, seconds: float) -> None:
        """Let some time pass; dead workers are replaced meanwhile."""
        self.wait_for(lambda: False, seconds)

    def _hire(self) -> Staffed:
        worker = Staffed(len(self.workers))
        worker.skew_s = dict(enumerate(self._skews_s)).get(worker.number, 0.0)
        servers = {"queue": self._storage.queue, "table": self._storage.table, "api": _port_of(self.api.base_url)}
        for kind, port in servers.items():
            worker.proxies[kind] = HttpProxy(self.lab.loop, kind, port, self._treat, worker)
        if self._mariadb is not None:
            worker.proxies["database"] = MySqlProxy(self.lab.loop, self._mariadb.port, self.faults.treat, worker)
        self._start_process(worker)
        thread = threading.Thread(target=self._poll_on, args=(worker,), name=f"poller-{self.name}", daemon=True)
        self._pollers.append(thread)
        thread.start()
        return worker

    def _start_process(self, worker: Staffed) -> None:
        ports = {kind: proxy.port.number for kind, proxy in worker.proxies.items()}
        storage = {"blob": self._storage.blob, "queue": ports["queue"], "table": ports["table"]}
        environment = {
            "AzureWebJobsStorage": CONNECTION.format(name=self.name, key=KEY, **storage),
            "CONFIG_FILE": str(self._write_config(worker.number, ports)),
            "PYTHON_THREADPOOL_THREAD_COUNT": "8",
        }
        worker.process = WorkerProcess(self.folder / f"worker-{worker.number}-{worker.deaths}.log")
        self.lab.nursery.start(worker.process, environment, speed=SPEED, origin=self._origin, skew_s=worker.skew_s)

    def _write_config(self, number: int, ports: Mapping[str, int]) -> Path:
        config: dict[str, Any] = {
            "3cx": {
                "polling_interval_seconds": 3600,
                "cdr_database": self.phone_system.config(ports.get("database")),
                **self.phone_system.three_cx,
                **self._three_cx,
            },
            "api": {
                "base_url": f"http://127.0.0.1:{ports['api']}/api",
                "timeout_seconds": 1,
                **self._more.get("api", {}),
            },
            "extension_mapping": {"101": "alice@example.com"},
            **{name: section for name, section in self._more.items() if name != "api"},
        }
        path = self.folder / f"worker-{number}.yml"
        path.write_text(json.dumps(config))  # JSON is YAML
        return path

    async def _treat(self, request: Request, forward: Forward) -> Answer:
        if request.kind == "api":
            return await self.gateway.pass_on(lambda: self._watched(request, forward))
        if request.kind == "queue":
            make_faster(request, SPEED, self.name, KEY, self._host_lease_s)
            self._note_read(request)
        return self._with_fast_date(await self.faults.treat(request, forward))

    def _note_read(self, request: Request) -> None:
        if request.method == "POST":
            for record in records_in(request.body):
                self.delays.read(self.phone_system.pbx_call_id_of(record))

    def _with_fast_date(self, answer: Answer) -> Answer:
        """What time it is at the storage account, as fast as everywhere else."""
        now = format_datetime(fast_time(SPEED, self._origin), usegmt=True)
        answer.headers = [(name, now if name == "date" else value) for name, value in answer.headers]
        return answer

    async def _watched(self, request: Request, forward: Forward) -> Answer:
        """No call may be on its way into the API twice at the same time, however long the way is."""
        if request.method != "POST":
            return await self.faults.treat(request, forward)
        call = str(json.loads(request.body).get("pbxCallId"))
        if call in self._in_flight:
            self.overlapping.append(call)
        self._in_flight[call] += 1

        on_its_way = [call]

        def let_go() -> None:
            self._in_flight -= Counter(on_its_way)
            on_its_way.clear()

        async def arrive() -> Answer:
            try:
                answer = await forward()
            finally:
                let_go()
            if answer.status == CREATED:
                self.delays.entered(call)
            return answer

        try:
            return await self.faults.treat(request, arrive)
        finally:
            let_go()

    def _poll_on(self, worker: Staffed) -> None:
        while not self._is_closed.wait(POLL_EVERY_S):
            try:
                requests.post(f"{worker.process.url}/trigger/poll", timeout=10)
            except requests.RequestException:
                continue

    def _report(self, verdict: Verdict) -> str:
        lines = [
            f"{self.name}: " + "; ".join(verdict.problems),
            self.books.describe(),
            f"API requests: {self.api.faults.requests}",
        ]
        for worker in self.workers:
            lines += [f"--- {worker.process.log.name}, pid {worker.process.pid}", worker.process.log_tail()]
        return "\n".join(lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._is_closed.set()
        for worker in self.workers:
            worker.process.kill()
            for proxy in worker.proxies.values():
                proxy.port.close()
        for thread in self._pollers:
            thread.join(12)
        self.books.__exit__(kind, exc, tb)
        self.api.stop()


def _port_of(url: str) -> int:
    return int(url.split(":")[2].split("/", maxsplit=1)[0])
