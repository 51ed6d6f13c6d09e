"""Finds the champion, the model that serves now, and compares a new model with it."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from shared.base.errors import (
    MetricAwaited,
    MetricMissing,
    Superseded,
    WorkspaceBusy,
    WorkspaceDenied,
)
from shared.base.ids import folded
from shared.base.redact import redact
from shared.base.words import listed
from shared.events.model import Workspace
from shared.events.runs import has_ended
from shared.workspaces.comparison import NO_CHAMPION, BetterParams, Verdict, compare
from shared.workspaces.model import EndpointKind, ModelVersion
from shared.workspaces.ports import Workspaces

#: A deployment's model: an ARM id, or the service's own form. Models of registries are not read.
_MODEL_ID = re.compile(
    r"(?:azureml:)?/?/.+/workspaces/[^/]+/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NUMBER_MAX = 64
_NAMES_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a comparison: a model, or a run's future model, and the place of its metrics.

    `called` is its name in messages. `id` is the ARM id of a registered model, else "". `lost` says
    why it can't be read, "" if it can.
    """

    called: str
    id: str = ""
    run_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)
    lost: str = ""


def side_of(model: ModelVersion) -> Side:
    """Return a registered model as one side of a comparison."""
    return Side(
        called=f"{model.name} {model.version}",
        id=model.id,
        run_id=model.job_name,
        tags=model.tags,
        properties=model.properties,
    )


def find_champion(
    workspaces: Workspaces, workspace: Workspace, endpoint: str, kind: EndpointKind | None
) -> Side | None:
    """Return the model that serves on an endpoint now, or None if nothing does: 1 to 3 requests.

    It is the model of the deployment with the most live traffic; of several, the last by name. A
    batch endpoint has that of its default deployment. Without a kind an online endpoint is read,
    and a batch endpoint if there is none, with one more request.

    Raises: WorkspaceBusy if the endpoint changes meanwhile, and WorkspaceError.
    """
    is_any, kind = kind is None, kind or EndpointKind.MANAGED
    found = workspaces.get_endpoint(workspace, endpoint, kind=kind)
    if found is None and is_any:
        kind = EndpointKind.BATCH
        with suppress(WorkspaceDenied):  # an app that uses batch endpoints may read them
            found = workspaces.get_endpoint(workspace, endpoint, kind=kind)
    shares = {name: share for name, share in found.traffic.items() if share > 0} if found else {}
    if not shares:
        return None
    serving = max(shares, key=lambda name: (shares[name], name))
    deployments = workspaces.list_deployments(workspace, endpoint, kind=kind)
    # The SDK writes the names in a split in lower case, in whatever case the deployments are.
    deployment = next((it for it in deployments if it.name.lower() == serving.lower()), None)
    if deployment is None:
        raise WorkspaceBusy(f"deployment {serving} of {endpoint} has traffic, and is not listed")
    ids = _MODEL_ID.fullmatch(deployment.model)
    if ids is None:
        shown = redact(deployment.model, most=200) or "not told"
        return Side(called=f"deployment {serving}", lost=f"its model is {shown}")
    model = workspaces.get_model(workspace, ids["name"], ids["version"])
    if model is None:
        called = f"{ids['name']} {ids['version']}"
        return Side(called=called, lost="it is no longer in the workspace")
    return side_of(model)


def challenge(
    workspaces: Workspaces,
    workspace: Workspace,
    challenger: Side,
    endpoint: str,
    kind: EndpointKind | None,
    params: BetterParams,
) -> Verdict:
    """Compare a model with the one that serves on the endpoint now; return the verdict.

    Raises: Superseded if it is the one that serves; MetricMissing and MetricAwaited, with each side
    whose metric is missing and the places that were searched; WorkspaceBusy and WorkspaceError.
    """
    champion = find_champion(workspaces, workspace, endpoint, kind)
    if champion is not None and challenger.id and folded(champion.id) == folded(challenger.id):
        raise Superseded(f"{champion.called} serves on {endpoint} already")
    metrics = _Metrics(workspaces, workspace, params)
    ours = metrics.read(challenger)
    verdict = compare(ours, NO_CHAMPION if champion is None else metrics.read(champion), params)
    if not verdict.standing.is_known:
        missing = "; ".join(metrics.missing)
        if metrics.is_awaited:
            raise MetricAwaited(missing)
        raise MetricMissing(missing)
    against = f" against {champion.called}" if champion is not None else ""
    return replace(verdict, reason=f"{challenger.called}{against} on {endpoint}: {verdict.reason}")


@dataclass(slots=True)
class _Metrics:
    """Reads one metric of several sides, and notes why one is missing."""

    workspaces: Workspaces
    workspace: Workspace
    params: BetterParams
    missing: list[str] = field(default_factory=list)
    is_awaited: bool = True  #: Whether each missing metric may still be logged.

    def read(self, side: Side) -> float | None:
        """Return the metric of one side, None if it is missing."""
        if side.lost:
            return self._note_missing(side, side.lost)
        if self.params.source == "run":
            return self._of_run(side)
        texts = side.tags if self.params.source == "tags" else side.properties
        kind = "tag" if self.params.source == "tags" else "property"
        text = texts.get(self.params.metric)
        if text is None:
            return self._note_missing(side, f"it has no {kind} {self.params.metric}")
        value = parse_number(text)
        if value is None:
            shown = redact(text, most=40)
            return self._note_missing(
                side, f"its {kind} {self.params.metric} is {shown!r}, no number"
            )
        return value

    def _of_run(self, side: Side) -> float | None:
        if not side.run_id:
            return self._note_missing(side, "no run is known to have made it")
        metrics = self.workspaces.get_metrics(self.workspace, side.run_id)
        if metrics is None:
            return self._note_missing(side, f"its run {side.run_id} is not there")
        value = metrics.get(self.params.metric)
        if value is not None and math.isfinite(value):
            return value
        run = self.workspaces.get_run(self.workspace, side.run_id)
        is_running = run is not None and not has_ended(run.status)
        logged = listed([redact(name, most=40) for name in sorted(metrics)], _NAMES_TOLD)
        why = f"its run {side.run_id} has logged no {self.params.metric}, but {logged}"
        if is_running:
            why += ", and has not ended"
        return self._note_missing(side, why, is_awaited=is_running)

    def _note_missing(self, side: Side, why: str, *, is_awaited: bool = False) -> float | None:
        self.missing.append(f"{self.params.metric} of {side.called} is missing: {why}")
        self.is_awaited = self.is_awaited and is_awaited
        return None


def parse_number(text: str) -> float | None:
    """Return the finite number in a text of decimal notation; None for any other text."""
    plain = text.strip()
    if len(plain) > _NUMBER_MAX or _NUMBER.fullmatch(plain) is None:
        return None
    value = float(plain)
    return value if math.isfinite(value) else None
