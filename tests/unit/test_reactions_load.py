"""Loading a reactions file: what it holds, and every kind of mistake in it."""

import re
from textwrap import dedent
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, model_validator

from shared.base import errors
from shared.events.model import EventType
from shared.reactions.load import load_reactions
from shared.reactions.model import Params, Reactions
from shared.reactions.templates import Template
from shared.schema.findings import Finding, ReactionsFaulty
from shared.schema.values import ChannelName

ID = (
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/Main"
)
SETTINGS = {"WORKSPACE": ID, "SECRET": "hunter2"}


class Gate(Params):
    """Sample nested values."""

    metric: Literal["latency", "errors"]
    most: float = Field(gt=0)


def refuse(name: str) -> str:
    """Refuse the value in an error that holds it."""
    raise ValueError(f"nobody is called {name}")


class Deploy(Params):
    """Sample values of an action."""

    endpoint: str
    count: int = Field(default=1, ge=1)
    hold: bool = False
    steps: tuple[int, ...] = (10, 100)
    gates: list[Gate] = Field(default_factory=list)
    owner: Annotated[str, AfterValidator(refuse)] = ""
    wait: int | Annotated[str, Field(pattern="^[0-9]+m$")] = 1

    @model_validator(mode="after")
    def _check_hold(self) -> "Deploy":
        if self.hold and self.count > 1:
            raise ValueError("`hold` goes with one instance only")
        return self


class Notify(Params):
    """Sample values of another action."""

    channel: ChannelName
    title: str
    also: tuple[ChannelName, ...] = ()


ACTIONS: dict[str, type[Params]] = {"deploy": Deploy, "notify": Notify}

GOOD = """\
version: 1
workspaces:
  - "%WORKSPACE%"
channels: [team]
reactions:
  - name: deploy-tagged
    description: Puts models with the tag on an endpoint.
    enabled: true
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - deploy:
          endpoint: ${{ model.name }}
          count: 2
          gates:
            - metric: latency
              most: 0.5
      - notify:
          channel: team
          title: "${{ model.name }} is on its way"
"""


def load(text: str, **options: Any) -> Reactions:
    """Load the text with the sample actions and settings."""
    return load_reactions(text, **{"actions": ACTIONS, "settings": SETTINGS, **options})


def findings_of(text: str) -> tuple[Finding, ...]:
    """Return what is wrong with the text."""
    with pytest.raises(ReactionsFaulty) as caught:
        load(text)
    return caught.value.findings


def broken(old: str, new: str) -> str:
    """Return the good file with one part replaced."""
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_a_good_file_is_what_it_says() -> None:
    reactions = load(GOOD)
    assert [workspace.id for workspace in reactions.workspaces] == [ID]
    assert reactions.channels == ("team",)
    assert reactions.warnings == ()
    (reaction,) = reactions.reactions
    assert (reaction.name, reaction.on, reaction.enabled, reaction.line) == (
        "deploy-tagged",
        (EventType.MODEL_REGISTERED,),
        True,
        6,
    )
    assert reaction.description.startswith("Puts models")
    assert reaction.when is not None
    assert reaction.when.text == "is_true(model.tags.deploy)"
    deploy, notify = reaction.do
    assert (deploy.id, deploy.action, deploy.line) == ("deploy", "deploy", 12)
    assert deploy.params["count"] == 2
    assert isinstance(deploy.params["endpoint"], Template)
    assert isinstance(notify.params["title"], Template)
    assert notify.params["channel"] == "team"


def test_a_reaction_is_found_by_its_name() -> None:
    reactions = load(GOOD)
    assert reactions.get("deploy-tagged") is reactions.reactions[0]
    assert reactions.get("other") is None


def test_steps_of_one_action_are_numbered() -> None:
    notify = "      - notify: {channel: team, title: again}\n"
    (reaction,) = load(GOOD + notify + notify.replace("again", "and again")).reactions
    assert [step.id for step in reaction.do] == ["deploy", "notify", "notify-2", "notify-3"]


