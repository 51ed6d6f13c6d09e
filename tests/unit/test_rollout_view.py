"""The drawing of a rollout, line by line, for rollouts as they are met."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from textwrap import dedent

import pytest

from commands.rollout_view import View, draw, split_of, step_of, waits_of
from shared.rollouts.deciding.decisions import Go
from shared.rollouts.deciding.stepping import in_step
from shared.rollouts.engine.tick import enter
from shared.rollouts.people.forecast import forecast
from shared.rollouts.people.progress import splits_of
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Cause, Moment, Rollout
from shared.rollouts.strategy.model import OnConflict, RolloutStep, StepKind, Strategy
from shared.workspaces.metrics import Measure
from shared.workspaces.model import ServingContainer
from tests.unit.rollouts import MINUTE, NEW, NOW, OLD, change, make_seen, make_strategy, traffic
from tests.unit.test_forecast import approve, gated, hold, make_rollout, ready_made

type Happened = tuple[float, Phase, int, str]

TENTH = f"{OLD} 90%, {NEW} 10%"
HALF = f"{OLD} 50%, {NEW} 50%"


def at(minutes: float) -> datetime:
    """Return a time of the story."""
    return NOW + minutes * MINUTE


def tell(strategy: Strategy, *happened: Happened, **changes: object) -> Rollout:
    """Return a rollout to which this happened, after so many minutes; the last is where it is."""
    history = _moments(happened)
    last = history[-1]
    rollout = make_rollout(last.phase, strategy, since=last.at, due_at=last.at, step=last.step)
    return change(rollout, history=history, reason=last.text, **changes)


def _moments(happened: Sequence[Happened]) -> tuple[Moment, ...]:
    """Return the history, with a split where the text is one, or where it went back from one."""
    moments: list[Moment] = []
    for minutes, phase, step, text in happened:
        moment = Moment(at=at(minutes), phase=phase, step=step, text=text)
        mirror = re.fullmatch(r"(.+), mirrored (.+)", text)
        split, mirrored = (mirror[1], mirror[2]) if mirror else (text, "")
        is_back = bool(moments) and moments[-1].phase is Phase.ROLLING_BACK
        if is_back and phase is not Phase.ROLLING_BACK and any(it.split for it in moments):
            moment = replace(moment, split={OLD: 100})
        elif re.fullmatch(r"[\w-]+ \d+%(?:, [\w-]+ \d+%)*", split):
            moment = replace(moment, split=_shares(split), mirror=_shares(mirrored))
        moments.append(moment)
    return tuple(moments)


def _shares(text: str) -> dict[str, int]:
    return {name: int(part) for name, part in re.findall(r"([\w-]+) (\d+)%", text)}


BEGUN: tuple[Happened, ...] = (
    (0, Phase.QUEUED, -1, ""),
    (0, Phase.CHECKING, -1, ""),
    (0, Phase.DEPLOYMENT, -1, ""),
    (6, Phase.PROBING, 0, ""),
    (6.05, Phase.SHIFTING, 1, ""),
)
AT_A_TENTH: tuple[Happened, ...] = (*BEGUN, (6.5, Phase.HOLDING, 2, TENTH))


def measured(outcome: GateOutcome, step: int, minutes: float, **changes: object) -> Measurement:
    """Return a look at the error rate."""
    found = Measurement(
        at=at(minutes),
        step=step,
        measure=Measure.ERROR_RATE,
        outcome=outcome,
        detail="error rate 2.5% (25 of 1,000) against 0.1% (9 of 9,000)",
        limit="at most 0.5 points more than the stable one's",
        new=0.025,
        stable=0.001,
        requests=1000,
        stable_requests=9000,
        p_value=0.00001 if outcome is GateOutcome.FAIL else 0.41,
        alpha=0.0012,
        queries=("GET /providers/Microsoft.Insights/metrics?api-version=2023-10-01",),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def drawn(
    rollout: Rollout, *measurements: Measurement, now: float = 0, every: bool = False
) -> list[str]:
    """Return the drawing's lines."""
    time = max(at(now), rollout.since)
    view = View(
        rollout=rollout,
        measurements=measurements,
        coming=forecast(rollout, time),
        now=time,
    )
    return [line.plain for line in draw(view, measurements=every)]


