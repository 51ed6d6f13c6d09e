"""Why a reaction is set off by an event, or is not, and what was nearly right."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events.model import (
    Event,
    Model,
    ModelRegistered,
    Run,
    RunCompleted,
    RunStatusChanged,
    Workspace,
)
from shared.reactions.explanation import Explanation, Obstacle, explain, explain_workspace
from shared.reactions.expressions import compile_expression
from shared.reactions.match import Matched, match
from shared.reactions.near_misses import near_misses, values_seen
from tests.unit.test_reactions_match import load, registered

WORKSPACE = Workspace(subscription="s", resource_group="rg", name="Main")
NOON = datetime(2026, 1, 2, tzinfo=UTC)


def run_event(**values: Any) -> RunStatusChanged:
    """Return an event of a run."""
    run = Run(**{"id": "run-1", "root_id": "run-1", "status": "Failed"} | values)
    return RunStatusChanged(id="e1", time=NOON, workspace=WORKSPACE, run=run)


def only(reaction: str, event: Event) -> Explanation:
    """Return the explanation of a file with one reaction."""
    (found,) = explain(load(reaction), event)
    return found


def test_each_reaction_of_the_file_has_an_explanation_in_its_order() -> None:
    reactions = load(
        "on: RunCompleted",
        "on: ModelRegistered\n    enabled: false",
        "on: ModelRegistered\n    when: is_true(model.tags.deploy)",
        "on: ModelRegistered",
    )
    found = explain(reactions, registered(Deploy="yes"))
    assert [(item.reaction.name, item.obstacle) for item in found] == [
        ("r0", Obstacle.OTHER_EVENT),
        ("r1", Obstacle.DISABLED),
        ("r2", Obstacle.CONDITION),
        ("r3", Obstacle.NONE),
    ]
    assert [item.why for item in found] == [
        "it is on RunCompleted, and this is ModelRegistered",
        "it has `enabled: false`",
        "`is_true(model.tags.deploy)` is false",
        "it has no `when`",
    ]
    assert found[2].near == "the tag is `Deploy`, the rule asks for `deploy`"
    assert found[2].wants_tags


def test_of_a_condition_the_first_part_that_does_not_hold_is_named_with_what_it_saw() -> None:
    when = "model.name == 'churn' && model.tags.stage == 'prod' && is_true(model.tags.deploy)"
    found = only(f"on: ModelRegistered\n    when: {when}", registered(stage="Prod"))
    assert found.part == "model.tags.stage == 'prod'"
    assert found.why == "`model.tags.stage == 'prod'` is false"
    assert found.seen == ("`model.tags.stage` is 'Prod'",)
    assert found.near == (
        "the tag `stage` is 'Prod', the rule asks for 'prod': they differ only in casing"
    )
    assert found.further == 1


@pytest.mark.parametrize(("tag", "would"), [("yes", True), ("no", False)])
def test_a_disabled_reaction_says_whether_it_would_be_set_off(tag: str, would: bool) -> None:
    rule = "on: ModelRegistered\n    enabled: false\n    when: is_true(model.tags.deploy)"
    found = only(rule, registered(deploy=tag))
    assert (found.obstacle, found.would_match) == (Obstacle.DISABLED, would)
    wanted = "it would be set off" if would else "besides, `is_true(model.tags.deploy)` is false"
    assert found.near == wanted


def test_a_rule_for_the_other_event_of_runs_says_how_they_differ() -> None:
    event = RunCompleted(
        id="e1", time=NOON, workspace=WORKSPACE, run=Run(id="r", root_id="r", status="Completed")
    )
    found = only("on: RunStatusChanged", event)
    assert found.obstacle is Obstacle.OTHER_EVENT
    assert found.near.startswith("RunCompleted is only for runs that completed")
    assert only("on: ModelRegistered", event).near == ""


def test_a_run_with_a_breach_is_explained_as_such() -> None:
    event = run_event(tags={"azureml_modelmonitor_threshold_breached": "x"})
    assert only("on: RunStatusChanged", event).obstacle is Obstacle.BREACH


@pytest.mark.parametrize(
    ("when", "tags", "near"),
    [
        ("model.tags.a == 'x'", {}, "the event has no tag `a`, and no tags at all"),
        ("model.tags.a == 'x'", {"b": "", "c": ""}, "the event has no tag `a`, only `b`, `c`"),
        ("model.tags.a", {}, "the event has no tag `a`, and no tags at all"),
        (
            "is_true(model.tags.deploy_to)",
            {"Deploy-To": "1"},
            "the tag is `Deploy-To`, the rule asks for `deploy_to`",
        ),
        (
            "is_true(model.tags.deploy)",
            {"deplyo": "1"},
            "the tag is `deplyo`, the rule asks for `deploy`",
        ),
        (
            "is_true(model.tags.deploy)",
            {"deploy": "please"},
            "the tag `deploy` is 'please'; only true, yes, y, on and 1 are true",
        ),
        (
            "model.tags.stage == 'prod'",
            {"stage": "prod "},
            "the tag `stage` is 'prod', the rule asks for 'prod': they differ only in blanks,"
            " dashes or casing",
        ),
        (
            "'production' == model.tags.stage",
            {"stage": "prodction"},
            "the tag `stage` is 'prodction', the rule asks for 'production'",
        ),
        ("model.tags.stage == 'prod'", {"stage": "test"}, ""),
        (
            "contains(['dev', 'prod'], model.tags.stage)",
            {"stage": "PROD"},
            "the tag `stage` is 'PROD', the rule asks for 'prod': they differ only in casing",
        ),
        (
            "starts_with(model.tags.team, 'risk')",
            {"team": "Risk-EU"},
            "the tag `team` is 'Risk-EU', which differs in casing or in blanks only",
        ),
        (
            "to_number(model.version) == '7'",
            {},
            "",
        ),
        ("model.name == 'fraud' || model.tags.x == 'y'", {"X": "y"}, "the tag is `X`, the rule"),
        ("!is_true(model.tags.skip)", {"skip": "yes"}, ""),
    ],
)
def test_a_near_miss_is_said(when: str, tags: dict[str, str], near: str) -> None:
    data = {"model": {"name": "churn", "version": "7", "tags": tags, "properties": {}}}
    found = near_misses(compile_expression(when), data)
    assert (next(iter(found), "") or "").startswith(near)
    assert bool(found) is bool(near)


def test_a_property_in_place_of_a_tag_is_said() -> None:
    event = ModelRegistered(
        id="e1",
        time=NOON,
        workspace=WORKSPACE,
        model=Model(name="churn", version="7", properties={"deploy": "yes"}),
    )
    found = only("on: ModelRegistered\n    when: is_true(model.tags.deploy)", event)
    assert found.near == "`deploy` is a property, not a tag: write `model.properties.deploy`"


def test_a_step_of_a_pipeline_is_told_from_its_root() -> None:
    event = run_event(id="step-1", root_id="pipe-1", is_root=False, step="train")
    found = only("on: RunStatusChanged\n    when: run.is_root && run.status == 'Failed'", event)
    assert found.seen == ("`run.is_root` is false",)
    assert found.near == "the run is a step 'train' of 'pipe-1', not a root run"


@pytest.mark.parametrize(
    ("text", "data", "seen"),
    [
        ("max(drift.metrics[].value) > `1`", {}, ("`drift.metrics` is null",)),
        (
            "run.tags.\"a-b\" == 'x' && run.id == run.id",
            {"run": {"id": "r", "tags": {"a-b": "é" * 80}}},
            ('`run.tags."a-b"` is \'' + "é" * 59 + "…'", "`run.id` is 'r'"),
        ),
        ("length(model.tags) > `0`", {"model": {"tags": {}}}, ("`model.tags` is a mapping",)),
        ("`1` == `2`", {}, ()),
    ],
)
def test_the_values_that_a_condition_reads_are_told(
    text: str, data: Mapping[str, Any], seen: tuple[str, ...]
) -> None:
    found = values_seen(compile_expression(text), data)
    assert len(found) == len(seen)
    assert all(one.startswith(other) for one, other in zip(found, seen, strict=True))


@pytest.mark.parametrize(
    ("workspace", "why"),
    [
        (WORKSPACE, ""),
        (Workspace(subscription="S", resource_group="RG", name="main"), ""),
        (
            Workspace(subscription="s", resource_group="rg", name="prod"),
            "workspace `prod` is not listed in `workspaces:`; listed: `Main`",
        ),
        (
            Workspace(subscription="s", resource_group="rg", name="mian"),
            "workspace `mian` is not listed in `workspaces:`: did you mean `Main`?",
        ),
        (
            Workspace(subscription="s", resource_group="other", name="main"),
            "workspace `main` is not listed in `workspaces:`: the event's is of resource group"
            " `other`, and one of that name in another is listed",
        ),
    ],
)
def test_a_workspace_that_is_not_listed_is_said(workspace: Workspace, why: str) -> None:
    assert explain_workspace(load("on: ModelRegistered"), workspace) == why


def test_no_secret_and_no_control_character_of_an_event_is_in_an_explanation() -> None:
    tags = {"stage": "\x1b[2J pwd=s3cr3tValue", "pwd=s3cr3tValue": "1"}
    found = only("on: ModelRegistered\n    when: model.tags.stagee == 'x'", registered(**tags))
    text = f"{found.why} {found.seen} {found.near}"
    assert "s3cr3t" not in text
    assert "\x1b" not in text


@given(st.dictionaries(st.sampled_from(["deploy", "Deploy", "stage"]), st.text(max_size=5)))
def test_an_explanation_agrees_with_the_match(tags: dict[str, str]) -> None:
    reactions = load(
        "on: ModelRegistered\n    when: is_true(model.tags.deploy) || model.tags.stage == 'x'",
        "on: ModelRegistered\n    when: model.tags.deploy && !is_true(model.tags.stage)",
    )
    event = registered(**tags)
    matched = [isinstance(item, Matched) for item in match(reactions, event)]
    assert [item.matches for item in explain(reactions, event)] == matched
