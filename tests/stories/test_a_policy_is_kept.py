"""A company demands tags, private endpoints and an assigned identity; a pickle goes live in it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import ModelUnfit, ParamsInvalid, TagForbidden
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.phases import Phase
from shared.twins.service_rules import Demands
from shared.workspaces.model import AssetKind, DeploymentSpec, Score, ServingContainer
from tests.stories.world import WORKSPACE, World

IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/scorer"
)
PRIVATE = f"""
          public_network_access: disabled
          identity: {{type: user_assigned, ids: ["{IDENTITY}"]}}"""
TAGS = """
          tags: {cost_center: "4711"}"""
OWN = """
          environment: azureml:serving@latest
          code: azureml:scoring:3
          scoring_script: score.py
          environment_variables: {MODE: "${{ model.tags.mode || 'fast' }}"}
          allow: {environment: ["azureml:torch-*"], environment_variables: [fast, slow]}"""


class Company(World):
    """A workspace under a policy, with an environment and code for pickles."""

    def __init__(self, *values: str) -> None:
        super().__init__(
            f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: deploy-pickles
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - deploy:
          endpoint: ${{{{ model.name }}}}
          instance_type: Standard_DS3_v2
          notify: [team]{"".join(values)}
"""
        )
        self.workspaces.behaviour.takes = timedelta(minutes=2)
        self.workspaces.behaviour.demands = Demands(tags=frozenset({"cost_center"}))
        self.workspaces.assets[WORKSPACE.key, AssetKind.ENVIRONMENT, "serving"] = ["1", "2"]
        self.workspaces.assets[WORKSPACE.key, AssetKind.ENVIRONMENT, "torch-serving"] = ["7"]
        self.workspaces.assets[WORKSPACE.key, AssetKind.CODE, "scoring"] = ["3"]
        self.specs: list[DeploymentSpec] = []
        self._create = self.workspaces.create_deployment
        self.workspaces.create_deployment = self._seen  # type: ignore[method-assign]

    def _seen(self, *where: Any) -> Any:
        self.specs.append(where[-1])
        return self._create(*where)

    def pickle(self, version: str = "1", **tags: str) -> None:
        """Register a pickle with the tag that deploys it."""
        event = self.register("churn", version, kind="custom_model", deploy="true", **tags)
        self.react.react(event)

    def environment(self) -> str:
        """Return the environment of the last deployment."""
        container = self.specs[-1].container
        assert container is not None
        return container.environment


def test_a_tagged_pickle_goes_live_as_the_policy_wants_it() -> None:
    company = Company(PRIVATE, TAGS, OWN)
    company.pickle()
    company.settle()
    assert company.serving() == "1"
    assert company.told()[-1] == "churn 1 is live on churn"
    (spec,) = company.specs
    assert spec.container == ServingContainer(
        environment=f"{WORKSPACE.id}/environments/serving/versions/2",
        code=f"{WORKSPACE.id}/codes/scoring/versions/3",
        script="score.py",
    )
    assert spec.tags["cost_center"] == "4711"
    assert spec.serving.environment_variables == {"MODE": "fast"}
    (endpoint,) = company.workspaces.endpoints.values()
    assert endpoint.tags["cost_center"] == "4711"
    assert endpoint.tags["signalbox_version"] == "1"


@pytest.mark.parametrize("values", [(TAGS, OWN), (PRIVATE, OWN)])
def test_a_rule_that_the_policy_forbids_makes_nothing_and_says_why(values: tuple[str, ...]) -> None:
    company = Company(*values)
    company.pickle()
    company.settle()
    assert company.deployments() == {}
    assert "RequestDisallowedByPolicy" in company.channels.sent[-1].text
    assert company.outcome("deploy-pickles/deploy").status is OutcomeStatus.FAILED


