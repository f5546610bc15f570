"""What carries the SDKs' requests to storage ends at its deadline, and says whether a request went out: retries go by
that. That the SDKs work with it is shown by everything else that is tried on the emulator."""

from __future__ import annotations

import gzip
import itertools
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceRequestTimeoutError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.rest import HttpRequest, HttpResponse

from cdr.edges.azure_transport import AzureTransport
from cdr.edges.http_connection import IDLE_S
from cdr.edges.storage.account import SETTING, StorageAccount
from cdr.edges.storage.sdk_requests import Onward
from cdr.edges.storage.table import Table
from cdr.edges.storage.transaction import Put, request_of
from shared.errors import StorageUnavailable
from tests.support.waiting import wait_until
from tests.systems.conversation import Conversation, Part, Server, answering, dripping, serving, stays_silent
from tests.systems.storage import AT_ONCE, NEVER_AGAIN

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 7\r\n\r\n\xef\xbb\xbf<a/>"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n"
CREATED = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nETag: 1\r\nx-ms-request-id: 7\r\n\r\n"


def transport(answer_s: float = 5, connect_s: float = 5, **more: Any) -> AzureTransport:
    return AzureTransport(connect_s=connect_s, answer_s=answer_s, **more)


def sent(over: AzureTransport, url: str, method: str = "PUT", **options: Any) -> HttpResponse:
    return over.send(HttpRequest(method, f"{url}/secret?sig=secret", content="é"), **options)


def failure_of(over: AzureTransport, url: str, **options: Any) -> type[AzureError]:
    """What kind of error a request ends with: soon, and without the address in it, which may hold a signature."""
    started = time.monotonic()
    with pytest.raises(AzureError) as caught:
        sent(over, url, **options)
    assert time.monotonic() - started < 5
    assert "secret" not in str(caught.value)
    return type(caught.value)


def setting_of(server: Server) -> str:
    return f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint={server.url}/a;"


@pytest.fixture
def nobody() -> Iterator[str]:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unheard.getsockname()[1]}"


# Whole answers


def test_a_form_is_sent_as_who_hands_out_tokens_takes_it() -> None:
    with answering(OK) as server:
        transport().send(HttpRequest("POST", server.url, data={"scope": "a b", "grant_type": "é"}))
        (request,) = server.requests
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in request
    assert request.endswith(b"\r\n\r\nscope=a+b&grant_type=%C3%A9")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_there_as_a_whole_streamed_or_not(*, stream: bool) -> None:
    with answering(OK) as server:
        answer = sent(transport(), server.url, stream=stream)
        (request,) = server.requests
    with answer:
        assert (answer.status_code, answer.reason, answer.content_type) == (200, "OK", "application/xml")
        assert answer.headers["content-TYPE"] == "application/xml"
        assert [answer.read(), answer.content, *answer.iter_bytes(), *answer.iter_raw()] == [OK[-7:]] * 4
        assert answer.text() == answer.text("utf-8") == "<a/>"
    assert (answer.is_closed, answer.is_stream_consumed, answer.url) == (True, True, f"{server.url}/secret?sig=secret")
    assert request.startswith(b"PUT /secret?sig=secret HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 2\r\n" in request
    assert request.endswith(b"\r\n\r\n\xc3\xa9")


@pytest.mark.parametrize(
    ("declared", "chosen", "text"),
    [(b"text/plain; charset=latin-1", None, "Ã©"), (b"application/json", None, "é"), (b"text/plain", "utf-8", "é")],
)
def test_a_text_is_read_by_what_it_says_of_itself_or_else_as_utf_8(
    declared: bytes, chosen: str | None, text: str
) -> None:
    with answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: " + declared + b"\r\n\r\n\xc3\xa9"
    ) as server:
        answer = sent(transport(), server.url)
    answer.encoding = chosen
    assert answer.text() == text


def test_an_error_of_the_service_is_an_answer_too() -> None:
    with answering(b'HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\n{"a": 1}') as server:
        answer = sent(transport(), server.url)
    assert answer.json() == {"a": 1}
    with pytest.raises(HttpResponseError):
        answer.raise_for_status()


def compressed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_what_was_sent_compressed_is_read_and_what_is_broken_is_an_error() -> None:
    body = gzip.compress(b"text")
    with answering(compressed(body), compressed(b"no gzip")) as server:
        over = transport()
        answer = sent(over, server.url)
        assert ([*answer.iter_bytes()], [*answer.iter_raw()]) == ([b"text"], [body])
        with pytest.raises(DecodeError):
            sent(over, server.url)


@pytest.mark.parametrize("status", [b"301", b"307"])
def test_a_redirection_is_an_answer_wherever_it_leads(status: bytes, nobody: str) -> None:
    head = b"HTTP/1.1 " + status + b" Away\r\nContent-Length: 0\r\nLocation: " + nobody.encode() + b"\r\n\r\n"
    with answering(head) as server:
        assert sent(transport(), server.url).status_code == int(status)


# Deadlines


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(stays_silent, id="nothing at all"),
        pytest.param(dripping(HEAD, b"X: y\r\n"), id="a header, byte by byte"),
        pytest.param(dripping(HEAD + b"\r\n", b"x"), id="a body, byte by byte"),
    ],
)
def test_whatever_comes_how_slowly_a_request_ends_at_its_deadline(play: Part) -> None:
    with serving(play) as server:
        assert failure_of(transport(answer_s=0.6), server.url) is ServiceResponseTimeoutError
        assert failure_of(transport(answer_s=60), server.url, read_timeout=0.6) is ServiceResponseTimeoutError


