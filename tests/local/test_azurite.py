"""Azurite as a child process: it answers, keeps what is stored, says what is wrong, leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from local import azurite
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(azurite.find_entry() is None, reason="Azurite is not installed (see AZURITE_DIR)")


PROJECT = Path(__file__).resolve().parents[2]


def queue_client(storage, name="calls"):
    return QueueClient.from_connection_string(storage.connection_string, name)


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_started_azurite_serves_queues_and_tables_of_its_connection_string():
    with azurite.start() as storage, queue_client(storage) as queue:
        queue.create_queue()
        queue.send_message("hello")
        assert queue.receive_message().content == "hello"
        with TableServiceClient.from_connection_string(storage.connection_string) as tables:
            tables.create_table("Calls")
            assert [table.name for table in tables.list_tables()] == ["Calls"]


def test_stop_waits_until_the_process_and_its_ports_are_gone():
    storage = azurite.start()
    assert all(is_listening(port) for port in storage.ports)
    storage.stop()
    assert storage.process.returncode is not None
    assert not any(is_listening(port) for port in storage.ports)


def test_what_was_stored_in_a_folder_is_there_after_a_restart_on_the_same_ports(tmp_path):
    with azurite.start(tmp_path) as storage, queue_client(storage) as queue:
        queue.create_queue()
        queue.send_message("kept")
    with azurite.start(tmp_path, storage.ports) as again, queue_client(again) as queue:
        assert again.ports == storage.ports
        assert queue.receive_message().content == "kept"


@pytest.mark.skipif(not hasattr(os, "getpgid"), reason="needs process groups")
def test_ctrl_c_at_the_terminal_is_not_for_azurite():
    with azurite.start() as storage:
        assert os.getpgid(storage.pid) != os.getpgrp()


def test_a_held_port_is_named_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(azurite.AzuriteError) as refusal:
            azurite.start(ports=azurite.Ports(queue=port))
    assert str(refusal.value) == f"port {port} is taken by another program; Azurite needs it"


def test_a_missing_node_is_said_in_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(azurite.AzuriteError, match=r"^Node.js is missing .*\b18\b.*$"):
        azurite.start()


def test_a_folder_without_azurite_has_no_entry_and_the_error_tells_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("AZURITE_DIR", str(tmp_path))
    assert azurite.find_entry() is None
    with pytest.raises(azurite.AzuriteError, match=rf"^Azurite is missing.*npm install --prefix {tmp_path} azurite"):
        azurite.start()


def test_a_data_folder_that_cannot_be_made_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(azurite.AzuriteError, match=r"^Azurite ended while starting: \S.*$"):
        azurite.start(tmp_path / "file" / "data")


def test_the_default_folder_is_in_the_project_unless_the_environment_names_another(monkeypatch, tmp_path):
    monkeypatch.setenv("AZURITE_DIR", str(tmp_path))
    assert azurite.default_folder() == tmp_path
    monkeypatch.delenv("AZURITE_DIR")
    assert azurite.default_folder().parts[-2:] == (".local", "azurite")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a parent that can be killed")
def test_azurite_ends_with_a_parent_that_was_killed():
    program = "from local import azurite; print(*azurite.start().ports, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as parent:
        ports = [int(port) for port in parent.stdout.readline().split()]
        assert len(ports) == 3
        assert all(is_listening(port) for port in ports)
        parent.kill()
    wait_until(lambda: not any(is_listening(port) for port in ports))
