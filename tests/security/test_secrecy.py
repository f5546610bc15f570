"""The whole pipeline in good days and bad: all that it logs and answers is searched for secrets and phone numbers.

That /health says nothing but states is shown in tests/unit/web/test_routes.py, what a log line may hold in
tests/unit/shared.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest

from cdr.edges.storage.account import SETTING, StorageAccount
from cdr.wiring.parts import Parts
from local.azurite import ACCOUNT, ACCOUNT_KEY
from local.call_logger.faults import Fault, FaultKind
from tests.fakes.clock import HandMovedClock
from tests.functions.loaded_app import ROOT, LoadedApp
from tests.functions.surroundings import TOKEN, write_config
from tests.security.collected import Collected, collecting, forms_of
from tests.support.factories import make_message, make_raw_row
from tests.systems import mariadb as mariadb_program
from tests.systems import receiver
from tests.systems.phone_systems import CALLLOG
from tests.systems.receiver import Answer, Received
from tests.systems.storage import NEVER_AGAIN

PASSWORD = mariadb_program.PASSWORD
API_KEY = "api-key/+ 4b0f;'\"\\"
WEBHOOK = "hook-path-83xw"
WEBHOOK_QUERY = "hook-signature-1k9s"
CLIENT_SECRET = "xapi-secret-67gh&="
SIGNATURE = "c2lnbmF0dXJlLW9mLWEtU0FT/+x="
FUNCTION_KEY = "function-key-0a7d"
SECRETS = (PASSWORD, TOKEN, API_KEY, WEBHOOK, WEBHOOK_QUERY, CLIENT_SECRET, SIGNATURE, ACCOUNT_KEY, FUNCTION_KEY)

CALLER, CALLED, THIRD = "+1 907 888 3174", "+49 (0) 30 / 641-975-38", "0044.7700.964.813"
NUMBERS = (CALLER, CALLED, THIRD, "8675309421")

GROUPS = """
  members: {{source: xapi, url: "http://127.0.0.1:{port}", client_id: cdr, client_secret: '{client_secret}'}}
  notify: [{{type: json, url: "http://127.0.0.1:{port}/{webhook}?sig={query}"}}]
  grace_minutes: 0
business_hours: {{{week}}}
calls: {{max_rejections_per_minute: {limit}, phone_format: raw}}
"""
WEEK = ", ".join(
    f"{day}: {{start: '00:00', end: '23:59'}}"
    for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
)


def row(**changed: object) -> dict[str, object]:
    """The factory's own number is not among the ones that are looked for."""
    return make_raw_row(**{"caller_number": CALLER} | changed)


@pytest.fixture
def pbx(make_phone_system):
    """MariaDB, because it has a password; with a call of every kind."""
    rows = [
        row(),
        row(caller_number="101", dest_number=CALLED, extension="101", call_type=1),
        row(extension=THIRD),
        row(extension="199", hangup_cause=f"forwarded to {THIRD}"),
        row(caller_number=f"{CALLER} " * 10),
        row(call_id=None),
        row(duration_s=-1),
        row(answered=0),
        row(call_group_id=f"{THIRD} " * 10),
        row(extension="102", caller_number="8675309421"),
        row(ended_at=None),
    ]
    system = make_phone_system("mariadb")
    system.insert(*(one | {"id": n} for n, one in enumerate(rows, start=1)))
    return system


@pytest.fixture
def load(pbx, config_file: Path, call_logger, closed_port, clock) -> Callable[..., LoadedApp]:
    """The functions with every secret in their configuration, on a clock that nobody waits for."""

    def load(
        *, replaced: tuple[str, str] = ("", ""), limit: int = 60, api: str = call_logger.base_url, **database: object
    ) -> LoadedApp:
        more = GROUPS.format(
            port=closed_port, client_secret=CLIENT_SECRET, webhook=WEBHOOK, query=WEBHOOK_QUERY, limit=limit, week=WEEK
        )
        write_config(config_file, pbx.settings(**database), api)
        text = config_file.read_text().replace("extension_mapping:", f"{more.strip()}\nextension_mapping:")
        text = text.replace("source: xapi", "  source: xapi").replace("members: {", "  members: {", 1)
        config_file.write_text(text.replace(*replaced))
        app = LoadedApp()
        run_by(app, clock)
        return app

    return load


