"""Traffic moves between deployments that are there, by the steps and gates of a rollout."""

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from shared.journal.letters import LetterStatus
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.twins.metrics import MetricsBehaviour
from shared.workspaces.model import DeploymentSpec, Endpoint, EndpointKind, RunRecord
from tests.stories.kill import Kill, Ports, kill_at_every_call, live_through
from tests.stories.world import (
    REACTIONS,
    WORKSPACE,
    World,
    model_registered,
    run_completed,
    run_status_changed,
)

ALERT = Path(__file__).parent.parent / "events" / "alert_fired.metric.json"
BAD = MetricsBehaviour(error_rate=0.2)
#: A strategy of two splits, without metrics; what it says of conflicts is put in.
CAREFUL = """
rollouts:
  careful:
    steps: [{{traffic: 50%}}, {{hold: 1h}}, {{traffic: 100%}}]
    on_conflict: {}
"""


class Shifts(World):
    """A world in which somebody has made blue and green, and blue serves."""

    def __init__(
        self, values: str, *, more: str = "", on: str = "RunCompleted", when: str = "`true`"
    ) -> None:
        """Have a reaction `shift` with these values of the action; `more` follows in the file."""
        shift = f"""
  - name: shift
    on: {on}
    when: {json.dumps(when)}
    do:
      - shift_traffic: {{notify: [team], {values}}}
"""
        super().__init__(REACTIONS + shift + more)
        self.splits: list[Mapping[str, int]] = []
        self.workspaces.before = self._see
        self.make("churn", "blue", "green")
        self.workspaces.change_traffic(WORKSPACE, "churn", {"blue": 100})
        self.workspaces.behaviour.takes = timedelta(seconds=40)
        self.metrics.rate = 6000
        self.metrics.observe()
        self.clock.pass_time(timedelta(hours=1))

    def make(self, name: str, *deployments: str, kind: EndpointKind = EndpointKind.MANAGED) -> None:
        """Make an endpoint by hand; its deployments have versions 1, 2 and so on of model churn."""
        auth_mode = "aad_token" if kind is EndpointKind.BATCH else "key"
        self.workspaces.create_endpoint(
            WORKSPACE, name, auth_mode=auth_mode, tags={"team": "risk"}, kind=kind
        )
        for version, deployment in enumerate(deployments, start=1):
            self.workspaces.get_endpoint(WORKSPACE, name, kind=kind)
            spec = DeploymentSpec(
                model_id=f"{WORKSPACE.id}/models/churn/versions/{version}",
                instance_type="Standard_DS3_v2",
                instance_count=1,
                kind=kind,
            )
            self.workspaces.create_deployment(WORKSPACE, name, deployment, spec)

    def _see(self, request: str) -> None:
        """Take note of every split that an endpoint is seen with, as its metrics do."""
        self.metrics.observe()
        for endpoint in self.workspaces.endpoints.values():
            if self.splits[-1:] != [endpoint.traffic] and endpoint.name == "churn":
                self.splits.append(endpoint.traffic)

    def happen(self, event_id: str = "event-a", **tags: str) -> None:
        """Have a run complete."""
        self.react.react(self.complete(event_id, event_id, tags))

    def shift_to(self, phase: Phase, step: int = -1) -> Rollout:
        """Let the only shift come to a phase, at a step of its strategy; return it."""

        def is_there() -> bool:
            rollout = self.shift()
            return rollout.phase is phase and step in (-1, rollout.step)

        self.settle(until=is_there)
        assert is_there()
        return self.shift()

    def shift(self) -> Rollout:
        """Return the only rollout that moves what is there."""
        (found,) = (rollout for rollout in self.all_rollouts() if not rollout.plan.creates)
        return found

    def say(self, kind: OrderKind) -> None:
        """Give the shift an order."""
        order = Order(kind=kind, by="ada", why="because", at=self.clock.now())
        self.rollouts.order(self.shift(), order)

    def is_shifted(self) -> Outcome:
        """Return what came of the action, for the only event that it was done for."""
        return self.outcome("shift/shift_traffic")

    def made(self) -> Endpoint:
        """Return endpoint churn."""
        return self.workspaces.endpoints[WORKSPACE.key, "churn"]


CANARY = "endpoint: churn, split: {blue: 80%, green: 20%}, rollout: canary"


