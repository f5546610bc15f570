"""Whether and when a message is tried again. Pure: nothing sleeps, nothing is logged here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cdr.calls.message import Message
from cdr.submission.ports import Held
from shared.errors import (
    ApiDenied,
    ApiFailed,
    ApiUnavailable,
    NoTimeLeft,
    PipelineError,
    StorageUnavailable,
    SubmissionUnknown,
)

Hindrance = PipelineError | Held
"""Why a call could not be settled now."""


@dataclass(frozen=True, slots=True)
class RetryPatience:
    """How long is waited, and how long at most in all.

    A delay starts at ``first_delay`` and doubles, to ``longest_delay`` where the API is at fault, and to
    ``longest_delay_alone`` where it may be the call: what always fails by itself must not keep the workers busy.
    """

    give_up_after: timedelta
    claim_lease: timedelta
    first_delay: timedelta
    longest_delay: timedelta
    longest_delay_alone: timedelta
    after_the_lease: timedelta


def is_given_up(hindrance: Hindrance, message: Message, now: datetime, patience: RetryPatience) -> bool:
    """Whether a call that could not be settled is not tried any more."""
    return _can_be_given_up(hindrance) and _age(message, now) >= patience.give_up_after


def delay_after(
    hindrance: Hindrance,
    message: Message,
    now: datetime,
    drawn: float,
    patience: RetryPatience,
    *,
    alone: bool = False,
    is_rest: bool = False,
) -> timedelta:
    """When a call that could not be settled is tried again.

    ``drawn`` is a random number from 0 up to 1. ``alone`` says that the API is not known to be down for others,
    ``is_rest`` that others of the message had their turn: who only waited for his is next. Where nobody had one,
    storage must be slow, and needs less to do.
    """
    if isinstance(hindrance, NoTimeLeft) and is_rest:
        return timedelta()
    longest = patience.longest_delay_alone if alone and _may_be_the_call(hindrance) else patience.longest_delay
    return max(_delay(message.tries, longest, drawn, patience), _before_that_in_vain(hindrance, now, patience))


def is_over(message: Message, unanswered_at: datetime, patience: RetryPatience) -> bool:
    """Whether a call that was sent without an answer is not even tried once more: it has had its last look, by a claim
    that was made when the time to give up had come."""
    return _age(message, unanswered_at) >= patience.give_up_after


def _can_be_given_up(hindrance: Hindrance) -> bool:
    """Not what is no fault of the call's, nor what may be on its way in: first its claim has to run out."""
    return not isinstance(hindrance, NoTimeLeft | StorageUnavailable | SubmissionUnknown | Held)


def _may_be_the_call(hindrance: Hindrance) -> bool:
    if isinstance(hindrance, ApiDenied):
        return not hindrance.of_all
    return isinstance(hindrance, ApiFailed | SubmissionUnknown)


def _age(message: Message, now: datetime) -> timedelta:
    return now - message.first_tried_at if message.first_tried_at else timedelta()


def _delay(tries: int, longest: timedelta, drawn: float, patience: RetryPatience) -> timedelta:
    """Less up to a fifth, so that not all messages come back at once."""
    doubled: timedelta = min(patience.first_delay * 2 ** min(tries, 10), longest)
    return doubled * (1 - drawn / 5)


def _before_that_in_vain(hindrance: Hindrance, now: datetime, patience: RetryPatience) -> timedelta:
    match hindrance:
        case SubmissionUnknown(retry_after=wait):
            asked = min(wait or timedelta(), patience.longest_delay_alone)
            return max(patience.claim_lease + patience.after_the_lease, asked)
        case Held(until=datetime() as until):
            return min(until - now + patience.after_the_lease, patience.longest_delay_alone)
        case ApiUnavailable(retry_after=timedelta() as wait):
            return min(wait, patience.longest_delay_alone)
    return timedelta()
