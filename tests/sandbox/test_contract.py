"""The contract that every exchange is held to: proved on bodies that break it."""

import copy
import json

import pytest

from sandbox.contract.check import load_contract
from sandbox.workspace import entities
from sandbox.workspace.control import Control
from sandbox.workspace.server import WorkspaceEmulator
from sandbox.workspace.settings import Settings
from tests.sandbox.conftest import SETTINGS, WORKSPACE, Arm

CONTRACT = load_contract()
EP = f"{WORKSPACE}/onlineEndpoints/ep-1"
BLUE = f"{EP}/deployments/blue"
JOB = f"{WORKSPACE}/jobs/job-1"

ENDPOINT = {
    "location": "westeurope",
    "tags": {"a": "b"},
    "identity": {"type": "SystemAssigned"},
    "properties": {"authMode": "Key", "traffic": {"blue": 100}, "properties": {"x": "y"}},
}
DEPLOYMENT = {
    "location": "westeurope",
    "sku": {"name": "Default", "capacity": 1},
    "properties": {
        "endpointComputeType": "Managed",
        "model": "azureml:churn:1",
        "instanceType": "Standard_DS3_v2",
        "livenessProbe": {"period": "PT10S", "initialDelay": "P1DT2H3M4.5S"},
        "requestSettings": {"requestTimeout": "PT90S", "maxConcurrentRequestsPerInstance": 2},
        "scaleSettings": {"scaleType": "Default"},
        "appInsightsEnabled": False,
    },
}
SUBMITTED = {
    "properties": {
        "jobType": "Command",
        "command": "train",
        "environmentId": "azureml:sklearn:1",
        "inputs": {"rate": {"jobInputType": "literal", "value": "0.1"}},
        "outputs": {"model": {"jobOutputType": "mlflow_model", "mode": "Upload"}},
        "limits": {"jobLimitsType": "Command", "timeout": "PT1H"},
    }
}
BODIES = {EP: ENDPOINT, BLUE: DEPLOYMENT, JOB: SUBMITTED}
ABSENT = object()


def changed(body, path, value):
    """Return the body with another value at a path, or without one."""
    made = copy.deepcopy(body)
    *parents, last = path.split(".")
    inner = made
    for name in parents:
        inner = inner[name]
    if value is ABSENT:
        del inner[last]
    else:
        inner[last] = value
    return made


def faults_of(url, body, **options):
    operation = CONTRACT.find("PUT", url)
    return [str(fault) for fault in CONTRACT.find_request_faults(operation, body, **options)]


@pytest.mark.parametrize("url", BODIES)
def test_a_body_that_keeps_the_contract_has_no_faults(url):
    assert faults_of(url, BODIES[url]) == []


