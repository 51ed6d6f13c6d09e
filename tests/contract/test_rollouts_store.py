"""The contract of the rollouts' store, on the twin's tables and on Azure's."""

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest

from shared.base.documents import Kept
from shared.base.ports import RowChanged, Tables
from shared.events.model import Workspace
from shared.journal.outcomes import EventRef
from shared.messages.notice import Notice, Text
from shared.rollouts.engine.store import MEASUREMENTS, TABLE, RolloutStore
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import EXCLUSIVE, TERMINAL, Phase
from shared.rollouts.state.rollout import (
    Attempt,
    Cause,
    Gating,
    ModelRef,
    Moment,
    PhaseWork,
    Plan,
    Rollout,
    Schedule,
    Traffic,
)
from shared.rollouts.strategy.model import (
    Gate,
    Newer,
    NoVerdict,
    OnConflict,
    OnFailure,
    Probe,
    RolloutStep,
    StepKind,
    Strategy,
)
from shared.workspaces.metrics import Measure
from shared.workspaces.model import (
    DataCollection,
    EndpointKind,
    HealthProbe,
    Operation,
    Serving,
    ServingContainer,
)
from tests.unit.rollouts import change

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
WORKSPACE = Workspace(subscription="S-1", resource_group="rg", name="WS")

STRATEGY = Strategy(
    name="careful",
    steps=(
        RolloutStep(
            kind=StepKind.PROBE,
            probe=Probe(
                request="golden/churn.json",
                status=201,
                latency=timedelta(milliseconds=1500),
                output="golden/churn.output.json",
                tolerance=0.01,
                timeout=timedelta(seconds=3),
                tries=5,
            ),
        ),
        RolloutStep(kind=StepKind.MIRROR, percent=10),
        RolloutStep(kind=StepKind.HOLD, span=timedelta(minutes=15)),
        RolloutStep(kind=StepKind.SCALE, instances=3),
        RolloutStep(kind=StepKind.APPROVE, span=timedelta(days=1)),
        RolloutStep(kind=StepKind.BETTER, measure=Measure.LATENCY_P95),
        RolloutStep(kind=StepKind.TRAFFIC, percent=100),
    ),
    gates=(
        Gate(measure=Measure.ERROR_RATE, max=0.02, max_increase=0.01, no_data=NoVerdict.FAIL),
        Gate(measure=Measure.LATENCY_P99, max_ratio=1.2, observe=True, too_few=NoVerdict.HOLD),
    ),
    confidence=0.999,
    patience=timedelta(0),
    answer_within=timedelta(days=30),
    on_failure=OnFailure.STEP_DOWN,
    on_conflict=OnConflict.ABORT,
    newer=Newer.SUPERSEDE,
    keep_failed=timedelta(0),
    step_down_every=timedelta(seconds=90),
)

SERVING = Serving(
    request_timeout=timedelta(seconds=90),
    max_concurrent_requests=4,
    max_queue_wait=timedelta(milliseconds=500),
    liveness=HealthProbe(failure_threshold=3),
    readiness=HealthProbe(period=timedelta(seconds=5), success_threshold=2),
    # The addresses of secrets are none, and are not taken out of a row.
    environment_variables={
        "API_KEY": "${{azureml://connections/a/credentials/key}}",
        "DB_PASSWORD": "${{keyvault:https://contoso.vault.azure.net/secrets/db/1}}",
        "LOG_LEVEL": "info",
    },
    is_egress_public=False,
    has_app_insights=True,
    collects=DataCollection(collections=("inputs",), sampling_rate=0.5, rolling_rate="day"),
)
NOTICE = Notice(
    text=Text(title="churn 2 is live", body="größer\n🚂", good=True), attempts={"team": 1, "ops": 0}
)
FULL: dict[str, Any] = {
    "traffic": Traffic(
        goal={"new": 100},
        origin={"blue": 70, "Green": 30},
        split={"blue": 63, "Green": 27, "new": 10},
        mirror={"new": 5},
        split_at=NOW + timedelta(microseconds=1),
    ),
    "stable": "blue",
    "stable_instances": 4,
    "step": 2,
    "gating": Gating(looks={"error_rate": 3, "error_rate/over": 1}, looked_at=NOW),
    "orders": (
        Order(kind=OrderKind.PROMOTE, by="Ada", why="größer 🚂", at=NOW, to_end=True),
        Order(kind=OrderKind.ABORT, by="rollout x", why="", at=NOW, supersedes=True),
    ),
    "attempt": Attempt(
        retries=2,
        has_kept=True,
        cause=Cause.NOT_BETTER,
        is_moved=True,
        logs="Traceback\n\tno module",
    ),
    "work": PhaseWork(
        submitted=True,
        operation=Operation(url="https://x/op", retry_after=timedelta(seconds=30)),
        tries=1,
        probes=2,
        trouble="no answer",
        troubles=3,
        alarm="nothing healthy",
    ),
    "reason": "gate error_rate",
    "has_endpoint": True,
    "schedule": Schedule(
        tick=41, due_at=NOW, busy_until=NOW + timedelta(minutes=1), cut_off=1, is_unsettled=True
    ),
    "history": (Moment(at=NOW, phase=Phase.QUEUED), Moment(at=NOW, phase=Phase.HELD, text="é")),
    "link": "https://ml.azure.com/endpoints/realtime/churn/detail",
    "notices": (NOTICE,),
    "given_up": "ops was not told",
    "traceparent": "00-1-2-01",
    "retraining": "abc:1",
}


