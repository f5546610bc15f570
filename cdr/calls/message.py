"""What travels on the queue: call detail records as JSON, with a version. Read and written here and nowhere else.

A message of one record has version 1, which version 1.0.0 of this app reads too; one of several has version 2.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self

from cdr.calls.call import COLUMNS, INTEGERS_BELOW, MAX_TEXT, UNDATED, CallKey, CallRecord, well_formed
from shared.errors import InvalidMessage

ONE, SEVERAL = 1, 2

MOST_RECORDS = 100
"""More than any version has packed into one message."""


@dataclass(frozen=True, slots=True)
class Message:
    """Call detail records, at least one, and what their message has been through.

    ``tries`` counts how often it was put back, since ``first_tried_at`` (aware, UTC). ``replay_of`` is the ledger's
    record that a replay comes from.
    """

    records: tuple[CallRecord, ...]
    tries: int = 0
    first_tried_at: datetime | None = None
    replay_of: CallKey | None = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """:raises InvalidMessage: for anything that to_text of this version or of 1.0.0 did not write"""
        body = _object_in(text)
        version = body.get("version")
        if type(version) is not int or version not in (ONE, SEVERAL):
            raise InvalidMessage(
                f"the message has version {str(version)[:20]!r}, this worker knows {ONE} and {SEVERAL}"
            )
        parts = [body] if version == ONE else _parts_in(body)
        return cls(tuple(_record_in(part) for part in parts), **_travels(body.get("travels")))

    def to_text(self) -> str:
        parts = [_as_part(record) for record in self.records]
        body = {"version": ONE, **parts[0]} if len(parts) == 1 else {"version": SEVERAL, "records": parts}
        if self.tries or self.first_tried_at or self.replay_of:
            body["travels"] = {
                "times_put_back": self.tries,
                "since": self.first_tried_at.isoformat() if self.first_tried_at else None,
                "replay_of": [self.replay_of.day, self.replay_of.name] if self.replay_of else None,
            }
        return _text_of(body)

    def again(self, now: datetime) -> Self:
        """The same with one more try. A first one that is still to come was written down by a clock that was wrong: by
        it the time to give up would not come for as long."""
        return replace(self, tries=self.tries + 1, first_tried_at=min(self.first_tried_at or now, now))

    def only(self, records: Sequence[CallRecord]) -> Self:
        """What is still to do of it."""
        return replace(self, records=tuple(records))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that is none of ours, with what is wrong with it."""

    text: str
    problem: str

    @property
    def key(self) -> CallKey:
        """A place in the ledger: the same text has the same one."""
        return CallKey(UNDATED, f"message-{sha256(self.text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}")

    def to_text(self) -> str:
        return self.text


Letter = Message | Unreadable
"""Whatever lies on the queue."""


def bytes_of(record: CallRecord) -> int:
    """How much of a message it takes."""
    return len(_text_of(_as_part(record))) + 1


def letter_of(text: str) -> Letter:
    """A text from the queue or the ledger. Total."""
    try:
        return Message.from_text(text)
    except InvalidMessage as exc:
        return Unreadable(text, str(exc))


def letters_of(text: str) -> Sequence[Letter]:
    """What a message of the queue holds: one letter, or, where some of its records cannot be read, one with the others
    and one for each of those, so that none of them costs another. Total."""
    letter = letter_of(text)
    return [letter] if isinstance(letter, Message) else _each_by_itself(text) or [letter]


def _each_by_itself(text: str) -> Sequence[Letter]:
    """Nothing where the message as a whole is at fault, or holds so many that nobody of ours has written it."""
    try:
        body = _object_in(text)
        travels = _travels(body.get("travels"))
        texts = [_text_of({**body, "records": [part]}) for part in _parts_in(body)]
    except (InvalidMessage, RecursionError):
        return ()
    if body["version"] != SEVERAL or not 1 < len(texts) <= MOST_RECORDS:
        return ()
    letters = [letter_of(each) for each in texts]
    records = tuple(letter.records[0] for letter in letters if isinstance(letter, Message))
    unreadable = [letter for letter in letters if isinstance(letter, Unreadable)]
    return [Message(records, **travels), *unreadable] if records else unreadable


def text_of_body(body: bytes) -> str:
    """A queue message's text. It travels in Base64, which host.json leaves to us: the host itself would set a message
    that is anything else aside, where no function ever sees it. Total."""
    try:
        return b64decode(body, validate=True).decode("utf-8")
    except ValueError:
        return body.decode("utf-8", "replace")


def _text_of(body: Mapping[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))


def _object_in(text: str) -> Mapping[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidMessage("the message is not JSON") from None
    if not isinstance(body, Mapping) or "version" not in body:
        raise InvalidMessage("the message has no version")
    return body


def _parts_in(body: Mapping[str, Any]) -> Sequence[Any]:
    parts = body.get("records")
    if not isinstance(parts, list) or not parts:
        raise InvalidMessage("the message holds no records")
    return parts


def _as_part(record: CallRecord) -> dict[str, Any]:
    part: dict[str, Any] = {"row": {**record.values, "id": record.written_id}}
    if record.shortened:
        part["cut"] = dict(record.shortened)
    if record.replaces:
        part["replaces"] = [_as_part(replaced) for replaced in record.replaces]
    return part


def _record_in(part: Any, *, is_replaced: bool = False) -> CallRecord:
    values, cut = (part.get("row"), part.get("cut", {})) if isinstance(part, Mapping) else (None, {})
    if not isinstance(values, Mapping) or not isinstance(cut, Mapping) or not all(type(n) is int for n in cut.values()):
        raise InvalidMessage("the message holds no row")
    if not _is_id(values.get("id")):
        raise InvalidMessage("the row of the message has neither a whole number nor a text as id")
    if nested := [column for column in COLUMNS if isinstance(values.get(column), list | dict)]:
        raise InvalidMessage(f"the row of the message has a {nested[0]} that is neither text nor a number")
    told = {k: _well_formed(v) for k, v in values.items() if k in COLUMNS}
    known = {k: v[:MAX_TEXT] if isinstance(v, str) else v for k, v in told.items()}
    longer = {k: len(v) for k, v in told.items() if isinstance(v, str) and len(v) > MAX_TEXT}
    replaces = part.get("replaces", []) if not is_replaced else []
    if not isinstance(replaces, list):
        raise InvalidMessage("the message does not say which records it is in place of")
    return CallRecord(
        str(known["id"]), known, {**longer, **cut}, tuple(_record_in(each, is_replaced=True) for each in replaces)
    )


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= MAX_TEXT
    return type(value) is int and abs(value) < INTEGERS_BELOW


def _travels(note: Any) -> dict[str, Any]:
    if note is None:
        return {}
    try:
        times, since, replay_of = note["times_put_back"], note["since"], note["replay_of"]
        return {
            "tries": _times(times),
            "first_tried_at": datetime.fromisoformat(since).astimezone(UTC) if since else None,
            "replay_of": _place(*replay_of) if replay_of else None,
        }
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise InvalidMessage("the message's record of its travels is not readable") from None


def _times(value: Any) -> int:
    if type(value) is not int or not 0 <= value < INTEGERS_BELOW:
        raise ValueError("no number of times")
    return value


def _place(day: Any, name: Any) -> CallKey:
    if not all(isinstance(part, str) and len(part) <= MAX_TEXT for part in (day, name)):
        raise ValueError("no place in the ledger")
    return CallKey(_well_formed(day), _well_formed(name))


def _well_formed(value: Any) -> Any:
    return well_formed(value) if isinstance(value, str) else value
