"""The twins beyond their ports: time that passes, and the requests of tests."""

from datetime import timedelta

import pytest

from shared.base.errors import ChannelDown, ChannelUnknown
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryChannels, MemoryQueues, Sent


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queues(clock: ManualClock) -> MemoryQueues:
    return MemoryQueues(clock)


def test_a_message_that_is_not_deleted_comes_back_after_five_minutes(
    queues: MemoryQueues, clock: ManualClock
) -> None:
    queues.send("q", "one")
    (first,) = queues.receive("q")
    clock.time += timedelta(minutes=5)
    (second,) = queues.receive("q")
    assert (second.id, second.text) == (first.id, "one")
    assert second.receipt != first.receipt


def test_a_receipt_of_before_deletes_nothing(queues: MemoryQueues, clock: ManualClock) -> None:
    queues.send("q", "one")
    (first,) = queues.receive("q")
    clock.time += timedelta(minutes=5)
    (second,) = queues.receive("q")
    queues.delete("q", first)
    assert len(queues.waiting("q")) == 1
    queues.delete("q", second)
    assert queues.waiting("q") == ()


def test_a_test_takes_what_is_visible_now(queues: MemoryQueues, clock: ManualClock) -> None:
    queues.send("q", "now")
    queues.send("q", "later", delay=timedelta(hours=1))
    assert queues.take("q") == ("now",)
    assert queues.take("q") == ()
    assert queues.waiting("q") == ((clock.time + timedelta(hours=1), "later"),)
    clock.time += timedelta(hours=1)
    assert queues.take("q") == ("later",)
    assert queues.waiting("q") == ()


def test_a_delay_is_cut_to_seven_days(queues: MemoryQueues, clock: ManualClock) -> None:
    queues.send("q", "much later", delay=timedelta(days=30))
    assert queues.waiting("q") == ((clock.time + timedelta(days=7), "much later"),)


def test_channels_remember_what_they_were_told() -> None:
    channels = MemoryChannels()
    channels.send("ops", title="Rollout", text="done", good=True)
    assert channels.sent == (Sent(channel="ops", title="Rollout", text="done", good=True),)


def test_a_channel_can_be_down_and_well_again() -> None:
    channels = MemoryChannels()
    channels.make_down("ops")
    with pytest.raises(ChannelDown):
        channels.send("ops", title="t", text="x", good=True)
    channels.send("team", title="t", text="x", good=True)
    channels.make_well("ops")
    channels.send("ops", title="t", text="x", good=True)
    assert [sent.channel for sent in channels.sent] == ["team", "ops"]


def test_a_channel_that_was_not_named_is_unknown() -> None:
    with pytest.raises(ChannelUnknown):
        MemoryChannels("ops").send("team", title="t", text="x", good=True)
