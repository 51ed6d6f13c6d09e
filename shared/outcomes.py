"""What came of one step of a reaction for one event, and where an event's outcomes are kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.errors import ClaimHeld
from shared.events import Event, UnknownEvent
from shared.ids import digest

#: Under this step is recorded what holds for the event as a whole.
WHOLE = "*"


class OutcomeStatus(StrEnum):
    """How a step ended, so far."""

    DONE = "done"
    SKIPPED = "skipped"
    WAITING = "waiting"  #: For long work to end, for a letter to be replayed, or for a person.
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one step of a reaction; `code` is an error's.

    `rollout` and `retraining` are the ids of long work that it started.
    """

    status: OutcomeStatus
    detail: str = ""
    code: str = ""
    rollout: str = ""
    retraining: str = ""

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
        key = digest(event.source.lower(), event.type, event.id)
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
    return Outcome(**{**values, "status": OutcomeStatus(values["status"])})


def merge_news(known: Mapping[str, Outcome], news: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return what is known with the news; that long work began never hides how it ended."""
    merged = dict(known)
    for name, outcome in news.items():
        has_begun = outcome.work and outcome.status is OutcomeStatus.WAITING
        before = known.get(name)
        # Work can be quicker than the event that began it is recorded.
        if not has_begun or before is None or before.work != outcome.work:
            merged[name] = outcome
    return merged


def merge_hearsay(known: Mapping[str, Outcome], heard: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return what is known, with hearsay where nothing is known or the known was waiting for it."""
    merged = dict(known)
    for name, outcome in heard.items():
        before = known.get(name)
        was_waiting = (
            before is not None
            and before.status is OutcomeStatus.WAITING
            and not before.work
            and outcome.code != ClaimHeld.code
        )
        if before is None or was_waiting:
            merged[name] = outcome
    return merged
