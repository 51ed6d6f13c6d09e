"""A challenger takes over only if it is better than the champion, the model that serves now."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import WorkspaceDenied, WorkspaceUnreachable
from shared.events.model import Workspace
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.engine.advance import Rollouts
from shared.rollouts.state.rollout import Phase, Rollout
from shared.workspaces.model import (
    Deployment,
    Endpoint,
    EndpointKind,
    ModelVersion,
    NewModel,
    RunRecord,
    State,
)
from tests.stories.kill import Killed
from tests.stories.rolling import Rolling
from tests.stories.world import REACTIONS, WORKSPACE, World, model_registered, run_completed

REFERENCE = f"{'a' * 32}-{'b' * 32}"
REGISTER = """
  - name: register-trained-models
    on: RunCompleted
    when: run.tags.train == 'churn'
    do:
      - register:
          name: churn
          description: made by ${{ run.id }}
          tags: {deploy: "true", data: "${{ run.tags.data || 'not told' }}"}
          properties: {dataset: v3}
"""


def better(wish: str = "metric: auc", *, register: str = REGISTER) -> World:
    """Return a world whose models are deployed when they are better."""
    deploy = f"          when_better: {{{wish}}}\n          notify: [team]\n"
    return World(REACTIONS.replace("          notify: [team]\n", deploy) + register)


def train(
    world: World,
    run_id: str,
    auc: float | None = None,
    /,
    *,
    status: str = "Completed",
    **tags: str,
) -> dict[str, Any]:
    """Let a run end and return the event that tells of it."""
    metrics = {"loss": 0.3} if auc is None else {"loss": 0.3, "auc": auc}
    run = RunRecord(id=run_id, status=status, root_id=run_id, tags=tags)
    world.workspaces.add_run(WORKSPACE, run, metrics)
    return run_completed(f"event-of-{run_id}", world.clock.now(), run_id, tags)


def make(
    world: World,
    version: str,
    auc: float | None = None,
    /,
    *,
    status: str = "Completed",
    **tags: str,
) -> dict[str, Any]:
    """Register a version that a run of its own made, and return the event that tells of it."""
    train(world, f"run-of-{version}", auc, status=status)
    event = world.register("churn", version, **{"deploy": "true", **tags})
    change(world, version, job_name=f"run-of-{version}")
    return event


def change(world: World, version: str, **facts: Any) -> None:
    """Change a registered version."""
    key = (WORKSPACE.key, "churn", version)
    world.workspaces.models[key] = replace(world.workspaces.models[key], **facts)


def tag(world: World, version: str, **tags: str) -> None:
    """Add tags to a registered version."""
    known = world.workspaces.models[WORKSPACE.key, "churn", version].tags
    change(world, version, tags={**known, **tags})


def go_live(world: World, version: str, auc: float | None = None, /, **tags: str) -> None:
    """Let a version take the traffic."""
    world.react.react(make(world, version, auc, **tags))
    world.settle()
    assert world.serving() == version


def models(world: World) -> list[ModelVersion]:
    """Return the registered models."""
    return sorted(world.workspaces.models.values(), key=lambda model: int(model.version))


class Requests:
    """Counts what the workspace is asked."""

    def __init__(self, world: World) -> None:
        self.asked: list[str] = []
        world.workspaces.before = self.asked.append


class Registered:
    """Remembers what was to be registered."""

    def __init__(self, world: World) -> None:
        self.new: list[NewModel] = []
        self._register = world.workspaces.register_model
        world.workspaces.register_model = self  # type: ignore[method-assign,assignment]

    def __call__(self, workspace: Workspace, model: NewModel) -> ModelVersion:
        self.new.append(model)
        return self._register(workspace, model)


class Told:
    """Remembers what loops are told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def compared(
        self, workspace: Workspace, reference: str, model: str, verdict: str, is_enough: bool
    ) -> None:
        self.heard.append(("compared", reference, model, is_enough))

    def registered(self, workspace: Workspace, reference: str, model: str) -> None:
        self.heard.append(("registered", reference, model))

    def deploying(self, workspace: Workspace, reference: str, model: str, rollout_id: str) -> None:
        self.heard.append(("deploying", reference, model))

    def rollout_changed(self, rollout: Rollout) -> None:
        self.heard.append((rollout.phase, rollout.retraining, rollout.model.version))


