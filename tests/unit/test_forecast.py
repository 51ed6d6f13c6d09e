"""Forecasts of a rollout: nothing comes earlier, and where all is well they come true."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rollouts.people.forecast import forecast
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import PHASES, STEPS, Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import Newer, OnFailure, Probe, RolloutStep, StepKind, Strategy
from shared.rollouts.strategy.schema import find_strategy
from shared.rollouts.strategy.steps.kinds import step_words
from shared.workspaces.metrics import Measure
from tests.stories.world import REACTIONS, World
from tests.unit import rollouts as given_rollouts
from tests.unit.rollouts import ERRORS, MINUTE, NEW, NOW, OLD, change, make_strategy, traffic


def ready_made(name: str) -> Strategy:
    """Return a ready-made strategy."""
    found = find_strategy(name, {})
    assert found is not None
    return found


def gated(*steps: RolloutStep, **changes: object) -> Strategy:
    """Return a strategy of these steps, with one gate unless said otherwise."""
    return make_strategy(*steps, **{"gates": (ERRORS,), **changes})


def hold(minutes: int) -> RolloutStep:
    """Return a step that holds."""
    return RolloutStep(kind=StepKind.HOLD, span=minutes * MINUTE)


def approve(minutes: int) -> RolloutStep:
    """Return a step that waits for a person."""
    return RolloutStep(kind=StepKind.APPROVE, span=minutes * MINUTE)


def make_rollout(
    phase: Phase = Phase.HOLDING,
    strategy: Strategy | None = None,
    *,
    share: int = 0,
    **changes: object,
) -> Rollout:
    """Return a canary of churn 2, unless another strategy is given, that has this share."""
    usual = {
        "split": {OLD: 100 - share, NEW: share} if share else {OLD: 100},
        "split_at": NOW,
        "stable_instances": 1,
        "is_moved": bool(share),
    }
    rollout = given_rollouts.make_rollout(phase, **{**usual, **changes})
    if "plan" in changes:
        return rollout
    return given_rollouts.with_plan(rollout, strategy=strategy or ready_made("canary"))


def ordered(kind: OrderKind, *, to_end: bool = False) -> Order:
    """Return an order of Ann's."""
    return Order(kind=kind, by="ann", why="so", at=NOW, to_end=to_end)


def told(rollout: Rollout, now: datetime = NOW, grain: timedelta = MINUTE) -> list[str]:
    """Return the forecast as lines: after how many minutes of the story, and what."""
    return [
        f"{(coming.at - NOW) / MINUTE:g} {coming.what}"
        for coming in forecast(rollout, now, grain=grain)
    ]


END = [f"{OLD} is deleted if Signalbox made it, then done"]
BACK = f"rolls back, then {NEW} is kept for 1h"
GONE = f"{NEW} is deleted, then rolled back"
LINES = (traffic(10), hold(15), approve(60), traffic(100), hold(10))

TABLE: list[tuple[str, Rollout, list[str]]] = [
    (
        "a canary goes from split to split, until the old one is deleted",
        make_rollout(step=2, share=10),
        [
            "15 the gates decide, then traffic 50%, then hold 15m",
            "30 the gates decide, then traffic 100%, then hold 10m",
            "40 the gates decide, then live",
            f"70 {END[0]}",
        ],
    ),
    (
        "one that waits for its turn has all of it before it",
        make_rollout(Phase.QUEUED, ready_made("all-at-once"), origin={}, split={}, stable=""),
        [
            f"0 the endpoint is looked at, then {NEW} is made, then probe, then traffic 100%, "
            "then live",
            "30 what serves is deleted if Signalbox made it, then done",
        ],
    ),
    (
        "a held one goes back when nobody has decided",
        make_rollout(Phase.HELD, step=2, share=10),
        ["10080 nobody has decided, then " + BACK, "10140 " + GONE],
    ),
    (
        "a person who was asked and says nothing means no",
        make_rollout(Phase.APPROVING, gated(*LINES), step=2, share=10),
        ["60 nobody has decided, then " + BACK, "120 " + GONE],
    ),
    (
        "a person who is yet to be asked may say yes at once",
        make_rollout(Phase.HOLDING, gated(*LINES), step=1, share=10),
        [
            "15 the gates decide, then a person has to approve within 1h, then traffic 100%, "
            "then hold 10m",
            "25 the gates decide, then live",
            f"55 {END[0]}",
        ],
    ),
    (
        "what steps down does so by the splits that it came up by",
        make_rollout(
            Phase.STEPPING_DOWN, ready_made("linear"), step=6, share=60, split_at=NOW - 9 * MINUTE
        ),
        [
            "0 down to 40%",
            "5 down to 20%",
            f"10 {BACK}",
            "70 " + GONE,
        ],
    ),
    (
        "a failed deployment is kept, then deleted",
        make_rollout(Phase.KEEPING, step=2),
        ["60 " + GONE],
    ),
    (
        "a rollout without an old one ends as it goes live",
        make_rollout(
            Phase.SHIFTING,
            ready_made("all-at-once"),
            step=1,
            origin={},
            split={},
            stable="",
        ),
        ["0 live, then done"],
    ),
    (
        "abort comes first",
        make_rollout(step=2, share=10, orders=(ordered(OrderKind.PAUSE), ordered(OrderKind.ABORT))),
        ["0 abort by ann, then " + BACK, "60 " + GONE],
    ),
    (
        "promote to the end goes to the last split",
        make_rollout(step=2, share=10, orders=(ordered(OrderKind.PROMOTE, to_end=True),)),
        [
            "0 promote by ann, then traffic 100%, then hold 10m",
            "10 the gates decide, then live",
            f"40 {END[0]}",
        ],
    ),
    (
        "a paused one waits for a person, as any that is held",
        make_rollout(step=2, share=10, orders=(ordered(OrderKind.PAUSE),)),
        [
            "0 pause by ann, then waits for a person",
            "10080 nobody has decided, then " + BACK,
            "10140 " + GONE,
        ],
    ),
    (
        "one that was rolled back and is retried begins anew",
        make_rollout(
            Phase.ROLLED_BACK, ready_made("all-at-once"), orders=(ordered(OrderKind.RETRY),)
        ),
        [
            f"0 retry by ann, then queued, then the endpoint is looked at, then {NEW} is made, "
            "then probe, then traffic 100%, then live",
            f"30 {END[0]}",
        ],
    ),
    ("what has ended has nothing before it", make_rollout(Phase.DONE, step=7, share=100), []),
]


