"""Use case: learn whose extension is whose, and send what was rejected for want of it on its way again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from cdr.calls.call import Reason
from cdr.operations.ports import LedgerLook, LookStore, RejectedCall
from cdr.operations.replay import Replayer, ReplayOutcome, send_again, still_rejected
from cdr.submission.email_addresses import Addresses
from cdr.submission.phone_book import PhoneBookReader, read_phone_book
from shared import log
from shared.telling import telling_of_storage

_SENTENCE_OF_1_0_0 = re.compile("extension (.+) has no address in extension_mapping")
"""That version wrote the extension nowhere else, but in the message, of which there may be thousands to read."""


@dataclass(frozen=True, slots=True)
class Learner:
    """What is learned with. ``phone_book`` None: there is only the file, which changes with a deployment.

    ``look_again_after`` is when every process knows what is stored, and is done with the calls that it had in hand
    before it knew.
    """

    phone_book: PhoneBookReader | None
    addresses: Addresses
    looks: LookStore
    replayer: Replayer
    look_again_after: timedelta


@telling_of_storage()
def learn(learner: Learner) -> ReplayOutcome | None:
    """To be done every minute: it looks by itself whether there is anything to do.

    The ledger is looked through when other extensions have an address than at the last look, and once more a little
    later, for what was rejected meanwhile by workers who did not know yet.

    :returns: what was replayed; None where the ledger was not looked through
    :raises StorageUnavailable: the next one goes on from there
    """
    kept = read_phone_book(learner.phone_book) if learner.phone_book else None
    return _look_through(learner.addresses.with_book(kept).emails.keys(), learner)


def _look_through(extensions: Collection[str], learner: Learner) -> ReplayOutcome | None:
    last, now, known = learner.looks.read(), learner.replayer.clock.now(), _fingerprint(extensions)
    is_first = last is None or last.extensions != known
    if last is not None and not is_first and (last.is_last or now < last.at + learner.look_again_after):
        return None
    known_now = _now_mapped(extensions, learner.replayer)
    outcome = send_again(still_rejected(known_now, learner.replayer.records), learner.replayer)
    if outcome.complete and learner.replayer.records.are_all_noted():
        learner.looks.save(LedgerLook(known, now, is_last=not is_first))
    if outcome.queued:
        log.event("extensions.learned", queued=outcome.queued, complete=outcome.complete)
    return outcome


def _now_mapped(extensions: Collection[str], replayer: Replayer) -> Iterator[RejectedCall]:
    for rejected in replayer.records.rejected(Reason.UNMAPPED_EXTENSION):
        if _extension_of(rejected) in extensions:
            yield rejected


def _extension_of(rejected: RejectedCall) -> str | None:
    of_1_0_0 = _SENTENCE_OF_1_0_0.fullmatch(rejected.detail)
    return rejected.extension or (of_1_0_0 and of_1_0_0[1])


def _fingerprint(extensions: Collection[str]) -> str:
    return sha256("\n".join(sorted(extensions)).encode("utf-8", "surrogatepass")).hexdigest()[:32]
