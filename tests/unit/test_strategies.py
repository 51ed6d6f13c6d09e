"""Strategies under `rollouts:`: what they come to, the ready-made ones, and every mistake."""

import re
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from shared.actions import ACTIONS
from shared.actions.deploy.action import choose_by_tags
from shared.actions.deploy.params import DeployParams
from shared.base.durations import format_duration
from shared.orphans.schema import Orphans
from shared.reactions.load import load_reactions
from shared.reactions.model import Reactions
from shared.rollouts.strategy.endpoint_kinds import find_misfit, settle
from shared.rollouts.strategy.gates_schema import GatesParams, LimitParams, RequestsGateParams
from shared.rollouts.strategy.model import (
    USUAL_WAIT,
    Gate,
    Newer,
    NoVerdict,
    OnConflict,
    OnFailure,
    Probe,
    RolloutStep,
    StepKind,
    Strategy,
)
from shared.rollouts.strategy.probe_schema import ProbeParams
from shared.rollouts.strategy.ready_made import READY_MADE
from shared.rollouts.strategy.schema import StepParams, StrategyParams, find_strategy
from shared.schema.document import read_document
from shared.schema.findings import Finding, ReactionsFaulty
from shared.workspaces.metrics import Measure
from shared.workspaces.model import EndpointKind

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES = [(_REFERENCE / name).read_text("utf-8") for name in ("strategies.md", "reactions.md")]
HEAD = "version: 1\nworkspaces: []\nchannels: [team]\n"
DEPLOY = """\
reactions:
  - name: go
    on: ModelRegistered
    do:
      - deploy: {endpoint: e, instance_type: Standard_DS3_v2, notify: [team], rollout: careful}
"""
CAREFUL = """\
rollouts:
  careful:
    steps:
      - probe: {request: golden/a.json, latency: 500ms, output: golden/b.json, tolerance: 0.01}
      - mirror: 10%
      - hold: 15m
      - mirror: 0%
      - traffic: 10%
      - hold: 15m
      - scale: 3
      - scale: stable
      - approve: 1d
      - better: latency_p95
      - probe:
      - traffic: 100%
      - hold: 10m
    gates:
      error_rate: {max: 2%, max_increase: 0.5%, min_requests: 200, too_few: fail}
      latency_p95: {max: 800ms, max_ratio: 1.2, unavailable: hold}
      latency: {max: 2s}
      cpu: {max: 80%, observe: true}
      memory: {max_increase: 12.5%}
      requests: {min: 50, no_data: fail}
    confidence: 99.9%
    patience: 2h
    answer_within: 3d
    on_failure: step_down
    on_conflict: adopt
    newer: supersede
    keep_failed: 0s
    step_down_every: 1m
"""


def load(text: str, **options: Any) -> Reactions:
    """Load the text with the app's actions."""
    return load_reactions(text, **{"actions": ACTIONS, "settings": {}, **options})


def findings_of(text: str, **options: Any) -> list[Finding]:
    """Return the errors in the text."""
    try:
        load(text, **options)
    except ReactionsFaulty as error:
        return [item for item in error.findings if item.severity == "error"]
    return []


