"""The policy once more, from docs/explanation/policy.md alone, over a flat history.

Nothing is shared with the policy but its params and the words of its answers. Weeks of a monitor's
life are made up, and both are asked after every window.
"""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.events.model import DriftState, Metric, Workspace
from shared.journal.outcomes import EventRef
from shared.retraining.model import Loop, PolicyAnswer, Retraining, SignalSeen, Stage, Window
from shared.retraining.params import Mode, PolicyParams
from shared.retraining.policy import PolicyFacts, decide_window, learn
from tests.searching import examples

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)

# Each happening is a tuple that begins with one of these words and a time:
#   told      of a window: id, when it was told of, where its data starts, signal, state, metrics
#   began     a retraining: id, whether a person is asked first
#   became    a retraining: id, its new stage
#   said      an answer: the window
#   gave up   the loop
#   resumed   a person said to go on
# A metric is name, value, threshold, feature, whether the monitor says it is breached, its effect.


def said_of(  # noqa: C901 - one question after the other, as the page asks them
    policy: PolicyParams, signals: dict[str, Any]
) -> tuple[str, bool | None]:
    """Questions 1 to 4: the answer, or "drifted"; and whether drift goes on, None for no word."""
    broken = [name for name in signals if signals[name][0] == "broken"]
    bad = [name for name in signals if signals[name][0] == "breach"]
    if not bad:
        return ("monitor_broken", None) if broken else ("no_drift", False)
    for name in bad:
        words = [name, *(metric[0] for metric in signals[name][1] if metric[4])]
        for glob in policy.data_quality:
            if any(matches(word, glob) for word in words):
                return "data_quality", None
    seen = 0
    for name in bad:
        if policy.signals and not any(matches(name, glob) for glob in policy.signals):
            continue
        considered = 0
        for title, value, threshold, feature, is_bad, effect in signals[name][1]:
            least, own = policy.min_effect, None
            for key, wish in policy.metrics.items():
                if key.replace("_", "").lower() == title.replace("_", "").lower():
                    least = wish.min_effect if wish.min_effect is not None else least
                    limit = wish.threshold if wish.threshold is not None else threshold
                    if limit is not None and (wish.threshold, wish.worse) != (None, None):
                        down = {"higher": False, "lower": True, None: title == "accuracy"}
                        own = (limit - value) if down[wish.worse] else (value - limit)
                        effect = None if limit == 0 else own / abs(limit)
            if own is None and not is_bad:
                continue
            considered += 1
            if policy.features and not (
                feature and any(matches(feature, glob) for glob in policy.features)
            ):
                continue
            seen += 1
            if (is_bad if own is None else own > 0) and (0 if effect is None else effect) >= least:
                return "drifted", True
        if considered == 0 and not policy.features:
            seen += 1
            if policy.min_effect == 0:
                return "drifted", True
    return ("small_effect" if seen else "other_signal"), (None if broken else False)


def matches(word: str, glob: str) -> bool:
    """Say whether a word fits a glob of letters and stars: its pieces stand in it in order."""
    word, pieces = word.lower(), glob.lower().split("*")
    if len(pieces) == 1:
        return word == pieces[0]
    if not word.startswith(pieces[0]) or not word.endswith(pieces[-1]):
        return False
    word = word[len(pieces[0]) : len(word) - len(pieces[-1])]
    for piece in pieces[1:-1]:
        if piece not in word:
            return False
        word = word[word.index(piece) + len(piece) :]
    return True


def windows_of(history: list[tuple[Any, ...]]) -> list[tuple[datetime, str, datetime, Any]]:
    """Return when each window was told of, its id, when it began, and its signals, in order."""
    at: dict[str, datetime] = {}
    start: dict[str, datetime] = {}
    signals: dict[str, dict[str, Any]] = {}
    for word, _, *rest in history:
        if word != "told":
            continue
        window, told_at, starts, signal, state, metrics = rest
        at[window] = min(told_at, at.get(window, told_at))
        if starts is not None:
            start[window] = min(starts, start.get(window, starts))
        known = signals.setdefault(window, {}).get(signal)
        order = ["recovered", "broken", "breach"]
        if known is None or order.index(state) > order.index(known[0]):
            known = (state, [])
        elif order.index(state) < order.index(known[0]):
            metrics = []
        both = sorted(
            [*known[1], *metrics],
            key=lambda one: (
                one[4],
                -1 if one[5] is None else one[5],
                one[1],
                -1 if one[2] is None else one[2],
            ),
        )
        signals[window][signal] = (known[0], list({(one[0], one[3]): one for one in both}.values()))
    found = [(at[window], window, start.get(window, at[window]), signals[window]) for window in at]
    return sorted(found, key=lambda one: one[:2])


