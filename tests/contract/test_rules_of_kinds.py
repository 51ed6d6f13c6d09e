"""The rules for each kind of endpoint: the same in the emulator and in the twin."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from shared.base.errors import WorkspaceBusy, WorkspaceRefused
from shared.workspaces.model import EndpointKind, State
from tests.contract.conftest import WORKSPACE
from tests.contract.sites import Site, make_site

BATCH, KUBERNETES, MANAGED = EndpointKind.BATCH, EndpointKind.KUBERNETES, EndpointKind.MANAGED


@pytest.fixture(params=["twin", "emulator"])
def site(request: pytest.FixtureRequest) -> Site:
    """Each of the two, with model churn 1 in it."""
    return make_site(request)


@pytest.mark.parametrize("kind", list(EndpointKind))
def test_an_endpoint_of_each_kind_is_made_and_serves(site: Site, kind: EndpointKind) -> None:
    site.kind = kind
    site.make_endpoint("blue")
    blue = site.deployments()["blue"]
    assert (blue.state, blue.instance_count, blue.tags) == (State.SUCCEEDED, 1, {"b": "2"})
    model = site.workspaces.get_model(WORKSPACE, "churn", "1")
    assert model is not None
    assert blue.model.lower() == model.id.lower()
    assert not any(site.endpoint().traffic.values())
    site.set_traffic({"blue": 100})
    assert site.endpoint().state is State.UPDATING
    site.pass_time()
    endpoint = site.endpoint()
    assert (endpoint.kind, endpoint.state) == (kind, State.SUCCEEDED)
    assert (endpoint.traffic, endpoint.mirror) == ({"blue": 100}, {})
    assert endpoint.tags == {"a": "1", "c": "3"}


@pytest.mark.parametrize("kind", list(EndpointKind))
def test_on_each_kind_what_serves_is_not_deleted_and_what_does_not_is(
    site: Site, kind: EndpointKind
) -> None:
    site.kind = kind
    site.make_endpoint("blue", "green")
    site.set_traffic({"blue": 0, "green": 100})
    site.pass_time()
    with pytest.raises(WorkspaceRefused):
        site.delete("green")
    site.delete("blue")
    assert site.deployments()["blue"].state is State.DELETING
    site.pass_time()
    assert list(site.deployments()) == ["green"]
    site.set_traffic({})
    site.pass_time()
    assert not any(site.endpoint().traffic.values())
    site.delete("green")
    site.pass_time()
    assert site.deployments() == {}


@pytest.mark.parametrize("kind", list(EndpointKind))
def test_on_each_kind_traffic_goes_to_nobody_who_is_not_there(
    site: Site, kind: EndpointKind
) -> None:
    site.kind = kind
    site.make_endpoint("blue")
    with pytest.raises(WorkspaceRefused):
        site.set_traffic({"nobody": 100})


@pytest.mark.parametrize("kind", list(EndpointKind))
def test_on_each_kind_one_thing_is_done_at_a_time(site: Site, kind: EndpointKind) -> None:
    site.kind = kind
    site.make_endpoint("blue")
    site.set_traffic({"blue": 100})
    with pytest.raises(WorkspaceBusy):
        site.deploy("green")
    with pytest.raises(WorkspaceBusy):
        site.set_traffic({})
    site.pass_time()
    site.deploy("green")
    with pytest.raises(WorkspaceBusy):
        site.delete("green")


# Kubernetes


def test_a_kubernetes_endpoint_splits_traffic_but_mirrors_none(site: Site) -> None:
    site.kind = KUBERNETES
    site.make_endpoint("blue", "green")
    site.set_traffic({"blue": 90, "green": 10})
    site.pass_time()
    assert site.endpoint().traffic == {"blue": 90, "green": 10}
    with pytest.raises(WorkspaceRefused):
        site.set_traffic({"blue": 100}, {"green": 10})
    site.set_traffic({"blue": 100}, {"green": 0})


def test_a_kubernetes_endpoint_is_found_among_the_managed_ones(site: Site) -> None:
    site.kind = KUBERNETES
    site.make_endpoint()
    site.kind = MANAGED
    assert site.endpoint().kind is KUBERNETES


@pytest.mark.parametrize(("kind", "other"), [(KUBERNETES, MANAGED), (MANAGED, KUBERNETES)])
def test_a_deployment_of_another_kind_is_refused(
    site: Site, kind: EndpointKind, other: EndpointKind
) -> None:
    site.kind = kind
    site.make_endpoint()
    with pytest.raises(WorkspaceRefused):
        site.deploy("blue", kind=other)


def test_a_kubernetes_endpoint_needs_a_cluster(site: Site) -> None:
    with pytest.raises(WorkspaceRefused):
        site.workspaces.create_endpoint(
            WORKSPACE, "churn", auth_mode="key", tags={}, kind=KUBERNETES
        )
    assert site.workspaces.get_endpoint(WORKSPACE, "churn") is None


def test_a_kubernetes_endpoint_is_not_called_with_tokens_of_entra(site: Site) -> None:
    site.kind = KUBERNETES
    with pytest.raises(WorkspaceRefused):
        site.start_endpoint(auth_mode="aad_token")
    site.start_endpoint(auth_mode="key")


def test_a_kubernetes_deployment_is_scaled_and_takes_no_cores_of_the_region(site: Site) -> None:
    site.limit_cores(0)
    site.kind = KUBERNETES
    site.make_endpoint("blue")
    site.scale("blue", 3)
    site.pass_time()
    assert site.deployments()["blue"].instance_count == 3
    capacity = site.workspaces.find_capacity(WORKSPACE, "Standard_DS3_v2")
    assert capacity is not None
    assert capacity.used == 0


# Batch


@pytest.mark.parametrize(
    ("traffic", "mirror"),
    [({"blue": 90, "green": 10}, {}), ({"blue": 10}, {}), ({"blue": 100}, {"green": 10})],
)
def test_a_batch_endpoint_shares_out_nothing(
    site: Site, traffic: Mapping[str, int], mirror: Mapping[str, int]
) -> None:
    site.kind = BATCH
    site.make_endpoint("blue", "green")
    with pytest.raises(WorkspaceRefused):
        site.set_traffic(traffic, mirror)


def test_a_batch_endpoint_is_called_with_tokens_of_entra_only(site: Site) -> None:
    site.kind = BATCH
    with pytest.raises(WorkspaceRefused):
        site.start_endpoint(auth_mode="key")


def test_a_batch_endpoint_runs_only_mlflow_models_without_code(site: Site) -> None:
    site.kind = BATCH
    site.make_endpoint("blue")
    for kind in ("triton_model", "custom_model"):
        site.add_model(kind.replace("_", "-"), kind)
        with pytest.raises(WorkspaceRefused):
            site.deploy("green", model_name=kind.replace("_", "-"))


@pytest.mark.parametrize("kind", [MANAGED, KUBERNETES])
def test_an_online_endpoint_runs_triton_models_without_code(site: Site, kind: EndpointKind) -> None:
    site.kind = kind
    site.make_endpoint()
    site.add_model("custom", "custom_model")
    with pytest.raises(WorkspaceRefused):
        site.deploy("green", model_name="custom")
    site.add_model("triton", "triton_model")
    site.deploy("green", model_name="triton")


def test_a_batch_endpoint_answers_no_scoring_requests(site: Site) -> None:
    site.kind = BATCH
    site.make_endpoint("blue")
    endpoint = site.endpoint()
    with pytest.raises(WorkspaceRefused):
        site.workspaces.score(WORKSPACE, endpoint, "blue", b"{}", timeout=timedelta(seconds=5))


def test_a_batch_endpoint_has_names_of_its_own_and_is_no_online_one(site: Site) -> None:
    site.make_endpoint("blue")
    site.kind = BATCH
    site.make_endpoint("green")
    assert list(site.deployments()) == ["green"]
    site.kind = KUBERNETES
    site.start_endpoint("other")
    site.pass_time()
    found = {endpoint.name: endpoint.kind for endpoint in site.workspaces.list_endpoints(WORKSPACE)}
    assert found == {"churn": MANAGED, "other": KUBERNETES}
