"""The composition root builds whatever reactions.yaml can name."""

import pytest

from shared.actions import ACTIONS
from shared.loops.targets import TargetParams
from shared.services import Services

ENVIRON = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "SIGNALBOX_WORKSPACE": ""}


@pytest.mark.parametrize("name", TargetParams.model_fields)
def test_every_target_that_a_reaction_can_name_is_built(name: str) -> None:
    services = Services(ENVIRON)
    target = services.target(name)
    assert callable(target.submit)
    assert callable(target.look)
    assert services.target(name) is target


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_that_a_reaction_can_name_is_built(name: str) -> None:
    workspace = (
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    )
    services = Services(ENVIRON | {"SIGNALBOX_WORKSPACE": workspace})
    assert callable(services.action(name).act)
