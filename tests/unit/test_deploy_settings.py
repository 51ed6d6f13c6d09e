"""The settings that company policies demand: what is taken, and what is refused in which words."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.actions import ACTIONS
from shared.actions.deploy.action import _serving, choose_by_tags
from shared.actions.deploy.asset_names import find_container
from shared.actions.deploy.params import DeployParams
from shared.base.documents import JsonForm
from shared.base.errors import ParamsInvalid, TagForbidden
from shared.base.ports import Row
from shared.reactions.load import load_reactions
from shared.reactions.model import Reactions
from shared.rollouts.state.rollout import Plan
from shared.schema.findings import ReactionsFaulty
from shared.twins.clock import ManualClock
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import AssetKind, ServingContainer
from tests.stories.world import WORKSPACE
from tests.unit.rollouts import make_rollout

HEAD = f"""version: 1
workspaces: ["{WORKSPACE.id}"]
reactions:
  - name: a
    on: ModelRegistered
    do:
      - deploy:
          endpoint: churn
"""
KINDS = {
    "managed": ("instance_type: Standard_DS3_v2",),
    "kubernetes": ("kind: kubernetes", "compute: aks", "instance_type: small"),
    "batch": ("kind: batch", "compute: cluster"),
}
IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/scorer"
)
ENVIRONMENT = "environment: azureml:serving:4"
LATEST = "environment: azureml:serving@latest"
GOLDEN = "probe: {request: golden/a.json}"


def load(*lines: str, kind: str = "managed", above: str = "reactions:\n") -> Reactions:
    head = HEAD.replace("reactions:\n", above)
    body = "".join(f"          {line}\n" for line in (*KINDS[kind], *lines))
    return load_reactions(head + body, actions=ACTIONS, settings={}, has_file=lambda _: True)


def params(**values: Any) -> DeployParams:
    usual = {"endpoint": "churn", "instance_type": "Standard_DS3_v2"}
    return DeployParams.model_validate(usual | values)


@pytest.mark.parametrize(
    "lines",
    [
        ("tags: {cost_center: '4711', 'Data class': internal}",),
        ("egress_public_network_access: disabled",),
        (f"identity: {{type: user_assigned, ids: ['{IDENTITY}']}}",),
        ("identity: {type: system_assigned}",),
        (ENVIRONMENT, GOLDEN),
        (
            GOLDEN,
            "environment: azureml:serving@latest",
            "code: azureml:c:1",
            "scoring_script: a/b.py",
        ),
        (GOLDEN, "environment: azureml://registries/azureml/environments/sklearn-1.5/versions/3"),
        ("environment_variables: {LOG_LEVEL: info, WORKER_COUNT: '4'}",),
        ("environment_variables: {KEY: 'azureml://connections/a/credentials/key'}",),
        ("app_insights: true", "max_concurrent_requests: 8", "max_queue_wait: 2s"),
        ("data_collector: {collections: [model_inputs], sampling_rate: 0.1, rolling_rate: day}",),
        ("readiness_probe: {success_threshold: 2}",),
    ],
)
def test_a_setting_that_aml_takes_is_taken(lines: tuple[str, ...]) -> None:
    assert load(*lines).warnings == ()


@pytest.mark.parametrize(
    ("lines", "is_warned"),
    [
        ((ENVIRONMENT,), True),
        ((ENVIRONMENT, "rollout: canary"), True),
        ((ENVIRONMENT, "probe: {timeout: 5s}"), True),
        ((ENVIRONMENT, GOLDEN), False),
        ((ENVIRONMENT, "rollout: asking"), False),
        ((ENVIRONMENT, "rollout: silent"), False),
        (("rollout: canary",), False),
    ],
)
def test_code_of_ones_own_that_is_asked_nothing_is_a_warning(
    lines: tuple[str, ...], is_warned: bool
) -> None:
    own = """rollouts:
  asking: {steps: [probe: {request: golden/b.json}, traffic: 100%]}
  silent: {steps: [traffic: 100%]}