def test_a_strategy_is_what_is_written() -> None:
    reactions = load(HEAD + CAREFUL + DEPLOY)
    assert reactions.warnings == ()
    golden = Probe(
        request="golden/a.json",
        latency=timedelta(milliseconds=500),
        output="golden/b.json",
        tolerance=0.01,
        timeout=None,
    )
    quarter = timedelta(minutes=15)
    assert reactions.rollouts["careful"] == Strategy(
        name="careful",
        steps=(
            RolloutStep(kind=StepKind.PROBE, probe=golden),
            RolloutStep(kind=StepKind.MIRROR, percent=10),
            RolloutStep(kind=StepKind.HOLD, span=quarter),
            RolloutStep(kind=StepKind.MIRROR, percent=0),
            RolloutStep(kind=StepKind.TRAFFIC, percent=10),
            RolloutStep(kind=StepKind.HOLD, span=quarter),
            RolloutStep(kind=StepKind.SCALE, instances=3),
            RolloutStep(kind=StepKind.SCALE, instances=0),
            RolloutStep(kind=StepKind.APPROVE, span=timedelta(days=1)),
            RolloutStep(kind=StepKind.BETTER, measure=Measure.LATENCY_P95),
            RolloutStep(kind=StepKind.PROBE),
            RolloutStep(kind=StepKind.TRAFFIC, percent=100),
            RolloutStep(kind=StepKind.HOLD, span=timedelta(minutes=10)),
        ),
        gates=(
            Gate(
                measure=Measure.ERROR_RATE,
                max=0.02,
                max_increase=0.005,
                min_requests=200,
                too_few=NoVerdict.FAIL,
            ),
            Gate(measure=Measure.LATENCY, max=2000),
            Gate(measure=Measure.LATENCY_P95, max=800, max_ratio=1.2, unavailable=NoVerdict.HOLD),
            Gate(measure=Measure.REQUESTS, min_requests=50, no_data=NoVerdict.FAIL),
            Gate(measure=Measure.CPU, max=80, observe=True),
            Gate(measure=Measure.MEMORY, max_increase=12.5),
        ),
        confidence=0.999,
        patience=timedelta(hours=2),
        answer_within=timedelta(days=3),
        on_failure=OnFailure.STEP_DOWN,
        on_conflict=OnConflict.ADOPT,
        newer=Newer.SUPERSEDE,
        keep_failed=timedelta(0),
        step_down_every=timedelta(minutes=1),
    )


def test_what_a_strategy_does_not_say_is_as_the_type_has_it() -> None:
    (strategy,) = load(
        HEAD + "rollouts: {a: {steps: [traffic: 100%]}}\nreactions: []\n"
    ).rollouts.values()
    assert strategy == Strategy(name="a", steps=(RolloutStep(kind=StepKind.TRAFFIC, percent=100),))


def test_a_strategy_takes_what_it_is_based_on_but_for_what_it_says() -> None:
    text = "rollouts: {a: {based_on: canary, gates: {cpu: {max: 80%}}, on_failure: hold}}\n"
    strategy = find_strategy("a", load(HEAD + text + "reactions: []\n").rollouts)
    canary = find_strategy("canary", {})
    assert strategy is not None
    assert canary is not None
    gates = (Gate(measure=Measure.CPU, max=80),)
    assert strategy == replace(canary, name="a", gates=gates, on_failure=OnFailure.HOLD)


@pytest.mark.parametrize("name", READY_MADE)
def test_a_ready_made_strategy_stands_the_checks_of_a_written_one(name: str) -> None:
    body = indent(yaml.safe_dump(dict(READY_MADE[name]), sort_keys=False), "    ")
    text = HEAD + "rollouts:\n  mine:\n" + body + "reactions: []\n"
    reactions = load(text)
    ready = find_strategy(name, reactions.rollouts)
    assert ready is not None
    assert replace(ready, name="mine") == find_strategy("mine", reactions.rollouts)
    assert ready.steps[0] == RolloutStep(kind=StepKind.PROBE)
    assert bool(ready.gates) is any(step.kind is StepKind.HOLD for step in ready.steps)


def test_what_is_neither_written_nor_ready_made_is_not_found() -> None:
    assert find_strategy("reckless", load(HEAD + CAREFUL + DEPLOY).rollouts) is None


def steps(*items: str) -> str:
    """Return a file with one strategy of these steps, and below them what begins with a space."""
    lines = ["rollouts:", "  a:", "    steps:"]
    lines += [f"   {item}" if item.startswith(" ") else f"      - {item}" for item in items]
    return "\n".join([HEAD.rstrip(), *lines, "reactions: []", ""])


