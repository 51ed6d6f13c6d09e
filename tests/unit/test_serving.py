"""How a deployment serves, and how long its answers are waited for, have to go together."""

from datetime import timedelta
from typing import Any

import pytest

from shared.actions import ACTIONS
from shared.actions.deploy.params import DeployParams
from shared.reactions.load import load_reactions
from shared.reactions.model import Reactions
from shared.rollouts.strategy.endpoint_kinds import settle
from shared.rollouts.strategy.model import Probe
from shared.rollouts.strategy.schema import StrategyParams
from shared.schema.findings import ReactionsFaulty
from shared.workspaces.model import EndpointKind, HealthProbe

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
HEAD = f"""version: 1
workspaces: ["{ID}"]
reactions:
  - name: a
    on: ModelRegistered
    do:
      - deploy:
          endpoint: churn
"""


def load(*lines: str, kind: str = "managed", above: str = "") -> Reactions:
    usual = {
        "managed": ["instance_type: Standard_DS3_v2"],
        "batch": ["kind: batch", "compute: cluster"],
    }
    body = "".join(f"          {line}\n" for line in (*usual[kind], *lines))
    text = HEAD.replace("reactions:\n", f"{above}reactions:\n") + body
    return load_reactions(text, actions=ACTIONS, settings={}, has_file=lambda _: True)


def params(**values: Any) -> DeployParams:
    usual = {"endpoint": "churn", "instance_type": "Standard_DS3_v2"}
    return DeployParams.model_validate(usual | values)


@pytest.mark.parametrize(
    ("lines", "warned"),
    [
        ((), []),
        (("probe: {timeout: 5s}",), []),
        (("request_timeout: 1m", "probe: {timeout: 30s, latency: 20s}"), []),
        (("probe: {timeout: 6s}",), ["`probe.timeout` is 6s, and the endpoint cuts an answer"]),
        (("probe: {latency: 6s}",), ["`probe.latency` is 6s"]),
        (("probe: {timeout: 6s, latency: 7s}",), ["`probe.timeout`", "`probe.latency`"]),
        (("request_timeout: 2s", "probe: {timeout: 5s}"), ["cuts an answer off at 2s"]),
        (("probe: {timeout: 5s}", "request_timeout: 2s"), ["cuts an answer off at 2s"]),
    ],
)
def test_a_time_that_no_answer_can_take_is_a_warning(
    lines: tuple[str, ...], warned: list[str]
) -> None:
    found = load(*lines).warnings
    assert len(found) == len(warned)
    for finding, words in zip(found, warned, strict=True):
        assert words in finding.message
        assert "request_timeout" in finding.hint
        assert finding.line > 8


@pytest.mark.parametrize(
    ("probe", "lines", "warned"),
    [
        ("{}", (), []),
        ("{request: golden/a.json}", (), []),
        ("{timeout: 30s}", ("request_timeout: 30s",), []),
        ("{timeout: 30s}", (), ["a probe of 'slow' waits 30s, and the endpoint cuts"]),
        ("{latency: 6s}", (), ["waits 6s"]),
        ("{timeout: 30s}", ("request_timeout: 20s",), ["at 20s"]),
    ],
)
def test_a_time_that_no_answer_to_a_strategys_probe_can_take_is_a_warning(
    probe: str, lines: tuple[str, ...], warned: list[str]
) -> None:
    text = f"rollouts:\n  slow:\n    steps: [probe: {probe}, traffic: 100%]\n"
    found = load(*lines, "rollout: slow", above=text).warnings
    assert len(found) == len(warned)
    for finding, words in zip(found, warned, strict=True):
        assert words in finding.message
        assert "request_timeout" in finding.hint


@pytest.mark.parametrize(
    ("own", "request_timeout", "seconds"),
    [
        ({"request": "golden/a.json"}, None, 10),
        ({"request": "golden/a.json"}, timedelta(seconds=40), 40),
        ({"request": "golden/a.json"}, timedelta(minutes=3), 60),
        ({"timeout": "3s"}, timedelta(seconds=40), 3),
        ({}, timedelta(seconds=40), 7),
    ],
)
def test_a_strategys_probe_waits_as_long_as_the_endpoint_does(
    own: dict[str, Any], request_timeout: timedelta | None, seconds: int
) -> None:
    steps = [{"probe": own}, {"traffic": "100%"}]
    strategy = StrategyParams.model_validate({"steps": steps}).strategy("s")
    usual = Probe(timeout=timedelta(seconds=7))
    step, _ = settle(strategy, EndpointKind.MANAGED, usual, request_timeout).steps
    assert step.probe is not None
    assert step.probe.timeout == timedelta(seconds=seconds)


def test_what_an_expression_decides_is_not_doubted() -> None:
    text = "${{ model.tags.seconds || '30s' }}"
    assert load(f'request_timeout: "{text}"', "probe: {timeout: 30s}").warnings == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("request_timeout: 4m",), "3m at the most for managed endpoints, found 4m"),
        (("request_timeout: 6m",), "from 1s to 5m, found 6m"),
        (("request_timeout: 500ms",), "from 1s to 5m"),
        (("liveness_probe: {period: 0s}",), "from 1s to 1h"),
        (("liveness_probe: {failure_threshold: 0}",), "greater than or equal to 1"),
        (
            ("liveness_probe: {success_threshold: 1}",),
            "has no `liveness_probe.success_threshold`",
        ),
    ],
)
def test_what_the_service_does_not_take_is_refused(lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(ReactionsFaulty, match=message):
        load(*lines)


@pytest.mark.parametrize(
    "line", ["request_timeout: 5s", "liveness_probe: {}", "readiness_probe: {period: 9s}"]
)
def test_a_batch_endpoint_serves_nothing(line: str) -> None:
    with pytest.raises(ReactionsFaulty, match="is not for batch endpoints"):
        load(line, kind="batch")


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({}, 10),
        ({"request_timeout": "2s"}, 10),
        ({"request_timeout": "30s"}, 30),
        ({"request_timeout": "3m"}, 60),
        ({"request_timeout": "30s", "probe": {"timeout": "7s"}}, 7),
    ],
)
def test_an_answer_is_waited_for_as_long_as_the_endpoint_waits_for_it(
    values: dict[str, Any], seconds: int
) -> None:
    found = params(**values)
    assert found.probe.settle(found.request_timeout).timeout == timedelta(seconds=seconds)


def test_what_is_not_said_of_a_health_probe_is_the_service_s() -> None:
    assert params().liveness_probe.probe is None
    found = params(readiness_probe={"period": "20s"}).readiness_probe.probe
    assert found == HealthProbe(period=timedelta(seconds=20))
