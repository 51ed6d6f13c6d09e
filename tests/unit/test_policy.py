"""A policy's answers, one by one and at their boundaries, and what no policy may ever answer."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from shared.base.durations import format_duration
from shared.events.breaches import judge_metric
from shared.events.model import DriftState, Metric, Workspace
from shared.journal.outcomes import EventRef
from shared.retraining.model import (
    DECISIONS_MAX,
    RETRAININGS_MAX,
    WINDOWS_MAX,
    Decision,
    Loop,
    PolicyAnswer,
    Retraining,
    SignalSeen,
    Stage,
    Window,
)
from shared.retraining.params import Mode, PolicyParams
from shared.retraining.policy import PolicyFacts, count_in_vain, decide_window, learn, must_give_up
from shared.retraining.reading import is_measured, rank_metric, rank_signal, read_window
from shared.retraining.windows import (
    METRICS_MAX,
    NAME_MAX,
    OLD_METRICS_MAX,
    SIGNALS_MAX,
    cut_window,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WORKSPACE = Workspace(subscription="s", resource_group="g", name="w")
REF = EventRef(key="k", id="e", type="DriftDetected", time=NOW, source="w")
FACTS = PolicyFacts(now=NOW)
BROKEN = SignalSeen(state=DriftState.BROKEN, detail="no data")
FINE = SignalSeen(state=DriftState.RECOVERED)
PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "policy.md").read_text(
    encoding="utf-8"
)


def make_policy(**values: Any) -> PolicyParams:
    """Return a policy as a reaction gives it."""
    return PolicyParams.model_validate(values)


def make_breach(*metrics: Metric) -> SignalSeen:
    """Return a signal that is breached: by half of its threshold, unless metrics are given."""
    default = judge_metric("psi", 0.3, 0.2, "age")
    return SignalSeen(state=DriftState.BREACH, metrics=metrics or (default,))


def make_window(
    id: str = "w", ago: timedelta = timedelta(0), start: datetime | None = None, **signals: Any
) -> Window:
    """Return a window told of some time ago; with no signal given, one that has drifted."""
    return Window(id=id, at=NOW - ago, start=start, signals=signals or {"drift": make_breach()})


def make_retraining(
    stage: Stage = Stage.LIVE, ago: timedelta = 9 * DAY, id: str = "r", **facts: Any
) -> Retraining:
    """Return a retraining that was decided, and came to its stage, some time ago."""
    return Retraining(
        id=id,
        window="x",
        ref=REF,
        step="retrain",
        target="{}",
        stage=stage,
        decided_at=NOW - ago,
        **{"changed_at": NOW - ago, **facts},
    )


def make_loop(*items: Window | Retraining | Decision, **values: Any) -> Loop:
    """Return a loop of these windows, retrainings and decisions."""
    return Loop(
        reaction="r",
        workspace=WORKSPACE,
        monitor="m",
        windows=tuple(item for item in items if isinstance(item, Window)),
        retrainings=tuple(item for item in items if isinstance(item, Retraining)),
        decisions=tuple(item for item in items if isinstance(item, Decision)),
        **values,
    )


def make_told(ago: timedelta) -> Decision:
    """Return the decision to tell people, some time ago."""
    return Decision(window="x", at=NOW - ago, answer=PolicyAnswer.TELL, reason="")


def psi(value: float, threshold: float | None = 0.1, feature: str = "age") -> Metric:
    """Return a measure of which higher is worse."""
    return judge_metric("psi", value, threshold, feature)


STUCK = {"changed_at": NOW - DAY - timedelta(seconds=1)}
WINDOWS = [
    (
        "nothing was measured",
        {},
        make_window(drift=BROKEN),
        PolicyAnswer.MONITOR_BROKEN,
        "drift: no data",
    ),
    (
        "a broken signal beside a fine one",
        {},
        make_window(drift=BROKEN, other=FINE),
        PolicyAnswer.MONITOR_BROKEN,
        "drift: no data",
    ),
    ("all is fine", {}, make_window(drift=FINE), PolicyAnswer.NO_DRIFT, "no signal is breached"),
    (
        "a breach beside a broken signal",
        {},
        make_window(drift=make_breach(), other=BROKEN),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.3, effect 0.5",
    ),
    (
        "broken data, by the signal's name in any case",
        {},
        make_window(Churn_Data_Quality=make_breach()),
        PolicyAnswer.DATA_QUALITY,
        "signal Churn_Data_Quality tells of the data's quality",
    ),
    (
        "broken data beside drift",
        {},
        make_window(drift=make_breach(), data_quality=make_breach()),
        PolicyAnswer.DATA_QUALITY,
        "signal data_quality tells of the data's quality",
    ),
    (
        "broken data that `signals` does not name",
        {"signals": ["drift"]},
        make_window(drift=make_breach(), data_quality=make_breach()),
        PolicyAnswer.DATA_QUALITY,
        "signal data_quality tells of the data's quality",
    ),
    (
        "broken data, by the metric's name",
        {"data_quality": ["*null*"]},
        make_window(custom=make_breach(judge_metric("NullValueRate", 0.5, 0.1, "age"))),
        PolicyAnswer.DATA_QUALITY,
        "NullValueRate of age tells of the data's quality",
    ),
    (
        "broken data, though the policy has another threshold for it",
        {"data_quality": ["*null*"], "metrics": {"null_value_rate": {"threshold": 0.9}}},
        make_window(custom=make_breach(judge_metric("NullValueRate", 0.5, 0.1, "age"))),
        PolicyAnswer.DATA_QUALITY,
        "NullValueRate of age tells of the data's quality",
    ),
    (
        "a metric of data quality that is fine",
        {"data_quality": ["*null*"]},
        make_window(custom=make_breach(psi(0.2), judge_metric("NullValueRate", 0.05, 0.1))),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.2, effect 1",
    ),
    (
        "data quality that is not held for broken",
        {"data_quality": []},
        make_window(data_quality=make_breach()),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.3, effect 0.5",
    ),
    (
        "another signal",
        {"signals": ["*performance*"]},
        make_window(drift=make_breach()),
        PolicyAnswer.OTHER_SIGNAL,
        "the policy does not look at what is breached: drift (age)",
    ),
    (
        "a signal in another case",
        {"signals": ["*DRIFT*"]},
        make_window(churn_drift=make_breach()),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.3, effect 0.5",
    ),
    (
        "a signal that is looked at is fine, and the breach another's",
        {"signals": ["performance"]},
        make_window(drift=make_breach(), performance=FINE),
        PolicyAnswer.OTHER_SIGNAL,
        "the policy does not look at what is breached: drift (age)",
    ),
    (
        "another feature",
        {"features": ["income*"]},
        make_window(drift=make_breach()),
        PolicyAnswer.OTHER_SIGNAL,
        "the policy does not look at what is breached: drift (age)",
    ),
    (
        "a feature among several",
        {"features": ["income*"]},
        make_window(drift=make_breach(psi(0.9), psi(0.2, feature="Income_2"))),
        PolicyAnswer.RETRAIN,
        "psi of Income_2 is 0.2, effect 1",
    ),
    (
        "a feature that the monitor calls fine",
        {"features": ["income"]},
        make_window(drift=make_breach(psi(0.9), psi(0.05, feature="income"))),
        PolicyAnswer.OTHER_SIGNAL,
        "the policy does not look at what is breached: drift (age)",
    ),
    (
        "a breach of no feature, where features are asked for",
        {"features": ["*"]},
        make_window(drift=make_breach(psi(0.9, feature=""))),
        PolicyAnswer.OTHER_SIGNAL,
        "the policy does not look at what is breached: drift",
    ),
    (
        "a breach without metrics, where features are asked for",
        {"features": ["*"]},
        make_window(drift=SignalSeen(state=DriftState.BREACH)),
        PolicyAnswer.OTHER_SIGNAL,
        "the policy does not look at what is breached: drift",
    ),
    (
        "an effect just too small",
        {"min_effect": 0.5},
        make_window(drift=make_breach(replace(psi(0.2), effect=0.4999))),
        PolicyAnswer.SMALL_EFFECT,
        "effect 0.4999 of psi of age is below 0.5",
    ),
    (
        "an effect just large enough",
        {"min_effect": 0.5},
        make_window(drift=make_breach(replace(psi(0.2), effect=0.5))),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.2, effect 0.5",
    ),
    (
        "the metric's own least effect, where it is more",
        {"metrics": {"PSI": {"min_effect": 2}}},
        make_window(drift=make_breach(psi(0.2))),
        PolicyAnswer.SMALL_EFFECT,
        "effect 1 of psi of age is below 2",
    ),
    (
        "the metric's own least effect, where it is less",
        {"min_effect": 5, "metrics": {"psi": {"min_effect": 0}}},
        make_window(drift=make_breach(psi(0.2))),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.2, effect 1",
    ),
    (
        "the largest effect is told of",
        {"min_effect": 5},
        make_window(drift=make_breach(psi(0.2), psi(0.3, feature="sex"), psi(9, None))),
        PolicyAnswer.SMALL_EFFECT,
        "effect 2 of psi of sex is below 5",
    ),
    (
        "an unknown effect where none is asked for",
        {},
        make_window(drift=make_breach(psi(0.2, None))),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.2",
    ),
    (
        "an unknown effect where one is asked for",
        {"min_effect": 0.01},
        make_window(drift=make_breach(psi(0.2, None))),
        PolicyAnswer.SMALL_EFFECT,
        "the effect of psi of age is unknown, 0.01 is wanted",
    ),
    (
        "a breach without metrics",
        {},
        make_window(drift=SignalSeen(state=DriftState.BREACH)),
        PolicyAnswer.RETRAIN,
        "signal drift is breached",
    ),
    (
        "a breach without metrics, where an effect is asked for",
        {"min_effect": 0.01},
        make_window(drift=SignalSeen(state=DriftState.BREACH)),
        PolicyAnswer.SMALL_EFFECT,
        "the effect of signal drift is unknown, 0.01 is wanted",
    ),
    (
        "a breach that its own metrics contradict stays one",
        {},
        make_window(drift=make_breach(psi(0.05))),
        PolicyAnswer.RETRAIN,
        "signal drift is breached",
    ),
    (
        "a threshold of the policy's that is not reached",
        {"metrics": {"Psi": {"threshold": 0.5}}},
        make_window(drift=make_breach(psi(0.5))),
        PolicyAnswer.SMALL_EFFECT,
        "psi of age is 0.5, within the policy's threshold 0.5",
    ),
    (
        "a threshold of the policy's, and its effect",
        {"min_effect": 1, "metrics": {"psi": {"threshold": 0.2}}},
        make_window(drift=make_breach(psi(0.4))),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.4, effect 1",
    ),
    (
        "a threshold for a measure that came without one",
        {"metrics": {"drift_coefficient": {"threshold": 0.8}}},
        make_window(drift=make_breach(judge_metric("Drift coefficient", 0.7, None))),
        PolicyAnswer.SMALL_EFFECT,
        "Drift coefficient is 0.7, within the policy's threshold 0.8",
    ),
    (
        "a threshold that makes a breach of what the monitor calls fine",
        {"metrics": {"psi": {"threshold": 0.01}}},
        make_window(drift=make_breach(psi(0.05))),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.05, effect 4",
    ),
    (
        "the other side is the bad one",
        {"metrics": {"psi": {"worse": "lower"}}},
        make_window(drift=make_breach(psi(0.2))),
        PolicyAnswer.SMALL_EFFECT,
        "psi of age is 0.2, within the policy's threshold 0.1",
    ),
    (
        "a bad side without any threshold changes nothing",
        {"metrics": {"psi": {"worse": "lower"}}},
        make_window(drift=make_breach(psi(0.2, None))),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.2",
    ),
    (
        "nor does it make a breach of what the monitor calls fine",
        {"metrics": {"psi": {"worse": "lower"}}},
        make_window(drift=make_breach(replace(psi(0.2, None), breached=False))),
        PolicyAnswer.RETRAIN,
        "signal drift is breached",
    ),
    (
        "nothing is told at all",
        {},
        Window(id="w", at=NOW, signals={}),
        PolicyAnswer.NO_DRIFT,
        "no signal is breached",
    ),
]


@pytest.mark.parametrize(
    ("values", "window", "answer", "reason"),
    [row[1:] for row in WINDOWS],
    ids=[row[0] for row in WINDOWS],
)
def test_the_answer_to_a_window_by_itself(
    values: Mapping[str, Any], window: Window, answer: PolicyAnswer, reason: str
) -> None:
    decision = decide_window(make_policy(**values), make_loop(window), window, FACTS)
    assert (decision.answer, decision.reason) == (answer, reason)
    assert (decision.window, decision.at) == (window.id, NOW)


@pytest.mark.parametrize(
    ("values", "signals", "drifted"),
    [
        ({}, {"drift": make_breach()}, True),
        ({}, {"drift": make_breach(), "other": BROKEN}, True),
        ({}, {"drift": FINE}, False),
        ({}, {"drift": FINE, "other": BROKEN}, None),
        ({}, {"drift": BROKEN}, None),
        ({}, {"drift": make_breach(), "data_quality": make_breach()}, None),
        ({"min_effect": 9}, {"drift": make_breach()}, False),
        ({"min_effect": 9}, {"drift": make_breach(), "other": BROKEN}, None),
        ({"signals": ["x"]}, {"drift": make_breach()}, False),
        ({"signals": ["x"]}, {"drift": make_breach(), "x": BROKEN}, None),
    ],
)
def test_what_a_window_says_of_the_model(
    values: Mapping[str, Any], signals: Mapping[str, SignalSeen], drifted: bool | None
) -> None:
    assert read_window(make_policy(**values), make_window(**signals)).drifted is drifted


W = make_window()
TWO_OF_THREE = {"windows": {"breached": 2, "of": 3}}
LOOPS = [
    (
        "the first drift of three windows",
        TWO_OF_THREE,
        make_loop(make_window("a", 2 * DAY, s=FINE), make_window("b", DAY, s=FINE), W),
        FACTS,
        PolicyAnswer.TOO_FEW_WINDOWS,
        "1 of the last 3 windows drifted, 2 of 3 are wanted",
    ),
    (
        "the first window at all",
        TWO_OF_THREE,
        make_loop(W),
        FACTS,
        PolicyAnswer.TOO_FEW_WINDOWS,
        "1 of the last 1 windows drifted, 2 of 3 are wanted",
    ),
    (
        "the second of three windows",
        TWO_OF_THREE,
        make_loop(make_window("a", 2 * DAY), make_window("b", DAY, s=FINE), W),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "the window before the last three",
        TWO_OF_THREE,
        make_loop(
            make_window("a", 3 * DAY),
            make_window("b", 2 * DAY, s=FINE),
            make_window("c", DAY, s=FINE),
            W,
        ),
        FACTS,
        PolicyAnswer.TOO_FEW_WINDOWS,
        "",
    ),
    (
        "windows that are only broken are left out",
        TWO_OF_THREE,
        make_loop(
            make_window("a", 3 * DAY),
            make_window("b", 2 * DAY, s=BROKEN),
            make_window("c", DAY, s=BROKEN),
            W,
        ),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "windows of broken data are measured, and no drift",
        TWO_OF_THREE,
        make_loop(make_window("a", 2 * DAY, data_quality=make_breach()), W),
        FACTS,
        PolicyAnswer.TOO_FEW_WINDOWS,
        "1 of the last 2 windows drifted, 2 of 3 are wanted",
    ),
    (
        "windows told of later don't count",
        TWO_OF_THREE,
        make_loop(W, make_window("z", -HOUR)),
        FACTS,
        PolicyAnswer.TOO_FEW_WINDOWS,
        "",
    ),
    (
        "it has given up",
        {},
        make_loop(W, gave_up_at=NOW - DAY),
        FACTS,
        PolicyAnswer.GAVE_UP,
        "given up on 2026-03-01 09:00 UTC: a person has to look",
    ),
    (
        "it gave up after somebody had said to go on",
        {},
        make_loop(W, gave_up_at=NOW - DAY, resumed_at=NOW - 2 * DAY),
        FACTS,
        PolicyAnswer.GAVE_UP,
        "",
    ),
    (
        "somebody has said to go on",
        {},
        make_loop(W, gave_up_at=NOW - DAY, resumed_at=NOW - DAY),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "too many did not help",
        {"give_up_after": 2},
        make_loop(
            make_retraining(Stage.FAILED, id="1"), make_retraining(Stage.NOT_BETTER, id="2"), W
        ),
        FACTS,
        PolicyAnswer.GAVE_UP,
        "the last 2 retrainings did not help: a person has to look",
    ),
    (
        "one fewer did not help",
        {"give_up_after": 2},
        make_loop(make_retraining(Stage.FAILED, id="1"), W),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    *[
        (
            f"one is {stage}",
            {"cooldown": "0s", "give_up_after": 9},
            make_loop(make_retraining(stage, DAY, id="0123456789"), make_window(start=NOW)),
            FACTS,
            PolicyAnswer.UNDER_WAY if stage.is_under_way else PolicyAnswer.RETRAIN,
            "",
        )
        for stage in Stage
    ],
    (
        "one is running, for as long as it may",
        {},
        make_loop(make_retraining(Stage.RUNNING, DAY, id="0123456789"), W),
        FACTS,
        PolicyAnswer.UNDER_WAY,
        "retraining 01234567 is running, since 2026-03-01 09:00 UTC",
    ),
    *[
        (
            f"one has been {stage} for too long",
            {},
            make_loop(make_retraining(stage, 2 * DAY, **STUCK), W),
            FACTS,
            PolicyAnswer.RETRAIN,
            "",
        )
        for stage in (Stage.STARTING, Stage.RUNNING, Stage.DEPLOYING)
    ],
    (
        "a person has not answered for a year",
        {},
        make_loop(make_retraining(Stage.ASKED, 365 * DAY, id="0123456789"), W),
        FACTS,
        PolicyAnswer.UNDER_WAY,
        "retraining 01234567 waits for a person, since 2025-03-02 09:00 UTC",
    ),
    (
        "one that is not the newest is under way",
        {},
        make_loop(
            make_retraining(Stage.RUNNING, HOUR, id="1"),
            make_retraining(Stage.REJECTED, HOUR, id="2"),
            W,
        ),
        FACTS,
        PolicyAnswer.UNDER_WAY,
        "",
    ),
    (
        "the window began before the model was live",
        {},
        make_loop(make_retraining(live_at=NOW - DAY), make_window(start=NOW - DAY - HOUR)),
        FACTS,
        PolicyAnswer.TOO_EARLY,
        "the window began on 2026-03-01 08:00 UTC, before the retrained model was live on"
        " 2026-03-01 09:00 UTC",
    ),
    (
        "the window began when the model went live",
        {},
        make_loop(make_retraining(live_at=NOW - DAY), make_window(start=NOW - DAY)),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "a window without a start was told of before the model was live",
        {},
        make_loop(make_retraining(live_at=NOW + HOUR), W),
        FACTS,
        PolicyAnswer.TOO_EARLY,
        "",
    ),
    (
        "a window without a start was told of when the model was live",
        {},
        make_loop(make_retraining(live_at=NOW), W),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "a model that was rolled back since is not waited for",
        {},
        make_loop(make_retraining(Stage.ROLLED_BACK, live_at=NOW), make_window(start=NOW - DAY)),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "it is too soon",
        {"cooldown": "2d"},
        make_loop(make_retraining(Stage.FAILED, 2 * DAY - timedelta(seconds=1)), W),
        FACTS,
        PolicyAnswer.COOLDOWN,
        "cooldown until 2026-03-02 09:00 UTC",
    ),
    (
        "the cooldown is over",
        {"cooldown": "2d"},
        make_loop(make_retraining(Stage.FAILED, 2 * DAY), W),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "nothing was started by what was rejected",
        {},
        make_loop(make_retraining(Stage.REJECTED, HOUR), W),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "people were told a short time ago",
        {},
        make_loop(make_told(HOUR), W),
        PolicyFacts(now=NOW, mode=Mode.NOTIFY),
        PolicyAnswer.COOLDOWN,
        "cooldown until 2026-03-03 08:00 UTC",
    ),
    (
        "people were told, but nothing was started",
        {},
        make_loop(make_told(HOUR), W),
        FACTS,
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "something was started, but people were not told",
        {},
        make_loop(make_retraining(Stage.TRAINED, HOUR), W),
        PolicyFacts(now=NOW, mode=Mode.NOTIFY),
        PolicyAnswer.TELL,
        "psi of age is 0.3, effect 0.5",
    ),
    (
        "a rollout is under way",
        {},
        make_loop(W),
        PolicyFacts(now=NOW, rollout="abc"),
        PolicyAnswer.ROLLOUT,
        "rollout abc is under way",
    ),
    (
        "a rollout that is not waited for",
        {"quiet": False},
        make_loop(W),
        PolicyFacts(now=NOW, rollout="abc"),
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "a person is asked, whatever is running",
        {},
        make_loop(W),
        PolicyFacts(now=NOW, mode=Mode.APPROVE, running=9, started=9),
        PolicyAnswer.ASK,
        "psi of age is 0.3, effect 0.5",
    ),
    (
        "people are told, whatever is running",
        {},
        make_loop(W),
        PolicyFacts(now=NOW, mode=Mode.NOTIFY, running=9, started=9),
        PolicyAnswer.TELL,
        "psi of age is 0.3, effect 0.5",
    ),
    *[
        (
            f"{mode} waits for a rollout too",
            {},
            make_loop(W),
            PolicyFacts(now=NOW, mode=mode, rollout="abc"),
            PolicyAnswer.ROLLOUT,
            "",
        )
        for mode in Mode
    ],
    (
        "as many as may are running",
        {"at_once": 2},
        make_loop(W),
        PolicyFacts(now=NOW, running=2, started=9),
        PolicyAnswer.AT_ONCE,
        "2 retrainings are running, 2 at the most",
    ),
    (
        "one fewer is running",
        {"at_once": 2},
        make_loop(W),
        PolicyFacts(now=NOW, running=1),
        PolicyAnswer.RETRAIN,
        "",
    ),
    (
        "as many as may were started",
        {"per_week": 3},
        make_loop(W),
        PolicyFacts(now=NOW, started=3),
        PolicyAnswer.PER_WEEK,
        "3 were started within 7 days, 3 at the most",
    ),
    (
        "one fewer was started",
        {"per_week": 3},
        make_loop(W),
        PolicyFacts(now=NOW, started=2),
        PolicyAnswer.RETRAIN,
        "psi of age is 0.3, effect 0.5",
    ),
]


@pytest.mark.parametrize(
    ("values", "loop", "facts", "answer", "reason"),
    [row[1:] for row in LOOPS],
    ids=[row[0] for row in LOOPS],
)
def test_the_answer_to_a_window_in_its_loop(
    values: Mapping[str, Any], loop: Loop, facts: PolicyFacts, answer: PolicyAnswer, reason: str
) -> None:
    window = loop.seen("w")
    assert window is not None
    decision = decide_window(make_policy(**values), loop, window, facts)
    assert decision.answer is answer
    assert not reason or decision.reason == reason


def test_the_first_question_that_holds_answers() -> None:
    policy = make_policy(windows={"breached": 2, "of": 2})
    window = make_window(start=NOW - 2 * DAY)
    live = make_retraining(Stage.LIVE, HOUR, id="1", live_at=NOW)
    asked = make_retraining(Stage.ASKED, HOUR, id="2")
    loop = make_loop(window, live, asked, gave_up_at=NOW)
    facts = PolicyFacts(now=NOW, rollout="abc", running=9, started=9)
    answers = []

    def ask(loop: Loop, facts: PolicyFacts) -> None:
        answers.append(decide_window(policy, loop, window, facts).answer)

    ask(loop, facts)
    ask(loop := loop.with_window(make_window("v", DAY)), facts)
    ask(loop := replace(loop, gave_up_at=None), facts)
    ask(loop := replace(loop, retrainings=(live,)), facts)
    ask(loop := replace(loop, retrainings=(replace(live, live_at=NOW - 2 * DAY),)), facts)
    ask(loop := replace(loop, retrainings=()), facts)
    ask(loop, replace(facts, rollout=""))
    ask(loop, replace(facts, rollout="", running=0))
    ask(loop, replace(facts, rollout="", running=0, started=0))
    held = [
        PolicyAnswer.TOO_FEW_WINDOWS,
        PolicyAnswer.GAVE_UP,
        PolicyAnswer.UNDER_WAY,
        PolicyAnswer.TOO_EARLY,
        PolicyAnswer.COOLDOWN,
        PolicyAnswer.ROLLOUT,
        PolicyAnswer.AT_ONCE,
        PolicyAnswer.PER_WEEK,
        PolicyAnswer.RETRAIN,
    ]
    assert answers == held


def test_every_answer_is_in_the_tables() -> None:
    told = {row[3] for row in WINDOWS} | {row[4] for row in LOOPS}
    assert told == set(PolicyAnswer)


def test_what_the_loop_has_learned_of_a_window_counts() -> None:
    whole = make_window(drift=make_breach(), data_quality=make_breach())
    decision = decide_window(
        make_policy(), make_loop(whole), make_window(drift=make_breach()), FACTS
    )
    assert decision.answer is PolicyAnswer.DATA_QUALITY


IN_VAIN = [
    ("none", [], 0),
    ("failed", [make_retraining(Stage.FAILED)], 1),
    ("not better", [make_retraining(Stage.NOT_BETTER)], 1),
    ("rolled back", [make_retraining(Stage.ROLLED_BACK)], 1),
    ("live, not helped", [make_retraining(Stage.LIVE, helped=False)], 1),
    ("live, helped", [make_retraining(Stage.LIVE, helped=True)], 0),
    ("live, nobody knows", [make_retraining(Stage.LIVE)], 0),
    ("rejected", [make_retraining(Stage.REJECTED)], 0),
    ("running", [make_retraining(Stage.RUNNING)], 0),
    ("trained, and drift goes on", [make_retraining(Stage.TRAINED), W], 1),
    ("registered, and drift goes on", [make_retraining(Stage.REGISTERED), W], 1),
    ("trained, no window since", [make_retraining(Stage.TRAINED), make_window("a", 9 * DAY)], 0),
    (
        "trained since the drift was told of",
        [make_retraining(Stage.TRAINED, changed_at=NOW), make_window("a", HOUR)],
        0,
    ),
    (
        "passes over those of which nothing is known",
        [
            make_retraining(Stage.FAILED, id="1"),
            make_retraining(Stage.REJECTED, id="2"),
            make_retraining(Stage.LIVE, id="3"),
            make_retraining(Stage.FAILED, id="4"),
            make_retraining(Stage.RUNNING, id="5"),
        ],
        2,
    ),
    (
        "ends at the newest that helped",
        [
            make_retraining(Stage.FAILED, id="1"),
            make_retraining(Stage.LIVE, id="2", helped=True),
            make_retraining(Stage.FAILED, id="3"),
        ],
        1,
    ),
    (
        "ends where the drift was over",
        [
            make_retraining(Stage.FAILED, 9 * DAY, id="1"),
            make_window("a", 8 * DAY, s=FINE),
            make_retraining(Stage.FAILED, 7 * DAY, id="2"),
        ],
        1,
    ),
    (
        "does not end where it was over when it was decided",
        [make_retraining(Stage.FAILED, 9 * DAY), make_window("a", 9 * DAY, s=FINE)],
        1,
    ),
    (
        "does not end where broken data hid the drift",
        [
            make_retraining(Stage.FAILED, 9 * DAY, id="1"),
            make_window("a", 8 * DAY, data_quality=make_breach()),
            make_window("b", 8 * DAY, s=FINE, t=BROKEN),
            make_retraining(Stage.FAILED, 7 * DAY, id="2"),
        ],
        2,
    ),
]


@pytest.mark.parametrize(
    ("items", "count"), [row[1:] for row in IN_VAIN], ids=[row[0] for row in IN_VAIN]
)
def test_the_retrainings_in_vain_are_counted(items: list[Any], count: int) -> None:
    assert count_in_vain(make_policy(), make_loop(*items)) == count


def test_what_was_decided_before_a_person_said_to_go_on_is_forgiven() -> None:
    old = make_retraining(Stage.FAILED, 2 * DAY, id="1")
    new = make_retraining(Stage.FAILED, DAY, id="2")
    loop = make_loop(old, new, gave_up_at=NOW, resumed_at=old.decided_at)
    assert count_in_vain(make_policy(), loop) == 1
    assert must_give_up(make_policy(give_up_after=1), loop)
    assert not must_give_up(make_policy(give_up_after=2), loop)


def test_a_policy_that_asks_for_more_windows_than_it_looks_at_is_refused() -> None:
    with pytest.raises(ValidationError, match="`breached` is 3, but only the last 2 are looked at"):
        make_policy(windows={"breached": 3, "of": 2})


def test_a_policy_with_two_entries_for_one_metric_is_refused() -> None:
    with pytest.raises(ValidationError, match="`PSI` and `p_s_i` are one metric"):
        make_policy(metrics={"PSI": {"threshold": 1}, "p_s_i": {"threshold": 2}})


def learn_all(policy: PolicyParams, loop: Loop, *windows: Window) -> Loop:
    """Learn the windows one after the other."""
    for window in windows:
        loop = learn(policy, loop, window, NOW)
    return loop


def test_what_is_told_of_one_window_is_joined() -> None:
    loop = learn_all(
        make_policy(),
        make_loop(),
        make_window("w", HOUR, start=NOW - 2 * DAY, a=FINE, b=make_breach(psi(0.2))),
        make_window("w", DAY, start=NOW - DAY, a=make_breach(), b=make_breach(psi(0.3)), c=BROKEN),
        make_window("w", a=FINE, b=BROKEN, c=FINE),
    )
    (window,) = loop.windows
    assert (window.at, window.start) == (NOW - DAY, NOW - 2 * DAY)
    states = {name: seen.state for name, seen in window.signals.items()}
    assert states == {"a": DriftState.BREACH, "b": DriftState.BREACH, "c": DriftState.BROKEN}
    assert window.signals["b"].metrics == (psi(0.3),)


def test_windows_stand_in_the_order_in_which_they_were_told_of() -> None:
    windows = [make_window("b", DAY), make_window("c"), make_window("a", DAY)]
    loop = learn_all(make_policy(), make_loop(), *windows)
    assert [window.id for window in loop.windows] == ["a", "b", "c"]


@pytest.mark.parametrize("stage", Stage)
def test_a_retraining_that_is_stuck_has_failed(stage: Stage) -> None:
    in_time = make_retraining(stage, id="1", changed_at=NOW - DAY)
    late = make_retraining(stage, id="2", **STUCK)
    loop = learn(make_policy(), make_loop(in_time, late), W, NOW)
    assert loop.find("1") == in_time
    if stage not in (Stage.STARTING, Stage.RUNNING, Stage.DEPLOYING):
        assert loop.find("2") == late
        return
    found = loop.find("2")
    assert found is not None
    assert (found.stage, found.changed_at, found.ended_at) == (Stage.FAILED, NOW, NOW)
    assert found.reason == f"still {stage} after 1d"


def helped(loop: Loop) -> list[bool | None]:
    """Return of each retraining whether it helped."""
    return [item.helped for item in loop.retrainings]


def test_the_first_window_of_the_new_model_tells_whether_it_helped() -> None:
    live = make_retraining(live_at=NOW - 2 * DAY)
    loop = make_loop(live)
    before = make_window("a", HOUR, start=NOW - 2 * DAY - HOUR)
    silent = make_window("b", HOUR, start=NOW - 2 * DAY, data_quality=make_breach())
    half = make_window("c", HOUR, start=NOW - 2 * DAY, a=FINE, b=BROKEN)
    loop = learn_all(make_policy(), loop, before, silent, half)
    empty = replace(half, id="cc", signals={})
    loop = learn_all(make_policy(), loop, empty)
    assert helped(loop) == [None]
    loop = learn_all(make_policy(), loop, make_window("d", start=NOW - 2 * DAY, a=FINE))
    assert helped(loop) == [True]
    loop = learn_all(make_policy(), loop, make_window("e", start=NOW - DAY))
    assert helped(loop) == [True], "a later window tells of a new drift"


def test_a_window_that_is_not_told_of_at_once_may_change_its_word() -> None:
    live = make_retraining(live_at=NOW - 2 * DAY)
    loop = learn_all(make_policy(), make_loop(live), make_window("a", s=FINE))
    assert helped(loop) == [True]
    loop = learn_all(make_policy(), loop, make_window("a", t=make_breach()))
    assert helped(loop) == [False]
    loop = learn_all(make_policy(), loop, make_window("a", data_quality=make_breach()))
    assert helped(loop) == [None]


def test_a_window_tells_of_the_model_that_served_when_it_began() -> None:
    loop = make_loop(
        make_retraining(id="1", live_at=NOW - 4 * DAY),
        make_retraining(id="2", live_at=NOW - 2 * DAY),
        make_retraining(Stage.ROLLED_BACK, id="3", live_at=NOW - DAY),
    )
    loop = learn_all(make_policy(), loop, make_window("a", start=NOW - 3 * DAY))
    assert helped(loop) == [False, None, None]
    loop = learn_all(make_policy(), loop, make_window("b", s=FINE))
    assert helped(loop) == [False, True, None]


def test_a_judgement_outlives_its_window() -> None:
    live = make_retraining(ago=99 * DAY, live_at=NOW - 99 * DAY)
    loop = make_loop(live)
    for days in range(90, 90 - WINDOWS_MAX - 5, -1):
        found = make_breach() if days == 90 else FINE
        loop = learn(make_policy(), loop, make_window(f"{days}", days * DAY, s=found), NOW)
    assert len(loop.windows) == WINDOWS_MAX
    assert loop.seen("90") is None
    assert helped(loop) == [False]


def test_only_what_counts_is_kept_of_a_large_window() -> None:
    metrics = [psi(0.2 + place, feature=f"feature_{place:03}") for place in range(300)]
    window = make_window(drift=make_breach(*metrics))
    policy = make_policy(features=["feature_00?"])
    loop = learn(policy, make_loop(), window, NOW)
    (kept,) = loop.windows
    found = [metric.feature for metric in kept.signals["drift"].metrics]
    assert len(found) == METRICS_MAX
    assert found[:10] == [f"feature_{place:03}" for place in range(10)]
    assert found[10:] == [f"feature_{place:03}" for place in range(260, 300)]
    for place in range(5):
        later = make_window(f"{place}", -HOUR, drift=make_breach(*metrics))
        loop = learn(policy, loop, later, NOW)
    old = loop.seen("w")
    assert old is not None
    assert [metric.feature for metric in old.signals["drift"].metrics] == found[:OLD_METRICS_MAX]


def test_a_window_s_signals_share_what_is_kept() -> None:
    metrics = [psi(0.2 + place, feature=f"feature_{place:03}") for place in range(300)]
    signals = {f"fine_{place:02}": replace(FINE, metrics=tuple(metrics)) for place in range(40)}
    signals |= {f"breached_{place}": make_breach(*metrics) for place in range(SIGNALS_MAX - 1)}
    (kept,) = learn(make_policy(), make_loop(), make_window(**signals), NOW).windows
    assert list(kept.signals) == ["fine_00", *(name for name in signals if "breached" in name)]
    assert {len(seen.metrics) for seen in kept.signals.values()} == {METRICS_MAX // SIGNALS_MAX}


def test_what_no_row_could_hold_is_not_kept() -> None:
    inf, nan = float("inf"), float("nan")
    bad = Metric(name="n" * 999, value=1, threshold=inf, feature="\ud800f", effect=nan)
    seen = SignalSeen(
        state=DriftState.BREACH,
        metrics=(bad, Metric(name="m", value=nan), Metric(name="m", value=-inf)),
        detail="token=abcdef",
    )
    loop = learn(make_policy(), make_loop(), make_window(**{"s" * 999: seen}), NOW)
    ((name, kept),) = loop.windows[0].signals.items()
    assert (len(name), kept.detail) == (NAME_MAX, "token=[redacted]")
    (metric,) = kept.metrics
    assert (len(metric.name), metric.feature) == (NAME_MAX, "f")
    assert (metric.threshold, metric.effect) == (None, None)


def test_a_decision_that_did_something_is_not_forgotten() -> None:
    told = make_told(DAY)
    held = Decision(window="x", at=NOW, answer=PolicyAnswer.COOLDOWN, reason="")
    loop = make_loop().with_decision(told).with_decision(held)
    assert loop.decisions == (told,)
    for place in range(2 * DECISIONS_MAX):
        loop = loop.with_decision(replace(held, window=str(place)))
    assert loop.decisions[0] == told
    assert len(loop.decisions) == DECISIONS_MAX
    later = Decision(window="x", at=NOW, answer=PolicyAnswer.RETRAIN, reason="")
    assert told not in loop.with_decision(later).decisions
    assert loop.with_decision(later).decided("x") == later


# Properties of every policy.

globs = st.sampled_from(["*", "a*", "b", "*quality*", "A", "", "[", "psi"])
numbers = st.sampled_from([-1e308, -1.0, 0.0, 1e-300, 0.05, 0.1, 0.2, 0.5, 3.0, 1e308])
metrics = st.builds(
    Metric,
    name=st.sampled_from(["psi", "PSI", "accuracy", "null_quality", ""]),
    value=numbers,
    threshold=st.none() | numbers,
    feature=st.sampled_from(["", "a", "ab", "b"]),
    breached=st.booleans(),
    effect=st.none() | numbers,
)
signals = st.dictionaries(
    st.sampled_from(["", "a", "ab", "b", "data_quality", "zz"]),
    st.builds(
        SignalSeen,
        state=st.sampled_from(DriftState),
        metrics=st.lists(metrics, max_size=4).map(tuple),
        detail=st.sampled_from(["", "no data"]),
    ),
    max_size=4,
)
times = st.integers(-400, 400).map(lambda hours: NOW + hours * HOUR)
windows = st.builds(
    Window,
    id=st.sampled_from("abcdefgh"),
    at=times,
    start=st.none() | times,
    end=st.none() | times,
    signals=signals,
)
retrainings = st.builds(
    make_retraining,
    stage=st.sampled_from(Stage),
    ago=st.integers(-100, 400).map(lambda hours: hours * HOUR),
    id=st.sampled_from("123456"),
    changed_at=times,
    ended_at=st.none() | times,
    live_at=st.none() | times,
    helped=st.sampled_from([None, True, False]),
    judged_in=st.sampled_from(["", "a", "b", "gone"]),
)
decisions = st.builds(
    Decision,
    window=st.sampled_from("abcdefgh"),
    at=times,
    answer=st.sampled_from(PolicyAnswer),
    reason=st.just(""),
)
durations = st.sampled_from(["0s", "1h", "1d", "9d", "365d"])
policies = st.builds(
    make_policy,
    windows=st.tuples(st.integers(1, 4), st.integers(0, 3)).map(
        lambda two: {"breached": two[0], "of": two[0] + two[1]}
    ),
    min_effect=st.sampled_from([0, 0.1, 0.5]),
    metrics=st.dictionaries(
        st.sampled_from(["psi", "accuracy"]),
        st.fixed_dictionaries(
            {
                "threshold": st.none() | numbers,
                "min_effect": st.none() | st.sampled_from([0, 0.3]),
                "worse": st.sampled_from([None, "higher", "lower"]),
            }
        ),
    ),
    signals=st.lists(globs, max_size=2),
    features=st.lists(globs, max_size=2),
    data_quality=st.lists(globs, max_size=2) | st.just(["*data_quality*"]),
    cooldown=durations,
    at_once=st.integers(1, 3),
    per_week=st.integers(1, 3),
    quiet=st.booleans(),
    give_up_after=st.integers(1, 3),
    timeout=st.sampled_from(["1m", "1h", "1d", "90d"]),
)
facts = st.builds(
    PolicyFacts,
    now=times,
    mode=st.sampled_from(Mode),
    running=st.integers(0, 3),
    started=st.integers(0, 3),
    rollout=st.sampled_from(["", "abc"]),
)


@st.composite
def loops(draw: st.DrawFn) -> Loop:
    """Return a loop of anything, whether or not it can come about."""
    loop = make_loop(
        *draw(st.lists(decisions, max_size=3)),
        gave_up_at=draw(st.none() | times),
        resumed_at=draw(st.none() | times),
    )
    for retraining in draw(st.lists(retrainings, max_size=4)):
        loop = loop.with_retraining(retraining)
    for window in draw(st.lists(windows, max_size=5)):
        loop = loop.with_window(window)
    return loop


# The same, but close to where a retraining is started: what is above hardly ever gets there.

near_metrics = st.builds(
    judge_metric,
    st.just("psi"),
    st.sampled_from([0.11, 0.15, 0.2, 0.3]),
    st.sampled_from([0.1, 0.1, 0.2, None]),
    st.sampled_from(["a", "ab", ""]),
)
near_signals = st.dictionaries(
    st.sampled_from(["a", "ab"]),
    st.builds(
        SignalSeen,
        state=st.sampled_from([DriftState.BREACH, DriftState.BREACH, DriftState.RECOVERED]),
        metrics=st.lists(near_metrics, min_size=1, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=2,
)
near_windows = st.builds(
    Window,
    id=st.sampled_from("abcdefgh"),
    at=st.integers(-90, 0).map(lambda hours: NOW + hours * HOUR),
    start=st.none() | st.integers(-120, -90).map(lambda hours: NOW + hours * HOUR),
    signals=near_signals,
)
near_retrainings = st.builds(
    make_retraining,
    stage=st.sampled_from([Stage.LIVE, Stage.FAILED, Stage.REJECTED, Stage.TRAINED, Stage.RUNNING]),
    ago=st.integers(24, 400).map(lambda hours: hours * HOUR),
    id=st.sampled_from("123456"),
    live_at=st.none() | st.integers(-200, -80).map(lambda hours: NOW + hours * HOUR),
)
near_policies = st.builds(
    make_policy,
    windows=st.tuples(st.integers(1, 3), st.integers(0, 2)).map(
        lambda two: {"breached": two[0], "of": two[0] + two[1]}
    ),
    min_effect=st.sampled_from([0, 0.1, 0.5]),
    metrics=st.sampled_from([{}, {"psi": {"min_effect": 0.2}}, {"psi": {"threshold": 0.12}}]),
    signals=st.sampled_from([[], ["a*"]]),
    features=st.sampled_from([[], [], ["a*"]]),
    cooldown=st.sampled_from(["0s", "1d", "4d"]),
    at_once=st.integers(1, 3),
    per_week=st.integers(1, 3),
    quiet=st.booleans(),
    give_up_after=st.integers(1, 3),
    timeout=st.sampled_from(["1d", "3d"]),
)
near_facts = st.builds(
    PolicyFacts,
    now=st.integers(0, 48).map(lambda hours: NOW + hours * HOUR),
    mode=st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.APPROVE, Mode.NOTIFY]),
    running=st.integers(0, 1),
    started=st.integers(0, 1),
    rollout=st.sampled_from(["", "", "abc"]),
)


@st.composite
def near_loops(draw: st.DrawFn) -> Loop:
    """Return a loop that has drifted, and has seen some retrainings at most."""
    loop = make_loop(*draw(st.lists(decisions, max_size=1)))
    for retraining in draw(st.lists(near_retrainings, max_size=2)):
        loop = loop.with_retraining(retraining)
    for window in draw(st.lists(near_windows, max_size=4)):
        loop = loop.with_window(window)
    return loop


cases = st.tuples(near_policies, near_loops(), near_windows, near_facts) | st.tuples(
    policies, loops(), windows, facts
)


@given(policies, loops(), windows, facts)
def test_a_policy_answers_for_every_loop_and_window(
    policy: PolicyParams, loop: Loop, window: Window, facts: PolicyFacts
) -> None:
    assert decide_window(policy, loop, window, facts).reason
    learned = learn(policy, loop, window, facts.now)
    decision = decide_window(policy, learned, window, facts)
    assert (decision.window, decision.at) == (window.id, facts.now)
    assert decision.reason
    assert count_in_vain(policy, learned) <= len(learned.retrainings)


@given(cases)
def test_a_policy_never_retrains_when_it_must_not(
    case: tuple[PolicyParams, Loop, Window, PolicyFacts],
) -> None:
    policy, loop, window, facts = case
    learned = learn(policy, loop, window, facts.now)
    decision = decide_window(policy, learned, window, facts)
    if not decision.answer.is_act:
        return
    seen = learned.seen(window.id) or window
    breached = {
        name: found for name, found in seen.signals.items() if found.state is DriftState.BREACH
    }
    assert breached
    if policy.data_quality == ("*data_quality*",):
        assert "data_quality" not in breached
    assert not (policy.quiet and facts.rollout)
    assert all(item.stage is not Stage.ASKED for item in learned.retrainings)
    if facts.mode is not Mode.NOTIFY:
        for item in learned.retrainings:
            if item.stage not in (Stage.ASKED, Stage.REJECTED):
                assert facts.now >= item.decided_at + min(policy.cooldown, 3000 * DAY)
    if decision.answer is PolicyAnswer.RETRAIN:
        assert facts.mode is Mode.AUTO
        assert facts.running < policy.at_once
        assert facts.started < policy.per_week


def stricter(policy: PolicyParams, key: str, by: int) -> PolicyParams:
    """Return the policy with one more thing asked for."""
    match key:
        case "breached":
            windows = policy.windows
            breached = min(windows.breached + by, windows.of)
            return policy.model_copy(
                update={"windows": windows.model_copy(update={"breached": breached})}
            )
        case "of":
            windows = policy.windows
            of = max(windows.of - by, windows.breached)
            return policy.model_copy(update={"windows": windows.model_copy(update={"of": of})})
        case "min_effect":
            return policy.model_copy(update={"min_effect": policy.min_effect + by / 8})
        case "metric":
            metrics = {
                name: value.model_copy(update={"min_effect": (value.min_effect or 0) + by / 8})
                for name, value in policy.metrics.items()
                if value.min_effect is not None
            }
            return policy.model_copy(update={"metrics": {**policy.metrics, **metrics}})
        case "cooldown":
            return policy.model_copy(update={"cooldown": policy.cooldown + by * DAY})
        case "quiet":
            return policy.model_copy(update={"quiet": True})
        case _:
            least = max(getattr(policy, key) - by, 1)
            return policy.model_copy(update={key: least})


@given(
    cases,
    st.sampled_from(["min_effect", "metric", "breached", "of", "cooldown", "quiet", "at_once"])
    | st.sampled_from(["per_week", "give_up_after"]),
    st.integers(1, 3),
)
def test_what_asks_for_more_never_retrains_where_less_did_not(
    case: tuple[PolicyParams, Loop, Window, PolicyFacts], key: str, by: int
) -> None:
    policy, loop, window, facts = case
    loop = loop.with_window(window)
    if key in ("min_effect", "metric"):
        # Smaller drift also means that what was trained has helped more.
        loop = replace(loop, retrainings=())
    strict = decide_window(stricter(policy, key, by), loop, window, facts)
    if strict.answer.is_act:
        assert decide_window(policy, loop, window, facts).answer is strict.answer


@given(cases, st.data())
def test_what_is_in_the_way_never_brings_a_retraining_about(
    case: tuple[PolicyParams, Loop, Window, PolicyFacts], data: st.DataObject
) -> None:
    policy, loop, window, facts = case
    loop = loop.with_window(window)
    more = replace(
        facts,
        rollout=data.draw(st.sampled_from([facts.rollout, "other"])),
        running=facts.running + data.draw(st.integers(0, 2)),
        started=facts.started + data.draw(st.integers(0, 2)),
    )
    held = loop
    if data.draw(st.booleans()):
        held = replace(held, gave_up_at=NOW + 9999 * DAY)
    if data.draw(st.booleans()):
        under_way = make_retraining(Stage.ASKED, id="new")
        held = held.with_retraining(under_way)
    if decide_window(policy, held, window, more).answer.is_act:
        assert decide_window(policy, loop, window, facts).answer.is_act


@given(policies, loops(), windows, times)
def test_learning_a_window_twice_is_learning_it_once(
    policy: PolicyParams, loop: Loop, window: Window, now: datetime
) -> None:
    once = learn(policy, loop, window, now)
    assert learn(policy, once, window, now) == once


@given(policies, st.lists(windows, max_size=5), st.randoms(use_true_random=False))
def test_the_order_in_which_events_come_makes_no_difference(
    policy: PolicyParams, told: list[Window], random: Any
) -> None:
    shuffled = list(told)
    random.shuffle(shuffled)
    retraining = make_retraining(live_at=NOW, changed_at=NOW)
    one = learn_all(policy, make_loop(retraining), *told)
    other = learn_all(policy, make_loop(retraining), *shuffled)
    assert helped(one) == helped(other)
    for window in one.windows:
        assert (
            read_window(policy, window).answer
            == read_window(policy, other.seen(window.id) or W).answer
        )
        decision = decide_window(policy, one, window, FACTS)
        assert decision.answer is decide_window(policy, other, window, FACTS).answer


many_signals = st.dictionaries(
    st.integers(0, 30).map(lambda place: f"{'abz'[place % 3]}{place}"),
    st.builds(
        SignalSeen,
        state=st.sampled_from(DriftState),
        metrics=st.lists(metrics, max_size=5).map(tuple),
    ),
    max_size=16,
)


@given(policies, many_signals, st.sampled_from([1, 4, OLD_METRICS_MAX, METRICS_MAX]))
def test_what_is_cut_off_a_window_changes_no_answer(
    policy: PolicyParams, signals: dict[str, SignalSeen], most: int
) -> None:
    window = Window(id="w", at=NOW, signals=signals)
    kept = cut_window(
        window,
        metrics=most,
        rank_signal=partial(rank_signal, policy),
        rank_metric=partial(rank_metric, policy),
    )
    assert len(kept.signals) <= SIGNALS_MAX
    assert sum(len(seen.metrics) for seen in kept.signals.values()) <= max(most, SIGNALS_MAX)
    before, after = read_window(policy, window), read_window(policy, kept)
    assert (before.answer, before.drifted) == (after.answer, after.drifted)
    assert is_measured(window) == is_measured(kept)


def big(effect: float = 50, *, breached: bool = True) -> list[Metric]:
    """Return more metrics than are kept, of large effects."""
    told = Metric(name="big", value=1, threshold=1, breached=breached, effect=effect)
    return [replace(told, feature=f"feature_{place}") for place in range(METRICS_MAX + 1)]


@pytest.mark.parametrize(
    ("values", "others", "metric", "answer"),
    [
        (
            {"data_quality": ["null*"]},
            big(),
            replace(psi(0.2), name="nulls"),
            PolicyAnswer.DATA_QUALITY,
        ),
        ({"metrics": {"big": {"min_effect": 99}}}, big(), psi(0.2), PolicyAnswer.RETRAIN),
        ({"features": ["age"], "min_effect": 9}, big(), psi(0.2), PolicyAnswer.SMALL_EFFECT),
        (
            {"metrics": {"psi": {"threshold": 9}}},
            big(breached=False),
            psi(1),
            PolicyAnswer.SMALL_EFFECT,
        ),
    ],
)
def test_the_metric_on_which_the_answer_hangs_is_kept(
    values: Mapping[str, Any], others: list[Metric], metric: Metric, answer: PolicyAnswer
) -> None:
    policy = make_policy(**values)
    window = make_window(drift=make_breach(*others, metric))
    (kept,) = learn(policy, make_loop(), window, NOW).windows
    held = None if answer is PolicyAnswer.RETRAIN else answer
    assert read_window(policy, window).answer is held
    assert decide_window(policy, make_loop(kept), kept, FACTS).answer is answer


@pytest.mark.parametrize(
    ("values", "name", "answer"),
    [
        ({}, "data_quality", PolicyAnswer.DATA_QUALITY),
        ({"signals": ["x"]}, "x", PolicyAnswer.RETRAIN),
        ({"signals": ["x"], "min_effect": 9}, "x", PolicyAnswer.SMALL_EFFECT),
    ],
)
def test_the_signal_on_which_the_answer_hangs_is_kept(
    values: Mapping[str, Any], name: str, answer: PolicyAnswer
) -> None:
    policy = make_policy(**values)
    signals = {f"drift_{place:02}": make_breach() for place in range(SIGNALS_MAX + 1)}
    window = make_window(**signals, **{name: make_breach()})
    (kept,) = learn(policy, make_loop(), window, NOW).windows
    assert len(kept.signals) == SIGNALS_MAX
    assert decide_window(policy, make_loop(kept), kept, FACTS).answer is answer


def test_a_broken_signal_is_kept_beside_many_that_are_breached() -> None:
    signals = {f"drift_{place:02}": make_breach() for place in range(SIGNALS_MAX)}
    policy = make_policy(signals=["performance"])
    (kept,) = learn(policy, make_loop(), make_window(**signals, z=BROKEN), NOW).windows
    assert kept.signals["z"].state is DriftState.BROKEN
    assert read_window(policy, kept).drifted is None


# Statements of the page.


def fields_of(params: type[BaseModel]) -> dict[str, str]:
    """Return the defaults of a policy's values as the page writes them."""
    found: dict[str, str] = {}
    for name, info in params.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= {f"{name}.{key}": told for key, told in fields_of(inner).items()}
            continue
        default = info.get_default(call_default_factory=True)
        if isinstance(default, timedelta):
            default = format_duration(default)
        elif isinstance(default, tuple):
            default = "[" + ", ".join(f'"{item}"' for item in default) + "]"
        elif isinstance(default, bool):
            default = str(default).lower()
        found[name] = "" if default is None else str(default)
    return found