def retrainings_of(history: list[tuple[Any, ...]], timeout: timedelta) -> list[dict[str, Any]]:
    """Return the retrainings as they stand at the end of the history."""
    found: dict[str, dict[str, Any]] = {}
    for word, time, *rest in history:
        if word == "began":
            stage = "asked" if rest[1] else "starting"
            found[rest[0]] = {"decided": time, "stage": stage, "since": time}
        if word == "became":
            found[rest[0]] |= {"stage": rest[1], "since": time, rest[1]: time}
        if word == "told":
            for one in found.values():
                is_slow = time - one["since"] > timeout
                if is_slow and one["stage"] in ("starting", "running", "deploying"):
                    one |= {"stage": "failed", "since": time}
    return list(found.values())


def helped_of(policy: PolicyParams, windows: list[Any], lives: list[Any]) -> list[bool | None]:
    """Return of each live retraining whether it helped."""
    found = []
    for one in lives:
        verdict = None
        for _, _, began, signals in windows:
            older = [other for other in lives if other["live"] <= began]
            latest = max((other["live"] for other in older), default=None)
            newest = [other for other in older if other["live"] == latest]
            goes_on = said_of(policy, signals)[1]
            if newest and newest[-1] is one and goes_on is not None:
                verdict = not goes_on
                break
        found.append(verdict)
    return found


def in_vain(history: list[tuple[Any, ...]], policy: PolicyParams) -> int:
    """Question 6: how many of the newest retrainings were in vain."""
    windows, retrainings = windows_of(history), retrainings_of(history, policy.timeout)
    lives = [one for one in retrainings if one["stage"] == "live"]
    verdicts = helped_of(policy, windows, lives)
    resumed = [time for word, time, *_ in history if word == "resumed"]
    count = 0
    for one in reversed(retrainings):
        verdict = next((v for live, v in zip(lives, verdicts, strict=True) if live is one), None)
        calm = [at for at, _, _, signals in windows if said_of(policy, signals)[1] is False]
        if verdict or any(at > one["decided"] for at in calm):
            return count
        if resumed and one["decided"] <= resumed[-1]:
            return count
        if one["stage"] in ("failed", "not_better", "rolled_back") or verdict is False:
            count += 1
        if one["stage"] in ("trained", "registered"):
            drifts = [at for at, _, _, signals in windows if said_of(policy, signals)[1]]
            count += any(at > one["since"] for at in drifts)
    return count


def answer_of(  # noqa: PLR0911 - one question after the other, as the page asks them
    history: list[tuple[Any, ...]], window: str, policy: PolicyParams, facts: dict[str, Any]
) -> str:
    """All questions, in order."""
    now, mode = facts["now"], facts["mode"]
    before = []
    for told_at, name, began, signals in windows_of(history):
        before.append(signals)
        if name == window:
            start = told_at if began is None else began
            break
    answer = said_of(policy, before[-1])[0]
    if answer != "drifted":
        return answer
    measured = [one for one in before if {state for state, _ in one.values()} - {"broken"}]
    drifted = [
        one for one in measured[-policy.windows.of :] if said_of(policy, one)[0] == "drifted"
    ]
    if len(drifted) < policy.windows.breached:
        return "too_few_windows"
    last = [word for word, *_ in history if word in ("gave up", "resumed")][-1:]
    if last == ["gave up"] or in_vain(history, policy) >= policy.give_up_after:
        return "gave_up"
    retrainings = retrainings_of(history, policy.timeout)
    if any(one["stage"] in ("asked", "starting", "running", "deploying") for one in retrainings):
        return "under_way"
    if any(one["live"] > start for one in retrainings if one["stage"] == "live"):
        return "too_early"
    since = [one["decided"] for one in retrainings if one["stage"] not in ("asked", "rejected")]
    if mode == "notify":
        since = [time for word, time, *rest in history if word == "said" and rest[0] == "tell"]
    if since and now - max(since) < policy.cooldown:
        return "cooldown"
    if policy.quiet and facts["rollout"]:
        return "rollout"
    return last_word(policy, facts)


