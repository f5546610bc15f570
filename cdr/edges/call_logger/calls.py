"""The Call Logger's REST API over one pooled session.

What matters most is to tell three failures apart: the call never reached the API, the API answered that it failed, and
the call was sent but no answer came. After the first two it may be sent again at once; after the last it may not.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential_jitter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

from cdr.calls.call import Call
from cdr.calls.rules import body_of
from cdr.submission.ports import Accepted
from shared.clock import Clock
from shared.errors import ApiDenied, ApiRejected, ApiUnavailable, PipelineError, SubmissionUnknown

POOL_SIZE = 32
CONNECT_TIMEOUT_S = 5.0
LONGEST_WAIT_S = 10.0
MAX_ANSWER_BYTES = 65_536

WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
"""Beside 5xx: statuses that say so themselves."""

NOT_THE_API = frozenset({404, 405, 407})
"""What answers like this, or with a redirection, or with a success that is no 201, is not the Call Logger: a wrong
address must neither reject calls nor settle them."""

BEFORE_SENDING = (
    requests.ConnectTimeout,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
)


class RestCallApi:
    """A CallApi. ``attempts`` counts the first one too; ``timeout`` is that of one request."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: timedelta,
        attempts: int,
        auth: AuthBase,
        clock: Clock,
        ca_file: str | None = None,
    ) -> None:
        self._base_url = base_url
        self._timeout = timeout
        self._attempts = attempts
        self._clock = clock
        self._session = make_session(auth, ca_file)

    def submit(self, call: Call, *, give_up_at: datetime, patient: bool = True) -> Accepted:
        body = body_of(call)
        retrying = Retrying(
            retry=retry_if_exception_type(ApiUnavailable),
            wait=_wait,
            stop=lambda state: not patient or self._is_last(state, give_up_at),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return retrying(self._submit_once, body)

    def check_health(self) -> None:
        try:
            answer = self._session.get(
                f"{self._base_url}/health", timeout=self._timeouts(), stream=True, allow_redirects=False
            )
        except requests.RequestException as exc:
            raise ApiUnavailable(never_reached(exc)) from exc
        with answer:
            if answer.status_code != requests.codes.ok:
                raise failure(answer.status_code, "", None)

    def _submit_once(self, body: Mapping[str, Any]) -> Accepted:
        try:
            answer = self._session.post(
                f"{self._base_url}/calls/from-pbx",
                json=body,
                timeout=self._timeouts(),
                stream=True,
                allow_redirects=False,
            )
        except requests.RequestException as exc:
            raise submission_error(exc) from exc
        with answer:
            text = _text_of(answer, self._timeout)
            if answer.status_code == requests.codes.created:
                return Accepted(_entry_id(text), earlier=False)
            if answer.status_code == requests.codes.conflict:
                return Accepted(None, earlier=True)
            raise failure(answer.status_code, text, _retry_after(answer.headers.get("Retry-After"), self._clock.now()))

    def _is_last(self, state: RetryCallState, give_up_at: datetime) -> bool:
        """Whether the tries are spent, or another could outlast the time that this worker has."""
        another_ends = timedelta(seconds=state.upcoming_sleep + CONNECT_TIMEOUT_S) + self._timeout
        return state.attempt_number >= self._attempts or another_ends > give_up_at - self._clock.now()

    def _timeouts(self) -> tuple[float, float]:
        seconds = self._timeout.total_seconds()
        return min(CONNECT_TIMEOUT_S, seconds), seconds


class _Session(requests.Session):
    """A session whose own certificates go before those of REQUESTS_CA_BUNDLE; requests has it the other way round."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        own = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, own, cert)


def make_session(auth: AuthBase, ca_file: str | None) -> requests.Session:
    session = _Session()
    session.auth = auth
    session.verify = ca_file or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=POOL_SIZE))
    return session


_backoff = wait_exponential_jitter(initial=1, max=LONGEST_WAIT_S, jitter=1)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ApiUnavailable) and error.retry_after is not None:
        return max(0.0, error.retry_after.total_seconds())
    return _backoff(state)


def submission_error(error: requests.RequestException) -> ApiUnavailable | SubmissionUnknown:
    """What a failed request means for the call. Only what surely never left this machine is safe to send again."""
    if _was_never_sent(error):
        return ApiUnavailable(never_reached(error))
    return SubmissionUnknown(f"the call was sent and no answer came ({type(error).__name__})")


def _was_never_sent(error: requests.RequestException) -> bool:
    """Whether no connection was made: requests wraps urllib3's MaxRetryError, which has the reason."""
    if isinstance(error, BEFORE_SENDING):
        return True
    wrapped = error.args[0] if error.args else None
    reason = getattr(wrapped, "reason", None)
    reason = getattr(reason, "original_error", reason)  # behind a proxy
    if isinstance(reason, SSLError):
        reason = reason.args[0] if reason.args else reason
    return isinstance(reason, NewConnectionError | ConnectTimeoutError | ssl.SSLCertVerificationError)


def never_reached(error: requests.RequestException) -> str:
    return f"the API was not reached; check api.base_url and the network ({type(error).__name__})"


def failure(status: int, text: str, retry_after: timedelta | None) -> PipelineError:
    """What an answer that is no success means."""
    if status in (401, 403):
        return ApiDenied(f"the API answered {status}: check api.auth")
    if status < requests.codes.bad_request or status in NOT_THE_API:
        return ApiDenied(f"the API answered {status}: check api.base_url")
    if status == requests.codes.gateway_timeout:
        return SubmissionUnknown("a gateway gave up waiting for the API (504); the call may be on its way in")
    if status in WORTH_ANOTHER_TRY or status >= requests.codes.internal_server_error:
        return ApiUnavailable(f"the API answered {status}", retry_after)
    return ApiRejected(f"the API answered {status}: {text}")


def _retry_after(header: str | None, now: datetime) -> timedelta | None:
    """Seconds or an HTTP date; anything else is as good as nothing."""
    if header is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", header):
        return timedelta(seconds=int(header))
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now


def limited_body(answer: requests.Response, most_bytes: int) -> bytes:
    """The body of an answer to a request with ``stream``; one that is longer is cut off, in time to save the memory."""
    raw = bytearray()
    for piece in answer.iter_content(65_536):
        raw += piece
        if len(raw) >= most_bytes:
            break
    return bytes(raw[:most_bytes])


def _text_of(answer: requests.Response, within: timedelta) -> str:
    """The API's words on one line. The status says how the call went, so a body that breaks off changes nothing.

    It is read byte by byte: a longer piece is only handed over once it is full, which an API that sends a byte every
    few seconds would put off beyond the end of the claim.
    """
    raw = bytearray()
    ends = time.monotonic() + within.total_seconds()
    try:
        for piece in answer.iter_content(1):
            raw += piece
            if len(raw) >= MAX_ANSWER_BYTES or time.monotonic() > ends:
                break
    except requests.RequestException:
        pass
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", raw.decode("utf-8", "replace")).strip()


def _entry_id(text: str) -> str | None:
    found = re.search(r'"id"\s*:\s*"?([\w-]{1,64})', text)
    return found[1] if found else None
