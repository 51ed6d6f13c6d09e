"""The services refuse what the real ones would, keep what they are told, and fail on demand."""

import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from sandbox.services.azure_devops import AUDIENCE, AzureDevOps
from sandbox.services.data_factory import DataFactory
from sandbox.services.github import GitHub
from sandbox.services.server import Service
from sandbox.services.webhook import Webhook
from sandbox.workspace.identity import issue_token

FACTORY = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DataFactory/factories/adf"
KEY = b"k" * 24
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ADF = {"api-version": "2018-06-01"}
ADO = {"api-version": "7.1"}
RUNS = "/org/project/_apis/pipelines/7/runs"
BUILDS = "/org/project/_apis/build/builds"
REPOSITORY = "/repos/owner/name"
DISPATCHES = f"{REPOSITORY}/actions/workflows/retrain.yml/dispatches"


def bearer(audience: str, *, lifetime: int = 600) -> dict[str, str]:
    return {"Authorization": f"Bearer {issue_token(audience, 'tenant', 'client', lifetime)}"}


class Caller:
    """Speaks to a service as any client does."""

    def __init__(self, service: Service, headers: dict[str, str], params: dict[str, str]) -> None:
        context = ssl.create_default_context(cafile=str(service.ca_path))
        self.http = httpx.Client(
            base_url=service.url, verify=context, headers=headers, params=params
        )

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return self.http.request(method, path, **options)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def data_factory(authority: trustme.CA, tmp_path: Path) -> Iterator[DataFactory]:
    with DataFactory(ca_folder=tmp_path, authority=authority, page=2) as service:
        parameters = {"data": {"type": "string"}, "days": {"type": "int", "defaultValue": 30}}
        service.have(FACTORY, "retrain", parameters)
        yield service


@pytest.fixture
def azure_devops(authority: trustme.CA, tmp_path: Path) -> Iterator[AzureDevOps]:
    with AzureDevOps(ca_folder=tmp_path, authority=authority) as service:
        parameters: dict[str, Any] = {"data": {}, "days": {"default": "30"}}
        service.have("org", "project", 7, parameters, name="run-${{ parameters.data }}")
        yield service


@pytest.fixture
def github(authority: trustme.CA, tmp_path: Path) -> Iterator[GitHub]:
    with GitHub(ca_folder=tmp_path, authority=authority) as service:
        service.tokens["token"] = {"actions:read", "actions:write", "contents:write"}
        service.tokens["weak"] = set()
        service.have(
            "owner/name",
            "retrain.yml",
            inputs={"data": {"required": True}, "days": {"default": "30"}},
            types=("drift",),
            run_name="Run ${{ inputs.data }}${{ github.event.client_payload.data }}",
        )
        yield service


@pytest.fixture
def webhook(authority: trustme.CA, tmp_path: Path) -> Iterator[Webhook]:
    with Webhook(SECRET, ca_folder=tmp_path, authority=authority) as service:
        yield service


@pytest.fixture
def adf(data_factory: DataFactory) -> Iterator[Caller]:
    caller = Caller(data_factory, bearer("https://management.azure.com"), ADF)
    with caller.http:
        yield caller


@pytest.fixture
def ado(azure_devops: AzureDevOps) -> Iterator[Caller]:
    caller = Caller(azure_devops, bearer(AUDIENCE), ADO)
    with caller.http:
        yield caller


@pytest.fixture
def gh(github: GitHub) -> Iterator[Caller]:
    caller = Caller(github, {"Authorization": "Bearer token"}, {})
    with caller.http:
        yield caller


@pytest.fixture
def hook(webhook: Webhook) -> Iterator[Caller]:
    caller = Caller(webhook, {}, {})
    with caller.http:
        yield caller