def test_traffic_goes_by_the_steps_of_the_strategy_to_the_split_that_is_wanted() -> None:
    world = Shifts(CANARY)
    world.happen()
    assert world.is_shifted().status is OutcomeStatus.WAITING
    assert world.is_shifted().detail == "rollout of blue 80%, green 20% on churn"
    world.settle()
    assert world.splits[1:] == [
        {"blue": 100},
        {"blue": 98, "green": 2},
        {"blue": 90, "green": 10},
        {"blue": 80, "green": 20},
    ]
    assert world.shift().phase is Phase.DONE
    assert world.is_shifted().status is OutcomeStatus.DONE
    assert world.is_shifted().rollout == world.shift().id
    assert world.told() == [
        "churn 2: shift of traffic started on churn",
        "churn 2 is live on churn",
    ]
    assert set(world.deployments()) == {"blue", "green"}, "nothing is made and nothing deleted"


def test_an_endpoint_that_somebody_made_is_not_marked_as_signalbox_s() -> None:
    world = Shifts(CANARY)
    world.happen()
    world.settle()
    assert world.made().tags == {"team": "risk"}


def test_an_endpoint_that_signalbox_made_says_what_serves() -> None:
    world = Shifts("endpoint: fraud, to_version: '1'")
    world.react.react(world.register("fraud", "1"))
    world.settle()
    world.react.react(world.register("fraud", "2"))
    world.settle(until=lambda: world.told()[-1] == "fraud 2 is live on fraud")
    assert world.serving("fraud") == "2"
    world.happen()
    world.settle()
    assert world.serving("fraud") == "1"
    tags = world.workspaces.endpoints[WORKSPACE.key, "fraud"].tags
    assert (tags["signalbox_model"], tags["signalbox_version"]) == ("fraud", "1")
    assert tags["signalbox_deployment"] in world.deployments("fraud")
    assert sorted(world.deployments("fraud").values()) == ["1", "2"], "what serves is kept"


def test_a_gate_that_fails_gives_back_the_split_that_was_found() -> None:
    world = Shifts("endpoint: churn, to: green, rollout: canary")
    found = {"blue": 70, "green": 30}
    world.workspaces.change_traffic(WORKSPACE, "churn", found)
    world.metrics.observe()
    world.clock.pass_time(timedelta(hours=1))
    world.happen()
    world.shift_to(Phase.HOLDING, 4)
    assert world.endpoint() == {"blue": 35, "green": 65}
    world.metrics.behave("green", BAD)
    world.settle()
    assert world.endpoint() == found
    assert world.shift().phase is Phase.ROLLED_BACK
    assert "gate error_rate" in world.shift().reason
    assert (world.is_shifted().status, world.is_shifted().code) == (
        OutcomeStatus.FAILED,
        "rollout.rolled_back",
    )
    assert world.told()[-1] == "churn 2 was rolled back on churn"
    assert set(world.deployments()) == {"blue", "green"}, "what it did not make it does not delete"


def test_what_steps_down_goes_by_the_splits_that_it_came_by_and_tells_why() -> None:
    down = "\nrollouts:\n  down: {based_on: canary, on_failure: step_down}\n"
    world = Shifts("endpoint: churn, split: {green: 80%, blue: 20%}, rollout: down", more=down)
    world.happen()
    world.shift_to(Phase.HOLDING, 4)
    world.metrics.behave("green", BAD)
    world.settle()
    assert world.splits[1:] == [
        {"blue": 100},
        {"blue": 92, "green": 8},
        {"blue": 60, "green": 40},
        {"blue": 92, "green": 8},
        {"blue": 100},
    ]
    assert "gate error_rate" in world.shift().reason
    assert "gate error_rate" in world.channels.sent[-1].text


def test_a_shift_that_was_rolled_back_can_be_tried_again() -> None:
    world = Shifts("endpoint: churn, to: green, rollout: canary")
    world.happen()
    world.shift_to(Phase.HOLDING, 4)
    world.metrics.behave("green", BAD)
    world.settle()
    world.metrics.behave("green", MetricsBehaviour())
    world.clock.pass_time(timedelta(hours=1))
    world.say(OrderKind.RETRY)
    world.settle()
    assert world.endpoint() == {"green": 100}
    assert world.is_shifted().status is OutcomeStatus.DONE


