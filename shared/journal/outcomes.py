"""What came of one step of a reaction for one event, and where an event's outcomes are kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.base.ids import digest, folded
from shared.events.model import Event, UnknownEvent

#: Under this step is recorded what holds for the event as a whole.
WHOLE = "*"


class OutcomeStatus(StrEnum):
    """How a step ended, so far."""

    DONE = "done"
    SKIPPED = "skipped"
    WAITING = "waiting"  #: For long work to end, for a letter to be replayed, or for a person.
    FAILED = "failed"


_FOR_GOOD = frozenset({OutcomeStatus.DONE, OutcomeStatus.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one step of a reaction; `code` is an error's.

    `rollout` and `retraining` are the ids of long work that it started. `attempt` and `revision`
    say how new it is, whenever it is recorded, and are no part of what came of it: the number of
    the claim under which the step was tried, 0 where none was taken, and which state of the long
    work it tells of, 0 where the step itself tells.
    """

    status: OutcomeStatus
    detail: str = ""
    code: str = ""
    rollout: str = ""
    retraining: str = ""
    attempt: int = field(default=0, compare=False)
    revision: int = field(default=0, compare=False)

    @property
    def work(self) -> str:
        """The id of the long work that it started, "" if it started none."""
        return self.rollout or self.retraining


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRef:
    """Where an event's record is: what a rollout or a letter keeps in order to update it."""

    key: str
    id: str
    type: str
    time: datetime
    source: str
    about: str = ""


def ref_of(event: Event | UnknownEvent) -> EventRef:
    """Return where the event's record is."""
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
    """Return an outcome as what JSON holds, without what is empty."""
    return {name: str(value) for name, value in asdict(outcome).items() if value}


def outcome_from(values: Mapping[str, Any]) -> Outcome:
    """Read what `outcome_to` returned."""
    numbers = {name: int(values.get(name, 0)) for name in ("attempt", "revision")}
    return Outcome(**{**values, **numbers, "status": OutcomeStatus(values["status"])})


def merge_news(known: Mapping[str, Outcome], news: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return what is known with the news, in whatever order the news comes.

    An earlier attempt never hides a later one, an earlier state of long work never a later one, and
    what a step says of itself never how the long work ended that it had started.
    """
    merged = dict(known)
    for name, outcome in news.items():
        before = known.get(name)
        merged[name] = outcome if before is None else _newer(before, outcome)
    return merged


def _newer(known: Outcome, news: Outcome) -> Outcome:
    """Return the one of two outcomes of a step that holds, as new as the newer in both respects."""
    return replace(
        news if _holds(known, news) else known,
        attempt=max(known.attempt, news.attempt),
        revision=max(known.revision, news.revision),
    )


def _holds(known: Outcome, news: Outcome) -> bool:
    """Say whether the news holds in place of what is known."""
    if news.revision:
        return news.revision >= known.revision
    has_told = bool(known.revision and known.work)
    if has_told and (known.status is not OutcomeStatus.WAITING or known.work == news.work):
        return False
    if news.attempt == known.attempt:
        return known.status not in _FOR_GOOD or news.status in _FOR_GOOD
    return news.attempt > known.attempt