#: Steps, from line 7 on, and other keys; line, column, message and hint of what is told.
MISTAKES = [
    (["traffic: 100"], 7, 18, "`steps[0].traffic` should be a percentage, found 100", "`100%`"),
    (["traffic: '100'"], 7, 18, "should be a percentage, found '100'", "`100%`"),
    (["traffic: a lot"], 7, 18, "should be a percentage, found 'a lot'", "`10%`"),
    (["traffic: 0%"], 7, 18, "`steps[0].traffic` should be from 1% to 100%, found '0%'", ""),
    (["traffic: 101%"], 7, 18, "should be from 1% to 100%, found '101%'", ""),
    (["traffic: 2.5%"], 7, 18, "should be a whole percentage, found '2.5%'", ""),
    (["traffic: -5%"], 7, 18, "should be a percentage, found '-5%'", ""),
    (["traffic: ${{ x }}"], 7, 18, "should be a percentage, found '${{ x }}'", ""),
    (["traffic: 50%"], 7, 18, "the last split is 50%, it has to be 100%", "- traffic: 100%"),
    (["probe:"], 6, 5, "`steps` never sends the new deployment any traffic", "- traffic: 100%"),
    (["traffic: 50%", "traffic: 20%"], 8, 18, "`steps[1].traffic` goes down, from 50% to 20%", ""),
    (["mirror: 51%"], 7, 17, "`steps[0].mirror` should be from 0% to 50%, found '51%'", ""),
    (["traffic: 5%", "mirror: 5%"], 8, 17, "`steps[1].mirror` comes after `traffic`", "before"),
    (["traffic: 5%", "mirror: 0%"], 8, 17, "`steps[1].mirror` comes after `traffic`", "before"),
    (["hold: 0s"], 7, 15, "`steps[0].hold`: from 1s to 30d, found 0s", ""),
    (["hold: 31d"], 7, 15, "`steps[0].hold`: from 1s to 30d, found 31d", ""),
    (["hold: 15"], 7, 15, "`steps[0].hold` should be a length of time, found 15", "`15s`"),
    (["approve: never"], 7, 18, "`steps[0].approve` should be a length of time", "a unit"),
    (["scale: 0"], 7, 16, "should be a number of instances, 1 to 50, or `stable`, found 0", ""),
    (["scale: true"], 7, 16, "should be a number of instances, 1 to 50, or `stable`", ""),
    (["scale: stabel"], 7, 16, "or `stable`, found 'stabel'", "what serves"),
    (["better: latncy_p95"], 7, 17, "`steps[0].better` can't be 'latncy_p95'", "`latency_p95`"),
    (["better: requests"], 7, 17, "`steps[0].better` can't be 'requests'", "`cpu`"),
    (["better:"], 7, 16, "`steps[0].better` can't be nothing", "`cpu`"),
    (["better: cpu"], 7, 17, "compares two deployments that both have traffic", "- traffic: 50%"),
    (["hold: 1h", "traffic: 50%", "better: cpu"], 9, 17, "`steps[2].better` compares two", ""),
    (["traffic: 100%", "hold: 1h", "better: cpu"], 9, 17, "`steps[2].better` compares two", ""),
    (["hodl: 5m"], 7, 9, "`a` has no `steps[0].hodl`", "`hold`"),
    (["probe"], 7, 9, "`steps[0]` should be a mapping, found 'probe'", "`:`"),
    (["5"], 7, 9, "`steps[0]` should be a mapping, found 5", ""),
    (["{}"], 7, 9, "`steps[0]` should be one step, found none", ""),
    (["{hold: 5m, traffic: 5%}"], 7, 9, "should be one step, found `hold`, `traffic`", "`- `"),
    (["probe: {requst: golden/a.json}"], 7, 17, "`a` has no `steps[0].probe.requst`", "`request`"),
    (["probe: {request: /etc/passwd}"], 7, 26, "should be a .json file", "golden/churn.json"),
    (["probe: {request: golden/../a.json}"], 7, 26, "a .json file", "`golden/a.json`"),
    (["probe: {output: golden/a.json}"], 7, 25, "is the answer to no request", "`request`"),
    (["probe: {latency: 2m}"], 7, 26, "`steps[0].probe.latency`: from 1ms to 1m, found 2m", ""),
    (["probe: {tolerance: 2}"], 7, 28, "should be less than or equal to 1, found 2", ""),
    (["traffic: 100%", " gates: {cpu: {max: 8%}}"], 8, 5, "there is no `hold`", "- hold: 15m"),
    (["hold: 5m", " gates: {cpu: {max: 8%}}"], 7, 15, "no traffic here", "after a `mirror`"),
    (["mirror: 5%", "mirror: 0%", "hold: 5m", " gates: {cpu: {max: 8%}}"], 9, 15, "no traffic", ""),
    (["hold: 1h", " confidence: 99"], 8, 17, "`confidence` should be a percentage, found", "`99%`"),
    (["hold: 1h", " confidence: 100%"], 8, 17, "should be from 50% to 99.99%, found '100%'", ""),
    (["hold: 1h", " on_failure: rolback"], 8, 17, "can't be 'rolback'", "`rollback`"),
    (["hold: 1h", " newr: wait"], 8, 5, "`a` has no `newr`", "`newer`"),
    (["hold: 1h", " based_on: canary"], 8, 5, "`a` has `steps` and `based_on`", "Keep one"),
]  # fmt: skip


