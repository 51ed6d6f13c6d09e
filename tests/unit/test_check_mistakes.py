"""Mistakes that people make in a reactions file, and what they are told of each."""

import json
from contextlib import suppress
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from commands.check import _EXCERPT, Checked, _excerpt, check_text
from shared.actions import ACTIONS
from shared.schema.findings import Finding
from shared.schema.values import LoadContext, Values
from tests.timing import cpu_seconds

ID = (
    "/subscriptions/0f-1/resourceGroups/rg-1/providers/Microsoft.MachineLearningServices/workspaces"
)
GOOD = f"""\
version: 1
workspaces: [{ID}/main]
channels: [team]
reactions:
  - name: deploy-tagged
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - deploy:
          endpoint: ${{{{ model.name }}}}
          instance_type: Standard_DS3_v2
          timeout: 1h
          notify: [team]
  - name: retrain
    on: DriftDetected
    do:
      - retrain:
          target: {{component: {{name: churn}}}}
"""


def check(old: str, new: str) -> Checked:
    """Check the good file with one thing changed."""
    assert old in GOOD
    return check_text(GOOD.replace(old, new, 1), ACTIONS, {})


def told(old: str, new: str) -> tuple[str, str]:
    """Return the one error that there is, and its hint."""
    (finding,) = (it for it in check(old, new).findings if it.severity == "error")
    return finding.message, finding.hint


def test_the_good_file_is_good() -> None:
    assert check("version: 1", "version: 1").count("error") == 0


@pytest.mark.parametrize(
    "value",
    [
        '"{{ model.name }}"',
        "$[[ model.name ]]",
        '"${ model.name }"',
        '"%MODEL_NAME%"',
        '"@{triggerBody()}"',
        "$(model.name)",
        '"churn-{{model.version}}"',
        '"${{ model.name }}-{{ model.version }}"',
        "<%= model.name %>",
        '"$[model.name]"',
        "$[variables['name']]",
    ],
)
def test_the_template_of_another_tool_is_no_text(value: str) -> None:
    message, hint = told("${{ model.name }}", value)
    assert "is another language's template" in message
    assert "Write an expression: `${{ " in hint


HOOK = "target: {webhook: {name: hook, body: {text: 'TEXT'}}}"
COMPONENT = "target: {component: {name: churn}}"


@pytest.mark.parametrize("text", ["{{ ticket.id }}", "%NAME%", "${ x }", "{{ drift.signal }}"])
def test_the_body_of_a_webhook_may_hold_templates_that_its_receiver_reads(text: str) -> None:
    written = HOOK.replace("TEXT", text)
    assert check(COMPONENT, written).count("error") == 0
    message, _ = told(COMPONENT, written.replace("body: {text:", "headers: {X-Text:"))
    assert "is another language's template" in message


def test_a_field_without_its_expression_is_a_mistake_in_a_body_too() -> None:
    message, _ = told(COMPONENT, HOOK.replace("TEXT", "drift.signal"))
    assert message == "`drift.signal` would be taken as text"


@pytest.mark.parametrize(
    "value",
    [
        *("model.name", "'{model.name}'", "<model.name>", "'[[ model.name ]]'", "'#{model.name}#'"),
        *("$model.name", "churn-$model.version", "'%(model.name)s'", "' model.name '"),
        *("model.tags.endpoint", "'{{ model.name }}'"),
    ],
)
def test_a_field_that_stands_there_without_its_expression_is_no_text(value: str) -> None:
    message, hint = told("${{ model.name }}", value)
    assert message.endswith("would be taken as text")
    assert hint.startswith("Write an expression: `${{ model.")


@pytest.mark.parametrize(
    "value", ["$MODEL", "$MODEL_NAME", "__MODEL__", "<model-name>", "'@pipeline().x'", "'a/b'"]
)
def test_what_no_name_can_be_is_no_name(value: str) -> None:
    assert "`endpoint`: a name begins with" in told("${{ model.name }}", value)[0]


@pytest.mark.parametrize(
    "value",
    [
        "model.nam",
        "run.id",
        "the-model.name",
        "models.json",
        '"100%"',
        '"a % b % c"',
        "'${{ {a: {b: model.name}} | a.b }}'",
        '"$5 (net)"',
        "a@b.c",
    ],
)
def test_what_only_looks_a_little_like_a_template_is_text(value: str) -> None:
    findings = check("${{ model.name }}", value).findings
    assert not [it for it in findings if "template" in it.message]


