"""Target `azure_devops` against a server of its service."""

from dataclasses import replace

import pytest

from sandbox.services.azure_devops import AzureDevOps as AzureDevOpsService
from shared.base.errors import TargetDenied, TargetRefused
from shared.retraining.targets import REFERENCE, TargetRun, TargetStatus
from tests.contract.targets.kit import AGAIN, NAMES, SUBMISSION, UNKNOWN, Bench


def test_the_pipeline_is_given_its_parameters_as_text(azure_devops: Bench) -> None:
    submitted = azure_devops.submit()
    (seen,) = azure_devops.service.requests
    assert seen.path == "/contoso/ml ops/_apis/pipelines/7/runs"
    assert seen.query == "api-version=7.1"
    assert seen.json == {
        "resources": {"repositories": {"self": {"refName": "refs/heads/main"}}},
        "templateParameters": {
            "days": "30",
            "rate": "0.5",
            "full": "true",
            "data": "azureml:churn:4",
            REFERENCE: SUBMISSION.reference,
        },
    }
    root = azure_devops.service.url
    assert submitted.link == f"{root}/contoso/ml%20ops/_build/results?buildId=100"


def test_an_undeclared_parameter_is_refused_by_name(azure_devops: Bench) -> None:
    with pytest.raises(TargetRefused, match="Unexpected parameter 'extra'"):
        azure_devops.submit(replace(SUBMISSION, inputs={"extra": 1}))


@pytest.mark.parametrize("status", [203, 302])
def test_a_page_to_sign_in_at_is_a_denial(azure_devops: Bench, status: int) -> None:
    headers = {"Location": "https://spsprodweu1.vssps.visualstudio.com/_signin"}
    azure_devops.service.fail(status=status, headers=headers, body=b"<html>Sign In</html>")
    with pytest.raises(TargetDenied, match="sign in"):
        azure_devops.submit()
    assert azure_devops.started() == 0


def test_who_is_no_user_of_the_organization_is_denied(azure_devops: Bench) -> None:
    azure_devops.service.users = set()  # type: ignore[attr-defined]
    with pytest.raises(TargetDenied, match="TF400813"):
        azure_devops.submit()


def test_a_run_is_found_by_its_name_where_no_parameters_are_told(azure_devops: Bench) -> None:
    service = azure_devops.service
    assert isinstance(service, AzureDevOpsService)
    service.tells_parameters = False
    azure_devops.submit()
    assert not azure_devops.submit(AGAIN).found
    name = f"retrain-${{{{ parameters.{REFERENCE} }}}}"
    service.have("contoso", "ml ops", 7, {name: {} for name in NAMES}, name=name)
    named = azure_devops.submit()
    assert azure_devops.submit(AGAIN) == replace(named, found=True)


def test_a_run_is_found_on_a_later_page(azure_devops: Bench) -> None:
    service = azure_devops.service
    assert isinstance(service, AzureDevOpsService)
    azure_devops.submit(replace(SUBMISSION, reference="another"))
    service.runs *= 120
    first = azure_devops.submit()
    assert azure_devops.submit(AGAIN).run_id == first.run_id
    service.runs[:0] = service.runs[:1] * 500
    with pytest.raises(TargetRefused, match="too many"):
        azure_devops.submit(AGAIN)


@pytest.mark.parametrize(
    ("result", "run"),
    [
        ("failed", TargetRun(status=TargetStatus.FAILED, reason="the run failed")),
        ("canceled", TargetRun(status=TargetStatus.FAILED, reason="the run was canceled")),
        ("unknown", UNKNOWN),
    ],
)
def test_the_status_of_a_build_is_read(azure_devops: Bench, result: str, run: TargetRun) -> None:
    run_id = azure_devops.submit().run_id
    azure_devops.service.finish(int(run_id), result)  # type: ignore[attr-defined]
    assert azure_devops.look(run_id) == run


def test_a_branch_is_a_branch_and_a_ref_is_a_ref(azure_devops: Bench) -> None:
    service = azure_devops.service
    assert isinstance(service, AzureDevOpsService)
    refs = ("refs/heads/next", "refs/tags/v1")
    service.have("contoso", "ml ops", 7, {name: {} for name in NAMES}, branches=refs)
    for branch in ("next", "refs/tags/v1"):
        params = azure_devops.params.model_copy(update={"branch": branch})
        azure_devops.target.submit(params, SUBMISSION)
    assert tuple(run["branch"] for run in service.runs) == refs
    with pytest.raises(TargetRefused, match="Could not find branch"):
        azure_devops.submit()
