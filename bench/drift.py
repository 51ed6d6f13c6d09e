"""Measures the cost of drift: requests to storage and to AML (ARM and run history), by case.

`storage_requests_per_event_drift_held` is of drift that a check of one's own tells of, and that the
policy holds back; `_drift_retrained` of such drift that starts a component, which asks AML for
`aml_requests_per_retraining`. `_retraining_ended` is of the event that the run of a retraining has
completed, `_retraining_deployed` of the model that it made, until its rollout is on its way.

`…_per_window` is of the window of a model monitor with two signals that both breach, held back by
the policy: the four events that tell of it (each signal's step has two). The monitor's run has
ended when they arrive; of `_1h`, it goes on for an hour, in the in-memory twin, and the drift waits
for its end. `replays_per_window_1h` is how often it is looked at again until then.

Floors. Held: the claim, the loop, the loop with what was decided, the claim's end, the record.
Retrained: those, the places that the reaction has and the one that is taken, and the loop with the
run. AML: read the component, start the job. Ended: the loop, the loop with what has ended, the
place that is free again (two), what came of it with the drift's record (two), the record. Deployed:
a deployment's five, the loop, read and written, and the drift's record (two). Of a window: the
record of each event; of each signal the claim, its end and the record, and one look that says it
was told before; the loop, read and written. From AML: the run of the monitor, what is below it,
what is below each signal. Replays: one, when the run has ended.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from statistics import median

from bench.app import DRIFT_REACTIONS, Bench, open_bench
from bench.events import Json, breach_told, drift_detected
from bench.figure import BenchFailed, Figure, note
from bench.taps import SETTINGS, Asked, count, count_deploy
from bench.twin import Twin
from shared.adapters.storage.tables import AzureTables
from shared.base.ids import REFERENCE
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import DriftDetected
from shared.journal.letters import QUEUE
from shared.retraining.model import Loop, PolicyAnswer, Retraining, Stage
from shared.retraining.store import LoopStore
from shared.workspaces.model import RunRecord

_FLOORS = {
    "storage_requests_per_event_drift_held": 5,
    "storage_requests_per_event_drift_retrained": 8,
    "storage_requests_per_event_retraining_ended": 7,
    "storage_requests_per_event_retraining_deployed": 9,
    "storage_requests_per_window": 14,
    "storage_requests_per_window_1h": 14,
    "aml_requests_per_retraining": 2,
    "aml_requests_per_window": 4,
    "aml_requests_per_window_1h": 4,
    "replays_per_window_1h": 1,
}
FIGURES = tuple(_FLOORS)
TINY = {"repeats": 1}

type _Counts = dict[str, list[int]]

#: The beginnings of monitors' names, by the bench's reaction to their drift.
_HELD, _RETRAINED = "held", "drifted"
_SIGNALS = ("data_drift", "prediction_drift")
_METRIC = {
    "metric_name": "JensenShannonDistance",
    "metric_value": 0.31,
    "threshold_value": 0.1,
    "group": "amount",
}


def measure(*, repeats: int = 3) -> Iterator[Figure]:
    """Let everything happen once, which also makes tables, and then so many times more."""
    found: _Counts = defaultdict(list)
    with open_bench(tapped=True) as bench:
        bench.start(settings={**SETTINGS, "SIGNALBOX_REACTIONS": str(DRIFT_REACTIONS)})
        _have_component(bench)
        bench.stack.control.training(seconds=1)
        for number in range(repeats + 1):
            _count_held(bench, f"{_HELD}-{number}", found)
            _count_retrained(bench, f"{_RETRAINED}-{number}", found)
            _count_window(bench, f"{_HELD}-monitor-{number}", found)
        # Last: what the rollouts that they start ask for would be counted with the others.
        for number in range(repeats + 1):
            _count_deployed(bench, f"{_RETRAINED}-deployed-{number}", found)
    _Window(timedelta(hours=1)).count(found)
    for name, floor in _FLOORS.items():
        counts = found[name]
        note(f"{name}: {counts[0]} at first, then {counts[1:]}")
        unit = "replays" if name.startswith("replays") else "requests"
        yield Figure(name=name, value=median(counts[1:] or counts), unit=unit, floor=floor)


# In the sandbox


def _have_component(bench: Bench) -> None:
    """Have the pipeline that the bench's reactions start, of one step."""
    command = {"command": "python train.py", "environment": "azureml:train:1"}
    bench.put_component("fit", type="command", **command)
    fit = f"{bench.stack.workspace_id}/components/fit/versions/1"
    bench.put_component(
        "train", type="pipeline", jobs={"fit": {"type": "command", "componentId": fit}}
    )


