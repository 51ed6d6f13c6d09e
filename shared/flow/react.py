"""Reacts to deliveries: parses events, matches and runs reactions, buries failures, records all."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.errors import (
    BudgetSpent,
    ClaimHeld,
    CutOff,
    CutOffAgain,
    Disposition,
    EventMalformed,
    EventMisplaced,
    Failure,
    ReactionGone,
    StorageDenied,
    StorageUnavailable,
    TagsAwaited,
    WorkspaceForeign,
    failure_of,
)
from shared.base.words import second
from shared.events.envelopes import (
    MAX_BODY,
    Envelope,
    as_readable,
    parse_envelope,
    parse_events,
    read_body,
)
from shared.events.model import Event, ModelRegistered, UnknownEvent, as_data
from shared.flow.late_tags import LateTags, Look
from shared.flow.letter_events import MAX_KEPT, event_of_letter, events_in_letter, give_up
from shared.flow.steps import ReactionResult, Steps, outcome_of_failure
from shared.flow.unreported import FOUND, LATE, find_records, is_found
from shared.journal.dead_letters import DeadLetters
from shared.journal.letters import Letter, LetterStatus
from shared.journal.outcomes import WHOLE, EventRef, Outcome, OutcomeStatus, ref_of
from shared.journal.records import Records
from shared.reactions.match import Match, Matched, as_listed, match, match_one
from shared.reactions.model import Reactions

log = logging.getLogger(__name__)

#: Codes of letters whose last try did not end, as far as is known.
_CUT_OFF = frozenset({CutOff.code, ClaimHeld.code})


class React:
    """Runs the reactions of events, each within a time budget."""

    def __init__(
        self,
        *,
        reactions: Reactions,
        steps: Steps,
        records: Records,
        dead_letters: DeadLetters,
        clock: Clock,
        budget: timedelta,
        late_tags: LateTags,
        follow: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """`follow` gets every event of a listed workspace, before its reactions."""
        self._late_tags = late_tags
        self._follow = follow
        self._reactions = reactions
        self._steps = steps
        self._records = records
        self._dead_letters = dead_letters
        self._clock = clock
        self._budget = budget

    def react_to_body(
        self,
        body: str | bytes,
        *,
        limit: int = MAX_BODY,
        takes: frozenset[str] | None = None,
        is_again: bool = False,
    ) -> None:
        """React to a message's body: one event or an array, in base64 or not.

        A body that is no event, or longer than `limit` bytes, becomes a parked letter. `takes` is
        that of `react`. `is_again` says that the message was handed out before: it becomes a
        letter, whose tries are counted.

        Raises: StorageUnavailable; the message must then stay in its queue.
        """
        if is_again:
            self.put_off(body, takes=takes)
            return
        try:
            raws = read_body(body, limit=limit)
        except EventMalformed as error:
            self._dead_letters.bury(as_readable(body), failure_of(error), takes=_join_types(takes))
            return
        self.react_to_all(raws, takes=takes)

    def put_off(self, body: str | bytes, *, takes: frozenset[str] | None = None) -> None:
        """Keep a body whose delivery was cut off or given up, as a letter that is replayed soon.

        Raises: StorageUnavailable.
        """
        failure = failure_of(CutOff("its delivery was cut off, or given up"))
        self._dead_letters.bury(as_readable(body), failure, takes=_join_types(takes))

    def react_to_all(
        self, raws: Sequence[Mapping[str, Any]], *, takes: frozenset[str] | None = None
    ) -> None:
        """React to the envelopes of one delivery, all within one time budget.

        Those for which no time is left become a letter, which is replayed at once.

        Raises: StorageUnavailable.
        """
        deadline = self._clock.now() + self._budget
        for number, raw in enumerate(raws):
            if number and self._clock.now() >= deadline:
                failure = failure_of(BudgetSpent(f"no time was left for {len(raws) - number} more"))
                rest = json.dumps(raws[number:])
                self._dead_letters.bury(rest, failure, takes=_join_types(takes))
                return
            self.react(raw, takes=takes, deadline=deadline)

    def react(
        self,
        raw: Mapping[str, Any],
        *,
        takes: frozenset[str] | None = None,
        deadline: datetime | None = None,
    ) -> None:
        """React to one envelope. When this returns, the fate of each event in it is on record.

        `takes` are the types that this trigger accepts, None for any; another type is recorded as
        refused, and runs nothing. `deadline` is the end of the delivery's time, by default a budget
        from now.

        Raises: StorageUnavailable. The envelope must then be delivered again; steps that are done
        are not repeated.
        """
        deadline = deadline or self._clock.now() + self._budget
        try:
            envelope = parse_envelope(raw)
            refused = _refuse(envelope, takes)
            if refused is not None:
                self._record_unread(envelope, _skipped(refused.message, refused.code))
                return
        except EventMalformed as error:
            self._keep_malformed(raw, error, takes)
            return
        try:
            events = parse_events(envelope)
        except EventMalformed as error:
            self._keep_malformed(raw, error, takes)
            self._record_unread(envelope, outcome_of_failure(failure_of(error)))
            return
        for event in events:
            with telemetry.span(telemetry.SPAN_REACT) as span:
                ref = ref_of(event)
                span.set_attribute(telemetry.ATTR_EVENT_TYPE, ref.type)
                span.set_attribute(telemetry.ATTR_EVENT_KEY, ref.key)
                result = self._react_to(event, ref, envelope, deadline)
                self._record(ref, result, body=envelope.body)

    def react_to_found(self, raw: Mapping[str, Any], *, only: frozenset[str] | None) -> None:
        """React to the event of a model that Event Grid never reported.

        `only` are the reactions that may be set off, None for any. The record says first that it
        was found: an event that comes late is then known to be of a model that was found.

        Raises: StorageUnavailable. A later sweep then finds it again.
        """
        envelope = parse_envelope(raw)
        for event in parse_events(envelope):
            with telemetry.span(telemetry.SPAN_REACT) as span:
                ref = ref_of(event)
                span.set_attribute(telemetry.ATTR_EVENT_TYPE, ref.type)
                span.set_attribute(telemetry.ATTR_EVENT_KEY, ref.key)
                self._records.add(ref, {}, delivery=True, body=envelope.body, is_found=True)
                deadline = self._clock.now() + self._budget
                result = self._react_to(event, ref, envelope, deadline, only)
                self._record(ref, result, delivery=False)

    def _keep_malformed(
        self, raw: Mapping[str, Any], error: EventMalformed, takes: frozenset[str] | None
    ) -> None:
        with telemetry.span(telemetry.SPAN_REACT):
            self._dead_letters.bury(json.dumps(raw), failure_of(error), takes=_join_types(takes))

    def _record_unread(self, envelope: Envelope, outcome: Outcome) -> None:
        """Record an event that was refused or can't be read.

        The record is that of an unknown event, so a forged event is not on the true one's record.
        """
        unread = UnknownEvent(
            id=envelope.id, type=envelope.type, time=envelope.time, source=envelope.source
        )
        with telemetry.span(telemetry.SPAN_REACT):
            ref = ref_of(unread)
            log.warning("event not read", extra={"event": ref.key, "code": outcome.code})
            self._record(ref, ReactionResult(news={WHOLE: outcome}), body=envelope.body)

    def _react_to(
        self,
        event: Event | UnknownEvent,
        ref: EventRef,
        envelope: Envelope,
        deadline: datetime,
        only: frozenset[str] | None = None,
    ) -> ReactionResult:
        """Run the event's reactions and bury failures; return the results of all.

        `only` are the names of the reactions that may be set off, None for any.
        """
        if isinstance(event, UnknownEvent):
            skipped = _skipped("no reaction can be written for this type", "event.unknown")
            return ReactionResult(news={WHOLE: skipped})
        workspace = as_listed(self._reactions, event.workspace)
        if workspace is None:
            skipped = _skipped("reactions.yaml does not list it", WorkspaceForeign.code)
            return ReactionResult(news={WHOLE: skipped})
        event = replace(event, workspace=workspace)
        if found_at := self._found_before(event):
            detail = f"it came late: the sweep had found the model at {second(found_at)}"
            return ReactionResult(news={WHOLE: _skipped(detail, FOUND)})
        self._follow(event)
        total, look = ReactionResult(), self._late_tags.look_at(event)
        for result in match(self._reactions, event):
            if only is not None and result.reaction.name not in only:
                continue
            run = self._run(result, look, ref, deadline)
            if run.failure is not None:
                letter = self._dead_letters.bury(
                    envelope.body, run.failure, reaction=result.reaction.name, ref=ref
                )
                run.news = _kept_as(letter, run, run.failure)
                _log(letter)
            total.news |= run.news
            total.hearsay |= run.hearsay
        if not total.news and not total.hearsay:
            total.news[WHOLE] = _skipped("no reaction is for this type of event")
        return total

    def _found_before(self, event: Event) -> datetime | None:
        """Return when the sweep found the model of an event that comes late, None if it did not.

        An event in time costs no request.
        """
        if (
            not self._reactions.find_models
            or not isinstance(event, ModelRegistered)
            or is_found(event)
            or self._clock.now() - event.time < LATE
        ):
            return None
        found = (record.found_at for record in find_records(self._records, event))
        return next(filter(None, found), None)

    def _run(
        self,
        result: Match,
        look: Look,
        ref: EventRef,
        deadline: datetime,
        *,
        is_replay: bool = False,
    ) -> ReactionResult:
        """Run a reaction that the event sets off, perhaps by tags that the model got later."""
        whole = f"{result.reaction.name}/{WHOLE}"
        try:
            looked = look.settle(result)
            if isinstance(looked.match, Matched):
                self._steps.check_hold(result.reaction, is_replay=is_replay)
        except Exception as error:  # noqa: BLE001 - its fate is decided as that of a step is
            return ReactionResult(failure=failure_of(error))
        if isinstance(looked.match, Matched):
            run = self._steps.run(looked.match.reaction, looked.event, ref, deadline)
            if looked.note:
                run.news[whole] = Outcome(
                    status=OutcomeStatus.DONE, detail=f"set off by {looked.note}"
                )
            return run
        why = f"{looked.match.why}: {looked.note}" if looked.note else looked.match.why
        return ReactionResult(news={whole: _skipped(why, looked.code)})

    def replay(self, letter: Letter) -> None:
        """Run only a letter's reaction again; then close the letter or bury it again.

        A letter without a reaction holds a whole event, which is handled as if it had just arrived.

        A letter whose replay was cut off is put off instead, and parked after the second time.

        Raises: StorageUnavailable if the result can be neither kept in the letter nor sent as a
        message; the letter then still waits.
        """
        if letter.is_again:
            self._put_off(letter)
            return
        with telemetry.span(
            telemetry.SPAN_REPLAY, parent=letter.traceparent, reaction=letter.reaction
        ):
            try:
                if letter.reaction:
                    self._replay_reaction(letter)
                else:
                    self._replay_whole(letter)
            except Exception as error:
                log.warning("replay failed", extra={"letter": letter.id}, exc_info=error)
                try:
                    self._dead_letters.bury_again(letter, failure_of(error))
                except (StorageUnavailable, StorageDenied):
                    self._dead_letters.put_back(letter)

    def _put_off(self, letter: Letter) -> None:
        """Count a replay that was cut off, before anything else is done with the letter."""
        again = letter.code in _CUT_OFF
        error = (CutOffAgain if again else CutOff)("its replay was cut off")

        def record(again: Letter) -> None:
            if again.status is LetterStatus.PARKED:
                give_up(self._records, again)

        # The record first, because after a crash nobody would write that of a parked letter.
        _log(self._dead_letters.bury_again(letter, failure_of(error), record))

    def _replay_reaction(self, letter: Letter) -> None:
        try:
            events = events_in_letter(letter)
        except EventMalformed as error:  # its blob is gone, or the app is stricter now
            self._dead_letters.park(letter, failure_of(error))
            return
        reaction = self._reactions.get(letter.reaction)
        event = event_of_letter(letter, events, reaction)
        assert isinstance(event, Event)  # no other kind ever matched a reaction
        ref, workspace = ref_of(event), as_listed(self._reactions, event.workspace)
        if (
            reaction is None
            or not reaction.enabled
            or event.type not in reaction.on
            or workspace is None
        ):
            gone = ReactionGone(f"reaction {letter.reaction!r} is gone, or is for other events now")
            run = ReactionResult(failure=failure_of(gone))
        elif reaction.dry_run and letter.code != TagsAwaited.code:
            # It was begun when it was no dry run: a rehearsal would close the letter.
            gone = ReactionGone(f"reaction {letter.reaction!r} is in a dry run now")
            run = ReactionResult(failure=failure_of(gone))
        else:
            deadline = self._clock.now() + self._budget
            event = replace(event, workspace=workspace)
            look = self._late_tags.look_at(event)
            run = self._run(
                match_one(reaction, as_data(event)),
                look,
                ref,
                deadline,
                is_replay=letter.code != TagsAwaited.code,
            )
        if run.failure is not None:
            self._bury_again(letter, run, run.failure, ref)
            return
        replayed = run.news.get(_whole(letter))
        replayed = replayed or Outcome(status=OutcomeStatus.DONE, detail="replayed")
        run.news[_whole(letter)] = replace(replayed, attempt=letter.turn + 1)
        # The record first, because after a crash nobody would write that of a closed letter.
        self._record(ref, run, delivery=False)
        self._dead_letters.close(letter)

    def _bury_again(
        self, letter: Letter, run: ReactionResult, failure: Failure, ref: EventRef
    ) -> None:
        """Record a failed replay, and then keep its letter."""

        def record(again: Letter) -> None:
            news = run.hearsay | _kept_as(again, run, failure)
            self._records.add(ref, news, delivery=False)

        again = self._dead_letters.bury_again(letter, failure, record)
        _count(_kept_as(again, run, failure))
        _log(again)

    def _replay_whole(self, letter: Letter) -> None:
        try:
            for raw in read_body(letter.body, limit=MAX_KEPT):
                parse_events(parse_envelope(raw))
        except EventMalformed as error:
            self._dead_letters.bury_again(letter, failure_of(error))
            return
        takes = frozenset(letter.takes.split()) if letter.takes else None
        self.react_to_body(letter.body, limit=MAX_KEPT, takes=takes)
        self._dead_letters.close(letter)

    def _record(
        self, ref: EventRef, run: ReactionResult, *, delivery: bool = True, body: str = ""
    ) -> None:
        self._records.add(ref, run.hearsay | run.news, delivery=delivery, body=body)
        _count(run.news)


def _kept_as(letter: Letter, run: ReactionResult, failure: Failure) -> dict[str, Outcome]:
    """Return the outcomes of a reaction whose failure is kept as this letter."""
    news = dict(run.news)
    if not news and not run.hearsay:
        news[_whole(letter)] = replace(outcome_of_failure(failure), attempt=letter.turn)
    if letter.status is LetterStatus.WAITING or failure.disposition is Disposition.ASK:
        return news
    return {
        name: replace(outcome, status=OutcomeStatus.FAILED)
        if outcome.status is OutcomeStatus.WAITING and not outcome.work
        else outcome
        for name, outcome in news.items()
    }


def _whole(letter: Letter) -> str:
    return f"{letter.reaction}/{WHOLE}"


def _log(letter: Letter) -> None:
    log.warning(
        "letter %s",
        letter.status,
        extra={"letter": letter.id, "reaction": letter.reaction, "code": letter.code},
    )


def _count(news: Mapping[str, Outcome]) -> None:
    for name, outcome in news.items():
        telemetry.count(
            telemetry.METRIC_OUTCOMES, reaction=name, status=outcome.status, code=outcome.code
        )


def _join_types(takes: frozenset[str] | None) -> str:
    return " ".join(sorted(takes or ()))


def _refuse(envelope: Envelope, takes: frozenset[str] | None) -> EventMisplaced | None:
    kind = envelope.kind
    if takes is None or kind is None or kind in takes:
        return None
    return EventMisplaced(f"{kind} came where only {', '.join(sorted(takes))} may come")


def _skipped(detail: str, code: str = "") -> Outcome:
    return Outcome(status=OutcomeStatus.SKIPPED, detail=detail, code=code)