CREATE = f"{FACTORY}/pipelines/retrain/createRun"


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", CREATE, {"json": {"data": "a"}}, 200),
        ("POST", CREATE.lower().replace("createrun", "CREATERUN"), {"json": {"data": "a"}}, 200),
        ("GET", CREATE, {}, 405),
        ("POST", f"{FACTORY}/pipelines/other/createRun", {"json": {}}, 404),
        ("POST", CREATE.replace("/adf/", "/other/"), {"json": {}}, 404),
        ("POST", CREATE, {"json": {"data": "a"}, "params": {"api-version": "2017-09-01"}}, 400),
        ("POST", CREATE, {"json": {}}, 400),
        ("POST", CREATE, {"json": {"data": "a", "undeclared": 1}}, 400),
        ("POST", CREATE, {"json": {"data": 1}}, 400),
        ("POST", CREATE, {"json": {"data": "a", "days": True}}, 400),
        ("POST", CREATE, {"json": ["data"]}, 400),
        ("POST", CREATE, {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", CREATE, {"data": {"data": "a"}}, 400),
        ("POST", CREATE, {"json": {"data": "a"}, "headers": bearer(AUDIENCE)}, 401),
        ("POST", CREATE, {"json": {}, "headers": {"Authorization": "Bearer x"}}, 401),
        ("POST", CREATE, {"json": {}, "headers": bearer("https://x", lifetime=-1)}, 401),
        ("GET", f"{FACTORY}/pipelineruns/none", {}, 404),
        ("POST", f"{FACTORY}/queryPipelineRuns", {"json": {}}, 400),
        ("GET", f"{FACTORY}/pipelines/retrain", {}, 200),
    ],
)
def test_data_factory_takes_what_the_service_takes(
    adf: Caller,
    data_factory: DataFactory,
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
) -> None:
    answer = adf(method, path, **options)
    assert answer.status_code == status, answer.text
    assert len(data_factory.runs) == (method == "POST" and status == 200)
    if status >= 400:
        assert answer.json()["error"]["code"]


def test_data_factory_lists_the_runs_of_a_time_page_by_page(
    adf: Caller, data_factory: DataFactory
) -> None:
    ids = [adf("POST", CREATE, {"data": str(n)}).json()["runId"] for n in range(3)]
    now = datetime.now(UTC)
    query: dict[str, Any] = {
        "lastUpdatedAfter": (now - timedelta(minutes=1)).isoformat(),
        "lastUpdatedBefore": (now + timedelta(minutes=1)).isoformat(),
        "filters": [{"operand": "PipelineName", "operator": "Equals", "values": ["retrain"]}],
        "orderBy": [{"orderBy": "RunStart", "order": "ASC"}],
    }
    first = adf("POST", f"{FACTORY}/queryPipelineRuns", query).json()
    token = {"continuationToken": first["continuationToken"]}
    second = adf("POST", f"{FACTORY}/queryPipelineRuns", query | token).json()
    assert [run["runId"] for run in first["value"] + second["value"]] == ids
    assert "continuationToken" not in second
    assert first["value"][0]["parameters"] == {"data": "0", "days": "30"}
    later = query | {"lastUpdatedAfter": (now + timedelta(seconds=30)).isoformat()}
    assert adf("POST", f"{FACTORY}/queryPipelineRuns", later).json() == {"value": []}
    other = [{"operand": "PipelineName", "operator": "Equals", "values": ["other"]}]
    answer = adf("POST", f"{FACTORY}/queryPipelineRuns", query | {"filters": other})
    assert answer.json() == {"value": []}
    data_factory.finish(ids[0], "Failed", "out of memory")
    run = adf("GET", f"{FACTORY}/pipelineruns/{ids[0]}").json()
    assert (run["status"], run["message"]) == ("Failed", "out of memory")


def test_data_factory_may_drop_what_is_not_declared(adf: Caller, data_factory: DataFactory) -> None:
    data_factory.undeclared = "drop"
    assert adf("POST", CREATE, {"data": "a", "undeclared": 1}).status_code == 200
    assert data_factory.runs[0]["parameters"] == {"data": "a", "days": "30"}


