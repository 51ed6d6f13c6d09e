"""The contract of Queues, for the twin and for Azure's."""

from datetime import timedelta
from typing import Any

import pytest

from shared.adapters.storage.account import StorageAccount
from shared.adapters.storage.queues import AzureQueues
from shared.base.ports import Queues


def texts(queues: Queues, queue: str) -> list[str]:
    return [message.text for message in queues.receive(queue)]


@pytest.mark.parametrize(
    "text", ['{"a": "b"}', "Grüße 🚂", "<a>&amp;</a>", "it's\nmore\tthan\none line", "x" * 65_536]
)
def test_a_message_comes_back_as_it_was_sent(queues: Queues, name: str, text: str) -> None:
    queues.send(name, text)
    assert texts(queues, name) == [text]


def test_a_message_that_queues_refuse_is_refused_before_it_is_sent(
    queues: Queues, name: str
) -> None:
    with pytest.raises(ValueError, match="65,536 bytes"):
        queues.send(name, "ä" * 32_769)


def test_a_queue_that_nobody_sent_to_is_empty(queues: Queues, name: str) -> None:
    assert queues.receive(name) == ()


def test_what_is_received_is_hidden_from_others(queues: Queues, name: str) -> None:
    queues.send(name, "one")
    assert texts(queues, name) == ["one"]
    assert texts(queues, name) == []


def test_the_next_message_can_be_looked_at_and_left(queues: Queues, name: str) -> None:
    assert queues.peek(name) is None
    queues.send(name, "later", delay=timedelta(hours=1))
    assert queues.peek(name) is None
    queues.send(name, "one")
    assert queues.peek(name) == queues.peek(name) == "one"
    assert texts(queues, name) == ["one"]


def test_a_receiver_takes_no_more_than_it_asks_for(queues: Queues, name: str) -> None:
    for number in range(5):
        queues.send(name, str(number))
    assert len(queues.receive(name, most=2)) == 2
    assert len(queues.receive(name)) == 3


def test_a_deleted_message_can_be_deleted_again(queues: Queues, name: str) -> None:
    queues.send(name, "one")
    (message,) = queues.receive(name)
    queues.delete(name, message)
    queues.delete(name, message)
    queues.delete(f"{name}x", message)
    assert texts(queues, name) == []


def test_a_delayed_message_is_invisible_until_its_time(bench: Any, name: str) -> None:
    bench.queues.send(name, "later", delay=timedelta(seconds=1))
    assert bench.queues.receive(name) == ()
    assert bench.receive_within(name, timedelta(seconds=10)) == ("later",)


def test_a_fraction_of_a_second_is_a_delay_as_well(bench: Any, name: str) -> None:
    bench.queues.send(name, "soon", delay=timedelta(milliseconds=1))
    assert bench.queues.receive(name) == ()
    assert bench.receive_within(name, timedelta(seconds=10)) == ("soon",)


@pytest.mark.parametrize("delay", [timedelta(days=7), timedelta(days=365)])
def test_the_longest_delays_are_accepted(queues: Queues, name: str, delay: timedelta) -> None:
    queues.send(name, "much later", delay=delay)
    assert texts(queues, name) == []


def test_a_delay_in_the_past_is_none(queues: Queues, name: str) -> None:
    queues.send(name, "late already", delay=timedelta(seconds=-5))
    assert texts(queues, name) == ["late already"]


def test_a_message_that_nobody_takes_is_kept_for_good(account: StorageAccount, name: str) -> None:
    with account.queue_client() as client:
        AzureQueues(lambda: client).send(name, "kept")
        (found,) = client.get_queue_client(name).peek_messages()
    assert found.expires_on is not None
    assert found.expires_on.year > 9_000


def test_no_message_holds_a_secret(queues: Queues, name: str) -> None:
    queues.send(name, '{"reason": "AccountKey=s3cr3tValue"}')
    assert texts(queues, name) == ['{"reason": "AccountKey=[redacted]"}']