def last_word(policy: PolicyParams, facts: dict[str, Any]) -> str:
    """Questions 11 to 13."""
    if facts["mode"] != "auto":
        return {"notify": "tell", "approve": "ask"}[facts["mode"]]
    if facts["running"] >= policy.at_once:
        return "at_once"
    return "per_week" if facts["started"] >= policy.per_week else "retrain"


#: To which stages a retraining may go.
FATES = {
    "asked": ["starting", "rejected"],
    "starting": ["running", "failed"],
    "running": ["trained", "failed", "registered"],
    "trained": ["registered", "not_better", "deploying"],
    "registered": ["deploying", "not_better"],
    "deploying": ["live", "live", "rolled_back"],
    "failed": ["registered", "deploying"],
}


class Life:
    """A monitor's life, played to the policy and written down for the reference."""

    def __init__(self, policy: PolicyParams, mode: str) -> None:
        self.policy, self.mode, self.now = policy, mode, BEGIN
        workspace = Workspace(subscription="s", resource_group="g", name="w")
        self.loop = Loop(reaction="r", workspace=workspace, monitor="m")
        self.history: list[tuple[Any, ...]] = []

    def play(self, step: tuple[Any, ...]) -> str:
        """Play one step; return what was answered, "" where nothing was asked."""
        kind, hours, *rest = step
        self.now += timedelta(hours=hours)
        if kind == "tell":
            return self.tell(*rest)
        if kind == "resume":
            self.history.append(("resumed", self.now))
            self.loop = replace(self.loop, resumed_at=self.now)
        elif self.loop.retrainings:
            self.go_on(*rest)
        return ""

    def tell(
        self, back: int, lag: int, length: int | None, signals: Any, facts: dict[str, Any]
    ) -> str:
        """Tell of a window, a new one or one of the last, and hold both answers together."""
        known = list(dict.fromkeys(item[2] for item in self.history if item[0] == "told"))
        name = known[-back] if 0 < back <= len(known) else f"{9999 - len(known)}"
        at = self.now - timedelta(hours=lag)
        start = None if length is None else at - timedelta(hours=length)
        self.history += [
            ("told", self.now, name, at, start, signal, *found) for signal, found in signals.items()
        ]
        window = Window(
            id=name,
            at=at,
            start=start,
            signals={
                signal: SignalSeen(state=DriftState(state), metrics=tuple(map(metric_of, metrics)))
                for signal, (state, metrics) in signals.items()
            },
        )
        self.loop = learn(self.policy, self.loop, window, self.now)
        given = PolicyFacts(now=self.now, mode=Mode(self.mode), **facts)
        decision = decide_window(self.policy, self.loop, window, given)
        expected = answer_of(
            self.history, name, self.policy, {"now": self.now, "mode": self.mode, **facts}
        )
        assert decision.answer == expected, (decision.reason, self.history)
        self.check_stages()
        self.loop = self.loop.with_decision(decision)
        self.history.append(("said", self.now, str(decision.answer), name))
        self.act(decision.answer, name)
        return str(decision.answer)

    def check_stages(self) -> None:
        """Hold together what both believe of the retrainings."""
        expected = retrainings_of(self.history, self.policy.timeout)
        assert [item.stage for item in self.loop.retrainings] == [one["stage"] for one in expected]
        lives = [one for one in expected if one["stage"] == "live"]
        helped = [item.helped for item in self.loop.retrainings if item.stage is Stage.LIVE]
        assert helped == helped_of(self.policy, windows_of(self.history), lives)

    def act(self, answer: PolicyAnswer, window: str) -> None:
        """Do what was answered."""
        if answer is PolicyAnswer.GAVE_UP and len(self.history) % 2:
            self.history.append(("gave up", self.now))
            self.loop = replace(self.loop, gave_up_at=self.now)
        if answer not in (PolicyAnswer.RETRAIN, PolicyAnswer.ASK):
            return
        name = f"r{len(self.loop.retrainings)}"
        is_asked = answer is PolicyAnswer.ASK
        self.history.append(("began", self.now, name, is_asked))
        retraining = Retraining(
            id=name,
            window=window,
            ref=EventRef(key="k", id="e", type="DriftDetected", time=self.now, source="w"),
            step="retrain",
            target="{}",
            stage=Stage.ASKED if is_asked else Stage.STARTING,
            decided_at=self.now,
            changed_at=self.now,
        )
        self.loop = self.loop.with_retraining(retraining)

    def go_on(self, back: int, choice: int) -> None:
        """Take one of the last retrainings to a stage that may follow."""
        item = self.loop.retrainings[-min(back, len(self.loop.retrainings))]
        fates = FATES.get(item.stage)
        if fates is None:
            return
        stage = Stage(fates[choice % len(fates)])
        self.history.append(("became", self.now, item.id, str(stage)))
        if stage in (Stage.TRAINED, Stage.FAILED, Stage.NOT_BETTER, Stage.ROLLED_BACK):
            item = replace(item, ended_at=item.ended_at or self.now)
        if stage is Stage.LIVE:
            item = replace(item, live_at=self.now)
        self.loop = self.loop.with_retraining(replace(item, stage=stage, changed_at=self.now))


