"""What stands on the wire between us and others: nothing is sent to whom it is not meant for, nothing is read for ever.

That databases' certificates are verified is shown in tests/contract/test_database_failures.py and
tests/unit/sql/test_engines.py (Microsoft's ODBC driver and FreeTDS), that an answer has a deadline in
tests/contract/test_http_client.py. Here is everybody that we talk to over HTTP.
"""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pysqlbridge.certificate import self_signed

from cdr.edges.alert_webhooks import Webhook, WebhookNotifier
from cdr.edges.call_logger.alerts import RestAlertApi
from cdr.edges.call_logger.auth import make_auth
from cdr.edges.call_logger.calls import RestCallApi
from cdr.edges.storage.account import SETTING, StorageAccount
from cdr.edges.storage.queue import StorageCallQueue
from cdr.edges.xapi.client import XapiClient, XapiLogin
from cdr.edges.xapi.members import XapiMemberSource
from cdr.groups.alerts import AlertType
from cdr.groups.ports import Notice
from shared.clock import SystemClock
from shared.config.call_logger import BearerAuth
from shared.errors import PipelineError
from tests.support.factories import make_call
from tests.systems import certificates
from tests.systems.certificates import OwnCertificate
from tests.systems.conversation import Conversation, serving
from tests.systems.raw_server import RawServer, raw_server
from tests.systems.storage import NEVER_AGAIN

TOKEN = "api-token-7fk3"
CLIENT_SECRET = "client-secret-q81z"
NETRC_PASSWORD = "netrc-password-5dd0"
SECRETS = (TOKEN.encode(), CLIENT_SECRET.encode(), NETRC_PASSWORD.encode())
NOTICE = Notice("raised", "title", "text", "800", "Sales", "NO_ASSIGNED_USERS", datetime(2026, 11, 22, tzinfo=UTC))

Talk = Callable[..., object]


def submit(url: str, ca_file: str | None = None) -> object:
    auth = make_auth(BearerAuth(type="bearer", token=TOKEN))
    timeout = timedelta(seconds=5)
    api = RestCallApi(f"{url}/api", timeout=timeout, attempts=1, auth=auth, clock=SystemClock(), ca_file=ca_file)
    return api.submit(make_call(), give_up_at=datetime.now(UTC) + timedelta(seconds=60), patient=False)


def look_for_alerts(url: str, ca_file: str | None = None) -> object:
    auth = make_auth(BearerAuth(type="bearer", token=TOKEN))
    timeout = timedelta(seconds=5)
    return RestAlertApi(f"{url}/api", timeout=timeout, auth=auth, clock=SystemClock(), ca_file=ca_file).active()


def raise_alert(url: str, ca_file: str | None = None) -> object:
    auth = make_auth(BearerAuth(type="bearer", token=TOKEN))
    timeout = timedelta(seconds=5)
    alerts = RestAlertApi(f"{url}/api", timeout=timeout, auth=auth, clock=SystemClock(), ca_file=ca_file)
    return alerts.raise_alert("800", "Sales", AlertType.NO_ASSIGNED_USERS, "nobody")


def ask_phone_system(url: str, ca_file: str | None = None) -> object:
    login = XapiLogin(url, "cdr", CLIENT_SECRET, "call_groups.members", ca_file)
    return XapiMemberSource(XapiClient(login, SystemClock())).observe(["800"])


def tell_webhook(url: str, _ca_file: str | None = None) -> object:
    return WebhookNotifier([Webhook("json", f"{url}/hook")]).tell(NOTICE)


def ask_storage(url: str, _ca_file: str | None = None) -> object:
    setting = f"AccountName=calls;AccountKey=a2V5;QueueEndpoint={url}/calls;TableEndpoint={url}/calls;"
    return StorageCallQueue(StorageAccount({SETTING: setting}, NEVER_AGAIN), "calls").depth()


WITH_CA_FILE: dict[str, Talk] = {
    "submission": submit,
    "alerts": look_for_alerts,
    "raising": raise_alert,
    "phone system": ask_phone_system,
}
TALKS = WITH_CA_FILE | {"webhook": tell_webhook}
ALL = TALKS | {"storage": ask_storage}
"""The storage account is trusted as far as the length of its answers goes: a page of a query has any."""