def follow(world: World) -> Told:
    """Let a world's loops be told, as where a reaction retrains."""
    told = Told()
    world.listener = told
    world.start_app()
    return told


def test_a_better_model_goes_live() -> None:
    world = better()
    go_live(world, "1", 0.91)
    go_live(world, "2", 0.93)
    assert world.told()[-1] == "churn 2 is live on churn"


def test_a_model_that_is_not_better_is_skipped_and_told() -> None:
    world = better()
    go_live(world, "1", 0.91)
    world.react.react(make(world, "2", 0.9))
    world.settle()
    assert world.serving() == "1"
    assert list(world.deployments().values()) == ["1"]
    assert len(world.all_rollouts()) == 1
    outcome = world.outcome_of("churn:2", "deploy-tagged-models/deploy")
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "better.no")
    assert outcome.detail == "churn 2 against churn 1 on churn: auc 0.9 against 0.91: worse by 0.01"
    assert world.told()[-1] == "churn 2 was not deployed on churn"
    assert outcome.detail in world.channels.sent[-1].text
    assert world.all_letters() == []


def test_a_channel_that_is_down_is_named_in_the_outcome_and_holds_nothing_up() -> None:
    world = better()
    go_live(world, "1", 0.91)
    world.channels.make_down("team")
    world.react.react(make(world, "2", 0.9))
    outcome = world.outcome_of("churn:2", "deploy-tagged-models/deploy")
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "better.no")
    assert outcome.detail.endswith("(team did not take the message)")
    assert world.all_letters() == []


@pytest.mark.parametrize(
    ("wish", "champion", "challenger", "is_live"),
    [
        ("metric: auc", 0.91, 0.91, False),
        ("metric: auc, equal: true", 0.91, 0.91, True),
        ("metric: auc, margin: 0.02", 0.91, 0.92, False),
        ("metric: auc, margin: 0.02", 0.91, 0.93, True),
        ("metric: auc, relative_margin: 0.02", 0.5, 0.509, False),
        ("metric: auc, relative_margin: 0.02", 0.5, 0.51, True),
        ("metric: auc, direction: lower", 0.5, 0.4, True),
        ("metric: auc, direction: lower", 0.4, 0.5, False),
    ],
)
def test_how_much_better_it_has_to_be_is_the_reaction_s_to_say(
    wish: str, champion: float, challenger: float, is_live: bool
) -> None:
    world = better(wish)
    go_live(world, "1", champion)
    world.react.react(make(world, "2", challenger))
    world.settle()
    assert world.serving() == ("2" if is_live else "1")


@pytest.mark.parametrize("no_champion", ["true", "false"])
def test_where_nothing_serves_the_reaction_says_whether_to_go_ahead(no_champion: str) -> None:
    world = better(f"metric: auc, no_champion: {no_champion}")
    world.react.react(make(world, "1", 0.91))
    world.settle()
    assert bool(world.workspaces.endpoints) == (no_champion == "true")
    if no_champion == "false":
        assert world.outcome().code == "better.no"
        assert "nothing serves yet" in world.outcome().detail


def test_a_missing_metric_is_parked_and_tagged_and_replayed() -> None:
    world = better("metric: auc, source: tags")
    go_live(world, "1", auc="0.91")
    world.react.react(make(world, "2"))
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "better.metric_missing")
    assert letter.reason == "auc of churn 2 is missing: it has no tag auc"
    assert world.serving() == "1"
    tag(world, "2", auc="0.93")
    world.letters.reopen(letter)
    world.settle()
    assert world.serving() == "2"


def test_a_letter_that_is_replayed_is_asked_again() -> None:
    world = better("metric: auc, source: tags")
    go_live(world, "1", auc="0.91")
    world.react.react(make(world, "2"))
    (letter,) = world.all_letters()
    tag(world, "2", auc="0.9")
    world.letters.reopen(letter)
    world.settle()
    assert world.serving() == "1"
    assert world.outcome_of("churn:2", "deploy-tagged-models/deploy").code == "better.no"


def _forget_run(world: World) -> None:
    world.workspaces.runs.clear()
    world.workspaces.metrics.clear()


def _forget_model(world: World) -> None:
    world.workspaces.models.pop((WORKSPACE.key, "churn", "1"))


