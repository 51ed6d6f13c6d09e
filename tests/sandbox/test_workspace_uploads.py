"""Files that the real, unmodified azure-ai-ml client uploads, registers and reads back.

The client is made as in any notebook: nothing but the environment says where it is.
"""

import logging
import warnings
from collections.abc import Iterator
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
    from azure.ai.ml import Input, MLClient, command
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import (
        AzureBlobDatastore,
        BuildContext,
        Data,
        Environment,
        Model,
        NoneCredentialConfiguration,
    )

pytestmark = pytest.mark.filterwarnings(
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:azure\.ai\.ml.*",
    "ignore:The use of a 'BlobProperties' instance:DeprecationWarning",
    "ignore:content_as_bytes is deprecated:DeprecationWarning",
)

MLMODEL = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n"


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
