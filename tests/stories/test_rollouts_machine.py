"""Traffic is where it should be, and every rollout ends, in any order of events."""

import json
from datetime import timedelta

import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.base.errors import ParamsInvalid, WorkspaceDenied, WorkspaceUnreachable
from shared.journal import records
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus, outcome_from
from shared.rollouts.engine import advance
from shared.rollouts.engine.store import TABLE
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import STEPS, Phase
from shared.rollouts.state.rollout import Rollout, endpoint_key
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import Capacity, Score
from tests.searching import examples
from tests.stories.rollouts_rules import ENDPOINT
from tests.stories.rollouts_stage import DEEDS, ERRORS, EVENTS, PLACES, Happening, Stage, words
from tests.stories.world import WORKSPACE

_STEPS = {
    "canary": """[{probe: }, {traffic: 10%}, {hold: 5m}, {traffic: 50%}, {hold: 5m},
                  {traffic: 100%}, {hold: 5m}]""",
    "shadow": "[{probe: }, {mirror: 10%}, {hold: 5m}, {mirror: 0%}, {traffic: 100%}, {hold: 5m}]",
    "linear": "[{traffic: 25%}, {hold: 3m}, {traffic: 60%}, {hold: 3m}, {traffic: 100%}]",
    "asked": "[{probe: }, {traffic: 20%}, {approve: 1h}, {traffic: 100%}]",
    "big": "[{probe: }, {scale: 3}, {traffic: 30%}, {hold: 3m}, {scale: stable}, {traffic: 100%}]",
    "better": "[{traffic: 50%}, {hold: 9m}, {better: latency_p95}, {traffic: 100%}]",
}
_GATES = "{error_rate: {max_increase: 1%, min_requests: 20}, latency_p95: {max_ratio: 1.5}}"
_DEPLOY = """endpoint: churn, instance_type: Standard_DS3_v2, notify: [team], timeout: 1h,
                allow: {rollout: ['*']}"""

REACTIONS = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: deploy
    on: ModelRegistered
    when: contains(model.tags.deploy, 'plain')
    do: [deploy: {{{_DEPLOY}, keep_old: 10m}}]
  - name: take
    on: ModelRegistered
    when: contains(model.tags.deploy, 'taking')
    do: [deploy: {{{_DEPLOY}, keep_old: 0s, adopt: true}}]
  - name: shift
    on: RunCompleted
    do: [shift_traffic: {{endpoint: churn, to_version: "${{{{ run.tags.to }}}}",
                          allow: {{to_version: ["*"]}},
                          rollout: r2, notify: [team]}}]