@pytest.mark.parametrize(
    ("policy", "phase", "split"),
    [
        ("adopt", Phase.DONE, {"green": 100}),
        ("abort", Phase.ROLLED_BACK, {"blue": 100}),
    ],
)
def test_a_split_that_somebody_else_sets_is_adopted_or_undone_as_the_strategy_says(
    policy: str, phase: Phase, split: Mapping[str, int]
) -> None:
    values = "endpoint: churn, to: green, rollout: careful"
    world = Shifts(values, more=CAREFUL.format(policy))
    world.happen()
    world.shift_to(Phase.HOLDING)
    world.workspaces.change_traffic(WORKSPACE, "churn", {"blue": 20, "green": 80})
    world.settle()
    assert world.shift().phase is phase
    assert world.endpoint() == split


@pytest.mark.parametrize(
    ("order", "phase", "split"),
    [
        (OrderKind.RESUME, Phase.DONE, {"green": 100}),
        (OrderKind.ABORT, Phase.ROLLED_BACK, {"blue": 100}),
    ],
)
def test_a_split_that_somebody_else_sets_has_a_person_decide(
    order: OrderKind, phase: Phase, split: Mapping[str, int]
) -> None:
    values = "endpoint: churn, to: green, rollout: careful"
    world = Shifts(values, more=CAREFUL.format("hold"))
    world.happen()
    world.shift_to(Phase.HOLDING)
    world.workspaces.change_traffic(WORKSPACE, "churn", {"blue": 20, "green": 80})
    world.shift_to(Phase.HELD)
    assert world.endpoint() == {"blue": 20, "green": 80}
    assert "was changed by someone to green 80%, blue 20%" in world.shift().reason
    world.say(order)
    world.settle()
    assert world.shift().phase is phase
    assert world.endpoint() == split


def test_an_abort_gives_back_the_split_that_was_found() -> None:
    values = "endpoint: churn, to: green, rollout: careful"
    world = Shifts(values, more=CAREFUL.format("hold"))
    world.happen()
    world.shift_to(Phase.HOLDING)
    assert world.endpoint() == {"blue": 50, "green": 50}
    world.say(OrderKind.ABORT)
    world.settle()
    assert world.endpoint() == {"blue": 100}
    assert world.is_shifted().code == "rollout.aborted"


def test_a_deployment_that_is_not_well_is_given_no_traffic() -> None:
    world = Shifts("endpoint: churn, to: green")
    world.workspaces.fail_deployment(WORKSPACE, "churn", "green")
    world.happen()
    world.settle()
    assert world.shift().phase is Phase.REFUSED
    assert world.splits[-1] == {"blue": 100}
    assert world.is_shifted().code == "rollout.refused"
    assert "deployment green is Failed, and can't be given traffic" in world.is_shifted().detail


def test_a_deployment_that_is_being_changed_is_waited_for() -> None:
    world = Shifts("endpoint: churn, to: green")
    world.workspaces.scale_deployment(WORKSPACE, "churn", "green", 2)
    world.happen()
    world.settle()
    assert world.endpoint() == {"green": 100}


def test_a_deployment_that_keeps_being_changed_is_given_up() -> None:
    world = Shifts("endpoint: churn, to: green, timeout: 20m")
    world.workspaces.behaviour.takes = timedelta(hours=2)
    world.workspaces.scale_deployment(WORKSPACE, "churn", "green", 2)
    world.happen()
    world.settle()
    assert world.shift().phase is Phase.REFUSED
    assert "deployment green is Updating" in world.is_shifted().detail


def test_the_default_deployment_of_a_batch_endpoint_is_switched() -> None:
    world = Shifts("endpoint: nightly, kind: batch, to: second")
    world.workspaces.behaviour.takes = timedelta(0)
    world.make("nightly", "first", "second", kind=EndpointKind.BATCH)
    world.workspaces.change_traffic(WORKSPACE, "nightly", {"first": 100}, kind=EndpointKind.BATCH)
    world.happen()
    world.settle()
    assert world.workspaces.endpoints[WORKSPACE.key, "batch/nightly"].traffic == {"second": 100}
    assert world.is_shifted().status is OutcomeStatus.DONE


