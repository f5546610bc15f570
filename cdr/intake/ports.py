"""What the intake needs of the outside: the phone system, and a place for how far it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol

from cdr.calls.call import CallRecord
from cdr.intake.poll_history import NO_POLLS, PollHistory, PollReport
from shared.errors import PipelineError

Position = str
"""How far a source has been read, as text that only this source understands."""

StartFrom = Literal["beginning", "now"] | int | datetime
"""Where a first poll begins; an id means the rows after it, a moment is aware."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a source yields at a time. ``records`` may be empty: then only the position has moved.

    ``position`` is where to go on once the records are on the queue. ``read`` counts rows or legs. ``is_news`` False:
    it is of what was passed before, and who runs out of time takes one more, so that it keeps nobody from what is new.
    """

    records: Sequence[CallRecord]
    position: Position
    read: int
    is_news: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """A position for people: how far, how many calls are remembered because they are not over yet, and how many ids
    because they were missing."""

    position: int | str | None = None
    open_calls: int = 0
    missing_ids: int = 0


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a position is behind its source: ``behind`` in ids where the source has such, and since when (aware, UTC)
    the first call that waits has been over."""

    newest: int | str | None
    behind: int
    waiting_since: datetime | None


@dataclass(frozen=True, slots=True)
class Bearings:
    """Where a position stands in what its source holds now.

    ``read`` and ``newest`` are how far was read and the newest there is: ids, or times of ends (None: there are none).
    ``is_beyond``: the newest is before what was read. ``is_another``: where the position stands there is another call
    than the one that was read. ``newest_at`` is when the newest call began or ended (aware, UTC), where that is known;
    ``first_at`` is that of the very first one, if it lies before the position and nothing stands there any more.
    """

    read: int | datetime | None
    newest: int | datetime | None
    is_beyond: bool = False
    is_another: bool = False
    newest_at: datetime | None = None
    first_at: datetime | None = None


MOST_NAMELESS = 1_000


class Behind(NamedTuple):
    """How many rows there are in a place that reading has passed for good; after a while it is another place."""

    place: str
    rows: int


@dataclass(frozen=True, slots=True)
class Unread:
    """Rows that reading does not come by: ``nameless`` ones say of no call, and are counted up to MOST_NAMELESS; more
    than there were ``behind`` are late ones."""

    nameless: int = 0
    behind: Behind | None = None


class CallReader(Protocol):
    """An open connection to a phone system's calls.

    Every method raises SourceUnavailable (try later) or SourceMisconfigured (a person must act); those that are given a
    position also PositionUnreadable.
    """

    def begin(self, start: StartFrom) -> Position:
        """The position before the first batch of a first poll."""

    def batches(self, position: Position) -> Iterator[Batch]:
        """What has finished since, until there is no more.

        Who stops early goes on from the last batch that he took: nothing is lost. Every finished call comes at least
        once, and none comes unfinished, except one that is given up.
        """

    def has_passed(self, position: Position, record: CallRecord) -> bool:
        """Whether a poll has come by this call already, and will not come back to it."""

    def lag(self, position: Position | None) -> Lag: ...

    def bearings(self, position: Position) -> Bearings:
        """Whether this still is what the position was read from; by a look at its end, and no further."""

    def unread(self, position: Position) -> Unread:
        """What is counted of rows that no poll will come by, once in a while."""

    def ended_between(self, start: datetime, end: datetime) -> Iterator[Sequence[CallRecord]]:
        """Every call that ended from ``start`` to before ``end`` (aware), by pages."""

    def newest(self, limit: int) -> Sequence[CallRecord]:
        """Up to ``limit`` of the calls that are over, the newest first; perhaps fewer where few of many are over."""

    def again(self, record: CallRecord) -> Sequence[CallRecord]:
        """The records of a call that is over as they are now; none if the source does not say."""

    def check(self, position: Position | None = None) -> None:
        """Read as little as shows that it can be read, beyond the position where there is one."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a phone system is like. ``server`` says of which kind and version it is; ``tables`` are those that the
    login can read, by the source that reads them, ``now`` is its own time (aware, UTC), where these can be told."""

    server: str
    tables: Mapping[str, str] = field(default_factory=dict)
    now: datetime | None = None


class CallSource(Protocol):
    """A phone system. ``name`` says of which kind, and stands beside each position that comes from it."""

    @property
    def name(self) -> str: ...

    def connect(self) -> AbstractContextManager[CallReader]: ...

    def progress(self, position: Position) -> Progress:
        """:raises PositionUnreadable: it is none of this source's"""

    def about(self) -> SourceFacts:
        """:raises SourceUnavailable, SourceMisconfigured: it cannot be reached; that it has calls is not asked"""


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """A position, and the name of the source that can read it.

    ``began`` is where reading once began; what lies before it is of no interest. None: that was not noted.
    """

    source: str
    text: Position
    began: Position | None = None


Memory = str
"""What the watch over the source remembers from one poll to the next, as text that only it understands."""


class SourceWatch(Protocol):
    """What looks with each poll whether the source is still as it was, and whether it stands still."""

    def look(self, reader: CallReader, position: Position, memory: Memory, queued: int) -> Memory:
        """After a poll that began at a position and queued so many calls. Whatever fails here is no failure of the
        poll: nothing is raised."""

    def failed(self, memory: Memory, error: PipelineError) -> Memory:
        """After a poll that came to nothing, of a source that was read before. Nothing is raised."""

    def forget(self, memory: Memory) -> Memory:
        """Reading starts over, so what was found out about its position says nothing any more."""


@dataclass(frozen=True, slots=True)
class PositionLease:
    """The right to move the position; ``version`` is what the store compares. ``stored`` is None before the very first
    poll."""

    owner: str
    version: str
    stored: StoredPosition | None
    memory: Memory = ""
    history: PollHistory = NO_POLLS


@dataclass(frozen=True, slots=True)
class KeptPosition:
    """A position with what is kept beside it, for people: ``memory`` is empty before the first poll. ``older_at`` is
    when a poll of an earlier version was last found to have been there (aware, UTC)."""

    stored: StoredPosition | None = None
    report: PollReport | None = None
    memory: Memory = ""
    older_at: datetime | None = None
    history: PollHistory = NO_POLLS


class PositionStore(Protocol):
    """Where the position is kept, and who may move it. Every method may raise StorageUnavailable."""

    def lease(self, owner: str, now: datetime, duration: timedelta) -> PositionLease:
        """:raises LeaseHeld: another poll has it and its lease has not run out"""

    def check_size(self, position: Position) -> None:
        """:raises PositionFull: save would not find room for it"""

    def save(self, lease: PositionLease, stored: StoredPosition, now: datetime, duration: timedelta) -> PositionLease:
        """Move the position and renew the lease.

        :raises LeaseLost: another poll has taken over; nothing was saved
        """

    def release(self, lease: PositionLease, report: PollReport, memory: Memory | None = None) -> None:
        """Give the lease back with a report, and what is to be remembered if that has changed. A lease that was lost is
        none of our business any more: no error."""

    def read(self) -> KeptPosition: ...
