"""An exchange over HTTP ends at its deadline whatever the other side does, and says whether its request went out."""

from __future__ import annotations

import errno
import inspect
import itertools
import json
import os
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import requests
import urllib3.exceptions
from urllib3 import BaseHTTPResponse

from cdr.edges.http_client import Answer, HttpClient, HttpFailure, NeverSent, Unanswered
from cdr.edges.http_connection import IDLE_S
from cdr.edges.http_line import Adapter, Line
from tests.support.waiting import wait_until
from tests.systems.conversation import Conversation, answering, dripping, serving, stays_silent

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/JSON; charset=utf-8\r\nContent-Length: 8\r\n\r\n{"a": 1}'
TOO_LATE_S = 5.0
"""Far beyond every deadline here, and far below the time that any of these servers would take."""


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def client(url: str, timeout_s: float = 5, **more: Any) -> HttpClient:
    return HttpClient(url, timeout=timedelta(seconds=timeout_s), **more)


def failure_of(http: HttpClient, path: str = "/secret-path", **options: Any) -> HttpFailure:
    """What an exchange ends with: soon, in one line, and without the address in it."""
    started = time.monotonic()
    with pytest.raises(HttpFailure) as caught:
        http.exchange("POST", path, json={"text": "é"}, **options)
    assert time.monotonic() - started < TOO_LATE_S
    assert str(caught.value)
    assert not re.search(r"[\r\n]|://|secret-path", str(caught.value))
    return caught.value


# Whole answers


def test_an_answer_has_status_headers_and_body() -> None:
    with answering(OK) as server:
        answer = client(f"{server.url}/api").exchange(
            "GET", "/things", params={"active": "true"}, headers={"X-Own": "1"}
        )
        (request,) = server.requests
    assert (answer.status, answer.content_type, answer.headers["content-TYPE"]) == (200, "application/json", mine(OK))
    assert (answer.body, answer.json()) == (b'{"a": 1}', {"a": 1})
    assert request.startswith(b"GET /api/things?active=true HTTP/1.1\r\n")
    assert b"X-Own: 1\r\n" in request


def mine(raw: bytes) -> str:
    return raw.partition(b"Content-Type: ")[2].partition(b"\r\n")[0].decode()


@pytest.mark.parametrize(
    ("body", "words"),
    [(b" a\r\n\tb\x00\xc2\x85c ", "a b c"), (b"\xff\xc3\xa9", "\ufffdé"), (b"", ""), (b"x" * 1_001, "x" * 1_000 + "…")],
)
def test_the_words_of_an_answer_stand_on_one_line_and_are_not_too_many(body: bytes, words: str) -> None:
    assert Answer(400, {}, body).words == words


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 50_000])
def test_what_is_not_json_is_one_kind_of_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Answer(200, {}, body).json()


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/", "http://[::1", "//", "\udcff", "", "http://a..b:99999999/"]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_an_answer_wherever_it_leads(status: int, location: str) -> None:
    head = f"HTTP/1.1 {status} Away\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    with answering(head.encode("utf-8", "surrogateescape")) as server:
        assert client(server.url).exchange("POST").status == status
        assert len(server.requests) == 1


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"X: y", b"Content-Length: 99999999999"])
def test_of_a_body_without_an_end_so_much_is_read_and_no_more(framing: bytes) -> None:
    piece = b"x" * 4096
    chunk = b"1000\r\n" + piece + b"\r\n" if framing.endswith(b"chunked") else piece

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.say(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        while not conversation.over.is_set():
            conversation.say(chunk)

    with serving(play) as server:
        assert client(server.url).exchange("GET", most_bytes=10_000).body == b"x" * 10_000


def test_a_cookie_is_not_kept() -> None:
    with answering(OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1)) as server:
        http = client(server.url)
        for _ in range(2):
            http.exchange("GET")
        assert b"cookie" not in server.requests[1].lower()


