"""The budget of retrainings of one reaction, over all its monitors. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from shared.retraining.model import PolicyAnswer

WEEK = timedelta(days=7)


class RunLimits(Protocol):
    """The most runs at once and in a week; one that has not ended counts until `timeout`."""

    @property
    def at_once(self) -> int: ...
    @property
    def per_week(self) -> int: ...
    @property
    def timeout(self) -> timedelta: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One retraining's place: taken before it is started, kept until it no longer counts."""

    id: str
    started_at: datetime
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The places that the retrainings of one reaction have taken."""

    slots: tuple[Slot, ...] = ()


def count_retrainings(
    budget: Budget, now: datetime, timeout: timedelta, *, but: str = ""
) -> tuple[int, int]:
    """Count the retrainings that have not ended, and those that were started within seven days.

    A retraining counts as ended after `timeout`. `but` is an id that is left out.
    """
    others = [slot for slot in budget.slots if slot.id != but]
    running = sum(_is_running(slot, now, timeout) for slot in others)
    return running, sum(_is_recent(slot, now) for slot in others)


def take(
    budget: Budget, retraining_id: str, now: datetime, limits: RunLimits
) -> Budget | PolicyAnswer:
    """Return the budget with a place for this id, or AT_ONCE or PER_WEEK if there is none.

    An id that has a place keeps it, and counts as started now; one that has ended needs a free
    place like any other. Taking twice has the effect of taking once. Places that no longer count
    are dropped.
    """
    has_place = any(
        slot.id == retraining_id and _is_running(slot, now, limits.timeout) for slot in budget.slots
    )
    others = _prune(give_back(budget, retraining_id), now, limits.timeout)
    running, started = count_retrainings(others, now, limits.timeout)
    if running >= limits.at_once and not has_place:
        return PolicyAnswer.AT_ONCE
    if started >= limits.per_week and not has_place:
        return PolicyAnswer.PER_WEEK
    return Budget(slots=(*others.slots, Slot(id=retraining_id, started_at=now)))


def give_back(budget: Budget, retraining_id: str) -> Budget:
    """Return the budget without this id's place: nothing was started."""
    return Budget(slots=tuple(slot for slot in budget.slots if slot.id != retraining_id))


def release(budget: Budget, retraining_id: str) -> Budget:
    """Return the budget with this id's retraining ended; the same budget if it has no place."""
    if all(slot.ended or slot.id != retraining_id for slot in budget.slots):
        return budget
    return Budget(
        slots=tuple(
            replace(slot, ended=True) if slot.id == retraining_id else slot for slot in budget.slots
        )
    )


def _prune(budget: Budget, now: datetime, timeout: timedelta) -> Budget:
    return Budget(
        slots=tuple(
            slot
            for slot in budget.slots
            if _is_running(slot, now, timeout) or _is_recent(slot, now)
        )
    )


def _is_running(slot: Slot, now: datetime, timeout: timedelta) -> bool:
    return not slot.ended and now - slot.started_at <= timeout


def _is_recent(slot: Slot, now: datetime) -> bool:
    return now - slot.started_at < WEEK