def metric_of(told: tuple[Any, ...]) -> Metric:
    """Return a metric as the policy takes it."""
    name, value, threshold, feature, breached, effect = told
    return Metric(
        name=name,
        value=value,
        threshold=threshold,
        feature=feature,
        breached=breached,
        effect=effect,
    )


hours = st.sampled_from([0, 1, 6, 12, 24, 24, 24, 48])
metrics = st.tuples(
    st.sampled_from(["psi", "P_S_I", "accuracy", "null_rate"]),
    st.sampled_from([0.05, 0.1, 0.15, 0.2]),
    st.sampled_from([None, 0, 0.1, 0.1]),
    st.sampled_from(["age", "age", "income", ""]),
    st.sampled_from([True, True, False]),
    st.sampled_from([None, 0.05, 0.1, 0.5, 1.0]),
)
breaches = st.tuples(st.just("breach"), st.lists(metrics, max_size=2))
states = st.one_of(
    breaches,
    breaches,
    st.tuples(st.just("recovered"), st.lists(metrics, max_size=1)),
    st.tuples(st.just("broken"), st.just([])),
)
drifting = st.just({"drift": ("breach", [("psi", 0.2, 0.1, "age", True, 1.0)])})
calm = st.just({"": ("recovered", [])})
mixed = st.dictionaries(
    st.sampled_from(["drift", "drift", "performance", "data_quality", ""]),
    states,
    min_size=1,
    max_size=3,
)
tells = st.tuples(
    st.just("tell"),
    hours,
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([0, 0, 1, 24]),
    st.sampled_from([None, 0, 6, 24, 168]),
    st.one_of(drifting, drifting, drifting, drifting, mixed, mixed, calm),
    st.fixed_dictionaries(
        {
            "running": st.sampled_from([0, 0, 0, 1, 2]),
            "started": st.sampled_from([0, 0, 0, 1, 2]),
            "rollout": st.sampled_from(["", "", "", "abc"]),
        }
    ),
)
goings_on = st.tuples(
    st.just("go on"), hours, st.sampled_from([1, 1, 1, 2]), st.sampled_from(range(6))
)
resumings = st.tuples(st.just("resume"), hours)
weeks = st.lists(
    st.one_of(tells, tells, tells, tells, goings_on, goings_on, goings_on, goings_on, resumings),
    min_size=12,
    max_size=40,
)
policies = st.fixed_dictionaries(
    {
        "give_up_after": st.sampled_from([1, 1, 2, 3]),
        "quiet": st.sampled_from([True, False]),
    },
    optional={
        "windows": st.sampled_from([(1, 1), (1, 3), (2, 2), (2, 3), (3, 5)]).map(
            lambda two: {"breached": two[0], "of": two[1]}
        ),
        "min_effect": st.sampled_from([0, 0.1, 0.5]),
        "metrics": st.dictionaries(
            st.sampled_from(["PSI", "accuracy"]),
            st.fixed_dictionaries(
                {},
                optional={
                    "threshold": st.sampled_from([0, 0.1, 0.15]),
                    "min_effect": st.sampled_from([0, 0.1]),
                    "worse": st.sampled_from(["higher", "lower"]),
                },
            ),
        ),
        "signals": st.sampled_from([[], ["drift"], ["drift"], ["*R*"], ["perf*", "x"]]),
        "features": st.sampled_from([[], ["a*"], ["a*"], ["*"], ["INCOME"]]),
        "data_quality": st.sampled_from([["*data_quality*"], ["*null*"], []]),
        "cooldown": st.sampled_from(["0s", "24h", "72h"]),
        "at_once": st.integers(1, 2),
        "per_week": st.integers(1, 2),
        "timeout": st.sampled_from(["6h", "24h", "200h"]),
    },
).map(PolicyParams.model_validate)
modes = st.sampled_from(["auto", "auto", "approve", "notify"])