@pytest.mark.parametrize(
    "part",
    ["<subscription-id>", "%SUB%", "${SUB}", "$(SUB)", "{{ sub }}", "0000…", "sub/../x", "s%2Fx"],
)
def test_a_workspace_whose_id_was_not_filled_in_is_found(part: str) -> None:
    message, hint = told(f"[{ID}/main]", f"['{ID.replace('0f-1', part)}/main']")
    assert "is no ARM id of a workspace" in message
    assert hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Drift", "`DriftDetected`"),
        ("Model", "`ModelDeployed` or `ModelRegistered`"),
        ("modelregistered", "`ModelRegistered`"),
        ("Microsoft.MachineLearningServices.ModelRegistered", "`ModelRegistered`"),
    ],
)
def test_an_event_type_that_is_nearly_right_is_named(name: str, hint: str) -> None:
    assert hint in told("on: ModelRegistered", f"on: {name}")[1]


def test_no_hint_names_a_key_that_means_another_thing() -> None:
    message, hint = told("timeout: 1h", "some_timeout: 90s")
    assert "has no `some_timeout`" in message
    assert "Did you mean" not in hint


@pytest.mark.parametrize("timeout", ["0s", "90s", "30d"])
def test_a_timeout_in_which_nothing_can_be_deployed_is_found(timeout: str) -> None:
    assert "from 5m to 7d" in told("timeout: 1h", f"timeout: {timeout}")[0]


@pytest.mark.parametrize("version", ["1.10", "010", "1e3", "+5", "1.0"])
def test_a_number_is_told_as_it_stands_in_the_file(version: str) -> None:
    message, hint = told("{name: churn}", f"{{name: churn, version: {version}}}")
    assert f"found {version}" in message
    assert f'"{version}"' in hint


SECRET = "https://x.webhook.office.com/webhookb2/hunter2"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("channels: [team]", f"channels: ['{SECRET}', mail]"),
        ("channels: [team]", f"channels: {SECRET}"),
        ("channels: [team]", f"channels: ['{SECRET}', team]"),
        ("channels: [team]", f"channels: {{team: '{SECRET}'}}"),
        ("notify: [team]", f"notify: ['{SECRET}']"),
        ("notify: [team]", "notify: ['mailto://me:hunter2@example.com']"),
    ],
)
def test_the_address_of_a_channel_is_found_and_never_shown(old: str, new: str) -> None:
    message, hint = told(old, new)
    assert "address of a channel does not belong in this file" in message
    assert "SIGNALBOX_CHANNEL_" in hint
    line = next(line for line in GOOD.replace(old, new, 1).splitlines() if "hunter2" in line)
    for text in (message, hint, _excerpt(line, 5, _EXCERPT)[0]):
        assert "hunter2" not in text


def test_an_excerpt_of_a_long_line_is_short_and_points_at_the_same_character() -> None:
    line = "x" * 3_000_000 + "HERE" + "y" * 3_000_000
    shown, at = _excerpt(line, 3_000_001, _EXCERPT)
    assert len(shown) < 200
    assert at is not None
    assert shown[at : at + 4] == "HERE"


@pytest.mark.parametrize("column", [5, 90, 150, 400])
def test_a_secret_that_the_edge_of_an_excerpt_cuts_is_not_shown(column: int) -> None:
    secret = "T0000/B0000/abcdefghijklmnopqrstuvwx"
    line = f'channels: ["hooks.slack.com/services/{secret}", ' + "team, " * 100 + "x]"
    shown, at = _excerpt(line, column, _EXCERPT)
    assert not any(secret[start : start + 8] in shown for start in range(len(secret) - 8))
    assert at is None or at < len(shown)


def test_an_excerpt_points_behind_what_was_taken_out_of_it() -> None:
    line = "channels: [hooks.slack.com/services/T0000/B0000/abcdefghijklmnopqrstuvwx, Team]"
    shown, at = _excerpt(line, line.index("Team") + 1, _EXCERPT)
    assert at is not None
    assert shown[at:] == "Team]"


