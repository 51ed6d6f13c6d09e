"""In every phase, for any combination of what may be: decide() is total, pure and never unsafe."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import combinations, product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.rollouts.deciding.decide import decide
from shared.rollouts.deciding.decisions import (
    AskGates,
    CreateDeployment,
    CreateEndpoint,
    Decision,
    DeleteDeployment,
    Go,
    Inspect,
    Overrule,
    ReadLogs,
    Scale,
    SendProbe,
    SetTraffic,
    Wait,
    Write,
)
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.orders import POSSIBLE, OrderKind
from shared.rollouts.state.phases import PHASES, STEPS, TERMINAL, TRANSITIONS, Phase
from shared.rollouts.state.rollout import Cause, ProbeResult, Rollout
from shared.rollouts.state.splits import on_the_way, share
from shared.rollouts.state.tags import TAG_DEPLOYMENT, TAG_MODEL, TAG_ROLLOUT, TAG_VERSION
from shared.rollouts.strategy.model import (
    Newer,
    NoVerdict,
    OnConflict,
    OnFailure,
    RolloutStep,
    StepKind,
    Strategy,
)
from shared.workspaces.model import OperationStatus, State
from tests.searching import examples
from tests.unit.rollouts import (
    APPROVE,
    BETTER,
    BLUE,
    ENDED,
    ERRORS,
    FAILED,
    HOLD,
    MIRROR,
    NEW,
    NOW,
    OLD,
    OWN,
    PROBE,
    RUNNING,
    SCALE,
    make_deployment,
    make_endpoint,
    make_measurement,
    make_order,
    make_plan,
    make_rollout,
    traffic,
)

type Choice = Mapping[str, Any]

KINDS = {step.kind: step for step in (PROBE, MIRROR, traffic(50), HOLD, APPROVE, SCALE, BETTER)}
KIND_OF = {phase: kind for kind, phase in PHASES.items()}
ABORT = make_order(OrderKind.ABORT)
PAUSE, PROMOTE = make_order(OrderKind.PAUSE), make_order(OrderKind.PROMOTE)
STATES = (State.SUCCEEDED, None, *(state for state in State if state is not State.SUCCEEDED))

#: The states of a rollout, and its observations; the first of each is the ordinary one.
VALUES: Choice = {
    "creates": (True, False),
    "gates": (NoVerdict.HOLD, NoVerdict.WAIT, NoVerdict.FAIL, None),
    "place": (
        *((10, kind) for kind in KINDS),
        (0, StepKind.TRAFFIC),
        (0, StepKind.MIRROR),
        (100, StepKind.HOLD),
        (100, None),
    ),  # how much the new deployment has got by earlier steps, and what comes after this one
    "kind": tuple(KINDS),  # of the step that it is at; in the phase of a step that is given
    "has_steps": (True, False),  # whether it has come to any
    "on_failure": tuple(OnFailure),
    "on_conflict": tuple(OnConflict),
    "newer": tuple(Newer),
    "attempt": (0, 1),
    "has_kept": (False, True),
    "has_endpoint": (True, False),
    "submitted": (False, True),
    "tries": (0, 3),
    "probes": (3, 0),
    "orders": (
        (),
        *((make_order(kind),) for kind in OrderKind),
        (make_order(OrderKind.ABORT, supersedes=True),),
        (make_order(OrderKind.PROMOTE, to_end=True),),
        (PAUSE, PROMOTE, ABORT),
        (PAUSE, make_order(OrderKind.APPROVE)),
        (make_order(OrderKind.RETRY), make_order(OrderKind.RESUME)),
    ),
    "age": tuple(timedelta(minutes=minutes) for minutes in (20, 0, 10, 90, 12_000)),
    "is_first": (False, True),  # whether nothing served before
    "is_moved": (True, False),
    "mirrored": ({}, {BLUE: 10}),  # by somebody, who was let have it
    "cause": (None, *Cause),
    "logs": ("", "Traceback"),
    "is_waived": (False, True),
    "sight": ("all", "no lock", "lock", "running"),
    "holder": (None, "older", "newer", "told"),
    "endpoint": STATES,
    "traffic": (
        "believed",
        "wanted",
        "origin",
        "lower",
        "goal",
        "new",
        "blue",
        "none",
        "lower case",
    ),
    "mirror": ("believed", "wanted", "new", "blue"),
    "tags": (
        OWN,
        {},
        OWN | {TAG_MODEL: "fraud"},
        OWN | {TAG_VERSION: "10"},
        OWN | {TAG_VERSION: "2", TAG_DEPLOYMENT: NEW},
        OWN | {TAG_VERSION: "beta", TAG_DEPLOYMENT: BLUE},
    ),
    "new": STATES,
    "old": STATES,
    "blue": (State.SUCCEEDED, None, State.FAILED),
    "failed": (frozenset(), frozenset({OLD})),  # what other rollouts went back from
    "needed": (frozenset(), frozenset({OLD}), frozenset({NEW})),  # and may yet go back to
    "is_old_ours": (True, False),
    "instances": (2, 1, 3),
    "operation": (None, ENDED, FAILED, replace(ENDED, status=OperationStatus.UNKNOWN)),
    "probe": (ProbeResult(passed=True), None, ProbeResult(passed=False, detail="503")),
    "faults": ((), None, ("no quota",)),
    "measured": (*GateOutcome, None, "lasting", "observed"),
}

#: How much of what does not matter to a pair is ordinary.
ORDINARY = 0.85

#: The writes that each phase may begin.
WRITES: Mapping[Phase, tuple[type[Write], ...]] = {
    Phase.ENDPOINT: (CreateEndpoint,),
    Phase.DEPLOYMENT: (CreateDeployment,),
    Phase.RETIRING: (DeleteDeployment,),
    Phase.REMOVING: (DeleteDeployment,),
    Phase.CHECKING: (DeleteDeployment,),
    Phase.MIRRORING: (SetTraffic,),
    Phase.SHIFTING: (SetTraffic,),
    Phase.SCALING: (Scale,),
    Phase.STEPPING_DOWN: (SetTraffic,),
    Phase.ROLLING_BACK: (SetTraffic, Scale),
}
#: Nothing has been split yet; these are only of rollouts that create their deployment.
STARTING = {Phase.QUEUED, Phase.CHECKING, Phase.ENDPOINT, Phase.DEPLOYMENT}
CREATING = {Phase.ENDPOINT, Phase.DEPLOYMENT, Phase.RETIRING, Phase.REMOVING}
BACK = {Phase.ROLLING_BACK, Phase.REFUSED, Phase.SUPERSEDED, Phase.KEEPING}


def steps_of(kind: StepKind, before: int, after: StepKind | None) -> tuple[RolloutStep, ...]:
    """Return a step of a kind, with what came before it and what comes after; 100% among them."""
    steps = [traffic(percent) for percent in (10, 100) if percent <= before]
    for each in (kind, after):
        top = steps[-1].percent if steps else 0
        if each is StepKind.TRAFFIC:
            steps.append(traffic(50 if top < 50 else 100))
        elif each is StepKind.MIRROR:
            steps.append(replace(MIRROR, percent=0 if before else 10))
        elif each is not None:
            steps.append(KINDS[each])
    return tuple(steps) if traffic(100) in steps else (*steps, traffic(100))


def rollout_of(phase: Phase, choice: Choice) -> Rollout:
    """Return the rollout of a choice."""
    before, after = choice["place"]
    before = 0 if phase in STARTING else before
    kind = KIND_OF[phase] if phase in KIND_OF else choice["kind"]
    creates = choice["creates"] or phase in CREATING
    policy = choice["gates"]
    gate = replace(ERRORS, no_data=policy, too_few=policy, unavailable=policy)
    strategy = Strategy(
        name="careful",
        steps=steps_of(kind, before, after),
        gates=() if policy is None else (gate,),
        **{name: choice[name] for name in ("on_failure", "on_conflict", "newer")},
    )
    goal = {NEW: 100} if creates else {NEW: 60, OLD: 20, BLUE: 20}
    origin = {} if choice["is_first"] else {OLD: 100}
    has_split = before == 100 or (before and origin)
    kept = (
        "attempt",
        "has_kept",
        "has_endpoint",
        "submitted",
        "tries",
        "probes",
        "orders",
        "is_moved",
        "is_waived",
    )
    return make_rollout(
        phase,
        plan=replace(make_plan(), strategy=strategy, creates=creates),
        since=NOW - choice["age"],
        goal=goal,
        origin=origin,
        split=on_the_way(origin, goal, before) if has_split else origin,
        mirror=choice["mirrored"],
        stable="" if choice["is_first"] else OLD,
        stable_instances=2,
        step={0: 0, 10: 1, 100: 2}[before] if phase in STEPS or choice["has_steps"] else -1,
        **{name: choice[name] for name in (*kept, "cause", "logs")},
    )


def seen_by(rollout: Rollout, choice: Choice) -> Observation:
    """Return what the rollout of a choice sees."""
    sight = choice["sight"]
    if sight == "no lock":
        return Observation(holder=holder_of(choice["holder"]))
    if sight == "lock":
        return Observation(has_lock=True)
    if sight == "running":
        return Observation(has_lock=True, operation=RUNNING)
    split, mirror = splits_of(rollout, choice)
    endpoint = None
    if choice["endpoint"] is not None:
        endpoint = make_endpoint(
            split, state=choice["endpoint"], mirror=mirror, tags=choice["tags"]
        )
    states = {NEW: choice["new"], OLD: choice["old"], BLUE: choice["blue"]}
    deployments = {
        name: make_deployment(name, state, instance_count=choice["instances"])
        for name, state in states.items()
        if state is not None and endpoint is not None
    }
    if OLD in deployments and not choice["is_old_ours"]:
        deployments[OLD] = replace(deployments[OLD], tags={})
    return Observation(
        has_lock=True,
        has_looked=True,
        endpoint=endpoint,
        deployments=deployments,
        operation=choice["operation"],
        probe=choice["probe"],
        faults=choice["faults"],
        measurements=measured(choice["measured"]),
        failed=choice["failed"],
        needed=choice["needed"],
    )


def splits_of(rollout: Rollout, choice: Choice) -> tuple[dict[str, int], dict[str, int]]:
    """Return the split and the mirror that the endpoint has, which gives nobody both."""
    step, wanted, mirrored = rollout.current, dict(rollout.traffic.split), dict[str, int]()
    if step is not None and step.kind is StepKind.TRAFFIC:
        wanted = on_the_way(rollout.traffic.origin, rollout.traffic.goal, step.percent)
    if step is not None and step.kind is StepKind.MIRROR and step.percent:
        mirrored = {NEW: step.percent}
    split = {
        "believed": dict(rollout.traffic.split),
        "wanted": wanted,
        "origin": dict(rollout.traffic.origin),
        "goal": dict(rollout.traffic.goal),
        "lower": on_the_way(rollout.traffic.origin, rollout.traffic.goal, 10),
        "new": {NEW: 100},
        "blue": {BLUE: 100},
        "none": {},
        "lower case": {name.lower(): part for name, part in rollout.traffic.split.items()},
    }[choice["traffic"]]
    mirror = {
        "believed": rollout.traffic.mirror,
        "wanted": mirrored,
        "new": {NEW: 10},
        "blue": {BLUE: 10},
    }
    return split, {
        name: part for name, part in mirror[choice["mirror"]].items() if not share(split, name)
    }


def holder_of(who: str | None) -> Rollout | None:
    """Return who else has the endpoint."""
    if who is None:
        return None
    model = replace(make_rollout().model, version="3" if who == "newer" else "1")
    orders = (make_order(OrderKind.ABORT, supersedes=True),) if who == "told" else ()
    return make_rollout(id="r0", model=model, orders=orders)


def measured(what: GateOutcome | str | None) -> tuple[Measurement, ...] | None:
    """Return what a look at the gate showed."""
    match what:
        case None:
            return None
        case "lasting":
            return (make_measurement(GateOutcome.UNAVAILABLE, lasting=True),)
        case "observed":
            return (make_measurement(GateOutcome.FAIL, observe=True),)
    return (make_measurement(GateOutcome(what)),)


@cache
def pairs(seed: int) -> tuple[Choice, ...]:
    """Return choices in which each value meets each value of every other dimension.

    The other values of a choice are mostly ordinary, so that none hides the result of the pair.
    """
    dice, met, found = Random(seed), set(), []
    for one, other in combinations(VALUES, 2):
        for pair in product(range(len(VALUES[one])), range(len(VALUES[other]))):
            if (one, other, *pair) in met:
                continue
            picked = {
                name: 0 if dice.random() < ORDINARY else dice.randrange(len(values))
                for name, values in VALUES.items()
            }
            picked[one], picked[other] = pair
            met |= {(a, b, picked[a], picked[b]) for a, b in combinations(VALUES, 2)}
            found.append({name: VALUES[name][index] for name, index in picked.items()})
    return tuple(found)


def faced(phase: Phase, choice: Choice) -> tuple[Rollout, Observation]:
    """Return the rollout of a choice, and what it sees."""
    rollout = rollout_of(phase, choice)
    return rollout, seen_by(rollout, choice)


@cache
def decided(phase: Phase) -> tuple[tuple[Rollout, Observation, Decision], ...]:
    """Return what is decided in a phase for each of the pairs."""
    cases = (faced(phase, choice) for choice in pairs(seed=0))
    return tuple((rollout, seen, decide(rollout, seen, NOW)) for rollout, seen in cases)


def require_pure(phase: Phase, choice: Choice) -> Decision:
    """Return a decision that changes nothing, and is the same when it is made again."""
    rollout, seen = faced(phase, choice)
    decision = decide(rollout, seen, NOW)
    again = faced(phase, choice)
    assert (rollout, seen) == again, "deciding changes nothing"
    assert decide(*again, NOW) == decision
    return decision


def require_allowed(rollout: Rollout, seen: Observation, decision: Decision) -> None:
    """Hold a decision against the table, and against what the rollout was told."""
    is_aborted = any(order.kind is OrderKind.ABORT for order in rollout.orders)
    if is_aborted and rollout.phase in POSSIBLE[OrderKind.ABORT]:
        assert isinstance(decision, Go), "abort comes before all else"
        assert decision.phase in BACK
    match decision:
        case Go():
            assert decision.phase in TRANSITIONS[rollout.phase]
            after = decision.rollout or rollout
            if decision.phase in STEPS:
                require_forward(after, decision.phase)
            if decision.phase in (Phase.ROLLING_BACK, Phase.REFUSED):
                assert after.attempt.cause is not None or rollout.phase is Phase.STEPPING_DOWN
        case Wait():
            assert decision.reason
            assert decision.delay is None or decision.delay > timedelta(0)
        case Inspect():
            assert (rollout.phase, seen.faults) == (Phase.CHECKING, None)
        case AskGates():
            assert rollout.phase in (Phase.CHECKING, Phase.HOLDING, Phase.CHOOSING)
            assert seen.measurements is None
        case SendProbe():
            assert rollout.phase in (Phase.PROBING, Phase.ROLLING_BACK)
            assert seen.probe is None
            assert seen.live(decision.deployment) or rollout.phase is Phase.PROBING
        case ReadLogs():
            assert (rollout.phase, rollout.attempt.logs) == (Phase.ROLLING_BACK, "")
        case Overrule():
            assert rollout.phase is Phase.QUEUED
        case _:
            require_safe(rollout, seen, decision)


def require_forward(rollout: Rollout, phase: Phase) -> None:
    """Hold a step that is gone to against what the new deployment has already."""
    step, has = rollout.current, share(rollout.traffic.split, NEW)
    assert step is not None
    assert PHASES[step.kind] is phase
    if step.kind is StepKind.TRAFFIC and step.percent < 100:
        split = on_the_way(rollout.traffic.origin, rollout.traffic.goal, step.percent)
        assert share(split, NEW) >= has
    if step.kind is StepKind.MIRROR and step.percent:
        assert not has, "it gets live or mirrored traffic, not both"


def require_safe(rollout: Rollout, seen: Observation, write: Write) -> None:
    """Hold a write against what was seen."""
    assert isinstance(write, WRITES.get(rollout.phase, ()))
    assert seen.has_looked
    match write:
        case SetTraffic():
            require_safe_split(rollout, seen, write)
        case DeleteDeployment():
            found = seen.find(write.name)
            assert found is not None
            assert not seen.serves(write.name)
            assert write.name in (rollout.deployment, rollout.stable)
            assert write.name not in seen.needed or rollout.phase is Phase.CHECKING
            assert TAG_ROLLOUT in found.tags
        case CreateEndpoint():
            assert seen.endpoint is None or seen.endpoint.state in (State.FAILED, State.CANCELED)
        case CreateDeployment():
            assert seen.find(rollout.deployment) is None
        case Scale():
            assert seen.is_healthy(write.name)
            assert write.instances > 0


def require_safe_split(rollout: Rollout, seen: Observation, write: SetTraffic) -> None:
    """Hold a split against what was seen, and against the way that the rollout goes."""
    assert seen.endpoint is not None
    assert seen.endpoint.state.is_settled
    assert sum(write.traffic.values()) in (0, 100)
    assert all(seen.is_healthy(name) for name, part in write.traffic.items() if part)
    assert sum(write.mirror.values()) <= 50
    assert not {name.lower() for name in write.mirror} & {name.lower() for name in write.traffic}
    assert write.serving in (write.traffic or {"": 0})
    before, after = share(rollout.traffic.split, NEW), share(write.traffic, NEW)
    if rollout.phase is Phase.ROLLING_BACK:
        assert not share(write.mirror, NEW)
        assert not after or not rollout.plan.creates
    elif rollout.phase is Phase.STEPPING_DOWN:
        assert after < before
    else:
        assert after >= before


@pytest.mark.parametrize("phase", Phase)
def test_for_each_pair_of_values_the_decision_is_allowed_and_safe(phase: Phase) -> None:
    assert len(decided(phase)) * len(Phase) > 30_000
    for rollout, seen, decision in decided(phase):
        require_allowed(rollout, seen, decision)


@pytest.mark.parametrize("phase", Phase)
def test_deciding_changes_nothing_and_is_repeatable(phase: Phase) -> None:
    for choice in pairs(seed=0)[::10]:
        require_pure(phase, choice)


@settings(max_examples=examples(500), deadline=None)
@given(
    st.sampled_from(Phase),
    st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()}),
)
def test_for_any_combination_of_values_the_decision_is_allowed_and_safe(
    phase: Phase, choice: Choice
) -> None:
    require_allowed(*faced(phase, choice), require_pure(phase, choice))


def decisions(phase: Phase) -> Iterator[Decision]:
    """Yield what is decided for all pairs, then again with other things beside each pair."""
    yield from (decision for _, _, decision in decided(phase))
    for seed in range(1, 12):
        for choice in pairs(seed):
            yield decide(*faced(phase, choice), NOW)


@pytest.mark.parametrize("phase", [phase for phase in Phase if TRANSITIONS[phase]])
def test_every_transition_of_the_table_is_taken(phase: Phase) -> None:
    missing = set(TRANSITIONS[phase])
    for decision in decisions(phase):
        if isinstance(decision, Go):
            missing.discard(decision.phase)
        if not missing:
            return
    assert not missing


def test_every_phase_leads_to_an_end() -> None:
    leading = set(TERMINAL)
    while more := {phase for phase in Phase if TRANSITIONS[phase].keys() & leading} - leading:
        leading |= more
    assert leading == set(Phase)
    assert set(TRANSITIONS) == set(Phase)
