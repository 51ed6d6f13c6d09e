"""The values of `shift_traffic`: what the loader takes, and what they come to on an endpoint."""

from collections.abc import Mapping
from textwrap import indent

import pytest

from shared.actions import ACTIONS
from shared.actions.shift_traffic.action import find_goal, find_growing
from shared.actions.shift_traffic.params import ShiftTrafficParams
from shared.base.errors import ParamsInvalid
from shared.reactions.load import load_reactions
from shared.schema.findings import ReactionsFaulty, Severity
from shared.workspaces.model import Deployment, State

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
EVENTS = ("RunCompleted", "AlertFired", "ModelRegistered", "DriftDetected", "RunStatusChanged")


def findings_of(values: str, on: str = "RunCompleted") -> list[str]:
    """Load a reaction with these values of `shift_traffic` and return what is wrong with it."""
    text = (
        f"version: 1\nworkspaces: ['{ID}']\nchannels: [team]\nreactions:\n"
        f"  - name: shift\n    on: {on}\n    do:\n"
        f"      - shift_traffic:\n          endpoint: ${{{{ workspace.name }}}}\n"
        + indent(values, " " * 10)
    )
    try:
        load_reactions(text, actions=ACTIONS, settings={})
    except ReactionsFaulty as error:
        wrong = [item for item in error.findings if item.severity is Severity.ERROR]
        return [f"{item.line - 9}: {item.message} {item.hint}".strip() for item in wrong]
    return []


@pytest.mark.parametrize("on", EVENTS)
def test_traffic_can_be_shifted_on_any_event(on: str) -> None:
    assert findings_of("to: blue", on) == []


@pytest.mark.parametrize(
    ("values", "findings"),
    [
        ("to: ${{ run.tags.to }}\nallow: {to: [blue-*]}", []),
        (
            "to: ${{ run.tags.to }}",
            [
                "1: `to` is made from a tag, and `allow.to` lists nothing"
                " List what a tag may choose: `allow: {to: […]}`."
            ],
        ),
        ("to_version: ${{ run.tags.version }}\nallow: {to_version: ['*']}", []),
        (
            'to: ${{ run."t\\u0061gs".to }}',
            [
                "1: `to` is made from a tag, and `allow.to` lists nothing"
                " List what a tag may choose: `allow: {to: […]}`."
            ],
        ),
        (
            "split: ${{ run.tags }}",
            [
                "1: `split` is made from a tag, and `allow.to` lists nothing"
                " List what a tag may choose: `allow: {to: […]}`."
            ],
        ),
        (
            "to: ${{ run.tags.to }}\nallow: {to: ['${{ run.tags.to }}']}",
            [
                "2: `allow` is made from the event, which could then allow itself anything"
                " List the allowed values, without expressions."
            ],
        ),
        ("split: {blue: 80%, green: 20%}", []),
        ("split: {blue: '${{ run.tags.p }}', green: 20%}\nallow: {to: [blue, green]}", []),
        (
            "split: {blue: '${{ run.tags.part }}', green: 20%}",
            [
                "1: `split` is made from a tag, and `allow.to` lists nothing"
                " List what a tag may choose: `allow: {to: […]}`."
            ],
        ),
        (
            "to: blue\nrollout: ${{ run.tags.rollout }}\nallow: {probe_request: [a.json]}",
            [
                "2: `rollout` is made from a tag, and `allow.rollout` lists nothing"
                " List what a tag may choose: `allow: {rollout: […]}`."
            ],
        ),
        ("split: {blue: 100%, green: 0%}", []),
        ("to: blue\nkind: batch", []),
        ("to: blue\nkind: kubernetes\nrollout: canary\nprobe: {tries: 1}\nnotify: [team]", []),
        (
            "notify: [team]",
            [
                "-1: `shift_traffic` needs `split` Or give `to` or `to_version`: one deployment,"
                " for all traffic."
            ],
        ),
        (
            "to: blue\nto_version: '7'",
            ["2: `to_version` can't stand beside `to` Keep one of them."],
        ),
        (
            "to: blue\nsplit: {blue: 100%}",
            ["2: `split` can't stand beside `to` or `to_version` Keep one of them."],
        ),
        (
            "to_version: ${{ run.id }}\nsplit: {blue: 100%}",
            ["2: `split` can't stand beside `to` or `to_version` Keep one of them."],
        ),
        ("to: [blue]", ["1: `to` should be text, found a list"]),
        (
            "to: blue/green",
            ["1: `to`: name a deployment: 3 to 32 letters, digits and single dashes"],
        ),
        ("to_version: 7", ['1: `to_version` should be text, found 7 Put quotes around it: "7".']),
        (
            "split: {../blue: 100%}",
            ["1: `split.../blue`: name a deployment: 3 to 32 letters, digits and single dashes"],
        ),
        ("split: blue", ["1: `split` should be a mapping, found 'blue'"]),
        (
            "split: {blue: 80%, green: 30%}",
            ["1: `split` should add up to 100%, found 110%"],
        ),
        (
            "split: {blue: 50%, Blue: 50%}",
            ["1: `split` names a deployment twice In AML, casing tells no names apart."],
        ),
        (
            "split: {blue: 80, green: 20%}",
            ["1: `split.blue` should be a percentage, found 80 Write `80%`."],
        ),
        (
            "split: {blue: 80.5%, green: 19.5%}",
            [
                "1: `split.blue` should be a whole percentage, found '80.5%' Write `80%` or `81%`.",
                "1: `split.green` should be a whole percentage, found '19.5%'"
                " Write `19%` or `20%`.",
            ],
        ),
        (
            "kind: batch\nsplit: {blue: 80%, green: 20%}",
            [
                "2: `split` can't share traffic on batch endpoints"
                " Name the default deployment with `to`."
            ],
        ),
        (
            "kind: batch\nto: blue\nrollout: canary",
            [
                "3: `rollout` does not fit: 'canary' has `probe`, which batch endpoints can't do"
                " Choose or write another strategy."
            ],
        ),
        ("to: blue\nrollout: canry", ["2: there is no strategy 'canry' Did you mean `canary`?"]),
        ("to: blue\nnotify: [tema]", ["2: there is no channel 'tema' Did you mean `team`?"]),
    ],
)
def test_what_is_wrong_with_the_values_is_found(values: str, findings: list[str]) -> None:
    assert findings_of(values) == findings


