"""Targets of a retraining: their values, and the interface that each implements."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from shared.base.errors import JobInvalid
from shared.base.ids import GIVEN_NAME, GIVEN_NAME_RULE
from shared.base.ids import REFERENCE as REFERENCE
from shared.events.model import Workspace
from shared.retraining.addresses import find_fault
from shared.schema.values import (
    AnyName,
    LoadContext,
    PlainName,
    Values,
    check_file,
    check_job,
    example_of,
    unfit,
)
from shared.schema.wording import found

#: The types of a run's inputs.
Input = str | int | float | bool

_JOB_FILE = re.compile(r"jobs/[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*\.ya?ml")
#: Managed users have an underscore before the short name of their enterprise: mona-cat_octo.
_REPOSITORY = re.compile(r"[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}")
_REPOSITORY_AT = re.compile(
    r"(?:https://|git@)github\.com[/:](?P<name>[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}?)(?:\.git)?/?"
)
_FACTORY = re.compile(
    r"/subscriptions/[\w-]+/resourceGroups/[\w.()-]+/providers/Microsoft\.DataFactory"
    r"/factories/[A-Za-z0-9-]{3,63}",
    re.IGNORECASE,
)


#: A message's own body, in bytes of JSON: what a receiver takes without a thought.
_BODY_MAX = 64 * 1024
_HEADERS_MAX = 10
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,498}[!-~])?")
#: Headers that the client or the signature sets, or that would hold a secret.
_HEADERS_TAKEN = frozenset(
    {
        *("host", "connection", "transfer-encoding", "te", "trailer", "upgrade", "expect"),
        *("keep-alive", "cookie", "authorization", "proxy-authorization", "user-agent"),
        *("x-api-key", "api-key", "ocp-apim-subscription-key", "x-functions-key"),
        *("traceparent", "tracestate", "forwarded", "accept-encoding"),
    }
)
_HEADERS_OURS = ("webhook-", "signalbox-", "content-", "x-forwarded-")


def _check_job_file(path: str) -> str:
    if _JOB_FILE.fullmatch(path) is None or ".." in path:
        raise unfit(
            f"should be a .yaml file below `jobs/`, found {found(path)}",
            f"Write its path in the app: `jobs/{example_of(path, '.yaml', '.yml')}`.",
        )
    return path


def _check_repository(name: str) -> str:
    if _REPOSITORY.fullmatch(name) is None:
        address = _REPOSITORY_AT.fullmatch(name)
        example = address["name"] if address is not None else "owner/name"
        raise unfit(f"should be a repository, found {found(name)}", f"Write `{example}`.")
    return name


def _check_workflow(name: str) -> str:
    if "/" in name:
        raise ValueError("name the workflow's file without its folder: retrain.yml")
    return name


def _check_factory(arm_id: str) -> str:
    if _FACTORY.fullmatch(arm_id) is None:
        raise ValueError("give the ARM id of a data factory")
    return arm_id


def _check_name(name: str) -> str:
    if GIVEN_NAME.fullmatch(name) is None:
        raise ValueError(GIVEN_NAME_RULE)
    return name


class JobTarget(Values):
    """A job from YAML, as the CLI and the SDK take it."""

    file: Annotated[
        str,
        AfterValidator(_check_job_file),
        AfterValidator(check_file),
        AfterValidator(check_job),
    ]


class ComponentTarget(Values):
    """A pipeline component that is registered in the workspace."""

    name: PlainName = Field(min_length=1, max_length=255)
    version: PlainName = Field(default="latest", min_length=1, max_length=255)
    experiment: PlainName = Field(default="", max_length=255)
    compute: PlainName = Field(default="", max_length=255)  #: "" means serverless.


class BatchEndpointTarget(Values):
    """A batch endpoint whose deployment is a pipeline component."""

    endpoint: PlainName = Field(min_length=1, max_length=255)
    #: "" means the endpoint's default.
    deployment: PlainName = Field(default="", max_length=255)
    experiment: PlainName = Field(default="", max_length=255)


class CopyTarget(Values):
    """A copy of the last job of an experiment that completed."""

    experiment: PlainName = Field(min_length=1, max_length=255)


class DataFactoryTarget(Values):
    """A pipeline of an Azure Data Factory."""

    factory: Annotated[str, AfterValidator(_check_factory)]
    pipeline: AnyName = Field(min_length=1, max_length=260)


class AzureDevOpsTarget(Values):
    """A YAML pipeline of Azure DevOps."""

    organization: PlainName = Field(min_length=1, max_length=255)
    project: AnyName = Field(min_length=1, max_length=255)
    pipeline: int = Field(ge=1)
    branch: AnyName = Field(default="main", min_length=1, max_length=255)


class GitHubTarget(Values):
    """A workflow of GitHub Actions: by `event` (repository_dispatch) or by `workflow`."""

    repository: Annotated[str, AfterValidator(_check_repository)]
    event: AnyName = Field(default="", max_length=100)
    #: Its file name or id.
    workflow: Annotated[AnyName, AfterValidator(_check_workflow)] = Field(
        default="", max_length=255
    )
    ref: AnyName = Field(default="main", min_length=1, max_length=255)

    @model_validator(mode="after")
    def _check_one_trigger(self) -> Self:
        if bool(self.event) == bool(self.workflow):
            raise ValueError("give either `event` or `workflow`")
        return self


def _check_body(body: dict[str, Any] | None) -> dict[str, Any] | None:
    size = len(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > _BODY_MAX:
        raise unfit(f"has {size:,} bytes as JSON, the most is {_BODY_MAX:,}")
    return body


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    if len(headers) > _HEADERS_MAX:
        raise unfit(f"has {len(headers)} headers, the most is {_HEADERS_MAX}")
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None:
            raise unfit(f"can't have {name[:60]!a}", "A header has letters, digits and dashes.")
        if name.lower() in _HEADERS_TAKEN or name.lower().startswith(_HEADERS_OURS):
            hint = "A key belongs in the address, which is an app setting; the message is signed."
            raise unfit(f"can't set {name}", hint)
        if _HEADER_VALUE.fullmatch(value) is None:
            raise unfit(f"has an unfit {name}", "It takes 1 to 500 printable ASCII characters.")
    return headers


class WebhookTarget(Values):
    """An own address. Its URL and its secret are app settings, found by the name."""

    name: Annotated[str, AfterValidator(_check_name)]
    #: The JSON to send in place of the usual message.
    body: Annotated[dict[str, Any] | None, AfterValidator(_check_body)] = None
    headers: Annotated[dict[str, str], AfterValidator(_check_headers)] = Field(default_factory=dict)


#: Targets whose run is an AML run with events of its own; the others start one elsewhere.
AML_TARGETS = frozenset({"job", "component", "batch_endpoint", "copy_of"})


class TargetParams(Values):
    """The target of a retraining: exactly one of these."""

    job: JobTarget | None = None
    component: ComponentTarget | None = None
    batch_endpoint: BatchEndpointTarget | None = None
    copy_of: CopyTarget | None = None
    data_factory: DataFactoryTarget | None = None
    azure_devops: AzureDevOpsTarget | None = None
    github: GitHubTarget | None = None
    webhook: WebhookTarget | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            known = ", ".join(type(self).model_fields)
            found = " and ".join(f"`{name}`" for name in given) or "none"
            raise ValueError(f"give exactly one of {known}; found {found}")
        return self

    @property
    def kind(self) -> str:
        """The key of the target that is given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def value(self) -> Values:
        """The values of the target that is given."""
        value: Values = getattr(self, self.kind)
        return value

    def as_kept(self) -> str:
        """Return the target as JSON that may be kept, and that a look at its run needs."""
        unkept = {"webhook": {"body", "headers"}}
        return self.model_dump_json(exclude_none=True, exclude_defaults=True, exclude=unkept)


