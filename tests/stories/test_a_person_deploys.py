"""`signalbox deploy`: a person has a reaction run for a model that nobody reported."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from commands import deploy
from manage import app
from shared.base.errors import RunByOrder
from shared.services import Services
from tests.stories.world import REACTIONS, WORKSPACE, World

LARGE = {"deploy": "true", "signalbox_instance_type": "Standard_ND96"}
WHOLE = "deploy-tagged-models/*"
GREETS = """
  - name: greet
    on: ModelRegistered
    do:
      - notify: {channel: team, title: "${{ model.name }} is new"}
  - name: rehearse
    on: ModelRegistered
    dry_run: true
    do:
      - notify: {channel: team, title: "${{ model.name }} is new"}
"""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose services the command uses, with a model a year old."""
    world = World(REACTIONS + GREETS)

    @contextmanager
    def given() -> Iterator[Services]:
        yield world.services

    channels = {"SIGNALBOX_CHANNEL_TEAM": "json://127.0.0.1:1/team"}
    monkeypatch.setattr(deploy, "app_services", given)
    monkeypatch.setattr(deploy, "settings_beside_app", lambda: channels)
    world.register("churn-a")
    world.clock.pass_time(timedelta(days=365))
    return world


def run(*words: str, answer: str = "") -> Result:
    given = ("deploy", *words, "--why", "it was there before", "--by", "the one on call")
    return CliRunner().invoke(app, given, input=answer)


def order(world: World, *more: str, **options: Any) -> Result:
    """Order the deployment of the model, and let the app do it."""
    done = run("churn-a:1", "--reaction", "deploy-tagged-models", *more, **options)
    world.settle()
    return done


def test_an_old_model_goes_live_with_who_and_why_on_record(world: World) -> None:
    done = order(world, "--yes")
    assert done.exit_code == 0, done.output
    assert "would be started: rollout of churn-a 1 to churn-a" in done.output
    assert "signalbox why churn-a:1" in done.output
    assert world.serving("churn-a") == "1"
    assert "churn-a is new" not in world.told(), "only the reaction that was named runs"
    since = world.clock.now() - timedelta(days=1)
    (record,) = world.records.find(since=since, about="churn-a:1")
    body = world.records.body_of(record)
    assert "it was there before" in body
    assert "the one on call" in body
    (letter,) = world.all_letters()
    assert (letter.status, letter.order) == (
        "closed",
        "ordered by the one on call: it was there before",
    )


def test_it_asks_first_and_does_nothing_without_a_yes(world: World) -> None:
    assert order(world, answer="n\n").exit_code == 1
    assert not world.all_letters()
    assert not world.workspaces.endpoints
    assert order(world, answer="y\n").exit_code == 0
    assert world.serving("churn-a") == "1"


def test_the_record_says_that_it_was_ordered_before_it_is_done(world: World) -> None:
    run("churn-a:1", "--reaction", "deploy-tagged-models", "--yes")
    since = world.clock.now() - timedelta(days=1)
    (record,) = world.records.find(since=since, about="churn-a:1")
    outcome = record.outcomes[WHOLE]
    assert outcome.code == RunByOrder.code
    assert outcome.detail == "ordered by the one on call: it was there before"


def test_a_model_that_is_live_is_not_deployed_twice(world: World) -> None:
    order(world, "--yes")
    order(world, "--yes")
    assert len(world.deployments("churn-a")) == 1


@pytest.mark.parametrize(
    ("model", "reaction", "said"),
    [
        ("churn-a:1", "deploy-tagged-model", "there is no reaction deploy-tagged-model; on"),
        ("churn-a:1", "tell-failed-runs", "is not for ModelRegistered"),
        ("churn-a:1", "rehearse", "reaction rehearse is a dry run: it would do nothing"),
        ("churn-a:2", "deploy-tagged-models", "there is no model churn-a:2 in ws"),
        ("churn-a", "deploy-tagged-models", "say which version: NAME:VERSION, such as churn:8"),
        ("other:1", "deploy-tagged-models", "nothing was done, because a step would fail"),
        ("churn-b:1", "deploy-tagged-models", "deploy-tagged-models would do nothing"),
    ],
)
def test_an_order_that_can_not_be_carried_out_is_refused_before_anything_is_done(
    world: World, model: str, reaction: str, said: str
) -> None:
    world.workspaces.register(WORKSPACE, "other", "1", tags=LARGE)
    world.workspaces.register(WORKSPACE, "churn-b", "1", tags={"deploy": "false"})
    done = run(model, "--reaction", reaction, "--yes")
    assert done.exit_code == 1
    assert said in done.output, done.output
    assert not world.all_letters()
    assert not world.workspaces.endpoints
