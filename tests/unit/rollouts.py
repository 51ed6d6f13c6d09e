"""Rollouts, and what they see, for tests: ordinary ones, but for what a test changes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events.model import Workspace
from shared.journal.outcomes import EventRef
from shared.rollouts.deciding.decide import decide
from shared.rollouts.deciding.decisions import Decision, Go
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import PHASES, Phase
from shared.rollouts.state.rollout import (
    Attempt,
    Gating,
    ModelRef,
    PhaseWork,
    Plan,
    Rollout,
    Schedule,
    Traffic,
)
from shared.rollouts.state.tags import TAG_DEPLOYMENT, TAG_MODEL, TAG_ROLLOUT, TAG_VERSION
from shared.rollouts.strategy.model import Gate, Probe, RolloutStep, StepKind, Strategy
from shared.workspaces.metrics import Measure
from shared.workspaces.model import Deployment, Endpoint, OperationResult, OperationStatus, State

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
#: The new deployment, the one that serves, and one that is beside them.
NEW, OLD, BLUE = "churn-v2-abc123", "churn-v1-def456", "Blue"
BOTH = {OLD: State.SUCCEEDED, NEW: State.SUCCEEDED}
OWN = {TAG_MODEL: "churn", TAG_VERSION: "1", TAG_DEPLOYMENT: OLD}

RUNNING = OperationResult(status=OperationStatus.RUNNING, retry_after=timedelta(seconds=3))
ENDED = OperationResult(status=OperationStatus.SUCCEEDED)
FAILED = OperationResult(status=OperationStatus.FAILED, code="ImageBuildFailure", message="no pip")

#: One step of each kind, as short as they get.
PROBE = RolloutStep(kind=StepKind.PROBE, probe=Probe())
MIRROR = RolloutStep(kind=StepKind.MIRROR, percent=10)
HOLD = RolloutStep(kind=StepKind.HOLD, span=15 * MINUTE)
APPROVE = RolloutStep(kind=StepKind.APPROVE, span=15 * MINUTE)
SCALE = RolloutStep(kind=StepKind.SCALE, instances=3)
BETTER = RolloutStep(kind=StepKind.BETTER, measure=Measure.LATENCY_P95)

ERRORS = Gate(measure=Measure.ERROR_RATE, max_increase=0.01)


def traffic(percent: int) -> RolloutStep:
    """Return the step that gives the new deployment so much."""
    return RolloutStep(kind=StepKind.TRAFFIC, percent=percent)


CANARY = (PROBE, traffic(10), HOLD, traffic(100), HOLD)


def make_strategy(*steps: RolloutStep, **changes: Any) -> Strategy:
    """Return a strategy without gates, which is all at once where no steps are given."""
    strategy = Strategy(name="careful", steps=steps or (PROBE, traffic(100)))
    return replace(strategy, **changes)


def make_plan(*steps: RolloutStep, **changes: Any) -> Plan:
    """Return the plan of a new deployment."""
    plan = Plan(
        strategy=make_strategy(*steps),
        probe=Probe(),
        timeout=timedelta(hours=1),
        instance_type="Standard_DS3_v2",
        instance_count=1,
        auth_mode="aad_token",
        keep_old=timedelta(minutes=30),
        channels=("team",),
    )
    return replace(plan, **changes)


def make_rollout(phase: Phase = Phase.CHECKING, *steps: RolloutStep, **changes: Any) -> Rollout:
    """Return a rollout of churn 2, over one of churn 1, in a phase that has just begun."""
    rollout = Rollout(
        id="r1",
        ref=EventRef(key="k", id="e", type="ModelRegistered", time=NOW, source="ws"),
        reaction_step="reaction/deploy",
        workspace=Workspace(subscription="s", resource_group="g", name="w"),
        endpoint="churn",
        deployment=NEW,
        model=ModelRef(id="/models/churn/versions/2", name="churn", version="2"),
        plan=make_plan(*steps),
        phase=phase,
        since=NOW,
        created_at=NOW,
        schedule=Schedule(due_at=NOW),
        traffic=Traffic(goal={NEW: 100}, origin={OLD: 100}, split={OLD: 100}),
        stable=OLD,
    )
    return change(rollout, **changes)


#: The group of a rollout that has each of its grouped fields.
_GROUPS = {
    field.name: group
    for group, kind in {
        "schedule": Schedule,
        "traffic": Traffic,
        "gating": Gating,
        "attempt": Attempt,
        "work": PhaseWork,
    }.items()
    for field in fields(kind)
}


def change(rollout: Rollout, **changes: Any) -> Rollout:
    """Return the rollout with these values, each of them in the group that has it."""
    groups: dict[str, dict[str, Any]] = {}
    for name in changes.keys() & _GROUPS.keys():
        groups.setdefault(_GROUPS[name], {})[name] = changes.pop(name)
    changes |= {name: replace(getattr(rollout, name), **new) for name, new in groups.items()}
    return replace(rollout, **changes)


def at_step(step: int, *steps: RolloutStep, **changes: Any) -> Rollout:
    """Return a rollout that has just come to one of its steps."""
    return make_rollout(PHASES[steps[step].kind], *steps, **{"step": step, **changes})


def with_strategy(rollout: Rollout, **changes: Any) -> Rollout:
    """Return the rollout with other words in its strategy."""
    strategy = replace(rollout.plan.strategy, **changes)
    return replace(rollout, plan=replace(rollout.plan, strategy=strategy))


def with_plan(rollout: Rollout, **changes: Any) -> Rollout:
    """Return the rollout with another plan."""
    return replace(rollout, plan=replace(rollout.plan, **changes))


def make_shift(phase: Phase, *steps: RolloutStep, **changes: Any) -> Rollout:
    """Return a rollout that moves the traffic of deployments that are there."""
    return with_plan(make_rollout(phase, *steps, **changes), creates=False)


def make_deployment(name: str, state: State = State.SUCCEEDED, **changes: Any) -> Deployment:
    """Return a deployment that Signalbox made."""
    found = Deployment(
        name=name,
        state=state,
        instance_count=1,
        tags={TAG_ROLLOUT: "r0", TAG_MODEL: "churn"},
    )
    return replace(found, **changes)


def make_endpoint(traffic: Mapping[str, int] | None = None, **changes: Any) -> Endpoint:
    """Return an endpoint on which OLD serves, unless said otherwise."""
    endpoint = Endpoint(
        name="churn",
        state=State.SUCCEEDED,
        traffic={OLD: 100} if traffic is None else traffic,
        tags=OWN,
    )
    return replace(endpoint, **changes)


def make_seen(
    traffic: Mapping[str, int] | None = None,
    *,
    states: Mapping[str, State] | None = None,
    mirror: Mapping[str, int] | None = None,
    tags: Mapping[str, str] | None = None,
    **changes: Any,
) -> Observation:
    """Return what is seen when OLD serves and NEW does not, unless said otherwise."""
    found = {OLD: State.SUCCEEDED} if states is None else states
    seen = Observation(
        has_lock=True,
        has_looked=True,
        endpoint=make_endpoint(traffic, mirror=mirror or {}, tags=OWN if tags is None else tags),
        deployments={name: make_deployment(name, state) for name, state in found.items()},
    )
    return replace(seen, **changes)


def make_order(kind: OrderKind, **changes: Any) -> Order:
    """Return an order of ada's."""
    order = Order(kind=kind, by="ada", why="I say so", at=NOW)
    return replace(order, **changes)


