"""Target `github` against a server of its service."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from sandbox.services.github import GitHub as GitHubService
from shared.adapters.http import Http
from shared.base.errors import TargetAbsent, TargetRefused, TargetThrottled
from shared.retraining.targets import REFERENCE, GitHubTarget, TargetStatus
from tests.contract.targets.kit import AGAIN, RUNNING, SUBMISSION, TOKEN, Bench, Clock, make_github


def test_a_workflow_is_given_its_inputs_as_text_and_tells_its_run(github: Bench) -> None:
    submitted = github.submit()
    (seen,) = github.service.requests
    assert seen.path == "/repos/contoso/churn/actions/workflows/retrain.yml/dispatches"
    assert seen.headers["x-github-api-version"] == "2022-11-28"
    assert seen.headers["user-agent"] == "signalbox"
    inputs = {"days": "30", "rate": "0.5", "full": "true", "data": "azureml:churn:4"}
    assert seen.json == {
        "ref": "main",
        "inputs": {**inputs, REFERENCE: SUBMISSION.reference},
        "return_run_details": True,
    }
    assert submitted.run_id == "9000000000"
    assert submitted.link == "https://github.com/contoso/churn/actions/runs/9000000000"


def test_an_older_server_is_asked_without_what_it_does_not_know(
    serve: Any, http: Http, environ: dict[str, str]
) -> None:
    service = serve(GitHubService, knows_run_details=False)
    service.tokens[TOKEN] = {"actions:read", "actions:write"}
    environ["SIGNALBOX_GITHUB_TOKEN"] = TOKEN
    run_name = f"${{{{ inputs.{REFERENCE} }}}}"
    service.have("contoso/churn", "retrain.yml", inputs={REFERENCE: {}}, run_name=run_name)
    bench = make_github(service, http, environ, Clock(), workflow="retrain.yml")
    bare = replace(SUBMISSION, inputs={})
    submitted = bench.submit(bare)
    assert submitted.run_id == ""
    assert submitted.link.endswith("/contoso/churn/actions/workflows/retrain.yml")
    assert [seen.status for seen in service.requests] == [422, 204]
    assert bench.look("") == RUNNING
    with pytest.raises(TargetRefused, match="Unexpected inputs"):
        bench.submit()


def test_an_event_carries_its_facts_under_few_keys(github_event: Bench) -> None:
    submitted = github_event.submit()
    (seen,) = github_event.service.requests
    assert seen.path == "/repos/contoso/churn/dispatches"
    assert seen.json == {
        "event_type": "drift",
        "client_payload": {
            REFERENCE: SUBMISSION.reference,
            "id": SUBMISSION.id,
            "workspace": SUBMISSION.workspace.id,
            "inputs": dict(SUBMISSION.inputs),
            "drift": {"monitor": "churn", "features": ["age"], "worst": None},
        },
    }
    assert submitted.run_id == ""
    assert submitted.link.endswith("/contoso/churn/actions")


def test_facts_that_are_too_long_stay_at_home(github_event: Bench) -> None:
    github_event.submit(replace(SUBMISSION, drift={"features": ["é" * 1000] * 60}))
    (seen,) = github_event.service.requests
    assert "drift" not in seen.json["client_payload"]


def test_without_a_name_of_ours_an_event_is_sent_again(
    github_service: GitHubService, http: Http, environ: dict[str, str]
) -> None:
    bench = make_github(github_service, http, environ, Clock(), event="nameless")
    bench.submit()
    assert not bench.submit(AGAIN).found
    assert bench.started() == 2


@pytest.mark.parametrize(
    ("headers", "message", "wait"),
    [
        ({"X-RateLimit-Remaining": "0"}, "API rate limit exceeded", 60),
        ({}, "You have exceeded a secondary rate limit.", 60),
        ({"Retry-After": "90"}, "Slow down", 90),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, "API rate limit", 60),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, "API rate limit", 0),
        ({"X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "1"}, "secondary rate limit", 60),
    ],
)
@pytest.mark.parametrize("status", [403, 429])
def test_too_many_requests_are_no_denial(
    github: Bench, status: int, headers: dict[str, str], message: str, wait: int
) -> None:
    body = f'{{"message": "{message}"}}'.encode()
    github.service.fail(status=status, headers=headers, body=body)
    with pytest.raises(TargetThrottled, match=message) as raised:
        github.submit()
    assert raised.value.retry_after == timedelta(seconds=wait)


def test_the_time_at_which_a_limit_ends_is_waited_for(github: Bench, clock: Clock) -> None:
    reset = int(clock.now().timestamp()) + 600
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    github.service.fail(status=403, headers=headers)
    with pytest.raises(TargetThrottled) as raised:
        github.submit()
    assert raised.value.retry_after is not None
    assert timedelta(minutes=9) < raised.value.retry_after <= timedelta(minutes=10)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"ref": "gone"}, "No ref found for: gone"),
        ({"workflow": "on-drift.yml"}, "does not have 'workflow_dispatch' trigger"),
    ],
)
def test_what_github_refuses_is_told(github: Bench, params: dict[str, str], words: str) -> None:
    with pytest.raises(TargetRefused, match=words):
        github.target.submit(github.params.model_copy(update=params), SUBMISSION)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "is not set"),
        ("@Microsoft.KeyVault(VaultName=v;SecretName=s)", "does not resolve"),
        ("two\nlines", "characters"),
    ],
)
def test_a_token_that_is_none_is_told_of(
    github: Bench, environ: dict[str, str], value: str, words: str
) -> None:
    environ["SIGNALBOX_GITHUB_TOKEN"] = value
    with pytest.raises(TargetAbsent, match=f"SIGNALBOX_GITHUB_TOKEN.* {words}|{words}"):
        github.submit()
    assert github.service.requests == []


@pytest.mark.parametrize(
    ("conclusion", "status"),
    [
        ("failure", TargetStatus.FAILED),
        ("cancelled", TargetStatus.FAILED),
        ("skipped", TargetStatus.FAILED),
        ("neutral", TargetStatus.SUCCEEDED),
    ],
)
def test_the_status_of_a_workflow_run_is_read(
    github: Bench, conclusion: str, status: TargetStatus
) -> None:
    run_id = github.submit().run_id
    github.service.finish(int(run_id), conclusion)  # type: ignore[attr-defined]
    run = github.look(run_id)
    assert run.status is status
    assert (conclusion in run.reason) is (status is TargetStatus.FAILED)


def test_the_first_of_several_runs_is_the_one(github: Bench) -> None:
    first = github.submit()
    for _ in range(40):
        github.submit(replace(SUBMISSION, reference="another"))
    github.submit()
    assert github.submit(AGAIN).run_id == first.run_id


def test_an_event_and_a_workflow_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="either"):
        GitHubTarget(repository="contoso/churn", event="a", workflow="b.yml")
