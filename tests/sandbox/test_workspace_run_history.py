"""Run history: what the workspace's own service tells of runs, and lets change."""

import httpx
import pytest

from sandbox.workspace.identity import issue_token

WORKSPACE = (
    "/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.MachineLearningServices"
    "/workspaces/ws-a"
)


class History:
    """A client of run history as its contract has it; paths are below the workspace."""

    def __init__(self, arm) -> None:
        base = arm.http.get(arm.properties("")["discoveryUrl"]).json()["api"]
        self.base = f"{base}/history/v1.0{WORKSPACE}"
        self.http = arm.http
        self.http.params = {}
        token = issue_token("https://ml.azure.com", "tenant", "client")
        self.http.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **params: object) -> httpx.Response:
        return self.http.get(f"{self.base}{path}", params=params)

    def patch(self, path: str, body: object) -> httpx.Response:
        return self.http.patch(f"{self.base}{path}", json=body)


@pytest.fixture
def history(arm, control):
    """The history of a pipeline with three steps, of which the last fails."""
    spec = {"type": "command", "command": "x", "inputs": {"after": {"optional": True}}}
    for name in ("prepare", "train", "check"):
        body = {"properties": {"componentSpec": spec}}
        arm.put(f"/components/{name}/versions/1", body).raise_for_status()
    error = {"code": "UserError", "message": "Too few rows."}
    control.training(component="check", outcome="Failed", error=error)
    jobs = {
        name: {
            "componentId": f"azureml:{name}:1",
            "inputs": {
                "after": {"job_input_type": "literal", "value": f"${{{{parent.jobs.{before}}}}}"}
            }
            if before
            else {},
        }
        for name, before in (("check", "train"), ("prepare", ""), ("train", "prepare"))
    }
    properties = {
        "jobType": "Pipeline",
        "jobs": jobs,
        "experimentName": "churn",
        "displayName": "Churn",
        "inputs": {"rate": {"jobInputType": "literal", "value": "0.3"}},
        "settings": {"default_compute": "cpu-cluster"},
        "tags": {"a": "1"},
    }
    arm.put("/jobs/job-1", {"properties": properties}).raise_for_status()
    elsewhere = {"properties": properties | {"experimentName": "other"}}
    arm.put("/jobs/elsewhere", elsewhere).raise_for_status()
    return History(arm)


def test_a_run_that_has_not_started_has_no_times(history):
    run = history.get("/runs/job-1").json()
    assert (run["status"], run["startTimeUtc"], run["endTimeUtc"]) == ("NotStarted", None, None)
    assert run["error"] is None


def test_a_run_is_told_with_all_that_it_is(history, control):
    control.advance(3600)
    run = history.get("/runs/job-1").json()
    told = {
        "runId": "job-1",
        "rootRunId": "job-1",
        "parentRunId": None,
        "status": "Failed",
        "displayName": "Churn",
        "runType": "azureml.PipelineRun",
        "tags": {"a": "1"},
        "parameters": {"rate": "0.3"},
        "hidden": False,
    }
    assert told.items() <= run.items()
    assert run["properties"]["azureml.runsource"] == "azureml.PipelineRun"
    assert run["createdUtc"] < run["startTimeUtc"] < run["endTimeUtc"]
    assert run["error"]["error"]["code"] == "UserError"
    assert run["error"]["error"]["message"].startswith("Pipeline has some failed steps.")


def test_the_steps_of_a_run_are_listed_newest_first(history, control):
    control.advance(3600)
    children = history.get("/runs/job-1/children").json()["value"]
    assert [child["displayName"] for child in children] == ["check", "train", "prepare"]
    failed = children[0]
    assert failed["error"]["error"]["message"] == "Too few rows."
    assert (failed["parentRunId"], failed["runType"]) == ("job-1", "azureml.StepRun")
    assert failed["properties"]["azureml.moduleName"] == "check"


@pytest.mark.parametrize("by", ["nextLink", "continuationToken"])
def test_a_long_list_of_steps_comes_in_pages(history, control, by):
    control.advance(3600)
    first = history.get("/runs/job-1/children", **{"$top": 2}).json()
    if by == "nextLink":
        rest = history.http.get(first["nextLink"]).json()
    else:
        token = {"$continuationtoken": first["continuationToken"]}
        rest = history.get("/runs/job-1/children", **token).json()
    assert [len(first["value"]), len(rest["value"])] == [2, 1]
    assert "nextLink" not in rest


def test_a_run_is_found_through_its_experiment(history):
    experiment = history.get("/experiments/churn").json()
    for scope in ("/experiments/churn", f"/experimentids/{experiment['experimentId']}"):
        assert history.get(f"{scope}/runs/job-1").json()["runId"] == "job-1"
        assert history.get(f"{scope}/runs/job-1/children").json() == {"value": []}
        details = history.get(f"{scope}/runs/job-1/details").json()
        assert (details["runId"], details["logFiles"]) == ("job-1", {})


def test_what_is_not_there_is_not_found(history):
    for path in ("/runs/job-2", "/experiments/other/runs/job-1", "/experiments/x/runs/job-1"):
        missing = history.get(path)
        assert missing.status_code == 404
        error = missing.json()["error"]
        assert (error["code"], error["innerError"]["code"]) == ("UserError", "NotFoundError")


def test_tags_are_merged_into_a_run_and_its_later_events(history, control):
    body = {"tags": {"b": "2", "c": None}, "displayName": "New", "hidden": True}
    changed = history.patch("/experiments/churn/runs/job-1", body)
    assert changed.json()["tags"] == {"a": "1", "b": "2"}
    run = history.get("/runs/job-1").json()
    assert (run["displayName"], run["hidden"]) == ("New", True)
    control.advance(10)
    last = [e["event"]["data"] for e in control.events() if e["event"]["data"]["runId"] == "job-1"]
    assert last[-1]["runTags"] == {"a": "1", "b": "2"}


def test_a_property_is_set_once(history):
    assert history.patch("/runs/job-1", {"properties": {"p": "1"}}).status_code == 200
    assert history.patch("/runs/job-1", {"properties": {"p": "1"}}).status_code == 200
    assert history.patch("/runs/job-1", {"properties": {"p": "2"}}).status_code == 400


def test_a_run_is_cancelled(history, control):
    answer = history.http.post(f"{history.base}/experiments/churn/runs/job-1/cancel")
    assert answer.json()["status"] == "CancelRequested"
    control.advance(10)
    assert history.get("/runs/job-1").json()["status"] == "Canceled"


def test_a_run_is_told_with_what_it_ran(history):
    answer = history.http.post(f"{history.base}/rundata", json={"runId": "job-1"}).json()
    assert answer["runMetadata"]["runId"] == "job-1"


@pytest.mark.parametrize(
    ("audience", "status"),
    [
        ("https://ml.azure.com", 200),
        ("https://management.azure.com", 200),
        ("https://vault.azure.net", 401),
    ],
)
def test_a_token_must_be_for_the_workspace_or_for_arm(history, audience, status):
    token = issue_token(audience, "tenant", "client")
    history.http.headers["Authorization"] = f"Bearer {token}"
    assert history.get("/runs/job-1").status_code == status


def test_run_history_has_bad_days_too(history, control):
    control.throttle(times=1, retry_after=3, path="/history/*")
    throttled = history.get("/runs/job-1")
    assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "3")
    assert history.get("/runs/job-1").status_code == 200