def doubt_settings(target: TargetParams, info: ValidationInfo) -> TargetParams:
    """Warn of a target whose app settings are absent or can't be used."""
    context = info.context
    if isinstance(context, LoadContext):
        fault = context.find_target_fault(target.kind, target.value)
        if fault is not None:
            context.doubts[(str(info.field_name), target.kind)] = fault
    return target


#: The target of an action, with a warning where its app settings are absent.
ReadyTarget = Annotated[TargetParams, AfterValidator(doubt_settings)]


#: How often a target is asked for the status of its run, if no event reported its end.
LOOK_EVERY = timedelta(minutes=10)


def job_name(submission_id: str) -> str:
    """Return the name of the AML job of a submission."""
    return f"signalbox-{submission_id}"


def is_own_run(run_id: str, *, kind: str, submission_id: str, known: str) -> bool:
    """Say whether a run is that of a submission: anybody may give a run its tag.

    `kind` is the target's, and `known` the run that it gave, "" if it gave none.
    """
    return kind not in AML_TARGETS or run_id == (known or job_name(submission_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A run that is to be started, for a retraining or by `start`.

    `id` is 32 hex digits made from the claim: a run is named from it, or can be found by it.
    `reference` ties a run back to its loop: it goes into tags, parameters and payloads, under
    REFERENCE. `since` is the time of the first try: earlier runs are not searched.
    """

    kind: Literal["retraining", "start"] = "retraining"
    id: str
    reference: str
    workspace: Workspace
    since: datetime
    is_first: bool  #: Whether nothing can have been started before; else a run is searched first.
    inputs: Mapping[str, Input] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    #: Patterns of the hosts that an address among the inputs may name.
    hosts: tuple[str, ...] = ()
    #: Facts of the drift, for targets that take a payload: strings, numbers and lists of them.
    drift: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of an AML job."""
        return job_name(self.id)

    def address(self, name: str) -> str:
        """Return the input of this name as the address of data. Raises: JobInvalid."""
        text = str(self.inputs[name])
        if fault := find_fault(text, self.workspace, self.hosts):
            raise JobInvalid(
                f"input `{name}` can't be used: {fault}",
                hint="Fix `inputs:` or `allow:` in the reaction, then replay the letter.",
            )
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The run that was started, or found. `run_id` is the target's, "" if it gives none."""

    run_id: str = ""
    link: str = ""
    found: bool = False  #: Whether it had been started before.


class TargetStatus(StrEnum):
    """The status of a run that was started."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"  #: The target does not say, or does not know it.


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRun:
    """The status of a run that was started, and why it failed."""

    status: TargetStatus
    reason: str = ""


class Target[P: Values](Protocol):
    """One kind of target that can start a retraining.

    Raises: TargetUnreachable, TargetThrottled, TargetDenied, TargetRefused, TargetAbsent,
    QuotaExceeded, and for AML WorkspaceError.
    """

    def submit(self, params: P, submission: Submission) -> Submitted:
        """Start a run, or find the one that was started for this submission before."""
        ...

    def look(self, params: P, submission: Submission, run_id: str) -> TargetRun:
        """Return its status."""
        ...