@pytest.mark.parametrize(
    ("when", "hint"),
    [
        ("model.tags['team'] == 'x'", "A name goes after a dot"),
        ("model.name in ['a', 'b']", "contains(['Failed', 'Canceled'], run.status)"),
        ("not is_true(model.tags.x)", "Write `!`"),
        ("model.name == 'a' and model.version == '1'", "Write `&&`."),
        ("model.version > '9'", "to_number(model.version) > `9`"),
        ("model.name == 'a' AND model.version == '1'", "Write `&&`."),
        ("model.tags.x is null", "equal to `null`"),
        ("model.name like 'a%'", "matches(model.name, 'churn-*')"),
        ("model.tags.x ?? 'a'", "`||` gives a default"),
        ("{{ model.name }}", "Leave the braces out"),
    ],
)
def test_an_expression_of_another_language_gets_a_hint(when: str, hint: str) -> None:
    assert hint in told("is_true(model.tags.deploy)", f'"{when}"')[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("${{ model.name }}", "https://churn.westeurope.inference.ml.azure.com/score"),
        ("${{ model.name }}", "azureml:churn:1"),
        ("${{ model.name }}", f"{ID}/main/onlineEndpoints/churn"),
        ("{name: churn}", "{name: 'azureml:churn:2'}"),
    ],
)
def test_an_address_where_a_name_belongs_is_found(old: str, new: str) -> None:
    assert "give its name, not an address or an id" in told(old, new)[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("${{ model.name }}", SECRET),
        ("notify: [team]", f"notify: {SECRET}"),
        (f"[{ID}/main]", f"['{SECRET}']"),
        ("on: ModelRegistered", f"on: {SECRET}"),
        ("name: deploy-tagged", f"name: {SECRET}"),
        ("timeout: 1h", f"timeout: {SECRET}"),
        ("timeout: 1h", f"rollout: {SECRET}"),
        ("timeout: 1h", f"kind: {SECRET}"),
        ("- retrain:", f"- '{SECRET}'\n      - retrain:"),
    ],
)
def test_an_address_is_shown_nowhere(old: str, new: str) -> None:
    findings = check(old, new).findings
    assert findings
    assert "hunter2" not in repr(findings)


def test_an_action_for_other_events_is_one_finding() -> None:
    message, hint = told("on: ModelRegistered", "on: RunCompleted")
    assert message == "`deploy` can't be done for RunCompleted events"
    assert hint == "Use it in a reaction `on: ModelRegistered`."


def test_an_action_has_to_accept_each_type_of_event_of_the_list() -> None:
    message, hint = told("on: ModelRegistered", "on: [RunCompleted, ModelRegistered, AlertFired]")
    assert message == "`deploy` can't be done for RunCompleted or AlertFired events"
    assert hint == "Use it in a reaction `on: ModelRegistered`."


def test_values_that_are_not_below_their_action_are_one_finding() -> None:
    text = GOOD.replace("          ", "        ")
    findings = check_text(text, ACTIONS, {}).findings
    told = "the values of `deploy` are not below it"
    assert [(it.message, it.line) for it in findings if it.line < 15] == [(told, 9)]


def test_a_setting_without_percent_signs_gets_them() -> None:
    _, hint = told(f"[{ID}/main]", "[SIGNALBOX_WORKSPACE_DEV]")
    assert '"%SIGNALBOX_WORKSPACE_DEV%"' in hint


@pytest.mark.parametrize(
    "address", ["https://github.com/contoso/churn", "git@github.com:contoso/churn.git"]
)
def test_of_the_address_of_a_repository_the_name_is_told(address: str) -> None:
    target = f"{{github: {{repository: '{address}', workflow: retrain.yml}}}}"
    message, hint = told("{component: {name: churn}}", target)
    assert "should be a repository" in message
    assert hint == "Write `contoso/churn`."


def test_one_misspelt_key_is_one_finding() -> None:
    findings = check("reactions:", "reaction:").findings
    assert [finding.message for finding in findings] == ["the file has no `reaction`"]
    assert findings[0].hint == "Did you mean `reactions`?"


def test_a_merge_key_says_that_nothing_is_merged() -> None:
    message, hint = told("timeout: 1h", "<<: {timeout: 1h}")
    assert message == "`<<` does not merge mappings here"
    assert hint


@pytest.mark.parametrize("login", ["contoso", "mona-cat_octo"])
def test_a_managed_user_of_github_has_an_underscore(login: str) -> None:
    target = f"{{github: {{repository: {login}/churn, workflow: retrain.yml}}}}"
    assert check("{component: {name: churn}}", target).count("error") == 0


