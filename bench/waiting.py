"""Measures the cost of ten thousand rollouts that wait: for a look, a person, or a time.

Each is a row and a message that is not due. They are kept in Azurite as the app keeps them; the
worker is left alone with them, and a sweep looks for what is lost, as it does every few minutes.

`waiting_rollouts_sweep_requests` and `waiting_rollouts_sweep_cpu` are of one sweep; floor: the same
sweep where nothing waits. `waiting_rollouts_bytes` is what one takes in the
table and in the queue; floor: the names that it is made of, once. While they wait the worker asks
for nothing: if it does, the bench fails.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from statistics import median

from bench.app import Bench, open_bench
from bench.figure import BenchFailed, Figure, note
from bench.taps import SETTINGS, is_of_worker
from demo.stage import app_settings
from sandbox.tap import Request
from shared.base.ids import digest
from shared.events.model import Workspace
from shared.journal.outcomes import EventRef
from shared.rollouts.engine.store import TABLE
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import ModelRef, Moment, Plan, Rollout, Schedule, Traffic
from shared.rollouts.strategy.model import Probe
from shared.rollouts.strategy.schema import find_strategy
from shared.services import Services

FIGURES = (
    "waiting_rollouts_sweep_requests",
    "waiting_rollouts_sweep_cpu",
    "waiting_rollouts_bytes",
)
TINY = {"count": 20, "idle": 1.0, "repeats": 1}

_THREADS = 8
_DAY = timedelta(days=1)
#: The bench does the sweeps itself.
_NEVER = "0 0 0 1 1 *"


def measure(*, count: int = 10_000, idle: float = 30.0, repeats: int = 5) -> Iterator[Figure]:
    """Look at no rollouts, make so many, leave the worker alone for `idle` seconds, look again."""
    with open_bench(tapped=True) as bench:
        services = Services({**bench.stack.app_settings(), **app_settings(bench.stack)})
        none = _sweep(bench, services, repeats)
        sizes = _make(services, count)
        note(f"{count} rollouts wait; the worker is left alone for {idle:g} s")
        _leave_alone(bench, idle)
        all_of_them = _sweep(bench, services, repeats)
    requests, cpu = zip(none, all_of_them, strict=True)
    note(f"a sweep: {requests[0]:g} requests, {cpu[0] * 1000:.1f} ms; with all {requests[1]:g}")
    yield Figure(name=FIGURES[0], value=requests[1], unit="requests", floor=requests[0])
    yield Figure(name=FIGURES[1], value=cpu[1], unit="s", floor=cpu[0])
    yield Figure(name=FIGURES[2], value=sizes[0], unit="bytes", floor=sizes[1])


def _make(services: Services, count: int) -> tuple[float, float]:
    """Have so many rollouts wait; return the bytes of one, and of the names that it is made of."""
    now = datetime.now(UTC)
    rollouts = [_waiting(number, now) for number in range(count)]
    services.rollouts.start(rollouts[0])  # makes the table and the queue
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(services.rollouts.start, rollouts[1:]))
    one = rollouts[count // 2]
    row = services.tables.get(TABLE, one.partition, one.id)
    if row is None:
        raise BenchFailed("a rollout is not in its table")
    texts = {key: str(value) for key, value in row.values.items()}
    message = {"v": 1, "endpoint": one.partition, "rollout": one.id, "tick": 0}
    names = [one.id, one.workspace.id, one.endpoint, one.deployment, one.model.id, one.stable]
    size = len(json.dumps(texts)) + len(json.dumps(message))
    return float(size), float(sum(map(len, names)))


def _waiting(number: int, now: datetime) -> Rollout:
    """Return a canary that is at 10%, and is looked at again tomorrow."""
    strategy = find_strategy("canary", {})
    assert strategy is not None
    key, endpoint = digest("waiting", str(number)), f"endpoint-{number}"
    workspace = Workspace(subscription="sub", resource_group="rg", name="ws")
    new, old = f"churn-v2-{key[:6]}", f"churn-v1-{key[6:12]}"
    past = (Phase.QUEUED, Phase.CHECKING, Phase.DEPLOYMENT, Phase.PROBING, Phase.SHIFTING)
    return Rollout(
        id=key[:32],
        ref=EventRef(key=key, id=key, type="ModelRegistered", time=now, source=workspace.id),
        reaction_step="deploy-tagged-models/deploy",
        workspace=workspace,
        endpoint=endpoint,
        deployment=new,
        model=ModelRef(id=f"{workspace.id}/models/churn/versions/2", name="churn", version="2"),
        plan=Plan(
            strategy=strategy,
            probe=Probe(),
            timeout=timedelta(hours=1),
            instance_type="Standard_DS3_v2",
            instance_count=1,
            auth_mode="aad_token",
            keep_old=timedelta(hours=1),
            channels=("team",),
        ),
        phase=Phase.HOLDING,
        step=2,
        since=now,
        created_at=now,
        schedule=Schedule(due_at=now + _DAY),
        traffic=Traffic(goal={new: 100}, origin={old: 100}, split={old: 90, new: 10}),
        stable=old,
        history=tuple(Moment(at=now, phase=phase) for phase in (*past, Phase.HOLDING)),
    )


def _leave_alone(bench: Bench, seconds: float) -> None:
    """Run the worker for a while; raises BenchFailed where it asks storage for anything."""
    bench.start(settings={**SETTINGS, "SIGNALBOX_SWEEP_SCHEDULE": _NEVER})
    _clear(bench)
    time.sleep(seconds)
    asked = [request.path for request in _requests(bench) if is_of_worker(request)]
    if asked:
        raise BenchFailed(f"the worker asked for {len(asked)} things: {asked[:3]}")
    bench.stack.stop_host()


def _sweep(bench: Bench, services: Services, repeats: int) -> tuple[float, float]:
    """Return the requests and the CPU seconds of a look for lost ticks."""
    services.sweep.run()  # the first one makes what is not there
    _clear(bench)
    cpu: list[float] = []
    for _ in range(repeats):
        before = time.process_time()
        services.sweep.run()
        cpu.append(time.process_time() - before)
    return len(_requests(bench)) / repeats, median(cpu)


def _clear(bench: Bench) -> None:
    for tap in bench.stack.taps.values():
        tap.clear()


def _requests(bench: Bench) -> list[Request]:
    return [request for tap in bench.stack.taps.values() for request in tap.requests]
