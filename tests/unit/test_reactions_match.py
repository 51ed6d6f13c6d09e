"""Which reactions an event sets off."""

from datetime import UTC, datetime

import pytest

from shared.events.model import (
    Event,
    Model,
    ModelRegistered,
    Run,
    RunCompleted,
    RunStatusChanged,
    Workspace,
)
from shared.reactions.load import load_reactions
from shared.reactions.match import Matched, Unmatched, as_listed, match
from shared.reactions.model import Params, Reactions
from shared.schema.values import ChannelName

ID = (
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/Main"
)


class Notify(Params):
    """Sample values of an action."""

    channel: ChannelName
    title: str


def load(*reactions: str) -> Reactions:
    """Return the reactions whose further lines are given."""
    text = f"version: 1\nworkspaces: ['{ID}']\nchannels: [team]\nreactions:\n"
    for index, lines in enumerate(reactions):
        text += f"  - name: r{index}\n    {lines}\n"
        text += "    do: [notify: {channel: team, title: hello}]\n"
    return load_reactions(text, actions={"notify": Notify}, settings={})


def registered(**tags: str) -> ModelRegistered:
    """Return an event of a model with these tags."""
    return ModelRegistered(
        id="e1",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        workspace=Workspace(subscription="s", resource_group="rg", name="Main"),
        model=Model(name="churn", version="7", tags=tags),
    )


def test_a_reaction_without_a_condition_is_set_off_by_every_event_of_its_type() -> None:
    reactions = load("on: ModelRegistered")
    assert match(reactions, registered()) == (Matched(reaction=reactions.reactions[0]),)


def test_reactions_for_other_events_and_disabled_ones_are_not_asked() -> None:
    reactions = load("on: RunCompleted", "on: ModelRegistered\n    enabled: false")
    assert match(reactions, registered()) == ()


def test_each_concerned_reaction_has_an_answer_in_the_order_of_the_file() -> None:
    reactions = load(
        "on: ModelRegistered\n    when: is_true(model.tags.deploy)",
        "on: ModelRegistered\n    when: model.name == 'churn' && model.tags.stage == 'prod'",
        "on: ModelRegistered\n    when: abs(to_number(model.version)) && model.version == '7'",
        "on: ModelRegistered\n    when: starts_with(model.tags.owner, 'a')",
    )
    answers = match(reactions, registered(deploy="Yes", stage="test"))
    assert [type(answer) for answer in answers] == [Matched, Unmatched, Matched, Unmatched]
    assert [answer.reaction.name for answer in answers] == ["r0", "r1", "r2", "r3"]


def test_an_unmatched_reaction_says_which_part_of_its_condition_does_not_hold() -> None:
    reactions = load(
        "on: ModelRegistered\n    when: model.name == 'churn' && model.tags.stage == 'prod'"
    )
    (answer,) = match(reactions, registered(stage="test"))
    assert isinstance(answer, Unmatched)
    assert answer.why == "`model.tags.stage == 'prod'` is false"


def test_a_condition_that_can_not_be_evaluated_does_not_hold_and_says_why() -> None:
    reactions = load("on: ModelRegistered\n    when: ceil(`1e999`) == `1`")
    (answer,) = match(reactions, registered())
    assert isinstance(answer, Unmatched)
    assert answer.why.startswith("`ceil(`1e999`) == `1``: ")


def run_event(kind: type[RunCompleted | RunStatusChanged], tags: dict[str, str]) -> Event:
    """Return an event of a run with these tags."""
    return kind(
        id="e1",
        time=datetime(2026, 1, 2, tzinfo=UTC),
        workspace=Workspace(subscription="s", resource_group="rg", name="Main"),
        run=Run(id="run-1", root_id="run-1", status="Completed", tags=tags),
    )


@pytest.mark.parametrize(
    "tag",
    [
        "azureml_modelmonitor_threshold_breached",
        "AzureML_ModelMonitor_Threshold_Breached",
        "azureml.modelmonitor.threshold.breached.data_drift",
    ],
)
@pytest.mark.parametrize("kind", [RunCompleted, RunStatusChanged])
def test_a_run_with_a_breach_sets_off_only_what_asks_for_it(
    kind: type[RunCompleted | RunStatusChanged], tag: str
) -> None:
    on = f"on: {kind.type}"
    reactions = load(
        on,
        f"{on}\n    when: starts_with(run.tags.absent, 'a')",
        f"{on}\n    breaches: false",
        f"{on}\n    breaches: true",
        f"{on}\n    breaches: true\n    when: run.id == 'run-2'",
    )
    answers = match(reactions, run_event(kind, {tag: "The signal 'a' has failed"}))
    assert [type(answer) for answer in answers] == [
        *(Unmatched, Unmatched, Unmatched, Matched, Unmatched)
    ]
    for answer in answers[:3]:
        assert isinstance(answer, Unmatched)
        assert answer.why.startswith("a monitor found a breach in this run")
        assert "`breaches: true`" in answer.why
    assert isinstance(answers[4], Unmatched)
    assert answers[4].why == "`run.id == 'run-2'` is false"


@pytest.mark.parametrize("tags", [{}, {"azureml_modelmonitor_threshold_breached": ""}])
def test_a_run_without_a_breach_sets_off_what_is_for_it(tags: dict[str, str]) -> None:
    reactions = load("on: RunCompleted", "on: RunCompleted\n    breaches: true")
    answers = match(reactions, run_event(RunCompleted, tags))
    assert [type(answer) for answer in answers] == [Matched, Matched]


@pytest.mark.parametrize(
    ("name", "accepted"), [("Main", True), ("main", True), ("MAIN", True), ("other", False)]
)
def test_a_workspace_is_known_by_its_id_in_whatever_casing(name: str, accepted: bool) -> None:
    workspace = Workspace(subscription="S", resource_group="RG", name=name)
    assert (as_listed(load("on: RunCompleted"), workspace) is not None) is accepted


@pytest.mark.parametrize(
    ("when", "wants"),
    [
        ("is_true(model.tags.absent)", True),
        ("is_true(model.tags.off)", False),
        ("is_true(model.tags.off) || is_true(model.tags.absent)", True),
        ("is_true(model.tags.off) && is_true(model.tags.absent)", False),
        ("model.name == 'churn' && model.tags.absent == 'x'", True),
        ("model.name == 'other' && model.tags.absent == 'x'", False),
        ("model.name == 'other'", False),
        ("length(model.tags) > `5`", True),
    ],
)
def test_a_tag_is_wanted_only_where_it_would_make_the_condition_hold(
    when: str, wants: bool
) -> None:
    rules = load(f"on: ModelRegistered\n    when: {when}")
    (answer,) = match(rules, registered(off="false"))
    assert isinstance(answer, Unmatched)
    assert answer.wants_tags is wants
