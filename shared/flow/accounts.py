"""Accounts of events: per reaction why it was set off or not, and what came of it, with times.

They are computed from the event as it was kept, by the rules as they are now. An account says so
where the record shows that another rule held when the event came.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from shared.actions.current_state import current_event
from shared.base.clock import Clock
from shared.base.errors import ApprovalMissing, EventMalformed, SignalboxError
from shared.events.fields import one_line
from shared.events.model import Event, EventType, ModelRegistered, UnknownEvent, as_data
from shared.journal.dead_letters import DeadLetters
from shared.journal.letters import Letter, LetterStatus, letter_id_of
from shared.journal.outcomes import WHOLE, Outcome, OutcomeStatus
from shared.journal.records import EventRecord, Records
from shared.reactions.explanation import Explanation, explain, explain_one, explain_workspace
from shared.reactions.match import as_listed
from shared.reactions.model import Reactions
from shared.retraining.model import Loop, Retraining, Stage
from shared.retraining.store import LoopStore
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.people.progress import awaited
from shared.rollouts.state.rollout import Rollout

if TYPE_CHECKING:
    from shared.workspaces.ports import Workspaces

_TEXT_MAX = 300
_TYPES = frozenset(map(str, EventType))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a timeline. Without `at` it is so now; with one ahead it is still to come."""

    at: datetime | None
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReactionAccount:
    """The acts of one reaction about an event, with the reason.

    `explanation` is None for a reaction that is no longer in the file, as `note` then says, and for
    an event that can't be read. `outcomes`
    are by step. `note` says where that differs from the rules as they are now, or from the tags.
    """

    name: str
    explanation: Explanation | None = None
    outcomes: Mapping[str, Outcome]
    note: str = ""
    timeline: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The results of one event.

    `event` is None where it can't be read, for the reason in `unread`. `nothing` is why no reaction
    was asked when it came, and `barred` why none would be now; both are "" if any was or would.
    """

    record: EventRecord
    body: str
    event: Event | UnknownEvent | None
    unread: str = ""
    nothing: str = ""
    barred: str = ""
    reactions: tuple[ReactionAccount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Gives accounts of events.

    `reactions` is None where the rules can't be read: then only the outcomes are told. `workspaces`
    is None where no workspace is to be asked.
    """

    records: Records
    reactions: Reactions | None
    dead_letters: DeadLetters
    rollouts: RolloutStore
    loops: LoopStore
    clock: Clock
    workspaces: "Callable[[], Workspaces] | None" = None

    def of(self, record: EventRecord) -> Account:
        """Return the account of an event.

        Raises: StorageUnavailable.
        """
        account, event = self._read(record), None
        explained: dict[str, Explanation] = {}
        barred = account.nothing if record.type not in _TYPES else ""
        if self.reactions is not None and isinstance(account.event, Event):
            event = account.event
            listed = as_listed(self.reactions, event.workspace)
            event = event if listed is None else replace(event, workspace=listed)
            explained = {item.reaction.name: item for item in explain(self.reactions, event)}
            barred = barred or explain_workspace(self.reactions, event.workspace)
        recorded = {name.partition("/")[0] for name in record.outcomes} - {WHOLE}
        names = (*explained, *sorted(recorded - explained.keys()))
        return replace(
            account,
            barred=barred,
            reactions=tuple(
                self._of_reaction(record, event, name, explained.get(name), barred)
                for name in names
            ),
        )

    def _read(self, record: EventRecord) -> Account:
        body, whole = self.records.body_of(record), record.outcomes.get(WHOLE)
        event, unread = None, "" if body else "its body was not kept"
        try:
            event = self.records.event_of(replace(record, body=body)) if body else None
        except EventMalformed as error:
            unread = error.message
        return Account(
            record=record,
            body=body,
            event=event,
            unread=unread,
            nothing=_with_code(whole) if whole else "",
        )

    def _of_reaction(
        self,
        record: EventRecord,
        event: Event | None,
        name: str,
        explanation: Explanation | None,
        barred: str,
    ) -> ReactionAccount:
        outcomes = {
            step: outcome
            for full, outcome in record.outcomes.items()
            for reaction, _, step in (full.partition("/"),)
            if reaction == name
        }
        note = ""
        if event is not None and not (barred and not outcomes):
            note = _difference(explanation, outcomes)
            note = note or self._late(event, explanation, outcomes)
        return ReactionAccount(
            name=name,
            explanation=explanation,
            outcomes=outcomes,
            note=note,
            timeline=tuple(self._timeline(record, name, outcomes)) if outcomes else (),
        )

    def _late(
        self, event: Event, explanation: Explanation | None, outcomes: Mapping[str, Outcome]
    ) -> str:
        """Return what the tags are now, where they may have come after the app looked."""
        was_asked = outcomes.keys() == {WHOLE} and isinstance(event, ModelRegistered)
        if self.workspaces is None or explanation is None or not was_asked:
            return ""
        if not explanation.wants_tags:
            return ""
        try:
            now = current_event(self.workspaces(), event, self.clock.now())
        except SignalboxError as error:
            return f"its tags as they are now could not be read: {error.code}: {error.message}"
        again = explain_one(explanation.reaction, now.type, as_data(now))
        if again.why == explanation.why:
            return ""
        if not again.matches:
            return f"by its tags as they are now, {again.why}"
        return (
            "its tags as they are now would set it off: they came after the app had looked. A model"
            " is read again once, within about a minute of its registration; register it with its"
            " tags"
        )

    def _timeline(
        self, record: EventRecord, reaction: str, outcomes: Mapping[str, Outcome]
    ) -> Iterator[Entry]:
        entries = [*self._of_letter(self.dead_letters.get(letter_id_of(record.event, reaction)))]
        work = {outcome.work for outcome in outcomes.values() if outcome.work}
        if any(outcome.rollout for outcome in outcomes.values()):
            found = (kept.value for kept in self.rollouts.all())
            for rollout in (one for one in found if one.id in work):
                entries += self._of_rollout(rollout)
        if any(outcome.retraining for outcome in outcomes.values()):
            for loop in (kept.value for kept in self.loops.all()):
                for retraining in (one for one in loop.retrainings if one.id in work):
                    entries += _of_retraining(loop, retraining)
        past = [entry for entry in entries if entry.at is not None]
        yield from sorted(past, key=lambda entry: entry.at or record.time)
        yield from (entry for entry in entries if entry.at is None)

    def _of_letter(self, letter: Letter | None) -> Iterator[Entry]:
        if letter is None:
            return
        short = letter.id[:8]
        why = f"{letter.code}: {one_line(letter.reason, most=_TEXT_MAX)}"
        yield Entry(at=letter.created_at, what=f"it was put off, as letter {short}")
        match letter.status:
            case LetterStatus.WAITING:
                after = f"after attempt {letter.attempt}, " if letter.attempt else ""
                yield Entry(at=letter.due_at, what=f"next try of letter {short}, {after}{why}")
            case LetterStatus.PARKED:
                hint = f" {letter.hint}" if letter.hint else ""
                what = f"letter {short} is parked until a person decides: {why}.{hint}"
                yield Entry(at=None, what=what)
                if letter.code != ApprovalMissing.code:  # whose hint says how to give it
                    order = f'signalbox letters replay {short} --why "reason"'
                    yield Entry(at=None, what=f"to try it again: {order}")
            case LetterStatus.CLOSED:
                by = f": {letter.order}" if letter.order else ", because it was replayed"
                yield Entry(at=letter.due_at, what=f"letter {short} was closed{by}")

    def _of_rollout(self, rollout: Rollout) -> Iterator[Entry]:
        short, now = rollout.id[:8], self.clock.now()
        began = f"rollout {short} on endpoint {rollout.endpoint}, by {rollout.plan.strategy.name}"
        yield Entry(at=rollout.created_at, what=began)
        for moment in rollout.history:
            text = f": {one_line(moment.text, most=_TEXT_MAX)}" if moment.text else ""
            yield Entry(at=moment.at, what=f"rollout {short} {moment.phase}{text}")
        waits = awaited(rollout, now)
        if waits is not None:
            is_ahead = waits.until is not None and waits.until > now
            what = f"rollout {short} is {rollout.phase}, and waits {'until then ' * is_ahead}for"
            yield Entry(at=waits.until if is_ahead else None, what=f"{what} {waits.what}")
        yield Entry(at=None, what=f"all of it: signalbox rollouts show {short}")


