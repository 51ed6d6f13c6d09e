"""Events on their way: to webhooks and queues, tried again, dead-lettered, and in disorder."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.storage.blob import ContainerClient
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from sandbox.azurite import Azurite
from sandbox.event_grid import (
    BlobContainer,
    Disorder,
    EventGrid,
    HandshakeFailed,
    Outcome,
    Schema,
    StorageQueue,
    Subscription,
    Webhook,
)
from sandbox.event_grid.retry import Answer, find_final_reason, next_delay

VALIDATION = "SubscriptionValidation"
FAST = 0.0005  # the first retry after 5 ms, a dead letter after 150 ms


@dataclass
class Received:
    """One request that the webhook got."""

    method: str
    headers: dict[str, str]
    body: Any
    at: float


@dataclass
class Receiver:
    """A webhook that shakes hands and then answers with the given statuses, the last for ever."""

    statuses: list[int] = field(default_factory=lambda: [200])
    shakes_hands: bool = True
    hangs_up: int = 0  # on so many notifications, instead of an answer
    received: list[Received] = field(default_factory=list)
    held: threading.Event | None = None
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        scheme = "https" if isinstance(self.server.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://127.0.0.1:{self.server.server_port}/hook"

    def serve_tls(self, tls: ssl.SSLContext) -> None:
        assert self.server is not None
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)

    @property
    def notifications(self) -> list[Received]:
        return [each for each in self.received if each.headers.get("aeg-event-type") != VALIDATION]

    def answer(self, request: Received) -> tuple[int, dict[str, str], bytes]:
        self.received.append(request)
        if request.method == "OPTIONS":
            allowed = {"WebHook-Allowed-Origin": "*"} if self.shakes_hands else {}
            return 200, allowed, b""
        if request.headers.get("aeg-event-type") == VALIDATION:
            code = request.body[0]["data"]["validationCode"] if self.shakes_hands else "no"
            return 200, {}, json.dumps({"validationResponse": code}).encode()
        if self.held is not None:
            self.held.wait(5)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return status, {}, b""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            content = json.loads(body) if body else None
            request = Received(self.command, headers, content, time.monotonic())
            if receiver.hangs_up and headers.get("aeg-event-type") == "Notification":
                receiver.hangs_up -= 1
                return
            status, extra, reply = receiver.answer(request)
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        do_POST = do_OPTIONS = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.server = server
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield receiver
    if receiver.held is not None:
        receiver.held.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture
def grid() -> Iterator[EventGrid]:
    with EventGrid(time_scale=FAST, response_timeout=5.0) as running:
        running.add_topic("orders", resource_id="/topics/orders")
        yield running


@pytest.fixture
def container(azurite: Azurite, request: pytest.FixtureRequest) -> Iterator[ContainerClient]:
    name = f"dead{abs(hash(request.node.nodeid))}"
    with ContainerClient.from_connection_string(azurite.connection_string, name) as client:
        client.create_container()
        yield client


@pytest.fixture
def queue(azurite: Azurite, request: pytest.FixtureRequest) -> Iterator[QueueClient]:
    with QueueClient.from_connection_string(
        azurite.connection_string,
        f"q{abs(hash(request.node.nodeid))}",
        message_decode_policy=TextBase64DecodePolicy(),
    ) as client:
        client.create_queue()
        yield client


def written(event_id: str = "1", **changes: Any) -> dict[str, Any]:
    return {
        "id": event_id,
        "subject": "orders/1",
        "eventType": "Placed",
        "eventTime": "2026-01-02T03:04:05Z",
        "data": {"n": 1},
        "dataVersion": "2",
        **changes,
    }


def subscribe(grid: EventGrid, receiver: Receiver, **changes: Any) -> None:
    grid.subscribe(Subscription("my-sub", "orders", Webhook(receiver.url), **changes))


def read_dead_letters(container: ContainerClient) -> list[tuple[str, list[dict[str, Any]]]]:
    return [
        (name, json.loads(container.download_blob(name).readall()))
        for name in container.list_blob_names()
    ]


def test_a_webhook_proves_itself_and_then_gets_an_array_of_one(
    grid: EventGrid, receiver: Receiver
) -> None:
    subscribe(grid, receiver)
    grid.publish("orders", [written("a")])
    delivery = grid.wait_delivered("a")
    assert (delivery.subscription, delivery.attempt, delivery.status) == ("my-sub", 1, 200)
    (notification,) = receiver.notifications
    assert notification.body == [
        {**written("a"), "topic": "/topics/orders", "metadataVersion": "1"}
    ]
    assert {
        name: value for name, value in notification.headers.items() if name.startswith("aeg-")
    } == {
        "aeg-event-type": "Notification",
        "aeg-subscription-name": "MY-SUB",
        "aeg-delivery-count": "0",
        "aeg-data-version": "2",
        "aeg-metadata-version": "1",
        "aeg-output-event-id": "a",
    }


def test_a_webhook_for_cloud_events_allows_the_origin_and_gets_one_object(
    grid: EventGrid, receiver: Receiver
) -> None:
    subscribe(grid, receiver, schema=Schema.CLOUD_EVENTS)
    grid.publish("orders", [written("a")])
    grid.wait_delivered("a")
    handshake, notification = receiver.received
    assert handshake.method == "OPTIONS"
    assert handshake.headers["webhook-request-origin"] == "eventgrid.azure.net"
    assert notification.headers["content-type"].startswith("application/cloudevents+json")
    assert notification.body["source"] == "/topics/orders"


@pytest.mark.parametrize("schema", list(Schema))
def test_a_webhook_that_does_not_prove_itself_gets_nothing(
    grid: EventGrid, receiver: Receiver, schema: Schema
) -> None:
    receiver.shakes_hands = False
    with pytest.raises(HandshakeFailed, match="/hook answered"):
        subscribe(grid, receiver, schema=schema)
    grid.publish("orders", [written()])
    assert grid.pending() == []


def test_an_https_webhook_is_trusted_by_the_given_certificates(
    receiver: Receiver, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    receiver.serve_tls(tls)
    with EventGrid(webhook_cafile=tmp_path / "ca.pem") as grid:
        grid.add_topic("orders")
        subscribe(grid, receiver)
        grid.publish("orders", [written("a"), written("b")])
        grid.wait_idle()
    assert len(receiver.notifications) == 2


def test_an_id_that_would_break_a_header_is_escaped_in_it(
    grid: EventGrid, receiver: Receiver
) -> None:
    subscribe(grid, receiver)
    grid.publish("orders", [written("é\r\nx: y")])
    grid.wait_delivered("é\r\nx: y")
    (notification,) = receiver.notifications
    assert notification.headers["aeg-output-event-id"] == "%C3%A9%0D%0Ax: y"
    assert notification.body[0]["id"] == "é\r\nx: y"


def test_a_webhook_whose_name_is_lost_later_is_a_resolution_error(
    grid: EventGrid, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    webhook = Webhook(receiver.url.replace("127.0.0.1", "localhost"))
    grid.subscribe(Subscription("by-name", "orders", webhook, max_delivery_attempts=1))
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    grid.publish("orders", [written("a")])
    grid.wait_idle()
    assert [each.outcome for each in grid.deliveries] == [Outcome.RESOLUTION_ERROR]


def test_a_webhook_that_is_gone_later_is_a_socket_error_until_it_is_back(
    grid: EventGrid, receiver: Receiver
) -> None:
    subscribe(grid, receiver)
    receiver.hangs_up = 2
    grid.publish("orders", [written("a")])
    assert grid.wait_delivered("a").attempt == 3
    assert [each.outcome for each in grid.deliveries[:2]] == [Outcome.SOCKET_ERROR] * 2


def test_a_webhook_that_is_not_there_fails_the_handshake(grid: EventGrid) -> None:
    with pytest.raises(HandshakeFailed, match="no answer"):
        grid.subscribe(Subscription("s", "orders", Webhook("http://127.0.0.1:9/")))


def test_a_failing_webhook_is_tried_again_until_it_succeeds(
    grid: EventGrid, receiver: Receiver
) -> None:
    receiver.statuses = [500, 503, 302, 204]
    subscribe(grid, receiver)
    grid.publish("orders", [written("a")])
    assert grid.wait_delivered("a").attempt == 4
    assert [each.status for each in grid.deliveries] == [500, 503, 302, 204]
    counts = [each.headers["aeg-delivery-count"] for each in receiver.notifications]
    assert counts == ["0", "1", "2", "3"]
    grid.wait_idle()
    assert grid.losses == []


def test_the_waits_between_attempts_are_the_documented_ones() -> None:
    busy = Answer(Outcome.BUSY, 500)
    minute, hour = 60, 3600
    assert [next_delay(attempts, busy) for attempts in range(1, 13)] == [
        *(10, 30, minute, 5 * minute, 10 * minute, 30 * minute),
        *(hour, 3 * hour, 6 * hour, 12 * hour, 12 * hour, 12 * hour),
    ]


@pytest.mark.parametrize(("status", "shortest"), [(503, 30), (408, 120), (404, 300), (401, 300)])
def test_some_answers_are_given_longer(status: int, shortest: float) -> None:
    assert next_delay(1, Answer.of_status(status)) == shortest


@pytest.mark.parametrize("status", [400, 401, 403, 413])
def test_an_answer_that_is_final_for_webhooks_drops_the_event_at_once(
    grid: EventGrid, receiver: Receiver, status: int
) -> None:
    receiver.statuses = [status]
    subscribe(grid, receiver)
    grid.publish("orders", [written("a")])
    grid.wait_idle()
    assert len(receiver.notifications) == 1
    (loss,) = grid.losses
    assert loss.blob is None
    assert loss.reason.startswith("UndeliverableDueToHttp")


def test_an_unauthorized_answer_of_an_azure_resource_is_not_final() -> None:
    assert find_final_reason(Answer.of_status(401), webhook=False) is None
    assert find_final_reason(Answer.of_status(401), webhook=True) is not None


def test_after_the_last_attempt_the_event_is_a_blob_under_the_subscriptions_name(
    grid: EventGrid, receiver: Receiver, azurite: Azurite, container: ContainerClient
) -> None:
    receiver.statuses = [500]
    place = BlobContainer(azurite.connection_string, container.container_name)
    subscribe(grid, receiver, max_delivery_attempts=2, dead_letter=place)
    grid.publish("orders", [written("a")])
    grid.wait_idle()
    ((name, (letter,)),) = read_dead_letters(container)
    assert grid.losses[0].blob == name
    first, year, month, day, hour, file = name.split("/")
    assert (first, file.endswith(".json")) == ("MY-SUB", True)
    assert all(part == str(int(part)) for part in (year, month, day, hour))
    assert letter["id"] == "a"
    assert letter["topic"] == "/topics/orders"
    assert letter["deadLetterReason"] == "MaxDeliveryAttemptsExceeded"
    assert letter["deliveryAttempts"] == 2
    assert letter["lastDeliveryOutcome"] == "Busy"
    assert letter["lastHttpStatusCode"] == 500
    assert letter["publishTime"] <= letter["lastDeliveryAttemptTime"]


def test_a_dead_letter_in_cloud_events_has_lower_case_names(
    grid: EventGrid, receiver: Receiver, azurite: Azurite, container: ContainerClient
) -> None:
    receiver.statuses = [400]
    place = BlobContainer(azurite.connection_string, container.container_name)
    subscribe(grid, receiver, schema=Schema.CLOUD_EVENTS, dead_letter=place)
    grid.publish("orders", [written("a")])
    grid.wait_idle()
    ((_, (letter,)),) = read_dead_letters(container)
    assert letter["deadletterreason"] == "UndeliverableDueToHttpBadRequest"
    assert letter["deliveryattempts"] == 1
    assert letter["lastdeliveryoutcome"] == "BadRequest"
    assert letter["specversion"] == "1.0"
    assert {"publishtime", "lastdeliveryattempttime"} <= letter.keys()


def test_a_dead_letter_container_that_stays_away_loses_the_event(
    receiver: Receiver, azurite: Azurite
) -> None:
    receiver.statuses = [400]
    with EventGrid(time_scale=0.00001, response_timeout=5.0) as grid:
        grid.add_topic("orders")
        subscribe(grid, receiver, dead_letter=BlobContainer(azurite.connection_string, "nowhere"))
        grid.publish("orders", [written("a")])
        grid.wait_idle()
        assert [each.blob for each in grid.losses] == [None]


def test_an_event_that_outlives_its_time_is_given_up(grid: EventGrid, receiver: Receiver) -> None:
    receiver.statuses = [500]
    subscribe(grid, receiver, event_time_to_live=timedelta(minutes=1))
    grid.publish("orders", [written("a")])
    grid.wait_idle()
    assert [each.reason for each in grid.losses] == ["TimeToLiveExceeded"]
    assert 1 < len(grid.deliveries) < 30


def test_a_webhook_that_does_not_answer_in_time_is_tried_again(receiver: Receiver) -> None:
    receiver.held = threading.Event()
    with EventGrid(time_scale=FAST, response_timeout=0.2) as grid:
        grid.add_topic("orders")
        subscribe(grid, receiver, max_delivery_attempts=2)
        grid.publish("orders", [written("a")])
        grid.wait_idle()
        assert [each.outcome for each in grid.deliveries] == [Outcome.TIMED_OUT] * 2
        with pytest.raises(TimeoutError, match="a was not delivered"):
            grid.wait_delivered("a", timeout=0.01)


def test_a_queue_gets_one_event_per_message_and_never_one_that_is_too_large(
    grid: EventGrid, queue: QueueClient, azurite: Azurite, container: ContainerClient
) -> None:
    grid.subscribe(
        Subscription(
            "to-queue",
            "orders",
            StorageQueue(azurite.connection_string, queue.queue_name),
            dead_letter=BlobContainer(azurite.connection_string, container.container_name),
        )
    )
    grid.publish(
        "orders", [written("fits", data="x" * 48_500), written("large", data="x" * 49_500)]
    )
    grid.wait_idle()
    assert [json.loads(each.content)["id"] for each in queue.receive_messages()] == ["fits"]
    ((_, (letter,)),) = read_dead_letters(container)
    assert (letter["id"], letter["lastDeliveryOutcome"]) == ("large", "PayloadTooLarge")


def test_a_queue_that_appears_later_still_gets_the_event(
    grid: EventGrid, queue: QueueClient, azurite: Azurite
) -> None:
    queue.delete_queue()
    destination = StorageQueue(azurite.connection_string, queue.queue_name)
    grid.subscribe(Subscription("to-queue", "orders", destination))
    grid.publish("orders", [written("a")])
    assert grid.pending() == [("a", "to-queue")]
    queue.create_queue()
    grid.wait_delivered("a")


def test_duplicates_are_delivered_as_often_as_asked(grid: EventGrid, receiver: Receiver) -> None:
    subscribe(grid, receiver)
    grid.set_disorder(Disorder(duplicate=3))
    grid.publish("orders", [written("a"), written("b")])
    grid.wait_idle()
    ids = [each.body[0]["id"] for each in receiver.notifications]
    assert (ids.count("a"), ids.count("b")) == (3, 3)


def test_a_delay_holds_an_event_back(grid: EventGrid, receiver: Receiver) -> None:
    subscribe(grid, receiver)
    grid.set_disorder(Disorder(delay=0.2))
    published = time.monotonic()
    grid.publish("orders", [written("a")])
    grid.wait_delivered("a")
    assert receiver.notifications[0].at - published >= 0.2


def test_reordering_lets_later_events_overtake(grid: EventGrid, receiver: Receiver) -> None:
    subscribe(grid, receiver)
    grid.set_disorder(Disorder(reorder=0.5, seed=1))
    ids = [str(number) for number in range(12)]
    grid.publish("orders", [written(each) for each in ids])
    grid.wait_idle()
    arrived = [each.body[0]["id"] for each in receiver.notifications]
    assert sorted(arrived, key=int) == ids
    assert arrived != ids


def test_a_subscription_pointed_elsewhere_takes_what_is_under_way_with_it(
    grid: EventGrid, receiver: Receiver, queue: QueueClient, azurite: Azurite
) -> None:
    receiver.statuses = [500]
    subscribe(grid, receiver)
    grid.publish("orders", [written("a")])
    destination = StorageQueue(azurite.connection_string, queue.queue_name)
    grid.subscribe(Subscription("my-sub", "orders", destination))
    grid.wait_delivered("a")
    assert [json.loads(each.content)["id"] for each in queue.receive_messages()] == ["a"]


def test_a_subscription_that_is_removed_drops_what_is_under_way(
    grid: EventGrid, receiver: Receiver
) -> None:
    receiver.statuses = [500]
    subscribe(grid, receiver)
    grid.publish("orders", [written("a")])
    grid.unsubscribe("my-sub")
    grid.wait_idle()
    grid.publish("orders", [written("b")])
    assert grid.pending() == []
    assert [each.event_id for each in grid.losses] == ["a"]


def test_events_under_way_are_forgotten_at_stop(receiver: Receiver) -> None:
    receiver.statuses = [500]
    grid = EventGrid(response_timeout=5.0).start()
    grid.add_topic("orders")
    subscribe(grid, receiver)
    grid.publish("orders", [written("a")])
    grid.stop()
    grid.stop()
    assert grid.pending() == []
    with pytest.raises(RuntimeError, match="not started"):
        _ = grid.url
