"""`signalbox why`, against the app's own storage; what it says is in the stories."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from manage import app
from shared.services import Services
from tests.stories.world import WORKSPACE, model_registered
from tests.unit.test_command_events import arrive

NOW = datetime.now(UTC).replace(microsecond=0)


def run(*words: str) -> Result:
    """Run manage.py."""
    return CliRunner().invoke(app, ["why", *words])


@pytest.mark.usefixtures("rules")
def test_a_model_version_is_answered_for_people_and_for_programs(services: Services) -> None:
    arrive(services, model_registered("why-1", NOW, "why-me", "8", {"Deploy": "true"}))
    result = run("why-me:8", "--offline")
    assert result.exit_code == 0
    assert f"ModelRegistered why-me:8 in {WORKSPACE.name}" in result.output
    assert "near  the tag is `Deploy`, the rule asks for `deploy`" in result.output
    (document,) = json.loads(run("why-me:8", "--offline", "--json").output)
    deploy = document["reactions"][0]
    assert deploy["name"] == "deploy-tagged-models"
    assert deploy["now"]["obstacle"] == "condition"
    assert deploy["now"]["part"] == "is_true(model.tags.deploy)"
    assert run("why-me:8", "--offline", "--workspace", WORKSPACE.name.upper()).exit_code == 0


@pytest.mark.usefixtures("rules")
def test_what_never_came_exits_with_1_and_says_what_to_look_at(services: Services) -> None:
    result = run("never-was:1")
    assert result.exit_code == 1
    assert "No event about never-was:1 is on record" in result.output
    assert "signalbox send --sample ModelRegistered --model never-was:1 --queue" in result.output
    document = json.loads(run("never-was:1", "--json").output)
    assert document["subject"] == "never-was:1"
    assert document["workspaces"][0]["is_listed"] is True


def test_nothing_to_ask_about_is_said() -> None:
    result = run(" ")
    assert result.exit_code == 1
    assert result.output.startswith("name a model version, a run, an endpoint or an event")
