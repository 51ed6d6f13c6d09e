"""Outcomes: the results of the steps of reactions, each for one event."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.base.ids import digest, folded
from shared.events.model import Event, UnknownEvent

#: The step under which an outcome of the whole event is recorded.
WHOLE = "*"


class OutcomeStatus(StrEnum):
    """The result of a step, so far."""

    DONE = "done"
    SKIPPED = "skipped"
    WAITING = "waiting"  #: For long work to end, for a letter to be replayed, or for a person.
    FAILED = "failed"


_FOR_GOOD = frozenset({OutcomeStatus.DONE, OutcomeStatus.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one step of a reaction; `code` is that of an error.

    `rollout`, `retraining` and `launch` are the ids of long work that it started. `attempt` and
    `revision` say how new it is, whenever it is recorded, and are no part of what came of it: the
    number of the claim under which the step was tried, 0 where none was taken, and which state of
    the long work it tells of, 0 where the step itself tells.
    """

    status: OutcomeStatus
    detail: str = ""
    code: str = ""
    rollout: str = ""
    retraining: str = ""
    launch: str = ""
    attempt: int = field(default=0, compare=False)
    revision: int = field(default=0, compare=False)

    @property
    def work(self) -> str:
        """The id of the long work that it started, "" if it started none."""
        return self.rollout or self.retraining or self.launch


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRef:
    """The address of an event's record, which a rollout or a letter keeps to update the record."""

    key: str
    id: str
    type: str
    time: datetime
    source: str
    about: str = ""


def ref_of(event: Event | UnknownEvent) -> EventRef:
    """Return the address of the event's record."""
    if isinstance(event, UnknownEvent):
        key = digest(folded(event.source), event.type, event.id)
        return EventRef(key=key, id=event.id, type=event.type, time=event.time, source=event.source)
    return EventRef(
        key=event.key,
        id=event.id,
        type=str(event.type),
        time=event.time,
        source=event.workspace.id,
        about=event.about,
    )


def outcome_to(outcome: Outcome) -> dict[str, str]:
    """Return an outcome as values for JSON, without the empty ones."""
    return {name: str(value) for name, value in asdict(outcome).items() if value}


def outcome_from(values: Mapping[str, Any]) -> Outcome:
    """Read what `outcome_to` returned."""
    numbers = {name: int(values.get(name, 0)) for name in ("attempt", "revision")}
    return Outcome(**{**values, **numbers, "status": OutcomeStatus(values["status"])})


def merge_news(known: Mapping[str, Outcome], news: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return the known outcomes with the news, which may come in any order.

    An earlier attempt never hides a later one, an earlier state of long work never a later one, and
    what a step says of itself never how the long work ended that it had started.
    """
    merged = dict(known)
    for name, outcome in news.items():
        before = known.get(name)
        merged[name] = outcome if before is None else _newer(before, outcome)
    return merged


def _newer(known: Outcome, news: Outcome) -> Outcome:
    """Return the outcome of the two that holds, with the higher attempt and the higher revision."""
    return replace(
        news if _holds(known, news) else known,
        attempt=max(known.attempt, news.attempt),
        revision=max(known.revision, news.revision),
    )


def _holds(known: Outcome, news: Outcome) -> bool:
    """Return whether the news holds, and not the known outcome."""
    if news.revision:
        return news.revision >= known.revision
    has_told = bool(known.revision and known.work)
    if has_told and (known.status is not OutcomeStatus.WAITING or known.work == news.work):
        return False
    if news.attempt == known.attempt:
        return known.status not in _FOR_GOOD or news.status in _FOR_GOOD
    return news.attempt > known.attempt