def test_a_channel_may_come_from_the_event() -> None:
    text = broken("channel: team", "channel: ${{ model.tags.team }}")
    reactions = load(f"{text}defaults: {{notify: {{channel: team}}}}\n")
    assert reactions.warnings == ()


@pytest.mark.parametrize(
    ("more", "warned"),
    [
        ("", ["nobody is told if 'deploy-tagged' fails for good"]),
        ("defaults: {notify: {channel: team}}\n", []),
    ],
)
def test_a_reaction_of_which_nobody_hears_is_a_warning(more: str, warned: list[str]) -> None:
    # The channel of a step depends on the event, so a parked letter has none.
    text = broken("channel: team", "channel: ${{ model.tags.team }}") + more
    warnings = load(text).warnings
    assert [warning.message for warning in warnings] == warned
    assert [(warning.line, warning.column) for warning in warnings] == [(5, 1)] * len(warned)


def test_a_channel_that_no_reaction_names_is_a_warning() -> None:
    (warning,) = load(broken("[team]", "[team, ops]")).warnings
    assert (warning.line, warning.column, warning.severity) == (4, 18, "warning")
    assert warning.message == "no reaction uses channel 'ops'"


def test_a_channel_that_hears_of_letters_only_is_in_use() -> None:
    text = broken("[team]", "[team, duty]") + "defaults: {notify: {channel: duty}}\n"
    assert load(text).warnings == ()


def test_where_the_settings_are_not_an_unset_one_is_a_warning() -> None:
    reactions = load(GOOD, settings={}, strict_settings=False)
    (warning,) = reactions.warnings
    assert (warning.line, warning.severity) == (3, "warning")
    assert warning.message == "the app setting `WORKSPACE` is not set"
    assert reactions.workspaces == ()


def test_what_a_setting_holds_is_never_told() -> None:
    (finding,) = findings_of(broken("%WORKSPACE%", "%SECRET%"))
    assert finding.message == "`%SECRET%` holds no ARM id of a workspace"
    assert "hunter2" not in finding.describe("reactions.yaml")


def test_one_workspace_in_two_casings_is_one() -> None:
    text = broken('"%WORKSPACE%"', f'"%WORKSPACE%"\n  - {ID.upper()}')
    assert len(load(text).workspaces) == 1


def test_yaml_that_once_meant_booleans_and_dates_is_text() -> None:
    text = broken("count: 2", "hold: false").replace("is on its way", "yes")
    text = text.replace('title: "${{ model.name }} yes"', "title: 2026-01-02")
    text = text.replace("description: Puts models with the tag on an endpoint.", "description: no")
    (reaction,) = load(text).reactions
    assert reaction.description == "no"
    assert reaction.do[1].params["title"] == "2026-01-02"
    assert reaction.do[0].params["hold"] is False


def test_an_anchor_stands_for_what_it_marks() -> None:
    text = broken("channel: team", "channel: &c team") + "          also: [*c]\n"
    assert load(text).reactions[0].do[1].params["also"] == ["team"]


