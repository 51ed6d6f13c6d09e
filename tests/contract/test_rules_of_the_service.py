"""The rules of the service that rollouts lean on: the same in the emulator and in the twin."""

from collections.abc import Mapping

import pytest

from shared.base.errors import QuotaExceeded, WorkspaceBusy, WorkspaceRefused
from shared.workspaces.model import Capacity, OperationStatus, State
from tests.contract.conftest import WORKSPACE
from tests.contract.sites import A100, Site, make_site


@pytest.fixture(params=["twin", "emulator"])
def site(request: pytest.FixtureRequest) -> Site:
    """Each of the two, with model churn 1 in it."""
    return make_site(request)


def test_an_endpoint_is_there_at_once_and_ready_later(site: Site) -> None:
    operation = site.start_endpoint()
    assert site.endpoint().state is State.CREATING
    assert site.result(operation).status is OperationStatus.RUNNING
    site.pass_time()
    assert site.result(operation).status is OperationStatus.SUCCEEDED
    assert site.endpoint().state is State.SUCCEEDED


def test_a_deployment_is_made_without_traffic(site: Site) -> None:
    site.make_endpoint()
    site.deploy("blue")
    assert site.deployments()["blue"].state is State.CREATING
    site.pass_time()
    blue = site.deployments()["blue"]
    assert (blue.state, blue.tags) == (State.SUCCEEDED, {"b": "2"})
    assert (blue.instance_type, blue.instance_count) == ("Standard_DS3_v2", 1)
    assert not any(site.endpoint().traffic.values())


def test_while_a_deployment_is_made_nothing_else_is_done_on_its_endpoint(site: Site) -> None:
    site.make_endpoint()
    site.deploy("blue")
    with pytest.raises(WorkspaceBusy):
        site.delete("blue")
    with pytest.raises(WorkspaceBusy):
        site.set_traffic({})


def test_while_traffic_is_being_set_no_deployment_is_made(site: Site) -> None:
    site.make_endpoint("blue")
    site.set_traffic({"blue": 100})
    assert site.endpoint().state is State.UPDATING
    with pytest.raises(WorkspaceBusy):
        site.deploy("green")


def test_traffic_is_set_whole_and_tags_are_merged(site: Site) -> None:
    site.make_endpoint("blue")
    site.set_traffic({"blue": 100})
    site.pass_time()
    assert site.endpoint().traffic == {"blue": 100}
    assert site.endpoint().tags == {"a": "1", "c": "3"}
    site.set_traffic({})
    site.pass_time()
    assert not any(site.endpoint().traffic.values())


@pytest.mark.parametrize("traffic", [{"blue": 90}, {"blue": 130}, {"nobody": 100}])
def test_a_split_that_cannot_be_is_refused(site: Site, traffic: Mapping[str, int]) -> None:
    site.make_endpoint("blue")
    with pytest.raises(WorkspaceRefused):
        site.set_traffic(traffic)


def test_a_deployment_with_traffic_is_not_deleted_and_without_it_is(site: Site) -> None:
    site.make_endpoint("blue")
    site.set_traffic({"blue": 100})
    site.pass_time()
    with pytest.raises(WorkspaceRefused):
        site.delete("blue")
    site.set_traffic({})
    site.pass_time()
    site.delete("blue")
    assert site.deployments()["blue"].state is State.DELETING
    site.pass_time()
    assert site.deployments() == {}


def test_a_failed_deployment_stays_and_only_the_operation_says_why(site: Site) -> None:
    site.make_endpoint()
    site.break_deployments()
    operation = site.deploy("blue")
    site.pass_time()
    assert site.deployments()["blue"].state is State.FAILED
    result = site.result(operation)
    assert result.status is OperationStatus.FAILED
    assert result.code == "ResourceNotReady"
    assert "crashed" in result.message


def test_traffic_that_could_not_be_set_stays_as_it_was_on_a_failed_endpoint(site: Site) -> None:
    site.make_endpoint("blue")
    site.break_traffic()
    operation = site.set_traffic({"blue": 100})
    site.pass_time()
    assert site.result(operation).status is OperationStatus.FAILED
    assert site.endpoint().state is State.FAILED
    assert not any(site.endpoint().traffic.values())
    with pytest.raises(WorkspaceRefused):
        site.deploy("green")


# Mirrored traffic


def test_traffic_is_mirrored_until_it_is_set_without(site: Site) -> None:
    site.make_endpoint("blue", "green")
    site.set_traffic({"blue": 100}, {"green": 50})
    site.pass_time()
    endpoint = site.endpoint()
    assert (endpoint.traffic, endpoint.mirror) == ({"blue": 100}, {"green": 50})
    site.set_traffic({"blue": 90, "green": 10})
    site.pass_time()
    endpoint = site.endpoint()
    assert (endpoint.traffic, endpoint.mirror) == ({"blue": 90, "green": 10}, {})


