"""The ledger in Table Storage: one entity for each call, claimed by insert and settled by update."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from cdr.calls.call import CallKey, Job, Reason, Settlement, State
from cdr.calls.fingerprint import facts, fingerprint, may_be_same
from cdr.calls.leases import LONGEST_LEASE
from cdr.calls.message import Letter, Message
from cdr.calls.rules import row_key
from cdr.edges.storage.account import StorageAccount
from cdr.edges.storage.ledger_entities import (
    JUDGED_BY,
    ROW_PIECES,
    Found,
    Wish,
    address,
    counted_as,
    final_answer,
    freeing,
    held_answer,
    is_endless,
    is_held_by,
    is_same,
    is_set_aside,
    is_unanswered,
    leaves_open,
    noted,
    noted_before,
    rejected_call,
    settled_fields,
    settling,
)
from cdr.edges.storage.ledger_reading import sound
from cdr.edges.storage.ledger_tally import LedgerTally, change, total
from cdr.edges.storage.rejected_index import RejectedIndex, index_of
from cdr.edges.storage.table import ONE_TRANSACTION, PIECE, Table, escape_key, in_pieces, unescape_key, version_of
from cdr.edges.storage.transaction import Insert, Merge, Write
from cdr.submission.ports import Claim, ClaimAnswer, Held, RecordAnswer, Recorded
from shared import log
from shared.errors import StorageUnavailable

if TYPE_CHECKING:
    from azure.data.tables import TableEntity

TRIES_AGAINST_OTHERS = 5

Item = TypeVar("Item")


class TableCallLedger:
    """A CallLedger on a table, which is created if it is missing.

    Many are done in one transaction for each day. Where it is refused, because one of them is not as it was reckoned to
    be, they are done one by one.
    """

    def __init__(self, account: StorageAccount, table: str) -> None:
        self._table, index = Table(account, table), Table(account, index_of(table))
        self._notes = RejectedIndex(index)
        self._tally = LedgerTally(self._table, index)

    def claim(self, jobs: Sequence[Job], now: datetime, lease: timedelta) -> Sequence[ClaimAnswer]:
        wishes = [Wish(job, now, now + lease) for job in jobs]
        answers: dict[str, ClaimAnswer] = {}
        for together in _by_day(wishes, lambda wish: wish.job.key, ONE_TRANSACTION):
            answers |= self._claim_together(together)
        return [answers[wish.owner] for wish in wishes]

    def _claim_together(self, wishes: Sequence[Wish]) -> dict[str, ClaimAnswer]:
        """By owner. Of two rows of one call the first one gets it."""
        if len(wishes) == 1 or len({wish.job.key for wish in wishes}) < len(wishes):
            answers = {wish.owner: self._claim_one(wish) for wish in wishes}
        else:
            answers = self._claim_new(wishes) or self._claim_known(wishes)
        return answers | self._found_elsewhere([(wish, answers[wish.owner]) for wish in wishes])

    def _claim_new(self, wishes: Sequence[Wish]) -> dict[str, ClaimAnswer] | None:
        versions = self._table.write([Insert(wish.as_new) for wish in wishes])
        if versions is None:
            return None
        return {wish.owner: wish.granted(version, 1) for wish, version in zip(wishes, versions, strict=True)}

    def _claim_known(self, wishes: Sequence[Wish]) -> dict[str, ClaimAnswer]:
        """Some of them are in the ledger: a look tells which are to be had, and those are claimed together."""
        there = self._named(wishes[0].job.key.day, [wish.job.key.name for wish in wishes])
        found = {name: self._bounded(entity, wishes[0].now) for name, entity in there.items()}
        answers: dict[str, ClaimAnswer] = {}
        asked: list[tuple[Wish, Write]] = []
        for wish in wishes:
            known = found.get(wish.job.key.name)
            answer = wish.answer_to(known) if known is not None else None
            if answer is not None:
                answers[wish.owner] = answer
            elif known is not None and is_set_aside(known, wish.job.record.id):
                answers[wish.owner] = self._claim_one(wish)
            else:
                asked.append((wish, wish.over(known)))
        versions = self._table.write([write for _, write in asked]) if asked else ()
        if versions is None:
            for wish, _ in asked:
                known = found.get(wish.job.key.name)
                answers[wish.owner] = self._claim_one(wish) if known is None else self._claim_over(wish, known)
            return answers
        for (wish, _), version in zip(asked, versions, strict=True):
            answers[wish.owner] = wish.granted_over(found.get(wish.job.key.name), version)
        return answers

    def _claim_one(self, wish: Wish) -> ClaimAnswer:
        version = self._table.insert(wish.as_new)
        if version is not None:
            return wish.granted(version, 1)
        found = self._read(wish.job.key)
        if found is None:
            return Held("the ledger's record vanished between two looks at it")
        if (answer := wish.answer_to(self._bounded(found, wish.now))) is not None:
            return answer
        self._set_aside(wish.job.key, wish.job.record.id, found, wish.now)
        return self._claim_over(wish, found)

    def _claim_over(self, wish: Wish, found: TableEntity) -> ClaimAnswer:
        version = self._table.merge(wish.over(found).entity, version_of(found))
        if version is None:
            return Held("another worker claimed the call at the same moment")
        return wish.granted_over(found, version)

    def _found_elsewhere(self, answers: Sequence[tuple[Wish, ClaimAnswer]]) -> dict[str, ClaimAnswer]:
        """A call may stand under another day too, where its end was corrected over midnight, or by a worker that goes
        by another time zone. Asked after the claims are made, so that of two who do so at once one sees the other.

        :returns: by owner, what became of claims that were of no use
        """
        claims = {wish.owner: (wish, answer) for wish, answer in answers if isinstance(answer, Claim)}
        found = self._around([claim.key for _, claim in claims.values()])
        lost: dict[str, ClaimAnswer] = {}
        for owner, (wish, claim) in claims.items():
            for key in claim.key.around:
                other = found.get(key)
                if other is None or not may_be_same(other.get("call") or "", fingerprint(wish.job.record)):
                    continue
                other = self._bounded(other, wish.now)
                if (final := final_answer(other)) is not None:
                    where = f"submitted before, as a call of {key.day}"
                    self.settle([(claim, Settlement(State.SKIPPED, Reason.SAME_PBX_CALL_ID, where))], wish.now)
                    lost[owner] = final
                elif (held := held_answer(other, wish.now)) is not None:
                    self.give_back([(claim, f"{held.why}, as one of {key.day}")], wish.now)
                    lost[owner] = held
                if owner in lost:
                    break
        return lost

    def _around(self, keys: Sequence[CallKey]) -> Mapping[CallKey, TableEntity]:
        """What there is under the days before and after."""
        names = defaultdict[str, list[str]](list)
        for key in keys:
            for other in key.around:
                names[other.day].append(other.name)
        return {
            CallKey(day, name): entity for day, some in names.items() for name, entity in self._named(day, some).items()
        }

    def _named(self, day: str, names: Sequence[str]) -> Mapping[str, TableEntity]:
        by_row = {escape_key(name): name for name in names}
        return {by_row[row]: sound(found) for row, found in self._table.named(day, by_row, JUDGED_BY).items()}

    def _read(self, key: CallKey) -> TableEntity | None:
        found = self._table.read(*address(key).values())
        return sound(found) if found is not None else None

    def _bounded(self, found: TableEntity, now: datetime) -> TableEntity:
        """The record. A claim that ends later than any can goes on for the longest lease from now
        on, since whoever made it may be at work; written down, so that it does end."""
        if not is_endless(found, now):
            return found
        bounded, until = copy(found), now + LONGEST_LEASE
        bounded["claimed_until"] = until
        key = {"PartitionKey": found["PartitionKey"], "RowKey": found["RowKey"]}
        self._table.merge({**key, "claimed_until": until}, version_of(found))
        said = f"{found['claimed_until']:%Y-%m-%d %H:%M:%S} UTC"
        log.event("claim.cut_short", level=logging.WARNING, call=unescape_key(found["RowKey"]), until=said)
        return bounded

    def _set_aside(self, key: CallKey, record_id: str | None, found: Found, now: datetime) -> None:
        """Another row's record of this call, if it says why that row is not logged, goes on under the row's own key."""
        if is_set_aside(found, record_id):
            self._put(row_key(key, str(found["row_id"])), {"counted": "", **found}, now)

    def _put(self, key: CallKey, fields: Found, now: datetime) -> None:
        """A record of its own for what is settled, whatever is there."""
        entity = {**fields, **address(key)}
        if fields["state"] == State.REJECTED:
            self._notes.note([rejected_call(entity)])
        for _ in range(TRIES_AGAINST_OTHERS):
            found = self._read(key)
            write = Insert(entity) if found is None else Merge(entity, version_of(found))
            if self._tally.write([write], change(counted_as(found), entity["counted"]), now) is not None:
                return
        raise self._kept_changing(key)

    def _kept_changing(self, key: CallKey) -> StorageUnavailable:
        return StorageUnavailable(f"table {self._table.name}: the record of {key.name} kept changing under us")

    def settle(self, ends: Sequence[tuple[Claim, Settlement]], now: datetime) -> None:
        rejected = {claim.key: noted(claim, settlement, now) for claim, settlement in ends}
        self._notes.note([call for call in rejected.values() if call is not None])
        for together in _by_day(ends, lambda end: end[0].key, ONE_TRANSACTION - 1):
            if not self._settle_together(together, now):
                for claim, settlement in together:
                    self._settle_one(claim, settlement, now)
        before = [noted_before(claim) for claim, _ in ends]
        self._notes.forget([old for old in before if old is not None and not is_same(old, rejected.get(old.key))])

    def _settle_together(self, ends: Sequence[tuple[Claim, Settlement]], now: datetime) -> bool:
        if len({claim.key for claim, _ in ends}) < len(ends):
            return False
        writes = [settling(claim, settlement, now) for claim, settlement in ends]
        changed = total(
            change(claim.counted, write.entity["counted"]) for (claim, _), write in zip(ends, writes, strict=True)
        )
        return self._tally.write(writes, changed, now) is not None

    def _settle_one(self, claim: Claim, settlement: Settlement, now: datetime) -> None:
        """That the API has the call is a fact, whoever has the claim; all else is left to who has it."""
        for _ in range(TRIES_AGAINST_OTHERS):
            found = self._read(claim.key)
            fields = settling(replace(claim, counted=counted_as(found)), settlement, now).entity
            write: Write
            if found is None:  # removed under us, perhaps with the whole table: then this is all that is known
                write = Insert({**fields, "attempts": claim.attempts, "row_id": claim.record_id})
            elif all(found.get(name) == value for name, value in fields.items()):
                return  # it was this very write, and its first answer was lost
            elif settlement.state is State.SUBMITTED or is_held_by(claim, found):
                write = Merge(fields, version_of(found))
            else:
                self._settle_lost(claim, settlement, now, found)
                return
            if self._tally.write([write], change(counted_as(found), fields["counted"]), now) is not None:
                return
        raise self._kept_changing(claim.key)

    def _settle_lost(self, claim: Claim, settlement: Settlement, now: datetime, found: Found) -> None:
        """Where another row of the same call has it now, that one speaks for itself only."""
        if found.get("row_id") not in (None, "", claim.record_id):
            own = row_key(claim.key, claim.record_id)
            fields = {"row_id": claim.record_id, "attempts": claim.attempts}
            self._put(own, {**settled_fields(own, settlement, now, ""), **fields}, now)

    def give_back(self, claims: Sequence[tuple[Claim, str]], now: datetime) -> None:
        for together in _by_day(claims, lambda given: given[0].key, ONE_TRANSACTION):
            writes = [freeing(claim, error, now) for claim, error in together]
            if len(writes) == 1 or self._table.write(writes) is None:
                for claim, error in together:
                    self._free_while_ours(claim, error, now)

    def _free_while_ours(self, claim: Claim, error: str, now: datetime) -> None:
        """A write that is refused does not say yet that the claim is lost: storage may refuse what nobody has changed.
        Each claim has its own number of attempts, so a look at the record tells."""
        for _ in range(TRIES_AGAINST_OTHERS):
            if self._table.write([freeing(claim, error, now)]) is not None:
                return
            found = self._read(claim.key)
            if found is None or not is_held_by(claim, found):
                return  # somebody else has it by now, and sees to it
            claim = replace(claim, version=version_of(found))
        raise self._kept_changing(claim.key)

    def record(self, key: CallKey, letter: Letter | None, settlement: Settlement, now: datetime) -> RecordAnswer:
        record = letter.records[0] if isinstance(letter, Message) else None
        told = {"row_id": record.id, "call": fingerprint(record), "facts": facts(record)} if record else {}
        text = letter.to_text()[: ROW_PIECES * PIECE] if letter is not None else ""
        mine = {"owner": uuid4().hex, **told}
        for _ in range(TRIES_AGAINST_OTHERS):
            found = self._read(key)
            if found is not None:
                found = self._bounded(found, now)
                if (answer := _answer_to_record(found, letter, settlement, now)) is not None:
                    return answer
            before = counted_as(found)
            fields = {
                **address(key),
                **in_pieces("row", text, ROW_PIECES),
                **settled_fields(key, settlement, now, before),
                "maybe_sent": found is not None and is_unanswered(found) and leaves_open(settlement),
                **mine,
            }
            if settlement.state is State.REJECTED:
                self._notes.note([rejected_call(fields)])
            if found is not None:
                self._set_aside(key, mine.get("row_id"), found, now)
            write = Insert({**fields, "attempts": 0}) if found is None else Merge(fields, version_of(found))
            if self._tally.write([write], change(before, fields["counted"]), now) is None:
                continue
            if found is not None and found["state"] == State.REJECTED and found["settled_at"] != now:
                self._notes.forget([rejected_call(found)])
            return Recorded()
        raise self._kept_changing(key)

    def last_error(self, key: CallKey) -> str | None:
        found = self._read(key)
        return found.get("last_error") if found is not None else None


def _answer_to_record(
    found: Found, letter: Letter | None, settlement: Settlement, now: datetime
) -> RecordAnswer | None:
    """Why nothing is recorded over this; None: it is. What was given up, and is replayed, may be closed by its replay,
    but not as a part of another call."""
    is_over = found["state"] == State.REJECTED and settlement.reason is not Reason.MERGED
    if letter is None and is_unanswered(found) and not is_over and held_answer(found, now) is None:
        return Held("it was sent without an answer, and only its own message finds out whether it is in")
    return final_answer(found) or held_answer(found, now)


def _by_day(items: Iterable[Item], key: Callable[[Item], CallKey], most: int) -> Iterator[Sequence[Item]]:
    """What one transaction takes at a time."""
    days = defaultdict[str, list[Item]](list)
    for item in items:
        days[key(item).day].append(item)
    for some in days.values():
        for start in range(0, len(some), most):
            yield some[start : start + most]
