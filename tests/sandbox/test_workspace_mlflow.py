"""MLflow's tracking API: what runs logged, and the search for them."""

import httpx
import pytest

from sandbox.workspace.identity import issue_token


class Tracking:
    """A client of the tracking API at the workspace's own address."""

    def __init__(self, arm) -> None:
        uri = arm.properties("")["mlFlowTrackingUri"]
        assert uri.startswith("azureml://")
        self.base = f"{uri.replace('azureml', 'https', 1)}/api/2.0/mlflow"
        self.http = arm.http
        token = issue_token("https://ml.azure.com", "tenant", "client")
        self.http.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **params: str) -> httpx.Response:
        return self.http.get(f"{self.base}/{path}", params=params)

    def search(self, **body: object) -> httpx.Response:
        experiment = self.get("experiments/get-by-name", experiment_name="churn").json()
        ids = {"experiment_ids": [experiment["experiment"]["experiment_id"]]}
        return self.http.post(f"{self.base}/runs/search", json=ids | body)

    def found(self, **body: object) -> list[str]:
        answer = self.search(**body)
        return [run["info"]["run_id"] for run in answer.raise_for_status().json()["runs"]]


@pytest.fixture
def tracking(arm, control):
    """Three jobs of one experiment: good, bad and one under way; and one of another."""
    arm.put("/environments/e/versions/1", {"properties": {"image": "i"}}).raise_for_status()
    control.training(seconds=86400)
    control.training(times=1, metrics={"auc": 0.9, "loss": "NaN", "rows": 10})
    control.training(times=1, outcome="Failed", metrics={"auc": 0.1})
    submit(arm, "bad", tags={"team": "b"})
    submit(arm, "good", tags={"team": "a", "mlflow.note": "n"})
    submit(arm, "slow")
    submit(arm, "other", experimentName="other")
    control.advance(600)
    return Tracking(arm)


def submit(arm, name, **changes):
    usual = {
        "jobType": "Command",
        "command": "train",
        "environmentId": "azureml:e:1",
        "experimentName": "churn",
        "inputs": {"rate": {"jobInputType": "literal", "value": "0.1"}},
    }
    arm.put(f"/jobs/{name}", {"properties": usual | changes}).raise_for_status()


def pairs(items):
    return {item["key"]: item["value"] for item in items}


def test_a_run_tells_what_it_logged(tracking):
    run = tracking.get("runs/get", run_id="good").json()["run"]
    assert (run["info"]["status"], run["info"]["lifecycle_stage"]) == ("FINISHED", "active")
    assert run["info"]["start_time"] < run["info"]["end_time"]
    assert pairs(run["data"]["metrics"]) == {"auc": 0.9, "loss": "NaN", "rows": 10}
    assert pairs(run["data"]["params"]) == {"rate": "0.1"}
    tags = pairs(run["data"]["tags"])
    assert (tags["team"], tags["mlflow.rootRunId"]) == ("a", "good")
    assert "mlflow.parentRunId" not in tags
    metric = run["data"]["metrics"][0]
    assert metric["timestamp"] > run["info"]["start_time"]
    history = tracking.get("metrics/get-history", run_id="good", metric_key="auc").json()
    assert history["metrics"] == [metric]


def test_a_run_under_way_has_not_ended(tracking):
    info = tracking.get("runs/get", run_id="slow").json()["run"]["info"]
    assert info["status"] == "RUNNING"
    assert "end_time" not in info


