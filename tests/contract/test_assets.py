"""Environments, code and policies: the same in the emulator and in the twin."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.base.errors import WorkspaceRefused
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import (
    AssetKind,
    DataCollection,
    DeploymentSpec,
    Serving,
    ServingContainer,
    State,
)
from tests.contract.conftest import WORKSPACE, Somebody
from tests.contract.sites import Site, make_site
from tests.contract.test_workspaces import IDENTITY, Stage

ENVIRONMENT, CODE = AssetKind.ENVIRONMENT, AssetKind.CODE


@pytest.fixture(params=["twin", "emulator"])
def site(request: pytest.FixtureRequest) -> Site:
    """Each of the two."""
    return make_site(request)


@pytest.fixture
def add(request: pytest.FixtureRequest, site: Site) -> Callable[[AssetKind, str, str], None]:
    """Register a version of an asset."""

    def register(kind: AssetKind, name: str, version: str) -> None:
        if isinstance(site.workspaces, MemoryWorkspaces):
            key = (WORKSPACE.key, kind, name)
            site.workspaces.assets.setdefault(key, []).append(version)
            return
        content = {ENVIRONMENT: {"image": "i"}, CODE: {"codeUri": "https://a.blob/c"}}[kind]
        somebody: Somebody = request.getfixturevalue("somebody")
        somebody.put(f"/{kind}/{name}/versions/{version}", content)

    return register


type Add = Callable[[AssetKind, str, str], None]


@pytest.mark.parametrize("kind", list(AssetKind))
def test_a_version_is_found_by_its_number_and_as_the_latest(
    site: Site, add: Add, kind: AssetKind
) -> None:
    for version in ("1", "10", "9"):
        add(kind, "serving", version)
    where = f"{WORKSPACE.id}/{kind}/serving/versions"

    def find(*names: str) -> str | None:
        return site.workspaces.find_asset(WORKSPACE, kind, *names)

    assert find("serving", "10") == f"{where}/10"
    assert find("serving") == f"{where}/9", "the one that was registered last"
    assert find("serving", "2") is None
    assert find("other", "1") is None
    assert find("other") is None


def spec_of(site: Site, **changes: Any) -> DeploymentSpec:
    """Return the specification of a deployment of model pickle 1."""
    model = site.workspaces.get_model(WORKSPACE, "pickle", "1")
    assert model is not None
    usual = DeploymentSpec(
        model_id=model.id, instance_type="Standard_DS3_v2", instance_count=1, tags={"b": "2"}
    )
    return replace(usual, **changes)


@pytest.mark.parametrize(
    ("names", "is_there"),
    [
        ((), True),
        (("computes", "cpu-cluster"), True),
        (("computes", "CPU-cluster"), True),
        (("computes", "gone"), False),
        (("components", "train"), True),
        (("components", "train", "versions", "1"), True),
        (("components", "train", "versions", "2"), False),
        (("components", "gone"), False),
    ],
)
def test_a_resource_is_there_or_not(
    request: pytest.FixtureRequest, site: Site, names: tuple[str, ...], is_there: bool
) -> None:
    if isinstance(site.workspaces, MemoryWorkspaces):
        known = ("computes/cpu-cluster", "components/train", "components/train/versions/1")
        site.workspaces.resources |= {(WORKSPACE.key, *each.split("/")) for each in known}
    else:
        somebody: Somebody = request.getfixturevalue("somebody")
        spec = {"type": "command", "command": "true", "environment": "azureml:e:1"}
        somebody.put("/components/train/versions/1", {"componentSpec": spec})
    assert site.workspaces.has_resource(WORKSPACE, *names) is is_there


def test_a_workspace_that_is_gone_is_not_there(site: Site) -> None:
    gone = replace(WORKSPACE, name="gone")
    if isinstance(site.workspaces, MemoryWorkspaces):
        site.workspaces.gone.add(gone.key)
    assert not site.workspaces.has_resource(gone)
    assert not site.workspaces.has_resource(gone, "computes", "cpu-cluster")


def test_a_pickle_is_deployed_with_an_environment_and_code(site: Site, add: Add) -> None:
    add(ENVIRONMENT, "serving", "1")
    add(CODE, "scoring", "1")
    site.add_model("pickle", "custom_model")
    site.make_endpoint()
    assert (site.endpoint().is_public, site.endpoint().identities) == (True, ())

    def deploy(name: str, container: ServingContainer | None) -> None:
        spec = spec_of(site, container=container)
        site.workspaces.create_deployment(WORKSPACE, "churn", name, spec)

    with pytest.raises(WorkspaceRefused):
        deploy("blue", None)
    environment = f"{WORKSPACE.id}/environments/serving/versions/1"
    code = f"{WORKSPACE.id}/codes/scoring/versions/1"
    with pytest.raises(WorkspaceRefused):
        deploy("blue", ServingContainer(environment=environment.replace("/1", "/2")))
    missing = code.replace("/1", "/2")
    with pytest.raises(WorkspaceRefused):
        deploy("blue", ServingContainer(environment=environment, code=missing, script="score.py"))
    deploy("blue", ServingContainer(environment=environment, code=code, script="score.py"))
    site.pass_time()
    deploy("green", ServingContainer(environment=environment))
    site.pass_time()
    assert {name: made.state for name, made in site.deployments().items()} == {
        "blue": State.SUCCEEDED,
        "green": State.SUCCEEDED,
    }


def test_a_resource_that_a_policy_does_not_allow_is_refused_for_good(site: Site) -> None:
    site.demand("cost_center")
    site.add_model("pickle", "mlflow_model")
    tags = {"cost_center": "4711"}
    kept: dict[str, Any] = {"tags": tags, "is_public": False, "identities": (IDENTITY,)}
    broken: list[dict[str, Any]] = [{"tags": {}}, {"is_public": True}, {"identities": ()}]
    for fault in broken:
        with pytest.raises(WorkspaceRefused, match="RequestDisallowedByPolicy"):
            site.workspaces.create_endpoint(WORKSPACE, "churn", auth_mode="key", **kept | fault)
    site.workspaces.create_endpoint(WORKSPACE, "churn", auth_mode="key", **kept)
    site.pass_time()
    assert (site.endpoint().is_public, site.endpoint().identities) == (False, (IDENTITY,))
    with pytest.raises(WorkspaceRefused, match="RequestDisallowedByPolicy"):
        site.workspaces.create_deployment(WORKSPACE, "churn", "blue", spec_of(site))
    site.workspaces.create_deployment(WORKSPACE, "churn", "blue", spec_of(site, tags=tags))
    site.pass_time()
    site.set_traffic({"blue": 100})
    site.pass_time()
    assert site.endpoint().traffic == {"blue": 100}, "the write of traffic keeps it all"


@pytest.fixture
def stage(workspaces: Any, control: Any, emulator: Any) -> Stage:
    return Stage(workspaces, control, emulator)


def test_the_settings_of_a_deployment_are_kept(stage: Stage, somebody: Somebody) -> None:
    stage.have_endpoint()
    collects = DataCollection(
        collections=("inputs", "outputs"), sampling_rate=0.5, rolling_rate="day"
    )
    serving = Serving(
        max_concurrent_requests=4,
        environment_variables={"A": "${{azureml://connections/a/target}}"},
        is_egress_public=False,
        has_app_insights=True,
        collects=collects,
    )
    for _ in range(2):  # a second try finds the data assets of the first
        spec = stage.spec(serving=serving)
        stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", spec)
        stage.pass_time()
    properties = somebody.get("/onlineEndpoints/ep-1/deployments/blue")["properties"]
    assert properties["requestSettings"]["maxConcurrentRequestsPerInstance"] == 4
    assert properties["environmentVariables"] == {"A": "${{azureml://connections/a/target}}"}
    assert properties["egressPublicNetworkAccess"] == "Disabled"
    assert properties["appInsightsEnabled"] is True
    assert properties["dataCollector"]["rollingRate"] == "Day"
    kept = properties["dataCollector"]["collections"]["inputs"]
    assert kept["dataId"].endswith("/data/ep-1-blue-inputs/versions/1")
    data = somebody.get("/data/ep-1-blue-inputs/versions/1")["properties"]
    place = "azureml://datastores/workspaceblobstore/paths/modelDataCollector/ep-1/blue/inputs"
    assert (data["dataType"], data["dataUri"]) == ("uri_folder", place)


def test_a_write_of_traffic_keeps_what_the_company_set(stage: Stage, somebody: Somebody) -> None:
    stage.put_model()
    stage.workspaces.create_endpoint(
        WORKSPACE,
        "ep-1",
        auth_mode="key",
        tags={"cost_center": "4711"},
        is_public=False,
        identities=(IDENTITY,),
    )
    stage.pass_time()
    stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", stage.spec())
    stage.pass_time()
    before = somebody.get("/onlineEndpoints/ep-1")
    stage.workspaces.set_traffic(WORKSPACE, stage.endpoint(), {"blue": 100}, {"a": "1"})
    stage.pass_time()
    after = somebody.get("/onlineEndpoints/ep-1")
    assert after["identity"] == before["identity"]
    assert after["identity"]["type"] == "UserAssigned"
    assert after["properties"]["publicNetworkAccess"] == "Disabled"
    assert after["tags"] == {"cost_center": "4711", "a": "1"}
    assert after["properties"]["traffic"] == {"blue": 100}