def section(lines: list[str], title: str) -> list[str]:
    """Return the lines below a title, without how far all of them are indented."""
    start = lines.index(f"{title}:") + 1
    rest = lines[start:]
    end = next((i for i, line in enumerate(rest) if not line.startswith(" ")), len(rest))
    return dedent("\n".join(rest[:end])).splitlines()


def expected(text: str) -> list[str]:
    """Return the lines of a drawing as a test writes them."""
    return dedent(text).strip("\n").splitlines()


def test_a_canary_at_ten_percent_is_drawn_as_a_whole() -> None:
    rollout = tell(ready_made("canary"), *AT_A_TENTH, split={OLD: 90, NEW: 10})
    look = measured(GateOutcome.PASS, 2, 11)
    cpu = measured(
        GateOutcome.TOO_FEW,
        2,
        11,
        measure=Measure.CPU,
        new=41.27,
        stable=None,
        p_value=None,
        alpha=None,
        detail="3 minutes, a verdict takes 5",
        observe=True,
    )
    assert drawn(rollout, measured(GateOutcome.FAIL, 2, 9), look, cpu, now=11.5) == expected("""
        rollout:     r1
        model:       churn 2
        workspace:   w
        endpoint:    churn
        kind:        managed
        strategy:    canary
        deployment:  churn-v2-abc123
        reaction:    reaction/deploy
        event:       ModelRegistered e
        stable:      churn-v1-def456
        phase:       holding since 2026-03-02 09:06:30Z
        waits for:   the gates, until 2026-03-02 09:21:30Z
        next tick:   2026-03-02 09:06:30Z
        steps:
          ✓  1 probe         ░░░░░░░░░░   0%  2026-03-02 09:06:00Z  3s
          ✓  2 traffic 10%   █░░░░░░░░░  10%  2026-03-02 09:06:03Z  27s
          ▶  3 hold 15m      █░░░░░░░░░  10%  2026-03-02 09:06:30Z  for 5m now
                error_rate   pass        new 2.5%  stable 0.1%  p 0.41 ≥ 0.0012
                             at most 0.5 points more than the stable one's
                cpu          too_few     new 41.3%  stable -
                             3 minutes, a verdict takes 5; observed only
          ○  4 traffic 50%   █████░░░░░  50%
          ○  5 hold 15m      █████░░░░░  50%
          ○  6 traffic 100%  ██████████ 100%
          ○  7 hold 10m      ██████████ 100%
        split over time:
          2026-03-02 09:06:30Z  █░░░░░░░░░  10%  churn-v1-def456 90%, churn-v2-abc123 10%
        next, at the earliest:
          2026-03-02 09:21:30Z  the gates decide, then traffic 50%, then hold 15m
          2026-03-02 09:36:30Z  the gates decide, then traffic 100%, then hold 10m
          2026-03-02 09:46:30Z  the gates decide, then live
          2026-03-02 10:16:30Z  churn-v1-def456 is deleted if Signalbox made it, then done
          it takes the orders: pause, promote, abort
        history:
          2026-03-02 09:00:00Z  queued
          2026-03-02 09:00:00Z  checking
          2026-03-02 09:00:00Z  deployment
          2026-03-02 09:06:00Z  probing       1/7
          2026-03-02 09:06:03Z  shifting      2/7
          2026-03-02 09:06:30Z  holding       3/7   churn-v1-def456 90%, churn-v2-abc123 10%
    """)


def test_the_environment_and_the_code_that_a_model_runs_with_are_named() -> None:
    rollout = tell(ready_made("canary"), *AT_A_TENTH, split={OLD: 90, NEW: 10})
    container = ServingContainer(
        environment="/w/environments/serving/versions/2", code="/w/codes/scoring/versions/3"
    )
    own = replace(rollout, plan=replace(rollout.plan, container=container))
    view = View(rollout=own, measurements=(), coming=(), now=at(20))
    text = "\n".join(line.plain for line in draw(view))
    assert re.search(r"^environment: +serving:2$", text, re.M)
    assert re.search(r"^code: +scoring:3$", text, re.M)


