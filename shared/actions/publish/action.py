"""The `publish` action: send an event of one's own to an Event Grid topic."""

from collections.abc import Callable

from shared.actions.base import Work
from shared.actions.publish.params import PublishParams
from shared.base.clock import Clock
from shared.base.errors import ParamsInvalid
from shared.base.ports import Publication, Topics
from shared.base.redact import redact
from shared.journal.outcomes import Outcome, OutcomeStatus


class Publish:
    """Publishes one event on one topic."""

    #: If a topic is down, the other steps go on; this step's own letter tries again.
    may_fail = True

    def __init__(self, *, topics: Topics, has_topic: Callable[[str], bool], clock: Clock) -> None:
        """`has_topic` says whether the file declares a topic, because a tag may have named it."""
        self._topics = topics
        self._has_topic = has_topic
        self._clock = clock

    def act(self, work: Work) -> Outcome:
        """Publish the event. Its id is made from the claim, so a repeat has the same id.

        Raises: ExpressionFailed, ParamsInvalid, SettingInvalid and any TopicError.
        """
        params = work.params(PublishParams)
        if not self._has_topic(params.topic):
            named = redact(params.topic, most=100)
            hint = "Declare it under `topics:`, then replay the letter."
            raise ParamsInvalid(f"`topics:` does not list {named!r}", hint=hint)
        event = Publication(
            id=work.key.digest,
            type=params.type,
            source=work.event.workspace.id,
            subject=params.subject or work.ref.about or work.reaction.name,
            time=self._clock.now(),
            data=params.data,
        )
        self._topics.publish(params.topic, [event])
        return Outcome(
            status=OutcomeStatus.DONE, detail=f"published {params.type} on topic {params.topic}"
        )
