"""The composition root builds whatever reactions.yaml can name."""

from pathlib import Path

import pytest
from azure.core.credentials import AccessToken

from shared.actions import ACTIONS
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.base.errors import ReactionsInvalid
from shared.retraining.targets import TargetParams
from shared.services import Services

ENVIRON = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "SIGNALBOX_WORKSPACE": ""}


@pytest.mark.parametrize("name", TargetParams.model_fields)
def test_every_target_that_a_reaction_can_name_is_built(name: str) -> None:
    services = Services(ENVIRON)
    target = services.target(name)
    assert callable(target.submit)
    assert callable(target.look)
    assert services.target(name) is target


def test_tokens_are_for_the_services_of_the_cloud_that_is_set() -> None:
    asked: list[str] = []

    class Credential:
        def get_token(self, *scopes: str, **_: object) -> AccessToken:
            asked.extend(scopes)
            return AccessToken("t", 2**32)

    china = "https://management.chinacloudapi.cn"
    services = Services(ENVIRON | {"SIGNALBOX_ARM_ENDPOINT": china})
    services._identity = Credential()  # type: ignore[misc, assignment]
    workspaces = services.workspaces
    assert isinstance(workspaces, ArmWorkspaces)
    workspaces.aml.token("signing in")
    assert asked == ["https://ml.azure.cn/.default"]
    assert workspaces.aml.arm.root == china
    assert services.settings.studio_endpoint == "https://ml.azure.cn"


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_that_a_reaction_can_name_is_built(name: str) -> None:
    workspace = (
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    )
    services = Services(ENVIRON | {"SIGNALBOX_WORKSPACE": workspace})
    assert callable(services.action(name).act)


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    file = tmp_path / "reactions.yaml"
    file.write_bytes(b"version: 1\n# caf\xe9\n")
    with pytest.raises(ReactionsInvalid, match="can't be read"):
        _ = Services(ENVIRON | {"SIGNALBOX_REACTIONS": str(file)}).reactions