def _take_from_registry(world: World) -> None:
    deployments = world.workspaces.deployments[WORKSPACE.key, "churn"]
    for name, found in deployments.items():
        model = "azureml://registries/shared/models/churn/versions/1"
        deployments[name] = replace(found, model=model)


def _forget_job(world: World) -> None:
    change(world, "1", job_name="")


@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (_forget_run, "auc of churn 1 is missing: its run run-of-1 is not there"),
        (_forget_model, "auc of churn 1 is missing: it is no longer in the workspace"),
        (_take_from_registry, "its model is azureml://registries/shared/models/churn/versions/1"),
        (_forget_job, "auc of churn 1 is missing: no run is known to have made it"),
    ],
)
def test_a_champion_of_which_nothing_is_known_is_no_reason_to_go_ahead(
    lose: Callable[[World], None], reason: str
) -> None:
    world = better()
    go_live(world, "1", 0.91)
    lose(world)
    world.react.react(make(world, "2", 0.93))
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "better.metric_missing")
    assert reason in letter.reason
    assert "churn 2" not in letter.reason, "of that one all is known"
    assert world.serving() == "1"


def test_both_sides_that_miss_the_metric_are_named_with_what_is_there() -> None:
    world = better()
    world.reactions, plain = World().reactions, world.reactions
    world.start_app()
    go_live(world, "1")
    world.reactions = plain
    world.start_app()
    world.react.react(make(world, "2"))
    (letter,) = world.all_letters()
    assert letter.reason == (
        "auc of churn 2 is missing: its run run-of-2 has logged no auc, but loss; "
        "auc of churn 1 is missing: its run run-of-1 has logged no auc, but loss"
    )


@pytest.mark.parametrize("value", ["good", "nan", "1e999", "", "0.9 # sig=abc"])
def test_a_tag_that_is_no_number_is_missing(value: str) -> None:
    world = better("metric: auc, source: tags")
    world.react.react(make(world, "1", auc=value))
    (letter,) = world.all_letters()
    assert letter.code == "better.metric_missing"
    assert "no number" in letter.reason
    assert not world.workspaces.endpoints


def test_a_property_can_hold_the_metric() -> None:
    world = better("metric: auc, source: properties")
    event = make(world, "1")
    change(world, "1", properties={"auc": "0.91"})
    world.react.react(event)
    world.settle()
    assert world.serving() == "1"


def test_a_metric_that_the_run_has_still_to_log_is_waited_for() -> None:
    world = better()
    go_live(world, "1", 0.91)
    world.react.react(make(world, "2", status="Running"))
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.WAITING, "better.metric_awaited")
    train(world, "run-of-2", 0.93)
    world.settle()
    assert world.serving() == "2"


def test_the_version_that_serves_is_not_compared_with_itself() -> None:
    world = better()
    go_live(world, "1", 0.91)
    world.react.react(model_registered("another-event", world.clock.now()))
    assert len(world.all_rollouts()) == 1
    details = [str(row.values["outcomes"]) for row in world.rows("SignalboxEvents")]
    assert any("churn 1 serves on churn already" in detail for detail in details)


def test_the_champion_is_what_has_the_most_traffic() -> None:
    world = better("metric: auc, source: tags")
    for version, auc in (("1", "0.95"), ("2", "0.5"), ("3", "0.95")):
        make(world, version, auc=auc)
    key = (WORKSPACE.key, "churn")
    world.workspaces.endpoints[key] = Endpoint(
        name="churn",
        state=State.SUCCEEDED,
        traffic={"blue": 40, "GREEN": 60, "idle": 0},
        tags={"signalbox_model": "churn"},
    )
    world.workspaces.deployments[key] = {
        name: Deployment(
            name=name,
            state=State.SUCCEEDED,
            model=f"{WORKSPACE.id}/models/churn/versions/{version}",
        )
        for name, version in (("blue", "1"), ("green", "2"), ("idle", "3"))
    }
    world.react.react(make(world, "4", auc="0.6"))
    world.settle()
    assert world.serving() == "4"


