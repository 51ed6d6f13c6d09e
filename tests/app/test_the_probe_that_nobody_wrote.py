"""The shipped reactions name no golden request: what a model is asked, its own files say."""

import json
from collections.abc import Iterator

import pytest

from shared.rollouts.state.phases import Phase
from tests.app.stage import REPOSITORY, Stage, install_app

COLUMNS = json.dumps([{"name": "age", "type": "double"}, {"name": "plan", "type": "string"}])
EXAMPLE = {"type": "dataframe", "artifact_path": "input_example.json"}
ROWS = {"columns": ["age", "plan"], "data": [[31.5, "monthly"]]}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, stage: Stage) -> Iterator[Stage]:
    """The app on the shipped reactions; `stage` has seen to it that there is a cloud to run on."""
    folder = tmp_path_factory.mktemp("shipped") / "app"
    with Stage(install_app(folder, REPOSITORY / "reactions.yaml")) as running:
        yield running


def register(stage: Stage, name: str, version: str, *, example: bool, signature: bool) -> None:
    """Have a run log a model, and register it for deployment."""
    run = f"run-of-{name}-{version}"
    described: dict[str, object] = {"flavors": {"python_function": {}}}
    if signature:
        described["signature"] = {"inputs": COLUMNS}
    if example:
        described["saved_input_example_info"] = EXAMPLE
        stage.arm.put_artifact(run, "model/input_example.json", json.dumps(ROWS))
    stage.arm.put_artifact(run, "model/MLmodel", json.dumps(described))
    stage.register(name, version, uri=f"azureml://jobs/{run}/outputs/artifacts/paths/model")


def test_a_healthy_model_goes_live_whatever_is_known_of_it(shipped: Stage) -> None:
    register(shipped, "with-example", "1", example=True, signature=True)
    register(shipped, "with-signature", "1", example=False, signature=True)
    register(shipped, "with-nothing", "1", example=False, signature=False)
    told = {
        "with-example": "Probe: it answered its own input example after",
        "with-signature": "Probe: it answered a row made up from its signature after",
        "with-nothing": "Probe: it is up, and was asked for no prediction (nothing else could be",
    }
    for name, words in told.items():
        rollout = shipped.wait_live(name, "1")
        assert words.removeprefix("Probe: it ") in rollout.proof
        texts = {message.title: message.text for message in shipped.channel.told}
        assert words in texts[f"{name} 1 is live on {name}"]


def test_a_model_that_raises_on_its_own_example_is_rolled_back(shipped: Stage) -> None:
    register(shipped, "worse", "1", example=True, signature=True)
    shipped.wait_live("worse", "1")
    with shipped.during(shipped.control.scoring(model="worse", version="2", error_rate=1)):
        register(shipped, "worse", "2", example=True, signature=True)
        rollout = shipped.wait_ended("worse", "2", at=Phase.KEEPING)
    assert shipped.serving("worse") == "1"
    assert "to its own input example" in rollout.reason
    assert "the container answered 500" in rollout.reason