def test_the_steps_fit_eighty_columns() -> None:
    rollout = tell(ready_made("ab-test"), *AT_A_TENTH, split={OLD: 50, NEW: 50})
    lines = drawn(rollout, measured(GateOutcome.PASS, 2, 11))
    assert max(map(len, section(lines, "steps"))) <= 78


def test_a_held_one_says_what_a_person_can_say_and_by_when() -> None:
    rollout = tell(
        ready_made("canary"),
        *AT_A_TENTH,
        (21.5, Phase.HELD, 2, "gate error_rate has no verdict"),
        split={OLD: 90, NEW: 10},
        id="abcdef0123456789",
    )
    lines = drawn(rollout, now=60)
    assert "waits for:   a person's decision, until 2026-03-09 09:21:30Z" in lines
    assert "reason:      gate error_rate has no verdict" in lines
    assert section(lines, "steps")[2] == (
        "▶  3 hold 15m      █░░░░░░░░░  10%  2026-03-02 09:06:30Z  15m"
    )
    following = section(lines, "next, at the earliest")
    assert following[0].startswith("2026-03-09 09:21:30Z  nobody has decided, then rolls back")
    assert following[1:] == expected("""
        2026-03-09 10:21:30Z  churn-v2-abc123 is deleted, then rolled back
        it takes the orders:
          signalbox rollouts resume abcdef01 --why "reason"
          signalbox rollouts promote abcdef01 --why "reason"
          signalbox rollouts abort abcdef01 --why "reason"
          signalbox rollouts retry abcdef01 --why "reason"
    """)


def test_a_rollout_that_was_rolled_back_shows_where_it_failed_and_by_what() -> None:
    rollout = tell(
        ready_made("canary"),
        *AT_A_TENTH,
        (11, Phase.ROLLING_BACK, 2, "gate error_rate: too many"),
        (11.5, Phase.KEEPING, 2, ""),
        (71.5, Phase.REMOVING, 2, ""),
        (71.6, Phase.ROLLED_BACK, 2, "gate error_rate: too many"),
        cause=Cause.FAILED,
        logs="Traceback\n  \x1b[31mOSError",
    )
    lines = drawn(rollout, measured(GateOutcome.FAIL, 2, 11))
    assert section(lines, "steps")[2:] == expected("""
        ✗  3 hold 15m      █░░░░░░░░░  10%  2026-03-02 09:06:30Z  4m 30s
              error_rate   fail        new 2.5%  stable 0.1%  p 1e-05 < 0.0012
                           error rate 2.5% (25 of 1,000) against 0.1% (9 of 9,000)
        -  4 traffic 50%
        -  5 hold 15m
        -  6 traffic 100%
        -  7 hold 10m
    """)
    assert section(lines, "split over time")[-1] == (
        "2026-03-02 09:11:30Z  ░░░░░░░░░░   0%  rolled back"
    )
    assert section(lines, "next, at the earliest") == ["it takes the orders: retry"]
    assert lines[-3:] == [
        "last lines of the container's log:",
        "  Traceback",
        "    OSError",
    ]


def test_a_live_one_is_all_done_but_for_the_old_deployment() -> None:
    rollout = tell(
        make_strategy(*ready_made("all-at-once").steps),
        *BEGUN,
        (7, Phase.LIVE, 2, f"{NEW} 100%"),
        split={NEW: 100},
    )
    lines = drawn(rollout)
    assert [line[:1] for line in section(lines, "steps")] == ["✓", "✓"]
    assert section(lines, "next, at the earliest") == expected("""
        2026-03-02 09:37:00Z  churn-v1-def456 is deleted if Signalbox made it, then done
        it takes the orders: abort
    """)
    first = drawn(change(rollout, stable="", origin={}))
    assert "stable:      (nothing served before)" in first
    assert not any("it takes the orders" in line for line in first), (
        "there is nothing to go back to"
    )


def test_a_refused_one_has_only_its_reason() -> None:
    rollout = tell(
        ready_made("canary"),
        (0, Phase.QUEUED, -1, ""),
        (0, Phase.CHECKING, -1, ""),
        (0.1, Phase.REFUSED, -1, "not enough cores: 4 are left"),
        cause=Cause.FAILED,
    )
    lines = drawn(rollout)
    assert "reason:      not enough cores: 4 are left" in lines
    assert {line[:1] for line in section(lines, "steps")} == {"-"}
    assert "split over time:" not in lines