@pytest.mark.parametrize(("items", "line", "column", "message", "hint"), MISTAKES)
def test_a_mistake_is_found_where_it_is_with_what_would_be_right(
    items: list[str], line: int, column: int, message: str, hint: str
) -> None:
    findings = findings_of(steps(*items))
    told = [item for item in findings if message in item.message and hint in item.hint]
    assert (line, column) in {(item.line, item.column) for item in told}, [
        item.describe("a") for item in findings
    ]


#: A gate, and what is told of it: the place in its text, message, hint.
GATES = [
    ("error_rate: ", 12, "`gates.error_rate` has no limit", "`max_inc"),
    ("cpu: {observe: true}", 6, "`gates.cpu` has no limit", "`max`"),
    ("cpu: {max: 80}", 12, "should be a percentage, found 80", "`80%`"),
    ("cpu: {max_ratio: 2}", 7, "`a` has no `gates.cpu.max_ratio`", ""),
    ("error_rate: {max_ratio: 2}", 14, "`gates.error_rate.max_ratio`", ""),
    ("latency: {max: 8}", 16, "should be a time, found 8", "`8ms`"),
    ("latency: {max: 8%}", 16, "should be a time, found '8%'", "`800ms`"),
    ("latency: {max: 0s}", 16, "from 1ms to 1h, found '0s'", ""),
    ("latency: {max_ratio: 0.2}", 22, "greater than or equal to 1, found 0.2", ""),
    ("latency: {max_increase: 9ms}", 11, "no `gates.latency.max_incr", ""),
    ("requests: {}", 1, "`a` needs `gates.requests.min`", ""),
    ("requests: {min: 0}", 17, "greater than or equal to 1", ""),
    ("requests: {min: 1, observe: true}", 20, "`gates.requests.observe", ""),
    ("latency_p59: {max: 1s}", 1, "no `gates.latency_p59`", "`latency_p"),
    ("cpu: {max: 8%, too_few: go}", 25, "can't be 'go'", "`wait`"),
]  # fmt: skip


@pytest.mark.parametrize(("gate", "place", "message", "hint"), GATES)
def test_a_mistake_in_a_gate_is_found_where_it_is(
    gate: str, place: int, message: str, hint: str
) -> None:
    items = ("traffic: 100%", "hold: 1h", f" gates: {{{gate}}}")
    (finding,) = findings_of(steps(*items))
    assert message in finding.message
    assert hint in finding.hint
    assert (finding.line, finding.column) == (9, 12 + place)


