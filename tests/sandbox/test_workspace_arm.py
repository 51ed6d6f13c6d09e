"""The gate of ARM: who is let in, what every answer carries, and programmed trouble."""

import base64
import json

import httpx
import pytest

from sandbox.workspace.identity import issue_token

WORKSPACE = (
    "/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.MachineLearningServices"
    "/workspaces/ws-a"
)


def error_of(response):
    assert response.headers["x-ms-request-id"]
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "AuthenticationFailed"),
        ("Basic dXNlcg==", "AuthenticationFailed"),
        ("Bearer not.a-jwt", "InvalidAuthenticationToken"),
        ("Bearer a.b.c", "InvalidAuthenticationToken"),
        (
            f"Bearer {issue_token('https://storage.azure.com', 't', 'c')}",
            "InvalidAuthenticationTokenAudience",
        ),
        (
            f"Bearer {issue_token('https://management.azure.com/', 't', 'c', lifetime=-1)}",
            "ExpiredAuthenticationToken",
        ),
    ],
)
def test_a_request_without_a_valid_token_is_refused(arm, token, code):
    arm.http.headers.pop("authorization")
    headers = {"Authorization": token} if token else {}
    response = arm.http.get(WORKSPACE, headers=headers)
    assert error_of(response) == (401, code)
    assert response.headers["www-authenticate"].startswith("Bearer ")


def test_a_request_without_api_version_is_refused(arm):
    arm.http.params = {}
    assert error_of(arm.get("")) == (400, "MissingApiVersionParameter")


def test_path_segments_match_in_any_case(arm):
    assert arm.http.get(WORKSPACE.upper()).json()["name"] == "ws-a"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (WORKSPACE.replace("sub-1", "other"), "SubscriptionNotFound"),
        (WORKSPACE.replace("rg-1", "other"), "ResourceGroupNotFound"),
        (WORKSPACE.replace("ws-a", "other"), "ResourceNotFound"),
        (f"{WORKSPACE}/models/other", "ResourceNotFound"),
        (f"{WORKSPACE}/onlineEndpoints/other", "ResourceNotFound"),
        (f"{WORKSPACE}/datastores/other", "ResourceNotFound"),
    ],
)
def test_what_does_not_exist_is_not_found(arm, path, code):
    assert error_of(arm.http.get(path)) == (404, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{WORKSPACE}/connections"),
        ("GET", f"{WORKSPACE}/featuresets"),
        ("GET", f"{WORKSPACE}/serverlessEndpoints/llm"),
        ("POST", f"{WORKSPACE}/listKeys"),
        ("PUT", f"{WORKSPACE}/computes/gpu"),
        ("DELETE", WORKSPACE),
        ("GET", WORKSPACE.replace("workspaces", "registries")),
        ("GET", f"/genericasset{WORKSPACE}/indexes"),
        ("GET", "/registrymanagement/v1.0/registries/azureml/discovery"),
    ],
)
def test_what_is_not_emulated_is_not_called_missing(arm, method, path):
    answer = arm.http.request(method, path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (501, "NotEmulated")
    assert f"{method} {path} is not emulated here" in error["message"]


def test_a_body_that_is_not_a_json_object_is_refused(arm):
    response = arm.http.put(f"{WORKSPACE}/models/m/versions/1", content=b"[1")
    assert error_of(response) == (400, "InvalidRequestContent")


def test_a_workspace_says_where_and_who_it_is(arm):
    document = arm.get("").json()
    assert document["location"] == "westeurope"
    assert len(document["properties"]["workspaceId"]) == 36
    assert arm.http.get(document["properties"]["discoveryUrl"]).json()["api"] == arm.emulator.url
    listed = arm.http.get(WORKSPACE.removesuffix("/ws-a")).json()["value"]
    assert [workspace["name"] for workspace in listed] == ["ws-a", "ws-b"]


def test_a_workspace_has_a_blob_datastore(arm):
    assert arm.get("/datastores/workspaceblobstore").json()["properties"]["isDefault"]


def test_answers_carry_request_ids_and_requests_are_logged(arm, control):
    arm.http.headers["x-ms-client-request-id"] = "mine"
    response = arm.get("/models")
    assert response.headers["x-ms-client-request-id"] == "mine"
    assert response.headers["x-ms-correlation-request-id"]
    assert response.headers["date"]
    [entry] = control.requests()
    assert (entry["method"], entry["status"], entry["clientRequestId"]) == ("GET", 200, "mine")
    assert entry["path"] == f"{WORKSPACE}/models"
    assert entry["requestId"] == response.headers["x-ms-request-id"]
    control.clear_requests()
    assert control.requests() == []


def test_throttling_ends_after_so_many_requests(arm, control):
    control.throttle(times=2, retry_after=7)
    answers = [arm.get("/models") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "7"


def test_an_outage_ends_after_a_while_and_befalls_chosen_paths_only(arm, control):
    control.outage(duration=60, path="*/onlineendpoints*", method="get")
    assert error_of(arm.get("/onlineEndpoints")) == (503, "ServiceUnavailable")
    assert arm.get("/models").status_code == 200
    control.advance(61)
    assert arm.get("/onlineEndpoints").status_code == 200


def test_a_dropped_connection_gets_no_answer_and_is_logged(arm, control):
    control.outage(drop=True, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        arm.get("/models")
    assert control.requests()[0]["status"] == 0
    assert arm.get("/models").status_code == 200


def test_an_answer_can_be_lost_after_the_work_was_done(arm, control):
    control.outage(lose_answer=True, times=1, method="PUT")
    with pytest.raises(httpx.RemoteProtocolError):
        arm.put_model()
    assert arm.get("/models/churn/versions/1").status_code == 200
    assert arm.put_model().status_code == 200, "a repeated request finds its own work"
    assert len(control.events()) == 1


def test_programmed_latency_delays_the_answer(arm, control):
    control.latency(0.05)
    arm.get("/models")
    assert control.requests()[0]["milliseconds"] >= 50


def test_a_removed_rule_applies_no_longer(arm, control):
    rule = control.outage()
    control.remove(rule)
    assert arm.get("/models").status_code == 200


@pytest.mark.parametrize(
    ("effect", "parameters", "message"),
    [
        ("nonsense", {}, "effect must be one of"),
        ("scoring", {"colour": "red"}, "unexpected keyword argument"),
        ("provisioning", {}, "missing 1 required"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(control, effect, parameters, message):
    with pytest.raises(ValueError, match=message):
        control.rule(effect, {}, **parameters)


def test_a_managed_identity_gets_a_token_that_can_be_decoded(running_emulator):
    response = httpx.get(
        running_emulator.identity_url,
        params={"api-version": "2019-08-01", "resource": "https://ml.azure.com"},
        headers={"X-IDENTITY-HEADER": "identity-header"},
    )
    answer = response.json()
    payload = answer["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["aud"] == answer["resource"] == "https://ml.azure.com"
    assert {"tid", "exp", "oid", "appid"} <= claims.keys()
    assert int(answer["expires_on"]) == claims["exp"]
    assert answer["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("header", "params", "status"),
    [
        ("wrong", {"api-version": "2019-08-01", "resource": "r"}, 401),
        ("identity-header", {"api-version": "2017-09-01", "resource": "r"}, 400),
        ("identity-header", {"api-version": "2019-08-01"}, 400),
    ],
)
def test_a_managed_identity_must_ask_properly(running_emulator, header, params, status):
    headers = {"X-IDENTITY-HEADER": header}
    response = httpx.get(running_emulator.identity_url, params=params, headers=headers)
    assert response.status_code == status