def test_of_a_shift_the_share_that_grows_is_drawn() -> None:
    strategy = make_strategy(traffic(50), hold(15), traffic(100))
    rollout = tell(
        strategy,
        (0, Phase.QUEUED, -1, ""),
        (0, Phase.CHECKING, -1, ""),
        (0.1, Phase.SHIFTING, 0, ""),
        (0.5, Phase.HOLDING, 1, "blue 75%, green 25%"),
        origin={"blue": 100},
        goal={"blue": 50, "green": 50},
        split={"blue": 75, "green": 25},
        deployment="green",
        stable="blue",
    )
    lines = drawn(replace(rollout, plan=replace(rollout.plan, creates=False)))
    assert "deployment:  green, was there" in lines
    assert section(lines, "steps") == expected("""
        ✓  1 traffic 50%   ██░░░░░░░░  25%  2026-03-02 09:00:06Z  24s
        ▶  2 hold 15m      ██░░░░░░░░  25%  2026-03-02 09:00:30Z  for 0s now
        ○  3 traffic 100%  █████░░░░░  50%
    """)
    assert section(lines, "next, at the earliest")[0] == (
        "2026-03-02 09:15:30Z  traffic 100%, then live, then done"
    )


def test_an_ab_test_that_the_old_one_won_shows_the_comparison() -> None:
    rollout = tell(
        ready_made("ab-test"),
        *BEGUN,
        (6.5, Phase.HOLDING, 2, HALF),
        (1446.5, Phase.CHOOSING, 3, "the gates let it pass"),
        (1446.5, Phase.ROLLING_BACK, 3, "not less than the stable one's"),
        (1447, Phase.KEEPING, 3, ""),
        cause=Cause.NOT_BETTER,
    )
    compared = measured(
        GateOutcome.FAIL,
        3,
        1446.5,
        measure=Measure.LATENCY_P95,
        new=1234.5,
        stable=81.23,
        p_value=0.87,
        alpha=0.01,
        detail="not less than the stable one's",
    )
    lines = section(drawn(rollout, compared), "steps")
    assert lines[2:] == expected("""
        ✓  3 hold 1d         █████░░░░░  50%  2026-03-02 09:06:30Z  1d
        ✗  4 better latency  █████░░░░░  50%  2026-03-03 09:06:30Z  0s
              latency_p95  fail        new 1234ms  stable 81.2ms  p 0.87 ≥ 0.01
                           not less than the stable one's
        -  5 traffic 100%
    """)


def test_what_is_mirrored_is_drawn_apart_from_what_is_answered() -> None:
    rollout = tell(
        ready_made("shadow"),
        *BEGUN[:4],
        (6, Phase.MIRRORING, 1, ""),
        (6.5, Phase.HOLDING, 2, f"{OLD} 100%, mirrored {NEW} 10%"),
        mirror={NEW: 10},
    )
    lines = drawn(rollout)
    assert section(lines, "steps")[2:5] == expected("""
        ▶  3 hold 30m      ▒░░░░░░░░░  10% mirrored  2026-03-02 09:06:30Z  for 0s now
        ○  4 mirror 0%     ░░░░░░░░░░   0%
        ○  5 traffic 100%  ██████████ 100%
    """)
    assert section(lines, "split over time") == [
        f"2026-03-02 09:06:30Z  ▒░░░░░░░░░  10% mirrored  {OLD} 100%, mirrored {NEW} 10%"
    ]
    assert split_of(rollout) == "new 0%, mirrored 10%"


def test_a_promoted_one_shows_what_it_went_past() -> None:
    rollout = tell(
        ready_made("canary"),
        *AT_A_TENTH,
        (8, Phase.SHIFTING, 5, "promote to the end by ann: it is well"),
        split={OLD: 90, NEW: 10},
    )
    lines = section(drawn(rollout), "steps")
    assert [line[:1] for line in lines] == ["✓", "✓", "✓", "-", "-", "▶", "○"]