STRUCTURES = [
    ("rollouts: []", "`rollouts:` should be a mapping, found a list"),
    ("rollouts:", "`rollouts:` should be a mapping, found nothing"),
    ("rollouts: {a: }", "a strategy should be a mapping, found nothing"),
    ("rollouts: {a: [probe]}", "a strategy should be a mapping, found a list"),
    ("rollouts: {a: {}}", "`a` needs `steps` or `based_on`"),
    ("rollouts: {a: {steps: []}}", "`steps` should have 1 to 50 steps, found 0"),
    (f"rollouts: {{a: {{steps: [{'probe:, ' * 51}]}}}}", "1 to 50 steps, found 51"),
    ("rollouts: {a: {steps: }}", "`steps` should be a list, found nothing"),
    ("rollouts: {a: {based_on: canray}}", "should be a ready-made strategy, found 'canray'"),
    ("rollouts: {a: {based_on: [canary]}}", "should be a ready-made strategy, found a list"),
    ("rollouts: {a: {based_on: a}}", "should be a ready-made strategy, found 'a'"),
    ("rollouts: {Aa: {based_on: canary}}", "a strategy can't be called 'Aa'"),
    ("rollouts: {canary: {based_on: canary}}", "strategy 'canary' is ready-made"),
    ("rollouts: {a: {based_on: shadow, gates: 3}}", "`gates` should be a mapping, found 3"),
    (
        "rollouts: {a: {based_on: all-at-once, gates: {cpu: {max: 8%}}}}",
        "`gates` are judged while a split holds, and there is no `hold`",
    ),
    ("orphans:", "`orphans:` should be a mapping, found nothing"),
    ("orphans: {after: 59m}", "`after`: from 1h to 90d, found 59m"),
    ("orphans: {notify: [taem]}", "there is no channel 'taem'"),
    ("orphans: {delete: 3}", "`delete` should be true or false, found 3"),
    ("orphans: {afer: 1d}", "`orphans` has no `afer`"),
    ("rolouts: {}", "the file has no `rolouts`"),
]


@pytest.mark.parametrize(("text", "message"), STRUCTURES)
def test_what_is_no_strategy_and_no_orphans_says_so(text: str, message: str) -> None:
    findings = findings_of(f"{HEAD}{text}\nreactions: []\n")
    assert [item for item in findings if message in item.message and item.line == 4], findings


def test_all_mistakes_of_a_strategy_are_told_at_once() -> None:
    text = steps(
        "probe: {status: 9}",
        "mirror: 60%",
        "hold: 5",
        "traffic: 50%",
        "traffic: 20%",
        "traffic: 100",
        " gates: {error_rate: , cpu: {max: 80}}",
        " confidence: 1",
        " patince: 1h",
    )
    told = [(item.line, item.message.split("`")[1]) for item in findings_of(text)]
    assert told == [
        (7, "steps[0].probe.status"),
        (8, "steps[1].mirror"),
        (9, "steps[2].hold"),
        (11, "steps[4].traffic"),
        (12, "steps[5].traffic"),
        (13, "gates.error_rate"),
        (13, "gates.cpu.max"),
        (14, "confidence"),
        (15, "a"),
    ]


@pytest.mark.parametrize(
    "others",
    [
        ["hold: 1h", " gates: {cpu: {max: 8%}}"],
        ["hold: 1h", "better: cpu", "traffic: 100%"],
    ],
)
def test_what_can_not_be_read_is_not_told_again_as_what_is_missing(others: list[str]) -> None:
    findings = findings_of(steps("traffic: 50", *others))
    assert [item.message for item in findings] == [
        "`steps[0].traffic` should be a percentage, found 50"
    ]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("rollout: careful", []),
        ("rollout: canary", ["careful"]),
        ("allow: {rollout: ['car*']}", []),
        ("allow: {rollout: [canary]}", ["careful"]),
        ("rollout: '${{ model.tags.rollout }}', allow: {rollout: ['*']}", []),
    ],
)
def test_a_strategy_that_no_reaction_names_is_a_warning(change: str, names: list[str]) -> None:
    warnings = load(HEAD + CAREFUL + DEPLOY.replace("rollout: careful", change)).warnings
    assert [(item.line, item.column, item.message) for item in warnings] == [
        (5, 3, f"no reaction uses strategy '{name}'") for name in names
    ]


