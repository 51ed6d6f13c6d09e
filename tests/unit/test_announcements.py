"""Announcements fit into messages of a queue, each once, whatever their texts are."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.journal.announcements import QUEUE, AnnouncementPublisher, Announcer
from shared.journal.outcomes import EventRef, Outcome, OutcomeStatus
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryQueues
from shared.twins.topics import MemoryTopics

REF = EventRef(
    key="k" * 64,
    id="1",
    type="ModelRegistered",
    time=datetime(2026, 3, 1, 12, tzinfo=UTC),
    source="/subscriptions/s/workspaces/w",
    about="churn:8",
)

TEXTS = st.one_of(
    st.text(max_size=3_000),
    st.builds(
        lambda char: char * 2_500, st.sampled_from(['"', "\\", "é", "🙂", "\n", "\x00", "a"])
    ),
)


class Bench:
    """The queue, the topic, and both sides of the app."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.queues = MemoryQueues(self.clock)
        self.topics = MemoryTopics()
        self.announcer = Announcer(queues=self.queues, clock=self.clock)

    def publish_all(self) -> list[Mapping[str, Any]]:
        """Publish each message of the queue, which takes none that is too long."""
        publisher = AnnouncementPublisher(
            announcer=self.announcer,
            topics=self.topics,
            topic="outcomes",
            retention=timedelta(days=1),
            retry_base=timedelta(seconds=1),
        )
        for message in self.queues.take(QUEUE):
            publisher.publish(message)
        return [each.event for each in self.topics.published]


@given(details=st.lists(TEXTS, min_size=1, max_size=40))
def test_every_outcome_is_published_once_in_messages_that_a_queue_takes(details: list[str]) -> None:
    bench = Bench()
    news = {
        f"reaction-{number}/notify": Outcome(status=OutcomeStatus.DONE, detail=detail)
        for number, detail in enumerate(details)
    }
    bench.announcer.announce_outcomes(REF, news)
    events = bench.publish_all()
    told = [f"{event['data']['reaction']}/{event['data']['step']}" for event in events]
    assert sorted(told) == sorted(news)
    assert len({event["id"] for event in events}) == len(details)


def test_an_outcome_has_the_same_id_each_time_and_another_one_another() -> None:
    bench = Bench()
    first = {"r/notify": Outcome(status=OutcomeStatus.WAITING, attempt=1)}
    for news in (first, first, {"r/notify": Outcome(status=OutcomeStatus.DONE, attempt=2)}):
        bench.announcer.announce_outcomes(REF, news)
    one, again, other = [event["id"] for event in bench.publish_all()]
    assert one == again != other
