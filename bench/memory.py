"""memory_mb…: the worker's resident memory: indexed, after events, deployments, a retraining.

`memory_mb` is of a worker that has indexed the app and handled nothing; `_after_1000_events` of
the same worker after 1,000 events that each told a channel; `_after_deployments` of another, after
20 models were deployed, each on an endpoint of its own; `_after_retraining` of a third, after drift
has started one job from YAML, for which it imports `azure.ai.ml`.

Floor: a worker that has indexed the app with one function, which does nothing.
"""

import time
from collections.abc import Iterator

from bench.app import DRIFT_REACTIONS, EMPTY_APP, QUIET, Bench, open_bench
from bench.events import drift_detected
from bench.figure import BenchFailed, Figure, note
from sandbox.stack import Pace

FIGURES = (
    "memory_mb",
    "memory_mb_after_1000_events",
    "memory_mb_after_deployments",
    "memory_mb_after_retraining",
)
TINY = {"events": 2, "deployments": 1}

_MIB = 1024 * 1024
_BATCH = 100
_PATIENCE = 120.0


def measure(*, events: int = 1000, deployments: int = 20) -> Iterator[Figure]:
    """Start four workers; give the second events, the third models and the fourth drift."""
    with open_bench(QUIET) as bench:
        bench.start(EMPTY_APP)
        floor = _rss(bench)
        bench.stack.stop_host()
        bench.start()
        indexed = _rss(bench)
        told = _tell(bench, events)
        bench.stack.stop_host()
        bench.start(settings={"SIGNALBOX_REACTIONS": str(DRIFT_REACTIONS)})
        retrained = _retrain(bench)
    with open_bench(Pace()) as bench:
        bench.start()
        deployed = _deploy(bench, deployments)
    for name, value in zip(FIGURES, (indexed, told, deployed, retrained), strict=True):
        yield Figure(name=name, value=value, unit="MiB", floor=floor)


def _tell(bench: Bench, events: int) -> float:
    for sent in range(0, events, _BATCH):
        bench.send("run_status_changed", bench.runs("Failed", min(_BATCH, events - sent)))
        note(f"{sent + _BATCH} events: {_rss(bench):.1f} MiB")
    return _rss(bench)


def _deploy(bench: Bench, count: int) -> float:
    bench.stack.control.provisioning(1)
    bench.stack.control.quota(100 * count)
    for number in range(count):
        event = bench.register(f"model-{number}", "1")
        bench.send("model_registered", [event])
    deadline = time.monotonic() + _PATIENCE
    # The first version of a model takes no other's place: its rollout ends when it is live.
    while bench.open_rollouts():
        if time.monotonic() > deadline:
            raise BenchFailed(f"{count} models were not deployed within {_PATIENCE:.0f} s")
        time.sleep(0.25)
    live = sum(" is live on " in title for title in bench.channel.titles())
    if live != count:
        raise BenchFailed(f"{live} of {count} models went live")
    note(f"{count} deployments: {_rss(bench):.1f} MiB")
    return _rss(bench)


def _retrain(bench: Bench) -> float:
    """Have drift start the job of jobs/churn.yaml; the component that it runs is there."""
    bench.put_component(
        "churn_train",
        type="command",
        command="python train.py",
        environment="azureml:train:1",
        inputs={
            "window_start": {"type": "string"},
            "window_end": {"type": "string"},
            "days": {"type": "integer"},
            "data": {"type": "uri_folder"},
        },
        outputs={"model": {"type": "mlflow_model"}},
    )
    before = _rss(bench)
    event = drift_detected(bench.stack.workspace_id, "yaml")
    bench.send("dataset_drift_detected", [event])
    if bench.channel.titles()[-1:] != ["churn: retraining started after drift"]:
        raise BenchFailed(f"no retraining was started; told: {bench.channel.titles()[-1:]}")
    note(f"a retraining from YAML: {before:.1f} MiB before, {_rss(bench):.1f} MiB after")
    return _rss(bench)


def _rss(bench: Bench) -> float:
    return bench.stack.host.worker_rss() / _MIB