# Deadlines

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n"


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(stays_silent, id="nothing at all"),
        pytest.param(dripping(said=b"", dripped=b"HTTP/1.1 200 O"), id="the status, byte by byte"),
        pytest.param(dripping(said=HEAD, dripped=b"X: y\r\n"), id="a header, byte by byte"),
        pytest.param(dripping(said=b"", dripped=b"HTTP/1.1 100 Continue\r\n\r\n"), id="please go on, for ever"),
        pytest.param(dripping(said=HEAD + b"\r\n", dripped=b"x"), id="a body, byte by byte"),
        pytest.param(
            dripping(said=HEAD.replace(b"Content-Length: 5000", b"Transfer-Encoding: chunked") + b"\r\n", dripped=b"0"),
            id="the length of a chunk, byte by byte",
        ),
    ],
)
def test_whatever_comes_how_slowly_an_exchange_ends_at_its_deadline(play: Callable[[Conversation], None]) -> None:
    with serving(play) as server:
        failure = failure_of(client(server.url, timeout_s=0.4))
    assert isinstance(failure, Unanswered)
    assert failure.timed_out


def test_the_deadline_is_held_to_the_clock_that_was_handed_in() -> None:
    clock = Clock()

    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.say(HEAD + b"\r\n")
        while not conversation.over.wait(0.001):
            clock.now += 1
            conversation.say(b"x")

    with serving(play) as server:
        assert failure_of(client(server.url, timeout_s=60, monotonic=clock)).timed_out
    assert clock.now >= 1_060


def test_an_exchange_may_have_another_deadline_than_the_others() -> None:
    with serving(stays_silent) as server:
        assert failure_of(client(server.url, timeout_s=60), timeout=timedelta(seconds=0.2)).timed_out


@pytest.mark.parametrize("left", [timedelta(), timedelta(seconds=-3)])
def test_without_any_time_nothing_is_sent(left: timedelta) -> None:
    with answering(OK) as server:
        failure = failure_of(client(server.url), timeout=left)
        assert (type(failure), failure.timed_out, server.requests) == (NeverSent, True, [])


def test_what_is_late_with_its_request_does_not_send_it() -> None:
    """The process stood still between connecting and sending."""
    ticks = itertools.chain([0.0] * 5, itertools.repeat(100.0))
    with answering(OK) as server:
        assert isinstance(failure_of(client(server.url, monotonic=lambda: next(ticks))), NeverSent)
        assert server.requests == []


def test_tls_that_gets_no_answer_ends_at_the_deadline_and_nothing_was_sent() -> None:
    with serving(stays_silent) as server:
        failure = failure_of(client(server.url.replace("http", "https"), timeout_s=0.3))
    assert (type(failure), failure.timed_out) == (NeverSent, True)


def test_a_proxy_that_drips_its_consent_ends_at_the_deadline_and_nothing_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(dripping(said=b"HTTP/1.1 200 OK\r\n", dripped=b"X: y\r\n")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        failure = failure_of(client("https://elsewhere.test", timeout_s=0.3))
    assert (type(failure), failure.timed_out) == (NeverSent, True)


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60))
    failure = failure_of(client("http://calls.example.com", timeout_s=0.2))
    over.set()
    assert (type(failure), str(failure), failure.timed_out) == (NeverSent, "the name was not looked up in time", True)


# Never sent, or sent


def test_a_connection_that_is_refused_was_never_one(closed_port: int) -> None:
    failure = failure_of(client(f"http://127.0.0.1:{closed_port}"))
    assert (type(failure), str(failure), failure.timed_out) == (NeverSent, "Connection refused", False)


@pytest.mark.parametrize(
    "url",
    [
        "http://no-such-host.invalid",
        "http://",
        "http://[::1",
        "ftp://x",
        "x",
        "http://a..b",
        f"http://{'a' * 70}.example.com",
        "http://*",
        "http://127.0.0.1:99999",
        "http://\udcff",
    ],
)
def test_an_address_that_leads_nowhere_is_no_other_kind_of_error(url: str) -> None:
    """Also where a name server takes long to say so."""
    assert isinstance(failure_of(client(url, timeout_s=2)), NeverSent)