def _of_retraining(loop: Loop, retraining: Retraining) -> Iterator[Entry]:
    short, which = retraining.id[:8], loop.id[len(loop.id) // 2 :][:8]
    yield Entry(at=retraining.decided_at, what=f"retraining {short} was decided")
    if retraining.answered_at:
        what = f"retraining {short} answered by {retraining.by}: {retraining.why}"
        yield Entry(at=retraining.answered_at, what=what)
    if retraining.ended_at:
        what = f"retraining {short}: run {retraining.run_id or 'not known'} ended"
        yield Entry(at=retraining.ended_at, what=what)
    reason = retraining.verdict or retraining.reason
    text = f": {one_line(reason, most=_TEXT_MAX)}" if reason else ""
    yield Entry(at=retraining.changed_at, what=f"retraining {short} is {retraining.stage}{text}")
    if retraining.stage is Stage.ASKED:
        what = f'it waits for approval: signalbox loops approve {which} --why "reason"'
        yield Entry(at=None, what=what)
    yield Entry(at=None, what=f"all of it: signalbox loops show {which}")


def was_set_off(outcomes: Mapping[str, Outcome]) -> bool | None:
    """Return whether the record says that a reaction was set off; None if that is not decided.

    The outcomes are of its steps. A reaction without any was not asked.
    """
    if outcomes.keys() - {WHOLE}:
        return True
    whole = outcomes.get(WHOLE)
    return False if whole is None or whole.status is OutcomeStatus.SKIPPED else None


def _difference(explanation: Explanation | None, outcomes: Mapping[str, Outcome]) -> str:
    """Return how the rules as they are now differ from what is on record, "" if they do not."""
    was, whole = was_set_off(outcomes), outcomes.get(WHOLE)
    if explanation is None:
        return "the rules have changed since: it is no longer in the file"
    if was and not explanation.matches:
        if whole is not None and whole.status is OutcomeStatus.DONE and whole.detail:
            return ""  # the record says by which tags it was set off
        return "the rules have changed since: it was set off when the event came"
    if was is False and explanation.matches:
        then = "it was not set off" if whole else "it was not asked"
        return f"the rules have changed since: {then} when the event came"
    return ""


def _with_code(outcome: Outcome) -> str:
    return f"{outcome.detail} ({outcome.code})" if outcome.code else outcome.detail