def test_a_model_is_compared_with_the_one_that_it_would_replace() -> None:
    world = better()
    go_live(world, "1", 0.9)
    world.workspaces.behaviour.takes = timedelta(minutes=7)
    world.react.react(make(world, "2", 0.95))
    world.settle(until=lambda: world.all_rollouts()[-1].phase is Phase.DEPLOYMENT)
    world.react.react(make(world, "3", 0.92))
    (letter,) = world.all_letters()
    assert letter.code == "workspace.busy"
    assert "churn 2 is being rolled out on churn" in letter.reason
    world.settle()
    assert world.serving() == "2"
    assert world.outcome_of("churn:3", "deploy-tagged-models/deploy").code == "better.no"


def test_two_that_were_compared_with_the_same_champion_are_compared_with_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = better()
    go_live(world, "1", 0.9)
    # Both workers find nothing under way, because each asks before the other has begun.
    monkeypatch.setattr(Rollouts, "find_undecided", lambda *_: None)
    world.workspaces.behaviour.takes = timedelta(minutes=7)
    world.react.react(make(world, "2", 0.95))
    world.react.react(make(world, "3", 0.92))
    world.settle()
    assert world.serving() == "2"
    outcome = world.outcome_of("churn:3", "deploy-tagged-models/deploy")
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "better.no")
    assert "auc 0.92 against 0.95" in outcome.detail
    assert world.channels.sent[-1].title == "churn 3 is not better than the live version on churn"


def test_the_one_that_is_better_still_takes_over_from_the_one_that_was_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = better()
    go_live(world, "1", 0.9)
    monkeypatch.setattr(Rollouts, "find_undecided", lambda *_: None)
    world.workspaces.behaviour.takes = timedelta(minutes=7)
    world.react.react(make(world, "2", 0.92))
    world.react.react(make(world, "3", 0.95))
    world.settle()
    assert world.serving() == "3"


def test_a_batch_endpoint_s_champion_is_its_default_deployment_s_model() -> None:
    world = Rolling("all-at-once", kind="batch", compute="cpu-cluster", when_better="{metric: auc}")
    world.react.react(make(world, "1", 0.95))
    world.settle()
    assert world.traffic("1") == {"1": 100}
    world.react.react(make(world, "2", 0.1))
    world.settle()
    assert world.traffic("1") == {"1": 100}
    assert world.result().code == "better.no"


@pytest.mark.parametrize("kind", ["kind: batch, ", ""])
def test_what_is_worse_than_a_batch_endpoint_s_model_is_not_registered(kind: str) -> None:
    world = Rolling("all-at-once", kind="batch", compute="cpu-cluster")
    world.react.react(make(world, "1", 0.95))
    world.settle()
    wish = f"{{endpoint: churn, {kind}metric: auc}}"
    world.reactions = f"{world.reactions}{REGISTER}          when_better: {wish}\n"
    world.start_app()
    world.react.react(train(world, "run-a", 0.1, train="churn"))
    assert len(models(world)) == 1
    assert world.outcome("register-trained-models/register").code == "better.no"


def test_an_app_that_may_not_read_batch_endpoints_registers_where_nothing_serves() -> None:
    world = better(register=f"{REGISTER}          when_better: {{endpoint: churn, metric: auc}}\n")
    get = world.workspaces.get_endpoint

    def deny(*given: Any, kind: EndpointKind = EndpointKind.MANAGED) -> Endpoint | None:
        if kind is EndpointKind.BATCH:
            raise WorkspaceDenied("batchEndpoints/read is missing")
        return get(*given, kind=kind)

    world.workspaces.get_endpoint = deny  # type: ignore[method-assign]
    world.react.react(train(world, "run-a", 0.1, train="churn"))
    assert len(models(world)) == 1


def test_after_a_crash_a_rollout_that_had_begun_goes_on_without_another_comparison() -> None:
    world = better()
    go_live(world, "1", 0.91)
    event = make(world, "2", 0.93)
    send = world.queues.send

    def die(*args: Any, **kwargs: Any) -> None:
        send(*args, **kwargs)
        raise Killed

    world.queues.send = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.react.react(event)
    world.queues.send = send  # type: ignore[method-assign]
    world.settle()
    assert world.serving() == "2"
    world.clock.pass_time(timedelta(minutes=5))
    world.react.react(event)
    world.settle()
    assert world.outcome_of("churn:2", "deploy-tagged-models/deploy").status is OutcomeStatus.DONE
    assert len(world.all_rollouts()) == 2


