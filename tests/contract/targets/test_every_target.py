"""Data Factory, Azure DevOps, GitHub and webhooks as targets: the behaviour that they share."""

import json
import logging
import re
import subprocess
import sys
import traceback
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from sandbox.services.azure_devops import AzureDevOps as AzureDevOpsService
from sandbox.services.data_factory import DataFactory as DataFactoryService
from sandbox.services.github import GitHub as GitHubService
from shared.adapters.client import path_to, with_query
from shared.adapters.http import BODY_MAX, Http
from shared.adapters.targets.github import GitHub
from shared.adapters.targets.webhook import Webhook
from shared.base.errors import (
    SignalboxError,
    TargetAbsent,
    TargetDenied,
    TargetRefused,
    TargetThrottled,
    TargetUnreachable,
)
from shared.retraining.targets import (
    AzureDevOpsTarget,
    DataFactoryTarget,
    GitHubTarget,
    TargetParams,
)
from tests.contract.conftest import FakeCredential
from tests.contract.targets.kit import (
    AGAIN,
    FACTORY,
    PATH,
    RUNNING,
    SUBMISSION,
    SUCCEEDED,
    UNKNOWN,
    Bench,
    Clock,
)

#: Else every target's word for a run is in it.
TOO_LONG = (
    b'{"runId": "r", "id": 1, "workflow_run_id": 1, "run": 1, "x": "' + b"x" * BODY_MAX + b'"}'
)


ALL = ("data_factory", "azure_devops", "github", "github_event", "webhook")
FINDING = tuple(name for name in ALL if name != "webhook")


every_target = pytest.mark.parametrize("bench", ALL, indirect=True)
those_that_find = pytest.mark.parametrize("bench", FINDING, indirect=True)


@every_target
def test_what_is_submitted_is_started_once(bench: Bench) -> None:
    submitted = bench.submit()
    assert not submitted.found
    assert bench.started() == 1
    assert submitted.link == "" or submitted.link.startswith("https://")


@those_that_find
def test_what_was_started_is_found_and_not_started_again(bench: Bench) -> None:
    first = bench.submit()
    other = replace(SUBMISSION, id="c" * 32, reference=f"{'b' * 32}-{'c' * 32}")
    bench.submit(other)
    again = bench.submit(AGAIN)
    assert again.found
    assert first.run_id in ("", again.run_id)
    assert bench.started() == 2


@every_target
def test_a_lost_answer_makes_no_second_run(bench: Bench) -> None:
    bench.service.fail(method="POST", does_work=True, drop=True)
    with pytest.raises(TargetUnreachable, match="no answer"):
        bench.submit()
    assert bench.started() == 1
    assert bench.submit(AGAIN).found is bench.finds
    assert bench.started() == 1


@every_target
def test_what_was_never_started_is_started_by_the_next_try(bench: Bench) -> None:
    bench.service.fail(drop=True)
    with pytest.raises(TargetUnreachable):
        bench.submit()
    assert bench.started() == 0
    assert not bench.submit(AGAIN).found
    assert bench.started() == 1


@every_target
def test_who_throttles_says_how_long_to_wait(bench: Bench) -> None:
    bench.service.fail(status=429, headers={"Retry-After": "30"})
    with pytest.raises(TargetThrottled) as raised:
        bench.submit()
    assert raised.value.retry_after == timedelta(seconds=30)
    assert bench.started() == 0


@every_target
def test_an_outage_is_retried_when_the_service_says(bench: Bench) -> None:
    bench.service.fail(status=503, headers={"Retry-After": "7"}, body=b"<html>sorry</html>")
    with pytest.raises(TargetUnreachable, match="HTTP 503") as raised:
        bench.submit()
    assert raised.value.retry_after == timedelta(seconds=7)


@every_target
def test_a_service_that_is_down_is_unreachable(bench: Bench) -> None:
    bench.service.stop()
    with pytest.raises(TargetUnreachable, match="ConnectError"):
        bench.submit()


@every_target
def test_who_may_not_is_denied(bench: Bench) -> None:
    bench.deny()
    with pytest.raises(TargetDenied):
        bench.submit()
    assert bench.started() == 0


@every_target
def test_what_is_not_there_is_absent(bench: Bench) -> None:
    with pytest.raises(TargetAbsent):
        bench.target.submit(bench.absent, SUBMISSION)


@every_target
def test_a_redirect_is_not_followed(bench: Bench) -> None:
    elsewhere = f"{bench.service.url}/elsewhere"
    bench.service.fail(status=307, headers={"Location": elsewhere})
    with pytest.raises((TargetRefused, TargetDenied)):
        bench.submit()
    assert [seen.path for seen in bench.service.requests if seen.path == "/elsewhere"] == []
    assert len(bench.service.requests) == 1


@every_target
def test_a_refusal_is_told_in_the_service_s_words(bench: Bench) -> None:
    document = b'{"error": {"code": "Odd", "message": "no \\u202ebecause password=hunter22"}}'
    bench.service.fail(status=400, body=document)
    with pytest.raises(TargetRefused, match="Odd: no because") as raised:
        bench.submit()
    assert "hunter22" not in raised.value.message


@every_target
@pytest.mark.parametrize("body", [TOO_LONG, b"[" * 200_000, b"\xff\xfe", b"null"])
def test_an_answer_that_is_no_document_names_no_run(bench: Bench, body: bytes) -> None:
    bench.service.fail(status=200, body=body, method="POST")
    if isinstance(bench.target, GitHub | Webhook):  # which owe no answer
        assert bench.submit().run_id == ""
        return
    with pytest.raises(TargetUnreachable, match="the answer names no run"):
        bench.submit()