HEAD = f"version: 1\nworkspaces: [{ID}/main]\nchannels: [team]\n"
STEPS = HEAD + "reactions:\n  - name: a\n    on: ModelRegistered\n    do:\n"
TITLE = STEPS + '      - notify: {channel: team, title: "'
#: Files of which one part is repeated: before it, the part, and after it.
REPEATED = {
    "keys of the file": (f"{HEAD}reactions: []\n", "key{0}: 1\n", ""),
    "keys of an action": (f"{STEPS}      - notify:\n", "          key{0}: 1\n", ""),
    "workspaces": ("version: 1\nreactions: []\nworkspaces:\n", "  - w{0}\n", ""),
    "channels": (f"version: 1\nworkspaces: [{ID}/m]\nreactions: []\nchannels:\n", "  - c{0}\n", ""),
    "channels that are not there": (STEPS, "      - notify: {{channel: q{0}, title: x}}\n", ""),
    "steps": (STEPS, "      - notify: {{channel: team, title: x}}\n", ""),
    "actions that are none": (STEPS, "      - nope: {{}}\n", ""),
    "reactions": (f"{HEAD}reactions:\n", "  - {{name: r, on: Nope, do: [x]}}\n", ""),
    "strategies": (f"{HEAD}reactions: []\nrollouts:\n", "  s{0}: {{steps: [traffic: 10]}}\n", ""),
    "gates": (
        f"{HEAD}reactions: []\nrollouts:\n  s:\n    steps: [traffic: 100%]\n    gates:\n",
        "      g{0}: {{max: 1}}\n",
        "",
    ),
    "keys twice": (f"{HEAD}reactions: []\n", "a: 1\n", ""),
    "wrong expressions": (TITLE, "${{{{ x }}}} ", '"}'),
    "open expressions": (TITLE, "${{{{ {{ }}}} ", '"}'),
    "open quotes": (TITLE, "${{{{ '{{ }}}} ", '"}'),
    "templates of others": (TITLE, "{{{{ $[[ <% {{% ", '"}'),
    "names with dots": (TITLE, "$model.name{0} ", '"}'),
}


@pytest.mark.parametrize("part", REPEATED)
def test_checking_takes_time_that_grows_with_the_file(part: str) -> None:
    before, repeated, after = REPEATED[part]

    def file(count: int) -> str:
        return before + "".join(map(repeated.format, range(count))) + after

    few, many = file(250), file(2_000)
    check_text(few, ACTIONS, {})  # what is built once
    ratio = cpu_seconds(lambda: check_text(many, ACTIONS, {})) / cpu_seconds(
        lambda: check_text(few, ACTIONS, {})
    )
    assert ratio < 4 * 8


def test_of_a_file_full_of_mistakes_the_first_are_told() -> None:
    before, repeated, after = REPEATED["actions that are none"]
    findings = check_text(before + repeated.format(0) * 5_000 + after, ACTIONS, {}).findings
    assert len(findings) == 201
    assert findings[-1].message == "there are more than 200 mistakes"


def test_warnings_hide_no_mistake() -> None:
    before, repeated, after = REPEATED["channels"]
    unused = before + "".join(map(repeated.format, range(1_000))) + after
    (findings,) = (check_text(unused, ACTIONS, {}).findings,)
    assert {it.severity for it in findings} == {"warning"}
    checked = check_text(f"{unused}orphans: {{after: soon}}\n", ACTIONS, {})
    assert checked.count("error") == 1


#: Texts of which no name is made.
PROSE = {
    *("BetterParams.metric", "RegisterBetterParams.metric", "RegisterParams.description"),
    *("NotifyParams.title", "NotifyParams.text", "FoldParams.key"),
    *("StartsParams.key", "OncePerParams.key", "PublishParams.subject"),
    "OrderRolloutsParams.why",
}


def names() -> list[tuple[str, Any]]:
    """Return every text that a value of an action can be, and what it is checked by."""
    for action in ACTIONS:
        assert ACTIONS[action]  # imports it
    models = [*Values.__subclasses__()]
    for model in models:
        models += model.__subclasses__()
        model.model_rebuild()
    return [
        (f"{model.__name__}.{name}", TypeAdapter(Annotated[field.annotation, "", *field.metadata]))
        for model in models
        for name, field in model.model_fields.items()
        if field.annotation is str and model.__module__.startswith("shared.")
    ]


@pytest.mark.parametrize("text", ["https://x.example/y", "/subscriptions/s/x", "azureml:churn:1"])
def test_nothing_that_names_something_takes_an_address(text: str) -> None:
    context = LoadContext(frozenset(), lambda _: False)
    taken = set()
    for name, adapter in names():
        # Some types look for the grammar, which this context does not have.
        with suppress(ValidationError, AttributeError):
            adapter.validate_python(text, context=context)
            taken.add(name)
    assert taken == PROSE


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("when:", "condition:", "Did you mean `when`?"),
        ("when:", "if:", "Did you mean `when`?"),
        ("when: is_true(model.tags.deploy)", "disabled: true", "Write `enabled: false`."),
        ("instance_type:", "vm_size:", "Did you mean `instance_type`?"),
    ],
)
def test_a_word_of_another_tool_gets_the_key_that_means_it(old: str, new: str, hint: str) -> None:
    assert hint in [finding.hint for finding in check(old, new).findings]


@pytest.mark.parametrize("word", ["timeoutSeconds", "timeoutInMinutes"])
def test_a_time_in_another_unit_gets_no_key_that_means_another_thing(word: str) -> None:
    assert "Did you mean" not in told("timeout: 1h", f"{word}: 90")[1]


