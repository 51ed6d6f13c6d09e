"""Target `data_factory` against a server of its service."""

from dataclasses import replace
from typing import Any

import pytest

from sandbox.services.data_factory import DataFactory as DataFactoryService
from shared.adapters.http import Http
from shared.adapters.targets.data_factory import DataFactory
from shared.base.errors import TargetRefused
from shared.base.settings import PUBLIC_ARM
from shared.retraining.targets import REFERENCE, DataFactoryTarget, TargetStatus
from tests.contract.conftest import FakeCredential
from tests.contract.targets.kit import FACTORY, SUBMISSION, Bench


def test_the_pipeline_is_given_the_inputs_and_the_reference(data_factory: Bench) -> None:
    data_factory.submit()
    read, create = data_factory.service.requests
    assert create.path == f"{FACTORY}/pipelines/retrain/createRun"
    assert create.query == read.query == "api-version=2018-06-01"
    assert create.json == {**SUBMISSION.inputs, REFERENCE: SUBMISSION.reference}


@pytest.mark.parametrize("undeclared", ["refuse", "drop"])
@pytest.mark.parametrize("parameters", [{}, {REFERENCE: {"type": "string"}}])
def test_a_pipeline_that_would_not_take_a_parameter_is_not_started(
    undeclared: str, parameters: dict[str, Any], serve: Any, http: Http, credential: FakeCredential
) -> None:
    service = serve(DataFactoryService, undeclared=undeclared)
    service.have(FACTORY, "retrain", parameters)
    target = DataFactory(lambda: credential, endpoint=service.url, http=http)
    params = DataFactoryTarget(factory=FACTORY, pipeline="retrain")
    with pytest.raises(TargetRefused, match=r"no parameter .*days") as raised:
        target.submit(params, SUBMISSION)
    assert (REFERENCE in raised.value.message) is (not parameters)
    assert service.runs == []


def test_a_value_of_the_wrong_type_is_refused(data_factory: Bench) -> None:
    wrong = replace(SUBMISSION, inputs={**SUBMISSION.inputs, "days": "many"})
    with pytest.raises(TargetRefused, match="'days' is no int"):
        data_factory.submit(wrong)


def test_a_run_is_found_on_any_page(serve: Any, http: Http, credential: FakeCredential) -> None:
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


def test_why_a_run_failed_is_told_without_secrets(data_factory: Bench) -> None:
    run_id = data_factory.submit().run_id
    service = data_factory.service
    assert isinstance(service, DataFactoryService)
    service.finish(run_id, "Failed", "Operation on target Train failed: AccountKey=abcdefgh")
    run = data_factory.look(run_id)
    assert run.status is TargetStatus.FAILED
    assert run.reason == "Operation on target Train failed: AccountKey=[redacted]"
    service.finish(run_id, "Cancelled")
    assert data_factory.look(run_id).reason == "the run was cancelled"


def test_a_run_has_a_link_where_its_studio_is_known(http: Http, credential: FakeCredential) -> None:
    target = DataFactory(lambda: credential, http=http)
    params = DataFactoryTarget(factory=FACTORY, pipeline="retrain")
    link = target._link(params, "run-1")
    assert link.startswith("https://adf.azure.com/en/monitoring/pipelineruns/run-1?factory=%2F")
    assert PUBLIC_ARM == "https://management.azure.com"
