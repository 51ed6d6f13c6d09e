"""Announcements: what came of things, published on one topic for other systems to listen to.

A message on queue `announcements` holds them until the topic has taken them. It is sent before the
row is written that it tells of: after a crash in between, the work is done again and announced
again, under the same ids. So none is lost, and some come twice.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.errors import failure_of
from shared.base.ids import digest
from shared.base.incoming import read_json
from shared.base.outgoing import for_row
from shared.base.ports import Message, Publication, Queues, Topics
from shared.base.redact import redact
from shared.base.retry import backoff
from shared.journal.letters import Letter
from shared.journal.outcomes import WHOLE, EventRef, Outcome, OutcomeStatus, outcome_to

log = logging.getLogger(__name__)

QUEUE = "announcements"
#: The version of the schema of their data: docs/reference/outcome-events.schema.json.
VERSION: Final = 1

OUTCOME_RECORDED = "Signalbox.OutcomeRecorded"
LETTER_PARKED = "Signalbox.LetterParked"

#: In bytes. A message of a queue holds 64 KiB.
_MESSAGE_MAX = 48 * 1024
_TEXT_MAX = 2_000
#: A message that the host gave up comes back after this.
_GIVEN_UP_WAIT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcer:
    """Puts announcements into their queue."""

    queues: Queues
    clock: Clock

    def announce(self, announcements: Sequence[Publication]) -> None:
        """Put announcements into the queue: one request for some dozens of them, none for none.

        Raises: StorageUnavailable.
        """
        for events in _in_messages(announcements):
            self._send(_Parcel(events=events, since=self.clock.now()), timedelta(0))

    def announce_outcomes(self, ref: EventRef, news: Mapping[str, Outcome]) -> None:
        """Announce outcomes of an event; a reaction that it did not set off has none.

        Raises: StorageUnavailable.
        """
        now = self.clock.now()
        told = [
            _outcome_recorded(ref, name, outcome, now)
            for name, outcome in news.items()
            if name != WHOLE and not _is_unmatched(name, outcome)
        ]
        self.announce(told)

    def announce_parked(self, letter: Letter) -> None:
        """Announce that a letter waits for a person.

        Raises: StorageUnavailable.
        """
        self.announce([_letter_parked(letter, self.clock.now())])

    def poison(self) -> tuple[Message, ...]:
        """Return messages that the host gave up on."""
        return self.queues.receive(f"{QUEUE}-poison")

    def take_back(self, message: Message) -> None:
        """Put a message that the host gave up on into the queue again."""
        self.queues.send(QUEUE, message.text, delay=_GIVEN_UP_WAIT)
        self.queues.delete(f"{QUEUE}-poison", message)

    def _send(self, parcel: "_Parcel", delay: timedelta) -> None:
        self.queues.send(QUEUE, _written(parcel), delay=delay)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncementPublisher:
    """Publishes the announcements of a message. They are tried for as long as `retention`."""

    announcer: Announcer
    topics: Topics
    topic: str
    retention: timedelta
    retry_base: timedelta

    def publish(self, message: str) -> None:
        """Publish the announcements of a message, or put them off. Another message is dropped.

        Raises: StorageUnavailable; the message must then stay in its queue.
        """
        parcel = _read(message)
        if parcel is None:
            log.warning("a message that holds no announcements was dropped")
            return
        try:
            self.topics.publish(self.topic, parcel.events)
        except Exception as error:  # noqa: BLE001 - whatever it was, the announcements are kept
            self._put_off(parcel, error)
        else:
            _count(parcel, "published")

    def _put_off(self, parcel: "_Parcel", error: Exception) -> None:
        failure = failure_of(error)
        facts = {"code": failure.code}
        if self.announcer.clock.now() - parcel.since > self.retention:
            ids = ", ".join(event.id for event in parcel.events)
            log.error("announcements were given up: %s (%s)", failure.reason, ids, extra=facts)
            _count(parcel, "given up")
            return
        log.warning("announcements are put off: %s", failure.reason, extra=facts)
        _count(parcel, "failed")
        later = replace(parcel, attempt=parcel.attempt + 1)
        wait = backoff(later.attempt, retry_after=failure.retry_after, base=self.retry_base)
        self.announcer._send(later, wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    """The content of a message: announcements, since when they wait, and the failed attempts."""

    events: tuple[Publication, ...]
    since: datetime
    attempt: int = 0


def announcement(
    type: str, key: Sequence[str], *, about: str, source: str, at: datetime, data: Mapping[str, Any]
) -> Publication:
    """Return an announcement. Its id is made from its key, which says what is announced."""
    return Publication(
        id=digest(type, *key),
        type=type,
        source=source,
        subject=about,
        time=at,
        data={"version": VERSION, **data},
    )


def origin_to(workspace_id: str, ref: EventRef, name: str) -> dict[str, Any]:
    """Return the origin of something, as data of an announcement.

    It is a workspace, an event, and the step of a reaction, whose name is "reaction/step".
    """
    reaction, _, step = name.partition("/")
    event = {"id": ref.id, "type": ref.type, "time": ref.time.isoformat(), "about": ref.about}
    return {"workspace": workspace_id, "event": event, "reaction": reaction, "step": step}


def short(text: str) -> str:
    """Return a text of other programs as an announcement has it."""
    return redact(text, most=_TEXT_MAX)


def _outcome_recorded(ref: EventRef, name: str, outcome: Outcome, now: datetime) -> Publication:
    reaction, _, step = name.partition("/")
    return announcement(
        OUTCOME_RECORDED,
        (ref.key, name, json.dumps(outcome_to(outcome), sort_keys=True)),
        about=f"reactions/{reaction}/{step}",
        source=ref.source,
        at=now,
        data={
            **origin_to(ref.source, ref, name),
            "key": ref.key,
            "status": str(outcome.status),
            "code": outcome.code,
            "detail": short(outcome.detail),
            "rollout": outcome.rollout,
            "retraining": outcome.retraining,
            "attempt": outcome.attempt,
            "revision": outcome.revision,
        },
    )


def _letter_parked(letter: Letter, now: datetime) -> Publication:
    return announcement(
        LETTER_PARKED,
        (letter.id, str(letter.turn)),
        about=f"letters/{letter.id}",
        source="signalbox",
        at=now,
        data={
            "workspace_name": letter.workspace,
            "letter": letter.id,
            "reaction": letter.reaction,
            "about": letter.about,
            "code": letter.code,
            "reason": short(letter.reason),
            "hint": short(letter.hint),
            "attempt": letter.attempt,
            "revision": letter.turn,
        },
    )


def _is_unmatched(name: str, outcome: Outcome) -> bool:
    """Return whether an outcome only says that an event did not set a reaction off."""
    is_whole = name.endswith(f"/{WHOLE}")
    return is_whole and outcome.status is OutcomeStatus.SKIPPED and not outcome.code


def _in_messages(announcements: Sequence[Publication]) -> Iterator[tuple[Publication, ...]]:
    """Yield the announcements, as many at a time as a message has room for."""
    some: list[Publication] = []
    left = _MESSAGE_MAX
    for event in announcements:
        size = len(for_row(json.dumps(_event_to(event), ensure_ascii=False)).encode())
        if some and size > left:
            yield tuple(some)
            some, left = [], _MESSAGE_MAX
        some.append(event)
        left -= size
    if some:
        yield tuple(some)


def _written(parcel: _Parcel) -> str:
    content = {
        "v": 1,
        "since": parcel.since.isoformat(),
        "attempt": parcel.attempt,
        "events": [_event_to(event) for event in parcel.events],
    }
    return json.dumps(content, ensure_ascii=False)


def _event_to(event: Publication) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "subject": event.subject,
        "time": event.time.isoformat(),
        "data": dict(event.data),
    }


def _read(message: str) -> _Parcel | None:
    """Read a message of ours; None if it is not one."""
    try:
        content = read_json(message)
        events = tuple(_event_from(item) for item in content["events"])
        since, attempt = datetime.fromisoformat(content["since"]), content["attempt"]
        is_ours = content["v"] == 1 and type(attempt) is int and since.tzinfo is not None
    except (ValueError, TypeError, KeyError):
        return None
    return _Parcel(events=events, since=since, attempt=attempt) if is_ours and events else None


def _event_from(item: Any) -> Publication:
    """Raises: ValueError, TypeError or KeyError for what is no announcement."""
    if not (isinstance(item["data"], dict) and str(item["type"]).startswith("Signalbox.")):
        raise ValueError("no announcement")
    return Publication(
        **{name: str(item[name]) for name in ("id", "type", "source", "subject")},
        time=datetime.fromisoformat(item["time"]),
        data=item["data"],
    )


def _count(parcel: _Parcel, status: str) -> None:
    for event in parcel.events:
        telemetry.count(telemetry.METRIC_ANNOUNCEMENTS, type=event.type, status=status)