@pytest.mark.parametrize(
    ("traffic", "mirror"),
    [
        ({"blue": 100}, {"green": 51}),
        ({"blue": 100}, {"green": 10, "red": 10}),
        ({"blue": 90, "green": 10}, {"green": 10}),
        ({"blue": 100}, {"nobody": 10}),
        ({"blue": 100}, {"green": -1}),
    ],
)
def test_a_mirror_that_cannot_be_is_refused(
    site: Site, traffic: Mapping[str, int], mirror: Mapping[str, int]
) -> None:
    site.make_endpoint("blue", "green", "red")
    with pytest.raises(WorkspaceRefused):
        site.set_traffic(traffic, mirror)


def test_a_deployment_with_mirrored_traffic_is_not_deleted(site: Site) -> None:
    site.make_endpoint("blue", "green")
    site.set_traffic({"blue": 100}, {"green": 10})
    site.pass_time()
    with pytest.raises(WorkspaceRefused):
        site.delete("green")


# Size


def test_a_deployment_is_scaled_while_nobody_waits_and_stays_what_it_is(site: Site) -> None:
    site.make_endpoint("blue")
    site.set_traffic({"blue": 100})
    site.pass_time()
    before = site.deployments()["blue"]
    operation = site.scale("blue", 3)
    assert not site.deployments()["blue"].state.is_settled
    assert site.result(operation).status is OperationStatus.RUNNING
    with pytest.raises(WorkspaceBusy):
        site.set_traffic({})
    with pytest.raises(WorkspaceBusy):
        site.scale("blue", 4)
    site.pass_time()
    assert site.result(operation).status is OperationStatus.SUCCEEDED
    blue = site.deployments()["blue"]
    assert (blue.state, blue.instance_count) == (State.SUCCEEDED, 3)
    assert (blue.model, blue.instance_type) == (before.model, before.instance_type)
    assert blue.tags == before.tags
    assert site.endpoint().traffic == {"blue": 100}


def test_scaling_that_fails_leaves_a_failed_deployment(site: Site) -> None:
    site.make_endpoint("blue")
    site.break_deployments()
    operation = site.scale("blue", 3)
    site.pass_time()
    assert site.result(operation).status is OperationStatus.FAILED
    assert site.deployments()["blue"].state is State.FAILED


@pytest.mark.parametrize(("name", "instances"), [("blue", 0), ("blue", 51), ("nobody", 2)])
def test_a_size_that_cannot_be_is_refused(site: Site, name: str, instances: int) -> None:
    site.make_endpoint("blue")
    site.limit_cores(1000)
    with pytest.raises(WorkspaceRefused):
        site.scale(name, instances)


def test_a_fifth_more_cores_are_needed_than_asked_for(site: Site) -> None:
    site.limit_cores(4 * 5)
    site.make_endpoint("blue", "green")
    with pytest.raises(QuotaExceeded):
        site.deploy("red")
    with pytest.raises(QuotaExceeded):
        site.scale("blue", 3)
    assert site.deployments()["blue"].instance_count == 1
    site.scale("blue", 2)
    site.pass_time()
    assert site.deployments()["blue"].instance_count == 2


def test_some_sizes_skip_the_reserve(site: Site) -> None:
    site.limit_cores(2 * A100.cores, A100)
    site.make_endpoint()
    site.deploy("blue", size=A100)
    site.pass_time()
    capacity = site.workspaces.find_capacity(WORKSPACE, A100.name)
    assert capacity is not None
    assert (capacity.used, capacity.limit) == (24, 48)
    with pytest.raises(QuotaExceeded):
        site.scale("blue", 3)
    site.scale("blue", 2)
    site.pass_time()
    assert site.deployments()["blue"].instance_count == 2


def test_what_is_left_counts_what_is_there(site: Site) -> None:
    site.limit_cores(50)
    family = "standardDSv2Family"
    before = site.workspaces.find_capacity(WORKSPACE, "Standard_DS3_v2")
    assert before == Capacity(family=family, cores=4, used=0, limit=50)
    site.make_endpoint("blue")
    after = site.workspaces.find_capacity(WORKSPACE, "Standard_DS3_v2")
    assert after == Capacity(family=family, cores=4, used=8, limit=50)


def test_a_size_that_the_region_does_not_list_has_no_capacity(site: Site) -> None:
    assert site.workspaces.find_capacity(WORKSPACE, "Standard_Nope") is None


def test_an_endpoint_has_no_more_than_twenty_deployments(site: Site) -> None:
    site.limit_cores(1000)
    site.make_endpoint(*(f"blue-{number}" for number in range(20)))
    with pytest.raises(WorkspaceRefused):
        site.deploy("green")
    site.delete("blue-7")
    site.pass_time()
    site.deploy("green")


def test_nothing_is_made_or_scaled_on_an_endpoint_that_is_not_there(site: Site) -> None:
    with pytest.raises(WorkspaceRefused):
        site.deploy("blue")
    with pytest.raises(WorkspaceRefused):
        site.scale("blue", 2)