reactions:
"""
    found = load(*lines, above=own).warnings
    told = [item.message for item in found if "golden request" in item.message]
    assert bool(told) is is_warned


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tags: {signalbox_model: a}", "begin with signalbox_ are Signalbox's own"),
        ("tags: {'a/b': c}", "a tag's name has 1 to 512 characters"),
        (f"tags: {{a: {'b' * 257}}}", "a has 257 characters, and Azure takes 256"),
        ("identity: {type: user_assigned}", "`deploy` needs `identity.ids`"),
        (f"identity: {{ids: ['{IDENTITY}']}}", "`identity.ids` are for `type: user_assigned`"),
        ("identity: {type: user_assigned, ids: [scorer]}", "give ARM ids: /subscriptions/"),
        ("identity: {type: both}", "`identity.type` can't be 'both'"),
        ("environment: serving:4", "name a registered environment: azureml:"),
        ("environment: azureml:serving", "name a registered environment: azureml:"),
        ("environment: mcr.microsoft.com/azureml/a:1", "name a registered environment: azureml:"),
        (
            "environment: azureml://registries/azureml/environments/a/labels/latest",
            "`environment` has a label of a registry",
        ),
        ("code: azureml:scoring:3", "`code` needs an `environment` to run in"),
        (f"{ENVIRONMENT}\n          code: azureml:scoring:3", "needs `scoring_script`"),
        (f"{ENVIRONMENT}\n          code: azureml:scoring@latest", "registered code and its vers"),
        (f"{ENVIRONMENT}\n          code: ./scoring", "name a registered code and its version"),
        (
            f"{ENVIRONMENT}\n          scoring_script: score.py",
            "is a file of `code`",
        ),
        (
            f"{ENVIRONMENT}\n          code: azureml:s:3\n          scoring_script: ../score.py",
            "give the path of a .py file within the code",
        ),
        ("environment_variables: {'A-B': c}", "a variable's name has letters, digits and _"),
        ("max_concurrent_requests: 0", "greater than or equal to 1"),
        ("max_queue_wait: 6m", "from 1ms to 5m"),
        ("data_collector: {}", "needs `data_collector.collections`"),
        ("data_collector: {collections: []}", "should name one collection at least"),
        ("data_collector: {collections: [a b]}", "a collection's name has letters"),
        ("data_collector: {collections: [a], sampling_rate: 2}", "less than or equal to 1"),
        ("data_collector: {collections: [a], rolling_rate: month}", "can't be 'month'"),
    ],
)
def test_a_setting_that_aml_does_not_take_is_refused(line: str, message: str) -> None:
    with pytest.raises(ReactionsFaulty) as refused:
        load(line)
    (finding,) = (item for item in refused.value.findings if item.severity == "error")
    assert message in finding.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_KEY", "q8ZrT2vLw0xYb"),
        ("DB_PASSWORD", "q8ZrT2vLw0xYb"),
        ("STORAGE", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=q8ZrT2vLw0xYb=="),
        ("URL", "https://a.blob.core.windows.net/c?sv=2024&sig=q8ZrT2vLw0xYb%3D"),
    ],
)
@pytest.mark.parametrize("field", ["environment_variables", "tags"])
def test_a_secret_is_refused_without_being_shown(field: str, name: str, value: str) -> None:
    with pytest.raises(ReactionsFaulty) as refused:
        load(f"{field}: {{{name}: '{value}'}}")
    (finding,) = refused.value.findings
    assert f"`{field}` has a secret in {name}" in finding.message
    assert "azureml://connections/NAME/credentials/KEY" in finding.hint
    assert "q8ZrT2vLw0xYb" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("egress_public_network_access: disabled", ("kubernetes", "batch")),
        (f"identity: {{type: user_assigned, ids: ['{IDENTITY}']}}", ("batch",)),
        (ENVIRONMENT, ("batch",)),
        ("environment_variables: {A: b}", ("batch",)),
        ("app_insights: true", ("batch",)),
        ("data_collector: {collections: [a]}", ("batch",)),
        ("max_concurrent_requests: 2", ("batch",)),
        ("max_queue_wait: 1s", ("batch",)),
        ("auth_mode: aad_token", ("kubernetes",)),
    ],
)
def test_a_setting_is_refused_for_the_kinds_that_do_not_have_it(
    line: str, kinds: tuple[str, ...]
) -> None:
    for kind in KINDS:
        if kind not in kinds:
            load(line, kind=kind)
            continue
        with pytest.raises(ReactionsFaulty) as refused:
            load(line, kind=kind)
        (finding,) = refused.value.findings
        name = line.partition(":")[0]
        assert finding.message.startswith(f"`{name}` ")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("info", "info"),
        ("azureml://connections/a/credentials/key", "${{azureml://connections/a/credentials/key}}"),
        ("azureml://connections/a/target", "${{azureml://connections/a/target}}"),
        (
            "keyvault:https://v.vault.azure.net/secrets/s/1",
            "${{keyvault:https://v.vault.azure.net/secrets/s/1}}",
        ),
        ("see azureml://connections/a", "see azureml://connections/a"),
    ],
)
def test_the_address_of_a_secret_is_written_as_aml_reads_it(written: str, sent: str) -> None:
    made = params(environment_variables={"A": written})
    assert made.environment_variables == {"A": sent}
    again = params(environment_variables=made.environment_variables)
    assert again.environment_variables == {"A": sent}, "values are checked again after a tag"


def test_no_other_expression_of_amls_gets_into_a_variable() -> None:
    with pytest.raises(ValueError, match="has an expression of AML's in it"):
        params(environment_variables={"A": "x${{azureml://connections/a}}"})


def test_a_tag_chooses_an_environment_only_if_allow_lists_it() -> None:
    written = params(environment="azureml:serving:4", allow={"environment": ["azureml:torch-*"]})
    chosen = choose_by_tags(written, {"signalbox_environment": "azureml:torch-serving:2"})
    assert chosen.environment == "azureml:torch-serving:2"
    for name in ("environment", "code", "scoring_script"):
        with pytest.raises(TagForbidden, match="the reaction allows"):
            choose_by_tags(written, {f"signalbox_{name}": "azureml:mine:1"})


def test_no_tag_names_variables_or_identities_by_itself() -> None:
    written = params(allow={"identity": ["*"], "environment_variables": ["*"]})
    tags = {"signalbox_identity": IDENTITY, "signalbox_environment_variables": "A=b"}
    assert choose_by_tags(written, tags) == written


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ("azureml:serving@latest", f"{WORKSPACE.id}/environments/serving/versions/5"),
        ("azureml:serving:4", f"{WORKSPACE.id}/environments/serving/versions/4"),
        ("azureml://registries/r/environments/a/versions/1",) * 2,
    ],
)
def test_an_environment_is_fixed_to_the_version_that_is_there(environment: str, found: str) -> None:
    assets = MemoryWorkspaces(ManualClock())
    assets.assets[WORKSPACE.key, AssetKind.ENVIRONMENT, "serving"] = ["4", "5"]
    assets.assets[WORKSPACE.key, AssetKind.CODE, "scoring"] = ["1"]
    made = find_container(assets, WORKSPACE, environment, "azureml:scoring:1", "score.py")
    code = f"{WORKSPACE.id}/codes/scoring/versions/1"
    assert made == ServingContainer(environment=found, code=code, script="score.py")


@pytest.mark.parametrize(
    ("environment", "code", "missing"),
    [
        ("azureml:other@latest", "", "has no environment azureml:other@latest"),
        ("azureml:serving:9", "", "has no environment azureml:serving:9"),
        ("azureml:serving:4", "azureml:scoring:2", "has no code azureml:scoring:2"),
    ],
)
def test_an_asset_that_is_not_there_is_named(environment: str, code: str, missing: str) -> None:
    assets = MemoryWorkspaces(ManualClock())
    assets.assets[WORKSPACE.key, AssetKind.ENVIRONMENT, "serving"] = ["4"]
    with pytest.raises(ParamsInvalid, match=missing):
        find_container(assets, WORKSPACE, environment, code, "score.py" if code else "")


@given(name=st.from_regex(r"[A-Z][A-Z_]{0,15}", fullmatch=True), value=st.text(max_size=60))
def test_a_variable_that_is_taken_is_the_same_after_its_row(name: str, value: str) -> None:
    try:
        made = params(environment_variables={name: value})
    except ValueError:
        return
    plan = replace(make_rollout().plan, serving=_serving(made))
    form = JsonForm(Plan, lambda _: {})
    row = Row(partition="p", key="k", values=form.write(plan), etag="e")
    assert form.read(row).serving.environment_variables == made.environment_variables


def test_a_plan_that_was_kept_before_there_were_these_settings_still_reads() -> None:
    form = JsonForm(Plan, lambda _: {})
    text = str(form.write(make_rollout().plan)["document"])
    for name in ("container", "identities", "tags", "serving"):
        assert f'"{name}"' not in text, "so an older row looks like this one"
    row = Row(partition="p", key="k", values={"document": text}, etag="e")
    assert form.read(row) == make_rollout().plan