def deploy(values: str, rollouts: str = CAREFUL) -> str:
    """Return a file with the careful strategy and a deployment with these values."""
    return f"{HEAD}{rollouts}" + DEPLOY.replace(
        "instance_type: Standard_DS3_v2, notify: [team], rollout: careful", values
    ).replace("channels: [team]\n", "")


VM = "instance_type: Standard_DS3_v2"
CLUSTER = "compute: k8s, instance_type: default-type"
PLAIN = "rollouts: {careful: {steps: [approve: 1d, traffic: 100%, hold: 5m]}}\n"
DEPLOYMENTS = [
    (VM, ""),
    (f"{VM}, rollout: careful", ""),
    (f"{VM}, rollout: shadow", ""),
    (f"{VM}, rollout: carful", "there is no strategy 'carful'"),
    (f"{VM}, rollout: Canary", "there is no strategy 'Canary'"),
    (f"{VM}, rollout: 3", "`rollout` should be text, found 3"),
    (f"{VM}, allow: {{rollout: [linaer]}}", "there is no strategy 'linaer'"),
    (f"{VM}, kind: manged", "`kind` can't be 'manged'"),
    (f"{VM}, compute: k8s", "`compute` is not for managed endpoints"),
    ("kind: managed", "`deploy` needs `instance_type`"),
    ("instance_type: default-type", "`instance_type`: name a VM size"),
    (f"kind: kubernetes, {CLUSTER}", ""),
    (f"kind: kubernetes, {CLUSTER}, rollout: canary", ""),
    (f"kind: kubernetes, {VM}, compute: k8s", "name an instance type of the cluster"),
    (f"kind: kubernetes, {CLUSTER}, rollout: shadow", "'shadow' mirrors traffic"),
    (f"kind: kubernetes, {CLUSTER}, rollout: careful", "'careful' mirrors traffic"),
    ("kind: kubernetes, instance_type: t", "`deploy` needs `compute`"),
    ("kind: kubernetes, compute: k8s", "`deploy` needs `instance_type`"),
    ("kind: batch, compute: cpu-cluster", ""),
    ("kind: batch, compute: cpu-cluster, rollout: all-at-once", ""),
    ("kind: batch, compute: a/b", "`compute`: name a compute of the workspace"),
    ("kind: batch", "`deploy` needs `compute`"),
    (f"kind: batch, compute: c, {VM}", "`instance_type` is not for batch endpoints"),
    ("kind: batch, compute: c, auth_mode: key", "`auth_mode` can't be 'key' for batch"),
    (f"kind: kubernetes, {CLUSTER}, auth_mode: aad_token", "can't be 'aad_token' for kubernetes"),
    (f"kind: kubernetes, {CLUSTER}, auth_mode: aml_token", ""),
    (f"{VM}, auth_mode: aml_token", ""),
    (f"{VM}, auth_mode: password", "`auth_mode` can't be 'password'"),
    (f"kind: kubernetes, {CLUSTER}, auth_mode: '${{{{ model.tags.mode }}}}'", ""),
    ("kind: batch, compute: c, rollout: canary", "'canary' has `probe`, which batch"),
    ("kind: batch, compute: c, rollout: careful", "has `probe`, `mirror`, `scale`, `better`, whi"),
    ("kind: '${{ model.tags.kind }}', compute: '${{ model.name }}'", ""),
    ("kind: batch, compute: '${{ model.name }}'", ""),
    ("kind: batch, compute: '${{ model.tags.compute }}', allow: {compute: ['cpu-*']}", ""),
    (
        "kind: batch, compute: '${{ model.tags.compute }}'",
        "`compute` is made from a tag, and `allow.compute` lists nothing",
    ),
    (
        f"{VM}, instance_count: '${{{{ to_number(model.tags.count) }}}}'",
        "`instance_count` is made from a tag, and `allow.instance_count` lists nothing",
    ),
    (
        f"{VM}, probe: {{request: 'golden/${{{{ model.tags.golden }}}}.json'}}",
        "`probe.request` is made from a tag, and `allow.probe_request` lists nothing",
    ),
    (
        f"{VM}, probe: '${{{{ model.tags }}}}'",
        "`probe.request` is made from a tag, and `allow.probe_request` lists nothing",
    ),
]


