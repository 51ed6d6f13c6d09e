"""Online deployments: what is allowed, what is in the way, quota, and how they fail."""

import json

import pytest

EP = "/onlineEndpoints/ep-1"
BLUE = f"{EP}/deployments/blue"
GREEN = f"{EP}/deployments/green"
REGION = "/subscriptions/sub-1/providers/Microsoft.MachineLearningServices/locations/westeurope"


def error_of(response):
    return response.status_code, response.json()["error"]["code"]


def message_of(response):
    return response.json()["error"]["message"]


def test_a_model_is_deployed_without_code(arm):
    arm.have()
    created = arm.put_deployment(capacity=2, environmentVariables={"A": "b"})
    assert created.status_code == 201
    assert created.json()["properties"]["provisioningState"] == "Creating"
    arm.pass_time()
    document = arm.get(BLUE).json()
    assert document["sku"] == {"name": "Default", "capacity": 2}
    properties = document["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert properties["endpointComputeType"] == "Managed"
    assert properties["scaleSettings"] == {"scaleType": "Default"}
    assert properties["environmentVariables"] == {"A": "b"}
    assert "Listening" in arm.post(f"{BLUE}/getLogs", {"tail": 1}).json()["content"]


@pytest.mark.parametrize(
    ("properties", "status", "code"),
    [
        ({"instanceType": 4}, 400, "BadArgument"),
        ({"instanceType": "Standard_Imaginary"}, 400, "BadRequest"),
        ({"instanceType": "Standard_D2_v3"}, 400, "BadRequest"),
        ({"endpointComputeType": "Kubernetes"}, 400, "BadArgument"),
        ({"endpointComputeType": "AzureMLCompute"}, 400, "BadArgument"),
        ({"capacity": 0}, 400, "BadArgument"),
        ({"capacity": 51}, 400, "BadArgument"),
        ({"capacity": "2"}, 400, "BadArgument"),
        ({"model": None}, 400, "BadArgument"),
        ({"model": "azureml:churn:99"}, 404, "ResourceNotFound"),
        ({"model": "azureml:other:1"}, 404, "ResourceNotFound"),
        ({"model": "churn"}, 400, "BadArgument"),
        ({"model": "azureml:churn@latest"}, 400, "BadArgument"),
        (
            {"model": "/subscriptions/s/resourceGroups/r/workspaces/w/models/churn/versions/1"},
            400,
            "BadArgument",
        ),
        ({"model": "azureml:custom:1"}, 400, "BadArgument"),
        ({"model": "azureml:no-pyfunc:1"}, 400, "BadArgument"),
        ({"model": "azureml://registries/azureml/models/a/versions/1"}, 501, "NotEmulated"),
        ({"model": "azureml:azureml://registries/r/models/a/versions/1"}, 501, "NotEmulated"),
        ({"environmentId": "azureml:env:1"}, 404, "ResourceNotFound"),
        (
            {"codeConfiguration": {"codeId": "azureml:c:1", "scoringScript": "score.py"}},
            404,
            "ResourceNotFound",
        ),
        ({"dataCollector": {"collections": {"in": {"samplingRate": 1.5}}}}, 400, "BadArgument"),
        (
            {"dataCollector": {"collections": {"in": {"dataId": "azureml:nothing:1"}}}},
            404,
            "ResourceNotFound",
        ),
        ({"dataCollector": {"rollingRate": "Hour"}}, 400, "BadArgument"),
        ({"livenessProbe": {"failureThreshold": 0}}, 400, "BadArgument"),
        ({"readinessProbe": {"successThreshold": -1}}, 400, "BadArgument"),
    ],
)
def test_a_deployment_that_cannot_work_is_refused(arm, properties, status, code):
    arm.have()
    arm.put_model("custom", modelType="custom_model")
    arm.put_model("no-pyfunc", flavors={"sklearn": {}})
    assert error_of(arm.put_deployment(**properties)) == (status, code)
    assert arm.get(BLUE).status_code == 404


@pytest.mark.parametrize(
    "properties",
    [
        {"model": "azureml:triton:1"},
        {"model": "azureml:custom:1", "environmentId": "azureml:env:1"},
        {"model": None, "environmentId": "azureml:env:1"},
        {"environmentId": "azureml:AzureML-sklearn-1.5@latest"},
        {"environmentId": "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"},
        {"livenessProbe": {"period": None, "failureThreshold": None}},
    ],
)
def test_other_deployments_that_can_work_are_accepted(arm, properties):
    arm.have()
    arm.put_model("triton", modelType="triton_model")
    arm.put_model("custom", modelType="custom_model")
    arm.put_environment()
    assert arm.put_deployment(**properties).status_code == 201


def test_the_first_deployment_of_a_recipe_waits_for_its_image(arm, control):
    arm.have()
    arm.put_model("custom", modelType="custom_model")
    arm.put("/environments/recipe/versions/1", {"properties": {"image": "i", "condaFile": "c"}})
    arm.put_environment()
    own = {"model": "azureml:custom:1"}
    arm.put_deployment("plain", **own, environmentId="azureml:env:1")
    arm.put_deployment("first", **own, environmentId="azureml:recipe:1")
    control.advance(500)

    def state(name):
        return arm.properties(f"{EP}/deployments/{name}")["provisioningState"]

    assert (state("plain"), state("first")) == ("Succeeded", "Creating")
    control.advance(600)
    assert state("first") == "Succeeded"
    arm.put_deployment("second", **own, environmentId="azureml:recipe:1")
    control.advance(500)
    assert state("second") == "Succeeded"


def test_a_model_may_be_named_in_every_form_of_asset_id(arm):
    arm.have()
    guid = arm.properties("")["workspaceId"]
    arm_id = arm.get("/models/churn/versions/1").json()["id"]
    for number, reference in enumerate(
        (
            arm_id,
            f"azureml:{arm_id.lower()}",
            f"azureml://locations/westeurope/workspaces/{guid}/models/churn/versions/1",
            "churn:1",
        )
    ):
        assert arm.put_deployment(f"blue-{number}", model=reference).status_code == 201


def test_an_endpoint_has_at_most_twenty_deployments(arm, control):
    arm.have(*(f"blue-{number}" for number in range(9)))
    control.quota(10_000)
    for number in range(9, 20):
        assert arm.put_deployment(f"blue-{number}").status_code == 201
    assert error_of(arm.put_deployment("blue-20")) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("running", "refused"),
    [
        ("create blue", "update blue"),
        ("create blue", "delete blue"),
        ("create blue", "traffic"),
        ("create blue", "tags"),
        ("create blue", "delete endpoint"),
        ("traffic", "traffic"),
        ("traffic", "create blue"),
        ("traffic", "delete green"),
        ("delete green", "traffic"),
        ("delete green", "create green"),
        ("delete endpoint", "create blue"),
    ],
)
def test_a_write_is_refused_while_another_runs_on_the_same_entity(arm, running, refused):
    arm.have("green")
    writes = {
        "create blue": lambda: arm.put_deployment("blue"),
        "update blue": lambda: arm.put_deployment("blue", capacity=2),
        "delete blue": lambda: arm.delete(BLUE),
        "create green": lambda: arm.put_deployment("green"),
        "delete green": lambda: arm.delete(GREEN),
        "traffic": lambda: arm.put_endpoint(traffic={}),
        "tags": lambda: arm.patch(EP, {"tags": {}}),
        "delete endpoint": lambda: arm.delete(EP),
    }
    assert writes[running]().is_success
    response = writes[refused]()
    assert error_of(response) == (409, "Conflict")
    assert "another operation on same entity is already running" in message_of(response)
    arm.pass_time()


