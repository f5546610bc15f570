"""What can go wrong, named by what the receiver should do.

PipelineError
    ConfigError              a person must act: the message names the setting
        InvalidConfig        the configuration file holds mistakes; all of them at once
        SourceMisconfigured  the database answers, but refuses: login, table, column, certificate
            SourceVanished   it has no such table or column (any more)
            NoSuchStart      it has no place like the one where reading is to begin
        PositionUnreadable   what is stored of how far the phone system was read makes no sense
        PositionOfAnotherSource  it was stored by a source of another kind
        ApiDenied            401 or 403: an operator's problem, never this call's fault
    DaysForgotten            what is asked for is older than what the ledger keeps
    NoSuchCalls              nothing was rejected that is called so
    TransientError           the same input may work later: raise it, the host or the next tick tries again
        SourceUnavailable    the database cannot be reached or took too long
        StorageUnavailable   the same of the queue or a table
        PositionFull         too many open rows and missing ids to remember; the poll waits for some to settle
        LeaseHeld            another poll, or check of call groups, is at work
        LeaseLost            another one has taken over
        ApiUnavailable       not reached, or not tried: certainly not in, so the claim can be given back
            ApiUnreachable   not reached: an outage, and no matter of what it was asked for
            ApiFailed        the API itself answered that it failed at this call, and perhaps only at this one
        SubmissionUnknown    sent, but no answer: the claim is kept until its lease ends, because the API may still be
                             inserting, and two submissions of one call at the same moment can both get in
            TakenElsewhere   the same, by somebody who took it and is not the Call Logger: perhaps a wrong address
        NoTimeLeft           not sent, because it might outlast the claim
        PartHeld             a worker has what turned out to be a part of this call: wait for him
        PhoneBookUnread      whose extension it is may stand in the phone system, which has never told so far
        TooManyRejections    something else than the calls must be wrong: stop rejecting, call a person
        NoticeFailed         a webhook did not take a notice; never holds anything up
    PermanentError           this input will never work as it is: record it with its reason, and go on
        InvalidMessage       not a message of ours, or of an unknown version
        InvalidRow           a field that cannot make a call
        UnmappedExtension    the call's extension has no e-mail address, in the configuration or the phone system
        ApiRejected          a validation refusal, with the API's own words
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta


class PipelineError(Exception):
    """Base of all errors that this application raises on purpose."""


def named(error: Exception) -> str:
    """What it is, and what it says."""
    return f"{type(error).__name__}: {error}"


class ConfigError(PipelineError):
    """A person must act; the message names the setting."""


class InvalidConfig(ConfigError):
    """The configuration is not usable; ``mistakes`` has one line for each mistake, with its path in the file."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(mistakes))


class SourceMisconfigured(ConfigError):
    """The database refuses what the configuration asks of it."""


class SourceVanished(SourceMisconfigured):
    """The database has no such table, or no such column: it was renamed, moved or dropped, or never was there."""


class PositionUnreadable(ConfigError):
    """The stored position is damaged, or was written by a newer version."""

    def __init__(self) -> None:
        super().__init__("the stored position is damaged: start over at a point of your choice")


class PositionOfAnotherSource(ConfigError):
    """The stored position can only be read by the kind of source that stored it."""


class NoSuchStart(SourceMisconfigured):
    """The source has no place like the one where reading is to begin."""


class ApiDenied(ConfigError):
    """The Call Logger refuses our credentials, or what answers is not the Call Logger. ``of_all``: that has nothing to
    do with the call that it was said to."""

    def __init__(self, message: str, *, of_all: bool = False) -> None:
        self.of_all = of_all
        super().__init__(message)


class DaysForgotten(PipelineError):
    """What is asked for is so long ago that the ledger may have forgotten it."""


class NoSuchCalls(PipelineError):
    """Nothing was rejected that is called so; ``there`` says how many calls were, by reason."""

    def __init__(self, message: str, there: Mapping[str, int]) -> None:
        self.there = dict(there)
        super().__init__(message)


class TransientError(PipelineError):
    """The same input may work later."""


class SourceUnavailable(TransientError):
    """The database cannot be reached, or took longer than the statement timeout."""


class StorageUnavailable(TransientError):
    """The queue or the table service does not do its work."""


class PositionFull(TransientError):
    """The position does not fit into its table entity."""


class LeaseHeld(TransientError):
    """Another instance holds the lease, until a moment (aware, UTC) where that is known."""

    def __init__(self, message: str, until: datetime | None = None) -> None:
        self.until = until
        super().__init__(message)


class LeaseLost(TransientError):
    """What was leased was changed by another instance since."""


class ApiUnavailable(TransientError):
    """The call is certainly not in and not on its way in. ``retry_after`` is how long the API asked not to be asked."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class ApiFailed(ApiUnavailable):
    """The API's own answer is that it failed at this call, which is therefore not in."""


class ApiUnreachable(ApiUnavailable):
    """The API was not reached, or said nothing itself: an outage, and no matter of what it was asked for."""


class SubmissionUnknown(TransientError):
    """The call was sent and no answer came: it may be in, or still on its way in. ``retry_after`` as in ApiUnavailable,
    where something in between said so."""

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TakenElsewhere(SubmissionUnknown):
    """What answers is not the Call Logger, and took the call: perhaps it passes it on, perhaps the address is wrong."""


class NoTimeLeft(TransientError):
    """So little of the claim is left that the call was not sent: another delivery has all of it."""


class PartHeld(TransientError):
    """A worker has at this moment what turned out to be a part of the call."""


class PhoneBookUnread(TransientError):
    """The file does not map the extension, and the phone system, which may, was never read."""

    def __init__(self, extension: str) -> None:
        self.extension = extension
        super().__init__(
            f"extension {extension} has no address in extension_mapping, and the phone system has not told its own yet"
        )


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

    def __init__(self, extension: str, elsewhere: str = "") -> None:
        self.extension = extension
        super().__init__(f"extension {extension} has no address in extension_mapping{elsewhere}")


class ApiRejected(PermanentError):
    reason = "refused_by_api"
