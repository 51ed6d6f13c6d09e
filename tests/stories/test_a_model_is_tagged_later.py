"""A model is registered, and then tagged: the event of it has no tags."""

from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import SignalboxError, WorkspaceDenied, WorkspaceThrottled
from shared.journal.outcomes import OutcomeStatus
from tests.stories.world import REACTIONS, WORKSPACE, World, model_registered

WHOLE = "deploy-tagged-models/*"
WITHIN = timedelta(seconds=70)
OF_CHURN = REACTIONS.replace(
    "when: is_true(model.tags.deploy)",
    "when: matches(model.name, 'churn-*') && is_true(model.tags.deploy)",
)


class Counting:
    """Counts how often the model is read, and fails as often as it is told to."""

    def __init__(self, world: World) -> None:
        self.reads = 0
        self.errors: list[SignalboxError] = []
        self._get = world.workspaces.get_model
        world.workspaces.get_model = self.get_model  # type: ignore[method-assign]

    def get_model(self, *args: Any) -> Any:
        """Read a model."""
        self.reads += 1
        if self.errors:
            raise self.errors.pop()
        return self._get(*args)


@pytest.fixture
def reads(world: World) -> Counting:
    return Counting(world)


def register(world: World, name: str = "churn", **tags: str) -> dict[str, Any]:
    """Register a model; return the event that tells of it with these tags."""
    world.workspaces.register(WORKSPACE, name, "1", tags=tags)
    return model_registered("event-1", world.clock.now(), name, "1", tags)


def tag(world: World, name: str = "churn", **tags: str) -> None:
    """Tag the model that was registered."""
    world.workspaces.register(WORKSPACE, name, "1", tags=tags)


def test_a_model_that_is_tagged_before_its_event_is_read_goes_live_at_once(world: World) -> None:
    event = register(world)
    tag(world, deploy="true")
    world.react.react(event)
    assert not world.all_letters()
    assert world.outcome(WHOLE).detail == (
        "set off by the tags deploy, read from the workspace at 2026-03-02 09:00:00Z"
    )
    world.settle()
    assert world.serving() == "1"


@pytest.mark.parametrize("seconds", [1, 30, 60])
def test_a_model_that_is_tagged_within_a_minute_goes_live(world: World, seconds: int) -> None:
    world.react.react(register(world, stage="test"))
    waiting = world.outcome(WHOLE)
    assert (waiting.status, waiting.code) == (OutcomeStatus.WAITING, "event.tags_awaited")
    world.clock.pass_time(timedelta(seconds=seconds))
    tag(world, stage="test", deploy="true")
    world.settle()
    assert world.serving() == "1"
    assert world.outcome(WHOLE).detail == (
        "set off by the tags deploy, stage, read from the workspace at 2026-03-02 09:01:10Z"
    )
    assert [letter.status for letter in world.all_letters()] == ["closed"]


def test_of_a_model_that_nobody_tags_the_record_says_what_was_read(
    world: World, reads: Counting
) -> None:
    world.react.react(register(world, stage="test"))
    world.settle()
    assert world.clock.now() - timedelta(seconds=70) == world.all_letters()[0].created_at
    outcome = world.outcome(WHOLE)
    assert outcome.status is OutcomeStatus.SKIPPED
    assert outcome.detail == (
        "`is_true(model.tags.deploy)` is false: the tags stage, read from the workspace at"
        " 2026-03-02 09:01:10Z"
    )
    assert reads.reads == 2
    assert [letter.status for letter in world.all_letters()] == ["closed"]
    assert not world.told()


@pytest.mark.parametrize(
    ("rules", "tags"), [(OF_CHURN, {}), (OF_CHURN, {"x": "y"}), (REACTIONS, {"deploy": "false"})]
)
def test_what_no_other_tag_would_change_is_not_looked_at(rules: str, tags: dict[str, str]) -> None:
    world = World(rules)
    reads = Counting(world)
    world.react.react(register(world, "other", **tags))
    assert reads.reads == 0
    assert not world.all_letters()
    assert world.outcome(WHOLE).status is OutcomeStatus.SKIPPED


def test_an_event_that_comes_late_is_looked_at_once(world: World, reads: Counting) -> None:
    event = register(world)
    world.clock.pass_time(WITHIN)
    world.react.react(event)
    assert (reads.reads, world.all_letters()) == (1, [])
    assert world.outcome(WHOLE).status is OutcomeStatus.SKIPPED


@pytest.mark.parametrize("ahead", [WITHIN, timedelta(hours=20)])
def test_an_event_that_is_dated_ahead_is_not_waited_for(
    world: World, reads: Counting, ahead: timedelta
) -> None:
    world.workspaces.register(WORKSPACE, "churn", "1", tags={})
    world.react.react(model_registered("event-1", world.clock.now() + ahead, tags={}))
    assert (reads.reads, world.all_letters()) == (1, [])


def test_a_workspace_that_can_not_be_read_now_is_read_later(world: World, reads: Counting) -> None:
    event = register(world)
    tag(world, deploy="true")
    reads.errors = [WorkspaceThrottled("too many requests")]
    world.react.react(event)
    assert world.outcome(WHOLE).code == "workspace.throttled"
    world.settle()
    assert world.serving() == "1"


def test_where_the_workspace_may_not_be_read_the_event_s_tags_decide(
    world: World, reads: Counting
) -> None:
    event = register(world)
    reads.errors = [WorkspaceDenied("no role")]
    world.react.react(event)
    outcome = world.outcome(WHOLE)
    assert (outcome.status, outcome.code) == (OutcomeStatus.SKIPPED, "workspace.denied")
    assert outcome.detail == "`is_true(model.tags.deploy)` is false: no role"
    assert not world.all_letters()


def test_the_steps_see_the_tags_that_were_read() -> None:
    world = World(
        f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: tell
    on: ModelRegistered
    when: model.tags.owner != `null`
    do:
      - notify: {{channel: team, title: "of ${{{{ model.tags.owner }}}}"}}
  - name: tell-too
    on: ModelRegistered
    when: is_true(model.tags.tell)
    do:
      - notify: {{channel: team, title: "too"}}
"""
    )
    reads = Counting(world)
    event = register(world)
    tag(world, owner="ada", tell="yes")
    world.react.react(event)
    assert world.told() == ["of ada", "too"]
    assert reads.reads == 1
    world.react.react(event)
    assert world.told() == ["of ada", "too"]


def test_a_bug_in_looking_is_a_letter_and_no_lost_event(world: World) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    world.workspaces.get_model = broken  # type: ignore[method-assign, assignment]
    world.react.react(register(world))
    assert [letter.code for letter in world.all_letters()] == ["unexpected"]
