"""Calls to the Call Logger's REST API."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus

from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_result

from cdr.calls.body import CallBody, body_of
from cdr.calls.call import Call
from cdr.edges.call_logger.answers import (
    Meaning,
    error_of,
    error_of_harmless,
    is_of_another,
    meaning_of,
    object_in,
)
from cdr.edges.http_client import Answer, HttpClient, HttpFailure, NeverSent, Unanswered
from cdr.submission.ports import Accepted, Visit
from shared.clock import Clock
from shared.errors import NoTimeLeft

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 10.0

UNPACKED = {"Accept-Encoding": "identity"}
"""Whether a body is empty decides what some answers mean, so none is asked for that has to be unpacked first."""


class RestCallApi:
    """A CallApi.

    ``attempts`` counts the first one too; ``timeout`` is that of one attempt, from connecting to the last byte of the
    answer, by the ``monotonic`` clock. ``random`` yields numbers from 0 up to 1.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: timedelta,
        attempts: int,
        auth: AuthBase,
        clock: Clock,
        ca_file: str | None = None,
        random: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = HttpClient(base_url, timeout=timeout, auth=auth, ca_file=ca_file, monotonic=monotonic)
        self._timeout = timeout
        self._monotonic = monotonic
        self._attempts = attempts
        self._clock = clock
        self._random = random

    def submit(self, call: Call, *, give_up_at: datetime, patient: bool = True, visit: Visit | None = None) -> Accepted:
        """What is certainly not in, and only that, is tried again in place. No attempt goes on after ``give_up_at``."""

        def is_last(state: RetryCallState) -> bool:
            return not patient or state.attempt_number >= self._attempts or self._would_outlast(state, give_up_at)

        retrying = Retrying(
            retry=retry_if_result(lambda outcome: meaning_of(outcome) is Meaning.NOT_IN),
            wait=lambda state: wait_before_next(state.attempt_number, self._random).total_seconds(),
            stop=is_last,
            sleep=self._clock.sleep,
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        visit, began = visit or Visit(), self._monotonic()
        try:
            outcome: Answer | HttpFailure = retrying(self._post, body_of(call), give_up_at, visit)
        finally:
            visit.took = timedelta(seconds=self._monotonic() - began)
        meaning = meaning_of(outcome)
        if isinstance(outcome, Answer) and meaning in (Meaning.IN, Meaning.IN_BEFORE):
            return Accepted(_entry_id(outcome), earlier=meaning is Meaning.IN_BEFORE)
        if isinstance(outcome, NeverSent) and self._clock.now() >= give_up_at:
            # No word on the API: time stood still here.
            raise NoTimeLeft("not sent: when it was about to be, the time for it was over") from outcome
        raise error_of(outcome, self._clock.now()) from _cause(outcome)

    def check_health(self) -> None:
        try:
            outcome: Answer | HttpFailure = self._http.exchange("GET", "/health")
        except HttpFailure as exc:
            outcome = exc
        if isinstance(outcome, HttpFailure) or outcome.status != HTTPStatus.OK or object_in(outcome) is None:
            raise error_of_harmless(outcome, self._clock.now()) from _cause(outcome)

    def _post(self, body: CallBody, give_up_at: datetime, visit: Visit) -> Answer | HttpFailure:
        """Frozen for a while, on whatever line of this process, it does not go out after ``give_up_at``: then somebody
        else may have the call."""

        def is_in_time() -> bool:
            return self._clock.now() < give_up_at

        visit.tries += 1
        within = min(self._timeout, give_up_at - self._clock.now())
        try:
            answer = self._http.exchange(
                "POST", "/calls/from-pbx", json=body, headers=UNPACKED, timeout=within, may_send=is_in_time
            )
        except HttpFailure as exc:
            return exc
        if is_of_another(answer, body["pbxCallId"]):
            return Unanswered("what came is the answer to another call")
        return answer

    def _would_outlast(self, state: RetryCallState, give_up_at: datetime) -> bool:
        """Whether another attempt after the wait could end too late."""
        return self._clock.now() + timedelta(seconds=state.upcoming_sleep) + self._timeout > give_up_at


def wait_before_next(attempt: int, random: Callable[[], float]) -> timedelta:
    """A second after the first attempt, doubling, and up to a second more, so that not all come back at once."""
    return timedelta(seconds=min(FIRST_WAIT_S * 2 ** (attempt - 1) + random(), LONGEST_WAIT_S))


def _entry_id(answer: Answer) -> str | None:
    """The API's own id of the entry, where it says it as one would."""
    found = (object_in(answer) or {}).get("id")
    return str(found) if isinstance(found, str | int) and re.fullmatch(r"[\w-]{1,64}", str(found)) else None


def _cause(outcome: Answer | HttpFailure) -> HttpFailure | None:
    return outcome if isinstance(outcome, HttpFailure) else None
