"""The error that each refusal of the workspace becomes."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.adapters.refusals import WORKSPACE, parse_complaint, parse_retry_after, refusal
from shared.base.errors import (
    QuotaExceeded,
    SignalboxError,
    WorkspaceBusy,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)


def error(code: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message} | more}


def wrapped(problem: dict[str, Any]) -> dict[str, Any]:
    """As the inferencing service's refusals arrive: JSON in the text of a detail."""
    message = f"InferencingClient HttpRequest error, error detail: {json.dumps(problem)}"
    detail = {"code": "InferencingClientCreateDeploymentFailed", "message": message}
    return error("BadRequest", "The request is invalid.", details=[detail])


NO_CORES = wrapped(
    {
        "errors": {
            "VmSize": [
                "Not enough quota available for Standard_F4s_v2 in SubscriptionId x. Current "
                "usage/limit: 0/6. Additional needed: 8 Please see troubleshooting guide, "
                "available here: https://aka.ms/oe-tsg#error-outofquota"
            ]
        },
        "title": "One or more validation errors occurred.",
        "status": 400,
    }
)
UPDATING = error(
    "BadRequest",
    "Cannot create a deployment in endpoint e because it is in Updating provisioning state.",
)
FAILED = error(
    "Conflict",
    "Cannot create a deployment in endpoint e because it is in Failed provisioning state.",
)


@pytest.mark.parametrize(
    ("status", "document", "expected"),
    [
        (400, error("BadArgument", "no"), WorkspaceRefused),
        (400, NO_CORES, QuotaExceeded),
        (400, error("OutOfQuota", "no"), QuotaExceeded),
        (400, error("BadRequest", "x", details=[{"code": "OutOfQuota"}]), QuotaExceeded),
        (409, error("QuotaExceeded", "exceeding approved DSv2 cores quota"), QuotaExceeded),
        (422, NO_CORES, QuotaExceeded),
        (400, UPDATING, WorkspaceBusy),
        (400, error("OperationCanceled", "by another of higher priority"), WorkspaceBusy),
        (409, error("Conflict", "another operation"), WorkspaceBusy),
        (409, error("ResourceExists", "x"), WorkspaceBusy),
        (409, {}, WorkspaceBusy),
        (409, FAILED, WorkspaceRefused),
        (409, error("ScopeLocked", "the scope is locked"), WorkspaceRefused),
        (409, error("MissingSubscriptionRegistration", "not registered"), WorkspaceRefused),
        (409, error("ReadOnlyDisabledSubscription", "x"), WorkspaceRefused),
        (409, error("InvalidResourceLocation", "exists in location x"), WorkspaceRefused),
        (409, error("Conflict", "x", details=[{"code": "SkuNotAvailable"}]), WorkspaceRefused),
        (403, error("RequestDisallowedByPolicy", "by policy 'no public'"), WorkspaceRefused),
        (403, error("PublicNetworkAccessDisabled", "x"), WorkspaceRefused),
        (409, error("RequestDisallowedByPolicy", "by policy 'no public'"), WorkspaceRefused),
        (409, error("Conflict", "x", details=[{"code": "PolicyViolation"}]), WorkspaceRefused),
        (403, error("ReadOnlyDisabledSubscription", "x"), WorkspaceRefused),
        (409, error("DisallowedOperation", "not permitted"), WorkspaceRefused),
        (412, {}, WorkspaceBusy),
        (401, error("ExpiredAuthenticationToken", "x"), WorkspaceDenied),
        (403, error("AuthorizationFailed", "x"), WorkspaceDenied),
        (404, error("ResourceNotFound", "x"), WorkspaceRefused),
        (307, {}, WorkspaceRefused),
        (408, {}, WorkspaceUnreachable),
        (429, error("TooManyRequests", "quota exceeded"), WorkspaceThrottled),
        (500, {}, WorkspaceUnreachable),
        (503, error("ServerBusy", "not enough quota"), WorkspaceUnreachable),
    ],
)
def test_each_refusal_has_its_error(
    status: int, document: Any, expected: type[SignalboxError]
) -> None:
    found = refusal(WORKSPACE, "creating x", status, document)
    assert type(found) is expected
    assert found.message.startswith("creating x: ")


