"""Components, environments and computes: what jobs are made of."""

import warnings

import pytest
from azure.core.exceptions import ResourceNotFoundError
from marshmallow.warnings import Marshmallow4Warning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", Marshmallow4Warning)
    from azure.ai.ml import load_component
    from azure.ai.ml.entities import Environment

pytestmark = pytest.mark.filterwarnings(
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:azure\.ai\.ml.*",
)

TRAIN = """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
name: train
type: command
inputs:
  rate: {type: number, default: 0.1}
command: python train.py --rate ${{inputs.rate}}
environment: azureml:sklearn:1
"""


def spec(**changes):
    return {"componentSpec": {"type": "command", "command": "python train.py"} | changes}


def put(arm, properties, version="1", name="train"):
    return arm.put(f"/components/{name}/versions/{version}", {"properties": properties})


def test_the_client_registers_components_and_finds_them(client, control, tmp_path):
    file = tmp_path / "train.yml"
    file.write_text(TRAIN)
    image = Environment(name="sklearn", version="1", image="mcr.microsoft.com/sklearn")
    assert client.environments.create_or_update(image).version == "1"
    assert client.environments.get("sklearn", label="latest").image == image.image
    versions = [client.components.create_or_update(load_component(file)).version for _ in "ab"]
    assert versions == ["1", "2"]
    latest = client.components.get("train", label="latest")
    assert latest.version == "2"
    assert latest.inputs["rate"]["default"] == 0.1
    assert client.components.get("train").version == "2"
    assert [component.version for component in client.components.list("train")] == ["2", "1"]
    assert [component.name for component in client.components.list()] == ["train"]
    with pytest.raises(ResourceNotFoundError):
        client.components.get("train", "3")


def test_the_client_reads_the_clusters(client, control):
    assert client.compute.get("cpu-cluster").provisioning_state == "Succeeded"
    assert [compute.name for compute in client.compute.list()] == ["cpu-cluster", "k8s"]
    with pytest.raises(ResourceNotFoundError):
        client.compute.get("gpu-cluster")


def test_a_component_is_kept_as_it_was_sent(arm):
    sent = spec(inputs={"rate": {"type": "number"}}) | {"tags": {"a": "1"}, "description": "Trains"}
    assert put(arm, sent).status_code == 201
    kept = arm.properties("/components/train/versions/1")
    assert kept["componentSpec"] == sent["componentSpec"] | {"name": "train", "version": "1"}
    assert (kept["tags"], kept["description"]) == ({"a": "1"}, "Trains")
    container = arm.properties("/components/train")
    assert (container["latestVersion"], container["nextVersion"]) == ("1", "2")


def test_a_component_may_change_its_tags_but_not_what_it_is(arm):
    put(arm, spec())
    assert put(arm, spec() | {"tags": {"b": "2"}}).status_code == 200
    assert arm.properties("/components/train/versions/1")["tags"] == {"b": "2"}
    refused = put(arm, spec(command="rm"))
    assert refused.status_code == 400
    assert "already exists" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "properties",
    [
        {},
        spec(type="magic"),
        spec(command=""),
        spec(inputs=[]),
        {"componentSpec": {"type": "pipeline"}},
    ],
)
def test_what_is_no_component_is_refused(arm, properties):
    assert put(arm, properties).status_code == 400


def test_an_environment_needs_something_to_be_made_of(arm):
    body = {"properties": {"description": "nothing"}}
    assert arm.put("/environments/e/versions/1", body).status_code == 400


def test_versions_are_ordered_cut_and_archived(arm):
    for version in ("1", "2", "3"):
        put(arm, spec(), version)
    put(arm, spec() | {"isArchived": True}, "3")
    answer = arm.get("/components/train/versions", **{"$orderBy": "createdtime asc", "$top": 1})
    assert [item["name"] for item in answer.json()["value"]] == ["1"]
    listed = arm.get("/components/train/versions").json()["value"]
    assert [item["name"] for item in listed] == ["2", "1"]
    everything = arm.get("/components/train/versions", listViewType="All").json()["value"]
    assert [item["name"] for item in everything] == ["3", "2", "1"]


def test_a_version_is_deleted(arm):
    put(arm, spec())
    assert arm.delete("/components/train/versions/1").status_code == 200
    assert arm.delete("/components/train/versions/1").status_code == 204
    assert arm.get("/components/train/versions/1").status_code == 404
    assert arm.get("/components/stranger").status_code == 404
