"""Registering models and finding them again: one suite over the emulator and the twin."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.aml.models import ModelRegistry
from shared.base.errors import WorkspaceBusy, WorkspaceRefused
from shared.events.model import Workspace
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import ModelVersion, NewModel
from shared.workspaces.ports import Workspaces

WORKSPACE = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")
MODEL = NewModel(
    name="churn",
    kind="mlflow_model",
    path="azureml://jobs/run-1/outputs/artifacts/paths/model/",
    job_name="run-1",
    description="who leaves",
    tags={"signalbox_step": "1", "stage": "prod"},
    properties={"auc": "0.9"},
)


@dataclass(frozen=True)
class Bench:
    """Workspaces, and a way in which somebody else registers a version."""

    workspaces: Workspaces
    register: Callable[..., object]


@pytest.fixture(params=["memory", "emulator"])
def bench(request: pytest.FixtureRequest, clock: Any) -> Bench:
    if request.param == "memory":
        twin = MemoryWorkspaces(clock)

        def register(version: str, tags: dict[str, str]) -> object:
            return twin.register(WORKSPACE, "churn", version, tags=tags)

        return Bench(twin, register)
    somebody = request.getfixturevalue("somebody")

    def put(version: str, tags: dict[str, str]) -> object:
        properties = {"modelType": "mlflow_model", "modelUri": "azureml://x", "tags": tags}
        return somebody.put(f"/models/churn/versions/{version}", properties)

    return Bench(request.getfixturevalue("workspaces"), put)


def found(bench: Bench, **tags: str) -> list[str]:
    return sorted(model.version for model in bench.workspaces.find_models(WORKSPACE, "churn", tags))


def test_a_model_is_registered_as_it_was_described(bench: Bench) -> None:
    made = bench.workspaces.register_model(WORKSPACE, MODEL)
    assert (made.name, made.version, made.kind) == ("churn", "1", "mlflow_model")
    assert made.id == f"{WORKSPACE.id}/models/churn/versions/1"
    assert (made.tags, made.properties) == (MODEL.tags, MODEL.properties)
    assert made.job_name == "run-1"
    read = bench.workspaces.get_model(WORKSPACE, "churn", "1")
    assert read == made


def test_each_registration_is_the_next_version(bench: Bench) -> None:
    bench.register("7", {})
    versions = [bench.workspaces.register_model(WORKSPACE, MODEL).version for _ in range(2)]
    assert versions == ["8", "9"]


def test_versions_are_found_by_all_the_tags_that_are_asked_for(bench: Bench) -> None:
    bench.register("1", {"stage": "prod", "team": "growth"})
    bench.register("2", {"stage": "prod"})
    bench.register("3", {"stage": "test"})
    assert found(bench, stage="prod") == ["1", "2"]
    assert found(bench, stage="prod", team="growth") == ["1"]
    assert found(bench, stage="gone") == []
    assert found(bench) == ["1", "2", "3"]


def test_a_value_that_could_be_taken_for_two_tags_is_found_as_it_is(bench: Bench) -> None:
    bench.register("1", {"note": "a,b=c"})
    bench.register("2", {"note": "a", "b": "c"})
    assert found(bench, note="a,b=c") == ["1"]


def test_a_model_that_is_not_there_has_no_versions(bench: Bench) -> None:
    assert bench.workspaces.find_models(WORKSPACE, "gone", {"a": "b"}) == ()


def test_what_was_registered_is_found_by_its_tag(bench: Bench) -> None:
    made = bench.workspaces.register_model(WORKSPACE, MODEL)
    (again,) = bench.workspaces.find_models(WORKSPACE, "churn", {"signalbox_step": "1"})
    assert again == made


def test_the_models_of_a_workspace_are_listed_with_their_newest_versions(bench: Bench) -> None:
    assert bench.workspaces.list_models(WORKSPACE) == ()
    assert bench.workspaces.newest_models(WORKSPACE, "churn", most=2) == ()
    for version in ("1", "2", "10"):
        bench.register(version, {"stage": "prod"})
    assert bench.workspaces.list_models(WORKSPACE) == ("churn",)
    newest = bench.workspaces.newest_models(WORKSPACE, "churn", most=2)
    assert [model.version for model in newest] == ["10", "2"]
    assert all(model.created_at and model.modified_at == model.created_at for model in newest)


def test_a_tag_changes_when_a_version_was_modified_and_not_when_it_was_made(
    bench: Bench, clock: Any
) -> None:
    bench.register("1", {})
    (before,) = bench.workspaces.newest_models(WORKSPACE, "churn", most=2)
    clock.pass_time(timedelta(hours=1))
    bench.register("1", {"deploy": "true"})
    (after,) = bench.workspaces.newest_models(WORKSPACE, "churn", most=2)
    assert after.created_at == before.created_at
    assert before.modified_at is not None
    assert after.modified_at is not None
    assert after.modified_at > before.modified_at
    assert after.tags == {"deploy": "true"}


# Only the service refuses


def test_an_archived_version_is_found_too(workspaces: Workspaces, somebody: Any) -> None:
    usual = {"modelType": "mlflow_model", "modelUri": "azureml://x", "tags": {"a": "b"}}
    somebody.put("/models/churn/versions/1", usual | {"isArchived": True})
    (model,) = workspaces.find_models(WORKSPACE, "churn", {"a": "b"})
    assert model.archived


def test_a_version_that_somebody_took_meanwhile_is_busy_and_the_next_try_takes_the_next(
    workspaces: Any, somebody: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces.register_model(WORKSPACE, MODEL)
    next_version = ModelRegistry._next_version

    def late(*args: Any) -> str:
        version: str = next_version(*args)
        properties = {"modelType": "mlflow_model", "modelUri": "azureml://theirs"}
        somebody.put(f"/models/churn/versions/{version}", properties)
        return version

    monkeypatch.setattr(ModelRegistry, "_next_version", late)
    with pytest.raises(WorkspaceBusy, match="version 2 was taken meanwhile"):
        workspaces.register_model(WORKSPACE, MODEL)
    monkeypatch.undo()
    assert workspaces.register_model(WORKSPACE, MODEL).version == "3"


def test_a_model_that_the_service_does_not_take_is_refused_in_its_words(
    workspaces: Workspaces,
) -> None:
    with pytest.raises(WorkspaceRefused, match="model type 'onnx_model'"):
        workspaces.register_model(WORKSPACE, replace(MODEL, kind="onnx_model"))


def test_registering_is_two_requests(workspaces: Workspaces, control: Any) -> None:
    made: ModelVersion = workspaces.register_model(WORKSPACE, MODEL)
    assert made.version == "1"
    assert [request["method"] for request in control.requests()] == ["GET", "PUT"]
