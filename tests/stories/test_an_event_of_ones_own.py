"""A reaction publishes an event of one's own: once for its subscribers, whatever breaks."""

from datetime import timedelta

import pytest

from shared.base.errors import TopicDenied, TopicThrottled
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from tests.stories.world import WORKSPACE, World

REACTIONS = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
topics: [news]
channels: [team]
reactions:
  - name: announce
    on: ModelRegistered
    do:
      - publish:
          topic: news
          type: Contoso.ModelArrived
          subject: models/${{{{ model.name }}}}
          data: {{model: "${{{{ model.name }}}}", tags: "${{{{ model.tags }}}}", days: 30}}
      - notify: {{channel: team, title: "${{{{ model.name }}}} is new"}}
"""


@pytest.fixture
def world() -> World:
    return World(REACTIONS)


def test_subscribers_get_the_model_and_a_repeat_of_it_has_the_same_id(world: World) -> None:
    event = world.register("churn", "8", stage="red")
    world.react.react(event)
    (first,) = world.topics.published
    assert first.topic == "news"
    assert first.event["type"] == "Contoso.ModelArrived"
    assert first.event["subject"] == "models/churn"
    assert first.event["source"] == WORKSPACE.id
    assert first.event["data"] == {"model": "churn", "tags": {"stage": "red"}, "days": 30}

    world.react.react(event)
    assert len(world.topics.published) == 1  # the claim is done


def test_a_busy_topic_is_tried_again_when_it_says_and_holds_no_other_step_up(
    world: World,
) -> None:
    world.topics.fail(TopicThrottled("busy", retry_after=timedelta(minutes=2)))
    begun = world.clock.now()
    world.react.react(world.register("churn", "8"))
    assert [sent.title for sent in world.channels.sent] == ["churn is new"]
    assert world.topics.published == ()
    world.settle()
    assert len(world.topics.published) == 1
    assert world.clock.now() - begun >= timedelta(minutes=2)


def test_an_identity_without_the_role_parks_the_letter_and_a_replay_publishes(
    world: World,
) -> None:
    world.topics.fail(TopicDenied("publish on topic 'news': no role"))
    world.react.react(world.register("churn", "8"))
    (letter,) = world.letters.all(LetterStatus.PARKED)
    assert "EventGrid Data Sender" in letter.hint
    world.letters.reopen(letter)
    world.settle()
    assert len(world.topics.published) == 1
    assert len(world.channels.sent) == 1


def test_a_model_that_is_too_much_for_an_event_is_told_so(world: World) -> None:
    world.react.react(world.register("churn", "8", notes="x" * 900_000, more="é" * 60_000))
    (letter,) = world.letters.all(LetterStatus.PARKED)
    assert letter.code == "topic.refused"
    assert "Event Grid takes 1,048,576" in letter.reason


def test_a_type_that_is_made_from_a_tag_cannot_be_azures() -> None:
    world = World(REACTIONS.replace("Contoso.ModelArrived", '"${{ model.tags.type }}"'))
    world.react.react(world.register("churn", "8", type="Microsoft.Storage.BlobCreated"))
    (letter,) = world.letters.all(LetterStatus.PARKED)
    assert letter.code == "action.params"
    assert world.outcome("announce/publish").status is OutcomeStatus.FAILED
    assert world.topics.published == ()


def test_a_tag_can_name_no_topic_that_the_file_does_not_list() -> None:
    world = World(REACTIONS.replace("topic: news", 'topic: "${{ model.tags.topic }}"'))
    world.react.react(world.register("churn", "8", topic="outcomes"))
    world.react.react(world.register("churn", "9", topic="news"))
    (letter,) = world.letters.all(LetterStatus.PARKED)
    assert "`topics:` does not list 'outcomes'" in letter.reason
    assert [each.topic for each in world.topics.published] == ["news"]