#: A text of the good file, its replacement, and the line, column, message and hint of the fault.
MISTAKES = [
    # YAML
    ("version: 1", "version: 1\n\tx: 1", 2, 1, r"YAML: found character '\t'", "not with tabs"),
    ("do:\n", "do: a: b\n", 11, 10, "YAML: mapping values are not allowed here", "quotes"),
    ("enabled: true", "enabled true", 8, 5, "YAML: could not find expected ':'", "A key ends with"),
    ("[team]", "[team", 5, 10, "YAML: expected ',' or ']'", ""),
    ("count: 2", "gates: [${{ a }}]", 14, 20, "YAML: expected ',' or ']'", '"${{ … }}"'),
    ("count: 2", "gates: {a: b ${{ a }}: c}", 14, 25, "YAML: expected ',' or '}'", "quotes"),
    ("when: is", "when: `is", 10, 11, "YAML: found character '`'", "begins with such"),
    ("when: is", "when: !is", 10, 11, "the YAML tag `!is_true(model.tags.deploy)`", "quotes"),
    ("count: 2", "count: !!binary aGk=", 14, 18, "the YAML tag `!!binary` is not allowed", ""),
    ("count: 2", "count: *c", 14, 18, "YAML: found undefined alias", "begins with `*`"),
    ("count: 2", "count: 2\n          count: 3", 15, 11, "`count` is here twice", "Keep one"),
    ("count: 2", "1: 2", 14, 11, "a key has to be text, found 1", 'quotes around it: "1"'),
    ("count: 2", "${{ a }}: 2", 14, 11, "a key can't hold an expression", "values"),
    ("count: 2", "? [a]\n          : 2", 14, 13, "a key has to be text, found a list", "quotes"),
    ("count: 2", '"\\ud800": 2', 14, 11, "can't be read as a value", ""),
    # Top level
    ("version: 1", "version: 1\nrollout: {}", 2, 1, "the file has no `rollout`", "`rollouts`"),
    ("version: 1", "version: 1\norphans: []", 2, 1, "should be a mapping, found a list", "after"),
    ("version: 1", "versoin: 1", 1, 1, "the file has no `versoin`", "`version`"),
    ("version: 1", "version: 2", 1, 10, "`version:` should be 1, found 2", "no other"),
    ("version: 1", "version: true", 1, 10, "`version:` should be 1, found true", ""),
    ("version: 1\n", "", 1, 1, "`version:` is missing", "`version: 1`"),
    ("[team]", "{team: 1}", 4, 1, "`channels:` should be a list, found a mapping", "- "),
    ("[team]", "[team, team]", 4, 18, "channel 'team' is here twice", "Remove"),
    ("[team]", "[team, Ops]", 4, 18, "a channel can't be called 'Ops'", "Lower-case"),
    ('"%WORKSPACE%"', '"%WORK%"', 3, 5, "the app setting `WORK` is not set", "ARM id"),
    ('"%WORKSPACE%"', "churn", 3, 5, "'churn' is no ARM id of a workspace", "/subscriptions/"),
    ('"%WORKSPACE%"', '""', 3, 5, "'' is no ARM id of a workspace", "/subscriptions/"),
    ('"%WORKSPACE%"', "3", 3, 5, "a workspace should be text, found 3", "%NAME%"),
    # A reaction
    ("name: deploy-tagged", "name: Deploy", 6, 11, "a reaction can't be called 'Deploy'", "63"),
    ("name: deploy-tagged", "title: x", 6, 5, "`name:` is missing", "name"),
    ("enabled: true", "enable: true", 8, 5, "a reaction has no `enable`", "`enabled`"),
    ("enabled: true", "enabled: yes", 8, 14, "`enabled:` should be true or false, found 'yes'", ""),
    ("on: Model", "on: Modle", 9, 9, "no event type 'ModleRegistered'", "`ModelRegistered`"),
    ("on: Mo", "on: Microsoft.Mo", 9, 9, "no event type 'Microsoft.ModelReg", "`ModelRegistered`"),
    ("on: ModelRegistered", "on: {a: b}", 9, 9, "should be an event type, or a list", "Valid here"),
    ("on: ModelRegistered", "on: []", 9, 9, "found an empty list", "Valid here"),
    ("on: ModelRegistered", "on: [ModelRegistered, 3]", 9, 27, "a list of them, found 3", "Valid"),
    (
        "on: ModelRegistered",
        "on: [ModelRegistered, ModelDeploy]",
        *(9, 27, "no event type 'ModelDeploy'", "Did you mean `ModelDeployed`?"),
    ),
    (
        "on: ModelRegistered",
        "on: [ModelRegistered, ModelRegistered]",
        *(9, 27, "ModelRegistered is in `on:` twice", "Remove one."),
    ),
    ("    on: ModelRegistered\n", "", 6, 5, "`on:` is missing", "`RunCompleted`"),
    ("    do:", "    breaches: true\n    do:", 11, 5, "not for ModelRegistered ev", "RunCompleted"),
    ("enabled: true", "breaches: 1", 8, 15, "`breaches:` should be true or false, found 1", ""),
    ("on: ModelR", "on: DatasetDriftDetected #", 9, 9, "no event type", "`DriftDetected`"),
    ("when: is", "when: si", 10, 11, "no function `si_true()`", "`is_true`"),
    ("when: is_true(model.tags.deploy)", "when: true", 10, 11, "an expression, found true", "out"),
    ("when: is_true(model", "when: is_true(modle", 10, 19, "no `modle`", "`model`"),
    ("is_true(model.tags.deploy)", "model.tags.deploy", 10, 11, "gives text", "is_true("),
    ("is_true(model.tags.deploy)", "model.name = 'a'", 10, 22, "unexpected `=`", "`==`"),
    ("is_true(model.tags.deploy)", "${{ model.name }}", 10, 11, "without `${{ }}`", "bare"),
    ("is_true(model.tags.deploy)", ">-\n     id == 'a'\n     && modl", 12, 9, "no `modl`", ""),
    ("is_true(model.tags.deploy)", '"id == modl.x"', 10, 18, "no `modl`", "`model`"),
    # Actions and their values
    ("- deploy:", "- deplyo:", 12, 9, "there is no action `deplyo`", "`deploy`"),
    ("- notify:", "- notify", 19, 18, "YAML: mapping values are not", "quotes"),
    ("          count: 2", "        count: 2", 15, 16, "YAML: mapping values", "the line above"),
    ("count: 2", "cuont: 2", 14, 11, "`deploy` has no `cuont`", "`count`"),
    ("count: 2", "cuont: ${{ id }}", 14, 11, "`deploy` has no `cuont`", "`count`"),
    ("endpoint: ${{ model.name }}\n          ", "", 12, 9, "`deploy` needs `endpoint`", ""),
    ("count: 2", "count: many", 14, 18, "`count` should be a whole number, found 'many'", ""),
    ("count: 2", "count: 0", 14, 18, "`count` should be greater than or equal to 1, found 0", ""),
    ("count: 2", "hold: 7", 14, 17, "`hold` should be true or false, found 7", ""),
    ("count: 2", "steps: [1, x]", 14, 22, "`steps[1]` should be a whole number, found 'x'", ""),
    ("count: 2", "steps: 1, 2", 14, 18, "`steps` should be a list, found '1, 2'", "[1, 2]"),
    ("count: 2", "steps: 'a: b'", 14, 18, "`steps` should be a list, found 'a: b'", ""),
    ("count: 2", "steps: 1", 14, 18, "`steps` should be a list, found 1", ""),
    ("count: 2", "wait: []", 14, 17, "`wait` should be a whole number or text, found a l", ""),
    ("metric: latency", "metric: latencies", 16, 23, "`gates[0].metric` can't be", "`latency`"),
    ("most: 0.5", "least: 0.5", 17, 15, "`deploy` has no `gates[0].least`", "`most`"),
    ("most: 0.5", "most: 0.5\n            - a", 18, 15, "`gates[1]` should be a mappi", "`metric`"),
    ("channel: team", "channel: taem", 19, 20, "there is no channel 'taem'", "`team`"),
    ('"${{ model.name }} is', '"${{ model.nam }} is', 20, 29, "`model` has no `nam`", "`name`"),
    ('"${{ model.name }} is', '"${{ model.name is', 20, 19, "`${{` is not closed", "`}}`"),
    ('"${{ model.name }} is', "|-\n           a\n           ${{ modl }} \"", 22, 16, "`modl`", ""),
    ('"${{ model.name }} is on its way"', "3", 20, 18, "`title` should be text", '"3"'),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "column", "message", "hint"), MISTAKES)