def test_two_deployments_can_be_created_at_the_same_time(arm):
    arm.have()
    assert arm.put_deployment("blue").status_code == 201
    assert arm.put_deployment("green").status_code == 201


def test_a_failed_endpoint_takes_no_deployments(arm, control):
    control.fail_endpoint("endpoint_create")
    arm.have()
    assert arm.properties(EP)["provisioningState"] == "Failed"
    response = arm.put_deployment()
    assert error_of(response) == (409, "Conflict")
    assert "it is in Failed provisioning state" in message_of(response)


def test_a_deployment_with_traffic_cannot_be_deleted(arm):
    arm.have("blue", "green", blue=100)
    assert error_of(arm.delete(BLUE)) == (400, "BadRequest")
    assert arm.delete(GREEN).status_code == 202
    arm.pass_time()
    assert arm.delete(GREEN).status_code == 204
    assert len(arm.get(f"{EP}/deployments").json()["value"]) == 1


def test_a_deployment_can_be_scaled_by_patch(arm):
    arm.have("blue")
    patched = arm.patch(BLUE, {"sku": {"capacity": 3}, "tags": {"a": "b"}})
    assert patched.status_code == 202
    arm.pass_time()
    result = arm.http.get(patched.headers["location"]).json()
    assert (result["sku"]["capacity"], result["tags"]) == (3, {"a": "b"})
    assert result["properties"]["provisioningState"] == "Succeeded"
    assert error_of(arm.patch(BLUE, {"properties": {}})) == (400, "BadArgument")
    sku = arm.get(f"{BLUE}/skus").json()["value"][0]
    assert sku["capacity"]["maximum"] == 50


