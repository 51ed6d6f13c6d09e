"""One table of requests, held to Microsoft's own inference server, the emulator and the probe."""

import json
import math
import pickle
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any, Self

import httpx
import pytest

from sandbox.inference import InferenceServer, make_models
from sandbox.workspace.control import Control
from sandbox.workspace.identity import issue_token
from sandbox.workspace.server import WorkspaceEmulator
from sandbox.workspace.settings import Settings
from shared.adapters.aml.connection import Aml
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.adapters.http import Http
from shared.events.model import Workspace
from shared.rollouts.engine.probe import probe
from shared.rollouts.engine.samples import EMPTY_REQUEST, SampleKind, read_sample
from shared.rollouts.state.rollout import ProbeResult
from shared.rollouts.state.tags import TAG_ROLLOUT
from shared.rollouts.strategy.model import Probe
from tests.contract.conftest import FakeCredential
from tests.layers import ROOT
from tests.unit.rollouts import make_rollout

MODELS = ("example", "signature", "tensor", "tensors", "bare")
WORKSPACE = (
    "/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.MachineLearningServices"
    "/workspaces/ws-a"
)
OURS = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")
JSON = "application/json"


def _table(columns: list[str], *rows: list[Any], **more: Any) -> bytes:
    return _data({"columns": columns, "index": list(range(len(rows))), "data": list(rows)}, **more)


def _data(value: Any, **more: Any) -> bytes:
    return json.dumps({"input_data": value} | more).encode()


COLUMNS = ["age", "calls", "plan"]
ALL = dict.fromkeys(MODELS, 200)


def _only(*fit: str) -> dict[str, int]:
    """Return that these answer, and the others' scripts raise. A model without a signature that
    gets a table does what it likes: of "bare" no table is told, but what any model does.
    """
    return {name: 200 if name in fit else 500 for name in MODELS if name != "bare"}


def _each(status: int) -> dict[str, int]:
    return dict.fromkeys(MODELS, status)