def test_a_host_is_reached_at_whichever_of_its_addresses_answers(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(OK) as server:
        where = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in (closed_port, server.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(99, 1, 0, "", None), *where])
        assert client("http://calls.example.com").exchange("GET").status == 200
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
        assert isinstance(failure_of(client("http://calls.example.com")), NeverSent)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 ",
        HEAD,
        HEAD + b"\r\nhalf",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101,
        b"HTTP/1.1 409 Conflict\r\nContent-",
        b"HTTP/1.1 409 Conflict\r\n",
        b"HTTP/1.1 409 Conflict\r\nContent-Length: none\r\n\r\n",
        b"HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00",
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.0 409 Conflict\r\nContent-Type: text/html\r\n\r\n",
        b"HTTP/1.0 500 Error\r\nContent-Type: application/json\r\n\r\n",
    ],
    ids=[
        "nothing",
        "another protocol",
        "half a status",
        "half a head",
        "half a body",
        "too many headers",
        "half a header, which says of the body as much as none",
        "no end of the head",
        "a length that is no number",
        "a packed body of which nothing can be unpacked",
        "only what comes before an answer",
        "a page of which nothing came",
        "a report of which nothing came",
    ],
)
def test_what_breaks_off_after_the_request_is_unanswered(said: bytes) -> None:
    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.say(said)

    with serving(play) as server:
        assert isinstance(failure_of(client(server.url)), Unanswered)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_nothing_is_sent_twice_by_itself(method: str) -> None:
    """Who asks knows whether that does harm."""
    with serving(lambda conversation: conversation.read_request() and None) as server:
        with pytest.raises(Unanswered):
            client(server.url).exchange(method)
        wait_until(lambda: server.closed == server.connections)
        assert server.connections == 1


