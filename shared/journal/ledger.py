"""The ledger: the exclusive, expiring right to run one action for one event.

Every write is conditional, so that of two workers one wins. A claim ends when it is done or
released, or when its lease runs out. Only "done" is final.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.base.clock import Clock
from shared.base.documents import AsText, ColumnForm, Documents, RowAddress
from shared.base.ids import digest
from shared.base.ports import Row, RowChanged, RowExists, Tables
from shared.journal.outcomes import Outcome, outcome_from, outcome_to

TABLE = "SignalboxLedger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimKey:
    """A step of a reaction, for an event, named in the words of reactions.yaml, never of the code.

    `day` is the day of the event, by which claims are kept and deleted. It is no part of the name.
    """

    day: str
    event: str
    reaction: str
    step: str

    @property
    def digest(self) -> str:
        """64 hex digits, from which the names of everything that the action creates are made."""
        return digest(self.event, self.reaction, self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """This worker holds the claim until `until`; `etag` proves it.

    `begun` says that the step was let begin at an earlier attempt, which failed.
    """

    key: ClaimKey
    attempt: int
    until: datetime
    etag: str
    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyDone:
    """The step was done before, with this outcome."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldElsewhere:
    """Another worker holds the claim until `until`."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """The row of a claim: `until` is the end of its lease, `reason` why it was released.

    `begun` is that of Claimed.
    """

    status: str
    attempt: int
    until: datetime
    outcome: Outcome | None = None
    reason: str | None = None
    begun: bool = False


_OUTCOME = AsText(
    write=lambda outcome: json.dumps(outcome_to(outcome)),
    read=lambda text: outcome_from(json.loads(text)),
)
_FORM = ColumnForm(_Claim, texts={"outcome": _OUTCOME})


class ClaimLost(Exception):
    """The lease ran out and another worker took the claim."""


class Ledger:
    """Claims, kept in a table.

    >>> from shared.journal.outcomes import OutcomeStatus
    >>> from shared.twins.clock import ManualClock
    >>> from shared.twins.storage import MemoryTables
    >>> ledger = Ledger(tables=MemoryTables(), clock=ManualClock(), lease=timedelta(minutes=6))
    >>> key = ClaimKey(day="2026-03-02", event="e1", reaction="deploy-tagged", step="deploy")
    >>> first, second = ledger.claim(key), ledger.claim(key)
    >>> type(first).__name__, type(second).__name__
    ('Claimed', 'HeldElsewhere')
    >>> ledger.complete(first, Outcome(status=OutcomeStatus.DONE, detail="churn 2 is live"))
    >>> ledger.claim(key).outcome.detail
    'churn 2 is live'
    """

    def __init__(self, *, tables: Tables, clock: Clock, lease: timedelta) -> None:
        self._claims = Documents(tables, TABLE, _FORM)
        self._clock = clock
        self._lease = lease

    def claim(self, key: ClaimKey) -> Claimed | AlreadyDone | HeldElsewhere:
        """Take the right to run one step: one request if nobody had it, otherwise two or three."""
        until = self._clock.now() + self._lease
        try:
            kept = self._claims.add(_address(key), _held(1, until))
        except RowExists:
            return self._claim_again(key, until)
        return Claimed(key=key, attempt=1, until=until, etag=kept.etag)

    def _claim_again(self, key: ClaimKey, until: datetime) -> Claimed | AlreadyDone | HeldElsewhere:
        kept = self._claims.get(_address(key))
        if kept is None:  # retention deleted it between the two requests
            return HeldElsewhere(until=self._clock.now())
        found = kept.value
        if found.outcome is not None:
            return AlreadyDone(outcome=found.outcome)
        if found.status == "held" and found.until > self._clock.now():
            return HeldElsewhere(until=found.until)
        attempt = found.attempt + 1
        try:
            mine = self._claims.save(kept.at, _held(attempt, until, found.begun), kept.etag)
        except RowChanged:
            return HeldElsewhere(until=until)
        return Claimed(key=key, attempt=attempt, until=until, etag=mine.etag, begun=found.begun)

    def renew(self, claim: Claimed) -> Claimed:
        """Hold a claim for another lease, from now on.

        Raises: ClaimLost if another worker has taken the claim meanwhile.
        """
        until = self._clock.now() + self._lease
        etag = self._write(claim, _held(claim.attempt, until, claim.begun))
        return replace(claim, until=until, etag=etag)

    def complete(self, claim: Claimed, outcome: Outcome) -> None:
        """Record that the step is done; this is final.

        Raises: ClaimLost if another worker has taken the claim meanwhile.
        """
        self._write(claim, replace(_ended(claim, "done"), outcome=outcome))

    def release(self, claim: Claimed, reason: str, *, begun: bool = True) -> None:
        """Give the claim back, with the reason; another worker may take it at once.

        `begun` says whether the step was let begin: then no limit is asked again.
        """
        released = replace(_ended(claim, "released"), reason=reason, begun=begun or claim.begun)
        self._write(claim, released)

    def _write(self, claim: Claimed, row: _Claim) -> str:
        try:
            return self._claims.save(_address(claim.key), row, claim.etag).etag
        except RowChanged as error:
            raise ClaimLost(f"{claim.key.reaction}/{claim.key.step}") from error


def _address(key: ClaimKey) -> RowAddress:
    return key.day, f"{key.event}:{key.reaction}:{key.step}"


def claimed_by(row: Row) -> tuple[str, str]:
    """Return the key of the event and the reaction that a row of the ledger is a claim of."""
    event, reaction, _ = row.key.split(":", 2)
    return event, reaction


def _held(attempt: int, until: datetime, begun: bool = False) -> _Claim:
    return _Claim(status="held", attempt=attempt, until=until, begun=begun)


def _ended(claim: Claimed, status: str) -> _Claim:
    return _Claim(status=status, attempt=claim.attempt, until=claim.until)