def run_by(app: LoadedApp, clock: HandMovedClock, changed: Mapping[str, str] | None = None) -> None:
    """On a clock that nobody waits for, with storage that is not asked twice."""
    environment = {**os.environ, **(changed or {})}
    account = StorageAccount(environment, NEVER_AGAIN)
    app.module.parts = Parts(environment, ROOT, clock=clock, account=account)


@pytest.fixture
def collected() -> Iterator[Collected]:
    """Nothing of what was let out may be a secret or a phone number."""
    with collecting() as handler:
        yield handler
    assert handler.texts
    assert handler.secrets(*SECRETS) == []
    assert handler.numbers(*NUMBERS) == []


def usable(app: LoadedApp) -> LoadedApp:
    assert app.parts.mistakes == ()
    return app


@pytest.fixture
def refusing() -> Iterator[Callable[[Callable[[Received], list[str]]], str]]:
    """Starts a Call Logger that refuses each call with these words; yields its address."""
    with receiver.start() as api:

        def refuse(words: Callable[[Received], list[str]]) -> str:
            def answer(request: Received) -> Answer:
                errors = [{"field": "phoneNumber", "defaultMessage": "no", "rejectedValue": w} for w in words(request)]
                return Answer(400, json.dumps({"status": 400, "error": "Bad Request", "errors": errors}))

            api.answer_with = answer
            return api.url

        yield refuse


# The search itself


def test_a_secret_is_found_in_whatever_form_it_is_let_out() -> None:
    collected = Collected()
    for form in forms_of(API_KEY):
        collected.texts = [f'{{"a": "x{form}y"}}']
        assert collected.secrets(API_KEY) == [API_KEY]


def test_a_number_is_found_by_six_of_its_digits() -> None:
    collected = Collected()
    for text in ("19078883174", "907-888-31", "(888) 3174", "+1 907.888"[3:] + ".3"):
        collected.texts = [text]
        assert collected.numbers(CALLER) == [CALLER]
    collected.texts = ["***74 88831"]
    assert collected.numbers(CALLER) == []


# Good days and bad


def test_calls_of_every_kind(load, collected, storage, call_logger):
    app = usable(load())
    collected.run(app, storage)
    assert {"submitted", "rejected", "skipped"} <= set(storage.states())
    for extension in (THIRD, "101"):
        collected.deliver(app, "keep_poisoned", make_message(id=90, caller_number=CALLER, extension=extension))
    assert any("***74" in text for text in collected.texts)


def test_an_api_that_repeats_what_it_was_sent(load, collected, storage, refusing):
    def repeat(request: Received) -> list[str]:
        number = json.loads(request.body)["phoneNumber"] if request.body else ""
        return [number, f"call {CALLED} or tel:{THIRD};ext=1", request.body.decode(), "a\r\nb", str(request.headers)]

    collected.run(usable(load(api=refusing(repeat))), storage)
    assert "refused_by_api" in {record.reason for record in storage.ledger()}
    assert CALLER in "".join(record.detail for record in storage.ledger())


def test_more_rejections_than_the_limit_allows(load, collected, storage):
    app = usable(load(limit=1))
    for number in range(3):
        app.deliver("submit_call", json.dumps({"version": f"x{CALLER}", "n": number}))
        app.deliver("submit_call", make_message(id=number, extension=THIRD))
    collected.run(app, storage)
    assert any("rejections.stopped" in text for text in collected.texts)


def test_an_api_that_cuts_off_or_is_gone(load, collected, storage, call_logger, clock):
    call_logger.faults.stand(Fault(kind=FaultKind.RESET_AFTER_WORK))
    app = load()
    collected.run(app, storage)
    call_logger.stop()
    clock.move(timedelta(minutes=1))
    collected.run(app, storage)
    assert 503 in collected.statuses


@dataclass(frozen=True)
class Day:
    """What is wrong on it, in the configuration or at the API, and a word of what is said then."""

    says: str = ""
    replaced: tuple[str, str] = ("", "")
    database: Mapping[str, object] = field(default_factory=dict)
    select: str = ""
    status: int = 0


