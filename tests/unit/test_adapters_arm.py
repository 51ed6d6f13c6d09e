"""The ARM client: what it sends, where it sends it, and what becomes of failures on the way."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from shared.adapters.aml.arm import arm_client, segments
from shared.adapters.aml.connection import Aml
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.adapters.client import Client
from shared.adapters.http import Http, NoAnswer, Reply
from shared.base.errors import (
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.events.model import Workspace
from shared.workspaces.model import Operation, OperationResult, OperationStatus

WORKSPACE = Workspace(subscription="s", resource_group="g", name="w")
OPERATION = "https://management.azure.com/subscriptions/s/providers/p/operations/1?t=1&s=a%2Bb"


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None


class Transport(Http):
    """Answers from a list, and keeps what was asked."""

    def __init__(self, *answers: Reply | Exception) -> None:
        super().__init__()
        self.answers = list(answers)
        self.requests: list[Request] = []

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        **_: Any,
    ) -> Reply:
        self.requests.append(Request(method, url, headers, content))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Credential:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes.append(scopes[0])
        if self.failure:
            raise self.failure
        return AccessToken("the-token", 4_102_444_800)


def answer(body: Any = None, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    sent = {} if body is None else body
    content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return Reply(status=status, headers=named, body=content)


def make_arm(*answers: Reply | Exception, credential: Any = None) -> tuple[Client, Transport]:
    transport = Transport(*answers)
    return arm_client(lambda: credential or Credential(), http=transport), transport


def make_workspaces(*answers: Reply | Exception) -> tuple[ArmWorkspaces, Transport]:
    transport = Transport(*answers)
    return ArmWorkspaces(Aml(Credential, http=transport)), transport


def test_nothing_is_made_before_the_first_call() -> None:
    def never() -> Any:
        raise AssertionError("made too early")

    ArmWorkspaces(Aml(never)).close()


def test_a_request_says_who_asks_and_in_which_version() -> None:
    credential = Credential()
    arm, transport = make_arm(answer({"a": 1}), credential=credential)
    assert arm.call("GET", "/x", "reading x").body == {"a": 1}
    (request,) = transport.requests
    assert request.url == "https://management.azure.com/x?api-version=2025-12-01"
    assert request.headers["Authorization"] == "Bearer the-token"
    assert request.headers["x-ms-client-request-id"]
    assert credential.scopes == ["https://management.azure.com/.default"]


def test_the_credential_is_made_once_and_its_token_used_again() -> None:
    made: list[Credential] = []

    def make() -> Credential:
        made.append(Credential())
        return made[-1]

    transport = Transport(answer({"a": 1}), answer({"a": 1}))
    arm = arm_client(make, http=transport)
    arm.call("GET", "/x", "reading x")
    arm.call("GET", "/x", "reading x")
    assert [credential.scopes for credential in made] == [["https://management.azure.com/.default"]]


def test_another_token_is_asked_for_where_one_is_not_accepted() -> None:
    credential = Credential()
    arm = arm_client(lambda: credential, http=Transport(answer({}, 401), answer({}, 401)))
    with pytest.raises(WorkspaceDenied):
        arm.call("GET", "/x", "reading x")
    signed = arm.signed("reading x")
    assert arm.exchange("GET", f"{arm.root}/x", "reading x", headers=signed).status == 401
    arm.token("reading x")
    assert len(credential.scopes) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_service_that_is_busy_is_asked_once_and_nobody_sleeps(status: int) -> None:
    arm, transport = make_arm(answer({}, status, Retry_After="3600"))
    with pytest.raises((WorkspaceThrottled, WorkspaceUnreachable)) as caught:
        arm.call("GET", "/x", "reading x")
    assert caught.value.retry_after == timedelta(hours=1)
    assert len(transport.requests) == 1


def test_a_request_that_got_no_answer_is_not_sent_again() -> None:
    arm, transport = make_arm(NoAnswer("ReadTimeout"))
    with pytest.raises(WorkspaceUnreachable, match=r"writing x: no answer \(ReadTimeout\)"):
        arm.call("PUT", "/x", "writing x", body={})
    assert len(transport.requests) == 1


@pytest.mark.parametrize("body", [b"", b"<html>proxy</html>", b"[]", b"\xff"])
def test_an_answer_that_is_no_document_is_no_answer(body: bytes) -> None:
    arm, _ = make_arm(answer(body))
    with pytest.raises(WorkspaceUnreachable, match="no document"):
        arm.call("GET", "/x", "reading x")


def test_an_error_without_a_document_has_its_status() -> None:
    arm, _ = make_arm(answer(b"<html>gateway</html>", 502))
    with pytest.raises(WorkspaceUnreachable, match="reading x: HTTP 502"):
        arm.call("GET", "/x", "reading x")


def test_an_identity_that_may_not_sign_in_is_denied() -> None:
    failure = ClientAuthenticationError("ManagedIdentityCredential: no identity\nmore lines")
    arm, transport = make_arm(credential=Credential(failure))
    with pytest.raises(WorkspaceDenied, match=r"could not sign in: .*no identity$"):
        arm.call("GET", "/x", "reading x")
    assert transport.requests == []


def test_an_identity_service_that_fails_is_tried_again_later() -> None:
    failure = ClientAuthenticationError("HTTP 503")
    failure.status_code = 503
    arm, _ = make_arm(credential=Credential(failure))
    with pytest.raises(WorkspaceUnreachable):
        arm.call("GET", "/x", "reading x")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/op",
        "http://management.azure.com/op",
        "https://management.azure.com.evil.example/op",
        "https://management.azure.com@evil.example/op",
        "https://management.azure.com:8443/op",
        "https://evil.example\\@management.azure.com/op",
        "https://management.azure.com\\@evil.example/op",
        "https://management.azure.com",
        "//management.azure.com/op",
        "/op",
        " https://management.azure.com/op",
    ],
)
def test_the_token_goes_nowhere_but_to_arm(url: str) -> None:
    credential = Credential()
    transport = Transport()
    workspaces = ArmWorkspaces(Aml(lambda: credential, http=transport))
    with pytest.raises(WorkspaceRefused, match="leads away"):
        workspaces.get_operation(Operation(url=url))
    assert (credential.scopes, transport.requests) == ([], [])


@pytest.mark.parametrize(
    "root", ["https://management.azure.com", "https://MANAGEMENT.azure.com:443"]
)
def test_an_operations_address_is_followed_as_it_is(root: str) -> None:
    url = f"{root}/op/od:1:2?api-version=2020&t=1&s=a%2Bb%3D"
    workspaces, transport = make_workspaces(answer({"status": "InProgress"}))
    workspaces.get_operation(Operation(url=url))
    assert transport.requests[0].url == url


def test_a_list_is_not_followed_elsewhere() -> None:
    workspaces, _ = make_workspaces(answer({"value": [], "nextLink": "https://evil.example/"}))
    with pytest.raises(WorkspaceRefused, match="leads away"):
        workspaces.list_deployments(WORKSPACE, "e")


def test_a_list_is_read_to_its_end() -> None:
    link = "https://management.azure.com/next"
    workspaces, _ = make_workspaces(
        answer({"value": [{"name": "blue"}], "nextLink": link}),
        answer({"value": None, "nextLink": link}),
        answer({"value": [{"name": "green"}], "nextLink": None}),
    )
    found = workspaces.list_deployments(WORKSPACE, "e")
    assert [deployment.name for deployment in found] == ["blue", "green"]


def test_a_list_without_an_end_is_given_up() -> None:
    page = {"value": [], "nextLink": "https://management.azure.com/next"}
    workspaces, transport = make_workspaces(*(answer(page) for _ in range(50)))
    with pytest.raises(WorkspaceRefused, match="does not end"):
        workspaces.list_deployments(WORKSPACE, "e")
    assert len(transport.requests) <= 21


@pytest.mark.parametrize(
    ("name", "written"), [("a/b", "a%2Fb"), ("a b?c#d", "a%20b%3Fc%23d"), ("..a", "..a")]
)
def test_a_name_stays_one_segment_of_the_path(name: str, written: str) -> None:
    assert segments(name) == f"/{written}"
    workspaces, transport = make_workspaces(answer({}, 404))
    assert workspaces.get_model(WORKSPACE, name, "1") is None
    assert f"/models/{written}/versions/1?" in transport.requests[0].url


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_leave_the_path_is_refused(name: str) -> None:
    workspaces, transport = make_workspaces()
    calls: list[Callable[[], object]] = [
        lambda: workspaces.get_model(WORKSPACE, name, "1"),
        lambda: workspaces.get_model(WORKSPACE, "m", name),
        lambda: workspaces.get_endpoint(WORKSPACE, name),
        lambda: workspaces.delete_deployment(WORKSPACE, "e", name),
    ]
    for call in calls:
        with pytest.raises(WorkspaceRefused, match="can be named"):
            call()
    assert transport.requests == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer({"status": "InProgress"}), OperationStatus.RUNNING),
        (answer({"status": "Accepted"}, 202), OperationStatus.RUNNING),
        (answer({"status": "Succeeded"}), OperationStatus.SUCCEEDED),
        (answer({"status": "failed"}), OperationStatus.FAILED),
        (answer({"status": "Canceled"}), OperationStatus.FAILED),
        (answer({"properties": {"provisioningState": "Updating"}}), OperationStatus.RUNNING),
        (answer({"properties": {"provisioningState": "Failed"}}), OperationStatus.FAILED),
        (answer(b"", 202), OperationStatus.RUNNING),
        (answer(b"", 204), OperationStatus.SUCCEEDED),
        (answer({"error": {"code": "ResourceNotFound"}}, 404), OperationStatus.UNKNOWN),
        (answer({}, 410), OperationStatus.UNKNOWN),
    ],
)
def test_where_an_operation_stands_is_read_in_all_its_forms(
    given: Reply, expected: OperationStatus
) -> None:
    workspaces, _ = make_workspaces(given)
    assert workspaces.get_operation(Operation(url=OPERATION)).status is expected


def test_an_operation_that_was_never_named_is_unknown() -> None:
    workspaces, transport = make_workspaces()
    assert workspaces.get_operation(Operation()).status is OperationStatus.UNKNOWN
    assert transport.requests == []


def test_a_failed_operation_has_its_innermost_reason() -> None:
    detail = {"code": "ImageBuildFailure", "message": "the build failed"}
    document = {
        "status": "Failed",
        "error": {"code": "BadRequest", "message": "failed", "details": [detail]},
    }
    workspaces, _ = make_workspaces(answer(document, Retry_After="5"))
    assert workspaces.get_operation(Operation(url=OPERATION)) == OperationResult(
        status=OperationStatus.FAILED,
        code="ImageBuildFailure",
        message="the build failed",
        retry_after=timedelta(seconds=5),
    )


def test_a_canceled_operation_without_a_reason_says_so() -> None:
    workspaces, _ = make_workspaces(answer({"status": "Canceled"}))
    assert workspaces.get_operation(Operation(url=OPERATION)).code == "Canceled"


def test_a_failure_for_want_of_quota_is_called_by_one_name() -> None:
    document = {"status": "Failed", "error": {"code": "X", "message": "Not enough quota for y"}}
    workspaces, _ = make_workspaces(answer(document))
    assert workspaces.get_operation(Operation(url=OPERATION)).code == "OutOfQuota"


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"Azure_AsyncOperation": OPERATION, "Location": "https://x"}, OPERATION),
        ({"Location": OPERATION}, OPERATION),
        ({}, ""),
    ],
)
def test_what_was_started_is_kept_by_the_address_that_tells_most(
    headers: dict[str, str], url: str
) -> None:
    workspaces, _ = make_workspaces(answer({}, 202, Retry_After="9", **headers))
    started = workspaces.delete_deployment(WORKSPACE, "e", "blue")
    assert started == Operation(url=url, retry_after=timedelta(seconds=9))


@pytest.mark.parametrize("status", [200, 202, 204, 404])
def test_deleting_what_is_gone_is_done(status: int) -> None:
    workspaces, _ = make_workspaces(answer({}, status))
    assert workspaces.delete_deployment(WORKSPACE, "e", "blue") == Operation()


def test_a_workspaces_location_is_read_once() -> None:
    workspaces, transport = make_workspaces(
        answer({"location": "westeurope"}), answer({}, 201), answer({}, 201)
    )
    upper = Workspace(subscription="S", resource_group="G", name="W")
    for workspace in (WORKSPACE, upper):
        workspaces.create_endpoint(workspace, "e", auth_mode="key", tags={})
    assert [request.method for request in transport.requests] == ["GET", "PUT", "PUT"]


def test_an_absent_workspace_is_refused_with_the_services_words() -> None:
    gone = {"error": {"code": "ResourceNotFound", "message": "The Resource 'w' was not found."}}
    workspaces, _ = make_workspaces(answer(gone, 404))
    with pytest.raises(WorkspaceRefused, match="reading workspace 'w': ResourceNotFound: The Res"):
        workspaces.create_endpoint(WORKSPACE, "e", auth_mode="key", tags={})
