"""Each client of the app survives any server: it soon gets an answer, or one of our errors.

Each behaviour of a hostile server is borne by each call that the app makes of anybody. "Soon" is
measured by the server: nobody may bear a behaviour that goes on to its end.
"""

import base64
import inspect
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from azure.core.credentials import AccessToken

from shared.adapters.aml.arm import BODY_MAX
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.adapters.http import Http
from shared.base.errors import ReactionsInvalid, SettingInvalid, SignalboxError
from shared.base.lazy import Lazy, once
from shared.base.ports import Channels, Publication, Topics
from shared.events.model import Workspace
from shared.retraining.targets import Submission, TargetParams
from shared.services import Services
from shared.workspaces.metrics import Measure, Metrics
from shared.workspaces.model import (
    AssetKind,
    DataCollection,
    DeploymentSpec,
    Endpoint,
    EndpointKind,
    ModelKind,
    ModelVersion,
    NewModel,
    Operation,
    Serving,
    State,
)
from shared.workspaces.ports import Workspaces
from tests.hostile import Behaviour, Hostile, behaviours, bomb, pour_body, pour_chunks

pytestmark = [
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning"),
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

#: In seconds: the longest exchange here. A hostile server goes on for twelve.
LONGEST = 0.4
WORKSPACE = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")
SUBMISSION = Submission(
    id="a" * 32,
    reference="b-a",
    workspace=WORKSPACE,
    since=datetime(2026, 3, 1, tzinfo=UTC),
    is_first=False,
    inputs={"days": 30},
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTORY = "/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.DataFactory/factories/adf-1"
TARGETS: dict[str, dict[str, Any]] = {
    "job": {"file": "jobs/churn.yaml"},
    "component": {"name": "train"},
    "batch_endpoint": {"endpoint": "batch"},
    "copy_of": {"experiment": "churn"},
    "data_factory": {"factory": FACTORY, "pipeline": "retrain"},
    "azure_devops": {"organization": "contoso", "project": "ml", "pipeline": 7},
    "github": {"repository": "contoso/churn", "workflow": "retrain.yml"},
    "webhook": {"name": "trainer"},
}
#: The adapters that ask nobody but the app's own storage account; the others are tried below.
OF_ITS_OWN = {"_account", "tables", "queues", "blobs"}
TRIED = {"_identity", "_aml", "workspaces", "metrics", "channels", "topics", "_targets"}

type Call = Callable[[], object]


class Credential:
    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken("the-token", 4_102_444_800)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_path(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Hostile]:
    with Hostile(authority) as running:
        running.good = lambda method, path: good(running, method, path)
        yield running


@pytest.fixture
def services(server: Hostile, ca_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """The app, all of whose addresses lead to the server, and who waits for nobody for long."""
    make = Http.__init__
    https: list[Http] = []

    def init(self: Http, **options: Any) -> None:
        make(self, **{**options, "longest": LONGEST})
        https.append(self)

    monkeypatch.setattr(Http, "__init__", init)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_path))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/token")
    monkeypatch.setenv("IDENTITY_HEADER", "the-header")
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "")  # so that what the SDK writes there is undone
    monkeypatch.delenv("AZUREML_CURRENT_CLOUD")
    host = urlsplit(server.url).netloc
    secret = base64.b64encode(b"k" * 32).decode()
    made = Services(
        {
            "SIGNALBOX_ARM_ENDPOINT": server.url,
            "SIGNALBOX_DEVOPS_ENDPOINT": server.url,
            "SIGNALBOX_GITHUB_ENDPOINT": server.url,
            "SIGNALBOX_GITHUB_TOKEN": "the-token",
            "SIGNALBOX_WEBHOOK_TRAINER_URL": f"{server.url}/hook",
            "SIGNALBOX_WEBHOOK_TRAINER_SECRET": f"whsec_{secret}",
            "SIGNALBOX_CHANNEL_TEAM": f"jsons://{host}/hook?+X-Key=secret&redirect=yes",
            "SIGNALBOX_TOPIC_NEWS": f"{server.url}/api/events",
            "SIGNALBOX_TOPIC_KEYED": f"{server.url}/api/events",
            "SIGNALBOX_TOPIC_KEYED_KEY": "the-key",
            "SIGNALBOX_TOPIC_KEYED_SCHEMA": "EventGridSchema",
            "SIGNALBOX_CHANNEL_ANYBODY": f"jsons://{host}/hook?verify=no",
        }
    )
    made.__dict__["_identity"] = Credential()
    yield made
    for http in https:
        http.close()