@pytest.mark.parametrize(
    ("on", "when", "message"),
    [
        (
            "DriftDetected",
            "drift.metrics[?name == 'psi'].value > `0.3`",
            "`drift.metrics` (a list)",
        ),
        ("DriftDetected", "drift.features == 'age'", "`drift.features` (a list)"),
        ("ModelRegistered", "workspace == 'ml-prod'", "`workspace` (a mapping)"),
        ("ModelRegistered", "model.tags != 'prod'", "`model.tags` (a mapping)"),
        ("RunStatusChanged", "contains(['Failed', 'Cancelled'], run.status)", "never 'Cancelled'"),
        ("RunStatusChanged", 'contains(`["failed"]`, run.status)', "never 'failed'"),
        ("RunStatusChanged", "starts_with(run.status, 'fail')", "never holds"),
        ("RunStatusChanged", "matches(run.status, 'fail')", "never holds"),
        ("RunStatusChanged", "lower(run.status) == 'Failed'", "never gives 'Failed'"),
        ("RunCompleted", "run.step == `null`", "`run.step` is never null"),
        ("AlertFired", "alert.endpoint != `null`", "`alert.endpoint` is never null"),
        ("ModelRegistered", "model.name == 'a' | model.name == 'b'", "looked for in true or false"),
        ("ModelRegistered", "model.tags.mlflow.skip != 'yes'", "is text and has no `skip`"),
        ("ModelRegistered", "model.tags.stages[0] == 'prod'", "is text, not a list"),
        ("ModelRegistered", "model.name == 'churn-*'", "is never 'churn-*'"),
        ("RunCompleted", "run.experiment_name != '*-test'", "is never '*-test'"),
        ("ModelRegistered", "matches(model.name, '^churn$')", "is a regular expression"),
        ("ModelRegistered", "!matches(model.name, 'v\\d+')", "is a regular expression"),
        ("ModelRegistered", "matches('churn-*', model.name)", "takes the text first"),
        ("ModelRegistered", "!is_true('model.tags.skip')", "the same for every event"),
    ],
)
def test_a_condition_that_the_same_answer_awaits_for_every_event_is_found(
    on: str, when: str, message: str
) -> None:
    assert message in condition(on, when)[0].message


@pytest.mark.parametrize(
    ("on", "when"),
    [
        ("DriftDetected", "max(drift.metrics[*].value) > `0.3`"),
        ("DriftDetected", "drift.metrics[*].value | [0] > `0.3`"),
        ("DriftDetected", "drift.metrics[0].feature != `null`"),
        ("DriftDetected", "drift.window_start != `null`"),
        ("ModelRegistered", "model.tags.stage == `null`"),
        ("RunStatusChanged", "contains(['Failed', 'Canceled'], run.status)"),
        ("RunStatusChanged", "matches(run.status, 'cancel*') || lower(run.status) == 'failed'"),
        ("AlertFired", "alert.endpoint != ''"),
        ("ModelRegistered", "model.tags.\"mlflow.skip\" != 'yes'"),
        ("ModelRegistered", "matches(model.name, 'v1.*') || model.tags.glob == 'a*'"),
        ("ModelRegistered", "matches(model.name, '[^a]*') || matches('a b', model.tags.glob)"),
        ("ModelRegistered", "lower(model.name) | @ == 'churn'"),
    ],
)
def test_a_condition_that_events_decide_is_right(on: str, when: str) -> None:
    assert condition(on, when) == ()


def condition(on: str, when: str) -> tuple[Finding, ...]:
    """Return what is wrong with a condition for such events."""
    text = f"""\
version: 1
workspaces: [{ID}/main]
channels: [team]
reactions:
  - name: tell
    on: {on}
    when: {json.dumps(when)}
    do: [{{notify: {{channel: team, title: x}}}}]
"""
    return check_text(text, ACTIONS, {}).findings


def test_a_text_that_has_to_be_there_is_compared_with_what_it_is_without() -> None:
    assert "alert.endpoint != ''" in condition("AlertFired", "alert.endpoint")[0].hint
    assert "`null`" in condition("ModelRegistered", "model.tags.deploy")[0].hint


@pytest.mark.parametrize(
    ("when", "hint"),
    [
        ("eq(model.name, 'a')", "Write `==`"),
        ("matches(format('{0}', model.name), 'a')", "join("),
        ("model.name =~ 'a.*'", "matches("),
        ("model.name <> 'a'", "`!=`"),
        ("$model.name == 'a'", "as it is"),
        ("model.name == \u2018a\u2019", "straight single quotes"),
        ("NOT is_true(model.tags.x)", "Write `!`"),
        ("model.tags.x != None", "`null`"),
        ('model.tags.x == "true"', "single quotes: 'true'"),
        ("model.name == 'a' || 'b'", "contains(['x', 'y'], model.name)"),
        ("model.tags.mlflow.user == 'a'", 'model.tags."mlflow.user"'),
    ],
)
def test_words_and_signs_of_another_language_get_ours(when: str, hint: str) -> None:
    assert hint in condition("ModelRegistered", when)[0].hint