def test_without_when_better_nothing_more_is_asked_of_the_workspace(world: World) -> None:
    requests = Requests(world)
    world.react.react(world.register("churn", "1"))
    assert requests.asked == ["get_model"]


# Registered models that a run has made.


def test_what_a_run_made_is_registered_once_with_the_run_s_own_facts() -> None:
    world = World(REACTIONS + REGISTER)
    registered = Registered(world)
    event = train(world, "run-1", train="churn", data="v7")
    for _ in range(2):
        world.react.react(event)
    (model,) = models(world)
    outcome = world.outcome("register-trained-models/register")
    assert (outcome.status, outcome.detail) == (OutcomeStatus.DONE, "registered churn 1")
    assert (model.kind, model.job_name) == ("mlflow_model", "run-1")
    assert model.tags == {
        "deploy": "true",
        "data": "v7",
        "signalbox_step": model.tags["signalbox_step"],
        "signalbox_reaction": "register-trained-models",
        "signalbox_depth": "1",
    }
    assert model.properties == {"dataset": "v3"}
    (new,) = registered.new
    assert new.path == "azureml://jobs/run-1/outputs/artifacts/paths/model/"
    assert new.description == "made by run-1"


def test_a_secret_in_a_run_s_tag_is_not_registered_with_its_model() -> None:
    properties = 'properties: {dataset: "${{ run.tags.data }}"}'
    world = better(register=REGISTER.replace("properties: {dataset: v3}", properties))
    event = train(world, "run-1", 0.9, train="churn", data="https://a/b?sv=1&sig=s3cr3tValue")
    world.react.react(event)
    (model,) = models(world)
    clean = "https://a/b?sv=1&sig=[redacted]"
    assert (model.tags["data"], model.properties["dataset"]) == (clean, clean)


def test_a_run_that_made_a_better_model_ends_in_a_deployment() -> None:
    world = better()
    go_live(world, "1", 0.91)
    for run, auc in (("run-a", 0.9), ("run-b", 0.93)):
        world.react.react(train(world, run, auc, train="churn"))
        made = models(world)[-1]
        world.react.react(
            model_registered(run, world.clock.now(), "churn", made.version, made.tags)
        )
        world.settle()
    assert [model.job_name for model in models(world)] == ["run-of-1", "run-a", "run-b"]
    assert world.serving() == "3"
    assert world.outcome_of("churn:2", "deploy-tagged-models/deploy").code == "better.no"


WHEN_BETTER = f"{REGISTER}          when_better: {{metric: auc, endpoint: Churn}}\n"


def test_what_is_not_better_is_not_even_registered() -> None:
    world = better(register=WHEN_BETTER)
    go_live(world, "1", 0.91)
    world.react.react(train(world, "run-a", 0.9, train="churn"))
    assert len(models(world)) == 1
    outcome = world.outcome("register-trained-models/register")
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "better.no")
    assert "the model of run run-a against churn 1 on churn" in outcome.detail
    world.react.react(train(world, "run-b", 0.92, train="churn"))
    assert len(models(world)) == 2


def test_what_is_to_be_a_model_is_compared_by_the_tags_that_it_would_get() -> None:
    tagged = REGISTER.replace("tags: {", 'tags: {auc: "${{ run.tags.auc }}", ')
    wish = "          when_better: {metric: auc, endpoint: churn, source: tags}\n"
    world = better("metric: auc, source: tags", register=tagged + wish)
    go_live(world, "1", auc="0.91")
    world.react.react(train(world, "run-a", train="churn", auc="0.9"))
    assert len(models(world)) == 1
    world.react.react(train(world, "run-b", train="churn", auc="0.95"))
    assert len(models(world)) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_around_the_registration_never_registers_twice(when: str) -> None:
    world = better(register=WHEN_BETTER)
    go_live(world, "1", 0.91)
    event = train(world, "run-a", 0.93, train="churn")
    register = world.workspaces.register_model

    def die(*args: Any, **kwargs: Any) -> ModelVersion:
        if when == "after":
            register(*args, **kwargs)
        raise Killed

    world.workspaces.register_model = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        world.react.react(event)
    world.workspaces.register_model = register  # type: ignore[method-assign]
    world.start_app()
    world.react.react(event)
    world.settle()
    assert len(models(world)) == 2
    outcome = world.outcome("register-trained-models/register")
    assert (outcome.status, outcome.detail) == (OutcomeStatus.DONE, "registered churn 2")


