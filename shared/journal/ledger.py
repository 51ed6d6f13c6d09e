"""The ledger: the exclusive, expiring right to run one action for one event.

Every write is conditional, so that of two workers one wins. A claim ends done, released, or by
its lease running out; only "done" is for good.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.base.clock import Clock
from shared.base.ids import digest
from shared.base.ports import Row, RowChanged, RowExists, Tables, Value
from shared.journal.outcomes import Outcome, outcome_from, outcome_to

TABLE = "SignalboxLedger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimKey:
    """What is claimed: a step of a reaction, for an event. Named in YAML words, never by code.

    `day` is that of the event, by which claims are kept and forgotten; it names nothing.
    """

    day: str
    event: str
    reaction: str
    step: str

    @property
    def digest(self) -> str:
        """64 hex digits from which everything that the action creates is named."""
        return digest(self.event, self.reaction, self.step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The claim is ours until `until`; `etag` proves it."""

    key: ClaimKey
    attempt: int
    until: datetime
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyDone:
    """Somebody has done it; this came of it."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldElsewhere:
    """Another worker holds the claim until then."""

    until: datetime


class ClaimLost(Exception):
    """The lease ran out and another worker took the claim."""


class Ledger:
    """Claims, kept in a table."""

    def __init__(self, *, tables: Tables, clock: Clock, lease: timedelta) -> None:
        self._tables = tables
        self._clock = clock
        self._lease = lease

    def claim(self, key: ClaimKey) -> Claimed | AlreadyDone | HeldElsewhere:
        """Take the right to run one step: one request when nobody had it, two or three else."""
        until = self._clock.now() + self._lease
        try:
            etag = self._tables.insert(TABLE, key.day, _row_key(key), _held(1, until))
        except RowExists:
            return self._claim_again(key, until)
        return Claimed(key=key, attempt=1, until=until, etag=etag)

    def _claim_again(self, key: ClaimKey, until: datetime) -> Claimed | AlreadyDone | HeldElsewhere:
        row = self._tables.get(TABLE, key.day, _row_key(key))
        if row is None:  # retention took it between our two requests
            return HeldElsewhere(until=self._clock.now())
        if row.values["status"] == "done":
            return AlreadyDone(outcome=outcome_from(json.loads(str(row.values["outcome"]))))
        held_until = row.values["until"]
        assert isinstance(held_until, datetime)
        if row.values["status"] == "held" and held_until > self._clock.now():
            return HeldElsewhere(until=held_until)
        attempt = int(str(row.values["attempt"])) + 1
        try:
            etag = self._tables.replace(
                TABLE, key.day, row.key, _held(attempt, until), etag=row.etag
            )
        except RowChanged:
            return HeldElsewhere(until=until)
        return Claimed(key=key, attempt=attempt, until=until, etag=etag)

    def renew(self, claim: Claimed) -> Claimed:
        """Hold a claim for another lease from now on.

        Raises: ClaimLost if another worker has taken the claim meanwhile.
        """
        until = self._clock.now() + self._lease
        etag = self._write(claim, _held(claim.attempt, until))
        return replace(claim, until=until, etag=etag)

    def complete(self, claim: Claimed, outcome: Outcome) -> None:
        """Record that it is done, for good.

        Raises: ClaimLost if another worker has taken the claim meanwhile.
        """
        self._settle(claim, {"status": "done", "outcome": json.dumps(outcome_to(outcome))})

    def release(self, claim: Claimed, reason: str) -> None:
        """Give the claim back, with the reason; whoever comes next may take it at once."""
        self._settle(claim, {"status": "released", "reason": reason})

    def _settle(self, claim: Claimed, values: dict[str, Value]) -> None:
        self._write(claim, {"attempt": claim.attempt, "until": claim.until, **values})

    def _write(self, claim: Claimed, row: dict[str, Value]) -> str:
        key = claim.key
        try:
            return self._tables.replace(TABLE, key.day, _row_key(key), row, etag=claim.etag)
        except RowChanged as error:
            raise ClaimLost(f"{key.reaction}/{key.step}") from error


def _row_key(key: ClaimKey) -> str:
    return f"{key.event}:{key.reaction}:{key.step}"


def claimed_by(row: Row) -> tuple[str, str]:
    """Return the event, by its key, and the reaction of which a row of the ledger is a claim."""
    event, reaction, _ = row.key.split(":", 2)
    return event, reaction


def _held(attempt: int, until: datetime) -> dict[str, Value]:
    return {"status": "held", "attempt": attempt, "until": until}
