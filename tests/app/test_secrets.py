"""No secret is kept or logged, whatever fails."""

from collections.abc import Iterator

import pytest

from sandbox.azurite import ACCOUNT_KEY
from shared.rollouts.state.phases import Phase
from tests.app.stage import CHANNEL_SECRET, Stage


@pytest.fixture(scope="module")
def secrets(stage: Stage) -> dict[str, str]:
    """The secrets of the app, after a run in which everything that uses them has failed."""
    stage.register("keyed", "1", keyed="true")
    stage.wait_live("keyed")
    keys = stage.arm.keys("keyed")
    log = [
        f"connecting with AccountKey={ACCOUNT_KEY}",
        f"Authorization: Bearer {keys['primaryKey']}",
        f"cannot reach https://user:{CHANNEL_SECRET}@example.org",
    ]
    with stage.during(stage.control.fail_deployment(model="keyed", version="2", logs=log)):
        with stage.channel_down():
            with stage.storage_down("queue"):
                event = stage.register("keyed", "2", keyed="true")
                stage.wait_for("an open letter", lambda: stage.open_letters(event))
            stage.wait_for("an untold failure", lambda: _is_rolled_back(stage))
        stage.wait_ended("keyed", "2")
    return {
        "the channel's password": CHANNEL_SECRET,
        "the storage account's key": ACCOUNT_KEY,
        "an endpoint's first key": keys["primaryKey"],
        "an endpoint's second key": keys["secondaryKey"],
        "the identity's header": stage.stack.workspace.settings.identity_header,
        "the webhook's key": stage.stack.host.system_key,
    }


def _is_rolled_back(stage: Stage) -> bool:
    return any(rollout.phase is Phase.ROLLED_BACK for rollout in stage.rollouts("keyed", "2"))


def rows(stage: Stage) -> Iterator[str]:
    """Yield every row of every table."""
    for table in stage.table_service.list_tables():
        for entity in stage.table_service.get_table_client(table.name).list_entities():
            yield f"{table.name}: {dict(entity)}"


def blobs(stage: Stage) -> Iterator[str]:
    """Yield every blob of every container."""
    for container in stage.blob_service.list_containers():
        for name in stage.blobs.names(container.name, most=1000):
            body = stage.blobs.get(container.name, name) or b""
            yield f"{container.name}/{name}: {body.decode(errors='replace')}"


def messages(stage: Stage) -> Iterator[str]:
    """Yield the visible messages of every queue: all of them, for those that nobody reads."""
    for queue in stage.queue_service.list_queues():
        client = stage.queue_service.get_queue_client(queue.name)
        for message in client.peek_messages(32):
            yield f"{queue.name}: {message.content}"


def told(stage: Stage) -> Iterator[str]:
    """Yield every message that the channel got."""
    for message in stage.channel.told:
        yield f"{message.title}\n{message.text}"


def test_a_container_s_log_is_told_without_the_secrets_in_it(stage: Stage, secrets) -> None:
    assert any("AccountKey=[redacted]" in text for text in told(stage))


@pytest.mark.parametrize("place", [rows, blobs, messages, told], ids=lambda place: place.__name__)
def test_nothing_that_is_kept_or_told_holds_a_secret(stage: Stage, secrets, place) -> None:
    for text in place(stage):
        for name, secret in secrets.items():
            assert secret not in text, name


def test_no_line_of_the_worker_s_or_the_host_s_log_holds_a_secret(stage: Stage, secrets) -> None:
    assert any("did not take a message" in line for line in stage.log)
    assert any("shared.base.errors.StorageUnavailable" in line for line in stage.log)
    for line in stage.log:
        for name, secret in secrets.items():
            assert secret not in line, f"{name}: {line}"