def test_a_connection_has_less_time_to_come_about() -> None:
    with serving(stays_silent) as server:
        secure = server.url.replace("http", "https")
        assert failure_of(transport(connect_s=0.1, answer_s=60), secure) is ServiceRequestTimeoutError
        assert failure_of(transport(answer_s=60), secure, connection_timeout=0.1) is ServiceRequestTimeoutError


# Never sent, or sent


def test_what_nobody_has_seen_is_an_error_of_the_request(nobody: str) -> None:
    for url in (nobody, "http://no-such-host.invalid", "http://[::1", "ftp://x", f"http://{'a' * 70}.example.com"):
        assert issubclass(failure_of(transport(connect_s=2), url), ServiceRequestError), url


@pytest.mark.parametrize(
    "said",
    [b"", b"SSH-2.0-OpenSSH_9.2\r\n", HEAD, HEAD + b"\r\nhalf"],
    ids=["nothing", "no HTTP", "half a head", "half"],
)
def test_what_breaks_off_after_the_request_is_an_error_of_the_answer(said: bytes) -> None:
    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.say(said)

    with serving(play) as server:
        assert failure_of(transport(), server.url) is ServiceResponseError


@pytest.mark.parametrize("said", [b"", HEAD + b"\r\nhalf"], ids=["nothing", "half"])
@pytest.mark.parametrize("written_by", ["us", "the SDK"])
def test_the_sdk_sends_a_write_again_that_had_no_answer(said: bytes, written_by: str) -> None:
    """By its own rules, which go by the kind of the error."""
    faults = [said]

    def play(conversation: Conversation) -> None:
        while conversation.read_request():
            if faults:
                return conversation.say(faults.pop())
            conversation.say(CREATED)
        return None

    with serving(play) as server:
        account = StorageAccount({SETTING: setting_of(server)}, AT_ONCE)
        onward = Onward(account.transport)
        table = account.table_client("calls", onward)
        entity = {"PartitionKey": "a", "RowKey": "b"}
        if written_by == "us":
            assert onward.write(request_of(Put(entity), f"{table.url}/calls"), {}) == "1"
        else:
            assert table.upsert_entity(entity)["etag"] == "1"
        assert server.connections == 2


def status_of(status: int) -> bytes:
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()


def test_what_is_too_much_at_once_is_refused_as_one_write_among_others_is() -> None:
    with answering(CREATED, status_of(413)) as server:
        table = Table(StorageAccount({SETTING: setting_of(server)}, NEVER_AGAIN), "calls")
        assert table.write([Put({"PartitionKey": "a", "RowKey": row}) for row in "bc"]) is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda table: table.write([Put({"PartitionKey": "a", "RowKey": row}) for row in "bc"]),
        lambda table: table.write([Put({"PartitionKey": "a", "RowKey": "b"})]),
        lambda table: table.named("a", ["b"], ["RowKey"]),
    ],
    ids=["a transaction", "a write", "a look"],
)
@pytest.mark.parametrize("status", [202, 403, 500])
def test_an_answer_of_another_kind_is_none(ask: Callable[[Table], object], status: int) -> None:
    with answering(CREATED, status_of(status)) as server:
        table = Table(StorageAccount({SETTING: setting_of(server)}, NEVER_AGAIN), "calls")
        with pytest.raises(StorageUnavailable):
            ask(table)


# Connections


def test_a_connection_is_used_again_but_not_after_a_long_rest() -> None:
    now = [1_000.0]
    with answering(OK) as server:
        over = transport(monotonic=lambda: now[0])
        used = []
        for rest in (0, IDLE_S, IDLE_S + 0.1, 0):
            now[0] += rest
            sent(over, server.url)
            used.append(server.connections)
        over.close()
        wait_until(lambda: server.closed == 2)
    assert used == [1, 1, 2, 2]


def test_a_connection_that_the_server_closed_is_replaced() -> None:
    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.say(OK)

    with serving(play) as server:
        over = transport()
        for n in (1, 2, 3):
            assert sent(over, server.url).status_code == 200
            wait_until(lambda n=n: server.closed == n)


def test_proxies_are_looked_up_once_and_told_the_whole_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(OK) as proxy, answering(OK) as server:
        before = transport()
        sent(before, server.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:word@"))
        sent(before, server.url)
        assert (len(server.requests), proxy.requests) == (2, [])
        sent(transport(), "http://calls.table.example.com")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        sent(transport(), server.url)
    assert len(server.requests) == 3
    (asked,) = proxy.requests
    assert asked.startswith(b"PUT http://calls.table.example.com/secret?sig=secret HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic " in asked


@pytest.mark.parametrize(
    "framing", [b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n", b"X: y\r\n\r\n"], ids=["chunks", "no end"]
)
def test_an_answer_without_an_end_is_none(framing: bytes) -> None:
    def play(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.say(b"HTTP/1.1 200 OK\r\n" + framing)
        while not conversation.over.is_set():
            conversation.say(b"x" * 1_000 + (b"\r\n3e8\r\n" if b"chunked" in framing else b""))

    with serving(play) as server:
        assert failure_of(transport(most_bytes=50_000), server.url) is ServiceResponseError


def test_the_head_of_every_whole_answer_is_handed_on_with_how_long_it_took() -> None:
    heard: list[tuple[Mapping[str, str], timedelta]] = []
    now = itertools.count()
    with answering(CREATED, b"no HTTP\r\n\r\n") as server:
        over = transport(answer_s=1_000, connect_s=1_000, hear=lambda *said: heard.append(said), monotonic=now.__next__)
        sent(over, server.url)
        failure_of(over, server.url)
    ((head, took),) = heard
    assert head["X-MS-Request-Id"] == "7"
    assert timedelta() < took < timedelta(seconds=next(now))