def test_scaling_takes_its_time_and_the_deployment_answers_meanwhile(arm, control):
    arm.have("blue", blue=100)
    scaled = arm.patch(BLUE, {"sku": {"capacity": 3}})
    control.advance(290)
    assert arm.operation(scaled)["status"] == "InProgress"
    assert arm.properties(BLUE)["provisioningState"] == "Updating"
    assert arm.score().status_code == 200
    for write in (
        arm.patch(BLUE, {"sku": {"capacity": 2}}),
        arm.put_deployment("blue"),
        arm.put_endpoint(traffic={}),
        arm.delete(BLUE),
    ):
        assert error_of(write) == (409, "Conflict")
    control.advance(20)
    assert arm.operation(scaled)["status"] == "Succeeded"
    assert arm.get(BLUE).json()["sku"]["capacity"] == 3


def test_scaling_needs_quota_and_can_fail(arm, control):
    arm.have("blue")
    control.quota(12, "standardDSv2Family")
    assert error_of(arm.patch(BLUE, {"sku": {"capacity": 3}})) == (400, "BadRequest")
    assert error_of(arm.patch(BLUE, {"sku": {"capacity": 0}})) == (400, "BadArgument")
    document = arm.get(BLUE).json()
    assert (document["sku"]["capacity"], document["properties"]["provisioningState"]) == (
        1,
        "Succeeded",
    )
    control.fail_deployment(operation="deployment_update", code="OutOfCapacity")
    failed = arm.patch(BLUE, {"sku": {"capacity": 2}})
    assert failed.status_code == 202
    arm.pass_time()
    assert arm.operation(failed)["error"]["code"] == "OutOfCapacity"


# Failures


def test_a_crashing_container_fails_the_operation_and_leaves_its_log(arm, control):
    arm.have()
    control.fail_deployment(model="churn", version="1")
    created = arm.put_deployment()
    assert created.status_code == 201
    arm.pass_time()
    operation = arm.operation(created)
    assert operation["status"] == "Failed"
    assert operation["error"]["code"] == "ResourceNotReady"
    assert arm.properties(BLUE)["provisioningState"] == "Failed"
    assert "error" not in arm.get(BLUE).json()
    log = arm.post(f"{BLUE}/getLogs", {}).json()["content"]
    assert "Traceback (most recent call last)" in log
    assert "UserContainerStart: Failed" in log
    assert arm.delete(BLUE).status_code == 202


@pytest.mark.parametrize("code", ["ImageBuildFailure", "OutOfCapacity", "InternalServerError"])
def test_a_deployment_fails_with_the_programmed_code(arm, control, code):
    arm.have()
    control.fail_deployment(code=code, endpoint="ep-*", deployment="bl*", times=1)
    failed = arm.put_deployment()
    arm.pass_time()
    assert arm.operation(failed)["error"]["code"] == code
    arm.put_deployment()
    arm.pass_time()
    assert arm.properties(BLUE)["provisioningState"] == "Succeeded"


def test_a_behaviour_belongs_to_one_version_of_a_model(arm, control):
    arm.have()
    arm.put_model(version="2")
    control.fail_deployment(model="churn", version="2")
    arm.put_deployment("blue", model="churn:1")
    arm.put_deployment("green", model="churn:2")
    arm.pass_time()
    assert arm.properties(BLUE)["provisioningState"] == "Succeeded"
    assert arm.properties(GREEN)["provisioningState"] == "Failed"


def test_a_deployment_can_be_canceled(arm, control):
    arm.have()
    control.cancel_deployment()
    created = arm.put_deployment()
    arm.pass_time()
    operation = arm.operation(created)
    assert (operation["status"], operation["error"]["code"]) == ("Canceled", "OperationCanceled")
    assert arm.properties(BLUE)["provisioningState"] == "Canceled"


