"""A model's tags are written by anyone who can register a model: they choose what is allowed."""

import pytest

from shared.dead_letters import LetterStatus
from tests.stories.world import REACTIONS, World


@pytest.mark.parametrize(
    ("tag", "value", "allowed"),
    [
        ("signalbox_endpoint", "payments", "churn-*"),
        ("signalbox_endpoint", "../payments", "churn-*"),
        ("SIGNALBOX_ENDPOINT", "payments", "churn-*"),
        ("signalbox_instance_type", "Standard_ND96asr_v4", "Standard_DS2_v2"),
        ("signalbox_instance_type", "Standard_DS2_v2; rm -rf", "Standard_DS2_v2"),
        ("signalbox_instance_count", "50", "1, 2"),
        ("signalbox_instance_count", "-1", "1, 2"),
        ("signalbox_probe_request", "/etc/passwd", "golden/*.json"),
    ],
)
def test_a_tag_that_asks_for_what_is_not_allowed_is_parked(
    world: World, tag: str, value: str, allowed: str
) -> None:
    world.react.react(world.register("churn", "1", **{"deploy": "true", tag: value}))
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "deploy.tag_forbidden")
    assert allowed in letter.reason
    assert not world.workspaces.endpoints


@pytest.mark.parametrize("path", ["golden/../local.settings.json", "golden/x/../../a.json"])
def test_a_path_that_leaves_its_folder_is_refused_although_the_glob_matches(
    world: World, path: str
) -> None:
    tags = {"deploy": "true", "signalbox_probe_request": path}
    world.react.react(world.register("churn", "1", **tags))
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "action.params")


def test_a_tag_chooses_what_is_allowed(world: World) -> None:
    tags = {
        "deploy": "true",
        "signalbox_endpoint": "churn-eu",
        "signalbox_instance_type": "Standard_DS2_v2",
        "signalbox_instance_count": "2",
    }
    world.react.react(world.register("churn", "1", **tags))
    world.settle()
    assert world.serving("churn-eu") == "1"
    (deployment,) = next(iter(world.workspaces.deployments.values())).values()
    assert (deployment.instance_type, deployment.instance_count) == ("Standard_DS2_v2", 2)


def test_tags_are_read_from_the_workspace_and_not_from_the_event(world: World) -> None:
    event = world.register("churn", "1", deploy="false")
    event["data"]["modelTags"] = {"deploy": "true", "signalbox_instance_count": "2"}
    world.react.react(event)
    world.settle()
    assert not world.workspaces.endpoints
    assert world.outcome().code == "superseded"


def test_values_are_made_from_the_model_in_the_workspace_and_not_from_the_event() -> None:
    endpoint = "${{ model.tags.target }}"
    world = World(REACTIONS.replace("${{ model.name }}", endpoint, 1))
    event = world.register("churn", "1", deploy="true", target="churn-eu")
    event["data"]["modelTags"]["target"] = "payments"
    world.react.react(event)
    world.settle()
    assert [name for _, name in world.workspaces.endpoints] == ["churn-eu"]


@pytest.mark.parametrize("name", ["Ünï_cödé", "9lives", "a" * 200, "UPPER", "x"])
def test_any_model_name_becomes_a_legal_endpoint_name(world: World, name: str) -> None:
    world.react.react(world.register(name, "1"))
    world.settle()
    ((_, endpoint),) = world.workspaces.endpoints
    assert world.serving(endpoint) == "1"
    assert 3 <= len(endpoint) <= 32


def test_a_tag_that_is_no_value_is_told_in_a_sentence(world: World) -> None:
    tags = {"deploy": "true", "signalbox_probe_request": "golden/../x.json"}
    world.react.react(world.register("churn", "1", **tags))
    (letter,) = world.all_letters()
    assert letter.code == "action.params"
    assert letter.reason.startswith("a tag's value can't be used: `probe.request`")
    assert "\n" not in letter.reason
    assert "pydantic" not in letter.reason + letter.hint