def test_what_speaks_another_protocol_is_called_so() -> None:
    with serving(lambda conversation: conversation.say(b"SSH-2.0-OpenSSH_9.2\r\n")) as server:
        assert "does not speak HTTP" in str(failure_of(client(server.url)))


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("socks5://127.0.0.1:1", "a proxy of a kind that is not supported"),
        ("http://127.0.0.1:x", "that of a proxy in the environment, is none"),
        ("http://", "that of a proxy in the environment, is none"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_as_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, proxy: str, words: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    failure = failure_of(client("http://calls.example.com"))
    assert isinstance(failure, NeverSent)
    assert words in str(failure)


def test_a_connection_that_is_reset_while_it_is_made_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def reset(*_: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    monkeypatch.setattr(socket.socket, "connect", reset)
    failure = failure_of(client("http://127.0.0.1:1"))
    assert (type(failure), str(failure)) == (NeverSent, "Connection reset by peer")


def test_what_comes_before_an_answer_is_none_and_the_next_request_does_not_get_it() -> None:
    """Early hints, and a 102 of a server that works on; where the answer itself takes its time."""

    def play(conversation: Conversation) -> None:
        for status in (b"201 Created", b"409 Conflict"):
            conversation.read_request()
            conversation.say(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
            conversation.say(b"HTTP/1.1 102 Processing\r\n\r\n")
            conversation.over.wait(0.05)
            conversation.say(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    with serving(play) as server:
        http = client(server.url)
        assert [http.exchange("POST").status, http.exchange("POST").status] == [201, 409]


class Breaking(Adapter):
    """Raises an error before it carries a request, or after the answer's head."""

    def __init__(self, error: BaseException, *, before: bool) -> None:
        super().__init__()
        self.error, self.before = error, before

    def line_to(self, *way: Any) -> Line:
        if self.before:
            raise self.error
        line = super().line_to(*way)
        return BreakingLine(line.pool, line.prefix, self.error)


@dataclass(frozen=True)
class BreakingLine(Line):
    error: BaseException

    def ask(self, *asked: Any) -> BaseHTTPResponse:
        super().ask(*asked).close()
        raise self.error


def exception_classes(*modules: Any) -> list[type[Exception]]:
    found = [kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, Exception) and not issubclass(kind, Warning)]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_every_exception_of_the_libraries_becomes_one_of_the_two(*, before: bool) -> None:
    kinds = exception_classes(
        requests.exceptions, urllib3.exceptions, __import__("ssl"), __import__("http.client").client
    )
    assert len(kinds) > 60
    with answering(OK) as server:
        for kind in {*kinds, ValueError, UnicodeError, OSError, TimeoutError}:
            http = client(server.url, adapter=Breaking(kind.__new__(kind), before=before))
            assert type(failure_of(http)) is (NeverSent if before else Unanswered), kind


def test_a_defect_is_none_of_the_two() -> None:
    with pytest.raises(KeyError):
        client("http://x", adapter=Breaking(KeyError("defect"), before=True)).exchange("GET")


def test_the_error_of_the_library_is_kept_as_the_cause(closed_port: int) -> None:
    failure = failure_of(client(f"http://127.0.0.1:{closed_port}"))
    assert "ConnectionRefusedError" in "".join(traceback.format_exception(failure))


# Connections


@dataclass(frozen=True)
class WatchingLine(Line):
    """Keeps the options of the sockets that it used."""

    options: list[tuple[int, int]] = field(default_factory=list)

    def ask(self, *asked: Any) -> BaseHTTPResponse:
        answer = super().ask(*asked)
        sock: socket.socket = answer.connection.sock
        kept = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        self.options.append((kept, sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        return answer


class Watching(Adapter):
    def line_to(self, *way: Any) -> Line:
        line = super().line_to(*way)
        self.line = WatchingLine(line.pool, line.prefix)
        return self.line


def test_connections_are_kept_alive_so_that_a_firewall_does_not_forget_them() -> None:
    adapter = Watching()
    with answering(OK) as server:
        client(server.url, adapter=adapter).exchange("GET")
    assert [all(options) for options in adapter.line.options] == [True]


def test_a_connection_is_used_again_but_not_after_a_long_rest() -> None:
    clock = Clock()
    with answering(OK) as server:
        http = client(server.url, monotonic=clock)
        used = []
        for rest in (0, IDLE_S, IDLE_S + 0.1, 0):
            clock.now += rest
            http.exchange("GET")
            used.append(server.connections)
    assert used == [1, 1, 2, 2]


def test_a_connection_that_the_server_closed_is_replaced() -> None:
    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.say(OK)

    with serving(play) as server:
        http = client(server.url)
        for n in (1, 2, 3):
            assert http.exchange("GET").json() == {"a": 1}
            assert server.connections == n
            wait_until(lambda n=n: server.closed == n)


def test_the_environment_is_asked_once(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    with answering(OK) as server:
        http = client(server.url)
        http.exchange("GET")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
        assert http.exchange("GET").status == 200
        assert isinstance(failure_of(client(server.url)), NeverSent)


def test_a_request_goes_out_in_one_piece() -> None:
    pieces: list[bytes] = []

    def play(conversation: Conversation) -> None:
        pieces.append(conversation.connection.recv(65_536))
        conversation.say(OK)

    with serving(play) as server:
        client(server.url).exchange("POST", json={"a": 1})
    assert pieces[0].endswith(b'\r\n\r\n{"a": 1}')


def test_a_form_and_json_are_sent_as_such() -> None:
    with answering(OK) as server:
        http = client(server.url)
        http.exchange("POST", form={"a": "b c"})
        http.exchange("POST", json={"a": ["é"]})
        form, body = server.requests
    assert form.endswith(b"\r\n\r\na=b+c")
    assert json.loads(body.partition(b"\r\n\r\n")[2]) == {"a": ["é"]}