@pytest.mark.parametrize(
    "subscription",
    [
        "00000000-0000-0000-0000-000000000000",
        "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
        "your-subscription-id",
        "__SUB__",
        "SUBSCRIPTION_ID",
    ],
)
def test_a_subscription_that_was_not_filled_in_is_found(subscription: str) -> None:
    assert "names no subscription" in told("0f-1", subscription)[0]


@pytest.mark.parametrize("value", ["0", "false"])
def test_a_time_of_nothing_is_told_as_it_stands(value: str) -> None:
    assert f"found {value}" in told("timeout: 1h", f"timeout: {value}")[0]


@pytest.mark.parametrize(
    "channel",
    ["team: 'slack://SECRET/b/c'", "'x.webhook.office.com/SECRET'", "'mailto:me:SECRET@x.org'"],
)
def test_the_address_of_a_channel_is_found_however_it_is_written(channel: str) -> None:
    message, hint = told("channels: [team]", f"channels: [{channel}, team]")
    assert "address of a channel" in message
    assert "SECRET" not in message + hint


@pytest.mark.parametrize(
    ("step", "hint"),
    [
        ("{notify: {channel: team, title: x}, when: is_true(model.tags.x)}", "beside `do:`"),
        ("{uses: notify, with: {channel: team, title: x}}", "name is the key"),
        ("{notify: {channel: team, title: x}, deploy: {endpoint: abc}}", "Begin each action"),
    ],
)
def test_an_item_that_is_not_one_action_says_how_it_is_written(step: str, hint: str) -> None:
    old = GOOD[GOOD.index("      - deploy:") : GOOD.index("  - name: retrain")]
    assert hint in told(old, f"      - {step}\n")[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reactions:", "jobs:"),
        ("    do:\n      - deploy:", "    steps:\n      - deploy:"),
        ("- deploy:", "- deplyo:"),
        ("notify: [team]", "notify: team"),
    ],
)
def test_beside_a_mistake_nothing_is_called_unused(old: str, new: str) -> None:
    findings = check(old, new).findings
    assert "error" in [finding.severity for finding in findings]
    assert not [finding for finding in findings if "no reaction uses" in finding.message]


YAML_OF = "    when: is_true(model.tags.deploy)"


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        (YAML_OF, "    when: 'a' == model.name", "<scalar>", "Put quotes around all of it"),
        (YAML_OF, '    when: "a" == model.name', "<scalar>", "Put quotes around all of it"),
        ("reactions:", "---\nreactions:", "found another document", "no second `---`"),
        (YAML_OF, "    true: x", "found true", '"true"'),
        ("    on: ModelRegistered", "    on ModelRegistered", "expected ':'", "ends with `:`"),
        (YAML_OF, "    when: {{ model.name }}", "has to be text", '"${{ … }}"'),
        ("version: 1", "version: 1\nrollouts: {a: {steps: [10%]}}", "'10%'", "`traffic: 10%`"),
        ("version: 1", "version: 1\nrollouts: {a: {steps: [probe]}}", "'probe'", "with `:`"),
        ("version: 1", "version: 1\nrollouts: {a: {steps: [pause]}}", "'pause'", "`hold`"),
        ("version: 1", "version: 1\nrollouts: {a: {steps: [traffic: 1]}}", "found 1", "`100%`"),
        ("timeout: 1h", "timeout:", "found nothing", ""),
    ],
)
def test_a_hint_is_of_the_mistake_that_was_made(
    old: str, new: str, message: str, hint: str
) -> None:
    found = told(old, new)
    assert message in found[0]
    assert hint in found[1]


def test_a_line_without_its_colon_is_told_and_not_the_next() -> None:
    (finding,) = check("    on: ModelRegistered", "    on ModelRegistered").findings
    assert finding.line == 6


def test_a_capital_m_is_no_minute() -> None:
    assert told("timeout: 1h", "timeout: 1M")[0].endswith("found '1M'")


def test_the_host_of_an_endpoint_is_not_its_name() -> None:
    host = "churn.westeurope.inference.ml.azure.com"
    assert "give its name" in told("${{ model.name }}", host)[0]


def value(on: str, step: str) -> tuple[Finding, ...]:
    """Return what is wrong with a step for such events."""
    head = f"version: 1\nworkspaces: [{ID}/main]\nchannels: [team]\nreactions:\n"
    text = f"{head}  - {{name: tell, on: {on}, do: [{step}]}}\n"
    return check_text(text, ACTIONS, {}).findings


