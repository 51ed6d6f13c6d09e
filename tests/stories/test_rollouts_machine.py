"""Whatever happens, in whatever order: traffic is where it should be, and every rollout ends."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

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

from shared import dead_letters, records
from shared.adapters.memory_metrics import Behaviour
from shared.dead_letters import LetterStatus
from shared.errors import (
    OrderImpossible,
    ParamsInvalid,
    QuotaExceeded,
    SignalboxError,
    StorageUnavailable,
    WorkspaceBusy,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.outcomes import OutcomeStatus, outcome_from
from shared.rollouts import advance
from shared.rollouts.model import Rollout, endpoint_key
from shared.rollouts.orders import Order, OrderKind
from shared.rollouts.phases import STEPS, Phase
from shared.rollouts.store import TABLE
from shared.workspaces import Capacity, Deployment, Endpoint, Score, State
from tests.stories.kill import Killed
from tests.stories.rollouts_rules import ENDPOINT, KEY, READS, REQUEST_MOST, WRITES, Rules
from tests.stories.world import LEASE, WORKSPACE, World, run_completed

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


TERMINAL_OUTCOMES = {
    Phase.DONE: {OutcomeStatus.DONE},
    Phase.ROLLED_BACK: {OutcomeStatus.FAILED, OutcomeStatus.SKIPPED},
    Phase.REFUSED: {OutcomeStatus.FAILED},
    Phase.SUPERSEDED: {OutcomeStatus.SKIPPED},
}

LONGEST = timedelta(days=3)

picks = st.integers(0, 5)
spans = st.sampled_from([0.5, 1.5, 6, 21, 70, 400, 3000]).map(lambda m: timedelta(minutes=m))
orders = st.sampled_from([*OrderKind, OrderKind.ABORT, OrderKind.RETRY, OrderKind.RESUME])

#: What somebody else does at the endpoint.
DEEDS = (
    "splits it",
    "splits it",
    "gives one all",
    "gives none any",
    "mirrors",
    "deletes a deployment",
    "fails a deployment",
    "mends a deployment",
    "scales a deployment",
    "makes a deployment",
    "deletes the endpoint",
)
#: What can go wrong with a request.
ERRORS: dict[str, SignalboxError] = {
    "throttled": WorkspaceThrottled("slower", retry_after=timedelta(seconds=90)),
    "unreachable": WorkspaceUnreachable("no answer"),
    "busy": WorkspaceBusy("another operation is already running"),
    "denied": WorkspaceDenied("no right"),
    "refused": WorkspaceRefused("it can't be"),
    "quota": QuotaExceeded("no cores left"),
}
#: What can happen within a request, besides.
EVENTS = (
    *("dies", "takes long", "other worker", "other worker later", "order abort", "order abort"),
    *(f"order {kind}" for kind in OrderKind),
)

PLACES = (*sorted(WRITES), *READS, "read_metrics", "write_row", "send")

#: Where, when, which time, what, and of what it is to choose which.
type Happening = tuple[str, str, int, str, int]

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
names = st.sampled_from(["r0", "r1", "r2"])


def words(rollout: Rollout) -> str:
    """Say what became of a rollout, for whoever has to find out why."""
    lines = [f"{one.at:%d %H:%M:%S} {one.phase} {one.text}" for one in rollout.history]
    name = f"{rollout.model.words} by {rollout.plan.strategy.name}, tick {rollout.tick}"
    return "\n  ".join([name, *lines, f"{rollout.trouble} {rollout.reason} {rollout.orders}"])


class RolloutsMachine(RuleBasedStateMachine):
    """The app, with everything that can happen to it as rules."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.pending: list[Callable[[], None]] = []
        self.handed: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.versions = self.deeds = 0
        self.soon: list[Happening] = []
        #: The rollout that was gone on with.
        self.at = ""

    # How things are done

    def attempt(self, task: Callable[[], None]) -> None:
        """Do something that the process may die at: it is done again later."""
        try:
            task()
        except (Killed, StorageUnavailable):
            self.world.start_app()
            self.pending.append(task)

    def interrupt(self, name: str, when: str) -> None:
        """Let what is to happen within this request of a tick happen."""
        if len(self.rules.ticks) != 1:
            return
        left: list[Happening] = []
        due: list[Happening] = []
        for place, moment, number, what, pick in self.soon:
            is_here = place in ("", name) and moment == when
            happening = (place, moment, number - is_here, what, pick)
            (due if not happening[2] else left).append(happening)
        self.soon = left
        for *_, what, pick in due:
            self.happen(name, what, pick)

    def happen(self, name: str, what: str, pick: int) -> None:
        """Let something happen within a request."""
        acting = self.rules.ticks[0].rollout
        if what == "dies":
            raise Killed(name)
        if what in ERRORS:
            if name in ("write_row", "send"):
                raise StorageUnavailable("no answer")
            raise ERRORS[what]
        # A request that writes for longer than its worker has the tick to itself can't be kept from
        # it; the timeouts of its client do that.
        late = REQUEST_MOST if name in (*WRITES, "write_row") else 2 * LEASE
        if what == "takes long":
            self.let_pass(late)
        elif what.startswith("other worker"):
            self.let_pass(late if what.endswith("later") else timedelta(0))
            self.advance(json.dumps(self._message(acting)))
            self.hand_out(is_reversed=bool(pick % 2))
        elif what.startswith("order"):
            self.at = acting
            kind = OrderKind(what.removeprefix("order "))
            self.order(kind, self.rollout(pick), to_end=bool(pick % 2))
        else:
            self.somebody(what, pick)

    def _message(self, rollout_id: str) -> dict[str, Any]:
        (found,) = [one for one in self.rules.rollouts() if one.id == rollout_id]
        return {"v": 1, "endpoint": found.partition, "rollout": found.id, "tick": found.tick}

    def advance(self, text: str, *, redelivered: bool = False) -> None:
        """Hand out a message of a tick, which is delivered again if it is not taken."""

        def work(redelivered: bool = redelivered) -> None:
            self.rules.tick(
                json.loads(text)["rollout"],
                lambda: self.world.rollouts.advance(text, redelivered=redelivered),
            )

        try:
            work()
        except (Killed, StorageUnavailable):
            self.world.start_app()
            self.pending.append(lambda: self.attempt(lambda: work(True)))

    def let_pass(self, span: timedelta) -> None:
        """Let time pass."""
        self.world.metrics.observe()
        self.world.clock.pass_time(span)

    def deliver(self, event: dict[str, Any]) -> None:
        """Have an event arrive."""
        self.attempt(lambda: self.world.react.react(event))

    # What happens

    @initialize(
        start=st.sampled_from(["nothing", "ours", "ours", "theirs", "theirs too"]),
        strategies=strategies,
        until=phases,
    )
    def begin(self, start: str, strategies: list[tuple[str, ...]], until: Phase) -> None:
        """An endpoint is there, or not; Signalbox's or somebody's; and a model is registered."""
        self.world = World(written(strategies))
        self.rules = Rules(self.world, self.interrupt)
        if start in ("ours", "theirs too"):
            self.register("all-at-once", "plain")
            self.settle()
        if start == "theirs":
            self.world.workspaces.endpoints[KEY] = Endpoint(
                name=ENDPOINT, state=State.SUCCEEDED, auth_mode="key"
            )
            self.world.workspaces.deployments[KEY] = {}
        if start.startswith("theirs"):
            self.rules.their_tags = {"team": "churn"}
            found = self.world.workspaces.endpoints[KEY]
            self.world.workspaces.endpoints[KEY] = replace(
                found, tags={**found.tags, **self.rules.their_tags}
            )
            self.somebody("makes a deployment", 0)
        if start == "theirs":
            self.somebody("gives one all", 0)
        self.register("r0", "taking")
        self.reach(until)

    def register(self, strategy: str, how: str, step: int = 1) -> None:
        """Somebody registers a model."""
        self.versions = max(self.versions + step, 1)
        tags = {"deploy": how, "signalbox_rollout": strategy}
        event = self.world.register("churn", str(self.versions), **tags)
        self.events.append(event)
        self.deliver(event)

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
        self.register(strategy, how, step)
        self.reach(until)
        self.go_on(then, soon)

    @precondition(lambda self: self.versions)
    @rule(back=st.integers(0, 2), is_doubled=st.booleans(), until=phases)
    def shift(self, back: int, is_doubled: bool, until: Phase) -> None:
        """A run says to which version all traffic is to go; or an earlier event comes again."""
        if not is_doubled:
            number, time = len(self.events), self.world.clock.now()
            tags = {"to": str(max(self.versions - back, 1))}
            self.events.append(run_completed(f"run-{number}", time, f"run-{number}", tags))
        self.deliver(self.events[-1 - is_doubled * back % len(self.events)])
        self.reach(until)

    def go_on(self, times: int, soon: list[Happening] | None = None) -> None:
        """Let time pass to what is due next, so many times, and do that; `soon` happens within."""
        self.soon = soon or []
        for _ in range(times):
            self.hand_out()
            if waiting := self._waiting():
                self.let_pass(max(waiting - self.world.clock.now(), timedelta(0)))
        self.hand_out()
        self.soon = []

    def reach(self, phase: Phase) -> None:
        """Go on until a rollout stands there, or for a while."""
        for _ in range(25):
            self.hand_out()
            found = [one for one in self.rules.rollouts() if one.phase is phase]
            waiting = self._waiting()
            if found or waiting is None:
                self.at = found[-1].id if found else self.at
                return
            self.let_pass(max(waiting - self.world.clock.now(), timedelta(0)))

    def rollout(self, pick: int) -> Rollout:
        """Return the rollout that was gone on with, or another one."""
        found = self.rules.rollouts()
        at = [one for one in found if one.id == self.at]
        return at[0] if at and pick < 4 else found[-1 - pick % len(found)]

    @rule(until=phases, times=turns, soon=disturbances)
    def go_on_disturbed(self, until: Phase, times: int, soon: list[Happening]) -> None:
        """It is gone on, and something happens within the requests."""
        self.reach(until)
        self.go_on(times, soon)

    @rule(span=spans, is_swept=st.booleans())
    def pass_time(self, span: timedelta, is_swept: bool) -> None:
        """Time passes, more than was waited for."""
        self.let_pass(span)
        self.hand_out()
        if is_swept:
            self.attempt(self.world.sweep.run)

    def hand_out(self, *, is_reversed: bool = False) -> None:
        """Hand out what is due, and what was not taken."""
        tasks, self.pending = self.pending, []
        for task in tasks:
            task()
        texts = self.world.queues.take(advance.QUEUE)
        self.handed = [*self.handed, *texts][-20:]
        for text in reversed(texts) if is_reversed else texts:
            self.advance(text)
        for text in self.world.queues.take(dead_letters.QUEUE):
            self.attempt(lambda text=text: self._replay(text))

    @rule(how=st.sampled_from(["lost", "lost", "doubled", "reversed", "old"]), pick=picks)
    def hand_out_oddly(self, how: str, pick: int) -> None:
        """What is due is lost, or handed out twice, or the last first; or what was due before."""
        if how == "reversed":
            self.hand_out(is_reversed=True)
        elif how == "old" and self.handed:
            text = self.handed[-1 - pick % len(self.handed)]
            self.advance(text, redelivered=bool(pick % 2))
        elif how != "old":
            for text in self.world.queues.take(advance.QUEUE) * 2:
                if how == "doubled":
                    self.advance(text, redelivered=True)

    def _replay(self, text: str) -> None:
        letter = self.world.letters.due(text, redelivered=True)
        if letter is not None:
            self.world.react.replay(letter)

    @precondition(lambda self: self.rules.rollouts())
    @rule(until=phases, kind=orders, pick=picks, soon=disturbances, then=turns)
    def tell(
        self, until: Phase, kind: OrderKind, pick: int, soon: list[Happening], then: int
    ) -> None:
        """A person tells a rollout something."""
        self.reach(until)
        self.order(kind, self.rollout(pick), to_end=bool(pick % 2))
        self.go_on(then, soon)

    def order(self, kind: OrderKind, rollout: Rollout, *, to_end: bool = False) -> None:
        """Tell a rollout something, possible or not."""
        order = Order(kind=kind, by="mia", why="so it is", at=self.world.clock.now(), to_end=to_end)
        try:
            self.rules.tick("", lambda: self.world.rollouts.order(rollout, order) and None)
        except (OrderImpossible, Killed, StorageUnavailable):
            return

    @rule(until=phases, deed=st.sampled_from(DEEDS), pick=picks, soon=disturbances, then=turns)
    def somebody_does(
        self, until: Phase, deed: str, pick: int, soon: list[Happening], then: int
    ) -> None:
        """Somebody else does something at the endpoint."""
        self.reach(until)
        self.somebody(deed, pick)
        self.go_on(then, soon)

    def somebody(self, deed: str, pick: int) -> None:
        """Do something at the endpoint; as anybody can, only while no operation runs."""
        there, endpoint = self.rules.deployments(), self.rules.endpoint()
        if endpoint is None or not endpoint.state.is_settled:
            return
        if not all(found.state.is_settled for found in there.values()):
            return
        names = sorted(there)
        name = names[pick % len(names)] if names else ""
        other = names[(pick + 1) % len(names)] if names else ""
        self.deeds += 1
        try:
            self._do(deed, name, other)
        except WorkspaceRefused:
            return
        if name in self.rules.theirs and name in self.rules.deployments():
            self.rules.theirs[name] = self.rules.deployments()[name]

    def _do(self, deed: str, name: str, other: str) -> None:
        workspaces, there = self.world.workspaces, self.rules.deployments()
        where = (WORKSPACE, ENDPOINT)
        match deed:
            case "makes a deployment":
                name = f"blue-{self.deeds}"
                there[name] = self.rules.theirs[name] = Deployment(
                    name=name,
                    state=State.SUCCEEDED,
                    model=f"{WORKSPACE.id}/models/theirs/versions/1",
                    instance_count=2,
                )
            case "deletes the endpoint":
                workspaces.endpoints.pop(KEY)
                workspaces.deployments.pop(KEY)
                self.rules.theirs.clear()
                self.rules.their_tags.clear()
            case _ if not name:
                return
            case "splits it":
                self._split({name: 37, other: 63} if name != other else {name: 100})
            case "gives one all":
                self._split({name: 100})
            case "gives none any":
                self._split({})
            case "mirrors":
                traffic, _ = self.rules.split()
                self._split(traffic, {name: 7})
            case "deletes a deployment":
                workspaces.remove_deployment(*where, name)
                self.rules.theirs.pop(name, None)
            case "scales a deployment":
                workspaces.scale(*where, name, 1 + self.deeds % 3)
            case "fails a deployment":
                workspaces.fail_deployment(*where, name)
            case "mends a deployment":
                there[name] = replace(there[name], state=State.SUCCEEDED)

    def _split(self, traffic: dict[str, int], mirror: dict[str, int] | None = None) -> None:
        self.world.workspaces.change_traffic(WORKSPACE, ENDPOINT, traffic, mirror=mirror or {})
        self.rules.changed_by_somebody()

    @rule(
        takes=st.sampled_from([0, 0, 1, 9, 80]).map(lambda m: timedelta(minutes=m)),
        is_stuck=st.sampled_from([False, False, True]),
        cores=st.sampled_from([None, None, 40, 12]),
    )
    def change_the_service(self, takes: timedelta, is_stuck: bool, cores: int | None) -> None:
        """The service takes longer, does not take traffic, has fewer cores, or is well."""
        behaviour = self.world.workspaces.behaviour
        behaviour.takes = takes
        behaviour.stuck_traffic = ("InternalServerError", "not updated") if is_stuck else None
        behaviour.capacity = (
            None if cores is None else Capacity(family="f", cores=4, used=0, limit=cores)
        )

    @precondition(lambda self: self.rules.rollouts())
    @rule(pick=picks, how=st.sampled_from(["crashes", "answers badly", "is slow", "errs", "well"]))
    def change_a_version(self, pick: int, how: str) -> None:
        """A new version is no good, or is from now on, or not any more."""
        name = self.rollout(pick).deployment
        behaviour = self.world.workspaces.behaviour
        behaviour.broken.pop(name, None)
        behaviour.scores.pop(name, None)
        self.world.metrics.behave(name, Behaviour())
        if how == "crashes":
            behaviour.broken[name] = ("ResourceNotReady", "User container has crashed")
        elif how == "answers badly":
            behaviour.scores[name] = Score(status=424, model_status=500, body=b"boom")
        elif how == "is slow":
            self.world.metrics.behave(name, Behaviour(latency_ms=200))
        elif how == "errs":
            self.world.metrics.behave(name, Behaviour(error_rate=0.2))

    @rule(
        how=st.sampled_from(["down", "denied", "late", "idle", "well", "well"]),
        is_deaf=st.booleans(),
    )
    def change_what_is_told(self, how: str, is_deaf: bool) -> None:
        """Metrics can't be read, come late, there are none; the channel takes no messages."""
        channels = self.world.channels
        (channels.make_down if is_deaf else channels.make_well)("team")
        metrics = self.world.metrics
        metrics.unavailable = {
            "down": WorkspaceUnreachable("no answer"),
            "denied": WorkspaceDenied("no right"),
        }.get(how)
        metrics.lag = timedelta(minutes=4) if how == "late" else timedelta(0)
        metrics.rate = 0.0 if how == "idle" else 600.0

    # What holds

    @invariant()
    def holds(self) -> None:
        """Whatever must always hold holds."""
        self.rules.check()

    # The end

    def _waiting(self) -> Any:
        """Return when the next message is due, or None."""
        queues = self.world.queues
        found = [*queues.waiting(advance.QUEUE), *queues.waiting(dead_letters.QUEUE)]
        return min(found)[0] if found else None

    def settle(self) -> None:
        """Hand out what is due, and let time pass to the next, until there is none."""
        for turn in range(1_000):
            if turn % 20 == 19:
                self.world.sweep.run()
            self.hand_out()
            self.rules.check()
            waiting = self._waiting()
            if waiting is None and not self.pending:
                return
            if waiting is not None:
                self.let_pass(max(waiting - self.world.clock.now(), timedelta(0)))
        left = [words(one) for one in self.rules.rollouts() if one.is_open]
        raise AssertionError("\n".join(left))

    def heal(self) -> None:
        """Make all well: what was changed by somebody stays."""
        self.soon.clear()
        self.change_the_service(timedelta(0), False, None)
        behaviour = self.world.workspaces.behaviour
        behaviour.broken.clear()
        behaviour.scores.clear()
        self.change_what_is_told("well", False)
        self.world.metrics.behave("*", Behaviour())

    def teardown(self) -> None:
        """Let everything come to rest, and look whether all of it did."""
        self.heal()
        for number, rollout in enumerate(self.rules.rollouts()):
            if rollout.phase in (Phase.HELD, Phase.APPROVING):
                kinds = (OrderKind.RESUME, OrderKind.ABORT, OrderKind.APPROVE)
                self.order(kinds[number % len(kinds)], rollout)
        self.settle()
        for letter in self.world.letters.all(LetterStatus.PARKED):
            self.attempt(lambda letter=letter: self.world.letters.reopen(letter) and None)
        for _ in range(3):
            self.settle()
            self.let_pass(LONGEST)
            self.world.sweep.run()
        self.settle()
        self.check_rest()

    def check_rest(self) -> None:
        """Every rollout has ended, nothing of it is left, and it is on record."""
        now = self.world.clock.now()
        for rollout in self.rules.rollouts():
            assert rollout.phase.is_terminal, words(rollout)
            assert not rollout.is_open
            assert rollout.busy_until is None or rollout.busy_until <= now
            self.check_gone(rollout)
            self.check_told(rollout)
        assert self.world.tables.get(TABLE, endpoint_key(WORKSPACE, ENDPOINT), "lock") is None
        letters = self.world.all_letters()
        assert [one for one in letters if one.status is LetterStatus.WAITING] == []
        parked = [one for one in letters if one.status is LetterStatus.PARKED]
        assert {one.code for one in parked} <= {ParamsInvalid.code}
        self.check_records()

    def check_gone(self, rollout: Rollout) -> None:
        """Of what was rolled back nothing is left, but where that was said."""
        if rollout.phase is not Phase.ROLLED_BACK or not rollout.plan.creates:
            return
        if "could not be deleted" not in rollout.reason:
            assert rollout.deployment not in self.rules.deployments()

    def check_told(self, rollout: Rollout) -> None:
        """What became of it was told."""
        said = {Phase.DONE: "is live on churn", Phase.ROLLED_BACK: "was rolled back on churn"}
        if "stays" in rollout.reason:
            said[Phase.ROLLED_BACK] = "on churn needs a look"
        if rollout.phase in said and not rollout.untold and not rollout.attempt:
            title = f"{rollout.model.words} {said[rollout.phase]}"
            assert title in self.world.told(), words(rollout)

    def check_records(self) -> None:
        """Every event has an outcome on record, which is that of its rollout."""
        outcomes = {}
        for row in self.world.rows(records.TABLE):
            for name, item in json.loads(str(row.values["outcomes"])).items():
                outcomes[str(row.values["id"]), name] = outcome_from(item)
        assert {event["id"] for event in self.events} <= {key for key, _ in outcomes}
        for outcome in outcomes.values():
            assert outcome.status is not OutcomeStatus.WAITING, outcome
        for rollout in self.rules.rollouts():
            outcome = outcomes[rollout.ref.id, rollout.reaction_step]
            assert outcome.status in TERMINAL_OUTCOMES[rollout.phase], words(rollout)
            assert outcome.rollout == rollout.id


# Of the examples of one search Hypothesis makes most by changing a little in others: many short
# searches see more than a long one.
@pytest.mark.parametrize("search", range(12))
def test_whatever_happens_traffic_is_where_it_should_be_and_every_rollout_ends(search: int) -> None:
    class Machine(RolloutsMachine):
        """One of its own for each search: they begin at different places."""

    machine = seed(search)(Machine) if settings.default.derandomize else Machine
    run_state_machine_as_test(
        machine, settings=settings(max_examples=8, stateful_step_count=15, derandomize=False)
    )
