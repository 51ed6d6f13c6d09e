"""Shows what happens as it happens: deliveries, rollouts, loops, letters, messages, answers."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty
from typing import Final

from demo.customer import Customer
from demo.rules import Rules
from demo.runs import RunNews, is_of_run, short
from demo.screen import Screen
from demo.stage import NEWS_TOPIC, Channel, Told
from sandbox.event_grid.log import Delivery
from sandbox.event_grid.schemas import Schema
from sandbox.stack import Stack
from shared.base.durations import format_duration
from shared.events.envelopes import parse_envelope, parse_events
from shared.journal.letters import Letter, LetterStatus
from shared.journal.outcomes import WHOLE, Outcome, OutcomeStatus, ref_of
from shared.journal.records import EventRecord
from shared.retraining.model import Decision, Loop, PolicyAnswer, Retraining, Stage
from shared.retraining.store import LoopStore
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Moment, Rollout
from shared.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that happened; `quote` is what somebody said of it."""

    at: datetime
    label: str
    text: str
    quote: str = ""


class Records:
    """The app's records, read from its tables."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._services: Final = Services(settings)
        self._rollouts: Final = RolloutStore(tables=self._services.tables)
        self._loops: Final = LoopStore(tables=self._services.tables)

    def rollouts(self) -> list[Rollout]:
        """Return every rollout, the oldest first."""
        found = [kept.value for kept in self._rollouts.all()]
        return sorted(found, key=lambda rollout: rollout.created_at)

    def measured(self, rollout: Rollout) -> tuple[Measurement, ...]:
        """Return what the gates of a rollout measured, the oldest first."""
        return self._rollouts.measurements(rollout.id)

    def loops(self) -> list[Loop]:
        """Return every loop, by its monitor."""
        return sorted((kept.value for kept in self._loops.all()), key=lambda loop: loop.monitor)

    def letters(self) -> list[Letter]:
        """Return every letter, the oldest first."""
        return sorted(self._services.dead_letters.all(), key=lambda letter: letter.created_at)

    def of_event(self, raw: Mapping[str, object]) -> EventRecord | None:
        """Return what came of an event, or None."""
        return self._services.records.get(ref_of(parse_events(parse_envelope(raw))[0]))

    def skipped(self, since: datetime) -> list[EventRecord]:
        """Return the records of events since then of which a step was skipped, the oldest first."""
        found = self._services.records.find(since=since, outcome=OutcomeStatus.SKIPPED)
        return list(found)[::-1]

    def outcome_of(self, retraining: Retraining) -> Outcome | None:
        """Return what is on record of the step that began a retraining."""
        record = self._services.records.get(retraining.ref)
        return record.outcomes.get(retraining.step) if record else None


class Watch:
    """Looks around, and puts on the screen what is new since the last look."""

    def __init__(
        self,
        stack: Stack,
        channel: Channel,
        customer: Customer,
        records: Records,
        screen: Screen,
        rules: Rules | None = None,
    ) -> None:
        """With `rules` the file's changes are shown, and what reactions skip, with the reason."""
        self._rules: Final = rules
        self._began_at: Final = datetime.now(UTC)
        self._seen_skipped: set[tuple[str, str]] = set()
        self._gates: dict[str, Measurement] = {}
        self._stack: Final = stack
        self._channel: Final = channel
        self._customer: Final = customer
        self._records: Final = records
        self._screen: Final = screen
        self._seen: dict[str, int] = {}
        self._seen_letters: dict[str, tuple[LetterStatus, int]] = {}
        self._seen_answers: dict[tuple[str, str], str] = {}
        self._seen_stages: dict[str, tuple[Stage, bool | None]] = {}
        self._looked_at: dict[str, datetime | None] = {}
        self._troubles: dict[str, str] = {}
        self._runs: Final = RunNews()
        self.loops: list[Loop] = []
        self.rollouts: list[Rollout] = []
        self.letters: list[Letter] = []

    def look(self) -> None:
        """Show what is new, in the order in which it happened."""
        self.rollouts = self._records.rollouts()
        self.loops = self._records.loops()
        self.letters = self._records.letters()
        sources = (
            self._changed_rules,
            self._skipped,
            self._delivered,
            self._decided,
            self._retrained,
            self._moved,
            self._measured,
            self._buried,
            self._told,
            self._published,
            self._switched,
        )
        news = [item for source in sources for item in source()]
        for item in sorted(news, key=lambda item: item.at):
            self._screen.line(item.label, item.text, at=item.at)
            self._screen.quote(item.quote)

    @property
    def gates(self) -> str:
        """The last look at each gate of the rollout that is being measured, in one line."""
        looks = [
            f"{item.measure} {item.outcome.replace('_', ' ')}" for item in self._gates.values()
        ]
        return f"gates: {', '.join(looks)}" if looks else ""

    def _changed_rules(self) -> Iterator[News]:
        for summary, findings in self._rules.changes() if self._rules is not None else ():
            yield News(at=datetime.now(UTC), label="rules", text=summary, quote=findings)

    def _skipped(self) -> Iterator[News]:
        if self._rules is None:
            return
        for record in self._records.skipped(self._began_at):
            for name, outcome in record.outcomes.items():
                is_new = (record.event, name) not in self._seen_skipped
                if outcome.status is OutcomeStatus.SKIPPED and is_new:
                    self._seen_skipped.add((record.event, name))
                    text = f"{name.removesuffix('/*')} for {record.type} {record.about}"
                    if name == WHOLE:
                        text = f"{record.type} {record.about}"
                    yield News(
                        at=record.recorded_at, label="skipped", text=text, quote=outcome.detail
                    )

    def _new[T](self, key: str, items: Sequence[T]) -> list[T]:
        """Return the items of a list that only grows which the last call did not see."""
        seen = self._seen.get(key, 0)
        self._seen[key] = len(items)
        return list(items[seen:])

    def _delivered(self) -> Iterator[News]:
        fresh = self._new("deliveries", self._stack.event_grid.deliveries)
        if not fresh:
            return
        events = {item["event"]["id"]: item["event"] for item in self._stack.control.events()}
        for delivery in fresh:
            event = events.get(delivery.event_id, {})
            if not is_of_run(event):
                yield _delivery_news(delivery, event)
            elif text := self._runs.tell(delivery, event):
                yield News(at=delivery.time, label="event", text=text)

    def _decided(self) -> Iterator[News]:
        for loop in self.loops:
            for decision in loop.decisions:
                key = (loop.id, decision.window)
                if self._seen_answers.get(key) != decision.answer:
                    yield _decision_news(decision)
                self._seen_answers[key] = decision.answer

    def _retrained(self) -> Iterator[News]:
        for loop in self.loops:
            for item in loop.retrainings:
                state = (item.stage, item.helped)
                if self._seen_stages.get(item.id) != state:
                    yield _retraining_news(item)
                self._seen_stages[item.id] = state

    def _moved(self) -> Iterator[News]:
        for rollout in self.rollouts:
            for moment in self._new(rollout.id, rollout.history):
                text = _PHASES.get(moment.phase, _other)(rollout, moment)
                yield News(at=moment.at, label=moment.phase, text=text)
            trouble = rollout.work.trouble
            if trouble and trouble != self._troubles.get(rollout.id):
                yield News(at=datetime.now(UTC), label="trouble", text=f"trying on: {trouble}")
            self._troubles[rollout.id] = trouble

    def _measured(self) -> Iterator[News]:
        for rollout in self.rollouts:
            if rollout.gating.looked_at != self._looked_at.get(rollout.id):
                found = self._records.measured(rollout)
                for item in self._new(f"measured of {rollout.id}", found):
                    self._gates[item.measure] = item
                    if item.outcome is GateOutcome.FAIL or not self._screen.has_footer:
                        yield _gate_news(item)
            self._looked_at[rollout.id] = rollout.gating.looked_at
            if rollout.phase.is_terminal and self._looked_at.pop(rollout.id):
                self._gates.clear()

    def _buried(self) -> Iterator[News]:
        for letter in self.letters:
            if not (letter.attempt or letter.order):
                continue  # nothing has failed: it waits for a monitor's run, or another worker
            state = (letter.status, letter.turn)
            if self._seen_letters.get(letter.id) != state:
                yield _letter_news(letter)
            self._seen_letters[letter.id] = state

    def _told(self) -> Iterator[News]:
        while True:
            try:
                told = self._channel.news.get_nowait()
            except Empty:
                return
            yield News(at=told.at, label="team", text=told.title, quote=_bad_news(told))

    def _published(self) -> Iterator[News]:
        for event in self._new("published", self._stack.event_grid.published(NEWS_TOPIC)):
            at = datetime.fromisoformat(event.written_as(Schema.CLOUD_EVENTS)["time"])
            yield News(at=at, label=NEWS_TOPIC, text=f"gets {event.type} of {event.subject}")

    def _switched(self) -> Iterator[News]:
        for switch in self._new("switches", list(self._customer.switches)):
            failed = len(self._customer.failures)
            text = f"are answered by {switch.deployment} from here on"
            if switch.before:
                text += f" ({switch.before} before, {failed} failed)"
            yield News(at=switch.at, label="requests", text=text)