#: Each request (method, path, content type, body), and the container's status by model.
TABLE: dict[str, tuple[str, str, str, bytes, dict[str, int]]] = {
    "no rows": ("POST", "score", JSON, b'{"input_data": []}', _each(500)),
    "an empty object": ("POST", "score", JSON, b"{}", _each(400)),
    "no JSON": ("POST", "score", JSON, b"{", _each(400)),
    "no body": ("POST", "score", JSON, b"", _each(400)),
    "a list": ("POST", "score", JSON, b"[[1]]", _each(400)),
    "a text": ("POST", "score", JSON, b'"text"', _each(400)),
    "bytes that are no text": ("POST", "score", JSON, b"\xff", _each(500)),
    "another name": ("POST", "score", JSON, b'{"data": [[1]]}', _each(400)),
    "MLflow's own form": ("POST", "score", JSON, b'{"dataframe_split": {}}', _each(400)),
    "null": ("POST", "score", JSON, _data(None), _each(500)),
    "a string": ("POST", "score", JSON, _data("x"), _each(500)),
    "another content type": ("POST", "score", "text/plain", b"{}", _each(415)),
    "no content type": ("POST", "score", "", b"{}", _each(415)),
    "a content type of JSON": ("POST", "score", "application/a+json", b"{}", _each(400)),
    "a character set": ("POST", "score", f"{JSON}; charset=utf-8", b"{}", _each(400)),
    "rows": ("POST", "score", JSON, _table(COLUMNS, [1.5, 2, "a"]), _only("example", "signature")),
    "rows without an index": (
        "POST",
        "score",
        JSON,
        _data({"columns": COLUMNS, "data": [[1.5, 2, "a"]]}),
        _only("example", "signature"),
    ),
    "a column more": (
        "POST",
        "score",
        JSON,
        _table([*COLUMNS, "more"], [1.5, 2, "a", 3]),
        _only("example", "signature"),
    ),
    "another order": (
        "POST",
        "score",
        JSON,
        _table(["plan", "age", "calls"], ["a", 1.5, 2]),
        _only("example", "signature"),
    ),
    "a column less": ("POST", "score", JSON, _table(["age"], [1.5]), _only()),
    "a value less": ("POST", "score", JSON, _table(COLUMNS, [1.5, 2]), _each(500)),
    "columns and no rows": ("POST", "score", JSON, _table(COLUMNS), _each(500)),
    "texts for numbers": ("POST", "score", JSON, _table(COLUMNS, ["x", "y", "z"]), _only()),
    "records": ("POST", "score", JSON, _data([{"age": 1.5, "calls": 2, "plan": "a"}]), _only()),
    "an array": ("POST", "score", JSON, _data([[1.0, 2.0, 3.0]]), _only("tensor") | {"bare": 200}),
    "another shape": ("POST", "score", JSON, _data([[1.0, 2.0]]), _only() | {"bare": 200}),
    "an array and more": (
        "POST",
        "score",
        JSON,
        _data([[1.0, 2.0, 3.0]], more=1),
        _only("tensor") | {"bare": 200},
    ),
    "an array by name": (
        "POST",
        "score",
        JSON,
        _data({"x": [[1.0, 2.0, 3.0]]}),
        _only("tensors") | {"bare": 200},
    ),
    "an array by another name": (
        "POST",
        "score",
        JSON,
        _data({"y": [[1.0, 2.0, 3.0]]}),
        _only() | {"bare": 200},
    ),
    "the health route": ("GET", "", "", b"", _each(200)),
    "a post to the health route": ("POST", "", JSON, b"{}", _each(405)),
    "the description": ("GET", "swagger.json?version=3", "", b"", _each(200)),
    "no such description": ("GET", "swagger.json?version=9", "", b"", _each(404)),
    "a post to the description": ("POST", "swagger.json", JSON, b"{}", _each(405)),
    "a get": ("GET", "score", "", b"", _each(400)),
    "another method": ("PUT", "score", JSON, b"{}", _each(405)),
    "what browsers ask first": ("OPTIONS", "score", "", b"", _each(200)),
    "no such route": ("POST", "nothing", JSON, b"{}", _each(404)),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_models(folder)
    return folder


@pytest.fixture(scope="module")
def servers(models: Path) -> Iterator[dict[str, InferenceServer]]:
    servers = {name: InferenceServer(models / name) for name in MODELS}
    try:
        for server in servers.values():
            server.start()
        for server in servers.values():
            server.wait()
        yield servers
    finally:
        for server in servers.values():
            server.stop()


class Site:
    """An emulated workspace that has the models, each deployed under its name."""

    def __init__(self, emulator: WorkspaceEmulator, control: Control) -> None:
        self.control = control
        http = Http(ca_path=str(emulator.ca_path))
        self.workspaces = ArmWorkspaces(Aml(FakeCredential, arm_endpoint=emulator.url, http=http))
        trusted = ssl.create_default_context(cafile=str(emulator.ca_path))
        self.scoring = httpx.Client(verify=trusted)
        self.http = httpx.Client(
            base_url=emulator.url,
            verify=trusted,
            headers={"Authorization": f"Bearer {issue_token(emulator.url, 't', 'c')}"},
            params={"api-version": "2025-12-01"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()
        self.scoring.close()
        self.workspaces.close()

    def register(self, models: Path) -> None:
        endpoint = {"location": "westeurope", "properties": {"authMode": "Key"}}
        self._put("/onlineEndpoints/ep-1", endpoint)
        token = issue_token("https://ml.azure.com", "t", "c")
        for name in MODELS:
            for file in (models / name).iterdir():
                self.http.post(
                    f"/artifact/v2.0{WORKSPACE}/artifacts/ExperimentRun/dcid.run-{name}/content",
                    params={"path": f"model/{file.name}"},
                    headers={"Authorization": f"Bearer {token}"},
                    content=file.read_bytes(),
                ).raise_for_status()
            uri = f"azureml://jobs/run-{name}/outputs/artifacts/paths/model/"
            properties = {"modelType": "mlflow_model", "modelUri": uri}
            self._put(f"/models/{name}/versions/1", {"properties": properties})

    def deploy(self) -> None:
        for name in MODELS:
            body = {
                "location": "westeurope",
                "sku": {"name": "Default", "capacity": 1},
                "properties": {
                    "endpointComputeType": "Managed",
                    "model": f"{WORKSPACE}/models/{name}/versions/1",
                    "instanceType": "Standard_DS3_v2",
                },
            }
            self._put(f"/onlineEndpoints/ep-1/deployments/{name}", body)

    def headers(self, deployment: str) -> dict[str, str]:
        key = self.http.post(f"{WORKSPACE}/onlineEndpoints/ep-1/listKeys").json()["primaryKey"]
        return {"Authorization": f"Bearer {key}", "azureml-model-deployment": deployment}

    def probe(self, name: str) -> ProbeResult:
        """Have the app probe a deployment that it has made itself."""
        found = self.workspaces.get_endpoint(OURS, "ep-1")
        made = {each.name: each for each in self.workspaces.list_deployments(OURS, "ep-1")}
        deployment = replace(made[name], tags={TAG_ROLLOUT: "r1"})
        rollout = make_rollout(workspace=OURS)
        assert found is not None
        return probe(rollout, Probe(), found, deployment, self.workspaces, lambda _: b"")

    @contextmanager
    def broken(self, name: str) -> Iterator[None]:
        rule = self.control.scoring(deployment=name, error_rate=1, model_status=500)
        try:
            yield
        finally:
            self.control.remove(rule)

    @property
    def address(self) -> str:
        document = self.http.get(f"{WORKSPACE}/onlineEndpoints/ep-1").json()
        return str(document["properties"]["scoringUri"]).removesuffix("/score")

    def _put(self, path: str, body: dict[str, Any]) -> None:
        self.http.put(f"{WORKSPACE}{path}", json=body).raise_for_status()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Site]:
    settings = Settings(
        ca_folder=tmp_path_factory.mktemp("ca"),
        workspaces=("ws-a",),
        subscription="sub-1",
        resource_group="rg-1",
    )
    with (
        WorkspaceEmulator(settings) as emulator,
        Control(emulator.control_url) as control,
        Site(emulator, control) as site,
    ):
        site.register(models)
        control.advance(3600)
        site.deploy()
        control.advance(3600)
        yield site


def _send(client: Any, url: str, name: str, more: dict[str, str]) -> httpx.Response:
    method, _, content_type, body, _ = TABLE[name]
    headers = more | ({"content-type": content_type} if content_type else {})
    answer: httpx.Response = client.request(method, url, content=body, headers=headers, timeout=60)
    return answer


@pytest.mark.parametrize("name", TABLE)
def test_the_real_server_answers_as_the_table_says(name, servers):
    _, path, _, _, wanted = TABLE[name]
    found = {
        model: _send(httpx, f"{servers[model].url}/{path}", name, {}).status_code
        for model in wanted
    }
    assert found == wanted


@pytest.mark.parametrize("name", TABLE)
def test_the_emulated_endpoint_answers_as_its_front_does_of_what_the_table_says(name, site):
    _, path, _, _, wanted = TABLE[name]
    for model, status in wanted.items():
        answer = _send(site.scoring, f"{site.address}/{path}", name, site.headers(model))
        told = answer.headers.get("ms-azureml-model-error-statuscode")
        seen = (200, None) if status == 200 else (424, str(status))
        assert (answer.status_code, told) == seen, model


@pytest.mark.parametrize(
    "name", ["no rows", "an empty object", "no body", "a list", "no such route"]
)
def test_complaints_are_worded_alike(name, servers, site):
    path = TABLE[name][1]
    real = _send(httpx, f"{servers['tensor'].url}/{path}", name, {}).json()
    emulated = _send(site.scoring, f"{site.address}/{path}", name, site.headers("tensor")).json()
    assert real["message"].startswith(emulated["message"])


# A script of one's own


@pytest.fixture(scope="module")
def own_script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InferenceServer]:
    """The server with the script of the how-to, and a pickle that adds up each row."""
    page = (ROOT / "docs/how-to/deploy-other-models.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n( *import json.*?)```", page, re.S)
    code, model = tmp_path_factory.mktemp("code"), tmp_path_factory.mktemp("pickle")
    (code / "score.py").write_text(dedent(script), encoding="utf-8")
    adds = SimpleNamespace(predict=partial(map, math.fsum))
    (model / "churn.pkl").write_bytes(pickle.dumps(adds))
    with InferenceServer(model, code) as server:
        yield server


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (b'{"input_data": [[1, 2], [3, 4.5]]}', 200, [3.0, 7.5]),
        # So an empty request proves nothing about such a script, and must not fail a probe.
        (EMPTY_REQUEST, 500, None),
    ],
)
def test_the_real_server_runs_the_script_of_the_how_to(
    own_script: InferenceServer, body: bytes, status: int, answer: Any
) -> None:
    headers = {"content-type": JSON}
    found = httpx.post(f"{own_script.url}/score", content=body, headers=headers, timeout=60)
    assert found.status_code == status
    assert answer is None or found.json() == answer


