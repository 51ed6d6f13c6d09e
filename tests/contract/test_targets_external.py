"""Data Factory, Azure DevOps, GitHub and webhooks: each target against a server of its service.

The servers (sandbox/services) refuse what the services would refuse; they know nothing of us.
"""

import base64
import json
import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from pydantic import ValidationError

from sandbox.services.azure_devops import AzureDevOps as AzureDevOpsService
from sandbox.services.data_factory import DataFactory as DataFactoryService
from sandbox.services.github import GitHub as GitHubService
from sandbox.services.server import Service
from sandbox.services.webhook import Webhook as WebhookService
from shared.adapters.client import path_to, with_query
from shared.adapters.http import BODY_MAX, Http
from shared.adapters.targets.azure_devops import AzureDevOps
from shared.adapters.targets.data_factory import PUBLIC_ENDPOINT, DataFactory
from shared.adapters.targets.github import GitHub
from shared.adapters.targets.webhook import Webhook
from shared.base.errors import (
    SettingInvalid,
    SignalboxError,
    TargetAbsent,
    TargetDenied,
    TargetRefused,
    TargetThrottled,
    TargetUnreachable,
)
from shared.events.model import Workspace
from shared.retraining.targets import (
    REFERENCE,
    AzureDevOpsTarget,
    DataFactoryTarget,
    GitHubTarget,
    Submission,
    Submitted,
    Target,
    TargetParams,
    TargetRun,
    TargetStatus,
    WebhookTarget,
)
from tests.contract.conftest import FakeCredential

FACTORY = "/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.DataFactory/factories/adf-1"
TOKEN = "github_pat_11AAAAAAA0abcdefghijkl"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 24).decode()
PATH = "/hooks/8f14e45fceea167a5a36dedd4bea2543?code=s3cr3t-c0de"
SUBMISSION = Submission(
    id="a" * 32,
    reference=f"{'b' * 32}-{'a' * 32}",
    workspace=Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a"),
    since=datetime.now(UTC),
    is_first=True,
    inputs={"days": 30, "rate": 0.5, "full": True, "data": "azureml:churn:4"},
    tags={"signalbox_reaction": "retrain-churn"},
    drift={"monitor": "churn", "features": ["age"], "worst": float("inf")},
)
AGAIN = replace(SUBMISSION, is_first=False)
NAMES = (*SUBMISSION.inputs, REFERENCE)
RUNNING = TargetRun(status=TargetStatus.RUNNING)
UNKNOWN = TargetRun(status=TargetStatus.UNKNOWN)
SUCCEEDED = TargetRun(status=TargetStatus.SUCCEEDED)


#: Else every target's word for a run is in it.
TOO_LONG = (
    b'{"runId": "r", "id": 1, "workflow_run_id": 1, "run": 1, "x": "' + b"x" * BODY_MAX + b'"}'
)


class Clock:
    """The machine's clock, or one that is off by so much."""

    def __init__(self) -> None:
        self.off = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off