def good(server: Hostile, method: str, path: str) -> Any:
    """Answer what only leads to the question that is meant."""
    if path == WORKSPACE.id:
        tracking = f"azureml://{urlsplit(server.url).netloc}/mlflow"
        found = {"discoveryUrl": f"{server.url}/discovery", "mlFlowTrackingUri": tracking}
        return {"location": "westeurope", "properties": found}
    if path == "/discovery":
        return {"api": server.url}
    if path.endswith("/batchEndpoints/batch"):
        return {"properties": {"scoringUri": f"{server.url}/jobs"}}
    return None


def endpoint(server: Hostile, auth_mode: str) -> Endpoint:
    return Endpoint(
        name="e",
        state=State.SUCCEEDED,
        traffic={},
        tags={},
        scoring_uri=f"{server.url}/score",
        auth_mode=auth_mode,
        document={"location": "l", "properties": {}},
    )


def workspace_calls(workspaces: Workspaces, server: Hostile) -> dict[str, Call]:
    """Return a call of each method of the port; of some, one of each kind."""
    model = ModelVersion(
        id="m",
        name="m",
        version="1",
        kind=ModelKind.MLFLOW,
        path="azureml://jobs/run-1/outputs/artifacts/paths/model",
    )
    spec = DeploymentSpec(model_id="m", instance_type="t", instance_count=1)
    collects = DataCollection(collections=("c",), sampling_rate=1, rolling_rate="hour")
    collecting = replace(spec, serving=Serving(collects=collects))
    soon = timedelta(seconds=10)
    where = (WORKSPACE, "e")
    key, aad = endpoint(server, "Key"), endpoint(server, "AADToken")
    batch = {"kind": EndpointKind.BATCH}
    return {
        "get_model": lambda: workspaces.get_model(WORKSPACE, "m", "1"),
        "find_models": lambda: workspaces.find_models(WORKSPACE, "m", {"a": "b"}),
        "list_models": lambda: workspaces.list_models(WORKSPACE),
        "newest_models": lambda: workspaces.newest_models(WORKSPACE, "m", most=3),
        "register_model": lambda: workspaces.register_model(
            WORKSPACE, NewModel(name="m", kind=ModelKind.MLFLOW, path="p")
        ),
        "has_resource": lambda: workspaces.has_resource(WORKSPACE, "computes", "c"),
        "find_asset": lambda: workspaces.find_asset(WORKSPACE, AssetKind.CODE, "c", "1"),
        "find_asset latest": lambda: workspaces.find_asset(WORKSPACE, AssetKind.ENVIRONMENT, "e"),
        "read_model_file": lambda: workspaces.read_model_file(WORKSPACE, model, "x", most=1000),
        "get_run": lambda: workspaces.get_run(WORKSPACE, "r"),
        "list_children": lambda: workspaces.list_children(WORKSPACE, "r"),
        "get_metrics": lambda: workspaces.get_metrics(WORKSPACE, "r"),
        "get_endpoint": lambda: workspaces.get_endpoint(*where),
        "get_endpoint of batch": lambda: workspaces.get_endpoint(*where, **batch),
        "list_endpoints": lambda: workspaces.list_endpoints(WORKSPACE),
        "list_deployments": lambda: workspaces.list_deployments(*where),
        "create_endpoint": lambda: workspaces.create_endpoint(*where, auth_mode="key", tags={}),
        "create_deployment": lambda: workspaces.create_deployment(*where, "d", spec),
        "create_deployment collecting": lambda: workspaces.create_deployment(
            *where, "d", collecting
        ),
        "set_traffic": lambda: workspaces.set_traffic(WORKSPACE, key, {"d": 100}, {}),
        "scale_deployment": lambda: workspaces.scale_deployment(*where, "d", 2),
        "delete_deployment": lambda: workspaces.delete_deployment(*where, "d"),
        "find_capacity": lambda: workspaces.find_capacity(WORKSPACE, "Standard_DS3_v2"),
        "get_operation": lambda: workspaces.get_operation(Operation(url=f"{server.url}/op")),
        "get_logs": lambda: workspaces.get_logs(*where, "d", lines=10),
        "score": lambda: workspaces.score(WORKSPACE, aad, "d", b"{}", timeout=soon),
        "score with a key": lambda: workspaces.score(WORKSPACE, key, "d", b"{}", timeout=soon),
    }