def test_where_nothing_serves_the_steps_that_mean_nothing_are_crossed_out_before() -> None:
    rollout = tell(ready_made("canary"), *BEGUN[:4], origin={}, split={}, stable="")
    lines = section(drawn(rollout), "steps")
    assert [line[:1] for line in lines] == ["▶", "-", "-", "-", "-", "○", "-"]


def test_a_split_that_is_there_already_is_drawn_for_what_follows_it() -> None:
    rollout = tell(ready_made("canary"), *AT_A_TENTH, split={OLD: 30, NEW: 70})
    assert section(drawn(rollout), "steps")[2:] == expected("""
        ▶  3 hold 15m      ███████░░░  70%  2026-03-02 09:06:30Z  for 0s now
        -  4 traffic 50%
        ○  5 hold 15m      ███████░░░  70%
        ○  6 traffic 100%  ██████████ 100%
        ○  7 hold 10m      ██████████ 100%
    """)


def test_what_is_told_within_a_step_does_not_begin_it_anew() -> None:
    late = (9, Phase.HOLDING, 2, "came too late: approve by ann: so")
    rollout = tell(ready_made("canary"), *AT_A_TENTH, late, split={OLD: 90, NEW: 10})
    assert "2026-03-02 09:06:30Z  for 3m 30s now" in section(drawn(rollout, now=10), "steps")[2]


def test_a_rollout_that_failed_before_it_had_traffic_shows_no_splits() -> None:
    rollout = tell(
        ready_made("canary"),
        *BEGUN[:3],
        (8, Phase.ROLLING_BACK, -1, "ImageBuildFailure: no pip"),
        (8.1, Phase.KEEPING, -1, ""),
        cause=Cause.FAILED,
    )
    assert "split over time:" not in drawn(rollout)
    assert splits_of(rollout) == ()


def test_the_proof_of_the_gates_comes_before_the_steps() -> None:
    rollout = tell(ready_made("canary"), *AT_A_TENTH)
    lines = section(drawn(rollout, measured(GateOutcome.PASS, -1, 0, new=None)), "steps")
    assert lines[0] == "before the first, of the deployment that serves"
    assert lines[1] == "      error_rate   pass        new -  stable 0.1%  p 0.41 ≥ 0.0012"


def test_all_looks_are_told_with_their_queries_where_that_is_wanted() -> None:
    rollout = tell(ready_made("canary"), *AT_A_TENTH)
    looks = [
        measured(GateOutcome.PASS, -1, 1),
        measured(GateOutcome.TOO_FEW, 2, 8, start=at(7), end=at(8)),
    ]
    assert "measurements:" not in drawn(rollout, *looks)
    lines = section(drawn(rollout, *looks, every=True), "measurements")
    assert lines[0].startswith("2026-03-02 09:01:00Z  proof error_rate   pass")
    assert lines[4:] == expected("""
        2026-03-02 09:08:00Z  3/7   error_rate   too_few     new 2.5%  stable 0.1%  p 0.41 ≥ 0.0012
              error rate 2.5% (25 of 1,000) against 0.1% (9 of 9,000)
              2026-03-02 09:07:00Z to 2026-03-02 09:08:00Z, 1000 requests, 9000 of the stable one
              GET /providers/Microsoft.Insights/metrics?api-version=2023-10-01
    """)


def test_an_order_that_is_not_done_yet_is_told_with_who_and_why() -> None:
    order = Order(kind=OrderKind.ABORT, by="ann\x1b[2J", why="p95 doubled", at=at(7))
    lines = drawn(tell(ready_made("canary"), *AT_A_TENTH, orders=(order,)))
    assert "ordered:     abort by ann: p95 doubled (2026-03-02 09:07:00Z)" in lines


@pytest.mark.parametrize(
    ("percent", "bar"),
    [(1, "█░░░░░░░░░"), (50, "█████░░░░░"), (99, "█████████░"), (100, "██████████")],
)
def test_a_bar_never_shows_a_little_as_nothing_nor_nearly_all_as_all(
    percent: int, bar: str
) -> None:
    strategy = make_strategy(traffic(percent), hold(15))
    lines = section(drawn(make_rollout(Phase.QUEUED, strategy)), "steps")
    assert bar in lines[0]


