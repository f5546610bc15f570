"""A worker that the system freezes between claim and submission sends nothing once somebody else may have the call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cdr.submission.submit import Outcome, submit
from cdr.wiring.parts import Parts
from cdr.wiring.ports import LEDGER_TABLE
from cdr.wiring.times import Times
from tests.functions.surroundings import RecordingCallLogger, Storage, write_config
from tests.support.factories import make_message
from tests.support.requirements import need
from tests.support.waiting import wait_until
from tests.systems.phone_systems import SqlitePhoneSystem

PROJECT = Path(__file__).parents[2]
SECOND = timedelta(seconds=1)
TIMES = Times(longest_attempt=0.5 * SECOND, submit_budget=2.5 * SECOND, claim_lease=3 * SECOND, redelivery=3.5 * SECOND)
"""Of the frozen one: two seconds from its claim to its attempt, if the machine is busy, and hardly more to wait for."""

WORKER = """
import os, signal, sys
from pathlib import Path
from cdr.submission.submit import submit
from cdr.wiring.parts import Parts
from tests.e2e.test_frozen_worker import TIMES
from tests.support.factories import make_message

parts = Parts(os.environ, Path(sys.argv[1]), times=TIMES)
api = parts.api

class Freezing:
    def submit(self, call, **options):
        os.kill(os.getpid(), signal.SIGSTOP)
        return api.submit(call, **options)

parts = Parts(os.environ, Path(sys.argv[1]), times=TIMES, api=Freezing())
print(*submit(make_message(), parts.worker))
"""


def has_run_out(storage: Storage) -> bool:
    """The claim that the frozen one has; storage's clock may be a second behind."""
    (until,) = (entity["claimed_until"] for entity in storage.entities(LEDGER_TABLE) if "claimed_until" in entity)
    return until + SECOND <= datetime.now(UTC)


def test_its_call_is_entered_once_by_who_came_after_it(
    storage: Storage, call_logger: RecordingCallLogger, tmp_path: Path
) -> None:
    need(None if hasattr(signal, "SIGSTOP") else "this system cannot freeze a process")
    config = write_config(
        tmp_path / "config.yml", SqlitePhoneSystem(tmp_path / "pbx.db").settings(), call_logger.base_url
    )
    environment = {"CONFIG_FILE": str(config), "AzureWebJobsStorage": storage.connection_string}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(PROJECT)], env=os.environ | environment, cwd=PROJECT, stdout=subprocess.PIPE
    ) as frozen:
        _, status = os.waitpid(frozen.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        wait_until(lambda: has_run_out(storage))
        assert submit(make_message(), Parts(environment, PROJECT).worker) == [Outcome.SUBMITTED]
        frozen.send_signal(signal.SIGCONT)
        said, _ = frozen.communicate(timeout=30)
    assert (said.decode().strip(), call_logger.faults.requests) == ("put_back", 1)
    assert [record.state for record in storage.ledger()] == ["submitted"]