BAD = [
    # unknown
    (EP, "colour", "red", "colour: is not known"),
    (EP, "properties.auth_mode", "Key", "properties.auth_mode: is not known"),
    (EP, "properties.authmode", "Key", "properties.authmode: is not known"),
    (
        BLUE,
        "properties.livenessProbe.every",
        "PT1S",
        "properties.livenessProbe.every: is not known",
    ),
    (JOB, "properties.inputs.rate.uri", "x", "properties.inputs.rate.uri: is not known"),
    (JOB, "properties.jobs", {}, "properties.jobs: is not known"),
    # type
    (EP, "tags", ["a"], 'tags: ["a"] is no object'),
    (EP, "tags.a", 1, "tags.a: 1 is no text"),
    (EP, "properties", "x", 'properties: "x" is no object'),
    (EP, "properties.traffic.blue", "100", 'properties.traffic.blue: "100" is no whole number'),
    (EP, "properties.traffic.blue", 99.5, "properties.traffic.blue: 99.5 is no whole number"),
    (EP, "properties.traffic.blue", True, "properties.traffic.blue: true is no whole number"),
    (BLUE, "sku.capacity", "1", 'sku.capacity: "1" is no whole number'),
    (BLUE, "properties.appInsightsEnabled", "no", 'appInsightsEnabled: "no" is no true or false'),
    (BLUE, "properties.model", {"assetId": "m"}, "is no text"),
    (JOB, "properties.inputs.rate.value", 0.1, "properties.inputs.rate.value: 0.1 is no text"),
    # length of time
    (BLUE, "properties.livenessProbe.period", "10s", '"10s" is no length of time'),
    (BLUE, "properties.livenessProbe.period", 10, "10 is no length of time"),
    (BLUE, "properties.livenessProbe.period", "00:00:10", "is no length of time"),
    (BLUE, "properties.livenessProbe.period", "PT", "is no length of time"),
    (BLUE, "properties.livenessProbe.period", "P", "is no length of time"),
    (BLUE, "properties.livenessProbe.period", "pt10s", "is no length of time"),
    (JOB, "properties.limits.timeout", "1h", "is no length of time"),
    # enum and kind
    (EP, "properties.authMode", "Password", '"Password" is none of AADToken, AMLToken, Key'),
    (EP, "properties.authMode", 1, "properties.authMode: 1 is none of"),
    (EP, "identity.type", "Mine", "identity.type"),
    (BLUE, "properties.endpointComputeType", "AzureMLCompute", "is none of Kubernetes, Managed"),
    (BLUE, "properties.endpointComputeType", ABSENT, "null is none of Kubernetes, Managed"),
    (BLUE, "properties.scaleSettings.scaleType", "Auto", "is none of Default, TargetUtilization"),
    (JOB, "properties.jobType", "Script", '"Script" is none of'),
    (JOB, "properties.inputs.rate.jobInputType", "number", '"number" is none of'),
    # read-only
    (EP, "id", EP, "id: is read-only"),
    (EP, "systemData", {}, "systemData: is read-only"),
    (EP, "properties.provisioningState", "Succeeded", "properties.provisioningState: is read-only"),
    (EP, "properties.scoringUri", "https://x", "properties.scoringUri: is read-only"),
    (JOB, "properties.status", "Completed", "properties.status: is read-only"),
    # required
    (EP, "location", ABSENT, "location: is missing"),
    (EP, "location", None, "location: is missing"),
    (EP, "properties", ABSENT, "properties: is missing"),
    (EP, "properties.authMode", ABSENT, "properties.authMode: is missing"),
    (BLUE, "sku.name", ABSENT, "sku.name: is missing"),
    (JOB, "properties.command", ABSENT, "properties.command: is missing"),
    (JOB, "properties.inputs.rate.value", ABSENT, "properties.inputs.rate.value: is missing"),
]


@pytest.mark.parametrize(("url", "path", "value", "told"), BAD)
def test_a_body_that_breaks_the_contract_is_told_where(url, path, value, told):
    (fault,) = faults_of(url, changed(BODIES[url], path, value))
    assert told in fault


@pytest.mark.parametrize(
    ("url", "path", "value"),
    [
        (EP, "properties.authMode", "aadtoken"),
        (BLUE, "properties.endpointComputeType", "managed"),
        (BLUE, "properties.model", None),
        (EP, "properties.description", None),
        (EP, "properties.properties", {"anything": None}),
    ],
)
def test_null_and_the_case_of_a_name_are_as_good(url, path, value):
    assert faults_of(url, changed(BODIES[url], path, value)) == []


def test_names_are_told_as_the_contract_writes_them():
    given = changed(DEPLOYMENT, "properties.endpointComputeType", "managed")
    given = changed(given, "properties.scaleSettings.scaleType", "default")
    given = changed(given, "properties.egressPublicNetworkAccess", "DISABLED")
    made = CONTRACT.with_enum_case(CONTRACT.find("PUT", BLUE), given)["properties"]
    assert made["endpointComputeType"] == "Managed"
    assert made["scaleSettings"] == {"scaleType": "Default"}
    assert made["egressPublicNetworkAccess"] == "Disabled"


@pytest.mark.parametrize(
    ("path", "value", "is_refused"),
    [
        ("properties.newer", "x", False),
        ("properties.scoringUri", "https://x", False),
        ("properties.authMode", "Password", True),
        ("properties.traffic", 5, True),
        ("location", ABSENT, True),
    ],
)
def test_of_another_version_only_what_both_know_is_checked(path, value, is_refused):
    assert bool(faults_of(EP, changed(ENDPOINT, path, value), knows_all=False)) is is_refused