def test_provisioning_takes_the_programmed_time(arm, control):
    arm.have()
    control.provisioning(300, "deployment_create", model="churn")
    created = arm.put_deployment()
    control.advance(290)
    assert arm.operation(created)["status"] == "InProgress"
    control.advance(11)
    assert arm.operation(created)["status"] == "Succeeded"


def test_log_requests_that_make_no_sense_are_refused(arm):
    arm.have("blue")
    assert error_of(arm.post(f"{BLUE}/getLogs", {"tail": 0})) == (400, "BadArgument")
    assert error_of(arm.post(f"{BLUE}/getLogs", {"containerType": "x"})) == (400, "BadArgument")
    container = {"containerType": "StorageInitializer"}
    assert "downloaded" in arm.post(f"{BLUE}/getLogs", container).json()["content"]


# Quota


def test_too_few_cores_refuse_the_request_at_once_as_the_service_words_it(arm, control):
    arm.have()
    control.quota(6, "standardDSv2Family")
    response = arm.put_deployment(capacity=1)
    assert error_of(response) == (400, "BadRequest")
    [detail] = response.json()["error"]["details"]
    assert detail["code"] == "InferencingClientCreateDeploymentFailed"
    problem = json.loads(detail["message"].partition("error detail: ")[2])
    assert problem["status"] == 400
    [message] = problem["errors"]["VmSize"]
    assert "Not enough quota available for Standard_DS3_v2 in SubscriptionId sub-1" in message
    assert "Current usage/limit: 0/6. Additional needed: 8" in message


@pytest.mark.parametrize(("instances", "cores"), [(1, 8), (2, 12), (5, 24), (10, 48)])
def test_a_fifth_more_instances_is_reserved(arm, control, instances, cores):
    arm.have()
    control.quota(cores - 1)
    assert error_of(arm.put_deployment(capacity=instances)) == (400, "BadRequest")
    control.quota(cores)
    assert arm.put_deployment(capacity=instances).status_code == 201
    usages = arm.http.get(f"{REGION}/usages").json()["value"]
    of_family = [u for u in usages if u["name"]["value"] == "standardDSv2Family"]
    assert [u["type"].split("/")[-2] for u in of_family] == ["lowPriorityCores", "dedicatedCores"]
    usage = of_family[1]
    assert (usage["currentValue"], usage["limit"]) == (cores, cores)


@pytest.mark.parametrize(
    ("size", "family", "cores"),
    [
        ("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24),
        ("STANDARD_ND96ASR_V4", "standard NDASv4_A100 Family", 96),
        ("Standard_NC40ads_H100_v5", "standardNCADSH100v5Family", 40),
    ],
)
def test_no_more_is_reserved_of_the_sizes_that_skip_it(arm, control, size, family, cores):
    arm.have()
    control.quota(2 * cores - 1, family)
    assert error_of(arm.put_deployment(capacity=2, instanceType=size)) == (400, "BadRequest")
    control.quota(2 * cores, family)
    assert arm.put_deployment(capacity=2, instanceType=size).status_code == 201


def test_a_deployment_without_a_size_gets_the_usual_one(arm):
    arm.have()
    assert arm.put_deployment(instanceType=None).status_code == 201
    assert arm.properties(BLUE)["instanceType"] == "Standard_F4s_v2"


def test_quota_can_be_missing_for_one_model_only(arm, control):
    arm.have()
    arm.put_model("big")
    control.quota(0, model="big")
    assert error_of(arm.put_deployment("blue", model="big:1")) == (400, "BadRequest")
    assert arm.put_deployment("green").status_code == 201


def test_a_deployment_that_is_replaced_gives_its_cores_back(arm, control):
    arm.have("blue")
    control.quota(12)
    assert arm.put_deployment("blue", capacity=2).status_code == 200
    arm.pass_time()
    assert arm.properties(BLUE)["provisioningState"] == "Succeeded"
    assert error_of(arm.put_deployment("green")) == (400, "BadRequest")


def test_sizes_for_online_deployments_are_marked(arm):
    sizes = {size["name"]: size for size in arm.http.get(f"{REGION}/vmSizes").json()["value"]}
    assert "MIR" in sizes["Standard_DS3_v2"]["supportedComputeTypes"]
    assert "MIR" not in sizes["Standard_D2_v3"]["supportedComputeTypes"]
    assert arm.http.get(f"{REGION.replace('westeurope', 'mars')}/vmSizes").status_code == 404
