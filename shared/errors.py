"""What can go wrong, named by what the receiver should do.

PipelineError
    ConfigError              a person must act: the message names the setting
        InvalidConfig        the configuration file holds mistakes; all of them at once
        SourceMisconfigured  the database answers, but refuses: login, table, column, certificate
        ApiDenied            401 or 403: an operator's problem, never this call's fault
    TransientError           the same input may work later: raise it, the host or the next tick tries again
        SourceUnavailable    the database cannot be reached or took too long
        StorageUnavailable   the same of the queue or a table
        CheckpointFull       too many open rows and missing ids to remember; the poll waits for some to settle
        LeaseHeld            another poll, or check of call groups, is at work
        LeaseLost            another one has taken over
        ApiUnavailable       never reached, or answered with a failure: the claim can be given back
            ApiUnreachable   no answer of its own at all: whoever asks next has to wait for his as long
        SubmissionUnknown    sent, but no answer: the claim is kept until its lease ends, because the API may still be
                             inserting, and two submissions of one call at the same moment can both get in
        ClaimHeld            another worker has this call
        TooManyRejections    something else than the calls must be wrong: stop rejecting, call a person
        NoticeFailed         a webhook did not take a notice; never holds anything up
    PermanentError           this input will never work as it is: record it with its reason, and go on
        InvalidMessage       not a message of ours, or of an unknown version
        InvalidRow           a field that cannot make a call
        UnmappedExtension    the call's extension has no e-mail address in the configuration
        ApiRejected          a validation refusal, with the API's own words
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta


class PipelineError(Exception):
    """Base of all errors that this application raises on purpose."""


class ConfigError(PipelineError):
    """A person must act; the message names the setting."""


class InvalidConfig(ConfigError):
    """The configuration is not usable; ``mistakes`` has one line for each mistake, with its path in the file."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(mistakes))


class SourceMisconfigured(ConfigError):
    """The database refuses what the configuration asks of it."""


class ApiDenied(ConfigError):
    """The Call Logger refuses our credentials."""


class TransientError(PipelineError):
    """The same input may work later."""


class SourceUnavailable(TransientError):
    """The database cannot be reached, or took longer than the statement timeout."""


class StorageUnavailable(TransientError):
    """The queue or the table service does not do its work."""


class CheckpointFull(TransientError):
    """The checkpoint does not fit into its table entity."""


class LeaseHeld(TransientError):
    """Another instance holds the lease."""


class LeaseLost(TransientError):
    """What was leased was changed by another instance since."""


class ApiUnavailable(TransientError):
    """The API was not reached or answered with a failure, so the call is certainly not being inserted any more."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class ApiUnreachable(ApiUnavailable):
    """The API was not reached, or said nothing itself: an outage, and no matter of what it was asked for."""


class SubmissionUnknown(TransientError):
    """The call was sent and no answer came: it may be in, or still on its way in."""


class ClaimHeld(TransientError):
    """Another worker holds the claim on this call; ``until`` (aware, UTC) where that is known."""

    def __init__(self, message: str, until: datetime | None = None) -> None:
        self.until = until
        super().__init__(message)


class TooManyRejections(TransientError):
    """So many calls were rejected lately that something else than the calls must be wrong."""


class NoticeFailed(TransientError):
    """Not every webhook took a notice."""


class PermanentError(PipelineError):
    """This input will never work as it is.

    ``reason`` is one word for grouping; the message says it in full.
    """

    reason = "rejected"


class InvalidMessage(PermanentError):
    reason = "invalid_message"


class InvalidRow(PermanentError):
    """A column of the row that cannot make a call; the message starts with the canonical column name."""

    reason = "invalid_row"

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(f"{field}: {problem}")


class UnmappedExtension(PermanentError):
    reason = "unmapped_extension"


class ApiRejected(PermanentError):
    reason = "refused_by_api"