def test_the_page_tells_every_key_with_its_default() -> None:
    rows = {
        cells[1].strip(" `"): cells[2].strip()
        for line in PAGE.splitlines()
        if line.startswith("| `") and (cells := line.split("|"))
    }
    metric = PolicyParams.model_fields["metrics"].annotation.__args__[1]  # type: ignore[union-attr]
    fields = fields_of(PolicyParams)
    fields |= {f"metrics.*.{key}": told for key, told in fields_of(metric).items()}
    assert rows == fields


def test_the_page_explains_every_answer_in_the_order_of_the_questions() -> None:
    told = re.findall(r"\*\*`(\w+)`\*\*", PAGE)
    assert sorted(told) == sorted(PolicyAnswer)
    order = [
        [PolicyAnswer.MONITOR_BROKEN, PolicyAnswer.NO_DRIFT],
        [PolicyAnswer.DATA_QUALITY],
        [PolicyAnswer.OTHER_SIGNAL],
        [PolicyAnswer.SMALL_EFFECT],
        [PolicyAnswer.TOO_FEW_WINDOWS],
        [PolicyAnswer.GAVE_UP],
        [PolicyAnswer.UNDER_WAY],
        [PolicyAnswer.TOO_EARLY],
        [PolicyAnswer.COOLDOWN],
        [PolicyAnswer.ROLLOUT],
        [PolicyAnswer.TELL, PolicyAnswer.ASK],
        [PolicyAnswer.AT_ONCE, PolicyAnswer.PER_WEEK],
        [PolicyAnswer.RETRAIN],
    ]
    assert told == [str(answer) for question in order for answer in question]


def test_the_page_s_example_is_a_policy() -> None:
    import yaml

    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    policy = make_policy(**yaml.safe_load(example)["policy"])
    assert policy.metric("JensenShannonDistance").threshold == 0.2


def test_the_page_s_numbers_are_the_code_s() -> None:
    assert f"last {WINDOWS_MAX} windows" in PAGE
    assert f"last {RETRAININGS_MAX} retrainings" in PAGE
    assert f"and {METRICS_MAX} metrics" in PAGE
    assert f"{OLD_METRICS_MAX}\nmetrics in windows before the last five" in PAGE