@settings(max_examples=examples(300))
@given(policies, modes, weeks)
def test_the_policy_and_the_reference_answer_alike(
    policy: PolicyParams, mode: str, steps: list[tuple[Any, ...]]
) -> None:
    life = Life(policy, mode)
    for step in steps:
        life.play(step)


NONE = {"running": 0, "started": 0, "rollout": ""}
DRIFT = {"drift": ("breach", [("psi", 0.2, 0.1, "age", True, 1.0)])}
CALM = {"": ("recovered", [])}


def tell(signals: Any, hours: int = 24, back: int = 0, length: int | None = None) -> Any:
    """Return the step that tells of a window."""
    return ("tell", hours, back, 0, length, signals, NONE)


def go_on(*choices: int, hours: int = 1) -> list[Any]:
    """Return the steps that take the newest retraining along."""
    return [("go on", hours, 1, choice) for choice in choices]


TO_LIVE = go_on(0, 0, 0, 0, 0)  # running, trained, registered, deploying, live
STORIES = [
    (
        "a run that failed, was deployed, failed again, and whose model is registered now",
        {"give_up_after": 1, "timeout": "6h", "cooldown": "72h"},
        [
            tell(DRIFT),
            *go_on(1, 1),  # failed, deploying
            tell({"drift": ("broken", [])}, hours=12),  # for too long: failed
            *go_on(0, hours=0),  # registered
            tell(DRIFT, hours=0),
            tell(DRIFT, hours=1),
        ],
        ["retrain", "monitor_broken", "cooldown", "gave_up"],
    ),
    (
        "drift, retrained, recovered, and drift again",
        {},
        [tell(DRIFT), *TO_LIVE, tell(CALM), tell(DRIFT)],
        ["retrain", "no_drift", "retrain"],
    ),
    (
        "a window from before the new model, then one that says that it did not help",
        {"give_up_after": 1},
        [tell(DRIFT), *TO_LIVE, tell(DRIFT, length=168), tell(DRIFT), ("resume", 1), tell(DRIFT)],
        ["retrain", "too_early", "gave_up", "retrain"],
    ),
    (
        "trained by somebody else, for nothing, twice",
        {"give_up_after": 2},
        [tell(DRIFT), *go_on(0, 0), tell(DRIFT), *go_on(0, 0), tell(DRIFT)],
        ["retrain", "retrain", "gave_up"],
    ),
    (
        "a recovery between two failures",
        {"give_up_after": 2, "cooldown": "0s"},
        [tell(DRIFT), *go_on(1), tell(CALM), tell(DRIFT), *go_on(1), tell(DRIFT)],
        ["retrain", "no_drift", "retrain", "retrain"],
    ),
    (
        "a run that never ends",
        {"timeout": "24h"},
        [tell(DRIFT), *go_on(0), tell(DRIFT), tell(DRIFT)],
        ["retrain", "under_way", "retrain"],
    ),
    (
        "one signal of a window is fine, the next one is not",
        {},
        [tell(CALM), tell(DRIFT, hours=0, back=1)],
        ["no_drift", "retrain"],
    ),
]


@pytest.mark.parametrize(
    ("values", "steps", "answers"), [row[1:] for row in STORIES], ids=[row[0] for row in STORIES]
)
def test_the_policy_answers_each_week_as_the_page_says(
    values: dict[str, Any], steps: list[Any], answers: list[str]
) -> None:
    life = Life(PolicyParams.model_validate(values), "auto")
    assert [answer for answer in map(life.play, steps) if answer] == answers


def test_the_weeks_that_are_made_up_meet_every_answer() -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=examples(500), derandomize=True, database=None)
    @given(policies, modes, weeks)
    def live(policy: PolicyParams, mode: str, steps: list[tuple[Any, ...]]) -> None:
        life = Life(policy, mode)
        met.update(filter(None, map(life.play, steps)))

    live()
    assert set(met) == set(PolicyAnswer)