def test_a_worker_that_was_slower_than_its_lease_leaves_the_registration_to_the_next() -> None:
    world = better()
    event = train(world, "run-a", 0.93, train="churn")
    find = world.workspaces.find_models

    def take_long(*args: Any, **kwargs: Any) -> tuple[ModelVersion, ...]:
        found = find(*args, **kwargs)
        world.workspaces.find_models = find  # type: ignore[method-assign]
        world.clock.pass_time(timedelta(minutes=5))
        world.react.react(event)  # Event Grid delivers it again, to another worker
        return found

    world.workspaces.find_models = take_long  # type: ignore[method-assign]
    world.react.react(event)
    world.settle()
    assert [model.version for model in models(world)] == ["1"]
    assert world.outcome("register-trained-models/register").status is OutcomeStatus.DONE


def test_a_model_whose_registration_s_answer_was_lost_is_found_though_it_serves_by_then() -> None:
    world = better(register=WHEN_BETTER)
    go_live(world, "1", 0.91)
    event = train(world, "run-a", 0.93, train="churn")
    register = world.workspaces.register_model

    def lose_answer(*args: Any, **kwargs: Any) -> ModelVersion:
        made = register(*args, **kwargs)
        raise WorkspaceUnreachable(f"no answer about {made.version}")

    world.workspaces.register_model = lose_answer  # type: ignore[method-assign]
    world.react.react(event)
    assert world.outcome("register-trained-models/register").status is OutcomeStatus.WAITING
    made = models(world)[-1]
    world.react.react(model_registered("m", world.clock.now(), "churn", "2", made.tags))
    world.settle()
    assert world.serving() == "2"
    assert world.outcome("register-trained-models/register").detail == "registered churn 2"
    assert len(models(world)) == 2


def test_a_run_that_cannot_be_read_yet_is_tried_again_and_one_that_is_gone_is_not() -> None:
    world = World(REACTIONS + REGISTER)
    event = train(world, "run-1", train="churn")
    _forget_run(world)
    world.react.react(event)
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.WAITING, "run.absent")
    train(world, "run-1", train="churn", status="Finalizing")
    world.react.react(event)
    assert "is Finalizing, not Completed" in world.all_letters()[0].reason
    train(world, "run-1", train="churn")
    world.settle()
    assert len(models(world)) == 1
    gone = train(world, "run-2", train="churn")
    _forget_run(world)
    world.clock.pass_time(timedelta(minutes=11))
    world.react.react(gone)
    outcome = world.outcome_of("run-2", "register-trained-models/register")
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "superseded")


def test_values_are_made_from_the_run_in_the_workspace_and_not_from_the_event() -> None:
    world = World(REACTIONS + REGISTER)
    event = train(world, "run-1", train="churn", data="true one")
    event["data"]["runTags"] = {"train": "churn", "data": "forged"}
    world.react.react(event)
    assert models(world)[0].tags["data"] == "true one"
    forged = train(world, "run-2", train="nothing")
    forged["data"]["runTags"] = {"train": "churn"}
    world.react.react(forged)
    assert len(models(world)) == 1
    assert world.outcome_of("run-2", "register-trained-models/register").code == "superseded"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("azureml://jobs/other/outputs/artifacts/paths/model/", "leads to run other"),
        ("azureml://jobs/run-1/../other/outputs/model", "azureml://jobs/<run>"),
        ("azureml://jobs/run-1/outputs/../../x", "azureml://jobs/<run>"),
        ("https://example.org/model", "azureml://jobs/<run>"),
        ("azureml://datastores/blob/paths/m?sig=abc", "azureml://jobs/<run>"),
        ("azureml://registries/r/models/m/versions/1", "azureml://jobs/<run>"),
        (
            "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/b/paths/m",
            "another workspace",
        ),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str, told: str) -> None:
    register = REGISTER.replace(
        "name: churn\n", "name: churn\n          path: ${{ run.tags.at }}\n"
    )
    world = World(REACTIONS + register)
    world.react.react(train(world, "run-1", train="churn", at=path))
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "action.params")
    assert told in letter.reason
    assert models(world) == []