@pytest.mark.parametrize(
    ("on", "step", "path"),
    [
        ("ModelRegistered", "notify: {channel: team, title: '${{ model.tags }}'}", "title"),
        (
            "DriftDetected",
            "notify: {channel: team, title: a, text: '${{ drift.features }}'}",
            "text",
        ),
        (
            "DriftDetected",
            "notify: {channel: team, title: '${{ length(drift.metrics) }}'}",
            "title",
        ),
        ("RunCompleted", "notify: {channel: team, title: '${{ run.is_root }}'}", "title"),
        (
            "RunCompleted",
            "notify: {channel: team, title: a, fold: {key: '${{ run }}'}}",
            "fold.key",
        ),
        (
            "ModelRegistered",
            "deploy: {endpoint: '${{ model }}', instance_type: Standard_D2}",
            "endpoint",
        ),
    ],
)
def test_a_text_that_no_event_makes_is_found(on: str, step: str, path: str) -> None:
    (finding,) = value(on, step)
    assert finding.message.startswith(f"`{path}` should be text, and `${{{{ ")


@pytest.mark.parametrize(
    "step",
    [
        "notify: {channel: team, title: '${{ drift.features }} drift'}",
        "notify: {channel: team, title: \"${{ join(', ', drift.features) }}\"}",
        "notify: {channel: team, title: '${{ drift.metrics[0].name }}'}",
        "notify: {channel: team, title: '${{ to_string(drift.metrics) }}'}",
        "retrain: {target: {component: {name: a}}, inputs: {n: '${{ length(drift.metrics) }}'}}",
    ],
)
def test_a_text_that_events_make_is_right(step: str) -> None:
    assert [it.message for it in value("DriftDetected", step) if it.severity == "error"] == []


@pytest.mark.parametrize("name", ["WORKSPACE_NAME", "your-workspace", "xxx", "workspaceName"])
def test_a_workspace_that_was_not_filled_in_is_found(name: str) -> None:
    assert "names no workspace" in told("workspaces/main", f"workspaces/{name}")[0]
    assert "names no workspace" in told("resourceGroups/rg-1", f"resourceGroups/{name}")[0]


@pytest.mark.parametrize("name", ["workspace", "my-workspace", "xx", "ml-your-team", "RG-PROD"])
def test_a_workspace_may_have_a_plain_name(name: str) -> None:
    assert not check("workspaces/main", f"workspaces/{name}").count("error")


@pytest.mark.parametrize(
    ("keys", "message", "hint"),
    [
        (
            "limit: 20",
            "`limit:` should be a mapping, found 20",
            "Write `limit: {starts: 20, per: 1d}`.",
        ),
        ("limit: {starts: 20}", "`limit` needs `per`", ""),
        (
            "limit: {starts: 0, per: 1d}",
            "`starts` should be greater than or equal to 1, found 0",
            "",
        ),
        (
            "limit: {starts: 1001, per: 1d}",
            "`starts` should be less than or equal to 1000, found 1001",
            "",
        ),
        ('limit: {starts: "2", per: 1d}', "`starts` should be a whole number, found '2'", ""),
        (
            "limit: {starts: 2, per: day}",
            "`per` should be a length of time, found 'day'",
            "Write a number and a unit: 500ms, 45s, 15m, 2h, 1h30m or 3d.",
        ),
        ("limit: {starts: 2, per: 400d}", "`per`: from 1s to 90d, found 400d", ""),
        (
            "limit: {starts: 2, per: 1d, key: '${{ model.nam }}'}",
            "`model` has no `nam`",
            "Did you mean `name`?",
        ),
        (
            "cooldown: 5",
            "`cooldown` should be a length of time, found 5",
            "Write `5s` if it is in seconds.",
        ),
        (
            "once_per: ${{ model.name }}",
            "`once_per:` should be a mapping, found '${{ model.name }}'",
            'Write `once_per: {key: "${{ … }}", within: 1d}`.',
        ),
        ("once_per: {key: '${{ model.name }}'}", "`once_per` needs `within`", ""),
        (
            "once_per: {key: churn, within: 1d}",
            "`once_per.key` is the same for every event",
            "Make it from the event: `${{ … }}`. For all events alike there is `cooldown:`.",
        ),
        ("dry_run: yes", "`dry_run:` should be true or false, found 'yes'", ""),
    ],
)
def test_a_limit_that_is_none_is_found(keys: str, message: str, hint: str) -> None:
    assert told("    when:", f"    {keys}\n    when:") == (message, hint)


