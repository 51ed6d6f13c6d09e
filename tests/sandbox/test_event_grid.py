"""The answers to publishers, and the events of a subscription, with the real publisher client."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from sandbox.azurite import Azurite
from sandbox.event_grid import (
    Disorder,
    EventGrid,
    MalformedEvents,
    Schema,
    StorageQueue,
    StringContains,
    StringIn,
    Subscription,
    Topic,
    Webhook,
)
from sandbox.event_grid.schemas import Event
from sandbox.workspace.identity import issue_token

ANYWHERE = Webhook("http://127.0.0.1:9/")
VERSION = "api-version=2018-01-01"


@pytest.fixture(scope="module")
def grid() -> Iterator[EventGrid]:
    with EventGrid() as running:
        yield running


def written(event_type: str = "Shop.OrderPlaced", **changes: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "subject": "orders/1",
        "eventType": event_type,
        "eventTime": "2026-01-02T03:04:05Z",
        "data": {"colour": "red", "tags": {"stage": "Production", "count": 3}},
        "dataVersion": "2",
        **changes,
    }


def event(**changes: Any) -> Event:
    return Event(Schema.EVENT_GRID, "/topics/orders", written(**changes))


def subscription(**changes: Any) -> Subscription:
    return Subscription("sub", "orders", ANYWHERE, **changes)


def post(topic: Topic, content: bytes, content_type: str = "application/json") -> httpx.Response:
    headers = {"aeg-sas-key": topic.key, "content-type": content_type}
    return httpx.post(f"{topic.endpoint}?{VERSION}", content=content, headers=headers)


def create_queue(queue: StorageQueue) -> None:
    with QueueClient.from_connection_string(queue.connection_string, queue.queue) as client:
        client.create_queue()


def read_queue(queue: StorageQueue) -> dict[str, dict[str, Any]]:
    """Return the events in the queue by id; each message is base64 of one object."""
    with QueueClient.from_connection_string(
        queue.connection_string, queue.queue, message_decode_policy=TextBase64DecodePolicy()
    ) as client:
        events = [json.loads(each.content) for each in client.receive_messages()]
    return {each["id"]: each for each in events}


def test_the_real_client_publishes_both_schemas_and_each_arrives_in_either() -> None:
    with Azurite() as azurite, EventGrid() as grid:
        topic = grid.add_topic("orders", resource_id="/topics/orders")
        queues = {
            schema: StorageQueue(azurite.connection_string, name)
            for schema, name in ((Schema.EVENT_GRID, "native"), (Schema.CLOUD_EVENTS, "cloud"))
        }
        for schema, queue in queues.items():
            create_queue(queue)
            grid.subscribe(Subscription(queue.queue, "orders", queue, schema=schema))
        with EventGridPublisherClient(topic.endpoint, AzureKeyCredential(topic.key)) as client:
            client.send(EventGridEvent("orders/1", "Placed", {"n": 1}, "2", id="a"))
            client.send([CloudEvent("shop", "Placed", data={"n": 2}, id="b", subject="orders/2")])
        grid.wait_idle()
        native, cloud = (read_queue(queue) for queue in queues.values())
    assert native["a"]["topic"] == "/topics/orders"
    assert native["a"]["dataVersion"] == "2"
    assert native["a"]["metadataVersion"] == "1"
    assert (native["b"]["eventType"], native["b"]["subject"]) == ("Placed", "orders/2")
    assert native["b"]["data"] == {"n": 2}
    assert (cloud["a"]["source"], cloud["a"]["type"]) == ("/topics/orders", "Placed")
    assert (cloud["a"]["specversion"], cloud["a"]["data"]) == ("1.0", {"n": 1})
    assert cloud["b"]["source"] == "shop"
    assert "dataVersion" not in cloud["a"]


def test_a_wrong_key_is_refused(grid: EventGrid) -> None:
    topic = grid.add_topic("orders")
    with (
        EventGridPublisherClient(topic.endpoint, AzureKeyCredential("wrong")) as client,
        pytest.raises(ClientAuthenticationError),
    ):
        client.send(EventGridEvent("orders/1", "Placed", {}, "2"))


def test_a_topic_that_is_not_there_is_not_found(grid: EventGrid) -> None:
    topic = grid.add_topic("orders")
    elsewhere = topic.endpoint.replace("orders", "nowhere")
    with (
        EventGridPublisherClient(elsewhere, AzureKeyCredential(topic.key)) as client,
        pytest.raises(ResourceNotFoundError),
    ):
        client.send(EventGridEvent("orders/1", "Placed", {}, "2"))


@pytest.mark.parametrize(
    ("content", "content_type", "complaint"),
    [
        (b"[", "application/json", "not JSON"),
        (b"{}", "application/json", "array"),
        (b"[1]", "application/json", "not an object"),
        (b'[{"id":"1"}]', "application/json", "'subject'"),
        (json.dumps([written(id=7)]).encode(), "application/json", "'id'"),
        (json.dumps([written(metadataVersion="9")]).encode(), "application/json", "metadata"),
        (b'{"id":"1","source":"s","type":"t"}', "application/cloudevents+json", "specversion"),
        (
            b'[{"id":"1","source":"s","type":"t","specversion":"0.3"}]',
            "application/cloudevents-batch+json",
            "0.3",
        ),
        (b"[]", "text/plain", "content type"),
    ],
)
def test_what_is_not_a_list_of_events_is_refused_with_the_reason(
    grid: EventGrid, content: bytes, content_type: str, complaint: str
) -> None:
    answer = post(grid.add_topic("orders"), content, content_type)
    assert answer.status_code == 400
    assert complaint in answer.json()["error"]["message"]


def test_more_than_a_megabyte_is_refused(grid: EventGrid) -> None:
    topic = grid.add_topic("orders")
    assert post(topic, json.dumps([written(data="x" * 1_000_000)]).encode()).status_code == 200
    assert post(topic, json.dumps([written(data="x" * 1_048_576)]).encode()).status_code == 413


class Token:
    """A credential with a token for one audience."""

    def __init__(self, audience: str) -> None:
        self._token = issue_token(audience, "tenant", "client")

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == ("https://eventgrid.azure.net/.default",)
        return AccessToken(self._token, 4_102_444_800)


@pytest.mark.parametrize(
    ("audience", "is_let_in"),
    [("https://eventgrid.azure.net", True), ("https://storage.azure.com", False)],
)
def test_the_real_client_signs_in_with_a_token_over_https(
    audience: str, is_let_in: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with EventGrid(authority=authority) as grid:
        topic = grid.add_topic("orders")
        with EventGridPublisherClient(topic.secure_endpoint, Token(audience)) as client:
            try:
                client.send([CloudEvent("shop", "Placed", data={"n": 2}, id="b")])
            except ClientAuthenticationError:
                assert not is_let_in
        assert [each.id for each in grid.published("orders")] == (["b"] if is_let_in else [])


def test_a_topic_takes_one_schema_where_it_says_so_and_options_say_which(grid: EventGrid) -> None:
    topic = grid.add_topic("orders", schema=Schema.CLOUD_EVENTS)
    with (
        EventGridPublisherClient(topic.endpoint, AzureKeyCredential(topic.key)) as client,
        pytest.raises(HttpResponseError, match="CloudEventSchemaV1_0 only"),
    ):
        client.send(EventGridEvent("orders/1", "Placed", {}, "2"))
    answer = httpx.options(f"{topic.endpoint}?{VERSION}", headers={"aeg-sas-key": topic.key})
    assert answer.headers["aeg-input-event-schema"] == "CloudEventV10"


def test_another_version_of_the_api_is_refused(grid: EventGrid) -> None:
    topic = grid.add_topic("orders")
    answer = httpx.post(topic.endpoint, json=[written()], headers={"aeg-sas-key": topic.key})
    assert answer.status_code == 400
    assert "api-version" in answer.json()["error"]["details"][0]["message"]


def test_the_real_client_waits_for_a_busy_topic_as_long_as_it_says(grid: EventGrid) -> None:
    topic = grid.add_topic("busy")
    grid.refuse("busy", 429, times=1, after=0)
    with EventGridPublisherClient(topic.endpoint, AzureKeyCredential(topic.key)) as client:
        client.send([CloudEvent("shop", "Placed", data=1, id="b")])
    grid.refuse("busy", 403)
    assert post(topic, json.dumps([written()]).encode()).status_code == 403
    assert post(topic, json.dumps([written()]).encode()).status_code == 200


def test_what_was_published_is_listed(grid: EventGrid) -> None:
    topic = grid.add_topic("listed")
    post(topic, json.dumps([written(id="a"), written(id="b")]).encode())
    listed = httpx.get(f"{grid.url}/topics/listed/events").json()
    assert [each["id"] for each in listed] == ["a", "b"]
    assert httpx.get(f"{grid.url}/topics").json()["listed"] == 2
    assert httpx.get(f"{grid.url}/topics/nowhere/events").status_code == 404


def test_a_custom_topic_signs_events_itself_and_a_system_topic_passes_theirs_on() -> None:
    custom = Topic("orders", "", "/topics/orders")
    system = Topic("ws", "", "/workspaces/ws", system=True)
    assert custom.receive(written(topic="/forged"), Schema.EVENT_GRID).topic == "/topics/orders"
    assert system.receive(written(topic="/given"), Schema.EVENT_GRID).topic == "/given"
    assert system.receive(written(), Schema.EVENT_GRID).topic == "/workspaces/ws"
    cloud_event = {"id": "1", "source": "/given", "type": "t", "specversion": "1.0"}
    assert system.receive(cloud_event, Schema.CLOUD_EVENTS).topic == "/given"


def test_publishing_from_python_checks_events_as_the_endpoint_does(grid: EventGrid) -> None:
    grid.add_topic("orders")
    with pytest.raises(MalformedEvents):
        grid.publish("orders", [{"id": "1"}])


def test_a_subscription_to_a_topic_that_is_not_there_is_refused(grid: EventGrid) -> None:
    with pytest.raises(ValueError, match="no topic"):
        grid.subscribe(Subscription("sub", "nowhere", ANYWHERE))


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"included_event_types": ("shop.orderplaced", "Other")}, True),
        ({"included_event_types": ("Other",)}, False),
        ({"subject_begins_with": "ORDERS/"}, True),
        ({"subject_begins_with": "ORDERS/", "is_subject_case_sensitive": True}, False),
        ({"subject_begins_with": "models/"}, False),
        ({"subject_ends_with": "/1"}, True),
        ({"subject_ends_with": "/2"}, False),
        ({"advanced_filters": (StringIn("data.colour", ("blue", "RED")),)}, True),
        ({"advanced_filters": (StringIn("data.colour", ("re",)),)}, False),
        ({"advanced_filters": (StringIn("Data.Tags.Stage", ("production",)),)}, True),
        ({"advanced_filters": (StringContains("data.tags.stage", ("x", "DUCT")),)}, True),
        ({"advanced_filters": (StringContains("data.tags.stage", ("test",)),)}, False),
        ({"advanced_filters": (StringContains("data.missing.key", ("",)),)}, False),
        ({"advanced_filters": (StringIn("data.tags.count", ("3",)),)}, False),
        ({"advanced_filters": (StringIn("eventType", ("Shop.OrderPlaced",)),)}, True),
        (
            {
                "advanced_filters": (
                    StringIn("data.colour", ("red",)),
                    StringContains("subject", ("models",)),
                )
            },
            False,
        ),
    ],
)
def test_a_subscription_wants_the_events_that_pass_every_filter(
    filters: dict[str, Any], wanted: bool
) -> None:
    assert subscription(**filters).wants(event()) is wanted


@pytest.mark.parametrize(
    "policy",
    [
        {"max_delivery_attempts": 0},
        {"max_delivery_attempts": 31},
        {"event_time_to_live": timedelta(seconds=1)},
        {"event_time_to_live": timedelta(days=2)},
    ],
)
def test_a_retry_policy_outside_the_limits_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is from 1 to"):
        subscription(**policy)


def test_the_same_seed_gives_the_same_disorder() -> None:
    first, again = (Disorder(duplicate=2, reorder=5.0, seed=7).hold_times() for _ in range(2))
    assert [next(first) for _ in range(5)] == [next(again) for _ in range(5)]


def test_a_disorder_that_would_lose_events_is_refused() -> None:
    with pytest.raises(ValueError, match="at least once"):
        Disorder(duplicate=0)