def each(talks: dict[str, Talk]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("talk", talks.values(), ids=talks)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> OwnCertificate:
    return certificates.make(tmp_path_factory.mktemp("tls"))


def said_to(server: RawServer) -> bytes:
    return b"".join(server.requests)


# TLS


@each(ALL)
def test_nothing_is_said_to_a_server_whose_certificate_nobody_vouches_for(talk: Talk, own: OwnCertificate) -> None:
    with raw_server(tls=own.context) as server:
        with pytest.raises(PipelineError):
            talk(f"https://localhost:{server.port}")
        assert server.requests == []


@each(WITH_CA_FILE)
def test_a_certificate_is_good_for_its_own_names_only(talk: Talk, own: OwnCertificate, monkeypatch) -> None:
    found = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **more: found("127.0.0.1", *rest, **more))
    with raw_server(tls=own.context) as server:
        with pytest.raises(PipelineError):
            talk(f"https://elsewhere.test:{server.port}", str(own.file))
        assert server.requests == []
        with suppress(PipelineError):
            talk(f"https://localhost:{server.port}", str(own.file))
        assert server.requests != []


@each(WITH_CA_FILE)
def test_certificates_of_the_environment_do_not_replace_the_configured_ones(
    talk: Talk, own: OwnCertificate, tmp_path: Path, monkeypatch
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(self_signed("localhost").cert_pem)
    with raw_server(tls=own.context) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(own.file))
        with pytest.raises(PipelineError):
            talk(f"https://localhost:{server.port}", str(other))
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
        with suppress(PipelineError):
            talk(f"https://localhost:{server.port}", str(own.file))
        assert server.requests != []


# Whom credentials are for


@each(ALL)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(talk: Talk, status: int) -> None:
    with raw_server() as elsewhere:
        away = f"HTTP/1.1 {status} Away\r\nLocation: http://127.0.0.1:{elsewhere.port}/\r\nContent-Length: 0\r\n\r\n"
        with raw_server(away.encode()) as server:
            with pytest.raises(PipelineError):
                talk(f"http://127.0.0.1:{server.port}")
            assert server.requests != []
        assert elsewhere.requests == []


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer has a password for this machine."""
    file = tmp_path / "netrc"
    file.write_text(
        f"machine 127.0.0.1 login me password {NETRC_PASSWORD}\ndefault login me password {NETRC_PASSWORD}\n"
    )
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


@each(ALL)
def test_a_password_of_the_developers_netrc_goes_to_nobody(talk: Talk, netrc: None) -> None:
    with raw_server() as server:
        with pytest.raises(PipelineError):
            talk(f"http://127.0.0.1:{server.port}")
        assert server.requests != []
        assert b"authorization: basic" not in said_to(server).lower()


@each(ALL)
def test_a_proxy_of_the_environment_is_used_but_learns_only_the_host_where_the_address_is_https(
    talk: Talk, netrc: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    with raw_server(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(PipelineError):
            talk("https://elsewhere.test")
        assert said_to(proxy).startswith(b"CONNECT elsewhere.test:443 HTTP/1.")
        assert not [secret for secret in (*SECRETS, b"hook", b"authorization") if secret in said_to(proxy).lower()]


def passed_on(near: socket.socket, far: socket.socket) -> None:
    with suppress(OSError):
        while piece := near.recv(65_536):
            far.sendall(piece)
        far.shutdown(socket.SHUT_WR)


@each(ALL)
def test_behind_a_proxy_it_is_the_server_itself_that_is_verified_and_spoken_to(
    talk: Talk, own: OwnCertificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bytes] = []

    def connect(conversation: Conversation) -> None:
        told.append(conversation.read_request())
        with socket.create_connection(("127.0.0.1", server.port)) as far:
            conversation.say(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=passed_on, args=(far, conversation.connection), daemon=True).start()
            passed_on(conversation.connection, far)

    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    with raw_server(tls=own.context) as server, serving(connect) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(PipelineError):
            talk("https://localhost")
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(own.file))
        with pytest.raises(PipelineError):
            talk("https://localhost")
        assert b" HTTP/1.1\r\n" in said_to(server)
    assert {request.split(b" HTTP")[0] for request in told} == {b"CONNECT localhost:443"}


# Answers without an end

CHUNK = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"


@contextmanager
def endless(head: bytes, piece: bytes) -> Iterator[int]:
    """A server that answers each request with this head and the same piece for ever; yields its port."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            connection.settimeout(5)
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65_536)
            connection.sendall(head)
            while not over.is_set():
                connection.sendall(piece)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@each(TALKS)
@pytest.mark.parametrize("status", ["200 OK", "201 Created", "400 Bad Request", "503 Busy"])
def test_an_endless_answer_is_cut_off(talk: Talk, status: str) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    started = time.monotonic()
    tracemalloc.start()
    try:
        with endless(head, CHUNK) as port, suppress(PipelineError):
            talk(f"http://127.0.0.1:{port}")
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 30