def test_of_another_version_a_number_among_texts_is_made_a_text():
    given = changed(ENDPOINT, "properties.properties", {"hash_version": 202208, "x": True})
    assert len(faults_of(EP, given)) == 2
    assert faults_of(EP, given, knows_all=False) == []
    made = CONTRACT.with_enum_case(CONTRACT.find("PUT", EP), given)["properties"]["properties"]
    assert made == {"hash_version": "202208", "x": "true"}


ANSWER = {
    **ENDPOINT,
    "id": EP,
    "systemData": {"createdAt": "2026-01-02T03:04:05.1234567+00:00", "createdByType": "User"},
}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("properties.authMode", "key", '"key" is none of'),
        ("properties.provisioningState", "Done", '"Done" is none of'),
        ("systemData.createdAt", "yesterday", "is no time"),
        ("properties.newer", 1, "is not known"),
        ("location", ABSENT, "location: is missing"),
        ("properties.mirrorTraffic", {"blue": "10"}, "is no whole number"),
    ],
)
@pytest.mark.parametrize("is_page", [False, True])
def test_an_answer_that_breaks_the_contract_is_told_where(path, value, told, is_page):
    url = EP.rpartition("/")[0] if is_page else EP
    operation = CONTRACT.find("GET", url)

    def faults(answer):
        body = {"value": [ANSWER, answer]} if is_page else answer
        return CONTRACT.find_answer_faults(operation, 200, body)

    assert faults(ANSWER) == []
    (fault,) = faults(changed(ANSWER, path, value))
    assert told in str(fault)
    assert fault.path.startswith("value[1]." if is_page else path)


@pytest.mark.parametrize(
    ("secrets", "of_a_request", "of_an_answer"),
    [
        ({}, ["properties.credentials.secrets: is missing"], []),
        (
            {"secrets": {"secretsType": "AccountKey", "key": "k"}},
            [],
            ["properties.credentials.secrets: is never answered"],
        ),
    ],
)
def test_secrets_are_sent_and_never_answered(secrets, of_a_request, of_an_answer):
    properties = {
        "datastoreType": "AzureBlob",
        "credentials": {"credentialsType": "AccountKey", **secrets},
    }
    url = f"{WORKSPACE}/datastores/own"
    assert faults_of(url, {"properties": properties}) == of_a_request
    faults = CONTRACT.find_answer_faults(CONTRACT.find("GET", url), 200, {"properties": properties})
    assert list(map(str, faults)) == of_an_answer


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"error": {"code": "NotFound", "message": "no", "target": None, "details": []}}, 0),
        ({"error": {"code": "NotFound"}}, 1),
        ({"error": {"code": "NotFound", "message": "no", "hint": "x"}}, 1),
        ({"message": "no"}, 3),
        (None, 3),
        ([], 3),
    ],
)
def test_a_refusal_has_a_code_and_a_message(body, count):
    faults = CONTRACT.find_answer_faults(CONTRACT.find("GET", EP), 404, body)
    assert len(faults) == count, faults


@pytest.mark.parametrize(
    ("method", "url", "status", "body", "is_good"),
    [
        ("DELETE", EP, 202, None, True),
        ("DELETE", EP, 204, None, True),
        ("DELETE", EP, 200, {"a": 1}, False),
        ("PATCH", EP, 202, None, True),
        ("PUT", EP, 201, None, False),
        ("GET", EP.rpartition("/")[0], 200, [], False),
        ("GET", EP.rpartition("/")[0], 200, {"value": [], "count": 0}, False),
        ("GET", EP.rpartition("/")[0], 200, {"value": [], "nextLink": "https://x"}, True),
    ],
)
def test_an_answer_has_the_body_that_belongs_to_it(method, url, status, body, is_good):
    faults = CONTRACT.find_answer_faults(CONTRACT.find(method, url), status, body)
    assert (faults == []) is is_good