# The probe


#: The request to each model without a golden one, and the container's answer.
ASKED = {
    "example": (SampleKind.EXAMPLE, 200, "answered its own input example"),
    "signature": (SampleKind.SIGNATURE, 200, "answered a row made up from its signature"),
    "tensor": (SampleKind.SIGNATURE, 200, "answered a row made up from its signature"),
    "tensors": (SampleKind.SIGNATURE, 200, "answered a row made up from its signature"),
    "bare": (SampleKind.EMPTY, 400, "is up, and was asked for no prediction"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_real_server_answers_what_a_healthy_model_is_asked(name, models, servers):
    def read(path: str) -> bytes | None:
        file = models / name / path
        return file.read_bytes() if file.is_file() else None

    sample = read_sample(read)
    headers = {"content-type": JSON}
    answer = httpx.post(
        f"{servers[name].url}/score", content=sample.body, headers=headers, timeout=60
    )
    assert (sample.kind, answer.status_code) == ASKED[name][:2]


@pytest.mark.parametrize("name", MODELS)
def test_every_healthy_model_passes_a_probe_without_a_golden_request(name, site):
    result = site.probe(name)
    assert result.passed
    assert result.detail.startswith(ASKED[name][2])


@pytest.mark.parametrize("name", ["example"])
def test_a_model_that_raises_on_its_own_example_does_not_pass(name, site):
    with site.broken(name):
        result = site.probe(name)
    assert not result.passed
    assert "(the container answered 500)" in result.detail
    assert "to its own input example" in result.detail