@pytest.mark.parametrize(
    ("rollout", "lines"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_the_forecast_says_what_comes_and_when(rollout: Rollout, lines: list[str]) -> None:
    assert told(rollout) == lines


def test_a_shift_of_traffic_deletes_nothing() -> None:
    plan = make_rollout().plan
    shift = make_rollout(
        Phase.HOLDING,
        plan=replace(plan, creates=False, strategy=gated(traffic(50), hold(5), traffic(100))),
        step=1,
        share=50,
    )
    assert told(shift) == ["5 the gates decide, then traffic 100%, then live, then done"]
    aborted = replace(shift, orders=(ordered(OrderKind.ABORT),))
    assert told(aborted) == [
        "0 abort by ann, then rolls back, then traffic is back, then rolled back"
    ]


def test_of_two_orders_the_one_that_is_done_is_named() -> None:
    both = (ordered(OrderKind.APPROVE), ordered(OrderKind.PAUSE))
    asked = make_rollout(Phase.APPROVING, gated(*LINES), step=2, share=10, orders=both)
    assert told(asked)[0] == "0 pause by ann, then waits for a person"


def test_an_order_that_came_too_late_changes_nothing() -> None:
    rollout = make_rollout(Phase.HOLDING, gated(*LINES), step=1, share=10)
    late = replace(rollout, orders=(ordered(OrderKind.APPROVE),))
    assert told(late) == told(rollout)


def test_writes_that_failed_before_are_taken_to_succeed_now() -> None:
    rollout = make_rollout(Phase.SHIFTING, step=1)
    assert told(change(rollout, tries=3)) == told(rollout)


def test_the_longest_hold_is_forecast_to_its_end_at_the_finest_grain() -> None:
    month = timedelta(days=30)
    held = gated(traffic(50), RolloutStep(kind=StepKind.HOLD, span=month), traffic(100))
    rollout = make_rollout(Phase.HOLDING, held, step=1, share=50)
    coming = forecast(rollout, NOW, grain=timedelta(seconds=1))
    assert [item.at for item in coming] == [NOW + month, NOW + month + 30 * MINUTE]


def test_nothing_comes_before_the_tick_that_brings_it() -> None:
    late = make_rollout(step=2, share=10, due_at=NOW + 20 * MINUTE)
    assert told(late)[0].startswith("20 ")


def test_a_hold_that_is_over_ends_as_soon_as_the_gates_have_a_verdict() -> None:
    over = make_rollout(step=2, share=10, looked_at=NOW + 15 * MINUTE)
    assert told(over, NOW + 18 * MINUTE)[0].startswith("18 the gates decide")


def test_a_hold_shorter_than_a_reading_lasts_until_there_is_one() -> None:
    brief = gated(traffic(50), RolloutStep(kind=StepKind.HOLD, span=MINUTE / 6), traffic(100))
    rollout = make_rollout(Phase.HOLDING, brief, step=1, share=50)
    assert told(rollout)[0].startswith("2 ")
    assert told(rollout, grain=MINUTE / 60)[0].startswith(f"{1 / 6:g} ")


STEP = st.one_of(
    st.builds(traffic, st.sampled_from([5, 10, 50])),
    st.builds(hold, st.integers(1, 3000)),
    st.builds(approve, st.integers(1, 3000)),
    st.builds(RolloutStep, kind=st.just(StepKind.PROBE), probe=st.just(Probe())),
    st.builds(RolloutStep, kind=st.just(StepKind.MIRROR), percent=st.sampled_from([0, 10])),
    st.builds(RolloutStep, kind=st.just(StepKind.SCALE), instances=st.integers(0, 3)),
    st.builds(RolloutStep, kind=st.just(StepKind.BETTER), measure=st.just(Measure.LATENCY_P95)),
)
ORDERS = st.builds(ordered, st.sampled_from(OrderKind), to_end=st.booleans())


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    """Return a rollout in any phase, at any step that goes with it."""
    steps = (*draw(st.lists(STEP, max_size=6)), traffic(100), *draw(st.lists(STEP, max_size=1)))
    has_gates = draw(st.booleans())
    strategy = gated(
        *steps,
        on_failure=draw(st.sampled_from(OnFailure)),
        newer=draw(st.sampled_from(Newer)),
        keep_failed=draw(st.sampled_from([timedelta(0), timedelta(hours=1)])),
        **({} if has_gates else {"gates": ()}),
    )
    phase = draw(st.sampled_from(Phase))
    fitting = [index for index, step in enumerate(steps) if PHASES[step.kind] is phase]
    if phase in STEPS and not fitting:
        phase = Phase.SHIFTING
        fitting = [index for index, step in enumerate(steps) if PHASES[step.kind] is phase]
    step = draw(st.sampled_from(fitting or [-1, 0, len(steps) - 1]))
    serves = draw(st.booleans())
    share = draw(st.sampled_from([0, 10, 50, 100]))
    return make_rollout(
        phase,
        strategy,
        share=share,
        step=len(steps) if phase is Phase.LIVE else step,
        plan=replace(make_rollout().plan, strategy=strategy, creates=draw(st.booleans())),
        retries=draw(st.integers(0, 1)),
        orders=tuple(draw(st.lists(ORDERS, max_size=2))),
        due_at=NOW + draw(st.integers(0, 100)) * MINUTE,
        tries=draw(st.integers(0, 4)),
        **({} if serves else {"origin": {}, "stable": "", "split": {NEW: 100}, "goal": {NEW: 100}}),
    )


@given(rollouts(), st.integers(-10, 200))
def test_the_times_of_a_forecast_grow_from_now_to_the_rollouts_end(
    rollout: Rollout, minutes: int
) -> None:
    now = NOW + minutes * MINUTE
    coming = forecast(rollout, now)
    times = [item.at for item in coming]
    assert all(time >= now for time in times)
    assert times == sorted(set(times))
    assert all(item.what for item in coming)
    if coming:
        assert coming[-1].phase.is_terminal
    else:
        assert rollout.phase.is_terminal


@pytest.mark.parametrize("strategy", ["all-at-once", "blue-green", "canary", "linear", "shadow"])
def test_what_is_forecast_is_what_happens_where_all_is_well(strategy: str) -> None:
    world = World(
        REACTIONS.replace("keep_old: 30m", f"keep_old: 30m\n          rollout: {strategy}")
    )
    world.metrics.rate = 6000
    world.react.react(world.register(version="1"))
    world.settle()
    world.metrics.observe()
    world.clock.pass_time(timedelta(hours=2))
    world.react.react(world.register(version="2"))
    world.settle(until=lambda: world.all_rollouts()[-1].step > 0)
    rollout = world.all_rollouts()[-1]
    coming = {
        phase: item.at
        for item in forecast(rollout, world.clock.now())
        for phase in (Phase.LIVE, Phase.DONE)
        if phase in item.what.split(", then ")
    }
    world.settle()
    came = {
        moment.phase: moment.at
        for moment in world.all_rollouts()[-1].history
        if moment.phase in (Phase.LIVE, Phase.DONE)
    }
    assert came.keys() == coming.keys()
    for phase, at in came.items():
        assert timedelta(0) <= at - coming[phase] < 2 * MINUTE, phase


def test_steps_are_said_as_they_are_written() -> None:
    assert [step_words(step) for step in ready_made("ab-test").steps] == [
        "probe",
        "traffic 50%",
        "hold 1d",
        "better latency",
        "traffic 100%",
    ]
    assert step_words(RolloutStep(kind=StepKind.SCALE)) == "scale stable"
    assert step_words(RolloutStep(kind=StepKind.SCALE, instances=3)) == "scale 3"