@pytest.mark.parametrize(
    ("method", "url", "is_known"),
    [
        ("PUT", BLUE.lower(), True),
        ("PUT", f"{BLUE}/more", False),
        ("PUT", BLUE.replace("ws-a", "a/b"), False),
        ("POST", f"{BLUE}/getLogs", True),
        ("GET", f"{EP}/providers/microsoft.insights/metrics", False),
    ],
)
def test_a_path_is_found_whole_and_in_any_case(method, url, is_known):
    assert (CONTRACT.find(method, url) is not None) is is_known


@pytest.mark.usefixtures("client")  # which imports the SDK quietly
def test_the_file_is_what_the_sdk_s_models_say():
    from sandbox.contract.source import FILE, read_contract, write

    contract = read_contract()
    assert FILE.read_text(encoding="utf-8") == write(contract)
    assert json.loads(write(contract)) == contract


# The emulator


def error_of(response):
    error = response.json()["error"]
    return response.status_code, error["code"], error["target"]


def test_a_request_that_breaks_the_contract_is_refused_with_all_that_is_wrong(arm):
    arm.put_model()
    properties = {"livenessProbe": {"period": "10s", "every": 1}}
    arm.put_endpoint()
    refused = arm.put_deployment(**properties)
    assert error_of(refused) == (400, "BadArgument", "properties.livenessProbe.period")
    (detail,) = refused.json()["error"]["details"]
    assert detail["target"] == "properties.livenessProbe.every"
    assert arm.get("/onlineEndpoints/ep-1/deployments").json()["value"] == []


@pytest.mark.parametrize(
    ("location", "answer"),
    [
        (None, (400, "LocationRequired", "location")),
        ("mars", (400, "LocationNotAvailableForResourceType", "location")),
        ("West Europe", None),
        ("WESTEUROPE", None),
    ],
)
@pytest.mark.parametrize("kind", ["onlineEndpoints", "batchEndpoints"])
def test_a_resource_is_where_its_workspace_is(arm, kind, location, answer):
    body = {"location": location, "properties": {"authMode": "AADToken"}}
    made = arm.put(f"/{kind}/ep-1", body)
    if answer is None:
        assert made.status_code == 201
    else:
        assert error_of(made) == answer


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("2025-12-01", 200),
        ("2023-04-01-preview", 200),
        ("2024-10-01", 200),
        ("2025-12-02", 400),
        ("1", 400),
        ("latest", 400),
    ],
)
def test_a_version_that_nobody_published_is_refused(arm, version, status):
    answer = arm.get("/onlineEndpoints", **{"api-version": version})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["code"] == "NoRegisteredProviderFound"
        assert f"API version '{version}' for type" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("given", "is_taken"), [("PT3M", True), ("PT181S", False), ("PT10M", False)]
)
def test_a_request_may_not_take_longer_than_the_service_allows(arm, given, is_taken):
    arm.have()
    made = arm.put_deployment(requestSettings={"requestTimeout": given})
    assert made.status_code == (201 if is_taken else 400)


def test_an_answer_of_the_emulator_s_own_that_breaks_the_contract_is_loud(tmp_path, monkeypatch):
    monkeypatch.setattr(entities.Endpoint, "document", lambda *_: {"location": 5})
    emulator = WorkspaceEmulator(Settings(ca_folder=tmp_path, **SETTINGS)).start()
    with Control(emulator.control_url) as control:
        arm = Arm(emulator, control)
        with arm.http:
            answer = arm.put_endpoint()
        assert answer.status_code == 500
        assert "breaks the contract" in answer.json()["error"]["message"]
        control.reset()
    with pytest.raises(AssertionError, match="location: 5 is no text; properties: is missing"):
        emulator.stop()


def test_what_is_answered_is_written_as_the_contract_writes_it(arm):
    arm.have()
    arm.put_endpoint(publicNetworkAccess="disabled", authMode="KEY").raise_for_status()
    arm.pass_time()
    found = arm.properties("/onlineEndpoints/ep-1")
    assert (found["publicNetworkAccess"], found["authMode"]) == ("Disabled", "Key")
    arm.put_deployment(egressPublicNetworkAccess="disabled", endpointComputeType="managed")
    found = arm.properties("/onlineEndpoints/ep-1/deployments/blue")
    assert found["egressPublicNetworkAccess"] == "Disabled"
    assert found["endpointComputeType"] == "Managed"