def _count_held(bench: Bench, monitor: str, found: _Counts) -> None:
    held = _drift(bench, monitor)
    _require(bench, monitor, lambda loop: loop.decisions[-1].answer is PolicyAnswer.TOO_FEW_WINDOWS)
    found["storage_requests_per_event_drift_held"].append(len(held.storage))


def _count_retrained(bench: Bench, monitor: str, found: _Counts) -> Retraining:
    """Count drift that starts a retraining, and the first event of its end."""
    retrained = _drift(bench, monitor)
    last = _require_stage(bench, monitor, Stage.RUNNING)
    found["storage_requests_per_event_drift_retrained"].append(len(retrained.storage))
    found["aml_requests_per_retraining"].append(len(retrained.aml))
    events = [each for each in bench.runs_ended(last.run_id) if _is_end(each, last.run_id)]
    ended, again = (count(bench, _function(event), event) for event in events)
    found["storage_requests_per_event_retraining_ended"].append(len(ended.storage))
    note(f"its end told again: {len(again.storage)} requests to storage")
    return _require_stage(bench, monitor, Stage.TRAINED)


def _count_deployed(bench: Bench, monitor: str, found: _Counts) -> None:
    """Count the deployment of a model that a retraining of its own has made."""
    nothing: _Counts = defaultdict(list)

    def deploy(attempt: int) -> Json:
        name = f"{monitor}-{attempt}"
        _count_retrained(bench, name, nothing)
        loop = _find_loop(bench, name)
        tags = {REFERENCE: loop.reference(loop.retrainings[-1].id)}
        return bench.register(name, "1", **tags)

    deployed = count_deploy(bench, deploy)
    found["storage_requests_per_event_retraining_deployed"].append(len(deployed.storage))


def _drift(bench: Bench, monitor: str) -> Asked:
    event = drift_detected(bench.stack.workspace_id, monitor)
    return count(bench, "dataset_drift_detected", event)


def _is_end(event: Json, run_id: str) -> bool:
    """Say whether an event tells of the end of a run: two do."""
    data = event["data"]
    return data["runId"] == run_id and data.get("runStatus", "Completed") == "Completed"


def _count_window(bench: Bench, monitor: str, found: _Counts) -> None:
    run = bench.stack.control.monitor_run(
        monitor, signals={f"{monitor}_{signal}": [_METRIC] for signal in _SIGNALS}, seconds=5
    )
    events = bench.runs_ended(run["run"])
    telling = [event for event in events if _tells_of_drift(event)]
    asked = sum((count(bench, _function(event), event) for event in telling), Asked())
    _require(bench, monitor, lambda loop: len(loop.windows[-1].signals) == len(_SIGNALS))
    note(f"{monitor}: {len(telling)} of the {len(events)} events of its run tell of drift")
    found["storage_requests_per_window"].append(len(asked.storage))
    found["aml_requests_per_window"].append(len(asked.aml))


def _function(event: Json) -> str:
    return "run_completed" if event["eventType"].endswith("RunCompleted") else "run_status_changed"