def test_a_step_names_its_parent(arm, control):
    spec = {"componentSpec": {"type": "command", "command": "x"}}
    arm.put("/components/train/versions/1", {"properties": spec}).raise_for_status()
    jobs = {"train": {"componentId": "azureml:train:1", "computeId": "serverless"}}
    arm.put("/jobs/p", {"properties": {"jobType": "Pipeline", "jobs": jobs}}).raise_for_status()
    control.advance(10)
    _, step = control.runs()
    run = Tracking(arm).get("runs/get", run_id=step["id"]).json()["run"]
    tags = pairs(run["data"]["tags"])
    assert (tags["mlflow.parentRunId"], tags["mlflow.rootRunId"]) == ("p", "p")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["slow", "good", "bad"]),
        ("attributes.status = 'FINISHED'", ["good"]),
        ("attributes.status = 'Failed'", ["bad"]),
        ("status != 'FINISHED' and attribute.status != 'RUNNING'", ["bad"]),
        ("tags.team = 'a'", ["good"]),
        ("tags.`mlflow.note` = 'n' AND tags.team = 'a'", ["good"]),
        ('tags."mlflow.note" = "n"', ["good"]),
        ("tags.mlflow.rootRunId = 'slow'", ["slow"]),
        ("tags.team LIKE '%'", ["good", "bad"]),
        ("tags.team ILIKE 'A'", ["good"]),
        ("params.rate = '0.1'", ["slow", "good", "bad"]),
        ("metrics.auc > 0.5", ["good"]),
        ("metrics.auc <= 0.9 AND metrics.auc >= 0.1", ["good", "bad"]),
        ("metrics.auc < 0.5", ["bad"]),
        ("attributes.start_time > 0", ["slow", "good", "bad"]),
        ("attributes.run_id IN ('good', 'slow')", ["slow", "good"]),
        ("tags.absent != 'a'", []),
    ],
)
def test_runs_are_sifted(tracking, text, expected):
    assert tracking.found(filter=text) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"filter": "nonsense"},
        {"filter": "tags.team = 'a' OR tags.team = 'b'"},
        {"filter": "tags.team > 'a'"},
        {"filter": "people.name = 'a'"},
        {"filter": "metrics.auc = 'high'"},
        {"order_by": ["metrics.auc DESC"]},
        {"order_by": ["attributes.start_time SIDEWAYS"]},
        {"order_by": ["attributes.colour"]},
        {"max_results": 0},
        {"page_token": "x"},
    ],
)
def test_a_search_that_makes_no_sense_is_refused(tracking, body):
    refused = tracking.search(**body)
    assert refused.status_code == 400
    assert refused.json()["error_code"] == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["attributes.start_time ASC"], ["bad", "good", "slow"]),
        (["attributes.start_time DESC"], ["slow", "good", "bad"]),
        (["attributes.end_time DESC"], ["good", "bad", "slow"]),
        (["end_time"], ["bad", "good", "slow"]),
        (["attributes.status ASC", "start_time DESC"], ["bad", "good", "slow"]),
    ],
)
def test_runs_are_ordered_and_what_has_no_value_comes_last(tracking, order, expected):
    assert tracking.found(order_by=order) == expected


def test_a_long_list_comes_in_pages(tracking):
    first = tracking.search(max_results=2).json()
    rest = tracking.search(max_results=2, page_token=first["next_page_token"]).json()
    runs = [run["info"]["run_id"] for run in first["runs"] + rest["runs"]]
    assert runs == ["slow", "good", "bad"]
    assert "next_page_token" not in rest


def test_an_archived_run_counts_as_deleted(arm, tracking):
    arm.http.headers["Authorization"] = f"Bearer {issue_token(arm.emulator.url, 't', 'c')}"
    properties = arm.properties("/jobs/good") | {"isArchived": True}
    del properties["status"]
    arm.put("/jobs/good", {"properties": properties}).raise_for_status()
    assert tracking.found() == ["slow", "bad"]
    assert tracking.found(run_view_type="DELETED_ONLY") == ["good"]
    assert tracking.found(run_view_type="ALL") == ["slow", "good", "bad"]


def test_an_experiment_is_found_by_its_name_and_id(tracking):
    experiment = tracking.get("experiments/get-by-name", experiment_name="churn").json()
    guid = experiment["experiment"]["experiment_id"]
    assert tracking.get("experiments/get", experiment_id=guid).json() == experiment
    assert experiment["experiment"]["name"] == "churn"


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("runs/get", {"run_id": "nobody"}, "Run with id=nobody not found"),
        ("experiments/get", {"experiment_id": "1"}, "No Experiment with id=1 exists"),
        ("experiments/get-by-name", {"experiment_name": "x"}, "with name 'x'"),
    ],
)
def test_what_is_not_there_does_not_exist(tracking, path, query, words):
    missing = tracking.get(path, **query)
    assert missing.status_code == 404
    assert missing.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert words in missing.json()["message"]


def test_a_run_must_be_named(tracking):
    assert tracking.get("runs/get").json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_nobody_comes_in_without_a_token(tracking):
    del tracking.http.headers["Authorization"]
    assert tracking.get("runs/get", run_id="good").status_code == 401
