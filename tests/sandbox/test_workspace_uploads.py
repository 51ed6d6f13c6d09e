"""Files that the real, unmodified azure-ai-ml client uploads, registers and reads back.

The client is made as in any notebook: nothing but the environment says where it is.
"""

import logging
import ssl
import warnings
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.storage.blob import BlobServiceClient
from marshmallow.warnings import Marshmallow4Warning

from sandbox.azurite import Azurite
from sandbox.workspace.control import Control
from sandbox.workspace.server import WorkspaceEmulator
from sandbox.workspace.settings import Settings

with warnings.catch_warnings():
    # The client builds its schemas, in a way that its marshmallow deprecates, when imported.
    warnings.simplefilter("ignore", Marshmallow4Warning)
    import azure.ai.ml._artifacts._artifact_utilities as artifacts
    from azure.ai.ml import Input, MLClient, Output, command, dsl
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import (
        AzureBlobDatastore,
        BatchEndpoint,
        BuildContext,
        CodeConfiguration,
        Data,
        Environment,
        ManagedOnlineDeployment,
        ManagedOnlineEndpoint,
        Model,
        ModelBatchDeployment,
        ModelBatchDeploymentSettings,
        NoneCredentialConfiguration,
    )
    from azure.ai.ml.exceptions import JobException

pytestmark = pytest.mark.filterwarnings(
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:azure\.ai\.ml.*",
    "ignore:The use of a 'BlobProperties' instance:DeprecationWarning",
    "ignore:content_as_bytes is deprecated:DeprecationWarning",
)

MLMODEL = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"