def test_an_answer_that_comes_in_drops_is_too_late(
    webhook: Bench, tmp_path: Path, environ: dict[str, str]
) -> None:
    hasty = Http(ca_path=str(tmp_path / "ca.pem"), longest=0.2)
    webhook.service.fail(status=200, body=b"x" * 100, drip=0.05)
    with pytest.raises(TargetUnreachable, match="ReadTimeout"):
        Webhook(environ, http=hasty).submit(webhook.params, SUBMISSION)
    hasty.close()


@every_target
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500])
def test_no_secret_is_in_an_error_or_a_log(
    bench: Bench, status: int, credential: FakeCredential, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = [*bench.secrets]
    if credential_scopes := _scopes(bench):
        secrets += [credential.get_token(scope).token for scope in credential_scopes]
    assert secrets
    spelled = [json.dumps(secret)[1:-1] for secret in secrets]
    spelled += ["".join(f"\\u{ord(sign):04x}" for sign in secret) for secret in secrets]
    echo = " ".join(spelled)
    ids = f'"runId": "{echo}", "id": "{echo}", "run": "{echo}", "workflow_run_id": "{echo}"'
    told = ""
    for words in (f'"message": "bad: {echo}"', f'"error": {{"message": "bad: {echo}"}}'):
        headers = {"Location": f"{bench.service.url}{PATH}"}
        body = f"{{{words}, {ids}}}".encode()
        bench.service.fail(status=status, body=body, headers=headers)
        try:
            told += repr(bench.submit())
        except SignalboxError as error:
            told += "".join(traceback.format_exception(error)) + error.hint
    assert ("bad: " in told) is (status >= 400)
    for secret in secrets:
        assert secret not in told
        assert secret not in caplog.text


def _scopes(bench: Bench) -> tuple[str, ...]:
    scopes = {
        "DataFactory": (f"{bench.service.url}/.default",),
        "AzureDevOps": ("499b84ac-1321-427f-aa17-267ca6975798/.default",),
    }
    return scopes.get(type(bench.target).__name__, ())


@pytest.mark.parametrize("bench", ["data_factory", "azure_devops"], indirect=True)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientAuthenticationError("no identity\nand much else"), TargetDenied),
        (ServiceRequestError("no route to host"), TargetUnreachable),
    ],
)
def test_an_identity_that_can_t_sign_in_starts_nothing(
    bench: Bench, error: Exception, expected: type[SignalboxError], credential: FakeCredential
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    credential.get_token = fail  # type: ignore[method-assign]
    with pytest.raises(expected) as raised:
        bench.submit()
    assert "much else" not in raised.value.message
    assert bench.service.requests == []


@those_that_find
def test_a_run_is_looked_at(bench: Bench) -> None:
    run_id = bench.submit().run_id
    assert bench.look(run_id) == RUNNING
    run = bench.service.runs[0]  # type: ignore[attr-defined]
    words = {
        DataFactoryService: "Succeeded",
        AzureDevOpsService: "succeeded",
        GitHubService: "success",
    }
    finish = bench.service.finish  # type: ignore[attr-defined]
    finish(run.get("runId") or run.get("id"), words[type(bench.service)])
    assert bench.look(run_id) == SUCCEEDED
    assert bench.look("") == SUCCEEDED


@those_that_find
def test_a_run_that_nobody_knows_is_unknown(bench: Bench) -> None:
    assert bench.look("") == UNKNOWN
    assert bench.look("123456") == UNKNOWN


@those_that_find
def test_a_run_is_looked_for_from_the_first_try_on(bench: Bench, clock: Clock) -> None:
    bench.submit()
    later = replace(AGAIN, since=SUBMISSION.since + timedelta(hours=1))
    clock.off = timedelta(hours=1)
    assert not bench.submit(later).found


@pytest.mark.parametrize("name", ["..", "."])
def test_a_name_does_not_lead_out_of_its_place(
    name: str, azure_devops: Bench, data_factory: Bench, github: Bench
) -> None:
    params = [
        (azure_devops, AzureDevOpsTarget(organization="contoso", project=name, pipeline=7)),
        (data_factory, DataFactoryTarget(factory=FACTORY, pipeline=name)),
        (github, GitHubTarget(repository="contoso/churn", workflow=name)),
        (github, GitHubTarget(repository=f"contoso/{name}", workflow="retrain.yml")),
    ]
    for bench, value in params:
        before = len(bench.service.requests)
        with pytest.raises(TargetRefused, match="nothing can be named"):
            bench.target.submit(value, SUBMISSION)
        assert len(bench.service.requests) == before


def test_a_name_is_one_segment_of_an_address() -> None:
    path = path_to("a/../b?c#d", 7, error=TargetRefused)
    assert with_query(path, {"q": "1&2=3"}) == "/a%2F..%2Fb%3Fc%23d/7?q=1%262%3D3"


def test_the_examples_of_targets_are_what_is_taken() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "targets.md").read_text(
        encoding="utf-8"
    )
    kinds = set()
    for heading in ("data_factory", "azure_devops", "github", "webhook"):
        section = re.search(rf"^## {heading}$(.*?)(?=^##|\Z)", page, re.S | re.M)
        assert section is not None, heading
        for example in re.findall(r"```yaml\n(target:.*?)```", section[1], re.S):
            kinds.add(TargetParams.model_validate(yaml.safe_load(example)["target"]).kind)
    assert kinds == {"data_factory", "azure_devops", "github", "webhook"}


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    names = ("data_factory", "azure_devops", "github", "webhook")
    code = "import sys\n" + "".join(f"import shared.adapters.targets.{name}\n" for name in names)
    heavy = "'httpx', 'azure.core', 'standardwebhooks', 'opentelemetry.instrumentation'"
    code += f"print([name for name in ({heavy},) if name in sys.modules])"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=root, check=True)
    assert done.stdout.decode().strip() == "[]"