@dataclass(kw_only=True)
class Bench:
    """A target, its service, and what the common tests need to know of both."""

    target: Target[Any]
    service: Service
    params: Any
    absent: Any  #: What is not there.
    started: Callable[[], int]
    deny: Callable[[], object]
    secrets: tuple[str, ...]
    finds: bool = True  #: Whether what was started is found again.

    def submit(self, submission: Submission = SUBMISSION) -> Submitted:
        return self.target.submit(self.params, submission)

    def look(self, run_id: str) -> TargetRun:
        return self.target.look(self.params, SUBMISSION, run_id)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def serve(authority: trustme.CA, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    with ExitStack() as running:

        def serve(kind: type[Service], *args: Any, **options: Any) -> Service:
            return running.enter_context(
                kind(*args, ca_folder=tmp_path, authority=authority, **options)
            )

        yield serve


@pytest.fixture
def http(authority: trustme.CA, tmp_path: Path) -> Iterator[Http]:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    http = Http(ca_path=str(path))
    yield http
    http.close()


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.fixture
def data_factory(serve: Any, http: Http, credential: FakeCredential, clock: Clock) -> Bench:
    service = serve(DataFactoryService)
    declared = {"days": "int", "rate": "float", "full": "bool", "data": "string"}
    parameters = {name: {"type": kind} for name, kind in declared.items()}
    service.have(FACTORY, "retrain", parameters | {REFERENCE: {"type": "string"}})
    return Bench(
        target=DataFactory(lambda: credential, endpoint=service.url, http=http, clock=clock),
        service=service,
        params=DataFactoryTarget(factory=FACTORY, pipeline="retrain"),
        absent=DataFactoryTarget(factory=FACTORY, pipeline="retire"),
        started=lambda: len(service.runs),
        deny=lambda: setattr(service, "operators", set()),
        secrets=(),
    )


@pytest.fixture
def azure_devops(serve: Any, http: Http, credential: FakeCredential) -> Bench:
    service = serve(AzureDevOpsService)
    service.have("contoso", "ml ops", 7, {name: {} for name in NAMES})
    return Bench(
        target=AzureDevOps(lambda: credential, endpoint=service.url, http=http),
        service=service,
        params=AzureDevOpsTarget(organization="contoso", project="ml ops", pipeline=7),
        absent=AzureDevOpsTarget(organization="contoso", project="ml ops", pipeline=8),
        started=lambda: len(service.runs),
        deny=lambda: service.readers.add("client"),
        secrets=(),
    )


@pytest.fixture
def github_service(serve: Any, environ: dict[str, str]) -> GitHubService:
    service: GitHubService = serve(GitHubService)
    service.tokens[TOKEN] = {"actions:read", "actions:write", "contents:write"}
    environ["SIGNALBOX_GITHUB_TOKEN"] = TOKEN
    service.have(
        "contoso/churn",
        "retrain.yml",
        inputs={name: {} for name in NAMES},
        run_name=f"Retrain ${{{{ inputs.{REFERENCE} }}}}",
    )
    service.have(
        "contoso/churn",
        "on-drift.yml",
        types=("drift",),
        run_name=f"Drift ${{{{ github.event.client_payload.{REFERENCE} }}}}",
    )
    service.have("contoso/churn", "nameless.yml", types=("nameless",), run_name="Drift")
    return service


def make_github(
    service: GitHubService, http: Http, environ: dict[str, str], clock: Clock, **way: str
) -> Bench:
    return Bench(
        target=GitHub(environ, endpoint=service.url, http=http, clock=clock),
        service=service,
        params=GitHubTarget(repository="contoso/churn", **way),
        absent=GitHubTarget(repository="contoso/other", **way),
        started=lambda: len(service.runs),
        deny=lambda: service.tokens[TOKEN].clear(),
        secrets=(TOKEN,),
    )


@pytest.fixture
def github(
    github_service: GitHubService, http: Http, environ: dict[str, str], clock: Clock
) -> Bench:
    return make_github(github_service, http, environ, clock, workflow="retrain.yml")


@pytest.fixture
def github_event(
    github_service: GitHubService, http: Http, environ: dict[str, str], clock: Clock
) -> Bench:
    return make_github(github_service, http, environ, clock, event="drift")


@pytest.fixture
def webhook(serve: Any, http: Http, environ: dict[str, str], clock: Clock) -> Bench:
    service = serve(WebhookService, SECRET)
    environ["SIGNALBOX_WEBHOOK_MY_TRAINER_URL"] = f"{service.url}{PATH}"
    environ["SIGNALBOX_WEBHOOK_MY_TRAINER_SECRET"] = SECRET
    return Bench(
        target=Webhook(environ, http=http, clock=clock),
        service=service,
        params=WebhookTarget(name="my-trainer"),
        absent=WebhookTarget(name="other"),
        started=lambda: len(service.messages),
        deny=lambda: service.secrets.clear(),
        secrets=(SECRET, SECRET.removeprefix("whsec_"), *PATH.strip("/").split("/")[1].split("?")),
        finds=False,
    )


ALL = ("data_factory", "azure_devops", "github", "github_event", "webhook")
FINDING = tuple(name for name in ALL if name != "webhook")


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = request.getfixturevalue(request.param)
    return made


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
    bench: Bench,
    status: int,
    credential: FakeCredential,
    caplog: pytest.LogCaptureFixture,
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
    page = (Path(__file__).parents[2] / "docs" / "reference" / "targets.md").read_text(
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
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=root, check=True)
    assert done.stdout.decode().strip() == "[]"


class TestDataFactory:
    def test_the_pipeline_is_given_the_inputs_and_the_reference(self, data_factory: Bench) -> None:
        data_factory.submit()
        read, create = data_factory.service.requests
        assert create.path == f"{FACTORY}/pipelines/retrain/createRun"
        assert create.query == read.query == "api-version=2018-06-01"
        assert create.json == {**SUBMISSION.inputs, REFERENCE: SUBMISSION.reference}

    @pytest.mark.parametrize("undeclared", ["refuse", "drop"])
    @pytest.mark.parametrize("parameters", [{}, {REFERENCE: {"type": "string"}}])
    def test_a_pipeline_that_would_not_take_a_parameter_is_not_started(
        self,
        undeclared: str,
        parameters: dict[str, Any],
        serve: Any,
        http: Http,
        credential: FakeCredential,
    ) -> None:
        service = serve(DataFactoryService, undeclared=undeclared)
        service.have(FACTORY, "retrain", parameters)
        target = DataFactory(lambda: credential, endpoint=service.url, http=http)
        params = DataFactoryTarget(factory=FACTORY, pipeline="retrain")
        with pytest.raises(TargetRefused, match=r"no parameter .*days") as raised:
            target.submit(params, SUBMISSION)
        assert (REFERENCE in raised.value.message) is (not parameters)
        assert service.runs == []

    def test_a_value_of_the_wrong_type_is_refused(self, data_factory: Bench) -> None:
        wrong = replace(SUBMISSION, inputs={**SUBMISSION.inputs, "days": "many"})
        with pytest.raises(TargetRefused, match="'days' is no int"):
            data_factory.submit(wrong)

    def test_a_run_is_found_on_any_page(
        self, serve: Any, http: Http, credential: FakeCredential
    ) -> None:
        service = serve(DataFactoryService, page=2)
        service.have(FACTORY, "retrain", {REFERENCE: {"type": "string"}})
        target = DataFactory(lambda: credential, endpoint=service.url, http=http)
        params = DataFactoryTarget(factory=FACTORY, pipeline="retrain")
        bare = replace(SUBMISSION, inputs={})
        for number in range(4):
            other = replace(bare, reference=f"{'b' * 32}-{number:032}")
            target.submit(params, other)
        first = target.submit(params, bare)
        assert target.submit(params, replace(bare, is_first=False)).run_id == first.run_id
        for _ in range(20):
            target.submit(params, replace(bare, reference="another"))
        lost = replace(bare, reference="lost", is_first=False)
        with pytest.raises(TargetRefused, match="too many"):
            target.submit(params, lost)

    def test_why_a_run_failed_is_told_without_secrets(self, data_factory: Bench) -> None:
        run_id = data_factory.submit().run_id
        service = data_factory.service
        assert isinstance(service, DataFactoryService)
        service.finish(run_id, "Failed", "Operation on target Train failed: AccountKey=abcdefgh")
        run = data_factory.look(run_id)
        assert run.status is TargetStatus.FAILED
        assert run.reason == "Operation on target Train failed: AccountKey=[redacted]"
        service.finish(run_id, "Cancelled")
        assert data_factory.look(run_id).reason == "the run was cancelled"

    def test_a_run_has_a_link_where_its_studio_is_known(
        self, http: Http, credential: FakeCredential
    ) -> None:
        target = DataFactory(lambda: credential, http=http)
        params = DataFactoryTarget(factory=FACTORY, pipeline="retrain")
        link = target._link(params, "run-1")
        assert link.startswith("https://adf.azure.com/en/monitoring/pipelineruns/run-1?factory=%2F")
        assert PUBLIC_ENDPOINT == "https://management.azure.com"


class TestAzureDevOps:
    def test_the_pipeline_is_given_its_parameters_as_text(self, azure_devops: Bench) -> None:
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

    def test_an_undeclared_parameter_is_refused_by_name(self, azure_devops: Bench) -> None:
        with pytest.raises(TargetRefused, match="Unexpected parameter 'extra'"):
            azure_devops.submit(replace(SUBMISSION, inputs={"extra": 1}))

    @pytest.mark.parametrize("status", [203, 302])
    def test_a_page_to_sign_in_at_is_a_denial(self, azure_devops: Bench, status: int) -> None:
        headers = {"Location": "https://spsprodweu1.vssps.visualstudio.com/_signin"}
        azure_devops.service.fail(status=status, headers=headers, body=b"<html>Sign In</html>")
        with pytest.raises(TargetDenied, match="sign in"):
            azure_devops.submit()
        assert azure_devops.started() == 0

    def test_who_is_no_user_of_the_organization_is_denied(self, azure_devops: Bench) -> None:
        azure_devops.service.users = set()  # type: ignore[attr-defined]
        with pytest.raises(TargetDenied, match="TF400813"):
            azure_devops.submit()

    def test_a_run_is_found_by_its_name_where_no_parameters_are_told(
        self, azure_devops: Bench
    ) -> None:
        service = azure_devops.service
        assert isinstance(service, AzureDevOpsService)
        service.tells_parameters = False
        azure_devops.submit()
        assert not azure_devops.submit(AGAIN).found
        name = f"retrain-${{{{ parameters.{REFERENCE} }}}}"
        service.have("contoso", "ml ops", 7, {name: {} for name in NAMES}, name=name)
        named = azure_devops.submit()
        assert azure_devops.submit(AGAIN) == replace(named, found=True)

    def test_a_run_is_found_on_a_later_page(self, azure_devops: Bench) -> None:
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
    def test_how_a_run_ended_is_told(
        self, azure_devops: Bench, result: str, run: TargetRun
    ) -> None:
        run_id = azure_devops.submit().run_id
        azure_devops.service.finish(int(run_id), result)  # type: ignore[attr-defined]
        assert azure_devops.look(run_id) == run

    def test_a_branch_is_a_branch_and_a_ref_is_a_ref(self, azure_devops: Bench) -> None:
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


class TestGitHub:
    def test_a_workflow_is_given_its_inputs_as_text_and_tells_its_run(self, github: Bench) -> None:
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
        self, serve: Any, http: Http, environ: dict[str, str]
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

    def test_an_event_carries_its_facts_under_few_keys(self, github_event: Bench) -> None:
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

    def test_facts_that_are_too_long_stay_at_home(self, github_event: Bench) -> None:
        github_event.submit(replace(SUBMISSION, drift={"features": ["é" * 1000] * 60}))
        (seen,) = github_event.service.requests
        assert "drift" not in seen.json["client_payload"]

    def test_without_a_name_of_ours_an_event_is_sent_again(
        self, github_service: GitHubService, http: Http, environ: dict[str, str]
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
        self, github: Bench, status: int, headers: dict[str, str], message: str, wait: int
    ) -> None:
        body = f'{{"message": "{message}"}}'.encode()
        github.service.fail(status=status, headers=headers, body=body)
        with pytest.raises(TargetThrottled, match=message) as raised:
            github.submit()
        assert raised.value.retry_after == timedelta(seconds=wait)

    def test_the_time_at_which_a_limit_ends_is_waited_for(
        self, github: Bench, clock: Clock
    ) -> None:
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
    def test_what_github_refuses_is_told(
        self, github: Bench, params: dict[str, str], words: str
    ) -> None:
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
        self, github: Bench, environ: dict[str, str], value: str, words: str
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
    def test_how_a_run_ended_is_told(
        self, github: Bench, conclusion: str, status: TargetStatus
    ) -> None:
        run_id = github.submit().run_id
        github.service.finish(int(run_id), conclusion)  # type: ignore[attr-defined]
        run = github.look(run_id)
        assert run.status is status
        assert (conclusion in run.reason) is (status is TargetStatus.FAILED)

    def test_the_first_of_several_runs_is_the_one(self, github: Bench) -> None:
        first = github.submit()
        for _ in range(40):
            github.submit(replace(SUBMISSION, reference="another"))
        github.submit()
        assert github.submit(AGAIN).run_id == first.run_id

    def test_two_ways_are_none(self) -> None:
        with pytest.raises(ValidationError, match="either"):
            GitHubTarget(repository="contoso/churn", event="a", workflow="b.yml")


class TestWebhook:
    def test_a_message_has_its_facts_and_a_signature_that_holds(self, webhook: Bench) -> None:
        from standardwebhooks import Webhook as Verifier

        webhook.submit()
        (seen,) = webhook.service.requests
        assert seen.path == PATH.partition("?")[0]
        document = Verifier(SECRET).verify(seen.body, dict(seen.headers))
        assert document["type"] == "signalbox.retraining"
        assert document["timestamp"] == SUBMISSION.since.isoformat()
        assert document["data"] == {
            "id": SUBMISSION.id,
            REFERENCE: SUBMISSION.reference,
            "workspace": {
                "id": SUBMISSION.workspace.id,
                "subscription": "sub-1",
                "resource_group": "rg-1",
                "name": "ws-a",
            },
            "inputs": dict(SUBMISSION.inputs),
            "tags": dict(SUBMISSION.tags),
            "drift": {"monitor": "churn", "features": ["age"], "worst": None},
        }

    def test_a_message_told_twice_is_the_same_message(self, webhook: Bench, clock: Clock) -> None:
        webhook.submit()
        clock.off = timedelta(minutes=4)
        webhook.submit(AGAIN)
        first, second = webhook.service.requests
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"] == SUBMISSION.id
        assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
        assert webhook.started() == 1

    def test_the_answer_may_name_a_run(self, webhook: Bench) -> None:
        link = "https://jobs.example.org/runs/7"
        webhook.service.answer = {"run": 7, "link": link}  # type: ignore[attr-defined]
        assert webhook.submit() == Submitted(run_id="7", link=link)
        assert webhook.look("7") == UNKNOWN

    @pytest.mark.parametrize(
        "link",
        [
            "http://jobs.example.org/7",
            "https://user:password@jobs.example.org/7",
            "https://jobs.example.org/7?sig=abcdefgh",
            "https://jobs.example.org/\u202e7",
            "https://jobs.example.org/" + "7" * 2000,
            "javascript:alert(1)",
            f"https://jobs.example.org{PATH}",
            7,
        ],
    )
    def test_a_link_that_can_t_be_told_is_none(self, webhook: Bench, link: Any) -> None:
        webhook.service.answer = {"run": {"id": 7}, "link": link}  # type: ignore[attr-defined]
        assert webhook.submit() == Submitted()

    def test_one_that_has_it_already_may_say_so(self, webhook: Bench) -> None:
        webhook.service.again = 409  # type: ignore[attr-defined]
        webhook.submit()
        assert webhook.submit(AGAIN).found
        with pytest.raises(TargetRefused, match="HTTP 409"):
            webhook.submit()

    def test_one_that_is_gone_is_not_called_again(self, webhook: Bench) -> None:
        webhook.service.fail(status=410)
        with pytest.raises(TargetAbsent):
            webhook.submit()

    def test_a_clock_that_is_wrong_is_told_of(self, webhook: Bench, clock: Clock) -> None:
        clock.off = -timedelta(minutes=10)
        with pytest.raises(TargetRefused, match="too old"):
            webhook.submit()

    def test_a_key_is_changed_without_a_gap(self, webhook: Bench, environ: dict[str, str]) -> None:
        environ["SIGNALBOX_WEBHOOK_MY_TRAINER_SECRET"] = f"{OLD_SECRET} {SECRET}"
        webhook.submit()
        webhook.service.secrets[:] = [OLD_SECRET]  # type: ignore[attr-defined]
        webhook.submit(AGAIN)
        assert [seen.status for seen in webhook.service.requests] == [202, 200]

    @pytest.mark.parametrize(
        "secret",
        ["whsec_", "whsec_c2hvcnQ=", "c" * 32, "whsec_!!!!", f"{SECRET} x", "whsk_" + "A" * 32],
    )
    def test_a_key_that_is_none_is_told_of(
        self, webhook: Bench, environ: dict[str, str], secret: str
    ) -> None:
        environ["SIGNALBOX_WEBHOOK_MY_TRAINER_SECRET"] = secret
        with pytest.raises(SettingInvalid, match="SIGNALBOX_WEBHOOK_MY_TRAINER_SECRET") as raised:
            webhook.submit()
        assert secret == "whsec_" or secret not in raised.value.message + raised.value.hint
        assert webhook.service.requests == []

    @pytest.mark.parametrize("url", ["http://localhost:1/x", "ftp://x", "file:///etc/passwd", "x"])
    def test_an_address_is_https_or_none(
        self, webhook: Bench, environ: dict[str, str], url: str
    ) -> None:
        environ["SIGNALBOX_WEBHOOK_MY_TRAINER_URL"] = url
        with pytest.raises(TargetRefused, match="https") as raised:
            webhook.submit()
        assert url not in raised.value.message

    def test_its_address_is_in_no_trace(self, webhook: Bench, github: Bench) -> None:
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        instrumentor = HTTPXClientInstrumentor()
        instrumentor.instrument(tracer_provider=provider)
        try:
            webhook.submit()
            github.submit()
        finally:
            instrumentor.uninstrument()
        told = " ".join(str(dict(span.attributes or {})) for span in spans.get_finished_spans())
        assert "/repos/contoso/churn" in told
        assert PATH.split("?")[0] not in told
