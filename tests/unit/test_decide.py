"""What a rollout decides: total, within the transitions, and never unsafe."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import Workspace
from shared.outcomes import EventRef
from shared.rollouts.decide import (
    TAG_DEPLOYMENT,
    TAG_MODEL,
    TAG_ROLLOUT,
    TAG_VERSION,
    CreateDeployment,
    CreateEndpoint,
    Decision,
    DeleteDeployment,
    Go,
    Observation,
    SendProbe,
    SetTraffic,
    Wait,
    decide,
)
from shared.rollouts.model import (
    TRANSITIONS,
    ModelRef,
    Phase,
    Plan,
    Probe,
    ProbeResult,
    Rollout,
)
from shared.workspaces import (
    Deployment,
    Endpoint,
    Operation,
    OperationResult,
    OperationStatus,
    State,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NEW, OLD, OTHER = "churn-v2-abc123", "churn-v1-def456", "blue"


def make_rollout(phase: Phase = Phase.CHECKING, **changes: object) -> Rollout:
    """Return a rollout of churn 2 in a phase that has just begun."""
    rollout = Rollout(
        id="r1",
        ref=EventRef(key="k", id="e", type="ModelRegistered", time=NOW, source="ws"),
        step="reaction/deploy",
        workspace=Workspace(subscription="s", resource_group="g", name="w"),
        endpoint="churn",
        deployment=NEW,
        model=ModelRef(id="/models/churn/versions/2", name="churn", version="2"),
        plan=Plan(
            instance_type="Standard_DS3_v2",
            instance_count=1,
            auth_mode="aad_token",
            keep_old=timedelta(minutes=30),
            timeout=timedelta(hours=1),
            probe=Probe(),
            adopt=False,
            channels=("team",),
        ),
        phase=phase,
        since=NOW,
        created_at=NOW,
        due_at=NOW,
        stable=OLD,
    )
    return replace(rollout, **changes)  # type: ignore[arg-type]


def make_seen(
    traffic: dict[str, int] | None = None,
    *,
    states: dict[str, State] | None = None,
    tags: dict[str, str] | None = None,
    **changes: object,
) -> Observation:
    """Return what is seen when OLD serves and NEW does not, unless said otherwise."""
    shares = {OLD: 100} if traffic is None else traffic
    own = {TAG_MODEL: "churn", TAG_VERSION: "1", TAG_DEPLOYMENT: OLD}
    endpoint = Endpoint(
        name="churn",
        state=State.SUCCEEDED,
        traffic=shares,
        tags=own if tags is None else tags,
    )
    deployments = {
        name: Deployment(name=name, state=state, tags={TAG_ROLLOUT: "r0", TAG_MODEL: "churn"})
        for name, state in (states or {OLD: State.SUCCEEDED}).items()
    }
    seen = Observation(has_lock=True, has_looked=True, endpoint=endpoint, deployments=deployments)
    return replace(seen, **changes)  # type: ignore[arg-type]


BOTH = {OLD: State.SUCCEEDED, NEW: State.SUCCEEDED}
FAILED = OperationResult(status=OperationStatus.FAILED, code="ImageBuildFailure", message="no pip")
RUNNING = OperationResult(status=OperationStatus.RUNNING, retry_after=timedelta(seconds=3))
ENDED = OperationResult(status=OperationStatus.SUCCEEDED)

TABLE: list[tuple[str, Rollout, Observation, Decision]] = [
    (
        "without the lock it waits",
        make_rollout(Phase.QUEUED),
        Observation(),
        Wait(reason="another rollout has the endpoint"),
    ),
    (
        "with the lock it looks",
        make_rollout(Phase.QUEUED),
        Observation(has_lock=True),
        Go(phase=Phase.CHECKING),
    ),
    (
        "an absent endpoint is made",
        make_rollout(),
        make_seen(endpoint=None),
        Go(phase=Phase.ENDPOINT, stable=""),
    ),
    (
        "what serves is what it goes back to",
        make_rollout(stable=""),
        make_seen(),
        Go(phase=Phase.DEPLOYMENT, stable=OLD),
    ),
    (
        "its own deployment is found again after a crash",
        make_rollout(stable=""),
        make_seen(states=BOTH),
        Go(phase=Phase.DEPLOYMENT, stable=OLD),
    ),
    (
        "an endpoint that is being changed is waited for",
        make_rollout(),
        make_seen(endpoint=Endpoint(name="churn", state=State.UPDATING, tags={TAG_MODEL: "churn"})),
        Wait(reason="the endpoint is Updating"),
    ),
    (
        "an endpoint that failed before it had anything is made again",
        make_rollout(),
        make_seen(
            {},
            endpoint=Endpoint(name="churn", state=State.FAILED, tags={TAG_MODEL: "churn"}),
            deployments={},
        ),
        Go(phase=Phase.ENDPOINT, stable=""),
    ),
    (
        "a failed endpoint with deployments is not touched",
        make_rollout(),
        make_seen(endpoint=Endpoint(name="churn", state=State.FAILED, tags={TAG_MODEL: "churn"})),
        Go(phase=Phase.REFUSED, reason="endpoint churn is Failed: mend it, then deploy again"),
    ),
    (
        "an endpoint that a failed write left Failed is written again",
        make_rollout(Phase.ROLLING_BACK),
        make_seen(
            endpoint=Endpoint(name="churn", state=State.FAILED, traffic={OLD: 100}), states=BOTH
        ),
        SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    (
        "the service's pace is kept",
        make_rollout(Phase.DEPLOYMENT),
        Observation(operation=RUNNING),
        Wait(reason="the operation is under way", asked=timedelta(seconds=3)),
    ),
    (
        "the endpoint is asked for once",
        make_rollout(Phase.ENDPOINT, submitted=True),
        make_seen(endpoint=None),
        Wait(reason="the endpoint is not there yet"),
    ),
    ("the endpoint is asked for", make_rollout(Phase.ENDPOINT), Observation(), CreateEndpoint()),
    (
        "the deployment is asked for",
        make_rollout(Phase.DEPLOYMENT),
        make_seen(),
        CreateDeployment(),
    ),
    (
        "a failed operation's reason is kept",
        make_rollout(Phase.DEPLOYMENT, submitted=True),
        make_seen(operation=FAILED),
        Go(phase=Phase.ROLLING_BACK, reason="ImageBuildFailure: no pip"),
    ),
    (
        "a deployment that somebody deleted is not made again",
        make_rollout(Phase.DEPLOYMENT, submitted=True),
        make_seen(operation=ENDED),
        Go(phase=Phase.ROLLING_BACK, reason="the deployment was deleted by someone"),
    ),
    (
        "a new deployment is proved before it gets traffic",
        make_rollout(Phase.DEPLOYMENT),
        make_seen(states=BOTH),
        Go(phase=Phase.PROBING),
    ),
    ("the probe is sent", make_rollout(Phase.PROBING), make_seen(states=BOTH), SendProbe()),
    (
        "a probe that passed lets traffic come",
        make_rollout(Phase.PROBING),
        make_seen(states=BOTH, probe=ProbeResult(passed=True)),
        Go(phase=Phase.SHIFTING),
    ),
    (
        "a probe that failed is sent again",
        make_rollout(Phase.PROBING, tries=2),
        make_seen(states=BOTH, probe=ProbeResult(passed=False, detail="503")),
        Wait(reason="the probe failed: 503", delay=timedelta(seconds=5)),
    ),
    (
        "a probe that keeps failing ends it",
        make_rollout(Phase.PROBING, tries=3),
        make_seen(states=BOTH, probe=ProbeResult(passed=False, detail="503")),
        Go(phase=Phase.ROLLING_BACK, reason="the probe failed: 503"),
    ),
    (
        "traffic is written whole",
        make_rollout(Phase.SHIFTING),
        make_seen(states=BOTH),
        SetTraffic(traffic={NEW: 100}, serving=NEW),
    ),
    (
        "live is what the endpoint says",
        make_rollout(Phase.SHIFTING, tries=1),
        make_seen({NEW: 100, OLD: 0}, states=BOTH, tags={TAG_DEPLOYMENT: NEW}),
        Go(phase=Phase.LIVE),
    ),
    (
        "traffic that does not stay is given up",
        make_rollout(Phase.SHIFTING, tries=3),
        make_seen(states=BOTH),
        Go(phase=Phase.ROLLING_BACK, reason=f"traffic reads back as {OLD} 100%"),
    ),
    (
        "a deployment that broke gets no traffic",
        make_rollout(Phase.SHIFTING),
        make_seen(states={OLD: State.SUCCEEDED, NEW: State.FAILED}),
        Go(phase=Phase.ROLLING_BACK, reason="the deployment is no longer Succeeded"),
    ),
    (
        "the old one is kept for its time",
        make_rollout(Phase.LIVE),
        Observation(),
        Wait(reason=f"{OLD} is kept", delay=timedelta(minutes=30)),
    ),
    (
        "with nothing to keep it is done",
        make_rollout(Phase.LIVE, stable=""),
        Observation(),
        Go(phase=Phase.DONE),
    ),
    (
        "the old one is deleted",
        make_rollout(Phase.RETIRING),
        make_seen({NEW: 100}, states=BOTH),
        DeleteDeployment(name=OLD),
    ),
    (
        "an old one that serves again stays",
        make_rollout(Phase.RETIRING),
        make_seen({NEW: 90, OLD: 10}, states=BOTH),
        Go(phase=Phase.DONE, reason=f"{OLD} stays: it has traffic again"),
    ),
    (
        "an old one of somebody else's stays",
        make_rollout(Phase.RETIRING),
        make_seen(
            {NEW: 100}, deployments={OLD: Deployment(name=OLD, state=State.SUCCEEDED, tags={})}
        ),
        Go(phase=Phase.DONE, reason=f"{OLD} stays: Signalbox did not make it"),
    ),
    (
        "traffic goes back to the stable one",
        make_rollout(Phase.ROLLING_BACK),
        make_seen({NEW: 100}, states=BOTH),
        SetTraffic(traffic={OLD: 100}, serving=OLD),
    ),
    (
        "traffic goes to what is healthy now, not to what was",
        make_rollout(Phase.ROLLING_BACK),
        make_seen(
            {NEW: 100},
            states={OLD: State.FAILED, OTHER: State.SUCCEEDED, NEW: State.SUCCEEDED},
        ),
        SetTraffic(traffic={OTHER: 100}, serving=OTHER),
    ),
    (
        "what had no traffic before gets none where nothing served",
        make_rollout(Phase.ROLLING_BACK, stable=""),
        make_seen({NEW: 100}, states={NEW: State.SUCCEEDED, OTHER: State.SUCCEEDED}),
        SetTraffic(traffic={}, serving=""),
    ),
    (
        "mirrored traffic, which it never set, does not keep it from going on",
        make_rollout(Phase.ROLLING_BACK),
        make_seen(
            endpoint=Endpoint(
                name="churn", state=State.SUCCEEDED, traffic={OLD: 100}, mirror={NEW: 10}
            ),
            states=BOTH,
        ),
        Go(phase=Phase.REMOVING, stable=OLD),
    ),
    (
        "what was given traffic by hand stays, and the endpoint is free",
        make_rollout(Phase.REMOVING, reason="no pip"),
        make_seen({NEW: 100}, states=BOTH),
        Go(
            phase=Phase.ROLLED_BACK,
            reason=f"{NEW} could not be deleted: it has traffic again; no pip",
        ),
    ),
    (
        "a failed one that does not go is left",
        make_rollout(Phase.REMOVING, reason="no pip", tries=3),
        make_seen(states=BOTH, operation=FAILED),
        Go(
            phase=Phase.ROLLED_BACK,
            reason=f"{NEW} could not be deleted: ImageBuildFailure: no pip; no pip",
        ),
    ),
    (
        "a deployment is known by its name in whatever casing the split has it",
        make_rollout(),
        make_seen({"blue": 90, OLD: 10}, states={"Blue": State.SUCCEEDED, OLD: State.SUCCEEDED}),
        Go(phase=Phase.DEPLOYMENT, stable="Blue"),
    ),
    (
        "an old one that serves under another casing stays",
        make_rollout(Phase.RETIRING, stable="Blue"),
        make_seen(
            {NEW: 90, "blue": 10},
            deployments={
                "Blue": Deployment(name="Blue", state=State.SUCCEEDED, tags={TAG_ROLLOUT: "r"})
            },
        ),
        Go(phase=Phase.DONE, reason="Blue stays: it has traffic again"),
    ),
    (
        "with nothing healthy nothing serves",
        make_rollout(Phase.ROLLING_BACK),
        make_seen({NEW: 100}, states={NEW: State.SUCCEEDED}),
        SetTraffic(traffic={}, serving=""),
    ),
    (
        "with no traffic on it, it is removed",
        make_rollout(Phase.ROLLING_BACK),
        make_seen(states=BOTH),
        Go(phase=Phase.REMOVING, stable=OLD),
    ),
    (
        "the log is read before it is removed",
        make_rollout(Phase.REMOVING),
        make_seen(states=BOTH),
        DeleteDeployment(name=NEW, read_logs=True),
    ),
    (
        "gone is gone",
        make_rollout(Phase.REMOVING),
        make_seen(),
        Go(phase=Phase.ROLLED_BACK),
    ),
]


@pytest.mark.parametrize(
    ("rollout", "seen", "decision"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_it_decides(rollout: Rollout, seen: Observation, decision: Decision) -> None:
    assert decide(rollout, seen, NOW) == decision


@pytest.mark.parametrize(
    ("tags", "traffic", "phase"),
    [
        ({}, {OLD: 100}, Phase.REFUSED),
        ({TAG_MODEL: "fraud"}, {OLD: 100}, Phase.REFUSED),
        ({TAG_MODEL: "churn", TAG_VERSION: "2", TAG_DEPLOYMENT: OLD}, {OLD: 100}, Phase.SUPERSEDED),
        ({TAG_MODEL: "churn", TAG_VERSION: "10", TAG_DEPLOYMENT: OLD}, {OLD: 9}, Phase.SUPERSEDED),
        ({TAG_MODEL: "churn", TAG_VERSION: "10", TAG_DEPLOYMENT: OLD}, {}, Phase.DEPLOYMENT),
        ({TAG_MODEL: "churn", TAG_VERSION: "beta", TAG_DEPLOYMENT: OLD}, None, Phase.DEPLOYMENT),
        ({TAG_MODEL: "churn", TAG_VERSION: "1", TAG_DEPLOYMENT: OLD}, None, Phase.DEPLOYMENT),
    ],
)
def test_what_the_tags_of_the_endpoint_say_decides_whether_it_begins(
    tags: dict[str, str], traffic: dict[str, int] | None, phase: Phase
) -> None:
    decision = decide(make_rollout(), make_seen(traffic, tags=tags), NOW)
    assert isinstance(decision, Go)
    assert decision.phase is phase


def test_adopting_takes_an_endpoint_of_somebody_else_s() -> None:
    rollout = make_rollout()
    adopting = replace(rollout, plan=replace(rollout.plan, adopt=True))
    decision = decide(adopting, make_seen(tags={}), NOW)
    assert decision == Go(phase=Phase.DEPLOYMENT, stable=OLD)


@pytest.mark.parametrize("phase", [Phase.ENDPOINT, Phase.DEPLOYMENT, Phase.SHIFTING])
def test_an_operation_that_takes_too_long_is_rolled_back(phase: Phase) -> None:
    rollout = make_rollout(phase, operation=Operation(url="https://x"))
    late = NOW + rollout.plan.timeout + timedelta(seconds=1)
    decision = decide(rollout, Observation(has_lock=True, operation=RUNNING), late)
    assert isinstance(decision, Go)
    assert decision.phase is Phase.ROLLING_BACK


def test_every_phase_leads_to_an_end() -> None:
    ends = {phase for phase in Phase if phase.is_terminal}
    leading = set(ends)
    while more := {p for p in Phase if p not in leading and TRANSITIONS[p] & leading}:
        leading |= more
    assert leading == set(Phase)
    assert set(TRANSITIONS) == set(Phase)


names = st.sampled_from([NEW, OLD, OTHER])
tags = st.dictionaries(
    st.sampled_from([TAG_MODEL, TAG_VERSION, TAG_DEPLOYMENT, TAG_ROLLOUT]),
    st.sampled_from(["churn", "fraud", "1", "2", "3", "", NEW, OLD]),
)
observations = st.builds(
    Observation,
    has_lock=st.booleans(),
    has_looked=st.booleans(),
    endpoint=st.none()
    | st.builds(
        Endpoint,
        name=st.just("churn"),
        state=st.sampled_from(State),
        traffic=st.dictionaries(names, st.integers(0, 100)),
        mirror=st.dictionaries(names, st.integers(0, 50), max_size=1),
        tags=tags,
    ),
    deployments=st.lists(
        st.builds(Deployment, name=names, state=st.sampled_from(State), tags=tags)
    ).map(lambda found: {deployment.name: deployment for deployment in found}),
    operation=st.none()
    | st.builds(OperationResult, status=st.sampled_from(OperationStatus), code=st.just("Code")),
    probe=st.none() | st.builds(ProbeResult, passed=st.booleans()),
)
rollouts = st.builds(
    make_rollout,
    st.sampled_from(Phase),
    stable=st.sampled_from(["", OLD, OTHER]),
    submitted=st.booleans(),
    tries=st.integers(0, 5),
)


@given(rollouts, observations, st.integers(0, 200_000))
def test_every_decision_is_allowed_and_safe(
    rollout: Rollout, seen: Observation, seconds: int
) -> None:
    decision = decide(rollout, seen, NOW + timedelta(seconds=seconds))
    match decision:
        case Go():
            assert decision.phase in TRANSITIONS[rollout.phase]
        case SetTraffic():
            assert sum(decision.traffic.values()) in (0, 100)
            for name in decision.traffic:
                assert seen.deployments[name].state is State.SUCCEEDED
            if rollout.phase is not Phase.SHIFTING:
                assert NEW not in decision.traffic
        case DeleteDeployment():
            assert not seen.serves(decision.name)
            assert decision.name in (rollout.deployment, rollout.stable)
        case Wait():
            assert decision.delay is None or decision.delay >= timedelta(0)
        case CreateEndpoint():
            assert seen.endpoint is None or seen.endpoint.state in (State.FAILED, State.CANCELED)
        case CreateDeployment():
            assert rollout.deployment not in seen.deployments
        case SendProbe():
            assert seen.is_healthy(rollout.deployment)
