"""The meaning of refusals: from an HTTP status and an error document to one of our errors.

Each kind of service has a table; `refusal` is the one function that reads it.
"""

import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from shared.base.clock import Clock
from shared.base.errors import (
    QuotaExceeded,
    SignalboxError,
    TargetAbsent,
    TargetDenied,
    TargetRefused,
    TargetThrottled,
    TargetUnreachable,
    TopicDenied,
    TopicRefused,
    TopicThrottled,
    TopicUnknown,
    TopicUnreachable,
    WorkspaceBusy,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.base.incoming import read_json, read_whole
from shared.base.redact import redact
from shared.base.retry import RETRY_AFTER_CAP

#: Our code for every lack of quota: the service has several.
OUT_OF_QUOTA = "OutOfQuota"

#: The service's words for it, mostly in the message of a detail of a BadRequest.
_QUOTA = re.compile(
    r"out ?of ?quota|not enough quota|quota ?exceeded|exceeding approved", re.IGNORECASE
)
#: A 400 that passes by itself: an operation on the endpoint is under way, or came before ours.
_BUSY = re.compile(
    r"in (?:creating|updating|scaling|deleting) provisioning state"
    r"|another operation|operationcanceled",
    re.IGNORECASE,
)
#: A 409 that does not pass by itself: the endpoint itself is broken, or a person has to change the
#: subscription, a lock, a region or a size. Source: "Troubleshoot common Azure deployment errors".
_LASTING = re.compile(
    r"in (?:failed|canceled) provisioning state"
    r"|\b(?:ScopeLocked|MissingSubscriptionRegistration|SubscriptionNotRegistered"
    r"|NoRegisteredProviderFound|ReadOnlyDisabledSubscription|SubscriptionDisabled"
    r"|InvalidResourceLocation|LocationNotAvailableForResourceType|SkuNotAvailable"
    r"|ResourceGroupBeingDeleted|AccountIsDisabled|NameNotAvailable|NameUnavailable"
    r"|DisallowedOperation)\b",
    re.IGNORECASE,
)
#: A 403 that no role helps against: a policy, a network rule or a deny assignment forbids it.
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

#: Error documents are nested; nothing deeper than this is read.
_DEPTH_MAX = 10
_SECONDS_MAX = 999_999_999


class Meaning(NamedTuple):
    """The error that an answer stands for, by its status and, with `says`, by its words."""

    statuses: Container[int]
    error: type[SignalboxError]
    says: re.Pattern[str] | None = None
    hint: str | None = None  #: In place of the error's own.


class Refusals(NamedTuple):
    """The errors of one kind of service: those that every kind has, and meanings of its own.

    `unreachable` is also for no answer at all, `denied` for an app that can't sign in, `refused`
    for all that has no other meaning.
    """

    unreachable: type[SignalboxError]
    throttled: type[SignalboxError]
    denied: type[SignalboxError]
    absent: type[SignalboxError]
    refused: type[SignalboxError]
    #: Before the usual meanings, and after them. The first that fits counts.
    special: tuple[Meaning, ...] = ()
    others: tuple[Meaning, ...] = ()

    @property
    def meanings(self) -> tuple[Meaning, ...]:
        """All meanings, in the order in which they count."""
        usual = (
            Meaning({401, 403}, self.denied),
            Meaning({404, 410}, self.absent),
            Meaning({429}, self.throttled),
            Meaning(_DOWN, self.unreachable),
        )
        return (*self.special, *usual, *self.others, Meaning(range(1000), self.refused))


_DOWN = frozenset({408, *range(500, 1000)})
WORKSPACE: Final = Refusals(
    unreachable=WorkspaceUnreachable,
    throttled=WorkspaceThrottled,
    denied=WorkspaceDenied,
    absent=WorkspaceRefused,
    refused=WorkspaceRefused,
    special=(
        Meaning({403, 409}, WorkspaceRefused, says=_FORBIDDEN, hint=_FORBIDDEN_HINT),
        Meaning({403, 409}, WorkspaceRefused, says=_LASTING),
    ),
    others=(
        Meaning({400, 409, 422}, QuotaExceeded, says=_QUOTA),
        Meaning({400, 412, 422}, WorkspaceRefused, says=_FORBIDDEN),
        Meaning({400, 412, 422}, WorkspaceRefused, says=_LASTING),
        Meaning({409, 412}, WorkspaceBusy),
        Meaning({400, 422}, WorkspaceBusy, says=_BUSY),
    ),
)
TARGET: Final = Refusals(
    unreachable=TargetUnreachable,
    throttled=TargetThrottled,
    denied=TargetDenied,
    absent=TargetAbsent,
    refused=TargetRefused,
    others=(
        Meaning(
            range(300, 400),
            TargetRefused,
            hint="No redirect is followed: name the new address, then replay the letter.",
        ),
    ),
)

TOPIC: Final = Refusals(
    unreachable=TopicUnreachable,
    throttled=TopicThrottled,
    denied=TopicDenied,
    absent=TopicUnknown,
    refused=TopicRefused,
    others=(
        Meaning(
            {400},
            TopicRefused,
            says=re.compile(r"schema|content.?type|cloud ?event", re.IGNORECASE),
            hint="Set SIGNALBOX_TOPIC_<NAME>_SCHEMA to the schema that the topic takes.",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """The content of an error document. `text` is all of it, to be searched for words."""

    code: str
    message: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.message) if part)


def parse_complaint(document: Any) -> Complaint:
    """Read the innermost code and message of an error document: the outer ones say nothing."""
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
    if _QUOTA.search(complaint.text) is None:
        return complaint
    return Complaint(code=OUT_OF_QUOTA, message=complaint.message, text=complaint.text)


def refusal(
    table: Refusals,
    doing: str,
    status: int,
    document: Any,
    *,
    retry_after: timedelta | None = None,
) -> SignalboxError:
    """Return the error that an answer with this status and body stands for."""
    complaint = parse_complaint(document)
    shown = str(complaint) or f"HTTP {status}"
    if 300 <= status < 400:
        shown = f"the answer leads elsewhere (HTTP {status})"
    meaning = next(
        each
        for each in table.meanings
        if status in each.statuses and (each.says is None or each.says.search(complaint.text))
    )
    return meaning.error(f"{doing}: {shown}", hint=meaning.hint, retry_after=retry_after)


def parse_retry_after(headers: Mapping[str, str], clock: Clock) -> timedelta | None:
    """Return how long the service asks us to wait, at most RETRY_AFTER_CAP.

    None where it does not say, or makes no sense.
    """
    value = headers.get("retry-after", "").strip()
    seconds = read_whole(value, most=_SECONDS_MAX)
    if seconds is not None:
        return min(timedelta(seconds=seconds), RETRY_AFTER_CAP)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):  # OverflowError: a date beyond the calendar
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = timedelta(seconds=round((moment - clock.now()).total_seconds()))
    return min(max(wait, timedelta(0)), RETRY_AFTER_CAP)


def _inward(error: Any) -> Iterator[Mapping[str, Any]]:
    """Yield an error and, from the outside in, the first error inside each that has a message."""
    for _ in range(_DEPTH_MAX):
        if not isinstance(error, Mapping):
            return
        yield error
        details = error.get("details")
        inner = [*(details if isinstance(details, list) else ())]
        inner += [error.get("innererror"), error.get("innerError")]
        error = next((i for i in inner if isinstance(i, Mapping) and i.get("message")), None)


def _unwrap(message: str) -> str:
    """Return the sentences of a message that contains another service's JSON answer."""
    _, brace, rest = message.partition("{")
    try:
        answer = read_json(brace + rest)
        problems = answer["errors"].items()
        return "; ".join(f"{name}: {' '.join(texts)}" for name, texts in problems) or message
    except (ValueError, TypeError, KeyError, AttributeError):
        return message
