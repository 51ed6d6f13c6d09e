"""A new rules file, compared with what was done."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.actions import ACTIONS
from shared.events.model import Model, ModelRegistered, Run, RunCompleted, Workspace
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.reactions.backtest import EXAMPLES_MAX, Backtest, ReactionDifference
from shared.reactions.load import load_reactions
from shared.reactions.match import Matched, match
from shared.reactions.model import Reactions

HERE = Workspace(subscription="s", resource_group="rg", name="main")
RULE = """\
  - name: tell
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do: [notify: {channel: team, title: "${{ model.name }} is new"}]
"""
DONE = Outcome(status=OutcomeStatus.DONE, detail="told team")
SKIPPED = Outcome(status=OutcomeStatus.SKIPPED, detail="`is_true(model.tags.deploy)` is false")


def load(rules: str) -> Reactions:
    head = f"version: 1\nworkspaces: [{HERE.id}]\nchannels: [team]\nreactions:\n"
    return load_reactions(head + rules, actions=ACTIONS, settings={})


def model(name: str = "churn", **tags: str) -> ModelRegistered:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    of = Model(name=name, version="7", tags=tags)
    return ModelRegistered(id=f"id-{name}", time=at, workspace=HERE, model=of)


def compare(
    new: str, *events: tuple[ModelRegistered, dict[str, Outcome]], current: str = RULE
) -> dict[str, ReactionDifference]:
    """Return the differences of a new file, by reaction."""
    test = Backtest(current=load(current), new=load(new), actions=ACTIONS)
    for event, outcomes in events:
        test.add(event, outcomes)
    assert test.events == len(events)
    return {found.name: found for found in test.differences}


def counts(found: ReactionDifference) -> tuple[int, int, int, int]:
    return found.more.count, found.fewer.count, found.values.count, found.refused.count


SET_OFF = (model(deploy="yes"), {"tell/notify": DONE})
NOT_SET_OFF = (model(stage="x"), {"tell/*": SKIPPED})


def test_the_same_file_makes_no_difference() -> None:
    found = compare(RULE, SET_OFF, NOT_SET_OFF)["tell"]
    assert (found.differs, found.changed, found.recorded, found.by_new) == (False, (), 1, 1)


def test_an_event_that_the_new_file_leaves_out_is_one_fewer_and_says_why() -> None:
    new = RULE.replace("deploy)", "deploy) && model.name != 'churn'")
    found = compare(new, SET_OFF)["tell"]
    assert counts(found) == (0, 1, 0, 0)
    assert found.changed == ("when",)
    assert found.fewer.examples[0].detail == "`model.name != 'churn'` is false"
    assert found.fewer_by_current == 0


def test_an_event_that_only_the_new_file_takes_is_one_more() -> None:
    found = compare(RULE.replace("deploy)", "deploy) || model.tags.stage == 'x'"), NOT_SET_OFF)
    assert counts(found["tell"]) == (1, 0, 0, 0)
    assert found["tell"].more.examples[0].about == "churn:7"


def test_a_record_that_the_current_file_would_not_make_any_more_is_said() -> None:
    """The file was changed since: the difference is not the new file's."""
    found = compare(RULE, (model(deploy="yes"), {"tell/*": SKIPPED}))["tell"]
    assert (counts(found), found.more_by_current) == ((1, 0, 0, 0), 1)


def test_other_values_are_shown_beside_those_of_the_current_file() -> None:
    found = compare(RULE.replace("is new", "came"), SET_OFF)["tell"]
    assert counts(found) == (0, 0, 1, 0)
    assert found.values.examples[0].detail == "notify.title: 'churn is new' → 'churn came'"


def test_values_that_would_be_refused_are_counted() -> None:
    found = compare(RULE.replace("${{ model.name }}", "${{ model.tags.team }}"), SET_OFF)["tell"]
    assert counts(found) == (0, 0, 1, 1)
    assert "gave nothing" in found.refused.examples[0].detail


def test_a_new_reaction_and_one_that_is_gone_are_told_apart() -> None:
    found = compare(RULE.replace("name: tell", "name: say"), SET_OFF)
    assert (counts(found["say"]), found["say"].changed) == ((1, 0, 0, 0), ("is new",))
    assert (counts(found["tell"]), found["tell"].changed) == ((0, 1, 0, 0), ("is gone",))


