"""However a new version fails, the old one keeps all traffic, and people learn the reason."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from sandbox.workspace.control import Control
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.phases import Phase
from tests.app.stage import Stage

NAME = "failing"
STEP = "deploy-tagged-models/deploy"


@dataclass(frozen=True)
class Fault:
    """One way to fail: what the workspace is told, and what people are told then."""

    name: str
    program: Callable[[Control, str], str | None]
    reason: str
    #: The tag that the version is registered with, and the reaction that it leads to.
    tag: str = "deploy"
    step: str = STEP
    writes: tuple[str, ...] = ("PUT", "DELETE")


FAULTS = [
    Fault(
        "image",
        lambda control, version: control.fail_deployment(
            code="ImageBuildFailure", message="pip could not find xgboost", version=version
        ),
        "ImageBuildFailure: pip could not find xgboost",
    ),
    Fault(
        "container",
        lambda control, version: control.fail_deployment(version=version),
        "ResourceNotReady: User container has crashed or terminated",
    ),
    Fault(
        "quota",
        lambda control, version: control.quota(4, version=version),
        "Not enough quota available for Standard_DS3_v2",
        writes=("PUT",),
    ),
    Fault(
        "capacity",
        lambda control, version: control.fail_deployment(code="OutOfCapacity", version=version),
        "OutOfCapacity: OutOfCapacity happened",
    ),
    Fault(
        "canceled",
        lambda control, version: control.cancel_deployment(version=version),
        "OperationCanceled: The operation was canceled by another operation",
    ),
    Fault(
        "probe",
        lambda control, version: control.scoring(error_rate=1.0, status=502, version=version),
        "expected 200, got 502",
    ),
    Fault(
        "golden-request",
        lambda control, version: None,
        "expected 201, got 200",
        tag="golden",
        step="deploy-with-golden-request/deploy",
    ),
    Fault(
        "shift",
        lambda control, version: control.fail_endpoint(
            endpoint=NAME, message="The traffic could not be updated.", times=1
        ),
        "InternalServerError: The traffic could not be updated.",
        writes=("PUT", "PUT", "PUT", "DELETE"),  # there, back, and gone
    ),
]


@pytest.fixture(scope="module")
def old(stage: Stage) -> str:
    """The deployment of the version that serves before, between and after all failures."""
    stage.register(NAME, "1")
    return stage.wait_live(NAME, "1").deployment


@pytest.mark.parametrize(
    ("version", "fault"),
    [pytest.param(f"{number}", each, id=each.name) for number, each in enumerate(FAULTS, start=2)],
)
def test_the_old_version_serves_on_and_the_reason_is_told_as_the_service_gave_it(
    stage: Stage, old: str, version: str, fault: Fault
) -> None:
    earlier = len(stage.writes(NAME))
    rule = fault.program(stage.control, version)
    with stage.during(*([rule] if rule else [])):
        event = stage.register(NAME, version, **{fault.tag: "true"})
        rollout = stage.wait_ended(NAME, version)
    assert rollout.phase is Phase.ROLLED_BACK
    assert stage.traffic(NAME) == {old: 100}
    assert stage.versions(NAME) == {old: "1"}, "the new deployment is gone"
    assert tuple(write[0] for write in stage.writes(NAME)[earlier:]) == fault.writes
    *_, failed, rolled_back = stage.channel.told
    assert failed.title == f"{NAME} {version} failed on {NAME}"
    assert rolled_back.title == f"{NAME} {version} was rolled back on {NAME}"
    assert fault.reason in failed.text
    assert fault.reason in rolled_back.text
    assert f"Serving now: {old}" in rolled_back.text
    record = stage.wait_recorded(event, OutcomeStatus.FAILED, fault.step)
    assert fault.reason in record.outcomes[fault.step].detail
    assert stage.letters(event) == [], "nothing is to be replayed: the rollout has ended"


def test_the_last_lines_of_a_crashed_container_s_log_are_told(stage: Stage, old: str) -> None:
    log = [f"line {number}" for number in range(100)] + ["ModuleNotFoundError: no 'sklearn'"]
    with stage.during(stage.control.fail_deployment(logs=log, version="20")):
        stage.register(NAME, "20")
        stage.wait_ended(NAME, "20")
    text = stage.channel.told[-1].text
    assert "ModuleNotFoundError: no 'sklearn'" in text
    assert "line 99" in text
    assert "line 70" not in text
    assert stage.traffic(NAME) == {old: 100}


def test_a_first_version_that_fails_leaves_an_endpoint_that_the_next_one_uses(
    stage: Stage,
) -> None:
    with stage.during(stage.control.fail_deployment(model="newborn", version="1")):
        event = stage.register("newborn", "1")
        assert stage.wait_ended("newborn", "1").phase is Phase.ROLLED_BACK
    assert stage.arm.endpoint("newborn") is not None
    assert stage.versions("newborn") == {}
    assert stage.traffic("newborn") == {}
    stage.wait_recorded(event, OutcomeStatus.FAILED)
    assert "Serving now: nothing" in stage.channel.told[-1].text
    stage.register("newborn", "2")
    stage.wait_live("newborn", "2")
    assert stage.serving("newborn") == "2"