def _tells_of_drift(event: Json) -> bool:
    return any(isinstance(each, DriftDetected) for each in parse_events(parse_envelope(event)))


def _require(bench: Bench, monitor: str, is_so: Callable[[Loop], bool]) -> None:
    loop = _find_loop(bench, monitor)
    if not is_so(loop):
        raise BenchFailed(f"the loop over {monitor} is not as it should be: {loop}")


def _require_stage(bench: Bench, monitor: str, stage: Stage) -> Retraining:
    last = _find_loop(bench, monitor).last
    if last is None or last.stage is not stage:
        raise BenchFailed(f"the retraining of {monitor} is not {stage}: {last}")
    return last


def _find_loop(bench: Bench, monitor: str) -> Loop:
    store = LoopStore(tables=AzureTables(lambda: bench.tables))
    return next(kept.value for kept in store.all() if kept.value.monitor == monitor)


# In memory


class _Window:
    """A window of a monitor in the twin, whose run goes on after its signals have been told."""

    def __init__(self, goes_on: timedelta) -> None:
        self._twin = Twin(DRIFT_REACTIONS)
        self._ends_at = self._twin.clock.now() + goes_on
        self._root = RunRecord(id="root", status="Running", root_id="root", experiment=_HELD + "-w")
        self._steps = [self._add_signal(signal) for signal in _SIGNALS]
        self._twin.workspaces.add_run(self._twin.workspace, self._root)

    def count(self, found: _Counts) -> None:
        """Have the window told of, and what waits for its end replayed until none does."""
        twin = self._twin
        replays: list[str] = []
        for step in self._steps:
            for status in ("Completed", None):
                event = breach_told(twin.workspace.id, step, at=twin.clock.now(), status=status)
                twin.services.react.react(event)

        def replay(message: str) -> None:
            if twin.clock.now() >= self._ends_at:
                ended = replace(self._root, status="Completed", ended_at=self._ends_at)
                twin.workspaces.add_run(twin.workspace, ended)
            letter = twin.services.dead_letters.due(message)
            if letter is not None:
                replays.append(letter.id)
                twin.services.react.replay(letter)

        twin.work(QUEUE, replay)
        (kept,) = twin.services.loops.store.all()
        if len(kept.value.windows[-1].signals) != len(_SIGNALS):
            raise BenchFailed(f"the window was decided about without its signals: {kept.value}")
        late = twin.clock.now() - self._ends_at
        note(f"{len(set(replays))} letters; decided {late.total_seconds():.0f} s after the end")
        found["replays_per_window_1h"].append(len(replays))
        found["aml_requests_per_window_1h"].append(len(twin.aml))
        found["storage_requests_per_window_1h"].append(len(twin.storage))

    def _add_signal(self, signal: str) -> RunRecord:
        """Add the pipeline of a signal, and the step of it that found the breach; return that."""
        pipeline = RunRecord(
            id=f"{signal}-pipeline",
            status="Completed",
            root_id="root",
            parent_id="root",
            experiment=_HELD + "-w",
            properties={"azureml.runsource": "azureml.PipelineRun"},
        )
        step = replace(
            pipeline,
            id=f"{signal}-step",
            parent_id=pipeline.id,
            step="model_monitor_evaluate_metrics_threshold",
            tags={"azureml_modelmonitor_threshold_breached": _breach(signal)},
            properties={
                "azureml.runsource": "azureml.StepRun",
                "azureml.moduleName": "model_monitor_evaluate_metrics_threshold",
                "azureml.rootpipelinerunid": "root",
            },
        )
        for run in (pipeline, step):
            self._twin.workspaces.add_run(self._twin.workspace, run)
        return step


def _breach(signal: str) -> str:
    return (
        f"The signal '{signal}' has failed due to one or more features violating metric thresholds."
        "\nThe feature names and their corresponding computed metric values violating the threshold"
        f" are \n['{json.dumps(_METRIC)}']\n"
    )
