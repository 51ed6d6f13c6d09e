"""Online endpoints on an attached Kubernetes cluster: what is the same, and what is not."""

import pytest

from tests.sandbox.conftest import WORKSPACE

EP = "/onlineEndpoints/ep-1"
BLUE = f"{EP}/deployments/blue"
CLUSTER = f"{WORKSPACE}/computes/k8s"


def error_of(response):
    return response.status_code, response.json()["error"]["code"]


def put_deployment(arm, name="blue", **properties):
    usual = {"endpointComputeType": "Kubernetes", "instanceType": None}
    return arm.put_deployment(name, **(usual | properties))


@pytest.fixture
def cluster(arm):
    """An endpoint on the cluster, with two deployments."""
    arm.put_model()
    assert arm.put_endpoint(compute=CLUSTER).status_code == 201
    arm.pass_time()
    for name in ("blue", "green"):
        assert put_deployment(arm, name).status_code == 201
    arm.pass_time()
    return arm


def test_the_attached_cluster_is_among_the_computes(arm):
    computes = {each["name"]: each["properties"] for each in arm.get("/computes").json()["value"]}
    kinds = {
        name: (each["computeType"], each["isAttachedCompute"]) for name, each in computes.items()
    }
    assert kinds == {"cpu-cluster": ("AmlCompute", False), "k8s": ("Kubernetes", True)}
    properties = arm.properties("/computes/K8S")["properties"]
    assert properties["defaultInstanceType"] in properties["instanceTypes"]


def test_an_endpoint_and_its_deployments_say_what_they_run_on(cluster):
    endpoint, deployment = cluster.get(EP).json(), cluster.get(BLUE).json()
    assert (endpoint["kind"], endpoint["properties"]["compute"]) == ("Kubernetes", CLUSTER)
    assert deployment["kind"] == "Kubernetes"
    assert deployment["properties"]["endpointComputeType"] == "Kubernetes"
    assert deployment["properties"]["instanceType"] == "defaultinstancetype"


def test_endpoints_are_listed_by_what_they_run_on_and_by_their_properties(cluster):
    cluster.put_endpoint("ep-2", properties={"team": "risk"})

    def listed(**query):
        found = cluster.get("/onlineEndpoints", **query).json()["value"]
        return [endpoint["name"] for endpoint in found]

    assert listed(computeType="Kubernetes") == ["ep-1"]
    assert listed(computeType="managed") == ["ep-2"]
    assert listed(properties="team=risk") == ["ep-2"]


def test_a_managed_endpoint_runs_on_no_cluster(arm):
    arm.have("blue")
    assert arm.get(EP).json()["kind"] == arm.get(BLUE).json()["kind"] == "Managed"
    assert arm.properties(EP)["compute"] is None


def test_a_kubernetes_endpoint_scores_and_shifts_traffic_as_any_other(cluster):
    assert cluster.put_endpoint(compute=CLUSTER, traffic={"blue": 0, "green": 100}).is_success
    cluster.pass_time()
    assert cluster.score().headers["azureml-model-deployment"] == "green"
    assert cluster.score(deployment="blue").status_code == 200


@pytest.mark.parametrize("mode", ["AADToken", "aadtoken"])
def test_callers_cannot_sign_in_to_a_cluster_with_entra(cluster, mode):
    asked = {"compute": CLUSTER, "authMode": mode}
    for name in ("ep-1", "ep-2"):
        assert error_of(cluster.put_endpoint(name, **asked)) == (400, "BadArgument")
    assert cluster.properties(EP)["authMode"] == "Key"
    assert cluster.put_endpoint("ep-2", compute=CLUSTER, authMode="AMLToken").is_success


@pytest.mark.parametrize(
    "compute",
    ["k8s", f"{WORKSPACE}/computes/cpu-cluster", f"{WORKSPACE}/computes/other", "/computes/k8s"],
)
def test_an_endpoint_needs_the_id_of_an_attached_cluster(arm, compute):
    assert error_of(arm.put_endpoint(compute=compute)) == (400, "BadArgument")
    assert arm.get(EP).status_code == 404


@pytest.mark.parametrize("compute", [None, f"{WORKSPACE}/computes/other"])
def test_an_endpoint_stays_on_its_cluster(cluster, compute):
    assert error_of(cluster.put_endpoint(compute=compute)) == (400, "BadArgument")
    assert cluster.put_endpoint(compute=CLUSTER.upper()).status_code == 200


def test_an_endpoint_does_not_move_to_a_cluster(arm):
    arm.have()
    assert error_of(arm.put_endpoint(compute=CLUSTER)) == (400, "BadArgument")


def test_traffic_of_a_kubernetes_endpoint_is_not_mirrored(cluster):
    refused = cluster.put_endpoint(
        compute=CLUSTER, traffic={"blue": 100}, mirrorTraffic={"green": 10}
    )
    assert error_of(refused) == (400, "BadArgument")
    assert "cannot be mirrored" in refused.json()["error"]["message"]
    none = {"traffic": {"blue": 100}, "mirrorTraffic": {"green": 0}}
    assert cluster.put_endpoint(compute=CLUSTER, **none).status_code == 200


def test_managed_and_kubernetes_are_not_mixed(cluster):
    managed = cluster.put_deployment("red")
    assert error_of(managed) == (400, "BadArgument")
    assert "does not match" in managed.json()["error"]["message"]
    cluster.put_endpoint("ep-2")
    cluster.pass_time()
    assert error_of(put_deployment(cluster, endpoint="ep-2")) == (400, "BadArgument")


@pytest.mark.parametrize("name", ["gpu", "my-type.large"])
def test_an_instance_type_has_any_name_that_kubernetes_allows(cluster, name):
    assert put_deployment(cluster, "red", instanceType=name).status_code == 201
    assert cluster.properties(f"{EP}/deployments/red")["instanceType"] == name


@pytest.mark.parametrize("name", ["Standard_DS3_v2", "-gpu", "gpu-", "a b", "", 5, "x" * 64])
def test_names_that_kubernetes_does_not_take_are_refused(cluster, name):
    assert error_of(put_deployment(cluster, "red", instanceType=name)) == (400, "BadArgument")


def test_a_kubernetes_deployment_takes_none_of_the_regions_quota(cluster, control):
    control.quota(0)
    assert put_deployment(cluster, "red", capacity=10).status_code == 201
    assert cluster.patch(BLUE, {"sku": {"capacity": 5}}).status_code == 202
    region = "/subscriptions/sub-1/providers/Microsoft.MachineLearningServices/locations/westeurope"
    usages = cluster.http.get(f"{region}/usages").json()["value"]
    assert {usage["currentValue"] for usage in usages} == {0}