def make_measurement(
    outcome: GateOutcome, measure: Measure = Measure.ERROR_RATE, **changes: Any
) -> Measurement:
    """Return what a look at a gate showed."""
    item = Measurement(
        at=NOW, step=0, measure=measure, outcome=outcome, detail=f"it came to {outcome}"
    )
    return replace(item, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A rollout that sees something, so long after its phase began, and what it then does."""

    rollout: Rollout
    seen: Observation
    decision: Decision
    after: timedelta = timedelta(0)

    def require(self) -> None:
        """Hold what is decided against the decision; a Go's rollout only where that has one."""
        decision, wanted = decide(self.rollout, self.seen, NOW + self.after), self.decision
        if isinstance(wanted, Go) and isinstance(decision, Go):
            if wanted.rollout is None:
                decision = replace(decision, rollout=None)
            if not wanted.note:
                decision = replace(decision, note="")
        assert decision == wanted


def by_phase(groups: Mapping[str, Mapping[str, Case]]) -> dict[str, Case]:
    """Return the cases of all groups, each under the names of its group and its own."""
    return {
        f"{group}: {name}": case for group, cases in groups.items() for name, case in cases.items()
    }


def went(phase: Phase, reason: str, rollout: Rollout, **changes: Any) -> Go:
    """Return the decision to go on to a phase with these things learnt."""
    return Go(phase=phase, reason=reason, rollout=change(rollout, **changes))