def test_data_factory_keeps_those_out_who_have_no_role(
    adf: Caller, data_factory: DataFactory
) -> None:
    data_factory.operators = {"somebody-else"}
    answer = adf("POST", CREATE, {"data": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AuthorizationFailed")


def ado_body(**parameters: Any) -> dict[str, Any]:
    return {"templateParameters": parameters}


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("POST", RUNS, {"json": ado_body(data="a")}, 200),
        ("PUT", RUNS, {"json": ado_body(data="a")}, 405),
        ("POST", RUNS.replace("/7/", "/8/"), {"json": {}}, 404),
        ("POST", RUNS.replace("project", "other"), {"json": {}}, 404),
        ("POST", RUNS, {"json": ado_body(data="a"), "params": {"api-version": "99"}}, 400),
        ("POST", RUNS, {"json": ado_body()}, 400),
        ("POST", RUNS, {"json": ado_body(data="a", extra="b")}, 400),
        ("POST", RUNS, {"json": ado_body(data=1)}, 400),
        ("POST", RUNS, {"json": ado_body(data="a") | {"parameters": {}}}, 400),
        ("POST", RUNS, {"content": b"data=a"}, 400),
        (
            "POST",
            RUNS,
            {
                "json": ado_body(data="a")
                | {"resources": {"repositories": {"self": {"refName": "main"}}}}
            },
            400,
        ),
        ("POST", RUNS, {"json": {}, "headers": bearer("https://management.azure.com")}, 401),
        ("GET", f"{RUNS}/100", {}, 404),
        ("GET", BUILDS, {}, 200),
    ],
)
def test_azure_devops_takes_what_the_service_takes(
    ado: Caller,
    azure_devops: AzureDevOps,
    method: str,
    path: str,
    options: dict[str, Any],
    status: int,
) -> None:
    answer = ado(method, path, **options)
    assert answer.status_code == status, answer.text
    assert len(azure_devops.runs) == (method == "POST" and status == 200)


def test_azure_devops_sends_a_stranger_to_a_page_to_sign_in_at(ado: Caller) -> None:
    del ado.http.headers["Authorization"]
    answer = ado("POST", RUNS, ado_body(data="a"))
    assert answer.status_code == 302
    assert "_signin" in answer.headers["Location"]


@pytest.mark.parametrize(
    ("who", "status", "code"), [("users", 401, "TF4"), ("readers", 403, "TF2")]
)
def test_azure_devops_keeps_those_out_who_may_not(
    ado: Caller, azure_devops: AzureDevOps, who: str, status: int, code: str
) -> None:
    setattr(azure_devops, who, {"client"} if who == "readers" else set())
    answer = ado("POST", RUNS, ado_body(data="a"))
    assert answer.status_code == status
    assert answer.json()["message"].startswith(code)


def test_azure_devops_lists_builds_with_their_parameters_page_by_page(
    ado: Caller, azure_devops: AzureDevOps
) -> None:
    for number in range(3):
        ado("POST", RUNS, ado_body(data=str(number)))
    query = {"definitions": "7", "queryOrder": "queueTimeAscending", "$top": "2"}
    first = ado("GET", BUILDS, params=query)
    token = first.headers["x-ms-continuationtoken"]
    second = ado("GET", BUILDS, params=query | {"continuationToken": token})
    builds = first.json()["value"] + second.json()["value"]
    assert [build["buildNumber"] for build in builds] == ["run-0", "run-1", "run-2"]
    assert builds[0]["templateParameters"] == {"data": "0", "days": "30"}
    assert "x-ms-continuationtoken" not in second.headers
    newest = ado("GET", BUILDS, params={"queryOrder": "queueTimeDescending", "$top": "1"})
    assert newest.json()["value"][0]["buildNumber"] == "run-2"
    assert ado("GET", BUILDS, params={"definitions": "8"}).json()["count"] == 0
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert ado("GET", BUILDS, params={"minTime": later}).json()["count"] == 0
    azure_devops.finish(100, "failed")
    run = ado("GET", f"{RUNS}/100").json()
    assert (run["state"], run["result"], run["name"]) == ("completed", "failed", "run-0")


