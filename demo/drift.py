"""The story of a model whose data drifts: held back, retrained, deployed if better, and proved."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from demo.play import NotAsTold, Play
from demo.runs import short
from shared.journal.outcomes import OutcomeStatus
from shared.retraining.model import Decision, LoopStatus, PolicyAnswer, Retraining, Stage
from shared.retraining.targets import REFERENCE
from shared.rollouts.state.phases import Phase

_MONITOR = "churn-monitor"
_COMPONENT = "churn_train"
_INPUTS = {
    "window_start": "string",
    "window_end": "string",
    "days": "integer",
    "data": "uri_folder",
}
_AUC = 0.91
#: Emulated seconds: of each step of the monitor, and of training.
_MEASURING, _TRAINING = 5, 120
_DAY = timedelta(days=1)
_OVER = (Stage.FAILED, Stage.NOT_BETTER, Stage.ROLLED_BACK)

_BROKEN = "churn: its data is broken, so it is not retrained"
_STARTED = "churn: retraining started after drift"
_COMPLETED = "churn was retrained"
_RECOVERED = "churn has recovered"


def prepare_training(play: Play) -> None:
    """Register the component that jobs/churn.yaml runs, and say what its training gives."""
    play.screen.line("scientist", f"registers component {_COMPONENT}, which jobs/churn.yaml runs")
    play.workspace.register_component(_COMPONENT, _INPUTS)
    play.stack.control.training(
        experiment="churn", seconds=_TRAINING, metrics={"auc": _AUC}, tags={"auc": f"{_AUC:g}"}
    )


def drift(play: Play) -> str:
    """Let churn's data break, drift, drift again and be fine: the app does all the rest."""
    old = play.customer.serving
    prepare_training(play)
    _hold(play)
    play.until_phase("4", Phase.DONE)  # while churn is being rolled out, nothing is started
    started = _start(play)
    retraining = _go_live(play, started.id, old)
    _recover(play)
    told = {"broken data": _BROKEN, "start": _STARTED, "end": _COMPLETED, "recovery": _RECOVERED}
    counts = [play.channel.titles().count(title) for title in told.values()]
    play.check(f"told once each: {', '.join(told)}", counts == [1] * len(told), counts)
    requests = play.check_nothing_failed()
    return f"one job for two windows of drift; {retraining.model} has helped; {requests}"


def _hold(play: Play) -> None:
    """Let the data break, and then drift once: people are told of the one, nothing is started."""
    what = "4 in 10 incomes are missing, amounts are off"
    decision = _measure(play, what, _days_ago(3), nulls=0.4, distance=0.31)
    play.until_told(_BROKEN)
    _check_held(play, decision, PolicyAnswer.DATA_QUALITY)
    decision = _measure(play, "amounts have drifted", _days_ago(2), distance=0.31)
    _check_held(play, decision, PolicyAnswer.TOO_FEW_WINDOWS)
    jobs = play.workspace.jobs(REFERENCE)
    play.check("in the workspace: no job of a retraining", not jobs, jobs)


def _start(play: Play) -> Retraining:
    """Let the data drift once more: one job is started, with the window as its input."""
    _measure(play, "amounts have drifted again", _days_ago(1), distance=0.34)
    play.until_told(_STARTED)
    loop = play.loop(_MONITOR)
    retraining, window = loop.retrainings[-1], loop.windows[-1]
    jobs = play.workspace.jobs(REFERENCE)
    names = [job.name for job in jobs]
    fact = f"in the workspace: one job of a retraining, {short(retraining.run_id)}"
    play.check(fact, names == [retraining.run_id], names)
    tag = jobs[0].tags[REFERENCE]
    play.check(f"its tag {REFERENCE} leads back", tag == loop.reference(retraining.id), tag)
    start = jobs[0].inputs["window_start"]
    is_right = window.start is not None and datetime.fromisoformat(start) == window.start
    play.check(f"its input window_start is {start}", is_right, window)
    return retraining


def _go_live(play: Play, started: str, old: str) -> Retraining:
    """Wait until what was trained is registered, better and live; return its retraining."""

    def live() -> Retraining | None:
        found = (loop.find(started) for loop in play.watch.loops)
        retraining = next(filter(None, found))
        if retraining.stage in _OVER:
            reason = retraining.reason or retraining.verdict
            raise NotAsTold(f"the retraining is {retraining.stage}: {reason}")
        return retraining if retraining.stage is Stage.LIVE else None

    retraining = play.until("the retrained model to be live", live)
    version = retraining.model.rpartition(":")[2]
    rollout = play.until_phase(version, Phase.LIVE)
    play.until_told(_COMPLETED, f"churn {version} is live on churn")
    play.until("it to answer", lambda: play.customer.serving == rollout.deployment)
    play.check_serves(rollout.deployment, others={old: "4"})
    _, found, numbers = retraining.verdict.rpartition("auc ")
    play.check(f"on record: {found}{numbers}", numbers.startswith(f"{_AUC:g} "), retraining)
    return retraining


def _recover(play: Play) -> None:
    """Let the first window of the new model be fine: the loop says that retraining has helped."""
    # Only data that came in after the model was live tells of it.
    _measure(play, "all is well", datetime.now(UTC) + timedelta(hours=1))
    play.until_told(_RECOVERED)
    loop = play.loop(_MONITOR)
    retraining = loop.retrainings[-1]
    is_over = loop.status is LoopStatus.CALM and retraining.helped is True
    play.check(f"in the table: loop {loop.status}, retraining helped", is_over, loop)
    outcome = play.records.outcome_of(retraining)
    said = f"{retraining.model}, which is live"
    is_done = outcome is not None and outcome.status is OutcomeStatus.DONE
    is_said = outcome is not None and outcome.detail.endswith(said)
    play.check(f"on record of the drift: done, {said}", is_done and is_said, outcome)


def _measure(
    play: Play, what: str, start: datetime, *, nulls: float = 0.01, distance: float = 0.02
) -> Decision:
    """Have the monitor run over a day of data; return what the policy answers to it.

    `nulls` is the share of incomes that are missing, `distance` how far the amounts have drifted.
    """
    play.screen.line("monitor", f"{_MONITOR} measures {start:%A}'s data: {what}")
    run = play.stack.control.monitor_run(
        _MONITOR,
        signals={
            "data_quality": [_metric("NullValueRate", nulls, 0.05, "income")],
            "data_drift": [_metric("JensenShannonDistance", distance, 0.1, "amount")],
        },
        seconds=_MEASURING,
        window_start=start,
        window_end=start + _DAY,
    )["run"]

    def answered() -> Decision | None:
        return next(filter(None, (loop.decided(run) for loop in play.watch.loops)), None)

    return play.until("the policy to answer", answered)


def _metric(name: str, value: float, threshold: float, feature: str) -> Mapping[str, object]:
    told = {"metric_name": name, "metric_value": value, "threshold_value": threshold}
    return {**told, "group": feature}


def _days_ago(days: int) -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - days * _DAY


def _check_held(play: Play, decision: Decision, answer: PolicyAnswer) -> None:
    retrainings = play.loop(_MONITOR).retrainings
    is_held = decision.answer is answer and not retrainings
    play.check(f"in the table: {answer}, and no retraining", is_held, (decision, retrainings))