@pytest.mark.parametrize("value", ["yes", "1", "[]", "{models: true}"])
def test_a_find_models_that_is_neither_true_nor_false_is_found(value: str) -> None:
    message, hint = told("channels:", f"find_models: {value}\nchannels:")
    assert message.startswith("`find_models:` should be true or false, found ")
    assert hint == "With true, the sweep looks for models that Event Grid never reported."


@pytest.mark.parametrize("value", ["0", "21", "true", "many", "1.5"])
def test_a_chain_limit_that_is_none_is_found(value: str) -> None:
    message, hint = told("channels:", f"chain_limit: {value}\nchannels:")
    assert message.startswith("`chain_limit:` should be from 1 to 20, found ")
    assert hint == "It is how many reactions may follow one another."


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        (
            "60",
            "`messages:` should be a mapping, found a number",
            "Write its value below it: `per_hour: 60`.",
        ),
        (
            "{per_hour: 0}",
            "`per_hour` should be greater than or equal to 1, found 0",
            "",
        ),
        ("{per_our: 5}", "`messages` has no `per_our`", "Did you mean `per_hour`?"),
    ],
)
def test_a_ceiling_that_is_none_is_found(value: str, message: str, hint: str) -> None:
    assert told("channels:", f"messages: {value}\nchannels:") == (message, hint)


WEEKEND = "begins: Fri 17:00, ends: Mon 08:00, time_zone: UTC"


@pytest.mark.parametrize(
    ("window", "message", "hint"),
    [
        (
            "5pm",
            "a freeze should be a mapping, found '5pm'",
            'Write {begins: "Fri 17:00", ends: "Mon 08:00", time_zone: Europe/Berlin}.',
        ),
        (
            "{begins: 5pm, ends: Mon 08:00, time_zone: UTC}",
            "`begins`: write 22:00, Fri 17:00 or 2026-12-18 17:00; found '5pm'",
            "",
        ),
        (
            "{begins: 2026-02-30, ends: 2026-03-01, time_zone: UTC}",
            "`begins`: day is out of range for month",
            "",
        ),
        (
            "{begins: Fri 17:00, ends: 08:00, time_zone: UTC}",
            "`w`: `begins` is of each week and `ends` of each day",
            "",
        ),
        (
            "{begins: 2026-12-18, ends: 2026-12-17, time_zone: UTC}",
            "`w`: `ends` is not after `begins`",
            "",
        ),
        (
            "{begins: Fri 17:00, ends: Mon 08:00, time_zone: Europe/Berln}",
            "`time_zone` is no time zone, found 'Europe/Berln'",
            "Did you mean `Europe/Berlin`?",
        ),
        (
            "{begins: Fri 17:00, ends: Mon 08:00, time_zone: ../../etc/passwd}",
            "`time_zone` is no time zone, found '../../etc/passwd'",
            "Write one of IANA: Europe/Berlin, UTC.",
        ),
        ("{begins: Fri 17:00, ends: Mon 08:00}", "`w` needs `time_zone`", ""),
        (f"{{{WEEKEND}, events: drop}}", "`events` can't be 'drop'", "Valid here: `hold`, `skip`."),
    ],
)
def test_a_freeze_that_is_none_is_found(window: str, message: str, hint: str) -> None:
    found = told("channels:", f"freezes: {{w: {window}}}\nfreeze: [w]\nchannels:")
    assert found[0] == message
    assert hint in found[1]


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        ("w", "`freeze:` should be a list of names, found 'w'", "Write [w]."),
        ("[x]", "there is no freeze 'x'", "`w`"),
        ("[3]", "there is no freeze 3", "`w`"),
    ],
)
def test_a_name_of_no_freeze_is_found(names: str, message: str, hint: str) -> None:
    file = f"freezes: {{w: {{{WEEKEND}}}}}\n"
    found = told("channels:", f"{file}freeze: {names}\nchannels:")
    assert found[0] == message
    assert hint in found[1]


def test_a_freeze_that_nothing_names_is_a_warning() -> None:
    checked = check("channels:", f"freezes: {{w: {{{WEEKEND}}}}}\nchannels:")
    assert "no reaction uses freeze 'w'" in [item.message for item in checked.findings]
    assert checked.count("error") == 0


def test_an_order_of_severities_gets_a_list_of_them_as_its_hint() -> None:
    ((message, hint),) = [
        (it.message, it.hint) for it in condition("AlertFired", "alert.severity <= 'Sev1'")
    ]
    assert message == "text has no order in an expression"
    assert hint == "Name those that you mean: contains(['Sev0', 'Sev1'], alert.severity)."
    assert condition("AlertFired", "contains(['Sev0', 'Sev1'], alert.severity)") == ()