def deployment(name: str, version: str = "", state: State = State.SUCCEEDED) -> Deployment:
    """Return a deployment of a version of model churn, which its model's id tells."""
    model = f"{ID}/models/churn/versions/{version}" if version else ""
    return Deployment(name=name, state=state, model=model)


def goal_of(*deployments: Deployment, **values: object) -> Mapping[str, int]:
    """Return what the values come to where these deployments are."""
    params = ShiftTrafficParams.model_validate({"endpoint": "churn", **values})
    return find_goal(params, deployments)


BLUE, GREEN = deployment("Blue-1", "7"), deployment("green", "8")
FAILED = deployment("failed", "7", State.FAILED)
TAGGED = Deployment(
    name="tagged",
    state=State.SUCCEEDED,
    tags={"signalbox_model": "churn", "signalbox_version": "9"},
)


@pytest.mark.parametrize(
    ("values", "goal"),
    [
        ({"to": "blue-1"}, {"Blue-1": 100}),
        ({"to_version": "7"}, {"Blue-1": 100}),
        ({"to_version": "9"}, {"tagged": 100}),
        ({"split": {"blue-1": "80%", "GREEN": "20%"}}, {"Blue-1": 80, "green": 20}),
        ({"split": {"green": "100%", "blue-1": "0%", "long-gone": "0%"}}, {"green": 100}),
    ],
)
def test_a_goal_is_under_the_deployments_own_names(
    values: dict[str, object], goal: Mapping[str, int]
) -> None:
    assert goal_of(BLUE, GREEN, FAILED, TAGGED, **values) == goal


def test_of_a_version_that_can_not_serve_its_deployment_is_still_found() -> None:
    assert goal_of(FAILED, GREEN, to_version="7") == {"failed": 100}


@pytest.mark.parametrize(
    ("values", "told", "hint"),
    [
        (
            {"to": "red"},
            "the endpoint has no deployment red",
            "It has Blue-1 (7), blue-2 (7), green (8).",
        ),
        (
            {"split": {"red": "50%", "grey": "50%"}},
            "the endpoint has no deployment red and no grey",
            "It has Blue-1 (7), blue-2 (7), green (8).",
        ),
        (
            {"to_version": "9"},
            "the endpoint has no deployment of version '9'",
            "It has Blue-1 (7), blue-2 (7), green (8).",
        ),
        (
            {"to_version": "7"},
            "several deployments are of version 7: Blue-1 (7), blue-2 (7)",
            "Name one of them with `to`.",
        ),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    values: dict[str, object], told: str, hint: str
) -> None:
    with pytest.raises(ParamsInvalid) as caught:
        goal_of(BLUE, GREEN, deployment("blue-2", "7"), **values)
    assert (caught.value.message, caught.value.hint) == (told, hint)


def test_an_endpoint_without_deployments_has_nothing_to_give_traffic_to() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        goal_of(to="blue")
    assert caught.value.hint == "It has none."


def test_a_deployment_without_a_version_is_of_none() -> None:
    unknown = deployment("unknown")
    with pytest.raises(ParamsInvalid) as caught:
        goal_of(unknown, to_version="7")
    assert caught.value.hint == "It has unknown."


@pytest.mark.parametrize(
    ("traffic", "goal", "growing"),
    [
        ({"blue": 100}, {"blue": 80, "green": 20}, "green"),
        ({"blue": 20, "green": 80}, {"blue": 80, "green": 20}, "blue"),
        ({"BLUE": 90, "green": 10}, {"blue": 80, "green": 20}, "green"),
        ({"blue": 100}, {"red": 30, "green": 70}, "green"),
        ({"blue": 60, "green": 20, "red": 20}, {"green": 40, "red": 60}, "red"),
        ({"blue": 40, "green": 40, "red": 20}, {"green": 60, "red": 40}, "green"),
        ({}, {"blue": 80, "green": 20}, "blue"),
        ({"blue": 80, "green": 20}, {"green": 20, "blue": 80}, "blue"),
    ],
)
def test_the_one_whose_share_grows_most_is_the_one_that_is_watched(
    traffic: Mapping[str, int], goal: Mapping[str, int], growing: str
) -> None:
    assert find_growing(goal, traffic) == growing