def test_a_mistake_is_found_where_it_is_with_what_would_be_right(
    old: str, new: str, line: int, column: int, message: str, hint: str
) -> None:
    findings = [item for item in findings_of(broken(old, new)) if item.severity == "error"]
    places = {(item.line, item.column) for item in findings if message in item.message}
    assert (line, column) in places, [item.describe("reactions.yaml") for item in findings]
    assert any(hint in item.hint for item in findings if message in item.message)


STRUCTURES = [
    ("", "the file is empty"),
    ("# nothing", "the file is empty"),
    ("- a", "the file should be a mapping, found a list"),
    ("hello", "the file should be a mapping, found text"),
    ("version: 1", "`workspaces:` is missing"),
    ("version: 1\nworkspaces: []\nreactions: {a: 1}", "`reactions:` should be a list, found a map"),
    ("version: 1\nworkspaces: []\nreactions:", "`reactions:` should be a list, found nothing"),
    ("version: 1\nworkspaces: []\nreactions: [a]", "a reaction should be a mapping, found 'a'"),
    ("a: 1\n---\nb: 1", "YAML: found another document"),
    ("a: \x07", "the character '\\x07' is not allowed in YAML"),
    ("a: &a [*a]", "the file is nested more than 40 deep"),
    ("[" * 3_000, "the file is nested too deeply"),
    ("#" * 300_000, "the file has 300000 characters, at most 262144 are allowed"),
    ('a: "\\U99999999"', "the file is not YAML"),
]


