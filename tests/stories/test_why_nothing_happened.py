"""`signalbox why` answers the commonest reasons for nothing happening: a story each."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from commands.why import find_accounts, lines
from shared.events.envelopes import OF_CHECKS
from shared.events.model import Workspace
from shared.flow.sweep import EVENT_GRID_CONTAINER, EVENTS_QUEUE
from shared.rollouts.state.phases import Phase
from tests.stories.rolling import Rolling
from tests.stories.test_drift_is_retrained import Story
from tests.stories.world import (
    REACTIONS,
    WORKSPACE,
    World,
    model_registered,
    run_completed,
    run_status_changed,
)

MINUTE = timedelta(minutes=1)

FOLLOWING = """
  following:
    steps: [probe: {}, traffic: 10%, hold: 15m, traffic: 100%]
    newer: supersede
"""
ASKING = """
  asking:
    steps: [probe: {}, traffic: 10%, approve: 1d, traffic: 100%]
"""


def why(world: World, subject: str, *, offline: bool = False) -> str:
    """Return what `signalbox why` prints."""
    accounts = find_accounts(world.services, subject, offline=offline)
    absence = None if accounts else world.services.searches.missing(subject)
    return "\n".join(str(line) for line in lines(accounts, absence, world.clock.now()))


def test_a_tag_is_spelled_in_another_casing() -> None:
    world = World()
    world.react.react(world.register("churn", "8", Deploy="true"))
    world.settle()
    text = why(world, "churn:8")
    assert "deploy-tagged-models: not set off" in text
    assert "why   `is_true(model.tags.deploy)` is false" in text
    assert "near  the tag is `Deploy`, the rule asks for `deploy`" in text
    assert "for other types of event:  tell-failed-runs" in text


def test_a_tag_is_missing() -> None:
    world = World()
    world.react.react(world.register("churn", "8", owner="ann"))
    world.settle()
    text = why(world, "churn:8")
    assert "saw   `model.tags.deploy` is null" in text
    assert "near  the event has no tag `deploy`, only `owner`" in text


def test_a_tag_came_after_the_app_had_looked() -> None:
    world = World()
    world.react.react(world.register("churn", "8", owner="ann"))
    world.settle()
    world.clock.pass_time(MINUTE)
    world.workspaces.register(WORKSPACE, "churn", "8", tags={"deploy": "true"})
    text = why(world, "churn:8")
    assert "read from the workspace at 2026-03-02 09:01:10Z" in text
    assert "its tags as they are now would set it off: they came after the app had looked" in text
    assert "as they are now" not in why(world, "churn:8", offline=True)


def test_a_tag_came_just_in_time() -> None:
    world = World()
    raw = world.register("churn", "8", owner="ann")
    world.react.react(raw)
    world.workspaces.register(WORKSPACE, "churn", "8", tags={"deploy": "true"})
    world.settle()
    text = why(world, "churn:8")
    assert "set off by the tags deploy, read from the workspace at" in text
    assert "the rules have changed" not in text


def test_the_workspace_is_not_listed() -> None:
    world = World()
    prod = Workspace(subscription="5a2c-sub", resource_group="rg", name="prod")
    world.react.react(model_registered("e1", world.clock.now(), "churn", "8", workspace=prod))
    text = why(world, "churn:8")
    assert "outcome:     reactions.yaml does not list it (event.foreign_workspace)" in text
    assert "workspace `prod` is not listed in `workspaces:`; listed: `ws`" in text
    assert "deploy-tagged-models: not set off" in text
    assert "the rules have changed" not in text


DISABLED = REACTIONS.replace(
    "    on: ModelRegistered\n", "    on: ModelRegistered\n    enabled: false\n"
)


FROZEN = (
    REACTIONS
    + "freezes: {move: {begins: 2026-03-01, ends: 2026-03-03, time_zone: UTC}}\nfreeze: [move]\n"
)


def test_the_reaction_waits_for_the_end_of_a_freeze() -> None:
    world = World(FROZEN)
    world.react.react(world.register("churn", "8"))
    text = why(world, "churn:8")
    assert "deploy-tagged-models: waits for the end of a freeze" in text
    assert "waiting: reaction.frozen: freeze `move` lasts until 2026-03-03 00:00 UTC" in text


def test_the_reaction_is_disabled() -> None:
    world = World(DISABLED)
    world.react.react(world.register("churn", "8"))
    text = why(world, "churn:8")
    assert "why   it has `enabled: false`" in text
    assert "near  it would be set off" in text


def test_the_rule_is_for_the_other_event_of_runs() -> None:
    world = World()
    world.react.react(run_completed("e1", world.clock.now(), "run-7"))
    text = why(world, "run-7")
    assert "tell-failed-runs: not set off" in text
    assert "why   it is on RunStatusChanged, and this is RunCompleted" in text
    assert "near  RunCompleted is only for runs that completed" in text


ROOTS = REACTIONS.replace("run.status == 'Failed'", "run.is_root && run.status == 'Failed'")


def test_the_run_is_a_step_of_a_pipeline() -> None:
    world = World(ROOTS)
    raw = run_status_changed("e1", world.clock.now())
    raw["data"]["runProperties"] = {"azureml.pipelinerunid": "pipe-1", "azureml.moduleName": "fit"}
    world.react.react(raw)
    text = why(world, "run-1")
    assert "saw   `run.is_root` is false" in text
    assert "near  the run is a step 'fit' of 'pipe-1', not a root run" in text


def test_a_letter_waits_for_its_next_try() -> None:
    world = World()
    world.channels.make_down("team")
    world.react.react(run_status_changed("e1", world.clock.now()))
    text = why(world, "run-1")
    assert "tell-failed-runs: set off" in text
    assert "notify  waiting: channel.down" in text
    (letter,) = world.all_letters()
    assert f"{letter.due_at:%Y-%m-%d %H:%M:%SZ}  next try of letter {letter.id[:8]}" in text


def test_a_letter_is_parked() -> None:
    world = World()
    world.react.react(world.register("churn", "1", kind="custom_model"))
    text = why(world, "churn:1")
    assert "deploy  failed: deploy.model_unfit: model churn 1 is a custom_model" in text
    assert "is parked until a person decides: deploy.model_unfit" in text
    assert "signalbox letters replay" in text


def test_it_was_done_before() -> None:
    world = World()
    raw = run_status_changed("e1", world.clock.now())
    world.react.react(raw)
    world.clock.pass_time(MINUTE)
    world.react.react(raw)
    text = why(world, "e1")
    assert "deliveries:  2" in text
    assert "notify  done" in text


def test_a_newer_version_superseded_it() -> None:
    world = Rolling("following", strategies=FOLLOWING).serve()
    world.roll_out("2")
    world.go_to(Phase.HOLDING)
    world.roll_out("3")
    world.settle(until=lambda: world.rollout().phase is Phase.ROLLED_BACK)
    text = why(world, "churn:2")
    assert "deploy  skipped: superseded: " in text
    assert "churn 3 takes its place" in text


def test_a_rollout_waits_for_approval() -> None:
    world = Rolling("asking", strategies=ASKING).serve()
    world.roll_out("2")
    world.go_to(Phase.APPROVING)
    text = why(world, "churn:2")
    assert "is approving, and waits until then for a person's yes" in text


def test_a_policy_holds_a_retraining_back_or_asks() -> None:
    story = Story(mode="approve", policy="windows: {breached: 2, of: 2}")
    story.window()
    text = why(story.world, "w1")
    assert "retrain  skipped: retrain.too_few_windows: 1 of the last 1 windows drifted" in text
    story.window()
    text = why(story.world, "w2")
    assert "retrain  waiting" in text
    assert "waits for approval. Run `signalbox loops approve` or `reject`" in text
    assert "letters replay" not in text


def test_a_rollout_is_under_way_and_its_history_is_told() -> None:
    world = World()
    world.react.react(world.register("churn", "8"))
    world.deliver()
    text = why(world, "churn:8")
    assert "deploy  waiting" in text
    assert "rollout" in text
    assert "signalbox rollouts show" in text
    world.react.react(run_status_changed("churn-1", world.clock.now(), "Running"))
    assert why(world, "churn") == text, "the endpoint leads to the same event"
    assert why(world, "churn-").startswith("RunStatusChanged run-1:Running"), "an id begins so"


def test_the_event_came_to_the_wrong_queue() -> None:
    world = World()
    raw = world.register("churn", "8")
    world.react.react(raw, takes=frozenset(OF_CHECKS))
    text = why(world, "churn:8")
    assert "No event about churn:8 is on record" in text
    assert "ModelRegistered came where only DatasetDriftDetected, Signalbox.DriftDetected" in text
    refused = why(world, "event-1")
    assert "outcome:     ModelRegistered came where only" in refused
    assert "the rules have changed" not in refused


def test_the_event_can_not_be_read() -> None:
    world = World()
    raw = model_registered("e1", world.clock.now(), "churn", "8")
    raw["data"]["modelTags"] = "none"
    world.react.react(raw)
    text = why(world, "churn:8")
    assert "event.malformed" in text
    assert "signalbox letters show" in text


def test_no_event_ever_came() -> None:
    world = World()
    world.react.react(run_completed("e1", world.clock.now(), "run-7"))
    world.react.react(world.register("churn", "7"))
    world.clock.pass_time(90 * MINUTE)
    world.queues.send(EVENTS_QUEUE, "{}")
    world.blobs.put(EVENT_GRID_CONTAINER, "one.json", b"[]")
    text = why(world, "churn:8")
    assert "No event about churn:8 is on record since" in text
    assert "near:  there are events about churn:7" in text
    assert "ws:  the last one 1h 30m ago" in text
    assert "ModelRegistered  churn:7 at 2026-03-02 09:00:00Z, 1h 30m ago" in text
    assert "queue workspace-events has messages that wait" in text
    assert "event-grid-dead-letters has blobs, 1 of events" in text


def test_no_event_of_the_workspace_ever_came() -> None:
    world = World()
    text = why(world, "churn:8")
    assert "ws:  no event at all" in text
    assert f"az eventgrid event-subscription list --source-resource-id {WORKSPACE.id}" in text


def test_the_rules_have_changed_since() -> None:
    world = World(DISABLED)
    world.react.react(world.register("churn", "8"))
    world.reactions = REACTIONS
    world.start_app()
    text = why(world, "churn:8")
    assert "deploy-tagged-models: would be set off now" in text
    assert "the rules have changed since: it was not asked when the event came" in text
    world.react.react(world.register("churn", "9"))
    world.reactions = DISABLED
    world.start_app()
    text = why(world, "churn:9")
    assert "the rules have changed since: it was set off when the event came" in text


def test_rules_that_change_while_an_event_waits_have_not_been_asked_yet() -> None:
    world = World()
    world.react.react(world.register("churn", "8", Deploy="true"))
    world.reactions = REACTIONS.replace("model.tags.deploy", "model.tags.Deploy")
    world.start_app()
    text = why(world, "churn:8")
    assert "deploy-tagged-models: would be set off now" in text
    assert "next try of letter" in text
    assert "the rules have changed" not in text, "the next try is by the rules as they are then"


MANY = (
    REACTIONS
    + """
  - name: rehearse
    on: ModelRegistered
    dry_run: true
    do: [notify: {channel: team, title: new}]
  - name: tell-once
    on: RunStatusChanged
    limit: {starts: 1, per: 1d}
    do: [notify: {channel: team, title: changed}]
  - name: sleep
    on: RunStatusChanged
    enabled: false
    do: [notify: {channel: team, title: changed}]
  - name: tell-production
    on: ModelRegistered
    when: model.tags.stage == 'prod' && !is_true(model.tags.quiet)
    do: [notify: {channel: team, title: new}]
"""
)
_TAGS = st.dictionaries(
    st.sampled_from(["deploy", "Deploy", "stage", "quiet"]), st.sampled_from(["true", "prod", "no"])
)


@given(
    before=_TAGS,
    after=_TAGS,
    statuses=st.lists(st.sampled_from(["Failed", "Running"]), max_size=3),
    is_down=st.booleans(),
    settles=st.booleans(),
)
def test_rules_that_have_not_changed_are_never_said_to_have(
    before: dict[str, str],
    after: dict[str, str],
    statuses: list[str],
    is_down: bool,
    settles: bool,
) -> None:
    world = World(MANY)
    if is_down:
        world.channels.make_down("team")
    world.react.react(world.register("churn", "8", **{"owner": "ann"} | before))
    for number, status in enumerate(statuses):
        world.react.react(run_status_changed(f"e{number}", world.clock.now(), status))
    if after:
        world.workspaces.register(WORKSPACE, "churn", "8", tags=after)
    if settles:
        world.channels.make_well("team")
        world.settle()
    for record in world.records.find(since=world.clock.now() - 600 * MINUTE):
        text = why(world, record.event)
        assert "the rules have changed" not in text
        assert "it is gone from the file" not in text
