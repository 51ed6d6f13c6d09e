"""A rehearsal: the app's own code on one event, over ports from which no write or message leaves.

The reactions, actions and first ticks of rollouts are the real ones, so that what is shown can't
disagree with what the app does.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.actions.base import Action, Work
from shared.adapters.channels import find_channel_fault
from shared.adapters.topics import find_topic_fault
from shared.base.wakeups import read_wakeup
from shared.events.model import Event, UnknownEvent
from shared.journal.outcomes import WHOLE, Outcome, ref_of
from shared.reactions.model import Params
from shared.rollouts.engine.advance import QUEUE
from shared.rollouts.people.forecast import Coming, forecast
from shared.services import Ports, Services
from shared.twins.overlays import (
    BeyondRehearsal,
    Fact,
    OverlayBlobs,
    OverlayChannels,
    OverlayQueues,
    OverlayTables,
    OverlayTarget,
    OverlayTopics,
    OverlayWorkspaces,
    Withheld,
)

if TYPE_CHECKING:
    from shared.reactions.model import Reactions
    from shared.rollouts.state.rollout import Rollout

#: More than a person waits for; a slow sign-in on a laptop is no reason to leave steps out.
_BUDGET_SECONDS = "600"


@dataclass(slots=True, kw_only=True)
class TriedStep:
    """One step as it was rehearsed: its values, what was asked, and what would have left."""

    name: str
    values: Params | None = None
    facts: list[Fact] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)
    outcome: Outcome | None = None
    rollout: "Rollout | None" = None
    coming: tuple[Coming, ...] = ()


@dataclass(slots=True, kw_only=True)
class Tried:
    """One event as it was rehearsed: the outcome of each reaction as a whole, and its steps."""

    event: Event | UnknownEvent
    whole: dict[str, Outcome] = field(default_factory=dict)
    steps: dict[str, TriedStep] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WatchedWork(Work):
    """A step's work that shows the values which its action takes."""

    show: Callable[[Params], None]

    def params[P: Params](self, kind: type[P], event: Event | None = None) -> P:
        # A dataclass with slots is made twice, and `super()` knows the first one only.
        values = Work.params(self, kind, event)
        self.show(values)
        return values


@dataclass(frozen=True, slots=True)
class _WatchedAction:
    """An action whose steps note what they do."""

    action: Action
    begin: Callable[[Work], TriedStep]
    end: Callable[[], None]

    @property
    def may_fail(self) -> bool:
        return self.action.may_fail

    def act(self, work: Work) -> Outcome:
        step = self.begin(work)
        parts = {part.name: getattr(work, part.name) for part in fields(work)}
        try:
            return self.action.act(_WatchedWork(**parts, show=partial(setattr, step, "values")))
        finally:
            self.end()


class Rehearsal(Services):
    """The app's parts over ports that keep everything to themselves."""

    def __init__(self, real: Services, environ: Mapping[str, str], reactions: "Reactions") -> None:
        """Read what `real` reads, by these app settings and reactions."""
        self._step = TriedStep(name="")
        self._tried: dict[str, TriedStep] = {}
        self._sent = OverlayQueues(real.queues)
        workspaces: Any = OverlayWorkspaces(lambda: real.workspaces, self._note, self._learn)
        ports = Ports(
            clock=real.clock,
            tables=OverlayTables(real.tables),
            queues=self._sent,
            blobs=OverlayBlobs(real.blobs),
            channels=OverlayChannels(self._note, partial(find_channel_fault, environ)),
            topics=OverlayTopics(self._note, partial(find_topic_fault, environ)),
            workspaces=workspaces,
            metrics=real.metrics,
            target=lambda name: OverlayTarget(name, self._note),
        )
        if absent := [port.name for port in fields(ports) if getattr(ports, port.name) is None]:
            raise AssertionError(f"a rehearsal needs an overlay of {', '.join(absent)}")
        settings = {**environ, "SIGNALBOX_BUDGET_SECONDS": _BUDGET_SECONDS}
        super().__init__(settings, ports, reactions=reactions)

    def action(self, name: str) -> Action:
        """Return the action of this name, watched."""
        return _WatchedAction(super().action(name), self._begin, self._end)

    def rehearse(
        self, raw: Mapping[str, Any], events: tuple[Event | UnknownEvent, ...]
    ) -> list[Tried]:
        """React to an envelope that holds these events; return what came of each."""
        with _quiet():
            self.react.react(raw)
            self._advance()
        found = []
        for event in events:
            record = self.records.get(ref_of(event))
            tried = Tried(event=event)
            for name, outcome in (record.outcomes if record else {}).items():
                reaction, _, step = name.partition("/")
                if step in ("", WHOLE):  # of the whole event, or of the whole reaction
                    tried.whole[reaction] = outcome
                    continue
                known = self._tried.setdefault(name, TriedStep(name=name))
                known.outcome = outcome
                tried.steps[name] = known
            found.append(tried)
        return found

    def _begin(self, work: Work) -> TriedStep:
        name = f"{work.reaction.name}/{work.step.id}"
        self._step = self._tried.setdefault(name, TriedStep(name=name))
        return self._step

    def _end(self) -> None:
        """Take what is asked from now on for no step's."""
        self._step = TriedStep(name="")

    def _note(self, withheld: Withheld) -> None:
        self._step.withheld.append(withheld)

    def _learn(self, fact: Fact) -> None:
        if fact not in self._step.facts:
            self._step.facts.append(fact)

    def _advance(self) -> None:
        """Do the first tick of each rollout that was started or given an order."""
        for text in dict.fromkeys(text for queue, text in self._sent.sent if queue == QUEUE):
            wakeup = read_wakeup(text, ("endpoint", "rollout"), "tick")
            assert wakeup is not None  # the app wrote it
            store = self.rollouts.store
            partition, rollout_id = wakeup.ids["endpoint"], wakeup.ids["rollout"]
            kept = store.get(partition, rollout_id)
            if kept is None:
                continue
            self._step = self._tried.setdefault(
                kept.value.reaction_step, TriedStep(name=kept.value.reaction_step)
            )
            with suppress(BeyondRehearsal):  # what was saved until then is shown
                self.rollouts.advance(text)
            kept = store.get(partition, rollout_id)
            assert kept is not None  # it was there before
            self._step.rollout = kept.value
            now = self.clock.now()
            self._step.coming = forecast(kept.value, now, grain=self.settings.metrics_grain)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the app's log off the terminal; the outcomes say the same."""
    logger = logging.getLogger("shared")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
