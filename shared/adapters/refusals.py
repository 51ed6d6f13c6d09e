"""What the workspace's refusals mean: from an HTTP status and an error document to our errors."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from shared.base.clock import Clock
from shared.base.errors import (
    QuotaExceeded,
    SignalboxError,
    WorkspaceBusy,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.base.outside import read_json, read_whole
from shared.base.redact import redact
from shared.base.retry import RETRY_AFTER_CAP

#: The code under which every want of quota is told, whatever the service called it.
OUT_OF_QUOTA = "OutOfQuota"

#: How the service says so: mostly inside a BadRequest, in the text of a detail's message.
_QUOTA = re.compile(
    r"out ?of ?quota|not enough quota|quota ?exceeded|exceeding approved", re.IGNORECASE
)
#: A 400 that passes by itself: an operation on the endpoint is under way, or has outrun ours.
_BUSY = re.compile(
    r"in (?:creating|updating|scaling|deleting) provisioning state"
    r"|another operation|operationcanceled",
    re.IGNORECASE,
)
#: A 409 that does not: the endpoint itself is broken, or a person has to change the subscription,
#: a lock, a region or a size. Source: "Troubleshoot common Azure deployment errors".
_LASTING = re.compile(
    r"in (?:failed|canceled) provisioning state"
    r"|\b(?:ScopeLocked|MissingSubscriptionRegistration|SubscriptionNotRegistered"
    r"|NoRegisteredProviderFound|ReadOnlyDisabledSubscription|SubscriptionDisabled"
    r"|InvalidResourceLocation|LocationNotAvailableForResourceType|SkuNotAvailable"
    r"|ResourceGroupBeingDeleted|AccountIsDisabled|NameNotAvailable|NameUnavailable"
    r"|DisallowedOperation)\b",
    re.IGNORECASE,
)
#: A 403 for which no role is missing: a policy, a network rule or a deny assignment forbids what
#: was asked for.
_FORBIDDEN = re.compile(
    r"\b(?:RequestDisallowedBy(?:Policy|Azure)|PublicNetworkAccessDisabled"
    r"|DisallowedProvider|PolicyViolation|DenyAssignmentAuthorizationFailed"
    r"|public (?:network )?access is (?:disabled|not (?:enabled|allowed)))",
    re.IGNORECASE,
)
_FORBIDDEN_HINT = (
    "A policy, a network rule or a deny assignment forbids it, and no role helps. Change the"
    " reaction so that the rule is kept (`public_network_access: disabled`), or ask its owner."
)

#: Error documents are nested; deeper than this nobody looks.
_DEPTH_MAX = 10
_SECONDS_MAX = 999_999_999


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What an error document says. `text` is all of it, for telling what kind it is."""

    code: str
    message: str
    text: str

    @property
    def is_quota(self) -> bool:
        """Whether it is for want of quota."""
        return _QUOTA.search(self.text) is not None

    @property
    def is_busy(self) -> bool:
        """Whether another operation stands in the way."""
        return _BUSY.search(self.text) is not None

    @property
    def is_lasting(self) -> bool:
        """Whether something stands in the way that does not pass by itself."""
        return _LASTING.search(self.text) is not None

    @property
    def is_forbidden(self) -> bool:
        """Whether a policy or a network rule forbids it to everybody."""
        return _FORBIDDEN.search(self.text) is not None

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.message) if part)


def parse_complaint(document: Any) -> Complaint:
    """Read an error document: the innermost code and message, for the outer ones say nothing."""
    error = document.get("error", document) if isinstance(document, Mapping) else None
    code = message = ""
    for node in _inward(error):
        code = str(node.get("code") or code)
        message = str(node.get("message") or message)
    complaint = Complaint(
        code=redact(code, most=100),
        message=redact(_unwrap(message)),
        text=json.dumps(error, default=str),
    )
    if not complaint.is_quota:
        return complaint
    return Complaint(code=OUT_OF_QUOTA, message=complaint.message, text=complaint.text)


def refusal(
    doing: str, status: int, document: Any, *, retry_after: timedelta | None = None
) -> SignalboxError:
    """Return the error that an answer with this status and body stands for."""
    complaint = parse_complaint(document)
    told = f"{doing}: {complaint}" if str(complaint) else f"{doing}: HTTP {status}"
    is_lasting = complaint.is_forbidden or complaint.is_lasting
    if status in (403, 409) and is_lasting:
        return WorkspaceRefused(told, hint=_FORBIDDEN_HINT if complaint.is_forbidden else "")
    if status in (401, 403):
        return WorkspaceDenied(told)
    if status == 429:
        return WorkspaceThrottled(told, retry_after=retry_after)
    if status == 408 or status >= 500:
        return WorkspaceUnreachable(told, retry_after=retry_after)
    if status in (400, 409, 422) and complaint.is_quota:
        return QuotaExceeded(told, retry_after=retry_after)
    in_the_way = status in (409, 412) or (status in (400, 422) and complaint.is_busy)
    if in_the_way and not is_lasting:
        return WorkspaceBusy(told, retry_after=retry_after)
    return WorkspaceRefused(told)


def parse_retry_after(headers: Mapping[str, str], clock: Clock) -> timedelta | None:
    """Return how long the service asks us to wait, at most RETRY_AFTER_CAP.

    None where it says nothing that makes sense.
    """
    value = headers.get("retry-after", "").strip()
    seconds = read_whole(value, most=_SECONDS_MAX)
    if seconds is not None:
        return min(timedelta(seconds=seconds), RETRY_AFTER_CAP)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):  # the last of numbers that no calendar holds
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = timedelta(seconds=round((moment - clock.now()).total_seconds()))
    return min(max(wait, timedelta(0)), RETRY_AFTER_CAP)


def _inward(error: Any) -> Iterator[Mapping[str, Any]]:
    """Yield an error and, from the outside in, the first error inside each that says anything."""
    for _ in range(_DEPTH_MAX):
        if not isinstance(error, Mapping):
            return
        yield error
        details = error.get("details")
        inner = [*(details if isinstance(details, list) else ())]
        inner += [error.get("innererror"), error.get("innerError")]
        error = next((i for i in inner if isinstance(i, Mapping) and i.get("message")), None)


def _unwrap(message: str) -> str:
    """Return the sentences of a message that has another service's JSON answer in it."""
    _, brace, rest = message.partition("{")
    try:
        answer = read_json(brace + rest)
        problems = answer["errors"].items()
        return "; ".join(f"{name}: {' '.join(texts)}" for name, texts in problems) or message
    except (ValueError, TypeError, KeyError, AttributeError):
        return message