def test_the_splits_by_which_it_steps_down_are_in_its_history() -> None:
    rollout = tell(
        ready_made("canary"),
        *AT_A_TENTH,
        (21.5, Phase.SHIFTING, 3, "the gates let it pass"),
        (22, Phase.HOLDING, 4, HALF),
        (30, Phase.STEPPING_DOWN, 4, "gate error_rate: too many"),
        (30.5, Phase.STEPPING_DOWN, 4, TENTH),
        (35.5, Phase.ROLLING_BACK, 4, "gate error_rate: too many"),
        (36, Phase.KEEPING, 4, ""),
    )
    assert [(seen.share, seen.words) for seen in splits_of(rollout)] == [
        (10, TENTH),
        (50, HALF),
        (10, TENTH),
        (0, "rolled back"),
    ]


def test_a_split_that_somebody_made_and_it_goes_on_from_is_in_its_history() -> None:
    strategy = replace(ready_made("canary"), on_conflict=OnConflict.ADOPT)
    rollout = tell(strategy, *AT_A_TENTH, split={OLD: 90, NEW: 10})
    both = {OLD: make_seen().deployments[OLD].state, NEW: make_seen().deployments[OLD].state}
    decision = in_step(rollout, make_seen({OLD: 70, NEW: 30}, states=both), at(8))
    assert isinstance(decision, Go)
    adopted = enter(rollout, decision, at(8))
    assert [(seen.share, seen.words) for seen in splits_of(adopted)] == [
        (10, TENTH),
        (30, f"{OLD} 70%, {NEW} 30%, by someone"),
    ]


WAITS: list[tuple[str, Rollout, float, str]] = [
    ("its turn", make_rollout(Phase.QUEUED), 0, "its turn on the endpoint"),
    ("the service", make_rollout(Phase.DEPLOYMENT), 0, "the service"),
    (
        "the service, in trouble",
        make_rollout(Phase.DEPLOYMENT, trouble="workspace.busy: wait"),
        0,
        "the service: workspace.busy: wait",
    ),
    (
        "gates that have no verdict in time",
        make_rollout(step=2),
        16,
        "a verdict of the gates, until 2026-03-02 10:15:00Z",
    ),
    (
        "the time",
        make_rollout(Phase.HOLDING, make_strategy(traffic(50), hold(15)), step=1),
        0,
        "the time to pass, until 2026-03-02 09:15:00Z",
    ),
    (
        "a yes",
        make_rollout(Phase.APPROVING, gated(traffic(50), approve(60)), step=1),
        0,
        "a person's yes, until 2026-03-02 10:00:00Z",
    ),
    (
        "a choice",
        make_rollout(Phase.CHOOSING, ready_made("ab-test"), step=3),
        0,
        "enough metrics to choose, until 2026-03-02 10:00:00Z",
    ),
    (
        "a decision",
        make_rollout(Phase.HELD, reason="paused"),
        0,
        "a person's decision, until 2026-03-09 09:00:00Z: paused",
    ),
    ("nothing", make_rollout(Phase.ROLLED_BACK, reason="it failed"), 0, "it failed"),
]


@pytest.mark.parametrize(
    ("rollout", "minutes", "words"), [row[1:] for row in WAITS], ids=[row[0] for row in WAITS]
)
def test_what_it_waits_for_is_said_in_a_few_words(
    rollout: Rollout, minutes: float, words: str
) -> None:
    assert waits_of(rollout, at(minutes)) == words


def test_where_it_is_and_what_it_has_fit_a_column() -> None:
    rollout = make_rollout(step=2, share=10)
    assert (step_of(rollout), split_of(rollout)) == ("3/7 hold", "new 10%")
    assert step_of(make_rollout(Phase.LIVE, step=7)) == ""


def test_time_that_passed_is_told_in_two_units() -> None:
    spans = {
        timedelta(seconds=59): "59s",
        timedelta(hours=1): "1h",
        timedelta(days=2, hours=3, seconds=4): "2d 3h",
    }
    for span, words in spans.items():
        steps = make_strategy(RolloutStep(kind=StepKind.PROBE), traffic(100))
        rollout = tell(steps, (0, Phase.PROBING, 0, ""), (span / MINUTE, Phase.SHIFTING, 1, ""))
        assert section(drawn(rollout), "steps")[0].endswith(f"  {words}")