def metric_calls(metrics: Metrics) -> dict[str, Call]:
    hour = {"start": NOON, "end": NOON + timedelta(hours=1)}
    measures = tuple(Measure)
    return {"read": lambda: metrics.read(WORKSPACE, "e", ("blue",), measures, **hour)}


def channel_calls(channels: Channels) -> dict[str, Call]:
    return {
        "send": lambda: channels.send("team", title="t", text="x", good=True),
        "send to anybody": lambda: channels.send("anybody", title="t", text="x", good=None),
    }


def topic_calls(topics: Topics) -> dict[str, Call]:
    event = Publication(id="1", type="t", source="s", subject="x", time=NOON, data={"n": 1})
    return {
        "publish": lambda: topics.publish("news", [event]),
        "publish with a key": lambda: topics.publish("keyed", [event]),
    }


def target_calls(services: Services, name: str) -> dict[str, Call]:
    values = TargetParams.model_validate({name: TARGETS[name]}).value
    first = replace(SUBMISSION, is_first=True)
    return {
        f"submit {name}": lambda: services.target(name).submit(values, SUBMISSION),
        f"submit {name} first": lambda: services.target(name).submit(values, first),
        f"look at {name}": lambda: services.target(name).look(values, SUBMISSION, "run-1"),
        f"look for {name}": lambda: services.target(name).look(values, SUBMISSION, ""),
    }


def identity_calls(services: Services, server: Hostile) -> dict[str, Call]:
    """Return calls that sign in as the platform has an app sign in, at the server."""
    environ = services._environ | {"IDENTITY_ENDPOINT": f"{server.url}/token"}  # type: ignore[operator]
    signing_in = Services(environ)
    values = TargetParams.model_validate({"azure_devops": TARGETS["azure_devops"]}).value
    return {
        "sign in": lambda: signing_in.workspaces.get_model(WORKSPACE, "m", "1"),
        "sign in elsewhere": lambda: signing_in.target("azure_devops").look(values, SUBMISSION, ""),
    }


def all_calls(services: Services, server: Hostile) -> dict[str, Call]:
    calls = {
        **workspace_calls(services.workspaces, server),
        **metric_calls(services.metrics),
        **channel_calls(services.channels),
        **topic_calls(services.topics),
        **identity_calls(services, server),
    }
    for name in TARGETS:
        calls |= target_calls(services, name)
    return calls


def attempt(call: Call) -> BaseException | None:
    """Return what a call raised that is no error of ours."""
    try:
        call()
    except SignalboxError as error:
        # It can't be told apart from a mistake of this test's.
        return error if isinstance(error, SettingInvalid | ReactionsInvalid) else None
    except BaseException as error:  # noqa: BLE001 - that is the question
        return error
    return None