"""


def written(strategies: list[tuple[str, ...]]) -> str:
    """Return the reactions file with these strategies, named r0, r1 and so on."""
    lines = ["rollouts:"]
    for number, (steps, failure, conflict, newer, keep) in enumerate(strategies):
        gates = f"gates: {_GATES}, " if "hold" in _STEPS[steps] else ""
        lines.append(
            f"  r{number}: {{steps: {_STEPS[steps]}, {gates}on_failure: {failure},"
            f" on_conflict: {conflict}, newer: {newer}, keep_failed: {keep}, patience: 10m,"
            " answer_within: 6h, step_down_every: 1m}"
        )
    return "\n".join([REACTIONS, *lines, ""])


#: The recorded outcome of a rollout that ended there.
OUTCOMES = {
    Phase.DONE: {OutcomeStatus.DONE},
    Phase.ROLLED_BACK: {OutcomeStatus.FAILED, OutcomeStatus.SKIPPED},
    Phase.REFUSED: {OutcomeStatus.FAILED},
    Phase.SUPERSEDED: {OutcomeStatus.SKIPPED},
}
#: Longer than anything waits for a person, or is kept.
LONGEST = timedelta(days=3)

picks = st.integers(0, 5)
spans = st.sampled_from([0.5, 1.5, 6, 21, 70, 400, 1000]).map(lambda m: timedelta(minutes=m))
orders = st.sampled_from([*OrderKind, OrderKind.ABORT, OrderKind.RETRY, OrderKind.RESUME])
names = st.sampled_from(["r0", "r1", "r2"])
strategies = st.lists(
    st.tuples(
        st.sampled_from(sorted(_STEPS)),
        st.sampled_from(["rollback", "step_down", "hold"]),
        st.sampled_from(["hold", "abort", "adopt"]),
        st.sampled_from(["wait", "supersede", "refuse"]),
        st.sampled_from(["20m", "0s"]),
    ),
    min_size=3,
    max_size=3,
)
happenings = st.tuples(
    st.one_of(
        st.just(""),
        st.sampled_from(["set_traffic", "get_endpoint", "list_deployments", "write_row"]),
        st.sampled_from(PLACES),
    ),
    st.sampled_from(["before", "before", "after"]),
    st.integers(1, 4),
    st.sampled_from([*ERRORS, *EVENTS, *EVENTS, *DEEDS]),
    picks,
)
disturbances = st.lists(happenings, min_size=1, max_size=3)
#: Where a rollout is to stand when something happens.
phases = st.sampled_from(
    [*STEPS, Phase.HOLDING, *(phase for phase in Phase if phase is not Phase.DONE)]
)
#: How often time passes to what is due next.
turns = st.integers(0, 6)


class RolloutsMachine(RuleBasedStateMachine):
    """The app, with everything that can happen to it as rules."""

    stage: Stage

    @initialize(
        start=st.sampled_from(["nothing", "ours", "ours", "theirs", "theirs too"]),
        strategies=strategies,
        until=phases,
    )
    def begin(self, start: str, strategies: list[tuple[str, ...]], until: Phase) -> None:
        """An endpoint is there, or not; Signalbox's or somebody's; and a model is registered."""
        self.stage = Stage(written(strategies))
        if start in ("ours", "theirs too"):
            self.stage.register("all-at-once", "plain")
            self.stage.settle()
        if start == "theirs":
            self.stage.somebody("makes the endpoint", 0)
        if start.startswith("theirs"):
            self.stage.somebody("tags the endpoint", 0)
            self.stage.somebody("makes a deployment", 0)
        if start == "theirs":
            self.stage.somebody("gives one all", 0)
        self.stage.register("r0", "taking")
        self.stage.reach(until)

    @rule(
        strategy=names,
        how=st.sampled_from(["plain", "taking", "taking", "plain, taking"]),
        step=st.sampled_from([1, 1, 1, 1, 1, 0, -1]),
        until=phases,
        soon=disturbances,
        then=turns,
    )
    def register_a_model(
        self, strategy: str, how: str, step: int, until: Phase, soon: list[Happening], then: int
    ) -> None:
        """Somebody registers a model: a later version, the same once more, or an earlier one."""
        self.stage.register(strategy, how, step)
        self.stage.reach(until)
        self.stage.go_on(then, soon)

    @rule(back=st.integers(0, 2), is_doubled=st.booleans(), until=phases)
    def shift(self, back: int, is_doubled: bool, until: Phase) -> None:
        """A run says to which version all traffic is to go; or an earlier event comes again."""
        events = self.stage.events
        if not is_doubled:
            run_id, tags = f"run-{len(events)}", {"to": str(max(self.stage.versions - back, 1))}
            events.append(self.stage.world.complete(run_id, run_id, tags))
        self.stage.deliver(events[-1 - is_doubled * back % len(events)])
        self.stage.reach(until)

    @rule(until=phases, times=turns, soon=disturbances)
    def go_on(self, until: Phase, times: int, soon: list[Happening]) -> None:
        """It is gone on, and something happens within the requests."""
        self.stage.reach(until)
        self.stage.go_on(times, soon)

    @rule(span=spans, is_swept=st.booleans())
    def pass_time(self, span: timedelta, is_swept: bool) -> None:
        """Time passes, more than was waited for."""
        self.stage.let_pass(span)
        self.stage.hand_out()
        if is_swept:
            self.stage.attempt(self.stage.world.sweep.run)

    @rule(how=st.sampled_from(["lost", "lost", "doubled", "reversed", "old"]), pick=picks)
    def hand_out_oddly(self, how: str, pick: int) -> None:
        """Lose due messages, hand them out twice or the last first, or hand out earlier ones."""
        handed = self.stage.handed
        if how == "reversed":
            self.stage.hand_out(is_reversed=True)
        elif how == "old" and handed:
            self.stage.advance(handed[-1 - pick % len(handed)], redelivered=bool(pick % 2))
        elif how != "old":
            for text in self.stage.world.queues.take(advance.QUEUE) * 2:
                if how == "doubled":
                    self.stage.advance(text, redelivered=True)

    @precondition(lambda self: self.stage.rules.rollouts())
    @rule(until=phases, kind=orders, pick=picks, soon=disturbances, then=turns)
    def tell(
        self, until: Phase, kind: OrderKind, pick: int, soon: list[Happening], then: int
    ) -> None:
        """A person tells a rollout something."""
        self.stage.reach(until)
        self.stage.order(kind, self.stage.rollout(pick), to_end=bool(pick % 2))
        self.stage.go_on(then, soon)

    @rule(until=phases, deed=st.sampled_from(DEEDS), pick=picks, soon=disturbances, then=turns)
    def somebody_does(
        self, until: Phase, deed: str, pick: int, soon: list[Happening], then: int
    ) -> None:
        """Somebody else does something at the endpoint."""
        self.stage.reach(until)
        self.stage.somebody(deed, pick)
        self.stage.go_on(then, soon)

    @rule(
        takes=st.sampled_from([0, 0, 1, 9, 80]).map(lambda m: timedelta(minutes=m)),
        is_stuck=st.sampled_from([False, False, True]),
        cores=st.sampled_from([None, None, 40, 12]),
    )
    def change_the_service(self, takes: timedelta, is_stuck: bool, cores: int | None) -> None:
        """The service takes longer, does not take traffic, has fewer cores, or is well."""
        behaviour = self.stage.world.workspaces.behaviour
        behaviour.takes = takes
        behaviour.stuck_traffic = ("InternalServerError", "not updated") if is_stuck else None
        behaviour.capacity = (
            None if cores is None else Capacity(family="f", cores=4, used=0, limit=cores)
        )

    @precondition(lambda self: self.stage.rules.rollouts())
    @rule(pick=picks, how=st.sampled_from(["crashes", "answers badly", "is slow", "errs", "well"]))
    def change_a_version(self, pick: int, how: str) -> None:
        """A new version is no good, or is from now on, or not any more."""
        name, world = self.stage.rollout(pick).deployment, self.stage.world
        behaviour = world.workspaces.behaviour
        behaviour.broken.pop(name, None)
        behaviour.scores.pop(name, None)
        world.metrics.behave(name, MetricsBehaviour())
        if how == "crashes":
            behaviour.broken[name] = ("ResourceNotReady", "User container has crashed")
        elif how == "answers badly":
            behaviour.scores[name] = Score(status=424, model_status=500, body=b"boom")
        elif how == "is slow":
            world.metrics.behave(name, MetricsBehaviour(latency_ms=200))
        elif how == "errs":
            world.metrics.behave(name, MetricsBehaviour(error_rate=0.2))

    @rule(
        how=st.sampled_from(["down", "denied", "late", "idle", "well", "well"]),
        is_deaf=st.booleans(),
    )
    def change_what_is_told(self, how: str, is_deaf: bool) -> None:
        """Metrics can't be read, come late, there are none; the channel takes no messages."""
        channels, metrics = self.stage.world.channels, self.stage.world.metrics
        (channels.make_down if is_deaf else channels.make_well)("team")
        metrics.unavailable = {
            "down": WorkspaceUnreachable("no answer"),
            "denied": WorkspaceDenied("no right"),
        }.get(how)
        metrics.lag = timedelta(minutes=4) if how == "late" else timedelta(0)
        metrics.rate = 0.0 if how == "idle" else 600.0

    @invariant()
    def holds(self) -> None:
        """Check the invariants."""
        self.stage.rules.check()

    # The end

    def heal(self) -> None:
        """Make all well: what was changed by somebody stays."""
        self.change_the_service(timedelta(0), False, None)
        behaviour = self.stage.world.workspaces.behaviour
        behaviour.broken.clear()
        behaviour.scores.clear()
        self.change_what_is_told("well", False)
        self.stage.world.metrics.behave("*", MetricsBehaviour())

    def teardown(self) -> None:
        """Let everything come to rest, and look whether all of it did."""
        if not hasattr(self, "stage"):
            return  # it could not even begin
        self.heal()
        stage = self.stage
        stage.settle()
        for letter in stage.world.letters.all(LetterStatus.PARKED):
            stage.reopen(letter)
        for _ in range(3):
            stage.settle()
            stage.let_pass(LONGEST)
            stage.world.sweep.run()
        stage.settle()
        self.check_rest()

    def check_rest(self) -> None:
        """Every rollout has ended, nothing of it is left, and it is on record."""
        world = self.stage.world
        for rollout in self.stage.rules.rollouts():
            assert rollout.phase.is_terminal, words(rollout)
            assert not rollout.is_open
            assert (
                rollout.schedule.busy_until is None
                or rollout.schedule.busy_until <= world.clock.now()
            )
            self.check_gone(rollout)
            self.check_told(rollout)
        assert world.tables.get(TABLE, endpoint_key(WORKSPACE, ENDPOINT), "lock") is None
        letters = world.all_letters()
        assert [one for one in letters if one.status is LetterStatus.WAITING] == []
        parked = [one for one in letters if one.status is LetterStatus.PARKED]
        assert {one.code for one in parked} <= {ParamsInvalid.code}
        self.check_records()

    def check_gone(self, rollout: Rollout) -> None:
        """Of what was rolled back nothing is left, but where that was said."""
        if rollout.phase is not Phase.ROLLED_BACK or not rollout.plan.creates:
            return
        if "could not be deleted" not in rollout.reason:
            assert rollout.deployment not in self.stage.rules.deployments()

    def check_told(self, rollout: Rollout) -> None:
        """The result was told."""
        said = {Phase.DONE: "is live on churn", Phase.ROLLED_BACK: "was rolled back on churn"}
        if "stays" in rollout.reason:
            said[Phase.ROLLED_BACK] = "on churn needs a look"
        if rollout.phase in said and not rollout.given_up and not rollout.attempt.retries:
            title = f"{rollout.model.words} {said[rollout.phase]}"
            assert title in self.stage.world.told(), words(rollout)

    def check_records(self) -> None:
        """Every event has an outcome on record, which is that of its rollout."""
        outcomes = {}
        for row in self.stage.world.rows(records.TABLE):
            for name, item in json.loads(str(row.values["outcomes"])).items():
                outcomes[str(row.values["id"]), name] = outcome_from(item)
        assert {event["id"] for event in self.stage.events} <= {key for key, _ in outcomes}
        for outcome in outcomes.values():
            assert outcome.status is not OutcomeStatus.WAITING, outcome
        for rollout in self.stage.rules.rollouts():
            outcome = outcomes[rollout.ref.id, rollout.reaction_step]
            assert outcome.status in OUTCOMES[rollout.phase], words(rollout)
            assert outcome.rollout == rollout.id


# Of the examples of one search Hypothesis makes most by changing a little in others: many short
# searches see more than a long one.
@pytest.mark.parametrize("search", range(examples(6)))
def test_traffic_is_where_it_should_be_and_every_rollout_ends(search: int) -> None:
    class Machine(RolloutsMachine):
        """One of its own for each search: they begin at different places."""

    is_same_each_time = settings.default is not None and settings.default.derandomize
    machine = seed(search)(Machine) if is_same_each_time else Machine
    run_state_machine_as_test(
        machine, settings=settings(max_examples=8, stateful_step_count=15, derandomize=False)
    )
