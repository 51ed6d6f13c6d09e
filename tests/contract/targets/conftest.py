"""Each target of another service, beside a server that stands in for the service.

The servers (sandbox/services) refuse what the services would refuse; they know nothing of us.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from sandbox.services.azure_devops import AzureDevOps as AzureDevOpsService
from sandbox.services.data_factory import DataFactory as DataFactoryService
from sandbox.services.github import GitHub as GitHubService
from sandbox.services.server import Service
from sandbox.services.webhook import Webhook as WebhookService
from shared.adapters.http import Http
from shared.adapters.targets.azure_devops import AzureDevOps
from shared.adapters.targets.data_factory import DataFactory
from shared.adapters.targets.webhook import Webhook
from shared.retraining.targets import REFERENCE, AzureDevOpsTarget, DataFactoryTarget, WebhookTarget
from tests.contract.conftest import FakeCredential
from tests.contract.targets.kit import (
    FACTORY,
    NAMES,
    PATH,
    SECRET,
    TOKEN,
    Bench,
    Clock,
    make_github,
)


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


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = request.getfixturevalue(request.param)
    return made
