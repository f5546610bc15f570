"""What an answer to a submission means for the call. Pure, and total: whatever comes has one meaning.

Certain is only what the Call Logger says itself: 201 with the entry and its id, 409 with nothing, 400 with JSON, and
500 (the work was rolled back) with nothing or with JSON: its framework's report has ``timestamp``, ``status``,
``error``, ``path``.
All else was said by something in between, which does not know what the Call Logger did, or is doing still.

    never sent    NOT_IN: nobody has seen the call
    unanswered    MAYBE_IN: it may be in, or on its way in; also where an answer began and broke off

    status        no body    own report  with an id  other JSON {}  anything else
    201           TAKEN      TAKEN       IN          TAKEN          TAKEN          a page is no entry
    409           IN_BEFORE  ELSEWHERE   ELSEWHERE   ELSEWHERE      ELSEWHERE      delivery networks, of a lost origin
    400 422       ELSEWHERE  REFUSED     REFUSED     REFUSED        ELSEWHERE      as HTML: TLS is spoken on that port
    401 403       DENIED     DENIED      DENIED      DENIED         DENIED         whoever says so
    429           BUSY       BUSY        BUSY        BUSY           BUSY           at a door before the Call Logger's
    500           NOT_IN     NOT_IN      NOT_YET_IN  NOT_YET_IN     MAYBE_IN       gateways too, a few of them in JSON
    408 425 499   MAYBE_IN   MAYBE_IN    MAYBE_IN    MAYBE_IN       MAYBE_IN       whose patience ended, not the work
    501-999       MAYBE_IN   MAYBE_IN    MAYBE_IN    MAYBE_IN       MAYBE_IN       the same
    100-199       MAYBE_IN   MAYBE_IN    MAYBE_IN    MAYBE_IN       MAYBE_IN       the answer is still to come
    200 202-299   TAKEN      TAKEN       TAKEN       TAKEN          TAKEN          it may be passed on later
    the rest      ELSEWHERE  ELSEWHERE   ELSEWHERE   ELSEWHERE      ELSEWHERE      redirections, 404: path, method, host

ELSEWHERE is a wrong address: it neither rejects a call nor settles it. TAKEN is one too, or else somebody has taken the
call and passes it on: it waits like what may be in, and is never counted as submitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from cdr.edges.http_client import UNAUTHORIZED, Answer, HttpFailure, NeverSent
from shared.errors import (
    ApiDenied,
    ApiFailed,
    ApiRejected,
    ApiUnreachable,
    PipelineError,
    SubmissionUnknown,
    TakenElsewhere,
)

PROXY_UNAUTHORIZED = 407

LONGEST_ASKED_S = 1e9
"""What asks for more means "for ever", and is asked again all the same."""

OWN_REPORT = frozenset({"timestamp", "status", "error", "path"})


class Meaning(StrEnum):
    IN = "in"
    """The call is in, by this submission."""
    IN_BEFORE = "in before"
    NOT_IN = "not in"
    """Certainly, so that it may be sent again at once."""
    NOT_YET_IN = "not yet in"
    """Not in, if the Call Logger said so: it may be sent again, but not at once, in case it was a gateway."""
    BUSY = "busy"
    """Not in, and not to be sent again before the time that was asked for."""
    MAYBE_IN = "maybe in"
    """In, or on its way in: not to be sent again before the claim's lease has ended."""
    TAKEN = "taken"
    """By somebody who is not the Call Logger: the same, and a matter of the address."""
    REFUSED = "refused"
    """The Call Logger will never take this call."""
    DENIED = "denied"
    ELSEWHERE = "elsewhere"


def meaning_of(outcome: Answer | HttpFailure) -> Meaning:  # noqa: PLR0911 - a table
    if isinstance(outcome, HttpFailure):
        return Meaning.NOT_IN if isinstance(outcome, NeverSent) else Meaning.MAYBE_IN
    said = object_in(outcome)
    match outcome.status:
        case 201:
            return Meaning.IN if _has_id(said) else Meaning.TAKEN
        case 409:
            return Meaning.ELSEWHERE if outcome.body else Meaning.IN_BEFORE
        case 400 | 422:
            return Meaning.ELSEWHERE if said is None else Meaning.REFUSED
        case 401 | 403:
            return Meaning.DENIED
        case 429:
            return Meaning.BUSY
        case 500 if not outcome.body or said is not None:
            return Meaning.NOT_IN if not outcome.body or _is_own_report(said) else Meaning.NOT_YET_IN
        case 408 | 425 | 499:
            return Meaning.MAYBE_IN
        case _ if outcome.is_success:
            return Meaning.TAKEN
    is_open = outcome.status < 200 or outcome.status >= 500  # noqa: PLR2004 - HTTP's own numbers
    return Meaning.MAYBE_IN if is_open else Meaning.ELSEWHERE


