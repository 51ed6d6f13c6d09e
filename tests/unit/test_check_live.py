"""`signalbox check --live` and `--send-test`: what is asked, how often, and what is told of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from commands.check import Checked, check_text
from commands.live_check import TEST_TITLE, TOPICS_NOTE, LiveCheck
from shared.actions import ACTIONS
from shared.base.errors import (
    ChannelDown,
    ChannelUnknown,
    WorkspaceDenied,
    WorkspaceUnreachable,
)
from shared.events.model import Workspace
from shared.rollouts.state.tags import TAG_MODEL
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryChannels
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import Capacity, DeploymentSpec, EndpointKind

DEV = Workspace(subscription="sub-1", resource_group="rg-1", name="dev")
PROD = Workspace(subscription="sub-1", resource_group="rg-1", name="prod")
FILE = f"""\
version: 1
workspaces:
  - {DEV.id}
  - {PROD.id}
channels: [team, risk]
reactions:
  - name: act
    on: EVENT
    when: workspace.name == 'dev' && type == 'EVENT'
    do:
      - STEP
      - notify: {{channel: [team, risk], title: Done}}
"""
STEP_LINE = 11
DEPLOY = "deploy: {endpoint: churn, instance_type: Standard_DS3_v2, notify: [team]}"
SHIFT = "shift_traffic: {endpoint: churn, to: green}"


@dataclass
class Bench:
    """The twin of the workspaces, with a count of its requests."""

    twin: MemoryWorkspaces
    channels: MemoryChannels = field(default_factory=MemoryChannels)
    requests: Counter[str] = field(default_factory=Counter)
    files: dict[str, bytes] = field(default_factory=dict)

    def check(self, text: str, *, sends: bool = False) -> Checked:
        """Check a text, with all that can be asked."""

        def count(method: str) -> None:
            self.requests[method] += 1

        if self.twin.before("") is None and self.twin.before.__name__ == "<lambda>":
            self.twin.before = count
        live = LiveCheck(
            workspaces=None if sends else lambda: self.twin,
            channels=(lambda: self.channels) if sends else None,
            read_file=self.files.__getitem__,
        )
        checked = check_text(text, ACTIONS, {}, look_further=live.look)
        self.notes = live.notes
        return checked

    def step(self, step: str, on: str = "ModelRegistered") -> list[str]:
        """Return what is found in a step: severity, line, column, message."""
        found = self.check(FILE.replace("STEP", step).replace("EVENT", on)).findings
        return [f"{it.severity} {it.line}:{it.column} {it.message}" for it in found]

    def make_endpoint(self, tags: dict[str, str], kind: EndpointKind, *deployments: str) -> None:
        self.twin.create_endpoint(
            DEV, "churn", auth_mode="key", tags=tags, kind=kind, compute="k8s"
        )
        self.twin.register(DEV, "churn", "1", tags={})
        model = self.twin.get_model(DEV, "churn", "1")
        assert model is not None
        for name in deployments:
            spec = DeploymentSpec(
                model_id=model.id, instance_type="Standard_DS3_v2", instance_count=1, kind=kind
            )
            self.twin.create_deployment(DEV, "churn", name, spec)

    def give_traffic(self, name: str) -> None:
        endpoint = self.twin.get_endpoint(DEV, "churn")
        assert endpoint is not None
        self.twin.set_traffic(DEV, endpoint, {name: 100}, {})


@pytest.fixture
def bench() -> Bench:
    return Bench(MemoryWorkspaces(ManualClock()))


def cores(limit: int) -> Capacity:
    """Return a family of which others use four cores."""
    return Capacity(family="standardDSv2Family", cores=4, used=4, limit=limit)


def test_a_file_with_which_nothing_is_wrong_has_no_findings(bench: Bench) -> None:
    bench.twin.behaviour.capacity = cores(12)
    assert bench.step(DEPLOY) == []
    assert bench.notes == ()


OURS = {TAG_MODEL: "churn"}


@pytest.mark.parametrize(
    ("tags", "kind", "step", "found"),
    [
        (OURS, EndpointKind.MANAGED, DEPLOY, []),
        (
            {},
            EndpointKind.MANAGED,
            DEPLOY,
            ["error 11:28 endpoint 'churn' of workspace 'dev' was not made by Signalbox"],
        ),
        ({}, EndpointKind.MANAGED, DEPLOY.replace("notify: [team]", "adopt: true"), []),
        (
            OURS,
            EndpointKind.KUBERNETES,
            DEPLOY,
            ["error 11:28 endpoint 'churn' of workspace 'dev' is kubernetes, not managed"],
        ),
    ],
)
def test_the_endpoint_of_deploy_is_free_or_ours(
    bench: Bench, tags: dict[str, str], kind: EndpointKind, step: str, found: list[str]
) -> None:
    bench.make_endpoint(tags, kind)
    assert bench.step(step) == found


@pytest.mark.parametrize(
    ("limit", "is_served", "found"),
    [
        (7, False, "reserve, and 3 of 7 of standardDSv2Family are left"),
        (11, False, "reserve, and as many again beside them for the next version; 7 of 11 of"),
        (11, True, ""),
        (12, False, ""),
    ],
)
def test_cores_are_there_for_a_deployment_and_for_the_next_one_beside_it(
    bench: Bench, limit: int, is_served: bool, found: str
) -> None:
    if is_served:
        bench.make_endpoint(OURS, EndpointKind.MANAGED, "blue")
        bench.give_traffic("blue")
        limit += 8  # those of blue, and as many in reserve
    bench.twin.behaviour.capacity = cores(limit)
    findings = bench.step(DEPLOY)
    assert len(findings) == bool(found)
    assert all(it.startswith("warning 11:50 1 x Standard_DS3_v2 need 4 cores ") for it in findings)
    assert all(found in it for it in findings)


def test_an_instance_type_that_the_region_lacks_is_an_error(bench: Bench) -> None:
    bench.twin.behaviour.not_offered = frozenset({"Standard_DS3_v2"})
    message = "error 11:50 the region of workspace 'dev' has no VM size 'Standard_DS3_v2'"
    assert bench.step(DEPLOY) == [message]


CONTAINER = (
    "deploy: {endpoint: churn, instance_type: Standard_DS3_v2, environment: 'azureml:env:4',"
    " code: 'azureml:code:1', scoring_script: score.py, probe: {request: golden/a.json}}"
)


def test_an_environment_and_code_have_to_be_registered(bench: Bench) -> None:
    assert bench.step(CONTAINER) == [
        "error 11:80 workspace dev has no environment azureml:env:4",
        "error 11:103 workspace dev has no code azureml:code:1",
    ]
    bench.twin.assets[DEV.key, "environments", "env"] = ["4"]
    bench.twin.assets[DEV.key, "codes", "code"] = ["1"]
    assert bench.step(CONTAINER) == []


JOB = b"""\
type: pipeline
settings: {default_compute: azureml:cpu-cluster}
jobs:
  train: {component: azureml:train@latest, environment: azureml:env:4, compute: azureml:gpu}
  test: {component: "azureml://registries/azureml/components/x/versions/1"}
  tell: {component: azureml:tell@prod, environment: azureml:AzureML-sklearn-1.5:1, compute: local}