@pytest.mark.parametrize(("values", "message"), DEPLOYMENTS)
def test_a_deployment_is_held_against_its_kind_and_its_strategy(values: str, message: str) -> None:
    findings = findings_of(deploy(values))
    assert len(findings) == bool(message), findings
    assert all(message in item.message and item.reaction == "go" for item in findings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN, ""),
        (PLAIN.replace("hold: 5m]", "hold: 5m], gates: {cpu: {max: 8%}}"), "'careful' has gates"),
        (PLAIN.replace("approve: 1d", "traffic: 50%"), "'careful' splits traffic"),
    ],
)
def test_a_batch_endpoint_is_switched_at_once(text: str, message: str) -> None:
    findings = findings_of(deploy("kind: batch, compute: c, rollout: careful", text))
    assert [message in item.message for item in findings] == [True] * bool(message)


def test_a_strategy_with_a_mistake_is_not_also_said_to_be_absent() -> None:
    broken = PLAIN.replace("100%", "100")
    findings = findings_of(deploy("kind: batch, compute: c, rollout: careful", broken))
    assert [item.line for item in findings] == [4]


def test_the_kinds_of_endpoint_are_those_that_workspaces_have() -> None:
    annotation = DeployParams.model_fields["kind"].annotation
    assert set(get_args(annotation)) == set(map(str, EndpointKind))


def test_golden_files_have_to_be_there() -> None:
    findings = findings_of(HEAD + CAREFUL + DEPLOY, has_file=lambda path: path == "golden/a.json")
    assert [(item.line, item.column, item.message) for item in findings] == [
        (7, 65, "the app has no file 'golden/b.json'")
    ]


def test_a_model_s_tag_may_choose_a_strategy_in_any_casing() -> None:
    params = DeployParams.model_validate(
        {"endpoint": "e", "instance_type": "Standard_DS3_v2", "allow": {"rollout": ["can*"]}}
    )
    assert choose_by_tags(params, {}).rollout == "all-at-once"
    assert choose_by_tags(params, {"signalbox_rollout": "Canary"}).rollout == "canary"


def test_a_probe_of_which_nothing_is_said_is_the_action_s_and_of_a_batch_endpoint_none() -> None:
    own = Probe(request="golden/a.json", timeout=timedelta(seconds=3))
    given = Probe(request="golden/b.json", timeout=timedelta(seconds=4))
    strategy = Strategy(
        name="a",
        steps=(
            RolloutStep(kind=StepKind.PROBE),
            RolloutStep(kind=StepKind.PROBE, probe=own),
            RolloutStep(kind=StepKind.TRAFFIC, percent=100),
        ),
    )
    settled = settle(strategy, EndpointKind.MANAGED, given)
    assert [step.probe for step in settled.steps] == [given, own, None]
    (step,) = settle(strategy, EndpointKind.BATCH, given).steps
    assert step.kind is StepKind.TRAFFIC


@pytest.mark.parametrize("name", READY_MADE)
def test_which_ready_made_strategies_fit_which_endpoints(name: str) -> None:
    strategy = find_strategy(name, {})
    assert strategy is not None
    fits = {kind for kind in EndpointKind if not find_misfit(strategy, kind)}
    unfit = {
        "all-at-once": set(),
        "shadow": {EndpointKind.KUBERNETES, EndpointKind.BATCH},
    }.get(name, {EndpointKind.BATCH})
    assert fits == set(EndpointKind) - unfit


@pytest.mark.parametrize(
    ("text", "orphans"),
    [
        ("", None),
        ("orphans: {}\n", Orphans()),
        (
            "orphans: {after: 2d, notify: [team], delete: true}\n",
            Orphans(after=timedelta(days=2), notify=("team",), delete=True),
        ),
    ],
)
def test_orphans_are_what_is_written(text: str, orphans: Orphans | None) -> None:
    reactions = load(f"{HEAD}{text}reactions: []\n")
    assert reactions.orphans == orphans
    assert bool(reactions.warnings) is (orphans is None or not orphans.notify)