@pytest.mark.parametrize(("text", "message"), STRUCTURES)
def test_a_file_of_another_structure_says_so(text: str, message: str) -> None:
    assert any(message in item.message for item in findings_of(text))


def do(lines: str) -> str:
    """Return a file whose only reaction does this."""
    head = "version: 1\nworkspaces: []\nreactions:\n  - name: a\n    on: RunCompleted\n"
    return head + f"    {lines}\n"


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        ("", "`do:` is missing", "- notify:"),
        ("do:", "`do:` should be a list of actions, found nothing", "- notify:"),
        ("do: []", "`do:` should be a list of actions, found an empty list", "- notify:"),
        ("do: {notify: {}}", "`do:` should be a list of actions, found a mapping", "- notify:"),
        ("do: [notify]", "an action should be a mapping, found 'notify'", "`:`"),
        ("do: [3]", "an action should be a mapping, found a number", "- notify:"),
        ("do: [{}]", "each item of `do:` is one action, found none", "- "),
        ("do: [{deploy: {}, notify: {}}]", "one action, found `deploy`, `notify`", "- "),
        ("do: [deploy: 3]", "`deploy` should hold a mapping, found 3", "key: value"),
        ("do: [notify:]", "`notify` needs `channel`", ""),
        ("do: [notify: {channel: a, title: b}]", "there is no channel 'a'", "`channels:`"),
    ],
)
def test_what_is_no_list_of_actions_says_so(lines: str, message: str, hint: str) -> None:
    assert any(
        message in item.message and hint in item.hint and item.reaction == "a"
        for item in findings_of(do(lines))
    )


def test_a_name_is_taken_once() -> None:
    again = GOOD[GOOD.index("  - name") :]
    (finding,) = findings_of(GOOD + again)
    assert finding.message == "the name is taken by the reaction on line 6"
    assert (finding.line, finding.reaction) == (21, "deploy-tagged")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = broken("%WORKSPACE%", "%WORK%").replace("ModelRegistered", "ModelRegisterd")
    text = text.replace("channel: team", "channel: taem").replace("count: 2", "cuont: 2")
    text = text.replace("is_true(", "is_true(((")
    with pytest.raises(errors.ReactionsInvalid) as caught:
        load(text, source="rules/reactions.yaml")
    assert str(caught.value) == dedent(
        """\
        rules/reactions.yaml has 5 errors
        rules/reactions.yaml:3:5: the app setting `WORK` is not set. Set it to the ARM id of the \
workspace.
        rules/reactions.yaml:9:9: reaction 'deploy-tagged': there is no event type \
'ModelRegisterd'. Did you mean `ModelRegistered`?
        rules/reactions.yaml:10:39: reaction 'deploy-tagged': the expression ends too early.
        rules/reactions.yaml:14:11: reaction 'deploy-tagged': `deploy` has no `cuont`. Did you \
mean `count`?
        rules/reactions.yaml:19:20: reaction 'deploy-tagged': there is no channel 'taem'. Did you \
mean `team`?"""
    )