def test_a_shift_waits_for_the_rollout_that_has_the_endpoint() -> None:
    values = "endpoint: churn, to: '${{ run.tags.to }}', allow: {to: ['*']}, rollout: careful"
    world = Shifts(values, more=CAREFUL.format("hold"))
    world.happen("event-a", to="green")
    world.settle(until=lambda: world.shift().phase is Phase.HOLDING)
    world.happen("event-b", to="blue")
    second = world.all_rollouts()[-1]
    world.clock.pass_time(timedelta(minutes=10))
    for message in world.queues.take("rollouts"):
        world.rollouts.advance(message)
    assert world.endpoint() == {"blue": 50, "green": 50}
    assert {r.id: r.phase for r in world.all_rollouts()}[second.id] is Phase.QUEUED
    world.settle()
    assert [rollout.phase for rollout in world.all_rollouts()] == [Phase.DONE] * 2
    assert world.splits[-4:] == [
        {"blue": 50, "green": 50},
        {"green": 100},
        {"green": 50, "blue": 50},
        {"blue": 100},
    ]


def test_a_split_that_is_in_force_needs_no_rollout() -> None:
    world = Shifts("endpoint: churn, to: Blue")
    world.happen()
    assert world.all_rollouts() == []
    assert world.is_shifted().status is OutcomeStatus.DONE
    assert world.is_shifted().detail == "the endpoint has this split already: blue 100%"


def test_a_split_that_another_rollout_is_about_to_change_is_set_again_after_it() -> None:
    values = "endpoint: churn, to: '${{ run.tags.to }}', allow: {to: ['*']}, rollout: careful"
    world = Shifts(values, more=CAREFUL.format("hold"))
    world.happen("event-a", to="green")
    assert world.endpoint() == {"blue": 100}, "it has not begun yet"
    world.happen("event-b", to="blue")
    world.settle()
    assert len(world.all_rollouts()) == 2
    assert world.endpoint() == {"blue": 100}


def test_an_alert_about_one_deployment_gives_its_traffic_to_another() -> None:
    world = Shifts("endpoint: '${{ alert.endpoint }}', to: blue", on="AlertFired")
    world.workspaces.change_traffic(WORKSPACE, "churn", {"green": 100})
    raw = json.loads(ALERT.read_text())
    raw["data"]["essentials"]["firedDateTime"] = world.clock.now().isoformat()
    raw["data"]["essentials"]["alertTargetIDs"] = [
        f"{WORKSPACE.id}/onlineEndpoints/churn/deployments/green".lower()
    ]
    world.react.react(raw)
    world.settle()
    assert world.endpoint() == {"blue": 100}


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("red", "the endpoint has no deployment red"),
        ("../../x", "`to`: name a deployment"),
        ("", "`to`: name a deployment"),
        ("blue?api-version=1", "`to`: name a deployment"),
    ],
)
def test_what_a_tag_names_moves_nothing_unless_it_is_there(to: str, told: str) -> None:
    world = Shifts("endpoint: churn, to: '${{ run.tags.to }}', allow: {to: ['*']}")
    world.happen(to=to)
    world.settle()
    (letter,) = world.all_letters()
    assert letter.status is LetterStatus.PARKED
    assert told in letter.reason
    assert world.endpoint() == {"blue": 100}
    assert world.all_rollouts() == []


def test_an_endpoint_that_is_not_there_is_not_made() -> None:
    world = Shifts("endpoint: '${{ run.tags.endpoint }}', to: blue, allow: {endpoint: [fraud-*]}")
    world.happen(endpoint="../fraud")
    (letter,) = world.all_letters()
    assert "there is no endpoint fraud-" in letter.reason
    assert len(world.workspaces.endpoints) == 1


@pytest.mark.parametrize(
    ("values", "tags"),
    [
        ("endpoint: '${{ run.tags.e }}', to: green, allow: {endpoint: ['a-*']}", {"e": "churn"}),
        ("endpoint: churn, to: '${{ run.tags.to }}', allow: {to: ['blue*']}", {"to": "green"}),
        (
            "endpoint: churn, to_version: '${{ run.properties.v || run.tags.v }}',"
            " allow: {to_version: ['7?']}",
            {"v": "2"},
        ),
        ("endpoint: churn, to: '${{ run.*.to | [0] }}'", {"to": "green"}),
        ("endpoint: churn, to: '${{ values(run)[?to].to | [0] }}'", {"to": "green"}),
        ("endpoint: churn, to: '${{ run.\"t\\u0061gs\".to }}', allow: {to: [b*]}", {"to": "green"}),
        ("endpoint: churn, split: '${{ run.tags }}', allow: {to: [blue]}", {"green": "100%"}),
        ("endpoint: churn, split: '${{ run.* | [?green] | [0] }}'", {"green": "100%"}),
        (
            "endpoint: churn, split: {blue: '${{ run.tags.b }}', green: '${{ run.tags.g }}'},"
            " allow: {to: [blue]}",
            {"b": "0%", "g": "100%"},
        ),
        (
            "endpoint: churn, split: {blue: '${{ run.*.b | [0] }}', green: '${{ run.*.g | [0] }}'}",
            {"b": "0%", "g": "100%"},
        ),
        (
            "endpoint: churn, to: green, rollout: '${{ run.tags.r }}', allow: {rollout: [canary]}",
            {"r": "all-at-once"},
        ),
        (
            "endpoint: churn, to: green, probe: {request: '${{ run.*.p | [0] }}'}",
            {"p": "golden/churn.json"},
        ),
    ],
)
def test_a_tag_chooses_only_what_the_reaction_allows(values: str, tags: dict[str, str]) -> None:
    world = Shifts(values)
    world.happen(**tags)
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "deploy.tag_forbidden")
    assert world.endpoint() == {"blue": 100}
    assert world.all_rollouts() == []