def section(title: str) -> str:
    """Return a section of the pages, with those below it."""
    level, _, _ = title.partition(" ")
    end = rf"(?=^#{{1,{len(level)}}} |\Z)"
    (found,) = (text for page in PAGES for text in re.findall(rf"(?ms)^{title}$(.*?){end}", page))
    return str(found)


def rows(text: str) -> dict[str, str]:
    """Return the second cells of the tables' rows by the code in the first."""
    found = re.findall(r"^\| `(\w+)`[^|]*\|([^|]*)\|", text, re.M)
    return {name: cell.strip() for name, cell in found}


def test_the_page_shows_the_ready_made_strategies_as_they_are() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", section("## Ready-made"), re.S)
    document, faults = read_document(example)
    assert faults == ()
    assert document is not None
    assert document.value == READY_MADE


def told(value: object) -> str:
    """Return a default as the page writes it."""
    match value:
        case timedelta():
            return format_duration(value)
        case bool():
            return str(value).lower()
        case float():
            return f"{value * 100:g}%"
        case ():
            return "[]"
        case GatesParams():
            return "{}"
    return str(value)


@pytest.mark.parametrize(
    ("title", "model"),
    [
        ("# Strategies", StrategyParams),
        ("## Gates of a strategy", LimitParams),
        ("## Orphans", Orphans),
    ],
)
def test_the_page_names_every_key_with_its_default(title: str, model: type[BaseModel]) -> None:
    documented = rows(section(title))
    for name, info in model.model_fields.items():
        default = "" if info.is_required() else info.get_default(call_default_factory=True)
        assert documented[name] == told(default), name


def test_the_page_names_every_step_and_every_gate() -> None:
    page = section("# Strategies")
    assert {name for name in StepParams.model_fields if f"| `{name}" in page} == set(StepKind)
    assert all(f"`{measure}`" in section("## Gates of a strategy") for measure in Measure)
    assert set(GatesParams.model_fields) == set(map(str, Measure))
    assert set(RequestsGateParams.model_fields) - {"min"} <= {item.name for item in fields(Gate)}


def test_the_values_of_a_probe_are_those_of_the_type() -> None:
    assert ProbeParams().settle() == Probe(timeout=USUAL_WAIT)
    assert ProbeParams.model_fields.keys() == {each.name for each in fields(Probe)}


def test_a_strategy_has_the_defaults_of_its_type_where_only_its_steps_are_written() -> None:
    written = {"steps": [{"traffic": "100%"}], "gates": {"cpu": {"max": "80%"}}}
    assert StrategyParams.model_validate(written).strategy("s") == Strategy(
        name="s",
        steps=(RolloutStep(kind=StepKind.TRAFFIC, percent=100),),
        gates=(Gate(measure=Measure.CPU, max=80.0),),
    )


_LEAVES = st.sampled_from(
    ["10%", "100%", "5m", "1d", "stable", "latency_p95", "canary", 3, None, True, "golden/a.json"]
) | st.text(max_size=5)
_WORDS = [*StepParams.model_fields, *StrategyParams.model_fields, *GatesParams.model_fields, "max"]
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(data=st.dictionaries(st.sampled_from(["a", "b", "canary", "!"]), _VALUES, max_size=3))
def test_any_strategies_load_or_are_rejected_with_findings(data: Any) -> None:
    text = HEAD + yaml.safe_dump({"rollouts": data}) + "reactions: []\n"
    findings = findings_of(text)
    assert all(1 <= item.line <= text.count("\n") + 1 and item.message for item in findings)
    assert findings or load(text).rollouts.keys() == data.keys()


def test_the_loader_says_which_names_it_takes() -> None:
    text = dedent(
        """\
        version: 1
        workspaces: []
        rollouts: {a: {based_on: nothing-like-it}}
        reactions: []
        """
    )
    (finding,) = findings_of(text)
    assert all(f"`{name}`" in finding.hint for name in READY_MADE)
