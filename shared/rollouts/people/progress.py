"""The progress of a rollout: its steps, its splits, and what it waits for. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from shared.rollouts.deciding.ending import keeps
from shared.rollouts.deciding.next_steps import next_step
from shared.rollouts.deciding.steps.kinds import DECIDERS, decider_of
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.phases import PHASES, STEPS, Phase
from shared.rollouts.state.rollout import Moment, Rollout
from shared.rollouts.state.splits import share, words_of
from shared.rollouts.strategy.model import RolloutStep

_BACK = frozenset(
    {
        Phase.STEPPING_DOWN,
        Phase.ROLLING_BACK,
        Phase.KEEPING,
        Phase.REMOVING,
        Phase.ROLLED_BACK,
    }
)
#: In these phases it is not known yet which deployment serves, and so which steps apply.
_UNSEEN = frozenset({Phase.QUEUED, Phase.CHECKING})


class StepMark(StrEnum):
    """The state of a step."""

    DONE = "done"
    NOW = "now"
    TO_COME = "to come"
    SKIPPED = "skipped"  #: It was, or will be, left out.
    FAILED = "failed"  #: The rollout went back from it.


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSeen:
    """One step, and how it went; shares are those of the new deployment, in percent.

    `began` and `ended` are of the rollout's last visit to it. They are None if it was never there,
    and `ended` also if it is still there.
    """

    step: RolloutStep
    mark: StepMark
    share: int
    mirrored: int
    began: datetime | None = None
    ended: datetime | None = None
    measured: tuple[Measurement, ...] = ()  #: The last look at each gate.


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSeen:
    """A split that came into force, with the new deployment's shares in percent."""

    at: datetime
    share: int
    mirrored: int
    words: str


def steps_of(rollout: Rollout, measurements: Iterable[Measurement]) -> tuple[StepSeen, ...]:
    """Return every step of the strategy, in order; `measurements` are all looks, in order."""
    visits = _visits(rollout)
    looks: dict[int, dict[str, Measurement]] = {}
    for item in measurements:
        looks.setdefault(item.step, {})[item.measure] = item
    found = []
    shares = (share(rollout.traffic.origin, rollout.deployment), 0)
    for index, step in enumerate(rollout.plan.strategy.steps):
        mark = _mark(rollout, index, visits)
        if mark is not StepMark.SKIPPED:
            shares = _shares(rollout, step, shares, is_now=mark is StepMark.NOW)
        began, ended = (
            visits.get(index, (None, None)) if mark is not StepMark.TO_COME else (None, None)
        )
        found.append(
            StepSeen(
                step=step,
                mark=mark,
                share=shares[0],
                mirrored=shares[1],
                began=began,
                ended=ended,
                measured=tuple(looks.get(index, {}).values()),
            )
        )
    return tuple(found)


def _shares(
    rollout: Rollout, step: RolloutStep, before: tuple[int, int], *, is_now: bool
) -> tuple[int, int]:
    """Return the new deployment's shares of the traffic and of its copy after a step."""
    ours = rollout.deployment
    decider = DECIDERS[step.kind]
    if is_now and not decider.sets_split:  # The present split counts, even if others made it.
        return share(rollout.traffic.split, ours), share(rollout.traffic.mirror, ours)
    return decider.shares(rollout, step, before)


def _entries(history: Sequence[Moment]) -> list[Moment]:
    """Return the moments at which a phase was entered, without those of events within it."""
    found: list[Moment] = []
    for moment in history:
        is_same = bool(found) and (moment.phase, moment.step) == (found[-1].phase, found[-1].step)
        if not is_same:
            found.append(moment)
    return found


def _visits(rollout: Rollout) -> Mapping[int, tuple[datetime, datetime | None]]:
    """Return the begin and end of the last visit to each step, by the step's number."""
    steps = rollout.plan.strategy.steps
    return {
        moment.step: (moment.at, None if following is None else following.at)
        for moment, following in pairwise([*_entries(rollout.history), None])
        if moment is not None
        and 0 <= moment.step < len(steps)
        and moment.phase is PHASES[steps[moment.step].kind]
    }


def _mark(
    rollout: Rollout, index: int, visits: Mapping[int, tuple[datetime, datetime | None]]
) -> StepMark:
    phase = rollout.phase
    if index < rollout.step:
        return StepMark.DONE if index in visits else StepMark.SKIPPED
    if index == rollout.step and phase in _BACK:
        return StepMark.FAILED
    if index == rollout.step and (phase in STEPS or phase is Phase.HELD):
        return StepMark.NOW
    if phase in _BACK or phase.is_terminal:
        return StepMark.SKIPPED
    is_known = phase not in _UNSEEN and next_step(rollout, index).rollout
    return StepMark.SKIPPED if is_known and is_known.step != index else StepMark.TO_COME


def splits_of(rollout: Rollout) -> tuple[SplitSeen, ...]:
    """Return the splits that came into force, in order, as the history has them."""
    return tuple(
        SplitSeen(
            at=moment.at,
            share=share(moment.split, rollout.deployment),
            mirrored=share(moment.mirror, rollout.deployment),
            words=_split_words(before, moment),
        )
        for before, moment in pairwise(rollout.history)
        if moment.split is not None
    )


def _split_words(before: Moment, moment: Moment) -> str:
    if before.phase is Phase.ROLLING_BACK:
        return "rolled back"
    split = words_of(moment.split or {}, moment.mirror)
    return f"{split}, by someone" if moment.by_others else split


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """The reason why a rollout waits, and until when at most, None if that is not known."""

    what: str
    until: datetime | None = None


def _awaited_before(rollout: Rollout) -> tuple[str, timedelta | None]:
    """Return what a rollout waits for before it makes anything, and for how long at most."""
    if all(item.outcome is GateOutcome.PASS for item in rollout.gating.measured):
        return "the service", None
    return "the gates, to measure what serves", rollout.plan.strategy.patience


def awaited(rollout: Rollout, now: datetime) -> Awaited | None:
    """Return what the rollout waits for, or None if it has ended."""
    if rollout.phase.is_terminal:
        return None
    strategy, step = rollout.plan.strategy, decider_of(rollout)
    waits: Mapping[Phase, tuple[str, timedelta | None]] = {
        Phase.QUEUED: ("its turn on the endpoint", None),
        Phase.CHECKING: _awaited_before(rollout),
        Phase.HELD: ("a person's decision", strategy.answer_within),
        Phase.LIVE: ("the time to pass", rollout.plan.keep_old),
        Phase.STEPPING_DOWN: ("the time to pass", strategy.step_down_every),
        Phase.KEEPING: ("the time to pass", keeps(rollout)),
    }
    what, within = waits.get(rollout.phase, ("the service", None))
    if step is not None and rollout.current is not None:
        what, within = step.awaited(rollout, rollout.current, now)
    return Awaited(what=what, until=None if within is None else rollout.since + within)
