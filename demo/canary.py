"""The stories of two versions under load: one that its gates let through, one that they stop."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from demo.play import Play
from demo.stage import APP_ROOT
from sandbox.load import Load
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import is_same, on_the_way, words
from shared.rollouts.strategy.model import StepKind

GOLDEN = "golden/churn.json"
_STRATEGY = "careful"
#: Requests a second; two cores are enough for them, the app and the workspace.
_RATE = 80
#: Seconds that an answer takes, and how far they spread.
_LATENCY, _SPREAD = 0.03, 0.1
_ERRORS = 0.05
_SECOND = timedelta(seconds=1)


def good_canary(play: Play) -> str:
    """Roll out churn 6 by steps, under load, as far as its gates let it: to the end."""
    play.stack.control.scoring(model="churn", latency=_LATENCY, spread=_SPREAD)
    with _crowd(play) as load:
        rollout = _register(play, "6")
        for split in _splits(rollout):
            shown = words(split)
            play.until(f"the split {shown}", lambda split=split: _has(play, split))
            play.check(f"in the workspace: {shown}", _has(play, split))
        rollout = play.until_phase("6", Phase.LIVE)
        play.until_told("churn 6 is live on churn")
        play.check_traffic(rollout.deployment)
    measured = play.records.measured(rollout)
    failed = [each.detail for each in measured if each.outcome is GateOutcome.FAIL]
    play.check(f"on record: {len(measured)} measurements, none failed", not failed, failed)
    statuses = load.statuses()
    fact = f"{statuses.total()} customers' requests meanwhile, none failed"
    play.check(fact, set(statuses) == {200}, statuses)
    return f"{rollout.deployment} serves, by 10%, 50%, 100%; {fact}"


def bad_canary(play: Play) -> str:
    """Roll out churn 7, which is slow and errs: it is caught at 10%, and traffic goes back."""
    answers = {"latency": 3 * _LATENCY, "spread": _SPREAD, "error_rate": _ERRORS}
    play.stack.control.scoring(model="churn", version="7", **answers)
    stable = play.rollouts_of("6")[0].deployment
    with _crowd(play) as load:
        _register(play, "7")
        rollout = play.until_phase("7", Phase.KEEPING)
        play.until_told("churn 7 failed on churn", "churn 7 was rolled back on churn")
        play.check_traffic(stable)
        play.linger(2)
    failure = _check_caught(play, rollout)
    _check_customers(play, load, rollout)
    _show_times(play, load, rollout, failure)
    rollout = play.until_phase("7", Phase.ROLLED_BACK)
    play.until_phase("6", Phase.DONE)
    play.check_serves(stable)
    _show_drawing(play, rollout)
    total, failed = load.statuses().total(), _failed(load).total()
    return f"caught at 10%: of {total} customers' requests {failed} failed; {stable} serves on"


@contextmanager
def _crowd(play: Play) -> Iterator[Load]:
    """Let many customers ask the endpoint in the block, in place of the one."""
    with play.customer.resting():
        play.screen.line("requests", f"many customers ask now, {_RATE} times a second")
        load = Load(
            play.customer.url,
            play.workspace.scoring_token(),
            rate=_RATE,
            body=json.loads((APP_ROOT / GOLDEN).read_bytes()),
            ca_path=play.stack.workspace.ca_path,
        )
        with load:
            yield load
        play.crowds.update(load.statuses())


def _register(play: Play, version: str) -> Rollout:
    """Register a version for a rollout by steps, and return that when it has begun to step."""
    play.register(version, signalbox_probe_request=GOLDEN, signalbox_rollout=_STRATEGY)
    return play.until_phase(version, Phase.PROBING)


def _splits(rollout: Rollout) -> Iterator[dict[str, int]]:
    for step in rollout.plan.strategy.steps:
        if step.kind is StepKind.TRAFFIC:
            yield on_the_way(rollout.traffic.origin, rollout.traffic.goal, step.percent)


def _has(play: Play, split: dict[str, int]) -> bool:
    return is_same(play.workspace.traffic("churn"), split)


def _failed(load: Load) -> Counter[int]:
    return Counter({status: count for status, count in load.statuses().items() if status != 200})


def _check_caught(play: Play, rollout: Rollout) -> Measurement:
    """Check that a gate failed at 10% and is the reason that was told; return its measurement."""
    failure = next(
        each for each in play.records.measured(rollout) if each.outcome is GateOutcome.FAIL
    )
    shares = [
        step.percent
        for step in rollout.plan.strategy.steps[: failure.step]
        if step.kind is StepKind.TRAFFIC
    ]
    play.check(f"gate {failure.measure} failed at {shares[-1]}%", shares == [10], shares)
    told = [each.text for each in play.channel.told if each.title.startswith("churn 7 ")]
    is_told = all(failure.detail in text for text in told)
    play.check("the team was told what it measured", len(told) == 2 and is_told, told)
    return failure


def _check_customers(play: Play, load: Load, rollout: Rollout) -> None:
    """Check that nobody failed but by the new version, and nobody after it was taken out."""
    back = _moment(rollout, Phase.KEEPING)
    seconds = load.seconds()
    late = [each for each in seconds if each.at > back and set(each.statuses) - {200}]
    total, failed = load.statuses().total(), _failed(load)
    share = f"{100 * failed.total() / total:.2f}%"
    fact = f"{failed.total()} of {total} customers' requests failed ({share}), by churn 7 only"
    play.check(fact, set(failed) <= {424} and failed.total() < 0.02 * total, failed)
    play.check("none failed once traffic was back", not late, late)
    play.excused += failed.total()


def _show_times(play: Play, load: Load, rollout: Rollout, failure: Measurement) -> None:
    """Show how long it was bad: by the app's own record, and by what others saw."""
    assert failure.start is not None  # it was measured
    back = _moment(rollout, Phase.KEEPING)
    record = (back - failure.start).total_seconds()
    text = f"{record:.1f} s from the first reading at 10% to traffic that is back, and has answered"
    play.screen.line("the record", text)
    answered = [
        datetime.fromisoformat(each["start"])
        for each in play.stack.control.measurements(seconds=1)
        if each["deployment"] == rollout.deployment
    ]
    bad = (each.at for each in load.seconds() if set(each.statuses) - {200})
    first = next(bad, failure.start)
    seen = (max(answered) + _SECOND - first).total_seconds()
    text = f"{seen:.0f} s from the first failed request to the last one that churn 7 was sent"
    play.screen.line("customers", text)
    play.check("both within half a minute", 0 < record < 30 and 0 < seen < 30, (record, seen))


def _moment(rollout: Rollout, phase: Phase) -> datetime:
    return next(each.at for each in rollout.history if each.phase is phase)


def _show_drawing(play: Play, rollout: Rollout) -> None:
    """Show what `signalbox rollouts show` shows of a rollout."""
    command = ["rollouts", "show", rollout.id[:8]]
    play.screen.line("operator", f"signalbox {' '.join(command)}")
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=APP_ROOT,
        env={**os.environ, **play.settings},
        capture_output=True,
        text=True,
        check=False,
    )
    play.screen.quote(done.stdout + done.stderr)
    play.check("it is shown", done.returncode == 0)
