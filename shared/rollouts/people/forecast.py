"""The forecast of a rollout: its next phases, and when each comes at the earliest. Pure.

This module does not know how rollouts go. It asks `decide` again and again for the next decision in
a world where all is well, and puts the answers in words.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.base.durations import format_duration
from shared.rollouts.deciding.decide import decide
from shared.rollouts.deciding.decisions import (
    AskGates,
    CreateDeployment,
    DeleteDeployment,
    Go,
    Inspect,
    Overrule,
    Question,
    ReadLogs,
    Scale,
    SendProbe,
    SetTraffic,
    Wait,
    Write,
)
from shared.rollouts.deciding.ending import keeps
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.deciding.steps.kinds import decider_of
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.orders import POSSIBLE, Order
from shared.rollouts.state.phases import TERMINAL, Phase
from shared.rollouts.state.rollout import PhaseWork, ProbeResult, Rollout
from shared.rollouts.state.splits import share
from shared.rollouts.state.tags import TAG_DEPLOYMENT, TAG_MODEL, TAG_ROLLOUT
from shared.workspaces.model import Deployment, Endpoint, State

#: More decisions than a rollout of the most steps can need, however many orders it gets.
_DECISIONS_MAX = 1000
_LEAST = timedelta(seconds=1)
#: In these phases the endpoint was not read yet; an unnamed deployment is taken to serve.
_UNSEEN = frozenset({Phase.QUEUED, Phase.CHECKING, *TERMINAL})
_UNNAMED = "what serves"
#: In these phases the new deployment was not made yet, unless the rollout was started again.
_UNMADE = frozenset({Phase.QUEUED, Phase.CHECKING, Phase.ENDPOINT, Phase.DEPLOYMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """The changes at one time, in words, and the phase of the rollout after them."""

    at: datetime
    what: str
    phase: Phase


def forecast(
    rollout: Rollout, now: datetime, *, grain: timedelta = timedelta(minutes=1)
) -> tuple[Coming, ...]:
    """Return the changes to come, each at its earliest time and later than the one before.

    The forecast assumes that writes and answers take no time, gates and probes pass, nobody gives
    further orders, and a person who is asked from now on says yes at once. It is () at the end.
    `grain` is the span of one reading of the metrics.
    """
    found: list[Coming] = []
    for at, before, after in _course(rollout, now, grain):
        what = ", then ".join(filter(None, (_left(before, after), _entered(before, after))))
        if found and found[-1].at == at:
            what = f"{found.pop().what}, then {what}"
        found.append(Coming(at=at, what=what, phase=after.phase))
    return tuple(found)


def _course(
    rollout: Rollout, now: datetime, grain: timedelta
) -> Iterator[tuple[datetime, Rollout, Rollout]]:
    """Yield the time of each change of phase, with the rollout before it and after it."""
    # A queued rollout is woken when its turn comes, whenever it is due.
    at = now if rollout.phase is Phase.QUEUED else max(now, rollout.schedule.due_at)
    seen = _all_well(rollout, grain)
    orders = _possible(rollout.orders, rollout.phase)
    rollout = replace(rollout, work=replace(rollout.work, tries=0, probes=0), orders=orders)
    for _ in range(_DECISIONS_MAX):
        if rollout.phase.is_terminal and not rollout.orders:
            return
        match decide(rollout, seen, at):
            case Go() as go:
                after = _after(rollout, go, at)
                yield at, rollout, after
                rollout = after
                seen = replace(seen, probe=None, faults=None, measurements=None)
            case Wait(delay=delay):
                at = max(at + max(delay or _LEAST, _LEAST), _end_of_hold(rollout) or at)
                seen = replace(seen, probe=None, measurements=None)
            case Inspect() | AskGates() | SendProbe() | ReadLogs() as question:
                rollout, seen = _answered(question, rollout, seen, at)
            case Overrule():
                return  # a rollout that has the endpoint overrules no other
            case write:
                seen = _written(write, rollout, seen)
                if isinstance(write, SetTraffic):
                    rollout = replace(rollout, attempt=replace(rollout.attempt, is_moved=True))


def _all_well(rollout: Rollout, grain: timedelta) -> Observation:
    """Return the endpoint as the rollout believes it to be, with every deployment healthy."""
    is_unseen = rollout.phase in _UNSEEN and not rollout.traffic.origin
    traffic = {_UNNAMED: 100} if is_unseen else rollout.traffic.split
    ways = {*traffic, *rollout.traffic.origin, *rollout.traffic.goal}
    names = {*ways, rollout.stable, rollout.deployment} - {""}
    if rollout.plan.creates and rollout.phase in _UNMADE and not rollout.attempt.retries:
        names.discard(rollout.deployment)
    return Observation(
        has_lock=True,
        has_looked=True,
        endpoint=Endpoint(
            name=rollout.endpoint,
            state=State.SUCCEEDED,
            traffic=traffic,
            mirror=rollout.traffic.mirror,
            tags={TAG_MODEL: rollout.model.name},
        ),
        deployments={name: _healthy(rollout, name) for name in names},
        grain=grain,
    )


def _healthy(rollout: Rollout, name: str) -> Deployment:
    is_ours = name == rollout.deployment
    count = rollout.plan.instance_count if is_ours else rollout.stable_instances
    return Deployment(
        name=name, state=State.SUCCEEDED, instance_count=count, tags={TAG_ROLLOUT: rollout.id}
    )


def _after(rollout: Rollout, go: Go, at: datetime) -> Rollout:
    """Return the rollout in its next phase, without the orders that are not possible there."""
    after = go.rollout or rollout
    orders = _possible(after.orders, go.phase)
    entered = replace(
        after, phase=go.phase, since=at, reason=go.reason, work=PhaseWork(), orders=orders
    )
    step = decider_of(entered)
    if step is None or step.awaits is None:
        return entered
    yes = Order(kind=step.awaits, by="", why="", at=at)
    return replace(entered, orders=(*orders, yes))


def _possible(orders: tuple[Order, ...], phase: Phase) -> tuple[Order, ...]:
    return tuple(order for order in orders if phase in POSSIBLE[order.kind])


def _end_of_hold(rollout: Rollout) -> datetime | None:
    """Return the end of the hold, before which gates that pass change nothing, or None."""
    step = decider_of(rollout)
    if step is None or not step.judges_gates or rollout.current is None:
        return None
    return rollout.since + rollout.current.span


def _answered(
    question: Question, rollout: Rollout, seen: Observation, at: datetime
) -> tuple[Rollout, Observation]:
    """Answer a question as in a world where all is well."""
    match question:
        case Inspect():
            return rollout, replace(seen, faults=())
        case ReadLogs():
            return replace(rollout, attempt=replace(rollout.attempt, logs="-")), seen
        case SendProbe():
            return rollout, replace(seen, probe=ProbeResult(passed=True))
        case AskGates():
            passed = replace(rollout, gating=replace(rollout.gating, looked_at=at))
            return passed, replace(seen, measurements=_passes(rollout, at))


def _passes(rollout: Rollout, at: datetime) -> tuple[Measurement, ...]:
    step = rollout.current
    measures = [gate.measure for gate in rollout.plan.strategy.gates]
    if step is not None and step.measure is not None:
        measures = [step.measure]
    return tuple(
        Measurement(at=at, step=rollout.step, measure=measure, outcome=GateOutcome.PASS, detail="")
        for measure in measures
    )


def _written(write: Write, rollout: Rollout, seen: Observation) -> Observation:
    """Return the endpoint after a write, which takes effect at once."""
    assert seen.endpoint is not None  # all is well
    match write:
        case SetTraffic(traffic=traffic, mirror=mirror, serving=serving):
            tags = {**seen.endpoint.tags, TAG_DEPLOYMENT: serving}
            changed = replace(seen.endpoint, traffic=traffic, mirror=mirror, tags=tags)
            return replace(seen, endpoint=changed)
        case Scale(name=name, instances=instances):
            scaled = replace(seen.deployments[name], instance_count=instances)
            return replace(seen, deployments={**seen.deployments, name: scaled})
        case DeleteDeployment(name=name):
            left = {key: found for key, found in seen.deployments.items() if key != name}
            return replace(seen, deployments=left)
        case CreateDeployment():
            ours = rollout.deployment
            made = {**seen.deployments, ours: _healthy(rollout, ours)}
            return replace(seen, deployments=made)
    return seen


def _left(before: Rollout, after: Rollout) -> str:
    """Return why the phase ended, "" if its work was simply done."""
    if obeyed := [order for order in before.orders if order.by and order.words == after.reason]:
        return f"{obeyed[0].kind} by {obeyed[0].by}"
    is_back = after.phase in (Phase.ROLLING_BACK, Phase.STEPPING_DOWN)
    step = decider_of(before)
    awaits_person = before.phase is Phase.HELD or (step is not None and step.awaits is not None)
    if is_back and awaits_person:
        return "nobody has decided"
    is_judged = step is not None and step.judges_gates and before.plan.strategy.gates
    return "the gates decide" if is_judged and not is_back else ""


def _entered(before: Rollout, after: Rollout) -> str:
    """Return what the rollout does in its new phase."""
    step = decider_of(after)
    if step is not None and after.current is not None:
        return step.coming(after.current)
    if before.phase is Phase.STEPPING_DOWN and after.phase is Phase.STEPPING_DOWN:
        return f"down to {share(after.traffic.split, after.deployment)}%"
    return {
        Phase.CHECKING: "the endpoint is looked at",
        Phase.DEPLOYMENT: f"{after.deployment} is made",
        Phase.HELD: "waits for a person",
        Phase.RETIRING: f"{after.stable} is deleted if Signalbox made it",
        Phase.STEPPING_DOWN: "steps down",
        Phase.ROLLING_BACK: "rolls back",
        Phase.KEEPING: _kept(after),
        Phase.REMOVING: f"{after.deployment} is deleted",
        Phase.ROLLED_BACK: "rolled back",
    }.get(after.phase, str(after.phase))


def _kept(rollout: Rollout) -> str:
    if not rollout.plan.creates:
        return "traffic is back"
    return f"{rollout.deployment} is kept for {format_duration(keeps(rollout))}"