@pytest.fixture
def store(tables: Tables) -> RolloutStore:
    return RolloutStore(tables=tables)


@pytest.fixture
def endpoint() -> str:
    """An endpoint that no other test uses: Azurite's tables outlive a test."""
    return f"e-{uuid.uuid4().hex[:20]}"


def make_rollout(endpoint: str, phase: Phase = Phase.HOLDING, **values: Any) -> Rollout:
    plan = Plan(
        strategy=STRATEGY,
        probe=Probe(),
        timeout=timedelta(hours=1),
        kind=EndpointKind.KUBERNETES,
        compute="aks",
        instance_type="small",
        instance_count=2,
        auth_mode="key",
        identities=("/subscriptions/s/userAssignedIdentities/scorer",),
        tags={"cost_center": "4711", "Größe": "🚂"},
        serving=SERVING,
        container=ServingContainer(environment="/e/1", code="/c/1", script="score.py"),
        channels=("team",),
    )
    rollout = Rollout(
        id=uuid.uuid4().hex,
        ref=EventRef(key="k", id="e", type="ModelRegistered", time=NOW, source=WORKSPACE.id),
        reaction_step="deploy/deploy",
        workspace=WORKSPACE,
        endpoint=endpoint,
        deployment="new",
        model=ModelRef(id="/models/churn/versions/2", name="churn", version="2"),
        plan=plan,
        phase=phase,
        since=NOW,
        created_at=NOW,
        schedule=Schedule(due_at=NOW),
        traffic=Traffic(goal={"new": 100}),
    )
    return change(rollout, **values)


def make_measurement(number: int = 0, **values: Any) -> Measurement:
    usual: dict[str, Any] = {
        "at": NOW + timedelta(minutes=number),
        "step": 2,
        "measure": Measure.ERROR_RATE,
        "outcome": GateOutcome.PASS,
        "detail": f"look {number}",
    }
    return Measurement(**usual | values)


def again(store: RolloutStore, kept: Kept[Rollout]) -> Kept[Rollout]:
    """Return a rollout as it is kept now."""
    found = store.get(kept.value.partition, kept.value.id)
    assert found is not None
    return found


def ids(found: Iterable[Kept[Rollout]], endpoint: str) -> set[str]:
    """Return the ids of those on an endpoint."""
    return {kept.value.id for kept in found if kept.value.endpoint == endpoint}


def test_a_rollout_comes_back_as_it_was_saved(store: RolloutStore, endpoint: str) -> None:
    rollout = make_rollout(endpoint, **FULL)
    rollout = change(rollout, measured=(make_measurement(),))
    kept = store.add(rollout)
    assert kept.value == rollout
    assert again(store, kept) == kept
    moved = change(rollout, phase=Phase.SHIFTING, step=6, orders=(), mirror={})
    saved = store.save(moved, etag=kept.etag)
    assert again(store, saved) == saved
    assert saved.value == moved


def test_a_rollout_of_which_little_is_known_comes_back_too(
    store: RolloutStore, endpoint: str
) -> None:
    kept = store.add(make_rollout(endpoint, Phase.QUEUED))
    assert again(store, kept) == kept
    assert store.get(kept.value.partition, "0" * 32) is None


def test_a_rollout_that_was_added_before_is_found(store: RolloutStore, endpoint: str) -> None:
    first = store.add(make_rollout(endpoint))
    saved = store.save(change(first.value, tick=1), etag=first.etag)
    assert store.add(first.value) == saved