"""
RETRAIN = "retrain: {target: {TARGET}}"


@pytest.mark.parametrize(
    ("target", "resources", "messages"),
    [
        ("component: {name: train}", ["components/train"], ["no component 'train'"]),
        (
            "component: {name: train, version: '2', compute: gpu}",
            ["components/train/versions/2", "computes/gpu"],
            ["no component 'train:2'", "no compute 'gpu'"],
        ),
        ("component: {name: train, compute: serverless}", ["components/train"], None),
        ("batch_endpoint: {endpoint: train}", [], ["no batch endpoint 'train'"]),
        (
            "job: {file: jobs/churn.yaml}",
            ["components/train", "environments/env/versions/4", "computes/gpu"],
            [
                "no component 'train'",
                "no compute 'gpu'",
                "no compute 'cpu-cluster'",
                "no environment 'env:4'",
            ],
        ),
        ("webhook: {name: hook}", [], []),
    ],
)
def test_what_a_target_names_has_to_be_there(
    bench: Bench, target: str, resources: list[str], messages: list[str] | None
) -> None:
    bench.files["jobs/churn.yaml"] = JOB
    step = RETRAIN.replace("TARGET", target)
    found = bench.step(step, on="DriftDetected")
    if messages is not None:
        said = [it.removeprefix("error 11:").partition(" workspace 'dev' has ")[2] for it in found]
        assert sorted(said) == sorted(messages)
    bench.twin.resources = {
        (DEV.key, *each.split("/")) for each in [*resources, "computes/cpu-cluster"]
    }
    left = bench.step(step, on="DriftDetected")
    assert left == ([] if "batch" not in target else found)


def test_an_endpoint_and_deployments_that_traffic_goes_to_are_looked_for(bench: Bench) -> None:
    assert bench.step(SHIFT) == ["warning 11:35 workspace 'dev' has no endpoint 'churn'"]
    bench.make_endpoint(OURS, EndpointKind.MANAGED, "blue", "Green")
    assert bench.step(SHIFT) == []
    found = bench.step("shift_traffic: {endpoint: churn, split: {blue: 90%, black: 10%}}")
    assert found == ["warning 11:68 endpoint 'churn' of workspace 'dev' has no deployment 'black'"]
    assert bench.step(SHIFT.replace("green", "previous")) == []


def test_values_that_only_an_event_decides_are_noted_in_one_line(bench: Bench) -> None:
    step = (
        "deploy: {endpoint: '${{ model.name }}',"
        " instance_type: \"${{ model.name == 'a' && 'Standard_DS3_v2' || 'Standard_DS2_v2' }}\"}"
    )
    assert bench.step(step) == []
    assert bench.notes == (
        "not checked, because only an event decides it:"
        " `endpoint` of 'act', `instance_type` of 'act'",
    )


def test_each_question_is_asked_once_for_many_reactions(bench: Bench) -> None:
    bench.make_endpoint({}, EndpointKind.MANAGED)
    head, _, one = (
        FILE.replace("STEP", DEPLOY)
        .replace("EVENT", "ModelRegistered")
        .partition("  - name: act\n")
    )
    many = "".join(f"  - name: act-{number}\n{one}" for number in range(40))
    checked = bench.check(head + many)
    assert checked.count("error") == 40, "each line is to be mended"
    assert len({it.line for it in checked.findings}) == 40
    assert bench.requests == {
        "has_resource": 2,
        "get_model": 1,
        "get_endpoint": 1,
        "find_capacity": 1,
    }


def test_a_reaction_is_not_held_against_a_workspace_that_it_is_not_for(bench: Bench) -> None:
    bench.twin.create_endpoint(PROD, "churn", auth_mode="key", tags={})
    assert bench.step(DEPLOY) == []


@pytest.mark.parametrize(
    ("when", "is_for_prod"),
    [
        ("workspace.name == 'dev'", False),
        ("workspace.name == 'prod'", True),
        ("contains(['dev', 'test'], workspace.name) && is_true(model.tags.deploy)", False),
        ("is_true(model.tags.deploy)", True),
        ("workspace.name == 'dev' || is_true(model.tags.deploy)", True),
        ("workspace.name == 'dev' || type == 'ModelRegistered'", True),
        ("workspace.name == 'dev' || @.type == 'ModelRegistered'", True),
        ("workspace.name == 'dev' || \"type\" == 'ModelRegistered'", True),
        ("model.tags.stage == workspace.name", True),
        ("(workspace.name != 'prod') && model.name == 'a.b'", False),
    ],
)
def test_a_condition_tells_which_workspaces_a_reaction_is_for(
    bench: Bench, when: str, is_for_prod: bool
) -> None:
    bench.twin.create_endpoint(PROD, "churn", auth_mode="key", tags={})
    text = FILE.replace("STEP", DEPLOY).replace("workspace.name == 'dev' && type == 'EVENT'", when)
    checked = bench.check(text.replace("EVENT", "ModelRegistered"))
    assert checked.count("error") == is_for_prod


def test_a_workspace_that_is_gone_is_the_one_thing_that_is_wrong(bench: Bench) -> None:
    bench.twin.gone.add(DEV.key)
    message = "error 3:5 there is no workspace 'dev' in resource group 'rg-1'"
    assert bench.step(SHIFT) == [message]


def failing(method: str, error: Exception) -> Callable[[str], None]:
    def before(called: str) -> None:
        if called == method:
            raise error

    return before


SECRET = "AccountKey=c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"


@pytest.mark.parametrize(
    ("method", "error", "found", "hint"),
    [
        (
            "find_capacity",
            WorkspaceDenied("reading the quota: 403"),
            "error 3:5 reading the quota: 403",
            "It takes the role for the free cores of a region, or Reader, on the subscription",
        ),
        (
            "get_model",
            WorkspaceDenied("reading model: 403"),
            "error 3:5 reading model: 403",
            "It takes the role AzureML Data Scientist on the workspace",
        ),
        (
            "get_endpoint",
            WorkspaceUnreachable("no answer"),
            "warning 3:5 this could not be checked: no answer",
            "Run the command again.",
        ),
        (
            "get_endpoint",
            ValueError(SECRET),
            "warning 3:5 this could not be checked: unexpected ValueError",
            "",
        ),
    ],
)
def test_a_workspace_that_does_not_answer_is_a_finding(
    bench: Bench, method: str, error: Exception, found: str, hint: str
) -> None:
    bench.twin.before = failing(method, error)
    text = FILE.replace("STEP", DEPLOY).replace("EVENT", "ModelRegistered")
    (finding,) = bench.check(text).findings
    assert f"{finding.severity} {finding.line}:{finding.column} {finding.message}" == found
    assert hint in finding.hint


def test_a_role_that_many_questions_need_is_told_once(bench: Bench) -> None:
    times = iter(range(9))

    def before(method: str) -> None:
        if method == "get_endpoint":
            raise WorkspaceDenied(f"reading endpoint {next(times)}: 403")

    bench.twin.before = before
    text = FILE.replace("STEP", f"{DEPLOY}\n      - {DEPLOY.replace('churn', 'scores')}")
    checked = bench.check(text.replace("EVENT", "ModelRegistered"))
    assert len(checked.findings) == 1


def test_no_secret_of_an_answer_is_shown(bench: Bench) -> None:
    bench.twin.before = failing("get_endpoint", WorkspaceUnreachable(f"no: {SECRET}"))
    (message,) = bench.step(DEPLOY)
    assert "c2VjcmV0" not in message


def test_nobody_is_asked_about_a_file_with_errors(bench: Bench) -> None:
    bench.check(FILE)
    assert bench.requests == {}
    assert bench.notes == ("nobody was asked, because the file has errors",)


class Channels:
    """Channels of which some do not take a message."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.sent: list[tuple[str, str, str]] = []

    def send(self, channel: str, *, title: str, text: str, good: bool | None) -> None:
        if channel in self.errors:
            raise self.errors[channel]
        self.sent.append((channel, title, text))