def is_of_another(answer: Answer, pbx_call_id: str) -> bool:
    """Whether it names another call as the one that it speaks of: a gateway that shares its connections has mixed up
    answers. Of ours that one says nothing."""
    said = object_in(answer) if answer.status == 201 else None  # noqa: PLR2004 - HTTP's own numbers
    named = (said or {}).get("pbxCallId")
    return isinstance(named, str) and named.strip() != pbx_call_id.strip()


def _has_id(said: Mapping[str, object] | None) -> bool:
    found = said.get("id") if said is not None else None
    return isinstance(found, str | int) and not isinstance(found, bool) and found != ""


def _is_own_report(said: Mapping[str, object] | None) -> bool:
    return said is not None and said.keys() >= OWN_REPORT


def error_of(outcome: Answer | HttpFailure, now: datetime) -> PipelineError:  # noqa: PLR0911 - a table
    """What a submission raises that did not get in, or did not for certain."""
    if isinstance(outcome, NeverSent):
        return ApiUnreachable(f"the API was not reached; check api.base_url and the network ({outcome})")
    if isinstance(outcome, HttpFailure):
        return SubmissionUnknown(f"it was sent, but no whole answer came ({outcome})")
    said = f"the API answered {outcome.status}"
    match meaning_of(outcome):
        case Meaning.REFUSED:
            return ApiRejected(f"{said}: {outcome.words}")
        case Meaning.DENIED:
            # A 401 is of credentials alone; a 403 may be a firewall's that dislikes what one call says.
            return ApiDenied(f"{said}: check api.auth", of_all=outcome.status == UNAUTHORIZED)
        case _ if outcome.status == PROXY_UNAUTHORIZED:
            return ApiDenied(
                f"{said}: the proxy of HTTP_PROXY or HTTPS_PROXY wants a user and a password in its address"
            )
        case Meaning.BUSY:
            return ApiUnreachable(f"{said}: too many requests", wait_asked_for(outcome, now))
        case Meaning.NOT_IN | Meaning.NOT_YET_IN:
            return ApiFailed(said)
        case Meaning.MAYBE_IN:
            words = f"{said}, or something before it did: it may be on its way in"
            return SubmissionUnknown(words, wait_asked_for(outcome, now))
        case Meaning.TAKEN:
            return TakenElsewhere(f"{_wrong_address(outcome)}; it may be on its way in")
        case _:
            return ApiDenied(_wrong_address(outcome))


def error_of_harmless(outcome: Answer | HttpFailure, now: datetime) -> PipelineError:
    """The same of what may be asked for as often as one likes."""
    error = error_of(outcome, now)
    if isinstance(error, TakenElsewhere) and isinstance(outcome, Answer):
        return ApiDenied(_wrong_address(outcome))
    return ApiUnreachable(str(error), error.retry_after) if isinstance(error, SubmissionUnknown) else error


def _wrong_address(answer: Answer) -> str:
    said = f"the API answered {answer.status}: check api.base_url"
    if 300 <= answer.status < 400:  # noqa: PLR2004 - HTTP's own numbers
        return f"{said} (a redirection{_target_of(answer)})"
    return f"{said} (the Call Logger does not say so with {_kind_of(answer)})"


def _target_of(answer: Answer) -> str:
    """The host that it points to: what comes before and after it may be a secret."""
    found = re.match(
        r"https?://(?:[^/?#@]*@)?([a-z0-9.-]{1,100})(?=[:/?#]|$)", answer.headers.get("Location", ""), re.IGNORECASE
    )
    return f" to {found[1]}" if found else ""


def object_in(answer: Answer) -> Mapping[str, object] | None:
    """The JSON object that an answer holds. One that is said to be of another type is none, whatever it looks like; nor
    is a gateway's own, as Azure API Management's, in whose words a status is a statusCode."""
    if answer.content_type not in ("", "application/json") and not answer.content_type.endswith("+json"):
        return None
    try:
        found = answer.json()
    except ValueError:
        return None
    is_own = isinstance(found, dict) and ("statusCode" not in found or _is_own_report(found))
    return found if is_own else None


def wait_asked_for(answer: Answer, now: datetime) -> timedelta | None:
    """``Retry-After``: seconds, or an HTTP date; anything else is as good as nothing. Of several the longest. A date is
    one of the clock of whoever answers, which may be hours from ours, and says in ``Date`` what time it is there."""
    header = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?( *, *[0-9]+(\.[0-9]*)?)*", header):
        return timedelta(seconds=min(max(map(float, header.split(","))), LONGEST_ASKED_S))
    if (moment := _date_in(header)) is None:
        return None
    return max(timedelta(), moment - (_date_in(answer.headers.get("Date", "")) or now))


def _date_in(header: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(header)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _kind_of(answer: Answer) -> str:
    if not answer.body:
        return "no body"
    found = re.fullmatch(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,40}", answer.content_type)
    return found[0] if found else "such a body"
