"""What came of one step of a reaction for one event, and where an event's outcomes are kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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

    `rollout` and `retraining` are the ids of long work that it started. `attempt` is that of the
    claim under which it came about, 0 where there was none.
    """

    status: OutcomeStatus
    detail: str = ""
    code: str = ""
    rollout: str = ""
    retraining: str = ""
    attempt: int = 0

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
    status, attempt = OutcomeStatus(values["status"]), int(values.get("attempt", 0))
    return Outcome(**{**values, "status": status, "attempt": attempt})


def merge_news(known: Mapping[str, Outcome], news: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Return what is known with the news, of which some may be older than what is known."""
    merged = dict(known)
    for name, outcome in news.items():
        before = known.get(name)
        if before is None:
            merged[name] = outcome
        elif not _is_older(outcome, before):
            # What long work tells has no attempt of its own: it is of the last one that is known.
            merged[name] = replace(outcome, attempt=max(outcome.attempt, before.attempt))
    return merged


def _is_older(news: Outcome, known: Outcome) -> bool:
    """Say whether news is of an earlier time than what is known.

    What an attempt came to is recorded after it was given back: a later attempt may have been made
    and recorded meanwhile. And long work can be quicker than the attempt that began it is recorded.
    """
    is_over = bool(known.work) and known.status is not OutcomeStatus.WAITING
    if is_over and news.status is OutcomeStatus.WAITING:
        is_new_attempt = not news.work and news.attempt > known.attempt > 0
        return news.work in ("", known.work) and not is_new_attempt
    if is_over and not news.work:
        return known.status is not OutcomeStatus.FAILED
    if news.work and known.work in ("", news.work):
        return False
    return news.attempt < known.attempt


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