@pytest.mark.parametrize("on", ["RunCompleted", "RunStatusChanged"])
@pytest.mark.parametrize(("line", "asked"), [("", False), ("    breaches: true\n", True)])
def test_a_reaction_to_runs_may_ask_for_breaches(on: str, line: str, asked: bool) -> None:
    text = GOOD.replace("    on: ModelRegistered\n", f"    on: {on}\n{line}")
    text = text.replace("model.tags.deploy", "run.tags.deploy").replace("model.name", "run.id")
    (reaction,) = load(text).reactions
    assert reaction.breaches is asked


def test_a_disabled_reaction_is_checked_like_any_other() -> None:
    text = broken("enabled: true", "enabled: false").replace("model.name", "model.nam")
    assert {item.line for item in findings_of(text)} == {13, 20}


@pytest.mark.parametrize(
    "values",
    [
        "{endpoint: a, count: '${{ to_number(model.version) }}'}",
        "{endpoint: a, steps: ['${{ `10` }}', 100]}",
        "{endpoint: a, steps: '${{ model.tags.steps }}'}",
        "{endpoint: a, gates: [{metric: '${{ model.tags.metric }}', most: 1}]}",
        "{endpoint: a, gates: ['${{ model.tags }}']}",
        "{endpoint: a, wait: '${{ model.tags.wait }}'}",
        "{endpoint: a, hold: true, count: '${{ `1` }}'}",
        "{endpoint: '${{ id }}', hold: true, count: 2}",
    ],
)
def test_what_an_expression_decides_is_not_judged_while_loading(values: str) -> None:
    text = do(f"do: [deploy: {values}]").replace("RunCompleted", "ModelRegistered")
    assert load(text).reactions[0].do[0].action == "deploy"


def test_what_stands_beside_an_expression_is_judged() -> None:
    (finding,) = findings_of(
        do("do: [deploy: {endpoint: a, gates: [{metric: '${{ id }}', most: -1}]}]")
    )
    assert finding.message == "`gates[0].most` should be greater than 0, found -1"


def test_what_a_model_says_of_its_values_together_is_told_at_the_action() -> None:
    (finding,) = findings_of(do("do: [deploy: {endpoint: a, hold: true, count: 2}]"))
    assert finding.message == "`deploy`: `hold` goes with one instance only"
    assert (finding.line, finding.column) == (6, 18)


def test_a_finding_never_holds_what_could_steer_a_terminal() -> None:
    (finding,) = findings_of(do('do: [deploy: {endpoint: a, owner: "\\e[1mx"}]'))
    assert finding.message == "`owner`: nobody is called \N{REPLACEMENT CHARACTER}[1mx"


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for index in range(1, 12):
        aliases = ", ".join([f"*a{index - 1}"] * 10)
        lines.append(f"a{index}: &a{index} [{aliases}]")
    (finding,) = findings_of("\n".join(lines))
    assert "more than 50000 values" in finding.message


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_EXPRESSIONS = st.sampled_from(
    ["${{ model.name }}", "${{ a", "${{ f() }} x", "model.tags.a", "%X%"]
)
_WORDS = (
    "version workspaces channels reactions name description enabled on when do deploy notify "
    "endpoint count gates metric channel title rollouts orphans steps"
)
_KEYS = st.sampled_from(_WORDS.split())
_STRUCTURES = st.recursive(
    _SCALARS | _EXPRESSIONS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_KEYS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)
