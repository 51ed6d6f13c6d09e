"""New versions under load: the gates judge what really went through the scoring addresses."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from sandbox.load import Load
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.phases import PHASES, Phase
from shared.rollouts.state.rollout import Rollout
from tests.app.stage import Stage

#: Seconds that an answer takes: slow enough that what else this machine does hardly shows.
LATENCY = 0.03
SPREAD = 0.1
GOLDEN = "golden/rows.json"
#: Real seconds that a canary may take on a machine with other things to do.
_PATIENCE = 90


@dataclass(frozen=True)
class Scene:
    """An endpoint with version 1 live, under load."""

    stage: Stage
    name: str
    old: str
    load: Load

    def deploy(self, version: str, strategy: str) -> None:
        """Register a version that is to be rolled out by this strategy."""
        tags = {"signalbox_rollout": strategy, "signalbox_probe_request": GOLDEN}
        self.stage.register(self.name, version, deploy="true", **tags)

    def measured(self, rollout: Rollout, phase: Phase) -> list[Measurement]:
        """Return what the gates measured in a phase."""
        steps = rollout.plan.strategy.steps
        found = self.stage.store.measurements(rollout.id)
        return [each for each in found if each.step >= 0 and PHASES[steps[each.step].kind] is phase]

    def splits_until(self, version: str, phase: Phase) -> tuple[Rollout, list[Mapping[str, int]]]:
        """Look at the endpoint until a rollout has ended, in this phase; return all its splits."""
        seen: list[Mapping[str, int]] = []

        def look() -> bool:
            split = self.stage.traffic(self.name)
            if split not in seen[-1:]:
                seen.append(split)
            found = self.stage.rollouts(self.name, version)
            return any(each.phase.is_terminal and not each.notices for each in found)

        self.stage.wait_for(f"{self.name} {version} ends", look, seconds=_PATIENCE)
        (rollout,) = self.stage.rollouts(self.name, version)
        assert rollout.phase is phase, f"{rollout.phase}: {rollout.reason}"
        return rollout, seen


@contextmanager
def scene(stage: Stage, name: str, *, rate: float = 80.0) -> Iterator[Scene]:
    """Give an endpoint of this name that has been under load for long enough to be measured."""
    rule = stage.control.scoring(model=name, latency=LATENCY, spread=SPREAD)
    stage.register(name, "1", deploy="true", signalbox_probe_request=GOLDEN)
    old = stage.wait_live(name, "1").deployment
    with stage.during(rule), stage.load(name, rate=rate) as load:
        yield Scene(stage, name, old, load)


def answers(stage: Stage, deployment: str) -> Counter[int]:
    """Return how often a deployment gave each status, as the workspace has counted it."""
    counts: Counter[int] = Counter()
    for minute in stage.control.measurements():
        if minute["deployment"] == deployment:
            counts.update({item["status"]: item["count"] for item in minute["statuses"]})
    return counts


def test_a_canary_goes_live_by_what_its_gates_measure(stage: Stage) -> None:
    with scene(stage, "canary-good") as now:
        now.deploy("2", "canary-in-seconds")
        rollout, splits = now.splits_until("2", Phase.DONE)
    old, new = now.old, rollout.deployment
    assert splits == [{old: 100}, {old: 90, new: 10}, {old: 50, new: 50}, {new: 100}]
    assert set(now.load.statuses()) == {200}, "not one request failed"
    assert answers(stage, new)[200] > 100
    found = now.measured(rollout, Phase.HOLDING)
    assert GateOutcome.FAIL not in {each.outcome for each in found}
    for step in (2, 4, 6):
        last = {each.measure: each for each in found if each.step == step}
        assert set(last) == {"error_rate", "latency"}
        assert {each.outcome for each in last.values()} == {GateOutcome.PASS}
        assert all(each.requests >= 20 and each.queries for each in last.values())
    assert stage.versions(now.name) == {new: "2"}


@dataclass(frozen=True)
class Fault:
    """How a version is bad: how it answers, which gate sees it, and what people read of that."""

    name: str
    answers: Mapping[str, float]
    gate: str
    told: str


FAULTS = [
    Fault(
        "errs",
        {"error_rate": 0.2, "latency": LATENCY},
        "error_rate",
        "at most 0.5 points more than the stable one's",
    ),
    Fault(
        "slow",
        {"latency": 2 * LATENCY},
        "latency",
        "at most 1.3 times the stable one's",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_bad_canary_is_caught_at_a_tenth_and_rolled_back(stage: Stage, fault: Fault) -> None:
    with scene(stage, f"canary-{fault.name}", rate=100) as now:
        rule = stage.control.scoring(model=now.name, version="2", spread=SPREAD, **fault.answers)
        with stage.during(rule):
            now.deploy("2", "canary-with-care")
            rollout, splits = now.splits_until("2", Phase.ROLLED_BACK)
    old, new = now.old, rollout.deployment
    assert splits == [{old: 100}, {old: 90, new: 10}, {old: 100}]
    (failed,) = [
        each
        for each in now.measured(rollout, Phase.HOLDING)
        if each.outcome is GateOutcome.FAIL and each.measure == fault.gate
    ]
    assert fault.told in failed.detail
    assert rollout.reason == f"gate {fault.gate}: {failed.detail}"
    phases = [moment.phase for moment in rollout.history]
    assert phases[-5:] == [
        Phase.HOLDING,
        Phase.ROLLING_BACK,
        Phase.KEEPING,
        Phase.REMOVING,
        Phase.ROLLED_BACK,
    ]
    assert stage.versions(now.name) == {old: "1"}
    # Who suffered: some of the tenth, and nobody else.
    assert set(answers(stage, old)) == {200}
    assert answers(stage, new)[424] == now.load.statuses()[424]
    assert now.load.statuses()[424] < 0.05 * now.load.statuses().total()
    *_, told, back = stage.channel.told
    assert told.title == f"{now.name} 2 failed on {now.name}"
    assert back.title == f"{now.name} 2 was rolled back on {now.name}"
    assert failed.detail in told.text
    assert f"Serving now: {old}" in back.text


def test_a_shadow_is_judged_by_mirrored_requests_of_which_no_caller_sees_an_answer(
    stage: Stage,
) -> None:
    with scene(stage, "shadow-errs") as now:
        with stage.during(stage.control.scoring(model=now.name, version="2", error_rate=0.5)):
            now.deploy("2", "shadow-in-seconds")
            rollout, splits = now.splits_until("2", Phase.ROLLED_BACK)
        assert rollout.reason.startswith("gate error_rate: ")
        assert splits == [{now.old: 100}]
        now.deploy("3", "shadow-in-seconds")
        better, splits = now.splits_until("3", Phase.DONE)
    assert splits == [{now.old: 100}, {better.deployment: 100}]
    assert answers(stage, rollout.deployment)[424] > 5
    assert set(now.load.statuses()) == {200}, "nobody was answered by the shadow"
    found = now.measured(better, Phase.HOLDING)
    assert found[-1].outcome is GateOutcome.PASS
    assert found[-1].requests >= 20
    mirrored = sum(
        minute["mirrored"]
        for minute in stage.control.measurements()
        if minute["deployment"] == better.deployment
    )
    assert mirrored >= found[-1].requests


def test_while_metrics_are_away_a_canary_waits_and_then_goes_on(stage: Stage) -> None:
    with scene(stage, "canary-blind") as now:
        now.deploy("2", "canary-at-once")
        rollout = stage.wait_phase(now.name, "2", Phase.HOLDING)
        outage = stage.control.metrics(unavailable=True, endpoint=now.name)
        span = rollout.plan.strategy.steps[rollout.step].span

        def is_overdue() -> bool:
            found = now.measured(rollout, Phase.HOLDING)
            return any(
                each.outcome is GateOutcome.UNAVAILABLE and each.at > rollout.since + span
                for each in found
            )

        with stage.during(*outage):
            stage.wait_for("a look after the hold's time", is_overdue)
            (held,) = stage.rollouts(now.name, "2")
            assert (held.phase, held.since) == (Phase.HOLDING, rollout.since)
            assert stage.traffic(now.name) == {now.old: 90, rollout.deployment: 10}
        stage.wait_live(now.name, "2")
    assert stage.serving(now.name) == "2"
    assert set(now.load.statuses()) == {200}