def test_an_endpoint_that_is_public_is_not_taken_for_a_private_one() -> None:
    company = Company(PRIVATE, TAGS, OWN)
    company.pickle()
    company.settle()
    (key,) = company.workspaces.endpoints
    made = company.workspaces.endpoints[key]
    company.workspaces.endpoints[key] = replace(made, is_public=True)
    company.pickle("2")
    company.settle()
    assert company.serving() == "1"
    outcome = company.outcome_of("churn:2", "deploy-pickles/deploy")
    assert "can be called from the internet" in outcome.detail


def test_the_version_of_latest_is_that_of_the_beginning() -> None:
    company = Company(PRIVATE, TAGS, OWN)
    company.pickle()
    company.settle(until=lambda: company.all_rollouts()[0].phase is Phase.ENDPOINT)
    company.workspaces.assets[WORKSPACE.key, AssetKind.ENVIRONMENT, "serving"].append("3")
    company.start_app()
    company.settle()
    assert company.environment().endswith("/serving/versions/2")
    company.pickle("2")
    company.settle()
    assert company.environment().endswith("/serving/versions/3")
    assert company.serving() == "2"


def test_a_tag_chooses_an_environment_that_is_listed_and_no_other() -> None:
    company = Company(PRIVATE, TAGS, OWN)
    company.pickle(signalbox_environment="azureml:torch-serving@latest", mode="slow")
    company.settle()
    assert company.environment().endswith("/torch-serving/versions/7")
    assert company.specs[-1].serving.environment_variables == {"MODE": "slow"}


@pytest.mark.parametrize(
    ("tags", "error", "reason"),
    [
        ({"signalbox_environment": "azureml:mine:1"}, TagForbidden, "azureml:torch-*"),
        ({"signalbox_code": "azureml:mine:1"}, TagForbidden, "signalbox_code"),
        ({"mode": "azureml://connections/a/credentials/key"}, TagForbidden, "by a tag"),
        ({"mode": "slow${{azureml://connections/a}}"}, ParamsInvalid, "expression of AML's"),
        ({"signalbox_environment": "azureml:torch-serving:8"}, ParamsInvalid, "has no environment"),
    ],
)
def test_a_tag_that_asks_for_more_parks_the_letter(
    tags: dict[str, str], error: type[Exception], reason: str
) -> None:
    company = Company(PRIVATE, TAGS, OWN)
    company.pickle(**tags)
    company.settle()
    (letter,) = company.all_letters()
    assert letter.code == error.code  # type: ignore[attr-defined]
    assert reason in letter.reason
    assert company.specs == []


def test_a_pickle_without_an_environment_says_what_to_write() -> None:
    company = Company(PRIVATE, TAGS)
    company.pickle()
    company.settle()
    (letter,) = company.all_letters()
    assert letter.code == ModelUnfit.code
    assert "is a custom_model, which needs a scoring script" in letter.reason


def test_a_script_of_ones_own_that_raises_on_an_empty_request_is_not_held_against_it() -> None:
    company = Company(PRIVATE, TAGS, OWN)
    company.workspaces.behaviour.score = Score(status=424, model_status=500)
    company.pickle()
    company.settle()
    assert company.serving() == "1"
    assert "asked for no prediction" in company.all_rollouts()[0].proof
    assert company.specs[-1].tags["signalbox_environment"] == "serving:2"


def test_a_container_that_does_not_answer_gets_no_traffic() -> None:
    company = Company(PRIVATE, TAGS, OWN)
    company.workspaces.behaviour.score = Score(status=503)
    company.pickle()
    company.settle()
    assert company.serving() == ""
    assert "expected 200, got 503" in company.channels.sent[-1].text


def test_an_image_that_cannot_be_built_gets_no_traffic() -> None:
    company = Company(PRIVATE, TAGS, OWN)
    company.pickle()
    company.settle()

    class Everything(dict[str, tuple[str, str]]):
        def get(self, key: str, default: object = None) -> tuple[str, str]:  # type: ignore[override]
            return ("ImageBuildFailure", "pip found no matching distribution")

    company.workspaces.behaviour.broken = Everything()
    company.pickle("2")
    company.settle()
    assert company.serving() == "1"
    assert "pip found no matching distribution" in company.channels.sent[-1].text