def test_a_rollout_is_saved_only_as_it_was_read(store: RolloutStore, endpoint: str) -> None:
    kept = store.add(make_rollout(endpoint))
    saved = store.save(change(kept.value, tick=1), etag=kept.etag)
    with pytest.raises(RowChanged):
        store.save(change(kept.value, tick=2), etag=kept.etag)
    assert again(store, kept) == saved


def test_a_rollout_with_much_to_tell_is_kept_whole(store: RolloutStore, endpoint: str) -> None:
    history = tuple(Moment(at=NOW, phase=Phase.HELD, text="é" * 1000) for _ in range(80))
    measured = tuple(make_measurement(queries=("q" * 2000,)) for _ in range(9))
    rollout = make_rollout(endpoint, history=history, logs="x" * 3000, measured=measured)
    kept = store.add(rollout)
    assert again(store, kept).value == rollout
    saved = store.save(replace(rollout, history=history[:1]), etag=kept.etag)
    assert again(store, saved).value.history == history[:1]


def test_what_is_to_be_done_is_found(store: RolloutStore, endpoint: str) -> None:
    def add(phase: Phase, **values: Any) -> Rollout:
        return store.add(make_rollout(endpoint, phase, **values)).value

    late = add(Phase.HOLDING, due_at=NOW - timedelta(hours=2))
    soon = add(Phase.KEEPING, due_at=NOW + timedelta(hours=2))
    ended = add(Phase.DONE, due_at=NOW - timedelta(hours=2))
    ended_since = add(Phase.REFUSED, due_at=NOW + timedelta(hours=2))
    # Over, but with something to tell, or to be told: not to be forgotten yet.
    untold = add(Phase.DONE, due_at=NOW - timedelta(hours=2), notices=(NOTICE,))
    orders = (Order(kind=OrderKind.RETRY, by="ada", why="", at=NOW),)
    ordered = add(Phase.ROLLED_BACK, due_at=NOW - timedelta(hours=2), orders=orders)
    other = store.add(make_rollout(f"{endpoint}x")).value

    every = {late.id, soon.id, ended.id, ended_since.id, untold.id, ordered.id}
    assert store.lock(late), "the row of the lock is no rollout's"
    assert ids(store.all(), endpoint) == every
    is_open = {late.id, soon.id, untold.id, ordered.id}
    assert ids(store.open(), endpoint) == is_open
    assert {kept.value.id for kept in store.open(late.partition)} == is_open
    assert ids(store.overdue(NOW), endpoint) == {late.id, untold.id, ordered.id}
    assert ids(store.ended(NOW), endpoint) == {ended.id}
    assert other.id in ids(store.open(), f"{endpoint}x")


# Measurements


def test_measurements_come_back_as_they_were_kept_the_oldest_first(
    store: RolloutStore, endpoint: str
) -> None:
    rollout = make_rollout(endpoint, step=-1)
    proof = make_measurement(step=-1, measure=Measure.CPU, outcome=GateOutcome.NO_DATA)
    full = make_measurement(
        1,
        limit="at most 1 point more than the stable one's",
        start=NOW,
        end=NOW + timedelta(minutes=1),
        new=0.061,
        stable=0.0,
        requests=610,
        stable_requests=5400,
        p_value=5.1e-271,
        alpha=0.002,
        observe=True,
        lasting=True,
        queries=("/metrics?metricnames=RequestsPerMinute&$filter=deployment eq 'größe'", "q"),
    )
    looks = [(0, -1, (proof,)), (1, 2, (full, make_measurement(1))), (9, 2, (make_measurement(2),))]
    for tick, step, found in [*looks, (10, 2, (make_measurement(3),)), (100, 2, ())]:
        store.add_measurements(change(rollout, tick=tick, step=step), found)
    kept = store.measurements(rollout.id)
    assert kept == (proof, full, make_measurement(1), make_measurement(2), make_measurement(3))
    assert store.measurements(uuid.uuid4().hex) == ()


def test_a_look_that_is_done_again_is_kept_as_it_was_decided_by(
    store: RolloutStore, endpoint: str
) -> None:
    rollout = make_rollout(endpoint, tick=7, step=2)
    store.add_measurements(rollout, (make_measurement(1),))
    # The worker died before it saved the row: the tick is done again, a little later.
    store.add_measurements(rollout, (make_measurement(2),))
    # A hold ends and a comparison begins in the same tick.
    store.add_measurements(replace(rollout, step=3), (make_measurement(3),))
    assert store.measurements(rollout.id) == (make_measurement(2), make_measurement(3))


