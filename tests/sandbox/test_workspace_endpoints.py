"""Online endpoints: what is allowed, how long it takes, and how traffic moves."""

import pytest

EP = "/onlineEndpoints/ep-1"
BLUE = f"{EP}/deployments/blue"


def error_of(response):
    return response.status_code, response.json()["error"]["code"]


def test_an_endpoint_is_created_by_an_operation_that_takes_its_time(arm, control):
    created = arm.put_endpoint(description="scores")
    assert created.status_code == 201
    assert created.json()["properties"]["provisioningState"] == "Creating"
    assert int(created.headers["retry-after"]) >= 1
    running = arm.operation(created)
    assert running["status"] == "InProgress"
    assert "endTime" not in running
    control.advance(100)
    done = arm.operation(created)
    assert done["status"] == "Succeeded"
    assert {"id", "name", "startTime", "endTime"} <= done.keys()
    properties = arm.properties(EP)
    assert properties["provisioningState"] == "Succeeded"
    assert properties["scoringUri"].startswith(arm.emulator.url)
    assert properties["swaggerUri"].endswith("/swagger.json")
    assert properties["traffic"] == {}
    operation_url = created.headers["azure-asyncoperation"]
    assert properties["properties"]["AzureAsyncOperationUri"] == operation_url


@pytest.mark.parametrize("name", ["ep-1", "abc", "A1-b2-C3", "e" * 32])
def test_a_well_formed_name_is_accepted(arm, name):
    assert arm.put_endpoint(name).status_code == 201


@pytest.mark.parametrize(
    "name", ["ab", "e" * 33, "1ep", "-ep", "ep-", "ep--1", "ep_1", "ep.1", "épé"]
)
def test_a_malformed_name_is_refused(arm, name):
    assert error_of(arm.put_endpoint(name)) == (400, "BadArgument")
    arm.have()
    assert error_of(arm.put_deployment(name)) == (400, "BadArgument")


def test_an_endpoint_name_is_unique_in_the_region(arm):
    arm.put_endpoint()
    other = str(arm.http.base_url.join(arm.get(EP).json()["id"].replace("ws-a", "ws-b")))
    body = {"location": "westeurope", "properties": {"authMode": "Key"}}
    response = arm.http.put(other, json=body)
    assert error_of(response) == (400, "BadRequest")


def test_an_endpoint_needs_a_known_auth_mode(arm):
    assert error_of(arm.put_endpoint(authMode="Password")) == (400, "BadArgument")


IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/scorer"
)


def put_with(arm, identity):
    body = {"location": "westeurope", "identity": identity, "properties": {"authMode": "Key"}}
    return arm.put(EP, body)


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "UserAssigned"},
        {"type": "UserAssigned", "userAssignedIdentities": {}},
        {"type": "SystemAssigned", "userAssignedIdentities": {IDENTITY: {}}},
        {"type": "UserAssigned", "userAssignedIdentities": {"scorer": {}}},
    ],
)
def test_an_identity_that_is_none_is_refused(arm, identity):
    assert error_of(put_with(arm, identity)) == (400, "BadArgument")


def test_the_identity_of_an_endpoint_stays(arm):
    identity = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    assert put_with(arm, identity).status_code == 201
    arm.pass_time()
    assert put_with(arm, identity).status_code == 200
    arm.pass_time()
    assert error_of(put_with(arm, {"type": "SystemAssigned"})) == (400, "BadArgument")
    assert IDENTITY in arm.get(EP).json()["identity"]["userAssignedIdentities"]


@pytest.mark.parametrize("field", ["traffic", "mirrorTraffic"])
def test_traffic_cannot_be_set_when_an_endpoint_is_created(arm, field):
    assert error_of(arm.put_endpoint(**{field: {"blue": 100}})) == (400, "BadArgument")
    assert arm.get(EP).status_code == 404