def _delivery_news(delivery: Delivery, event: Mapping[str, object]) -> News:
    kind = str(event.get("eventType", "an event")).rpartition(".")[2]
    again = f", attempt {delivery.attempt}" if delivery.attempt > 1 else ""
    answer = delivery.status or delivery.outcome
    text = f"{kind} {event.get('subject', '?')} is delivered{again}: {answer}"
    return News(at=delivery.time, label="event", text=text)


def _decision_news(decision: Decision) -> News:
    answer = decision.answer
    held = "" if answer.is_act or answer is PolicyAnswer.NO_DRIFT else "holds it back, "
    text = f"{held}{answer}: {decision.reason}"
    return News(at=decision.at, label="policy", text=text)


def _retraining_news(item: Retraining) -> News:
    if item.helped is not None:
        text = f"retraining has {'helped' if item.helped else 'not helped'}: {item.model}"
        return News(at=datetime.now(UTC), label="loop", text=text)
    text = f"retraining is {item.stage}: {_stage_told(item)}"
    return News(at=item.changed_at, label="loop", text=text)


def _stage_told(item: Retraining) -> str:
    """Return what there is to tell of a retraining at its stage."""
    run = short(item.run_id)
    verdict = item.verdict.replace(item.run_id, run)
    match item.stage:
        case Stage.STARTING:
            [(kind, values)] = json.loads(item.target).items()
            return " ".join([kind, *map(str, values.values())])
        case Stage.RUNNING:
            return f"run {run}"
        case Stage.TRAINED:
            return f"run {run} has completed"
        case Stage.LIVE:
            return f"{item.model}; the next window says whether that has helped"
    return "; ".join(filter(None, (item.model, verdict, item.reason)))