def test_a_look_at_many_gates_with_long_queries_has_room(
    store: RolloutStore, endpoint: str
) -> None:
    found = tuple(
        make_measurement(n, queries=("q" * 2000,) * 6, detail="é" * 500) for n in range(9)
    )
    rollout = make_rollout(endpoint)
    store.add_measurements(rollout, found)
    assert store.measurements(rollout.id) == found


def test_a_rollout_is_removed_with_all_that_was_measured(
    store: RolloutStore, tables: Tables, endpoint: str
) -> None:
    kept, other = store.add(make_rollout(endpoint)), store.add(make_rollout(endpoint))
    for tick in range(20):
        rollout = change(kept.value, tick=tick)
        store.add_measurements(rollout, (make_measurement(tick),))
    store.add_measurements(other.value, (make_measurement(),))
    store.remove(kept)
    assert list(tables.query(MEASUREMENTS, partition=kept.value.id)) == []
    assert ids(store.all(), endpoint) == {other.value.id}
    assert store.measurements(other.value.id) == (make_measurement(),)
    store.remove(kept)  # by another sweep, at the same time


# The lock


def test_one_rollout_has_an_endpoint(store: RolloutStore, endpoint: str) -> None:
    first, second = (store.add(make_rollout(endpoint, Phase.CHECKING)).value for _ in range(2))
    assert store.find_holder(first) is None
    assert store.lock(first)
    assert store.lock(first), "it has it already"
    assert not store.lock(second)
    assert store.find_holder(second) == first
    assert not store.is_free(second)
    assert not store.find_lock(second), "what is another's can't be let go"
    lock = store.find_lock(first)
    assert lock is not None
    store.unlock(lock)
    assert store.is_free(second)
    assert store.lock(second)
    assert store.find_holder(first) == second


def test_a_lock_that_was_taken_over_meanwhile_is_not_let_go(
    store: RolloutStore, endpoint: str
) -> None:
    first = store.add(make_rollout(endpoint, Phase.DONE)).value
    second = store.add(make_rollout(endpoint, Phase.CHECKING)).value
    assert store.lock(first)
    lock = store.find_lock(first)
    assert lock is not None
    assert store.lock(second)
    store.unlock(lock)
    assert store.find_holder(first) == second


def test_two_spellings_of_an_endpoint_are_one(store: RolloutStore, endpoint: str) -> None:
    first = store.add(make_rollout(endpoint)).value
    workspace = Workspace(subscription="s-1", resource_group="RG", name="ws")
    second = replace(make_rollout(endpoint.upper()), workspace=workspace)
    store.add(second)
    assert store.lock(first)
    assert not store.lock(second)


@pytest.mark.parametrize("phase", Phase)
def test_a_lock_is_its_holder_s_until_that_has_let_go_in_its_row(
    store: RolloutStore, endpoint: str, phase: Phase
) -> None:
    # A worker that died between saving its row and letting go of the lock keeps nobody out; one
    # that is still at work does, however long that takes.
    holder, next_one = store.add(make_rollout(endpoint, phase)), make_rollout(endpoint)
    store.add(next_one)
    assert store.lock(holder.value)
    assert store.lock(next_one) == (phase not in EXCLUSIVE)
    assert phase in EXCLUSIVE or phase in TERMINAL | {Phase.LIVE, Phase.KEEPING}


def test_a_lock_of_a_rollout_that_is_gone_is_taken_over(store: RolloutStore, endpoint: str) -> None:
    gone, next_one = store.add(make_rollout(endpoint)), make_rollout(endpoint)
    store.add(next_one)
    assert store.lock(gone.value)
    store.remove(gone)
    assert store.find_holder(next_one) is None
    assert store.lock(next_one)


def test_one_of_many_takes_a_free_endpoint(store: RolloutStore, endpoint: str) -> None:
    rollouts = [store.add(make_rollout(endpoint, Phase.CHECKING)).value for _ in range(6)]
    barrier, won = Barrier(len(rollouts), timeout=60), list[str]()

    def take(rollout: Rollout) -> None:
        barrier.wait()
        if store.lock(rollout):
            won.append(rollout.id)

    threads = [Thread(target=take, args=(rollout,)) for rollout in rollouts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(won) == 1
    holder = store.find_holder(rollouts[0])
    assert holder is not None
    assert [holder.id] == won


def test_the_lock_is_in_the_partition_of_the_endpoint_s_rollouts(
    store: RolloutStore, tables: Tables, endpoint: str
) -> None:
    rollout = store.add(make_rollout(endpoint)).value
    store.lock(rollout)
    rows = list(tables.query(TABLE, partition=rollout.partition))
    assert sorted(row.key for row in rows) == sorted([rollout.id, "lock"])
