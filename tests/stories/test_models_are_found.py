"""Event Grid never reports a model; the sweep finds it, once, and never what was there before."""

from datetime import timedelta
from typing import Any

import pytest

from commands.event_view import draw_facts
from shared.base.errors import WorkspaceDenied, WorkspaceRefused
from shared.flow import unreported
from shared.journal.outcomes import OutcomeStatus
from shared.journal.records import EventRecord
from tests.stories.world import REACTIONS, WORKSPACE, World, model_registered

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ASKED = REACTIONS.replace("reactions:", "find_models: true\nreactions:", 1)
GREETS = """
  - name: greet
    on: ModelRegistered
    do:
      - notify: {channel: team, title: "${{ model.name }} is new"}
"""


class Finding(World):
    """A world whose file asks the sweep to look for models."""

    def __init__(self, reactions: str = ASKED) -> None:
        super().__init__(reactions)
        self.requests: list[str] = []
        self.workspaces.before = self.requests.append

    def sweep_after(self, time: timedelta) -> None:
        """Let time pass without an event, sweep, and let what that began go on to its end."""
        self.clock.pass_time(time)
        self.sweep.run()
        self.settle()

    def tag(self, name: str, version: str = "1", **tags: str) -> None:
        """Tag a model that is registered."""
        self.workspaces.register(WORKSPACE, name, version, tags=tags)

    def known(self, about: str) -> list[EventRecord]:
        """Return the records of the events of a model version."""
        since = self.clock.now() - 90 * DAY
        return [item for item in self.records.find(since=since, about=about) if item.about == about]


@pytest.fixture
def world() -> Finding:
    """A world with a first look behind it."""
    world = Finding()
    world.sweep.run()
    return world


def late_event(world: World, made: Any, name: str = "churn-a") -> None:
    """Deliver the event that was missing, in the words of Event Grid."""
    world.react.react(model_registered("late-1", made, name, "1", {"deploy": "true"}))
    world.settle()


def test_a_model_whose_event_was_lost_in_an_outage_goes_live(world: Finding) -> None:
    world.register("churn-a")
    world.sweep_after(MINUTE)
    assert not world.known("churn-a:1"), "Event Grid still has time to report it"
    world.sweep_after(20 * MINUTE)
    assert world.serving("churn-a") == "1"
    (record,) = world.known("churn-a:1")
    assert record.found_at is not None
    assert {outcome.status for outcome in record.outcomes.values()} == {OutcomeStatus.DONE}


def test_a_model_that_is_tagged_a_week_later_goes_live(world: Finding) -> None:
    world.react.react(world.register("churn-a", stage="test"))
    world.settle()
    world.sweep_after(DAY)
    assert [item.found_at for item in world.known("churn-a:1")] == [None]
    world.clock.pass_time(6 * DAY)
    world.tag("churn-a", deploy="true")
    world.sweep_after(20 * MINUTE)
    world.sweep_after(20 * MINUTE)
    assert world.serving("churn-a") == "1"
    assert len(world.known("churn-a:1")) == 2


def test_an_install_beside_200_old_models_deploys_none_of_them() -> None:
    world = Finding()
    for number in range(200):
        world.register(f"churn-{number:03}")
    world.clock.pass_time(DAY)
    for _ in range(25):
        world.sweep_after(10 * MINUTE)
    assert not world.workspaces.endpoints
    assert not world.told()
    (record,) = world.known("churn-007:1")
    assert record.found_at is None
    outcome = record.outcomes["deploy-tagged-models/*"]
    assert (outcome.code, outcome.detail) == (
        unreported.BEFORE,
        "the model was there before the first look",
    )


def test_an_old_model_that_matched_before_is_not_deployed_for_another_tag() -> None:
    world = Finding()
    world.register("churn-a")
    world.sweep_after(DAY)
    world.tag("churn-a", deploy="true", owner="risk")
    world.sweep_after(20 * MINUTE)
    world.sweep_after(20 * MINUTE)
    assert not world.workspaces.endpoints


def test_an_old_model_that_is_tagged_after_the_install_goes_live() -> None:
    world = Finding()
    world.register("churn-a", stage="test")
    world.sweep_after(DAY)
    world.tag("churn-a", deploy="true")
    world.sweep_after(20 * MINUTE)
    world.sweep_after(20 * MINUTE)
    assert world.serving("churn-a") == "1"


@pytest.mark.parametrize("days", [0, 1])
def test_an_event_that_comes_after_its_model_was_found_does_nothing_twice(days: int) -> None:
    world = Finding(ASKED + GREETS)
    world.sweep.run()
    made = world.clock.now()
    world.register("churn-a")
    world.sweep_after(20 * MINUTE)
    before, rollouts = world.told(), len(world.all_rollouts())
    world.clock.pass_time(days * DAY)
    late_event(world, made)
    assert (world.told(), len(world.all_rollouts())) == (before, rollouts)
    (late,) = [item for item in world.known("churn-a:1") if item.found_at is None]
    assert late.outcomes["*"].code == unreported.FOUND
    assert late.outcomes["*"].detail.startswith("it came late: the sweep had found the model at ")