@pytest.mark.parametrize("when", ["run.is_root", "run.root_id == run.id", "run.step == ''"])
def test_the_end_of_a_step_whose_event_does_not_say_so_moves_no_traffic(when: str) -> None:
    world = Shifts("endpoint: churn, to: green", when=when)
    step = RunRecord(id="run-1", status="Completed", root_id="run-0", parent_id="run-0", step="x")
    world.workspaces.add_run(WORKSPACE, step)
    world.react.react(run_completed("event-a", world.clock.now()))
    world.settle()
    assert world.is_shifted().code == "superseded"
    assert world.endpoint() == {"blue": 100}


@pytest.mark.parametrize("on", ["RunCompleted", "RunStatusChanged", "ModelRegistered"])
def test_an_event_about_nothing_that_is_there_moves_no_traffic(on: str) -> None:
    world = Shifts("endpoint: churn, to: green", on=on)
    now = world.clock.now()
    forged = {
        "RunCompleted": lambda: run_completed("event-a", now, "no-such-run", {}),
        "RunStatusChanged": lambda: run_status_changed("event-a", now, "Failed"),
        "ModelRegistered": lambda: model_registered("event-a", now, "no-such-model", "1"),
    }[on]()
    world.react.react(forged)
    world.settle()
    assert world.is_shifted().code == "superseded"
    assert world.endpoint() == {"blue": 100}
    assert world.all_rollouts() == []


def test_a_run_that_has_other_tags_by_now_moves_no_traffic() -> None:
    world = Shifts("endpoint: churn, to: green", when="run.tags.go == 'yes'")
    event = world.complete("event-a", "run-a", {"go": "yes"})
    world.complete("event-b", "run-a", {"go": "no"})
    world.react.react(event)
    world.settle()
    assert world.is_shifted().code == "superseded"
    assert world.endpoint() == {"blue": 100}
    assert world.all_rollouts() == []


def test_a_deployment_that_goes_while_it_waits_is_told() -> None:
    world = Shifts("endpoint: churn, to: green")
    world.happen()
    world.workspaces.remove_deployment(WORKSPACE, "churn", "green")
    world.settle()
    assert world.shift().phase is Phase.REFUSED
    assert "deployment green is not there" in world.is_shifted().detail


def test_a_golden_request_that_the_app_lacks_is_told_before_anything_moves() -> None:
    world = Shifts("endpoint: churn, to: green, probe: {request: golden/none.json}")
    world.happen()
    (letter,) = world.all_letters()
    assert letter.status is LetterStatus.PARKED
    assert "golden/none.json" in letter.reason
    assert world.all_rollouts() == []


def test_killed_at_any_call_each_split_of_a_rollout_is_reached_once() -> None:
    def live(kill_at: Kill) -> tuple[Shifts, Ports]:
        world = Shifts("endpoint: churn, to: green, rollout: careful", more=CAREFUL.format("hold"))
        ports = Ports(world)
        ports.kill_at = kill_at
        live_through(world, world.complete("event-a", "run-a", {}))
        return world, ports

    def expect_split_once(world: Shifts, _: Ports) -> None:
        assert world.shift().phase is Phase.DONE
        outcome = world.is_shifted()
        assert (outcome.status, outcome.rollout) == (OutcomeStatus.DONE, world.shift().id)
        assert world.splits[1:] == [{"blue": 100}, {"blue": 50, "green": 50}, {"green": 100}]

    kill_at_every_call(live, expect_split_once, at_least=20)
