"""The values of `rollout`: what the loader takes, and what it says of mistakes."""

from textwrap import indent

import pytest

from shared.actions import ACTIONS
from shared.reactions.load import load_reactions
from shared.schema.findings import ReactionsFaulty

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
NOT_NAMED = "say which rollouts are meant: give `endpoint`, `model` or both"
FROM_A_TAG = "is made from a tag, and `allow.{0}` lists nothing"


def findings_of(values: str, on: str) -> list[str]:
    """Load a reaction with these values of `rollout` and return what is wrong with it."""
    text = (
        f"version: 1\nworkspaces: ['{ID}']\nreactions:\n"
        f"  - name: stop\n    on: {on}\n    do:\n      - rollout:\n" + indent(values, " " * 10)
    )
    try:
        load_reactions(text, actions=ACTIONS, settings={})
    except ReactionsFaulty as error:
        return [item.message for item in error.findings]
    return []


@pytest.mark.parametrize(
    ("values", "on", "messages"),
    [
        ("order: abort\nendpoint: ${{ alert.endpoint }}", "AlertFired", []),
        ("order: pause\nmodel: churn", "RunCompleted", []),
        ("order: promote\nto_end: true\nmodel: ${{ model.name }}", "ModelRegistered", []),
        ("order: abort", "AlertFired", [NOT_NAMED]),
        ("order: abort\nendpoint: ''", "AlertFired", [NOT_NAMED]),
        (
            "order: abort\nto_end: true\nmodel: churn",
            "AlertFired",
            ["`to_end` is of `promote` only, and the order is `abort`"],
        ),
        (
            "order: abort\nendpoint: ${{ run.tags.endpoint }}",
            "RunCompleted",
            ["`endpoint` " + FROM_A_TAG.format("endpoint")],
        ),
        (
            "order: ${{ run.tags.order }}\nmodel: churn",
            "RunCompleted",
            ["`order` " + FROM_A_TAG.format("order")],
        ),
        ("order: ${{ run.tags.x }}\nmodel: m\nallow: {order: [pause]}", "RunCompleted", []),
    ],
)
def test_which_rollouts_are_meant_has_to_be_said(values: str, on: str, messages: list[str]) -> None:
    found = findings_of(values, on)
    assert len(found) == len(messages), found
    assert all(message in line for message, line in zip(messages, found, strict=True)), found


def test_the_answers_of_a_person_are_not_for_reactions() -> None:
    (message,) = findings_of("order: approve\nmodel: churn", "AlertFired")
    assert "approve" in message