@pytest.mark.parametrize("status", [409, 429, 503])
def test_the_services_word_on_when_to_come_back_is_kept(status: int) -> None:
    wait = timedelta(seconds=7)
    assert refusal(WORKSPACE, "x", status, {}, retry_after=wait).retry_after == wait


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("RequestDisallowedByPolicy", "by policy 'no public'"),
        ("DenyAssignmentAuthorizationFailed", "denied because of the deny assignment 'x'"),
        ("Forbidden", "Public network access is disabled on the workspace"),
        ("UserError", "Public access is not enabled for this workspace"),
    ],
)
def test_what_is_forbidden_to_everybody_is_no_matter_of_roles(code: str, message: str) -> None:
    found = refusal(WORKSPACE, "creating x", 403, error(code, message))
    assert isinstance(found, WorkspaceRefused)
    assert found.message.endswith(f"{code}: {message}")
    assert "roles.md" not in found.hint
    assert "public_network_access" in found.hint


def test_the_message_is_the_innermost_one() -> None:
    found = refusal(WORKSPACE, "creating x", 400, NO_CORES)
    assert found.message.startswith("creating x: OutOfQuota: VmSize: Not enough quota available")
    assert "InferencingClient" not in found.message
    deep = error(
        "Outer", "said nothing", details=[{"code": "Mid"}, {"code": "Inner", "message": "this"}]
    )
    assert (parse_complaint(deep).code, parse_complaint(deep).message) == ("Inner", "this")
    inner = error("Outer", "said nothing", innererror={"message": "that"})
    assert (parse_complaint(inner).code, parse_complaint(inner).message) == ("Outer", "that")


def test_a_message_is_short_printable_and_without_secrets() -> None:
    key = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJ4In0.c2ln"
    found = refusal(WORKSPACE, "x", 400, error("Bad\x1b[31m", f"Bearer {key} " + "long " * 1000))
    assert key not in found.message
    assert "\x1b" not in found.message
    assert len(found.message) < 1_150


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        {"error": None},
        {"error": "text"},
        {"error": {"code": None, "message": None, "details": None}},
        {"error": {"code": 5, "message": {"a": 1}, "details": {"x": 1}}},
        {"error": {"message": "broken { json"}},
        {"error": {"message": 'odd {"errors": {"a": 5}}'}},
        {"error": {"message": 'odd {"errors": 5}'}},
        {"error": {"message": "odd {}"}},
        {"error": {"message": 'deep {"errors":' + "[" * 100_000}},
        {"error": {"message": 'long {"errors":' + "9" * 5_000 + "}"}},
    ],
)
def test_an_odd_document_is_still_told(document: Any) -> None:
    assert type(refusal(WORKSPACE, "x", 400, document)) is WorkspaceRefused


def test_a_document_that_never_ends_is_read_to_some_depth() -> None:
    document: dict[str, Any] = {"code": "Deepest", "message": "deepest"}
    for _ in range(200):
        document = {"code": "C", "message": "m", "details": [document]}
    assert parse_complaint({"error": document}).code == "C"


class Noon:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("17", 17),
        (" 17 ", 17),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("9" * 40, None),
        ("999999999", 6 * 3600),
        ("\u0661", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 6 * 3600),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Mon, 01 Jan 0001 00:00:00 +999999", None),
        ("Sun, 01 Mar 2026 12:01:00 " + "9" * 5_000, 60),
    ],
)
def test_a_wait_is_read_in_both_forms(value: str, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert parse_retry_after({"retry-after": value}, Noon()) == expected


def test_without_a_retry_after_no_wait_is_asked_for() -> None:
    assert parse_retry_after({}, Noon()) is None
