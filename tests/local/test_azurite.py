"""Azurite as a child process: it answers, keeps what is stored, says what is wrong, leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from local import azurite
from tests.support.ports import lasting_port
from tests.support.requirements import need
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True, scope="module")
def _is_installed():
    need(azurite.what_is_missing())


def queue_client(storage):
    return QueueClient.from_connection_string(storage.connection_string, "calls")


def listening(ports):
    def is_taken(port):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return [is_taken(port) for port in ports]


def test_ctrl_c_is_not_for_it_and_stopped_it_is_gone_and_what_a_folder_keeps_is_there_again_on_the_same_ports(
    tmp_path,
):
    ports = azurite.Ports(lasting_port(), lasting_port(), lasting_port())
    with azurite.start(tmp_path, ports) as storage, queue_client(storage) as queue:
        queue.create_queue()
        queue.send_message("kept")
        with TableServiceClient.from_connection_string(storage.connection_string) as tables:
            tables.create_table("Calls")
        if hasattr(os, "getpgid"):
            assert os.getpgid(storage.pid) != os.getpgrp()
    assert storage.process.returncode is not None
    assert listening(storage.ports) == [False] * 3
    with azurite.start(tmp_path, ports) as again, queue_client(again) as queue:
        assert again.ports == storage.ports == ports
        assert queue.receive_message().content == "kept"
        with TableServiceClient.from_connection_string(again.connection_string) as tables:
            assert [table.name for table in tables.list_tables()] == ["Calls"]


def test_a_held_port_is_named_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(azurite.AzuriteError, match=rf"^port {port} is taken by another program; Azurite needs it$"):
            azurite.start(ports=azurite.Ports(queue=port))


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("PATH", r"^Node.js is missing .*\b18\b"),
        ("AZURITE_DIR", r"^Azurite is missing.*npm install --prefix \S+ azurite`$"),
    ],
)
def test_what_is_missing_is_said_in_one_line(monkeypatch, tmp_path, variable, reason):
    monkeypatch.setenv(variable, str(tmp_path))
    assert re.match(reason, azurite.what_is_missing())
    with pytest.raises(azurite.AzuriteError, match=reason):
        azurite.start()


def test_a_data_folder_that_cannot_be_made_is_said_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(azurite.AzuriteError, match=r"^Azurite ended while starting: \S.*$"):
        azurite.start(tmp_path / "file" / "data")


def test_the_default_folder_is_in_the_project_unless_the_environment_names_another(monkeypatch, tmp_path):
    monkeypatch.setenv("AZURITE_DIR", "elsewhere")
    assert azurite.default_folder(tmp_path) == Path("elsewhere")
    monkeypatch.delenv("AZURITE_DIR")
    assert azurite.default_folder(tmp_path) == tmp_path / ".local" / "azurite"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a parent that can be killed")
def test_it_ends_with_a_parent_that_was_killed():
    program = "from local import azurite; print(*azurite.start().ports, flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=azurite.PROJECT) as parent:
        ports = [int(port) for port in parent.stdout.readline().split()]
        assert listening(ports) == [True] * 3
        parent.kill()
    wait_until(lambda: not any(listening(ports)))
