"""The event that a command is given: a file, standard input, or one that is on record."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.common import fail, visible
from shared.base.errors import EventMalformed

if TYPE_CHECKING:
    from shared.events.model import Event, UnknownEvent
    from shared.journal.records import EventRecord
    from shared.services import Services

#: The characters of an id; with any other it was meant as the path of a file.
_ID = re.compile(r"[\w:.=-]+", re.ASCII)
#: The most bytes of a file, which may be an array of events.
_FILE_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Envelopes as they were given. `record` is that of the event, where it was on record."""

    raws: tuple[dict[str, Any], ...]
    record: "EventRecord | None" = None


@contextmanager
def named(source: str) -> Iterator[None]:
    """Put the name of a file before the message of an EventMalformed that it leads to."""
    try:
        yield
    except EventMalformed as error:
        raise EventMalformed(f"{visible(source)}: {error.message}", hint=error.hint) from None


def read_given(services: "Services", given: str) -> Given:
    """Return the envelopes in a file, of standard input (`-`), or of the event of this id.

    Exits with 1 if there is no such file and no such event. Raises: EventMalformed.
    """
    from shared.events.envelopes import read_body

    path = Path(given)
    if given == "-" or path.is_file():
        try:
            body = sys.stdin.buffer.read() if given == "-" else path.read_bytes()
        except OSError as error:
            raise fail(visible(f"{given} can't be read: {error.strerror}")) from None
        with named("standard input" if given == "-" else given):
            return Given(raws=read_body(body, limit=_FILE_MAX))
    if given.endswith(".json") or not _ID.fullmatch(given):
        raise fail(visible(f"there is no file {given}"))
    record = _record_of(services, given)
    body_kept = services.records.body_of(record)
    if not body_kept:
        raise fail(f"event {visible(given)} is on record without its body: give a file")
    with named(f"event {given}"):
        return Given(raws=read_body(body_kept, limit=_FILE_MAX), record=record)


def _record_of(services: "Services", prefix: str) -> "EventRecord":
    since = services.clock.now() - services.settings.retention
    found = list(services.records.by_id(prefix, since=since))
    exact = [record for record in found if prefix in (record.id, record.event)] or found
    # The events that one envelope holds have one body.
    if len({record.id for record in exact}) == 1:
        return exact[0]
    if exact:
        raise fail(f"{len(exact)} events begin with {visible(prefix)}: give more of the id")
    raise fail(visible(f"there is no file {prefix}, and no event of this id is on record"))


def events_of(raw: Mapping[str, Any]) -> "tuple[Event | UnknownEvent, ...]":
    """Return the events in an envelope. Raises: EventMalformed."""
    from shared.events.envelopes import parse_envelope, parse_events

    return parse_events(parse_envelope(raw))


def known_event(services: "Services", given: str, kind: str) -> "Event":
    """Return the event that is given; of several, the first of this type, or of any type for "".

    Its workspace has the casing of the rules file, where that can be read and lists it.

    Exits with 1 if there is none. Raises: EventMalformed.
    """
    from shared.base.errors import SignalboxError
    from shared.events.model import UnknownEvent
    from shared.reactions.match import as_listed

    found = read_given(services, given)
    with named(given):
        events = [event for raw in found.raws for event in events_of(raw)]
    fit = [
        event
        for event in events
        if not isinstance(event, UnknownEvent) and kind in ("", str(event.type))
    ]
    if not fit:
        types = ", ".join(dict.fromkeys(visible(str(event.type)) for event in events))
        wanted = f"no {kind} event" if kind else "no event that a reaction can be written for"
        raise fail(f"{visible(given)} holds {wanted}, only {types}")
    try:
        listed = as_listed(services.reactions, fit[0].workspace)
    except SignalboxError:
        return fit[0]
    return replace(fit[0], workspace=listed or fit[0].workspace)


def as_json_text(value: Any) -> str:
    """Write a value of an expression on one line."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return "a value that JSON can't write"