_REACTION = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("a") | _STRUCTURES,
        "on": st.sampled_from([*map(str, EventType)]) | _STRUCTURES,
        "when": _EXPRESSIONS | st.just("is_true(id)") | _STRUCTURES,
        "do": st.lists(st.dictionaries(_KEYS, st.dictionaries(_KEYS, _STRUCTURES))) | _STRUCTURES,
    },
)
_FILES = st.fixed_dictionaries(
    {"version": st.just(1) | _SCALARS, "reactions": st.lists(_REACTION) | _STRUCTURES},
    optional={
        "workspaces": st.lists(st.text()) | _STRUCTURES,
        "channels": _STRUCTURES,
        "rollouts": _STRUCTURES,
        "orphans": _STRUCTURES,
    },
)


def load_or_reject(text: str) -> None:
    """Load the text; findings have to be within it."""
    findings: tuple[Finding, ...] = ()
    try:
        load(text)
    except ReactionsFaulty as error:
        findings = error.findings
        assert any(item.severity == "error" for item in findings)
        str(error).encode()
    lines = len(re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text))
    assert all(1 <= item.line <= lines and item.message for item in findings)


@given(data=_FILES | _STRUCTURES)
def test_any_structure_loads_or_is_rejected_with_findings(data: Any) -> None:
    load_or_reject(yaml.safe_dump(data, allow_unicode=True))


@given(text=st.text(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,? \n\t~<.1", max_size=40))
def test_any_text_loads_or_is_rejected_with_findings(text: str) -> None:
    load_or_reject(text)


@given(at=st.integers(0, len(GOOD) - 1), piece=st.text(max_size=3), length=st.integers(0, 20))
def test_a_good_file_with_any_damage_loads_or_is_rejected_with_findings(
    at: int, piece: str, length: int
) -> None:
    load_or_reject(GOOD[:at] + piece + GOOD[at + length :])


def _on_two(on: str, when: str, title: str = "It happened") -> str:
    """Return a file of one reaction that tells of events."""
    return f"""\
version: 1
workspaces: [{ID}]
channels: [team]
reactions:
  - name: tell
    on: {on}
    when: {when}
    do:
      - notify: {{channel: team, title: "{title}"}}
"""


def test_a_reaction_takes_events_of_several_types() -> None:
    text = _on_two(
        "[RunStatusChanged, AlertFired]",
        "run.status == 'Failed' || alert.condition == 'Fired'",
        "${{ type }} of ${{ run.id || alert.rule }}",
    )
    (reaction,) = load(text).reactions
    assert reaction.on == (EventType.RUN_STATUS_CHANGED, EventType.ALERT_FIRED)
    assert load(text).warnings == ()


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("run.statu == 'Failed'", "`run` has no `statu`"),
        ("model.name == 'x'", "a RunStatusChanged or AlertFired event has no `model`"),
        ("run.status == 'failed'", "`run.status` is never 'failed'"),
        ("type == 'RunCompleted'", "`type` is never 'RunCompleted'"),
        ("run.status", "gives text"),
    ],
)
def test_a_field_that_no_event_of_the_list_has_is_a_mistake(when: str, message: str) -> None:
    (finding,) = findings_of(_on_two("[RunStatusChanged, AlertFired]", when))
    assert message in finding.message


@pytest.mark.parametrize(
    ("when", "warns"),
    [
        ("run.is_root", True),
        ("run.is_root && run.status == 'Failed'", False),
        ("type == 'RunCompleted' && run.is_root", False),
    ],
)
def test_a_reaction_that_hears_twice_of_a_run_is_warned_of(when: str, warns: bool) -> None:
    warnings = load(_on_two("[RunCompleted, RunStatusChanged]", when)).warnings
    twice = "a run that completes has both events, so the reaction runs twice for it"
    assert [finding.message for finding in warnings] == ([twice] if warns else [])
    assert [(finding.line, finding.column) for finding in warnings] == ([(6, 9)] if warns else [])