@pytest.mark.parametrize(
    ("path", "body", "options", "status"),
    [
        (DISPATCHES, {"ref": "main", "inputs": {"data": "a"}}, {}, 204),
        (DISPATCHES, {"ref": "main", "inputs": {"data": "a"}, "return_run_details": True}, {}, 200),
        (DISPATCHES, {"ref": "other", "inputs": {"data": "a"}}, {}, 422),
        (DISPATCHES, {"inputs": {"data": "a"}}, {}, 422),
        (DISPATCHES, {"ref": "main"}, {}, 422),
        (DISPATCHES, {"ref": "main", "inputs": {"data": "a", "extra": "b"}}, {}, 422),
        (DISPATCHES, {"ref": "main", "inputs": {"data": 1}}, {}, 422),
        (DISPATCHES, {"ref": "main", "inputs": {str(n): "" for n in range(26)}}, {}, 422),
        (DISPATCHES, {"ref": "main", "input": {}}, {}, 422),
        (DISPATCHES.replace("retrain", "other"), {"ref": "main"}, {}, 404),
        (DISPATCHES.replace("/name/", "/other/"), {"ref": "main"}, {}, 404),
        (DISPATCHES, {}, {"headers": {"X-GitHub-Api-Version": "2020-01-01"}}, 400),
        (DISPATCHES, {}, {"headers": {"Authorization": "Bearer other"}}, 401),
        (DISPATCHES, {}, {"headers": {"Authorization": "Bearer weak"}}, 403),
        (DISPATCHES, {}, {"headers": {"User-Agent": ""}}, 403),
        (f"{REPOSITORY}/dispatches", {"event_type": "drift"}, {}, 204),
        (f"{REPOSITORY}/dispatches", {"event_type": ""}, {}, 422),
        (f"{REPOSITORY}/dispatches", {"event_type": "x" * 101}, {}, 422),
        (f"{REPOSITORY}/dispatches", {"event_type": "drift", "payload": {}}, {}, 422),
        (
            f"{REPOSITORY}/dispatches",
            {"event_type": "drift", "client_payload": {str(n): n for n in range(11)}},
            {},
            422,
        ),
        (
            f"{REPOSITORY}/dispatches",
            {"event_type": "drift", "client_payload": {"x": "x" * 65_536}},
            {},
            422,
        ),
    ],
)
def test_github_takes_what_the_service_takes(
    gh: Caller,
    github: GitHub,
    path: str,
    body: dict[str, Any],
    options: dict[str, Any],
    status: int,
) -> None:
    answer = gh("POST", path, body, **options)
    assert answer.status_code == status, answer.text
    assert len(github.runs) == (status < 300)
    assert gh("GET", path).status_code == 404


def test_github_names_a_run_as_its_workflow_says(gh: Caller, github: GitHub) -> None:
    details = {"return_run_details": True}
    started = gh("POST", DISPATCHES, {"ref": "main", "inputs": {"data": "a"}} | details).json()
    payload = {"event_type": "drift", "client_payload": {"data": "b"}}
    gh("POST", f"{REPOSITORY}/dispatches", payload)
    gh("POST", f"{REPOSITORY}/dispatches", payload | {"event_type": "nobody-listens"})
    listed = gh("GET", f"{REPOSITORY}/actions/runs").json()
    titles = [run["display_title"] for run in listed["workflow_runs"]]
    assert titles == ["Run b", "Run a"]
    of_workflow = f"{REPOSITORY}/actions/workflows/retrain.yml/runs"
    since = {"event": "workflow_dispatch", "created": ">=2026-01-01T00:00:00Z"}
    (run,) = gh("GET", of_workflow, params=since).json()["workflow_runs"]
    assert run["id"] == started["workflow_run_id"]
    assert gh("GET", of_workflow, params={"created": ">=2999-01-01T00:00:00Z"}).json() == {
        "total_count": 0,
        "workflow_runs": [],
    }
    github.finish(run["id"], "failure")
    run = gh("GET", f"{REPOSITORY}/actions/runs/{run['id']}").json()
    assert (run["status"], run["conclusion"]) == ("completed", "failure")
    assert gh("GET", f"{REPOSITORY}/actions/runs/1").status_code == 404