def _letter_news(letter: Letter) -> News:
    now = datetime.now(UTC)
    reason = f"{letter.code}: {letter.reason}"
    if letter.status is LetterStatus.CLOSED:
        by_hand = letter.order.startswith("closed by ")
        text = "is closed, as a person said" if by_hand else "was replayed, and is closed"
        reason = letter.order if by_hand else ""
    elif letter.status is LetterStatus.PARKED:
        text = "is parked, for a person to decide"
    elif not letter.attempt:
        text, reason = "is due, as a person said", letter.order
    else:
        tries = "once" if letter.attempt == 1 else f"{letter.attempt} times"
        wait = max((letter.due_at - now).total_seconds(), 0)
        text = f"waits: it failed {tries}, and is due again in {wait:.1f} s"
    return News(at=now, label="letter", text=f"{letter.about} {text}", quote=reason)


def _bad_news(told: Told) -> str:
    """Return the part of a bad message below its title: what serves and the log, or the reason."""
    if told.good:
        return ""
    _, found, rest = told.text.partition("Serving now: ")
    if found:
        lines = (found + rest).splitlines()
        return "\n".join(line for line in lines if not line.startswith("https://"))
    reason = told.text.splitlines()[0]
    return reason if reason.startswith("Reason: ") else ""


def _live(rollout: Rollout, moment: Moment) -> str:
    text = f"{rollout.deployment} serves all traffic"
    if not rollout.stable:
        return text
    seconds = rollout.plan.keep_old.total_seconds()
    return f"{text}; {rollout.stable} is kept for {seconds:g} s"


def _gate_news(item: Measurement) -> News:
    label = "gate failed" if item.outcome is GateOutcome.FAIL else "gate"
    verdict = "" if item.outcome is GateOutcome.FAIL else f"{item.outcome.replace('_', ' ')}: "
    return News(at=item.at, label=label, text=f"{verdict}{item.detail}")


def _probing(rollout: Rollout, moment: Moment) -> str:
    request = rollout.plan.probe.request or "what its own files say it takes"
    return f"{rollout.deployment} is sent {request} directly"


def _shifting(rollout: Rollout, moment: Moment) -> str:
    percent = rollout.plan.strategy.steps[moment.step].percent
    share = "all traffic" if percent == 100 else f"{percent}% of the traffic"
    return f"{share} is being moved to {rollout.deployment}"


def _holding(rollout: Rollout, moment: Moment) -> str:
    span = format_duration(rollout.plan.strategy.steps[moment.step].span)
    return f"{moment.text}: for {span}, while the gates measure"


def _keeping(rollout: Rollout, moment: Moment) -> str:
    span = format_duration(rollout.plan.strategy.keep_failed)
    return f"{rollout.deployment} is kept for {span}, without traffic"


def _queued(rollout: Rollout, moment: Moment) -> str:
    model = rollout.model
    return f"rollout of {model.name} {model.version} to endpoint {rollout.endpoint}"


def _done(rollout: Rollout, moment: Moment) -> str:
    return moment.text or f"the rollout of {rollout.model.name} {rollout.model.version} has ended"


def _other(rollout: Rollout, moment: Moment) -> str:
    return moment.text or f"the rollout of {rollout.model.words}"


_PHASES: Mapping[Phase, Callable[[Rollout, Moment], str]] = {
    Phase.QUEUED: _queued,
    Phase.CHECKING: lambda rollout, moment: f"what is there on endpoint {rollout.endpoint}?",
    Phase.ENDPOINT: lambda rollout, moment: f"endpoint {rollout.endpoint} is being created",
    Phase.DEPLOYMENT: lambda rollout, moment: (
        f"{rollout.deployment} is being created, with no traffic"
    ),
    Phase.PROBING: _probing,
    Phase.SHIFTING: _shifting,
    Phase.HOLDING: _holding,
    Phase.LIVE: _live,
    Phase.RETIRING: lambda rollout, moment: f"{rollout.stable} is being deleted",
    Phase.ROLLING_BACK: lambda rollout, moment: f"{rollout.deployment} failed; it gets no traffic",
    Phase.KEEPING: _keeping,
    Phase.REMOVING: lambda rollout, moment: f"{rollout.deployment} is being deleted",
    Phase.DONE: _done,
    Phase.ROLLED_BACK: _done,
    Phase.REFUSED: _done,
    Phase.SUPERSEDED: _done,
}
