"""`vars:`, `defaults:` and lists of channels: as if each value were written in the reaction."""

from typing import Any

import pytest

from shared.actions import ACTIONS
from shared.reactions.load import load_reactions
from shared.reactions.model import Reactions
from shared.reactions.templates import Template
from shared.schema.findings import ReactionsFaulty

ID = (
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/main"
)
GOOD = f"""\
version: 1
workspaces: [{ID}]
channels: [team, mail]
vars:
  size: Standard_DS3_v2
  sizes: [Standard_DS2_v2, Standard_DS3_v2]
  names: [churn, "it's"]
  share: 0.5
defaults:
  deploy:
    instance_type: ${{{{ vars.size }}}}
    keep_old: 2h
    allow: {{instance_type: "${{{{ vars.sizes }}}}"}}
  notify: {{channel: [team, mail]}}
reactions:
  - name: deploy-known
    on: ModelRegistered
    when: contains(vars.names, model.name) && to_number(model.tags.auc) > vars.share
    do:
      - deploy: {{endpoint: "${{{{ model.name }}}}-${{{{ vars.size }}}}"}}
      - notify: {{title: "${{{{ model.name }}}} at ${{{{ vars.share }}}}"}}
      - notify: {{title: Done, channel: mail}}
"""


def load(text: str = GOOD) -> Reactions:
    return load_reactions(text, actions=ACTIONS, settings={})


def findings(old: str, new: str) -> list[tuple[int, int | None, str, str]]:
    """Return the errors of the good file with one part replaced."""
    assert GOOD.count(old) == 1
    with pytest.raises(ReactionsFaulty) as caught:
        load(GOOD.replace(old, new))
    return [(it.line, it.column, it.message, it.hint) for it in caught.value.findings]


def steps(text: str = GOOD) -> dict[str, dict[str, Any]]:
    (reaction,) = load(text).reactions
    return {
        step.id: {
            name: value.text if isinstance(value, Template) else value
            for name, value in step.params.items()
        }
        for step in reaction.do
    }


def test_variables_and_defaults_stand_where_the_steps_leave_values_out() -> None:
    assert load().warnings == ()
    assert steps() == {
        "deploy": {
            "endpoint": "${{ model.name }}-Standard_DS3_v2",
            "instance_type": "Standard_DS3_v2",
            "keep_old": "2h",
            "allow": {"instance_type": ["Standard_DS2_v2", "Standard_DS3_v2"]},
        },
        "notify@team": {"channel": "team", "title": "${{ model.name }} at 0.5"},
        "notify@mail": {"channel": "mail", "title": "${{ model.name }} at 0.5"},
        "notify-2": {"channel": "mail", "title": "Done"},
    }


@pytest.mark.parametrize(
    ("name", "auc", "holds"),
    [("churn", "0.7", True), ("it's", "0.7", True), ("churn", "0.5", False), ("x", "1", False)],
)
def test_a_condition_reads_variables(name: str, auc: str, holds: bool) -> None:
    (reaction,) = load().reactions
    assert reaction.when is not None
    assert reaction.when.holds({"model": {"name": name, "tags": {"auc": auc}}}) is holds


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("${{ vars.word }}", "a 'b' `c` \\d"),
        ("x ${{ vars.word }}", "x a 'b' `c` \\d"),
        ("${{ model.name == vars.word }}", False),
        ("${{ [vars.word, vars.yes, vars.many] }}", ["a 'b' `c` \\d", True, [1, 2.5]]),
        ("${{ vars.many }}", [1, 2.5]),
        ("${{ vars.many[0] }}", 1),
        ("is ${{ vars.yes }}, ${{vars.many}}", "is true, [1, 2.5]"),
        ("${{ model.tags.vars || 'vars.word' }}", "vars.word"),
        ("${{ model.tags.\"vars.yes\" || 'none' }}", "none"),
    ],
)
def test_a_value_reads_variables(expression: str, value: object) -> None:
    written = expression.replace("'", "''")
    text = f"""\
version: 1
workspaces: [{ID}]
topics: [news]
vars:
  word: 'a ''b'' `c` \\d'
  yes: true
  many: [1, 2.5]
reactions:
  - name: a
    on: ModelRegistered
    do:
      - publish: {{topic: news, type: Contoso.News, data: {{value: '{written}'}}}}
"""
    (reaction,) = load(text).reactions
    found = reaction.do[0].params["data"]["value"]
    data = {"model": {"name": "churn", "tags": {}}}
    assert (found.render(data) if isinstance(found, Template) else found) == value


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "vars.names, model",
            "vars.nams, model",
            (18, 11, "there is no variable `nams`", "Did you mean `names`?"),
        ),
        (
            "  size: Standard_DS3_v2\n",
            "  Size: Standard_DS3_v2\n",
            (
                5,
                3,
                "a variable can't be called 'Size'",
                "Lower-case letters, digits and _, a letter first.",
            ),
        ),
        (
            "share: 0.5",
            "share: {a: 1}",
            (
                8,
                10,
                "`share` should be text, a number, true or false, or a list of these,"
                " found a mapping",
                "",
            ),
        ),
        (
            "share: 0.5",
            "share: ${{ model.name }}",
            (
                8,
                10,
                "`share` holds an expression, and a variable is the same for every event",
                "Write the expression in the reaction.",
            ),
        ),
        (
            "  size: Standard_DS3_v2\n",
            "  size: not a size\n",
            (11, 20, "`instance_type`: name a VM size as Azure writes it: Standard_DS3_v2", ""),
        ),
        (
            "notify: {channel: [team, mail]}",
            "notfy: {channel: [team, mail]}",
            (14, 3, "there is no action `notfy`", "Did you mean `notify`?"),
        ),
        (
            "notify: {channel: [team, mail]}",
            "notify: [team, mail]",
            (
                14,
                11,
                "`notify` should hold a mapping, found a list",
                "Write its values below it, indented: `key: value`.",
            ),
        ),
        (
            "[team, mail]}",
            "[team, mial]}",
            (14, 28, "there is no channel 'mial'", "Did you mean `mail`?"),
        ),
        ("[team, mail]}", "[team, team]}", (14, 28, "`channel` has 'team' twice", "Remove one.")),
        (
            "[team, mail]}",
            "[]}",
            (14, 21, "`channel` should not be an empty list", "Name at least one."),
        ),
        (
            "channel: mail",
            "channel: [mail, team, 3]",
            (22, 53, "`channel` should be text, found 3", 'Put quotes around it: "3".'),
        ),
    ],
)
def test_a_mistake_is_found_where_it_is_written(
    old: str, new: str, expected: tuple[int, int, str, str]
) -> None:
    assert expected in findings(old, new)


