"""The model registry: versions, lists, archives, and the event of a registration."""

import re

import pytest

WORKSPACE = (
    "/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.MachineLearningServices"
    "/workspaces/ws-a"
)


def names(response):
    return [item["name"] for item in response.json()["value"]]


def test_a_registered_version_can_be_read_back(arm):
    created = arm.put_model(tags={"deploy": "true"}, properties={"auc": "0.9"}, jobName="job-1")
    assert created.status_code == 201
    document = arm.get("/models/churn/versions/1").json()
    assert document == created.json()
    assert document["name"] == "1"
    assert document["id"] == f"{WORKSPACE}/models/churn/versions/1"
    assert document["systemData"]["createdAt"]
    properties = document["properties"]
    assert properties["flavors"]["python_function"]
    assert (properties["jobName"], properties["tags"]) == ("job-1", {"deploy": "true"})


def test_registering_raises_one_event_and_editing_tags_raises_none(arm, control):
    arm.put_model(tags={"stage": "test"}, properties={"auc": "0.9"})
    edited = arm.put_model(tags={"stage": "production"})
    assert edited.status_code == 200
    assert arm.properties("/models/churn/versions/1")["tags"] == {"stage": "production"}
    [published] = control.events()
    event = published["event"]
    assert published["state"] == "unpublished"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00", event.pop("eventTime"))
    assert event.pop("id")
    assert event == {
        "topic": WORKSPACE,
        "eventType": "Microsoft.MachineLearningServices.ModelRegistered",
        "subject": "models/churn:1",
        "data": {
            "modelName": "churn",
            "modelVersion": "1",
            "modelTags": {"stage": "test"},
            "modelProperties": {"auc": "0.9"},
        },
        "dataVersion": "2",
        "metadataVersion": "1",
    }


def test_a_container_knows_its_latest_and_next_version(arm):
    for version in ("1", "9", "2", "candidate"):
        arm.put_model(version=version)
    properties = arm.properties("/models/churn")
    assert (properties["latestVersion"], properties["nextVersion"]) == ("candidate", "10")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ["3", "2", "1"]),
        ({"$orderBy": "createdtime desc", "$top": 1}, ["3"]),
        ({"$orderBy": "createdtime asc"}, ["1", "2", "3"]),
        ({"$skip": 1}, ["2", "1"]),
        ({"listViewType": "ArchivedOnly"}, ["4"]),
        ({"listViewType": "All"}, ["4", "3", "2", "1"]),
        ({"tags": "stage=production"}, ["2"]),
        ({"version": "3"}, ["3"]),
        ({"properties": "team=risk"}, ["1"]),
        ({"description": "the first"}, ["1"]),
    ],
)
def test_versions_are_listed_as_asked(arm, params, expected):
    arm.put_model(version="1", properties={"team": "risk"}, description="the first")
    arm.put_model(version="2", tags={"stage": "production"})
    arm.put_model(version="3", tags={"stage": "test"})
    arm.put_model(version="4", isArchived=True)
    assert names(arm.get("/models/churn/versions", **params)) == expected


def test_a_long_list_is_followed_by_its_next_link(arm):
    for number in range(101):
        arm.put_model(name=f"m{number:03}")
    arm.http.params = {}
    seen, link = [], f"{WORKSPACE}/models?api-version=2025-12-01"
    while link:
        page = arm.http.get(link).json()
        seen += [item["name"] for item in page["value"]]
        link = page.get("nextLink")
    assert len(seen) == len(set(seen)) == 101


@pytest.mark.parametrize(
    "params", [{"$top": "many"}, {"$skip": -1}, {"$orderBy": "colour"}, {"$top": 0}]
)
def test_a_list_asked_for_wrongly_is_refused(arm, params):
    arm.put_model()
    assert arm.get("/models/churn/versions", **params).status_code == 400


@pytest.mark.parametrize(
    ("version", "properties"),
    [
        ("1", {"modelType": "pickle"}),
        ("1", {"modelUri": ""}),
        ("1", {"tags": {"n": 1}}),
        ("1", {"tags": ["a"]}),
        ("a b", {}),
    ],
)
def test_a_version_described_wrongly_is_refused(arm, control, version, properties):
    response = arm.put_model(version=version, **properties)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "BadArgument"
    assert control.events() == []


@pytest.mark.parametrize("change", [{"modelUri": "azureml://other"}, {"modelType": "custom_model"}])
def test_what_a_version_is_cannot_be_changed(arm, change):
    arm.put_model()
    assert arm.put_model(**change).status_code == 400


def test_a_container_carries_tags_of_its_own(arm):
    arm.put_model()
    assert arm.put("/models/churn", {"properties": {"tags": {"a": "b"}}}).status_code == 200
    assert arm.properties("/models/churn")["tags"] == {"a": "b"}
    assert arm.put("/models/new", {"properties": {}}).status_code == 201
    assert names(arm.get("/models")) == ["churn", "new"]


def test_a_models_versions_are_archived_and_restored_with_it(arm):
    arm.put_model(version="1")
    arm.put_model(version="2", isArchived=True)
    arm.put("/models/churn", {"properties": {"tags": {"a": "b"}}})
    assert names(arm.get("/models/churn/versions")) == ["1"]
    arm.put("/models/churn", {"properties": {"isArchived": True}})
    assert names(arm.get("/models")) == names(arm.get("/models/churn/versions")) == []
    assert arm.properties("/models/churn/versions/1")["isArchived"] is True
    arm.put("/models/churn", {"properties": {"isArchived": False}})
    assert names(arm.get("/models/churn/versions")) == ["2", "1"]


def test_a_version_in_use_cannot_be_deleted(arm):
    arm.have("blue")
    assert arm.delete("/models/churn/versions/1").status_code == 409
    arm.put_model(version="2")
    assert arm.delete("/models/churn/versions/2").status_code == 200
    assert arm.delete("/models/churn/versions/2").status_code == 204