BEARER = f"{{type: bearer, token: {TOKEN}}}"
DAYS = {
    "api key": Day("call.put_back", (BEARER, f"{{type: api_key, key: {json.dumps(API_KEY)}}}")),
    "api key, other header": Day("", (BEARER, f"{{type: api_key, header: X-Other, key: {json.dumps(API_KEY)}}}")),
    **{f"api answers {status}": Day("call.", status=status) for status in (302, 401, 500, 504)},
    "user": Day("poll.failed", database={"username": "nobody"}),
    "password": Day("poll.failed", database={"password": "wrong-" + API_KEY}),
    "database": Day("poll.failed", database={"database": "elsewhere"}),
    "host": Day("poll.failed", database={"host": "nobody.invalid"}),
    "port": Day("poll.failed", database={"port": 1}),
    "certificate": Day("poll.failed", database={"trust_server_certificate": False}),
    "engine": Day("poll.failed", database={"engine": "postgresql", "statement_timeout_seconds": 1}),
    "number for an id": Day("poll.failed", select=CALLLOG.replace("Id           AS id", "CallerNumber AS id")),
    "syntax": Day("poll.failed", select=f"{CALLLOG} WHERE AND CallerNumber = '{CALLER}'"),
    "a write": Day("poll.failed", select=f"DELETE FROM CallLog WHERE CallerNumber = '{CALLER}'"),
}


@pytest.mark.parametrize("day", DAYS.values(), ids=DAYS)
def test_a_bad_day(load, collected, storage, call_logger, tmp_path, day):  # noqa: PLR0917 - fixtures
    own = tmp_path / "own.sql"
    own.write_text(day.select)
    if day.status:
        answer = Fault(kind=FaultKind.ANSWER, status=day.status, headers={"Location": f"/{CALLER}"})
        call_logger.faults.stand(answer)
    app = usable(load(replaced=("3cx:\n", f"3cx:\n  schema: {own}\n") if day.select else day.replaced, **day.database))
    app.deliver("submit_call", make_message(id=70, caller_number=CALLER))
    collected.run(app, storage)
    assert any(day.says in text for text in collected.texts)
    assert day.says != "poll.failed" or 503 in collected.statuses


def test_garbage_on_the_queues(load, collected, storage):
    app = load()
    for text in (CALLER, f'{{"version": "{CALLER}"}}', f'"{CALLED}"', f'{{"tel": "{THIRD}"', f"<a>{CALLER}</a>"):
        app.deliver("submit_call", text)
        app.deliver("keep_poisoned", text + " ")
    collected.run(app, storage)
    assert CALLER in "".join(record.message for record in storage.ledger())


@pytest.fixture(
    params=[
        f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};",
        f"SharedAccessSignature=sv=2024-11-04&sig={SIGNATURE};",
    ],
    ids=["key", "shared access signature"],
)
def gone(request, closed_port) -> str:
    """The connection string of an account that nobody serves."""
    where = "".join(f"{name}Endpoint=http://127.0.0.1:{closed_port}/{ACCOUNT};" for name in ("Queue", "Table"))
    return f"DefaultEndpointsProtocol=http;{request.param}{where}"


def test_storage_that_is_gone(load, collected, storage, gone, clock):
    app = load()
    app.tick("poll_cdr")
    waiting = list(storage.take())
    run_by(app, clock, {SETTING: gone})
    collected.run(app, None)
    for text in waiting:
        collected.deliver(app, "submit_call", text)
    assert any("StorageUnavailable" in text for text in collected.texts)


WRONG_KEY = ACCOUNT_KEY.replace("Eby8", "AAAA")


@pytest.mark.parametrize(
    "setting", ["", f"no connection string {ACCOUNT_KEY}", f"AccountKey={ACCOUNT_KEY}", "=", "with a wrong key"]
)
def test_a_storage_setting_that_is_none_or_a_key_that_is_refused(load, collected, storage, clock, setting):
    app = load()
    refused = storage.connection_string.replace(ACCOUNT_KEY, WRONG_KEY)
    run_by(app, clock, {SETTING: refused if setting == "with a wrong key" else setting})
    collected.run(app, None)
    assert collected.secrets(WRONG_KEY) == []


