"""Reactions that set one another off: the chain ends, people are told of it, and it shows why."""

from typing import Any

import pytest

from shared.base.errors import ChainTooLong, WorkspaceDenied, WorkspaceUnreachable
from shared.events.causes import EventCause, cause_in, tags_of_cause
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import Event, RunCompleted
from shared.flow.chains import Chains
from shared.journal.outcomes import OutcomeStatus
from shared.reactions.load import load_reactions
from shared.reactions.match import match
from shared.reactions.model import Reaction
from shared.workspaces.model import RunRecord
from tests.stories.world import WORKSPACE, World, model_registered, run_completed

RULES = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team, ops]
chain_limit: 3
reactions:
  - name: register-what-is-trained
    on: RunCompleted
    when: run.is_root
    do:
      - register: {{name: churn}}
  - name: deploy-what-is-registered
    on: ModelRegistered
    do:
      - deploy:
          endpoint: ${{{{ model.name }}}}
          instance_type: Standard_DS3_v2
          notify: [team, ops]
  - name: tell-new-models
    on: ModelRegistered
    do:
      - notify:
          channel: team
          title: "${{{{ model.name }}}} by ${{{{ cause.reaction }}}}, ${{{{ cause.depth }}}}"
"""
STEP = "deploy-what-is-registered/deploy"


def tags_at(depth: int, reaction: str = "train-again") -> dict[str, str]:
    """Return the tags of what the reaction at this place of a chain makes."""
    return {"signalbox_reaction": reaction, "signalbox_depth": str(depth)}


def registered(world: World, version: str, tags: dict[str, str]) -> dict[str, Any]:
    """Register a model with tags, and return its event."""
    world.workspaces.register(WORKSPACE, "churn", version, tags=tags)
    return model_registered(f"event-{version}", world.clock.now(), "churn", version, tags)


def test_what_a_reaction_makes_shows_which_one_it_was_and_how_many_lie_behind_it() -> None:
    world = World(RULES)
    world.react.react(world.complete("e1", "run-1", tags_at(1)))
    (found,) = world.workspaces.find_models(WORKSPACE, "churn", {"signalbox_depth": "2"})
    assert found.tags["signalbox_reaction"] == "register-what-is-trained"
    event = model_registered("e2", world.clock.now(), "churn", found.version, dict(found.tags))
    world.react.react(event)
    assert "churn by register-what-is-trained, 2" in world.told()
    world.settle()
    (deployment,) = world.workspaces.deployments[WORKSPACE.key, "churn"].values()
    assert cause_in(deployment.tags) == EventCause(reaction="deploy-what-is-registered", depth=3)


def test_a_chain_as_long_as_the_limit_ends_and_each_channel_is_told_once_a_day() -> None:
    world = World(RULES)
    for version in ("1", "2", "3"):
        world.react.react(registered(world, version, tags_at(3)))
    outcome = world.outcome_of("churn:1", STEP)
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "reaction.chain")
    assert outcome.detail == (
        "3 reactions led to this event one after another (the last one is 'train-again'),"
        " and `chain_limit` is 3"
    )
    assert world.all_rollouts() == []
    title = "deploy-what-is-registered was stopped: reactions set one another off"
    assert world.told().count(title) == 2
    assert {one.channel for one in world.channels.sent if one.title == title} == {"team", "ops"}


def test_a_message_is_no_link_of_a_chain() -> None:
    world = World(RULES)
    world.react.react(registered(world, "1", tags_at(99)))
    assert "churn by train-again, 99" in world.told()


def test_a_channel_that_is_down_is_told_of_the_chain_later() -> None:
    world = World(RULES)
    world.channels.make_down("ops")
    world.react.react(registered(world, "1", tags_at(3)))
    assert len(world.told()) == 2
    world.channels.make_well("ops")
    world.settle()
    assert {one.channel for one in world.channels.sent} == {"team", "ops"}
    assert world.outcome_of("churn:1", STEP).code == "reaction.chain"
    assert world.all_rollouts() == []


@pytest.mark.parametrize(
    ("depth", "reaction", "cause"),
    [
        ("1", "a-b", EventCause(reaction="a-b", depth=1)),
        ("999", "a", EventCause(reaction="a", depth=999)),
        ("2", "<!channel> x", EventCause(reaction="", depth=2)),
        ("2", "a" * 64, EventCause(reaction="", depth=2)),
        *((text, "a", EventCause()) for text in ("0", "-1", "01", "1000", "1.0", "٣", " 1", "")),
    ],
)
def test_tags_that_anybody_can_write_are_validated(
    depth: str, reaction: str, cause: EventCause
) -> None:
    assert cause_in({"signalbox_depth": depth, "signalbox_reaction": reaction}) == cause


def test_each_reaction_of_a_chain_adds_one() -> None:
    cause = EventCause()
    for depth in (1, 2, 3):
        tags = tags_of_cause(cause, "again")
        cause = cause_in(tags)
        assert cause == EventCause(reaction="again", depth=depth)


def test_an_endpoint_can_not_be_named_by_a_cause_without_being_allowed() -> None:
    from shared.actions import ACTIONS
    from shared.schema.findings import ReactionsFaulty

    named = RULES.replace(
        "${{ model.name }}\n          instance", "${{ cause.reaction }}\n          instance"
    )
    assert named != RULES
    with pytest.raises(ReactionsFaulty, match="is made from a tag"):
        load_reactions(named, actions=ACTIONS, settings={})


class Bench:
    """Chains over a workspace, and a reaction that starts runs."""

    def __init__(self) -> None:
        self.world = World(RULES)
        services = self.world.services
        self.chains = Chains(
            most=2,
            channels_of=lambda _: (),
            workspaces=lambda: services.workspaces,
            folds=lambda: services.folds,
            outbox=lambda: services.outbox,
        )

    def reaction(self, on: Event) -> Reaction:
        """Return a reaction to such events that starts runs."""
        (found, *_) = match(self.world.services.reactions, on)
        return Reaction(name="again", on=found.reaction.on, do=(), line=1, makes_runs=True)

    def cause(self, event: Event) -> EventCause:
        return self.chains.cause_of(self.reaction(event), event)

    def run(self, name: str, *, root: str = "", **tags: str) -> None:
        run = RunRecord(id=name, status="Completed", root_id=root or name, tags=tags)
        self.world.workspaces.add_run(WORKSPACE, run)

    def step_completed(self) -> Event:
        """Return the event of a step of run `root`, without the tags of that run."""
        raw = run_completed("e", self.world.clock.now(), "step-1")
        raw["data"]["runProperties"] = {
            "azureml.runsource": "azureml.StepRun",
            "azureml.pipelinerunid": "root",
        }
        (event,) = parse_events(parse_envelope(raw))
        assert isinstance(event, RunCompleted)
        assert not event.run.is_root
        return event


def test_a_step_of_a_run_that_a_reaction_started_has_the_cause_of_that_run() -> None:
    bench = Bench()
    bench.run("root", **tags_at(2))
    event = bench.step_completed()
    assert event.cause == EventCause()
    assert bench.cause(event).depth == 2
    with pytest.raises(ChainTooLong):
        bench.chains.check(bench.reaction(event), event, lambda: bench.cause(event))


def test_a_model_has_the_cause_of_the_run_that_registered_it() -> None:
    bench = Bench()
    bench.run("root", **tags_at(1))
    bench.run("step-1", root="root")
    bench.world.workspaces.register(WORKSPACE, "churn", "1", tags={}, job_name="step-1")
    (event,) = parse_events(parse_envelope(model_registered("e", bench.world.clock.now(), tags={})))
    assert isinstance(event, Event)
    assert bench.cause(event).depth == 1


def test_nothing_is_read_for_an_event_that_shows_its_cause_or_a_reaction_that_starts_no_run() -> (
    None
):
    bench = Bench()
    asked: list[str] = []
    bench.world.workspaces.before = asked.append
    event = bench.step_completed()
    bench.chains.cause_of(Reaction(name="deploy", on=event.type, do=(), line=1), event)
    (shown,) = parse_events(
        parse_envelope(run_completed("e", bench.world.clock.now(), "run-1", tags_at(1)))
    )
    assert isinstance(shown, Event)
    assert bench.cause(shown).depth == 1
    assert asked == []


@pytest.mark.parametrize(
    ("error", "is_raised"), [(WorkspaceDenied, False), (WorkspaceUnreachable, True)]
)
def test_without_the_right_to_read_runs_the_event_decides(error: Any, is_raised: bool) -> None:
    bench = Bench()

    def refuse(_: str) -> None:
        raise error("no")

    bench.world.workspaces.before = refuse
    event = bench.step_completed()
    if is_raised:
        with pytest.raises(error):
            bench.cause(event)
    else:
        assert bench.cause(event) == EventCause()


ROUND = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: train-again
    on: RunCompleted
    do:
      - start: {{target: {{component: {{name: train}}}}, at_once: 100, notify: [team]}}
"""


@pytest.mark.parametrize("of_step", [False, True], ids=["of the run", "of its step"])
def test_a_run_that_starts_a_run_when_it_completes_stops_after_five(of_step: bool) -> None:
    world = World(ROUND)
    event = world.complete("e0", "run-0", {})
    for number in range(1, 12):
        world.react.react(event)
        started = list(world.targets.started.values())
        if len(started) < number:
            break
        tags, name = dict(started[-1].tags), f"run-{number}"
        event = world.complete(f"e{number}", name, tags)
        if of_step:
            # AML gives a step none of the tags of its run.
            step = RunRecord(id=f"{name}-step", status="Completed", root_id=name, tags={})
            world.workspaces.add_run(WORKSPACE, step)
            event = run_completed(f"e{number}", world.clock.now(), step.id)
            event["data"]["runProperties"] = {
                "azureml.runsource": "azureml.StepRun",
                "azureml.pipelinerunid": name,
            }
    assert [item.tags["signalbox_depth"] for item in world.targets.started.values()] == [
        *("1", "2", "3", "4", "5")
    ]
    title = "train-again was stopped: reactions set one another off"
    assert world.told().count(title) == 1
    assert world.all_letters() == []