def test_each_channel_gets_one_message_that_says_what_it_is(bench: Bench) -> None:
    text = FILE.replace("STEP", DEPLOY).replace("EVENT", "ModelRegistered")
    channels: Any = Channels(risk=ChannelDown("risk: 404"))
    bench.channels = channels
    checked = bench.check(text, sends=True)
    ((name, title, said),) = channels.sent
    assert (name, title) == ("team", TEST_TITLE)
    assert "`signalbox check --send-test`" in said
    (finding,) = checked.findings
    assert (finding.line, finding.column, finding.severity) == (5, 18, "error")
    assert finding.message == "channel 'risk' did not take the test message: risk: 404"
    assert bench.notes == ("a test message went to team",)
    assert bench.requests == {}, "workspaces are asked with --live only"


def test_no_message_goes_to_topics_which_is_said(bench: Bench) -> None:
    text = FILE.replace("STEP", "publish: {topic: models, type: a.b, data: {}}")
    text = text.replace("EVENT", "ModelRegistered").replace(
        "reactions:", "topics: [models]\nreactions:", 1
    )
    channels: Any = Channels(team=ChannelUnknown("no setting"), risk=ChannelUnknown("no setting"))
    bench.channels = channels
    checked = bench.check(text, sends=True)
    assert checked.findings == (), "an absent setting is found without a message"
    assert bench.notes == (TOPICS_NOTE,)