IN_PLACE_OF_A_TOKEN = (
    "{0}",
    "[{0}]",
    "{{type: bearer, token: [{0}]}}",
    "{{type: bearer, tokn: {0}}}",
    "{{type: api_key, token: {0}}}",
    '{{type: bearer, token: "{0}\\n"}}',
    '{{type: bearer, token: "{0} \\u2026"}}',
    "{{type: bearer, token: {0}, token: {0}}}",
    "{{type: bearer, token: *{0}}}",
    "{{type: bearer, token: '{0}}}",
)
BROKEN = [
    *((BEARER, broken.format(TOKEN)) for broken in IN_PLACE_OF_A_TOKEN),
    (f"password: {PASSWORD}", f"password: {{is: {PASSWORD}}}"),
    (f"password: {PASSWORD}", f"pasword: {PASSWORD}"),
    (f"password: {PASSWORD}", f"password: {PASSWORD}, port: {PASSWORD}"),
    (f"client_secret: '{CLIENT_SECRET}'", f"client_secret: ['{CLIENT_SECRET}']"),
    (f"client_secret: '{CLIENT_SECRET}'", f"secret: '{CLIENT_SECRET}'"),
    ('type: json, url: "http://', 'type: json, url: "ftp://'),
    ("type: json, url:", "type: jsn, url:"),
    ("type: json, url:", "type: json, address:"),
    ("notify: [{", "notify: [{name: x, "),
]


def test_a_broken_configuration(load, collected, storage, config_file):
    for right, wrong in BROKEN:
        app = load(replaced=(right, wrong))
        assert wrong in config_file.read_text()
        assert app.parts.mistakes
        collected.run(app, storage)
        assert any("config.invalid" in text for text in collected.texts)
        assert collected.secrets(*SECRETS) == [], wrong


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\u2028"])
def test_a_secret_with_a_line_break_is_a_mistake_and_fails_no_request(
    load, collected, storage, monkeypatch, line_break
):
    """As the file of a secret has one at its end. It would stand in full in the error of each request."""
    monkeypatch.setenv("CALL_LOGGER_TOKEN", TOKEN + line_break)
    app = load(replaced=(f"token: {TOKEN}", "token: '${CALL_LOGGER_TOKEN}'"))
    assert app.parts.mistakes[0].startswith("api.auth.token: holds ***: ")
    app.deliver("submit_call", make_message())
    collected.run(app, storage)


def test_a_webhook_and_a_phone_system_that_fail(load, collected, storage, clock):
    app = load()
    for _ in range(3):
        collected.run(app, storage)
        clock.move(timedelta(hours=1))
    assert any("notice.failed" in text for text in collected.texts)
    assert any("groups.unknown" in text for text in collected.texts)


def test_function_keys_in_addresses_and_numbers_that_are_asked_for(load, collected, storage):
    app = load()
    collected.run(app, storage)
    for function, more in product(("status", "rejected", "health"), ({}, {"surprise": "1"})):
        answer = app.ask(function, code=FUNCTION_KEY, **more)
        collected.texts += [answer.text, str(answer.headers)]
    assert CALLER in app.ask("rejected", reveal="true").text


def test_loggers_of_libraries_write_no_addresses_even_when_debugging_is_switched_on(app, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    for name in ("urllib3", "urllib3.connectionpool", "azure.core.pipeline.policies.http_logging_policy"):
        assert logging.getLogger(name).getEffectiveLevel() > logging.DEBUG


# Forged lines

FORGED = '{"event": "call.submitted", "call": "forged"}'
BEFORE_IT = (
    "x\n",
    "x\r\n",
    '"}\n',
    "x\u2028",
    "x\u2029",
    "x\x85",
    "x\x0b",
    "\x1b[2K\x1b[1A",
    "\x1b]0;title\x07",
    "\u202e",
    "x\\n",
)
FORGING = [*(before + FORGED for before in BEFORE_IT), f'", "event": "call.submitted", "x": "{FORGED}']


def test_no_value_of_a_record_or_a_message_forges_a_line_of_the_log(load, collected, storage, refusing):
    app = load(limit=1_000, api=refusing(lambda _: FORGING))
    before = len(collected.texts)
    columns = ("call_id", "caller_number", "extension", "duration_s", "id")
    for number, text in enumerate(FORGING):
        for place, column in enumerate(columns):
            app.deliver("submit_call", make_message(**{"id": number * 100 + place, column: text}))
        app.deliver("submit_call", text)
        app.deliver("keep_poisoned", json.dumps({"version": text}))
    for text in FORGING[:3]:
        app.ask("trigger_replay", "POST", {"reason": text})
        app.ask("trigger_replay", "POST", {"call": text})
    lines = [text.removeprefix("cdr ") for text in collected.texts[before:] if text.startswith("cdr ")]
    assert len(lines) > len(FORGING) * len(columns)
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["event"] != "call.submitted"