@pytest.mark.parametrize(
    "path",
    [
        "azureml://jobs/run-1/outputs/artifacts/paths/model/",
        "azureml://jobs/run-1/outputs/trained_model",
        "azureml://datastores/workspaceblobstore/paths/models/churn/",
        f"azureml://subscriptions/{WORKSPACE.subscription}/resourcegroups"
        f"/{WORKSPACE.resource_group}/workspaces/{WORKSPACE.name.upper()}/datastores/b/paths/m",
    ],
)
def test_a_path_of_the_run_or_of_a_datastore_is_taken(path: str) -> None:
    register = REGISTER.replace(
        "name: churn\n", "name: churn\n          path: ${{ run.tags.at }}\n"
    )
    world = World(REACTIONS + register)
    registered = Registered(world)
    world.react.react(train(world, "run-1", train="churn", at=path))
    (new,) = registered.new
    assert new.path == path


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({"data": "x" * 1001}, "data has 1,001 characters"),
        ({"name": "../churn"}, "a model's name has"),
        ({"name": "c" * 256}, "a model's name has"),
    ],
)
def test_what_aml_does_not_take_is_parked(tags: Mapping[str, str], told: str) -> None:
    register = REGISTER.replace("name: churn\n", "name: ${{ run.tags.name || 'churn' }}\n")
    world = World(REACTIONS + register)
    world.react.react(train(world, "run-1", train="churn", **tags))
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "action.params")
    assert told in letter.reason


# A retraining's model, followed.


def test_what_became_of_a_retraining_s_model_is_told_to_its_loop() -> None:
    world = better()
    go_live(world, "1", 0.91)
    told = follow(world)
    tags = {"train": "churn", "signalbox_retraining": REFERENCE}
    world.react.react(train(world, "run-a", 0.93, **tags))
    made = models(world)[-1]
    assert made.tags["signalbox_retraining"] == REFERENCE
    world.react.react(model_registered("m", world.clock.now(), "churn", "2", made.tags))
    world.settle()
    assert world.serving() == "2"
    phases = (Phase.DEPLOYMENT, Phase.SHIFTING, Phase.LIVE, Phase.RETIRING, Phase.DONE)
    assert told.heard == [
        ("registered", REFERENCE, "churn:2"),
        ("compared", REFERENCE, "churn:2", True),
        ("deploying", REFERENCE, "churn:2"),
        *((phase, REFERENCE, "2") for phase in phases),
    ]


def test_of_a_retraining_s_model_that_is_not_better_only_its_loop_tells() -> None:
    world = better()
    go_live(world, "1", 0.91)
    told = follow(world)
    before = world.told()
    world.react.react(make(world, "2", 0.9, signalbox_retraining=REFERENCE))
    assert told.heard == [("compared", REFERENCE, "churn:2", False)]
    assert world.told() == before


def test_what_is_not_registered_is_told_to_its_loop_as_well() -> None:
    world = better(register=WHEN_BETTER)
    go_live(world, "1", 0.91)
    told = follow(world)
    tags = {"train": "churn", "signalbox_retraining": REFERENCE}
    world.react.react(train(world, "run-a", 0.9, **tags))
    assert told.heard == [("compared", REFERENCE, "", False)]


@pytest.mark.parametrize(
    ("model", "run", "root", "found"),
    [
        (REFERENCE, "", "", True),
        ("", REFERENCE, "", True),
        ("", "", REFERENCE, True),
        ("../../x", REFERENCE, "", True),
        ("", "a-b", "", False),
        ("", "", "", False),
    ],
)
def test_a_model_belongs_to_the_retraining_of_its_run_or_of_the_run_s_root(
    model: str, run: str, root: str, found: bool
) -> None:
    world = better()
    told = follow(world)
    event = make(world, "1", 0.91, **({"signalbox_retraining": model} if model else {}))
    for run_id, reference, root_id in (("run-of-1", run, "root"), ("root", root, "root")):
        tags = {"signalbox_retraining": reference} if reference else {}
        run = RunRecord(id=run_id, status="Completed", root_id=root_id, tags=tags)
        world.workspaces.add_run(WORKSPACE, run, {"auc": 0.91})
    world.react.react(event)
    world.settle()
    assert world.serving() == "1"
    assert {item[1] for item in told.heard} == ({REFERENCE} if found else set())
    assert world.all_rollouts()[0].retraining == (REFERENCE if found else "")
