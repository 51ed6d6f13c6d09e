"""The data plane: keys and tokens, who answers, what failures look like, and what is counted."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from sandbox.workspace.identity import issue_token

EP = "/onlineEndpoints/ep-1"


def test_a_deployed_model_answers_one_prediction_per_row(arm):
    arm.have("blue", blue=100)
    response = arm.score({"input_data": {"columns": ["a"], "data": [[1], [2], [1]]}})
    assert response.status_code == 200
    assert response.headers["azureml-model-deployment"] == "blue"
    first, second, third = response.json()
    assert first == third != second
    uri = arm.properties(EP)["swaggerUri"]
    assert arm.http.get(uri).status_code == 401
    described = arm.http.get(uri, headers={"Authorization": f"Bearer {arm.key()}"}).json()
    assert described["paths"]["/score"] == {}


def test_versions_of_a_model_predict_differently(arm):
    arm.have("blue", blue=100)
    arm.put_model(version="2")
    arm.put_deployment("green", model="churn:2")
    arm.pass_time()
    assert arm.score(deployment="blue").json() != arm.score(deployment="green").json()


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"input_data": []}, 500), ({"data": [1]}, 400), ([1], 400), ("text", 400)],
)
def test_a_malformed_request_is_the_models_failure(arm, body, status):
    arm.have("blue", blue=100)
    response = arm.score(body)
    assert response.status_code == 424
    assert response.headers["ms-azureml-model-error-statuscode"] == str(status)
    assert response.headers["ms-azureml-model-error-reason"] == "model_error"
    assert response.json()["message"]


def test_a_request_that_the_server_itself_refuses_never_reaches_a_failing_model(arm, control):
    arm.have("blue", blue=100)
    control.scoring(error_rate=1, model_status=500)
    assert arm.score({}).headers["ms-azureml-model-error-statuscode"] == "400"
    assert arm.score().headers["ms-azureml-model-error-statuscode"] == "500"


def test_a_custom_model_may_be_sent_anything_but_bytes_that_are_no_text(arm):
    arm.have()
    arm.put_model("custom", modelType="custom_model")
    arm.put_environment()
    arm.put_deployment("blue", model="azureml:custom:1", environmentId="azureml:env:1")
    arm.pass_time()
    uri = arm.properties(EP)["scoringUri"]
    headers = {"Authorization": f"Bearer {arm.key()}", "azureml-model-deployment": "blue"}
    statuses = [
        arm.http.post(uri, content=content, headers=headers).headers.get(
            "ms-azureml-model-error-statuscode", "200"
        )
        for content in (b"[1]", b"{", b"\xff")
    ]
    assert statuses == ["200", "500", "400"]


def test_a_custom_model_takes_any_json(arm):
    arm.have()
    arm.put_model("custom", modelType="custom_model")
    arm.put_environment()
    arm.put_deployment("blue", model="azureml:custom:1", environmentId="azureml:env:1")
    arm.pass_time()
    assert len(arm.score({"anything": 1}, deployment="blue").json()) == 1


# Who is let in


def test_a_wrong_key_is_refused(arm):
    arm.have("blue", blue=100)
    assert arm.score(token="wrong").status_code == 401
    secondary = arm.post(f"{EP}/listKeys").json()["secondaryKey"]
    assert arm.score(token=secondary).status_code == 200


@pytest.mark.parametrize(
    ("audience", "status"),
    [
        ("https://ml.azure.com", 200),
        ("https://ml.azure.com/", 200),
        ("https://management.azure.com", 401),
    ],
)
def test_an_endpoint_may_ask_for_entra_tokens(arm, audience, status):
    arm.have("blue", blue=100)
    arm.put_endpoint(authMode="AADToken", traffic={"blue": 100})
    arm.pass_time()
    assert arm.score(token=issue_token(audience, "t", "c")).status_code == status


def test_an_endpoint_may_issue_its_own_tokens(arm):
    arm.have("blue", blue=100)
    arm.put_endpoint(authMode="AMLToken", traffic={"blue": 100})
    arm.pass_time()
    token = arm.post(f"{EP}/token").json()["accessToken"]
    assert arm.score(token=token).status_code == 200
    assert arm.score(token=issue_token("https://ml.azure.com", "t", "c")).status_code == 401
    assert arm.post(f"{EP}/listKeys").status_code == 400


# Who answers


def test_requests_are_shared_out_by_weight(arm):
    arm.have("blue", "green", blue=80, green=20)
    key = arm.key()
    answered = Counter(arm.score(token=key).headers["azureml-model-deployment"] for _ in range(100))
    assert answered["blue"] + answered["green"] == 100
    assert 10 <= answered["green"] <= 30


def test_a_deployment_can_be_called_by_name_and_an_unknown_one_cannot(arm):
    arm.have("blue", "green", blue=100)
    assert arm.score(deployment="green").headers["azureml-model-deployment"] == "green"
    assert arm.score(deployment="red").status_code == 404


def test_without_any_weight_nobody_answers(arm):
    arm.have("blue")
    assert arm.score().status_code == 404


def test_an_unknown_endpoint_is_not_found(arm):
    response = arm.http.post("/inference/nothing.westeurope/score", json={})
    assert response.status_code == 404


def test_a_deployment_that_is_not_up_does_not_answer(arm, control):
    arm.have()
    arm.put_deployment()
    assert arm.score(deployment="blue").status_code == 503
    arm.pass_time()
    assert arm.score(deployment="blue").status_code == 200
    control.fail_deployment(times=1)
    arm.put_deployment(capacity=2)
    assert arm.score(deployment="blue").status_code == 200, "the old one answers while updating"
    arm.pass_time()
    assert arm.score(deployment="blue").status_code == 503


# Failures


def test_a_failing_model_is_seen_as_424_with_its_own_status(arm, control):
    arm.have("blue", "green", blue=100)
    control.scoring(deployment="green", error_rate=1, model_status=500, reason="bad weights")
    response = arm.score(deployment="green")
    assert response.status_code == 424
    assert response.headers["ms-azureml-model-error-statuscode"] == "500"
    assert response.headers["ms-azureml-model-error-reason"] == "bad weights"
    assert arm.score().status_code == 200


def test_a_platform_failure_is_seen_as_it_is(arm, control):
    arm.have("blue", blue=100)
    control.scoring(error_rate=1, status=429)
    response = arm.score()
    assert response.status_code == 429
    assert "ms-azureml-model-error-statuscode" not in response.headers


def test_a_version_of_a_model_may_fail_sometimes(arm, control):
    arm.have("blue", blue=100)
    control.scoring(model="churn", version="1", error_rate=0.3)
    key = arm.key()
    failures = sum(arm.score(token=key).status_code == 424 for _ in range(100))
    assert 15 <= failures <= 45


def test_output_and_latency_can_be_programmed(arm, control):
    arm.have("blue", blue=100)
    control.scoring(output=[42], latency=0.05)
    assert arm.score().json() == [42]
    [minute] = control.measurements()
    assert minute["latencies"][0] >= 50


def test_an_answer_is_cut_off_when_the_deployment_says_so(arm, control):
    arm.have()
    settings = {"requestTimeout": "PT0.1S"}
    arm.put_deployment("blue", requestSettings=settings).raise_for_status()
    arm.pass_time()
    told = arm.properties(f"{EP}/deployments/blue")["requestSettings"]
    assert told == settings | {"maxConcurrentRequestsPerInstance": 1, "maxQueueWait": "PT0.5S"}
    assert arm.score(deployment="blue").status_code == 200
    control.scoring(latency=30)
    response = arm.score(deployment="blue")
    assert response.status_code == 408
    assert "ms-azureml-model-error-statuscode" not in response.headers


@pytest.mark.parametrize(
    "settings",
    [
        {"requestSettings": {"requestTimeout": "PT181S"}},
        {"requestSettings": {"requestTimeout": "5s"}},
        {"requestSettings": {"requestTimeout": "PT"}},
        {"livenessProbe": {"period": "10s"}},
        {"readinessProbe": {"timeout": "PT0.5S"}},
    ],
)
def test_settings_that_the_service_does_not_take_are_refused(arm, settings):
    arm.have()
    assert arm.put_deployment("blue", **settings).status_code == 400


def test_answers_are_told_by_the_minute_or_the_second(arm, control):
    arm.have("blue", blue=100)
    for _ in range(2):
        arm.score()
        control.advance(1)
    seconds = control.measurements(seconds=1)
    assert [sum(item["count"] for item in each["statuses"]) for each in seconds] == [1, 1]
    first, second = (datetime.fromisoformat(each["start"]) for each in seconds)
    assert second > first
    assert 1 <= len(control.measurements()) <= 2  # a minute may have ended between
    assert all(each["start"].endswith(":00+00:00") for each in control.measurements())


def test_latencies_are_spread_around_their_median(arm, control):
    arm.have("blue", blue=100)
    control.scoring(latency=0.01, spread=0.8)
    key = arm.key()
    for _ in range(40):
        arm.score(token=key)
    latencies = sorted(each for minute in control.measurements() for each in minute["latencies"])
    assert 5 <= latencies[20] <= 25
    assert latencies[37] > 1.8 * latencies[20]


def test_a_slow_deployment_does_not_slow_the_others(arm, control):
    arm.have("blue", "green", blue=100)
    control.scoring(deployment="green", latency=3)
    key = arm.key()
    with ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(arm.score, deployment="green", token=key) for _ in range(8)]
        assert arm.score(token=key).status_code == 200
        assert not any(each.done() for each in slow)
        assert {each.result().status_code for each in slow} == {200}


# Counting


def test_answers_are_counted_per_deployment_and_minute(arm, control):
    arm.have("blue", "green", blue=100)
    arm.score()
    arm.score({})
    arm.score(deployment="green")
    control.advance(120)
    arm.score()
    minutes = [m for m in control.measurements() if m["deployment"] == "blue"]
    assert len(minutes) == 2
    assert sum(len(m["latencies"]) for m in minutes) == 3
    statuses = [s for m in minutes for s in m["statuses"]]
    assert {"status": 424, "modelStatus": 400, "count": 1} in statuses


def test_mirrored_requests_are_copied_and_the_caller_notices_nothing(arm, control):
    arm.have("blue", "green")
    arm.put_endpoint(traffic={"blue": 100}, mirrorTraffic={"green": 50})
    arm.pass_time()
    control.scoring(deployment="green", error_rate=1)
    key = arm.key()
    answers = [arm.score(token=key) for _ in range(40)]
    assert {answer.headers["azureml-model-deployment"] for answer in answers} == {"blue"}
    assert {answer.status_code for answer in answers} == {200}
    mirrored = sum(m["mirrored"] for m in control.measurements() if m["deployment"] == "green")
    assert 10 <= mirrored <= 30
    before = mirrored
    arm.score(deployment="blue", token=key)
    mirrored = sum(m["mirrored"] for m in control.measurements() if m["deployment"] == "green")
    assert mirrored == before, "a request to a named deployment is not mirrored"