@pytest.mark.parametrize(
    "properties",
    [
        {"traffic": {"blue": 90}},
        {"traffic": {"blue": 90, "green": 20}},
        {"traffic": {"blue": 110, "green": -10}},
        {"traffic": {"blue": "100"}},
        {"traffic": {"blue": 99.5, "green": 0.5}},
        {"traffic": {"blue": True, "green": 99}},
        {"traffic": {"red": 100}},
        {"traffic": {"red": 0}},
        {"traffic": [100]},
        {"mirrorTraffic": {"blue": 60}},
        {"mirrorTraffic": {"red": 10}},
        {"mirrorTraffic": {"blue": 10, "green": 10}},
        {"traffic": {"blue": 100}, "mirrorTraffic": {"blue": 10}},
    ],
)
def test_a_split_that_makes_no_sense_is_refused(arm, properties):
    arm.have("blue", "green", blue=100)
    assert error_of(arm.put_endpoint(**properties)) == (400, "BadArgument")
    assert arm.properties(EP)["traffic"] == {"blue": 100}


@pytest.mark.parametrize(
    "properties",
    [
        {"traffic": {"blue": 90, "green": 10}},
        {"traffic": {"blue": 0, "green": 0}},
        {"traffic": {"BLUE": 100}},
        {"traffic": {"blue": 100}, "mirrorTraffic": {"green": 50}},
        {"traffic": {"blue": 100, "green": 0}, "mirrorTraffic": {"green": 50, "blue": 0}},
    ],
)
def test_a_sensible_split_is_accepted(arm, properties):
    arm.have("blue", "green")
    assert arm.put_endpoint(**properties).status_code == 200


def test_traffic_moves_only_when_the_operation_has_ended(arm):
    arm.have("blue", "green", blue=100)
    update = arm.put_endpoint(traffic={"blue": 50, "green": 50})
    properties = arm.properties(EP)
    assert (properties["provisioningState"], properties["traffic"]) == ("Updating", {"blue": 100})
    arm.pass_time()
    assert arm.operation(update)["status"] == "Succeeded"
    assert arm.properties(EP)["traffic"] == {"blue": 50, "green": 50}


def test_a_failed_traffic_update_leaves_the_traffic_as_it_was(arm, control):
    arm.have("blue", "green", blue=100)
    control.fail_endpoint(times=1, endpoint="ep-*")
    update = arm.put_endpoint(traffic={"green": 100})
    arm.pass_time()
    assert arm.operation(update)["error"]["code"] == "InternalServerError"
    properties = arm.properties(EP)
    assert (properties["provisioningState"], properties["traffic"]) == ("Failed", {"blue": 100})
    arm.put_endpoint(traffic={"green": 100})
    arm.pass_time()
    assert arm.properties(EP)["traffic"] == {"green": 100}


def test_tags_of_an_endpoint_can_be_patched_and_its_traffic_cannot(arm):
    arm.have()
    assert arm.patch(EP, {"tags": {"owner": "me"}}).json()["tags"] == {"owner": "me"}
    assert error_of(arm.patch(EP, {"properties": {"traffic": {}}})) == (400, "BadArgument")
    assert len(arm.get("/onlineEndpoints", tags="owner=me").json()["value"]) == 1
    assert arm.get("/onlineEndpoints", tags="owner=you").json()["value"] == []


def test_an_endpoint_is_deleted_with_its_deployments(arm):
    arm.have("blue", blue=100)
    deleted = arm.delete(EP)
    assert deleted.status_code == 202
    assert arm.http.get(deleted.headers["location"]).status_code == 202
    assert arm.properties(EP)["provisioningState"] == "Deleting"
    arm.pass_time()
    assert arm.http.get(deleted.headers["location"]).status_code == 204
    assert arm.get(BLUE).status_code == 404
    assert arm.delete(EP).status_code == 204


def test_keys_can_be_listed_and_regenerated(arm):
    arm.have()
    before = arm.post(f"{EP}/listKeys").json()
    assert arm.post(f"{EP}/regenerateKeys", {"keyType": "Primary"}).status_code == 200
    after = arm.post(f"{EP}/listKeys").json()
    assert before["primaryKey"] != after["primaryKey"]
    assert before["secondaryKey"] == after["secondaryKey"]
    assert error_of(arm.post(f"{EP}/regenerateKeys", {"keyType": "x"})) == (400, "BadArgument")
    assert error_of(arm.post(f"{EP}/token")) == (400, "BadArgument")