def test_a_mistake_in_a_default_is_told_once_for_all_steps_that_have_it() -> None:
    more = GOOD + "  - name: again\n    on: AlertFired\n    do: [notify: {title: Alert}]\n"
    with pytest.raises(ReactionsFaulty) as caught:
        load(more.replace("channel: [team, mail]", "channel: [team, mial]"))
    assert [(it.line, it.message) for it in caught.value.findings] == [
        (14, "there is no channel 'mial'")
    ]


def test_a_channel_of_the_defaults_that_no_step_takes_has_to_be_there() -> None:
    text = (
        f"version: 1\nworkspaces: ['{ID}']\nchannels: [team, duty]\n"
        "defaults: {notify: {channel: DUTY}}\nreactions:\n  - name: tell\n"
        "    on: ModelRegistered\n    do: [{notify: {channel: team, title: x}}]\n"
    )
    assert load(text.replace("DUTY", "duty")).warnings == ()
    with pytest.raises(ReactionsFaulty) as caught:
        load(text.replace("DUTY", "dutty"))
    (finding,) = caught.value.findings
    assert (finding.line, finding.message) == (4, "there is no channel 'dutty'")
    assert finding.hint == "Did you mean `duty`?"


def test_channels_for_letters_are_no_defaults_of_an_action_that_nobody_does() -> None:
    text = (
        f"version: 1\nworkspaces: ['{ID}']\nchannels: [duty]\n"
        "defaults: {notify: {channel: duty}}\nreactions:\n  - name: stop\n"
        "    on: AlertFired\n    do: [{rollout: {order: abort, endpoint: churn}}]\n"
    )
    assert load(text).warnings == ()


def test_a_variable_that_nobody_uses_is_warned_of() -> None:
    text = GOOD.replace("> vars.share", "> `0.5`").replace(" at ${{ vars.share }}", "")
    (warning,) = load(text).warnings
    assert (warning.line, warning.column) == (8, 3)
    assert warning.message == "no reaction uses variable `share`"


def test_defaults_of_an_action_that_nobody_does_are_warned_of() -> None:
    text = GOOD.replace("- deploy: {endpoint", "- rollout: {order: abort, why: x, endpoint")
    (warning,) = load(text).warnings
    assert (warning.line, warning.column) == (10, 3)
    assert warning.message == "no reaction has the action `deploy`"


def test_a_letter_is_for_the_channels_of_its_steps_and_of_the_defaults() -> None:
    reactions = load(GOOD.replace("{channel: [team, mail]}", "{channel: team}"))
    assert reactions.channels_of("deploy-known") == ("team", "mail")
    assert reactions.channels_of("gone") == ("team",)
    assert reactions.channels_of("") == ("team",)


def test_a_mapping_of_a_step_is_completed_from_that_of_the_defaults() -> None:
    text = (
        f"version: 1\nworkspaces: ['{ID}']\nchannels: [team]\n"
        "defaults: {notify: {channel: team, fold: {key: k, within: WITHIN}}}\n"
        "reactions:\n  - name: tell\n    on: ModelRegistered\n"
        "    do: [{notify: {title: x, fold: {key: own}}}]\n"
    )
    loaded = load_reactions(text.replace("WITHIN", "2h"), actions=ACTIONS, settings={})
    assert loaded.reactions[0].do[0].params["fold"] == {"key": "own", "within": "2h"}
    with pytest.raises(ReactionsFaulty) as raised:
        load_reactions(text.replace("WITHIN", "soon"), actions=ACTIONS, settings={})
    (finding,) = raised.value.findings
    assert (finding.line, finding.column) == (4, 59)
