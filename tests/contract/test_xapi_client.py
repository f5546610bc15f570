"""What the REST API of 3CX asks of its clients: one token at a time, pages, keys that may be missing, and patience."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cdr.edges.xapi.client import NotThere, TooMuchAtOnce, XapiClient, XapiLogin
from shared.errors import SourceMisconfigured, SourceUnavailable
from tests.fakes.clock import HandMovedClock
from tests.systems import xapi
from tests.systems.conversation import serving, stays_silent
from tests.systems.switchboards import failure_of, xapi_client
from tests.systems.xapi import Fault, Xapi


@pytest.fixture
def server(clock: HandMovedClock) -> Iterator[Xapi]:
    with xapi.start(clock) as running:
        running.users = people(2)
        yield running


@pytest.fixture
def client(server: Xapi) -> XapiClient:
    return xapi_client(server)


def people(count: int) -> list[dict[str, Any]]:
    return [{"Id": number, "Number": str(number)} for number in range(1000, 1000 + count)]


def read(client: XapiClient) -> int:
    """How many users there are."""
    return len(list(client.items("Users", "Id,Number")))


def failure(client: XapiClient, kind: type[Exception]) -> str:
    return failure_of(lambda: read(client), kind)


# The token


def test_one_token_serves_all_requests_within_its_life(server: Xapi, client: XapiClient, clock: HandMovedClock) -> None:
    for _ in range(4):
        assert read(client) == 2
        clock.move(timedelta(seconds=12))
    assert server.token_requests == 1


def test_a_token_is_renewed_before_it_ends(server: Xapi, client: XapiClient, clock: HandMovedClock) -> None:
    for age in range(0, 300, 59):
        read(client)
        clock.move(timedelta(seconds=59))
        assert server.token_requests == age // 59 + 1
    assert 401 not in server.answers


def test_a_token_that_another_program_ended_is_replaced_once_and_the_request_repeated(
    server: Xapi, client: XapiClient
) -> None:
    read(client)
    server.end_token()
    assert read(client) == 2
    assert server.token_requests == 2
    assert server.asked[-1] == server.asked[-2]


def test_a_new_token_that_is_refused_too_calls_for_a_person_and_the_next_request_begins_anew(
    server: Xapi, client: XapiClient
) -> None:
    server.fail_next("data", Fault(401), Fault(401))
    assert "call_groups.members.client_id" in failure(client, SourceMisconfigured)
    assert (server.token_requests, len(server.asked)) == (2, 2)
    assert read(client) == 2
    assert server.token_requests == 3


@pytest.mark.parametrize("expires_in", [5, 0, -60, None, "60", True])
def test_a_token_with_hardly_any_life_or_without_one_is_used_at_once_and_not_kept(
    server: Xapi, client: XapiClient, expires_in: Any
) -> None:
    server.expires_in = expires_in
    assert [read(client), read(client)] == [2, 2]
    assert server.token_requests == 2


def test_threads_never_ask_for_two_tokens_at_once(server: Xapi, client: XapiClient) -> None:
    start = threading.Barrier(4)

    def ask(_: int) -> int:
        start.wait(10)
        return read(client)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [2] * 4
    assert (server.token_requests, server.most_at_once) == (1, 1)


# Credentials and rights


@pytest.mark.parametrize("wrong", [{"client_id": "nobody"}, {"client_secret": "hunter2"}])
def test_wrong_credentials_name_their_settings(server: Xapi, wrong: dict[str, str]) -> None:
    message = failure(xapi_client(server, **wrong), SourceMisconfigured)
    assert "call_groups.members.client_id and client_secret" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(("status", "hint"), [(403, "role"), (403, "licence"), (400, "V20")])
def test_what_only_a_person_can_put_right_says_what_to_do(
    server: Xapi, client: XapiClient, status: int, hint: str
) -> None:
    server.fail_next("data", Fault(status))
    assert hint in failure(client, SourceMisconfigured)


def test_no_password_of_a_netrc_file_takes_the_place_of_the_token(
    client: XapiClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert read(client) == 2


def test_a_login_does_not_show_its_secret() -> None:
    assert "s3cret" not in repr(XapiLogin("http://pbx", "id", "s3cret", "setting"))


# Pages


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (99, 1), (100, 2), (250, 3)])
def test_a_list_is_read_to_its_end_and_no_further(server: Xapi, client: XapiClient, count: int, pages: int) -> None:
    server.users = people(count)
    assert read(client) == count
    assert len(server.asked) == pages


def test_pages_that_the_server_makes_shorter_than_asked_for_are_followed(server: Xapi, client: XapiClient) -> None:
    server.users, server.most_items = people(50), 20
    assert read(client) == 50


def test_a_list_without_end_is_given_up(server: Xapi) -> None:
    server.users = people(400)
    failure(xapi_client(server, most_pages=3), SourceUnavailable)


# Failures


@pytest.mark.parametrize(
    "fault",
    [*map(Fault, (500, 502, 503, 504, 429, 404, 302)), Fault(body="<html>login</html>")],
    ids=lambda fault: fault.body or fault.status,
)
@pytest.mark.parametrize("place", ["token", "data"])
def test_what_may_pass_is_unavailable_and_over_with_the_next_request(
    server: Xapi, client: XapiClient, place: Any, fault: Fault
) -> None:
    server.fail_next(place, fault)
    assert "call_groups.members.url" in failure(client, SourceUnavailable)
    assert read(client) == 2


@pytest.mark.parametrize(("status", "kind"), [(404, NotThere), (504, TooMuchAtOnce)])
def test_what_another_way_of_asking_could_help_is_told_apart_for_data_and_not_for_the_token(
    server: Xapi, client: XapiClient, status: int, kind: type[SourceUnavailable]
) -> None:
    server.fail_next("token", Fault(status))
    server.fail_next("data", Fault(status))
    with pytest.raises(SourceUnavailable) as caught:
        read(client)
    assert not isinstance(caught.value, kind)
    with pytest.raises(kind):
        read(client)


@pytest.mark.parametrize(
    "body", ["[]", "{}", "null", '{"value": null}', '{"value": [1]}', '{"value": {"a": 1}}', '"x"', "[" * 100_000]
)
def test_an_answer_that_is_no_list_is_no_empty_list(server: Xapi, client: XapiClient, body: str) -> None:
    server.fail_next("data", Fault(body=body))
    failure(client, SourceUnavailable)


@pytest.mark.parametrize("body", ["[]", "{}", '{"access_token": null}', '{"access_token": ""}'])
def test_an_answer_without_a_token_is_unavailable(server: Xapi, client: XapiClient, body: str) -> None:
    server.fail_next("token", Fault(body=body))
    failure(client, SourceUnavailable)


def test_an_answer_that_is_too_long_is_not_kept_in_memory(server: Xapi, client: XapiClient) -> None:
    with pytest.raises(TooMuchAtOnce):
        client.get("Users", most_bytes=100)


def test_a_phone_system_that_is_down_is_unavailable(server: Xapi, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}"
    assert "call_groups.members.url" in failure(xapi_client(server, url=url), SourceUnavailable)


def test_a_certificate_is_checked_against_the_configured_file(clock: HandMovedClock, tmp_path: Path) -> None:
    file = tmp_path / "certificate.pem"
    with xapi.start(clock, certificate=file) as server:
        server.users = people(2)
        assert "certificate" in failure(xapi_client(server), SourceUnavailable)
        assert read(xapi_client(server, ca_file=str(file))) == 2


# The deadline of a whole exchange


@pytest.mark.parametrize("place", ["token", "data"])
def test_a_slow_answer_is_not_waited_for(server: Xapi, place: Any) -> None:
    server.fail_next(place, Fault(delay_s=60))
    assert "in time" in failure(xapi_client(server, timeout=timedelta(seconds=0.2)), SourceUnavailable)


def test_a_phone_system_that_drips_holds_nobody_for_longer_than_the_deadline(server: Xapi) -> None:
    """Its headers alone would take several seconds."""
    server.drip_s = 0.02
    begun = time.monotonic()
    failure(xapi_client(server, timeout=timedelta(seconds=0.4)), SourceUnavailable)
    assert time.monotonic() - begun < 2


def test_many_who_ask_a_phone_system_that_is_silent_do_not_wait_for_one_after_the_other(clock: HandMovedClock) -> None:
    timeout, many = timedelta(seconds=0.3), 16
    with serving(stays_silent) as silent:
        client = XapiClient(XapiLogin(silent.url, "id", "secret", "3cx.xapi"), clock, timeout=timeout)
        begun = time.monotonic()
        with ThreadPoolExecutor(many) as pool:
            for asked in [pool.submit(read, client) for _ in range(many)]:
                assert isinstance(asked.exception(), SourceUnavailable)
    assert time.monotonic() - begun < timeout.total_seconds() * many / 2