BEHAVIOURS = dict(behaviours())


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_every_client_bears_each_behaviour(name: str, services: Services, server: Hostile) -> None:
    server.behave = BEHAVIOURS[name]
    calls = all_calls(services, server)
    before = set(threading.enumerate())
    with ThreadPoolExecutor(16) as pool:
        failures = dict(zip(calls, pool.map(attempt, calls.values()), strict=True))
    assert {call: repr(error) for call, error in failures.items() if error is not None} == {}
    assert server.borne == []
    assert not [path for path in server.paths if "elsewhere" in path]
    assert [left for left in set(threading.enumerate()) - before if not left.daemon] == []


def test_every_call_asks_the_server(services: Services, server: Hostile) -> None:
    server.behave = BEHAVIOURS["hang_up"]
    for name, call in all_calls(services, server).items():
        if "webhook" not in name or "submit" in name:  # which can't be asked
            with pytest.raises(SignalboxError) as raised:
                call()
            assert "no answer" in str(raised.value) or "did not take" in str(raised.value), name


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_discovery_of_an_address_bears_each_behaviour(
    name: str, services: Services, server: Hostile
) -> None:
    server.behave = BEHAVIOURS[name]
    server.good = lambda _method, _path: None
    workspaces = services.workspaces
    calls: list[Call] = [
        lambda: workspaces.get_run(WORKSPACE, "r"),
        lambda: workspaces.get_metrics(WORKSPACE, "r"),
        lambda: workspaces.find_capacity(WORKSPACE, "Standard_DS3_v2"),
        lambda: services.target("batch_endpoint").submit(
            TargetParams.model_validate({"batch_endpoint": {"endpoint": "b"}}).value, SUBMISSION
        ),
    ]
    with ThreadPoolExecutor(4) as pool:
        assert list(filter(None, pool.map(attempt, calls))) == []
    assert server.borne == []


@pytest.mark.parametrize("kind", ["gzip", "gzip of gzip", "a body", "chunks"])
@pytest.mark.parametrize("call", ["get_model", "score", "send", "submit github"])
def test_an_answer_of_any_length_takes_no_more_memory_than_a_few_of_the_longest(
    kind: str, call: str, services: Services, server: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Callable[[int], Behaviour]] = {
        "gzip": lambda size: bomb(1, size),
        "gzip of gzip": lambda size: bomb(2, size),
        "a body": lambda size: lambda talk: _poured(pour_body, talk, size),
        "chunks": lambda size: lambda talk: _poured(pour_chunks, talk, size),
    }
    calls = all_calls(services, server)

    server.behave = made[kind](1024)
    attempt(calls[call])
    server.behave = made[kind](4 * BODY_MAX)
    tracemalloc.start()
    attempt(calls[call])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The server is in the same process, and has what it sends. Whole, the answer would be there
    # twice: in pieces, and put together.
    assert most < 4 * BODY_MAX


def _poured(pour: Behaviour, talk: Any, size: int) -> None:
    pours = talk.pour
    talk.pour = lambda piece=bytes(65_536): pours(piece, size)
    pour(talk)


def test_every_adapter_that_the_app_builds_is_tried_or_asks_nobody() -> None:
    built = {
        name
        for name, value in vars(Services).items()
        if isinstance(value, once) and re.search(r"adapters|_aml", inspect.getsource(value.make))
    }
    assert built == OF_ITS_OWN | TRIED


def test_every_method_of_the_ports_is_tried(services: Services, server: Hostile) -> None:
    def public(kind: type) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    def told(calls: dict[str, Call]) -> set[str]:
        return {name.split(" ")[0] for name in calls}

    assert told(workspace_calls(services.workspaces, server)) == public(Workspaces)
    assert public(Workspaces) | {"aml", "close"} >= public(ArmWorkspaces)
    assert told(metric_calls(services.metrics)) == public(Metrics) - {"grain"}
    assert told(channel_calls(services.channels)) == public(Channels)
    assert told(topic_calls(services.topics)) == public(Topics)
    assert set(TARGETS) == set(TargetParams.model_fields)
    assert isinstance(services._targets._made["github"], Lazy)