def test_an_older_github_does_not_know_of_run_details(gh: Caller, github: GitHub) -> None:
    github.knows_run_details = False
    body = {"ref": "main", "inputs": {"data": "a"}, "return_run_details": True}
    answer = gh("POST", DISPATCHES, body)
    assert answer.status_code == 422
    assert '"return_run_details" is not a permitted key' in answer.json()["message"]


MESSAGE = {"type": "a.b", "timestamp": "2026-03-01T00:00:00Z", "data": {"n": 1}}


def signed(
    body: bytes, *, at: float | None = None, key: bytes = KEY, message_id: str = "msg_1"
) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1a,abc v1,{base64.b64encode(digest).decode()}",
        "Content-Type": "application/json",
    }


def test_a_webhook_takes_a_message_once(hook: Caller, webhook: Webhook) -> None:
    body = json.dumps(MESSAGE).encode()
    for status in (202, 200):
        assert hook("POST", "/any/path", content=body, headers=signed(body)).status_code == status
    assert webhook.messages == {"msg_1": MESSAGE}
    other = json.dumps(MESSAGE | {"data": {}}).encode()
    assert hook("POST", "/any", content=other, headers=signed(other)).status_code == 422


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"key": b"x" * 24}, 401),
        ({"at": time.time() - 3600}, 400),
        ({"at": time.time() + 3600}, 400),
        ({"message_id": "msg.1"}, 400),
    ],
)
def test_a_webhook_refuses_a_message_that_is_not_well_signed(
    hook: Caller, webhook: Webhook, change: dict[str, Any], status: int
) -> None:
    body = json.dumps(MESSAGE).encode()
    assert hook("POST", "/", content=body, headers=signed(body, **change)).status_code == status
    assert webhook.messages == {}


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_webhook_refuses_a_message_without_a_header(hook: Caller, name: str) -> None:
    body = json.dumps(MESSAGE).encode()
    headers = signed(body)
    del headers[name]
    assert hook("POST", "/", content=body, headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", "application/json"),
        (json.dumps(MESSAGE).encode(), "text/plain"),
    ],
)
def test_a_webhook_refuses_a_body_that_is_no_message(hook: Caller, body: bytes, kind: str) -> None:
    headers = signed(body) | {"Content-Type": kind}
    assert hook("POST", "/", content=body, headers=headers).status_code == 400


def test_the_signature_is_that_of_the_specification_s_library() -> None:
    from standardwebhooks import Webhook as Signer

    body = json.dumps(MESSAGE)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    theirs = Signer(SECRET).sign("msg_1", at, body)
    assert theirs in signed(body.encode(), at=at.timestamp())["webhook-signature"]


def test_a_service_fails_on_demand(hook: Caller, webhook: Webhook) -> None:
    body = json.dumps(MESSAGE).encode()

    def send() -> httpx.Response:
        return hook("POST", "/", content=body, headers=signed(body))

    webhook.fail(status=429, headers={"Retry-After": "3"}, body=b"slow down", times=2)
    webhook.fail(method="GET", path="/else*", status=500)
    for _ in range(2):
        answer = send()
        assert (answer.status_code, answer.text) == (429, "slow down")
        assert answer.headers["Retry-After"] == "3"
    webhook.fail(drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        send()
    assert webhook.messages == {}
    webhook.fail(drop=True, does_work=True)
    with pytest.raises(httpx.RemoteProtocolError):
        send()
    assert webhook.messages == {"msg_1": MESSAGE}
    webhook.fail(times=100)
    webhook.heal()
    assert send().status_code == 200
    assert [seen.status for seen in webhook.requests] == [429, 429, 0, 0, 200]
    assert webhook.requests[-1].json == MESSAGE
