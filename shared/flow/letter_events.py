"""Reads the events of a letter, to replay them or to give their steps up."""

from collections.abc import Sequence

from shared.base.errors import EventMalformed
from shared.events.envelopes import MAX_BODY, parse_envelope, parse_events, read_body
from shared.events.model import Event, UnknownEvent
from shared.journal.letters import Letter
from shared.journal.outcomes import Outcome, OutcomeStatus, ref_of
from shared.journal.records import Records
from shared.reactions.model import Reaction

#: The most bytes of a body that was kept, by us or by Event Grid: an event of the greatest size,
#: escaped, or an array of events with the result of each delivery.
MAX_KEPT = 16 * MAX_BODY


def give_up(records: Records, letter: Letter) -> None:
    """Record that steps no longer wait for a letter's replay: it was parked, or closed by hand.

    Raises: StorageUnavailable.
    """
    if not letter.reaction:
        return  # no step of a whole event is recorded as waiting
    try:
        events = events_in_letter(letter)
    except EventMalformed:
        return
    failed = Outcome(
        status=OutcomeStatus.FAILED, detail=letter.reason, code=letter.code, attempt=letter.turn
    )
    records.give_up(ref_of(event_of_letter(letter, events, None)), letter.reaction, failed)


def events_in_letter(letter: Letter) -> Sequence[Event | UnknownEvent]:
    """Read the events of a letter of one reaction.

    Raises: EventMalformed.
    """
    return parse_events(parse_envelope(read_body(letter.body, limit=MAX_KEPT)[0]))


def event_of_letter(
    letter: Letter, events: Sequence[Event | UnknownEvent], reaction: Reaction | None
) -> Event | UnknownEvent:
    """Return the event of an envelope that a letter is about, found by its type.

    The type in the letter holds even if its reaction is gone, or is for other events by now.
    """
    types = (letter.about.partition(" ")[0], *(reaction.on if reaction is not None else ()))
    for wanted in types:
        for event in events:
            if str(event.type) == wanted:
                return event
    return events[0]