def test_a_reaction_that_neither_file_has_is_fewer() -> None:
    found = compare(RULE, (model(), {"old/notify": DONE, "tell/*": SKIPPED}))["old"]
    assert (found.recorded, counts(found), found.changed) == (1, (0, 1, 0, 0), ("is gone",))


@pytest.mark.parametrize(
    "change", [("on: Model", "enabled: false\n    on: Model"), ("ModelRegistered", "ModelDeployed")]
)
def test_a_reaction_that_is_switched_off_or_for_other_events_is_fewer(
    change: tuple[str, str],
) -> None:
    new = RULE.replace(*change)
    if "ModelDeployed" in change:
        new = new.replace("model.tags", "service.tags").replace("model.name", "service.name")
    assert counts(compare(new, SET_OFF)["tell"]) == (0, 1, 0, 0)


def test_a_step_that_a_limit_skipped_was_set_off_all_the_same() -> None:
    limited = Outcome(status=OutcomeStatus.SKIPPED, code="limit.reached")
    assert not compare(RULE, (model(deploy="yes"), {"tell/notify": limited}))["tell"].differs


def test_tags_that_came_later_are_nothing_that_a_backtest_knows() -> None:
    later = {"tell/*": Outcome(status=OutcomeStatus.DONE, detail="set off by the tags deploy")}
    found = compare(RULE, (model(), later | {"tell/notify": DONE}))["tell"]
    assert (found.differs, found.unsure.count) == (False, 1)


def test_a_workspace_that_the_new_file_does_not_list_sets_nothing_off() -> None:
    test = Backtest(
        current=load(RULE),
        new=load_reactions(
            f"version: 1\nworkspaces: [{HERE.id.replace('main', 'other')}]\nchannels: [team]\n"
            f"reactions:\n{RULE}",
            actions=ACTIONS,
            settings={},
        ),
        actions=ACTIONS,
    )
    test.add(*SET_OFF)
    assert counts(test.differences[0]) == (0, 1, 0, 0)


def test_few_examples_are_kept_however_many_events_there_are() -> None:
    new = RULE.replace("is_true(model.tags.deploy)", "model.name == 'x'")
    found = compare(new, *[SET_OFF] * 50)["tell"]
    assert (found.fewer.count, len(found.fewer.examples)) == (50, EXAMPLES_MAX)


CONDITIONS = st.sampled_from(
    [
        None,
        "is_true(model.tags.deploy)",
        "model.name == 'churn'",
        "model.name == 'churn' && !is_true(model.tags.deploy)",
        "model.tags.stage == 'x' || model.name == 'fraud'",
    ]
)
EVENTS = st.builds(
    lambda name, tags: model(name, **tags),
    st.sampled_from(["churn", "fraud"]),
    st.dictionaries(st.sampled_from(["deploy", "stage"]), st.sampled_from(["yes", "x", ""])),
)


@given(before=CONDITIONS, after=CONDITIONS, events=st.lists(EVENTS, max_size=8))
def test_more_minus_fewer_is_what_match_counts(
    before: str | None, after: str | None, events: list[ModelRegistered]
) -> None:
    """If the record is what the current file did, the counts are those of the two files."""

    def file(when: str | None) -> str:
        line = f'    when: "{when}"\n' if when else ""
        return RULE.replace("    when: is_true(model.tags.deploy)\n", line)

    def matched(reactions: Reactions, event: ModelRegistered) -> bool:
        return isinstance(match(reactions, event)[0], Matched)

    current, new = load(file(before)), load(file(after))
    test = Backtest(current=current, new=new, actions=ACTIONS)
    for event in events:
        outcome: dict[str, Any] = {"tell/notify": DONE} if matched(current, event) else {}
        test.add(event, outcome)
    (found,) = test.differences
    by_new = sum(matched(new, event) for event in events)
    assert (found.by_new, found.more_by_current, found.fewer_by_current) == (by_new, 0, 0)
    left = found.fewer.count + found.unsure.count
    assert found.by_new == found.recorded + found.more.count - left
    assert (before != after) or not found.differs


def test_events_of_other_types_cost_nothing_and_change_nothing() -> None:
    run = Run(id="r", root_id="r", status="Completed")
    event = RunCompleted(id="e", time=datetime(2026, 1, 2, tzinfo=UTC), workspace=HERE, run=run)
    test = Backtest(current=load(RULE), new=load(RULE), actions=ACTIONS)
    test.add(event, {"*": SKIPPED})
    assert [found.differs for found in test.differences] == [False]
