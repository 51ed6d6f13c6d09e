"""How a workspace's events reach their topic."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Topic:
    """An Event Grid topic that answers with the given statuses, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.received: list[tuple[str | None, list[dict]]] = []
        self.arrived = threading.Semaphore(0)
        topic = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = topic.statuses.pop(0) if topic.statuses else 200
                topic.received.append((self.headers["aeg-sas-key"], body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
                topic.arrived.release()

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/events"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def wait_for(self, count: int) -> list[str]:
        """Return the subjects of the next deliveries."""
        for _ in range(count):
            assert self.arrived.acquire(timeout=60)
        return [body[0]["subject"] for _, body in self.received]


@pytest.fixture
def topic() -> Iterator[Topic]:
    topic = Topic()
    topic.thread.start()
    yield topic
    topic.server.shutdown()
    topic.thread.join()
    topic.server.server_close()


def test_a_registration_is_posted_with_the_topics_key(start_emulator, topic):
    arm = start_emulator(topic_url=topic.url, topic_key="secret")
    arm.put_model(tags={"deploy": "true"})
    assert topic.wait_for(1) == ["models/churn:1"]
    [(key, body)] = topic.received
    assert key == "secret"
    assert body[0]["eventType"] == "Microsoft.MachineLearningServices.ModelRegistered"
    assert body[0]["data"]["modelTags"] == {"deploy": "true"}


def test_a_delivery_that_fails_is_repeated_and_the_order_is_kept(start_emulator, topic):
    arm = start_emulator(topic_url=topic.url)
    topic.statuses = [503, 429]
    for version in ("1", "2"):
        assert arm.put_model(version=version).status_code == 201
    assert topic.wait_for(4) == ["models/churn:1"] * 3 + ["models/churn:2"]
    assert arm.control.events()[0]["attempts"] == 3


def test_an_event_that_the_topic_refuses_holds_nothing_up(start_emulator, topic):
    arm = start_emulator(topic_url=topic.url)
    topic.statuses = [400]
    arm.put_model(version="1")
    arm.put_model(version="2")
    assert topic.wait_for(2) == ["models/churn:1", "models/churn:2"]
    assert arm.control.events()[0]["state"] == "refused"


def test_requests_do_not_wait_for_a_topic_that_is_away(start_emulator):
    arm = start_emulator(topic_url="http://127.0.0.1:9/api/events")
    assert arm.put_model().status_code == 201
    assert arm.control.events()[0]["state"] == "waiting"


@pytest.mark.parametrize("publish", [False, True])
def test_a_deployment_raises_an_event_only_where_asked_to(start_emulator, publish):
    arm = start_emulator(publish_model_deployed=publish)
    arm.have("blue")
    events = [published["event"] for published in arm.control.events()]
    deployed = [e for e in events if e["eventType"].endswith("ModelDeployed")]
    assert len(deployed) == publish
    if publish:
        assert deployed[0]["subject"] == "endpoints/ep-1"
        assert deployed[0]["data"]["modelIds"] == "churn:1"