def test_a_tag_sets_off_only_the_reaction_that_waited_for_it() -> None:
    world = Finding(ASKED + GREETS)
    world.sweep.run()
    world.react.react(world.register("churn-a", stage="test"))
    world.settle()
    assert world.told().count("churn-a is new") == 1
    world.clock.pass_time(DAY)
    world.tag("churn-a", deploy="true")
    world.sweep_after(20 * MINUTE)
    world.sweep_after(20 * MINUTE)
    assert world.serving("churn-a") == "1"
    assert world.told().count("churn-a is new") == 1


def test_a_reported_model_is_not_raised_again_however_often_it_is_swept(world: Finding) -> None:
    world.react.react(world.register("churn-a"))
    world.settle()
    for _ in range(5):
        world.sweep_after(20 * MINUTE)
    assert len(world.known("churn-a:1")) == 1
    assert len(world.all_rollouts()) == 1


def test_one_sweep_lists_and_raises_a_bounded_number_and_the_next_goes_on(world: Finding) -> None:
    for number in range(50):
        world.register(f"other-{number:03}", stage="test")
    world.clock.pass_time(20 * MINUTE)
    found = []
    for _ in range(4):
        world.requests.clear()
        world.sweep.run()
        assert world.requests.count("list_models") == 1
        assert world.requests.count("newest_models") <= unreported.LISTED_MAX
        found.append(sum(bool(world.known(f"other-{number:03}:1")) for number in range(50)))
    assert found[-1] == 50
    assert found[0] <= unreported.RAISED_MAX


def test_many_lost_versions_of_one_model_are_raised_over_several_sweeps(world: Finding) -> None:
    for version in range(25):
        world.register("other", str(version), stage="test")
    world.clock.pass_time(20 * MINUTE)
    found = []
    for _ in range(2):
        world.sweep.run()
        found.append(sum(bool(world.known(f"other:{version}")) for version in range(25)))
    assert found == [unreported.RAISED_MAX, 25]


def test_a_model_that_can_not_be_read_keeps_no_others_waiting(world: Finding) -> None:
    world.register("", "1")
    world.register("churn-a")
    newest = world.workspaces.newest_models

    def refuse(place: Any, name: str, *, most: int) -> Any:
        if name == "bad":
            raise WorkspaceRefused("it is no name")
        return newest(place, name, most=most)

    world.register("bad")
    world.workspaces.newest_models = refuse  # type: ignore[method-assign]
    world.sweep_after(20 * MINUTE)
    assert world.serving("churn-a") == "1"


def test_a_file_that_does_not_ask_costs_no_request() -> None:
    world = Finding(REACTIONS)
    world.register("churn-a")
    world.sweep_after(DAY)
    world.sweep_after(DAY)
    assert not world.requests
    assert not world.known("churn-a:1")


def test_a_workspace_that_can_not_be_listed_is_looked_at_by_the_next_sweep(world: Finding) -> None:
    world.register("churn-a")
    world.clock.pass_time(20 * MINUTE)

    def deny(_: str) -> None:
        raise WorkspaceDenied("no right to read models")

    world.workspaces.before = deny
    with pytest.raises(WorkspaceDenied):
        world.sweep.run()
    world.workspaces.before = lambda _: None
    world.sweep_after(MINUTE)
    assert world.serving("churn-a") == "1"


def test_a_sweep_that_is_cut_off_after_its_record_is_made_up_for(
    world: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register("churn-a")
    world.clock.pass_time(20 * MINUTE)
    with monkeypatch.context() as patch:

        def end(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(world.react, "_react_to", end)
        with pytest.raises(KeyboardInterrupt):
            world.sweep.run()
    assert [item.outcomes for item in world.known("churn-a:1")] == [{}]
    world.sweep_after(MINUTE)
    assert world.serving("churn-a") == "1"


def test_what_ends_the_worker_each_time_is_not_raised_for_ever(
    world: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.register("churn-a")
    world.clock.pass_time(20 * MINUTE)
    raised = []

    def end(*_: object) -> None:
        raised.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(world.react, "_react_to", end)
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            world.sweep.run()
    world.sweep.run()
    assert len(raised) == 5


def test_why_says_that_the_event_was_found(world: Finding) -> None:
    world.register("churn-a")
    world.sweep_after(20 * MINUTE)
    (record,) = world.known("churn-a:1")
    account = world.services.accounts(reactions=None, asks_workspaces=False).of(record)
    text = "\n".join(line.plain for line in draw_facts(account))
    assert "Event Grid never reported it; found by the sweep at 2026-03-02" in text