@pytest.fixture(autouse=True)
def _unmodified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the client its uploads back: where the app was used in this process, it refuses them."""
    spec = find_spec(artifacts.__name__)
    assert spec is not None
    assert spec.loader is not None
    fresh = module_from_spec(spec)
    spec.loader.exec_module(fresh)
    monkeypatch.setattr(artifacts, "_upload_to_datastore", vars(fresh)["_upload_to_datastore"])


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture(scope="module")
def emulator(
    azurite: Azurite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkspaceEmulator]:
    settings = Settings(ca_folder=tmp_path_factory.mktemp("ca"), storage=azurite.workspace_account)
    with WorkspaceEmulator(settings) as running, pytest.MonkeyPatch.context() as environment:
        for name, value in running.environment().items():
            environment.setenv(name, value)
        environment.setenv("AZUREML_CURRENT_CLOUD", "AzureCloud")
        yield running


@pytest.fixture
def control(emulator: WorkspaceEmulator) -> Iterator[Control]:
    with Control(emulator.control_url) as control:
        control.reset()
        yield control


@pytest.fixture(scope="module")
def client(emulator: WorkspaceEmulator) -> Iterator[MLClient]:
    logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
    settings = emulator.settings
    with DefaultAzureCredential() as credential:
        yield MLClient(
            credential, settings.subscription, settings.resource_group, settings.workspaces[0]
        )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "MLmodel").write_text(MLMODEL)
    (folder / "artifacts" / "an example.json").write_text("[1]")
    return folder


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "train.py").write_text("print('trained')\n")
    return folder


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def uploads(control: Control) -> list[str]:
    puts = (r for r in control.requests() if r["method"] == "PUT" and ".blob." in r["path"])
    return [r["path"] for r in puts if "comp=metadata" not in r["query"]]


def test_a_model_is_registered_from_a_folder_and_downloaded(client, control, model, tmp_path):
    registered = client.models.create_or_update(
        Model(name="churn", path=str(model), type=AssetTypes.MLFLOW_MODEL)
    )
    assert registered.version == "1"
    assert "/datastores/workspaceblobstore/paths/LocalUpload/" in registered.path
    client.models.download("churn", "1", str(tmp_path / "out"))
    assert contents(tmp_path / "out" / "churn" / "model") == contents(model)


def test_the_same_files_are_uploaded_once(client, control, model):
    for _ in range(2):
        client.models.create_or_update(Model(name="churn", path=str(model), type="mlflow_model"))
    assert len(uploads(control)) == len(set(uploads(control)))
    assert client.models.get("churn", label="latest").version == "2"


@pytest.mark.parametrize("kind", ["uri_file", "uri_folder"])
def test_data_is_registered_from_what_is_here(client, control, model, kind):
    path = model / "MLmodel" if kind == "uri_file" else model
    client.data.create_or_update(Data(name="customers", path=str(path), type=kind))
    found = client.data.get("customers", label="latest")
    assert (found.type, found.version) == (kind, "1")
    assert "workspaceblobstore" in found.path
    client.data.archive("customers")
    assert list(client.data.list()) == []
    client.data.restore("customers")
    assert [each.name for each in client.data.list()] == ["customers"]


def test_an_environment_is_made_from_a_folder(client, control, code):
    (code / "Dockerfile").write_text("FROM scratch\n")
    made = client.environments.create_or_update(
        Environment(name="own", build=BuildContext(path=str(code)))
    )
    assert client.environments.get("own", made.version).build.dockerfile_path == "Dockerfile"


def test_an_environment_that_has_changed_is_a_new_version(client, control):
    def create(image: str) -> str:
        made = client.environments.create_or_update(Environment(name="own", image=image))
        return str(made.version)

    assert [create("a:1"), create("a:1"), create("a:2")] == ["1", "1", "2"]


def test_data_cannot_move(client, control, model):
    client.data.create_or_update(Data(name="d", version="1", path=str(model)))
    with pytest.raises(HttpResponseError, match=r"\(UserError\) Asset paths cannot be updated"):
        client.data.create_or_update(Data(name="d", version="1", path=str(model / "artifacts")))


def test_data_is_archived_and_restored(client, control, model):
    client.data.create_or_update(Data(name="d", version="1", path=str(model), type="uri_folder"))
    client.data.archive("d", version="1")
    assert list(client.data.list("d")) == []
    client.data.restore("d", version="1")
    assert [data.version for data in client.data.list("d")] == ["1"]


def test_a_job_brings_its_code_and_its_inputs(client, control, code, model):
    def submit() -> Any:
        return client.jobs.create_or_update(
            command(
                code=str(code),
                command="python train.py --data ${{inputs.data}}",
                environment=Environment(name="base", image="mcr.microsoft.com/x:1"),
                inputs={"data": Input(type="uri_file", path=str(model / "MLmodel"))},
            )
        )

    first = submit()
    assert "/codes/" in first.code
    assert "workspaceblobstore" in first.inputs["data"].path
    before = uploads(control)
    assert submit().code == first.code, "the same code is one asset"
    assert uploads(control) == before


def submit_training(client: MLClient, code: Path, **outputs: Output) -> str:
    job = command(
        code=str(code),
        command=" ".join(f"${{{{outputs.{name}}}}}" for name in outputs) or "true",
        environment="AzureML-sklearn-1.5@latest",
        outputs=outputs,
    )
    return str(client.jobs.create_or_update(job).name)


def test_a_job_leaves_what_it_is_told_to(client, control, code, tmp_path):
    files = {"model/MLmodel": MLMODEL, "model/input_example.json": "[[1]]", "data/a.csv": "1"}
    control.training(files=files)
    name = submit_training(
        client,
        code,
        model=Output(type="mlflow_model", name="churn"),
        data=Output(type="uri_folder", name="prepared"),
    )
    control.advance(3600)
    prepared = client.data.get("prepared", label="latest")
    assert (prepared.version, prepared.type) == ("1", "uri_folder")
    assert prepared.path.endswith(f"/paths/azureml/{name}/data/")
    client.jobs.download(name, download_path=tmp_path, all=True)
    assert contents(tmp_path / "artifacts")["user_logs/std_log.txt"]
    client.jobs.download(name, download_path=tmp_path, output_name="data")
    assert contents(tmp_path / "named-outputs" / "data") == {"a.csv": "1"}
    client.models.download("churn", "1", str(tmp_path / "model"))
    [kept] = {path.parent for path in (tmp_path / "model").rglob("MLmodel")}
    assert contents(kept) == {"MLmodel": MLMODEL, "input_example.json": "[[1]]"}


def test_an_mlflow_model_of_a_job_is_one_without_being_told(client, control, code, tmp_path):
    submit_training(client, code, model=Output(type="mlflow_model", name="churn"))
    control.advance(3600)
    client.models.download("churn", "1", str(tmp_path / "out"))
    [described] = (tmp_path / "out").rglob("MLmodel")
    assert "python_function" in described.read_text()


def test_a_failed_job_leaves_its_log_and_nothing_else(client, control, code, tmp_path, capsys):
    control.training(outcome="Failed", error={"code": "UserError", "message": "no such column"})
    name = submit_training(client, code, model=Output(type="mlflow_model", name="churn"))
    control.advance(3600)
    with pytest.raises(JobException, match="no such column"):
        client.jobs.stream(name)
    client.jobs.download(name, download_path=tmp_path, all=True)
    client.jobs.download(name, download_path=tmp_path, output_name="model")
    kept = {path.name: path.read_text() for path in tmp_path.rglob("*.txt")}
    assert "no such column" in kept["std_log.txt"]
    assert not list(tmp_path.rglob("MLmodel"))


@pytest.mark.parametrize("is_registered", [True, False])
def test_a_pipeline_of_components_with_code_runs(
    client, control, code, model, tmp_path, is_registered
):
    train = command(
        name="train",
        code=str(code),
        command="python train.py ${{inputs.data}} ${{outputs.model}}",
        environment="AzureML-sklearn-1.5@latest",
        inputs={"data": Input(type="uri_file")},
        outputs={"model": Output(type="mlflow_model")},
    ).component
    if is_registered:
        train = client.components.create_or_update(train)

    @dsl.pipeline(default_compute="cpu-cluster")
    def pipeline(data: Input) -> dict[str, Any]:
        return {"model": train(data=data).outputs.model}

    job = pipeline(data=Input(type="uri_file", path=str(model / "MLmodel")))
    job.outputs.model = Output(type="mlflow_model", name="churn")
    name = client.jobs.create_or_update(job).name
    control.advance(3600)
    assert client.jobs.get(name).status == "Completed"
    [step] = client.jobs.list(parent_job_name=name)
    assert step.properties["azureml.moduleName"] == "train"
    client.models.download("churn", "1", str(tmp_path / "out"))
    assert list((tmp_path / "out").rglob("MLmodel"))


def test_endpoints_take_models_code_and_environments_from_here(client, control, code, model):
    control.provisioning(0)
    environment = Environment(name="base", image="mcr.microsoft.com/x:1")
    scoring = CodeConfiguration(code=str(code), scoring_script="train.py")
    client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="ep-up")).result()
    online = ManagedOnlineDeployment(
        name="blue",
        endpoint_name="ep-up",
        model=Model(path=str(model)),
        code_configuration=scoring,
        environment=environment,
        instance_type="Standard_DS3_v2",
        instance_count=1,
    )
    deployed = client.online_deployments.begin_create_or_update(online).result()
    assert deployed.provisioning_state == "Succeeded"
    client.batch_endpoints.begin_create_or_update(BatchEndpoint(name="batch-up")).result()
    batch = ModelBatchDeployment(
        name="blue",
        endpoint_name="batch-up",
        model=Model(path=str(model)),
        code_configuration=scoring,
        environment=environment,
        compute="cpu-cluster",
        settings=ModelBatchDeploymentSettings(mini_batch_size=10, instance_count=1),
    )
    client.batch_deployments.begin_create_or_update(batch).result()
    rows = Input(type="uri_folder", path=str(model / "artifacts"))
    job = client.batch_endpoints.invoke("batch-up", deployment_name="blue", input=rows)
    assert client.jobs.get(job.name).status


@pytest.mark.parametrize("place", ["uploaded", "of a job"])
def test_a_deployed_model_takes_what_its_signature_says(client, control, code, model, place):
    control.provisioning(0)
    signature = f'{MLMODEL}signature:\n  inputs: \'[{{"name": "age", "type": "long"}}]\'\n'
    (model / "MLmodel").write_text(signature)
    if place == "uploaded":
        client.models.create_or_update(Model(name="churn", path=str(model), type="mlflow_model"))
    else:
        control.training(files={"model/MLmodel": signature})
        submit_training(client, code, model=Output(type="mlflow_model", name="churn"))
        control.advance(3600)
    client.online_endpoints.begin_create_or_update(
        ManagedOnlineEndpoint(name="ep-up", auth_mode="key")
    ).result()
    client.online_deployments.begin_create_or_update(
        ManagedOnlineDeployment(
            name="blue",
            endpoint_name="ep-up",
            model="azureml:churn:1",
            instance_type="Standard_DS3_v2",
            instance_count=1,
        )
    ).result()
    key = client.online_endpoints.get_keys("ep-up").primary_key
    headers = {"Authorization": f"Bearer {key}", "azureml-model-deployment": "blue"}
    address = client.online_endpoints.get("ep-up").scoring_uri

    def ask(column: str) -> int:
        rows = {"input_data": {"columns": [column], "index": [0], "data": [[1]]}}
        return httpx.post(address, json=rows, headers=headers).status_code

    assert (ask("age"), ask("colour")) == (200, 424)


def test_the_workspace_has_its_datastores(client, control):
    names = {store.name for store in client.datastores.list()}
    assert names == {"workspaceblobstore", "workspaceartifactstore"}
    assert client.datastores.get_default().name == "workspaceblobstore"
    shown = client.datastores.get("workspaceblobstore")
    assert shown.credentials.type == "account_key"
    assert not shown.credentials.account_key
    assert client.datastores.get("workspaceblobstore", include_secrets=True).credentials.sas_token


def test_a_datastore_is_added_and_used_with_ones_own_identity(client, control, model, tmp_path):
    account = client.datastores.get_default().account_name
    container = client.datastores.get_default().container_name
    client.datastores.create_or_update(
        AzureBlobDatastore(
            name="mine",
            account_name=account,
            container_name=container,
            credentials=NoneCredentialConfiguration(),
        )
    )
    client.models.create_or_update(Model(name="churn", path=str(model), datastore="mine"))
    client.models.download("churn", "1", str(tmp_path / "out"))
    assert "MLmodel" in contents(tmp_path / "out" / "churn" / "model")
    client.datastores.delete("mine")
    assert "mine" not in {store.name for store in client.datastores.list()}


def test_storage_takes_tokens_for_itself_only(client, control):
    address = f"https://{client.datastores.get_default().account_name}.blob.core.windows.net"
    with (
        ManagedIdentityCredential() as credential,
        BlobServiceClient(address, credential=credential) as service,
    ):
        assert "azureml" in {each.name for each in service.list_containers()}
        wrong = credential.get_token("https://ml.azure.com/.default").token
    answer = httpx.get(f"{address}/?comp=list", headers={"Authorization": f"Bearer {wrong}"})
    assert answer.status_code == 401
    assert httpx.get(f"{address}/?comp=list").status_code == 403


def test_storage_fails_on_demand(client, control, model):
    control.outage(path="*.blob.core.windows.net/*", status=403)
    with pytest.raises(HttpResponseError) as failure:
        client.models.create_or_update(Model(name="churn", path=str(model)))
    assert failure.value.status_code == 403


def test_storage_that_is_gone_says_so(tmp_path):
    with Azurite() as azurite:
        account = azurite.workspace_account
        running = WorkspaceEmulator(Settings(ca_folder=tmp_path, storage=account)).start()
        trusted = ssl.create_default_context(cafile=str(running.ca_path))
        address = f"https://{account.name}.blob.core.windows.net/azureml/a"
        with httpx.Client(verify=trusted, proxy=running.proxy_url) as http:
            assert http.get(address).status_code == 403
            azurite.stop()
            assert http.get(address).headers["x-ms-error-code"] == "ServerBusy"
        running.stop()


def test_a_reset_leaves_no_file(client, control, model):
    client.models.create_or_update(Model(name="churn", path=str(model)))
    control.reset()
    account = client.datastores.get_default()
    address = f"https://{account.account_name}.blob.core.windows.net"
    with (
        ManagedIdentityCredential() as credential,
        BlobServiceClient(address, credential=credential) as service,
    ):
        assert not list(service.get_container_client(account.container_name).list_blobs())
