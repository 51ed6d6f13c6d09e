"""Comparing with the model that serves, over the emulator of the service."""

from typing import Any

import pytest

from sandbox.workspace.control import Control
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.base.errors import MetricMissing, Superseded
from shared.events.model import Workspace
from shared.workspaces.champions import challenge, side_of
from shared.workspaces.comparison import BetterParams, Standing
from shared.workspaces.model import DeploymentSpec, EndpointKind, ModelVersion, NewModel

WORKSPACE = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")
MANAGED = EndpointKind.MANAGED
BY_AUC = BetterParams(metric="auc")


class Stage:
    """A workspace in which models are trained, registered and deployed."""

    def __init__(self, workspaces: ArmWorkspaces, control: Control, somebody: Any) -> None:
        self.workspaces = workspaces
        self._control = control
        self._somebody = somebody

    def train(self, run_id: str, auc: float) -> ModelVersion:
        """Run a job that logs the metric, and register what it made."""
        self._control.training(experiment=run_id, metrics={"auc": auc})
        self._somebody.put("/environments/env/versions/1", {"image": "mcr.microsoft.com/x:1"})
        job = {
            "jobType": "Command",
            "experimentName": run_id,
            "command": "python train.py",
            "environmentId": f"{WORKSPACE.id}/environments/env/versions/1",
        }
        self._somebody.put(f"/jobs/{run_id}", job)
        self._control.advance(3600)
        path = f"azureml://jobs/{run_id}/outputs/artifacts/paths/model/"
        new = NewModel(name="churn", kind="mlflow_model", path=path, job_name=run_id)
        return self.workspaces.register_model(WORKSPACE, new)

    def deploy(self, model: ModelVersion) -> None:
        """Give a model all traffic of endpoint `churn`."""
        self.workspaces.create_endpoint(WORKSPACE, "churn", auth_mode="key", tags={})
        self._control.advance(3600)
        spec = DeploymentSpec(model_id=model.id, instance_type="Standard_DS3_v2", instance_count=1)
        self.workspaces.create_deployment(WORKSPACE, "churn", "Blue", spec)
        self._control.advance(3600)
        endpoint = self.workspaces.get_endpoint(WORKSPACE, "churn")
        assert endpoint is not None
        self.workspaces.set_traffic(WORKSPACE, endpoint, {"Blue": 100}, {})
        self._control.advance(3600)


@pytest.fixture
def stage(workspaces: ArmWorkspaces, control: Control, somebody: Any) -> Stage:
    return Stage(workspaces, control, somebody)


@pytest.mark.parametrize(("auc", "standing"), [(0.95, Standing.BETTER), (0.9, Standing.NOT_BETTER)])
def test_a_model_is_compared_with_the_one_that_serves(
    stage: Stage, auc: float, standing: Standing
) -> None:
    champion, challenger = stage.train("run-1", 0.91), stage.train("run-2", auc)
    stage.deploy(champion)
    verdict = challenge(stage.workspaces, WORKSPACE, side_of(challenger), "churn", MANAGED, BY_AUC)
    assert verdict.standing is standing
    assert verdict.reason.startswith(f"churn 2 against churn 1 on churn: auc {auc} against 0.91")
    with pytest.raises(Superseded):
        challenge(stage.workspaces, WORKSPACE, side_of(champion), "churn", MANAGED, BY_AUC)


def test_where_nothing_serves_there_is_no_champion(stage: Stage) -> None:
    model = stage.train("run-1", 0.91)
    verdict = challenge(stage.workspaces, WORKSPACE, side_of(model), "churn", MANAGED, BY_AUC)
    assert verdict.standing is Standing.NO_CHAMPION


def test_a_metric_that_the_run_did_not_log_is_missing(stage: Stage) -> None:
    model = stage.train("run-1", 0.91)
    with pytest.raises(MetricMissing, match="its run run-1 has logged no f1, but auc"):
        challenge(
            stage.workspaces, WORKSPACE, side_of(model), "churn", MANAGED, BetterParams(metric="f1")
        )
